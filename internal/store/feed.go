package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

// The log of changes that consumers follow. It is written in the transaction
// that applies the changes, for datasets that have a feed and for no others, and
// its invariants are:
//
//   - The sequence of a feed has no gap and rises in commit order: who has seen N
//     will never see a change below it appear.
//   - What the log says and what the record tables hold commit together, so that a
//     Frozen view shows both as of the same moment.
//   - A hold is not a change: the record keeps its last good state for consumers.
//
// The log holds no values but those of the fields that row filters look at, as they
// were before the change; the values of a change are read from the record itself.

// FeedHead is where a feed stands.
type FeedHead struct {
	Sequence uint64 // of the last change
	Floor    uint64 // changes up to here have been trimmed
	Open     bool
}

// FeedEntry is one change in the log.
type FeedEntry struct {
	Sequence uint64
	Stream   int64 // number of the stream: with ID it names the record
	ID       []byte
	Op       lienthong.Op // Upsert or Delete
	Version  int64
	At       int64 // at the source, microseconds
	Batch    uint64
	before   string
}

// unknownBefore marks entries that were logged when nothing was watched.
const unknownBefore = "?"

// Before returns what a watched field held before the change. There is false when
// the record was not there; known is false when the field was not watched then.
func (e *FeedEntry) Before(field string) (value string, there, known bool) {
	switch e.before {
	case "":
		return "", false, true
	case unknownBefore:
		return "", false, false
	}
	var values map[string]*string
	if json.Unmarshal([]byte(e.before), &values) != nil {
		return "", false, false
	}
	v, known := values[field]
	if v == nil {
		return "", known, known
	}
	return *v, true, true
}

// FeedRecord is a record as it is now. ID and Values are valid during the call that
// delivers it.
type FeedRecord struct {
	Stream  int64
	ID      []byte
	Version int64
	At      int64
	Deleted bool
	Values  []lienthong.Value
}

// FeedView is how one reader sees the records of a dataset: some of its fields.
type FeedView struct {
	Dataset lienthong.DatasetID
	Fields  []lienthong.Field
	layout  *layout // bookkeeping columns first, see feedColumns
}

// feedColumns stand before the fields of a view.
const feedColumns = 3 // _version, _source_at, _deleted

// FeedView finds the fields in the dataset's shapes, the newest first: a field that a
// newer shape has dropped keeps what it had.
func (s *Store) FeedView(ctx context.Context, dataset lienthong.DatasetID, fields []string) (*FeedView, error) {
	reader := s.engine.reader()
	shapes, err := shapesOf(ctx, reader, dataset)
	if err != nil {
		return nil, err
	}
	if len(shapes) == 0 {
		return nil, &lienthong.Error{
			Code: "feed.dataset", Where: dataset.String(), Vi: "trung tâm chưa có tập dữ liệu này", En: "the hub does not have this dataset",
			Hint: "xem tên tập dữ liệu trên giao diện / look the dataset's name up in the console",
		}
	}
	var table string
	err = reader.each(ctx, "SELECT table_name FROM datasets WHERE dataset = ?", []any{dataset.String()},
		func(scan scanFunc) error { return scan(&table) })
	if err != nil {
		return nil, fmt.Errorf("store: find table of %s: %w", dataset, err)
	}
	view := &FeedView{Dataset: dataset}
	shape := &lienthong.Shape{Dataset: dataset, Fields: []lienthong.Field{
		{Name: "_version", Kind: lienthong.Integer}, {Name: "_source_at", Kind: lienthong.Timestamp}, {Name: "_deleted", Kind: lienthong.Boolean},
	}}
	columns := []string{"_version", "_source_at", "_deleted"}
	for _, name := range fields {
		field, found := newestField(shapes, name)
		if !found {
			newest := shapes[len(shapes)-1]
			known := make([]string, len(newest.Fields))
			for i := range newest.Fields {
				known[i] = newest.Fields[i].Name
			}
			return nil, &lienthong.Error{
				Code: "feed.field", Where: dataset.String() + " " + name, Vi: "tập dữ liệu không có trường này",
				En: "the dataset has no such field", Hint: strings.Join(known, ", "),
			}
		}
		view.Fields = append(view.Fields, field)
		shape.Fields = append(shape.Fields, field)
		columns = append(columns, quote(columnName(name)))
	}
	view.layout = &layout{table: quote(table), shape: shape, columns: columns}
	return view, nil
}

func newestField(shapes []*lienthong.Shape, name string) (lienthong.Field, bool) {
	for _, shape := range slices.Backward(shapes) {
		if i := shape.FieldIndex(name); i >= 0 {
			return shape.Fields[i], true
		}
	}
	return lienthong.Field{}, false
}

// OpenFeed begins to log the changes of a dataset, and the watched fields before
// each of them. It is idempotent; watched fields add up until the feed is closed. A change that
// commits after it has returned is in the log.
func (s *Store) OpenFeed(ctx context.Context, dataset lienthong.DatasetID, watched []string) error {
	err := s.transact(ctx, func(w writer) error {
		// Streams are registered under the same lock: none is missed, and none is
		// registered without its feed.
		if _, err := next(ctx, w, "streams", 0); err != nil {
			return err
		}
		var no int64
		var isOpen int64
		var text string
		err := w.each(ctx, "SELECT no, is_open, watched FROM feeds WHERE dataset = ?", []any{dataset.String()},
			func(scan scanFunc) error { return scan(&no, &isOpen, &text) })
		if err != nil {
			return err
		}
		all := slices.Clone(watched)
		if isOpen != 0 {
			var before []string
			if err := json.Unmarshal([]byte(text), &before); err != nil {
				return err
			}
			all = append(all, before...)
		}
		slices.Sort(all)
		body, err := json.Marshal(slices.Compact(all))
		if err != nil {
			return err
		}
		if no == 0 {
			if no, err = next(ctx, w, "feeds", 1); err != nil {
				return err
			}
			_, err = w.exec(ctx, "INSERT INTO feeds (no, dataset, is_open, watched) VALUES (?, ?, 1, ?)", no, dataset.String(), string(body))
		} else {
			_, err = w.exec(ctx, "UPDATE feeds SET is_open = 1, watched = ? WHERE no = ?", string(body), no)
		}
		if err != nil {
			return err
		}
		return setFed(ctx, w, dataset, no)
	})
	if err != nil {
		return fmt.Errorf("store: open feed of %s: %w", dataset, err)
	}
	return nil
}

// setFed waits for the applies that run on the dataset's streams, which lock them in
// the same order, and tells those that come after.
func setFed(ctx context.Context, w writer, dataset lienthong.DatasetID, no int64) error {
	var nodes []string
	err := w.each(ctx, "SELECT node FROM streams WHERE dataset = ?", []any{dataset.String()}, func(scan scanFunc) error {
		var node string
		err := scan(&node)
		nodes = append(nodes, node)
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(nodes)
	for _, node := range nodes {
		if _, err := w.exec(ctx, "UPDATE streams SET fed = ? WHERE node = ? AND dataset = ?", no, node, dataset.String()); err != nil {
			return err
		}
	}
	return nil
}

// CloseFeed stops logging the changes of a dataset. What is in the log goes with the
// next trims. Sequences go on where they were when the feed is opened again, so that
// an old cursor is found to be too old.
func (s *Store) CloseFeed(ctx context.Context, dataset lienthong.DatasetID) error {
	err := s.transact(ctx, func(w writer) error {
		if _, err := next(ctx, w, "streams", 0); err != nil {
			return err
		}
		if err := setFed(ctx, w, dataset, 0); err != nil {
			return err
		}
		_, err := w.exec(ctx, "UPDATE feeds SET is_open = 0, watched = '[]' WHERE dataset = ?", dataset.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("store: close feed of %s: %w", dataset, err)
	}
	return nil
}

// OpenFeeds lists the datasets whose changes are logged, or whose log is not empty yet.
func (s *Store) OpenFeeds(ctx context.Context) (map[lienthong.DatasetID]FeedHead, error) {
	heads := map[lienthong.DatasetID]FeedHead{}
	err := s.engine.reader().each(ctx, "SELECT dataset, sequence, floor, is_open FROM feeds WHERE is_open <> 0 OR sequence > floor", nil,
		func(scan scanFunc) error {
			var name string
			var sequence, floor, isOpen int64
			if err := scan(&name, &sequence, &floor, &isOpen); err != nil {
				return err
			}
			dataset, err := lienthong.ParseDatasetID(name)
			heads[dataset] = FeedHead{Sequence: uint64(sequence), Floor: uint64(floor), Open: isOpen != 0}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("store: list feeds: %w", err)
	}
	return heads, nil
}

// FeedHead returns where the feed of a dataset stands; zero when there is none.
func (s *Store) FeedHead(ctx context.Context, dataset lienthong.DatasetID) (FeedHead, error) {
	head, _, err := feedHead(ctx, s.engine.reader(), dataset)
	return head, err
}

// FeedHead returns where the feed stood at the moment of the view.
func (f *Frozen) FeedHead(ctx context.Context, dataset lienthong.DatasetID) (FeedHead, error) {
	head, _, err := feedHead(ctx, f.view, dataset)
	return head, err
}

func feedHead(ctx context.Context, in session, dataset lienthong.DatasetID) (head FeedHead, no int64, err error) {
	err = in.each(ctx, "SELECT no, sequence, floor, is_open FROM feeds WHERE dataset = ?", []any{dataset.String()},
		func(scan scanFunc) error {
			var sequence, floor, isOpen int64
			err := scan(&no, &sequence, &floor, &isOpen)
			head = FeedHead{Sequence: uint64(sequence), Floor: uint64(floor), Open: isOpen != 0}
			return err
		})
	if err != nil {
		return head, 0, fmt.Errorf("store: read feed of %s: %w", dataset, err)
	}
	return head, no, nil
}

// FeedLog returns the changes that follow a sequence, in order and without a gap. Its
// error has the code "feed.gone" when they have been trimmed, or when the sequence is one
// that the feed has not reached: then only a new snapshot helps.
func (s *Store) FeedLog(ctx context.Context, dataset lienthong.DatasetID, after uint64, limit int) ([]FeedEntry, error) {
	reader := s.engine.reader()
	head, no, err := feedHead(ctx, reader, dataset)
	if err != nil {
		return nil, err
	}
	if after < head.Floor || after > head.Sequence || !head.Open {
		return nil, feedGone(dataset)
	}
	if after == head.Sequence {
		return nil, nil
	}
	var entries []FeedEntry
	err = reader.each(ctx, "SELECT sequence, stream, record, op, version, at, batch, before FROM feed_log WHERE feed = ? AND sequence > ? ORDER BY sequence LIMIT ?",
		[]any{no, int64(after), int64(limit)}, func(scan scanFunc) error {
			var e FeedEntry
			var sequence, op, batch int64
			var id string
			err := scan(&sequence, &e.Stream, &id, &op, &e.Version, &e.At, &batch, &e.before)
			e.Sequence, e.ID, e.Op, e.Batch = uint64(sequence), []byte(id), lienthong.Op(op), uint64(batch)
			entries = append(entries, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("store: read feed of %s: %w", dataset, err)
	}
	for i := range entries {
		if entries[i].Sequence != after+1+uint64(i) {
			return nil, feedGone(dataset) // trimmed while we were looking
		}
	}
	if len(entries) == 0 {
		return nil, feedGone(dataset)
	}
	return entries, nil
}

func feedGone(dataset lienthong.DatasetID) error {
	return &lienthong.Error{
		Code: "feed.gone", Where: dataset.String(), Vi: "vị trí này không còn trong nhật ký thay đổi",
		En:   "this position is no longer in the change log",
		Hint: "lấy lại bản chụp đầy đủ rồi theo dõi tiếp từ số thứ tự của nó / take a new snapshot and go on from its sequence",
	}
}

// FeedRecords delivers the records that the entries name, each once, as they are now.
func (s *Store) FeedRecords(ctx context.Context, view *FeedView, entries []FeedEntry, row func(*FeedRecord) error) error {
	byStream := map[int64][]string{}
	var streams []int64
	for i := range entries {
		e := &entries[i]
		if byStream[e.Stream] == nil {
			streams = append(streams, e.Stream)
		}
		byStream[e.Stream] = append(byStream[e.Stream], string(e.ID))
	}
	for _, stream := range streams {
		ids := byStream[stream]
		slices.Sort(ids)
		err := s.engine.pick(ctx, view.layout, stream, slices.Compact(ids), feedRow(stream, row))
		if err != nil {
			return fmt.Errorf("store: read records of %s: %w", view.Dataset, err)
		}
	}
	return nil
}

func feedRow(stream int64, row func(*FeedRecord) error) func(id []byte, values []lienthong.Value) error {
	r := FeedRecord{Stream: stream}
	return func(id []byte, values []lienthong.Value) error {
		r.ID, r.Version, r.At, r.Deleted, r.Values = id, values[0].Int, values[1].Int, values[2].Int != 0, values[feedColumns:]
		return row(&r)
	}
}

// FeedRecords delivers every record of the dataset that is not deleted, from all
// streams, in no particular order. Records on hold are among them, in their last good state.
func (f *Frozen) FeedRecords(ctx context.Context, view *FeedView, row func(*FeedRecord) error) error {
	var streams []int64
	err := f.view.each(ctx, "SELECT no FROM streams WHERE dataset = ? ORDER BY no", []any{view.Dataset.String()}, func(scan scanFunc) error {
		var no int64
		err := scan(&no)
		streams = append(streams, no)
		return err
	})
	for _, stream := range streams {
		if err == nil {
			err = f.view.present(ctx, view.layout, stream, feedRow(stream, row))
		}
	}
	if err != nil {
		return fmt.Errorf("store: read records of %s: %w", view.Dataset, err)
	}
	return nil
}

// TrimFeed removes, in one transaction, at most piece changes of a dataset's log that
// were logged before a moment, or that are more than keep behind the head. It returns how many it
// removed: when that is piece, there may be more.
func (s *Store) TrimFeed(ctx context.Context, dataset lienthong.DatasetID, before int64, keep uint64, piece int) (int, error) {
	removed := int64(0)
	err := s.transact(ctx, func(w writer) error {
		removed = 0
		head, no, err := feedHead(ctx, w, dataset)
		if err != nil || head.Sequence == head.Floor {
			return err
		}
		to := min(head.Floor+uint64(piece), head.Sequence)
		if head.Open {
			var young *int64 // the first that is young enough to stay
			err = w.each(ctx, "SELECT min(sequence) FROM feed_log WHERE feed = ? AND sequence > ? AND sequence <= ? AND logged_at >= ?",
				[]any{no, int64(head.Floor), int64(to), before}, func(scan scanFunc) error { return scan(&young) })
			if err != nil {
				return err
			}
			old := to
			if young != nil {
				old = uint64(*young) - 1
			}
			surplus := head.Floor
			if head.Sequence > keep {
				surplus = min(to, max(head.Floor, head.Sequence-keep))
			}
			to = max(old, surplus)
		}
		if to == head.Floor {
			return nil
		}
		if removed, err = w.exec(ctx, "DELETE FROM feed_log WHERE feed = ? AND sequence <= ?", no, int64(to)); err != nil {
			return err
		}
		_, err = w.exec(ctx, "UPDATE feeds SET floor = ? WHERE no = ?", int64(to), no)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store: trim feed of %s: %w", dataset, err)
	}
	return int(removed), nil
}

// FeedChanged returns a channel that is closed when this program has committed the
// next changes of the dataset's feed. Ask for it before looking.
func (s *Store) FeedChanged(dataset lienthong.DatasetID) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.fed[dataset]
	if c == nil {
		c = make(chan struct{})
		s.fed[dataset] = c
	}
	return c
}

func (s *Store) signalFeed(dataset lienthong.DatasetID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.fed[dataset]; c != nil {
		close(c)
		delete(s.fed, dataset)
	}
}

// SavedSubscription is a subscription as the store keeps it: JSON of the feed package.
type SavedSubscription struct {
	ID       string
	Body     []byte
	Progress []byte // how far a delivery has come; empty at first
}

// SaveSubscription adds a subscription or replaces its body. Its progress stays.
func (s *Store) SaveSubscription(ctx context.Context, id string, body []byte) error {
	_, err := s.change(ctx, "INSERT INTO feed_subscriptions (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body", id, string(body))
	if err != nil {
		return fmt.Errorf("store: keep subscription %s: %w", id, err)
	}
	return nil
}

// SaveProgress keeps how far a delivery of a subscription has come.
func (s *Store) SaveProgress(ctx context.Context, id string, progress []byte) error {
	if _, err := s.change(ctx, "UPDATE feed_subscriptions SET progress = ? WHERE id = ?", string(progress), id); err != nil {
		return fmt.Errorf("store: keep progress of subscription %s: %w", id, err)
	}
	return nil
}

// RemoveSubscription forgets a subscription; false when there is none.
func (s *Store) RemoveSubscription(ctx context.Context, id string) (bool, error) {
	n, err := s.change(ctx, "DELETE FROM feed_subscriptions WHERE id = ?", id)
	if err != nil {
		return false, fmt.Errorf("store: remove subscription %s: %w", id, err)
	}
	return n > 0, nil
}

// SavedSubscriptions lists all subscriptions by id.
func (s *Store) SavedSubscriptions(ctx context.Context) ([]SavedSubscription, error) {
	var all []SavedSubscription
	err := s.engine.reader().each(ctx, "SELECT id, body, progress FROM feed_subscriptions ORDER BY id", nil, func(scan scanFunc) error {
		var one SavedSubscription
		var body, progress string
		err := scan(&one.ID, &body, &progress)
		one.Body, one.Progress = []byte(body), []byte(progress)
		all = append(all, one)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list subscriptions: %w", err)
	}
	return all, nil
}

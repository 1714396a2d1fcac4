package feed

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/lienthong/lienthong/internal/store"
)

// Reader is a consumer that has shown its key. It is made for one request or one
// connection: Current tells whether it still may read.
type Reader struct {
	feeds    *Feeds
	reader   *reader
	delivery Delivery
	tally    tally
}

// Subscription returns what the reader reads, without secrets.
func (r *Reader) Subscription() Subscription { return r.reader.public() }

// Current returns an error when the subscription has been removed, has expired, or
// has another key since the reader was made.
func (r *Reader) Current(ctx context.Context) error {
	now, found := r.feeds.find(r.reader.ID)
	if !found || now.KeyHash != r.reader.KeyHash {
		return problem("feed.key", "", "đăng ký hoặc khoá không còn hiệu lực", "the subscription or its key is no longer valid", "")
	}
	_, err := r.feeds.authorised(ctx, now, r.delivery)
	return err
}

// Event is one change as the consumer gets it.
type Event struct {
	Sequence uint64
	Body     []byte // JSON
	upsert   bool
}

// Page is a run of changes: after Previous, up to Sequence. Changes that do not
// concern the consumer are passed over, so it may hold few events or none.
type Page struct {
	Previous uint64
	Sequence uint64
	More     bool // there were further changes
	Events   []Event
	upserts  int
}

// AppendJSON appends the page as one JSON object.
func (p *Page) AppendJSON(b []byte, id string) []byte {
	b = append(b, `{"subscription":"`...)
	b = append(b, id...)
	b = append(b, `","previous":`...)
	b = strconv.AppendUint(b, p.Previous, 10)
	b = append(b, `,"sequence":`...)
	b = strconv.AppendUint(b, p.Sequence, 10)
	b = append(b, `,"more":`...)
	b = strconv.AppendBool(b, p.More)
	b = append(b, `,"events":[`...)
	for i := range p.Events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, p.Events[i].Body...)
	}
	return append(b, "]}"...)
}

const (
	// MaxLimit is the most events of one page.
	MaxLimit = 5000
	// pageBytes is the size from which a page is full.
	pageBytes = 4 << 20
	// chunkSize is how many changes are read at a time.
	chunkSize = 256
	// maxScan is how many changes a page passes over at most, so that an answer comes soon
	// however rare the consumer's rows are.
	maxScan = 50_000
)

// Changes returns what follows a sequence, at most limit events. An empty page whose
// sequence is the one asked for means that there is nothing new.
func (r *Reader) Changes(ctx context.Context, after uint64, limit int) (*Page, error) {
	page, err := r.changes(ctx, after, after, limit)
	if err != nil {
		return nil, err
	}
	r.read(ctx, page.upserts, page.Previous, page.Sequence)
	return page, nil
}

// changes reads what follows after, for a consumer that has been told of previous: the
// two differ where changes that do not concern it were passed over in silence.
func (r *Reader) changes(ctx context.Context, after, previous uint64, limit int) (*Page, error) {
	limit = min(max(limit, 1), MaxLimit)
	page := &Page{Previous: previous, Sequence: after}
	size, chunk, scanned := 0, chunkSize, 0
	for {
		entries, err := r.feeds.config.Store.FeedLog(ctx, r.reader.Dataset, page.Sequence, chunk)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			page.More = false
			return page, nil
		}
		page.More = true
		states, err := r.states(ctx, entries)
		if errors.Is(err, errTooMuch) {
			chunk = max(1, chunk/4)
			continue
		}
		if err != nil {
			return nil, err
		}
		scanned += len(entries)
		for i := range entries {
			if len(page.Events) >= limit || size >= pageBytes {
				return page, nil
			}
			e := &entries[i]
			page.Sequence = e.Sequence
			state := states[stateKey{e.Stream, string(e.ID)}]
			if state.told {
				continue // its first change in this chunk told the state after all of them
			}
			state.told = true
			if !state.live && !state.had {
				continue
			}
			event := Event{Sequence: e.Sequence, upsert: state.live}
			event.Body = appendEvent(make([]byte, 0, len(state.body)+96), e.Sequence, previous, state)
			page.Events = append(page.Events, event)
			if state.live {
				page.upserts++
			}
			size += len(event.Body)
			previous = e.Sequence
		}
		if scanned >= maxScan {
			return page, nil
		}
	}
}

func appendEvent(b []byte, sequence, previous uint64, state *recordState) []byte {
	b = append(b, `{"sequence":`...)
	b = strconv.AppendUint(b, sequence, 10)
	b = append(b, `,"previous":`...)
	b = strconv.AppendUint(b, previous, 10)
	if state.live {
		b = append(b, `,"op":"upsert",`...)
	} else {
		b = append(b, `,"op":"delete",`...)
	}
	b = append(b, state.body...)
	return append(b, '}')
}

type stateKey struct {
	stream int64
	id     string
}

// recordState is what a chunk of changes amounts to for one record.
type recordState struct {
	live bool // it is there now, and among the consumer's rows
	had  bool // the consumer may have it
	told bool
	body []byte
}

// errTooMuch says that the records of a chunk do not fit into a page.
var errTooMuch = errors.New("the records of a chunk are too large")

// states reads the records that the changes name. The log was read before them, so
// what they show is as new as the changes, or newer.
//
// Whether the consumer may have a record that is not among its rows now is decided by all of
// the record's changes in the chunk: reading runs ahead of the log, so a record may
// have been handed out in a state that only a later change names as its past.
func (r *Reader) states(ctx context.Context, entries []store.FeedEntry) (map[stateKey]*recordState, error) {
	states := make(map[stateKey]*recordState, len(entries))
	for i := range entries {
		e := &entries[i]
		key := stateKey{e.Stream, string(e.ID)}
		state := states[key]
		if state == nil {
			state = &recordState{}
			states[key] = state
			gone := store.FeedRecord{Stream: e.Stream, ID: e.ID, Version: e.Version, At: e.At}
			state.body = r.reader.appendRecord(nil, &gone, true)
		}
		state.had = state.had || r.reader.mayHave(e)
	}
	size := 0
	err := r.feeds.config.Store.FeedRecords(ctx, r.reader.view, entries, func(rec *store.FeedRecord) error {
		state := states[stateKey{rec.Stream, string(rec.ID)}]
		state.live = !rec.Deleted && (r.reader.rows == nil || r.reader.rows.matches(rec.Values))
		state.body = r.reader.appendRecord(nil, rec, !state.live)
		if size += len(state.body); size > 2*pageBytes && len(entries) > 1 {
			return errTooMuch
		}
		return nil
	})
	return states, err
}

// mayHave reports whether the consumer may have the record from before the change.
// Where the log does not know, it may: a deletion too many does no harm.
func (r *reader) mayHave(e *store.FeedEntry) bool {
	if r.rows == nil {
		return true
	}
	value, there, known := e.Before(r.rows.field)
	return !known || there && r.rows.matchesText([]byte(value))
}

// Head returns the newest sequence of the dataset's feed.
func (r *Reader) Head(ctx context.Context) (uint64, error) {
	head, err := r.feeds.config.Store.FeedHead(ctx, r.reader.Dataset)
	return head.Sequence, err
}

// Changed returns a channel that is closed when the feed grows. Ask for it before
// looking. It may miss what another process lands: look every Heartbeat as well.
func (r *Reader) Changed() <-chan struct{} {
	return r.feeds.config.Store.FeedChanged(r.reader.Dataset)
}

// Heartbeat is the longest silence of a stream.
func (r *Reader) Heartbeat() time.Duration { return r.feeds.config.Heartbeat }

// tally adds up what a connection reads, so that a stream of single changes is not an
// audit entry each.
type tally struct {
	records  int
	from, to uint64
	since    time.Time
}

// tallyFor is how long reads of one connection add up before they are reported.
const tallyFor = 10 * time.Second

// read counts records of personal fields that are about to be handed out.
func (r *Reader) read(ctx context.Context, records int, from, to uint64) {
	if records == 0 || !r.reader.personal {
		return
	}
	if r.tally.records == 0 {
		r.tally.from, r.tally.since = from, r.feeds.config.Now()
	}
	r.tally.records += records
	r.tally.to = to
	if r.feeds.config.Now().Sub(r.tally.since) >= tallyFor {
		r.Done(ctx)
	}
}

// Done reports what has been read. Every reader ends with it.
func (r *Reader) Done(ctx context.Context) {
	if r.tally.records == 0 {
		return
	}
	r.feeds.config.Audit(ctx, Access{
		Subscription: r.reader.ID, Consumer: r.reader.Consumer.Name, Member: r.reader.Consumer.Member, Dataset: r.reader.Dataset,
		Delivery: r.delivery, Records: r.tally.records, From: r.tally.from, To: r.tally.to,
	})
	r.tally = tally{}
}

package store

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/lienthong/lienthong"
)

// Item is one verified batch, to be applied.
type Item struct {
	Header lienthong.BatchHeader
	Digest string           // of the batch; the next header names it
	Shape  *lienthong.Shape // of batches with rows; it must have been defined
	Rows   Rows             // nil for batches that carry none
	Body   []byte           // payload of shape, digest and report batches, kept in the ledger
	// Version, of a repair batch: the version of the view that it shows. 0: the
	// highest version among its rows.
	Version int64
}

// Applied is what became of an item.
type Applied struct {
	Landed    int       // rows newer than the store, including those that a later row of the same Apply replaced
	Ignored   int       // rows that the store already had, or holds of records that never landed
	Refused   []Refusal // rows that cannot be stored; Landed + Ignored + len(Refused) = rows
	AppliedAt int64     // microseconds
	Duplicate bool      // the batch had been applied before; the figures are those of that time
}

// Refusal is a row that could not be stored. When the record was there, it is
// held from now on: its stored state is no longer known to be right.
type Refusal struct {
	ID     []byte // personal: for the owner only, never for a log
	Reason string // stable: text, decimal, date, timestamp, malformed, identity, columns, incomplete, operation, engine.*
}

// ItemError says which item of an Apply was at fault. Nothing of the Apply has
// been stored; the other items can be tried without it.
type ItemError struct {
	Index int
	Err   error
}

func (e *ItemError) Error() string { return "item " + strconv.Itoa(e.Index) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ItemError) Unwrap() error { return e.Err }

const (
	// maxPending is how many changes of one stream are brought down to one write.
	maxPending = 100_000
	// cautiousFor is how many writes of a snapshot look before they insert, after
	// one that met rows that were there already.
	cautiousFor = 16
)

// Apply lands batches in one transaction: all of them or none. Batches of one
// stream must follow each other; those of different streams may stand in any
// order, and Apply may run concurrently for different streams.
func (s *Store) Apply(ctx context.Context, items []Item) ([]Applied, error) {
	if len(items) == 0 {
		return nil, nil
	}
	a := &application{
		store: s, items: items, results: make([]Applied, len(items)),
		states: make(map[lienthong.Stream]*streamState), pending: make(map[lienthong.Stream]*pendingRows),
		sequences: make([]uint64, len(items)), now: micros(s.config.Now()),
	}
	for i := range items {
		a.sequences[i] = items[i].Header.Sequence
		if err := s.register(ctx, items[i].Header.Stream); err != nil {
			return nil, err
		}
	}
	err := s.transact(ctx, func(w writer) error {
		a.w = w
		if err := a.run(ctx); err != nil {
			return err
		}
		s.config.Step("before commit")
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.signalFeeds()
	for _, rows := range a.pending {
		s.giveSet(rows.set)
	}
	for _, i := range a.fresh {
		if n := len(a.results[i].Refused); n > 0 {
			s.config.Logger.WarnContext(ctx, "store: rows refused", slog.String("stream", items[i].Header.String()),
				slog.Uint64("sequence", items[i].Header.Sequence), slog.Int("rows", n), slog.String("first_reason", a.results[i].Refused[0].Reason))
		}
	}
	for _, stream := range a.order {
		if st := a.states[stream]; st.metRows {
			s.setCautious(st.No, cautiousFor)
		}
	}
	return a.results, nil
}

// application is the state of one Apply.
type application struct {
	store     *Store
	w         writer
	items     []Item
	sequences []uint64
	results   []Applied
	now       int64

	order   []lienthong.Stream // in which rows of table streams are locked, the same for everyone
	states  map[lienthong.Stream]*streamState
	pending map[lienthong.Stream]*pendingRows
	fresh   []int // items that are applied now, not duplicates
	logs    []*fedLog
}

type streamState struct {
	StreamState
	fed     int64 // the feed into which changes are logged; 0: none
	metRows bool
}

// pendingRows are rows of consecutive batches that are written together.
type pendingRows struct {
	set      *changeSet
	snapshot bool
	used     bool
}

func (a *application) run(ctx context.Context) error {
	if err := a.lockStreams(ctx); err != nil {
		return err
	}
	for i := range a.items {
		if err := a.take(ctx, i); err != nil {
			return &ItemError{Index: i, Err: err}
		}
	}
	for _, stream := range a.order {
		if err := a.flush(ctx, stream); err != nil {
			return fmt.Errorf("store: write records of %s: %w", stream, err)
		}
	}
	return a.account(ctx)
}

func (a *application) lockStreams(ctx context.Context) error {
	for i := range a.items {
		stream := a.items[i].Header.Stream
		if a.states[stream] == nil {
			a.states[stream] = new(streamState)
			a.order = append(a.order, stream)
		}
	}
	slices.SortFunc(a.order, func(x, y lienthong.Stream) int {
		return cmp.Or(cmp.Compare(x.Dataset.Database, y.Dataset.Database), cmp.Compare(x.Dataset.Name, y.Dataset.Name), cmp.Compare(x.Node, y.Node))
	})
	for _, stream := range a.order {
		state, fed, err := a.store.lockStream(ctx, a.w, stream)
		if err != nil {
			return err
		}
		a.states[stream].StreamState, a.states[stream].fed = state, fed
	}
	return nil
}

// take reads one batch.
func (a *application) take(ctx context.Context, i int) error {
	item := &a.items[i]
	state := a.states[item.Header.Stream]
	if item.Header.Sequence <= state.Sequence {
		return a.repeat(ctx, i)
	}
	if err := follows(item, state); err != nil {
		return err
	}
	state.Sequence, state.Digest = item.Header.Sequence, item.Digest
	state.Batches++
	a.fresh = append(a.fresh, i)
	if item.Rows == nil {
		return nil
	}
	if item.Shape == nil {
		return unknownShape(item.Header.Dataset, item.Header.ShapeVersion)
	}
	l, err := a.store.layout(ctx, a.w, item.Shape)
	if err != nil {
		return err
	}
	if item.Header.Kind == lienthong.RepairBatch {
		if err := a.flush(ctx, item.Header.Stream); err != nil {
			return err
		}
		return a.repair(ctx, i, l)
	}
	rows, err := a.pendingFor(ctx, item, l)
	if err != nil {
		return err
	}
	rows.used = true
	return rows.set.read(item.Rows, int32(i), a.refuser(i))
}

func (a *application) pendingFor(ctx context.Context, item *Item, l *layout) (*pendingRows, error) {
	snapshot := item.Header.Kind == lienthong.SnapshotBatch
	rows := a.pending[item.Header.Stream]
	if rows != nil && (rows.set.layout != l || rows.snapshot != snapshot || len(rows.set.changes) >= maxPending) {
		if err := a.flush(ctx, item.Header.Stream); err != nil {
			return nil, err
		}
		rows.set.reset(l)
	}
	if rows == nil {
		rows = &pendingRows{set: a.store.takeSet(l)}
		a.pending[item.Header.Stream] = rows
	}
	rows.snapshot = snapshot
	return rows, nil
}

func (a *application) refuser(i int) func(id []byte, reason string) {
	return func(id []byte, reason string) {
		a.results[i].Refused = append(a.results[i].Refused, Refusal{ID: slices.Clone(id), Reason: reason})
	}
}

func follows(item *Item, state *streamState) error {
	if item.Header.Begins() {
		return nil // the node's signed word that nothing earlier need be waited for
	}
	if item.Header.Sequence != state.Sequence+1 {
		return &lienthong.Error{
			Code: "store.gap", Where: item.Header.String() + " #" + strconv.FormatUint(item.Header.Sequence, 10),
			Vi:   "thiếu lô ở trước",
			En:   "batches before this one are missing; the last one is " + strconv.FormatUint(state.Sequence, 10),
			Hint: "yêu cầu nút gửi lại từ lô còn thiếu / ask the node to send again from the missing batch",
		}
	}
	if item.Header.Previous != state.Digest {
		return &lienthong.Error{
			Code: "store.chain", Where: item.Header.String() + " #" + strconv.FormatUint(item.Header.Sequence, 10),
			Vi:   "lô không nối tiếp lô đã nhận",
			En:   "the batch does not continue the chain that has landed",
			Hint: "đối chiếu chuỗi lô với nút gửi / compare the chain with the node's",
		}
	}
	return nil
}

// repeat answers a batch that is in the ledger, or comes twice in this Apply.
func (a *application) repeat(ctx context.Context, i int) error {
	header := &a.items[i].Header
	var known string
	for _, j := range a.fresh {
		if other := &a.items[j]; other.Header.Stream == header.Stream && other.Header.Sequence == header.Sequence {
			known = other.Digest
			a.results[i].Duplicate = true // figures are filled in at the end
		}
	}
	if known == "" {
		entry, err := ledgerEntry(ctx, a.w, a.states[header.Stream].No, header.Sequence)
		if err != nil {
			return err
		}
		known = entry.digest
		a.results[i] = entry.Applied
		a.results[i].Duplicate = true
	}
	if known != a.items[i].Digest {
		return &lienthong.Error{
			Code: "store.forked", Where: header.String() + " #" + strconv.FormatUint(header.Sequence, 10),
			Vi:   "đã có lô khác với cùng số thứ tự",
			En:   "another batch has landed with this number",
			Hint: "kiểm tra nút gửi: hai bản cùng chạy hoặc bị giả mạo / check the node: two copies are running, or it is forged",
		}
	}
	return nil
}

// flush writes what is pending of a stream.
func (a *application) flush(ctx context.Context, stream lienthong.Stream) error {
	rows := a.pending[stream]
	if rows == nil || !rows.used {
		return nil
	}
	rows.used = false
	set, state := rows.set, a.states[stream]
	// The rows of a first load are new, and finding that out costs more than
	// trying: insert, and look only when one was there.
	if rows.snapshot && set.plain && a.store.mayTry(state.No) {
		for i := range set.records {
			set.records[i].had, set.records[i].hadVersion = absent, 0
		}
		done, err := a.tryInsert(ctx, set, state)
		if done || err != nil {
			return err
		}
		state.metRows = true
	}
	all := make([]*record, len(set.records))
	for i := range set.records {
		all[i] = &set.records[i]
		all[i].had, all[i].hadVersion = absent, 0
	}
	if state.Live+state.Held+state.Deleted > 0 {
		if err := a.w.existing(ctx, set.layout, state.No, all); err != nil {
			return fmt.Errorf("look up records: %w", err)
		}
	}
	return a.settle(ctx, set, state, false)
}

// tryInsert writes the set as new records, and reports false, having undone it,
// when one was there.
func (a *application) tryInsert(ctx context.Context, set *changeSet, state *streamState) (done bool, err error) {
	set.settle(a.sequences, false, func(*change, []byte, outcome) {})
	touched := set.touched()
	if err := a.w.savepoint(ctx); err != nil {
		return false, err
	}
	if err := a.w.insert(ctx, set.layout, rowContext{state.No, a.now}, touched); err != nil {
		if _, ofRow := a.w.rowFault(err); !ofRow {
			return false, err
		}
		return false, a.w.rollbackToSavepoint(ctx)
	}
	if err := a.w.releaseSavepoint(ctx); err != nil {
		return false, err
	}
	set.settle(a.sequences, false, a.tally(state))
	state.count(touched)
	log, err := a.fedLogFor(ctx, state)
	a.feed(log, state, touched, nil)
	return true, err
}

// settle decides what becomes of each record and writes it.
func (a *application) settle(ctx context.Context, set *changeSet, state *streamState, sameVersionWins bool) error {
	set.settle(a.sequences, sameVersionWins, a.tally(state))
	touched := set.touched()
	set.group(touched)
	log, err := a.fedLogFor(ctx, state)
	if err != nil {
		return err
	}
	before, err := a.feedBefore(ctx, log, set.layout, state, touched)
	if err != nil {
		return err
	}
	if err := a.write(ctx, set.layout, state, touched); err != nil {
		return err
	}
	a.feed(log, state, touched, before)
	state.count(touched)
	return nil
}

// tally counts what became of each change for its item.
func (a *application) tally(state *streamState) func(*change, []byte, outcome) {
	return func(ch *change, id []byte, result outcome) {
		if ch.extra {
			return
		}
		switch into := &a.results[ch.item]; result {
		case landed:
			into.Landed++
			state.LastSourceAt = max(state.LastSourceAt, ch.at)
			if a.items[ch.item].Header.Kind == lienthong.ChangesBatch {
				state.Changes++
			}
		case ignored, marked:
			into.Ignored++
		case incomplete:
			into.Refused = append(into.Refused, Refusal{ID: slices.Clone(id), Reason: refusedIncomplete})
		case alreadyRefused:
		}
	}
}

// write stores the records; when the engine refuses some, it halves them until
// it has found which, so that their neighbours land.
func (a *application) write(ctx context.Context, l *layout, state *streamState, records []*record) error {
	if len(records) == 0 {
		return nil
	}
	if err := a.w.savepoint(ctx); err != nil {
		return err
	}
	err := a.writeOnce(ctx, l, state, records)
	if err == nil {
		return a.w.releaseSavepoint(ctx)
	}
	reason, ofRow := a.w.rowFault(err)
	if !ofRow {
		return err
	}
	if err := a.w.rollbackToSavepoint(ctx); err != nil {
		return err
	}
	if len(records) > 1 {
		half := len(records) / 2
		if err := a.write(ctx, l, state, records[:half]); err != nil {
			return err
		}
		return a.write(ctx, l, state, records[half:])
	}
	r := records[0]
	if r.allKept || r.had == absent {
		if !r.allKept {
			a.refuseRecord(r, reason)
		}
		r.touched = false
		return nil
	}
	// What is stored is no longer known to be right: hold it.
	a.refuseRecord(r, reason)
	r.allKept, r.values, r.is = true, nil, held
	if r.had == deleted {
		r.is = deleted
	}
	return a.write(ctx, l, state, records)
}

func (a *application) refuseRecord(r *record, reason string) {
	into := &a.results[r.item]
	into.Landed--
	into.Refused = append(into.Refused, Refusal{ID: slices.Clone(r.id), Reason: reason})
}

func (a *application) writeOnce(ctx context.Context, l *layout, state *streamState, records []*record) error {
	in := rowContext{state.No, a.now}
	inserts, updates := make([]*record, 0, len(records)), make([]*record, 0, len(records))
	for _, r := range records {
		if r.had == absent {
			inserts = append(inserts, r)
		} else {
			updates = append(updates, r)
		}
	}
	if len(inserts) > 0 {
		if err := a.w.insert(ctx, l, in, inserts); err != nil {
			return err
		}
	}
	if len(updates) > 0 {
		return a.w.update(ctx, l, in, updates)
	}
	return nil
}

// count follows the written records in the stream's counters.
func (st *streamState) count(records []*record) {
	for _, r := range records {
		if r.touched {
			st.add(r.had, -1)
			st.add(r.is, 1)
		}
	}
}

func (st *streamState) add(is presence, n int64) {
	switch is {
	case live:
		st.Live += n
	case held:
		st.Held += n
	case deleted:
		st.Deleted += n
	case absent:
	}
}

func (c *changeSet) touched() []*record {
	touched := make([]*record, 0, len(c.records))
	for i := range c.records {
		if c.records[i].touched {
			touched = append(touched, &c.records[i])
		}
	}
	return touched
}

// group numbers the sets of unchanged fields: group 0 has none.
func (c *changeSet) group(records []*record) {
	width := len(c.layout.columns)
	key := make([]byte, (width+7)/8)
	groups := map[string]int32{string(key): 0}
	for _, r := range records {
		r.group = 0
		if r.had == absent || r.values == nil && !r.allKept {
			continue
		}
		clear(key)
		for i := range width {
			if r.unchanged(i) {
				key[i/8] |= 1 << (i % 8)
			}
		}
		number, known := groups[string(key)]
		if !known {
			number = int32(len(groups))
			groups[string(key)] = number
		}
		r.group = number
	}
}

// keptSets and keptRows bound the memory that waits for the next Apply.
const (
	keptSets = 2
	keptRows = 40_000
)

func (s *Store) takeSet(l *layout) *changeSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.sets)
	if n == 0 {
		return newChangeSet(l)
	}
	set := s.sets[n-1]
	s.sets = s.sets[:n-1]
	set.layout = l
	return set
}

// giveSet takes back the set of an Apply that nothing reads any more.
func (s *Store) giveSet(set *changeSet) {
	if cap(set.changes) > keptRows {
		return
	}
	set.reset(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sets) < keptSets {
		s.sets = append(s.sets, set)
	}
}

func (s *Store) mayTry(stream int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cautious[stream] == 0 {
		return true
	}
	s.cautious[stream]--
	return false
}

func (s *Store) setCautious(stream int64, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cautious[stream] = writes
}

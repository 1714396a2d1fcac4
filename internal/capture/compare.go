package capture

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/connector"
)

// viewTimeout bounds how long the stream may stand still while a view is opened;
// a long transaction at the source can hold it up.
const viewTimeout = 30 * time.Second

// longestPause is between two looks whether the stream has handed over what it must.
const longestPause = 5 * time.Second

// reconcileAll compares every dataset of the source with the hub.
func (c *Capture) reconcileAll(ctx context.Context) error {
	return c.compare(ctx, func(*dataset) bool { return true })
}

// compareGaps compares the datasets of which changes were not taken for a while.
func (c *Capture) compareGaps(ctx context.Context) error {
	if !slices.ContainsFunc(c.byTable, (*dataset).awaitsComparison) {
		return nil
	}
	return c.compare(ctx, (*dataset).awaitsComparison)
}

// awaitsComparison reports whether a gap of the dataset has not been looked at yet.
func (d *dataset) awaitsComparison() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gap != nil && d.gap.Resumed > 0 && d.gap.Compared == 0 && d.snapshot && d.problem == nil
}

// ready reports whether the dataset can be compared.
func (d *dataset) ready() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.snapshot && d.problem == nil
}

// compare holds datasets of the source against the hub: it opens a view while the stream
// stands still, so that the view's position is not behind it, lets the stream put a checkpoint
// into every chain exactly there, and then reads the view.
func (c *Capture) compare(ctx context.Context, which func(*dataset) bool) error {
	b := &barrier{mark: rand.Text(), reached: make(chan struct{}), workers: map[*dataset]*worker{}}
	var read []*members
	defer func() {
		for _, m := range read {
			m.view(-1)
		}
	}()
	view, err := func() (connector.View, error) {
		c.sink.mu.Lock()
		defer c.sink.mu.Unlock()
		view, err := c.wholeView(ctx, which)
		if err != nil {
			return nil, err
		}
		for table, d := range c.byTable {
			if !which(d) || !d.ready() {
				continue
			}
			if d.members != nil {
				d.members.view(1)
				read = append(read, d.members)
			}
			// One whose table does not fit stands still from here on.
			w, err := c.sink.face(ctx, view, table)
			if err != nil && lienthong.ErrorCode(err) == "internal" {
				return view, err
			}
			if err == nil {
				b.workers[d] = w
			}
		}
		b.position = view.Position()
		c.sink.barrier = b
		if c.sink.ctx == nil {
			return view, nil
		}
		return view, c.sink.checkBarrier()
	}()
	if view != nil {
		defer func() { _ = view.Close() }()
	}
	if err != nil {
		return fmt.Errorf("capture: open view to reconcile: %w", err)
	}
	select {
	case <-b.reached:
	case <-ctx.Done():
		return ctx.Err()
	}
	var problems []error
	for table, d := range c.byTable {
		w := b.workers[d]
		if w == nil || !d.ready() {
			continue
		}
		err := c.shipDigest(ctx, view, table, w, b.mark)
		if err == nil {
			err = c.compared(ctx, d, b.mark)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// wholeView opens a view that shows what the stream has brought up to its position. It is called
// with the sink locked, and unlocks it while it waits for the stream to hand tables over.
func (c *Capture) wholeView(ctx context.Context, which func(*dataset) bool) (connector.View, error) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, longestPause) {
		viewCtx, cancel := context.WithTimeout(ctx, viewTimeout)
		view, err := c.Source.View(viewCtx)
		cancel()
		if err != nil {
			return nil, err
		}
		partial, can := view.(connector.Partial)
		open := false
		for table, d := range c.byTable {
			open = open || can && which(d) && d.ready() && partial.Partial(table)
		}
		if !open {
			return view, nil
		}
		if err := view.Close(); err != nil {
			return nil, err
		}
		c.sink.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		c.sink.mu.Lock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// compared notes that a gap has been looked at: from here on the hub asks for what differs.
func (c *Capture) compared(ctx context.Context, d *dataset, mark string) error {
	d.mu.Lock()
	var next *Gap
	if d.gap != nil && d.gap.Compared == 0 && slices.Contains(d.marks, mark) {
		gap := *d.gap
		next = &gap
	}
	d.mu.Unlock()
	if next == nil {
		return nil
	}
	next.Compared = c.Now().UnixMicro()
	return c.saveGap(ctx, d, next)
}

func (c *Capture) shipDigest(ctx context.Context, view connector.View, table int, w *worker, mark string) error {
	d := c.byTable[table]
	body := batch.DigestBody{Checkpoint: mark, Digest: new(batch.Digest)}
	next := shipment{}
	survey := newSurvey(w, view.Version())
	left := int64(0)
	// What is remembered of the records that the hub may have is brought in line as well: another
	// filter, or changes that were not taken, leave it behind.
	var change MemberChange
	err := c.scan(ctx, view, table, w, func(o outcome) error {
		if o == outside || o == unsaid {
			left++
			if d.members != nil && d.members.part(w.id, w.change.Version) {
				change.Left = append(change.Left, memberDigest(w.id))
			}
			return nil
		}
		if d.members != nil && o != unnamed {
			if fresh, _ := d.members.join(w.id, w.change.Version); fresh {
				change.Joined = append(change.Joined, memberDigest(w.id))
			}
		}
		body.SourceRows++
		survey.see(o)
		if o != passed {
			body.Quarantined++
			return nil
		}
		body.Digest.Add(w.hasher.Row(w.id, w.change.Values))
		return nil
	})
	if err != nil {
		return fmt.Errorf("capture: read %s to reconcile: %w", d.stream.Dataset, err)
	}
	d.rows.Store(body.SourceRows)
	d.filtered.Store(left)
	if d.members != nil {
		next.members = map[*dataset]MemberChange{d: change}
	}
	if observations := survey.end(); len(observations) > 0 {
		next.observations = map[*dataset][]Observation{d: observations}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("capture: encode digest of %s: %w", d.stream.Dataset, err)
	}
	next.parcels = []parcel{{
		dataset: d, kind: lienthong.DigestBatch, shape: w.shape.Version, raw: raw, mark: mark,
		first: view.Position(), last: view.Position(),
	}}
	return send(ctx, c.sealer.bulk, next)
}

// survey brings what is known of single records in line with a view of all of them: rules
// that depend on the time, and changes that were not taken, leave it behind.
type survey struct {
	worker  *worker
	version int64
	after   bool // a gap: what was found before may be about other values
	seen    map[string]struct{}
	found   []Observation
}

func newSurvey(w *worker, version int64) *survey {
	d := w.dataset
	d.mu.Lock()
	defer d.mu.Unlock()
	return &survey{worker: w, version: version, after: d.gap != nil, seen: make(map[string]struct{}, len(d.open))}
}

func (s *survey) see(o outcome) {
	w := s.worker
	failing := len(w.verdict.Failed) > 0
	d := w.dataset
	id := w.recordID(o)
	d.mu.Lock()
	opened, wasOpen := d.open[string(id)]
	if wasOpen {
		s.seen[string(id)] = struct{}{}
	}
	d.mu.Unlock()
	if opened > s.version || failing == wasOpen && (!failing || !s.after) {
		return
	}
	if obs, found := w.observation(o); found {
		s.found = append(s.found, obs)
		if failing {
			s.seen[obs.ID] = struct{}{}
		}
	}
}

// end adds what the view does not show any more.
func (s *survey) end() []Observation {
	d := s.worker.dataset
	now := s.worker.capture.Now().UnixMicro()
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, opened := range d.open {
		if _, seen := s.seen[id]; !seen && opened <= s.version {
			s.found = append(s.found, Observation{ID: id, At: now, Gone: true})
			delete(d.open, id)
			delete(d.overrides, id)
		}
	}
	return s.found
}

// scan maps and checks every row of a table as of the view. Rows that have no other name
// than all their values are seen once, however often they are there.
func (c *Capture) scan(ctx context.Context, view connector.View, table int, w *worker, each func(outcome) error) error {
	aligned, err := align(view, table, w)
	if err != nil {
		return err
	}
	chunks, err := view.Chunks(ctx, table, c.ChunkRows)
	if err != nil {
		return err
	}
	whole := w.dataset.definition.NamesWholeRows()
	seen := map[uint64]struct{}{}
	for _, chunk := range chunks {
		err := view.Read(ctx, table, chunk, func(row *connector.Row) error {
			o := w.take(aligned.row(row))
			if whole {
				digest := memberDigest(w.id)
				if _, twice := seen[digest]; twice {
					return nil
				}
				seen[digest] = struct{}{}
			}
			return each(o)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// alignment brings rows of a view to the columns that a worker knows. Nil: they
// are the same.
type alignment struct {
	from []int // for each column of the worker, that of the view
	to   connector.Row
}

// align compares what the view shows with what the worker was made for. A view that
// lacks a column of the worker cannot be read with it: the stream and the view are on two
// sides of a schema change, and the next attempt finds them on one.
func align(view connector.View, table int, w *worker) (*alignment, error) {
	describer, ok := view.(connector.Describer)
	if !ok {
		return nil, nil
	}
	shown := describer.Table(table).Columns
	same := func(a, b lienthong.Column) bool { return a.Name == b.Name && a.Kind == b.Kind }
	if slices.EqualFunc(shown, w.columns, same) {
		return nil, nil
	}
	a := &alignment{from: make([]int, len(w.columns))}
	for i, column := range w.columns {
		a.from[i] = slices.IndexFunc(shown, func(c lienthong.Column) bool { return same(c, column) })
		if a.from[i] < 0 {
			return nil, &lienthong.Error{
				Code: "dataset.columns_moved", Where: w.dataset.stream.Dataset.String() + ": " + column.Name,
				Vi: "cấu trúc bảng vừa thay đổi, chưa đọc đến chỗ đó", En: "the table's columns have just changed, and reading is not there yet",
				Hint: "hệ thống tự thử lại / it is tried again by itself",
			}
		}
	}
	a.to.Values = make([]lienthong.Value, len(w.columns))
	return a, nil
}

func (a *alignment) row(row *connector.Row) *connector.Row {
	if a == nil {
		return row
	}
	values := a.to.Values
	for i, from := range a.from {
		values[i] = row.Values[from]
	}
	a.to = *row
	a.to.Values = values
	return &a.to
}

// repairPass bounds how many buckets are collected in one reading of the table.
const repairPass = 128

// repair sends whole buckets as of a new view.
func (c *Capture) repair(ctx context.Context, task repairTask) error {
	if task.restart {
		return c.restart(ctx, task.dataset)
	}
	table := -1
	for i, d := range c.byTable {
		if d.stream.Dataset == task.dataset {
			table = i
		}
	}
	if table < 0 || !c.byTable[table].ready() {
		return nil
	}
	if m := c.byTable[table].members; m != nil {
		m.view(1)
		defer m.view(-1)
	}
	view, err := c.Source.View(ctx)
	if err != nil {
		return fmt.Errorf("capture: open view to repair: %w", err)
	}
	defer func() { _ = view.Close() }()
	for len(task.buckets) > 0 {
		n := min(len(task.buckets), repairPass)
		if err := c.repairBuckets(ctx, view, table, task.buckets[:n]); err != nil {
			return fmt.Errorf("capture: repair %s: %w", task.dataset, err)
		}
		task.buckets = task.buckets[n:]
	}
	return nil
}

func (c *Capture) repairBuckets(ctx context.Context, view connector.View, table int, buckets []int) error {
	type part struct {
		raw   []byte
		count int
	}
	parts := map[int]*part{}
	for _, b := range buckets {
		parts[b] = &part{}
	}
	d := c.byTable[table]
	c.sink.mu.Lock()
	w, err := c.sink.face(ctx, view, table)
	c.sink.mu.Unlock()
	if err != nil {
		return err
	}
	var joined []uint64
	err = c.scan(ctx, view, table, w, func(o outcome) error {
		if o != passed {
			return nil
		}
		if d.members != nil && parts[batch.BucketOf(w.id)] != nil {
			fresh, current := d.members.join(w.id, w.change.Version)
			if fresh {
				joined = append(joined, memberDigest(w.id))
			}
			if !current {
				return nil
			}
		}
		if p := parts[batch.BucketOf(w.id)]; p != nil {
			p.raw = w.append(p.raw, o)
			p.count++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, b := range buckets {
		bucket := b
		next := shipment{parcels: []parcel{{
			dataset: d, kind: lienthong.RepairBatch, shape: w.shape.Version,
			raw: parts[b].raw, count: parts[b].count, bucket: &bucket,
			first: view.Position(), last: lienthong.Position{Order: uint64(view.Version())}, version: view.Version(),
		}}}
		if i == 0 && len(joined) > 0 {
			next.members = map[*dataset]MemberChange{d: {Joined: joined}}
		}
		if err := send(ctx, c.sealer.bulk, next); err != nil {
			return err
		}
	}
	return nil
}

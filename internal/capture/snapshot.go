package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/connector"
)

// load is a snapshot of one dataset while it is read: the first load, or one that was asked
// for later.
type load struct {
	dataset *dataset
	table   int
	keys    KeyRange
	again   bool
	began   int64        // microseconds
	rows    atomic.Int64 // read by this process
	waits   atomic.Pointer[string]
	worker  *worker // for what the view shows; only to be cloned

	mu     sync.Mutex
	chunks []SavedChunk
	left   int // chunks that are not done
	failed bool
}

func (l *load) paused(why string) {
	if why == "" {
		l.waits.Store(nil)
		return
	}
	l.waits.Store(&why)
}

// set changes a chunk and returns it.
func (l *load) set(index int, change func(*SavedChunk)) SavedChunk {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.chunks[index])
	return l.chunks[index]
}

// broken marks the load as failed and reports whether it was already.
func (l *load) broken(now bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.failed
	l.failed = was || now
	return was
}

// piece is a chunk to be read.
type piece struct {
	load  *load
	index int
}

// snapshotAll reads every dataset that has no complete first load yet or was asked for
// again, small ones first, chunks in parallel. Chunks that an earlier run finished are not
// read again. A dataset that fails does not keep others from ending.
func (c *Capture) snapshotAll(ctx context.Context) error {
	var due []*load
	for table, d := range c.byTable {
		d.mu.Lock()
		if (!d.snapshot || d.again != nil) && d.problem == nil {
			l := &load{dataset: d, table: table, again: d.snapshot}
			if l.again {
				l.keys = *d.again
			}
			due = append(due, l)
		}
		d.mu.Unlock()
	}
	if len(due) == 0 {
		return nil
	}
	view, err := c.Source.View(ctx)
	if err != nil {
		return fmt.Errorf("capture: open view: %w", err)
	}
	defer func() { _ = view.Close() }()
	for _, l := range due {
		d := l.dataset
		d.mu.Lock()
		if !l.again {
			d.base = view.Position()
		}
		d.load = l
		d.mu.Unlock()
		if d.members != nil {
			d.members.view(1)
		}
	}
	defer func() {
		for _, l := range due {
			l.dataset.mu.Lock()
			l.dataset.load = nil
			l.dataset.mu.Unlock()
			if l.dataset.members != nil {
				l.dataset.members.view(-1)
			}
		}
	}()
	slices.SortStableFunc(due, func(a, b *load) int { return cmp.Compare(a.dataset.table.EstimatedRows, b.dataset.table.EstimatedRows) })
	return c.read(ctx, view, due)
}

// read reads the loads with a few readers.
func (c *Capture) read(ctx context.Context, view connector.View, due []*load) error {
	var mu sync.Mutex
	var problems []error
	var finishing []<-chan struct{}
	finish := func(ctx context.Context, l *load) error {
		done, err := c.finish(ctx, l)
		mu.Lock()
		defer mu.Unlock()
		finishing = append(finishing, done)
		return err
	}
	give := func(l *load, err error) {
		if err == nil || l.broken(true) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		problems = append(problems, fmt.Errorf("capture: snapshot of %s: %w", l.dataset.stream.Dataset, err))
	}
	todo := make(chan piece)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(todo)
		for _, l := range due {
			if err := c.plan(groupCtx, view, l); err != nil {
				give(l, err)
				continue
			}
			if l.left == 0 {
				give(l, finish(groupCtx, l))
			}
			for i := range l.chunks {
				if l.chunks[i].State == ChunkDone {
					continue
				}
				select {
				case todo <- piece{l, i}:
				case <-groupCtx.Done():
					return groupCtx.Err()
				}
			}
		}
		return nil
	})
	for range c.SnapshotWorkers {
		group.Go(func() error {
			var w *worker
			for p := range todo {
				if p.load.broken(false) {
					continue
				}
				if w == nil || w.dataset != p.load.dataset {
					w = p.load.worker.clone()
				}
				last, err := c.readChunk(groupCtx, view, w, p)
				if err == nil && last {
					err = finish(groupCtx, p.load)
				}
				if groupCtx.Err() != nil {
					return groupCtx.Err()
				}
				if mustDivideAgain(err) {
					err = errors.Join(err, c.State.PlanSnapshot(groupCtx, p.load.dataset.stream.Dataset, nil))
				}
				give(p.load, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, done := range finishing {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.Join(problems...)
}

// mustDivideAgain reports whether chunks of an earlier division mean nothing any more.
func mustDivideAgain(err error) bool {
	code := lienthong.ErrorCode(err)
	return strings.HasSuffix(code, ".table_rewritten") || strings.HasSuffix(code, ".chunk")
}

// plan divides the table, or goes on with the chunks of an earlier run.
func (c *Capture) plan(ctx context.Context, view connector.View, l *load) error {
	d := l.dataset
	c.sink.mu.Lock()
	w, err := c.sink.face(ctx, view, l.table)
	c.sink.mu.Unlock()
	if err != nil {
		return err
	}
	l.worker = w
	saved, err := c.State.Load(ctx, d.stream.Dataset)
	if err != nil {
		return fmt.Errorf("load its ledger: %w", err)
	}
	chunks := saved.Chunks
	if len(chunks) == 0 {
		planned, err := view.Chunks(ctx, l.table, c.ChunkRows)
		if err != nil {
			return fmt.Errorf("divide: %w", err)
		}
		if err := c.State.PlanSnapshot(ctx, d.stream.Dataset, planned); err != nil {
			return fmt.Errorf("keep its ledger: %w", err)
		}
		for _, chunk := range planned {
			chunks = append(chunks, SavedChunk{Chunk: chunk, State: ChunkPending})
		}
	}
	rows := int64(0)
	l.mu.Lock()
	l.chunks, l.left, l.began = chunks, 0, c.Now().UnixMicro()
	for i := range chunks {
		if chunks[i].State == ChunkDone {
			rows += chunks[i].Rows
		} else {
			l.left++
		}
	}
	l.mu.Unlock()
	d.chunkRows.Store(rows)
	d.expectedRows.Store(max(d.table.EstimatedRows, 1))
	return nil
}

// finish stands behind the last chunk in the same queue, so that "done" is not said too
// early. The channel is closed when it is said.
func (c *Capture) finish(ctx context.Context, l *load) (<-chan struct{}, error) {
	d := l.dataset
	done := make(chan struct{})
	err := send(ctx, c.sealer.bulk, shipment{durable: func(ctx context.Context) error {
		if l.again {
			// Records that have vanished are found by the comparison.
			now := c.Now().UnixMicro()
			if err := c.saveGap(ctx, d, &Gap{Code: GapAgain, Since: now, Resumed: now}); err != nil {
				return err
			}
		}
		if err := c.State.SnapshotDone(ctx, d.stream.Dataset); err != nil {
			return err
		}
		d.mu.Lock()
		d.snapshot, d.again = true, nil
		d.mu.Unlock()
		d.expectedRows.Store(0)
		close(done)
		return nil
	}})
	if err != nil {
		close(done)
	}
	return done, err
}

// readChunk ships a chunk in batches; the last one marks it as done. It reports whether
// the chunk was the last of its load.
func (c *Capture) readChunk(ctx context.Context, view connector.View, w *worker, p piece) (last bool, err error) {
	d, l := w.dataset, p.load
	aligned, err := align(view, l.table, w)
	if err != nil {
		return false, err
	}
	chunk := l.set(p.index, func(s *SavedChunk) {
		s.State, s.Started = ChunkReading, c.Now().UnixMicro()
	})
	if err := c.State.SaveChunk(ctx, d.stream.Dataset, p.index, chunk); err != nil {
		return false, fmt.Errorf("keep its ledger: %w", err)
	}
	pacer := c.pacer(l)
	raw, count, rows := c.sealer.buffer(), 0, int64(0)
	var sum chunkDigest
	var observations []Observation
	var joined []uint64
	ship := func(durable func(context.Context) error) error {
		next := shipment{durable: durable}
		if len(observations) > 0 {
			next.observations = map[*dataset][]Observation{d: observations}
			observations = nil
		}
		if len(joined) > 0 {
			next.members = map[*dataset]MemberChange{d: {Joined: joined}}
			joined = nil
		}
		if count > 0 {
			next.parcels = []parcel{{
				dataset: d, kind: lienthong.SnapshotBatch, shape: w.shape.Version, raw: raw, count: count,
				first: view.Position(), last: view.Position(), version: view.Version(),
			}}
			raw, count = c.sealer.buffer(), 0
		}
		return pacer.outside(func() error { return send(ctx, c.sealer.bulk, next) })
	}
	err = view.Read(ctx, l.table, chunk.Chunk, func(row *connector.Row) error {
		rows++
		l.rows.Add(1)
		if err := pacer.row(ctx); err != nil {
			return err
		}
		o := w.take(aligned.row(row))
		d.read.Add(1)
		d.chunkRows.Add(1)
		if o == outside || o == unsaid || !w.matches(l.keys) {
			return nil
		}
		if d.members != nil && o != unnamed {
			fresh, current := d.members.join(w.id, w.change.Version)
			if fresh {
				joined = append(joined, memberDigest(w.id))
			}
			if !current {
				return nil
			}
		}
		if o != passed {
			d.quarantined.Add(1)
		}
		if obs, found := w.observation(o); found {
			observations = append(observations, obs)
			if err := w.reject(l.table); err != nil {
				return err
			}
		}
		if o != passed {
			return nil
		}
		sum.add(w.hasher.Row(w.id, w.change.Values))
		raw = w.append(raw, o)
		if count++; count >= maxBatchRows || len(raw) >= maxBatchBytes {
			return ship(nil)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	err = ship(func(ctx context.Context) error {
		done := l.set(p.index, func(s *SavedChunk) {
			s.State, s.Rows, s.Digest, s.Finished = ChunkDone, rows, sum.String(), c.Now().UnixMicro()
		})
		return c.State.SaveChunk(ctx, d.stream.Dataset, p.index, done)
	})
	if err != nil {
		return false, err
	}
	c.sealer.release(raw)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left--
	return l.left == 0 && !l.failed, nil
}

// chunkDigest sums the hashes of rows, in no order.
type chunkDigest struct {
	hi, lo uint64
	rows   int64
}

func (d *chunkDigest) add(h batch.RowHash) {
	lo := d.lo + h.Sum[1]
	if lo < d.lo {
		d.hi++
	}
	d.lo = lo
	d.hi += h.Sum[0]
	d.rows++
}

func (d *chunkDigest) String() string { return fmt.Sprintf("%016x%016x/%d", d.hi, d.lo, d.rows) }

// Resnapshot reads a dataset, or a range of its records, again: beside what is there, and
// behind live changes. Records of the source replace older states at the hub; the comparison that
// follows removes what the source no longer has. It returns when the order is durable; Snapshots
// shows how far it is.
func (c *Capture) Resnapshot(ctx context.Context, dataset lienthong.DatasetID, keys KeyRange) error {
	d := c.find(dataset)
	if d == nil {
		return noDataset(dataset)
	}
	if err := d.stopped(); err != nil {
		return err
	}
	if err := checkRange(d, keys); err != nil {
		return err
	}
	if err := c.State.AskSnapshot(ctx, dataset, keys); err != nil {
		return fmt.Errorf("capture: ask for a snapshot of %s: %w", dataset, err)
	}
	d.mu.Lock()
	if d.snapshot {
		d.again = &keys
	}
	d.mu.Unlock()
	c.needSnapshot()
	return nil
}

func checkRange(d *dataset, keys KeyRange) error {
	d.mu.Lock()
	checked := d.worker.mapper.Checked()
	d.mu.Unlock()
	numbers := len(checked.Identity) == 1 && checked.Fields[checked.Identity[0]].Kind == lienthong.Integer
	for _, end := range []string{keys.From, keys.To} {
		if _, err := strconv.ParseInt(end, 10, 64); numbers && end != "" && err != nil {
			return &lienthong.Error{
				Code: "snapshot.range", Where: d.stream.Dataset.String(), Vi: "khoảng khoá phải là số", En: "the ends of the range must be numbers",
				Hint: "ví dụ / such as 1000..2000",
			}
		}
	}
	if !numbers && keys.From != "" && keys.To != "" && keys.From > keys.To {
		return &lienthong.Error{
			Code: "snapshot.range", Where: d.stream.Dataset.String(), Vi: "khoảng khoá bị ngược", En: "the range ends before it begins",
			Hint: "đổi chỗ from và to / swap from and to",
		}
	}
	return nil
}

// SnapshotStatus tells people how far a snapshot is.
type SnapshotStatus struct {
	Dataset       lienthong.DatasetID `json:"dataset"`
	State         string              `json:"state"` // "waiting", "reading", "paused", "done"
	Again         bool                `json:"again,omitempty"`
	Keys          KeyRange            `json:"keys"`
	Rows          int64               `json:"rows"`
	Expected      int64               `json:"expected"` // what the source believes; 0 when unknown
	Chunks        int                 `json:"chunks"`
	ChunksDone    int                 `json:"chunks_done"`
	RowsPerSecond float64             `json:"rows_per_second"`
	Remaining     time.Duration       `json:"remaining"` // estimated; 0 when unknown
	Paused        string              `json:"paused,omitempty"`
	PausedVi      string              `json:"paused_vi,omitempty"`
	PausedEn      string              `json:"paused_en,omitempty"`
	Started       int64               `json:"started"`
}

// Snapshots tells where each dataset's first load, or the snapshot that was asked for, is.
func (c *Capture) Snapshots() []SnapshotStatus {
	c.mu.Lock()
	datasets := slices.Clone(c.datasets)
	c.mu.Unlock()
	all := make([]SnapshotStatus, 0, len(datasets))
	for _, d := range datasets {
		d.mu.Lock()
		s := SnapshotStatus{Dataset: d.stream.Dataset, State: "waiting", Again: d.again != nil, Rows: d.chunkRows.Load()}
		l := d.load
		if d.again != nil {
			s.Keys = *d.again
		}
		if d.snapshot && d.again == nil {
			s.State = "done"
		}
		if d.problem != nil && s.State != "done" {
			s.State, s.Paused = "paused", lienthong.ErrorCode(d.problem)
			s.PausedVi, s.PausedEn = d.difference.Vi, d.difference.En
		}
		d.mu.Unlock()
		if l != nil && s.State != "done" {
			c.progress(&s, d, l)
		}
		all = append(all, s)
	}
	return all
}

func (c *Capture) progress(s *SnapshotStatus, d *dataset, l *load) {
	l.mu.Lock()
	s.Chunks, s.ChunksDone, s.Started = len(l.chunks), len(l.chunks)-l.left, l.began
	l.mu.Unlock()
	s.Expected = max(d.expectedRows.Load(), s.Rows)
	if s.Started == 0 {
		return
	}
	s.State = "reading"
	if seconds := float64(c.Now().UnixMicro()-s.Started) / 1e6; seconds > 0 {
		s.RowsPerSecond = float64(l.rows.Load()) / seconds
	}
	if s.RowsPerSecond > 0 {
		s.Remaining = time.Duration(float64(s.Expected-s.Rows) / s.RowsPerSecond * float64(time.Second))
	}
	if why := l.waits.Load(); why != nil {
		s.State, s.Paused = "paused", *why
		s.PausedVi, s.PausedEn = pausedWords(*why)
	}
}

func pausedWords(why string) (vi, en string) {
	switch why {
	case pausedBudget:
		return "nghỉ để không làm nặng nguồn", "resting so as not to burden the source"
	case pausedLive:
		return "nhường thay đổi mới", "giving way to live changes"
	case pausedLog:
		return "nguồn đang giữ nhiều nhật ký: nhường để luồng thay đổi theo kịp", "the source holds back much of its log: the stream must catch up first"
	case pausedSpool:
		return "chờ hàng đợi hoặc đường truyền", "waiting for the spool or the line"
	}
	return why, why
}

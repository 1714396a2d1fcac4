package capture

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/connector"
)

// snapshotAll reads every dataset that has no complete first load yet. Chunks
// that an earlier run finished are not read again.
func (c *Capture) snapshotAll(ctx context.Context) error {
	var due []int
	for table, d := range c.byTable {
		d.mu.Lock()
		if !d.snapshot && d.problem == nil {
			due = append(due, table)
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
	for _, table := range due {
		d := c.byTable[table]
		d.mu.Lock()
		d.base = view.Position()
		d.mu.Unlock()
	}
	for _, table := range due {
		if err := c.snapshot(ctx, view, table); err != nil {
			return err
		}
	}
	return nil
}

func (c *Capture) snapshot(ctx context.Context, view connector.View, table int) error {
	d := c.byTable[table]
	saved, err := c.State.Load(ctx, d.stream.Dataset)
	if err != nil {
		return fmt.Errorf("capture: load snapshot of %s: %w", d.stream.Dataset, err)
	}
	chunks := saved.Chunks
	if len(chunks) == 0 {
		planned, err := view.Chunks(ctx, table, c.ChunkRows)
		if err != nil {
			return fmt.Errorf("capture: divide %s: %w", d.stream.Dataset, err)
		}
		if err := c.State.PlanSnapshot(ctx, d.stream.Dataset, planned); err != nil {
			return fmt.Errorf("capture: plan snapshot of %s: %w", d.stream.Dataset, err)
		}
		for _, chunk := range planned {
			chunks = append(chunks, SavedChunk{Chunk: chunk})
		}
	}
	d.chunkRows.Store(0)
	d.expectedRows.Store(max(d.table.EstimatedRows, 1))
	todo := make(chan int)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(todo)
		for i := range chunks {
			if chunks[i].Done {
				d.chunkRows.Add(chunks[i].Rows)
				continue
			}
			select {
			case todo <- i:
			case <-groupCtx.Done():
				return groupCtx.Err()
			}
		}
		return nil
	})
	for range c.SnapshotWorkers {
		group.Go(func() error {
			d.mu.Lock()
			w := d.worker.clone()
			d.mu.Unlock()
			for i := range todo {
				if err := c.readChunk(groupCtx, view, table, w, i, chunks[i].Chunk); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("capture: snapshot of %s: %w", d.stream.Dataset, err)
	}
	// Behind the last chunk in the same queue, so that "done" is not said too early.
	done := make(chan struct{})
	err = send(ctx, c.sealer.bulk, shipment{durable: func(ctx context.Context) error {
		if err := c.State.SnapshotDone(ctx, d.stream.Dataset); err != nil {
			return err
		}
		close(done)
		return nil
	}})
	if err != nil {
		return err
	}
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.mu.Lock()
	d.snapshot = true
	d.mu.Unlock()
	d.expectedRows.Store(0)
	return nil
}

// readChunk ships a chunk in batches; the last one marks it as done.
func (c *Capture) readChunk(ctx context.Context, view connector.View, table int, w *worker, index int, chunk connector.Chunk) error {
	d := w.dataset
	aligned, err := align(view, table, w)
	if err != nil {
		return err
	}
	raw, count, rows := c.sealer.buffer(), 0, int64(0)
	var observations []Observation
	ship := func(durable func(context.Context) error) error {
		next := shipment{durable: durable}
		if len(observations) > 0 {
			next.observations = map[*dataset][]Observation{d: observations}
			observations = nil
		}
		if count > 0 {
			next.parcels = []parcel{{
				dataset: d, kind: lienthong.SnapshotBatch, shape: w.shape.Version, raw: raw, count: count,
				first: view.Position(), last: view.Position(),
			}}
			raw, count = c.sealer.buffer(), 0
		}
		return send(ctx, c.sealer.bulk, next)
	}
	err = view.Read(ctx, table, chunk, func(row *connector.Row) error {
		rows++
		o := w.take(aligned.row(row))
		d.read.Add(1)
		d.chunkRows.Add(1)
		if o != passed {
			d.quarantined.Add(1)
		}
		if obs, found := w.observation(o); found {
			observations = append(observations, obs)
			if err := w.reject(table); err != nil {
				return err
			}
		}
		if o != passed {
			return nil
		}
		raw = w.append(raw, o)
		if count++; count >= maxBatchRows || len(raw) >= maxBatchBytes {
			return ship(nil)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return ship(func(ctx context.Context) error {
		return c.State.ChunkDone(ctx, d.stream.Dataset, index, rows)
	})
}

// viewTimeout bounds how long the stream may stand still while a view is opened;
// a long transaction at the source can hold it up.
const viewTimeout = 30 * time.Second

// reconcileAll compares every dataset of the source with the hub: it opens a view
// while the stream stands still, so that the view's position is not behind it, lets the
// stream put a checkpoint into every chain exactly there, and then reads the view.
func (c *Capture) reconcileAll(ctx context.Context) error {
	b := &barrier{mark: rand.Text(), reached: make(chan struct{})}
	view, err := func() (connector.View, error) {
		c.sink.mu.Lock()
		defer c.sink.mu.Unlock()
		viewCtx, cancel := context.WithTimeout(ctx, viewTimeout)
		defer cancel()
		view, err := c.Source.View(viewCtx)
		if err != nil {
			return nil, err
		}
		b.position = view.Position()
		c.sink.barrier = b
		if c.sink.ctx == nil {
			return view, nil
		}
		return view, c.sink.checkBarrier()
	}()
	if err != nil {
		return fmt.Errorf("capture: open view to reconcile: %w", err)
	}
	defer func() { _ = view.Close() }()
	select {
	case <-b.reached:
	case <-ctx.Done():
		return ctx.Err()
	}
	for table, d := range c.byTable {
		d.mu.Lock()
		ready := d.snapshot && d.problem == nil
		d.mu.Unlock()
		w := b.workers[d] // written before reached was closed
		if !ready || w == nil {
			continue
		}
		if err := c.shipDigest(ctx, view, table, w, b.mark); err != nil {
			return err
		}
	}
	return nil
}

func (c *Capture) shipDigest(ctx context.Context, view connector.View, table int, w *worker, mark string) error {
	d := c.byTable[table]
	body := batch.DigestBody{Checkpoint: mark, Digest: new(batch.Digest)}
	err := c.scan(ctx, view, table, w, func(o outcome) error {
		body.SourceRows++
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
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("capture: encode digest of %s: %w", d.stream.Dataset, err)
	}
	return send(ctx, c.sealer.bulk, shipment{parcels: []parcel{{
		dataset: d, kind: lienthong.DigestBatch, shape: w.shape.Version, raw: raw, mark: mark,
		first: view.Position(), last: view.Position(),
	}}})
}

// scan maps and checks every row of a table as of the view.
func (c *Capture) scan(ctx context.Context, view connector.View, table int, w *worker, each func(outcome) error) error {
	aligned, err := align(view, table, w)
	if err != nil {
		return err
	}
	chunks, err := view.Chunks(ctx, table, c.ChunkRows)
	if err != nil {
		return err
	}
	for _, chunk := range chunks {
		err := view.Read(ctx, table, chunk, func(row *connector.Row) error { return each(w.take(aligned.row(row))) })
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
	table := -1
	for i, d := range c.byTable {
		if d.stream.Dataset == task.dataset {
			table = i
		}
	}
	if table < 0 {
		return nil
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
	d.mu.Lock()
	w := d.worker.clone()
	d.mu.Unlock()
	err := c.scan(ctx, view, table, w, func(o outcome) error {
		if o != passed {
			return nil
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
	for _, b := range buckets {
		bucket := b
		err := send(ctx, c.sealer.bulk, shipment{parcels: []parcel{{
			dataset: d, kind: lienthong.RepairBatch, shape: w.shape.Version,
			raw: parts[b].raw, count: parts[b].count, bucket: &bucket,
			first: view.Position(), last: lienthong.Position{Order: uint64(view.Version())},
		}}})
		if err != nil {
			return err
		}
	}
	return nil
}

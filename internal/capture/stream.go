package capture

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// sink collects what the source streams into one batch per dataset, and ships
// them together: when the source has nothing more at the moment and the sealer is
// free, or when a batch is full. So one change moves at once, and under load batches
// grow by themselves.
type sink struct {
	capture *Capture
	ctx     context.Context // of the stream being delivered; the contract's methods have none

	shipping  atomic.Int32 // live shipments not yet durable
	queued    atomic.Bool  // changes are collected that the sealer has no time for
	busySince atomic.Int64 // when the stream last had nothing waiting and then something, microseconds; 0: it rests

	// fits is the position at which the table of a dataset that stands still became one that it
	// could run on; 0: none. Once that is acknowledged, a session can begin behind it.
	fits atomic.Uint64

	// ackMu has a lock of its own: the sealer takes it while the stream may hold mu and
	// wait for the sealer.
	ackMu sync.Mutex
	acked lienthong.Position // acknowledged to the source

	mu           sync.Mutex
	pending      []*dataset // with rows in their builder
	builders     map[*dataset]*builder
	observations map[*dataset][]Observation
	current      lienthong.Position // of the transaction at hand
	committed    lienthong.Position // the source is complete up to here
	shipped      lienthong.Position // covered by shipments handed over
	wanted       bool               // ship as soon as the sealer is free
	barrier      *barrier
}

type builder struct {
	raw   []byte
	count int
	shape int
	first lienthong.Position
}

// barrier marks the position of a view: a checkpoint goes into every chain
// exactly between what the view shows and what it does not.
type barrier struct {
	position lienthong.Position
	mark     string
	reached  chan struct{}
	// workers are those of the datasets to be compared, made for what the view shows. The
	// checkpoints name the versions of their shapes, so the view is read with them and no others.
	workers map[*dataset]*worker
}

// restart forgets what was collected but not handed over; the source delivers it
// again from the position on, and has nothing before it.
func (s *sink) restart(ctx context.Context, after lienthong.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = ctx
	for _, b := range s.builders {
		s.capture.sealer.release(b.raw)
	}
	s.pending, s.builders, s.observations = nil, map[*dataset]*builder{}, map[*dataset][]Observation{}
	for _, d := range s.capture.byTable {
		if d.members != nil {
			d.members.revert()
		}
	}
	s.busySince.Store(0)
	s.queued.Store(false)
	s.committed = after
	if s.shipped.Before(after) {
		s.shipped = after
	}
}

func (s *sink) acknowledged() lienthong.Position {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	return s.acked
}

// Begin implements connector.Sink.
func (s *sink) Begin(pos lienthong.Position, _ int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = pos
	if s.busySince.Load() == 0 {
		s.busySince.Store(s.capture.Now().UnixMicro())
	}
	if s.barrier != nil && s.barrier.position.Before(pos) {
		return s.pass()
	}
	return nil
}

// Change implements connector.Sink.
func (s *sink) Change(row *connector.Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.capture.byTable[row.Table]
	if d.stopped() != nil {
		return nil // the dataset gets a new snapshot when it goes on
	}
	w := d.live
	o := w.take(row)
	if row.Op == lienthong.Upsert && hasUnchanged(row.Values) && (d.baseMissing(w.id, s.current) || d.members != nil && d.movesIn(w, o)) {
		if completer, can := s.capture.Source.(connector.Completer); can {
			if err := completer.Complete(s.ctx, row.Table, row.Values); err != nil {
				return fmt.Errorf("capture: complete a row of %s: %w", d.stream.Dataset, err)
			}
			o = w.take(row)
		}
	}
	if d.members != nil {
		var travels bool
		if o, travels = w.belongs(o); !travels {
			return nil
		}
	}
	d.read.Add(1)
	d.changes.Add(1)
	d.lastAt.Store(row.At)
	if o != passed {
		d.quarantined.Add(1)
	}
	if obs, found := w.observation(o); found {
		s.observations[d] = append(s.observations[d], obs)
		if len(obs.Findings) > 0 {
			if err := w.reject(row.Table); err != nil {
				return err
			}
		}
	}
	if o == unnamed {
		return nil
	}
	b := s.builders[d]
	if b == nil {
		b = &builder{raw: s.capture.sealer.buffer(), shape: w.shape.Version, first: s.committed}
		s.builders[d] = b
		s.pending = append(s.pending, d)
	}
	b.raw = w.append(b.raw, o)
	b.count++
	if b.count >= maxBatchRows || len(b.raw) >= maxBatchBytes {
		return s.ship()
	}
	return nil
}

// baseMissing reports whether the hub may have no state of the record that a value
// could stay unchanged from: its first load is not complete, the change is from before
// that load, or the record was held back.
func (d *dataset) baseMissing(id []byte, at lienthong.Position) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, wasOpen := d.open[string(id)]
	return wasOpen || !d.snapshot || !d.base.Before(at) || d.gap != nil
}

// movesIn reports whether a row that leaves something unsaid may be of a record that the
// hub does not have, and that belongs to it now.
func (d *dataset) movesIn(w *worker, o outcome) bool { return o != outside && !d.members.has(w.id) }

// caughtUp says that the stream has delivered everything from before now.
func (d *dataset) caughtUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.snapshot {
		d.base = lienthong.Position{}
	}
}

// Truncate implements connector.Sink: the hub is told to drop every older row.
func (s *sink) Truncate(table int, version, at int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.capture.byTable[table]
	if d.stopped() != nil {
		return nil
	}
	if err := s.ship(); err != nil {
		return err
	}
	d.emptiedAt.Store(version)
	all := lienthong.AllBuckets
	next := shipment{parcels: []parcel{{
		dataset: d, kind: lienthong.RepairBatch, shape: d.worker.shape.Version, bucket: &all,
		first: s.committed, last: lienthong.Position{Order: uint64(version)},
	}}}
	if d.members != nil {
		d.members.clear()
		next.members = map[*dataset]MemberChange{d: {Cleared: true}}
	}
	next.observations = map[*dataset][]Observation{d: d.emptied(version, s.capture.Now().UnixMicro())}
	return s.hand(next)
}

// emptied closes the findings of every record that a truncate took away.
func (d *dataset) emptied(version, at int64) []Observation {
	d.mu.Lock()
	defer d.mu.Unlock()
	var gone []Observation
	for id, opened := range d.open {
		if opened < version {
			gone = append(gone, Observation{ID: id, At: at, Gone: true})
			delete(d.open, id)
			delete(d.overrides, id)
		}
	}
	return gone
}

// Schema implements connector.Sink. A change that the mapping can take becomes the
// next version of the shape; any other stops this dataset alone.
func (s *sink) Schema(table int, now connector.Table) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.capture.byTable[table]
	if d.stopped() != nil {
		d.mu.Lock()
		d.table = now
		saved := d.saved
		d.mu.Unlock()
		if _, err := s.capture.fit(d, &now, &saved); err == nil {
			s.fits.Store(s.current.Order)
		}
		return nil
	}
	if err := s.ship(); err != nil {
		return err
	}
	worker, err := s.follow(s.ctx, d, now)
	if lienthong.ErrorCode(err) == "internal" {
		return err
	}
	if err != nil {
		return nil // it stands still
	}
	d.mu.Lock()
	d.live = worker.clone()
	d.mu.Unlock()
	return nil
}

// face returns a worker for what a view shows of a table. A view can be ahead of the stream: it
// shows a column before the first change that carries it. Its rows must travel with all of
// their columns, because they are newer than such changes, which the hub will not take after
// them. Called with mu held.
func (s *sink) face(ctx context.Context, view connector.View, table int) (*worker, error) {
	d := s.capture.byTable[table]
	if err := d.stopped(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	w, known := d.worker, d.table
	d.mu.Unlock()
	describer, can := view.(connector.Describer)
	if !can {
		return w.clone(), nil
	}
	shown := describer.Table(table)
	before, after := layoutOf(&connector.Table{Columns: w.columns}), layoutOf(&shown)
	if slices.Equal(before.Columns, after.Columns) && sameNames(layoutOf(&known).Key, after.Key) {
		return w.clone(), nil
	}
	if shown.EstimatedRows < 0 {
		shown.EstimatedRows = known.EstimatedRows
	}
	w, err := s.follow(ctx, d, shown)
	if err != nil {
		return nil, err
	}
	return w.clone(), nil
}

// follow makes the dataset fit its table as it is now. The next shape, if there is one, goes
// into the chain before anything that uses it. When the table does not fit, the dataset stands
// still and the error says why. Called with mu held.
func (s *sink) follow(ctx context.Context, d *dataset, now connector.Table) (*worker, error) {
	c := s.capture
	d.mu.Lock()
	saved := d.saved // its shape is the newest that was sent
	d.mu.Unlock()
	worker, err := c.fit(d, &now, &saved)
	if err != nil {
		d.mu.Lock()
		d.table = now
		d.mu.Unlock()
		err = explain(d, saved.Baseline.Layout, &now, err)
		if lienthong.ErrorCode(err) == "internal" {
			return nil, err
		}
		if err := c.halt(ctx, d, err); err != nil {
			return nil, err
		}
		return nil, err
	}
	reshaped := worker.shape.Version != saved.Shape.Version
	if reshaped {
		next, err := c.shapeShipment(d, worker.shape)
		if err != nil {
			return nil, err
		}
		if err := s.handOver(ctx, next); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	d.table, d.worker = now, worker
	d.mu.Unlock()
	d.sent(worker.shape)
	return worker, s.followed(ctx, d, &now, reshaped)
}

// followed keeps what the dataset runs on now. A column that is new to the hub can hold
// values that no change tells of, such as a default: both ends are compared.
func (s *sink) followed(ctx context.Context, d *dataset, now *connector.Table, reshaped bool) error {
	c := s.capture
	baseline := Baseline{Layout: layoutOf(now), Mapping: mappingDigest(d.definition)}
	if err := c.State.SaveBaseline(ctx, d.stream.Dataset, baseline); err != nil {
		return fmt.Errorf("capture: save what %s was compiled from: %w", d.stream.Dataset, err)
	}
	d.mu.Lock()
	d.saved.Baseline = baseline
	compare := reshaped && (d.gap == nil || d.gap.Code == GapSchema)
	d.mu.Unlock()
	if !compare {
		return nil
	}
	at := c.Now().UnixMicro()
	if err := c.saveGap(ctx, d, &Gap{Code: GapSchema, Since: at, Resumed: at}); err != nil {
		return err
	}
	c.needComparison()
	return nil
}

// Commit implements connector.Sink.
func (s *sink) Commit(pos lienthong.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.committed.Before(pos) {
		s.committed = pos
	}
	return s.checkBarrier()
}

// Idle implements connector.Sink.
func (s *sink) Idle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busySince.Store(0)
	for _, d := range s.capture.byTable {
		d.caughtUp()
	}
	if err := s.checkBarrier(); err != nil {
		return err
	}
	if len(s.pending) == 0 && len(s.observations) == 0 && !s.shipped.Before(s.committed) {
		return nil
	}
	// Ask first, then look: the sealer looks in the other order, so that one of us
	// ships whatever happens between.
	s.wanted = true
	if s.shipping.Load() == 0 {
		return s.ship()
	}
	s.queued.Store(len(s.pending) > 0)
	return nil
}

// sealerIdle is called by the sealer when it has nothing left to do.
func (s *sink) sealerIdle() {
	if !s.mu.TryLock() {
		return // the stream is at work and will ask again
	}
	defer s.mu.Unlock()
	if s.wanted && s.shipping.Load() == 0 && s.ctx != nil && s.ctx.Err() == nil {
		_ = s.ship() // fails only when ctx ends
	}
}

func (s *sink) checkBarrier() error {
	if s.barrier != nil && !s.committed.Before(s.barrier.position) {
		return s.pass()
	}
	return nil
}

// pass ships what is collected and then one checkpoint per dataset.
func (s *sink) pass() error {
	if err := s.ship(); err != nil {
		return err
	}
	b := s.barrier
	s.barrier = nil
	var marks shipment
	for _, d := range s.capture.byTable {
		if w := b.workers[d]; w != nil && d.stopped() == nil {
			d.mu.Lock()
			if d.gap != nil && d.gap.Resumed > 0 {
				d.marks = append(d.marks, b.mark)
			}
			d.mu.Unlock()
			marks.parcels = append(marks.parcels, parcel{
				dataset: d, kind: lienthong.CheckpointBatch, shape: w.shape.Version, mark: b.mark,
				first: b.position, last: b.position,
			})
		}
	}
	marks.durable = func(context.Context) error { close(b.reached); return nil }
	return s.hand(marks)
}

// ship hands over what is collected. Called with mu held.
func (s *sink) ship() error {
	s.wanted = false
	s.queued.Store(false)
	next := shipment{observations: s.observations, members: s.joins()}
	for _, d := range s.pending {
		b := s.builders[d]
		next.parcels = append(next.parcels, parcel{
			dataset: d, kind: lienthong.ChangesBatch, shape: b.shape, raw: b.raw, count: b.count,
			first: b.first, last: s.committed,
		})
		delete(s.builders, d)
	}
	s.pending, s.observations = nil, map[*dataset][]Observation{}
	position := s.committed
	if len(next.parcels) == 0 && len(next.observations) == 0 && len(next.members) == 0 && !s.shipped.Before(position) {
		return nil
	}
	s.shipped = position
	source := s.capture.Source
	next.durable = func(ctx context.Context) error {
		s.capture.Step("before acknowledge")
		if err := source.Acknowledge(ctx, position); err != nil {
			// The source delivers again from where it is; nothing is lost.
			s.capture.fail(ctx, "source did not take the acknowledgement", err)
			return nil
		}
		s.ackMu.Lock()
		s.acked = position
		s.ackMu.Unlock()
		if at := s.fits.Load(); at != 0 && at <= position.Order && s.fits.CompareAndSwap(at, 0) {
			s.capture.lookAgain()
		}
		return nil
	}
	if s.capture.AcknowledgeEarly {
		if err := source.Acknowledge(s.ctx, position); err != nil {
			return err
		}
	}
	return s.hand(next)
}

// joins collects what the stream has changed about the records that the hub may have.
func (s *sink) joins() map[*dataset]MemberChange {
	var all map[*dataset]MemberChange
	for _, d := range s.pending {
		if d.members == nil {
			continue
		}
		if change, any := d.members.change(); any {
			if all == nil {
				all = map[*dataset]MemberChange{}
			}
			all[d] = change
		}
	}
	return all
}

func (s *sink) hand(next shipment) error { return s.handOver(s.ctx, next) }

func (s *sink) handOver(ctx context.Context, next shipment) error {
	s.shipping.Add(1)
	durable := next.durable
	next.durable = func(ctx context.Context) error {
		if durable != nil {
			if err := durable(ctx); err != nil {
				return err // and it is tried again
			}
		}
		s.shipping.Add(-1)
		return nil
	}
	return send(ctx, s.capture.sealer.live, next)
}

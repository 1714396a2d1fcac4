// Package capture is the node side of synchronisation: it reads a source, brings
// its rows to the dictionary's form, checks them, and puts signed batches into the
// spool.
//
// The order of steps is the promise: the source is acknowledged only after every
// batch up to that position is on the spool's disk. A crash before that makes the
// source deliver again; a row that is delivered twice has the same version twice, and
// the hub ignores the second.
//
// Live changes and the first load run side by side. Versions, not order of arrival,
// decide which state of a record wins, so a chunk of the snapshot may arrive before
// or after the changes of its rows.
package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Config configures the capture of one source.
type Config struct {
	Node        string
	Source      connector.Source
	Definitions []*dictionary.Definition
	Dictionary  *dictionary.Dictionary
	Signer      batch.Signer
	Spool       Spool
	State       State
	// RecordKey keys the digests by which findings name records outside this node.
	RecordKey []byte
	// ReconcileEvery is the time between reconciliations. 0 means one hour; less than 0 only on demand.
	ReconcileEvery time.Duration
	// ReportEvery is the shortest time between quality reports. 0 means five seconds.
	ReportEvery time.Duration
	// SnapshotWorkers read chunks in parallel. 0 means 2.
	SnapshotWorkers int
	// ChunkRows is the size of a snapshot chunk. 0 means 20,000.
	ChunkRows int
	// Sealed is told of every batch that is in the spool. It must not block.
	Sealed func(*batch.Sealed)
	Now    func() time.Time
	Log    *slog.Logger
	// Step is a place for tests to end the process: it is called with the name of each
	// point between two durable steps. Nil in production.
	Step func(point string)
	// AcknowledgeEarly breaks promise 1 on purpose, so that a test can prove that the
	// fault tests notice. Never set in production.
	AcknowledgeEarly bool
}

const (
	// A batch ends at whichever comes first. 5,000 rows is where set-based apply
	// stops gaining; 1 MiB raw is a quarter of it on the wire, which NATS likes.
	maxBatchRows  = 5000
	maxBatchBytes = 1 << 20
	// keptBuffers is how many batches are on their way at once when nothing waits.
	keptBuffers = 4
)

// Capture moves one source into the spool.
type Capture struct {
	Config
	datasets []*dataset // one per definition, in its order
	tables   []string   // of active datasets, as given to Source.Start
	byTable  []*dataset // by index into tables
	sealer   *sealer
	sink     *sink

	reconcile chan chan error // requests, answered when the digests are in the spool
	repairs   chan repairTask // buckets that the hub wants again
	again     chan struct{}   // a dataset needs its snapshot (again)
	started   chan struct{}   // closed when datasets are compiled
	connected atomic.Bool
	failure   atomic.Pointer[string] // code of what keeps the source from streaming
	warned    atomic.Pointer[string] // the code that the log heard of last
	warnedAt  atomic.Int64           // and when, microseconds
}

type repairTask struct {
	dataset lienthong.DatasetID
	buckets []int
}

// New returns a capture; Run starts it.
func New(config Config) (*Capture, error) {
	if config.ReconcileEvery == 0 {
		config.ReconcileEvery = time.Hour
	}
	if config.ReportEvery == 0 {
		config.ReportEvery = 5 * time.Second
	}
	if config.SnapshotWorkers == 0 {
		config.SnapshotWorkers = 2
	}
	if config.ChunkRows == 0 {
		config.ChunkRows = 20_000
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Step == nil {
		config.Step = func(string) {}
	}
	if config.Sealed == nil {
		config.Sealed = func(*batch.Sealed) {}
	}
	seal, err := batch.NewSealer(config.Signer)
	if err != nil {
		return nil, err
	}
	c := &Capture{
		Config:    config,
		reconcile: make(chan chan error), repairs: make(chan repairTask, 16), again: make(chan struct{}, 1),
		started: make(chan struct{}),
	}
	c.sealer = &sealer{
		live: make(chan shipment, 2), bulk: make(chan shipment, 2), buffers: make(chan []byte, keptBuffers), seal: seal, spool: config.Spool,
		now: func() int64 { return config.Now().UnixMicro() }, step: config.Step, sealed: config.Sealed,
		state: config.State,
	}
	c.sink = &sink{capture: c}
	c.sealer.idle = c.sink.sealerIdle
	c.sealer.trouble = func(ctx context.Context, err error) {
		if err == nil {
			c.failure.Store(nil)
			return
		}
		c.fail(ctx, "the node's state cannot be saved", err)
	}
	return c, nil
}

// retryAfter is how long capture waits before it tries a failing source again.
const retryAfter = 2 * time.Second

// Run captures until ctx ends. A source that cannot be reached is tried again; a
// dataset that cannot go on stops alone. Run returns an error only for what no
// retry can mend.
func (c *Capture) Run(ctx context.Context) error {
	position, err := c.prepare(ctx)
	if err != nil {
		return err
	}
	close(c.started)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.sealer.run(ctx) })
	group.Go(func() error { return c.stream(ctx, position) })
	group.Go(func() error { return c.control(ctx) })
	group.Go(func() error { return c.report(ctx) })
	err = group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// prepare compiles the datasets against the live tables and starts the source,
// trying again while the source cannot be reached.
func (c *Capture) prepare(ctx context.Context) (lienthong.Position, error) {
	for {
		position, err := c.tryPrepare(ctx)
		if err == nil {
			c.connected.Store(true)
			c.failure.Store(nil)
			return position, nil
		}
		if ctx.Err() != nil {
			return position, ctx.Err()
		}
		c.fail(ctx, "source not ready", err)
		if err := pause(ctx, retryAfter); err != nil {
			return position, err
		}
	}
}

// warnEvery is how often the log hears of a failure that goes on.
const warnEvery = time.Minute

func (c *Capture) fail(ctx context.Context, what string, err error) {
	code := lienthong.ErrorCode(err)
	c.connected.Store(false)
	c.failure.Store(&code)
	now := c.Now().UnixMicro()
	if last := c.warned.Swap(&code); last != nil && *last == code && now-c.warnedAt.Load() < warnEvery.Microseconds() {
		return
	}
	c.warnedAt.Store(now)
	c.Log.WarnContext(ctx, "source is in trouble", slog.String("what", what), slog.String("code", code), slog.Any("error", err))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Capture) tryPrepare(ctx context.Context) (lienthong.Position, error) {
	tables, err := c.Source.Tables(ctx)
	if err != nil {
		return lienthong.Position{}, fmt.Errorf("capture: list tables: %w", err)
	}
	c.datasets, c.tables, c.byTable = nil, nil, nil
	for _, definition := range c.Definitions {
		d := &dataset{definition: definition, stream: lienthong.Stream{Node: c.Node, Dataset: definition.Dataset}}
		c.datasets = append(c.datasets, d)
		if err := c.openDataset(ctx, d, tables); err != nil {
			if lienthong.ErrorCode(err) == "internal" {
				return lienthong.Position{}, err
			}
			d.stop(err)
			c.Log.ErrorContext(ctx, "dataset stopped", slog.String("dataset", definition.Dataset.String()), slog.Any("error", err))
			continue
		}
		c.tables = append(c.tables, d.table.Name)
		c.byTable = append(c.byTable, d)
	}
	if len(c.tables) == 0 {
		var problems []error
		for _, d := range c.datasets {
			problems = append(problems, d.stopped())
		}
		return lienthong.Position{}, errors.Join(problems...)
	}
	return c.Source.Start(ctx, c.tables)
}

// stream delivers changes to the sink and starts again when the source fails.
func (c *Capture) stream(ctx context.Context, after lienthong.Position) error {
	for {
		if a := c.sink.acknowledged(); after.Before(a) {
			after = a
		}
		c.sink.restart(ctx, after)
		c.connected.Store(true)
		c.failure.Store(nil)
		err := c.Source.Stream(ctx, after, c.sink)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var fatal *fatalError
		if errors.As(err, &fatal) {
			return fatal.err
		}
		c.fail(ctx, "source stopped streaming", err)
		if err := pause(ctx, retryAfter); err != nil {
			return err
		}
	}
}

// fatalError marks what comes from our side of the sink, not from the source.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

// Reconcile compares the source with the hub now. It returns when the source's
// digests are in the spool; the result comes from the hub.
func (c *Capture) Reconcile(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case c.reconcile <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Repair sends whole digest buckets again, in the background.
func (c *Capture) Repair(dataset lienthong.DatasetID, buckets []int) {
	select {
	case c.repairs <- repairTask{dataset, buckets}:
	default: // the next reconciliation asks again
	}
}

// control runs the long jobs one after the other: snapshot, reconciliation,
// repair.
func (c *Capture) control(ctx context.Context) error {
	var schedule <-chan time.Time
	if c.ReconcileEvery > 0 {
		tick := time.NewTicker(c.ReconcileEvery)
		defer tick.Stop()
		schedule = tick.C
	}
	c.needSnapshot()
	for {
		var err error
		what := "reconciliation put off"
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.again:
			what = "snapshot interrupted"
			if err = c.snapshotAll(ctx); err != nil {
				time.AfterFunc(retryAfter, c.needSnapshot)
			} else if c.ReconcileEvery > 0 {
				err = c.reconcileAll(ctx)
				c.soon(err)
			}
		case done := <-c.reconcile:
			err = c.reconcileAll(ctx)
			done <- err
		case <-schedule:
			err = c.reconcileAll(ctx)
			c.soon(err)
		case task := <-c.repairs:
			what = "repair put off"
			if err = c.repair(ctx, task); err == nil {
				err = c.reconcileAll(ctx)
			}
			c.soon(err)
		}
		if err != nil && ctx.Err() == nil {
			c.Log.WarnContext(ctx, "job put off", slog.String("what", what), slog.String("code", lienthong.ErrorCode(err)), slog.Any("error", err))
		}
	}
}

// compareAgainAfter is how long a comparison that failed waits for the next: long
// enough not to burden a source that is in trouble, and much shorter than
// ReconcileEvery may be.
const compareAgainAfter = 30 * time.Second

// soon compares again after a failure that nobody waits for.
func (c *Capture) soon(err error) {
	if err != nil && c.ReconcileEvery > 0 {
		time.AfterFunc(min(compareAgainAfter, c.ReconcileEvery), c.needSnapshot)
	}
}

func (c *Capture) needSnapshot() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// Status is what a node says about one dataset.
type Status struct {
	Dataset      lienthong.DatasetID `json:"dataset"`
	Read         int64               `json:"read"`        // rows read since the start of the process
	Changes      int64               `json:"changes"`     // of them changes, not snapshot rows
	Quarantined  int64               `json:"quarantined"` // rows held back since the start of the process
	SnapshotDone int64               `json:"snapshot_done"`
	SnapshotRows int64               `json:"snapshot_rows"` // expected; 0 when no snapshot runs
	ShapeVersion int                 `json:"shape_version"`
	LastAt       int64               `json:"last_at"`           // source time of the newest change read, microseconds
	Stopped      string              `json:"stopped,omitempty"` // code of what stops the dataset
	Failure      string              `json:"failure,omitempty"` // code of what stops the source
}

// Statuses tells where each dataset is. It is empty until the source was reached
// for the first time.
func (c *Capture) Statuses() []Status {
	select {
	case <-c.started:
	default:
		return nil
	}
	failure := ""
	if f := c.failure.Load(); f != nil {
		failure = *f
	}
	var all []Status
	for _, d := range c.datasets {
		s := d.status()
		s.Failure = failure
		all = append(all, s)
	}
	return all
}

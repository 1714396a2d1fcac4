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
	"slices"
	"strings"
	"sync"
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
	Compression batch.Compression // of the node's batches
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
	// SnapshotShare is the part of the time, above 0 and at most 1, that each reader of a
	// snapshot may spend reading the source. 0 means 1.
	SnapshotShare float64
	// SnapshotRowsPerSecond bounds what all readers together read. 0: no bound.
	SnapshotRowsPerSecond int
	// RetainBudget is how many bytes of its log a source may hold back for this node: at half
	// of it people are told, at 80 % snapshots pause, and at all of it the log is given up when
	// the spool cannot take more; what is missing is compared and sent later. 0: no bound.
	RetainBudget int64
	// HealthEvery is the time between looks at the source's health. 0 means 15 seconds.
	HealthEvery time.Duration
	// HealthTick takes the place of HealthEvery in tests.
	HealthTick <-chan time.Time
	// Guarded is called after each look at the source's health. For tests; it must not block.
	Guarded func()
	// FieldKeys gives the keys by which fields are hashed and tokenised, by name. They never
	// leave the node.
	FieldKeys func(name string) ([]byte, error)
	// Notice hears of every step that protects a source, and of datasets that stand still and
	// go on, for the audit log. It must not block.
	Notice func(Notice)
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
	seal *batch.Sealer

	// Of the running session. They are replaced while no session runs; mu is for those who
	// look from outside.
	mu          sync.Mutex
	definitions []*dictionary.Definition
	datasets    []*dataset // one per definition, in its order
	tables      []string   // as given to Source.Start
	byTable     []*dataset // by index into tables
	sealer      *sealer
	sink        *sink
	told        map[lienthong.DatasetID]string // what people have heard of each dataset that stands still
	begin       func(*restart)                 // ends the session for another
	session     chan struct{}                  // closed when the session that follows has started, or could not

	reconcile   chan chan error // requests, answered when the digests are in the spool
	repairs     chan repairTask // buckets that the hub wants again
	again       chan struct{}   // a dataset needs its snapshot (again)
	gaps        chan struct{}   // a dataset must be compared
	look        chan struct{}   // a dataset that stands still may run again
	started     chan struct{}   // closed when datasets are compiled
	startedOnce sync.Once
	limiter     limiter
	retained    atomic.Int32 // retention
	health      atomic.Pointer[connector.Health]
	connected   atomic.Bool
	failure     atomic.Pointer[string] // code of what keeps the source from streaming
	warned      atomic.Pointer[string] // the code that the log heard of last
	warnedAt    atomic.Int64           // and when, microseconds
}

type repairTask struct {
	dataset lienthong.DatasetID
	buckets []int
	restart bool // instead: see Restart
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
	if config.HealthEvery == 0 {
		config.HealthEvery = 15 * time.Second
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
	if config.SnapshotShare < 0 || config.SnapshotShare > 1 || config.SnapshotRowsPerSecond < 0 {
		return nil, &lienthong.Error{
			Code: "capture.budget", Where: fmt.Sprint(config.SnapshotShare), Vi: "mức tải khi nạp phải từ 0 đến 1", En: "the share of snapshots must be between 0 and 1",
			Hint: "ví dụ 0.5: nửa thời gian / such as 0.5: half of the time",
		}
	}
	seal, err := batch.NewSealerAt(config.Signer, config.Compression)
	if err != nil {
		return nil, err
	}
	return &Capture{
		Config: config, seal: seal, definitions: slices.Clone(config.Definitions),
		reconcile: make(chan chan error), repairs: make(chan repairTask, 16), again: make(chan struct{}, 1), gaps: make(chan struct{}, 1), look: make(chan struct{}, 1),
		started: make(chan struct{}), session: make(chan struct{}), begin: func(*restart) {},
		told: map[lienthong.DatasetID]string{},
	}, nil
}

// newSession makes what one session owns.
func (c *Capture) newSession() {
	sealer := &sealer{
		live: make(chan shipment, 2), bulk: make(chan shipment, 2), buffers: make(chan []byte, keptBuffers), seal: c.seal, spool: c.Spool,
		now: func() int64 { return c.Now().UnixMicro() }, step: c.Step, sealed: c.Sealed,
		state: c.State,
	}
	sink := &sink{capture: c}
	sealer.idle = sink.sealerIdle
	sealer.trouble = func(ctx context.Context, err error) {
		if err == nil {
			c.failure.Store(nil)
			return
		}
		c.fail(ctx, "the node's state cannot be saved", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealer, c.sink = sealer, sink
}

// retryAfter is how long capture waits before it tries a failing source again.
const retryAfter = 2 * time.Second

// Run captures until ctx ends. A source that cannot be reached is tried again; a
// dataset that cannot go on stops alone. Run returns an error only for what no
// retry can mend.
//
// It runs sessions, one after the other: each begins as a new process would, from what is
// durable. So a mapping that is changed while capture runs, a dataset that goes on, and a source
// whose log was given up take the road that a restart takes, and lose as little.
func (c *Capture) Run(ctx context.Context) error {
	for lost := 0; ; {
		err := c.runSession(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var next *restart
		if !errors.As(err, &next) {
			return err
		}
		if next.code != GapLost {
			lost = 0
		} else if lost++; lost > 1 && pause(ctx, retryAfter) != nil {
			return nil // the source loses its log again at once: no hurry
		}
		if next.code != "" {
			if err := c.abandon(ctx, next); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		}
	}
}

func (c *Capture) runSession(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	c.newSession()
	c.mu.Lock()
	c.begin = func(r *restart) { end(r) }
	announce := c.session
	c.session = make(chan struct{})
	c.mu.Unlock()
	position, err := c.prepare(ctx)
	close(announce)
	if err == nil {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return c.sealer.run(ctx) })
		group.Go(func() error { return c.stream(ctx, position) })
		group.Go(func() error { return c.control(ctx) })
		group.Go(func() error { return c.report(ctx) })
		group.Go(func() error { return c.guard(ctx) })
		err = group.Wait()
	}
	var asked *restart
	if errors.As(context.Cause(ctx), &asked) {
		return asked
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
		if connector.HistoryLost(err) {
			return position, &restart{code: GapLost, err: err}
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
	if err := c.openDatasets(ctx, tables); err != nil {
		return lienthong.Position{}, err
	}
	if len(c.tables) == 0 {
		var problems []error
		for _, d := range c.datasets {
			problems = append(problems, d.stopped())
		}
		return lienthong.Position{}, errors.Join(problems...)
	}
	released := c.released()
	if released {
		if err := c.awaitRoom(ctx); err != nil {
			return lienthong.Position{}, err
		}
	}
	position, err := c.Source.Start(ctx, c.tables)
	if err == nil && released {
		err = c.retake(ctx, position)
	}
	return position, err
}

// openDatasets compiles every definition. A dataset that cannot run stands still; its table
// is read all the same when it can be.
func (c *Capture) openDatasets(ctx context.Context, tables []connector.Table) error {
	c.mu.Lock()
	definitions, before := c.definitions, c.datasets
	c.mu.Unlock()
	var datasets, byTable []*dataset
	var names []string
	for _, definition := range definitions {
		d := &dataset{definition: definition, stream: lienthong.Stream{Node: c.Node, Dataset: definition.Dataset}}
		for _, earlier := range before {
			if earlier.stream.Dataset == definition.Dataset {
				d.inherit(earlier)
			}
		}
		datasets = append(datasets, d)
		readable, err := c.openDataset(ctx, d, tables)
		if err != nil {
			if lienthong.ErrorCode(err) == "internal" {
				return err
			}
			if err := c.halt(ctx, d, err); err != nil {
				return err
			}
		} else {
			c.tell(definition.Dataset, "")
		}
		if readable {
			names = append(names, d.table.Name)
			byTable = append(byTable, d)
		}
	}
	c.mu.Lock()
	c.datasets, c.tables, c.byTable = datasets, names, byTable
	c.mu.Unlock()
	c.startedOnce.Do(func() { close(c.started) })
	return nil
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
		if connector.HistoryLost(err) {
			return &restart{code: GapLost, err: err}
		}
		c.fail(ctx, "source stopped streaming", err)
		if strings.HasSuffix(lienthong.ErrorCode(err), ".schema_changed") {
			// A table is not what it was: the session that follows looks at all of them, and
			// stops the one alone.
			if err := pause(ctx, retryAfter); err != nil {
				return err
			}
			return &restart{err: err}
		}
		if err := pause(ctx, retryAfter); err != nil {
			return err
		}
	}
}

// Reconcile compares the source with the hub now. It returns when the source's
// digests are in the spool; the result comes from the hub.
func (c *Capture) Reconcile(ctx context.Context) error {
	for {
		done := make(chan error, 1)
		select {
		case c.reconcile <- done:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) && ctx.Err() == nil {
				continue // a session has ended; the next one compares
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Repair sends whole digest buckets again, in the background.
func (c *Capture) Repair(dataset lienthong.DatasetID, buckets []int) {
	select {
	case c.repairs <- repairTask{dataset: dataset, buckets: buckets}:
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
	c.needComparison()
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
			} else {
				c.needComparison()
			}
		case <-c.gaps:
			if err = c.compareGaps(ctx); err != nil {
				time.AfterFunc(retryAfter, c.needComparison)
			}
		case done := <-c.reconcile:
			err = c.reconcileAll(ctx)
			done <- err
		case <-schedule:
			err = c.reconcileAll(ctx)
			c.soon(err)
		case task := <-c.repairs:
			what = "repair put off"
			if err = c.repair(ctx, task); err == nil && !task.restart {
				err = c.compare(ctx, func(d *dataset) bool { return d.stream.Dataset == task.dataset })
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

// needComparison asks for a comparison of the datasets that have a gap.
func (c *Capture) needComparison() {
	select {
	case c.gaps <- struct{}{}:
	default:
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
	LastAt       int64               `json:"last_at"`              // source time of the newest change read, microseconds
	Filtered     int64               `json:"filtered,omitempty"`   // rows that do not belong to the dataset, as of the last comparison
	Stopped      string              `json:"stopped,omitempty"`    // code of what stops the dataset
	Difference   *Difference         `json:"difference,omitempty"` // the same in words, with what to do
	Gap          *Gap                `json:"gap,omitempty"`        // changes that were not taken for a while, until both ends were found equal
	Failure      string              `json:"failure,omitempty"`    // code of what stops the source
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
	c.mu.Lock()
	datasets := slices.Clone(c.datasets)
	c.mu.Unlock()
	var all []Status
	for _, d := range datasets {
		s := d.status()
		s.Failure = failure
		all = append(all, s)
	}
	return all
}

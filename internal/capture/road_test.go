package capture_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/landing"
	"github.com/lienthong/lienthong/internal/store"
)

// road is a whole way from a source to a hub: capture, a spool in memory, landing and a real
// store. The source is any harness's. Both ends can be compared row by row.
type road struct {
	t       testing.TB
	harness conntest.Harness
	config  capture.Config // a template; Source, State and Spool are the road's
	dir     string
	state   *store.NodeState
	records *store.Store
	hubFile *sql.DB // the hub's tables, read past the store

	capture *capture.Capture
	source  connector.Source
	stop    func() // ends the capture that runs, and waits for it
	cancel  func() // ends it and does not wait

	mu       sync.Mutex
	changed  chan struct{}
	spool    []*batch.Sealed // without a receipt
	number   uint64
	inbox    []landing.Delivery
	closed   bool                // the spool is full
	holds    lienthong.BatchKind // the spool takes no batch of this kind
	notices  []capture.Notice
	results  []lienthong.Reconciliation
	kinds    map[lienthong.BatchKind]int
	marks    map[string]string // the last checkpoint of each dataset
	refused  []string
	carried  []string // "kind op id" of every row that travelled
	shapes   map[string]*lienthong.Shape
	guarded  int
	lossy    bool // an append that was cut may or may not be in the spool
	cutCount int
}

func newRoad(t testing.TB, harness conntest.Harness, config capture.Config, definitions ...string) *road {
	t.Helper()
	r := &road{
		t: t, harness: harness, config: config, dir: t.TempDir(), changed: make(chan struct{}),
		kinds: map[lienthong.BatchKind]int{}, marks: map[string]string{}, shapes: map[string]*lienthong.Shape{},
	}
	for i, text := range definitions {
		r.config.Definitions = append(r.config.Definitions, parse(t, fmt.Sprintf("definition-%d.yaml", i), text))
	}
	ctx := context.Background()
	var err error
	if r.state, err = store.OpenNodeState(ctx, r.dir); err != nil {
		t.Fatal(err)
	}
	if r.records, err = store.OpenSQLite(ctx, filepath.Join(r.dir, "hub"), store.Config{}); err != nil {
		t.Fatal(err)
	}
	if r.hubFile, err = sql.Open("sqlite", "file:"+filepath.Join(r.dir, "hub", "store.db")+"?mode=ro&_pragma=busy_timeout(10000)"); err != nil {
		t.Fatal(err)
	}
	opener, err := batch.NewOpener(signer{})
	if err != nil {
		t.Fatal(err)
	}
	lander := landing.New(landing.Config{
		Hub: "ndc", Inbox: r, Answer: r, Store: roadStore{r}, Opener: opener,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), Observe: r.observe,
	})
	landCtx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- lander.Run(landCtx) }()
	t.Cleanup(func() {
		r.halt()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		opener.Close()
		_ = r.hubFile.Close()
		_ = r.records.Close()
		_ = r.state.Close()
	})
	return r
}

func parse(t testing.TB, name, text string) *dictionary.Definition {
	t.Helper()
	d, err := dictionary.ParseDefinition(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// start runs a capture, as a new process would.
func (r *road) start() {
	r.t.Helper()
	source, err := r.harness.Open()
	if err != nil {
		r.t.Fatal(err)
	}
	words, err := dictionary.Builtin()
	if err != nil {
		r.t.Fatal(err)
	}
	c := r.config
	c.Node, c.Source, c.Dictionary, c.Signer, c.Spool, c.State = "g01", source, words, signer{}, r, r.state
	c.RecordKey = []byte("key")
	if c.ReconcileEvery == 0 {
		c.ReconcileEvery = time.Hour
	}
	c.ReportEvery = 50 * time.Millisecond
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(r.t.Output(), nil))
	}
	if c.FieldKeys == nil {
		c.FieldKeys = func(name string) ([]byte, error) { return []byte(strings.Repeat(name, 20)), nil }
	}
	c.Notice = func(n capture.Notice) { r.note(func() { r.notices = append(r.notices, n) }) }
	c.Guarded = func() { r.note(func() { r.guarded++ }) }
	made, err := capture.New(c)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- made.Run(ctx) }()
	r.mu.Lock()
	r.capture, r.source = made, source
	r.mu.Unlock()
	r.cancel = cancel
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
		_ = source.Close()
	}
}

// halt ends the capture; batches in the spool stay.
func (r *road) halt() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

func (r *road) restart() {
	r.t.Helper()
	r.halt()
	r.start()
}

func (r *road) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

// await waits until the condition, which runs under the lock, holds.
func (r *road) await(what string, condition func() bool) {
	r.t.Helper()
	deadline := time.NewTimer(60 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(20 * time.Millisecond) // for what announces itself nowhere: a status, a row
	defer poll.Stop()
	for {
		r.mu.Lock()
		ok, changed := condition(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-poll.C:
		case <-deadline.C:
			r.mu.Lock()
			defer r.mu.Unlock()
			var statuses []capture.Status
			if r.capture != nil {
				statuses = r.capture.Statuses()
			}
			r.t.Fatalf("waited in vain for %s\nstatuses %+v\nresults %+v\nnotices %+v\nrefused %q\nkinds %v", what, statuses, tail(r.results), tail(r.notices), tail(r.refused), r.kinds)
		}
	}
}

func tail[T any](all []T) []T { return all[max(0, len(all)-4):] }

// The spool.

// Append implements capture.Spool.
func (r *road) Append(ctx context.Context, s *batch.Sealed) error {
	for {
		r.mu.Lock()
		closed, changed := r.closed || r.holds == s.Header.Kind, r.changed
		r.mu.Unlock()
		if !closed {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := ctx.Err()
	r.note(func() {
		if err != nil {
			// Cut in the middle: the batch may be in the spool all the same.
			if r.cutCount++; !r.lossy || r.cutCount%2 == 0 {
				return
			}
		}
		r.spool = append(r.spool, s)
		r.kinds[s.Header.Kind]++
		if s.Header.Kind == lienthong.CheckpointBatch {
			r.marks[s.Header.Dataset.String()] = s.Header.Checkpoint
		}
		r.deliver(s)
	})
	return err
}

// deliver puts a batch on the line. Called with mu held.
func (r *road) deliver(s *batch.Sealed) {
	r.number++
	r.inbox = append(r.inbox, landing.Delivery{Number: r.number, HeaderBytes: s.HeaderBytes, Signature: s.Signature, Payload: s.Payload})
}

// Tail implements capture.Spool.
func (r *road) Tail(_ context.Context, s lienthong.Stream) (lienthong.BatchHeader, string, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.spool) - 1; i >= 0; i-- {
		if r.spool[i].Header.Stream == s {
			return r.spool[i].Header, r.spool[i].Digest(), true, nil
		}
	}
	return lienthong.BatchHeader{}, "", false, nil
}

// The line.

// Next implements landing.Inbox.
func (r *road) Next(ctx context.Context, limit, _ int) ([]landing.Delivery, error) {
	for {
		r.mu.Lock()
		n := min(len(r.inbox), limit)
		group := slices.Clone(r.inbox[:n])
		r.inbox = r.inbox[n:]
		changed := r.changed
		r.mu.Unlock()
		if n > 0 {
			return group, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Done implements landing.Inbox.
func (r *road) Done(context.Context, uint64) error { return nil }

// Receipts implements landing.Answer: what has a receipt leaves the spool.
func (r *road) Receipts(_ string, receipts []lienthong.Receipt) error {
	if err := r.state.SaveHeads(context.Background(), receipts); err != nil {
		return err
	}
	r.note(func() {
		for _, receipt := range receipts {
			r.spool = slices.DeleteFunc(r.spool, func(s *batch.Sealed) bool {
				return s.Header.Stream == receipt.Stream && s.Header.Sequence <= receipt.Sequence
			})
		}
	})
	return nil
}

// Expect implements landing.Answer.
func (r *road) Expect(s lienthong.Stream, sequence uint64, code string) error {
	r.note(func() {
		r.refused = append(r.refused, fmt.Sprintf("%s %s #%d", code, s, sequence))
		for _, sealed := range r.spool {
			if sealed.Header.Stream == s && sealed.Header.Sequence >= sequence {
				r.deliver(sealed)
			}
		}
	})
	return nil
}

// Repair implements landing.Answer.
func (r *road) Repair(s lienthong.Stream, _ string, buckets []int) error {
	r.mu.Lock()
	c := r.capture
	r.mu.Unlock()
	c.Repair(s.Dataset, buckets)
	return nil
}

func (r *road) observe(e landing.Event) {
	if e.Kind != "reconciled" {
		return
	}
	r.mu.Lock()
	c := r.capture
	r.mu.Unlock()
	if err := c.Reconciled(context.Background(), *e.Result); err != nil && !errors.Is(err, context.Canceled) {
		r.t.Error(err)
	}
	r.note(func() { r.results = append(r.results, *e.Result) })
}

// roadStore lets landing write to the store, and notes what travelled.
type roadStore struct{ road *road }

func (s roadStore) Heads(ctx context.Context) (map[lienthong.Stream]landing.Head, error) {
	heads, err := s.road.records.Heads(ctx)
	converted := map[lienthong.Stream]landing.Head{}
	for stream, head := range heads {
		converted[stream] = landing.Head(head)
	}
	return converted, err
}

func (s roadStore) DefineShape(ctx context.Context, shape *lienthong.Shape) error {
	s.road.note(func() { s.road.shapes[shape.Dataset.String()] = shape })
	return s.road.records.DefineShape(ctx, shape)
}

func (s roadStore) Shape(ctx context.Context, dataset lienthong.DatasetID, version int) (*lienthong.Shape, error) {
	return s.road.records.Shape(ctx, dataset, version)
}

func (s roadStore) SaveReconciliation(ctx context.Context, r lienthong.Reconciliation) error {
	return s.road.records.SaveReconciliation(ctx, r)
}

func (s roadStore) Apply(ctx context.Context, items []landing.Item) ([]landing.Applied, error) {
	converted := make([]store.Item, len(items))
	for i, item := range items {
		converted[i] = store.Item{Header: item.Header, Digest: item.Digest, Shape: item.Shape, Body: item.Body}
		if item.Header.Kind == lienthong.RepairBatch {
			converted[i].Version = int64(item.Header.Last.Order)
		}
		if item.Rows == nil {
			continue
		}
		converted[i].Rows = item.Rows
		s.road.note(func() {
			var c lienthong.Change
			for item.Rows.Next(&c) {
				line := string(item.Header.Kind) + " " + c.Op.String() + " " + string(c.ID)
				for v := range c.Values {
					line += " " + string(c.Values[v].AppendText(nil, item.Shape.Fields[v].Kind))
				}
				s.road.carried = append(s.road.carried, line)
			}
			item.Rows.Reset()
		})
	}
	results, err := s.road.records.Apply(ctx, converted)
	applied := make([]landing.Applied, len(results))
	for i, r := range results {
		applied[i] = landing.Applied{Landed: r.Landed, Ignored: r.Ignored, Refused: len(r.Refused), At: r.AppliedAt, Duplicate: r.Duplicate}
		for _, refusal := range r.Refused {
			s.road.note(func() { s.road.refused = append(s.road.refused, refusal.Reason) })
		}
	}
	return applied, err
}

type roadFrozen struct{ *store.Frozen }

func (f roadFrozen) Close() { _ = f.Frozen.Close() }

func (s roadStore) Freeze(ctx context.Context) (landing.Frozen, error) {
	frozen, err := s.road.records.Freeze(ctx)
	if err != nil {
		return nil, err
	}
	return roadFrozen{frozen}, nil
}

// landed reads the hub's live records of a dataset: by identity, fields of the shape by name.
func (r *road) landed(dataset string, fields ...string) map[string]string {
	r.t.Helper()
	table := "records_" + strings.ReplaceAll(dataset, ".", "_")
	quoted := make([]string, len(fields))
	for i, field := range fields {
		quoted[i] = `"` + field + `"`
	}
	rows, err := r.hubFile.QueryContext(context.Background(),
		"SELECT _id, "+strings.Join(quoted, ", ")+" FROM "+table+" WHERE _deleted = 0 AND _held = 0")
	if err != nil {
		if strings.Contains(err.Error(), "no such") {
			return nil // not defined yet
		}
		r.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	found := map[string]string{}
	for rows.Next() {
		values := make([]sql.NullString, len(fields)+1)
		into := make([]any, len(values))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			r.t.Fatal(err)
		}
		var text []string
		for _, v := range values[1:] {
			if !v.Valid {
				text = append(text, "∅")
				continue
			}
			text = append(text, fmt.Sprintf("%q", v.String))
		}
		found[values[0].String] = strings.Join(text, ";")
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return found
}

// truth is what the source holds, in the same form; the first column is the identity.
func (r *road) truth(table *conntest.Table) map[string]string {
	r.t.Helper()
	rows, err := r.harness.Rows(context.Background(), table)
	if err != nil {
		r.t.Fatal(err)
	}
	truth := map[string]string{}
	for _, row := range rows {
		var text []string
		for _, cell := range row {
			if cell.State == lienthong.Null {
				text = append(text, "∅")
				continue
			}
			text = append(text, fmt.Sprintf("%q", cell.Text))
		}
		truth[row[0].Text] = strings.Join(text, ";")
	}
	return truth
}

// tick stands for a time that nobody looks at.
type tick = time.Time

func (r *road) apply(writes ...conntest.Write) {
	r.t.Helper()
	if err := r.harness.Apply(context.Background(), writes...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *road) create(table *conntest.Table) *conntest.Table {
	r.t.Helper()
	name, err := r.harness.Create(context.Background(), table)
	if err != nil {
		r.t.Fatal(err)
	}
	table.Name = name
	return table
}

// reconcile compares now, again while what differs is on its way, and returns the result.
func (r *road) reconcile(dataset string) lienthong.Reconciliation {
	r.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := r.capture.Reconcile(ctx)
		cancel()
		// The last checkpoint is of this comparison, or of one that began after it.
		r.mu.Lock()
		mark := r.marks[dataset]
		r.mu.Unlock()
		var last lienthong.Reconciliation
		patience := time.Now().Add(5 * time.Second) // one that is put off has no result
		if err == nil {
			r.await("the result of a comparison", func() bool {
				at := slices.IndexFunc(r.results, func(result lienthong.Reconciliation) bool {
					return result.Dataset.String() == dataset && result.Checkpoint == mark
				})
				if at >= 0 {
					last = r.results[at]
				}
				return at >= 0 || time.Now().After(patience)
			})
		}
		if last.Result == lienthong.Matches {
			return last
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("both ends of %s do not become equal: %s, %v; status %+v, snapshots %+v, refused %q", dataset, describe(last), err, r.status(dataset), r.capture.Snapshots(), tail(r.refused))
		}
	}
}

// describe writes a result out; its own text is its stream's name.
func describe(r lienthong.Reconciliation) string {
	return fmt.Sprintf("%s %s: %d at the source, %d landed, %d held, buckets %v", r.Dataset, r.Result, r.SourceRows, r.LandedRows, r.Quarantined, r.Differing)
}

// same fails unless source and hub are equal row by row.
func (r *road) same(dataset string, table *conntest.Table, fields ...string) {
	r.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		diff := cmp.Diff(r.truth(table), r.landed(dataset, fields...))
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("source (-) and hub (+) differ:\n%.3000s", diff)
		}
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// status is that of a dataset.
func (r *road) status(dataset string) capture.Status {
	for _, s := range r.capture.Statuses() {
		if s.Dataset.String() == dataset {
			return s
		}
	}
	return capture.Status{}
}

func (r *road) notified(code string) int {
	n := 0
	for _, notice := range r.notices {
		if notice.Code == code {
			n++
		}
	}
	return n
}

func (r *road) loaded(dataset string) {
	r.t.Helper()
	r.await("the first load of "+dataset, func() bool {
		return slices.ContainsFunc(r.results, func(result lienthong.Reconciliation) bool {
			return result.Dataset.String() == dataset && result.Result == lienthong.Matches
		})
	})
}

func datasetID(t testing.TB, name string) lienthong.DatasetID {
	t.Helper()
	id, err := lienthong.ParseDatasetID(name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

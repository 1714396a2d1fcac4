package capture_test

import (
	"context"
	"crypto/rand"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
)

// strained is a real source that says how much of its log it holds back, and lets go of it
// by removing what it keeps.
type strained struct {
	connector.Source
	retained atomic.Int64
	released atomic.Int64
	lost     atomic.Bool // the next Stream finds that the log is gone
}

func (s *strained) Health(context.Context) (connector.Health, error) {
	return connector.Health{OK: true, RetainedBytes: s.retained.Load()}, nil
}

func (s *strained) Release(ctx context.Context) error {
	s.released.Add(1)
	s.retained.Store(0)
	return s.Source.(connector.Destroyer).Destroy(ctx)
}

func (s *strained) Stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	if s.lost.CompareAndSwap(true, false) {
		return &lienthong.Error{Code: "sqlite.history_lost", Vi: "mất nhật ký", En: "the log is gone"}
	}
	return s.Source.Stream(ctx, after, sink)
}

func strainedHarness(t *testing.T, h conntest.Harness) (conntest.Harness, *strained) {
	watch := &strained{}
	open := h.Open
	h.Open = func() (connector.Source, error) {
		source, err := open()
		watch.Source = source
		return watch, err
	}
	return h, watch
}

// look makes the guard look once and waits until it has.
func (r *road) look(ticks chan<- tick) {
	r.t.Helper()
	r.mu.Lock()
	before := r.guarded
	r.mu.Unlock()
	ticks <- tick{}
	r.await("the guard to look", func() bool { return r.guarded > before })
}

// People are told at half of the budget, snapshots stop at 80 % until it eases, and nothing
// else is done while the spool takes batches.
func TestGuard_WarnsAndThrottles(t *testing.T) {
	h, watch := strainedHarness(t, sqliteHarness(t))
	ticks := make(chan tick)
	r := newRoad(t, h, capture.Config{HealthTick: ticks, RetainBudget: 1000, ReconcileEvery: -1})
	table := r.create(people("people"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", peopleDefinition(table.Name)))
	var writes []conntest.Write
	for id := 1; id <= 2000; id++ {
		writes = append(writes, insertPerson(table, id))
	}
	watch.retained.Store(850)
	r.start()
	r.look(ticks)
	r.await("the first load of nothing", func() bool { s := r.capture.Snapshots(); return len(s) > 0 && s[0].State == "done" })
	r.apply(writes...)
	r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
	if err := r.capture.Resnapshot(t.Context(), datasetID(t, peopleDataset), capture.KeyRange{}); err != nil {
		t.Fatal(err)
	}
	r.await("the snapshot to stop", func() bool {
		s := r.capture.Snapshots()[0]
		return s.Paused == "source_log" && s.PausedVi != "" && s.PausedEn != ""
	})
	watch.retained.Store(1500)
	for range 3 {
		r.look(ticks) // over the budget, but the spool takes batches: the stream catches up by itself
	}
	if watch.released.Load() != 0 {
		t.Error("the log is given up although the spool has room")
	}
	watch.retained.Store(600)
	r.look(ticks)
	r.await("the snapshot to go on", func() bool { return r.capture.Snapshots()[0].State == "done" })
	watch.retained.Store(100)
	r.look(ticks)
	watch.retained.Store(501)
	r.look(ticks)
	r.mu.Lock()
	defer r.mu.Unlock()
	for code, want := range map[string]int{"source.log_half": 1, "source.log_throttled": 1, "source.log_eased": 1, "source.log_released": 0} {
		if got := r.notified(code); got != want {
			t.Errorf("%s is said %d times, want %d", code, got, want)
		}
	}
	for _, n := range r.notices {
		if strings.HasPrefix(n.Code, "source.") && (n.Vi == "" || n.En == "" || n.Figures["budget_bytes"] != 1000 || n.At == 0) {
			t.Errorf("notice %+v", n)
		}
	}
}

// When the spool cannot take more and the budget is used up, the source's log is given up. What
// happens meanwhile is not read and not forgotten: once the spool has room, it is compared and sent.
func releaseAndReconcile(t *testing.T, h conntest.Harness, retained func(*road, bool), restartMeanwhile bool, budget int64) {
	ticks := make(chan tick)
	r, table, neighbour := peopleRoad(t, h, capture.Config{HealthTick: ticks, RetainBudget: budget})
	snapshots := r.snapshots()
	r.note(func() { r.closed = true })
	r.apply(setCell(table, 1, 2, "trước khi nhả"))
	r.await("the change to be read", func() bool { return r.status(peopleDataset).Changes > 0 })
	retained(r, true)
	r.look(ticks) // the append is under way
	ticks <- tick{}
	r.await("the log to be given up", func() bool { return r.notified(capture.GapReleased) == 1 })
	r.await("a status that says so", func() bool {
		s := r.status(peopleDataset)
		return s.Failure == capture.GapReleased && s.Gap != nil && s.Gap.Code == capture.GapReleased && s.Gap.Resumed == 0
	})
	r.apply(setCell(table, 2, 2, "trong lúc nhả"), removePerson(table, 3), insertPerson(table, 70), removePerson(neighbour, 60))
	if restartMeanwhile {
		r.restart()
		r.await("the same status after a restart", func() bool {
			s := r.status(peopleDataset)
			return s.Failure == capture.GapReleased && s.Gap != nil && s.Gap.Since > 0
		})
	}
	retained(r, false)
	r.note(func() { r.closed = false })
	r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
	r.same("sim.others", neighbour, "record_key", "full_name", "note", "counter")
	r.await("the gaps to end", func() bool { return r.status(peopleDataset).Gap == nil && r.status("sim.others").Gap == nil })
	r.apply(setCell(table, 5, 2, "sau đó"))
	r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
	if r.snapshots() != snapshots {
		t.Error("the dataset is loaded again")
	}
	for _, code := range []string{"source.log_throttled", "source.log_resumed", "dataset.compared"} {
		r.await("word of "+code, func() bool { return r.notified(code) > 0 })
	}
}

func TestGuard_ReleasesAndReconciles(t *testing.T) {
	for name, restart := range map[string]bool{"while it runs": false, "over a restart": true} {
		t.Run(name, func(t *testing.T) {
			h, watch := strainedHarness(t, sqliteHarness(t))
			releaseAndReconcile(t, h, func(_ *road, over bool) {
				if over {
					watch.retained.Store(1001)
				}
			}, restart, 1000)
			if watch.released.Load() != 1 {
				t.Errorf("released %d times", watch.released.Load())
			}
		})
	}
}

// A real slot that holds back a megabyte of log.
func TestGuard_ReleasesASlot(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a server")
	}
	h := postgresHarness(t)
	source, err := h.Open()
	if err != nil {
		t.Fatal(err)
	}
	_, can := source.(connector.Releaser)
	_ = source.Close()
	if !can {
		t.Skip("the connector cannot release")
	}
	filler := &conntest.Table{Name: "filler", Columns: []conntest.Column{{Name: "id", Kind: lienthong.Text, Key: true}, {Name: "text", Kind: lienthong.Text}}}
	releaseAndReconcile(t, h, func(r *road, over bool) {
		if !over {
			return
		}
		r.create(filler)
		for i := range 40 {
			r.apply(conntest.Write{Verb: conntest.Insert, Table: filler, Row: []conntest.Cell{conntest.Has(string(rune('a' + i))), conntest.Has(incompressible(100_000))}})
			r.apply(conntest.Write{Verb: conntest.Truncate, Table: filler})
		}
	}, true, 1_000_000)
}

func incompressible(length int) string {
	var b strings.Builder
	for b.Len() < length {
		b.WriteString(rand.Text())
	}
	return b.String()
}

// A source that has lost its log is read from the present on; what is missing is found.
func TestGuard_HistoryLost(t *testing.T) {
	h, watch := strainedHarness(t, sqliteHarness(t))
	r, table, neighbour := peopleRoad(t, h, capture.Config{})
	r.halt()
	r.apply(setCell(table, 2, 2, "khi vắng"), removePerson(table, 3), insertPerson(table, 70))
	watch.lost.Store(true)
	r.start()
	r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
	r.same("sim.others", neighbour, "record_key", "full_name", "note", "counter")
	r.await("the gap to end", func() bool { return r.notified(capture.GapLost) == 1 && r.status(peopleDataset).Gap == nil })
	r.apply(setCell(table, 5, 2, "sau đó"))
	r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
}

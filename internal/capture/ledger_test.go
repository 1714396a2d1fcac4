package capture_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
)

// counted is a source whose views count the chunks and rows that are read from them.
type counted struct {
	connector.Source
	chunks, rows atomic.Int64
	views        atomic.Int64
	// pass, when not nil, is asked before each row.
	pass func() error
}

func (c *counted) View(ctx context.Context) (connector.View, error) {
	v, err := c.Source.View(ctx)
	c.views.Add(1)
	return countedView{v, c}, err
}

func (c *counted) Health(context.Context) (connector.Health, error) {
	return connector.Health{OK: true, RetainedBytes: -1}, nil
}

type countedView struct {
	connector.View
	source *counted
}

// Table implements connector.Describer, which the view of every engine here is.
func (v countedView) Table(table int) connector.Table {
	return v.View.(connector.Describer).Table(table)
}

func (v countedView) Read(ctx context.Context, table int, chunk connector.Chunk, deliver func(*connector.Row) error) error {
	v.source.chunks.Add(1)
	return v.View.Read(ctx, table, chunk, func(row *connector.Row) error {
		v.source.rows.Add(1)
		if v.source.pass != nil {
			if err := v.source.pass(); err != nil {
				return err
			}
		}
		return deliver(row)
	})
}

// countedHarness watches the source of every capture.
func countedHarness(t *testing.T, h conntest.Harness) (conntest.Harness, *counted) {
	watch := &counted{}
	open := h.Open
	h.Open = func() (connector.Source, error) {
		source, err := open()
		watch.Source = source
		return watch, err
	}
	return h, watch
}

func ledger(t *testing.T, r *road, dataset string) []capture.SavedChunk {
	t.Helper()
	chunks, err := r.state.Ledger(t.Context(), datasetID(t, dataset))
	if err != nil {
		t.Fatal(err)
	}
	return chunks
}

// The ledger names every chunk with its rows, its digest and its times, and the digests do
// not depend on who reads them or when.
func TestLedger_KeepsEveryChunk(t *testing.T) {
	digests := map[string]bool{}
	for range 2 {
		r, _, _ := peopleRoad(t, sqliteHarness(t), capture.Config{ChunkRows: 13, SnapshotWorkers: 3})
		rows, text := int64(0), ""
		chunks := ledger(t, r, peopleDataset)
		for i, c := range chunks {
			if c.State != capture.ChunkDone || c.Started == 0 || c.Finished < c.Started || !strings.HasSuffix(c.Digest, fmt.Sprintf("/%d", c.Rows)) {
				t.Errorf("chunk %d: %+v", i, c)
			}
			rows += c.Rows
			text += c.Digest + " "
		}
		if len(chunks) < 4 || rows != 60 {
			t.Errorf("%d chunks with %d rows, want 60 in several", len(chunks), rows)
		}
		digests[text] = true
		for _, s := range r.capture.Snapshots() {
			if s.State != "done" || s.Rows != 60 {
				t.Errorf("status %+v", s)
			}
		}
	}
	if len(digests) != 1 {
		t.Errorf("the same rows have %d digests: %v", len(digests), digests)
	}
}

// After a restart, chunks that were done are not read again.
func TestLedger_ResumesByChunk(t *testing.T) {
	h, watch := countedHarness(t, sqliteHarness(t))
	r := newRoad(t, h, capture.Config{ChunkRows: 10, SnapshotWorkers: 1, ReconcileEvery: -1})
	table := r.create(people("people"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", peopleDefinition(table.Name)))
	for id := 1; id <= 100; id++ {
		r.apply(insertPerson(table, id))
	}
	gate := make(chan struct{})
	var read atomic.Int64
	watch.pass = func() error {
		if read.Add(1) == 55 {
			<-gate
		}
		return nil
	}
	r.start()
	r.await("five chunks", func() bool {
		done := 0
		for _, c := range ledger(t, r, peopleDataset) {
			if c.State == capture.ChunkDone {
				done++
			}
		}
		return done == 5
	})
	chunks := ledger(t, r, peopleDataset)
	if i := slices.IndexFunc(chunks, func(c capture.SavedChunk) bool { return c.State == capture.ChunkReading }); i != 5 || chunks[i].Started == 0 || chunks[i].Finished != 0 {
		t.Errorf("the chunk at hand is not marked: %+v", chunks)
	}
	s := r.capture.Snapshots()[0]
	if s.Chunks != len(chunks) || s.ChunksDone != 5 || s.Rows < 50 || s.Expected < 100 || s.State == "done" {
		t.Errorf("status %+v", s)
	}
	close(gate)
	r.halt()
	before := watch.chunks.Load()
	done := 0
	for _, c := range ledger(t, r, peopleDataset) {
		if c.State == capture.ChunkDone {
			done++
		}
	}
	watch.pass = nil
	r.start()
	r.await("the rest", func() bool { s := r.capture.Snapshots(); return len(s) > 0 && s[0].State == "done" })
	if again := int(watch.chunks.Load() - before); again != len(chunks)-done {
		t.Errorf("%d chunks were read after the restart, %d of %d were done", again, done, len(chunks))
	}
	r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
}

// Readers keep to their share of the time and of rows.
func TestSnapshot_KeepsToItsBudget(t *testing.T) {
	fill := func(config capture.Config) (*road, *conntest.Table) {
		r := newRoad(t, sqliteHarness(t), config)
		table := r.create(people("people"))
		r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", peopleDefinition(table.Name)))
		var writes []conntest.Write
		for id := 1; id <= 3000; id++ {
			writes = append(writes, insertPerson(table, id))
		}
		r.apply(writes...)
		return r, table
	}
	t.Run("rows per second", func(t *testing.T) {
		r, _ := fill(capture.Config{SnapshotRowsPerSecond: 2000, ReconcileEvery: -1})
		began := time.Now()
		r.start()
		sawPause := false
		r.await("the first load", func() bool {
			all := r.capture.Snapshots()
			if len(all) == 0 {
				return false
			}
			s := all[0]
			if s.Paused == "budget" && s.PausedVi != "" && s.PausedEn != "" && s.State == "paused" {
				sawPause = true
			}
			return s.State == "done"
		})
		if took := time.Since(began); took < time.Second {
			t.Errorf("3,000 rows at 2,000 a second took %v", took)
		}
		if !sawPause {
			t.Error("nobody is told why it waits")
		}
	})
	t.Run("share of the time", func(t *testing.T) {
		took := func(share float64) time.Duration {
			h, watch := countedHarness(t, sqliteHarness(t))
			watch.pass = func() error {
				for began := time.Now(); time.Since(began) < 50*time.Microsecond; { // a source at work
				}
				return nil
			}
			r := newRoad(t, h, capture.Config{SnapshotShare: share, SnapshotWorkers: 1, ReconcileEvery: -1})
			table := r.create(people("people"))
			r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", peopleDefinition(table.Name)))
			var writes []conntest.Write
			for id := 1; id <= 3000; id++ {
				writes = append(writes, insertPerson(table, id))
			}
			r.apply(writes...)
			began := time.Now()
			r.start()
			r.await("the first load", func() bool { s := r.capture.Snapshots(); return len(s) > 0 && s[0].State == "done" })
			return time.Since(began)
		}
		if slow := took(0.2); slow < 500*time.Millisecond {
			t.Errorf("150 ms of reading at a fifth of the time took %v", slow)
		}
	})
	if _, err := capture.New(capture.Config{SnapshotShare: 2, Signer: signer{}}); lienthong.ErrorCode(err) != "capture.budget" {
		t.Errorf("a share of 2 is taken: %v", err)
	}
}

// Live changes go before snapshot rows: while they wait to be sealed, readers give way.
func TestSnapshot_GivesWayToLiveChanges(t *testing.T) {
	h, watch := countedHarness(t, sqliteHarness(t))
	r := newRoad(t, h, capture.Config{ReconcileEvery: -1, ChunkRows: 2000, SnapshotWorkers: 1})
	table := r.create(people("people"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", peopleDefinition(table.Name)))
	var writes []conntest.Write
	for id := 1; id <= 4000; id++ {
		writes = append(writes, insertPerson(table, id))
	}
	r.apply(writes...)
	began, gate := make(chan struct{}), make(chan struct{})
	var rows atomic.Int64
	watch.pass = func() error {
		if rows.Add(1) == 100 {
			close(began)
			<-gate
		}
		return nil
	}
	r.start()
	<-began
	// The spool takes nothing, so that changes pile up behind it.
	r.note(func() { r.closed = true })
	for i := 1; i <= 12; i++ {
		r.apply(setCell(table, i, 2, "mới"))
		r.await("the change to be read", func() bool { return r.status(peopleDataset).Changes >= 1 })
	}
	close(gate)
	r.await("the snapshot to give way", func() bool {
		s := r.capture.Snapshots()[0]
		return s.Paused == "live" && s.PausedVi != ""
	})
	r.note(func() { r.closed = false })
	r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
}

// tamper changes the hub's records behind everybody's back.
func (r *road) tamper(statement string) {
	r.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(r.dir, "hub", "store.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		r.t.Fatal(err)
	}
}

// A snapshot of a range sends what lies in it and nothing else; records that the source does
// not have go from the hub; it goes on after a restart.
func TestResnapshot_OfARange(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table, _ := peopleRoad(t, h, capture.Config{ChunkRows: 10, ReconcileEvery: -1}) // it compares because it must
		r.apply(setCell(table, 59, 2, "để vị trí của nguồn đi tiếp"))
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
		// The hub has lost one record of the range, has one too many, and one that is wrong.
		r.tamper(`DELETE FROM records_sim_people WHERE _id = 'p0012'`)
		r.tamper(`UPDATE records_sim_people SET full_name = 'sai' WHERE _id = 'p0013'`)
		r.tamper(`INSERT INTO records_sim_people SELECT 'p0015x', _stream, 'p0015x', note, full_name, counter, _version, _deleted, _held, _source_at, _received_at, _batch FROM records_sim_people WHERE _id = 'p0015'`)
		r.note(func() { r.carried = nil })
		if err := r.capture.Resnapshot(t.Context(), datasetID(t, peopleDataset), capture.KeyRange{From: "p0010", To: "p0019"}); err != nil {
			t.Fatal(err)
		}
		r.restart() // whether or not it has begun
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
		r.await("the end of it", func() bool {
			s := r.capture.Snapshots()
			return len(s) == 2 && s[0].State == "done" && !s[0].Again && r.status(peopleDataset).Gap == nil
		})
		r.mu.Lock()
		defer r.mu.Unlock()
		sent := map[string]bool{}
		for _, line := range r.carried {
			if rest, found := strings.CutPrefix(line, "snapshot upsert "); found {
				sent[strings.Fields(rest)[0]] = true
			}
		}
		if len(sent) != 10 || !sent["p0010"] || !sent["p0019"] {
			t.Errorf("the snapshot sent %v, want p0010 to p0019", sent)
		}
	})
}

func TestResnapshot_RefusesWhatItCannotDo(t *testing.T) {
	r, _, _ := peopleRoad(t, sqliteHarness(t), capture.Config{})
	if err := r.capture.Resnapshot(t.Context(), datasetID(t, "sim.strangers"), capture.KeyRange{}); lienthong.ErrorCode(err) != "dataset.unknown" {
		t.Errorf("an unknown dataset: %v", err)
	}
	if err := r.capture.Resnapshot(t.Context(), datasetID(t, peopleDataset), capture.KeyRange{From: "b", To: "a"}); lienthong.ErrorCode(err) != "snapshot.range" {
		t.Errorf("a range that ends before it begins: %v", err)
	}
}

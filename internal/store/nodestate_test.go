package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/store"
)

var _ capture.State = (*store.NodeState)(nil)

func nodeState(t testing.TB) (*store.NodeState, string) {
	t.Helper()
	dir := t.TempDir()
	state, err := store.OpenNodeState(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	return state, dir
}

func householdID() lienthong.DatasetID {
	return lienthong.DatasetID{Database: "household", Name: "household"}
}

// What a node of the first version has written is there after the file is brought up to date.
func TestNodeState_OfTheFirstVersion(t *testing.T) {
	dir := t.TempDir()
	old, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "node.db"))
	if err != nil {
		t.Fatal(err)
	}
	shape := lienthong.Shape{Dataset: householdID(), Version: 2, Fields: []lienthong.Field{{Name: "key"}, {Name: "n", Kind: lienthong.Integer}}, Identity: []int{0}}
	text, err := json.Marshal(shape)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`CREATE TABLE heads (dataset TEXT PRIMARY KEY, sequence INTEGER NOT NULL, digest TEXT NOT NULL) STRICT`,
		`CREATE TABLE shapes (dataset TEXT PRIMARY KEY, shape TEXT NOT NULL) STRICT`,
		`CREATE TABLE snapshots (dataset TEXT PRIMARY KEY, done INTEGER NOT NULL) STRICT`,
		`CREATE TABLE chunks (dataset TEXT NOT NULL, number INTEGER NOT NULL, chunk TEXT NOT NULL, done INTEGER NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (dataset, number)) STRICT`,
		`CREATE TABLE findings (dataset TEXT NOT NULL, id TEXT NOT NULL, rule TEXT NOT NULL, field TEXT NOT NULL, blocking INTEGER NOT NULL,
			at INTEGER NOT NULL, finding TEXT NOT NULL, PRIMARY KEY (dataset, id, rule, field)) STRICT, WITHOUT ROWID`,
		`INSERT INTO heads VALUES ('household.household', 7, 'abc')`,
		`INSERT INTO shapes VALUES ('household.household', '` + string(text) + `')`,
		`INSERT INTO snapshots VALUES ('household.household', 0)`,
		`INSERT INTO chunks VALUES ('household.household', 0, 'a', 1, 20), ('household.household', 1, 'b', 0, 0)`,
		`INSERT INTO findings VALUES ('household.household', 'bad', 'r', 'n', 1, 5, '{"rule":"r","blocking":true}'), ('household.household', 'odd', 'r', 'n', 0, 6, '{}')`,
	} {
		if _, err := old.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and opening it again changes nothing
		state, err := store.OpenNodeState(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		saved, err := state.Load(t.Context(), householdID())
		if err != nil {
			t.Fatal(err)
		}
		want := capture.Saved{
			Head: capture.Head{Sequence: 7, Digest: "abc"}, Shape: &shape, ShapeSent: true, Sent: map[string]lienthong.Kind{"key": lienthong.Text, "n": lienthong.Integer},
			Chunks: []capture.SavedChunk{{Chunk: "a", State: capture.ChunkDone, Rows: 20}, {Chunk: "b", State: capture.ChunkPending}},
		}
		if diff := cmp.Diff(want, saved); diff != "" {
			t.Errorf("saved (-) and loaded (+):\n%s", diff)
		}
		page, err := state.Quarantine(t.Context(), capture.QuarantineFilter{})
		if err != nil || len(page.Entries) != 1 || page.Entries[0].ID != "bad" || page.Entries[0].State != capture.QuarantineHeld || page.Entries[0].Since != 5 {
			t.Errorf("quarantine %+v, %v", page, err)
		}
		if err := state.Close(); err != nil {
			t.Fatal(err)
		}
	}
	newer, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "node.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newer.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	_ = newer.Close()
	if _, err := store.OpenNodeState(t.Context(), dir); lienthong.ErrorCode(err) != "store.newer" {
		t.Errorf("a file of a newer version is opened: %v", err)
	}
}

func TestNodeState_RemembersWhatItIsTold(t *testing.T) {
	state, dir := nodeState(t)
	ctx, id := t.Context(), householdID()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first := &lienthong.Shape{Dataset: id, Version: 1, Fields: []lienthong.Field{{Name: "key"}, {Name: "n", Kind: lienthong.Integer}}, Identity: []int{0}}
	second := &lienthong.Shape{Dataset: id, Version: 2, Fields: []lienthong.Field{{Name: "key"}, {Name: "n_text"}}, Identity: []int{0}}
	must(state.SaveShape(ctx, first))
	must(state.ShapeSent(ctx, id, 1))
	if saved, err := state.Load(ctx, id); err != nil || !saved.ShapeSent {
		t.Errorf("%+v, %v", saved, err)
	}
	must(state.SaveShape(ctx, second))
	must(state.ShapeSent(ctx, id, 1)) // of the one before: says nothing of the newest
	baseline := capture.Baseline{Mapping: "m", Layout: capture.Layout{Table: "t", Columns: []capture.LayoutColumn{{Name: "a", Type: "text"}}, Key: []string{"a"}}}
	must(state.SaveBaseline(ctx, id, baseline))
	gap := &capture.Gap{Code: capture.GapStopped, Since: 5, Position: 1 << 60, Resumed: 6}
	must(state.SaveGap(ctx, id, gap))
	must(state.PlanSnapshot(ctx, id, []connector.Chunk{"a", "b"}))
	must(state.SaveChunk(ctx, id, 1, capture.SavedChunk{State: capture.ChunkReading, Started: 9}))
	must(state.SaveMembers(ctx, id, capture.MemberChange{Joined: []uint64{1, 1 << 63, 3}}))
	must(state.SaveMembers(ctx, id, capture.MemberChange{Left: []uint64{1}, Joined: []uint64{3, 4}}))
	must(state.Close())

	state, err := store.OpenNodeState(ctx, dir)
	must(err)
	defer func() { _ = state.Close() }()
	saved, err := state.Load(ctx, id)
	must(err)
	want := capture.Saved{
		Shape: second, Sent: map[string]lienthong.Kind{"key": lienthong.Text, "n": lienthong.Integer, "n_text": lienthong.Text}, Baseline: baseline, Gap: gap,
		Chunks: []capture.SavedChunk{{Chunk: "a", State: capture.ChunkPending}, {Chunk: "b", State: capture.ChunkReading, Started: 9}},
	}
	if diff := cmp.Diff(want, saved); diff != "" {
		t.Errorf("saved (-) and loaded (+):\n%s", diff)
	}
	var members []uint64
	must(state.Members(ctx, id, func(m uint64) { members = append(members, m) }))
	slices.Sort(members)
	if !slices.Equal(members, []uint64{3, 4, 1 << 63}) {
		t.Errorf("members %v", members)
	}
	must(state.SaveMembers(ctx, id, capture.MemberChange{Cleared: true}))
	members = nil
	must(state.Members(ctx, id, func(m uint64) { members = append(members, m) }))
	if len(members) > 0 {
		t.Errorf("members %v after all of them left", members)
	}

	// A snapshot that is asked for before the first load is complete makes that begin again; after
	// it, it stands beside.
	must(state.AskSnapshot(ctx, id, capture.KeyRange{From: "a"}))
	if saved, err = state.Load(ctx, id); err != nil || saved.Again != nil || len(saved.Chunks) != 0 || saved.SnapshotDone {
		t.Errorf("%+v, %v", saved, err)
	}
	must(state.SnapshotDone(ctx, id))
	must(state.AskSnapshot(ctx, id, capture.KeyRange{From: "a", To: "b"}))
	must(state.PlanSnapshot(ctx, id, []connector.Chunk{"c"}))
	if saved, err = state.Load(ctx, id); err != nil || !saved.SnapshotDone || saved.Again == nil || *saved.Again != (capture.KeyRange{From: "a", To: "b"}) || len(saved.Chunks) != 1 {
		t.Errorf("%+v, %v", saved, err)
	}
	must(state.SnapshotDone(ctx, id))
	must(state.SaveGap(ctx, id, nil))
	if saved, err = state.Load(ctx, id); err != nil || !saved.SnapshotDone || saved.Again != nil || saved.Gap != nil {
		t.Errorf("%+v, %v", saved, err)
	}
}

// model is what the quarantine of one record must be.
type model struct {
	state       capture.QuarantineState // "" before the first time
	fingerprint string
	steps       int
}

// Whatever happens in whatever order, a record is in the state that its last steps gave it,
// each change of state is one line of its history, and what is held and expired is counted.
func TestQuarantine_StateMachine(t *testing.T) {
	state, _ := nodeState(t)
	ctx, run := context.Background(), 0
	// Every step is brought to disk.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set("rapid.checks", "100") })
	rapid.Check(t, func(t *rapid.T) {
		run++
		id := lienthong.DatasetID{Database: "q", Name: fmt.Sprintf("run%d", run)}
		records := map[string]*model{"a": {}, "b": {}, "c": {}}
		clock := int64(1000)
		observe := func(name string, o capture.Observation) {
			clock++
			o.ID, o.At = name, clock
			if err := state.Observe(ctx, id, []capture.Observation{o}); err != nil {
				t.Fatal(err)
			}
		}
		enter := func(m *model, to capture.QuarantineState) {
			if m.state != to {
				m.state = to
			}
			m.steps++
		}
		pick := func(t *rapid.T) (string, *model) {
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "record")
			return name, records[name]
		}
		bad := func(print string, blocking bool) capture.Observation {
			return capture.Observation{Fingerprint: print, Findings: []lienthong.Finding{{Dataset: id, Rule: "r", Field: "f", Blocking: blocking, At: clock}}}
		}
		t.Repeat(map[string]func(*rapid.T){
			"breaks a rule": func(t *rapid.T) {
				name, m := pick(t)
				print := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "value")
				if m.state == capture.QuarantineReleased && m.fingerprint == print {
					o := bad(print, false) // the decision holds for this value
					o.Overridden = true
					observe(name, o)
					return
				}
				observe(name, bad(print, true))
				if m.state != capture.QuarantineHeld && m.state != capture.QuarantineExpired || m.fingerprint != print {
					enter(m, capture.QuarantineHeld)
				}
				m.fingerprint = print
			},
			"is corrected": func(t *rapid.T) {
				name, m := pick(t)
				observe(name, capture.Observation{})
				if m.state == capture.QuarantineHeld || m.state == capture.QuarantineExpired || m.state == capture.QuarantineReleased {
					enter(m, capture.QuarantineFixed)
				}
			},
			"is deleted": func(t *rapid.T) {
				name, m := pick(t)
				observe(name, capture.Observation{Gone: true})
				if m.state == capture.QuarantineHeld || m.state == capture.QuarantineExpired || m.state == capture.QuarantineReleased {
					enter(m, capture.QuarantineGone)
				}
			},
			"is let pass": func(t *rapid.T) {
				name, m := pick(t)
				clock++
				print, err := state.ReleaseRecord(ctx, id, name, capture.Act{By: "x", Reason: "y", At: clock})
				if m.state == capture.QuarantineHeld || m.state == capture.QuarantineExpired {
					if err != nil || print != m.fingerprint {
						t.Fatalf("%q, %v", print, err)
					}
					enter(m, capture.QuarantineReleased)
				} else if lienthong.ErrorCode(err) != "quarantine.not_held" {
					t.Fatalf("a record that is %q is let pass: %v", m.state, err)
				}
			},
			"expires": func(t *rapid.T) {
				clock++
				n, err := state.ExpireRecords(ctx, id, clock, capture.Act{By: "x", At: clock})
				want := 0
				for _, m := range records {
					if m.state == capture.QuarantineHeld {
						enter(m, capture.QuarantineExpired)
						want++
					}
				}
				if err != nil || n != want {
					t.Fatalf("%d expired, %v; want %d", n, err, want)
				}
			},
			"": func(t *rapid.T) {
				page, err := state.Quarantine(ctx, capture.QuarantineFilter{Dataset: &id})
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]capture.QuarantineState{}
				for _, e := range page.Entries {
					got[e.ID] = e.State
				}
				waiting := int64(0)
				for name, m := range records {
					if got[name] != m.state {
						t.Fatalf("%s is %q, want %q", name, got[name], m.state)
					}
					if m.state == "" {
						continue
					}
					if m.state == capture.QuarantineHeld || m.state == capture.QuarantineExpired {
						waiting++
					}
					_, history, _, err := state.QuarantineRecord(ctx, id, name)
					if err != nil || len(history) != m.steps || history[len(history)-1].State != m.state {
						t.Fatalf("%s: history %+v, %v; want %d steps to %q", name, history, err, m.steps, m.state)
					}
				}
				if held, err := state.HeldRecords(ctx, id); err != nil || held != waiting {
					t.Fatalf("%d held, %v; want %d", held, err, waiting)
				}
				overrides, err := state.Overrides(ctx, id)
				if err != nil {
					t.Fatal(err)
				}
				for name, m := range records {
					if print, let := overrides[name]; let != (m.state == capture.QuarantineReleased) || let && print != m.fingerprint {
						t.Fatalf("%s: decision %q %v, state %q", name, print, let, m.state)
					}
				}
			},
		})
	})
}

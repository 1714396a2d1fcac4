package capture_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector/conntest"
)

// operations is how many the test makes per engine: LIENTHONG_OPERATIONS, or 10,000, or
// 1,000 in the short form.
func operations(t *testing.T) int {
	if text := os.Getenv("LIENTHONG_OPERATIONS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return 1000
	}
	return 10_000
}

func TestRandomOperations(t *testing.T) {
	each(t, RandomOperations)
	t.Run("mariadb", func(t *testing.T) {
		if testing.Short() {
			t.Skip("needs a server")
		}
		RandomOperations(t, mariadbHarness(t))
	})
}

// RandomOperations writes into a source at random while capture reads it, is cut at random
// points and starts again, columns are added and tables emptied, and holds the hub's table
// against the source's row by row in the end.
func RandomOperations(t *testing.T, h conntest.Harness) {
	const rounds = 4
	perRound := max(1, operations(t)/rounds)
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LIENTHONG_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("to repeat: LIENTHONG_SEED=%d", seed)
	setFlag(t, "rapid.seed", strconv.FormatUint(seed, 10))
	setFlag(t, "rapid.checks", strconv.Itoa(rounds))
	setFlag(t, "rapid.nofailfile", "true")
	setFlag(t, "rapid.shrinktime", "20s")
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		randomRound(failing{t, rt}, rt, h, fmt.Sprintf("people_%d", round), perRound)
	})
}

// failing reports failures to rapid, which then looks for a shorter way to them.
type failing struct {
	testing.TB
	rt *rapid.T
}

func (f failing) Fatal(args ...any)                 { f.rt.Fatal(args...) }
func (f failing) Fatalf(format string, args ...any) { f.rt.Fatalf(format, args...) }
func (f failing) Error(args ...any)                 { f.rt.Error(args...) }
func (f failing) Errorf(format string, args ...any) { f.rt.Errorf(format, args...) }

func setFlag(t *testing.T, name, value string) {
	t.Helper()
	before := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, before) })
}

// actor is what one round knows of the table.
type actor struct {
	t     testing.TB
	rt    *rapid.T
	road  *road
	table *conntest.Table
	live  []string
	next  int
	added int
}

func randomRound(t testing.TB, rt *rapid.T, h conntest.Harness, name string, operations int) {
	var armed, cuts atomic.Int32
	var cut atomic.Pointer[func()]
	config := capture.Config{
		ChunkRows: rapid.IntRange(3, 60).Draw(rt, "chunk rows"), SnapshotWorkers: 2, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		// A cut ends everything the capture does at a point between two durable steps.
		Step: func(string) {
			if armed.Add(-1) == 0 {
				cuts.Add(1)
				if stop := cut.Load(); stop != nil {
					(*stop)()
				}
			}
		},
	}
	table := &conntest.Table{Name: name, Columns: []conntest.Column{
		{Name: "id", Kind: lienthong.Text, Key: true},
		{Name: "full_name", Kind: lienthong.Text},
		{Name: "note", Kind: lienthong.Text},
		{Name: "counter", Kind: lienthong.Integer},
	}}
	qualified, err := h.Create(context.Background(), table)
	if err != nil {
		t.Fatal(err)
	}
	table.Name = qualified
	dataset := "sim." + name
	r := newRoad(t, h, config, fmt.Sprintf("dataset: %s\ntitle_vi: Người\ntable: %s\nidentity: [record_key]\nothers: keep\ncolumns:\n  - {column: id, element: record.key}\n", dataset, qualified))
	r.lossy = true
	a := &actor{t: t, rt: rt, road: r, table: table}
	for range rapid.IntRange(0, 30).Draw(rt, "rows at the beginning") {
		a.write(rapid.IntRange(1, 10).Draw(rt, "writes"))
	}
	begin := func() {
		r.startCut(&cut)
	}
	begin()
	defer r.halt()
	for made := 0; made < operations; {
		switch what := rapid.IntRange(0, 999).Draw(rt, "what"); {
		case what < 930:
			n := rapid.IntRange(1, 12).Draw(rt, "writes")
			a.write(n)
			made += n
		case what < 960:
			armed.Store(int32(rapid.IntRange(1, 30).Draw(rt, "cut at")))
			made++
		case what < 980:
			r.halt()
			begin()
			made++
		case what < 987:
			a.road.apply(conntest.Write{Verb: conntest.Truncate, Table: table})
			a.live = a.live[:0]
			made++
		case what < 994 && a.added < 6:
			column := conntest.Column{Name: fmt.Sprintf("added_%d", a.added), Kind: rapid.SampledFrom([]lienthong.Kind{lienthong.Text, lienthong.Integer}).Draw(rt, "kind")}
			if err := h.AddColumn(context.Background(), table, column); err != nil {
				t.Fatal(err)
			}
			table.Columns = append(table.Columns, column)
			a.added++
			made++
		default:
			go func() { _ = r.capture.Resnapshot(context.Background(), datasetID(t, dataset), capture.KeyRange{}) }() // refused while nothing is compiled yet
			made++
		}
		if cuts.Load() > 0 {
			cuts.Store(0)
			r.halt()
			begin()
		}
	}
	armed.Store(0)
	r.halt()
	begin()
	fields := []string{"record_key", "full_name", "note", "counter"}
	for i := range a.added {
		fields = append(fields, fmt.Sprintf("added_%d", i))
	}
	// A row after everything: when it is there, so is all before it.
	a.write(1)
	result := r.reconcile(dataset)
	r.same(dataset, table, fields...)
	if want := int64(len(r.truth(table))); result.SourceRows != want || result.LandedRows != want || result.Quarantined != 0 {
		t.Errorf("compared %s, want %d rows at both ends", describe(result), want)
	}
	// Equal because something was mended is not good enough: nothing was ever missing.
	for _, result := range r.results {
		if result.Result == lienthong.Differs {
			t.Errorf("at some moment both ends differed: %s", describe(result))
		}
	}
	for _, reason := range r.refused {
		if len(reason) < 6 || reason[:6] != "batch." {
			t.Errorf("the hub refused a row: %s", reason)
		}
	}
}

// startCut starts a capture that a step can end.
func (r *road) startCut(cut *atomic.Pointer[func()]) {
	r.start()
	end := r.cancel
	cut.Store(&end)
}

// write makes one transaction of writes that fit the table.
func (a *actor) write(count int) {
	a.t.Helper()
	var writes []conntest.Write
	text := func(label string) conntest.Cell {
		if rapid.IntRange(0, 9).Draw(a.rt, label+" null") == 0 {
			return conntest.Cell{}
		}
		return conntest.Has(rapid.SampledFrom([]string{"", "Nguyễn Văn An", "Đỗ Thị Ấ", "a'b", " hai  khoảng ", "x"}).Draw(a.rt, label) + strconv.Itoa(rapid.IntRange(0, 999).Draw(a.rt, label+" n")))
	}
	value := func(i int) conntest.Cell {
		if a.table.Columns[i].Kind == lienthong.Integer {
			return conntest.Has(strconv.Itoa(rapid.IntRange(-1000, 1000).Draw(a.rt, "number")))
		}
		return text("text")
	}
	fresh := func() string {
		a.next++
		return fmt.Sprintf("k%05d", a.next)
	}
	for range count {
		what := rapid.IntRange(0, 99).Draw(a.rt, "verb")
		if len(a.live) == 0 {
			what = 0
		}
		pick := 0
		if len(a.live) > 0 {
			pick = rapid.IntRange(0, len(a.live)-1).Draw(a.rt, "pick")
		}
		row := make([]conntest.Cell, len(a.table.Columns))
		switch {
		case what < 40:
			id := fresh()
			row[0] = conntest.Has(id)
			for i := 1; i < len(row); i++ {
				row[i] = value(i)
			}
			writes = append(writes, conntest.Write{Verb: conntest.Insert, Table: a.table, Row: row})
			a.live = append(a.live, id)
		case what < 80:
			changed := rapid.IntRange(1, len(row)-1).Draw(a.rt, "column")
			for i := range row {
				row[i] = conntest.Keep()
			}
			row[changed] = value(changed)
			writes = append(writes, conntest.Write{Verb: conntest.Update, Table: a.table, Key: []conntest.Cell{conntest.Has(a.live[pick])}, Row: row})
		case what < 86:
			for i := range row {
				row[i] = conntest.Keep()
			}
			id := fresh()
			row[0] = conntest.Has(id)
			writes = append(writes, conntest.Write{Verb: conntest.Update, Table: a.table, Key: []conntest.Cell{conntest.Has(a.live[pick])}, Row: row})
			a.live[pick] = id
		default:
			writes = append(writes, conntest.Write{Verb: conntest.Delete, Table: a.table, Key: []conntest.Cell{conntest.Has(a.live[pick])}})
			a.live = slices.Delete(a.live, pick, pick+1)
		}
	}
	a.road.apply(writes...)
}

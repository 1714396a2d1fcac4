package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/pgtest"
)

var server *pgtest.Server // set once, by TestMain

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lienthong-store")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if server, err = pgtest.Start(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	server.Close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

var clock = time.Date(2026, 7, 1, 8, 0, 0, 123456000, time.UTC)

func config() Config { return Config{Now: func() time.Time { return clock }} }

// onBoth runs a test on a fresh store of each engine.
func onBoth(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, openLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, openPG(t, server.Database(t))) })
}

func openLite(tb testing.TB) *Store {
	tb.Helper()
	s, err := OpenSQLite(context.Background(), tb.TempDir(), config())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { check(tb, s.Close()) })
	return s
}

func openPG(tb testing.TB, dsn string) *Store {
	tb.Helper()
	s, err := OpenPostgres(context.Background(), dsn, config())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { check(tb, s.Close()) })
	return s
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantCode(tb testing.TB, err error, code string) {
	tb.Helper()
	if !errors.Is(err, &lienthong.Error{Code: code}) {
		tb.Fatalf("error is %v, want code %s", err, code)
	}
}

var people = lienthong.DatasetID{Database: "population", Name: "person"}

// everyKind is a shape with a field of each kind, and names that need quoting.
func everyKind(version int) *lienthong.Shape {
	names := []string{"number", "Họ tên", "order", "income", "score", "alive", "born", "seen", "photo", `a"b`, "xmin"}
	kinds := []lienthong.Kind{
		lienthong.Text, lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean,
		lienthong.Date, lienthong.Timestamp, lienthong.Binary, lienthong.Text, lienthong.Integer,
	}
	shape := &lienthong.Shape{Dataset: people, Version: version, Identity: []int{0}}
	for i := range names {
		shape.Fields = append(shape.Fields, lienthong.Field{Name: names[i], Kind: kinds[i]})
	}
	return shape
}

func text(s string) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: []byte(s)}
}

func number(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

func realValue(f float64) lienthong.Value { return number(int64(math.Float64bits(f))) }

var (
	null      = lienthong.Value{}
	unchanged = lienthong.Value{State: lienthong.Unchanged}
)

// slow is the simplest Rows: it reuses its values as batches do.
type slow struct {
	changes []lienthong.Change
	at      int
	err     error
	values  []lienthong.Value
}

func (s *slow) Next(c *lienthong.Change) bool {
	if s.at == len(s.changes) {
		return false
	}
	from := s.changes[s.at]
	s.values = append(s.values[:0], from.Values...)
	*c = from
	c.Values = s.values
	s.at++
	return true
}

func (s *slow) Err() error { return s.err }

// sender makes well-formed items of one stream.
type sender struct {
	tb       testing.TB
	s        *Store
	stream   lienthong.Stream
	shape    *lienthong.Shape
	sequence uint64
	digest   string
}

func newSender(tb testing.TB, s *Store, shape *lienthong.Shape, node string) *sender {
	tb.Helper()
	check(tb, s.DefineShape(context.Background(), shape))
	return &sender{tb: tb, s: s, shape: shape, stream: lienthong.Stream{Node: node, Dataset: shape.Dataset}}
}

func (p *sender) item(kind lienthong.BatchKind, changes ...lienthong.Change) Item {
	p.sequence++
	item := Item{
		Header: lienthong.BatchHeader{
			Stream: p.stream, Sequence: p.sequence, Kind: kind, ShapeVersion: p.shape.Version, Count: len(changes), Previous: p.digest,
			Last: lienthong.Position{Order: math.MaxUint64, Token: "x"}, Sealed: clock.UnixMicro(),
		},
		Shape: p.shape,
		Rows:  &slow{changes: changes},
	}
	p.digest = p.stream.Node + strconv.FormatUint(p.sequence, 10)
	item.Digest = p.digest
	return item
}

func (p *sender) apply(kind lienthong.BatchKind, changes ...lienthong.Change) Applied {
	p.tb.Helper()
	applied, err := p.s.Apply(context.Background(), []Item{p.item(kind, changes...)})
	check(p.tb, err)
	return applied[0]
}

func (p *sender) state() StreamState {
	p.tb.Helper()
	states, err := p.s.StreamStates(context.Background())
	check(p.tb, err)
	for _, st := range states {
		if st.Stream == p.stream {
			return st
		}
	}
	return StreamState{}
}

// records returns the live records as the store reads them back.
func (p *sender) records() map[string][]lienthong.Value {
	p.tb.Helper()
	view, err := p.s.Freeze(context.Background())
	check(p.tb, err)
	defer func() { check(p.tb, view.Close()) }()
	got := make(map[string][]lienthong.Value)
	check(p.tb, view.Records(context.Background(), p.stream, p.shape, func(id []byte, values []lienthong.Value) error {
		var row []lienthong.Value
		for _, v := range values {
			v.Bytes = append([]byte(nil), v.Bytes...)
			row = append(row, v)
		}
		got[string(id)] = row
		return nil
	}))
	return got
}

func equal(tb testing.TB, got, want any) {
	tb.Helper()
	empty := cmp.FilterValues(func(a, b []byte) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())
	if diff := cmp.Diff(want, got, empty); diff != "" {
		tb.Fatalf("difference (-want +got):\n%s", diff)
	}
}

func upsert(id string, version int64, values ...lienthong.Value) lienthong.Change {
	return lienthong.Change{Op: lienthong.Upsert, ID: []byte(id), Version: version, At: 1000 + version, Values: values}
}

func remove(id string, version int64) lienthong.Change {
	return lienthong.Change{Op: lienthong.Delete, ID: []byte(id), Version: version, At: 1000 + version}
}

func hold(id string, version int64) lienthong.Change {
	return lienthong.Change{Op: lienthong.Hold, ID: []byte(id), Version: version, At: 1000 + version}
}

// small is a shape of three texts.
func small(version int) *lienthong.Shape {
	shape := &lienthong.Shape{Dataset: people, Version: version, Identity: []int{0}}
	for _, name := range []string{"id", "a", "b"} {
		shape.Fields = append(shape.Fields, lienthong.Field{Name: name, Kind: lienthong.Text})
	}
	return shape
}

func row(id string, version int64, a, b lienthong.Value) lienthong.Change {
	return upsert(id, version, text(id), a, b)
}

func TestEveryValueReadsBackExactly(t *testing.T) {
	shape := everyKind(1)
	samples := [][]lienthong.Value{
		{null, null, null, null, null, null, null, null, null, null, null},
		{text("001"), text("Nguyễn Thị Ánh"), number(math.MinInt64), text("-12.50"), realValue(math.Copysign(0, -1)), number(0), number(0), number(0), text("\x00\xff"), text(""), number(7)},
		{text("002"), text("'\";--\t\n\x1f"), number(math.MaxInt64), text("NaN"), realValue(math.NaN()), number(1), number(-719528), number(-62135596800000001), text(""), text("x"), number(-1)},
		{text("003"), text("😀"), number(0), text("0"), number(0x7ff8000000000000), number(1), number(-719529), number(253402300799999999), text("1"), text("\\N"), null},
		{text("004"), text("NULL"), number(1), text("0.00"), realValue(math.Inf(1)), number(0), number(2932896), number(math.MaxInt64), text("2"), text("\\."), null},
		{text("005"), text("a"), number(1), text("123456789012345678901234567890.000000000000000000000000000001"), realValue(math.Inf(-1)), number(0), number(2932897), number(math.MinInt64), text("3"), text("?"), null},
		{text("006"), text("a"), number(1), text("-0.0001000"), realValue(5e-324), number(0), number(math.MaxInt64), number(minTimestamp), text("4"), text("$1"), null},
		{text("007"), text("a"), number(1), text("100000000"), realValue(0.1), number(0), number(math.MinInt64), number(maxTimestamp), text("5"), text("b"), null},
		{text("008"), text("a"), number(1), text("10000.00001"), realValue(3), number(0), number(minDate), number(1), text("6"), text("b"), null},
		{text("009"), text("a"), number(1), text("Infinity"), realValue(-1.5), number(0), number(maxDate), number(-1), text("7"), text("b"), null},
		{text("010"), text("a"), number(1), text("-Infinity"), realValue(1e300), number(0), number(19000), number(1751328000123456), text("8"), text("b"), null},
	}
	onBoth(t, func(t *testing.T, s *Store) {
		for _, kind := range []lienthong.BatchKind{lienthong.SnapshotBatch, lienthong.ChangesBatch} {
			// Few and many rows take different roads.
			for _, copies := range []int{1, 200} {
				p := newSender(t, s, shape, fmt.Sprintf("%s%d", kind, copies))
				for version := int64(1); version <= 2; version++ { // insert, then update
					want := make(map[string][]lienthong.Value)
					var changes []lienthong.Change
					digest, hasher := new(batch.Digest), batch.NewHasher(shape)
					for n := range copies {
						for i, values := range samples {
							id := fmt.Sprintf("%d/%d", i, n)
							changes = append(changes, upsert(id, version, values...))
							want[id] = values
							digest.Add(hasher.Row([]byte(id), values))
						}
					}
					equal(t, p.apply(kind, changes...), Applied{Landed: len(changes), AppliedAt: clock.UnixMicro()})
					equal(t, p.records(), want)
					view, err := s.Freeze(context.Background())
					check(t, err)
					got, err := view.Digest(context.Background(), p.stream, shape)
					check(t, err)
					check(t, view.Close())
					if d := digest.Differing(got); len(d) > 0 || got.Rows != int64(len(changes)) {
						t.Fatalf("digest differs in buckets %v, %d rows", d, got.Rows)
					}
				}
			}
		}
	})
}

func TestVersionsOnlyRise(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		p := newSender(t, s, small(1), "n1")
		p.apply(lienthong.ChangesBatch, row("1", 10, text("a"), text("b")))
		got := p.apply(lienthong.ChangesBatch, row("1", 10, text("x"), text("x")), row("1", 9, text("x"), text("x")), row("2", 1, text("a"), null))
		equal(t, got, Applied{Landed: 1, Ignored: 2, AppliedAt: clock.UnixMicro()})
		equal(t, p.records()["1"], []lienthong.Value{text("1"), text("a"), text("b")})
		p.apply(lienthong.ChangesBatch, remove("1", 20))
		equal(t, p.apply(lienthong.SnapshotBatch, row("1", 19, text("late"), text("late"))).Ignored, 1)
		// A delete of what was never there still keeps a late older row out.
		p.apply(lienthong.ChangesBatch, remove("3", 20))
		equal(t, p.apply(lienthong.ChangesBatch, row("3", 5, text("late"), text("late"))).Ignored, 1)
		equal(t, p.records(), map[string][]lienthong.Value{"2": {text("2"), text("a"), null}})
		p.apply(lienthong.ChangesBatch, row("3", 21, text("again"), null))
		st := p.state()
		equal(t, []int64{st.Live, st.Held, st.Deleted, st.Batches}, []int64{2, 0, 1, 7})
	})
}

func TestUnchangedIsNotNull(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		for _, n := range []int{1, 3000} { // array parameters; staging
			p := newSender(t, s, small(1), fmt.Sprintf("n%d", n))
			var first, second, third []lienthong.Change
			want := make(map[string][]lienthong.Value)
			for i := range n {
				id := strconv.Itoa(i)
				first = append(first, row(id, 1, text("a"), text("b")))
				second = append(second, row(id, 2, text("a2"), unchanged))
				if i%2 == 0 {
					// Two changes of one batch that leave different fields unchanged, and the first is older.
					third = append(third, row(id, 3, unchanged, text("b3")), row(id, 4, text("a4"), unchanged))
					want[id] = []lienthong.Value{text(id), text("a4"), text("b3")}
				} else {
					third = append(third, row(id, 2, text("old"), text("old")), row(id, 3, unchanged, unchanged), upsert(id, 4, unchanged, unchanged, unchanged))
					want[id] = []lienthong.Value{text(id), text("a2"), text("b")}
				}
			}
			p.apply(lienthong.SnapshotBatch, first...)
			p.apply(lienthong.ChangesBatch, second...)
			p.apply(lienthong.ChangesBatch, third...)
			equal(t, p.records(), want)
		}
		p := newSender(t, s, small(1), "no base")
		got := p.apply(lienthong.ChangesBatch, row("1", 1, text("a"), unchanged),
			row("2", 1, text("a"), null), remove("2", 2), row("2", 3, text("a"), unchanged),
			remove("3", 2), row("3", 3, text("a"), text("b")), row("3", 4, unchanged, text("c")))
		equal(t, got.Refused, []Refusal{{[]byte("1"), "incomplete"}, {[]byte("2"), "incomplete"}})
		equal(t, got.Landed, 5)
		equal(t, p.records(), map[string][]lienthong.Value{"3": {text("3"), text("a"), text("c")}})
	})
}

func TestHoldKeepsTheLastGoodState(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		p := newSender(t, s, small(1), "n")
		p.apply(lienthong.ChangesBatch, row("1", 1, text("a"), text("b")))
		equal(t, p.apply(lienthong.ChangesBatch, hold("1", 2), hold("2", 2), hold("1", 1)), Applied{Landed: 1, Ignored: 2, AppliedAt: clock.UnixMicro()})
		equal(t, len(p.records()), 0)
		equal(t, p.state().Held, int64(1))
		// A snapshot that the hold overtook brings back no state of before it.
		equal(t, p.apply(lienthong.SnapshotBatch, row("2", 1, text("old"), text("old"))).Ignored, 1)
		equal(t, len(p.records()), 0)
		p.apply(lienthong.ChangesBatch, row("2", 3, text("good"), text("again")))
		equal(t, p.records(), map[string][]lienthong.Value{"2": {text("2"), text("good"), text("again")}})
		p.apply(lienthong.ChangesBatch, remove("2", 4))
		p.apply(lienthong.ChangesBatch, row("1", 3, text("a3"), unchanged))
		equal(t, p.records(), map[string][]lienthong.Value{"1": {text("1"), text("a3"), text("b")}})
		p.apply(lienthong.ChangesBatch, row("1", 4, text("a4"), text("b4")), hold("1", 5))
		st := p.state()
		equal(t, []int64{st.Live, st.Held, st.Deleted}, []int64{0, 1, 1})
		p.apply(lienthong.ChangesBatch, remove("1", 6), hold("1", 7), row("1", 6, text("late"), text("late")))
		st = p.state()
		equal(t, []int64{st.Live, st.Held, st.Deleted}, []int64{0, 0, 2})
	})
}

func TestABadRowStopsNoOther(t *testing.T) {
	shape := everyKind(1)
	good := func(id string) lienthong.Change {
		return upsert(id, 1, text(id), text("x"), number(1), text("1.5"), realValue(1), number(1), number(1), number(1), text("p"), text("q"), number(1))
	}
	bad := func(id string, field int, v lienthong.Value) lienthong.Change {
		c := good(id)
		c.Version, c.Values = 2, append([]lienthong.Value(nil), c.Values...)
		c.Values[field] = v
		return c
	}
	onBoth(t, func(t *testing.T, s *Store) {
		p := newSender(t, s, shape, "n")
		p.apply(lienthong.ChangesBatch, good("old"))
		got := p.apply(lienthong.ChangesBatch,
			good("1"), bad("2", 1, text("a\x00b")), bad("3", 1, text("\xff")), bad("4", 3, text("1,5")), bad("5", 3, text("-0.0")),
			bad("6", 6, number(maxDate+1)), bad("7", 7, number(minTimestamp-1)), bad("8", 2, lienthong.Value{State: lienthong.Malformed}),
			upsert("9", 1, text("9")), good("10"), upsert("", 1), bad("old", 1, text("\xff")), bad("11", 5, number(2)),
			lienthong.Change{Op: 9, ID: []byte("12"), Version: 1})
		var reasons []string
		for _, r := range got.Refused {
			reasons = append(reasons, string(r.ID)+" "+r.Reason)
		}
		equal(t, reasons, []string{
			"2 text", "3 text", "4 decimal", "5 decimal", "6 date", "7 timestamp", "8 malformed", "9 columns",
			" identity", "old text", "11 malformed", "12 operation",
		})
		equal(t, got.Landed, 2)
		// What was there and is no longer known to be right does not count as landed.
		st := p.state()
		equal(t, []int64{st.Live, st.Held, st.Refused}, []int64{2, 1, 12})

		// The engine itself refuses: an operator has added a constraint.
		if s.Engine() == "postgres" {
			exec(t, s, `ALTER TABLE "records_population_person" ADD CHECK ("order" < 500)`)
		} else {
			exec(t, s, `CREATE UNIQUE INDEX one ON records_population_person("order") WHERE "order" > 499`)
			exec(t, s, `INSERT INTO records_population_person(_id,_stream,_version,_deleted,_held,_source_at,_received_at,_batch,"order") VALUES ('z',99,1,0,0,0,0,0,500),('y',99,1,0,0,0,0,0,501),('x',99,1,0,0,0,0,0,502)`)
		}
		var changes []lienthong.Change
		for i := range 2000 {
			c := bad(fmt.Sprintf("c%d", i), 2, number(int64(i%400)))
			if i == 7 || i == 1500 {
				c.Values[2] = number(500)
			}
			if s.Engine() != "postgres" && c.Values[2].Int < 500 {
				c.Values[2] = number(1)
			}
			changes = append(changes, c)
		}
		fresh := bad("10", 2, number(501))
		changes = append(changes, fresh)
		got = p.apply(lienthong.ChangesBatch, changes...)
		if len(got.Refused) != 3 || got.Landed != 1998 {
			t.Fatalf("landed %d, refused %d", got.Landed, len(got.Refused))
		}
		st = p.state()
		equal(t, []int64{st.Live, st.Held}, []int64{2 + 1998 - 1, 2})
		equal(t, p.s.count(t, p.stream), []int64{st.Live, st.Held, st.Deleted})
	})
}

// exec runs SQL behind the store's back.
func exec(tb testing.TB, s *Store, query string) {
	tb.Helper()
	_, err := s.change(context.Background(), query)
	check(tb, err)
}

// count counts live, held and deleted records in the table.
func (s *Store) count(tb testing.TB, stream lienthong.Stream) []int64 {
	tb.Helper()
	st, err := readStream(context.Background(), s.engine.reader(), stream, "")
	check(tb, err)
	shape, err := s.Shape(context.Background(), stream.Dataset, 0)
	check(tb, err)
	l, err := s.layout(context.Background(), s.engine.reader(), shape)
	check(tb, err)
	counts := make([]int64, 3)
	check(tb, s.engine.reader().each(context.Background(), "SELECT _deleted, _held FROM "+l.table+" WHERE _stream = ?", []any{st.No}, func(scan scanFunc) error {
		var isDeleted, isHeld bool
		err := scan(&isDeleted, &isHeld)
		counts[presenceOf(isDeleted, isHeld)-live]++
		return err
	}))
	return []int64{counts[0], counts[1], counts[2]}
}

package polling_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"modernc.org/sqlite"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/polling"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func open(t testing.TB, config polling.Config) *polling.Source {
	t.Helper()
	if config.Every == 0 {
		config.Every = time.Millisecond
	}
	if config.Dialect.Name == "" {
		config.Dialect = polling.SQLite()
	}
	source, err := polling.Open(t.Context(), config)
	must(t, err)
	t.Cleanup(func() { _ = source.Close() })
	return source
}

// lines is a Sink that writes down what it gets, and ends the stream when it is drained.
type lines struct {
	columns [][]lienthong.Column
	got     []string
	pos     lienthong.Position
	ended   func()
}

func (l *lines) Begin(lienthong.Position, int64) error { return nil }
func (l *lines) Change(row *connector.Row) error {
	l.got = append(l.got, row.Op.String()+describe(row.Values, l.columns[row.Table]))
	return nil
}
func (l *lines) Truncate(int, int64, int64) error { return errors.New("not expected") }
func (l *lines) Schema(table int, now connector.Table) error {
	l.columns[table] = now.Columns
	text := "schema"
	for _, c := range now.Columns {
		text += " " + c.Name
	}
	l.got = append(l.got, text)
	return nil
}
func (l *lines) Commit(pos lienthong.Position) error { l.pos = pos; return nil }
func (l *lines) Idle() error                         { l.ended(); return nil }

func describe(values []lienthong.Value, columns []lienthong.Column) string {
	text := ""
	for i := range values {
		v := &values[i]
		switch v.State {
		case lienthong.Null:
			text += " ∅"
		case lienthong.Unchanged:
			text += " ="
		case lienthong.Malformed:
			text += " !" + string(v.Bytes)
		case lienthong.Present:
			text += " " + string(v.AppendText(nil, columns[i].Kind))
		}
	}
	return text
}

// drain streams one table until nothing is waiting.
func drain(t testing.TB, source *polling.Source, table string, after lienthong.Position) (*lines, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := false
	l := &lines{pos: after, ended: func() { done = true; cancel() }}
	l.columns = [][]lienthong.Column{nil}
	tables, err := source.Tables(t.Context())
	if err != nil {
		return l, err
	}
	for _, listed := range tables {
		if listed.Name == table {
			l.columns[0] = listed.Columns
		}
	}
	if err := source.Stream(ctx, after, l); !done {
		return l, err
	}
	return l, nil
}

func start(t testing.TB, source *polling.Source, table string) lienthong.Position {
	t.Helper()
	pos, err := source.Start(t.Context(), []string{table})
	must(t, err)
	return pos
}

func expect(t testing.TB, source *polling.Source, after lienthong.Position, want ...string) lienthong.Position {
	t.Helper()
	l, err := drain(t, source, "people", after)
	must(t, err)
	if diff := cmp.Diff(want, l.got); diff != "" {
		t.Error(diff)
	}
	return l.pos
}

func viewed(t testing.TB, source *polling.Source) []string {
	t.Helper()
	view, err := source.View(t.Context())
	must(t, err)
	defer func() { must(t, view.Close()) }()
	var rows []string
	describer, ok := view.(connector.Describer)
	if !ok {
		t.Fatal("the view does not describe its tables")
	}
	columns := describer.Table(0).Columns
	must(t, view.Read(t.Context(), 0, "0..", func(row *connector.Row) error {
		rows = append(rows, strings.TrimSpace(describe(row.Values, columns)))
		return nil
	}))
	return rows
}

func TestSoftDelete(t *testing.T) {
	for name, test := range map[string]struct {
		declared, alive, dead string
		values                []string
	}{
		"any value":   {"TIMESTAMP", "NULL", "'2025-07-01 00:00:00'", nil},
		"true":        {"BOOLEAN", "0", "1", []string{"true"}},
		"some values": {"TEXT", "'A'", "'X'", []string{"D", "X"}},
	} {
		t.Run(name, func(t *testing.T) {
			path, db := application(t)
			exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, n INTEGER, gone "+test.declared+")",
				"INSERT INTO people VALUES (1, 'a', 1, "+test.alive+"), (2, 'b', 2, "+test.alive+"), (3, 'c', 3, "+test.dead+")")
			source := open(t, polling.Config{DB: connect(t, path), StateDir: t.TempDir(), Tables: []polling.Table{
				{Name: "people", Monotonic: "n", DeletedColumn: "gone", DeletedValues: test.values, Skip: []string{"n", "gone"}},
			}})
			pos := start(t, source, "people")
			if diff := cmp.Diff([]string{"1 a", "2 b"}, viewed(t, source)); diff != "" {
				t.Errorf("view: %s", diff)
			}
			exec(t, db, "UPDATE people SET gone = "+test.dead+", n = 4 WHERE id = 2")
			pos = expect(t, source, pos, "delete 2 =")
			exec(t, db, "UPDATE people SET gone = "+test.alive+", n = 5 WHERE id IN (2, 3)", "UPDATE people SET name = 'z', n = 6 WHERE id = 1")
			expect(t, source, pos, "upsert 2 b", "upsert 3 c", "upsert 1 z")
		})
	}
}

// TestOverlap: a transaction takes its time stamp and commits when later ones have been read.
func TestOverlap(t *testing.T) {
	path, db := application(t)
	exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, at TIMESTAMP)", "INSERT INTO people VALUES (1, '2025-07-01 10:00:00')")
	source := open(t, polling.Config{
		DB: connect(t, path), StateDir: t.TempDir(), Overlap: time.Minute,
		Tables: []polling.Table{{Name: "people", Monotonic: "at", KeySweepEvery: -1}},
	})
	pos := start(t, source, "people")
	exec(t, db, "INSERT INTO people VALUES (2, '2025-07-01 10:05:00')")
	pos = expect(t, source, pos, "upsert 2 2025-07-01T10:05:00.000000Z")
	exec(t, db, "INSERT INTO people VALUES (3, '2025-07-01 10:04:30')", "INSERT INTO people VALUES (4, '2025-07-01 10:03:00')")
	pos = expect(t, source, pos, "upsert 3 2025-07-01T10:04:30.000000Z")
	// What came too late is found when all keys are compared, or by a view.
	if got := viewed(t, source); len(got) != 4 {
		t.Errorf("the view has %v", got)
	}
	expect(t, source, pos, "upsert 4 2025-07-01T10:03:00.000000Z")
}

// TestLateRowIsFoundByKeySweep: the same without a view.
func TestLateRowIsFoundByKeySweep(t *testing.T) {
	path, db := application(t)
	exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO people VALUES (1, 5000)")
	source := open(t, polling.Config{
		DB: connect(t, path), StateDir: t.TempDir(), OverlapNumbers: 10,
		Tables: []polling.Table{{Name: "people", Monotonic: "n", KeySweepEvery: 1}},
	})
	pos := start(t, source, "people")
	exec(t, db, "INSERT INTO people VALUES (2, 7)", "DELETE FROM people WHERE id = 1")
	expect(t, source, pos, "delete 1 =", "upsert 2 7")
}

// TestManyLateRows: too many to be asked for one by one; and a deleted row that was never seen is none of them.
func TestManyLateRows(t *testing.T) {
	path, db := application(t)
	exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, n INTEGER, gone INTEGER)", "INSERT INTO people VALUES (1, 500000, 0)")
	source := open(t, polling.Config{
		DB: connect(t, path), StateDir: t.TempDir(), OverlapNumbers: 10,
		Tables: []polling.Table{{Name: "people", Monotonic: "n", KeySweepEvery: 1, DeletedColumn: "gone", DeletedValues: []string{"1"}}},
	})
	pos := start(t, source, "people")
	exec(t, db, "WITH RECURSIVE i(x) AS (SELECT 10 UNION ALL SELECT x + 1 FROM i WHERE x < 2500) INSERT INTO people SELECT x, x, x > 2000 FROM i")
	l, err := drain(t, source, "people", pos)
	must(t, err)
	if len(l.got) != 1991 {
		t.Errorf("%d changes, want 1991", len(l.got))
	}
	exec(t, db, "UPDATE people SET gone = 1 WHERE id = 10")
	expect(t, source, l.pos, "delete 10 = =")
}

// TestRowReadOutOfTurn: a row that is asked for by its key may be newer than rows that were not read yet. The mark
// does not follow it.
func TestRowReadOutOfTurn(t *testing.T) {
	path, db := application(t)
	exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO people VALUES (1, 1), (2, 2)")
	r := &rewriting{path: path}
	dialect := polling.SQLite()
	dialect.Begin, dialect.End = nil, nil
	source := open(t, polling.Config{
		DB: sql.OpenDB(r), Dialect: dialect, StateDir: t.TempDir(), OverlapNumbers: 1,
		Tables: []polling.Table{{Name: "people", Monotonic: "n", KeySweepEvery: 1}},
	})
	pos := start(t, source, "people")
	once := false
	r.mu.Lock()
	r.step = func(_ int, query string) (string, error) {
		if strings.HasPrefix(query, `SELECT +"id" FROM "people"`) && !once { // the keys, after the poll
			once = true
			exec(t, db, "UPDATE people SET n = 50 WHERE id = 1", "INSERT INTO people VALUES (3, 100)")
		}
		return query, nil
	}
	r.mu.Unlock()
	pos = expect(t, source, pos, "upsert 3 100")
	expect(t, source, pos, "upsert 1 50")
}

// TestFutureTime: a row of the year 2099 does not make all others look old.
func TestFutureTime(t *testing.T) {
	path, db := application(t)
	exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, at TIMESTAMP)", "INSERT INTO people VALUES (1, '2099-01-01 00:00:00')")
	source := open(t, polling.Config{
		DB: connect(t, path), StateDir: t.TempDir(), Overlap: time.Minute,
		Tables: []polling.Table{{Name: "people", Monotonic: "at", KeySweepEvery: -1}},
	})
	pos := start(t, source, "people")
	exec(t, db, "INSERT INTO people VALUES (2, strftime('%Y-%m-%d %H:%M:%f', 'now', 'localtime'))")
	l, err := drain(t, source, "people", pos)
	must(t, err)
	if len(l.got) != 1 || !strings.HasPrefix(l.got[0], "upsert 2 ") {
		t.Errorf("got %v", l.got)
	}
	exec(t, db, "INSERT INTO people VALUES (3, '2098-01-01 00:00:00')")
	pos = expect(t, source, l.pos, "upsert 3 2098-01-01T00:00:00.000000Z")
	exec(t, db, "INSERT INTO people VALUES (4, strftime('%Y-%m-%d %H:%M:%f', 'now', 'localtime'))")
	if l, err = drain(t, source, "people", pos); err != nil || len(l.got) != 1 {
		t.Errorf("got %v %v", l.got, err)
	}
}

// TestCutOffInTheMiddle: what a poll stored before the process ended is published at the next start, because
// the digests say already that it was seen.
func TestCutOffInTheMiddle(t *testing.T) {
	path, db := application(t)
	dir := t.TempDir()
	exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
	config := polling.Config{DB: connect(t, path), StateDir: dir}
	source := open(t, config)
	pos := start(t, source, "people")
	exec(t, db, "INSERT INTO people VALUES (1, 'a'), (2, 'b')")
	expect(t, source, pos, "upsert 1 a", "upsert 2 b")
	must(t, source.Close())
	state, err := sql.Open("sqlite", filepath.Join(dir, "polling.db"))
	must(t, err)
	exec(t, state, "DELETE FROM polls", "UPDATE meta SET published = acknowledged")
	must(t, state.Close())
	config.DB = connect(t, path)
	source = open(t, config)
	if again := start(t, source, "people"); again != pos {
		t.Errorf("Start returned %v, want %v", again, pos)
	}
	pos = expect(t, source, pos, "upsert 1 a", "upsert 2 b")
	must(t, source.Acknowledge(t.Context(), pos))
	exec(t, db, "DELETE FROM people WHERE id = 1")
	expect(t, source, pos, "delete 1 =")
}

func TestKeyIsNotUnique(t *testing.T) {
	path, db := application(t)
	exec(t, db, "CREATE TABLE people (id INTEGER, name TEXT)", "INSERT INTO people VALUES (1, 'a'), (1, 'b'), (2, 'c'), (NULL, 'd'), (NULL, 'e')")
	source := open(t, polling.Config{DB: connect(t, path), StateDir: t.TempDir(), Tables: []polling.Table{{Name: "people", Key: []string{"id"}}}})
	pos := start(t, source, "people")
	health, err := source.Health(t.Context())
	must(t, err)
	if health.OK || health.Code != "polling.key_not_unique" || !strings.Contains(health.En, "has 1 rows") {
		t.Errorf("%+v", health)
	}
	// Rows without a key are there, for the caller to count and hold back.
	if diff := cmp.Diff([]string{"1 a", "2 c", "∅ d", "∅ e"}, viewed(t, source)); diff != "" {
		t.Error(diff)
	}
	exec(t, db, "DELETE FROM people WHERE name = 'b'", "UPDATE people SET name = 'f' WHERE name = 'd'")
	expect(t, source, pos, "upsert ∅ f")
	if health, err = source.Health(t.Context()); err != nil || !health.OK {
		t.Errorf("%+v %v", health, err)
	}
}

func TestTableGone(t *testing.T) {
	path, db := application(t)
	create := "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)"
	exec(t, db, create, "INSERT INTO people VALUES (1, 'a'), (2, 'b')")
	source := open(t, polling.Config{DB: connect(t, path), StateDir: t.TempDir(), SchemaEvery: time.Hour})
	pos := start(t, source, "people")
	exec(t, db, "DROP TABLE people")
	l, err := drain(t, source, "people", pos)
	must(t, err)
	if diff := cmp.Diff([]string{"schema"}, l.got); diff != "" {
		t.Error(diff)
	}
	health, err := source.Health(t.Context())
	must(t, err)
	if health.OK || health.Code != "polling.table_missing" || !strings.Contains(health.Vi, "people") {
		t.Errorf("%+v", health)
	}
	exec(t, db, create, "INSERT INTO people VALUES (2, 'b'), (3, 'c')")
	expect(t, source, pos, "schema id name", "delete 1 =", "upsert 3 c")
}

// TestPaused: what is not acknowledged does not grow without end.
func TestPaused(t *testing.T) {
	path, db := application(t)
	exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
	source := open(t, polling.Config{DB: connect(t, path), StateDir: t.TempDir(), MaxPending: 2})
	pos := start(t, source, "people")
	exec(t, db, "INSERT INTO people VALUES (1, 'a'), (2, 'b')")
	pos = expect(t, source, pos, "upsert 1 a", "upsert 2 b")
	exec(t, db, "INSERT INTO people VALUES (3, 'c')")
	expect(t, source, pos)
	health, err := source.Health(t.Context())
	must(t, err)
	if health.Code != "polling.paused" || !strings.Contains(health.En, "2 changes") {
		t.Errorf("%+v", health)
	}
	must(t, source.Acknowledge(t.Context(), pos))
	expect(t, source, pos, "upsert 3 c")
}

// rewriting is SQLite behind a driver that may change a query or fail.
type rewriting struct {
	path string
	mu   sync.Mutex
	seen int
	step func(n int, query string) (string, error)
}

func (r *rewriting) Connect(context.Context) (driver.Conn, error) {
	c, err := (&sqlite.Driver{}).Open("file:" + r.path + "?_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)")
	return &rewritingConn{r: r, real: c}, err
}
func (r *rewriting) Driver() driver.Driver { return &sqlite.Driver{} }

type rewritingConn struct {
	r    *rewriting
	real driver.Conn
	cut  bool
}

func (c *rewritingConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not expected") }

func (c *rewritingConn) Begin() (driver.Tx, error) { return nil, errors.New("not expected") }
func (c *rewritingConn) Close() error              { return c.real.Close() }

var errCut = errors.New("connection reset by peer")

func (c *rewritingConn) rewrite(query string) (string, error) {
	if c.cut {
		return "", driver.ErrBadConn
	}
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.seen++
	if c.r.step == nil {
		return query, nil
	}
	query, err := c.r.step(c.r.seen, query)
	c.cut = err != nil
	return query, err
}

func (c *rewritingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	query, err := c.rewrite(query)
	if err != nil {
		return nil, err
	}
	return c.real.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *rewritingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	query, err := c.rewrite(query)
	if err != nil {
		return nil, err
	}
	return c.real.(driver.ExecerContext).ExecContext(ctx, query, args)
}

// TestRowThatHidesFromAScan: without a snapshot a row may move past the reader. It is asked for once
// more, and not taken for deleted.
func TestRowThatHidesFromAScan(t *testing.T) {
	path, db := application(t)
	exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO people VALUES (1, 'a'), (2, 'b'), (3, 'c')")
	r := &rewriting{path: path}
	dialect := polling.SQLite()
	dialect.Begin, dialect.End = nil, nil
	source := open(t, polling.Config{DB: sql.OpenDB(r), Dialect: dialect, StateDir: t.TempDir()})
	pos := start(t, source, "people")
	r.mu.Lock()
	r.step = func(_ int, query string) (string, error) {
		if strings.HasSuffix(query, `FROM "people"`) {
			query += " WHERE id <> 2"
		}
		return query, nil
	}
	r.mu.Unlock()
	exec(t, db, "DELETE FROM people WHERE id = 3")
	expect(t, source, pos, "delete 3 =")
}

// TestFaultAtEachStep cuts the connection at every statement in turn, and goes on from there.
func TestFaultAtEachStep(t *testing.T) {
	for _, monotonic := range []string{"", "n"} {
		for n := 1; ; n++ {
			path, db := application(t)
			exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO people VALUES (1, 1), (2, 2), (3, 3)")
			r := &rewriting{path: path}
			source := open(t, polling.Config{
				DB: sql.OpenDB(r), StateDir: t.TempDir(), SchemaEvery: 1,
				Tables: []polling.Table{{Name: "people", Monotonic: monotonic, KeySweepEvery: 1}},
			})
			pos := start(t, source, "people")
			exec(t, db, "DELETE FROM people WHERE id = 1", "UPDATE people SET n = 20 WHERE id = 2", "INSERT INTO people VALUES (4, 40)")
			failed := false
			r.mu.Lock()
			r.seen = 0
			r.step = func(at int, query string) (string, error) {
				if at == n {
					failed = true
					return "", errCut
				}
				return query, nil
			}
			r.mu.Unlock()
			var got []string
			for attempt := 0; ; attempt++ {
				l, err := drain(t, source, "people", pos)
				got, pos = append(got, l.got...), l.pos
				if err == nil {
					break
				}
				if attempt > 3 {
					t.Fatalf("step %d: %v", n, err)
				}
			}
			var rows []string
			for attempt := 0; rows == nil; attempt++ {
				view, err := source.View(t.Context())
				if err == nil {
					err = view.Read(t.Context(), 0, "0..", func(row *connector.Row) error {
						rows = append(rows, fmt.Sprint(row.Values[0].Int))
						return nil
					})
					err = errors.Join(err, view.Close())
				}
				if err != nil && attempt > 3 {
					t.Fatalf("step %d: %v", n, err)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff([]string{"delete 1 =", "upsert 2 20", "upsert 4 40"}, got); diff != "" {
				t.Fatalf("step %d: %s", n, diff)
			}
			if diff := cmp.Diff([]string{"2", "3", "4"}, rows); diff != "" {
				t.Fatalf("step %d: %s", n, diff)
			}
			left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "view-*"))
			if err != nil || len(left) != 0 {
				t.Fatalf("step %d: copies of views are left: %v %v", n, left, err)
			}
			if !failed {
				if n < 5 {
					t.Fatalf("only %d steps", n)
				}
				break
			}
		}
	}
}

func TestDeclarationsThatAreWrong(t *testing.T) {
	path, db := application(t)
	exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)", "CREATE VIEW v AS SELECT * FROM people")
	for name, test := range map[string]struct {
		table polling.Table
		code  string
	}{
		"no such key":       {polling.Table{Name: "people", Key: []string{"no"}}, "polling.column_missing"},
		"no such monotonic": {polling.Table{Name: "people", Monotonic: "no"}, "polling.column_missing"},
		"monotonic text":    {polling.Table{Name: "people", Monotonic: "name"}, "polling.monotonic_kind"},
		"no such table":     {polling.Table{Name: "nobody"}, "polling.table_missing"},
		"view without key":  {polling.Table{Name: "v"}, "polling.no_key"},
	} {
		source := open(t, polling.Config{DB: connect(t, path), StateDir: t.TempDir(), Tables: []polling.Table{test.table}})
		_, err := source.Start(t.Context(), []string{test.table.Name})
		if lienthong.ErrorCode(err) != test.code {
			t.Errorf("%s: %v, want %s", name, err, test.code)
		}
	}
	source := open(t, polling.Config{DB: connect(t, path), StateDir: t.TempDir(), Tables: []polling.Table{{Name: "v", Key: []string{"id"}}}})
	if _, err := source.Start(t.Context(), []string{"v"}); err != nil {
		t.Errorf("a view with a declared key: %v", err)
	}
	for _, config := range []polling.Config{
		{},
		{DB: db, Dialect: polling.SQLite()},
		{DB: db, Dialect: polling.SQLite(), StateDir: t.TempDir(), Tables: []polling.Table{{Name: "a"}, {Name: "a"}}},
		{DB: db, Dialect: polling.SQLite(), StateDir: t.TempDir(), Tables: []polling.Table{{Name: "a", DeletedValues: []string{"x"}}}},
	} {
		if _, err := polling.Open(t.Context(), config); lienthong.ErrorCode(err) != "polling.config" {
			t.Errorf("%+v: %v", config.Tables, err)
		}
	}
}

// TestLeftoverCopies: a view that a crash left behind does not stay on the disk.
func TestLeftoverCopies(t *testing.T) {
	path, _ := application(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "view-7.db")
	must(t, os.WriteFile(name, []byte("x"), 0o600))
	open(t, polling.Config{DB: connect(t, path), StateDir: dir})
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestConvert(t *testing.T) {
	for _, test := range []struct {
		raw  any
		kind lienthong.Kind
		want string
	}{
		{nil, lienthong.Text, "∅"},
		{"12.50", lienthong.Decimal, "12.50"},
		{"+007.10", lienthong.Decimal, "7.10"},
		{".5", lienthong.Decimal, "0.5"},
		{"-.5", lienthong.Decimal, "-0.5"},
		{"1.5E+3", lienthong.Decimal, "1500"},
		{"1.5e-3", lienthong.Decimal, "0.0015"},
		{"-12345e-2", lienthong.Decimal, "-123.45"},
		{"1,5", lienthong.Decimal, "!1,5"},
		{"", lienthong.Decimal, "!"},
		{"NaN", lienthong.Decimal, "NaN"},
		{"1e999999", lienthong.Decimal, "!1e999999"},
		{0.1, lienthong.Decimal, "0.1"},
		{int64(7), lienthong.Decimal, "7"},
		{uint64(18446744073709551615), lienthong.Decimal, "18446744073709551615"},
		{[]byte("42"), lienthong.Integer, "42"},
		{3.0, lienthong.Integer, "3"},
		{3.5, lienthong.Integer, "!3.5"},
		{"abc", lienthong.Integer, "!abc"},
		{float32(0.1), lienthong.Real, "0.1"},
		{"Infinity", lienthong.Real, "+Inf"},
		{true, lienthong.Boolean, "true"},
		{"f", lienthong.Boolean, "false"},
		{int64(2), lienthong.Boolean, "!2"},
		{[]byte{1}, lienthong.Boolean, "true"},
		{true, lienthong.Text, "true"},
		{0.5, lienthong.Text, "0.5"},
		{[]byte{0xff}, lienthong.Text, "!\xff"},
		{time.Date(2024, 2, 29, 23, 0, 0, 0, time.FixedZone("", 7*3600)), lienthong.Date, "2024-02-29"},
		{time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), lienthong.Date, "1900-01-01"},
		{"2024-02-29 00:00:00", lienthong.Date, "2024-02-29"},
		{"2024-02-29 10:00:00", lienthong.Date, "!2024-02-29 10:00:00"},
		{"0000-00-00", lienthong.Date, "!0000-00-00"},
		{"2024-02-29T10:00:00.123456789+07:00", lienthong.Timestamp, "2024-02-29T03:00:00.123456Z"},
		{int64(0), lienthong.Timestamp, "1970-01-01T00:00:00.000000Z"},
		{int64(1 << 50), lienthong.Timestamp, "!1125899906842624"},
		{"infinity", lienthong.Timestamp, "!infinity"},
		{"chữ", lienthong.Binary, "6368e1bbaf"},
		{int64(7), lienthong.Binary, "!7"},
	} {
		v := polling.Convert(test.raw, test.kind)
		got := strings.TrimPrefix(describe([]lienthong.Value{v}, []lienthong.Column{{Kind: test.kind}}), " ")
		if got != test.want {
			t.Errorf("%v as %s: %q, want %q", test.raw, test.kind, got, test.want)
		}
	}
}

// TestDialects: each speaks of the same table in its own words.
func TestDialects(t *testing.T) {
	at := lienthong.Value{State: lienthong.Present, Int: 1_709_164_800_000_001}
	for _, test := range []struct {
		dialect                             polling.Dialect
		sourceType, quoted, compare, read   string
		argument                            any
		ceiling                             bool
		catalogArguments                    int
		integer, decimal, real, binary, day string
	}{
		{polling.Generic(), "timestamp", `"a""b"`, "?", "", time.UnixMicro(1_709_164_800_000_001).UTC(), false, 2, "bigint", "numeric(3,1)", "float", "blob", "date"},
		{polling.SQLite(), "TIMESTAMP", `"a""b"`, "?", "+X", "2024-02-29 00:00:00.000001", true, 1, "UNSIGNED BIG INT", "DECIMAL(3,1)", "DOUBLE", "BLOB", "DATE"},
		{polling.PostgreSQL(), "timestamp with time zone", `"a""b"`, "CAST($3 AS timestamp with time zone)", "X", "2024-02-29 00:00:00.000001+00", true, 2, "bigint", "numeric(3,1)", "double precision", "bytea", "date"},
		{polling.MySQL(), "datetime(6)", "`a\"b`", "?", "CAST(X AS CHAR)", "2024-02-29 00:00:00.000001", true, 1, "int(11) unsigned", "decimal(3,1)", "double", "longblob", "date"},
		{polling.SQLServer(), "datetime2(6)", `[a"b]`, "CONVERT(datetime2(6), @p3, 121)", "X", "2024-02-29 00:00:00.000001", true, 2, "int", "money", "float", "rowversion", "date"},
		{polling.Oracle(), "TIMESTAMP(6)", `"a""b"`, "TO_TIMESTAMP(:3, 'YYYY-MM-DD HH24:MI:SS.FF6')", "TO_CHAR(X, 'SYYYY-MM-DD HH24:MI:SS.FF6')", "2024-02-29 00:00:00.000001", true, 2, "NUMBER(9,0)", "NUMBER(9,2)", "BINARY_DOUBLE", "BLOB", ""},
	} {
		d := test.dialect
		t.Run(d.Name, func(t *testing.T) {
			c := &lienthong.Column{Name: "x", SourceType: test.sourceType, Kind: lienthong.Timestamp}
			if got := d.Kind(test.sourceType); got != lienthong.Timestamp {
				t.Errorf("kind %s", got)
			}
			for sourceType, want := range map[string]lienthong.Kind{
				test.integer: lienthong.Integer, test.decimal: lienthong.Decimal, test.real: lienthong.Real, test.binary: lienthong.Binary, test.day: lienthong.Date,
			} {
				if got := d.Kind(sourceType); sourceType != "" && got != want {
					t.Errorf("%s is %s, want %s", sourceType, got, want)
				}
			}
			quote := `"a""b"`
			if d.Quote != nil {
				quote = d.Quote(`a"b`)
			}
			if quote != test.quoted {
				t.Errorf("quotes %s", quote)
			}
			compare, read, argument := "?", "", polling.Argument(at, c.Kind)
			if d.Placeholder != nil {
				compare = d.Placeholder(3, c)
			}
			if d.Select != nil {
				read = d.Select("X", c)
			}
			if d.Argument != nil {
				argument = d.Argument(at, c)
			}
			if compare != test.compare || read != test.read || argument != test.argument {
				t.Errorf("compares by %s, reads by %s, argument %v", compare, read, argument)
			}
			if has := d.Ceiling != nil && d.Ceiling(c) != ""; has != test.ceiling {
				t.Errorf("ceiling %v", has)
			}
			if _, args := d.Catalog("s", "t"); len(args) != test.catalogArguments {
				t.Errorf("catalog arguments %v", args)
			}
		})
	}
	rowversion := &lienthong.Column{Name: "rv", SourceType: "rowversion", Kind: lienthong.Binary}
	if got := polling.SQLServer().Ceiling(rowversion); got != "SELECT CONVERT(bigint, MIN_ACTIVE_ROWVERSION()) - 1" {
		t.Error(got)
	}
	if got := polling.SQLServer().Placeholder(1, rowversion); got != "CAST(@p1 AS binary(8))" {
		t.Error(got)
	}
}

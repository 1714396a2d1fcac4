package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/mysql"
	"github.com/lienthong/lienthong/internal/mariadbtest"
)

// tape is a sink that writes down what it is told, one line each.
type tape struct {
	mu       sync.Mutex
	columns  map[int][]lienthong.Column
	lines    []string
	pos      lienthong.Position
	version  int64 // the highest
	versions map[string]int64
	source   connector.Source // to complete from, as capture does
	stir     chan struct{}
}

func newTape(tables ...connector.Table) *tape {
	t := &tape{columns: map[int][]lienthong.Column{}, versions: map[string]int64{}, stir: make(chan struct{}, 1)}
	for i, table := range tables {
		t.columns[i] = table.Columns
	}
	return t
}

func (t *tape) add(format string, args ...any) {
	t.lines = append(t.lines, fmt.Sprintf(format, args...))
	select {
	case t.stir <- struct{}{}:
	default:
	}
}

func text(columns []lienthong.Column, values []lienthong.Value) string {
	parts := make([]string, len(values))
	for i := range values {
		switch values[i].State {
		case lienthong.Null:
			parts[i] = "∅"
		case lienthong.Unchanged:
			parts[i] = "="
		case lienthong.Malformed:
			parts[i] = "!" + string(values[i].Bytes)
		case lienthong.Present:
			parts[i] = string(values[i].AppendText(nil, columns[i].Kind))
		}
	}
	return strings.Join(parts, ",")
}

func (t *tape) Begin(lienthong.Position, int64) error { return nil }

func (t *tape) Change(row *connector.Row) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	record := fmt.Sprintf("%d %s", row.Table, text(t.columns[row.Table][:1], row.Values[:1]))
	if last, seen := t.versions[record]; seen && row.Version <= last {
		t.add("%s: version %d after %d", record, row.Version, last)
	}
	t.versions[record] = row.Version
	t.version = max(t.version, row.Version)
	line := fmt.Sprintf("%s %d %s", row.Op, row.Table, text(t.columns[row.Table], row.Values))
	if t.source != nil {
		if completer, ok := t.source.(connector.Completer); ok && row.Op == lienthong.Upsert && strings.Contains(line, "=") {
			if err := completer.Complete(context.Background(), row.Table, row.Values); err != nil {
				return err
			}
			line += " -> " + text(t.columns[row.Table], row.Values)
		}
	}
	t.add("%s", line)
	return nil
}

func (t *tape) Truncate(table int, version, _ int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version = version
	t.add("truncate %d", table)
	return nil
}

func (t *tape) Schema(table int, now connector.Table) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.columns[table] = now.Columns
	names := make([]string, len(now.Columns))
	for i, c := range now.Columns {
		names[i] = c.Name + " " + c.Kind.String()
	}
	t.add("schema %d %s", table, strings.Join(names, ", "))
	return nil
}

func (t *tape) Commit(pos lienthong.Position) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.pos.Before(pos) {
		t.add("position %d after %d", pos.Order, t.pos.Order)
	}
	t.pos = pos
	return nil
}

func (t *tape) Idle() error { return nil }

func (t *tape) taken() ([]string, lienthong.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines), t.pos
}

// world is one database, a source of it, and what its stream told.
type world struct {
	t      testing.TB
	server *mariadbtest.Server
	dsn    string
	db     *sql.DB
	state  string
	name   string
	marks  int
}

func newWorld(t testing.TB, s *mariadbtest.Server) *world {
	w := &world{t: t, server: s, dsn: s.Database(t), state: t.TempDir()}
	w.db = connectTo(t, w.dsn)
	w.db.SetMaxOpenConns(1) // SET SESSION reaches the statements after it
	w.name = databaseOf(w.dsn)
	return w
}

func (w *world) exec(statements ...string) { w.t.Helper(); exec(w.t, w.db, statements...) }

func (w *world) open() *mysql.Source {
	w.t.Helper()
	source, err := mysql.Open(mysql.Config{DSN: w.dsn, Name: "w", StateDir: w.state})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = source.Close() })
	return source
}

func (w *world) start(source *mysql.Source, tables ...string) (lienthong.Position, *tape) {
	w.t.Helper()
	listed, err := source.Tables(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var chosen []connector.Table
	var names []string
	for _, name := range tables {
		names = append(names, w.name+"."+name)
		at := slices.IndexFunc(listed, func(t connector.Table) bool { return t.Name == w.name+"."+name })
		if at < 0 {
			w.t.Fatalf("%s is not listed", name)
		}
		chosen = append(chosen, listed[at])
	}
	pos, err := source.Start(w.t.Context(), names)
	if err != nil {
		w.t.Fatal(err)
	}
	return pos, newTape(chosen...)
}

// stream runs until end is called, which returns what Stream returned. It is over when done
// is closed.
func (w *world) stream(source *mysql.Source, pos lienthong.Position, sink *tape) (end func() error, done <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	var result error
	go func() {
		defer close(over)
		result = source.Stream(ctx, pos, sink)
	}()
	end = func() error {
		cancel()
		<-over
		return result
	}
	w.t.Cleanup(func() { _ = end() })
	return end, over
}

// until waits for a line.
func (t *tape) until(tb testing.TB, line string) {
	tb.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		if lines, _ := t.taken(); slices.Contains(lines, line) {
			return
		}
		select {
		case <-t.stir:
		case <-deadline.C:
			lines, _ := t.taken()
			tb.Fatalf("%q does not come; there is %q", line, lines)
		}
	}
}

// after streams what is in the log from pos, up to a row that it inserts itself.
func (w *world) after(source *mysql.Source, pos lienthong.Position, sink *tape) []string {
	w.t.Helper()
	end, done := w.stream(source, pos, sink)
	w.marks++
	marker := fmt.Sprintf("upsert 0 -%d", w.marks)
	w.exec("SET SESSION binlog_format = ROW, binlog_row_image = FULL", fmt.Sprintf("INSERT INTO a (id) VALUES (-%d)", w.marks))
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		lines, _ := sink.taken()
		if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, marker) }) {
			break
		}
		select {
		case <-sink.stir:
		case <-done:
			w.t.Fatalf("the marker does not come; there is %q; Stream: %v", lines, end())
		case <-deadline.C:
			w.t.Fatalf("the marker does not come; there is %q", lines)
		}
	}
	if err := end(); !errors.Is(err, context.Canceled) {
		w.t.Errorf("Stream: %v", err)
	}
	lines, _ := sink.taken()
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "upsert 0 -") })
}

func TestTransactionsOfOtherKinds(t *testing.T) {
	for _, test := range []struct {
		name       string
		statements []string
		want       []string
	}{
		{
			"an XA transaction arrives at its commit, after what was committed meanwhile",
			[]string{"XA START 'x'", "INSERT INTO a VALUES (1, 'xa')", "UPDATE a SET v = 'hai' WHERE id = 1", "XA END 'x'", "XA PREPARE 'x'", "@INSERT INTO a VALUES (2, 'giữa')", "@XA COMMIT 'x'"},
			[]string{"upsert 0 2,giữa", "upsert 0 1,xa", "upsert 0 1,hai"},
		},
		{
			"an XA transaction that is rolled back does not arrive",
			[]string{"XA START 'y'", "INSERT INTO a VALUES (1, 'xa')", "XA END 'y'", "XA PREPARE 'y'", "@XA ROLLBACK 'y'"},
			nil,
		},
		{
			"an XA transaction of one phase",
			[]string{"XA START 'z'", "INSERT INTO a VALUES (1, 'xa')", "XA END 'z'", "XA COMMIT 'z' ONE PHASE"},
			[]string{"upsert 0 1,xa"},
		},
		{
			"a savepoint that is rolled back, in a transaction with a table that has none",
			[]string{"BEGIN", "INSERT INTO a VALUES (1, 'a')", "SAVEPOINT s", "INSERT INTO a VALUES (2, 'b')", "INSERT INTO m VALUES (1)", "ROLLBACK TO s", "INSERT INTO a VALUES (3, 'c')", "COMMIT"},
			[]string{"upsert 0 1,a", "upsert 0 3,c"},
		},
		{
			"a rolled back transaction with a table that has none",
			[]string{"BEGIN", "INSERT INTO a VALUES (1, 'a')", "INSERT INTO m VALUES (2)", "ROLLBACK"},
			nil,
		},
		{
			"partial images: what is left out stays, and what must be whole is read",
			[]string{
				"INSERT INTO a VALUES (1, 'a')", "SET SESSION binlog_row_image = MINIMAL", "UPDATE a SET v = 'b' WHERE id = 1",
				"INSERT INTO a (id) VALUES (5)", "UPDATE a SET id = 6 WHERE id = 5", "DELETE FROM a WHERE id = 6", "SET SESSION binlog_row_image = FULL",
			},
			[]string{"upsert 0 1,a", "upsert 0 1,b", "upsert 0 5,∅", "delete 0 5,=", "upsert 0 6,∅", "delete 0 6,="},
		},
		{
			"tables emptied, dropped and made again",
			[]string{"INSERT INTO a VALUES (1, 'a')", "TRUNCATE a", "INSERT INTO a VALUES (2, 'b')", "CREATE OR REPLACE TABLE a (id int PRIMARY KEY, v varchar(20), w int)", "INSERT INTO a VALUES (3, 'c', 4)"},
			[]string{"upsert 0 1,a", "truncate 0", "upsert 0 2,b", "truncate 0", "schema 0 id integer, v text, w integer", "upsert 0 3,c,4"},
		},
		{
			"a table changed by copying: its rows stay, its columns are new",
			[]string{"INSERT INTO a VALUES (1, 'a')", "CREATE TABLE a2 (id int PRIMARY KEY, v varchar(50), w int)", "INSERT INTO a2 SELECT id, v, 7 FROM a", "RENAME TABLE a TO a_old, a2 TO a", "UPDATE a SET w = 8"},
			[]string{"upsert 0 1,a", "schema 0 id integer, v text, w integer", "upsert 0 1,a,8"},
		},
		{
			"other databases and tables are passed over",
			[]string{"INSERT INTO m VALUES (1)", "CREATE TABLE other (id int)", "INSERT INTO other VALUES (1)", "INSERT INTO a VALUES (1, 'a')", "DROP TABLE other"},
			[]string{"upsert 0 1,a"},
		},
		{
			"a statement on another table does not stop the stream",
			[]string{"SET SESSION binlog_format = STATEMENT", "INSERT INTO m VALUES (5)", "SET SESSION binlog_format = ROW", "INSERT INTO a VALUES (1, 'a')"},
			[]string{"upsert 0 1,a"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, server)
			w.exec("CREATE TABLE a (id int PRIMARY KEY, v varchar(20))", "CREATE TABLE m (id int PRIMARY KEY) ENGINE=MyISAM")
			source := w.open()
			pos, sink := w.start(source, "a")
			side := connectTo(t, w.dsn)
			for _, statement := range test.statements {
				if after, other := strings.CutPrefix(statement, "@"); other {
					if !strings.HasPrefix(after, "XA") {
						exec(t, side, after)
						continue
					}
					// MariaDB lets another session end it once its own has gone.
					w.db.SetMaxIdleConns(-1)
					w.db.SetMaxIdleConns(1)
					var err error
					for range 200 {
						if _, err = side.ExecContext(t.Context(), after); err == nil {
							break
						}
						time.Sleep(20 * time.Millisecond)
					}
					if err != nil {
						t.Fatal(err)
					}
					continue
				}
				w.exec(statement)
			}
			sink.source = source
			if got := w.after(source, pos, sink); !slices.Equal(test.want, got) {
				t.Errorf("what arrives: %s", cmp.Diff(test.want, got))
			}
		})
	}
}

// readAll reads every chunk of every table of a view.
func (w *world) readAll(view connector.View, sink *tape, tables, rows int) []string {
	w.t.Helper()
	var lines []string
	for table := range tables {
		chunks, err := view.Chunks(w.t.Context(), table, rows)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, chunk := range chunks {
			err := view.Read(w.t.Context(), table, chunk, func(row *connector.Row) error {
				lines = append(lines, fmt.Sprintf("%d %s", table, text(sink.columns[table], row.Values)))
				return nil
			})
			if err != nil {
				w.t.Fatal(err)
			}
		}
	}
	return lines
}

package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// application opens the database as a program of the agency would: its own
// connections, nothing shared with the connector.
func application(t testing.TB) (path string, db *sql.DB) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "nguồn dữ liệu.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return path, db
}

var declared = [...]string{"TEXT", "INTEGER", "DECIMAL(20,4)", "DOUBLE PRECISION", "BOOLEAN", "DATE", "TIMESTAMP", "BLOB"}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func literal(kind lienthong.Kind, text string) string {
	switch kind {
	case lienthong.Boolean:
		if text == "true" {
			return "1"
		}
		return "0"
	case lienthong.Integer:
		if text == "-9223372036854775808" {
			return "(-9223372036854775807 - 1)"
		}
		return text
	case lienthong.Real:
		return text
	case lienthong.Binary:
		return "X'" + conntest.HexLiteral(text) + "'"
	case lienthong.Text, lienthong.Decimal, lienthong.Date, lienthong.Timestamp:
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// cell reads what is stored, without the connector's code.
func cell(stored any, kind lienthong.Kind) conntest.Cell {
	switch v := stored.(type) {
	case int64:
		if kind == lienthong.Boolean {
			return conntest.Has(strconv.FormatBool(v == 1))
		}
		return conntest.Has(strconv.FormatInt(v, 10))
	case float64:
		return conntest.Has(strconv.FormatFloat(v, 'g', -1, 64))
	case string:
		return conntest.Has(v)
	case []byte:
		return conntest.Has(conntest.HexLiteral(string(v)))
	}
	return conntest.Cell{}
}

func harness(t *testing.T) conntest.Harness {
	path, db := application(t)
	return engine(conntest.Harness{
		Open: func() (connector.Source, error) {
			return sqlite.Open(t.Context(), sqlite.Config{Path: path, PollInterval: 2 * time.Millisecond, PageRows: 7})
		},
		Create: func(ctx context.Context, table *conntest.Table) (string, error) {
			var columns, key []string
			for _, c := range table.Columns {
				columns = append(columns, quote(c.Name)+" "+declared[c.Kind])
				if c.Key {
					key = append(key, quote(c.Name))
				}
			}
			if len(key) > 0 {
				columns = append(columns, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
			}
			_, err := db.ExecContext(ctx, "CREATE TABLE "+quote(table.Name)+" ("+strings.Join(columns, ", ")+")")
			return table.Name, err
		},
		Apply: func(ctx context.Context, writes ...conntest.Write) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			for _, w := range writes {
				statement := w.SQL(quote, literal)
				if w.Verb == conntest.Truncate {
					statement = "DELETE FROM " + quote(w.Table.Name)
				}
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					_ = tx.Rollback()
					return err
				}
			}
			return tx.Commit()
		},
		Rows: func(ctx context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
			var columns []string
			for _, c := range table.Columns {
				columns = append(columns, "+"+quote(c.Name))
			}
			rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+quote(table.Name))
			if err != nil {
				return nil, err
			}
			defer func() { _ = rows.Close() }()
			var found [][]conntest.Cell
			for rows.Next() {
				stored := make([]any, len(columns))
				into := make([]any, len(columns))
				for i := range stored {
					into[i] = &stored[i]
				}
				if err := rows.Scan(into...); err != nil {
					return nil, err
				}
				cells := make([]conntest.Cell, len(columns))
				for i := range stored {
					cells[i] = cell(stored[i], table.Columns[i].Kind)
				}
				found = append(found, cells)
			}
			return found, rows.Err()
		},
		AddColumn: func(ctx context.Context, table *conntest.Table, c conntest.Column) error {
			_, err := db.ExecContext(ctx, "ALTER TABLE "+quote(table.Name)+" ADD COLUMN "+quote(c.Name)+" "+declared[c.Kind])
			return err
		},
		Capabilities: conntest.Capabilities{
			// Decimal is missing because SQLite itself turns long decimals into floats.
			Kinds: []lienthong.Kind{
				lienthong.Text, lienthong.Integer, lienthong.Real, lienthong.Boolean,
				lienthong.Date, lienthong.Timestamp, lienthong.Binary,
			},
			Deletes: true, Truncate: true, Nulls: true, EveryChange: true, ConcurrentWriters: true, Keyless: true,
		},
	}, db)
}

func TestConformance(t *testing.T) { conntest.Run(t, harness) }

// collector keeps what a stream delivers, and ends it when it is drained.
type collector struct {
	columns [][]lienthong.Column
	lines   []string
	state   map[string]string
	ended   context.CancelFunc
}

func (c *collector) Begin(lienthong.Position, int64) error { return nil }

func (c *collector) Change(row *connector.Row) error {
	line := row.Op.String()
	key := ""
	for i := range row.Values {
		text := describe(&row.Values[i], c.columns[row.Table][i].Kind)
		if i == 0 {
			key = text
		}
		line += " " + text
	}
	c.lines = append(c.lines, line)
	if row.Op == lienthong.Delete {
		delete(c.state, key)
	} else {
		c.state[key] = line
	}
	return nil
}

func describe(v *lienthong.Value, kind lienthong.Kind) string {
	switch v.State {
	case lienthong.Null:
		return "∅"
	case lienthong.Unchanged:
		return "="
	case lienthong.Malformed:
		return fmt.Sprintf("!%q", v.Bytes)
	case lienthong.Present:
	}
	return string(v.AppendText(nil, kind))
}

func (c *collector) Truncate(int, int64, int64) error {
	c.lines = append(c.lines, "truncate")
	clear(c.state)
	return nil
}

func (c *collector) Schema(table int, now connector.Table) error {
	c.columns[table] = now.Columns
	line := "schema"
	for _, column := range now.Columns {
		line += " " + column.Name
	}
	c.lines = append(c.lines, line)
	return nil
}

func (c *collector) Commit(lienthong.Position) error { return nil }

func (c *collector) Idle() error {
	c.ended()
	return nil
}

func open(t testing.TB, path string) *sqlite.Source {
	t.Helper()
	source, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, PollInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	return source
}

// drain streams everything after the position.
func drain(t testing.TB, source *sqlite.Source, columns []lienthong.Column, after lienthong.Position) *collector {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &collector{columns: [][]lienthong.Column{columns}, state: map[string]string{}, ended: cancel}
	if err := source.Stream(ctx, after, c); ctx.Err() == nil {
		t.Fatal(err)
	}
	return c
}

func columnsOf(t testing.TB, source *sqlite.Source, name string) []lienthong.Column {
	t.Helper()
	tables, err := source.Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if table.Name == name {
			return table.Columns
		}
	}
	t.Fatalf("no table %s", name)
	return nil
}

func exec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func start(t testing.TB, source *sqlite.Source, tables ...string) lienthong.Position {
	t.Helper()
	pos, err := source.Start(t.Context(), tables)
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

// TestWritesThatTriggersMiss holds the capture to statements that change rows in
// ways that a plain trigger does not see, or sees in the wrong order.
func TestWritesThatTriggersMiss(t *testing.T) {
	for name, test := range map[string]struct {
		before, writes []string
		want           []string
	}{
		"replace removes a row by another unique index": {
			before: []string{"INSERT INTO people VALUES (1, 'a', 'x'), (2, 'b', 'y')"},
			writes: []string{"INSERT OR REPLACE INTO people VALUES (3, 'a', 'z')"},
			want:   []string{"delete 1 = =", "upsert 3 a z"},
		},
		"replace of the same key": {
			before: []string{"INSERT INTO people VALUES (1, 'a', 'x')"},
			writes: []string{"REPLACE INTO people VALUES (1, 'a', 'z')"},
			want:   []string{"upsert 1 a z"},
		},
		"update or replace removes a row": {
			before: []string{"INSERT INTO people VALUES (1, 'a', 'x'), (2, 'b', 'y')"},
			writes: []string{"UPDATE OR REPLACE people SET code = 'a' WHERE id = 2"},
			want:   []string{"delete 1 = =", "upsert 2 a y"},
		},
		"ignored insert": {
			before: []string{"INSERT INTO people VALUES (1, 'a', 'x')"},
			writes: []string{"INSERT OR IGNORE INTO people VALUES (3, 'a', 'z')", "INSERT INTO people VALUES (4, 'd', 'w')"},
			want:   []string{"upsert 4 d w"},
		},
		"upsert by the other index": {
			before: []string{"INSERT INTO people VALUES (1, 'a', 'x')"},
			writes: []string{"INSERT INTO people VALUES (3, 'a', 'z') ON CONFLICT (code) DO UPDATE SET note = excluded.note"},
			want:   []string{"upsert 1 a z"},
		},
		"cascade": {
			before: []string{
				"CREATE TABLE house (id INTEGER PRIMARY KEY)", "INSERT INTO house VALUES (9)",
				"ALTER TABLE people ADD COLUMN house INTEGER REFERENCES house ON DELETE CASCADE",
				"INSERT INTO people VALUES (1, 'a', 'x', 9)",
			},
			writes: []string{"PRAGMA foreign_keys = ON", "DELETE FROM house"},
			want:   []string{"delete 1 = = ="},
		},
		"delete without where": {
			before: []string{"INSERT INTO people VALUES (1, 'a', 'x'), (2, 'b', 'y')"},
			writes: []string{"DELETE FROM people"},
			want:   []string{"delete 1 = =", "delete 2 = ="},
		},
		"rolled back": {
			writes: []string{"BEGIN", "INSERT INTO people VALUES (1, 'a', 'x')", "ROLLBACK"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, db := application(t)
			db.SetMaxOpenConns(1) // pragmas and transactions stay on one connection
			exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT)")
			exec(t, db, test.before...)
			source := open(t, path)
			pos := start(t, source, "people")
			exec(t, db, test.writes...)
			got := drain(t, source, columnsOf(t, source, "people"), pos)
			if fmt.Sprint(got.lines) != fmt.Sprint(test.want) {
				t.Errorf("got  %q\nwant %q", got.lines, test.want)
			}
		})
	}
}

// TestApplicationTriggers: the last change captured is the row as it stands,
// whichever trigger runs first.
func TestApplicationTriggers(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		t.Run(when+" ours", func(t *testing.T) {
			path, db := application(t)
			exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, note TEXT, stamp TEXT)")
			own := []string{
				"CREATE TRIGGER own_insert AFTER INSERT ON people BEGIN UPDATE people SET stamp = 'inserted' WHERE id = NEW.id; END",
				"CREATE TRIGGER own_update AFTER UPDATE OF note ON people BEGIN UPDATE people SET stamp = NEW.note || '!' WHERE id = NEW.id; END",
			}
			source := open(t, path)
			var pos lienthong.Position
			if when == "before" {
				exec(t, db, own...)
				pos = start(t, source, "people")
			} else {
				pos = start(t, source, "people")
				exec(t, db, own...)
			}
			exec(t, db, "INSERT INTO people VALUES (1, 'a', NULL), (2, 'b', NULL)", "UPDATE people SET note = 'c' WHERE id = 1")
			got := drain(t, source, columnsOf(t, source, "people"), pos)
			if got.state["1"] != "upsert 1 c c!" || got.state["2"] != "upsert 2 b inserted" {
				t.Errorf("last state captured: %v", got.state)
			}
		})
	}
}

// TestSchema follows changes of the schema that happen behind our back.
func TestSchema(t *testing.T) {
	for name, test := range map[string]struct {
		writes []string
		state  map[string]string
		schema string
	}{
		"rows written between ALTER TABLE and the new triggers have the new column": {
			writes: []string{
				"INSERT INTO people VALUES (2, 'b')", "ALTER TABLE people ADD COLUMN phone TEXT",
				"INSERT INTO people VALUES (3, 'c', '090')", "UPDATE people SET phone = '091' WHERE id = 1",
			},
			state:  map[string]string{"1": "upsert 1 a 091", "2": "upsert 2 b ∅", "3": "upsert 3 c 090"},
			schema: "schema id note phone",
		},
		"column renamed": {
			writes: []string{"ALTER TABLE people RENAME COLUMN note TO remark", "UPDATE people SET remark = 'z'"},
			state:  map[string]string{"1": "upsert 1 z"},
			schema: "schema id remark",
		},
		"table built again, as migration tools do": {
			writes: []string{
				"CREATE TABLE other (id INTEGER PRIMARY KEY, note TEXT, born DATE)",
				"INSERT INTO other SELECT id, note || '2', '2001-02-03' FROM people", "DROP TABLE people",
				"ALTER TABLE other RENAME TO people", "INSERT INTO people VALUES (7, 'g', NULL)",
			},
			state:  map[string]string{"1": "upsert 1 a2 2001-02-03", "7": "upsert 7 g ∅"},
			schema: "schema id note born",
		},
		"table dropped": {
			writes: []string{"DROP TABLE people"},
			state:  map[string]string{},
			schema: "schema",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, db := application(t)
			exec(t, db, "CREATE TABLE people (id INTEGER PRIMARY KEY, note TEXT)", "INSERT INTO people VALUES (1, 'a')")
			source := open(t, path)
			pos := start(t, source, "people")
			columns := columnsOf(t, source, "people")
			exec(t, db, test.writes...)
			got := drain(t, source, columns, pos)
			if fmt.Sprint(got.state) != fmt.Sprint(test.state) {
				t.Errorf("state %v, want %v", got.state, test.state)
			}
			if !strings.Contains(strings.Join(got.lines, "\n")+"\n", test.schema+"\n") {
				t.Errorf("no %q among %q", test.schema, got.lines)
			}
			view, err := source.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := view.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestValues: SQLite lets any column hold anything; what is not of the declared
// kind is malformed and keeps its text.
func TestValues(t *testing.T) {
	for _, test := range []struct{ declared, literal, want string }{
		{"INTEGER", "'abc'", `!"abc"`},
		{"INTEGER", "3.5", `!"3.5"`},
		{"INTEGER", "'42'", "42"},
		{"TEXT", "42", "42"},
		{"TEXT", "x'6162'", `!"ab"`},
		{"TEXT", "CAST(x'ff' AS TEXT)", `!"\xff"`},
		{"", "42", "42"},
		{"", "0.25", "0.25"},
		{"DATE", "'2024-02-29'", "2024-02-29"},
		{"DATE", "'2023-02-29'", `!"2023-02-29"`},
		{"DATE", "'29/02/2024'", `!"29/02/2024"`},
		{"DATE", "20240229", `!"20240229"`},
		{"DATETIME", "'2024-02-29 13:14:15'", "2024-02-29T13:14:15.000000Z"},
		{"DATETIME", "'2024-02-29T13:14:15.25+07:00'", "2024-02-29T06:14:15.250000Z"},
		{"DATETIME", "'2024-02-29'", "2024-02-29T00:00:00.000000Z"},
		{"DATETIME", "1700000000", "2023-11-14T22:13:20.000000Z"},
		{"DATETIME", "1700000000000", `!"1700000000000"`},
		{"DATETIME", "'2024-02-29 24:00:00'", `!"2024-02-29 24:00:00"`},
		{"BOOLEAN", "1", "true"},
		{"BOOLEAN", "'False'", "false"},
		{"BOOLEAN", "2", `!"2"`},
		{"DECIMAL(10,2)", "'12.50'", "12.5"},
		{"DECIMAL(10,2)", "100000000", "100000000"},
		{"DECIMAL(10,2)", "'mười'", `!"mười"`},
		{"REAL", "1", "1"},
		{"REAL", "'x'", `!"x"`},
		{"REAL", "9e999", strconv.FormatFloat(math.Inf(1), 'g', -1, 64)},
		{"BLOB", "'chữ'", "6368e1bbaf"},
		{"BLOB", "7", `!"7"`},
		{"INTEGER", "NULL", "∅"},
	} {
		t.Run(test.declared+" "+test.literal, func(t *testing.T) {
			path, db := application(t)
			exec(t, db, "CREATE TABLE odd (id INTEGER PRIMARY KEY, v "+test.declared+")")
			source := open(t, path)
			pos := start(t, source, "odd")
			exec(t, db, "INSERT INTO odd VALUES (1, "+test.literal+")")
			columns := columnsOf(t, source, "odd")
			if got := drain(t, source, columns, pos); got.state["1"] != "upsert 1 "+test.want {
				t.Errorf("stream: %q, want %q", got.state["1"], test.want)
			}
			view, err := source.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = view.Close() }()
			if err := view.Read(t.Context(), 0, "..", func(row *connector.Row) error {
				if got := describe(&row.Values[1], columns[1].Kind); got != test.want {
					t.Errorf("view: %q, want %q", got, test.want)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

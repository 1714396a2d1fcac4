package polling_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/polling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(running{m}) }

// running stops the PostgreSQL server before goroutines are counted.
type running struct{ m *testing.M }

func (r running) Run() int {
	defer stopServers()
	return r.m.Run()
}

// application is a SQLite database and a connection of the program that owns it.
func application(t testing.TB) (path string, db *sql.DB) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "nguồn.db")
	return path, connect(t, path)
}

func connect(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

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

// way is one manner of reading a SQLite database.
type way struct {
	generic   bool // without a snapshot, as an engine that nobody knows
	monotonic bool // a number that triggers keep, and sweeps of keys
}

// stamp makes triggers that keep a number for each row, which every write moves up.
func stamp(ctx context.Context, db *sql.DB, table string) error {
	q := quote(table)
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS counter_of_writes (one INTEGER PRIMARY KEY, n INTEGER)",
		"INSERT OR IGNORE INTO counter_of_writes VALUES (1, 0)",
		"ALTER TABLE " + q + " ADD COLUMN moved INTEGER",
		"CREATE TRIGGER " + quote("i_"+table) + " AFTER INSERT ON " + q + " BEGIN UPDATE counter_of_writes SET n = n + 1; UPDATE " + q + " SET moved = (SELECT n FROM counter_of_writes) WHERE rowid = NEW.rowid; END",
		"CREATE TRIGGER " + quote("u_"+table) + " AFTER UPDATE ON " + q + " WHEN NEW.moved IS OLD.moved BEGIN UPDATE counter_of_writes SET n = n + 1; UPDATE " + q + " SET moved = (SELECT n FROM counter_of_writes) WHERE rowid = NEW.rowid; END",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func moving(name string) polling.Table {
	return polling.Table{Name: name, Monotonic: "moved", Skip: []string{"moved"}, KeySweepEvery: 1}
}

func (w way) harness(t *testing.T) conntest.Harness {
	path, db := application(t)
	state := t.TempDir()
	var mu sync.Mutex
	var tables []polling.Table
	declared := [...]string{"TEXT", "INTEGER", "DECIMAL(20,4)", "DOUBLE PRECISION", "BOOLEAN", "DATE", "TIMESTAMP", "BLOB"}
	create := func(ctx context.Context, name, columns string) (string, error) {
		if _, err := db.ExecContext(ctx, "CREATE TABLE "+quote(name)+" ("+columns+")"); err != nil {
			return "", err
		}
		if !w.monotonic {
			return name, nil
		}
		mu.Lock()
		defer mu.Unlock()
		tables = append(tables, moving(name))
		return name, stamp(ctx, db, name)
	}
	alter := func(statements ...string) func(context.Context, *conntest.Table) error {
		return func(ctx context.Context, table *conntest.Table) error {
			for _, statement := range statements {
				if _, err := db.ExecContext(ctx, strings.ReplaceAll(statement, "$T", quote(table.Name))); err != nil {
					return err
				}
			}
			return nil
		}
	}
	h := conntest.Harness{
		Open: func() (connector.Source, error) {
			dialect := polling.SQLite()
			if w.generic {
				dialect.Begin, dialect.End, dialect.Ceiling = nil, nil, nil
			}
			mu.Lock()
			defer mu.Unlock()
			declared := slices.Clone(tables)
			if w.monotonic && !slices.ContainsFunc(declared, func(t polling.Table) bool { return t.Name == "two" }) {
				declared = append(declared, moving("two")) // the suite makes it after opening
			}
			return polling.Open(t.Context(), polling.Config{
				DB: connect(t, path), Dialect: dialect, StateDir: state, Tables: declared,
				Every: 2 * time.Millisecond, OverlapNumbers: 3, SchemaEvery: 1,
			})
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
			return create(ctx, table.Name, strings.Join(columns, ", "))
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
			return readRows(ctx, db, "SELECT "+strings.Join(columns, ", ")+" FROM "+quote(table.Name), func(i int, stored any) conntest.Cell {
				return cell(stored, table.Columns[i].Kind)
			})
		},
		AddColumn: func(ctx context.Context, table *conntest.Table, c conntest.Column) error {
			_, err := db.ExecContext(ctx, "ALTER TABLE "+quote(table.Name)+" ADD COLUMN "+quote(c.Name)+" "+declared[c.Kind])
			return err
		},
		Bulk: func(ctx context.Context, table *conntest.Table, first, count int) error {
			_, err := db.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1 + ?2)
				INSERT INTO `+quote(table.Name)+` (id, full_name, note, counter) SELECT printf('%06d', i), 'Nguyễn Văn ' || i, 'lần 1', i FROM n`, first, count)
			return err
		},
		Capabilities: conntest.Capabilities{
			// Decimal is missing because SQLite itself turns long decimals into floats.
			Kinds: []lienthong.Kind{
				lienthong.Text, lienthong.Integer, lienthong.Real, lienthong.Boolean,
				lienthong.Date, lienthong.Timestamp, lienthong.Binary,
			},
			Deletes: true, Truncate: true, Nulls: true, ConcurrentWriters: true, Keyless: true,
		},
	}
	if w.generic {
		h.Bulk = nil // once each way is enough
	}
	if !w.monotonic {
		h.Alter = map[conntest.Alteration]func(context.Context, *conntest.Table) error{
			conntest.DropColumn:   alter("ALTER TABLE $T DROP COLUMN note"),
			conntest.RenameColumn: alter("ALTER TABLE $T RENAME COLUMN note TO remark"),
		}
	}
	return h
}

func readRows(ctx context.Context, db *sql.DB, query string, cell func(int, any) conntest.Cell) ([][]conntest.Cell, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var found [][]conntest.Cell
	for rows.Next() {
		stored, into := make([]any, len(names)), make([]any, len(names))
		for i := range stored {
			into[i] = &stored[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		cells := make([]conntest.Cell, len(names))
		for i := range stored {
			cells[i] = cell(i, stored[i])
		}
		found = append(found, cells)
	}
	return found, rows.Err()
}

func TestConformance(t *testing.T) {
	for _, w := range []way{{}, {generic: true}, {monotonic: true}, {generic: true, monotonic: true}} {
		t.Run(fmt.Sprintf("%+v", w), func(t *testing.T) { conntest.Run(t, w.harness) })
	}
}

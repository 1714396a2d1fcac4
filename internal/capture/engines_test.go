package capture_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/postgres"
	"github.com/lienthong/lienthong/internal/connector/sqlite"
	"github.com/lienthong/lienthong/internal/pgtest"
)

// engine is a kind of source that whole roads are tested with. Another engine is one more
// entry in engines.
type engine struct {
	name    string
	harness func(t testing.TB) conntest.Harness
}

func engines() []engine {
	return []engine{{"sqlite", sqliteHarness}, {"postgres", postgresHarness}}
}

// Alterations beyond those of the suite.
const (
	renameBack          conntest.Alteration = "rename back"
	replicaIdentityFull conntest.Alteration = "full" // of PostgreSQL: whole old rows are logged
)

// each runs a test with every engine; the short form leaves servers out.
func each(t *testing.T, test func(t *testing.T, h conntest.Harness)) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			if testing.Short() && e.name != "sqlite" {
				t.Skip("needs a server")
			}
			test(t, e.harness(t))
		})
	}
}

// server is started by the first test that needs it.
var server struct {
	once sync.Once
	pg   *pgtest.Server
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.pg != nil {
		server.pg.Close()
		_ = os.RemoveAll(server.dir)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func postgresServer(t testing.TB) *pgtest.Server {
	t.Helper()
	server.once.Do(func() {
		if server.dir, server.err = os.MkdirTemp("", "capture"); server.err == nil {
			server.pg, server.err = pgtest.Start(server.dir, "fsync=off")
		}
	})
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.pg
}

func sqliteHarness(t testing.TB) conntest.Harness {
	path := filepath.Join(t.TempDir(), "source.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.PingContext(context.Background()); err != nil {
		t.Fatal(err)
	}
	quote := func(name string) string { return `"` + name + `"` }
	literal := func(kind lienthong.Kind, text string) string {
		if kind == lienthong.Integer {
			return text
		}
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	exec := func(ctx context.Context, query string) error {
		_, err := db.ExecContext(ctx, query)
		return err
	}
	types := map[lienthong.Kind]string{lienthong.Text: "TEXT", lienthong.Integer: "INTEGER"}
	create := func(ctx context.Context, table *conntest.Table) (string, error) {
		return table.Name, exec(ctx, createTable(table, table.Name, quote, types))
	}
	return conntest.Harness{
		Open: func() (connector.Source, error) {
			return sqlite.Open(context.Background(), sqlite.Config{Path: path, PollInterval: 3 * time.Millisecond})
		},
		Create: create,
		Apply: func(ctx context.Context, writes ...conntest.Write) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			for _, w := range writes {
				statement := w.SQL(quote, literal)
				if w.Verb == conntest.Truncate {
					statement = "DELETE FROM " + w.Table.Name
				}
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					_ = tx.Rollback()
					return fmt.Errorf("%s: %w", statement, err)
				}
			}
			return tx.Commit()
		},
		Rows: func(ctx context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
			rows, err := db.QueryContext(ctx, selectAll(table, quote))
			if err != nil {
				return nil, err
			}
			defer func() { _ = rows.Close() }()
			var found [][]conntest.Cell
			for rows.Next() {
				cells := make([]sql.NullString, len(table.Columns))
				into := make([]any, len(cells))
				for i := range cells {
					into[i] = &cells[i]
				}
				if err := rows.Scan(into...); err != nil {
					return nil, err
				}
				found = append(found, cellsOf(cells))
			}
			return found, rows.Err()
		},
		AddColumn: func(ctx context.Context, table *conntest.Table, c conntest.Column) error {
			return exec(ctx, "ALTER TABLE "+table.Name+" ADD COLUMN "+quote(c.Name)+" "+types[c.Kind])
		},
		Alter: map[conntest.Alteration]func(context.Context, *conntest.Table) error{
			conntest.RenameColumn: func(ctx context.Context, table *conntest.Table) error {
				return exec(ctx, "ALTER TABLE "+table.Name+" RENAME COLUMN note TO remark")
			},
			renameBack: func(ctx context.Context, table *conntest.Table) error {
				return exec(ctx, "ALTER TABLE "+table.Name+" RENAME COLUMN remark TO note")
			},
			conntest.DropColumn: func(ctx context.Context, table *conntest.Table) error {
				// SQLite refuses to drop a column that a trigger names; applications rebuild the table.
				kept := slicesWithout(table.Columns, "note")
				return rebuild(ctx, exec, table, kept, quote, types, "")
			},
			conntest.WidenColumn: func(ctx context.Context, table *conntest.Table) error {
				wide := map[lienthong.Kind]string{lienthong.Text: "TEXT", lienthong.Integer: "TEXT"}
				return rebuild(ctx, exec, table, table.Columns, quote, wide, "")
			},
			conntest.NarrowColumn: func(ctx context.Context, table *conntest.Table) error {
				narrow := map[lienthong.Kind]string{lienthong.Text: "VARCHAR(60)", lienthong.Integer: "INTEGER"}
				return rebuild(ctx, exec, table, table.Columns, quote, narrow, "")
			},
			conntest.ChangeKey: func(ctx context.Context, table *conntest.Table) error {
				return rebuild(ctx, exec, table, table.Columns, quote, types, `"id", "counter"`)
			},
			conntest.Recreate: func(ctx context.Context, table *conntest.Table) error {
				if err := exec(ctx, "DROP TABLE "+table.Name); err != nil {
					return err
				}
				_, err := create(ctx, table)
				return err
			},
		},
	}
}

func slicesWithout(columns []conntest.Column, name string) []conntest.Column {
	var kept []conntest.Column
	for _, c := range columns {
		if c.Name != name {
			kept = append(kept, c)
		}
	}
	return kept
}

// rebuild is how SQLite applications change a table: a new one takes its place.
func rebuild(ctx context.Context, exec func(context.Context, string) error, table *conntest.Table, columns []conntest.Column, quote func(string) string, types map[lienthong.Kind]string, key string) error {
	next := &conntest.Table{Name: table.Name + "_new", Columns: columns}
	statement := createTable(next, next.Name, quote, types)
	if key != "" {
		statement = strings.Replace(statement, `PRIMARY KEY ("id")`, "PRIMARY KEY ("+key+")", 1)
	}
	var names []string
	for _, c := range columns {
		names = append(names, quote(c.Name))
	}
	list := strings.Join(names, ", ")
	return exec(ctx, "BEGIN IMMEDIATE; "+statement+"; INSERT INTO "+next.Name+" ("+list+") SELECT "+list+" FROM "+table.Name+
		"; DROP TABLE "+table.Name+"; ALTER TABLE "+next.Name+" RENAME TO "+table.Name+"; COMMIT")
}

func createTable(table *conntest.Table, name string, quote func(string) string, types map[lienthong.Kind]string) string {
	var columns, key []string
	for _, c := range table.Columns {
		null := ""
		if c.Key {
			key = append(key, quote(c.Name))
			null = " NOT NULL"
		}
		columns = append(columns, quote(c.Name)+" "+types[c.Kind]+null)
	}
	if len(key) > 0 {
		columns = append(columns, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	}
	return "CREATE TABLE " + name + " (" + strings.Join(columns, ", ") + ")"
}

func selectAll(table *conntest.Table, quote func(string) string) string {
	var columns []string
	for _, c := range table.Columns {
		columns = append(columns, "CAST("+quote(c.Name)+" AS TEXT)")
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + table.Name
}

func cellsOf(values []sql.NullString) []conntest.Cell {
	cells := make([]conntest.Cell, len(values))
	for i, v := range values {
		if v.Valid {
			cells[i] = conntest.Has(v.String)
		}
	}
	return cells
}

func postgresHarness(t testing.TB) conntest.Harness {
	dsn := postgresServer(t).Database(t)
	pool, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	name := "c_" + strings.ToLower(dsn[strings.LastIndex(dsn, "/")+1:strings.LastIndex(dsn, "?")])
	quote := func(name string) string { return pgx.Identifier{name}.Sanitize() }
	literal := func(_ lienthong.Kind, text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
	exec := func(ctx context.Context, statements ...string) error {
		_, err := pool.Exec(ctx, strings.Join(statements, "; "))
		return err
	}
	types := map[lienthong.Kind]string{lienthong.Text: "text", lienthong.Integer: "bigint"}
	create := func(ctx context.Context, table *conntest.Table) (string, error) {
		full := "public." + strings.TrimPrefix(table.Name, "public.")
		return full, exec(ctx, createTable(table, full, quote, types))
	}
	plain := func(table *conntest.Table) string { return strings.TrimPrefix(table.Name, "public.") }
	return conntest.Harness{
		Open: func() (connector.Source, error) {
			return postgres.Open(postgres.Config{DSN: dsn, Name: name})
		},
		Create: create,
		Apply: func(ctx context.Context, writes ...conntest.Write) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				for _, w := range writes {
					if _, err := tx.Exec(ctx, w.SQL(quote, literal)); err != nil {
						return err
					}
				}
				return nil
			})
		},
		Rows: func(ctx context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
			rows, err := pool.Query(ctx, selectAll(table, quote))
			if err != nil {
				return nil, err
			}
			return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]conntest.Cell, error) {
				cells := make([]sql.NullString, len(table.Columns))
				into := make([]any, len(cells))
				for i := range cells {
					into[i] = &cells[i]
				}
				err := row.Scan(into...)
				return cellsOf(cells), err
			})
		},
		AddColumn: func(ctx context.Context, table *conntest.Table, c conntest.Column) error {
			return exec(ctx, "ALTER TABLE "+table.Name+" ADD COLUMN "+quote(c.Name)+" "+types[c.Kind])
		},
		Alter: map[conntest.Alteration]func(context.Context, *conntest.Table) error{
			replicaIdentityFull: func(ctx context.Context, table *conntest.Table) error {
				return exec(ctx, "ALTER TABLE "+table.Name+" REPLICA IDENTITY FULL")
			},
			conntest.DropColumn: func(ctx context.Context, table *conntest.Table) error {
				return exec(ctx, "ALTER TABLE "+table.Name+" DROP COLUMN note")
			},
			conntest.RenameColumn: func(ctx context.Context, table *conntest.Table) error {
				return exec(ctx, "ALTER TABLE "+table.Name+" RENAME COLUMN note TO remark")
			},
			renameBack: func(ctx context.Context, table *conntest.Table) error {
				return exec(ctx, "ALTER TABLE "+table.Name+" RENAME COLUMN remark TO note")
			},
			conntest.WidenColumn: func(ctx context.Context, table *conntest.Table) error {
				return exec(ctx, "ALTER TABLE "+table.Name+" ALTER COLUMN counter TYPE text")
			},
			conntest.NarrowColumn: func(ctx context.Context, table *conntest.Table) error {
				return exec(ctx, "ALTER TABLE "+table.Name+" ALTER COLUMN full_name TYPE varchar(60)")
			},
			conntest.ChangeKey: func(ctx context.Context, table *conntest.Table) error {
				return exec(ctx, "ALTER TABLE "+table.Name+" DROP CONSTRAINT "+quote(plain(table)+"_pkey"), "ALTER TABLE "+table.Name+" ADD PRIMARY KEY (id, counter)")
			},
			conntest.Recreate: func(ctx context.Context, table *conntest.Table) error {
				if err := exec(ctx, "DROP TABLE "+table.Name); err != nil {
					return err
				}
				_, err := create(ctx, table)
				return err
			},
		},
	}
}

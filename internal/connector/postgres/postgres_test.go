package postgres_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/postgres"
	"github.com/lienthong/lienthong/internal/pgtest"
)

var server *pgtest.Server

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "postgres")
	if err == nil {
		server, err = pgtest.Start(dir, "fsync=off")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Close()
	_ = os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func TestConformance(t *testing.T) {
	conntest.Run(t, func(t *testing.T) conntest.Harness {
		h, pool := harness(t, "", "text")
		return typed(h, pool)
	})
}

// TestConformanceText holds the text format to the same: a column of a type that
// is only read as text makes the whole stream textual.
func TestConformanceText(t *testing.T) {
	conntest.Run(t, func(t *testing.T) conntest.Harness {
		h, _ := harness(t, "", "citext")
		return h
	})
}

// TestConformanceFull holds REPLICA IDENTITY FULL to the same.
func TestConformanceFull(t *testing.T) {
	conntest.Run(t, func(t *testing.T) conntest.Harness {
		h, pool := harness(t, "REPLICA IDENTITY FULL", "text")
		h = typed(h, pool)
		// One column of another type would make the stream textual.
		h.Types, h.Bulk = binary(h.Types), nil
		return h
	})
}

// applicationTransaction is a transaction of the application that is watched.
type applicationTransaction struct{ pgx.Tx }

func (a applicationTransaction) Apply(ctx context.Context, writes ...conntest.Write) error {
	for _, w := range writes {
		if _, err := a.Exec(ctx, w.SQL(quote, literal)); err != nil {
			return err
		}
	}
	return nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func literal(kind lienthong.Kind, text string) string {
	if kind == lienthong.Binary {
		return `'\x` + conntest.HexLiteral(text) + `'`
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

func sqlType(kind lienthong.Kind) string {
	return map[lienthong.Kind]string{
		lienthong.Text: "text", lienthong.Integer: "bigint", lienthong.Decimal: "numeric",
		lienthong.Real: "double precision", lienthong.Boolean: "boolean", lienthong.Date: "date",
		lienthong.Timestamp: "timestamptz", lienthong.Binary: "bytea",
	}[kind]
}

func harness(t *testing.T, alter, text string) (conntest.Harness, *pgxpool.Pool) {
	dsn := server.Database(t)
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if text == "citext" {
		if _, err := pool.Exec(t.Context(), "CREATE EXTENSION citext"); err != nil {
			t.Fatal(err)
		}
	}
	name := "c_" + strings.ToLower(dsn[strings.LastIndex(dsn, "/")+1:strings.LastIndex(dsn, "?")])
	var opened []connector.Source
	t.Cleanup(func() {
		for _, source := range opened {
			_ = source.Close()
		}
	})
	h := conntest.Harness{
		Capabilities: conntest.Capabilities{
			Kinds: []lienthong.Kind{
				lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real,
				lienthong.Boolean, lienthong.Date, lienthong.Timestamp, lienthong.Binary,
			},
			Deletes: true, Truncate: true, Nulls: true, Transactions: true,
			EveryChange: true, ConcurrentWriters: true, Keyless: true,
		},
		Open: func() (connector.Source, error) {
			source, err := postgres.Open(postgres.Config{DSN: dsn, Name: name, Watch: 100 * time.Millisecond})
			if err == nil {
				opened = append(opened, source)
			}
			return source, err
		},
		Create: func(ctx context.Context, table *conntest.Table) (string, error) {
			var columns, key []string
			for _, c := range table.Columns {
				columnType := sqlType(c.Kind)
				if c.Kind == lienthong.Text && !c.Key {
					columnType = text
				}
				columns = append(columns, quote(c.Name)+" "+columnType)
				if c.Key {
					key = append(key, quote(c.Name))
				}
			}
			if len(key) > 0 {
				columns = append(columns, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
			}
			full := "public." + quote(table.Name)
			statement := fmt.Sprintf("CREATE TABLE public.%s (%s)", quote(table.Name), strings.Join(columns, ", "))
			if alter != "" && len(key) > 0 {
				statement += fmt.Sprintf("; ALTER TABLE %s %s", full, alter)
			}
			if _, err := pool.Exec(ctx, statement); err != nil {
				return "", err
			}
			return "public." + table.Name, nil
		},
		Apply: func(ctx context.Context, writes ...conntest.Write) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				return applicationTransaction{tx}.Apply(ctx, writes...)
			})
		},
		Begin: func(ctx context.Context) (conntest.Transaction, error) {
			tx, err := pool.Begin(ctx)
			return applicationTransaction{tx}, err
		},
		AddColumn: func(ctx context.Context, table *conntest.Table, column conntest.Column) error {
			_, err := pool.Exec(ctx, "ALTER TABLE "+table.Name+" ADD COLUMN "+quote(column.Name)+" "+sqlType(column.Kind))
			return err
		},
		Rows: func(ctx context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
			return readRows(ctx, pool, table)
		},
	}
	execute := func(ctx context.Context, statements ...string) error {
		_, err := pool.Exec(ctx, strings.Join(statements, "; "))
		return err
	}
	h.Relate = func(ctx context.Context, child *conntest.Table, column string, parent *conntest.Table) error {
		return execute(ctx, "ALTER TABLE "+child.Name+" ADD FOREIGN KEY ("+quote(column)+") REFERENCES "+parent.Name+" DEFERRABLE INITIALLY DEFERRED")
	}
	create := h.Create
	h.Alter = map[conntest.Alteration]func(context.Context, *conntest.Table) error{
		conntest.DropColumn: func(ctx context.Context, table *conntest.Table) error {
			return execute(ctx, "ALTER TABLE "+table.Name+" DROP COLUMN note")
		},
		conntest.RenameColumn: func(ctx context.Context, table *conntest.Table) error {
			return execute(ctx, "ALTER TABLE "+table.Name+" RENAME COLUMN note TO remark")
		},
		conntest.WidenColumn: func(ctx context.Context, table *conntest.Table) error {
			return execute(ctx, "ALTER TABLE "+table.Name+" ALTER COLUMN counter TYPE numeric")
		},
		conntest.NarrowColumn: func(ctx context.Context, table *conntest.Table) error {
			return execute(ctx, "ALTER TABLE "+table.Name+" ALTER COLUMN full_name TYPE varchar(60)")
		},
		conntest.ChangeKey: func(ctx context.Context, table *conntest.Table) error {
			plain := strings.TrimPrefix(table.Name, "public.")
			return execute(ctx, "ALTER TABLE "+table.Name+" DROP CONSTRAINT "+quote(plain+"_pkey"), "ALTER TABLE "+table.Name+" ADD PRIMARY KEY (id, counter)")
		},
		conntest.Recreate: func(ctx context.Context, table *conntest.Table) error {
			if err := execute(ctx, "DROP TABLE "+table.Name); err != nil {
				return err
			}
			_, err := create(ctx, &conntest.Table{Name: strings.TrimPrefix(table.Name, "public."), Columns: table.Columns})
			return err
		},
	}
	return h, pool
}

// readRows reads a table by ordinary SQL, its values written by the server.
func readRows(ctx context.Context, pool *pgxpool.Pool, table *conntest.Table) ([][]conntest.Cell, error) {
	columns := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		name := quote(c.Name)
		switch c.Kind {
		case lienthong.Timestamp:
			name = "to_char(" + name + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
		case lienthong.Binary:
			name = "encode(" + name + ", 'hex')"
		case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean, lienthong.Date:
			name += "::text"
		}
		columns[i] = name
	}
	rows, err := pool.Query(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+table.Name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]conntest.Cell, error) {
		texts := make([]*string, len(columns))
		into := make([]any, len(columns))
		for i := range texts {
			into[i] = &texts[i]
		}
		if err := row.Scan(into...); err != nil {
			return nil, err
		}
		cells := make([]conntest.Cell, len(columns))
		for i, text := range texts {
			if text == nil {
				continue
			}
			cells[i] = conntest.Has(*text)
		}
		return cells, nil
	})
}

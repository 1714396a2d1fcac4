package polling_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/polling"
	"github.com/lienthong/lienthong/internal/mariadbtest"
	"github.com/lienthong/lienthong/internal/pgtest"
)

// server is one PostgreSQL for all tests of the package that want one.
var server struct {
	sync.Mutex
	dir   string
	pg    *pgtest.Server
	maria *mariadbtest.Server
}

func startServer(t testing.TB) *pgtest.Server {
	t.Helper()
	server.Lock()
	defer server.Unlock()
	if server.pg != nil {
		return server.pg
	}
	pg, err := pgtest.Start(serverDir(t))
	if errors.Is(err, pgtest.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	server.pg = pg
	return pg
}

// serverDir is where servers live. The caller holds the lock.
func serverDir(t testing.TB) string {
	t.Helper()
	if server.dir == "" {
		dir, err := os.MkdirTemp("", "polling")
		if err != nil {
			t.Fatal(err)
		}
		server.dir = dir
	}
	return server.dir
}

func stopServers() {
	if server.pg != nil {
		server.pg.Close()
	}
	if server.maria != nil {
		server.maria.Close()
	}
	if server.dir != "" {
		_ = os.RemoveAll(server.dir)
	}
}

func openPG(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func pgLiteral(kind lienthong.Kind, text string) string {
	switch kind {
	case lienthong.Boolean, lienthong.Integer:
		return "(" + text + ")"
	case lienthong.Binary:
		return `'\x` + conntest.HexLiteral(text) + "'"
	case lienthong.Text, lienthong.Decimal, lienthong.Real, lienthong.Date, lienthong.Timestamp:
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// pgTransaction is a transaction of the application.
type pgTransaction struct{ tx *sql.Tx }

func (x pgTransaction) Apply(ctx context.Context, writes ...conntest.Write) error {
	for _, w := range writes {
		statement := w.SQL(quote, pgLiteral)
		if _, err := x.tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
func (x pgTransaction) Commit(context.Context) error   { return x.tx.Commit() }
func (x pgTransaction) Rollback(context.Context) error { return x.tx.Rollback() }

func pgHarness(monotonic bool) func(t *testing.T) conntest.Harness {
	return func(t *testing.T) conntest.Harness {
		dsn := startServer(t).Database(t)
		db, state := openPG(t, dsn), t.TempDir()
		var mu sync.Mutex
		var tables []polling.Table
		declared := [...]string{"text", "bigint", "numeric", "double precision", "boolean", "date", "timestamptz", "bytea"}
		stamped := func(name string) polling.Table {
			return polling.Table{Name: name, Monotonic: "moved", Skip: []string{"moved"}, KeySweepEvery: 1}
		}
		if monotonic {
			_, err := db.ExecContext(t.Context(), `CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.moved := clock_timestamp(); RETURN NEW; END'`)
			if err != nil {
				t.Fatal(err)
			}
		}
		create := func(ctx context.Context, name, columns string) (string, error) {
			if _, err := db.ExecContext(ctx, "CREATE TABLE "+quote(name)+" ("+columns+")"); err != nil {
				return "", err
			}
			full := "public." + name
			if !monotonic {
				return full, nil
			}
			mu.Lock()
			tables = append(tables, stamped(full))
			mu.Unlock()
			_, err := db.ExecContext(ctx, "ALTER TABLE "+quote(name)+" ADD COLUMN moved timestamptz; CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON "+quote(name)+" FOR EACH ROW EXECUTE FUNCTION stamp()")
			return full, err
		}
		alter := func(statement string) func(context.Context, *conntest.Table) error {
			return func(ctx context.Context, table *conntest.Table) error {
				_, err := db.ExecContext(ctx, strings.ReplaceAll(statement, "$T", table.Name))
				return err
			}
		}
		h := conntest.Harness{
			Open: func() (connector.Source, error) {
				mu.Lock()
				defer mu.Unlock()
				declared := slices.Clone(tables)
				if monotonic && !slices.ContainsFunc(declared, func(t polling.Table) bool { return t.Name == "public.two" }) {
					declared = append(declared, stamped("public.two"))
				}
				return polling.Open(t.Context(), polling.Config{
					DB: openPG(t, dsn), Dialect: polling.PostgreSQL(), StateDir: state, Tables: declared,
					Every: 2 * time.Millisecond, Overlap: 10 * time.Second, SchemaEvery: 1,
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
				if err := (pgTransaction{tx}).Apply(ctx, writes...); err != nil {
					_ = tx.Rollback()
					return err
				}
				return tx.Commit()
			},
			Begin: func(ctx context.Context) (conntest.Transaction, error) {
				tx, err := db.BeginTx(ctx, nil)
				return pgTransaction{tx}, err
			},
			Rows: func(ctx context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
				var columns []string
				for _, c := range table.Columns {
					q := quote(c.Name)
					switch c.Kind {
					case lienthong.Binary:
						q = "encode(" + q + ", 'hex')"
					case lienthong.Timestamp:
						q = "to_char(" + q + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
					case lienthong.Date:
						q = "to_char(" + q + ", 'YYYY-MM-DD')"
					case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean:
						q += "::text"
					}
					columns = append(columns, q)
				}
				return readRows(ctx, db, "SELECT "+strings.Join(columns, ", ")+" FROM "+table.Name, func(_ int, stored any) conntest.Cell {
					if stored == nil {
						return conntest.Cell{}
					}
					return conntest.Has(fmt.Sprint(stored))
				})
			},
			AddColumn: func(ctx context.Context, table *conntest.Table, c conntest.Column) error {
				_, err := db.ExecContext(ctx, "ALTER TABLE "+table.Name+" ADD COLUMN "+quote(c.Name)+" "+declared[c.Kind])
				return err
			},
			Types: pgTypes(),
			CreateTyped: func(ctx context.Context, name, sourceType string) (string, error) {
				if strings.HasPrefix(sourceType, "mood") {
					if _, err := db.ExecContext(ctx, "DO $$ BEGIN CREATE TYPE mood AS ENUM ('vui', 'buồn'); EXCEPTION WHEN duplicate_object THEN NULL; END $$"); err != nil {
						return "", err
					}
				}
				return create(ctx, name, "id bigint PRIMARY KEY, value "+sourceType)
			},
			InsertTyped: func(ctx context.Context, table string, id int, literal string) error {
				_, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (id, value) VALUES (%d, %s)", table, id, literal))
				return err
			},
			Bulk: func(ctx context.Context, table *conntest.Table, first, count int) error {
				_, err := db.ExecContext(ctx, `INSERT INTO `+table.Name+` (id, full_name, note, counter)
					SELECT lpad(i::text, greatest(6, length(i::text)), '0'), 'Nguyễn Văn ' || i, 'lần 1', i FROM generate_series($1::int, $1::int + $2::int - 1) i`, first, count)
				return err
			},
			Capabilities: conntest.Capabilities{
				Kinds: []lienthong.Kind{
					lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean,
					lienthong.Date, lienthong.Timestamp, lienthong.Binary,
				},
				Deletes: true, Truncate: true, Nulls: true, ConcurrentWriters: true, Keyless: true,
			},
		}
		if monotonic {
			h.Bulk = nil // once is enough
		}
		if !monotonic {
			h.Alter = map[conntest.Alteration]func(context.Context, *conntest.Table) error{
				conntest.DropColumn:   alter("ALTER TABLE $T DROP COLUMN note"),
				conntest.RenameColumn: alter("ALTER TABLE $T RENAME COLUMN note TO remark"),
				conntest.WidenColumn:  alter("ALTER TABLE $T ALTER COLUMN counter TYPE numeric"),
				conntest.NarrowColumn: alter("ALTER TABLE $T ALTER COLUMN full_name TYPE varchar(60)"),
				conntest.ChangeKey:    alter("DO 'BEGIN ALTER TABLE $T DROP CONSTRAINT people_pkey; ALTER TABLE $T ADD PRIMARY KEY (id, counter); END'"),
				conntest.Recreate:     alter("DROP TABLE $T; CREATE TABLE $T (id text PRIMARY KEY, full_name text, note text, counter bigint)"),
			}
		}
		return h
	}
}

func pgTypes() []conntest.TypeCase {
	one := func(sourceType string, kind lienthong.Kind, pairs ...string) conntest.TypeCase {
		c := conntest.TypeCase{Type: sourceType, Kind: kind, Values: []conntest.TypeValue{{Literal: "NULL"}}}
		for i := 0; i < len(pairs); i += 2 {
			want := conntest.Has(pairs[i+1])
			if strings.HasPrefix(pairs[i+1], "!") {
				want = conntest.Cell{State: lienthong.Malformed, Text: pairs[i+1][1:]}
			}
			c.Values = append(c.Values, conntest.TypeValue{Literal: pairs[i], Want: want})
		}
		return c
	}
	return []conntest.TypeCase{
		one("smallint", lienthong.Integer, "-32768", "-32768"),
		one("numeric(30,5)", lienthong.Decimal, "1.5", "1.50000", "'NaN'", "NaN", "0.00001", "0.00001"),
		one("real", lienthong.Real, "0.1", "0.1"),
		one("double precision", lienthong.Real, "1e308", "1e+308"),
		one("varchar(10)", lienthong.Text, "''", "", "'Đà Nẵng'", "Đà Nẵng"),
		one("char(5)", lienthong.Text, "'ab'", "ab"),
		one("timestamp", lienthong.Timestamp, "'2024-02-29 12:00:00.000001'", "2024-02-29T12:00:00.000001Z", "'infinity'", "!infinity"),
		one("timestamptz", lienthong.Timestamp, "'2024-02-29 12:00+07'", "2024-02-29T05:00:00.000000Z"),
		one("date", lienthong.Date, "'0001-01-01'", "0001-01-01", "'infinity'", "!infinity"),
		one("interval", lienthong.Text, "'1 day 2 hours'", "1 day 02:00:00"),
		one("int4range", lienthong.Text, "'[1,5)'", "[1,5)"),
		one("text[]", lienthong.Text, "ARRAY['a','b c']", `{a,"b c"}`),
		one("jsonb", lienthong.Text, `'{"a":1}'`, `{"a": 1}`),
		one("uuid", lienthong.Text, "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
		one("mood", lienthong.Text, "'buồn'", "buồn"),
		one("inet", lienthong.Text, "'10.0.0.1/8'", "10.0.0.1/8"),
		one("money", lienthong.Text, "12.5::money", "$12.50"),
		one("bytea", lienthong.Binary, `'\x00ff'`, "00ff", "''", ""),
	}
}

func TestConformancePostgreSQL(t *testing.T) {
	for _, monotonic := range []bool{false, true} {
		t.Run(fmt.Sprintf("monotonic %v", monotonic), func(t *testing.T) { conntest.Run(t, pgHarness(monotonic)) })
	}
}

package polling_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/polling"
	"github.com/lienthong/lienthong/internal/mariadbtest"
)

func startMariaDB(t testing.TB) *mariadbtest.Server {
	t.Helper()
	server.Lock()
	defer server.Unlock()
	if server.maria != nil {
		return server.maria
	}
	maria, err := mariadbtest.Start(serverDir(t))
	if errors.Is(err, mariadbtest.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	server.maria = maria
	return maria
}

func openMaria(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func backtick(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func mariaLiteral(kind lienthong.Kind, text string) string {
	switch kind {
	case lienthong.Boolean, lienthong.Integer, lienthong.Real:
		return text
	case lienthong.Binary:
		return "X'" + conntest.HexLiteral(text) + "'"
	case lienthong.Timestamp:
		text = strings.TrimSuffix(strings.Replace(text, "T", " ", 1), "Z")
	case lienthong.Text, lienthong.Decimal, lienthong.Date:
	}
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), "'", "''") + "'"
}

func TestConformanceMariaDB(t *testing.T) {
	conntest.Run(t, func(t *testing.T) conntest.Harness {
		dsn := startMariaDB(t).Database(t)
		db, state := openMaria(t, dsn), t.TempDir()
		declared := [...]string{"LONGTEXT", "BIGINT", "DECIMAL(40,12)", "DOUBLE", "BOOLEAN", "DATE", "DATETIME(6)", "LONGBLOB"}
		return conntest.Harness{
			Open: func() (connector.Source, error) {
				return polling.Open(t.Context(), polling.Config{
					DB: openMaria(t, dsn), Dialect: polling.MySQL(), StateDir: state, Every: 2 * time.Millisecond, SchemaEvery: 1,
				})
			},
			Create: func(ctx context.Context, table *conntest.Table) (string, error) {
				var columns, key []string
				for _, c := range table.Columns {
					sourceType := declared[c.Kind]
					if c.Key {
						key = append(key, backtick(c.Name))
						sourceType = "VARCHAR(100)"
					}
					columns = append(columns, backtick(c.Name)+" "+sourceType)
				}
				if len(key) > 0 {
					columns = append(columns, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
				}
				_, err := db.ExecContext(ctx, "CREATE TABLE "+backtick(table.Name)+" ("+strings.Join(columns, ", ")+") CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
				return table.Name, err
			},
			Apply: func(ctx context.Context, writes ...conntest.Write) error {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				for _, w := range writes {
					statement := w.SQL(backtick, mariaLiteral)
					if w.Verb == conntest.Truncate {
						statement = "DELETE FROM " + w.Table.Name // TRUNCATE would commit
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
					q := backtick(c.Name)
					switch c.Kind {
					case lienthong.Binary:
						q = "LOWER(HEX(" + q + "))"
					case lienthong.Timestamp:
						q = "DATE_FORMAT(" + q + ", '%Y-%m-%dT%H:%i:%s.%fZ')"
					case lienthong.Boolean:
						q = "IF(" + q + " IS NULL, NULL, IF(" + q + ", 'true', 'false'))"
					case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Date:
						q = "CAST(" + q + " AS CHAR)"
					}
					columns = append(columns, q)
				}
				return readRows(ctx, db, "SELECT "+strings.Join(columns, ", ")+" FROM "+table.Name, func(i int, stored any) conntest.Cell {
					text, ok := stored.([]byte)
					if !ok {
						return conntest.Cell{}
					}
					if table.Columns[i].Kind == lienthong.Real {
						v := polling.Convert(text, lienthong.Real)
						text = v.AppendText(nil, lienthong.Real)
					}
					return conntest.Has(string(text))
				})
			},
			AddColumn: func(ctx context.Context, table *conntest.Table, c conntest.Column) error {
				_, err := db.ExecContext(ctx, "ALTER TABLE "+table.Name+" ADD COLUMN "+backtick(c.Name)+" "+declared[c.Kind])
				return err
			},
			Types: []conntest.TypeCase{
				mariaType("tinyint", lienthong.Integer, "-128", "-128"),
				mariaType("bigint unsigned", lienthong.Decimal, "18446744073709551615", "18446744073709551615"),
				mariaType("decimal(10,2)", lienthong.Decimal, "1.5", "1.50"),
				mariaType("float", lienthong.Real, "0.1", "0.1"),
				mariaType("date", lienthong.Date, "'2024-02-29'", "2024-02-29", "'0000-00-00'", "!0000-00-00"),
				mariaType("datetime(3)", lienthong.Timestamp, "'2024-02-29 12:00:00.5'", "2024-02-29T12:00:00.500000Z"),
				mariaType("time(2)", lienthong.Text, "'-838:59:59.25'", "-838:59:59.25"),
				mariaType("year", lienthong.Integer, "2024", "2024"),
				mariaType("enum('vui','buồn')", lienthong.Text, "'buồn'", "buồn"),
				mariaType("set('a','b')", lienthong.Text, "'a,b'", "a,b"),
				mariaType("bit(1)", lienthong.Boolean, "b'1'", "true"),
				mariaType("bit(12)", lienthong.Binary, "b'101'", "0005"),
				mariaType("json", lienthong.Text, `'{"a": 1}'`, `{"a": 1}`),
				mariaType("varbinary(4)", lienthong.Binary, "X'00ff'", "00ff"),
				mariaType("point", lienthong.Text, "ST_GeomFromText('POINT(105.8 21)')", "POINT(105.8 21)"),
			},
			CreateTyped: func(ctx context.Context, name, sourceType string) (string, error) {
				_, err := db.ExecContext(ctx, "CREATE TABLE "+backtick(name)+" (id BIGINT PRIMARY KEY, value "+sourceType+" NULL) CHARACTER SET utf8mb4")
				return name, err
			},
			InsertTyped: func(ctx context.Context, table string, id int, literal string) error {
				_, err := db.ExecContext(ctx, fmt.Sprintf("SET STATEMENT sql_mode = '' FOR INSERT INTO %s (id, value) VALUES (%d, %s)", table, id, literal))
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
	})
}

func mariaType(sourceType string, kind lienthong.Kind, pairs ...string) conntest.TypeCase {
	c := conntest.TypeCase{Type: sourceType, Kind: kind, Values: []conntest.TypeValue{{Literal: "NULL"}}}
	for i := 0; i < len(pairs); i += 2 {
		want := conntest.Has(pairs[i+1])
		if text, bad := strings.CutPrefix(pairs[i+1], "!"); bad {
			want = conntest.Cell{State: lienthong.Malformed, Text: text}
		}
		c.Values = append(c.Values, conntest.TypeValue{Literal: pairs[i], Want: want})
	}
	return c
}

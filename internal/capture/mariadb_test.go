package capture_test

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/mysql"
	"github.com/lienthong/lienthong/internal/mariadbtest"
)

// mariadbHarness is a database on a server of its own.
func mariadbHarness(t testing.TB) conntest.Harness {
	dir, err := os.MkdirTemp("", "capture") // a path that other accounts may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := mariadbtest.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	dsn, state := server.Database(t), t.TempDir()
	database := dsn[strings.LastIndexByte(dsn, '/')+1:]
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	quote := func(name string) string { return "`" + name + "`" }
	literal := func(_ lienthong.Kind, text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
	kind := func(c conntest.Column) string {
		switch {
		case c.Kind == lienthong.Integer:
			return "bigint"
		case c.Key:
			return "varchar(100)"
		}
		return "longtext"
	}
	exec := func(ctx context.Context, statement string) error {
		_, err := db.ExecContext(ctx, statement)
		return err
	}
	return conntest.Harness{
		Open: func() (connector.Source, error) {
			return mysql.Open(mysql.Config{DSN: dsn, Name: "c", StateDir: state})
		},
		Create: func(ctx context.Context, table *conntest.Table) (string, error) {
			var columns []string
			for _, c := range table.Columns {
				column := quote(c.Name) + " " + kind(c)
				if c.Key {
					column += " PRIMARY KEY"
				}
				columns = append(columns, column)
			}
			name := database + "." + table.Name
			return name, exec(ctx, "CREATE TABLE "+name+" ("+strings.Join(columns, ", ")+")")
		},
		Apply: func(ctx context.Context, writes ...conntest.Write) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			for _, w := range writes {
				if _, err := tx.ExecContext(ctx, w.SQL(quote, literal)); err != nil {
					_ = tx.Rollback()
					return err
				}
			}
			return tx.Commit()
		},
		Rows: func(ctx context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
			columns := make([]string, len(table.Columns))
			for i, c := range table.Columns {
				columns[i] = quote(c.Name)
			}
			rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+table.Name)
			if err != nil {
				return nil, err
			}
			defer func() { _ = rows.Close() }()
			var found [][]conntest.Cell
			for rows.Next() {
				cells := make([]sql.NullString, len(columns))
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
			return exec(ctx, "ALTER TABLE "+table.Name+" ADD COLUMN "+quote(c.Name)+" "+kind(c))
		},
	}
}

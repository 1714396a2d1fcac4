package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/sqlite"
)

// engine fills what the suite asks of an engine with types and alterations of its own.
func engine(h conntest.Harness, db *sql.DB) conntest.Harness {
	h.Types = allTypes()
	h.CreateTyped = func(ctx context.Context, name, sourceType string) (string, error) {
		name = `bảng "` + name + `"`
		_, err := db.ExecContext(ctx, "CREATE TABLE "+quote(name)+" (id INTEGER PRIMARY KEY, value "+sourceType+")")
		return name, err
	}
	h.InsertTyped = func(ctx context.Context, table string, id int, literal string) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s VALUES (%d, %s)", quote(table), id, literal))
		return err
	}
	h.Bulk = func(ctx context.Context, table *conntest.Table, first, count int) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf(`WITH RECURSIVE n (g) AS (SELECT %d UNION ALL SELECT g + 1 FROM n WHERE g < %d)
			INSERT INTO %s SELECT printf('%%06d', g), 'Nguyễn Văn ' || g, 'ghi chú', g FROM n`, first, first+count-1, quote(table.Name)))
		return err
	}
	h.Alter = map[conntest.Alteration]func(context.Context, *conntest.Table) error{
		conntest.RenameColumn: func(ctx context.Context, table *conntest.Table) error {
			_, err := db.ExecContext(ctx, "ALTER TABLE "+quote(table.Name)+" RENAME COLUMN note TO remark")
			return err
		},
		// What ALTER TABLE cannot do is done in SQLite by building the table anew, as its
		// handbook says.
		conntest.DropColumn:   rebuild(db, "id TEXT PRIMARY KEY, full_name TEXT, counter INTEGER", "id, full_name, counter"),
		conntest.WidenColumn:  rebuild(db, "id TEXT PRIMARY KEY, full_name TEXT, note TEXT, counter TEXT", "*"),
		conntest.NarrowColumn: rebuild(db, "id TEXT PRIMARY KEY, full_name VARCHAR(60), note TEXT, counter INTEGER", "*"),
		conntest.ChangeKey:    rebuild(db, "id TEXT NOT NULL, full_name TEXT, note TEXT, counter INTEGER NOT NULL, PRIMARY KEY (id, counter)", "*"),
		conntest.Recreate:     rebuild(db, "id TEXT PRIMARY KEY, full_name TEXT, note TEXT, counter INTEGER", ""),
	}
	return h
}

func rebuild(db *sql.DB, columns, selection string) func(context.Context, *conntest.Table) error {
	return func(ctx context.Context, table *conntest.Table) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		statements := []string{"CREATE TABLE made (" + columns + ")"}
		if selection != "" {
			statements = append(statements, "INSERT INTO made SELECT "+selection+" FROM "+quote(table.Name))
		}
		statements = append(statements, "DROP TABLE "+quote(table.Name), "ALTER TABLE made RENAME TO "+quote(table.Name))
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return tx.Commit()
	}
}

func allTypes() []conntest.TypeCase {
	has := func(literal, want string) conntest.TypeValue {
		return conntest.TypeValue{Literal: literal, Want: conntest.Has(want)}
	}
	text := func(v string) conntest.TypeValue { return has(literal(lienthong.Text, v), v) }
	wrong := func(literal, text string) conntest.TypeValue {
		return conntest.TypeValue{Literal: literal, Want: conntest.Cell{State: lienthong.Malformed, Text: text}}
	}
	of := func(name string, kind lienthong.Kind, values ...conntest.TypeValue) conntest.TypeCase {
		return conntest.TypeCase{Type: name, Kind: kind, Values: append([]conntest.TypeValue{{Literal: "NULL"}}, values...)}
	}
	long := strings.Repeat("đ", 1<<19)
	return []conntest.TypeCase{
		of("INTEGER", lienthong.Integer, has("0", "0"), has("9223372036854775807", "9223372036854775807"),
			has("(-9223372036854775807 - 1)", "-9223372036854775808"), has("'12'", "12"), has("3.0", "3"), wrong("'mười'", "mười"), wrong("1.5", "1.5")),
		of("BIGINT", lienthong.Integer, has("-1", "-1")),
		of("TEXT", lienthong.Text, text(""), text("👩‍👩‍👧"), text("Nguye\u0302\u0303n"), text("'; --"), text(long), has("12", "12"), has("1.5", "1.5")),
		of("VARCHAR(10)", lienthong.Text, text("Đặng Văn Ớ"), text("dài hơn mười chữ")), // SQLite does not hold anybody to it
		of("REAL", lienthong.Real, has("0.1", "0.1"), has("5e-324", "5e-324"), has("-1.7976931348623157e+308", "-1.7976931348623157e+308"),
			has("9e999", "+Inf"), has("-9e999", "-Inf"), has("3", "3"), wrong("'một'", "một")),
		of("DOUBLE PRECISION", lienthong.Real, has("1.5", "1.5")),
		of("NUMERIC", lienthong.Decimal, has("'12.50'", "12.5"), has("0.001", "0.001"), has("'12345678901234567890123'", "12345678901234568000000"), wrong("'x'", "x")),
		of("DECIMAL(20,4)", lienthong.Decimal, has("100", "100"), has("-0.5", "-0.5")),
		of("BOOLEAN", lienthong.Boolean, has("1", "true"), has("0", "false"), has("TRUE", "true"), has("'false'", "false"), wrong("2", "2")),
		of("DATE", lienthong.Date, has("'1970-01-01'", "1970-01-01"), has("'0001-01-01'", "0001-01-01"), has("'9999-12-31'", "9999-12-31"), has("'2024-02-29'", "2024-02-29"),
			wrong("'2025-02-29'", "2025-02-29"), wrong("'01/07/2025'", "01/07/2025"), wrong("'infinity'", "infinity")),
		of("TIMESTAMP", lienthong.Timestamp, has("'2025-07-01 07:00:00+07:00'", "2025-07-01T00:00:00.000000Z"), has("'2025-07-01T00:00:00.123456Z'", "2025-07-01T00:00:00.123456Z"),
			has("'1945-09-02 14:00'", "1945-09-02T14:00:00.000000Z"), has("1751328000", "2025-07-01T00:00:00.000000Z"), wrong("'hôm qua'", "hôm qua")),
		of("DATETIME", lienthong.Timestamp, has("'9999-12-31 23:59:59.999999'", "9999-12-31T23:59:59.999999Z")),
		of("BLOB", lienthong.Binary, has("x''", ""), has("x'00ff27'", "00ff27"), has("'chữ'", fmt.Sprintf("%x", "chữ")), has("zeroblob(1048576)", strings.Repeat("00", 1<<20))),
		of("JSON", lienthong.Text, text(`{"a": [1, null]}`), text("[]")),
		of("", lienthong.Text, text("không có kiểu"), has("7", "7")),
	}
}

// TestInspect: what is not read is named, and so is what stands in the way.
func TestInspect(t *testing.T) {
	path, db := application(t)
	for _, statement := range []string{
		"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)", "CREATE TABLE keyless (w TEXT)", "CREATE VIEW v AS SELECT * FROM t",
		"CREATE VIRTUAL TABLE words USING fts5 (body)",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	found, err := open(t, path).Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, l := range found.LeftOut {
		left = append(left, l.Name+" "+l.Code)
	}
	slices.Sort(left)
	if diff := cmp.Diff([]string{"keyless no_key", "v view", "words virtual_table"}, left); diff != "" {
		t.Error(diff)
	}
	if len(found.Tables) != 1 || found.Tables[0].Name != "t" || !strings.HasPrefix(found.Engine, "SQLite 3.") {
		t.Errorf("%s, tables %+v", found.Engine, found.Tables)
	}
}

// TestInspectJournal: looking does not switch the journal, which Start will do.
func TestInspectJournal(t *testing.T) {
	path, db := application(t)
	if _, err := db.ExecContext(t.Context(), "PRAGMA journal_mode=delete"); err != nil {
		t.Fatal(err)
	}
	source, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	found, err := source.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range found.Required {
		if !r.OK {
			t.Errorf("%s: %s", r.Code, r.En)
		}
	}
	var mode string
	if err := db.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "delete" {
		t.Errorf("Inspect changed the journal to %s, %v", mode, err)
	}
}

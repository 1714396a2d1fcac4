package mysql_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/mysql"
	"github.com/lienthong/lienthong/internal/mariadbtest"
)

var server *mariadbtest.Server

func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-test.fuzzworker") {
		os.Exit(m.Run()) // fuzzing needs no server
	}
	dir, err := os.MkdirTemp("", "mysql")
	if err == nil {
		server, err = mariadbtest.Start(dir)
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

// own starts a server with settings of its own for one test.
func own(tb testing.TB, settings ...string) *mariadbtest.Server {
	tb.Helper()
	dir, err := os.MkdirTemp("", "mysql-own")
	if err != nil {
		tb.Fatal(err)
	}
	s, err := mariadbtest.Start(dir, settings...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.Close()
		_ = os.RemoveAll(dir)
	})
	return s
}

func TestConformance(t *testing.T) {
	conntest.Run(t, func(t *testing.T) conntest.Harness { return harness(t, server) })
}

// TestConformanceUnnamed holds a log that does not name its columns, and that is
// compressed, to the same.
func TestConformanceUnnamed(t *testing.T) {
	s := own(t, "binlog-row-metadata=NO_LOG", "log-bin-compress=ON", "log-bin-compress-min-len=10")
	conntest.Run(t, func(t *testing.T) conntest.Harness { return harness(t, s) })
}

// applicationTransaction is a transaction of the application that is watched.
type applicationTransaction struct{ *sql.Tx }

func (a applicationTransaction) Apply(ctx context.Context, writes ...conntest.Write) error {
	for _, w := range writes {
		if _, err := a.ExecContext(ctx, statement(w)); err != nil {
			return err
		}
	}
	return nil
}

func (a applicationTransaction) Commit(context.Context) error   { return a.Tx.Commit() }
func (a applicationTransaction) Rollback(context.Context) error { return a.Tx.Rollback() }

func statement(w conntest.Write) string { return w.SQL(quote, literal) }

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func literal(kind lienthong.Kind, text string) string {
	switch kind {
	case lienthong.Binary:
		return "X'" + conntest.HexLiteral(text) + "'"
	case lienthong.Boolean:
		return map[string]string{"true": "1", "false": "0"}[text]
	case lienthong.Integer, lienthong.Decimal, lienthong.Real:
		return text
	case lienthong.Timestamp:
		text = strings.TrimSuffix(strings.Replace(text, "T", " ", 1), "Z")
	case lienthong.Text, lienthong.Date:
	}
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(text) + "'"
}

func sqlType(c conntest.Column) string {
	if c.Kind == lienthong.Text {
		if c.Key {
			return "varchar(100)"
		}
		return "longtext"
	}
	return map[lienthong.Kind]string{
		lienthong.Integer: "bigint", lienthong.Decimal: "decimal(65,10)", lienthong.Real: "double", lienthong.Boolean: "bit(1)",
		lienthong.Date: "date", lienthong.Timestamp: "datetime(6)", lienthong.Binary: "longblob",
	}[c.Kind]
}

func connectTo(tb testing.TB, dsn string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("mysql", dsn+"?time_zone=%27%2B00%3A00%27&multiStatements=true")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(tb testing.TB, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, statements ...string,
) {
	tb.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("%.200s: %v", statement, err)
		}
	}
}

func databaseOf(dsn string) string { return dsn[strings.LastIndexByte(dsn, '/')+1:] }

func harness(t *testing.T, server *mariadbtest.Server) conntest.Harness {
	dsn := server.Database(t)
	db := connectTo(t, dsn)
	state := t.TempDir()
	database := databaseOf(dsn)
	var opened []connector.Source
	t.Cleanup(func() {
		for _, source := range opened {
			_ = source.Close()
		}
	})
	run := func(ctx context.Context, statement string) error {
		_, err := db.ExecContext(ctx, statement)
		return err
	}
	alter := func(clause string) func(context.Context, *conntest.Table) error {
		return func(ctx context.Context, table *conntest.Table) error {
			return run(ctx, "ALTER TABLE "+table.Name+" "+clause)
		}
	}
	create := func(ctx context.Context, table *conntest.Table) (string, error) {
		var columns, key []string
		for _, c := range table.Columns {
			columns = append(columns, quote(c.Name)+" "+sqlType(c))
			if c.Key {
				key = append(key, quote(c.Name))
			}
		}
		if len(key) > 0 {
			columns = append(columns, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
		}
		name := database + "." + table.Name
		return name, run(ctx, "CREATE TABLE "+name+" ("+strings.Join(columns, ", ")+")")
	}
	return conntest.Harness{
		Capabilities: conntest.Capabilities{
			Kinds: []lienthong.Kind{
				lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real,
				lienthong.Boolean, lienthong.Date, lienthong.Timestamp, lienthong.Binary,
			},
			Deletes: true, Truncate: true, Nulls: true, Transactions: true,
			EveryChange: true, ConcurrentWriters: true, Keyless: true,
		},
		Open: func() (connector.Source, error) {
			source, err := mysql.Open(mysql.Config{DSN: dsn, Name: "c", StateDir: state})
			if err == nil {
				opened = append(opened, source)
			}
			return source, err
		},
		Create: create,
		Apply: func(ctx context.Context, writes ...conntest.Write) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if err := (applicationTransaction{tx}).Apply(ctx, writes...); err != nil {
				_ = tx.Rollback()
				return err
			}
			return tx.Commit()
		},
		Begin: func(ctx context.Context) (conntest.Transaction, error) {
			tx, err := db.BeginTx(ctx, nil)
			return applicationTransaction{tx}, err
		},
		AddColumn: func(ctx context.Context, table *conntest.Table, column conntest.Column) error {
			return run(ctx, "ALTER TABLE "+table.Name+" ADD COLUMN "+quote(column.Name)+" "+sqlType(column))
		},
		Rows: func(ctx context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
			return readRows(ctx, db, table)
		},
		Types: typeCases(),
		CreateTyped: func(ctx context.Context, name, sourceType string) (string, error) {
			full := database + "." + name
			return full, run(ctx, "CREATE TABLE "+full+" (id int NOT NULL PRIMARY KEY, `value` "+sourceType+" NULL)")
		},
		InsertTyped: func(ctx context.Context, table string, id int, literal string) error {
			conn, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			if _, err := conn.ExecContext(ctx, "SET sql_mode = 'ALLOW_INVALID_DATES'"); err != nil {
				return err
			}
			_, err = conn.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (id, `value`) VALUES (%d, %s)", table, id, literal))
			return err
		},
		Alter: map[conntest.Alteration]func(context.Context, *conntest.Table) error{
			conntest.DropColumn:   alter("DROP COLUMN note"),
			conntest.RenameColumn: alter("RENAME COLUMN note TO remark"),
			conntest.WidenColumn:  alter("MODIFY counter decimal(30,0)"),
			conntest.NarrowColumn: alter("MODIFY full_name varchar(60)"),
			conntest.ChangeKey:    alter("DROP PRIMARY KEY, MODIFY counter bigint NOT NULL, ADD PRIMARY KEY (id, counter)"),
			conntest.Recreate: func(ctx context.Context, table *conntest.Table) error {
				if err := run(ctx, "DROP TABLE "+table.Name); err != nil {
					return err
				}
				again := *table
				again.Name = strings.TrimPrefix(table.Name, database+".")
				_, err := create(ctx, &again)
				return err
			},
		},
		Bulk: func(ctx context.Context, table *conntest.Table, first, count int) error {
			return run(ctx, fmt.Sprintf(
				"INSERT INTO %s (id, full_name, note, counter) SELECT LPAD(seq, GREATEST(6, LENGTH(seq)), '0'), CONCAT('Nguyễn Văn ', seq), 'ghi chú', seq FROM seq_%d_to_%d",
				table.Name, first, first+count-1))
		},
	}
}

// readRows reads a table by ordinary SQL, its values written by the server.
func readRows(ctx context.Context, db *sql.DB, table *conntest.Table) ([][]conntest.Cell, error) {
	columns := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		name := quote(c.Name)
		switch c.Kind {
		case lienthong.Timestamp:
			name = "DATE_FORMAT(" + name + ", '%Y-%m-%dT%H:%i:%s.%fZ')"
		case lienthong.Binary:
			name = "LOWER(HEX(" + name + "))"
		case lienthong.Boolean:
			name = "IF(" + name + " IS NULL, NULL, IF(" + name + ", 'true', 'false'))"
		case lienthong.Real:
			name += " + 0e0"
		case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Date:
		}
		columns[i] = name
	}
	rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+table.Name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all [][]conntest.Cell
	for rows.Next() {
		into := make([]any, len(columns))
		texts := make([]sql.NullString, len(columns))
		for i := range texts {
			into[i] = &texts[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		cells := make([]conntest.Cell, len(columns))
		for i, text := range texts {
			if text.Valid {
				cells[i] = conntest.Has(text.String)
			}
		}
		all = append(all, cells)
	}
	return all, rows.Err()
}

func typeCases() []conntest.TypeCase {
	null := conntest.TypeValue{Literal: "NULL"}
	is := func(literal, want string) conntest.TypeValue {
		return conntest.TypeValue{Literal: literal, Want: conntest.Has(want)}
	}
	same := func(texts ...string) []conntest.TypeValue {
		values := []conntest.TypeValue{null}
		for _, text := range texts {
			values = append(values, is(text, text))
		}
		return values
	}
	quoted := func(texts ...string) []conntest.TypeValue {
		values := []conntest.TypeValue{null}
		for _, text := range texts {
			values = append(values, is("'"+strings.ReplaceAll(text, "'", "''")+"'", text))
		}
		return values
	}
	wrong := func(text string) conntest.TypeValue {
		return conntest.TypeValue{Literal: "'" + text + "'", Want: conntest.Cell{State: lienthong.Malformed, Text: text}}
	}
	binary := func(texts ...string) []conntest.TypeValue {
		values := []conntest.TypeValue{null}
		for _, text := range texts {
			values = append(values, is("X'"+hex.EncodeToString([]byte(text))+"'", hex.EncodeToString([]byte(text))))
		}
		return values
	}
	megabyte := strings.Repeat("Đường ", 150_000)
	viet := []string{"", "Nguyễn Thị Ánh Nguyệt", "a'b\"c", "  đầu", "👩‍👩‍👧"}
	types := []conntest.TypeCase{
		{Type: "tinyint", Kind: lienthong.Integer, Values: same("-128", "0", "127")},
		{Type: "tinyint(1)", Kind: lienthong.Integer, Values: same("0", "1", "2")},
		{Type: "tinyint unsigned", Kind: lienthong.Integer, Values: same("0", "255")},
		{Type: "smallint", Kind: lienthong.Integer, Values: same("-32768", "32767")},
		{Type: "smallint unsigned", Kind: lienthong.Integer, Values: same("65535")},
		{Type: "mediumint", Kind: lienthong.Integer, Values: same("-8388608", "-1", "8388607")},
		{Type: "mediumint unsigned", Kind: lienthong.Integer, Values: same("16777215")},
		{Type: "int", Kind: lienthong.Integer, Values: same("-2147483648", "2147483647")},
		{Type: "int unsigned", Kind: lienthong.Integer, Values: same("4294967295")},
		{Type: "int(8) zerofill", Kind: lienthong.Integer, Values: same("42")},
		{Type: "bigint", Kind: lienthong.Integer, Values: same("-9223372036854775808", "9223372036854775807")},
		{Type: "bigint unsigned", Kind: lienthong.Decimal, Values: same("0", "9223372036854775808", "18446744073709551615")},
		{Type: "bigint(25) unsigned zerofill", Kind: lienthong.Decimal, Values: same("0", "7")},
		{Type: "decimal(10,2)", Kind: lienthong.Decimal, Values: same("0.00", "-0.01", "12.50", "-99999999.99", "99999999.99")},
		{Type: "decimal(65,30)", Kind: lienthong.Decimal, Values: same("0.000000000000000000000000000001",
			"-99999999999999999999999999999999999.999999999999999999999999999999", "12345678901234567890.123456789012345678901234567890")},
		{Type: "decimal(65,0)", Kind: lienthong.Decimal, Values: same("0", "-"+strings.Repeat("9", 65))},
		{Type: "decimal(30,30)", Kind: lienthong.Decimal, Values: same("0.100000000000000000000000000000", "-0.999999999999999999999999999999")},
		{Type: "decimal(9,9)", Kind: lienthong.Decimal, Values: same("0.000000001")},
		{Type: "decimal(8,2) zerofill", Kind: lienthong.Decimal, Values: same("12.50", "0.00")},
		{Type: "float", Kind: lienthong.Real, Values: []conntest.TypeValue{
			null, is("0", "0"), is("0.1", "0.10000000149011612"), is("-1.5", "-1.5"), is("3.4028234663852886e38", "3.4028234663852886e+38"),
			is("1.401298464324817e-45", "1.401298464324817e-45"),
		}},
		{Type: "float(7,2)", Kind: lienthong.Real, Values: []conntest.TypeValue{is("123.45", "123.44999694824219")}},
		{Type: "double", Kind: lienthong.Real, Values: []conntest.TypeValue{
			null, is("0.1", "0.1"), is("-1.7976931348623157e308", "-1.7976931348623157e+308"), is("2.2250738585072014e-308", "2.2250738585072014e-308"),
			is("123456789.123456789", "1.2345678912345679e+08"),
		}},
		{Type: "double(12,3)", Kind: lienthong.Real, Values: []conntest.TypeValue{is("1234.5678", "1234.568")}},
		{Type: "bit(1)", Kind: lienthong.Boolean, Values: []conntest.TypeValue{null, is("b'0'", "false"), is("b'1'", "true")}},
		{Type: "bit(10)", Kind: lienthong.Integer, Values: []conntest.TypeValue{null, is("b'0'", "0"), is("1023", "1023"), is("513", "513")}},
		{Type: "bit(64)", Kind: lienthong.Decimal, Values: []conntest.TypeValue{null, is("18446744073709551615", "18446744073709551615"), is("1", "1")}},
		{Type: "date", Kind: lienthong.Date, Values: append(quoted("0001-01-01", "1945-09-02", "2024-02-29", "9999-12-31"),
			wrong("0000-00-00"), wrong("2024-00-00"), wrong("2023-02-31"))},
		{Type: "datetime", Kind: lienthong.Timestamp, Values: []conntest.TypeValue{
			null, is("'1945-09-02 14:00:00'", "1945-09-02T14:00:00.000000Z"), is("'9999-12-31 23:59:59'", "9999-12-31T23:59:59.000000Z"),
			wrong("0000-00-00 00:00:00"), wrong("2024-00-10 01:02:03"),
		}},
		{Type: "datetime(6)", Kind: lienthong.Timestamp, Values: []conntest.TypeValue{
			null, is("'2025-06-30 23:59:59.999999'", "2025-06-30T23:59:59.999999Z"), wrong("0000-00-00 00:00:00.000000"),
		}},
		{Type: "datetime(3)", Kind: lienthong.Timestamp, Values: []conntest.TypeValue{
			null, is("'2025-06-30 23:59:59.123'", "2025-06-30T23:59:59.123000Z"), is("'2025-06-30 23:59:59.007'", "2025-06-30T23:59:59.007000Z"),
		}},
		{Type: "datetime(1)", Kind: lienthong.Timestamp, Values: []conntest.TypeValue{is("'2025-06-30 23:59:59.7'", "2025-06-30T23:59:59.700000Z")}},
		{Type: "timestamp", Kind: lienthong.Timestamp, Values: []conntest.TypeValue{
			null, is("'1970-01-01 00:00:01'", "1970-01-01T00:00:01.000000Z"), is("'2038-01-19 03:14:07'", "2038-01-19T03:14:07.000000Z"),
			wrong("0000-00-00 00:00:00"),
		}},
		{Type: "timestamp(6)", Kind: lienthong.Timestamp, Values: []conntest.TypeValue{null, is("'2025-07-01 00:00:00.000001'", "2025-07-01T00:00:00.000001Z")}},
		{Type: "time", Kind: lienthong.Text, Values: quoted("00:00:00", "-838:59:59", "838:59:59", "-00:00:01", "12:30:00")},
		{Type: "time(6)", Kind: lienthong.Text, Values: quoted("00:00:00.000000", "-00:00:00.000001", "23:59:59.999999", "-838:59:59.999999", "-01:00:00.500000")},
		{Type: "time(2)", Kind: lienthong.Text, Values: quoted("00:00:00.07", "-00:00:01.50", "-00:00:00.01")},
		{Type: "time(4)", Kind: lienthong.Text, Values: quoted("01:02:03.0405", "-01:02:03.0405")},
		{Type: "year", Kind: lienthong.Integer, Values: []conntest.TypeValue{null, is("0000", "0"), is("1901", "1901"), is("2155", "2155")}},
		{Type: "char(40)", Kind: lienthong.Text, Values: quoted(viet...)},
		{Type: "char(100)", Kind: lienthong.Text, Values: quoted(viet...)},
		{Type: "varchar(200)", Kind: lienthong.Text, Values: quoted(append(viet, "cuối  ")...)},
		{Type: "varchar(20)", Kind: lienthong.Text, Values: quoted("ngắn")},
		{Type: "char(20) CHARACTER SET latin1", Kind: lienthong.Text, Values: quoted("café €œ", "")},
		{Type: "varchar(20) CHARACTER SET latin1", Kind: lienthong.Text, Values: []conntest.TypeValue{null, is("'Hà Nôi – “x”'", "Hà Nôi – “x”"), is("X'8180FF'", "\u0081€ÿ")}},
		{Type: "text CHARACTER SET utf8mb3", Kind: lienthong.Text, Values: quoted("Nguyễn Thị", "đ")},
		{Type: "varchar(20) CHARACTER SET utf16", Kind: lienthong.Text, Values: quoted("Đỗ 👩", "")},
		{Type: "varchar(20) CHARACTER SET utf16le", Kind: lienthong.Text, Values: quoted("Đỗ 👩")},
		{Type: "char(20) CHARACTER SET utf32", Kind: lienthong.Text, Values: quoted("Đỗ 👩")},
		{Type: "varchar(20) CHARACTER SET ucs2", Kind: lienthong.Text, Values: quoted("Đỗ")},
		{Type: "varchar(20) CHARACTER SET cp1251", Kind: lienthong.Text, Values: quoted("Москва")},
		{Type: "varchar(20) CHARACTER SET gbk", Kind: lienthong.Text, Values: quoted("中文 abc", "")},
		{Type: "varchar(20) CHARACTER SET sjis", Kind: lienthong.Text, Values: quoted("日本")},
		{Type: "tinytext", Kind: lienthong.Text, Values: quoted(viet...)},
		{Type: "text", Kind: lienthong.Text, Values: quoted(viet...)},
		{Type: "mediumtext", Kind: lienthong.Text, Values: quoted(megabyte)},
		{Type: "longtext", Kind: lienthong.Text, Values: quoted(megabyte)},
		{Type: "binary(5)", Kind: lienthong.Binary, Values: []conntest.TypeValue{null, is("X'0102'", "0102000000"), is("''", "0000000000"), is("X'FF00FF0000'", "ff00ff0000")}},
		{Type: "varbinary(300)", Kind: lienthong.Binary, Values: binary("", "\x00\x01\xff", "ab\x00\x00")},
		{Type: "tinyblob", Kind: lienthong.Binary, Values: binary("", "\x00")},
		{Type: "blob", Kind: lienthong.Binary, Values: binary("\x00\xff")},
		{Type: "mediumblob", Kind: lienthong.Binary, Values: binary(strings.Repeat("\x00\xfe", 500_000))},
		{Type: "longblob", Kind: lienthong.Binary, Values: binary("\x01")},
		{Type: "enum('a','b''c','đỏ')", Kind: lienthong.Text, Values: append(quoted("a", "b'c", "đỏ"), is("''", ""))},
		{Type: "enum('đỏ','x') CHARACTER SET utf16", Kind: lienthong.Text, Values: quoted("đỏ", "x")},
		{Type: "set('a','b','xanh lá')", Kind: lienthong.Text, Values: quoted("", "a", "a,b", "a,b,xanh lá")},
		{Type: "json", Kind: lienthong.Text, Values: []conntest.TypeValue{null, is(`'{"a": [1, 2.50, null], "tên": "Ánh"}'`, `{"a": [1, 2.50, null], "tên": "Ánh"}`)}},
		{Type: "uuid", Kind: lienthong.Text, Values: quoted("123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000000",
			"ffffffff-ffff-ffff-ffff-ffffffffffff", "11223344-5566-4788-99aa-bbccddeeff00", "018f3c1e-7b2a-7c3d-8e4f-5a6b7c8d9e00")},
		{Type: "inet6", Kind: lienthong.Text, Values: quoted("::", "::1", "2001:db8::ff00:42:8329", "::ffff:192.0.2.128")},
		{Type: "inet4", Kind: lienthong.Text, Values: quoted("0.0.0.0", "192.0.2.1", "255.255.255.255", "10.0.0.0")},
		{Type: "point", Kind: lienthong.Text, Values: []conntest.TypeValue{
			null, is("ST_GeomFromText('POINT(105.85 21.03)')", "POINT(105.85 21.03)"),
			is("ST_GeomFromText('POINT(1 2)', 4326)", "SRID=4326;POINT(1 2)"),
		}},
		{Type: "geometry", Kind: lienthong.Text, Values: []conntest.TypeValue{
			is("ST_GeomFromText('LINESTRING(0 0,1.5 1,2 2)')", "LINESTRING(0 0,1.5 1,2 2)"),
			is("ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 0),(1 1,2 1,2 2,1 1))')", "POLYGON((0 0,10 0,10 10,0 0),(1 1,2 1,2 2,1 1))"),
			is("ST_GeomFromText('MULTIPOINT(1 1,2 2)')", "MULTIPOINT((1 1),(2 2))"),
			is("ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))')", "MULTILINESTRING((0 0,1 1),(2 2,3 3))"),
			is("ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))')", "MULTIPOLYGON(((0 0,1 0,1 1,0 0)))"),
			is("ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))')", "GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))"),
		}},
	}
	return types
}

package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector/conntest"
)

// typed fills what the suite asks of an engine with types of its own.
func typed(h conntest.Harness, pool *pgxpool.Pool) conntest.Harness {
	h.Types = allTypes()
	prepared := false
	h.CreateTyped = func(ctx context.Context, name, sourceType string) (string, error) {
		if !prepared {
			prepared = true
			if _, err := pool.Exec(ctx, `
CREATE EXTENSION hstore; CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('vui', 'buồn', 'it''s');
CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN deep AS positive; CREATE DOMAIN words AS text[];
CREATE TYPE pair AS (a int, b text);
CREATE TYPE price_range AS RANGE (subtype = float8)`); err != nil {
				return "", err
			}
		}
		// Each table has names that need quotes.
		table := "public." + quote("Bảng "+name+` "x"`)
		_, err := pool.Exec(ctx, "CREATE TABLE "+table+" (id int PRIMARY KEY, value "+sourceType+")")
		return table, err
	}
	h.InsertTyped = func(ctx context.Context, table string, id int, literal string) error {
		_, err := pool.Exec(ctx, fmt.Sprintf("INSERT INTO %s VALUES (%d, %s)", table, id, literal))
		return err
	}
	h.Bulk = func(ctx context.Context, table *conntest.Table, first, count int) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO %s
SELECT lpad(g::text, greatest(6, length(g::text)), '0'), 'Nguyễn Văn ' || g, repeat('ghi chú ', 20), g FROM generate_series(%d, %d) g`,
				table.Name, first, first+count-1))
			return err
		})
	}
	return h
}

// binary leaves those types whose stream is binary when no other is in the publication.
func binary(all []conntest.TypeCase) []conntest.TypeCase {
	return slices.DeleteFunc(all, func(c conntest.TypeCase) bool {
		switch c.Type {
		case "char(5)", "varchar(10)", "text", "name", `"char"`, "time", "uuid", "json", "jsonb", "mood":
			return false
		}
		return c.Kind == lienthong.Text
	})
}

func has(literal, want string) conntest.TypeValue {
	return conntest.TypeValue{Literal: literal, Want: conntest.Has(want)}
}

// same is a value that is written and arrives in the same words.
func same(text string) conntest.TypeValue { return has(literal(lienthong.Text, text), text) }

// beyond is a value that the kind cannot say: it arrives as malformed with its text.
func beyond(literal, text string) conntest.TypeValue {
	return conntest.TypeValue{Literal: literal, Want: conntest.Cell{State: lienthong.Malformed, Text: text}}
}

func allTypes() []conntest.TypeCase {
	null := conntest.TypeValue{Literal: "NULL"}
	of := func(name string, kind lienthong.Kind, values ...conntest.TypeValue) conntest.TypeCase {
		return conntest.TypeCase{Type: name, Kind: kind, Values: append([]conntest.TypeValue{null}, values...)}
	}
	texts := func(name string, values ...string) conntest.TypeCase {
		c := of(name, lienthong.Text)
		for _, v := range values {
			c.Values = append(c.Values, same(v))
		}
		return c
	}
	digits := strings.Repeat("1234567890", 100)
	megabyte := strings.Repeat("đ", 1<<19)
	return []conntest.TypeCase{
		of("smallint", lienthong.Integer, same("0"), same("-32768"), same("32767")),
		of("integer", lienthong.Integer, same("-2147483648"), same("2147483647")),
		of("bigint", lienthong.Integer, same("-9223372036854775808"), same("9223372036854775807")),
		of("oid", lienthong.Integer, same("0"), same("4294967295")),
		of("numeric", lienthong.Decimal, same("0"), same("-0.000001"), same("1.500"), same("10000"), same("100000000.00"),
			same("NaN"), beyond("'Infinity'", "Infinity"), beyond("'-Infinity'", "-Infinity"),
			same(digits+"."+digits), same("-"+digits), same("0.0000000000000000000000000000000000000001")),
		of("numeric(1000,500)", lienthong.Decimal, same("-"+digits[:500]+"."+digits[:500]), has("'1.5'", "1.5"+strings.Repeat("0", 499))),
		of("real", lienthong.Real, same("0"), same("-1.5"), has("'3.4028235e38'", "3.4028234663852886e+38"), same("NaN"), has("'Infinity'", "+Inf"), has("'-Infinity'", "-Inf")),
		of("double precision", lienthong.Real, same("0.1"), same("5e-324"), same("-1.7976931348623157e+308"), same("NaN"), has("'Infinity'", "+Inf"), has("'-0'", "-0")),
		texts("money", "$0.00", "-$92,233,720,368,547,758.08", "$92,233,720,368,547,758.07"),
		texts("char(5)", "a    ", "     ", "đặc  "),
		texts("varchar(10)", "", "Đặng Văn Ớ", "  "),
		texts("text", "", "👩‍👩‍👧", "Nguye\u0302\u0303n", "\t\r\n\\'\"", megabyte),
		texts("citext", "", "Đỏ ĐEN"),
		texts("name", "", "pg_class"),
		texts(`"char"`, "a"),
		of("bytea", lienthong.Binary, has("''", ""), has(`'\x00ff5c27'`, "00ff5c27"), has("decode(repeat('00ff', 300000), 'hex')", strings.Repeat("00ff", 300000))),
		texts("bit(3)", "101", "000"),
		texts("bit varying", "", "1010101"),
		of("boolean", lienthong.Boolean, same("true"), same("false")),
		of("date", lienthong.Date, same("1970-01-01"), same("0001-01-01"), same("9999-12-31"), same("2024-02-29"),
			has("'0044-03-15 BC'", "-0043-03-15"), beyond("'infinity'", "infinity"), beyond("'-infinity'", "-infinity"), has("'5874897-12-31'", "5874897-12-31")),
		texts("time", "00:00:00", "23:59:59.999999", "24:00:00", "01:02:03.5"),
		texts("timetz", "00:00:00+00", "23:59:59.999999-07", "01:02:03+05:30"),
		of("timestamp", lienthong.Timestamp, has("'2025-07-01 07:00'", "2025-07-01T07:00:00.000000Z"), has("'1969-12-31 23:59:59.999999'", "1969-12-31T23:59:59.999999Z"),
			beyond("'infinity'", "infinity"), beyond("'-infinity'", "-infinity"), has("'0001-01-01 00:00:00 BC'", "0000-01-01T00:00:00.000000Z")),
		of("timestamptz", lienthong.Timestamp, has("'2025-07-01 07:00+07'", "2025-07-01T00:00:00.000000Z"), has("'2025-07-01 07:00:00.000001 America/New_York'", "2025-07-01T11:00:00.000001Z"),
			beyond("'infinity'", "infinity"), beyond("'-infinity'", "-infinity"), has("'4714-11-24 00:00:00+00 BC'", "-4713-11-24T00:00:00.000000Z"),
			beyond("'294276-12-31 23:59:59.999999+00'", "294276-12-31 23:59:59.999999")),
		texts("interval", "P1Y2M3DT4H5M6.789S", "PT0S", "P-1D", "P178000000Y"),
		texts("uuid", "00000000-0000-0000-0000-000000000000", "f47ac10b-58cc-4372-a567-0e02b2c3d479"),
		texts("json", `{"a": [1,  2, null], "đ": "\u0111"}`, "null", "[]"),
		has2(texts("jsonb", "null", "{}", `{"a": [1, 2.50, "đ"], "b": {"c": null}}`), has(`'{"b":1,"a":1e2}'`, `{"a": 100, "b": 1}`)),
		texts("xml", "<a>đ</a>", "<b/>"),
		texts("integer[]", "{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "[0:1]={1,2}"),
		texts("text[]", "{}", `{a,"b c","",NULL,"NULL","\"\\"}`),
		texts("timestamptz[]", `{"2025-07-01 00:00:00+00",infinity}`),
		texts("words", "{a,b}"),
		texts("int4range", "empty", "[1,5)", "(,)", "[1,)"),
		texts("tstzrange", `["2025-07-01 00:00:00+00",infinity)`, "empty"),
		texts("numrange", "[1.50,2.5]"),
		texts("int4multirange", "{}", "{[1,3),[5,7)}"),
		texts("price_range", "[1.5,2)"),
		texts("mood", "vui", "buồn", "it's"),
		of("positive", lienthong.Integer, same("1"), same("2147483647")),
		of("deep", lienthong.Integer, same("7")),
		texts("pair", "(,)", `(1,"a b")`, `(-5,"")`),
		has2(texts("hstore", ""), has(`'a=>1, b=>NULL'`, `"a"=>"1", "b"=>NULL`)),
		texts("tsvector", "", "'an':2 'bình':1"),
		texts("tsquery", "'a' & !'b'"),
		texts("inet", "10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"),
		texts("cidr", "10.0.0.0/8", "::/0"),
		texts("macaddr", "08:00:2b:01:02:03"),
		texts("macaddr8", "08:00:2b:01:02:03:04:05"),
		texts("point", "(1.5,-2)", "(Infinity,NaN)"),
		texts("line", "{1,-1,0}"),
		texts("lseg", "[(0,0),(1,1)]"),
		texts("box", "(1,1),(0,0)"),
		texts("path", "((0,0),(1,1))", "[(0,0),(1,1)]"),
		texts("polygon", "((0,0),(1,1),(1,0))"),
		texts("circle", "<(0,0),5>"),
		texts("pg_lsn", "0/0", "FFFFFFFF/FFFFFFFF"),
		texts("regclass", "pg_class"),
	}
}

func has2(c conntest.TypeCase, more ...conntest.TypeValue) conntest.TypeCase {
	c.Values = append(c.Values, more...)
	return c
}

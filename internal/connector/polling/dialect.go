package polling

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// Dialect says how an engine is spoken to. It is data and small pure functions; a function that
// is nil does what standard SQL does. The engines that we know have one each, see Generic,
// SQLite, PostgreSQL, MySQL, SQLServer and Oracle.
type Dialect struct {
	// Name is short and stable: "postgres".
	Name string
	// Quote writes an identifier. Default: between double quotes.
	Quote func(name string) string
	// Placeholder stands for the n-th argument, counted from 1, where it is compared with the
	// column. Default "?".
	Placeholder func(n int, c *lienthong.Column) string
	// Select reads a column whose quoted name is given, where the driver's own form is not good enough.
	Select func(quoted string, c *lienthong.Column) string
	// Argument is what the driver is given for a value that is compared with the column.
	Argument func(v lienthong.Value, c *lienthong.Column) any
	// Convert prepares what the driver returned: forms that only this engine has.
	Convert func(raw any, c *lienthong.Column) any
	// Kind of a column by its type in the engine's words.
	Kind func(sourceType string) lienthong.Kind
	// Catalog is a query for columns, of one table or of all (both names empty). Its rows are:
	// schema (empty where names need none), table, 'table' or a word for what else it
	// is, column, type, 1 if nullable, the place in the primary key from 1 or 0, and the
	// estimated rows or -1; in the order of schema, table, place of the column.
	Catalog func(schema, table string) (query string, args []any)
	// Begin and End are the statements around the reading of one table that make all of it
	// show one moment. Empty: each statement sees what is there when it runs.
	Begin, End []string
	// AsOf makes what stands behind the name of a table so that it is read as of one moment,
	// and a word for that moment. Nil: the engine cannot.
	AsOf func(ctx context.Context, conn *sql.Conn) (suffix, token string, err error)
	// Ceiling is a query for one whole number above which the mark of a monotonic column must
	// not rise, because rows below it may still appear: the clock in microseconds for
	// times, the oldest open transaction for numbers. Empty: there is none.
	Ceiling func(c *lienthong.Column) string
	// Pseudo are columns that every table has and no catalog lists, and that hold the moment of a row's last
	// commit, or a later one. They can be monotonic. Their mark is the Ceiling as of before
	// the reading; they are only compared, in statements without AsOf, and need no overlap.
	Pseudo []lienthong.Column
	// Version is a query for the engine's name and version as one text.
	Version string
	// Grant is what a DBA runs so that the table can be read.
	Grant func(from string) string
	// Explain turns errors of the engine into ones that a person can act on. Others pass.
	Explain func(err error) error
	// Again tells errors that go away when the reading begins anew, such as an undo log
	// that no longer reaches back to the moment that is read.
	Again func(err error) bool
}

func (d *Dialect) quote(name string) string {
	if d.Quote != nil {
		return d.Quote(name)
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (d *Dialect) placeholder(n int, c *lienthong.Column) string {
	if d.Placeholder != nil {
		return d.Placeholder(n, c)
	}
	return "?"
}

func (d *Dialect) column(c *lienthong.Column) string {
	quoted := d.quote(c.Name)
	if d.Select != nil {
		return d.Select(quoted, c)
	}
	return quoted
}

func (d *Dialect) isPseudo(c *lienthong.Column) bool {
	return c != nil && slices.ContainsFunc(d.Pseudo, func(p lienthong.Column) bool { return p.Name == c.Name })
}

// plain is the column where it is compared or ordered by.
func (d *Dialect) plain(c *lienthong.Column) string {
	if d.isPseudo(c) {
		return c.Name
	}
	return d.quote(c.Name)
}

func (d *Dialect) argument(v lienthong.Value, c *lienthong.Column) any {
	if v.State != lienthong.Present {
		return nil
	}
	if d.Argument != nil {
		return d.Argument(v, c)
	}
	return Argument(v, c.Kind)
}

func (d *Dialect) ceiling(c *lienthong.Column) string {
	if d.Ceiling == nil {
		return ""
	}
	return d.Ceiling(c)
}

func (d *Dialect) again(err error) bool { return d.Again != nil && d.Again(err) }

func (d *Dialect) explain(err error) error {
	var coded *lienthong.Error
	if err == nil || d.Explain == nil || errors.As(err, &coded) {
		return err
	}
	return d.Explain(err)
}

func (d *Dialect) grant(from string) string {
	if d.Grant != nil {
		return d.Grant(from)
	}
	return "GRANT SELECT ON " + from + " TO lienthong_reader;"
}

func (d *Dialect) from(schema, table string) string {
	if schema == "" {
		return d.quote(table)
	}
	return d.quote(schema) + "." + d.quote(table)
}

// Argument is the value as database/sql takes it.
func Argument(v lienthong.Value, kind lienthong.Kind) any {
	switch kind {
	case lienthong.Integer:
		return v.Int
	case lienthong.Real:
		return real64(v.Int)
	case lienthong.Boolean:
		return v.Int != 0
	case lienthong.Date:
		return time.Unix(v.Int*86400, 0).UTC()
	case lienthong.Timestamp:
		return time.UnixMicro(v.Int).UTC()
	case lienthong.Binary:
		return append([]byte(nil), v.Bytes...)
	case lienthong.Text, lienthong.Decimal:
	}
	return string(v.Bytes)
}

// textTime writes dates and times as ISO text with a space, which compares as the time does.
func textTime(v lienthong.Value, c *lienthong.Column) any {
	switch c.Kind {
	case lienthong.Date:
		return time.Unix(v.Int*86400, 0).UTC().Format(time.DateOnly)
	case lienthong.Timestamp:
		return time.UnixMicro(v.Int).UTC().Format("2006-01-02 15:04:05.999999")
	case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean, lienthong.Binary:
	}
	return Argument(v, c.Kind)
}

// kindByWord finds the first word that the lower-case type begins with.
func kindByWord(sourceType string, words [][2]string) (string, bool) {
	name := strings.ToLower(strings.TrimSpace(sourceType))
	for _, w := range words {
		if strings.HasPrefix(name, w[0]) {
			return w[1], true
		}
	}
	return "", false
}

func kindNamed(name string) lienthong.Kind {
	var kind lienthong.Kind
	if err := kind.UnmarshalText([]byte(name)); err != nil {
		return lienthong.Text
	}
	return kind
}

// standardKind knows the type names of standard SQL.
func standardKind(sourceType string) lienthong.Kind {
	name, _ := kindByWord(sourceType, [][2]string{
		{"bool", "boolean"},
		{"timestamp", "timestamp"},
		{"datetime", "timestamp"},
		{"date", "date"},
		{"interval", "text"},
		{"int", "integer"},
		{"smallint", "integer"},
		{"bigint", "integer"},
		{"tinyint", "integer"},
		{"serial", "integer"},
		{"bigserial", "integer"},
		{"numeric", "decimal"},
		{"decimal", "decimal"},
		{"money", "decimal"},
		{"real", "real"},
		{"float", "real"},
		{"double", "real"},
		{"binary", "binary"},
		{"varbinary", "binary"},
		{"blob", "binary"},
		{"bytea", "binary"},
	})
	return kindNamed(name)
}

const informationSchema = `SELECT c.table_schema, c.table_name,
 CASE WHEN t.table_type = 'BASE TABLE' THEN 'table' ELSE 'view' END,
 c.column_name, c.data_type, CASE WHEN c.is_nullable = 'NO' THEN 0 ELSE 1 END,
 COALESCE(k.ordinal_position, 0), -1
FROM information_schema.columns c
JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
LEFT JOIN (SELECT u.table_schema, u.table_name, u.column_name, u.ordinal_position
 FROM information_schema.table_constraints p
 JOIN information_schema.key_column_usage u ON u.constraint_schema = p.constraint_schema
  AND u.constraint_name = p.constraint_name AND u.table_schema = p.table_schema AND u.table_name = p.table_name
 WHERE p.constraint_type = 'PRIMARY KEY') k
 ON k.table_schema = c.table_schema AND k.table_name = c.table_name AND k.column_name = c.column_name
WHERE c.table_schema NOT IN ('information_schema', 'pg_catalog', 'sys', 'INFORMATION_SCHEMA')`

// Generic is standard SQL with an information schema and "?" for arguments. It
// has no snapshot: what a sweep misses is asked for again before it counts as deleted.
func Generic() Dialect {
	return Dialect{
		Name: "generic",
		Kind: standardKind,
		Catalog: func(schema, table string) (string, []any) {
			if table == "" {
				return informationSchema + "\nORDER BY c.table_schema, c.table_name, c.ordinal_position", nil
			}
			return informationSchema + " AND c.table_schema = ? AND c.table_name = ?\nORDER BY c.table_schema, c.table_name, c.ordinal_position", []any{schema, table}
		},
	}
}

// SQLite reads a SQLite database without touching it, which package sqlite cannot.
func SQLite() Dialect {
	const catalog = `SELECT '', m.name, m.type, p.name, p.type, p."notnull" = 0 AND p.pk = 0, p.pk, -1
FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) p
WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND m.name NOT LIKE '\_lienthong\_%' ESCAPE '\' AND p.hidden <> 1`
	return Dialect{
		Name:     "sqlite",
		Begin:    []string{"BEGIN"},
		End:      []string{"ROLLBACK"},
		Version:  "SELECT 'SQLite ' || sqlite_version()",
		Argument: textTime,
		// Drivers turn columns that are declared as times into times of their own; an expression they leave alone.
		Select: func(quoted string, _ *lienthong.Column) string { return "+" + quoted },
		Ceiling: func(c *lienthong.Column) string {
			if c.Kind == lienthong.Timestamp {
				return "SELECT max(unixepoch('now'), unixepoch('now', 'localtime')) * 1000000 + 999999"
			}
			return ""
		},
		Kind: func(sourceType string) lienthong.Kind {
			if name := strings.ToLower(sourceType); strings.Contains(name, "int") && !strings.Contains(name, "interval") && !strings.Contains(name, "point") {
				return lienthong.Integer
			}
			return standardKind(sourceType)
		},
		Catalog: func(_, table string) (string, []any) {
			if table == "" {
				return catalog + "\nORDER BY m.name, p.cid", nil
			}
			return catalog + " AND m.name = ?\nORDER BY m.name, p.cid", []any{table}
		},
	}
}

// PostgreSQL is for servers where logical replication is not to be had.
func PostgreSQL() Dialect {
	const catalog = `SELECT n.nspname, c.relname,
 CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'f' THEN 'foreign_table' ELSE 'view' END,
 a.attname,
 CASE WHEN y.typtype = 'd' THEN format_type(y.typbasetype, y.typtypmod) ELSE format_type(a.atttypid, a.atttypmod) END,
 CASE WHEN a.attnotnull THEN 0 ELSE 1 END,
 COALESCE(array_position(i.indkey::int2[], a.attnum) + 1, 0),
 c.reltuples::bigint
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
 AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp%'`
	return Dialect{
		Name:    "postgres",
		Begin:   []string{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"},
		End:     []string{"ROLLBACK"},
		Version: "SELECT 'PostgreSQL ' || current_setting('server_version')",
		Placeholder: func(n int, c *lienthong.Column) string {
			return fmt.Sprintf("CAST($%d AS %s)", n, c.SourceType)
		},
		Argument: func(v lienthong.Value, c *lienthong.Column) any {
			text, _ := textTime(v, c).(string)
			switch c.Kind {
			case lienthong.Timestamp:
				if strings.Contains(c.SourceType, "with time zone") {
					text += "+00"
				}
				return text
			case lienthong.Date:
				return text
			case lienthong.Integer, lienthong.Real:
				return string(v.AppendText(nil, c.Kind))
			case lienthong.Text, lienthong.Decimal, lienthong.Boolean, lienthong.Binary:
			}
			return Argument(v, c.Kind)
		},
		Select: func(quoted string, c *lienthong.Column) string {
			switch c.Kind {
			case lienthong.Boolean, lienthong.Binary, lienthong.Integer, lienthong.Date, lienthong.Timestamp:
				return quoted
			case lienthong.Text, lienthong.Decimal, lienthong.Real:
			}
			return quoted + "::text"
		},
		Ceiling: func(c *lienthong.Column) string {
			switch {
			case c.Kind != lienthong.Timestamp:
				return ""
			case strings.Contains(c.SourceType, "with time zone"):
				return "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
			}
			return "SELECT (extract(epoch FROM greatest(localtimestamp, clock_timestamp() AT TIME ZONE 'UTC')) * 1000000)::bigint"
		},
		Kind: func(sourceType string) lienthong.Kind {
			if strings.HasSuffix(sourceType, "[]") || strings.HasPrefix(sourceType, "money") {
				return lienthong.Text
			}
			// Geometry, ranges and intervals share first letters with numbers.
			switch name, _, _ := strings.Cut(sourceType, "("); strings.TrimSpace(name) {
			case "boolean":
				return lienthong.Boolean
			case "smallint", "integer", "bigint":
				return lienthong.Integer
			case "numeric":
				return lienthong.Decimal
			case "real", "double precision":
				return lienthong.Real
			case "date":
				return lienthong.Date
			case "timestamp", "timestamp without time zone", "timestamp with time zone":
				return lienthong.Timestamp
			case "bytea":
				return lienthong.Binary
			}
			return lienthong.Text
		},
		Catalog: func(schema, table string) (string, []any) {
			if table == "" {
				return catalog + "\nORDER BY n.nspname, c.relname, a.attnum", nil
			}
			return catalog + " AND n.nspname = $1 AND c.relname = $2\nORDER BY n.nspname, c.relname, a.attnum", []any{schema, table}
		},
	}
}

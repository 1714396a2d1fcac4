package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// table is a table with what the contract does not show.
type table struct {
	connector.Table
	oid         uint32
	schema      string
	name        string
	partitioned bool
	whole       bool     // REPLICA IDENTITY FULL: old rows arrive whole
	owned       bool     // by the account
	hidden      bool     // a policy hides rows from the account
	columns     []column // beside Columns
}

type column struct {
	oid     uint32 // the type as declared, which Relation messages repeat
	typmod  int32
	codec   codec
	notNull bool
	attnum  int16
}

// foreign reports whether a column's type can only be read as text.
func (t *table) foreign() bool {
	return slices.ContainsFunc(t.columns, func(c column) bool { return c.codec == codecForeign })
}

// expression selects a column so that its binary COPY form is one we read.
// concat writes a value with its type's output function, as the stream does; a
// cast to text would not (inet gains a mask).
func (t *table) expression(i int) string {
	name := pgx.Identifier{t.Columns[i].Name}.Sanitize()
	if t.columns[i].codec != codecForeign {
		return name
	}
	return "CASE WHEN " + name + " IS DISTINCT FROM NULL THEN pg_catalog.concat(" + name + ") END"
}

const tablesQuery = `
SELECT c.oid, n.nspname::text, c.relname::text,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind = 'p',
       CASE WHEN c.relkind = 'p' THEN COALESCE((
                SELECT sum(l.reltuples) FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid
                WHERE p.isleaf AND l.reltuples >= 0), -1)
            ELSE c.reltuples END::bigint,
       COALESCE((
           SELECT i.indkey::int2[] FROM pg_index i
           WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
             AND i.indpred IS NULL AND i.indexprs IS NULL
             AND CASE c.relreplident
                 WHEN 'd' THEN i.indisprimary
                 WHEN 'i' THEN i.indisreplident
                 WHEN 'f' THEN NOT EXISTS (
                     SELECT FROM pg_attribute k
                     WHERE k.attrelid = c.oid AND k.attnum = ANY (i.indkey::int2[]) AND NOT k.attnotnull)
                 ELSE false END
           ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1), '{}'),
       COALESCE((
           SELECT i.indnkeyatts FROM pg_index i
           WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
             AND i.indpred IS NULL AND i.indexprs IS NULL
             AND CASE c.relreplident
                 WHEN 'd' THEN i.indisprimary
                 WHEN 'i' THEN i.indisreplident
                 WHEN 'f' THEN NOT EXISTS (
                     SELECT FROM pg_attribute k
                     WHERE k.attrelid = c.oid AND k.attnum = ANY (i.indkey::int2[]) AND NOT k.attnotnull)
                 ELSE false END
           ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1), 0)::int4,
       c.relreplident = 'f', pg_has_role(c.relowner, 'USAGE'), c.relrowsecurity AND row_security_active(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
  AND has_table_privilege(c.oid, 'SELECT')
ORDER BY 4`

// Generated columns are left out: the stream does not carry them. Domains and
// enumerations are resolved to what their bytes are.
const columnsQuery = `
WITH RECURSIVE base (oid, at, is_enum) AS (
    SELECT t.oid, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, t.typtype = 'e' FROM pg_type t
  UNION
    SELECT b.oid, t.typbasetype, false FROM base b JOIN pg_type t ON t.oid = b.at WHERE t.typtype = 'd')
SELECT a.attrelid, a.attname::text, a.attnum, a.attnotnull, a.atttypid, a.atttypmod,
       format_type(a.atttypid, a.atttypmod), t.oid, t.typtype = 'e'
FROM pg_attribute a
JOIN base b ON b.oid = a.atttypid
JOIN pg_type t ON t.oid = b.at AND t.typtype <> 'd'
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attrelid, a.attnum`

// catalog reads every table that the account may read.
func catalog(ctx context.Context, conn *pgx.Conn) ([]*table, error) {
	rows, err := conn.Query(ctx, tablesQuery)
	if err != nil {
		return nil, err
	}
	var tables []*table
	var keys [][]int16
	var oids []uint32
	byOID := map[uint32]int{}
	for rows.Next() {
		t := &table{}
		var key []int16
		var width int
		if err := rows.Scan(&t.oid, &t.schema, &t.name, &t.Name, &t.partitioned, &t.EstimatedRows, &key, &width,
			&t.whole, &t.owned, &t.hidden); err != nil {
			rows.Close()
			return nil, err
		}
		byOID[t.oid] = len(tables)
		tables = append(tables, t)
		keys = append(keys, key[:min(width, len(key))])
		oids = append(oids, t.oid)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows, err = conn.Query(ctx, columnsQuery, oids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var relation, base uint32
		var isEnum bool
		var c column
		var shown lienthong.Column
		err := rows.Scan(&relation, &shown.Name, &c.attnum, &c.notNull, &c.oid, &c.typmod, &shown.SourceType, &base, &isEnum)
		if err != nil {
			return nil, err
		}
		c.codec = codecOf(base)
		if isEnum {
			c.codec = codecText
		}
		shown.Kind, shown.Nullable = c.codec.kind(), !c.notNull
		t := tables[byOID[relation]]
		t.columns = append(t.columns, c)
		t.Columns = append(t.Columns, shown)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for n, t := range tables {
		for _, attnum := range keys[n] {
			at := slices.IndexFunc(t.columns, func(c column) bool { return c.attnum == attnum })
			if at < 0 { // a generated column: the stream cannot name the row
				t.Key = nil
				break
			}
			t.Key = append(t.Key, at)
		}
		slices.Sort(t.Key)
		if len(t.Key) == 0 && t.whole {
			// The owner has asked for whole old rows: then the row itself is its name.
			for i := range t.columns {
				t.Key = append(t.Key, i)
			}
		}
	}
	return tables, nil
}

// Tables lists ordinary and partitioned tables that the account may read.
// Unlogged and temporary tables are not replicated and not listed; a table
// without a replica identity that names its rows has an empty Key.
func (s *Source) Tables(ctx context.Context) ([]connector.Table, error) {
	var listed []connector.Table
	err := s.with(ctx, func(conn *pgx.Conn) error {
		tables, err := catalog(ctx, conn)
		for _, t := range tables {
			listed = append(listed, t.Table)
		}
		return err
	})
	return listed, err
}

// choose finds the named tables and refuses all that cannot be read, at once.
func choose(all []*table, names []string) ([]*table, error) {
	chosen := make([]*table, 0, len(names))
	var missing, keyless []string
	for _, name := range names {
		at := slices.IndexFunc(all, func(t *table) bool { return t.Name == name })
		switch {
		case at < 0:
			missing = append(missing, name)
		case len(all[at].Key) == 0:
			keyless = append(keyless, name)
		default:
			chosen = append(chosen, all[at])
		}
	}
	if len(missing) > 0 {
		return nil, &lienthong.Error{
			Code: "postgres.table_missing", Where: strings.Join(missing, ", "),
			Vi: "không thấy bảng, hoặc tài khoản không được đọc", En: "no such table, or the account may not read it",
			Hint: fmt.Sprintf("viết schema.bảng; GRANT SELECT ON %s TO tài_khoản / write schema.table; grant SELECT", missing[0]),
		}
	}
	if len(keyless) > 0 {
		return nil, &lienthong.Error{
			Code: "postgres.no_key", Where: strings.Join(keyless, ", "),
			Vi: "bảng không có khóa để nhận ra từng bản ghi", En: "the table has no key that tells its rows apart",
			Hint: fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (…), hoặc / or REPLICA IDENTITY USING INDEX …", keyless[0]),
		}
	}
	if len(chosen) == 0 {
		return nil, &lienthong.Error{
			Code: "postgres.no_tables",
			Vi:   "không có bảng nào để đọc", En: "no table to read", Hint: "nêu ít nhất một bảng / name at least one table",
		}
	}
	return chosen, nil
}

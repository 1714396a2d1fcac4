package mysql

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// querier is what runs statements: a pool, or one connection of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// each calls use for every row of a query.
func each(ctx context.Context, db querier, query string, use func(*sql.Rows) error, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := use(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// described is a table as information_schema has it.
type described struct {
	Schema   string   `json:"schema"`
	Name     string   `json:"name"`
	Kind     string   `json:"-"` // BASE TABLE, VIEW, SYSTEM VERSIONED, SEQUENCE
	Engine   string   `json:"-"`
	Rows     int64    `json:"-"`
	Facts    []fact   `json:"columns"`
	Key      []string `json:"key"` // names of the columns that name a row
	NoKeyFor string   `json:"-"`   // why a key that is there does not serve
}

// spelled is the table's name as Tables lists it.
func (d *described) spelled() string { return spell(d.Schema) + "." + spell(d.Name) }

// quoted is the name in statements of ours.
func (d *described) quoted() string { return quote(d.Schema) + "." + quote(d.Name) }

func (d *described) same(other *described) bool {
	return d.Schema == other.Schema && d.Name == other.Name && slices.Equal(d.Facts, other.Facts) && slices.Equal(d.Key, other.Key)
}

// layout is the columns of a table, as they are in one stretch of the binary log.
type layout struct {
	connector.Table
	quoted  string
	columns []column // all of them, in the order of the log
	isKey   []bool   // of the visible columns
}

// finish makes what is derived: the visible columns and the key among them.
func (l *layout) finish(key []string) {
	l.Columns, l.Key = nil, nil
	for i := range l.columns {
		if l.columns[i].slot < 0 {
			continue
		}
		l.columns[i].slot = len(l.Columns)
		l.Columns = append(l.Columns, l.columns[i].Column)
	}
	l.isKey = make([]bool, len(l.Columns))
	for _, name := range key {
		at := slices.IndexFunc(l.Columns, func(c lienthong.Column) bool { return strings.EqualFold(c.Name, name) })
		if at < 0 {
			clear(l.isKey)
			l.Key = nil
			return
		}
		l.Key = append(l.Key, at)
		l.isKey[at] = true
	}
}

// same reports whether a sink that knows one layout need not be told of the other.
func (l *layout) same(other *layout) bool {
	return slices.Equal(l.Key, other.Key) && slices.EqualFunc(l.Columns, other.Columns, func(a, b lienthong.Column) bool {
		return a.Name == b.Name && a.Kind == b.Kind
	})
}

// visible is the column in a place of the table.
func (l *layout) visible(slot int) *column {
	for i := range l.columns {
		if l.columns[i].slot == slot {
			return &l.columns[i]
		}
	}
	return nil
}

// layoutOf is the layout that information_schema tells of.
func (d *described) layoutOf(sets *charsets) *layout {
	l := &layout{Table: connector.Table{Name: d.spelled(), EstimatedRows: d.Rows}, quoted: d.quoted()}
	for i := range d.Facts {
		c := d.Facts[i].describe(sets)
		if d.Facts[i].Computed || d.Facts[i].Packed {
			c.slot = -1
		}
		l.columns = append(l.columns, c)
	}
	l.finish(d.Key)
	return l
}

// layoutIn is the layout of a table in the binary log. known is what information_schema
// said of it at about that place; nil when nothing is known. The log's own words come first:
// known tells only what the log leaves out, where its type fits.
func (m *tableMap) layoutIn(known *described, sets *charsets) (*layout, error) {
	l := &layout{Table: connector.Table{EstimatedRows: -1}}
	if known == nil && !m.named {
		return nil, errUnknownLayout
	}
	if known != nil {
		l.Name, l.quoted = known.spelled(), known.quoted()
	} else {
		d := described{Schema: string(m.schema), Name: string(m.name)}
		l.Name, l.quoted = d.spelled(), d.quoted()
	}
	if !m.named && len(known.Facts) != len(m.columns) {
		return nil, errUnknownLayout
	}
	for i := range m.columns {
		w := &m.columns[i]
		var f *fact
		if m.named && known != nil {
			if at := slices.IndexFunc(known.Facts, func(f fact) bool { return f.Name == w.name }); at >= 0 {
				f = &known.Facts[at]
			}
		} else if !m.named {
			f = &known.Facts[i]
		}
		fits := f != nil && f.fits(w)
		if !m.named && !fits {
			return nil, errUnknownLayout
		}
		var c column
		if fits {
			c = f.describe(sets)
			c.wire, c.meta, c.Nullable = w.kind, w.meta, w.nullable
			if m.signs && w.numeric() && w.unsigned != c.unsigned {
				c = w.describe(sets)
				c.Name = f.Name
			}
			if m.sets && c.codec == codecText && w.collation != 0 {
				c.charset = sets.collated(w.collation)
			}
			if len(w.labels) > 0 {
				c.labels = w.decodeLabels(sets)
			}
		} else {
			c = w.describe(sets)
		}
		if f != nil && f.Computed || w.kind == typeBlobPacked || w.kind == typeVarcharPacked {
			c.slot = -1
		}
		l.columns = append(l.columns, c)
	}
	l.finish(m.keyNames(known))
	return l, nil
}

// keyNames are the columns that name a row: the log's primary key, else what was known.
func (m *tableMap) keyNames(known *described) []string {
	if m.named && len(m.key) > 0 {
		names := make([]string, len(m.key))
		for i, at := range m.key {
			names[i] = m.columns[at].name
		}
		return names
	}
	if known != nil {
		return known.Key
	}
	return nil
}

// describe reads tables from information_schema: all that the account can see of the
// database, or of all databases when none is named; or one table.
func describe(ctx context.Context, db querier, schema, table string) ([]*described, error) {
	where, args := " NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')", []any(nil)
	if schema != "" {
		where, args = " = ?", []any{schema}
	}
	if table != "" {
		where += " AND TABLE_NAME = ?"
		args = append(args, table)
	}
	var found []*described
	index := map[[2]string]*described{}
	err := each(ctx, db, `SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, ''), COALESCE(TABLE_ROWS, -1)
FROM information_schema.TABLES WHERE TABLE_SCHEMA`+where+` ORDER BY TABLE_SCHEMA, TABLE_NAME`, func(row *sql.Rows) error {
		d := &described{}
		if err := row.Scan(&d.Schema, &d.Name, &d.Kind, &d.Engine, &d.Rows); err != nil {
			return err
		}
		found = append(found, d)
		index[[2]string{d.Schema, d.Name}] = d
		return nil
	}, args...)
	if err != nil {
		return nil, err
	}
	err = each(ctx, db, `SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, LOWER(DATA_TYPE), COLUMN_TYPE, COALESCE(CHARACTER_SET_NAME, ''),
IS_NULLABLE = 'YES', COALESCE(NUMERIC_PRECISION, 0), COALESCE(NUMERIC_SCALE, 0), COALESCE(DATETIME_PRECISION, 0),
COALESCE(CHARACTER_OCTET_LENGTH, 0), EXTRA
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA`+where+` ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION`, func(row *sql.Rows) error {
		var schema, table, extra string
		var f fact
		if err := row.Scan(&schema, &table, &f.Name, &f.Type, &f.Source, &f.Charset, &f.Nullable, &f.Precision, &f.Scale,
			&f.Fraction, &f.Octets, &extra); err != nil {
			return err
		}
		extra = strings.ToUpper(extra)
		f.Computed = strings.Contains(extra, "VIRTUAL GENERATED") || strings.Contains(extra, "STORED GENERATED") ||
			strings.Contains(extra, "PERSISTENT")
		f.Packed = strings.Contains(f.Source, "COMPRESSED")
		if d := index[[2]string{schema, table}]; d != nil {
			d.Facts = append(d.Facts, f)
		}
		return nil
	}, args...)
	if err != nil {
		return nil, err
	}
	return found, readKeys(ctx, db, index, where, args)
}

// uniqueIndex is an index that could name rows.
type uniqueIndex struct {
	name    string
	columns []string
	partial bool // over part of a column, or over an expression
}

// readKeys finds what names a row: the primary key, or else the first unique index over
// columns that are never null.
func readKeys(ctx context.Context, db querier, tables map[[2]string]*described, where string, args []any) error {
	indexes := map[*described][]*uniqueIndex{}
	err := each(ctx, db, `SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COALESCE(COLUMN_NAME, ''), SUB_PART IS NOT NULL
FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND TABLE_SCHEMA`+where+`
ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX`, func(row *sql.Rows) error {
		var schema, table, index, name string
		var part bool
		if err := row.Scan(&schema, &table, &index, &name, &part); err != nil {
			return err
		}
		d := tables[[2]string{schema, table}]
		if d == nil {
			return nil
		}
		list := indexes[d]
		if len(list) == 0 || list[len(list)-1].name != index {
			list = append(list, &uniqueIndex{name: index})
			indexes[d] = list
		}
		last := list[len(list)-1]
		last.columns = append(last.columns, name)
		last.partial = last.partial || part || name == ""
		return nil
	}, args...)
	if err != nil {
		return err
	}
	for d, list := range indexes {
		for _, index := range list {
			if d.serves(index) {
				d.Key = index.columns
				break
			}
		}
	}
	return nil
}

// serves reports whether an index names every row, by columns that we read.
func (d *described) serves(index *uniqueIndex) bool {
	if index.partial {
		return false
	}
	for _, name := range index.columns {
		at := slices.IndexFunc(d.Facts, func(f fact) bool { return f.Name == name })
		if at < 0 || d.Facts[at].Nullable || d.Facts[at].Computed || d.Facts[at].Packed {
			return false
		}
	}
	return true
}

// transactional reports whether a snapshot shows the table as it was.
func (d *described) transactional() bool {
	switch strings.ToLower(d.Engine) {
	case "innodb", "xtradb", "rocksdb", "tokudb", "ndbcluster":
		return true
	}
	return false
}

// readable reports whether the table can be a source, and else why not.
func (d *described) readable() (reason connector.LeftOut, ok bool) {
	reason.Name = d.spelled()
	switch {
	case strings.Contains(d.Kind, "VIEW"):
		reason.Code, reason.Vi, reason.En = "view", "là khung nhìn, không có dữ liệu riêng", "a view has no data of its own"
	case d.Kind == "SEQUENCE":
		reason.Code, reason.Vi, reason.En = "sequence", "là bộ đếm, không có bản ghi", "a sequence has no records"
	case d.Kind == "SYSTEM VERSIONED":
		reason.Code, reason.Vi, reason.En = "system_versioned", "bảng có lịch sử hệ thống: nhật ký ghi cả bản ghi cũ", "a system-versioned table: the log has its old rows too"
	case !d.transactional():
		reason.Code = "engine"
		reason.Vi = "bảng dùng " + d.Engine + ", không có giao dịch nên không chụp được nhất quán; chạy: ALTER TABLE " + d.quoted() + " ENGINE=InnoDB;"
		reason.En = "the table is kept by " + d.Engine + ", without transactions, and cannot be shown at one moment; run: ALTER TABLE " + d.quoted() + " ENGINE=InnoDB;"
	default:
		return connector.LeftOut{}, true
	}
	return reason, false
}

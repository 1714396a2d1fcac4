package sqlserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/polling"
)

// table is one that is captured.
type table struct {
	index int
	name  string
	since lsn // changes above it are wanted
	live  *described
}

// described is a table as the catalog has it.
type described struct {
	name, schema, plain string
	columns             []lienthong.Column
	key                 []int
	estimate            int64
}

func (d *described) from() string { return quote(d.schema) + "." + quote(d.plain) }

func (d *described) table() connector.Table {
	return connector.Table{Name: d.name, Columns: slices.Clone(d.columns), Key: slices.Clone(d.key), EstimatedRows: d.estimate}
}

func quote(name string) string { return "[" + strings.ReplaceAll(name, "]", "]]") + "]" }

// instance is a capture instance: a change table with the columns that it had when it was made.
type instance struct {
	table    string
	name     string
	start    lsn            // it has changes from here on
	low      lsn            // what the cleanup job has left begins here
	captured map[string]int // place of each column, from 1; nil until it was asked for
}

// capture is the state of change data capture at one moment.
type capture struct {
	max       lsn // the capture job has finished up to here
	instances []*instance
}

// of are the instances of a table, the older first.
func (c *capture) of(table string) []*instance {
	var found []*instance
	for _, i := range c.instances {
		if i.table == table {
			found = append(found, i)
		}
	}
	return found
}

const captureQuery = `SELECT s.name, o.name, t.capture_instance, t.start_lsn, sys.fn_cdc_get_min_lsn(t.capture_instance), sys.fn_cdc_get_max_lsn()
FROM cdc.change_tables t
JOIN sys.objects o ON o.object_id = t.source_object_id
JOIN sys.schemas s ON s.schema_id = o.schema_id
ORDER BY s.name, o.name, t.start_lsn`

// capturing asks for the instances and how far each of them reaches.
func (s *Source) capturing(ctx context.Context) (*capture, error) {
	rows, err := s.db.QueryContext(ctx, captureQuery)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	c := &capture{}
	for rows.Next() {
		var schema, name string
		var start, low, highest []byte
		i := &instance{}
		if err := rows.Scan(&schema, &name, &i.name, &start, &low, &highest); err != nil {
			return nil, err
		}
		i.table = schema + "." + name
		for _, pair := range []struct {
			raw  []byte
			into *lsn
		}{{start, &i.start}, {low, &i.low}, {highest, &c.max}} {
			if *pair.into, err = lsnOf(pair.raw); err != nil {
				return nil, err
			}
		}
		if i.low.zero() {
			return nil, &lienthong.Error{
				Code: "sqlserver.denied", Where: i.table,
				Vi: "tài khoản không được dùng phiên bản CDC của bảng", En: "the account may not use the table's capture instance",
				Hint: "thêm tài khoản vào vai trò @role_name của phiên bản, và GRANT SELECT trên bảng / add the account to the instance's @role_name and GRANT SELECT on the table",
			}
		}
		c.instances = append(c.instances, i)
	}
	return c, rows.Err()
}

const capturedQuery = `SELECT c.column_name, c.column_ordinal FROM cdc.captured_columns c
JOIN cdc.change_tables t ON t.object_id = c.object_id WHERE t.capture_instance = @p1 ORDER BY c.column_ordinal`

// detail asks which columns an instance has.
func (s *Source) detail(ctx context.Context, i *instance) error {
	rows, err := s.db.QueryContext(ctx, capturedQuery, i.name)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	i.captured = map[string]int{}
	for rows.Next() {
		var name string
		var ordinal int
		if err := rows.Scan(&name, &ordinal); err != nil {
			return err
		}
		i.captured[name] = ordinal
	}
	return rows.Err()
}

// shown is the table in the columns that the instance has. Nil when its key is not among them.
func (i *instance) shown(live *described) *described {
	d := &described{name: live.name, schema: live.schema, plain: live.plain, estimate: live.estimate}
	places := make([]int, len(live.columns))
	for n, c := range live.columns {
		places[n] = -1
		if i.captured[c.Name] > 0 {
			places[n] = len(d.columns)
			d.columns = append(d.columns, c)
		}
	}
	for _, k := range live.key {
		if places[k] < 0 {
			return nil
		}
		d.key = append(d.key, places[k])
	}
	return d
}

// catalogRows asks for columns of one table, or of all.
func (s *Source) catalogRows(ctx context.Context, schema, table string) ([]described, error) {
	query, args := polling.SQLServerCatalog(schema, table)
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []described
	type place struct{ column, in int }
	var key []place
	finish := func() {
		slices.SortFunc(key, func(a, b place) int { return a.in - b.in })
		for _, k := range key {
			found[len(found)-1].key = append(found[len(found)-1].key, k.column)
		}
		key = key[:0]
	}
	for rows.Next() {
		var schema, name, kind string
		var c lienthong.Column
		var nullable, in int
		var estimate int64
		if err := rows.Scan(&schema, &name, &kind, &c.Name, &c.SourceType, &nullable, &in, &estimate); err != nil {
			return nil, err
		}
		if kind != "table" {
			continue
		}
		c.Kind, c.Nullable = polling.SQLServerKind(c.SourceType), nullable != 0
		if n := len(found); n == 0 || found[n-1].schema != schema || found[n-1].plain != name {
			if n > 0 {
				finish()
			}
			found = append(found, described{name: schema + "." + name, schema: schema, plain: name, estimate: estimate})
		}
		d := &found[len(found)-1]
		if in > 0 {
			key = append(key, place{len(d.columns), in})
		}
		d.columns = append(d.columns, c)
	}
	if len(found) > 0 {
		finish()
	}
	return found, rows.Err()
}

func (s *Source) describe(ctx context.Context, name string) (*described, error) {
	schema, plain, _ := strings.Cut(name, ".")
	found, err := s.catalogRows(ctx, schema, plain)
	if err != nil {
		return nil, fmt.Errorf("sqlserver: describe %s: %w", name, explain(err))
	}
	if len(found) == 0 {
		return nil, &lienthong.Error{
			Code: "sqlserver.table_missing", Where: name,
			Vi: "nguồn không có bảng này, hoặc tài khoản không được phép đọc", En: "the source has no such table, or the account may not read it",
			Hint: "xem tên và quyền: / check the name and the right: GRANT SELECT ON SCHEMA::" + quote(schema) + " TO lienthong_reader;",
		}
	}
	return &found[0], nil
}

// listTables are all tables; those that are captured, as their newest instance has them.
func (s *Source) listTables(ctx context.Context) ([]described, error) {
	all, err := s.catalogRows(ctx, "", "")
	if err != nil {
		return nil, err
	}
	c, err := s.capturing(ctx)
	if err != nil {
		if captureOff(err) {
			return all, nil
		}
		return nil, err
	}
	for n := range all {
		instances := c.of(all[n].name)
		if len(instances) == 0 {
			continue
		}
		newest := instances[len(instances)-1]
		if err := s.detail(ctx, newest); err != nil {
			return nil, err
		}
		if shown := newest.shown(&all[n]); shown != nil {
			all[n] = *shown
		}
	}
	return all, nil
}

// captureOff reports whether the error says that the database has no change data capture.
func captureOff(err error) bool {
	var server interface{ SQLErrorNumber() int32 }
	return errors.As(err, &server) && server.SQLErrorNumber() == 208
}

// large are the types whose values the log may leave out of an update's image.
func large(c *lienthong.Column) bool {
	name, length, _ := strings.Cut(strings.ToLower(c.SourceType), "(")
	switch name {
	case "text", "ntext", "image", "xml", "geography", "geometry":
		return true
	}
	return strings.HasPrefix(length, "max")
}

func isText(c *lienthong.Column) bool {
	name, _, _ := strings.Cut(strings.ToLower(c.SourceType), "(")
	switch name {
	case "char", "varchar", "nchar", "nvarchar":
		return true
	}
	return false
}

type rowScanner interface{ Scan(into ...any) error }

// reader makes values of scanned columns.
type reader struct {
	columns []lienthong.Column
	convert func(any, *lienthong.Column) any
	raw     []any
	into    []any
	values  []lienthong.Value
}

// newReader reads rows that begin with other columns and go on with the table's.
func newReader(before []any, columns []lienthong.Column, after []any) *reader {
	r := &reader{columns: columns, convert: polling.Float32("real"), raw: make([]any, len(columns)), values: make([]lienthong.Value, len(columns))}
	r.into = append(r.into, before...)
	for i := range r.raw {
		r.into = append(r.into, &r.raw[i])
	}
	r.into = append(r.into, after...)
	return r
}

func (r *reader) scan(rows rowScanner) error {
	if err := rows.Scan(r.into...); err != nil {
		return err
	}
	for i := range r.columns {
		c := &r.columns[i]
		r.values[i] = polling.Convert(r.convert(r.raw[i], c), c.Kind)
		r.raw[i] = nil
	}
	return nil
}

// selectList is the columns as they are read.
func selectList(columns []lienthong.Column) string {
	var b strings.Builder
	for i := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(polling.SQLServerColumn(quote(columns[i].Name), &columns[i]))
	}
	return b.String()
}

// whereKey compares the key with the arguments from the n-th on.
func whereKey(d *described, n int, values []lienthong.Value) (string, []any) {
	var b strings.Builder
	var args []any
	for at, i := range d.key {
		if at > 0 {
			b.WriteString(" AND ")
		}
		c := &d.columns[i]
		b.WriteString(quote(c.Name) + " = " + polling.SQLServerPlaceholder(n+at, c))
		args = append(args, polling.SQLServerArgument(values[i], c))
	}
	return b.String(), args
}

// current reads the row as it is now. It reports whether there is one.
func (s *Source) current(ctx context.Context, d *described, values []lienthong.Value, visit func(i int, v lienthong.Value)) (bool, error) {
	where, args := whereKey(d, 1, values)
	r := newReader(nil, d.columns, nil)
	err := r.scan(s.db.QueryRowContext(ctx, "SELECT "+selectList(d.columns)+" FROM "+d.from()+" WHERE "+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for i := range r.values {
		visit(i, r.values[i])
	}
	return true, nil
}

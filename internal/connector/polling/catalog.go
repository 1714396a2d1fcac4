package polling

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// description is a table as the catalog and its declaration have it.
type description struct {
	name, from string
	kind       string // "table", "view" …
	columns    []lienthong.Column
	key        []int
	monotonic  *lienthong.Column
	deleted    *lienthong.Column
	estimate   int64
	declared   Table
	unknown    []string // names in the declaration that the table does not have
}

type catalogRow struct {
	schema, table, kind string
	column              lienthong.Column
	place               int64
	estimate            int64
}

func (s *Source) describeAll(ctx context.Context) ([]description, error) {
	rows, err := s.catalog(ctx, "", "")
	if err != nil {
		return nil, s.dialect.explain(err)
	}
	var all []description
	for len(rows) > 0 {
		end := slices.IndexFunc(rows, func(r catalogRow) bool { return r.schema != rows[0].schema || r.table != rows[0].table })
		if end < 0 {
			end = len(rows)
		}
		all = append(all, s.assemble(rows[:end]))
		rows = rows[end:]
	}
	return all, nil
}

// describe looks one table up.
func (s *Source) describe(ctx context.Context, name string) (*description, error) {
	schema, table := "", name
	if before, after, dotted := strings.Cut(name, "."); dotted {
		schema, table = before, after
	}
	rows, err := s.catalog(ctx, schema, table)
	if err != nil {
		return nil, fmt.Errorf("polling: describe %s: %w", name, s.dialect.explain(err))
	}
	if len(rows) == 0 && schema != "" { // the dot was part of the name
		if rows, err = s.catalog(ctx, "", name); err != nil {
			return nil, fmt.Errorf("polling: describe %s: %w", name, s.dialect.explain(err))
		}
	}
	if len(rows) == 0 {
		return nil, &lienthong.Error{
			Code: "polling.table_missing", Where: name,
			Vi: "nguồn không có bảng này, hoặc tài khoản không được phép đọc", En: "the source has no such table, or the account may not read it",
			Hint: "xem tên và quyền đọc: / check the name and the right to read: " + s.dialect.grant(s.dialect.from(schema, table)),
		}
	}
	d := s.assemble(rows)
	return &d, nil
}

func (s *Source) catalog(ctx context.Context, schema, table string) ([]catalogRow, error) {
	query, args := s.dialect.Catalog(schema, table)
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []catalogRow
	for rows.Next() {
		var r catalogRow
		var schema, sourceType sql.NullString // an empty text is null to some engines
		var nullable, place, estimate any
		if err := rows.Scan(&schema, &r.table, &r.kind, &r.column.Name, &sourceType, &nullable, &place, &estimate); err != nil {
			return nil, err
		}
		r.schema, r.column.SourceType = schema.String, strings.TrimSpace(sourceType.String)
		if r.column.SourceType == "" {
			r.column.SourceType = "any"
		}
		r.kind = strings.TrimSpace(r.kind)
		r.column.Kind = s.dialect.Kind(r.column.SourceType)
		if n := Convert(nullable, lienthong.Boolean); n.State == lienthong.Present {
			r.column.Nullable = n.Int != 0
		}
		if r.place, err = wholeNumber(place); err != nil {
			return nil, err
		}
		if r.estimate, err = wholeNumber(estimate); err != nil {
			r.estimate = -1
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// assemble makes a description of the rows of one table.
func (s *Source) assemble(rows []catalogRow) description {
	d := description{kind: rows[0].kind, estimate: rows[0].estimate, name: rows[0].table}
	if rows[0].schema != "" {
		d.name = rows[0].schema + "." + d.name
	}
	d.from = s.dialect.from(rows[0].schema, rows[0].table)
	d.declared = s.declared(d.name)
	type keyed struct {
		at    int
		place int64
	}
	var key []keyed
	find := func(name string) *lienthong.Column {
		for i := range rows {
			if rows[i].column.Name == name {
				return &rows[i].column
			}
		}
		for i := range s.dialect.Pseudo {
			if s.dialect.Pseudo[i].Name == name {
				return &s.dialect.Pseudo[i]
			}
		}
		d.unknown = append(d.unknown, name)
		return nil
	}
	for i := range rows {
		if slices.Contains(d.declared.Skip, rows[i].column.Name) {
			continue
		}
		if rows[i].place > 0 {
			key = append(key, keyed{len(d.columns), rows[i].place})
		}
		d.columns = append(d.columns, rows[i].column)
	}
	slices.SortFunc(key, func(a, b keyed) int { return int(a.place - b.place) })
	for _, k := range key {
		d.key = append(d.key, k.at)
	}
	if len(d.declared.Key) > 0 {
		d.key = nil
		for _, name := range d.declared.Key {
			if at := slices.IndexFunc(d.columns, func(c lienthong.Column) bool { return c.Name == name }); at >= 0 {
				d.key = append(d.key, at)
			} else {
				d.unknown = append(d.unknown, name)
			}
		}
	}
	if d.declared.Monotonic != "" {
		d.monotonic = find(d.declared.Monotonic)
		if d.kind != "table" && s.dialect.isPseudo(d.monotonic) {
			d.monotonic = nil // only a table's rows have one
		}
	}
	if d.declared.DeletedColumn != "" {
		d.deleted = find(d.declared.DeletedColumn)
	}
	return d
}

func (d *description) readable() bool { return d.kind == "table" || len(d.declared.Key) > 0 }

func (d *description) table() connector.Table {
	return connector.Table{Name: d.name, Columns: slices.Clone(d.columns), Key: slices.Clone(d.key), EstimatedRows: d.estimate}
}

// usable says why the table cannot be captured.
func (d *description) usable() error {
	var problems []error
	for _, name := range d.unknown {
		problems = append(problems, &lienthong.Error{
			Code: "polling.column_missing", Where: d.name + "." + name,
			Vi: "bảng không có cột đã khai", En: "the table does not have the declared column",
			Hint: "sửa khai báo bảng / correct the declaration of the table",
		})
	}
	if len(d.key) == 0 && len(d.unknown) == 0 {
		problems = append(problems, &lienthong.Error{
			Code: "polling.no_key", Where: d.name,
			Vi: "bảng không có khoá chính", En: "the table has no primary key",
			Hint: "thêm khoá chính, hoặc khai các cột phân biệt từng dòng / add a primary key, or declare the columns that tell rows apart",
		})
	}
	if d.monotonic != nil && !monotonicKind(d.monotonic.Kind) {
		problems = append(problems, &lienthong.Error{
			Code: "polling.monotonic_kind", Where: d.name + "." + d.monotonic.Name,
			Vi: "cột này không so sánh được theo thứ tự tăng", En: "the column is not of a type that can rise",
			Hint: "chọn cột thời gian, số nguyên hoặc rowversion / choose a time, a whole number or a row version",
		})
	}
	return errors.Join(problems...)
}

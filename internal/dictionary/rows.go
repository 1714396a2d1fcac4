package dictionary

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/lienthong/lienthong"
)

// Scope is what the row filters of a definition say about a row.
type Scope uint8

// The scopes.
const (
	Inside  Scope = iota // the row belongs to the dataset
	Outside              // it does not, and must not leave the node
	Unsaid               // the source did not say a value that decides
)

// rowFilter is a compiled RowFilter.
type rowFilter struct {
	column int // of the source; -1: field
	field  int // of the checked row
	kind   lienthong.Kind
	in     map[string]struct{}
	prefix [][]byte
}

// Filtered reports whether the definition leaves rows out.
func (m *Mapper) Filtered() bool { return len(m.filters) > 0 }

// Scope decides whether a row belongs to the dataset. src is the source's row, checked
// what Map made of it.
func (m *Mapper) Scope(src, checked []lienthong.Value) Scope {
	scope := Inside
	for i := range m.filters {
		f := &m.filters[i]
		var v *lienthong.Value
		if f.column >= 0 {
			v = &src[f.column]
		} else {
			v = &checked[f.field]
		}
		switch v.State {
		case lienthong.Unchanged:
			scope = Unsaid
			continue
		case lienthong.Null, lienthong.Malformed:
			return Outside
		case lienthong.Present:
		}
		text := v.Bytes
		if f.kind != lienthong.Text && f.kind != lienthong.Decimal {
			m.text1 = v.AppendText(m.text1[:0], f.kind)
			text = m.text1
		}
		if !f.passes(text) {
			return Outside
		}
	}
	return scope
}

func (f *rowFilter) passes(text []byte) bool {
	if _, found := f.in[string(text)]; found {
		return true
	}
	for _, prefix := range f.prefix {
		if bytes.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

func (r *RowFilter) check(p *problems) {
	if (r.Field == "") == (r.Column == "") {
		p.add(r.Line, "rows.field", "bộ lọc cần field hoặc column, một trong hai", "a filter needs either field or column", "")
	}
	if len(r.In) == 0 && len(r.Prefix) == 0 && r.Under == "" {
		p.add(r.Line, "rows.empty", "bộ lọc cần in, prefix hoặc under", "a filter needs in, prefix or under", "")
	}
	if slices.Contains(r.Prefix, "") {
		p.add(r.Line, "rows.prefix", "prefix rỗng cho qua mọi dòng", "an empty prefix lets every row pass", "")
	}
}

// rows compiles the filters.
func (c *compiler) rows() {
	for i := range c.def.Rows {
		r := &c.def.Rows[i]
		f := rowFilter{column: -1, in: map[string]struct{}{}}
		if r.Column != "" {
			at, found := c.find(r.Column, r.Line)
			if !found {
				continue
			}
			f.column, f.kind = at, c.columns[at].Kind
		} else {
			f.field = c.mapper.Shape.FieldIndex(r.Field)
			if f.field < 0 {
				if !c.unsure {
					c.noField("rows.field", r.Line, "rows", r.Field)
				}
				continue
			}
			f.kind = c.mapper.Shape.Fields[f.field].Kind
		}
		for _, value := range r.In {
			f.in[value] = struct{}{}
		}
		for _, prefix := range r.Prefix {
			f.prefix = append(f.prefix, []byte(prefix))
		}
		if r.Under != "" {
			before := len(f.in)
			for _, unit := range c.dictionary.reference.today {
				if unit.Province == r.Under {
					f.in[unit.Code] = struct{}{}
				}
			}
			if len(f.in) == before {
				c.problems.add(r.Line, "rows.under", fmt.Sprintf("không có tỉnh mã %q hoặc tỉnh chưa có xã", r.Under),
					fmt.Sprintf("there is no province %q, or it has no communes", r.Under), "mã 2 chữ số của tỉnh ngày nay / the 2 digits of a province of today")
			}
		}
		c.mapper.filters = append(c.mapper.filters, f)
	}
}

// NamesWholeRows reports whether the definition names records by all values of their rows.
func (def *Definition) NamesWholeRows() bool {
	return len(def.Identity) == 1 && def.Identity[0] == WholeRow
}

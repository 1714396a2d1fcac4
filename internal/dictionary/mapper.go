package dictionary

import (
	"crypto/sha256"
	"hash"
	"slices"

	"github.com/lienthong/lienthong"
	"golang.org/x/text/unicode/norm"
)

// Mapper turns rows of a source into rows of a shape: Map makes the row that rules are
// about, Scope says whether it belongs to the dataset, Handle makes the row that travels. It owns a scratch buffer: one
// goroutine uses it at a time, and what Map returns is valid until the next Map of the
// same Mapper and as long as the source row is. Clone gives another one.
type Mapper struct {
	Shape   *lienthong.Shape
	plans   []plan
	rules   []Rule
	mapped  int
	total   int
	scratch []byte

	checked    *lienthong.Shape // nil: the same as Shape
	treatments []treatment      // one per field of Shape; nil when nothing is handled
	filters    []rowFilter
	columns    []lienthong.Column // of the source, when rows are named by all of them
	rowHash    hash.Hash
	// Buffers of Handle, Scope and rowID.
	handled, text1, packed, sum []byte

	// composer is kept because the package's Append allocates its buffer each time.
	composer norm.Iter
}

// plan is how one field of the shape is made.
type plan struct {
	route   route
	column  int   // the source column, when it is one
	columns []int // the source columns, when they are several
	kinds   []lienthong.Kind
	from    lienthong.Kind
	to      lienthong.Kind
	kept    bool // an unmapped column: flows as it is
	row     bool // the identity of the whole row
	steps   []step
	layouts []layout
	zone    int64 // offset of times that have none, microseconds
}

// Mapped returns how many of the source's columns are mapped to elements, and how
// many it has: the share that the criterion "unified" measures.
func (m *Mapper) Mapped() (mapped, total int) { return m.mapped, m.total }

// Rules returns the rules of the elements, with the names of this shape's fields, and
// after them those of the definition. Callers do not change them.
func (m *Mapper) Rules() []Rule { return m.rules }

// Clone returns a mapper for another goroutine.
func (m *Mapper) Clone() *Mapper {
	clone := &Mapper{
		Shape: m.Shape, plans: m.plans, rules: m.rules, mapped: m.mapped, total: m.total,
		scratch: make([]byte, 0, cap(m.scratch)),
		checked: m.checked, treatments: slices.Clone(m.treatments), filters: m.filters, columns: m.columns,
	}
	for i := range clone.treatments {
		clone.treatments[i].bind(clone.treatments[i].secret)
	}
	if m.rowHash != nil {
		clone.rowHash = sha256.New()
	}
	return clone
}

// Map fills dst, one value per field of Checked, from src, one value per column that
// Compile was given. Values of dst may share bytes with src.
func (m *Mapper) Map(src, dst []lienthong.Value) {
	m.scratch = m.scratch[:0]
	for i := range m.plans {
		p := &m.plans[i]
		switch p.route {
		case routeCopy:
			dst[i] = src[p.column]
		case routeText:
			v := &src[p.column]
			if v.State != lienthong.Present || len(v.Bytes) == 0 {
				dst[i] = *v
				if v.State == lienthong.Present && !p.kept {
					dst[i] = lienthong.Value{}
				}
				continue
			}
			if classify(v.Bytes) == textClean {
				dst[i] = *v
				continue
			}
			dst[i] = m.text(v.Bytes, v.Bytes)
		default:
			if p.row {
				dst[i] = m.rowID(src)
				continue
			}
			dst[i] = m.convert(p, src)
		}
	}
}

// text brings bytes to NFC. original is what a Malformed value keeps.
func (m *Mapper) text(b, original []byte) lienthong.Value {
	class := classify(b)
	if class == textCheck {
		class = checkText(b)
	}
	switch class {
	case textBroken:
		return lienthong.Value{State: lienthong.Malformed, Bytes: original}
	case textCheck:
		start := len(m.scratch)
		for m.composer.Init(norm.NFC, b); !m.composer.Done(); {
			m.scratch = append(m.scratch, m.composer.Next()...)
		}
		b = m.scratch[start:len(m.scratch):len(m.scratch)]
	case textClean:
	}
	return lienthong.Value{State: lienthong.Present, Bytes: b}
}

// convert makes a field that is not a plain copy.
func (m *Mapper) convert(p *plan, src []lienthong.Value) lienthong.Value {
	var b []byte
	if p.columns != nil {
		var state lienthong.State
		if b, state = m.join(p, src); state != lienthong.Present {
			return lienthong.Value{State: state, Bytes: b}
		}
	} else {
		v := &src[p.column]
		switch v.State {
		case lienthong.Null, lienthong.Unchanged:
			return lienthong.Value{State: v.State}
		case lienthong.Malformed:
			// The source could not read its own text; the mapping may know how.
			if p.to != lienthong.Text && len(p.steps) == 0 && len(p.layouts) == 0 {
				return *v
			}
			b = v.Bytes
		case lienthong.Present:
			if p.route == routeDirect {
				converted, scratch, ok := convertDirect(*v, p.from, p.to, p.zone, m.scratch)
				m.scratch = scratch
				if !ok {
					return lienthong.Value{State: lienthong.Malformed, Bytes: m.canonical(v, p.from)}
				}
				return converted
			}
			if p.from == p.to && p.from != lienthong.Text && len(p.steps) == 0 {
				return *v // its layouts are for what the source could not read
			}
			b = v.Bytes
			if p.from != lienthong.Text {
				b = m.canonical(v, p.from)
			}
		}
	}
	original := b
	for i := range p.steps {
		b, m.scratch = p.steps[i].apply(b, m.scratch)
	}
	if len(b) == 0 {
		return lienthong.Value{}
	}
	if p.to == lienthong.Text {
		return m.text(b, original)
	}
	v, scratch, ok := parseText(b, p.to, p.layouts, p.zone, m.scratch)
	m.scratch = scratch
	if !ok {
		return lienthong.Value{State: lienthong.Malformed, Bytes: original}
	}
	return v
}

// canonical appends the value's text to the scratch buffer.
func (m *Mapper) canonical(v *lienthong.Value, kind lienthong.Kind) []byte {
	start := len(m.scratch)
	m.scratch = v.AppendText(m.scratch, kind)
	return m.scratch[start:len(m.scratch):len(m.scratch)]
}

// join puts the texts of several columns side by side, one space between them; null and
// empty ones are left out. When only some are Unchanged the whole cannot be known:
// the result is Malformed and keeps the parts that are.
func (m *Mapper) join(p *plan, src []lienthong.Value) ([]byte, lienthong.State) {
	start := len(m.scratch)
	unchanged, malformed := 0, false
	for i, column := range p.columns {
		v := &src[column]
		switch v.State {
		case lienthong.Unchanged:
			unchanged++
			continue
		case lienthong.Null:
			continue
		case lienthong.Malformed:
			malformed = true
		case lienthong.Present:
		}
		before := len(m.scratch)
		if before > start {
			m.scratch = append(m.scratch, ' ')
		}
		from := len(m.scratch)
		if v.State == lienthong.Malformed {
			m.scratch = append(m.scratch, v.Bytes...)
		} else {
			m.scratch = v.AppendText(m.scratch, p.kinds[i])
		}
		if len(m.scratch) == from {
			m.scratch = m.scratch[:before]
		}
	}
	b := m.scratch[start:len(m.scratch):len(m.scratch)]
	switch {
	case unchanged == len(p.columns):
		return nil, lienthong.Unchanged
	case unchanged > 0 || malformed:
		return b, lienthong.Malformed
	case len(b) == 0:
		return nil, lienthong.Null
	}
	return b, lienthong.Present
}

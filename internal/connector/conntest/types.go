package conntest

import (
	"fmt"
	"slices"

	"github.com/lienthong/lienthong"
)

// types: every value of every type of the engine arrives with the same canonical text
// through a view and through the stream.
func (s *suite) types() {
	tables := make([]*Table, len(s.h.Types))
	insert := func(i, from int) {
		s.t.Helper()
		for n, value := range s.h.Types[i].Values {
			if err := s.h.InsertTyped(s.ctx(), tables[i].Name, from+n, value.Literal); err != nil {
				s.t.Fatalf("%s: %s: %v", s.h.Types[i].Type, short(value.Literal), err)
			}
		}
	}
	for i, c := range s.h.Types {
		name, err := s.h.CreateTyped(s.ctx(), fmt.Sprintf("typed_%02d", i), c.Type)
		if err != nil {
			s.t.Fatalf("%s: %v", c.Type, err)
		}
		tables[i] = &Table{Name: name, Columns: []Column{
			{Name: "id", Kind: lienthong.Integer, Key: true}, {Name: "value", Kind: c.Kind},
		}}
		insert(i, 1)
	}
	source := s.open()
	pos := s.start(source, tables...)
	l := s.landing(source, tables...)
	for i, c := range s.h.Types {
		at := slices.IndexFunc(l.columns[i], func(c lienthong.Column) bool { return c.Name == "value" })
		if at != 1 {
			s.t.Fatalf("%s: columns %+v, want id and value", c.Type, l.columns[i])
		}
		if got := l.columns[i][at]; got.Kind != c.Kind || (got.SourceType == "") != (c.Type == "") {
			s.t.Errorf("%s is listed as %q of kind %s, want %s", c.Type, got.SourceType, got.Kind, c.Kind)
		}
	}
	arrived := func(road string, from int) {
		s.t.Helper()
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, c := range s.h.Types {
			for n, value := range c.Values {
				key, _ := describe(tables[i], []Cell{Has(fmt.Sprint(from + n)), {}})
				got, there := l.state[i][key]
				switch {
				case !there || len(got.cells) != 2:
					s.t.Errorf("%s by the %s: %s did not arrive", c.Type, road, short(value.Literal))
				case got.cells[1] != value.Want:
					s.t.Errorf("%s by the %s: %s arrived as %s, want %s", c.Type, road, short(value.Literal),
						said(got.cells[1]), said(value.Want))
				}
			}
		}
	}
	view, err := source.View(s.ctx())
	s.must(err)
	for i := range tables {
		s.readAll(view, l, i, 3)
	}
	s.must(view.Close())
	arrived("view", 1)
	const later = 1000
	r := s.stream(source, pos, l)
	for i := range tables {
		insert(i, later)
	}
	s.until("all values are streamed", r, l, func() bool {
		for i, c := range s.h.Types {
			key, _ := describe(tables[i], []Cell{Has(fmt.Sprint(later + len(c.Values) - 1)), {}})
			if _, there := l.state[i][key]; !there {
				return false
			}
		}
		return !l.open
	})
	arrived("stream", later)
}

// said writes a cell for a person, shortened.
func said(c Cell) string {
	switch c.State {
	case lienthong.Null:
		return "null"
	case lienthong.Unchanged:
		return "unchanged"
	case lienthong.Malformed:
		return "malformed " + short(c.Text)
	case lienthong.Present:
	}
	return short(c.Text)
}

func short(text string) string {
	if len(text) > 120 {
		return fmt.Sprintf("%q… (%d bytes)", text[:100], len(text))
	}
	return fmt.Sprintf("%q", text)
}

// related: rows of two tables that belong together arrive, whichever was written first.
func (s *suite) related() {
	parent := s.create(&Table{Name: "household", Columns: []Column{
		{Name: "id", Kind: lienthong.Text, Key: true}, {Name: "address", Kind: lienthong.Text},
	}})
	child := s.create(&Table{Name: "member", Columns: []Column{
		{Name: "id", Kind: lienthong.Text, Key: true}, {Name: "household", Kind: lienthong.Text},
	}})
	if s.h.Relate != nil {
		s.must(s.h.Relate(s.ctx(), child, "household", parent))
	}
	write := func(table *Table, id int, text string) Write {
		return Write{Verb: Insert, Table: table, Row: []Cell{Has(PersonID(id)), Has(text)}}
	}
	both := func(id int) {
		s.apply(write(parent, id, "số nhà 1"), write(child, id, PersonID(id)))
		s.apply(write(child, id+1, PersonID(id+1)), write(parent, id+1, "số nhà 2"))
		s.apply(write(parent, id+2, "số nhà 3"))
		s.apply(write(child, id+2, PersonID(id+2)))
	}
	both(10)
	source := s.open()
	// The child first, so that the order of the tables is not what makes it work.
	pos := s.start(source, child, parent)
	l := s.landing(source, child, parent)
	view, err := source.View(s.ctx())
	s.must(err)
	both(20)
	for i := range l.tables {
		s.readAll(view, l, i, 100)
	}
	s.must(view.Close())
	r := s.stream(source, pos, l)
	both(30)
	if s.h.Capabilities.Deletes {
		gone := []Cell{Has(PersonID(10))}
		s.apply(Write{Verb: Delete, Table: child, Key: gone}, Write{Verb: Delete, Table: parent, Key: gone})
		gone = []Cell{Has(PersonID(21))}
		s.apply(Write{Verb: Delete, Table: parent, Key: gone}, Write{Verb: Delete, Table: child, Key: gone})
	}
	s.settles(r, l)
}

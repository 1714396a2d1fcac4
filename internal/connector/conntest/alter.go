package conntest

import (
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

func alters(kind Alteration) func(Harness) bool {
	return func(h Harness) bool { return h.Alter[kind] != nil }
}

// altered is the test of one alteration: made while the stream runs, or while the
// connector is closed.
func altered(kind Alteration, away bool) func(*suite) {
	return func(s *suite) { s.alteration(kind, away) }
}

// after is the table as it is after the alteration.
func (k Alteration) after(table *Table) *Table {
	now := &Table{Name: table.Name, Columns: slices.Clone(table.Columns)}
	for i := range now.Columns {
		c := &now.Columns[i]
		switch {
		case k == RenameColumn && c.Name == "note":
			c.Name = "remark"
		case k == ChangeKey && c.Name == "counter":
			c.Key = true
		}
	}
	if k == DropColumn {
		now.Columns = slices.DeleteFunc(now.Columns, func(c Column) bool { return c.Name == "note" })
	}
	return now
}

// rowOf is a person in the columns that the table has.
func rowOf(table *Table, id int, name string) []Cell {
	row := make([]Cell, len(table.Columns))
	for i, c := range table.Columns {
		switch c.Name {
		case "id":
			row[i] = Has(PersonID(id))
		case "full_name":
			row[i] = Has(name)
		case "note", "remark":
			row[i] = Has("ghi chú")
		case "counter":
			row[i] = Has(fmt.Sprint(id))
		}
	}
	return row
}

// renamed updates a person's name, whatever the table's key is.
func renamed(table *Table, id int, name string) Write {
	w := Write{Verb: Update, Table: table}
	for i, cell := range rowOf(table, id, name) {
		if table.Columns[i].Key {
			w.Key = append(w.Key, cell)
		}
		if table.Columns[i].Name != "full_name" {
			cell = Keep()
		}
		w.Row = append(w.Row, cell)
	}
	return w
}

// relayout tells the landing that the suite has altered a table.
func (l *landing) relayout(table int, now *Table) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tables[table] = now
	state := map[string]landed{}
	for _, r := range l.state[table] {
		key, _ := describe(now, r.cells)
		state[key] = r
	}
	l.state[table] = state
}

// reopened tells the landing that its next stream comes from a source that was opened
// anew: it announces what differs from what Tables lists.
func (s *suite) reopened(l *landing, source connector.Source) {
	s.t.Helper()
	listed, err := source.Tables(s.ctx())
	s.must(err)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, table := range l.tables {
		for _, t := range listed {
			if t.Name == table.Name {
				l.columns[i], l.keys[i] = t.Columns, t.Key
			}
		}
	}
}

// alteration: after it the source goes on. What has changed is announced before the first
// row that has it, other tables are not disturbed, and versions still rise, so that the
// landed state is the source's again.
func (s *suite) alteration(kind Alteration, away bool) {
	table, neighbour := s.people("people"), s.people("neighbour")
	source := s.open()
	pos := s.start(source, table, neighbour)
	l := s.landing(source, table, neighbour)
	r := s.stream(source, pos, l)
	for id := 1; id <= 3; id++ {
		s.apply(s.insert(table, id), s.insert(neighbour, id))
	}
	s.settles(r, l)
	if away {
		r.end(s.t)
		s.must(source.Close())
	}
	// A source may tell of the alteration as soon as it is made.
	l.mu.Lock()
	mark := len(l.events)
	l.mu.Unlock()
	s.must(s.h.Alter[kind](s.ctx(), table))
	now := kind.after(table)
	l.relayout(0, now)

	// Every row is written in the new layout.
	if kind == Recreate {
		s.apply(Write{Verb: Insert, Table: now, Row: rowOf(now, 1, "Nguyễn Văn Mới")})
	} else {
		for id := 1; id <= 3; id++ {
			s.apply(renamed(now, id, fmt.Sprintf("Trần Thị %d", id)))
		}
	}
	s.apply(s.insert(neighbour, 4))
	s.apply(Write{Verb: Insert, Table: now, Row: rowOf(now, 10, "Lê Văn Mười")})
	s.apply(update(neighbour, 1, "hàng xóm"))
	if away {
		mark = 0
		source = s.open()
		pos = s.start(source, table, neighbour)
		s.reopened(l, source)
		r = s.stream(source, pos, l)
	}
	s.settles(r, l)
	s.announced(source, l, kind, mark, away)

	// And on.
	if s.h.Capabilities.Deletes {
		var key []Cell
		for i, cell := range rowOf(now, 1, "") {
			if now.Columns[i].Key {
				key = append(key, cell)
			}
		}
		s.apply(Write{Verb: Delete, Table: now, Key: key})
	}
	s.apply(renamed(now, 10, "Lê Thị Mười"), s.insert(neighbour, 5))
	s.apply(Write{Verb: Insert, Table: now, Row: rowOf(now, 11, "Phạm Văn Mười Một")})
	s.settles(r, l)
}

// announced checks that the sink knows the table as Tables lists it, and did so before
// the first row after the alteration.
func (s *suite) announced(source connector.Source, l *landing, kind Alteration, mark int, away bool) {
	s.t.Helper()
	listed, err := source.Tables(s.ctx())
	s.must(err)
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(listed, func(t connector.Table) bool { return t.Name == l.tables[0].Name })
	if at < 0 {
		s.t.Fatalf("Tables does not list %s any more", l.tables[0].Name)
	}
	want := listed[at]
	for i, c := range l.tables[0].Columns {
		if i >= len(want.Columns) || want.Columns[i].Name != c.Name {
			s.t.Fatalf("Tables lists %+v, want column %s at %d", want.Columns, c.Name, i)
		}
	}
	var key []int
	for i, c := range l.tables[0].Columns {
		if c.Key {
			key = append(key, i)
		}
	}
	if diff := cmp.Diff(key, want.Key); diff != "" {
		s.t.Errorf("key as Tables lists it: %s", diff)
	}
	if diff := cmp.Diff(want.Key, l.keys[0]); diff != "" {
		s.t.Errorf("key that was announced: %s", diff)
	}
	names := func(columns []lienthong.Column) []string {
		var names []string
		for _, c := range columns {
			names = append(names, c.Name+" "+c.Kind.String())
		}
		return names
	}
	if diff := cmp.Diff(names(want.Columns), names(l.columns[0])); diff != "" {
		s.t.Errorf("columns that were announced: %s", diff)
	}
	told, emptied := false, false
	for _, e := range l.events[mark:] {
		if e.Table != 0 {
			if e.Kind == "schema" {
				s.t.Errorf("%s of one table announced new columns of another", kind)
			}
			continue
		}
		switch e.Kind {
		case "schema":
			told = true
		case "truncate", "delete":
			emptied = true
		case "upsert":
			// A stream that is opened anew begins with what Tables lists. A row that comes before
			// Schema has the columns that were announced, or the landing would have objected;
			// under a key that is no more nobody could tell which record it is.
			if !told && !away && kind == ChangeKey {
				s.t.Errorf("a row came after %s and before Schema", kind)
				told = true
			}
		}
	}
	if kind == Recreate && !emptied {
		s.t.Error("the table was made anew, and nothing said that its old rows are gone")
	}
}

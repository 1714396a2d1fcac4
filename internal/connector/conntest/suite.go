package conntest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Run holds a connector to the contract. newHarness is called once per test and
// must give a fresh source each time.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	t.Helper()
	tests := []struct {
		name  string
		needs func(Harness) bool
		run   func(*suite)
	}{
		{"Discovery", nil, (*suite).discovery},
		{"StartIsIdempotent", nil, (*suite).startIsIdempotent},
		{"StartAddsTables", nil, (*suite).startAddsTables},
		{"StartUnknownTable", nil, (*suite).startUnknownTable},
		{"ChangesInCommitOrder", nil, (*suite).changesInCommitOrder},
		{"TransactionsStayWhole", func(h Harness) bool { return h.Capabilities.Transactions }, (*suite).transactionsStayWhole},
		{"RolledBackIsNotDelivered", func(h Harness) bool { return h.Begin != nil }, (*suite).rolledBack},
		{"Deletes", func(h Harness) bool { return h.Capabilities.Deletes }, (*suite).deletes},
		{"DeleteAndInsertAgain", func(h Harness) bool { return h.Capabilities.Deletes }, (*suite).deleteAndInsertAgain},
		{"KeyChange", func(h Harness) bool { return h.Capabilities.Deletes }, (*suite).keyChange},
		{"Truncate", func(h Harness) bool { return h.Capabilities.Truncate }, (*suite).truncate},
		{"LargeTextSurvivesOtherUpdates", nil, (*suite).largeText},
		{"LargeTextKeyChange", func(h Harness) bool { return h.Capabilities.Deletes }, (*suite).largeTextKeyChange},
		{"OneRecordManyTimes", func(h Harness) bool { return h.Capabilities.Transactions }, (*suite).oneRecordManyTimes},
		{"Values", nil, (*suite).values},
		{"ViewIsExact", nil, (*suite).viewIsExact},
		{"ViewVersions", nil, (*suite).viewVersions},
		{"ViewOfEmptyTable", nil, (*suite).viewOfEmptyTable},
		{"ViewUnderWriters", func(h Harness) bool { return h.Capabilities.ConcurrentWriters }, (*suite).viewUnderWriters},
		{"SnapshotResumes", nil, (*suite).snapshotResumes},
		{"RestartDeliversAgain", nil, (*suite).restartDeliversAgain},
		{"AcknowledgedIsForgotten", nil, (*suite).acknowledgedIsForgotten},
		{"AcknowledgeWithoutStream", nil, (*suite).acknowledgeWithoutStream},
		{"ChangesWhileAway", nil, (*suite).changesWhileAway},
		{"LongTransaction", func(h Harness) bool { return h.Begin != nil && h.Capabilities.ConcurrentWriters }, (*suite).longTransaction},
		{"SchemaAddition", func(h Harness) bool { return h.AddColumn != nil }, (*suite).schemaAddition},
		{"SchemaAdditionWhileAway", func(h Harness) bool { return h.AddColumn != nil }, (*suite).schemaAdditionWhileAway},
		{"SchemaDrop", alters(DropColumn), altered(DropColumn, false)},
		{"SchemaDropWhileAway", alters(DropColumn), altered(DropColumn, true)},
		{"SchemaRename", alters(RenameColumn), altered(RenameColumn, false)},
		{"SchemaRenameWhileAway", alters(RenameColumn), altered(RenameColumn, true)},
		{"SchemaWiden", alters(WidenColumn), altered(WidenColumn, false)},
		{"SchemaWidenWhileAway", alters(WidenColumn), altered(WidenColumn, true)},
		{"SchemaNarrow", alters(NarrowColumn), altered(NarrowColumn, false)},
		{"SchemaNarrowWhileAway", alters(NarrowColumn), altered(NarrowColumn, true)},
		{"SchemaKey", alters(ChangeKey), altered(ChangeKey, false)},
		{"SchemaKeyWhileAway", alters(ChangeKey), altered(ChangeKey, true)},
		{"SchemaRecreate", alters(Recreate), altered(Recreate, false)},
		{"SchemaRecreateWhileAway", alters(Recreate), altered(Recreate, true)},
		{"Types", func(h Harness) bool { return len(h.Types) > 0 }, (*suite).types},
		{"MillionRowsInOneTransaction", func(h Harness) bool { return h.Bulk != nil }, (*suite).bulk},
		{"RelatedTables", nil, (*suite).related},
		{"RandomOperations", nil, (*suite).random},
		{"Inspection", nil, (*suite).inspection},
		{"HealthInWords", nil, (*suite).health},
		{"Release", nil, (*suite).release},
		{"IdleWhenDrained", nil, (*suite).idleWhenDrained},
		{"SinkErrorEndsStream", nil, (*suite).sinkError},
		{"ContextEndsStream", nil, (*suite).contextEnds},
		{"Destroy", nil, (*suite).destroy},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			if test.needs != nil && !test.needs(h) {
				t.Skip("the source declares that it cannot")
			}
			test.run(&suite{t: t, h: h, fresh: func() Harness { return newHarness(t) }})
		})
	}
}

func (s *suite) discovery() {
	table := &Table{Name: "everything", Columns: []Column{{Name: "id", Kind: lienthong.Text, Key: true}}}
	for _, kind := range s.h.Capabilities.Kinds {
		table.Columns = append(table.Columns, Column{Name: "of_" + kind.String(), Kind: kind})
	}
	s.create(table)
	var keyless *Table
	if s.h.Capabilities.Keyless {
		keyless = s.create(&Table{Name: "keyless", Columns: []Column{{Name: "word", Kind: lienthong.Text}}})
	}
	listed, err := s.open().Tables(s.ctx())
	s.must(err)
	find := func(name string) connector.Table {
		at := slices.IndexFunc(listed, func(t connector.Table) bool { return t.Name == name })
		if at < 0 {
			s.t.Fatalf("Tables does not list %s", name)
		}
		return listed[at]
	}
	got := find(table.Name)
	if len(got.Columns) != len(table.Columns) {
		s.t.Fatalf("%d columns, want %d", len(got.Columns), len(table.Columns))
	}
	for i, column := range table.Columns {
		if got.Columns[i].Name != column.Name || got.Columns[i].Kind != column.Kind {
			s.t.Errorf("column %d is %s of kind %s, want %s of kind %s",
				i, got.Columns[i].Name, got.Columns[i].Kind, column.Name, column.Kind)
		}
		if got.Columns[i].SourceType == "" {
			s.t.Errorf("column %s has no source type", column.Name)
		}
	}
	if diff := cmp.Diff([]int{0}, got.Key); diff != "" {
		s.t.Errorf("key of %s: %s", table.Name, diff)
	}
	if keyless != nil {
		if got := find(keyless.Name); len(got.Key) != 0 {
			s.t.Errorf("key of a table without one: %v", got.Key)
		}
		_, err := s.open().Start(s.ctx(), []string{keyless.Name})
		s.explained(err)
	}
}

// explained checks that an error is one that a person can act on.
func (s *suite) explained(err error) {
	s.t.Helper()
	var coded *lienthong.Error
	if !errors.As(err, &coded) {
		s.t.Fatalf("want an error with a code, got %v", err)
	}
	if coded.Code == "" || coded.Vi == "" || coded.En == "" || coded.Hint == "" {
		s.t.Errorf("an error must say code, text in both languages and what to do: %+v", coded)
	}
}

func (s *suite) startIsIdempotent() {
	table := s.people("people")
	source := s.open()
	first := s.start(source, table)
	s.apply(s.insert(table, 1))
	if second := s.start(source, table); second.Before(first) || first.Before(second) {
		s.t.Errorf("Start again returned %d, want %d: nothing was acknowledged", second.Order, first.Order)
	}
	s.must(source.Close())
	source = s.open()
	again := s.start(source, table)
	if again.Before(first) || first.Before(again) {
		s.t.Errorf("Start after a restart returned %d, want %d", again.Order, first.Order)
	}
	l := s.landing(source, table)
	s.settles(s.stream(source, again, l), l)
}

func (s *suite) startAddsTables() {
	one := s.people("one")
	source := s.open()
	s.start(source, one)
	two := s.people("two")
	pos := s.start(source, one, two)
	s.apply(s.insert(one, 1), s.insert(two, 2))
	l := s.landing(source, one, two)
	s.settles(s.stream(source, pos, l), l)
}

func (s *suite) startUnknownTable() {
	s.people("people")
	_, err := s.open().Start(s.ctx(), []string{"no_such_table"})
	s.explained(err)
}

func (s *suite) changesInCommitOrder() {
	table := s.people("people")
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	var want []string
	for id := range 20 {
		s.apply(s.insert(table, id))
		key, _ := describe(table, person(id, ""))
		want = append(want, key)
	}
	s.settles(r, l)
	var got []string
	for _, e := range l.changes() {
		got = append(got, e.Key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("order of arrival: %s", diff)
	}
	if !s.h.Capabilities.EveryChange {
		return
	}
	for i := range 5 {
		s.apply(update(table, 7, fmt.Sprintf("lần %d", i+2)))
	}
	s.settles(r, l)
	if got := len(l.changes()); got != 25 {
		s.t.Errorf("%d changes arrived, want 25", got)
	}
}

func (s *suite) transactionsStayWhole() {
	table := s.people("people")
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	for n := range 5 {
		var writes []Write
		for i := range 10 {
			writes = append(writes, s.insert(table, n*10+i))
		}
		s.apply(writes...)
	}
	s.settles(r, l)
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := 0
	for _, e := range l.events {
		switch e.Kind {
		case "begin":
			rows = 0
		case "upsert":
			rows++
		case "commit":
			if rows != 10 {
				s.t.Errorf("a transaction of 10 rows arrived with %d", rows)
			}
		}
	}
}

func (s *suite) rolledBack() {
	table := s.people("people")
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	tx, err := s.h.Begin(s.ctx())
	s.must(err)
	s.must(tx.Apply(s.ctx(), s.insert(table, 1)))
	s.must(tx.Rollback(s.ctx()))
	s.marker(r, l, table, 99)
	if got := len(l.changes()); got != 1 {
		s.t.Errorf("%d changes arrived, want only the marker", got)
	}
}

func (s *suite) deletes() {
	table := s.people("people")
	s.apply(s.insert(table, 1), s.insert(table, 2))
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	s.apply(remove(table, 1))
	s.marker(r, l, table, 99)
	changes := l.changes()
	if len(changes) != 2 || changes[0].Kind != "delete" {
		s.t.Fatalf("want a delete and the marker, got %+v", changes)
	}
	want := []Cell{Has(PersonID(1)), Keep(), Keep(), Keep()}
	if diff := cmp.Diff(want, changes[0].Cells); diff != "" {
		s.t.Errorf("a deleted row has its key and nothing else: %s", diff)
	}
}

func (s *suite) deleteAndInsertAgain() {
	table := s.people("people")
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	s.apply(s.insert(table, 1))
	s.apply(remove(table, 1))
	s.apply(s.insert(table, 1))
	// Once more inside one transaction.
	s.apply(remove(table, 1), s.insert(table, 1), update(table, 1, "sau"))
	s.settles(r, l)
}

func (s *suite) keyChange() {
	table := s.people("people")
	s.apply(s.insert(table, 1))
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	s.apply(Write{
		Verb: Update, Table: table, Key: []Cell{Has(PersonID(1))},
		Row: []Cell{Has(PersonID(2)), Keep(), Keep(), Keep()},
	})
	s.settles(r, l)
	changes := l.changes()
	slices.SortStableFunc(changes, func(a, b event) int { return strings.Compare(a.Kind, b.Kind) })
	if len(changes) != 2 || changes[0].Kind != "delete" || changes[1].Kind != "upsert" {
		s.t.Fatalf("a change of key is a delete and an upsert, got %+v", changes)
	}
	row := person(1, "lần 1")
	row[0] = Has(PersonID(2))
	if _, want := describe(table, row); changes[1].Row != want {
		s.t.Errorf("the new row is %s, want all of %s", changes[1].Row, want)
	}
}

func (s *suite) truncate() {
	table := s.people("people")
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	s.apply(s.insert(table, 1), s.insert(table, 2))
	s.apply(Write{Verb: Truncate, Table: table})
	s.apply(s.insert(table, 2))
	if s.h.Capabilities.Transactions {
		s.apply(s.insert(table, 3), Write{Verb: Truncate, Table: table}, s.insert(table, 3), s.insert(table, 4))
	}
	s.settles(r, l)
}

// large is a text that no engine keeps inside the row, and that does not compress.
func large(seed uint64) string {
	var b strings.Builder
	for b.Len() < 200_000 {
		seed = seed*6364136223846793005 + 1442695040888963407
		fmt.Fprintf(&b, "%016x", seed^seed>>29)
	}
	return b.String()
}

func (s *suite) largeText() {
	table := s.people("people")
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	s.apply(Write{Verb: Insert, Table: table, Row: person(1, large(1))})
	s.apply(Write{
		Verb: Update, Table: table, Key: []Cell{Has(PersonID(1))},
		Row: []Cell{Keep(), Has("Trần Thị B"), Keep(), Keep()},
	})
	s.settles(r, l)
	// The same on top of a view that was read before.
	s.apply(Write{
		Verb: Update, Table: table, Key: []Cell{Has(PersonID(1))},
		Row: []Cell{Keep(), {}, Keep(), Keep()},
	})
	if s.h.Capabilities.Nulls {
		s.settles(r, l)
	}
}

func (s *suite) largeTextKeyChange() {
	table := s.people("people")
	s.apply(Write{Verb: Insert, Table: table, Row: person(1, large(2))})
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	s.apply(Write{
		Verb: Update, Table: table, Key: []Cell{Has(PersonID(1))},
		Row: []Cell{Has(PersonID(2)), Keep(), Keep(), Keep()},
	})
	s.settles(r, l)
}

func (s *suite) oneRecordManyTimes() {
	table := s.people("people")
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	writes := []Write{s.insert(table, 1)}
	for i := range 200 {
		writes = append(writes, update(table, 1, fmt.Sprint(i)))
	}
	s.apply(writes...)
	s.apply(update(table, 1, "cuối"))
	s.settles(r, l)
}

func (s *suite) values() {
	texts := []string{
		"Nguyễn Thị Ánh Nguyệt",                  // composed
		"Nguye\u0302\u0303n Thi\u0323 A\u0301nh", // decomposed, and must stay so
		"'; DROP TABLE people; --", `\`, `"`, "tab\tline\r\n", " đầu và cuối ", "👩‍👩‍👧", "\u200b",
		strings.Repeat("Đ", 500_000),
	}
	if s.h.Capabilities.Nulls {
		texts = append(texts, "")
	}
	samples := map[lienthong.Kind][]string{
		lienthong.Text:    texts,
		lienthong.Integer: {"0", "-1", "9223372036854775807", "-9223372036854775808"},
		lienthong.Decimal: {"0", "0.00", "-12.50", "12345678901234567890.0987654321", "-0.000001", "10000", "100000000"},
		lienthong.Real:    {"0", "-1.5", "0.1", "1.7976931348623157e+308", "5e-324"},
		lienthong.Boolean: {"true", "false"},
		lienthong.Date:    {"1970-01-01", "1945-09-02", "2025-07-01", "0001-01-01", "9999-12-31", "2024-02-29"},
		lienthong.Timestamp: {
			"1970-01-01T00:00:00.000000Z", "1945-09-02T14:00:00.000001Z",
			"2025-06-30T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z",
		},
		lienthong.Binary: {"\x00\x01\xff", strings.Repeat("\x00", 4096)},
	}
	table := &Table{Name: "samples", Columns: []Column{{Name: "id", Kind: lienthong.Text, Key: true}}}
	for _, kind := range s.h.Capabilities.Kinds {
		table.Columns = append(table.Columns, Column{Name: "of_" + kind.String(), Kind: kind})
	}
	s.create(table)
	write := func(from string) {
		for n := range 12 {
			row := []Cell{Has(fmt.Sprintf("%s%02d", from, n))}
			for _, kind := range s.h.Capabilities.Kinds {
				switch {
				case n < len(samples[kind]):
					row = append(row, Has(samples[kind][n]))
				case s.h.Capabilities.Nulls:
					row = append(row, Cell{})
				default:
					row = append(row, Has(samples[kind][0]))
				}
			}
			s.apply(Write{Verb: Insert, Table: table, Row: row})
		}
	}
	write("xem")
	source := s.open()
	pos := s.start(source, table)
	l := s.landing(source, table)
	view, err := source.View(s.ctx())
	s.must(err)
	s.readAll(view, l, 0, 5)
	s.must(view.Close())
	if diff := cmp.Diff(s.truth(table), l.live(0)); diff != "" {
		s.t.Fatalf("view: %.3000s", diff)
	}
	r := s.stream(source, pos, l)
	write("dòng")
	s.settles(r, l)
}

func (s *suite) restartDeliversAgain() {
	table := s.people("people")
	source := s.open()
	pos := s.start(source, table)
	l := s.landing(source, table)
	r := s.stream(source, pos, l)
	s.apply(s.insert(table, 1))
	s.apply(s.insert(table, 2))
	s.settles(r, l)
	first := l.changes()
	r.end(s.t)
	s.must(source.Close())

	source = s.open()
	if again := s.start(source, table); pos.Before(again) {
		s.t.Fatalf("the source moved to %d though nothing was acknowledged", again.Order)
	}
	r = s.stream(source, pos, l)
	s.marker(r, l, table, 99)
	second := l.changes()
	if len(second) != len(first)+1 {
		s.t.Fatalf("%d changes after the restart, want %d again and the marker", len(second), len(first))
	}
	if diff := cmp.Diff(first, second[:len(first)]); diff != "" {
		s.t.Errorf("the same change must have the same version and content again: %s", diff)
	}
}

func (s *suite) acknowledgedIsForgotten() {
	table := s.people("people")
	source := s.open()
	pos := s.start(source, table)
	l := s.landing(source, table)
	r := s.stream(source, pos, l)
	s.apply(s.insert(table, 1))
	s.settles(r, l)
	l.mu.Lock()
	acknowledged := l.pos
	l.mu.Unlock()
	s.must(source.Acknowledge(s.ctx(), acknowledged))
	s.apply(s.insert(table, 2))
	s.settles(r, l)
	r.end(s.t)
	s.must(source.Close())

	source = s.open()
	after := s.start(source, table)
	if after.Before(acknowledged) {
		s.t.Errorf("Start returned %d, though %d was acknowledged", after.Order, acknowledged.Order)
	}
	l = s.landing(source, table)
	r = s.stream(source, after, l)
	s.marker(r, l, table, 99)
	key, _ := describe(table, person(2, ""))
	changes := l.changes()
	if len(changes) != 2 || changes[0].Key != key {
		s.t.Errorf("want what was not acknowledged and the marker, got %+v", changes)
	}
}

func (s *suite) acknowledgeWithoutStream() {
	table := s.people("people")
	source := s.open()
	pos := s.start(source, table)
	l := s.landing(source, table)
	r := s.stream(source, pos, l)
	s.apply(s.insert(table, 1))
	s.settles(r, l)
	r.end(s.t)
	s.must(source.Acknowledge(s.ctx(), l.pos))
	s.must(source.Close())
	source = s.open()
	if after := s.start(source, table); after.Before(l.pos) {
		s.t.Errorf("Start returned %d, though %d was acknowledged", after.Order, l.pos.Order)
	}
}

func (s *suite) changesWhileAway() {
	table := s.people("people")
	source := s.open()
	pos := s.start(source, table)
	s.must(source.Close())
	for id := range 30 {
		s.apply(s.insert(table, id))
	}
	s.apply(update(table, 3, "khi vắng"))
	if s.h.Capabilities.Deletes {
		s.apply(remove(table, 4))
	}
	source = s.open()
	s.start(source, table)
	l := s.landing(source, table)
	s.settles(s.stream(source, pos, l), l)
}

func (s *suite) schemaAddition() {
	table := s.people("people")
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	s.apply(s.insert(table, 1))
	s.settles(r, l)
	added := Column{Name: "phone", Kind: lienthong.Text}
	s.must(s.h.AddColumn(s.ctx(), table, added))
	wide := &Table{Name: table.Name, Columns: append(slices.Clone(table.Columns), added)}
	s.apply(Write{Verb: Insert, Table: wide, Row: append(person(2, "mới"), Has("0901"))})
	key, _ := describe(table, person(2, ""))
	s.until("the row with the new column arrives", r, l, func() bool {
		_, ok := l.state[0][key]
		return ok && !l.open
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	announced := false
	for _, e := range l.events {
		if e.Kind == "schema" && slices.ContainsFunc(e.Now.Columns, func(c lienthong.Column) bool {
			return c.Name == "phone" && c.Kind == lienthong.Text
		}) {
			announced = true
		}
		if e.Kind == "upsert" && len(e.Cells) == 5 && !announced {
			s.t.Error("a row with the new column came before Schema")
		}
	}
	if !announced {
		s.t.Error("Schema did not announce the new column")
	}
	if got := l.state[0][key].cells; len(got) != 5 || got[4] != Has("0901") {
		s.t.Errorf("the new column's value did not arrive: %+v", got)
	}
}

func (s *suite) schemaAdditionWhileAway() {
	table := s.people("people")
	source := s.open()
	pos := s.start(source, table)
	s.apply(s.insert(table, 1))
	s.must(source.Close())
	added := Column{Name: "phone", Kind: lienthong.Text}
	s.must(s.h.AddColumn(s.ctx(), table, added))
	wide := &Table{Name: table.Name, Columns: append(slices.Clone(table.Columns), added)}
	s.apply(Write{Verb: Insert, Table: wide, Row: append(person(2, "mới"), Has("0901"))})
	source = s.open()
	s.start(source, table)
	l := s.landing(source, table)
	r := s.stream(source, pos, l)
	one, _ := describe(table, person(1, ""))
	two, _ := describe(table, person(2, ""))
	s.until("both rows arrive", r, l, func() bool {
		_, first := l.state[0][one]
		got, second := l.state[0][two]
		return first && second && len(got.cells) == 5 && got.cells[4] == Has("0901")
	})
}

func (s *suite) idleWhenDrained() {
	table := s.people("people")
	source := s.open()
	l := s.landing(source, table)
	r := s.stream(source, s.start(source, table), l)
	for id := range 3 {
		s.apply(s.insert(table, id))
		key, _ := describe(table, person(id, ""))
		s.until("Idle follows the last commit", r, l, func() bool {
			_, ok := l.state[0][key]
			return ok && l.events[len(l.events)-1].Kind == "idle"
		})
	}
}

func (s *suite) sinkError() {
	table := s.people("people")
	source := s.open()
	l := s.landing(source, table)
	pos := s.start(source, table)
	full := errors.New("the disk is full")
	l.fail = full
	r := s.stream(source, pos, l)
	s.apply(s.insert(table, 1))
	if err := r.wait(s.t); !errors.Is(err, full) {
		s.t.Errorf("Stream returned %v, want the sink's error", err)
	}
	// Nothing is lost: the next Stream of the same Source delivers it.
	next := s.landing(source, table)
	s.settles(s.stream(source, pos, next), next)
}

func (s *suite) contextEnds() {
	table := s.people("people")
	source := s.open()
	pos := s.start(source, table)
	for range 3 {
		l := s.landing(source, table)
		r := s.stream(source, pos, l)
		s.until("the stream is running", r, l, func() bool { return len(l.events) > 0 })
		r.end(s.t)
	}
}

func (s *suite) destroy() {
	table := s.people("people")
	source := s.open()
	destroyer, ok := source.(connector.Destroyer)
	if !ok {
		s.t.Skip("the source keeps nothing for us")
	}
	s.start(source, table)
	s.apply(s.insert(table, 1))
	s.must(destroyer.Destroy(s.ctx()))
	s.must(destroyer.Destroy(s.ctx()))
	// The application goes on, and we can begin anew.
	s.apply(s.insert(table, 2))
	pos := s.start(source, table)
	l := s.landing(source, table)
	r := s.stream(source, pos, l)
	s.marker(r, l, table, 99)
	if got := len(l.changes()); got != 1 {
		s.t.Errorf("%d changes arrived, want only the marker", got)
	}
}

package capture_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector/conntest"
)

const handledPeople = `
dataset: sim.people
title_vi: Người
table: %s
identity: [record_key]
columns:
  - {column: id, element: record.key, handling: token, key: so}
  - {column: full_name, element: person.full_name, handling: mask, first: 1}
  - {column: note, element: person.number, field: number, handling: hash, key: tinh, required: false}
  - {column: counter, element: household.members, field: members, handling: drop}
rules:
  - {code: few, vi: Quá nhiều người, en: Too many, group: out_of_range, criterion: dung, field: members, blocking: true, check: {max: "50"}}
`

func personRow(table *conntest.Table, id, name, number, members string) conntest.Write {
	return conntest.Write{Verb: conntest.Insert, Table: table, Row: []conntest.Cell{
		conntest.Has(id), conntest.Has(name), conntest.Has(number), conntest.Has(members),
	}}
}

// Nothing of a handled value leaves the node; rules see the value as it is; both ends are
// still equal, also after a restart; and the node alone gets a token's value back.
func TestHandling_OnTheWholeRoad(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r := newRoad(t, h, capture.Config{})
		table := r.create(people("people"))
		r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(handledPeople, table.Name)))
		r.apply(
			personRow(table, "hs-001", "Nguyễn Văn An", "096012345678", "4"),
			personRow(table, "hs-002", "Trần Thị Bưởi", "096012345679", "400"), // dropped, and against the rule
			personRow(table, "hs-003", "Lê Văn Cam", "12345", "3"),             // not 12 digits
		)
		r.start()
		r.loaded(peopleDataset)
		r.apply(personRow(table, "hs-004", "Phạm Thị Dừa", "096012345678", "5"))
		r.restart()
		result := r.reconcile(peopleDataset)
		if result.SourceRows != 4 || result.LandedRows != 2 || result.Quarantined != 2 {
			t.Errorf("compared %s", describe(result))
		}
		landed := r.landed(peopleDataset, "record_key", "full_name", "number")
		if len(landed) != 2 {
			t.Fatalf("landed %v", landed)
		}
		hashes := map[string]bool{}
		names := map[string]bool{}
		for id, row := range landed {
			back, err := r.capture.Detokenise(datasetID(t, peopleDataset), "record_key", id)
			if err != nil {
				t.Fatal(err)
			}
			names[back] = true
			parts := strings.Split(row, ";")
			if len(parts) != 3 || len(parts[2]) != 34 { // 32 characters and the quotes
				t.Fatalf("row %q", row)
			}
			hashes[parts[2]] = true
			if want := map[string]string{"hs-001": `"N********"`, "hs-004": `"P********"`}[back]; parts[1] != want {
				t.Errorf("%s is masked as %s, want %s", back, parts[1], want)
			}
		}
		if !names["hs-001"] || !names["hs-004"] || len(hashes) != 1 {
			t.Errorf("records %v, hashes %v: equal numbers must have equal hashes", names, hashes)
		}
		r.mu.Lock()
		for _, line := range r.carried {
			for _, secret := range []string{"hs-00", "Văn", "Thị", "0960123456", "12345"} {
				if strings.Contains(line, secret) {
					t.Errorf("%q leaves the node in %q", secret, line)
				}
			}
		}
		shape := r.shapes[peopleDataset]
		r.mu.Unlock()
		if shape.FieldIndex("members") >= 0 {
			t.Error("a dropped field is in the shape")
		}
		page, err := r.capture.ListQuarantine(t.Context(), capture.QuarantineFilter{})
		if err != nil || len(page.Entries) != 2 {
			t.Fatalf("quarantine %+v, %v", page, err)
		}
		for _, entry := range page.Entries {
			if !strings.HasPrefix(entry.Plain, "hs-00") || strings.Contains(entry.ID, "hs") {
				t.Errorf("at the node the record must be known by its own name: %+v", entry)
			}
			e, err := r.capture.ExplainQuarantine(t.Context(), entry.Dataset, entry.Plain)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range e.Problems {
				if p.Sample != "***" || p.Vi == "" || p.En == "" || p.Column == "" {
					t.Errorf("problem %+v", p)
				}
			}
		}
		if _, err := r.capture.Detokenise(datasetID(t, peopleDataset), "full_name", "x"); lienthong.ErrorCode(err) != "token.field" {
			t.Errorf("a masked field has a way back: %v", err)
		}
	})
}

// Without its key a dataset stands still: it never sends the value instead.
func TestHandling_WithoutTheKeyNothingTravels(t *testing.T) {
	r := newRoad(t, sqliteHarness(t), capture.Config{FieldKeys: func(string) ([]byte, error) { return nil, context.DeadlineExceeded }})
	table := r.create(people("people"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(handledPeople, table.Name)))
	r.apply(personRow(table, "hs-001", "Nguyễn Văn An", "096012345678", "4"))
	r.start()
	r.await("the stop", func() bool { return r.status(peopleDataset).Stopped == "handling.key" })
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.carried) > 0 {
		t.Errorf("travelled: %q", r.carried)
	}
}

const territoryPeople = `
dataset: sim.people
title_vi: Người
table: %s
identity: [record_key]
rows:
  - {field: note, prefix: [A, B]}
columns:
  - {column: id, element: record.key}
  - {column: full_name, element: household.head_name, field: full_name}
  - {column: note, element: household.head_name, field: note}
  - {column: counter, element: household.members, field: counter}
`

// inside reads the truth of a territory.
func (r *road) inside(table *conntest.Table, prefixes ...string) map[string]string {
	truth := r.truth(table)
	for id, row := range truth {
		note := strings.Trim(strings.Split(row, ";")[2], `"`)
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(note, p) }) {
			delete(truth, id)
		}
	}
	return truth
}

func (r *road) sameInside(table *conntest.Table, prefixes ...string) {
	r.t.Helper()
	r.await("source and hub to be equal inside", func() bool {
		want, got := r.inside(table, prefixes...), r.landed(peopleDataset, "record_key", "full_name", "note", "counter")
		if len(want) != len(got) {
			return false
		}
		for id, row := range want {
			if got[id] != row {
				return false
			}
		}
		return true
	})
}

// Only rows of the territory travel. A row that moves out is deleted at the hub, one that
// moves in arrives whole, and of the others not even the identity is seen outside.
func TestRows_MoveInAndOut(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r := newRoad(t, h, capture.Config{ChunkRows: 4})
		table := r.create(people("people"))
		definition := fmt.Sprintf(territoryPeople, table.Name)
		r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", definition))
		large := incompressible(20_000) // PostgreSQL keeps it aside and does not repeat it
		row := func(id, note string) conntest.Write { return personRow(table, id, large+id, note, "3") }
		r.apply(row("p0001", "A1"), row("p0002", "B1"), row("p0003", "C1"), row("p0004", "C2"), row("p0005", "A2"), row("p0006", "C3"))
		r.start()
		r.loaded(peopleDataset)
		r.sameInside(table, "A", "B")

		r.apply(setCell(table, 1, 2, "C9"), setCell(table, 3, 2, "A9")) // out, in
		r.apply(row("p0007", "C7"), row("p0008", "B7"))
		r.apply(setCell(table, 4, 3, "9"), setCell(table, 5, 3, "8")) // outside and inside, the note unchanged
		r.apply(removePerson(table, 6), removePerson(table, 2))
		r.sameInside(table, "A", "B")
		r.restart()
		r.apply(setCell(table, 5, 2, "C5"), setCell(table, 8, 3, "1")) // what the hub has is remembered
		r.sameInside(table, "A", "B")
		result := r.reconcile(peopleDataset)
		if want := int64(len(r.inside(table, "A", "B"))); result.SourceRows != want || result.LandedRows != want || result.Quarantined != 0 {
			t.Errorf("compared %s, want %d rows", describe(result), want)
		}
		r.await("the rows outside to be counted", func() bool {
			return r.status(peopleDataset).Filtered == int64(len(r.truth(table))-len(r.inside(table, "A", "B")))
		})
		r.mu.Lock()
		for _, line := range r.carried {
			for _, stranger := range []string{"p0004", "p0006", "p0007"} {
				if strings.Contains(line, stranger) {
					t.Errorf("%s was never inside and is seen outside: %.60q", stranger, line)
				}
			}
		}
		r.mu.Unlock()
		for _, result := range r.results {
			if result.Result == lienthong.Differs { // a comparison that the restart cut in two fails, and is done again
				t.Errorf("something was missing and had to be mended: %s", describe(result))
			}
		}
		// Another territory: what leaves it goes from the hub, what joins it arrives.
		wider := strings.Replace(definition, "prefix: [A, B]", "prefix: [C]", 1)
		if err := r.capture.Redefine(t.Context(), parse(t, "people.yaml", wider)); err != nil {
			t.Fatal(err)
		}
		r.sameInside(table, "C")
		r.reconcile(peopleDataset)
		r.config.Definitions[0] = parse(t, "people.yaml", wider) // the file, which is not capture's to write
		r.restart()                                              // who is inside by the new filter is remembered
		r.reconcile(peopleDataset)
		r.apply(setCell(table, 4, 2, "A4"), setCell(table, 8, 2, "C8"))
		r.sameInside(table, "C")
		r.apply(conntest.Write{Verb: conntest.Truncate, Table: table})
		r.apply(row("p0009", "C1"), row("p0010", "A1"))
		r.sameInside(table, "C")
	})
}

// Rows that move in and out at random while the first load is read in small chunks end up
// where they belong, without anything to mend.
func TestRows_WhileTheFirstLoadIsRead(t *testing.T) {
	h, watch := countedHarness(t, sqliteHarness(t))
	r := newRoad(t, h, capture.Config{ChunkRows: 5, SnapshotWorkers: 2, SnapshotRowsPerSecond: 600})
	table := r.create(people("people"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(territoryPeople, table.Name)))
	note := func(n int) string { return string("ABCD"[n%4]) + fmt.Sprint(n) }
	for id := 1; id <= 400; id++ {
		r.apply(personRow(table, fmt.Sprintf("p%04d", id), "x", note(id), "1"))
	}
	r.start()
	r.await("the first rows", func() bool { return watch.rows.Load() > 0 })
	for i := range 600 {
		id := 1 + i*37%400
		if i%11 == 0 {
			r.apply(removePerson(table, id), personRow(table, fmt.Sprintf("p%04d", id), "y", note(i), "2"))
			continue
		}
		r.apply(setCell(table, id, 2, note(i*7)))
	}
	r.sameInside(table, "A", "B")
	r.reconcile(peopleDataset)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, result := range r.results {
		if result.Result == lienthong.Differs {
			t.Errorf("something was missing and had to be mended: %s", describe(result))
		}
	}
}

const wholeRows = `
dataset: sim.people
title_vi: Người
table: %s
identity: ['*']
others: keep
columns:
  - {column: full_name, element: household.head_name, field: full_name}
`

// A table without a key whose source logs whole old rows: rows are named by all their
// values, equal ones count as one, and the others come and go.
func TestWholeRows_WithoutAKey(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a server")
	}
	h := postgresHarness(t)
	table := &conntest.Table{Name: "people", Columns: []conntest.Column{{Name: "full_name", Kind: lienthong.Text}, {Name: "n", Kind: lienthong.Integer}}}
	r := newRoad(t, h, capture.Config{})
	r.create(table)
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(wholeRows, table.Name)))
	insert := func(name string, n int) conntest.Write {
		return conntest.Write{Verb: conntest.Insert, Table: table, Row: []conntest.Cell{conntest.Has(name), conntest.Has(fmt.Sprint(n))}}
	}
	r.start()
	r.await("the refusal", func() bool { return r.status(peopleDataset).Stopped == "dataset.no_old_rows" })
	if d := r.status(peopleDataset).Difference; !strings.Contains(d.DoVi+d.DoEn, "REPLICA IDENTITY FULL") {
		t.Errorf("it does not say what to do: %+v", d)
	}
	if err := h.Alter[replicaIdentityFull](t.Context(), table); err != nil {
		t.Fatal(err)
	}
	r.apply(insert("An", 1), insert("An", 1), insert("Bình", 2), insert("Cam", 3))
	r.restart()
	r.loaded(peopleDataset)
	texts := func() []string {
		var all []string
		for _, row := range r.landed(peopleDataset, "full_name", "n") {
			all = append(all, row)
		}
		slices.Sort(all)
		return all
	}
	await := func(want ...string) {
		t.Helper()
		r.await(fmt.Sprint(want), func() bool { return slices.Equal(texts(), want) })
	}
	await(`"An";"1"`, `"Bình";"2"`, `"Cam";"3"`)
	r.apply(conntest.Write{
		Verb: conntest.Update, Table: &conntest.Table{Name: table.Name, Columns: []conntest.Column{{Name: "full_name", Key: true}, {Name: "n", Kind: lienthong.Integer}}},
		Key: []conntest.Cell{conntest.Has("Bình")}, Row: []conntest.Cell{conntest.Keep(), conntest.Has("20")},
	})
	r.apply(insert("Dừa", 4))
	await(`"An";"1"`, `"Bình";"20"`, `"Cam";"3"`, `"Dừa";"4"`)
	result := r.reconcile(peopleDataset)
	if result.SourceRows != 4 || result.LandedRows != 4 {
		t.Errorf("equal rows count as one: %s", describe(result))
	}
}

// A table that has a key needs no such identity, and one without old rows cannot have it.
func TestWholeRows_AreRefusedWhereAKeyIs(t *testing.T) {
	r := newRoad(t, sqliteHarness(t), capture.Config{})
	table := r.create(people("people"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(wholeRows, table.Name)))
	r.start()
	r.await("the refusal", func() bool { return r.status(peopleDataset).Stopped == "dataset.identity" })
	if d := r.status(peopleDataset).Difference; !strings.Contains(d.DoEn, "id") {
		t.Errorf("it does not name the key: %+v", d)
	}
}

package capture_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/quality"
)

func recordOf(t testing.TB, id string) string {
	t.Helper()
	return quality.RecordDigest([]byte("key"), datasetID(t, peopleDataset), id)
}

func openRows(t testing.TB, r *road) *capture.Rows {
	t.Helper()
	rows, err := r.capture.OpenRows(context.Background(), datasetID(t, peopleDataset))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rows.Close() })
	return rows
}

// readRows lists what a query finds: record -> the values of some fields.
func readRows(t testing.TB, rows *capture.Rows, query capture.RowQuery, fields ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	shape := rows.Shape()
	err := rows.Each(context.Background(), query, func(now *capture.RowNow) error {
		var texts []string
		for _, name := range fields {
			i := shape.FieldIndex(name)
			texts = append(texts, string(now.Values[i].AppendText(nil, shape.Fields[i].Kind)))
		}
		for _, i := range now.Failed {
			texts = append(texts, "!"+rows.Checker().Rules()[i].Code)
		}
		if _, twice := found[now.Record]; twice {
			t.Errorf("a record comes twice: %v", texts)
		}
		found[now.Record] = strings.Join(texts, ";")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestRows_AreThoseOfTheSourceNow(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table := fussyRoad(t, h, capture.Config{ChunkRows: 2})
		before := openRows(t, r)
		few := capture.RowQuery{Failing: true, Rule: "few", Field: "counter"}
		want := map[string]string{}
		for id := 2; id <= 5; id++ {
			want[recordOf(t, fmt.Sprintf("p%04d", id))] = fmt.Sprintf("p%04d;%d00;!few", id, id)
		}
		if diff := cmp.Diff(want, readRows(t, before, few, "record_key", "counter")); diff != "" {
			t.Errorf("rows that break the rule (-want +got):\n%s", diff)
		}
		// The digest is the one by which people outside name the record.
		page, err := r.capture.ListQuarantine(t.Context(), capture.QuarantineFilter{})
		if err != nil || len(page.Entries) != 4 {
			t.Fatalf("%+v, %v", page, err)
		}
		for _, e := range page.Entries {
			if want[e.Record] == "" {
				t.Errorf("record %s is named otherwise", e.ID)
			}
		}
		for name, query := range map[string]capture.RowQuery{
			"another rule":  {Failing: true, Rule: "length"},
			"another field": {Failing: true, Rule: "few", Field: "note"},
			"no records":    {Records: map[string]struct{}{}},
		} {
			if found := readRows(t, before, query); len(found) > 0 {
				t.Errorf("%s: %v", name, found)
			}
		}
		if all := readRows(t, before, capture.RowQuery{}, "record_key"); len(all) != 6 {
			t.Errorf("%d rows of 6", len(all))
		}
		two := capture.RowQuery{Rule: "few", Records: map[string]struct{}{recordOf(t, "p0001"): {}, recordOf(t, "p0004"): {}, "unknown": {}}}
		if diff := cmp.Diff(map[string]string{recordOf(t, "p0001"): "1", recordOf(t, "p0004"): "400;!few"}, readRows(t, before, two, "counter")); diff != "" {
			t.Errorf("records by name (-want +got):\n%s", diff)
		}

		// A view stays as it was; the next one shows what came since.
		r.apply(setCell(table, 2, 3, "20"), setCell(table, 1, 3, "100"), removePerson(table, 5))
		if diff := cmp.Diff(want, readRows(t, before, few, "record_key", "counter")); diff != "" {
			t.Errorf("the view has changed (-want +got):\n%s", diff)
		}
		want = map[string]string{recordOf(t, "p0001"): "100;!few", recordOf(t, "p0003"): "300;!few", recordOf(t, "p0004"): "400;!few"}
		if diff := cmp.Diff(want, readRows(t, openRows(t, r), few, "counter")); diff != "" {
			t.Errorf("rows after changes (-want +got):\n%s", diff)
		}

		broken := errors.New("enough of it")
		calls := 0
		err = before.Each(t.Context(), capture.RowQuery{}, func(*capture.RowNow) error { calls++; return broken })
		if !errors.Is(err, broken) || calls != 1 {
			t.Errorf("%v after %d rows", err, calls)
		}
		other := lienthong.DatasetID{Database: "sim", Name: "nobody"}
		if _, err := r.capture.OpenRows(t.Context(), other); lienthong.ErrorCode(err) != "dataset.unknown" {
			t.Errorf("rows of a dataset that is not there: %v", err)
		}
	})
}

func TestRows_StopWhenAllAreFound(t *testing.T) {
	h, watch := countedHarness(t, sqliteHarness(t))
	read := &watch.rows
	r, _ := fussyRoad(t, h, capture.Config{ChunkRows: 2})
	rows := openRows(t, r)
	read.Store(0)
	if found := readRows(t, rows, capture.RowQuery{Records: map[string]struct{}{recordOf(t, "p0002"): {}}}); len(found) != 1 || read.Load() != 2 {
		t.Errorf("%d found, %d rows read; want 1 of the first 2", len(found), read.Load())
	}
	read.Store(0)
	calls := 0
	err := rows.Each(t.Context(), capture.RowQuery{Failing: true}, func(*capture.RowNow) error { calls++; return capture.ErrEnough })
	if err != nil || calls != 1 || read.Load() != 1 {
		t.Errorf("%v after %d calls and %d rows", err, calls, read.Load())
	}
}

// What does not leave the node is there for its own people, under the name that the hub knows.
func TestRows_OfHandledFields(t *testing.T) {
	r := newRoad(t, sqliteHarness(t), capture.Config{})
	table := r.create(people("people"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(handledPeople, table.Name)))
	r.apply(personRow(table, "hs-001", "Nguyễn Văn An", "096012345678", "4"), personRow(table, "hs-002", "Trần Thị Bưởi", "096012345679", "400"))
	r.start()
	r.loaded(peopleDataset)
	page, err := r.capture.ListQuarantine(t.Context(), capture.QuarantineFilter{})
	if err != nil || len(page.Entries) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	want := map[string]string{page.Entries[0].Record: "hs-002;Trần Thị Bưởi;400;!few"}
	if diff := cmp.Diff(want, readRows(t, openRows(t, r), capture.RowQuery{Failing: true, Rule: "few"}, "record_key", "full_name", "members")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const writtenPeople = `
dataset: sim.people
title_vi: Người
table: %s
identity: [record_key]
others: keep
rows:
  - {column: kind, in: ["1"]}
columns:
  - {column: id, element: record.key}
  - {columns: [last_name, first_name], element: person.full_name}
  - {column: first_name, element: household.head_name, field: given}
  - {column: born, element: person.birth_date, transforms: [trim, 'date:02/01/2006', 'date:2006-01-02']}
  - {column: sex, element: person.sex, required: false, transforms: ['code:phai']}
  - {column: origin, element: person.sex, field: origin, required: false, transforms: ['code:sex']}
  - {column: number, element: person.number, required: false, transforms: ['pad:12']}
  - {column: members, element: household.members}
codes:
  phai: {"1": M, "0": F, "nữ": F}
`

// TestRows_AtSource: what is said about the source makes exactly the right record.
func TestRows_AtSource(t *testing.T) {
	h := sqliteHarness(t)
	r := newRoad(t, h, capture.Config{})
	table := &conntest.Table{Name: "people", Columns: []conntest.Column{{Name: "id", Kind: lienthong.Text, Key: true}}}
	for _, name := range []string{"last_name", "first_name", "born", "sex", "origin", "note", "kind"} {
		table.Columns = append(table.Columns, conntest.Column{Name: name, Kind: lienthong.Text})
	}
	table.Columns = append(table.Columns, conntest.Column{Name: "number", Kind: lienthong.Integer}, conntest.Column{Name: "members", Kind: lienthong.Integer})
	table = r.create(table)
	var row []conntest.Cell
	for _, text := range []string{"a'1", "Nguyễn", "An", "31/02/1990", "5", "1", "ghi chú", "1", "96085000011", "4"} {
		row = append(row, conntest.Has(text))
	}
	r.apply(conntest.Write{Verb: conntest.Insert, Table: table, Row: row})
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(writtenPeople, table.Name)))
	r.start()
	r.await("the dataset to run", func() bool { return r.status(peopleDataset).ShapeVersion > 0 })
	rows := openRows(t, r)
	shape, columns := rows.Shape(), rows.Source()
	if len(columns.Identity) != 1 || columns.Fields[columns.Identity[0]].Name != "id" {
		t.Errorf("the table's key is %v", columns.Identity)
	}
	text := func(s string) lienthong.Value { return lienthong.Value{State: lienthong.Present, Bytes: []byte(s)} }
	number := func(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }
	day := number(time.Date(1990, 2, 28, 0, 0, 0, 0, time.UTC).Unix() / 86400)
	type values map[string]lienthong.Value
	for _, c := range []struct {
		name string
		set  values
		want string // "column=text", joined; empty: nothing is sure
	}{
		{"a date in the source's form", values{"birth_date": day}, "born=28/02/1990"},
		{"no date at all", values{"birth_date": {State: lienthong.Null}}, "born=∅"},
		{"a code that is written in one way", values{"sex": text("M")}, "sex=1"},
		{"a code that is written in two ways", values{"sex": text("F")}, ""},
		{"a code of a list that the definition does not spell", values{"origin": text("F")}, ""},
		{"a number that loses its zeros", values{"personal_number": text("096085000022")}, "number=96085000022"},
		{"letters in a number's column", values{"personal_number": text("09608500002x")}, ""},
		{"a whole number", values{"members": number(7)}, "members=7"},
		{"a column that nobody maps", values{"note": text("khác")}, "note=khác"},
		{"a field of two columns", values{"full_name": text("Nguyễn Bình")}, ""},
		{"a column of two fields", values{"given": text("Bình")}, ""},
		{"out of the dataset", values{"kind": text("2")}, ""},
		{"several", values{"birth_date": day, "members": number(2)}, "born=28/02/1990;members=2"},
		{"several, one of them not sure", values{"birth_date": day, "sex": text("F")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var fields []int
			var set []lienthong.Value
			for i := range shape.Fields {
				if v, is := c.set[shape.Fields[i].Name]; is {
					fields, set = append(fields, i), append(set, v)
				}
			}
			if len(fields) != len(c.set) {
				t.Fatalf("fields %v of %+v", fields, shape.Fields)
			}
			var got []string
			err := rows.Each(t.Context(), capture.RowQuery{}, func(now *capture.RowNow) error {
				source := slices.Clone(now.Source)
				made, sure := rows.AtSource(now.Source, fields, set)
				if sure != (c.want != "") {
					t.Errorf("sure: %t", sure)
				}
				for _, m := range made {
					v := "∅"
					if m.Value.State == lienthong.Present {
						v = string(m.Value.AppendText(nil, columns.Fields[m.Column].Kind))
					}
					got = append(got, columns.Fields[m.Column].Name+"="+v)
				}
				if diff := cmp.Diff(source, now.Source); diff != "" {
					t.Errorf("the row was changed:\n%s", diff)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if slices.Sort(got); c.want != "" && strings.Join(got, ";") != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
}

package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/console"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/landing"
)

// TestFeed_TellsWhatMatters: hundreds of batches are a line a minute, comparisons
// that agree are another, and what a person must see has a line of its own.
func TestFeed_TellsWhatMatters(t *testing.T) {
	f := newFeed()
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	title := console.Text{Vi: "Công dân", En: "Citizens"}
	stream := func(name string) lienthong.Stream {
		return lienthong.Stream{Node: "g01", Dataset: lienthong.DatasetID{Database: "population", Name: name}}
	}
	land := func(name string, kind lienthong.BatchKind, rows int) {
		now = now.Add(10 * time.Millisecond)
		f.batch(&lienthong.BatchHeader{Stream: stream(name), Kind: kind}, rows, now)
	}
	compare := func(name string, before *lienthong.Reconciliation, result lienthong.ReconcileWord) *lienthong.Reconciliation {
		now = now.Add(time.Second)
		r := &lienthong.Reconciliation{Stream: stream(name), Result: result, SourceRows: 2000, LandedRows: 1990, Quarantined: 10}
		f.compared(&landing.Event{Header: lienthong.BatchHeader{Stream: r.Stream}, Result: r}, title, before, now)
		return r
	}
	for range 4 {
		land("person", lienthong.SnapshotBatch, 500)
	}
	first := compare("person", nil, lienthong.Matches)
	for range 300 {
		land("person", lienthong.ChangesBatch, 5)
		land("move", lienthong.ChangesBatch, 1)
	}
	now = now.Truncate(time.Minute).Add(time.Minute)
	land("person", lienthong.ChangesBatch, 7)
	differs := compare("person", first, lienthong.Differs)
	land("person", lienthong.RepairBatch, 3)
	compare("person", differs, lienthong.Matches)

	var got []string
	for _, event := range f.newest() {
		got = append(got, event.Text.Vi)
	}
	want := []string{
		"Công dân: khớp trở lại, nguồn 2.000 = đã về 1.990 + cách ly 10",
		"1 tập dữ liệu đã so hai đầu: khớp",
		"đã gửi lại phần sai lệch: 3 dòng",
		"Công dân: hai đầu không khớp: nguồn 2.000, đã về 1.990, cách ly 10; đang gửi lại phần lệch",
		"7 thay đổi của 1 tập dữ liệu đã về, trong 1 lô",
		"1.800 thay đổi của 2 tập dữ liệu đã về, trong 600 lô",
		"1 tập dữ liệu đã so hai đầu: khớp",
		"Công dân: nạp lần đầu xong, 2.000 dòng",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestGrouped: numbers in sentences are written as each language writes them.
func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1.000", -1000: "-1.000", -100: "-100", 1234567: "1.234.567"} {
		if got := grouped(n, '.'); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

// TestEveryKind: the first rows that a person sees are one of every kind.
func TestEveryKind(t *testing.T) {
	var rows []console.RejectedRow
	for i, rule := range []string{"a", "a", "a", "b", "b", "c"} {
		rows = append(rows, console.RejectedRow{Rule: rule, Record: string(rune('0' + i))})
	}
	var got string
	for _, row := range everyKind(rows) {
		got += row.Rule + row.Record
	}
	if got != "a0b3c5a1b4a2" {
		t.Error(got)
	}
}

// TestRules_RunWhenSomethingChanged: a rule over many records runs as soon as all
// that it looks at is loaded, not again before a record has landed there, and then
// only after a rest.
func TestRules_RunWhenSomethingChanged(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	m := newMonitor(monitorConfig{now: func() time.Time { return now }})
	births, persons, parcels := lienthong.DatasetID{Database: "civil", Name: "birth"}, lienthong.DatasetID{Database: "population", Name: "person"}, lienthong.DatasetID{Database: "land", Name: "parcel"}
	d := &dictionary.Definition{Dataset: births, SetRules: []dictionary.SetRule{{Unique: []string{"number"}}, {Reference: &dictionary.Reference{Dataset: persons}}}}
	view := func(dataset lienthong.DatasetID) *streamView {
		return m.view(lienthong.Stream{Node: "n", Dataset: dataset})
	}
	load := func(dataset lienthong.DatasetID, rows int64) func() {
		return func() { view(dataset).last = &lienthong.Reconciliation{SourceRows: rows} }
	}
	land := func(dataset lienthong.DatasetID) func() { return func() { view(dataset).landed++ } }
	judge := func() {
		m.judged[d.Dataset] = judgement{generation: m.generation(d), rules: len(m.runnable(d)), took: time.Second, ended: now}
	}
	for _, step := range []struct {
		what         string
		do           func()
		rules        int
		changed, due bool
	}{
		{"nothing is loaded", func() {}, 0, false, false},
		{"two empty ends", load(births, 0), 0, false, false},
		{"rows land, still loading", land(births), 0, false, false},
		{"loaded, but not what it refers to", load(births, 10), 1, true, true},
		{"judged", judge, 1, false, false},
		{"all is loaded", load(persons, 10), 2, true, true},
		{"judged again", judge, 2, false, false},
		{"own record, too soon", land(births), 2, true, false},
		{"after the rest", func() { now = now.Add(rulesRest * time.Second) }, 2, true, true},
		{"judged once more", judge, 2, false, false},
		{"somebody else's record", land(parcels), 2, false, false},
		{"a record that it refers to", land(persons), 2, true, false},
	} {
		step.do()
		if rules := len(m.runnable(d)); rules != step.rules {
			t.Errorf("%s: %d rules, want %d", step.what, rules, step.rules)
		}
		if changed, due := m.changedSinceJudged(d); changed != step.changed || due != step.due {
			t.Errorf("%s: changed %v due %v, want %v %v", step.what, changed, due, step.changed, step.due)
		}
	}
}

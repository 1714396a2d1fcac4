package capture_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector/conntest"
)

// fussyPeople holds records back whose counter is above 50.
const fussyPeople = `
dataset: sim.people
title_vi: Người
table: %s
identity: [record_key]
columns:
  - {column: id, element: record.key}
  - {column: full_name, element: household.head_name, field: full_name}
  - {column: note, element: household.head_name, field: note}
  - {column: counter, element: household.members, field: counter}
rules:
  - {code: few, vi: Quá nhiều người, en: Too many people, group: out_of_range, criterion: dung, field: counter, blocking: true, check: {max: "50"}}
`

func fussyRoad(t *testing.T, h conntest.Harness, config capture.Config) (*road, *conntest.Table) {
	t.Helper()
	r := newRoad(t, h, config)
	table := r.create(people("people"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(fussyPeople, table.Name)))
	for id := 1; id <= 6; id++ {
		r.apply(insertPerson(table, id))
	}
	r.apply(setCell(table, 2, 3, "200"), setCell(table, 3, 3, "300"), setCell(table, 4, 3, "400"), setCell(table, 5, 3, "500"))
	r.start()
	r.loaded(peopleDataset)
	return r, table
}

func (r *road) quarantine(t *testing.T) map[string]capture.QuarantineState {
	t.Helper()
	states := map[string]capture.QuarantineState{}
	filter := capture.QuarantineFilter{Limit: 2} // several pages
	for {
		page, err := r.capture.ListQuarantine(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			states[e.ID] = e.State
		}
		if page.Next == "" {
			return states
		}
		filter.After = page.Next
	}
}

func (r *road) awaitState(t *testing.T, id string, want capture.QuarantineState) {
	t.Helper()
	r.await(id+" to be "+string(want), func() bool { return r.quarantine(t)[id] == want })
}

// read = landed + quarantined, always.
func (r *road) balanced(t *testing.T, table *conntest.Table, landed int) {
	t.Helper()
	result := r.reconcile(peopleDataset)
	if int(result.LandedRows) != landed || result.SourceRows != int64(len(r.truth(table))) || result.SourceRows != result.LandedRows+result.Quarantined {
		t.Errorf("compared %s, want %d landed", describe(result), landed)
	}
}

func TestQuarantine_TheLifeOfARecord(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		var shift atomic.Int64
		r, table := fussyRoad(t, h, capture.Config{Now: func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }})
		dataset := datasetID(t, peopleDataset)
		r.balanced(t, table, 2)
		page, err := r.capture.ListQuarantine(t.Context(), capture.QuarantineFilter{Dataset: &dataset, States: []capture.QuarantineState{capture.QuarantineHeld}, Rule: "few"})
		if err != nil || len(page.Entries) != 4 || page.Counts[capture.QuarantineHeld] != 4 {
			t.Fatalf("page %+v, %v", page, err)
		}
		for _, e := range page.Entries {
			if e.Since == 0 || len(e.Record) != 20 || !slices.Contains(e.Rules, "few") {
				t.Errorf("entry %+v", e)
			}
		}

		// Explained, masked, in both languages.
		e, err := r.capture.ExplainQuarantine(t.Context(), dataset, "p0002")
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Problems) < 1 || e.Problems[0].Column != "counter" || e.Problems[0].Vi != "Quá nhiều người" || e.Problems[0].En != "Too many people" ||
			!e.Problems[0].Blocking || strings.Contains(e.Problems[0].Sample, "200") || e.Problems[0].DoVi == "" || e.Problems[0].DoEn == "" {
			t.Errorf("explained as %+v", e.Problems)
		}

		// Fixed at the source; gone from the source.
		r.apply(setCell(table, 3, 3, "30"), removePerson(table, 4))
		r.awaitState(t, "p0003", capture.QuarantineFixed)
		r.awaitState(t, "p0004", capture.QuarantineGone)
		r.balanced(t, table, 3)

		// Let pass by a person: exactly this record, with exactly these values.
		if err := r.capture.ReleaseQuarantine(t.Context(), dataset, "p0002", "", ""); lienthong.ErrorCode(err) != "quarantine.reason" {
			t.Errorf("nobody has to say why: %v", err)
		}
		if err := r.capture.ReleaseQuarantine(t.Context(), dataset, "p0006", "chị Lan", "đúng vậy"); lienthong.ErrorCode(err) != "quarantine.not_held" {
			t.Errorf("a record that is not held is let pass: %v", err)
		}
		if err := r.capture.ReleaseQuarantine(t.Context(), dataset, "p0002", "chị Lan", "ký túc xá"); err != nil {
			t.Fatal(err)
		}
		r.await("the record to land", func() bool { return r.landed(peopleDataset, "counter")["p0002"] == `"200"` })
		r.balanced(t, table, 4)
		r.apply(setCell(table, 2, 1, "đổi tên")) // another field: it still passes
		r.await("its change to land", func() bool { return strings.Contains(r.landed(peopleDataset, "full_name")["p0002"], "đổi tên") })
		r.restart() // and is remembered
		r.await("a status", func() bool { return len(r.capture.Statuses()) > 0 })
		r.apply(setCell(table, 2, 1, "đổi tên nữa"))
		r.await("its change to land", func() bool { return strings.Contains(r.landed(peopleDataset, "full_name")["p0002"], "nữa") })
		if e, err = r.capture.ExplainQuarantine(t.Context(), dataset, "p0002"); err != nil || e.State != capture.QuarantineReleased || len(e.Problems) == 0 || slices.ContainsFunc(e.Problems, func(p capture.Problem) bool { return p.Blocking }) {
			t.Errorf("its finding must stay open and not block: %+v, %v", e, err)
		}
		r.apply(setCell(table, 2, 3, "201")) // the value that was let pass is another
		r.awaitState(t, "p0002", capture.QuarantineHeld)
		r.await("it to be held at the hub", func() bool { _, there := r.landed(peopleDataset, "counter")["p0002"]; return !there })
		r.balanced(t, table, 3)

		// Expired: it no longer waits for anybody, and is held and counted all the same.
		shift.Store(int64(48 * time.Hour))
		n, err := r.capture.ExpireQuarantine(t.Context(), dataset, time.Now().Add(24*time.Hour).UnixMicro(), "hệ thống")
		if err != nil || n != 2 {
			t.Errorf("%d expired, %v; want p0002 and p0005", n, err)
		}
		r.balanced(t, table, 3)
		r.apply(setCell(table, 5, 1, "tên khác")) // still as wrong as before
		r.balanced(t, table, 3)
		if state := r.quarantine(t)["p0005"]; state != capture.QuarantineExpired {
			t.Errorf("an expired record is %s after a change that mends nothing", state)
		}
		r.apply(setCell(table, 5, 3, "5"))
		r.awaitState(t, "p0005", capture.QuarantineFixed)
		r.balanced(t, table, 4)

		// All of it is in the record's history.
		if e, err = r.capture.ExplainQuarantine(t.Context(), dataset, "p0002"); err != nil {
			t.Fatal(err)
		}
		var states []capture.QuarantineState
		for _, step := range e.History {
			states = append(states, step.State)
			if step.State == capture.QuarantineReleased && (step.By != "chị Lan" || step.Reason != "ký túc xá") {
				t.Errorf("who let it pass, and why, is not kept: %+v", step)
			}
		}
		want := []capture.QuarantineState{capture.QuarantineHeld, capture.QuarantineReleased, capture.QuarantineHeld, capture.QuarantineExpired}
		if !slices.Equal(states, want) {
			t.Errorf("history %v, want %v", states, want)
		}
	})
}

// A value that is not of its field's kind travels as no value when its record is let pass.
func TestQuarantine_AMalformedValueIsLetPassWithoutIt(t *testing.T) {
	r := newRoad(t, sqliteHarness(t), capture.Config{})
	table := r.create(&conntest.Table{Name: "people", Columns: []conntest.Column{
		{Name: "id", Kind: lienthong.Text, Key: true}, {Name: "full_name", Kind: lienthong.Text}, {Name: "note", Kind: lienthong.Text}, {Name: "counter", Kind: lienthong.Text},
	}})
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(fussyPeople, table.Name)))
	r.apply(insertPerson(table, 1), setCell(table, 1, 3, "ba người"))
	r.start()
	r.loaded(peopleDataset)
	if err := r.capture.ReleaseQuarantine(t.Context(), datasetID(t, peopleDataset), "p0001", "anh Tư", "đã xác minh"); err != nil {
		t.Fatal(err)
	}
	r.await("the record to land", func() bool { return r.landed(peopleDataset, "counter")["p0001"] == "∅" })
	r.balanced(t, table, 1)
}

// A row without an identity is held, is known again when it is read again, and goes when it
// is mended or deleted.
func TestQuarantine_ARowWithoutAName(t *testing.T) {
	r := newRoad(t, sqliteHarness(t), capture.Config{})
	table := r.create(people("people"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(fussyPeople, table.Name)))
	blank := insertPerson(table, 1)
	blank.Row[0] = conntest.Has("")
	r.apply(blank, insertPerson(table, 2))
	r.start()
	r.loaded(peopleDataset)
	r.balanced(t, table, 1)
	r.restart()
	r.balanced(t, table, 1)
	states := r.quarantine(t)
	if len(states) != 1 {
		t.Fatalf("states %v, want one", states)
	}
	for id := range states {
		if !strings.HasPrefix(id, "?") {
			t.Errorf("named %q", id)
		}
		if err := r.capture.ReleaseQuarantine(t.Context(), datasetID(t, peopleDataset), id, "anh Tư", "vì sao không"); lienthong.ErrorCode(err) != "quarantine.not_held" {
			t.Errorf("a row without a name is let pass: %v", err)
		}
	}
	named := setCell(table, 1, 0, "p0001")
	named.Key = []conntest.Cell{conntest.Has("")}
	r.apply(named)
	r.balanced(t, table, 2)
	for id, state := range r.quarantine(t) {
		if state != capture.QuarantineGone {
			t.Errorf("%s is %s, want gone", id, state)
		}
	}
}

// What was found wrong before a gap is looked at again after it.
func TestQuarantine_AfterAGap(t *testing.T) {
	r, table := fussyRoad(t, sqliteHarness(t), capture.Config{})
	stopByRename(t, r, r.harness, table)
	r.apply(setCell(table, 2, 3, "2"), removePerson(table, 3), setCell(table, 6, 3, "600"))
	right := strings.Replace(fmt.Sprintf(fussyPeople, table.Name), "column: note", "column: remark", 1)
	if err := r.capture.Redefine(t.Context(), parse(t, "people.yaml", right)); err != nil {
		t.Fatal(err)
	}
	r.balanced(t, table, 2)
	want := map[string]capture.QuarantineState{
		"p0002": capture.QuarantineFixed, "p0003": capture.QuarantineGone, "p0004": capture.QuarantineHeld, "p0005": capture.QuarantineHeld, "p0006": capture.QuarantineHeld,
	}
	r.await("the states", func() bool {
		got := r.quarantine(t)
		for id, state := range want {
			if got[id] != state {
				return false
			}
		}
		return len(got) == len(want)
	})
}

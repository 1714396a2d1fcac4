package assessment

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

func TestHistory_KeepsWhatChanged(t *testing.T) {
	h := &History{Documents: documents(t)}
	m, _ := method(t)
	at := func(day int64, correct float64) *Assessment {
		f := fine()
		answeredAll(m, &f)
		f.Connection.LastChange += day * microsPerDay // the source goes on
		f.Connection.ComparedAt += day * microsPerDay
		f.criterion(lienthong.Correct).Value = correct
		return m.Assess(&f, noon+day*microsPerDay)
	}
	save := func(a *Assessment) int {
		n, err := h.Save(t.Context(), []*Assessment{a})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if save(at(0, 90)) != 1 || save(at(0, 90)) != 0 || save(at(1, 90)) != 0 {
		t.Error("what has not changed was kept again")
	}
	second := at(2, 95)
	if save(second) != 1 || save(at(2, 96)) != 1 {
		t.Error("a change was not kept")
	}
	got, err := h.Of(t.Context(), "enterprise", 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Day != "2026-11-23" || got[1].Day != "2026-11-25" || got[1].Criteria[0].Value != 96 {
		t.Fatalf("snapshots: %+v", got)
	}
	later, err := h.Of(t.Context(), "enterprise", noon+microsPerDay)
	if err != nil || len(later) != 1 {
		t.Errorf("%d snapshots since the day after (%v)", len(later), err)
	}
	moves := Moves(&got[0], &got[1], m.Version)
	if len(moves) == 0 || moves[0].Part != "criterion:dung" || !approximately(moves[0].After-moves[0].Before, 7*0.06) {
		t.Errorf("what moved: %+v", moves)
	}
	// A snapshot alone gives the points again.
	for _, snapshot := range got {
		total := 0.0
		for _, part := range snapshot.Current().Parts {
			total += part.Most * part.Value * part.Credit
		}
		if !approximately(total, snapshot.Current().Points) {
			t.Errorf("%s: %v from its parts, %v kept", snapshot.Day, total, snapshot.Current().Points)
		}
	}
}

func TestHistory_BandDoesNotFlicker(t *testing.T) {
	score := func(band, uncapped int, gates ...GateResult) *Assessment {
		return &Assessment{Method: "1.0", Band: BandResult{ID: band, Uncapped: uncapped, Gates: gates}}
	}
	shut := GateResult{ID: "identifier", Cap: 2}
	for _, test := range []struct {
		name string
		runs []*Assessment
		want []int
	}{
		{"the first holds", []*Assessment{score(3, 3)}, []int{3}},
		{"one run below changes nothing", []*Assessment{score(3, 3), score(2, 2), score(3, 3)}, []int{3, 3, 3}},
		{"two do", []*Assessment{score(3, 3), score(2, 2), score(2, 2)}, []int{3, 3, 2}},
		{"so do two above", []*Assessment{score(3, 3), score(4, 4), score(4, 4), score(3, 3), score(4, 4)}, []int{3, 3, 4, 4, 4}},
		{"a gate takes effect at once", []*Assessment{score(4, 4), score(2, 4, shut)}, []int{4, 2}},
		{"and opens after two", []*Assessment{score(4, 4), score(2, 4, shut), score(4, 4), score(4, 4)}, []int{4, 2, 2, 4}},
	} {
		var previous *Snapshot
		var got []int
		for _, run := range test.runs {
			s := SnapshotOf(previous, run)
			got = append(got, s.Current().Published)
			previous = &s
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestHistory_TwoMethodsStandBesideEachOther(t *testing.T) {
	h := &History{Documents: documents(t)}
	m, _ := method(t)
	next := *m
	next.Version = "2.0"
	f := fine()
	if _, err := h.Save(t.Context(), []*Assessment{m.Assess(&f, noon)}); err != nil {
		t.Fatal(err)
	}
	if n, err := h.Save(t.Context(), []*Assessment{m.Assess(&f, noon+microsPerDay), next.Assess(&f, noon+microsPerDay)}); err != nil || n != 1 {
		t.Fatalf("%d saved (%v)", n, err)
	}
	got, err := h.Of(t.Context(), "enterprise", 0)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d snapshots (%v)", len(got), err)
	}
	if _, found := got[1].By("1.0"); !found || got[1].Current().Method != "2.0" {
		t.Errorf("methods: %+v", got[1].Scores)
	}
	if moves := Moves(&got[0], &got[1], "2.0"); moves != nil {
		t.Errorf("a method is compared with one that was not there: %+v", moves)
	}
	sheet := next.NewSheet(next.Assess(&f, noon+2*microsPerDay), SheetInput{Trend: got})
	if len(sheet.Trend) != 2 {
		t.Errorf("the trend has %d points: those of another method must not be in it", len(sheet.Trend))
	}
}

package console

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

// TestVerdict: the first sentence of the front page is the worst thing that is
// true.
func TestVerdict(t *testing.T) {
	sound := AuditHead{Checked: true, Verified: true}
	for _, test := range []struct {
		name   string
		states []State
		audit  AuditHead
		want   verdict
	}{
		{"nothing", nil, AuditHead{}, verdict{}},
		{"all match", []State{Matching, Matching}, sound, verdict{State: Matching, Connected: 2, Matching: 2}},
		{"a log not checked yet is no alarm", []State{Matching}, AuditHead{}, verdict{State: Matching, Connected: 1, Matching: 1}},
		{"one loads", []State{Matching, Syncing}, sound, verdict{State: Syncing, Connected: 2, Matching: 1, Loading: 1}},
		{"one late", []State{Matching, Behind}, sound, verdict{State: Behind, Connected: 2, Matching: 1, Behind: 1}},
		{"wrong beats late and loading", []State{Syncing, Behind, Differing, Failing}, sound, verdict{State: Differing, Connected: 4, Loading: 1, Behind: 1, Wrong: 2}},
		{"a broken log beats all", []State{Matching}, AuditHead{Checked: true}, verdict{State: Failing, Connected: 1, Matching: 1}},
	} {
		var rows []DatabaseRow
		for _, state := range test.states {
			rows = append(rows, DatabaseRow{State: state})
		}
		if diff := cmp.Diff(test.want, judge(rows, test.audit)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// TestAttention: the worst comes first, and what concerns many has one line.
func TestAttention(t *testing.T) {
	score := func(criterion lienthong.Criterion, percent float64) CriterionScore {
		return CriterionScore{Criterion: criterion, Score: Score{Known: true, Percent: percent}}
	}
	rows := []DatabaseRow{
		{Code: "good", State: Matching, Criteria: []CriterionScore{score(lienthong.Correct, 99), score(lienthong.Shared, 0)}},
		{Code: "poor", State: Matching, Criteria: []CriterionScore{score(lienthong.Clean, 60), {Criterion: lienthong.Live}, score(lienthong.Shared, 50)}},
		{Code: "late", State: Behind},
		{Code: "gated", State: Matching, Index: Score{Known: true, Percent: 99, Gated: true}},
		{Code: "wrong", State: Differing},
	}
	var got []string
	for _, item := range whatNeedsAttention(rows, 3) {
		line := item.Kind
		if item.Database != nil {
			line += " " + item.Database.Code
		}
		got = append(got, line)
	}
	want := []string{"state wrong", "state late", "gate gated", "criterion poor", "shared", "catalogue"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for range 20 {
		rows = append(rows, DatabaseRow{State: Failing})
	}
	if all := whatNeedsAttention(rows, 3); len(all) != MaxAttention {
		t.Errorf("%d lines, want %d", len(all), MaxAttention)
	}
	if all := whatNeedsAttention(nil, 0); all != nil {
		t.Errorf("something to do on an empty platform: %v", all)
	}
}

// TestMissing: what landed after the source was counted is not a contradiction.
func TestMissing(t *testing.T) {
	for _, test := range [][4]int64{{100, 60, 10, 30}, {100, 90, 10, 0}, {100, 120, 0, 0}, {0, 0, 0, 0}} {
		row := DatabaseRow{SourceRows: test[0], LandedRows: test[1], Quarantined: test[2]}
		if got := row.Missing(); got != test[3] {
			t.Errorf("%v: %d", test, got)
		}
	}
}

package quality

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

const hour = int64(time.Hour / time.Microsecond)

// sampleCounters is a dataset of 1,000 records with one figure of each sort.
func sampleCounters() Counters {
	rule := func(code, field string, criterion lienthong.Criterion, weight int, open int64) RuleCounter {
		return RuleCounter{Code: code, Field: field, Vi: code, En: code, Criterion: criterion, Weight: weight, Open: open}
	}
	c := Counters{
		Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, At: 100 * hour,
		Rows: 1000, Quarantined: 50, Declared: 1900, MappedColumns: 9, TotalColumns: 12,
		Rules: []RuleCounter{
			rule("type", "number", lienthong.Clean, 1, 10),
			rule("required", "name", lienthong.Complete, 1, 100),
			rule("required", "birth", lienthong.Complete, 3, 20),
			rule("structure", "number", lienthong.Correct, 2, 30),
			rule("range", "birth", lienthong.Correct, 1, 0),
			rule("stale", "verified", lienthong.Live, 2, 500),
		},
		Sets: []SetCounter{
			NewSetCounter(dictionary.SetRule{Code: "number.unique", Unique: []string{"number"}}, false, 900, 90),
			NewSetCounter(dictionary.SetRule{Code: "mother", Field: "mother", Reference: &dictionary.Reference{}}, false, 400, 100),
		},
		Sources: []SourceCounter{{Node: "bca", LastChange: 52 * hour, Interval: 24 * hour, Lag: 120e6}},
	}
	return c
}

func TestScore(t *testing.T) {
	t.Parallel()
	scores := Method{}.Score(100*hour, sampleCounters())
	want := map[lienthong.Criterion]float64{
		lienthong.Correct:  (97*2 + 100*1) / 3.0,
		lienthong.Complete: ((90*1 + 98*3) + 50*4) / 8.0,       // coverage 950/1900 weighs as much as both rules
		lienthong.Clean:    (99 + 90) / 2.0,                    // wrong formats and duplicates
		lienthong.Live:     (50*2 + 24.0/48*100*1 + 50*1) / 4., // 48 h old at 24 h declared; 120 s lag at 60 s allowed
		lienthong.Unified:  (75 + 75) / 2.0,
		lienthong.Shared:   0,
	}
	for i, criterion := range lienthong.Criteria() {
		score := scores[i]
		if score.Criterion != criterion || !score.Known {
			t.Fatalf("score %d is %+v", i, score)
		}
		if math.Abs(score.Value-want[criterion]) > 1e-9 {
			t.Errorf("%s = %v, want %v; parts %+v", criterion, score.Value, want[criterion], score.Parts)
		}
		recompute(t, score)
	}
	index := Method{}.Index(scores)
	wantIndex := 0.0
	for _, criterion := range lienthong.Criteria()[:5] {
		wantIndex += want[criterion] / 5
	}
	if math.Abs(index.Value-wantIndex) > 1e-9 || index.Measured != 5 || index.Of != 5 || index.Colour != Yellow {
		t.Errorf("index %+v, want %v yellow", index, wantIndex)
	}
	weighted := Method{Weights: map[lienthong.Criterion]float64{lienthong.Clean: 3, lienthong.Live: 1}}.Index(scores)
	if math.Abs(weighted.Value-(94.5*3+50)/4) > 1e-9 {
		t.Errorf("weighted index %v", weighted.Value)
	}
}

// recompute is what a person does with a calculator.
func recompute(t *testing.T, score CriterionScore) {
	t.Helper()
	if score.FormulaVi == "" || score.FormulaEn == "" {
		t.Errorf("%s has no formula", score.Criterion)
	}
	sum, weights := 0.0, 0.0
	for _, part := range score.Parts {
		if part.LabelVi == "" || part.LabelEn == "" {
			t.Errorf("%s has a part without a label", score.Criterion)
		}
		if !part.Known {
			continue
		}
		if value := math.Min(100, 100*part.Numerator/part.Denominator); math.Abs(value-part.Value) > 1e-9 {
			t.Errorf("%s, %s: %v is not %v", score.Criterion, part.LabelEn, part.Value, value)
		}
		sum += part.Value * part.Weight
		weights += part.Weight
	}
	if score.Known != (weights > 0) || score.Known && math.Abs(sum/weights-score.Value) > 1e-9 {
		t.Errorf("%s is %v, its parts make %v", score.Criterion, score.Value, sum/weights)
	}
}

func TestScoreOfNothing(t *testing.T) {
	t.Parallel()
	for name, scores := range map[string][]CriterionScore{
		"no dataset":    Method{}.Score(1),
		"empty dataset": Method{}.Score(1, Counters{Dataset: lienthong.DatasetID{Database: "a", Name: "b"}}),
	} {
		for _, score := range scores {
			shared := score.Criterion == lienthong.Shared && name == "empty dataset"
			if score.Known != shared || score.Value != 0 {
				t.Errorf("%s: %s is known=%v, %v", name, score.Criterion, score.Known, score.Value)
			}
		}
		if index := (Method{}).Index(scores); index.Known || index.Colour != Grey {
			t.Errorf("%s: index %+v", name, index)
		}
	}
}

func TestScoreIdentifierGate(t *testing.T) {
	t.Parallel()
	counters := Counters{Rows: 1_000_000, Rules: []RuleCounter{
		{Code: "digits", Field: "number", Criterion: lienthong.Clean, Identifier: true},
		{Code: "stale", Field: "number", Criterion: lienthong.Live, Identifier: true, Open: 5},
	}}
	if index := (Method{}).Index(Method{}.Score(1, counters)); index.Colour != Green || len(index.Gate) != 0 {
		t.Errorf("a perfect identifier: %+v", index)
	}
	counters.Rules[0].Open = 1
	index := (Method{}).Index(Method{}.Score(1, counters))
	if index.Colour != Red || len(index.Gate) != 1 || index.Value < 99.9 {
		t.Errorf("one wrong identifier in a million must be red: %+v", index)
	}
	counters.Rules[0].Open = 0
	counters.Sets = []SetCounter{{Code: "unique", Field: "number", Criterion: lienthong.Clean, Identifier: true, Checked: 10, Failed: 2}}
	other := Counters{Dataset: lienthong.DatasetID{Database: "x", Name: "y"}, Rows: 1}
	if index := (Method{}).Index(Method{}.Score(1, counters, other)); index.Colour != Red || len(index.Gate) != 1 {
		t.Errorf("the gate of a dataset holds for its database: %+v", index)
	}
}

func TestScoreOfDatabase(t *testing.T) {
	t.Parallel()
	counters := func(name string, rows, open int64) Counters {
		return Counters{
			Dataset: lienthong.DatasetID{Database: "civil", Name: name}, Rows: rows,
			Rules: []RuleCounter{{Code: "r", Field: "f", Criterion: lienthong.Correct, Weight: 1, Open: open}},
		}
	}
	scores := Method{}.Score(1, counters("birth", 1000, 100), counters("death", 10, 5), counters("marriage", 0, 0), counters("birth", 1000, 300))
	correct := scores[0]
	if correct.Criterion != lienthong.Correct || math.Abs(correct.Value-(80+50)/2.0) > 1e-9 {
		t.Errorf("two parts of births make 80, deaths 50, marriages nothing: %+v", correct)
	}
	for _, score := range scores {
		recompute(t, score)
		if len(score.Parts) != 3 {
			t.Errorf("%s shows %d datasets", score.Criterion, len(score.Parts))
		}
	}
	if correct.Parts[2].Known || correct.Parts[2].LabelEn != "civil.marriage" {
		t.Errorf("a dataset without records is shown and not measured: %+v", correct.Parts[2])
	}
}

func TestScoreLimits(t *testing.T) {
	t.Parallel()
	value := func(c Counters, criterion lienthong.Criterion) (float64, bool) {
		for _, score := range (Method{}).Score(100*hour, c) {
			if score.Criterion == criterion {
				return score.Value, score.Known
			}
		}
		return -1, false
	}
	for _, c := range []struct {
		name      string
		counters  Counters
		criterion lienthong.Criterion
		want      float64
		known     bool
	}{
		{"more records than declared", Counters{Rows: 20, Declared: 10}, lienthong.Complete, 100, true},
		{"not declared", Counters{Rows: 20}, lienthong.Complete, 0, false},
		{"fresh", Counters{Sources: []SourceCounter{{LastChange: 99 * hour, Interval: 24 * hour}}}, lienthong.Live, 100, true},
		{"changed in the future", Counters{Sources: []SourceCounter{{LastChange: 200 * hour, Interval: 24 * hour}}}, lienthong.Live, 100, true},
		{"interval not declared", Counters{Sources: []SourceCounter{{LastChange: 99 * hour}}}, lienthong.Live, 0, false},
		{"never changed", Counters{Sources: []SourceCounter{{Interval: hour}}}, lienthong.Live, 0, false},
		{"lag only", Counters{Sources: []SourceCounter{{Lag: 1000}}}, lienthong.Live, 100, true},
		{"one silent commune of two", Counters{Sources: []SourceCounter{
			{Node: "a", LastChange: 99 * hour, Interval: hour}, {Node: "b", LastChange: 90 * hour, Interval: hour},
		}}, lienthong.Live, 55, true},
		{"published, nobody uses it", Counters{Services: 3}, lienthong.Shared, 50, true},
		{"published and used", Counters{Services: 3, Consumers: 7}, lienthong.Shared, 100, true},
		{"more findings than records", Counters{Rows: 5, Rules: []RuleCounter{{Criterion: lienthong.Clean, Open: 9}}}, lienthong.Clean, 0, true},
	} {
		if got, known := value(c.counters, c.criterion); math.Abs(got-c.want) > 1e-9 || known != c.known {
			t.Errorf("%s: %v (known %v), want %v (%v)", c.name, got, known, c.want, c.known)
		}
	}
	for _, c := range []struct {
		value float64
		known bool
		want  Colour
	}{{100, true, Green}, {90, true, Green}, {89.99, true, Yellow}, {75, true, Yellow}, {74.99, true, Red}, {0, true, Red}, {100, false, Grey}} {
		if got := (Method{}).Colour(c.value, c.known); got != c.want {
			t.Errorf("colour of %v (known %v) is %s, want %s", c.value, c.known, got, c.want)
		}
	}
	if (Method{Green: 95, Yellow: 80}).Colour(94, true) != Yellow {
		t.Error("thresholds are configuration")
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	shape := personShape()
	shape.Fields[1].Mapped = false
	checker, err := Compile(shape, []dictionary.Rule{
		{Code: "number.digits", Field: "number", Check: dictionary.Check{Digits: 12}, Blocking: true, Weight: 5},
		{Code: "name.needed", Field: "name", Check: dictionary.Check{Required: true}},
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	counters := NewCounters(checker)
	if counters.MappedColumns != len(shape.Fields)-1 || counters.TotalColumns != len(shape.Fields) || len(counters.Rules) != len(checker.Rules()) {
		t.Errorf("counters %+v", counters)
	}
	if !counters.SetOpen("number.digits", "number", 7) || counters.SetOpen("number.digits", "name", 7) {
		t.Error("SetOpen does not find rules by code and field")
	}
	rule := counters.Rules[checker.RuleIndex("number.digits", "number")]
	want := RuleCounter{
		Code: "number.digits", Field: "number", Vi: "number.digits", En: "number.digits", Group: lienthong.WrongFormat,
		Criterion: lienthong.Clean, Weight: 5, Blocking: true, Identifier: true, Open: 7,
	}
	if diff := cmp.Diff(want, rule); diff != "" {
		t.Error(diff)
	}
	if rule := counters.Rules[checker.RuleIndex("name.needed", "name")]; !rule.Required || rule.Criterion != lienthong.Complete {
		t.Errorf("required rule %+v", rule)
	}

	text, err := json.Marshal(sampleCounters())
	if err != nil {
		t.Fatal(err)
	}
	var back Counters
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleCounters(), back); diff != "" {
		t.Errorf("counters do not survive the report: %s", diff)
	}
}

func TestCountersMerge(t *testing.T) {
	t.Parallel()
	part := func(node string, at, rows, open int64, extra string) Counters {
		return Counters{
			Dataset: lienthong.DatasetID{Database: "land", Name: "parcel"}, At: at, Rows: rows, Quarantined: 1, Declared: rows + 10,
			MappedColumns: 3, TotalColumns: 4, Services: 2, Consumers: at,
			Rules:   []RuleCounter{{Code: "r", Field: "f", Open: open}, {Code: extra, Field: "f", Open: 1}},
			Sets:    []SetCounter{{Code: "s", Checked: rows, Failed: open}},
			Sources: []SourceCounter{{Node: node, LastChange: at}},
		}
	}
	a, b, c := part("n1", 10, 100, 1, "x"), part("n2", 20, 200, 2, "y"), part("n1", 5, 300, 4, "x")
	join := func(parts ...Counters) Counters {
		sum := parts[0]
		for i := range parts[1:] {
			sum.Merge(&parts[i+1])
		}
		return sum
	}
	got := join(a, b, c)
	want := Counters{
		Dataset: a.Dataset, At: 20, Rows: 600, Quarantined: 3, Declared: 630, MappedColumns: 9, TotalColumns: 12, Services: 2, Consumers: 20,
		Rules:   []RuleCounter{{Code: "r", Field: "f", Open: 7}, {Code: "x", Field: "f", Open: 2}, {Code: "y", Field: "f", Open: 1}},
		Sets:    []SetCounter{{Code: "s", Checked: 600, Failed: 7}},
		Sources: []SourceCounter{{Node: "n1", LastChange: 10}, {Node: "n2", LastChange: 20}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	anyOrder := cmpopts.SortSlices(func(a, b RuleCounter) bool { return a.Code < b.Code })
	nodes := cmpopts.SortSlices(func(a, b SourceCounter) bool { return a.Node < b.Node })
	for name, other := range map[string]Counters{"b a c": join(b, a, c), "a (b c)": join(a, join(b, c))} {
		if diff := cmp.Diff(got, other, anyOrder, nodes); diff != "" {
			t.Errorf("merging in order %s differs: %s", name, diff)
		}
	}
	if diff := cmp.Diff(part("n1", 10, 100, 1, "x"), a); diff != "" {
		t.Errorf("merging changed a part: %s", diff)
	}
}

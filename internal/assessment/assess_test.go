package assessment

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/quality"
)

// printed is what a person has in hand: the JSON of an assessment and nothing else.
type printed struct {
	Points   float64
	Coverage float64
	OfKnown  float64 `json:"of_known"`
	Parts    []struct {
		ID, Dimension               string
		Most, Value, Credit, Points float64
		Known                       bool
		Grade                       Grade
		Verified                    bool
	}
	Dimensions []struct {
		ID                     string
		Most, Points, Coverage float64
	}
	Evidence []struct{ Share float64 }
	Band     struct{ ID, Uncapped int }
}

func TestScore_IsRecomputedFromWhatIsPrinted(t *testing.T) {
	m, d := method(t)
	all := []Facts{fine(), worst()}
	answered := fine()
	answeredAll(m, &answered)
	all = append(all, answered)
	for _, database := range d.Databases() {
		all = append(all, m.Seed(d, database, noon))
	}
	for i := range all {
		body, err := json.Marshal(m.Assess(&all[i], noon))
		if err != nil {
			t.Fatal(err)
		}
		var p printed
		if err := json.Unmarshal(body, &p); err != nil {
			t.Fatal(err)
		}
		total, known, most := 0.0, 0.0, 0.0
		byDimension := map[string]float64{}
		for _, part := range p.Parts {
			points := part.Most * part.Value * part.Credit
			if !approximately(points, part.Points) {
				t.Errorf("%s: %v x %v x %v is not %v", part.ID, part.Most, part.Value, part.Credit, part.Points)
			}
			if want := m.credit(part.Grade, part.Verified); part.Known && part.Credit != want || !part.Known && part.Credit != 0 {
				t.Errorf("%s: credit %v of grade %q", part.ID, part.Credit, part.Grade)
			}
			total += points
			most += part.Most
			byDimension[part.Dimension] += points
			if part.Known {
				known += part.Most
			}
		}
		if !approximately(total, p.Points) || !approximately(most, 100) || !approximately(known, p.Coverage) {
			t.Errorf("%s: points %v, parts %v of %v, known %v of %v", all[i].Database.Code, p.Points, total, most, known, p.Coverage)
		}
		if known > 0 && !approximately(p.OfKnown, 100*total/known) {
			t.Errorf("%s: %v of the known points, want %v", all[i].Database.Code, p.OfKnown, 100*total/known)
		}
		for _, dimension := range p.Dimensions {
			if !approximately(dimension.Points, byDimension[dimension.ID]) {
				t.Errorf("%s: dimension %s has %v, its parts %v", all[i].Database.Code, dimension.ID, dimension.Points, byDimension[dimension.ID])
			}
		}
		shares := 0.0
		for _, e := range p.Evidence {
			shares += e.Share
		}
		if !approximately(shares, 100) {
			t.Errorf("%s: grades of evidence cover %v", all[i].Database.Code, shares)
		}
	}
}

func TestScore_Promises(t *testing.T) {
	m, _ := method(t)
	points := func(change func(*Facts)) float64 {
		f := fine()
		change(&f)
		return assess(t, f).Points
	}
	nothing := points(bare)
	if nothing != 0 {
		t.Errorf("a database of which nothing is known has %v points", nothing)
	}
	full := fine()
	answeredAll(m, &full)
	best := assess(t, full)
	if best.Band.ID != 4 || best.Coverage < 99.999 || len(best.Band.Gates) != 0 {
		t.Errorf("the fine database with all answers: band %d, %v points %+v, coverage %v, gates %v", best.Band.ID, best.Points, best.Dimensions, best.Coverage, best.Band.Gates)
	}
	if got := points(none); got >= best.Points {
		t.Errorf("without answers %v, with them %v", got, best.Points)
	}
	// An answer earns less than a measurement, a bare one less than a verified one, none nothing.
	withAnswer := func(state State, original bool) float64 {
		return points(func(f *Facts) {
			f.Answers = []Answer{{Database: "enterprise", Question: "4", Verdict: Yes, Evidence: Evidence{Document: "x"}, At: noon - 1, State: state, Original: original}}
		})
	}
	steps := []float64{points(none), withAnswer(Answered, false), withAnswer(Verified, false), withAnswer(Verified, true)}
	if !slices.IsSorted(steps) || steps[0] == steps[1] || steps[1] == steps[2] || steps[2] == steps[3] {
		t.Errorf("no answer, declared, verified, compared with the original: %v", steps)
	}
	if withAnswer(Returned, false) != steps[0] {
		t.Error("an answer that was sent back earns points")
	}
	// What does not apply takes no share: level 5 asks for more than level 3.
	three := fine()
	three.Security.Level = 3
	atThree := assess(t, three)
	for _, q := range atThree.Questions {
		if above := slices.Contains([]string{"A37", "A38", "A45", "A47", "A48", "A49"}, q.ID); above == q.Applies {
			t.Errorf("level 3: %s applies=%v", q.ID, q.Applies)
		}
		if got := part(atThree, q.Part()).Most > 0; got != q.Applies {
			t.Errorf("level 3: %s applies=%v, takes a share: %v", q.ID, q.Applies, got)
		}
	}
}

func TestBand_GatesCapIt(t *testing.T) {
	m, _ := method(t)
	for _, test := range []struct {
		name   string
		change func(*Facts)
		gate   string
		want   int
	}{
		{"nothing wrong", none, "", 4},
		{"one identifier rule of one criterion", gate(lienthong.Clean), "identifier", 2},
		{"shared is no part of the index", gate(lienthong.Shared), "", 4},
		{"a criterion hardly measured", func(f *Facts) { f.criterion(lienthong.Live).Coverage = 79.9 }, "coverage", 2},
		{"a criterion not measured", func(f *Facts) { f.criterion(lienthong.Live).Known = false }, "coverage", 2},
		{"both ends differ", func(f *Facts) { f.Connection.Failed = 1 }, "differing", 2},
		{"no level dossier", func(f *Facts) { f.Security.LevelDocument = "" }, "security", 3},
		{"no level at all", func(f *Facts) { f.Security.Level = 0 }, "security", 3},
	} {
		f := fine()
		answeredAll(m, &f)
		test.change(&f)
		got := assess(t, f).Band
		shut := slices.ContainsFunc(got.Gates, func(g GateResult) bool { return g.ID == test.gate })
		if got.ID != test.want || shut != (test.gate != "") || got.Uncapped < 3 {
			t.Errorf("%s: band %d (uncapped %d), gates %v; want %d by %q", test.name, got.ID, got.Uncapped, got.Gates, test.want, test.gate)
		}
	}
	f := fine()
	f.Quality = Quality{}
	if got := assess(t, f).Band; got.ID > 2 || !slices.ContainsFunc(got.Gates, func(g GateResult) bool { return g.ID == "evidence" }) {
		t.Errorf("a third of the points is not known: band %d, gates %v", got.ID, got.Gates)
	}
	for _, test := range []struct {
		points float64
		want   int
	}{{86.7, 4}, {86.699, 3}, {54.6, 3}, {54.599, 2}, {29.9, 2}, {29.899, 1}, {0, 1}} {
		v := &view{m: m, r: &reading{Facts: &Facts{}, method: m}, observed: make([]Observation, len(m.figures))}
		if got := v.band(&Assessment{Points: test.points, Coverage: 100}); got.Uncapped != test.want {
			t.Errorf("%v points: band %d, want %d", test.points, got.Uncapped, test.want)
		}
	}
}

func TestCriteria_MeanNeverStandsAlone(t *testing.T) {
	f := fine()
	f.criterion(lienthong.Clean).Value = 91
	f.criterion(lienthong.Clean).Gates = 2
	f.criterion(lienthong.Live).Known = false
	f.Quality.Index = 96
	a := assess(t, f)
	if a.Index.Lowest != lienthong.Clean || a.Index.LowestAt != 91 || a.Index.Measured != 4 || a.Index.Of != 5 || a.Index.Colour != quality.Red || a.Index.Gates != 2 {
		t.Errorf("index: %+v", a.Index)
	}
	if c := a.Criterion(lienthong.Clean); c.Colour != quality.Red {
		t.Errorf("a criterion with an identifier below 100 %% is %s", c.Colour)
	}
	if c := a.Criterion(lienthong.Live); c.Colour != quality.Grey || c.Known {
		t.Errorf("a criterion that was not measured: %+v", c)
	}
}

func TestFromQuality_TakesOverScoresWithTheirCoverage(t *testing.T) {
	counters := quality.Counters{
		Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Rows: 1000, MappedColumns: 9, TotalColumns: 12,
		Rules: []quality.RuleCounter{
			{Code: "number", Field: "number", Vi: "số định danh", En: "number", Criterion: lienthong.Correct, Identifier: true, Weight: 5, Open: 3},
			{Code: "name", Field: "name", Vi: "họ tên", En: "name", Criterion: lienthong.Complete, Weight: 1, Open: 100},
		},
	}
	scores := quality.Method{}.Score(noon, counters)
	q := FromQuality(Signed, scores, quality.Method{}.Index(scores))
	at := func(c lienthong.Criterion) CriterionFact {
		return q.Criteria[slices.IndexFunc(q.Criteria, func(f CriterionFact) bool { return f.Criterion == c })]
	}
	if got := at(lienthong.Correct); !got.Known || got.Gates != 1 || got.Broken != 3 || !strings.HasPrefix(got.Weakest.Vi, "số định danh") || !approximately(got.WeakestAt, 99.7) || got.Coverage != 100 {
		t.Errorf("correct: %+v", got)
	}
	if got := at(lienthong.Complete); !got.Known || got.Coverage != 50 || !approximately(got.Value, 90) { // half of the weight is coverage, which nobody declared
		t.Errorf("complete: %+v", got)
	}
	if got := at(lienthong.Live); got.Known || got.Coverage != 0 {
		t.Errorf("live: %+v", got)
	}
	f := fine()
	f.Quality = q
	if a := assess(t, f); a.Index.Colour != quality.Red || a.Band.ID > 2 {
		t.Errorf("an identifier below 100 %%: index %s, band %d", a.Index.Colour, a.Band.ID)
	}
}

func TestAssess_AllDatabasesOfTheNationalList(t *testing.T) {
	m, d := method(t)
	databases := d.Databases()
	if len(databases) < 73 {
		t.Fatalf("%d databases", len(databases))
	}
	advice := map[string]string{}
	for _, database := range databases {
		f := m.Seed(d, database, noon)
		a := m.Assess(&f, noon)
		if len(a.Recommendations) == 0 || math.IsNaN(a.Points) || a.Band.ID != 1 {
			t.Errorf("%s: %d recommendations, %v points, band %d", database.Code, len(a.Recommendations), a.Points, a.Band.ID)
		}
		var ids []string
		for _, r := range a.Recommendations {
			ids = append(ids, r.ID)
			for _, text := range []string{r.Do.Vi, r.Do.En, r.Why.Vi, r.Why.En} {
				if strings.ContainsAny(text, "{}") || text == "" {
					t.Errorf("%s %s: %q", database.Code, r.ID, text)
				}
			}
			if r.TaskWords.Vi == "" || r.From <= 0 || r.To < r.From {
				t.Errorf("%s %s: task %q, %v-%v days", database.Code, r.ID, r.Task, r.From, r.To)
			}
		}
		advice[database.Code] = strings.Join(ids, " ")
	}
	// What differs in the facts differs in the advice.
	for _, pair := range []struct{ a, b, only string }{
		{"credit", "radio_spectrum", "verify_name"}, // the list has only its name
		{"law", "education", "legal_basis"},         // B, without a legal basis
		{"party", "population", "owner_code"},       // no official code
		{"general", "land", "finish_building"},      // published: under construction
		{"land", "general", "connect"},              // published: built
		{"population", "land", "say_state"},         // nobody has said
	} {
		has := func(code string) bool { return slices.Contains(strings.Fields(advice[code]), pair.only) }
		if pair.only == "verify_name" {
			if has(pair.a) || !has(pair.b) {
				t.Errorf("%s: of %s %v, of %s %v", pair.only, pair.a, has(pair.a), pair.b, has(pair.b))
			}
			continue
		}
		if !has(pair.a) || has(pair.b) {
			t.Errorf("%s: of %s %v, of %s %v", pair.only, pair.a, has(pair.a), pair.b, has(pair.b))
		}
	}
	different := map[string]bool{}
	for _, list := range advice {
		different[list] = true
	}
	if len(different) < 7 {
		t.Errorf("%d different lists of advice", len(different))
	}
}

func BenchmarkAssess(b *testing.B) {
	m, d := method(b)
	var all []Facts
	for _, database := range d.Databases() {
		all = append(all, m.Seed(d, database, noon))
	}
	for b.Loop() {
		for i := range all {
			m.Assess(&all[i], noon)
		}
	}
}

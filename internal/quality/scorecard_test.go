package quality

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	diff "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// recomputeCard computes every figure of a card again from what is printed beside it.
func recomputeCard(t *testing.T, m Method, card *Scorecard) {
	t.Helper()
	again := func(what string, got float64, known bool, parts []Part) {
		t.Helper()
		sum, weights := 0.0, 0.0
		for _, part := range parts {
			if part.Known {
				sum, weights = sum+part.Value*part.Weight, weights+part.Weight
			}
		}
		if known != (weights > 0) || known && math.Abs(sum/weights-got) > 1e-9 {
			t.Errorf("%s %s: %v (known %v), its parts say %v", card.ID, what, got, known, sum/weights)
		}
	}
	var index []Part
	for n := range card.Criteria {
		score := &card.Criteria[n]
		again(string(score.Criterion), score.Value, score.Known, score.Parts)
		if score.Criterion != lienthong.Shared && len(score.Parts) > 0 {
			index = append(index, Part{Value: score.Value, Known: score.Known, Weight: m.weightOf(score.Criterion)})
		}
		if card.Level == DatabaseLevel || card.Level == AgencyLevel {
			for i := range card.Children {
				child, part := &card.Children[i], score.Parts[i]
				own := child.Criteria[n]
				if part.Known != own.Known || part.Known && part.Value != own.Value || part.Weight != child.Weight || part.Coverage != own.Coverage {
					t.Errorf("%s %s: part %d is not the score of %s", card.ID, score.Criterion, i, child.ID)
				}
			}
		}
		if card.Level == DatasetLevel {
			fieldsMakeTheDataset(t, card, n)
		}
	}
	again("index", card.Index.Value, card.Index.Known, index)
	for _, part := range index {
		if part.Known && part.Value < card.Index.Least-1e-9 {
			t.Errorf("%s: least is %v, a criterion has %v", card.ID, card.Index.Least, part.Value)
		}
	}
	for i := range card.Children {
		recomputeCard(t, m, &card.Children[i])
	}
}

// fieldsMakeTheDataset: the rules of a criterion have one mean, field by field or all at once.
func fieldsMakeTheDataset(t *testing.T, card *Scorecard, n int) {
	t.Helper()
	var byField, byRule, wField, wRule float64
	for _, part := range card.Criteria[n].Parts {
		if part.Known && part.Code != "" {
			byRule, wRule = byRule+part.Value*part.Weight, wRule+part.Weight
		}
	}
	for i := range card.Children {
		score := &card.Children[i].Criteria[n]
		for _, part := range score.Parts {
			if part.Known {
				byField, wField = byField+score.Value*part.Weight, wField+part.Weight
			}
		}
	}
	if wField != wRule || math.Abs(byField-byRule) > 1e-6 {
		t.Errorf("%s %s: %v by field, %v by rule", card.ID, card.Criteria[n].Criterion, byField/wField, byRule/wRule)
	}
}

// randomCounters is a dataset with random rules, some of which nobody measured.
func randomCounters(random *rand.Rand, database, name string) Counters {
	c := Counters{Dataset: lienthong.DatasetID{Database: database, Name: name}, Rows: random.Int64N(3) * 500, MappedColumns: 3, TotalColumns: 4 + random.IntN(3)}
	fields := []string{"a", "b", "c", "d"}
	for i := range 4 + random.IntN(12) {
		c.Rules = append(c.Rules, RuleCounter{
			Code: string(rune('k' + i)), Field: fields[random.IntN(4)], Vi: "quy tắc", En: "rule", Weight: random.IntN(6),
			Criterion: lienthong.Criteria()[random.IntN(5)], Open: random.Int64N(600), Identifier: random.IntN(9) == 0,
		})
	}
	if random.IntN(2) == 0 {
		c.Declared = 900
		c.Sources = []SourceCounter{{Node: "n", LastChange: 40 * hour, Interval: 24 * hour, Lag: random.Int64N(3) * 60e6}}
		c.Sets = []SetCounter{NewSetCounter(dictionary.SetRule{Code: "u", Unique: []string{"a"}}, false, random.Int64N(2)*400, 90)}
	}
	return c
}

func TestEveryLevelCanBeComputedAgain(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 856))
	for range 200 {
		m := Method{DatasetWeights: map[lienthong.DatasetID]float64{{Database: "one", Name: "x"}: 3}, DatabaseWeights: map[string]float64{"two": 0.5}}
		if random.IntN(2) == 0 {
			m.Weights = map[lienthong.Criterion]float64{lienthong.Correct: 3, lienthong.Complete: 1, lienthong.Clean: 2, lienthong.Live: 1}
		}
		subject := func(database string) Subject {
			s := Subject{Database: database, Vi: "CSDL", En: "database"}
			for _, name := range []string{"x", "y", "z"}[:1+random.IntN(3)] {
				s.Counters = append(s.Counters, randomCounters(random, database, name))
			}
			s.Expected = ExpectedRules(lienthong.DatasetID{Database: database, Name: "x"}, []dictionary.Rule{{Code: "never", Field: "a", Weight: 5, Check: dictionary.Check{Digits: 3}}}, nil)
			return s
		}
		card := m.Agency(100*hour, "G01", "Cơ quan", "Agency", subject("one"), subject("two"), subject("three"))
		recomputeCard(t, m, &card)
		if t.Failed() {
			return
		}
		// What the console knew before is what the cards say.
		s := subject("four")
		s.Expected = nil
		database := m.Database(100*hour, s)
		for i, score := range m.Score(100*hour, s.Counters...) {
			if got := database.Criteria[i]; got.Known != score.Known || got.Known && math.Abs(got.Value-score.Value) > 1e-9 {
				t.Fatalf("%s: %v on the card, %v before", score.Criterion, got.Value, score.Value)
			}
		}
	}
}

func TestWhatIsNotMeasuredLowersCoverage(t *testing.T) {
	t.Parallel()
	dataset := lienthong.DatasetID{Database: "d", Name: "x"}
	rules := []dictionary.Rule{
		{Code: "a.digits", Field: "a", Weight: 3, Check: dictionary.Check{Digits: 12}},
		{Code: "b.digits", Field: "b", Weight: 1, Check: dictionary.Check{Digits: 12}},
		{Code: "a.range", Field: "a", Check: dictionary.Check{Min: "1"}},
		{Code: "c.list", Field: "c", Check: dictionary.Check{CodeList: "x"}},
		{Code: "said", Field: "c", Criterion: lienthong.Live, Check: dictionary.Check{NFC: true}},
	}
	sets := []dictionary.SetRule{{Code: "unique", Unique: []string{"a", "b"}}}
	expected := ExpectedRules(dataset, rules, sets)
	var criteria []lienthong.Criterion
	for _, rule := range expected {
		criteria = append(criteria, rule.Criterion)
	}
	want := []lienthong.Criterion{lienthong.Clean, lienthong.Clean, lienthong.Correct, lienthong.Unified, lienthong.Live, lienthong.Clean}
	if difference := diff.Diff(want, criteria); difference != "" {
		t.Fatalf("criteria (-want +got):\n%s", difference)
	}
	// Of the criterion clean, the rule of weight 3 was measured, those of weight 1 and 1 not.
	counters := Counters{Dataset: dataset, Rows: 100, Rules: []RuleCounter{{Code: "a.digits", Field: "a", Criterion: lienthong.Clean, Weight: 3, Open: 10}}}
	var m Method
	card := m.Database(0, Subject{Database: "d", Counters: []Counters{counters}, Expected: expected})
	clean := card.Children[0].Criteria[2]
	if clean.Value != 90 || math.Abs(clean.Coverage-60) > 1e-9 {
		t.Errorf("clean is %v at a coverage of %v", clean.Value, clean.Coverage)
	}
	if card.Criteria[0].Known || card.Criteria[0].Coverage != 0 {
		t.Errorf("correct was not measured and is %+v", card.Criteria[0])
	}
	if !card.Index.Insufficient || card.Index.Colour != Yellow || card.Index.Value != 90 {
		t.Errorf("90 of too little is %+v", card.Index)
	}
	if got := (Method{Evidence: 1}).Database(0, Subject{Database: "d", Counters: []Counters{counters}, Expected: expected}).Index; got.Insufficient || got.Colour != Green {
		t.Errorf("enough for this method: %+v", got)
	}
	field := card.Children[0].Children[slices.IndexFunc(card.Children[0].Children, func(s Scorecard) bool { return s.ID == "b" })]
	if field.Index.Known || field.Index.Colour != Grey {
		t.Errorf("a field that nobody measured: %+v", field.Index)
	}
	// A dataset that has sent nothing is there, and not measured.
	silent := m.Database(0, Subject{Database: "d", Expected: expected})
	if len(silent.Children) != 1 || silent.Index.Known || silent.Index.Colour != Grey || len(silent.Children[0].Children) != 4 {
		t.Errorf("a silent database: %+v", silent)
	}
}

func TestGatesReachTheAgency(t *testing.T) {
	t.Parallel()
	counters := Counters{Dataset: lienthong.DatasetID{Database: "d", Name: "x"}, Rows: 1000, Rules: []RuleCounter{
		{Code: "digits", Field: "number", Vi: "12 số", En: "12 digits", Criterion: lienthong.Clean, Open: 1, Identifier: true},
	}}
	card := Method{}.Agency(0, "G01", "Cơ quan", "Agency", Subject{Database: "d", Vi: "Dân cư", En: "Population", Counters: []Counters{counters}})
	if len(card.Index.Gate) != 1 || card.Index.Colour != Red {
		t.Fatalf("an identifier at 99.9 %%: %+v", card.Index)
	}
	if gate := card.Index.Gate[0]; gate.LabelEn != "Population: d.x: 12 digits (number)" || gate.Code != "digits" || gate.Field != "number" || gate.Dataset != "d.x" {
		t.Errorf("the gate is named %+v", gate)
	}
}

// days takes down the same database before and after a change.
func days(m Method, before, after []Counters) (a, b Day) {
	take := func(counters []Counters, at int64) Day {
		card := m.Database(at, Subject{Database: "d", Counters: counters})
		return m.Day(at, &card)
	}
	return take(before, 100*hour), take(after, 124*hour)
}

func TestMoversExplainTheDifference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 7))
	moved := 0
	for range 300 {
		var before, after []Counters
		for _, name := range []string{"x", "y"}[:1+random.IntN(2)] {
			c := randomCounters(random, "d", name)
			before = append(before, c)
			c.Rules = slices.Clone(c.Rules)
			for i := range c.Rules {
				if random.IntN(3) == 0 {
					c.Rules[i].Open = random.Int64N(600)
				}
			}
			if random.IntN(4) == 0 {
				c.Rules = c.Rules[1:]
			}
			if random.IntN(4) == 0 {
				c.Rules = append(c.Rules, RuleCounter{Code: "added", Field: "e", Weight: 2, Criterion: lienthong.Correct, Open: 7})
			}
			if random.IntN(10) > 0 {
				after = append(after, c)
			}
		}
		if random.IntN(4) == 0 {
			after = append(after, randomCounters(random, "d", "new"))
		}
		a, b := days(Method{}, before, after)
		for _, day := range []Day{a, b} {
			sum := map[lienthong.Criterion]float64{}
			for _, term := range day.Terms {
				sum[term.Criterion] += term.Share * term.Value
			}
			for _, c := range day.Criteria {
				if c.Known && math.Abs(sum[c.Criterion]-c.Value) > 1e-6 {
					t.Fatalf("%s is %v, its terms say %v", c.Criterion, c.Value, sum[c.Criterion])
				}
			}
		}
		change := Compare(a, b)
		if !change.Known {
			continue
		}
		effect := 0.0
		for _, mover := range change.Movers {
			effect += mover.Effect
		}
		if math.Abs(effect-(b.Index-a.Index)) > 1e-6 {
			t.Fatalf("the movers explain %v of %v", effect, b.Index-a.Index)
		}
		if effect != 0 {
			moved++
		}
	}
	if moved < 100 {
		t.Errorf("only %d of the days differ", moved)
	}
}

func TestTheRuleThatMovedMostComesFirst(t *testing.T) {
	t.Parallel()
	counters := func(digits, name int64) []Counters {
		return []Counters{{Dataset: lienthong.DatasetID{Database: "d", Name: "x"}, Rows: 1000, Rules: []RuleCounter{
			{Code: "digits", Field: "number", Criterion: lienthong.Clean, Weight: 1, Open: digits},
			{Code: "form", Field: "name", Criterion: lienthong.Clean, Weight: 3, Open: name},
			{Code: "required", Field: "name", Criterion: lienthong.Complete, Weight: 1, Open: 5},
		}}}
	}
	a, b := days(Method{}, counters(100, 100), counters(300, 50))
	change := Compare(a, b)
	if len(change.Movers) != 2 || change.Movers[0].Code != "digits" || change.Movers[0].FailedDelta != 200 || change.Movers[1].Code != "form" || change.Movers[1].Effect <= 0 {
		t.Fatalf("%+v", change.Movers)
	}
	if change.From != "1970-01-05" || change.To != "1970-01-06" {
		t.Errorf("from %s to %s", change.From, change.To)
	}
	if same := Compare(a, a); len(same.Movers) != 0 {
		t.Errorf("nothing changed, and these moved: %+v", same.Movers)
	}
	if _, ok := Latest([]Day{a}); ok {
		t.Error("one day explains nothing")
	}
	if latest, ok := Latest([]Day{b, a, b}); !ok || latest.Movers[0].Code != "digits" {
		t.Errorf("the newest two: %+v", latest)
	}
}

func TestDaysOfDatabasesMakeTheDayOfTheirAgency(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(9, 2))
	for range 100 {
		m := Method{DatabaseWeights: map[string]float64{"two": 4}}
		var subjects []Subject
		var parts []Day
		for _, database := range []string{"one", "two", "three"} {
			s := Subject{Database: database, Counters: []Counters{randomCounters(random, database, "x"), randomCounters(random, database, "y")}}
			subjects = append(subjects, s)
			card := m.Database(100*hour, s)
			parts = append(parts, m.Day(100*hour, &card))
		}
		card := m.Agency(100*hour, "G01", "", "", subjects...)
		want := m.Day(100*hour, &card)
		got := m.MergeDays("G01", parts[2], parts[0], parts[1])
		for _, day := range []*Day{&want, &got} {
			slices.SortFunc(day.Terms, func(a, b Term) int {
				return cmp.Or(compareTerms(&a, &b), cmp.Compare(a.Total, b.Total), cmp.Compare(a.Passed, b.Passed))
			})
		}
		if difference := diff.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); difference != "" {
			t.Fatalf("merged (-agency +merged):\n%s", difference)
		}
	}
}

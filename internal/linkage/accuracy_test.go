package linkage_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lienthong/lienthong/internal/linkage"
	"github.com/lienthong/lienthong/internal/linkage/truth"
)

func persons(t testing.TB, people *truth.People, config linkage.Config) *linkage.Persons {
	t.Helper()
	config.Successors = truth.Successors
	register := linkage.NewPersons(config)
	for place := range people.Len() {
		record := people.Record(place)
		if err := register.Add(&record); err != nil {
			t.Fatal(err)
		}
	}
	return register
}

func organisations(t testing.TB, firms *truth.Firms, config linkage.Config) *linkage.Organisations {
	t.Helper()
	config.Successors = truth.Successors
	register := linkage.NewOrganisations(config)
	for place := range firms.Len() {
		record := firms.Record(place)
		if err := register.Add(&record); err != nil {
			t.Fatal(err)
		}
	}
	return register
}

// expectations are what a register must be measured at.
type expectations struct {
	precision, recall, f1 float64
	askedInVain           float64 // pairs per duplicate, at most
	slips                 map[truth.Slip]float64
}

func (e *expectations) check(t *testing.T, report *truth.Report) {
	t.Helper()
	t.Log("\n" + report.String())
	for _, figure := range []struct {
		name      string
		got, want float64
	}{{"precision", report.Precision(), e.precision}, {"recall", report.Recall(), e.recall}, {"F1", report.F1(), e.f1}} {
		if figure.got < figure.want {
			t.Errorf("%s is %.4f, want %.4f at least", figure.name, figure.got, figure.want)
		}
	}
	if vain := float64(report.AskedElse) / float64(report.True); vain > e.askedInVain {
		t.Errorf("%.2f questions in vain per duplicate, want %.2f at most", vain, e.askedInVain)
	}
	seen := map[truth.Slip]bool{}
	for _, k := range report.Kinds {
		seen[k.Slip] = true
		least, known := e.slips[k.Slip]
		if !known {
			t.Errorf("%s: nothing is expected of it", k.Slip)
		}
		if recall := float64(k.Found) / float64(k.Records); recall < least {
			t.Errorf("%s: %.3f found, want %.3f at least", k.Slip, recall, least)
		}
		if within := float64(k.Found+k.Asked) / float64(k.Records); within < 0.9 {
			t.Errorf("%s: %.3f found or asked, want 0.9 at least", k.Slip, within)
		}
	}
	for slip := range e.slips {
		if !seen[slip] {
			t.Errorf("%s: no duplicate of the register has it", slip)
		}
	}
}

func personExpectations() *expectations {
	return &expectations{precision: .995, recall: .96, f1: .975, askedInVain: .2, slips: map[truth.Slip]float64{
		truth.Copied: .97, truth.NoMarks: .98, truth.SomeMarks: .97, truth.WordOrder: .95, truth.MissingWord: .95, truth.Misspelt: .94,
		truth.DayMonth: .97, truth.DateDigit: .95, truth.YearOnly: .96, truth.NumberDigit: .95, truth.NumberSwapped: .95,
		truth.NumberMissing: .97, truth.NumberOld: .95, truth.NumberElse: 0, truth.Moved: .95, truth.Two: .86,
	}}
}

// The measured promise: 200,000 persons of whom 2 % are entered twice.
func TestPersons_AgainstTheTruth(t *testing.T) {
	people := truth.NewPeople(truth.Config{Records: 200_000, Seed: 1})
	register := persons(t, people, linkage.Config{})
	model, err := register.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := register.Find(t.Context(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	report := truth.Measure(people, result)
	personExpectations().check(t, report)
	t.Logf("%d pairs compared; expected: precision %.4f, recall %.4f, asked %.4f", result.Compared, model.Quality.Precision, model.Quality.Recall, model.Quality.Asked)
	// People decide about other people's numbers: the calculation may not.
	for _, k := range report.Kinds {
		if k.Slip == truth.NumberElse && k.Asked < k.Records/2 {
			t.Errorf("%d of %d records with somebody else's number are asked about, want half of them at least", k.Asked, k.Records)
		}
	}
	if model.Quality.Recall < .9 || model.Quality.Precision < .99 {
		t.Errorf("the model expects %+v of itself", model.Quality)
	}
}

func organisationExpectations() *expectations {
	return &expectations{precision: .99, recall: .95, f1: .97, askedInVain: .2, slips: map[truth.Slip]float64{
		truth.Copied: .93, truth.NoMarks: .93, truth.SomeMarks: .93, truth.Misspelt: .86, truth.FormShort: .93, truth.FormMissing: .93,
		truth.English: .90, truth.ActivityShort: .93, truth.ActivityMissing: .90, truth.DayMonth: .88, truth.DateDigit: .88, truth.TaxDigit: .85,
		truth.TaxMissing: .90, truth.Moved: .90, truth.Two: .80,
	}}
}

func TestOrganisations_AgainstTheTruth(t *testing.T) {
	firms := truth.NewFirms(truth.Config{Records: 50_000, Seed: 1})
	register := organisations(t, firms, linkage.Config{})
	model, err := register.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := register.Find(t.Context(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	report := truth.Measure(firms, result)
	organisationExpectations().check(t, report)
	if n := report.Wrongs["branches"]; n > 0 {
		t.Errorf("%d branches were taken for the enterprise or for each other", n)
	}
}

// A register in which nobody is entered twice proposes hardly anything.
func TestPersons_WithoutDuplicates(t *testing.T) {
	people := truth.NewPeople(truth.Config{Records: 20_000, Duplicates: 1e-9, Seed: 3})
	register := persons(t, people, linkage.Config{})
	model, err := register.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := register.Find(t.Context(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	if report := truth.Measure(people, result); report.Wrong > 5 || report.AskedElse > 100 {
		t.Errorf("%s", report)
	}
}

// The order in which records come changes nothing, to the bit.
func TestPersons_OrderDoesNotMatter(t *testing.T) {
	people := truth.NewPeople(truth.Config{Records: 5_000, Seed: 4})
	run := func(order []int) (string, *linkage.Result) {
		register := linkage.NewPersons(linkage.Config{Successors: truth.Successors, SampledPairs: 3_000})
		for _, place := range order {
			record := people.Record(place)
			if err := register.Add(&record); err != nil {
				t.Fatal(err)
			}
		}
		model, err := register.Estimate(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		result, err := register.Find(t.Context(), model, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(model)
		if err != nil {
			t.Fatal(err)
		}
		return string(text), result
	}
	order := make([]int, people.Len())
	for i := range order {
		order[i] = i
	}
	model, result := run(order)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	otherModel, otherResult := run(order)
	if model != otherModel {
		t.Error("another order of the records gives another model")
	}
	if diff := cmp.Diff(result, otherResult, cmpopts.IgnoreUnexported(linkage.Pair{})); diff != "" {
		t.Error(diff)
	}
}

// A model that was written and read again weighs the same, and holds no value of a record.
func TestModel_RoundTrip(t *testing.T) {
	people := truth.NewPeople(truth.Config{Records: 5_000, Seed: 5})
	register := persons(t, people, linkage.Config{})
	model, err := register.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	read, err := linkage.ParseModel(text)
	if err != nil {
		t.Fatal(err)
	}
	before, err := register.Find(t.Context(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	after, err := persons(t, people, linkage.Config{}).Find(t.Context(), read, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after, cmpopts.IgnoreUnexported(linkage.Pair{})); diff != "" {
		t.Error(diff)
	}
	for place := range people.Len() {
		record := people.Record(place)
		values := append(strings.Fields(record.Name), record.Number, record.OldNumber, record.Phone)
		for _, value := range values {
			if len(value) > 3 && bytes.Contains(text, []byte(`"`+value)) {
				t.Fatalf("the model holds a value of %s", record.ID)
			}
		}
	}
	again, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, again) {
		t.Error("writing the model again changes it")
	}
}

func TestParseModel_Refuses(t *testing.T) {
	register := persons(t, truth.NewPeople(truth.Config{Records: 300, Seed: 6}), linkage.Config{})
	model, err := register.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(string) string{
		"no model":      func(string) string { return "[]" },
		"another kind":  func(s string) string { return strings.Replace(s, `"person"`, `"organisation"`, 1) },
		"no kind":       func(s string) string { return strings.Replace(s, `"person"`, `"car"`, 1) },
		"another level": func(s string) string { return strings.Replace(s, `"swapped"`, `"other"`, 1) },
		"no chance":     func(s string) string { return strings.Replace(s, `"prior":`, `"prior":7,"x":`, 1) },
		"no digest":     func(s string) string { return strings.Replace(s, `"digest":"`, `"digest":"z`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := linkage.ParseModel([]byte(change(string(text)))); err == nil {
				t.Error("accepted")
			}
		})
	}
	if _, err := linkage.NewOrganisations(linkage.Config{}).Find(t.Context(), model, nil); err == nil {
		t.Error("organisations were compared by a model of persons")
	}
}

func FuzzParseModel(f *testing.F) {
	register := persons(f, truth.NewPeople(truth.Config{Records: 300, Seed: 6}), linkage.Config{})
	model, err := register.Estimate(f.Context(), nil)
	if err != nil {
		f.Fatal(err)
	}
	model.Words = model.Words[:5]
	text, err := json.Marshal(model)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := linkage.ParseModel(data)
		if err != nil {
			return
		}
		if _, err := register.Find(t.Context(), m, nil); err != nil {
			t.Fatal(err)
		}
		once, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		read, err := linkage.ParseModel(once)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := json.Marshal(read)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("reading and writing again changes the model: %v", err)
		}
	})
}

// The parts of a weight add up to it, and name no value.
func TestExplain_AddsUp(t *testing.T) {
	people := truth.NewPeople(truth.Config{Records: 5_000, Seed: 7})
	register := persons(t, people, linkage.Config{})
	model, err := register.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := register.Find(t.Context(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Pairs) < 50 {
		t.Fatalf("only %d pairs", len(result.Pairs))
	}
	for i := range result.Pairs {
		sum := 0.0
		for _, e := range model.Explain(&result.Pairs[i]) {
			if e.Vi == "" || e.En == "" || e.Field == "" || e.Level == "" {
				t.Fatalf("evidence without words: %+v", e)
			}
			sum += e.Weight
		}
		if d := sum - result.Pairs[i].Weight; d > 1e-9 || d < -1e-9 {
			t.Fatalf("the evidence adds up to %g, the weight is %g", sum, result.Pairs[i].Weight)
		}
	}
}

// Answers of people come before what is calculated, and teach the model.
func TestAnswers(t *testing.T) {
	people := truth.NewPeople(truth.Config{Records: 20_000, Seed: 8})
	register := persons(t, people, linkage.Config{})
	model, err := register.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := register.Find(t.Context(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	place := map[string]int{}
	for i := range people.Len() {
		place[truth.ID(i)] = i
	}
	answers := linkage.Answers{}
	for i := range result.Pairs {
		p := &result.Pairs[i]
		if p.Zone != linkage.Ask {
			continue
		}
		answers[p.ID()] = linkage.AnswerDifferent
		if people.Entity(place[p.A]) == people.Entity(place[p.B]) {
			answers[p.ID()] = linkage.AnswerSame
		}
	}
	if len(answers) < 20 {
		t.Fatalf("only %d questions", len(answers))
	}
	learnt, err := register.Estimate(t.Context(), answers)
	if err != nil {
		t.Fatal(err)
	}
	if learnt.Labels != len(answers) || learnt.Shift == 0 {
		t.Errorf("%d answers moved the weights by %g bits from %d labels", len(answers), learnt.Shift, learnt.Labels)
	}
	again, err := register.Find(t.Context(), model, answers)
	if err != nil {
		t.Fatal(err)
	}
	before, after := truth.Measure(people, result), truth.Measure(people, again)
	if after.AskedSame+after.AskedElse > 4 {
		t.Errorf("%d questions are asked again", after.AskedSame+after.AskedElse)
	}
	if after.F1() < before.F1() || after.Recall() < before.Recall() || after.Recall() < .99 {
		t.Errorf("answers made it worse: %s\n%s", before, after)
	}
	// A pair that shares no key is joined by an answer all the same.
	far := linkage.NewPairID(truth.ID(1), truth.ID(2))
	if people.Entity(1) == people.Entity(2) {
		t.Fatal("records 1 and 2 are the same by chance")
	}
	joined, err := register.Find(t.Context(), model, linkage.Answers{far: linkage.AnswerSame})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for i := range joined.Pairs {
		found = found || joined.Pairs[i].ID() == far && joined.Pairs[i].Zone == linkage.Same && joined.Pairs[i].Reason == linkage.Decided
	}
	if !found {
		t.Error("the answer about a pair that shares no key was forgotten")
	}
}

func BenchmarkPersons(b *testing.B) {
	people := truth.NewPeople(truth.Config{Records: 50_000, Seed: 1})
	register := persons(b, people, linkage.Config{})
	model, err := register.Estimate(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("add", func(b *testing.B) {
		fresh := linkage.NewPersons(linkage.Config{})
		b.ReportAllocs()
		place := 0
		for b.Loop() {
			record := people.Record(place)
			if err := fresh.Add(&record); err != nil {
				b.Fatal(err)
			}
			place = (place + 1) % people.Len()
		}
	})
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			if _, err := register.Find(b.Context(), model, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("match", func(b *testing.B) {
		index, err := persons(b, people, linkage.Config{}).Index(model)
		if err != nil {
			b.Fatal(err)
		}
		place := 0
		b.ReportAllocs()
		for b.Loop() {
			index.Match(truth.ID(place), nil)
			place = (place + 1) % people.Len()
		}
	})
}

// Two records of one name and day say more when the name is rare.
func TestRareNamesWeighMore(t *testing.T) {
	people := truth.NewPeople(truth.Config{Records: 10_000, Seed: 9})
	register := persons(t, people, linkage.Config{})
	model, err := register.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	index, err := register.Index(model)
	if err != nil {
		t.Fatal(err)
	}
	weight := func(name string) float64 {
		for _, id := range []string{"one", "other"} {
			if err := index.Add(&linkage.Person{ID: id, Name: name, Birth: linkage.Date{Year: 1971, Month: 3, Day: 15}, Sex: "F"}); err != nil {
				t.Fatal(err)
			}
		}
		matches, _ := index.Match("one", nil)
		for _, p := range matches.Pairs {
			if p.B == "other" {
				return p.Weight
			}
		}
		t.Fatalf("%s: the two are not even asked about", name)
		return 0
	}
	common, rare := weight("Nguyễn Thị Hương"), weight("Bế Khánh Khuê")
	if rare < common+5 {
		t.Errorf("a rare name weighs %.1f bits, a common one %.1f", rare, common)
	}
}

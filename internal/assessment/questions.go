package assessment

import (
	"math"
	"slices"

	"github.com/lienthong/lienthong"
)

// Verdict is the answer to a check or requirement.
type Verdict string

// The verdicts.
const (
	Yes     Verdict = "yes"
	Partly  Verdict = "partly"
	No      Verdict = "no"
	Unknown Verdict = "unknown"
)

// Result is the answer to one question about one database, with what it rests on.
type Result struct {
	Kind    Kind   `json:"kind"`
	ID      string `json:"id"`
	Section string `json:"section"`
	Words
	Source       string  `json:"source"`
	Weight       float64 `json:"weight"`
	Applies      bool    `json:"applies"`
	Verdict      Verdict `json:"verdict"`
	Percent      float64 `json:"percent"`
	Counted      bool    `json:"counted"` // Percent says something
	Value        float64 `json:"value"`   // 0..1, before credit
	Grade        Grade   `json:"grade,omitempty"`
	Verified     bool    `json:"verified,omitempty"`
	Why          Words   `json:"why"`
	Fact         string  `json:"fact,omitempty"`         // the fact that decided; empty when people did
	Answered     bool    `json:"answered,omitempty"`     // people did
	Expires      int64   `json:"expires,omitempty"`      // when what people said stops to count
	Contradicted bool    `json:"contradicted,omitempty"` // people said yes, the measurement says otherwise
	People       bool    `json:"people"`                 // people can answer it
}

// Part is the identifier of the result's part of the points.
func (r *Result) Part() string { return string(r.Kind) + ":" + r.ID }

// questions answers everything that is asked.
func (v *view) questions() []Result {
	results := make([]Result, len(v.m.questions))
	for i := range v.m.questions {
		if v.m.questions[i].SameAs == "" {
			results[i] = v.answer(&v.m.questions[i])
		}
	}
	for i := range v.m.questions {
		q := &v.m.questions[i]
		if q.SameAs == "" {
			continue
		}
		same := slices.IndexFunc(results, func(r Result) bool { return r.ID == q.SameAs })
		copied := results[same]
		copied.Kind, copied.ID, copied.Section, copied.Words, copied.Source, copied.Weight = q.Kind, q.ID, q.Section, q.Words, q.Source, q.Weight
		copied.Applies = v.holds(q.Applies)
		copied.People = false // they answer the other one
		copied.Why = Words{"như mục " + q.SameAs + ": " + copied.Why.Vi, "as " + q.SameAs + ": " + copied.Why.En}
		results[i] = copied
	}
	return results
}

func (v *view) answer(q *Question) Result {
	result := Result{
		Kind: q.Kind, ID: q.ID, Section: q.Section, Words: q.Words, Source: q.Source, Weight: q.Weight,
		Applies: v.holds(q.Applies), Verdict: Unknown, People: q.Evidence.Vi != "",
	}
	for i := range q.Automatic {
		if v.decide(&result, &q.Automatic[i]) {
			break
		}
	}
	if answer := v.said(q.ID); answer != nil {
		switch {
		case result.Verdict == Unknown, result.Grade == Declared && !result.Verified:
			v.believe(&result, answer)
		case answer.Verdict == Yes && result.Verdict != Yes:
			result.Contradicted = true
			result.Why.Vi += "; người khai trả lời có"
			result.Why.En += "; people answered yes"
		}
	}
	if result.Verdict == Unknown {
		result.Why = Words{"nền tảng chưa đo được", "the platform has not measured it"}
		if result.People {
			result.Why = Words{"chưa có câu trả lời kèm minh chứng", "nobody has answered with evidence"}
			if v.expired(q.ID) {
				result.Why = Words{"câu trả lời đã hết hạn", "the answer has expired"}
			}
		}
	}
	return result
}

// decide answers with a fact; false when the fact decides nothing.
func (v *view) decide(result *Result, a *Automatic) bool {
	o := v.fact(a.Fact)
	if !o.Known {
		return false
	}
	verdict, value := No, 0.0
	figure := &v.m.figures[v.m.byName[a.Fact]]
	why := Words{figure.words.Vi + ": " + figure.unit.write(o.Value, "vi"), figure.words.En + ": " + figure.unit.write(o.Value, "en")}
	switch {
	case a.Share:
		result.Percent, result.Counted = o.Value, true
		why.Vi += ", cần " + figure.unit.write(a.Yes, "vi")
		why.En += ", wanted " + figure.unit.write(a.Yes, "en")
		switch {
		case o.Value >= a.Yes:
			verdict, value = Yes, 1
		case o.Value >= a.Partly && o.Value > 0 && a.Partly > 0:
			verdict, value = Partly, math.Min(1, o.Value/100)
		}
		if a.BlockedBy != "" {
			if blocked := v.fact(a.BlockedBy); blocked.Known && blocked.Value > 0 {
				verdict, value = No, 0
				why.Vi += "; " + v.m.figures[v.m.byName[a.BlockedBy]].words.Vi + ": " + Count.write(blocked.Value, "vi")
				why.En += "; " + v.m.figures[v.m.byName[a.BlockedBy]].words.En + ": " + Count.write(blocked.Value, "en")
			}
		}
	case (a.AtLeast == nil || o.Value >= *a.AtLeast) && (a.AtMost == nil || o.Value <= *a.AtMost):
		verdict, value = Yes, 1
	case a.OnlyYes:
		return false
	default:
		why.Vi += bound(a, figure.unit, "vi")
		why.En += bound(a, figure.unit, "en")
	}
	result.Verdict, result.Value, result.Why, result.Fact = verdict, value, why, a.Fact
	result.Grade, result.Verified = o.Grade, o.Verified
	return true
}

// bound says what would have been enough.
func bound(a *Automatic, unit Unit, language string) string {
	switch {
	case unit == YesNo:
		return ""
	case a.AtLeast != nil:
		return byLanguage(language, ", cần từ ", ", wanted at least ") + unit.write(*a.AtLeast, language)
	case a.AtMost != nil:
		return byLanguage(language, ", cần không quá ", ", wanted at most ") + unit.write(*a.AtMost, language)
	}
	return ""
}

// said is the answer that counts now, nil when there is none.
func (v *view) said(question string) *Answer {
	for i := range v.r.live {
		if v.r.live[i].Question == question {
			return &v.r.live[i]
		}
	}
	return nil
}

func (v *view) expired(question string) bool {
	return slices.ContainsFunc(v.r.Answers, func(a Answer) bool {
		return a.Question == question && a.State != Withdrawn && v.m.expired(&a, v.r.now)
	})
}

// believe takes over what people said.
func (v *view) believe(result *Result, answer *Answer) {
	result.Verdict, result.Fact, result.Answered = answer.Verdict, "", true
	result.Grade, result.Verified = answer.Grade(), answer.State == Verified
	result.Expires = v.m.expiresAt(answer)
	result.Value, result.Percent, result.Counted = 0, 0, false
	switch answer.Verdict {
	case Yes:
		result.Value = 1
	case Partly:
		result.Value, result.Percent, result.Counted = answer.Percent/100, answer.Percent, true
	case No, Unknown:
	}
	vi, en := "khai báo", "declared"
	switch {
	case result.Grade == Reconciled:
		vi, en = "đã đối chiếu bản gốc", "compared with the original"
	case result.Verified:
		vi, en = "đã thẩm định", "verified"
	}
	if answer.Evidence.Document != "" {
		vi += ", " + answer.Evidence.Document
		en += ", " + answer.Evidence.Document
	}
	result.Why = Words{vi, en}
}

// counts reports whether an answer counts at the instant.
func (m *Method) counts(a *Answer, now int64) bool {
	return (a.State == Answered || a.State == Verified) && !m.expired(a, now)
}

// Tally counts the verdicts of a section; an empty section counts the whole kind.
type Tally struct {
	Yes, Partly, No, Unknown, Of int
}

// Tally counts the verdicts of the questions that apply.
func (a *Assessment) Tally(kind Kind, section string) Tally {
	var t Tally
	for i := range a.Questions {
		r := &a.Questions[i]
		if r.Kind != kind || !r.Applies || section != "" && r.Section != section {
			continue
		}
		t.Of++
		switch r.Verdict {
		case Yes:
			t.Yes++
		case Partly:
			t.Partly++
		case No:
			t.No++
		case Unknown:
			t.Unknown++
		}
	}
	return t
}

// Question returns the result of one question.
func (a *Assessment) Question(id string) (Result, bool) {
	for i := range a.Questions {
		if a.Questions[i].ID == id {
			return a.Questions[i], true
		}
	}
	return Result{}, false
}

// Criterion returns the result of one criterion.
func (a *Assessment) Criterion(c lienthong.Criterion) CriterionResult {
	for i := range a.Criteria {
		if a.Criteria[i].Criterion == c {
			return a.Criteria[i]
		}
	}
	return CriterionResult{Criterion: c, Words: criterionWords(c)}
}

// Gap is a part that does not earn all its points.
type Gap struct {
	Part Part
	Lost float64
	Why  Words
}

// Gaps lists what costs points, most first. A declared part that cannot earn more before
// somebody verifies it is a gap as well.
func (a *Assessment) Gaps() []Gap {
	var gaps []Gap
	for i := range a.Parts {
		part := a.Parts[i]
		lost := part.Most - part.Points
		if lost < 0.005 {
			continue
		}
		gaps = append(gaps, Gap{part, lost, a.why(&part)})
	}
	slices.SortStableFunc(gaps, func(x, y Gap) int {
		switch {
		case x.Lost > y.Lost:
			return -1
		case x.Lost < y.Lost:
			return 1
		}
		return 0
	})
	return gaps
}

// why says what a part rests on.
func (a *Assessment) why(part *Part) Words {
	for i := range a.Questions {
		if a.Questions[i].Part() == part.ID {
			return credited(a.Questions[i].Why, part)
		}
	}
	if !part.Known {
		return Words{"chưa đo được", "not measured"}
	}
	return credited(Words{Percent.write(100*part.Value, "vi"), Percent.write(100*part.Value, "en")}, part)
}

// credited says that the evidence, not the answer, costs points.
func credited(why Words, part *Part) Words {
	if part.Known && part.Value > 0 && part.Credit < 1 {
		why.Vi += "; hệ số minh chứng " + writeNumber(part.Credit, 2, "vi")
		why.En += "; credit of the evidence " + writeNumber(part.Credit, 2, "en")
	}
	return why
}

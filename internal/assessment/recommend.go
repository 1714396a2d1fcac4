package assessment

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// Recommendation is one thing to do next, with its reason, cost and gain.
type Recommendation struct {
	ID        string              `json:"id"`
	First     bool                `json:"first,omitempty"` // it opens a gate, or something stands still
	Do        Words               `json:"do"`
	Why       Words               `json:"why"` // names the figure that calls for it
	Steps     []Step              `json:"steps,omitempty"`
	From      float64             `json:"days_from"` // person-days
	To        float64             `json:"days_to"`
	Task      string              `json:"task"`
	TaskWords Words               `json:"task_words"`
	Due       string              `json:"due"`
	Criterion lienthong.Criterion `json:"criterion,omitempty"`
	Who       string              `json:"who"`
	Points    float64             `json:"points"`  // regained when it is done and nothing else
	PerDay    float64             `json:"per_day"` // points for each person-day in the middle of the range
	Closes    []string            `json:"closes"`  // parts of the score
}

// closesUnverified in a rule's Closes stands for every part that rests on an
// answer nobody has verified.
const closesUnverified = "answers:unverified"

// recommend applies the rules, then says what is left of the questions.
func (v *view) recommend(a *Assessment) []Recommendation {
	var list []Recommendation
	closed := map[string]bool{}
	for i := range v.m.rules {
		rule := &v.m.rules[i]
		if !v.holds(rule.When) {
			continue
		}
		parts := v.closedBy(rule, a)
		for _, part := range append(slices.Clone(parts), rule.Opens...) {
			closed[part] = true
		}
		r := Recommendation{
			ID: rule.ID, First: rule.Urgent || holdsDown(a, rule.Gate), Do: sentence(v.text(rule.Do)), Why: v.text(rule.Why), Steps: v.steps(rule.Steps),
			Task: rule.Task, Criterion: rule.Criterion, Who: cmp.Or(rule.Who, "owner"), Closes: parts,
		}
		r.From, r.To = v.days(&rule.Effort, 1)
		list = append(list, v.gain(a, r, rule.Target))
	}
	list = append(list, v.leftOver(a, closed)...)
	slices.SortStableFunc(list, func(x, y Recommendation) int {
		if x.First != y.First {
			if x.First {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(y.PerDay, x.PerDay), cmp.Compare(y.Points, x.Points), strings.Compare(x.ID, y.ID))
	})
	return list
}

// holdsDown reports whether a gate caps the band below what the points would give.
func holdsDown(a *Assessment, gate string) bool {
	return gate != "" && slices.ContainsFunc(a.Band.Gates, func(g GateResult) bool { return g.ID == gate && g.Cap < a.Band.Uncapped })
}

func (v *view) closedBy(rule *Rule, a *Assessment) []string {
	var parts []string
	for _, part := range rule.Closes {
		if part != closesUnverified {
			parts = append(parts, part)
			continue
		}
		for i := range a.Questions {
			if q := &a.Questions[i]; q.Applies && q.Answered && q.Grade == Declared && !q.Verified {
				parts = append(parts, q.Part())
			}
		}
	}
	return parts
}

// leftOver recommends for every question that no rule takes care of: to do it when the answer is no, to
// answer it with evidence when there is none.
func (v *view) leftOver(a *Assessment, closed map[string]bool) []Recommendation {
	var list []Recommendation
	open := map[string][]*Result{} // by kind and section
	for i := range a.Questions {
		result := &a.Questions[i]
		q := &v.m.questions[i]
		if !result.Applies || closed[result.Part()] || q.SameAs != "" {
			continue
		}
		switch {
		case result.Verdict == Unknown && result.People:
			open[string(q.Kind)+q.Section] = append(open[string(q.Kind)+q.Section], result)
		case result.Verdict != Yes:
			r := Recommendation{
				ID: result.Part(), Do: sentence(v.text(q.Do)), Why: Words{"mục " + q.ID + ": " + result.Why.Vi, q.ID + ": " + result.Why.En},
				Task: cmp.Or(q.Task, v.sectionTask(q)), Criterion: q.Criterion, Who: "owner", Closes: []string{result.Part()},
			}
			r.From, r.To = v.days(&q.Effort, 1)
			target := Measured
			if result.Grade == Declared || len(q.Automatic) == 0 {
				target = Declared
			}
			list = append(list, v.gain(a, r, target))
		}
	}
	for i := range v.m.sections {
		section := &v.m.sections[i]
		questions := open[string(section.Kind)+section.ID]
		if len(questions) == 0 {
			continue
		}
		names := make([]string, len(questions))
		parts := make([]string, len(questions))
		expired := 0
		for n, q := range questions {
			names[n], parts[n] = q.ID, q.Part()
			if v.expired(q.ID) {
				expired++
			}
		}
		number := strconv.Itoa(len(questions))
		all := strings.Join(names, ", ")
		why := Words{number + " mục chưa có câu trả lời: " + all, number + " questions without an answer: " + all}
		if expired > 0 {
			why.Vi += "; " + strconv.Itoa(expired) + " câu trả lời đã hết hạn"
			why.En += "; " + strconv.Itoa(expired) + " answers have expired"
		}
		extra := []string{"questions", all, all, "number", number, number}
		r := Recommendation{
			ID: "answers:" + section.ID, Do: sentence(v.text(section.Asked, extra...)), Why: why, Task: section.Task, Who: "owner", Closes: parts,
			From: 0.25 * float64(len(questions)), To: 0.75 * float64(len(questions)),
			Steps: []Step{{Words: Words{"Trả lời kèm số văn bản hoặc tệp minh chứng", "Answer with the number of the document or a file"}, Page: "/assessment/" + v.r.Database.Code + "#" + string(section.Kind) + "-" + section.ID}},
		}
		list = append(list, v.gain(a, r, Declared))
	}
	return list
}

func (v *view) sectionTask(q *Question) string {
	if section, found := v.m.section(q.Kind, q.Section); found {
		return section.Task
	}
	return ""
}

// steps fills the code of the database into commands and pages.
func (v *view) steps(steps []Step) []Step {
	filled := make([]Step, len(steps))
	for i, step := range steps {
		filled[i] = Step{
			Words: v.text(step.Words), Command: v.fill(step.Command, "en", nil), Page: v.fill(step.Page, "en", nil),
		}
	}
	return filled
}

// days is the effort in person-days, to a quarter of a day.
func (v *view) days(e *Effort, times float64) (from, to float64) {
	extra := 0.0
	if e.Per != "" {
		if o := v.fact(e.Per); o.Known {
			extra = math.Max(0, o.Value) * e.Each
		}
		if e.Most > 0 {
			extra = math.Min(extra, e.Most)
		}
	}
	quarter := func(days float64) float64 { return math.Max(0.25, math.Round(4*days)/4) }
	return quarter(times * (e.From + extra/3)), quarter(times * (e.To + extra))
}

// gain computes what a recommendation regains and orders it by.
func (v *view) gain(a *Assessment, r Recommendation, target Grade) Recommendation {
	credit := v.m.credit(target, true)
	for i := range a.Parts {
		part := &a.Parts[i]
		if slices.Contains(r.Closes, part.ID) {
			r.Points += math.Max(0, part.Most*credit-part.Points)
		}
	}
	if middle := (r.From + r.To) / 2; middle > 0 {
		r.PerDay = r.Points / middle
	}
	if task, found := v.m.Task(r.Task); found {
		r.TaskWords, r.Due = Words{task.TitleVi, task.TitleEn}, task.Due
	}
	return r
}

// sentence begins with a capital letter, also where a name or figure was filled in.
func sentence(words Words) Words {
	upper := func(text string) string {
		for i, first := range text {
			return text[:i] + string(unicode.ToUpper(first)) + text[i+utf8.RuneLen(first):]
		}
		return text
	}
	return Words{upper(words.Vi), upper(words.En)}
}

package console

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/assessment"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// assessListView is the list of all databases.
type assessListView struct {
	chrome
	Tab                       string
	Rows                      []assessRow
	Total                     int
	Query, Class, Owner       string
	Group, Band               string
	Classes                   []string
	Owners                    []assessChoice
	Groups, Bands             []assessChoice
	Waiting                   []assessWaiting
	Filtered, MayVerify, Open bool
}

// assessChoice is an entry of a filter with the databases that it leaves.
type assessChoice struct {
	ID     string
	Name   Text
	Count  int
	Colour string
}

// assessRow is a database in the list.
type assessRow struct {
	Code, Path, Class     string
	Name, Owner           Text
	Points, Known         string
	Band, Group           assessChoice
	Capped                bool
	Criteria              []assessCell
	Advice, Why           Text
	AdviceID, AdviceFirst bool
	points                float64
}

// assessCell is a criterion of a database: a value with its colour.
type assessCell struct {
	Criterion lienthong.Criterion
	Value     string
	Colour    string
}

// assessWaiting is an answer that waits for a reviewer.
type assessWaiting struct {
	assessment.Answer
	Name, Question Text
	Path           string
}

func (c *Console) assessments(w http.ResponseWriter, r *http.Request, user User) {
	all, err := c.config.Workplace.Assessor.Assessments(r.Context())
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	query := r.URL.Query()
	view := assessListView{
		chrome: c.chromeOf(w, r, user, "assessment", "assessment", c.say(r, "assessment.title")), Tab: "list", Total: len(all),
		Query: strings.TrimSpace(query.Get("q")), Class: query.Get("class"), Owner: query.Get("owner"), Group: query.Get("group"), Band: query.Get("band"),
	}
	view.Filtered = view.Query != "" || view.Class != "" || view.Owner != "" || view.Group != "" || view.Band != ""
	words := c.words(r)
	for _, a := range all {
		view.count(a)
		if view.fits(a) {
			view.Rows = append(view.Rows, words.assessRow(a))
		}
	}
	slices.Sort(view.Classes)
	byID := func(a, b assessChoice) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(view.Groups, byID)
	slices.SortFunc(view.Bands, func(a, b assessChoice) int { return byID(b, a) })
	slices.SortFunc(view.Owners, func(a, b assessChoice) int { return strings.Compare(words.text(a.Name), words.text(b.Name)) })
	slices.SortStableFunc(view.Rows, func(a, b assessRow) int {
		return cmp.Or(cmp.Compare(b.points, a.points), strings.Compare(words.text(a.Name), words.text(b.Name)))
	})
	if desk := c.config.Workplace.Answers; desk != nil {
		waiting, err := desk.Waiting(r.Context())
		if err != nil {
			c.failWith(w, r, err)
			return
		}
		view.MayVerify = user.Has(string(stewardship.Reviewer))
		view.Waiting = c.assessWaiting(waiting, all)
	}
	c.write(w, r, http.StatusOK, &view)
}

// assessWaiting names the databases and questions of answers.
func (c *Console) assessWaiting(answers []assessment.Answer, all []*assessment.Assessment) []assessWaiting {
	var waiting []assessWaiting
	for i := range answers {
		one := assessWaiting{Answer: answers[i], Path: assessPath(answers[i].Database) + "/checks#q-" + answers[i].Question}
		if n := slices.IndexFunc(all, func(a *assessment.Assessment) bool { return a.Database.Code == one.Database }); n >= 0 {
			one.Name = Text{all[n].Database.NameVi, all[n].Database.NameEn}
		}
		if question, found := c.config.Workplace.Assessor.Method().Question(one.Answer.Question); found {
			one.Question = Text{question.Vi, question.En}
		}
		waiting = append(waiting, one)
	}
	return waiting
}

// count adds a database to the choices of the filters.
func (v *assessListView) count(a *assessment.Assessment) {
	if class := string(a.Database.Class); class != "" && !slices.Contains(v.Classes, class) {
		v.Classes = append(v.Classes, class)
	}
	if a.Owner.Code != "" {
		v.Owners = countChoice(v.Owners, assessChoice{ID: string(a.Owner.Code), Name: Text{a.Owner.NameVi, a.Owner.NameEn}})
	}
	v.Groups = countChoice(v.Groups, groupChoice(a))
	v.Bands = countChoice(v.Bands, bandChoice(a))
}

func countChoice(choices []assessChoice, one assessChoice) []assessChoice {
	i := slices.IndexFunc(choices, func(c assessChoice) bool { return c.ID == one.ID })
	if i < 0 {
		choices, i = append(choices, one), len(choices)
	}
	choices[i].Count++
	return choices
}

func groupChoice(a *assessment.Assessment) assessChoice {
	colours := []string{"", "green", "blue", "yellow", "red"}
	choice := assessChoice{ID: strconv.Itoa(a.Group.ID), Name: textOfWords(a.Group.Words)}
	if a.Group.ID >= 0 && a.Group.ID < len(colours) {
		choice.Colour = colours[a.Group.ID]
	}
	return choice
}

func bandChoice(a *assessment.Assessment) assessChoice {
	return assessChoice{ID: strconv.Itoa(a.Band.ID), Name: textOfWords(a.Band.Words), Colour: bandColour(a.Band.ID)}
}

func bandColour(band int) string {
	switch {
	case band >= 4:
		return "green"
	case band == 3:
		return "blue"
	case band == 2:
		return "yellow"
	}
	return "red"
}

func (v *assessListView) fits(a *assessment.Assessment) bool {
	d := &a.Database
	return (v.Class == "" || v.Class == string(d.Class)) && (v.Owner == "" || v.Owner == string(a.Owner.Code)) &&
		(v.Group == "" || v.Group == strconv.Itoa(a.Group.ID)) && (v.Band == "" || v.Band == strconv.Itoa(a.Band.ID)) &&
		(v.Query == "" || matches(v.Query, d.Code, d.NameVi, d.NameEn, string(a.Owner.Code), a.Owner.NameVi, a.Owner.NameEn))
}

func (w *words) assessRow(a *assessment.Assessment) assessRow {
	row := assessRow{
		Code: a.Database.Code, Path: assessPath(a.Database.Code), Class: string(a.Database.Class), Name: Text{a.Database.NameVi, a.Database.NameEn},
		Owner: Text{a.Owner.NameVi, a.Owner.NameEn}, Points: w.decimal(a.Points), Known: w.digits(a.Coverage, 0), points: a.Points,
		Band: bandChoice(a), Group: groupChoice(a), Capped: a.Band.ID < a.Band.Uncapped,
	}
	for i := range a.Criteria {
		row.Criteria = append(row.Criteria, w.assessCell(&a.Criteria[i]))
	}
	if len(a.Recommendations) > 0 {
		top := &a.Recommendations[0]
		row.Advice, row.Why, row.AdviceFirst, row.AdviceID = textOfWords(top.Do), textOfWords(top.Why), top.First, true
	}
	return row
}

func (w *words) assessCell(c *assessment.CriterionResult) assessCell {
	cell := assessCell{Criterion: c.Criterion, Value: "–", Colour: gradeColour(c.Colour)}
	if c.Known {
		cell.Value = w.percent(Score{Known: true, Percent: c.Value})
	}
	return cell
}

package console

import (
	"bytes"
	"cmp"
	"context"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong/internal/assessment"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// assessmentArea says where every database stands, why, and what to do next. A database
// whose code is the name of a page of the area ("method") would be hidden by it.
func assessmentArea() area {
	return area{
		name: "assessment", path: "/assessment", shown: func(c *Console) bool { return c.config.Workplace.Assessor != nil },
		routes: func(c *Console, pages *http.ServeMux) {
			pages.Handle("GET /assessment", c.member(c.assessments))
			pages.Handle("GET /assessment/ranking", c.member(c.assessmentRanking))
			pages.Handle("GET /assessment/method", c.member(c.assessmentMethod))
			pages.Handle("GET /assessment/compare", c.member(c.assessmentCompare))
			pages.Handle("GET /assessment/{code}", c.member(c.assessmentOne))
			pages.Handle("GET /assessment/{code}/checks", c.member(c.assessmentChecks))
			if c.config.Workplace.Answers != nil {
				pages.Handle("POST /assessment/{code}/answer", c.form(c.member(c.assessmentAnswer).ServeHTTP))
				pages.Handle("POST /assessment/{code}/decide", c.form(c.member(c.assessmentDecide).ServeHTTP))
			}
		},
		texts: assessmentTexts, words: assessmentWords,
	}
}

// assessPath is the page of a database in this area.
func assessPath(code string) string { return "/assessment/" + url.PathEscape(code) }

// gradeColour is a colour of the index as the style sheet calls it.
func gradeColour(colour quality.Colour) string {
	switch colour {
	case quality.Green, quality.Yellow, quality.Red:
		return string(colour)
	case quality.Grey:
	}
	return "unknown"
}

func textOfWords(words assessment.Words) Text { return Text{Vi: words.Vi, En: words.En} }

// assessOneView is one database: the sheet, and below it what the sheet is made of.
type assessOneView struct {
	chrome
	Code       string
	Name       Text
	Sheet      template.HTML
	Advice     []assessAdvice
	Dimensions []assessDimension
	Points     string
	Sections   []assessSection
	Figures    []assessFigure
	History    []assessMoment
	Days       []assessDay
	Indexes    []float64
	OtherPaths []string
	answers    []assessment.Answer
}

// assessAdvice is a recommendation with its way to the pages where it is done.
type assessAdvice struct {
	Rank               int
	Do, Why            Text
	First              bool
	Days, Points, Task string
	TaskName, Who      Text
	Due                Text
	Steps              []assessStep
	Parts              []Text
}

// assessStep is one thing to do: a page of ours, a command, or words alone.
type assessStep struct {
	Words   Text
	Command string
	Path    string
}

// assessDimension is a share of the hundred points with its parts.
type assessDimension struct {
	Name         Text
	Points, Most string
	Share        float64
	Known        string
	Parts        []assessPart
}

// assessPart is a term of the points, in figures that multiply to it.
type assessPart struct {
	ID                          string
	Name, Why                   Text
	Most, Value, Credit, Points string
	Grade                       string
	Known                       bool
}

// assessSection is a group of checks or a framework in short.
type assessSection struct {
	ID                        string
	Name                      Text
	Yes, Partly, No, Open, Of int
	Waiting                   int
}

// assessFigure is a fact that is known of the database.
type assessFigure struct {
	Name  Text
	Value string
	Grade string
}

// assessMoment is an earlier assessment with what moved since the one before.
type assessMoment struct {
	Day, Points, Change, Known string
	Band                       int
	Colour                     string
	Moves                      []assessMove
}

// assessMove is what a part or a rule added to the points or took from them.
type assessMove struct {
	Name   Text
	Effect string
	Down   bool
	Note   Text
}

// assessDay is the quality of one day.
type assessDay struct {
	Day, Index, Change string
	Colour             string
	Gates              int
	Criteria           []assessCell
	Moves              []assessMove
}

// How much of the past the page shows.
const (
	maxMoments = 24
	maxDays    = 31
	maxMoves   = 4
)

func (c *Console) assessmentOne(w http.ResponseWriter, r *http.Request, user User) {
	code := r.PathValue("code")
	for _, kind := range []string{"pdf", "docx"} {
		if stem, found := strings.CutSuffix(code, "."+kind); found {
			c.assessmentFile(w, r, stem, kind)
			return
		}
	}
	assessor := c.config.Workplace.Assessor
	one, err := assessor.Assessment(r.Context(), code)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	words := c.words(r)
	sheet, err := assessor.Sheet(r.Context(), code, string(words.language))
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view := assessOneView{Code: code, Name: Text{one.Database.NameVi, one.Database.NameEn}, Points: words.digits(one.Points, 2)}
	view.chrome = c.chromeOf(w, r, user, "assessment", "assessment-one", words.text(view.Name))
	if view.Sheet, err = sheet.Fragment(); err != nil {
		c.failWith(w, r, err)
		return
	}
	if desk := c.config.Workplace.Answers; desk != nil {
		answers, err := desk.Answers(r.Context())
		if err != nil {
			c.failWith(w, r, err)
			return
		}
		view.answers = answers[code]
	}
	snapshots, err := assessor.History(r.Context(), code)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view.Advice = c.assessAdvice(words, one)
	view.Dimensions = words.assessDimensions(one)
	view.Sections = assessSections(assessor.Method(), one, view.answers)
	for i := range one.Figures {
		f := &one.Figures[i]
		view.Figures = append(view.Figures, assessFigure{textOfWords(f.Words), words.figure(f.Unit, f.Value), gradeKey(f.Grade, f.Verified)})
	}
	view.History = words.assessHistory(snapshots, one)
	if err := c.assessDays(r.Context(), words, code, one.At, &view); err != nil {
		c.failWith(w, r, err)
		return
	}
	c.write(w, r, http.StatusOK, &view)
}

// assessmentFile sends the sheet as a file in the reader's language.
func (c *Console) assessmentFile(w http.ResponseWriter, r *http.Request, code, kind string) {
	words := c.words(r)
	sheet, err := c.config.Workplace.Assessor.Sheet(r.Context(), code, string(words.language))
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	write, media := sheet.WritePDF, "application/pdf"
	if kind == "docx" {
		write, media = sheet.WriteDOCX, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	}
	var b bytes.Buffer
	if err := write(io.Writer(&b)); err != nil {
		c.failWith(w, r, err)
		return
	}
	day := quality.DateOf(c.config.Now().UnixMicro())
	title, err := words.say("assessment.file", sheet.Name)
	if err != nil {
		c.config.Log.ErrorContext(r.Context(), "console: a file has no title", slog.Any("error", err))
		title = code
	}
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Content-Disposition", attachment("assessment-"+code+"-"+day+"."+kind, title+" "+day+"."+kind))
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // the reader has gone: nothing to tell it
	}
}

// attachment names a file for old programs in ASCII and for all others as it is called (RFC 6266,
// RFC 8187).
func attachment(plain, full string) string {
	var ascii, encoded strings.Builder
	simple := func(b byte) bool {
		return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '.' || b == '_'
	}
	for _, char := range plain {
		if char < 0x80 && simple(byte(char)) {
			ascii.WriteRune(char)
		} else {
			ascii.WriteByte('-')
		}
	}
	const hex = "0123456789ABCDEF"
	for _, b := range []byte(strings.Map(fileChar, full)) {
		if simple(b) {
			encoded.WriteByte(b)
		} else {
			encoded.Write([]byte{'%', hex[b>>4], hex[b&15]})
		}
	}
	return `attachment; filename="` + ascii.String() + `"; filename*=UTF-8''` + encoded.String()
}

// fileChar keeps characters out of names that file systems refuse.
func fileChar(char rune) rune {
	if char < ' ' || strings.ContainsRune(`/\:*?"<>|`, char) {
		return '-'
	}
	return char
}

func (c *Console) assessAdvice(w *words, a *assessment.Assessment) []assessAdvice {
	var list []assessAdvice
	names := map[string]Text{}
	for i := range a.Parts {
		names[a.Parts[i].ID] = partName(&a.Parts[i])
	}
	for i := range a.Recommendations {
		r := &a.Recommendations[i]
		advice := assessAdvice{
			Rank: i + 1, Do: textOfWords(r.Do), Why: textOfWords(r.Why), First: r.First, Points: "+" + w.decimal(r.Points), Task: r.Task,
			TaskName: textOfWords(r.TaskWords), Who: textOf(stewardship.Role(r.Who).Word()), Days: w.digits(r.From, 2), Due: w.due(r.Due),
		}
		if r.From != r.To {
			advice.Days += " – " + w.digits(r.To, 2)
		}
		for _, step := range r.Steps {
			advice.Steps = append(advice.Steps, assessStep{textOfWords(step.Words), step.Command, c.assessStepPath(step.Page)})
		}
		for _, part := range r.Closes {
			if name, found := names[part]; found {
				advice.Parts = append(advice.Parts, name)
			}
		}
		if len(r.Steps) == 0 && len(r.Closes) == 1 {
			_, id, _ := strings.Cut(r.Closes[0], ":")
			if question, found := a.Question(id); found && question.People && question.Part() == r.Closes[0] {
				advice.Steps = append(advice.Steps, assessStep{Path: assessPath(a.Database.Code) + "/checks#q-" + id})
			}
		}
		list = append(list, advice)
	}
	return list
}

// assessStepPath is where a step leads; empty when this platform has no such page. Answers are given on
// the page of the checks.
func (c *Console) assessStepPath(page string) string {
	if before, anchor, found := strings.Cut(page, "#"); found && strings.HasPrefix(before, "/assessment/") {
		return before + "/checks#" + anchor
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(page, "/"), "/")
	first, _, _ = strings.Cut(first, "?")
	switch {
	case page == "", first == "":
		return ""
	case first == "database",
		slices.ContainsFunc(c.navigation(), func(e navigationEntry) bool { return e.Path == "/"+first }):
		return page
	}
	return ""
}

// partName is a part as people know it: questions with their number.
func partName(p *assessment.Part) Text {
	name := textOfWords(p.Words)
	if kind, id, found := strings.Cut(p.ID, ":"); found && (kind == string(assessment.Readiness) || kind == string(assessment.Architecture)) {
		name.Vi, name.En = id+". "+name.Vi, id+". "+name.En
	}
	return name
}

// assessDimensions lays the points open: every part with the figures that multiply to it, and why.
func (w *words) assessDimensions(a *assessment.Assessment) []assessDimension {
	reasons := map[string]Text{}
	for i := range a.Questions {
		reasons[a.Questions[i].Part()] = textOfWords(a.Questions[i].Why)
	}
	for _, gap := range a.Gaps() {
		reasons[gap.Part.ID] = textOfWords(gap.Why)
	}
	list := make([]assessDimension, 0, len(a.Dimensions))
	for _, d := range a.Dimensions {
		one := assessDimension{Name: textOfWords(d.Words), Points: w.digits(d.Points, 2), Most: w.digits(d.Most, 2), Known: w.digits(d.Coverage, 0)}
		if d.Most > 0 {
			one.Share = 100 * d.Points / d.Most
		}
		for i := range a.Parts {
			p := &a.Parts[i]
			if p.Dimension != d.ID {
				continue
			}
			part := assessPart{
				ID: p.ID, Name: partName(p), Why: reasons[p.ID], Most: w.digits(p.Most, 2), Value: w.digits(100*p.Value, 1) + " %",
				Credit: w.digits(p.Credit, 2), Points: w.digits(p.Points, 2), Grade: gradeKey(p.Grade, p.Verified), Known: p.Known,
			}
			one.Parts = append(one.Parts, part)
		}
		list = append(list, one)
	}
	return list
}

// gradeKey is the word of a grade of evidence: what a reviewer has verified is more than what is declared.
func gradeKey(grade assessment.Grade, verified bool) string {
	if grade == assessment.Declared && verified {
		return "V"
	}
	return string(grade)
}

func assessSections(m *assessment.Method, a *assessment.Assessment, answers []assessment.Answer) []assessSection {
	var list []assessSection
	for _, kind := range []assessment.Kind{assessment.Readiness, assessment.Architecture} {
		for _, s := range m.Sections(kind) {
			tally := a.Tally(kind, s.ID)
			if tally.Of == 0 {
				continue
			}
			one := assessSection{
				ID: string(kind) + "-" + s.ID, Name: textOfWords(s.Words), Yes: tally.Yes, Partly: tally.Partly, No: tally.No, Open: tally.Unknown, Of: tally.Of,
			}
			for i := range answers {
				if q, found := a.Question(answers[i].Question); found && answers[i].State == assessment.Answered && q.Kind == kind && q.Section == s.ID {
					one.Waiting++
				}
			}
			list = append(list, one)
		}
	}
	return list
}

// assessHistory lists what was kept, newest first, with what moved the points.
func (w *words) assessHistory(snapshots []assessment.Snapshot, now *assessment.Assessment) []assessMoment {
	names := map[string]Text{}
	for i := range now.Parts {
		names[now.Parts[i].ID] = partName(&now.Parts[i])
	}
	if n := len(snapshots); n > 0 && snapshots[n-1].Day == quality.DateOf(now.At) {
		snapshots = snapshots[:n-1] // of today, the present stands
	}
	var previous *assessment.Snapshot
	if n := len(snapshots); n > 0 {
		previous = &snapshots[n-1]
	}
	all := append(slices.Clone(snapshots), assessment.SnapshotOf(previous, now))
	var list []assessMoment
	for i := len(all) - 1; i >= 0 && len(list) < maxMoments; i-- {
		score := all[i].Current()
		moment := assessMoment{
			Day: w.dateOf(all[i].At), Points: w.decimal(score.Points), Known: w.digits(score.Coverage, 0), Band: score.Published, Colour: bandColour(score.Published),
		}
		if i > 0 {
			before, found := all[i-1].By(score.Method)
			if found {
				moment.Change = w.signed(score.Points-before.Points, 1)
			}
			for _, move := range assessment.Moves(&all[i-1], &all[i], score.Method) {
				if len(moment.Moves) == maxMoves {
					break
				}
				name, found := names[move.Part]
				if !found {
					name = Text{move.Part, move.Part}
				}
				moment.Moves = append(moment.Moves, assessMove{Name: name, Effect: w.signed(move.After-move.Before, 2), Down: move.After < move.Before})
			}
		}
		list = append(list, moment)
	}
	return list
}

// assessDays is the quality by day, newest first, with the rules that moved it.
func (c *Console) assessDays(ctx context.Context, w *words, code string, at int64, view *assessOneView) error {
	if c.config.Workplace.Trend == nil {
		return nil
	}
	days, err := c.config.Workplace.Trend.Year(ctx, code, at)
	if err != nil {
		return err
	}
	days = days[max(0, len(days)-maxDays-1):]
	rules := c.ruleWords()
	first := 0
	if len(days) > maxDays {
		first = 1
	}
	for i := first; i < len(days); i++ {
		day := &days[i]
		one := assessDay{Day: w.dateOf(day.At), Index: "–", Colour: gradeColour(day.Colour), Gates: day.Gates}
		if day.Known {
			one.Index = w.percent(Score{Known: true, Percent: day.Index})
			view.Indexes = append(view.Indexes, day.Index)
		}
		var method quality.Method
		for _, k := range day.Criteria {
			cell := assessCell{Criterion: k.Criterion, Value: "–", Colour: gradeColour(method.Colour(k.Value, k.Known))}
			if k.Known {
				cell.Value = w.percent(Score{Known: true, Percent: k.Value})
			}
			one.Criteria = append(one.Criteria, cell)
		}
		if i > 0 {
			change := quality.Compare(days[i-1], *day)
			if change.Known {
				one.Change = w.signed(change.After-change.Before, 1)
			}
			for n := range change.Movers {
				if len(one.Moves) == maxMoves {
					break
				}
				m := &change.Movers[n]
				one.Moves = append(one.Moves, assessMove{Name: ruleName(rules, &m.Term), Effect: w.signed(m.Effect, 2), Down: m.Effect < 0, Note: w.failedNote(m)})
			}
		}
		view.Days = append(view.Days, one)
	}
	slices.Reverse(view.Days)
	return nil
}

// ruleWords is what the rules in force say, by code.
func (c *Console) ruleWords() map[string]Text {
	rules := map[string]Text{}
	add := func(list []dictionary.Rule) {
		for i := range list {
			rules[list[i].Code] = Text{list[i].Vi, list[i].En}
		}
	}
	if known := c.config.Workplace.Dictionary; known != nil {
		elements := known().Elements()
		for i := range elements {
			add(elements[i].Rules)
		}
	}
	if c.config.Workplace.Definitions != nil {
		for _, d := range c.config.Workplace.Definitions() {
			add(d.Rules)
			for i := range d.SetRules {
				rules[d.SetRules[i].Code] = Text{d.SetRules[i].Vi, d.SetRules[i].En}
			}
		}
	}
	return rules
}

// ruleName is a term of the index in words: of a rule what it says, else what was counted.
func ruleName(rules map[string]Text, t *quality.Term) Text {
	where := t.Dataset
	if t.Field != "" {
		where += " · " + t.Field
	}
	name, found := rules[t.Code]
	switch {
	case t.Code == "":
		name = Text{t.Vi, t.En}
	case !found:
		name = Text{t.Code, t.Code}
	}
	return Text{where + ": " + name.Vi, where + ": " + cmp.Or(name.En, name.Vi)}
}

// failedNote says how many records more, or fewer, do not pass.
func (w *words) failedNote(m *quality.Mover) Text {
	switch {
	case m.New:
		return Text{"mới đo", "newly measured"}
	case m.Gone:
		return Text{"không còn đo", "no longer measured"}
	case m.FailedDelta == 0:
		return Text{}
	}
	count := w.signed(m.FailedDelta, 0)
	return Text{count + " bản ghi lỗi", count + " failing records"}
}

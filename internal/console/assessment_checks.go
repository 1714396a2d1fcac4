package console

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/assessment"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// assessChecksView is everything that is asked about a database: what the platform answers, and
// the forms for what people answer.
type assessChecksView struct {
	chrome
	Code                 string
	Name                 Text
	Points, Known        string
	Band                 assessChoice
	Kinds                []assessKind
	MayAnswer, MayVerify bool
	Refused              bool
}

// assessKind is the readiness checks, or the frameworks.
type assessKind struct {
	Kind     assessment.Kind
	Sections []assessQuestions
}

// assessQuestions is a group of checks or a framework.
type assessQuestions struct {
	assessSection
	Source    string
	Questions []assessQuestion
}

// assessQuestion is one check with its answer and what may be done about it.
type assessQuestion struct {
	ID, Source   string
	Name, Why    Text
	Verdict      assessment.Verdict
	Percent      string
	Grade        string
	Points, Most string
	Contradicted bool
	People       bool
	Evidence     Text
	Same         string // the question that is answered instead
	Expires      string
	Answer       *assessment.Answer
	Original     bool
	History      []assessment.Answer
	Gains        assessGains
	CanAnswer    bool
	CanVerify    bool
	CanReturn    bool
	CanWithdraw  bool
	Own          bool // the reader gave the answer and may not judge it
	Measured     bool // what people say counts for nothing while the platform measures
	Refused      []*lienthong.Error
	Typed        assessTyped
	Open         bool
	Revision     int64
	DatabasePath string
	Form         string
}

// assessGains is what an answer would bring in points, by how far it is verified. Empty: nothing more.
type assessGains struct{ Declared, Verified, Original string }

// assessTyped is a form as somebody filled it in.
type assessTyped struct {
	Verdict, Percent, Document, Text, File, SHA256, Until, Note string
	Original                                                    bool
}

func typedAnswer(r *http.Request) assessTyped {
	get := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	return assessTyped{
		Verdict: get("verdict"), Percent: get("percent"), Document: get("document"), Text: get("text"), File: get("file"),
		SHA256: get("sha256"), Until: get("until"), Note: get("note"), Original: get("original") != "",
	}
}

// typedOfAnswer fills the form with what stands.
func typedOfAnswer(a *assessment.Answer) assessTyped {
	if a == nil {
		return assessTyped{}
	}
	typed := assessTyped{Verdict: string(a.Verdict), Document: a.Evidence.Document, Text: a.Evidence.Text, File: a.Evidence.File, SHA256: a.Evidence.SHA256}
	if a.Verdict == assessment.Partly {
		typed.Percent = strconv.FormatFloat(a.Percent, 'f', -1, 64)
	}
	if a.Until != 0 {
		typed.Until = time.UnixMicro(a.Until - 1).In(vietNam()).Format(time.DateOnly)
	}
	return typed
}

// vietNam has one zone and no summer time.
func vietNam() *time.Location { return time.FixedZone("Asia/Ho_Chi_Minh", 7*3600) }

// assessRefusal is a form that was refused, with the question that it is about.
type assessRefusal struct {
	question string
	problems []*lienthong.Error
	typed    assessTyped
	answer   bool // it was an answer, not a word on one
}

func (c *Console) assessmentChecks(w http.ResponseWriter, r *http.Request, user User) {
	c.showChecks(w, r, user, http.StatusOK, assessRefusal{})
}

// showChecks shows what is asked, with the reason why not and what was typed when a form was refused.
func (c *Console) showChecks(w http.ResponseWriter, r *http.Request, user User, status int, refusal assessRefusal) {
	code := r.PathValue("code")
	assessor := c.config.Workplace.Assessor
	one, err := assessor.Assessment(r.Context(), code)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	answers := map[string]*assessment.Answer{}
	if desk := c.config.Workplace.Answers; desk != nil {
		all, err := desk.Answers(r.Context())
		if err != nil {
			c.failWith(w, r, err)
			return
		}
		for i := range all[code] {
			answers[all[code][i].Question] = &all[code][i]
		}
	}
	var history []assessment.Answer
	asked := r.URL.Query().Get("question")
	if answers[asked] != nil {
		if history, err = c.config.Workplace.Answers.History(r.Context(), code, asked); err != nil {
			c.failWith(w, r, err)
			return
		}
		slices.Reverse(history)
	}
	words := c.words(r)
	view := assessChecksView{
		Code: code, Name: Text{one.Database.NameVi, one.Database.NameEn}, Points: words.digits(one.Points, 2), Known: words.digits(one.Coverage, 1),
		Band: bandChoice(one), Refused: len(refusal.problems) > 0,
		MayAnswer: c.mayAnswer(user, one), MayVerify: c.config.Workplace.Answers != nil && user.Has(string(stewardship.Reviewer)),
	}
	view.chrome = c.chromeOf(w, r, user, "assessment", "assessment-checks", c.say(r, "assessment.checks.title")+" – "+words.text(view.Name))
	credits := creditsOf(assessor.Method())
	method := assessor.Method()
	sections := assessSections(method, one, nil)
	for _, kind := range []assessment.Kind{assessment.Readiness, assessment.Architecture} {
		group := assessKind{Kind: kind}
		for _, s := range method.Sections(kind) {
			i := slices.IndexFunc(sections, func(known assessSection) bool { return known.ID == string(kind)+"-"+s.ID })
			if i < 0 {
				continue
			}
			section := assessQuestions{assessSection: sections[i], Source: s.Source}
			for n := range one.Questions {
				result := &one.Questions[n]
				if result.Kind != kind || result.Section != s.ID || !result.Applies {
					continue
				}
				q := words.assessQuestion(one, result, method, credits)
				q.Form, q.DatabasePath = view.Form, assessPath(code)
				c.assessOffers(&q, user, &view, answers[q.ID])
				if q.ID == asked {
					q.History, q.Open = history, true
				}
				if q.ID == refusal.question {
					q.Refused, q.Typed, q.Open = refusal.problems, refusal.typed, true
					q.CanAnswer = q.CanAnswer || refusal.answer // what was typed is not lost with a role
				}
				section.Questions = append(section.Questions, q)
			}
			group.Sections = append(group.Sections, section)
		}
		view.Kinds = append(view.Kinds, group)
	}
	c.write(w, r, status, &view)
}

// mayAnswer reports whether the user speaks for the agency that owns the database.
func (c *Console) mayAnswer(user User, a *assessment.Assessment) bool {
	return c.config.Workplace.Answers != nil && user.Has(string(stewardship.Owner), string(stewardship.Engineer)) &&
		a.Database.Owner != "" && user.Member == a.Database.Owner
}

// assessOffers says what the user may do about a question.
func (c *Console) assessOffers(q *assessQuestion, user User, view *assessChecksView, answer *assessment.Answer) {
	if !q.People || c.config.Workplace.Answers == nil {
		return
	}
	q.CanAnswer = view.MayAnswer
	if answer == nil {
		return
	}
	q.Answer, q.Revision, q.Original = answer, answer.Revision, answer.Original
	q.Typed = typedOfAnswer(answer)
	q.CanWithdraw = view.MayAnswer && answer.State != assessment.Withdrawn
	if !view.MayVerify {
		return
	}
	q.Own = dictionary.MatchKey(answer.By) == dictionary.MatchKey(user.person().Name)
	q.CanVerify = !q.Own && answer.State == assessment.Answered
	q.CanReturn = !q.Own && (answer.State == assessment.Answered || answer.State == assessment.Verified)
	q.Own = q.Own && answer.State == assessment.Answered
	q.Open = q.CanVerify
}

func (w *words) assessQuestion(a *assessment.Assessment, result *assessment.Result, m *assessment.Method, credits assessCredits) assessQuestion {
	q := assessQuestion{
		ID: result.ID, Source: result.Source, Name: textOfWords(result.Words), Why: textOfWords(result.Why), Verdict: result.Verdict,
		Grade: gradeKey(result.Grade, result.Verified), Contradicted: result.Contradicted, People: result.People,
		Measured: result.Fact != "" && (result.Grade != assessment.Declared || result.Verified), Expires: w.dateOf(result.Expires),
	}
	if result.Counted {
		q.Percent = w.digits(result.Percent, 1)
	}
	if known, found := m.Question(result.ID); found {
		q.Evidence, q.Same = textOfWords(known.Evidence), known.SameAs
	}
	i := slices.IndexFunc(a.Parts, func(p assessment.Part) bool { return p.ID == result.Part() })
	if i < 0 {
		return q
	}
	part := &a.Parts[i]
	q.Points, q.Most = w.digits(part.Points, 2), w.digits(part.Most, 2)
	if q.Measured {
		return q
	}
	value := 1.0
	if result.Answered {
		value = part.Value
	}
	gain := func(credit float64) string {
		if more := part.Most*value*credit - part.Points; more > 0.005 {
			return w.signed(more, 2)
		}
		return ""
	}
	q.Gains = assessGains{Declared: gain(credits.Declared), Verified: gain(credits.Verified), Original: gain(credits.Reconciled)}
	return q
}

// assessmentAnswer keeps what somebody answers to a question.
func (c *Console) assessmentAnswer(w http.ResponseWriter, r *http.Request, user User) {
	typed, question := typedAnswer(r), r.PostForm.Get("question")
	revision, _ := strconv.ParseInt(r.PostForm.Get("revision"), 10, 64)
	answer := assessment.Answer{
		Database: r.PathValue("code"), Question: question, Verdict: assessment.Verdict(typed.Verdict),
		Evidence: assessment.Evidence{Document: typed.Document, Text: typed.Text, File: typed.File, SHA256: typed.SHA256},
	}
	var err error
	if answer.Percent, err = parsePercent(typed.Percent); err != nil {
		answer.Percent = math.NaN() // the desk refuses it together with whatever else is wrong
	}
	if typed.Until != "" {
		until, err := time.ParseInLocation(time.DateOnly, typed.Until, vietNam())
		if err != nil {
			c.afterAnswer(w, r, user, question, typed, &lienthong.Error{
				Code: "assessment.until", Where: question, Vi: "ngày hết hiệu lực của minh chứng không đúng", En: "the day on which the evidence ends is not a date",
				Hint: "năm-tháng-ngày, ví dụ 2027-06-30 / year-month-day, such as 2027-06-30",
			})
			return
		}
		answer.Until = until.AddDate(0, 0, 1).UnixMicro() // through that day
	}
	_, err = c.config.Workplace.Answers.Answer(r.Context(), user.person(), answer, revision)
	c.afterAnswer(w, r, user, question, typed, err)
}

// parsePercent reads a percentage with the mark of either language; empty is 0.
func parsePercent(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(strings.TrimSuffix(text, "%")), ",", "."), 64)
}

// assessmentDecide is a reviewer's word on an answer, or its owner taking it back.
func (c *Console) assessmentDecide(w http.ResponseWriter, r *http.Request, user User) {
	typed, question := typedAnswer(r), r.PostForm.Get("question")
	revision, _ := strconv.ParseInt(r.PostForm.Get("revision"), 10, 64)
	desk, person, code := c.config.Workplace.Answers, user.person(), r.PathValue("code")
	var err error
	switch r.PostForm.Get("action") {
	case "verify":
		_, err = desk.Verify(r.Context(), person, code, question, revision, typed.Original, typed.Note)
	case "return":
		_, err = desk.Return(r.Context(), person, code, question, revision, typed.Note)
	case "withdraw":
		_, err = desk.Withdraw(r.Context(), person, code, question, revision, typed.Note)
	default:
		c.fail(w, r, http.StatusBadRequest, failure{})
		return
	}
	c.afterAnswer(w, r, user, question, typed, err)
}

// afterAnswer goes back to the question, or shows it with the reasons why not.
func (c *Console) afterAnswer(w http.ResponseWriter, r *http.Request, user User, question string, typed assessTyped, err error) {
	problems := codedErrors(err)
	switch {
	case err == nil:
		back(w, r, assessPath(r.PathValue("code"))+"/checks#q-"+url.PathEscape(question))
	case len(problems) == 0 || problems[0].Code == CodeUnknownDatabase:
		c.failWith(w, r, err)
	default:
		if _, found := c.config.Workplace.Assessor.Method().Question(question); !found {
			c.fail(w, r, http.StatusNotFound, failure{})
			return
		}
		c.showChecks(w, r, user, answerStatus(problems), assessRefusal{question, problems, typed, strings.HasSuffix(r.URL.Path, "/answer")})
	}
}

func answerStatus(problems []*lienthong.Error) int {
	switch problems[0].Code {
	case "assessment.role", "assessment.member", "assessment.four_eyes":
		return http.StatusForbidden
	}
	return refusalStatus(problems[0])
}

// codedErrors are all errors for people that an error consists of.
func codedErrors(err error) []*lienthong.Error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var all []*lienthong.Error
		for _, one := range joined.Unwrap() {
			all = append(all, codedErrors(one)...)
		}
		return all
	}
	var coded *lienthong.Error
	if errors.As(err, &coded) {
		return []*lienthong.Error{coded}
	}
	return nil
}

// assessCredits are the shares of the points that evidence earns, by its grade.
type assessCredits struct{ Measured, Reconciled, Signed, Verified, Declared float64 }

// creditsOf asks the method itself: it assesses a database of which nothing is known but one figure, or
// one answer, of each grade.
func creditsOf(m *assessment.Method) assessCredits {
	at := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	measured := func(grade assessment.Grade) float64 {
		facts := assessment.Facts{At: at, Quality: assessment.Quality{Grade: grade, Criteria: []assessment.CriterionFact{{Criterion: lienthong.Correct, Value: 100, Known: true}}}}
		return creditOf(m.Assess(&facts, at), "criterion:"+string(lienthong.Correct))
	}
	credits := assessCredits{Measured: measured(assessment.Measured), Signed: measured(assessment.Signed)}
	questions := m.Questions()
	i := slices.IndexFunc(questions, func(q assessment.Question) bool {
		return q.Evidence.Vi != "" && q.SameAs == "" && len(q.Automatic) == 0 && len(q.Applies) == 0
	})
	if i < 0 {
		return credits
	}
	said := func(state assessment.State, original bool) float64 {
		facts := assessment.Facts{At: at, Answers: []assessment.Answer{{Question: questions[i].ID, Verdict: assessment.Yes, At: at, State: state, Original: original}}}
		return creditOf(m.Assess(&facts, at), questions[i].Part())
	}
	credits.Declared, credits.Verified, credits.Reconciled = said(assessment.Answered, false), said(assessment.Verified, false), said(assessment.Verified, true)
	return credits
}

func creditOf(a *assessment.Assessment, part string) float64 {
	for i := range a.Parts {
		if a.Parts[i].ID == part {
			return a.Parts[i].Credit
		}
	}
	return 0
}

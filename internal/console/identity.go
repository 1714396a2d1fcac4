package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/linkage"
	"github.com/lienthong/lienthong/internal/quality"
)

// maxDecided is how many decided questions a page lists.
const maxDecided = 20

// identitiesView is the next question about two records, and how far the register is.
type identitiesView struct {
	chrome
	Tabs      []questionTab
	Registers []identityRegister
	Tally     linkage.Tally
	Title     Text
	Share     int64
	Question  *identityView
	CanAnswer bool
	Answered  *identityView // that this person has just answered
	Decided   []identityView
}

// identityRegister is a register that has questions.
type identityRegister struct {
	linkage.Tally
	Title   Text
	Path    string
	Current bool
}

// identityView is a question as people see it: which records, and how they compare.
type identityView struct {
	*linkage.Question
	Path     string
	Title    Text // of the register
	A, B     identityRecord
	Percent  Score
	Why      Text
	Parts    []identityPart
	Opinions []linkage.Opinion // while another person must answer, theirs are not shown
	Answers  []string
	Typed    map[string]string
}

// identityRecord names a record without showing who it is about.
type identityRecord struct{ Masked, Digest string }

// identityPart is one reason for or against.
type identityPart struct {
	Words  Text
	Bits   string
	Speaks string // "strong", "for", "little", "against", "never"
	Colour string
}

func identityPath(id string) string { return "/questions/identities/" + url.PathEscape(id) }

// newIdentityView arranges a question.
func (c *Console) newIdentityView(r *http.Request, q *linkage.Question) *identityView {
	words := c.words(r)
	view := &identityView{
		Question: q, Path: identityPath(q.ID), Title: c.identityRegisterTitle(q.Register), A: newIdentityRecord(q.A, q.FingerprintA), B: newIdentityRecord(q.B, q.FingerprintB),
		Percent: Score{Known: true, Percent: q.Probability * 100}, Answers: identityAnswers(), Typed: map[string]string{},
	}
	if q.Reason != linkage.ByWeight {
		view.Why = pairOf(q.Reason.Words())
	}
	if q.State != linkage.Second {
		view.Opinions = q.Opinions
	}
	for _, name := range []string{"answer", "note", "why"} {
		view.Typed[name] = r.PostForm.Get(name)
	}
	for i := range q.Evidence {
		e := &q.Evidence[i]
		part := identityPart{Words: Text{e.Vi, e.En}, Bits: words.bits(e.Weight)}
		switch {
		case e.Field == "prior":
			part.Speaks = "start"
		case e.Weight >= 5:
			part.Speaks, part.Colour = "strong", "green"
		case e.Weight >= 0.5:
			part.Speaks, part.Colour = "for", "green"
		case e.Weight > -0.5:
			part.Speaks = "little"
		case e.Weight > -5:
			part.Speaks, part.Colour = "against", "yellow"
		default:
			part.Speaks, part.Colour = "never", "red"
		}
		view.Parts = append(view.Parts, part)
	}
	return view
}

func newIdentityRecord(id, fingerprint string) identityRecord {
	return identityRecord{Masked: quality.Mask([]byte(id), lienthong.Text), Digest: fingerprint[:min(len(fingerprint), 8)]}
}

func identityAnswers() []string {
	return []string{string(linkage.AnswerSame), string(linkage.AnswerDifferent), string(linkage.AnswerUnsure)}
}

// identityRegisterTitle is a register as people call it: by its dataset.
func (c *Console) identityRegisterTitle(register string) Text {
	if definitions := c.config.Workplace.Definitions; definitions != nil {
		for _, d := range definitions() {
			if d.Dataset.String() == register {
				return Text{Vi: cmp.Or(d.TitleVi, register), En: cmp.Or(d.TitleEn, register)}
			}
		}
	}
	return Text{Vi: register, En: register}
}

func identityReviewer(user User) linkage.Reviewer {
	return linkage.Reviewer{Name: user.Account, Member: user.Member, Roles: user.Roles}
}

func (c *Console) identityQuestions(w http.ResponseWriter, r *http.Request, user User) {
	queue := c.config.Workplace.Identities
	tallies, err := queue.Tallies(r.Context())
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view := identitiesView{
		chrome: c.chromeOf(w, r, user, "questions", "identities", c.say(r, "questions.identities")),
		Tabs:   c.questionTabs("identities"), CanAnswer: user.Has(linkage.Steward) && user.Account != "",
	}
	chosen := r.URL.Query().Get("register")
	if !slices.ContainsFunc(tallies, func(t linkage.Tally) bool { return t.Register == chosen }) && len(tallies) > 0 {
		chosen = slices.MaxFunc(tallies, func(a, b linkage.Tally) int { return cmp.Compare(a.Left(), b.Left()) }).Register
	}
	for _, t := range tallies {
		row := identityRegister{Tally: t, Title: c.identityRegisterTitle(t.Register), Path: identityRegisterPath(t.Register), Current: t.Register == chosen}
		if row.Current {
			view.Tally, view.Title = t, row.Title
			view.Share = share(int64(t.Done()), int64(t.Done()+t.Left()))
		}
		view.Registers = append(view.Registers, row)
	}
	if chosen != "" {
		if err := c.fillIdentities(r, user, chosen, &view); err != nil {
			c.failWith(w, r, err)
			return
		}
	}
	c.write(w, r, http.StatusOK, &view)
}

func identityRegisterPath(register string) string {
	return "/questions/identities?" + url.Values{"register": {register}}.Encode()
}

// fillIdentities adds the next question of a register and what has been decided.
func (c *Console) fillIdentities(r *http.Request, user User, register string, view *identitiesView) error {
	queue := c.config.Workplace.Identities
	next, err := queue.Next(r.Context(), register, identityReviewer(user), 1)
	if err != nil {
		return err
	}
	if len(next) > 0 {
		view.Question = c.newIdentityView(r, &next[0])
	}
	if id := r.URL.Query().Get("answered"); id != "" {
		q, err := queue.Question(r.Context(), id)
		switch {
		case err == nil:
			view.Answered = c.newIdentityView(r, q)
		case lienthong.ErrorCode(err) != "linkage.question.unknown":
			return err
		}
	}
	var decided []linkage.Question
	for _, state := range identityAnswers() {
		list, err := queue.List(r.Context(), register, state)
		if err != nil {
			return err
		}
		decided = append(decided, list...)
	}
	slices.SortStableFunc(decided, func(a, b linkage.Question) int { return cmp.Compare(b.Decided, a.Decided) })
	for i := range decided[:min(len(decided), maxDecided)] {
		view.Decided = append(view.Decided, *c.newIdentityView(r, &decided[i]))
	}
	return nil
}

// pairView is the page of one question.
type pairView struct {
	chrome
	Tabs      []questionTab
	Question  *identityView
	CanAnswer bool
	Open      bool
	Refused   *lienthong.Error
}

func (c *Console) identityQuestion(w http.ResponseWriter, r *http.Request, user User) {
	c.showIdentity(w, r, user, http.StatusOK, nil)
}

// showIdentity shows a question, with a refusal and what was typed when an answer was refused.
func (c *Console) showIdentity(w http.ResponseWriter, r *http.Request, user User, status int, refused *lienthong.Error) {
	q, err := c.config.Workplace.Identities.Question(r.Context(), r.PathValue("id"))
	if err != nil {
		c.failQuestion(w, r, err)
		return
	}
	view := pairView{
		chrome: c.chromeOf(w, r, user, "questions", "identity", c.say(r, "questions.identity")), Tabs: c.questionTabs("identities"),
		Question: c.newIdentityView(r, q), CanAnswer: user.Has(linkage.Steward) && user.Account != "", Refused: refused,
		Open: q.State == linkage.Open || q.State == linkage.Second,
	}
	c.write(w, r, status, &view)
}

// identityAnswer records an answer and goes on to the next question.
func (c *Console) identityAnswer(w http.ResponseWriter, r *http.Request, user User) {
	revision, _ := strconv.ParseInt(r.PostForm.Get("revision"), 10, 64)
	q, err := c.config.Workplace.Identities.Decide(r.Context(), linkage.Decision{
		ID: r.PathValue("id"), Revision: revision, Answer: linkage.Answer(r.PostForm.Get("answer")), Note: r.PostForm.Get("note"), Person: identityReviewer(user),
	})
	if err == nil {
		back(w, r, identityRegisterPath(q.Register)+"&answered="+url.QueryEscape(q.ID))
		return
	}
	c.afterIdentity(w, r, user, err)
}

func (c *Console) identityReopen(w http.ResponseWriter, r *http.Request, user User) {
	_, err := c.config.Workplace.Identities.Reopen(r.Context(), r.PathValue("id"), identityReviewer(user), r.PostForm.Get("why"))
	c.afterIdentity(w, r, user, err)
}

func (c *Console) afterIdentity(w http.ResponseWriter, r *http.Request, user User, err error) {
	var refused *lienthong.Error
	switch {
	case err == nil:
		back(w, r, identityPath(r.PathValue("id")))
	case errors.As(err, &refused):
		c.showIdentity(w, r, user, questionStatus(refused), refused)
	default:
		c.failWith(w, r, err)
	}
}

package console

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/address"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// questionsArea is what only people can answer: which unit an address means, and whether two
// records are about the same.
func questionsArea() area {
	return area{
		name: "questions", path: "/questions",
		shown: func(c *Console) bool {
			return c.config.Workplace.Addresses != nil || c.config.Workplace.Identities != nil
		},
		routes: func(c *Console, pages *http.ServeMux) {
			pages.Handle("GET /questions", c.member(c.questions))
			if c.config.Workplace.Addresses != nil {
				pages.Handle("GET /questions/addresses", c.member(c.addressQuestions))
				pages.Handle("GET /questions/addresses/{id}", c.member(c.addressQuestion))
				pages.Handle("POST /questions/addresses/{id}/answer", c.form(c.member(c.addressAnswer).ServeHTTP))
				pages.Handle("POST /questions/addresses/{id}/withdraw", c.form(c.member(c.addressWithdraw).ServeHTTP))
			}
			if c.config.Workplace.Identities != nil {
				pages.Handle("GET /questions/identities", c.member(c.identityQuestions))
				pages.Handle("GET /questions/identities/{id}", c.member(c.identityQuestion))
				pages.Handle("POST /questions/identities/{id}/answer", c.form(c.member(c.identityAnswer).ServeHTTP))
				pages.Handle("POST /questions/identities/{id}/reopen", c.form(c.member(c.identityReopen).ServeHTTP))
			}
		},
		texts: questionsTexts, words: questionsWords,
	}
}

const (
	questionsPerPage = 50
	maxUnitsFound    = 12
	unitsShown       = 12
)

// questionTab is one of the two kinds of questions.
type questionTab struct {
	Name    string // "addresses", "identities"
	Path    string
	Current bool
}

func (c *Console) questionTabs(current string) []questionTab {
	var tabs []questionTab
	if c.config.Workplace.Addresses != nil {
		tabs = append(tabs, questionTab{"addresses", "/questions/addresses", current == "addresses"})
	}
	if c.config.Workplace.Identities != nil {
		tabs = append(tabs, questionTab{"identities", "/questions/identities", current == "identities"})
	}
	return tabs
}

// questions leads to the first kind that there is.
func (c *Console) questions(w http.ResponseWriter, r *http.Request, _ User) {
	http.Redirect(w, r, c.questionTabs("")[0].Path, http.StatusSeeOther)
}

// addressesView is the list of the questions about addresses.
type addressesView struct {
	chrome
	Tabs   []questionTab
	State  string
	States []addressState
	Rows   []addressRow
	Total  int
	Pages  pager
}

type addressState struct {
	Name    string
	Count   int
	Current bool
	Path    string
}

// addressRow is a question in the list.
type addressRow struct {
	address.Item
	Path    string
	Likely  string // the likeliest unit
	Percent int
}

func (c *Console) addressQuestions(w http.ResponseWriter, r *http.Request, user User) {
	all, err := c.config.Workplace.Addresses.Items(r.Context(), "")
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view := addressesView{
		chrome: c.chromeOf(w, r, user, "questions", "addresses", c.say(r, "questions.addresses")),
		Tabs:   c.questionTabs("addresses"), State: cmp.Or(r.URL.Query().Get("state"), address.StateOpen),
	}
	for _, name := range addressStates() {
		s := addressState{Name: name, Current: name == view.State, Path: "/questions/addresses?state=" + name}
		for i := range all {
			if all[i].State == name {
				s.Count++
			}
		}
		view.States = append(view.States, s)
	}
	all = slices.DeleteFunc(all, func(i address.Item) bool { return i.State != view.State })
	view.Total = len(all)
	view.Pages = newPager("/questions/addresses", url.Values{"state": {view.State}}, r.URL.Query().Get("page"), len(all), questionsPerPage)
	from, to := view.Pages.bounds(len(all), questionsPerPage)
	for i := range all[from:to] {
		row := addressRow{Item: all[from+i], Path: addressPath(all[from+i].ID)}
		if now := row.Question.Now; len(now) > 0 {
			row.Likely, row.Percent = now[0].Name+", "+now[0].ProvinceName, wholePercent(now[0].Share)
		}
		view.Rows = append(view.Rows, row)
	}
	c.write(w, r, http.StatusOK, &view)
}

func addressStates() []string {
	return []string{address.StateOpen, address.StateAnswered, address.StateNotResolvable}
}

func addressPath(id string) string { return "/questions/addresses/" + url.PathEscape(id) }

func wholePercent(share float64) int { return int(math.Round(share * 100)) }

// addressView is the page of a question.
type addressView struct {
	chrome
	Tabs      []questionTab
	Item      address.Item
	Path      string
	Then      []address.Candidate
	Units     []addressUnit
	Found     []addressUnit
	Searched  bool
	CanSearch bool
	CanAnswer bool
	Readable  bool // a unit can answer it
	Typed     map[string]string
	Refused   *lienthong.Error
	Steps     []addressStep
	Next      string // where the next open question is
}

// addressUnit is a unit that may be the answer.
type addressUnit struct {
	Code, Name, Province string
	Percent              int
	Reasons              []addressReason // why it may be
}

// addressReason is what a resolution says of the unit of before.
type addressReason struct {
	Old  string
	Text string // the words of the resolution, in Vietnamese
	Part bool
}

// addressStep is what happened to a question.
type addressStep struct {
	address.Revision
	Kind string // "asked", "counted", "answered", "not_resolvable", "withdrawn"
}

func (c *Console) addressQuestion(w http.ResponseWriter, r *http.Request, user User) {
	c.showAddress(w, r, user, http.StatusOK, nil)
}

// showAddress shows a question, with a refusal and what was typed when an answer was refused.
func (c *Console) showAddress(w http.ResponseWriter, r *http.Request, user User, status int, refused *lienthong.Error) {
	queue := c.config.Workplace.Addresses
	item, err := queue.Item(r.Context(), r.PathValue("id"))
	if err != nil {
		c.failQuestion(w, r, err)
		return
	}
	history, err := queue.History(r.Context(), item.ID)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	open, err := queue.Items(r.Context(), address.StateOpen)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view := addressView{
		Tabs: c.questionTabs("addresses"), Item: item, Path: addressPath(item.ID), Refused: refused, Steps: addressSteps(history),
		Then: item.Question.Then[:min(len(item.Question.Then), unitsShown)], Readable: item.Question.Doubt != address.DoubtUnreadable,
		CanAnswer: user.Has(address.Steward) && user.Account != "", CanSearch: c.config.Workplace.Dictionary != nil, Typed: map[string]string{},
	}
	view.chrome = c.chromeOf(w, r, user, "questions", "address", c.say(r, "questions.address"))
	for _, name := range []string{"unit", "note", "find", "why"} {
		view.Typed[name] = r.PostForm.Get(name)
	}
	for _, candidate := range item.Question.Now[:min(len(item.Question.Now), unitsShown)] {
		view.Units = append(view.Units, addressUnit{
			Code: candidate.Code, Name: candidate.Name, Province: candidate.ProvinceName, Percent: wholePercent(candidate.Share),
			Reasons: c.addressReasons(&item.Question, candidate.Code),
		})
	}
	if query := strings.TrimSpace(view.Typed["find"]); query != "" && view.CanSearch {
		view.Searched = true
		view.Found = slices.DeleteFunc(c.findUnits(query), func(u addressUnit) bool {
			return slices.ContainsFunc(view.Units, func(known addressUnit) bool { return known.Code == u.Code })
		})
	}
	for i := range open {
		if open[i].ID != item.ID {
			view.Next = addressPath(open[i].ID)
			break
		}
	}
	c.write(w, r, status, &view)
}

// failQuestion answers an unknown question with 404.
func (c *Console) failQuestion(w http.ResponseWriter, r *http.Request, err error) {
	switch lienthong.ErrorCode(err) {
	case "address.question", "linkage.question.unknown":
		c.notFound(w, r)
	default:
		c.failWith(w, r, err)
	}
}

// addressReasons are the words of the resolutions that lead from the units of before to one of
// today.
func (c *Console) addressReasons(q *address.Question, code string) []addressReason {
	if c.config.Workplace.Dictionary == nil || code == "" {
		return nil
	}
	var reasons []addressReason
	for _, link := range c.config.Workplace.Dictionary().Predecessors(code) {
		concerns := slices.ContainsFunc(q.Then, func(then address.Candidate) bool {
			return then.Code != "" && slices.Contains(link.Candidates(), then.Code) || then.Code == "" && then.Name == link.OldName
		})
		if concerns {
			reasons = append(reasons, addressReason{Old: link.OldName, Text: link.Text, Part: link.Partial})
		}
	}
	return reasons
}

// findUnits finds units of today by code, or by words of their name and province, with or without
// diacritics.
func (c *Console) findUnits(query string) []addressUnit {
	known, now := c.config.Workplace.Dictionary(), c.config.Now()
	provinces := map[string]dictionary.Province{}
	for _, p := range known.Provinces(now) {
		provinces[p.Code] = p
	}
	wanted := strings.FieldsFunc(dictionary.PlainKey(query), func(r rune) bool { return r == ' ' || r == '_' })
	var found []addressUnit
	for _, unit := range known.Communes(now) {
		province := provinces[unit.Province].NameVi
		text := dictionary.PlainKey(unit.Name + " " + province)
		if unit.Code != strings.TrimSpace(query) && (len(wanted) == 0 || slices.ContainsFunc(wanted, func(word string) bool { return !strings.Contains(text, word) })) {
			continue
		}
		found = append(found, addressUnit{Code: unit.Code, Name: unit.Name, Province: province})
		if len(found) == maxUnitsFound {
			break
		}
	}
	return found
}

// addressSteps are the steps of a question, the newest first.
func addressSteps(history []address.Revision) []addressStep {
	steps := make([]addressStep, 0, len(history))
	for i := range history {
		step := addressStep{Revision: history[i], Kind: "counted"}
		now, before := history[i].Ruling, (*address.Ruling)(nil)
		if i > 0 {
			before = history[i-1].Ruling
		}
		switch {
		case i == 0 && now == nil:
			step.Kind = "asked"
		case now == nil && before != nil:
			step.Kind = "withdrawn"
		case now != nil && (before == nil || *before != *now):
			step.Kind = history[i].State
		}
		steps = append(steps, step)
	}
	slices.Reverse(steps)
	return steps
}

func addressPerson(user User) address.Person {
	return address.Person{Name: user.Account, Member: user.Member, Roles: user.Roles}
}

// addressAnswer rules on a question, or looks for further units with what was typed kept.
func (c *Console) addressAnswer(w http.ResponseWriter, r *http.Request, user User) {
	id, form := r.PathValue("id"), r.PostForm
	if form.Get("do") == "find" {
		c.showAddress(w, r, user, http.StatusOK, nil)
		return
	}
	revision, _ := strconv.ParseInt(form.Get("revision"), 10, 64)
	answer := address.Answer{Unit: form.Get("unit"), Note: form.Get("note")}
	if answer.Unit == "none" {
		answer.Unit, answer.NotResolvable = "", true
	}
	_, err := c.config.Workplace.Addresses.Answer(r.Context(), addressPerson(user), id, revision, answer)
	c.afterAddress(w, r, user, err)
}

func (c *Console) addressWithdraw(w http.ResponseWriter, r *http.Request, user User) {
	revision, _ := strconv.ParseInt(r.PostForm.Get("revision"), 10, 64)
	_, err := c.config.Workplace.Addresses.Withdraw(r.Context(), addressPerson(user), r.PathValue("id"), revision, r.PostForm.Get("why"))
	c.afterAddress(w, r, user, err)
}

func (c *Console) afterAddress(w http.ResponseWriter, r *http.Request, user User, err error) {
	var refused *lienthong.Error
	switch {
	case err == nil:
		back(w, r, addressPath(r.PathValue("id")))
	case errors.As(err, &refused):
		c.showAddress(w, r, user, questionStatus(refused), refused)
	default:
		c.failWith(w, r, err)
	}
}

// questionStatus is the status of a refused answer.
func questionStatus(refused *lienthong.Error) int {
	switch refused.Code {
	case "address.role", "linkage.role", "linkage.question.same_person":
		return http.StatusForbidden
	}
	return refusalStatus(refused)
}

// bits writes a weight with its sign.
func (w *words) bits(weight float64) string {
	sign := "+"
	switch {
	case math.Abs(weight) < 0.05:
		return "0"
	case weight < 0:
		sign = "−"
	}
	return fmt.Sprint(sign, w.decimal(math.Abs(weight)))
}

// unitOption is a unit to choose, and whether it was chosen before.
type unitOption struct {
	Unit   addressUnit
	Chosen bool
}

func unitChoice(unit addressUnit, typed string) unitOption {
	return unitOption{Unit: unit, Chosen: unit.Code != "" && unit.Code == typed}
}

// identityForm is a question with the token for its form.
type identityForm struct {
	View *identityView
	Form string
}

func withForm(view *identityView, form string) identityForm {
	return identityForm{View: view, Form: form}
}

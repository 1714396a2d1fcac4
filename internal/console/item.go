package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// workArea is what is on its way from a proposal to publication.
func workArea() area {
	return area{
		name: "work", path: "/work", shown: func(c *Console) bool { return c.config.Workplace.Desk != nil },
		routes: func(c *Console, pages *http.ServeMux) {
			pages.Handle("GET /work", c.member(c.work))
			pages.Handle("GET /item/{kind}/{id}", c.member(c.item))
			pages.Handle("POST /item/{kind}/{id}/step", c.form(c.member(c.itemStep).ServeHTTP))
			pages.Handle("POST /item/{kind}/{id}/comment", c.form(c.member(c.itemComment).ServeHTTP))
			pages.Handle("POST /item/{kind}/{id}/resolve", c.form(c.member(c.itemResolve).ServeHTTP))
			pages.Handle("POST /item/{kind}/{id}/opinion", c.form(c.member(c.itemOpinion).ServeHTTP))
		},
		texts: workTexts,
	}
}

// itemRow is an item in a list.
type itemRow struct {
	stewardship.Item
	KindWord, StateWord Text
	Owner               Text
	Path                string
}

type workView struct {
	chrome
	Waiting []itemRow // for a step of this person
	Open    []itemRow
	Done    []itemRow
}

// maxDone is how many finished items the page lists.
const maxDone = 30

func (c *Console) work(w http.ResponseWriter, r *http.Request, user User) {
	all, err := c.config.Workplace.Desk.List(r.Context(), stewardship.Filter{})
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view := workView{chrome: c.chromeOf(w, r, user, "work", "work-list", c.say(r, "work.title"))}
	person := user.person()
	waiting, err := c.config.Workplace.Desk.List(r.Context(), stewardship.Filter{Waiting: &person})
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	for i := range waiting {
		view.Waiting = append(view.Waiting, c.itemRow(&waiting[i]))
	}
	for i := range all {
		row := c.itemRow(&all[i])
		switch {
		case !all[i].State.Open():
			if len(view.Done) < maxDone {
				view.Done = append(view.Done, row)
			}
		case !slices.ContainsFunc(view.Waiting, func(w itemRow) bool { return w.Path == row.Path }):
			view.Open = append(view.Open, row)
		}
	}
	c.write(w, r, http.StatusOK, &view)
}

func (c *Console) itemRow(i *stewardship.Item) itemRow {
	row := itemRow{Item: *i, KindWord: c.kindWord(i.Kind), StateWord: textOf(i.State.Word()), Owner: c.memberName(i.Member)}
	row.Path = "/item/" + url.PathEscape(i.Kind) + "/" + url.PathEscape(i.ID)
	return row
}

func (c *Console) kindWord(name string) Text {
	for _, k := range c.config.Workplace.Desk.Kinds() {
		if k.Name == name {
			return textOf(k.Title)
		}
	}
	return Text{Vi: name, En: name}
}

// memberName is an organisation as people call it.
func (c *Console) memberName(code lienthong.MemberCode) Text {
	if known := c.config.Workplace.Dictionary; known != nil {
		if member, found := known().Member(string(code)); found {
			return Text{Vi: member.NameVi, En: member.NameEn}
		}
	}
	return Text{Vi: string(code), En: string(code)}
}

// verdictWord is the opinion of an organisation in words.
func verdictWord(verdict stewardship.Verdict) Text {
	for _, known := range stewardship.Verdicts() {
		if known.Verdict == verdict {
			return textOf(known.Word)
		}
	}
	return Text{Vi: string(verdict), En: string(verdict)}
}

func textOf(w stewardship.Word) Text { return Text{Vi: w.Vi, En: w.En} }

// itemView is one item with everything that is worked out anew each time somebody looks.
type itemView struct {
	chrome
	stewardship.View
	KindWord, StateWord Text
	Proposer            Text
	Steps               []stepView
	Offers              []offerView
	CanEdit             bool
	EditPath            string
	ShowPath            string // where the thing itself is shown
	Round               *stewardship.Round
	CanOpine            bool
	Members             []memberChoice // who may be invited to a consultation
	Refused             *lienthong.Error
	Typed               map[string]string
}

type memberChoice struct {
	Code lienthong.MemberCode
	Name Text
}

type stepView struct {
	stewardship.Step
	ActionWord, StateWord, RoleWord Text
}

type offerView struct {
	stewardship.Offer
	Word     Text
	Refusal  Text
	Hint     string
	Days     bool // a consultation: days and who is invited
	Strong   bool // the step that brings the item on
	Negative bool
}

func (c *Console) item(w http.ResponseWriter, r *http.Request, user User) {
	c.showItem(w, r, user, http.StatusOK, nil)
}

// showItem shows an item, with a refusal and what was typed when a step was refused.
func (c *Console) showItem(w http.ResponseWriter, r *http.Request, user User, status int, refused *lienthong.Error) {
	kind, id := r.PathValue("kind"), r.PathValue("id")
	desk := c.config.Workplace.Desk
	loaded, err := desk.Load(r.Context(), kind, id)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	history, err := desk.History(r.Context(), kind, id)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	words := c.words(r)
	view := itemView{
		View: loaded, KindWord: c.kindWord(kind), StateWord: textOf(loaded.State.Word()), Proposer: c.memberName(loaded.Member),
		EditPath: editPath(kind, id), ShowPath: showPath(kind, id), Refused: refused, Typed: map[string]string{},
	}
	view.chrome = c.chromeOf(w, r, user, "work", "item", words.text(view.KindWord)+" "+id)
	for name := range r.PostForm {
		view.Typed[name] = r.PostForm.Get(name)
	}
	for i := len(history) - 1; i >= 0; i-- {
		s := history[i]
		view.Steps = append(view.Steps, stepView{Step: s, ActionWord: textOf(s.Action.Word()), StateWord: textOf(s.To.Word()), RoleWord: textOf(s.Role.Word())})
	}
	person := user.person()
	for _, o := range loaded.Offers(person) {
		if o.Action == stewardship.ToEdit || o.Action == stewardship.ToDraft {
			view.CanEdit = view.CanEdit || o.Refused == nil
			continue
		}
		one := offerView{
			Offer: o, Word: textOf(o.Action.Word()), Days: o.Action == stewardship.ToConsult,
			Negative: o.Action == stewardship.ToReject || o.Action == stewardship.ToWithdraw || o.Action == stewardship.ToRetire,
		}
		one.Strong = !one.Negative && o.Action != stewardship.ToReturn
		if o.Refused != nil {
			one.Refusal, one.Hint = Text{Vi: o.Refused.Vi, En: o.Refused.En}, o.Refused.Hint
		}
		view.Offers = append(view.Offers, one)
	}
	if round, found := loaded.Round(); found && loaded.State == stewardship.Consult {
		view.Round = &round
		view.CanOpine = user.Member != "" && len(round.Invited) == 0 || slices.Contains(round.Invited, user.Member)
	}
	if known := c.config.Workplace.Dictionary; known != nil {
		for _, m := range known().Members() {
			view.Members = append(view.Members, memberChoice{m.Code, Text{Vi: m.NameVi, En: m.NameEn}})
		}
	}
	c.write(w, r, status, &view)
}

// editPath is where the content of an item is written; showPath where the thing itself is shown.
func editPath(kind, id string) string {
	switch kind {
	case stewardship.ElementKind:
		return "/dictionary/element/" + url.PathEscape(id) + "/edit"
	case "database":
		return "/catalogue/" + url.PathEscape(id) + "/edit"
	case "mapping":
		return "/mapping/" + url.PathEscape(id)
	}
	return ""
}

func showPath(kind, id string) string {
	switch kind {
	case stewardship.ElementKind:
		return "/dictionary/element/" + url.PathEscape(id)
	case stewardship.CodeListKind:
		return "/dictionary/list/" + url.PathEscape(id)
	case "database":
		return "/catalogue/" + url.PathEscape(id)
	case "mapping":
		return "/mapping/" + url.PathEscape(id)
	}
	return ""
}

// itemStep moves an item.
func (c *Console) itemStep(w http.ResponseWriter, r *http.Request, user User) {
	desk, person := c.config.Workplace.Desk, user.person()
	revision, _ := strconv.ParseInt(r.PostForm.Get("revision"), 10, 64)
	days, _ := strconv.Atoi(r.PostForm.Get("days"))
	order := stewardship.Order{
		Kind: r.PathValue("kind"), ID: r.PathValue("id"), Revision: revision, Action: stewardship.Action(r.PostForm.Get("action")),
		Note: strings.TrimSpace(r.PostForm.Get("note")), Days: days,
	}
	for _, code := range r.PostForm["invited"] {
		if code != "" {
			order.Invited = append(order.Invited, lienthong.MemberCode(code))
		}
	}
	var err error
	switch order.Action {
	case stewardship.ToSubmit:
		_, err = desk.Submit(r.Context(), person, order)
	case stewardship.ToWithdraw:
		_, err = desk.Withdraw(r.Context(), person, order)
	case stewardship.ToPublish:
		_, err = desk.Publish(r.Context(), person, order)
	default:
		_, err = desk.Decide(r.Context(), person, order)
	}
	c.afterItem(w, r, user, err)
}

func (c *Console) itemComment(w http.ResponseWriter, r *http.Request, user User) {
	answers, _ := strconv.Atoi(r.PostForm.Get("answers"))
	_, err := c.config.Workplace.Desk.Comment(r.Context(), user.person(), r.PathValue("kind"), r.PathValue("id"), stewardship.Remark{
		Answers: answers, Text: strings.TrimSpace(r.PostForm.Get("text")), Change: r.PostForm.Get("change") != "",
	})
	c.afterItem(w, r, user, err)
}

func (c *Console) itemResolve(w http.ResponseWriter, r *http.Request, user User) {
	comment, _ := strconv.Atoi(r.PostForm.Get("comment"))
	_, err := c.config.Workplace.Desk.Resolve(r.Context(), user.person(), r.PathValue("kind"), r.PathValue("id"), comment, strings.TrimSpace(r.PostForm.Get("outcome")))
	c.afterItem(w, r, user, err)
}

func (c *Console) itemOpinion(w http.ResponseWriter, r *http.Request, user User) {
	_, err := c.config.Workplace.Desk.Opine(r.Context(), user.person(), r.PathValue("kind"), r.PathValue("id"),
		stewardship.Verdict(r.PostForm.Get("verdict")), strings.TrimSpace(r.PostForm.Get("text")))
	c.afterItem(w, r, user, err)
}

// afterItem goes back to the item, or shows it with the reason why not.
func (c *Console) afterItem(w http.ResponseWriter, r *http.Request, user User, err error) {
	var refused *lienthong.Error
	switch {
	case err == nil:
		back(w, r, "/item/"+url.PathEscape(r.PathValue("kind"))+"/"+url.PathEscape(r.PathValue("id")))
	case errors.As(err, &refused):
		c.showItem(w, r, user, refusalStatus(refused), refused)
	default:
		c.failWith(w, r, err)
	}
}

// refusalStatus is the status of a form that was refused.
func refusalStatus(refused *lienthong.Error) int {
	if refused.Code == lienthong.CodeDocumentConflict {
		return http.StatusConflict
	}
	return http.StatusUnprocessableEntity
}

// say is a text in the language of the request. The key is one that the page's tests know.
func (c *Console) say(r *http.Request, key string) string {
	text, err := c.words(r).say(key)
	if err != nil {
		return key
	}
	return text
}

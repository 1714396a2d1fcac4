package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/calendar"
	"github.com/lienthong/lienthong/internal/ticket"
)

// ticketsArea is what owners put right at the source, by a date.
func ticketsArea() area {
	return area{
		name: "tickets", path: "/tickets", shown: func(c *Console) bool { return c.config.Workplace.Tickets != nil },
		routes: func(c *Console, pages *http.ServeMux) {
			pages.Handle("GET /tickets", c.member(c.tickets))
			pages.Handle("GET /tickets/{id}", c.member(c.ticket))
			pages.Handle("POST /tickets/{id}/step", c.form(c.member(c.ticketStep).ServeHTTP))
		},
		texts: ticketsTexts, words: ticketsWords,
	}
}

// ticketsPerPage is how many tickets a page lists.
const ticketsPerPage = 50

// The lists of tickets that people choose from.
const (
	openTickets      = "open"
	ownTickets       = "mine"
	assignedTickets  = "assigned"
	waitingTickets   = "waiting"
	suspendedTickets = "suspended"
	allTickets       = "all"
)

// ticketChoice is what a person wants to see.
type ticketChoice struct {
	Show, Owner, Database, Group, Stage string
	Overdue, Red                        bool
}

func readTicketChoice(query url.Values) ticketChoice {
	return ticketChoice{
		Show: cmp.Or(query.Get("show"), openTickets), Owner: query.Get("owner"), Database: query.Get("database"), Group: query.Get("group"),
		Stage: query.Get("stage"), Overdue: query.Has("overdue"), Red: query.Has("red"),
	}
}

// query is the choice as an address.
func (c *ticketChoice) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"show": c.Show, "owner": c.Owner, "database": c.Database, "group": c.Group, "stage": c.Stage} {
		if value != "" && (name != "show" || value != openTickets) {
			query.Set(name, value)
		}
	}
	if c.Overdue {
		query.Set("overdue", "yes")
	}
	if c.Red {
		query.Set("red", "yes")
	}
	return query
}

// filter is the choice as the desk understands it.
func (c *ticketChoice) filter(user User) ticket.Filter {
	f := ticket.Filter{
		Owner: lienthong.MemberCode(c.Owner), Database: c.Database, Group: lienthong.ErrorGroup(c.Group), Overdue: c.Overdue,
		Active: c.Show == openTickets && c.Stage == "", Waiting: c.Show == waitingTickets, Suspended: c.Show == suspendedTickets,
	}
	if c.Stage != "" {
		f.Stages = []ticket.Stage{ticket.Stage(c.Stage)}
	}
	if c.Red {
		f.Severity = ticket.Red
	}
	if c.Show == ownTickets && c.Owner == "" {
		f.Owner = user.Member
	}
	return f
}

// ticketsView is the list of tickets.
type ticketsView struct {
	chrome
	Choice    ticketChoice
	Shows     []string
	Owners    []ticketOption
	Databases []ticketOption
	Groups    []lienthong.ErrorGroup
	Stages    []ticketOption
	Figures   ticket.Figures
	About     Text // whose figures; empty: all
	Shares    []ticketShare
	Rows      []ticketRow
	Total     int
	Filtered  bool
	Pages     pager
}

type ticketOption struct {
	Value string
	Name  Text
}

// ticketShare is how many openings were closed within a term.
type ticketShare struct {
	Days int
	ticket.Share
	Score
}

// ticketRow is a ticket in the list.
type ticketRow struct {
	Ticket                  ticket.Ticket
	Path                    string
	Rule, Field, Owner      Text
	Severity, Stage         Text
	SeverityHue, StageColor string
	Clock                   ticketClock
	Waits                   bool // for a decision of the centre
}

// pager leads to the pages before and after.
type pager struct {
	Page, Last     int
	Before, Beyond string // addresses; empty: there is none
}

// newPager places a page among all of them; page is what the address asks for.
func newPager(path string, query url.Values, asked string, total, size int) pager {
	p := pager{Last: max(1, (total+size-1)/size)}
	p.Page, _ = strconv.Atoi(asked)
	p.Page = min(max(p.Page, 1), p.Last)
	to := func(page int) string {
		query.Set("page", strconv.Itoa(page))
		return path + "?" + query.Encode()
	}
	if p.Page > 1 {
		p.Before = to(p.Page - 1)
	}
	if p.Page < p.Last {
		p.Beyond = to(p.Page + 1)
	}
	return p
}

// bounds are the entries of the page.
func (p *pager) bounds(total, size int) (from, to int) {
	from = (p.Page - 1) * size
	return min(from, total), min(from+size, total)
}

func (c *Console) tickets(w http.ResponseWriter, r *http.Request, user User) {
	desk := c.config.Workplace.Tickets
	choice := readTicketChoice(r.URL.Query())
	report := desk.Figures(ticket.Period{})
	view := ticketsView{
		chrome: c.chromeOf(w, r, user, "tickets", "tickets", c.say(r, "tickets.title")),
		Choice: choice, Groups: lienthong.ErrorGroups(), Figures: report.All,
		Shows: []string{openTickets, ownTickets, assignedTickets, waitingTickets, suspendedTickets, allTickets},
	}
	if user.Member == "" {
		view.Shows = slices.DeleteFunc(view.Shows, func(show string) bool { return show == ownTickets })
	}
	for i := range report.Owners {
		code := report.Owners[i].Name
		view.Owners = append(view.Owners, ticketOption{code, c.memberName(lienthong.MemberCode(code))})
	}
	for i := range report.Databases {
		view.Databases = append(view.Databases, ticketOption{report.Databases[i].Name, c.databaseName(report.Databases[i].Name)})
	}
	for _, stage := range ticket.Stages() {
		view.Stages = append(view.Stages, ticketOption{string(stage), pairOf(stage.Label())})
	}
	if f, found := report.Owner(lienthong.MemberCode(choice.Owner)); found {
		view.Figures, view.About = f, c.memberName(lienthong.MemberCode(choice.Owner))
	} else if f, found := report.Database(choice.Database); found {
		view.Figures, view.About = f, c.databaseName(choice.Database)
	}
	view.Shares = []ticketShare{
		newTicketShare(5, view.Figures.Within5), newTicketShare(10, view.Figures.Within10), newTicketShare(15, view.Figures.Within15),
	}
	list, _ := desk.List(choice.filter(user))
	if choice.Show == assignedTickets {
		list = slices.DeleteFunc(list, func(t ticket.Ticket) bool { return !handledByUser(&t, user) })
	}
	query := choice.query()
	view.Total, view.Filtered = len(list), len(query) > 0
	view.Pages = newPager("/tickets", query, r.URL.Query().Get("page"), len(list), ticketsPerPage)
	from, to := view.Pages.bounds(len(list), ticketsPerPage)
	days, now := c.workingDays(), c.config.Now()
	for i := range list[from:to] {
		view.Rows = append(view.Rows, c.ticketRow(&list[from+i], days, now))
	}
	c.write(w, r, http.StatusOK, &view)
}

func newTicketShare(days int, share ticket.Share) ticketShare {
	value, known := share.Value()
	return ticketShare{Days: days, Share: share, Score: Score{Known: known, Percent: value * 100}}
}

func (c *Console) ticketRow(t *ticket.Ticket, days *calendar.Calendar, now time.Time) ticketRow {
	return ticketRow{
		Ticket: *t, Path: ticketPath(t.ID), Rule: Text{t.Vi, t.En}, Field: fieldOf(t), Owner: c.memberName(t.Owner),
		Severity: pairOf(t.Severity.Label()), Stage: pairOf(t.Stage.Label()), SeverityHue: severityHue(t.Severity), StageColor: stageHue(t.Stage),
		Clock: clockOf(t, days, now), Waits: waits(t.Extension) || waits(t.Appeal) || t.SuspensionOpen(),
	}
}

func ticketPath(id string) string { return "/tickets/" + url.PathEscape(id) }

// pairOf takes the words of a domain.
func pairOf(vi, en string) Text { return Text{Vi: vi, En: en} }

func fieldOf(t *ticket.Ticket) Text {
	return Text{Vi: cmp.Or(t.FieldVi, t.Field), En: cmp.Or(t.FieldEn, t.Field)}
}

// waits reports whether a request has no answer yet.
func waits(r *ticket.Request) bool { return r != nil && r.Answer == nil }

func severityHue(s ticket.Severity) string {
	switch s {
	case ticket.Red:
		return "red"
	case ticket.High:
		return "yellow"
	case ticket.Normal:
		return "blue"
	case ticket.Low:
	}
	return ""
}

func stageHue(s ticket.Stage) string {
	switch s {
	case ticket.Closed:
		return "green"
	case ticket.Opened:
		return "yellow"
	case ticket.Acknowledged, ticket.Planned, ticket.Correcting, ticket.Verifying:
		return "blue"
	case ticket.Waived:
	}
	return ""
}

// handledByUser reports whether the owner gave the ticket to the person.
func handledByUser(t *ticket.Ticket, user User) bool {
	handler := strings.TrimSpace(t.Handler)
	return handler != "" && (strings.EqualFold(handler, user.Account) || strings.EqualFold(handler, user.Name))
}

// databaseName is a database as people call it.
func (c *Console) databaseName(code string) Text {
	if known := c.config.Workplace.Dictionary; known != nil {
		if d, found := known().Database(code); found {
			return Text{Vi: d.NameVi, En: d.NameEn}
		}
	}
	return Text{Vi: code, En: code}
}

// ticketActor is the user as the desk knows people.
func ticketActor(user User) ticket.Actor {
	return ticket.Actor{Name: user.Account, Member: user.Member, Roles: user.Roles}
}

// ticketStep takes a step on a ticket. A refused one is shown beside what was typed.
func (c *Console) ticketStep(w http.ResponseWriter, r *http.Request, user User) {
	id, form := r.PathValue("id"), r.PostForm
	revision, _ := strconv.ParseInt(form.Get("revision"), 10, 64)
	input := ticket.Input{
		Note: form.Get("note"), Cause: form.Get("cause"), Plan: form.Get("plan"), Handler: form.Get("handler"), Revision: revision,
	}
	if day, err := time.ParseInLocation(time.DateOnly, form.Get("until"), calendar.Zone()); err == nil {
		input.Until = day.Add(calendar.EndOfDay)
	}
	_, err := c.config.Workplace.Tickets.Act(r.Context(), id, ticket.Action(form.Get("action")), ticketActor(user), input)
	var refused *lienthong.Error
	switch {
	case err == nil:
		back(w, r, ticketPath(id))
	case errors.As(err, &refused):
		c.showTicket(w, r, user, ticketStatus(refused), refused)
	default:
		c.failWith(w, r, err)
	}
}

// ticketStatus is the status of a refused step.
func ticketStatus(refused *lienthong.Error) int {
	switch refused.Code {
	case "ticket.role", "ticket.member", "ticket.four_eyes", "ticket.platform":
		return http.StatusForbidden
	}
	return refusalStatus(refused)
}

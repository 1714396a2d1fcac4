package console

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/calendar"
	"github.com/lienthong/lienthong/internal/ticket"
)

// The terms in working days, as the assessment counts them too.
const (
	planDays    = 5
	correctDays = 10
	longestDays = 15
)

// maxTicketSteps is how many steps of its history a page shows.
const maxTicketSteps = 100

// ticketClock is how long there is until a term, in working days.
type ticketClock struct {
	Kind   string // "left", "late", "none" (no term runs), "unknown" (the calendar has no data)
	Due    time.Time
	Days   int
	Words  Text
	Colour string
}

// clockOf is the term that the owner works against now.
func clockOf(t *ticket.Ticket, days *calendar.Calendar, now time.Time) ticketClock {
	term, due := t.Due()
	if term == "" {
		return ticketClock{Kind: "none"}
	}
	return clockUntil(due, days, now)
}

func clockUntil(due int64, days *calendar.Calendar, now time.Time) ticketClock {
	if due == 0 {
		return ticketClock{Kind: "unknown", Words: Text{"chưa có lịch nghỉ của năm để tính hạn", "no term yet: the holidays of the year are missing"}}
	}
	at := time.UnixMicro(due)
	clock := ticketClock{Kind: "left", Due: at, Colour: "green"}
	from, to := calendar.DayOf(now), calendar.DayOf(at)
	if now.After(at) {
		clock.Kind, clock.Colour = "late", "red"
		from, to = to, from
	}
	n, err := days.Between(from, to)
	if err != nil {
		clock.Words = Text{"không tính được số ngày làm việc", "working days not known"}
		return clock
	}
	clock.Days = n
	vi, en := fmt.Sprintf("%d ngày làm việc", n), fmt.Sprintf("%d working days", n)
	if n == 1 {
		en = "1 working day"
	}
	switch {
	case clock.Kind == "late" && n == 0:
		clock.Words = Text{"vừa quá hạn", "the term has just passed"}
	case clock.Kind == "late":
		clock.Words = Text{"quá hạn " + vi, en + " late"}
	case n == 0:
		clock.Words, clock.Colour = Text{"hết hạn hôm nay", "due today"}, "yellow"
	default:
		clock.Words = Text{"còn " + vi, en + " left"}
		if n <= 2 {
			clock.Colour = "yellow"
		}
	}
	return clock
}

// workingDays is the calendar that terms are counted by.
func (c *Console) workingDays() *calendar.Calendar {
	if known := c.config.Workplace.Calendar; known != nil {
		return known
	}
	builtin, err := calendar.Builtin()
	if err != nil {
		return &calendar.Calendar{} // knows no year: days are said to be not known
	}
	return builtin
}

// ticketView is the page of a ticket.
type ticketView struct {
	chrome
	ticketRow
	Database    Text
	Terms       []ticketTerm
	Stages      []ticketStage
	Chart       *chart
	Counts      []ticketCount // the newest first
	Cycles      []ticket.Cycle
	Offers      []ticketOffer
	Requests    []ticketRequest
	Escalations []ticketEscalation
	Steps       []ticketStepView
	More        int // steps that are not shown
	Held        bool
	Rows        string // the command that makes the workbook; empty: there is none
	Refused     *lienthong.Error
	Lost        []string // what was typed for a step that cannot be taken any more
}

// ticketTerm is one of the three terms.
type ticketTerm struct {
	Kind  string // "plan", "correct", "longest"
	Days  int
	Due   time.Time
	Done  time.Time
	State string // "met", "late", "running", "extended", "ask", "over", "unknown"
	Clock ticketClock
}

type ticketStage struct {
	Name          Text
	Current, Done bool
}

// ticketCount is how many records broke the rule when they were counted.
type ticketCount struct {
	At     time.Time
	Open   int64
	Change int64 // against the count before
}

// ticketOffer is a step that this person may take now.
type ticketOffer struct {
	ticket.Transition
	Word     Text
	Main     bool // what the stage waits for
	Shown    bool // its form is open
	Negative bool
	Cause    bool
	Plan     bool
	Note     bool
	Handler  bool
	Until    bool
	Typed    map[string]string
	Earliest string // date
	Latest   string
}

type ticketRequest struct {
	Kind string // "extension", "appeal"
	ticket.Request
	Member Text
	Waiver *ticket.Waiver
}

type ticketEscalation struct {
	ticket.Escalation
	Who    Text
	Member Text
}

type ticketStepView struct {
	At       int64
	Word     Text
	Stage    Text
	By       string
	Member   Text
	Platform bool
	Note     string
	Open     int64
}

func (c *Console) ticket(w http.ResponseWriter, r *http.Request, user User) {
	c.showTicket(w, r, user, http.StatusOK, nil)
}

// showTicket shows a ticket, with a refusal and what was typed when a step was refused.
func (c *Console) showTicket(w http.ResponseWriter, r *http.Request, user User, status int, refused *lienthong.Error) {
	desk := c.config.Workplace.Tickets
	t, found := desk.Ticket(r.PathValue("id"))
	if !found {
		c.notFound(w, r)
		return
	}
	history, err := desk.History(r.Context(), t.ID)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	days, now := c.workingDays(), c.config.Now()
	view := ticketView{
		ticketRow: c.ticketRow(&t, days, now), Database: c.databaseName(t.Dataset.Database), Terms: ticketTerms(&t, days, now), Stages: ticketStages(&t),
		Requests: c.ticketRequests(&t), Held: t.Blocking && t.Source != "", Refused: refused, Cycles: slices.Clone(t.Cycles),
	}
	view.chrome = c.chromeOf(w, r, user, "tickets", "ticket", c.words(r).text(view.Rule))
	slices.Reverse(view.Cycles)
	if command := c.config.Workplace.RowsCommand; command != nil {
		view.Rows = command(&t)
	}
	for i := range t.Escalations {
		e := ticketEscalation{Escalation: t.Escalations[i], Member: c.memberName(t.Escalations[i].Member)}
		rung, _ := desk.Rung(e.Level)
		e.Who = Text{rung.Vi, rung.En}
		view.Escalations = append(view.Escalations, e)
	}
	view.Offers = ticketOffers(desk.Actions(&t, ticketActor(user)), &t, r, now)
	view.Lost = typedInVain(r, view.Offers)
	view.Counts = ticketCounts(append(slices.Clip(history), ticket.Revision{Ticket: t})) // counts are written down once a day
	view.Chart = countChart(view.Counts, c.words(r))
	view.Counts = view.Counts[:min(len(view.Counts), 12)]
	for i := len(history) - 1; i >= 0; i-- {
		if len(view.Steps) == maxTicketSteps {
			view.More = i + 1
			break
		}
		past := &history[i].Ticket
		view.Steps = append(view.Steps, ticketStepView{
			At: history[i].At, Word: pairOf(past.Last.Action.Label()), Stage: pairOf(past.Stage.Label()), By: past.Last.By,
			Member: c.memberName(past.Last.Member), Platform: ticketPlatformStep(past.Last.Action), Note: past.Last.Note, Open: past.Open,
		})
	}
	c.write(w, r, status, &view)
}

// ticketPlatformStep reports whether a step follows from figures and dates.
func ticketPlatformStep(action ticket.Action) bool {
	return slices.ContainsFunc(ticket.Transitions(), func(t ticket.Transition) bool { return t.Action == action && t.Side == ticket.Platform })
}

// ticketTerms are the three terms of the opening and what became of them.
func ticketTerms(t *ticket.Ticket, days *calendar.Calendar, now time.Time) []ticketTerm {
	began := time.UnixMicro(t.Clock.Began)
	counted := func(n int) int64 {
		due, err := days.Deadline(began, n)
		if err != nil {
			return 0
		}
		return due.At.UnixMicro()
	}
	plan := ticketTerm{Kind: "plan", Days: planDays}
	plan.judge(t, t.Clock.Plan, t.PlannedAt, days, now)
	correct := ticketTerm{Kind: "correct", Days: correctDays}
	longest := ticketTerm{Kind: "longest", Days: longestDays}
	closed := int64(0)
	if t.Stage == ticket.Closed {
		closed = t.ClosedAt
	}
	if t.Clock.Extended {
		correct.set(counted(correctDays))
		correct.State = "extended"
		longest.judge(t, t.Clock.Correct, closed, days, now)
	} else {
		correct.judge(t, t.Clock.Correct, closed, days, now)
		longest.set(counted(longestDays))
		longest.State = "ask"
		if t.Extension != nil && t.Extension.Answer != nil {
			longest.State = "refused"
		}
	}
	return []ticketTerm{plan, correct, longest}
}

func (term *ticketTerm) set(due int64) {
	if due != 0 {
		term.Due = time.UnixMicro(due)
	}
}

// judge says whether a term was kept, or how long there is.
func (term *ticketTerm) judge(t *ticket.Ticket, due, done int64, days *calendar.Calendar, now time.Time) {
	term.set(due)
	switch {
	case done != 0 && due != 0 && done > due:
		term.Done, term.State = time.UnixMicro(done), "late"
	case done != 0:
		term.Done, term.State = time.UnixMicro(done), "met"
	case t.Stage == ticket.Closed || t.Stage == ticket.Waived:
		term.State = "over"
	default:
		term.State, term.Clock = "running", clockUntil(due, days, now)
	}
}

// ticketStages is the bar of stages. A waived ticket stands beside it.
func ticketStages(t *ticket.Ticket) []ticketStage {
	all := slices.DeleteFunc(ticket.Stages(), func(s ticket.Stage) bool { return s == ticket.Waived })
	here := slices.Index(all, t.Stage)
	stages := make([]ticketStage, len(all))
	for i, stage := range all {
		stages[i] = ticketStage{Name: pairOf(stage.Label()), Current: i == here, Done: i < here || t.Stage == ticket.Closed}
	}
	return stages
}

// ticketCounts are the counts of the history, the newest first.
func ticketCounts(history []ticket.Revision) []ticketCount {
	var counts []ticketCount
	for i := range history {
		t := &history[i].Ticket
		at := time.UnixMicro(t.Counted)
		n := len(counts)
		switch {
		case t.Counted == 0:
			continue
		case n > 0 && !at.After(counts[n-1].At):
			counts[n-1].Open = t.Open
			continue
		}
		counts = append(counts, ticketCount{At: at, Open: t.Open})
	}
	for i := 1; i < len(counts); i++ {
		counts[i].Change = counts[i].Open - counts[i-1].Open
	}
	slices.Reverse(counts)
	return counts
}

func countChart(counts []ticketCount, words *words) *chart {
	s := series{class: "rate", filled: true}
	for i := len(counts) - 1; i >= 0; i-- {
		s.samples = append(s.samples, sample{counts[i].At, float64(counts[i].Open)})
	}
	return newChart(func(v float64) string {
		if v == math.Trunc(v) {
			return words.group(strconv.FormatFloat(v, 'f', 0, 64))
		}
		return words.decimal(v)
	}, s)
}

func (c *Console) ticketRequests(t *ticket.Ticket) []ticketRequest {
	var list []ticketRequest
	if t.Extension != nil {
		list = append(list, ticketRequest{Kind: "extension", Request: *t.Extension, Member: c.memberName(t.Extension.Member)})
	}
	if t.Appeal != nil {
		list = append(list, ticketRequest{Kind: "appeal", Request: *t.Appeal, Member: c.memberName(t.Appeal.Member), Waiver: t.Waiver})
	}
	return list
}

// ticketOffers are the forms of the steps that a person may take.
func ticketOffers(lines []ticket.Transition, t *ticket.Ticket, r *http.Request, now time.Time) []ticketOffer {
	main := map[ticket.Stage]ticket.Action{
		ticket.Opened: ticket.Acknowledge, ticket.Acknowledged: ticket.SubmitPlan, ticket.Planned: ticket.StartCorrecting, ticket.Correcting: ticket.DeclareCorrected,
	}
	typed := ticket.Action(r.PostForm.Get("action"))
	var offers []ticketOffer
	for i := range lines {
		o := ticketOffer{Transition: lines[i], Word: Text{lines[i].Vi, lines[i].En}, Typed: map[string]string{}}
		need := func(n ticket.Need) bool { return slices.Contains(o.Needs, n) }
		o.Cause, o.Plan, o.Note, o.Handler, o.Until = need(ticket.NeedCause), need(ticket.NeedPlan), need(ticket.NeedNote), need(ticket.NeedHandler), need(ticket.NeedUntil)
		switch o.Action {
		case ticket.RefuseExtension, ticket.RefuseAppeal, ticket.RevokeWaiver, ticket.DeclineSuspension:
			o.Negative = true
		case ticket.SubmitPlan:
			o.Typed["cause"], o.Typed["plan"] = t.Cause, t.Plan
		case ticket.Assign:
			o.Typed["handler"] = t.Handler
		}
		o.Main = main[t.Stage] == o.Action
		o.Shown = o.Main
		if o.Until {
			tomorrow := now.In(calendar.Zone()).AddDate(0, 0, 1)
			o.Earliest, o.Latest = tomorrow.Format(time.DateOnly), tomorrow.AddDate(1, 0, -1).Format(time.DateOnly)
		}
		if typed != "" {
			o.Shown = typed == o.Action
		}
		if typed == o.Action {
			for _, name := range ticketInputs() {
				o.Typed[name] = r.PostForm.Get(name)
			}
		}
		offers = append(offers, o)
	}
	return offers
}

// typedInVain is what a person wrote for a step that is not offered any more, so that it is
// not lost.
func typedInVain(r *http.Request, offers []ticketOffer) []string {
	action := ticket.Action(r.PostForm.Get("action"))
	if action == "" || slices.ContainsFunc(offers, func(o ticketOffer) bool { return o.Action == action }) {
		return nil
	}
	var texts []string
	for _, name := range ticketInputs() {
		if text := strings.TrimSpace(r.PostForm.Get(name)); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// ticketInputs are the fields of the forms of steps.
func ticketInputs() []string { return []string{"cause", "plan", "handler", "until", "note"} }

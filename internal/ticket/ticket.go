// Package ticket is how a data error gets corrected: where it arose, by those who own it, by a
// date.
//
// A [Ticket] holds all open findings of one rule on one dataset from one source. It is opened,
// kept up to date and closed by what the checks count ([Desk.Sync]), never by hand: as long as one
// record breaks the rule, the ticket is open. People take it through its stages ([Desk.Act]); the
// calendar of working days holds them to their terms ([Desk.Tick]). A [Workbook] brings the rows
// to the people who correct them, at the owner's node, and reads back what they wrote.
//
// # Promises
//
//   - Sync and Tick are idempotent: the same figures at the same time change nothing.
//   - Every stage a ticket can be in, who may move it and what they must give, is one table:
//     [Transitions]. Every step is a revision of a [lienthong.Document] of kind "ticket".
//   - A dataset that a snapshot does not mention keeps its tickets as they are: no word is not a
//     good word.
//   - The platform proposes that synchronisation be suspended, and never does it.
//   - Nothing is written to a source. Corrections are a list for the owner's own system.
//   - A ticket holds masked samples and keyed digests; values only ever stand in a workbook that is
//     made where they are.
package ticket

import (
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// Kind is the kind of the documents that hold tickets.
const Kind = "ticket"

// Stage is where a ticket stands.
type Stage string

// The stages.
const (
	Opened       Stage = "opened"       // mới mở: nobody at the owner has seen it
	Acknowledged Stage = "acknowledged" // đã tiếp nhận
	Planned      Stage = "planned"      // đã có nguyên nhân và phương án
	Correcting   Stage = "correcting"   // đang sửa tại nguồn
	Verifying    Stage = "verifying"    // the owner says it is done; the re-check decides
	Closed       Stage = "closed"       // no record breaks the rule any more
	Waived       Stage = "waived"       // the rule is wrong here, until a date
)

// Stages lists the stages in their order.
func Stages() []Stage {
	return []Stage{Opened, Acknowledged, Planned, Correcting, Verifying, Closed, Waived}
}

// Label is the stage in words.
func (s Stage) Label() (vi, en string) {
	switch s {
	case Opened:
		return "Mới mở", "Opened"
	case Acknowledged:
		return "Đã tiếp nhận", "Acknowledged"
	case Planned:
		return "Đã có phương án", "Cause and plan known"
	case Correcting:
		return "Đang sửa tại nguồn", "Being corrected at the source"
	case Verifying:
		return "Chờ kiểm tra lại", "Waiting for the re-check"
	case Closed:
		return "Đã đóng", "Closed"
	case Waived:
		return "Miễn trừ có thời hạn", "Waived until a date"
	}
	return string(s), string(s)
}

// active are the stages in which the owner has work to do and the clock runs.
func (s Stage) active() bool { return s != Closed && s != Waived }

// Severity says how bad it is. Within one opening it only rises.
type Severity int

// The severities, worst last.
const (
	Low    Severity = iota + 1 // fewer than 1 in 100 records
	Normal                     // 1 in 100 or more, or not known of how many
	High                       // records are held back, or 1 in 10 or more are wrong
	Red                        // a field that names or links records is wrong: an incident at once
)

// Label is the severity in words.
func (s Severity) Label() (vi, en string) {
	switch s {
	case Low:
		return "Thấp", "Low"
	case Normal:
		return "Vừa", "Normal"
	case High:
		return "Cao", "High"
	case Red:
		return "Sự cố đỏ", "Red incident"
	}
	return "", ""
}

// Sample is one record that breaks the rule: the keyed digest by which only the owner finds it
// again, and its value, masked.
type Sample struct {
	Record string `json:"record"`
	Masked string `json:"masked,omitempty"`
}

// Clock is the terms of one opening, in microseconds since 1970 UTC. They are counted from
// Began; 0 means that the calendar has no data for the year, and the term is set when it has.
type Clock struct {
	Began   int64 `json:"began"`
	Plan    int64 `json:"plan,omitempty"`    // cause and plan are due
	Correct int64 `json:"correct,omitempty"` // everything is due to be right at the source
	// Provisional: the holidays of that time are not all announced, so the terms may move.
	Provisional bool `json:"provisional,omitempty"`
	Extended    bool `json:"extended,omitempty"` // Correct is the longest term there is
}

// Answer is what somebody decided on a request.
type Answer struct {
	Granted bool   `json:"granted"`
	By      string `json:"by"`
	Note    string `json:"note"`
	At      int64  `json:"at"`
}

// Request is what the owner asks of the centre: more time, or that the rule be looked at.
type Request struct {
	By     string               `json:"by"`
	Member lienthong.MemberCode `json:"member"`
	Reason string               `json:"reason"`
	At     int64                `json:"at"`
	Answer *Answer              `json:"answer,omitempty"`
}

func (r *Request) pending() bool { return r != nil && r.Answer == nil }

// Waiver says that the rule does not count here for a while.
type Waiver struct {
	Reason string `json:"reason"`
	By     string `json:"by"`
	At     int64  `json:"at"`
	Until  int64  `json:"until"`
}

// Escalation is one step up, because a term has passed or an incident is red.
type Escalation struct {
	Level  int                  `json:"level"`
	Term   Term                 `json:"term"`
	Member lienthong.MemberCode `json:"member,omitempty"` // the body above the owner, when it is known
	Due    int64                `json:"due"`              // when the step was due
	At     int64                `json:"at"`               // when it was taken
}

// Term is what a step up is about.
type Term string

// The terms.
const (
	PlanTerm     Term = "plan"
	CorrectTerm  Term = "correct"
	LongestTerm  Term = "longest"  // instead of correct, after an extension
	IncidentTerm Term = "incident" // not a term: a red incident goes up at once
)

// Suspension is the proposal to suspend the synchronisation of a dataset. Whether it is done is
// decided by people and done elsewhere; the platform only writes down what they decided.
type Suspension struct {
	At        int64   `json:"at"`
	Vi        string  `json:"vi"`
	En        string  `json:"en"`
	Basis     string  `json:"basis"`
	Withdrawn int64   `json:"withdrawn,omitempty"` // when the cause went away
	Answer    *Answer `json:"answer,omitempty"`
}

// Cycle is one opening of the ticket that has ended.
type Cycle struct {
	Opened  int64  `json:"opened"`
	Closed  int64  `json:"closed"`
	Days    int    `json:"days"` // working days; -1: the calendar did not know
	Because Reason `json:"because"`
}

// Reason is why an opening ended.
type Reason string

// The reasons.
const (
	Fixed         Reason = "fixed"          // the re-check finds no record
	RuleWithdrawn Reason = "rule_withdrawn" // the rule is no longer checked
	WasWaived     Reason = "waived"         // the rule does not count here
)

// LastStep is the step that made a revision.
type LastStep struct {
	Action Action               `json:"action"`
	By     string               `json:"by"`
	Member lienthong.MemberCode `json:"member,omitempty"`
	Note   string               `json:"note,omitempty"`
}

// Ticket (phiếu lỗi dữ liệu) is the open findings of one rule on one dataset from one source.
// Those handed out share memory with the desk: callers do not change what slices and pointers hold.
type Ticket struct {
	ID       string `json:"id"`
	Revision int64  `json:"-"` // of the document

	Dataset  lienthong.DatasetID  `json:"dataset"`
	Source   string               `json:"source,omitempty"` // the node that sends the rows; empty for rules over all of them
	Owner    lienthong.MemberCode `json:"owner"`
	InCharge string               `json:"in_charge,omitempty"` // who answers for the database, from the catalogue
	Handler  string               `json:"handler,omitempty"`   // whom the owner gave it to

	Rule       string               `json:"rule"`
	Field      string               `json:"field"`
	Vi         string               `json:"vi"` // the rule in words
	En         string               `json:"en"`
	FieldVi    string               `json:"field_vi,omitempty"`
	FieldEn    string               `json:"field_en,omitempty"`
	Group      lienthong.ErrorGroup `json:"group"`
	Criterion  lienthong.Criterion  `json:"criterion"`
	Blocking   bool                 `json:"blocking,omitempty"`
	Identifier bool                 `json:"identifier,omitempty"`
	Severity   Severity             `json:"severity"`

	Stage     Stage    `json:"stage"`
	Rows      int64    `json:"rows,omitempty"` // records that the rule is about; 0: not known
	Open      int64    `json:"open"`           // records that break the rule now
	AtOpening int64    `json:"at_opening"`
	Most      int64    `json:"most"`
	Fixed     int64    `json:"fixed"` // put right since the opening: by how much the number fell from count to count, so at least
	Samples   []Sample `json:"samples,omitempty"`
	FirstSeen int64    `json:"first_seen"`
	LastSeen  int64    `json:"last_seen"` // of an open record
	Counted   int64    `json:"counted"`   // when the figures were counted

	Clock        Clock        `json:"clock"`
	Acknowledged int64        `json:"acknowledged,omitempty"`
	Cause        string       `json:"cause,omitempty"`
	Plan         string       `json:"plan,omitempty"`
	PlannedAt    int64        `json:"planned_at,omitempty"`
	Corrected    int64        `json:"corrected,omitempty"` // when the owner said that it is done
	Returned     int          `json:"returned,omitempty"`  // how often the re-check said otherwise
	ClosedAt     int64        `json:"closed_at,omitempty"`
	Reopened     int          `json:"reopened,omitempty"`
	Extension    *Request     `json:"extension,omitempty"`
	Appeal       *Request     `json:"appeal,omitempty"`
	Waiver       *Waiver      `json:"waiver,omitempty"`
	Escalations  []Escalation `json:"escalations,omitempty"`
	Suspension   *Suspension  `json:"suspension,omitempty"`
	Cycles       []Cycle      `json:"cycles,omitempty"` // the newest 100

	Last LastStep `json:"last"`

	saved int64 // when this was last written down, microseconds
}

const maxCycles = 100

// Incident reports whether the ticket is a red incident that is not over.
func (t *Ticket) Incident() bool { return t.Identifier && t.Stage.active() }

// Due is the term that the owner works against now; 0 when none runs.
func (t *Ticket) Due() (Term, int64) {
	switch t.Stage {
	case Opened, Acknowledged:
		return PlanTerm, t.Clock.Plan
	case Planned, Correcting, Verifying:
		return t.lastTerm(), t.Clock.Correct
	case Closed, Waived:
	}
	return "", 0
}

func (t *Ticket) lastTerm() Term {
	if t.Clock.Extended {
		return LongestTerm
	}
	return CorrectTerm
}

// Overdue reports whether the term has passed.
func (t *Ticket) Overdue(now time.Time) bool {
	_, due := t.Due()
	return due != 0 && now.UnixMicro() > due
}

// Level is the highest step up that this opening has reached.
func (t *Ticket) Level() int {
	level := 0
	for i := range t.Escalations {
		level = max(level, t.Escalations[i].Level)
	}
	return level
}

// SuspensionOpen reports whether a proposal to suspend waits for a decision.
func (t *Ticket) SuspensionOpen() bool {
	return t.Suspension != nil && t.Suspension.Withdrawn == 0 && t.Suspension.Answer == nil
}

// clone is a copy that can be changed.
func (t *Ticket) clone() *Ticket {
	c := *t
	c.Samples = slices.Clone(t.Samples)
	c.Escalations = slices.Clone(t.Escalations)
	c.Cycles = slices.Clone(t.Cycles)
	c.Extension, c.Appeal = cloneRequest(t.Extension), cloneRequest(t.Appeal)
	if t.Waiver != nil {
		waiver := *t.Waiver
		c.Waiver = &waiver
	}
	if t.Suspension != nil {
		suspension := *t.Suspension
		c.Suspension = &suspension
	}
	return &c
}

func cloneRequest(r *Request) *Request {
	if r == nil {
		return nil
	}
	c := *r
	return &c
}

// begin starts an opening: everything of the one before is over. It remains in the history.
func (t *Ticket) begin(now int64) {
	t.Stage = Opened
	t.AtOpening, t.Most, t.Fixed = t.Open, t.Open, 0
	t.Severity = 0
	t.Clock = Clock{Began: now}
	t.Acknowledged, t.PlannedAt, t.Corrected, t.ClosedAt = 0, 0, 0, 0
	t.Cause, t.Plan, t.Returned = "", "", 0
	t.Extension, t.Appeal, t.Waiver, t.Suspension = nil, nil, nil, nil
	t.Escalations = nil
	t.rate()
}

// rate sets how bad it is. Within an opening it only rises, so that a figure that
// swings about a limit does not move the ticket up and down.
func (t *Ticket) rate() {
	rating := Low
	switch {
	case t.Identifier:
		rating = Red
	case t.Blocking, t.Rows > 0 && t.Open*10 >= t.Rows:
		rating = High
	case t.Rows == 0, t.Open*100 >= t.Rows:
		rating = Normal
	}
	t.Severity = max(t.Severity, rating)
}

// identify makes the identifier of a ticket. It names what the ticket is about, so
// that the same findings always come to the same ticket.
func identify(dataset lienthong.DatasetID, source, rule, field string) string {
	var b strings.Builder
	b.WriteString(dataset.String())
	if source != "" {
		b.WriteString("@" + source)
	}
	b.WriteString(":" + rule + ":" + field)
	return b.String()
}

// within reports whether a member is the owner, or a body that the owner is a part of.
func within(owner, member lienthong.MemberCode) bool {
	return member != "" && (owner == member || strings.HasPrefix(string(owner), string(member)+"."))
}

// above is the body that a member is a part of by its code; empty when the code does not say.
func above(member lienthong.MemberCode) lienthong.MemberCode {
	if i := strings.LastIndexByte(string(member), '.'); i > 0 {
		return member[:i]
	}
	return ""
}

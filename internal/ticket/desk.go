package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/calendar"
)

// Documents keeps the tickets. The hub's store is one.
type Documents interface {
	SaveDocuments(ctx context.Context, documents ...lienthong.Document) ([]lienthong.Document, error)
	Document(ctx context.Context, kind, id string) (lienthong.Document, bool, error)
	Documents(ctx context.Context, kind, state string) ([]lienthong.Document, error)
	DocumentHistory(ctx context.Context, kind, id string) ([]lienthong.Document, error)
}

// Config is what a desk needs and may be told.
type Config struct {
	Documents Documents          // required
	Calendar  *calendar.Calendar // working days; default: the one that travels inside the program
	Now       func() time.Time   // default: the machine's clock

	// Terms in working days from the opening. Defaults 5, 10 and 15: cause and plan, everything
	// right at the source, and the longest extension for field verification.
	PlanDays, CorrectDays, LongestDays int

	// Ladder says who is told when a term has passed. Default: Ladder().
	Ladder []Rung
	// Superior is the body above a member. Default: what its code says (G09.20 is part of G09).
	Superior func(lienthong.MemberCode) lienthong.MemberCode
	// SuspendAfter is how many working days after the last term a suspension is proposed. Default 5.
	SuspendAfter int
	// Basis is the legal basis that a proposal to suspend names. Default: Basis.
	Basis string

	// Recheck is how long the owner's corrections may take to arrive before a count that still
	// finds errors sends the ticket back. Default 24 h.
	Recheck time.Duration
	// SaveCounts is how often a number that changed is written down when nothing else happens to
	// the ticket: its history then has a line a day, not one a minute. Default 24 h.
	SaveCounts time.Duration
	// LongestWaiver is how long a waiver may last. Default 366 days.
	LongestWaiver time.Duration
	// Samples is how many samples a ticket holds. Default 10.
	Samples int
}

// Basis is the legal basis that a proposal to suspend names when nothing else is configured.
// The letter is known from secondary texts: whoever decides compares it with the original.
const Basis = "Luật Dữ liệu 60/2024/QH15, Điều 12; Nghị định 278/2025/NĐ-CP, Điều 13; hướng dẫn tại Công văn 4856/BCA-TTDLQG ngày 14/9/2026, Phụ lục 3 (đối chiếu bản chính trước khi quyết định)"

// Rung is one step up.
type Rung struct {
	Level  int
	After  int // working days after a term has passed
	Vi, En string
}

// Ladder is who is told, and when. Red incidents reach the first rung at once.
func Ladder() []Rung {
	return []Rung{
		{Level: 1, After: 0, Vi: "Thủ trưởng cơ quan chủ quản và cơ quan cấp trên trực tiếp", En: "The head of the owner and the body above it"},
		{Level: 2, After: 5, Vi: "Ban Chỉ đạo quốc gia về dữ liệu", En: "The National Steering Committee on Data"},
	}
}

// Rung is who is told at a level of escalation.
func (d *Desk) Rung(level int) (Rung, bool) {
	i := slices.IndexFunc(d.config.Ladder, func(r Rung) bool { return r.Level == level })
	if i < 0 {
		return Rung{}, false
	}
	return d.config.Ladder[i], true
}

// Desk keeps the tickets. Its methods may be called from any goroutine. It holds the newest
// revision of each in memory; steps are written down before they count.
type Desk struct {
	config Config

	writing sync.Mutex // one writer at a time

	mu       sync.RWMutex
	calendar *calendar.Calendar
	tickets  []*Ticket // sorted by ID; what a pointer leads to never changes
}

// NewDesk opens the desk with the tickets that are kept.
func NewDesk(ctx context.Context, config Config) (*Desk, error) {
	if config.Calendar == nil {
		builtin, err := calendar.Builtin()
		if err != nil {
			return nil, fmt.Errorf("ticket: open the calendar: %w", err)
		}
		config.Calendar = builtin
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Superior == nil {
		config.Superior = above
	}
	if config.Ladder == nil {
		config.Ladder = Ladder()
	}
	if config.Basis == "" {
		config.Basis = Basis
	}
	config.PlanDays = orDefault(config.PlanDays, 5)
	config.CorrectDays = orDefault(config.CorrectDays, 10)
	config.LongestDays = orDefault(config.LongestDays, 15)
	config.SuspendAfter = orDefault(config.SuspendAfter, 5)
	config.Samples = orDefault(config.Samples, 10)
	config.Recheck = orDefault(config.Recheck, 24*time.Hour)
	config.SaveCounts = orDefault(config.SaveCounts, 24*time.Hour)
	config.LongestWaiver = orDefault(config.LongestWaiver, 366*24*time.Hour)
	d := &Desk{config: config, calendar: config.Calendar}
	d.writing.Lock()
	defer d.writing.Unlock()
	return d, d.reload(ctx)
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value <= 0 {
		return otherwise
	}
	return value
}

// SetCalendar changes the calendar, as when an operator adds a new announcement. The next Tick
// counts the terms that it moves.
func (d *Desk) SetCalendar(c *calendar.Calendar) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calendar = c
}

// Reload reads all tickets again, after another process has written some.
func (d *Desk) Reload(ctx context.Context) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.reload(ctx)
}

func (d *Desk) reload(ctx context.Context) error {
	documents, err := d.config.Documents.Documents(ctx, Kind, "")
	if err != nil {
		return fmt.Errorf("ticket: read tickets: %w", err)
	}
	tickets := make([]*Ticket, 0, len(documents))
	for i := range documents {
		t, err := decode(&documents[i])
		if err != nil {
			return err
		}
		tickets = append(tickets, t)
	}
	slices.SortFunc(tickets, func(a, b *Ticket) int { return strings.Compare(a.ID, b.ID) })
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tickets = tickets
	return nil
}

func decode(document *lienthong.Document) (*Ticket, error) {
	t := &Ticket{}
	if err := json.Unmarshal(document.Body, t); err != nil {
		return nil, fmt.Errorf("ticket: read %s, revision %d: %w", document.ID, document.Revision, err)
	}
	t.Revision, t.saved = document.Revision, document.At
	return t, nil
}

// platformActor is the actor of steps that nobody takes.
const platformActor = "platform"

func (t *Ticket) document(now int64) (lienthong.Document, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return lienthong.Document{}, fmt.Errorf("ticket: encode %s: %w", t.ID, err)
	}
	actor, note := t.Last.By, string(t.Last.Action)
	if actor == "" {
		actor = platformActor
	}
	if t.Last.Note != "" {
		note += ": " + t.Last.Note
	}
	return lienthong.Document{
		Kind: Kind, ID: t.ID, Revision: t.Revision, State: string(t.Stage),
		Actor: actor, Note: note, At: now, Body: body,
	}, nil
}

// batch is how many tickets are written in one transaction.
const batch = 500

// save writes tickets down and then lets them count. After a conflict it has read
// again what is kept, and the caller decides anew.
func (d *Desk) save(ctx context.Context, now int64, changed []*Ticket) error {
	for part := range slices.Chunk(changed, batch) {
		documents := make([]lienthong.Document, len(part))
		for i, t := range part {
			document, err := t.document(now)
			if err != nil {
				return err
			}
			documents[i] = document
		}
		saved, err := d.config.Documents.SaveDocuments(ctx, documents...)
		if err != nil {
			err = fmt.Errorf("ticket: write down %d tickets: %w", len(part), err)
			if lienthong.ErrorCode(err) == lienthong.CodeDocumentConflict {
				err = errors.Join(err, d.reload(ctx))
			}
			return err
		}
		for i, t := range part {
			t.Revision, t.saved = saved[i].Revision, now
		}
		d.publish(part)
	}
	return nil
}

// publish lets changed tickets take the place of what they were.
func (d *Desk) publish(changed []*Ticket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	byID := func(t *Ticket, id string) int { return strings.Compare(t.ID, id) }
	next := slices.Clone(d.tickets) // readers may hold the old list
	var added []*Ticket
	for _, t := range changed {
		if i, found := slices.BinarySearchFunc(d.tickets, t.ID, byID); found {
			next[i] = t
		} else {
			added = append(added, t)
		}
	}
	if len(added) > 0 {
		next = append(next, added...)
		slices.SortFunc(next, func(a, b *Ticket) int { return strings.Compare(a.ID, b.ID) })
	}
	d.tickets = next
}

// view is the tickets and the calendar of this moment.
func (d *Desk) view() ([]*Ticket, *calendar.Calendar) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.tickets, d.calendar
}

func (d *Desk) find(id string) (*Ticket, bool) {
	tickets, _ := d.view()
	i, found := slices.BinarySearchFunc(tickets, id, func(t *Ticket, id string) int { return strings.Compare(t.ID, id) })
	if !found {
		return nil, false
	}
	return tickets[i], true
}

// Ticket is the one with the identifier.
func (d *Desk) Ticket(id string) (Ticket, bool) {
	t, found := d.find(id)
	if !found {
		return Ticket{}, false
	}
	return *t, true
}

// Filter says which tickets to list. Empty members let everything through.
type Filter struct {
	Owner     lienthong.MemberCode // with its parts: G09 lists G09.20 too
	Database  string
	Dataset   lienthong.DatasetID
	Group     lienthong.ErrorGroup
	Stages    []Stage
	Active    bool     // the owner has work to do
	Overdue   bool     // the term has passed
	Severity  Severity // at least
	Waiting   bool     // the centre has something to decide
	Suspended bool     // a suspension is proposed and not decided
	Offset    int
	Limit     int // 0: all
}

func (f *Filter) lets(t *Ticket, now time.Time) bool {
	switch {
	case f.Owner != "" && !within(t.Owner, f.Owner),
		f.Database != "" && t.Dataset.Database != f.Database,
		f.Dataset != (lienthong.DatasetID{}) && t.Dataset != f.Dataset,
		f.Group != "" && t.Group != f.Group,
		len(f.Stages) > 0 && !slices.Contains(f.Stages, t.Stage),
		f.Active && !t.Stage.active(),
		f.Severity > t.Severity,
		f.Overdue && !t.Overdue(now),
		f.Waiting && !t.waiting(),
		f.Suspended && !t.SuspensionOpen():
		return false
	}
	return true
}

// waiting reports whether the centre has something to decide.
func (t *Ticket) waiting() bool {
	return t.Stage.active() && (t.Extension.pending() || t.Appeal.pending() || t.SuspensionOpen())
}

// List is the tickets that a filter lets through, worst first: those the owner has work with
// before the others, then by severity, then by term, then by identifier. total counts all of
// them, whatever Offset and Limit show.
func (d *Desk) List(filter Filter) (page []Ticket, total int) {
	tickets, _ := d.view()
	now := d.config.Now()
	var found []*Ticket
	for _, t := range tickets {
		if filter.lets(t, now) {
			found = append(found, t)
		}
	}
	slices.SortStableFunc(found, urgency)
	total = len(found)
	from := min(max(filter.Offset, 0), total)
	to := total
	if filter.Limit > 0 {
		to = min(from+filter.Limit, total)
	}
	page = make([]Ticket, 0, to-from)
	for _, t := range found[from:to] {
		page = append(page, *t)
	}
	return page, total
}

// urgency orders tickets that are sorted by identifier already.
func urgency(a, b *Ticket) int {
	if a.Stage.active() != b.Stage.active() {
		if a.Stage.active() {
			return -1
		}
		return 1
	}
	if a.Severity != b.Severity {
		return int(b.Severity - a.Severity)
	}
	_, dueA := a.Due()
	_, dueB := b.Due()
	switch {
	case dueA == dueB:
		return 0
	case dueA == 0:
		return 1
	case dueB == 0, dueA < dueB:
		return -1
	}
	return 1
}

// Revision is one step in the history of a ticket.
type Revision struct {
	Number int64
	At     int64
	Ticket Ticket // as it stood after the step; Ticket.Last is the step
}

// History is every step of a ticket, oldest first.
func (d *Desk) History(ctx context.Context, id string) ([]Revision, error) {
	documents, err := d.config.Documents.DocumentHistory(ctx, Kind, id)
	if err != nil {
		return nil, fmt.Errorf("ticket: read the history of %s: %w", id, err)
	}
	revisions := make([]Revision, len(documents))
	for i := range documents {
		t, err := decode(&documents[i])
		if err != nil {
			return nil, err
		}
		revisions[i] = Revision{Number: documents[i].Revision, At: documents[i].At, Ticket: *t}
	}
	return revisions, nil
}

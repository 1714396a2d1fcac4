package ticket

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/quality"
)

// Line is how one rule stands on one dataset from one source.
type Line struct {
	Dataset    lienthong.DatasetID
	Source     string // the node that sends the rows; empty for rules over all of them
	Owner      lienthong.MemberCode
	InCharge   string
	Rule       string
	Field      string
	Vi, En     string // the rule in words
	FieldVi    string
	FieldEn    string
	Group      lienthong.ErrorGroup
	Criterion  lienthong.Criterion
	Blocking   bool
	Identifier bool
	Rows       int64 // records that the rule is about; 0: not known
	Open       int64 // records that break it now; lines with 0 are what closes tickets
	Samples    []Sample
	FirstSeen  int64 // of the open ones, as far as it is known
	At         int64 // when it was counted; 0: the snapshot's time
}

// Snapshot is what the checks count now. For each dataset and source that it mentions it has a
// line for every rule: a rule that is missing there is no longer checked, and its ticket ends.
// Datasets that it does not mention keep their tickets as they are.
type Snapshot struct {
	At    int64 // microseconds; 0: now
	Lines []Line
}

// Origin is what the hub knows of the source of a report.
type Origin struct {
	Source   string // the node; empty when the counters cover all sources
	Owner    lienthong.MemberCode
	InCharge string
	Shape    *lienthong.Shape // for the names of fields; may be nil
}

// Lines turns a quality report into lines. Rules over many records are the hub's own
// work and come without a source, whatever the origin's is.
func Lines(origin Origin, report *quality.Report) []Line {
	counters := &report.Counters
	lines := make([]Line, 0, len(counters.Rules)+len(counters.Sets))
	label := func(field string) (vi, en string) {
		if origin.Shape != nil {
			if i := origin.Shape.FieldIndex(field); i >= 0 {
				return origin.Shape.Fields[i].LabelVi, origin.Shape.Fields[i].LabelEn
			}
		}
		return field, field
	}
	add := func(line Line) {
		line.Dataset, line.Owner, line.InCharge, line.At = counters.Dataset, origin.Owner, origin.InCharge, counters.At
		line.FieldVi, line.FieldEn = label(line.Field)
		if line.Open > 0 {
			for i := range report.Findings {
				f := &report.Findings[i]
				if f.Dataset != line.Dataset || f.Rule != line.Rule || f.Field != line.Field {
					continue
				}
				line.Samples = append(line.Samples, Sample{Record: f.Record, Masked: f.Sample})
				if line.FirstSeen == 0 || f.At < line.FirstSeen {
					line.FirstSeen = f.At
				}
			}
		}
		lines = append(lines, line)
	}
	for i := range counters.Rules {
		r := &counters.Rules[i]
		add(Line{
			Source: origin.Source, Rule: r.Code, Field: r.Field, Vi: r.Vi, En: r.En, Group: r.Group, Criterion: r.Criterion,
			Blocking: r.Blocking, Identifier: r.Identifier, Rows: counters.Rows, Open: r.Open,
		})
	}
	for i := range counters.Sets {
		r := &counters.Sets[i]
		add(Line{
			Rule: r.Code, Field: r.Field, Vi: r.Vi, En: r.En, Group: r.Group, Criterion: r.Criterion,
			Identifier: r.Identifier, Rows: r.Checked, Open: r.Failed,
		})
	}
	return lines
}

// Event is a step that the platform took.
type Event struct {
	Ticket string
	Owner  lienthong.MemberCode
	Action Action
	Level  int // of an escalation
}

// Outcome is what Sync or Tick did.
type Outcome struct {
	Events []Event // steps that are written down, in the order of tickets
	// Unclocked is how many open tickets have no terms, because the calendar has no data for the
	// year. Somebody must add them.
	Unclocked int
}

// Number counts the events of an action.
func (o *Outcome) Number(action Action) int {
	n := 0
	for i := range o.Events {
		if o.Events[i].Action == action {
			n++
		}
	}
	return n
}

func (o *Outcome) add(t *Ticket, action Action, level int) {
	if n := len(o.Events); n == 0 || o.Events[n-1].Ticket != t.ID {
		t.Last = LastStep{Action: action} // what follows from it in the same revision does not hide it
	}
	o.Events = append(o.Events, Event{Ticket: t.ID, Owner: t.Owner, Action: action, Level: level})
}

const attempts = 3 // somebody else may write at the same time

// Sync brings the tickets in line with what the checks count now: opens, updates, sends back,
// closes and opens again. Figures that are not newer than what a ticket has change nothing.
func (d *Desk) Sync(ctx context.Context, snapshot Snapshot) (Outcome, error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	for attempt := 1; ; attempt++ {
		outcome, err := d.syncOnce(ctx, &snapshot)
		if err == nil || attempt == attempts || lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict {
			return outcome, err
		}
	}
}

// part is a dataset as one source sends it.
type part struct {
	dataset lienthong.DatasetID
	source  string
}

func (d *Desk) syncOnce(ctx context.Context, snapshot *Snapshot) (Outcome, error) {
	moment := d.config.Now()
	now := moment.UnixMicro()
	at := snapshot.At
	if at == 0 {
		at = now
	}
	lines := make(map[string]*Line, len(snapshot.Lines))
	order := make([]string, 0, len(snapshot.Lines))
	counted := map[part]int64{}
	for i := range snapshot.Lines {
		line := snapshot.Lines[i]
		if line.At == 0 {
			line.At = at
		}
		key := part{line.Dataset, line.Source}
		counted[key] = max(counted[key], line.At)
		id := identify(line.Dataset, line.Source, line.Rule, line.Field)
		if same := lines[id]; same != nil {
			same.Open += line.Open // a rule counted in parts
			same.Rows += line.Rows
			continue
		}
		lines[id] = &line
		order = append(order, id)
	}
	slices.Sort(order)

	var outcome Outcome
	var loud, quiet []*Ticket
	for _, id := range order {
		line := lines[id]
		before, found := d.find(id)
		if !found {
			if line.Open > 0 {
				t := d.open(id, line, now, &outcome)
				loud = append(loud, t)
			}
			continue
		}
		if line.At <= before.Counted {
			continue
		}
		t := before.clone()
		events := len(outcome.Events)
		changed := d.update(t, line, now, &outcome)
		if len(outcome.Events) == events {
			if !changed {
				quiet = append(quiet, t)
				continue
			}
			t.Last = LastStep{Action: Count}
		}
		loud = append(loud, t)
	}
	tickets, _ := d.view()
	for _, before := range tickets {
		if before.Stage == Closed || lines[before.ID] != nil {
			continue
		}
		if at, mentioned := counted[part{before.Dataset, before.Source}]; !mentioned || at <= before.Counted {
			continue
		}
		t := before.clone()
		t.Open, t.Samples = 0, nil
		t.Counted = counted[part{before.Dataset, before.Source}]
		d.close(t, RuleWithdrawn, now, &outcome)
		loud = append(loud, t)
	}
	for _, t := range loud {
		if t.Stage.active() && t.Clock.Plan == 0 {
			outcome.Unclocked++
		}
	}
	d.publish(quiet)
	if err := d.save(ctx, now, loud); err != nil {
		return Outcome{}, err
	}
	return outcome, nil
}

// open makes a new ticket.
func (d *Desk) open(id string, line *Line, now int64, outcome *Outcome) *Ticket {
	t := &Ticket{ID: id, Dataset: line.Dataset, Source: line.Source, Owner: line.Owner}
	d.describe(t, line)
	t.FirstSeen = line.At
	if line.FirstSeen != 0 {
		t.FirstSeen = min(t.FirstSeen, line.FirstSeen)
	}
	t.begin(now)
	d.reckon(t)
	outcome.add(t, Open, 0)
	d.raise(t, now, outcome)
	return t
}

// describe takes over what a line says.
func (d *Desk) describe(t *Ticket, line *Line) {
	t.InCharge = line.InCharge
	t.Rule, t.Field, t.Vi, t.En, t.FieldVi, t.FieldEn = line.Rule, line.Field, line.Vi, line.En, line.FieldVi, line.FieldEn
	t.Group, t.Criterion, t.Blocking, t.Identifier = line.Group, line.Criterion, line.Blocking, line.Identifier
	t.Rows, t.Open, t.Counted = line.Rows, line.Open, line.At
	if line.Open > 0 {
		t.LastSeen = line.At
		if len(line.Samples) > 0 {
			t.Samples = slices.Clone(line.Samples[:min(len(line.Samples), d.config.Samples)])
		}
	} else {
		t.Samples = nil
	}
}

// update brings a ticket in line with a newer line. It reports whether something is to be
// written down for which there is no event.
func (d *Desk) update(t *Ticket, line *Line, now int64, outcome *Outcome) bool {
	before := t.Open
	wasIncident, owner := t.Identifier, t.Owner
	d.describe(t, line)
	if t.Open < before {
		t.Fixed += before - t.Open
	}
	if owner != line.Owner {
		t.Owner, t.Handler = line.Owner, ""
		outcome.add(t, Transfer, 0)
	}
	switch {
	case t.Stage == Closed && t.Open > 0:
		t.begin(now)
		t.Reopened++
		d.reckon(t)
		outcome.add(t, Reopen, 0)
		d.raise(t, now, outcome)
		return true
	case t.Stage.active() && t.Open == 0:
		d.close(t, Fixed, now, outcome)
		return true
	case t.Stage == Verifying && t.Counted >= t.Corrected+d.config.Recheck.Microseconds():
		t.Stage = Correcting
		t.Returned++
		outcome.add(t, Return, 0)
	}
	if t.Stage.active() {
		t.Most = max(t.Most, t.Open)
		t.rate()
		if t.Identifier && !wasIncident {
			d.raise(t, now, outcome)
		}
	}
	return t.Open != before && now-t.saved >= d.config.SaveCounts.Microseconds()
}

// close ends a ticket. Nobody else can.
func (d *Desk) close(t *Ticket, because Reason, now int64, outcome *Outcome) {
	if t.Stage.active() {
		d.end(t, because, now)
	}
	t.Stage, t.ClosedAt = Closed, now
	outcome.add(t, Close, 0)
}

// Tick looks at the dates: terms that have passed go up, waivers that have run out end, and where
// nothing helps a suspension is proposed. Call it every few minutes; it only writes when a
// date has been reached.
func (d *Desk) Tick(ctx context.Context) (Outcome, error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	for attempt := 1; ; attempt++ {
		outcome, err := d.tickOnce(ctx)
		if err == nil || attempt == attempts || lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict {
			return outcome, err
		}
	}
}

func (d *Desk) tickOnce(ctx context.Context) (Outcome, error) {
	now := d.config.Now().UnixMicro()
	tickets, _ := d.view()
	var outcome Outcome
	var changed []*Ticket
	for _, before := range tickets {
		if before.Stage == Closed || !d.due(before, now) {
			if before.Stage.active() && before.Clock.Plan == 0 {
				outcome.Unclocked++
			}
			continue
		}
		t := before.clone()
		events := len(outcome.Events)
		if t.Stage == Waived {
			if t.Open == 0 {
				d.close(t, Fixed, now, &outcome)
			} else {
				t.begin(now)
				d.reckon(t)
				outcome.add(t, EndWaiver, 0)
			}
		} else if clock := t.Clock; d.reckon(t) && t.Clock != clock {
			outcome.add(t, Reckon, 0)
		}
		d.raise(t, now, &outcome)
		if len(outcome.Events) > events {
			changed = append(changed, t)
		}
		if t.Stage.active() && t.Clock.Plan == 0 {
			outcome.Unclocked++
		}
	}
	if err := d.save(ctx, now, changed); err != nil {
		return Outcome{}, err
	}
	return outcome, nil
}

// due reports whether a date of a ticket may have been reached, so that most tickets
// are not copied.
func (d *Desk) due(t *Ticket, now int64) bool {
	switch {
	case t.Stage == Waived:
		return t.Waiver == nil || now >= t.Waiver.Until
	case t.Clock.Plan == 0, t.Clock.Correct == 0, t.Clock.Provisional:
		return true
	case t.Identifier && t.Level() == 0:
		return true
	}
	return now > t.Clock.Plan && t.PlannedAt == 0 || now > t.Clock.Correct
}

// reckon counts the terms of an opening from when it began. It reports false when the calendar
// has no data for them; then the terms stay as they were.
func (d *Desk) reckon(t *Ticket) bool {
	_, c := d.view()
	began := time.UnixMicro(t.Clock.Began)
	last := d.config.CorrectDays
	if t.Clock.Extended {
		last = d.config.LongestDays
	}
	plan, err := c.Deadline(began, d.config.PlanDays)
	if err != nil {
		return false
	}
	correct, err := c.Deadline(began, last)
	if err != nil {
		return false
	}
	t.Clock.Plan, t.Clock.Correct = plan.At.UnixMicro(), correct.At.UnixMicro()
	t.Clock.Provisional = correct.Provisional
	return true
}

// raise takes the steps up that are due, and proposes a suspension where the last term passed
// long ago.
func (d *Desk) raise(t *Ticket, now int64, outcome *Outcome) {
	if !t.Stage.active() {
		return
	}
	for _, rung := range d.config.Ladder {
		if t.Identifier && rung.After == 0 {
			d.step(t, rung.Level, IncidentTerm, t.Clock.Began, now, outcome)
		}
		if t.PlannedAt == 0 {
			if at, passed := d.passed(t.Clock.Plan, rung.After, now); passed {
				d.step(t, rung.Level, PlanTerm, at, now, outcome)
			}
		}
		if at, passed := d.passed(t.Clock.Correct, rung.After, now); passed {
			d.step(t, rung.Level, t.lastTerm(), at, now, outcome)
		}
	}
	if t.Suspension != nil {
		return
	}
	if _, passed := d.passed(t.Clock.Correct, d.config.SuspendAfter, now); passed {
		t.Suspension = &Suspension{
			At: now, Basis: d.config.Basis,
			Vi: fmt.Sprintf("Phiếu %s: quá hạn sửa tại nguồn %d ngày làm việc, còn %d bản ghi lỗi. Đề xuất cấp có thẩm quyền xem xét tạm dừng đồng bộ tập dữ liệu %s của cơ quan %s cho đến khi sửa xong. Hệ thống chỉ đề xuất, không tự tạm dừng.",
				t.ID, d.config.SuspendAfter, t.Open, t.Dataset, t.Owner),
			En: fmt.Sprintf("Ticket %s: %d working days past the term for correction at the source, %d records are still wrong. It is proposed that the competent authority considers suspending the synchronisation of dataset %s of member %s until they are right. The platform only proposes, and suspends nothing.",
				t.ID, d.config.SuspendAfter, t.Open, t.Dataset, t.Owner),
		}
		outcome.add(t, ProposeSuspension, 0)
	}
}

// passed reports whether a term ended so many working days ago or more, and when that was.
func (d *Desk) passed(term int64, after int, now int64) (int64, bool) {
	if term == 0 || now <= term {
		return 0, false
	}
	if after == 0 {
		return term, true
	}
	_, c := d.view()
	at, err := c.Deadline(time.UnixMicro(term), after)
	if err != nil {
		return 0, false
	}
	return at.At.UnixMicro(), now > at.At.UnixMicro()
}

// step writes down a step up, once in an opening.
func (d *Desk) step(t *Ticket, level int, term Term, due, now int64, outcome *Outcome) {
	if slices.ContainsFunc(t.Escalations, func(e Escalation) bool { return e.Level == level && e.Term == term }) {
		return
	}
	e := Escalation{Level: level, Term: term, Due: due, At: now}
	if level == 1 {
		e.Member = d.config.Superior(t.Owner)
	}
	t.Escalations = append(t.Escalations, e)
	outcome.add(t, Escalate, level)
}

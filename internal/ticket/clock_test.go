package ticket_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/calendar"
	"github.com/lienthong/lienthong/internal/ticket"
)

// TestClock_OverTet is the whole clock over Lunar New Year 2026 (off from 14 to 22 February): terms, steps
// up and the proposal, each on its day and once.
func TestClock_OverTet(t *testing.T) {
	o := open(t, "2026-02-11 08:00") // Wednesday; 12, 13, [Tết] 23, 24, 25 | 26, 27, 2/3, 3, 4 | 5, 6, 9, 10, 11
	o.sync(line("phone.form", 40))
	got := o.get(id)
	if diff := cmp.Diff([]string{"2026-02-25 17:00", "2026-03-04 17:00"}, []string{clock(got.Clock.Plan), clock(got.Clock.Correct)}); diff != "" {
		t.Fatal(diff)
	}
	for _, step := range []struct {
		now  string
		want []string
	}{
		{"2026-02-22 12:00", nil},
		{"2026-02-25 17:00", nil},
		{"2026-02-25 17:01", []string{"escalate1"}}, // no plan
		{"2026-03-04 17:00", nil},
		{"2026-03-04 17:01", []string{"escalate1", "escalate2"}}, // not corrected; still no plan
		{"2026-03-11 17:00", nil},
		{"2026-03-11 17:01", []string{"escalate2", "propose_suspension"}},
		{"2026-06-01 09:00", nil},
	} {
		o.set(step.now)
		if diff := cmp.Diff(step.want, events(o.tick())); diff != "" {
			t.Errorf("%s: %s", step.now, diff)
		}
		wantEvents(t, o.tick())
		o.reopen()
		wantEvents(t, o.tick())
	}
	got = o.get(id)
	var steps []string
	for _, e := range got.Escalations {
		steps = append(steps, fmt.Sprintf("%d %s due %s at %s %s", e.Level, e.Term, clock(e.Due), clock(e.At), e.Member))
	}
	if diff := cmp.Diff([]string{
		"1 plan due 2026-02-25 17:00 at 2026-02-25 17:01 G01",
		"1 correct due 2026-03-04 17:00 at 2026-03-04 17:01 G01",
		"2 plan due 2026-03-04 17:00 at 2026-03-04 17:01 ",
		"2 correct due 2026-03-11 17:00 at 2026-03-11 17:01 ",
	}, steps); diff != "" {
		t.Error(diff)
	}
	if !got.SuspensionOpen() || !strings.Contains(got.Suspension.Vi, "không tự tạm dừng") || !strings.Contains(got.Suspension.Basis, "4856") {
		t.Errorf("the proposal: %+v", got.Suspension)
	}
	if _, total := o.List(ticket.Filter{Suspended: true, Waiting: true, Overdue: true}); total != 1 {
		t.Errorf("%d tickets wait for a decision", total)
	}
	// Corrected after all: the proposal goes by itself.
	o.sync(line("phone.form", 0))
	if got = o.get(id); got.SuspensionOpen() || got.Suspension.Withdrawn == 0 || got.Stage != ticket.Closed {
		t.Errorf("after the correction: %+v", got.Suspension)
	}
}

func TestClock_PlanInTimeThenLate(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	o.sync(line("phone.form", 40))
	o.act(ticket.SubmitPlan, owner, ticket.Input{Cause: "a", Plan: "b"})
	o.set("2025-06-10 09:00")
	wantEvents(t, o.tick())
	if got := o.get(id); got.Overdue(o.now) {
		t.Error("a plan in time is overdue")
	}
	o.set("2025-06-16 17:01")
	wantEvents(t, o.tick(), "escalate1")
	if got := o.get(id); !got.Overdue(o.now) || got.Level() != 1 {
		t.Errorf("overdue %v, level %d", got.Overdue(o.now), got.Level())
	}
}

// TestExtension: asked once, in time, granted by somebody else, counted from the opening.
func TestExtension(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	o.sync(line("phone.form", 40))
	o.act(ticket.SubmitPlan, owner, ticket.Input{Cause: "a", Plan: "b"})
	o.act(ticket.AskExtension, owner, ticket.Input{Note: "xác minh tại 3 xã"})
	if _, total := o.List(ticket.Filter{Waiting: true}); total != 1 {
		t.Error("the request does not wait")
	}
	got := o.act(ticket.GrantExtension, reviewer, ticket.Input{Note: "đồng ý"})
	if term, due := got.Due(); term != ticket.LongestTerm || clock(due) != "2025-06-23 17:00" {
		t.Errorf("due %s %s", term, clock(due))
	}
	o.set("2025-06-16 17:01")
	wantEvents(t, o.tick())
	if _, err := o.Act(context.Background(), id, ticket.AskExtension, owner, ticket.Input{Note: "nữa"}); lienthong.ErrorCode(err) != "ticket.extension" {
		t.Error(err)
	}
	o.set("2025-06-23 17:01")
	wantEvents(t, o.tick(), "escalate1")

	late := open(t, "2025-06-02 09:00")
	late.sync(line("phone.form", 40))
	late.act(ticket.SubmitPlan, owner, ticket.Input{Cause: "a", Plan: "b"})
	late.set("2025-06-16 17:01")
	if _, err := late.Act(context.Background(), id, ticket.AskExtension, owner, ticket.Input{Note: "muộn"}); lienthong.ErrorCode(err) != "ticket.extension" {
		t.Errorf("asked after the term: %v", err)
	}
	// Asked in time, granted late: the step up that was taken stays, and the new term has its own.
	slow := open(t, "2025-06-02 09:00")
	slow.sync(line("phone.form", 40))
	slow.act(ticket.SubmitPlan, owner, ticket.Input{Cause: "a", Plan: "b"})
	slow.act(ticket.AskExtension, owner, ticket.Input{Note: "xác minh"})
	slow.set("2025-06-17 09:00")
	wantEvents(t, slow.tick(), "escalate1")
	slow.act(ticket.GrantExtension, approver, ticket.Input{Note: "đồng ý"})
	slow.set("2025-06-24 09:00")
	wantEvents(t, slow.tick(), "escalate1")
}

// TestIncident: a wrong identifier goes up at once.
func TestIncident(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	l := line("phone.form", 1)
	l.Identifier, l.Blocking = true, true
	wantEvents(t, o.sync(l), "open", "escalate1")
	got := o.get(id)
	if got.Level() != 1 || got.Escalations[0].Term != ticket.IncidentTerm || got.Last.Action != ticket.Open {
		t.Errorf("incident: %+v", got.Escalations)
	}
	wantEvents(t, o.tick())
	// A rule that becomes one about an identifier does too.
	o = open(t, "2025-06-02 09:00")
	o.sync(line("phone.form", 1))
	o.set("2025-06-02 10:00")
	wantEvents(t, o.sync(l), "escalate1")
	if got := o.get(id); got.Severity != ticket.Red {
		t.Errorf("severity %d", got.Severity)
	}
}

// TestWaiver: the clock stands still, counts go on, and when it ends everything begins anew.
func TestWaiver(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	o.sync(line("phone.form", 40))
	o.act(ticket.AppealRule, owner, ticket.Input{Note: "quy tắc chưa tính số nước ngoài"})
	got := o.act(ticket.Waive, approver, ticket.Input{Note: "đúng vậy", Until: at(t, "2025-09-30 17:00")})
	if got.Waiver.Reason != "quy tắc chưa tính số nước ngoài" || got.Waiver.By != approver.Name || !got.Appeal.Answer.Granted {
		t.Errorf("waived: %+v", got.Waiver)
	}
	o.set("2025-08-01 09:00")
	wantEvents(t, o.tick())
	o.sync(line("phone.form", 0))
	if got = o.get(id); got.Stage != ticket.Waived || got.Open != 0 {
		t.Errorf("after a count of 0: %s, %d", got.Stage, got.Open)
	}
	o.set("2025-08-02 09:00")
	o.sync(line("phone.form", 33))
	if got = o.get(id); got.Stage != ticket.Waived || got.Open != 33 || got.Overdue(o.now) {
		t.Errorf("after a count of 33: %s, %d", got.Stage, got.Open)
	}
	o.set("2025-09-30 17:00")
	wantEvents(t, o.tick(), "end_waiver")
	got = o.get(id)
	if got.Stage != ticket.Opened || got.Waiver != nil || got.Reopened != 0 || clock(got.Clock.Plan) != "2025-10-07 17:00" || got.AtOpening != 33 {
		t.Errorf("after the waiver: %+v", got)
	}
	// A waiver that ends when nothing is wrong.
	o.act(ticket.AppealRule, owner, ticket.Input{Note: "vẫn sai"})
	o.act(ticket.Waive, approver, ticket.Input{Note: "thêm một tháng", Until: at(t, "2025-10-31 17:00")})
	o.set("2025-10-01 09:00")
	o.sync(line("phone.form", 0))
	o.set("2025-11-01 09:00")
	wantEvents(t, o.tick(), "close")
	if report := o.Figures(ticket.Period{}); report.All.Closed != 0 {
		t.Errorf("%d corrections counted, and nobody corrected anything", report.All.Closed)
	}
}

// TestCalendar: terms that may still move are counted again, and a year without holidays is said,
// not guessed.
func TestCalendar(t *testing.T) {
	o := open(t, "2027-02-01 09:00")
	o.sync(line("phone.form", 40))
	got := o.get(id)
	if !got.Clock.Provisional || clock(got.Clock.Plan) != "2027-02-15 17:00" { // 2, 3, [Tết 4-10] 11, 12, 15
		t.Errorf("plan due %s, provisional %v", clock(got.Clock.Plan), got.Clock.Provisional)
	}
	builtin, err := calendar.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	announced, err := builtin.With("2027.csv", strings.NewReader("date,kind,status,name_vi,name_en,source\n2027,year,official,,,TB\n2027-02-11,exchanged,official,,,TB\n2027-02-20,makeup,official,,,TB\n"))
	if err != nil {
		t.Fatal(err)
	}
	o.SetCalendar(announced)
	wantEvents(t, o.tick(), "reckon")
	if got = o.get(id); !got.Clock.Provisional || clock(got.Clock.Plan) != "2027-02-16 17:00" { // the days of Tết are not confirmed
		t.Errorf("plan due %s, provisional %v", clock(got.Clock.Plan), got.Clock.Provisional)
	}
	wantEvents(t, o.tick())

	o = open(t, "2031-03-03 09:00")
	if outcome := o.sync(line("phone.form", 40)); outcome.Unclocked != 1 {
		t.Errorf("%d tickets without terms, want 1", outcome.Unclocked)
	}
	if outcome := o.tick(); outcome.Unclocked != 1 || len(outcome.Events) != 0 {
		t.Errorf("%+v", outcome)
	}
	later, err := builtin.With("2031.csv", strings.NewReader("date,kind,status,name_vi,name_en,source\n2031,year,official,,,TB\n"))
	if err != nil {
		t.Fatal(err)
	}
	o.SetCalendar(later)
	wantEvents(t, o.tick(), "reckon")
	if got := o.get(id); clock(got.Clock.Plan) != "2031-03-10 17:00" {
		t.Errorf("plan due %s", clock(got.Clock.Plan))
	}
	o.sync() // closing works without a calendar too
}

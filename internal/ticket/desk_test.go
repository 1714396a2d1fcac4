package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/calendar"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/ticket"
)

// office is a desk with a clock that tests set.
type office struct {
	*ticket.Desk
	t    testing.TB
	docs ticket.Documents
	now  time.Time
	id   string // of the ticket that act is about
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	moment, err := time.ParseInLocation("2006-01-02 15:04", text, calendar.Zone())
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

func open(t testing.TB, now string) *office {
	t.Helper()
	o := &office{t: t, docs: documents(t), now: at(t, now), id: id}
	o.reopen()
	return o
}

// reopen is what a restart does.
func (o *office) reopen() {
	o.t.Helper()
	desk, err := ticket.NewDesk(context.Background(), ticket.Config{Documents: o.docs, Now: func() time.Time { return o.now }})
	if err != nil {
		o.t.Fatal(err)
	}
	o.Desk = desk
}

func (o *office) set(now string) { o.t.Helper(); o.now = at(o.t, now) }

var person = lienthong.DatasetID{Database: "population", Name: "person"}

// line is a rule of the dataset of persons with so many open records.
func line(rule string, open int64) ticket.Line {
	return ticket.Line{
		Dataset: person, Source: "g01", Owner: "G01.05", InCharge: "Phòng Dữ liệu dân cư", Rule: rule, Field: "phone",
		Vi: "Số điện thoại sai dạng", En: "The phone number has a wrong form", FieldVi: "Số điện thoại", FieldEn: "Phone",
		Group: lienthong.WrongFormat, Criterion: lienthong.Clean, Rows: 1000, Open: open,
	}
}

const id = "population.person@g01:phone.form:phone"

func (o *office) sync(lines ...ticket.Line) ticket.Outcome {
	o.t.Helper()
	outcome, err := o.Sync(context.Background(), ticket.Snapshot{Lines: lines})
	if err != nil {
		o.t.Fatal(err)
	}
	return outcome
}

func (o *office) tick() ticket.Outcome {
	o.t.Helper()
	outcome, err := o.Tick(context.Background())
	if err != nil {
		o.t.Fatal(err)
	}
	return outcome
}

func (o *office) get(id string) ticket.Ticket {
	o.t.Helper()
	found, ok := o.Ticket(id)
	if !ok {
		o.t.Fatalf("no ticket %s", id)
	}
	return found
}

func (o *office) act(action ticket.Action, actor ticket.Actor, input ticket.Input) ticket.Ticket {
	o.t.Helper()
	done, err := o.Act(context.Background(), o.id, action, actor, input)
	if err != nil {
		o.t.Fatalf("%s: %v", action, err)
	}
	return done
}

// events are the steps in short: "escalate1".
func events(outcome ticket.Outcome) []string {
	var list []string
	for _, e := range outcome.Events {
		name := string(e.Action)
		if e.Level > 0 {
			name += fmt.Sprint(e.Level)
		}
		list = append(list, name)
	}
	return list
}

func wantEvents(t testing.TB, outcome ticket.Outcome, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, events(outcome)); diff != "" {
		t.Error(diff)
	}
}

func clock(micros int64) string {
	if micros == 0 {
		return ""
	}
	return time.UnixMicro(micros).In(calendar.Zone()).Format("2006-01-02 15:04")
}

var (
	owner    = ticket.Actor{Name: "Trần Thị Bình", Member: "G01.05", Roles: []string{"owner"}}
	steward  = ticket.Actor{Name: "Lê Văn Cường", Member: "G01", Roles: []string{"steward"}}
	stranger = ticket.Actor{Name: "Phạm Dũng", Member: "H49", Roles: []string{"owner", "steward", "engineer"}}
	reviewer = ticket.Actor{Name: "Hoàng Em", Member: "G00", Roles: []string{"reviewer"}}
	approver = ticket.Actor{Name: "Vũ Giang", Member: "G00", Roles: []string{"approver"}}
	viewer   = ticket.Actor{Name: "Đỗ Hà", Member: "G01.05", Roles: []string{"viewer"}}
)

// TestLife goes through the whole life of a ticket: found, planned, corrected, closed by the
// re-check, found again.
func TestLife(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	wantEvents(t, o.sync(line("phone.form", 40)), "open")
	got := o.get(id)
	if got.Stage != ticket.Opened || got.Open != 40 || got.AtOpening != 40 || got.Severity != ticket.Normal || got.Owner != "G01.05" {
		t.Errorf("opened: %+v", got)
	}
	if diff := cmp.Diff([]string{"2025-06-09 17:00", "2025-06-16 17:00"}, []string{clock(got.Clock.Plan), clock(got.Clock.Correct)}); diff != "" {
		t.Error(diff)
	}

	o.act(ticket.Acknowledge, owner, ticket.Input{})
	o.act(ticket.Assign, steward, ticket.Input{Handler: "Ngô Ích"})
	o.act(ticket.SubmitPlan, owner, ticket.Input{Cause: "Nhập tay từ sổ giấy", Plan: "Đối chiếu với sổ gốc, sửa trong 5 ngày"})
	o.act(ticket.StartCorrecting, steward, ticket.Input{})

	o.set("2025-06-04 10:00")
	wantEvents(t, o.sync(line("phone.form", 25))) // written down: more than a day since the last step
	o.set("2025-06-04 10:01")
	wantEvents(t, o.sync(line("phone.form", 20)))
	got = o.get(id)
	if got.Open != 20 || got.Fixed != 20 || got.Most != 40 {
		t.Errorf("after corrections: open %d, fixed %d, most %d", got.Open, got.Fixed, got.Most)
	}
	o.act(ticket.DeclareCorrected, owner, ticket.Input{Note: "đã sửa hết"})

	o.set("2025-06-04 15:00") // too early to send it back
	wantEvents(t, o.sync(line("phone.form", 19)))
	o.set("2025-06-05 10:02")
	wantEvents(t, o.sync(line("phone.form", 3)), "return")
	if got = o.get(id); got.Stage != ticket.Correcting || got.Returned != 1 {
		t.Errorf("after the re-check: %s, returned %d", got.Stage, got.Returned)
	}
	o.set("2025-06-06 10:00")
	wantEvents(t, o.sync(line("phone.form", 0)), "close")
	got = o.get(id)
	want := []ticket.Cycle{{Opened: at(t, "2025-06-02 09:00").UnixMicro(), Closed: o.now.UnixMicro(), Days: 4, Because: ticket.Fixed}}
	if diff := cmp.Diff(want, got.Cycles); got.Stage != ticket.Closed || diff != "" || got.Fixed != 40 {
		t.Errorf("closed: %s, fixed %d, %s", got.Stage, got.Fixed, diff)
	}

	o.set("2025-06-10 18:00")
	wantEvents(t, o.sync(line("phone.form", 2)), "reopen")
	got = o.get(id)
	if got.Stage != ticket.Opened || got.Reopened != 1 || got.AtOpening != 2 || got.Fixed != 0 || got.Plan != "" || clock(got.Clock.Plan) != "2025-06-18 17:00" {
		t.Errorf("reopened: %+v", got)
	}

	history, err := o.History(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, r := range history {
		steps = append(steps, fmt.Sprintf("%d %s %s", r.Number, r.Ticket.Last.Action, r.Ticket.Stage))
	}
	if diff := cmp.Diff([]string{
		"1 open opened", "2 acknowledge acknowledged", "3 assign acknowledged", "4 plan planned", "5 correct correcting",
		"6 count correcting", "7 corrected verifying", "8 return correcting", "9 close closed", "10 reopen opened",
	}, steps); diff != "" {
		t.Error(diff)
	}
}

// TestSync_IsIdempotent: the same figures change nothing, older ones neither, also after a restart.
func TestSync_IsIdempotent(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	lines := []ticket.Line{line("phone.form", 40), line("phone.length", 0), line("phone.tidy", 7)}
	wantEvents(t, o.sync(lines...), "open", "open")
	before, total := o.List(ticket.Filter{})
	if total != 2 {
		t.Fatalf("%d tickets", total)
	}
	older := line("phone.form", 0)
	older.At = at(t, "2025-06-02 08:59").UnixMicro()
	for range 2 {
		wantEvents(t, o.sync(lines...))
		if outcome, err := o.Sync(context.Background(), ticket.Snapshot{At: older.At, Lines: []ticket.Line{older}}); err != nil || len(outcome.Events) > 0 {
			t.Errorf("older figures: %v, %v", outcome, err)
		}
		wantEvents(t, o.tick())
		after, _ := o.List(ticket.Filter{})
		if diff := cmp.Diff(before, after, cmp.AllowUnexported(ticket.Ticket{})); diff != "" {
			t.Error(diff)
		}
		o.reopen()
	}
}

// TestSync_TellsSilenceFromHealth: what is not mentioned stays; a rule that is no
// longer checked ends.
func TestSync_TellsSilenceFromHealth(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	set := line("phone.unique", 4)
	set.Source = ""
	o.sync(line("phone.form", 40), line("phone.tidy", 7), set)
	o.set("2025-06-03 09:00")
	other := line("phone.form", 5)
	other.Dataset.Name = "household"
	wantEvents(t, o.sync(other), "open")
	if _, total := o.List(ticket.Filter{Active: true}); total != 4 {
		t.Errorf("%d active tickets, want 4", total)
	}
	o.set("2025-06-03 10:00")
	wantEvents(t, o.sync(line("phone.form", 40)), "close")
	gone := o.get("population.person@g01:phone.tidy:phone")
	if gone.Stage != ticket.Closed || gone.Cycles[0].Because != ticket.RuleWithdrawn {
		t.Errorf("the rule that is gone: %+v", gone)
	}
	if kept := o.get("population.person:phone.unique:phone"); kept.Stage != ticket.Opened {
		t.Errorf("the hub's own rule was closed by a node's report: %s", kept.Stage)
	}
	// The rule comes back with errors: that is the old ticket again.
	o.set("2025-06-04 10:00")
	wantEvents(t, o.sync(line("phone.form", 40), line("phone.tidy", 1)), "reopen")
}

func TestSync_OwnerChanges(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	o.sync(line("phone.form", 40))
	o.act(ticket.Assign, owner, ticket.Input{Handler: "Ngô Ích"})
	o.set("2025-06-03 09:00")
	moved := line("phone.form", 40)
	moved.Owner = "G01.07"
	wantEvents(t, o.sync(moved), "transfer")
	if got := o.get(id); got.Owner != "G01.07" || got.Handler != "" || clock(got.Clock.Began) != "2025-06-02 09:00" {
		t.Errorf("after the transfer: %+v", got)
	}
}

// TestSeverity is the table of what is how bad.
func TestSeverity(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*ticket.Line)
		want   ticket.Severity
	}{
		"few":                {func(l *ticket.Line) { l.Open = 9 }, ticket.Low},
		"one in a hundred":   {func(l *ticket.Line) { l.Open = 10 }, ticket.Normal},
		"of how many?":       {func(l *ticket.Line) { l.Open, l.Rows = 1, 0 }, ticket.Normal},
		"one in ten":         {func(l *ticket.Line) { l.Open = 100 }, ticket.High},
		"held back":          {func(l *ticket.Line) { l.Open, l.Blocking = 1, true }, ticket.High},
		"identifier":         {func(l *ticket.Line) { l.Open, l.Identifier = 1, true }, ticket.Red},
		"blocked identifier": {func(l *ticket.Line) { l.Open, l.Identifier, l.Blocking = 1, true, true }, ticket.Red},
	} {
		o := open(t, "2025-06-02 09:00")
		l := line("phone.form", 0)
		c.change(&l)
		o.sync(l)
		if got := o.get(id); got.Severity != c.want || got.Incident() != (c.want == ticket.Red) {
			t.Errorf("%s: %d, incident %v", name, got.Severity, got.Incident())
		}
	}
	// It only rises until the ticket closes.
	o := open(t, "2025-06-02 09:00")
	o.sync(line("phone.form", 200))
	o.set("2025-06-02 10:00")
	o.sync(line("phone.form", 1))
	if got := o.get(id); got.Severity != ticket.High {
		t.Errorf("severity fell to %d", got.Severity)
	}
	o.set("2025-06-02 11:00")
	o.sync(line("phone.form", 0))
	o.set("2025-06-02 12:00")
	o.sync(line("phone.form", 1))
	if got := o.get(id); got.Severity != ticket.Low {
		t.Errorf("severity of the next opening is %d", got.Severity)
	}
}

// TestTransitions_ByRoleAndStage takes every step of people in every stage as everybody, and holds what
// happens against the table.
func TestTransitions_ByRoleAndStage(t *testing.T) {
	ctx := context.Background()
	note := ticket.Input{Note: "vì xác minh thực địa"}
	plan := ticket.Input{Cause: "nhập tay", Plan: "đối chiếu"}
	// How to come to a stage.
	shared := open(t, "2025-06-02 09:00")
	number := 0
	var none ticket.Line // the line of the ticket at hand, with no open record
	ways := map[ticket.Stage]func(*office){
		ticket.Opened:       func(*office) {},
		ticket.Acknowledged: func(o *office) { o.act(ticket.Acknowledge, owner, ticket.Input{}) },
		ticket.Planned:      func(o *office) { o.act(ticket.SubmitPlan, owner, plan) },
		ticket.Correcting: func(o *office) {
			o.act(ticket.SubmitPlan, owner, plan)
			o.act(ticket.StartCorrecting, owner, ticket.Input{})
		},
		ticket.Verifying: func(o *office) {
			o.act(ticket.SubmitPlan, owner, plan)
			o.act(ticket.DeclareCorrected, owner, ticket.Input{})
		},
		ticket.Closed: func(o *office) { o.set("2025-06-02 10:00"); o.sync(none) },
		ticket.Waived: func(o *office) {
			o.act(ticket.AppealRule, owner, note)
			o.act(ticket.Waive, approver, ticket.Input{Note: "quy tắc chưa tính số nước ngoài", Until: at(t, "2025-12-31 17:00")})
		},
	}
	full := ticket.Input{Note: "lý do", Cause: "nguyên nhân", Plan: "phương án", Handler: "Ngô Ích", Until: at(t, "2025-12-31 17:00")}
	actors := map[string]ticket.Actor{"owner": owner, "steward": steward, "stranger": stranger, "reviewer": reviewer, "approver": approver, "viewer": viewer}
	// ready brings a ticket to a stage, for a step.
	ready := func(stage ticket.Stage, action ticket.Action) *office {
		o := shared
		suspension := action == ticket.AcceptSuspension || action == ticket.DeclineSuspension
		if suspension {
			o = open(t, "2025-06-02 09:00") // its clock runs far ahead
		}
		o.set("2025-06-02 09:00")
		number++
		none = line("phone.form", 0)
		none.Source = fmt.Sprintf("n%d", number)
		o.id = fmt.Sprintf("population.person@n%d:phone.form:phone", number)
		some := none
		some.Open = 40
		o.sync(some)
		ways[stage](o)
		// What an answer answers.
		switch action {
		case ticket.GrantExtension, ticket.RefuseExtension:
			_, _ = o.Act(ctx, o.id, ticket.AskExtension, owner, note)
		case ticket.Waive, ticket.RefuseAppeal:
			_, _ = o.Act(ctx, o.id, ticket.AppealRule, owner, note)
		case ticket.AcceptSuspension, ticket.DeclineSuspension:
			o.set("2025-07-30 09:00")
			o.tick()
		default:
		}
		return o
	}
	for _, stage := range ticket.Stages() {
		for _, row := range ticket.Transitions() {
			var o *office
			for name, actor := range actors {
				if o == nil { // a refused step leaves the ticket as it was, for the next one to try
					o = ready(stage, row.Action)
				}
				before := o.get(o.id)
				role := slices.ContainsFunc(row.Roles, func(r string) bool { return slices.Contains(actor.Roles, r) })
				allowed := row.Side != ticket.Platform && role && slices.Contains(row.From, stage) && (row.Side != ticket.OwnerSide || name != "stranger")
				offered := slices.ContainsFunc(o.Actions(&before, actor), func(l ticket.Transition) bool { return l.Action == row.Action })
				after, err := o.Act(ctx, o.id, row.Action, actor, full)
				where := fmt.Sprintf("%s in %s by %s", row.Action, stage, name)
				if (err == nil) != allowed || offered != allowed {
					t.Errorf("%s: offered %v, error %v, want allowed %v", where, offered, err, allowed)
					continue
				}
				if err != nil {
					var coded *lienthong.Error
					if !errors.As(err, &coded) || coded.Vi == "" || coded.En == "" || !strings.HasPrefix(coded.Code, "ticket.") {
						t.Errorf("%s: refused without words: %v", where, err)
					}
					if now := o.get(o.id); now.Revision != before.Revision {
						t.Errorf("%s: refused, and written down", where)
					}
					continue
				}
				want := row.To
				if want == "" {
					want = stage
				}
				if after.Stage != want || after.Last.Action != row.Action || after.Last.By != actor.Name || after.Revision != before.Revision+1 {
					t.Errorf("%s: %s, last %+v, revision %d after %d", where, after.Stage, after.Last, after.Revision, before.Revision)
				}
				o = nil
			}
		}
	}
}

// TestNobodyClosesByHand: no line of the table lets a person close a ticket.
func TestNobodyClosesByHand(t *testing.T) {
	for _, row := range ticket.Transitions() {
		if row.To == ticket.Closed && row.Side != ticket.Platform {
			t.Errorf("%s by %s closes a ticket", row.Action, row.Side)
		}
		if row.Vi == "" || row.En == "" {
			t.Errorf("%s has no words", row.Action)
		}
	}
}

func TestAct_Refuses(t *testing.T) {
	long := strings.Repeat("ữ", 4001)
	for name, c := range map[string]struct {
		action ticket.Action
		actor  ticket.Actor
		input  ticket.Input
		code   string
	}{
		"no such step":        {"abolish", owner, ticket.Input{}, "ticket.action"},
		"no cause":            {ticket.SubmitPlan, owner, ticket.Input{Plan: "sửa"}, "ticket.needs"},
		"only spaces":         {ticket.SubmitPlan, owner, ticket.Input{Plan: "sửa", Cause: "  "}, "ticket.needs"},
		"too long":            {ticket.Comment, owner, ticket.Input{Note: long}, "ticket.text"},
		"not text":            {ticket.Comment, owner, ticket.Input{Note: "a\x00b"}, "ticket.text"},
		"personal number":     {ticket.Comment, owner, ticket.Input{Note: "công dân 001089012345 sai ngày sinh"}, "ticket.personal"},
		"grouped number":      {ticket.Comment, owner, ticket.Input{Note: "công dân 001 089 012 345."}, "ticket.personal"},
		"stale page":          {ticket.Comment, owner, ticket.Input{Note: "x", Revision: 7}, lienthong.CodeDocumentConflict},
		"waiver in the past":  {ticket.Waive, approver, ticket.Input{Note: "x", Until: at(t, "2025-06-01 09:00")}, "ticket.until"},
		"waiver for ever":     {ticket.Waive, approver, ticket.Input{Note: "x", Until: at(t, "2035-06-01 09:00")}, "ticket.until"},
		"a second appeal":     {ticket.AppealRule, owner, ticket.Input{Note: "x"}, "ticket.appeal"},
		"close":               {ticket.Close, approver, ticket.Input{Note: "x"}, "ticket.platform"},
		"nothing to lengthen": {ticket.GrantExtension, reviewer, ticket.Input{Note: "x"}, "ticket.transition"},
	} {
		o := open(t, "2025-06-02 09:00")
		o.sync(line("phone.form", 40))
		o.act(ticket.AppealRule, owner, ticket.Input{Note: "quy tắc sai"})
		if _, err := o.Act(context.Background(), id, c.action, c.actor, c.input); lienthong.ErrorCode(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	o := open(t, "2025-06-02 09:00")
	if _, err := o.Act(context.Background(), "nothing", ticket.Comment, owner, ticket.Input{Note: "x"}); lienthong.ErrorCode(err) != "ticket.unknown" {
		t.Error(err)
	}
	o.sync(line("phone.form", 40))
	for _, harmless := range []string{"Công văn 4856/BCA-TTDLQG ngày 14/9/2026", "sửa 1.200.300 dòng", "2024 2025 2026", "0912 345 678"} {
		o.act(ticket.Comment, owner, ticket.Input{Note: harmless})
	}
}

// TestFourEyes: who asks does not decide, whatever roles they have.
func TestFourEyes(t *testing.T) {
	all := ticket.Actor{Name: "Trần Thị Bình", Member: "G01.05", Roles: []string{"owner", "reviewer", "approver"}}
	o := open(t, "2025-06-02 09:00")
	o.sync(line("phone.form", 40))
	o.act(ticket.SubmitPlan, all, ticket.Input{Cause: "a", Plan: "b"})
	o.act(ticket.AskExtension, all, ticket.Input{Note: "xác minh thực địa"})
	o.act(ticket.AppealRule, all, ticket.Input{Note: "quy tắc sai"})
	until := at(t, "2025-07-01 09:00")
	for _, action := range []ticket.Action{ticket.GrantExtension, ticket.RefuseExtension, ticket.Waive, ticket.RefuseAppeal} {
		if _, err := o.Act(context.Background(), id, action, all, ticket.Input{Note: "x", Until: until}); lienthong.ErrorCode(err) != "ticket.four_eyes" {
			t.Errorf("%s: %v", action, err)
		}
	}
	o.act(ticket.GrantExtension, reviewer, ticket.Input{Note: "đồng ý"})
	o.act(ticket.Waive, approver, ticket.Input{Note: "đồng ý", Until: until})
}

// TestConflict: two desks on one store, as two processes are.
func TestConflict(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	o.sync(line("phone.form", 40))
	other := &office{t: t, docs: o.docs, now: o.now, id: id}
	other.reopen()
	other.act(ticket.Acknowledge, owner, ticket.Input{})
	if _, err := o.Act(context.Background(), id, ticket.Comment, steward, ticket.Input{Note: "x"}); lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict {
		t.Errorf("a step on what somebody else has changed: %v", err)
	}
	if got := o.get(id); got.Stage != ticket.Acknowledged {
		t.Errorf("after the conflict the desk has %s", got.Stage)
	}
	other.act(ticket.Comment, steward, ticket.Input{Note: "x"})
	o.set("2025-06-04 09:00")
	wantEvents(t, o.sync(line("phone.form", 0)), "close") // decides anew by itself
}

// TestLines: a quality report becomes lines, and the findings samples.
func TestLines(t *testing.T) {
	shape := &lienthong.Shape{Dataset: person, Fields: []lienthong.Field{{Name: "phone", LabelVi: "Số điện thoại", LabelEn: "Phone"}}}
	report := &quality.Report{
		Counters: quality.Counters{
			Dataset: person, At: 99, Rows: 1000,
			Rules: []quality.RuleCounter{
				{Code: "phone.form", Field: "phone", Vi: "sai dạng", En: "wrong form", Group: lienthong.WrongFormat, Criterion: lienthong.Clean, Open: 2, Identifier: true},
				{Code: "required", Field: "phone", Vi: "thiếu", En: "missing", Group: lienthong.MissingMandatory, Criterion: lienthong.Complete},
			},
			Sets: []quality.SetCounter{{Code: "phone.unique", Field: "phone", Vi: "trùng", En: "twice", Group: lienthong.Duplicate, Criterion: lienthong.Clean, Checked: 900, Failed: 3}},
		},
		Findings: []lienthong.Finding{
			{Dataset: person, Rule: "phone.form", Field: "phone", Record: "aa", Sample: "09**", At: 7},
			{Dataset: person, Rule: "phone.form", Field: "phone", Record: "bb", Sample: "08**", At: 5},
		},
	}
	got := ticket.Lines(ticket.Origin{Source: "g01", Owner: "G01", InCharge: "Phòng A", Shape: shape}, report)
	base := ticket.Line{Dataset: person, Owner: "G01", InCharge: "Phòng A", Field: "phone", FieldVi: "Số điện thoại", FieldEn: "Phone", At: 99}
	form, missing, unique := base, base, base
	form.Source, form.Rule, form.Vi, form.En, form.Group, form.Criterion, form.Rows, form.Open, form.Identifier = "g01", "phone.form", "sai dạng", "wrong form", lienthong.WrongFormat, lienthong.Clean, 1000, 2, true
	form.Samples, form.FirstSeen = []ticket.Sample{{Record: "aa", Masked: "09**"}, {Record: "bb", Masked: "08**"}}, 5
	missing.Source, missing.Rule, missing.Vi, missing.En, missing.Group, missing.Criterion, missing.Rows = "g01", "required", "thiếu", "missing", lienthong.MissingMandatory, lienthong.Complete, 1000
	unique.Rule, unique.Vi, unique.En, unique.Group, unique.Criterion, unique.Rows, unique.Open = "phone.unique", "trùng", "twice", lienthong.Duplicate, lienthong.Clean, 900, 3
	if diff := cmp.Diff([]ticket.Line{form, missing, unique}, got); diff != "" {
		t.Error(diff)
	}
}

// TestSamples_AreBounded.
func TestSamples_AreBounded(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	l := line("phone.form", 400)
	for i := range 400 {
		l.Samples = append(l.Samples, ticket.Sample{Record: fmt.Sprint(i), Masked: "09**"})
	}
	o.sync(l)
	if got := o.get(id); len(got.Samples) != 10 {
		t.Errorf("%d samples", len(got.Samples))
	}
}

// TestFigures counts openings, not tickets, and does not reward leaving things open.
func TestFigures(t *testing.T) {
	o := open(t, "2025-06-02 09:00")
	second := line("phone.form", 10)
	second.Dataset, second.Owner = lienthong.DatasetID{Database: "land", Name: "parcel"}, "H49"
	o.sync(line("phone.form", 40), line("phone.tidy", 5), second)
	o.set("2025-06-05 09:00") // day 3
	o.sync(line("phone.form", 0), line("phone.tidy", 5))
	o.set("2025-06-12 09:00") // day 8
	o.sync(line("phone.form", 0), line("phone.tidy", 0))
	o.set("2025-06-13 09:00") // day 9
	o.sync(line("phone.form", 1), line("phone.tidy", 0))
	report := o.Figures(ticket.Period{})
	want := ticket.Figures{
		Name: "G01.05", Tickets: 2, Active: 1, OpenRecords: 1, Closed: 2,
		Within5: ticket.Share{Part: 1, Of: 2}, Within10: ticket.Share{Part: 2, Of: 2}, Within15: ticket.Share{Part: 2, Of: 2},
		Reopening: ticket.Share{Part: 1, Of: 2}, MeanAge: 0, MeanTime: 5.5,
	}
	got, found := report.Owner("G01.05")
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(ticket.Figures{})); !found || diff != "" {
		t.Error(diff)
	}
	want = ticket.Figures{
		Name: "land", Tickets: 1, Active: 1, Overdue: 1, OpenRecords: 10,
		Within5: ticket.Share{Of: 1}, MeanAge: 9, MeanTime: -1,
	}
	got, found = report.Database("land")
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(ticket.Figures{})); !found || diff != "" {
		t.Error(diff)
	}
	if value, known := got.Within5.Value(); !known || value != 0 {
		t.Errorf("late and open: %v %v", value, known)
	}
	if _, known := got.Within10.Value(); known {
		t.Error("a share of nothing is known")
	}
	if report.All.Tickets != 3 || report.All.Closed != 2 {
		t.Errorf("all: %+v", report.All)
	}
	june := o.Figures(ticket.Period{From: at(t, "2025-06-10 00:00"), To: at(t, "2025-07-01 00:00")})
	if june.All.Closed != 1 {
		t.Errorf("%d closed in the period, want 1", june.All.Closed)
	}
}

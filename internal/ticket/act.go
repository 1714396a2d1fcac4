package ticket

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// Input is what a step comes with; Transition.Needs says which of it.
type Input struct {
	Note    string
	Cause   string
	Plan    string
	Handler string
	Until   time.Time // of a waiver
	// Revision is the one that the person saw; the step is refused when there is a newer one. 0: any.
	Revision int64
}

const maxText = 4000 // characters of a text that people write

// Actions is what an actor may do with a ticket as it stands, in the order of the table.
func (d *Desk) Actions(t *Ticket, actor Actor) []Transition {
	now := d.config.Now().UnixMicro()
	var lines []Transition
	for _, line := range Transitions() {
		if line.Side != Platform && t.may(&line, &actor, now) == nil {
			lines = append(lines, line)
		}
	}
	return lines
}

// Act takes a step on a ticket. Refusals are [lienthong.Error]s that say who may do what and when.
func (d *Desk) Act(ctx context.Context, id string, action Action, actor Actor, input Input) (Ticket, error) {
	line, found := transition(action)
	if !found {
		return Ticket{}, &lienthong.Error{
			Code: "ticket.action", Where: string(action),
			Vi: "không có bước này", En: "there is no such step",
		}
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	before, found := d.find(id)
	if !found {
		return Ticket{}, &lienthong.Error{
			Code: "ticket.unknown", Where: id,
			Vi: "không có phiếu này", En: "there is no such ticket",
		}
	}
	if input.Revision != 0 && input.Revision != before.Revision {
		return Ticket{}, &lienthong.Error{
			Code: lienthong.CodeDocumentConflict, Where: id,
			Vi: "phiếu đã thay đổi sau khi bạn mở", En: "the ticket has changed since you opened it",
			Hint: "tải lại trang rồi quyết định lại / load it again and decide anew",
		}
	}
	moment := d.config.Now()
	now := moment.UnixMicro()
	if err := before.may(&line, &actor, now); err != nil {
		return Ticket{}, err
	}
	if err := d.checkInput(&line, &input, moment, id); err != nil {
		return Ticket{}, err
	}
	t := before.clone()
	t.Last = LastStep{Action: action, By: actor.Name, Member: actor.Member, Note: input.Note}
	d.apply(t, &line, &actor, &input, now)
	if err := d.save(ctx, now, []*Ticket{t}); err != nil {
		return Ticket{}, err
	}
	return *t, nil
}

// apply changes a ticket by a step that is allowed and complete.
func (d *Desk) apply(t *Ticket, line *Transition, actor *Actor, input *Input, now int64) {
	if line.To != "" {
		t.Stage = line.To
	}
	answer := func(granted bool) *Answer {
		return &Answer{Granted: granted, By: actor.Name, Note: input.Note, At: now}
	}
	if t.Acknowledged == 0 && line.Side == OwnerSide {
		t.Acknowledged = now // whoever plans or appeals has seen it
	}
	switch line.Action {
	case Assign:
		t.Handler = input.Handler
	case SubmitPlan:
		t.Cause, t.Plan = input.Cause, input.Plan
		if t.PlannedAt == 0 {
			t.PlannedAt = now
		}
	case DeclareCorrected:
		t.Corrected = now
	case AskExtension:
		t.Extension = &Request{By: actor.Name, Member: actor.Member, Reason: input.Note, At: now}
	case GrantExtension, RefuseExtension:
		t.Extension.Answer = answer(line.Action == GrantExtension)
		if t.Extension.Answer.Granted {
			t.Clock.Extended = true
			d.reckon(t)
		}
	case AppealRule:
		t.Appeal = &Request{By: actor.Name, Member: actor.Member, Reason: input.Note, At: now}
	case RefuseAppeal:
		t.Appeal.Answer = answer(false)
	case Waive:
		t.Appeal.Answer = answer(true)
		t.Waiver = &Waiver{Reason: t.Appeal.Reason, By: actor.Name, At: now, Until: input.Until.UnixMicro()}
		d.end(t, WasWaived, now)
	case RevokeWaiver:
		t.begin(now)
		d.reckon(t)
	case AcceptSuspension, DeclineSuspension:
		t.Suspension.Answer = answer(line.Action == AcceptSuspension)
	default: // the stage and the note are all there is to it
	}
}

// end writes down that an opening is over.
func (d *Desk) end(t *Ticket, because Reason, now int64) {
	_, c := d.view()
	days, err := c.Age(time.UnixMicro(t.Clock.Began), time.UnixMicro(now))
	if err != nil {
		days = -1 // a year without holidays: the opening counts, its length does not
	}
	t.Cycles = append(t.Cycles, Cycle{Opened: t.Clock.Began, Closed: now, Days: days, Because: because})
	if extra := len(t.Cycles) - maxCycles; extra > 0 {
		t.Cycles = t.Cycles[extra:]
	}
	if t.SuspensionOpen() {
		t.Suspension.Withdrawn = now
	}
}

// checkInput refuses what is missing, too long or does not belong into a ticket. It trims texts.
func (d *Desk) checkInput(line *Transition, input *Input, now time.Time, id string) error {
	texts := []struct {
		need   Need
		text   *string
		vi, en string
	}{
		{NeedNote, &input.Note, "lý do hoặc ý kiến", "a reason or remark"},
		{NeedCause, &input.Cause, "nguyên nhân", "the cause"},
		{NeedPlan, &input.Plan, "phương án khắc phục", "the plan"},
		{NeedHandler, &input.Handler, "người xử lý", "who handles it"},
	}
	refuse := func(code, vi, en, hint string) error {
		return &lienthong.Error{Code: code, Vi: vi, En: en, Where: id + ", " + string(line.Action), Hint: hint}
	}
	for _, item := range texts {
		*item.text = strings.TrimSpace(*item.text)
		text := *item.text
		switch {
		case text == "" && line.needs(item.need):
			return refuse("ticket.needs", "thiếu "+item.vi, item.en+" is missing", "")
		case !utf8.ValidString(text) || strings.ContainsFunc(text, unprintable):
			return refuse("ticket.text", item.vi+" có ký tự không đọc được", item.en+" holds characters that cannot be read", "")
		case utf8.RuneCountInString(text) > maxText:
			return refuse("ticket.text", item.vi+" dài quá 4000 ký tự", item.en+" is longer than 4000 characters", "")
		case personalNumber(text):
			return refuse("ticket.personal", item.vi+" có dãy 12 chữ số giống số định danh cá nhân", item.en+" holds 12 digits in a row, which look like a personal number",
				"phiếu không chứa dữ liệu cá nhân; nêu mã bản ghi trong sổ làm việc / a ticket holds no personal data; name the record in the workbook")
		}
	}
	if line.needs(NeedUntil) {
		if !input.Until.After(now) || input.Until.Sub(now) > d.config.LongestWaiver {
			return refuse("ticket.until", "thời hạn miễn trừ phải ở tương lai và không quá mức cho phép", "a waiver must end in the future and within the longest time allowed",
				now.Add(d.config.LongestWaiver).UTC().Format(time.DateOnly))
		}
	}
	return nil
}

func (t *Transition) needs(need Need) bool {
	for _, n := range t.Needs {
		if n == need {
			return true
		}
	}
	return false
}

func unprintable(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }

// personalNumber finds twelve digits in a row, also written as four groups of three.
func personalNumber(text string) bool {
	group, threes, gap := 0, 0, false
	for _, r := range text + "\n" {
		switch {
		case r >= '0' && r <= '9':
			group++
			gap = false
			continue
		case group == 12, group == 3 && threes == 3:
			return true
		case group == 3:
			threes++
		case group > 0:
			threes = 0
		}
		separator := r == ' ' || r == '.' || r == '\u00a0'
		if !separator || gap {
			threes = 0
		}
		group, gap = 0, true
	}
	return false
}

package stewardship

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// Verdict is the opinion of an organisation in one word.
type Verdict string

// The verdicts.
const (
	Agree            Verdict = "agree"
	AgreeWithRemarks Verdict = "agree_with_remarks"
	Disagree         Verdict = "disagree"
)

// VerdictWord is a verdict with its name.
type VerdictWord struct {
	Verdict Verdict
	Word
}

// Verdicts lists the verdicts.
func Verdicts() []VerdictWord {
	return []VerdictWord{
		{Agree, Word{"nhất trí", "agree"}},
		{AgreeWithRemarks, Word{"nhất trí, có ý kiến bổ sung", "agree with remarks"}},
		{Disagree, Word{"không nhất trí", "disagree"}},
	}
}

// Opinion is what an organisation says in a consultation.
type Opinion struct {
	Member  lienthong.MemberCode `json:"member"`
	By      string               `json:"by"`
	Role    Role                 `json:"role"`
	At      int64                `json:"at"`
	Verdict Verdict              `json:"verdict"`
	Text    string               `json:"text,omitempty"`
}

// Round is one consultation.
type Round struct {
	Number     int                    `json:"number"`
	Cycle      int                    `json:"cycle"`
	Version    Version                `json:"version"`    // that it is about
	Submission int                    `json:"submission"` // of this version
	OpenedBy   string                 `json:"opened_by"`
	OpenedAt   int64                  `json:"opened_at"`
	Days       int                    `json:"days"` // working days
	ClosesAt   int64                  `json:"closes_at"`
	EndedAt    int64                  `json:"ended_at,omitempty"` // concluded, or the proposal went on without it
	Invited    []lienthong.MemberCode `json:"invited,omitempty"`  // empty: everybody
	Opinions   []Opinion              `json:"opinions,omitempty"` // one per organisation, the latest
}

// Missing are the invited organisations that have not answered.
func (r *Round) Missing() []lienthong.MemberCode {
	var missing []lienthong.MemberCode
	for _, m := range r.Invited {
		if !slices.ContainsFunc(r.Opinions, func(o Opinion) bool { return o.Member == m }) {
			missing = append(missing, m)
		}
	}
	return missing
}

// Over tells that nothing more has to be waited for: the closing date is past, or everybody who was
// invited has answered.
func (r *Round) Over(at int64) bool {
	return r.EndedAt != 0 || at >= r.ClosesAt || len(r.Invited) > 0 && len(r.Missing()) == 0
}

// opposed tells that an organisation disagrees.
func (r *Round) opposed() bool {
	return slices.ContainsFunc(r.Opinions, func(o Opinion) bool { return o.Verdict == Disagree })
}

const (
	fewestDays = 1
	mostDays   = 60
)

func (d *Desk) openRound(item *Item, by Person, o *Order) error {
	where := item.Kind + " " + item.ID
	if o.Days < fewestDays || o.Days > mostDays {
		return &lienthong.Error{
			Code: "stewardship.days", Where: where,
			Vi: fmt.Sprintf("thời hạn lấy ý kiến là %d đến %d ngày làm việc", fewestDays, mostDays),
			En: fmt.Sprintf("a consultation lasts %d to %d working days", fewestDays, mostDays),
		}
	}
	if d.config.Deadline == nil {
		return &lienthong.Error{
			Code: "stewardship.calendar", Where: where,
			Vi: "chưa có lịch ngày làm việc nên không đặt được hạn lấy ý kiến", En: "without a calendar of working days a consultation has no closing date",
		}
	}
	now := d.config.Now()
	closes, err := d.config.Deadline(now, o.Days)
	if err != nil {
		return fmt.Errorf("find the closing date %d working days from now: %w", o.Days, err)
	}
	var invited []lienthong.MemberCode
	for _, m := range o.Invited {
		if !slices.Contains(invited, m) && m != "" {
			invited = append(invited, m)
		}
	}
	item.Rounds = append(item.Rounds, Round{
		Number: len(item.Rounds) + 1, Cycle: item.Cycle, Version: item.Version, Submission: item.Submission, OpenedBy: by.Name,
		OpenedAt: now.UnixMicro(), Days: o.Days, ClosesAt: closes.UnixMicro(), Invited: invited,
	})
	return nil
}

// endRound ends the consultation that runs, if any.
func (d *Desk) endRound(_ *Kind, item *Item, _ Role) error {
	if n := len(item.Rounds); n > 0 && item.Rounds[n-1].EndedAt == 0 {
		item.Rounds[n-1].EndedAt = d.now()
	}
	return nil
}

// roundOver refuses to go on while a consultation runs.
func (d *Desk) roundOver(item *Item) error {
	round, ran := item.Round()
	if !ran || round.Over(d.now()) {
		return nil
	}
	closes := time.UnixMicro(round.ClosesAt).In(time.FixedZone("+07", 7*3600)).Format("02/01/2006 15:04")
	return &lienthong.Error{
		Code: "stewardship.consultation", Where: item.Kind + " " + item.ID,
		Vi:   "đang lấy ý kiến đến " + closes,
		En:   "the consultation runs until " + closes,
		Hint: "chờ đến hạn, hoặc đến khi mọi cơ quan được mời đã trả lời / wait for the date, or until everybody invited has answered",
	}
}

// approvable refuses what cannot be approved yet.
func (d *Desk) approvable(k *Kind, item *Item, note string) error {
	where := item.Kind + " " + item.ID
	if open := item.OpenRequests(); len(open) > 0 {
		return &lienthong.Error{
			Code: "stewardship.requests", Where: where,
			Vi:   fmt.Sprintf("còn %d góp ý yêu cầu sửa chưa được giải quyết", len(open)),
			En:   fmt.Sprintf("%s for a change not settled yet", count(len(open), "request")),
			Hint: "trả lại để sửa, hoặc đóng góp ý / return it for changes, or resolve the comments",
		}
	}
	if err := d.roundOver(item); err != nil {
		return err
	}
	round, ran := item.Round()
	switch {
	case k.Consult && !ran:
		return &lienthong.Error{
			Code: "stewardship.consultation_needed", Where: where,
			Vi: "loại mục này phải lấy ý kiến trước khi phê duyệt", En: "this kind of item needs a consultation before it is approved",
			Hint: "mở lấy ý kiến / open a consultation",
		}
	case ran && round.opposed() && strings.TrimSpace(note) == "":
		return &lienthong.Error{
			Code: "stewardship.opposed", Where: where,
			Vi: "có cơ quan không nhất trí: cần ghi lý do phê duyệt", En: "an organisation disagrees: say why it is approved nevertheless",
		}
	}
	return complete(k, item)
}

// Opine records the opinion of the person's organisation. A later one takes the place of an earlier one.
func (d *Desk) Opine(ctx context.Context, by Person, kind, id string, verdict Verdict, text string) (Item, error) {
	text = strings.TrimSpace(text)
	return d.join(ctx, by, kind, id, ToOpine, func(item *Item, role Role) error {
		where := kind + " " + id
		if item.State != Consult {
			word := item.State.Word()
			return &lienthong.Error{
				Code: "stewardship.no_consultation", Where: where,
				Vi: "mục không trong thời gian lấy ý kiến: " + word.Vi, En: "no consultation is open: " + word.En,
			}
		}
		round := &item.Rounds[len(item.Rounds)-1]
		switch {
		case d.now() >= round.ClosesAt:
			return &lienthong.Error{
				Code: "stewardship.consultation_closed", Where: where,
				Vi: "đã hết hạn lấy ý kiến", En: "the consultation is closed",
			}
		case len(round.Invited) > 0 && !slices.Contains(round.Invited, by.Member):
			return &lienthong.Error{
				Code: "stewardship.not_invited", Where: where,
				Vi: "cơ quan không thuộc diện được lấy ý kiến", En: "the organisation was not asked", Hint: "góp ý thay cho ý kiến chính thức / comment instead",
			}
		case !slices.ContainsFunc(Verdicts(), func(w VerdictWord) bool { return w.Verdict == verdict }):
			return &lienthong.Error{
				Code: "stewardship.verdict", Where: where,
				Vi: "ý kiến phải là nhất trí, nhất trí có bổ sung, hoặc không nhất trí", En: "an opinion is agree, agree_with_remarks or disagree",
			}
		case verdict != Agree && text == "":
			return &lienthong.Error{
				Code: "stewardship.reason", Where: where,
				Vi: "cần ghi rõ nội dung ý kiến", En: "say what the opinion is",
			}
		}
		if err := tooLong(where, text); err != nil {
			return err
		}
		round.Opinions = slices.DeleteFunc(round.Opinions, func(o Opinion) bool { return o.Member == by.Member })
		round.Opinions = append(round.Opinions, Opinion{
			Member: by.Member, By: by.Name, Role: role, At: d.now(), Verdict: verdict, Text: text,
		})
		return nil
	})
}

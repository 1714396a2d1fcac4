package ticket

import (
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

// Action is a step of a ticket.
type Action string

// The steps of people.
const (
	Acknowledge       Action = "acknowledge"
	Assign            Action = "assign"
	SubmitPlan        Action = "plan"
	StartCorrecting   Action = "correct"
	DeclareCorrected  Action = "corrected"
	AskExtension      Action = "ask_extension"
	GrantExtension    Action = "grant_extension"
	RefuseExtension   Action = "refuse_extension"
	AppealRule        Action = "appeal"
	Waive             Action = "waive"
	RefuseAppeal      Action = "refuse_appeal"
	RevokeWaiver      Action = "revoke_waiver"
	AcceptSuspension  Action = "accept_suspension"
	DeclineSuspension Action = "decline_suspension"
	Comment           Action = "comment"
)

// The steps of the platform.
const (
	Open              Action = "open"
	Count             Action = "count"
	Return            Action = "return"
	Close             Action = "close"
	Reopen            Action = "reopen"
	Transfer          Action = "transfer"
	Escalate          Action = "escalate"
	ProposeSuspension Action = "propose_suspension"
	EndWaiver         Action = "end_waiver"
	Reckon            Action = "reckon"
)

// Side says who takes a step.
type Side string

// The sides.
const (
	OwnerSide  Side = "owner"    // people of the member that owns the source, or of a body above it
	CentreSide Side = "centre"   // people who decide on what the owner asks
	Either     Side = "either"   // both
	Platform   Side = "platform" // nobody: it follows from figures and dates
)

// Need is what a step must come with.
type Need string

// The needs.
const (
	NeedNote    Need = "note"
	NeedCause   Need = "cause"
	NeedPlan    Need = "plan"
	NeedHandler Need = "handler"
	NeedUntil   Need = "until"
)

// The roles that are named here. Package stewardship defines them.
const (
	roleOwner    = "owner"
	roleSteward  = "steward"
	roleReviewer = "reviewer"
	roleApprover = "approver"
	roleEngineer = "engineer"
)

// Transition is one line of the table of what can happen to a ticket.
type Transition struct {
	Action Action
	From   []Stage
	To     Stage // empty: the stage stays
	Side   Side
	Roles  []string // one of them is enough
	Needs  []Need
	Vi, En string
}

// Transitions is everything that can happen to a ticket. That a ticket is closed only by the
// platform, when the re-check finds nothing, is one of its lines.
func Transitions() []Transition {
	owners := []string{roleOwner, roleSteward, roleEngineer}
	running := []Stage{Opened, Acknowledged, Planned, Correcting, Verifying}
	note := []Need{NeedNote}
	return []Transition{
		{Acknowledge, []Stage{Opened}, Acknowledged, OwnerSide, owners, nil, "Tiếp nhận", "Acknowledge"},
		{Assign, running, "", OwnerSide, owners, []Need{NeedHandler}, "Giao người xử lý", "Assign"},
		{SubmitPlan, []Stage{Opened, Acknowledged, Planned}, Planned, OwnerSide, owners, []Need{NeedCause, NeedPlan}, "Ghi nguyên nhân và phương án", "Give cause and plan"},
		{StartCorrecting, []Stage{Planned}, Correcting, OwnerSide, owners, nil, "Bắt đầu sửa tại nguồn", "Start correcting"},
		{DeclareCorrected, []Stage{Planned, Correcting}, Verifying, OwnerSide, owners, nil, "Báo đã sửa xong", "Say that it is done"},
		{AskExtension, []Stage{Planned, Correcting, Verifying}, "", OwnerSide, []string{roleOwner, roleEngineer}, note, "Xin gia hạn để xác minh thực địa", "Ask for more time for field verification"},
		{GrantExtension, []Stage{Planned, Correcting, Verifying}, "", CentreSide, []string{roleReviewer, roleApprover}, note, "Cho gia hạn", "Grant more time"},
		{RefuseExtension, []Stage{Planned, Correcting, Verifying}, "", CentreSide, []string{roleReviewer, roleApprover}, note, "Không cho gia hạn", "Refuse more time"},
		{AppealRule, running, "", OwnerSide, []string{roleOwner, roleSteward}, note, "Khiếu nại quy tắc sai", "Appeal against the rule"},
		{Waive, running, Waived, CentreSide, []string{roleApprover}, []Need{NeedNote, NeedUntil}, "Miễn trừ có thời hạn", "Waive until a date"},
		{RefuseAppeal, running, "", CentreSide, []string{roleApprover}, note, "Bác khiếu nại", "Refuse the appeal"},
		{RevokeWaiver, []Stage{Waived}, Opened, CentreSide, []string{roleApprover}, note, "Thu hồi miễn trừ", "Revoke the waiver"},
		{AcceptSuspension, running, "", CentreSide, []string{roleApprover}, note, "Đồng ý tạm dừng đồng bộ (thực hiện ngoài hệ thống)", "Accept the suspension (carried out by people)"},
		{DeclineSuspension, running, "", CentreSide, []string{roleApprover}, note, "Không tạm dừng đồng bộ", "Decline the suspension"},
		{Comment, Stages(), "", Either, []string{roleOwner, roleSteward, roleEngineer, roleReviewer, roleApprover}, note, "Ghi ý kiến", "Comment"},

		{Open, nil, Opened, Platform, nil, nil, "Mở phiếu", "Opened by findings"},
		{Count, Stages(), "", Platform, nil, nil, "Cập nhật số lượng", "Counted again"},
		{Return, []Stage{Verifying}, Correcting, Platform, nil, nil, "Kiểm tra lại vẫn còn lỗi", "The re-check still finds errors"},
		{Close, running, Closed, Platform, nil, nil, "Tự đóng: kiểm tra lại không còn lỗi", "Closed by itself: the re-check finds none"},
		{Reopen, []Stage{Closed}, Opened, Platform, nil, nil, "Mở lại: lỗi tái diễn", "Reopened: the errors are back"},
		{Transfer, Stages(), "", Platform, nil, nil, "Chuyển cơ quan chủ quản", "Passed to a new owner"},
		{Escalate, running, "", Platform, nil, nil, "Báo cáo cấp trên", "Escalated"},
		{ProposeSuspension, running, "", Platform, nil, nil, "Đề xuất tạm dừng đồng bộ", "Suspension proposed"},
		{EndWaiver, []Stage{Waived}, Opened, Platform, nil, nil, "Hết hạn miễn trừ", "The waiver has run out"},
		{Reckon, running, "", Platform, nil, nil, "Tính lại thời hạn theo lịch nghỉ mới", "Terms counted by the new calendar"},
	}
}

// transition finds the line of an action.
func transition(action Action) (Transition, bool) {
	table := Transitions()
	i := slices.IndexFunc(table, func(t Transition) bool { return t.Action == action })
	if i < 0 {
		return Transition{}, false
	}
	return table[i], true
}

// Label is the action in words.
func (a Action) Label() (vi, en string) {
	t, found := transition(a)
	if !found {
		return string(a), string(a)
	}
	return t.Vi, t.En
}

// Actor is who takes a step.
type Actor struct {
	Name   string
	Member lienthong.MemberCode
	Roles  []string
}

func (a *Actor) has(roles []string) bool {
	return slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(a.Roles, role) })
}

// may says why an actor may not take a step on a ticket as it stands; nil when they may.
func (t *Ticket) may(line *Transition, actor *Actor, now int64) error {
	refuse := func(code, vi, en, hint string) error {
		return &lienthong.Error{Code: code, Vi: vi, En: en, Where: t.ID + ", " + string(line.Action), Hint: hint}
	}
	stageVi, stageEn := t.Stage.Label()
	switch {
	case line.Side == Platform:
		return refuse("ticket.platform", "bước này do hệ thống tự làm theo số liệu và thời hạn", "this step follows from figures and dates alone",
			"phiếu tự đóng khi kiểm tra lại không còn lỗi / a ticket closes by itself when the re-check finds no error")
	case !actor.has(line.Roles):
		return refuse("ticket.role", "vai trò của bạn không được làm bước này", "your role may not take this step",
			"cần một trong các vai trò / one of these roles is needed: "+strings.Join(line.Roles, ", "))
	case line.Side == OwnerSide && !within(t.Owner, actor.Member):
		return refuse("ticket.member", "chỉ cơ quan chủ quản nguồn được làm bước này", "only people of the owner of the source may take this step", string(t.Owner))
	case !slices.Contains(line.From, t.Stage):
		from := make([]string, len(line.From))
		for i, stage := range line.From {
			vi, en := stage.Label()
			from[i] = vi + " / " + en
		}
		return refuse("ticket.transition", "phiếu đang ở bước “"+stageVi+"” nên không làm được việc này", "the ticket is in the stage “"+stageEn+"”, in which this cannot be done",
			"chỉ làm được khi / possible only in: "+strings.Join(from, "; "))
	}
	return t.condition(line, actor, now, refuse)
}

// condition is what the table cannot say: requests and their answers belong together, and
// nobody decides on what they asked for themselves.
func (t *Ticket) condition(line *Transition, actor *Actor, now int64, refuse func(code, vi, en, hint string) error) error {
	nothing := func(vi, en string) error { return refuse("ticket.nothing_to_decide", vi, en, "") }
	ownWords := func(r *Request) error {
		if strings.EqualFold(strings.TrimSpace(r.By), strings.TrimSpace(actor.Name)) && r.Member == actor.Member {
			return refuse("ticket.four_eyes", "người đề nghị không được tự quyết định", "nobody decides on their own request", "người khác có thẩm quyền quyết định / another person decides")
		}
		return nil
	}
	switch line.Action {
	case AskExtension:
		switch {
		case t.Extension != nil:
			return refuse("ticket.extension", "mỗi lần mở phiếu chỉ xin gia hạn một lần", "more time can be asked for only once per opening", "")
		case t.Clock.Correct != 0 && now > t.Clock.Correct:
			return refuse("ticket.extension", "đã quá hạn sửa nên không xin gia hạn được nữa", "the term has passed, so it cannot be extended", "")
		}
	case GrantExtension, RefuseExtension:
		if !t.Extension.pending() {
			return nothing("không có đề nghị gia hạn đang chờ", "no request for more time is waiting")
		}
		return ownWords(t.Extension)
	case AppealRule:
		if t.Appeal.pending() {
			return refuse("ticket.appeal", "khiếu nại trước đang chờ quyết định", "an appeal is already waiting", "")
		}
	case Waive, RefuseAppeal:
		if !t.Appeal.pending() {
			return nothing("không có khiếu nại đang chờ; cơ quan chủ quản khiếu nại trước", "no appeal is waiting; the owner appeals first")
		}
		return ownWords(t.Appeal)
	case AcceptSuspension, DeclineSuspension:
		if !t.SuspensionOpen() {
			return nothing("không có đề xuất tạm dừng đang chờ", "no proposal to suspend is waiting")
		}
	default:
	}
	return nil
}

package stewardship

import (
	"slices"
	"strings"
)

// State is where a version of an item stands.
type State string

// The states.
const (
	Draft      State = "draft"
	Proposed   State = "proposed"
	Review     State = "review"
	Consult    State = "consult"
	Approved   State = "approved"
	Published  State = "published"
	Rejected   State = "rejected"
	Withdrawn  State = "withdrawn"
	Superseded State = "superseded" // a later version is in force
	Retired    State = "retired"    // no version is in force any more
)

// StateWord is a state with its name.
type StateWord struct {
	State State
	Word
}

// States lists the states in the order of the life cycle.
func States() []StateWord {
	return []StateWord{
		{Draft, Word{"bản nháp", "draft"}},
		{Proposed, Word{"đã đề xuất", "proposed"}},
		{Review, Word{"đang thẩm định", "under review"}},
		{Consult, Word{"đang lấy ý kiến", "in consultation"}},
		{Approved, Word{"đã phê duyệt", "approved"}},
		{Published, Word{"đã công bố", "published"}},
		{Rejected, Word{"bị từ chối", "rejected"}},
		{Withdrawn, Word{"đã rút", "withdrawn"}},
		{Superseded, Word{"đã được thay thế", "superseded"}},
		{Retired, Word{"ngừng hiệu lực", "retired"}},
	}
}

// Word is the state's name.
func (s State) Word() Word {
	for _, known := range States() {
		if known.State == s {
			return known.Word
		}
	}
	return Word{string(s), string(s)}
}

// Open tells that people still work on the version.
func (s State) Open() bool {
	switch s {
	case Draft, Proposed, Review, Consult, Approved:
		return true
	case Published, Rejected, Withdrawn, Superseded, Retired:
	}
	return false
}

// Action is what somebody does with an item.
type Action string

// The actions. The last three leave the state as it is.
const (
	ToDraft     Action = "draft"
	ToEdit      Action = "edit"
	ToSubmit    Action = "submit"
	ToReview    Action = "review"
	ToReturn    Action = "return"
	ToConsult   Action = "consult"
	ToConclude  Action = "conclude"
	ToApprove   Action = "approve"
	ToReject    Action = "reject"
	ToPublish   Action = "publish"
	ToWithdraw  Action = "withdraw"
	ToSupersede Action = "supersede"
	ToRetire    Action = "retire"
	ToComment   Action = "comment"
	ToResolve   Action = "resolve"
	ToOpine     Action = "opine"
)

// ActionWord is an action with its name.
type ActionWord struct {
	Action Action
	Word
}

// Actions lists all actions.
func Actions() []ActionWord {
	return []ActionWord{
		{ToDraft, Word{"soạn bản nháp", "draft"}},
		{ToEdit, Word{"sửa", "edit"}},
		{ToSubmit, Word{"gửi đề xuất", "submit"}},
		{ToReview, Word{"nhận thẩm định", "take for review"}},
		{ToReturn, Word{"trả lại để sửa", "return for changes"}},
		{ToConsult, Word{"mở lấy ý kiến", "open a consultation"}},
		{ToConclude, Word{"kết thúc lấy ý kiến", "conclude the consultation"}},
		{ToApprove, Word{"phê duyệt", "approve"}},
		{ToReject, Word{"từ chối", "reject"}},
		{ToPublish, Word{"công bố", "publish"}},
		{ToWithdraw, Word{"rút đề xuất", "withdraw"}},
		{ToSupersede, Word{"thay thế", "supersede"}},
		{ToRetire, Word{"cho ngừng hiệu lực", "retire"}},
		{ToComment, Word{"góp ý", "comment"}},
		{ToResolve, Word{"đóng góp ý", "resolve a comment"}},
		{ToOpine, Word{"cho ý kiến chính thức", "give an opinion"}},
	}
}

// Word is the action's name.
func (a Action) Word() Word {
	for _, known := range Actions() {
		if known.Action == a {
			return known.Word
		}
	}
	return Word{string(a), string(a)}
}

// Transition is one row of the life cycle.
type Transition struct {
	From     State // empty: nothing is there yet
	Action   Action
	To       State
	Roles    []Role // none: only the platform itself
	Own      bool   // only people of the organisation that proposes
	FourEyes bool   // nobody who wrote a part of the version
	Comment  bool   // a reason must be given
}

// Transitions is the life cycle. Nothing else moves an item.
func Transitions() []Transition {
	authors := []Role{Owner, Steward, Engineer}
	readers := []Role{Reviewer, Approver}
	approver := []Role{Approver}
	return []Transition{
		{From: "", Action: ToDraft, To: Draft, Roles: authors},
		{From: Draft, Action: ToEdit, To: Draft, Roles: authors, Own: true},
		{From: Draft, Action: ToSubmit, To: Proposed, Roles: authors, Own: true},
		{From: Draft, Action: ToWithdraw, To: Withdrawn, Roles: authors, Own: true, Comment: true},
		{From: Proposed, Action: ToReview, To: Review, Roles: readers, FourEyes: true},
		{From: Proposed, Action: ToReturn, To: Draft, Roles: readers, Comment: true},
		{From: Proposed, Action: ToWithdraw, To: Withdrawn, Roles: authors, Own: true, Comment: true},
		{From: Review, Action: ToConsult, To: Consult, Roles: readers},
		{From: Review, Action: ToReturn, To: Draft, Roles: readers, Comment: true},
		{From: Review, Action: ToApprove, To: Approved, Roles: approver, FourEyes: true},
		{From: Review, Action: ToReject, To: Rejected, Roles: approver, FourEyes: true, Comment: true},
		{From: Review, Action: ToWithdraw, To: Withdrawn, Roles: authors, Own: true, Comment: true},
		{From: Consult, Action: ToConclude, To: Review, Roles: readers},
		{From: Consult, Action: ToReturn, To: Draft, Roles: readers, Comment: true},
		{From: Consult, Action: ToApprove, To: Approved, Roles: approver, FourEyes: true},
		{From: Consult, Action: ToReject, To: Rejected, Roles: approver, FourEyes: true, Comment: true},
		{From: Consult, Action: ToWithdraw, To: Withdrawn, Roles: authors, Own: true, Comment: true},
		{From: Approved, Action: ToReturn, To: Draft, Roles: approver, Comment: true},
		{From: Approved, Action: ToPublish, To: Published, Roles: []Role{Approver, Steward}},
		{From: Approved, Action: ToWithdraw, To: Withdrawn, Roles: authors, Own: true, Comment: true},
		{From: Published, Action: ToSupersede, To: Superseded},
		{From: Published, Action: ToDraft, To: Draft, Roles: authors},
		{From: Published, Action: ToRetire, To: Retired, Roles: approver, Comment: true},
		{From: Rejected, Action: ToDraft, To: Draft, Roles: authors},
		{From: Withdrawn, Action: ToDraft, To: Draft, Roles: authors},
		{From: Retired, Action: ToDraft, To: Draft, Roles: authors},
	}
}

// find returns the row for an action in a state.
func find(from State, action Action) (Transition, bool) {
	all := Transitions()
	i := slices.IndexFunc(all, func(t Transition) bool { return t.From == from && t.Action == action })
	if i < 0 {
		return Transition{}, false
	}
	return all[i], true
}

// possible says in words what can be done in a state, and who may do it.
func possible(from State) Word {
	var vi, en []string
	for _, t := range Transitions() {
		if t.From == from && len(t.Roles) > 0 {
			action, roles := t.Action.Word(), roleNames(t.Roles)
			vi, en = append(vi, action.Vi+" ("+roles.Vi+")"), append(en, action.En+" ("+roles.En+")")
		}
	}
	if len(vi) == 0 {
		return Word{"không làm gì thêm được", "nothing more can be done"}
	}
	return Word{strings.Join(vi, "; "), strings.Join(en, "; ")}
}

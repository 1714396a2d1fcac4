package stewardship

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// Comment is one entry of the discussion of an item.
type Comment struct {
	ID         int                  `json:"id"`
	Answers    int                  `json:"answers,omitempty"` // the comment that it replies to
	Cycle      int                  `json:"cycle"`
	Version    Version              `json:"version"` // that it is about
	Author     string               `json:"author"`
	Member     lienthong.MemberCode `json:"member,omitempty"`
	Role       Role                 `json:"role"`
	At         int64                `json:"at"`
	Where      string               `json:"where,omitempty"` // the place in the content
	Text       string               `json:"text"`
	Change     bool                 `json:"change,omitempty"` // it asks for a change: approval waits
	ResolvedBy string               `json:"resolved_by,omitempty"`
	ResolvedAt int64                `json:"resolved_at,omitempty"`
	Outcome    string               `json:"outcome,omitempty"` // how it was settled
}

// Remark is a comment as it is written.
type Remark struct {
	Answers int
	Where   string
	Text    string
	Change  bool
}

// Permission is what roles may do beside the life cycle.
type Permission struct {
	Action Action
	Roles  []Role
	Vi     string
	En     string
}

// Permissions lists what does not move an item.
func Permissions() []Permission {
	everybody := []Role{Owner, Steward, Engineer, Reviewer, Approver}
	return []Permission{
		{ToComment, everybody, "góp ý; người thẩm định, người phê duyệt và quản trị dữ liệu được yêu cầu sửa", "comment; reviewers, approvers and data stewards may ask for a change"},
		{ToResolve, everybody, "đóng góp ý của mình; người thẩm định và người phê duyệt đóng góp ý của mọi người, trừ khi họ soạn đề xuất", "resolve one's own comments; reviewers and approvers those of others, unless they wrote the proposal"},
		{ToOpine, everybody, "cho ý kiến chính thức của cơ quan mình khi đang lấy ý kiến", "give the opinion of one's organisation in a consultation"},
	}
}

// mayAskForChanges are the roles whose comments approval waits for.
func mayAskForChanges() []Role { return []Role{Reviewer, Approver, Steward} }

// maxText bounds a comment, in characters.
const maxText = 4000

// Comment adds to the discussion.
func (d *Desk) Comment(ctx context.Context, by Person, kind, id string, r Remark) (Item, error) {
	r.Text = strings.TrimSpace(r.Text)
	return d.join(ctx, by, kind, id, ToComment, func(item *Item, role Role) error {
		where := kind + " " + id
		switch {
		case r.Text == "":
			return &lienthong.Error{Code: "stewardship.reason", Where: where, Vi: "góp ý chưa có nội dung", En: "the comment is empty"}
		case r.Answers != 0 && item.comment(r.Answers) == nil:
			return noComment(where)
		case r.Change && !by.Has(mayAskForChanges()...):
			roles := roleNames(mayAskForChanges())
			return &lienthong.Error{
				Code: "stewardship.role", Where: where,
				Vi: "chỉ " + roles.Vi + " được yêu cầu sửa", En: "only these may ask for a change: " + roles.En,
				Hint: "gửi như góp ý thường / send it as a plain comment",
			}
		case r.Change && !item.State.Open():
			word := item.State.Word()
			return &lienthong.Error{
				Code: "stewardship.transition", Where: where,
				Vi: "không thể yêu cầu sửa: mục " + word.Vi, En: "no change can be asked for: the item is " + word.En,
				Hint: "soạn phiên bản mới / draft a new version",
			}
		}
		if err := tooLong(where, r.Text); err != nil {
			return err
		}
		if r.Change {
			role = by.as(mayAskForChanges())
		}
		item.Comments = append(item.Comments, Comment{
			ID: len(item.Comments) + 1, Answers: r.Answers, Cycle: item.Cycle, Version: item.Version, Author: by.Name, Member: by.Member,
			Role: role, At: d.now(), Where: r.Where, Text: r.Text, Change: r.Change,
		})
		return nil
	})
}

// Resolve settles a comment. The outcome says how.
func (d *Desk) Resolve(ctx context.Context, by Person, kind, id string, comment int, outcome string) (Item, error) {
	return d.join(ctx, by, kind, id, ToResolve, func(item *Item, _ Role) error {
		where := kind + " " + id
		c := item.comment(comment)
		switch {
		case c == nil:
			return noComment(where)
		case c.ResolvedAt != 0:
			return &lienthong.Error{Code: "stewardship.resolved", Where: where, Vi: "góp ý đã được đóng", En: "the comment is resolved already"}
		case sameName(c.Author, by.Name):
		case !by.Has(Reviewer, Approver):
			return &lienthong.Error{
				Code: "stewardship.role", Where: where,
				Vi: "chỉ người góp ý, người thẩm định hoặc người phê duyệt được đóng góp ý",
				En: "only its author, a reviewer or an approver may resolve a comment",
			}
		case item.WrittenBy(by.Name):
			return &lienthong.Error{
				Code: "stewardship.four_eyes", Where: where,
				Vi: "người soạn đề xuất không được đóng góp ý của người khác", En: "whoever wrote the proposal may not resolve the comments of others",
			}
		}
		if err := tooLong(where, outcome); err != nil {
			return err
		}
		c.ResolvedBy, c.ResolvedAt, c.Outcome = by.Name, d.now(), strings.TrimSpace(outcome)
		return nil
	})
}

func (i *Item) comment(id int) *Comment {
	n := slices.IndexFunc(i.Comments, func(c Comment) bool { return c.ID == id })
	if n < 0 {
		return nil
	}
	return &i.Comments[n]
}

// attempts bounds how often a step that fits beside any other one is tried again.
const attempts = 8

// join takes a step that leaves state and content as they are, so it fits beside whatever others do at the
// same moment: on a conflict it is simply taken again.
func (d *Desk) join(ctx context.Context, by Person, kind, id string, action Action, change func(*Item, Role) error) (Item, error) {
	k, err := d.kind(kind)
	if err != nil {
		return Item{}, err
	}
	row := slices.IndexFunc(Permissions(), func(p Permission) bool { return p.Action == action })
	roles := Permissions()[row].Roles
	role := by.as(roles)
	if role == "" {
		word, names := action.Word(), roleNames(roles)
		return Item{}, &lienthong.Error{
			Code: "stewardship.role", Where: kind + " " + id,
			Vi: "chỉ " + names.Vi + " được " + word.Vi, En: "only these may " + word.En + ": " + names.En,
		}
	}
	for n := 1; ; n++ {
		item, err := d.load(ctx, kind, id)
		if err != nil {
			return Item{}, err
		}
		if err := change(&item, role); err != nil {
			return Item{}, err
		}
		saved, err := d.save(ctx, k, item, by.Name, role, action, "")
		if lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict || n == attempts {
			return saved, err
		}
	}
}

func noComment(where string) error {
	return &lienthong.Error{Code: "stewardship.no_comment", Where: where, Vi: "không có góp ý này", En: "there is no such comment"}
}

func tooLong(where, text string) error {
	if utf8.RuneCountInString(text) <= maxText {
		return nil
	}
	return &lienthong.Error{Code: "stewardship.long", Where: where, Vi: "nội dung dài hơn 4.000 ký tự", En: "the text is longer than 4,000 characters"}
}

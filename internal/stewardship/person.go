package stewardship

import (
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Role is what a person may do on behalf of an organisation.
type Role string

// The roles.
const (
	Owner    Role = "owner"
	Steward  Role = "steward"
	Reviewer Role = "reviewer"
	Approver Role = "approver"
	Engineer Role = "engineer"
	Viewer   Role = "viewer"
)

// Word is a word in both languages.
type Word struct {
	Vi string `json:"vi"`
	En string `json:"en"`
}

// RoleWord is a role with its name.
type RoleWord struct {
	Role Role
	Word
}

// Roles lists the roles in the order in which an item meets them.
func Roles() []RoleWord {
	return []RoleWord{
		{Owner, Word{"chủ quản cơ sở dữ liệu", "database owner"}},
		{Steward, Word{"quản trị dữ liệu", "data steward"}},
		{Engineer, Word{"tổng công trình sư", "chief engineer"}},
		{Reviewer, Word{"người thẩm định", "reviewer"}},
		{Approver, Word{"người phê duyệt", "approver"}},
		{Viewer, Word{"người xem", "viewer"}},
	}
}

// Word is the role's name.
func (r Role) Word() Word {
	for _, known := range Roles() {
		if known.Role == r {
			return known.Word
		}
	}
	return Word{string(r), string(r)}
}

// Person is somebody who acts. Name is the account's name: two people never share one, and
// nobody has two.
type Person struct {
	Name   string
	Member lienthong.MemberCode
	Roles  []Role
}

// Has tells whether the person has one of the roles.
func (p Person) Has(roles ...Role) bool {
	return slices.ContainsFunc(p.Roles, func(r Role) bool { return slices.Contains(roles, r) })
}

// as is the role in which the person may use a row of the table.
func (p Person) as(roles []Role) Role {
	for _, r := range p.Roles {
		if slices.Contains(roles, r) {
			return r
		}
	}
	return ""
}

// sameName compares account names. Another spelling of the same letters is the same person: it would be an
// easy way around the rule of four eyes.
func sameName(a, b string) bool { return dictionary.MatchKey(a) == dictionary.MatchKey(b) }

// roleNames writes roles for a sentence.
func roleNames(roles []Role) Word {
	vi, en := make([]string, 0, len(roles)), make([]string, 0, len(roles))
	for _, r := range roles {
		w := r.Word()
		vi, en = append(vi, w.Vi), append(en, w.En)
	}
	return Word{strings.Join(vi, ", "), strings.Join(en, ", ")}
}

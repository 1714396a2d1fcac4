package lienthong

import (
	"strings"
)

// Bloc is a branch of the political system (khối).
type Bloc string

// The blocs that the platform connects.
const (
	Government     Bloc = "government"
	Party          Bloc = "party"
	Assembly       Bloc = "assembly"
	Presidency     Bloc = "presidency"
	Court          Bloc = "court"
	Procuracy      Bloc = "procuracy"
	StateAudit     Bloc = "audit"
	Front          Bloc = "front"
	SocioPolitical Bloc = "sociopolitical"
)

// MemberCode is the electronic identifier of an organisation in its short form,
// read from left to right: "G01", "H12", "G09.20".
type MemberCode string

// Member is an organisation that takes part (cơ quan).
type Member struct {
	Code     MemberCode
	NameVi   string
	NameEn   string
	Bloc     Bloc
	Level    string // "central", "province" or "commune"
	Official bool   // false: a provisional code of ours, to be replaced by the official one
}

// ParseMemberCode reads either written form of an electronic identifier: the
// short one of Decision 20/2020/QD-TTg ("G09.20") and the older one of QCVN
// 102:2016 ("000.00.20.G09"), whose parts run from the smallest unit to the
// largest and are padded with zeros. Case and surrounding space are forgiven.
// Codes of organisations that have no official code yet ("TANDTC") are accepted
// as they are.
func ParseMemberCode(s string) (MemberCode, error) {
	code := strings.ToUpper(strings.TrimSpace(s))
	bad := func() (MemberCode, error) {
		return "", &Error{
			Code: "member.code", Where: s,
			Vi: "mã định danh điện tử không đúng dạng", En: "not an electronic identifier",
			Hint: "viết H49, G09.20 hoặc 000.00.00.H49 / write H49, G09.20 or 000.00.00.H49",
		}
	}
	if code == "" || len(code) > 32 {
		return bad()
	}
	parts := strings.Split(code, ".")
	if first := parts[0]; len(parts) == 4 && allDigits(first) && len(first) == 3 {
		// Old form: reverse, and drop the zero parts, which stand for "none".
		short := []string{parts[3]}
		rest := []string{parts[2], parts[1], first}
		for len(rest) > 0 && strings.Trim(rest[len(rest)-1], "0") == "" {
			rest = rest[:len(rest)-1]
		}
		parts = append(short, rest...)
	}
	if !startsWithLetter(parts[0]) {
		return bad()
	}
	for _, part := range parts {
		if part == "" || !alphanumeric(part) {
			return bad()
		}
	}
	return MemberCode(strings.Join(parts, ".")), nil
}

// LongForm writes the code as QCVN 102:2016 does: "000.00.00.H49".
func (c MemberCode) LongForm() string {
	parts := strings.Split(string(c), ".")
	long := []string{"000", "00", "00", parts[0]}
	for i, part := range parts[1:] {
		if i < 3 {
			long[2-i] = part
		}
	}
	return strings.Join(long, ".")
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func startsWithLetter(s string) bool { return s != "" && s[0] >= 'A' && s[0] <= 'Z' }

func alphanumeric(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

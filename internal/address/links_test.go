package address

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lienthong/lienthong/internal/dictionary"
	"golang.org/x/text/unicode/norm"
)

// spelling writes the parts of an address in one of the ways that people do.
type spelling struct {
	name  string
	write func(commune, district, province string) string
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func abbreviate(s string) string {
	for _, pair := range [...][2]string{
		{"Thị trấn ", "TT. "},
		{"Phường ", "P."},
		{"Xã ", "X. "},
		{"Đặc khu ", "ĐK "},
		{"Thành phố Hồ Chí Minh", "TP.HCM"},
		{"Thành phố ", "TP. "},
		{"Thị xã ", "TX."},
		{"Quận ", "Q."},
		{"Huyện ", "H. "},
		{"Tỉnh ", "T. "},
	} {
		if rest, found := strings.CutPrefix(s, pair[0]); found {
			return pair[1] + rest
		}
	}
	return s
}

// plain writes without diacritics, by another road than the package does.
func plain(s string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(s) {
		switch {
		case r == 'đ':
			b.WriteByte('d')
		case r == 'Đ':
			b.WriteByte('D')
		case r < 0x300 || r > 0x36F:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// moveTone writes the other place of the tone mark: Hoà for Hòa, Thuỷ for Thủy.
func moveTone(s string) string {
	return strings.NewReplacer("òa", "oà", "óa", "oá", "ỏa", "oả", "ọa", "oạ", "ủy", "uỷ", "úy", "uý", "ùy", "uỳ", "ũy", "uỹ", "ụy", "uỵ",
		"oà", "òa", "oá", "óa", "oả", "ỏa", "oạ", "ọa", "uỷ", "ủy", "uý", "úy", "uỳ", "ùy").Replace(norm.NFC.String(s))
}

func spellings() []spelling {
	return []spelling{
		{"full", func(c, d, p string) string { return join(c, d, p) }},
		{"abbreviated", func(c, d, p string) string { return join(abbreviate(c), abbreviate(d), abbreviate(p)) }},
		{"without diacritics", func(c, d, p string) string { return plain(join(c, d, p)) }},
		{"NFD", func(c, d, p string) string { return norm.NFD.String(join(c, d, p)) }},
		{"lower case", func(c, d, p string) string { return strings.ToLower(join(c, d, p)) }},
		{"no commas", func(c, d, p string) string { return strings.ReplaceAll(join(c, d, p), ",", "") }},
		{"tone mark moved", func(c, d, p string) string { return moveTone(join(c, d, p)) }},
		{"reversed", func(c, d, p string) string { return join(p, d, c) }},
		{"abbreviated, plain, lower, no commas", func(c, d, p string) string {
			return strings.ToLower(plain(strings.ReplaceAll(join(abbreviate(c), abbreviate(d), abbreviate(p)), ",", "")))
		}},
		{"with a house", func(c, d, p string) string {
			return join("Số 12/3 đường Trần Hưng Đạo", "tổ 5", c, d, p, "Việt Nam")
		}},
	}
}

// shared loads the dictionary and builds the index once for all tests: neither ever changes.
var shared = sync.OnceValues(func() (*Standardiser, *dictionary.Dictionary) {
	d, err := dictionary.Builtin()
	if err != nil {
		panic(err)
	}
	return New(d, Config{Now: fixed}), d
})

func fixed() time.Time { return time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC) }

// newStandardiser is a fresh one, without rulings, on the shared index.
func newStandardiser(tb testing.TB) (*Standardiser, *dictionary.Dictionary) {
	tb.Helper()
	built, d := shared()
	return newOn(built.index, built.threshold), d
}

// oldAddress is one address that could be written before the reform, and the units of today
// that the links know for it.
type oldAddress struct {
	code, commune, district, province string
	allowed                           []string
}

// oldAddresses writes an address for every link, for every unit that it may mean.
func oldAddresses(d *dictionary.Dictionary) []oldAddress {
	before := time.UnixMicro(dictionary.Reorganised() - 1)
	provinces := map[string]string{}
	for _, p := range d.Provinces(before) {
		provinces[p.Code] = p.NameVi
	}
	merged := map[string][]string{}
	for _, p := range d.Provinces(fixed()) {
		merged[p.Code] = p.MergedFrom
	}
	var list []oldAddress
	for _, l := range d.Links() {
		if l.Match == dictionary.NoMatch {
			for _, p := range merged[l.NewProvince] {
				list = append(list, oldAddress{commune: l.OldName, province: provinces[p], allowed: []string{l.NewCode}})
			}
			continue
		}
		districts := strings.Split(l.OldDistrict, "|")
		for i, code := range l.Candidates() {
			var allowed []string
			for _, s := range d.Successors(code) {
				allowed = append(allowed, s.NewCode)
			}
			for _, p := range strings.Split(l.OldProvince, "|") {
				list = append(list, oldAddress{code: code, commune: l.OldName, district: districts[i], province: provinces[p], allowed: allowed})
			}
		}
	}
	return list
}

// Every commune of before, in every spelling and of every date, leads to a unit that a link
// knows, or to a question.
func TestEveryOldAddressIsResolvedOrAsked(t *testing.T) {
	s, d := newStandardiser(t)
	reform := dictionary.Reorganised()
	list := oldAddresses(d)
	if len(d.Links()) != 10569 || len(list) < 10569 {
		t.Fatalf("%d links, %d addresses", len(d.Links()), len(list))
	}
	for _, style := range spellings() {
		for _, asOf := range []int64{reform - 1, Unknown, reform + 1} {
			resolved, asked, wrong := 0, 0, 0
			for i := range list {
				a := &list[i]
				text := style.write(a.commune, a.district, a.province)
				r := s.Standardise(text, asOf)
				if r.Original != text {
					t.Fatalf("%q was rewritten to %q", text, r.Original)
				}
				now, ok := r.Resolved()
				switch {
				case !ok && r.Question == nil:
					t.Fatalf("%q: neither an answer nor a question: %+v", text, r)
				case !ok:
					asked++
				case slices.Contains(a.allowed, now.Code):
					resolved++
				case asOf > reform && a.district == "" && plain(now.Name) == plain(a.commune) && now.ProvinceName == a.province:
					resolved++ // without a district and dated since the reform it is the unit of today
				default:
					if wrong++; wrong < 12 {
						t.Errorf("%s: %q of %d -> %s %s, links lead to %v (%+v)", style.name, text, asOf, now.Code, now.Name, a.allowed, r.Reasons.List())
					}
				}
			}
			// An address stands here for every unit that an ambiguous link may mean; most of
			// those are questions.
			if resolved < 9_350 || resolved+asked != len(list) {
				t.Errorf("%s as of %d: resolved %d, asked %d, wrong %d of %d", style.name, asOf, resolved, asked, wrong, len(list))
			}
		}
	}
}

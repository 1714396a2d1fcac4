package quality

import (
	"bytes"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func FuzzTextChecks(f *testing.F) {
	for _, seed := range []string{
		"", " ", "Nguyễn Văn An", "Nguye\u0302\u0303n", "a\u00a0b", "a\u00a0 b", "\u1680x", "x\u2003", "x\u3000\u3000y", "abcdefgh\x00", "\xe1\x9a", "ễ\u1680",
		"\u0085", "Åstr\u0307m", "\u212b", "한글 이름", "\u1100\u1161\u11a8",
	} {
		f.Add([]byte(seed))
	}
	known := newLetters()
	f.Fuzz(func(t *testing.T, text []byte) {
		valid := utf8.Valid(text) && !bytes.Contains(text, []byte{0})
		if got := validText(text); got != valid {
			t.Fatalf("validText(%q) = %v", text, got)
		}
		if !valid {
			return
		}
		if got, want := blank(text), strings.TrimSpace(string(text)) == ""; got != want {
			t.Errorf("blank(%q) = %v", text, got)
		}
		wantTidy := strings.TrimSpace(string(text)) == string(text)
		previous := 'x'
		for _, r := range string(text) {
			if unicode.IsSpace(r) && unicode.IsSpace(previous) {
				wantTidy = false
			}
			previous = r
		}
		if got := tidy(text); got != wantTidy {
			t.Errorf("tidy(%q) = %v", text, got)
		}
		if got, want := isNFC(text), norm.NFC.IsNormal(text); got != want {
			t.Errorf("isNFC(%q) = %v", text, got)
		}
		// A name is a name in either form, and one word fewer than two is none.
		composed, decomposed := norm.NFC.Bytes(text), norm.NFD.Bytes(text)
		if known.personName(composed) != known.personName(decomposed) {
			t.Errorf("personName differs between NFC and NFD of %q", text)
		}
		if known.personName(text) && len(strings.Fields(string(text))) < 2 {
			t.Errorf("%q is taken for a full name", text)
		}
		for _, n := range []int{0, 1, 3, 10} {
			if got, want := longer(text, n), utf8.RuneCount(text) > n; got != want {
				t.Errorf("longer(%q, %d) = %v", text, n, got)
			}
			if got, want := shorter(text, n), utf8.RuneCount(text) < n; got != want {
				t.Errorf("shorter(%q, %d) = %v", text, n, got)
			}
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{`[0-9]{12}`, "012345678901"},
		{`^[0-9]{10}(-[0-9]{3})?$`, "0123456789-001"},
		{`0[35789][0-9]{8}`, "0912345678"},
		{`[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}`, "a@b.vn"},
		{`(a|b)*abb`, "ababb"},
		{`.*`, "x\ny"},
		{`(?s).*`, "x\ny"},
		{`a?`, ""},
		{`(?i)k`, "\u212a"},
		{`[^a]`, "ễ"},
		{`\bx`, "x"},
		{`a^b`, "ab"},
		{`a$|b`, "a"},
		{`(?m)^a$`, "a\n"},
		{`(^a|b)*`, "ba"},
		{`x{0,3}y{2,}`, "xxyy"},
		{`\p{Lu}\w*`, "Đạt"},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, expression string, value []byte) {
		if len(expression) > 100 || len(value) > 1000 {
			return
		}
		p, err := compilePattern(expression)
		if err != nil {
			return
		}
		want := regexp.MustCompile(`\A(?:` + expression + `)\z`).Match(value)
		if got := p.match(value); got != want {
			t.Errorf("%q on %q: %v, package regexp says %v", expression, value, got, want)
		}
	})
}

// The patterns that the dictionary uses must not fall back to the slow matcher.
func TestPatternsGetTables(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{`[0-9]{12}`, `^[0-9]{10}(-[0-9]{3})?$`, `[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}`} {
		if p, err := compilePattern(expression); err != nil || p.next == nil {
			t.Errorf("%q has no table (%v)", expression, err)
		}
	}
	if p, err := compilePattern(`\bx\b`); err != nil || p.next != nil || !p.match([]byte("x")) {
		t.Error("an expression with word boundaries must go to package regexp")
	}
	if p, err := compilePattern(`(a|b)*a(a|b){9}`); err != nil || p.next != nil || !p.match([]byte("abbbbbbbbb")) {
		t.Error("an expression with too many states must go to package regexp")
	}
}

func FuzzDecimals(f *testing.F) {
	for _, seed := range [][2]string{{"1", "1.0"}, {"-0", "0.00"}, {"10", "9.9"}, {"-10", "-9.9"}, {"0012", "12"}, {"1.", "1"}, {"NaN", "1"}, {".5", "0.5"}, {"1e5", "1"}, {"-", "0"}} {
		f.Add(seed[0], seed[1])
	}
	plain := regexp.MustCompile(`\A-?[0-9]+(\.[0-9]+)?\z`)
	f.Fuzz(func(t *testing.T, a, b string) {
		order, ok := compareDecimals([]byte(a), []byte(b))
		if want := plain.MatchString(a) && plain.MatchString(b); ok != want {
			t.Fatalf("compareDecimals(%q, %q) ok = %v", a, b, ok)
		}
		if !ok {
			return
		}
		ratA, _ := new(big.Rat).SetString(a)
		ratB, _ := new(big.Rat).SetString(b)
		if want := ratA.Cmp(ratB); order != want {
			t.Errorf("compareDecimals(%q, %q) = %d, want %d", a, b, order, want)
		}
	})
}

// addMonths agrees with the calendar of package time wherever the day exists.
func TestAddMonths(t *testing.T) {
	t.Parallel()
	for start := day("1899-12-25"); start < day("1904-03-10"); start++ {
		for months := int64(-30); months <= 30; months++ {
			year, month, dayOfMonth := civil(start)
			gotYear, gotMonth, gotDay := civil(addMonths(start, months))
			index := year*12 + int64(month) - 1 + months
			if gotYear != index/12 || int64(gotMonth)-1 != index%12 {
				t.Fatalf("%d-%d-%d %+d months is %d-%d-%d", year, month, dayOfMonth, months, gotYear, gotMonth, gotDay)
			}
			if _, nextMonth, _ := civil(addMonths(start, months) + 1); gotDay != dayOfMonth && (gotDay > dayOfMonth || nextMonth == gotMonth) {
				t.Fatalf("%d-%d-%d %+d months is day %d, which is neither the same nor the last", year, month, dayOfMonth, months, gotDay)
			}
		}
	}
}

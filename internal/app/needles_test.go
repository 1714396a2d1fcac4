package app

import (
	"bytes"
	"html"
	"slices"
	"strings"
	"testing"
)

// needles finds any of many values in a text in one pass: values are looked up
// by their first bytes, so the number of values costs nothing per byte.
type needles struct {
	byStart map[string][]string
	count   int
}

// needleStart is how many bytes values are indexed by; shorter values are too
// common to mean anything and are left out.
const needleStart = 6

// newNeedles collects values, without those that stand in public words anyway:
// the surname Cao and the given name Bằng make a person as well as a province.
func newNeedles(values func(func(string) bool), public string) *needles {
	n := &needles{byStart: map[string][]string{}}
	values(func(value string) bool {
		if len(value) < needleStart {
			return true
		}
		start := value[:needleStart]
		if !slices.Contains(n.byStart[start], value) && !strings.Contains(public, value) {
			n.byStart[start] = append(n.byStart[start], value)
			n.count++
		}
		return true
	})
	return n
}

// in lists the values that stand in the text as words of their own, each once.
// Digits inside a longer number, a fraction or a hexadecimal digest are not a
// personal number that somebody wrote there.
func (n *needles) in(text []byte) []string {
	found := map[string]bool{}
	for i := 0; i+needleStart <= len(text); i++ {
		for _, value := range n.byStart[string(text[i:i+needleStart])] {
			end := i + len(value)
			if end > len(text) || string(text[i:end]) != value || found[value] {
				continue
			}
			if i > 0 && continues(value[0], text[i-1], true) || end < len(text) && continues(value[len(value)-1], text[end], false) {
				continue
			}
			found[value] = true
		}
	}
	list := make([]string, 0, len(found))
	for value := range found {
		list = append(list, value)
	}
	slices.Sort(list)
	return list
}

// continues reports whether the byte beside a value makes it part of a longer word.
func continues(edge, beside byte, before bool) bool {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	if digit(edge) {
		return digit(beside) || beside >= 'a' && beside <= 'f' || beside >= 'A' && beside <= 'F' || before && beside == '.'
	}
	return beside >= 'a' && beside <= 'z' || beside >= 'A' && beside <= 'Z' || beside >= 0x80
}

// asRead is a page as a person reads it: without the escapes of HTML.
func asRead(page []byte) []byte { return []byte(html.UnescapeString(string(page))) }

func TestNeedles(t *testing.T) {
	n := newNeedles(slices.Values([]string{"Cao Bằng", "Nguyễn Văn A", "Lý K'Brêu", "096012345678", "an.le@hopthu.example", "Lê A"}), "Tỉnh Cao Bằng")
	for text, want := range map[string]string{
		`{"name":"Nguyễn Văn A"}`:                  "Nguyễn Văn A",
		"Nguyễn Văn An":                            "",
		"096012345678":                             "096012345678",
		"k=096012345678,":                          "096012345678",
		"1096012345678":                            "",
		"0.096012345678":                           "",
		"ab096012345678cd":                         "",
		"<td>Lý K&#39;Brêu</td>":                   "Lý K'Brêu",
		"mailto:an.le@hopthu.example":              "an.le@hopthu.example",
		"Cao Bằng và Lê A":                         "",
		"0960********":                             "",
		"x 096012345678 y 096012345678 Nguyễn Văn": "096012345678",
	} {
		if got := strings.Join(n.in(asRead([]byte(text))), ","); got != want {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
	}
	if n.count != 4 {
		t.Errorf("%d needles, want 4: short values and public words are left out", n.count)
	}
	if found := n.in(bytes.Repeat([]byte("Nguyễn "), 1000)); len(found) != 0 {
		t.Errorf("found %d values in a text without any", len(found))
	}
}

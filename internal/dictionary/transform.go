package dictionary

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// operation is one transformation of text.
type operation uint8

const (
	opNone operation = iota // nfc: every mapped text is brought to NFC anyway
	opTrim
	opUpper
	opLower
	opCollapse
	opDigits
	opPad
	opComma
	opCode
	opPartFirst
	opPartMiddle
	opPartLast
	opLayout // how to read a date or time; not a step
	opUTC    // likewise
)

// step is an operation with its argument.
type step struct {
	op    operation
	width int          // of opPad
	table *translation // of opCode
}

// parseTransform reads one transformation as a definition writes it. For opCode
// the argument is returned and the table is found later.
func parseTransform(text string) (step, string, error) {
	name, argument, has := strings.Cut(text, ":")
	plain := map[string]operation{
		"trim": opTrim, "nfc": opNone, "upper": opUpper, "lower": opLower, "collapse": opCollapse, "digits": opDigits, "utc": opUTC,
	}
	if op, found := plain[name]; found {
		if has {
			return step{}, "", fmt.Errorf("%s takes no argument", name)
		}
		return step{op: op}, "", nil
	}
	switch name {
	case "date", "timestamp":
		if _, err := compileLayout(argument); err != nil {
			return step{}, "", err
		}
		return step{op: opLayout}, argument, nil
	case "code":
		if argument == "" {
			return step{}, "", errors.New("code needs the name of a table or code list")
		}
		return step{op: opCode}, argument, nil
	case "part":
		if i := slices.Index([]string{"first", "middle", "last"}, argument); i >= 0 {
			return step{op: []operation{opPartFirst, opPartMiddle, opPartLast}[i]}, "", nil
		}
		return step{}, "", errors.New("part is first, middle or last")
	case "pad":
		width, err := strconv.Atoi(argument)
		if err != nil || width < 1 || width > 40 {
			return step{}, "", errors.New("pad needs a width of 1 to 40")
		}
		return step{op: opPad, width: width}, "", nil
	case "decimal":
		if argument != "comma" {
			return step{}, "", errors.New("decimal knows only comma")
		}
		return step{op: opComma}, "", nil
	}
	return step{}, "", fmt.Errorf("there is no transformation %q", name)
}

// apply runs the step. The result is b, a part of b, the table's bytes, or bytes
// appended to scratch, which is returned with them.
func (s *step) apply(b, scratch []byte) (result, grown []byte) {
	start := len(scratch)
	switch s.op {
	case opTrim:
		return trimSpace(b), scratch
	case opUpper:
		scratch = appendMapped(scratch, b, unicode.ToUpper)
	case opLower:
		scratch = appendMapped(scratch, b, unicode.ToLower)
	case opCollapse:
		if collapsed(b) {
			return b, scratch
		}
		scratch = appendCollapsed(scratch, b)
	case opDigits:
		if allASCIIDigits(b) {
			return b, scratch
		}
		for _, c := range b {
			if c >= '0' && c <= '9' {
				scratch = append(scratch, c)
			}
		}
	case opPad:
		if len(b) == 0 || len(b) >= s.width || !allASCIIDigits(b) {
			return b, scratch
		}
		for range s.width - len(b) {
			scratch = append(scratch, '0')
		}
		scratch = append(scratch, b...)
	case opComma:
		if bytes.IndexByte(b, ',') < 0 && bytes.IndexByte(b, '.') < 0 {
			return b, scratch
		}
		grouped, ok := appendFromComma(scratch, b)
		if !ok {
			return b, scratch[:start]
		}
		scratch = grouped
	case opCode:
		return s.table.translate(b, scratch)
	case opPartFirst:
		first, _, _ := nameParts(b)
		return first, scratch
	case opPartMiddle:
		_, middle, _ := nameParts(b)
		return middle, scratch
	case opPartLast:
		_, _, last := nameParts(b)
		return last, scratch
	case opNone, opLayout, opUTC:
		return b, scratch
	}
	return scratch[start:len(scratch):len(scratch)], scratch
}

// isBlank is white space as people paste it: no-break spaces and zero-width marks too.
func isBlank(r rune) bool { return unicode.IsSpace(r) || r == 0xFEFF || r == 0x200B }

func trimSpace(b []byte) []byte {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if !isBlank(r) {
			break
		}
		b = b[n:]
	}
	for len(b) > 0 {
		r, n := utf8.DecodeLastRune(b)
		if !isBlank(r) {
			break
		}
		b = b[:len(b)-n]
	}
	return b
}

// collapsed reports whether every run of white space is already one plain space.
func collapsed(b []byte) bool {
	space := false
	for i := 0; i < len(b); {
		r, n := rune(b[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(b[i:])
		}
		i += n
		if !isBlank(r) {
			space = false
			continue
		}
		if space || r != ' ' {
			return false
		}
		space = true
	}
	return true
}

func appendCollapsed(dst, b []byte) []byte {
	space := false
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case !isBlank(r):
			dst = append(dst, b[:n]...)
			space = false
		case !space:
			dst = append(dst, ' ')
			space = true
		}
		b = b[n:]
	}
	return dst
}

// appendMapped keeps bytes that are not UTF-8 as they are, to be reported as such.
func appendMapped(dst, b []byte, mapping func(rune) rune) []byte {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n <= 1 {
			dst = append(dst, b[0])
		} else {
			dst = utf8.AppendRune(dst, mapping(r))
		}
		b = b[n:]
	}
	return dst
}

func allASCIIDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// appendFromComma reads a number as Vietnamese write it: points between groups of
// three digits, a comma before the fraction. Anything else is refused.
func appendFromComma(dst, b []byte) ([]byte, bool) {
	whole, fraction := b, []byte(nil)
	if i := bytes.IndexByte(b, ','); i >= 0 {
		whole, fraction = b[:i], b[i+1:]
		if len(fraction) == 0 || !allASCIIDigits(fraction) {
			return dst, false
		}
	}
	if len(whole) > 0 && (whole[0] == '-' || whole[0] == '+') {
		dst = append(dst, whole[0])
		whole = whole[1:]
	}
	grouped := false
	for {
		i := bytes.IndexByte(whole, '.')
		group := whole
		if i >= 0 {
			group = whole[:i]
		}
		if len(group) == 0 || !allASCIIDigits(group) || grouped && len(group) != 3 || i >= 0 && len(group) > 3 {
			return dst, false
		}
		dst = append(dst, group...)
		if i < 0 {
			break
		}
		whole, grouped = whole[i+1:], true
	}
	if len(fraction) > 0 {
		dst = append(dst, '.')
		dst = append(dst, fraction...)
	}
	return dst, true
}

// nameParts splits a Vietnamese full name: the family name is the first word, the
// given name the last, the middle name what stands between. A single word is a given name.
func nameParts(b []byte) (first, middle, last []byte) {
	b = trimSpace(b)
	begin := bytes.IndexByte(b, ' ')
	if begin < 0 {
		return nil, nil, b
	}
	end := bytes.LastIndexByte(b, ' ')
	return b[:begin], trimSpace(b[begin:end]), b[end+1:]
}

// defaultLayouts are tried when a mapping names none.
func defaultLayouts(to lienthong.Kind) []string {
	if to == lienthong.Date {
		return []string{"2006-01-02", "2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05"}
	}
	return []string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00",
		"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
	}
}

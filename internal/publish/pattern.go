package publish

import (
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode"
)

// dialect is a family of regular expressions that a schema language writes.
type dialect uint8

const (
	ecma  dialect = iota // JSON Schema: what ECMA-262 with the flag u and RE2 read alike
	xmlXS                // XML Schema: no anchors, no look-around, few escapes
)

// longestPattern bounds an expression; beyond it a rule counts as not expressible.
const longestPattern = 4096

// white is the white space of the checks, as the inside of a character class: exactly
// unicode.IsSpace, which neither ECMA's \s (it lacks U+0085 and has U+FEFF) nor RE2's is.
const (
	whiteECMA = `\t-\r \x85\xa0` + "\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
	whiteXML  = `\t\n\r ` + "\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
)

func (d dialect) white() string {
	if d == xmlXS {
		return whiteXML
	}
	return whiteECMA
}

// letters is every letter, inside a character class. The most used validator of XML Schema does not
// count ideographs and Hangul syllables, which Unicode lists by their first and last only.
func (d dialect) letters() string {
	if d == xmlXS {
		return `\p{L}` + "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
	}
	return `\p{L}`
}

func (d dialect) group(inner string) string {
	if d == xmlXS {
		return "(" + inner + ")"
	}
	return "(?:" + inner + ")"
}

// whole makes an expression that the whole value must match. In XML Schema every one is.
func (d dialect) whole(inner string) string {
	if d == xmlXS {
		return inner
	}
	return "^" + inner + "$"
}

// digits is exactly n ASCII digits.
func (d dialect) digits(n int) string { return d.whole("[0-9]{" + strconv.Itoa(n) + "}") }

// tidy is text without white space at its ends or doubled; the empty text is tidy.
func (d dialect) tidy() string {
	word := "[^" + d.white() + "]+"
	return d.whole(d.group(word+d.group("["+d.white()+"]"+word)+"*") + "?")
}

// personName is two words or more of letters of any script; apostrophes, hyphens and
// combining marks stand after a letter. Of white space in ASCII only the space is allowed.
func (d dialect) personName() string {
	space := ` \x85\xa0` + "\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
	if d == xmlXS {
		space = " \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
	}
	letter := d.letters()
	word := "[" + letter + "][" + letter + `\p{Mn}\p{Mc}'’ʼ‐‑\-]*`
	return d.whole("[" + space + "]*" + word + d.group("["+space+"]+"+word) + "+[" + space + "]*")
}

// translate turns a pattern of the dictionary, which is RE2, into another dialect. It is
// built from the parsed expression, so what cannot be said there is refused, never
// half translated.
func (d dialect) translate(pattern string) (string, bool) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	body := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpConcat {
		body = tree.Sub
	}
	// ^ and $ at the ends say nothing: the whole value must match anyway.
	for len(body) > 0 && body[0].Op == syntax.OpBeginText {
		body = body[1:]
	}
	for len(body) > 0 && body[len(body)-1].Op == syntax.OpEndText {
		body = body[:len(body)-1]
	}
	t := translator{dialect: d, ok: true}
	if len(body) == 1 && body[0].Op == syntax.OpAlternate {
		t.grouped(body[0])
	} else {
		for _, part := range body {
			t.part(part)
		}
	}
	text := d.whole(t.out.String())
	return text, t.ok && len(text) <= longestPattern
}

type translator struct {
	dialect dialect
	out     strings.Builder
	ok      bool
}

// grouped writes an expression so that an operator may follow it.
func (t *translator) grouped(e *syntax.Regexp) {
	inner := translator{dialect: t.dialect, ok: true}
	inner.write(e)
	t.ok = t.ok && inner.ok
	t.out.WriteString(t.dialect.group(inner.out.String()))
}

// part writes a member of a concatenation.
func (t *translator) part(e *syntax.Regexp) {
	if e.Op == syntax.OpAlternate {
		t.grouped(e)
		return
	}
	t.write(e)
}

func (t *translator) write(e *syntax.Regexp) {
	switch e.Op {
	case syntax.OpEmptyMatch:
		t.out.WriteString(t.dialect.group(""))
	case syntax.OpLiteral:
		for _, r := range e.Rune {
			t.literal(r, e.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		t.class(e.Rune)
	case syntax.OpAnyCharNotNL:
		t.out.WriteString(`[^\n]`)
	case syntax.OpAnyChar:
		t.out.WriteString(`[\s\S]`)
	case syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		if t.dialect == xmlXS {
			t.ok = false
			return
		}
		t.out.WriteString(map[syntax.Op]string{
			syntax.OpBeginText: "^", syntax.OpEndText: "$", syntax.OpWordBoundary: `\b`, syntax.OpNoWordBoundary: `\B`,
		}[e.Op])
	case syntax.OpCapture:
		t.grouped(e.Sub[0])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		t.repeated(e)
	case syntax.OpConcat:
		for _, part := range e.Sub {
			t.part(part)
		}
	case syntax.OpAlternate:
		for i, branch := range e.Sub {
			if i > 0 {
				t.out.WriteString("|")
			}
			t.write(branch)
		}
	case syntax.OpNoMatch, syntax.OpBeginLine, syntax.OpEndLine:
		t.ok = false
	default:
		t.ok = false
	}
}

func (t *translator) repeated(e *syntax.Regexp) {
	sub := e.Sub[0]
	switch {
	case sub.Op == syntax.OpCharClass, sub.Op == syntax.OpAnyChar, sub.Op == syntax.OpAnyCharNotNL,
		sub.Op == syntax.OpLiteral && len(sub.Rune) == 1, sub.Op == syntax.OpCapture:
		t.write(sub)
	case sub.Op == syntax.OpBeginText, sub.Op == syntax.OpEndText, sub.Op == syntax.OpWordBoundary, sub.Op == syntax.OpNoWordBoundary:
		t.ok = false // ECMA has no repeated anchors
	default:
		t.grouped(sub)
	}
	// Lazy or greedy makes no difference to whether the whole value matches.
	switch e.Op {
	case syntax.OpStar:
		t.out.WriteString("*")
	case syntax.OpPlus:
		t.out.WriteString("+")
	case syntax.OpQuest:
		t.out.WriteString("?")
	default:
		t.out.WriteString("{" + strconv.Itoa(e.Min))
		if e.Max < 0 {
			t.out.WriteString(",")
		} else if e.Max != e.Min {
			t.out.WriteString("," + strconv.Itoa(e.Max))
		}
		t.out.WriteString("}")
	}
}

func (t *translator) literal(r rune, fold bool) {
	if !fold || unicode.SimpleFold(r) == r {
		t.out.WriteString(t.char(r, `\^$.*+?()[]{}|`))
		return
	}
	t.out.WriteString("[" + t.char(r, inClass))
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		t.out.WriteString(t.char(other, inClass))
	}
	t.out.WriteString("]")
}

const inClass = `\[]^-`

// char writes one character; special lists those that need a backslash here.
func (t *translator) char(r rune, special string) string {
	if t.dialect == xmlXS {
		switch {
		case r == '\t':
			return `\t`
		case r == '\n':
			return `\n`
		case r == '\r':
			return `\r`
		case !xmlChar(r):
			t.ok = false
			return ""
		case r == '$': // no escape of XML Schema, and nothing special there
			return "$"
		}
	} else {
		switch {
		case r >= '\t' && r <= '\r':
			return `\` + string("tnvfr"[r-'\t'])
		case r < ' ' || r >= 0x7f && r <= 0xa0 || r == 0xad:
			text := strconv.FormatInt(int64(r), 16)
			return `\x` + strings.Repeat("0", 2-len(text)) + text
		case r >= 0xd800 && r <= 0xdfff:
			t.ok = false
			return ""
		}
	}
	if strings.ContainsRune(special, r) {
		return `\` + string(r)
	}
	return string(r)
}

// class writes a character class given as pairs of first and last.
func (t *translator) class(pairs []rune) {
	if len(pairs) == 0 {
		t.ok = false
		return
	}
	prefix := "["
	if pairs[0] == 0 && pairs[len(pairs)-1] == unicode.MaxRune {
		prefix, pairs = "[^", complement(pairs)
		if len(pairs) == 0 {
			t.out.WriteString(`[\s\S]`)
			return
		}
	}
	if len(pairs) == 2 && pairs[0] == pairs[1] && prefix == "[" {
		t.literal(pairs[0], false)
		return
	}
	before := t.out.Len()
	t.out.WriteString(prefix)
	for _, name := range [...]string{"L", "M", "N", "P", "S", "Z", "Lu", "Ll", "Mn", "Nd"} {
		if len(pairs) < 64 {
			break // short enough as it is
		}
		if table := unicodePairs(name); contains(pairs, table) {
			if name == "L" {
				t.out.WriteString(t.dialect.letters())
			} else {
				t.out.WriteString(`\p{` + name + `}`)
			}
			pairs = subtract(pairs, table)
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		low, high := pairs[i], pairs[i+1]
		if t.dialect == xmlXS {
			if low, high = xmlRange(low, high); low > high {
				continue // none of them can stand in XML
			}
		} else if low <= 0xdfff && high >= 0xd800 && low >= 0xd800 {
			continue
		}
		t.between(low, high)
	}
	if t.out.Len() == before+len(prefix) { // nothing that XML can hold
		t.ok = false
	}
	t.out.WriteString("]")
}

// between writes a range in a class. Ends that need a backslash stand by themselves: a validator in wide use
// reads a range between two of them wrongly.
func (t *translator) between(low, high rune) {
	for low <= high && strings.ContainsRune(inClass, low) {
		t.out.WriteString(t.char(low, inClass))
		low++
	}
	tail := ""
	for high >= low && strings.ContainsRune(inClass, high) {
		tail = t.char(high, inClass) + tail
		high--
	}
	if low <= high {
		t.out.WriteString(t.char(low, inClass))
	}
	if high > low {
		if high > low+1 {
			t.out.WriteString("-")
		}
		t.out.WriteString(t.char(high, inClass))
	}
	t.out.WriteString(tail)
}

// xmlRange narrows a range to the characters of XML, at least at its ends.
func xmlRange(low, high rune) (rune, rune) {
	for low <= high && !xmlChar(low) {
		low++
	}
	for high >= low && !xmlChar(high) {
		high--
	}
	return low, high
}

func xmlChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= unicode.MaxRune
}

func complement(pairs []rune) []rune {
	var out []rune
	next := rune(0)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] > next {
			out = append(out, next, pairs[i]-1)
		}
		next = pairs[i+1] + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, next, unicode.MaxRune)
	}
	return out
}

// unicodePairs are the characters of a Unicode category as RE2 has them.
func unicodePairs(name string) []rune {
	tree, err := syntax.Parse(`\p{`+name+`}`, syntax.Perl)
	if err != nil || tree.Op != syntax.OpCharClass {
		return nil
	}
	return tree.Rune
}

func contains(pairs, table []rune) bool { return len(table) > 0 && len(subtract(table, pairs)) == 0 }

// subtract removes the second set from the first; both are sorted pairs.
func subtract(from, what []rune) []rune {
	var out []rune
	for i := 0; i < len(from); i += 2 {
		low, high := from[i], from[i+1]
		for j := 0; j < len(what) && low <= high; j += 2 {
			if what[j+1] < low || what[j] > high {
				continue
			}
			if what[j] > low {
				out = append(out, low, what[j]-1)
			}
			low = what[j+1] + 1
		}
		if low <= high {
			out = append(out, low, high)
		}
	}
	return out
}

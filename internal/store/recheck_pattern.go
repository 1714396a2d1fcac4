package store

import (
	"fmt"
	"regexp/syntax"
	"strings"
)

// maxRepeat is how often PostgreSQL lets a part of a pattern repeat.
const maxRepeat = 255

// arePattern writes an anchored RE2 pattern as one of PostgreSQL's advanced regular
// expressions that matches the same texts. It is not ok for what the two may understand
// differently: letter case that does not matter, lines, word borders.
func arePattern(pattern string) (string, bool) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	b.WriteString("^(?:")
	if !writeARE(&b, tree) {
		return "", false
	}
	b.WriteString(")$")
	return b.String(), true
}

func writeARE(b *strings.Builder, part *syntax.Regexp) bool {
	repeated := func(suffix string) bool {
		b.WriteString("(?:")
		ok := writeARE(b, part.Sub[0])
		b.WriteString(")" + suffix)
		return ok
	}
	switch part.Op {
	case syntax.OpEmptyMatch:
		b.WriteString("(?:)")
	case syntax.OpLiteral:
		if part.Flags&syntax.FoldCase != 0 {
			return false
		}
		for _, r := range part.Rune {
			writeRune(b, r)
		}
	case syntax.OpCharClass:
		if len(part.Rune) == 0 {
			return false
		}
		b.WriteByte('[')
		for i := 0; i < len(part.Rune); i += 2 {
			low, high := max(part.Rune[i], 1), part.Rune[i+1]
			if high < low {
				return false // NUL alone, which no text has
			}
			writeRune(b, low)
			if high > low {
				b.WriteByte('-')
				writeRune(b, high)
			}
		}
		b.WriteByte(']')
	case syntax.OpAnyCharNotNL:
		b.WriteString(`[^\n]`)
	case syntax.OpAnyChar:
		b.WriteByte('.')
	case syntax.OpBeginText:
		b.WriteByte('^')
	case syntax.OpEndText:
		b.WriteByte('$')
	case syntax.OpCapture:
		return repeated("")
	case syntax.OpStar:
		return repeated("*")
	case syntax.OpPlus:
		return repeated("+")
	case syntax.OpQuest:
		return repeated("?")
	case syntax.OpRepeat:
		if part.Max > maxRepeat || part.Min > maxRepeat {
			return false
		}
		if part.Max < 0 {
			return repeated(fmt.Sprintf("{%d,}", part.Min))
		}
		return repeated(fmt.Sprintf("{%d,%d}", part.Min, part.Max))
	case syntax.OpConcat:
		for _, sub := range part.Sub {
			if !writeARE(b, sub) {
				return false
			}
		}
	case syntax.OpAlternate:
		b.WriteString("(?:")
		for i, sub := range part.Sub {
			if i > 0 {
				b.WriteByte('|')
			}
			if !writeARE(b, sub) {
				return false
			}
		}
		b.WriteByte(')')
	case syntax.OpNoMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return false
	default:
		return false
	}
	return true
}

// writeRune writes a character by its number, so that none of them means anything else.
func writeRune(b *strings.Builder, r rune) { fmt.Fprintf(b, `\U%08x`, r) }

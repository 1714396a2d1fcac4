package dictionary

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MatchKey is the form of a Vietnamese name under which two spellings of the same name
// are equal: case, NFC or NFD, the place of the tone mark (Hoà, Hòa), punctuation and doubled
// spaces do not count. Marks that Vietnamese does not have are dropped. Letters and tones do: "Hòa" and "Hóa" stay two names.
func MatchKey(s string) string { return string(appendKey(nil, []byte(s), true)) }

// PlainKey is MatchKey without tones and diacritics, for text typed without them.
func PlainKey(s string) string { return string(appendKey(nil, []byte(s), false)) }

// The combining marks of Vietnamese: five tones, which belong to the word, and
// three shapes (ơ, â, ă), which belong to the letter.
const (
	toneMarks  = "\u0300\u0301\u0303\u0309\u0323"
	shapeMarks = "\u031b\u0302\u0306"
)

// markBit returns the bit of a mark in its set, 0 when it is not in it.
func markBit(set string, r rune) uint8 {
	i := uint8(0)
	for _, mark := range set {
		if mark == r {
			return 1 << i
		}
		i++
	}
	return 0
}

// appendMarks appends the marks of the bits in the order of the set, whatever
// order they were typed in.
func appendMarks(dst []byte, set string, bits uint8) []byte {
	for _, mark := range set {
		if bits&1 != 0 {
			dst = utf8.AppendRune(dst, mark)
		}
		bits >>= 1
	}
	return dst
}

// appendKey decomposes every letter and moves the word's tone to the end of the
// word, which makes its place irrelevant. Marks that Vietnamese does not have are
// dropped. It does not allocate when dst is large enough.
func appendKey(dst, s []byte, accents bool) []byte {
	k := keyWriter{dst: dst, start: len(dst), accents: accents}
	for len(s) > 0 {
		if s[0] < utf8.RuneSelf {
			k.put(rune(s[0]))
			s = s[1:]
			continue
		}
		_, size := utf8.DecodeRune(s)
		parts := norm.NFD.Properties(s[:size]).Decomposition()
		if parts == nil {
			parts = s[:size]
		}
		for len(parts) > 0 {
			r, n := utf8.DecodeRune(parts)
			k.put(r)
			parts = parts[n:]
		}
		s = s[size:]
	}
	k.endWord()
	return k.dst
}

type keyWriter struct {
	dst     []byte
	start   int
	accents bool
	pending bool  // a separator was seen since the last letter
	shape   uint8 // marks of the letter just written
	tone    uint8 // marks of the word
}

func (k *keyWriter) put(r rune) {
	switch {
	case unicode.Is(unicode.Mn, r):
		k.tone |= markBit(toneMarks, r)
		k.shape |= markBit(shapeMarks, r)
	case unicode.IsLetter(r) || unicode.IsDigit(r):
		k.endLetter()
		if k.pending && len(k.dst) > k.start {
			k.dst = append(k.dst, ' ')
		}
		k.pending = false
		r = unicode.ToLower(r)
		if r == 'đ' && !k.accents {
			r = 'd'
		}
		k.dst = utf8.AppendRune(k.dst, r)
	default:
		k.endWord()
		k.pending = true
	}
}

func (k *keyWriter) endLetter() {
	if k.accents && len(k.dst) > k.start && !k.pending {
		k.dst = appendMarks(k.dst, shapeMarks, k.shape)
	}
	k.shape = 0
}

func (k *keyWriter) endWord() {
	k.endLetter()
	if k.accents && len(k.dst) > k.start && !k.pending {
		k.dst = appendMarks(k.dst, toneMarks, k.tone)
	}
	k.tone = 0
}

// textClass says what must happen to text before it may travel.
type textClass uint8

const (
	textClean  textClass = iota // valid and in NFC
	textCheck                   // needs the full check
	textBroken                  // not UTF-8, or has a NUL byte, which no database of text accepts
)

// classify is the quick look at text. Characters below U+0300 and those of
// U+1E00-U+1EFF, which is all of written Vietnamese, are in NFC by themselves and
// combine with nothing before them; anything else is left to checkText.
func classify(b []byte) textClass {
	i := 0
	for len(b)-i >= 8 {
		// Eight bytes at once: no high bit, and none of them zero.
		x := uint64(b[i]) | uint64(b[i+1])<<8 | uint64(b[i+2])<<16 | uint64(b[i+3])<<24 |
			uint64(b[i+4])<<32 | uint64(b[i+5])<<40 | uint64(b[i+6])<<48 | uint64(b[i+7])<<56
		if (x|(x-0x0101010101010101))&0x8080808080808080 != 0 {
			break
		}
		i += 8
	}
	for i < len(b) {
		c := b[i]
		switch {
		case c == 0:
			return textBroken
		case c < utf8.RuneSelf:
			i++
		case c >= 0xC2 && c <= 0xCB: // U+0080-U+02FF
			if i+1 >= len(b) || b[i+1]&0xC0 != 0x80 {
				return textBroken
			}
			i += 2
		case c == 0xE1 && i+2 < len(b) && b[i+1] >= 0xB8 && b[i+1] <= 0xBB: // U+1E00-U+1EFF
			if b[i+2]&0xC0 != 0x80 {
				return textBroken
			}
			i += 3
		default:
			return textCheck
		}
	}
	return textClean
}

// checkText is the full check for what classify could not decide.
func checkText(b []byte) textClass {
	if !utf8.Valid(b) {
		return textBroken
	}
	for _, c := range b {
		if c == 0 {
			return textBroken
		}
	}
	if norm.NFC.QuickSpan(b) == len(b) { // IsNormal would allocate; composing what was normal changes nothing
		return textClean
	}
	return textCheck
}

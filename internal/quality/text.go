package quality

import (
	"encoding/binary"
	"math/bits"
	"unicode"
	"unicode/utf8"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// validText reports whether the bytes are UTF-8 without NUL, which no
// PostgreSQL text column can hold. Plain ASCII is decided eight bytes at a time.
func validText(text []byte) bool {
	const (
		highs = 0x8080808080808080
		ones  = 0x0101010101010101
	)
	var high uint64
	switch {
	case len(text) >= 8:
		for i := 0; i+8 <= len(text); i += 8 {
			word := binary.LittleEndian.Uint64(text[i:])
			if (word-ones)&^word&highs != 0 {
				return false // a zero byte
			}
			high |= word
		}
		word := binary.LittleEndian.Uint64(text[len(text)-8:]) // the rest, and some of it again
		if (word-ones)&^word&highs != 0 {
			return false
		}
		high |= word
	case len(text) > 0:
		word := keyOf(text)
		full := word | ones<<(8*uint(len(text))) // no zeros behind the text
		if (full-ones)&^full&highs != 0 {
			return false
		}
		high = word
	}
	return high&highs == 0 || utf8.Valid(text)
}

// blank reports whether the text is nothing but white space.
func blank(text []byte) bool {
	if len(text) == 0 {
		return true
	}
	if c := text[0]; c > ' ' && c < utf8.RuneSelf {
		return false
	}
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if !unicode.IsSpace(r) {
			return false
		}
		text = text[size:]
	}
	return true
}

// tidy reports whether valid text has no white space at its ends and none
// doubled. It looks at bytes: only four lead bytes can begin a white space
// outside ASCII.
func tidy(text []byte) bool {
	space := true // as if white space stood before the text
	for i := 0; i < len(text); i++ {
		isSpace := false
		switch c := text[i]; {
		case c > ' ' && c < 0xC2: // ASCII, or the trail of a character that is no space
		case c <= ' ':
			isSpace = c == ' ' || c >= '\t' && c <= '\r'
		case c == 0xE1 && i+1 < len(text) && text[i+1] != 0x9A: // most letters of Vietnamese
		case c == 0xC2, c >= 0xE1 && c <= 0xE3:
			if r, size := utf8.DecodeRune(text[i:]); unicode.IsSpace(r) {
				isSpace = true
				i += size - 1
			}
		}
		if isSpace && space {
			return false
		}
		space = isSpace
	}
	return !space || len(text) == 0
}

// letters answers quickly which characters below U+2000 are letters or
// combining marks: all that Vietnamese and its minority languages write with.
type letters struct {
	letter [0x2000 / 64]uint64
	mark   [0x2000 / 64]uint64
}

func newLetters() *letters {
	l := new(letters)
	for r := range rune(0x2000) {
		if unicode.IsLetter(r) {
			l.letter[r>>6] |= 1 << (r & 63)
		}
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r) {
			l.mark[r>>6] |= 1 << (r & 63)
		}
	}
	return l
}

func (l *letters) isLetter(r rune) bool {
	if r < 0x2000 {
		return l.letter[r>>6]&(1<<(r&63)) != 0
	}
	return unicode.IsLetter(r)
}

func (l *letters) isMark(r rune) bool {
	if r < 0x2000 {
		return l.mark[r>>6]&(1<<(r&63)) != 0
	}
	return unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r)
}

// personName reports whether the text can be the full name of a person: two
// words or more of letters of any script, in which apostrophes, hyphens and
// combining marks (NFD) may stand after a letter. Spacing is the business of
// the check "tidy".
func (l *letters) personName(text []byte) bool {
	words, inWord := 0, false
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c|0x20 >= 'a' && c|0x20 <= 'z':
				if !inWord {
					words++
					inWord = true
				}
			case c == ' ':
				inWord = false
			case c == '\'' || c == '-':
				if !inWord {
					return false
				}
			default:
				return false
			}
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		i += size
		switch {
		case r == utf8.RuneError:
			return false
		case l.isLetter(r):
			if !inWord {
				words++
				inWord = true
			}
		case l.isMark(r), r == '’', r == 'ʼ', r == '‐', r == '‑':
			if !inWord {
				return false
			}
		case unicode.IsSpace(r):
			inWord = false
		default:
			return false
		}
	}
	return words >= 2
}

// isNFC reports whether the text is in Unicode normal form C.
func isNFC(text []byte) bool { return surelyNFC(text) || dictionary.IsNFC(text) }

// surelyNFC reports that the text is in NFC for a reason seen at a glance: no
// character at or above U+0300 except the precomposed letters of Vietnamese.
func surelyNFC(text []byte) bool {
	for i := 0; i < len(text); {
		if text[i] < 0xCC { // up to U+02FF: lead bytes below 0xCC, and their trail bytes
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if r < 0x1EA0 || r > 0x1EF9 {
			return false
		}
		i += size
	}
	return true
}

// trailingBytes is how many whole bytes of zero stand before the first bit that is set.
func trailingBytes(word uint64) int { return bits.TrailingZeros64(word) >> 3 }

package quality

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// Limits of what a mask shows.
const (
	maskDigits = 4  // leading digits
	maskWords  = 4  // words whose first letter is shown
	maskStars  = 3  // longest run of stars for the rest of a word
	maskLength = 40 // characters of the result
)

// Mask turns a value into a sample that its owner can recognise and nobody can
// recover: "096012345678" becomes "0960********", "Nguyễn Văn A" "N*** V** A".
//
// The rule: of all letters and digits at most a third is shown, and of that
// only leading digits (four at most, when the value starts with a digit) and
// the first letters of the first four words. Other digits become "*", the rest of
// a word "*" up to three times; spaces and punctuation stay, because they
// are often the defect. Of dates, timestamps and true or false nothing but
// punctuation is shown, of binary values nothing. Value is the canonical or original text.
func Mask(value []byte, kind lienthong.Kind) string {
	if len(value) == 0 {
		return ""
	}
	if kind == lienthong.Binary {
		return strings.Repeat("*", maskStars)
	}
	budget := 0
	switch kind {
	case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real:
		for rest := value; len(rest) > 0; {
			r, size := utf8.DecodeRune(rest)
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				budget++
			}
			rest = rest[size:]
		}
		budget /= 3
	case lienthong.Date, lienthong.Timestamp, lienthong.Boolean, lienthong.Binary:
	}
	var b strings.Builder
	written := 0
	write := func(r rune) {
		if written < maskLength {
			b.WriteRune(r)
		}
		written++
	}
	leading := value[0] >= '0' && value[0] <= '9'
	digits, words, stars := 0, 0, 0
	inWord := false
	for rest := bytes.TrimPrefix(value, []byte("\ufeff")); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		switch {
		case unicode.IsDigit(r):
			inWord = false
			if leading && digits < maskDigits && budget > 0 {
				write(r)
				digits++
				budget--
			} else {
				write('*')
			}
			continue
		case unicode.IsLetter(r):
			switch {
			case !inWord && words < maskWords && budget > 0:
				write(r)
				words++
				budget--
				stars = 0
			case !inWord:
				write('*')
				stars = 1
			case stars < maskStars:
				write('*')
				stars++
			}
			inWord = true
		case unicode.IsMark(r):
			// part of the letter before it
		case r == ' ' || r < utf8.RuneSelf && unicode.IsPunct(r) || r < utf8.RuneSelf && unicode.IsSymbol(r):
			inWord = false
			write(r)
		case unicode.IsSpace(r):
			inWord = false
			write('␣')
		default:
			inWord = false
			write('?')
		}
		leading = false
	}
	if written > maskLength {
		b.WriteRune('…')
	}
	return b.String()
}

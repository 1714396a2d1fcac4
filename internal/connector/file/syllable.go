package file

import (
	"strings"
	"unicode"
)

// tone of a syllable.
type tone uint8

const (
	noTone tone = iota
	grave
	hook
	tilde
	acute
	dot
)

// toned are the vowels in the order of the tones.
const toned = "aàảãáạ" + "ăằẳẵắặ" + "âầẩẫấậ" + "eèẻẽéẹ" + "êềểễếệ" + "iìỉĩíị" +
	"oòỏõóọ" + "ôồổỗốộ" + "ơờởỡớợ" + "uùủũúụ" + "ưừửữứự" + "yỳỷỹýỵ"

// splitTone takes the tone off a small letter.
func splitTone(r rune) (rune, tone) {
	if r < 0x80 {
		return r, noTone
	}
	plain, n := rune(0), 0
	for _, c := range toned {
		if n%6 == 0 {
			plain = c
		}
		if c == r {
			return plain, tone(n % 6)
		}
		n++
	}
	return r, noTone
}

const (
	syllableStarts = " b c ch d đ g gh gi h k kh l m n ng ngh nh p ph qu r s t th tr v x "
	syllableEnds   = " c ch m n ng nh p t "
	// openRhymes stand at the end of a syllable, closedRhymes before a consonant.
	openRhymes = " a e ê i o ô ơ u ư y ai ao au ay âu ây eo êu ia iu oa oe oi ôi ơi ua uê ui uơ uy ưa ưi ưu " +
		"iêu yêu oai oao oay oeo uai uây uôi uya uyu ươi ươu ya "
	closedRhymes = " a ă â e ê i o ô ơ u ư y iê yê oa oă oe oo uâ uê uô uy uyê ươ ua uă "
)

func inList(list, word string) bool { return strings.Contains(list, " "+word+" ") }

// isSyllable reports whether a word in small letters is a Vietnamese syllable as
// the rules of spelling allow it. Almost nothing that comes out of a wrong decoding is.
func isSyllable(word []rune) bool {
	if len(word) == 0 || len(word) > 8 {
		return false
	}
	var stripped [8]rune
	found, tones := noTone, 0
	for i, r := range word {
		plain, t := splitTone(r)
		stripped[i] = plain
		if t != noTone {
			found = t
			tones++
		}
	}
	if tones > 1 {
		return false
	}
	letters := stripped[:len(word)]
	for start := min(3, len(letters)-1); start >= 0; start-- {
		if start > 0 && !inList(syllableStarts, string(letters[:start])) {
			continue
		}
		rest := letters[start:]
		if inList(openRhymes, string(rest)) {
			return true
		}
		for end := 1; end <= 2 && end < len(rest); end++ {
			final := string(rest[len(rest)-end:])
			if !inList(syllableEnds, final) || !inList(closedRhymes, string(rest[:len(rest)-end])) {
				continue
			}
			if inList(" c ch p t ", final) {
				return found == acute || found == dot
			}
			return true
		}
	}
	return false
}

// plausibility counts the words of a text that have a letter beyond ASCII, and how many of
// them are Vietnamese syllables.
func plausibility(text []byte, scratch []rune) (words, good int, grown []rune) {
	scratch = scratch[:0]
	count := func() {
		beyond := false
		for _, r := range scratch {
			beyond = beyond || r > 0x7f
		}
		if beyond {
			words++
			if isSyllable(scratch) {
				good++
			}
		}
		scratch = scratch[:0]
	}
	for _, r := range string(text) {
		switch {
		case unicode.IsLetter(r) || unicode.Is(unicode.Mn, r):
			scratch = append(scratch, unicode.ToLower(r))
		case r > 0x7f && r != 0xa0 && !punctuation(r):
			scratch = append(scratch, r) // a sign in the middle of a word: a wrong decoding
		default:
			count()
		}
	}
	count()
	return words, good, scratch
}

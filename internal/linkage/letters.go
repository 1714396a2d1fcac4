package linkage

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The combining marks of Vietnamese: shapes belong to a letter (ơ, â, ă), tones to
// a word, wherever in it they are written.
const (
	shapeMarks = "\u031b\u0302\u0306"
	toneMarks  = "\u0300\u0301\u0303\u0309\u0323"
)

// How a word with its marks is written down: after a letter its shape, at the end of the
// word its tone, as bytes that no letter or digit has.
const (
	strokeShape = 1 << 3 // đ
	toneByte    = 0x10
)

type letterClass uint8

const (
	separator letterClass = iota
	baseLetter
	combining
)

// letter is what a character means for comparing.
type letter struct {
	base  uint16
	class letterClass
	shape uint8
	tone  uint8
}

// letters knows every character that Vietnamese and its minority languages are written with.
type letters struct {
	table [0x2000]letter
}

func newLetters() *letters {
	l := new(letters)
	for r := range rune(len(l.table)) {
		l.table[r] = describe(r)
	}
	return l
}

func describe(r rune) letter {
	if unicode.Is(unicode.Mn, r) {
		return letter{class: combining, shape: markBit(shapeMarks, r), tone: markBit(toneMarks, r)}
	}
	if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
		return letter{}
	}
	d := letter{class: baseLetter}
	parts := norm.NFD.PropertiesString(string(r)).Decomposition()
	base := r
	if parts != nil {
		var size int
		base, size = utf8.DecodeRune(parts)
		for parts = parts[size:]; len(parts) > 0; parts = parts[size:] {
			var mark rune
			mark, size = utf8.DecodeRune(parts)
			d.shape |= markBit(shapeMarks, mark)
			d.tone |= markBit(toneMarks, mark)
		}
	}
	base = unicode.ToLower(base)
	if base == 'đ' {
		base, d.shape = 'd', strokeShape
	}
	d.base = uint16(base)
	return d
}

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

// folder takes names apart into words. Its buffers are used again.
type folder struct {
	letters *letters
	marked  []byte // the words with their marks, back to back
	plain   []byte // the words without
	words   []foldedWord
}

// foldedWord says where a word ends in both buffers.
type foldedWord struct {
	marked, plain int
	hasMarks      bool
}

// maxWords is how many words of a name count; a longer name is cut.
const maxWords = 16

// fold splits the text. Case, NFC or NFD, the place of the tone mark, and i or y at the
// end of a word (Lí, Lý) do not count.
func (f *folder) fold(text string) {
	f.marked, f.plain, f.words = f.marked[:0], f.plain[:0], f.words[:0]
	var tone, shape uint8
	inWord, marks := false, false
	startMarked, startPlain := 0, 0
	endLetter := func() {
		if shape != 0 {
			f.marked = append(f.marked, shape)
			shape, marks = 0, true
		}
	}
	endWord := func() {
		if !inWord {
			return
		}
		endLetter()
		f.spell(startMarked, startPlain)
		if tone != 0 {
			f.marked = append(f.marked, toneByte|tone)
			tone, marks = 0, true
		}
		f.words = append(f.words, foldedWord{len(f.marked), len(f.plain), marks})
		startMarked, startPlain = len(f.marked), len(f.plain)
		inWord, marks = false, false
	}
	for _, r := range text {
		var d letter
		if int(r) < len(f.letters.table) {
			d = f.letters.table[r]
		} else if unicode.IsLetter(r) || unicode.IsDigit(r) {
			d.class = baseLetter
		}
		switch d.class {
		case separator:
			endWord()
			if len(f.words) == maxWords {
				return
			}
		case combining:
			if inWord {
				shape |= d.shape
				tone |= d.tone
			}
		case baseLetter:
			if inWord {
				endLetter()
			}
			inWord = true
			base := rune(d.base)
			if base == 0 {
				base = unicode.ToLower(r)
			}
			f.marked = utf8.AppendRune(f.marked, base)
			f.plain = utf8.AppendRune(f.plain, base)
			shape, tone = d.shape, tone|d.tone
		}
	}
	endWord()
}

// spell writes a final y after a consonant as i, which is the same sound: Lý and Lí, Quý and Quí.
func (f *folder) spell(startMarked, startPlain int) {
	word := f.plain[startPlain:]
	n := len(word)
	if n < 2 || word[n-1] != 'y' || len(f.marked) == startMarked || f.marked[len(f.marked)-1] != 'y' {
		return
	}
	switch word[n-2] {
	case 'a', 'e', 'i', 'o', 'y':
		return
	case 'u':
		if n < 3 || word[n-3] != 'q' {
			return
		}
	}
	word[n-1], f.marked[len(f.marked)-1] = 'i', 'i'
}

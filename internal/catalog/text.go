package catalog

import (
	"strings"
	"unicode"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// word is one word of a text as search sees it.
type word struct {
	plain      string // without diacritics
	exact      string // with them, wherever the tone mark was put
	start, end int    // bytes in the text
}

// split takes a text apart: at everything that is no letter or digit, and where small letters are
// followed by a capital.
func split(text string) []word {
	var words []word
	start, small := -1, false
	cut := func(end int) {
		if start >= 0 {
			if w, ok := newWord(text[start:end], start, end); ok {
				words = append(words, w)
			}
		}
		start = -1
	}
	for i, r := range text {
		mark := unicode.Is(unicode.Mn, r)
		switch {
		case mark && start >= 0:
			continue // belongs to the letter before
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			cut(i)
			small = false
			continue
		case small && unicode.IsUpper(r):
			cut(i)
		}
		if start < 0 {
			start = i
		}
		small = unicode.IsLower(r)
	}
	cut(len(text))
	return words
}

func newWord(text string, start, end int) (word, bool) {
	w := word{plain: foldY(dictionary.PlainKey(text)), exact: foldY(dictionary.MatchKey(text)), start: start, end: end}
	return w, w.plain != ""
}

// foldY writes the i of "lí", "kĩ", "quí" the way most people do not, so that both spellings are one.
func foldY(s string) string {
	if !strings.ContainsRune(s, 'y') {
		return s
	}
	b := []byte(s)
	for i := range b {
		if b[i] == 'y' && i > 0 && (strings.IndexByte("hklmst", b[i-1]) >= 0 || b[i-1] == 'u' && i > 1 && b[i-2] == 'q') {
			b[i] = 'i'
		}
	}
	return string(b)
}

// joinDatabase writes "cơ sở dữ liệu" and "database" as the one word that names use: "csdl".
func joinDatabase(words []word) []word {
	joined := make([]word, 0, len(words))
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case i+3 < len(words) && w.plain == "co" && words[i+1].plain == "so" && words[i+2].plain == "du" && words[i+3].plain == "lieu":
			joined = append(joined, word{"csdl", "csdl", w.start, words[i+3].end})
			i += 3
		case w.plain == "database" || w.plain == "databases":
			joined = append(joined, word{"csdl", "csdl", w.start, w.end})
		case w.plain == "csdlqg":
			for _, part := range []string{"csdl", "quoc", "gia"} {
				joined = append(joined, word{part, part, w.start, w.end})
			}
		default:
			joined = append(joined, w)
		}
	}
	return joined
}

// filler tells the words that names are full of. They may be missing from what is found.
func filler(plain string) bool {
	switch plain {
	case "csdl", "ve", "va", "cua", "cac", "la", "of", "the", "and", "for", "on", "in", "a":
		return true
	}
	return false
}

// initials are the first letters of the words: "bca" of "Bộ Công an".
func initials(words []word) string {
	var b strings.Builder
	for _, w := range words {
		if !filler(w.plain) {
			b.WriteByte(w.plain[0])
		}
	}
	return b.String()
}

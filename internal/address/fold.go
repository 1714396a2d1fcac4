package address

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// token is one word or number of an address.
type token struct {
	word       int32 // in the index; 0 when no name has it
	start, end int32 // bytes of the original
	from, to   int32 // its folded letters in scratch.plain
	signature  uint64
	marked     bool // written with tone or diacritic
	number     bool
	hard       bool // a comma or the like stands before it
	soft       bool // a dash stands before it
}

// letter is a Latin letter taken apart.
type letter struct {
	base  byte // 0: no letter
	shape uint8
	tone  uint8
}

// folder takes letters apart. Two spellings of a name that differ in case, Unicode
// form, the place of the tone mark or i for y fold to the same letters and signature;
// without diacritics they fold to the same letters.
type folder struct {
	low  [0x250]letter // U+0000-U+024F
	high [0x100]letter // U+1E00-U+1EFF, all of Vietnamese that is not low
}

const (
	shapeBar      = 8 // đ
	combiningFrom = 0x300
	combiningTo   = 0x36F
)

func newFolder() *folder {
	f := &folder{}
	for r := rune(0); r < 0x250; r++ {
		f.low[r] = takeApart(r)
	}
	for r := rune(0); r < 0x100; r++ {
		f.high[r] = takeApart(0x1E00 + r)
	}
	return f
}

// takeApart decomposes one letter. The Icelandic eth is read as đ: old typewriter fonts
// and some keyboards put it there.
func takeApart(r rune) letter {
	if r == 'đ' || r == 'Đ' || r == 'ð' || r == 'Ð' {
		return letter{base: 'd', shape: shapeBar}
	}
	if !unicode.IsLetter(r) {
		return letter{}
	}
	var l letter
	for i, part := range []rune(norm.NFD.String(string(r))) {
		if i == 0 {
			part = unicode.ToLower(part)
			if part < 'a' || part > 'z' {
				return letter{}
			}
			l.base = byte(part)
			continue
		}
		shape, tone := combining(part)
		l.shape |= shape
		l.tone |= tone
	}
	return l
}

// combining returns what a combining mark adds to a letter and to its word.
func combining(r rune) (shape, tone uint8) {
	switch r {
	case 0x31B: // horn
		return 1, 0
	case 0x302: // circumflex
		return 2, 0
	case 0x306: // breve
		return 4, 0
	case 0x300:
		return 0, 1
	case 0x301:
		return 0, 2
	case 0x303:
		return 0, 4
	case 0x309:
		return 0, 8
	case 0x323:
		return 0, 16
	}
	return 0, 0
}

func (f *folder) letter(r rune) letter {
	switch {
	case r < 0x250:
		return f.low[r]
	case r >= 0x1E00 && r < 0x1F00:
		return f.high[r-0x1E00]
	}
	return letter{}
}

// maxTokens bounds the work for one text; of a longer one the last tokens count.
const maxTokens = 96

// reader cuts a text into tokens.
type reader struct {
	folder *folder
	words  map[string]int32
	plain  []byte
	tokens []token

	open       bool
	current    token
	base       byte // the letter that marks may still follow
	shape      uint8
	tone       uint8
	hard, soft bool
}

// tokenise fills tokens and plain. Letters and digits part: "P12" is two tokens.
func (r *reader) tokenise(text string) {
	r.plain, r.tokens = r.plain[:0], r.tokens[:0]
	r.open, r.hard, r.soft = false, true, false
	for i := 0; i < len(text); {
		c := rune(text[i])
		size := 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(text[i:])
		}
		switch l := r.folder.letter(c); {
		case l.base != 0:
			r.begin(i, false)
			r.flush()
			r.base, r.shape = l.base, l.shape
			r.tone |= l.tone
		case c >= '0' && c <= '9':
			r.begin(i, true)
			r.plain = append(r.plain, byte(c))
		case c >= combiningFrom && c <= combiningTo:
			shape, tone := combining(c)
			if r.open && !r.current.number {
				r.shape |= shape
				r.tone |= tone
			}
		case c >= utf8.RuneSelf && c != utf8.RuneError && (unicode.IsLetter(c) || unicode.IsDigit(c)):
			r.begin(i, false)
			r.flush()
			c = unicode.ToLower(c)
			r.plain = utf8.AppendRune(r.plain, c)
			r.current.signature = mix(r.current.signature, uint64(c))
		case c >= utf8.RuneSelf && unicode.Is(unicode.Mn, c): // marks that Vietnamese does not have
		default:
			r.close(i)
			switch c {
			case ',', ';', '(', ')', '[', ']', '{', '}', '|', '\n', '\r', '\t', '，', '、', ':':
				r.hard = true
			case '/', '\\':
				if i == 0 || i+1 >= len(text) || !isDigit(text[i-1]) || !isDigit(text[i+1]) {
					r.hard = true
				}
			case '-', '–', '—', '_':
				r.soft = true
			}
		}
		i += size
	}
	r.close(len(text))
	if extra := len(r.tokens) - maxTokens; extra > 0 {
		r.tokens = append(r.tokens[:0], r.tokens[extra:]...)
		r.tokens[0].hard = true
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func mix(signature, part uint64) uint64 { return (signature ^ part) * 0x9E3779B97F4A7C15 }

// begin opens a token, or goes on with the open one when it is of the same class.
func (r *reader) begin(at int, number bool) {
	if r.open && r.current.number == number {
		return
	}
	r.close(at)
	r.open = true
	r.current = token{start: int32(at), from: int32(len(r.plain)), number: number, hard: r.hard, soft: r.soft, signature: 1}
	r.hard, r.soft = false, false
}

// flush writes the letter whose marks are complete.
func (r *reader) flush() {
	if r.base == 0 {
		return
	}
	r.plain = append(r.plain, r.base)
	r.current.signature = mix(r.current.signature, uint64(r.base)|uint64(r.shape)<<8)
	r.current.marked = r.current.marked || r.shape != 0
	r.base, r.shape = 0, 0
}

func (r *reader) close(at int) {
	if !r.open {
		return
	}
	r.open = false
	t := &r.current
	if r.base == 'y' && r.soundsLikeI() {
		r.base = 'i'
	}
	r.flush()
	t.end, t.to = int32(at), int32(len(r.plain))
	if t.number {
		for t.to-t.from > 1 && r.plain[t.from] == '0' {
			t.from++
		}
	}
	t.signature = mix(t.signature, uint64(r.tone)<<32)
	t.marked = t.marked || r.tone != 0
	r.tone = 0
	if string(r.plain[t.from:t.to]) == "dak" {
		// Đắk, Đăk, Đak, Dak: the official lists themselves use all of them.
		t.signature, t.marked = 2, false
	}
	t.word = r.words[string(r.plain[t.from:t.to])]
	r.tokens = append(r.tokens, *t)
}

// soundsLikeI says whether a final y may be written i as well: Mỹ and Mĩ, Quý and Quí,
// but not Thuý, Tây or the word Ý.
func (r *reader) soundsLikeI() bool {
	word := r.plain[r.current.from:]
	if len(word) == 0 {
		return false
	}
	switch last := word[len(word)-1]; last {
	case 'a', 'e', 'i', 'o', 'y':
		return false
	case 'u':
		return len(word) == 2 && word[0] == 'q'
	}
	return true
}

package file

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"
)

// Before Unicode, Vietnamese was written in fonts that draw their own letters at the places of
// Western ones. Old lists still are: as bytes in CSV, and in workbooks as the Western letters
// ("NguyÔn V¨n A") in a font that shows them right on one computer and wrong on all others.

// textCode is how the letters of a cell are written.
type textCode uint8

const (
	unicodeText textCode = iota
	tcvn3Text            // TCVN 5712 VN3, "ABC" fonts: .VnTime, .VnArial
	tcvn3Upper           // the same in a font of capitals: .VnTimeH
	vniText              // VNI-Times, VNI-Helve
	cp1258Text           // Windows-1258: letters with combining tones
)

// tcvn3Pairs is TCVN3, each place before its letter. It has capitals only without a tone;
// the others are small letters in a font of capitals.
const tcvn3Pairs = "¡Ă¢Â£Ê¤Ô¥Ơ¦Ư§Đ" + "¨ă©âªê«ô¬ơ\u00adư®đ" +
	"µà¶ả·ã¸á¹ạ" + "»ằ¼ẳ½ẵ¾ắÆặ" + "ÇầÈẩÉẫÊấËậ" + "ÌèÎẻÏẽÐéÑẹ" + "ÒềÓểÔễÕếÖệ" + "×ìØỉÜĩÝíÞị" +
	"ßòáỏâõãóäọ" + "åồæổçỗèốéộ" + "êờëởìỡíớîợ" + "ïùñủòũóúôụ" + "õừöử÷ữøứùự" + "úỳûỷüỹýýþỵ"

// vniMarks is VNI: a letter, then a mark that is a letter of its own. Each line is a letter,
// then pairs of mark and result, in small letters.
const vniMarks = "a" + "ùáøàûảõãïạ" + "ââáấàầåẩãẫäậ" + "êăéắèằúẳüẵëặ" + "\n" +
	"e" + "ùéøèûẻõẽïẹ" + "âêáếàềåểãễäệ" + "\n" +
	"o" + "ùóøòûỏõõïọ" + "âôáốàồåổãỗäộ" + "\n" +
	"u" + "ùúøùûủõũïụ" + "\n" +
	"y" + "ùýøỳûỷõỹïỵ" + "\n" +
	"ô" + "ùớøờûởõỡïợ" + "\n" +
	"ö" + "ùứøừûửõữïự" + "\n"

// vniSingles are the letters of VNI that stand alone.
const vniSingles = "ôơöưñđííììæỉóĩòịîỵ"

// translator turns cells into Unicode in NFC. It is not safe for concurrent use.
type translator struct {
	tcvn3   [256]rune
	single  [256]rune
	marked  map[[2]rune]rune
	scratch []byte
	runes   []rune
}

func newTranslator() *translator {
	t := &translator{marked: map[[2]rune]rune{}}
	from := rune(0)
	for _, r := range tcvn3Pairs {
		if from == 0 {
			from = r
			continue
		}
		t.tcvn3[from], from = r, 0
	}
	for _, r := range vniSingles {
		if from == 0 {
			from = r
			continue
		}
		t.single[from], t.single[unicode.ToUpper(from)] = r, unicode.ToUpper(r)
		from = 0
	}
	letter, mark := rune(0), rune(0)
	for _, r := range vniMarks {
		switch {
		case r == '\n':
			letter = 0
		case letter == 0:
			letter = r
		case mark == 0:
			mark = r
		default:
			// The letter decides the case, whatever case the mark was typed in.
			for _, m := range [2]rune{mark, unicode.ToUpper(mark)} {
				t.marked[[2]rune{letter, m}] = r
				t.marked[[2]rune{unicode.ToUpper(letter), m}] = unicode.ToUpper(r)
			}
			mark = 0
		}
	}
	return t
}

// translate returns the cell's text in Unicode. It reports false when the text is
// not written in the code; it is then as it was. The result is valid until the next call.
func (t *translator) translate(text []byte, code textCode) ([]byte, bool) {
	if plain(text) {
		if code == tcvn3Upper {
			t.scratch = appendUpper(t.scratch[:0], text)
			return t.scratch, true
		}
		return text, true
	}
	if code == unicodeText {
		if !utf8.Valid(text) {
			return text, false
		}
		if norm.NFC.QuickSpan(text) == len(text) {
			return text, true
		}
		t.scratch = norm.NFC.Append(t.scratch[:0], text...)
		return t.scratch, true
	}
	t.runes = westernRunes(t.runes[:0], text)
	for _, r := range t.runes {
		if r > 0xff && !punctuation(r) {
			return text, false
		}
	}
	ok := false
	switch code {
	case tcvn3Text, tcvn3Upper:
		ok = t.fromTCVN3(code == tcvn3Upper)
	case vniText:
		ok = t.fromVNI()
	case cp1258Text:
		ok = t.from1258()
	case unicodeText:
	}
	if !ok {
		return text, false
	}
	return t.scratch, true
}

// plain reports whether the text is ASCII, which all codes share.
func plain(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func appendUpper(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		dst = utf8.AppendRune(dst, unicode.ToUpper(r))
		text = text[n:]
	}
	return dst
}

// westernRunes reads UTF-8, or bytes that are places of a code by themselves.
func westernRunes(dst []rune, text []byte) []rune {
	if !utf8.Valid(text) {
		for _, c := range text {
			dst = append(dst, rune(c))
		}
		return dst
	}
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		dst = append(dst, r)
		text = text[n:]
	}
	return dst
}

// punctuation is what office programs put into any text by themselves.
func punctuation(r rune) bool { return r >= 0x2010 && r <= 0x2026 }

func (t *translator) fromTCVN3(upper bool) bool {
	for i, r := range t.runes {
		if r < 0x80 || r > 0xff || r == 0xa0 {
			continue
		}
		if t.runes[i] = t.tcvn3[r]; t.runes[i] == 0 {
			return false
		}
	}
	if !upper {
		recase(t.runes)
	}
	t.scratch = t.scratch[:0]
	for _, r := range t.runes {
		if upper {
			r = unicode.ToUpper(r)
		}
		t.scratch = utf8.AppendRune(t.scratch, r)
	}
	return true
}

// recase gives back the capitals that TCVN3 cannot tell from small letters: in
// a word, or a whole text, whose certain letters are capitals, and at the start of a
// name in which every other word begins with one ("NguyÔn ThÞ ¸nh").
func recase(runes []rune) {
	whole := capitals(runes)
	words, initials := 0, 0
	eachWord(runes, func(word []rune) {
		words++
		if r := word[0]; !uncertain(r) && unicode.IsUpper(r) {
			initials++
		}
		if whole || capitals(word) {
			for i, r := range word {
				word[i] = unicode.ToUpper(r)
			}
		}
	})
	if initials < 2 {
		return
	}
	named := true
	eachWord(runes, func(word []rune) {
		named = named && (unicode.IsUpper(word[0]) || uncertain(word[0]))
	})
	if named && words > initials {
		eachWord(runes, func(word []rune) { word[0] = unicode.ToUpper(word[0]) })
	}
}

// capitals reports whether certain letters are all capitals, at least one of them not the first.
func capitals(runes []rune) bool {
	inner, previous := false, false
	for _, r := range runes {
		letter := unicode.IsLetter(r)
		if letter && !uncertain(r) {
			if unicode.IsLower(r) {
				return false
			}
			inner = inner || previous
		}
		previous = letter
	}
	return inner
}

// uncertain letters carry a tone, for which TCVN3 has one place for both cases.
func uncertain(r rune) bool {
	_, tone := splitTone(unicode.ToLower(r))
	return tone != noTone
}

func eachWord(runes []rune, visit func([]rune)) {
	start := -1
	for i, r := range runes {
		switch letter := unicode.IsLetter(r); {
		case letter && start < 0:
			start = i
		case !letter && start >= 0:
			visit(runes[start:i])
			start = -1
		}
	}
	if start >= 0 {
		visit(runes[start:])
	}
}

func (t *translator) fromVNI() bool {
	t.scratch = t.scratch[:0]
	for i := 0; i < len(t.runes); i++ {
		r := t.runes[i]
		if i+1 < len(t.runes) {
			if whole, ok := t.marked[[2]rune{r, t.runes[i+1]}]; ok {
				t.scratch = utf8.AppendRune(t.scratch, whole)
				i++
				continue
			}
		}
		if r >= 0x80 && r <= 0xff && r != 0xa0 {
			if r = t.single[r]; r == 0 {
				return false
			}
		}
		t.scratch = utf8.AppendRune(t.scratch, r)
	}
	return true
}

func (t *translator) from1258() bool {
	for i, r := range t.runes {
		if r > 0x7f && r <= 0xff {
			if t.runes[i] = charmap.Windows1258.DecodeByte(byte(r)); t.runes[i] == utf8.RuneError {
				return false
			}
		}
	}
	loose := make([]byte, 0, 2*len(t.runes))
	for _, r := range t.runes {
		loose = utf8.AppendRune(loose, r)
	}
	t.scratch = norm.NFC.Append(t.scratch[:0], loose...)
	return true
}

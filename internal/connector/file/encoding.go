package file

import "unicode/utf8"

// Encoding is how the text of a file is written.
type Encoding string

// The encodings. Auto looks at the text itself and at the fonts of a workbook.
const (
	EncodingAuto   Encoding = "auto"
	EncodingUTF8   Encoding = "utf-8"
	EncodingUTF16  Encoding = "utf-16"
	EncodingTCVN3  Encoding = "tcvn3"
	EncodingVNI    Encoding = "vni"
	EncodingCP1258 Encoding = "windows-1258"
)

func (e Encoding) known() bool {
	switch e {
	case EncodingAuto, EncodingUTF8, EncodingUTF16, EncodingTCVN3, EncodingVNI, EncodingCP1258:
		return true
	}
	return false
}

// code of the letters, once the text is UTF-8 or bytes.
func (e Encoding) code() textCode {
	switch e {
	case EncodingTCVN3:
		return tcvn3Text
	case EncodingVNI:
		return vniText
	case EncodingCP1258:
		return cp1258Text
	case EncodingAuto, EncodingUTF8, EncodingUTF16:
	}
	return unicodeText
}

func (c textCode) encoding() Encoding {
	switch c {
	case tcvn3Text, tcvn3Upper:
		return EncodingTCVN3
	case vniText:
		return EncodingVNI
	case cp1258Text:
		return EncodingCP1258
	case unicodeText:
	}
	return EncodingUTF8
}

// detector collects evidence for each code from the cells of one column or file.
type detector struct {
	translator *translator
	words      [cp1258Text + 1]int
	good       [cp1258Text + 1]int
	refused    [cp1258Text + 1]int // cells that the code cannot have written
	cells      int                 // with letters beyond ASCII
	beyond     bool                // a letter that only Unicode has
	scratch    []rune
}

// add looks at one cell.
func (d *detector) add(text []byte) {
	if plain(text) {
		return
	}
	d.cells++
	isUTF8 := utf8.Valid(text)
	for code := unicodeText; code <= cp1258Text; code++ {
		if code == tcvn3Upper || code == cp1258Text && isUTF8 {
			continue // office programs turn Windows-1258 into Unicode by themselves
		}
		decoded, ok := d.translator.translate(text, code)
		if !ok {
			d.refused[code]++
			continue
		}
		words, good, scratch := plausibility(decoded, d.scratch)
		d.scratch = scratch
		d.words[code] += words
		d.good[code] += good
	}
	if isUTF8 {
		for _, r := range string(text) {
			d.beyond = d.beyond || r > 0xff && !punctuation(r) && r != utf8.RuneError
		}
	}
}

func (d *detector) merge(o *detector) {
	for code := range d.words {
		d.words[code] += o.words[code]
		d.good[code] += o.good[code]
		d.refused[code] += o.refused[code]
	}
	d.cells += o.cells
	d.beyond = d.beyond || o.beyond
}

// score is how well a code explains the cells; a cell it cannot have written
// weighs like a word that is none.
func (d *detector) score(code textCode) float64 {
	total := d.words[code] + d.refused[code]
	if total == 0 {
		return 0
	}
	return float64(d.good[code]) / float64(total)
}

// verdict is the code that explains the cells best, and how sure that is: 1 when every word is a
// syllable and no other code explains any. Text that no old code explains better is Unicode.
func (d *detector) verdict() (textCode, float64) {
	if d.cells == 0 {
		return unicodeText, 1
	}
	best, second := unicodeText, 0.0
	top := d.score(unicodeText)
	for _, code := range [...]textCode{tcvn3Text, vniText, cp1258Text} {
		s := d.score(code)
		// An old code must win clearly: most words are syllables, and more than in Unicode.
		if s > top && s >= 0.4 {
			best, second, top = code, top, s
		} else {
			second = max(second, s)
		}
	}
	if best == unicodeText && d.refused[unicodeText] == 0 && d.beyond {
		return unicodeText, 1
	}
	if top == 0 {
		return best, 0
	}
	return best, top * (1 - second/top/2)
}

// known reports whether there was anything to judge by.
func (d *detector) known() bool { return d.cells > 0 }

// fontCode is the code that a font was made for.
func fontCode(font string) (textCode, bool) {
	lower := make([]byte, 0, len(font))
	for i := range len(font) {
		c := font[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		lower = append(lower, c)
	}
	name := string(lower)
	switch {
	case len(name) > 3 && name[:3] == ".vn":
		if font[len(font)-1] == 'H' {
			return tcvn3Upper, true
		}
		return tcvn3Text, true
	case len(name) > 4 && (name[:4] == "vni-" || name[:4] == "vni " || name[:4] == "vni_"):
		return vniText, true
	}
	return unicodeText, false
}

package quality

// glance is what one look over a text tells. Text of a name or an address is looked at for
// four things (valid, tidy, NFC, blank); for what people write in Vietnamese, one
// pass answers them all.
type glance uint8

const (
	glanced      glance = 1 << iota // the text is valid and in NFC, and the rest says how it stands
	glancedTidy                     // no space at its ends, none doubled
	glancedBlank                    // nothing but spaces
)

// look reads a text once. It answers only for text of ASCII, the letters of Latin-1 and
// Latin Extended, and the precomposed letters of Vietnamese; for all other it returns 0.
func look(text []byte) glance {
	untidy, space, letter := false, true, false // as if a space stood before the text
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c > ' ' && c < 0x80:
			i++
		case c == ' ' || c >= '\t' && c <= '\r':
			untidy = untidy || space
			space = true
			i++
			continue
		case c < 0x80:
			if c == 0 {
				return 0
			}
			i++ // a control character is no space
		case c >= 0xc3 && c < 0xcc && i+1 < len(text) && text[i+1]&0xc0 == 0x80: // U+00C0 to U+02FF
			i += 2
		case c == 0xe1 && i+2 < len(text) && text[i+2]&0xc0 == 0x80 &&
			(text[i+1] == 0xbb && text[i+2] <= 0xb9 || text[i+1] == 0xba && text[i+2] >= 0xa0): // U+1EA0 to U+1EF9
			i += 3
		default:
			return 0
		}
		space, letter = false, true
	}
	switch {
	case !letter:
		return glanced | glancedBlank | tidyIf(len(text) == 0)
	case untidy || space:
		return glanced
	}
	return glanced | glancedTidy
}

func tidyIf(tidy bool) glance {
	if tidy {
		return glancedTidy
	}
	return 0
}

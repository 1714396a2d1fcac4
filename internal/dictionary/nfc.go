package dictionary

import "golang.org/x/text/unicode/norm"

// IsNFC reports whether the text is in Unicode normal form C. It allocates only
// for text that is not, or that needs a second look.
func IsNFC(text []byte) bool {
	return classify(text) == textClean || norm.NFC.QuickSpan(text) == len(text) || norm.NFC.IsNormal(text)
}

package publish

import (
	"math/big"
	"regexp"
	"testing"
	"unicode/utf8"
)

// agree checks that a translated pattern, which RE2 reads too, matches the same texts.
func agree(t *testing.T, pattern, text string) {
	t.Helper()
	original, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil || !utf8.ValidString(text) {
		return
	}
	translated, ok := ecma.translate(pattern)
	if !ok {
		return
	}
	ours, err := regexp.Compile(translated)
	if err != nil {
		t.Fatalf("%q became %q: %v", pattern, translated, err)
	}
	if original.MatchString(text) != ours.MatchString(text) {
		t.Errorf("%q became %q: on %q the first says %v", pattern, translated, text, original.MatchString(text))
	}
}

func decimalsAgree(t *testing.T, bound, value string) {
	canonical := regexp.MustCompile(decimalPattern)
	if !canonical.MatchString(bound) || !canonical.MatchString(value) || len(value) > 400 {
		return
	}
	limit, _ := new(big.Rat).SetString(bound)
	number, _ := new(big.Rat).SetString(value)
	for _, above := range []bool{true, false} {
		text, ok := decimalBound(bound, above)
		if !ok {
			continue
		}
		want := number.Cmp(limit) >= 0
		if !above {
			want = number.Cmp(limit) <= 0
		}
		if got := regexp.MustCompile(text).MatchString(value); got != want {
			t.Errorf("%s against %s (above %v): %v by %s", value, bound, above, got, text)
		}
	}
}

func TestDecimalBound_OrdersEveryPair(t *testing.T) {
	numbers := []string{
		"0", "-0", "0.0", "00", "1", "-1", "01", "1.0", "0.9", "0.99", "1.01", "9", "10", "10.0", "9.99", "99", "100", "99.995", "99.99", "99.9951", "99.9949",
		"0.05", "0.050", "0.049", "0.06", "0.5", "-0.05", "-0.049", "-0.06", "-10", "-9.5", "-99.995", "-100", "1234567890123.45", "1234567890123.4", "105", "105.05", "105.005",
	}
	for _, bound := range numbers {
		for _, value := range numbers {
			decimalsAgree(t, bound, value)
		}
	}
	if _, ok := decimalBound("1234567890123456789012345.1", true); ok {
		t.Error("a bound of any length")
	}
}

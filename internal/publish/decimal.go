package publish

import (
	"strconv"
	"strings"
)

// decimalSize is the size of a decimal bound, from which expressions for larger and smaller
// sizes are made. Values may have zeros in front and behind; they change nothing.
type decimalSize struct {
	negative, zero  bool
	whole, fraction string // without zeros in front, without zeros behind
}

// longestBound keeps the expressions short: a bound has so many digits at most.
const longestBound = 24

// decimalMatcher reads a bound, or returns nil when it is no plain decimal of that length.
func decimalMatcher(bound string) *decimalSize {
	rest, negative := strings.CutPrefix(bound, "-")
	whole, fraction, point := strings.Cut(rest, ".")
	if !onlyDigits(whole) || point && !onlyDigits(fraction) || len(rest) > longestBound {
		return nil
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	return &decimalSize{
		negative: negative && whole+fraction != "", zero: whole+fraction == "", whole: whole, fraction: fraction,
	}
}

func onlyDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

const anyFraction = `(?:\.[0-9]+)?`

// atLeast is an expression for the sizes that are not below.
func (m *decimalSize) atLeast() string {
	n := len(m.whole)
	branches := []string{`0*[1-9][0-9]{` + strconv.Itoa(n) + `,}` + anyFraction} // more digits
	for i := range n {
		if digit := m.whole[i]; digit < '9' {
			branches = append(branches, "0*"+m.whole[:i]+"["+string(digit+1)+"-9][0-9]{"+strconv.Itoa(n-i-1)+"}"+anyFraction)
		}
	}
	// The same whole number: then the fraction decides.
	head := "0*" + m.whole
	if m.whole == "" {
		head = "0+"
	}
	if m.fraction == "" {
		return strings.Join(append(branches, head+anyFraction), "|")
	}
	for i := range len(m.fraction) {
		if digit := m.fraction[i]; digit < '9' {
			branches = append(branches, head+`\.`+m.fraction[:i]+"["+string(digit+1)+"-9][0-9]*")
		}
	}
	return strings.Join(append(branches, head+`\.`+m.fraction+"[0-9]*"), "|")
}

// atMost is an expression for the sizes that are not above.
func (m *decimalSize) atMost() string {
	n := len(m.whole)
	var branches []string
	if n > 0 {
		branches = append(branches, `0*[0-9]{1,`+strconv.Itoa(max(n-1, 1))+`}`+anyFraction) // fewer digits
		if n == 1 {
			branches[0] = "0+" + anyFraction
		}
	}
	for i := range n {
		digit := m.whole[i]
		low := byte('0')
		if i == 0 {
			low = '1'
		}
		if digit > low {
			branches = append(branches, "0*"+m.whole[:i]+"["+string(low)+"-"+string(digit-1)+"][0-9]{"+strconv.Itoa(n-i-1)+"}"+anyFraction)
		}
	}
	head := "0*" + m.whole
	if m.whole == "" {
		head = "0+"
	}
	for i := range len(m.fraction) {
		if digit := m.fraction[i]; digit > '0' {
			branches = append(branches, head+`\.`+m.fraction[:i]+"[0-"+string(digit-1)+"][0-9]*")
		}
	}
	// The bound itself, and what stops before its last digit.
	for i := range len(m.fraction) {
		tail := ""
		if i > 0 {
			tail = `\.` + m.fraction[:i]
		}
		branches = append(branches, head+tail)
	}
	exact := head + `(?:\.0+)?`
	if m.fraction != "" {
		exact = head + `\.` + m.fraction + "0*"
	}
	return strings.Join(append(branches, exact), "|")
}

package quality

import (
	"bytes"
	"encoding/binary"
)

// splitDecimal takes canonical decimal text apart: sign, digits before the
// point without leading zeros, digits after it without trailing zeros.
func splitDecimal(text []byte) (negative bool, whole, fraction []byte, ok bool) {
	if len(text) > 0 && text[0] == '-' {
		negative, text = true, text[1:]
	}
	point := bytes.IndexByte(text, '.')
	whole = text
	if point >= 0 {
		whole, fraction = text[:point], text[point+1:]
		if len(fraction) == 0 {
			return false, nil, nil, false
		}
	}
	if len(whole) == 0 || !digitsOnly(whole) || !digitsOnly(fraction) {
		return false, nil, nil, false
	}
	for len(whole) > 0 && whole[0] == '0' {
		whole = whole[1:]
	}
	for len(fraction) > 0 && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	if len(whole) == 0 && len(fraction) == 0 {
		negative = false
	}
	return negative, whole, fraction, true
}

// compareDecimals orders two numbers written as canonical decimal text, at any
// length and without rounding. It is not ok when one of them is not a number
// (NaN and infinities have no place in an order of amounts).
func compareDecimals(a, b []byte) (order int, ok bool) {
	negativeA, wholeA, fractionA, okA := splitDecimal(a)
	negativeB, wholeB, fractionB, okB := splitDecimal(b)
	if !okA || !okB {
		return 0, false
	}
	if negativeA != negativeB {
		if negativeA {
			return -1, true
		}
		return 1, true
	}
	switch {
	case len(wholeA) < len(wholeB):
		order = -1
	case len(wholeA) > len(wholeB):
		order = 1
	default:
		if order = bytes.Compare(wholeA, wholeB); order == 0 {
			order = bytes.Compare(fractionA, fractionB)
		}
	}
	if negativeA {
		order = -order
	}
	return order, true
}

// decimalText reports whether text is a number in canonical form, or one of the
// special values that databases keep in decimal columns.
func decimalText(text []byte) bool {
	if _, _, _, ok := splitDecimal(text); ok {
		return true
	}
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return true
	}
	return false
}

// digitsOnly reports whether the text is ASCII digits, eight at a time.
func digitsOnly(text []byte) bool {
	if len(text) < 8 {
		for _, c := range text {
			if c < '0' || c > '9' {
				return false
			}
		}
		return true
	}
	for i := 0; i+8 <= len(text); i += 8 {
		if !eightDigits(text[i:]) {
			return false
		}
	}
	return eightDigits(text[len(text)-8:])
}

// eightDigits looks at the high half of each byte, and whether six more would carry into it.
func eightDigits(text []byte) bool {
	word := binary.LittleEndian.Uint64(text)
	return word&0xf0f0f0f0f0f0f0f0 == 0x3030303030303030 && (word+0x0606060606060606)&0xf0f0f0f0f0f0f0f0 == 0x3030303030303030
}

package dictionary

import (
	"bytes"
	"math"
	"strconv"

	"github.com/lienthong/lienthong"
)

// route says how a value of one kind becomes one of another.
type route uint8

const (
	routeNone   route = iota // impossible: refused when the definition is compiled
	routeCopy                // the same kind, and nothing to check
	routeText                // text to text: a copy with a look at its bytes
	routeFrom                // canonical text of the source's kind
	routeParse               // parsed from text
	routeDirect              // number to number, date to time
)

// routeBetween is the table of possible conversions.
func routeBetween(from, to lienthong.Kind) route {
	switch {
	case from == to && from == lienthong.Text:
		return routeText
	case from == to:
		return routeCopy
	case from == lienthong.Binary || to == lienthong.Binary:
		return routeNone
	case from == lienthong.Text:
		return routeParse
	case to == lienthong.Text:
		return routeFrom
	}
	switch from {
	case lienthong.Integer:
		if to == lienthong.Decimal || to == lienthong.Real || to == lienthong.Boolean {
			return routeDirect
		}
	case lienthong.Decimal:
		if to == lienthong.Integer || to == lienthong.Real {
			return routeDirect
		}
	case lienthong.Real:
		if to == lienthong.Integer || to == lienthong.Decimal {
			return routeDirect
		}
	case lienthong.Boolean:
		if to == lienthong.Integer {
			return routeDirect
		}
	case lienthong.Date:
		if to == lienthong.Timestamp {
			return routeDirect
		}
	case lienthong.Timestamp:
		if to == lienthong.Date {
			return routeDirect
		}
	}
	return routeNone
}

// convertDirect converts between kinds that are not text. scratch receives the
// bytes of a decimal and is returned with them.
func convertDirect(v lienthong.Value, from, to lienthong.Kind, zone int64, scratch []byte) (lienthong.Value, []byte, bool) {
	present := lienthong.Value{State: lienthong.Present}
	switch {
	case from == lienthong.Integer && to == lienthong.Decimal:
		start := len(scratch)
		scratch = strconv.AppendInt(scratch, v.Int, 10)
		present.Bytes = scratch[start:len(scratch):len(scratch)]
	case from == lienthong.Integer && to == lienthong.Real:
		if v.Int > 1<<53 || v.Int < -(1<<53) {
			return v, scratch, false // it would come back as another number
		}
		present.Int = realBits(float64(v.Int))
	case from == lienthong.Integer && to == lienthong.Boolean:
		if v.Int != 0 && v.Int != 1 {
			return v, scratch, false
		}
		present.Int = v.Int
	case from == lienthong.Decimal && to == lienthong.Integer:
		n, ok := parseInteger(wholePart(v.Bytes))
		if !ok {
			return v, scratch, false
		}
		present.Int = n
	case from == lienthong.Decimal && to == lienthong.Real:
		f, err := strconv.ParseFloat(string(v.Bytes), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return v, scratch, false
		}
		present.Int = realBits(f)
	case from == lienthong.Real && to == lienthong.Integer:
		f := realValue(v.Int)
		if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return v, scratch, false
		}
		present.Int = int64(f)
	case from == lienthong.Real && to == lienthong.Decimal:
		f := realValue(v.Int)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return v, scratch, false
		}
		if f == 0 {
			f = 0 // a decimal has no negative zero
		}
		start := len(scratch)
		scratch = strconv.AppendFloat(scratch, f, 'f', -1, 64)
		present.Bytes = scratch[start:len(scratch):len(scratch)]
	case from == lienthong.Boolean && to == lienthong.Integer:
		present.Int = v.Int
	case from == lienthong.Date && to == lienthong.Timestamp:
		if v.Int > math.MaxInt64/day-1 || v.Int < math.MinInt64/day+1 {
			return v, scratch, false
		}
		present.Int = v.Int*day - zone
	case from == lienthong.Timestamp && to == lienthong.Date:
		present.Int = floorDiv(v.Int, day)
		if inDay := v.Int - present.Int*day; inDay+zone >= day {
			present.Int++
		}
	default:
		return v, scratch, false
	}
	return present, scratch, true
}

func realBits(f float64) int64 { return int64(math.Float64bits(f)) }

func realValue(n int64) float64 { return math.Float64frombits(uint64(n)) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// parseText reads text as a value of a kind other than text.
func parseText(b []byte, to lienthong.Kind, layouts []layout, zone int64, scratch []byte) (lienthong.Value, []byte, bool) {
	v := lienthong.Value{State: lienthong.Present}
	b = bytes.Trim(b, " \t\r\n")
	if len(b) == 0 {
		return lienthong.Value{State: lienthong.Null}, scratch, true
	}
	ok := false
	switch to {
	case lienthong.Integer:
		v.Int, ok = parseInteger(b)
	case lienthong.Decimal:
		start := len(scratch)
		scratch, ok = appendDecimal(scratch, b)
		v.Bytes = scratch[start:len(scratch):len(scratch)]
	case lienthong.Real:
		if len(b) <= 64 && plainNumber(b) {
			f, err := strconv.ParseFloat(string(b), 64)
			ok = err == nil && !math.IsInf(f, 0)
			v.Int = realBits(f)
		}
	case lienthong.Boolean:
		v.Int, ok = parseBoolean(b)
	case lienthong.Date, lienthong.Timestamp:
		for i := range layouts {
			m, found := layouts[i].parse(b)
			if !found {
				continue
			}
			ok = true
			switch {
			case to == lienthong.Timestamp && m.hasZone:
				v.Int = m.days*day + m.inDay - m.offset
			case to == lienthong.Timestamp:
				v.Int = m.days*day + m.inDay - zone
			default:
				// A date is the day as written: an offset does not move it.
				v.Int = m.days
			}
			break
		}
	case lienthong.Text, lienthong.Binary:
	}
	return v, scratch, ok
}

// parseInteger reads an optional sign and digits that fit into 64 bits.
func parseInteger(b []byte) (int64, bool) {
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (math.MaxUint64-9)/10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	switch {
	case negative && n <= 1<<63:
		return int64(-n), true
	case !negative && n < 1<<63:
		return int64(n), true
	}
	return 0, false
}

// wholePart drops a fraction of zeros, so that "12.00" is the integer 12.
func wholePart(b []byte) []byte {
	if dot := bytes.IndexByte(b, '.'); dot >= 0 && len(bytes.Trim(b[dot+1:], "0")) == 0 {
		return b[:dot]
	}
	return b
}

// plainNumber keeps the forms that only programmers write (0x1p4, 1_000, inf) out.
func plainNumber(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return false
		}
	}
	return true
}

// maxDecimalDigits bounds a decimal, so that a hostile value cannot fill memory.
const maxDecimalDigits = 1000

// appendDecimal appends the canonical form: no plus sign, no leading zeros, a
// digit before the point, no negative zero. Trailing zeros stay, they are the scale.
func appendDecimal(dst, b []byte) ([]byte, bool) {
	start := len(dst)
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	whole, fraction, point := b, []byte(nil), bytes.IndexByte(b, '.')
	if point >= 0 {
		whole, fraction = b[:point], b[point+1:]
	}
	if len(whole)+len(fraction) == 0 || len(b) > maxDecimalDigits {
		return dst, false
	}
	zero := true
	for _, part := range [2][]byte{whole, fraction} {
		for _, c := range part {
			if c < '0' || c > '9' {
				return dst[:start], false
			}
			zero = zero && c == '0'
		}
	}
	if negative && !zero {
		dst = append(dst, '-')
	}
	whole = bytes.TrimLeft(whole, "0")
	if len(whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, whole...)
	if len(fraction) > 0 {
		dst = append(dst, '.')
		dst = append(dst, fraction...)
	}
	return dst, true
}

// parseBoolean accepts what databases and spreadsheets write.
func parseBoolean(b []byte) (int64, bool) {
	if len(b) > 8 {
		return 0, false
	}
	var lower [8]byte
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	switch string(lower[:len(b)]) {
	case "1", "true", "t", "yes", "y", "x", "có":
		return 1, true
	case "0", "false", "f", "no", "n", "không":
		return 0, true
	}
	return 0, false
}

package mysql

import (
	"bytes"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/netip"
	"strconv"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// arena holds the bytes of values that are delivered together and that are not in the
// server's own message. A full block is left to the values that point into it.
type arena struct{ buffer []byte }

func (a *arena) reset() { a.buffer = a.buffer[:0] }

// room makes sure that n bytes fit without moving what was handed out.
func (a *arena) room(n int) int {
	if len(a.buffer)+n > cap(a.buffer) {
		a.buffer = make([]byte, 0, max(2*cap(a.buffer), n, 1024))
	}
	return len(a.buffer)
}

func (a *arena) since(start int) []byte { return a.buffer[start:len(a.buffer):len(a.buffer)] }

func (a *arena) keep(b []byte) []byte {
	start := a.room(len(b))
	a.buffer = append(a.buffer, b...)
	return a.since(start)
}

func present(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

func presentBytes(b []byte) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: b}
}

func malformed(b []byte) lienthong.Value {
	return lienthong.Value{State: lienthong.Malformed, Bytes: b}
}

func realBits(f float64) int64 { return int64(math.Float64bits(f)) }

// fromQuery makes a value of what a query returns for a column. Bytes point into the
// driver's buffer where they can.
func (c *column) fromQuery(found driver.Value, a *arena) lienthong.Value {
	var src []byte
	switch v := found.(type) {
	case nil:
		return lienthong.Value{}
	case int64:
		return c.fromInteger(v, a)
	case uint64:
		return c.fromUnsigned(v, a)
	case float64:
		return present(realBits(v))
	case float32:
		return present(realBits(float64(v)))
	case string:
		src = a.keep([]byte(v))
	case []byte:
		src = v
	default:
		return malformed(nil) // the driver has no other classes
	}
	switch c.codec {
	case codecDecimal, codecUnsigned:
		return presentBytes(trimZeros(src))
	case codecDate:
		return dateValue(src)
	case codecTimestamp:
		return timestampValue(src)
	case codecInteger, codecYear, codecBit, codecBoolean:
		if n, err := strconv.ParseInt(string(src), 10, 64); err == nil {
			return c.fromInteger(n, a)
		}
		return malformed(src)
	case codecReal:
		if f, err := strconv.ParseFloat(string(src), 64); err == nil {
			return present(realBits(f))
		}
		return malformed(src)
	case codecJSON:
		return compactJSON(src, a)
	case codecGeometry:
		return geometryValue(src, a)
	case codecInet6:
		return inetValue(src, a)
	case codecText, codecTime, codecEnum, codecSet, codecUUID, codecInet4:
		if !utf8.Valid(src) {
			return malformed(src)
		}
	case codecBinary:
	}
	return presentBytes(src)
}

func (c *column) fromInteger(n int64, a *arena) lienthong.Value {
	switch c.codec {
	case codecUnsigned, codecDecimal:
		start := a.room(20)
		a.buffer = strconv.AppendInt(a.buffer, n, 10)
		return presentBytes(a.since(start))
	case codecReal:
		return present(realBits(float64(n)))
	}
	return present(n)
}

func (c *column) fromUnsigned(n uint64, a *arena) lienthong.Value {
	if c.codec == codecUnsigned || c.codec == codecDecimal || n > math.MaxInt64 {
		start := a.room(20)
		a.buffer = strconv.AppendUint(a.buffer, n, 10)
		if c.codec.kind() == lienthong.Decimal {
			return presentBytes(a.since(start))
		}
		return malformed(a.since(start))
	}
	return present(int64(n))
}

// trimZeros takes the padding off a number that is declared ZEROFILL.
func trimZeros(src []byte) []byte {
	for len(src) > 1 && src[0] == '0' && src[1] >= '0' && src[1] <= '9' {
		src = src[1:]
	}
	return src
}

// compactJSON takes out the spaces that the server puts between the parts.
func compactJSON(src []byte, a *arena) lienthong.Value {
	var out bytes.Buffer
	if json.Compact(&out, src) != nil {
		return malformed(src)
	}
	return presentBytes(a.keep(out.Bytes()))
}

func inetValue(src []byte, a *arena) lienthong.Value {
	address, ok := netip.AddrFromSlice(src)
	if !ok {
		return malformed(src)
	}
	start := a.room(48)
	a.buffer = address.AppendTo(a.buffer)
	return presentBytes(a.since(start))
}

func uuidValue(src []byte, a *arena) lienthong.Value {
	if len(src) != 16 {
		return malformed(src)
	}
	start := a.room(36)
	from := 0
	for _, to := range [...]int{4, 6, 8, 10, 16} {
		if from > 0 {
			a.buffer = append(a.buffer, '-')
		}
		a.buffer = hex.AppendEncode(a.buffer, src[from:to])
		from = to
	}
	return presentBytes(a.since(start))
}

// digits2 reads two digits.
func digits2(src []byte) (int, bool) {
	if src[0] < '0' || src[0] > '9' || src[1] < '0' || src[1] > '9' {
		return 0, false
	}
	return int(src[0]-'0')*10 + int(src[1]-'0'), true
}

// dateOf reads 2006-01-02. A date with a zero in it, which MySQL allows, is none.
func dateOf(src []byte) (days int64, ok bool) {
	if len(src) < 10 || src[4] != '-' || src[7] != '-' {
		return 0, false
	}
	century, ok1 := digits2(src)
	year, ok2 := digits2(src[2:])
	month, ok3 := digits2(src[5:])
	day, ok4 := digits2(src[8:])
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return 0, false
	}
	return daysOf(century*100+year, month, day)
}

// daysOf counts days from 1970-01-01 in the proleptic Gregorian calendar. MySQL may hold a
// 31st of February (ALLOW_INVALID_DATES), which is none.
func daysOf(year, month, day int) (int64, bool) {
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	y, m, d := int64(year), int64(month), int64(day)
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	if y < 0 {
		era = (y - 399) / 400
	}
	yearOfEra := y - era*400
	dayOfYear := (153*(m-3)+2)/5 + d - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468, true
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

func dateValue(src []byte) lienthong.Value {
	if days, ok := dateOf(src); ok && len(src) == 10 {
		return present(days)
	}
	return malformed(src)
}

// timestampValue reads 2006-01-02 15:04:05 with a fraction. The session's zone is UTC.
func timestampValue(src []byte) lienthong.Value {
	days, ok := dateOf(src)
	if !ok || len(src) < 19 || src[10] != ' ' || src[13] != ':' || src[16] != ':' {
		return malformed(src)
	}
	hour, ok1 := digits2(src[11:])
	minute, ok2 := digits2(src[14:])
	second, ok3 := digits2(src[17:])
	if !ok1 || !ok2 || !ok3 {
		return malformed(src)
	}
	micros := int64(0)
	if len(src) > 19 {
		if src[19] != '.' {
			return malformed(src)
		}
		scale := int64(100_000)
		for _, c := range src[20:] {
			if c < '0' || c > '9' {
				return malformed(src)
			}
			micros += int64(c-'0') * scale
			scale /= 10
		}
	}
	return present((days*86400+int64(hour*3600+minute*60+second))*1_000_000 + micros)
}

package sqlite

import (
	"database/sql/driver"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// kindOf is the kind of a column's declared type. SQLite itself looks for parts
// of the word in the same manner to find the affinity; the types that it does
// not know, dates and booleans, come first.
func kindOf(declared string) lienthong.Kind {
	name := strings.ToUpper(declared)
	has := func(part string) bool { return strings.Contains(name, part) }
	switch {
	case has("BOOL"):
		return lienthong.Boolean
	case has("TIMESTAMP"), has("DATETIME"):
		return lienthong.Timestamp
	case has("DATE") && !has("UPDATE"):
		return lienthong.Date
	case has("INT") && !has("INTERVAL") && !has("POINT"):
		return lienthong.Integer
	case has("CHAR"), has("CLOB"), has("TEXT"):
		return lienthong.Text
	case has("BLOB"), has("BINARY"):
		return lienthong.Binary
	case has("REAL"), has("FLOA"), has("DOUBLE"):
		return lienthong.Real
	case has("NUMERIC"), has("DECIMAL"), has("MONEY"):
		return lienthong.Decimal
	}
	return lienthong.Text
}

// arena holds the bytes of values that are delivered together. Reset makes room
// without giving the memory back.
type arena struct{ buffer []byte }

func (a *arena) reset() { a.buffer = a.buffer[:0] }

// room makes sure that n bytes fit without moving what was handed out: a full
// block is left to the values that point into it.
func (a *arena) room(n int) {
	if len(a.buffer)+n > cap(a.buffer) {
		a.buffer = make([]byte, 0, max(2*cap(a.buffer), n, 4096))
	}
}

func (a *arena) text(s string) []byte {
	a.room(len(s))
	start := len(a.buffer)
	a.buffer = append(a.buffer, s...)
	return a.buffer[start:len(a.buffer):len(a.buffer)]
}

func (a *arena) bytes(b []byte) []byte {
	a.room(len(b))
	start := len(a.buffer)
	a.buffer = append(a.buffer, b...)
	return a.buffer[start:len(a.buffer):len(a.buffer)]
}

const numberRoom = 400 // the longest float64 without an exponent has 327 characters

func (a *arena) integer(n int64) []byte {
	a.room(numberRoom)
	start := len(a.buffer)
	a.buffer = strconv.AppendInt(a.buffer, n, 10)
	return a.buffer[start:len(a.buffer):len(a.buffer)]
}

func (a *arena) float(f float64, format byte) []byte {
	a.room(numberRoom)
	start := len(a.buffer)
	a.buffer = strconv.AppendFloat(a.buffer, f, format, -1, 64)
	return a.buffer[start:len(a.buffer):len(a.buffer)]
}

func present(n int64) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Int: n}
}

func presentBytes(b []byte) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: b}
}

func malformed(b []byte) lienthong.Value {
	return lienthong.Value{State: lienthong.Malformed, Bytes: b}
}

// convert makes a value of the kind from what SQLite stored, whatever its
// storage class: SQLite lets any column hold anything.
func (a *arena) convert(stored driver.Value, kind lienthong.Kind) lienthong.Value {
	switch v := stored.(type) {
	case nil:
		return lienthong.Value{}
	case int64:
		return a.fromInteger(v, kind)
	case float64:
		return a.fromFloat(v, kind)
	case string:
		return a.fromText(v, kind)
	case []byte:
		if kind == lienthong.Binary {
			return presentBytes(a.bytes(v))
		}
		return malformed(a.bytes(v))
	}
	return malformed(nil) // the driver has no other classes
}

func (a *arena) fromInteger(n int64, kind lienthong.Kind) lienthong.Value {
	switch kind {
	case lienthong.Integer:
		return present(n)
	case lienthong.Boolean:
		if n == 0 || n == 1 {
			return present(n)
		}
	case lienthong.Real:
		if f := float64(n); f < math.MaxInt64 && int64(f) == n {
			return present(int64(math.Float64bits(f)))
		}
	case lienthong.Decimal, lienthong.Text:
		return presentBytes(a.integer(n))
	case lienthong.Timestamp:
		// SQLite's own reading of a number as a time: seconds since 1970. Beyond the
		// year 9999 it must be something else, such as milliseconds.
		if n >= -62135596800 && n <= 253402300799 {
			return present(n * 1_000_000)
		}
	case lienthong.Date, lienthong.Binary:
	}
	return malformed(a.integer(n))
}

func (a *arena) fromFloat(f float64, kind lienthong.Kind) lienthong.Value {
	switch kind {
	case lienthong.Real:
		return present(int64(math.Float64bits(f)))
	case lienthong.Integer:
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return present(int64(f))
		}
	case lienthong.Decimal:
		if !math.IsInf(f, 0) {
			return presentBytes(a.float(f, 'f'))
		}
	case lienthong.Text:
		return presentBytes(a.float(f, 'g'))
	case lienthong.Boolean, lienthong.Date, lienthong.Timestamp, lienthong.Binary:
	}
	return malformed(a.float(f, 'g'))
}

func (a *arena) fromText(s string, kind lienthong.Kind) lienthong.Value {
	switch kind {
	case lienthong.Text:
		if utf8.ValidString(s) {
			return presentBytes(a.text(s))
		}
	case lienthong.Binary:
		return presentBytes(a.text(s))
	case lienthong.Date:
		if days, ok := parseDate(s); ok {
			return present(days)
		}
	case lienthong.Timestamp:
		if at, ok := parseTimestamp(s); ok {
			return present(at)
		}
	case lienthong.Boolean:
		switch {
		case s == "1", strings.EqualFold(s, "true"):
			return present(1)
		case s == "0", strings.EqualFold(s, "false"):
			return present(0)
		}
	case lienthong.Decimal:
		if isDecimal(s) {
			return presentBytes(a.text(s))
		}
	case lienthong.Integer:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return present(n)
		}
	case lienthong.Real:
	}
	return malformed(a.text(s))
}

// isDecimal accepts the canonical form only: an optional minus, digits without
// a leading zero, and a fraction.
func isDecimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, fraction, dotted := strings.Cut(s, ".")
	if !digits(whole) || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	return !dotted || digits(fraction)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// number reads digits only; -1 when there is anything else.
func number(s string) int {
	if !digits(s) || len(s) > 9 {
		return -1
	}
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// parseDate reads 2006-01-02 to days since 1970.
func parseDate(s string) (int64, bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	year, month, day := number(s[:4]), number(s[5:7]), number(s[8:])
	if year < 0 || month < 1 || month > 12 || day < 1 {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day {
		return 0, false // 30 February
	}
	return t.Unix() / 86400, true
}

// parseTimestamp reads the forms of SQLite's date functions and of ISO 8601:
// 2006-01-02, then a space or T, 15:04, :05, .999999, and Z or an offset.
// Without an offset the time is UTC, as SQLite's own functions have it.
func parseTimestamp(s string) (int64, bool) {
	if len(s) < 10 {
		return 0, false
	}
	days, ok := parseDate(s[:10])
	if !ok {
		return 0, false
	}
	at := days * 86400
	rest := s[10:]
	if rest == "" {
		return at * 1_000_000, true
	}
	if len(rest) < 6 || rest[0] != ' ' && rest[0] != 'T' || rest[3] != ':' {
		return 0, false
	}
	hour, minute, second := number(rest[1:3]), number(rest[4:6]), 0
	rest = rest[6:]
	var micros int64
	if len(rest) >= 3 && rest[0] == ':' {
		second, rest = number(rest[1:3]), rest[3:]
		if len(rest) >= 2 && rest[0] == '.' {
			end := 1
			for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
				end++
			}
			if end == 1 {
				return 0, false
			}
			scale := int64(100_000)
			for _, c := range rest[1:end] {
				micros += int64(c-'0') * scale
				scale /= 10 // digits beyond microseconds vanish
			}
			rest = rest[end:]
		}
	}
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, false
	}
	at += int64(hour)*3600 + int64(minute)*60 + int64(second)
	switch {
	case rest == "", rest == "Z", rest == "z":
	case len(rest) == 6 && rest[3] == ':' && (rest[0] == '+' || rest[0] == '-'):
		h, m := number(rest[1:3]), number(rest[4:])
		if h < 0 || h > 23 || m < 0 || m > 59 {
			return 0, false
		}
		offset := int64(h)*3600 + int64(m)*60
		if rest[0] == '+' {
			offset = -offset
		}
		at += offset
	default:
		return 0, false
	}
	return at*1_000_000 + micros, true
}

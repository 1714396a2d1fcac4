package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"time"

	"github.com/lienthong/lienthong"
)

// codec says how a column's bytes become a value, in either format of the
// server.
type codec uint8

const (
	codecText codec = iota // the bytes are the text, in both formats: text, varchar, char, name, json, enum
	codecJSONB
	codecUUID
	codecTime
	codecInt2
	codecInt4
	codecInt8
	codecOID
	codecNumeric
	codecFloat4
	codecFloat8
	codecBool
	codecDate
	codecTimestamp
	codecBytea
	codecForeign // a type whose binary format we do not read: only as the server's text
)

// codecOf knows the built-in types. Domains are resolved before.
func codecOf(oid uint32) codec {
	switch oid {
	case 18, 19, 25, 1042, 1043, 114: // "char", name, text, bpchar, varchar, json
		return codecText
	case 3802:
		return codecJSONB
	case 2950:
		return codecUUID
	case 1083:
		return codecTime
	case 21:
		return codecInt2
	case 23:
		return codecInt4
	case 20:
		return codecInt8
	case 26:
		return codecOID
	case 1700:
		return codecNumeric
	case 700:
		return codecFloat4
	case 701:
		return codecFloat8
	case 16:
		return codecBool
	case 1082:
		return codecDate
	case 1114, 1184: // without a zone: read as UTC
		return codecTimestamp
	case 17:
		return codecBytea
	}
	return codecForeign
}

func (c codec) kind() lienthong.Kind {
	switch c {
	case codecInt2, codecInt4, codecInt8, codecOID:
		return lienthong.Integer
	case codecNumeric:
		return lienthong.Decimal
	case codecFloat4, codecFloat8:
		return lienthong.Real
	case codecBool:
		return lienthong.Boolean
	case codecDate:
		return lienthong.Date
	case codecTimestamp:
		return lienthong.Timestamp
	case codecBytea:
		return lienthong.Binary
	case codecText, codecJSONB, codecUUID, codecTime, codecForeign:
	}
	return lienthong.Text
}

const (
	epochDays   = 10957 // from 1970-01-01 to PostgreSQL's 2000-01-01
	epochMicros = epochDays * 86400_000_000
)

// decodeBinary reads a value in the type's binary format. Texts point into src
// or into the arena, which is returned grown. It reports false when src is not of
// the type's length.
func decodeBinary(c codec, src []byte, v *lienthong.Value, arena []byte) ([]byte, bool) {
	v.State, v.Int, v.Bytes = lienthong.Present, 0, nil
	switch c {
	case codecText, codecBytea, codecForeign:
		v.Bytes = src
	case codecInt8:
		if len(src) != 8 {
			return arena, false
		}
		v.Int = int64(binary.BigEndian.Uint64(src))
	case codecInt4:
		if len(src) != 4 {
			return arena, false
		}
		v.Int = int64(int32(binary.BigEndian.Uint32(src)))
	case codecInt2:
		if len(src) != 2 {
			return arena, false
		}
		v.Int = int64(int16(binary.BigEndian.Uint16(src)))
	case codecOID:
		if len(src) != 4 {
			return arena, false
		}
		v.Int = int64(binary.BigEndian.Uint32(src))
	case codecBool:
		if len(src) != 1 {
			return arena, false
		}
		v.Int = int64(src[0] & 1)
	case codecDate:
		if len(src) != 4 {
			return arena, false
		}
		days := int32(binary.BigEndian.Uint32(src))
		if days == math.MaxInt32 || days == math.MinInt32 {
			return infinite(v, days < 0, arena), true
		}
		v.Int = int64(days) + epochDays
	case codecTimestamp:
		if len(src) != 8 {
			return arena, false
		}
		micros := int64(binary.BigEndian.Uint64(src))
		if micros == math.MaxInt64 || micros == math.MinInt64 {
			return infinite(v, micros < 0, arena), true
		}
		if micros > math.MaxInt64-epochMicros {
			start := len(arena)
			arena = time.Unix(micros/1e6+epochDays*86400, micros%1e6*1000).UTC().AppendFormat(arena, "2006-01-02 15:04:05.999999")
			v.State, v.Bytes = lienthong.Malformed, arena[start:]
			return arena, true
		}
		v.Int = micros + epochMicros
	case codecFloat8:
		if len(src) != 8 {
			return arena, false
		}
		v.Int = int64(binary.BigEndian.Uint64(src))
	case codecFloat4:
		if len(src) != 4 {
			return arena, false
		}
		v.Int = realBits(float64(math.Float32frombits(binary.BigEndian.Uint32(src))))
	case codecUUID:
		if len(src) != 16 {
			return arena, false
		}
		start := len(arena)
		arena = appendUUID(arena, src)
		v.Bytes = arena[start:]
	case codecJSONB:
		if len(src) < 1 || src[0] != 1 {
			return arena, false
		}
		v.Bytes = src[1:]
	case codecTime:
		if len(src) != 8 {
			return arena, false
		}
		start := len(arena)
		arena = appendTime(arena, int64(binary.BigEndian.Uint64(src)))
		v.Bytes = arena[start:]
	case codecNumeric:
		start := len(arena)
		grown, special, ok := appendNumeric(arena, src)
		if !ok {
			return arena, false
		}
		arena = grown
		v.Bytes = arena[start:]
		if special {
			v.State = lienthong.Malformed
		}
	}
	return arena, true
}

// decodeText reads a value in the server's text format. A text that is not of
// the kind (an infinite date) becomes Malformed.
func decodeText(c codec, src []byte, v *lienthong.Value, arena []byte) []byte {
	v.State, v.Int, v.Bytes = lienthong.Present, 0, nil
	ok := true
	switch c {
	case codecText, codecJSONB, codecUUID, codecTime, codecForeign:
		v.Bytes = src
	case codecNumeric:
		v.Bytes = src
		last := byte(0)
		if len(src) > 0 {
			last = src[len(src)-1]
		}
		ok = (last >= '0' && last <= '9') || string(src) == "NaN"
	case codecBytea:
		if ok = len(src) >= 2 && src[0] == '\\' && src[1] == 'x'; ok {
			start := len(arena)
			grown, err := hex.AppendDecode(arena, src[2:])
			if ok = err == nil; ok {
				arena = grown
				v.Bytes = arena[start:]
			}
		}
	case codecInt2, codecInt4, codecInt8, codecOID:
		v.Int, ok = parseInt(src)
	case codecFloat8, codecFloat4:
		size := 64
		if c == codecFloat4 {
			size = 32
		}
		f, err := strconv.ParseFloat(string(src), size)
		ok = err == nil
		v.Int = realBits(f)
	case codecBool:
		ok = len(src) == 1 && (src[0] == 't' || src[0] == 'f')
		if ok && src[0] == 't' {
			v.Int = 1
		}
	case codecDate:
		var rest []byte
		v.Int, rest, ok = parseDate(src)
		if string(rest) == " BC" {
			v.Int, ok = beforeChrist(src)
		} else {
			ok = ok && len(rest) == 0
		}
	case codecTimestamp:
		if v.Int, ok = parseTimestamp(src); !ok {
			src = bytes.TrimSuffix(src, []byte("+00")) // as the binary format has it
		}
	}
	if !ok {
		v.State, v.Int, v.Bytes = lienthong.Malformed, 0, src
	}
	return arena
}

func infinite(v *lienthong.Value, negative bool, arena []byte) []byte {
	start := len(arena)
	if negative {
		arena = append(arena, '-')
	}
	arena = append(arena, "infinity"...)
	v.State, v.Bytes = lienthong.Malformed, arena[start:]
	return arena
}

func realBits(f float64) int64 { return int64(math.Float64bits(f)) }

func appendUUID(dst, src []byte) []byte {
	for i, from := range [...]int{0, 4, 6, 8, 10, 16} {
		if i == 5 {
			break
		}
		if i > 0 {
			dst = append(dst, '-')
		}
		to := [...]int{4, 6, 8, 10, 16}[i]
		dst = hex.AppendEncode(dst, src[from:to])
	}
	return dst
}

// appendTime writes a time of day as the server does: 24:00:00 exists, and zeros
// at the end of the fraction are left out.
func appendTime(dst []byte, micros int64) []byte {
	seconds := micros / 1e6
	dst = append2(dst, seconds/3600)
	dst = append(dst, ':')
	dst = append2(dst, seconds/60%60)
	dst = append(dst, ':')
	dst = append2(dst, seconds%60)
	if fraction := micros % 1e6; fraction > 0 {
		dst = append(dst, '.')
		dst = append2(dst, fraction/10000)
		dst = append2(dst, fraction/100%100)
		dst = append2(dst, fraction%100)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}

func append2(dst []byte, n int64) []byte {
	return append(dst, byte('0'+n/10%10), byte('0'+n%10))
}

// appendNumeric writes a numeric as the server does, with the number of decimals
// that it was stored with. special: it is infinite, which decimal text cannot say.
func appendNumeric(dst, src []byte) (out []byte, special, ok bool) {
	if len(src) < 8 {
		return dst, false, false
	}
	count := int(binary.BigEndian.Uint16(src))
	weight := int(int16(binary.BigEndian.Uint16(src[2:])))
	sign := binary.BigEndian.Uint16(src[4:])
	scale := int(binary.BigEndian.Uint16(src[6:]))
	digits := src[8:]
	if len(digits) != count*2 {
		return dst, false, false
	}
	switch sign {
	case 0xC000:
		return append(dst, "NaN"...), false, true
	case 0xD000:
		return append(dst, "Infinity"...), true, true
	case 0xF000:
		return append(dst, "-Infinity"...), true, true
	case 0x4000:
		dst = append(dst, '-')
	case 0:
	default:
		return dst, false, false
	}
	digit := func(i int) uint16 { // the i-th group of four, 0 outside
		if i < 0 || i >= count {
			return 0
		}
		return binary.BigEndian.Uint16(digits[2*i:])
	}
	if weight < 0 {
		dst = append(dst, '0')
	} else {
		dst = strconv.AppendUint(dst, uint64(digit(0)), 10)
		for i := 1; i <= weight; i++ {
			d := digit(i)
			dst = append(dst, byte('0'+d/1000%10), byte('0'+d/100%10), byte('0'+d/10%10), byte('0'+d%10))
		}
	}
	if scale > 0 {
		dst = append(dst, '.')
		end := len(dst) + scale
		for i := weight + 1; len(dst) < end; i++ {
			d := digit(i)
			dst = append(dst, byte('0'+d/1000%10), byte('0'+d/100%10), byte('0'+d/10%10), byte('0'+d%10))
		}
		dst = dst[:end]
	}
	return dst, false, true
}

func parseInt(src []byte) (int64, bool) {
	negative := len(src) > 0 && src[0] == '-'
	if negative {
		src = src[1:]
	}
	if len(src) == 0 || len(src) > 19 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range src {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n < 1<<63
}

// number reads digits up to the next other byte.
func number(src []byte) (n int64, rest []byte, ok bool) {
	i := 0
	for i < len(src) && i < 9 && src[i] >= '0' && src[i] <= '9' {
		n = n*10 + int64(src[i]-'0')
		i++
	}
	return n, src[i:], i > 0
}

// parseDate reads year-month-day and returns what follows.
func parseDate(src []byte) (days int64, rest []byte, ok bool) {
	year, rest, ok := number(src)
	if !ok || len(rest) < 6 || rest[0] != '-' || rest[3] != '-' {
		return 0, nil, false
	}
	month, after, ok := number(rest[1:3])
	if !ok || len(after) != 0 || month < 1 || month > 12 {
		return 0, nil, false
	}
	day, after, ok := number(rest[4:6])
	if !ok || len(after) != 0 || day < 1 || day > 31 {
		return 0, nil, false
	}
	return civilDays(year, month, day), rest[6:], true
}

// beforeChrist reads a date that ends in " BC": year 1 BC is year 0.
func beforeChrist(src []byte) (int64, bool) {
	year, rest, ok := number(src)
	if !ok || len(rest) < 6 {
		return 0, false
	}
	month, _, _ := number(rest[1:3])
	day, _, _ := number(rest[4:6])
	return civilDays(1-year, month, day), true
}

// civilDays counts days from 1970-01-01 in the proleptic Gregorian calendar.
func civilDays(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	if year < 0 {
		era = (year - 399) / 400
	}
	yearOfEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}

func parseTimestamp(src []byte) (int64, bool) {
	days, rest, ok := parseDate(src)
	if !ok || len(rest) < 9 || rest[0] != ' ' || rest[3] != ':' || rest[6] != ':' {
		return 0, false
	}
	hour, a, ok1 := number(rest[1:3])
	minute, b, ok2 := number(rest[4:6])
	second, c, ok3 := number(rest[7:9])
	if !ok1 || !ok2 || !ok3 || len(a)+len(b)+len(c) != 0 {
		return 0, false
	}
	rest = rest[9:]
	micros := int64(0)
	if len(rest) > 0 && rest[0] == '.' {
		rest = rest[1:]
		for scale := int64(100_000); len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9'; scale /= 10 {
			micros += int64(rest[0]-'0') * scale
			rest = rest[1:]
		}
	}
	offset := int64(0)
	if len(rest) >= 3 && (rest[0] == '+' || rest[0] == '-') {
		negative := rest[0] == '-'
		for unit := int64(3600); unit > 0 && len(rest) >= 3 && (unit == 3600 || rest[0] == ':'); unit /= 60 {
			part, after, ok := number(rest[1:3])
			if !ok || len(after) != 0 {
				return 0, false
			}
			offset += part * unit
			rest = rest[3:]
		}
		if negative {
			offset = -offset
		}
	}
	if string(rest) == " BC" {
		if days, ok = beforeChrist(src); !ok {
			return 0, false
		}
	} else if len(rest) != 0 {
		return 0, false
	}
	seconds := days*86400 + hour*3600 + minute*60 + second - offset
	if seconds > math.MaxInt64/1_000_000-1 || seconds < math.MinInt64/1_000_000+1 {
		return 0, false
	}
	return seconds*1_000_000 + micros, true
}

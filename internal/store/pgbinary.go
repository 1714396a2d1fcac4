package store

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/lienthong/lienthong"
)

// PostgreSQL's binary form of values, as COPY and array parameters use it: a
// length of four bytes (-1 for null) and the value, big-endian.

const (
	pgEpochDays   = 10_957                 // 1970-01-01 to 2000-01-01
	pgEpochMicros = 946_684_800_000_000    // likewise
	numericNaN    = 0xC000                 // sign words of numeric
	numericPlus   = 0xD000                 // infinity
	numericMinus  = 0xF000                 // -infinity
	negative      = 0x4000                 //
	digitBase     = 4                      // decimal digits in one numeric digit
	maxDigits     = (131_072 + 16_383) / 4 // numeric digits of the longest number
)

var errBinary = errors.New("value in PostgreSQL's binary form is cut off or unknown")

func appendNull(b []byte) []byte { return append(b, 0xff, 0xff, 0xff, 0xff) }

func appendBytes(b, value []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(value)))
	return append(b, value...)
}

func appendInt64(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 8), uint64(v))
}

func appendInt32(b []byte, v int32) []byte {
	return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 4), uint32(v))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0, 0, 0, 1, 1)
	}
	return append(b, 0, 0, 0, 1, 0)
}

func appendMoment(b []byte, micros int64) []byte {
	if micros != math.MaxInt64 && micros != math.MinInt64 {
		micros -= pgEpochMicros
	}
	return appendInt64(b, micros)
}

func appendValue(b []byte, kind lienthong.Kind, v *lienthong.Value) []byte {
	if v.State != lienthong.Present {
		return appendNull(b)
	}
	switch kind {
	case lienthong.Text, lienthong.Binary:
		return appendBytes(b, v.Bytes)
	case lienthong.Integer, lienthong.Real:
		return appendInt64(b, v.Int)
	case lienthong.Decimal:
		return appendNumeric(b, v.Bytes)
	case lienthong.Boolean:
		return appendBool(b, v.Int != 0)
	case lienthong.Date:
		switch v.Int {
		case math.MaxInt64:
			return appendInt32(b, math.MaxInt32)
		case math.MinInt64:
			return appendInt32(b, math.MinInt32)
		}
		return appendInt32(b, int32(v.Int-pgEpochDays))
	case lienthong.Timestamp:
		return appendMoment(b, v.Int)
	}
	return appendNull(b)
}

// appendNumeric appends a canonical decimal text as a numeric.
func appendNumeric(b, text []byte) []byte {
	switch text[0] {
	case 'N':
		return append(b, 0, 0, 0, 8, 0, 0, 0, 0, numericNaN>>8, 0, 0, 0)
	case 'I':
		return append(b, 0, 0, 0, 8, 0, 0, 0, 0, numericPlus>>8, 0, 0, 0)
	}
	var sign uint16
	if text[0] == '-' {
		sign, text = negative, text[1:]
		if text[0] == 'I' {
			return append(b, 0, 0, 0, 8, 0, 0, 0, 0, numericMinus>>8, 0, 0, 0)
		}
	}
	whole, fraction := text, []byte(nil)
	for i, c := range text {
		if c == '.' {
			whole, fraction = text[:i], text[i+1:]
			break
		}
	}
	start := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	weight, count, zeros := 0, 0, 0
	// A digit of zero is written only when another follows it, and none leads.
	put := func(digit uint16, position int) {
		if digit == 0 {
			if count > 0 {
				zeros++
			}
			return
		}
		if count == 0 {
			weight = position
		}
		for ; zeros > 0; zeros-- {
			b, count = append(b, 0, 0), count+1
		}
		b, count = binary.BigEndian.AppendUint16(b, digit), count+1
	}
	position := (len(whole)+digitBase-1)/digitBase - 1
	for i := 0; i < len(whole); {
		size := len(whole) - i - position*digitBase
		var digit uint16
		for _, c := range whole[i : i+size] {
			digit = digit*10 + uint16(c-'0')
		}
		put(digit, position)
		position--
		i += size
	}
	for i := 0; i < len(fraction); i += digitBase {
		var digit uint16
		for j := range digitBase {
			digit *= 10
			if i+j < len(fraction) {
				digit += uint16(fraction[i+j] - '0')
			}
		}
		put(digit, position)
		position--
	}
	head := b[start:]
	binary.BigEndian.PutUint32(head, uint32(8+2*count))
	binary.BigEndian.PutUint16(head[4:], uint16(count))
	binary.BigEndian.PutUint16(head[6:], uint16(int16(weight)))
	binary.BigEndian.PutUint16(head[8:], sign)
	binary.BigEndian.PutUint16(head[10:], uint16(len(fraction)))
	return b
}

// numericText appends the decimal text of a numeric without its length.
func numericText(dst, b []byte) ([]byte, error) {
	if len(b) < 8 {
		return dst, errBinary
	}
	count := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sign := binary.BigEndian.Uint16(b[4:])
	scale := int(binary.BigEndian.Uint16(b[6:]))
	digits := b[8:]
	switch sign {
	case numericNaN:
		return append(dst, "NaN"...), nil
	case numericPlus:
		return append(dst, "Infinity"...), nil
	case numericMinus:
		return append(dst, "-Infinity"...), nil
	case negative:
		dst = append(dst, '-')
	case 0:
	default:
		return dst, errBinary
	}
	if len(digits) != 2*count || count > maxDigits || scale > 16_383 {
		return dst, errBinary
	}
	// digit at a position: position 0 is the last four digits before the point.
	at := func(position int) uint16 {
		if i := weight - position; i >= 0 && i < count {
			return binary.BigEndian.Uint16(digits[2*i:])
		}
		return 0
	}
	begun := false
	for position := weight; position >= 0; position-- {
		d := at(position)
		if d > 9999 {
			return dst, errBinary
		}
		for power := uint16(1000); power > 0; power /= 10 {
			if digit := d / power % 10; digit != 0 || begun {
				begun = true
				dst = append(dst, byte('0'+digit))
			}
		}
	}
	if !begun {
		dst = append(dst, '0')
	}
	if scale == 0 {
		return dst, nil
	}
	dst = append(dst, '.')
	for position, left := -1, scale; left > 0; position-- {
		d := at(position)
		if d > 9999 {
			return dst, errBinary
		}
		for power := uint16(1000); power > 0 && left > 0; power, left = power/10, left-1 {
			dst = append(dst, byte('0'+d/power%10))
		}
	}
	return dst, nil
}

// readValue reads one value without its length. Bytes point into b, or for
// decimals into what is appended to scratch.
func readValue(kind lienthong.Kind, b, scratch []byte) (v lienthong.Value, rest []byte, err error) {
	v.State = lienthong.Present
	want := -1
	switch kind {
	case lienthong.Text, lienthong.Binary:
		v.Bytes = b
		return v, scratch, nil
	case lienthong.Decimal:
		start := len(scratch)
		scratch, err = numericText(scratch, b)
		v.Bytes = scratch[start:]
		return v, scratch, err
	case lienthong.Integer, lienthong.Real, lienthong.Timestamp:
		want = 8
	case lienthong.Date:
		want = 4
	case lienthong.Boolean:
		want = 1
	}
	if len(b) != want {
		return v, scratch, errBinary
	}
	switch kind {
	case lienthong.Timestamp:
		v.Int = int64(binary.BigEndian.Uint64(b))
		if v.Int != math.MaxInt64 && v.Int != math.MinInt64 {
			v.Int += pgEpochMicros
		}
	case lienthong.Date:
		switch days := int32(binary.BigEndian.Uint32(b)); days {
		case math.MaxInt32:
			v.Int = math.MaxInt64
		case math.MinInt32:
			v.Int = math.MinInt64
		default:
			v.Int = int64(days) + pgEpochDays
		}
	case lienthong.Boolean:
		v.Int = int64(b[0])
	default:
		v.Int = int64(binary.BigEndian.Uint64(b))
	}
	return v, scratch, nil
}

// copySignature begins every binary COPY: magic, flags, no extension.
func copySignature() []byte {
	return []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
}

package mysql

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"

	"github.com/lienthong/lienthong"
)

// mapped is a table as a TABLE_MAP event describes it, ready to decode rows.
type mapped struct {
	table  int // index among the tables given to Start; -1 when it is none of them
	body   []byte
	layout *layout
	json   bool   // has a column in MySQL's binary JSON
	event  []byte // the whole event, where json needs it
}

// images decodes the images of rows.
type images struct {
	arena arena
}

// keyOnly and all choose what read takes out of an image.
const (
	all     = false
	keyOnly = true
)

// read decodes one image into values, one for each visible column, and returns what
// follows. A column that the image does not have is Unchanged; so is one that is not of the
// key when only that is wanted.
func (d *images) read(l *layout, src, has []byte, only bool, values []lienthong.Value) (rest []byte, ok bool) {
	held := 0
	for _, b := range has {
		held += bits.OnesCount8(b)
	}
	c := cut{rest: src}
	nulls := c.bytes((held + 7) / 8)
	if c.bad {
		return nil, false
	}
	for i := range values {
		values[i] = lienthong.Value{State: lienthong.Unchanged}
	}
	n := 0
	for i := range l.columns {
		col := &l.columns[i]
		if has[i/8]>>(i%8)&1 == 0 {
			continue
		}
		null := nulls[n/8]>>(n%8)&1 == 1
		n++
		switch {
		case col.slot < 0 || only && !l.isKey[col.slot]:
			if !null {
				skip(&c, col)
			}
		case null:
			values[col.slot] = lienthong.Value{}
		default:
			values[col.slot] = d.value(&c, col)
		}
		if c.bad {
			return nil, false
		}
	}
	return c.rest, true
}

// size is the number of bytes of a column's value in an image.
func size(c *cut, col *column) int {
	switch col.wire {
	case typeTiny, typeYear:
		return 1
	case typeShort:
		return 2
	case typeInt24, typeDate, typeTime:
		return 3
	case typeLong, typeFloat, typeTimestamp:
		return 4
	case typeLongLong, typeDouble, typeDatetime:
		return 8
	case typeNewDecimal:
		return decimalSize(int(col.meta>>8), int(col.meta&0xff))
	case typeBit:
		return (int(col.meta>>8)*8 + int(col.meta&0xff) + 7) / 8
	case typeTimestamp2:
		return 4 + (int(col.meta)+1)/2
	case typeDatetime2:
		return 5 + (int(col.meta)+1)/2
	case typeTime2:
		return 3 + (int(col.meta)+1)/2
	case typeEnum, typeSet:
		return int(col.meta & 0xff)
	case typeVarchar, typeVarString, typeVarcharPacked:
		if col.meta > 255 {
			return int(c.little(2))
		}
		return int(c.byte())
	case typeString:
		if _, length := stringMeta(col.meta); length > 255 {
			return int(c.little(2))
		}
		return int(c.byte())
	case typeBlob, typeGeometry, typeJSON, typeVector, typeBlobPacked:
		if col.meta < 1 || col.meta > 4 {
			c.bad = true
			return 0
		}
		return int(c.little(int(col.meta)))
	case typeNull:
		return 0
	}
	c.bad = true
	return 0
}

func skip(c *cut, col *column) { c.bytes(size(c, col)) }

// value decodes one value.
func (d *images) value(c *cut, col *column) lienthong.Value {
	b := c.bytes(size(c, col))
	if c.bad {
		return lienthong.Value{}
	}
	switch col.wire {
	case typeTiny:
		if col.unsigned {
			return present(int64(b[0]))
		}
		return present(int64(int8(b[0])))
	case typeShort:
		if col.unsigned {
			return present(int64(binary.LittleEndian.Uint16(b)))
		}
		return present(int64(int16(binary.LittleEndian.Uint16(b))))
	case typeInt24:
		n := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		if col.unsigned {
			return present(int64(n))
		}
		return present(int64(int32(n<<8) >> 8))
	case typeLong:
		if col.unsigned {
			return present(int64(binary.LittleEndian.Uint32(b)))
		}
		return present(int64(int32(binary.LittleEndian.Uint32(b))))
	case typeLongLong:
		if n := binary.LittleEndian.Uint64(b); col.unsigned {
			return col.fromUnsigned(n, &d.arena)
		}
		return present(int64(binary.LittleEndian.Uint64(b)))
	case typeNewDecimal:
		start := d.arena.room(80)
		grown, ok := appendDecimal(d.arena.buffer, b, int(col.meta>>8), int(col.meta&0xff))
		d.arena.buffer = grown
		if !ok {
			return malformed(b)
		}
		return presentBytes(d.arena.since(start))
	case typeFloat:
		return present(realBits(float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))))
	case typeDouble:
		return present(int64(binary.LittleEndian.Uint64(b)))
	case typeBit:
		return col.fromUnsigned(big(b), &d.arena)
	case typeYear:
		if b[0] == 0 {
			return present(0)
		}
		return present(int64(b[0]) + 1900)
	case typeDate:
		n := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		year, month, day := int(n>>9), int(n>>5&15), int(n&31)
		if days, ok := daysOf(year, month, day); ok {
			return present(days)
		}
		return d.malformedDate(year, month, day)
	case typeTimestamp, typeTimestamp2:
		return d.timestamp(b, col)
	case typeDatetime, typeDatetime2:
		return d.datetime(b, col)
	case typeTime, typeTime2:
		return d.time(b, col)
	case typeEnum:
		n := int(binaryLittle(b))
		if n < 1 || n > len(col.labels) {
			return presentBytes([]byte{}) // what the server stores for a word that it does not know
		}
		start := d.arena.room(len(col.labels[n-1]))
		d.arena.buffer = append(d.arena.buffer, col.labels[n-1]...)
		return presentBytes(d.arena.since(start))
	case typeSet:
		set := binaryLittle(b)
		start := d.arena.room(64 * 16)
		for i, label := range col.labels {
			if set>>i&1 == 0 {
				continue
			}
			if len(d.arena.buffer) > start {
				d.arena.buffer = append(d.arena.buffer, ',')
			}
			d.arena.buffer = append(d.arena.buffer, label...)
		}
		return presentBytes(d.arena.since(start))
	}
	return d.bytes(b, col)
}

// bytes makes a value of a string of bytes, by what the column means by it.
func (d *images) bytes(b []byte, col *column) lienthong.Value {
	switch col.codec {
	case codecText:
		if col.charset.form == formUTF8 {
			return presentBytes(b)
		}
		start := d.arena.room(4*len(b) + 4)
		grown, ok := col.charset.decode(d.arena.buffer, b)
		d.arena.buffer = grown
		if !ok {
			return malformed(b)
		}
		return presentBytes(d.arena.since(start))
	case codecBinary, codecUUID, codecInet4, codecInet6:
		if len(b) < col.width {
			// The log leaves out zeros at the end.
			start := d.arena.room(col.width)
			d.arena.buffer = append(d.arena.buffer, b...)
			for range col.width - len(b) {
				d.arena.buffer = append(d.arena.buffer, 0)
			}
			b = d.arena.since(start)
		}
		switch col.codec {
		case codecUUID:
			return uuidValue(b, &d.arena)
		case codecInet4, codecInet6:
			return inetValue(b, &d.arena)
		}
		return presentBytes(b)
	case codecGeometry:
		return geometryValue(b, &d.arena)
	}
	return presentBytes(b)
}

func binaryLittle(b []byte) uint64 {
	v := uint64(0)
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// decimalDigits are the bytes that hold so many digits.
func decimalBytes(digits int) int { return digits/9*4 + [...]int{0, 1, 1, 2, 2, 3, 3, 4, 4}[digits%9] }

func decimalSize(precision, scale int) int {
	if precision < scale {
		return 0
	}
	return decimalBytes(precision-scale) + decimalBytes(scale)
}

// appendDecimal writes a packed decimal as the server does: groups of nine digits in four
// bytes, the sign in the first bit, negative numbers inverted.
func appendDecimal(dst, src []byte, precision, scale int) ([]byte, bool) {
	whole := precision - scale
	if whole < 0 || precision > 81 || scale > 38 || len(src) != decimalSize(precision, scale) || len(src) == 0 {
		return dst, false
	}
	flip := byte(0)
	if src[0]&0x80 == 0 {
		flip = 0xff
		dst = append(dst, '-')
	}
	var digits [96]byte
	n, at := 0, 0
	group := func(count int) {
		length := decimalBytes(count)
		v := uint64(0)
		for i := range length {
			b := src[at+i] ^ flip
			if at+i == 0 {
				b ^= 0x80
			}
			v = v<<8 | uint64(b)
		}
		at += length
		for i := count - 1; i >= 0; i-- {
			digits[n+i] = byte('0' + v%10)
			v /= 10
		}
		n += count
	}
	if whole%9 > 0 {
		group(whole % 9)
	}
	for range whole / 9 {
		group(9)
	}
	first := 0
	for first < n-1 && digits[first] == '0' {
		first++
	}
	if n == 0 {
		dst = append(dst, '0')
	} else {
		dst = append(dst, digits[first:n]...)
	}
	if scale > 0 {
		dst = append(dst, '.')
		n = 0
		for range scale / 9 {
			group(9)
		}
		if scale%9 > 0 {
			group(scale % 9)
		}
		dst = append(dst, digits[:n]...)
	}
	return dst, true
}

// fraction reads the part of a second, in microseconds, of so many digits.
func fraction(b []byte, digits int) int64 {
	v := int64(big(b))
	for range 6 - (digits+1)/2*2 {
		v *= 10
	}
	return v
}

func (d *images) timestamp(b []byte, col *column) lienthong.Value {
	var seconds, micros int64
	digits := int(col.meta)
	if col.wire == typeTimestamp {
		seconds, digits = int64(binary.LittleEndian.Uint32(b)), 0
	} else {
		seconds, micros = int64(binary.BigEndian.Uint32(b)), fraction(b[4:], digits)
	}
	if seconds == 0 && micros == 0 {
		return d.malformedTime(0, 0, 0, 0, 0, 0, 0, digits)
	}
	return present(seconds*1_000_000 + micros)
}

func (d *images) datetime(b []byte, col *column) lienthong.Value {
	var year, month, day, hour, minute, second int
	micros, digits := int64(0), int(col.meta)
	if col.wire == typeDatetime {
		n := binary.LittleEndian.Uint64(b)
		date, clock := int(n/1_000_000), int(n%1_000_000)
		year, month, day = date/10_000, date/100%100, date%100
		hour, minute, second, digits = clock/10_000, clock/100%100, clock%100, 0
	} else {
		n := int64(big(b[:5])) - 0x80_0000_0000
		if n < 0 {
			return malformed(b)
		}
		date, clock := n>>17, n&(1<<17-1)
		year, month, day = int(date>>5)/13, int(date>>5)%13, int(date&31)
		hour, minute, second = int(clock>>12), int(clock>>6&63), int(clock&63)
		micros = fraction(b[5:], digits)
	}
	if days, ok := daysOf(year, month, day); ok && hour < 24 && minute < 60 && second < 60 {
		return present((days*86400+int64(hour*3600+minute*60+second))*1_000_000 + micros)
	}
	return d.malformedTime(year, month, day, hour, minute, second, micros, digits)
}

// time writes a time of day or a span as the server does, with the column's digits.
func (d *images) time(b []byte, col *column) lienthong.Value {
	var hour, minute, second, micros int64
	digits, negative := int(col.meta), false
	if col.wire == typeTime {
		n := int64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24) >> 8)
		if negative = n < 0; negative {
			n = -n
		}
		hour, minute, second, digits = n/10_000, n/100%100, n%100, 0
	} else {
		// One number of three bytes and the fraction's, whose zero is in the middle.
		width := uint(8 * len(b))
		n := int64(big(b)) - 1<<(width-1)
		if negative = n < 0; negative {
			n = -n
		}
		whole, part := n>>(width-24), n&(1<<(width-24)-1)
		for range 6 - (digits+1)/2*2 {
			part *= 10
		}
		if width == 24 {
			part = 0
		}
		hour, minute, second, micros = whole>>12&1023, whole>>6&63, whole&63, part
	}
	start := d.arena.room(32)
	if negative {
		d.arena.buffer = append(d.arena.buffer, '-')
	}
	d.appendClock(hour, minute, second, micros, digits)
	return presentBytes(d.arena.since(start))
}

func (d *images) appendClock(hour, minute, second, micros int64, digits int) {
	if hour < 10 {
		d.arena.buffer = append(d.arena.buffer, '0')
	}
	d.arena.buffer = strconv.AppendInt(d.arena.buffer, hour, 10)
	d.arena.buffer = append(d.arena.buffer, ':', byte('0'+minute/10%10), byte('0'+minute%10),
		':', byte('0'+second/10%10), byte('0'+second%10))
	if digits > 0 {
		d.arena.buffer = append(d.arena.buffer, '.')
		for scale := int64(100_000); digits > 0; scale /= 10 {
			d.arena.buffer = append(d.arena.buffer, byte('0'+micros/max(scale, 1)%10))
			digits--
		}
	}
}

func (d *images) appendDate(year, month, day int) {
	for scale := 1000; scale > 0; scale /= 10 {
		d.arena.buffer = append(d.arena.buffer, byte('0'+year/scale%10))
	}
	d.arena.buffer = append(d.arena.buffer, '-', byte('0'+month/10%10), byte('0'+month%10),
		'-', byte('0'+day/10%10), byte('0'+day%10))
}

// malformedDate is a date that is none, such as 0000-00-00, in the server's text.
func (d *images) malformedDate(year, month, day int) lienthong.Value {
	start := d.arena.room(16)
	d.appendDate(year, month, day)
	return malformed(d.arena.since(start))
}

func (d *images) malformedTime(year, month, day, hour, minute, second int, micros int64, digits int) lienthong.Value {
	start := d.arena.room(40)
	d.appendDate(year, month, day)
	d.arena.buffer = append(d.arena.buffer, ' ')
	d.appendClock(int64(hour), int64(minute), int64(second), micros, digits)
	return malformed(d.arena.since(start))
}

package linkage

import (
	"math/bits"
	"time"
)

// digits is a number of up to 14 digits, one in every four bits, the last one lowest,
// with their count in the top four bits. 0 is no number. Kept like this, two numbers are
// compared digit by digit with a handful of instructions.
type digits uint64

const (
	digitBits = 1<<56 - 1
	ones      = 0x0111_1111_1111_1111 & digitBits
)

func (d digits) count() int   { return int(d >> 60) }
func (d digits) bits() uint64 { return uint64(d) & digitBits }

// tail is the last n digits.
func (d digits) tail(n int) uint64 { return d.bits() & (1<<(4*n) - 1) }

// head is the first n digits.
func (d digits) head(n int) uint64 { return d.bits() >> (4 * max(d.count()-n, 0)) }

// multiset is a hash that digits in any order share.
func (d digits) multiset() uint64 {
	sum := uint64(0)
	for b, i := d.bits(), d.count(); i > 0; b, i = b>>4, i-1 {
		sum += 1 << (4 * (b & 15))
	}
	return sum
}

// parseDigits reads the digits of a text. Spaces, dots and hyphens do not count; any
// other character, or too many digits, makes it no number.
func parseDigits(text string) digits {
	value, n := uint64(0), 0
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			value, n = value<<4|uint64(c-'0'), n+1
			if n > 14 {
				return 0
			}
		case c == ' ' || c == '.' || c == '-':
		default:
			return 0
		}
	}
	if n == 0 {
		return 0
	}
	return digits(uint64(n)<<60 | value)
}

// padded puts zeros in front, as spreadsheets lose them.
func (d digits) padded(n int) digits { return digits(uint64(n)<<60 | d.bits()) }

// placeholder reports a number that people enter when they know none: one digit
// repeated, or digits in their order.
func (d digits) placeholder() bool {
	n := d.count()
	b := d.bits()
	last := b & 15
	same, up, down := true, true, true
	for i := 1; i < n; i++ {
		next := b >> (4 * i) & 15
		here := b >> (4 * (i - 1)) & 15
		same = same && next == last
		up = up && (next+1)%10 == here
		down = down && (here+1)%10 == next
	}
	return same || up || down
}

// likeness says how two numbers relate.
type likeness uint8

const (
	notCompared likeness = iota
	alike
	slipped // one digit wrong, missing or too many, or two neighbours swapped
	unlike
)

func compareDigits(a, b digits) likeness {
	if a == 0 || b == 0 {
		return notCompared
	}
	if a == b {
		return alike
	}
	if a.count() != b.count() {
		if a.count() < b.count() {
			a, b = b, a
		}
		if a.count()-b.count() == 1 && lacksOne(a.bits(), b.bits(), a.count()) {
			return slipped
		}
		return unlike
	}
	return slipOf(a.bits(), b.bits())
}

// slipOf compares digit strings of the same length that are not the same.
func slipOf(a, b uint64) likeness {
	x := a ^ b
	x |= x >> 1
	x |= x >> 2
	x &= ones
	switch bits.OnesCount64(x) {
	case 1:
		return slipped
	case 2:
		low := bits.TrailingZeros64(x)
		if x == 1<<low|1<<(low+4) && a>>low&15 == b>>(low+4)&15 && a>>(low+4)&15 == b>>low&15 {
			return slipped
		}
	}
	return unlike
}

// lacksOne reports whether the longer string without one of its n digits is the shorter.
func lacksOne(long, short uint64, n int) bool {
	for i := range n {
		low := long & (1<<(4*i) - 1)
		if long>>(4*(i+1))<<(4*i)|low == short {
			return true
		}
	}
	return false
}

// personalNumber reads a personal number of 12 digits; 10 or 11 digits that do not begin
// with a zero are one whose zeros were lost.
func personalNumber(text string) digits {
	d := parseDigits(text)
	switch n := d.count(); {
	case n == 12 && !d.placeholder():
		return d
	case (n == 10 || n == 11) && d.head(1) != 0 && !d.placeholder():
		return d.padded(12)
	case n == 11 || n == 13: // one digit missing or too many
		return d
	}
	return 0
}

// oldNumber reads an identity card number of 9 digits.
func oldNumber(text string) digits {
	d := parseDigits(text)
	switch n := d.count(); {
	case n == 9 && !d.placeholder():
		return d
	case n == 8 && d.head(1) != 0 && !d.placeholder():
		return d.padded(9)
	}
	return 0
}

// phoneNumber reads a telephone number in its national form of today: with the country
// code replaced, and the mobile prefixes of before 2018 by those that they became.
func phoneNumber(text string) digits {
	if len(text) > 0 && text[0] == '+' {
		text = text[1:]
	}
	d := parseDigits(text)
	n := d.count()
	if n >= 11 && d.head(2) == 0x84 { // 84 9x… -> 0 9x…
		n--
		d = digits(uint64(n)<<60 | d.tail(n-1))
	} else if n == 9 && d.head(1) != 0 {
		d, n = d.padded(10), 10
	}
	if n == 11 && d.head(2) == 0x01 {
		if now := mobilePrefix(d.head(4)); now != 0 {
			d, n = digits(uint64(10)<<60|now<<28|d.tail(7)), 10
		}
	}
	if n < 8 || n > 11 || d.placeholder() {
		return 0
	}
	return d
}

// mobilePrefix is what a four-digit prefix became when numbers of 11 digits were shortened.
func mobilePrefix(old uint64) uint64 {
	switch {
	case old >= 0x0162 && old <= 0x0169:
		return 0x030 | old&15
	case old == 0x0120:
		return 0x070
	case old == 0x0121:
		return 0x079
	case old == 0x0122:
		return 0x077
	case old == 0x0126:
		return 0x076
	case old == 0x0128:
		return 0x078
	case old >= 0x0123 && old <= 0x0125:
		return 0x080 | old&15
	case old == 0x0127:
		return 0x081
	case old == 0x0129:
		return 0x082
	case old == 0x0186:
		return 0x056
	case old == 0x0188:
		return 0x058
	case old == 0x0199:
		return 0x059
	}
	return 0
}

// Date is a day, a month (Day 0) or a year (Month and Day 0). The zero value is no date.
type Date struct {
	Year, Month, Day int
}

// DateOfDays is the date that lies so many days after 1 January 1970.
func DateOfDays(n int64) Date {
	y, m, d := time.Unix(n*86400, 0).UTC().Date()
	return Date{y, int(m), d}
}

// packedDate is a date as eight digits YYYYMMDD, four bits each; 0 is no date.
type packedDate uint32

func packDate(d Date) packedDate {
	if d.Year < 1800 || d.Year > 9999 {
		return 0
	}
	if d.Month < 1 || d.Month > 12 {
		d.Month, d.Day = 0, 0
	}
	if d.Day < 1 || d.Day > 31 {
		d.Day = 0
	}
	two := func(n int) packedDate { return packedDate(n/10<<4 | n%10) }
	return two(d.Year/100)<<24 | two(d.Year%100)<<16 | two(d.Month)<<8 | two(d.Day)
}

func (d packedDate) year() packedDate  { return d >> 16 }
func (d packedDate) month() packedDate { return d >> 8 & 0xff }
func (d packedDate) day() packedDate   { return d & 0xff }
func (d packedDate) full() bool        { return d.day() != 0 }

// filler reports 1 January, which is entered where only the year is known.
func (d packedDate) filler() bool { return d&0xffff == 0x0101 }

// swapped is the date with day and month exchanged; 0 when that is no date or the same.
func (d packedDate) swapped() packedDate {
	if d.day() == d.month() || d.day() == 0 || d.day() > 0x12 {
		return 0
	}
	return d.year()<<16 | d.day()<<8 | d.month()
}

// The levels at which two dates agree.
const (
	dateMissing uint8 = iota
	dateSame
	dateFiller   // the same 1 January
	dateSwapped  // day and month exchanged
	dateSlip     // one digit wrong, or two neighbours swapped
	dateYearOnly // the same year, and one side knows no more
	dateSameYear
	dateOther
	dateLevels
)

func compareDates(a, b packedDate) uint8 {
	switch {
	case a == 0 || b == 0:
		return dateMissing
	case a == b && a.filler():
		return dateFiller
	case a == b && a.full():
		return dateSame
	case a.full() && b.full() && !a.filler() && !b.filler() && a.swapped() == b:
		return dateSwapped
	}
	if a.year() == b.year() {
		switch {
		case a.month() == 0 || b.month() == 0 || a.filler() || b.filler():
			return dateYearOnly
		case !a.full() || !b.full():
			if a.month() == b.month() {
				return dateYearOnly
			}
			return dateSameYear
		}
		if slipOf(uint64(a), uint64(b)) == slipped {
			return dateSlip
		}
		return dateSameYear
	}
	if a.full() && b.full() && !a.filler() && !b.filler() && slipOf(uint64(a), uint64(b)) == slipped {
		return dateSlip
	}
	return dateOther
}

package dictionary

import (
	"errors"
	"fmt"
	"strings"
)

// microseconds in larger units.
const (
	second = int64(1_000_000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// vietnamOffset is Vietnam's distance from UTC. There is one zone and no summer time.
const vietnamOffset = 7 * hour

// layout is a Go time layout made ready for parsing bytes without allocation. It
// knows the numeric elements only: a month by name or a year of two digits cannot be told
// for certain and is refused when the definition is compiled.
type layout struct {
	text  string
	parts []layoutPart
	clock bool // it has a time of day
	zone  bool // it has an offset
}

type layoutPart struct {
	element byte   // see the elements below; 0 for a literal
	fixed   bool   // exactly two digits
	literal string // what must stand here
}

const (
	elementYear   = 'Y'
	elementMonth  = 'M'
	elementDay    = 'D'
	elementHour   = 'h'
	elementMinute = 'm'
	elementSecond = 's'
	elementZone   = 'z'
	elementZulu   = 'Z' // an offset or "Z"
)

// layoutElements in the order in which they are tried at each place.
func layoutElements() []struct {
	text    string
	element byte
	fixed   bool
} {
	return []struct {
		text    string
		element byte
		fixed   bool
	}{
		{"2006", elementYear, true},
		{"Z07:00", elementZulu, true},
		{"-07:00", elementZone, true},
		{"01", elementMonth, true},
		{"02", elementDay, true},
		{"15", elementHour, false},
		{"04", elementMinute, true},
		{"05", elementSecond, true},
		{"1", elementMonth, false},
		{"2", elementDay, false},
		{"4", elementMinute, false},
		{"5", elementSecond, false},
	}
}

// compileLayout reads a Go layout such as "02/01/2006 15:04".
func compileLayout(text string) (layout, error) {
	result := layout{text: text}
	seen := map[byte]bool{}
	rest := text
next:
	for rest != "" {
		for _, refused := range []string{"Jan", "Mon", "MST", "PM", "pm", "002", "_2", "-0700", "-07", "Z0700", "Z07"} {
			if strings.HasPrefix(rest, refused) && !strings.HasPrefix(rest, "-07:00") && !strings.HasPrefix(rest, "Z07:00") && !strings.HasPrefix(rest, "2006") {
				return layout{}, fmt.Errorf("element %q is not supported", refused)
			}
		}
		if strings.HasPrefix(rest, "06") || strings.HasPrefix(rest, "03") {
			return layout{}, fmt.Errorf("element %q is ambiguous", rest[:2])
		}
		for _, known := range layoutElements() {
			if !strings.HasPrefix(rest, known.text) {
				continue
			}
			key := known.element
			if key == elementZulu {
				key = elementZone
			}
			if seen[key] {
				return layout{}, fmt.Errorf("element %q stands twice", known.text)
			}
			seen[key] = true
			result.parts = append(result.parts, layoutPart{element: known.element, fixed: known.fixed})
			rest = rest[len(known.text):]
			if known.element == elementSecond && len(rest) > 1 && rest[0] == '.' && (rest[1] == '0' || rest[1] == '9') {
				rest = strings.TrimLeft(rest[1:], rest[1:2]) // a fraction is accepted anyway
			}
			continue next
		}
		if c := rest[0]; c >= '0' && c <= '9' || c >= 0x80 {
			return layout{}, fmt.Errorf("%q is not a part of a layout", rest[:1])
		}
		if n := len(result.parts); n > 0 && result.parts[n-1].element == 0 {
			result.parts[n-1].literal += rest[:1]
		} else {
			result.parts = append(result.parts, layoutPart{literal: rest[:1]})
		}
		rest = rest[1:]
	}
	if !seen[elementYear] || !seen[elementMonth] || !seen[elementDay] {
		return layout{}, errors.New("year, month and day are needed: 2006, 01, 02")
	}
	result.clock = seen[elementHour]
	result.zone = seen[elementZone]
	if (seen[elementMinute] || seen[elementSecond] || seen[elementZone]) && !result.clock {
		return layout{}, errors.New("minutes, seconds or an offset without hours")
	}
	return result, nil
}

// moment is what a layout found in a text.
type moment struct {
	days    int64 // since 1970-01-01
	inDay   int64 // microseconds since midnight
	offset  int64 // microseconds east of UTC
	hasZone bool
}

// parse reads all of b. It accepts a fraction after the seconds whether or not
// the layout has one, as package time does.
func (l *layout) parse(b []byte) (moment, bool) {
	var m moment
	var year, month, dayOfMonth, h, mi, s, micros int64
	ok := false
	for i := range l.parts {
		part := &l.parts[i]
		switch part.element {
		case 0:
			if len(b) < len(part.literal) || string(b[:len(part.literal)]) != part.literal {
				return m, false
			}
			b = b[len(part.literal):]
		case elementYear:
			if len(b) < 4 {
				return m, false
			}
			if year, ok = digitsValue(b[:4]); !ok || year == 0 {
				return m, false
			}
			b = b[4:]
		case elementMonth:
			if month, b, ok = twoDigits(b, part.fixed); !ok {
				return m, false
			}
		case elementDay:
			if dayOfMonth, b, ok = twoDigits(b, part.fixed); !ok {
				return m, false
			}
		case elementHour:
			if h, b, ok = twoDigits(b, part.fixed); !ok || h > 23 {
				return m, false
			}
		case elementMinute:
			if mi, b, ok = twoDigits(b, part.fixed); !ok || mi > 59 {
				return m, false
			}
		case elementSecond:
			if s, b, ok = twoDigits(b, part.fixed); !ok || s > 59 {
				return m, false
			}
			if len(b) > 1 && b[0] == '.' && b[1] >= '0' && b[1] <= '9' {
				unit := second / 10
				for b = b[1:]; len(b) > 0 && b[0] >= '0' && b[0] <= '9'; b = b[1:] {
					micros += int64(b[0]-'0') * unit
					unit /= 10
				}
			}
		case elementZone, elementZulu:
			m.hasZone = true
			if part.element == elementZulu && len(b) > 0 && b[0] == 'Z' {
				b = b[1:]
				continue
			}
			if len(b) < 6 || b[0] != '+' && b[0] != '-' || b[3] != ':' {
				return m, false
			}
			zh, ok1 := digitsValue(b[1:3])
			zm, ok2 := digitsValue(b[4:6])
			if !ok1 || !ok2 || zh > 23 || zm > 59 {
				return m, false
			}
			m.offset = zh*hour + zm*minute
			if b[0] == '-' {
				m.offset = -m.offset
			}
			b = b[6:]
		}
	}
	if len(b) != 0 || month < 1 || month > 12 || dayOfMonth < 1 || dayOfMonth > daysIn(year, month) {
		return m, false
	}
	m.days = civilDays(year, month, dayOfMonth)
	m.inDay = h*hour + mi*minute + s*second + micros
	return m, true
}

func digitsValue(b []byte) (int64, bool) {
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// twoDigits reads two digits, or one or two when fixed is false.
func twoDigits(b []byte, fixed bool) (int64, []byte, bool) {
	if len(b) == 0 || b[0] < '0' || b[0] > '9' {
		return 0, b, false
	}
	if len(b) > 1 && b[1] >= '0' && b[1] <= '9' {
		return int64(b[0]-'0')*10 + int64(b[1]-'0'), b[2:], true
	}
	if fixed {
		return 0, b, false
	}
	return int64(b[0] - '0'), b[1:], true
}

func daysIn(year, month int64) int64 {
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

// civilDays counts days from 1970-01-01 in the proleptic Gregorian calendar. Years
// start in March in the count, so that the leap day comes last.
func civilDays(year, month, dayOfMonth int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	yearOfEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + dayOfMonth - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}

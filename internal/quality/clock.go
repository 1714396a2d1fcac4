package quality

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	dayMicros     = int64(24 * time.Hour / time.Microsecond)
	vietnamMicros = int64(7 * time.Hour / time.Microsecond) // UTC+7, no summer time
	maxDay        = math.MaxInt64/dayMicros - 2             // further days saturate
)

// localDay is the calendar day in Viet Nam of an instant.
func localDay(micros int64) int64 {
	if micros > math.MaxInt64-vietnamMicros {
		micros = math.MaxInt64 - vietnamMicros
	}
	return floorDiv(micros+vietnamMicros, dayMicros)
}

// startOfDay is the instant at which a calendar day begins in Viet Nam.
func startOfDay(day int64) int64 {
	return min(max(day, -maxDay), maxDay)*dayMicros - vietnamMicros
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// span is a length of time in calendar units: "5y", "1y6mo", "30d", "720h".
type span struct {
	months int64
	days   int64
	micros int64
}

// parseSpan reads numbers with units: y, mo, w, d, h, m (minutes), s.
func parseSpan(text string) (span, error) {
	var s span
	rest := text
	if rest == "" {
		return s, errors.New("empty span")
	}
	for rest != "" {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		number, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil || number > 1_000_000 {
			return span{}, fmt.Errorf("span %q: want a number up to 1000000", text)
		}
		rest = rest[digits:]
		letters := 0
		for letters < len(rest) && (rest[letters] < '0' || rest[letters] > '9') {
			letters++
		}
		switch unit := rest[:letters]; unit {
		case "y":
			s.months += 12 * number
		case "mo":
			s.months += number
		case "w":
			s.days += 7 * number
		case "d":
			s.days += number
		case "h":
			s.micros += number * int64(time.Hour/time.Microsecond)
		case "m":
			s.micros += number * int64(time.Minute/time.Microsecond)
		case "s":
			s.micros += number * int64(time.Second/time.Microsecond)
		default:
			return span{}, fmt.Errorf("span %q: unit %q is none of y, mo, w, d, h, m, s", text, unit)
		}
		rest = rest[letters:]
	}
	const limit = 1200 * 12 // months; keeps sums far from overflow
	if s.months > limit || s.days > limit*31 || s.micros > limit*31*dayMicros {
		return span{}, fmt.Errorf("span %q: longer than 1200 years", text)
	}
	return s, nil
}

// ParseInterval reads the declared interval of a dataset, such as "24h", "30d"
// or "1y". A year counts 365 days and a month 30; an empty text is 0, not declared.
func ParseInterval(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	s, err := parseSpan(text)
	if err != nil {
		return 0, err
	}
	days := s.months/12*365 + s.months%12*30 + s.days
	if days > 100*365 {
		return 0, fmt.Errorf("interval %q: longer than 100 years", text)
	}
	return time.Duration(days)*24*time.Hour + time.Duration(s.micros)*time.Microsecond, nil
}

// bound is a place in time that a value is compared with: fixed, or relative to
// the time of the check.
type bound struct {
	relative bool
	exact    bool  // fixed as an instant, not as a day
	day      int64 // fixed
	instant  int64 // fixed and exact
	shift    span  // relative, with sign in sign
	sign     int64
}

// parseBound reads "2006-01-02", an RFC 3339 time, "now" or "now-5y".
func parseBound(text string) (bound, error) {
	if rest, found := strings.CutPrefix(text, "now"); found {
		b := bound{relative: true, sign: 1}
		if rest == "" {
			return b, nil
		}
		switch rest[0] {
		case '-':
			b.sign = -1
		case '+':
		default:
			return bound{}, fmt.Errorf("bound %q: want now, now-5y or now+1d", text)
		}
		var err error
		b.shift, err = parseSpan(rest[1:])
		return b, err
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return bound{day: t.Unix() / 86400}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return bound{exact: true, instant: t.UnixMicro(), day: localDay(t.UnixMicro())}, nil
	}
	return bound{}, fmt.Errorf("bound %q: want 2006-01-02, a time with zone, now or now-5y", text)
}

// boundsOfAt is a bound at the time of the check: as a calendar day, and as the first and
// the last instant of what it means. A day begins and ends at midnight in Viet Nam.
type boundsOfAt struct {
	day, earliest, latest int64
}

// when computes it. Whole batches are checked at one time, so it is seldom done.
func (b *bound) when(s *state) boundsOfAt {
	switch {
	case b.relative:
		at := s.at + b.sign*b.shift.micros
		if b.shift.months != 0 || b.shift.days != 0 {
			at += (addMonths(s.day, b.sign*b.shift.months) + b.sign*b.shift.days - s.day) * dayMicros
		}
		return boundsOfAt{day: localDay(at), earliest: at, latest: at}
	case b.exact:
		return boundsOfAt{day: b.day, earliest: b.instant, latest: b.instant}
	}
	return boundsOfAt{day: b.day, earliest: startOfDay(b.day), latest: startOfDay(b.day+1) - 1}
}

// addMonths moves a day by calendar months. A day that the month does not have
// becomes its last: a year before 29 February is 28 February.
func addMonths(day, months int64) int64 {
	if months == 0 {
		return day
	}
	year, month, dayOfMonth := civil(day)
	index := year*12 + int64(month) - 1 + months
	first := time.Date(int(floorDiv(index, 12)), time.Month(index-floorDiv(index, 12)*12+1), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.Unix()/86400 + int64(min(dayOfMonth, last)) - 1
}

func civil(day int64) (year int64, month time.Month, dayOfMonth int) {
	day = min(max(day, -1_000_000), 10_000_000)
	y, m, d := time.Unix(day*86400, 0).UTC().Date()
	return int64(y), m, d
}

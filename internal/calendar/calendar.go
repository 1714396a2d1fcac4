// Package calendar counts working days in Viet Nam.
//
// A clock that the law sets in working days stands still over weekends, public holidays and days
// that the Government exchanges, and runs on Saturdays that are worked instead. None of these can
// be computed years ahead: the Lunar New Year and the exchanged days are announced year by year.
// So the days off are dated data with a source per row (holidays.csv), the years without
// announcements are marked provisional, and a year without data is refused, never guessed. An
// operator adds a new announcement by a file of the same form: see [Calendar.With].
//
// # Rules
//
//   - Days are those of Viet Nam, UTC+7 all year round. Saturday and Sunday are days of rest
//     unless they are worked in exchange.
//   - The working day ends at 17:00. What happens after that, or on a day that is not worked,
//     counts as if it had happened on the next working day: see [Calendar.Counted].
//   - The day on which something happens is not counted; the first day of a term is the working
//     day after it (Civil Code 91/2015/QH13, article 147). A term ends at 17:00 of its last day.
//
// A Calendar never changes after it was made and is safe for any number of goroutines.
package calendar

import (
	"bytes"
	_ "embed" // holidays.csv
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/lienthong/lienthong"
)

//go:embed holidays.csv
var holidays []byte

// EndOfDay is when a working day ends, after midnight in Viet Nam.
const EndOfDay = 17 * time.Hour

const (
	zone       = 7 * 60 * 60 // seconds east of Greenwich
	secondsDay = 86400
)

// Day is a calendar day in Viet Nam, as days since 1 January 1970: what a
// [lienthong.Value] of kind date holds.
type Day int64

// DayOf is the day in Viet Nam at an instant.
func DayOf(at time.Time) Day {
	seconds := at.Unix() + zone
	day := seconds / secondsDay
	if seconds%secondsDay < 0 {
		day--
	}
	return Day(day)
}

// Date is a day by its civil date.
func Date(year int, month time.Month, day int) Day {
	return Day(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsDay)
}

// ParseDay reads 2006-01-02.
func ParseDay(text string) (Day, error) {
	date, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, &lienthong.Error{
			Code: "calendar.date", Where: text,
			Vi: "ngày không đúng dạng", En: "not a date", Hint: "yyyy-mm-dd",
		}
	}
	return Day(date.Unix() / secondsDay), nil
}

// String writes 2006-01-02.
func (d Day) String() string { return d.utc().Format(time.DateOnly) }

// Year is the civil year of the day.
func (d Day) Year() int { return d.utc().Year() }

// Weekday is the day of the week.
func (d Day) Weekday() time.Weekday { return d.utc().Weekday() }

// Begin is the first instant of the day in Viet Nam.
func (d Day) Begin() time.Time { return time.Unix(int64(d)*secondsDay-zone, 0).In(Zone()) }

// End is 17:00 of the day in Viet Nam: when a term that ends on it runs out.
func (d Day) End() time.Time { return d.Begin().Add(EndOfDay) }

func (d Day) utc() time.Time { return time.Unix(int64(d)*secondsDay, 0).UTC() }

// Zone is the time of Viet Nam. It has had no summer time since 1975, so no zone file is needed.
func Zone() *time.Location { return time.FixedZone("+07", zone) }

// Kind says why a day is not what its weekday says.
type Kind string

// The kinds of entry.
const (
	Holiday    Kind = "holiday"    // ngày lễ, Tết: off by law
	Substitute Kind = "substitute" // nghỉ bù: off because a holiday fell on a day of rest
	Exchanged  Kind = "exchanged"  // nghỉ hoán đổi: off, and worked on another day
	Makeup     Kind = "makeup"     // làm bù: a day of rest that is worked
)

// Entry is one day of the data.
type Entry struct {
	Day         Day
	Kind        Kind
	Provisional bool // not announced yet, or computed
	Vi, En      string
	Source      string
}

// Off reports whether the entry makes its day a day of rest.
func (e *Entry) Off() bool { return e.Kind != Makeup }

// yearInfo is what is known of a year as a whole.
type yearInfo struct{ known, provisional bool }

// Calendar knows the working days of some years.
type Calendar struct {
	entries []Entry // by day
	years   map[int]yearInfo

	// Of the days from first on: how many working days, days of unknown years, and days that
	// may still change there are up to and including each.
	first       Day
	worked      []int32
	unknown     []int32
	provisional []int32
	working     []Day // the working days themselves
}

// Builtin is the calendar that travels inside the program.
func Builtin() (*Calendar, error) {
	return (&Calendar{years: map[int]yearInfo{}}).With("holidays.csv", bytes.NewReader(holidays))
}

// Known reports whether there are data for the year. Without data, counting over it is refused.
func (c *Calendar) Known(year int) bool { return c.years[year].known }

// Provisional reports whether announcements for the year are still to come.
func (c *Calendar) Provisional(year int) bool { return c.years[year].provisional }

// Years lists the years with data.
func (c *Calendar) Years() []int {
	years := make([]int, 0, len(c.years))
	for year := range c.years {
		years = append(years, year)
	}
	slices.Sort(years)
	return years
}

// Entries lists the days of a year that are not what their weekday says.
func (c *Calendar) Entries(year int) []Entry {
	from := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Day >= Date(year, 1, 1) })
	to := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Day > Date(year, 12, 31) })
	return slices.Clone(c.entries[from:to])
}

// Entry is what the data say about a day.
func (c *Calendar) Entry(day Day) (Entry, bool) {
	i, found := slices.BinarySearchFunc(c.entries, day, func(e Entry, d Day) int { return int(e.Day - d) })
	if !found {
		return Entry{}, false
	}
	return c.entries[i], true
}

// IsWorking reports whether the day is worked.
func (c *Calendar) IsWorking(day Day) (bool, error) {
	if err := c.covered(day, day); err != nil {
		return false, err
	}
	return c.sum(c.worked, day)-c.sum(c.worked, day-1) == 1, nil
}

// Between is the number of working days after from, up to and including to; less than 0 when
// to is before from: then the working days from to on, without from, are counted.
// For a working day to that is not before from, Add(from, Between(from, to)) is to.
func (c *Calendar) Between(from, to Day) (int, error) {
	if to < from {
		if err := c.covered(to, from-1); err != nil {
			return 0, err
		}
		return -int(c.sum(c.worked, from-1) - c.sum(c.worked, to-1)), nil
	}
	if to == from {
		return 0, c.covered(from, from)
	}
	if err := c.covered(from+1, to); err != nil {
		return 0, err
	}
	return int(c.sum(c.worked, to) - c.sum(c.worked, from)), nil
}

// Add is the n-th working day after from, or before it when n is less than 0. With 0 it is the
// day itself when that is worked, and the next working day when not.
func (c *Calendar) Add(from Day, n int) (Day, error) {
	if err := c.covered(from, from); err != nil {
		return 0, err
	}
	// Index of the first working day after from.
	after := int(c.sum(c.worked, from))
	index := after + n - 1
	switch {
	case n < 0:
		index = int(c.sum(c.worked, from-1)) + n
	case n == 0:
		index = int(c.sum(c.worked, from-1))
	}
	if index < 0 || index >= len(c.working) {
		if n < 0 {
			return 0, unknownYear(c.first.Year() - 1)
		}
		return 0, unknownYear((c.first + Day(len(c.worked))).Year())
	}
	day := c.working[index]
	if err := c.covered(min(from, day), max(from, day)); err != nil {
		return 0, err
	}
	return day, nil
}

// Counted is the working day on which something that happened at an instant counts as having
// happened: the same day up to 17:00 when it is worked, otherwise the next working day.
func (c *Calendar) Counted(at time.Time) (Day, error) {
	day := DayOf(at)
	if at.After(day.End()) {
		return c.Add(day, 1)
	}
	return c.Add(day, 0)
}

// Due is the end of a term.
type Due struct {
	Day Day
	At  time.Time // 17:00 of Day
	// Provisional: announcements that are still to come may move the end.
	Provisional bool
}

// Deadline is when a term of n working days ends that began with something that happened at
// an instant. Terms of 0 end on the working day on which it counts as having happened.
func (c *Calendar) Deadline(at time.Time, n int) (Due, error) {
	from, err := c.Counted(at)
	if err != nil {
		return Due{}, err
	}
	day, err := c.Add(from, n)
	if err != nil {
		return Due{}, err
	}
	begun := DayOf(at)
	return Due{
		Day: day, At: day.End(),
		Provisional: c.sum(c.provisional, max(day, begun)) > c.sum(c.provisional, min(day, begun)-1),
	}, nil
}

// Age is how many working days lie after the day on which something that happened at an instant
// counts as having happened, up to and including the day of now: 0 on the same day, 5 on the day
// on which a term of five working days ends.
func (c *Calendar) Age(at, now time.Time) (int, error) {
	from, err := c.Counted(at)
	if err != nil {
		return 0, err
	}
	if to := DayOf(now); to > from {
		return c.Between(from, to)
	}
	return 0, nil
}

// sum is the running total of a day; days before the data have 0, days after it the last.
func (c *Calendar) sum(totals []int32, day Day) int32 {
	switch i := int(day - c.first); {
	case i < 0 || len(totals) == 0:
		return 0
	case i >= len(totals):
		return totals[len(totals)-1]
	default:
		return totals[i]
	}
}

// covered refuses spans that touch a year without data.
func (c *Calendar) covered(from, to Day) error {
	last := c.first + Day(len(c.worked)) - 1
	switch {
	case from < c.first:
		return unknownYear(from.Year())
	case to > last:
		return unknownYear(max(from, last+1).Year())
	case c.sum(c.unknown, to) == c.sum(c.unknown, from-1):
		return nil
	}
	for year := from.Year(); ; year++ {
		if !c.Known(year) {
			return unknownYear(year)
		}
	}
}

func unknownYear(year int) error {
	return &lienthong.Error{
		Code: "calendar.unknown_year", Where: strconv.Itoa(year),
		Vi:   "chưa có dữ liệu ngày nghỉ lễ, Tết của năm này nên không tính được ngày làm việc",
		En:   "there are no holidays for this year, so working days cannot be counted",
		Hint: "thêm tệp ngày nghỉ của năm theo thông báo chính thức (docs/tickets.md) / add a file of holidays from the official announcement (docs/tickets.md)",
	}
}

// index counts ahead of time what the questions ask for.
func (c *Calendar) index() {
	slices.SortFunc(c.entries, func(a, b Entry) int { return int(a.Day - b.Day) })
	c.worked, c.unknown, c.provisional, c.working = nil, nil, nil, nil
	years := c.Years()
	if len(years) == 0 {
		return
	}
	c.first = Date(years[0], 1, 1)
	days := int(Date(years[len(years)-1], 12, 31)-c.first) + 1
	c.worked, c.unknown, c.provisional = make([]int32, days), make([]int32, days), make([]int32, days)
	var worked, unknown, provisional int32
	entry := 0
	for i := range days {
		day := c.first + Day(i)
		year := c.years[day.Year()]
		isWorked := day.Weekday() != time.Saturday && day.Weekday() != time.Sunday
		open := year.provisional
		if entry < len(c.entries) && c.entries[entry].Day == day {
			isWorked = !c.entries[entry].Off()
			open = open || c.entries[entry].Provisional
			entry++
		}
		if !year.known {
			unknown++
		}
		if open {
			provisional++
		}
		if isWorked {
			worked++
			c.working = append(c.working, day)
		}
		c.worked[i], c.unknown[i], c.provisional[i] = worked, unknown, provisional
	}
}

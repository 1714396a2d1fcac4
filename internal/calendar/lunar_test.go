package calendar

import (
	"math"
	"testing"
	"time"
)

// The lunar calendar of Viet Nam, computed from the sky, to check the data with: months begin on
// the day of the new moon in UTC+7; the month of the winter solstice is the eleventh; when
// thirteen months lie between two of these, the first one without a major solar term is a leap
// month. Positions follow Meeus, Astronomical Algorithms, chapters 25 and 49, to within a minute,
// which is far less than any new moon or term of these years is away from midnight.

// deltaT is dynamical minus universal time, about the middle of the years tested.
const deltaT = 70.0 / 86400

func sine(degrees float64) float64 { return math.Sin(degrees * math.Pi / 180) }

// newMoon is the Julian date (UT) of the k-th new moon after that of 6 January 2000.
func newMoon(k float64) float64 {
	t := k / 1236.85
	e := 1 - 0.002516*t - 0.0000074*t*t
	sun := 2.5534 + 29.10535670*k - 0.0000014*t*t
	moon := 201.5643 + 385.81693528*k + 0.0107582*t*t
	node := 160.7108 + 390.67050284*k - 0.0016118*t*t
	omega := 124.7746 - 1.56375588*k + 0.0020672*t*t
	return 2451550.09766 + 29.530588861*k + 0.00015437*t*t - deltaT -
		0.40720*sine(moon) + 0.17241*e*sine(sun) + 0.01608*sine(2*moon) + 0.01039*sine(2*node) +
		0.00739*e*sine(moon-sun) - 0.00514*e*sine(moon+sun) + 0.00208*e*e*sine(2*sun) -
		0.00111*sine(moon-2*node) - 0.00057*sine(moon+2*node) + 0.00056*e*sine(2*moon+sun) -
		0.00042*sine(3*moon) + 0.00042*e*sine(sun+2*node) + 0.00038*e*sine(sun-2*node) -
		0.00024*e*sine(2*moon-sun) - 0.00017*sine(omega) + 0.000325*sine(299.77+0.107408*k)
}

// newMoonDay is the day in Viet Nam on which the k-th new moon falls.
func newMoonDay(k int) Day {
	const unixEpoch = 2440587.5
	return Day(math.Floor(newMoon(float64(k)) - unixEpoch + 7.0/24))
}

// sunLongitude is the apparent longitude of the sun at the first instant of a day in Viet Nam.
func sunLongitude(day Day) float64 {
	t := (float64(day) - 7.0/24 + 2440587.5 + deltaT - 2451545) / 36525
	m := 357.52911 + 35999.05029*t - 0.0001537*t*t
	longitude := 280.46646 + 36000.76983*t + 0.0003032*t*t +
		(1.914602-0.004817*t-0.000014*t*t)*sine(m) + (0.019993-0.000101*t)*sine(2*m) + 0.000289*sine(3*m) -
		0.00569 - 0.00478*sine(125.04-1934.136*t)
	longitude = math.Mod(longitude, 360)
	if longitude < 0 {
		longitude += 360
	}
	return longitude
}

func majorTerm(day Day) int { return int(sunLongitude(day) / 30) }

// eleventh is the number of the new moon that begins the eleventh month of a year.
func eleventh(year int) int {
	solstice := Date(year, 12, 18)
	for majorTerm(solstice+1) < 9 {
		solstice++ // the last day that begins before 270°
	}
	k := int(math.Round(float64(solstice-Date(2000, 1, 6))/29.530588861)) + 2
	for newMoonDay(k) > solstice {
		k--
	}
	return k
}

// lunar is the day in Viet Nam of a day of a month (not a leap month) of a lunar year.
func lunar(year, month, dayOfMonth int) Day {
	first, next := eleventh(year-1), eleventh(year)
	leap := -1
	if next-first == 13 {
		for k := first + 1; k < next; k++ {
			if majorTerm(newMoonDay(k)) == majorTerm(newMoonDay(k+1)) {
				leap = k
				break
			}
		}
	}
	number := 11
	for k := first; ; k++ {
		if k != first && k != leap {
			number = number%12 + 1
		}
		if number == month && k != leap {
			return newMoonDay(k) + Day(dayOfMonth-1)
		}
	}
}

func TestLunar_KnownDates(t *testing.T) {
	for _, c := range []struct {
		year, month, day int
		want             string
	}{
		{1968, 1, 1, "1968-01-29"}, // a day before that of UTC+8
		{1985, 1, 1, "1985-01-21"}, // a month before that of UTC+8
		{2007, 1, 1, "2007-02-17"}, // a day before that of UTC+8
		{2020, 1, 1, "2020-01-25"},
		{2020, 5, 5, "2020-06-25"}, // after a leap fourth month
		{2023, 1, 1, "2023-01-22"},
		{2023, 3, 10, "2023-04-29"}, // after a leap second month
		{2024, 1, 1, "2024-02-10"},
		{2025, 1, 1, "2025-01-29"},
		{2025, 8, 15, "2025-10-06"}, // after a leap sixth month
		{2026, 1, 1, "2026-02-17"},
		{2026, 3, 10, "2026-04-26"},
		{2027, 1, 1, "2027-02-06"},
		{2030, 1, 1, "2030-02-02"}, // a day before that of UTC+8
	} {
		if got := lunar(c.year, c.month, c.day).String(); got != c.want {
			t.Errorf("%d/%d of the lunar year %d: %s, want %s", c.day, c.month, c.year, got, c.want)
		}
	}
}

// TestData_FollowsTheSkyAndTheLaw checks every year of the data: the days that article 112 of the
// Labour Code gives, Lunar New Year and Hùng Kings at their lunar dates, a day in lieu for
// each holiday on a day of rest, and a day worked for each day exchanged.
func TestData_FollowsTheSkyAndTheLaw(t *testing.T) {
	c := builtin(t)
	for _, year := range c.Years() {
		count := map[string]int{}
		kinds := map[Kind]int{}
		restHolidays := 0
		var tet []Day
		for _, e := range c.Entries(year) {
			kinds[e.Kind]++
			weekend := e.Day.Weekday() == time.Saturday || e.Day.Weekday() == time.Sunday
			switch e.Kind {
			case Holiday:
				count[e.En]++
				if weekend {
					restHolidays++
				}
				if e.En == "Lunar New Year" {
					tet = append(tet, e.Day)
				}
				if e.En == "Hùng Kings' Commemoration Day" && e.Day != lunar(year, 3, 10) {
					t.Errorf("%d: Hùng Kings on %s, by the sky on %s", year, e.Day, lunar(year, 3, 10))
				}
			case Substitute, Exchanged:
				if weekend {
					t.Errorf("%s is a day of rest anyway", e.Day)
				}
			case Makeup:
				if !weekend {
					t.Errorf("%s is worked anyway", e.Day)
				}
			}
			if e.Vi == "" || e.En == "" || e.Source == "" {
				t.Errorf("%s: incomplete: %+v", e.Day, e)
			}
			lunarDay := e.En == "Lunar New Year" || e.En == "Hùng Kings' Commemoration Day"
			if c.Provisional(year) && lunarDay && !e.Provisional {
				t.Errorf("%s is computed, and not marked so", e.Day)
			}
		}
		want := map[string]int{
			"New Year's Day": 1, "Lunar New Year": 5, "Hùng Kings' Commemoration Day": 1,
			"Victory Day": 1, "International Labour Day": 1, "National Day": 2,
		}
		for name, n := range want {
			if count[name] != n {
				t.Errorf("%d: %d days of %s, want %d", year, count[name], name, n)
			}
		}
		if kinds[Substitute] != restHolidays {
			t.Errorf("%d: %d days in lieu for %d holidays on days of rest", year, kinds[Substitute], restHolidays)
		}
		if kinds[Exchanged] != kinds[Makeup] {
			t.Errorf("%d: %d days exchanged for %d worked", year, kinds[Exchanged], kinds[Makeup])
		}
		if first := lunar(year, 1, 1); len(tet) != 5 || tet[4]-tet[0] != 4 || first <= tet[0] || first > tet[2] {
			t.Errorf("%d: Lunar New Year %v, by the sky on %s", year, tet, first)
		}
	}
}

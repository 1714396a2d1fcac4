package calendar

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lienthong/lienthong"
)

func builtin(t testing.TB) *Calendar {
	t.Helper()
	c, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func day(t testing.TB, text string) Day {
	t.Helper()
	d, err := ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04:05", text, Zone())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestIsWorking(t *testing.T) {
	c := builtin(t)
	for text, want := range map[string]bool{
		"2024-02-07": true, "2024-02-08": false, "2024-02-14": false, "2024-02-15": true, // Tết 2024: 8-14/2
		"2024-04-29": false, "2024-05-04": true, // exchanged
		"2024-09-03": false, "2024-09-04": true,
		"2025-01-24": true, "2025-01-27": false, "2025-01-29": false, "2025-01-31": false, "2025-02-03": true,
		"2025-04-07": false, "2025-04-26": true, "2025-05-02": false, "2025-09-01": false,
		"2026-01-02": false, "2026-01-10": true,
		"2026-02-13": true, "2026-02-16": false, "2026-02-17": false, "2026-02-20": false, "2026-02-23": true,
		"2026-04-26": false, "2026-04-27": false, "2026-04-28": true, // Hùng Kings on a Sunday
		"2026-08-22": true, "2026-08-31": false, "2026-09-02": false, "2026-09-03": true,
		"2026-11-23": true, "2026-11-24": false,
		"2027-02-05": false, "2027-02-06": false, "2027-02-11": true,
		"2025-06-14": false, "2025-06-15": false, "2025-06-16": true, // a plain weekend
	} {
		got, err := c.IsWorking(day(t, text))
		if err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}

// TestDeadline goes through the rules of the clock: the hour, weekends, Tết, days worked in exchange.
func TestDeadline(t *testing.T) {
	c := builtin(t)
	for _, row := range []struct {
		at   string
		n    int
		want string
		open bool
	}{
		{"2025-06-02 09:00:00", 5, "2025-06-09", false},  // Monday to Monday
		{"2025-06-02 17:00:00", 5, "2025-06-09", false},  // 17:00 is still the day
		{"2025-06-02 17:00:01", 5, "2025-06-10", false},  // after that it counts from the next
		{"2025-06-07 03:00:00", 5, "2025-06-16", false},  // Saturday counts as Monday
		{"2025-06-02 00:00:00", 0, "2025-06-02", false},  // a term of no days ends the same day
		{"2025-06-06 23:59:59", 0, "2025-06-09", false},  // …or on the next working day
		{"2026-02-12 10:00:00", 5, "2026-02-26", false},  // over Tết 2026: 13, 23, 24, 25, 26
		{"2026-02-13 18:00:00", 5, "2026-03-02", false},  // last evening before Tết counts as 23/2
		{"2026-02-18 12:00:00", 10, "2026-03-09", false}, // in the middle of Tết
		{"2024-04-26 08:00:00", 5, "2024-05-07", false},  // 2, 3, Saturday 4 worked, 6, 7
		{"2026-11-20 08:00:00", 3, "2026-11-26", true},   // 23, 25, 26: Culture Day is not confirmed
		{"2026-12-28 08:00:00", 3, "2026-12-31", false},
		{"2026-12-28 08:00:00", 4, "2027-01-04", true}, // into a year without announcements
	} {
		due, err := c.Deadline(instant(t, row.at), row.n)
		if err != nil {
			t.Errorf("%s + %d: %v", row.at, row.n, err)
			continue
		}
		if due.Day.String() != row.want || due.Provisional != row.open {
			t.Errorf("%s + %d: %s provisional=%v, want %s %v", row.at, row.n, due.Day, due.Provisional, row.want, row.open)
		}
		if want := row.want + " 17:00:00 +0700 +07"; due.At.String() != want {
			t.Errorf("%s + %d ends at %s, want %s", row.at, row.n, due.At, want)
		}
		age, err := c.Age(instant(t, row.at), due.At)
		if err != nil || age != row.n {
			t.Errorf("age of %s at the end of its term: %d, %v, want %d", row.at, age, err, row.n)
		}
	}
}

func TestUnknownYearsAreRefused(t *testing.T) {
	c := builtin(t)
	later, err := c.With("2033.csv", strings.NewReader("date,kind,status,name_vi,name_en,source\n2033,year,official,,,quyết định\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func() error{
		"working 2023":   func() error { _, err := c.IsWorking(day(t, "2023-12-31")); return err },
		"working 2031":   func() error { _, err := c.IsWorking(day(t, "2031-01-01")); return err },
		"add over":       func() error { _, err := c.Add(day(t, "2030-12-30"), 2); return err },
		"add under":      func() error { _, err := c.Add(day(t, "2024-01-03"), -2); return err },
		"between":        func() error { _, err := c.Between(day(t, "2030-12-30"), day(t, "2031-01-02")); return err },
		"between back":   func() error { _, err := c.Between(day(t, "2024-01-03"), day(t, "2023-12-30")); return err },
		"deadline":       func() error { _, err := c.Deadline(instant(t, "2030-12-31 18:00:00"), 1); return err },
		"hole":           func() error { _, err := later.Add(day(t, "2030-12-30"), 20); return err },
		"hole between":   func() error { _, err := later.Between(day(t, "2030-01-01"), day(t, "2033-02-01")); return err },
		"in the hole":    func() error { _, err := later.IsWorking(day(t, "2032-05-05")); return err },
		"empty calendar": func() error { _, err := (&Calendar{}).IsWorking(day(t, "2025-01-01")); return err },
	} {
		if err := ask(); !errors.Is(err, &lienthong.Error{Code: "calendar.unknown_year"}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if working, err := later.IsWorking(day(t, "2033-03-01")); err != nil || !working {
		t.Errorf("a year beyond the hole: %v, %v", working, err)
	}
	if c.Known(2031) || !c.Known(2030) || c.Provisional(2026) || !c.Provisional(2027) {
		t.Error("the standing of years is wrong")
	}
}

func TestWith_ADecreeReplacesRows(t *testing.T) {
	c := builtin(t)
	next, err := c.With("2027.csv", strings.NewReader("\ufeffdate,kind,status,name_vi,name_en,source\n"+
		"2027,year,official,,,Thông báo 1/TB\n"+
		"2027-02-10,working,official,,,Thông báo 1/TB\n"+
		"2027-02-03,exchanged,official,Nghỉ hoán đổi,Exchanged,Thông báo 1/TB\n"+
		"2027-02-13,makeup,official,Làm bù,Worked in exchange,Thông báo 1/TB\n"))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"2027-02-03": false, "2027-02-10": true, "2027-02-13": true, "2027-02-09": false} {
		if got, err := next.IsWorking(day(t, text)); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if next.Provisional(2027) {
		t.Error("2027 is still provisional")
	}
	if got, err := c.IsWorking(day(t, "2027-02-10")); err != nil || got {
		t.Errorf("the calendar before changed: %v, %v", got, err)
	}
	e, found := next.Entry(day(t, "2027-02-13"))
	if want := (Entry{Day: day(t, "2027-02-13"), Kind: Makeup, Vi: "Làm bù", En: "Worked in exchange", Source: "Thông báo 1/TB"}); !found || cmp.Diff(want, e) != "" {
		t.Error(cmp.Diff(want, e))
	}
	if _, found := next.Entry(day(t, "2027-02-10")); found {
		t.Error("a day that works again still has an entry")
	}
}

// TestWith_TheDocumentedFile: the example of the handbook is one that is taken.
func TestWith_TheDocumentedFile(t *testing.T) {
	page, err := os.ReadFile("../../docs/tickets.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```csv\n")
	example, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatal("the page has no example")
	}
	c, err := builtin(t).With("tickets.md", strings.NewReader(example))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"2027-02-03": false, "2027-02-10": true, "2027-02-13": true} {
		if got, err := c.IsWorking(day(t, text)); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestWith_NamesEveryProblem(t *testing.T) {
	_, err := builtin(t).With("x.csv", strings.NewReader("date,kind,status,name_vi,name_en,source\n"+
		"2027-02-30,holiday,official,,,s\n"+
		"2027-03-01,feast,official,,,s\n"+
		"2027-03-02,holiday,maybe,,,s\n"+
		"2027-03-03,holiday,official,,,\n"+
		"2027-03-03,holiday,official,,,s\n"+
		"2031-03-03,holiday,official,,,s\n"+
		"nineteen,year,official,,,s\n"+
		"2027-03-04,holiday\n"))
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		t.Fatal(err)
	}
	var got []string
	for _, problem := range joined.Unwrap() {
		var coded *lienthong.Error
		if !errors.As(problem, &coded) {
			t.Fatal(problem)
		}
		got = append(got, coded.Where+" "+coded.Code)
	}
	want := []string{
		"x.csv:2 calendar.date", "x.csv:3 calendar.kind", "x.csv:4 calendar.status", "x.csv:5 calendar.source",
		"x.csv:6 calendar.twice", "x.csv:8 calendar.date", "x.csv:9 calendar.columns", "x.csv:7 calendar.unknown_year",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"", "a,b\n", "date,kind,status,name_vi,name_en,source\n\"\n"} {
		if _, err := builtin(t).With("y.csv", strings.NewReader(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// TestAddBetween_AreInverse holds Add and Between against each other and against counting day by day.
func TestAddBetween_AreInverse(t *testing.T) {
	c := builtin(t)
	rapid.Check(t, func(t *rapid.T) {
		from := Day(rapid.Int64Range(int64(Date(2024, 6, 1)), int64(Date(2030, 6, 30))).Draw(t, "from"))
		n := rapid.IntRange(-90, 90).Draw(t, "n")
		to, err := c.Add(from, n)
		if err != nil {
			t.Fatal(err)
		}
		working, err := c.IsWorking(to)
		if err != nil || !working {
			t.Fatalf("Add(%s, %d) = %s, which is not worked: %v", from, n, to, err)
		}
		step, counted := Day(1), 0
		if n < 0 {
			step = -1
		}
		for d := from; d != to; {
			d += step
			if works, _ := c.IsWorking(d); works {
				counted++
			}
		}
		if n < 0 {
			counted = -counted
		}
		between, err := c.Between(from, to)
		if err != nil {
			t.Fatal(err)
		}
		if n != 0 && (between != n || counted != n) {
			t.Fatalf("Add(%s, %d) = %s: Between %d, counted %d", from, n, to, between, counted)
		}
		if back, err := c.Add(from, between); err != nil || back != to {
			t.Fatalf("Add(%s, %d) = %s, %v, want %s", from, between, back, err, to)
		}
	})
}

func TestDay(t *testing.T) {
	for text, want := range map[string]string{
		"2026-02-16T16:59:59Z": "2026-02-16", "2026-02-16T17:00:00Z": "2026-02-17",
		"1969-12-31T16:59:59Z": "1969-12-31", "1969-12-31T17:00:00Z": "1970-01-01",
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		d := DayOf(at)
		if d.String() != want {
			t.Errorf("%s is %s, want %s", text, d, want)
		}
		if DayOf(d.Begin()) != d || DayOf(d.Begin().Add(-1)) != d-1 || !d.End().Equal(d.Begin().Add(17*time.Hour)) {
			t.Errorf("%s does not begin where the day before ends", d)
		}
	}
	if _, err := ParseDay("31/12/2025"); !errors.Is(err, &lienthong.Error{Code: "calendar.date"}) {
		t.Error(err)
	}
}

// FuzzWith: whatever a file holds, it is taken as a whole or refused, and what was taken
// answers for its days as its last row says.
func FuzzWith(f *testing.F) {
	f.Add("date,kind,status,name_vi,name_en,source\n2027,year,official,,,s\n2027-02-03,makeup,official,a,b,s\n")
	f.Add(string(holidays))
	base := builtin(f)
	f.Fuzz(func(t *testing.T, text string) {
		next, err := base.With("f.csv", strings.NewReader(text))
		if err != nil {
			return
		}
		for _, year := range next.Years() {
			for _, e := range next.Entries(year) {
				if working, err := next.IsWorking(e.Day); err != nil || working == e.Off() {
					t.Fatalf("%+v: working %v, %v", e, working, err)
				}
			}
		}
	})
}

func BenchmarkDeadline(b *testing.B) {
	c := builtin(b)
	at := instant(b, "2026-02-12 10:00:00")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Deadline(at, 10); err != nil {
			b.Fatal(err)
		}
	}
}

package ticket

import (
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// Share is a part of a whole. It is known when the whole is not empty.
type Share struct {
	Part int `json:"part"`
	Of   int `json:"of"`
}

// Value is the share between 0 and 1.
func (s Share) Value() (value float64, known bool) {
	if s.Of == 0 {
		return 0, false
	}
	return float64(s.Part) / float64(s.Of), true
}

// Figures is how well errors are dealt with: what an assessment asks of an agency or a database.
//
// An opening that is still running and older than a term counts as not closed within it, so
// that leaving tickets open does not make the figures better. Openings that ended because the
// rule was withdrawn or waived are left out: nobody corrected anything.
type Figures struct {
	Name string `json:"name"` // the member's or database's code; empty for all together

	Tickets     int   `json:"tickets"`
	Active      int   `json:"active"`
	Overdue     int   `json:"overdue"`
	Red         int   `json:"red"` // red incidents that are not over
	Waived      int   `json:"waived"`
	Suspensions int   `json:"suspensions"`  // proposed and not decided
	OpenRecords int64 `json:"open_records"` // records that break a rule, counted once per rule

	Closed   int   `json:"closed"` // openings that ended with every record right
	Within5  Share `json:"within_5"`
	Within10 Share `json:"within_10"`
	Within15 Share `json:"within_15"`
	// Reopening is how many of the closings were followed by errors that came back.
	Reopening Share `json:"reopening"`
	// MeanAge is the mean age of what is active, MeanTime the mean length of what was closed, both
	// in working days; -1: there is nothing to measure.
	MeanAge  float64 `json:"mean_age"`
	MeanTime float64 `json:"mean_time"`

	age, timed, aged, length int
}

// Period is when openings were closed that figures are about: From inclusive, To
// exclusive; a zero time leaves that end open. What is active counts as it is now.
type Period struct{ From, To time.Time }

func (p Period) holds(micros int64) bool {
	return (p.From.IsZero() || micros >= p.From.UnixMicro()) && (p.To.IsZero() || micros < p.To.UnixMicro())
}

// Report is the figures of all tickets, by owner and by database.
type Report struct {
	At        int64     `json:"at"`
	All       Figures   `json:"all"`
	Owners    []Figures `json:"owners"`    // by code
	Databases []Figures `json:"databases"` // by code
}

// Owner is the figures of a member; false when it has no tickets.
func (r *Report) Owner(code lienthong.MemberCode) (Figures, bool) {
	return named(r.Owners, string(code))
}

// Database is the figures of a database; false when it has no tickets.
func (r *Report) Database(code string) (Figures, bool) { return named(r.Databases, code) }

func named(list []Figures, name string) (Figures, bool) {
	i := slices.IndexFunc(list, func(f Figures) bool { return f.Name == name })
	if i < 0 {
		return Figures{}, false
	}
	return list[i], true
}

// Figures counts all tickets.
func (d *Desk) Figures(period Period) Report {
	tickets, c := d.view()
	now := d.config.Now()
	report := Report{At: now.UnixMicro()}
	owners, databases := map[string]*Figures{}, map[string]*Figures{}
	of := func(m map[string]*Figures, name string) *Figures {
		if m[name] == nil {
			m[name] = &Figures{Name: name}
		}
		return m[name]
	}
	for _, t := range tickets {
		age := -1
		if t.Stage.active() {
			if days, err := c.Age(time.UnixMicro(t.Clock.Began), now); err == nil {
				age = days
			}
		}
		for _, f := range [...]*Figures{&report.All, of(owners, string(t.Owner)), of(databases, t.Dataset.Database)} {
			f.count(t, age, now, period)
		}
	}
	report.All.finish()
	report.Owners, report.Databases = finished(owners), finished(databases)
	return report
}

func (f *Figures) count(t *Ticket, age int, now time.Time, period Period) {
	f.Tickets++
	if t.Stage == Waived {
		f.Waived++
	}
	if t.Stage.active() {
		f.Active++
		f.OpenRecords += t.Open
		if age >= 0 {
			f.age += age
			f.aged++
			f.late(age)
		}
	}
	if t.Overdue(now) {
		f.Overdue++
	}
	if t.Incident() {
		f.Red++
	}
	if t.SuspensionOpen() {
		f.Suspensions++
	}
	for i := range t.Cycles {
		cycle := &t.Cycles[i]
		if cycle.Because != Fixed || !period.holds(cycle.Closed) {
			continue
		}
		f.Closed++
		f.Reopening.Of++
		if i+1 < len(t.Cycles) || t.Stage.active() {
			f.Reopening.Part++
		}
		if cycle.Days < 0 {
			continue
		}
		f.length += cycle.Days
		f.timed++
		for _, within := range f.terms() {
			within.share.Of++
			if cycle.Days <= within.days {
				within.share.Part++
			}
		}
	}
}

// late counts an opening that runs against the terms that it has passed.
func (f *Figures) late(age int) {
	for _, within := range f.terms() {
		if age > within.days {
			within.share.Of++
		}
	}
}

type termShare struct {
	days  int
	share *Share
}

func (f *Figures) terms() [3]termShare {
	return [3]termShare{{5, &f.Within5}, {10, &f.Within10}, {15, &f.Within15}}
}

func (f *Figures) finish() {
	f.MeanAge, f.MeanTime = -1, -1
	if f.aged > 0 {
		f.MeanAge = float64(f.age) / float64(f.aged)
	}
	if f.timed > 0 {
		f.MeanTime = float64(f.length) / float64(f.timed)
	}
	f.age, f.timed, f.aged, f.length = 0, 0, 0, 0
}

func finished(m map[string]*Figures) []Figures {
	list := make([]Figures, 0, len(m))
	for _, f := range m {
		f.finish()
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b Figures) int { return strings.Compare(a.Name, b.Name) })
	return list
}

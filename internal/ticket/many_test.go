package ticket_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/ticket"
)

// many is lines of 73 databases for so many tickets.
func many(n int) []ticket.Line {
	lines := make([]ticket.Line, n)
	for i := range lines {
		l := line(fmt.Sprintf("rule%d", i/730), int64(i%97)+1)
		l.Dataset = lienthong.DatasetID{Database: fmt.Sprintf("database%d", i%73), Name: fmt.Sprintf("set%d", i/73%10)}
		l.Owner = lienthong.MemberCode(fmt.Sprintf("H%02d.%d", i%34, i%3))
		l.Group = lienthong.ErrorGroups()[i%8]
		l.Identifier = i%50 == 0
		for s := range 10 {
			l.Samples = append(l.Samples, ticket.Sample{Record: fmt.Sprintf("%020x", i*10+s), Masked: "09********"})
		}
		lines[i] = l
	}
	return lines
}

// TestMany: 10,000 tickets are opened, listed by every filter and ticked.
func TestMany(t *testing.T) {
	n := 10_000
	if raceEnabled {
		n = 2_000
	}
	o := open(t, "2025-06-02 09:00")
	lines := many(n)
	if outcome := o.sync(lines...); outcome.Number(ticket.Open) != n {
		t.Fatalf("%d opened", outcome.Number(ticket.Open))
	}
	o.set("2025-06-03 09:00")
	for i := range lines {
		if i%4 == 0 {
			lines[i].Open = 0
		}
	}
	if outcome := o.sync(lines...); outcome.Number(ticket.Close) != n/4 || len(outcome.Events) != n/4 {
		t.Fatalf("%d closed of %d events", outcome.Number(ticket.Close), len(outcome.Events))
	}
	o.reopen()
	o.set("2025-06-10 09:00")
	for name, c := range map[string]struct {
		filter ticket.Filter
		holds  func(i int, l *ticket.Line) bool
	}{
		"all":      {ticket.Filter{}, func(int, *ticket.Line) bool { return true }},
		"owner":    {ticket.Filter{Owner: "H07"}, func(i int, _ *ticket.Line) bool { return i%34 == 7 }},
		"part":     {ticket.Filter{Owner: "H07.1"}, func(i int, _ *ticket.Line) bool { return i%34 == 7 && i%3 == 1 }},
		"database": {ticket.Filter{Database: "database5"}, func(i int, _ *ticket.Line) bool { return i%73 == 5 }},
		"dataset":  {ticket.Filter{Dataset: lines[80].Dataset}, func(_ int, l *ticket.Line) bool { return l.Dataset == lines[80].Dataset }},
		"group":    {ticket.Filter{Group: lienthong.Stale}, func(i int, _ *ticket.Line) bool { return i%8 == 6 }},
		"active":   {ticket.Filter{Active: true}, func(i int, _ *ticket.Line) bool { return i%4 != 0 }},
		"stage":    {ticket.Filter{Stages: []ticket.Stage{ticket.Closed, ticket.Waived}}, func(i int, _ *ticket.Line) bool { return i%4 == 0 }},
		"overdue":  {ticket.Filter{Overdue: true, Group: lienthong.MissingMandatory}, func(i int, _ *ticket.Line) bool { return i%4 != 0 && i%8 == 0 }},
		"late":     {ticket.Filter{Overdue: true}, func(i int, _ *ticket.Line) bool { return i%4 != 0 }},
		"red":      {ticket.Filter{Severity: ticket.Red, Active: true}, func(i int, _ *ticket.Line) bool { return i%50 == 0 && i%4 != 0 }},
		"waiting":  {ticket.Filter{Waiting: true}, func(int, *ticket.Line) bool { return false }},
	} {
		want := 0
		for i := range lines {
			if c.holds(i, &lines[i]) {
				want++
			}
		}
		c.filter.Limit = 20
		page, total := o.List(c.filter)
		if total != want || len(page) != min(want, 20) {
			t.Errorf("%s: %d tickets on a page of %d, want %d", name, total, len(page), want)
		}
		for i := 1; i < len(page); i++ {
			if page[i].Severity > page[i-1].Severity && page[i].Stage != ticket.Closed {
				t.Errorf("%s: a worse ticket comes later", name)
			}
		}
	}
	second, _ := o.List(ticket.Filter{Offset: 20, Limit: 20})
	first, _ := o.List(ticket.Filter{Limit: 40})
	if second[0].ID != first[20].ID {
		t.Error("pages do not follow each other")
	}
	if beyond, total := o.List(ticket.Filter{Offset: n + 5, Limit: 20}); len(beyond) != 0 || total != n {
		t.Errorf("beyond the end: %d of %d", len(beyond), total)
	}
	if outcome := o.tick(); outcome.Number(ticket.Escalate) != n*3/4 {
		t.Errorf("%d went up", outcome.Number(ticket.Escalate))
	}
	if report := o.Figures(ticket.Period{}); report.All.Overdue != n*3/4 || len(report.Databases) != 73 {
		t.Errorf("%+v", report.All)
	}
}

func benchDesk(b *testing.B) (*office, []ticket.Line) {
	b.Helper()
	o := open(b, "2025-06-02 09:00")
	lines := many(10_000)
	o.sync(lines...)
	o.set("2025-06-10 09:00")
	return o, lines
}

func BenchmarkList(b *testing.B) {
	o, _ := benchDesk(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, total := o.List(ticket.Filter{Overdue: true, Limit: 50}); total != 10_000 {
			b.Fatal(total)
		}
	}
}

func BenchmarkFigures(b *testing.B) {
	o, _ := benchDesk(b)
	b.ReportAllocs()
	for b.Loop() {
		o.Figures(ticket.Period{})
	}
}

func BenchmarkSyncUnchanged(b *testing.B) {
	o, lines := benchDesk(b)
	ctx := context.Background()
	b.ReportAllocs()
	at := o.now.UnixMicro()
	for b.Loop() {
		at++
		if outcome, err := o.Sync(ctx, ticket.Snapshot{At: at, Lines: lines}); err != nil || len(outcome.Events) > 0 {
			b.Fatal(err)
		}
	}
}

func BenchmarkTickNothingDue(b *testing.B) {
	o, _ := benchDesk(b)
	o.set("2025-06-03 09:00")
	b.ReportAllocs()
	for b.Loop() {
		if outcome, err := o.Tick(context.Background()); err != nil || len(outcome.Events) > 0 {
			b.Fatal(err)
		}
	}
}

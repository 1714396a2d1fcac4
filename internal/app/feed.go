package app

import (
	"slices"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/console"
	"github.com/lienthong/lienthong/internal/landing"
)

// feed is what people read about what happened. What matters on its own has a
// line of its own; what happens all the time is told once a minute, in sums: a
// line per batch would push everything else out of sight.
type feed struct {
	entries ring[console.Event]
	changes summary                      // batches of changes, this minute
	matches summary                      // comparisons that agreed, this minute
	loads   map[lienthong.Stream]*loaded // first loads that run
}

// summary is one line that grows until its minute is over.
type summary struct {
	minute   time.Time
	at       time.Time
	rows     int64
	batches  int64
	datasets map[lienthong.DatasetID]bool
}

type loaded struct {
	rows int64
	at   time.Time
}

func newFeed() feed { return feed{loads: map[lienthong.Stream]*loaded{}} }

// grow returns the summary of the minute, after putting the one before it among
// the entries.
func (f *feed) grow(s *summary, now time.Time, line func(*summary) console.Event) *summary {
	if minute := now.Truncate(time.Minute); !s.minute.Equal(minute) {
		if s.batches > 0 {
			f.entries.add(line(s))
		}
		*s = summary{minute: minute, datasets: map[lienthong.DatasetID]bool{}}
	}
	s.at = now
	return s
}

// batch hears of a durable batch of records.
func (f *feed) batch(h *lienthong.BatchHeader, landed int, now time.Time) {
	switch h.Kind {
	case lienthong.SnapshotBatch:
		l := f.loads[h.Stream]
		if l == nil {
			l = &loaded{}
			f.loads[h.Stream] = l
		}
		l.rows += int64(landed)
		l.at = now
	case lienthong.ChangesBatch:
		s := f.grow(&f.changes, now, changesEvent)
		s.rows += int64(landed)
		s.batches++
		s.datasets[h.Dataset] = true
	case lienthong.RepairBatch:
		f.entries.add(console.Event{
			At: now, Kind: console.BatchEvent, Where: h.String(), Database: h.Dataset.Database, Text: repairText(landed),
		})
	case lienthong.ShapeBatch, lienthong.CheckpointBatch, lienthong.DigestBatch, lienthong.ReportBatch:
	}
}

// compared hears of a comparison. before is the one before it; nil for the first.
func (f *feed) compared(e *landing.Event, title console.Text, before *lienthong.Reconciliation, now time.Time) {
	r, h := e.Result, &e.Header
	event := console.Event{At: now, Kind: console.ReconcileEvent, Where: h.String(), Database: h.Dataset.Database}
	if l := f.loads[h.Stream]; l != nil {
		delete(f.loads, h.Stream)
		loadedEvent := event
		loadedEvent.Kind, loadedEvent.At, loadedEvent.Text = console.BatchEvent, l.at, loadedText(title, l.rows)
		f.entries.add(loadedEvent)
	}
	if r.Result == lienthong.Matches {
		if r.SourceRows == 0 {
			return // two empty ends: nothing to tell
		}
		s := f.grow(&f.matches, now, matchesEvent)
		s.batches++
		s.datasets[h.Dataset] = true
		if before == nil || before.Result == lienthong.Matches {
			return
		}
	}
	event.Text = reconcileText(title, r)
	switch r.Result {
	case lienthong.Differs:
		event.State = console.Differing
	case lienthong.Failed:
		event.State = console.Failing
	case lienthong.Matches:
	}
	f.entries.add(event)
}

// newest lists what happened, newest first, the lines that still grow included.
func (f *feed) newest() []console.Event {
	events := f.entries.newest()
	for _, s := range []struct {
		summary *summary
		line    func(*summary) console.Event
	}{{&f.changes, changesEvent}, {&f.matches, matchesEvent}} {
		if s.summary.batches > 0 {
			events = append(events, s.line(s.summary))
		}
	}
	slices.SortStableFunc(events, func(a, b console.Event) int { return b.At.Compare(a.At) })
	return events
}

func changesEvent(s *summary) console.Event {
	return console.Event{At: s.at, Kind: console.BatchEvent, Text: changesText(s.rows, s.batches, len(s.datasets))}
}

func matchesEvent(s *summary) console.Event {
	return console.Event{At: s.at, Kind: console.ReconcileEvent, Text: matchesText(len(s.datasets))}
}

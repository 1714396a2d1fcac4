package quality_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/store"
)

func openStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), t.TempDir(), store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dayAt is a database's day with so many broken records.
func dayAt(at time.Time, database string, open int64) quality.Day {
	var m quality.Method
	card := m.Database(at.UnixMicro(), quality.Subject{Database: database, Counters: []quality.Counters{{
		Dataset: lienthong.DatasetID{Database: database, Name: "x"}, Rows: 1000,
		Rules: []quality.RuleCounter{{Code: "digits", Field: "number", Criterion: lienthong.Clean, Open: open}},
	}}})
	return m.Day(at.UnixMicro(), &card)
}

func TestTrendKeepsTheLastOfADay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t)
	trend := quality.NewTrend(s)
	record := func(day quality.Day) {
		t.Helper()
		if err := trend.Record(ctx, day); err != nil {
			t.Fatal(err)
		}
	}
	moment := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	end := moment("2026-11-23T12:00:00+07:00")
	for i := range 400 { // more than twelve months, over two turns of the year
		record(dayAt(end.AddDate(0, 0, -i), "population", int64(i)))
	}
	record(dayAt(end, "other", 1))
	last := dayAt(moment("2026-11-23T23:59:00+07:00"), "population", 500)
	record(last)
	record(last)                                       // the same again
	record(dayAt(end.Add(time.Hour), "population", 7)) // and what came late
	record(dayAt(moment("2026-11-24T00:00:00+07:00"), "population", 900))

	days, err := trend.Year(ctx, "population", last.At)
	if err != nil {
		t.Fatal(err)
	}
	if len(days) != 365 || days[0].Date != "2025-11-24" || days[364].Date != "2026-11-23" {
		t.Fatalf("%d days from %s to %s", len(days), days[0].Date, days[len(days)-1].Date)
	}
	if diff := cmp.Diff(last, days[364]); diff != "" {
		t.Errorf("the last of the day (-recorded +kept):\n%s", diff)
	}
	doc, found, err := s.Document(ctx, quality.DayKind, "population/2026-11-23")
	if err != nil || !found || doc.Revision != 2 {
		t.Errorf("revision %d, %v: recording twice and recording late are no revisions", doc.Revision, err)
	}
	change, ok := quality.Latest(days)
	if !ok || len(change.Movers) != 1 || change.Movers[0].Code != "digits" || change.Movers[0].FailedDelta != 499 || change.From != "2026-11-22" {
		t.Errorf("what changed since yesterday: %+v", change)
	}
	few, err := trend.Days(ctx, "population", "2025-12-30", "2026-01-02")
	if err != nil || len(few) != 4 {
		t.Errorf("%d days around the new year, %v", len(few), err)
	}
	if none, err := trend.Year(ctx, "nobody", last.At); err != nil || len(none) != 0 {
		t.Errorf("%d days of nobody, %v", len(none), err)
	}
	if _, err := trend.Days(ctx, "population", "yesterday", "2026-01-02"); lienthong.ErrorCode(err) != "quality.day" {
		t.Errorf("error is %v", err)
	}
	if err := trend.Record(ctx, quality.Day{Date: "2026-11-23"}); lienthong.ErrorCode(err) != "quality.day" {
		t.Errorf("error is %v", err)
	}
}

// TestTrendOfManyWriters: whoever records at the same time, the latest moment is what stays.
func TestTrendOfManyWriters(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t)
	trend := quality.NewTrend(s)
	noon := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	var wait sync.WaitGroup
	for writer := range 4 {
		wait.Go(func() {
			for i := range 10 {
				n := int64(i*4 + writer)
				// One that loses to others again and again says so, and would come back later.
				for {
					err := trend.Record(ctx, dayAt(noon.Add(time.Duration(n)*time.Second), "population", n))
					if err == nil {
						break
					}
					if !errors.Is(err, &lienthong.Error{Code: lienthong.CodeDocumentConflict}) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wait.Wait()
	days, err := trend.Year(ctx, "population", noon.UnixMicro())
	if err != nil || len(days) != 1 || days[0].At != noon.Add(39*time.Second).UnixMicro() {
		t.Errorf("%d days, %v", len(days), err)
	}
}

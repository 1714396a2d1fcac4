package console

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFormats: numbers, percentages and times as people write them.
func TestFormats(t *testing.T) {
	vi, en := newWords(Vietnamese, storyTime), newWords(English, storyTime)
	grouped := func(w *words, value any) string {
		text, err := w.number(value)
		if err != nil {
			t.Error(err)
		}
		return text
	}
	for _, test := range [][2]string{
		{grouped(vi, 1_234_567), "1.234.567"},
		{grouped(en, int64(1_234_567)), "1,234,567"},
		{grouped(vi, 999), "999"},
		{grouped(vi, -1000), "-1.000"},
		{grouped(en, uint64(0)), "0"},
		{vi.percent(Score{Known: true, Percent: 99.96}), "99,9"},
		{vi.percent(Score{Known: true, Percent: 100}), "100"},
		{en.percent(Score{Known: true, Percent: 74.99}), "74.9"},
		{vi.percent(Score{}), "–"},
		{vi.percent(Score{Known: true, Percent: 90.04}), "90"},
		{vi.rate(1284.4), "1.284"},
		{vi.rate(9.26), "9,3"},
		{vi.rate(0), "0"},
		{en.rate(-1), "0"},
		{vi.duration(18 * time.Millisecond), "18 ms"},
		{vi.duration(1300 * time.Millisecond), "1,3 giây"},
		{en.duration(3 * time.Minute), "3 min"},
		{vi.duration(7 * time.Hour), "7 giờ"},
		{vi.duration(72 * time.Hour), "3 ngày"},
		{vi.clock(storyTime()), "16:05:07"},
		{vi.moment(storyTime().Add(-26 * time.Hour)), "22/11/2026 14:05:07"},
		{en.moment(storyTime().Add(-26 * time.Hour)), "22 Nov 2026 14:05:07"},
		{vi.moment(time.Time{}), "–"},
		{vi.text(Text{En: "only"}), "only"},
		{en.text(Text{Vi: "chỉ"}), "chỉ"},
		{grade(Score{Known: true, Percent: 90}), "green"},
		{grade(Score{Known: true, Percent: 89.9}), "yellow"},
		{grade(Score{Known: true, Percent: 75}), "yellow"},
		{grade(Score{Known: true, Percent: 74.9}), "red"},
		{grade(Score{}), "unknown"},
		{sparkline([]float64{0, 1}), "0.0,23.0 100.0,1.0"},
		{sparkline([]float64{1}), ""},
		{sparkline([]float64{0, 0}), "0.0,23.0 100.0,23.0"},
		{sparkline([]float64{2, 2, 2, 6000}), "0.0,15.7 33.3,15.7 66.7,15.7 100.0,1.0"},
	} {
		if test[0] != test[1] {
			t.Errorf("%q, want %q", test[0], test[1])
		}
	}
	for _, test := range [][3]int64{{0, 0, 0}, {1, 3, 33}, {3, 3, 100}, {9, 3, 100}, {-1, 3, 0}, {999, 1000, 99}} {
		if got := share(test[0], test[1]); got != test[2] {
			t.Errorf("share of %d in %d: %d, want %d", test[0], test[1], got, test[2])
		}
	}
}

// TestChart: a chart stays within its frame and needs two points in time.
func TestChart(t *testing.T) {
	label := func(v float64) string { return time.Duration(v * float64(time.Second)).String() }
	at := storyTime()
	if newChart(label, series{samples: []sample{{at, 1}}}) != nil || newChart(label) != nil || newChart(label, series{samples: []sample{{at, 1}, {at, 2}}}) != nil {
		t.Error("a chart out of less than two moments")
	}
	got := newChart(label, series{class: "p99", filled: true, samples: []sample{{at, 0}, {at.Add(time.Minute), 3}, {at.Add(2 * time.Minute), 4}}})
	want := &chart{Top: "4s", Half: "2s", Start: at, End: at.Add(2 * time.Minute), Lines: []line{{
		Class: "p99", Points: "0.0,160.0 300.0,40.0 600.0,0.0", Area: "0.0,160.0 0.0,160.0 300.0,40.0 600.0,0.0 600.0,160.0",
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestMapShowsTheWholeCountry: each of the 34 provinces has a place of its own.
func TestMapShowsTheWholeCountry(t *testing.T) {
	taken := make(map[place]bool)
	for _, province := range storyProvinces() {
		at, ok := places()[province.Code]
		if !ok || taken[at] {
			t.Errorf("%s has no place of its own on the map", province.Code)
		}
		taken[at] = true
	}
	if tiles := arrange(storyProvinces()); len(tiles) != 34 || len(places()) != 34 {
		t.Errorf("%d tiles, %d places", len(tiles), len(places()))
	}
	unknown := newOverviewView(Overview{Provinces: append(storyProvinces(), Province{Code: "99"})})
	if len(unknown.Unplaced) != 1 {
		t.Error("a province without a place is not shown")
	}
}

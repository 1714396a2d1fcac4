package console

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Charts are drawn on a fixed grid and stretched to the width at hand; labels
// stand beside them as text, so that they stay readable on a telephone.
const (
	chartWidth  = 600
	chartHeight = 160
)

// chart is a line chart over time, ready for the template.
type chart struct {
	Lines      []line
	Top, Half  string // labels of the vertical axis
	Start, End time.Time
}

// line is one series.
type line struct {
	Class  string
	Points string // of an SVG polyline
	Area   string // of an SVG polygon down to the axis; empty for a bare line
}

// sample is one point of a series.
type sample struct {
	at    time.Time
	value float64
}

// series is what is drawn as one line.
type series struct {
	class   string
	filled  bool
	samples []sample
}

// newChart draws the series, which share both axes. It returns nil when there is
// not enough to draw a line.
func newChart(label func(float64) string, all ...series) *chart {
	return newChartOver(time.Time{}, time.Time{}, label, all...)
}

// newChartOver is newChart with an axis that reaches at least from first to last.
func newChartOver(first, last time.Time, label func(float64) string, all ...series) *chart {
	top, enough := 0.0, false
	for _, s := range all {
		enough = enough || len(s.samples) > 1
		for _, p := range s.samples {
			if first.IsZero() || p.at.Before(first) {
				first = p.at
			}
			if p.at.After(last) {
				last = p.at
			}
			top = math.Max(top, p.value)
		}
	}
	if !enough || !last.After(first) {
		return nil
	}
	top = niceTop(top)
	drawn := &chart{Start: first, End: last, Top: label(top), Half: label(top / 2)}
	span := last.Sub(first).Seconds()
	for _, s := range all {
		var b strings.Builder
		for i, p := range s.samples {
			if i > 0 {
				b.WriteByte(' ')
			}
			writePoint(&b, p.at.Sub(first).Seconds()/span*chartWidth, chartHeight-p.value/top*chartHeight)
		}
		l := line{Class: s.class, Points: b.String()}
		if s.filled && len(s.samples) > 1 {
			var area strings.Builder
			writePoint(&area, s.samples[0].at.Sub(first).Seconds()/span*chartWidth, chartHeight)
			area.WriteString(" " + l.Points + " ")
			writePoint(&area, s.samples[len(s.samples)-1].at.Sub(first).Seconds()/span*chartWidth, chartHeight)
			l.Area = area.String()
		}
		drawn.Lines = append(drawn.Lines, l)
	}
	return drawn
}

// niceTop is the next 1, 2, 4, 5 or 8 times a power of ten: its half is short too.
func niceTop(value float64) float64 {
	if value <= 0 || math.IsNaN(value) || math.IsInf(value, 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(value)))
	for _, step := range []float64{1, 2, 4, 5, 8, 10} {
		if value <= step*power {
			return step * power
		}
	}
	return 10 * power
}

func writePoint(b *strings.Builder, x, y float64) {
	b.WriteString(strconv.FormatFloat(x, 'f', 1, 64))
	b.WriteByte(',')
	b.WriteString(strconv.FormatFloat(y, 'f', 1, 64))
}

// The size of a sparkline; the template's viewBox says the same.
const (
	sparkWidth  = 100
	sparkHeight = 24
)

// sparkline is the points of a small line without axes; empty when there is not
// enough to draw.
func sparkline(values []float64) string {
	if len(values) < 2 {
		return ""
	}
	top := sparkTop(values)
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteByte(' ')
		}
		writePoint(&b, float64(i)/float64(len(values)-1)*sparkWidth, sparkHeight-1-min(1, v/top)*(sparkHeight-2))
	}
	return b.String()
}

// sparkTop is what the line of a small chart is drawn against: a first load is a
// thousand times a working day, and would flatten the day for as long as it shows.
func sparkTop(values []float64) float64 {
	var busy []float64
	top := 0.0
	for _, v := range values {
		top = math.Max(top, v)
		if v > 0 {
			busy = append(busy, v)
		}
	}
	if len(busy) == 0 {
		return 1
	}
	slices.Sort(busy)
	return math.Min(top, 3*busy[len(busy)/2])
}

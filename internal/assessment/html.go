package assessment

import (
	_ "embed" // the template and its style
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
)

//go:embed sheet.html
var sheetTemplate string

//go:embed sheet.css
var sheetStyle string

// StyleSheet is the style of the fragment, also for print. Pages with a strict content security policy
// serve it as a file of their own.
func StyleSheet() string { return sheetStyle }

// Template parses the templates "sheet" (the fragment, no inline style or script) and "page"
// (a whole document). Parse once and keep it.
func Template() (*template.Template, error) {
	t, err := template.New("assessment").Funcs(template.FuncMap{
		"percent": func(share float64) string {
			return strconv.FormatFloat(100*math.Max(0, math.Min(1, share)), 'f', 1, 64)
		},
		"verdict": func(labels SheetLabels, v Verdict) string { return labels.verdict(v) },
		"style":   func() template.CSS { return template.CSS(sheetStyle) }, //nolint:gosec // a constant of ours
	}).Parse(sheetTemplate)
	if err != nil {
		return nil, fmt.Errorf("parse the template of an assessment: %w", err)
	}
	return t, nil
}

// WriteHTML writes the sheet as a whole document that prints on one page.
func (s *Sheet) WriteHTML(w io.Writer) error {
	t, err := Template()
	if err != nil {
		return err
	}
	if err := t.ExecuteTemplate(w, "page", s); err != nil {
		return fmt.Errorf("write the assessment of %s as HTML: %w", s.Name, err)
	}
	return nil
}

// Fragment returns the sheet for a page that has the style already.
func (s *Sheet) Fragment() (template.HTML, error) {
	t, err := Template()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.ExecuteTemplate(&b, "sheet", s); err != nil {
		return "", fmt.Errorf("write the assessment of %s as HTML: %w", s.Name, err)
	}
	return template.HTML(b.String()), nil //nolint:gosec // the engine has escaped it
}

// Line is the trend as points of a polyline in a box of 200 by 40; empty with fewer than two points.
func (s *Sheet) Line() string {
	if len(s.Trend) < 2 {
		return ""
	}
	var b strings.Builder
	for i, point := range s.Trend {
		x := 200 * float64(i) / float64(len(s.Trend)-1)
		y := 38 - 36*math.Max(0, math.Min(100, point.Points))/100
		fmt.Fprintf(&b, "%.1f,%.1f ", x, y)
	}
	return strings.TrimSpace(b.String())
}

package app

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/bus"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"256KiB/s": 256 << 10, "2 MiB/s": 2 << 20, "1Mbit/s": 125_000, "64kbit/s": 8000, "1.5MB/s": 1_500_000, "0": 0, "unlimited": 0, "500B/s": 500,
		"fast": -1, "": -1, "-1KiB/s": -1, "NaNKiB/s": -1, "1e30GB/s": -1, "0KiB/s": -1, "5": -1,
	} {
		got, err := parseRate(text)
		if want < 0 && err == nil || want >= 0 && (err != nil || got != want) {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestLine_HoursOfTheDay(t *testing.T) {
	line := Line{Rate: 100, Rates: []RateHours{{From: 19 * 60, To: 6 * 60, Rate: 900}, {From: 12 * 60, To: 13 * 60, Rate: 0}}}
	var now time.Time
	rate := line.at(func() time.Time { return now })
	for clock, want := range map[string]int64{"05:59": 900, "06:00": 100, "11:59": 100, "12:30": 0, "13:00": 100, "18:59": 100, "19:00": 900, "00:00": 900} {
		at, err := time.ParseInLocation("15:04", clock, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		if now = at; rate() != want {
			t.Errorf("at %s the rate is %d, want %d", clock, rate(), want)
		}
	}
	if (&Line{}).at(time.Now) != nil {
		t.Error("a line without a cap asks for its rate")
	}
}

// A whole configuration of lines, and all that is wrong in one at once.
func TestLineConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("token", "lt1_x\n")
	good := write("hub.yaml", `name: h12
member: H12
data: data
upstream:
  links: 10.0.0.1:7422
  enrol: https://10.0.0.1:7423
  token_file: token
  spool_mb: 100
  rate: 256KiB/s
  rates:
    - {from: "19:00", to: "06:00", rate: 2MiB/s}
  priorities: {population.person: urgent}
`)
	hub, node, err := LoadAnyConfig(good)
	if err != nil || node != nil {
		t.Fatal(err)
	}
	u := hub.Upstream
	if u.Rate != 256<<10 || u.Rates[0].Rate != 2<<20 || u.Rates[0].From != 19*60 || string(u.Token) != "lt1_x" || u.SpoolMB != 100 ||
		classOf(u.Priorities, lienthong.DatasetID{Database: "population", Name: "person"}) != bus.Urgent {
		t.Errorf("%+v", u)
	}
	bad := write("bad.yaml", `name: h12
member: H12
data: data
upstream:
  links: nowhere
  enrol: http://x
  rate: fast
  rates: [{from: "25:00", to: "06:00"}]
  priorities: {person: urgent, population.person: soon}
`)
	_, _, err = LoadAnyConfig(bad)
	for _, part := range []string{":5: upstream.links", ":6: upstream.enrol", ":7", ":8", "upstream.priorities.person", "upstream.priorities.population.person"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not among the problems: %v", part, err)
		}
	}
	badNode := write("node.yaml", `name: xa-a
data: data
hub: {links: "h:1"}
compression: extreme
sources:
  - {sqlite: a.db, definitions: [hub.yaml], priority: never}
`)
	_, _, err = LoadAnyConfig(badNode)
	for _, part := range []string{":4: compression", "sources.0.priority"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not among the problems: %v", part, err)
		}
	}
}

// A bundle that a process could not finish is no bundle.
func TestFrames(t *testing.T) {
	var stream bytes.Buffer
	err := frames(&stream, func(w io.Writer) (ExportReport, error) {
		for _, part := range []string{"one", "", "two"} {
			if _, err := io.WriteString(w, part); err != nil {
				return ExportReport{}, err
			}
		}
		return ExportReport{Bundle: "b", Batches: 3}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := stream.Bytes()
	var got bytes.Buffer
	report, err := unframe(&got, bytes.NewReader(whole))
	if err != nil || got.String() != "onetwo" || report.Bundle != "b" || report.Batches != 3 {
		t.Fatalf("%q, %+v, %v", got.String(), report, err)
	}
	for cut := range len(whole) - 1 { // the last byte is the end of a line
		if _, err := unframe(io.Discard, bytes.NewReader(whole[:cut])); lienthong.ErrorCode(err) != "bundle.broken_off" {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

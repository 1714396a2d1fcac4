package app

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/telemetry"
)

// UpstreamConfig is the hub above a hub, and the line to it.
type UpstreamConfig struct {
	Links string `yaml:"links"` // host:port. Required.
	Enrol string `yaml:"enrol"` // https://host:port. Required: the list of nodes goes there, too.
	// Token is the one-time enrolment token, needed at the first start only. TokenFile reads it
	// from a file.
	Token     telemetry.Secret `yaml:"token"`
	TokenFile string           `yaml:"token_file"`
	// SpoolMB is the limit of the spool towards the hub above, in MiB. Default: 8192.
	SpoolMB int64 `yaml:"spool_mb"`
	// ReserveMB is the free space that the spool leaves on the disk, in MiB. Default: 64.
	ReserveMB int64 `yaml:"reserve_mb"`
	// Priorities order datasets on this line: {population.person: urgent}.
	Priorities map[string]string `yaml:"priorities"`
	Line       `yaml:",inline"`
}

// Line is how much of a line may be used.
type Line struct {
	// Rate is the cap: "256KiB/s". Default: none.
	Rate Rate `yaml:"rate"`
	// Rates are other caps at hours of the day; the first that holds counts.
	Rates []RateHours `yaml:"rates"`
}

// RateHours is a cap from one hour of the day to another, local time.
type RateHours struct {
	From Clock `yaml:"from"` // "19:00"
	To   Clock `yaml:"to"`   // "06:00": over midnight is fine
	Rate Rate  `yaml:"rate"`
}

// Rate is bytes a second; 0 is no cap.
type Rate int64

// UnmarshalYAML reads "256KiB/s", "2 MiB/s", "1Mbit/s", "0" or "unlimited".
func (r *Rate) UnmarshalYAML(n *yaml.Node) error {
	v, err := parseRate(n.Value)
	if err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is not a rate such as 256KiB/s, 2MiB/s or 1Mbit/s", n.Line, n.Value)}}
	}
	*r = v
	return nil
}

func parseRate(text string) (Rate, error) {
	number := strings.ToLower(strings.ReplaceAll(text, " ", ""))
	if number == "unlimited" || number == "0" {
		return 0, nil
	}
	number = strings.TrimSuffix(number, "/s")
	for _, unit := range []struct {
		suffix string
		bytes  float64
	}{
		{"kib", 1 << 10},
		{"mib", 1 << 20},
		{"gib", 1 << 30},
		{"kbit", 125},
		{"mbit", 125_000},
		{"gbit", 125_000_000},
		{"kb", 1e3},
		{"mb", 1e6},
		{"gb", 1e9},
		{"b", 1},
	} {
		if rest, ok := strings.CutSuffix(number, unit.suffix); ok {
			v, err := strconv.ParseFloat(rest, 64)
			if err != nil || v*unit.bytes < 1 || v*unit.bytes > math.MaxInt64/2 || math.IsNaN(v) {
				return 0, fmt.Errorf("not a rate: %q", text)
			}
			return Rate(v * unit.bytes), nil
		}
	}
	return 0, fmt.Errorf("not a rate: %q", text)
}

// Clock is minutes since midnight.
type Clock int

// UnmarshalYAML reads "19:00".
func (c *Clock) UnmarshalYAML(n *yaml.Node) error {
	at, err := time.Parse("15:04", n.Value)
	if err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is not an hour such as 19:00", n.Line, n.Value)}}
	}
	*c = Clock(at.Hour()*60 + at.Minute())
	return nil
}

// at returns what the bus asks before every batch; nil when there is never a cap.
func (l *Line) at(now func() time.Time) func() int64 {
	if l.Rate == 0 && len(l.Rates) == 0 {
		return nil
	}
	rate, hours := l.Rate, l.Rates
	return func() int64 {
		if len(hours) > 0 {
			local := now().Local()
			minute := Clock(local.Hour()*60 + local.Minute())
			for _, h := range hours {
				if h.From <= h.To && minute >= h.From && minute < h.To || h.From > h.To && (minute >= h.From || minute < h.To) {
					return int64(h.Rate)
				}
			}
		}
		return int64(rate)
	}
}

// classOf is the class of a dataset, as a configuration orders them.
func classOf(priorities map[string]string, dataset lienthong.DatasetID) bus.Class {
	class, _ := bus.ParseClass(priorities[dataset.String()])
	return class
}

// class is that of a stream of this node: what its source's configuration says.
func (n *Node) class(s lienthong.Stream) bus.Class {
	if n.sources == nil {
		return bus.Normal // asked again once the sources are open
	}
	source, err := n.sources.find(s.Dataset)
	if err != nil {
		return bus.Normal
	}
	if text, ok := source.config.Priorities[s.Dataset.String()]; ok {
		class, _ := bus.ParseClass(text)
		return class
	}
	class, _ := bus.ParseClass(source.config.Priority)
	return class
}

func (u *UpstreamConfig) check(p *problems, path string) {
	p.required("upstream.links", u.Links)
	if u.Links != "" {
		p.address("upstream.links", u.Links)
	}
	if parsed, err := url.Parse(u.Enrol); err != nil || parsed.Scheme != "https" || parsed.Host == "" {
		p.add("upstream.enrol", "cần địa chỉ https", "needs an https address", "https://host:port")
	}
	if u.TokenFile != "" && u.Token == "" {
		token, err := os.ReadFile(resolve(path, u.TokenFile))
		if err == nil {
			u.Token = telemetry.Secret(bytes.TrimSpace(token))
		} else if !errors.Is(err, os.ErrNotExist) {
			p.add("upstream.token_file", "không đọc được tệp", "the file cannot be read", err.Error())
		}
	}
	p.priorities("upstream.priorities", u.Priorities)
}

func (p *problems) priorities(key string, priorities map[string]string) {
	for dataset, text := range priorities {
		if _, err := lienthong.ParseDatasetID(dataset); err != nil {
			p.add(key+"."+dataset, "không phải tên tập dữ liệu", "not the name of a dataset", "population.person")
		}
		p.priority(key+"."+dataset, text)
	}
}

func (p *problems) priority(key, text string) {
	if _, ok := bus.ParseClass(text); !ok {
		p.add(key, "cần urgent, normal hoặc bulk", "needs urgent, normal or bulk", "")
	}
}

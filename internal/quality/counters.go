package quality

import (
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Counters are the state of a dataset, or of the part of it that one node
// sends, at one moment: how many records there are and how many of them break
// each rule now. They are counts of what is open, not of what passed by, so a
// corrected record stops counting. A node fills them from its open findings and
// reports them to the hub; Merge joins the parts.
type Counters struct {
	Dataset lienthong.DatasetID `json:"dataset"`
	At      int64               `json:"at"` // when they were counted, microseconds

	Rows        int64         `json:"rows"`        // records at the source, those in quarantine included
	Quarantined int64         `json:"quarantined"` // of these, held back
	Rules       []RuleCounter `json:"rules"`       // row rules, in the order of Checker.Rules
	Sets        []SetCounter  `json:"sets,omitempty"`

	MappedColumns int   `json:"mapped_columns"` // columns that have a dictionary element
	TotalColumns  int   `json:"total_columns"`
	Declared      int64 `json:"declared,omitempty"` // objects that the owner is responsible for; 0: not declared

	Sources []SourceCounter `json:"sources,omitempty"` // one per node

	Services  int64 `json:"services"`  // services published on the dataset
	Consumers int64 `json:"consumers"` // members that use them
}

// RuleCounter is how a row rule stands. Checked are the rows of Counters.
type RuleCounter struct {
	Code       string               `json:"code"`
	Field      string               `json:"field"`
	Vi         string               `json:"vi"`
	En         string               `json:"en"`
	Group      lienthong.ErrorGroup `json:"group"`
	Criterion  lienthong.Criterion  `json:"criterion"`
	Weight     int                  `json:"weight"`
	Blocking   bool                 `json:"blocking,omitempty"`
	Identifier bool                 `json:"identifier,omitempty"` // must be at 100 %
	Required   bool                 `json:"required,omitempty"`   // Open is the number of records without a value
	Open       int64                `json:"open"`                 // records that break the rule now
}

// SetCounter is the last result of a set rule.
type SetCounter struct {
	Code      string               `json:"code"`
	Field     string               `json:"field"`
	Vi        string               `json:"vi"`
	En        string               `json:"en"`
	Group     lienthong.ErrorGroup `json:"group"`
	Criterion lienthong.Criterion  `json:"criterion"`
	// Identifier: the rule is about a field that must be at 100 %.
	Identifier bool  `json:"identifier,omitempty"`
	Checked    int64 `json:"checked"`
	Failed     int64 `json:"failed"`
}

// SourceCounter is how lively one node's part of the dataset is.
type SourceCounter struct {
	Node       string `json:"node"`
	LastChange int64  `json:"last_change,omitempty"` // when the last change happened at the source, microseconds; 0: unknown
	Interval   int64  `json:"interval,omitempty"`    // longest time between changes that the owner declared, microseconds; 0: not declared
	Lag        int64  `json:"lag,omitempty"`         // from the source to the hub, 99th percentile, microseconds; 0: not measured
}

// NewCounters returns the counters of a dataset with every rule of the checker
// at zero. Columns are counted as the shape has them; where the mapping leaves
// columns of the source at home, the caller sets what dictionary.Mapper.Mapped says.
func NewCounters(c *Checker) Counters {
	counters := Counters{Dataset: c.shape.Dataset, TotalColumns: len(c.shape.Fields), Rules: make([]RuleCounter, len(c.rules))}
	for i := range c.shape.Fields {
		if c.shape.Fields[i].Mapped {
			counters.MappedColumns++
		}
	}
	for i := range c.rules {
		rule := &c.rules[i]
		counters.Rules[i] = RuleCounter{
			Code: rule.Code, Field: rule.Field, Vi: rule.Vi, En: rule.En,
			Group: rule.Group, Criterion: rule.Criterion, Weight: rule.weight(),
			Blocking: rule.Blocking, Identifier: rule.Identifier, Required: rule.Check.Required,
		}
	}
	return counters
}

// NewSetCounter is the counter of a set rule's result. The group and criterion
// that the rule leaves open follow from what it checks.
func NewSetCounter(rule dictionary.SetRule, identifier bool, checked, failed int64) SetCounter {
	group := rule.Group
	if group == "" {
		switch {
		case len(rule.Unique) > 0:
			group = lienthong.Duplicate
		case rule.Reference != nil:
			group = lienthong.BrokenReference
		default:
			group = lienthong.ReferenceMismatch
		}
	}
	criterion := rule.Criterion
	if criterion == "" {
		criterion = CriterionOf(group)
	}
	vi, en := rule.Vi, rule.En
	if vi == "" {
		vi = rule.Code
	}
	if en == "" {
		en = rule.Code
	}
	field := rule.Field
	if field == "" {
		field = strings.Join(rule.Unique, "+")
	}
	return SetCounter{
		Code: rule.Code, Field: field, Vi: vi, En: en, Group: group, Criterion: criterion,
		Identifier: identifier, Checked: checked, Failed: failed,
	}
}

// SetOpen sets how many records break a rule now. It reports false when there
// is no such rule, as after a change of the definition.
func (c *Counters) SetOpen(code, field string, open int64) bool {
	for i := range c.Rules {
		if c.Rules[i].Code == code && c.Rules[i].Field == field {
			c.Rules[i].Open = open
			return true
		}
	}
	return false
}

// Merge adds the counters of another part of the same dataset: the records,
// findings and declared objects add up, sources stand side by side (a node
// seen twice counts with its later change). The order of merging does not
// matter. It changes only c.
func (c *Counters) Merge(other *Counters) {
	c.At = max(c.At, other.At)
	c.Rows += other.Rows
	c.Quarantined += other.Quarantined
	c.Declared += other.Declared
	c.MappedColumns += other.MappedColumns
	c.TotalColumns += other.TotalColumns
	// Services are registered at the hub for the whole dataset, not per part.
	c.Services = max(c.Services, other.Services)
	c.Consumers = max(c.Consumers, other.Consumers)

	c.Rules = slices.Clone(c.Rules)
	for _, rule := range other.Rules {
		at := slices.IndexFunc(c.Rules, func(r RuleCounter) bool { return r.Code == rule.Code && r.Field == rule.Field })
		if at < 0 {
			c.Rules = append(c.Rules, rule)
			continue
		}
		c.Rules[at].Open += rule.Open
	}
	c.Sets = slices.Clone(c.Sets)
	for _, set := range other.Sets {
		at := slices.IndexFunc(c.Sets, func(s SetCounter) bool { return s.Code == set.Code && s.Field == set.Field })
		if at < 0 {
			c.Sets = append(c.Sets, set)
			continue
		}
		c.Sets[at].Checked += set.Checked
		c.Sets[at].Failed += set.Failed
	}
	c.Sources = slices.Clone(c.Sources)
	for _, source := range other.Sources {
		at := slices.IndexFunc(c.Sources, func(s SourceCounter) bool { return s.Node == source.Node })
		switch {
		case at < 0:
			c.Sources = append(c.Sources, source)
		case source.LastChange > c.Sources[at].LastChange:
			c.Sources[at] = source
		}
	}
}

package quality

import (
	"math"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
)

// Checker runs the rules of one shape over its rows. It belongs to one
// goroutine; Clone makes another for a second one.
type Checker struct {
	shape  *lienthong.Shape
	rules  []Rule
	fields []fieldPlan
	checks []check
	bounds []bound
	lists  CodeLists
	reads  map[int][]int // by rule: the fields of an expression
	state  state
	now    func() time.Time
}

// Verdict is what the rules say about one row. It is reused from row to row.
type Verdict struct {
	Failed  []int // indexes into Checker.Rules
	Blocked bool  // one of them is blocking: the row goes to quarantine
}

// OK reports whether the row broke no rule.
func (v *Verdict) OK() bool { return len(v.Failed) == 0 }

// fieldPlan is what every value of a field is looked at for, before any rule.
// Rules are named by index, -1 meaning none.
type fieldPlan struct {
	kind      lienthong.Kind
	malformed int  // rule type
	missing   int  // rule required
	tooLong   int  // rule length
	glance    bool // its text is looked at by several checks
	maxLength int
}

// check is a compiled rule. It returns true when the row passes.
type check struct {
	rule  int
	field int
	// needs is the least standing of the field for the check to run: something for
	// most, onlySpaces for checks that are about white space itself, nothing for
	// those that decide by themselves.
	needs standing
	pass  func(value *lienthong.Value, row []lienthong.Value, s *state) bool
}

// state is what checks share while a row is checked.
type state struct {
	at     int64 // time of the check, microseconds
	day    int64 // its calendar day
	has    []standing
	looks  []glance     // of fields whose plan asks for it
	bounds []boundsOfAt // of the compiled bounds at this time
	vars   *variables   // for expressions; nil when there are none
}

// standing is what there is to judge in a field of the row at hand.
type standing uint8

const (
	nothing    standing = iota // null, unchanged or malformed
	onlySpaces                 // text of white space
	something
)

// known reports whether a field has a value to judge.
func (s *state) known(field int) bool { return s.has[field] == something }

// Rules lists the rules in the order of their indexes.
func (c *Checker) Rules() []Rule { return c.rules }

// Shape is the shape whose rows the checker understands.
func (c *Checker) Shape() *lienthong.Shape { return c.shape }

// RuleIndex finds a rule by its code and field, or returns -1.
func (c *Checker) RuleIndex(code, field string) int {
	return slices.IndexFunc(c.rules, func(r Rule) bool { return r.Code == code && r.Field == field })
}

// Clone returns a checker with the same rules for another goroutine.
func (c *Checker) Clone() *Checker {
	clone := *c
	clone.state = newState(len(c.fields), len(c.bounds), c.state.vars)
	return &clone
}

func newState(fields, bounds int, vars *variables) state {
	s := state{at: math.MinInt64, has: make([]standing, fields), looks: make([]glance, fields), bounds: make([]boundsOfAt, bounds)}
	if vars != nil {
		s.vars = vars.clone()
	}
	return s
}

// Check judges one row, which has one value per field of the shape. at is the
// time of the check in microseconds; 0 asks the clock. Give one time to a
// whole batch: it is cheaper, and the batch is judged alike. Nothing is
// allocated, except by rules written in CEL.
//
// Required takes text of nothing but white space for no value, and the other
// checks pass it, except Tidy, NFC and CEL, which see it as it is.
func (c *Checker) Check(row []lienthong.Value, at int64, verdict *Verdict) {
	verdict.Failed = verdict.Failed[:0]
	verdict.Blocked = false
	if at == 0 {
		at = c.now().UnixMicro()
	}
	s := &c.state
	if s.at != at {
		s.at, s.day = at, localDay(at)
		for i := range c.bounds {
			s.bounds[i] = c.bounds[i].when(s)
		}
	}
	row = row[:len(c.fields)]
	has := s.has[:len(c.fields)]
	for i := range c.fields {
		plan, value := &c.fields[i], &row[i]
		has[i] = nothing
		switch value.State {
		case lienthong.Present:
			if plan.kind == lienthong.Text {
				var seen glance
				if plan.glance {
					seen = look(value.Bytes)
					s.looks[i] = seen
				}
				if seen == 0 && !validText(value.Bytes) {
					c.fail(verdict, plan.malformed)
					continue
				}
				if seen == 0 && blank(value.Bytes) || seen&glancedBlank != 0 {
					has[i] = onlySpaces
					c.fail(verdict, plan.missing)
					continue
				}
				if plan.tooLong >= 0 && longer(value.Bytes, plan.maxLength) {
					c.fail(verdict, plan.tooLong)
				}
			} else if !ofKind(value, plan.kind) {
				c.fail(verdict, plan.malformed)
				continue
			}
			has[i] = something
		case lienthong.Null:
			c.fail(verdict, plan.missing)
		case lienthong.Unchanged:
		case lienthong.Malformed:
			c.fail(verdict, plan.malformed)
		default:
			c.fail(verdict, plan.malformed)
		}
	}
	for i := range c.checks {
		check := &c.checks[i]
		if has[check.field] < check.needs {
			continue
		}
		if !check.pass(&row[check.field], row, s) {
			c.fail(verdict, check.rule)
		}
	}
}

func (c *Checker) fail(verdict *Verdict, rule int) {
	if rule < 0 {
		return
	}
	verdict.Failed = append(verdict.Failed, rule)
	if c.rules[rule].Blocking {
		verdict.Blocked = true
	}
}

// ofKind reports whether a value that is present can be one of its kind. Text
// is looked at by the caller.
func ofKind(value *lienthong.Value, kind lienthong.Kind) bool {
	switch kind {
	case lienthong.Decimal:
		return decimalText(value.Bytes)
	case lienthong.Boolean:
		return value.Int == 0 || value.Int == 1
	case lienthong.Text, lienthong.Integer, lienthong.Real, lienthong.Date, lienthong.Timestamp, lienthong.Binary:
		return true
	}
	return true
}

// Tally counts verdicts. The tallies of parallel checkers of one shape can be
// merged. It counts rows that passed by, not records that exist: an updated
// record counts again. Counters hold the present state.
type Tally struct {
	Rows    int64   `json:"rows"`
	Blocked int64   `json:"blocked"`
	Failed  []int64 `json:"failed"` // per rule, by index
}

// Add counts one row.
func (t *Tally) Add(verdict *Verdict) {
	t.Rows++
	if verdict.Blocked {
		t.Blocked++
	}
	for _, rule := range verdict.Failed {
		t.grow(rule + 1)
		t.Failed[rule]++
	}
}

// Merge adds what another tally counted.
func (t *Tally) Merge(other *Tally) {
	t.Rows += other.Rows
	t.Blocked += other.Blocked
	t.grow(len(other.Failed))
	for rule, failed := range other.Failed {
		t.Failed[rule] += failed
	}
}

func (t *Tally) grow(rules int) {
	if missing := rules - len(t.Failed); missing > 0 {
		t.Failed = append(t.Failed, make([]int64, missing)...)
	}
}

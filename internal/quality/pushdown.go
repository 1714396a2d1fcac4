package quality

import (
	"slices"

	"github.com/lienthong/lienthong"
)

// What a store needs to say a rule in SQL. The closures decide what a rule means; a store
// that says it otherwise is found out by comparing both over the same records.

// Reads lists the fields that a rule looks at, its own first.
func (c *Checker) Reads(rule int) []int {
	r := &c.rules[rule]
	reads := []int{r.FieldIndex}
	add := func(field int) {
		if field >= 0 && !slices.Contains(reads, field) {
			reads = append(reads, field)
		}
	}
	for _, name := range []string{r.Check.AsOf, r.Check.NotBefore} {
		if name != "" {
			add(c.shape.FieldIndex(name))
		}
	}
	if number := r.Check.PersonNumber; number != nil {
		for _, name := range []string{number.BirthDate, number.Sex} {
			if name != "" {
				add(c.shape.FieldIndex(name))
			}
		}
	}
	for _, field := range c.reads[rule] {
		add(field)
	}
	return reads
}

// Limits are the bounds of a rule about time at one moment: in days for a date, in
// microseconds for a timestamp, both inclusive.
type Limits struct {
	Low, High       int64
	HasLow, HasHigh bool
}

// Limits tells the bounds of a rule with Min, Max or MaxAge on a date or timestamp, when it
// is checked at a moment in microseconds. It is not ok for other rules.
func (c *Checker) Limits(rule int, at int64) (limits Limits, ok bool) {
	r := &c.rules[rule]
	kind := c.shape.Fields[r.FieldIndex].Kind
	if kind != lienthong.Date && kind != lienthong.Timestamp {
		return limits, false
	}
	low, high := r.Check.Min, r.Check.Max
	if r.Check.MaxAge != "" {
		low = "now-" + r.Check.MaxAge
	}
	s := &state{at: at, day: localDay(at)}
	for _, side := range []struct {
		text  string
		value *int64
		has   *bool
		pick  func(boundsOfAt) int64
	}{
		{low, &limits.Low, &limits.HasLow, func(b boundsOfAt) int64 { return b.earliest }},
		{high, &limits.High, &limits.HasHigh, func(b boundsOfAt) int64 { return b.latest }},
	} {
		if side.text == "" {
			continue
		}
		parsed, err := parseBound(side.text)
		if err != nil {
			return limits, false // Compile has refused it
		}
		when := parsed.when(s)
		*side.value, *side.has = side.pick(when), true
		if kind == lienthong.Date {
			*side.value = when.day
		}
	}
	return limits, limits.HasLow || limits.HasHigh
}

// ValidCodes lists the codes that a rule with a code list lets pass at a moment. It is not ok
// for other rules, for those that look at the date of another field, and for lists that
// do not show their codes.
func (c *Checker) ValidCodes(rule int, at int64) (codes []string, ok bool) {
	check := &c.rules[rule].Check
	if check.CodeList == "" || check.AsOf != "" || c.lists == nil {
		return nil, false
	}
	list, found := c.lists.CodeList(check.CodeList)
	if !found {
		return nil, false
	}
	known, ok := list.(codesByDate)
	if !ok {
		return nil, false
	}
	day := localDay(at) * dayMicros
	for _, entry := range known.Codes() {
		if entry.From <= day && day < entry.To {
			codes = append(codes, entry.Code)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes), true
}

// DependsOnTime reports whether the same record may break the rule on one day and not on
// another.
func (c *Checker) DependsOnTime(rule int) bool {
	check := &c.rules[rule].Check
	if check.MaxAge != "" || check.CodeList != "" && check.AsOf == "" || check.CEL != "" {
		return true
	}
	for _, text := range []string{check.Min, check.Max} {
		if len(text) >= 3 && text[:3] == "now" {
			return true
		}
	}
	return false
}

// Whitespace is every character that rules take for white space.
func Whitespace() string {
	return "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
}

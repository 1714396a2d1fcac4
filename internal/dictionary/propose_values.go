package dictionary

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/lienthong/lienthong"
)

// Statistics is what is left of a column's values once they were looked at: counts, and no value.
type Statistics struct {
	Values    int  // that were there
	Distinct  int  // different ones among them
	MinLength int  // in characters
	MaxLength int  // in characters
	Numbers   int  // digits only
	Years     int  // four digits that can be a year
	Spaced    bool // some have white space around them
	Doubled   bool // some have white space doubled inside
	tests     map[string]outcome
}

// outcome is how many values pass a test, and through which transformations.
type outcome struct {
	passed     int
	transforms []string
	telling    bool // values of other columns would mostly fail
	strict     bool // values of other columns would hardly ever pass
}

// share of the values that pass.
func (o outcome) share(of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(o.passed) / float64(of)
}

// columnValues looks at the values of one column: each test runs once, however many elements have it.
type columnValues struct {
	Statistics
	dictionary *Dictionary
	now        int64
	kind       lienthong.Kind
	values     []string // without white space around them, empty ones left out
}

func (d *Dictionary) look(column *ColumnSample, now int64) *columnValues {
	c := &columnValues{dictionary: d, now: now, kind: column.Kind, Statistics: Statistics{tests: map[string]outcome{}}}
	different := map[string]bool{}
	for _, v := range column.Values {
		plain := strings.TrimSpace(v)
		c.Spaced = c.Spaced || plain != v
		c.Doubled = c.Doubled || strings.Contains(plain, "  ")
		if plain == "" {
			continue
		}
		length := len([]rune(plain))
		if c.Values == 0 || length < c.MinLength {
			c.MinLength = length
		}
		c.MaxLength = max(c.MaxLength, length)
		c.Values++
		different[plain] = true
		if allDigits(plain) {
			c.Numbers++
			if year, err := strconv.Atoi(plain); err == nil && len(plain) == 4 && year > 1850 && year < 2100 {
				c.Years++
			}
		}
		c.values = append(c.values, plain)
	}
	c.Distinct = len(different)
	return c
}

// tidying are the transformations that any text of the column needs.
func (c *columnValues) tidying() []string {
	switch {
	case c.kind != lienthong.Text:
		return nil
	case c.Doubled:
		return []string{"collapse"}
	case c.Spaced:
		return []string{"trim"}
	}
	return nil
}

// test runs the element's own checks over the values.
func (c *columnValues) test(element *Element) outcome {
	name := testName(element)
	if name == "" || c.kind == lienthong.Binary {
		return outcome{passed: c.Values}
	}
	if known, done := c.tests[name]; done {
		return known
	}
	o := c.run(element)
	c.tests[name] = o
	return o
}

// testName names the test of an element's values; elements with equal tests share it. Empty: any value would do.
func testName(element *Element) string {
	if element.CodeList != "" {
		return "list:" + element.CodeList
	}
	switch element.Kind {
	case lienthong.Date, lienthong.Timestamp:
		return element.Kind.String()
	case lienthong.Integer, lienthong.Decimal, lienthong.Real:
		low, high := bounds(element)
		return fmt.Sprintf("%s:%s:%s", element.Kind, low, high)
	}
	for i := range element.Rules {
		check := &element.Rules[i].Check
		switch {
		case check.Digits > 0:
			return fmt.Sprintf("digits:%d", check.Digits)
		case check.Pattern != "":
			return "pattern:" + check.Pattern
		case check.PersonName:
			return "person_name"
		}
	}
	return ""
}

// bounds are the fixed numbers between which an element's values lie.
func bounds(element *Element) (low, high string) {
	for i := range element.Rules {
		check := &element.Rules[i].Check
		if _, err := strconv.ParseFloat(check.Min, 64); err == nil {
			low = check.Min
		}
		if _, err := strconv.ParseFloat(check.Max, 64); err == nil {
			high = check.Max
		}
	}
	return low, high
}

func (c *columnValues) run(element *Element) outcome {
	if element.CodeList != "" {
		return c.codes(element.CodeList)
	}
	switch element.Kind {
	case lienthong.Date, lienthong.Timestamp:
		if c.kind == lienthong.Date || c.kind == lienthong.Timestamp {
			return outcome{passed: c.Values, telling: true}
		}
		fits, transforms := layoutFits(element.Kind, c.values)
		return c.counted(fits, outcome{telling: true, strict: true, transforms: transforms})
	case lienthong.Integer, lienthong.Decimal, lienthong.Real:
		low, high := bounds(element)
		from, errLow := strconv.ParseFloat(low, 64)
		to, errHigh := strconv.ParseFloat(high, 64)
		return c.counted(func(v string) bool {
			if !plainNumber([]byte(v)) {
				return false
			}
			f, err := strconv.ParseFloat(v, 64)
			return err == nil && (errLow != nil || f >= from) && (errHigh != nil || f <= to)
		}, outcome{telling: c.kind == lienthong.Text || low != "" && high != ""})
	}
	for i := range element.Rules {
		check := &element.Rules[i].Check
		switch {
		case check.Digits > 0:
			o := outcome{telling: true, strict: check.Digits >= 9}
			if c.kind == lienthong.Integer {
				o.transforms = []string{fmt.Sprintf("pad:%d", check.Digits)}
			}
			return c.counted(func(v string) bool {
				short := len(v) <= check.Digits && len(v) >= check.Digits-2 && c.kind == lienthong.Integer
				return (short || len(v) == check.Digits) && allASCIIDigits([]byte(v))
			}, o)
		case check.Pattern != "":
			pattern, err := regexp.Compile(check.Pattern)
			if err != nil {
				continue
			}
			return c.counted(pattern.MatchString, outcome{telling: true, strict: strings.Contains(check.Pattern, "{10}") || strings.Contains(check.Pattern, "{13}") || strings.Contains(check.Pattern, "@")})
		case check.PersonName:
			return c.counted(personName, outcome{telling: true})
		}
	}
	return outcome{passed: c.Values}
}

func (c *columnValues) counted(fits func(string) bool, o outcome) outcome {
	for _, v := range c.values {
		if fits(v) {
			o.passed++
		}
	}
	return o
}

func personName(v string) bool {
	return len(strings.Fields(v)) >= 2 && strings.IndexFunc(v, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsSpace(r) && !unicode.Is(unicode.Mn, r) && !strings.ContainsRune("'’-.", r)
	}) < 0
}

// codes counts the values that are codes of a list, or names that it can be told by.
func (c *columnValues) codes(id string) outcome {
	list, table := c.dictionary.listByID[id], c.dictionary.translations[id]
	if list == nil {
		return outcome{passed: c.Values}
	}
	is := func(v string) bool { return list.Valid([]byte(v), c.now) }
	o := outcome{telling: true, strict: len(list.codes) > 60}
	if table == nil || !slices.ContainsFunc(c.values, func(v string) bool { return !is(v) }) {
		return c.counted(is, o)
	}
	o.transforms = []string{"code:" + id}
	return c.counted(func(v string) bool {
		code, _ := table.translate([]byte(v), nil)
		return is(string(code))
	}, o)
}

// refused tells that values cannot be those of an element that has no check: a name, an address or a remark that is
// all digits, or a single word repeated.
func (c *columnValues) refused(element *Element) bool {
	if element.Kind != lienthong.Text || c.Values < enoughValues || testName(element) != "" {
		return false
	}
	wordy := element.MaxLength == 0 || element.MaxLength >= 100
	return wordy && element.Unit == "" && 10*c.Numbers >= 9*c.Values && cmp.Or(element.MaxLength, 1000) > 60 && !element.Identifier
}

func commonLayouts(kind lienthong.Kind) []string {
	dates := []string{"2006-01-02", "02/01/2006", "2/1/2006", "02-01-2006", "2-1-2006", "02.01.2006", "20060102", "2006/01/02"}
	if kind == lienthong.Date {
		return append(dates, "02/01/2006 15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02T15:04:05Z07:00")
	}
	return append([]string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05",
		"02/01/2006 15:04:05", "02/01/2006 15:04", "2/1/2006 15:04", "2006-01-02 15:04",
	}, dates...)
}

func layoutFits(kind lienthong.Kind, values []string) (func(string) bool, []string) {
	prefix := "date:"
	if kind == lienthong.Timestamp {
		prefix = "timestamp:"
	}
	var chosen []layout
	var transforms []string
	reads := func(v string) bool {
		return slices.ContainsFunc(chosen, func(l layout) bool { _, ok := l.parse([]byte(v)); return ok })
	}
	for range 3 {
		best, gain := layout{}, 0
		for _, text := range commonLayouts(kind) {
			l, err := compileLayout(text)
			if err != nil {
				continue
			}
			n := 0
			for _, v := range values {
				if _, ok := l.parse([]byte(v)); ok && !reads(v) {
					n++
				}
			}
			if n > gain {
				best, gain = l, n
			}
		}
		if gain == 0 {
			break
		}
		chosen = append(chosen, best)
		transforms = append(transforms, prefix+best.text)
	}
	if len(transforms) == 1 && slices.Contains(defaultLayouts(kind), chosen[0].text) {
		transforms = nil // is tried anyway
	}
	return reads, transforms
}

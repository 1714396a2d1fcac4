package quality

import (
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// build compiles the check of a rule into out.
func (c *compiler) build(rule *dictionary.Rule, kind checkKind, index int, out *check) {
	field := &c.shape.Fields[index]
	switch kind {
	case checkDigits, checkPattern, checkLength, checkCodeList, checkPersonName, checkNFC, checkTidy, checkPersonNumber:
		if field.Kind != lienthong.Text {
			c.wrongKind(rule, field.Kind, "text")
			return
		}
	case checkNone, checkRequired, checkOneOf, checkRange, checkMaxAge, checkNotBefore, checkCEL:
	}
	switch kind {
	case checkDigits:
		c.digits(rule, out)
	case checkPattern:
		c.pattern(rule, out)
	case checkLength:
		c.length(rule, out)
	case checkCodeList:
		c.codeList(rule, out)
	case checkOneOf:
		c.oneOf(rule, field.Kind, out)
	case checkRange:
		c.limits(rule, field.Kind, out)
	case checkPersonName:
		if c.letters == nil {
			c.letters = newLetters()
		}
		known := c.letters
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool { return known.personName(value.Bytes) }
	case checkNFC:
		out.needs, c.checker.fields[index].glance = onlySpaces, true
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, s *state) bool {
			return s.looks[index] != 0 || isNFC(value.Bytes)
		}
	case checkTidy:
		out.needs, c.checker.fields[index].glance = onlySpaces, true
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, s *state) bool {
			if seen := s.looks[index]; seen != 0 {
				return seen&glancedTidy != 0
			}
			return tidy(value.Bytes)
		}
	case checkMaxAge:
		c.maxAge(rule, field.Kind, out)
	case checkPersonNumber:
		c.personNumber(rule, out)
	case checkNotBefore:
		c.notBefore(rule, field.Kind, out)
	case checkCEL:
		c.expression(rule, out)
	case checkNone, checkRequired:
	}
}

func (c *compiler) digits(rule *dictionary.Rule, out *check) {
	want := rule.Check.Digits
	if want < 0 {
		c.problem("quality.bound", rule, "số chữ số phải lớn hơn 0", "the number of digits must be above 0", "", nil)
		return
	}
	out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool {
		return len(value.Bytes) == want && digitsOnly(value.Bytes)
	}
}

func (c *compiler) pattern(rule *dictionary.Rule, out *check) {
	matcher, err := compilePattern(rule.Check.Pattern)
	if err != nil {
		c.problem("quality.pattern", rule, "mẫu không đúng cú pháp RE2", "the pattern is not RE2", patternProblem(err), err)
		return
	}
	out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool { return matcher.match(value.Bytes) }
}

func (c *compiler) length(rule *dictionary.Rule, out *check) {
	shortest, longest := rule.Check.MinLength, rule.Check.MaxLength
	if shortest < 0 || longest < 0 || longest > 0 && shortest > longest {
		c.problem("quality.bound", rule, "độ dài ngắn nhất và dài nhất mâu thuẫn", "the shortest and longest length contradict each other", "", nil)
		return
	}
	out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool {
		if longest > 0 && longer(value.Bytes, longest) {
			return false
		}
		return shortest == 0 || !shorter(value.Bytes, shortest)
	}
}

// longer reports whether the text has more than n characters. It counts only
// when the number of bytes does not decide.
func longer(text []byte, n int) bool {
	if len(text) <= n {
		return false
	}
	return len(text) > utf8.UTFMax*n || utf8.RuneCount(text) > n
}

// shorter reports whether the text has fewer than n characters.
func shorter(text []byte, n int) bool {
	return n > 0 && !longer(text, n-1)
}

func (c *compiler) codeList(rule *dictionary.Rule, out *check) {
	if rule.Check.CodeList == "" {
		c.problem("quality.code_list", rule, "as_of chỉ đi cùng code_list", "as_of goes with code_list only", "", nil)
		return
	}
	var list CodeList
	found := false
	if c.lists != nil {
		list, found = c.lists.CodeList(rule.Check.CodeList)
	}
	if !found {
		c.problem("quality.code_list", rule, "danh mục không có: "+rule.Check.CodeList, "no such code list: "+rule.Check.CodeList,
			"xem danh mục trong từ điển / see the dictionary's code lists", nil)
		return
	}
	list = faster(list)
	if rule.Check.AsOf == "" {
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, s *state) bool {
			return list.Valid(value.Bytes, s.day*dayMicros)
		}
		return
	}
	date, ok := c.other(rule, rule.Check.AsOf)
	if !ok {
		return
	}
	toDay := dayReader(c.shape.Fields[date].Kind)
	if toDay == nil {
		c.wrongKind(rule, c.shape.Fields[date].Kind, "date, timestamp (as_of)")
		return
	}
	out.pass = func(value *lienthong.Value, row []lienthong.Value, s *state) bool {
		if !s.known(date) {
			return true
		}
		day := min(max(toDay(&row[date]), -maxDay), maxDay)
		return list.Valid(value.Bytes, day*dayMicros)
	}
}

// dayReader reads the calendar day of a value, or is nil for kinds without one.
func dayReader(kind lienthong.Kind) func(*lienthong.Value) int64 {
	switch kind {
	case lienthong.Date:
		return func(value *lienthong.Value) int64 { return value.Int }
	case lienthong.Timestamp:
		return func(value *lienthong.Value) int64 { return localDay(value.Int) }
	case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean, lienthong.Binary:
		return nil
	}
	return nil
}

func (c *compiler) oneOf(rule *dictionary.Rule, kind lienthong.Kind, out *check) {
	const few = 8
	words := rule.Check.OneOf
	short := newKeySet(len(words), func(i int) string { return words[i] })
	switch {
	case kind == lienthong.Text && short != nil && len(words) <= few:
		keys := make([]uint64, len(words))
		for i, word := range words {
			keys[i] = keyOf([]byte(word))
		}
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool {
			return len(value.Bytes) <= maxKey && slices.Contains(keys, keyOf(value.Bytes))
		}
	case kind == lienthong.Text && short != nil:
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool { return short.find(value.Bytes) >= 0 }
	case kind == lienthong.Text && len(words) <= few:
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool {
			for _, word := range words {
				if string(value.Bytes) == word {
					return true
				}
			}
			return false
		}
	case kind == lienthong.Text:
		set := make(map[string]struct{}, len(words))
		for _, word := range words {
			set[word] = struct{}{}
		}
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool {
			_, found := set[string(value.Bytes)]
			return found
		}
	case kind == lienthong.Integer:
		set := make(map[int64]struct{}, len(words))
		for _, word := range words {
			number, err := strconv.ParseInt(word, 10, 64)
			if err != nil {
				c.problem("quality.bound", rule, "không phải số nguyên: "+word, "not a whole number: "+word, "", err)
				return
			}
			set[number] = struct{}{}
		}
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool {
			_, found := set[value.Int]
			return found
		}
	default:
		c.wrongKind(rule, kind, "text, integer")
	}
}

// limits compiles Min and Max, both inclusive.
func (c *compiler) limits(rule *dictionary.Rule, kind lienthong.Kind, out *check) {
	low, high := rule.Check.Min, rule.Check.Max
	bad := func(text string, err error) {
		c.problem("quality.bound", rule, "giới hạn không đúng kiểu của trường: "+text, "the bound does not fit the field: "+text,
			"số, 2006-01-02, now hoặc now-5y / a number, 2006-01-02, now or now-5y", err)
	}
	contradiction := func() {
		c.problem("quality.bound", rule, "giới hạn dưới lớn hơn giới hạn trên", "the lower bound is above the upper", "", nil)
	}
	switch kind {
	case lienthong.Integer:
		lowest, highest := int64(math.MinInt64), int64(math.MaxInt64)
		var err error
		if low != "" {
			if lowest, err = strconv.ParseInt(low, 10, 64); err != nil {
				bad(low, err)
			}
		}
		if high != "" {
			if highest, err = strconv.ParseInt(high, 10, 64); err != nil {
				bad(high, err)
			}
		}
		if lowest > highest {
			contradiction()
		}
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool {
			return value.Int >= lowest && value.Int <= highest
		}
	case lienthong.Real:
		lowest, highest := math.Inf(-1), math.Inf(1)
		var err error
		if low != "" {
			if lowest, err = strconv.ParseFloat(low, 64); err != nil || math.IsNaN(lowest) {
				bad(low, err)
			}
		}
		if high != "" {
			if highest, err = strconv.ParseFloat(high, 64); err != nil || math.IsNaN(highest) {
				bad(high, err)
			}
		}
		if lowest > highest {
			contradiction()
		}
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool {
			number := math.Float64frombits(uint64(value.Int)) // #nosec G115 -- the bits of a float
			return number >= lowest && number <= highest      // never true of NaN
		}
	case lienthong.Decimal:
		lowest, highest := []byte(low), []byte(high)
		for _, text := range []string{low, high} {
			if _, _, _, ok := splitDecimal([]byte(text)); text != "" && !ok {
				bad(text, nil)
			}
		}
		if order, ok := compareDecimals(lowest, highest); ok && order > 0 {
			contradiction()
		}
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, _ *state) bool {
			if len(lowest) > 0 {
				if order, ok := compareDecimals(value.Bytes, lowest); !ok || order < 0 {
					return false
				}
			}
			if len(highest) > 0 {
				if order, ok := compareDecimals(value.Bytes, highest); !ok || order > 0 {
					return false
				}
			}
			return true
		}
	case lienthong.Date, lienthong.Timestamp:
		lowest, ok := c.bound(low, bad)
		highest, ok2 := c.bound(high, bad)
		if !ok || !ok2 {
			return
		}
		if lowest >= 0 && highest >= 0 {
			if a, b := &c.checker.bounds[lowest], &c.checker.bounds[highest]; !a.relative && !b.relative && a.day > b.day {
				contradiction()
			}
		}
		if kind == lienthong.Date {
			out.pass = func(value *lienthong.Value, _ []lienthong.Value, s *state) bool {
				return (lowest < 0 || value.Int >= s.bounds[lowest].day) && (highest < 0 || value.Int <= s.bounds[highest].day)
			}
			return
		}
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, s *state) bool {
			return (lowest < 0 || value.Int >= s.bounds[lowest].earliest) && (highest < 0 || value.Int <= s.bounds[highest].latest)
		}
	case lienthong.Text, lienthong.Boolean, lienthong.Binary:
		c.wrongKind(rule, kind, "integer, decimal, real, date, timestamp")
	default:
		c.wrongKind(rule, kind, "integer, decimal, real, date, timestamp")
	}
}

// bound parses a bound in time and returns its place in state.bounds; -1 stands for none.
func (c *compiler) bound(text string, bad func(string, error)) (int, bool) {
	if text == "" {
		return -1, true
	}
	b, err := parseBound(text)
	if err != nil {
		bad(text, err)
		return -1, false
	}
	c.checker.bounds = append(c.checker.bounds, b)
	return len(c.checker.bounds) - 1, true
}

func (c *compiler) maxAge(rule *dictionary.Rule, kind lienthong.Kind, out *check) {
	if kind != lienthong.Date && kind != lienthong.Timestamp {
		c.wrongKind(rule, kind, "date, timestamp")
		return
	}
	oldest, ok := c.bound("now-"+rule.Check.MaxAge, func(_ string, err error) {
		c.problem("quality.bound", rule, "tuổi không đúng dạng: "+rule.Check.MaxAge, "not an age: "+rule.Check.MaxAge,
			"720h, 30d, 5y", err)
	})
	if !ok {
		return
	}
	if kind == lienthong.Date {
		out.pass = func(value *lienthong.Value, _ []lienthong.Value, s *state) bool {
			return value.Int >= s.bounds[oldest].day
		}
		return
	}
	out.pass = func(value *lienthong.Value, _ []lienthong.Value, s *state) bool {
		return value.Int >= s.bounds[oldest].earliest
	}
}

// personNumber compares the structure of a 12-digit personal number with the
// date of birth and the sex: digit 4 gives the century and the sex (0 and 1 are
// men and women born 1900-1999, 2 and 3 2000-2099, and so on), digits 5 and 6
// the year. Numbers of another form are the business of the check "digits".
func (c *compiler) personNumber(rule *dictionary.Rule, out *check) {
	want := rule.Check.PersonNumber
	birth, sex := -1, -1
	var toDay func(*lienthong.Value) int64
	if want.BirthDate == "" && want.Sex == "" {
		c.problem("quality.check", rule, "person_number phải nêu birth_date hoặc sex", "person_number must name birth_date or sex", "", nil)
		return
	}
	ok := true
	if want.BirthDate != "" {
		if birth, ok = c.other(rule, want.BirthDate); ok {
			if toDay = dayReader(c.shape.Fields[birth].Kind); toDay == nil {
				c.wrongKind(rule, c.shape.Fields[birth].Kind, "date, timestamp (birth_date)")
				ok = false
			}
		}
	}
	if want.Sex != "" {
		var found bool
		if sex, found = c.other(rule, want.Sex); !found {
			ok = false
		} else if c.shape.Fields[sex].Kind != lienthong.Text {
			c.wrongKind(rule, c.shape.Fields[sex].Kind, "text (sex)")
			ok = false
		}
	}
	if !ok {
		return
	}
	out.pass = func(value *lienthong.Value, row []lienthong.Value, s *state) bool {
		number := value.Bytes
		if len(number) != 12 || !digitsOnly(number) {
			return true
		}
		century := number[3] - '0'
		if sex >= 0 && s.known(sex) && len(row[sex].Bytes) == 1 {
			switch row[sex].Bytes[0] {
			case 'M', 'm':
				if century%2 != 0 {
					return false
				}
			case 'F', 'f':
				if century%2 != 1 {
					return false
				}
			}
		}
		if birth >= 0 && s.known(birth) {
			year := 1900 + 100*int64(century/2) + 10*int64(number[4]-'0') + int64(number[5]-'0')
			if born, _, _ := civil(toDay(&row[birth])); born != year {
				return false
			}
		}
		return true
	}
}

// notBefore compares two fields of the row: dates by calendar day when one of
// them has no time, numbers by value.
func (c *compiler) notBefore(rule *dictionary.Rule, kind lienthong.Kind, out *check) {
	other, ok := c.other(rule, rule.Check.NotBefore)
	if !ok {
		return
	}
	second := c.shape.Fields[other].Kind
	var inOrder func(value, before *lienthong.Value) bool
	switch {
	case kind == second && (kind == lienthong.Date || kind == lienthong.Timestamp || kind == lienthong.Integer):
		inOrder = func(value, before *lienthong.Value) bool { return value.Int >= before.Int }
	case kind == second && kind == lienthong.Real:
		inOrder = func(value, before *lienthong.Value) bool {
			return math.Float64frombits(uint64(value.Int)) >= math.Float64frombits(uint64(before.Int)) // #nosec G115 -- the bits of a float
		}
	case kind == second && kind == lienthong.Decimal:
		inOrder = func(value, before *lienthong.Value) bool {
			order, ok := compareDecimals(value.Bytes, before.Bytes)
			return ok && order >= 0
		}
	case dayReader(kind) != nil && dayReader(second) != nil:
		day, dayBefore := dayReader(kind), dayReader(second)
		inOrder = func(value, before *lienthong.Value) bool { return day(value) >= dayBefore(before) }
	default:
		c.wrongKind(rule, kind, "date, timestamp, integer, decimal, real (not_before: "+second.String()+")")
		return
	}
	out.pass = func(value *lienthong.Value, row []lienthong.Value, s *state) bool {
		return !s.known(other) || inOrder(value, &row[other])
	}
}

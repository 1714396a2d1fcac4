package store

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// sqlRules says rules of a checker in the SQL of one engine, over values as the store keeps
// them there. What it says must mean what the closure does; what it cannot say exactly, it
// leaves to the closure.
type sqlRules struct {
	dialect string // "sqlite" or "postgres"
	columns []string
	checker *quality.Checker
	at      int64
	args    []any // of the conditions said so far, in order
}

func (q *sqlRules) lite() bool { return q.dialect == "sqlite" }

func (q *sqlRules) column(field int) string { return "r." + q.columns[field] }

func (q *sqlRules) kind(field int) lienthong.Kind { return q.checker.Shape().Fields[field].Kind }

// broken is the condition under which a record breaks the rule. It is not ok when SQL
// cannot say it; no argument has been added then.
func (q *sqlRules) broken(index int) (condition string, ok bool) {
	rule := &q.checker.Rules()[index]
	field := rule.FieldIndex
	column, kind, check := q.column(field), q.kind(field), &rule.Check
	var args []any
	switch {
	case rule.Builtin && rule.Code == quality.RuleType:
		return q.wrongType(column, kind), true
	case check.Required:
		if kind == lienthong.Text {
			return "NOT coalesce(" + q.present(field) + ", FALSE)", true
		}
		return column + " IS NULL", true
	case check.Digits > 0:
		condition = "NOT " + q.digits(column, check.Digits)
	case check.Pattern != "" && !q.lite():
		var pattern string
		if pattern, ok = arePattern(check.Pattern); !ok {
			return "", false
		}
		condition, args = column+" !~ ?", []any{pattern}
	case check.MinLength > 0 || check.MaxLength > 0:
		length := "char_length(" + column + ")"
		if q.lite() {
			length = "length(" + column + ")"
		}
		condition = outside(length, strconv.Itoa(check.MinLength), check.MinLength > 0, strconv.Itoa(check.MaxLength), check.MaxLength > 0)
	case check.CodeList != "":
		codes, known := q.checker.ValidCodes(index, q.at)
		if !known {
			return "", false
		}
		condition, args = q.notAmong(column, codes)
	case len(check.OneOf) > 0 && kind == lienthong.Text:
		condition, args = q.notAmong(column, check.OneOf)
	case len(check.OneOf) > 0 && kind == lienthong.Integer:
		for _, word := range check.OneOf {
			if _, err := strconv.ParseInt(word, 10, 64); err != nil {
				return "", false
			}
		}
		condition = column + " NOT IN (" + strings.Join(check.OneOf, ", ") + ")"
	case check.Min != "" || check.Max != "" || check.MaxAge != "":
		condition, args, ok = q.outOfRange(index, column, kind, check)
		if !ok {
			return "", false
		}
	case check.NFC && !q.lite():
		return "NOT (" + column + " IS NFC NORMALIZED)", true // of spaces, too
	case check.Tidy:
		if q.lite() {
			// Other white space than the space bar's is looked for first: it is rare.
			condition = "(instr(" + column + ", '  ') > 0 OR substr(" + column + ", 1, 1) = ' ' OR substr(" + column + ", -1) = ' ' OR " +
				column + " GLOB ? AND (trim(" + column + ", ?) <> " + column + " OR " + column + " GLOB ?))"
			args = []any{
				"*[" + strings.ReplaceAll(quality.Whitespace(), " ", "") + "]*", quality.Whitespace(),
				"*[" + quality.Whitespace() + "][" + quality.Whitespace() + "]*",
			}
		} else {
			spaces := "[" + quality.Whitespace() + "]"
			condition, args = column+" ~ ?", []any{"^" + spaces + "|" + spaces + "$|" + spaces + spaces}
		}
		q.args = append(q.args, args...)
		return condition, true // of spaces, too
	case check.PersonNumber != nil:
		if condition, ok = q.personNumber(column, check.PersonNumber); !ok {
			return "", false
		}
	case check.NotBefore != "":
		if condition, ok = q.before(field, q.checker.Shape().FieldIndex(check.NotBefore)); !ok {
			return "", false
		}
	default:
		return "", false
	}
	if kind == lienthong.Text {
		present := q.present(field) // its argument comes first
		q.args = append(q.args, args...)
		return present + " AND " + condition, true
	}
	q.args = append(q.args, args...)
	return column + " IS NOT NULL AND " + condition, true
}

// present is true of text that is more than white space. Nearly always the first character
// tells: a graphic one of ASCII or a Latin letter.
func (q *sqlRules) present(field int) string {
	q.args = append(q.args, quality.Whitespace())
	first, trim := "ascii", "btrim"
	if q.lite() {
		first, trim = "unicode", "trim"
	}
	column := q.column(field)
	first += "(" + column + ")"
	return "(" + first + " BETWEEN 33 AND 126 OR " + first + " BETWEEN 192 AND 591 OR " + first + " BETWEEN 7680 AND 7935 OR " +
		trim + "(" + column + ", ?) <> '')"
}

// wrongType is true of values that are kept in a column but are not of its kind. PostgreSQL
// keeps none.
func (q *sqlRules) wrongType(column string, kind lienthong.Kind) string {
	if !q.lite() {
		return "FALSE"
	}
	switch kind {
	case lienthong.Text:
		return "(typeof(" + column + ") NOT IN ('text', 'null') OR instr(" + column + ", char(0)) > 0)"
	case lienthong.Decimal:
		number := "ltrim(substr(" + column + ", 1, 1), '-') || substr(" + column + ", 2)"
		return "(" + column + " NOT IN ('NaN', 'Infinity', '-Infinity') AND (" + number + " GLOB '*[^0-9.]*' OR NOT " + number +
			" GLOB '[0-9]*' OR NOT " + number + " GLOB '*[0-9]' OR " + number + " GLOB '*.*.*'))"
	case lienthong.Boolean:
		return column + " NOT IN (0, 1)"
	case lienthong.Integer, lienthong.Real, lienthong.Date, lienthong.Timestamp, lienthong.Binary:
	}
	return "FALSE"
}

func (q *sqlRules) digits(column string, count int) string {
	n := strconv.Itoa(count)
	if q.lite() {
		return "(length(" + column + ") = " + n + " AND " + column + " NOT GLOB '*[^0-9]*')"
	}
	return "(octet_length(" + column + ") = " + n + " AND " + column + " ~ '^[0-9]+$')"
}

func (q *sqlRules) notAmong(column string, words []string) (condition string, args []any) {
	if q.lite() {
		list, _ := json.Marshal(words) // strings never fail
		return column + " NOT IN (SELECT value FROM json_each(?))", []any{string(list)}
	}
	return "NOT (" + column + " = ANY(?::text[]))", []any{words}
}

func outside(value, low string, hasLow bool, high string, hasHigh bool) string {
	var sides []string
	if hasLow {
		sides = append(sides, value+" < "+low)
	}
	if hasHigh {
		sides = append(sides, value+" > "+high)
	}
	return "(" + strings.Join(sides, " OR ") + ")"
}

func (q *sqlRules) outOfRange(index int, column string, kind lienthong.Kind, check *dictionary.Check) (condition string, args []any, ok bool) {
	switch kind {
	case lienthong.Integer:
		for _, text := range []string{check.Min, check.Max} {
			if _, err := strconv.ParseInt(text, 10, 64); text != "" && err != nil {
				return "", nil, false
			}
		}
		return outside(column, check.Min, check.Min != "", check.Max, check.Max != ""), nil, true
	case lienthong.Real:
		for _, text := range []string{check.Min, check.Max} {
			if text == "" {
				continue
			}
			number, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsInf(number, 0) {
				return "", nil, false
			}
			args = append(args, number)
		}
		condition = outside(column, "?", check.Min != "", "?", check.Max != "")
		if q.lite() { // NaN is kept as a text
			return "(typeof(" + column + ") = 'text' OR " + condition + ")", args, true
		}
		return "(" + column + " = 'NaN' OR " + condition + ")", args, true
	case lienthong.Decimal:
		if q.lite() {
			return "", nil, false // it would be rounded
		}
		low, high := "numeric '"+check.Min+"'", "numeric '"+check.Max+"'"
		for _, text := range []string{check.Min, check.Max} {
			if strings.Trim(text, "-.0123456789") != "" {
				return "", nil, false
			}
		}
		return "(" + column + " IN ('NaN', 'Infinity', '-Infinity') OR " + outside(column, low, check.Min != "", high, check.Max != "") + ")", nil, true
	case lienthong.Date, lienthong.Timestamp:
		limits, known := q.checker.Limits(index, q.at)
		if !known {
			return "", nil, false
		}
		return q.outOfTime(column, kind, limits)
	case lienthong.Text, lienthong.Boolean, lienthong.Binary:
	}
	return "", nil, false
}

// outOfTime says limits in the form in which the engine keeps dates and times.
func (q *sqlRules) outOfTime(column string, kind lienthong.Kind, limits quality.Limits) (condition string, args []any, ok bool) {
	for _, side := range []struct {
		has   bool
		value int64
	}{{limits.HasLow, limits.Low}, {limits.HasHigh, limits.High}} {
		day := side.value
		if kind == lienthong.Timestamp {
			day /= 86_400_000_000
		}
		if side.has && (day < -719_162+366 || day > lastIsoDay-366) { // the years 2 to 9998, which both engines write alike
			return "", nil, false
		}
	}
	if kind == lienthong.Timestamp {
		if q.lite() {
			return outside(column, strconv.FormatInt(limits.Low, 10), limits.HasLow, strconv.FormatInt(limits.High, 10), limits.HasHigh), nil, true
		}
		moment := func(at int64) string {
			return "timestamp with time zone '" + time.UnixMicro(at).UTC().Format("2006-01-02 15:04:05.000000") + "+00'"
		}
		return outside(column, moment(limits.Low), limits.HasLow, moment(limits.High), limits.HasHigh), nil, true
	}
	date := func(day int64) string { return "'" + time.Unix(day*86_400, 0).UTC().Format(dateOnly) + "'" }
	condition = outside(column, date(limits.Low), limits.HasLow, date(limits.High), limits.HasHigh)
	if !q.lite() {
		return condition, nil, true
	}
	days := outside(column, strconv.FormatInt(limits.Low, 10), limits.HasLow, strconv.FormatInt(limits.High, 10), limits.HasHigh)
	return "CASE typeof(" + column + ") WHEN 'text' THEN " + condition + " ELSE " + days + " END", nil, true
}

// personNumber says the structure of a personal number.
func (q *sqlRules) personNumber(column string, want *dictionary.PersonNumberCheck) (string, bool) {
	shape := q.checker.Shape()
	var sides []string
	if want.Sex != "" {
		sex := q.column(shape.FieldIndex(want.Sex))
		sides = append(sides,
			sex+" IN ('M', 'm') AND substr("+column+", 4, 1) IN ('1', '3', '5', '7', '9')",
			sex+" IN ('F', 'f') AND substr("+column+", 4, 1) IN ('0', '2', '4', '6', '8')")
	}
	if want.BirthDate != "" {
		field := shape.FieldIndex(want.BirthDate)
		if q.kind(field) != lienthong.Date {
			return "", false
		}
		birth := q.column(field)
		year := "extract(year FROM " + birth + ")"
		if q.lite() {
			year = "CASE typeof(" + birth + ") WHEN 'text' THEN CAST(substr(" + birth + ", 1, 4) AS integer) WHEN 'null' THEN NULL ELSE -1 END"
		}
		sides = append(sides, year+" <> 1900 + 100 * (CAST(substr("+column+", 4, 1) AS integer) / 2) + CAST(substr("+column+", 5, 2) AS integer)")
	}
	return "CASE WHEN " + q.digits(column, 12) + " THEN " + strings.Join(sides, " OR ") + " ELSE FALSE END", true
}

// before says that a field comes before another one of the same kind.
func (q *sqlRules) before(field, other int) (string, bool) {
	a, b, kind := q.column(field), q.column(other), q.kind(field)
	if kind != q.kind(other) {
		return "", false
	}
	switch kind {
	case lienthong.Integer, lienthong.Timestamp:
		return a + " < " + b, true
	case lienthong.Date:
		if !q.lite() {
			return a + " < " + b, true
		}
		// Days outside the years of four digits are kept as numbers.
		return "CASE WHEN " + b + " IS NULL THEN FALSE WHEN typeof(" + a + ") = typeof(" + b + ") THEN " + a + " < " + b +
			" WHEN typeof(" + a + ") = 'integer' THEN " + a + " < 0 ELSE " + b + " > 0 END", true
	case lienthong.Real:
		if q.lite() {
			return b + " IS NOT NULL AND (typeof(" + a + ") = 'text' OR typeof(" + b + ") = 'text' OR " + a + " < " + b + ")", true
		}
		return b + " IS NOT NULL AND (" + a + " = 'NaN' OR " + b + " = 'NaN' OR " + a + " < " + b + ")", true
	case lienthong.Decimal:
		if !q.lite() {
			const special = " IN ('NaN', 'Infinity', '-Infinity')"
			return b + " IS NOT NULL AND (" + a + special + " OR " + b + special + " OR " + a + " < " + b + ")", true
		}
	case lienthong.Text, lienthong.Boolean, lienthong.Binary:
	}
	return "", false
}

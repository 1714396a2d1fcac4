package quality

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Table is the live records of a dataset, held in memory.
type Table struct {
	Shape *lienthong.Shape
	Rows  []TableRow
}

// TableRow is one record. Record names it in the outcome.
type TableRow struct {
	Record string
	Values []lienthong.Value
}

// SetOutcome is what a set rule found.
type SetOutcome struct {
	Checked int64    // records that the rule could judge
	Failed  int64    // of these, records that break it
	Records []string // the failing records, sorted
}

// EvaluateSet says what a set rule means. It is the reference that the SQL of
// the store is compared with, plain rather than fast.
//
// Only live records count: neither deleted nor held. A value that is not
// present is not compared. Text is compared byte for byte (it is in NFC, and an
// empty text is a value), decimals by value (1.0 is 1.00), all else by value.
//
//   - Unique judges records in which every named field has a value. All members of
//     a group of equal records are findings, not only the later ones.
//   - Reference judges records whose Field has a value. The finding is that no
//     live record of the other dataset has it in To.
//   - Match judges records whose Key has a value that at least one live record of
//     the other dataset has in To. The finding is that none of these
//     counterparts agrees in every pair of fields. A pair in which either side has no
//     value does not disagree.
//
// other is the dataset that Reference or Match names; it may be the same as own,
// and is not used by Unique.
func EvaluateSet(rule dictionary.SetRule, own, other Table) (SetOutcome, error) {
	if err := CheckSetRule(rule, own.Shape, other.Shape); err != nil {
		return SetOutcome{}, err
	}
	var outcome SetOutcome
	judge := func(row *TableRow, fails bool) {
		outcome.Checked++
		if fails {
			outcome.Failed++
			outcome.Records = append(outcome.Records, row.Record)
		}
	}
	switch {
	case len(rule.Unique) > 0:
		fields := make([]int, len(rule.Unique))
		for i, name := range rule.Unique {
			fields[i] = own.Shape.FieldIndex(name)
		}
		groups := make(map[string][]*TableRow, len(own.Rows))
		for i := range own.Rows {
			key := ""
			complete := true
			var keySb73 strings.Builder
			for _, field := range fields {
				part, ok := canonical(&own.Rows[i].Values[field], own.Shape.Fields[field].Kind)
				complete = complete && ok
				keySb73.WriteString(strconv.Itoa(len(part)) + ":" + part)
			}
			key += keySb73.String()
			if complete {
				groups[key] = append(groups[key], &own.Rows[i])
			}
		}
		for _, group := range groups {
			for _, row := range group {
				judge(row, len(group) > 1)
			}
		}
	case rule.Reference != nil:
		counterparts := index(other, rule.Reference.To)
		field := own.Shape.FieldIndex(rule.Field)
		for i := range own.Rows {
			if key, ok := canonical(&own.Rows[i].Values[field], own.Shape.Fields[field].Kind); ok {
				judge(&own.Rows[i], len(counterparts[key]) == 0)
			}
		}
	case rule.Match != nil:
		counterparts := index(other, rule.Match.To)
		keyField := own.Shape.FieldIndex(rule.Match.Key)
		for i := range own.Rows {
			key, ok := canonical(&own.Rows[i].Values[keyField], own.Shape.Fields[keyField].Kind)
			if !ok || len(counterparts[key]) == 0 {
				continue
			}
			judge(&own.Rows[i], !slices.ContainsFunc(counterparts[key], func(counterpart *TableRow) bool {
				return agrees(rule.Match, own.Shape, &own.Rows[i], other.Shape, counterpart)
			}))
		}
	}
	slices.Sort(outcome.Records)
	return outcome, nil
}

func agrees(match *dictionary.Match, ownShape *lienthong.Shape, row *TableRow, otherShape *lienthong.Shape, counterpart *TableRow) bool {
	for mine, theirs := range match.Fields {
		own, otherField := ownShape.FieldIndex(mine), otherShape.FieldIndex(theirs)
		a, okA := canonical(&row.Values[own], ownShape.Fields[own].Kind)
		b, okB := canonical(&counterpart.Values[otherField], otherShape.Fields[otherField].Kind)
		if okA && okB && a != b {
			return false
		}
	}
	return true
}

func index(table Table, name string) map[string][]*TableRow {
	field := table.Shape.FieldIndex(name)
	rows := make(map[string][]*TableRow, len(table.Rows))
	for i := range table.Rows {
		if key, ok := canonical(&table.Rows[i].Values[field], table.Shape.Fields[field].Kind); ok {
			rows[key] = append(rows[key], &table.Rows[i])
		}
	}
	return rows
}

// canonical is a text that two values share exactly when they are equal.
func canonical(value *lienthong.Value, kind lienthong.Kind) (string, bool) {
	if value.State != lienthong.Present {
		return "", false
	}
	switch kind {
	case lienthong.Decimal:
		negative, whole, fraction, ok := splitDecimal(value.Bytes)
		if !ok {
			return string(value.Bytes), true
		}
		sign := ""
		if negative {
			sign = "-"
		}
		return sign + string(whole) + "." + string(fraction), true
	case lienthong.Real:
		number := math.Float64frombits(uint64(value.Int)) // #nosec G115 -- the bits of a float
		if number == 0 {
			return "0", true // -0 equals 0
		}
		return strconv.FormatFloat(number, 'g', -1, 64), true
	case lienthong.Text, lienthong.Binary:
		return string(value.Bytes), true
	case lienthong.Integer, lienthong.Boolean, lienthong.Date, lienthong.Timestamp:
		return strconv.FormatInt(value.Int, 10), true
	}
	return "", false
}

// CheckSetRule reports every problem of a set rule for the shapes at hand.
// other may be nil for Unique.
func CheckSetRule(rule dictionary.SetRule, own, other *lienthong.Shape) error {
	var problems []error
	where := own.Dataset.String() + ", set rule " + rule.Code
	problem := func(code, vi, en string) {
		problems = append(problems, &lienthong.Error{Code: code, Vi: vi, En: en, Where: where})
	}
	kindOf := func(shape *lienthong.Shape, name string) (lienthong.Kind, bool) {
		if i := shape.FieldIndex(name); i >= 0 {
			return shape.Fields[i].Kind, true
		}
		problem("quality.field", fmt.Sprintf("tập dữ liệu %s không có trường %q", shape.Dataset, name),
			fmt.Sprintf("dataset %s has no field %q", shape.Dataset, name))
		return 0, false
	}
	pair := func(mine, theirs string) {
		a, okA := kindOf(own, mine)
		b, okB := kindOf(other, theirs)
		if okA && okB && a != b {
			problem("quality.kind", fmt.Sprintf("không so sánh được %s (%s) với %s (%s)", mine, a, theirs, b),
				fmt.Sprintf("%s (%s) cannot be compared with %s (%s)", mine, a, theirs, b))
		}
	}
	set := 0
	for _, is := range []bool{len(rule.Unique) > 0, rule.Reference != nil, rule.Match != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		problem("quality.check", fmt.Sprintf("quy tắc tập hợp phải có đúng một phép kiểm tra, đang có %d", set),
			fmt.Sprintf("a set rule must have exactly one check, this one has %d", set))
	case len(rule.Unique) > 0:
		for _, name := range rule.Unique {
			kindOf(own, name)
		}
	case other == nil:
		problem("quality.dataset", "quy tắc cần tập dữ liệu kia", "the rule needs the other dataset")
	case rule.Reference != nil:
		pair(rule.Field, rule.Reference.To)
	default:
		pair(rule.Match.Key, rule.Match.To)
		if len(rule.Match.Fields) == 0 {
			problem("quality.check", "match không nêu trường nào để so sánh", "match names no fields to compare")
		}
		for mine, theirs := range rule.Match.Fields {
			pair(mine, theirs)
		}
	}
	return errors.Join(problems...)
}

package quality

import (
	"fmt"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Codes of the rules that every dataset has without anybody writing them.
const (
	RuleType     = "type"     // the value is of its field's kind; always blocking
	RuleRequired = "required" // a required field has a value; blocking for identity fields
	RuleLength   = "length"   // the value is not longer than the field allows
)

// CodeList is a list of codes with dates of validity.
type CodeList interface {
	// Valid reports whether the code is valid at an instant, in microseconds since
	// 1970 UTC. A check knows days only, and gives 07:00 in Viet Nam (midnight UTC) of
	// the day it means. It is called for every row and must not allocate.
	Valid(code []byte, at int64) bool
}

// CodeLists finds code lists by identifier.
type CodeLists interface {
	CodeList(id string) (CodeList, bool)
}

// CodeListsFunc makes a function a CodeLists.
type CodeListsFunc func(id string) (CodeList, bool)

// CodeList calls the function.
func (f CodeListsFunc) CodeList(id string) (CodeList, bool) { return f(id) }

// Identifiers is what CodeLists may also know: which elements of the dictionary
// name or link records.
type Identifiers interface {
	Identifier(element string) bool
}

// DictionaryLists are the code lists of a dictionary, which knows Identifiers too.
func DictionaryLists(d *dictionary.Dictionary) CodeLists { return dictionaryLists{d} }

type dictionaryLists struct{ dictionary *dictionary.Dictionary }

func (d dictionaryLists) CodeList(id string) (CodeList, bool) {
	list, found := d.dictionary.CodeList(id)
	return list, found
}

func (d dictionaryLists) Identifier(element string) bool {
	known, found := d.dictionary.Element(element)
	return found && known.Identifier
}

// Rule is a rule as a Checker runs it: complete, bound to its field.
type Rule struct {
	dictionary.Rule
	FieldIndex int  // into Shape.Fields
	Builtin    bool // not written by anybody
	// Identifier: the rule is about a field that names records or links them to
	// others. Such fields must be 100 % correct, complete and clean.
	Identifier bool
}

// weight is the rule's weight in the index.
func (r *Rule) weight() int {
	if r.Weight <= 0 {
		return 1
	}
	return r.Weight
}

func knownGroup(group lienthong.ErrorGroup) bool {
	for _, known := range lienthong.ErrorGroups() {
		if group == known {
			return true
		}
	}
	return false
}

func knownCriterion(criterion lienthong.Criterion) bool {
	for _, known := range lienthong.Criteria() {
		if criterion == known {
			return true
		}
	}
	return false
}

// groupOf is the error group of a check whose rule does not name one.
func groupOf(kind checkKind) lienthong.ErrorGroup {
	switch kind {
	case checkRequired:
		return lienthong.MissingMandatory
	case checkRange:
		return lienthong.OutOfRange
	case checkCodeList:
		return lienthong.BrokenReference
	case checkPersonNumber, checkNotBefore, checkCEL:
		return lienthong.Contradiction
	case checkMaxAge:
		return lienthong.Stale
	case checkOneOf, checkDigits, checkPattern, checkLength, checkPersonName, checkNFC, checkTidy:
		return lienthong.WrongFormat
	}
	return lienthong.WrongFormat
}

// CriterionOf is the criterion that errors of a group speak about when the rule
// does not name one.
func CriterionOf(group lienthong.ErrorGroup) lienthong.Criterion {
	switch group {
	case lienthong.MissingMandatory:
		return lienthong.Complete
	case lienthong.Duplicate, lienthong.WrongFormat:
		return lienthong.Clean
	case lienthong.BrokenReference:
		return lienthong.Unified
	case lienthong.Stale:
		return lienthong.Live
	case lienthong.OutOfRange, lienthong.Contradiction, lienthong.ReferenceMismatch:
		return lienthong.Correct
	}
	return lienthong.Correct
}

func typeRule(field *lienthong.Field, index int) Rule {
	return Rule{
		Rule: dictionary.Rule{
			Code: RuleType, Field: field.Name, Blocking: true,
			Vi:    fmt.Sprintf("%s: giá trị không phải kiểu %s", field.LabelVi, field.Kind),
			En:    fmt.Sprintf("%s: the value is not of type %s", field.LabelEn, field.Kind),
			Group: lienthong.WrongFormat, Criterion: lienthong.Clean,
		},
		FieldIndex: index, Builtin: true,
	}
}

func requiredRule(field *lienthong.Field, index int, identity bool) Rule {
	return Rule{
		Rule: dictionary.Rule{
			Code: RuleRequired, Field: field.Name, Blocking: identity,
			Vi:    field.LabelVi + ": thiếu giá trị bắt buộc",
			En:    field.LabelEn + ": a required value is missing",
			Group: lienthong.MissingMandatory, Criterion: lienthong.Complete,
			Check: dictionary.Check{Required: true},
		},
		FieldIndex: index, Builtin: true,
	}
}

func lengthRule(field *lienthong.Field, index int) Rule {
	return Rule{
		Rule: dictionary.Rule{
			Code: RuleLength, Field: field.Name,
			Vi:    fmt.Sprintf("%s: dài quá %d ký tự", field.LabelVi, field.MaxLength),
			En:    fmt.Sprintf("%s: longer than %d characters", field.LabelEn, field.MaxLength),
			Group: lienthong.WrongFormat, Criterion: lienthong.Clean,
			Check: dictionary.Check{MaxLength: field.MaxLength},
		},
		FieldIndex: index, Builtin: true,
	}
}

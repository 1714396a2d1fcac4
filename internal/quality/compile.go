package quality

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Compile turns rules into a Checker for rows of the shape. Every problem in
// every rule is reported, as joined *lienthong.Error. lists may be nil when no
// rule names a code list, and may know Identifiers; now may be nil for the
// machine's clock.
//
// Besides the given rules, each field has the rules "type", "required" (when
// the field is required or part of the identity) and "length" (when it has a
// longest length). A given rule that checks the same takes the place of the
// last two.
func Compile(shape *lienthong.Shape, rules []dictionary.Rule, lists CodeLists, now func() time.Time) (*Checker, error) {
	if now == nil {
		now = time.Now
	}
	c := &compiler{
		shape:   shape,
		lists:   lists,
		checker: &Checker{shape: shape, now: now, lists: lists, reads: map[int][]int{}, fields: make([]fieldPlan, len(shape.Fields))},
		seen:    make(map[[2]string]bool, len(rules)),
	}
	kinds := make([]checkKind, len(rules))
	for i := range rules {
		kinds[i] = c.kindOf(&rules[i])
	}
	for i := range shape.Fields {
		c.builtin(i, rules, kinds)
	}
	for i := range rules {
		if kinds[i] != checkNone {
			c.rule(rules[i], kinds[i])
		}
	}
	c.markIdentifiers()
	if len(c.problems) > 0 {
		return nil, errors.Join(c.problems...)
	}
	c.checker.state = newState(len(shape.Fields), len(c.checker.bounds), c.vars)
	return c.checker, nil
}

type compiler struct {
	shape    *lienthong.Shape
	lists    CodeLists
	checker  *Checker
	letters  *letters
	vars     *variables
	seen     map[[2]string]bool
	problems []error
}

// checkKind is which member of a dictionary.Check is set.
type checkKind int

const (
	checkNone checkKind = iota
	checkRequired
	checkDigits
	checkPattern
	checkLength
	checkCodeList
	checkOneOf
	checkRange
	checkPersonName
	checkNFC
	checkTidy
	checkMaxAge
	checkPersonNumber
	checkNotBefore
	checkCEL
)

func (c *compiler) problem(code string, rule *dictionary.Rule, vi, en, hint string, cause error) {
	where := c.shape.Dataset.String() + ", rule " + rule.Code
	if rule.Field != "" {
		where += ", field " + rule.Field
	}
	c.problems = append(c.problems, &lienthong.Error{Code: code, Vi: vi, En: en, Where: where, Hint: hint, Err: cause})
}

// kindOf says which check a rule makes, and reports a rule that makes none or several.
func (c *compiler) kindOf(rule *dictionary.Rule) checkKind {
	check := &rule.Check
	found := checkNone
	count := 0
	for _, candidate := range []struct {
		set  bool
		kind checkKind
	}{
		{check.Required, checkRequired},
		{check.Digits != 0, checkDigits},
		{check.Pattern != "", checkPattern},
		{check.MinLength != 0 || check.MaxLength != 0, checkLength},
		{check.CodeList != "" || check.AsOf != "", checkCodeList},
		{len(check.OneOf) > 0, checkOneOf},
		{check.Min != "" || check.Max != "", checkRange},
		{check.PersonName, checkPersonName},
		{check.NFC, checkNFC},
		{check.Tidy, checkTidy},
		{check.MaxAge != "", checkMaxAge},
		{check.PersonNumber != nil, checkPersonNumber},
		{check.NotBefore != "", checkNotBefore},
		{check.CEL != "", checkCEL},
	} {
		if candidate.set {
			found = candidate.kind
			count++
		}
	}
	if count == 1 {
		return found
	}
	c.problem("quality.check", rule,
		fmt.Sprintf("quy tắc phải có đúng một phép kiểm tra, đang có %d", count),
		fmt.Sprintf("a rule must have exactly one check, this one has %d", count),
		"tách thành nhiều quy tắc / write one rule per check", nil)
	return checkNone
}

// builtin plans what every value of a field is looked at for.
func (c *compiler) builtin(index int, rules []dictionary.Rule, kinds []checkKind) {
	field := &c.shape.Fields[index]
	plan := &c.checker.fields[index]
	*plan = fieldPlan{kind: field.Kind, malformed: -1, missing: -1, tooLong: -1, maxLength: field.MaxLength}
	add := func(rule Rule) int {
		c.checker.rules = append(c.checker.rules, rule)
		c.seen[[2]string{rule.Code, rule.Field}] = true
		return len(c.checker.rules) - 1
	}
	given := func(kind checkKind, same func(*dictionary.Check) bool) bool {
		for i := range rules {
			if kinds[i] == kind && rules[i].Field == field.Name && same(&rules[i].Check) {
				return true
			}
		}
		return false
	}
	plan.malformed = add(typeRule(field, index))
	identity := slices.Contains(c.shape.Identity, index)
	if (field.Required || identity) && !given(checkRequired, func(*dictionary.Check) bool { return true }) {
		plan.missing = add(requiredRule(field, index, identity))
	}
	if field.Kind == lienthong.Text && field.MaxLength > 0 && !given(checkLength, func(check *dictionary.Check) bool {
		return check.MaxLength > 0 && check.MaxLength <= field.MaxLength
	}) {
		plan.tooLong = add(lengthRule(field, index))
	}
}

func (c *compiler) rule(given dictionary.Rule, kind checkKind) {
	before := len(c.problems)
	index := c.shape.FieldIndex(given.Field)
	if index < 0 {
		c.problem("quality.field", &given, "quy tắc nói về trường không có trong tập dữ liệu", "the rule is about a field that the dataset does not have",
			c.fieldHint(), nil)
		return
	}
	if given.Code == "" {
		c.problem("quality.rule", &given, "quy tắc không có mã", "the rule has no code", "thêm code / add code", nil)
	}
	if key := [2]string{given.Code, given.Field}; c.seen[key] {
		c.problem("quality.rule_twice", &given, "hai quy tắc trùng mã trên cùng một trường", "two rules with one code on one field",
			"đổi mã hoặc bỏ một quy tắc / rename or remove one", nil)
	} else {
		c.seen[key] = true
	}
	if given.Group == "" {
		given.Group = groupOf(kind)
	}
	if given.Criterion == "" {
		given.Criterion = CriterionOf(given.Group)
	}
	if !knownGroup(given.Group) {
		c.problem("quality.group", &given, "nhóm lỗi không có", "no such group of errors", string(given.Group), nil)
	}
	if !knownCriterion(given.Criterion) {
		c.problem("quality.criterion", &given, "tiêu chí không có", "no such criterion", string(given.Criterion), nil)
	}
	if given.Weight < 0 {
		c.problem("quality.weight", &given, "trọng số âm", "a negative weight", "", nil)
	}
	if given.Vi == "" {
		given.Vi = given.Code
	}
	if given.En == "" {
		given.En = given.Code
	}
	number := len(c.checker.rules)
	if kind == checkRequired {
		if slices.Contains(c.shape.Identity, index) {
			given.Blocking = true
		}
		if plan := &c.checker.fields[index]; plan.missing < 0 {
			plan.missing = number
		} else {
			c.problem("quality.rule_twice", &given, "trường đã có quy tắc bắt buộc", "the field already has a rule that requires it", "bỏ một quy tắc / remove one", nil)
		}
		c.checker.rules = append(c.checker.rules, Rule{Rule: given, FieldIndex: index})
		return
	}
	compiled := check{rule: number, field: index, needs: something}
	c.build(&given, kind, index, &compiled)
	if len(c.problems) > before {
		return
	}
	c.checker.rules = append(c.checker.rules, Rule{Rule: given, FieldIndex: index})
	c.checker.checks = append(c.checker.checks, compiled)
}

// markIdentifiers finds the fields that name or link records: those of the
// identity, those that somebody guards with a blocking rule, and those that the
// dictionary calls identifiers.
func (c *compiler) markIdentifiers() {
	identifier := make([]bool, len(c.shape.Fields))
	if known, ok := c.lists.(Identifiers); ok {
		for i := range c.shape.Fields {
			identifier[i] = known.Identifier(c.shape.Fields[i].Element)
		}
	}
	for _, index := range c.shape.Identity {
		identifier[index] = true
	}
	for i := range c.checker.rules {
		if rule := &c.checker.rules[i]; !rule.Builtin && rule.Blocking {
			identifier[rule.FieldIndex] = true
		}
	}
	for i := range c.checker.rules {
		c.checker.rules[i].Identifier = identifier[c.checker.rules[i].FieldIndex]
	}
}

// wrongKind reports a check that makes no sense for the kind of its field.
func (c *compiler) wrongKind(rule *dictionary.Rule, kind lienthong.Kind, wants string) {
	c.problem("quality.kind", rule,
		fmt.Sprintf("phép kiểm tra này cần trường kiểu %s, trường đang là %s", wants, kind),
		fmt.Sprintf("this check needs a field of kind %s, the field is %s", wants, kind), "", nil)
}

// other finds a second field that a check names.
func (c *compiler) other(rule *dictionary.Rule, name string) (int, bool) {
	index := c.shape.FieldIndex(name)
	if index < 0 {
		c.problem("quality.field", rule, "phép kiểm tra nhắc đến trường không có trong tập dữ liệu: "+name,
			"the check names a field that the dataset does not have: "+name, c.fieldHint(), nil)
	}
	return index, index >= 0
}

func (c *compiler) fieldHint() string {
	names := make([]string, len(c.shape.Fields))
	for i := range c.shape.Fields {
		names[i] = c.shape.Fields[i].Name
	}
	return "các trường / fields: " + strings.Join(names, ", ")
}

// patternProblem explains a bad pattern without the wrapping of two packages.
func patternProblem(err error) string {
	var bad *syntax.Error
	if errors.As(err, &bad) {
		return string(bad.Code) + ": " + bad.Expr
	}
	return ""
}

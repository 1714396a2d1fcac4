package publish

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

const draft2020 = "https://json-schema.org/draft/2020-12/schema"

// fewCodes is the longest code list that stands in the schema of a dataset; a longer one
// has a schema of its own that the dataset's refers to.
const fewCodes = 64

// JSONSchema describes the records of a dataset as the change feeds and files deliver them
// (docs/feeds.md), in JSON Schema 2020-12. It accepts what the dataset's checks accept, except for
// the rules that it lists under x-not-expressed. Code lists are as they are today; x-as-of
// says which day that was.
func (e *Exports) JSONSchema(w io.Writer, d *Dataset) error {
	return writeJSON(w, e.jsonSchema(d))
}

// CodeListSchema describes the codes of a list that are valid now.
func (e *Exports) CodeListSchema(w io.Writer, id string) error {
	codes, found := e.config.Dictionary.CodeList(id)
	if !found {
		return &lienthong.Error{
			Code: "list.unknown", Where: id,
			Vi: "không có danh mục này", En: "there is no such code list", Hint: "lienthong dictionary lists",
		}
	}
	valid := e.validCodes(codes)
	described := make(list, len(valid))
	for i := range valid {
		o := object{{"code", valid[i].Code}, {"vi", valid[i].NameVi}}
		o.some("en", valid[i].NameEn)
		described[i] = o
	}
	return writeJSON(w, object{
		{"$schema", draft2020},
		{"$id", e.listSchemaURL(id)},
		{"title", both(codes.NameVi, codes.NameEn)},
		{"$comment", codes.Source},
		{"x-code-list", e.listURL(id)},
		{"x-as-of", e.today().Format(time.DateOnly)},
		{"enum", e.codeEnum(codes)},
		{"x-codes", described},
	})
}

// today is the calendar day in Viet Nam.
func (e *Exports) today() time.Time {
	return e.config.Now().UTC().Add(7 * time.Hour).Truncate(24 * time.Hour)
}

// validCodes are the entries that are valid today, each code once. The checks ask for the
// instant that begins the day in UTC, so do we.
func (e *Exports) validCodes(codes *dictionary.CodeList) []dictionary.Code {
	at := e.today().UnixMicro()
	var valid []dictionary.Code
	for _, code := range codes.Codes() {
		if code.From <= at && at < code.To && (len(valid) == 0 || valid[len(valid)-1].Code != code.Code) {
			valid = append(valid, code)
		}
	}
	return valid
}

func (e *Exports) codeEnum(codes *dictionary.CodeList) list {
	valid := e.validCodes(codes)
	enum := make(list, len(valid))
	for i := range valid {
		enum[i] = valid[i].Code
	}
	return enum
}

func (e *Exports) jsonSchema(d *Dataset) object {
	s := &schemaWriter{exports: e, dataset: d}
	var properties object
	var required, identity list
	for i := range d.Shape.Fields {
		field := &d.Shape.Fields[i]
		properties.add(field.Name, s.property(i))
		if d.required(i) {
			required = append(required, field.Name)
		}
	}
	for _, i := range d.Shape.Identity {
		identity = append(identity, d.Shape.Fields[i].Name)
	}
	s.unsaid.others(d)
	made := object{
		{"$schema", draft2020},
		{"$id", e.schemaURL(d.Shape.Dataset)},
		{"title", d.title()},
		{"x-dataset", d.Shape.Dataset.String()},
		{"x-shape-version", d.Shape.Version},
		{"x-identity", identity},
		{"x-as-of", e.today().Format(time.DateOnly)},
		{"type", "object"},
		{"properties", properties},
	}
	if len(required) > 0 {
		made.add("required", required)
	}
	if !d.More {
		made.add("additionalProperties", false)
	}
	made.add("$defs", object{
		{"text", object{{"type", list{"string", "null"}}, {"pattern", `^[^\x00]*$`}}},
		{"filled", object{{"type", "string"}, {"pattern", `^[^\x00]*[^\x00` + whiteECMA + `][^\x00]*$`}}},
		{"blank", object{{"type", list{"string", "null"}}, {"pattern", "^[" + whiteECMA + "]*$"}}},
	})
	if len(s.unsaid.rules) > 0 {
		made.add("x-not-expressed", s.unsaid.rules)
	}
	return made
}

// schemaWriter makes the schema of one dataset.
type schemaWriter struct {
	exports *Exports
	dataset *Dataset
	unsaid  unsaid
}

// constraints gathers what the rules of one field say, as fragments of a schema.
type constraints struct {
	always []object // hold for text of nothing but white space too
	filled []object // hold where there is something
	// Bounds of numbers and times; a fragment for those that have no number in JSON.
	bounded, low, high bool
}

func (s *schemaWriter) property(index int) object {
	field := &s.dataset.Shape.Fields[index]
	required := s.dataset.required(index)
	var c constraints
	var rules list
	for _, rule := range s.dataset.rulesOf(field) {
		why := s.rule(&rule, field, &c)
		described := object{{"rule", rule.Code}, {"vi", rule.Vi}, {"en", rule.En}}
		if rule.Blocking {
			described.add("blocking", true)
		}
		if why != "" {
			described.add("expressed", false)
			s.unsaid.add(field.Name, rule.Code, rule.Vi, rule.En, why)
		}
		rules = append(rules, described)
	}
	made := s.head(field)
	if field.Kind == lienthong.Text {
		if field.MaxLength > 0 && field.Handling == "" {
			c.filled = append(c.filled, object{{"maxLength", field.MaxLength}})
		}
		made = append(made, textSchema(required, &c)...)
	} else {
		made = append(made, valueSchema(field.Kind, required, &c)...)
	}
	if len(rules) > 0 {
		made.add("x-rules", rules)
	}
	return made
}

// head is what people and tools want to know of a field: its names, its element.
func (s *schemaWriter) head(field *lienthong.Field) object {
	made := object{{"title", both(field.LabelVi, field.LabelEn)}}
	element, found := s.exports.config.Dictionary.Element(field.Element)
	if found {
		made.add("description", both(element.DefinitionVi, element.DefinitionEn))
		made.add("x-element", element.ID)
		made.add("x-element-url", s.exports.elementURL(element.ID))
		if element.CodeList != "" {
			made.add("x-code-list", s.exports.listURL(element.CodeList))
		}
	}
	if field.Personal {
		made.add("x-personal", true)
	}
	made.some("x-handling", field.Handling)
	return made
}

// textSchema says what a text may be. Blank text is no value: a required field refuses it,
// and the checks of another pass it by.
func textSchema(required bool, c *constraints) object {
	if required {
		return merged(append(append([]object{{{"$ref", "#/$defs/filled"}}}, c.always...), c.filled...))
	}
	parts := append([]object{{{"$ref", "#/$defs/text"}}}, c.always...)
	if len(c.filled) > 0 {
		parts = append(parts, object{{"anyOf", list{object{{"$ref", "#/$defs/blank"}}, merged(c.filled)}}})
	}
	return merged(parts)
}

// merged joins fragments that must all hold. A keyword that stands twice moves into allOf.
func merged(parts []object) object {
	var made object
	var rest list
	for _, part := range parts {
		clash := slices.ContainsFunc(part, func(m member) bool {
			_, taken := made.get(m.name)
			return taken
		})
		if clash {
			rest = append(rest, part)
			continue
		}
		made = append(made, part...)
	}
	if len(rest) > 0 {
		made.add("allOf", rest)
	}
	return made
}

// The forms that feeds write dates and instants in; both are of fixed width.
const (
	datePattern      = `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
	timestampPattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	decimalPattern   = `^-?[0-9]+(?:\.[0-9]+)?$`
	base64Pattern    = `^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$`
)

// valueSchema says what a value of another kind may be.
func valueSchema(kind lienthong.Kind, required bool, c *constraints) object {
	var main object
	var words list // for what JSON has no number
	typed := func(name string) object {
		if required {
			return object{{"type", name}}
		}
		return object{{"type", list{name, "null"}}}
	}
	switch kind {
	case lienthong.Integer:
		return merged(append([]object{append(typed("integer"), member{"format", "int64"})}, c.filled...))
	case lienthong.Boolean:
		return merged(append([]object{typed("boolean")}, c.filled...))
	case lienthong.Binary:
		return merged(append([]object{append(typed("string"), member{"contentEncoding", "base64"}, member{"pattern", base64Pattern})}, c.filled...))
	case lienthong.Real:
		main, words = object{{"type", "number"}}, c.words()
	case lienthong.Decimal:
		main, words = object{{"type", "string"}, {"pattern", decimalPattern}}, c.words()
		if c.bounded {
			words = nil // infinities have no order among decimals
		}
	case lienthong.Date:
		main, words = object{{"type", "string"}, {"format", "date"}, {"pattern", datePattern}}, c.infinities()
	case lienthong.Timestamp:
		main, words = object{{"type", "string"}, {"format", "date-time"}, {"pattern", timestampPattern}}, c.infinities()
	case lienthong.Text:
		return textSchema(required, c)
	default:
		return nil
	}
	if !required {
		words = append(words, nil)
	}
	main = merged(append([]object{main}, c.filled...))
	if len(words) == 0 {
		return main
	}
	return object{{"anyOf", list{main, object{{"enum", words}}}}}
}

// words are the values that are no numbers and yet within the bounds.
func (c *constraints) words() list {
	words := c.infinities()
	if !c.bounded {
		words = append(list{"NaN"}, words...)
	}
	return words
}

func (c *constraints) infinities() list {
	var words list
	if !c.high {
		words = append(words, "Infinity")
	}
	if !c.low {
		words = append(words, "-Infinity")
	}
	return words
}

// rule adds what a rule says to the constraints, or returns why it cannot be said.
func (s *schemaWriter) rule(rule *dictionary.Rule, field *lienthong.Field, c *constraints) (why string) {
	check := &rule.Check
	fill := func(name string, value any) { c.filled = append(c.filled, object{{name, value}}) }
	switch {
	case check.Required: // in required
	case check.Digits > 0:
		fill("pattern", ecma.digits(check.Digits))
	case check.Pattern != "":
		text, ok := ecma.translate(check.Pattern)
		if !ok {
			return whyFormat
		}
		fill("pattern", text)
	case check.MinLength > 0 || check.MaxLength > 0:
		if check.MinLength > 0 {
			fill("minLength", check.MinLength)
		}
		if check.MaxLength > 0 {
			fill("maxLength", check.MaxLength)
		}
	case check.CodeList != "":
		return s.codeList(check, c)
	case len(check.OneOf) > 0:
		fill("enum", oneOf(check.OneOf, field.Kind))
	case check.Min != "" || check.Max != "":
		return limits(check, field.Kind, c)
	case check.PersonName:
		fill("pattern", ecma.personName())
	case check.Tidy:
		c.always = append(c.always, object{{"pattern", ecma.tidy()}})
	case check.MaxAge != "":
		return whyTime
	case check.NotBefore != "", check.PersonNumber != nil, check.CEL != "":
		return whyFields
	default:
		return whyFormat // NFC
	}
	return ""
}

func (s *schemaWriter) codeList(check *dictionary.Check, c *constraints) (why string) {
	if check.AsOf != "" {
		return whyFields
	}
	codes, found := s.exports.config.Dictionary.CodeList(check.CodeList)
	if !found {
		return whyFormat
	}
	enum := s.exports.codeEnum(codes)
	if len(enum) > fewCodes {
		c.filled = append(c.filled, object{{"$ref", s.exports.listSchemaURL(check.CodeList)}})
		return ""
	}
	c.filled = append(c.filled, object{{"enum", enum}})
	return ""
}

// oneOf is the fixed set, as numbers for a field of integers. Whether null may stand there
// is the type's business. Package quality refuses words that are none of the kind.
func oneOf(words []string, kind lienthong.Kind) list {
	set := make(list, 0, len(words)+1)
	for _, word := range words {
		if number, err := strconv.ParseInt(word, 10, 64); err == nil && kind == lienthong.Integer {
			set = append(set, number)
		} else {
			set = append(set, word)
		}
	}
	if kind == lienthong.Integer {
		set = append(set, nil)
	}
	return set
}

// limits says the bounds of a number or a time. Bounds that move with the clock are not said:
// a schema is read long after it was made.
func limits(check *dictionary.Check, kind lienthong.Kind, c *constraints) (why string) {
	switch kind {
	case lienthong.Integer, lienthong.Real:
		for _, bound := range []struct{ name, text string }{{"minimum", check.Min}, {"maximum", check.Max}} {
			number, ok := jsonNumber(bound.text, kind)
			if !ok {
				return whyFormat
			}
			if number != "" {
				c.filled = append(c.filled, object{{bound.name, number}})
			}
		}
	case lienthong.Decimal:
		if !decimalLimits(check, c) {
			return whyFormat
		}
	case lienthong.Date, lienthong.Timestamp:
		for _, bound := range []struct {
			text  string
			above bool
		}{{check.Min, true}, {check.Max, false}} {
			text, fixed := fixedBound(bound.text, kind, !bound.above)
			if !fixed {
				why = whyTime // the other bound is said all the same
			} else if text != "" {
				c.filled = append(c.filled, object{{"pattern", lexical(text, bound.above)}})
			}
		}
	case lienthong.Text, lienthong.Boolean, lienthong.Binary:
		return whyFormat
	default:
		return whyFormat
	}
	c.bounded = true
	c.low, c.high = c.low || check.Min != "", c.high || check.Max != ""
	return why
}

// jsonNumber is a bound as a JSON number; "" where it bounds nothing.
func jsonNumber(text string, kind lienthong.Kind) (json.Number, bool) {
	if text == "" {
		return "", true
	}
	if kind == lienthong.Integer {
		number, err := strconv.ParseInt(text, 10, 64)
		return json.Number(strconv.FormatInt(number, 10)), err == nil
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
		return "", false
	}
	return json.Number(strconv.FormatFloat(number, 'g', -1, 64)), true
}

// fixedBound is a bound in the form in which the values are written; a day begins and ends at
// midnight in Viet Nam. It is not ok when the bound moves with the clock.
func fixedBound(text string, kind lienthong.Kind, last bool) (string, bool) {
	const vietnam = 7 * time.Hour
	if text == "" {
		return "", true
	}
	at, err := time.Parse(time.DateOnly, text)
	day := err == nil
	if !day {
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			return "", false
		}
		at = at.UTC()
	}
	if kind == lienthong.Date {
		if !day {
			at = at.Add(vietnam)
		}
		return at.Format(time.DateOnly), true
	}
	if day {
		at = at.Add(-vietnam)
		if last {
			at = at.Add(24*time.Hour - time.Microsecond)
		}
	}
	return at.Format("2006-01-02T15:04:05.000000Z"), true
}

// lexical is an expression for the texts of the same form that are not before (or, not above:
// not after) the given one. The form has digits at fixed places, so the order of texts is that of times.
func lexical(bound string, above bool) string {
	var branches string
	for i := range len(bound) {
		digit := bound[i]
		if digit < '0' || digit > '9' {
			continue
		}
		low, high := digit+1, byte('9')
		if !above {
			low, high = '0', digit-1
		}
		if low > high {
			continue
		}
		branches += escaped(bound[:i]) + "[" + string(low) + "-" + string(high) + "].*|"
	}
	return "^(?:" + branches + escaped(bound) + ")$"
}

func escaped(text string) string {
	made := ""
	for i := range len(text) {
		if text[i] == '.' {
			made += `\`
		}
		made += text[i : i+1]
	}
	return made
}

// decimalLimits says bounds of decimals, which are texts.
func decimalLimits(check *dictionary.Check, c *constraints) bool {
	var parts []object
	for _, bound := range []struct {
		text  string
		above bool
	}{{check.Min, true}, {check.Max, false}} {
		if bound.text == "" {
			continue
		}
		text, ok := decimalBound(bound.text, bound.above)
		if !ok {
			return false
		}
		parts = append(parts, object{{"pattern", text}})
	}
	c.filled = append(c.filled, parts...)
	return true
}

// decimalBound is an expression for the decimals that are not below (above) a bound.
func decimalBound(bound string, above bool) (string, bool) {
	m := decimalMatcher(bound)
	if m == nil {
		return "", false
	}
	// Not below b: numbers of b's sign with a size on the far side, and all of the other sign.
	zero := `-?0+(?:\.0+)?`
	anyPositive, anyNegative := `[0-9]+(?:\.[0-9]+)?`, `-[0-9]+(?:\.[0-9]+)?`
	switch {
	case m.zero && above:
		return fmt.Sprintf("^(?:%s|%s)$", anyPositive, zero), true
	case m.zero:
		return fmt.Sprintf("^(?:%s|%s)$", anyNegative, zero), true
	case above && !m.negative:
		return "^(?:" + m.atLeast() + ")$", true
	case above:
		return "^(?:" + anyPositive + "|" + zero + "|-(?:" + m.atMost() + "))$", true
	case m.negative:
		return "^-(?:" + m.atLeast() + ")$", true
	}
	return "^(?:" + anyNegative + "|" + zero + "|" + m.atMost() + ")$", true
}

package publish

import (
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// XSD describes the messages that carry records of a dataset, in XML Schema 1.0: Root with
// NguonDuLieu, DuLieuTiepNhan and TrangThaiDuLieu as in Circular 08/2025/TT-BCA, or any number of
// them in DanhSach. A message of a cancelled record has no field; any other has all that are required.
//
// The fields obey the same rules as in JSONSchema. XML has no NaN and no infinity for them.
func (e *Exports) XSD(w io.Writer, d *Dataset) error {
	x := &xsdWriter{exports: e, dataset: d, lists: map[string]bool{}}
	var fields xmlWriter
	fields.stack = []string{"xs:schema"}
	x.xmlWriter = &fields
	x.record()
	x.unsaid.others(d)

	var whole xmlWriter
	x.xmlWriter = &whole
	whole.open("xs:schema", "xmlns:xs", "http://www.w3.org/2001/XMLSchema", "version", strconv.Itoa(d.Shape.Version))
	x.head()
	x.envelope()
	whole.b.WriteString(fields.b.String())
	x.codes()
	whole.close()
	return whole.writeTo(w)
}

type xsdWriter struct {
	*xmlWriter
	exports *Exports
	dataset *Dataset
	lists   map[string]bool // code lists that some field uses
	unsaid  unsaid
}

func (x *xsdWriter) head() {
	d := x.dataset
	x.open("xs:annotation")
	x.text("xs:documentation", d.TitleVi, "xml:lang", "vi")
	x.text("xs:documentation", d.TitleEn, "xml:lang", "en")
	x.text("xs:appinfo", "dataset "+d.Shape.Dataset.String()+", shape "+strconv.Itoa(d.Shape.Version)+", codes as of "+x.exports.today().Format(time.DateOnly),
		"source", x.exports.schemaURL(d.Shape.Dataset))
	for _, entry := range x.unsaid.rules {
		rule, _ := entry.(object)
		text := make([]string, 0, len(rule))
		for _, m := range rule {
			word, _ := m.value.(string)
			text = append(text, m.name+": "+word)
		}
		x.text("xs:appinfo", strings.Join(text, "; "), "source", x.exports.base+"/schemas#not-expressed")
	}
	x.close()
}

// envelope writes the parts of a message that are the same for every dataset.
func (x *xsdWriter) envelope() {
	x.empty("xs:element", "name", "Root", "type", "Message")
	x.open("xs:element", "name", "DanhSach")
	x.open("xs:complexType")
	x.open("xs:sequence")
	x.empty("xs:element", "ref", "Root", "minOccurs", "0", "maxOccurs", "unbounded")
	x.close()
	x.close()
	x.close()

	x.open("xs:complexType", "name", "Message")
	x.open("xs:all")
	x.open("xs:element", "name", "NguonDuLieu")
	x.open("xs:complexType")
	x.open("xs:all")
	x.empty("xs:element", "name", "MaLoaiDuLieu", "type", "xs:string", "fixed", x.dataset.Shape.Dataset.String())
	x.empty("xs:element", "name", "IdNguonDuLieu", "type", "Identifier", "minOccurs", "0")
	x.close()
	x.close()
	x.close()
	x.empty("xs:element", "name", "DuLieuTiepNhan", "type", "Received")
	x.open("xs:element", "name", "TrangThaiDuLieu")
	x.open("xs:complexType")
	x.open("xs:all")
	x.open("xs:element", "name", "SuKien")
	x.restrict("xs:string", facets{{"enumeration", "NEW"}, {"enumeration", "UPDATE"}, {"enumeration", "CANCEL"}})
	x.close()
	x.open("xs:element", "name", "PhienBan")
	x.restrict("xs:long", facets{{"pattern", "-?0*[1-9][0-9]*"}})
	x.close()
	x.empty("xs:element", "name", "ThoiGianCapNhat", "type", "xs:dateTime")
	x.close()
	x.close()
	x.close()
	x.close()
	x.close()

	x.open("xs:complexType", "name", "Received")
	x.open("xs:sequence")
	x.open("xs:element", "name", "IdBanGhi")
	x.restrict("Identifier", facets{{"minLength", "1"}})
	x.close()
	x.empty("xs:element", "name", "MaDinhDanhDuLieu", "type", "Identifier", "minOccurs", "0")
	x.empty("xs:group", "ref", "Record", "minOccurs", "0")
	x.empty("xs:element", "name", "PhanPhoi", "type", "Distribution", "minOccurs", "0", "maxOccurs", "unbounded")
	x.close()
	x.close()

	x.open("xs:complexType", "name", "Distribution")
	x.open("xs:all")
	for _, name := range []string{"Id", "TenTep", "MaLoaiDuLieu", "PhienBan", "DuongDanTaiXuong"} {
		x.empty("xs:element", "name", name, "type", "Identifier", "minOccurs", "0")
	}
	x.open("xs:element", "name", "MaKiemTra", "minOccurs", "0")
	x.open("xs:complexType")
	x.open("xs:all")
	x.empty("xs:element", "name", "GiaTri", "type", "Identifier", "minOccurs", "0")
	x.close()
	x.close()
	x.close()
	x.close()
	x.close()

	x.named("Identifier", "xs:string", facets{{"maxLength", "512"}})
	x.named("Filled", "xs:string", facets{{"pattern", `[\s\S]*[^` + whiteXML + `][\s\S]*`}})
	x.named("Blank", "xs:string", facets{{"pattern", "[" + whiteXML + "]*"}})
}

// record writes the group of the dataset's fields, in the order of the shape.
func (x *xsdWriter) record() {
	x.open("xs:group", "name", "Record")
	x.open("xs:sequence")
	for i := range x.dataset.Shape.Fields {
		x.field(i)
	}
	if x.dataset.More {
		x.empty("xs:any", "minOccurs", "0", "maxOccurs", "unbounded", "processContents", "lax", "namespace", "##other")
	}
	x.close()
	x.close()
}

// facet is a constraint of a simple type.
type facet struct{ name, value string }

type facets []facet

// xsdField is what the rules say of one field. A type can only be narrowed step by step, and no
// step may be wider than the one before, so what several rules say is joined first.
type xsdField struct {
	base     string // the type to begin with: a code list's when there is one
	list     string // that code list
	enum     []string
	chosen   bool // enum counts
	shortest int
	longest  int    // 0: no limit
	low      string // bounds, in the order of compare
	high     string
	patterns []string
	always   []string // patterns that hold for blank text too
	compare  func(a, b string) int
	numbers  bool // bounds may meet words
}

// choose limits the values to some words.
func (f *xsdField) choose(words []string) {
	if !f.chosen {
		f.enum, f.chosen = slices.Clone(words), true
		return
	}
	f.enum = slices.DeleteFunc(f.enum, func(word string) bool { return !slices.Contains(words, word) })
}

func (f *xsdField) lengths(shortest, longest int) {
	f.shortest = max(f.shortest, shortest)
	if longest > 0 && (f.longest == 0 || longest < f.longest) {
		f.longest = longest
	}
}

func (f *xsdField) atLeast(bound string) {
	if f.low == "" || f.compare(bound, f.low) > 0 {
		f.low = bound
	}
}

func (f *xsdField) atMost(bound string) {
	if f.high == "" || f.compare(bound, f.high) < 0 {
		f.high = bound
	}
}

// steps are the restrictions that make the type, the widest first.
func (f *xsdField) steps() []facets {
	var steps []facets
	if f.longest > 0 && f.shortest > f.longest || f.low != "" && f.high != "" && f.compare(f.low, f.high) > 0 || f.chosen && len(f.enum) == 0 {
		return []facets{{{"pattern", `[^\s\S]`}}} // the rules contradict each other: nothing is right
	}
	if f.chosen && f.numbers && (f.low != "" || f.high != "") {
		// A bound must be one of the words of the step before, so the words are bounded here.
		f.enum = slices.DeleteFunc(f.enum, func(word string) bool {
			return f.low != "" && f.compare(word, f.low) < 0 || f.high != "" && f.compare(word, f.high) > 0
		})
		f.low, f.high, f.numbers = "", "", false
		return f.steps()
	}
	if f.chosen {
		var words facets
		for _, word := range f.enum {
			words = append(words, facet{"enumeration", word})
		}
		steps = append(steps, words)
	}
	var limits facets
	if f.shortest > 0 {
		limits = append(limits, facet{"minLength", strconv.Itoa(f.shortest)})
	}
	if f.longest > 0 {
		limits = append(limits, facet{"maxLength", strconv.Itoa(f.longest)})
	}
	if f.low != "" {
		limits = append(limits, facet{"minInclusive", f.low})
	}
	if f.high != "" {
		limits = append(limits, facet{"maxInclusive", f.high})
	}
	if len(limits) > 0 {
		steps = append(steps, limits)
	}
	return append(steps, patternSteps(f.patterns)...)
}

// patternSteps makes a step of each pattern: several in one step would be alternatives.
func patternSteps(patterns []string) []facets {
	var steps []facets
	for _, pattern := range patterns {
		steps = append(steps, facets{{"pattern", pattern}})
	}
	return steps
}

func (x *xsdWriter) field(index int) {
	field := &x.dataset.Shape.Fields[index]
	required := x.dataset.required(index)
	f := xsdField{base: xsdBase(field.Kind), compare: comparison(field.Kind), numbers: field.Kind == lienthong.Integer, patterns: kindPatterns(field.Kind)}
	for _, rule := range x.dataset.rulesOf(field) {
		if why := x.rule(&rule, field, &f); why != "" {
			x.unsaid.add(field.Name, rule.Code, rule.Vi, rule.En, why)
		}
	}
	if field.Kind == lienthong.Text && field.Handling == "" {
		f.lengths(0, field.MaxLength)
	}
	if f.list != "" && f.chosen { // no step may name a word that the step before does not have
		f.choose(x.codesOf(f.list))
		f.base = "xs:string"
	} else if f.list != "" {
		x.lists[f.list] = true
	}
	steps, always := f.steps(), patternSteps(f.always)
	if required {
		x.open("xs:element", "name", field.Name)
	} else {
		x.open("xs:element", "name", field.Name, "minOccurs", "0", "nillable", "true")
	}
	x.open("xs:annotation")
	x.text("xs:documentation", field.LabelVi, "xml:lang", "vi")
	x.text("xs:documentation", field.LabelEn, "xml:lang", "en")
	if element, found := x.exports.config.Dictionary.Element(field.Element); found {
		x.text("xs:documentation", element.DefinitionVi, "xml:lang", "vi")
		x.text("xs:documentation", element.DefinitionEn, "xml:lang", "en")
		x.text("xs:appinfo", element.ID, "source", x.exports.elementURL(element.ID))
	}
	x.close()
	switch {
	case field.Kind != lienthong.Text:
		x.steps(f.base, nil, steps)
	case required && f.base == "xs:string":
		x.steps("Filled", nil, slices.Concat(steps, always))
	case required: // no code is blank
		x.steps(f.base, nil, slices.Concat(steps, always))
	case len(steps) > 0 || f.base != "xs:string":
		x.steps("", func() { x.blankOr(f.base, steps) }, always)
	default:
		x.steps("xs:string", nil, always)
	}
	x.close()
}

// blankOr is blank text, which is no value, or text that obeys the rules.
func (x *xsdWriter) blankOr(base string, steps []facets) {
	x.open("xs:simpleType")
	x.open("xs:union", "memberTypes", "Blank")
	x.steps(base, nil, steps)
	x.close()
	x.close()
}

// steps writes a simple type: a restriction of the base for each step, one in the other.
func (x *xsdWriter) steps(base string, inner func(), steps []facets) {
	if len(steps) == 0 {
		if inner != nil {
			inner()
			return
		}
		x.restrict(base, nil)
		return
	}
	last := steps[len(steps)-1]
	x.open("xs:simpleType")
	if len(steps) == 1 && inner == nil {
		x.open("xs:restriction", "base", base)
	} else {
		x.open("xs:restriction")
		x.steps(base, inner, steps[:len(steps)-1])
	}
	x.facets(last)
	x.close()
	x.close()
}

func (x *xsdWriter) restrict(base string, what facets) {
	x.open("xs:simpleType")
	x.open("xs:restriction", "base", base)
	x.facets(what)
	x.close()
	x.close()
}

func (x *xsdWriter) named(name, base string, what facets) {
	x.open("xs:simpleType", "name", name)
	x.open("xs:restriction", "base", base)
	x.facets(what)
	x.close()
	x.close()
}

func (x *xsdWriter) facets(what facets) {
	for _, f := range what {
		x.indent()
		x.b.WriteString("<xs:" + f.name + ` value="` + escapeXML(f.value) + "\"/>\n")
	}
}

func xsdBase(kind lienthong.Kind) string {
	switch kind {
	case lienthong.Text:
		return "xs:string"
	case lienthong.Integer:
		return "xs:long"
	case lienthong.Decimal:
		return "xs:decimal"
	case lienthong.Real:
		return "xs:double"
	case lienthong.Boolean:
		return "xs:boolean"
	case lienthong.Date:
		return "xs:date"
	case lienthong.Timestamp:
		return "xs:dateTime"
	case lienthong.Binary:
		return "xs:base64Binary"
	}
	return "xs:string"
}

// kindPatterns narrow types of XML Schema to what the platform writes.
func kindPatterns(kind lienthong.Kind) []string {
	switch kind {
	case lienthong.Decimal:
		return []string{`-?[0-9]+(\.[0-9]+)?`}
	case lienthong.Real:
		return []string{`-?[0-9]+(\.[0-9]+)?(e[\-+]?[0-9]+)?`}
	case lienthong.Date:
		return []string{`[0-9]{4}\-[0-9]{2}\-[0-9]{2}`}
	case lienthong.Text, lienthong.Integer, lienthong.Boolean, lienthong.Timestamp, lienthong.Binary:
	}
	return nil
}

// comparison orders bounds of a kind: numbers by value, times by their text.
func comparison(kind lienthong.Kind) func(a, b string) int {
	if kind == lienthong.Date || kind == lienthong.Timestamp {
		return strings.Compare
	}
	return func(a, b string) int {
		first, ok := new(big.Rat).SetString(a)
		second, ok2 := new(big.Rat).SetString(b)
		if !ok || !ok2 {
			return 0
		}
		return first.Cmp(second)
	}
}

// rule adds what a rule says, or returns why it cannot be said.
func (x *xsdWriter) rule(rule *dictionary.Rule, field *lienthong.Field, f *xsdField) (why string) {
	check := &rule.Check
	switch {
	case check.Required: // the element must be there
	case check.Digits > 0:
		f.patterns = append(f.patterns, xmlXS.digits(check.Digits))
	case check.Pattern != "":
		text, ok := xmlXS.translate(check.Pattern)
		if !ok {
			return whyFormat
		}
		f.patterns = append(f.patterns, text)
	case check.MinLength > 0 || check.MaxLength > 0:
		f.lengths(check.MinLength, check.MaxLength)
	case check.CodeList != "":
		return x.codeList(check, f)
	case len(check.OneOf) > 0:
		f.choose(check.OneOf)
	case check.Min != "" || check.Max != "":
		return xsdLimits(check, field.Kind, f)
	case check.PersonName:
		f.patterns = append(f.patterns, xmlXS.personName())
	case check.Tidy:
		f.always = append(f.always, xmlXS.tidy())
	case check.MaxAge != "":
		return whyTime
	case check.NotBefore != "", check.PersonNumber != nil, check.CEL != "":
		return whyFields
	default:
		return whyFormat
	}
	return ""
}

// codeList makes the type of a list's codes the base. A second list, or a list beside a fixed set, is written out.
func (x *xsdWriter) codeList(check *dictionary.Check, f *xsdField) (why string) {
	if check.AsOf != "" {
		return whyFields
	}
	if _, found := x.exports.config.Dictionary.CodeList(check.CodeList); !found {
		return whyFormat
	}
	if f.list == "" {
		f.base, f.list = codeType(check.CodeList), check.CodeList
		return ""
	}
	f.choose(x.codesOf(check.CodeList))
	return ""
}

func (x *xsdWriter) codesOf(id string) []string {
	codes, found := x.exports.config.Dictionary.CodeList(id)
	if !found {
		return nil
	}
	var words []string
	for _, code := range x.exports.validCodes(codes) {
		words = append(words, code.Code)
	}
	return words
}

func codeType(id string) string { return "Codes." + strings.ReplaceAll(segment(id), "%", ".") }

// codes writes a type for each code list that a field uses.
func (x *xsdWriter) codes() {
	for _, codes := range x.exports.config.Dictionary.CodeLists() {
		if !x.lists[codes.ID] {
			continue
		}
		x.open("xs:simpleType", "name", codeType(codes.ID))
		x.open("xs:annotation")
		x.text("xs:documentation", codes.NameVi, "xml:lang", "vi")
		x.text("xs:documentation", codes.NameEn, "xml:lang", "en")
		x.text("xs:appinfo", codes.ID, "source", x.exports.listURL(codes.ID))
		x.close()
		x.open("xs:restriction", "base", "xs:string")
		for _, code := range x.exports.validCodes(codes) {
			x.facets(facets{{"enumeration", code.Code}})
		}
		x.close()
		x.close()
	}
}

func xsdLimits(check *dictionary.Check, kind lienthong.Kind, f *xsdField) (why string) {
	for _, bound := range []struct {
		text string
		last bool
	}{{check.Min, false}, {check.Max, true}} {
		text := bound.text
		if text == "" {
			continue
		}
		switch kind {
		case lienthong.Integer, lienthong.Real:
			number, ok := jsonNumber(text, kind)
			if !ok {
				return whyFormat
			}
			text = string(number)
		case lienthong.Date, lienthong.Timestamp:
			fixed, ok := fixedBound(text, kind, bound.last)
			if !ok {
				why = whyTime // the other bound is said all the same
				continue
			}
			text = fixed
		case lienthong.Decimal:
		case lienthong.Text, lienthong.Boolean, lienthong.Binary:
			return whyFormat
		}
		if bound.last {
			f.atMost(text)
		} else {
			f.atLeast(text)
		}
	}
	return why
}

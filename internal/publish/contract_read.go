package publish

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// ImportedContract is what was understood of a contract.
type ImportedContract struct {
	Terms  Terms
	Drafts []ContractDraft // one for each object of the contract's schema
	// NotUnderstood lists what the drafts do not say, by its place in the contract. Terms are kept
	// as they are and do not stand here.
	NotUnderstood []*lienthong.Error
}

// ContractDraft is the definition that one object of a schema becomes.
type ContractDraft struct {
	// Definition is nil when something is missing; Problems say what.
	Definition *dictionary.Definition
	YAML       []byte // the same as a file, for people to go on with
	Problems   []*lienthong.Error
}

// ReadContract reads a contract of version 3 of the standard. Of one that Contract wrote, nothing is lost. A
// foreign one becomes drafts: properties whose element is not known have none, with a proposal in the problem.
func (e *Exports) ReadContract(name string, data []byte) (*ImportedContract, error) {
	root, err := readTree(name, data)
	if err != nil {
		return nil, err
	}
	if root.text("kind") != "DataContract" || !strings.HasPrefix(root.text("apiVersion"), "v3.") {
		return nil, &lienthong.Error{
			Code: "contract.version", Where: name,
			Vi: "không phải hợp đồng dữ liệu ODCS phiên bản 3", En: "not a data contract of ODCS version 3",
			Hint: "kind: DataContract, apiVersion: " + ODCS,
		}
	}
	r := &contractReader{exports: e, name: name, root: root, understood: map[string]bool{}}
	made := &ImportedContract{}
	interval := r.interval()
	objects := root.items("schema")
	if len(objects) == 0 {
		return nil, &lienthong.Error{
			Code: "contract.schema", Where: name,
			Vi: "hợp đồng không mô tả dữ liệu (schema)", En: "the contract describes no data (schema)",
		}
	}
	names := labels(objects)
	for i := range objects {
		schema, is := objects[i].(object)
		if !is {
			continue // listed as not understood
		}
		made.Drafts = append(made.Drafts, r.draft(schema, "schema["+names[i]+"]", interval))
	}
	made.Terms = r.terms(made.Drafts)
	made.NotUnderstood = r.missing(made)
	return made, nil
}

type contractReader struct {
	exports    *Exports
	name       string
	root       object
	understood map[string]bool // places
}

func (r *contractReader) understand(places ...string) {
	for _, place := range places {
		r.understood[place] = true
	}
}

// interval is the frequency of the service levels, in the form of a definition.
func (r *contractReader) interval() string {
	for _, level := range r.root.items("slaProperties") {
		o, is := level.(object)
		if !is || o.text("property") != "frequency" {
			continue
		}
		unit := map[string]string{"text": "", "day": "d", "days": "d", "hour": "h", "hours": "h", "minute": "m", "minutes": "m", "year": "y", "years": "y", "week": "w", "weeks": "w"}
		short, known := unit[o.text("unit")]
		if !known {
			short = o.text("unit")
		}
		return o.text("value") + short
	}
	return ""
}

// terms are the contract without what the definition says.
func (r *contractReader) terms(drafts []ContractDraft) Terms {
	rest := r.root.without("apiVersion", "kind", "schema")
	if len(drafts) == 1 && drafts[0].Definition != nil {
		def := drafts[0].Definition
		for name, own := range map[string]string{"id": def.Dataset.String(), "name": both(def.TitleVi, def.TitleEn), "domain": def.Dataset.Database} {
			if rest.text(name) == own {
				rest = rest.without(name)
			}
		}
		if def.Interval != "" {
			var levels list
			for _, level := range rest.items("slaProperties") {
				if o, is := level.(object); !is || o.text("property") != "frequency" {
					levels = append(levels, level)
				}
			}
			if rest = rest.without("slaProperties"); len(levels) > 0 {
				rest.add("slaProperties", levels)
			}
		}
	}
	return Terms{rest: rest}
}

// properties are the custom properties of an object, by name.
func customOf(o object) map[string]any {
	made := map[string]any{}
	for _, item := range o.items("customProperties") {
		if property, is := item.(object); is {
			value, _ := property.get("value")
			made[property.text("property")] = value
		}
	}
	return made
}

// draft makes a definition of one object of the schema, in the form of a file that the dictionary parses.
func (r *contractReader) draft(schema object, place, interval string) ContractDraft {
	name := schema.text("name")
	own := customOf(schema)
	id := plainText(own["dataset"])
	if id == "" {
		id = r.datasetID(name)
	}
	titleVi, titleEn := plainText(own["title_vi"]), plainText(own["title_en"])
	if titleVi == "" {
		titleVi = cmp.Or(schema.text("businessName"), r.root.text("name"), name)
	}
	table := cmp.Or(schema.text("physicalName"), name)
	r.understand(place+".name", place+".physicalName", place+".businessName", place+".logicalType", place+".physicalType")
	d := &draftWriter{reader: r, dataset: id}
	properties := schema.items("properties")
	names := labels(properties)
	for i := range properties {
		if property, is := properties[i].(object); is {
			d.property(property, place+".properties["+names[i]+"]")
		}
	}
	d.qualities(schema, place, "")
	var def object
	def.add("dataset", id)
	def.add("title_vi", titleVi)
	def.some("title_en", titleEn)
	def.add("table", table)
	identity, given := own["identity"]
	if !given {
		identity = d.identity()
	}
	def.add("identity", identity)
	if others := plainText(own["others"]); others != "" {
		def.add("others", others)
	}
	if declared, is := own["declared"].(int); is {
		def.add("declared", declared)
	}
	def.some("interval", interval)
	if withheld, is := own["withheld"].(list); is {
		d.columns = append(d.columns, withheld...)
	}
	for _, part := range []struct {
		key   string
		value any
	}{{"rows", own["rows"]}, {"columns", d.columns}, {"rules", d.rules}, {"set_rules", d.setRules}, {"codes", own["codes"]}} {
		switch value := part.value.(type) {
		case nil:
		case list:
			if len(value) > 0 {
				def.add(part.key, value)
			}
		default:
			def.add(part.key, value)
		}
	}
	var b bytes.Buffer
	if err := writeYAML(&b, def); err != nil {
		return ContractDraft{Problems: append(d.problems, joinedErrors(err)...)}
	}
	draft := ContractDraft{YAML: b.Bytes(), Problems: d.problems}
	parsed, err := dictionary.ParseDefinition(r.name+": "+id, b.Bytes())
	if err == nil {
		_, err = DatasetOf(r.exports.config.Dictionary, parsed, 1)
	}
	if err != nil {
		draft.Problems = append(draft.Problems, joinedErrors(err)...)
		return draft
	}
	draft.Definition = parsed
	return draft
}

// datasetID makes an identifier of what a foreign contract calls its data.
func (r *contractReader) datasetID(name string) string {
	if id, err := lienthong.ParseDatasetID(r.root.text("id")); err == nil && len(r.root.items("schema")) == 1 {
		return id.String()
	}
	return plainName(cmp.Or(r.root.text("domain"), r.root.text("dataProduct"), "foreign")) + "." + plainName(name)
}

// plainName makes letters, digits and underscores of any text.
func plainName(text string) string {
	made := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(dictionary.PlainKey(text), "_")
	made = strings.Trim(made, "_")
	if made == "" || made[0] < 'a' || made[0] > 'z' {
		made = "x_" + made
	}
	return strings.TrimRight(made[:min(len(made), 40)], "_")
}

// draftWriter gathers the parts of a definition.
type draftWriter struct {
	reader   *contractReader
	dataset  string
	columns  list
	rules    list
	setRules list
	keys     []primaryKey
	problems []*lienthong.Error
}

type primaryKey struct {
	position int
	field    string
}

func (d *draftWriter) identity() list {
	slices.SortStableFunc(d.keys, func(a, b primaryKey) int { return a.position - b.position })
	var names list
	for _, key := range d.keys {
		names = append(names, key.field)
	}
	return names
}

// property makes a mapping of a property, and rules of what it says.
func (d *draftWriter) property(p object, place string) {
	name := p.text("name")
	own := customOf(p)
	known := d.reader.exports.config.Dictionary
	element := plainText(own["element"])
	if element == "" {
		element = d.elementOf(p)
	}
	var mapping object
	if columns := p.items("transformSourceObjects"); len(columns) > 1 {
		mapping.add("columns", columns)
	} else {
		mapping.add("column", cmp.Or(p.text("physicalName"), name))
	}
	d.reader.understand(place+".name", place+".physicalName", place+".transformSourceObjects", place+".primaryKey", place+".primaryKeyPosition", place+".logicalType", place+".required")
	field := name
	found, exists := known.Element(element)
	if !exists {
		hint := "lienthong dictionary elements"
		column := dictionary.ColumnSample{Column: lienthong.Column{Name: cmp.Or(p.text("physicalName"), name), Kind: logicalKind(p.text("logicalType"))}}
		if proposals := known.Propose(d.dataset, []dictionary.ColumnSample{column}); len(proposals) > 0 && proposals[0].Element != "" {
			hint = fmt.Sprintf("có phải %q? / did you mean %q?", proposals[0].Element, proposals[0].Element)
		}
		d.problems = append(d.problems, &lienthong.Error{
			Code: "contract.element", Where: d.reader.name + ": " + place, Hint: hint,
			Vi: "thuộc tính chưa gắn với phần tử của từ điển", En: "the property is not bound to an element of the dictionary",
		})
	}
	mapping.add("element", element)
	foreign := own["element"] == nil
	switch {
	case own["field"] != nil:
		field = plainText(own["field"])
		mapping.add("field", field)
	case foreign && (!exists || found.Name != plainName(name)) && !reserved(plainName(name)):
		field = plainName(name)
		mapping.add("field", field)
	case exists:
		field = found.Name
	}
	for _, key := range []string{"transforms", "required", "optional", "handling", "key", "first", "last"} {
		if value, given := own[key]; given {
			mapping.add(key, value)
		}
	}
	if _, given := own["required"]; !given && foreign {
		mapping.add("required", p.flag("required"))
	}
	if p.flag("primaryKey") {
		position, err := strconv.Atoi(p.text("primaryKeyPosition"))
		if err != nil {
			position = len(d.keys) + 1
		}
		d.keys = append(d.keys, primaryKey{position, field})
	}
	d.columns = append(d.columns, mapping)
	if foreign {
		d.options(p, place, field)
		if p.flag("unique") {
			d.reader.understand(place + ".unique")
			d.unique(field, list{field}, "", nil)
		}
	}
	d.qualities(p, place, field)
}

func (d *draftWriter) qualities(o object, place, field string) {
	all := o.items("quality")
	names := labels(all)
	for i := range all {
		if rule, is := all[i].(object); is {
			d.quality(rule, place+".quality["+names[i]+"]", field)
		}
	}
}

// reserved are the names that a row on the wire has beside its fields.
func reserved(name string) bool {
	return name == "op" || name == "id" || name == "version" || name == "at"
}

// elementOf finds the element that a definition of the property points to.
func (d *draftWriter) elementOf(p object) string {
	for _, item := range p.items("authoritativeDefinitions") {
		if definition, is := item.(object); is {
			if id, ours := strings.CutPrefix(definition.text("url"), d.reader.exports.elementURL("")); ours {
				return id
			}
		}
	}
	return ""
}

func logicalKind(logical string) lienthong.Kind {
	switch logical {
	case "integer":
		return lienthong.Integer
	case "number":
		return lienthong.Decimal
	case "boolean":
		return lienthong.Boolean
	case "date":
		return lienthong.Date
	case "timestamp":
		return lienthong.Timestamp
	}
	return lienthong.Text
}

// options makes rules of the limits that a foreign property has.
func (d *draftWriter) options(p object, place, field string) {
	options := p.object("logicalTypeOptions")
	place += ".logicalTypeOptions."
	length := object{}
	for _, o := range options {
		value := plainText(o.value)
		switch o.name {
		case "minLength", "maxLength":
			if onlyDigits(value) {
				d.reader.understand(place + o.name)
				length.add(strings.ToLower(o.name[:3])+"_length", number(value))
			}
		case "minimum", "maximum":
			d.reader.understand(place + o.name)
			d.rule(field, o.name, "out_of_range", "dung", "", "giá trị ngoài khoảng cho phép", "the value is out of range", object{{o.name[:3], value}})
		case "pattern":
			if pattern, ok := wholePattern(value); ok {
				d.reader.understand(place + o.name)
				d.rule(field, "pattern", "wrong_format", "sach", "", "giá trị không đúng mẫu", "the value does not match the pattern", object{{"pattern", pattern}})
			}
		}
	}
	if len(length) > 0 {
		d.rule(field, "length", "out_of_range", "sach", "", "độ dài không đúng", "the length is wrong", length)
	}
}

// wholePattern makes an expression for the whole value; those of contracts may match a part.
func wholePattern(pattern string) (string, bool) {
	if !strings.HasPrefix(pattern, "^") {
		pattern = "^.*(?:" + pattern
	} else {
		pattern = "^(?:" + pattern[1:]
	}
	if strings.HasSuffix(pattern, "$") && !strings.HasSuffix(pattern, `\$`) {
		pattern = pattern[:len(pattern)-1] + ")$"
	} else {
		pattern += ").*$"
	}
	_, err := regexp.Compile(pattern)
	return pattern, err == nil
}

// rule adds a rule of one record, made from a foreign contract.
func (d *draftWriter) rule(field, kind, group, criterion, description, vi, en string, check object) {
	if description != "" {
		vi, en = description, description
	}
	code := d.dataset + "." + field + "." + kind
	for n := 2; slices.ContainsFunc(d.rules, func(other any) bool { o, is := other.(object); return is && o.text("code") == code }); n++ {
		code = d.dataset + "." + field + "." + kind + "_" + strconv.Itoa(n)
	}
	d.rules = append(d.rules, object{{"code", code}, {"vi", vi}, {"en", en}, {"group", group}, {"criterion", criterion}, {"field", field}, {"check", check}})
}

func (d *draftWriter) unique(field string, fields list, description string, name any) {
	code := plainText(name)
	if code == "" {
		code = d.dataset + "." + field + ".unique"
	}
	vi, en := "giá trị bị trùng", "the value is not unique"
	if description != "" {
		vi, en = description, description
	}
	d.setRules = append(d.setRules, object{
		{"code", code}, {"vi", vi}, {"en", en}, {"group", "duplicate"}, {"criterion", "sach"}, {"field", field}, {"unique", fields},
	})
}

// quality makes a rule of a quality entry: the very rule where it stands beside it, otherwise what
// metrics of the standard say. field is empty at the level of the object.
func (d *draftWriter) quality(q object, place, field string) {
	own := customOf(q)
	if rule, is := own["rule"].(object); is {
		d.reader.understand(place)
		d.rules = append(d.rules, rule)
		return
	}
	if rule, is := own["set_rule"].(object); is {
		d.reader.understand(place)
		d.setRules = append(d.setRules, rule)
		return
	}
	if plainText(own["origin"]) == "dictionary" {
		return // what the dictionary says now is compared later
	}
	if kind := q.text("type"); kind != "library" && kind != "" || q.text("mustBe") != "0" || q.text("unit") == "percent" {
		return
	}
	arguments := q.object("arguments")
	description := q.text("description")
	understood := false
	switch metric := q.text("metric"); {
	case field != "" && (metric == "nullValues" || metric == "missingValues"):
		d.rule(field, "required", "missing", "du", description, "thiếu giá trị bắt buộc", "a value is missing", object{{"required", true}})
		understood = true
	case field != "" && metric == "invalidValues":
		if pattern, ok := wholePattern(arguments.text("pattern")); ok && arguments.text("pattern") != "" {
			d.rule(field, "pattern", "wrong_format", "sach", description, "giá trị không đúng mẫu", "the value does not match the pattern", object{{"pattern", pattern}})
			understood = true
		} else if values := arguments.items("validValues"); len(values) > 0 {
			var words list
			for _, value := range values {
				words = append(words, plainText(value))
			}
			d.rule(field, "values", "out_of_range", "dung", description, "giá trị không có trong danh sách", "the value is not in the list", object{{"one_of", words}})
			understood = true
		}
	case metric == "duplicateValues":
		fields := arguments.items("properties")
		if len(fields) == 0 && field != "" {
			fields = list{field}
		}
		if len(fields) > 0 {
			d.unique(cmp.Or(field, plainText(fields[0])), fields, description, nil)
			understood = true
		}
	}
	if understood {
		for _, key := range []string{"type", "metric", "rule", "mustBe", "unit", "arguments", "description", "dimension", "name"} {
			d.reader.understand(place + "." + key)
		}
	}
}

// missing lists what stands in the contract and neither was understood nor comes out again when
// the drafts are written as contracts.
func (r *contractReader) missing(made *ImportedContract) []*lienthong.Error {
	again := map[string]string{}
	for i := range made.Drafts {
		if def := made.Drafts[i].Definition; def != nil {
			if contract, err := r.exports.Contract(def, Terms{}); err == nil {
				leaves(contract.root.items("schema"), "schema", again)
			}
		}
	}
	before := map[string]string{}
	leaves(r.root.items("schema"), "schema", before)
	var lost []*lienthong.Error
	for _, place := range sortedKeys(before) {
		if value, same := again[place]; same && value == before[place] || r.covered(place) {
			continue
		}
		lost = append(lost, &lienthong.Error{
			Code: "contract.not_understood", Where: r.name + ": " + place,
			Vi: "phần này của hợp đồng không được hiểu và không có trong bản nháp", En: "this part of the contract was not understood and is not in the draft",
		})
	}
	return lost
}

// covered reports whether a place or one above it was understood.
func (r *contractReader) covered(place string) bool {
	for {
		if r.understood[place] {
			return true
		}
		at := strings.LastIndexAny(place, ".[")
		if at < 0 {
			return false
		}
		place = place[:at]
	}
}

// leaves lists the plain values of a tree by their places. Members of lists are known by their names, so
// that the order does not matter.
func leaves(value any, place string, into map[string]string) {
	switch v := value.(type) {
	case object:
		for i := range v {
			leaves(v[i].value, place+"."+v[i].name, into)
		}
		if len(v) == 0 {
			into[place] = "{}"
		}
	case list:
		names := labels(v)
		for i := range v {
			leaves(v[i], place+"["+names[i]+"]", into)
		}
		if len(v) == 0 {
			into[place] = "[]"
		}
	default:
		into[place] = fmt.Sprintf("%T %v", value, value)
		if text := plainText(value); text != "" {
			into[place] = text
		}
	}
}

// labels are what the members of a list are known by: a name that each has alone, or the place.
func labels(items list) []string {
	names := make([]string, len(items))
	for i, item := range items {
		name := strconv.Itoa(i)
		if o, is := item.(object); is {
			name = cmp.Or(o.text("name"), o.text("property"), o.text("url"), o.text("to"), o.text("metric"), name)
		}
		if slices.Contains(names[:i], name) {
			name += "#" + strconv.Itoa(i)
		}
		names[i] = name
	}
	return names
}

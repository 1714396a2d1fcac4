package publish

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// ODCS is the version of the Open Data Contract Standard that contracts are written in.
const ODCS = "v3.1.0"

// engineName stands in quality rules that only this platform can run.
const engineName = "lienthong"

// Terms are what a contract says beside the form of the data: version, status, servers, team, roles, support,
// price, service levels. They are kept as they were read, known or not.
type Terms struct {
	rest object
}

// Contract is a data contract of one dataset.
type Contract struct {
	Dataset lienthong.DatasetID
	root    object
}

// Write writes the contract as YAML.
func (c *Contract) Write(w io.Writer) error { return writeYAML(w, c.root) }

// TermsOf makes the terms that the register knows of a dataset. Contacts are those at work.
func (e *Exports) TermsOf(entry *catalog.Entry, dataset string) Terms {
	rest := object{{"version", "1.0.0"}, {"status", "active"}, {"domain", entry.Code}}
	if entry.Owner != "" {
		rest.add("tenant", string(entry.Owner))
	}
	d, found := entry.Dataset(dataset)
	var description object
	description.some("purpose", both(entry.PurposeVi, entry.PurposeEn))
	if found {
		description.some("limitations", d.Conditions)
	}
	if len(description) > 0 {
		rest.add("description", description)
	}
	rest.add("servers", list{object{
		{"server", "hub"},
		{"type", "api"},
		{"description", "Dịch vụ nhận dữ liệu và thay đổi / Data and change feeds"},
		{"environment", "prod"},
		{"location", e.base + "/feeds/v1"},
	}})
	if support := supportOf(entry); len(support) > 0 {
		rest.add("support", support)
	}
	if team := e.teamOf(entry); len(team) > 0 {
		rest.add("team", team)
	}
	approver := object{{"role", "consumer"}, {"description", "Bên khai thác theo thoả thuận chia sẻ / Consumer under a sharing agreement"}, {"access", "read"}}
	if name, known := e.memberName(string(entry.Owner)); known {
		approver.add("firstLevelApprovers", name.Vi)
	}
	rest.add("roles", list{approver})
	var levels, custom list
	if found {
		levels = levelsOf(d)
		for _, property := range []struct{ name, value string }{{"access", string(d.Access)}, {"importance", string(d.Importance)}} {
			if property.value != "" {
				custom = append(custom, object{{"property", property.name}, {"value", property.value}})
			}
		}
	}
	if len(levels) > 0 {
		rest.add("slaProperties", levels)
	}
	var laws list
	for i := range entry.LegalBases {
		if basis := &entry.LegalBases[i]; basis.Number != "" {
			laws = append(laws, object{
				{"url", e.base + "/legislation/" + segment(basis.Number)},
				{"type", "legalBasis"},
				{"description", strings.TrimSpace(basis.Number + " " + basis.Article + " " + basis.TitleVi)},
			})
		}
	}
	if len(laws) > 0 {
		rest.add("authoritativeDefinitions", laws)
	}
	if len(custom) > 0 {
		rest.add("customProperties", custom)
	}
	return Terms{rest: rest}
}

func supportOf(entry *catalog.Entry) list {
	var support list
	for _, person := range entry.People {
		if person.Duty == catalog.StewardDuty && strings.Contains(person.Email, "@") {
			support = append(support, object{{"channel", "email"}, {"url", "mailto:" + person.Email}, {"tool", "email"}, {"scope", "issues"}})
		}
	}
	return support
}

func (e *Exports) teamOf(entry *catalog.Entry) object {
	var people list
	for _, person := range entry.People {
		name := person.Email
		if name == "" {
			name = person.Name
		}
		if name == "" {
			continue
		}
		member := object{{"username", name}}
		member.some("name", person.Name)
		member.some("role", string(person.Duty))
		member.some("description", catalog.WordOf(catalog.Duties(), person.Duty).Vi)
		member.some("dateIn", person.Since)
		people = append(people, member)
	}
	if len(people) == 0 {
		return nil
	}
	team := object{}
	if name, known := e.memberName(string(entry.Owner)); known {
		team.add("name", name.Vi)
	}
	team.add("members", people)
	return team
}

func levelsOf(d *catalog.Dataset) list {
	var levels list
	if count, unit, ok := splitInterval(d.Updated); ok {
		levels = append(levels, object{{"property", "frequency"}, {"value", count}, {"unit", unit}})
	}
	if d.Retention.Years > 0 {
		levels = append(levels, object{{"property", "retention"}, {"value", d.Retention.Years}, {"unit", "y"}})
	}
	return levels
}

// Contract makes the contract of a dataset out of its definition and the terms. Rules that the
// dictionary brings along are in it too, marked as such.
func (e *Exports) Contract(def *dictionary.Definition, terms Terms) (*Contract, error) {
	d, err := DatasetOf(e.config.Dictionary, def, 1)
	if err != nil {
		return nil, err
	}
	w := &contractWriter{exports: e, def: def, dataset: d}
	schema, err := w.schema()
	if err != nil {
		return nil, err
	}
	rest := terms.rest
	title := both(def.TitleVi, def.TitleEn)
	root := object{{"apiVersion", ODCS}, {"kind", "DataContract"}}
	for _, head := range []struct{ name, standard string }{
		{"id", def.Dataset.String()}, {"name", title}, {"version", "1.0.0"}, {"status", "draft"}, {"domain", def.Dataset.Database},
	} {
		if value, given := rest.get(head.name); given {
			root.add(head.name, value)
		} else {
			root.add(head.name, head.standard)
		}
	}
	copied := func(names ...string) {
		for _, name := range names {
			if value, given := rest.get(name); given {
				root.add(name, value)
			}
		}
	}
	copied("tenant", "tags", "dataProduct", "description", "servers")
	root.add("schema", list{schema})
	copied("support", "price", "team", "roles", "slaDefaultElement")
	if levels := withFrequency(rest.items("slaProperties"), def.Interval); len(levels) > 0 {
		root.add("slaProperties", levels)
	}
	for i := range rest { // what stands at no fixed place, known to the standard or not
		if _, there := root.get(rest[i].name); !there && rest[i].name != "slaProperties" {
			root.add(rest[i].name, rest[i].value)
		}
	}
	return &Contract{Dataset: def.Dataset, root: root}, nil
}

// withFrequency puts the declared interval in the place of the frequency.
func withFrequency(levels list, interval string) list {
	count, unit, ok := splitInterval(interval)
	if !ok {
		return levels
	}
	made := list{object{{"property", "frequency"}, {"value", count}, {"unit", unit}}}
	for _, level := range levels {
		if o, is := level.(object); !is || o.text("property") != "frequency" {
			made = append(made, level)
		}
	}
	return made
}

// splitInterval takes "24h" apart. An interval of several units stays whole, without a unit.
func splitInterval(interval string) (value any, unit string, ok bool) {
	digits := strings.TrimRight(interval, "ymowdhs")
	if interval == "" {
		return nil, "", false
	}
	if onlyDigits(digits) && len(digits) < 7 {
		return number(digits), interval[len(digits):], true
	}
	return interval, "text", true
}

// contractWriter makes the schema of a contract.
type contractWriter struct {
	exports *Exports
	def     *dictionary.Definition
	dataset *Dataset
}

func custom(properties *list, name string, value any) {
	*properties = append(*properties, object{{"property", name}, {"value", value}})
}

func (w *contractWriter) schema() (object, error) {
	def := w.def
	id := def.Dataset
	made := object{{"id", id.Name}, {"name", id.Name}, {"physicalName", def.Table}, {"physicalType", "table"}, {"logicalType", "object"}}
	made.some("businessName", both(def.TitleVi, def.TitleEn))
	made.add("authoritativeDefinitions", list{object{{"url", w.exports.schemaURL(id)}, {"type", "jsonSchema"}}})
	var properties, own, withheld list
	custom(&own, "dataset", id.String())
	custom(&own, "title_vi", def.TitleVi)
	if def.TitleEn != "" {
		custom(&own, "title_en", def.TitleEn)
	}
	custom(&own, "identity", texts(def.Identity))
	custom(&own, "others", def.Others)
	for i := range def.Columns {
		m := &def.Columns[i]
		if m.Handling == dictionary.DropValue {
			withheld = append(withheld, mappingTree(m))
			continue
		}
		property, err := w.property(m)
		if err != nil {
			return nil, err
		}
		properties = append(properties, property)
	}
	made.add("properties", properties)
	quality, err := w.rulesOfAll()
	if err != nil {
		return nil, err
	}
	if len(quality) > 0 {
		made.add("quality", quality)
	}
	if len(withheld) > 0 {
		custom(&own, "withheld", withheld)
	}
	if len(def.Rows) > 0 {
		rows, err := encoded(def.Rows)
		if err != nil {
			return nil, err
		}
		custom(&own, "rows", rows)
	}
	if len(def.Codes) > 0 {
		custom(&own, "codes", codesTree(def.Codes))
	}
	if def.Declared > 0 {
		custom(&own, "declared", int(def.Declared))
	}
	made.add("customProperties", own)
	return made, nil
}

func codesTree(codes map[string]map[string]string) object {
	var tables object
	for _, name := range sortedKeys(codes) {
		var table object
		for _, from := range sortedKeys(codes[name]) {
			table.add(from, codes[name][from])
		}
		tables.add(name, table)
	}
	return tables
}

// mappingTree is a mapping in the form of a definition.
func mappingTree(m *dictionary.ColumnMapping) object {
	var made object
	made.some("column", m.Column)
	if len(m.Columns) > 0 {
		made.add("columns", texts(m.Columns))
	}
	made.add("element", m.Element)
	made.some("field", m.Field)
	if len(m.Transforms) > 0 {
		made.add("transforms", texts(m.Transforms))
	}
	if m.Required != nil {
		made.add("required", *m.Required)
	}
	if m.Optional {
		made.add("optional", true)
	}
	made.some("handling", m.Handling)
	made.some("key", m.Key)
	if m.First > 0 {
		made.add("first", m.First)
	}
	if m.Last > 0 {
		made.add("last", m.Last)
	}
	return made
}

// fieldOf is the name that a mapping gives its field.
func fieldOf(known *dictionary.Dictionary, m *dictionary.ColumnMapping) string {
	if m.Field != "" {
		return m.Field
	}
	if element, found := known.Element(m.Element); found {
		return element.Name
	}
	return ""
}

func (w *contractWriter) property(m *dictionary.ColumnMapping) (object, error) {
	shape := w.dataset.Shape
	index := shape.FieldIndex(fieldOf(w.exports.config.Dictionary, m))
	element, found := w.exports.config.Dictionary.Element(m.Element)
	if index < 0 || !found {
		return nil, errors.New("publish: a mapping without its field: " + m.Element)
	}
	field := &shape.Fields[index]
	made := object{{"id", field.Name}, {"name", field.Name}}
	made.some("businessName", both(field.LabelVi, field.LabelEn))
	made.some("physicalName", m.Column)
	logical, physical, options := types(field)
	made.add("logicalType", logical)
	if len(options) > 0 {
		made.add("logicalTypeOptions", options)
	}
	made.add("physicalType", physical)
	made.some("description", both(element.DefinitionVi, element.DefinitionEn))
	if w.dataset.required(index) {
		made.add("required", true)
	}
	if place := slices.Index(shape.Identity, index); place >= 0 {
		made.add("primaryKey", true)
		made.add("primaryKeyPosition", place+1)
	}
	switch {
	case element.Sensitive:
		made.add("classification", "sensitive personal")
	case field.Personal:
		made.add("classification", "personal")
	}
	if element.Identifier {
		made.add("criticalDataElement", true)
	}
	if len(m.Columns) > 0 {
		made.add("transformSourceObjects", texts(m.Columns))
	}
	if len(m.Transforms) > 0 {
		made.add("transformLogic", strings.Join(m.Transforms, " | "))
	}
	made.add("authoritativeDefinitions", list{object{{"url", w.exports.elementURL(element.ID)}, {"type", "dataElement"}}})
	if relationships := w.relationships(field.Name); len(relationships) > 0 {
		made.add("relationships", relationships)
	}
	var quality list
	for i := range w.dataset.Rules {
		if w.dataset.Rules[i].Field != field.Name {
			continue
		}
		rule, err := w.rule(&w.dataset.Rules[i])
		if err != nil {
			return nil, err
		}
		quality = append(quality, rule)
	}
	if len(quality) > 0 {
		made.add("quality", quality)
	}
	own := list{}
	mapping := mappingTree(m).without("column", "columns", "field")
	for i := range mapping {
		custom(&own, mapping[i].name, mapping[i].value)
	}
	if m.Field != "" {
		custom(&own, "field", m.Field)
	}
	made.add("customProperties", own)
	return made, nil
}

// types are the kinds of the standard and of the hub's tables.
func types(field *lienthong.Field) (logical, physical string, options object) {
	switch field.Kind {
	case lienthong.Text:
		if field.MaxLength > 0 {
			options.add("maxLength", field.MaxLength)
		}
		return "string", "text", options
	case lienthong.Integer:
		return "integer", "bigint", object{{"format", "i64"}}
	case lienthong.Decimal:
		return "number", "numeric", nil
	case lienthong.Real:
		return "number", "double precision", object{{"format", "f64"}}
	case lienthong.Boolean:
		return "boolean", "boolean", nil
	case lienthong.Date:
		return "date", "date", object{{"format", "yyyy-MM-dd"}}
	case lienthong.Timestamp:
		return "timestamp", "timestamptz", object{{"format", "yyyy-MM-ddTHH:mm:ss.SSSSSSZ"}, {"timezone", true}}
	case lienthong.Binary:
		return "string", "bytea", object{{"format", "binary"}}
	}
	return "string", "text", nil
}

// relationships are the references to records of other datasets.
func (w *contractWriter) relationships(field string) list {
	var made list
	for i := range w.def.SetRules {
		if rule := &w.def.SetRules[i]; rule.Reference != nil && rule.Field == field {
			other := rule.Reference.Dataset
			made = append(made, object{
				{"type", "foreignKey"}, {"to", other.String() + ".yaml#schema/" + other.Name + "/properties/" + rule.Reference.To},
			})
		}
	}
	return made
}

// rule writes a rule of one record: by a metric of the standard where there is one that means
// the same, otherwise for our own engine. The rule itself stands beside it.
func (w *contractWriter) rule(rule *dictionary.Rule) (object, error) {
	made := object{{"name", rule.Code}}
	made.some("description", both(rule.Vi, rule.En))
	made.add("dimension", dimension(rule.Criterion, rule.Group))
	severity := "warning"
	if rule.Blocking {
		severity = "error"
	}
	made.add("severity", severity)
	metric := func(name string, arguments object) {
		made.add("type", "library")
		made.add("metric", name)
		made.add("mustBe", 0)
		made.add("unit", "rows")
		made.add("arguments", arguments)
	}
	check, err := encoded(rule.Check)
	if err != nil {
		return nil, err
	}
	switch {
	case rule.Check.Required:
		metric("missingValues", object{{"missingValues", list{nil, ""}}})
	case rule.Check.Digits > 0:
		metric("invalidValues", object{{"pattern", ecma.digits(rule.Check.Digits)}})
	case len(rule.Check.OneOf) > 0:
		metric("invalidValues", object{{"validValues", texts(rule.Check.OneOf)}})
	case rule.Check.Pattern != "":
		metric("invalidValues", object{{"pattern", rule.Check.Pattern}})
	default:
		made.add("type", "custom")
		made.add("engine", engineName)
		made.add("implementation", object{{"check", check}})
	}
	var own list
	at := slices.IndexFunc(w.def.Rules, func(r dictionary.Rule) bool { return r.Code == rule.Code })
	if at < 0 {
		custom(&own, "origin", "dictionary")
	} else {
		tree, err := encoded(*rule)
		if err != nil {
			return nil, err
		}
		custom(&own, "rule", tree)
	}
	made.add("customProperties", own)
	return made, nil
}

// rulesOfAll are the rules about no single field of the contract: expressions, and those over many records.
func (w *contractWriter) rulesOfAll() (list, error) {
	var made list
	for i := range w.def.Rules {
		rule := &w.def.Rules[i]
		if w.dataset.Shape.FieldIndex(rule.Field) >= 0 {
			continue
		}
		entry, err := w.rule(rule)
		if err != nil {
			return nil, err
		}
		made = append(made, entry)
	}
	for i := range w.def.SetRules {
		rule := &w.def.SetRules[i]
		tree, err := encoded(*rule)
		if err != nil {
			return nil, err
		}
		entry := object{{"name", rule.Code}}
		entry.some("description", both(rule.Vi, rule.En))
		entry.add("dimension", dimension(rule.Criterion, rule.Group))
		if len(rule.Unique) > 0 {
			entry.add("type", "library")
			entry.add("metric", "duplicateValues")
			entry.add("mustBe", 0)
			entry.add("unit", "rows")
			entry.add("arguments", object{{"properties", texts(rule.Unique)}})
		} else {
			entry.add("type", "custom")
			entry.add("engine", engineName)
			entry.add("implementation", tree)
		}
		own := list{}
		custom(&own, "set_rule", tree)
		entry.add("customProperties", own)
		made = append(made, entry)
	}
	return made, nil
}

// dimension is the standard's word for a criterion and an error group.
func dimension(criterion lienthong.Criterion, group lienthong.ErrorGroup) string {
	switch group {
	case lienthong.MissingMandatory:
		return "completeness"
	case lienthong.Duplicate:
		return "uniqueness"
	case lienthong.WrongFormat:
		return "conformity"
	case lienthong.Stale:
		return "timeliness"
	case lienthong.BrokenReference, lienthong.Contradiction, lienthong.ReferenceMismatch:
		return "consistency"
	case lienthong.OutOfRange:
		return "accuracy"
	}
	switch criterion {
	case lienthong.Complete:
		return "completeness"
	case lienthong.Clean:
		return "conformity"
	case lienthong.Live:
		return "timeliness"
	case lienthong.Unified:
		return "consistency"
	case lienthong.Shared:
		return "coverage"
	case lienthong.Correct:
	}
	return "accuracy"
}

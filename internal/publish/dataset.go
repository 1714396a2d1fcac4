package publish

import (
	"slices"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Dataset is what the exports need to know of one dataset.
type Dataset struct {
	// Shape is that of the records as they travel. Values of fields with a Handling are not
	// those of the source, so rules about them are not published.
	Shape *lienthong.Shape
	// Rules are those that package quality compiles, about fields by name.
	Rules    []dictionary.Rule
	SetRules []dictionary.SetRule
	TitleVi  string
	TitleEn  string
	// More says that records may have fields beyond the shape's: columns that flow unmapped.
	More bool
}

// DatasetOf describes a dataset by its definition, before any source is open. A definition
// that is marked as a state secret is refused, like any other that does not compile.
func DatasetOf(known *dictionary.Dictionary, def *dictionary.Definition, version int) (*Dataset, error) {
	mapper, err := known.Compile(def, declaredColumns(known, def), version)
	if err != nil {
		return nil, err
	}
	return &Dataset{
		Shape: mapper.Shape, Rules: mapper.Rules(), SetRules: def.SetRules,
		TitleVi: def.TitleVi, TitleEn: def.TitleEn, More: def.Others == dictionary.KeepOthers,
	}, nil
}

// declaredColumns are the columns that a definition speaks of, of kinds that every
// mapping accepts: the fields do not depend on the kinds of the columns.
func declaredColumns(known *dictionary.Dictionary, def *dictionary.Definition) []lienthong.Column {
	var columns []lienthong.Column
	add := func(name string, kind lienthong.Kind) {
		if name != "" && !slices.ContainsFunc(columns, func(c lienthong.Column) bool { return c.Name == name }) {
			columns = append(columns, lienthong.Column{Name: name, SourceType: kind.String(), Kind: kind, Nullable: true})
		}
	}
	for i := range def.Columns {
		m := &def.Columns[i]
		kind := lienthong.Text
		if element, found := known.Element(m.Element); found && element.Kind == lienthong.Binary {
			kind = lienthong.Binary
		}
		add(m.Column, kind)
		for _, name := range m.Columns {
			add(name, lienthong.Text)
		}
	}
	for i := range def.Rows {
		add(def.Rows[i].Column, lienthong.Text)
	}
	return columns
}

// DatasetOfShape describes a dataset of which only the shape is known, as at a hub: the
// rules are those that its elements bring along.
func DatasetOfShape(known *dictionary.Dictionary, shape *lienthong.Shape) *Dataset {
	d := &Dataset{Shape: shape, TitleVi: shape.Dataset.String()}
	taken := map[string]bool{}
	for i := range shape.Fields {
		field := &shape.Fields[i]
		element, found := known.Element(field.Element)
		if !found {
			continue
		}
		for _, rule := range element.Rules {
			rule.Field = field.Name
			if taken[rule.Code] {
				rule.Code += "@" + field.Name // the element stands twice in the shape
			}
			taken[rule.Code] = true
			d.Rules = append(d.Rules, rule)
		}
	}
	return d
}

// title is the name for people, in both languages when both are known.
func (d *Dataset) title() string {
	vi := d.TitleVi
	if vi == "" {
		vi = d.Shape.Dataset.String()
	}
	return both(vi, d.TitleEn)
}

// both puts the two languages on one line, the way forms do.
func both(vi, en string) string {
	switch {
	case vi == "":
		return en
	case en == "" || en == vi:
		return vi
	}
	return vi + " / " + en
}

// required reports whether a record must have the field: by the shape, because it names
// the record, or by a rule.
func (d *Dataset) required(index int) bool {
	field := &d.Shape.Fields[index]
	return field.Required || slices.Contains(d.Shape.Identity, index) ||
		slices.ContainsFunc(d.rulesOf(field), func(r dictionary.Rule) bool { return r.Check.Required })
}

// rulesOf are the rules about a field, none where its values are replaced on the way.
func (d *Dataset) rulesOf(field *lienthong.Field) []dictionary.Rule {
	if field.Handling != "" {
		return nil
	}
	var rules []dictionary.Rule
	for i := range d.Rules {
		if d.Rules[i].Field == field.Name {
			rules = append(rules, d.Rules[i])
		}
	}
	return rules
}

// unsaid are the rules that a document cannot say: those about fields that do not travel as
// they are, those over many records, and those that the format has no word for.
type unsaid struct {
	rules list
}

func (u *unsaid) add(field, code, vi, en, why string) {
	o := object{{"rule", code}}
	o.some("field", field)
	o.add("vi", vi)
	o.add("en", en)
	o.add("why", why)
	u.rules = append(u.rules, o)
}

// The reasons for which a rule is not in a schema.
const (
	whyTime    = "phụ thuộc thời điểm kiểm tra / depends on the time of the check"
	whyFields  = "so sánh với trường khác / compares with another field"
	whyRecords = "so sánh với bản ghi khác / compares with other records"
	whyFormat  = "định dạng này không diễn đạt được / this format has no way to say it"
	whyHandled = "giá trị đã được che, băm hoặc mã hoá / the value is masked, hashed or tokenised"
)

// others adds the rules that no field of the document can carry.
func (u *unsaid) others(d *Dataset) {
	for i := range d.Rules {
		rule := &d.Rules[i]
		at := d.Shape.FieldIndex(rule.Field)
		if at < 0 || d.Shape.Fields[at].Handling != "" {
			why := whyHandled
			if rule.Field == "" {
				why = whyFields
			}
			u.add(rule.Field, rule.Code, rule.Vi, rule.En, why)
		}
	}
	for i := range d.SetRules {
		rule := &d.SetRules[i]
		u.add(rule.Field, rule.Code, rule.Vi, rule.En, whyRecords)
	}
}

package dictionary

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

// Compile binds a definition to the columns that the source has and to the
// dictionary. The error joins everything that does not fit. version becomes the
// shape's: the caller raises it when the columns or the definition changed.
func (d *Dictionary) Compile(def *Definition, columns []lienthong.Column, version int) (*Mapper, error) {
	c := &compiler{
		dictionary: d, def: def, columns: columns,
		problems: problems{file: def.File}, used: make([]bool, len(columns)),
		mapper: &Mapper{Shape: &lienthong.Shape{Dataset: def.Dataset, Version: version}},
	}
	if c.problems.file == "" {
		c.problems.file = def.Dataset.String()
	}
	if def.StateSecret {
		c.problems.add(0, "definition.state_secret", "tập dữ liệu thuộc bí mật nhà nước không được truyền bằng mật mã dân sự",
			"the dataset is a state secret and may not travel by civil cryptography",
			"dùng hệ thống của Ban Cơ yếu Chính phủ / use the systems of the Government Cipher Committee")
	}
	if def.NamesWholeRows() {
		c.wholeRow()
	}
	for i := range def.Columns {
		c.column(&def.Columns[i])
	}
	if def.Others == KeepOthers {
		c.keepOthers()
	}
	c.identity()
	c.rules()
	c.rows()
	if len(c.problems.list) == 0 {
		c.handling()
	}
	if err := c.problems.err(); err != nil {
		return nil, err
	}
	for i := range c.used {
		if c.used[i] {
			c.mapper.mapped++
		}
	}
	c.mapper.total = len(columns)
	c.mapper.scratch = make([]byte, 0, 4096)
	return c.mapper, nil
}

type compiler struct {
	dictionary *Dictionary
	def        *Definition
	columns    []lienthong.Column
	problems   problems
	used       []bool // by source column: some mapping uses it
	mapper     *Mapper
	unsure     bool // a mapping was refused, so a missing field may be only its consequence
	handlings  []treatment
	absent     []string // fields of optional columns that the source does not have
}

// find returns the source column with the name.
func (c *compiler) find(name string, line int) (int, bool) {
	for i := range c.columns {
		if c.columns[i].Name == name {
			c.used[i] = true
			return i, true
		}
	}
	names := make([]string, len(c.columns))
	for i := range c.columns {
		names[i] = c.columns[i].Name
		if strings.EqualFold(name, names[i]) {
			c.problems.add(line, "mapping.column", fmt.Sprintf("nguồn không có cột %q", name), fmt.Sprintf("the source has no column %q", name),
				fmt.Sprintf("phân biệt hoa thường: %q / case matters: %q", names[i], names[i]))
			return 0, false
		}
	}
	hint := "có / has: " + strings.Join(names, ", ")
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf("có phải %q? / did you mean %q?", near, near)
	}
	c.problems.add(line, "mapping.column", fmt.Sprintf("nguồn không có cột %q", name), fmt.Sprintf("the source has no column %q", name), hint)
	return 0, false
}

// column compiles one mapping into a field and its plan.
func (c *compiler) column(m *ColumnMapping) {
	before := len(c.problems.list)
	if m.Optional && c.lacks(m) {
		name := m.Field
		if element, known := c.dictionary.Element(m.Element); known && name == "" {
			name = element.Name
		}
		c.absent = append(c.absent, name)
		return
	}
	element, known := c.dictionary.Element(m.Element)
	if !known {
		hint := "lienthong dictionary list"
		if near := nearest(m.Element, c.dictionary.elementIDs()); near != "" {
			hint = fmt.Sprintf("có phải %q? / did you mean %q?", near, near)
		}
		c.problems.add(m.Line, "mapping.element", fmt.Sprintf("từ điển không có phần tử %q", m.Element), fmt.Sprintf("the dictionary has no element %q", m.Element), hint)
	}
	p := plan{zone: vietnamOffset}
	if len(m.Columns) > 0 {
		p.from = lienthong.Text
		for _, name := range m.Columns {
			i, _ := c.find(name, m.Line)
			p.columns = append(p.columns, i)
			if len(c.columns) > 0 {
				p.kinds = append(p.kinds, c.columns[i].Kind)
			}
		}
	} else if i, found := c.find(m.Column, m.Line); found {
		p.column, p.from = i, c.columns[i].Kind
	}
	layouts := c.transforms(m, &p)
	if !known || len(c.problems.list) > before {
		c.unsure = true
		return
	}
	p.to = element.Kind
	c.route(m, &p, layouts)
	c.addField(m, element, p)
	c.unsure = c.unsure || len(c.problems.list) > before
}

// lacks reports whether the source misses a column of the mapping.
func (c *compiler) lacks(m *ColumnMapping) bool {
	for _, name := range append([]string{m.Column}, m.Columns...) {
		if name != "" && !slices.ContainsFunc(c.columns, func(column lienthong.Column) bool { return column.Name == name }) {
			return true
		}
	}
	return false
}

// wholeRow adds the field that names a row by all its values.
func (c *compiler) wholeRow() {
	c.mapper.columns, c.mapper.rowHash = c.columns, sha256.New()
	c.mapper.Shape.Fields = append(c.mapper.Shape.Fields, lienthong.Field{
		Name: rowField, Kind: lienthong.Text, LabelVi: "Mã dòng (băm mọi giá trị)", LabelEn: "Row (hash of all values)", Required: true,
	})
	c.mapper.plans = append(c.mapper.plans, plan{route: routeParse, to: lienthong.Text, row: true})
	c.handlings = append(c.handlings, treatment{how: KeepValue})
}

// transforms compiles the steps and returns the layouts, which are not steps.
func (c *compiler) transforms(m *ColumnMapping, p *plan) []string {
	var layouts []string
	for _, text := range m.Transforms {
		s, argument, err := parseTransform(text)
		if err != nil {
			c.problems.add(m.Line, "mapping.transform", fmt.Sprintf("phép biến đổi %q không đúng", text), fmt.Sprintf("bad transformation %q: %v", text, err), "")
			continue
		}
		switch s.op {
		case opNone:
		case opUTC:
			p.zone = 0
		case opLayout:
			layouts = append(layouts, argument)
		case opCode:
			if table, own := c.def.Codes[argument]; own {
				s.table = translationTable(table)
			} else if table, shared := c.dictionary.translations[argument]; shared {
				s.table = table
			} else {
				c.problems.add(m.Line, "mapping.code", fmt.Sprintf("không có bảng mã %q", argument), fmt.Sprintf("there is no code table %q", argument),
					"thêm vào codes: của định nghĩa, hoặc dùng một danh mục / add it under codes:, or use a code list")
				continue
			}
			p.steps = append(p.steps, s)
		default:
			p.steps = append(p.steps, s)
		}
	}
	return layouts
}

// route decides how the value gets from the column's kind to the element's.
func (c *compiler) route(m *ColumnMapping, p *plan, layouts []string) {
	isTime := p.to == lienthong.Date || p.to == lienthong.Timestamp
	if len(layouts) > 0 && !isTime {
		c.problems.add(m.Line, "mapping.transform", fmt.Sprintf("date: và timestamp: chỉ dùng cho phần tử kiểu date hoặc timestamp; %s là %s", m.Element, p.to),
			fmt.Sprintf("date: and timestamp: are for elements of kind date or timestamp; %s is %s", m.Element, p.to), "")
		return
	}
	p.route = routeBetween(p.from, p.to)
	if slices.Contains(p.kinds, lienthong.Binary) {
		p.from = lienthong.Binary
	}
	impossible := p.route == routeNone
	switch {
	case len(p.steps) > 0 || len(p.columns) > 0:
		// Transformations work on text, whatever the kinds; bytes are no text.
		p.route, impossible = routeParse, p.from == lienthong.Binary || p.to == lienthong.Binary
	case len(layouts) > 0 && p.from == lienthong.Integer: // 19900315 with "date:20060102"
		p.route, impossible = routeParse, false
	case len(layouts) > 0 && p.from == p.to:
		p.route = routeParse
	}
	if impossible {
		c.problems.add(m.Line, "mapping.kind", fmt.Sprintf("không thể chuyển cột kiểu %s sang phần tử %s kiểu %s", p.from, m.Element, p.to),
			fmt.Sprintf("a column of kind %s cannot become element %s of kind %s", p.from, m.Element, p.to),
			"chọn phần tử khác hoặc đổi kiểu ở nguồn / choose another element, or another type at the source")
		return
	}
	if isTime && len(layouts) == 0 && (p.route == routeParse || p.from == lienthong.Text) {
		layouts = defaultLayouts(p.to)
	}
	for _, text := range layouts {
		compiled, err := compileLayout(text)
		if err != nil {
			c.problems.add(m.Line, "mapping.transform", fmt.Sprintf("khuôn thời gian %q không đúng", text), fmt.Sprintf("bad layout %q: %v", text, err), "")
			continue
		}
		p.layouts = append(p.layouts, compiled)
	}
}

func (c *compiler) addField(m *ColumnMapping, element *Element, p plan) {
	field := lienthong.Field{
		Element: element.ID, Name: m.Field, Kind: element.Kind, LabelVi: element.NameVi, LabelEn: element.NameEn,
		Required: element.Required, Personal: element.Personal, MaxLength: element.MaxLength, Mapped: true,
	}
	if field.Name == "" {
		field.Name = element.Name
	}
	if m.Required != nil {
		field.Required = *m.Required
	}
	if c.mapper.Shape.FieldIndex(field.Name) >= 0 {
		c.problems.add(m.Line, "mapping.field", fmt.Sprintf("trường %q có hai lần", field.Name), fmt.Sprintf("field %q stands twice", field.Name),
			"đặt tên khác bằng field: / name one of them with field:")
		return
	}
	c.mapper.Shape.Fields = append(c.mapper.Shape.Fields, field)
	c.mapper.plans = append(c.mapper.plans, p)
	t := treatment{how: m.Handling, key: m.Key, first: m.First, last: m.Last}
	if t.how == "" {
		t.how = KeepValue
	}
	c.handlings = append(c.handlings, t)
}

// keepOthers lets the columns that no mapping names flow as they are. What they
// hold is unknown, so they count as personal: masked wherever people read.
func (c *compiler) keepOthers() {
	for i := range c.columns {
		if c.used[i] {
			continue
		}
		column := &c.columns[i]
		p := plan{route: routeCopy, column: i, from: column.Kind, to: column.Kind, kept: true}
		if column.Kind == lienthong.Text {
			p.route = routeText
		}
		c.mapper.Shape.Fields = append(c.mapper.Shape.Fields, lienthong.Field{
			Name: c.keptName(column.Name), Kind: column.Kind, LabelVi: column.Name, LabelEn: column.Name, Personal: true,
		})
		c.mapper.plans = append(c.mapper.plans, p)
		c.handlings = append(c.handlings, treatment{how: KeepValue})
	}
}

// keptName makes a field name of a column's: plain letters, and not one that is taken.
func (c *compiler) keptName(column string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(withoutDiacritics(column)))
	if name == "" || name[0] < 'a' || name[0] > 'z' || reservedField(name) {
		name = "source_" + strings.TrimLeft(name, "_")
	}
	name = name[:min(len(name), 36)]
	unique := name
	for n := 2; c.mapper.Shape.FieldIndex(unique) >= 0; n++ {
		unique = fmt.Sprintf("%s_%d", name, n)
	}
	return unique
}

func (c *compiler) identity() {
	shape := c.mapper.Shape
	if c.def.NamesWholeRows() {
		shape.Identity = []int{0}
		return
	}
	for _, name := range c.def.Identity {
		i := shape.FieldIndex(name)
		switch {
		case i >= 0 && slices.Contains(shape.Identity, i):
			c.problems.add(0, "definition.identity", fmt.Sprintf("identity có %q hai lần", name), fmt.Sprintf("identity has %q twice", name), "")
		case i >= 0:
			shape.Identity = append(shape.Identity, i)
			shape.Fields[i].Required = true
		case !c.unsure:
			c.noField("definition.identity", 0, "identity", name)
		}
	}
	if len(c.def.Identity) == 0 {
		c.problems.add(0, "definition.identity", "chưa có identity", "there is no identity", "identity: [record_key]")
	}
}

// noField reports a name that is no field of the shape.
func (c *compiler) noField(code string, line int, what, name string) {
	names := make([]string, len(c.mapper.Shape.Fields))
	for i := range c.mapper.Shape.Fields {
		names[i] = c.mapper.Shape.Fields[i].Name
	}
	c.problems.add(line, code, fmt.Sprintf("%s: không có trường %q", what, name), fmt.Sprintf("%s: there is no field %q", what, name),
		"có / has: "+strings.Join(names, ", "))
}

// rules gathers the elements' rules under the fields' names and checks that the
// definition's speak about fields and lists that exist.
func (c *compiler) rules() {
	taken := map[string]bool{}
	for i := range c.def.Rules {
		taken[c.def.Rules[i].Code] = true
	}
	for i := range c.mapper.Shape.Fields {
		field := &c.mapper.Shape.Fields[i]
		element, known := c.dictionary.Element(field.Element)
		if !known {
			continue // kept as it is
		}
		for _, rule := range element.Rules {
			rule.Field = field.Name
			if taken[rule.Code] {
				rule.Code += "@" + field.Name // the element stands twice in the shape
			}
			taken[rule.Code] = true
			c.mapper.rules = append(c.mapper.rules, rule)
		}
	}
	for i := range c.def.Rules {
		rule := &c.def.Rules[i]
		what := "rule " + rule.Code
		names := []string{rule.Field, rule.Check.AsOf, rule.Check.NotBefore}
		if number := rule.Check.PersonNumber; number != nil {
			names = append(names, number.BirthDate, number.Sex)
		}
		absent := false
		for _, name := range names {
			if name == "" || c.mapper.Shape.FieldIndex(name) >= 0 {
				continue
			}
			if absent = absent || slices.Contains(c.absent, name); !absent && !c.unsure {
				c.noField("rule.field", rule.Line, what, name)
			}
		}
		if absent {
			continue // what it is about is not there
		}
		if id := rule.Check.CodeList; id != "" {
			if _, found := c.dictionary.CodeList(id); !found {
				c.problems.add(rule.Line, "list.unknown", fmt.Sprintf("không có danh mục %q", id), fmt.Sprintf("there is no code list %q", id), "docs/dictionary.md")
			}
		}
		c.mapper.rules = append(c.mapper.rules, *rule)
	}
	for i := range c.def.SetRules {
		rule := &c.def.SetRules[i]
		for _, name := range rule.fields() {
			if c.mapper.Shape.FieldIndex(name) < 0 && !c.unsure && !slices.Contains(c.absent, name) {
				c.noField("rule.field", rule.Line, "rule "+rule.Code, name)
			}
		}
	}
}

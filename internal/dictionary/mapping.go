package dictionary

import (
	"bytes"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/lienthong/lienthong"
)

// MappingDraft is what people work on when they map the columns of a dataset: column by column, with what was
// decided and why. Render makes the definition of it that a node reads.
type MappingDraft struct {
	Dataset lienthong.DatasetID `json:"dataset"`
	TitleVi string              `json:"title_vi"`
	TitleEn string              `json:"title_en,omitempty"`
	Table   string              `json:"table"`
	Key     []string            `json:"key"` // columns that together name a record
	Columns []MappedColumn      `json:"columns"`
	// Definition is the definition in YAML: the one that the draft began with, which may say more than columns
	// and elements, or what Render made.
	Definition string `json:"definition,omitempty"`
}

// MappedColumn is one column of the source and what it stands for.
type MappedColumn struct {
	Column     string          `json:"column"`
	Type       string          `json:"type,omitempty"` // as the engine calls it
	ValueKind  lienthong.Kind  `json:"value_kind"`
	Nullable   bool            `json:"nullable,omitempty"`
	Element    string          `json:"element,omitempty"` // empty: none; the column flows as it is, or stays at home
	Kind       MappingRelation `json:"kind"`
	Transforms []string        `json:"transforms,omitempty"`
	Joined     bool            `json:"joined,omitempty"`    // the definition makes its field of several columns, or several fields of it: it stays as it is
	Confirmed  bool            `json:"confirmed,omitempty"` // a person has looked at it
	Note       string          `json:"note,omitempty"`
}

// source is the column as the engine describes it.
func (c *MappedColumn) source() lienthong.Column {
	return lienthong.Column{Name: c.Column, SourceType: c.Type, Kind: c.ValueKind, Nullable: c.Nullable}
}

// ProposeMapping begins a draft: with what the definition says, which people have agreed about, and for the other
// columns with what the dictionary proposes. def may be nil. The proposals are one per column.
func (d *Dictionary) ProposeMapping(dataset lienthong.DatasetID, table string, columns []ColumnSample, def *Definition) (*MappingDraft, []Proposal, error) {
	draft := &MappingDraft{Dataset: dataset, TitleVi: dataset.String(), TitleEn: dataset.String(), Table: table}
	uses := map[string][]*ColumnMapping{}
	if def != nil {
		draft.TitleVi, draft.TitleEn, draft.Table = def.TitleVi, def.TitleEn, def.Table
		text, err := def.YAML()
		if err != nil {
			return nil, nil, err
		}
		draft.Definition = string(text)
		for i := range def.Columns {
			for _, name := range def.Columns[i].sourceColumns() {
				uses[name] = append(uses[name], &def.Columns[i])
			}
		}
	}
	proposals := d.Propose(table, columns)
	plain := make([]lienthong.Column, len(columns))
	taken := map[string]bool{}
	for _, of := range uses {
		for _, m := range of {
			taken[m.Element] = true
		}
	}
	for i := range columns {
		plain[i] = columns[i].Column
		c := MappedColumn{
			Column: columns[i].Name, Type: columns[i].SourceType, ValueKind: columns[i].Kind, Nullable: columns[i].Nullable, Kind: NoMapping,
		}
		switch of := uses[c.Column]; {
		case len(of) > 0:
			c.Element, c.Transforms, c.Kind, c.Confirmed = of[0].Element, of[0].Transforms, ExactMapping, true
			c.Joined = len(of) > 1 || len(of[0].Columns) > 0
		case proposals[i].Element != "" && !taken[proposals[i].Element]:
			c.Element, c.Transforms, c.Kind = proposals[i].Element, proposals[i].Transforms, proposals[i].Kind
		}
		draft.Columns = append(draft.Columns, c)
	}
	if def != nil {
		draft.Key = d.keyColumns(def, plain)
	}
	return draft, proposals, nil
}

// keyColumns are the columns of the source that name a record by the definition.
func (d *Dictionary) keyColumns(def *Definition, columns []lienthong.Column) []string {
	if def.NamesWholeRows() {
		return []string{WholeRow}
	}
	fields, err := d.fieldsOf(def, columns)
	if err != nil {
		return nil
	}
	var key []string
	for _, field := range def.Identity {
		if at := slices.Index(fields, field); at >= 0 {
			key = append(key, columns[at].Name)
		}
	}
	return key
}

// Render makes the definition that the draft's confirmed columns say, compiles it as a node will, and keeps it in the draft. What
// the draft does not speak of, such as rules and filters, stays as in the definition it began with. The error joins
// everything that does not fit.
func (m *MappingDraft) Render(d *Dictionary) (*Definition, error) {
	def := &Definition{Others: KeepOthers}
	if m.Definition != "" {
		parsed, err := ParseDefinition(m.Dataset.String(), []byte(m.Definition))
		if err != nil {
			return nil, err
		}
		def = parsed
	}
	def.Dataset, def.TitleVi, def.TitleEn, def.Table = m.Dataset, m.TitleVi, m.TitleEn, m.Table
	before := d.keyColumns(def, m.source())
	p := &problems{file: m.Dataset.String()}
	for i := range m.Columns {
		m.merge(p, d, def, &m.Columns[i])
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	fields, err := d.fieldsOf(def, m.source())
	if err != nil {
		return nil, err
	}
	// An identity of fields that are made of several columns is not for a draft to change.
	if len(def.Identity) == 0 || len(before) == len(def.Identity) && len(m.Key) > 0 {
		def.Identity = nil
		for _, name := range m.Key {
			at := slices.IndexFunc(m.Columns, func(c MappedColumn) bool { return c.Column == name })
			switch {
			case name == WholeRow:
				def.Identity = append(def.Identity, WholeRow)
			case at < 0 || fields[at] == "":
				p.add(0, "mapping.key", fmt.Sprintf("cột khoá %q không có hoặc không đi cùng dữ liệu", name), fmt.Sprintf("key column %q is not there or does not travel", name), "")
			default:
				def.Identity = append(def.Identity, fields[at])
			}
		}
	}
	if len(def.Identity) == 0 {
		p.add(0, "mapping.key", "chưa chọn cột khoá để phân biệt các bản ghi", "no key column has been chosen that tells records apart", "chọn ít nhất một cột / choose one column or more")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if _, err := d.Compile(def, m.source(), 1); err != nil {
		return nil, err
	}
	text, err := def.YAML()
	if err != nil {
		return nil, err
	}
	m.Definition = string(text)
	return ParseDefinition(m.Dataset.String(), text)
}

func (m *MappingDraft) source() []lienthong.Column {
	columns := make([]lienthong.Column, len(m.Columns))
	for i := range m.Columns {
		columns[i] = m.Columns[i].source()
	}
	return columns
}

// merge puts one column's decision into the definition.
func (m *MappingDraft) merge(p *problems, d *Dictionary, def *Definition, c *MappedColumn) {
	if c.Joined {
		return
	}
	if _, known := d.Element(c.Element); c.Element != "" && !known {
		p.add(0, "mapping.element", fmt.Sprintf("cột %q: từ điển không có phần tử %q", c.Column, c.Element), fmt.Sprintf("column %q: the dictionary has no element %q", c.Column, c.Element), "")
		return
	}
	if !c.Confirmed {
		return // nobody has looked at it: a wrong mapping would hold back good rows
	}
	at := slices.IndexFunc(def.Columns, func(o ColumnMapping) bool { return o.Column == c.Column })
	switch {
	case at < 0 && c.Element == "":
	case at < 0:
		one := ColumnMapping{Column: c.Column, Element: c.Element, Transforms: c.Transforms}
		if c.Nullable && !slices.Contains(m.Key, c.Column) {
			optional := false
			one.Required = &optional
		}
		def.Columns = append(def.Columns, one)
	case c.Element == "":
		def.Columns = slices.Delete(def.Columns, at, at+1)
	default:
		one := &def.Columns[at]
		if one.Element != c.Element {
			one.Element, one.Field = c.Element, ""
		}
		one.Transforms = c.Transforms
	}
}

// YAML writes the definition as ParseDefinition reads it. What is not set is left out.
func (def *Definition) YAML() ([]byte, error) {
	var root yaml.Node
	if err := root.Encode(def); err != nil {
		return nil, fmt.Errorf("write the definition of %s: %w", def.Dataset, err)
	}
	prune(&root, "")
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(&root); err != nil {
		return nil, fmt.Errorf("write the definition of %s: %w", def.Dataset, err)
	}
	return text.Bytes(), nil
}

// prune leaves out members of a definition that are not set.
func prune(node *yaml.Node, parent string) {
	for _, child := range node.Content {
		if node.Kind == yaml.SequenceNode {
			prune(child, parent)
		}
	}
	if node.Kind != yaml.MappingNode || parent == "codes" || parent == "fields" {
		return // the tables of people have keys and values of their own
	}
	var kept []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		prune(value, key.Value)
		// "required: false" of a column overrides the element; in a check it says nothing.
		says := parent == "columns" && key.Value == "required" && value.Tag == "!!bool"
		if says || !unset(value) {
			kept = append(kept, key, value)
		}
	}
	node.Content = kept
}

func unset(node *yaml.Node) bool {
	switch node.Kind {
	case yaml.ScalarNode:
		return node.Tag == "!!null" || node.Value == "" || node.Tag == "!!bool" && node.Value == "false" || node.Tag == "!!int" && node.Value == "0"
	case yaml.MappingNode, yaml.SequenceNode:
		return len(node.Content) == 0
	case yaml.DocumentNode, yaml.AliasNode:
	}
	return false
}

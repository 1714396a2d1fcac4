package dictionary

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/lienthong/lienthong"
)

// Draft is a definition made for a table that nobody has prepared, and why it is as it
// is. It works as it stands; a person confirms or corrects it.
type Draft struct {
	Definition *Definition
	Proposals  []Proposal // one per column
	Fields     []string   // the field that each column becomes, "" for one that a mapping joins with others
}

// Draft proposes a definition for a table: the dictionary's element where one fits,
// otherwise the column as it is, unmapped. key names the columns that name a record.
func (d *Dictionary) Draft(dataset lienthong.DatasetID, title, table string, columns []ColumnSample, key []string) (*Draft, error) {
	draft := &Draft{
		Definition: &Definition{Dataset: dataset, TitleVi: title, TitleEn: title, Table: table, Others: KeepOthers},
		Proposals:  d.Propose(table, columns),
	}
	def := draft.Definition
	plain := make([]lienthong.Column, len(columns))
	for i := range columns {
		plain[i] = columns[i].Column
		p := &draft.Proposals[i]
		if p.Element == "" {
			continue
		}
		m := ColumnMapping{Column: columns[i].Name, Element: p.Element, Transforms: p.Transforms}
		if columns[i].Nullable && !slices.Contains(key, columns[i].Name) {
			optional := false
			m.Required = &optional
		}
		def.Columns = append(def.Columns, m)
	}
	for {
		fields, err := d.fieldsOf(def, plain)
		if err == nil {
			draft.Fields = fields
			break
		}
		// An element that turns out not to take the column is given up; the column still flows.
		if !draft.giveUp(err) {
			return nil, err
		}
	}
	for _, name := range key {
		i := slices.IndexFunc(columns, func(c ColumnSample) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("draft of %s: the key names no column", dataset)
		}
		def.Identity = append(def.Identity, draft.Fields[i])
	}
	// The columns of a definition may not be empty in name only: compile it as a node will.
	_, err := d.Compile(def, plain, 1)
	return draft, err
}

// giveUp drops the mappings that could not be compiled.
func (draft *Draft) giveUp(err error) bool {
	def := draft.Definition
	before := len(def.Columns)
	var problem *mappingProblem
	if !errors.As(err, &problem) {
		return false
	}
	def.Columns = slices.DeleteFunc(def.Columns, func(m ColumnMapping) bool { return m.Column == problem.column })
	for i := range draft.Proposals {
		if draft.Proposals[i].Column == problem.column {
			draft.Proposals[i].Element, draft.Proposals[i].Transforms = "", nil
		}
	}
	return len(def.Columns) < before
}

type mappingProblem struct {
	column string
	cause  error
}

func (p *mappingProblem) Error() string { return p.column + ": " + p.cause.Error() }
func (p *mappingProblem) Unwrap() error { return p.cause }

// fieldsOf names the field of every column.
func (d *Dictionary) fieldsOf(def *Definition, columns []lienthong.Column) ([]string, error) {
	c := &compiler{
		dictionary: d, def: def, columns: columns, used: make([]bool, len(columns)),
		mapper: &Mapper{Shape: &lienthong.Shape{Dataset: def.Dataset, Version: 1}},
	}
	for i := range def.Columns {
		c.column(&def.Columns[i])
		if err := c.problems.err(); err != nil {
			return nil, &mappingProblem{def.Columns[i].Column, err}
		}
	}
	c.keepOthers()
	fields := make([]string, len(columns))
	for i := range c.mapper.plans {
		if c.mapper.plans[i].columns == nil {
			fields[c.mapper.plans[i].column] = c.mapper.Shape.Fields[i].Name
		}
	}
	return fields, nil
}

// YAML writes the draft as the file that a person edits. What is proposed says how sure
// it is and why; what is not mapped says what it could be.
func (draft *Draft) YAML() ([]byte, error) {
	def := draft.Definition
	var b strings.Builder
	var failed error
	scalar := func(v any) string {
		text, err := yaml.Marshal(v)
		failed = errors.Join(failed, err)
		return strings.TrimSuffix(string(text), "\n")
	}
	list := func(items []string) string {
		quoted := make([]string, len(items))
		for i, item := range items {
			quoted[i] = scalar(item)
			if strings.ContainsAny(item, ",[]{}") && quoted[i] == item {
				quoted[i] = "'" + strings.ReplaceAll(item, "'", "''") + "'"
			}
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	b.WriteString("# Đề xuất tự động: người phụ trách dữ liệu xem lại từng dòng.\n# A proposal: a data steward confirms every line. Every key: docs/dictionary.md.\n")
	fmt.Fprintf(&b, "dataset: %s\ntitle_vi: %s\ntitle_en: %s\ntable: %s\nidentity: %s\nothers: %s\n",
		def.Dataset, scalar(def.TitleVi), scalar(def.TitleEn), scalar(def.Table), list(def.Identity), def.Others)
	if len(def.Columns) > 0 {
		b.WriteString("columns:\n")
	}
	for i := range def.Columns {
		m := &def.Columns[i]
		at := slices.IndexFunc(draft.Proposals, func(p Proposal) bool { return p.Column == m.Column })
		fmt.Fprintf(&b, "  # %.0f %%: %s / %s\n", 100*draft.Proposals[at].Confidence, draft.Proposals[at].ReasonVi, draft.Proposals[at].ReasonEn)
		fmt.Fprintf(&b, "  - column: %s\n    element: %s\n", scalar(m.Column), m.Element)
		if len(m.Transforms) > 0 {
			fmt.Fprintf(&b, "    transforms: %s\n", list(m.Transforms))
		}
		if m.Required != nil {
			fmt.Fprintf(&b, "    required: %t\n", *m.Required)
		}
	}
	first := true
	for i, p := range draft.Proposals {
		if p.Element != "" {
			continue
		}
		if first {
			b.WriteString("# Chưa ánh xạ, đi nguyên như nguồn / not mapped, flows as it is:\n")
			first = false
		}
		fmt.Fprintf(&b, "#   %s -> %s", scalar(p.Column), draft.Fields[i])
		for n, c := range p.Candidates {
			if n == 0 {
				b.WriteString("  (có thể / could be: ")
			} else {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s %.0f %%", c.Element, 100*c.Confidence)
		}
		if len(p.Candidates) > 0 {
			b.WriteString(")")
		}
		b.WriteString("\n")
	}
	return []byte(b.String()), failed
}

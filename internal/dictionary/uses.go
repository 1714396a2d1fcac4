package dictionary

import (
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

// Use is one place where a dataset uses an element or a code list.
type Use struct {
	Dataset lienthong.DatasetID `json:"dataset"`
	TitleVi string              `json:"title_vi"`
	TitleEn string              `json:"title_en"`
	Field   string              `json:"field"`             // in the dataset's shape
	Columns []string            `json:"columns,omitempty"` // at the source
	Via     string              `json:"via,omitempty"`     // of a code list: the element, "rule <code>" or "code:<list>" by which it is used
	File    string              `json:"file,omitempty"`    // of the definition
	Line    int                 `json:"line,omitempty"`
}

// Uses is the impact list: where the datasets use which elements and code lists, by the
// identifier of the element or list. Elements have a dot in theirs, lists have none.
func (d *Dictionary) Uses(definitions []*Definition) map[string][]Use {
	uses := map[string][]Use{}
	for _, def := range definitions {
		fields := map[string]Use{}
		for i := range def.Columns {
			m := &def.Columns[i]
			use := Use{Dataset: def.Dataset, TitleVi: def.TitleVi, TitleEn: def.TitleEn, Field: m.Field, Columns: m.sourceColumns(), File: def.File, Line: m.Line}
			element, known := d.Element(m.Element)
			if use.Field == "" && known {
				use.Field = element.Name
			}
			fields[use.Field] = use
			uses[m.Element] = append(uses[m.Element], use)
			lists := map[string]string{}
			if known {
				for _, id := range element.lists() {
					lists[id] = element.ID
				}
			}
			for _, text := range m.Transforms {
				id, translates := strings.CutPrefix(text, "code:")
				if _, own := def.Codes[id]; translates && !own && lists[id] == "" {
					lists[id] = text
				}
			}
			for id, via := range lists {
				use.Via = via
				uses[id] = append(uses[id], use)
			}
		}
		for i := range def.Rules {
			rule := &def.Rules[i]
			if id := rule.Check.CodeList; id != "" {
				use := fields[rule.Field]
				use.Dataset, use.TitleVi, use.TitleEn, use.File = def.Dataset, def.TitleVi, def.TitleEn, def.File
				use.Field, use.Line, use.Via = rule.Field, rule.Line, "rule "+rule.Code
				uses[id] = append(uses[id], use)
			}
		}
	}
	return uses
}

// Affected lists the datasets in which a change of the elements and lists named shows, in order.
func Affected(uses map[string][]Use, ids ...string) []lienthong.DatasetID {
	var datasets []lienthong.DatasetID
	for _, id := range ids {
		for _, use := range uses[id] {
			datasets = append(datasets, use.Dataset)
		}
	}
	slices.SortFunc(datasets, func(a, b lienthong.DatasetID) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(datasets)
}

// Dependents lists the elements that refer to the element, or use the code list, in order.
func (d *Dictionary) Dependents(id string) []string {
	var found []string
	for i := range d.elements {
		e := &d.elements[i]
		if slices.Contains(e.Related, id) || slices.Contains(e.lists(), id) ||
			slices.ContainsFunc(e.Relations, func(r Relation) bool { return r.Target == id }) {
			found = append(found, e.ID)
		}
	}
	return found
}

// lists names the code lists that an element needs.
func (e *Element) lists() []string {
	var ids []string
	if e.CodeList != "" {
		ids = append(ids, e.CodeList)
	}
	for i := range e.Rules {
		if id := e.Rules[i].Check.CodeList; id != "" {
			ids = append(ids, id)
		}
	}
	for _, text := range e.Normalise {
		if id, translates := strings.CutPrefix(text, "code:"); translates {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// sourceColumns lists the columns of a mapping, whichever way they are written.
func (m *ColumnMapping) sourceColumns() []string {
	if m.Column != "" {
		return []string{m.Column}
	}
	return slices.Clone(m.Columns)
}

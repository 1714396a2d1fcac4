package stewardship

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// MappingKindName is the kind of items that hold the mapping of a dataset; the identifier is the dataset's. The content is a
// dictionary.MappingDraft.
const MappingKindName = "mapping"

// MappingServices is what the kind of mappings needs to know. Only Dictionary is required.
type MappingServices struct {
	Dictionary func() *dictionary.Dictionary // the edition in force
	// Definition is the definition of a dataset that a node works with although nobody has administered it here.
	Definition func(dataset lienthong.DatasetID) (*dictionary.Definition, bool)
	// Readers lists who receives the dataset; what they say and whether it breaks is filled in.
	Readers func(dataset lienthong.DatasetID) []Use
	// Owner is the organisation that owns a database; only its people write mappings. Empty: anybody may.
	Owner func(database string) lienthong.MemberCode
	// Published puts a version into use. It must be repeatable; nil: the mapping was retired.
	Published func(ctx context.Context, dataset lienthong.DatasetID, definition *dictionary.Definition) error
}

// MappingKind is how a desk treats mappings.
func MappingKind(services MappingServices) Kind {
	m := mappings{services}
	return Kind{
		Name: MappingKindName, Title: Word{Vi: "ánh xạ tập dữ liệu", En: "mapping of a dataset"},
		Validate: m.validate, Compare: m.compare, Impact: m.impact, Permit: m.permit, Published: m.published,
	}
}

type mappings struct{ MappingServices }

// MappingContent reads the content of a mapping.
func MappingContent(id string, content json.RawMessage) (*dictionary.MappingDraft, error) {
	var draft dictionary.MappingDraft
	if err := json.Unmarshal(content, &draft); err != nil {
		return nil, &lienthong.Error{Code: "mapping.content", Where: id, Vi: "không đọc được nội dung ánh xạ", En: "the mapping cannot be read", Err: err}
	}
	return &draft, nil
}

// definition is what the content makes.
func (m mappings) definition(id string, content json.RawMessage) (*dictionary.Definition, error) {
	draft, err := MappingContent(id, content)
	if err != nil {
		return nil, err
	}
	return draft.Render(m.Dictionary())
}

func (m mappings) validate(s Subject) []*lienthong.Error {
	draft, err := MappingContent(s.ID, s.After)
	if err != nil {
		return problemsOf(err)
	}
	var list []*lienthong.Error
	if draft.Dataset.String() != s.ID {
		list = append(list, &lienthong.Error{Code: "mapping.dataset", Where: "dataset", Vi: "tập dữ liệu trong ánh xạ phải là " + s.ID, En: "the dataset of the mapping must be " + s.ID})
	}
	waiting := 0
	for i := range draft.Columns {
		if c := &draft.Columns[i]; c.Element != "" && !c.Confirmed {
			waiting++
		}
	}
	if waiting > 0 {
		list = append(list, &lienthong.Error{
			Code: "mapping.unconfirmed", Where: "columns", Vi: fmt.Sprintf("còn %d cột có đề xuất chưa ai xác nhận", waiting),
			En: "proposals that nobody has confirmed: " + count(waiting, "column"), Hint: "xác nhận, hoặc chọn không ánh xạ / confirm them, or choose not to map",
		})
	}
	if _, err := draft.Render(m.Dictionary()); err != nil {
		list = append(list, problemsOf(err)...)
	}
	return list
}

// elementsOf tells which element each confirmed column stands for.
func elementsOf(id string, content json.RawMessage) (map[string]string, bool) {
	draft, err := MappingContent(id, content)
	if content == nil || err != nil {
		return nil, content == nil
	}
	elements := map[string]string{}
	for i := range draft.Columns {
		if c := &draft.Columns[i]; c.Confirmed && c.Element != "" {
			elements[c.Column] = c.Element
		}
	}
	return elements, true
}

// compare lists columns that stand for another element than before. A column that meant something and now means
// something else, or nothing, breaks its readers; so does another key.
func (m mappings) compare(s Subject) []Change {
	was, readable := elementsOf(s.ID, s.Before)
	is, alsoReadable := elementsOf(s.ID, s.After)
	if !readable || !alsoReadable {
		return CompareJSON(s.Before, s.After)
	}
	if s.Before == nil {
		if id, err := lienthong.ParseDatasetID(s.ID); err == nil && m.Definition != nil {
			if def, found := m.Definition(id); found {
				was = mappedBy(def)
			}
		}
	}
	columns := make([]string, 0, len(was)+len(is))
	for c := range was {
		columns = append(columns, c)
	}
	for c := range is {
		if _, both := was[c]; !both {
			columns = append(columns, c)
		}
	}
	slices.Sort(columns)
	var changes []Change
	for _, c := range columns {
		change := Change{Where: "columns." + c, Before: was[c], After: is[c], Breaking: was[c] != ""}
		switch {
		case was[c] == is[c]:
			continue
		case was[c] == "":
			change.Vi, change.En = fmt.Sprintf("ánh xạ cột %s vào %s", c, is[c]), fmt.Sprintf("column %s is mapped to %s", c, is[c])
		case is[c] == "":
			change.Vi, change.En = fmt.Sprintf("bỏ ánh xạ cột %s", c), fmt.Sprintf("column %s is no longer mapped", c)
		default:
			change.Vi, change.En = fmt.Sprintf("cột %s chuyển từ %s sang %s", c, was[c], is[c]), fmt.Sprintf("column %s moves from %s to %s", c, was[c], is[c])
		}
		changes = append(changes, change)
	}
	if len(changes) == 0 && s.Before != nil && string(s.Before) != string(s.After) {
		changes = append(changes, Change{Where: "columns", Vi: "sửa phép biến đổi, khoá hoặc ghi chú", En: "transformations, key or remarks changed"})
	}
	return changes
}

// mappedBy is what a definition says of its columns.
func mappedBy(def *dictionary.Definition) map[string]string {
	elements := map[string]string{}
	for i := range def.Columns {
		m := &def.Columns[i]
		names := m.Columns
		if m.Column != "" {
			names = []string{m.Column}
		}
		for _, name := range names {
			if elements[name] == "" {
				elements[name] = m.Element
			}
		}
	}
	return elements
}

func (m mappings) impact(_ context.Context, s Subject) (Impact, error) {
	id, err := lienthong.ParseDatasetID(s.ID)
	if err != nil || m.Readers == nil {
		return Impact{}, nil //nolint:nilerr // validate names the wrong identifier
	}
	breaks := s.After == nil || breaking(m.compare(s))
	impact := Impact{}
	for _, use := range m.Readers(id) {
		use.Dataset, use.Database, use.Breaking = id, id.Database, breaks
		impact.Uses = append(impact.Uses, use)
	}
	impact.Breaking = breaks && len(impact.Uses) > 0
	return impact, nil
}

// permit lets only the owner of a database map its columns.
func (m mappings) permit(by Person, s Subject) error {
	id, err := lienthong.ParseDatasetID(s.ID)
	if err != nil || m.Owner == nil {
		return err
	}
	if owner := m.Owner(id.Database); owner != "" && owner != by.Member {
		return &lienthong.Error{
			Code: "mapping.foreign", Where: s.ID,
			Vi: "chỉ cơ quan chủ quản được soạn ánh xạ của cơ sở dữ liệu này", En: "only the organisation that owns the database may write its mappings",
			Hint: "chủ quản / owner: " + string(owner),
		}
	}
	return nil
}

func (m mappings) published(ctx context.Context, s Subject, _ Version) error {
	if m.Published == nil {
		return nil
	}
	id, err := lienthong.ParseDatasetID(s.ID)
	if err != nil {
		return err
	}
	if s.After == nil {
		return m.Published(ctx, id, nil)
	}
	def, err := m.definition(s.ID, s.After)
	if err != nil {
		return err
	}
	return m.Published(ctx, id, def)
}

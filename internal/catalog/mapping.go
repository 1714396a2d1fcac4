package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// KindMapping is the kind of the documents that hold mappings of datasets.
const KindMapping = "mapping"

// MappingBody is the content of an item of kind mapping; its identifier is that of the dataset.
type MappingBody struct {
	Definition string `json:"definition"` // as it is written in YAML
}

// Mappings is what the kind of mappings needs.
type Mappings struct {
	Dictionary func() *dictionary.Dictionary // in force
	Consumers  func() []Consumer             // may be nil
	Owner      func(database string) lienthong.MemberCode
	// Published puts a new version into use. It must be repeatable; nil content means that the mapping is retired.
	Published func(ctx context.Context, dataset string, body *MappingBody) error
}

// Kind is how a desk treats mappings.
func (m Mappings) Kind() stewardship.Kind {
	return stewardship.Kind{
		Name: KindMapping, Title: Word{Vi: "ánh xạ tập dữ liệu", En: "mapping of a dataset"},
		Validate: m.validate, Compare: compareMappings, Impact: m.impact, Permit: m.permit,
		Published: func(ctx context.Context, s stewardship.Subject, _ stewardship.Version) error {
			if m.Published == nil {
				return nil
			}
			if s.After == nil {
				return m.Published(ctx, s.ID, nil)
			}
			var body MappingBody
			if err := json.Unmarshal(s.After, &body); err != nil {
				return fmt.Errorf("read the mapping of %s: %w", s.ID, err)
			}
			return m.Published(ctx, s.ID, &body)
		},
	}
}

func mappingOf(id string, body []byte) (*dictionary.Definition, error) {
	var m MappingBody
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, &lienthong.Error{Code: "catalog.json", Where: id, Vi: "không đọc được nội dung ánh xạ", En: "the mapping cannot be read", Err: err}
	}
	return dictionary.ParseDefinition(id, []byte(m.Definition))
}

func (m Mappings) validate(s stewardship.Subject) []*lienthong.Error {
	def, err := mappingOf(s.ID, s.After)
	if err != nil {
		return flatten(err)
	}
	var list []*lienthong.Error
	if def.Dataset.String() != s.ID {
		list = append(list, &lienthong.Error{Code: "catalog.wrong", Where: "dataset", Vi: "tập dữ liệu trong ánh xạ phải là mã của mục", En: "the dataset of the mapping must be the identifier of the item"})
	}
	for i := range def.Columns {
		c := &def.Columns[i]
		if _, known := m.Dictionary().Element(c.Element); c.Element != "" && !known {
			list = append(list, &lienthong.Error{Code: "catalog.wrong", Where: fmt.Sprintf("%s:%d", s.ID, c.Line), Vi: "từ điển không có phần tử " + c.Element, En: "the dictionary has no element " + c.Element})
		}
	}
	return list
}

// compareMappings lists columns that stand for another element than before. A column that meant something and
// now means something else, or nothing, breaks its readers.
func compareMappings(s stewardship.Subject) []stewardship.Change {
	before, errBefore := mappingOf(s.ID, s.Before)
	after, errAfter := mappingOf(s.ID, s.After)
	if errBefore != nil || errAfter != nil {
		return stewardship.CompareJSON(s.Before, s.After)
	}
	was, is := Mapping(before), Mapping(after)
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
	var changes []stewardship.Change
	for _, c := range columns {
		if was[c] == is[c] {
			continue
		}
		change := stewardship.Change{Where: "columns." + c, Before: was[c], After: is[c], Breaking: was[c] != ""}
		switch {
		case was[c] == "":
			change.Vi, change.En = fmt.Sprintf("ánh xạ cột %s vào %s", c, is[c]), fmt.Sprintf("column %s is mapped to %s", c, is[c])
		case is[c] == "":
			change.Vi, change.En = fmt.Sprintf("bỏ ánh xạ cột %s", c), fmt.Sprintf("column %s is no longer mapped", c)
		default:
			change.Vi, change.En = fmt.Sprintf("cột %s chuyển từ %s sang %s", c, was[c], is[c]), fmt.Sprintf("column %s moves from %s to %s", c, was[c], is[c])
		}
		changes = append(changes, change)
	}
	if len(changes) == 0 && string(s.Before) != string(s.After) {
		changes = append(changes, stewardship.Change{Where: "definition", Vi: "sửa quy tắc hoặc phép biến đổi", En: "rules or transformations changed"})
	}
	return changes
}

// mappingImpact lists who receives the dataset.
func (m Mappings) impact(_ context.Context, s stewardship.Subject) (stewardship.Impact, error) {
	breaks := s.After == nil
	if s.Before != nil && s.After != nil {
		breaks = slices.ContainsFunc(compareMappings(s), func(c stewardship.Change) bool { return c.Breaking })
	}
	var impact stewardship.Impact
	if m.Consumers == nil {
		return impact, nil
	}
	for _, c := range m.Consumers() {
		if c.Dataset.String() == s.ID {
			impact.Uses = append(impact.Uses, stewardship.Use{
				Dataset: c.Dataset, Database: c.Dataset.Database, Owner: c.Member, Breaking: breaks, Vi: c.Name.Vi + " nhận tập dữ liệu này", En: c.Name.En + " receives this dataset",
			})
		}
	}
	impact.Breaking = breaks && len(impact.Uses) > 0
	return impact, nil
}

// permitMapping lets only the owner of a database map its columns.
func (m Mappings) permit(by stewardship.Person, s stewardship.Subject) error {
	id, err := lienthong.ParseDatasetID(s.ID)
	if err != nil {
		return err
	}
	if m.Owner == nil {
		return nil
	}
	if owner := m.Owner(id.Database); owner != "" && owner != by.Member {
		return &lienthong.Error{
			Code: "catalog.foreign", Where: s.ID,
			Vi: "chỉ cơ quan chủ quản được soạn ánh xạ của cơ sở dữ liệu này", En: "only the organisation that owns the database may write its mappings",
			Hint: "chủ quản / owner: " + string(owner),
		}
	}
	return nil
}

// flatten lists all coded errors that were joined.
func flatten(err error) []*lienthong.Error {
	if many, joined := err.(interface{ Unwrap() []error }); joined {
		var list []*lienthong.Error
		for _, one := range many.Unwrap() {
			list = append(list, flatten(one)...)
		}
		return list
	}
	var coded *lienthong.Error
	if errors.As(err, &coded) {
		return []*lienthong.Error{coded}
	}
	return []*lienthong.Error{{Code: "catalog.json", Vi: "không đọc được nội dung", En: "the content cannot be read", Err: err}}
}

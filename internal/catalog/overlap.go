package catalog

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Holder is a dataset that holds an element.
type Holder struct {
	Dataset lienthong.DatasetID
	Owner   lienthong.MemberCode
	Field   string
	Columns []string
	// Reconciled: a rule compares its values with those of the authority, so that it takes over rather than collects.
	Reconciled bool
	Authority  bool
}

// Overlap is an element that several databases hold. What a State body knows already must not be
// collected again: everybody but the authority takes it over, or has a reason.
type Overlap struct {
	Element    string
	Name       Word
	Identifier bool     // it links records: holding it is no second collection
	Authority  []string // databases that declare to be its single source; more than one is a dispute
	Holders    []Holder // by dataset
	Repeated   []string // databases that hold it without taking it over from the authority
	Word                // what to make of it
}

// Overlaps finds the elements that more than one database holds, those with the most repetitions first. Owners
// and authorities come from the entries.
func Overlaps(d *dictionary.Dictionary, entries []Entry, definitions []*dictionary.Definition) []Overlap {
	owners, claims := map[string]lienthong.MemberCode{}, map[string][]string{}
	for i := range entries {
		owners[entries[i].Code] = entries[i].Owner
		for _, claim := range entries[i].Authority {
			claims[claim] = append(claims[claim], entries[i].Code)
		}
	}
	holders := map[string][]Holder{}
	for _, def := range definitions {
		compared := reconciled(def)
		for i := range def.Columns {
			m := &def.Columns[i]
			if m.Element == "" || m.Handling == "drop" {
				continue
			}
			field := fieldName(d, m)
			holders[m.Element] = append(holders[m.Element], Holder{
				Dataset: def.Dataset, Owner: owners[def.Dataset.Database], Field: field, Columns: columnsOf(m), Reconciled: compared[field],
			})
		}
	}
	var list []Overlap
	for id, held := range holders {
		if o, overlaps := overlap(d, id, held, claims); overlaps {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b Overlap) int {
		return cmp.Or(cmp.Compare(len(b.Repeated), len(a.Repeated)), cmp.Compare(a.Element, b.Element))
	})
	return list
}

func overlap(d *dictionary.Dictionary, id string, held []Holder, claims map[string][]string) (Overlap, bool) {
	prefix, _, _ := strings.Cut(id, ".")
	if prefix == "record" {
		return Overlap{}, false // of the row itself: every database has its own
	}
	o := Overlap{Element: id, Name: Word{Vi: id, En: id}, Holders: held, Authority: claims[id]}
	if len(o.Authority) == 0 {
		o.Authority = claims[prefix+".*"]
	}
	if element, known := d.Element(id); known {
		o.Name, o.Identifier = Word{Vi: element.NameVi, En: element.NameEn}, element.Identifier
	}
	slices.SortFunc(o.Holders, func(a, b Holder) int { return cmp.Compare(a.Dataset.String(), b.Dataset.String()) })
	databases := map[string]bool{}
	for i := range o.Holders {
		h := &o.Holders[i]
		h.Authority = slices.Contains(o.Authority, h.Dataset.Database)
		databases[h.Dataset.Database] = true
		if !h.Authority && !h.Reconciled && !o.Identifier && !slices.Contains(o.Repeated, h.Dataset.Database) {
			o.Repeated = append(o.Repeated, h.Dataset.Database)
		}
	}
	if len(databases) < 2 {
		return Overlap{}, false
	}
	switch {
	case len(o.Authority) > 1:
		o.Word = wordf("%d CSDL cùng nhận là nguồn duy nhất: %s", "%d databases declare to be the single source: %s", len(o.Authority), strings.Join(o.Authority, ", "))
	case o.Identifier:
		o.Word = say("là khóa liên kết: giữ ở nhiều nơi là cần thiết, giá trị phải khớp nguồn", "it links records: several databases need it, and its values must agree with the source")
	case len(o.Repeated) == 0:
		o.Word = say("các nơi khác đã lấy lại và đối chiếu với nguồn", "the others take it over and compare it with the source")
	case len(o.Authority) == 1:
		o.Word = wordf("%d CSDL thu thập lại thông tin đã có tại %s: %s", "%d databases collect again what %s has: %s", len(o.Repeated), o.Authority[0], strings.Join(o.Repeated, ", "))
	default:
		o.Word = wordf("%d CSDL cùng thu thập, chưa xác định nguồn duy nhất: %s", "%d databases collect it and no single source is named: %s", len(o.Repeated), strings.Join(o.Repeated, ", "))
	}
	return o, true
}

// reconciled are the fields of a dataset that a rule compares with another database.
func reconciled(def *dictionary.Definition) map[string]bool {
	fields := map[string]bool{}
	for i := range def.SetRules {
		r := &def.SetRules[i]
		if r.Reference != nil && r.Reference.Dataset.Database != def.Dataset.Database {
			fields[r.Field] = true
		}
		if r.Match != nil && r.Match.Dataset.Database != def.Dataset.Database {
			for own := range r.Match.Fields {
				fields[own] = true
			}
			fields[r.Match.Key] = true
		}
	}
	return fields
}

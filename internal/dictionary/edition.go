package dictionary

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ElementChange is one published change of the dictionary. Exactly one of Element,
// CodeList and Remove is set.
type ElementChange struct {
	Element   *Element  // new, or in place of the one with its identifier
	CodeList  *CodeList // likewise
	Remove    string    // identifier of an element or code list that is no longer there
	ValidFrom string    // day from which it holds, yyyy-mm-dd; empty: that of the edition before
}

// With returns the edition that the changes make of this one, and how it differs. The
// receiver stays as it is. Versions rise by themselves, whatever the changes say: the first
// number of the edition, and of each changed element, when something breaks (see Difference), the
// second otherwise. The error joins everything that is wrong with the changes; then there
// is no new edition.
func (d *Dictionary) With(changes ...ElementChange) (*Dictionary, []Difference, error) {
	next := &Dictionary{
		edition: d.edition, domains: d.domains, elements: slices.Clone(d.elements), lists: slices.Clone(d.lists),
		byID: map[string]int{}, listByID: map[string]*CodeList{}, translations: maps.Clone(d.translations),
		reference: d.reference, files: d.files,
	}
	p := &problems{}
	seen := map[string]bool{}
	for i := range changes {
		next.apply(p, &changes[i], seen)
	}
	p.file = "dictionary"
	if len(p.list) == 0 {
		next.finish(p)
	}
	if err := p.err(); err != nil {
		return nil, nil, err
	}
	differences := Diff(d, next)
	next.raise(d, differences)
	return next, differences, nil
}

func (d *Dictionary) apply(p *problems, change *ElementChange, seen map[string]bool) {
	id := change.id()
	p.file = id
	if id == "" || seen[id] {
		p.add(0, "dictionary.change", "mỗi thay đổi nêu đúng một phần tử hoặc danh mục, mỗi mã một lần", "a change names one element or code list, and each only once", "")
		return
	}
	seen[id] = true
	if change.ValidFrom != "" {
		if _, err := time.Parse(time.DateOnly, change.ValidFrom); err != nil {
			p.add(0, "dictionary.date", fmt.Sprintf("ngày hiệu lực %q không đúng", change.ValidFrom), fmt.Sprintf("bad date of validity %q", change.ValidFrom), "yyyy-mm-dd")
		}
		d.edition.ValidFrom = max(d.edition.ValidFrom, change.ValidFrom)
	}
	inList := slices.IndexFunc(d.lists, func(l *CodeList) bool { return l.ID == id })
	inElements := slices.IndexFunc(d.elements, func(e Element) bool { return e.ID == id })
	if inList >= 0 && d.lists[inList].reference {
		p.add(0, "list.reference", fmt.Sprintf("danh mục %q đi cùng dữ liệu tham chiếu có ngày hiệu lực, không sửa ở đây", id), fmt.Sprintf("code list %q comes with the dated reference data and is not changed here", id),
			"cập nhật dữ liệu tham chiếu / update the reference data")
		return
	}
	switch {
	case change.Element != nil:
		element := change.Element.clone()
		(&elementDefaults{}).fill(element)
		if element.Status != Superseded && element.Status != Retired {
			element.Status = Published
		}
		element.check(p, 0)
		if inElements >= 0 {
			d.elements[inElements] = *element
		} else {
			d.elements = append(d.elements, *element)
		}
	case change.CodeList != nil:
		list := change.CodeList.file().build(p) // checked again, and not shared with the caller
		if inList >= 0 {
			d.lists[inList] = list
		} else {
			d.lists = append(d.lists, list)
		}
		d.translations[id] = translationOf(list)
	case inElements >= 0:
		d.elements = slices.Delete(d.elements, inElements, inElements+1)
	case inList >= 0:
		d.lists = slices.Delete(d.lists, inList, inList+1)
		delete(d.translations, id)
	default:
		p.add(0, "dictionary.unknown", fmt.Sprintf("từ điển không có %q", id), fmt.Sprintf("the dictionary has no %q", id), "")
	}
}

// id is what the change is about; "" when it is about nothing or several things.
func (c *ElementChange) id() string {
	var ids []string
	if c.Element != nil {
		ids = append(ids, c.Element.ID)
	}
	if c.CodeList != nil {
		ids = append(ids, c.CodeList.ID)
	}
	if c.Remove != "" {
		ids = append(ids, c.Remove)
	}
	if len(ids) != 1 {
		return ""
	}
	return ids[0]
}

// raise gives the edition and what changed in it their versions.
func (d *Dictionary) raise(before *Dictionary, differences []Difference) {
	breaking := map[string]bool{}
	for _, difference := range differences {
		id := difference.Element + difference.CodeList
		breaking[id] = breaking[id] || difference.Breaking
	}
	for i := range d.elements {
		e := &d.elements[i]
		old, known := before.Element(e.ID)
		if !known {
			continue
		}
		e.Version = old.Version
		if major, changed := breaking[e.ID]; changed {
			e.Version = old.Version.next(major)
		}
	}
	for _, list := range d.lists {
		old := before.listByID[list.ID]
		if _, changed := breaking[list.ID]; changed && old != nil && list.Version == old.Version {
			if n, err := strconv.Atoi(old.Version); err == nil {
				list.Version = strconv.Itoa(n + 1)
			}
		}
	}
	if len(differences) > 0 {
		d.edition.Version = raiseEdition(before.edition.Version, Breaks(differences))
	}
}

// next is the version after v.
func (v Version) next(major bool) Version {
	if major {
		return Version{v.Major + 1, 0}
	}
	return Version{v.Major, v.Minor + 1}
}

// raiseEdition is the version after one of the form "1.0.0".
func raiseEdition(version string, major bool) string {
	var numbers [3]int
	for i, part := range strings.SplitN(version, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		numbers[i] = n
	}
	if major {
		return strconv.Itoa(numbers[0]+1) + ".0.0"
	}
	return fmt.Sprintf("%d.%d.0", numbers[0], numbers[1]+1)
}

// clone copies an element so that nothing is shared that anybody could change.
func (e *Element) clone() *Element {
	c := *e
	c.Synonyms = slices.Clone(e.Synonyms)
	c.Documents = slices.Clone(e.Documents)
	c.Related = slices.Clone(e.Related)
	c.Business = slices.Clone(e.Business)
	c.Relations = slices.Clone(e.Relations)
	c.Technical = slices.Clone(e.Technical)
	c.Normalise = slices.Clone(e.Normalise)
	c.Alignments = slices.Clone(e.Alignments)
	c.Rules = slices.Clone(e.Rules)
	for i := range c.Rules {
		rule := &c.Rules[i]
		rule.Line = 0
		rule.Check.OneOf = slices.Clone(rule.Check.OneOf)
		if number := rule.Check.PersonNumber; number != nil {
			rule.Check.PersonNumber = &PersonNumberCheck{BirthDate: number.BirthDate, Sex: number.Sex}
		}
	}
	c.Line = 0
	return &c
}

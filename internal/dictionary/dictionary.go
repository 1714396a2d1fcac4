package dictionary

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

//go:embed data
var builtin embed.FS

// Edition says which dictionary this is.
type Edition struct {
	Version   string `yaml:"version"`
	ValidFrom string `yaml:"valid_from"`
	TitleVi   string `yaml:"title_vi"`
	TitleEn   string `yaml:"title_en"`
	Source    string `yaml:"source"`
}

// Dictionary is one edition of the common dictionary with its reference data.
type Dictionary struct {
	edition      Edition
	domains      []Domain
	elements     []Element // sorted by ID
	byID         map[string]int
	lists        []*CodeList // sorted by ID
	listByID     map[string]*CodeList
	translations map[string]*translation // by name: those of the lists that people write by hand
	reference    *reference
	files        fs.FS
	places       map[string]string // where elements are written, for messages while loading
	names        lazyNames         // for proposals
}

// Builtin is the edition inside the program.
func Builtin() (*Dictionary, error) {
	root, err := fs.Sub(builtin, "data")
	if err != nil {
		return nil, fmt.Errorf("open the built-in dictionary: %w", err)
	}
	return Load(root)
}

// file is the form of a YAML file of the dictionary; each has some of the parts.
type file struct {
	Dictionary *Edition        `yaml:"dictionary"`
	Domains    []Domain        `yaml:"domains"`
	Defaults   elementDefaults `yaml:"defaults"`
	Elements   []Element       `yaml:"elements"`
	Lists      []listFile      `yaml:"lists"`
}

// Load reads a dictionary: *.yaml at the root, and reference/ with its manifest.
// All problems of all files are returned together.
func Load(root fs.FS) (*Dictionary, error) {
	d := &Dictionary{
		byID: map[string]int{}, listByID: map[string]*CodeList{},
		translations: map[string]*translation{}, files: root, reference: &reference{}, places: map[string]string{},
	}
	names, err := fs.Glob(root, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the dictionary's files: %w", err)
	}
	var all []error
	for _, name := range names {
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		p := &problems{file: name}
		var content file
		decodeStrict(p, data, &content)
		if len(p.list) == 0 {
			d.take(p, &content)
		}
		all = append(all, p.list...)
	}
	p := &problems{file: "reference/manifest.yaml"}
	d.loadReference(p, root)
	all = append(all, p.list...)
	if len(all) > 0 {
		return nil, errors.Join(all...)
	}
	p = &problems{file: "dictionary"}
	d.finish(p)
	if len(p.list) > 0 {
		return nil, p.err()
	}
	d.places = nil
	return d, nil
}

// take adds what one file holds.
func (d *Dictionary) take(p *problems, content *file) {
	if content.Dictionary != nil {
		d.edition = *content.Dictionary
	}
	for i := range content.Domains {
		d.takeDomain(p, &content.Domains[i])
	}
	for i := range content.Elements {
		element := &content.Elements[i]
		content.Defaults.fill(element)
		element.check(p, element.Line)
		d.places[element.ID] = p.where(element.Line)
		element.Line = 0
		d.elements = append(d.elements, *element)
	}
	for i := range content.Lists {
		list := content.Lists[i].build(p)
		d.lists = append(d.lists, list)
		d.translations[list.ID] = translationOf(list)
	}
}

// finish sorts, indexes and checks what refers to what.
func (d *Dictionary) finish(p *problems) {
	slices.SortFunc(d.elements, func(a, b Element) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(d.lists, func(a, b *CodeList) int { return strings.Compare(a.ID, b.ID) })
	for _, list := range d.lists {
		if d.listByID[list.ID] != nil {
			p.add(0, "list.twice", fmt.Sprintf("danh mục %q có hai lần", list.ID), fmt.Sprintf("code list %q stands twice", list.ID), "")
		}
		d.listByID[list.ID] = list
	}
	for i := range d.elements {
		element := &d.elements[i]
		if _, twice := d.byID[element.ID]; twice {
			d.wrong(p, element, "element.twice", fmt.Sprintf("phần tử %q có hai lần", element.ID), fmt.Sprintf("element %q stands twice", element.ID), "")
		}
		d.byID[element.ID] = i
	}
	rules := map[string]bool{}
	for i := range d.elements {
		d.resolve(p, &d.elements[i], rules)
	}
}

// wrong reports a problem of an element at the place where it is written.
func (d *Dictionary) wrong(p *problems, element *Element, code, vi, en, hint string) {
	where := d.places[element.ID]
	if where == "" {
		where = element.ID
	}
	p.list = append(p.list, &lienthong.Error{Code: code, Vi: vi, En: en, Where: where, Hint: hint})
}

// resolve checks that what an element refers to is there, and gives it the domain of its
// prefix.
func (d *Dictionary) resolve(p *problems, element *Element, rules map[string]bool) {
	if element.Group == "" {
		domain, _ := d.DomainOfPrefix(element.Domain())
		element.Group = domain.ID
	}
	if _, known := d.DomainByID(element.Group); !known {
		d.wrong(p, element, "element.group", fmt.Sprintf("phần tử %q không thuộc miền nào của từ điển", element.ID), fmt.Sprintf("element %q belongs to no domain of the dictionary", element.ID), "group: DOM-HUMAN")
	}
	for r := range element.Rules {
		rule := &element.Rules[r]
		if rule.Code != "" && rules[rule.Code] {
			d.wrong(p, element, "rule.code", fmt.Sprintf("mã quy tắc %q viết hai lần", rule.Code), fmt.Sprintf("rule code %q stands twice", rule.Code), "")
		}
		rules[rule.Code] = true
	}
	for _, id := range element.lists() {
		if d.listByID[id] == nil {
			d.wrong(p, element, "list.unknown", fmt.Sprintf("phần tử %q dùng danh mục %q không có", element.ID, id), fmt.Sprintf("element %q uses code list %q, which does not exist", element.ID, id), "")
		}
	}
	targets := make([]string, 0, len(element.Relations)+len(element.Related))
	for _, relation := range element.Relations {
		targets = append(targets, relation.Target)
	}
	for _, term := range element.Related {
		if strings.Contains(term, ".") && !strings.Contains(term, " ") {
			targets = append(targets, term)
		}
	}
	for _, target := range targets {
		if _, known := d.byID[target]; !known {
			d.wrong(p, element, "element.unknown", fmt.Sprintf("phần tử %q nhắc tới %q không có", element.ID, target), fmt.Sprintf("element %q refers to %q, which does not exist", element.ID, target), "")
		}
	}
	for _, unit := range []lienthong.MemberCode{element.Creator, element.Owner} {
		if unit == "" || memberGroup(unit) {
			continue
		}
		if _, known := d.Member(string(unit)); !known {
			d.wrong(p, element, "element.unit", fmt.Sprintf("phần tử %q: không có cơ quan %q", element.ID, unit), fmt.Sprintf("element %q: there is no member %q", element.ID, unit), "G01, *provinces")
		}
	}
}

// Edition says which dictionary this is.
func (d *Dictionary) Edition() Edition { return d.edition }

// Elements returns all elements in order of their identifiers. Callers do not change them.
func (d *Dictionary) Elements() []Element { return d.elements }

// Element returns the element with the identifier.
func (d *Dictionary) Element(id string) (*Element, bool) {
	i, found := d.byID[id]
	if !found {
		return nil, false
	}
	return &d.elements[i], true
}

// CodeLists returns all lists in order of their identifiers.
func (d *Dictionary) CodeLists() []*CodeList { return d.lists }

// CodeList returns the list with the identifier.
func (d *Dictionary) CodeList(id string) (*CodeList, bool) {
	list, found := d.listByID[id]
	return list, found
}

// ReferenceFile returns the CSV of the reference data as it is published, such
// as "communes.csv".
func (d *Dictionary) ReferenceFile(name string) ([]byte, error) {
	data, err := fs.ReadFile(d.files, path.Join("reference", path.Base(name)))
	if err != nil {
		return nil, fmt.Errorf("read reference data %s: %w", name, err)
	}
	return data, nil
}

// elementIDs lists the identifiers for hints.
func (d *Dictionary) elementIDs() []string {
	ids := make([]string, len(d.elements))
	for i := range d.elements {
		ids[i] = d.elements[i].ID
	}
	return ids
}

package dictionary

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

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

// Element is a data element (phần tử dữ liệu): what one field means, whoever holds it.
type Element struct {
	ID           string         `yaml:"id"`   // "person.full_name"
	Name         string         `yaml:"name"` // technical name, the field's name unless a mapping says otherwise
	NameVi       string         `yaml:"name_vi"`
	NameEn       string         `yaml:"name_en"`
	Synonyms     []string       `yaml:"synonyms"` // other names that people give it, as columns are written: "ho_va_ten"
	DefinitionVi string         `yaml:"definition_vi"`
	DefinitionEn string         `yaml:"definition_en"`
	Kind         lienthong.Kind `yaml:"kind"`
	Format       string         `yaml:"format"`     // for people: "12 chữ số / 12 digits"
	MaxLength    int            `yaml:"max_length"` // characters; 0: no limit, or set by a rule
	CodeList     string         `yaml:"code_list"`  // the list that its values are codes of
	Personal     bool           `yaml:"personal"`   // its values are personal data
	Required     bool           `yaml:"required"`   // default; a mapping may override it
	Identifier   bool           `yaml:"identifier"` // names or links what the record is about: must be 100 % correct
	Rules        []Rule         `yaml:"rules"`      // Field is empty: filled in when a mapping is compiled
	Source       string         `yaml:"source"`     // legal basis
	Version      int            `yaml:"version"`
	Line         int            `yaml:"-"`
}

// Domain is the part of the identifier before the dot: "person".
func (e *Element) Domain() string {
	domain, _, _ := strings.Cut(e.ID, ".")
	return domain
}

// Dictionary is one edition of the common dictionary with its reference data.
type Dictionary struct {
	edition      Edition
	elements     []Element // sorted by ID
	byID         map[string]int
	lists        []*CodeList // sorted by ID
	listByID     map[string]*CodeList
	translations map[string]*translation // by name: those of the lists that people write by hand
	reference    reference
	files        fs.FS
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
	Dictionary *Edition   `yaml:"dictionary"`
	Elements   []Element  `yaml:"elements"`
	Lists      []listFile `yaml:"lists"`
}

type listFile struct {
	ID        string     `yaml:"id"`
	NameVi    string     `yaml:"name_vi"`
	NameEn    string     `yaml:"name_en"`
	Source    string     `yaml:"source"`
	Version   string     `yaml:"version"`
	ValidFrom string     `yaml:"valid_from"`
	ValidTo   string     `yaml:"valid_to"`
	Codes     []codeFile `yaml:"codes"`
	Line      int        `yaml:"-"`
}

type codeFile struct {
	Code      string   `yaml:"code"`
	Vi        string   `yaml:"vi"`
	En        string   `yaml:"en"`
	Aliases   []string `yaml:"aliases"`
	ValidFrom string   `yaml:"valid_from"`
	ValidTo   string   `yaml:"valid_to"`
	Line      int      `yaml:"-"`
}

// Load reads a dictionary: *.yaml at the root, and reference/ with its manifest.
// All problems of all files are returned together.
func Load(root fs.FS) (*Dictionary, error) {
	d := &Dictionary{
		byID: map[string]int{}, listByID: map[string]*CodeList{},
		translations: map[string]*translation{}, files: root,
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
	return d, nil
}

// take adds what one file holds.
func (d *Dictionary) take(p *problems, content *file) {
	if content.Dictionary != nil {
		d.edition = *content.Dictionary
	}
	for i := range content.Elements {
		element := &content.Elements[i]
		switch {
		case !strings.Contains(element.ID, ".") || !plainFieldName(element.Name):
			p.add(element.Line, "element.name", fmt.Sprintf("phần tử %q: mã hoặc tên kỹ thuật không đúng dạng", element.ID), fmt.Sprintf("element %q: bad identifier or technical name", element.ID), "")
		case element.NameVi == "" || element.NameEn == "" || element.DefinitionVi == "" || element.DefinitionEn == "" || element.Source == "" || element.Version < 1:
			p.add(element.Line, "element.incomplete", fmt.Sprintf("phần tử %q thiếu tên, định nghĩa, nguồn hoặc phiên bản", element.ID), fmt.Sprintf("element %q lacks a name, definition, source or version", element.ID), "")
		}
		for r := range element.Rules {
			rule := &element.Rules[r]
			rule.check(p, rule.Line)
			rule.Line = 0
		}
		d.elements = append(d.elements, *element)
	}
	for i := range content.Lists {
		d.takeList(p, &content.Lists[i])
	}
}

func (d *Dictionary) takeList(p *problems, list *listFile) {
	if list.ID == "" || list.NameVi == "" || list.NameEn == "" || list.Source == "" || len(list.Codes) == 0 {
		p.add(list.Line, "list.incomplete", fmt.Sprintf("danh mục %q thiếu tên, nguồn hoặc mã", list.ID), fmt.Sprintf("code list %q lacks a name, source or codes", list.ID), "")
	}
	codes := make([]Code, 0, len(list.Codes))
	for i := range list.Codes {
		c := &list.Codes[i]
		from, okFrom := instantOf(c.ValidFrom, list.ValidFrom, always)
		to, okTo := instantOf(c.ValidTo, list.ValidTo, forever)
		if !okFrom || !okTo || from >= to {
			p.add(c.Line, "list.date", fmt.Sprintf("mã %q: ngày hiệu lực không đúng", c.Code), fmt.Sprintf("code %q: bad dates of validity", c.Code), "yyyy-mm-dd")
		}
		if c.Code == "" || c.Vi == "" {
			p.add(c.Line, "list.incomplete", "mã thiếu code hoặc tên", "a code lacks code or name", "")
		}
		codes = append(codes, Code{Code: c.Code, NameVi: c.Vi, NameEn: c.En, From: from, To: to, Aliases: c.Aliases})
	}
	built := newCodeList(list.ID, list.NameVi, list.NameEn, list.Source, list.Version, codes)
	d.lists = append(d.lists, built)
	d.translations[list.ID] = translationOf(built)
}

// instantOf reads a date as the instant at which it begins in Vietnam.
func instantOf(own, inherited string, none int64) (int64, bool) {
	if own == "" {
		own = inherited
	}
	if own == "" {
		return none, true
	}
	date, err := time.Parse(time.DateOnly, own)
	if err != nil {
		return 0, false
	}
	return date.UnixMicro() - vietnamOffset, true
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
	rules := map[string]bool{}
	for i := range d.elements {
		element := &d.elements[i]
		if _, twice := d.byID[element.ID]; twice {
			p.add(0, "element.twice", fmt.Sprintf("phần tử %q có hai lần", element.ID), fmt.Sprintf("element %q stands twice", element.ID), "")
		}
		d.byID[element.ID] = i
		named := []string{element.CodeList}
		for r := range element.Rules {
			uniqueCode(p, rules, element.Rules[r].Code, 0)
			named = append(named, element.Rules[r].Check.CodeList)
		}
		for _, id := range named {
			if id != "" && d.listByID[id] == nil {
				p.add(0, "list.unknown", fmt.Sprintf("phần tử %q dùng danh mục %q không có", element.ID, id), fmt.Sprintf("element %q uses code list %q, which does not exist", element.ID, id), "")
			}
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

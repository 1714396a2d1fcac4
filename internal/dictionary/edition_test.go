package dictionary

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

func elementKeys() []string {
	var keys []string
	for i := range reflect.TypeFor[Element]().NumField() {
		if key := reflect.TypeFor[Element]().Field(i).Tag.Get("yaml"); key != "-" {
			keys = append(keys, key)
		}
	}
	return keys
}

// edited is a copy of an element, changed.
func edited(t *testing.T, d *Dictionary, id string, edit func(*Element)) ElementChange {
	t.Helper()
	e, found := d.Element(id)
	if !found {
		t.Fatalf("no element %s", id)
	}
	c := e.clone()
	edit(c)
	return ElementChange{Element: c}
}

func editedList(t *testing.T, d *Dictionary, id string, edit func(*listFile)) ElementChange {
	t.Helper()
	list, found := d.CodeList(id)
	if !found {
		t.Fatalf("no list %s", id)
	}
	f := list.file()
	edit(f)
	p := &problems{}
	built := f.build(p)
	if err := p.err(); err != nil {
		t.Fatal(err)
	}
	return ElementChange{CodeList: built}
}

func rule(e *Element, code string) *Rule {
	for i := range e.Rules {
		if e.Rules[i].Code == code {
			return &e.Rules[i]
		}
	}
	return nil
}

func TestWith_SaysWhatBreaks(t *testing.T) {
	d := load(t)
	fresh := Element{
		ID: "person.shoe_size", Name: "shoe_size", NameVi: "Cỡ giày", NameEn: "Shoe size", DefinitionVi: "Cỡ giày theo bảng cỡ Việt Nam.",
		DefinitionEn: "Size of shoes in the Vietnamese table.", Kind: lienthong.Integer, Source: "Thử", Version: Version{Major: 1},
	}
	phone := func(edit func(*Element)) ElementChange { return edited(t, d, "person.phone", edit) }
	tests := []struct {
		name     string
		change   ElementChange
		version  string   // of the edition
		element  string   // of the element
		keys     []string // of the differences
		breaking bool
	}{
		{"nothing", phone(func(*Element) {}), d.Edition().Version, "1.0", nil, false},
		{"a new element", ElementChange{Element: &fresh}, "1.1.0", "", []string{""}, false},
		{"name", phone(func(e *Element) { e.NameVi = "Số máy" }), "1.1.0", "1.1", []string{"name_vi"}, false},
		{"synonyms and access", phone(func(e *Element) { e.Synonyms, e.Access = append(e.Synonyms, "so_may"), "/x" }), "1.1.0", "1.1", []string{"synonyms", "access"}, false},
		{"kind", phone(func(e *Element) { e.Kind, e.Rules = lienthong.Integer, nil }), "2.0.0", "2.0", []string{"kind", "rules"}, true},
		{"technical name", phone(func(e *Element) { e.Name = "mobile" }), "2.0.0", "2.0", []string{"name"}, true},
		{"a length where there was none", phone(func(e *Element) { e.MaxLength = 11 }), "2.0.0", "2.0", []string{"max_length"}, true},
		{"shorter", edited(t, d, "person.full_name", func(e *Element) { e.MaxLength = 50 }), "2.0.0", "2.0", []string{"max_length"}, true},
		{"longer", edited(t, d, "person.full_name", func(e *Element) { e.MaxLength = 150 }), "1.1.0", "1.1", []string{"max_length"}, false},
		{"no length any more", edited(t, d, "person.full_name", func(e *Element) { e.MaxLength = 0 }), "1.1.0", "1.1", []string{"max_length"}, false},
		{"code list", edited(t, d, "person.sex", func(e *Element) { e.CodeList = "poverty" }), "2.0.0", "2.0", []string{"code_list"}, true},
		{"required", phone(func(e *Element) { e.Required = true }), "2.0.0", "2.0", []string{"required"}, true},
		{"no longer required", edited(t, d, "person.full_name", func(e *Element) { e.Required = false }), "1.1.0", "1.1", []string{"required"}, false},
		{"unit of measure", edited(t, d, "parcel.area", func(e *Element) { e.Unit = "ha" }), "2.0.0", "2.0", []string{"unit"}, true},
		{"rule gone", phone(func(e *Element) { e.Rules = nil }), "1.1.0", "1.1", []string{"rules"}, false},
		{"rule reworded", phone(func(e *Element) { e.Rules[0].Vi = "Khác" }), "1.1.0", "1.1", []string{"rules"}, false},
		{"another pattern", phone(func(e *Element) { e.Rules[0].Check.Pattern = "^[0-9]{10}$" }), "2.0.0", "2.0", []string{"rules"}, true},
		{"a new rule", phone(func(e *Element) {
			added := e.Rules[0]
			added.Code, added.Check = "person.phone.tidy", Check{Tidy: true}
			e.Rules = append(e.Rules, added)
		}), "2.0.0", "2.0", []string{"rules"}, true},
		{"rule blocks", edited(t, d, "household.number", func(e *Element) { e.Rules[0].Blocking = true }), "2.0.0", "2.0", []string{"rules"}, true},
		{"wider bounds", edited(t, d, "household.members", func(e *Element) { e.Rules[0].Check.Max = "50" }), "1.1.0", "1.1", []string{"rules"}, false},
		{"narrower bounds", edited(t, d, "household.members", func(e *Element) { e.Rules[0].Check.Max = "20" }), "2.0.0", "2.0", []string{"rules"}, true},
		{"older dates", edited(t, d, "person.birth_date", func(e *Element) { rule(e, "person.birth_date.range").Check.Min = "1890-01-01" }), "1.1.0", "1.1", []string{"rules"}, false},
		{"later dates", edited(t, d, "person.birth_date", func(e *Element) { rule(e, "person.birth_date.range").Check.Min = "1910-01-01" }), "2.0.0", "2.0", []string{"rules"}, true},
		{"longer age", edited(t, d, "person.verified_at", func(e *Element) { e.Rules[0].Check.MaxAge = "1y60mo" }), "1.1.0", "1.1", []string{"rules"}, false},
		{"shorter age", edited(t, d, "person.verified_at", func(e *Element) { e.Rules[0].Check.MaxAge = "100w" }), "2.0.0", "2.0", []string{"rules"}, true},
		{"removed", ElementChange{Remove: "person.verified_at"}, "2.0.0", "", []string{""}, true},
		{"a new code", editedList(t, d, "sex", func(f *listFile) { f.Codes = append(f.Codes, codeFile{Code: "X", Vi: "Khác", En: "Other"}) }), "1.1.0", "", []string{"codes"}, false},
		{"a code gone", editedList(t, d, "sex", func(f *listFile) { f.Codes = f.Codes[:2] }), "2.0.0", "", []string{"codes"}, true},
		{"a code ends", editedList(t, d, "sex", func(f *listFile) { f.Codes[0].ValidTo = "2030-01-01" }), "2.0.0", "", []string{"codes"}, true},
		{"an alias more", editedList(t, d, "sex", func(f *listFile) { f.Codes[0].Aliases = append(slices.Clone(f.Codes[0].Aliases), "ông") }), "1.1.0", "", []string{"codes"}, false},
		{"an alias less", editedList(t, d, "sex", func(f *listFile) { f.Codes[0].Aliases = nil }), "2.0.0", "", []string{"codes"}, true},
		{"a code renamed", editedList(t, d, "sex", func(f *listFile) { f.Codes[0].Vi = "Nam giới" }), "1.1.0", "", []string{"codes"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			next, differences, err := d.With(tt.change)
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, difference := range differences {
				keys = append(keys, difference.Attribute)
				if difference.Vi == "" || difference.En == "" || difference.Element == "" && difference.CodeList == "" {
					t.Errorf("incomplete: %+v", difference)
				}
			}
			slices.Sort(keys)
			slices.Sort(tt.keys)
			if !slices.Equal(keys, tt.keys) || Breaks(differences) != tt.breaking {
				t.Errorf("differences %+v, want %v, breaking %v", differences, tt.keys, tt.breaking)
			}
			if next.Edition().Version != tt.version {
				t.Errorf("edition %s, want %s", next.Edition().Version, tt.version)
			}
			if tt.element != "" {
				if e, _ := next.Element(tt.change.Element.ID); e.Version.String() != tt.element {
					t.Errorf("element %s, want %s", e.Version, tt.element)
				}
			}
			if diff := cmp.Diff(differences, Diff(d, next)); diff != "" {
				t.Errorf("Diff disagrees:\n%s", diff)
			}
		})
	}
	if d.Edition().Version != "1.0.0" {
		t.Errorf("the first edition is %s now", d.Edition().Version)
	}
	if e, _ := d.Element("person.phone"); e.NameVi != "Số điện thoại" || e.Version != (Version{Major: 1}) {
		t.Errorf("the first edition has changed: %+v", e)
	}
}

func TestWith_IsADictionaryOfItsOwn(t *testing.T) {
	d := load(t)
	e := Element{
		ID: "person.nickname", Name: "nickname", NameVi: "Biệt danh", NameEn: "Nickname", DefinitionVi: "Tên thân mật mà gia đình gọi.",
		DefinitionEn: "The name that the family uses.", Kind: lienthong.Text, Source: "Thử", Version: Version{Major: 1}, Synonyms: []string{"biet_danh"}, CodeList: "nickname",
	}
	list, err := ParseCodeList("x", []byte("id: nickname\nname_vi: Biệt danh\nname_en: Nicknames\nsource: Thử\nversion: \"7\"\ncodes:\n  - {code: a, vi: Tí, en: Ti}\n"))
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := d.With(ElementChange{Element: &e, ValidFrom: "2027-01-01"}, ElementChange{CodeList: list})
	if err != nil {
		t.Fatal(err)
	}
	e.Synonyms[0] = "spoilt"
	got, found := next.Element("person.nickname")
	if !found || got.Synonyms[0] != "biet_danh" || got.Group != "DOM-HUMAN" || got.Status != Published || got.Language != "vi" {
		t.Errorf("%+v", got)
	}
	if _, found := d.Element("person.nickname"); found {
		t.Error("the first edition has it too")
	}
	if next.Edition().ValidFrom != "2027-01-01" || d.Edition().ValidFrom == "2027-01-01" {
		t.Errorf("valid from %s", next.Edition().ValidFrom)
	}
	def, err := ParseDefinition("x.yaml", []byte("dataset: a.b\ntitle_vi: A\ntable: t\nidentity: [record_key]\ncolumns:\n  - {column: k, element: record.key}\n  - {column: n, element: person.nickname, transforms: [\"code:nickname\"]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	columns := []lienthong.Column{{Name: "k"}, {Name: "n"}}
	if _, err := d.Compile(def, columns, 1); err == nil {
		t.Error("the first edition compiles it")
	}
	if _, err := next.Compile(def, columns, 1); err != nil {
		t.Error(err)
	}
	if unit, found := next.Commune("00004", firstSecondAfter()); !found || unit.Name != "Phường Ba Đình" {
		t.Errorf("reference data: %+v", unit)
	}
	if _, err := next.ReferenceFile("communes.csv"); err != nil {
		t.Error(err)
	}
	// One more, on top of that.
	third, differences, err := next.With(ElementChange{Remove: "person.nickname"}, ElementChange{Remove: "nickname"})
	if err != nil || third.Edition().Version != "2.0.0" || len(differences) != 2 {
		t.Errorf("%v %+v", err, differences)
	}
}

func TestWith_RefusesWhatDoesNotFit(t *testing.T) {
	d := load(t)
	commune, _ := d.CodeList("commune")
	sex, _ := d.CodeList("sex")
	tests := []struct {
		name    string
		changes []ElementChange
		want    []string
	}{
		{"nothing at all", []ElementChange{{}}, []string{"dictionary.change"}},
		{"two in one", []ElementChange{{Remove: "person.sex", CodeList: sex}}, []string{"dictionary.change"}},
		{"the same twice", []ElementChange{{Remove: "person.verified_at"}, {Remove: "person.verified_at"}}, []string{"dictionary.change"}},
		{"not there", []ElementChange{{Remove: "person.nothing"}}, []string{"dictionary.unknown"}},
		{"a list in use", []ElementChange{{Remove: "poverty"}}, []string{"list.unknown"}},
		{"reference data", []ElementChange{{CodeList: commune}}, []string{"list.reference"}},
		{"unknown list", []ElementChange{edited(t, d, "person.sex", func(e *Element) { e.CodeList = "nothing" })}, []string{"list.unknown"}},
		{"unknown unit", []ElementChange{edited(t, d, "person.sex", func(e *Element) { e.Owner = "G99" })}, []string{"element.unit"}},
		{"unknown target", []ElementChange{edited(t, d, "person.sex", func(e *Element) { e.Relations = []Relation{{PartOf, "person.nothing"}} })}, []string{"element.unknown"}},
		{"unknown domain", []ElementChange{edited(t, d, "person.sex", func(e *Element) { e.ID, e.Group, e.Rules = "zzz.sex", "", nil })}, []string{"element.group"}},
		{"code of another element's rule", []ElementChange{edited(t, d, "person.sex", func(e *Element) { e.Rules[0].Code = "person.phone.format" })}, []string{"rule.code"}},
		{"incomplete, and a bad date", []ElementChange{
			edited(t, d, "person.sex", func(e *Element) { e.DefinitionEn = "" }),
			{Remove: "person.verified_at", ValidFrom: "1/1/2027"},
		}, []string{"element.incomplete", "dictionary.date"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			next, differences, err := d.With(tt.changes...)
			if next != nil || differences != nil {
				t.Error("there is an edition all the same")
			}
			if diff := cmp.Diff(tt.want, codes(err)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

func TestUses_IsTheImpactList(t *testing.T) {
	d := load(t)
	parse := func(text string) *Definition {
		def, err := ParseDefinition("uses.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return def
	}
	definitions := []*Definition{
		parse("dataset: population.person\ntitle_vi: Công dân\ntitle_en: Citizens\ntable: cong_dan\nidentity: [record_key]\ncolumns:\n" +
			"  - {column: k, element: record.key}\n" +
			"  - {columns: [ho, ten], element: person.full_name, field: full}\n" +
			"  - {column: gt, element: person.sex, transforms: [\"code:sex\"]}\n" +
			"  - {column: hn, element: person.marital_status, transforms: [\"code:own\"]}\n" +
			"codes: {own: {\"1\": single}}\n" +
			"rules:\n  - {code: a.b, vi: a, en: b, group: out_of_range, criterion: dung, field: full, check: {code_list: poverty}}\n"),
		parse("dataset: health.patient\ntitle_vi: Bệnh nhân\ntable: bn\nidentity: [record_key]\ncolumns:\n" +
			"  - {column: id, element: record.key}\n  - {column: ten, element: person.full_name}\n  - {column: ngheo, element: record.updated_at, transforms: [\"code:sex\"]}\n"),
	}
	uses := d.Uses(definitions)
	person := lienthong.DatasetID{Database: "population", Name: "person"}
	patient := lienthong.DatasetID{Database: "health", Name: "patient"}
	want := []Use{
		{Dataset: person, TitleVi: "Công dân", TitleEn: "Citizens", Field: "full", Columns: []string{"ho", "ten"}, File: "uses.yaml", Line: 8},
		{Dataset: patient, TitleVi: "Bệnh nhân", Field: "full_name", Columns: []string{"ten"}, File: "uses.yaml", Line: 7},
	}
	if diff := cmp.Diff(want, uses["person.full_name"]); diff != "" {
		t.Errorf("full_name (-want +got):\n%s", diff)
	}
	via := func(id string) []string {
		var words []string
		for _, use := range uses[id] {
			words = append(words, use.Dataset.String()+" "+use.Field+" "+strings.Join(use.Columns, "+")+" "+use.Via)
		}
		return words
	}
	if diff := cmp.Diff([]string{"population.person sex gt person.sex", "health.patient updated_at ngheo code:sex"}, via("sex")); diff != "" {
		t.Errorf("sex (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"population.person full ho+ten rule a.b"}, via("poverty")); diff != "" {
		t.Errorf("poverty (-want +got):\n%s", diff)
	}
	if _, used := uses["own"]; used {
		t.Error("a table of the definition itself is no list of the dictionary")
	}
	if diff := cmp.Diff([]lienthong.DatasetID{patient, person}, Affected(uses, "person.full_name", "sex")); diff != "" {
		t.Errorf("affected (-want +got):\n%s", diff)
	}
	if got := d.Dependents("marital_status"); !slices.Contains(got, "person.marital_status") {
		t.Errorf("dependents of marital_status: %v", got)
	}
}

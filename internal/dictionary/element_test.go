package dictionary

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

func TestElements_RoundTripWithoutLoss(t *testing.T) {
	d := load(t)
	for i := range d.Elements() {
		e := &d.Elements()[i]
		text, err := MarshalElement(e)
		if err != nil {
			t.Fatalf("%s: %v", e.ID, err)
		}
		parsed, err := ParseElement("e.yaml", text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", e.ID, err, text)
		}
		if diff := cmp.Diff(e, parsed); diff != "" {
			t.Errorf("%s as YAML (-was +is):\n%s\n%s", e.ID, diff, text)
		}
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%s: %v", e.ID, err)
		}
		var again Element
		if err := json.Unmarshal(data, &again); err != nil {
			t.Fatalf("%s: %v\n%s", e.ID, err, data)
		}
		if diff := cmp.Diff(*e, again); diff != "" {
			t.Errorf("%s as JSON (-was +is):\n%s\n%s", e.ID, diff, data)
		}
	}
	text, err := MarshalElements(d.Elements())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseElements("all.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.Elements(), parsed); diff != "" {
		t.Errorf("all at once (-was +is):\n%s", diff)
	}
}

func TestCodeLists_RoundTripWithoutLoss(t *testing.T) {
	d := load(t)
	for _, list := range d.CodeLists() {
		if list.reference {
			continue
		}
		text, err := MarshalCodeList(list)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := ParseCodeList("list.yaml", text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", list.ID, err, text)
		}
		data, err := json.Marshal(parsed)
		if err != nil {
			t.Fatal(err)
		}
		var again CodeList
		if err := json.Unmarshal(data, &again); err != nil {
			t.Fatalf("%s: %v", list.ID, err)
		}
		if diff := cmp.Diff(list, &again, cmp.AllowUnexported(CodeList{}), cmp.Transformer("nil", emptyIsNil)); diff != "" {
			t.Errorf("%s (-was +is):\n%s", list.ID, diff)
		}
	}
}

// emptyIsNil: a list without links has none, whichever way it was made.
func emptyIsNil(links []CodeLink) []string {
	words := make([]string, 0, len(links))
	for _, link := range links {
		words = append(words, fmt.Sprint(link.From, link.To, dateOf(link.At), link.Kind, link.Note, link.Partial, link.Sure))
	}
	return words
}

// Text that YAML would take for something else comes back as it was.
func TestElement_KeepsDifficultText(t *testing.T) {
	e := Element{
		ID: "test.x", Name: "x", NameVi: "a: b # c", NameEn: "- 'x' \"y\"", DefinitionVi: "dòng 1\ndòng 2\n  ba ", DefinitionEn: "\ttab \\ \u2028 <&> 𠮷",
		Synonyms: []string{"no", "1", "null", "~", "a, b", "", "{x}", "*y", "01"}, Source: "true", Language: "vi", Status: Published, Version: Version{Major: 12, Minor: 7},
		Kind: lienthong.Decimal, MaxLength: 3, Rules: []Rule{{
			Code: "test.x.one", Vi: "a", En: "b", Group: lienthong.WrongFormat, Criterion: lienthong.Clean,
			Check: Check{OneOf: []string{"yes", "0x1", "2020-01-01", "a\nb"}},
		}},
	}
	text, err := MarshalElement(&e)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseElement("x", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(&e, parsed); diff != "" {
		t.Errorf("YAML:\n%s\n%s", diff, text)
	}
	data, err := json.Marshal(&e)
	if err != nil {
		t.Fatal(err)
	}
	var again Element
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if diff := cmp.Diff(e, again); diff != "" {
		t.Errorf("JSON:\n%s\n%s", diff, data)
	}
}

func TestParseElement_NamesEveryProblemWithItsLine(t *testing.T) {
	const good = "id: person.x\nname: x\nname_vi: Tên\nname_en: Name\ndefinition_vi: Định nghĩa.\ndefinition_en: A definition.\nkind: text\nsource: Luật\nversion: 1\n"
	if _, err := ParseElement("good.yaml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, text string
		codes      []string
		where      string
	}{
		{"unknown key", strings.Replace(good, "source:", "sources:", 1), []string{"definition.key"}, "x.yaml:8"},
		{"bad kind and version", strings.NewReplacer("kind: text", "kind: string", "version: 1", "version: 1.x").Replace(good), []string{"kind.unknown", "element.version"}, "x.yaml:7"},
		{"several versions", strings.Replace(good, "version: 1", "version: -1", 1), []string{"element.version"}, "x.yaml:9"},
		{"incomplete", strings.Replace(good, "name_en: Name\n", "", 1), []string{"element.incomplete"}, "x.yaml:1"},
		{"no prefix", strings.Replace(good, "person.x", "x", 1), []string{"element.name"}, "x.yaml:1"},
		{"status, class, transformation", good + "status: done\nclass: gold\nnormalise: [shout]\n", []string{"element.status", "element.class", "element.normalise"}, "x.yaml:1"},
		{"relation to itself", good + "relations:\n  - {type: part_of, target: person.x}\n", []string{"element.relation"}, "x.yaml:1"},
		{"unknown vocabulary", good + "alignments:\n  - {scheme: wikipedia, id: Name, kind: exact}\n", []string{"element.alignment"}, "x.yaml:1"},
		{"half a note", good + "business:\n  - {vi: một}\n", []string{"element.note"}, "x.yaml:1"},
		{"bad rule", good + "rules:\n  - code: person.x.a\n    vi: a\n    en: b\n    group: missing\n    criterion: du\n    check: {}\n", []string{"rule.check"}, "x.yaml:11"},
		{"rule with a field", good + "rules:\n  - {code: person.x.a, vi: a, en: b, group: missing, criterion: du, field: y, check: {required: true}}\n", []string{"rule.field"}, "x.yaml:1"},
		{"not YAML", "id: [", []string{"definition.syntax"}, "x.yaml:1"},
		{"nothing", "", []string{"definition.empty"}, "x.yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseElement("x.yaml", []byte(tt.text))
			if diff := cmp.Diff(tt.codes, codes(err)); diff != "" {
				t.Fatalf("(-want +got):\n%s\n%v", diff, err)
			}
			var first *lienthong.Error
			if !errors.As(err, &first) || first.Where != tt.where || first.Vi == "" || first.En == "" {
				t.Errorf("first problem is %+v, want at %s", first, tt.where)
			}
		})
	}
}

func TestAttributes_AreAll25InOrder(t *testing.T) {
	d := load(t)
	filled := map[int]int{}
	for _, e := range d.Elements() {
		all := e.Attributes()
		if len(all) != 25 {
			t.Fatalf("%s has %d", e.ID, len(all))
		}
		for i, a := range all {
			if a.Number != i+1 || a.Key == "" || a.LabelVi == "" || a.LabelEn == "" || (a.ValueVi == "") != (a.ValueEn == "") {
				t.Errorf("%s: %+v", e.ID, a)
			}
			if a.ValueVi != "" {
				filled[a.Number]++
			}
		}
	}
	for _, always := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 18} {
		if filled[always] != len(d.Elements()) {
			t.Errorf("attribute %d has a value in %d of %d elements", always, filled[always], len(d.Elements()))
		}
	}
	for number := 1; number <= AttributeCount; number++ {
		// The path of a service is a matter of each installation: this edition names none.
		if (filled[number] == 0) != (number == 23) {
			t.Errorf("attribute %d has a value in %d elements", number, filled[number])
		}
	}
	number, _ := d.Element("person.number")
	all := number.Attributes()
	for _, want := range []struct {
		number int
		vi, en string
	}{
		{1, "person.number", "person.number"},
		{2, "Số định danh cá nhân", "Personal identification number"},
		{5, "DOM-HUMAN; dữ liệu chủ", "DOM-HUMAN; master data"},
		{8, "G01", "G01"},
		{10, "1.0; đã công bố", "1.0; published"},
		{15, "personal_number", "personal_number"},
		{16, "chuỗi ký tự", "text"},
		{17, "12 chữ số", "12 digits"},
		{18, "xsd:string", "xsd:string"},
	} {
		if got := all[want.number-1]; got.ValueVi != want.vi || got.ValueEn != want.en {
			t.Errorf("%d: %+v", want.number, got)
		}
	}
	ethnicity, _ := d.Element("person.ethnicity")
	if business := ethnicity.Attributes()[13]; business.ValueVi != "dữ liệu cá nhân nhạy cảm" || business.ValueEn != "sensitive personal data" {
		t.Errorf("%+v", business)
	}
}

// Every key of an element belongs to one of the 25 attributes, and every attribute but the
// computed ones has a key.
func TestAttributeNumbers_CoverEveryKey(t *testing.T) {
	node, err := MarshalElement(&Element{ID: "a.b"})
	if err != nil || !strings.Contains(string(node), "id: a.b") {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, key := range elementKeys() {
		number := attributeNumber(key)
		if number == AttributeCount && key != "rules" {
			t.Errorf("%s belongs to no attribute", key)
		}
		seen[number] = true
	}
	if len(seen) != AttributeCount {
		t.Errorf("only %d attributes have a key: %v", len(seen), seen)
	}
}

func TestDomains(t *testing.T) {
	d := load(t)
	core := 0
	for _, domain := range d.Domains() {
		if domain.Core {
			core++
		}
	}
	if core != 6 {
		t.Errorf("%d core domains", core)
	}
	for prefix, want := range map[string]string{
		"person": "DOM-HUMAN", "organisation": "DOM-ORG", "vehicle": "DOM-ASSET", "parcel": "DOM-CADASTRAL",
		"address": "DOM-ADDRESS", "unit": "DOM-GEO", "link": "DOM-GEO", "record": "DOM-COMMON",
	} {
		if domain, found := d.DomainOfPrefix(prefix); !found || domain.ID != want {
			t.Errorf("%s belongs to %q, want %s", prefix, domain.ID, want)
		}
	}
	if _, found := d.DomainOfPrefix("nothing"); found {
		t.Error("an unknown prefix has a domain")
	}
	if human, found := d.DomainByID("DOM-HUMAN"); !found || human.NameVi != "Con người" {
		t.Errorf("%+v", human)
	}
}

func FuzzParseElement(f *testing.F) {
	d := load(f)
	for i := 0; i < len(d.Elements()); i += 10 {
		text, err := MarshalElement(&d.Elements()[i])
		if err != nil {
			f.Fatal(err)
		}
		data, err := json.Marshal(d.Elements()[i])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(data)
	}
	f.Add([]byte("id: [\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseElement("fuzz", data)
		if err != nil {
			return
		}
		text, err := MarshalElement(e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseElement("again", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		second, err := MarshalElement(again)
		if err != nil || string(second) != string(text) {
			t.Fatalf("%v\n%s\n%s", err, text, second)
		}
	})
}

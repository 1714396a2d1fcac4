package dictionary

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

const mappedDefinition = `
dataset: xa.cong_dan
title_vi: "Công dân: #1"
table: public.cong_dan
identity: [personal_number]
rows:
  - {column: ma_tinh, in: ["01", ""]}
columns:
  - {column: so_dinh_danh, element: person.number, required: false}
  - {columns: [ho_dem, ten], element: person.full_name, transforms: [collapse]}
  - {column: ngay_sinh, element: person.birth_date, transforms: ["date:02/01/2006"]}
  - {column: gt, element: person.sex, transforms: ["code:gioi"], handling: mask, first: 1}
codes:
  gioi: {"0": "1", "": "3"}
rules:
  - {code: xa.songlau, vi: Sống lâu, en: Old, group: out_of_range, criterion: dung, field: birth_date, check: {min: "1900-01-01"}}
declared: 100
interval: 24h
others: keep
`

func mappedColumns() []ColumnSample {
	text := func(name string) ColumnSample {
		return ColumnSample{Column: lienthong.Column{Name: name, SourceType: "text", Kind: lienthong.Text, Nullable: true}}
	}
	return []ColumnSample{text("so_dinh_danh"), text("ho_dem"), text("ten"), text("ngay_sinh"), text("gt"), text("ma_tinh"), text("so_dien_thoai"), text("la_lung")}
}

func TestDefinitionYAML_ReadsBack(t *testing.T) {
	def, err := ParseDefinition("a.yaml", []byte(mappedDefinition))
	if err != nil {
		t.Fatal(err)
	}
	text, err := def.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseDefinition("a.yaml", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	ignoreLines := cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), "Line") }, cmp.Ignore())
	if diff := cmp.Diff(def, again, ignoreLines); diff != "" {
		t.Errorf("%s\n%s", diff, text)
	}
}

func TestMappingDraft_KeepsWhatItDoesNotSpeakOf(t *testing.T) {
	d := load(t)
	def, err := ParseDefinition("a.yaml", []byte(mappedDefinition))
	if err != nil {
		t.Fatal(err)
	}
	draft, proposals, err := d.ProposeMapping(def.Dataset, def.Table, mappedColumns(), def)
	if err != nil || len(proposals) != 8 {
		t.Fatal(err)
	}
	at := func(name string) *MappedColumn {
		return &draft.Columns[slices.IndexFunc(draft.Columns, func(c MappedColumn) bool { return c.Column == name })]
	}
	if !slices.Equal(draft.Key, []string{"so_dinh_danh"}) || !at("gt").Confirmed || !at("ten").Joined || at("so_dien_thoai").Element != "person.phone" || at("so_dien_thoai").Confirmed || at("la_lung").Element != "" {
		t.Fatalf("%+v", draft)
	}
	at("gt").Element, at("gt").Transforms = "", nil
	at("so_dinh_danh").Element = "person.old_identity_number" // the identity follows its column
	body, err := json.Marshal(draft)
	if err != nil {
		t.Fatal(err)
	}
	var read MappingDraft
	if err := json.Unmarshal(body, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(draft, &read); diff != "" {
		t.Fatal(diff)
	}
	got, err := read.Render(d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"old_identity_number"}, got.Identity); diff != "" {
		t.Error(diff)
	}
	if len(got.Rules) != 1 || len(got.Rows) != 1 || got.Declared != 100 || got.Codes["gioi"][""] != "3" || len(got.Columns) != 3 || got.Columns[0].Required == nil {
		t.Errorf("%+v", got)
	}
	// Rendered again it is the same.
	first := read.Definition
	if _, err := read.Render(d); err != nil || read.Definition != first {
		t.Errorf("%v\n%s", err, cmp.Diff(first, read.Definition))
	}
}

func TestMappingDraft_SaysWhatIsWrong(t *testing.T) {
	d := load(t)
	for _, tt := range []struct {
		name, want string
		change     func(*MappingDraft)
	}{
		{"nothing", "", func(*MappingDraft) {}},
		{"no key", "mapping.key", func(m *MappingDraft) { m.Key = nil }},
		{"a key that is not there", "mapping.key", func(m *MappingDraft) { m.Key = []string{"khong_co"} }},
		{"an element that is not there", "mapping.element", func(m *MappingDraft) { m.Columns[0].Element = "person.nothing" }},
	} {
		draft, _, err := d.ProposeMapping(lienthong.DatasetID{Database: "xa", Name: "cong_dan"}, "cong_dan", mappedColumns(), nil)
		if err != nil {
			t.Fatal(err)
		}
		draft.Key = []string{"so_dinh_danh"}
		tt.change(draft)
		def, err := draft.Render(d)
		if lienthong.ErrorCode(err) != tt.want || (def == nil) != (tt.want != "") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

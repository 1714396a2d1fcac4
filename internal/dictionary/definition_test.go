package dictionary

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/lienthong/lienthong"
	"go.yaml.in/yaml/v3"
)

const minimal = `
dataset: a.b
title_vi: Thử
table: t
identity: [record_key]
columns:
  - {column: k, element: record.key}
`

func TestParseDefinitionReportsEverythingAtOnce(t *testing.T) {
	tests := []struct {
		name, yaml string
		want       []string // code@line
	}{
		{"minimal", minimal, nil},
		{"empty", "", []string{"definition.empty@"}},
		{"only a comment", "# nothing\n", []string{"definition.empty@"}},
		{"not YAML", "a: [1\nb: }", []string{"definition.syntax@1"}},
		{"two documents", minimal + "---\na: 1\n", []string{"definition.syntax@8"}},
		{"a list", "- a\n- b\n", []string{"definition.type@1"}},
		{
			"unknown and doubled keys, wrong types", minimal + "titel_en: x\ntable: u\ndeclared: viele\nstate_secret: yes\nidentity: x\nrules:\n  - {code: [1]}\n",
			[]string{"definition.key@8", "definition.key@9", "definition.type@10", "definition.type@11", "definition.key@12", "definition.type@14"},
		},
		{"bad dataset name", strings.Replace(minimal, "a.b", "A-b", 1), []string{"dataset.name@2"}},
		{"everything missing", "title_en: x\n", []string{"definition.missing@", "definition.missing@", "definition.missing@", "definition.missing@", "definition.missing@"}},
		{"alias", "title_vi: &a x\ntitle_en: *a\n", []string{"definition.alias@2"}},
		{
			"bad mappings", minimal + `  - {element: person.sex}
  - {column: a, columns: [b], element: person.sex}
  - {column: a}
  - {column: a, element: x.y, field: "Tên"}
  - {column: a, element: x.y, field: version}
  - {column: a, element: x.y, transforms: [trimm, "date:2/1/06", "pad:x", "part:any", "code:", "trim:1", "decimal:dot"]}
`,
			[]string{"mapping.column@8", "mapping.column@9", "mapping.element@10", "mapping.field@11", "mapping.field@12", "mapping.transform@13", "mapping.transform@13", "mapping.transform@13", "mapping.transform@13", "mapping.transform@13", "mapping.transform@13", "mapping.transform@13"},
		},
		{
			"bad rules", minimal + `others: maybe
interval: 24
declared: -1
rules:
  - {code: x, vi: a, en: b, group: wrong, criterion: dung, field: f, check: {required: true}}
  - {code: x, vi: a, en: b, group: stale, criterion: fast, field: f, check: {max_age: 5y, digits: 3}}
  - {code: y, vi: a, group: stale, criterion: song, check: {pattern: "("}}
  - {vi: a, en: b, group: stale, criterion: song, field: f, check: {}}
  - {code: z, vi: a, en: b, group: stale, criterion: song, field: f, check: {min: soon, max: "now-5"}}
  - {code: w, vi: a, en: b, group: stale, criterion: song, field: f, weight: -1, check: {pattern: "a"}}
set_rules:
  - {code: z, vi: a, en: b, group: duplicate, criterion: sach, unique: [a, b], reference: {to: x}}
`,
			[]string{
				"definition.others@", "definition.interval@", "definition.declared@", "rule.group@12", "rule.criterion@13", "rule.check@13", "rule.code@13",
				"rule.text@14", "rule.check@14", "rule.field@14", "rule.code@15", "rule.check@15", "rule.check@16", "rule.check@16", "rule.weight@17", "rule.check@17",
				"rule.set@19", "rule.set@19", "rule.set@19", "rule.code@19",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			def, err := ParseDefinition("f.yaml", []byte(tt.yaml))
			got := placed(t, err)
			want := slices.Clone(tt.want)
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, err)
			}
			if (def == nil) != (err != nil) {
				t.Errorf("definition %v with error %v", def, err)
			}
		})
	}
}

// placed lists code@line of joined errors.
func placed(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("not joined: %v", err)
	}
	var list []string
	for _, one := range joined.Unwrap() {
		coded, ok := one.(*lienthong.Error) //nolint:errorlint // each is one, not wrapped
		if !ok {
			t.Fatalf("not coded: %v", one)
		}
		_, line, _ := strings.Cut(coded.Where, ":")
		list = append(list, coded.Code+"@"+line)
	}
	return list
}

func TestScalarsAreTakenAsWritten(t *testing.T) {
	def, err := ParseDefinition("f.yaml", []byte(minimal+"codes:\n  t: {01: N, yes: 0x10, 1.0: no}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]string{"t": {"01": "N", "yes": "0x10", "1.0": "no"}}
	if diff := cmp.Diff(want, def.Codes); diff != "" {
		t.Error(diff)
	}
	if def.Others != DropOthers || def.Columns[0].Line != 7 || def.File != "f.yaml" {
		t.Errorf("%+v", def)
	}
}

func TestTheDocumentedExampleCompiles(t *testing.T) {
	page, err := os.ReadFile("../../docs/dictionary.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the page has no example")
	}
	def, err := ParseDefinition("docs/dictionary.md", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	columns := []lienthong.Column{
		{Name: "ma_ban_ghi"},
		{Name: "so_dinh_danh"},
		{Name: "ho_dem"},
		{Name: "ten"},
		{Name: "ngay_sinh"},
		{Name: "gioi_tinh"},
		{Name: "so_dinh_danh_cha"},
		{Name: "cap_nhat_luc", Kind: lienthong.Timestamp},
		{Name: "Nghề nghiệp"},
	}
	mapper, err := load(t).Compile(def, columns, 3)
	if err != nil {
		t.Fatal(err)
	}
	if mapped, total := mapper.Mapped(); mapped != 8 || total != 9 {
		t.Errorf("%d of %d mapped", mapped, total)
	}
	if mapper.Shape.Version != 3 || mapper.Shape.Dataset.String() != "population.person" {
		t.Errorf("%+v", mapper.Shape)
	}
	last := mapper.Shape.Fields[len(mapper.Shape.Fields)-1]
	want := lienthong.Field{Name: "nghe_nghiep", LabelVi: "Nghề nghiệp", LabelEn: "Nghề nghiệp", Personal: true}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Error(diff)
	}
	for _, line := range strings.Split(string(page), "\n") { // every transformation of the table is real
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cell, _, _ := strings.Cut(line[1:], "|")
		for _, text := range strings.Split(cell, ",") {
			text = strings.Trim(text, " `")
			if strings.HasSuffix(text, ":…") || text == "code:name" {
				continue
			}
			if _, _, err := parseTransform(text); err != nil {
				t.Errorf("the page shows %q: %v", text, err)
			}
		}
	}
}

func TestCompileReportsEverythingAtOnce(t *testing.T) {
	d := load(t)
	columns := []lienthong.Column{
		{Name: "k"},
		{Name: "id", Kind: lienthong.Integer},
		{Name: "Version"},
		{Name: "raw", Kind: lienthong.Binary},
		{Name: "n", Kind: lienthong.Integer},
		{Name: "ts", Kind: lienthong.Timestamp},
	}
	tests := []struct {
		name, add string
		want      []string
	}{
		{"fine", "", nil},
		{"state secret", "state_secret: true\n", []string{"definition.state_secret@"}},
		{
			"all at once", `  - {column: kk, element: person.phone}
  - {column: version, element: person.email}
  - {column: k, element: person.emial}
  - {column: n, element: person.birth_date}
  - {column: raw, element: address.line}
  - {column: raw, element: address.line, field: raw, transforms: [trim]}
  - {column: k, element: person.number, transforms: ["date:2006-01-02"]}
  - {column: k, element: person.sex, transforms: ["code:nothing"]}
  - {column: k, element: person.phone, field: record_key}
  - {columns: [k, raw], element: person.full_name}
`,
			[]string{
				"mapping.column@8", "mapping.column@9", "mapping.element@10", "mapping.kind@11", "mapping.kind@12", "mapping.kind@13",
				"mapping.transform@14", "mapping.code@15", "mapping.field@16", "mapping.kind@17",
			},
		},
		{
			"rules and identity", `rules:
  - {code: a, vi: a, en: b, group: stale, criterion: song, field: nope, check: {max_age: 5y}}
  - {code: b, vi: a, en: b, group: stale, criterion: song, field: record_key, check: {code_list: nope}}
  - {code: c, vi: a, en: b, group: stale, criterion: song, field: record_key, check: {not_before: nope}}
  - {code: d, vi: a, en: b, group: stale, criterion: song, field: record_key, check: {person_number: {sex: nope}}}
set_rules:
  - {code: e, vi: a, en: b, group: duplicate, criterion: sach, unique: [nope]}
  - {code: f, vi: a, en: b, group: duplicate, criterion: sach, field: record_key, match: {dataset: a.c, key: nope, to: x, fields: {nope: y}}}
`,
			[]string{"rule.field@9", "list.unknown@10", "rule.field@11", "rule.field@12", "rule.field@14", "rule.field@15"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			def, err := ParseDefinition("f.yaml", []byte(minimal+tt.add))
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Compile(def, columns, 1)
			got := placed(t, err)
			slices.Sort(got)
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, err)
			}
		})
	}
	def, err := ParseDefinition("f.yaml", []byte(strings.Replace(minimal, "[record_key]", "[key, key]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Compile(def, columns, 1); len(placed(t, err)) != 2 {
		t.Errorf("identity that is not mapped: %v", err)
	}
}

func TestKeptColumnsGetSafeNames(t *testing.T) {
	def, err := ParseDefinition("f.yaml", []byte(minimal+"others: keep\n"))
	if err != nil {
		t.Fatal(err)
	}
	columns := []lienthong.Column{
		{Name: "k"},
		{Name: "id", Kind: lienthong.Integer},
		{Name: "Record Key"},
		{Name: "Địa chỉ"},
		{Name: "1x"},
		{Name: "___"},
		{Name: strings.Repeat("a", 60)},
		{Name: strings.Repeat("a", 61)},
	}
	mapper, err := load(t).Compile(def, columns, 1)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range mapper.Shape.Fields {
		names = append(names, f.Name)
		if !plainFieldName(f.Name) || reservedField(f.Name) {
			t.Errorf("bad name %q", f.Name)
		}
	}
	long := strings.Repeat("a", 36)
	want := []string{"record_key", "source_id", "record_key_2", "dia_chi", "source_1x", "source_", long, long + "_2"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestRulesCarryTheNamesOfTheShape(t *testing.T) {
	def, err := ParseDefinition("f.yaml", []byte(minimal+`  - {column: a, element: person.number}
  - {column: b, element: person.number, field: other_number, required: false}
rules:
  - {code: own, vi: a, en: b, group: contradiction, criterion: dung, check: {cel: "true"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := load(t).Compile(def, []lienthong.Column{{Name: "k"}, {Name: "a"}, {Name: "b"}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range mapper.Rules() {
		got = append(got, r.Code+"/"+r.Field)
	}
	want := []string{"record.key.required/record_key", "person.number.digits/personal_number", "person.number.digits@other_number/other_number", "own/"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	f := mapper.Shape.Fields
	if !f[0].Required || !f[1].Required || f[2].Required {
		t.Errorf("required: %+v", f)
	}
}

func FuzzParseDefinition(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(benchDefinition))
	f.Add([]byte("a: &x [*x]\n"))
	f.Add([]byte("? {a: b}\n: c\n"))
	f.Add([]byte("dataset: a.b\n\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		def, err := ParseDefinition("f.yaml", data)
		if err != nil {
			if len(placed(t, err)) == 0 {
				t.Fatal("an error without a problem")
			}
			return
		}
		// What was accepted can be written and read again.
		text, err := yaml.Marshal(written(def))
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseDefinition("f.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(written(def), written(again), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// written is what of a definition must survive a round trip; lines differ.
func written(def *Definition) map[string]any {
	var columns []map[string]any
	for _, c := range def.Columns {
		m := map[string]any{"element": c.Element}
		if c.Column != "" {
			m["column"] = c.Column
		} else {
			m["columns"] = c.Columns
		}
		if c.Field != "" {
			m["field"] = c.Field
		}
		if len(c.Transforms) > 0 {
			m["transforms"] = c.Transforms
		}
		columns = append(columns, m)
	}
	return map[string]any{
		"dataset": def.Dataset.String(), "title_vi": def.TitleVi, "table": def.Table, "identity": def.Identity, "columns": columns,
		"others": def.Others, "declared": def.Declared, "interval": def.Interval, "codes": def.Codes,
	}
}

package publish

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// publishedSchemas is the folder of schemas that others publish; they are not copied into the project.
func publishedSchemas(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("LIENTHONG_SCHEMAS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "schemas")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Skipf("no %s: set LIENTHONG_SCHEMAS to its folder", name)
	}
	return path
}

func odcsSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	data, err := os.ReadFile(publishedSchemas(t, "odcs-json-schema-v3.1.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("odcs.json", decoded(t, data)); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("odcs.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// yamlAsJSON is a YAML text as any other reader of YAML sees it.
func yamlAsJSON(t testing.TB, data []byte) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(data, &value); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, text)
}

func contractText(t testing.TB, e *Exports, def *dictionary.Definition, terms Terms) []byte {
	t.Helper()
	contract, err := e.Contract(def, terms)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, func(b *bytes.Buffer) error { return contract.Write(b) })
}

// registered is an entry with everything that an export may use.
func registeredEntry(database string, names ...string) catalog.Entry {
	entry := catalog.Entry{
		Code: database, NameVi: "CSDL quốc gia về \"dân cư\"", NameEn: "Population", Class: lienthong.NationalDatabase, Owner: "G01", Manager: "G01",
		Domains:    []string{"DOM-HUMAN"},
		LegalBases: []catalog.LegalBasis{{Type: "decree", Number: "47/2024/NĐ-CP", Article: "Phụ lục", TitleVi: "Danh mục CSDL quốc gia", Date: "2024-05-09"}},
		PurposeVi:  "Quản lý dân cư", PurposeEn: "To know who lives here",
		Scope:   catalog.Scope{Territory: "toàn quốc", Since: "2017"},
		Objects: []catalog.DataObject{{Name: "unit", NameVi: "Đơn vị", NameEn: "Unit"}, {Name: "man", NameVi: "Người", Personal: true}},
		People: []catalog.Contact{
			{Duty: catalog.StewardDuty, Name: "Nguyễn Thị Quản Trị", Phone: "(024) 1234-5678", Email: "du lieu@bca.gov.vn", Since: "2026-01-01"},
			{Duty: catalog.OwnerDuty, Name: "Trần Văn Chủ"},
		},
	}
	for _, name := range names {
		entry.Datasets = append(entry.Datasets, catalog.Dataset{
			Name: name, TitleVi: "Tập " + name, TitleEn: "Set " + name, Access: catalog.SharedAccess, Importance: catalog.CoreData,
			Shareable: true, Updated: "24h", Conditions: "Theo thoả thuận", Retention: catalog.Retention{Years: 10},
		})
	}
	return entry
}

// extraDefinition has what the demo's definitions do not use.
const extraDefinition = `
dataset: extra.person
title_vi: "Người: tất cả"
table: "bang_nguoi"
identity: [personal_number, full_name]
others: keep
declared: 12
interval: 1y6mo
rows:
  - {field: commune, under: "96"}
  - {column: trang_thai, in: ["1", "yes"]}
columns:
  - {column: so, element: person.number, transforms: [digits, "pad:12"], required: false}
  - {columns: [ho_dem, ten], element: person.full_name}
  - {column: ns, element: person.birth_date, field: born, transforms: ["date:02/01/2006", "date:20060102"], handling: keep}
  - {column: gt, element: person.sex, transforms: ["code:gioi"], optional: true}
  - {column: dt, element: person.phone, handling: mask, last: 2}
  - {column: mail, element: person.ethnicity, handling: drop}
  - {column: xa, element: address.commune, handling: keep}
rules:
  - {code: extra.b, vi: "sai: một", en: wrong, group: out_of_range, criterion: dung, field: born, weight: 3, blocking: true, check: {min: "1900-01-01", max: now}}
  - {code: extra.a, vi: sai, en: wrong, group: wrong_format, criterion: sach, field: full_name, check: {pattern: "^[^0-9]+$"}}
  - {code: extra.cel, vi: sai, en: wrong, group: contradiction, criterion: dung, field: full_name, check: {cel: 'full_name != "yes"'}}
  - {code: extra.drop, vi: sai, en: wrong, group: out_of_range, criterion: dung, field: ethnicity, check: {one_of: ["1", "true"]}}
set_rules:
  - {code: extra.match, vi: sai, en: wrong, group: reference_mismatch, criterion: thong_nhat, field: full_name, match: {dataset: population.person, key: personal_number, to: personal_number, fields: {full_name: full_name}}}
codes:
  gioi: {"1": M, "no": F, "0": "U"}
`

// A contract becomes a definition and the same contract again; nothing stays behind.
func TestContract_RoundTrips(t *testing.T) {
	e := testExports(t)
	schema := odcsSchema(t)
	all := definitions(t)
	extra, err := dictionary.ParseDefinition("extra.yaml", []byte(extraDefinition))
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, extra)
	for _, def := range all {
		entry := registeredEntry(def.Dataset.Database, def.Dataset.Name)
		for _, terms := range []Terms{{}, e.TermsOf(&entry, def.Dataset.Name)} {
			text := contractText(t, e, def, terms)
			if err := schema.Validate(yamlAsJSON(t, text)); err != nil {
				t.Fatalf("%s: %v\n%s", def.Dataset, err, text)
			}
			back, err := e.ReadContract("contract.yaml", text)
			if err != nil {
				t.Fatal(err)
			}
			if len(back.Drafts) != 1 || back.Drafts[0].Definition == nil {
				t.Fatalf("%s: %v", def.Dataset, back.Drafts[0].Problems)
			}
			for _, lost := range back.NotUnderstood {
				t.Errorf("%s: %v", def.Dataset, lost)
			}
			got := back.Drafts[0].Definition
			if diff := cmp.Diff(string(text), string(contractText(t, e, got, back.Terms))); diff != "" {
				t.Errorf("%s: %s", def.Dataset, diff)
			}
			byCode := cmpopts.SortSlices(func(a, b dictionary.Rule) bool { return a.Code < b.Code })
			byColumn := cmpopts.SortSlices(func(a, b dictionary.ColumnMapping) bool { return a.Element < b.Element })
			options := cmp.Options{
				byCode, byColumn, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(dictionary.Definition{}, "File"), cmpopts.IgnoreFields(dictionary.ColumnMapping{}, "Line"),
				cmpopts.IgnoreFields(dictionary.Rule{}, "Line"), cmpopts.IgnoreFields(dictionary.SetRule{}, "Line"), cmpopts.IgnoreFields(dictionary.RowFilter{}, "Line"),
			}
			if diff := cmp.Diff(def, got, options); diff != "" {
				t.Errorf("%s: %s", def.Dataset, diff)
			}
		}
	}
}

// What an engineer changes in our contract by hand is either taken over or told.
func TestContract_TellsWhatItDoesNotUnderstand(t *testing.T) {
	e := testExports(t)
	def := definitions(t)[0]
	text := string(contractText(t, e, def, Terms{}))
	cases := []struct{ name, old, new, place string }{
		{"description", "description: Mã ", "description: Khác ", ".description"},
		{"tags", "logicalType: object\n", "logicalType: object\n    tags: [a]\n", ".tags[0]"},
		{"unknown", "logicalType: object\n", "logicalType: object\n    surprise: {deep: 1}\n", ".surprise.deep"},
		{"sql", "    customProperties:\n      - property: dataset", "    quality2: [{type: sql, query: SELECT 1}]\n    customProperties:\n      - property: dataset", ".quality2[0].query"},
		{"element rule", "severity: error", "severity: info", ".severity"},
	}
	for _, c := range cases {
		changed := strings.Replace(text, c.old, c.new, 1)
		if changed == text {
			t.Fatalf("%s: nothing to change in\n%s", c.name, text)
		}
		back, err := e.ReadContract("c.yaml", []byte(changed))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(back.NotUnderstood, func(lost *lienthong.Error) bool { return strings.HasSuffix(lost.Where, c.place) }) {
			t.Errorf("%s is not told: %v", c.name, back.NotUnderstood)
		}
	}
}

const foreignContract = `
apiVersion: v3.0.2
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
name: Khách hàng
version: 2.1.0
status: active
domain: Bán lẻ
price: {priceAmount: 9.95, priceCurrency: USD, priceUnit: megabyte}
team:
  - {username: an@example.org, role: owner, dateIn: "2024-01-01"}
surprise: {a: [1, {b: 2}]}
schema:
  - name: Customer Table
    physicalName: kh_001
    tags: [gold]
    properties:
      - {name: ID, primaryKey: true, primaryKeyPosition: 1, logicalType: string, physicalType: varchar(12), required: true,
         authoritativeDefinitions: [{url: "https://dulieu.example.gov.vn/dictionary/elements/person.number", type: x}], partitioned: true}
      - name: ho_ten
        logicalType: string
        logicalTypeOptions: {maxLength: 50, minLength: 2, pattern: "[A-Z]", format: email}
        unique: true
        quality:
          - {metric: nullValues, mustBe: 0, description: "không được trống"}
          - {metric: invalidValues, mustBe: 0, arguments: {validValues: [A, 1]}}
          - {metric: invalidValues, mustBeLessThan: 5, unit: percent}
          - {type: sql, query: "SELECT 1", mustBe: 0}
      - {name: tuoi, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 150, exclusiveMaximum: 151}, classification: restricted}
      - {name: dia_chi, logicalType: object, properties: [{name: pho, logicalType: string}]}
    quality:
      - {type: library, metric: duplicateValues, mustBe: 0, arguments: {properties: [ID, ho_ten]}}
      - {type: library, metric: rowCount, mustBeGreaterThan: 10}
  - name: other
    properties: [{name: record_key, logicalType: string, primaryKey: true, authoritativeDefinitions: [{url: "https://dulieu.example.gov.vn/dictionary/elements/record.key", type: x}]}]
slaProperties:
  - {property: latency, value: 4, unit: d}
  - {property: frequency, value: 1, unit: day}
`

func TestContract_ImportsForeignOnes(t *testing.T) {
	e := testExports(t)
	if err := odcsSchema(t).Validate(yamlAsJSON(t, []byte(strings.Replace(foreignContract, "surprise: {a: [1, {b: 2}]}\n", "", 1)))); err != nil {
		t.Fatalf("the example is no contract: %v", err)
	}
	back, err := e.ReadContract("foreign.yaml", []byte(foreignContract))
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Drafts) != 2 {
		t.Fatalf("%d drafts", len(back.Drafts))
	}
	first, second := back.Drafts[0], back.Drafts[1]
	if first.Definition != nil || second.Definition == nil {
		t.Fatalf("first %v, second %v", first.Definition, second.Problems)
	}
	if got := second.Definition; got.Dataset.String() != "ban_le.other" || got.Interval != "1d" || len(got.Columns) != 1 || got.Columns[0].Element != "record.key" {
		t.Errorf("%+v", got)
	}
	unbound := 0
	for _, p := range first.Problems {
		if p.Code == "contract.element" {
			unbound++
			if strings.Contains(p.Where, "ho_ten") && !strings.Contains(p.Hint, "person.full_name") {
				t.Errorf("no proposal: %v", p)
			}
		}
	}
	if unbound != 3 {
		t.Errorf("%d properties without element: %v", unbound, first.Problems)
	}
	for _, want := range []string{"dataset: ban_le.customer_table", "table: kh_001", "element: person.number", "column: ID", "min_length: 2", "max_length: 50", "pattern: ^.*(?:[A-Z]).*$", "one_of:", "required: true", "không được trống", "min: \"0\"", "max: \"150\"", "unique:"} {
		if !bytes.Contains(first.YAML, []byte(want)) {
			t.Errorf("the draft lacks %q:\n%s", want, first.YAML)
		}
	}
	var places []string
	for _, lost := range back.NotUnderstood {
		places = append(places, strings.TrimPrefix(lost.Where, "foreign.yaml: schema"))
	}
	for _, want := range []string{
		"[Customer Table].tags[0]", "[Customer Table].properties[ID].physicalType", "[Customer Table].properties[ID].partitioned",
		"[Customer Table].properties[ho_ten].logicalTypeOptions.format", "[Customer Table].properties[ho_ten].quality[invalidValues#2].mustBeLessThan",
		"[Customer Table].properties[ho_ten].quality[3].query", "[Customer Table].properties[tuoi].logicalTypeOptions.exclusiveMaximum",
		"[Customer Table].properties[tuoi].classification", "[Customer Table].properties[dia_chi].properties[pho].name", "[Customer Table].quality[rowCount].mustBeGreaterThan",
	} {
		if !slices.Contains(places, want) {
			t.Errorf("%s is not told: %q", want, places)
		}
	}
	for _, understood := range []string{"quality[nullValues]", "quality[duplicateValues]", "maxLength", ".unique"} {
		for _, place := range places {
			if strings.Contains(place, understood) {
				t.Errorf("%s was understood, and is told as if not", place)
			}
		}
	}
	// The terms are kept to the last detail, known or not.
	again := contractText(t, e, second.Definition, back.Terms)
	for _, want := range []string{"id: 53581432-6c55-4ba2-a65f-72344a91553a", "version: 2.1.0", "priceAmount: 9.95", "an@example.org", "b: 2", "property: latency", "value: 4"} {
		if !bytes.Contains(again, []byte(want)) {
			t.Errorf("%q got lost:\n%s", want, again)
		}
	}
}

// A foreign contract whose properties point to our elements is a definition at once.
func TestContract_TakesOverForeignNames(t *testing.T) {
	e := testExports(t)
	bound := func(element string) string {
		return "authoritativeDefinitions: [{url: \"" + e.elementURL(element) + "\", type: x}]}\n"
	}
	back, err := e.ReadContract("f.yaml", []byte("apiVersion: v3.1.0\nkind: DataContract\nid: population.foreign\nversion: 1.0.0\nstatus: active\nschema:\n  - name: t\n    properties:\n"+
		"      - {name: Mã số, physicalName: MA_SO, primaryKey: true, primaryKeyPosition: 2, "+bound("person.number")+
		"      - {name: ID, primaryKey: true, primaryKeyPosition: 1, required: true, "+bound("record.key")+
		"      - {name: full_name, transformSourceObjects: [ho, ten], "+bound("person.full_name")))
	if err != nil {
		t.Fatal(err)
	}
	def := back.Drafts[0].Definition
	if def == nil {
		t.Fatalf("%v\n%s", back.Drafts[0].Problems, back.Drafts[0].YAML)
	}
	if def.Dataset.String() != "population.foreign" || !slices.Equal(def.Identity, []string{"record_key", "ma_so"}) {
		t.Errorf("%s is named by %q", def.Dataset, def.Identity)
	}
	var got []string
	for _, m := range def.Columns {
		got = append(got, m.Column+strings.Join(m.Columns, "+")+" "+m.Element+" "+m.Field)
	}
	if want := []string{"MA_SO person.number ma_so", "ID record.key ", "ho+ten person.full_name "}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestReadContract_RefusesWhatIsNone(t *testing.T) {
	e := testExports(t)
	for text, code := range map[string]string{
		"":                                       "contract.syntax",
		"[]":                                     "contract.syntax",
		"a: [":                                   "contract.syntax",
		"a: 1\na: 2":                             "contract.syntax",
		"a: &x 1\nb: *x":                         "contract.syntax",
		"kind: DataContract\n---\nkind: other":   "contract.syntax",
		"kind: Other":                            "contract.version",
		"kind: DataContract\napiVersion: v2.2.2": "contract.version",
		"kind: DataContract\napiVersion: v3.1.0": "contract.schema",
		"kind: DataContract\napiVersion: v3.1.0\nschema: 1": "contract.schema",
	} {
		if _, err := e.ReadContract("x.yaml", []byte(text)); lienthong.ErrorCode(err) != code {
			t.Errorf("%q: %v", text, err)
		}
	}
	secret := &dictionary.Definition{Dataset: lienthong.DatasetID{Database: "a", Name: "b"}, StateSecret: true}
	if _, err := e.Contract(secret, Terms{}); lienthong.ErrorCode(err) != "definition.state_secret" {
		t.Errorf("a state secret: %v", err)
	}
}

// Whatever a file holds, reading it ends, and what is read can be written as a contract again.
func FuzzReadContract(f *testing.F) {
	e := testExports(f)
	f.Add([]byte(foreignContract))
	def, err := dictionary.ParseDefinition("extra.yaml", []byte(extraDefinition))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(contractText(f, e, def, Terms{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		back, err := e.ReadContract("f.yaml", data)
		if err != nil {
			return
		}
		for i := range back.Drafts {
			if def := back.Drafts[i].Definition; def != nil {
				text := contractText(t, e, def, back.Terms)
				again, err := e.ReadContract("f.yaml", text)
				if err != nil || len(again.Drafts) != 1 || again.Drafts[0].Definition == nil {
					t.Fatalf("%v: a contract that we wrote cannot be read:\n%s", err, text)
				}
			}
		}
	})
}

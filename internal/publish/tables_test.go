package publish

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/xuri/excelize/v2"
)

// awkward is an element whose every attribute has something that tables, spreadsheets or YAML would spoil.
func awkward() dictionary.Element {
	return dictionary.Element{
		ID: "person.awkward", Name: "awkward", NameVi: "=HYPERLINK(\"http://x\")", NameEn: "+1-2", DefinitionVi: " dấu cách hai đầu ", DefinitionEn: "line one\nline two; \"quoted\", 'x'",
		ContextVi: "'=1", ContextEn: "''@x", Group: "DOM-HUMAN", Class: dictionary.MasterLayer, ObjectVi: "[không phải JSON", ObjectEn: "\"not JSON", PropertyVi: "null", PropertyEn: "~",
		Creator: "G01", Owner: "*provinces", Language: "vi", Version: dictionary.Version{Major: 2, Minor: 10}, Status: dictionary.Proposed, Source: "Luật A; Luật B, Điều 1",
		Documents: []string{"Thông tư 1; 2", "a\nb", "", " x "}, Synonyms: []string{"ho_ten", "ten"}, Related: []string{"person.full_name", "-từ"},
		Business: []dictionary.Note{{Vi: "a / b", En: "c"}, {Vi: "d", En: "e\nf"}}, Personal: true, Sensitive: true, Required: true, Identifier: true,
		Kind: lienthong.Text, Format: "\t|", MaxLength: 12, Unit: "m²", RDF: "xsd:string",
		Relations: []dictionary.Relation{{Type: dictionary.PartOf, Target: "person.full_name"}, {Type: dictionary.SeeAlso, Target: "person.sex"}},
		Technical: []dictionary.Note{{Vi: "một", En: "one"}, {Vi: "hai", En: "two"}}, CodeList: "sex", Normalise: []string{"trim", "date:02/01/2006"}, Access: "/x?a=1,2",
		Alignments: []dictionary.Alignment{{Scheme: "schema.org", ID: "name", Kind: dictionary.ExactAlignment}, {Scheme: "niem", ID: "PersonName", Kind: dictionary.RelatedAlignment}},
		Rules: []dictionary.Rule{
			{Code: "a.b", Vi: "sai: \"x\"", En: "wrong", Group: lienthong.WrongFormat, Criterion: lienthong.Clean, Blocking: true, Weight: 3, Check: dictionary.Check{OneOf: []string{"1", "yes", "😀", "\u0085"}}},
			{Code: "a.c", Vi: "sai", En: "wrong", Group: lienthong.OutOfRange, Criterion: lienthong.Correct, Check: dictionary.Check{Pattern: `^\d{2}"\\$`}},
		},
	}
}

func sameElements() cmp.Options {
	return cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(dictionary.Element{}, "Line"), cmpopts.IgnoreFields(dictionary.Rule{}, "Line")}
}

// What is exported comes back from every form as it was, whatever is in it.
func TestTables_LoseNothing(t *testing.T) {
	known := builtin(t)
	elements := append(slices.Clone(known.Elements()), awkward())
	yamlForm, err := dictionary.MarshalElements(elements)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"elements.csv":  written(t, func(b *bytes.Buffer) error { return writeElementsCSV(b, elements) }),
		"elements.xlsx": written(t, func(b *bytes.Buffer) error { return writeElementsXLSX(b, elements) }),
		"elements.yaml": yamlForm,
	} {
		back, problems := ImportElements(name, bytes.NewReader(data))
		for _, p := range problems {
			t.Errorf("%s: row %d, %s: %v", name, p.Row, p.Column, p.Err)
		}
		if diff := cmp.Diff(elements, back, sameElements()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// No cell of the CSV or the workbook can be taken for a formula.
func TestTables_AreHarmless(t *testing.T) {
	elements := []dictionary.Element{awkward()}
	csvForm := written(t, func(b *bytes.Buffer) error { return writeElementsCSV(b, elements) })
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(csvForm, []byte("\ufeff")))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	defused := 0
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.Contains("=+-@\t\r\n|%", cell[:1]) {
				t.Errorf("a dangerous cell: %q", cell)
			}
			if strings.HasPrefix(cell, "'") {
				defused++
			}
		}
	}
	if defused < 4 {
		t.Errorf("%d cells were defused", defused)
	}
	book, err := excelize.OpenReader(bytes.NewReader(written(t, func(b *bytes.Buffer) error { return writeElementsXLSX(b, elements) })))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	sheet := book.GetSheetList()[0]
	for i := range columns() {
		address, _ := excelize.CoordinatesToCellName(i+1, 2)
		formula, err := book.GetCellFormula(sheet, address)
		value, err2 := book.GetCellValue(sheet, address)
		if err != nil || err2 != nil || formula != "" || strings.HasPrefix(value, "=") {
			t.Errorf("%s: formula %q, value %q, %v %v", address, formula, value, err, err2)
		}
	}
}

func FuzzDefuse(f *testing.F) {
	for _, cell := range []string{"", "=1", "'=1", "''=1", "'", "-1", "a", "＝1", "\t=1"} {
		f.Add(cell)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		if restore(defuse(cell)) != cell {
			t.Errorf("%q became %q, restored %q", cell, defuse(cell), restore(defuse(cell)))
		}
		if strings.HasPrefix(defuse(cell), "=") {
			t.Errorf("%q is not defused", cell)
		}
	})
}

// A text of any kind survives the way through a cell of a CSV file.
func FuzzTextCell(f *testing.F) {
	for _, value := range append(nastyTexts, " a", "[1]", "\"a\"", "a\r\nb", "null", "2026-01-01") {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		element := awkward()
		element.ContextVi = value
		element.Documents = []string{value, "b"}
		element.Business = []dictionary.Note{{Vi: "x" + value, En: "y"}}
		body, err := dictionary.MarshalElement(&element)
		if err != nil {
			return
		}
		reread, err := dictionary.ParseElement("e", body)
		if err != nil || !cmp.Equal(&element, reread, sameElements()) {
			return // YAML itself cannot hold it
		}
		data := written(t, func(b *bytes.Buffer) error { return writeElementsCSV(b, []dictionary.Element{element}) })
		back, problems := ImportElements("f.csv", bytes.NewReader(data))
		if len(problems) > 0 || len(back) != 1 || !cmp.Equal(element, back[0], sameElements()) {
			t.Errorf("%q: %v %s", value, problems, cmp.Diff([]dictionary.Element{element}, back, sameElements()))
		}
	})
}

func TestColumns_AreToldApart(t *testing.T) {
	seen := map[string]string{}
	numbers := map[int]bool{}
	for _, c := range columns() {
		numbers[c.attribute] = true
		headings := []string{c.header(), c.vi, c.en, c.key, strings.ToUpper(c.vi), dictionary.PlainKey(c.vi)}
		if c.key == "identifier" { // that word is the identifier of the element
			headings = []string{c.header(), c.vi, c.en}
		}
		for _, heading := range headings {
			if found := columnOf(heading); found == nil || found.key != c.key {
				t.Errorf("%q names %v, not %s", heading, found, c.key)
			}
		}
		for _, name := range []string{c.vi, c.en} {
			key := dictionary.PlainKey(name)
			if other, twice := seen[key]; twice && other != c.key {
				t.Errorf("%q names %s and %s", name, other, c.key)
			}
			seen[key] = c.key
		}
	}
	if len(numbers) != dictionary.AttributeCount {
		t.Errorf("the table has %d attributes", len(numbers))
	}
	for _, attribute := range new(dictionary.Element).Attributes() {
		for _, label := range []string{attribute.LabelVi, attribute.LabelEn} {
			if found := columnOf(label); found == nil || found.attribute != attribute.Number {
				t.Errorf("%q names %v, not attribute %d", label, found, attribute.Number)
			}
		}
	}
}

const goodRow = "person.x,Tên,Name,Định nghĩa.,A definition.,x,Luật,1.0"

func TestImportElements_ReportsRowAndColumn(t *testing.T) {
	heading := "Mã phần tử dữ liệu,Tên tiếng Việt,name_en,3. Dinh nghia,Definition in English,Technical name,CAN CU PHAP LY,Phiên bản"
	cases := []struct {
		name, heading, row string
		column, code       string // "" and "": no problem
		elements           int
	}{
		{"good", heading, goodRow, "", "", 1},
		{"version", heading, strings.Replace(goodRow, "1.0", "một", 1), "Phiên bản", "element.version", 0},
		{"incomplete", heading, strings.Replace(goodRow, "Luật", "", 1), "", "element.incomplete", 0},
		{"identifier", heading, strings.Replace(goodRow, "person.x", "không đúng", 1), "Mã phần tử dữ liệu", "element.name", 0},
		{"flag", heading + ",Bắt buộc", goodRow + ",CÓ", "", "", 1},
		{"no flag", heading + ",Bắt buộc", goodRow + ",chắc là", "Bắt buộc", "import.value", 0},
		{"number", heading + ",Độ dài tối đa", goodRow + ",12.5", "Độ dài tối đa", "import.value", 0},
		{"kind", heading + ",Kiểu dữ liệu", goodRow + ",ngày gì đó", "Kiểu dữ liệu", "kind.unknown", 0},
		{"kind in words", heading + ",Kiểu dữ liệu", goodRow + "," + dictionary.KindWords(lienthong.Date).Vi, "", "", 1},
		{"status in words", heading + ",Trạng thái", goodRow + "," + dictionary.StatusWords(dictionary.Approved).Vi, "", "", 1},
		{"status", heading + ",Trạng thái", goodRow + ",lạ", "Trạng thái", "element.status", 0},
		{"relation", heading + ",Relation to other elements", goodRow + ",part_of", "Relation to other elements", "import.value", 0},
		{"alignment", heading + ",alignments", goodRow + ",exact nowhere x", "alignments", "element.alignment", 0},
		{"rule", heading + ",Validation rule", goodRow + `,"[{""code"": ""a""}]"`, "Validation rule", "rule.text", 0},
		{"rule key", heading + ",Validation rule", goodRow + `,"[{""cod"": ""a""}]"`, "Validation rule", "definition.key", 0},
		{"rule text", heading + ",Validation rule", goodRow + ",phải đúng", "Validation rule", "import.value", 0},
		{"unknown column", heading + ",Màu sắc", goodRow + ",đỏ", "Màu sắc", "import.column", 1},
		{"column twice", heading + ",Version", goodRow + ",2.0", "Version", "import.column", 1},
		{"too many cells", heading, goodRow + ",thừa", "", "import.value", 0},
		{"formula text", heading, strings.Replace(goodRow, "Tên", "'=Tên", 1), "", "", 1},
	}
	for _, c := range cases {
		// The row under test stands between two others, which must not suffer.
		lines := []string{"Bảng đề xuất", "", c.heading, strings.Replace(goodRow, "person.x", "person.before", 1), c.row, "", strings.Replace(goodRow, "person.x", "person.after", 1)}
		for _, separator := range []string{",", ";", "\t"} {
			text := strings.Join(lines, "\r\n")
			if separator != "," {
				var rows [][]string
				in := csv.NewReader(strings.NewReader(text))
				in.FieldsPerRecord = -1
				rows, err := in.ReadAll()
				if err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				out := csv.NewWriter(&b)
				out.Comma = []rune(separator)[0]
				if err := out.WriteAll(rows[1:]); err != nil {
					t.Fatal(err)
				}
				text = b.String()
			}
			elements, problems := ImportElements("x.CSV", strings.NewReader(text))
			if len(elements) != c.elements+2 {
				t.Errorf("%s (%q): %d elements, %v", c.name, separator, len(elements), problems)
			}
			if c.code == "" {
				for _, p := range problems {
					t.Errorf("%s: %v", c.name, p.Err)
				}
				continue
			}
			at := slices.IndexFunc(problems, func(p Problem) bool { return p.Err.Code == c.code && p.Column == c.column })
			if at < 0 {
				t.Errorf("%s: %v", c.name, problems)
				continue
			}
			if p := problems[at]; p.Err.Vi == "" || p.Err.En == "" || separator == "," && p.Row != 5 && p.Err.Code != "import.column" || p.Err.Code == "import.column" && separator == "," && p.Row != 3 {
				t.Errorf("%s: row %d, %v", c.name, p.Row, p.Err)
			}
		}
	}
}

func TestImportElements_RefusesBadFiles(t *testing.T) {
	broken := excelize.NewFile()
	defer broken.Close()
	for i, value := range strings.Split("id,name_vi,name_en,definition_vi,definition_en,name,source,version", ",") {
		address, _ := excelize.CoordinatesToCellName(i+1, 1)
		below, _ := excelize.CoordinatesToCellName(i+1, 2)
		if err := broken.SetCellValue("Sheet1", address, value); err != nil {
			t.Fatal(err)
		}
		if err := broken.SetCellValue("Sheet1", below, strings.Split(goodRow, ",")[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := broken.SetCellFormula("Sheet1", "B2", "=1+1"); err != nil {
		t.Fatal(err)
	}
	var formula bytes.Buffer
	if err := broken.Write(&formula); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, code string }{
		{"a.csv", "", "import.heading"},
		{"a.csv", "x,y\n1,2", "import.heading"},
		{"a.csv", "id\n\"a", "import.csv"},
		{"a.csv", "id\n\xff\xfe", "import.encoding"},
		{"a.csv", "id,version\nperson.x,1.0\nperson.x,1.0", "element.name"},
		{"a.doc", "id", "import.format"},
		{"a.xlsx", "no workbook", "import.xlsx"},
		{"a.yaml", "elements: 1", "definition.type"},
		{"a.csv", strings.Repeat("x", maxImport+1), "import.size"},
		{"a.csv", "id\n" + strings.Repeat("x\n", maxImportRows+5), "import.rows"},
		{"a.xlsx", formula.String(), "import.formula"},
	} {
		elements, problems := ImportElements(c.name, strings.NewReader(c.text))
		if len(elements) != 0 || len(problems) == 0 || problems[0].Err.Code != c.code {
			t.Errorf("%s: %d elements, %v", c.code, len(elements), problems)
		}
	}
	twice := "id,Tên tiếng Việt,name_en,Definition in Vietnamese,Definition in English,name,Legal basis,version\n" + goodRow + "\n" + goodRow
	elements, problems := ImportElements("a.csv", strings.NewReader(twice))
	if len(elements) != 1 || len(problems) != 1 || problems[0].Err.Code != "import.twice" || problems[0].Row != 3 {
		t.Errorf("%d elements, %v", len(elements), problems)
	}
}

func TestImportElements_KeepsTheGoodOnesOfYAML(t *testing.T) {
	good := awkward()
	first, err := dictionary.MarshalElements([]dictionary.Element{good})
	if err != nil {
		t.Fatal(err)
	}
	text := string(first) + "  - id: person.bad\n    nme: x\n"
	line := strings.Count(text, "\n")
	elements, problems := ImportElements("x.yaml", strings.NewReader(text))
	if len(elements) != 1 || elements[0].ID != good.ID {
		t.Errorf("%d elements", len(elements))
	}
	if len(problems) == 0 || problems[0].Row != line {
		t.Errorf("%v, want line %d", problems, line)
	}
}

func TestDictionaryJSON_IsTheWholeEdition(t *testing.T) {
	e := testExports(t)
	var all struct {
		Dictionary struct{ Version, URL string }
		Domains    []struct{ ID string }
		Elements   []dictionary.Element
		Lists      []struct{ ID string }
	}
	data := written(t, func(b *bytes.Buffer) error { return e.DictionaryJSON(b) })
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	known := e.config.Dictionary
	if diff := cmp.Diff(known.Elements(), all.Elements, sameElements()); diff != "" {
		t.Error(diff)
	}
	if len(all.Lists) != len(known.CodeLists()) || len(all.Domains) != len(known.Domains()) || all.Dictionary.Version != known.Edition().Version {
		t.Errorf("%d lists, %d domains, version %q", len(all.Lists), len(all.Domains), all.Dictionary.Version)
	}
}

// Everything that is listed can be written, and its address and words are there once.
func TestFormats_AllWrite(t *testing.T) {
	e := testExports(t)
	def := definitions(t)[0]
	d, err := DatasetOf(e.config.Dictionary, def, 1)
	if err != nil {
		t.Fatal(err)
	}
	about := &Subject{Dataset: d, CodeList: "sex", Definition: def, Register: country(t, e)}
	seen := map[string]bool{}
	for _, f := range Formats() {
		if seen[f.Path] || f.TitleVi == "" || f.TitleEn == "" || f.MediaType == "" {
			t.Errorf("%+v", f.Path)
		}
		seen[f.Path] = true
		var first, second bytes.Buffer
		if err := f.Write(e, &first, about); err != nil {
			t.Errorf("%s: %v", f.Path, err)
		}
		if err := f.Write(e, &second, about); err != nil || f.Path != "/dictionary.xlsx" && !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: not the same bytes twice", f.Path)
		}
		if f.Path == "/dictionary.ttl" || f.Path == "/dictionary.jsonld" {
			continue // large, and written as the catalogue is
		}
		if err := f.Write(e, failing{}, about); err == nil {
			t.Errorf("%s: a failed write is not told", f.Path)
		}
		if err := f.Write(e, &bytes.Buffer{}, &Subject{}); strings.Contains(f.Path, "{") && err == nil {
			t.Errorf("%s: written about nothing", f.Path)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("full") }

func TestNew_ChecksTheAddress(t *testing.T) {
	for _, base := range []string{"", "x", "/a", "ftp://a", "https://", "https://a?b=1", "https://a#b", "https://u:p@a", "javascript:alert(1)"} {
		if _, err := New(Config{Base: base, Dictionary: builtin(t)}); lienthong.ErrorCode(err) != "publish.base" {
			t.Errorf("%q: %v", base, err)
		}
	}
	if _, err := New(Config{Base: testBase}); err == nil {
		t.Error("no dictionary is needed")
	}
}

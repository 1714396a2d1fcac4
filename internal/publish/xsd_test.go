package publish

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// xmllint validates files against a schema and says which are valid.
func xmllint(t testing.TB, schema string, files ...string) map[string]bool {
	t.Helper()
	path, err := exec.LookPath("xmllint")
	needTool(t, "xmllint", err == nil)
	out, err := exec.CommandContext(t.Context(), path, append([]string{"--noout", "--nonet", "--schema", schema}, files...)...).CombinedOutput()
	valid := map[string]bool{}
	for _, file := range files {
		switch {
		case bytes.Contains(out, []byte(file+" validates\n")):
			valid[file] = true
		case bytes.Contains(out, []byte(file+" fails to validate\n")):
			valid[file] = false
		default:
			t.Fatalf("xmllint: %v\n%s", err, out)
		}
	}
	return valid
}

func xsdFile(t testing.TB, e *Exports, d *Dataset) (string, []byte) {
	t.Helper()
	data := written(t, func(b *bytes.Buffer) error { return e.XSD(b, d) })
	file := filepath.Join(t.TempDir(), "schema.xsd")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, data
}

// message is a message that carries the row, as docs/wire/exports.md describes it.
func message(shape *lienthong.Shape, row []lienthong.Value, event string, nil2 bool) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><Root xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><NguonDuLieu><MaLoaiDuLieu>` + shape.Dataset.String() +
		`</MaLoaiDuLieu><IdNguonDuLieu>hệ thống</IdNguonDuLieu></NguonDuLieu><DuLieuTiepNhan><IdBanGhi>1</IdBanGhi>`)
	for i := range row {
		name := shape.Fields[i].Name
		if row[i].State != lienthong.Present {
			if nil2 {
				b.WriteString("<" + name + ` xsi:nil="true"/>`)
			}
			continue
		}
		text := string(row[i].AppendText(nil, shape.Fields[i].Kind))
		if shape.Fields[i].Kind == lienthong.Binary {
			text = base64.StdEncoding.EncodeToString(row[i].Bytes)
		}
		b.WriteString("<" + name + ">" + escapeXML(text) + "</" + name + ">")
	}
	b.WriteString("<PhanPhoi><Id>1</Id><MaKiemTra><GiaTri>00</GiaTri></MaKiemTra></PhanPhoi><PhanPhoi/></DuLieuTiepNhan>")
	b.WriteString("<TrangThaiDuLieu><PhienBan>1</PhienBan><SuKien>" + event + "</SuKien><ThoiGianCapNhat>2026-11-23T08:30:00+07:00</ThoiGianCapNhat></TrangThaiDuLieu></Root>")
	return b.String()
}

// A message is valid exactly when the checks let its record pass.
func TestXSD_AcceptsWhatTheChecksAccept(t *testing.T) {
	e := testExports(t)
	g := newGenerator(t, 2)
	g.plain = true
	accepted, refused := 0, 0
	for number := range 20 {
		d := g.dataset(number)
		schema, data := xsdFile(t, e, d)
		skipped := map[string]bool{}
		for i := range d.Rules {
			if strings.Contains(string(data), "rule: "+d.Rules[i].Code+"; ") {
				skipped[d.Rules[i].Code+" "+d.Rules[i].Field] = true
			}
		}
		check := checker(t, e.config.Dictionary, said(d, skipped))
		all := checker(t, e.config.Dictionary, d)
		var verdict, whole quality.Verdict
		var files []string
		rows := map[string][]lienthong.Value{}
		for i := range 40 {
			row := g.nearlyGood(check, d.Shape)
			file := filepath.Join(filepath.Dir(schema), fmt.Sprintf("%d.xml", i))
			if err := os.WriteFile(file, []byte(message(d.Shape, row, "NEW", i%2 == 0)), 0o600); err != nil {
				t.Fatal(err)
			}
			files, rows[file] = append(files, file), row
		}
		for file, valid := range xmllint(t, schema, files...) {
			check.Check(rows[file], testNow().UnixMicro(), &verdict)
			all.Check(rows[file], testNow().UnixMicro(), &whole)
			if valid && !verdict.OK() || !valid && whole.OK() {
				out, _ := exec.CommandContext(t.Context(), "xmllint", "--noout", "--schema", schema, file).CombinedOutput()
				t.Fatalf("valid %v, failed checks %v\n%s\n%s\n%s", valid, verdict.Failed, out, message(d.Shape, rows[file], "NEW", false), data)
			}
			if valid {
				accepted++
			} else {
				refused++
			}
		}
	}
	if accepted < 100 || refused < 100 {
		t.Errorf("%d accepted, %d refused: the generator is one-sided", accepted, refused)
	}
}

// Each check by itself, on every sample: nothing hides behind another rule.
func TestXSD_SaysEveryCheck(t *testing.T) {
	e := testExports(t)
	cases := [][]dictionary.Check{
		{{Digits: 3}},
		{{MinLength: 2, MaxLength: 3}},
		{{MaxLength: 5}, {MinLength: 3}, {MaxLength: 4}},
		{{CodeList: "sex"}},
		{{CodeList: "sex"}, {OneOf: []string{"M", "x"}}},
		{{OneOf: []string{"a", "Đ", "12"}}, {OneOf: []string{"12", "M"}}},
		{{PersonName: true}},
		{{Tidy: true}},
		{{Tidy: true}, {Digits: 2}},
		{{MaxLength: 2}, {MinLength: 3}},
	}
	for _, pattern := range patterns {
		if _, ok := xmlXS.translate(pattern); ok {
			cases = append(cases, []dictionary.Check{{Pattern: pattern}})
		}
	}
	if len(cases) < 10+len(patterns)-2 {
		t.Errorf("only %d cases: patterns are not expressed", len(cases))
	}
	for number, checks := range cases {
		for _, required := range []bool{false, true} {
			if required && number >= 10 {
				continue // patterns are alike
			}
			d := &Dataset{Shape: &lienthong.Shape{
				Dataset: lienthong.DatasetID{Database: "one", Name: "rule"}, Version: 1, Fields: []lienthong.Field{{Name: "f", Kind: lienthong.Text, Required: required}},
			}}
			for i, check := range checks {
				d.Rules = append(d.Rules, dictionary.Rule{Code: "r" + itoa(i), Field: "f", Vi: "sai", En: "wrong", Group: lienthong.WrongFormat, Criterion: lienthong.Clean, Check: check})
			}
			schema, data := xsdFile(t, e, d)
			check := checker(t, e.config.Dictionary, d)
			var files []string
			for i, text := range sampleTexts {
				row := []lienthong.Value{{State: lienthong.Present, Bytes: []byte(text)}}
				files = append(files, file(t, filepath.Dir(schema), itoa(i)+".xml", []byte(message(d.Shape, row, "NEW", false))))
			}
			valid := xmllint(t, schema, files...)
			var verdict quality.Verdict
			for i, text := range sampleTexts {
				check.Check([]lienthong.Value{{State: lienthong.Present, Bytes: []byte(text)}}, testNow().UnixMicro(), &verdict)
				if valid[files[i]] != verdict.OK() {
					t.Errorf("%+v on %q, required %v: checks %v, schema %v\n%s", checks, text, required, verdict.OK(), valid[files[i]], data)
				}
			}
		}
	}
}

func TestXSD_OfTheDemosDatasets(t *testing.T) {
	e := testExports(t)
	for _, d := range datasets(t, e.config.Dictionary)[:8] {
		schema, _ := xsdFile(t, e, d)
		dir := filepath.Dir(schema)
		var rest strings.Builder
		rest.WriteString("<DanhSach/>")
		cancel := message(d.Shape, nil, "CANCEL", false)
		list := "<DanhSach>" + strings.Repeat(strings.TrimPrefix(cancel, `<?xml version="1.0" encoding="UTF-8"?>`), 2) + "</DanhSach>"
		cases := []struct {
			name, content string
			valid         bool
		}{
			{"cancel", cancel, true},
			{"list", list, true},
			{"none", "<DanhSach/>", true},
			{"type", strings.Replace(cancel, d.Shape.Dataset.String(), "another.type", 1), false},
			{"event", strings.Replace(cancel, "CANCEL", "DELETE", 1), false},
			{"version", strings.Replace(cancel, "<PhienBan>1<", "<PhienBan>0<", 1), false},
			{"identifier", strings.Replace(cancel, "<IdBanGhi>1<", "<IdBanGhi><", 1), false},
			{"unknown", strings.Replace(cancel, "</IdBanGhi>", "</IdBanGhi><khac>1</khac>", 1), false},
		}
		var files []string
		for _, c := range cases {
			file := filepath.Join(dir, c.name+".xml")
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		valid := xmllint(t, schema, files...)
		for i, c := range cases {
			if valid[files[i]] != c.valid {
				t.Errorf("%s, %s: valid %v", d.Shape.Dataset, c.name, valid[files[i]])
			}
		}
	}
}

func TestXSD_SaysWhatItCannotSay(t *testing.T) {
	e := testExports(t)
	d := &Dataset{
		Shape: &lienthong.Shape{
			Dataset: lienthong.DatasetID{Database: "d", Name: "s"}, Version: 1, Identity: []int{0},
			Fields: []lienthong.Field{{Name: "key", Kind: lienthong.Text, LabelVi: "Khoá & \"<>'\u0001", LabelEn: "Key"}},
		},
		Rules:   []dictionary.Rule{{Code: "word", Field: "key", Vi: "sai", En: "wrong", Check: dictionary.Check{Pattern: `^\bx$`}}},
		TitleVi: "Tên & <b>", TitleEn: "Name",
	}
	schema, data := xsdFile(t, e, d)
	if !bytes.Contains(data, []byte("rule: word; field: key; vi: sai; en: wrong; why: ")) {
		t.Errorf("the rule is not told:\n%s", data)
	}
	row := []lienthong.Value{{State: lienthong.Present, Bytes: []byte("x")}}
	file := filepath.Join(filepath.Dir(schema), "x.xml")
	if err := os.WriteFile(file, []byte(message(d.Shape, row, "UPDATE", false)), 0o600); err != nil {
		t.Fatal(err)
	}
	if !xmllint(t, schema, file)[file] {
		t.Error("a good message is not valid")
	}
}

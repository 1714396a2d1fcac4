package ticket

import (
	"archive/zip"
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bookOf is a workbook with one sheet, "x", and one shared text.
func bookOf(t testing.TB, sheet string) *sheetReader {
	t.Helper()
	var data bytes.Buffer
	w := zip.NewWriter(&data)
	for name, content := range map[string]string{
		"xl/workbook.xml":            `<workbook><workbookPr date1904="1"/><sheets><sheet name="x" sheetId="1" r:id="rId7"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="rId7" Target="/xl/worksheets/one.xml"/></Relationships>`,
		"xl/SharedStrings.xml":       `<sst><si><r><t>Nguyễn </t></r><r><t>Văn_x000A_A</t></r><rPh><t>ruby</t></rPh></si></sst>`,
		"xl/worksheets/one.xml":      sheet,
	} {
		part, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := openSheets(bytes.NewReader(data.Bytes()), int64(data.Len()), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSheetReader is the table of the forms that cells have in files of different programs.
func TestSheetReader(t *testing.T) {
	for xml, want := range map[string]string{
		`<row r="3"><c r="B3" t="s"><v>0</v></c></row>`:                                                       `3:[{} {text:"Nguyễn Văn\nA"}]`,
		`<row><c t="inlineStr"><is><t> a&lt;b </t></is></c><c/></row>`:                                        `1:[{text:" a<b "} {}]`,
		`<row r="2"><c r="A2"><v>1.5</v></c><c r="B2" t="b"><v>1</v></c></row>`:                               `2:[{text:"1.5" number} {text:"1" boolean}]`,
		`<row><c t="str"><f>A1&amp;"x"</f><v>yx</v></c></row>`:                                                `1:[{text:"yx" formula}]`,
		`<row><c><f>1+1</f></c><c t="e"><v>#REF!</v></c></row>`:                                               `1:[{text:"" formula} {text:"#REF!" failed}]`,
		`<row/><row><c r="A2" t="s"><v></v></c></row>`:                                                        `1:[]2:[{}]`,
		`<row><c r="ZZ1"><v>1</v></c></row>`:                                                                  `1:[]`,
		`<x:row><x:c t="inlineStr"><x:is><x:r><x:t>a</x:t></x:r><x:r><x:t>b</x:t></x:r></x:is></x:c></x:row>`: `1:[{text:"ab"}]`,
		`</c></row>`:                                      ` ticket.workbook`,
		`<row r="1"><c r="C1"></row></c>`:                 `1:[{} {} {}]`,
		`<row><row>`:                                      ` ticket.workbook`,
		`<c r="A1"/>`:                                     ` ticket.workbook`,
		`<row r="5"/><row r="4"/>`:                        `5:[] ticket.workbook`,
		`<row><c r="B1"/><c r="A1"/></row>`:               ` ticket.workbook`,
		`<row><c t="s"><v>1</v></c></row>`:                ` ticket.workbook`,
		`<row><c t="s"><v>x</v></c></row>`:                ` ticket.workbook`,
		`<row><c r="1A"/></row>`:                          ` ticket.workbook`,
		`<row r="99999999"/>`:                             ` ticket.workbook`,
		`<row><c t="inlineStr"><is><t>&unknown;</t></is>`: ` ticket.workbook`,
	} {
		got := ""
		err := bookOf(t, xml).rows("x", func(row int, cells []cell) error {
			got += fmt.Sprintf("%d:[", row)
			for i, c := range cells {
				if i > 0 {
					got += " "
				}
				flags := ""
				for _, flag := range []struct {
					name string
					set  bool
				}{{"number", c.number}, {"boolean", c.boolean}, {"formula", c.formula}, {"failed", c.failed}} {
					if flag.set {
						flags += " " + flag.name
					}
				}
				if c.empty() {
					got += "{}"
				} else {
					got += fmt.Sprintf("{text:%q%s}", c.text, flags)
				}
			}
			got += "]"
			return nil
		})
		if err != nil {
			got += " ticket.workbook"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", xml, diff)
		}
	}
	b := bookOf(t, "<row/>")
	if !b.date1904 {
		t.Error("the days of 1904 are not seen")
	}
	if err := b.rows("y", nil); err == nil {
		t.Error("a sheet that is not there was read")
	}
}

// TestSerialDates: the same day in both ways of counting.
func TestSerialDates(t *testing.T) {
	for _, c := range []struct {
		text     string
		date1904 bool
		want     int64
		code     string
	}{
		{"33238", false, 7669, ""}, // 31 December 1990
		{"31776", true, 7669, ""},
		{"61", false, -25508, ""}, // 1 March 1900
		{"60", false, 0, "ticket.date"},
		{"1990", false, 0, "ticket.date_ambiguous"},
		{"1990.5", false, -23579, ""}, // with a time it is no year
		{"2958466", false, 0, "ticket.date"},
		{"-1", false, 0, "ticket.date"},
		{"NaN", false, 0, "ticket.date"},
		{"+Inf", false, 0, "ticket.date"},
	} {
		day, _, why := serialDay(c.text, c.date1904)
		code := ""
		if why != nil {
			code = why.code
		}
		if day != c.want || code != c.code {
			t.Errorf("%s: day %d %s, want %d %s", c.text, day, code, c.want, c.code)
		}
	}
	for column, want := range map[int]string{0: "A", 25: "Z", 26: "AA", 27: "AB", 701: "ZZ", 702: "AAA"} {
		if got := columnName26(column); got != want {
			t.Errorf("column %d is %s, want %s", column, got, want)
		}
		if back, ok := columnOf(want + "7"); !ok || back != column {
			t.Errorf("%s is %d, want %d", want, back, column)
		}
	}
}

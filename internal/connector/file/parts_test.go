package file

import (
	"archive/zip"
	"io"
	"strings"
	"testing"
)

// writeParts writes the smallest workbook with the given rows and number format.
func writeParts(t testing.TB, out io.Writer, rows, format string) {
	t.Helper()
	archive := zip.NewWriter(out)
	escaped := strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;").Replace(format)
	for _, p := range []struct{ name, body string }{
		{"xl/workbook.xml", `<workbook xmlns:r="r"><sheets><sheet name="a" r:id="i1"/></sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels", `<Relationships><Relationship Id="i1" Target="worksheets/sheet1.xml"/></Relationships>`},
		{"xl/styles.xml", `<styleSheet><numFmts><numFmt numFmtId="164" formatCode="` + escaped + `"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs></styleSheet>`},
		{"xl/sharedStrings.xml", `<sst><si><t>chữ</t></si></sst>`},
		{"xl/worksheets/sheet1.xml", `<worksheet><sheetData>` + rows + `</sheetData></worksheet>`},
	} {
		w, err := archive.Create(p.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, p.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
}

package file

import (
	"archive/zip"
	"bytes"
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

// firstSheet opens a workbook's first sheet with small limits.
func firstSheet(t testing.TB, content []byte) (*sheetReader, error) {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, err
	}
	b, err := openWorkbook(archive, limits{unpacked: 1 << 20, cell: 1 << 10, strings: 100, scratch: t.TempDir()})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = b.close() })
	if len(b.sheets) == 0 {
		return nil, errNotXLSX
	}
	return b.sheet(0)
}

package file_test

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// sharedWorkbook writes rows of texts as Excel keeps them: cells are numbers of shared strings, in
// the order in which the texts occur first. The first row is the header.
func sharedWorkbook(w io.Writer, rows int, row func(int) []string) error {
	archive := zip.NewWriter(w)
	part := func(name string) (*bufio.Writer, error) {
		out, err := archive.Create(name)
		return bufio.NewWriterSize(out, 1<<20), err
	}
	for name, body := range map[string]string{
		"[Content_Types].xml":        `<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`,
		"xl/workbook.xml":            `<?xml version="1.0" encoding="UTF-8"?><workbook xmlns:r="r"><sheets><sheet name="Danh sách" sheetId="1" r:id="rId1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="rId1" Target="worksheets/sheet1.xml"/></Relationships>`,
	} {
		out, err := part(name)
		if err != nil {
			return err
		}
		fmt.Fprint(out, body)
		if err := out.Flush(); err != nil {
			return err
		}
	}
	texts := func(i int) []string {
		if i > 0 {
			return row(i)
		}
		var names []string
		for _, name := range people(0)[0] {
			names = append(names, name.(string))
		}
		return names
	}
	numbers := map[string]int{}
	count := 0
	out, err := part("xl/worksheets/sheet1.xml")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `<worksheet><dimension ref="A1:L%d"/><sheetData>`, rows)
	for i := range rows {
		fmt.Fprintf(out, `<row r="%d">`, i+1)
		for c, text := range texts(i) {
			n, known := numbers[text]
			if !known {
				n = count
				count++
				if c != 0 && c != 6 && c != 8 && c != 11 {
					numbers[text] = n
				}
			}
			fmt.Fprintf(out, `<c r="%c%d" t="s"><v>%d</v></c>`, 'A'+c, i+1, n)
		}
		fmt.Fprint(out, `</row>`)
	}
	fmt.Fprint(out, `</sheetData></worksheet>`)
	if err := out.Flush(); err != nil {
		return err
	}
	if out, err = part("xl/sharedStrings.xml"); err != nil {
		return err
	}
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;")
	fmt.Fprint(out, `<sst>`)
	clear(numbers)
	for i := range rows {
		for c, text := range texts(i) {
			if _, known := numbers[text]; known {
				continue
			}
			if c != 0 && c != 6 && c != 8 && c != 11 {
				numbers[text] = 0
			}
			fmt.Fprint(out, `<si><t>`, escape.Replace(text), `</t></si>`)
		}
	}
	fmt.Fprint(out, `</sst>`)
	return errors.Join(out.Flush(), archive.Close())
}

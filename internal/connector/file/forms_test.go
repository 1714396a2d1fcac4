package file_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/file"
)

// columnsOf lists the names of a table's columns.
func (f *folder) columnsOf(table int) []string {
	f.t.Helper()
	listed, err := f.source.Tables(f.t.Context())
	f.must(err)
	var names []string
	for _, c := range listed[table].Columns {
		names = append(names, c.Name)
	}
	return names
}

// answerText is all that an answer says: pages, cells and notes.
func (f *folder) answerText(name string) string {
	f.t.Helper()
	book, err := excelize.OpenFile(filepath.Join(f.config.Root, name))
	f.must(err)
	defer func() { _ = book.Close() }()
	var text strings.Builder
	for _, sheet := range book.GetSheetList() {
		rows, err := book.GetRows(sheet)
		f.must(err)
		fmt.Fprintln(&text, sheet, rows)
		comments, err := book.GetComments(sheet)
		f.must(err)
		for _, c := range comments {
			fmt.Fprintf(&text, "%s!%s: %s\n", sheet, c.Cell, c.Text)
		}
	}
	return text.String()
}

// TestHeaders: headings over one, two and three rows, with titles above, become one name a column.
func TestHeaders(t *testing.T) {
	for name, test := range map[string]struct {
		rows  [][]any
		names string
		data  []string
	}{
		"two rows": {
			[][]any{
				{"UBND XÃ HIỆP THÀNH", nil, nil, "CỘNG HOÀ XÃ HỘI CHỦ NGHĨA VIỆT NAM"},
				{nil, nil, nil, "Độc lập - Tự do - Hạnh phúc"},
				{"DANH SÁCH HỘ NGHÈO"},
				{"STT", "Mã hộ", "Chủ hộ", nil, nil, "Địa chỉ"},
				{nil, nil, "Họ tên", "Năm sinh", "Giới tính", nil},
				{"A", "B", 1, 2, 3, 4},
				{"1", "001", "Lê A", "1960", "Nam", "Ấp 1"},
			},
			"Mã hộ|STT|Chủ hộ / Họ tên|Chủ hộ / Năm sinh|Chủ hộ / Giới tính|Địa chỉ",
			[]string{"upsert|001|1|Lê A|1960|Nam|Ấp 1"},
		},
		"three rows": {
			[][]any{
				{"Mã hộ", "Thành viên", nil, nil, nil},
				{nil, "Chủ hộ", nil, "Vợ hoặc chồng", nil},
				{nil, "Họ tên", "Năm sinh", "Họ tên", "Năm sinh"},
				{"001", "Lê A", "1960", "Trần B", "1962"},
			},
			"Mã hộ|Thành viên / Chủ hộ / Họ tên|Thành viên / Chủ hộ / Năm sinh|Thành viên / Vợ hoặc chồng / Họ tên|Thành viên / Vợ hoặc chồng / Năm sinh",
			[]string{"upsert|001|Lê A|1960|Trần B|1962"},
		},
		"key under a group": {
			[][]any{
				{"Hộ", nil, "Nhà ở", nil},
				{"Mã hộ", "Tên chủ hộ", "Diện tích", "Loại nhà"},
				{"001", "Lê A", "70", "cấp 4"},
			},
			"Mã hộ|Hộ / Tên chủ hộ|Nhà ở / Diện tích|Nhà ở / Loại nhà",
			[]string{"upsert|001|Lê A|70|cấp 4"},
		},
		"one row under titles": {
			[][]any{
				{nil, nil, "Phụ lục 2"},
				{"BIỂU TỔNG HỢP", nil, nil},
				{nil},
				{"Mã hộ (*)", "Họ\n tên", "Ghi chú"},
				{"001", "Lê A", "x"},
			},
			"Mã hộ|Họ tên|Ghi chú",
			[]string{"upsert|001|Lê A|x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t, households())
			f.put("xa1/ho_dan.xlsx", workbook(t, test.rows, nil))
			same(t, f.drain(), test.data...)
			if got := strings.Join(f.columnsOf(0), "|"); got != test.names {
				t.Errorf("columns %s\nwant    %s", got, test.names)
			}
		})
	}
	t.Run("declared by the lowest heading, and by rows", func(t *testing.T) {
		table := households()
		table.Columns = []lienthong.Column{{Name: "Mã hộ"}, {Name: "Năm sinh", Kind: lienthong.Integer}, {Name: "Chủ hộ / Họ tên"}}
		table.Skip, table.HeaderRows = 1, 2
		f := newFolder(t, table)
		f.put("xa1/ho_dan.xlsx", workbook(t, [][]any{
			{"Mã hộ", "Họ tên", "bỏ qua dòng này"},
			{"Mã hộ", "Chủ hộ", nil},
			{nil, "Họ tên", "Năm sinh"},
			{"001", "Lê A", 1960},
		}, nil))
		same(t, f.drain(), "upsert|001|1960|Lê A")
	})
}

// TestDecorations: totals, repeated headers, signatures and empty rows are no records; the answer names them.
func TestDecorations(t *testing.T) {
	rows := [][]any{
		{"STT", "Mã hộ", "Họ tên", "Số người"},
		{1, "001", "Lê A", 4},
		{nil, " ", nil, nil},
		{"Cộng thôn 1", nil, nil, 4},
		{"STT", "Mã hộ", "Họ tên", "Số người"},
		{2, "002", "Tổng Văn B", 3},
		{"Tổng cộng:", nil, nil, 7},
		{nil, nil, "Hiệp Thành, ngày 5 tháng 11 năm 2026"},
		{nil, nil, "NGƯỜI LẬP BIỂU"},
	}
	f := newFolder(t, households())
	f.put("xa1/ho_dan.xlsx", workbook(t, rows, nil))
	same(t, f.drain(), "upsert|001|1|Lê A|4", "upsert|002|2|Tổng Văn B|3")
	f.acknowledge()
	said := f.answerText("xa1/ket_qua/ho_dan.ketqua.xlsx")
	for _, want := range []string{"[Số dòng / Rows 2]", "dòng tổng cộng", "dòng tiêu đề lặp lại", "chữ ký cuối bảng", "a row of totals is no record, not read 2 4]"} {
		if !strings.Contains(said, want) {
			t.Errorf("the answer does not say %q:\n%s", want, said)
		}
	}
}

func TestCellsOfWorkbooks(t *testing.T) {
	table := households()
	table.Columns = []lienthong.Column{
		{Name: "Mã hộ"}, {Name: "Ngày", Kind: lienthong.Date}, {Name: "Số", Kind: lienthong.Decimal}, {Name: "Người", Kind: lienthong.Integer}, {Name: "Nghèo", Kind: lienthong.Boolean},
	}
	for _, era1904 := range []bool{false, true} {
		t.Run(fmt.Sprint("1904 ", era1904), func(t *testing.T) {
			serial := 33238.0 // 31 December 1990
			if era1904 {
				serial -= 1462
			}
			content := workbook(t, [][]any{
				{"Mã hộ", "Ngày", "Số", "Người", "Nghèo"},
				{"01", serial, 1234.5, "4", "x"},
				{"02", serial, "1.234,5", "1 234", "Không"},
				{"03", "31/12/1990", "1,234,567.25", 4.0, true},
				{"04", "31-12-1990 00:00:00", "-0,5", "1.234.567", "Có"},
				{"05", "ngày 31 tháng 12 năm 1990", " 12 ", "+7", 0},
				{"06", "1990.12.31", "1.234", "12,0", nil},
				{"07", "12/1990", "1,234", "1.234", "có lẽ"},
				{"08", "31/12/90", "12 m2", "4,5", "2"},
				{"09", "30/02/1990", "1,23,4", "", ""},
				{"10", fmt.Sprint(serial), "1e3", "12e2", nil},
				{"11", nil, nil, nil, nil},
			}, func(book *excelize.File) {
				custom := "dd/mm/yyyy"
				style, err := book.NewStyle(&excelize.Style{CustomNumFmt: &custom})
				if err == nil {
					err = book.SetCellStyle("Sheet1", "B2", "B2", style)
				}
				if err == nil {
					err = book.SetWorkbookProps(&excelize.WorkbookPropsOptions{Date1904: &era1904})
				}
				if err != nil {
					t.Fatal(err)
				}
			})
			f := newFolder(t, table)
			f.put("xa1/ho_dan.xlsx", content)
			same(t, f.drain(),
				"upsert|01|1990-12-31|1234.5|4|true",
				"upsert|02|1990-12-31|1234.5|1234|false",
				"upsert|03|1990-12-31|1234567.25|4|true",
				"upsert|04|1990-12-31|-0.5|1234567|true",
				"upsert|05|1990-12-31|12|7|false",
				"upsert|06|1990-12-31|1.234|12|∅",
				"upsert|07|!12/1990|!1,234|!1.234|!có lẽ",
				"upsert|08|!31/12/90|!12 m2|!4,5|!2",
				"upsert|09|!30/02/1990|!1,23,4|∅|∅",
				"upsert|10|1990-12-31|!1e3|!12e2|∅",
				"upsert|11|∅|∅|∅|∅",
			)
			f.acknowledge()
			if said := f.answerText("xa1/ket_qua/ho_dan.ketqua.xlsx"); !strings.Contains(said, "ví dụ 31/12/1990") || !strings.Contains(said, "B10") {
				t.Errorf("the answer does not say how to write a date:\n%s", said)
			}
		})
	}
	t.Run("comma declared, month first", func(t *testing.T) {
		table := table
		table.Decimal, table.MonthFirst = ",", true
		f := newFolder(t, table)
		f.put("xa1/ho_dan.csv", []byte("Mã hộ;Ngày;Số;Người;Nghèo\n01;12/31/1990;1.234;1.234;1\n"))
		same(t, f.drain(), "upsert|01|1990-12-31|1234|1234|true")
	})
}

// TestFormulas: the stored result counts; errors and formulas without one are wrong cells.
func TestFormulas(t *testing.T) {
	f := newFolder(t, households())
	f.put("xa1/ho_dan.xlsx", rawWorkbook(t, map[string]string{"Sheet1": `
		<row r="1"><c r="A1" t="inlineStr"><is><t>Mã hộ</t></is></c><c r="B1" t="inlineStr"><is><t>Số</t></is></c></row>
		<row r="2"><c r="A2" t="str"><f>TEXT(1,"000")</f><v>001</v></c><c r="B2"><f>1+1</f><v>2</v></c></row>
		<row r="3"><c r="A3" t="str"><f>"00"&amp;2</f><v>002</v></c><c r="B3" t="e"><f>1/0</f><v>#DIV/0!</v></c></row>
		<row r="4"><c r="A4" t="inlineStr"><is><t>003</t></is></c><c r="B4"><f>B2*2</f></c></row>
		<row r="5"><c r="A5" t="e"><v>#N/A</v></c><c r="B5"><v>5</v></c></row>`}))
	same(t, f.drain(), "upsert|001|2", "upsert|002|!#DIV/0!", "upsert|003|!", "upsert|!#N/A|5")
	f.acknowledge() // the library cannot write back a workbook without styles: the wrong rows are the answer
	said := f.answerText("xa1/ket_qua/ho_dan.ketqua.xlsx")
	for _, want := range []string{"Sheet1!C2: ô có giá trị lỗi", "Sheet1!C3: công thức chưa có kết quả", "Sheet1!B4: bị từ chối ở bước kiểm tra\nrefused by a check\nô có giá trị lỗi"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
}

// rawWorkbook writes a workbook of sheets in their own XML.
func rawWorkbook(t testing.TB, sheets map[string]string) []byte {
	t.Helper()
	var book bytes.Buffer
	archive := zip.NewWriter(&book)
	put := func(name, body string) {
		w, err := archive.Create(name)
		if err == nil {
			_, err = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`+body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const ns = `xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"`
	list, relations, types := "", "", ""
	n := 0
	for name, rows := range sheets {
		n++
		list += fmt.Sprintf(`<sheet name="%s" sheetId="%d" r:id="rId%[2]d"/>`, name, n)
		relations += fmt.Sprintf(`<Relationship Id="rId%d" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet%[1]d.xml"/>`, n)
		types += fmt.Sprintf(`<Override PartName="/xl/worksheets/sheet%d.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>`, n)
		put(fmt.Sprintf("xl/worksheets/sheet%d.xml", n), `<worksheet `+ns+`><sheetData>`+rows+`</sheetData></worksheet>`)
	}
	put("[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>`+types+`</Types>`)
	put("_rels/.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`)
	put("xl/workbook.xml", `<workbook `+ns+`><sheets>`+list+`</sheets></workbook>`)
	put("xl/_rels/workbook.xml.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`+relations+`</Relationships>`)
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return book.Bytes()
}

// TestSheets: one table of several sheets, several tables of one file, hidden sheets and rows.
func TestSheets(t *testing.T) {
	content := workbook(t, [][]any{{"Hướng dẫn điền"}, {"Mỗi thôn một trang"}}, func(book *excelize.File) {
		for _, page := range []struct {
			name string
			rows [][]any
		}{
			{"Thôn 1", [][]any{{"Mã hộ", "Họ tên"}, {"101", "A"}, {"102", "B"}, {"103", "ẩn"}}},
			{"Thôn 2", [][]any{{"Danh sách thôn 2"}, {"Họ tên", "Mã hộ"}, {"C", "201"}, {"trùng", "101"}}},
			{"Thôn cũ", [][]any{{"Mã hộ", "Họ tên"}, {"999", "Z"}}},
			{"Xe", [][]any{{"Biển số", "Chủ xe"}, {"69-A1", "A"}}},
		} {
			if _, err := book.NewSheet(page.name); err != nil {
				t.Fatal(err)
			}
			for i := range page.rows {
				if err := book.SetSheetRow(page.name, fmt.Sprintf("A%d", i+1), &page.rows[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := errors.Join(book.SetSheetVisible("Thôn cũ", false), book.SetRowVisible("Thôn 1", 4, false)); err != nil {
			t.Fatal(err)
		}
	})
	people := households()
	people.Sheet = "Thôn *"
	cars := file.Table{Name: "xe", Pattern: "*/ho_dan*", Key: []string{"Biển số"}, Sheet: "xe"}
	f := newFolder(t, people, cars)
	f.put("xa1/ho_dan.xlsx", content)
	same(t, f.drain(), "upsert|101|A", "upsert|102|B", "upsert|103|ẩn", "upsert|201|C", "upsert|!101|trùng", "upsert|69-A1|A")
	f.acknowledge()
	said := f.answerText("xa1/ket_qua/ho_dan.ketqua.xlsx")
	for _, want := range []string{"Thôn 2!B4: trùng khoá với dòng 2 (Thôn 1)", "Bảng / Table xe 1", "có dòng ẩn; các dòng này vẫn được đọc"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	// A later file without one of the sheets deletes the rows of that sheet's table only where the
	// table is made of what is there.
	f.put("xa1/ho_dan-2.xlsx", rawWorkbook(t, map[string]string{"Xe": `
		<row><c t="inlineStr"><is><t>Biển số</t></is></c><c t="inlineStr"><is><t>Chủ xe</t></is></c></row>
		<row><c t="inlineStr"><is><t>69-A2</t></is></c><c t="inlineStr"><is><t>B</t></is></c></row>`}))
	same(t, f.drain(), "upsert|69-A2|B", "delete|69-A1|=")

	hide := households()
	hide.Sheet, hide.Hidden = "Thôn 1", file.HiddenSkip
	f = newFolder(t, hide)
	f.put("xa1/ho_dan.xlsx", content)
	same(t, f.drain(), "upsert|101|A", "upsert|102|B")

	named := households()
	named.Sheet = "Thôn cũ" // named in full: hidden or not
	f = newFolder(t, named)
	f.put("xa1/ho_dan.xlsx", content)
	same(t, f.drain(), "upsert|999|Z")
}

// TestOldFonts: a workbook that mixes fonts, as they come: each cell is read by its font, cells
// without a telling font by their column.
func TestOldFonts(t *testing.T) {
	fonts := map[string]string{"B": ".VnTime", "C": "VNI-Times", "D": ".VnTimeH", "E": "Times New Roman"}
	rows := [][]any{
		{"Mã hộ", "Họ tên", "Địa chỉ", "Dân tộc", "Ghi chú"},
		{"001", "NguyÔn V¨n Tó", "AÁp 3, xaõ Vónh Traïch", "kinh", "hé nghÌo, ®· x¸c minh"},
		{"002", "Trần Thị Ba", "Khoùm 5, phöôøng Hieäp Thaønh", "kh¬ me", "cËn nghÌo"},
		{"003", "Lª V¨n Bèn", "Ñöôøng soá 7", "hoa", "hé míi t¸ch tõ hé cò"},
	}
	content := workbook(t, rows, func(book *excelize.File) {
		for column, font := range fonts {
			style, err := book.NewStyle(&excelize.Style{Font: &excelize.Font{Family: font, Size: 12}})
			if err == nil {
				err = book.SetCellStyle("Sheet1", column+"2", column+"4", style)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := book.SetCellRichText("Sheet1", "B4", []excelize.RichTextRun{
			{Text: "l", Font: &excelize.Font{Family: ".VnTimeH"}}, {Text: "ª V¨n Bèn", Font: &excelize.Font{Family: ".VnTime"}},
		}); err != nil {
			t.Fatal(err)
		}
	})
	f := newFolder(t, households())
	f.put("xa1/ho_dan.xlsx", content)
	same(t, f.drain(),
		"upsert|001|Nguyễn Văn Tú|Ấp 3, xã Vĩnh Trạch|KINH|hộ nghèo, đã xác minh",
		"upsert|002|Trần Thị Ba|Khóm 5, phường Hiệp Thành|KHƠ ME|cận nghèo", // typed in Unicode into an old font
		"upsert|003|Lê Văn Bốn|Đường số 7|HOA|hộ mới tách từ hộ cũ")
}

// TestOldTexts: CSV in the old codes, found out or declared, with the header in the same code.
func TestOldTexts(t *testing.T) {
	latin := func(s string) []byte {
		var out []byte
		for _, r := range s {
			out = append(out, byte(r))
		}
		return out
	}
	const want1, want2 = "upsert|001|Nguyễn Văn Tú|Ấp 3, xã Vĩnh Trạch", "upsert|002|Trần Thị Ba|Khóm 5, phường Hiệp Thành"
	for name, test := range map[string]struct {
		content  []byte
		encoding file.Encoding
		note     string
	}{
		"TCVN3":          {latin("M· hé;Hä tªn;§Þa chØ\n001;NguyÔn V¨n Tó;Êp 3, x· VÜnh Tr¹ch\n002;TrÇn ThÞ Ba;Khãm 5, ph\u00adêng HiÖp Thµnh\n"), "", "tcvn3"},
		"VNI":            {latin("Maõ hoä;Hoï teân;Ñòa chæ\n001;Nguyeãn Vaên Tuù;AÁp 3, xaõ Vónh Traïch\n002;Traàn Thò Ba;Khoùm 5, phöôøng Hieäp Thaønh\n"), "", "vni"},
		"VNI declared":   {latin("Maõ hoä;Hoï teân;Ñòa chæ\n001;Nguyeãn Vaên Tuù;AÁp 3, xaõ Vónh Traïch\n002;Traàn Thò Ba;Khoùm 5, phöôøng Hieäp Thaønh\n"), file.EncodingVNI, "vni"},
		"VNI as Unicode": {[]byte("Maõ hoä;Hoï teân;Ñòa chæ\n001;Nguyeãn Vaên Tuù;AÁp 3, xaõ Vónh Traïch\n002;Traàn Thò Ba;Khoùm 5, phöôøng Hieäp Thaønh\n"), "", "vni"},
		"two codes":      {latin("M· hé;Hä tªn;§Þa chØ\n001;NguyÔn V¨n Tó;AÁp 3, xaõ Vónh Traïch\n002;TrÇn ThÞ Ba;Khoùm 5, phöôøng Hieäp Thaønh\n"), "", "vni"},
		"Windows-1258":   {cp1258(t, "Mã hộ;Họ tên;Địa chỉ\n001;Nguyễn Văn Tú;Ấp 3, xã Vĩnh Trạch\n002;Trần Thị Ba;Khóm 5, phường Hiệp Thành\n"), "", "windows-1258"},
	} {
		t.Run(name, func(t *testing.T) {
			table := households()
			table.Encoding = test.encoding
			f := newFolder(t, table)
			f.put("xa1/ho_dan.csv", test.content)
			got := f.drain()
			for i := range got { // TCVN3 has no capital Ấ
				got[i] = strings.Replace(got[i], "|ấp", "|Ấp", 1)
			}
			same(t, got, want1, want2)
			if names := strings.Join(f.columnsOf(0), "|"); names != "Mã hộ|Họ tên|Địa chỉ" {
				t.Errorf("columns %s", names)
			}
			f.acknowledge()
			if said := f.answerText("xa1/ket_qua/ho_dan.ketqua.xlsx"); !strings.Contains(said, "bảng mã "+test.note) {
				t.Errorf("the answer does not name the encoding:\n%s", said)
			}
		})
	}
	t.Run("accents far down", func(t *testing.T) {
		f := newFolder(t, file.Table{Name: "ho_dan", Pattern: "*/ho_dan*", Key: []string{"ma"}})
		var content bytes.Buffer
		content.WriteString("ma,ten\n")
		for i := range 5000 {
			fmt.Fprintf(&content, "%d,ABC DEF GHI\n", i)
		}
		content.Write(latin("9001,NguyÔn V¨n Tó\n9002,TrÇn ThÞ Ba\n"))
		f.put("xa1/ho_dan.csv", content.Bytes())
		got := f.drain()
		same(t, got[5000:], "upsert|9001|Nguyễn Văn Tú", "upsert|9002|Trần Thị Ba")
	})
	t.Run("a row of another encoding is wrong, its neighbours are not", func(t *testing.T) {
		f := newFolder(t, households())
		f.put("xa1/ho_dan.csv", append([]byte("Mã hộ,Họ tên\n001,Nguyễn Văn Tú\n002,Trần Thị Ba\n"), latin("003,TrÇn ThÞ T\u00ad\n004,D\n")...))
		same(t, f.drain(), "upsert|001|Nguyễn Văn Tú", "upsert|002|Trần Thị Ba", "upsert|003|!Tr\xc7n Th\xde T\xad", "upsert|004|D")
		f.acknowledge()
		if said := f.answerText("xa1/ket_qua/ho_dan.ketqua.xlsx"); !strings.Contains(said, "bảng mã khác với phần còn lại") {
			t.Errorf("the answer does not say what is wrong:\n%s", said)
		}
	})
}

// cp1258 writes text as Windows does: letters with their shapes, then the tone.
func cp1258(t testing.TB, text string) []byte {
	t.Helper()
	var out []byte
	for _, r := range text {
		if b, ok := charmap.Windows1258.EncodeRune(r); ok {
			out = append(out, b)
			continue
		}
		parts := norm.NFD.String(string(r))
		tone := ""
		for _, mark := range "\u0300\u0301\u0303\u0309\u0323" {
			if strings.ContainsRune(parts, mark) {
				tone, parts = string(mark), strings.ReplaceAll(parts, string(mark), "")
			}
		}
		for _, r := range norm.NFC.String(parts) + tone {
			b, ok := charmap.Windows1258.EncodeRune(r)
			if !ok {
				t.Fatalf("%U has no place", r)
			}
			out = append(out, b)
		}
	}
	return out
}

// TestPacked: compressed texts, and archives of several files.
func TestPacked(t *testing.T) {
	zipped := func(members map[string][]byte, order ...string) []byte {
		var out bytes.Buffer
		archive := zip.NewWriter(&out)
		for _, name := range order {
			w, err := archive.Create(name)
			if err == nil {
				_, err = w.Write(members[name])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := archive.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := io.WriteString(w, "Mã hộ;Tên\n1;A\n2;B\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	several := zipped(map[string][]byte{
		"thon1.csv":          []byte("Mã hộ,Tên\n1,A\n"),
		"x/thon2.txt":        []byte("Tên\tMã hộ\nB\t2\n"),
		"thon3.xlsx":         workbook(t, [][]any{{"Mã hộ", "Tên"}, {"3", "C"}}, nil),
		"__MACOSX/thon1.csv": []byte("rác"),
		"anh.png":            []byte("\x89PNG"),
	}, "thon1.csv", "x/thon2.txt", "__MACOSX/thon1.csv", "anh.png", "thon3.xlsx")
	for name, test := range map[string]struct {
		file    string
		content []byte
		want    []string
	}{
		"gzip":         {"ho_dan.csv.gz", gz.Bytes(), []string{"upsert|1|A", "upsert|2|B"}},
		"one":          {"ho_dan.zip", zipped(map[string][]byte{"a.csv": []byte("Mã hộ,Tên\n1,A\n")}, "a.csv"), []string{"upsert|1|A"}},
		"several":      {"ho_dan.zip", several, []string{"upsert|1|A", "upsert|2|B", "upsert|3|C"}},
		"sep":          {"ho_dan.csv", []byte("sep=^\nMã hộ^Tên\n1^A,B\n"), []string{"upsert|1|A,B"}},
		"caret, found": {"ho_dan.csv", []byte("Mã hộ^Tên\n1^A\n"), []string{"upsert|1|A"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t, households())
			f.put("xa1/"+test.file, test.content)
			same(t, f.drain(), test.want...)
		})
	}
	t.Run("declared delimiter", func(t *testing.T) {
		table := households()
		table.Delimiter = ":"
		f := newFolder(t, table)
		f.put("xa1/ho_dan.csv", []byte("Mã hộ:Tên,tuổi\n1:A,5\n"))
		same(t, f.drain(), "upsert|1|A,5")
	})
}

// encrypted is the beginning of what Excel writes for a workbook with a password: a compound file
// whose directory names the encrypted package.
func encrypted() []byte {
	content := make([]byte, 4096)
	copy(content, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
	for i, r := range "EncryptedPackage" {
		content[2048+2*i] = byte(r)
	}
	return content
}

// TestBadInput: what is no list, or too much, is refused with its reason, changes nothing, and its
// neighbours go on.
func TestBadInput(t *testing.T) {
	bomb := func() []byte {
		var out bytes.Buffer
		archive := zip.NewWriter(&out)
		w, err := archive.Create("a.csv")
		if err == nil {
			_, err = io.WriteString(w, "Mã hộ,Tên\n")
		}
		for range 64 {
			if err == nil {
				_, err = w.Write(bytes.Repeat([]byte("5,a\n"), 256<<10))
			}
		}
		if err := errors.Join(err, archive.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	manyColumns := func(named bool) []byte {
		return workbook(t, [][]any{{"Mã hộ", "Tên"}, {"1", "A"}}, func(book *excelize.File) {
			for c := 3; c <= 16384; c++ {
				at, err := excelize.CoordinatesToCellName(c, 1)
				if err == nil && named {
					err = book.SetCellValue("Sheet1", at, fmt.Sprintf("cột %d", c))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !named {
				style, err := book.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
				if err == nil {
					err = book.SetCellStyle("Sheet1", "A1", "XFD1", style)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	for name, test := range map[string]struct {
		file    string
		content []byte
		code    string // "" when it is taken
		want    []string
	}{
		"0 bytes":                    {"ho_dan.csv", nil, "file.no_bytes", nil},
		"0 bytes, workbook":          {"ho_dan.xlsx", nil, "file.no_bytes", nil},
		"header only":                {"ho_dan.xlsx", workbook(t, [][]any{{"Mã hộ", "Tên"}}, nil), "file.empty", nil},
		"password":                   {"ho_dan.xlsx", encrypted(), "file.password", nil},
		"password of an archive":     {"ho_dan.zip", lockedArchive(t), "file.password", nil},
		"old workbook":               {"ho_dan.xls", append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 2000)...), "file.old_workbook", nil},
		"page as workbook":           {"ho_dan.xls", []byte("<html><table><tr><td>Mã hộ</td></tr></table></html>"), "file.not_a_table", nil},
		"PDF":                        {"ho_dan.csv", []byte("%PDF-1.7\n"), "file.not_a_table", nil},
		"picture":                    {"ho_dan.xlsx", []byte("\x89PNG\r\n"), "file.unreadable", nil},
		"letter":                     {"ho_dan.zip", plainArchive(t, "[Content_Types].xml", "word/document.xml"), "file.not_a_table", nil},
		"archive without tables":     {"ho_dan.zip", plainArchive(t, "anh.png"), "file.not_a_table", nil},
		"archive of many":            {"ho_dan.zip", plainArchive(t, numbered(300)...), "file.too_large", nil},
		"archive bomb":               {"ho_dan.zip", bomb(), "file.too_large", nil},
		"cut short":                  {"ho_dan.xlsx", workbook(t, [][]any{{"Mã hộ", "Tên"}, {"1", "A"}}, nil)[:1500], "file.unreadable", nil},
		"16,384 columns":             {"ho_dan.xlsx", manyColumns(true), "file.too_large", nil},
		"16,384 columns, only drawn": {"ho_dan.xlsx", manyColumns(false), "", []string{"upsert|1|A"}},
		"32,767 characters":          {"ho_dan.xlsx", workbook(t, [][]any{{"Mã hộ", "Tên"}, {"1", strings.Repeat("ữ", 32767)}}, nil), "", []string{"upsert|1|" + strings.Repeat("ữ", 32767)}},
		"a cell beyond the limit":    {"ho_dan.csv", []byte("Mã hộ,Tên\n1," + strings.Repeat("x", 2<<20)), "file.too_large", nil},
		"no such sheet":              {"trang/ho_dan.xlsx", workbook(t, [][]any{{"Mã hộ", "Tên"}, {"1", "A"}}, nil), "file.no_sheet", nil},
		"entities":                   {"ho_dan.xlsx", rawWorkbook(t, map[string]string{"a": `<!DOCTYPE x [<!ENTITY a "b">]><row><c><v>1</v></c></row>`}), "file.unreadable", nil},
	} {
		t.Run(name, func(t *testing.T) {
			table, sheet := households(), households()
			table.Pattern = "xa*/ho_dan*"
			sheet.Name, sheet.Pattern, sheet.Sheet = "trang", "xa*/trang/ho_dan*", "Khác"
			f := newFolder(t, table, sheet)
			f.config.MaxUnpacked = 16 << 20
			f.must(f.source.Close())
			f.open()
			f.put("xa2/ho_dan.csv", []byte("Mã hộ,Tên\n8,H\n"))
			same(t, f.drain(), "upsert|8|H")
			f.acknowledge()
			f.put("xa1/"+test.file, test.content)
			f.put("xa2/ho_dan-2.csv", []byte("Mã hộ,Tên\n8,H\n9,I\n"))
			same(t, f.drain(), append(test.want, "upsert|9|I")...)
			if test.code == "" {
				return
			}
			folder := "xa1/" + strings.TrimSuffix(filepath.Dir(test.file)+"/", "./")
			if !f.exists(folder + "loi/" + filepath.Base(test.file)) {
				t.Error("the file is not in loi/")
			}
			if said := f.answerText(folder + "ket_qua/ho_dan.ketqua.xlsx"); !strings.Contains(said, test.code) || !strings.Contains(said, "Cần làm") {
				t.Errorf("the answer does not say %s:\n%s", test.code, said)
			}
		})
	}
}

func numbered(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%d.csv", i))
	}
	return names
}

func plainArchive(t testing.TB, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, name := range names {
		if _, err := archive.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func lockedArchive(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	w, err := archive.CreateRaw(&zip.FileHeader{Name: "a.csv", Flags: 1, CompressedSize64: 4, UncompressedSize64: 4})
	if err == nil {
		_, err = io.WriteString(w, "1234")
	}
	if err := errors.Join(err, archive.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestReplacedWhileRead: what was whole when it was copied is taken; what came in its place is
// taken after it.
func TestReplacedWhileRead(t *testing.T) {
	f := newFolder(t, households())
	f.must(f.source.Close())
	name := filepath.Join(f.config.Root, "xa1/ho_dan.csv")
	var content strings.Builder
	content.WriteString("Mã hộ,Tên\n")
	for i := range 25_000 {
		fmt.Fprintf(&content, "%05d,A\n", i)
	}
	replaced := false
	f.config.Progress = func(p file.Progress) {
		if p.Stage == "reading" && !replaced {
			replaced = true
			if err := errors.Join(os.WriteFile(name+".tmp", []byte("Mã hộ,Tên\n00001,B\n"), 0o600), os.Rename(name+".tmp", name)); err != nil {
				t.Error(err)
			}
		}
	}
	f.open()
	f.put("xa1/ho_dan.csv", []byte(content.String()))
	got := f.drain()
	if len(got) != 25_000 || !replaced {
		t.Fatalf("%d rows, replaced %v", len(got), replaced)
	}
	got = f.drain()
	if len(got) != 25_000 || got[0] != "upsert|00001|B" || got[1] != "delete|00000|=" {
		t.Errorf("%d rows, first %q", len(got), got[:min(3, len(got))])
	}
	f.acknowledge()
	if left, err := os.ReadDir(filepath.Join(f.config.Root, "xa1/done")); err != nil || len(left) != 2 {
		t.Errorf("done/ has %v, %v; want both", left, err)
	}
}

// TestSameContent: two files with the same content change nothing twice, and the answer says so.
func TestSameContent(t *testing.T) {
	f := newFolder(t, households())
	f.put("xa1/ho_dan.csv", []byte("Mã hộ,Tên\n1,A\n"))
	same(t, f.drain(), "upsert|1|A")
	f.put("xa1/ho_dan-ban-sao.csv", []byte("Mã hộ,Tên\n1,A\n"))
	same(t, f.drain())
	f.acknowledge()
	if said := f.answerText("xa1/ket_qua/ho_dan-ban-sao.ketqua.xlsx"); !strings.Contains(said, "giống hệt tệp đã nhận trước: xa1/ho_dan.csv") {
		t.Errorf("the answer does not name the first file:\n%s", said)
	}
}

// TestStrays: a file whose name fits nothing is named where somebody looks.
func TestStrays(t *testing.T) {
	f := newFolder(t, households())
	f.put("xa1/danh_sach_khac.docx", []byte("x"))
	f.put("xa1/ho_dan.csv", []byte("Mã hộ,Tên\n1,A\n"))
	same(t, f.drain(), "upsert|1|A")
	health, err := f.source.Health(t.Context())
	f.must(err)
	if !strings.Contains(health.Vi, "1 tệp trong thư mục không khớp") {
		t.Errorf("health %+v", health)
	}
	found, err := f.source.Inspect(t.Context())
	f.must(err)
	if len(found.LeftOut) != 1 || found.LeftOut[0].Name != "xa1/danh_sach_khac.docx" || len(found.Required) != 2 || !found.Required[0].OK {
		t.Errorf("inspection %+v", found)
	}
}

// TestViewDuringImport: a view that is opened in the middle of a large import shows nothing of it,
// and all of what it replaces; its chunks can be read in parallel.
func TestViewDuringImport(t *testing.T) {
	f := newFolder(t, households())
	f.must(f.source.Close())
	list := func(name string) []byte {
		var content bytes.Buffer
		content.WriteString("Mã hộ,Tên\n")
		for i := range 50_000 {
			fmt.Fprintf(&content, "%05d,%s\n", i, name)
		}
		return content.Bytes()
	}
	looked := 0
	f.config.Progress = func(p file.Progress) {
		if p.Stage != "storing" || p.Done || f.at.Order == 0 {
			return
		}
		rows := readView(t, f.source)
		if rows["A"] > 0 && rows["B"] == 0 {
			looked++
		}
		if rows["A"] != 50_000 && rows["A"] != 0 || rows["B"] != 0 {
			t.Errorf("in the middle of an import the view shows %v", rows)
		}
	}
	f.open()
	f.put("xa1/ho_dan.csv", list("A"))
	if got := len(f.drain()); got != 50_000 {
		t.Fatal(got)
	}
	f.acknowledge()
	if rows := readView(t, f.source); rows["A"] != 50_000 {
		t.Errorf("the view shows %v", rows)
	}
	f.put("xa1/ho_dan.csv", list("B"))
	if got := len(f.drain()); got != 50_000 {
		t.Fatal(got)
	}
	if rows := readView(t, f.source); rows["B"] != 50_000 || rows["A"] != 0 {
		t.Errorf("the view shows %v", rows)
	}
	if looked == 0 {
		t.Error("nobody looked in the middle")
	}
}

// readView reads all chunks of the first table at once and counts rows by their second column.
func readView(t *testing.T, source *file.Source) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	view, err := source.View(ctx)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer func() { _ = view.Close() }()
	chunks, err := view.Chunks(ctx, 0, 7000)
	if err != nil {
		t.Error(err)
		return nil
	}
	counts := make(chan string, 1000)
	ended := make(chan error)
	for _, chunk := range chunks {
		go func() {
			ended <- view.Read(ctx, 0, chunk, func(row *connector.Row) error {
				counts <- string(row.Values[1].Bytes)
				return nil
			})
		}()
	}
	rows := map[string]int{}
	for open := len(chunks); open > 0; {
		select {
		case name := <-counts:
			rows[name]++
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
			open--
		}
	}
	for len(counts) > 0 {
		rows[<-counts]++
	}
	return rows
}

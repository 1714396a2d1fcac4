package file_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"

	"github.com/lienthong/lienthong"
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

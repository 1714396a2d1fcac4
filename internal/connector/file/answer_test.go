package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/file"
)

// TestCorrectedWorkbook: the person corrects the answer to a workbook and hands it in again: what
// was right stays as it was, dates among them, and no mark of ours is left.
func TestCorrectedWorkbook(t *testing.T) {
	table := households()
	table.Columns = []lienthong.Column{{Name: "Mã hộ"}, {Name: "Ngày", Kind: lienthong.Date}, {Name: "Số", Kind: lienthong.Integer}}
	f := newFolder(t, table)
	custom, zeros := "dd/mm/yyyy", "00"
	f.put("xa1/ho_dan.xlsx", workbook(t, [][]any{
		{"DANH SÁCH"},
		{"Mã hộ", "Ngày", "Số"},
		{"01", time.Date(1990, 12, 31, 0, 0, 0, 0, time.UTC), "bốn"},
		{"01", time.Date(1991, 1, 2, 0, 0, 0, 0, time.UTC), 5},
	}, func(book *excelize.File) {
		var err error
		for column, format := range map[string]*string{"A": &zeros, "B": &custom, "C": &zeros} {
			style, failed := book.NewStyle(&excelize.Style{CustomNumFmt: format, Font: &excelize.Font{Bold: true}})
			err = errors.Join(err, failed, book.SetCellStyle("Sheet1", column+"3", column+"4", style))
		}
		if err = errors.Join(err, book.MergeCell("Sheet1", "A1", "C1"), book.SetColWidth("Sheet1", "B", "B", 33)); err != nil {
			t.Fatal(err)
		}
	}))
	same(t, f.drain(), "upsert|01|1990-12-31|!bốn", "upsert|!01|1991-01-02|5")
	f.acknowledge()

	answer := filepath.Join(f.config.Root, "xa1/ket_qua/ho_dan.ketqua.xlsx")
	book, err := excelize.OpenFile(answer)
	f.must(err)
	look := func(cell string) *excelize.Style {
		t.Helper()
		id, err := book.GetCellStyle("Sheet1", cell)
		f.must(err)
		style, err := book.GetStyle(id)
		f.must(err)
		return style
	}
	width, err := book.GetColWidth("Sheet1", "B")
	f.must(err)
	merged, err := book.GetMergeCells("Sheet1")
	f.must(err)
	if width != 33 || len(merged) != 1 {
		t.Errorf("the layout is not the person's: width %v, merged %v", width, merged)
	}
	if s := look("C3"); len(s.Fill.Color) != 1 || s.Font == nil || !s.Font.Bold || s.CustomNumFmt == nil || *s.CustomNumFmt != zeros {
		t.Errorf("a marked cell lost its look: %+v", s)
	}
	if s := look("B3"); len(s.Fill.Color) != 0 {
		t.Errorf("a right cell is marked: %+v", s)
	}
	f.must(errors.Join(book.SetCellValue("Sheet1", "C3", 4), book.SetCellValue("Sheet1", "A4", "02"), book.SetCellValue("Sheet1", "C4", "năm")))
	out, err := book.WriteToBuffer()
	f.must(errors.Join(err, book.Close()))
	f.put("xa1/ho_dan.ketqua.xlsx", out.Bytes())
	same(t, f.drain(), "upsert|01|1990-12-31|4", "upsert|02|1991-01-02|!năm")
	f.acknowledge()
	said := f.answerText("xa1/ket_qua/ho_dan.ketqua.xlsx")
	if strings.Count(said, "Tệp / File") != 1 || strings.Contains(said, "Sheet1!C3") || strings.Contains(said, "trùng khoá") || !strings.Contains(said, "Sheet1!C4") {
		t.Errorf("the second answer is not about the second file alone:\n%s", said)
	}
	if book, err = excelize.OpenFile(answer); err != nil {
		t.Fatal(err)
	}
	if s := look("C3"); len(s.Fill.Color) != 0 || s.CustomNumFmt == nil {
		t.Errorf("the mark of the first answer is left: %+v", s)
	}
	f.must(book.Close())
}

// TestCorrectedPart: the answer to a CSV holds the wrong rows alone; corrected and handed in, it adds
// to what the folder gave and deletes nothing, although the table's files are whole lists.
func TestCorrectedPart(t *testing.T) {
	table := households()
	table.Pattern = "*/ho_dan*.csv"
	table.Columns = []lienthong.Column{{Name: "Mã hộ"}, {Name: "Tên"}, {Name: "Số", Kind: lienthong.Integer}}
	f := newFolder(t, table)
	f.put("xa1/ho_dan.csv", []byte("Mã hộ;Tên;Số\n1;A;4\n;thiếu mã;2\n3;C;ba\n4;D;5\n"))
	same(t, f.drain(), "upsert|1|A|4", "upsert|∅|thiếu mã|2", "upsert|3|C|!ba", "upsert|4|D|5")
	f.acknowledge()
	book, err := excelize.OpenFile(filepath.Join(f.config.Root, "xa1/ket_qua/ho_dan.ketqua.xlsx"))
	f.must(err)
	rows, err := book.GetRows("Sheet1")
	f.must(err)
	if len(rows) != 3 || rows[1][0] != "3" || !strings.Contains(rows[1][4], "thiếu giá trị khoá") || !strings.Contains(rows[2][4], "số nguyên") {
		t.Fatalf("the answer is %v", rows)
	}
	f.must(errors.Join(book.SetCellValue("Sheet1", "B2", "2"), book.SetCellValue("Sheet1", "D3", 3)))
	out, err := book.WriteToBuffer()
	f.must(errors.Join(err, book.Close()))
	f.put("xa1/ho_dan.ketqua.xlsx", out.Bytes())
	same(t, f.drain(), "upsert|2|thiếu mã|2", "upsert|3|C|3")
	f.acknowledge()
	shown := readKeys(t, f.source)
	if diff := cmp.Diff([]string{"1", "2", "3", "4"}, shown); diff != "" {
		t.Errorf("the folder holds (-want +got)\n%s", diff)
	}
}

func readKeys(t *testing.T, source *file.Source) []string {
	t.Helper()
	view, err := source.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = view.Close() }()
	var keys []string
	chunks, err := view.Chunks(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, chunk := range chunks {
		if err := view.Read(t.Context(), 0, chunk, func(row *connector.Row) error {
			keys = append(keys, string(row.Values[0].Bytes))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(keys)
	return keys
}

// TestLargeAnswer: a list with very many wrong rows is answered row by row, and all are counted.
func TestLargeAnswer(t *testing.T) {
	table := households()
	table.Columns = []lienthong.Column{{Name: "Mã hộ"}, {Name: "Số", Kind: lienthong.Integer}}
	f := newFolder(t, table)
	var content bytes.Buffer
	content.WriteString("Mã hộ,Số\n")
	for i := range 12_000 {
		fmt.Fprintf(&content, "%05d,x%d\n", i, i)
	}
	f.put("xa1/ho_dan.csv", content.Bytes())
	f.drain()
	f.acknowledge()
	book, err := excelize.OpenFile(filepath.Join(f.config.Root, "xa1/ket_qua/ho_dan.ketqua.xlsx"))
	f.must(err)
	defer func() { _ = book.Close() }()
	rows, err := book.GetRows("Sheet1")
	f.must(err)
	if len(rows) != 12_001 || !strings.Contains(rows[12_000][3], "số nguyên") {
		t.Errorf("%d rows, the last %v", len(rows), rows[len(rows)-1])
	}
	summary, err := book.GetRows("Kết quả")
	f.must(err)
	if !strings.Contains(fmt.Sprint(summary), "[Có lỗi / With errors 12000]") {
		t.Errorf("the summary is %v", summary)
	}
}

// TestPreview: what a file looks like, without any declaration.
func TestPreview(t *testing.T) {
	var rows [][]any
	rows = append(rows, []any{"DANH SÁCH HỘ"}, []any{"STT", "Chủ hộ", nil, nil, "Thửa", "Ngày cấp", "Diện tích", "Nghèo", "Ghi chú"},
		[]any{nil, "Họ tên", "Số CCCD", "Giới"})
	for i := range 300 {
		note := any(nil)
		if i%10 == 0 {
			note = "x"
		}
		rows = append(rows, []any{i + 1, "NguyÔn V¨n " + string(rune('A'+i%20)), fmt.Sprintf("0960%08d", i), "Nam", 7 + i%3, fmt.Sprintf("%d/12/1990", i%28+1), fmt.Sprintf("%d,5", i), "Có", note})
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "ho.xlsx")
	if err := os.WriteFile(name, workbook(t, rows, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := file.Inspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Sheets) != 1 || p.Sheets[0].Problem != nil {
		t.Fatalf("%+v", p)
	}
	s := p.Sheets[0]
	if s.HeaderRow != 2 || s.HeaderRows != 2 || s.RowsRead != 300 || s.EstimatedRows != 300 || !s.Complete || strings.Join(s.Keys, "|") != "Chủ hộ / Số CCCD|Diện tích|STT" {
		t.Errorf("header %d+%d, %d of %d rows, keys %v", s.HeaderRow, s.HeaderRows, s.RowsRead, s.EstimatedRows, s.Keys)
	}
	want := []file.ColumnPreview{
		{Name: "STT", Leaf: "STT", Encoding: file.EncodingUTF8, Kind: lienthong.Integer, Values: 300, Distinct: 300, MaxLength: 3, Unique: true},
		{Name: "Chủ hộ / Họ tên", Leaf: "Họ tên", Encoding: file.EncodingTCVN3, Kind: lienthong.Text, Values: 300, Distinct: 20, MaxLength: 12},
		{Name: "Chủ hộ / Số CCCD", Leaf: "Số CCCD", Encoding: file.EncodingUTF8, Kind: lienthong.Text, Values: 300, Distinct: 300, MaxLength: 12, Unique: true},
		{Name: "Chủ hộ / Giới", Leaf: "Giới", Encoding: file.EncodingUTF8, Kind: lienthong.Text, Values: 300, Distinct: 1, MaxLength: 3},
		{Name: "Thửa", Leaf: "Thửa", Encoding: file.EncodingUTF8, Kind: lienthong.Integer, Values: 300, Distinct: 3, MaxLength: 1},
		{Name: "Ngày cấp", Leaf: "Ngày cấp", Encoding: file.EncodingUTF8, Kind: lienthong.Date, Values: 300, Distinct: 28, MaxLength: 10},
		{Name: "Diện tích", Leaf: "Diện tích", Encoding: file.EncodingUTF8, Kind: lienthong.Decimal, Values: 300, Distinct: 300, MaxLength: 5, Unique: true},
		{Name: "Nghèo", Leaf: "Nghèo", Encoding: file.EncodingUTF8, Kind: lienthong.Boolean, Values: 300, Distinct: 1, MaxLength: 2},
		{Name: "Ghi chú", Leaf: "Ghi chú", Encoding: file.EncodingUTF8, Kind: lienthong.Boolean, Values: 30, Nulls: 270, Distinct: 1, MaxLength: 1},
	}
	for i := range s.Columns {
		c := &s.Columns[i]
		if len(c.Samples) == 0 || len(c.Samples) > 50 {
			t.Errorf("%s has %d samples", c.Name, len(c.Samples))
		}
		if c.Leaf == "Họ tên" && c.Samples[0] != "Nguyễn Văn A" {
			t.Errorf("sample %q", c.Samples[0])
		}
		c.Samples, c.Share = nil, 0
	}
	if diff := cmp.Diff(want, s.Columns); diff != "" {
		t.Errorf("columns (-want +got)\n%s", diff)
	}

	american := filepath.Join(dir, "my.csv")
	if err := os.WriteFile(american, []byte("id;born\n1;12/31/1990\n2;01/15/1991\n3;02/03/1992\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err = file.Inspect(t.Context(), american); err != nil {
		t.Fatal(err)
	}
	if c := p.Sheets[0].Columns[1]; c.Kind != lienthong.Date || !c.MonthFirst || p.Sheets[0].Delimiter != ";" {
		t.Errorf("%+v", p.Sheets[0])
	}
	if text := fmt.Sprint(p.LogValue(), p.Sheets[0].Columns[1].LogValue()); strings.Contains(text, "1990") {
		t.Errorf("a log would show values: %s", text)
	}
	if err := os.WriteFile(american, encrypted(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = file.Inspect(t.Context(), american); lienthong.ErrorCode(err) != "file.password" {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = file.Inspect(ctx, name); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

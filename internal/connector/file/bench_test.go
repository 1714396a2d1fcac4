package file_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
)

func people(n int) [][]any {
	rows := [][]any{{"Mã hộ", "Họ tên", "Ngày sinh", "Giới tính", "Tỉnh", "Xã", "Địa chỉ", "Dân tộc", "Điện thoại", "Trạng thái", "Cập nhật", "Số"}}
	for i := range n {
		rows = append(rows, []any{fmt.Sprintf("%012d", i), "Nguyễn Thị Ánh", "1990-02-03", "Nữ", "96", "31825", fmt.Sprintf("Số %d, khóm 3", i), "Kinh", "0912345678", "A", "2026-11-23", i})
	}
	return rows
}

func benchmarkImport(b *testing.B, name string, content []byte) {
	b.Helper()
	f := newFolder(b, households())
	f.put("xa1/"+name, content)
	b.ResetTimer()
	if n, err := f.source.Accept(b.Context()); err != nil || n != 1 {
		b.Fatal(n, err)
	}
	b.StopTimer()
	if got := len(f.drain()); got != b.N {
		b.Fatalf("%d rows, want %d", got, b.N)
	}
}

func BenchmarkImportCSV(b *testing.B) {
	var csv strings.Builder
	for _, row := range people(b.N) {
		line := strings.TrimSuffix(fmt.Sprintln(row[0]), "\n")
		for _, cell := range row[1:] {
			line += fmt.Sprintf(";%v", cell)
		}
		csv.WriteString(line + "\n")
	}
	benchmarkImport(b, "ho_dan.csv", []byte(csv.String()))
}

func BenchmarkImportXLSX(b *testing.B) {
	book := excelize.NewFile()
	defer func() { _ = book.Close() }()
	stream, err := book.NewStreamWriter("Sheet1")
	if err != nil {
		b.Fatal(err)
	}
	for i, row := range people(b.N) {
		if err := stream.SetRow(fmt.Sprintf("A%d", i+1), row); err != nil {
			b.Fatal(err)
		}
	}
	if err := stream.Flush(); err != nil {
		b.Fatal(err)
	}
	out, err := book.WriteToBuffer()
	if err != nil {
		b.Fatal(err)
	}
	benchmarkImport(b, "ho_dan.xlsx", out.Bytes())
}

package file_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/file"
)

// collector is a sink that keeps rows as text, refuses what it is told to
// refuse, and ends the stream when it is drained.
type collector struct {
	source  *file.Source
	columns map[int][]lienthong.Column
	lines   []string
	last    lienthong.Position
	ended   context.CancelFunc
}

func (c *collector) Begin(lienthong.Position, int64) error { return nil }

func (c *collector) Change(row *connector.Row) error {
	line := row.Op.String()
	usable := true
	for i := range row.Values {
		v := &row.Values[i]
		switch v.State {
		case lienthong.Null:
			line += "|∅"
		case lienthong.Unchanged:
			line += "|="
		case lienthong.Malformed:
			line += fmt.Sprintf("|!%s", v.Bytes)
			usable = false
		case lienthong.Present:
			line += "|" + string(v.AppendText(nil, c.columns[row.Table][i].Kind))
		}
	}
	c.lines = append(c.lines, line)
	if !usable {
		return c.source.Reject(row.Table, row.Version, "Họ tên", "bị từ chối ở bước kiểm tra", "refused by a check")
	}
	return nil
}

func (c *collector) Truncate(int, int64, int64) error { return nil }

func (c *collector) Schema(table int, now connector.Table) error {
	c.columns[table] = now.Columns
	return nil
}

func (c *collector) Commit(pos lienthong.Position) error { c.last = pos; return nil }

func (c *collector) Idle() error { c.ended(); return nil }

type folder struct {
	t      testing.TB
	config file.Config
	source *file.Source
	at     lienthong.Position
}

func newFolder(t testing.TB, tables ...file.Table) *folder {
	t.Helper()
	f := &folder{t: t, config: file.Config{
		Root: t.TempDir(), StateDir: t.TempDir(), Tables: tables, Interval: time.Millisecond, Settle: 1,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	f.open()
	return f
}

func (f *folder) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) open() {
	f.t.Helper()
	source, err := file.Open(f.t.Context(), f.config)
	f.must(err)
	f.t.Cleanup(func() { _ = source.Close() })
	f.source = source
	var names []string
	for _, t := range f.config.Tables {
		names = append(names, t.Name)
	}
	f.at, err = source.Start(f.t.Context(), names)
	f.must(err)
}

func (f *folder) put(name string, content []byte) {
	f.t.Helper()
	name = filepath.Join(f.config.Root, name)
	f.must(os.MkdirAll(filepath.Dir(name), 0o750))
	f.must(os.WriteFile(name+".tmp", content, 0o600))
	f.must(os.Rename(name+".tmp", name))
}

// drain streams what is new.
func (f *folder) drain() []string {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	listed, err := f.source.Tables(f.t.Context())
	f.must(err)
	c := &collector{source: f.source, columns: map[int][]lienthong.Column{}, ended: cancel, last: f.at}
	for i := range listed {
		c.columns[i] = listed[i].Columns
	}
	if err := f.source.Stream(ctx, f.at, c); ctx.Err() == nil {
		f.t.Fatal(err)
	}
	f.at = c.last
	return c.lines
}

func (f *folder) acknowledge() {
	f.t.Helper()
	f.must(f.source.Acknowledge(f.t.Context(), f.at))
}

func (f *folder) exists(name string) bool {
	_, err := os.Stat(filepath.Join(f.config.Root, name))
	return err == nil
}

func households() file.Table {
	return file.Table{Name: "ho_dan", Pattern: "*/ho_dan*", Key: []string{"Mã hộ"}}
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func utf16File(order func(uint16) [2]byte, mark bool, text string) []byte {
	if mark {
		text = "\ufeff" + text
	}
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		pair := order(unit)
		out = append(out, pair[:]...)
	}
	return out
}

func little(u uint16) [2]byte { return [2]byte{byte(u), byte(u >> 8)} }
func big(u uint16) [2]byte    { return [2]byte{byte(u >> 8), byte(u)} }

func TestCSVForms(t *testing.T) {
	const plain = "Mã hộ,Họ tên,Ghi chú\n001,Nguyễn Văn A,\"dòng 1\r\ndòng 2, \"\"trích\"\"\"\n"
	want := "upsert|001|Nguyễn Văn A|dòng 1\r\ndòng 2, \"trích\""
	for name, content := range map[string][]byte{
		"plain":              []byte(plain),
		"mark":               []byte("\ufeff" + plain),
		"UTF-16 little":      utf16File(little, true, plain),
		"UTF-16 big":         utf16File(big, true, plain),
		"UTF-16 no mark":     utf16File(little, false, plain),
		"CRLF":               []byte(strings.ReplaceAll(strings.ReplaceAll(plain, "\r\n", "\x00"), "\n", "\r\n")[:0] + "Mã hộ,Họ tên,Ghi chú\r\n001,Nguyễn Văn A,\"dòng 1\r\ndòng 2, \"\"trích\"\"\"\r\n"),
		"no end of line":     []byte(strings.TrimSuffix(plain, "\n")),
		"semicolons":         []byte("Mã hộ;Họ tên;Ghi chú\n001;Nguyễn Văn A;\"dòng 1\r\ndòng 2, \"\"trích\"\"\"\n"),
		"tabs":               []byte("Mã hộ\tHọ tên\tGhi chú\n001\tNguyễn Văn A\t\"dòng 1\r\ndòng 2, \"\"trích\"\"\"\n"),
		"bars":               []byte("Mã hộ|Họ tên|Ghi chú\n001|Nguyễn Văn A|\"dòng 1\r\ndòng 2, \"\"trích\"\"\"\n"),
		"title above":        []byte("DANH SÁCH HỘ DÂN\n\n" + plain),
		"marks, numbered":    []byte("MÃ HỘ (*),Họ  tên,Ghi chú\n(1),(2),(3)\n001,Nguyễn Văn A,\"dòng 1\r\ndòng 2, \"\"trích\"\"\"\n"),
		"empty rows between": []byte(strings.Replace(plain, "\n001", "\n\n,,\n001", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t, households())
			f.put("xa1/ho_dan.csv", content)
			same(t, f.drain(), want)
		})
	}
}

// workbook makes an XLSX file as an office would.
func workbook(t testing.TB, rows [][]any, dress func(*excelize.File)) []byte {
	t.Helper()
	book := excelize.NewFile()
	defer func() { _ = book.Close() }()
	for i := range rows {
		if err := book.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if dress != nil {
		dress(book)
	}
	out, err := book.WriteToBuffer()
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWorkbook(t *testing.T) {
	born := time.Date(1990, 2, 3, 0, 0, 0, 0, time.UTC)
	custom, zeros := "dd/mm/yyyy", "00000"
	content := workbook(t, [][]any{
		{"DANH SÁCH HỘ DÂN XÃ"},
		{"Mã hộ", "Chủ hộ", nil, "Xã", "Công thức", "Sai", "Đất (m2)"},
		{nil, "Họ tên", "Ngày sinh"},
		{1, 2, 3, 4, 5, 6, 7},
		{"001", "Nguyễn Văn A", born, 31825, nil, nil, 120.5},
		{"002", "Trần Thị B", "03/02/1990", 825, nil, nil, 0.1},
	}, func(book *excelize.File) {
		for _, err := range []error{
			book.MergeCell("Sheet1", "A1", "G1"), book.MergeCell("Sheet1", "A2", "A3"), book.MergeCell("Sheet1", "B2", "C2"),
			book.MergeCell("Sheet1", "D2", "D3"), book.MergeCell("Sheet1", "G2", "G3"),
			book.SetCellFormula("Sheet1", "E5", "1+1"), book.SetCellValue("Sheet1", "E5", 2),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		date, err := book.NewStyle(&excelize.Style{CustomNumFmt: &custom})
		if err != nil {
			t.Fatal(err)
		}
		code, err := book.NewStyle(&excelize.Style{CustomNumFmt: &zeros})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{book.SetCellStyle("Sheet1", "C5", "C5", date), book.SetCellStyle("Sheet1", "D5", "D6", code)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	f := newFolder(t, households())
	f.put("xa1/ho_dan.xlsx", content)
	same(t, f.drain(),
		"upsert|001|Nguyễn Văn A|1990-02-03|31825|2|∅|120.5",
		"upsert|002|Trần Thị B|03/02/1990|00825|∅|∅|0.1")
}

// TestWrongRows: wrong rows arrive so that they are counted, neighbours are not
// harmed, and the answer marks each wrong cell.
func TestWrongRows(t *testing.T) {
	table := households()
	table.Columns = []lienthong.Column{
		{Name: "Mã hộ", Kind: lienthong.Text}, {Name: "Họ tên", Kind: lienthong.Text}, {Name: "Số người", Kind: lienthong.Integer},
	}
	rows := [][]any{
		{"Mã hộ", "Họ tên", "Số người"},
		{"001", "A", "4"},
		{nil, "thiếu mã", "2"},
		{"001", "trùng", "3"},
		{"002", "B", "bốn"},
		{"003", "C", "5", "thừa"},
		{"004", "D", nil},
	}
	want := []string{
		"upsert|001|A|4", "upsert|∅|thiếu mã|2", "upsert|!001|trùng|3", "upsert|002|B|!bốn", "upsert|003|!C|!5", "upsert|004|D|∅",
	}
	var csv strings.Builder
	for _, row := range rows {
		for i, value := range row {
			if i > 0 {
				csv.WriteByte(';')
			}
			if value != nil {
				fmt.Fprint(&csv, value)
			}
		}
		csv.WriteByte('\n')
	}
	for name, content := range map[string][]byte{"ho_dan.xlsx": workbook(t, rows, nil), "ho_dan.csv": []byte(csv.String())} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t, table)
			f.put("xa1/"+name, content)
			same(t, f.drain(), want...)
			if f.exists("xa1/done/"+name) || !f.exists("xa1/"+name) {
				t.Fatal("the file moved before it was acknowledged")
			}
			f.acknowledge()
			if !f.exists("xa1/done/"+name) || f.exists("xa1/"+name) {
				t.Error("the file is not in done/ after it was acknowledged")
			}
			book, err := excelize.OpenFile(filepath.Join(f.config.Root, "xa1/ket_qua/ho_dan.ketqua.xlsx"))
			f.must(err)
			defer func() { _ = book.Close() }()
			comments, err := book.GetComments("Sheet1")
			f.must(err)
			said := map[string]string{}
			for _, c := range comments {
				said[c.Cell] = c.Text
			}
			cellsOf := map[string]string{"A3": "thiếu giá trị khoá", "A4": "trùng khoá với dòng 2", "C5": "không đúng kiểu", "A6": "4 ô", "B4": "bị từ chối ở bước kiểm tra"}
			if name == "ho_dan.csv" { // wrong rows only, with their numbers in front
				cellsOf = map[string]string{"B2": "thiếu giá trị khoá", "B3": "trùng khoá với dòng 2", "D4": "không đúng kiểu", "B5": "4 ô", "C3": "bị từ chối ở bước kiểm tra"}
			}
			for at, text := range cellsOf {
				if !strings.Contains(said[at], text) {
					t.Errorf("note on %s is %q, want %q", at, said[at], text)
				}
			}
			summary, err := book.GetRows("Kết quả")
			f.must(err)
			got := fmt.Sprint(summary)
			for _, line := range []string{"[Số dòng / Rows 6]", "[Không có lỗi / Without errors 2]", "[Có lỗi / With errors 4]"} {
				if !strings.Contains(got, line) {
					t.Errorf("no %s in the summary %s", line, got)
				}
			}
			// Handed in again, only what cannot be compared comes again.
			f.put("xa1/"+name, content)
			same(t, f.drain(), "upsert|∅|thiếu mã|2", "upsert|!001|trùng|3")
		})
	}
}

func TestFullAndDelta(t *testing.T) {
	full := households()
	f := newFolder(t, full)
	f.put("xa1/ho_dan-1.csv", []byte("Mã hộ,Tên\n1,A\n2,B\n"))
	f.put("xa2/ho_dan-1.csv", []byte("Mã hộ,Tên\n9,Z\n"))
	f.drain()
	f.acknowledge()
	f.put("xa1/ho_dan-2.csv", []byte("Mã hộ,Tên\n2,B\n3,C\n"))
	same(t, f.drain(), "upsert|3|C", "delete|1|=")
	// Not acknowledged: the same again after a restart, and the file is not taken twice.
	f.must(f.source.Close())
	f.open()
	same(t, f.drain(), "upsert|3|C", "delete|1|=")
	f.acknowledge()
	same(t, f.drain())

	delta := households()
	delta.Mode, delta.Operation = file.Delta, "Thao tác"
	f = newFolder(t, delta)
	f.put("xa1/ho_dan-1.csv", []byte("Mã hộ,Tên,Thao tác\n1,A,\n2,B,thêm\n1,A2,sửa\n2,,Xoá\n7,,xoá\n"))
	same(t, f.drain(), "upsert|1|A", "upsert|2|B", "upsert|1|A2", "delete|2|=")
}

func TestFolderColumn(t *testing.T) {
	table := households()
	table.FolderColumn, table.Key = "xa", []string{"xa", "Mã hộ"}
	f := newFolder(t, table)
	f.put("xa1/ho_dan.csv", []byte("Mã hộ,Tên\n1,A\n"))
	f.put("xa2/ho_dan.csv", []byte("Mã hộ,Tên\n1,B\n"))
	got := f.drain()
	if len(got) != 2 || !strings.Contains(strings.Join(got, " "), "upsert|xa1|1|A") || !strings.Contains(strings.Join(got, " "), "upsert|xa2|1|B") {
		t.Errorf("got %q", got)
	}
}

// TestRefused: a file that is no table changes nothing, moves to loi/ and is
// answered; files beside it go on.
func TestRefused(t *testing.T) {
	limited := households()
	for name, test := range map[string]struct {
		file    string
		content []byte
		code    string
	}{
		"no header":       {"ho_dan.csv", []byte("a,b\n1,2\n"), "file.header"},
		"binary":          {"ho_dan.csv", []byte("\x00\x01\x02\xff\xfe\x00"), "file.header"},
		"no workbook":     {"ho_dan.xlsx", []byte("Mã hộ,Tên\n1,A\n"), "file.unreadable"},
		"old workbook":    {"ho_dan.xls", []byte("\xd0\xcf\x11\xe0"), "file.old_workbook"},
		"empty full file": {"ho_dan.csv", []byte("Mã hộ,Tên\n"), "file.empty"},
		"column gone":     {"ho_dan.csv", []byte("Mã hộ\n5\n"), "file.column_missing"},
		"column twice":    {"ho_dan.csv", []byte("Mã hộ,Tên,tên\n5,a,b\n"), "file.column_twice"},
		"open quote":      {"ho_dan.csv", []byte("Mã hộ,Tên\n5,\"" + strings.Repeat("x", 2<<20)), "file.too_large"},
		"too large":       {"ho_dan.csv", []byte("Mã hộ,Tên\n" + strings.Repeat("5,a\n", 2<<20)), "file.too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t, limited)
			f.config.MaxBytes = 4 << 20
			f.must(f.source.Close())
			f.open()
			f.put("xa1/ho_dan-0.csv", []byte("Mã hộ,Tên\n1,A\n"))
			same(t, f.drain(), "upsert|1|A")
			f.acknowledge()
			f.put("xa1/"+test.file, test.content)
			f.put("xa2/ho_dan.csv", []byte("Mã hộ,Tên\n8,H\n"))
			same(t, f.drain(), "upsert|8|H")
			if !f.exists("xa1/loi/" + test.file) {
				t.Error("the file is not in loi/")
			}
			book, err := excelize.OpenFile(filepath.Join(f.config.Root, "xa1/ket_qua/ho_dan.ketqua.xlsx"))
			f.must(err)
			defer func() { _ = book.Close() }()
			rows, err := book.GetRows("Kết quả")
			f.must(err)
			if !strings.Contains(fmt.Sprint(rows), test.code) {
				t.Errorf("the answer %v does not say %s", rows, test.code)
			}
		})
	}
}

// TestUnfinished: a file that is still written is not taken.
func TestUnfinished(t *testing.T) {
	f := newFolder(t, households())
	f.must(f.source.Close())
	now := time.Now()
	f.config.Settle, f.config.Now = time.Hour, func() time.Time { return now }
	f.open()
	f.put("xa1/ho_dan.csv", []byte("Mã hộ,Tên\n1,A\n"))
	look := func(want int) {
		t.Helper()
		if n, err := f.source.Accept(t.Context()); err != nil || n != want {
			t.Fatalf("accepted %d files, %v; want %d", n, err, want)
		}
	}
	look(0)
	f.put("xa1/ho_dan.csv", []byte("Mã hộ,Tên\n1,A\n2,B\n"))
	look(0) // it has grown
	look(1) // the same twice
	look(0)
	f.put("xa1/~$ho_dan.csv", []byte("x"))
	f.put("xa1/.ho_dan.csv", []byte("x"))
	look(0)
	look(0)
}

func TestConfigSaysAllProblems(t *testing.T) {
	_, err := file.Open(t.Context(), file.Config{Root: t.TempDir(), StateDir: t.TempDir(), Tables: []file.Table{
		{Name: "a", Pattern: "[", Key: []string{"k"}}, {Name: "b", Pattern: "*"},
	}})
	if err == nil || strings.Count(err.Error(), "file.config") != 2 || !errors.Is(err, &lienthong.Error{Code: "file.config"}) {
		t.Errorf("got %v", err)
	}
}

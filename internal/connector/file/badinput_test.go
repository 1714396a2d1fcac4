package file_test

import (
	"archive/zip"
	"bytes"
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

	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/file"
)

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

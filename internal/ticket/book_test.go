package ticket_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/ticket"
)

func shape() *lienthong.Shape {
	return &lienthong.Shape{
		Dataset: person, Version: 3, Identity: []int{0, 1},
		Fields: []lienthong.Field{
			{Name: "code", LabelVi: "Mã hồ sơ", LabelEn: "File code", Kind: lienthong.Text, Required: true},
			{Name: "commune", LabelVi: "Mã xã", LabelEn: "Commune", Kind: lienthong.Text, Required: true},
			{Name: "full_name", LabelVi: "Họ và tên", LabelEn: "Full name", Kind: lienthong.Text, Personal: true, MaxLength: 60},
			{Name: "birth_date", LabelVi: "Ngày sinh", LabelEn: "Date of birth", Kind: lienthong.Date},
			{Name: "issued", LabelVi: "Ngày cấp", LabelEn: "Issued", Kind: lienthong.Date},
			{Name: "number", LabelVi: "Số định danh", LabelEn: "Personal number", Kind: lienthong.Text, Personal: true},
			{Name: "income", LabelVi: "Thu nhập", LabelEn: "Income", Kind: lienthong.Decimal},
			{Name: "children", LabelVi: "Số con", LabelEn: "Children", Kind: lienthong.Integer},
			{Name: "alive", LabelVi: "Còn sống", LabelEn: "Alive", Kind: lienthong.Boolean},
			{Name: "updated", LabelVi: "Cập nhật", LabelEn: "Updated", Kind: lienthong.Timestamp},
		},
	}
}

func checker(t testing.TB) *quality.Checker {
	t.Helper()
	rules := []dictionary.Rule{
		{Code: "name.nfc", Field: "full_name", Vi: "họ tên không ở dạng NFC", En: "the name is not in NFC", Check: dictionary.Check{NFC: true}},
		{Code: "name.person", Field: "full_name", Vi: "không phải họ tên", En: "not a person's name", Check: dictionary.Check{PersonName: true}},
		{Code: "number.digits", Field: "number", Vi: "số định danh phải có 12 chữ số", En: "a personal number has 12 digits", Check: dictionary.Check{Digits: 12}},
		{Code: "birth.range", Field: "birth_date", Vi: "ngày sinh ngoài khoảng", En: "date of birth out of range", Check: dictionary.Check{Min: "1900-01-01", Max: "now"}},
		{Code: "issued.order", Field: "issued", Vi: "cấp trước khi sinh", En: "issued before birth", Check: dictionary.Check{NotBefore: "birth_date"}},
		{Code: "children.range", Field: "children", Vi: "số con ngoài khoảng", En: "number of children out of range", Check: dictionary.Check{Min: "0", Max: "20"}},
	}
	c, err := quality.Compile(shape(), rules, nil, func() time.Time { return at(t, "2025-06-02 09:00") })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func text(s string) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: []byte(s)}
}

func number(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

func date(t testing.TB, s string) lienthong.Value {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return number(d.Unix() / 86400)
}

// record is a person in the form of the shape.
func record(t testing.TB, code, name, born string) []lienthong.Value {
	return []lienthong.Value{
		text(code), text("00123"), text(name), date(t, born), date(t, "2021-05-06"), text("1089012345"), text("1250.50"),
		number(99), number(1), number(time.Date(2025, 6, 1, 3, 4, 5, 0, time.UTC).UnixMicro()),
	}
}

func workbook(t testing.TB) *ticket.Workbook {
	return &ticket.Workbook{
		Checker: checker(t), Ticket: id, Owner: "Công an tỉnh", At: at(t, "2025-06-02 09:00"),
		Due: at(t, "2025-06-16 17:00"), Scratch: t.TempDir(),
	}
}

func each(rows []ticket.Row) iter.Seq2[ticket.Row, error] {
	return func(yield func(ticket.Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

func write(t testing.TB, w *ticket.Workbook, rows []ticket.Row) []byte {
	t.Helper()
	var out bytes.Buffer
	if n, _, err := w.Write(context.Background(), &out, each(rows)); err != nil || n != len(rows) {
		t.Fatalf("wrote %d of %d: %v", n, len(rows), err)
	}
	return out.Bytes()
}

const sheet = "Cần sửa"

// columns of a workbook of the shape above, which has two fields in its key
const (
	keyColumn, presentColumn, correctColumn, remarkColumn, answerColumn = "B", "F", "G", "H", "I"
)

// edit opens a workbook as a spreadsheet program does, changes it and saves it.
func edit(t testing.TB, data []byte, change func(*excelize.File) error) []byte {
	t.Helper()
	book, err := excelize.OpenReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = book.Close() }()
	if err := change(book); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := book.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// fill writes the right values, one per line.
func fill(t testing.TB, data []byte, values ...any) []byte {
	t.Helper()
	return edit(t, data, func(book *excelize.File) error {
		for i, value := range values {
			if value == nil {
				continue
			}
			if err := book.SetCellValue(sheet, fmt.Sprintf("%s%d", correctColumn, i+3), value); err != nil {
				return err
			}
		}
		return nil
	})
}

func read(t testing.TB, w *ticket.Workbook, data []byte) ticket.Corrections {
	t.Helper()
	got, err := w.ReadCorrections(context.Background(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func problems(c ticket.Corrections) []string {
	var list []string
	for _, p := range c.Problems {
		list = append(list, p.Cell+" "+p.Code)
	}
	return list
}

// TestWorkbook_RoundTrip: what is written in comes back as values of the fields, with leading zeros, in NFC, dates
// day first.
func TestWorkbook_RoundTrip(t *testing.T) {
	w := workbook(t)
	r := record(t, "0007", "Nguyễn  Va\u0306n A\u0301nh", "1890-01-01") // decomposed
	lines := []ticket.Row{
		{Record: "r1", Values: r, Rule: "name.nfc", Field: "full_name"},
		{Record: "r1", Values: r, Rule: "birth.range", Field: "birth_date"},
		{Record: "r1", Values: r, Rule: "number.digits", Field: "number"},
		{Record: "r1", Values: r, Rule: "income.odd", Field: "income", Vi: "thu nhập lạ", En: "odd income"},
		{Record: "r1", Values: r, Rule: "children.range", Field: "children"},
		{Record: "r1", Values: r, Rule: "alive.odd", Field: "alive"},
		{Record: "r1", Values: r, Rule: "updated.odd", Field: "updated"},
		{Record: "r2", Values: r, Rule: "issued.order", Field: "issued"},
		{Record: "r3", Values: r, Rule: "name.person", Field: "full_name"},
	}
	data := write(t, w, lines)
	got := read(t, w, fill(t, data,
		"  Nguye\u0302\u0303n Va\u0306n A\u0301nh\u00a0", "5/9/1990", "001089012345", "1250,75", 3, "không", "07/06/2025 08:30",
		time.Date(2021, 5, 7, 0, 0, 0, 0, time.UTC), "Trần Thị B"))
	if diff := cmp.Diff([]string(nil), problems(got)); diff != "" {
		t.Fatal(diff)
	}
	var values []string
	for _, c := range got.List {
		values = append(values, c.Record+" "+c.Field+" "+c.Text+" "+strings.Join(c.Key, "/"))
	}
	if diff := cmp.Diff([]string{
		"r1 full_name Nguyễn Văn Ánh 0007/00123", "r1 birth_date 1990-09-05 0007/00123", "r1 number 001089012345 0007/00123",
		"r1 income 1250.75 0007/00123", "r1 children 3 0007/00123", "r1 alive false 0007/00123",
		"r1 updated 2025-06-07T01:30:00.000000Z 0007/00123", "r2 issued 2021-05-07 0007/00123", "r3 full_name Trần Thị B 0007/00123",
	}, values); diff != "" {
		t.Error(diff)
	}
	if got.Lines != 9 || got.Empty != 0 {
		t.Errorf("%d lines, %d empty", got.Lines, got.Empty)
	}
	if c := got.List[1]; c.Before != "01/01/1890" || c.Kind != lienthong.Date || c.Value.Int != date(t, "1990-09-05").Int {
		t.Errorf("%+v", c)
	}
}

// TestWorkbook_RefusesCell is the table of what people write that cannot be taken, and why.
func TestWorkbook_RefusesCell(t *testing.T) {
	for name, c := range map[string]struct {
		field string
		value any
		code  string // empty: taken
		text  string
	}{
		"lost zeros":            {"number", 1089012346, "ticket.rule", ""},
		"too short":             {"number", "00108901234", "ticket.rule", ""},
		"same":                  {"number", "1089012345", "ticket.same_value", ""},
		"same, decomposed":      {"full_name", "Trần Thi\u0323 B", "ticket.same_value", ""},
		"not a name":            {"full_name", "B2", "ticket.rule", ""},
		"no value":              {"number", "(trống)", "", ""},
		"no value in English":   {"number", "(EMPTY)", "", ""},
		"no value for required": {"code", "(trống)", "ticket.rule", ""},
		"American date":         {"birth_date", "12/31/1990", "ticket.date", ""},
		"no such day":           {"birth_date", "29/02/1991", "ticket.date", ""},
		"only a year":           {"birth_date", 1990, "ticket.date_ambiguous", ""},
		"only a year, as text":  {"birth_date", "1990", "ticket.date", ""},
		"serial as text":        {"birth_date", "33238", "ticket.date", ""},
		"in the future":         {"birth_date", "01/01/2030", "ticket.rule", ""},
		"a date cell":           {"birth_date", time.Date(1990, 12, 31, 0, 0, 0, 0, time.UTC), "", "1990-12-31"},
		"year first":            {"birth_date", "1990-12-31", "", "1990-12-31"},
		"with points":           {"birth_date", "31.12.1990", "", "1990-12-31"},
		"thousands":             {"income", "1.250", "ticket.number_ambiguous", ""},
		"thousands, comma":      {"income", "1,250", "ticket.number_ambiguous", ""},
		"both marks":            {"income", "1.250,5", "ticket.number_ambiguous", ""},
		"three decimals":        {"income", "0.125", "", "0.125"},
		"three and a zero":      {"income", "1.2500", "", "1.2500"},
		"a number cell":         {"income", 1.25, "", "1.25"},
		"a large number cell":   {"income", 1.25e20, "", "125000000000000000000"},
		"minus":                 {"income", "-0012,5", "", "-12.5"},
		"minus nothing":         {"income", "-0.0", "", "0.0"},
		"words":                 {"income", "mười", "ticket.number", ""},
		"half a child":          {"children", 1.5, "ticket.number", ""},
		"whole, as 3.0":         {"children", "3.0", "", "3"},
		"thousands of children": {"children", "1.000", "ticket.number_ambiguous", ""},
		"yes":                   {"alive", "Không", "", "false"},
		"maybe":                 {"alive", "chưa rõ", "ticket.boolean", ""},
		"a control character":   {"full_name", "Trần\x07 B", "ticket.text", ""},
		"a time":                {"updated", "2025-06-01T03:04:06Z", "", "2025-06-01T03:04:06.000000Z"},
		"half a time":           {"updated", "01/06/2025", "ticket.date", ""},
	} {
		w := workbook(t)
		data := write(t, w, []ticket.Row{{Record: "r1", Values: record(t, "0007", "Trần Thị B", "1980-01-01"), Rule: "x", Field: c.field}})
		got := read(t, w, fill(t, data, c.value))
		var codes []string
		for _, p := range got.Problems {
			codes = append(codes, p.Code)
			if p.Cell != "G3" || p.Vi == "" || p.En == "" {
				t.Errorf("%s: %+v", name, p)
			}
		}
		want := []string{c.code}
		if c.code == "" {
			want = nil
		}
		if diff := cmp.Diff(want, codes); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if c.code == "" && (len(got.List) != 1 || got.List[0].Text != c.text) {
			t.Errorf("%s: %+v", name, got.List)
		}
	}
}

// TestWorkbook_Formulas: nothing that is shown is a formula, and a formula that comes back is not taken.
func TestWorkbook_Formulas(t *testing.T) {
	w := workbook(t)
	hostile := []string{`=HYPERLINK("http://x","y")`, "+1+1", "-2+3", "@SUM(A1)", "\t=1", "=cmd|' /C calc'!A0", "_x0041_ <b>&amp;"}
	var lines []ticket.Row
	for i, s := range hostile {
		lines = append(lines, ticket.Row{Record: fmt.Sprint(i), Values: record(t, s, s, "1980-01-01"), Rule: s, Field: "full_name", Vi: s})
	}
	data := write(t, w, lines)
	edit(t, data, func(book *excelize.File) error {
		for i, s := range hostile {
			for _, column := range []string{keyColumn, presentColumn, "E"} {
				place := fmt.Sprintf("%s%d", column, i+3)
				formula, err := book.GetCellFormula(sheet, place)
				if err != nil {
					return err
				}
				kind, err := book.GetCellType(sheet, place)
				if err != nil {
					return err
				}
				if formula != "" || kind == excelize.CellTypeFormula || kind == excelize.CellTypeNumber {
					t.Errorf("%s holds %q as %v", place, s, kind)
				}
				value, err := book.GetCellValue(sheet, place)
				if err != nil || value != s {
					t.Errorf("%s shows %q, want %q, %v", place, value, s, err)
				}
			}
		}
		return nil
	})
	if bytes.Contains(part(t, data, "xl/worksheets/sheet1.xml"), []byte("<f>")) {
		t.Error("the sheet holds a formula")
	}
	got := read(t, w, edit(t, data, func(book *excelize.File) error {
		return errors.Join(
			book.SetCellFormula(sheet, "G3", `="Trần Thị B"`), book.SetCellValue(sheet, "G4", "Trần Thị B"),
			book.SetCellFormula(sheet, "H4", "1+1"), book.SetCellValue(sheet, "G9", "Lê Văn C"))
	}))
	if diff := cmp.Diff([]string{"G3 ticket.formula"}, problems(got)); diff != "" {
		t.Error(diff)
	}
	if len(got.List) != 2 || got.List[1].Key[0] != hostile[6] {
		t.Errorf("%+v", got.List)
	}
}

func part(t testing.TB, data []byte, name string) []byte {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	in, err := archive.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	content, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestWorkbook_Protected: only the yellow columns can be written into, and the guide is there.
func TestWorkbook_Protected(t *testing.T) {
	data := write(t, workbook(t), []ticket.Row{{Record: "r1", Values: record(t, "0007", "B", "1980-01-01"), Rule: "name.person", Field: "full_name"}})
	edit(t, data, func(book *excelize.File) error {
		protection, err := book.GetSheetProtection(sheet)
		if err != nil {
			return err
		}
		if protection.InsertRows || protection.Sort || !protection.SelectUnlockedCells {
			t.Errorf("%+v", protection)
		}
		for _, column := range strings.Split("ABCDEFGHIJKLM", "") {
			number, err := book.GetCellStyle(sheet, column+"3")
			if err != nil {
				return err
			}
			style, err := book.GetStyle(number)
			if err != nil {
				return err
			}
			writable := style.Protection != nil && !style.Protection.Locked
			if writable != (column == correctColumn || column == remarkColumn) {
				t.Errorf("column %s: writable %v", column, writable)
			}
			if writable && style.NumFmt != 49 {
				t.Errorf("column %s is not text", column)
			}
		}
		rows, err := book.GetRows("Hướng dẫn - Guide")
		if err != nil {
			return err
		}
		guide := fmt.Sprint(rows)
		for _, want := range []string{"Giá trị đúng", "Correct value", "population.person", "Công an tỉnh", "16/06/2025 17:00", "không ghi vào cơ sở dữ liệu"} {
			if !strings.Contains(guide, want) {
				t.Errorf("the guide does not say %q", want)
			}
		}
		shown, err := book.GetRows(sheet)
		if err != nil {
			return err
		}
		if diff := cmp.Diff([]string{"1", "0007", "00123", "Họ và tên / Full name", "không phải họ tên / not a person's name", "B"}, shown[2][:6]); diff != "" {
			t.Error(diff)
		}
		return nil
	})
}

// TestWorkbook_Masked: at the hub no value is shown, and it can still be filled in at the owner's.
func TestWorkbook_Masked(t *testing.T) {
	w := workbook(t)
	w.Masked = true
	r := record(t, "HS-0007", "Nguyễn Văn Ánh", "1980-01-01")
	r[5] = lienthong.Value{State: lienthong.Malformed, Bytes: []byte("Lê Thị Hồng")}
	data := write(t, w, []ticket.Row{
		{Record: "r1", Values: r, Rule: "name.person", Field: "full_name"},
		{Record: "r1", Values: r, Rule: "birth.range", Field: "birth_date"},
		{Record: "r1", Values: r, Rule: "number.digits", Field: "number"},
	})
	whole := part(t, data, "xl/worksheets/sheet1.xml")
	for _, secret := range []string{"Ánh", "1980", "0007", "00123", "Hồng"} {
		if bytes.Contains(whole, []byte(secret)) {
			t.Errorf("the masked workbook shows %q", secret)
		}
	}
	got := read(t, w, fill(t, data, "Trần Thị B", "05/09/1990"))
	if len(got.List) != 2 || got.List[0].Record != "r1" || got.List[0].Text != "Trần Thị B" || len(got.Problems) != 0 {
		t.Errorf("%+v", got)
	}
	if err := ticket.WriteSQL(io.Discard, shape(), got.List, target()); lienthong.ErrorCode(err) != "ticket.sql" {
		t.Errorf("statements from masked keys: %v", err)
	}
}

// TestWorkbook_WholeRecord: with the record at hand, rules between fields are judged too, on all new
// values together.
func TestWorkbook_WholeRecord(t *testing.T) {
	w := workbook(t)
	current := map[string][]lienthong.Value{
		"r1": record(t, "1", "Trần Thị B", "1980-01-01"), // issued 2021-05-06
		"r2": record(t, "2", "Trần Thị B", "1980-01-01"),
		"r3": record(t, "3", "Trần Thị B", "2022-01-01"), // issued before birth, and children is 99
		"r4": record(t, "4", "Trần Thị B", "1980-01-01"),
	}
	w.Current = func(_ context.Context, record string) ([]lienthong.Value, bool, error) {
		values, found := current[record]
		return values, found, nil
	}
	var lines []ticket.Row
	for _, l := range [][2]string{{"r1", "birth_date"}, {"r2", "birth_date"}, {"r2", "issued"}, {"r3", "issued"}, {"r4", "birth_date"}, {"r4", "birth_date"}, {"r4", "birth_date"}} {
		lines = append(lines, ticket.Row{Record: l[0], Values: current[l[0]], Rule: "x", Field: l[1]})
	}
	data := write(t, w, lines)
	delete(current, "r5")
	got := read(t, w, fill(t, data,
		"01/01/2022", // r1: now issued before birth
		"01/01/2022", // r2: moved together
		"01/02/2022",
		"01/02/2022",               // r3: right now; children is another line's business
		"01/01/1985", "01/01/1985", // r4: two rules, one value
		"01/01/1986", // and another value
	))
	if diff := cmp.Diff([]string{"G3 ticket.rule_of_other_field", "G9 ticket.two_values"}, problems(got)); diff != "" {
		t.Error(diff)
	}
	var taken []string
	for _, c := range got.List {
		taken = append(taken, c.Record+" "+c.Field)
	}
	if diff := cmp.Diff([]string{"r2 birth_date", "r2 issued", "r3 issued", "r4 birth_date"}, taken); diff != "" {
		t.Error(diff)
	}
	delete(current, "r1")
	if got = read(t, w, fill(t, data, "01/01/1985")); len(got.Problems) != 1 || got.Problems[0].Code != "ticket.gone" {
		t.Errorf("a record that is gone: %v", problems(got))
	}
}

// TestWorkbook_Answer: the answer has the wrong lines only, marked and explained, and can be handed
// in again.
func TestWorkbook_Answer(t *testing.T) {
	w := workbook(t)
	r := record(t, "0007", "Trần Thị B", "1980-01-01")
	data := write(t, w, []ticket.Row{
		{Record: "r1", Values: r, Rule: "number.digits", Field: "number"},
		{Record: "r2", Values: r, Rule: "number.digits", Field: "number"},
		{Record: "r3", Values: r, Rule: "name.person", Field: "full_name"},
	})
	first := read(t, w, fill(t, data, "123", "001089012345", "X"))
	if len(first.List) != 1 || first.Rejected() != 2 {
		t.Fatalf("%+v", first)
	}
	var out bytes.Buffer
	if err := w.WriteAnswer(context.Background(), &out, first); err != nil {
		t.Fatal(err)
	}
	edit(t, out.Bytes(), func(book *excelize.File) error {
		rows, err := book.GetRows(sheet)
		if err != nil {
			return err
		}
		if len(rows) != 4 || rows[2][6] != "123" || rows[2][8] != "số định danh phải có 12 chữ số / a personal number has 12 digits" {
			t.Errorf("%q", rows)
		}
		number, err := book.GetCellStyle(sheet, "G3")
		if err != nil {
			return err
		}
		style, err := book.GetStyle(number)
		if err == nil && (len(style.Fill.Color) != 1 || style.Fill.Color[0] != "FFC7CE") {
			t.Errorf("the wrong cell is not marked: %+v", style.Fill)
		}
		return err
	})
	second := read(t, w, fill(t, out.Bytes(), "001089012346", "Lê Văn C"))
	if len(second.List) != 2 || len(second.Problems) != 0 || second.List[0].Record != "r1" || second.List[1].Record != "r3" {
		t.Errorf("%+v", second)
	}
}

// TestWorkbook_MovedCells: a line whose cells come from several lines is not taken.
func TestWorkbook_MovedCells(t *testing.T) {
	w := workbook(t)
	data := write(t, w, []ticket.Row{
		{Record: "r1", Values: record(t, "1", "A", "1980-01-01"), Rule: "name.person", Field: "full_name"},
		{Record: "r2", Values: record(t, "2", "B", "1980-01-01"), Rule: "name.person", Field: "full_name"},
	})
	data = fill(t, data, "Trần Thị B", "Lê Văn C")
	for name, c := range map[string]struct {
		change func(*excelize.File) error
		want   []string
	}{
		"key":             {func(b *excelize.File) error { return b.SetCellValue(sheet, "B3", "2") }, []string{"G3 ticket.line_changed"}},
		"present":         {func(b *excelize.File) error { return b.SetCellValue(sheet, "F4", "Bê") }, []string{"G4 ticket.line_changed"}},
		"record":          {func(b *excelize.File) error { return b.SetCellValue(sheet, "J4", "r1") }, []string{"G4 ticket.line_changed"}},
		"a line put in":   {func(b *excelize.File) error { return b.InsertRows(sheet, 4, 1) }, nil},
		"a column put in": {func(b *excelize.File) error { return b.InsertCols(sheet, "C", 1) }, nil},
		"the number":      {func(b *excelize.File) error { return b.SetCellValue(sheet, "A3", 77) }, nil},
	} {
		if diff := cmp.Diff(c.want, problems(read(t, w, edit(t, data, c.change)))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWorkbook_NotOurs(t *testing.T) {
	w := workbook(t)
	data := write(t, w, nil)
	other := workbook(t)
	other.Checker.Shape().Dataset.Name = "household"
	for name, c := range map[string]struct {
		book *ticket.Workbook
		data []byte
		code string
	}{
		"another dataset": {other, data, "ticket.other_dataset"},
		"not a zip":       {w, []byte("họ,tên"), "ticket.workbook"},
		"empty":           {w, nil, "ticket.workbook"},
		"cut off":         {w, data[:len(data)-200], "ticket.workbook"},
		"no hidden sheet": {w, edit(t, data, func(b *excelize.File) error { return b.DeleteSheet("lienthong") }), "ticket.workbook"},
		"no names":        {w, edit(t, data, func(b *excelize.File) error { return b.RemoveRow(sheet, 1) }), "ticket.workbook"},
		"some workbook":   {w, edit(t, data, func(b *excelize.File) error { return b.SetCellValue("lienthong", "B1", "x") }), "ticket.workbook"},
		"too large":       {&ticket.Workbook{Checker: w.Checker, At: w.At, MaxBytes: 2000}, data, "ticket.workbook"},
	} {
		_, err := c.book.ReadCorrections(context.Background(), bytes.NewReader(c.data), int64(len(c.data)))
		if lienthong.ErrorCode(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := w.Write(ctx, io.Discard, each([]ticket.Row{{Values: record(t, "1", "A", "1980-01-01"), Field: "number"}})); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, _, err := w.Write(context.Background(), io.Discard, each([]ticket.Row{{Field: "nothing"}})); lienthong.ErrorCode(err) != "ticket.row" {
		t.Error(err)
	}
	broken := errors.New("disk")
	if _, _, err := w.Write(context.Background(), io.Discard, func(yield func(ticket.Row, error) bool) { yield(ticket.Row{}, broken) }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// TestWorkbook_Large: 100,000 lines are written and read, and memory does not grow with them.
func TestWorkbook_Large(t *testing.T) {
	lines := 100_000
	if raceEnabled {
		lines = 5_000 // the detector makes it fifty times slower, and there is one goroutine
	}
	w := workbook(t)
	if raceEnabled {
		w.MaxRows = lines
	}
	values := record(t, "0", "Trần Thị B", "1980-01-01")
	var peak uint64
	var stats runtime.MemStats
	rows := func(yield func(ticket.Row, error) bool) {
		code := make([]byte, 0, 16)
		for i := range lines + 1 {
			code = fmt.Appendf(code[:0], "%09d", i)
			values[0].Bytes = code
			if i%20_000 == 0 {
				runtime.ReadMemStats(&stats)
				peak = max(peak, stats.HeapInuse)
			}
			if !yield(ticket.Row{Record: string(code), Values: values, Rule: "number.digits", Field: "number"}, nil) {
				return
			}
		}
	}
	out, err := os.CreateTemp(t.TempDir(), "book")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	n, more, err := w.Write(context.Background(), out, rows)
	if err != nil || n != lines || !more {
		t.Fatalf("wrote %d, more %v: %v", n, more, err)
	}
	if peak > 128<<20 {
		t.Errorf("%d MB of memory", peak>>20)
	}
	info, err := out.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.ReadCorrections(context.Background(), out, info.Size())
	if err != nil || got.Lines != lines || got.Empty != lines {
		t.Fatalf("read %d lines, %d empty: %v", got.Lines, got.Empty, err)
	}
	t.Logf("%d KB, peak heap %d MB", info.Size()>>10, peak>>20)
}

package push_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/push"
)

// sheet makes a workbook with the rows on its second sheet.
func sheet(t testing.TB, rows [][]any) *bytes.Buffer {
	t.Helper()
	book := excelize.NewFile()
	defer func() { _ = book.Close() }()
	if _, err := book.NewSheet("Cấu trúc"); err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if err := book.SetSheetRow("Cấu trúc", fmt.Sprintf("A%d", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := book.Write(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestImportSchema(t *testing.T) {
	rows := [][]any{
		{"BỘ CÔNG AN"},
		{},
		{"PHỤ LỤC: CẤU TRÚC BẢN TIN"},
		{"", "Mô tả", "TÊN TRƯỜNG (*)", "Bắt\nbuộc", "Định  dạng", "Độ dài tối đa", "TT"},
		{1, 2, 3, 4, 5, 6, 7},
		{"", "khoá", "IdBanGhi", "x", "string", 50, 1},
		{"", "họ và tên", "HoTen", "X", "String", 100, "2"},
		{"", "địa chỉ", "DiaChi", "", "object", "", "3"},
		{"", "xã", "MaXa", "Có", "string", "5", "3.1"},
		{"", "số nhà", "SoNha", "Không", "string", "-", "3.2"},
		{"", "", "NguoiGiamHo.HoTen", "", "string", "", ""},
		{"", "", "HoSo", "", "OBJECT", "", 4},
		{"", "", "- So", "", "long", 18, ""},
		{},
		{"", "", "ThuNhap", "0", "double", "", 5},
		{"", "", "Khac", "", "object", "", 6},
		{"", "ghi chú cuối trang"},
	}
	got, problems, err := push.ImportSchema(sheet(t, rows), "TH_X")
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v %+v", err, problems)
	}
	want := push.Schema{Type: "TH_X", Key: "IdBanGhi", Fields: []push.Field{
		{Name: "HoTen", Format: push.String, Length: 100, Required: true, About: "họ và tên"},
		{Name: "MaXa", Parent: "DiaChi", Format: push.String, Length: 5, Required: true, About: "xã"},
		{Name: "SoNha", Parent: "DiaChi", Format: push.String, About: "số nhà"},
		{Name: "HoTen", Parent: "NguoiGiamHo", Format: push.String},
		{Name: "So", Parent: "HoSo", Format: push.Long},
		{Name: "ThuNhap", Format: push.Double},
		{Name: "Khac", Format: push.Object},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	n := start(t, []push.Schema{got})
	m := message{Type: "TH_X", ID: "1", Event: "NEW", Version: 1, Fields: []field{text("HoTen", "a"), {name: "DiaChi", kind: 'o', members: []field{text("MaXa", "1")}}}}
	if got := n.post(inJSON, m.JSON()); got.status != 201 {
		t.Error(got.raw)
	}
}

func TestImportSchema_Problems(t *testing.T) {
	rows := [][]any{
		{"TT", "Tên trường", "Định dạng", "Độ dài", "Bắt buộc", "Mô tả"},
		{1, "Họ tên", "string"},
		{2, "Tuoi", "number"},
		{3, "Ma", "string", "nhiều"},
		{4, "Ten", "string", 10, "có thể"},
		{5, "", "string"},
		{6, "Dung", "string"},
		{7, "dung", "int"},
		{8, "A.B", "object"},
	}
	got, problems, err := push.ImportSchema(sheet(t, rows), "TH_X")
	if err != nil {
		t.Fatal(err)
	}
	var cells []string
	for _, p := range problems {
		if p.Vi == "" || p.En == "" {
			t.Errorf("%+v", p)
		}
		cells = append(cells, p.Cell+" "+p.Code)
	}
	want := []string{
		"Cấu trúc!B2 push.sheet_name", "Cấu trúc!C3 push.sheet_format", "Cấu trúc!D4 push.sheet_length", "Cấu trúc!E5 push.sheet_required",
		"Cấu trúc!B6 push.sheet_name", "Cấu trúc!B8 push.sheet_twice", "Cấu trúc!C9 push.sheet_nesting",
	}
	if diff := cmp.Diff(want, cells); diff != "" {
		t.Error(diff)
	}
	if len(got.Fields) != 1 || got.Fields[0].Name != "Dung" {
		t.Errorf("fields: %+v", got.Fields)
	}
	for code, in := range map[string]*bytes.Buffer{
		"push.sheet_header":     sheet(t, [][]any{{"a", "b"}}),
		"push.sheet_unreadable": bytes.NewBufferString("PK no workbook"),
		"push.schema":           sheet(t, rows[:1]),
	} {
		if _, _, err := push.ImportSchema(in, "TH_X"); lienthong.ErrorCode(err) != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
}

func TestDeclare(t *testing.T) {
	base := func() push.Schema {
		return push.Schema{Type: "T", Fields: []push.Field{{Name: "A", Format: push.String}, {Name: "B", Format: push.Int}}}
	}
	tests := []struct {
		name   string
		change func(*push.Schema)
		code   string
		says   string
	}{
		{"same", func(*push.Schema) {}, "", ""},
		{"another order and a longer text", func(s *push.Schema) {
			s.Fields = []push.Field{{Name: "B", Format: push.Int}, {Name: "A", Format: push.String, Length: 9, Required: true}}
		}, "", ""},
		{"gone", func(s *push.Schema) { s.Fields = s.Fields[:1] }, "push.schema_conflict", "field B is gone"},
		{"retyped", func(s *push.Schema) { s.Fields[1].Format = push.Long }, "push.schema_conflict", "field B was int and is long"},
		{"key", func(s *push.Schema) { s.Key = "Ma" }, "push.schema_conflict", "key column IdBanGhi became Ma"},
		{"bare", func(s *push.Schema) { s.Bare = true }, "push.schema_conflict", "bare"},
		{"other spelling", func(s *push.Schema) { s.Type = "t" }, "push.schema", "another spelling"},
		{"bad type name", func(s *push.Schema) { s.Type = `T"; DROP` }, "push.schema", ""},
		{"reserved", func(s *push.Schema) { s.Type = "sqlite_x" }, "push.schema", ""},
		{"bad field name", func(s *push.Schema) { s.Fields[0].Name = "Họ" }, "push.schema", "Họ"},
		{"format", func(s *push.Schema) { s.Fields[0].Format = "text" }, "push.schema", "text"},
		{"twice", func(s *push.Schema) { s.Fields[1].Name = "a" }, "push.schema", "twice"},
		{"the envelope's name", func(s *push.Schema) { s.Fields[1].Name = "PhienBan" }, "push.schema", "twice"},
		{"no fields", func(s *push.Schema) { s.Fields = nil }, "push.schema", ""},
		{"object and field", func(s *push.Schema) { s.Fields[1].Parent = "A" }, "push.schema", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := start(t, []push.Schema{base()})
			newer := base()
			test.change(&newer)
			err := n.source.Declare(t.Context(), newer)
			if lienthong.ErrorCode(err) != test.code || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

// rows keeps what a stream delivers.
type rows struct {
	mu     sync.Mutex
	schema [][]string
	ids    []string
	widths []int
	stir   chan struct{}
}

func (r *rows) Begin(lienthong.Position, int64) error { return nil }
func (r *rows) Truncate(int, int64, int64) error      { return errors.New("truncate") }
func (r *rows) Commit(lienthong.Position) error       { return nil }
func (r *rows) Idle() error                           { r.stir <- struct{}{}; return nil }
func (r *rows) Schema(_ int, now connector.Table) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, c := range now.Columns {
		names = append(names, c.Name)
	}
	r.schema = append(r.schema, names)
	return nil
}

func (r *rows) Change(row *connector.Row) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids, r.widths = append(r.ids, string(row.Values[0].Bytes)), append(r.widths, len(row.Values))
	return nil
}

// TestDeclare_WhileStreaming: a field is added under load, in the source that is being read;
// every record arrives once, and the new field from its first record on.
func TestDeclare_WhileStreaming(t *testing.T) {
	schema := push.Schema{Type: "T", Bare: true, Fields: []push.Field{{Name: "A", Format: push.String}}}
	n := start(t, []push.Schema{schema})
	pos, err := n.source.Start(t.Context(), []string{"T"})
	if err != nil {
		t.Fatal(err)
	}
	sink := &rows{stir: make(chan struct{}, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.source.Stream(ctx, pos, sink) }()
	const senders, each = 4, 50
	var sending sync.WaitGroup
	for w := range senders {
		sending.Go(func() {
			for i := range each {
				m := message{Type: "T", ID: fmt.Sprintf("%d-%d", w, i), Event: "NEW", Version: 1, Fields: []field{text("A", "x")}}
				if got, err := n.request(t.Context(), "POST", "/push/v1/messages", inJSON, m.JSON()); err != nil || got.status != 201 {
					t.Errorf("%v %s", err, got.raw)
				}
			}
		})
	}
	schema.Fields = append(schema.Fields, push.Field{Name: "B", Format: push.Int})
	if err := n.source.Declare(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	m := message{Type: "T", ID: "new", Event: "NEW", Version: 1, Fields: []field{text("A", "x"), literal("B", "7")}}
	if got := n.post(inXML, m.XML()); got.status != 201 {
		t.Fatal(got.raw)
	}
	// A record of before, sent again, is still the same.
	again := message{Type: "T", ID: "0-0", Event: "NEW", Version: 1, Fields: []field{text("A", "x")}}
	sending.Wait()
	if got := n.post(inJSON, again.JSON()); got.status != 200 || got.Code != "repeated" {
		t.Errorf("again: %d %s", got.status, got.raw)
	}
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		sink.mu.Lock()
		arrived := map[string]bool{} // some twice: see below
		for _, id := range sink.ids {
			arrived[id] = true
		}
		all := len(arrived) >= senders*each+1
		sink.mu.Unlock()
		if all {
			break
		}
		select {
		case <-sink.stir:
		case <-deadline.C:
			t.Fatalf("%d records arrived", len(sink.ids))
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	seen := map[string]int{}
	for i, id := range sink.ids {
		seen[id]++
		if id == "new" && sink.widths[i] != 3 {
			t.Errorf("the new field did not arrive: %d columns", sink.widths[i])
		}
	}
	for id, times := range seen {
		// Those that waited in the old layout when the field came are delivered again.
		if times > 2 {
			t.Errorf("%s arrived %d times", id, times)
		}
	}
	if len(seen) != senders*each+1 {
		t.Errorf("%d records arrived, want %d", len(seen), senders*each+1)
	}
	if diff := cmp.Diff([][]string{{"IdBanGhi", "A", "B"}}, sink.schema); diff != "" {
		t.Errorf("schema: %s", diff)
	}
}

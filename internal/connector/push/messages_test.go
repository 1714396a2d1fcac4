package push_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong/internal/connector/push"
)

// people is a record type with every format.
func people() push.Schema {
	return push.Schema{Type: "TH_G01_CONGDAN", Title: "Công dân", Fields: []push.Field{
		{Name: "HoTen", Format: push.String, Length: 20, Required: true},
		{Name: "SoDienThoai", Format: push.String},
		{Name: "SoCon", Format: push.Int},
		{Name: "MaHo", Format: push.Long},
		{Name: "ThuNhap", Format: push.Double},
		{Name: "DaKetHon", Format: push.Boolean},
		{Name: "NgaySinh", Format: push.Date},
		{Name: "LanCuoi", Format: push.DateTime},
		{Name: "Xa", Parent: "DiaChi", Format: push.String, Required: false},
		{Name: "SoNha", Parent: "DiaChi", Format: push.String},
		{Name: "Khac", Format: push.Object},
	}}
}

// secret stands where a personal value would: it must be in no answer.
const secret = "NGUYỄN VĂN BÍ MẬT"

func person(id string, version int64, more ...field) message {
	return message{
		Type: "TH_G01_CONGDAN", Source: "mot-cua", ID: id, Event: "NEW", Version: version,
		Fields: append([]field{text("HoTen", secret)}, more...),
	}
}

// inbox reads the inbox's rows as text.
func (n *node) inbox(columns string) []string {
	n.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(n.dir, "inbox.db")+"?_pragma=busy_timeout(30000)")
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(n.t.Context(), "SELECT concat_ws('|', "+columns+`) FROM "TH_G01_CONGDAN" ORDER BY IdBanGhi`)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	found := []string{}
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			n.t.Fatal(err)
		}
		found = append(found, line)
	}
	if err := rows.Err(); err != nil {
		n.t.Fatal(err)
	}
	return found
}

const (
	inJSON = "application/json"
	inXML  = "application/xml; charset=utf-8"
)

func TestMessage_Forms(t *testing.T) {
	n := start(t, []push.Schema{people()})
	full := person("1", 1,
		text("SoDienThoai", "0901"), literal("SoCon", "2"), literal("MaHo", "9223372036854775807"), literal("ThuNhap", "1.5"),
		literal("DaKetHon", "true"), text("NgaySinh", "1990-02-28"), text("LanCuoi", "2026-01-01T07:00:00"),
		field{name: "DiaChi", kind: 'o', members: []field{text("Xa", "31825"), text("SoNha", "12")}},
		field{name: "Khac", kind: 'o', members: []field{text("a", "1"), {name: "b", kind: 'o', members: []field{text("c", "d")}}}},
	)
	full.Code = "MD1"
	full.Updated = "2026-11-23T00:00:00"
	with := func(id string) message { m := full; m.ID = id; return m }
	camel := strings.NewReplacer("NguonDuLieu", "nguonDuLieu", "DuLieuTiepNhan", "duLieuTiepNhan", "TrangThaiDuLieu", "trangThaiDuLieu",
		"MaLoaiDuLieu", "maLoaiDuLieu", "IdNguonDuLieu", "idNguonDuLieu", "IdBanGhi", "idBanGhi", "HoTen", "hoTen", "DiaChi", "diaChi",
		"SuKien", "suKien", "PhienBan", "phienBan", "ThoiGianCapNhat", "thoiGianCapNhat", "Root", "root")
	bodies := []struct{ name, contentType, body string }{
		{"bare", inJSON, with("0").JSON()},
		{"root", inJSON, "\ufeff {\"Root\": " + with("1").JSON() + "}\n"},
		{"camel", inJSON, camel.Replace(with("2").JSON())},
		{"xml", inXML, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- ghi chú -->" + with("3").XML()},
		{"xml camel", "text/xml", camel.Replace(with("4").XML())},
		{"xml namespace", inXML, strings.Replace(with("5").XML(), "<Root>", `<Root xmlns="urn:x" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">`, 1)},
		{"offset", inJSON, strings.Replace(with("6").JSON(), "2026-11-23T00:00:00", "2026-11-22T17:00:00Z", 1)},
		{"version as text", inJSON, strings.Replace(with("7").JSON(), `"PhienBan":1`, `"PhienBan":"1"`, 1)},
		{"flat object", inJSON, strings.Replace(with("8").JSON(), `"DiaChi":{"Xa":"31825","SoNha":"12"}`, `"DiaChi_Xa":"31825","DiaChi_SoNha":"12"`, 1)},
	}
	var want []string
	for i, b := range bodies {
		got := n.post(b.contentType, b.body)
		if got.status != 201 || got.Code != "accepted" || got.ID != fmt.Sprint(i) || got.Version != 1 || got.Receipt == "" {
			t.Fatalf("%s: %d %s", b.name, got.status, got.raw)
		}
		if location := got.header.Get("Location"); location != "/push/v1/receipts/"+got.Receipt {
			t.Errorf("%s: Location %q", b.name, location)
		}
		if strings.HasPrefix(b.contentType, "application/json") != strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: answered in %s", b.name, got.header.Get("Content-Type"))
		}
		want = append(want, fmt.Sprintf(
			`%d|%s|0901|2|9223372036854775807|1.5|1|1990-02-28|2026-01-01T00:00:00Z|31825|12|{"a":"1","b":{"c":"d"}}|MD1|mot-cua|1|2026-11-22T17:00:00Z`, i, secret))
	}
	got := n.inbox("IdBanGhi, HoTen, SoDienThoai, SoCon, MaHo, ThuNhap, DaKetHon, NgaySinh, LanCuoi, DiaChi_Xa, DiaChi_SoNha, Khac, MaDinhDanhDuLieu, IdNguonDuLieu, PhienBan, ThoiGianCapNhat")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inbox: %s", diff)
	}
}

func TestMessage_Files(t *testing.T) {
	n := start(t, []push.Schema{people()})
	body := strings.Replace(person("1", 1).JSON(), `"HoTen"`,
		`"PhanPhoi":[{"Id":"a","TenTep":"t.pdf","MaKiemTra":{"GiaTri":"00ff"},"DuongDanTaiXuong":"https://x/t.pdf"},{"Id":"b"}],"HoTen"`, 1)
	if got := n.post(inJSON, body); got.status != 201 {
		t.Fatal(got.raw)
	}
	body = strings.Replace(person("2", 1).XML(), "<HoTen>",
		"<PhanPhoi><Id>a</Id><TenTep>t.pdf</TenTep><MaKiemTra><GiaTri>00ff</GiaTri></MaKiemTra><DuongDanTaiXuong>https://x/t.pdf</DuongDanTaiXuong></PhanPhoi><PhanPhoi><Id>b</Id></PhanPhoi><HoTen>", 1)
	if got := n.post(inXML, body); got.status != 201 {
		t.Fatal(got.raw)
	}
	files := `[{"Id":"a","TenTep":"t.pdf","MaLoaiDuLieu":"","PhienBan":"","MaKiemTra":"00ff","DuongDanTaiXuong":"https://x/t.pdf"},` +
		`{"Id":"b","TenTep":"","MaLoaiDuLieu":"","PhienBan":"","MaKiemTra":"","DuongDanTaiXuong":""}]`
	if diff := cmp.Diff([]string{files, files}, n.inbox("PhanPhoi")); diff != "" {
		t.Error(diff)
	}
}

// TestMessage_Versions is the life of one record.
func TestMessage_Versions(t *testing.T) {
	n := start(t, []push.Schema{people()})
	changed := func(m message) message { m.Fields = []field{text("HoTen", "khác")}; return m }
	event := func(m message, e string) message { m.Event = e; return m }
	first := n.post(inJSON, person("1", 3).JSON())
	steps := []struct {
		name   string
		m      message
		asXML  bool
		status int
		code   string
		rows   int
	}{
		{"again", person("1", 3), false, 200, "repeated", 1},
		{"again, as XML", person("1", 3), true, 200, "repeated", 1},
		{"again, as UPDATE", event(person("1", 3), "UPDATE"), false, 200, "repeated", 1},
		{"same version, other content", changed(person("1", 3)), false, 409, "push.version_conflict", 1},
		{"same version, but CANCEL", event(person("1", 3), "CANCEL"), false, 409, "push.version_conflict", 1},
		{"lower version", person("1", 2), false, 409, "push.version_old", 1},
		{"negative version", person("1", -1), false, 409, "push.version_old", 1},
		{"higher version", event(changed(person("1", 4)), "UPDATE"), false, 201, "accepted", 1},
		{"cancel", event(person("1", 5), "CANCEL"), false, 201, "accepted", 0},
		{"cancel again", event(person("1", 5), "CANCEL"), true, 200, "repeated", 0},
		{"lower than the cancel", person("1", 4), false, 409, "push.version_old", 0},
		{"revived", person("1", 6), false, 201, "accepted", 1},
		{"cancel of a stranger", event(person("9", 1), "CANCEL"), false, 201, "accepted", 1},
		{"a stranger older than its cancel", person("9", 1), false, 409, "push.version_conflict", 1},
		{"negative versions grow too", person("8", -5), false, 201, "accepted", 2},
		{"to a higher one", person("8", -4), false, 201, "accepted", 2},
	}
	if first.status != 201 {
		t.Fatal(first.raw)
	}
	for _, step := range steps {
		contentType, body := inJSON, step.m.JSON()
		if step.asXML {
			contentType, body = inXML, step.m.XML()
		}
		got := n.post(contentType, body)
		if got.status != step.status || got.Code != step.code {
			t.Errorf("%s: %d %s, want %d %s", step.name, got.status, got.raw, step.status, step.code)
		}
		if step.m.ID == "1" && step.m.Version == 3 && got.status == 200 && (got.Receipt != first.Receipt || got.Acceptance != first.Acceptance) {
			t.Errorf("%s: another receipt: %s", step.name, got.raw)
		}
		if rows := len(n.inbox("IdBanGhi")); rows != step.rows {
			t.Errorf("%s: %d rows, want %d", step.name, rows, step.rows)
		}
	}
}

// TestMessage_Refused: every refusal has a code, says where, and shows no value.
func TestMessage_Refused(t *testing.T) {
	n := start(t, []push.Schema{people()})
	good := person("1", 1).JSON()
	replace := func(old, new string) string {
		made := strings.Replace(good, old, new, 1)
		if made == good {
			t.Fatalf("nothing to replace: %s", old)
		}
		return made
	}
	add := func(member string) string { return replace(`"HoTen"`, member+`,"HoTen"`) }
	many := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	tests := []struct {
		name, contentType, body string
		status                  int
		code, where             string
	}{
		{"empty", inJSON, "", 400, "push.syntax", ""},
		{"not JSON", inJSON, "HoTen=" + secret, 400, "push.syntax", ""},
		{"cut", inJSON, good[:len(good)-3], 400, "push.syntax", ""},
		{"two values", inJSON, good + good, 400, "push.syntax", ""},
		{"not UTF-8", inJSON, replace(secret, "\xff\xfe"), 400, "push.encoding", ""},
		{"half a character", inJSON, replace(secret, `\ud800x`), 400, "push.encoding", ""},
		{"too deep", inJSON, add(`"Khac":` + many), 400, "push.syntax", ""},
		{"a number", inJSON, "12", 422, "push.envelope", "Root"},
		{"no data", inJSON, `{"NguonDuLieu":{},"TrangThaiDuLieu":{}}`, 422, "push.envelope", "DuLieuTiepNhan"},
		{"data twice", inJSON, replace(`"TrangThaiDuLieu"`, `"duLieuTiepNhan":{},"TrangThaiDuLieu"`), 422, "push.field_twice", "DuLieuTiepNhan"},
		{"unknown part", inJSON, replace(`"TrangThaiDuLieu"`, `"ChuKy":{},"TrangThaiDuLieu"`), 422, "push.field_unknown", "ChuKy"},
		{"value as name", inJSON, replace(`"TrangThaiDuLieu"`, quoted(secret)+`:{},"TrangThaiDuLieu"`), 422, "push.field_unknown", "?"},
		{"no type", inJSON, replace(`"MaLoaiDuLieu":"TH_G01_CONGDAN",`, ""), 422, "push.field_required", "NguonDuLieu.MaLoaiDuLieu"},
		{"unknown type", inJSON, replace("TH_G01_CONGDAN", "KHAC"), 422, "push.type_unknown", "NguonDuLieu.MaLoaiDuLieu"},
		{"type in another case", inJSON, replace("TH_G01_CONGDAN", "th_g01_congdan"), 422, "push.type_unknown", "NguonDuLieu.MaLoaiDuLieu"},
		{"no identifier", inJSON, replace(`"IdBanGhi":"1",`, ""), 422, "push.field_required", "IdBanGhi"},
		{"empty identifier", inJSON, replace(`"IdBanGhi":"1"`, `"IdBanGhi":""`), 422, "push.field_required", "IdBanGhi"},
		{"long identifier", inJSON, replace(`"IdBanGhi":"1"`, `"IdBanGhi":"`+strings.Repeat("1", 513)+`"`), 422, "push.field_long", "IdBanGhi"},
		{"identifier twice", inJSON, add(`"idBanGhi":"2"`), 422, "push.field_twice", "IdBanGhi"},
		{"event", inJSON, replace(`"NEW"`, quoted(secret)), 422, "push.event", "TrangThaiDuLieu.SuKien"},
		{"no event", inJSON, replace(`"SuKien":"NEW",`, ""), 422, "push.field_required", "TrangThaiDuLieu.SuKien"},
		{"version zero", inJSON, replace(`"PhienBan":1`, `"PhienBan":0`), 422, "push.version", "TrangThaiDuLieu.PhienBan"},
		{"version with fraction", inJSON, replace(`"PhienBan":1`, `"PhienBan":1.5`), 422, "push.version", "TrangThaiDuLieu.PhienBan"},
		{"time", inJSON, replace("2026-11-23T08:30:00", "23/11/2026"), 422, "push.time", "TrangThaiDuLieu.ThoiGianCapNhat"},
		{"30 February", inJSON, replace("2026-11-23T08:30:00", "2026-02-30T00:00:00"), 422, "push.time", "TrangThaiDuLieu.ThoiGianCapNhat"},
		{"unknown field", inJSON, add(`"TenCha":` + quoted(secret)), 422, "push.field_unknown", "TenCha"},
		{"unknown member", inJSON, add(`"DiaChi":{"Huyen":` + quoted(secret) + `}`), 422, "push.field_unknown", "DiaChi_Huyen"},
		{"field twice", inJSON, add(`"hoTen":` + quoted(secret)), 422, "push.field_twice", "HoTen"},
		{"required null", inJSON, replace(quoted(secret), "null"), 422, "push.field_required", "HoTen"},
		{"required empty", inJSON, replace(quoted(secret), `""`), 422, "push.field_required", "HoTen"},
		{"too long", inJSON, replace(secret, secret+"123456"), 422, "push.field_long", "HoTen"},
		{"number as text", inJSON, add(`"SoDienThoai":901234567`), 422, "push.field_text", "SoDienThoai"},
		{"NUL", inJSON, replace(secret, `a\u0000b`), 422, "push.field_character", "HoTen"},
		{"int too large", inJSON, add(`"SoCon":2147483648`), 422, "push.field_type", "SoCon"},
		{"fraction as int", inJSON, add(`"SoCon":1.0`), 422, "push.field_type", "SoCon"},
		{"long too large", inJSON, add(`"MaHo":9223372036854775808`), 422, "push.field_type", "MaHo"},
		{"number too large", inJSON, add(`"ThuNhap":1e999`), 422, "push.field_type", "ThuNhap"},
		{"hexadecimal", inJSON, add(`"ThuNhap":"0x10"`), 422, "push.field_type", "ThuNhap"},
		{"boolean", inJSON, add(`"DaKetHon":"yes"`), 422, "push.field_type", "DaKetHon"},
		{"date", inJSON, add(`"NgaySinh":"28/02/1990"`), 422, "push.field_type", "NgaySinh"},
		{"object as text", inJSON, add(`"Khac":"x"`), 422, "push.field_type", "Khac"},
		{"text as object", inJSON, add(`"SoDienThoai":{"a":"b"}`), 422, "push.field_type", "SoDienThoai"},
		{"list as text", inJSON, add(`"SoDienThoai":["a"]`), 422, "push.field_type", "SoDienThoai"},
		{"object with members as text", inJSON, add(`"DiaChi":"Hà Nội"`), 422, "push.field_unknown", "DiaChi"},
		{"file", inJSON, add(`"PhanPhoi":[{"Id":"a"},{"Kieu":"b"}]`), 422, "push.field_unknown", "PhanPhoi[1].Kieu"},
		{"batch without data", inJSON, `{"totalRecords":0}`, 400, "push.syntax", ""},
		{"media type", "text/plain", good, 415, "push.media_type", "Content-Type"},
		{"charset", "application/json; charset=utf-16", good, 415, "push.media_type", "charset"},

		{"DOCTYPE", inXML, "<!DOCTYPE Root>" + person("1", 1).XML(), 400, "push.markup", ""},
		{"entity", inXML, `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><Root>&x;</Root>`, 400, "push.markup", ""},
		{"unknown entity", inXML, strings.Replace(person("1", 1).XML(), secret, "&x;", 1), 400, "push.syntax", ""},
		{"instruction", inXML, "<?xml-stylesheet href='x'?>" + person("1", 1).XML(), 400, "push.markup", ""},
		{"attribute", inXML, strings.Replace(person("1", 1).XML(), "<HoTen>", `<HoTen ma="1">`, 1), 400, "push.markup", ""},
		{"other encoding", inXML, `<?xml version="1.0" encoding="windows-1258"?>` + person("1", 1).XML(), 400, "push.encoding", ""},
		{"other element", inXML, "<DuLieu/>", 400, "push.syntax", ""},
		{"two roots", inXML, person("1", 1).XML() + person("2", 1).XML(), 400, "push.syntax", ""},
		{"mixed", inXML, strings.Replace(person("1", 1).XML(), "<HoTen>", "<HoTen><a/>", 1), 400, "push.syntax", ""},
		{"cut XML", inXML, person("1", 1).XML()[:80], 400, "push.syntax", ""},
		{"empty XML", inXML, " ", 400, "push.syntax", ""},
		{"repeated element", inXML, strings.Replace(person("1", 1).XML(), "<HoTen>", "<HoTen>a</HoTen><HoTen>", 1), 422, "push.field_twice", "HoTen"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := n.post(test.contentType, test.body)
			if got.status != test.status || got.Code != test.code || got.Where != test.where {
				t.Fatalf("got %d %s, want %d %s at %q", got.status, got.raw, test.status, test.code, test.where)
			}
			if got.Vi == "" || got.En == "" || strings.Contains(got.raw, secret) || strings.Contains(got.raw, "passwd") {
				t.Errorf("answer: %s", got.raw)
			}
			if strings.HasPrefix(test.contentType, "application/xml") != strings.Contains(got.header.Get("Content-Type"), "xml") {
				t.Errorf("answered in %s", got.header.Get("Content-Type"))
			}
		})
	}
	for _, row := range n.inbox("IdBanGhi") {
		t.Errorf("a refused record is in the inbox: %s", row)
	}
}

func TestMessage_TypeInHeader(t *testing.T) {
	n := start(t, []push.Schema{people()})
	m := person("1", 1)
	without := strings.Replace(m.JSON(), `"NguonDuLieu":{"MaLoaiDuLieu":"TH_G01_CONGDAN","IdNguonDuLieu":"mot-cua"},`, "", 1)
	for _, test := range []struct {
		name, body, header string
		status             int
		code               string
	}{
		{"header alone", without, m.Type, 201, "accepted"},
		{"both", person("2", 1).JSON(), m.Type, 201, "accepted"},
		{"conflict", person("3", 1).JSON(), "KHAC", 422, "push.type_conflict"},
		{"neither", without, "", 422, "push.envelope"},
	} {
		if got := n.post(inJSON, test.body, "X-Data-Type", test.header); got.status != test.status || got.Code != test.code {
			t.Errorf("%s: %d %s", test.name, got.status, got.raw)
		}
	}
}

func TestBatch_ResultsPerRecord(t *testing.T) {
	for _, form := range []struct {
		name, contentType string
		encode            func(...message) string
	}{{"json", inJSON, batchJSON}, {"xml", inXML, batchXML}} {
		t.Run(form.name, func(t *testing.T) {
			n := start(t, []push.Schema{people()})
			if got := n.post(inJSON, person("b", 2).JSON()); got.status != 201 {
				t.Fatal(got.raw)
			}
			wrong := person("c", 1)
			wrong.Fields = append(wrong.Fields, literal("SoCon", "nhiều"))
			if form.name == "json" {
				wrong.Fields[1] = text("SoCon", "nhiều")
			}
			cancelled := person("a", 2)
			cancelled.Event = "CANCEL"
			got := n.post(form.contentType, form.encode(person("a", 1), person("b", 1), person("b", 2), wrong, cancelled, person("a", 3), person("d", 1)))
			if got.status != 207 || got.Read != 7 || got.Accepted != 4 || got.Repeated != 1 || got.Refused != 2 || got.Ended != nil {
				t.Fatalf("%d %s", got.status, got.raw)
			}
			var codes []string
			for i, r := range got.Results {
				if r.Index != i || r.Vi == "" || r.En == "" {
					t.Errorf("result %d: %+v", i, r)
				}
				codes = append(codes, r.ID+" "+r.Code+" "+r.Where)
			}
			want := []string{
				"a accepted ", "b push.version_old PhienBan", "b repeated ", "c push.field_type SoCon",
				"a accepted ", "a accepted ", "d accepted ",
			}
			if diff := cmp.Diff(want, codes); diff != "" {
				t.Error(diff)
			}
			if len(got.Acceptances) != 2 { // this batch's, and that of the record repeated
				t.Errorf("%d acceptances", len(got.Acceptances))
			}
			if diff := cmp.Diff([]string{"a|3", "b|2", "d|1"}, n.inbox("IdBanGhi, PhienBan")); diff != "" {
				t.Error(diff)
			}
			if got := n.post(form.contentType, form.encode(person("a", 3), person("d", 1))); got.status != 200 || got.Repeated != 2 {
				t.Errorf("again: %d %s", got.status, got.raw)
			}
			if strings.Contains(got.raw, secret) {
				t.Error("a value is in the answer")
			}
		})
	}
}

// TestBatch_EndsEarly: what stands before the place that ends a batch is kept and answered.
func TestBatch_EndsEarly(t *testing.T) {
	var many []message
	for i := range 1200 {
		many = append(many, person(fmt.Sprintf("%05d", i), 1))
	}
	cut := func(s string) string { return s[:strings.LastIndex(s, "01199")-40] }
	for _, test := range []struct {
		name, contentType, body string
		code                    string
		read                    int
	}{
		{"cut JSON", inJSON, cut(batchJSON(many...)), "push.syntax", 1199},
		{"cut XML", inXML, cut(batchXML(many...)), "push.syntax", 1199},
		{"count", inJSON, strings.Replace(batchJSON(many...), ":1200", ":1201", 1), "push.count", 1200},
		{"after the end", inJSON, batchJSON(many...) + "{}", "push.syntax", 1200},
		{"too many", inJSON, batchJSON(append(many, person("x", 1))...), "push.batch_too_long", 1200},
		{"DOCTYPE inside", inXML, strings.Replace(batchXML(many[:3]...), "</DanhSach>", "<!DOCTYPE x></DanhSach>", 1), "push.markup", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := start(t, []push.Schema{people()}, func(c *push.Config) { c.Limits.BatchRecords = 1200 })
			got := n.post(test.contentType, test.body)
			if got.status != 207 || got.Ended == nil || got.Ended.Code != test.code || got.Read != test.read || got.Accepted != test.read {
				t.Fatalf("%d %.600s", got.status, got.raw)
			}
			if rows := len(n.inbox("IdBanGhi")); rows != test.read {
				t.Errorf("%d rows, want %d", rows, test.read)
			}
		})
	}
}

func zipped(t *testing.T, body string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLimits(t *testing.T) {
	n := start(t, []push.Schema{people()}, func(c *push.Config) {
		c.Limits.RecordBytes, c.Limits.BodyBytes, c.Limits.UnpackedBytes = 4096, 100_000, 200_000
	})
	large := person("large", 1, text("SoDienThoai", strings.Repeat("1", 5000)))
	var many []message
	for i := range 900 {
		many = append(many, person(fmt.Sprint(i), 1))
	}
	bomb := zipped(t, "["+strings.Repeat(" ", 50<<20)+"]")
	for _, test := range []struct {
		name, contentType, body string
		headers                 []string
		status                  int
		code                    string
	}{
		{"gzip", inJSON, zipped(t, batchJSON(many[:600]...)), []string{"Content-Encoding", "gzip"}, 200, ""},
		{"gzip XML", inXML, zipped(t, person("x", 1).XML()), []string{"Content-Encoding", "gzip"}, 201, "accepted"},
		{"broken gzip", inJSON, "no gzip", []string{"Content-Encoding", "gzip"}, 400, "push.syntax"},
		{"brotli", inJSON, "x", []string{"Content-Encoding", "br"}, 415, "push.media_type"},
		{"gzip bomb", inJSON, bomb, []string{"Content-Encoding", "gzip"}, 413, ""},
		{"large record", inJSON, large.JSON(), nil, 413, "push.record_too_large"},
		{"large record, XML", inXML, large.XML(), nil, 413, "push.record_too_large"},
		{"large record in a list", inJSON, "[" + large.JSON() + "]", nil, 413, "push.record_too_large"},
		{"large record in a list, XML", inXML, "<DanhSach>" + large.XML() + "</DanhSach>", nil, 413, "push.record_too_large"},
		{"large comment", inXML, "<DanhSach><!--" + strings.Repeat("x", 90_000) + "--></DanhSach>", nil, 413, "push.record_too_large"},
	} {
		if got := n.post(test.contentType, test.body, test.headers...); got.status != test.status || got.Code != test.code && test.code != "" {
			t.Errorf("%s: %d %.500s", test.name, got.status, got.raw)
		}
	}
	if got := n.post(inJSON, batchJSON(many...)); got.status != 207 || got.Ended == nil || got.Ended.Code != "push.body_too_large" || got.Accepted+got.Repeated == 0 {
		t.Errorf("large body: %d %.500s", got.status, got.raw)
	}
	if got := n.post(inJSON, zipped(t, batchJSON(many...)), "Content-Encoding", "gzip"); got.status != 207 || got.Ended == nil || got.Ended.Code != "push.body_too_large" {
		t.Errorf("unpacks to too much: %d %.500s", got.status, got.raw)
	}
}

// TestBackpressure: a full inbox refuses and loses nothing; when capture has taken what
// waits, it takes again.
func TestBackpressure(t *testing.T) {
	n := start(t, []push.Schema{people()}, func(c *push.Config) { c.Limits.WaitingChanges = 1000 })
	if _, err := n.source.Start(t.Context(), []string{"TH_G01_CONGDAN"}); err != nil {
		t.Fatal(err)
	}
	var many []message
	for i := range 3000 {
		many = append(many, person(fmt.Sprintf("%04d", i), 1))
	}
	got := n.post(inJSON, batchJSON(many...))
	if got.status != 207 || got.Ended == nil || got.Ended.Code != "push.full" || got.header.Get("Retry-After") != "30" {
		t.Fatalf("%d %.300s", got.status, got.raw)
	}
	rows := n.inbox("IdBanGhi")
	if len(rows) != got.Accepted || got.Accepted < 1000 || got.Accepted > 2500 {
		t.Fatalf("%d accepted, %d rows", got.Accepted, len(rows))
	}
	single := n.post(inXML, person("x", 1).XML())
	if single.status != 503 || single.Code != "push.full" || single.header.Get("Retry-After") == "" {
		t.Fatalf("%d %s", single.status, single.raw)
	}
	health, err := n.source.Health(t.Context())
	if err != nil || health.OK || health.Code != "push.waiting" {
		t.Fatalf("%+v %v", health, err)
	}
	view, err := n.source.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pos := view.Position()
	if err := view.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.source.Acknowledge(t.Context(), pos); err != nil {
		t.Fatal(err)
	}
	if got := n.post(inXML, person("x", 1).XML()); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if health, err := n.source.Health(t.Context()); err != nil || !health.OK || health.Code != "push.ok" {
		t.Fatalf("%+v %v", health, err)
	}
}

func TestBackpressure_Disk(t *testing.T) {
	for name, limit := range map[string]option{
		"push.disk": func(c *push.Config) { c.Limits.FreeBytes = 1 << 62 },
		"push.size": func(c *push.Config) { c.Limits.InboxBytes = 1 },
	} {
		n := start(t, []push.Schema{people()}, limit)
		if _, err := n.source.Start(t.Context(), []string{"TH_G01_CONGDAN"}); err != nil {
			t.Fatal(err)
		}
		if got := n.post(inJSON, person("1", 1).JSON()); got.status != 503 || got.Code != "push.full" {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
		if health, err := n.source.Health(t.Context()); err != nil || health.OK || health.Code != name {
			t.Errorf("%s: %+v %v", name, health, err)
		}
	}
}

// TestGroupCommit: messages that wait for the disk are written together.
func TestGroupCommit(t *testing.T) {
	n := start(t, []push.Schema{people()})
	db, err := sql.Open("sqlite", "file:"+filepath.Join(n.dir, "inbox.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	const count = 50
	var answers sync.WaitGroup
	send := func(i int) {
		answers.Go(func() {
			got, err := n.request(context.WithoutCancel(t.Context()), "POST", "/push/v1/messages", inJSON, person(fmt.Sprint(i), 1).JSON())
			if err != nil || got.status != 201 {
				t.Errorf("%v %s", err, got.raw)
			}
		})
	}
	// The first is stuck at the lock with its transaction; the others queue behind it.
	send(0)
	n.source.WaitForWriter(t)
	for i := range count - 1 {
		send(i + 1)
	}
	n.source.WaitForQueue(t, count-1)
	if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	answers.Wait()
	var groups, acceptances int
	if err := db.QueryRowContext(t.Context(), "SELECT count(DISTINCT at), count(*) FROM _lienthong_push_acceptances").Scan(&groups, &acceptances); err != nil {
		t.Fatal(err)
	}
	if acceptances != count || groups > 2 {
		t.Errorf("%d messages in %d transactions", acceptances, groups)
	}
}

// TestGroupCommit_OneFails: a record that the inbox cannot take fails alone, though it was
// in one transaction with others.
func TestGroupCommit_OneFails(t *testing.T) {
	n := start(t, []push.Schema{people()})
	db, err := sql.Open("sqlite", "file:"+filepath.Join(n.dir, "inbox.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		`CREATE TRIGGER broken BEFORE INSERT ON "TH_G01_CONGDAN" WHEN NEW.IdBanGhi = '3' BEGIN SELECT raise(ABORT, 'broken'); END`,
		"BEGIN IMMEDIATE",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var answers sync.WaitGroup
	send := func(i int) {
		answers.Go(func() {
			want := map[bool]int{true: 503, false: 201}[i == 3]
			got, err := n.request(context.WithoutCancel(t.Context()), "POST", "/push/v1/messages", inJSON, person(fmt.Sprint(i), 1).JSON())
			if err != nil || got.status != want {
				t.Errorf("record %d: %v %d %s, want %d", i, err, got.status, got.raw, want)
			}
		})
	}
	send(0)
	n.source.WaitForWriter(t)
	for i := range 5 {
		send(i + 1)
	}
	n.source.WaitForQueue(t, 5)
	if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	answers.Wait()
	if diff := cmp.Diff([]string{"0", "1", "2", "4", "5"}, n.inbox("IdBanGhi")); diff != "" {
		t.Error(diff)
	}
}

func TestSignerAway(t *testing.T) {
	n := start(t, []push.Schema{people()})
	n.signer.mu.Lock()
	n.signer.broken = true
	n.signer.mu.Unlock()
	if got := n.post(inJSON, person("1", 1).JSON()); got.status != 503 || got.Code != "push.sign" {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if rows := n.inbox("IdBanGhi"); len(rows) != 0 {
		t.Fatal("a record without an acceptance is in the inbox")
	}
	n.signer.mu.Lock()
	n.signer.broken = false
	n.signer.mu.Unlock()
	if got := n.post(inJSON, person("1", 1).JSON()); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
}

// TestExactBytes: the hash in the acceptance is that of the record as it was sent.
func TestExactBytes(t *testing.T) {
	n := start(t, []push.Schema{people()})
	sum := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	one, two, three := "{ "+person("1", 1).JSON()[1:], person("2", 1).JSON(), person("3", 1).XML()
	for _, test := range []struct{ name, contentType, body, receiptOf, want string }{
		{"single", inJSON, "\n  " + one + "\n", "1", sum(one)},
		{"wrapped", inJSON, `{"Root":` + person("4", 1).JSON() + `}`, "4", sum(`{"Root":` + person("4", 1).JSON() + `}`)},
		{"list", inJSON, "[ " + two + " ]", "2", sum(two)},
		{"XML", inXML, "<?xml version=\"1.0\"?>\n" + three + "\n<!-- hết -->", "3", sum(three)},
		{"XML list", inXML, "<DanhSach>\n  " + strings.ReplaceAll(three, ">3<", ">5<") + "\n</DanhSach>", "5", sum(strings.ReplaceAll(three, ">3<", ">5<"))},
	} {
		got := n.post(test.contentType, test.body)
		payload := got.Acceptance.Payload
		if len(got.Acceptances) > 0 {
			payload = got.Acceptances[0].Payload
		}
		if !strings.Contains(payload, `"IdBanGhi":"`+test.receiptOf+`"`) || !strings.Contains(payload, test.want) {
			t.Errorf("%s: %s lacks %s", test.name, got.raw, test.want)
		}
	}
}

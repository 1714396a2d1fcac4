package dictionary

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

// labelled is a column as Vietnamese agencies write them, and the element that a
// steward would choose; none: "".
func labelled() []struct {
	table, column string
	kind          lienthong.Kind
	values        []string
	want          string
} {
	text, date, integer := lienthong.Text, lienthong.Date, lienthong.Integer
	names := []string{"Nguyễn Văn An", "Trần Thị Bình", "Lê Hoàng Cường", "Phạm Thu Hà", "Đỗ Minh Đức"}
	numbers := []string{"001085000011", "096185000033", "079201000044", "031300000055", "048090000066"}
	return []struct {
		table, column string
		kind          lienthong.Kind
		values        []string
		want          string
	}{
		{"cong_dan", "HoTen", text, names, "person.full_name"},
		{"cong_dan", "ho_va_ten", text, names, "person.full_name"},
		{"dan_cu", "Họ và tên", text, names, "person.full_name"},
		{"dan_cu", "SO_CCCD", text, numbers, "person.number"},
		{"dan_cu", "SoDinhDanh", text, numbers, "person.number"},
		{"dan_cu", "cmnd", text, []string{"012345678", "123456789", "234567890", "345678901", "456789012"}, "person.old_identity_number"},
		{"dan_cu", "NGAYSINH", text, []string{"01/02/1985", "31/12/1990", "5/6/2001", "17/08/1972", "09/09/1999"}, "person.birth_date"},
		{"dan_cu", "dob", date, nil, "person.birth_date"},
		{"dan_cu", "ngay_sinh_cha", date, nil, ""},
		{"dan_cu", "gioitinh", text, []string{"Nam", "Nữ", "Nữ", "nam", "NỮ"}, "person.sex"},
		{"dan_cu", "SDT", text, []string{"0912345678", "0387654321", "0701234567", "0567891234", "0898765432"}, "person.phone"},
		{"customer", "phone", text, []string{"14033335568", "6172235589", "172399114", "838635286649", "44846874"}, ""},
		{"customer", "email", text, []string{"a@example.vn", "b@example.vn", "c@example.com", "d@example.com", "e@example.com"}, "person.email"},
		{"dan_cu", "dan_toc", text, []string{"Kinh", "Tày", "Thái", "Mường", "Kinh"}, "person.ethnicity"},
		{"ho_khau", "dia_chi_thuong_tru", text, []string{"Số 1 Lê Lợi", "Thôn 2", "Ấp 3", "Tổ 4", "12 Trần Phú"}, "residence.permanent_address"},
		{"customer", "address_id", integer, []string{"5", "6", "7", "8", "9"}, ""},
		{"film", "title", text, []string{"ACADEMY DINOSAUR", "ACE GOLDFINGER", "ADAPTATION HOLES", "AFFAIR PREJUDICE", "AFRICAN EGG"}, ""},
		{"film", "last_update", lienthong.Timestamp, nil, "record.updated_at"},
		{"film", "rental_rate", lienthong.Decimal, nil, ""},
		{"thua_dat", "SoTo", text, []string{"12", "3", "45", "101", "7"}, "parcel.sheet"},
		{"thua_dat", "dien_tich_m2", lienthong.Decimal, nil, "parcel.area"},
		{"co_quan", "ten_don_vi", text, []string{"Bộ Công an", "Bộ Y tế", "Sở Tài chính", "UBND xã A", "Chi cục B"}, "organisation.name"},
		{"payment", "amount", lienthong.Decimal, nil, ""},
		{"ho_ngheo", "chu_ho", text, names, "household.head_name"},
		{"ho_dan", "so_nhan_khau", integer, []string{"4", "5", "2", "1", "7"}, "household.members"},
	}
}

func TestPropose_LabelledColumns(t *testing.T) {
	d := load(t)
	right, proposed, wanted := 0, 0, 0
	for _, l := range labelled() {
		got := d.Propose(l.table, []ColumnSample{{Column: lienthong.Column{Name: l.column, Kind: l.kind}, Values: l.values}})[0]
		if l.want != "" {
			wanted++
		}
		if got.Element != "" {
			proposed++
		}
		if got.Element == l.want && l.want != "" {
			right++
		}
		if got.Element != l.want {
			t.Errorf("%s.%s: %q (%.2f, %s), want %q; candidates %v", l.table, l.column, got.Element, got.Confidence, got.ReasonEn, l.want, got.Candidates)
		}
	}
	t.Logf("precision %d/%d, recall %d/%d", right, proposed, right, wanted)
}

func TestPropose_OneElementOnce(t *testing.T) {
	d := load(t)
	got := d.Propose("dan_cu", []ColumnSample{
		{Column: lienthong.Column{Name: "ten_nguoi_khac", Kind: lienthong.Text}},
		{Column: lienthong.Column{Name: "ho_ten", Kind: lienthong.Text}},
		{Column: lienthong.Column{Name: "ho_va_ten", Kind: lienthong.Text}},
	})
	if got[1].Element != "person.full_name" || got[0].Element == "person.full_name" || got[2].Element == "person.full_name" {
		t.Errorf("%+v", got)
	}
}

func TestDraft_RoundTripsAndMaps(t *testing.T) {
	d := load(t)
	columns := []ColumnSample{
		{Column: lienthong.Column{Name: "Mã số", Kind: lienthong.Integer}},
		{Column: lienthong.Column{Name: "HoTen", Kind: lienthong.Text, Nullable: true}, Values: []string{"Nguyễn  Văn An", "Lê Thị Bình", "Trần Văn Cảnh", "Phạm Thị Dung", "Đỗ Văn Em"}},
		{Column: lienthong.Column{Name: "ngay_sinh", Kind: lienthong.Text}, Values: []string{"01/02/1985", "03/12/1990", "14/05/2000", "28/07/1977", "30/10/1961"}},
		{Column: lienthong.Column{Name: "order", Kind: lienthong.Text}},
		{Column: lienthong.Column{Name: "id", Kind: lienthong.Integer}},
	}
	draft, err := d.Draft(lienthong.DatasetID{Database: "thu", Name: "dan_cu"}, "dan cu: \"thử\"", "public.\"Dân cư\"", columns, []string{"Mã số", "id"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := draft.YAML()
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{"Nguyễn", "1985"} {
		if bytes.Contains(text, []byte(private)) {
			t.Errorf("the draft holds a value: %s", private)
		}
	}
	parsed, err := ParseDefinition("draft.yaml", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := *draft.Definition
	want.File = "draft.yaml"
	ignoreLines := cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), "Line") }, cmp.Ignore())
	if diff := cmp.Diff(&want, parsed, ignoreLines); diff != "" {
		t.Errorf("%s\n%s", diff, text)
	}
	plain := make([]lienthong.Column, len(columns))
	for i := range columns {
		plain[i] = columns[i].Column
	}
	mapper, err := d.Compile(parsed, plain, 1)
	if err != nil {
		t.Fatal(err)
	}
	if mapped, total := mapper.Mapped(); mapped != 2 || total != 5 {
		t.Errorf("mapped %d of %d", mapped, total)
	}
	for i, field := range draft.Fields {
		if mapper.Shape.FieldIndex(field) < 0 {
			t.Errorf("column %d: no field %q in %v", i, field, mapper.Shape.Fields)
		}
	}
}

package catalog

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

func TestSearch_FindsTheRightDatabaseFirst(t *testing.T) {
	w := newWorld(t)
	if err := w.register.Observe(w.ctx, livePopulation()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ query, first string }{
		{"dân cư", "population"},
		{"dan cu", "population"},
		{"DÂN CƯ", "population"},
		{"dan cư", "population"},
		{norm.NFD.String("cơ sở dữ liệu quốc gia về dân cư"), "population"},
		{"CSDLQG dân cư", "population"},
		{"population", "population"},
		{"national population database", "population"},
		{"populaton", "population"}, // a letter is missing
		{"hòa giải", "legal_education"},
		{"hoà giải", "legal_education"},
		{"hoa giai", "legal_education"},
		{"hoa gia", "legal_education"}, // the beginning of a word
		{"đất đai", "land"},
		{"dat dai", "land"},
		{"thuế", "tax"},
		{"hộ chiếu", "official_passport"},
		{"tabmis", "treasury"},
		{"hồ sơ sức khoẻ", "health_record"},
		{"lí lịch tư pháp", "judicial_record"},
		{"so_dinh_danh", "population"},
		{"sodinhdanh", "population"},
		{"SoCCCD", "school"},
		{"ghi chu", "population"}, // a column that only the connector sees
		{"benh_nhan cccd", "health_record"},
		{"714/2015", "enterprise"}, // and others after it, in order of their codes
	} {
		hits, err := w.register.Search(w.ctx, tt.query, 5)
		if err != nil {
			t.Fatal(err)
		}
		if len(hits) == 0 {
			t.Errorf("%q finds nothing", tt.query)
			continue
		}
		if hits[0].Record.Code != tt.first {
			t.Errorf("%q finds %s first, want %s", tt.query, hits[0].Record.Code, tt.first)
		}
		if len(hits[0].Matches) == 0 || len(hits[0].Matches[0].Marks) == 0 {
			t.Errorf("%q: nothing is marked", tt.query)
		}
	}
}

func TestSearch_OwnersAndElements(t *testing.T) {
	w := newWorld(t)
	owned := func(query string, member lienthong.MemberCode) {
		t.Helper()
		hits, err := w.register.Search(w.ctx, query, 5)
		if err != nil || len(hits) == 0 {
			t.Fatalf("%q: %d hits, %v", query, len(hits), err)
		}
		for _, h := range hits {
			if h.Record.Owner != member {
				t.Errorf("%q finds %s of %s", query, h.Record.Code, h.Record.Owner)
			}
		}
	}
	owned("Bộ Công an", "G01")
	owned("bo cong an", "G01")
	owned("BCA", "G01")
	owned("G19", "G19")
	owned("Bộ Tư pháp", "G15")
	all := func(query string) []string {
		t.Helper()
		hits, err := w.register.Search(w.ctx, query, 0)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, h := range hits {
			list = append(list, h.Record.Code)
		}
		return list
	}
	for _, code := range []string{"population", "health_record", "school"} {
		if got := all("person.full_name"); !strings.Contains(strings.Join(got, " "), code) {
			t.Errorf("the element is not found in %s: %v", code, got)
		}
	}
	if got := all("HoVaTen"); got[0] != "school" {
		t.Errorf("the column is not found first: %v", got)
	}
	if got := all(""); got != nil {
		t.Errorf("nothing was asked and %v found", got)
	}
	if got := all("zzzzzz"); got != nil {
		t.Errorf("what is nowhere was found in %v", got)
	}
	if got := all("csdl"); len(got) < 60 {
		t.Errorf("a word that all names have finds %d", len(got))
	}
}

// Diacritics in the question are meant: what has them stands before what only has the letters.
func TestSearch_DiacriticsDecideTheOrder(t *testing.T) {
	records := []Record{
		{Entry: Entry{Code: "a", NameVi: "CSDL bán hàng"}}, {Entry: Entry{Code: "b", NameVi: "CSDL bản hàng"}}, {Entry: Entry{Code: "c", NameVi: "CSDL bạn hàng"}},
	}
	x := newIndex(builtin(t), records)
	for query, first := range map[string]string{"bán": "a", "bản": "b", "bạn": "c", "bạn hàng": "c"} {
		hits := x.search(query, 0)
		if len(hits) != 3 || hits[0].Record.Code != first {
			t.Errorf("%q: %d hits, first %+v", query, len(hits), hits[0].Record.Code)
		}
	}
	if hits := x.search("ban", 0); hits[0].Score != hits[2].Score {
		t.Error("without diacritics all are equal")
	}
}

func TestSearch_PartialWhenNothingHasEveryWord(t *testing.T) {
	w := newWorld(t)
	hits, err := w.register.Search(w.ctx, "đất đai xyzxyz", 3)
	if err != nil || len(hits) == 0 || hits[0].Record.Code != "land" || !hits[0].Partial {
		t.Errorf("%+v %v", hits, err)
	}
	hits, err = w.register.Search(w.ctx, "đất đai", 3)
	if err != nil || hits[0].Partial {
		t.Errorf("%+v %v", hits, err)
	}
}

func TestSearch_MarksWhatWasFound(t *testing.T) {
	nfd := norm.NFD.String("CSDL phổ biến giáo dục và hòa giải ở cơ sở")
	for _, tt := range []struct {
		name, text, query string
		want              []string
	}{
		{"whole words", "CSDL quốc gia về dân cư", "dan cu", []string{"dân", "cư"}},
		{"beginning", "CSDL thống kê", "thon", []string{"thống"}},
		{"decomposed text", nfd, "hoà giải", []string{norm.NFD.String("hòa"), norm.NFD.String("giải")}},
		{"long form of csdl", "Cơ sở dữ liệu dân cư", "csdl dân cư", []string{"Cơ sở dữ liệu", "dân", "cư"}},
	} {
		x := newIndex(builtin(t), []Record{{Entry: Entry{Code: "a1", NameVi: tt.text}}})
		hits := x.search(tt.query, 0)
		if len(hits) != 1 || len(hits[0].Matches) == 0 {
			t.Errorf("%s: %+v", tt.name, hits)
			continue
		}
		var got []string
		for _, m := range hits[0].Matches[0].Marks {
			got = append(got, hits[0].Matches[0].Text[m[0]:m[1]])
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		text  string
		plain string
	}{
		{"ho_va_ten", "ho va ten"},
		{"hoVaTen", "ho va ten"},
		{"HOVATEN", "hovaten"},
		{"CSDLQG", "csdlqg"},
		{"Hồ sơ TTHC", "ho so tthc"},
		{"47/2024/NĐ-CP", "47 2024 nd cp"},
		{"  ", ""},
		{"kỹ sư", "ki su"},
		{"quý", "qui"},
		{"Mỹ", "mi"},
		{"tay", "tay"},
		{"thủy", "thuy"},
	} {
		var plain []string
		for _, w := range split(tt.text) {
			plain = append(plain, w.plain)
		}
		if got := strings.Join(plain, " "); got != tt.plain {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.plain)
		}
	}
}

// many makes records with made-up names and columns.
func many(n int) []Record {
	words := strings.Fields("quản lý hồ sơ đất đai dân cư doanh nghiệp thuế y tế giáo dục giao thông môi trường cấp nước văn hóa thể thao lao động việc làm tài chính ngân sách hộ tịch cư trú bảo hiểm xây dựng quy hoạch nông nghiệp thủy sản lâm nghiệp")
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(k int) string {
		var list []string
		for range k {
			list = append(list, words[r.IntN(len(words))])
		}
		return strings.Join(list, " ")
	}
	records := make([]Record, n)
	for i := range records {
		e := Entry{Code: fmt.Sprintf("db_%05d", i), NameVi: "CSDL " + pick(4), NameEn: "Database " + fmt.Sprint(i), PurposeVi: pick(12), Owner: lienthong.MemberCode(fmt.Sprintf("H%02d", 1+i%63))}
		d := Dataset{Name: "main", TitleVi: pick(3), Shape: &RegisteredShape{Table: "t"}}
		for range 40 {
			d.Shape.Columns = append(d.Shape.Columns, RegisteredColumn{Name: strings.ReplaceAll(dictionary.PlainKey(pick(3)), " ", "_"), Element: "person.full_name"})
		}
		e.Datasets = []Dataset{d}
		records[i] = Record{Entry: e, Views: []DatasetView{{ID: lienthong.DatasetID{Database: e.Code, Name: "main"}, Declared: &e.Datasets[0]}}}
	}
	return records
}

func BenchmarkSearch(b *testing.B) {
	d := builtin(b)
	x := newIndex(d, many(2000))
	for _, query := range []string{"đất đai", "quan ly ho so", "t", "ho va ten", "quản lí hồ sơ đất đai của tỉnh", "xyzzyx"} {
		b.Run(query, func(b *testing.B) {
			for b.Loop() {
				x.search(query, 20)
			}
		})
	}
}

func BenchmarkIndex(b *testing.B) {
	d, records := builtin(b), many(2000)
	for b.Loop() {
		newIndex(d, records)
	}
}

// Whatever is asked, the answer marks whole characters of the texts.
func FuzzSearch(f *testing.F) {
	d, err := load()
	if err != nil {
		f.Fatal(err)
	}
	x := newIndex(d, append(many(50), Record{Entry: Entry{Code: "z", NameVi: norm.NFD.String("CSDL hộ tịch điện tử"), PurposeVi: "\xff\xfe lỗi mã Ǆ ß ﬁ"}}))
	for _, s := range []string{"hộ tịch", "HỘ", "co so du lieu", "\u0301", "a\u0301\u0323", "ﬁ", "\xff", "ßa", "İ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, h := range x.search(query, 10) {
			for _, m := range h.Matches {
				last := 0
				for _, mark := range m.Marks {
					if mark[0] < last || mark[1] <= mark[0] || mark[1] > len(m.Text) {
						t.Fatalf("%q: mark %v of %q", query, mark, m.Text)
					}
					if utf8.ValidString(m.Text) && !utf8.ValidString(m.Text[mark[0]:mark[1]]) {
						t.Fatalf("%q: mark %v cuts a character of %q", query, mark, m.Text)
					}
					last = mark[1]
				}
			}
		}
	})
}

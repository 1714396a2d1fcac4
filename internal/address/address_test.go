package address

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lienthong/lienthong/internal/dictionary"
	"golang.org/x/text/unicode/norm"
)

func before() int64 { return dictionary.Reorganised() - 1 }

func since() int64 { return dictionary.Reorganised() }

// The ways in which people write.
func TestSpellings(t *testing.T) {
	s, _ := newStandardiser(t)
	const trucBach, tanDuyet = "00004", "32152"
	tests := []struct {
		text string
		asOf int64
		now  string // "" for a question
		then string
	}{
		{"Phường Trúc Bạch, Quận Ba Đình, Thành phố Hà Nội", before(), trucBach, "00004"},
		{"phuong truc bach quan ba dinh ha noi", before(), trucBach, "00004"},
		{"P.Trúc Bạch, Q.Ba Đình, HN", before(), trucBach, "00004"},
		{"P. Trúc Bạch - Q. Ba Đình - TP. Hà Nội", before(), trucBach, "00004"},
		{norm.NFD.String("phường Trúc Bạch, quận Ba Đình, Hà Nội"), before(), trucBach, "00004"},
		{"Truc Bach Ward, Ba Dinh District, Hanoi, Vietnam", before(), trucBach, "00004"},
		{"Hà Nội, Ba Đình, Trúc Bạch, 12 phố Trấn Vũ", before(), trucBach, "00004"},
		{"Phường Trúc Bạch, Hà Nội", before(), trucBach, "00004"},
		{"Phường Trúc Bạch, Quận Ba Đình", before(), trucBach, "00004"},
		{"Phường Trúc Bạch, Quận Ba Đình, Hà Nội", since(), trucBach, "00004"},
		{"12 PHỐ TRẤN VŨ, PHƯỜNG TRÚC BẠCH, QUẬN BA ĐÌNH, HÀ NỘI 100000, VIỆT NAM", Unknown, trucBach, "00004"},
		{"Xã Tân Duyệt huyện Đầm Dơi tỉnh Cà Mau", before(), tanDuyet, "32173"},
		{"X. Tân Duyệt, H. Đầm Dơi, T. Cà Mau", before(), tanDuyet, "32173"},
		{"X.TÂN DUYỆT - H.ĐẦM DƠI - T.CÀ MAU", before(), tanDuyet, "32173"},
		{"Ấp Tân Điền B; xã Tân Duyệt; huyện Đầm Dơi; tỉnh Cà Mau", before(), tanDuyet, "32173"},
		{"xa tan dyuet, huyen dam doi, ca mau", before(), tanDuyet, "32173"},
		{"Xã Tân Duyệt, Huyện Đầm Dơi, Tỉnh Cà Mau (cũ)", before(), tanDuyet, "32173"},
		{"Phường Quang Vinh, TP Biên Hoà, ĐN", before(), "26041", "26023"},
		{"P Tân Định Q1 TPHCM", before(), "26737", "26734"},
		{"P.Tân Định, Q.01, Tp.HCM", before(), "26737", "26734"},
		{"Phường Tân Định, Quận 1, Sài Gòn", before(), "26737", "26734"},
		{"Tan Dinh Ward, District 1, Ho Chi Minh City", before(), "26737", "26734"},
		{"TT. Cái Nước, H. Cái Nước, Cà Mau", before(), "32128", "32128"},
		{"Phường Phú Hội, Thành phố Huế, Tỉnh Thừa Thiên Huế", before(), "19789", "19786"},
		{"P. Phú Hội, TP Huế", before(), "19789", "19786"},
		{"Phường Ba Đình, Thành phố Hà Nội", since(), "00004", "00004"},
		{"P. Ba Đình, HN", Unknown, "00004", "00004"},
		{"Ba Đình, Hà Nội", since(), "", ""},                                        // may be the district
		{"Phường Ba Đình, Thành phố Hà Nội", before(), "", ""},                      // there was none then
		{"Phường Cửa Nam, Hà Nội", Unknown, "", ""},                                 // one of each period
		{"Phường Cửa Nam, Hà Nội", since(), "00082", "00082"},                       //
		{"Phường Cửa Nam, Quận Hoàn Kiếm, Hà Nội", before(), "", ""},                // was split
		{"Phường 5, Quận 5, TP HCM", before(), "", ""},                              // the link is ambiguous
		{"Phường 5, TP HCM", before(), "", ""},                                      // one in many districts
		{"Xã Không Có, Huyện Đầm Dơi, Tỉnh Cà Mau", before(), "", ""},               //
		{"Phường Tân Định, Quận 1, Huyện Củ Chi, TP HCM", before(), "", ""},         // contradicts itself
		{"Xã Tân Duyệt, Huyện Abc, Tỉnh Cà Mau", before(), "", ""},                  // not understood
		{"Xã Tân Duyệt", before(), "", ""},                                          // nothing around it
		{"X. Krông Ana, huyện Không Rõ, Đắk Lắk", before(), "", ""},                 //
		{"Huyện Củ Chi, Phường Tân Định, Quận 1, TP HCM", before(), "", ""},         // a district too many, where the house stands
		{"Xã Abc Xyz, Phường Tân Định, Quận 1, TP HCM", before(), "", ""},           // a commune too many
		{"Tỉnh lộ 10, Phường Tân Định, Quận 1, TP HCM", before(), "26737", "26734"}, // a road
		{"12 Trần Hưng Đạo, Hoàn Kiếm, Hà Nội", before(), "", ""},                   // the street, not the ward of that name
		{"12A, Trần Hưng Đạo, Hoàn Kiếm, Hà Nội", before(), "", ""},                 //
		{"12 duong tran hung dao, hoan kiem, ha noi", before(), "", ""},             //
		{"Chung cư Tân Định, Quận 1, TP HCM", before(), "", ""},                     // a building
		{"Tổ 5, Trúc Bạch, Ba Đình, Hà Nội", before(), trucBach, "00004"},           //
		{"Phường Ba Đình, Quận Ba Đình, Hà Nội", Unknown, "", ""},                   // mixes both periods
		{"Phường Ba Đình, Quận Ba Đình, Hà Nội", since(), "00004", "00004"},         //
		{"Xã Quảng Sơn, Tỉnh Lâm Đồng", before(), "", ""},                           // lay in Đắk Nông then
		{"số 5 phố Hàng Bông", before(), "", ""},                                    // no administrative part
		{"", before(), "", ""}, //
		{"Xã Tân Duyệt, Huyện Đầm Dơi, Tỉnh Bạc Liêu", before(), "", ""},       // another province
		{"Phường 2, Quận 99, Thành phố Hồ Chí Minh", before(), "", ""},         //
		{"Xã Hiệp Bình, Huyện Tân Định, Thành phố Không Tên", Unknown, "", ""}, //
	}
	for _, tt := range tests {
		r := s.Standardise(tt.text, tt.asOf)
		now, ok := r.Resolved()
		switch {
		case r.Original != tt.text || r.AsOf != tt.asOf || r.ListVersion != s.ListVersion():
			t.Errorf("%q: %+v", tt.text, r)
		case !ok && tt.now != "" || now.Code != tt.now:
			t.Errorf("%q of %d: %q %s, want %q (%.2f %v, question %+v)", tt.text, tt.asOf, now.Code, now.Name, tt.now, r.Confidence, r.Reasons.List(), r.Question)
		case ok && (len(r.Then) != 1 || r.Then[0].Code != tt.then):
			t.Errorf("%q: then %+v, want %s", tt.text, r.Then, tt.then)
		case ok && r.Confidence < 0.75 || !ok && r.Confidence >= 0.75:
			t.Errorf("%q: confidence %.2f", tt.text, r.Confidence)
		case !ok && r.Question == nil:
			t.Errorf("%q: no question", tt.text)
		}
	}
}

// The part before the commune is cut from the original, letter by letter.
func TestDetailIsCutFromTheOriginal(t *testing.T) {
	s, _ := newStandardiser(t)
	tests := []struct{ text, detail string }{
		{"Số 12/3 phố Trấn Vũ,  phường Trúc Bạch, quận Ba Đình, Hà Nội", "Số 12/3 phố Trấn Vũ"},
		{"SỐ 5B NGÕ 12 - P.Trúc Bạch - Q.Ba Đình - HN", "SỐ 5B NGÕ 12"},
		{"Hà Nội, Ba Đình, Trúc Bạch, 12 phố Trấn Vũ", "12 phố Trấn Vũ"},
		{"Phường Trúc Bạch, Quận Ba Đình, Hà Nội", ""},
		{norm.NFD.String("Phố Trấn Vũ, Phường Trúc Bạch, Quận Ba Đình, Hà Nội"), norm.NFD.String("Phố Trấn Vũ")},
	}
	for _, tt := range tests {
		if r := s.Standardise(tt.text, before()); r.Detail != tt.detail {
			t.Errorf("%q: detail %q, want %q", tt.text, r.Detail, tt.detail)
		}
	}
}

// Every commune of today, written in any way and dated since the reform, is itself.
func TestEveryUnitOfTodayIsItself(t *testing.T) {
	s, d := newStandardiser(t)
	provinces := map[string]string{}
	for _, p := range d.Provinces(fixed()) {
		provinces[p.Code] = p.NameVi
	}
	units := d.Communes(fixed())
	if len(units) != 3321 {
		t.Fatalf("%d units", len(units))
	}
	twins := map[string]int{} // units of a province that are one without diacritics
	for _, u := range units {
		twins[dictionary.PlainKey(u.Name)+u.Province]++
	}
	for _, style := range spellings() {
		asked := 0
		for _, u := range units {
			text := style.write(u.Name, "", provinces[u.Province])
			r := s.Standardise(text, since())
			now, ok := r.Resolved()
			if !ok {
				if text == plain(text) && twins[dictionary.PlainKey(u.Name)+u.Province] > 1 {
					continue
				}
				asked++
				t.Logf("%s: %q asks %s %v", style.name, text, r.Question.Doubt, r.Reasons.List())
				continue
			}
			if now.Code != u.Code {
				t.Errorf("%s: %q -> %s %s, want %s", style.name, text, now.Code, now.Name, u.Code)
			}
		}
		if asked > 0 {
			t.Errorf("%s: %d of the units of today are not answered", style.name, asked)
		}
	}
	for _, u := range units {
		r := s.Code(u.Code, since())
		if now, ok := r.Resolved(); !ok || now.Code != u.Code || r.Then[0].Name != u.Name || r.Method != ByCode {
			t.Errorf("code %s: %+v", u.Code, r)
		}
	}
}

// Every old code leads to where the links say without doubt, or to a question.
func TestEveryOldCodeIsResolvedOrAsked(t *testing.T) {
	s, d := newStandardiser(t)
	visited, whole, words, asked := 0, 0, 0, 0
	for _, l := range d.Links() {
		for _, code := range l.Candidates() {
			visited++
			r := s.Code(code, before())
			now, ok := r.Resolved()
			successor, sure := d.Successor(code)
			switch {
			case !ok && r.Question == nil:
				t.Fatalf("%s: %+v", code, r)
			case sure && (!ok || now.Code != successor):
				t.Errorf("%s went to %s as a whole, got %+v", code, successor, r)
			case sure:
				whole++
			case ok:
				words++
				if !wordsDecide(d, code, now.Code) {
					t.Errorf("%s -> %s without a sure link: %v", code, now.Code, r.Reasons.List())
				}
			default:
				asked++
				for _, c := range r.Now {
					if !slices.ContainsFunc(d.Successors(code), func(l dictionary.Link) bool { return l.NewCode == c.Code }) {
						t.Errorf("%s: %s is proposed without a link", code, c.Code)
					}
				}
			}
			undated := s.Code(code, Unknown)
			if u, ok := undated.Resolved(); ok {
				if today, known := d.Commune(code, fixed()); known && today.Code != u.Code {
					t.Errorf("%s without a date -> %s, though it is %s today", code, u.Code, today.Name)
				}
			}
		}
	}
	t.Logf("%d codes of links: %d as a whole, %d by the words of the resolution, %d asked", visited, whole, words, asked)
	if whole < 8900 || words < 50 || asked < 500 {
		t.Errorf("whole %d, words %d, asked %d", whole, words, asked)
	}
}

// wordsDecide holds an answer without a sure link to its condition: of the links that may mean the
// code, all but those to one unit name another district, and none is of a part only.
func wordsDecide(d *dictionary.Dictionary, code, now string) bool {
	unit, _ := d.Commune(code, time.UnixMicro(before()))
	reached := false
	for _, l := range d.Successors(code) {
		text := dictionary.PlainKey(l.Text)
		here := strings.Contains(text, dictionary.PlainKey(unit.District))
		if l.NewCode == now {
			reached = reached || !l.Partial && (l.Match == dictionary.ExactMatch || here)
			continue
		}
		if l.Match != dictionary.AmbiguousMatch || here {
			return false
		}
	}
	return reached
}

// Trap 1: a code without a date is ambiguous.
func TestTrap1CodesNeedADate(t *testing.T) {
	s, _ := newStandardiser(t)
	then, now := s.Code("00004", before()), s.Code("00004", since())
	if then.Then[0].Name != "Phường Trúc Bạch" || now.Then[0].Name != "Phường Ba Đình" {
		t.Errorf("00004 was %+v and is %+v", then.Then, now.Then)
	}
	if c, ok := s.Code("00004", Unknown).Resolved(); !ok || c.Code != "00004" {
		t.Error("both meanings of 00004 lead to the same unit")
	}
	undated := 0 // codes whose two meanings lead to different units
	for i := range s.index.units {
		u := &s.index.units[i]
		if u.today {
			if _, ok := s.Code(u.shown[0].Code, Unknown).Resolved(); !ok {
				undated++
			}
		}
	}
	if undated < 300 {
		t.Errorf("only %d codes of today are ambiguous without a date", undated)
	}
	if r := s.Code("4", since()); r.Reasons&ReasonZeros == 0 || r.Now[0].Code != "00004" || r.Confidence >= 1 {
		t.Errorf("a code without its zeros: %+v", r)
	}
	for _, bad := range []string{"", "abc", "123456", "001085012345", "99999"} {
		if r := s.Code(bad, since()); r.Question == nil || len(r.Now) != 0 {
			t.Errorf("%q: %+v", bad, r)
		}
	}
}

// Trap 2: province codes changed their names; the name decides, by its date.
func TestTrap2ProvinceCodesChangedNames(t *testing.T) {
	s, d := newStandardiser(t)
	for _, code := range []string{"15", "24", "44", "52", "80", "82", "91"} {
		old, _ := d.Province(code, time.UnixMicro(before()))
		now, _ := d.Province(code, time.UnixMicro(since()))
		checked := 0
		for _, u := range d.Communes(time.UnixMicro(before())) {
			if u.Province != code || checked > 20 {
				continue
			}
			checked++
			r := s.Standardise(join(u.Name, u.District, old.NameVi), before())
			if len(r.Then) != 1 || r.Then[0].Province != code || r.Then[0].ProvinceName != old.NameVi {
				t.Errorf("%s %s of %s: %+v", code, u.Name, old.NameVi, r.Then)
			}
			if other := s.Standardise(join(u.Name, u.District, now.NameVi), before()); other.Question == nil && other.Then[0].Province == code && !strings.Contains(old.NameVi, now.NameVi) && other.Reasons&ReasonMixed == 0 {
				t.Errorf("%s, %s then did not lie in %s: %+v", u.Name, u.District, now.NameVi, other.Then)
			}
		}
		if checked == 0 {
			t.Errorf("no commune of province %s", code)
		}
	}
}

// Trap 3: what was split is asked, with every part proposed.
func TestTrap3SplitCommunesAreAsked(t *testing.T) {
	s, d := newStandardiser(t)
	split := 0
	for _, u := range d.Communes(time.UnixMicro(before())) {
		parts := map[string]bool{}
		for _, l := range d.Successors(u.Code) {
			if l.Match == dictionary.ExactMatch {
				parts[l.NewCode] = true
			}
		}
		if len(parts) < 2 {
			continue
		}
		split++
		r := s.Code(u.Code, before())
		if r.Question == nil || len(r.Now) < len(parts) || r.Confidence >= 0.75 {
			t.Errorf("%s %s was split and is answered: %+v", u.Code, u.Name, r)
		}
		for _, c := range r.Now {
			delete(parts, c.Code)
		}
		if len(parts) > 0 {
			t.Errorf("%s: not proposed: %v", u.Code, parts)
		}
	}
	if split != 429 {
		t.Errorf("%d split communes", split)
	}
}

// Trap 4: tone marks in two places, NFC and NFD, are one name; other tones are another.
func TestTrap4SpellingsOfOneName(t *testing.T) {
	s, _ := newStandardiser(t)
	same := []string{
		"Phường Phú Hòa, TP Thủ Dầu Một, Bình Dương", "Phường Phú Hoà, TP Thủ Dầu Một, Bình Dương",
		norm.NFD.String("Phường Phú Hoà, TP Thủ Dầu Một, Bình Dương"), norm.NFD.String("phường phú hòa, tp thủ dầu một, bình dương"),
		"PHƯỜNG PHÚ HÒA, TP THỦ DẦU MỘT, BÌNH DƯƠNG", "phuong phu hoa, tp thu dau mot, binh duong",
	}
	first := s.Standardise(same[0], before())
	if len(first.Then) != 1 || first.Then[0].Name != "Phường Phú Hòa" {
		t.Fatalf("%+v", first)
	}
	for _, text := range same[1:] {
		r := s.Standardise(text, before())
		if len(r.Then) != 1 || r.Then[0].Code != first.Then[0].Code || r.Reasons&ReasonMarksDiffer != 0 {
			t.Errorf("%q: %+v", text, r)
		}
	}
	if r := s.Standardise("Phường Phú Hóa, TP Thủ Dầu Một, Bình Dương", before()); r.Reasons&ReasonMarksDiffer == 0 || r.Confidence >= first.Confidence {
		t.Errorf("another tone passes unseen: %+v", r)
	}
	for _, pair := range [][2]string{{"Mỹ", "Mĩ"}, {"Quý", "Quí"}, {"Lý", "Lí"}, {"hoà", "hòa"}, {"thuỷ", "thủy"}} {
		f := reader{folder: s.index.folder, words: s.index.words}
		f.tokenise(pair[0])
		a := f.tokens[0].signature
		f.tokenise(pair[1])
		if a != f.tokens[0].signature {
			t.Errorf("%v differ", pair)
		}
	}
	for _, pair := range [][2]string{{"Thuý", "Thúi"}, {"Tây", "Tâi"}, {"Hòa", "Hóa"}, {"Sơn", "Son"}} {
		f := reader{folder: s.index.folder, words: s.index.words}
		f.tokenise(pair[0])
		a := f.tokens[0].signature
		f.tokenise(pair[1])
		if a == f.tokens[0].signature {
			t.Errorf("%v are one", pair)
		}
	}
}

// Trap 5: the original and the old unit stay beside the new one.
func TestTrap5HistoryIsKept(t *testing.T) {
	s, _ := newStandardiser(t)
	text := norm.NFD.String("  12 Trấn Vũ,Phường Trúc Bạch ,Quận Ba Đình,  Hà Nội ")
	r := s.Standardise(text, before())
	if r.Original != text || r.Then[0].Name != "Phường Trúc Bạch" || r.Then[0].District != "Quận Ba Đình" || r.Now[0].Name != "Phường Ba Đình" || r.AsOf != before() || r.ListVersion == "" {
		t.Errorf("%+v", r)
	}
}

// A question holds the administrative part only.
func TestQuestionsHoldNoPersonalDetail(t *testing.T) {
	s, _ := newStandardiser(t)
	tests := []struct{ text, want, locality string }{
		{"Nhà ông Nguyễn Văn Tèo, số 12/3 ngõ 45, Phường Cửa Đông, Quận Hoàn Kiếm, Hà Nội", "Phường Cửa Đông, Quận Hoàn Kiếm, Thành phố Hà Nội", ""},
		{"Số 5 đường Hàng Bông, Phường Cửa Đông, Quận Hoàn Kiếm, Hà Nội", "Phường Cửa Đông, Quận Hoàn Kiếm, Thành phố Hà Nội", "đường Hàng Bông"},
		{"123 Hàng Bông, P. Cửa Đông, Q. Hoàn Kiếm, HN", "Phường Cửa Đông, Quận Hoàn Kiếm, Thành phố Hà Nội", "Hàng Bông"},
		{"Tổ 7, P. Cửa Đông, Q. Hoàn Kiếm, HN", "Phường Cửa Đông, Quận Hoàn Kiếm, Thành phố Hà Nội", "Tổ 7"},
		{"Tèo 0912345678, Xã Không Có, Huyện Đầm Dơi, Tỉnh Cà Mau", "… Xã Không Có, Huyện Đầm Dơi, Tỉnh Cà Mau", ""},
		{"Nguyễn Văn Tèo 0912345678 tầng 5 nhà B2", "", ""},
		{"12 Lê Lợi, Phường Cửa Nam, Hà Nội", "… Phường Cửa Nam, Hà Nội", ""},
	}
	for _, tt := range tests {
		r := s.Standardise(tt.text, Unknown)
		if r.Question == nil {
			t.Errorf("%q is answered: %+v", tt.text, r.Now)
			continue
		}
		if q := r.Question; q.Text != tt.want || q.Locality != tt.locality {
			t.Errorf("%q asks %q (%q), want %q (%q)", tt.text, q.Text, q.Locality, tt.want, tt.locality)
		}
	}
}

// Addresses with the same doubt are one question, however they are spelt.
func TestSameDoubtIsOneQuestion(t *testing.T) {
	s, _ := newStandardiser(t)
	same := [][]string{
		{"12 đường Hàng Bông, Phường Cửa Đông, Quận Hoàn Kiếm, Hà Nội", "99B đường Hàng Bông, p.cửa đông, q.hoàn kiếm, hn", "đường Hàng Bông, Phường Cửa Đông, Hoàn Kiếm, Hà Nội"},
		{"1 A, Phường 5, Quận 5, TP HCM", "2 B, P5 Q5 TP.HCM", "P.05, Q.05, Sài Gòn"},
		{"1 A, Xã Không Có, Huyện Đầm Dơi, Tỉnh Cà Mau", "X. KHÔNG CÓ, H. Đầm Dơi, T. Cà Mau"},
	}
	keys := map[string]bool{}
	for _, group := range same {
		key := ""
		for _, text := range group {
			r := s.Standardise(text, before())
			if r.Question == nil {
				t.Fatalf("%q is answered", text)
			}
			if key == "" {
				key = r.Question.Key
			}
			if r.Question.Key != key {
				t.Errorf("%q asks another question: %+v", text, r.Question)
			}
		}
		if keys[key] {
			t.Errorf("%q shares its key", group[0])
		}
		keys[key] = true
	}
	split := s.Standardise("đường Hàng Bông, Phường Cửa Đông, Quận Hoàn Kiếm, Hà Nội", before()).Question
	other := s.Standardise("đường Phùng Hưng, Phường Cửa Đông, Quận Hoàn Kiếm, Hà Nội", before()).Question
	if split.Key == other.Key {
		t.Error("two streets of a split ward are two questions")
	}
	if code := s.Code("27334", before()); code.Question == nil || code.Question.Key != s.Standardise("Phường 5, Quận 5, TP HCM", before()).Question.Key {
		t.Errorf("code and text of an ambiguous unit are one question: %+v", code)
	}
}

// A ruling answers the same question from then on, until it is taken back.
func TestRulings(t *testing.T) {
	s, _ := newStandardiser(t)
	const text = "12 Trần Phú, Phường 5, Quận 5, TP HCM"
	q := s.Standardise(text, before()).Question
	s.UseRulings([]Ruling{{Key: q.Key, Unit: "27316"}})
	for _, spelt := range []string{text, "P5 Q5 HCM"} {
		r := s.Standardise(spelt, before())
		if now, ok := r.Resolved(); !ok || now.Code != "27316" || r.Method != ByRuling || r.Confidence != 1 || r.Original != spelt {
			t.Errorf("%q: %+v", spelt, r)
		}
	}
	s.UseRulings([]Ruling{{Key: q.Key, NotResolvable: true}})
	if r := s.Standardise(text, before()); r.Question != nil || len(r.Now) != 0 || r.Method != ByRuling {
		t.Errorf("not resolvable: %+v", r)
	}
	s.UseRulings([]Ruling{{Key: q.Key, Unit: "99999"}})
	if r := s.Standardise(text, before()); r.Question == nil {
		t.Errorf("a unit that is not in the list any more is no answer: %+v", r)
	}
	s.UseRulings(nil)
	if r := s.Standardise(text, before()); r.Question == nil || r.Question.Key != q.Key {
		t.Errorf("withdrawn: %+v", r)
	}
}

func TestReasonsAreSpeltOutInBothLanguages(t *testing.T) {
	if text, err := json.Marshal(Standardised{Reasons: ReasonPlain}); err != nil || !strings.Contains(string(text), `"reasons":[{"code":"plain","vi":"có tên viết không dấu"`) {
		t.Errorf("%s %v", text, err)
	}
	seen := map[string]bool{}
	for _, r := range (reasonsEnd - 1).List() {
		if r.Code == "" || r.Vi == "" || r.En == "" || seen[r.Code] || !norm.NFC.IsNormalString(r.Vi) {
			t.Errorf("bad reason %+v", r)
		}
		seen[r.Code] = true
	}
	if len(seen) != 31 {
		t.Errorf("%d reasons", len(seen))
	}
}

// A Standardiser serves many goroutines while rulings change, and an address that is understood
// costs no allocation.
func TestManyGoroutines(t *testing.T) {
	s, _ := newStandardiser(t)
	texts := []string{"Phường Trúc Bạch, Quận Ba Đình, Hà Nội", "Phường 5, Quận 5, TP HCM", "xa tan dyuet, huyen dam doi, ca mau"}
	key := s.Standardise(texts[1], before()).Question.Key
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := range 300 {
				if g == 0 && i%20 == 0 {
					s.UseRulings([]Ruling{{Key: key, Unit: "27316"}})
				}
				for _, text := range texts {
					if r := s.Standardise(text, before()); len(r.Then) != 1 {
						t.Errorf("%q: %+v", text, r)
					}
				}
			}
		})
	}
	group.Wait()
}

func TestUnderstoodAddressesCostNoAllocation(t *testing.T) {
	s, _ := newStandardiser(t)
	for _, text := range []string{"12 phố Trấn Vũ, Phường Trúc Bạch, Quận Ba Đình, Hà Nội", "p tan dinh q1 tphcm", norm.NFD.String("Xã Tân Duyệt, Huyện Đầm Dơi, Cà Mau")} {
		if n := testing.AllocsPerRun(100, func() { s.Standardise(text, before()) }); n > 0 && !raceEnabled() {
			t.Errorf("%q: %.0f allocations", text, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.Code("00013", before()) }); n > 2 {
		t.Errorf("a code: %.0f allocations", n)
	}
}

// raceEnabled: under the race detector sync.Pool drops what is put back at random.
func raceEnabled() bool {
	var pool sync.Pool
	for range 100 {
		pool.Put(new(int))
		if pool.Get() == nil {
			return true
		}
	}
	return false
}

func FuzzStandardise(f *testing.F) {
	s, _ := newStandardiser(f)
	for _, seed := range []string{
		"", "Phường Trúc Bạch, Quận Ba Đình, Hà Nội", "P5 Q5 TP.HCM", "\xff\xfe", "ấp 5, xã , huyện, tỉnh", "T.P T.X T.T 1 2 3",
		strings.Repeat("Xã Tân Lập, ", 200), "Việt Nam", "viet nam, ha noi, ba dinh", norm.NFD.String("Đắk Đoa"), "00004", "P/Q/TP 12/3",
	} {
		f.Add(seed, int64(0))
		f.Add(seed, before())
		f.Add(seed, since())
	}
	f.Fuzz(func(t *testing.T, text string, asOf int64) {
		for _, r := range []Standardised{s.Standardise(text, asOf), s.Code(text, asOf)} {
			if r.Original != text || r.Confidence < 0 || r.Confidence > 1 || !strings.Contains(text, r.Detail) {
				t.Fatalf("%q: %+v", text, r)
			}
			if _, ok := r.Resolved(); ok != (r.Question == nil) {
				t.Fatalf("%q: neither an answer nor a question: %+v", text, r)
			}
			if r.Question != nil && (r.Question.Key == "" || len(r.Question.Now) > 64) {
				t.Fatalf("%q: %+v", text, r.Question)
			}
			sum := 0.0
			for _, c := range r.Now {
				sum += c.Share
			}
			if len(r.Now) > 0 && (sum < 0.999 || sum > 1.001) {
				t.Fatalf("%q: shares add up to %f: %+v", text, sum, r.Now)
			}
		}
		again := s.Standardise(text, asOf)
		if first := s.Standardise(text, asOf); first.Confidence != again.Confidence || len(first.Now) != len(again.Now) {
			t.Fatalf("%q: %+v and %+v", text, first, again)
		}
	})
}

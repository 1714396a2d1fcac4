package file

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"
)

// lists as offices keep them. The people are invented.
func officeTexts() []string {
	family := strings.Fields("Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Trịnh Đoàn Mai Cao Lương Tạ Quách Thạch Sơn Kim Danh Lâm Châu Tô Tăng Ông Ứng")
	middle := strings.Fields("Văn Thị Hữu Đức Minh Quốc Thanh Ngọc Xuân Thu Bích Kim Hồng Mỹ Như Thuỳ Gia Bảo Tuấn Công Đình Quang Diễm Phương")
	given := strings.Fields("An Bình Cường Dũng Đạt Giang Hà Hạnh Hiếu Hoà Hùng Huyền Khánh Khuê Lan Liễu Linh Long Lộc Mẫn Nam Nga Nghĩa Nguyệt Nhàn Nhung Phúc Quyên Quỳnh Sáu Tâm Thảo Thuỷ Tiến Toàn Trí Trưởng Tuyết Uyên Vân Vượng Xuyến Yến Ánh Ẩn Út Ước")
	places := strings.Fields("Ấp Khóm Tổ Thôn Bản Đường Số")
	communes := []string{"Vĩnh Trạch Đông", "Hiệp Thành", "Gành Hào", "Châu Thành", "Hoà Bình", "Phường Ba Đình", "Xã Tân Thuận", "Đầm Dơi", "Nghĩa Lộ", "Mường Khương", "Bảo Thắng", "Quảng Uyên", "Thuỷ Nguyên", "Phước Hữu", "Xuyên Mộc"}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	var texts []string
	for i := range 1500 {
		texts = append(texts,
			pick(family)+" "+pick(middle)+" "+pick(given),
			fmt.Sprintf("%s %d, %s", pick(places), i%90+1, pick(communes)))
	}
	return texts
}

// encoders write known text as the old programs did.
func encoders() map[textCode]func(string) []byte {
	t := newTranslator()
	tcvn3, vni := map[rune]rune{}, map[rune]string{}
	for place, r := range t.tcvn3 {
		if r != 0 {
			tcvn3[r] = rune(place)
		}
	}
	for place, r := range t.single {
		if r != 0 {
			vni[r] = string(rune(place))
		}
	}
	for pair, r := range t.marked {
		if unicode.IsUpper(pair[0]) == unicode.IsUpper(pair[1]) {
			vni[r] = string(pair[:])
		}
	}
	western := func(text string, letter func(rune) string) []byte {
		var out []byte
		for _, r := range text {
			for _, c := range letter(r) {
				out = append(out, byte(c))
			}
		}
		return out
	}
	return map[textCode]func(string) []byte{
		tcvn3Text: func(s string) []byte {
			return western(s, func(r rune) string {
				place, ok := tcvn3[r]
				if !ok {
					place, ok = tcvn3[unicode.ToLower(r)]
				}
				if !ok {
					return string(r)
				}
				return string(place)
			})
		},
		vniText: func(s string) []byte {
			return western(s, func(r rune) string {
				if marked, ok := vni[r]; ok {
					return marked
				}
				return string(r)
			})
		},
		cp1258Text: func(s string) []byte {
			var out []byte
			for _, r := range s {
				if b, ok := charmap.Windows1258.EncodeRune(r); ok {
					out = append(out, b)
					continue
				}
				base, t := splitTone(unicode.ToLower(r))
				if unicode.IsUpper(r) {
					base = unicode.ToUpper(base)
				}
				b, _ := charmap.Windows1258.EncodeRune(base)
				out = append(out, b)
				mark, _ := charmap.Windows1258.EncodeRune([]rune("\u0300\u0309\u0303\u0301\u0323")[t-1])
				out = append(out, mark)
			}
			return out
		},
		unicodeText: func(s string) []byte { return []byte(s) },
	}
}

// asWestern is how bytes of an old code look in a workbook.
func asWestern(b []byte) []byte {
	var out []byte
	for _, c := range b {
		out = append(out, string(rune(c))...)
	}
	return out
}

func allLetters() []rune {
	var letters []rune
	for _, r := range toned + "đ" {
		if r > 0x7f {
			letters = append(letters, r, unicode.ToUpper(r))
		}
	}
	return letters
}

// TestLegacyTables: every accented letter of Vietnamese goes through each code
// and comes back, and samples written elsewhere are read as meant.
func TestLegacyTables(t *testing.T) {
	letters, tr := allLetters(), newTranslator()
	if len(letters) != 134 {
		t.Fatalf("%d letters, Vietnamese has 134", len(letters))
	}
	for code, encode := range encoders() {
		for _, r := range letters {
			raw := encode(string(r))
			for _, form := range [][]byte{raw, asWestern(raw)} {
				if code == unicodeText || code == cp1258Text && !bytes.Equal(form, raw) {
					form = raw
				}
				got, ok := tr.translate(form, code)
				want := string(r)
				if code == tcvn3Text && unicode.IsUpper(r) && uncertain(r) {
					want = string(unicode.ToLower(r)) // one place for both; the font of capitals tells
					if upper, _ := tr.translate(form, tcvn3Upper); string(upper) != string(r) {
						t.Errorf("%c in a font of capitals is %s", r, upper)
					}
					got, ok = tr.translate(form, code)
				}
				if !ok || string(got) != want {
					t.Errorf("code %d: %c became %s", code, r, got)
				}
			}
		}
	}
	for _, sample := range []struct {
		code       textCode
		from, want string
	}{
		{tcvn3Text, "B¶o Th¾ng", "Bảo Thắng"},
		{tcvn3Text, "M\u00adêng Kh\u00ad¬ng", "Mường Khương"},
		{tcvn3Text, "NguyÔn ThÞ ¸nh", "Nguyễn Thị Ánh"},
		{tcvn3Text, "NguyÔn V¨n A", "Nguyễn Văn A"},
		{tcvn3Text, "céng hoµ x· héi", "cộng hoà xã hội"},
		{tcvn3Text, "L£ – THÞ “Tó”", "LÊ – THỊ “TÚ”"},
		{tcvn3Upper, "céng hoµ", "CỘNG HOÀ"},
		{tcvn3Text, "TRÇN THÞ Tó", "TRẦN THỊ TÚ"},
		{tcvn3Text, "NguyÔn V¨n A\u00ff", ""}, // a place that the code does not have
		{vniText, "Xin chaøo caùc baïn", "Xin chào các bạn"},
		{vniText, "Nguyeãn Thò AÙnh", "Nguyễn Thị Ánh"},
		{vniText, "ÑÖÔØNG Nguyeãn Hueä", "ĐƯỜNG Nguyễn Huệ"},
		{vniText, "Quận", ""}, // Unicode in a cell with an old font
		{unicodeText, "Hoa\u0300", "Hoà"},
	} {
		got, ok := tr.translate([]byte(sample.from), sample.code)
		if ok != (sample.want != "") || ok && string(got) != sample.want {
			t.Errorf("%q in code %d: %q, %v; want %q", sample.from, sample.code, got, ok, sample.want)
		}
	}
}

// TestDetection measures how often the code of a column is found from a few of its cells, and
// that what was written comes back.
func TestDetection(t *testing.T) {
	texts := officeTexts()
	tr := newTranslator()
	for code, encode := range encoders() {
		for _, form := range []string{"bytes", "western"} {
			if form == "western" && (code == unicodeText || code == cp1258Text) {
				continue
			}
			for _, size := range []int{1, 3, 10, 50} {
				right, all, sure := 0, 0, 0.0
				for from := 0; from+2*size <= len(texts); from += 2 * size {
					for column := range 2 {
						d := detector{translator: tr}
						for i := range size {
							raw := encode(texts[from+2*i+column])
							if form == "western" {
								raw = asWestern(raw)
							}
							d.add(raw)
						}
						found, confidence := d.verdict()
						if !d.known() {
							continue
						}
						all++
						if found == code {
							right++
							sure += confidence
						}
					}
				}
				accuracy := float64(right) / float64(all)
				t.Logf("code %d as %s, %d cells: %d of %d columns right (%.2f %%), mean confidence %.2f", code, form, size, right, all, 100*accuracy, sure/float64(right))
				if floor := map[int]float64{1: 0.96, 3: 0.995, 10: 1, 50: 1}[size]; accuracy < floor {
					t.Errorf("accuracy %.4f, promised %.4f", accuracy, floor)
				}
			}
		}
		exact, folded := 0, 0
		for _, text := range texts {
			got, _ := tr.translate(encode(text), code)
			if string(got) == text {
				exact++
			}
			if strings.EqualFold(string(got), text) {
				folded++
			}
		}
		t.Logf("code %d: %d of %d come back exactly, %d but for the case", code, exact, len(texts), folded)
		if folded != len(texts) || code != tcvn3Text && exact != len(texts) || exact < len(texts)*99/100 {
			t.Errorf("code %d: %d of %d come back, %d but for the case", code, exact, len(texts), folded)
		}
	}
}

func TestSyllables(t *testing.T) {
	for word, want := range map[string]bool{
		"nguyễn": true, "thị": true, "ánh": true, "quốc": true, "giếng": true, "gì": true, "khuỷu": true, "nghiêng": true,
		"đường": true, "uỷ": true, "yến": true, "huỳnh": true, "quyền": true, "quạ": true, "xoong": true,
		"nguyôn": false, "bức": true, "bừc": false, "thþ": false, "gîang": false, "bạàn": false, "ăn": true, "đắk": false,
	} {
		if got := isSyllable([]rune(word)); got != want {
			t.Errorf("%s: %v", word, got)
		}
	}
}

// FuzzTranslate: nothing panics, what comes out is UTF-8 in NFC, and text that is
// Unicode already is left alone.
func FuzzTranslate(f *testing.F) {
	f.Add([]byte("NguyÔn V¨n A"), byte(1))
	f.Add([]byte{0xd2, 'a', 0xff}, byte(4))
	f.Add(binary.BigEndian.AppendUint32(nil, 0xc3a1e1ba), byte(3))
	f.Fuzz(func(t *testing.T, text []byte, code byte) {
		tr := newTranslator()
		before := bytes.Clone(text)
		got, ok := tr.translate(text, textCode(code%5))
		if ok && !norm.NFC.IsNormal(got) && textCode(code%5) != tcvn3Text && textCode(code%5) != tcvn3Upper && textCode(code%5) != vniText {
			t.Fatalf("%q is not in NFC", got)
		}
		if !ok && !bytes.Equal(got, before) {
			t.Fatal("refused text was changed")
		}
		d := detector{translator: tr}
		d.add(text)
		if _, confidence := d.verdict(); confidence < 0 || confidence > 1 {
			t.Fatal(confidence)
		}
	})
}

package truth

import (
	"math/rand/v2"
	"strings"
)

// bag is words with how often each is drawn.
type bag struct {
	words      []string
	cumulative []uint32
}

// bagOf reads "Nguyễn:32 Trần:11 Lê": a word without a number counts once. An underscore
// stands for a space inside a word.
func bagOf(text string) bag {
	var b bag
	sum := uint32(0)
	for item := range strings.FieldsSeq(text) {
		word, count, _ := strings.Cut(item, ":")
		weight := uint32(0)
		for _, c := range count {
			weight = weight*10 + uint32(c-'0')
		}
		sum += max(weight, 1)
		b.words = append(b.words, strings.ReplaceAll(word, "_", " "))
		b.cumulative = append(b.cumulative, sum)
	}
	return b
}

func (b *bag) draw(r *rand.Rand) uint16 {
	n := r.Uint32N(b.cumulative[len(b.cumulative)-1])
	low, high := 0, len(b.cumulative)-1
	for low < high {
		if middle := (low + high) / 2; b.cumulative[middle] > n {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return uint16(low)
}

// vocabulary is what names are made of.
type vocabulary struct {
	family       bag
	middle       [2]bag // female, male
	given        [2]bag
	givenFor     [2]bag // of an older generation
	firmWords    bag
	activities   []activity
	firmPlaces   bag
	householdFor bag
}

// activity is what a firm does, in the spellings that are met.
type activity struct{ full, short, english string }

func newVocabulary() *vocabulary {
	return &vocabulary{
		family: bagOf(`Nguyễn:310 Trần:110 Lê:90 Phạm:70 Hoàng:36 Huỳnh:32 Phan:45 Vũ:24 Võ:24 Đặng:21 Bùi:20 Đỗ:17 Hồ:14
			Ngô:13 Dương:11 Lý:7 Đinh:9 Trương:12 Đoàn:8 Lâm:6 Trịnh:7 Mai:6 Đào:7 Cao:7 Hà:6 Lương:6 Lưu:5 Tạ:4 Thái:4 Châu:3 Tô:3
			Tống:2 Vương:3 Chu:3 Nghiêm Quách:2 Kiều:2 Phùng:4 Thân La:2 Văn:2 Phí Khổng Cù Lại:2 Đàm:2 Doãn Tăng Lò:3 Quàng:2 Nông:3
			Vi:2 Triệu:2 Giàng:2 Sùng:2 Thạch:3 Sơn:2 Kim:2 Danh:2 Bế Ma Hứa Mạc Ninh Giáp Âu Ông Tiêu Bạch Viên Thiều Hàn Cấn Từ:2`),
		middle: [2]bag{
			bagOf(`Thị:520 Ngọc:60 Thanh:45 Thu:40 Phương:35 Kim:40 Hồng:35 Minh:35 Khánh:25 Bảo:25 Thuỳ:25 Quỳnh:18 Hà:15 Thị_Thu:25 Thị_Ngọc:25
				Thị_Thanh:25 Thị_Kim:20 Thị_Hồng:18 Thị_Bích:14 Thị_Phương:14 Thị_Mỹ:10 Thị_Lan:6 Diệu:8 Mỹ:12 Bích:10 Mai:14 Hải:8 Gia:10 Tường:6 Tuệ:6 Thảo:12`),
			bagOf(`Văn:340 Đức:60 Minh:70 Quốc:45 Hữu:40 Xuân:40 Ngọc:40 Quang:45 Công:30 Thành:25 Đình:35 Anh:30 Tuấn:25 Hoàng:40 Trọng:18 Duy:30
				Mạnh:20 Bá:15 Thế:18 Tiến:22 Viết:12 Gia:30 Đăng:18 Nhật:14 Hải:15 Thanh:35 Trung:18 Chí:8 Phúc:10 Khánh:10 Sỹ:5 Kim:6`),
		},
		given: [2]bag{
			bagOf(`Anh:46 Linh:34 Ngọc:26 Trang:28 Nhi:24 Vy:20 Thảo:24 Ngân:20 Hân:16 Như:14 My:16 Trâm:12 Châu:12 Chi:16 Phương:24 Quỳnh:16
				Thư:18 Uyên:12 Hà:20 An:14 Trúc:8 Yến:14 Tiên:10 Mai:14 Giang:10 Huyền:16 Hương:26 Lan:18 Hằng:18 Nga:14 Thuỷ:18 Hiền:18 Nhung:14
				Dung:12 Hạnh:14 Loan:12 Oanh:10 Vân:14 Hoa:14 Thu:12 Liên:10 Tâm:12 Trinh:10 Duyên:12 Thuý:12 Hồng:14 Diễm:6 Kiều:6 Thắm:4 Phượng:10
				Quyên:10 Xuân:8 Bích:6 Ánh:8 Hường:6 Ly:8 Lý:5 Hoà:6 Nguyệt:6 Tuyền:6 Thơ:4 Thi:6 Đào:5 Khuê:2 Đan:3 Lam:4 Diệp:6 Mỹ:5 Mến:2 Thương:8`),
			bagOf(`Anh:26 Huy:30 Bảo:20 Khang:18 Phúc:22 Minh:28 Khôi:14 Khoa:18 Đạt:20 Long:24 Nam:24 Quân:20 Kiệt:14 Phát:12 Duy:18 Hoàng:22
				Thịnh:12 Hiếu:20 Nguyên:12 Phong:18 Dũng:22 Hưng:18 Tùng:16 Sơn:20 Lâm:12 An:12 Trí:10 Vinh:12 Việt:10 Đăng:8 Bách:6 Dương:12
				Thiện:8 Tuấn:28 Trung:18 Tài:14 Nhân:10 Kiên:14 Quang:16 Lộc:10 Khải:6 Vũ:10 Nghĩa:10 Tiến:14 Hùng:24 Cường:20 Hải:20 Thành:22
				Thắng:18 Linh:8 Đức:18 Tú:12 Toàn:12 Bình:14 Thái:10 Khánh:10 Mạnh:12 Công:8 Tâm:10 Trường:10 Tân:8 Giang:6 Hậu:8 Chung:6 Lợi:8 Hoà:8 Sang:8 Tín:6 Định:5 Thuận:6 Luân:5 Lực:4`),
		},
		givenFor: [2]bag{
			bagOf(`Lan:12 Hoa:12 Hồng:10 Mai:9 Liên:9 Hương:9 Nga:7 Thanh:6 Bình:5 Hạnh:7 Tâm:7 Loan:7 Phượng:7 Cúc:7 Huệ:8 Sáu:5 Tư:5 Năm:5
				Bảy:4 Thơm:4 Xuân:5 Thu:6 Yến:5 Oanh:4 Ánh:4 Tuyết:6 Nhung:4 Hoà:4 Lý:4 Nguyệt:5 Vân:5 Sen:4 Gái:4 Chín:3 Thảo:4 Đào:4 Ngọc:5 Hằng:5 Hiền:5 Mười:3 Bích:4 Lệ:3 Dung:4 Út:3`),
			bagOf(`Hùng:12 Dũng:8 Sơn:9 Thành:9 Hải:8 Bình:8 Minh:8 Long:7 Hoà:7 Thắng:7 Lợi:6 Phúc:5 Tâm:6 Đức:6 Hưng:6 Chiến:5 Quang:7 Cường:6
				Tài:5 Lâm:5 Hiền:4 Khanh:3 Thọ:4 Tư:4 Sáu:4 Nam:5 Đông:4 Tân:4 Quý:4 Tiến:5 Vinh:4 Mạnh:4 Khoa:3 Nghĩa:4 Được:3 Phước:4 Hoàng:4 Định:3 Kiên:3 Toàn:4 Xuân:5 Bảy:3 Út:3 Chính:4 Thuận:4 Lộc:4 Sinh:3 Thân:2 Trí:3 Nhân:3`),
		},
		firmWords: bagOf(`Hoàng:9 Long:8 Minh:9 Phát:9 An:7 Thịnh:7 Hưng:7 Phú:7 Đại:5 Việt:8 Nam:6 Thành:6 Tân:6 Tiến:5 Kim:5 Gia:4 Đức:5 Hải:5
			Sơn:5 Thiên:5 Ngọc:5 Phương:4 Đông:4 Á:4 Bình:4 Hà:4 Trường:4 Vạn:3 Quang:4 Bảo:4 Linh:3 Anh:4 Hùng:4 Cường:3 Thái:4 Nhật:3 Tâm:3 Tín:3
			Lộc:3 Vinh:3 Khang:3 Toàn:3 Mỹ:3 Lợi:3 Nguyên:3 Khánh:3 Thuận:2 Hoà:3 Duy:2 Tuấn:3 Trung:3 Sen:1 Mai:2 Hồng:3 Thanh:3 Xuân:2 Cát:2 Tường:2 Đỉnh:1 Vàng:2
			Sao:2 Biển:1 Xanh:2 Rồng:1 Phượng:1 Lâm:2 Châu:2 Vĩnh:3 Hiệp:2 Trí:2 Thắng:2 Dũng:2 Nghĩa:2 Ân:1 Uy:1 Đạt:2 Kiên:2 Phong:2 Quốc:2 Tế:1 Huy:2 Bách:1`),
		activities: []activity{
			{"thương mại", "TM", "trading"},
			{"dịch vụ", "DV", "services"},
			{"xây dựng", "XD", "construction"},
			{"sản xuất", "SX", "manufacturing"},
			{"xuất nhập khẩu", "XNK", "import export"},
			{"đầu tư", "ĐT", "investment"},
			{"phát triển", "PT", "development"},
			{"vận tải", "VT", "transport"},
			{"tư vấn", "TV", "consulting"},
			{"công nghệ", "CN", "technology"},
			{"du lịch", "DL", "tourism"},
			{"bất động sản", "BĐS", "real estate"},
			{"cơ khí", "cơ khí", "mechanical"},
			{"nội thất", "nội thất", "furniture"},
		},
		firmPlaces:   bagOf(`Sài_Gòn:4 Hà_Nội:4 Miền_Nam:2 Miền_Trung:2 Đà_Nẵng:2 Tây_Nguyên Cần_Thơ Hải_Phòng Số_1 Số_2 2 3`),
		householdFor: bagOf(`cơm_tấm phở tạp_hoá cà_phê quán_ăn vật_liệu điện_nước sửa_xe may_mặc nhà_nghỉ hiệu_thuốc gạo bún_bò`),
	}
}

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

// plainText is the text without diacritics.
func plainText(s string) string {
	var b strings.Builder
	for _, c := range s {
		b.WriteRune(plainLetter(c))
	}
	return b.String()
}

func plainLetter(c rune) rune {
	if c < 0x80 {
		return c
	}
	for _, family := range [...]struct{ plain, marked string }{
		{"aA", "àáảãạăằắẳẵặâầấẩẫậÀÁẢÃẠĂẰẮẲẴẶÂẦẤẨẪẬ"},
		{"dD", "đĐ"},
		{"eE", "èéẻẽẹêềếểễệÈÉẺẼẸÊỀẾỂỄỆ"},
		{"iI", "ìíỉĩịÌÍỈĨỊ"},
		{"oO", "òóỏõọôồốổỗộơờớởỡợÒÓỎÕỌÔỒỐỔỖỘƠỜỚỞỠỢ"},
		{"uU", "ùúủũụưừứửữựÙÚỦŨỤƯỪỨỬỮỰ"},
		{"yY", "ỳýỷỹỵỲÝỶỸỴ"},
	} {
		for i, marked := range []rune(family.marked) {
			if marked == c {
				if i < len([]rune(family.marked))/2 {
					return rune(family.plain[0])
				}
				return rune(family.plain[1])
			}
		}
	}
	return c
}

// otherTone writes a letter with another tone, as those do who confuse hỏi and ngã.
func otherTone(c rune) rune {
	const from, to = "ảẻỉỏủỷẩểổẳởửãẽĩõũỹẫễỗẵỡữáéíóúàèìòù", "ãẽĩõũỹẫễỗẵỡữảẻỉỏủỷẩểổẳởửàèìòùáéíóú"
	out := []rune(to)
	for i, marked := range []rune(from) {
		if marked == c {
			return out[i]
		}
	}
	return c
}

// misspell makes one typing error in a word.
func misspell(r *rand.Rand, word string) string {
	letters := []rune(word)
	at := r.IntN(len(letters))
	switch r.IntN(4) {
	case 0: // two neighbours swapped
		if at+1 == len(letters) {
			at = max(at-1, 0)
		}
		if at+1 < len(letters) && letters[at] != letters[at+1] {
			letters[at], letters[at+1] = letters[at+1], letters[at]
			return string(letters)
		}
		fallthrough
	case 1: // one twice
		return string(letters[:at+1]) + string(letters[at:])
	case 2: // one missing
		if len(letters) > 3 {
			return string(letters[:at]) + string(letters[at+1:])
		}
		fallthrough
	default: // a neighbour on the keyboard
		const row = "qwertyuiopasdfghjklzxcvbnm"
		plain := strings.ToLower(string(plainLetter(letters[at])))
		next := rune(row[(strings.Index(row, plain)+1)%len(row)])
		letters[at] = next
		return string(letters)
	}
}

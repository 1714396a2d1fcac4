package demo

import "math/rand/v2"

// pool is a list of words with how often each occurs among a thousand or so.
// Weights are cumulative, so that drawing is one random number and a search.
type pool struct {
	words      []uint16
	cumulative []uint32
}

func (p *pool) draw(r *rand.Rand) uint16 {
	if len(p.words) == 0 {
		return 0
	}
	n := r.Uint32N(p.cumulative[len(p.cumulative)-1])
	low, high := 0, len(p.cumulative)-1
	for low < high {
		middle := (low + high) / 2
		if p.cumulative[middle] > n {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return p.words[low]
}

// weighted is a word of a name list.
type weighted struct {
	word   string
	weight uint32
}

// even gives every word the same weight.
func even(words ...string) []weighted {
	list := make([]weighted, len(words))
	for i, word := range words {
		list[i] = weighted{word, 1}
	}
	return list
}

// style is how the people of one group name their children.
type style struct {
	surnames   pool
	middleMale [3]pool // by generation: born before 1970, before 1995, after
	middleFem  [3]pool
	givenMale  [3]pool
	givenFem   [3]pool
}

// names holds every word of a name once; people refer to them by index. Word 0
// is empty.
type names struct {
	words  []string
	plain  []string // without diacritics and spaces, in lower case, for mail addresses
	index  map[string]uint16
	styles map[uint8]*style // by ethnic group
	north  *style           // Kinh of the north
	south  *style           // Kinh from Quảng Nam southwards: Huỳnh and Võ
}

func newNames() *names {
	n := &names{words: []string{""}, plain: []string{""}, index: map[string]uint16{"": 0}, styles: map[uint8]*style{}}
	n.north = n.kinh(false)
	n.south = n.kinh(true)
	for _, m := range minorities() {
		n.styles[m.code] = n.minority(m)
	}
	return n
}

func (n *names) intern(word string) uint16 {
	if i, ok := n.index[word]; ok {
		return i
	}
	i := uint16(len(n.words))
	n.words = append(n.words, word)
	n.plain = append(n.plain, withoutMarks(word))
	n.index[word] = i
	return i
}

func (n *names) pool(list []weighted) pool {
	var p pool
	var sum uint32
	for _, w := range list {
		sum += w.weight
		p.words = append(p.words, n.intern(w.word))
		p.cumulative = append(p.cumulative, sum)
	}
	return p
}

func (n *names) same(list []weighted) [3]pool {
	p := n.pool(list)
	return [3]pool{p, p, p}
}

func (n *names) kinh(south bool) *style {
	s := &style{}
	surnames := []weighted{
		{"Nguyễn", 320},
		{"Trần", 108},
		{"Lê", 92},
		{"Phạm", 70},
		{"Phan", 44},
		{"Đặng", 22},
		{"Bùi", 21},
		{"Đỗ", 18},
		{"Hồ", 14},
		{"Ngô", 14},
		{"Dương", 11},
		{"Lý", 6},
		{"Đinh", 9},
		{"Trương", 12},
		{"Đoàn", 8},
		{"Lâm", 6},
		{"Trịnh", 7},
		{"Mai", 6},
		{"Đào", 7},
		{"Cao", 7},
		{"Hà", 6},
		{"Lương", 6},
		{"Lưu", 5},
		{"Tạ", 4},
		{"Thái", 4},
		{"Châu", 3},
		{"Tô", 3},
		{"Tống", 2},
		{"Vương", 3},
		{"Chu", 3},
		{"Nghiêm", 1},
		{"Quách", 2},
		{"Kiều", 2},
		{"Phùng", 4},
		{"Thân", 1},
		{"La", 2},
		{"Văn", 2},
		{"Phí", 1},
		{"Khổng", 1},
		{"Cù", 1},
		{"Lại", 2},
		{"Đàm", 2},
		{"Doãn", 1},
		{"Tăng", 1},
	}
	if south {
		surnames = append(surnames, weighted{"Huỳnh", 52}, weighted{"Võ", 40}, weighted{"Hoàng", 6}, weighted{"Vũ", 6}, weighted{"Bành", 1}, weighted{"Từ", 2})
	} else {
		surnames = append(surnames, weighted{"Hoàng", 52}, weighted{"Vũ", 44}, weighted{"Võ", 5})
	}
	s.surnames = n.pool(surnames)
	s.middleMale = [3]pool{
		n.pool([]weighted{{"Văn", 520}, {"Đình", 50}, {"Hữu", 45}, {"Xuân", 50}, {"Ngọc", 35}, {"Quang", 35}, {"Đức", 40}, {"Công", 30}, {"Trọng", 15}, {"Bá", 25}, {"Duy", 10}, {"Thế", 15}, {"Tiến", 15}, {"Viết", 15}, {"Minh", 20}, {"Quốc", 20}, {"Thanh", 30}, {"Sĩ", 6}, {"Phước", 8}, {"Kim", 6}}),
		n.pool([]weighted{{"Văn", 300}, {"Đình", 35}, {"Hữu", 35}, {"Xuân", 35}, {"Ngọc", 40}, {"Quang", 45}, {"Đức", 60}, {"Công", 35}, {"Trọng", 20}, {"Bá", 15}, {"Duy", 35}, {"Thế", 20}, {"Tiến", 25}, {"Minh", 60}, {"Quốc", 45}, {"Thanh", 50}, {"Anh", 25}, {"Tuấn", 15}, {"Hoàng", 40}, {"Mạnh", 25}, {"Việt", 15}, {"Hồng", 12}, {"Trung", 15}, {"Hải", 12}}),
		n.pool([]weighted{{"Văn", 50}, {"Gia", 75}, {"Minh", 100}, {"Đức", 50}, {"Quốc", 45}, {"Hoàng", 60}, {"Đăng", 40}, {"Nhật", 30}, {"Anh", 40}, {"Tuấn", 35}, {"Bảo", 35}, {"Thiên", 25}, {"Duy", 35}, {"Hải", 25}, {"Quang", 35}, {"Thành", 30}, {"Trung", 25}, {"Khánh", 15}, {"Phúc", 20}, {"Mạnh", 15}, {"Hữu", 15}, {"Ngọc", 15}, {"Tiến", 20}, {"Công", 10}, {"Xuân", 8}, {"Chí", 12}, {"Nguyên", 8}}),
	}
	s.middleFem = [3]pool{
		n.pool([]weighted{{"Thị", 800}, {"Thị Kim", 25}, {"Thị Ngọc", 20}, {"Thị Thanh", 20}, {"Ngọc", 20}, {"Kim", 20}, {"Thị Thu", 15}, {"Thị Hồng", 15}, {"Thị Mỹ", 10}, {"Thuý", 5}}),
		n.pool([]weighted{{"Thị", 480}, {"Thị Thu", 45}, {"Thị Thanh", 50}, {"Thị Ngọc", 45}, {"Thị Kim", 35}, {"Thị Hồng", 35}, {"Thị Bích", 25}, {"Thị Minh", 15}, {"Thị Phương", 25}, {"Thị Thuỳ", 15}, {"Thị Mỹ", 15}, {"Thị Lan", 10}, {"Ngọc", 40}, {"Thu", 25}, {"Thanh", 25}, {"Phương", 20}, {"Hồng", 15}, {"Kim", 20}, {"Diệu", 8}}),
		n.pool([]weighted{{"Thị", 90}, {"Ngọc", 100}, {"Khánh", 50}, {"Bảo", 60}, {"Minh", 60}, {"Thuỳ", 30}, {"Phương", 50}, {"Thảo", 30}, {"Quỳnh", 30}, {"Hà", 25}, {"Gia", 25}, {"Kim", 20}, {"Thanh", 40}, {"Tường", 12}, {"Hải", 12}, {"Mai", 20}, {"Thị Thanh", 20}, {"Thị Ngọc", 25}, {"Thị Phương", 20}, {"Thị Thu", 15}, {"Nguyễn Bảo", 6}, {"Anh", 15}, {"Diệp", 6}, {"Linh", 12}, {"Tuệ", 10}}),
	}
	s.givenMale = [3]pool{
		n.pool(even("Hùng", "Dũng", "Sơn", "Thành", "Hải", "Bình", "Minh", "Long", "Hoà", "Thắng", "Lợi", "Phúc", "Tâm", "Đức", "Hưng", "Chiến", "Quang", "Cường", "Tài", "Lâm", "Hiền", "Khanh", "Thọ", "Tư", "Sáu", "Nam", "Đông", "Tân", "Quý", "Tiến", "Vinh", "Luận", "Mạnh", "Khoa", "Đạt", "Nghĩa", "Được", "Phước", "Hoàng", "Liêm", "Định", "Kiên", "Toàn", "Xuân", "Bảy", "Út", "Đệ", "Chính", "Thuận", "Lộc", "Sinh", "Thân", "Trí", "Nhân")),
		n.pool([]weighted{{"Tuấn", 40}, {"Hùng", 34}, {"Dũng", 30}, {"Cường", 26}, {"Hải", 24}, {"Thành", 26}, {"Nam", 24}, {"Long", 20}, {"Sơn", 22}, {"Thắng", 20}, {"Minh", 22}, {"Hoàng", 20}, {"Trung", 20}, {"Kiên", 14}, {"Linh", 10}, {"Tùng", 16}, {"Quân", 12}, {"Đức", 16}, {"Hiếu", 18}, {"Tú", 12}, {"Việt", 12}, {"Anh", 16}, {"Hưng", 14}, {"Phong", 12}, {"Thịnh", 8}, {"Duy", 12}, {"Toàn", 12}, {"Vũ", 10}, {"Bình", 12}, {"Quang", 12}, {"Tài", 12}, {"Lâm", 8}, {"Thái", 8}, {"Khánh", 8}, {"Đạt", 12}, {"Tiến", 12}, {"Mạnh", 10}, {"Phương", 8}, {"Công", 6}, {"Nhân", 6}, {"Lộc", 8}, {"Phúc", 10}, {"Nghĩa", 8}, {"Tâm", 8}, {"Trường", 8}, {"Huy", 14}, {"Tân", 6}, {"Giang", 6}, {"Hậu", 6}, {"Chung", 4}}),
		n.pool([]weighted{{"Minh", 30}, {"Huy", 34}, {"Bảo", 26}, {"Khang", 26}, {"Phúc", 26}, {"Anh", 30}, {"Khôi", 18}, {"Khoa", 20}, {"Đạt", 18}, {"Long", 20}, {"Nam", 18}, {"Quân", 20}, {"Kiệt", 16}, {"Phát", 12}, {"Duy", 16}, {"Hoàng", 14}, {"Thịnh", 12}, {"Hiếu", 16}, {"Nguyên", 14}, {"Phong", 18}, {"Dũng", 12}, {"Hưng", 14}, {"Tùng", 8}, {"Sơn", 10}, {"Lâm", 12}, {"An", 12}, {"Trí", 10}, {"Vinh", 8}, {"Việt", 8}, {"Đăng", 8}, {"Bách", 8}, {"Dương", 12}, {"Thiện", 8}, {"Tuấn", 10}, {"Trung", 8}, {"Tài", 8}, {"Nhân", 8}, {"Kiên", 10}, {"Quang", 8}, {"Lộc", 6}, {"Khải", 6}, {"Vũ", 8}, {"Nghĩa", 6}, {"Tiến", 8}}),
	}
	s.givenFem = [3]pool{
		n.pool(even("Lan", "Hoa", "Hồng", "Mai", "Liên", "Hương", "Nga", "Thanh", "Bình", "Hạnh", "Minh", "Tâm", "Loan", "Phượng", "Cúc", "Huệ", "Sáu", "Tư", "Năm", "Bảy", "Thơm", "Xuân", "Thu", "Yến", "Oanh", "Ánh", "Tuyết", "Nhung", "Hoà", "Lý", "Nguyệt", "Vân", "Sen", "Gái", "Chín", "Thảo", "Đào", "Ngọc", "Hằng", "Hiền", "Tuyền", "Mười", "Bích", "Lệ", "Chung", "Dung", "Thuận", "Lài", "Út", "Cẩm")),
		n.pool([]weighted{{"Hương", 36}, {"Lan", 24}, {"Hằng", 28}, {"Nga", 22}, {"Thuỷ", 26}, {"Trang", 30}, {"Hà", 28}, {"Thảo", 26}, {"Linh", 26}, {"Huyền", 24}, {"Hiền", 26}, {"Phương", 28}, {"Nhung", 18}, {"Dung", 16}, {"Hạnh", 18}, {"Loan", 14}, {"Yến", 18}, {"Mai", 18}, {"Ngọc", 18}, {"Oanh", 12}, {"Tuyết", 10}, {"Vân", 18}, {"Anh", 22}, {"Hoa", 18}, {"Thu", 14}, {"Liên", 12}, {"Tâm", 12}, {"Trinh", 10}, {"Ngân", 14}, {"Thơm", 6}, {"Duyên", 12}, {"Thuý", 16}, {"Hồng", 16}, {"Lệ", 6}, {"Diễm", 8}, {"Kiều", 8}, {"Thắm", 6}, {"My", 8}, {"Nhi", 8}, {"Tiên", 8}, {"Phượng", 12}, {"Quyên", 10}, {"Giang", 8}, {"Xuân", 8}, {"Châu", 6}, {"Bích", 6}}),
		n.pool([]weighted{{"Anh", 46}, {"Linh", 34}, {"Ngọc", 26}, {"Trang", 22}, {"Nhi", 26}, {"Vy", 24}, {"Thảo", 22}, {"Ngân", 22}, {"Hân", 22}, {"Như", 16}, {"My", 18}, {"Trâm", 14}, {"Châu", 14}, {"Chi", 18}, {"Phương", 18}, {"Quỳnh", 16}, {"Thư", 22}, {"Uyên", 12}, {"Hà", 14}, {"An", 16}, {"Trúc", 8}, {"Yến", 10}, {"Tiên", 10}, {"Mai", 12}, {"Giang", 8}, {"Huyền", 10}, {"Thy", 8}, {"Diệp", 8}, {"Lam", 6}, {"Hương", 8}, {"Vân", 6}, {"Khuê", 4}, {"Nguyên", 6}, {"Đan", 4}, {"Duyên", 8}, {"Ly", 8}, {"Dung", 4}, {"Minh", 6}}),
	}
	return s
}

// minority describes an ethnic group: where it lives and how it names people.
// Codes are those of the list of the 54 ethnic groups (Decision 121-TCTK/PPCĐ).
type minority struct {
	code        uint8
	homes       []uint8 // provinces before 1 July 2025
	share       []uint8 // percent of the people there, beside each home
	surnames    []string
	middleMale  []string
	middleFem   []string
	givenMale   []string
	givenFem    []string
	kinhGivings bool // take given names of the Kinh as well
}

func minorities() []minority {
	return []minority{
		{
			code: 2, homes: []uint8{4, 6, 20, 19, 2, 8, 10}, share: []uint8{41, 52, 36, 11, 24, 26, 15},
			surnames:   []string{"Nông", "Hoàng", "Lý", "Triệu", "Đàm", "Bế", "Ma", "Lương", "Vi", "La", "Lục", "Hà", "Chu", "Dương", "Lộc", "Long"},
			middleMale: []string{"Văn", "Văn", "Văn", "Đức", "Ngọc", "Minh", "Quốc"}, middleFem: []string{"Thị", "Thị", "Thị", "Thị Thu", "Thị Hồng", "Bích"}, kinhGivings: true,
		},
		{
			code: 3, homes: []uint8{14, 11, 12, 40, 38, 15}, share: []uint8{53, 36, 32, 10, 6, 7},
			surnames:   []string{"Lò", "Quàng", "Cà", "Tòng", "Lường", "Vì", "Hà", "Cầm", "Bạc", "Điêu", "Lương", "Vi", "Lô", "Hoàng", "Đèo"},
			middleMale: []string{"Văn", "Văn", "Văn", "Minh", "Đức"}, middleFem: []string{"Thị", "Thị", "Thị", "Thị Thu", "Ngọc"}, kinhGivings: true,
			givenMale: []string{"Panh", "Inh", "Pâng", "Ún", "Chiến", "Thoan", "Biên", "Hặc"}, givenFem: []string{"Pâng", "Inh", "Ơn", "Lả", "Hặc", "Nọi", "Ban", "Xuân"},
		},
		{
			code: 4, homes: []uint8{79, 75, 94, 95, 91, 96}, share: []uint8{5, 3, 5, 2, 2, 1},
			surnames:   []string{"Trần", "Lâm", "Quách", "Vương", "Lý", "Huỳnh", "Tăng", "Lưu", "Mã", "Trịnh", "Châu", "Ngô", "Tô", "Thái", "Hứa", "Trương", "Lữ"},
			middleMale: []string{"Gia", "Chí", "Vĩ", "Tuấn", "Quốc", "Minh", "Kiến", "Diệu"}, middleFem: []string{"Mỹ", "Ngọc", "Tuệ", "Bội", "Lệ", "Huệ", "Thục"},
			givenMale: []string{"Hào", "Cường", "Minh", "Phát", "Quân", "Vinh", "Hùng", "Đạt", "Lương", "Hoa", "Nghiệp", "Thành", "Khang"}, givenFem: []string{"Linh", "Nghi", "Mẫn", "Phương", "Anh", "Dung", "Trân", "Phụng", "San", "Hoa", "Quân", "Mai", "Châu"},
		},
		{
			code: 5, homes: []uint8{94, 84, 91, 95, 89, 96, 92}, share: []uint8{30, 31, 12, 8, 4, 2, 2},
			surnames:   []string{"Thạch", "Sơn", "Kim", "Lâm", "Danh", "Châu", "Kiên", "Lý", "Trần", "Tăng", "Đào"},
			middleMale: []string{"", "", "Văn", "Sa", "Hoàng", "Minh", "So"}, middleFem: []string{"Thị", "Thị", "Thị", "Thị Sà", "Thị Sô", "Thị Ngọc"},
			givenMale: []string{"Rây", "Thươl", "Phol", "Rương", "Út", "Tha", "Phi", "Thanh", "Ni", "Sóc", "Hiền", "Vuth", "Rithy", "Dara", "Tuấn", "Minh", "Thol", "Sên"}, givenFem: []string{"Phia", "Rương", "Sa", "Phol", "Ry", "Oanh", "Thương", "Lang", "Nary", "Đa", "Liêng", "Hường", "Hồng", "Diệu", "Linh", "Sây"},
		},
		{
			code: 6, homes: []uint8{17, 38, 25, 14}, share: []uint8{63, 9, 13, 7},
			surnames:   []string{"Bùi", "Bùi", "Bùi", "Đinh", "Quách", "Hà", "Phạm", "Bạch", "Nguyễn", "Trương"},
			middleMale: []string{"Văn", "Văn", "Văn", "Đức", "Công"}, middleFem: []string{"Thị", "Thị", "Thị", "Thị Thu", "Thị Hồng"}, kinhGivings: true,
		},
		{
			code: 7, homes: []uint8{20, 4, 24, 66}, share: []uint8{42, 30, 5, 4},
			surnames:   []string{"Nông", "Lương", "Hoàng", "Vi", "Triệu", "Lý", "Mông", "Chu", "Hứa", "Lăng", "Linh", "Phương", "Lâm"},
			middleMale: []string{"Văn", "Văn", "Văn", "Minh", "Quốc"}, middleFem: []string{"Thị", "Thị", "Thị", "Thị Bích", "Thu"}, kinhGivings: true,
		},
		{
			code: 8, homes: []uint8{2, 11, 10, 12, 14, 15, 4}, share: []uint8{33, 38, 24, 22, 16, 12, 11},
			surnames:   []string{"Giàng", "Vàng", "Sùng", "Thào", "Lầu", "Mùa", "Hạng", "Lý", "Cháng", "Vừ", "Tráng", "Má", "Lù", "Sình", "Ly", "Thò"},
			middleMale: []string{"A", "A", "A", "A", "Seo", "Mí", "Văn", "Bá"}, middleFem: []string{"Thị", "Thị", "Thị", "Thị", "Seo"},
			givenMale: []string{"Páo", "Dế", "Sính", "Chứ", "Tủa", "Vảng", "Lử", "Phử", "Dình", "Súa", "Sử", "Chống", "Pó", "Của", "Thái", "Vừ", "Nhè", "Lềnh"}, givenFem: []string{"Mỷ", "Dợ", "Mai", "Dua", "Pà", "Xi", "Sua", "Chía", "Mị", "Chú", "Dính", "Sáy", "Say", "Máy", "Pàng", "Ly"},
		},
		{
			code: 9, homes: []uint8{2, 8, 10, 15, 6, 4}, share: []uint8{15, 13, 14, 10, 17, 10},
			surnames:   []string{"Triệu", "Bàn", "Đặng", "Phùng", "Lý", "Chảo", "Tẩn", "Phàn", "Dương"},
			middleMale: []string{"Văn", "Tài", "Phú", "Tiến", "Láo", "Chòi", "Kim"}, middleFem: []string{"Thị", "Thị", "Mùi", "Mẩy", "Tả"},
			givenMale: []string{"Phúc", "Kinh", "Tá", "Vạng", "Sơn", "Hin", "Sài", "Lìn", "Hương", "Phin", "Quyên", "Vượng", "Nhàn"}, givenFem: []string{"Mẩy", "Nái", "Chản", "Phấy", "Liều", "Ghển", "Say", "Pham", "Chiêm", "Hoa", "Lan", "Mản"},
		},
		{
			code: 10, homes: []uint8{64}, share: []uint8{30},
			surnames:   []string{"Siu", "Ksor", "Rơ Châm", "Kpă", "Rmah", "Nay", "Rơ Mah", "Rah Lan", "Rơ Lan", "Puih"},
			middleMale: []string{"", "", "", "Y"}, middleFem: []string{""},
			givenMale: []string{"Thinh", "Klơh", "Bơng", "Hrin", "Đông", "Luyn", "Thuyên", "Hmrik", "Djuang", "Phơn", "Bôm", "Tý"}, givenFem: []string{"H'Nga", "H'Bia", "H'Lan", "H'Phiên", "H'Ngoan", "H'Mrao", "H'Yun", "H'Duyên", "H'Loan", "H'Tuyết"},
		},
		{
			code: 12, homes: []uint8{66, 67}, share: []uint8{18, 6},
			surnames:   []string{"Y"},
			middleMale: []string{"Bhăm", "Thông", "Moan", "Nguyên", "Khoa", "Wơn", "Bhiông", "Suôl", "Jin", "Phước", "Siêm", "Tuấn", "Dhăm"}, middleFem: []string{"H'Hen", "H'Lan", "H'Bliă", "H'Ngọc", "H'Yar", "H'Linh", "H'Nhung", "H'Juin", "H'Duôn", "H'Sương"},
			givenMale: []string{"Niê", "Mlô", "Byă", "Êban", "Ayun", "Kbuôr", "Ktla", "Êñuôl", "Hmŏk"}, givenFem: []string{"Niê", "Mlô", "Byă", "Êban", "Ayun", "Kbuôr", "Ktla", "Êñuôl", "Hmŏk"},
		},
		{
			code: 17, homes: []uint8{58, 60, 89}, share: []uint8{13, 3, 1},
			surnames:   []string{"Đàng", "Thành", "Quảng", "Thiên", "Báo", "Bá", "Lộ", "Trượng", "Kiều", "Châu", "Lưu", "Đạo", "Từ", "Não"},
			middleMale: []string{"Năng", "Văn", "Đại", "Quang", "Xuân", "Minh"}, middleFem: []string{"Thị", "Thị", "Thị", "Thị Mỹ", "Thị Kim"}, kinhGivings: true,
		},
	}
}

func (n *names) minority(m minority) *style {
	s := &style{surnames: n.pool(even(m.surnames...))}
	s.middleMale, s.middleFem = n.same(even(m.middleMale...)), n.same(even(m.middleFem...))
	s.givenMale, s.givenFem = n.same(even(m.givenMale...)), n.same(even(m.givenFem...))
	if m.kinhGivings {
		// Young people of these groups mostly carry names like everybody's.
		s.givenMale, s.givenFem = n.north.givenMale, n.north.givenFem
		if len(m.givenMale) > 0 {
			s.givenMale[0], s.givenFem[0] = n.pool(even(m.givenMale...)), n.pool(even(m.givenFem...))
		}
	}
	return s
}

// Ethnic groups that the generator treats apart.
const (
	kinh = 1
	eDe  = 12 // names of the Ê Đê follow rules of their own
)

// name draws the words of a name. The surname is the father's unless zero.
func (n *names) name(r *rand.Rand, ethnic uint8, southern bool, male bool, born int, surname uint16) (family, middle, given uint16) {
	s := n.styles[ethnic]
	if s == nil {
		s = n.north
		if southern {
			s = n.south
		}
	}
	generation := 2
	if born < 1970 {
		generation = 0
	} else if born < 1995 {
		generation = 1
	}
	if surname == 0 {
		surname = s.surnames.draw(r)
	}
	middles, givens := &s.middleMale[generation], &s.givenMale[generation]
	if !male {
		middles, givens = &s.middleFem[generation], &s.givenFem[generation]
	}
	for {
		middle, given = middles.draw(r), givens.draw(r)
		switch {
		case n.words[middle] == n.words[given], surname == given, n.words[middle] == n.words[surname]:
			continue // "Minh Minh" is nobody's name
		case ethnic == eDe && male:
			surname = n.index["Y"] // Y Thông Niê: the clan comes last
		case ethnic == eDe:
			surname = 0 // H'Hen Niê
		}
		return surname, middle, given
	}
}

// withoutMarks is the word in plain lower-case letters: "Đặng Thuỳ" -> "dangthuy".
func withoutMarks(s string) string {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r < 0x80 {
			switch {
			case r >= 'A' && r <= 'Z':
				out = append(out, byte(r)+'a'-'A')
			case r >= 'a' && r <= 'z':
				out = append(out, byte(r))
			}
			continue
		}
		if base := baseLetter(r); base != 0 {
			out = append(out, base)
		}
	}
	return string(out)
}

func baseLetter(r rune) byte {
	for _, family := range [...]struct {
		base  byte
		marks string
	}{
		{'a', "àáảãạăằắẳẵặâầấẩẫậÀÁẢÃẠĂẰẮẲẴẶÂẦẤẨẪẬ"},
		{'d', "đĐ"},
		{'e', "èéẻẽẹêềếểễệĕÈÉẺẼẸÊỀẾỂỄỆ"},
		{'i', "ìíỉĩịÌÍỈĨỊ"},
		{'n', "ñÑ"},
		{'o', "òóỏõọôồốổỗộơờớởỡợŏÒÓỎÕỌÔỒỐỔỖỘƠỜỚỞỠỢ"},
		{'u', "ùúủũụưừứửữựÙÚỦŨỤƯỪỨỬỮỰ"},
		{'y', "ỳýỷỹỵỲÝỶỸỴ"},
	} {
		for _, marked := range family.marks {
			if marked == r {
				return family.base
			}
		}
	}
	return 0
}

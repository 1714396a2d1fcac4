package demo

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// commune is a unit of the lower tier since 1 July 2025.
type commune struct {
	code, name string
	kind       string // xa, phuong or dac_khu
	province   uint8
	links      []uint16
}

// link is an old commune and the new one that it became part of.
type link struct {
	code, name, district string
	province             uint8  // before 1 July 2025
	commune              uint16 // index into communes
}

// places is the map of the country, from the dictionary's reference data. Only links
// that are whole and sure are used for addresses; the catalogue that is
// published has all of them.
type places struct {
	communes    []commune
	links       []link
	index       map[string]uint16 // code of today -> communes
	provinces   [100]string       // names by code, since 1 July 2025
	before      [100]string       // names by code, until then
	byProvince  [100][]uint16     // links by province of today
	codes       []uint8           // provinces of today, with
	cumulative  []uint32          // their populations, added up
	minorities  [100][]share      // by province before 1 July 2025
	allCommunes []communeRow
	allLinks    []linkRow
}

type share struct{ ethnic, below uint8 }

// communeRow and linkRow are rows of the published catalogue.
type communeRow struct{ code, name, kind, province, provinceName string }

type linkRow struct {
	newCode, oldCode, oldName, oldDistrict, oldProvince, match string
	partial                                                    bool
}

// newPlaces reads the map out of the dictionary.
func newPlaces() (*places, error) {
	p := &places{index: make(map[string]uint16, 3400)}
	if err := p.read(); err != nil {
		return nil, err
	}
	for _, row := range p.allCommunes {
		p.index[row.code] = uint16(len(p.communes))
		p.communes = append(p.communes, commune{code: row.code, name: row.name, kind: row.kind, province: number(row.province)})
	}
	for _, row := range p.allLinks {
		if row.match != string(dictionary.ExactMatch) || row.partial || row.oldDistrict == "" || len(row.oldCode) != 5 {
			continue
		}
		i, known := p.index[row.newCode]
		if !known {
			continue
		}
		n := uint16(len(p.links))
		c := &p.communes[i]
		c.links = append(c.links, n)
		p.byProvince[c.province] = append(p.byProvince[c.province], n)
		p.links = append(p.links, link{row.oldCode, row.oldName, row.oldDistrict, number(row.oldProvince), i})
	}
	var sum uint32
	for _, of := range populations() {
		if len(p.byProvince[of.province]) == 0 {
			continue
		}
		sum += of.thousands
		p.codes = append(p.codes, of.province)
		p.cumulative = append(p.cumulative, sum)
	}
	for _, m := range minorities() {
		for i, home := range m.homes {
			below := m.share[i]
			if list := p.minorities[home]; len(list) > 0 {
				below += list[len(list)-1].below
			}
			p.minorities[home] = append(p.minorities[home], share{m.code, below})
		}
	}
	return p, nil
}

// populations are the provinces of today with their population in thousands, as in
// the resolutions of June 2025 that made them.
func populations() []struct {
	province  uint8
	thousands uint32
} {
	return []struct {
		province  uint8
		thousands uint32
	}{
		{1, 8807},
		{4, 573},
		{8, 1865},
		{11, 673},
		{12, 512},
		{14, 1404},
		{15, 1778},
		{19, 1799},
		{20, 881},
		{22, 1497},
		{24, 3619},
		{25, 4022},
		{31, 4664},
		{33, 3567},
		{37, 4412},
		{38, 4324},
		{40, 3831},
		{42, 1622},
		{44, 1870},
		{46, 1432},
		{48, 3065},
		{51, 2161},
		{52, 3583},
		{56, 2243},
		{66, 3346},
		{68, 3872},
		{75, 4491},
		{79, 14002},
		{80, 3254},
		{82, 4370},
		{86, 4257},
		{91, 4952},
		{92, 4199},
		{96, 2606},
	}
}

// read takes the catalogue out of the dictionary as it is published there.
func (p *places) read() error {
	d, err := dictionary.Builtin()
	if err != nil {
		return err
	}
	today := time.UnixMicro(dictionary.Reorganised())
	for _, province := range d.Provinces(today) {
		p.provinces[number(province.Code)] = province.NameVi
	}
	for _, province := range d.Provinces(today.Add(-time.Second)) {
		p.before[number(province.Code)] = province.NameVi
	}
	for _, unit := range d.Communes(today) {
		p.allCommunes = append(p.allCommunes, communeRow{unit.Code, unit.Name, unit.Type, unit.Province, p.provinces[number(unit.Province)]})
	}
	for _, l := range d.Links() {
		p.allLinks = append(p.allLinks, linkRow{l.NewCode, l.OldCode, l.OldName, l.OldDistrict, l.OldProvince, string(l.Match), l.Partial})
	}
	return nil
}

func (p *places) drawProvince(r *rand.Rand) uint8 {
	n := r.Uint32N(p.cumulative[len(p.cumulative)-1])
	for i, below := range p.cumulative {
		if n < below {
			return p.codes[i]
		}
	}
	return p.codes[0]
}

// drawLink draws an old commune of a province of today.
func (p *places) drawLink(r *rand.Rand, province uint8) uint16 {
	list := p.byProvince[province]
	return list[r.IntN(len(list))]
}

func (p *places) linksOfCommune(commune uint16) []uint16 { return p.communes[commune].links }

// drawEthnic draws the ethnic group of somebody from a province before 2025.
func (p *places) drawEthnic(r *rand.Rand, province uint8) uint8 {
	n := uint8(r.Uint32N(100))
	for _, s := range p.minorities[province] {
		if n < s.below {
			return s.ethnic
		}
	}
	return kinh
}

// address is the address line: of two tiers since the reorganisation, with the
// district before. Whoever has not been in touch since then still has the old one.
func (w *World) address(p *person) string {
	l := &w.places.links[p.link]
	if p.updated/minutesADay >= reorganisation() || p.commune != l.commune {
		return w.houseLine(p)
	}
	return w.house(p, l.name, l.province) + ", " + l.name + ", " + l.district + ", " + w.places.before[l.province]
}

// houseLine is the address of today.
func (w *World) houseLine(p *person) string {
	c := &w.places.communes[p.commune]
	return w.house(p, c.name, c.province) + ", " + c.name + ", " + w.places.provinces[c.province]
}

// house is the part of the address below the commune. People of one house share it.
func (w *World) house(p *person, unit string, province uint8) string {
	x := scatter(w.config.Seed, p.house, 21)
	n := int(x >> 8 % 14)
	urban := strings.HasPrefix(unit, "Phường") || strings.HasPrefix(unit, "Thị trấn")
	south, mekong := province >= 49, province >= 80
	highland := province <= 20 && province > 1 || province == 62 || province == 64 || province == 66 || province == 67
	switch {
	case urban && x%10 < 6:
		street := streets()[x>>16%uint64(len(streets()))]
		line := "Số " + strconv.Itoa(int(x>>32%380)+1)
		if x>>44%5 == 0 {
			if south {
				line = "Số " + strconv.Itoa(int(x>>32%380)+1) + "/" + strconv.Itoa(n+1)
			} else {
				line = "Số " + strconv.Itoa(n*2+1) + " ngõ " + strconv.Itoa(int(x>>32%380)+1)
			}
		}
		return line + " đường " + street
	case urban && mekong:
		return "Khóm " + strconv.Itoa(n%9+1)
	case urban && south:
		return "Khu phố " + strconv.Itoa(n%9+1)
	case urban:
		return "Tổ dân phố số " + strconv.Itoa(n+1)
	case mekong && x>>20%3 == 0:
		return "Số " + strconv.Itoa(int(x>>32%420)+1) + ", ấp " + hamletsSouth()[x>>16%uint64(len(hamletsSouth()))]
	case mekong:
		return "Ấp " + hamletsSouth()[x>>16%uint64(len(hamletsSouth()))]
	case highland && x>>20%3 == 0:
		if province >= 62 {
			return "Buôn " + villages()[x>>16%uint64(len(villages()))]
		}
		return "Bản " + hamletsHighland()[x>>16%uint64(len(hamletsHighland()))]
	case south:
		return "Thôn " + strconv.Itoa(n%9+1)
	case x>>20%2 == 0:
		return "Thôn " + hamletsNorth()[x>>16%uint64(len(hamletsNorth()))]
	default:
		return "Xóm " + strconv.Itoa(n+1)
	}
}

func streets() []string {
	return []string{
		"Trần Hưng Đạo", "Lê Lợi", "Nguyễn Huệ", "Quang Trung", "Hai Bà Trưng", "Lý Thường Kiệt", "Nguyễn Trãi", "Phan Chu Trinh",
		"Phan Bội Châu", "Hùng Vương", "Lê Hồng Phong", "Nguyễn Văn Cừ", "Trần Phú", "Điện Biên Phủ", "Nguyễn Du", "Ngô Quyền",
		"Bà Triệu", "Lê Thánh Tông", "Lý Thái Tổ", "Đinh Tiên Hoàng", "Nguyễn Thị Minh Khai", "Võ Thị Sáu", "Hoàng Văn Thụ",
		"Tôn Đức Thắng", "Cách Mạng Tháng Tám", "30 Tháng 4", "Nguyễn Tất Thành", "Nguyễn Đình Chiểu", "Lê Duẩn", "Phạm Văn Đồng",
		"Trường Chinh", "Võ Văn Kiệt", "Nguyễn Công Trứ", "Hoàng Diệu", "Yết Kiêu", "Chu Văn An", "Phạm Ngũ Lão", "Bùi Thị Xuân",
	}
}

func hamletsNorth() []string {
	return []string{"Đông", "Đoài", "Trung", "Thượng", "Hạ", "Phú Thọ", "An Lạc", "Tân Tiến", "Đồng Tâm", "Quyết Thắng", "Yên Lập", "Phúc Lâm", "Mỹ Lộc", "Hoà Bình", "1", "2", "3", "4", "5", "6"}
}

func hamletsHighland() []string {
	return []string{"Nà Ngần", "Pác Bó", "Nậm Cắn", "Tả Phìn", "Khuổi Nặm", "Nà Lốc", "Huổi Lương", "Pa Khôm", "Nà Pản", "Co Mạ", "Lũng Luông", "Sín Chải", "Bó Mới", "Mường Men"}
}

func villages() []string {
	return []string{"Ako Dhong", "Kli A", "Ea Sar", "Jang Lành", "Cuôr Đăng", "Drai Hling", "Tring", "Ea Bông", "Kniết", "Sut Mgrư"}
}

func hamletsSouth() []string {
	return []string{"1", "2", "3", "4", "5", "6", "7", "8", "Tân Hoà", "Tân Phú", "Bình An", "Mỹ Thạnh", "Phú Hoà", "Rạch Tàu", "Kinh Đào", "Cái Mòi", "Tân Tiến", "Xóm Mũi", "Vĩnh Hưng", "Thạnh Lợi", "Hoà Trung", "Cây Trâm"}
}

func number(digits string) uint8 {
	n, err := strconv.ParseUint(digits, 10, 8)
	if err != nil || n >= 100 {
		return 0
	}
	return uint8(n)
}

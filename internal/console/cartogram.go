package console

// tile is a province on the map of tiles.
type tile struct {
	Province
	Column, Row int // from 1; style classes of the same numbers place it
}

// place is where a province stands on the map.
type place struct{ column, row int }

// places is a map of Viet Nam with one tile per province of the 34 that exist
// since 1 July 2025: neighbours on the ground are neighbours here as far as
// tiles allow. The two archipelagos are drawn by the template, each as a tile of
// its own in the East Sea with the province it belongs to.
func places() map[string]place {
	return map[string]place{
		"12": {2, 1}, "15": {3, 1}, "08": {4, 1}, "04": {5, 1}, // Lai Châu, Lào Cai, Tuyên Quang, Cao Bằng
		"11": {1, 2}, "14": {2, 2}, "25": {3, 2}, "19": {4, 2}, "20": {5, 2}, // Điện Biên, Sơn La, Phú Thọ, Thái Nguyên, Lạng Sơn
		"01": {3, 3}, "24": {4, 3}, "22": {5, 3}, // Hà Nội, Bắc Ninh, Quảng Ninh
		"37": {3, 4}, "33": {4, 4}, "31": {5, 4}, // Ninh Bình, Hưng Yên, Hải Phòng
		"38": {3, 5}, "40": {3, 6}, "42": {3, 7}, "44": {4, 8}, // Thanh Hoá, Nghệ An, Hà Tĩnh, Quảng Trị
		"46": {4, 9}, "48": {5, 10}, "51": {5, 11}, "52": {5, 12}, "66": {5, 13}, // Huế, Đà Nẵng, Quảng Ngãi, Gia Lai, Đắk Lắk
		"68": {4, 14}, "56": {5, 14}, // Lâm Đồng, Khánh Hoà
		"80": {2, 15}, "75": {3, 15}, // Tây Ninh, Đồng Nai
		"91": {1, 16}, "82": {2, 16}, "79": {3, 16}, // An Giang, Đồng Tháp, Thành phố Hồ Chí Minh
		"92": {1, 17}, "86": {2, 17}, // Cần Thơ, Vĩnh Long
		"96": {1, 18}, // Cà Mau
	}
}

// The rows in which the archipelagos stand are those of the latitude of the
// province each belongs to, or just south of it, as on every map.
const (
	daNang   = "48" // Quần đảo Hoàng Sa
	khanhHoa = "56" // Quần đảo Trường Sa
)

// arrange puts provinces on the map, north to south and west to east, which is
// also the order in which they are read out.
func arrange(provinces []Province) []tile {
	known := places()
	byPlace := make(map[place]Province, len(known))
	for _, province := range provinces {
		if at, ok := known[province.Code]; ok {
			byPlace[at] = province
		}
	}
	var tiles []tile
	for row := 1; row <= 18; row++ {
		for column := 1; column <= 5; column++ {
			if province, ok := byPlace[place{column, row}]; ok {
				tiles = append(tiles, tile{Province: province, Column: column, Row: row})
			}
		}
	}
	return tiles
}

// province finds one by its code, for the archipelagos.
func (v overviewView) province(code string) Province {
	for _, province := range v.Provinces {
		if province.Code == code {
			return province
		}
	}
	return Province{Code: code}
}

// HoangSa is the province that Quần đảo Hoàng Sa belongs to.
func (v overviewView) HoangSa() Province { return v.province(daNang) }

// TruongSa is the province that Quần đảo Trường Sa belongs to.
func (v overviewView) TruongSa() Province { return v.province(khanhHoa) }

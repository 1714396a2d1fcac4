package address

// kind says what a type word stands for; several when the word does not settle it.
type kind uint16

const (
	kindCommune  kind = 1 << iota // xã
	kindWard                      // phường
	kindTown                      // thị trấn
	kindZone                      // đặc khu
	kindUrban                     // quận
	kindRural                     // huyện
	kindBorough                   // thị xã
	kindCity                      // thành phố
	kindProvince                  // tỉnh

	communeKinds  = kindCommune | kindWard | kindTown | kindZone
	districtKinds = kindUrban | kindRural | kindBorough | kindCity
	provinceKinds = kindCity | kindProvince
)

// typeWord is one word by which people say what kind of unit a name is.
type typeWord struct {
	word    string // with diacritics; without them it is understood as well
	kind    kind
	before  string // the word that must stand before it: "thị" before "xã"
	pair    kind   // what both together stand for
	full    bool   // a whole word, no abbreviation: it never stands in an address by chance
	english bool   // may follow the name: "Ba Dinh District"
	digits  bool   // only before a number: "D1"
}

func typeWords() []typeWord {
	return []typeWord{
		{word: "xã", kind: kindCommune, before: "thị", pair: kindBorough, full: true},
		{word: "phường", kind: kindWard, full: true},
		{word: "trấn", before: "thị", pair: kindTown, full: true},
		{word: "khu", before: "đặc", pair: kindZone, full: true},
		{word: "quận", kind: kindUrban, full: true},
		{word: "huyện", kind: kindRural, full: true},
		{word: "phố", before: "thành", pair: kindCity, full: true},
		{word: "tỉnh", kind: kindProvince, full: true},
		{word: "p", kind: kindWard, before: "t", pair: kindCity},
		{word: "f", kind: kindWard},
		{word: "x", kind: kindCommune, before: "t", pair: kindBorough},
		{word: "t", kind: kindProvince, before: "t", pair: kindTown},
		{word: "q", kind: kindUrban},
		{word: "h", kind: kindRural},
		{word: "tt", kind: kindTown},
		{word: "tx", kind: kindBorough},
		{word: "tp", kind: kindCity},
		{word: "đk", kind: kindZone},
		{word: "ward", kind: kindWard, english: true},
		{word: "commune", kind: kindCommune, english: true},
		{word: "town", kind: kindTown | kindBorough, english: true},
		{word: "township", kind: kindTown, english: true},
		{word: "zone", before: "special", pair: kindZone, english: true},
		{word: "district", kind: kindUrban | kindRural, english: true},
		{word: "dist", kind: kindUrban | kindRural},
		{word: "d", kind: kindUrban, digits: true},
		{word: "province", kind: kindProvince, english: true},
		{word: "prov", kind: kindProvince},
		{word: "city", kind: kindCity, english: true},
	}
}

// provinceAlias is another name of provinces, given by their names of before or today.
// More than one: the alias alone does not settle it.
type provinceAlias struct {
	alias string
	names []string
}

func provinceAliases() []provinceAlias {
	hcm, hue := []string{"Hồ Chí Minh"}, []string{"Huế"}
	return []provinceAlias{
		{"HCM", hcm},
		{"TPHCM", hcm},
		{"HCMC", hcm},
		{"Sài Gòn", hcm},
		{"SG", hcm},
		{"TPSG", hcm},
		{"HN", []string{"Hà Nội"}},
		{"TPHN", []string{"Hà Nội"}},
		{"Hà Tây", []string{"Hà Nội"}},
		{"HP", []string{"Hải Phòng"}},
		{"TPHP", []string{"Hải Phòng"}},
		{"CT", []string{"Cần Thơ"}},
		{"TPCT", []string{"Cần Thơ"}},
		{"ĐN", []string{"Đà Nẵng", "Đồng Nai", "Đắk Nông"}},
		{"TPĐN", []string{"Đà Nẵng"}},
		{"BRVT", []string{"Bà Rịa - Vũng Tàu"}},
		{"BR-VT", []string{"Bà Rịa - Vũng Tàu"}},
		{"Bà Rịa VT", []string{"Bà Rịa - Vũng Tàu"}},
		{"Thừa Thiên Huế", hue},
		{"Thừa Thiên", hue},
		{"TT Huế", hue},
		{"TTH", hue},
		{"Bắc Cạn", []string{"Bắc Kạn"}},
		{"Đắc Lắc", []string{"Đắk Lắk"}},
		{"Đắc Lắk", []string{"Đắk Lắk"}},
		{"Đắk Lắc", []string{"Đắk Lắk"}},
		{"Đắc Nông", []string{"Đắk Nông"}},
		{"Kông Tum", []string{"Kon Tum"}},
		{"Công Tum", []string{"Kon Tum"}},
	}
}

// roadWords follow a type word that is no type word then: "tỉnh lộ 10", "quận ủy".
func roadWords() []string { return []string{"lộ", "đội", "ủy", "đoàn", "uỷ"} }

// localityWords begin the name of a street or hamlet; numbers says that a number may be
// the name: "Thôn 3". House numbers are no names.
func localityWords() (words []string, numbers []string) {
	return []string{"đường", "phố", "đại", "quốc", "tỉnh", "thôn", "ấp", "bản", "buôn", "làng", "xóm", "khóm", "khu", "tổ", "kp", "tdp", "đội", "plei", "tiểu", "chung", "cư", "ql", "tl"},
		[]string{"thôn", "ấp", "bản", "buôn", "làng", "xóm", "khóm", "khu", "phố", "tổ", "kp", "tdp", "đội", "lộ", "ql", "tl"}
}

package linkage

// maxFields is how many fields a pair is compared in.
const maxFields = 6

// vector is how one pair compares: a level for each field, and how rare the words are in
// which the names agree.
type vector struct {
	levels [maxFields]uint8 // 0: not comparable
	rarity rarity           // of the field in which it counts
}

// field is one comparison. Its levels start with "not comparable", which weighs nothing.
type field struct {
	id, vi, en string
	levels     []level
	rarity     bool // the rarity of the agreeing words counts
}

// level is one outcome of a comparison. The probabilities are what a register begins with,
// before it has been looked at: how often duplicates are at the level, and strangers.
type level struct {
	id, vi, en string
	m, u       float64
	share      float64 // of a full name's rarity that strangers at this level usually agree in
	// most bounds m from above, where it is known that duplicates are rarely like this. Without
	// it the estimate may take what is common, such as one name in two provinces, for duplicates.
	most float64
}

// missing is level 0 of every field.
func missing() level {
	return level{id: "missing", vi: "không đủ dữ liệu để so", en: "cannot be compared"}
}

func nameField() field {
	return field{
		id: "name", vi: "Họ tên", en: "Name", rarity: true,
		levels: []level{
			missing(),
			{"same", "họ tên giống hệt nhau", "the names are the same", .62, 1e-4, 1, 0},
			{"unmarked", "họ tên giống nhau, một bên viết không dấu", "the names are the same, one written without diacritics", .12, 1e-5, 1, 0},
			{"marks", "họ tên giống nhau, khác dấu ở một vài chữ", "the names are the same but for diacritics of some words", .06, 2e-5, 1, 0},
			{"order", "cùng các chữ, khác thứ tự", "the same words in another order", .04, 5e-6, 1, 0},
			{"word", "một bên thiếu một chữ trong họ tên", "one of the names lacks a word", .04, 5e-5, .75, 0},
			{"slip", "họ tên khác nhau do một chữ viết sai", "the names differ by a misspelt word", .07, 3e-5, .6, 0},
			{"rival", "khác nhau một chữ gần giống, cả hai đều là tên thường gặp", "one similar word differs, and both are names that people have", .015, 2e-4, .6, 0},
			{"middle", "cùng họ và tên, khác chữ đệm", "same family and given name, another middle name", .015, 3e-3, .5, .05},
			{"given", "cùng tên, khác họ", "same given name, another family name", .005, 1e-2, .35, .03},
			{"family", "cùng họ, khác tên", "same family name, another given name", .003, .15, .15, .02},
			{"other", "họ tên khác nhau", "the names are different", .002, .84, 0, .02},
		},
	}
}

func dateField(id, vi, en string) field {
	return field{
		id: id, vi: vi, en: en,
		levels: []level{
			missing(),
			{id: "same", vi: "trùng ngày, tháng, năm", en: "same day, month and year", m: .80, u: 3.5e-5},
			{id: "filler", vi: "cùng ngày 01/01 của một năm, ngày hay được điền khi không rõ", en: "the same 1 January, which is often entered for want of the day", m: .02, u: 1e-4},
			{id: "swapped", vi: "ngày và tháng đảo nhau", en: "day and month exchanged", m: .05, u: 1.5e-5},
			{id: "slip", vi: "khác nhau một chữ số", en: "one digit differs", m: .07, u: 4e-4},
			{id: "year_only", vi: "cùng năm, một bên không rõ ngày tháng", en: "same year, one side knows no more", m: .04, u: 1e-3},
			{id: "same_year", vi: "cùng năm, khác ngày tháng", en: "same year, another day", m: .01, u: 1.2e-2, most: .05},
			{id: "other", vi: "khác năm", en: "another year", m: .01, u: .985, most: .05},
		},
	}
}

func numberField(id, vi, en string, other float64) field {
	return field{
		id: id, vi: vi, en: en,
		levels: []level{
			missing(),
			{id: "same", vi: "trùng số", en: "the same number", m: 1 - other - .18, u: 1e-7},
			{id: "slip", vi: "số khác nhau một chữ số hoặc hai chữ số đảo chỗ", en: "one digit differs or two are swapped", m: .18, u: 2e-6},
			{id: "other", vi: "hai số khác nhau", en: "two different numbers", m: other, u: 1, most: 2 * other},
		},
	}
}

// The levels of a number.
const (
	numberMissing uint8 = iota
	numberSame
	numberSlip
	numberOther
)

func numberLevel(l likeness) uint8 { return uint8(l) }

// Zone is what becomes of a pair.
type Zone uint8

// The zones.
const (
	Different Zone = iota // not a duplicate, as far as can be told
	Ask                   // a person decides
	Same                  // proposed as a duplicate
)

// String is the zone's name.
func (z Zone) String() string {
	switch z {
	case Same:
		return "same"
	case Ask:
		return "ask"
	case Different:
	}
	return "different"
}

// MarshalText writes the zone by name.
func (z Zone) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// Reason says why a pair is not where its weight alone would put it.
type Reason string

// The reasons.
const (
	ByWeight          Reason = ""
	NumbersContradict Reason = "numbers_contradict" // two different numbers: never same
	NamesContradict   Reason = "names_contradict"   // two names that are both in use: never same
	DatesContradict   Reason = "dates_contradict"   // two birth years: never same
	SexContradicts    Reason = "sex_contradicts"
	SameNumber        Reason = "same_number" // one number on two names: always asked
	OtherBranch       Reason = "other_branch"
	OtherForm         Reason = "other_form"
	Chain             Reason = "chain"   // through others it would be joined with a record that contradicts it
	Decided           Reason = "decided" // a person has answered
)

// Words says the reason in both languages.
func (r Reason) Words() (vi, en string) {
	switch r {
	case ByWeight:
		return "theo tổng trọng số", "by the sum of the weights"
	case NumbersContradict:
		return "hai số định danh khác nhau nên không tự kết luận là một", "two different numbers, so they are never taken for one without being asked"
	case NamesContradict:
		return "hai tên đều có thật nên không tự kết luận là một", "both names exist, so they are never taken for one without being asked"
	case DatesContradict:
		return "ngày sinh hoặc ngày thành lập mâu thuẫn nên không tự kết luận là một", "the dates contradict each other, so they are never taken for one without being asked"
	case SexContradicts:
		return "giới tính khác nhau nên không tự kết luận là một", "the sex differs, so they are never taken for one without being asked"
	case SameNumber:
		return "cùng một số nhưng tên khác nhau: phải xem lại ở nguồn", "one number on two names: to be looked at where they come from"
	case OtherBranch:
		return "cùng doanh nghiệp, khác chi nhánh", "the same enterprise, another branch"
	case OtherForm:
		return "loại hình khác nhau nên không tự kết luận là một", "the legal forms differ, so they are never taken for one without being asked"
	case Chain:
		return "nối qua bản ghi khác thì mâu thuẫn nên phải hỏi cả nhóm", "joined through others they contradict, so the whole group is asked"
	case Decided:
		return "đã có người quyết định", "a person has decided"
	}
	return string(r), string(r)
}

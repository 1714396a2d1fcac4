package linkage

import (
	"github.com/lienthong/lienthong"
)

// Person is a record about a person, as its source has it. Everything but the ID may be
// missing; what cannot be read counts as missing.
type Person struct {
	ID            string // of the record, in its dataset
	Name          string
	Birth         Date
	Sex           string // "M" or "F"; anything else is not known
	Number        string // personal number of 12 digits; one of 9 digits is taken as OldNumber
	OldNumber     string // identity card number of 9 digits
	Phone         string
	Commune       string // code of today
	CommuneBefore string // code of before 1 July 2025, used where Commune is empty
	Mother        Parent
	Father        Parent
}

// Parent is what a record says of a mother or father.
type Parent struct {
	Name   string
	Number string
}

// person is a record as it is kept: 72 bytes, and shared words.
type person struct {
	number, old, phone         digits
	motherNumber, fatherNumber digits
	name, mother, father       uint32
	commune                    uint32
	birth                      packedDate
	sex                        byte
}

// The fields that persons are compared in.
const (
	personName = iota
	personBirth
	personNumber
	personOld
	personSex
	personCircle
)

// The levels of the circle: family, telephone and home, which people of one house share
// and which are therefore weighed together, once.
const (
	circleMissing    uint8 = iota
	circleTwo              // two of telephone, mother and father agree
	circleOneHere          // one of them, and the commune
	circleOne              // one of them
	circleMixed            // some agree, but a parent is another
	circleHere             // only the commune
	circleHereMixed        // only the commune, and a parent is another
	circleNone             // nothing agrees
	circleNoneParent       // nothing agrees, and a parent is another
)

func personFields() []field {
	return []field{
		personName:   nameField(),
		personBirth:  dateField("birth", "Ngày sinh", "Date of birth"),
		personNumber: numberField("number", "Số định danh cá nhân", "Personal number", .03),
		personOld:    numberField("old_number", "Số chứng minh nhân dân cũ", "Old identity card number", .08),
		personSex: {
			id: "sex", vi: "Giới tính", en: "Sex",
			levels: []level{
				missing(),
				{id: "same", vi: "cùng giới tính", en: "the same sex", m: .99, u: .5},
				{id: "other", vi: "khác giới tính", en: "another sex", m: .01, u: .5, most: .03},
			},
		},
		personCircle: {
			id: "circle", vi: "Gia đình và liên hệ", en: "Family and contact",
			levels: []level{
				missing(),
				{id: "two", vi: "trùng ít nhất hai trong số điện thoại, mẹ, cha", en: "at least two of telephone, mother and father agree", m: .34, u: 1e-5},
				{id: "one_here", vi: "trùng số điện thoại, mẹ hoặc cha, và cùng xã", en: "telephone, mother or father agrees, and the commune", m: .25, u: 1e-5},
				{id: "one", vi: "trùng số điện thoại, mẹ hoặc cha", en: "telephone, mother or father agrees", m: .10, u: 2e-5},
				{id: "mixed", vi: "có phần trùng nhưng mẹ hoặc cha khác nhau", en: "some agree, but mother or father is another", m: .01, u: 1e-5},
				{id: "here", vi: "chỉ trùng xã", en: "only the commune agrees", m: .12, u: 4e-4},
				{id: "here_mixed", vi: "trùng xã nhưng mẹ hoặc cha khác nhau", en: "the commune agrees, but mother or father is another", m: .01, u: 4e-4},
				{id: "none", vi: "không điểm nào trùng", en: "nothing agrees", m: .15, u: .4},
				{id: "none_mixed", vi: "không điểm nào trùng, mẹ hoặc cha khác nhau", en: "nothing agrees, and mother or father is another", m: .02, u: .6},
			},
		},
	}
}

// The keys by which persons are brought together.
const (
	byNumberHead = iota
	byNumberEnds
	byNumberTail
	byNumberSorted
	byOldNumber
	byPhone
	byBirthGiven
	byBirthInitials
	byBirthSwapped
	byYearName
	byDayName
	byCommuneName
	personPasses
)

func personBlocking() []pass {
	return []pass{
		byNumberHead:    {"number.head", "9 chữ số đầu của số định danh", "first 9 digits of the personal number"},
		byNumberEnds:    {"number.ends", "6 chữ số đầu và 3 chữ số cuối của số định danh", "first 6 and last 3 digits of the personal number"},
		byNumberTail:    {"number.tail", "6 chữ số cuối của số định danh", "last 6 digits of the personal number"},
		byNumberSorted:  {"number.sorted", "các chữ số của số định danh theo thứ tự bất kỳ, và năm sinh", "digits of the personal number in any order, and year of birth"},
		byOldNumber:     {"old_number", "số chứng minh nhân dân cũ", "old identity card number"},
		byPhone:         {"phone", "số điện thoại", "telephone number"},
		byBirthGiven:    {"birth.given", "ngày sinh và tên không dấu", "date of birth and given name without diacritics"},
		byBirthInitials: {"birth.initials", "ngày sinh và các chữ cái đầu", "date of birth and initials in any order"},
		byBirthSwapped:  {"birth.swapped", "ngày sinh, ngày và tháng theo thứ tự bất kỳ, và tên", "date of birth with day and month in any order, and given name"},
		byYearName:      {"year.name", "năm sinh và họ tên không dấu", "year of birth and full name without diacritics"},
		byDayName:       {"day.name", "ngày và tháng sinh, và họ tên không dấu", "day and month of birth, and full name without diacritics"},
		byCommuneName:   {"commune.name", "xã và họ tên không dấu", "commune and full name without diacritics"},
	}
}

// Persons is a register of persons.
type Persons struct {
	register
	lexicon  *lexicon
	communes *communes
	records  []person
}

// NewPersons makes an empty register.
func NewPersons(config Config) *Persons {
	p := &Persons{lexicon: newLexicon(), communes: newCommunes(config.Successors)}
	p.init("person", config, personFields(), personBlocking(), p)
	return p
}

// Add puts a record in, or in the place of the one with the same ID.
func (p *Persons) Add(record *Person) error {
	if record.ID == "" {
		return noID()
	}
	slot := p.slot([]byte(record.ID))
	if int(slot) == len(p.records) {
		p.records = append(p.records, person{})
	}
	p.fill(&p.records[slot], record)
	p.rekey(slot)
	return nil
}

func noID() error {
	return &lienthong.Error{
		Code: "linkage.id", Vi: "bản ghi không có mã nên không thể nói tới nó", En: "the record has no identifier, so nothing can be said of it",
		Hint: "dùng khoá định danh của tập dữ liệu / use the identity of the dataset",
	}
}

func (p *Persons) fill(r *person, record *Person) {
	*r = person{
		number: personalNumber(record.Number), old: oldNumber(record.OldNumber), phone: phoneNumber(record.Phone),
		motherNumber: personalNumber(record.Mother.Number), fatherNumber: personalNumber(record.Father.Number),
		name: p.lexicon.intern(record.Name), mother: p.lexicon.intern(record.Mother.Name), father: p.lexicon.intern(record.Father.Name),
		commune: p.communes.number(record.Commune, record.CommuneBefore),
		birth:   packDate(record.Birth),
	}
	if r.number == 0 && r.old == 0 {
		r.old = oldNumber(record.Number)
	}
	if record.Sex == "M" || record.Sex == "F" {
		r.sex = record.Sex[0]
	}
}

// keys fills in the blocking keys of a record.
func (p *Persons) keys(slot uint32, dst []uint32) {
	r := &p.records[slot]
	if n := r.number; n != 0 {
		dst[byNumberHead] = blockKey(byNumberHead, n.head(9), 0)
		dst[byNumberEnds] = blockKey(byNumberEnds, n.head(6), n.tail(3))
		dst[byNumberTail] = blockKey(byNumberTail, n.tail(6), 0)
		if r.birth != 0 {
			dst[byNumberSorted] = blockKey(byNumberSorted, n.multiset(), uint64(r.birth.year()))
		}
	}
	if r.old != 0 {
		dst[byOldNumber] = blockKey(byOldNumber, uint64(r.old), 0)
	}
	if r.phone != 0 {
		dst[byPhone] = blockKey(byPhone, uint64(r.phone), 0)
	}
	if r.name == 0 {
		return
	}
	info := &p.lexicon.info[r.name]
	if r.birth.full() {
		given := p.lexicon.plainSet.hashes[p.lexicon.plainAt(r.name, -1)]
		dst[byBirthGiven] = blockKey(byBirthGiven, uint64(r.birth), given)
		dst[byBirthInitials] = blockKey(byBirthInitials, uint64(r.birth), p.lexicon.initials(r.name))
		if swapped := r.birth.swapped(); swapped != 0 {
			dst[byBirthSwapped] = blockKey(byBirthSwapped, uint64(min(swapped, r.birth)), given)
		}
		if !r.birth.filler() {
			dst[byDayName] = blockKey(byDayName, uint64(r.birth&0xffff), uint64(info.sorted))
		}
	}
	if r.birth != 0 {
		dst[byYearName] = blockKey(byYearName, uint64(r.birth.year()), uint64(info.sorted))
	}
	if r.commune != 0 {
		dst[byCommuneName] = blockKey(byCommuneName, uint64(p.communes.first(r.commune)), uint64(info.sorted))
	}
}

// compare fills in how two records agree. It is the same whichever comes first.
func (p *Persons) compare(a, b uint32, v *vector) {
	x, y := &p.records[a], &p.records[b]
	names := p.lexicon.relate(x.name, y.name)
	v.levels[personName], v.rarity = uint8(names.relation), names.rarity
	v.levels[personBirth] = compareDates(x.birth, y.birth)
	v.levels[personNumber] = numberLevel(compareDigits(x.number, y.number))
	v.levels[personOld] = numberLevel(compareDigits(x.old, y.old))
	v.levels[personSex] = 0
	if x.sex != 0 && y.sex != 0 {
		v.levels[personSex] = 1
		if x.sex != y.sex {
			v.levels[personSex] = 2
		}
	}
	v.levels[personCircle] = p.circle(x, y)
}

func (p *Persons) circle(x, y *person) uint8 {
	strong, contradiction, compared := 0, false, false
	if l := compareDigits(x.phone, y.phone); l != notCompared {
		compared = true
		if l != unlike {
			strong++
		}
	}
	for _, l := range [2]likeness{
		p.parent(x.mother, y.mother, x.motherNumber, y.motherNumber),
		p.parent(x.father, y.father, x.fatherNumber, y.fatherNumber),
	} {
		switch l {
		case notCompared:
			continue
		case alike, slipped:
			strong++
		case unlike:
			contradiction = true
		}
		compared = true
	}
	here := p.communes.compare(x.commune, y.commune)
	switch {
	case !compared && here == notCompared:
		return circleMissing
	case strong > 0 && contradiction:
		return circleMixed
	case strong > 1:
		return circleTwo
	case strong == 1 && here == alike:
		return circleOneHere
	case strong == 1:
		return circleOne
	case here == alike && contradiction:
		return circleHereMixed
	case here == alike:
		return circleHere
	case contradiction:
		return circleNoneParent
	}
	return circleNone
}

// parent compares what two records say of a mother or father: by number where both
// have one, otherwise by name.
func (p *Persons) parent(nameA, nameB uint32, numberA, numberB digits) likeness {
	if l := compareDigits(numberA, numberB); l != notCompared {
		return l
	}
	switch r := p.lexicon.relate(nameA, nameB).relation; {
	case r == namesMissing:
		return notCompared
	case r >= namesRival:
		return unlike
	}
	return alike
}

// limit says between which zones the weight may decide.
func (p *Persons) limit(v *vector) (floor, ceiling Zone, reason Reason) {
	name, number := relation(v.levels[personName]), v.levels[personNumber]
	switch {
	case name >= nothingLike:
		if number == numberSame {
			return Ask, Ask, SameNumber
		}
		if name != namesMiddle {
			return Different, Different, NamesContradict
		}
		return Different, Ask, NamesContradict
	case number == numberOther:
		return Different, Ask, NumbersContradict
	case name == namesRival && number != numberSame:
		return Different, Ask, NamesContradict
	case v.levels[personBirth] == dateOther:
		return Different, Ask, DatesContradict
	case v.levels[personSex] == 2 && number != numberSame:
		return Different, Ask, SexContradicts
	}
	return Different, Same, ByWeight
}

// names lists the names whose words are counted.
func (p *Persons) names(slot uint32) uint32 { return p.records[slot].name }

// material appends what identity is judged by and what does not change with a move.
func (p *Persons) material(slot uint32, dst []byte) []byte {
	r := &p.records[slot]
	dst = p.lexicon.appendText(dst, r.name)
	for _, n := range []uint64{uint64(r.birth), uint64(r.number), uint64(r.old), uint64(r.sex), uint64(r.motherNumber), uint64(r.fatherNumber)} {
		dst = appendNumber(appendNumber(dst, uint32(n)), uint32(n>>32))
	}
	dst = p.lexicon.appendText(append(dst, '|'), r.mother)
	return p.lexicon.appendText(append(dst, '|'), r.father)
}

func (p *Persons) words() *lexicon { return p.lexicon }

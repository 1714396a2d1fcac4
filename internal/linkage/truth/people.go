package truth

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/lienthong/lienthong/internal/linkage"
)

// Config says what is made.
type Config struct {
	Records    int     // duplicates included
	Duplicates float64 // share of the records that are entered a second time. Default: 0.02
	Seed       uint64
}

func (c Config) duplicates() int {
	if c.Duplicates == 0 {
		c.Duplicates = 0.02
	}
	return int(c.Duplicates * float64(c.Records))
}

// Slip is what is wrong with a duplicate.
type Slip string

// The slips of persons.
const (
	Copied        Slip = "copied" // only entered again
	NoMarks       Slip = "no diacritics"
	SomeMarks     Slip = "some diacritics wrong"
	WordOrder     Slip = "word order"
	MissingWord   Slip = "word missing"
	Misspelt      Slip = "misspelt"
	DayMonth      Slip = "day and month"
	DateDigit     Slip = "digit of date"
	YearOnly      Slip = "year only"
	NumberDigit   Slip = "digit of number"
	NumberSwapped Slip = "digits swapped"
	NumberMissing Slip = "number missing"
	NumberOld     Slip = "old number"
	NumberElse    Slip = "somebody else's number" // which no calculation may overlook: people decide
	Moved         Slip = "moved, new phone"
	Two           Slip = "two slips"
)

// human is somebody, without strings.
type human struct {
	mother, father         int32 // indexes; -1: of parentNames
	born                   int32 // days since 1970
	random                 uint32
	phone                  uint32 // 0: none
	family, middle, given  uint16
	motherName, fatherName [3]uint16
	commune                uint16
	province               uint8
	male, old              bool
	twin                   bool
	parents                bool // the record names them
	habit                  uint8
}

// entry is one record: of a human, right or wrong.
type entry struct {
	human int32
	slip  int8 // index of slips; -1: the first record
	seed  uint32
}

// People is a register of persons.
type People struct {
	words   *vocabulary
	humans  []human
	entries []entry
	numbers map[uint64]bool
}

// Slips lists what can be wrong with a duplicate of a person.
func Slips() []Slip {
	return []Slip{
		Copied, NoMarks, SomeMarks, WordOrder, MissingWord, Misspelt, DayMonth, DateDigit, YearOnly,
		NumberDigit, NumberSwapped, NumberMissing, NumberOld, NumberElse, Moved, Two,
	}
}

// shares of the slips among a hundred duplicates, in the order of Slips.
func shares() []int { return []int{4, 12, 8, 6, 6, 10, 10, 8, 4, 9, 5, 6, 3, 1, 4, 4} }

// communesToday is how many communes there are; those of before are three to one.
const communesToday = 3321

// NewPeople makes a register.
func NewPeople(config Config) *People {
	r := rand.New(rand.NewPCG(config.Seed, 214))
	p := &People{words: newVocabulary(), numbers: make(map[uint64]bool, config.Records)}
	twice := config.duplicates()
	for len(p.humans) < config.Records-twice {
		p.household(r)
	}
	p.humans = p.humans[:config.Records-twice]
	for i := range p.humans {
		p.entries = append(p.entries, entry{human: int32(i), slip: -1, seed: r.Uint32()})
	}
	share := shares()
	last := int32(0)
	for range twice {
		who := int32(r.IntN(len(p.humans)))
		if chance(r, 5) {
			who = last // entered a third time
		}
		last = who
		n, slip := r.IntN(100), 0
		for n >= share[slip] {
			n -= share[slip]
			slip++
		}
		p.entries = append(p.entries, entry{human: who, slip: int8(slip), seed: r.Uint32()})
	}
	r.Shuffle(len(p.entries), func(i, j int) { p.entries[i], p.entries[j] = p.entries[j], p.entries[i] })
	p.numbers = nil
	return p
}

func dayOf(year, month, day int) int32 {
	return int32(time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// household makes two parents and their children.
func (p *People) household(r *rand.Rand) {
	commune := uint16(r.IntN(communesToday))
	province := uint8(1 + int(commune)*62/communesToday)
	couple := [2]int32{}
	born := dayOf(1935+r.IntN(55), 1, 1) + r.Int32N(366)
	for i := range couple {
		h := human{mother: -1, father: -1, born: born + r.Int32N(2500), commune: commune, province: province, male: i == 0}
		if chance(r, 12) {
			h.province = uint8(1 + r.IntN(62))
		}
		p.baptise(r, &h, nil)
		couple[i] = p.add(r, h)
	}
	father, mother := p.humans[couple[0]], p.humans[couple[1]]
	next := max(father.born, mother.born) + 7300 + r.Int32N(2500)
	for range r.IntN(4) {
		if next > dayOf(2024, 1, 1) {
			return
		}
		child := human{mother: couple[1], father: couple[0], born: next, commune: commune, province: province, male: chance(r, 51)}
		p.baptise(r, &child, &father)
		if next > dayOf(2008, 1, 1) && chance(r, 50) {
			child.phone = mother.phone // a parent's telephone
		} else if next <= dayOf(2002, 1, 1) && chance(r, 45) {
			child.commune = uint16(r.IntN(communesToday)) // married, or gone to where the work is
		}
		i := p.add(r, child)
		if chance(r, 2) {
			p.twin(r, p.humans[i], &father)
		}
		next += 400 + r.Int32N(1500)
	}
}

// twin adds a brother or sister of the same day, whose number is often the next one and whose
// name often differs in one word.
func (p *People) twin(r *rand.Rand, first human, father *human) {
	second := first
	second.twin = true
	if chance(r, 40) {
		second.male = !second.male
	}
	for {
		p.baptise(r, &second, father)
		if second.male == first.male && chance(r, 70) {
			second.middle = first.middle
		}
		if p.name(&second) != p.name(&first) {
			break
		}
	}
	if chance(r, 50) {
		second.random = first.random + 1
		if n := second.number(); second.random < 1_000_000 && !p.numbers[n] {
			p.numbers[n] = true
			p.humans = append(p.humans, second)
			return
		}
	}
	p.add(r, second)
}

// baptise gives a name; father nil: parents are outside the register.
func (p *People) baptise(r *rand.Rand, h *human, father *human) {
	w := p.words
	sex := 0
	if h.male {
		sex = 1
	}
	given := &w.given[sex]
	if h.born < dayOf(1968, 1, 1) {
		given = &w.givenFor[sex]
		h.old = true
	}
	h.family, h.middle, h.given = w.family.draw(r), w.middle[sex].draw(r), given.draw(r)
	h.parents = chance(r, 60)
	h.habit = uint8(r.IntN(100))
	if father != nil {
		h.family = father.family
		if h.male && father.male && !father.old && !h.old && chance(r, 1) {
			h.middle, h.given = father.middle, father.given // the father's name whole
		}
		return
	}
	h.motherName = [3]uint16{w.family.draw(r), w.middle[0].draw(r), w.givenFor[0].draw(r)}
	h.fatherName = [3]uint16{h.family, w.middle[1].draw(r), w.givenFor[1].draw(r)}
}

// add gives a number that nobody has and, to adults, a telephone.
func (p *People) add(r *rand.Rand, h human) int32 {
	for {
		h.random = r.Uint32N(999_998) + 1
		if n := h.number(); !p.numbers[n] {
			p.numbers[n] = true
			break
		}
	}
	if h.phone == 0 && h.born < dayOf(2008, 1, 1) && chance(r, 85) {
		h.phone = newPhone(r)
	}
	p.humans = append(p.humans, h)
	return int32(len(p.humans) - 1)
}

func newPhone(r *rand.Rand) uint32 { return 300_000_000 + r.Uint32N(690_000_000) }

func (h *human) date() linkage.Date { return linkage.DateOfDays(int64(h.born)) }

func (h *human) number() uint64 {
	year := h.date().Year
	century := (year/100 - 19) * 2
	if !h.male {
		century++
	}
	return ((uint64(h.province)*10+uint64(century))*100+uint64(year%100))*1_000_000 + uint64(h.random)
}

// name is a full name in words: family, middle, given.
func (p *People) name(h *human) [3]string {
	sex := 0
	if h.male {
		sex = 1
	}
	given := p.words.given[sex].words
	if h.old {
		given = p.words.givenFor[sex].words
	}
	return [3]string{p.words.family.words[h.family], p.words.middle[sex].words[h.middle], given[h.given]}
}

func (p *People) parentName(h *human, male bool) string {
	index, outside, sex := h.mother, h.motherName, 0
	if male {
		index, outside, sex = h.father, h.fatherName, 1
	}
	if index >= 0 {
		n := p.name(&p.humans[index])
		return strings.Join(n[:], " ")
	}
	return p.words.family.words[outside[0]] + " " + p.words.middle[sex].words[outside[1]] + " " + p.words.givenFor[sex].words[outside[2]]
}

// CommuneCode is the code of a commune of today.
func communeCode(n uint16) string { return fmt.Sprintf("%05d", n) }

// Successors is what the communes of before that this package makes up became: one in
// ten was split between two.
func Successors(before string) []string {
	var n int
	if _, err := fmt.Sscanf(before, "%d", &n); err != nil {
		return nil
	}
	n -= 10_000
	today := []string{communeCode(uint16(n / 3))}
	if n%10 == 0 {
		today = append(today, communeCode(uint16((n/3+1)%communesToday)))
	}
	return today
}

// ID is the identifier of a record by its place.
func ID(place int) string { return fmt.Sprintf("R%07d", place) }

// Len is the number of records.
func (p *People) Len() int { return len(p.entries) }

// Record writes down the record at a place.
func (p *People) Record(place int) linkage.Person {
	e := p.entries[place]
	h := &p.humans[e.human]
	r := rand.New(rand.NewPCG(uint64(e.seed), 2))
	w := writer{person: linkage.Person{ID: ID(place), Birth: h.date(), Sex: "F", Commune: communeCode(h.commune)}, words: p.name(h)}
	if h.male {
		w.person.Sex = "M"
	}
	switch {
	case h.habit < 2:
	case h.habit < 6 && h.born < dayOf(1980, 1, 1):
		w.person.OldNumber = oldNumber(h)
	default:
		w.person.Number = fmt.Sprintf("%012d", h.number())
	}
	if h.phone != 0 {
		w.person.Phone = fmt.Sprintf("0%09d", h.phone)
	}
	if h.parents {
		w.person.Mother.Name, w.person.Father.Name = p.parentName(h, false), p.parentName(h, true)
	}
	if h.born < dayOf(1962, 1, 1) {
		switch n := h.habit; {
		case n >= 90 && n < 94:
			w.person.Birth.Month, w.person.Birth.Day = 0, 0
		case n >= 94:
			w.person.Birth.Month, w.person.Birth.Day = 1, 1
		}
	}
	if h.habit >= 50 && h.habit < 52 {
		w.plain = true
	}
	if e.slip >= 0 {
		w.mistake(r, Slips()[e.slip], h)
		w.background(r)
	}
	return w.finish()
}

func oldNumber(h *human) string { return fmt.Sprintf("%03d%06d", h.province, h.random) }

// Same reports whether two records are about one person.
func (p *People) Same(a, b int) bool { return p.entries[a].human == p.entries[b].human }

// Entity names what a record is about, and Slip what is wrong with it: "" for a first record.
func (p *People) Entity(place int) int { return int(p.entries[place].human) }

// Slip says what is wrong with a record: "" for a first one.
func (p *People) Slip(place int) Slip {
	if s := p.entries[place].slip; s >= 0 {
		return Slips()[s]
	}
	return ""
}

// Relation says how two different people are related, for the account of what went wrong.
func (p *People) Relation(a, b int) string {
	x, y := p.entries[a].human, p.entries[b].human
	one, other := &p.humans[x], &p.humans[y]
	switch {
	case one.mother >= 0 && one.mother == other.mother && one.born == other.born:
		return "twins"
	case one.mother >= 0 && one.mother == other.mother:
		return "brothers and sisters"
	case one.father == y || other.father == x || one.mother == y || other.mother == x:
		return "parent and child"
	case p.name(one) == p.name(other):
		return "namesakes"
	}
	return "strangers"
}

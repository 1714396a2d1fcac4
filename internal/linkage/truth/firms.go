package truth

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/lienthong/lienthong/internal/linkage"
)

// The slips of organisations, beside those that persons share.
const (
	FormShort       Slip = "legal form abbreviated"
	FormMissing     Slip = "legal form missing"
	English         Slip = "in English"
	ActivityShort   Slip = "activities abbreviated"
	ActivityMissing Slip = "activity missing"
	TaxDigit        Slip = "digit of tax code"
	TaxMissing      Slip = "tax code missing"
)

// FirmSlips lists what can be wrong with a duplicate of an organisation.
func FirmSlips() []Slip {
	return []Slip{
		Copied, NoMarks, SomeMarks, Misspelt, FormShort, FormMissing, English, ActivityShort, ActivityMissing,
		DayMonth, DateDigit, TaxDigit, TaxMissing, Moved, Two,
	}
}

func firmShares() []int { return []int{5, 12, 6, 10, 8, 5, 8, 8, 6, 5, 4, 8, 6, 5, 4} }

// business is a firm, without strings.
type business struct {
	core       [3]int16 // words; -1: none
	place      int16    // -1: none
	activities [2]int8  // -1: none
	form       uint8
	branch     uint16 // of the firm before it: its number; 0: the enterprise itself
	founded    int32
	tax        uint64
	number     uint32 // of the certificate, for households
	phone      uint32
	commune    uint16
}

// The legal forms of the generator.
const (
	limited = iota
	oneMember
	jointStock
	private
	cooperative
	householdBusiness
)

// Firms is a register of organisations.
type Firms struct {
	words   *vocabulary
	firms   []business
	entries []entry
	taxes   map[uint64]bool
}

// NewFirms makes a register.
func NewFirms(config Config) *Firms {
	r := rand.New(rand.NewPCG(config.Seed, 215))
	f := &Firms{words: newVocabulary(), taxes: map[uint64]bool{}}
	twice := config.duplicates()
	for len(f.firms) < config.Records-twice {
		f.found(r)
	}
	f.firms = f.firms[:config.Records-twice]
	for i := range f.firms {
		f.entries = append(f.entries, entry{human: int32(i), slip: -1, seed: r.Uint32()})
	}
	share := firmShares()
	for range twice {
		n, slip := r.IntN(100), 0
		for n >= share[slip] {
			n -= share[slip]
			slip++
		}
		f.entries = append(f.entries, entry{human: int32(r.IntN(len(f.firms))), slip: int8(slip), seed: r.Uint32()})
	}
	r.Shuffle(len(f.entries), func(i, j int) { f.entries[i], f.entries[j] = f.entries[j], f.entries[i] })
	f.taxes = nil
	return f
}

// found makes a firm, and sometimes its branches or another of the same name elsewhere.
func (f *Firms) found(r *rand.Rand) {
	b := business{core: [3]int16{-1, -1, -1}, place: -1, activities: [2]int8{-1, -1}, commune: uint16(r.IntN(communesToday))}
	form := r.IntN(100)
	switch {
	case form < 40:
		b.form = limited
	case form < 60:
		b.form = oneMember
	case form < 75:
		b.form = jointStock
	case form < 81:
		b.form = private
	case form < 84:
		b.form = cooperative
	default:
		b.form = householdBusiness
	}
	words := 2
	if chance(r, 30) {
		words = 3
	}
	for i := range words {
		b.core[i] = int16(f.words.firmWords.draw(r))
	}
	if b.form != householdBusiness {
		if chance(r, 15) {
			b.place = int16(f.words.firmPlaces.draw(r))
		}
		for i := range b.activities {
			if chance(r, 65) {
				b.activities[i] = int8(r.IntN(len(f.words.activities)))
			}
		}
		if b.activities[0] == b.activities[1] {
			b.activities[1] = -1
		}
	} else {
		b.activities[0] = int8(r.IntN(len(f.words.householdFor.words)))
		b.number = 1_000_000 + r.Uint32N(8_999_999)
	}
	b.founded = dayOf(1992+r.IntN(33), 1+r.IntN(12), 1+r.IntN(28))
	b.phone = newPhone(r)
	b.tax = f.newTax(r)
	f.firms = append(f.firms, b)
	if b.form != householdBusiness && chance(r, 7) {
		for n := range 1 + r.IntN(3) {
			branch := b
			branch.branch = uint16(n + 1)
			branch.commune = uint16(r.IntN(communesToday))
			branch.founded += 100 + r.Int32N(2000)
			if chance(r, 60) {
				branch.phone = newPhone(r)
			}
			f.firms = append(f.firms, branch)
		}
	}
	if chance(r, 4) { // somebody else had the same idea
		same := b
		same.commune, same.phone, same.tax = uint16(r.IntN(communesToday)), newPhone(r), f.newTax(r)
		same.founded += 1 + r.Int32N(3000)
		if same.form == householdBusiness {
			same.number = 1_000_000 + r.Uint32N(8_999_999)
		}
		f.firms = append(f.firms, same)
	}
	if chance(r, 3) && b.form != householdBusiness { // the same owner's second firm
		sister := b
		sister.tax, sister.place = f.newTax(r), int16(f.words.firmPlaces.draw(r))
		sister.founded += r.Int32N(800)
		if sister.place != b.place {
			f.firms = append(f.firms, sister)
		}
	}
}

func (f *Firms) newTax(r *rand.Rand) uint64 {
	for {
		n := uint64(1+r.IntN(62))*100_000_000 + r.Uint64N(100_000_000)
		if !f.taxes[n] {
			f.taxes[n] = true
			return n
		}
	}
}

// Len is the number of records.
func (f *Firms) Len() int { return len(f.entries) }

// Entity names what a record is about.
func (f *Firms) Entity(place int) int { return int(f.entries[place].human) }

// Slip says what is wrong with a record: "" for a first one.
func (f *Firms) Slip(place int) Slip {
	if s := f.entries[place].slip; s >= 0 {
		return FirmSlips()[s]
	}
	return ""
}

// Relation says how two different firms are related.
func (f *Firms) Relation(a, b int) string {
	x, y := &f.firms[f.entries[a].human], &f.firms[f.entries[b].human]
	switch {
	case x.tax == y.tax:
		return "branches"
	case x.core == y.core && x.phone == y.phone:
		return "sisters"
	case x.core == y.core && x.place == y.place:
		return "same name"
	}
	return "strangers"
}

// firmWriter writes a firm's record down, with mistakes.
type firmWriter struct {
	record                            linkage.Organisation
	core, place                       string
	activities                        []activity
	form                              uint8
	branch                            bool
	english, shortForm, noForm, short bool
	plain                             bool
}

// Record writes down the record at a place.
func (f *Firms) Record(place int) linkage.Organisation {
	e := f.entries[place]
	b := &f.firms[e.human]
	r := rand.New(rand.NewPCG(uint64(e.seed), 3))
	w := firmWriter{
		record: linkage.Organisation{
			ID: ID(place), Phone: fmt.Sprintf("0%09d", b.phone), Commune: communeCode(b.commune), Founded: linkage.DateOfDays(int64(b.founded)),
		},
		form: b.form, branch: b.branch > 0,
	}
	w.short, w.shortForm = chance(r, 35), chance(r, 70) // habits of whoever writes
	var core []string
	for _, word := range b.core {
		if word >= 0 {
			core = append(core, f.words.firmWords.words[word])
		}
	}
	w.core = strings.Join(core, " ")
	if b.place >= 0 {
		w.place = f.words.firmPlaces.words[b.place]
	}
	switch b.form {
	case householdBusiness:
		w.record.BusinessNumber = fmt.Sprintf("41A8%07d", b.number)
		trade := f.words.householdFor.words[b.activities[0]]
		w.activities = []activity{{trade, trade, trade}}
	default:
		w.record.TaxCode = fmt.Sprintf("%010d", b.tax)
		if b.branch > 0 {
			w.record.TaxCode += fmt.Sprintf("-%03d", b.branch)
		}
		for _, a := range b.activities {
			if a >= 0 {
				w.activities = append(w.activities, f.words.activities[a])
			}
		}
	}
	if e.slip >= 0 {
		w.mistake(r, FirmSlips()[e.slip])
		w.background(r)
	}
	w.record.Name = w.name()
	return w.record
}

func (w *firmWriter) background(r *rand.Rand) {
	if chance(r, 10) {
		w.record.TaxCode = ""
	}
	if chance(r, 20) {
		w.record.Phone = fmt.Sprintf("0%09d", newPhone(r))
	}
	if chance(r, 8) {
		w.record.Commune = communeCode(uint16(r.IntN(communesToday)))
	}
	if chance(r, 15) {
		w.record.Founded = linkage.Date{}
	}
}

func (w *firmWriter) mistake(r *rand.Rand, slip Slip) {
	p := writer{person: linkage.Person{Birth: w.record.Founded}}
	switch slip {
	case NoMarks:
		w.plain = true
	case SomeMarks:
		words := strings.Fields(w.core)
		at := r.IntN(len(words))
		words[at] = strings.Map(otherTone, words[at])
		w.core = strings.Join(words, " ")
	case Misspelt:
		words := strings.Fields(w.core)
		at := r.IntN(len(words))
		words[at] = misspell(r, words[at])
		w.core = strings.Join(words, " ")
	case FormShort:
		w.shortForm = !w.shortForm
	case FormMissing:
		w.noForm = true
	case English:
		w.english = true
	case ActivityShort:
		w.short = !w.short
	case ActivityMissing:
		if len(w.activities) > 0 && w.form != householdBusiness {
			w.activities = slices.Delete(w.activities, 0, 1)
		}
	case DayMonth, DateDigit:
		p.misdate(r, slip)
		w.record.Founded = p.person.Birth
	case TaxDigit:
		w.record.TaxCode = wrongDigit(r, w.record.TaxCode[:min(10, len(w.record.TaxCode))]) + w.record.TaxCode[min(10, len(w.record.TaxCode)):]
		w.record.BusinessNumber = strings.Replace(w.record.BusinessNumber, "41A8", "41A9", 1)
	case TaxMissing:
		w.record.TaxCode, w.record.BusinessNumber = "", ""
	case Moved:
		w.record.Phone = fmt.Sprintf("0%09d", newPhone(r))
		w.record.Commune = communeCode(uint16(r.IntN(communesToday)))
	case Two:
		kinds := []Slip{NoMarks, Misspelt, FormShort, FormMissing, ActivityMissing, TaxDigit, TaxMissing, Moved}
		first := r.IntN(len(kinds))
		w.mistake(r, kinds[first])
		w.mistake(r, kinds[(first+1+r.IntN(len(kinds)-1))%len(kinds)])
	}
}

func (w *firmWriter) name() string {
	var parts []string
	if w.english {
		parts = append(parts, plainText(w.core), plainText(w.place))
		for _, a := range w.activities {
			parts = append(parts, a.english)
		}
		parts = append(parts, [...]string{"Company Limited", "One Member Co., Ltd", "Joint Stock Company", "Private Enterprise", "Cooperative", "Business Household"}[w.form])
		if w.branch {
			parts = append([]string{"Branch of"}, parts...)
		}
		return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
	}
	if w.branch {
		parts = append(parts, "Chi nhánh")
	}
	switch {
	case w.noForm:
	case w.shortForm:
		parts = append(parts, [...]string{"Công ty TNHH", "Công ty TNHH MTV", "Công ty CP", "DNTN", "HTX", "HKD"}[w.form])
	default:
		parts = append(parts, [...]string{
			"Công ty Trách nhiệm hữu hạn", "Công ty Trách nhiệm hữu hạn Một thành viên", "Công ty Cổ phần",
			"Doanh nghiệp tư nhân", "Hợp tác xã", "Hộ kinh doanh",
		}[w.form])
	}
	for i, a := range w.activities {
		if i > 0 && !w.short {
			parts = append(parts, "và")
		}
		if w.short {
			parts = append(parts, a.short)
		} else {
			parts = append(parts, a.full)
		}
	}
	name := strings.Join(strings.Fields(strings.Join(append(parts, w.core, w.place), " ")), " ")
	if w.plain {
		name = plainText(name)
	}
	return name
}

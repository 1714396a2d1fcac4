package demo

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/lienthong/lienthong"
)

// defect is what is wrong with a record on purpose. 0: nothing.
type defect uint8

const (
	clean defect = iota

	personNoAddress
	personNoEthnicity
	personNoMarital
	personBornInFuture
	personTwice
	personShortNumber
	personLetterInNumber
	personBadPhone
	personDigitInName
	personBadEmail
	personNoSuchCommune
	personNoSuchFather
	personOtherSex
	personOtherYear
	personStale

	birthNoBook
	birthNoMother
	birthRegisteredInFuture
	birthTwice
	birthShortNumber
	birthNoSuchMother
	birthNoSuchFather
	birthRegisteredBefore
	birthOtherSex
	birthOtherName
	birthOtherDate

	marriageNoBook
	marriageRegisteredInFuture
	marriageShortNumber
	marriageNoSuchHusband
	marriageNoSuchWife
	marriageRegisteredBefore

	deathNoBook
	deathNoCause
	deathRegisteredInFuture
	deathTwice
	deathShortNumber
	deathNoSuchPerson
	deathBeforeBirth
	deathOtherName

	householdNoAddress
	householdNoMembers
	householdTooMany
	householdTwice
	householdBadPhone
	householdNoSuchHead
	householdStale
	householdOtherName

	parcelNoPurpose
	parcelNegative
	parcelOldCertificate
	parcelTwice
	parcelBadCertificate
	parcelNoSuchOwner
	parcelStale
	parcelOtherName

	defectCount
)

// kind describes a defect as the checks should find it.
type kind struct {
	defect   defect
	dataset  lienthong.DatasetID
	group    lienthong.ErrorGroup
	field    string // in the shape
	rule     string // the rule that should find it
	blocking bool   // the record goes into quarantine
}

// kinds is the list of all defects.
func kinds() []kind {
	person, births, marriages := population(), birthsID(), marriagesID()
	deaths, households, parcels := deathsID(), householdsID(), parcelsID()
	return []kind{
		{personNoAddress, person, lienthong.MissingMandatory, "address_line", "required", false},
		{personNoEthnicity, person, lienthong.MissingMandatory, "ethnicity", "required", false},
		{personNoMarital, person, lienthong.MissingMandatory, "marital_status", "required", false},
		{personBornInFuture, person, lienthong.OutOfRange, "birth_date", "person.birth_date.range", false},
		{personTwice, person, lienthong.Duplicate, "personal_number", "population.person.number.unique", false},
		{personShortNumber, person, lienthong.WrongFormat, "personal_number", "person.number.digits", true},
		{personLetterInNumber, person, lienthong.WrongFormat, "personal_number", "person.number.digits", true},
		{personBadPhone, person, lienthong.WrongFormat, "phone", "person.phone.format", false},
		{personDigitInName, person, lienthong.WrongFormat, "full_name", "person.full_name.letters", false},
		{personBadEmail, person, lienthong.WrongFormat, "email", "person.email.format", false},
		{personNoSuchCommune, person, lienthong.BrokenReference, "commune", "address.commune.code", false},
		{personNoSuchFather, person, lienthong.BrokenReference, "father_number", "population.person.father.exists", false},
		{personOtherSex, person, lienthong.Contradiction, "personal_number", "population.person.number.agrees", false},
		{personOtherYear, person, lienthong.Contradiction, "personal_number", "population.person.number.agrees", false},
		{personStale, person, lienthong.Stale, "verified_at", "person.verified_at.age", false},

		{birthNoBook, births, lienthong.MissingMandatory, "book_number", "required", false},
		{birthNoMother, births, lienthong.MissingMandatory, "mother_number", "required", false},
		{birthRegisteredInFuture, births, lienthong.OutOfRange, "registered_at", "civil.registered_at.range", false},
		{birthTwice, births, lienthong.Duplicate, "child_number", "civil_status.birth.child.unique", false},
		{birthShortNumber, births, lienthong.WrongFormat, "child_number", "civil.child_number.digits", true},
		{birthNoSuchMother, births, lienthong.BrokenReference, "mother_number", "civil_status.birth.mother.exists", false},
		{birthNoSuchFather, births, lienthong.BrokenReference, "father_number", "civil_status.birth.father.exists", false},
		{birthRegisteredBefore, births, lienthong.Contradiction, "registered_at", "civil_status.birth.registered.after", false},
		{birthOtherSex, births, lienthong.Contradiction, "child_number", "civil_status.birth.number.agrees", false},
		{birthOtherName, births, lienthong.ReferenceMismatch, "child_name", "civil_status.birth.name.matches", false},
		{birthOtherDate, births, lienthong.ReferenceMismatch, "child_birth_date", "civil_status.birth.date.matches", false},

		{marriageNoBook, marriages, lienthong.MissingMandatory, "book_number", "required", false},
		{marriageRegisteredInFuture, marriages, lienthong.OutOfRange, "registered_at", "civil.registered_at.range", false},
		{marriageShortNumber, marriages, lienthong.WrongFormat, "husband_number", "civil.husband_number.digits", true},
		{marriageNoSuchHusband, marriages, lienthong.BrokenReference, "husband_number", "civil_status.marriage.husband.exists", false},
		{marriageNoSuchWife, marriages, lienthong.BrokenReference, "wife_number", "civil_status.marriage.wife.exists", false},
		{marriageRegisteredBefore, marriages, lienthong.Contradiction, "registered_at", "civil_status.marriage.registered.after", false},

		{deathNoBook, deaths, lienthong.MissingMandatory, "book_number", "required", false},
		{deathNoCause, deaths, lienthong.MissingMandatory, "cause", "required", false},
		{deathRegisteredInFuture, deaths, lienthong.OutOfRange, "registered_at", "civil.registered_at.range", false},
		{deathTwice, deaths, lienthong.Duplicate, "deceased_number", "civil_status.death.deceased.unique", false},
		{deathShortNumber, deaths, lienthong.WrongFormat, "deceased_number", "civil.deceased_number.digits", true},
		{deathNoSuchPerson, deaths, lienthong.BrokenReference, "deceased_number", "civil_status.death.deceased.exists", false},
		{deathBeforeBirth, deaths, lienthong.Contradiction, "death_date", "civil_status.death.after.birth", false},
		{deathOtherName, deaths, lienthong.ReferenceMismatch, "deceased_name", "civil_status.death.name.matches", false},

		{householdNoAddress, households, lienthong.MissingMandatory, "address_line", "required", false},
		{householdNoMembers, households, lienthong.OutOfRange, "members", "household.members.range", false},
		{householdTooMany, households, lienthong.OutOfRange, "members", "household.members.range", false},
		{householdTwice, households, lienthong.Duplicate, "household_number", "household.household.number.unique", false},
		{householdBadPhone, households, lienthong.WrongFormat, "phone", "person.phone.format", false},
		{householdNoSuchHead, households, lienthong.BrokenReference, "head_number", "household.household.head.exists", false},
		{householdStale, households, lienthong.Stale, "updated_at", "household.household.updated.age", false},
		{householdOtherName, households, lienthong.ReferenceMismatch, "head_name", "household.household.name.matches", false},

		{parcelNoPurpose, parcels, lienthong.MissingMandatory, "purpose", "required", false},
		{parcelNegative, parcels, lienthong.OutOfRange, "area", "parcel.area.range", false},
		{parcelOldCertificate, parcels, lienthong.OutOfRange, "certificate_date", "parcel.certificate_date.range", false},
		{parcelTwice, parcels, lienthong.Duplicate, "parcel_number", "land.parcel.number.unique", false},
		{parcelBadCertificate, parcels, lienthong.WrongFormat, "certificate_number", "parcel.certificate_number.format", false},
		{parcelNoSuchOwner, parcels, lienthong.BrokenReference, "owner_number", "land.parcel.owner.exists", false},
		{parcelStale, parcels, lienthong.Stale, "updated_at", "land.parcel.updated.age", false},
		{parcelOtherName, parcels, lienthong.ReferenceMismatch, "owner_name", "land.parcel.name.matches", false},
	}
}

// Planted is one defect of one record.
type Planted struct {
	Dataset  lienthong.DatasetID
	Key      string // the record's key: its identity
	Group    lienthong.ErrorGroup
	Field    string // in the shape
	Rule     string // the code of the rule that should find it; "required" for a missing value
	Blocking bool   // the record is held back in quarantine
}

// Truth lists the defects that the sources hold at this moment: those planted,
// without those that live changes have put right. Files are as of the last drop.
func (w *World) Truth() []Planted {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var table [defectCount]kind
	for _, k := range kinds() {
		table[k.defect] = k
	}
	var truth []Planted
	plant := func(d defect, gone bool, key func() string) {
		if d != clean && !gone {
			k := &table[d]
			truth = append(truth, Planted{k.dataset, key(), k.group, k.field, k.rule, k.blocking})
		}
	}
	for i := range w.people {
		plant(w.people[i].defect, w.people[i].flags&gone != 0, func() string { return personKey(i) })
	}
	for i := range w.births {
		plant(w.births[i].defect, w.births[i].gone, func() string { return birthKey(i) })
	}
	for i := range w.marriages {
		plant(w.marriages[i].defect, w.marriages[i].gone, func() string { return marriageKey(i) })
	}
	for i := range w.deaths {
		plant(w.deaths[i].defect, w.deaths[i].gone, func() string { return deathKey(i) })
	}
	for i := range w.households {
		plant(w.households[i].defect, w.households[i].gone, func() string { return w.householdKey(&w.households[i]) })
	}
	for i := range w.parcels {
		plant(w.parcels[i].defect, w.parcels[i].gone, func() string { return w.parcelKey(&w.parcels[i]) })
	}
	return truth
}

// quota is how many rows of the dataset get a defect of the group.
func (w *World) quota(dataset lienthong.DatasetID, group lienthong.ErrorGroup) int {
	rows := map[lienthong.DatasetID]int{
		population(): w.config.Persons, birthsID(): w.config.Births, marriagesID(): w.config.Marriages,
		deathsID(): w.config.Deaths, householdsID(): w.config.Households, parcelsID(): w.config.Parcels,
	}[dataset]
	n := int(math.Round(w.config.Defects[group] * float64(rows)))
	if group == lienthong.Duplicate {
		n &^= 3 // whole pairs, and as many in one commune as in the other
	}
	return n
}

// plant puts the defects in. twins is the number of people to enter a second time.
func (w *World) plant(r *rand.Rand, twins int) error {
	if err := w.plantPeople(r, twins); err != nil {
		return err
	}
	for _, set := range []struct {
		dataset lienthong.DatasetID
		rows    int
		allowed func(i int, d defect) bool
		put     func(i int, d defect)
		twice   defect
		again   func(i int)
	}{
		{
			birthsID(), len(w.births),
			func(i int, d defect) bool {
				b := &w.births[i]
				// Another day of the same year must exist before the true one.
				return b.defect == clean && (d != birthOtherDate || dayInYear(w.people[b.child].born) > 40)
			},
			func(i int, d defect) { w.births[i].defect = d }, birthTwice,
			func(i int) { w.births = append(w.births, w.births[i]) },
		},
		{
			marriagesID(), len(w.marriages),
			func(i int, _ defect) bool { return w.marriages[i].defect == clean },
			func(i int, d defect) { w.marriages[i].defect = d }, clean, nil,
		},
		{
			deathsID(), len(w.deaths),
			func(i int, _ defect) bool { return w.deaths[i].defect == clean },
			func(i int, d defect) { w.deaths[i].defect = d }, deathTwice,
			func(i int) { w.deaths = append(w.deaths, w.deaths[i]) },
		},
		{
			householdsID(), len(w.households),
			func(i int, _ defect) bool { return w.households[i].defect == clean },
			func(i int, d defect) { w.households[i].defect = d }, householdTwice,
			func(i int) {
				h := w.households[i]
				h.serial = w.nextSerial(h.commune, true)
				w.households = append(w.households, h)
			},
		},
		{
			parcelsID(), len(w.parcels),
			func(i int, _ defect) bool { return w.parcels[i].defect == clean },
			func(i int, d defect) { w.parcels[i].defect = d }, parcelTwice,
			func(i int) {
				p := w.parcels[i]
				p.serial = w.nextSerial(p.commune, false)
				w.parcels = append(w.parcels, p)
			},
		},
	} {
		order := r.Perm(set.rows)
		next := 0
		take := func(d defect) (int, error) {
			for tried := 0; tried < len(order); tried++ {
				i := order[next%len(order)]
				next++
				if set.allowed(i, d) {
					set.put(i, d)
					return i, nil
				}
			}
			return 0, tooMany(set.dataset)
		}
		if err := w.eachDefect(set.dataset, func(d defect) error {
			i, err := take(d)
			if err == nil && d == set.twice {
				set.again(i)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// eachDefect calls plant once for every defect that a dataset is to have. A
// duplicate is one call for two records.
func (w *World) eachDefect(dataset lienthong.DatasetID, plant func(defect) error) error {
	for _, group := range lienthong.ErrorGroups() {
		var choice []defect
		for _, k := range kinds() {
			if k.dataset == dataset && k.group == group {
				choice = append(choice, k.defect)
			}
		}
		if len(choice) == 0 {
			continue
		}
		n := w.quota(dataset, group)
		if group == lienthong.Duplicate {
			n /= 2
		}
		for i := range n {
			if err := plant(choice[i%len(choice)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// plantPeople plants the defects of the population. Their victims are people whom no
// other record names: a number that is wrong or held back would make every reference
// to it wrong too, and one defect would be counted as several.
func (w *World) plantPeople(r *rand.Rand, twins int) error {
	victims := make([]int32, 0, len(w.people)/4)
	for i := range w.people {
		if p := &w.people[i]; p.refs == 0 && p.spouse < 0 && p.flags&dead == 0 && p.father >= 0 {
			victims = append(victims, int32(i))
		}
	}
	r.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	var doubles []int32
	next := 0
	err := w.eachDefect(population(), func(d defect) error {
		for ; next < len(victims); next++ {
			i := victims[next]
			p := &w.people[i]
			if p.defect != clean || !w.fits(p, d) {
				continue
			}
			next++
			p.defect = d
			switch d {
			case personTwice:
				doubles = append(doubles, i)
			case personBornInFuture:
				w.renumber(r, p)
			case personStale:
				p.verified = w.minute - days(6)*minutesADay - r.Int32N(days(6)*minutesADay)
				p.verified = max(p.verified, (p.born+3)*minutesADay)
				p.updated = between(r, p.verified, w.minute-60)
			}
			return nil
		}
		return tooMany(population())
	})
	if err != nil {
		return err
	}
	for _, i := range doubles[:min(twins, len(doubles))] {
		second := w.people[i]
		second.flags |= twin
		second.salt = r.Uint32()
		second.house = w.people[r.IntN(len(w.people))].house
		second.father, second.mother = -1, -1
		second.spouse = i // the first record
		w.dates(r, &second)
		w.people = append(w.people, second)
	}
	return nil
}

// fits reports whether the person can carry the defect without carrying another.
func (w *World) fits(p *person, d defect) bool {
	switch d {
	case personStale:
		return p.born < w.today-days(13)
	case personOtherYear:
		return p.born < w.today-days(1)
	default:
		return true
	}
}

// renumber gives somebody a date of birth that has not come yet, and the number that
// fits it, so that the date is the only thing wrong.
func (w *World) renumber(r *rand.Rand, p *person) {
	delete(w.numbers, p.number())
	p.born = w.today + days(2) + r.Int32N(days(20))
	for {
		if _, used := w.numbers[p.number()]; !used && !placeholder(p.random) {
			break
		}
		p.random = r.Uint32N(1_000_000)
	}
	w.numbers[p.number()] = struct{}{}
}

// nextSerial is the serial number of a new row in a commune's list.
func (w *World) nextSerial(commune uint8, household bool) uint32 {
	var most uint32
	if household {
		for i := range w.households {
			if h := &w.households[i]; h.commune == commune {
				most = max(most, h.serial)
			}
		}
	} else {
		for i := range w.parcels {
			if p := &w.parcels[i]; p.commune == commune {
				most = max(most, p.serial)
			}
		}
	}
	return most + 1
}

// stranger is a well-formed personal number that nobody in the world has.
func (w *World) stranger(salt uint32) string {
	for n := uint64(0); ; n++ {
		x := scatter(w.config.Seed, salt, 900+n)
		p := person{born: dayOf(1950, 1, 1) + int32(x%20_000), random: uint32(x >> 32 % 1_000_000), province: 1}
		if x&1 == 0 {
			p.flags |= male
		}
		if _, used := w.numbers[p.number()]; !used && !placeholder(p.random) {
			return personalNumber(p.number())
		}
	}
}

func tooMany(dataset lienthong.DatasetID) error {
	return &lienthong.Error{
		Code: "demo.defects", Where: dataset.String(),
		Vi: "không đủ bản ghi để cài số lỗi đã yêu cầu", En: "not enough records for the defects asked for",
		Hint: "giảm tỷ lệ lỗi hoặc tăng số bản ghi / lower the rates or raise the number of records",
	}
}

func personKey(i int) string   { return padded("DC", i+1, 9) }
func birthKey(i int) string    { return padded("KS", i+1, 8) }
func marriageKey(i int) string { return padded("KH", i+1, 8) }
func deathKey(i int) string    { return padded("KT", i+1, 8) }

func (w *World) householdKey(h *household) string {
	return padded(w.config.Communes[h.commune]+"-H", int(h.serial), 5)
}

func (w *World) parcelKey(p *parcel) string {
	return padded(w.config.Communes[p.commune]+"-T", int(p.serial), 6)
}

func padded(prefix string, n, width int) string {
	digits := strconv.Itoa(n)
	out := make([]byte, 0, len(prefix)+width)
	out = append(out, prefix...)
	out = append(out, slices.Repeat([]byte{'0'}, max(width-len(digits), 0))...)
	return string(append(out, digits...))
}

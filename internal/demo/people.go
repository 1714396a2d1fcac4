package demo

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// person is one row of the population table, without its strings: those are made
// again from the indexes whenever the row is written. Defects lie on top of it, so
// that the true person stays known.
type person struct {
	father, mother, spouse int32 // indexes; -1: not known
	born                   int32 // days since 1970
	random                 uint32
	house                  uint32 // people of one house share its address line
	salt                   uint32 // decides phone and mail address; a new one is a new phone
	verified, updated      int32  // minutes since 1970
	link                   uint16 // where home was before 1 July 2025, and what it became
	commune                uint16 // where home is now
	surname, middle, given uint16
	province               uint8 // prefix of the personal number: where the birth was registered
	ethnic                 uint8
	refs                   uint8 // how many records name this person; stops at 255
	marital                marital
	defect                 defect
	flags                  flags
}

type flags uint8

const (
	male flags = 1 << iota
	dead
	gone     // deleted from the source
	twin     // a second record of somebody: the planted duplicate
	employed // has an occupation, once the column exists
)

type marital uint8

const (
	single marital = iota
	married
	widowed
	divorced
)

func (p *person) male() bool { return p.flags&male != 0 }

// couple is a marriage of two people of the population.
type couple struct {
	husband, wife int32
	day           int32
}

const (
	year        = 365.2425
	minutesADay = 24 * 60
)

func days(years float64) int32 { return int32(years * year) }

// dayOf is the first day of a year, in days since 1970.
func dayOf(y int, m time.Month, d int) int32 {
	return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

func yearOf(day int32) int { return time.Unix(int64(day)*86400, 0).UTC().Year() }

// between is a number from low to high, both included; low when there is no room.
func between(r *rand.Rand, low, high int32) int32 {
	if high <= low {
		return low
	}
	return low + r.Int32N(high-low+1)
}

func chance(r *rand.Rand, percent uint32) bool { return r.Uint32N(100) < percent }

// generator grows the population, family by family.
type generator struct {
	w       *World
	r       *rand.Rand
	limit   int
	couples []couple
	house   uint32
	quota   bool // families of the two communes stay there
}

// populate fills the world up to limit people. Families live in neighbourhoods:
// the two communes with household lists come first and get the share that their
// lists need, then neighbourhoods all over the country by population.
func (g *generator) populate(residents int) {
	t := g.w.places
	for _, code := range g.w.config.Communes {
		commune := t.index[code]
		g.quota = true
		for start := len(g.w.people); len(g.w.people)-start < residents && len(g.w.people) < g.limit; {
			g.neighbourhood(t.linksOfCommune(commune), 24)
		}
	}
	g.quota = false
	links := make([]uint16, 0, 8)
	for len(g.w.people) < g.limit {
		province := t.drawProvince(g.r)
		links = links[:0]
		for range 6 {
			links = append(links, t.drawLink(g.r, province))
		}
		g.neighbourhood(links, 30)
	}
}

// neighbourhood makes founders and their descendants down to today.
func (g *generator) neighbourhood(links []uint16, founders int) {
	frontier := make([]couple, 0, founders)
	for range founders {
		link := links[g.r.IntN(len(links))]
		place := &g.w.places.links[link]
		born := between(g.r, dayOf(1930, 1, 1), dayOf(1964, 12, 31))
		ethnic := g.w.places.drawEthnic(g.r, place.province)
		husband := g.add(person{father: -1, mother: -1, born: born, flags: male, link: link, ethnic: ethnic}, 0)
		wife := g.add(person{father: -1, mother: -1, born: born + days(-1.5) + g.r.Int32N(days(7)), link: link, ethnic: ethnic}, 0)
		if wife < 0 {
			return
		}
		g.house++
		frontier = g.wed(frontier, husband, wife, g.house, link)
	}
	for len(frontier) > 0 {
		children := g.children(frontier)
		if children == nil {
			return
		}
		frontier = g.match(frontier[:0], children, links)
	}
}

// wed marries two people when both come of age, and moves them into a house.
func (g *generator) wed(list []couple, husband, wife int32, house uint32, link uint16) []couple {
	h, w := &g.w.people[husband], &g.w.people[wife]
	age := max(h.born+days(20.1), w.born+days(18.1))
	day := age + g.r.Int32N(days(7))
	if day >= g.w.today {
		return list
	}
	h.spouse, w.spouse = wife, husband
	h.marital, w.marital = married, married
	if chance(g.r, 3) && day < g.w.today-days(4) {
		h.marital, w.marital = divorced, divorced
	}
	for _, p := range []*person{h, w} {
		p.house, p.link, p.commune = house, link, g.w.places.links[link].commune
	}
	c := couple{husband, wife, day}
	g.couples = append(g.couples, c)
	return append(list, c)
}

// children gives each couple its children. It returns nil when the country is full.
func (g *generator) children(parents []couple) []int32 {
	children := make([]int32, 0, len(parents)*2)
	for _, c := range parents {
		father, mother := g.w.people[c.husband], g.w.people[c.wife]
		most := int32(3)
		switch y := yearOf(mother.born); {
		case y < 1950:
			most = 6
		case y < 1965:
			most = 4
		}
		count := between(g.r, min(most-2, 2), most)
		if chance(g.r, 6) {
			count = 0
		}
		born := c.day + between(g.r, 250, 900)
		for range count {
			if born > g.w.today-3 || born > mother.born+days(44) {
				break
			}
			child := person{father: c.husband, mother: c.wife, born: born, link: father.link, ethnic: father.ethnic, house: father.house}
			if chance(g.r, 52) {
				child.flags |= male
			}
			surname := father.surname
			if chance(g.r, 2) {
				surname = mother.surname // allowed, and seen now and then
			}
			i := g.add(child, surname)
			if i < 0 {
				return nil
			}
			g.w.refer(c.husband)
			g.w.refer(c.wife)
			children = append(children, i)
			born += between(g.r, 420, 1700)
		}
	}
	if len(children) == 0 {
		return nil
	}
	return children
}

// match finds a spouse for most of those who are old enough: a neighbour of fitting
// age from another family, or somebody who moves in.
func (g *generator) match(list []couple, people []int32, links []uint16) []couple {
	var men, women []int32
	for _, i := range people {
		p := &g.w.people[i]
		switch {
		case p.born > g.w.today-days(22) || chance(g.r, 11):
		case p.male():
			men = append(men, i)
		default:
			women = append(women, i)
		}
	}
	byBirth := func(a, b int32) int { return cmp.Compare(g.w.people[a].born, g.w.people[b].born) }
	slices.SortFunc(men, byBirth)
	slices.SortFunc(women, byBirth)
	taken := make([]bool, len(women))
	from := 0
	for _, m := range men {
		man := g.w.people[m]
		bride := int32(-1)
		for from < len(women) && (taken[from] || g.w.people[women[from]].born < man.born-days(3)) {
			from++
		}
		for j := from; j < len(women) && g.w.people[women[j]].born < man.born+days(8); j++ {
			if !taken[j] && g.w.people[women[j]].father != man.father {
				bride, taken[j] = women[j], true
				break
			}
		}
		if bride < 0 {
			if !chance(g.r, 70) {
				continue
			}
			bride = g.add(person{father: -1, mother: -1, born: man.born + between(g.r, days(-2), days(6)), link: links[g.r.IntN(len(links))], ethnic: man.ethnic}, 0)
			if bride < 0 {
				return nil
			}
		}
		link := man.link
		if !g.quota {
			switch {
			case chance(g.r, 8):
				link = g.w.people[bride].link
			case chance(g.r, 10):
				link = links[g.r.IntN(len(links))]
			case chance(g.r, 9):
				// To where the work is.
				link = g.w.places.drawLink(g.r, g.w.places.drawProvince(g.r))
			}
		}
		g.house++
		list = g.wed(list, m, bride, g.house, link)
	}
	return list
}

// add completes a person and returns the index, or -1 when the country is full.
// The surname is the one given, or a new one.
func (g *generator) add(p person, surname uint16) int32 {
	if len(g.w.people) >= g.limit {
		return -1
	}
	place := &g.w.places.links[p.link]
	p.spouse = -1
	p.commune = place.commune
	if p.house == 0 {
		g.house++
		p.house = g.house
	}
	p.province = place.province
	if p.born >= reorganisation() {
		p.province = g.w.places.communes[place.commune].province
	} else if p.father < 0 && !g.quota && chance(g.r, 12) {
		p.province = g.w.places.links[g.w.places.drawLink(g.r, g.w.places.drawProvince(g.r))].province
	}
	p.surname, p.middle, p.given = g.w.names.name(g.r, p.ethnic, southern(place.province), p.male(), yearOf(p.born), surname)
	g.w.dates(g.r, &p)
	p.salt = g.r.Uint32()
	return g.w.append(g.r, p)
}

// dates draws when the record was verified against the person and last changed.
func (w *World) dates(r *rand.Rand, p *person) {
	now := w.minute - 60
	earliest := max((p.born+2)*minutesADay, now-days(3.5)*minutesADay)
	p.verified = max(officeHours(between(r, earliest, now)), earliest)
	p.updated = p.verified
	if chance(r, 55) {
		p.updated = max(officeHours(between(r, p.verified, now)), p.verified)
	}
}

// officeHours moves a minute to the working hours (8 to 17 o'clock in Vietnam) of the
// day before.
func officeHours(minute int32) int32 {
	return (minute/minutesADay-1)*minutesADay + 60 + minute%540
}

// append gives the person a personal number that nobody has, and a place in the world.
func (w *World) append(r *rand.Rand, p person) int32 {
	for {
		p.random = r.Uint32N(1_000_000)
		if placeholder(p.random) {
			continue
		}
		n := p.number()
		if _, used := w.numbers[n]; !used {
			w.numbers[n] = struct{}{}
			break
		}
	}
	w.people = append(w.people, p)
	return int32(len(w.people) - 1)
}

// placeholder reports digits that people type when they do not know the number.
func placeholder(random uint32) bool {
	return random%111111 == 0 || random == 123456 || random == 654321 || random == 12345
}

// refer counts one more record that names the person.
func (w *World) refer(i int32) {
	if p := &w.people[i]; p.refs < 255 {
		p.refs++
	}
}

// number is the personal number as an integer of up to 12 digits: province of
// birth (3), century and sex (1), year (2), random (6); Circular 59/2021/TT-BCA.
func (p *person) number() uint64 {
	y := yearOf(p.born)
	century := (y/100 - 19) * 2
	if !p.male() {
		century++
	}
	return ((uint64(p.province)*10+uint64(century))*100+uint64(y%100))*1_000_000 + uint64(p.random)
}

// southern reports whether a province before 2025 lies south of the Hải Vân pass,
// where families are called Huỳnh and Võ.
func southern(province uint8) bool { return province >= 49 }

// reorganisation is the day from which there are 34 provinces and no districts.
func reorganisation() int32 { return dayOf(2025, time.July, 1) }

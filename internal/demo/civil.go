package demo

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/lienthong/lienthong"
)

// birth, marriage and death are entries of the civil-status books. What they say
// about people is taken from the people when the row is written.
type birth struct {
	child      int32
	registered int32 // day
	updated    int32 // minute
	defect     defect
	gone       bool
}

type marriage struct {
	husband, wife     int32
	event, registered int32
	updated           int32
	defect            defect
	gone              bool
}

type death struct {
	person           int32
	died, registered int32
	updated          int32
	cause            uint8
	defect           defect
	gone             bool
}

// household and parcel are rows of the communes' lists.
type household struct {
	head    int32
	updated int32
	serial  uint32 // within the commune
	number  uint32 // the household's number; that of another one if it is a planted duplicate
	commune uint8  // 0 or 1: index into Config.Communes
	members uint8
	poverty uint8
	defect  defect
	gone    bool
}

type parcel struct {
	owner       int32
	updated     int32
	serial      uint32 // within the commune
	area        uint32 // tenths of a square metre
	certificate int32  // day
	sheet       uint16
	number      uint16
	commune     uint8
	purpose     uint8
	defect      defect
	gone        bool
}

// register fills the civil-status books.
func (w *World) register(r *rand.Rand) {
	w.registerDeaths(r)
	w.registerMarriages(r)
	w.registerBirths(r)
}

func (w *World) registerDeaths(r *rand.Rand) {
	last := make([]int32, len(w.people)) // the last day each must have been alive
	for i := range w.people {
		p := &w.people[i]
		last[i] = max(last[i], p.born+30, w.today-days(9))
		for _, parent := range []int32{p.father, p.mother} {
			if parent >= 0 {
				last[parent] = max(last[parent], p.born+1)
			}
		}
	}
	for _, c := range w.couples {
		last[c.husband], last[c.wife] = max(last[c.husband], c.day+1), max(last[c.wife], c.day+1)
	}
	// The old first, with some luck; and a few of every age.
	type candidate struct {
		person int32
		rank   float64
	}
	candidates := make([]candidate, 0, len(w.people))
	for i := range w.people {
		if last[i] < w.today-40 {
			age := float64(w.today-w.people[i].born) / year
			candidates = append(candidates, candidate{int32(i), age + r.Float64()*34})
		}
	}
	slices.SortFunc(candidates, func(a, b candidate) int { return cmp.Compare(b.rank, a.rank) })
	candidates = candidates[:min(len(candidates), w.config.Deaths-w.quota(deathsID(), lienthong.Duplicate)/2)]
	slices.SortFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.person, b.person) })
	for _, c := range candidates {
		died := between(r, last[c.person], w.today-35)
		w.deaths = append(w.deaths, w.newDeath(r, c.person, died, died+between(r, 0, 14)))
		w.widow(c.person)
	}
	slices.SortStableFunc(w.deaths, func(a, b death) int { return cmp.Compare(a.registered, b.registered) })
}

func (w *World) newDeath(r *rand.Rand, i, died, registered int32) death {
	p := &w.people[i]
	p.flags |= dead
	w.refer(i)
	return death{person: i, died: died, registered: registered, updated: w.afterDay(r, registered), cause: uint8(r.Uint32N(uint32(len(causes()))))}
}

// widow records at the spouse, if there is one, that the person has died.
func (w *World) widow(i int32) {
	if spouse := w.people[i].spouse; spouse >= 0 {
		if s := &w.people[spouse]; s.flags&dead == 0 && s.marital == married {
			s.marital = widowed
		}
	}
}

// afterDay is a minute of the working day on which, or soon after which, an entry
// was typed in.
func (w *World) afterDay(r *rand.Rand, day int32) int32 {
	return min((day+r.Int32N(3))*minutesADay+60+r.Int32N(480), w.minute-30)
}

func (w *World) registerMarriages(r *rand.Rand) {
	list := slices.Clone(w.couples)
	slices.SortStableFunc(list, func(a, b couple) int { return cmp.Compare(a.day, b.day) })
	want := w.config.Marriages
	if len(list) > want {
		list = list[len(list)-want:]
	}
	for _, c := range list {
		w.marriages = append(w.marriages, w.newMarriage(r, c.husband, c.wife, c.day))
	}
}

func (w *World) newMarriage(r *rand.Rand, husband, wife, day int32) marriage {
	w.refer(husband)
	w.refer(wife)
	registered := min(day+r.Int32N(15), w.today)
	return marriage{husband: husband, wife: wife, event: day, registered: registered, updated: w.afterDay(r, registered)}
}

// registerBirths enters the births of those whose parents are known, the youngest
// first. A third are left out: they are people that no other record names.
func (w *World) registerBirths(r *rand.Rand) {
	var children []int32
	for i := range w.people {
		if w.people[i].father >= 0 && (w.people[i].refs > 0 || chance(r, 66)) {
			children = append(children, int32(i))
		}
	}
	slices.SortStableFunc(children, func(a, b int32) int { return cmp.Compare(w.people[b].born, w.people[a].born) })
	children = children[:min(len(children), w.config.Births-w.quota(birthsID(), lienthong.Duplicate)/2)]
	slices.Reverse(children)
	for _, i := range children {
		w.births = append(w.births, w.newBirth(r, i))
	}
}

func (w *World) newBirth(r *rand.Rand, i int32) birth {
	w.refer(i)
	registered := w.people[i].born + 1 + r.Int32N(58)
	if chance(r, 3) {
		registered += r.Int32N(900) // late
	}
	registered = min(registered, w.today)
	return birth{child: i, registered: registered, updated: w.afterDay(r, registered)}
}

// settle fills the lists of the two communes: a household for each head of a
// family, and land that the grown-ups own.
func (w *World) settle(r *rand.Rand) {
	for c, code := range w.config.Communes {
		commune := w.places.index[code]
		houses := make(map[uint32]int, 4096) // house -> household
		var grown []int32
		want := (w.config.Households + 1 - c) / 2
		start := len(w.households)
		spare := w.quota(householdsID(), lienthong.Duplicate) / 4
		for i := range w.people {
			p := &w.people[i]
			if p.commune != commune || p.flags&dead != 0 {
				continue
			}
			if n, known := houses[p.house]; known {
				if h := &w.households[n]; h.members < 12 {
					h.members++
				}
			} else if len(w.households)-start < want-spare && p.born < w.today-days(19) {
				houses[p.house] = len(w.households)
				w.households = append(w.households, w.newHousehold(r, uint8(c), uint32(len(w.households)-start+1), int32(i)))
			}
			if p.born < w.today-days(25) {
				grown = append(grown, int32(i))
			}
		}
		want = (w.config.Parcels + 1 - c) / 2
		spare = w.quota(parcelsID(), lienthong.Duplicate) / 4
		for n := range want - spare {
			if len(grown) == 0 {
				break
			}
			w.parcels = append(w.parcels, w.newParcel(r, uint8(c), uint32(n+1), grown[r.IntN(len(grown))]))
		}
	}
}

func (w *World) newHousehold(r *rand.Rand, commune uint8, serial uint32, head int32) household {
	w.refer(head)
	h := household{head: head, commune: commune, serial: serial, number: serial, members: 1}
	switch n := r.Uint32N(100); {
	case n < 4:
		h.poverty = 0
	case n < 9:
		h.poverty = 1
	default:
		h.poverty = 2
	}
	h.updated = w.minute - minutesADay - r.Int32N(days(1.8)*minutesADay)
	return h
}

func (w *World) newParcel(r *rand.Rand, commune uint8, serial uint32, owner int32) parcel {
	w.refer(owner)
	p := parcel{owner: owner, commune: commune, serial: serial}
	// 260 parcels a map sheet, numbered in order: no two alike.
	p.sheet, p.number = uint16(1+(serial-1)/260), uint16(1+(serial-1)%260)
	uses := purposes()
	use := uses[0]
	n := r.Uint32N(100)
	for i, u := range uses {
		if n < u.below {
			use, p.purpose = u, uint8(i)
			break
		}
	}
	// Housing land is urban in a ward and rural in a commune.
	if ward := w.places.communes[w.places.index[w.config.Communes[commune]]].kind == "phuong"; ward && use.code == "ONT" {
		use, p.purpose = uses[1], 1
	} else if !ward && use.code == "ODT" {
		use, p.purpose = uses[0], 0
	}
	p.area = (use.least + r.Uint32N(use.most-use.least)) * 10
	p.area += r.Uint32N(10)
	p.certificate = between(r, max(dayOf(1996, 1, 1), w.people[owner].born+days(18.5)), w.today-30)
	p.updated = w.minute - minutesADay - r.Int32N(days(1.8)*minutesADay)
	return p
}

// use is a land-use purpose: how many percent of the parcels come up to it, and how
// large they are in square metres.
type use struct {
	code        string
	below       uint32
	least, most uint32
}

// purposes are the codes of the land-use map with shares that fit the southernmost
// province: shrimp ponds, mangrove and rice.
func purposes() []use {
	return []use{
		{"ONT", 30, 80, 900},
		{"ODT", 42, 45, 260},
		{"NTS", 70, 2000, 32000},
		{"LUC", 80, 900, 14000},
		{"CLN", 90, 300, 6000},
		{"RSX", 95, 5000, 60000},
		{"HNK", 100, 200, 4000},
	}
}

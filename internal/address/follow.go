package address

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// destination is where one link leads.
type destination struct {
	code     string
	partial  bool
	unsure   bool // the link may mean another unit
	narrowed bool
}

// follow gives every unit of before its units of today.
func (b *builder) follow(d *dictionary.Dictionary) {
	links := d.Links()
	reached := map[int32][]destination{}
	unmatched := map[string]int32{}
	for i := range links {
		l := &links[i]
		to := destination{code: l.NewCode, partial: l.Partial}
		switch l.Match {
		case dictionary.ExactMatch:
			id := b.before[l.OldCode]
			reached[id] = append(reached[id], to)
		case dictionary.AmbiguousMatch:
			codes := l.Candidates()
			if one, found := b.named(l); found {
				codes, to.narrowed = []string{one}, true
			} else {
				to.unsure = true
			}
			for _, code := range codes {
				id := b.before[code]
				reached[id] = append(reached[id], to)
			}
		case dictionary.NoMatch:
			id := b.unmatched(l, unmatched)
			reached[id] = append(reached[id], to)
		}
	}
	// Certain links first: where a unit of today came from tells which of the uncertain
	// ones are likely.
	for id, list := range reached {
		for _, to := range list {
			if n := &b.units[b.today[to.code]]; !to.unsure && b.units[id].fate != fateUnmatched {
				n.loose = n.loose.with(b.units[id].strict)
				for _, dist := range b.units[id].districts {
					if !slices.Contains(n.districts, dist) {
						n.districts = append(n.districts, dist)
					}
				}
			}
		}
	}
	for _, id := range b.today {
		n := &b.units[id]
		slices.Sort(n.districts)
		if n.loose.empty() {
			n.loose = b.mergedFrom(n.strict)
		}
	}
	for id, list := range reached {
		b.settle(id, list)
	}
}

// named finds the candidate whose district the words of the resolution name:
// "Xã Hòa Bình (huyện Bình Gia)".
func (b *builder) named(l *dictionary.Link) (string, bool) {
	open := strings.LastIndexByte(l.Text, '(')
	if open < 0 {
		return "", false
	}
	tokens, k := b.base(strings.ToUpper(l.Text[open+1:open+2]) + l.Text[open+2:])
	if k&districtKinds == 0 {
		return "", false
	}
	wanted := b.squeeze(tokens)
	found, count := "", 0
	districts := strings.Split(l.OldDistrict, "|")
	for i, code := range l.Candidates() {
		tokens, other := b.base(districts[i])
		if other == k && b.squeeze(tokens) == wanted {
			found, count = code, count+1
		}
	}
	return found, count == 1
}

// unmatched adds a unit that a link names without a code. Its province is one of those
// that its new province was merged from.
func (b *builder) unmatched(l *dictionary.Link, known map[string]int32) int32 {
	key := l.NewProvince + "|" + dictionary.MatchKey(l.OldName)
	if id, found := known[key]; found {
		return id
	}
	var today provinceSet
	p := b.provinceIndex(l.NewProvince, true)
	today = today.with(alone(p))
	shown := Candidate{Name: l.OldName, Share: 1}
	set := b.mergedFrom(today)
	for i := range b.provinces {
		if len(b.provinces[p].merged) == 1 && set.has(int32(i)) {
			shown.Province, shown.ProvinceName = b.provinces[i].code, b.provinces[i].name
		}
	}
	one := []Candidate{shown}
	known[key] = b.addUnit(unit{strict: set, loose: today, fate: fateUnmatched, shown: one, then: one}, l.OldName)
	return known[key]
}

func (b *builder) mergedFrom(today provinceSet) provinceSet {
	var set provinceSet
	for i := range b.provinces {
		if !today.has(int32(i)) {
			continue
		}
		for _, code := range b.provinces[i].merged {
			set = set.with(alone(b.provinceIndex(code, false)))
		}
	}
	return set
}

// settle decides what the links say of one unit, and how likely each unit of today is.
func (b *builder) settle(id int32, list []destination) {
	u := &b.units[id]
	weight := map[int32]float64{}
	sure, unsure, partial := false, false, false
	for _, to := range list {
		n := b.today[to.code]
		u.loose = u.loose.with(b.units[n].strict)
		u.narrowed = u.narrowed || to.narrowed
		w := 4.0
		switch {
		case to.unsure:
			w = 1
			if slices.ContainsFunc(u.districts, func(d int32) bool { return slices.Contains(b.units[n].districts, d) }) {
				w = 3
			}
		case to.partial:
			w = 2
		}
		sure = sure || !to.unsure && !to.partial
		unsure, partial = unsure || to.unsure, partial || to.partial
		weight[n] += w
	}
	for n := range weight {
		u.now = append(u.now, n)
	}
	slices.SortFunc(u.now, func(x, y int32) int {
		return cmp.Or(cmp.Compare(weight[y], weight[x]), cmp.Compare(b.units[x].shown[0].Code, b.units[y].shown[0].Code))
	})
	total := 0.0
	for _, w := range weight {
		total += w
	}
	for _, n := range u.now {
		c := b.units[n].shown[0]
		c.Share = weight[n] / total
		u.answer = append(u.answer, c)
	}
	switch {
	case u.fate == fateUnmatched:
	case len(u.now) > 1 && !unsure:
		u.fate = fateSplit
	case unsure && (len(u.now) > 1 || !sure):
		u.fate = fateAmbiguous
	case partial && !sure:
		u.fate = fatePartial
	default:
		u.fate = fateWhole
	}
}

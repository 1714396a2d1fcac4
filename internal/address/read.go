package address

// hit is a known name found in the text.
type hit struct {
	start, end   int32 // tokens of the name alone
	left, right  int32 // with its type words
	name         int32
	kind         kind        // of the type words; 0 without
	full         bool        // the type is a whole word
	typo         int8        // letters that differ
	scope        provinceSet // of a misspelt name: where it was looked for
	places       provinceSet // provinces that it may name
	provinceRole bool
	districtRole bool
	communeRole  bool
}

// mark says in what a name differs from the list.
type mark uint8

const (
	markSame    mark = iota
	markPlain        // written without diacritics
	markDiffers      // with other diacritics
)

// reading is one way to understand the text: a unit, and the hits that say so.
type reading struct {
	unit                        int32
	commune, district, province int16 // hits; -1 without
	score                       int16
	typo                        int8
	gap, junk                   int8 // tokens between and beside the names that say nothing known
	reasons                     Reasons
}

// scratch is the working memory of one call.
type scratch struct {
	reader    reader
	low, high int32 // tokens without the country
	hits      []hit
	readings  []reading
	rivals    [4][]reading
	marked    bool // the text has diacritics at all
	provinces provinceSet
	places    []int16 // hits that may be a province
	districts []int16
	window    []byte
}

const maxHits, maxReadings = 96, 48

// scan fills the hits of the text.
func (ix *index) scan(s *scratch, text string) {
	s.reader.tokenise(text)
	s.hits, s.readings = s.hits[:0], s.readings[:0]
	tokens := s.reader.tokens
	s.marked = false
	for i := range tokens {
		if tokens[i].marked {
			s.marked = true
			break
		}
	}
	ix.trim(s)
	for i := s.low; i < s.high; i++ {
		node := int32(0)
		for j := i; j < s.high; j++ {
			if j > i && tokens[j].hard {
				break
			}
			word := tokens[j].word
			if word == 0 {
				break
			}
			next, known := ix.edges[uint64(node)<<32|uint64(word)]
			if !known {
				break
			}
			node = next
			if n := ix.nodes[node]; n >= 0 && len(s.hits) < maxHits {
				ix.note(s, hit{start: i, end: j + 1, name: n})
			}
		}
	}
}

// trim leaves out the country and a postal code at the end.
func (ix *index) trim(s *scratch) {
	tokens := s.reader.tokens
	s.low, s.high = 0, int32(len(tokens))
	for s.high > s.low {
		last := &tokens[s.high-1]
		switch {
		case ix.country[last.word]:
			s.high--
		case last.word == ix.nam && s.high-s.low >= 2 && tokens[s.high-2].word == ix.viet:
			s.high -= 2
		case last.number && last.end-last.start >= 5:
			s.high--
		default:
			if s.high-s.low > 2 && tokens[0].word == ix.viet && tokens[1].word == ix.nam && tokens[2].hard {
				s.low = 2
			}
			return
		}
	}
}

// note adds a hit with the roles that its type words allow.
func (ix *index) note(s *scratch, h hit) {
	n := &ix.names[h.name]
	h.left, h.right = h.start, h.end
	ix.typeBefore(s, &h)
	if h.kind == 0 {
		ix.typeAfter(s, &h)
	}
	if h.kind == 0 && (n.number || ix.hamletBefore(s, h.start)) {
		return
	}
	untyped := h.kind == 0
	h.places = n.provinces
	if !untyped && h.kind&kindProvince == 0 {
		h.places = n.cities // "Thành phố Vĩnh Long" is not the province of that name
	}
	h.provinceRole = !h.places.empty() && (untyped || h.kind&provinceKinds != 0)
	h.districtRole = len(n.districts) > 0 && (untyped || h.kind&districtKinds != 0)
	// A rural district without communes became a special zone: it stands among the communes.
	h.communeRole = len(n.communes) > 0 && (untyped || h.kind&(communeKinds|kindRural) != 0)
	if h.provinceRole || h.districtRole || h.communeRole {
		s.hits = append(s.hits, h)
	}
}

// hamletBefore says whether the name is that of a hamlet or a street: "ấp Tân Thạnh". Without
// diacritics such words are believed at the beginning of a part and after a number only.
func (ix *index) hamletBefore(s *scratch, at int32) bool {
	if at == s.low || s.reader.tokens[at].hard {
		return false
	}
	t := &s.reader.tokens[at-1]
	signature, known := ix.hamlet[t.word]
	return known && (t.marked && t.signature == signature || !t.marked && (t.hard || at-1 > s.low && s.reader.tokens[at-2].number))
}

// typeBefore reads the type words before a name.
func (ix *index) typeBefore(s *scratch, h *hit) {
	tokens := s.reader.tokens
	i := h.start - 1
	if i < s.low || tokens[h.start].hard {
		return
	}
	e := ix.typeOf(tokens[i].word)
	if !e.known || tokens[i].marked && tokens[i].signature != e.signature {
		return
	}
	if e.pair != 0 && i > s.low && !tokens[i].hard {
		p := &tokens[i-1]
		// "T.P" is one word taken apart; "thị xã" and "thành phố" are two.
		adjacent := e.full || e.english || tokens[i].start-p.end <= 1
		if p.word == e.before && (!p.marked || p.signature == e.first) && adjacent {
			h.kind, h.left, h.full = e.pair, i-1, e.full
			return
		}
	}
	if e.kind == 0 || e.digits && !tokens[h.start].number || e.english && !tokens[h.start].number && !tokens[i].hard {
		return
	}
	h.kind, h.left, h.full = e.kind, i, e.full || e.english
}

// typeAfter reads an English type word after a name.
func (ix *index) typeAfter(s *scratch, h *hit) {
	tokens := s.reader.tokens
	if h.end >= s.high || tokens[h.end].hard {
		return
	}
	if e := ix.typeOf(tokens[h.end].word); e.known && e.english && e.kind != 0 {
		h.kind, h.right, h.full = e.kind, h.end+1, true
	}
}

// read collects the readings of the hits.
func (ix *index) read(s *scratch) {
	s.readings = s.readings[:0]
	s.places, s.districts, s.provinces = s.places[:0], s.districts[:0], provinceSet{}
	for i := range s.hits {
		h := &s.hits[i]
		if h.provinceRole {
			s.places = append(s.places, int16(i))
			s.provinces = s.provinces.with(h.places)
		}
		if h.districtRole {
			s.districts = append(s.districts, int16(i))
		}
	}
	for i := range s.hits {
		h := &s.hits[i]
		if !h.communeRole {
			continue
		}
		n := &ix.names[h.name]
		for j := range n.communes {
			e := n.communes[j]
			u := &ix.units[e.target]
			if h.typo > 0 && !h.scope.meets(u.strict.with(u.loose)) || h.kind&kindRural != 0 && u.kind != kindRural || h.kind != 0 && u.kind == kindRural && h.kind&kindRural == 0 {
				continue
			}
			if !u.strict.with(u.loose).meets(s.provinces) && !s.anyDistrict(ix, u) && len(s.places)+len(s.districts) > 0 && !s.alone(h) {
				continue
			}
			ix.readUnit(s, int16(i), e)
		}
	}
}

// alone says whether every other place name lies inside the hit.
func (s *scratch) alone(h *hit) bool {
	for _, list := range [2][]int16{s.places, s.districts} {
		for _, i := range list {
			if o := &s.hits[i]; o.start < h.left || o.end > h.right {
				return false
			}
		}
	}
	return true
}

func (s *scratch) anyDistrict(ix *index, u *unit) bool {
	for _, i := range s.districts {
		if _, found := ix.districtOf(&s.hits[i], u); found {
			return true
		}
	}
	return false
}

// districtOf finds a district of the unit among those that the hit may mean, by
// preference of the type that stands there.
func (ix *index) districtOf(h *hit, u *unit) (entry, bool) {
	var best entry
	found := false
	for _, e := range ix.names[h.name].districts {
		if h.typo > 0 && !ix.reaches(h.scope, ix.districts[e.target].province) {
			continue
		}
		for _, d := range u.districts {
			if d != e.target {
				continue
			}
			if !found || h.kind&ix.districts[d].kind != 0 && h.kind&ix.districts[best.target].kind == 0 {
				best, found = e, true
			}
		}
	}
	return best, found
}

// readUnit adds the best reading of one unit at one place of the text.
func (ix *index) readUnit(s *scratch, commune int16, e entry) {
	u := &ix.units[e.target]
	both := u.strict.with(u.loose)
	best := reading{score: -1000}
	for p := -1; p < len(s.places); p++ {
		place := int16(-1)
		if p >= 0 {
			place = s.places[p]
			if h := &s.hits[place]; !h.places.meets(both) || overlap(h, &s.hits[commune]) {
				continue
			}
		}
		for q := -1; q < len(s.districts); q++ {
			dist := int16(-1)
			var at entry
			if q >= 0 {
				dist = s.districts[q]
				h := &s.hits[dist]
				if overlap(h, &s.hits[commune]) || place >= 0 && overlap(h, &s.hits[place]) {
					continue
				}
				found := false
				if at, found = ix.districtOf(h, u); !found {
					continue
				}
			}
			r := reading{unit: e.target, commune: commune, district: dist, province: place}
			ix.score(s, &r, e, at)
			if r.score > best.score {
				best = r
			}
		}
	}
	if best.score > -1000 {
		s.keep(best)
	}
}

func overlap(a, b *hit) bool { return a.left < b.right && b.left < a.right }

// keep holds one reading for each unit.
func (s *scratch) keep(r reading) {
	worst := 0
	for i := range s.readings {
		if s.readings[i].unit == r.unit {
			if r.score > s.readings[i].score {
				s.readings[i] = r
			}
			return
		}
		if s.readings[i].score < s.readings[worst].score {
			worst = i
		}
	}
	if len(s.readings) < maxReadings {
		s.readings = append(s.readings, r)
	} else if r.score > s.readings[worst].score {
		s.readings[worst] = r
	}
}

// contradicted looks for whole type words outside the names of the reading: the text
// says more about where the place is, and it is not understood or does not agree.
func (ix *index) contradicted(s *scratch, r *reading) bool {
	tokens := s.reader.tokens
	u := &ix.units[r.unit]
	for i := s.low; i < s.high; i++ {
		e := ix.typeOf(tokens[i].word)
		if !e.known || !e.full || tokens[i].marked && tokens[i].signature != e.signature {
			continue
		}
		start := i
		if e.kind == 0 || e.pair != 0 && i > s.low && tokens[i-1].word == e.before && (!tokens[i-1].marked || tokens[i-1].signature == e.first) {
			if i == s.low || tokens[i-1].word != e.before {
				continue
			}
			start = i - 1
		}
		if !tokens[start].hard && !tokens[start].soft && !tokens[i].marked {
			continue // without diacritics and in the middle of words it may be anything: "quan an"
		}
		if i+1 >= s.high || tokens[i+1].hard || ix.road[tokens[i+1].word] {
			continue
		}
		if !ix.within(s, r, u, start) {
			return true
		}
	}
	return false
}

// within says whether the token belongs to a name of the reading, or to one that agrees with it.
func (ix *index) within(s *scratch, r *reading, u *unit, at int32) bool {
	for _, i := range [3]int16{r.commune, r.district, r.province} {
		if i >= 0 && s.hits[i].left <= at && at < s.hits[i].right {
			return true
		}
	}
	for i := range s.hits {
		if h := &s.hits[i]; h.left <= at && at < h.right && ix.agrees(h, u) {
			return true
		}
	}
	return false
}

package address

import "math/bits"

// Typing errors are looked for only where exact names gave no answer. A window of the
// text is compared with the names of a known area, and taken for one of them only when
// no second name is near.

// window is a piece of the text that may be a misspelt name.
type window struct {
	hit
	text    []byte
	letters letters
}

// letters is the set of letters of a name. Each wrong letter changes it by two at most, which
// rules out nearly all names without comparing them.
type letters uint32

func lettersOf[T string | []byte](name T) letters {
	var set letters
	for i := range len(name) {
		set |= 1 << (name[i] & 31)
	}
	return set
}

func (a letters) near(b letters, limit int) bool { return bits.OnesCount32(uint32(a^b)) <= 2*limit }

const (
	maxWindow = 5 // words
	// A second name must be this much further away than the first.
	clearance = 2
)

// allowed is how many letters of a name of this length may be wrong.
func allowed(length int) int {
	switch {
	case length < 5:
		return 0
	case length < 10:
		return 1
	}
	return 2
}

// addTypos adds hits for misspelt names. It says whether there are any.
func (ix *index) addTypos(s *scratch) bool {
	exact := len(s.hits)
	tokens := s.reader.tokens
	for i := s.low; i < s.high && len(s.hits) < maxHits; i++ {
		w := window{hit: hit{start: i, left: i}}
		ix.typeBefore(s, &w.hit)
		if ix.typeOf(tokens[i].word).known {
			continue // a type word begins no name here
		}
		if w.kind == 0 && i > s.low && !tokens[i].hard && !tokens[i].soft {
			continue
		}
		s.window = s.window[:0]
		added, unclear := len(s.hits), false
		for j := i; j < s.high && j < i+maxWindow; j++ {
			t := &tokens[j]
			if t.number || j > i && t.hard {
				break
			}
			s.window = append(s.window, s.reader.plain[t.from:t.to]...)
			if !ix.endsHere(s, exact, j+1) {
				continue
			}
			w.end, w.right, w.text, w.letters = j+1, j+1, s.window, lettersOf(s.window)
			unclear = ix.misspelt(s, &w, exact) || unclear
		}
		// When a longer or shorter piece has two names near, this one is no better.
		for k := added; unclear && k < len(s.hits); k++ {
			s.hits[k].communeRole = false
		}
	}
	return len(s.hits) > exact
}

// endsHere says whether a name may end before the token: at a comma, a type word, or where
// a known province or district begins.
func (ix *index) endsHere(s *scratch, exact int, at int32) bool {
	if at == s.high || s.reader.tokens[at].hard || s.reader.tokens[at].soft || ix.typeOf(s.reader.tokens[at].word).known {
		return true
	}
	for i := range s.hits[:exact] {
		if h := &s.hits[i]; h.left == at && (h.provinceRole || h.districtRole) {
			return true
		}
	}
	return false
}

// nearest keeps the two nearest names.
type nearest struct {
	name          int32
	first, second int
	squeezed      string
}

func (n *nearest) offer(w *window, name int32, squeezed string, set letters) {
	// Beyond the limit a name is neither taken nor near one that is.
	limit := allowed(max(len(squeezed), len(w.text))) + clearance - 1
	if squeezed == n.squeezed || !set.near(w.letters, limit) {
		return
	}
	d := distance(w.text, squeezed, limit)
	switch {
	case d < n.first:
		n.name, n.first, n.second, n.squeezed = name, d, n.first, squeezed
	case d < n.second:
		n.second = d
	}
}

func (n *nearest) clear() bool {
	return n.first <= allowed(len(n.squeezed)) && n.second >= n.first+clearance
}

const far = 1 << 20

// misspelt compares one window with provinces, with the districts of the provinces that
// the text names, and with the communes of the districts or provinces that it names. It reports
// whether two communes are near.
func (ix *index) misspelt(s *scratch, w *window, exact int) (unclear bool) {
	if len(w.text) < 4 || len(w.text) > 60 {
		return false
	}
	if (w.kind == 0 || w.kind&provinceKinds != 0) && (w.end == s.high || w.start == s.low) && s.provinces.empty() {
		ix.misspeltProvince(s, w)
	}
	if s.provinces.empty() && len(s.districts) == 0 {
		return false
	}
	if w.kind == 0 || w.kind&districtKinds != 0 {
		n := nearest{first: far, second: far, name: -1}
		for p := range ix.provinces {
			if s.provinces.has(int32(p)) {
				for _, d := range ix.provinces[p].districts {
					n.offer(w, ix.districts[d].name, ix.districts[d].squeezed, ix.districts[d].letters)
				}
			}
		}
		if n.clear() {
			s.addTypo(w, &n, s.provinces).districtRole = true
		}
	}
	if w.kind == 0 || w.kind&communeKinds != 0 {
		n := nearest{first: far, second: far, name: -1}
		scope, found := ix.districtScope(s, w, &n, exact)
		if !found {
			scope = s.provinces
			for p := range ix.provinces {
				if scope.has(int32(p)) {
					for _, c := range ix.provinces[p].communes {
						n.offer(w, ix.units[c].name, ix.units[c].squeezed, ix.units[c].letters)
					}
				}
			}
		}
		if n.clear() {
			s.addTypo(w, &n, scope).communeRole = true
		}
		return !n.clear() && n.first <= allowed(len(n.squeezed))
	}
	return false
}

// misspeltProvince adds every province whose name is near. It only confirms what commune and district
// say already, so it need not be the only one; but then all of them count as equally far.
func (ix *index) misspeltProvince(s *scratch, w *window) {
	added := len(s.hits)
	for i := range ix.provinces {
		p := &ix.provinces[i]
		d := distance(w.text, p.squeezed, allowed(len(p.squeezed)))
		if d > allowed(len(p.squeezed)) || len(s.hits) >= maxHits {
			continue
		}
		h := s.addTypo(w, &nearest{name: p.name32, first: d}, everywhere())
		h.provinceRole, h.places = true, ix.names[p.name32].provinces
	}
	if len(s.hits) > added+1 {
		for i := added; i < len(s.hits); i++ {
			s.hits[i].typo = 2
		}
	}
}

func everywhere() provinceSet { return provinceSet{^uint64(0), ^uint64(0)} }

// districtScope offers the communes of the districts that the text names in its provinces.
func (ix *index) districtScope(s *scratch, w *window, n *nearest, exact int) (provinceSet, bool) {
	var scope provinceSet
	found := false
	for i := range s.hits[:exact] {
		h := &s.hits[i]
		if !h.districtRole || overlap(h, &w.hit) {
			continue
		}
		for _, e := range ix.names[h.name].districts {
			d := &ix.districts[e.target]
			if !s.provinces.empty() && !ix.reaches(s.provinces, d.province) {
				continue
			}
			found = true
			scope = scope.with(alone(d.province))
			for _, c := range d.communes {
				n.offer(w, ix.units[c].name, ix.units[c].squeezed, ix.units[c].letters)
			}
		}
	}
	return scope, found
}

// reaches says whether a province of before, or the one that it is part of today, is in the set.
func (ix *index) reaches(set provinceSet, old int32) bool {
	if set.has(old) {
		return true
	}
	for p := range ix.provinces {
		if set.has(int32(p)) && ix.provinces[p].today {
			for _, code := range ix.provinces[p].merged {
				if code == ix.provinces[old].code {
					return true
				}
			}
		}
	}
	return false
}

func (s *scratch) addTypo(w *window, n *nearest, scope provinceSet) *hit {
	h := w.hit
	h.name, h.typo, h.scope = n.name, int8(max(n.first, 1)), scope
	s.hits = append(s.hits, h)
	return &s.hits[len(s.hits)-1]
}

// distance counts inserted, lost, changed and swapped letters, and gives up beyond the limit.
func distance(a []byte, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return far
	}
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a) == 0 || len(b) == 0 {
		return len(a) + len(b)
	}
	if len(a) > 60 || len(b) > 60 {
		return far
	}
	var rows [3][64]uint8
	older, old, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		old[j] = uint8(j)
	}
	for i := 1; i <= len(a); i++ {
		row[0] = uint8(i)
		least := row[0]
		for j := 1; j <= len(b); j++ {
			cost := uint8(1)
			if a[i-1] == b[j-1] {
				cost = 0
			}
			v := min(old[j-1]+cost, old[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				v = min(v, older[j-2]+1)
			}
			row[j] = v
			least = min(least, v)
		}
		if int(least) > limit {
			return far
		}
		older, old, row = old, row, older
	}
	if d := int(old[len(b)]); d <= limit {
		return d
	}
	return far
}

package address

// compare says how the words of a hit differ from a spelling of the list.
func (ix *index) compare(s *scratch, h *hit, e entry) mark {
	result := markSame
	for i := h.start; i < h.end; i++ {
		t := &s.reader.tokens[i]
		switch {
		case t.signature == ix.signatures[e.at+i-h.start]:
		case !t.marked:
			result = max(result, markPlain)
		default:
			return markDiffers
		}
	}
	return result
}

// compareAny is the best comparison with any spelling of the target.
func (ix *index) compareAny(s *scratch, h *hit, list []entry, target int32) mark {
	result := markDiffers
	for _, e := range list {
		if e.target == target {
			result = min(result, ix.compare(s, h, e))
		}
	}
	return result
}

// score weighs a reading. Score only orders readings; confidence is computed from the reasons.
func (ix *index) score(s *scratch, r *reading, communeEntry, districtEntry entry) {
	u := &ix.units[r.unit]
	c := &s.hits[r.commune]
	score := int16(2 * (c.end - c.start))
	marks := markSame
	if c.typo > 0 {
		r.typo += c.typo
	} else {
		m := ix.compare(s, c, communeEntry)
		marks = max(marks, m)
		switch {
		case m == markSame || m == markPlain && !s.markedNames(r):
			score += 6
		case m == markPlain:
			score -= 4 // the rest has diacritics, so this word is meant to have none
		case m == markDiffers:
			score -= 6
		}
	}
	switch {
	case c.kind == 0:
		r.reasons |= ReasonNoType
		if !ix.beginsPart(s, c.start) {
			r.reasons |= ReasonBoundary
			score -= 4
			if ix.typedBefore(s, c.start) {
				r.reasons |= ReasonConflict
			}
		}
		if ix.namesDistrict(c, u) && r.district < 0 {
			r.reasons |= ReasonDistrictName
		}
	case u.kind == 0 || c.kind&u.kind != 0:
		score += 10
	default:
		r.reasons |= ReasonTypeDiffers
		score -= 8
	}
	if r.district >= 0 {
		h := &s.hits[r.district]
		switch {
		case u.today:
			score += 30
			r.reasons |= ReasonMixed
		case h.kind != 0 && h.kind&ix.districts[districtEntry.target].kind == 0:
			score += 30
			r.reasons |= ReasonTypeDiffers
		case h.kind != 0:
			score += 44
		default:
			score += 40
		}
		if h.typo > 0 {
			r.typo += h.typo
		} else {
			m := ix.compareAny(s, h, ix.names[h.name].districts, districtEntry.target)
			marks = max(marks, m)
			if m == markDiffers {
				score -= 4
			}
		}
	} else if !u.today {
		r.reasons |= ReasonNoDistrict
	}
	if r.province >= 0 {
		h := &s.hits[r.province]
		n := &ix.names[h.name]
		if h.places.meets(u.strict) {
			score += 40
		} else {
			score += 32
			r.reasons |= ReasonMixed
		}
		if h.kind != 0 {
			score += 2
		}
		if h.typo > 0 {
			r.typo += h.typo
		} else {
			m := markDiffers
			for _, e := range n.spelling {
				m = min(m, ix.compare(s, h, e))
			}
			marks = max(marks, m)
		}
	} else {
		r.reasons |= ReasonNoProvince
	}
	switch marks {
	case markPlain:
		r.reasons |= ReasonPlain
	case markDiffers:
		r.reasons |= ReasonMarksDiffer
	case markSame:
	}
	if r.typo > 0 {
		r.reasons |= ReasonTypo
		score -= 12 * int16(r.typo)
	}
	ix.layout(s, r, &score)
	r.score = score
}

// beginsPart says whether a name without a type stands where a commune would: at the beginning
// of a part of the text, and not after a house number. "12, Trần Hưng Đạo, Hoàn Kiếm" is a street
// of the district, though a ward there had the same name; after "Tổ 5," it is the ward.
func (ix *index) beginsPart(s *scratch, at int32) bool {
	if at == s.low {
		return true
	}
	tokens := s.reader.tokens
	if !tokens[at].hard && !tokens[at].soft {
		return false
	}
	i := at - 1
	if i > s.low && !tokens[i].number && tokens[i].to-tokens[i].from == 1 {
		i-- // "12A"
	}
	return !tokens[i].number || i > s.low && ix.numbered[tokens[i-1].word]
}

// markedNames says whether the names of the reading are written with diacritics.
func (s *scratch) markedNames(r *reading) bool {
	for _, i := range [3]int16{r.commune, r.district, r.province} {
		if i < 0 {
			continue
		}
		for t := s.hits[i].left; t < s.hits[i].right; t++ {
			if s.reader.tokens[t].marked {
				return true
			}
		}
	}
	return false
}

// typedBefore says whether a type word that belongs to no known name stands before in the
// same part of the text: then a name began there that is not known, and "Krông" of
// "X. Đắk Krông" is not it.
func (ix *index) typedBefore(s *scratch, at int32) bool {
	for i := at; i > s.low && !s.reader.tokens[i].hard; {
		i--
		if e := ix.typeOf(s.reader.tokens[i].word); e.known && !e.english && (e.kind != 0 || e.pair != 0) && !s.explained(i, at) {
			return true
		}
	}
	return false
}

// explained says whether the token is part of a hit that ends before another one begins.
func (s *scratch) explained(token, before int32) bool {
	for i := range s.hits {
		if h := &s.hits[i]; h.left <= token && token < h.right && h.right <= before {
			return true
		}
	}
	return false
}

// namesDistrict says whether the name alone may be a district where the unit is.
func (ix *index) namesDistrict(h *hit, u *unit) bool {
	both := u.strict.with(u.loose)
	for _, e := range ix.names[h.name].districts {
		if both.has(ix.districts[e.target].province) {
			return true
		}
	}
	return false
}

// layout looks at the order of the names and at what stands between them.
func (ix *index) layout(s *scratch, r *reading, score *int16) {
	c := &s.hits[r.commune]
	first, last := c.left, c.right
	covered := c.right - c.left
	previous := c.left
	forward := true
	for _, i := range [2]int16{r.district, r.province} {
		if i < 0 {
			continue
		}
		h := &s.hits[i]
		covered += h.right - h.left
		first, last = min(first, h.left), max(last, h.right)
		forward = forward && h.left > previous
		previous = h.left
	}
	gap := last - first - covered
	if gap > 0 {
		gap -= ix.covered(s, r, first, last)
	}
	r.gap = int8(min(gap, 100))
	if gap > 0 {
		r.reasons |= ReasonGap
		*score -= int16(10 * min(gap, 4))
	}
	// The house stands before the commune, or after it when the order is turned round.
	junkFrom, junkTo := last, s.high
	if !forward {
		r.reasons |= ReasonOrder
		*score -= 2
		if first == s.low {
			junkFrom, junkTo = s.low, first
			// What follows without a comma may belong to the name.
			if t := s.reader.tokens; last < s.high && !t[last].hard && !t[last].soft && !ix.locality[t[last].word] {
				r.reasons |= ReasonBoundary | ReasonConflict
				*score -= 10
			}
		}
	}
	junk := int32(0)
	for i := junkFrom; i < junkTo; i++ {
		if !s.reader.tokens[i].number {
			junk++
		}
	}
	if junk > 0 {
		junk -= ix.covered(s, r, junkFrom, junkTo)
	}
	r.junk = int8(min(junk, 100))
	if junk > 0 {
		r.reasons |= ReasonJunk
		*score -= int16(6 * min(junk, 5))
	}
}

// covered counts tokens in a range that only repeat what the reading says: the
// province twice, "(cũ)".
func (ix *index) covered(s *scratch, r *reading, from, to int32) int32 {
	u := &ix.units[r.unit]
	count, reach := int32(0), from
	for i := range s.hits {
		h := &s.hits[i]
		if h.left < from || h.right > to || h.left < reach || int16(i) == r.commune || int16(i) == r.district || int16(i) == r.province || overlapsReading(s, r, h) {
			continue
		}
		if ix.agrees(h, u) {
			count += h.right - h.left
			reach = h.right
		}
	}
	for i := from; i < to; i++ {
		if t := &s.reader.tokens[i]; t.word == ix.former && (t.marked || !s.marked) {
			count++
		}
	}
	return count
}

func overlapsReading(s *scratch, r *reading, h *hit) bool {
	for _, i := range [3]int16{r.commune, r.district, r.province} {
		if i >= 0 && overlap(&s.hits[i], h) {
			return true
		}
	}
	return false
}

// agrees says whether a hit names something where the unit is.
func (ix *index) agrees(h *hit, u *unit) bool {
	if h.typo > 0 {
		return false
	}
	if h.provinceRole && h.places.meets(u.strict.with(u.loose)) {
		return true
	}
	if h.districtRole {
		if _, found := ix.districtOf(h, u); found {
			return true
		}
	}
	return false
}

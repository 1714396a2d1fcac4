package address

// verdict is the outcome of weighing all readings.
type verdict struct {
	readings   []reading // those that fit about equally well, the best first
	now        int32     // the unit of today, when doubt is empty
	doubt      Doubt
	confidence float64
	reasons    Reasons
}

// margin is the difference in score within which two readings are rivals.
const margin = 8

// clearly is the difference in score from which one period's reading needs no look at
// the other's.
const clearly = 20

// side weighs the readings of one period. The rivals are kept in a bank of the scratch memory.
func (s *Standardiser) side(w *scratch, today bool, bank int) verdict {
	v := verdict{now: -1, doubt: DoubtNotFound, readings: w.rivals[bank][:0]}
	best := int16(-1000)
	for i := range w.readings {
		if r := &w.readings[i]; s.index.units[r.unit].today == today && s.admissible(w, r) {
			best = max(best, r.score)
		}
	}
	if best == -1000 {
		return v
	}
	for i := range w.readings {
		if r := w.readings[i]; s.index.units[r.unit].today == today && r.score > best-margin && s.admissible(w, &r) {
			v.readings = append(v.readings, r)
			if last := len(v.readings) - 1; r.score > v.readings[0].score {
				v.readings[0], v.readings[last] = v.readings[last], v.readings[0]
			}
		}
	}
	w.rivals[bank] = v.readings
	first := &v.readings[0]
	v.reasons = first.reasons
	v.confidence = s.confidence(w, first)
	if v.confidence < s.threshold && s.index.contradictedReason(w, first) {
		v.reasons |= ReasonConflict
	}
	v.doubt, v.now = s.fate(v.readings)
	if len(v.readings) > 1 {
		v.reasons |= ReasonSeveral
	}
	if v.doubt == "" && v.confidence < s.threshold {
		v.doubt = DoubtUnclear
	}
	return v
}

// admissible holds readings with typing errors to what is certain around them.
func (s *Standardiser) admissible(w *scratch, r *reading) bool {
	if r.typo == 0 {
		return true
	}
	erring := 0
	for _, i := range [3]int16{r.commune, r.district, r.province} {
		if i >= 0 && w.hits[i].typo > 0 {
			erring++
		}
	}
	switch {
	case erring > 1:
		return false
	case w.hits[r.commune].typo > 0:
		return r.district >= 0 || r.province >= 0
	case r.district >= 0 && w.hits[r.district].typo > 0:
		return r.province >= 0
	}
	return r.district >= 0 // a misspelt province is believed when the district is right
}

// fate says whether all rivals lead to one unit of today.
func (s *Standardiser) fate(rivals []reading) (Doubt, int32) {
	now := int32(-1)
	for i := range rivals {
		u := &s.index.units[rivals[i].unit]
		if u.fate != fateToday && u.fate != fateWhole {
			if len(rivals) > 1 {
				return DoubtSeveral, -1
			}
			return doubtOf(u.fate), -1
		}
		if i > 0 && u.now[0] != now {
			return DoubtSeveral, -1
		}
		now = u.now[0]
	}
	return "", now
}

func doubtOf(f fate) Doubt {
	switch f {
	case fateSplit:
		return DoubtSplit
	case fatePartial:
		return DoubtPartial
	case fateAmbiguous:
		return DoubtAmbiguous
	case fateUnmatched:
		return DoubtUnmatched
	case fateToday, fateWhole:
	}
	return ""
}

// confidence falls with everything that is missing, different or not understood.
func (s *Standardiser) confidence(w *scratch, r *reading) float64 {
	u := &s.index.units[r.unit]
	c := 1.0
	cost := func(reason Reasons, by float64) {
		if r.reasons&reason != 0 {
			c -= by
		}
	}
	cost(ReasonNoType, 0.02)
	cost(ReasonPlain, 0.02)
	cost(ReasonOrder, 0.02)
	cost(ReasonNoDistrict, 0.05)
	cost(ReasonMixed, 0.08)
	cost(ReasonNoProvince, 0.10)
	cost(ReasonTypeDiffers, 0.10)
	cost(ReasonMarksDiffer, 0.10)
	cost(ReasonJunk, 0.20)
	cost(ReasonGap, 0.30)
	cost(ReasonBoundary, 0.30)
	cost(ReasonDistrictName, 0.30)
	c -= 0.07 * float64(r.typo)
	if r.district < 0 {
		// Without its district a name must be right: another place of the province may
		// have had nearly the same.
		cost(ReasonMarksDiffer, 0.16)
		if !u.today {
			cost(ReasonTypeDiffers, 0.10)
		}
		if r.province < 0 {
			c = min(c, 0.45)
		}
	}
	if r.reasons&ReasonConflict != 0 || s.index.contradicted(w, r) {
		c -= 0.30
	}
	return max(c, 0.05)
}

// contradictedReason says whether a low confidence comes from a contradiction.
func (ix *index) contradictedReason(w *scratch, r *reading) bool {
	return r.reasons&ReasonGap != 0 || ix.contradicted(w, r)
}

// inexact are the reasons for which a reading of today's names yields to a better one of
// the names of before, although the text is dated since the reform.
const inexact = ReasonMixed | ReasonMarksDiffer | ReasonTypeDiffers | ReasonBoundary | ReasonJunk | ReasonTypo

// decide weighs the two periods against each other.
func (s *Standardiser) decide(w *scratch, period Period, bank int) verdict {
	old, now := s.side(w, false, bank), s.side(w, true, bank+1)
	oldGood, nowGood := old.good(s.threshold), now.good(s.threshold)
	district := oldGood && old.readings[0].district >= 0
	switch period {
	case Before:
		switch {
		case oldGood && nowGood && now.readings[0].score >= old.readings[0].score+clearly:
			return both(&old, &now, DoubtPeriod, ReasonNewNames)
		case oldGood && !district && old.reasons&ReasonMixed != 0:
			// Then the commune lay in another province than the text says.
			return old.doubtful(DoubtPeriod, ReasonNewNames)
		case len(old.readings) > 0:
			return old
		case len(now.readings) > 0:
			return now.doubtful(DoubtPeriod, ReasonNewNames)
		}
	case Since:
		switch {
		case nowGood && oldGood && (district || now.reasons&inexact&^old.reasons != 0):
			if now.doubt == "" && old.doubt == "" && now.now == old.now {
				now.reasons |= ReasonBothPeriods
				return now
			}
			if district && old.outweighs(&now) {
				return s.oldNames(old)
			}
			return both(&old, &now, DoubtSeveral, ReasonSeveral)
		case nowGood:
			return now
		case oldGood:
			return s.oldNames(old)
		}
	case Undated:
		old.reasons |= ReasonUndated
		now.reasons |= ReasonUndated
		switch {
		case nowGood && oldGood:
			if now.doubt == "" && old.doubt == "" && now.now == old.now {
				if old.readings[0].score > now.readings[0].score {
					now = old
				}
				now.reasons |= ReasonBothPeriods
				return now
			}
			if district && old.outweighs(&now) {
				return old
			}
			return both(&old, &now, DoubtSeveral, ReasonSeveral)
		case nowGood && now.reasons&ReasonMixed != 0:
			// A unit of today in a district or province of before: it may as well be one
			// that was gone before the list of before begins.
			return now.doubtful(DoubtPeriod, 0)
		case nowGood:
			return now
		case oldGood:
			return old
		}
	}
	switch {
	case len(now.readings) == 0:
		return old
	case len(old.readings) == 0 || now.readings[0].score > old.readings[0].score:
		return now
	}
	return old
}

// good says whether the text itself is understood, whatever became of the unit.
func (v *verdict) good(threshold float64) bool {
	return len(v.readings) > 0 && v.confidence >= threshold
}

// doubtful turns a verdict into a question.
func (v *verdict) doubtful(doubt Doubt, reason Reasons) verdict {
	other := *v
	other.doubt, other.now = doubt, -1
	other.reasons |= reason
	return other
}

// outweighs says whether the other period's reading need not be looked at.
func (v *verdict) outweighs(other *verdict) bool {
	a, b := &v.readings[0], &other.readings[0]
	return a.score >= b.score+clearly && a.typo <= b.typo
}

func (s *Standardiser) oldNames(v verdict) verdict {
	v.reasons |= ReasonOldNames
	v.confidence = max(v.confidence-0.03, s.threshold)
	return v
}

// both leaves it to a person which period the text belongs to.
func both(old, now *verdict, doubt Doubt, reason Reasons) verdict {
	return verdict{
		readings: append(append([]reading(nil), old.readings...), now.readings...), now: -1, doubt: doubt,
		confidence: min(old.confidence, now.confidence) / 2, reasons: old.reasons | now.reasons | reason,
	}
}

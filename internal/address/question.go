package address

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Doubt says why only a person can answer.
type Doubt string

// The doubts.
const (
	DoubtSplit      Doubt = "split"      // the unit was split: street or hamlet decides
	DoubtPartial    Doubt = "partial"    // the links know where a part of the unit went
	DoubtAmbiguous  Doubt = "ambiguous"  // the link may mean another unit of the same name
	DoubtUnmatched  Doubt = "unmatched"  // the unit is named by a link, its code is not known
	DoubtSeveral    Doubt = "several"    // the text fits several units
	DoubtPeriod     Doubt = "period"     // text and date do not belong to the same period
	DoubtUnclear    Doubt = "unclear"    // a unit fits, but not well enough
	DoubtNotFound   Doubt = "not_found"  // no unit fits
	DoubtUnreadable Doubt = "unreadable" // nothing administrative in it: no ruling can help
)

// Question is what a person is asked. All addresses with the same doubt have the same Key.
type Question struct {
	Key      string      `json:"key"`
	Doubt    Doubt       `json:"doubt"`
	Period   Period      `json:"period"`
	Text     string      `json:"text"`               // the administrative part; what was left out is "…"
	Locality string      `json:"locality,omitempty"` // street or hamlet, only where it decides
	Then     []Candidate `json:"then,omitempty"`
	Now      []Candidate `json:"now,omitempty"` // what may be the answer, the likeliest first
}

// masked stands for words that a question leaves out.
const masked = "…"

// question writes the question of a verdict. The one about a known unit is about that unit, however the
// text was spelt; the others are about the text.
func (ix *index) question(w *scratch, v *verdict, period Period, result *Standardised) *Question {
	q := &Question{Doubt: v.doubt, Period: period, Then: result.Then, Now: result.Now}
	if len(v.readings) == 1 && v.doubt != DoubtUnclear && v.doubt != DoubtPeriod {
		return ix.unitQuestion(w, v, q, result.Original)
	}
	keep := make([]bool, len(w.reader.tokens))
	if len(v.readings) > 0 {
		for i := range v.readings {
			r := &v.readings[i]
			for _, h := range [3]int16{r.commune, r.district, r.province} {
				if h >= 0 {
					keepRange(keep, w.hits[h].left, w.hits[h].right)
				}
			}
		}
	} else {
		ix.keepPlaces(w, keep)
	}
	ix.keepTyped(w, keep)
	if !slices.Contains(keep, true) {
		q.Doubt = DoubtUnreadable
		result.Reasons |= ReasonUnreadable
	}
	var folded string
	q.Text, folded = ix.quote(w, result.Original, keep)
	q.Key = digest(string(period), folded)
	return q
}

func keepRange(keep []bool, from, to int32) {
	for i := from; i < to; i++ {
		keep[i] = true
	}
}

// unitQuestion asks about one unit of before. Where it was split, the street or hamlet is
// part of the question; elsewhere one answer is good for the whole unit.
func (ix *index) unitQuestion(w *scratch, v *verdict, q *Question, original string) *Question {
	u := &ix.units[v.readings[0].unit]
	var folded string
	if v.doubt == DoubtSplit || v.doubt == DoubtPartial {
		from, to := w.detailTokens(&v.readings[0])
		keep := make([]bool, len(w.reader.tokens))
		ix.keepLocality(w, keep, from, to)
		q.Locality, folded = ix.quote(w, original, keep)
		q.Locality = strings.Trim(q.Locality, masked+" ,")
	}
	q.Text = u.describe()
	q.Key = digest("unit", u.key(), folded)
	return q
}

// describe writes the unit in full. The province of one whose code is not known is that of today.
func (u *unit) describe() string {
	c := &u.shown[0]
	text := c.Name
	if c.District != "" {
		text += ", " + c.District
	}
	province := c.ProvinceName
	if province == "" {
		province = u.answer[0].ProvinceName
	}
	return text + ", " + province
}

// key names a unit in the keys of questions.
func (u *unit) key() string {
	c := &u.shown[0]
	if c.Code != "" {
		return c.Code
	}
	return norm.NFC.String(c.Name) + "|" + u.answer[0].Province
}

func (ix *index) codeQuestion(code string, v *verdict, period Period, result *Standardised) *Question {
	q := &Question{Doubt: v.doubt, Period: period, Then: result.Then, Now: result.Now}
	switch {
	case v.doubt == DoubtUnreadable: // what is no code may be anything, a person's number too
		q.Key = digest("code", string(period), "")
	case len(v.readings) == 1 && v.doubt != DoubtPeriod:
		u := &ix.units[v.readings[0].unit]
		q.Text, q.Key = u.describe(), digest("unit", u.key(), "")
	default:
		q.Text, q.Key = code, digest("code", string(period), code)
	}
	return q
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x1f")))
	return hex.EncodeToString(sum[:12])
}

// keepPlaces keeps the provinces and districts of a text without a commune, and the words
// just before them, which are probably the commune.
func (ix *index) keepPlaces(w *scratch, keep []bool) {
	first := w.high
	for i := range w.hits {
		h := &w.hits[i]
		if h.typo > 0 || !h.provinceRole && !h.districtRole {
			continue
		}
		t := &w.reader.tokens[h.left]
		if h.kind == 0 && !t.hard && !t.soft && h.right != w.high {
			continue // inside of something else: "đường Hà Nội"
		}
		keepRange(keep, h.left, h.right)
		first = min(first, h.left)
	}
	if first == w.high || first == w.low || !w.reader.tokens[first].hard {
		return
	}
	from := first
	for from > w.low && first-from < 4 {
		t := &w.reader.tokens[from-1]
		if t.number || ix.locality[t.word] || ix.isPerson(t, w.marked) {
			return
		}
		from--
		if t.hard || from == w.low {
			keepRange(keep, from, first)
			return
		}
	}
}

// keepTyped keeps what is called a commune, district or province and is not understood.
func (ix *index) keepTyped(w *scratch, keep []bool) {
	tokens := w.reader.tokens
	for i := w.low; i < w.high; i++ {
		e := ix.typeOf(tokens[i].word)
		if keep[i] || !e.known || !e.full || tokens[i].marked && tokens[i].signature != e.signature {
			continue
		}
		from := i
		if e.pair != 0 && i > w.low && tokens[i-1].word == e.before {
			from = i - 1
		} else if e.kind == 0 {
			continue
		}
		to := i + 1
		if to < w.high && (tokens[to].hard || ix.road[tokens[to].word]) {
			continue
		}
		for to < w.high && to <= i+4 && !tokens[to].hard && !tokens[to].soft && !keep[to] && !ix.isPerson(&tokens[to], true) && !ix.typeOf(tokens[to].word).full {
			if tokens[to].number && (to > i+1 || tokens[to].end-tokens[to].start > 2) {
				break
			}
			to++
		}
		keepRange(keep, from, to)
	}
}

// keepLocality keeps the name of a street or hamlet. House numbers, and what belongs to a
// person, are left out.
func (ix *index) keepLocality(w *scratch, keep []bool, from, to int32) {
	tokens := w.reader.tokens
	for from < to {
		end := from + 1
		for end < to && !tokens[end].hard {
			end++
		}
		begin, personal := int32(-1), false
		for i := from; i < end; i++ {
			personal = personal || ix.isPerson(&tokens[i], w.marked)
			if begin < 0 && ix.locality[tokens[i].word] {
				begin = i
			}
		}
		if begin < 0 && tokens[from].number && !personal {
			begin = from // "12 Hàng Bông"
		}
		for i := begin; begin >= 0 && i < end && !personal; i++ {
			switch t := &tokens[i]; {
			case t.number:
				keep[i] = i > from && ix.numbered[tokens[i-1].word] && t.end-t.start <= 3
			case t.to-t.from > 1:
				keep[i] = true
			}
		}
		from = end
	}
}

// isPerson says whether a word announces a person: "nhà ông …". In a text with diacritics
// they must be right, for "Bà" is such a word and "Ba" is not.
func (ix *index) isPerson(t *token, exact bool) bool {
	signature, known := ix.person[t.word]
	return known && (!exact || signature == t.signature)
}

// quote writes the kept words as they stand in the original, and folded as a key.
func (ix *index) quote(w *scratch, original string, keep []bool) (text, folded string) {
	var t, f strings.Builder
	tokens := w.reader.tokens
	skipped := false
	for i := range keep {
		if !keep[i] {
			skipped = skipped || int32(i) >= w.low && int32(i) < w.high
			continue
		}
		switch {
		case skipped && t.Len() > 0:
			t.WriteString(" " + masked + " ")
		case skipped:
			t.WriteString(masked + " ")
		case t.Len() > 0 && tokens[i].hard:
			t.WriteString(", ")
		case t.Len() > 0:
			t.WriteString(" ")
		}
		skipped = false
		t.WriteString(norm.NFC.String(original[tokens[i].start:tokens[i].end]))
		ix.foldType(&f, w, int32(i))
	}
	return t.String(), f.String()
}

// foldType writes one folded word, and a type as its kind, so that "P. 5" and "Phường 5" are
// one question.
func (ix *index) foldType(f *strings.Builder, w *scratch, i int32) {
	t := &w.reader.tokens[i]
	if k, position := ix.typeAt(w, i); k != 0 {
		if position > 0 {
			return // the second word of "thị trấn"
		}
		f.WriteString(" #")
		f.WriteString(strconv.Itoa(int(k)))
		return
	}
	f.WriteByte(' ')
	f.Write(w.reader.plain[t.from:t.to])
}

// typeAt returns the kind that a type word stands for and which of its words this one is. A word
// that begins a part of the text and is followed by another one is a type even if no known
// name follows.
func (ix *index) typeAt(w *scratch, i int32) (k kind, position int32) {
	for h := range w.hits {
		if hit := &w.hits[h]; hit.kind != 0 && hit.left <= i && i < hit.start {
			return hit.kind, i - hit.left
		}
	}
	tokens := w.reader.tokens
	e := ix.typeOf(tokens[i].word)
	if e.known && e.kind != 0 && (tokens[i].hard || tokens[i].soft) && i+1 < int32(len(tokens)) && !tokens[i+1].hard {
		return e.kind, 0
	}
	return 0, 0
}

// rule answers a question by what a person ruled, or puts it into the result. A ruling for
// a unit that is no unit of today any more is not followed.
func (s *Standardiser) rule(q *Question, result *Standardised) {
	if byKey := s.rulings.Load(); byKey != nil {
		if r, found := (*byKey)[q.Key]; found {
			if r.NotResolvable {
				result.Method, result.Now = ByRuling, nil
				result.Reasons |= ReasonRuling
				return
			}
			if id, known := s.index.today[r.Unit]; known {
				result.Method, result.Confidence, result.Now = ByRuling, 1, s.index.units[id].answer
				result.Reasons |= ReasonRuling
				return
			}
		}
	}
	result.Question = q
}

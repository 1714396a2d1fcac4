package linkage

import (
	"bytes"
	"math"
)

// relation says how two names relate, the closest first.
type relation uint8

const (
	namesMissing  relation = iota
	namesSame              // to the mark
	namesUnmarked          // one of them was written without any marks
	namesMarks             // some marks are missing or other ones
	namesOrder             // the same words in another order
	namesWord              // one of them lacks a word
	namesSlip              // one word is misspelt, or words are written as one
	namesRival             // one word differs by a letter or a mark, and both words are names of their own
	namesMiddle            // first and last word are the same
	namesLast              // only the last word is the same
	namesFirst             // the first word is the same, the last another
	namesOther             // another name
	nameLevels    = namesOther + 1
	nothingLike   = namesMiddle // from here on, names are not the same name written differently
)

// rarity is how unlikely something is, in 1/1024 bits: whole numbers, so that a sum does
// not depend on the order of its parts.
type rarity int32

const bit rarity = 1024

func rarityOfShare(share float64) rarity { return rarity(math.Round(-math.Log2(share) * float64(bit))) }

func (r rarity) bits() float64 { return float64(r) / float64(bit) }

// alignment is the relation of two names, with how rare the words are that agree.
type alignment struct {
	relation relation
	rarity   rarity
}

// relate compares two names. It is the same whichever comes first.
func (l *lexicon) relate(a, b uint32) alignment {
	if a == 0 || b == 0 {
		return alignment{}
	}
	if a == b {
		return alignment{namesSame, l.rarityOf(l.wordsOf(a), true)}
	}
	one, other := &l.info[a], &l.info[b]
	wordsA, wordsB := l.wordsOf(a), l.wordsOf(b)
	switch {
	case one.sequence == other.sequence && l.samePlain(wordsA, wordsB):
		return l.relateMarks(wordsA, wordsB, one.marked, other.marked)
	case one.sorted == other.sorted && one.count == other.count:
		return alignment{namesOrder, l.rarityOf(wordsA, false)}
	case one.joined == other.joined && one.count != other.count:
		return alignment{namesSlip, max(l.rarityOf(wordsA, false), l.rarityOf(wordsB, false))}
	case one.count == other.count:
		if found := l.relateSlip(wordsA, wordsB); found.relation != namesMissing {
			return found
		}
	default:
		if found := l.relateMissingWord(wordsA, wordsB); found.relation != namesMissing {
			return found
		}
	}
	return l.relateEnds(wordsA, wordsB)
}

// relateMarks judges names whose plain letters are the same.
func (l *lexicon) relateMarks(a, b []uint32, markedA, markedB bool) alignment {
	bits := l.rarityOf(a, false)
	if !markedA || !markedB {
		return alignment{namesUnmarked, bits}
	}
	for i := range a {
		if a[i] != b[i] && l.rivals(l.markedRarity(a[i]), l.markedRarity(b[i])) {
			return alignment{namesRival, bits}
		}
	}
	return alignment{namesMarks, bits}
}

// relateSlip judges names of as many words that differ in one.
func (l *lexicon) relateSlip(a, b []uint32) alignment {
	at := -1
	for i := range a {
		if l.plainOf[a[i]] == l.plainOf[b[i]] {
			continue
		}
		if at >= 0 {
			return alignment{}
		}
		at = i
	}
	if at < 0 || len(a) < 2 {
		return alignment{}
	}
	p, q := l.plainOf[a[at]], l.plainOf[b[at]]
	if !misspelt(l.plainSet.bytes(p), l.plainSet.bytes(q)) {
		return alignment{}
	}
	sum := rarity(0)
	for i := range a {
		if i != at {
			sum += l.plainRarity(l.plainOf[a[i]])
		}
	}
	if l.rivals(l.plainRarity(p), l.plainRarity(q)) {
		return alignment{namesRival, sum}
	}
	return alignment{namesSlip, sum}
}

// relateMissingWord judges names of which one has a word more than the other, in the same order.
func (l *lexicon) relateMissingWord(a, b []uint32) alignment {
	if len(a) < len(b) {
		a, b = b, a
	}
	if len(a)-len(b) != 1 || len(b) < 2 || l.plainOf[a[len(a)-1]] != l.plainOf[b[len(b)-1]] {
		return alignment{}
	}
	skipped := 0
	for i := range b {
		if l.plainOf[a[i+skipped]] != l.plainOf[b[i]] {
			if skipped == 1 || l.plainOf[a[i+1]] != l.plainOf[b[i]] {
				return alignment{}
			}
			skipped = 1
		}
	}
	return alignment{namesWord, l.rarityOf(b, false)}
}

// relateEnds judges names by their first and last words.
func (l *lexicon) relateEnds(a, b []uint32) alignment {
	firstA, firstB := l.plainOf[a[0]], l.plainOf[b[0]]
	lastA, lastB := l.plainOf[a[len(a)-1]], l.plainOf[b[len(b)-1]]
	switch {
	case lastA == lastB && firstA == firstB && len(a) > 1 && len(b) > 1:
		return alignment{namesMiddle, l.plainRarity(lastA) + l.plainRarity(firstA)}
	case lastA == lastB:
		return alignment{namesLast, l.plainRarity(lastA)}
	case firstA == firstB:
		return alignment{namesFirst, l.plainRarity(firstA)}
	}
	return alignment{namesOther, 0}
}

func (l *lexicon) samePlain(a, b []uint32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if l.plainOf[a[i]] != l.plainOf[b[i]] {
			return false
		}
	}
	return true
}

// rarityOf is how unlikely it is that a stranger has all these words, in bits.
func (l *lexicon) rarityOf(words []uint32, marked bool) rarity {
	sum := rarity(0)
	for _, w := range words {
		if marked {
			sum += l.markedRarity(w)
		} else {
			sum += l.plainRarity(l.plainOf[w])
		}
	}
	return sum
}

func (l *lexicon) plainRarity(plain uint32) rarity {
	if l.model == nil {
		return 0
	}
	return l.rarePlain[plain]
}

func (l *lexicon) markedRarity(marked uint32) rarity {
	if l.model == nil {
		return 0
	}
	return l.rareMarked[marked]
}

// rivals reports that two words one slip apart are both names that people have (Lan and
// Loan, Hoà and Hoa), so that neither need be a misspelling of the other: both are
// common, and neither is so much rarer that it looks like what is left of the other.
func (l *lexicon) rivals(a, b rarity) bool {
	const apart = 4 * bit // one in sixteen
	return l.model != nil && max(a, b) <= l.commonFloor && a-b < apart && b-a < apart
}

// misspelt reports whether two plain words are a typing error apart: one letter
// wrong, missing, too many, or two neighbours swapped; two such in words of seven letters or more.
func misspelt(a, b []byte) bool {
	longest := max(len(a), len(b))
	switch {
	case longest < 2 || bytes.Equal(a, b):
		return false
	case longest <= 6:
		return oneEdit(a, b)
	default:
		return editsWithin(a, b, 2)
	}
}

// oneEdit reports a distance of exactly one edit.
func oneEdit(a, b []byte) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	if len(a)-len(b) > 1 {
		return false
	}
	i := 0
	for i < len(b) && a[i] == b[i] {
		i++
	}
	if len(a) > len(b) {
		return bytes.Equal(a[i+1:], b[i:])
	}
	if i == len(a) {
		return false
	}
	if bytes.Equal(a[i+1:], b[i+1:]) {
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && bytes.Equal(a[i+2:], b[i+2:])
}

// longestWord bounds what editsWithin looks at; no syllable comes near it.
const longestWord = 32

// editsWithin reports whether the distance of Damerau and Levenshtein, in which no part is
// edited twice, is at most limit.
func editsWithin(a, b []byte, limit int) bool {
	if len(a) > longestWord || len(b) > longestWord || len(a)-len(b) > limit || len(b)-len(a) > limit {
		return false
	}
	var rows [3][longestWord + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > limit {
			return false
		}
		before, last, row = last, row, before
	}
	return last[len(b)] <= limit
}

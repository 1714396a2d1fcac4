package linkage

import "bytes"

// table gives every distinct byte string a number, in the order in which they are first
// seen. It is an open hash table over one run of bytes: no string headers, no map.
type table struct {
	slots  []uint32 // number + 1; 0 is free
	hashes []uint64
	ends   []uint32
	text   []byte
}

func (t *table) len() int { return len(t.hashes) }

// bytes returns the string with the number.
func (t *table) bytes(n uint32) []byte {
	start := uint32(0)
	if n > 0 {
		start = t.ends[n-1]
	}
	return t.text[start:t.ends[n]]
}

// find returns the number of the string, or the slot where it would go.
func (t *table) find(s []byte, hash uint64) (n uint32, found bool, slot int) {
	if len(t.slots) == 0 {
		return 0, false, -1
	}
	mask := len(t.slots) - 1
	for slot = int(hash) & mask; ; slot = (slot + 1) & mask {
		entry := t.slots[slot]
		if entry == 0 {
			return 0, false, slot
		}
		if t.hashes[entry-1] == hash && bytes.Equal(t.bytes(entry-1), s) {
			return entry - 1, true, slot
		}
	}
}

// intern returns the number of the string, which may be a new one.
func (t *table) intern(s []byte) (n uint32, added bool) {
	hash := hashBytes(s)
	n, found, slot := t.find(s, hash)
	if found {
		return n, false
	}
	if 4*(len(t.hashes)+1) > 3*len(t.slots) {
		t.grow()
		_, _, slot = t.find(s, hash)
	}
	n = uint32(len(t.hashes))
	t.slots[slot] = n + 1
	t.hashes = append(t.hashes, hash)
	t.text = append(t.text, s...)
	t.ends = append(t.ends, uint32(len(t.text)))
	return n, true
}

func (t *table) grow() {
	t.slots = make([]uint32, max(64, 2*len(t.slots)))
	mask := len(t.slots) - 1
	for n, hash := range t.hashes {
		slot := int(hash) & mask
		for t.slots[slot] != 0 {
			slot = (slot + 1) & mask
		}
		t.slots[slot] = uint32(n) + 1
	}
}

// hashBytes is FNV-1a with a last mix: the same on every machine, because a model names
// words by it.
func hashBytes(s []byte) uint64 {
	hash := uint64(14695981039346656037)
	for _, c := range s {
		hash = (hash ^ uint64(c)) * 1099511628211
	}
	return mix(hash)
}

// mix spreads the bits of a number over the whole word.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// name is a full name as words. Number 0 is no name.
type name struct {
	start    uint32 // in lexicon.words
	count    uint8
	marked   bool   // any word has a mark
	sequence uint32 // hash of the plain words in their order
	sorted   uint32 // hash of the plain words in any order
	joined   uint32 // hash of the plain letters without spaces
}

// lexicon holds every word and every full name of a register once.
type lexicon struct {
	folder    folder
	markedSet table    // words with their marks
	plainSet  table    // words without
	plainOf   []uint32 // by marked word
	names     table    // names by the numbers of their words
	info      []name
	words     []uint32 // marked words, name after name
	key       []byte

	// What the model says of the words: the rarer, the more.
	model       *Model
	rarePlain   []rarity // by plain word
	rareMarked  []rarity // by marked word
	commonFloor rarity   // words that are no rarer than this are known as names
}

func newLexicon() *lexicon {
	l := &lexicon{folder: folder{letters: newLetters()}, info: make([]name, 1)}
	l.names.intern(nil) // number 0: no name
	return l
}

// intern returns the number of the name, 0 when it has no words.
func (l *lexicon) intern(text string) uint32 {
	if text == "" {
		return 0
	}
	l.folder.fold(text)
	l.key = l.key[:0]
	hasMarks := false
	markedFrom, plainFrom := 0, 0
	for _, w := range l.folder.words {
		word := l.word(l.folder.marked[markedFrom:w.marked], l.folder.plain[plainFrom:w.plain])
		markedFrom, plainFrom = w.marked, w.plain
		hasMarks = hasMarks || w.hasMarks
		l.key = appendNumber(l.key, word)
	}
	return l.internWords(hasMarks)
}

// internWords returns the number of the name whose words are in l.key.
func (l *lexicon) internWords(hasMarks bool) uint32 {
	n, added := l.names.intern(l.key)
	if !added {
		return n
	}
	info := name{start: uint32(len(l.words)), count: uint8(len(l.key) / 4), marked: hasMarks}
	sequence, sorted := uint64(0), uint64(0)
	joined := uint64(14695981039346656037)
	for i := 0; i < len(l.key); i += 4 {
		word := number(l.key[i:])
		l.words = append(l.words, word)
		hash := l.plainSet.hashes[l.plainOf[word]]
		sequence = mix(sequence*3 + hash)
		sorted += mix(hash)
		for _, c := range l.plainSet.bytes(l.plainOf[word]) {
			joined = (joined ^ uint64(c)) * 1099511628211
		}
	}
	info.sequence, info.sorted, info.joined = uint32(sequence>>32), uint32(mix(sorted)>>32), uint32(mix(joined)>>32)
	l.info = append(l.info, info)
	return n
}

// word returns the number of a word with its marks.
func (l *lexicon) word(marked, plain []byte) uint32 {
	n, added := l.markedSet.intern(marked)
	if added {
		p, addedPlain := l.plainSet.intern(plain)
		l.plainOf = append(l.plainOf, p)
		if l.model != nil {
			l.rareMarked = append(l.rareMarked, l.model.rarity(l.markedSet.hashes[n], true))
			if addedPlain {
				l.rarePlain = append(l.rarePlain, l.model.rarity(l.plainSet.hashes[p], false))
			}
		}
	}
	return n
}

// bind takes the rarity of words from the model.
func (l *lexicon) bind(m *Model) {
	if l.model == m {
		return
	}
	l.model = m
	l.rarePlain, l.rareMarked = l.rarePlain[:0], l.rareMarked[:0]
	for _, hash := range l.plainSet.hashes {
		l.rarePlain = append(l.rarePlain, m.rarity(hash, false))
	}
	for _, hash := range l.markedSet.hashes {
		l.rareMarked = append(l.rareMarked, m.rarity(hash, true))
	}
	l.commonFloor = m.commonFloor()
}

// wordsOf are the marked words of a name.
func (l *lexicon) wordsOf(n uint32) []uint32 {
	info := &l.info[n]
	return l.words[info.start : info.start+uint32(info.count)]
}

// plainAt is the plain word at a place of a name; -1 is the last.
func (l *lexicon) plainAt(n uint32, at int) uint32 {
	words := l.wordsOf(n)
	if at < 0 {
		at += len(words)
	}
	return l.plainOf[words[at]]
}

// initials is a hash of the first letters of the words, in any order.
func (l *lexicon) initials(n uint32) uint64 {
	sum := uint64(0)
	for _, w := range l.wordsOf(n) {
		sum += mix(uint64(l.plainSet.bytes(l.plainOf[w])[0]))
	}
	return sum
}

// appendText appends the words with their marks, in the form that is compared.
func (l *lexicon) appendText(dst []byte, n uint32) []byte {
	for _, w := range l.wordsOf(n) {
		dst = append(append(dst, l.markedSet.bytes(w)...), ' ')
	}
	return dst
}

func appendNumber(dst []byte, n uint32) []byte {
	return append(dst, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

func number(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

package quality

import (
	"encoding/binary"
	"math/bits"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// maxKey is how long a word may be that fits into a key.
const maxKey = 8

// keyOf is a word of 1 to 8 bytes as a number. Words without NUL, which is all text that
// checks see, have the same key only when they are the same.
func keyOf(word []byte) uint64 {
	n := uint(len(word)) & 15
	switch {
	case n == maxKey:
		return binary.LittleEndian.Uint64(word)
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(word)) | uint64(binary.LittleEndian.Uint32(word[n-4:]))<<(8*(n-4))
	}
	return uint64(word[0]) | uint64(word[n/2])<<(8*(n/2)) | uint64(word[n-1])<<(8*(n-1))
}

// keySet finds short words with one multiplication and, mostly, one look into a table
// that is at most half full.
type keySet struct {
	keys  []uint64 // 0: free
	place []int32  // what belongs to the key
	shift uint
}

// newKeySet gives each word its index; of equal words the first counts. It is nil when a word
// is empty, longer than a key or has a NUL.
func newKeySet(count int, word func(i int) string) *keySet {
	size := bits.Len(uint(max(4, 2*count)))
	set := &keySet{keys: make([]uint64, 1<<size), place: make([]int32, 1<<size), shift: uint(64 - size)}
	for i := range count {
		text := []byte(word(i))
		if len(text) == 0 || len(text) > maxKey {
			return nil
		}
		for _, c := range text {
			if c == 0 {
				return nil
			}
		}
		key := keyOf(text)
		slot := set.slot(key)
		for set.keys[slot] != 0 && set.keys[slot] != key {
			slot = (slot + 1) & (len(set.keys) - 1)
		}
		if set.keys[slot] == 0 {
			set.keys[slot], set.place[slot] = key, int32(i)
		}
	}
	return set
}

func (s *keySet) slot(key uint64) int { return int(key * 0x9e3779b97f4a7c15 >> s.shift) }

// find returns the index of a word, or -1.
func (s *keySet) find(word []byte) int {
	if len(word) == 0 || len(word) > maxKey {
		return -1
	}
	key := keyOf(word)
	for slot := s.slot(key); ; slot = (slot + 1) & (len(s.keys) - 1) {
		switch s.keys[slot] {
		case key:
			return int(s.place[slot])
		case 0:
			return -1
		}
	}
}

// codesByDate is what a code list may know: all its entries, in order of code and date.
// They must not change.
type codesByDate interface {
	Codes() []dictionary.Code
}

// fastList is a code list of short codes with its entries side by side.
type fastList struct {
	set     *keySet
	periods []period
}

type period struct {
	from, to int64
	more     bool // the next one is of the same code
}

// faster returns a list that answers as the given one does.
func faster(list CodeList) CodeList {
	known, ok := list.(codesByDate)
	if !ok {
		return list
	}
	codes := known.Codes()
	set := newKeySet(len(codes), func(i int) string { return codes[i].Code })
	if set == nil {
		return list
	}
	fast := &fastList{set: set, periods: make([]period, len(codes))}
	for i := range codes {
		fast.periods[i] = period{
			from: codes[i].From, to: codes[i].To,
			more: i+1 < len(codes) && codes[i+1].Code == codes[i].Code,
		}
		if i > 0 && codes[i].Code < codes[i-1].Code {
			return list // not in order: entries of one code may stand apart
		}
	}
	return fast
}

// Valid reports whether the code is valid at the instant.
func (l *fastList) Valid(code []byte, at int64) bool {
	for i := l.set.find(code); i >= 0; i++ {
		p := &l.periods[i]
		if p.from <= at && at < p.to {
			return true
		}
		if !p.more {
			return false
		}
	}
	return false
}

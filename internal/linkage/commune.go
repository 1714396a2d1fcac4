package linkage

import "slices"

// communes knows the communes that records name, each code once, and what a code of
// before stands for today.
type communes struct {
	successors func(code string) []string
	codes      table      // codes as records write them: "<" in front of those of before
	today      [][]uint32 // by code: the communes of today that it may be
	key        []byte
}

func newCommunes(successors func(string) []string) *communes {
	c := &communes{successors: successors, today: [][]uint32{nil}}
	c.codes.intern(nil) // number 0: no commune
	return c
}

// number returns the number of a code, 0 for none.
func (c *communes) number(today, before string) uint32 {
	switch {
	case today != "":
		c.key = append(c.key[:0], today...)
	case before != "":
		c.key = append(append(c.key[:0], '<'), before...)
	default:
		return 0
	}
	n, added := c.codes.intern(c.key)
	if !added {
		return n
	}
	c.today = append(c.today, []uint32{n})
	if today == "" && c.successors != nil {
		var now []uint32
		for _, code := range c.successors(before) {
			now = append(now, c.number(code, ""))
		}
		if len(now) > 0 {
			slices.Sort(now)
			c.today[n] = now
		}
	}
	return n
}

// first is a commune of today that a code may be.
func (c *communes) first(n uint32) uint32 { return c.today[n][0] }

// compare says whether two codes may be the same place.
func (c *communes) compare(a, b uint32) likeness {
	if a == 0 || b == 0 {
		return notCompared
	}
	if a == b {
		return alike
	}
	for _, x := range c.today[a] {
		if slices.Contains(c.today[b], x) {
			return alike
		}
	}
	return unlike
}

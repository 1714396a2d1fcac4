package linkage

import (
	"context"
	"fmt"
	"slices"
)

// Config says how a register works. The zero value does.
type Config struct {
	// Successors says what a commune of before 1 July 2025 became; several when it was
	// split. Nil: a code of before is like no code of today. See Successors.
	Successors func(code string) []string
	// BlockCap is the number of records that may share a key. What more records share says
	// nothing: they are not compared by it, and reported. Default: 200.
	BlockCap int
	// SampledPairs bounds how many pairs the estimate looks at, of strangers and of
	// candidates each. Default: 1,000,000.
	SampledPairs int
	// Precision is the share of right proposals in the zone "same" that is aimed at.
	// Default: 0.995.
	Precision float64
	// AskFrom is the probability from which a pair is asked. Default: 0.05.
	AskFrom float64
	// LargestCluster is the number of records from which a group is asked as a whole.
	// Default: 8.
	LargestCluster int
}

func (c Config) withDefaults() Config {
	if c.BlockCap <= 0 {
		c.BlockCap = 200
	}
	if c.SampledPairs <= 0 {
		c.SampledPairs = 1_000_000
	}
	if c.Precision <= 0 || c.Precision >= 1 {
		c.Precision = 0.995
	}
	if c.AskFrom <= 0 || c.AskFrom >= 1 {
		c.AskFrom = 0.05
	}
	if c.LargestCluster <= 0 {
		c.LargestCluster = 8
	}
	return c
}

// pass is one key by which records are brought together.
type pass struct{ id, vi, en string }

// kind is what differs between persons and organisations.
type kind interface {
	keys(slot uint32, dst []uint32)
	compare(a, b uint32, v *vector)
	limit(v *vector) (floor, ceiling Zone, reason Reason)
	names(slot uint32) uint32
	material(slot uint32, dst []byte) []byte
	words() *lexicon
}

// register is what all registers have in common: records by slot, their
// identifiers and blocking keys.
type register struct {
	config Config
	what   string
	fields []field
	passes []pass
	kind   kind

	ids    table
	slotOf []uint32 // by number of the identifier: slot + 1, 0 when it has been removed
	idOf   []uint32 // by slot
	gone   []bool   // by slot
	free   []uint32 // slots of removed records
	live   int
	keyed  []uint32 // by slot, one for each pass; 0: none
}

func (r *register) init(what string, config Config, fields []field, passes []pass, k kind) {
	r.what, r.config, r.fields, r.passes, r.kind = what, config.withDefaults(), fields, passes, k
}

// Len is the number of records.
func (r *register) Len() int { return r.live }

// slot finds or makes the place of a record. A new place is at the end, or that of a
// record that was removed.
func (r *register) slot(id []byte) uint32 {
	n, added := r.ids.intern(id)
	if added {
		r.slotOf = append(r.slotOf, 0)
	}
	if s := r.slotOf[n]; s != 0 {
		return s - 1
	}
	r.live++
	var slot uint32
	if last := len(r.free) - 1; last >= 0 {
		slot = r.free[last]
		r.free = r.free[:last]
		r.idOf[slot], r.gone[slot] = n, false
	} else {
		slot = uint32(len(r.idOf))
		r.idOf, r.gone = append(r.idOf, n), append(r.gone, false)
		for range r.passes {
			r.keyed = append(r.keyed, 0)
		}
	}
	r.slotOf[n] = slot + 1
	return slot
}

// find returns the slot of a record.
func (r *register) find(id string) (uint32, bool) {
	n, found, _ := r.ids.find([]byte(id), hashBytes([]byte(id)))
	if !found || r.slotOf[n] == 0 {
		return 0, false
	}
	return r.slotOf[n] - 1, true
}

// remove takes a record out. Its slot is used again.
func (r *register) remove(slot uint32) {
	r.slotOf[r.idOf[slot]] = 0
	r.gone[slot] = true
	clear(r.keysOf(slot))
	r.free = append(r.free, slot)
	r.live--
}

func (r *register) id(slot uint32) string { return string(r.ids.bytes(r.idOf[slot])) }

func (r *register) keysOf(slot uint32) []uint32 {
	n := len(r.passes)
	return r.keyed[int(slot)*n : int(slot)*n+n]
}

func (r *register) rekey(slot uint32) {
	keys := r.keysOf(slot)
	clear(keys)
	r.kind.keys(slot, keys)
}

// blockKey makes a key of 32 bits; two things that share one by accident are compared in
// vain, no more. 0 stands for no key.
func blockKey(pass int, a, b uint64) uint32 {
	key := uint32(mix(mix(a+uint64(pass)<<57)+b) >> 32)
	if key == 0 {
		return 1
	}
	return key
}

// PassReport says what one key brought together.
type PassReport struct {
	ID, Vi, En string
	Blocks     int   // of two records or more
	Pairs      int64 // that no earlier key had brought together
	// Capped is the number of blocks beyond the cap. Their records were not compared by
	// this key: at most NotCompared pairs, some of which another key brought together.
	Capped      int
	NotCompared int64
	Largest     int // records in the largest block
}

// eachPair calls fn once for every two records that share a key, the lower slot first,
// and reports what each key did.
func (r *register) eachPair(ctx context.Context, fn func(a, b uint32)) ([]PassReport, error) {
	if len(r.passes) > 16 {
		return nil, fmt.Errorf("linkage: %d passes, 16 at most", len(r.passes))
	}
	capped := make([]uint16, len(r.idOf)) // by slot: the passes in which its block is beyond the cap
	members := make([]uint64, 0, r.live)
	reports := make([]PassReport, len(r.passes))
	for p := range r.passes {
		report := &reports[p]
		report.ID, report.Vi, report.En = r.passes[p].id, r.passes[p].vi, r.passes[p].en
		members = members[:0]
		for slot := range r.idOf {
			if key := r.keyed[slot*len(r.passes)+p]; key != 0 {
				members = append(members, uint64(key)<<32|uint64(slot))
			}
		}
		slices.Sort(members)
		for start := 0; start < len(members); {
			end := start + 1
			for end < len(members) && members[end]>>32 == members[start]>>32 {
				end++
			}
			block := members[start:end]
			start = end
			if len(block) < 2 {
				continue
			}
			report.Blocks++
			report.Largest = max(report.Largest, len(block))
			if len(block) > r.config.BlockCap {
				report.Capped++
				report.NotCompared += int64(len(block)) * int64(len(block)-1) / 2
				for _, m := range block {
					capped[uint32(m)] |= 1 << p
				}
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, fmt.Errorf("compare records: %w", err)
			}
			for i, m := range block {
				for _, n := range block[i+1:] {
					a, b := uint32(m), uint32(n)
					if !r.metBefore(a, b, p, capped[a]) {
						report.Pairs++
						fn(a, b)
					}
				}
			}
		}
	}
	return reports, nil
}

// metBefore reports that an earlier pass brought the two together. Records that share a
// key share its block, so that what is capped for one is for the other.
func (r *register) metBefore(a, b uint32, p int, capped uint16) bool {
	x, y := r.keysOf(a), r.keysOf(b)
	for q := range p {
		if x[q] == y[q] && x[q] != 0 && capped>>q&1 == 0 {
			return true
		}
	}
	return false
}

package linkage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// chains find the records that share a key while records come and go. For every pass
// there is an open hash table from the key to one record, and from each record to the next one
// with the same key: eight bytes and a half for each record and pass.
type chains struct {
	heads []headTable // by pass
	next  []uint32    // by slot and pass: slot + 1 of the next record; 0 ends
}

// headTable maps keys to the first record of their chain. The key itself is looked up in the
// record.
type headTable struct {
	slots []uint32 // slot + 1; 0 is free, vacant was used
	used  int      // slots that are not free
}

const vacant = ^uint32(0)

// index keeps a register ready to be asked about one record at a time.
type index struct {
	register *register
	model    *Model
	chains   chains
	found    []judged
}

func (x *index) start(r *register, m *Model) error {
	if err := r.use(m); err != nil {
		return err
	}
	x.register, x.model = r, m
	x.chains.heads = make([]headTable, len(r.passes))
	for slot := range r.idOf {
		if !r.gone[slot] {
			x.link(uint32(slot))
		}
	}
	return nil
}

// Use makes the index weigh by another model, such as one that was estimated again.
func (x *index) Use(m *Model) error {
	if err := x.register.use(m); err != nil {
		return err
	}
	x.model = m
	return nil
}

// head finds where the chain of a key begins, or the place where it would.
func (x *index) head(p int, key uint32) (slot uint32, found bool, place int) {
	t := &x.chains.heads[p]
	if len(t.slots) == 0 {
		return 0, false, -1
	}
	mask := len(t.slots) - 1
	place = -1
	for at := int(mix(uint64(key))) & mask; ; at = (at + 1) & mask {
		switch entry := t.slots[at]; {
		case entry == 0:
			if place < 0 {
				place = at
			}
			return 0, false, place
		case entry == vacant:
			if place < 0 {
				place = at
			}
		case x.register.keysOf(entry - 1)[p] == key:
			return entry - 1, true, at
		}
	}
}

// link puts a record into the chains of its keys.
func (x *index) link(slot uint32) {
	passes := len(x.register.passes)
	for len(x.chains.next) < (int(slot)+1)*passes {
		x.chains.next = append(x.chains.next, 0)
	}
	for p, key := range x.register.keysOf(slot) {
		next := &x.chains.next[int(slot)*passes+p]
		*next = 0
		if key == 0 {
			continue
		}
		first, found, place := x.head(p, key)
		t := &x.chains.heads[p]
		switch {
		case found:
			*next = first + 1
		case place < 0 || t.slots[place] == 0 && 4*(t.used+1) > 3*len(t.slots):
			x.grow(p)
			_, _, place = x.head(p, key)
		}
		if t.slots[place] == 0 {
			t.used++
		}
		t.slots[place] = slot + 1
	}
}

// grow makes the table of a pass fit its chains, and drops what is vacant.
func (x *index) grow(p int) {
	t := &x.chains.heads[p]
	old := t.slots
	chains := 0
	for _, entry := range old {
		if entry != 0 && entry != vacant {
			chains++
		}
	}
	size := 64
	for size < 2*chains+2 {
		size *= 2
	}
	t.slots, t.used = make([]uint32, size), chains
	mask := size - 1
	for _, entry := range old {
		if entry == 0 || entry == vacant {
			continue
		}
		at := int(mix(uint64(x.register.keysOf(entry - 1)[p]))) & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = entry
	}
}

// unlink takes a record out of its chains. Its keys must still be there.
func (x *index) unlink(slot uint32) {
	passes := len(x.register.passes)
	for p, key := range x.register.keysOf(slot) {
		if key == 0 {
			continue
		}
		first, found, place := x.head(p, key)
		if !found {
			continue
		}
		after := x.chains.next[int(slot)*passes+p]
		if first == slot {
			x.chains.heads[p].slots[place] = vacant
			if after != 0 {
				x.chains.heads[p].slots[place] = after
			}
			continue
		}
		for s := first; ; {
			next := &x.chains.next[int(s)*passes+p]
			if *next == slot+1 {
				*next = after
				break
			}
			if *next == 0 {
				break
			}
			s = *next - 1
		}
	}
}

// blockOf collects the records that share a key with one, or says that they are too many.
func (x *index) blockOf(slot uint32, p int, dst []uint32) (block []uint32, capped bool) {
	passes := len(x.register.passes)
	key := x.register.keysOf(slot)[p]
	if key == 0 {
		return dst, false
	}
	first, found, _ := x.head(p, key)
	for n := 0; found; {
		if n++; n > x.register.config.BlockCap {
			return dst[:0], true
		}
		if first != slot {
			dst = append(dst, first)
		}
		next := x.chains.next[int(first)*passes+p]
		if next == 0 {
			break
		}
		first = next - 1
	}
	return dst, false
}

// Matches is what is found for one record.
type Matches struct {
	Pairs []Pair // in the zones same and ask, heaviest first
	// Capped lists the keys that too many records share: what shares nothing else with the
	// record was not compared.
	Capped []string
}

// match compares a record with all that share a key with it, each once.
func (x *index) match(slot uint32, answers Answers) ([]judged, []string) {
	r := x.register
	r.kind.words().bind(x.model) // an estimate may have bound the register to another meanwhile
	x.found = x.found[:0]
	var capped []string
	var mask uint16
	var block []uint32
	id := r.id(slot)
	for p := range r.passes {
		var over bool
		block, over = x.blockOf(slot, p, block[:0])
		if over {
			mask |= 1 << p
			capped = append(capped, r.passes[p].id)
			continue
		}
		for _, other := range block {
			if r.metBefore(slot, other, p, mask) {
				continue
			}
			var answer Answer
			if len(answers) > 0 {
				answer = answers[NewPairID(id, r.id(other))]
			}
			if j := r.judge(x.model, min(slot, other), max(slot, other), answer); j.Zone != Different {
				x.found = append(x.found, j)
			}
		}
	}
	for pair, answer := range answers {
		if answer != AnswerSame || pair.A != id && pair.B != id {
			continue
		}
		other, here := r.find(pair.A)
		if pair.A == id {
			other, here = r.find(pair.B)
		}
		if here && other != slot && !slices.ContainsFunc(x.found, func(j judged) bool { return j.a == other || j.b == other }) {
			x.found = append(x.found, r.judge(x.model, min(slot, other), max(slot, other), answer))
		}
	}
	for i := range x.found {
		r.name(&x.found[i])
	}
	sortPairs(x.found)
	return x.found, capped
}

// Match says which records may be the same as one of the index, as a run over all would.
// What a chain through further records changes is in [index.Cluster].
func (x *index) Match(id string, answers Answers) (Matches, bool) {
	slot, found := x.register.find(id)
	if !found {
		return Matches{}, false
	}
	pairs, capped := x.match(slot, answers)
	m := Matches{Capped: capped, Pairs: make([]Pair, len(pairs))}
	for i := range pairs {
		m.Pairs[i] = pairs[i].Pair
	}
	return m, true
}

// Cluster is the group of a record, as a run over all records would propose it, with the
// pairs among its members. A record that nothing is the same as has no group.
func (x *index) Cluster(ctx context.Context, id string, answers Answers) (c Cluster, pairs []Pair, found bool, err error) {
	slot, known := x.register.find(id)
	if !known {
		return Cluster{}, nil, false, nil
	}
	labels := x.register.answered(answers)
	seen := map[uint32]bool{slot: true}
	var group []judged
	met := map[uint64]bool{}
	for queue := []uint32{slot}; len(queue) > 0; queue = queue[1:] {
		if err := ctx.Err(); err != nil {
			return Cluster{}, nil, false, fmt.Errorf("follow a group of records: %w", err)
		}
		near, _ := x.match(queue[0], answers)
		for _, j := range near {
			if j.Zone != Same || met[pairOf(j.a, j.b)] {
				continue
			}
			met[pairOf(j.a, j.b)] = true
			group = append(group, j)
			for _, s := range [2]uint32{j.a, j.b} {
				if !seen[s] {
					seen[s] = true
					queue = append(queue, s)
				}
			}
		}
	}
	if len(group) == 0 {
		return Cluster{}, nil, false, nil
	}
	sortPairs(group)
	clusters := x.register.cluster(group, labels)
	pairs = make([]Pair, len(group))
	for i := range group {
		pairs[i] = group[i].Pair
	}
	return clusters[0], pairs, true, nil
}

// Remove takes a record out. It reports whether there was one. The words of its name stay, because
// others may have them: an index that is filled again after a start is the smallest.
func (x *index) Remove(id string) bool {
	slot, found := x.register.find(id)
	if !found {
		return false
	}
	x.unlink(slot)
	x.register.remove(slot)
	return true
}

// IDs lists the records of the index in the order of text.
func (x *index) IDs() []string {
	ids := make([]string, 0, x.register.live)
	for slot := range x.register.idOf {
		if !x.register.gone[slot] {
			ids = append(ids, x.register.id(uint32(slot)))
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(a, b) })
	return ids
}

// PersonIndex is a register of persons that is kept as records change, and asked about
// one at a time. It is not safe for concurrent use.
type PersonIndex struct {
	index
	persons *Persons
}

// Index turns the register into an index that weighs by the model. The register must not
// be used by itself any more.
func (p *Persons) Index(m *Model) (*PersonIndex, error) {
	x := &PersonIndex{persons: p}
	return x, x.start(&p.register, m)
}

// Register is what the index is kept over, to be estimated or searched as a whole.
func (x *PersonIndex) Register() *Persons { return x.persons }

// Add puts a record in, or in the place of the one with the same ID.
func (x *PersonIndex) Add(record *Person) error {
	if slot, found := x.register.find(record.ID); found {
		x.unlink(slot)
	}
	if err := x.persons.Add(record); err != nil {
		return err
	}
	slot, _ := x.register.find(record.ID)
	x.link(slot)
	return nil
}

// OrganisationIndex is to organisations what PersonIndex is to persons.
type OrganisationIndex struct {
	index
	organisations *Organisations
}

// Index turns the register into an index that weighs by the model. The register must not
// be used by itself any more.
func (o *Organisations) Index(m *Model) (*OrganisationIndex, error) {
	x := &OrganisationIndex{organisations: o}
	return x, x.start(&o.register, m)
}

// Register is what the index is kept over, to be estimated or searched as a whole.
func (x *OrganisationIndex) Register() *Organisations { return x.organisations }

// Add puts a record in, or in the place of the one with the same ID.
func (x *OrganisationIndex) Add(record *Organisation) error {
	if slot, found := x.register.find(record.ID); found {
		x.unlink(slot)
	}
	if err := x.organisations.Add(record); err != nil {
		return err
	}
	slot, _ := x.register.find(record.ID)
	x.link(slot)
	return nil
}

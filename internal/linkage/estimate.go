package linkage

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/lienthong/lienthong"
)

// How the estimate begins and ends.
const (
	strangerDoubt  = 20_000 // pairs of strangers that the levels' first guess stands for
	duplicateDoubt = 30     // duplicates that it stands for
	rounds         = 40
	settled        = 1e-6 // change of the expected duplicates, relative, that ends the rounds
	labelWeight    = 3    // an answer of a person counts as so many pairs
	enoughLabels   = 20   // answers from which they shift the weights
	largestShift   = 6    // bits
	marginal       = 0.9  // probability that the last pair in "same" must have
)

// candidate is a pair that the estimate looks at.
type candidate struct {
	vector
	label int8 // 1 the same, -1 different, by people; 0 not asked
	fixed bool // cannot be a duplicate
	top   bool // may be proposed as the same
}

// Estimate learns from the records and from what people have answered what agreement
// weighs: how often strangers agree from pairs drawn at random, how often duplicates do by expectation
// and maximisation over the candidates. It is deterministic.
func (r *register) Estimate(ctx context.Context, answers Answers) (*Model, error) {
	if r.live < 2 {
		return nil, &lienthong.Error{
			Code: "linkage.empty", Vi: "phải có ít nhất hai bản ghi để ước lượng", En: "an estimate needs two records at least",
		}
	}
	m := &Model{Kind: r.what, Records: int64(r.live)}
	m.Words = r.countWords()
	if err := m.index(); err != nil {
		return nil, err
	}
	m.begin(r.fields)
	r.kind.words().bind(m)
	if err := r.meetStrangers(ctx, m); err != nil {
		return nil, err
	}
	sample, scale, err := r.sampleCandidates(ctx, m, answers)
	if err != nil {
		return nil, err
	}
	m.learn(r.fields, sample, scale)
	m.shift(sample)
	m.setThresholds(r.config, sample)
	return m, nil
}

// countWords counts in how many records each word of a name occurs, and lists those that
// several have.
func (r *register) countWords() []WordModel {
	l := r.kind.words()
	marked, plain := make([]uint32, l.markedSet.len()), make([]uint32, l.plainSet.len())
	for slot := range r.idOf {
		if r.gone[slot] {
			continue
		}
		for _, w := range l.wordsOf(r.kind.names(uint32(slot))) {
			marked[w]++
			plain[l.plainOf[w]]++
		}
	}
	var words []WordModel
	take := func(counts []uint32, t *table, isMarked bool) {
		for n, count := range counts {
			if count >= rareWord {
				words = append(words, WordModel{
					Digest: strconv.FormatUint(t.hashes[n], 16), Marked: isMarked, Share: min(1, float64(count)/float64(r.live)),
				})
			}
		}
	}
	take(marked, &l.markedSet, true)
	take(plain, &l.plainSet, false)
	slices.SortFunc(words, func(a, b WordModel) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Digest, b.Digest), cmp.Compare(len(strconv.FormatBool(a.Marked)), len(strconv.FormatBool(b.Marked))))
	})
	return words
}

// begin fills in the first guess.
func (m *Model) begin(fields []field) {
	m.Prior = 0.01 / float64(m.Records)
	for _, f := range fields {
		model := FieldModel{ID: f.id, Vi: f.vi, En: f.en}
		for i, l := range f.levels {
			level := LevelModel{ID: l.id, Vi: l.vi, En: l.en, M: l.m, U: l.u}
			if i > 0 {
				level.Weight = math.Log2(l.m / l.u)
			}
			model.Levels = append(model.Levels, level)
		}
		m.Fields = append(m.Fields, model)
	}
}

// meetStrangers draws pairs at random, or takes all of a small register, and counts at
// which levels they agree. Pairs that look like duplicates are left out.
func (r *register) meetStrangers(ctx context.Context, m *Model) error {
	slots := make([]uint32, 0, r.live)
	for slot := range r.idOf {
		if !r.gone[slot] {
			slots = append(slots, uint32(slot))
		}
	}
	// In the order of identifiers, so that the same records give the same pairs in
	// whatever order they came.
	slices.SortFunc(slots, func(a, b uint32) int {
		x, y := r.ids.hashes[r.idOf[a]], r.ids.hashes[r.idOf[b]]
		return cmp.Compare(x, y)
	})
	var counts [maxFields][16]float64
	var compared [maxFields]float64
	var rarities, agreed [16]float64
	meet := func(a, b uint32) {
		var v vector
		r.kind.compare(a, b, &v)
		if m.weigh(&v) > 0 {
			return
		}
		for f := range r.fields {
			if level := v.levels[f]; level > 0 {
				counts[f][level]++
				compared[f]++
				if r.fields[f].rarity {
					rarities[level] += v.rarity.bits()
					agreed[level]++
				}
			}
		}
	}
	n := len(slots)
	if all := n * (n - 1) / 2; all <= r.config.SampledPairs {
		for i := range slots {
			for j := range i {
				meet(slots[i], slots[j])
			}
		}
	} else {
		random := rand.New(rand.NewPCG(uint64(n), 0x6c69656e))
		for i := range r.config.SampledPairs {
			if i&0xffff == 0 && ctx.Err() != nil {
				return fmt.Errorf("estimate weights: %w", ctx.Err())
			}
			a, b := random.IntN(n), random.IntN(n-1)
			if b >= a {
				b++
			}
			meet(slots[a], slots[b])
		}
	}
	typical := r.typicalRarity(slots)
	for f := range m.Fields {
		for level := 1; level < len(m.Fields[f].Levels); level++ {
			l := &m.Fields[f].Levels[level]
			l.U = (counts[f][level] + strangerDoubt*l.U) / (compared[f] + strangerDoubt)
			if share := r.fields[f].levels[level].share; r.fields[f].rarity && share > 0 {
				const doubt = 10
				l.Rarity = (rarities[level] + doubt*typical*share) / (agreed[level] + doubt)
			}
			l.Weight = math.Log2(l.M / l.U)
		}
	}
	return nil
}

// typicalRarity is how rare a full name is that two strangers share, in bits: the mean
// over the records, in which common names count by how common they are.
func (r *register) typicalRarity(slots []uint32) float64 {
	l := r.kind.words()
	sum, weights := 0.0, 0.0
	for i := 0; i < len(slots); i += 1 + len(slots)/100_000 {
		n := r.kind.names(slots[i])
		if n == 0 {
			continue
		}
		bits := l.rarityOf(l.wordsOf(n), true).bits()
		weight := math.Exp2(-bits)
		sum, weights = sum+weight*bits, weights+weight
	}
	if weights == 0 {
		return 1
	}
	return sum / weights
}

// sampleCandidates compares what blocking brings together, or an even part of it, and
// every pair that people have answered. scale is how many pairs each stands for.
func (r *register) sampleCandidates(ctx context.Context, m *Model, answers Answers) (sample []candidate, scale float64, err error) {
	labels := r.answered(answers)
	type drawn struct {
		candidate
		order uint64
	}
	var all []drawn
	ceiling := uint64(math.MaxUint64)
	scale = 1
	take := func(a, b uint32, label int8) {
		c := candidate{label: label}
		r.kind.compare(a, b, &c.vector)
		_, most, _ := r.kind.limit(&c.vector)
		c.fixed, c.top = most == Different, most == Same
		x, y := r.ids.hashes[r.idOf[a]], r.ids.hashes[r.idOf[b]]
		order := mix(min(x, y) ^ mix(max(x, y)))
		if label == 0 && order > ceiling {
			return
		}
		all = append(all, drawn{c, order})
		if len(all) > r.config.SampledPairs {
			ceiling /= 2
			scale *= 2
			all = slices.DeleteFunc(all, func(d drawn) bool { return d.label == 0 && d.order > ceiling })
		}
	}
	_, err = r.eachPair(ctx, func(a, b uint32) {
		m.Pairs++
		if len(labels) == 0 || labels[pairOf(a, b)] == "" {
			take(a, b, 0)
		}
	})
	if err != nil {
		return nil, 0, err
	}
	for pair, answer := range labels {
		switch answer {
		case AnswerSame:
			take(uint32(pair>>32), uint32(pair), 1)
		case AnswerDifferent:
			take(uint32(pair>>32), uint32(pair), -1)
		case AnswerUnsure:
		}
	}
	// Sums of floating-point numbers depend on their order; this one depends on nothing but
	// the records.
	slices.SortFunc(all, func(a, b drawn) int { return cmp.Compare(a.order, b.order) })
	sample = make([]candidate, len(all))
	for i := range all {
		sample[i] = all[i].candidate
		if sample[i].label != 0 {
			m.Labels++
		}
	}
	return sample, scale, nil
}

// learn finds the shares of duplicates at each level, and how many there are.
func (m *Model) learn(fields []field, sample []candidate, scale float64) {
	pairs := float64(m.Records) * float64(m.Records-1) / 2
	last := 0.0
	for range rounds {
		var counts [maxFields][16]float64
		var compared [maxFields]float64
		expected := 0.0
		for i := range sample {
			c := &sample[i]
			share := scale
			switch {
			case c.label > 0:
				share = labelWeight
				expected++
			case c.label < 0 || c.fixed:
				continue
			default:
				share *= probabilityOf(m.weigh(&c.vector))
				if share < 1e-4 {
					continue
				}
				expected += share
			}
			for f := range m.Fields {
				if level := c.levels[f]; level > 0 {
					counts[f][level] += share
					compared[f] += share
				}
			}
		}
		for f := range m.Fields {
			for level := 1; level < len(m.Fields[f].Levels); level++ {
				l := &m.Fields[f].Levels[level]
				l.M = (counts[f][level] + duplicateDoubt*fields[f].levels[level].m) / (compared[f] + duplicateDoubt)
			}
			m.Fields[f].bound(fields[f].levels)
		}
		m.Prior = min((expected+0.5)/(pairs+1), 0.5)
		if math.Abs(expected-last) <= settled*(last+1) {
			break
		}
		last = expected
	}
}

// bound keeps levels at which duplicates are rare below what is known of them, and gives
// the rest to the others.
func (f *FieldModel) bound(levels []level) {
	over, under := 0.0, 0.0
	for i := 1; i < len(levels); i++ {
		if most := levels[i].most; most > 0 && f.Levels[i].M > most {
			over += f.Levels[i].M - most
			f.Levels[i].M = most
		} else if most == 0 {
			under += f.Levels[i].M
		}
	}
	for i := 1; i < len(levels); i++ {
		l := &f.Levels[i]
		if levels[i].most == 0 {
			l.M *= 1 + over/under
		}
		l.Weight = math.Log2(l.M / l.U)
	}
}

// shift moves all weights by as many bits as make the model expect the share of
// duplicates that people found among the pairs that they were asked.
func (m *Model) shift(sample []candidate) {
	var asked []float64
	same := 0.0
	for i := range sample {
		if sample[i].label != 0 {
			asked = append(asked, m.weigh(&sample[i].vector))
			if sample[i].label > 0 {
				same++
			}
		}
	}
	if len(asked) < enoughLabels {
		return
	}
	low, high := -float64(largestShift), float64(largestShift)
	for range 40 {
		middle := (low + high) / 2
		expected := 0.0
		for _, w := range asked {
			expected += probabilityOf(w + middle)
		}
		if expected < same {
			low = middle
		} else {
			high = middle
		}
	}
	m.Shift = (low + high) / 2
}

// setThresholds finds the weight from which on proposals are right often enough, and the one
// from which on it is worth asking.
func (m *Model) setThresholds(config Config, sample []candidate) {
	type scored struct {
		weight, share float64
		top           bool
	}
	var all []scored
	total := 0.0
	for i := range sample {
		c := &sample[i]
		if c.fixed && c.label <= 0 {
			continue
		}
		s := scored{weight: m.weigh(&c.vector), top: c.top}
		switch {
		case c.label > 0:
			s.share = 1
		case c.label == 0:
			s.share = probabilityOf(s.weight)
		}
		total += s.share
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.weight, a.weight) })
	odds := func(p float64) float64 { return math.Log2(p / (1 - p)) }
	lowest := odds(marginal)
	m.Same, m.Ask = odds(config.Precision), odds(config.AskFrom)
	proposed, right := 0.0, 0.0
	for _, s := range all {
		if !s.top {
			continue
		}
		if s.weight < lowest || (right+s.share)/(proposed+1) < config.Precision {
			break
		}
		proposed, right = proposed+1, right+s.share
		m.Same = min(m.Same, s.weight)
	}
	m.Same = max(m.Same, m.Ask)
	asked := 0.0
	proposed, right = 0, 0
	for _, s := range all {
		switch {
		case s.top && s.weight >= m.Same:
			proposed, right = proposed+1, right+s.share
		case s.weight >= m.Ask:
			asked += s.share
		}
	}
	if proposed > 0 {
		m.Quality.Precision = right / proposed
	}
	if total > 0 {
		m.Quality.Recall, m.Quality.Asked = right/total, asked/total
	}
}

package linkage

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// Pair is two records that may be the same, A before B in the order of text.
type Pair struct {
	A           string  `json:"a"`
	B           string  `json:"b"`
	Weight      float64 `json:"weight"`      // bits
	Probability float64 `json:"probability"` // that they are the same, by weight alone
	Zone        Zone    `json:"zone"`
	Reason      Reason  `json:"reason,omitempty"`

	vector vector
}

// PairID names two records, A before B in the order of text.
type PairID struct{ A, B string }

// NewPairID puts the two in order.
func NewPairID(a, b string) PairID {
	if a > b {
		a, b = b, a
	}
	return PairID{a, b}
}

// ID names the pair.
func (p *Pair) ID() PairID { return PairID{p.A, p.B} }

// Answer is what a person says about a pair.
type Answer string

// The answers.
const (
	AnswerSame      Answer = "same"
	AnswerDifferent Answer = "different"
	AnswerUnsure    Answer = "unsure" // cannot be told
)

// Answers are what people have said. [Queue.Answers] gives those that still hold.
type Answers map[PairID]Answer

// Cluster is a group of records that are proposed as one.
type Cluster struct {
	Members []string `json:"members"` // in the order of text
	Zone    Zone     `json:"zone"`    // Same, or Ask when members contradict each other
	Reason  Reason   `json:"reason,omitempty"`
	Weight  float64  `json:"weight"` // of the weakest pair that holds it together
}

// Result is what a run over a register found.
type Result struct {
	Records  int
	Compared int64  // pairs
	Pairs    []Pair // in the zones same and ask, heaviest first
	Clusters []Cluster
	Passes   []PassReport
}

// pairOf names two slots in one number, the lower first.
func pairOf(a, b uint32) uint64 {
	if a > b {
		a, b = b, a
	}
	return uint64(a)<<32 | uint64(b)
}

// answered finds the slots of the pairs that people have answered.
func (r *register) answered(answers Answers) map[uint64]Answer {
	if len(answers) == 0 {
		return nil
	}
	found := make(map[uint64]Answer, len(answers))
	for id, answer := range answers {
		a, okA := r.find(id.A)
		b, okB := r.find(id.B)
		if okA && okB && a != b {
			found[pairOf(a, b)] = answer
		}
	}
	return found
}

// judged is a pair by its slots.
type judged struct {
	a, b uint32
	Pair
}

// judge weighs a pair and says what becomes of it.
func (r *register) judge(m *Model, a, b uint32, answer Answer) judged {
	j := judged{a: a, b: b}
	r.kind.compare(a, b, &j.vector)
	j.Weight = m.weigh(&j.vector)
	switch {
	case j.Weight >= m.Same:
		j.Zone = Same
	case j.Weight >= m.Ask:
		j.Zone = Ask
	}
	floor, ceiling, reason := r.kind.limit(&j.vector)
	if limited := min(max(j.Zone, floor), ceiling); limited != j.Zone {
		j.Zone, j.Reason = limited, reason
	}
	switch answer {
	case AnswerSame:
		j.Zone, j.Reason = Same, Decided
	case AnswerDifferent:
		j.Zone, j.Reason = Different, Decided
	case AnswerUnsure:
	}
	return j
}

// name fills in the texts of a pair.
func (r *register) name(j *judged) {
	id := NewPairID(r.id(j.a), r.id(j.b))
	j.A, j.B = id.A, id.B
	j.Probability = probabilityOf(j.Weight)
}

// Find compares all records that share a key and says which are the same and which must be
// asked. Answers of people come before what is calculated.
func (r *register) Find(ctx context.Context, m *Model, answers Answers) (*Result, error) {
	if err := r.use(m); err != nil {
		return nil, err
	}
	labels := r.answered(answers)
	result := &Result{Records: r.live}
	var found []judged
	met := make(map[uint64]bool, len(labels))
	var err error
	result.Passes, err = r.eachPair(ctx, func(a, b uint32) {
		result.Compared++
		var answer Answer
		if labels != nil {
			answer = labels[pairOf(a, b)]
			if answer != "" {
				met[pairOf(a, b)] = true
			}
		}
		if j := r.judge(m, a, b, answer); j.Zone != Different {
			found = append(found, j)
		}
	})
	if err != nil {
		return nil, err
	}
	for pair, answer := range labels {
		if !met[pair] && answer == AnswerSame {
			found = append(found, r.judge(m, uint32(pair>>32), uint32(pair), answer))
		}
	}
	for i := range found {
		r.name(&found[i])
	}
	sortPairs(found)
	result.Clusters = r.cluster(found, labels)
	result.Pairs = make([]Pair, len(found))
	for i := range found {
		result.Pairs[i] = found[i].Pair
	}
	return result, nil
}

// use makes the register weigh by the model.
func (r *register) use(m *Model) error {
	if m == nil || m.Kind != r.what || len(m.Fields) != len(r.fields) {
		return modelError("mô hình không phải cho loại bản ghi này", "the model is not for this kind of record", nil)
	}
	if m.rare == nil {
		if err := m.index(); err != nil {
			return err
		}
	}
	r.kind.words().bind(m)
	return nil
}

func sortPairs(pairs []judged) {
	slices.SortFunc(pairs, func(x, y judged) int {
		return cmp.Or(cmp.Compare(y.Weight, x.Weight), strings.Compare(x.A, y.A), strings.Compare(x.B, y.B))
	})
}

// cluster joins the records of all pairs in "same". A group is asked as a whole, and its
// pairs become questions, when two of its members cannot be the same, when a person has said that
// two of them are not, or when it is larger than groups of duplicates are.
func (r *register) cluster(pairs []judged, labels map[uint64]Answer) []Cluster {
	parent := map[uint32]uint32{}
	root := func(s uint32) uint32 {
		for {
			p, known := parent[s]
			if !known || p == s {
				return s
			}
			if grand, ok := parent[p]; ok {
				parent[s] = grand
			}
			s = p
		}
	}
	for i := range pairs {
		if pairs[i].Zone != Same {
			continue
		}
		a, b := root(pairs[i].a), root(pairs[i].b)
		parent[max(a, b)], parent[min(a, b)] = min(a, b), min(a, b)
	}
	groups := map[uint32]*group{}
	for s := range parent {
		top := root(s)
		if groups[top] == nil {
			groups[top] = &group{}
		}
		groups[top].members = append(groups[top].members, s)
	}
	for i := range pairs {
		if pairs[i].Zone == Same {
			g := groups[root(pairs[i].a)]
			g.pairs = append(g.pairs, i)
		}
	}
	clusters := make([]Cluster, 0, len(groups))
	for _, g := range groups {
		clusters = append(clusters, r.settle(g, pairs, labels))
	}
	slices.SortFunc(clusters, func(x, y Cluster) int { return strings.Compare(x.Members[0], y.Members[0]) })
	return clusters
}

// group is a cluster by slots.
type group struct {
	members []uint32
	pairs   []int
}

// settle makes a cluster of a group and turns its pairs into questions where it must be asked.
func (r *register) settle(g *group, pairs []judged, labels map[uint64]Answer) Cluster {
	c := Cluster{Zone: Same, Weight: pairs[g.pairs[0]].Weight}
	for _, i := range g.pairs {
		c.Weight = min(c.Weight, pairs[i].Weight)
	}
	if len(g.members) > r.config.LargestCluster || r.contradicts(g.members, labels) {
		c.Zone, c.Reason = Ask, Chain
		for _, i := range g.pairs {
			if pairs[i].Reason != Decided {
				pairs[i].Zone, pairs[i].Reason = Ask, Chain
			}
		}
	}
	for _, s := range g.members {
		c.Members = append(c.Members, r.id(s))
	}
	slices.Sort(c.Members)
	return c
}

// contradicts reports that two members cannot be the same, although others join them.
func (r *register) contradicts(members []uint32, labels map[uint64]Answer) bool {
	for i, a := range members {
		for _, b := range members[:i] {
			if labels != nil {
				switch labels[pairOf(a, b)] {
				case AnswerSame:
					continue
				case AnswerDifferent:
					return true
				case AnswerUnsure:
				}
			}
			var v vector
			r.kind.compare(a, b, &v)
			if _, ceiling, _ := r.kind.limit(&v); ceiling < Same {
				return true
			}
		}
	}
	return false
}

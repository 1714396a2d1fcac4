package truth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lienthong/lienthong/internal/linkage"
)

// Register is a register of which the truth is known.
type Register interface {
	Len() int
	Entity(place int) int
	Slip(place int) Slip
	Relation(a, b int) string
}

// Report says how well duplicates were found.
type Report struct {
	True      int // pairs of records about the same
	Right     int // of these, proposed as the same
	Wrong     int // pairs proposed as the same that are not
	AskedSame int // true pairs that are left to people
	AskedElse int // other pairs that people are asked about

	Kinds []KindReport
	Wrongs,
	Asked map[string]int // pairs by relation that are not the same
}

// KindReport counts the duplicates with one slip.
type KindReport struct {
	Slip    Slip
	Records int // duplicates
	Found   int // proposed together with another record of the same
	Asked   int // not proposed, but asked about together with one
	Wrong   int // proposed together with a record of something else
}

// Precision is the share of right proposals.
func (r *Report) Precision() float64 { return ratio(r.Right, r.Right+r.Wrong) }

// Recall is the share of true pairs that were proposed: what is left to people counts as
// not found.
func (r *Report) Recall() float64 { return ratio(r.Right, r.True) }

// F1 is the harmonic mean of the two.
func (r *Report) F1() float64 {
	p, c := r.Precision(), r.Recall()
	if p+c == 0 {
		return 0
	}
	return 2 * p * c / (p + c)
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Measure compares a result with the truth. Groups count by all pairs of their members.
func Measure(register Register, result *linkage.Result) *Report {
	report := &Report{Wrongs: map[string]int{}, Asked: map[string]int{}}
	byEntity := map[int][]int{}
	for place := range register.Len() {
		e := register.Entity(place)
		byEntity[e] = append(byEntity[e], place)
	}
	for _, places := range byEntity {
		report.True += len(places) * (len(places) - 1) / 2
	}
	found, asked, wrong := map[int]bool{}, map[int]bool{}, map[int]bool{}
	for i := range result.Clusters {
		c := &result.Clusters[i]
		if c.Zone != linkage.Same {
			continue
		}
		for j, one := range c.Members {
			for _, other := range c.Members[:j] {
				a, b := placeOf(one), placeOf(other)
				if register.Entity(a) == register.Entity(b) {
					report.Right++
					found[a], found[b] = true, true
				} else {
					report.Wrong++
					report.Wrongs[register.Relation(a, b)]++
					wrong[a], wrong[b] = true, true
				}
			}
		}
	}
	for i := range result.Pairs {
		p := &result.Pairs[i]
		if p.Zone != linkage.Ask {
			continue
		}
		a, b := placeOf(p.A), placeOf(p.B)
		if register.Entity(a) == register.Entity(b) {
			report.AskedSame++
			asked[a], asked[b] = true, true
		} else {
			report.AskedElse++
			report.Asked[register.Relation(a, b)]++
		}
	}
	kinds := map[Slip]*KindReport{}
	for place := range register.Len() {
		slip := register.Slip(place)
		if slip == "" {
			continue
		}
		k := kinds[slip]
		if k == nil {
			k = &KindReport{Slip: slip}
			kinds[slip] = k
		}
		k.Records++
		switch {
		case found[place]:
			k.Found++
		case asked[place]:
			k.Asked++
		}
		if wrong[place] {
			k.Wrong++
		}
	}
	for _, k := range kinds {
		report.Kinds = append(report.Kinds, *k)
	}
	slices.SortFunc(report.Kinds, func(a, b KindReport) int { return cmp.Compare(a.Slip, b.Slip) })
	return report
}

func placeOf(id string) int {
	n := 0
	for _, c := range id[1:] {
		n = n*10 + int(c-'0')
	}
	return n
}

// String is the report as a table for people.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "precision %.4f  recall %.4f  F1 %.4f; %d true pairs, %d proposed right, %d wrong; asked: %d the same, %d not\n",
		r.Precision(), r.Recall(), r.F1(), r.True, r.Right, r.Wrong, r.AskedSame, r.AskedElse)
	fmt.Fprintf(&b, "%-24s %8s %8s %8s %10s\n", "slip", "records", "recall", "asked", "precision")
	for _, k := range r.Kinds {
		fmt.Fprintf(&b, "%-24s %8d %8.3f %8.3f %10.3f\n", k.Slip, k.Records, ratio(k.Found, k.Records), ratio(k.Asked, k.Records), ratio(k.Found, k.Found+k.Wrong))
	}
	fmt.Fprintf(&b, "wrong: %v  asked in vain: %v", r.Wrongs, r.Asked)
	return b.String()
}

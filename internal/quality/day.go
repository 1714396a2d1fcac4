package quality

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
)

// Day is how a database, or an agency, did on one calendar day of Viet Nam: the scores, and
// the terms that they are made of, so that a difference between two days can be laid at the
// door of single rules. Days of one date are merged by MergeDays.
type Day struct {
	Date     string         `json:"date"` // 2006-01-02
	ID       string         `json:"id"`   // the database's code, or the agency's
	At       int64          `json:"at"`   // when it was taken, microseconds; the last of a date counts
	Index    float64        `json:"index"`
	Known    bool           `json:"known"`
	Colour   Colour         `json:"colour"`
	Gates    int            `json:"gates,omitempty"` // identifier rules below 100 %
	Coverage float64        `json:"coverage"`
	Criteria []DayCriterion `json:"criteria"`
	Terms    []Term         `json:"terms"`
}

// DayCriterion is one of the six on a day.
type DayCriterion struct {
	Criterion lienthong.Criterion `json:"criterion"`
	Value     float64             `json:"value"`
	Known     bool                `json:"known"`
	Weight    float64             `json:"weight"` // in the index
	Coverage  float64             `json:"coverage"`
}

// Term is one measured part of a criterion: a rule, or what else the criterion counts. The
// criterion is the sum of Share*Value over its terms.
type Term struct {
	Dataset   string              `json:"dataset,omitempty"`
	Criterion lienthong.Criterion `json:"criterion"`
	Code      string              `json:"code,omitempty"` // of a rule, with its Field
	Field     string              `json:"field,omitempty"`
	Vi        string              `json:"vi,omitempty"` // what it is, when it is no rule
	En        string              `json:"en,omitempty"`
	Passed    float64             `json:"passed"`
	Total     float64             `json:"total"`
	Value     float64             `json:"value"`
	Share     float64             `json:"share"`
}

// DateOf is the calendar day in Viet Nam of a moment in microseconds.
func DateOf(at int64) string { return time.Unix(localDay(at)*86400, 0).UTC().Format(time.DateOnly) }

// Day takes down a scorecard of a dataset, database or agency as it was at a moment.
func (m Method) Day(at int64, card *Scorecard) Day {
	day := Day{
		Date: DateOf(at), ID: card.ID, At: at, Index: card.Index.Value, Known: card.Index.Known,
		Colour: card.Index.Colour, Gates: len(card.Index.Gate), Coverage: card.Index.Coverage,
	}
	for n := range card.Criteria {
		score := &card.Criteria[n]
		day.Criteria = append(day.Criteria, DayCriterion{
			Criterion: score.Criterion, Value: score.Value, Known: score.Known, Weight: m.weightOf(score.Criterion), Coverage: score.Coverage,
		})
		if score.Known {
			day.Terms = append(day.Terms, terms(card, n, 1)...)
		}
	}
	return day
}

func (m Method) weightOf(criterion lienthong.Criterion) float64 {
	switch {
	case criterion == lienthong.Shared:
		return 0
	case m.Weights != nil:
		return m.Weights[criterion]
	}
	return 1
}

// terms spreads a share over what a criterion of a card is made of.
func terms(card *Scorecard, n int, share float64) []Term {
	score := &card.Criteria[n]
	weights := 0.0
	for _, part := range score.Parts {
		if part.Known {
			weights += part.Weight
		}
	}
	var all []Term
	for i, part := range score.Parts {
		if !part.Known || weights <= 0 {
			continue
		}
		own := share * part.Weight / weights
		if card.Level == DatabaseLevel || card.Level == AgencyLevel {
			all = append(all, terms(&card.Children[i], n, own)...)
			continue
		}
		term := Term{
			Dataset: card.ID, Criterion: score.Criterion, Code: part.Code, Field: part.Field,
			Passed: part.Numerator, Total: part.Denominator, Value: part.Value, Share: own,
		}
		if part.Code == "" {
			term.Vi, term.En = part.LabelVi, part.LabelEn
		}
		all = append(all, term)
	}
	return all
}

// MergeDays makes one day of several databases, such as those of an agency: each criterion is
// the mean of those that measured it. The order does not matter. The days are of one
// date; At is the latest of theirs.
func (m Method) MergeDays(id string, days ...Day) Day {
	merged := Day{ID: id}
	for _, criterion := range lienthong.Criteria() {
		own := DayCriterion{Criterion: criterion, Weight: m.weightOf(criterion)}
		known, all := 0.0, 0.0
		for i := range days {
			weight := m.databaseWeight(days[i].ID)
			all += weight
			if of := days[i].criterion(criterion); of.Known {
				known += weight
			}
		}
		for i := range days {
			of, weight := days[i].criterion(criterion), m.databaseWeight(days[i].ID)
			if all > 0 {
				own.Coverage += of.Coverage * weight / all
			}
			if !of.Known || known <= 0 {
				continue
			}
			own.Known = true
			own.Value += of.Value * weight / known
			for _, term := range days[i].Terms {
				if term.Criterion == criterion {
					term.Share *= weight / known
					merged.Terms = append(merged.Terms, term)
				}
			}
		}
		merged.Criteria = append(merged.Criteria, own)
	}
	for i := range days {
		merged.Date, merged.At = max(merged.Date, days[i].Date), max(merged.At, days[i].At)
		merged.Gates += days[i].Gates
	}
	parts := make([]Part, len(merged.Criteria))
	for i, c := range merged.Criteria {
		parts[i] = Part{Value: c.Value, Weight: c.Weight, Known: c.Known, Coverage: c.Coverage}
	}
	merged.Index, merged.Known = mean(parts)
	merged.Coverage = coverage(parts)
	merged.Colour = m.Colour(merged.Index, merged.Known)
	switch {
	case merged.Gates > 0:
		merged.Colour = Red
	case merged.Colour == Green && !m.Sufficient(merged.Coverage):
		merged.Colour = Yellow
	}
	slices.SortStableFunc(merged.Terms, func(a, b Term) int { return compareTerms(&a, &b) })
	return merged
}

func (m Method) databaseWeight(database string) float64 {
	if weight, named := m.DatabaseWeights[database]; named {
		return weight
	}
	return 1
}

func (d *Day) criterion(criterion lienthong.Criterion) DayCriterion {
	for _, c := range d.Criteria {
		if c.Criterion == criterion {
			return c
		}
	}
	return DayCriterion{Criterion: criterion}
}

func compareTerms(a, b *Term) int {
	return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Criterion, b.Criterion),
		cmp.Compare(a.Code, b.Code), cmp.Compare(a.Field, b.Field), cmp.Compare(a.En, b.En))
}

// Change is what became different from one day to another, and why.
type Change struct {
	From     string            `json:"from"` // dates
	To       string            `json:"to"`
	Before   float64           `json:"before"` // the index
	After    float64           `json:"after"`
	Known    bool              `json:"known"` // both days have an index; without it there are no movers
	Criteria []CriterionChange `json:"criteria"`
	Gates    int               `json:"gates,omitempty"` // identifier rules that are newly below 100 %, less those that no longer are
	Movers   []Mover           `json:"movers"`          // by the size of the effect, largest first
}

// CriterionChange is how one of the six moved.
type CriterionChange struct {
	Criterion lienthong.Criterion `json:"criterion"`
	Before    float64             `json:"before"`
	After     float64             `json:"after"`
	Known     bool                `json:"known"` // on both days
}

// Mover is a term that moved the index. The effects of all movers together are the
// difference of the index.
type Mover struct {
	Term                // as it is after; of a term that is gone, as it was
	Effect      float64 `json:"effect"`       // points of the index
	FailedDelta float64 `json:"failed_delta"` // how many more do not pass
	New         bool    `json:"new,omitempty"`
	Gone        bool    `json:"gone,omitempty"`
}

// Compare explains the difference of two days of one database or agency. The effect of a
// term that both days have is its share of the index times what its value moved, plus what a
// changed share brings by the distance between its value and the index. A term that
// only one day has counts by that distance alone: to measure more is not to become better.
func Compare(before, after Day) Change {
	change := Change{
		From: before.Date, To: after.Date, Before: before.Index, After: after.Index,
		Known: before.Known && after.Known, Gates: after.Gates - before.Gates,
	}
	for _, criterion := range lienthong.Criteria() {
		a, b := before.criterion(criterion), after.criterion(criterion)
		change.Criteria = append(change.Criteria, CriterionChange{Criterion: criterion, Before: a.Value, After: b.Value, Known: a.Known && b.Known})
	}
	if !change.Known {
		return change
	}
	level := (before.Index + after.Index) / 2
	type key struct {
		dataset, code, field, en string
		criterion                lienthong.Criterion
		again                    int // a rule of rows and one of sets may share a name
	}
	type pair struct {
		was, is        *Term
		shareA, shareB float64
	}
	var pairs []*pair
	byKey := map[key]*pair{}
	find := func(term *Term, taken func(*pair) bool) *pair {
		k := key{term.Dataset, term.Code, term.Field, term.En, term.Criterion, 0}
		for byKey[k] != nil && taken(byKey[k]) {
			k.again++
		}
		if byKey[k] == nil {
			byKey[k] = new(pair)
			pairs = append(pairs, byKey[k])
		}
		return byKey[k]
	}
	for i := range before.Terms {
		p := find(&before.Terms[i], func(p *pair) bool { return p.was != nil })
		p.was, p.shareA = &before.Terms[i], before.share(&before.Terms[i])
	}
	for i := range after.Terms {
		p := find(&after.Terms[i], func(p *pair) bool { return p.is != nil })
		p.is, p.shareB = &after.Terms[i], after.share(&after.Terms[i])
	}
	for _, p := range pairs {
		mover := Mover{New: p.was == nil, Gone: p.is == nil, Term: *cmp.Or(p.is, p.was)}
		was, is := cmp.Or(p.was, p.is), cmp.Or(p.is, p.was)
		mover.Effect = (p.shareA+p.shareB)/2*(is.Value-was.Value) + ((is.Value+was.Value)/2-level)*(p.shareB-p.shareA)
		mover.FailedDelta = (is.Total - is.Passed) - (was.Total - was.Passed)
		if mover.Effect != 0 || mover.FailedDelta != 0 || mover.New || mover.Gone {
			change.Movers = append(change.Movers, mover)
		}
	}
	slices.SortStableFunc(change.Movers, func(a, b Mover) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Effect), math.Abs(a.Effect)), compareTerms(&a.Term, &b.Term))
	})
	return change
}

// share is how much of the index a term is.
func (d *Day) share(term *Term) float64 {
	own, all := 0.0, 0.0
	for _, c := range d.Criteria {
		if c.Known {
			all += c.Weight
			if c.Criterion == term.Criterion {
				own = c.Weight
			}
		}
	}
	if all <= 0 {
		return 0
	}
	return term.Share * own / all
}

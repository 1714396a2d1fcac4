package linkage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Tally says how far the questions of a register are.
type Tally struct {
	Register  string
	Open      int // nobody has answered
	Second    int // one person has answered, another must
	Same      int
	Different int
	Unsure    int
}

// Left is how many questions wait for somebody.
func (t *Tally) Left() int { return t.Open + t.Second }

// Done is how many questions people have decided.
func (t *Tally) Done() int { return t.Same + t.Different + t.Unsure }

// Tallies counts the questions of all registers that have any, in the order of their names.
func (q *Queue) Tallies(ctx context.Context) ([]Tally, error) {
	docs, err := q.config.Documents.Documents(ctx, QuestionKind, "")
	if err != nil {
		return nil, fmt.Errorf("count questions: %w", err)
	}
	counts := map[string]*Tally{}
	for i := range docs {
		question, err := parseQuestion(&docs[i])
		if err != nil {
			return nil, err
		}
		t := counts[question.Register]
		if t == nil {
			t = &Tally{Register: question.Register}
			counts[question.Register] = t
		}
		switch question.State {
		case Open:
			t.Open++
		case Second:
			t.Second++
		case string(AnswerSame):
			t.Same++
		case string(AnswerDifferent):
			t.Different++
		case string(AnswerUnsure):
			t.Unsure++
		}
	}
	list := make([]Tally, 0, len(counts))
	for _, t := range counts {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b Tally) int { return cmp.Compare(a.Register, b.Register) })
	return list, nil
}

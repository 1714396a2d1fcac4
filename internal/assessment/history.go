package assessment

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/lienthong/lienthong"
)

// SnapshotKind is the kind of the documents that hold dated assessments; their identifier is
// the database's code and each revision is a snapshot.
const SnapshotKind = "assessment"

// Snapshot is a dated assessment, short, with everything that its points are made of.
type Snapshot struct {
	Database string            `json:"database"`
	Day      string            `json:"day"` // in Viet Nam
	At       int64             `json:"at"`
	Group    int               `json:"group"`
	Index    float64           `json:"index"`
	Known    bool              `json:"index_known"`
	Criteria []CriterionAt     `json:"criteria"`
	Checks   map[string]string `json:"checks"` // question -> verdict
	Scores   []ScoreAt         `json:"scores"` // one for each method in force, the current one last
}

// CriterionAt is a criterion in a snapshot.
type CriterionAt struct {
	Criterion lienthong.Criterion `json:"criterion"`
	Value     float64             `json:"value"`
	Known     bool                `json:"known"`
	Gates     int                 `json:"gates,omitempty"`
}

// ScoreAt is the score by one method.
type ScoreAt struct {
	Method   string  `json:"method"`
	Points   float64 `json:"points"`
	Coverage float64 `json:"coverage"`
	Band     int     `json:"band"`
	// Published changes only when two snapshots in a row agree, so that a figure at the edge does
	// not flicker; a gate that shuts takes effect at once.
	Published int      `json:"published"`
	Gates     []string `json:"gates,omitempty"`
	Parts     []PartAt `json:"parts"`
}

// PartAt is a part of the points, enough to compute it again.
type PartAt struct {
	ID     string  `json:"id"`
	Most   float64 `json:"most"`
	Value  float64 `json:"value"`
	Credit float64 `json:"credit"`
}

// Current is the score by the current method.
func (s *Snapshot) Current() ScoreAt {
	if len(s.Scores) == 0 {
		return ScoreAt{}
	}
	return s.Scores[len(s.Scores)-1]
}

// By returns the score by a method.
func (s *Snapshot) By(method string) (ScoreAt, bool) {
	i := slices.IndexFunc(s.Scores, func(score ScoreAt) bool { return score.Method == method })
	if i < 0 {
		return ScoreAt{}, false
	}
	return s.Scores[i], true
}

// SnapshotOf shortens the assessments of one database at one instant, one for each method in
// force with the current method's last. previous is the snapshot before; nil for none.
func SnapshotOf(previous *Snapshot, assessments ...*Assessment) Snapshot {
	last := assessments[len(assessments)-1]
	s := Snapshot{
		Database: last.Database.Code, Day: dayOf(last.At), At: last.At, Group: last.Group.ID,
		Index: last.Index.Value, Known: last.Index.Known, Checks: map[string]string{},
	}
	for _, c := range last.Criteria {
		s.Criteria = append(s.Criteria, CriterionAt{c.Criterion, c.Value, c.Known, c.Gates})
	}
	for i := range last.Questions {
		if q := &last.Questions[i]; q.Applies && q.Kind == Readiness {
			s.Checks[q.ID] = string(q.Verdict)
		}
	}
	for _, a := range assessments {
		score := ScoreAt{Method: a.Method, Points: a.Points, Coverage: a.Coverage, Band: a.Band.ID, Published: a.Band.ID}
		capped := false
		for _, gate := range a.Band.Gates {
			score.Gates = append(score.Gates, gate.ID)
			capped = capped || gate.Cap < a.Band.Uncapped
		}
		if previous != nil {
			if before, found := previous.By(a.Method); found {
				score.Published = settle(before, a.Band.ID, capped)
			}
		}
		for _, p := range a.Parts {
			if p.Most > 0 {
				score.Parts = append(score.Parts, PartAt{p.ID, p.Most, p.Value, p.Credit})
			}
		}
		s.Scores = append(s.Scores, score)
	}
	return s
}

// settle decides the published band after a new computation.
func settle(before ScoreAt, computed int, capped bool) int {
	switch {
	case computed == before.Published, computed == before.Band:
		return computed
	case capped && computed < before.Published:
		return computed
	}
	return before.Published
}

func dayOf(at int64) string {
	return time.UnixMicro(at).UTC().Add(7 * time.Hour).Format(time.DateOnly)
}

// History keeps dated snapshots.
type History struct {
	Documents Documents
}

// Save adds a snapshot for each database; what has not changed since the last one adds nothing. The groups hold
// the assessments of one database by all methods in force, the current method's last.
func (h *History) Save(ctx context.Context, groups ...[]*Assessment) (saved int, err error) {
	var documents []lienthong.Document
	for _, group := range groups {
		if len(group) == 0 {
			continue
		}
		code := group[0].Database.Code
		document, found, err := h.Documents.Document(ctx, SnapshotKind, code)
		if err != nil {
			return 0, fmt.Errorf("load the last assessment of %s: %w", code, err)
		}
		var previous *Snapshot
		if found {
			snapshot, err := readSnapshot(document)
			if err != nil {
				return 0, err
			}
			previous = &snapshot
		}
		next := SnapshotOf(previous, group...)
		if previous != nil && same(*previous, next) {
			continue
		}
		body, err := json.Marshal(next)
		if err != nil {
			return 0, fmt.Errorf("encode the assessment of %s: %w", code, err)
		}
		documents = append(documents, lienthong.Document{
			Kind: SnapshotKind, ID: code, Revision: document.Revision, State: strconv.Itoa(next.Current().Published),
			Actor: "platform", Note: next.Current().Method, At: next.At, Body: body,
		})
	}
	if len(documents) == 0 {
		return 0, nil
	}
	if _, err := h.Documents.SaveDocuments(ctx, documents...); err != nil {
		return 0, fmt.Errorf("save %d assessments: %w", len(documents), err)
	}
	return len(documents), nil
}

// same reports whether nothing but the time has changed.
func same(a, b Snapshot) bool {
	a.At, a.Day, b.At, b.Day = 0, "", 0, ""
	return reflect.DeepEqual(a, b)
}

// Of returns the snapshots of a database since an instant, oldest first, the last of each day.
func (h *History) Of(ctx context.Context, database string, since int64) ([]Snapshot, error) {
	documents, err := h.Documents.DocumentHistory(ctx, SnapshotKind, database)
	if err != nil {
		return nil, fmt.Errorf("assessments of %s: %w", database, err)
	}
	var list []Snapshot
	for _, document := range documents {
		if document.At < since {
			continue
		}
		snapshot, err := readSnapshot(document)
		if err != nil {
			return nil, err
		}
		if n := len(list); n > 0 && list[n-1].Day == snapshot.Day {
			list[n-1] = snapshot
			continue
		}
		list = append(list, snapshot)
	}
	return list, nil
}

func readSnapshot(document lienthong.Document) (Snapshot, error) {
	var snapshot Snapshot
	if err := json.Unmarshal(document.Body, &snapshot); err != nil {
		return Snapshot{}, fmt.Errorf("read the assessment of %s: %w", document.ID, err)
	}
	return snapshot, nil
}

// Move is a part whose points changed between two snapshots.
type Move struct {
	Part   string  `json:"part"`
	Before float64 `json:"before"`
	After  float64 `json:"after"`
}

// Moves says which parts changed the score by a method, the largest change first. Snapshots of
// different methods are not compared.
func Moves(before, after *Snapshot, method string) []Move {
	was, okWas := before.By(method)
	is, okIs := after.By(method)
	if !okWas || !okIs {
		return nil
	}
	points := map[string]Move{}
	for _, p := range was.Parts {
		points[p.ID] = Move{Part: p.ID, Before: p.Most * p.Value * p.Credit}
	}
	for _, p := range is.Parts {
		move := points[p.ID]
		move.Part, move.After = p.ID, p.Most*p.Value*p.Credit
		points[p.ID] = move
	}
	var moves []Move
	for _, move := range points {
		if difference := move.After - move.Before; difference > 1e-9 || difference < -1e-9 {
			moves = append(moves, move)
		}
	}
	size := func(m Move) float64 { return max(m.After-m.Before, m.Before-m.After) }
	slices.SortFunc(moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(size(b), size(a)), cmp.Compare(a.Part, b.Part))
	})
	return moves
}

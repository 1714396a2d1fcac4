package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// SetResult is what a rule over many records found.
type SetResult struct {
	Checked  int64 // records that the rule could judge
	Failed   int64
	Findings []SetFinding // the first of them, by stream and record
}

// SetFinding names a record that breaks a rule.
type SetFinding struct {
	RecordID string // personal: for the owner only
	Stream   lienthong.Stream
}

const isLive = "NOT %[1]s._deleted AND NOT %[1]s._held"

// RunSetRule judges the live records of a dataset, as quality.EvaluateSet says,
// and lists at most limit findings.
func (s *Store) RunSetRule(ctx context.Context, dataset lienthong.DatasetID, rule dictionary.SetRule, limit int) (SetResult, error) {
	view, err := s.engine.freeze(ctx)
	if err != nil {
		return SetResult{}, fmt.Errorf("store: freeze: %w", err)
	}
	result, err := s.runSetRule(ctx, view, dataset, rule, limit)
	if closed := view.close(); err == nil && closed != nil {
		err = fmt.Errorf("store: end view: %w", closed)
	}
	return result, err
}

func (s *Store) runSetRule(ctx context.Context, view frozen, dataset lienthong.DatasetID, rule dictionary.SetRule, limit int) (SetResult, error) {
	var result SetResult
	own, err := s.newest(ctx, view, dataset)
	if err != nil {
		return result, err
	}
	var other *layout
	var otherShape *lienthong.Shape
	if named, ok := otherDataset(&rule); ok {
		if other, err = s.newest(ctx, view, named); err != nil {
			return result, err
		}
		otherShape = other.shape
	}
	if err := quality.CheckSetRule(rule, own.shape, otherShape); err != nil {
		return result, err
	}
	judged := s.judged(&rule, own, other)
	err = view.each(ctx, "SELECT count(*), coalesce(sum(j.fails), 0) FROM ("+judged+") j", nil,
		func(scan scanFunc) error { return scan(&result.Checked, &result.Failed) })
	if err != nil {
		return result, fmt.Errorf("store: run set rule %s: %w", rule.Code, err)
	}
	if result.Failed == 0 || limit <= 0 {
		return result, nil
	}
	streams := make(map[int64]lienthong.Stream)
	states, err := streamStates(ctx, view)
	if err != nil {
		return result, err
	}
	for _, st := range states {
		streams[st.No] = st.Stream
	}
	err = view.each(ctx, "SELECT j._id, j._stream FROM ("+judged+") j WHERE j.fails = 1 ORDER BY j._stream, j._id LIMIT ?", []any{int64(limit)},
		func(scan scanFunc) error {
			var finding SetFinding
			var stream int64
			err := scan(&finding.RecordID, &stream)
			finding.Stream = streams[stream]
			result.Findings = append(result.Findings, finding)
			return err
		})
	if err != nil {
		return result, fmt.Errorf("store: list findings of set rule %s: %w", rule.Code, err)
	}
	return result, nil
}

func otherDataset(rule *dictionary.SetRule) (lienthong.DatasetID, bool) {
	switch {
	case rule.Reference != nil:
		return rule.Reference.Dataset, true
	case rule.Match != nil:
		return rule.Match.Dataset, true
	}
	return lienthong.DatasetID{}, false
}

func (s *Store) newest(ctx context.Context, in session, dataset lienthong.DatasetID) (*layout, error) {
	shapes, err := shapesOf(ctx, in, dataset)
	if err != nil {
		return nil, err
	}
	if len(shapes) == 0 {
		return nil, unknownShape(dataset, 0)
	}
	return s.layout(ctx, in, shapes[len(shapes)-1])
}

// judged is a query of the records that the rule can judge: _id, _stream, and
// fails, 1 or 0. Joins are written so that each engine finds a hash or an index.
func (s *Store) judged(rule *dictionary.SetRule, own, other *layout) string {
	column := func(l *layout, alias, field string) string {
		i := l.shape.FieldIndex(field)
		return s.comparable(alias+"."+l.columns[i], l.shape.Fields[i].Kind)
	}
	alive := func(alias string) string { return fmt.Sprintf(isLive, alias) }
	switch {
	case len(rule.Unique) > 0:
		var keys, equal, present []string
		for n, field := range rule.Unique {
			keys = append(keys, fmt.Sprintf("%s AS k%d", column(own, "g", field), n))
			equal = append(equal, fmt.Sprintf("d.k%d = %s", n, column(own, "r", field)))
			present = append(present, column(own, "%[1]s", field)+" IS NOT NULL")
		}
		having := func(alias string) string { return strings.ReplaceAll(strings.Join(present, " AND "), "%[1]s", alias) }
		groupBy := make([]string, len(keys))
		for n := range keys {
			groupBy[n] = strconv.Itoa(n + 1)
		}
		return "SELECT r._id, r._stream, CASE WHEN d.n > 1 THEN 1 ELSE 0 END AS fails FROM " + own.table + " r JOIN (SELECT " +
			strings.Join(keys, ", ") + ", count(*) AS n FROM " + own.table + " g WHERE " + alive("g") + " AND " + having("g") +
			" GROUP BY " + strings.Join(groupBy, ", ") + ") d ON " + strings.Join(equal, " AND ") + " WHERE " + alive("r") + " AND " + having("r")
	case rule.Reference != nil:
		field := column(own, "r", rule.Field)
		to := column(other, "o", rule.Reference.To)
		return "SELECT r._id, r._stream, CASE WHEN d.k IS NULL THEN 1 ELSE 0 END AS fails FROM " + own.table + " r LEFT JOIN (SELECT DISTINCT " +
			to + " AS k FROM " + other.table + " o WHERE " + alive("o") + " AND " + to + " IS NOT NULL) d ON d.k = " + field +
			" WHERE " + alive("r") + " AND " + field + " IS NOT NULL"
	}
	var pairs []string
	for mine, theirs := range rule.Match.Fields {
		a, b := column(own, "r", mine), column(other, "o", theirs)
		pairs = append(pairs, "("+a+" IS NULL OR "+b+" IS NULL OR "+a+" = "+b+")")
	}
	slices.Sort(pairs) // one rule, one text
	return "SELECT r._id, r._stream, 1 - max(CASE WHEN " + strings.Join(pairs, " AND ") + " THEN 1 ELSE 0 END) AS fails FROM " +
		own.table + " r JOIN " + other.table + " o ON " + column(other, "o", rule.Match.To) + " = " + column(own, "r", rule.Match.Key) +
		" WHERE " + alive("r") + " AND " + alive("o") + " GROUP BY r._id, r._stream"
}

// comparable makes values of one kind equal exactly when they mean the same.
func (s *Store) comparable(column string, kind lienthong.Kind) string {
	if s.engine.name() != "sqlite" {
		return column
	}
	switch kind {
	case lienthong.Decimal: // kept as text: 1.0 is 1.00
		return "CASE WHEN instr(" + column + ", '.') > 0 THEN rtrim(rtrim(" + column + ", '0'), '.') ELSE " + column + " END"
	case lienthong.Real: // which NaN it is does not matter
		return "CASE WHEN typeof(" + column + ") = 'text' THEN 'NaN' ELSE " + column + " END"
	}
	return column
}

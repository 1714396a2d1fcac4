package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// RecheckConfig says what a full check of a dataset looks for.
type RecheckConfig struct {
	// Lists are the code lists that rules name; nil when none does.
	Lists quality.CodeLists
	// At is the time that records are judged at, in microseconds. Default: now.
	At int64
	// By says who counts. Default: RecheckCheapest.
	By RecheckBy
}

// RecheckBy is a way to count. All ways give the same counts.
type RecheckBy uint8

// The ways. Where some rules need the rows, reading them for all rules costs less than a
// query besides; and SQLite takes five times as long over a condition as a closure does
// (docs/benchmarks.md has the figures).
const (
	RecheckCheapest RecheckBy = iota // SQL when the engine is PostgreSQL and can say every rule, else the rows
	RecheckSQL                       // SQL for every rule that it can say, the rows for the rest
	RecheckRows                      // the rows for every rule
)

// Recheck is what a full check of a dataset's live records found.
type Recheck struct {
	Dataset  lienthong.DatasetID `json:"dataset"`
	At       int64               `json:"at"`
	Rows     int64               `json:"rows"` // live records: neither deleted nor held
	Rules    []RecheckedRule     `json:"rules"`
	Skipped  []SkippedRule       `json:"skipped,omitempty"`
	SQLTook  time.Duration       `json:"sql_took"`
	RowsTook time.Duration       `json:"rows_took"` // 0: SQL could say every rule
}

// RecheckedRule is one rule, and the records that break it now.
type RecheckedRule struct {
	Code      string              `json:"code"`
	Field     string              `json:"field"`
	Criterion lienthong.Criterion `json:"criterion"`
	Failed    int64               `json:"failed"`
	BySQL     bool                `json:"by_sql"` // counted by the engine, otherwise from the rows
	Timed     bool                `json:"timed"`  // the same record may break it on another day
}

// SkippedRule is a rule that the hub cannot judge, because it does not have the values.
type SkippedRule struct {
	Code   string `json:"code"`
	Field  string `json:"field"`
	Reason string `json:"reason"` // "absent": a field of it did not travel; "handled": it travelled masked, hashed or as a token
}

// Recheck judges every live record of a dataset by the rules, and by those that every
// dataset has. Rules in SQL are counted by the engine, in one query that gives back nothing
// but sums; rules over the rows in one pass. Both see the store as of one moment.
//
// Rules about values that did not travel as they are, cannot be judged here and are listed.
func (s *Store) Recheck(ctx context.Context, dataset lienthong.DatasetID, rules []dictionary.Rule, config RecheckConfig) (Recheck, error) {
	if config.At == 0 {
		config.At = s.config.Now().UnixMicro()
	}
	view, err := s.engine.freeze(ctx)
	if err != nil {
		return Recheck{}, fmt.Errorf("store: freeze: %w", err)
	}
	result, err := s.recheck(ctx, view, dataset, rules, config)
	if closed := view.close(); err == nil && closed != nil {
		err = fmt.Errorf("store: end view: %w", closed)
	}
	return result, err
}

func (s *Store) recheck(ctx context.Context, view frozen, dataset lienthong.DatasetID, rules []dictionary.Rule, config RecheckConfig) (Recheck, error) {
	result := Recheck{Dataset: dataset, At: config.At}
	own, err := s.newest(ctx, view, dataset)
	if err != nil {
		return result, err
	}
	known := slices.DeleteFunc(slices.Clone(rules), func(rule dictionary.Rule) bool {
		if s.knowsFields(own.shape, &rule, config.Lists) {
			return false
		}
		result.Skipped = append(result.Skipped, SkippedRule{Code: rule.Code, Field: rule.Field, Reason: "absent"})
		return true
	})
	checker, err := quality.Compile(own.shape, known, config.Lists, s.config.Now)
	if err != nil {
		return result, err
	}
	counts := make([]int64, len(checker.Rules()))
	pushed := make([]bool, len(counts))
	judged := make([]bool, len(counts))
	said := sqlRules{dialect: s.engine.name(), columns: own.columns, checker: checker, at: config.At}
	var selected []string
	var into []any
	rest := false
	for i := range counts {
		if slices.ContainsFunc(checker.Reads(i), func(field int) bool { return own.shape.Fields[field].Handling != "" }) {
			rule := &checker.Rules()[i]
			if !rule.Builtin {
				result.Skipped = append(result.Skipped, SkippedRule{Code: rule.Code, Field: rule.Field, Reason: "handled"})
			}
			continue
		}
		judged[i] = true
		if config.By == RecheckRows {
			rest = true
			continue
		}
		condition, ok := said.broken(i)
		if !ok {
			rest = true
			continue
		}
		selected = append(selected, "coalesce(sum(CASE WHEN "+condition+" THEN 1 ELSE 0 END), 0)")
		into = append(into, &counts[i])
		pushed[i] = true
	}
	if config.By == RecheckCheapest && (rest || s.engine.name() != "postgres") {
		rest = true
		selected, into, said.args = nil, nil, nil
		clear(pushed)
	}
	began := s.config.Now()
	if err := countBroken(ctx, view, own, selected, said.args, &result.Rows, into); err != nil {
		return result, fmt.Errorf("store: recheck %s: %w", dataset, err)
	}
	result.SQLTook = s.config.Now().Sub(began)
	if rest {
		began = s.config.Now()
		if err := s.checkRows(ctx, view, own, checker, config.At, func(rule int) {
			if !pushed[rule] {
				counts[rule]++
			}
		}); err != nil {
			return result, fmt.Errorf("store: recheck rows of %s: %w", dataset, err)
		}
		result.RowsTook = s.config.Now().Sub(began)
	}
	for i := range checker.Rules() {
		if !judged[i] {
			continue
		}
		rule := &checker.Rules()[i]
		result.Rules = append(result.Rules, RecheckedRule{
			Code: rule.Code, Field: rule.Field, Criterion: rule.Criterion,
			Failed: counts[i], BySQL: pushed[i], Timed: checker.DependsOnTime(i),
		})
	}
	return result, nil
}

// knowsFields reports whether the shape has every field that a rule names. What is wrong
// with a rule besides, Compile says.
func (s *Store) knowsFields(shape *lienthong.Shape, rule *dictionary.Rule, lists quality.CodeLists) bool {
	names := []string{rule.Field}
	for _, name := range []string{rule.Check.AsOf, rule.Check.NotBefore} {
		if name != "" {
			names = append(names, name)
		}
	}
	if number := rule.Check.PersonNumber; number != nil {
		for _, name := range []string{number.BirthDate, number.Sex} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	if slices.ContainsFunc(names, func(name string) bool { return shape.FieldIndex(name) < 0 }) {
		return false
	}
	if rule.Check.CEL == "" {
		return true
	}
	// An expression names fields in the middle of its text: only compiling it finds them. It
	// was right where it was written, so what is missing is a field.
	_, err := quality.Compile(shape, []dictionary.Rule{*rule}, lists, s.config.Now)
	return err == nil
}

// countBroken runs the query of sums.
func countBroken(ctx context.Context, view frozen, own *layout, selected []string, args []any, rows *int64, into []any) error {
	query := "SELECT " + strings.Join(append([]string{"count(*)"}, selected...), ",\n\t") +
		"\nFROM " + own.table + " r WHERE " + fmt.Sprintf(isLive, "r")
	return view.each(ctx, query, args, func(scan scanFunc) error { return scan(append([]any{rows}, into...)...) })
}

// checkRows runs the checker over every live record of the dataset.
func (s *Store) checkRows(ctx context.Context, view frozen, own *layout, checker *quality.Checker, at int64, broken func(rule int)) error {
	states, err := streamStates(ctx, view)
	if err != nil {
		return err
	}
	var verdict quality.Verdict
	for _, state := range states {
		if state.Stream.Dataset != own.shape.Dataset {
			continue
		}
		err := view.live(ctx, own, state.No, func(_ []byte, values []lienthong.Value) error {
			checker.Check(values, at, &verdict)
			for _, rule := range verdict.Failed {
				broken(rule)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// RecheckDifference is a rule whose count is not what the incremental state says.
type RecheckDifference struct {
	Code        string `json:"code"`
	Field       string `json:"field"`
	Incremental int64  `json:"incremental"` // records that break it, those held back included
	Rechecked   int64  `json:"rechecked"`   // of the live records
	// Why is "held" when the records that are held back can be the whole difference, "time"
	// when the rule depends on the day, "unknown" when the incremental state has no such
	// rule, and "differs" when nothing explains it: the state is wrong and must be counted again.
	Why string `json:"why"`
}

// Compare lists the rules whose count differs from the incremental state, which is the
// merged counters of all nodes. Records that are held back count in it, and are not
// landed; a rule may differ by as many as there are of them.
func (r *Recheck) Compare(counters *quality.Counters) []RecheckDifference {
	var differences []RecheckDifference
	for i := range r.Rules {
		rule := &r.Rules[i]
		d := RecheckDifference{Code: rule.Code, Field: rule.Field, Rechecked: rule.Failed}
		at := slices.IndexFunc(counters.Rules, func(c quality.RuleCounter) bool { return c.Code == rule.Code && c.Field == rule.Field })
		if at < 0 {
			d.Why = "unknown"
			differences = append(differences, d)
			continue
		}
		d.Incremental = counters.Rules[at].Open
		switch over := d.Incremental - d.Rechecked; {
		case over == 0:
			continue
		case over > 0 && over <= counters.Quarantined:
			d.Why = "held"
		case rule.Timed:
			d.Why = "time"
		default:
			d.Why = "differs"
		}
		differences = append(differences, d)
	}
	return differences
}

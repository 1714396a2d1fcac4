package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
)

// track moves a record through the states of quarantine by what was observed of it, in the
// transaction that saves the findings.
func track(ctx context.Context, tx *sql.Tx, dataset string, o *capture.Observation) error {
	rules, err := blockingRules(ctx, tx, dataset, o)
	if err != nil {
		return err
	}
	var state capture.QuarantineState
	var fingerprint string
	err = tx.QueryRowContext(ctx, `SELECT state, fingerprint FROM quarantine WHERE dataset = ? AND id = ?`, dataset, o.ID).Scan(&state, &fingerprint)
	known := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if !known && len(rules) == 0 {
		return nil
	}
	step := func(to capture.QuarantineState) error {
		return enter(ctx, tx, dataset, o.ID, to, rules, capture.Act{At: o.At})
	}
	if len(rules) > 0 {
		if !known {
			_, err := tx.ExecContext(ctx, `INSERT INTO quarantine (dataset, id, plain, state, since, changed, fingerprint, actor, reason)
				VALUES (?, ?, ?, ?, ?, ?, ?, '', '')`, dataset, o.ID, o.Plain, capture.QuarantineHeld, o.At, o.At, o.Fingerprint)
			if err != nil {
				return err
			}
			return event(ctx, tx, dataset, o.ID, capture.QuarantineHeld, rules, capture.Act{At: o.At})
		}
		if o.Fingerprint != "" && o.Fingerprint != fingerprint {
			if _, err := tx.ExecContext(ctx, `UPDATE quarantine SET fingerprint = ? WHERE dataset = ? AND id = ?`, o.Fingerprint, dataset, o.ID); err != nil {
				return err
			}
		}
		other := fingerprint != "" && o.Fingerprint != "" && o.Fingerprint != fingerprint
		if state == capture.QuarantineHeld && !other || state == capture.QuarantineExpired && !other {
			return nil
		}
		if state != capture.QuarantineHeld {
			if _, err := tx.ExecContext(ctx, `UPDATE quarantine SET since = ? WHERE dataset = ? AND id = ?`, o.At, dataset, o.ID); err != nil {
				return err
			}
		}
		return step(capture.QuarantineHeld)
	}
	switch {
	case state == capture.QuarantineReleased && o.Overridden:
		if fingerprint != "" {
			return nil
		}
		_, err := tx.ExecContext(ctx, `UPDATE quarantine SET fingerprint = ? WHERE dataset = ? AND id = ?`, o.Fingerprint, dataset, o.ID)
		return err
	case state == capture.QuarantineFixed || state == capture.QuarantineGone:
		return nil
	case o.Gone:
		return step(capture.QuarantineGone)
	}
	return step(capture.QuarantineFixed)
}

// blockingRules are those that the record breaks now.
func blockingRules(ctx context.Context, tx *sql.Tx, dataset string, o *capture.Observation) ([]string, error) {
	if len(o.Unknown) > 0 { // what is unknown may still be open
		return openRules(ctx, tx, dataset, o.ID, true)
	}
	var rules []string
	for i := range o.Findings {
		if o.Findings[i].Blocking {
			rules = append(rules, o.Findings[i].Rule)
		}
	}
	return rules, nil
}

func openRules(ctx context.Context, tx *sql.Tx, dataset, id string, blocking bool) ([]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT DISTINCT rule FROM findings WHERE dataset = ? AND id = ? AND blocking >= ? ORDER BY rule`, dataset, id, blocking)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	rules := []string{}
	for rows.Next() {
		var rule string
		if err := rows.Scan(&rule); err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return rules, rows.Err()
}

// enter gives a record its state and writes the step into its history.
func enter(ctx context.Context, tx *sql.Tx, dataset, id string, to capture.QuarantineState, rules []string, act capture.Act) error {
	_, err := tx.ExecContext(ctx, `UPDATE quarantine SET state = ?, changed = ?, actor = ?, reason = ? WHERE dataset = ? AND id = ?`,
		to, act.At, act.By, act.Reason, dataset, id)
	if err != nil {
		return err
	}
	return event(ctx, tx, dataset, id, to, rules, act)
}

func event(ctx context.Context, tx *sql.Tx, dataset, id string, state capture.QuarantineState, rules []string, act capture.Act) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO quarantine_events (dataset, id, at, state, rules, actor, reason) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		dataset, id, act.At, state, strings.Join(rules, ","), act.By, act.Reason)
	return err
}

// HeldRecords implements capture.State.
func (s *NodeState) HeldRecords(ctx context.Context, dataset lienthong.DatasetID) (n int64, err error) {
	err = s.tx(ctx, "count held records", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM quarantine WHERE dataset = ? AND state IN (?, ?)`,
			dataset.String(), capture.QuarantineHeld, capture.QuarantineExpired).Scan(&n)
	})
	return n, err
}

// Overrides implements capture.State.
func (s *NodeState) Overrides(ctx context.Context, dataset lienthong.DatasetID) (map[string]string, error) {
	overrides := map[string]string{}
	err := s.tx(ctx, "read decisions", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id, fingerprint FROM quarantine WHERE dataset = ? AND state = ?`, dataset.String(), capture.QuarantineReleased)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var id, fingerprint string
			if err := rows.Scan(&id, &fingerprint); err != nil {
				return err
			}
			overrides[id] = fingerprint
		}
		return rows.Err()
	})
	return overrides, err
}

// ReleaseRecord implements capture.State.
func (s *NodeState) ReleaseRecord(ctx context.Context, dataset lienthong.DatasetID, id string, act capture.Act) (fingerprint string, err error) {
	name := dataset.String()
	err = s.tx(ctx, "release a record of "+name, func(tx *sql.Tx) error {
		var state capture.QuarantineState
		err := tx.QueryRowContext(ctx, `SELECT state, fingerprint FROM quarantine WHERE dataset = ? AND id = ?`, name, id).Scan(&state, &fingerprint)
		if errors.Is(err, sql.ErrNoRows) {
			return notHeld(name)
		}
		if err != nil {
			return err
		}
		if state != capture.QuarantineHeld && state != capture.QuarantineExpired || strings.HasPrefix(id, "?") {
			return notHeld(name)
		}
		rules, err := openRules(ctx, tx, name, id, true)
		if err != nil {
			return err
		}
		return enter(ctx, tx, name, id, capture.QuarantineReleased, rules, act)
	})
	return fingerprint, err
}

func notHeld(dataset string) error {
	return &lienthong.Error{
		Code: "quarantine.not_held", Where: dataset,
		Vi: "bản ghi này không bị cách ly, hoặc không có định danh nên không thể cho qua", En: "the record is not held back, or has no identity and cannot be let pass",
		Hint: "xem danh sách cách ly / look at the list of held records",
	}
}

// ExpireRecords implements capture.State.
func (s *NodeState) ExpireRecords(ctx context.Context, dataset lienthong.DatasetID, before int64, act capture.Act) (n int, err error) {
	name := dataset.String()
	err = s.tx(ctx, "expire records of "+name, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id FROM quarantine WHERE dataset = ? AND state = ? AND changed < ?`, name, capture.QuarantineHeld, before)
		if err != nil {
			return err
		}
		ids, err := scanTexts(rows)
		if err != nil {
			return err
		}
		for _, id := range ids {
			rules, err := openRules(ctx, tx, name, id, true)
			if err != nil {
				return err
			}
			if err := enter(ctx, tx, name, id, capture.QuarantineExpired, rules, act); err != nil {
				return err
			}
		}
		n = len(ids)
		return nil
	})
	return n, err
}

func scanTexts(rows *sql.Rows) ([]string, error) {
	defer func() { _ = rows.Close() }()
	var texts []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, rows.Err()
}

// defaultPage is how many entries a page of the quarantine has.
const defaultPage = 100

// Quarantine implements capture.State: records in order of dataset and identity.
func (s *NodeState) Quarantine(ctx context.Context, filter capture.QuarantineFilter) (capture.QuarantinePage, error) {
	page := capture.QuarantinePage{Entries: []capture.QuarantineEntry{}, Counts: map[capture.QuarantineState]int64{}}
	limit := filter.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	var where []string
	var args []any
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if filter.Dataset != nil {
		add("dataset = ?", filter.Dataset.String())
	}
	err := s.tx(ctx, "list quarantine", func(tx *sql.Tx) error {
		if err := countStates(ctx, tx, where, args, page.Counts); err != nil {
			return err
		}
		if len(filter.States) > 0 {
			var states []any
			for _, state := range filter.States {
				states = append(states, state)
			}
			add("state IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(states)), ", ")+")", states...)
		}
		if filter.Rule != "" {
			add("EXISTS (SELECT 1 FROM findings f WHERE f.dataset = quarantine.dataset AND f.id = quarantine.id AND f.rule = ?)", filter.Rule)
		}
		if dataset, id, found := strings.Cut(filter.After, "/"); found {
			add("(dataset, id) > (?, ?)", dataset, id)
		}
		query := `SELECT dataset, id, plain, state, since, changed, fingerprint, actor, reason FROM quarantine`
		if len(where) > 0 {
			query += " WHERE " + strings.Join(where, " AND ")
		}
		rows, err := tx.QueryContext(ctx, query+" ORDER BY dataset, id LIMIT ?", append(args, limit+1)...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			entry, err := scanEntry(rows.Scan)
			if err != nil {
				return err
			}
			page.Entries = append(page.Entries, entry)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if len(page.Entries) > limit {
			page.Entries = page.Entries[:limit]
			last := page.Entries[limit-1]
			page.Next = last.Dataset.String() + "/" + last.ID
		}
		for i := range page.Entries {
			e := &page.Entries[i]
			if e.Rules, err = openRules(ctx, tx, e.Dataset.String(), e.ID, false); err != nil {
				return err
			}
		}
		return nil
	})
	return page, err
}

func countStates(ctx context.Context, tx *sql.Tx, where []string, args []any, counts map[capture.QuarantineState]int64) error {
	query := `SELECT state, count(*) FROM quarantine`
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	rows, err := tx.QueryContext(ctx, query+" GROUP BY state", args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var state capture.QuarantineState
		var n int64
		if err := rows.Scan(&state, &n); err != nil {
			return err
		}
		counts[state] = n
	}
	return rows.Err()
}

func scanEntry(scan func(...any) error) (capture.QuarantineEntry, error) {
	var e capture.QuarantineEntry
	var dataset string
	if err := scan(&dataset, &e.ID, &e.Plain, &e.State, &e.Since, &e.Changed, &e.Fingerprint, &e.By, &e.Reason); err != nil {
		return e, err
	}
	id, err := lienthong.ParseDatasetID(dataset)
	e.Dataset = id
	return e, err
}

// QuarantineRecord implements capture.State.
func (s *NodeState) QuarantineRecord(ctx context.Context, dataset lienthong.DatasetID, id string) (capture.QuarantineEntry, []capture.QuarantineEvent, []lienthong.Finding, error) {
	var entry capture.QuarantineEntry
	var history []capture.QuarantineEvent
	var findings []lienthong.Finding
	name := dataset.String()
	err := s.tx(ctx, "find a held record of "+name, func(tx *sql.Tx) error {
		var err error
		entry, err = scanEntry(tx.QueryRowContext(ctx, `SELECT dataset, id, plain, state, since, changed, fingerprint, actor, reason FROM quarantine
			WHERE dataset = ? AND (id = ? OR plain = ?) ORDER BY id = ? DESC LIMIT 1`, name, id, id, id).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return notHeld(name)
		}
		if err != nil {
			return err
		}
		if entry.Rules, err = openRules(ctx, tx, name, entry.ID, false); err != nil {
			return err
		}
		if history, err = readHistory(ctx, tx, name, entry.ID); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT finding FROM findings WHERE dataset = ? AND id = ? ORDER BY blocking DESC, rule, field`, name, entry.ID)
		if err != nil {
			return err
		}
		texts, err := scanTexts(rows)
		if err != nil {
			return err
		}
		for _, text := range texts {
			var f lienthong.Finding
			if err := json.Unmarshal([]byte(text), &f); err != nil {
				return err
			}
			findings = append(findings, f)
		}
		return nil
	})
	return entry, history, findings, err
}

func readHistory(ctx context.Context, tx *sql.Tx, dataset, id string) ([]capture.QuarantineEvent, error) {
	rows, err := tx.QueryContext(ctx, `SELECT at, state, rules, actor, reason FROM quarantine_events WHERE dataset = ? AND id = ? ORDER BY no`, dataset, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var history []capture.QuarantineEvent
	for rows.Next() {
		var e capture.QuarantineEvent
		var rules string
		if err := rows.Scan(&e.At, &e.State, &rules, &e.By, &e.Reason); err != nil {
			return nil, err
		}
		if rules != "" {
			e.Rules = strings.Split(rules, ",")
		}
		history = append(history, e)
	}
	return history, rows.Err()
}

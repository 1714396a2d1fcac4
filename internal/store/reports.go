package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/lienthong/lienthong"
)

// SaveReconciliation keeps the result of comparing both ends of a stream. Saving
// the same checkpoint of the same moment again replaces it.
func (s *Store) SaveReconciliation(ctx context.Context, r lienthong.Reconciliation) error {
	if err := s.register(ctx, r.Stream); err != nil {
		return err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("store: encode reconciliation of %s: %w", r.Stream, err)
	}
	_, err = s.change(ctx, `INSERT INTO reconciliations (stream, at, checkpoint, body)
		SELECT no, CAST(? AS bigint), CAST(? AS text), CAST(? AS text) FROM streams WHERE node = ? AND dataset = ?
		ON CONFLICT (stream, at, checkpoint) DO UPDATE SET body = excluded.body`,
		r.At, r.Checkpoint, string(body), r.Node, r.Dataset.String())
	if err != nil {
		return fmt.Errorf("store: keep reconciliation of %s: %w", r.Stream, err)
	}
	return nil
}

// Reconciliations returns the latest result of every stream that has one.
func (s *Store) Reconciliations(ctx context.Context) ([]lienthong.Reconciliation, error) {
	var results []lienthong.Reconciliation
	err := s.engine.reader().each(ctx, `SELECT r.body FROM reconciliations r
		JOIN (SELECT stream, max(at) AS at FROM reconciliations GROUP BY stream) m ON m.stream = r.stream AND m.at = r.at
		ORDER BY r.stream, r.checkpoint`, nil, func(scan scanFunc) error {
		var body string
		if err := scan(&body); err != nil {
			return err
		}
		var r lienthong.Reconciliation
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			return err
		}
		if n := len(results); n > 0 && results[n-1].Stream == r.Stream {
			results[n-1] = r // two checkpoints in one microsecond
			return nil
		}
		results = append(results, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: read reconciliations: %w", err)
	}
	return results, nil
}

// ReconciliationCount is how often a stream has been compared, and how often
// both ends matched.
func (s *Store) ReconciliationCount(ctx context.Context, stream lienthong.Stream) (compared, matched int64, err error) {
	err = s.engine.reader().each(ctx, `SELECT r.body FROM reconciliations r JOIN streams t ON t.no = r.stream WHERE t.node = ? AND t.dataset = ?`,
		[]any{stream.Node, stream.Dataset.String()}, func(scan scanFunc) error {
			var body string
			if err := scan(&body); err != nil {
				return err
			}
			var r lienthong.Reconciliation
			if err := json.Unmarshal([]byte(body), &r); err != nil {
				return err
			}
			compared++
			if r.Result == lienthong.Matches {
				matched++
			}
			return nil
		})
	if err != nil {
		return 0, 0, fmt.Errorf("store: count reconciliations of %s: %w", stream, err)
	}
	return compared, matched, nil
}

// Report is what a node said about the quality of a dataset, as JSON.
type Report struct {
	Stream lienthong.Stream
	At     int64
	Body   []byte
}

// SaveReport keeps a report. The same stream and moment again replaces it.
func (s *Store) SaveReport(ctx context.Context, stream lienthong.Stream, at int64, body []byte) error {
	if err := s.register(ctx, stream); err != nil {
		return err
	}
	_, err := s.change(ctx, `INSERT INTO reports (stream, at, body)
		SELECT no, CAST(? AS bigint), CAST(? AS text) FROM streams WHERE node = ? AND dataset = ?
		ON CONFLICT (stream, at) DO UPDATE SET body = excluded.body`, at, string(body), stream.Node, stream.Dataset.String())
	if err != nil {
		return fmt.Errorf("store: keep report of %s: %w", stream, err)
	}
	return nil
}

// Reports returns the latest report of every stream that has one.
func (s *Store) Reports(ctx context.Context) ([]Report, error) {
	var reports []Report
	err := s.engine.reader().each(ctx, `SELECT t.node, t.dataset, r.at, r.body FROM reports r
		JOIN (SELECT stream, max(at) AS at FROM reports GROUP BY stream) m ON m.stream = r.stream AND m.at = r.at
		JOIN streams t ON t.no = r.stream ORDER BY r.stream`, nil, func(scan scanFunc) error {
		var r Report
		var dataset, body string
		if err := scan(&r.Stream.Node, &dataset, &r.At, &body); err != nil {
			return err
		}
		id, err := lienthong.ParseDatasetID(dataset)
		r.Stream.Dataset, r.Body = id, []byte(body)
		reports = append(reports, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: read reports: %w", err)
	}
	return reports, nil
}

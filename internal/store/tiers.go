package store

import (
	"context"
	"fmt"
	"time"

	"github.com/lienthong/lienthong"
)

// PassedReceipt is a receipt of a hub above, for a node below.
type PassedReceipt struct {
	Stream    lienthong.Stream
	Sequence  uint64
	Hub       string
	Body      string // the exact JSON that the signature covers
	Signature string
}

// KeepPassed keeps receipts of hubs above until the nodes that they are for have them.
func (s *Store) KeepPassed(ctx context.Context, receipts []PassedReceipt) error {
	err := s.transact(ctx, func(w writer) error {
		rows := make([][]any, len(receipts))
		for i, r := range receipts {
			rows[i] = []any{r.Stream.Node, r.Stream.Dataset.String(), int64(r.Sequence), r.Hub, r.Body, r.Signature, micros(s.config.Now())}
		}
		return w.many(ctx, `INSERT INTO passed_receipts (node, dataset, sequence, hub, body, signature, at) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (node, dataset, sequence, hub) DO NOTHING`, rows)
	})
	if err != nil {
		return fmt.Errorf("store: keep receipts of the hub above: %w", err)
	}
	return nil
}

// PassedNodes lists the nodes that kept receipts are for.
func (s *Store) PassedNodes(ctx context.Context) ([]string, error) {
	var nodes []string
	err := s.engine.reader().each(ctx, "SELECT DISTINCT node FROM passed_receipts ORDER BY node", nil, func(scan scanFunc) error {
		var node string
		err := scan(&node)
		nodes = append(nodes, node)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list receipts of the hub above: %w", err)
	}
	return nodes, nil
}

// Untold lists kept receipts of a node that were not told since a time, oldest first, and
// notes that they are told now.
func (s *Store) Untold(ctx context.Context, node string, since time.Time, limit int) ([]PassedReceipt, error) {
	list, err := s.passed(ctx, "WHERE node = ? AND told_at < ? ORDER BY at, dataset, sequence, hub LIMIT ?", node, micros(since), int64(limit))
	if err != nil || len(list) == 0 {
		return nil, err
	}
	rows := make([][]any, len(list))
	for i, r := range list {
		rows[i] = []any{micros(s.config.Now()), r.Stream.Node, r.Stream.Dataset.String(), int64(r.Sequence), r.Hub}
	}
	err = s.transact(ctx, func(w writer) error {
		return w.many(ctx, "UPDATE passed_receipts SET told_at = ? WHERE node = ? AND dataset = ? AND sequence = ? AND hub = ?", rows)
	})
	if err != nil {
		return nil, fmt.Errorf("store: note told receipts: %w", err)
	}
	return list, nil
}

// Heard forgets receipts that a node has.
func (s *Store) Heard(ctx context.Context, receipts []PassedReceipt) error {
	rows := make([][]any, len(receipts))
	for i, r := range receipts {
		rows[i] = []any{r.Stream.Node, r.Stream.Dataset.String(), int64(r.Sequence), r.Hub}
	}
	err := s.transact(ctx, func(w writer) error {
		return w.many(ctx, "DELETE FROM passed_receipts WHERE node = ? AND dataset = ? AND sequence = ? AND hub = ?", rows)
	})
	if err != nil {
		return fmt.Errorf("store: forget told receipts: %w", err)
	}
	return nil
}

// PassedFor lists the kept receipts of nodes and notes the bundle that carries them.
func (s *Store) PassedFor(ctx context.Context, nodes []string, bundle string) ([]PassedReceipt, error) {
	for _, node := range nodes {
		if _, err := s.change(ctx, "UPDATE passed_receipts SET bundle = ? WHERE node = ?", bundle, node); err != nil {
			return nil, fmt.Errorf("store: note carried receipts: %w", err)
		}
	}
	return s.passed(ctx, "WHERE bundle = ? ORDER BY node, dataset, sequence, hub", bundle)
}

// PassedBy forgets the receipts that a bundle has carried to their node.
func (s *Store) PassedBy(ctx context.Context, bundle string) error {
	if _, err := s.change(ctx, "DELETE FROM passed_receipts WHERE bundle = ? AND bundle <> ''", bundle); err != nil {
		return fmt.Errorf("store: forget carried receipts: %w", err)
	}
	return nil
}

func (s *Store) passed(ctx context.Context, where string, args ...any) ([]PassedReceipt, error) {
	var list []PassedReceipt
	err := s.engine.reader().each(ctx, "SELECT node, dataset, sequence, hub, body, signature FROM passed_receipts "+where, args,
		func(scan scanFunc) error {
			var r PassedReceipt
			var dataset string
			var sequence int64
			err := scan(&r.Stream.Node, &dataset, &sequence, &r.Hub, &r.Body, &r.Signature)
			if err != nil {
				return err
			}
			r.Sequence = uint64(sequence)
			r.Stream.Dataset, err = lienthong.ParseDatasetID(dataset)
			list = append(list, r)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("store: list receipts of the hub above: %w", err)
	}
	return list, nil
}

// LandedBatch is a batch of the ledger, as its receipt tells it.
type LandedBatch struct {
	Sequence  uint64
	Digest    string
	Landed    int
	Ignored   int
	AppliedAt int64
}

// Landed calls f with the batches of a stream that have landed, from a sequence on.
func (s *Store) Landed(ctx context.Context, stream lienthong.Stream, from uint64, f func(LandedBatch) error) error {
	err := s.engine.reader().each(ctx, `SELECT l.sequence, l.digest, l.landed, l.ignored, l.applied_at FROM ledger l
		JOIN streams s ON s.no = l.stream WHERE s.node = ? AND s.dataset = ? AND l.sequence >= ? ORDER BY l.sequence`,
		[]any{stream.Node, stream.Dataset.String(), int64(from)}, func(scan scanFunc) error {
			var b LandedBatch
			var sequence, landed, ignored int64
			if err := scan(&sequence, &b.Digest, &landed, &ignored, &b.AppliedAt); err != nil {
				return err
			}
			b.Sequence, b.Landed, b.Ignored = uint64(sequence), int(landed), int(ignored)
			return f(b)
		})
	if err != nil {
		return fmt.Errorf("store: read ledger of %s: %w", stream, err)
	}
	return nil
}

// Bundle is a bundle that was taken in.
type Bundle struct {
	ID       string
	Sender   string
	Created  int64
	Imported int64
	About    string // JSON: what it said of itself
}

// Bundle looks a bundle up; false when it was not taken in.
func (s *Store) Bundle(ctx context.Context, id string) (Bundle, bool, error) {
	list, err := s.bundles(ctx, "WHERE id = ?", id)
	if err != nil || len(list) == 0 {
		return Bundle{}, false, err
	}
	return list[0], true, nil
}

// LastBundle is the newest bundle of a sender, by the time that it was made.
func (s *Store) LastBundle(ctx context.Context, sender string) (Bundle, bool, error) {
	list, err := s.bundles(ctx, "WHERE sender = ? ORDER BY created_at DESC, id LIMIT 1", sender)
	if err != nil || len(list) == 0 {
		return Bundle{}, false, err
	}
	return list[0], true, nil
}

func (s *Store) bundles(ctx context.Context, where string, args ...any) ([]Bundle, error) {
	var list []Bundle
	err := s.engine.reader().each(ctx, "SELECT id, sender, created_at, imported_at, about FROM bundles "+where, args, func(scan scanFunc) error {
		var b Bundle
		err := scan(&b.ID, &b.Sender, &b.Created, &b.Imported, &b.About)
		list = append(list, b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: look up bundle: %w", err)
	}
	return list, nil
}

// SaveBundle notes that a bundle was taken in.
func (s *Store) SaveBundle(ctx context.Context, b Bundle) error {
	_, err := s.change(ctx, "INSERT INTO bundles (id, sender, created_at, imported_at, about) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
		b.ID, b.Sender, b.Created, micros(s.config.Now()), b.About)
	if err != nil {
		return fmt.Errorf("store: note bundle: %w", err)
	}
	return nil
}

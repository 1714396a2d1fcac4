package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lienthong/lienthong"
)

// receiptSchema is what a node keeps of its receipts, beside its log, which has only
// their digests: anybody can verify one again while it is here.
const receiptSchema = `
CREATE TABLE IF NOT EXISTS receipts (
	dataset   TEXT NOT NULL,
	sequence  INTEGER NOT NULL,
	hub       TEXT NOT NULL,
	digest    TEXT NOT NULL,
	sealed    INTEGER NOT NULL,
	at        INTEGER NOT NULL,
	body      TEXT NOT NULL,
	signature TEXT NOT NULL,
	PRIMARY KEY (dataset, sequence, hub)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bundles (
	id TEXT PRIMARY KEY,
	at INTEGER NOT NULL
) STRICT;
`

// receiptsKept is how many of the newest batches of a dataset keep their receipts.
const receiptsKept = 100_000

// NodeReceipt is a receipt that a node has.
type NodeReceipt struct {
	Stream    lienthong.Stream
	Sequence  uint64
	Hub       string
	Digest    string // of the batch
	Sealed    int64  // when the batch was sealed, microseconds; 0: not known
	At        int64  // when the receipt was taken in
	Body      string // the exact JSON that the signature covers
	Signature string
}

// SaveReceipts keeps receipts. It returns those whose batch has another digest under the
// receipt of another hub, and keeps them not.
func (s *NodeState) SaveReceipts(ctx context.Context, receipts []NodeReceipt) (mismatched []NodeReceipt, err error) {
	err = s.tx(ctx, "save receipts", func(tx *sql.Tx) error {
		mismatched = nil
		for _, r := range receipts {
			dataset := r.Stream.Dataset.String()
			var known string
			err := tx.QueryRowContext(ctx, `SELECT digest FROM receipts WHERE dataset = ? AND sequence = ? AND hub <> ? LIMIT 1`,
				dataset, r.Sequence, r.Hub).Scan(&known)
			switch {
			case errors.Is(err, sql.ErrNoRows):
			case err != nil:
				return err
			case known != r.Digest:
				mismatched = append(mismatched, r)
				continue
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO receipts (dataset, sequence, hub, digest, sealed, at, body, signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (dataset, sequence, hub) DO NOTHING`, dataset, r.Sequence, r.Hub, r.Digest, r.Sealed, r.At, r.Body, r.Signature)
			if err != nil {
				return err
			}
			if r.Sequence%1000 == 0 && r.Sequence > receiptsKept {
				if _, err := tx.ExecContext(ctx, `DELETE FROM receipts WHERE dataset = ? AND sequence <= ?`, dataset, r.Sequence-receiptsKept); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return mismatched, err
}

// Receipts lists the receipts of one batch, in the order in which they came.
func (s *NodeState) Receipts(ctx context.Context, dataset lienthong.DatasetID, sequence uint64) ([]NodeReceipt, error) {
	return s.receipts(ctx, "", `SELECT dataset, sequence, hub, digest, sealed, at, body, signature FROM receipts
		WHERE dataset = ? AND sequence = ? ORDER BY at, hub`, dataset.String(), sequence)
}

// NewestReceipts lists the receipts of the newest batches of a node, newest first; of one
// dataset, or of all when it is empty.
func (s *NodeState) NewestReceipts(ctx context.Context, node string, dataset string, batches int) ([]NodeReceipt, error) {
	return s.receipts(ctx, node, `SELECT r.dataset, r.sequence, r.hub, r.digest, r.sealed, r.at, r.body, r.signature FROM receipts r
		JOIN (SELECT dataset, sequence, max(at) AS newest FROM receipts WHERE ? = '' OR dataset = ? GROUP BY dataset, sequence ORDER BY newest DESC, sequence DESC LIMIT ?) n
		ON n.dataset = r.dataset AND n.sequence = r.sequence ORDER BY n.newest DESC, r.dataset, r.sequence DESC, r.at`, dataset, dataset, batches)
}

func (s *NodeState) receipts(ctx context.Context, node, query string, args ...any) ([]NodeReceipt, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: list receipts: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var list []NodeReceipt
	for rows.Next() {
		r := NodeReceipt{Stream: lienthong.Stream{Node: node}}
		var name string
		if err := rows.Scan(&name, &r.Sequence, &r.Hub, &r.Digest, &r.Sealed, &r.At, &r.Body, &r.Signature); err != nil {
			return nil, fmt.Errorf("store: list receipts: %w", err)
		}
		if r.Stream.Dataset, err = lienthong.ParseDatasetID(name); err != nil {
			return nil, fmt.Errorf("store: list receipts: %w", err)
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: list receipts: %w", err)
	}
	return list, nil
}

// Bundle reports whether a bundle of receipts was taken in.
func (s *NodeState) Bundle(ctx context.Context, id string) (bool, error) {
	n := 0
	err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM bundles WHERE id = ?`, id).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("store: look up bundle: %w", err)
	}
	return n > 0, nil
}

// SaveBundle notes that a bundle of receipts was taken in.
func (s *NodeState) SaveBundle(ctx context.Context, id string, at int64) error {
	if _, err := s.db.ExecContext(ctx, `INSERT INTO bundles (id, at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING`, id, at); err != nil {
		return fmt.Errorf("store: note bundle: %w", err)
	}
	return nil
}

// LastBundle is the bundle of receipts that was taken in last; empty: none was.
func (s *NodeState) LastBundle(ctx context.Context) (string, error) {
	id := ""
	err := s.db.QueryRowContext(ctx, `SELECT id FROM bundles ORDER BY at DESC, rowid DESC LIMIT 1`).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("store: look up bundle: %w", err)
	}
	return id, nil
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lienthong/lienthong"
)

// positionSchema says which batch carries which changes, for datasets whose senders ask what
// became of a record.
const positionSchema = `
CREATE TABLE IF NOT EXISTS positions (
	dataset  TEXT NOT NULL,
	sequence INTEGER NOT NULL,
	kind     TEXT NOT NULL,
	digest   TEXT NOT NULL,
	first    INTEGER NOT NULL,
	last     INTEGER NOT NULL,
	PRIMARY KEY (dataset, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS positions_by_last ON positions (dataset, last);
`

// SavePosition keeps where a batch of rows stands in its source.
func (s *NodeState) SavePosition(ctx context.Context, h *lienthong.BatchHeader, digest string) error {
	if h.Kind != lienthong.ChangesBatch && h.Kind != lienthong.SnapshotBatch {
		return nil
	}
	return s.tx(ctx, "save the place of a batch", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO positions (dataset, sequence, kind, digest, first, last) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (dataset, sequence) DO NOTHING`,
			h.Dataset.String(), int64(h.Sequence), string(h.Kind), digest, int64(h.First.Order), int64(h.Last.Order))
		return err
	})
}

// BatchAt finds the newest batch that carries the change at a position; position 0 is the first
// load, of which it is the last batch.
func (s *NodeState) BatchAt(ctx context.Context, dataset lienthong.DatasetID, position uint64) (sequence uint64, digest string, found bool, err error) {
	query, args := `SELECT sequence, digest FROM positions WHERE dataset = ? AND kind = ? AND last >= ? AND first <= ? ORDER BY sequence DESC LIMIT 1`,
		[]any{dataset.String(), string(lienthong.ChangesBatch), int64(position), int64(position)}
	if position == 0 {
		query, args = `SELECT sequence, digest FROM positions WHERE dataset = ? AND kind = ? ORDER BY sequence DESC LIMIT 1`,
			[]any{dataset.String(), string(lienthong.SnapshotBatch)}
	}
	err = s.db.QueryRowContext(ctx, query, args...).Scan(&sequence, &digest)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", false, nil
	}
	if err != nil {
		return 0, "", false, fmt.Errorf("store: find the batch of a change: %w", err)
	}
	return sequence, digest, true, nil
}

// ReceiptOf is the receipt of the first hub that has signed for a batch.
func (s *NodeState) ReceiptOf(ctx context.Context, dataset lienthong.DatasetID, sequence uint64) (body, signature string, found bool, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT body, signature FROM receipts WHERE dataset = ? AND sequence = ? ORDER BY at LIMIT 1`,
		dataset.String(), int64(sequence)).Scan(&body, &signature)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", false, nil
	}
	if err != nil {
		return "", "", false, fmt.Errorf("store: find the receipt of a batch: %w", err)
	}
	return body, signature, true, nil
}

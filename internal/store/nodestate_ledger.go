package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector"
)

// nodeMigrations lists what has been added to nodeSchema since its first version. The
// file's user_version says how many of them it has.
func nodeMigrations() []string {
	return []string{
		`
ALTER TABLE chunks ADD COLUMN started INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN finished INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN again TEXT NOT NULL DEFAULT '';
CREATE TABLE sent_fields (
	dataset TEXT NOT NULL,
	field   TEXT NOT NULL,
	kind    TEXT NOT NULL,
	PRIMARY KEY (dataset, field)
) STRICT, WITHOUT ROWID;
CREATE TABLE baselines (
	dataset  TEXT PRIMARY KEY,
	baseline TEXT NOT NULL
) STRICT;
CREATE TABLE gaps (
	dataset TEXT PRIMARY KEY,
	gap     TEXT NOT NULL
) STRICT;
CREATE TABLE members (
	dataset TEXT NOT NULL,
	record  INTEGER NOT NULL,
	PRIMARY KEY (dataset, record)
) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine (
	dataset     TEXT NOT NULL,
	id          TEXT NOT NULL,
	plain       TEXT NOT NULL,
	state       TEXT NOT NULL,
	since       INTEGER NOT NULL,
	changed     INTEGER NOT NULL,
	fingerprint TEXT NOT NULL,
	actor       TEXT NOT NULL,
	reason      TEXT NOT NULL,
	PRIMARY KEY (dataset, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX quarantine_state ON quarantine (dataset, state);
CREATE TABLE quarantine_events (
	no      INTEGER PRIMARY KEY,
	dataset TEXT NOT NULL,
	id      TEXT NOT NULL,
	at      INTEGER NOT NULL,
	state   TEXT NOT NULL,
	rules   TEXT NOT NULL,
	actor   TEXT NOT NULL,
	reason  TEXT NOT NULL
) STRICT;
CREATE INDEX quarantine_history ON quarantine_events (dataset, id, no);
INSERT INTO quarantine SELECT dataset, id, '', 'held', min(at), min(at), '', '', '' FROM findings WHERE blocking = 1 GROUP BY dataset, id;
INSERT INTO quarantine_events (dataset, id, at, state, rules, actor, reason)
	SELECT dataset, id, min(at), 'held', group_concat(DISTINCT rule), '', '' FROM findings WHERE blocking = 1 GROUP BY dataset, id;
`,
		`ALTER TABLE shapes ADD COLUMN sent INTEGER NOT NULL DEFAULT 1`,
	}
}

func (s *NodeState) migrate(ctx context.Context) error {
	return s.tx(ctx, "bring the node's state up to date", func(tx *sql.Tx) error {
		var at int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&at); err != nil {
			return err
		}
		all := nodeMigrations()
		if at > len(all) {
			return &lienthong.Error{
				Code: "store.newer", Vi: "trạng thái của nút do phiên bản mới hơn tạo ra", En: "the node's state was made by a newer version of this program",
				Hint: "cài phiên bản mới hơn / install the newer version",
			}
		}
		for ; at < len(all); at++ {
			if _, err := tx.ExecContext(ctx, all[at]); err != nil {
				return fmt.Errorf("step %d: %w", at+1, err)
			}
			if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", at+1)); err != nil {
				return err
			}
		}
		return nil
	})
}

// loadSent reads what was sent and what it was compiled from.
func loadSent(ctx context.Context, tx *sql.Tx, name string, saved *capture.Saved) error {
	err := tx.QueryRowContext(ctx, `SELECT sent FROM shapes WHERE dataset = ?`, name).Scan(&saved.ShapeSent)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	saved.Sent = map[string]lienthong.Kind{}
	if saved.Shape != nil { // from before every field was kept
		for _, field := range saved.Shape.Fields {
			saved.Sent[field.Name] = field.Kind
		}
	}
	rows, err := tx.QueryContext(ctx, `SELECT field, kind FROM sent_fields WHERE dataset = ?`, name)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var field, text string
		var kind lienthong.Kind
		if err := rows.Scan(&field, &text); err != nil {
			return err
		}
		if err := kind.UnmarshalText([]byte(text)); err != nil {
			return err
		}
		saved.Sent[field] = kind
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if _, err := loadJSON(ctx, tx, &saved.Baseline, `SELECT baseline FROM baselines WHERE dataset = ?`, name); err != nil {
		return err
	}
	var gap capture.Gap
	if found, err := loadJSON(ctx, tx, &gap, `SELECT gap FROM gaps WHERE dataset = ?`, name); err != nil {
		return err
	} else if found {
		saved.Gap = &gap
	}
	return nil
}

// loadJSON reads one text, and reports whether there was one.
func loadJSON(ctx context.Context, tx *sql.Tx, into any, query string, args ...any) (bool, error) {
	var text string
	err := tx.QueryRowContext(ctx, query, args...).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) || err == nil && text == "" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, json.Unmarshal([]byte(text), into)
}

// loadLedger reads where the snapshot stands.
func loadLedger(ctx context.Context, tx *sql.Tx, name string, saved *capture.Saved) error {
	err := tx.QueryRowContext(ctx, `SELECT done FROM snapshots WHERE dataset = ?`, name).Scan(&saved.SnapshotDone)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var keys capture.KeyRange
	if found, err := loadJSON(ctx, tx, &keys, `SELECT again FROM snapshots WHERE dataset = ?`, name); err != nil {
		return err
	} else if found {
		saved.Again = &keys
	}
	rows, err := tx.QueryContext(ctx, `SELECT chunk, done, rows, digest, started, finished FROM chunks WHERE dataset = ? ORDER BY number`, name)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var c capture.SavedChunk
		var done bool
		if err := rows.Scan(&c.Chunk, &done, &c.Rows, &c.Digest, &c.Started, &c.Finished); err != nil {
			return err
		}
		switch {
		case done:
			c.State = capture.ChunkDone
		case c.Started > 0:
			c.State = capture.ChunkReading
		default:
			c.State = capture.ChunkPending
		}
		saved.Chunks = append(saved.Chunks, c)
	}
	return rows.Err()
}

// SaveShape implements capture.State.
func (s *NodeState) SaveShape(ctx context.Context, shape *lienthong.Shape) error {
	text, err := json.Marshal(shape)
	if err != nil {
		return fmt.Errorf("store: encode shape: %w", err)
	}
	name := shape.Dataset.String()
	return s.tx(ctx, "save shape", func(tx *sql.Tx) error {
		// Those of the shape before, when it was sent before fields were kept.
		var before lienthong.Shape
		if _, err := loadJSON(ctx, tx, &before, `SELECT shape FROM shapes WHERE dataset = ?`, name); err != nil {
			return err
		}
		for _, fields := range [][]lienthong.Field{before.Fields, shape.Fields} {
			for _, field := range fields {
				_, err := tx.ExecContext(ctx, `INSERT INTO sent_fields (dataset, field, kind) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
					name, field.Name, field.Kind.String())
				if err != nil {
					return err
				}
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO shapes (dataset, shape, sent) VALUES (?, ?, 0)
			ON CONFLICT (dataset) DO UPDATE SET shape = excluded.shape, sent = 0`, name, string(text))
		return err
	})
}

// ShapeSent implements capture.State.
func (s *NodeState) ShapeSent(ctx context.Context, dataset lienthong.DatasetID, version int) error {
	return s.exec(ctx, "note a shape as sent", `UPDATE shapes SET sent = 1 WHERE dataset = ? AND json_extract(shape, '$.version') = ?`, dataset.String(), version)
}

// SaveBaseline implements capture.State.
func (s *NodeState) SaveBaseline(ctx context.Context, dataset lienthong.DatasetID, baseline capture.Baseline) error {
	text, err := json.Marshal(baseline)
	if err != nil {
		return fmt.Errorf("store: encode a baseline: %w", err)
	}
	return s.exec(ctx, "save a baseline", `INSERT INTO baselines (dataset, baseline) VALUES (?, ?)
		ON CONFLICT (dataset) DO UPDATE SET baseline = excluded.baseline`, dataset.String(), string(text))
}

// SaveGap implements capture.State.
func (s *NodeState) SaveGap(ctx context.Context, dataset lienthong.DatasetID, gap *capture.Gap) error {
	if gap == nil {
		return s.exec(ctx, "end a gap", `DELETE FROM gaps WHERE dataset = ?`, dataset.String())
	}
	text, err := json.Marshal(gap)
	if err != nil {
		return fmt.Errorf("store: encode a gap: %w", err)
	}
	return s.exec(ctx, "save a gap", `INSERT INTO gaps (dataset, gap) VALUES (?, ?)
		ON CONFLICT (dataset) DO UPDATE SET gap = excluded.gap`, dataset.String(), string(text))
}

func (s *NodeState) exec(ctx context.Context, what, query string, args ...any) error {
	return s.tx(ctx, what, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

// AskSnapshot implements capture.State.
func (s *NodeState) AskSnapshot(ctx context.Context, dataset lienthong.DatasetID, keys capture.KeyRange) error {
	text, err := json.Marshal(keys)
	if err != nil {
		return fmt.Errorf("store: encode a range: %w", err)
	}
	name := dataset.String()
	return s.tx(ctx, "ask for a snapshot of "+name, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM chunks WHERE dataset = ?`, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE snapshots SET again = CASE done WHEN 1 THEN ? ELSE '' END WHERE dataset = ?`, string(text), name)
		return err
	})
}

// PlanSnapshot implements capture.State.
func (s *NodeState) PlanSnapshot(ctx context.Context, dataset lienthong.DatasetID, chunks []connector.Chunk) error {
	name := dataset.String()
	return s.tx(ctx, "plan snapshot of "+name, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM chunks WHERE dataset = ?`, name); err != nil {
			return err
		}
		for i, chunk := range chunks {
			_, err := tx.ExecContext(ctx, `INSERT INTO chunks (dataset, number, chunk, done, rows) VALUES (?, ?, ?, 0, 0)`, name, i, string(chunk))
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO snapshots (dataset, done) VALUES (?, 0) ON CONFLICT (dataset) DO NOTHING`, name)
		return err
	})
}

// SaveChunk implements capture.State.
func (s *NodeState) SaveChunk(ctx context.Context, dataset lienthong.DatasetID, index int, c capture.SavedChunk) error {
	return s.exec(ctx, "save a chunk", `UPDATE chunks SET done = ?, rows = ?, digest = ?, started = ?, finished = ? WHERE dataset = ? AND number = ?`,
		c.State == capture.ChunkDone, c.Rows, c.Digest, c.Started, c.Finished, dataset.String(), index)
}

// SnapshotDone implements capture.State.
func (s *NodeState) SnapshotDone(ctx context.Context, dataset lienthong.DatasetID) error {
	return s.exec(ctx, "finish a snapshot", `INSERT INTO snapshots (dataset, done) VALUES (?, 1)
		ON CONFLICT (dataset) DO UPDATE SET done = 1, again = ''`, dataset.String())
}

// Ledger is a dataset's snapshot, chunk by chunk, for people.
func (s *NodeState) Ledger(ctx context.Context, dataset lienthong.DatasetID) ([]capture.SavedChunk, error) {
	saved, err := s.Load(ctx, dataset)
	return saved.Chunks, err
}

// Members implements capture.State.
func (s *NodeState) Members(ctx context.Context, dataset lienthong.DatasetID, each func(uint64)) error {
	return s.tx(ctx, "read members", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT record FROM members WHERE dataset = ?`, dataset.String())
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var record int64
			if err := rows.Scan(&record); err != nil {
				return err
			}
			each(uint64(record))
		}
		return rows.Err()
	})
}

// SaveMembers implements capture.State.
func (s *NodeState) SaveMembers(ctx context.Context, dataset lienthong.DatasetID, change capture.MemberChange) error {
	name := dataset.String()
	return s.tx(ctx, "save members of "+name, func(tx *sql.Tx) error {
		if change.Cleared {
			if _, err := tx.ExecContext(ctx, `DELETE FROM members WHERE dataset = ?`, name); err != nil {
				return err
			}
		}
		for _, part := range []struct {
			query   string
			records []uint64
		}{
			{`INSERT INTO members (dataset, record) VALUES (?, ?) ON CONFLICT DO NOTHING`, change.Joined},
			{`DELETE FROM members WHERE dataset = ? AND record = ?`, change.Left},
		} {
			if len(part.records) == 0 {
				continue
			}
			statement, err := tx.PrepareContext(ctx, part.query)
			if err != nil {
				return err
			}
			for _, record := range part.records {
				if _, err := statement.ExecContext(ctx, name, int64(record)); err != nil {
					_ = statement.Close()
					return err
				}
			}
			if err := statement.Close(); err != nil {
				return err
			}
		}
		return nil
	})
}

package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	_ "modernc.org/sqlite" // the driver

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
)

// NodeState is what a node remembers between runs: chain heads, shapes, the
// progress of snapshots, and open findings. It is an SQLite file of the node's own, so
// that a node needs nothing installed.
type NodeState struct {
	db *sql.DB
}

const nodeSchema = `
CREATE TABLE IF NOT EXISTS heads (
	dataset  TEXT PRIMARY KEY,
	sequence INTEGER NOT NULL,
	digest   TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS shapes (
	dataset TEXT PRIMARY KEY,
	shape   TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS snapshots (
	dataset TEXT PRIMARY KEY,
	done    INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS chunks (
	dataset TEXT NOT NULL,
	number  INTEGER NOT NULL,
	chunk   TEXT NOT NULL,
	done    INTEGER NOT NULL,
	rows    INTEGER NOT NULL,
	PRIMARY KEY (dataset, number)
) STRICT;
CREATE TABLE IF NOT EXISTS findings (
	dataset  TEXT NOT NULL,
	id       TEXT NOT NULL,
	rule     TEXT NOT NULL,
	field    TEXT NOT NULL,
	blocking INTEGER NOT NULL,
	at       INTEGER NOT NULL,
	finding  TEXT NOT NULL,
	PRIMARY KEY (dataset, id, rule, field)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit_outbox (
	no    INTEGER PRIMARY KEY AUTOINCREMENT,
	at    INTEGER NOT NULL,
	entry TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS findings_newest ON findings (dataset, blocking DESC, at DESC);
`

// OpenNodeState opens or creates the state file in dir.
func OpenNodeState(ctx context.Context, dir string) (*NodeState, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "node.db")+
		"?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("store: open node state: %w", err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, nodeSchema+receiptSchema+positionSchema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("store: open node state in %s: %w", dir, err)
	}
	s := &NodeState{db: db}
	if err := s.migrate(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return s, nil
}

// Close closes the file.
func (s *NodeState) Close() error { return s.db.Close() }

func (s *NodeState) tx(ctx context.Context, what string, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback()
		return fmt.Errorf("store: %s: %w", what, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	return nil
}

// Load implements capture.State.
func (s *NodeState) Load(ctx context.Context, dataset lienthong.DatasetID) (capture.Saved, error) {
	var saved capture.Saved
	name := dataset.String()
	err := s.tx(ctx, "load "+name, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT sequence, digest FROM heads WHERE dataset = ?`, name).
			Scan(&saved.Head.Sequence, &saved.Head.Digest)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var shape string
		err = tx.QueryRowContext(ctx, `SELECT shape FROM shapes WHERE dataset = ?`, name).Scan(&shape)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		default:
			if err := json.Unmarshal([]byte(shape), &saved.Shape); err != nil {
				return err
			}
		}
		if err := loadSent(ctx, tx, name, &saved); err != nil {
			return err
		}
		return loadLedger(ctx, tx, name, &saved)
	})
	return saved, err
}

// SaveHeads records the newest receipted batch of each stream. Older ones change
// nothing.
func (s *NodeState) SaveHeads(ctx context.Context, receipts []lienthong.Receipt) error {
	return s.tx(ctx, "save heads", func(tx *sql.Tx) error {
		for _, r := range receipts {
			_, err := tx.ExecContext(ctx, `INSERT INTO heads (dataset, sequence, digest) VALUES (?, ?, ?)
				ON CONFLICT (dataset) DO UPDATE SET sequence = excluded.sequence, digest = excluded.digest
				WHERE excluded.sequence > heads.sequence`, r.Dataset.String(), r.Sequence, r.Digest)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Observe implements capture.State.
func (s *NodeState) Observe(ctx context.Context, dataset lienthong.DatasetID, observations []capture.Observation) error {
	name := dataset.String()
	return s.tx(ctx, "save findings of "+name, func(tx *sql.Tx) error {
		drop, err := tx.PrepareContext(ctx, `DELETE FROM findings WHERE dataset = ? AND id = ?`)
		if err != nil {
			return err
		}
		defer func() { _ = drop.Close() }()
		put, err := tx.PrepareContext(ctx, `INSERT INTO findings (dataset, id, rule, field, blocking, at, finding) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (dataset, id, rule, field) DO UPDATE SET blocking = excluded.blocking, finding = excluded.finding`)
		if err != nil {
			return err
		}
		defer func() { _ = put.Close() }()
		for i := range observations {
			o := &observations[i]
			if len(o.Unknown) == 0 {
				if _, err := drop.ExecContext(ctx, name, o.ID); err != nil {
					return err
				}
			} else if err := dropKnown(ctx, tx, name, o); err != nil {
				return err
			}
			for j := range o.Findings {
				f := &o.Findings[j]
				text, err := json.Marshal(f)
				if err != nil {
					return err
				}
				if _, err := put.ExecContext(ctx, name, o.ID, f.Rule, f.Field, f.Blocking, f.At, string(text)); err != nil {
					return err
				}
			}
			if err := track(ctx, tx, name, o); err != nil {
				return err
			}
		}
		return noteQuarantine(ctx, tx, name, observations)
	})
}

// Quarantine is what the node's log says of rows that were held back: which
// records and rules, as digests and codes.
type Quarantine struct {
	Dataset string         `json:"dataset"`
	Rows    int            `json:"rows"`
	Rules   map[string]int `json:"rules"`  // rows by rule code
	Digest  string         `json:"digest"` // SHA-256 of the record digests and rules, one a line
}

// noteQuarantine puts an entry for the log beside the findings, in their
// transaction: no row is held back unseen, whatever dies when.
func noteQuarantine(ctx context.Context, tx *sql.Tx, dataset string, observations []capture.Observation) error {
	q := Quarantine{Dataset: dataset, Rules: map[string]int{}}
	hash := sha256.New()
	var at int64
	for i := range observations {
		held := false
		for j := range observations[i].Findings {
			f := &observations[i].Findings[j]
			if !f.Blocking {
				continue
			}
			held, at = true, f.At
			q.Rules[f.Rule]++
			hash.Write([]byte(f.Record + " " + f.Rule + "\n"))
		}
		if held {
			q.Rows++
		}
	}
	if q.Rows == 0 {
		return nil
	}
	q.Digest = hex.EncodeToString(hash.Sum(nil))
	entry, err := json.Marshal(q)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO audit_outbox (at, entry) VALUES (?, ?)`, at, string(entry))
	return err
}

// QuarantineOutbox returns entries that are not in the log yet, in order.
func (s *NodeState) QuarantineOutbox(ctx context.Context, limit int) ([]AuditEntry, error) {
	var entries []AuditEntry
	err := s.tx(ctx, "read audit outbox", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT no, at, entry FROM audit_outbox ORDER BY no LIMIT ?`, limit)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var e AuditEntry
			var text string
			if err := rows.Scan(&e.No, &e.At, &text); err != nil {
				return err
			}
			e.Entry = []byte(text)
			entries = append(entries, e)
		}
		return rows.Err()
	})
	return entries, err
}

// QuarantineDone removes entries that are in the log.
func (s *NodeState) QuarantineDone(ctx context.Context, upTo int64) error {
	return s.tx(ctx, "empty audit outbox", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM audit_outbox WHERE no <= ?`, upTo)
		return err
	})
}

// dropKnown closes the findings about fields whose value the source did say.
func dropKnown(ctx context.Context, tx *sql.Tx, dataset string, o *capture.Observation) error {
	rows, err := tx.QueryContext(ctx, `SELECT rule, field FROM findings WHERE dataset = ? AND id = ?`, dataset, o.ID)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	type key struct{ rule, field string }
	var closed []key
	for rows.Next() {
		var k key
		if err := rows.Scan(&k.rule, &k.field); err != nil {
			return err
		}
		if !slices.Contains(o.Unknown, k.field) {
			closed = append(closed, k)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, k := range closed {
		if _, err := tx.ExecContext(ctx, `DELETE FROM findings WHERE dataset = ? AND id = ? AND rule = ? AND field = ?`, dataset, o.ID, k.rule, k.field); err != nil {
			return err
		}
	}
	return nil
}

// OpenRecords implements capture.State.
func (s *NodeState) OpenRecords(ctx context.Context, dataset lienthong.DatasetID) ([]string, error) {
	var ids []string
	err := s.tx(ctx, "list findings", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT DISTINCT id FROM findings WHERE dataset = ?`, dataset.String())
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	return ids, err
}

// FindingCounts implements capture.State.
func (s *NodeState) FindingCounts(ctx context.Context, dataset lienthong.DatasetID) (map[string]int64, error) {
	counts := map[string]int64{}
	err := s.tx(ctx, "count findings", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT rule, field, count(*) FROM findings WHERE dataset = ? GROUP BY rule, field`, dataset.String())
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var rule, field string
			var n int64
			if err := rows.Scan(&rule, &field, &n); err != nil {
				return err
			}
			counts[capture.FindingKey(rule, field)] = n
		}
		return rows.Err()
	})
	return counts, err
}

// RecentFindings implements capture.State.
func (s *NodeState) RecentFindings(ctx context.Context, dataset lienthong.DatasetID, limit int) ([]lienthong.Finding, error) {
	var findings []lienthong.Finding
	err := s.findings(ctx, `WHERE dataset = ? ORDER BY blocking DESC, at DESC LIMIT ?`, func(_ string, f lienthong.Finding) {
		findings = append(findings, f)
	}, dataset.String(), limit)
	return findings, err
}

// EachFinding calls each with every open finding of a dataset and the identity of
// its record, for the owner, who has to find the record.
func (s *NodeState) EachFinding(ctx context.Context, dataset lienthong.DatasetID, each func(id string, f lienthong.Finding)) error {
	return s.findings(ctx, `WHERE dataset = ? ORDER BY id, rule, field`, each, dataset.String())
}

func (s *NodeState) findings(ctx context.Context, where string, each func(string, lienthong.Finding), args ...any) error {
	return s.tx(ctx, "list findings", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id, finding FROM findings `+where, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var id, text string
			if err := rows.Scan(&id, &text); err != nil {
				return err
			}
			var f lienthong.Finding
			if err := json.Unmarshal([]byte(text), &f); err != nil {
				return err
			}
			each(id, f)
		}
		return rows.Err()
	})
}

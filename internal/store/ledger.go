package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lienthong/lienthong"
)

// StreamState is where one chain of batches stands, with exact counters.
type StreamState struct {
	No            int64
	Stream        lienthong.Stream
	Sequence      uint64 // of the last batch that landed
	Digest        string // of that batch
	Live          int64  // records that are neither held nor deleted
	Held          int64
	Deleted       int64 // tombstones
	Batches       int64
	Changes       int64 // rows of changes batches that landed
	Refused       int64
	LastSourceAt  int64 // the latest time at the source of a landed change, microseconds
	LastAppliedAt int64
}

// Head is the end of a chain.
type Head struct {
	Sequence uint64
	Digest   string
}

const streamColumns = "no, node, dataset, sequence, digest, live, held, deleted, batches, changes, refused, last_source_at, last_applied_at"

func scanStream(scan scanFunc) (StreamState, error) {
	var st StreamState
	var dataset string
	var sequence int64
	err := scan(&st.No, &st.Stream.Node, &dataset, &sequence, &st.Digest, &st.Live, &st.Held, &st.Deleted,
		&st.Batches, &st.Changes, &st.Refused, &st.LastSourceAt, &st.LastAppliedAt)
	if err != nil {
		return st, err
	}
	st.Sequence = uint64(sequence)
	st.Stream.Dataset, err = lienthong.ParseDatasetID(dataset)
	return st, err
}

// register gives streams that are new their numbers, each in a transaction of
// its own: an Apply that held this counter could wait for another in a circle.
func (s *Store) register(ctx context.Context, stream lienthong.Stream) error {
	s.mu.Lock()
	known := s.registered[stream]
	s.mu.Unlock()
	if known {
		return nil
	}
	err := s.transact(ctx, func(w writer) error {
		no, err := next(ctx, w, "streams", 1)
		if err != nil {
			return err
		}
		_, err = w.exec(ctx, `INSERT INTO streams (no, node, dataset, fed)
			VALUES (?, ?, ?, coalesce((SELECT no FROM feeds WHERE dataset = ? AND is_open <> 0), 0)) ON CONFLICT (node, dataset) DO NOTHING`,
			no, stream.Node, stream.Dataset.String(), stream.Dataset.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("store: register %s: %w", stream, err)
	}
	s.mu.Lock()
	s.registered[stream] = true
	s.mu.Unlock()
	return nil
}

// lockStream returns the stream's state and the feed that its changes go to, and
// keeps others from changing either until the transaction ends.
func (s *Store) lockStream(ctx context.Context, w writer, stream lienthong.Stream) (state StreamState, fed int64, err error) {
	err = w.each(ctx, "SELECT "+streamColumns+", fed FROM streams WHERE node = ? AND dataset = ?"+s.engine.types().lockRow,
		[]any{stream.Node, stream.Dataset.String()}, func(scan scanFunc) (err error) {
			state, err = scanStream(func(dest ...any) error { return scan(append(dest, &fed)...) })
			return err
		})
	if err == nil && state.No == 0 {
		err = errors.New("the stream is not registered")
	}
	if err != nil {
		return state, 0, fmt.Errorf("store: lock %s: %w", stream, err)
	}
	return state, fed, nil
}

// readStream returns a zero state for a stream that is not registered.
func readStream(ctx context.Context, in session, stream lienthong.Stream, lock string) (StreamState, error) {
	var state StreamState
	err := in.each(ctx, "SELECT "+streamColumns+" FROM streams WHERE node = ? AND dataset = ?"+lock,
		[]any{stream.Node, stream.Dataset.String()}, func(scan scanFunc) (err error) {
			state, err = scanStream(scan)
			return err
		})
	return state, err
}

type ledgerRow struct {
	Applied
	digest string
}

// ledgerEntry returns what the ledger says of a batch; an empty digest when nothing.
func ledgerEntry(ctx context.Context, in session, stream int64, sequence uint64) (ledgerRow, error) {
	var entry ledgerRow
	err := in.each(ctx, "SELECT digest, landed, ignored, applied_at FROM ledger WHERE stream = ? AND sequence = ?",
		[]any{stream, int64(sequence)}, func(scan scanFunc) error {
			var landed, ignored int64
			err := scan(&entry.digest, &landed, &ignored, &entry.AppliedAt)
			entry.Landed, entry.Ignored = int(landed), int(ignored)
			return err
		})
	if err != nil {
		return entry, fmt.Errorf("store: read ledger: %w", err)
	}
	err = in.each(ctx, "SELECT record, reason FROM refusals WHERE stream = ? AND sequence = ? ORDER BY position",
		[]any{stream, int64(sequence)}, func(scan scanFunc) error {
			var r Refusal
			err := scan(&r.ID, &r.Reason)
			entry.Refused = append(entry.Refused, r)
			return err
		})
	if err != nil {
		return entry, fmt.Errorf("store: read refusals: %w", err)
	}
	return entry, nil
}

// auditEntry is what the transparency log says of a batch. It holds digests and
// counts, never a value.
type auditEntry struct {
	Type     string              `json:"type"`
	Stream   string              `json:"stream"`
	Sequence uint64              `json:"sequence"`
	Kind     lienthong.BatchKind `json:"kind"`
	Digest   string              `json:"digest"`
	Previous string              `json:"previous,omitempty"`
	Rows     int                 `json:"rows"`
	Landed   int                 `json:"landed"`
	Ignored  int                 `json:"ignored"`
	Refused  int                 `json:"refused,omitempty"`
	Applied  int64               `json:"applied"`
}

// account writes ledger, refusals, counters and audit entries. It comes last, so
// that the counter of audit entries, which every Apply locks, is locked briefly.
func (a *application) account(ctx context.Context) error {
	a.now = micros(a.store.config.Now())
	var ledger, refusals, outbox, states [][]any
	for _, i := range a.fresh {
		header, result := &a.items[i].Header, &a.results[i]
		result.AppliedAt = a.now
		state := a.states[header.Stream]
		state.Refused += int64(len(result.Refused))
		ledger = append(ledger, []any{
			state.No, int64(header.Sequence), a.items[i].Digest, header.Previous, string(header.Kind),
			int64(header.ShapeVersion), int64(header.Count), int64(result.Landed), int64(result.Ignored), int64(len(result.Refused)),
			int64(header.First.Order), header.First.Token, int64(header.Last.Order), header.Last.Token,
			header.Sealed, a.now, string(a.items[i].Body),
		})
		for n, r := range result.Refused {
			refusals = append(refusals, []any{state.No, int64(header.Sequence), int64(n), r.ID, r.Reason})
		}
		entry, err := json.Marshal(auditEntry{
			Type: "batch.landed", Stream: header.String(), Sequence: header.Sequence, Kind: header.Kind,
			Digest: a.items[i].Digest, Previous: header.Previous, Rows: header.Count,
			Landed: result.Landed, Ignored: result.Ignored, Refused: len(result.Refused), Applied: a.now,
		})
		if err != nil {
			return fmt.Errorf("store: encode audit entry: %w", err)
		}
		outbox = append(outbox, []any{int64(0), a.now, string(entry)})
	}
	a.copyRepeated()
	if len(a.fresh) == 0 {
		return nil
	}
	for _, stream := range a.order {
		st := a.states[stream]
		states = append(states, []any{
			int64(st.Sequence), st.Digest, st.Live, st.Held, st.Deleted, st.Batches, st.Changes, st.Refused,
			st.LastSourceAt, a.now, st.No,
		})
	}
	for _, statement := range []struct {
		query string
		rows  [][]any
	}{
		{`INSERT INTO ledger (stream, sequence, digest, previous, kind, shape_version, row_count, landed, ignored, refused,
			first_order, first_token, last_order, last_token, sealed, applied_at, body)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, ledger},
		{"INSERT INTO refusals (stream, sequence, position, record, reason) VALUES (?, ?, ?, ?, ?)", refusals},
		{`UPDATE streams SET sequence = ?, digest = ?, live = ?, held = ?, deleted = ?, batches = ?, changes = ?, refused = ?,
			last_source_at = ?, last_applied_at = ? WHERE no = ?`, states},
	} {
		if err := a.w.many(ctx, statement.query, statement.rows); err != nil {
			return fmt.Errorf("store: keep the ledger: %w", err)
		}
	}
	if err := a.writeFeeds(ctx); err != nil {
		return err
	}
	first, err := next(ctx, a.w, "audit", len(outbox))
	if err != nil {
		return err
	}
	for n := range outbox {
		outbox[n][0] = first + int64(n)
	}
	if err := a.w.many(ctx, "INSERT INTO audit_outbox (no, at, entry) VALUES (?, ?, ?)", outbox); err != nil {
		return fmt.Errorf("store: keep the audit entry: %w", err)
	}
	return nil
}

// copyRepeated gives a batch that came twice in one Apply the figures of its first.
func (a *application) copyRepeated() {
	for i := range a.results {
		if !a.results[i].Duplicate || a.results[i].AppliedAt != 0 {
			continue
		}
		for _, j := range a.fresh {
			if a.items[j].Header.Stream == a.items[i].Header.Stream && a.items[j].Header.Sequence == a.items[i].Header.Sequence {
				a.results[i] = a.results[j]
				a.results[i].Duplicate = true
			}
		}
	}
}

// StreamStates returns the state of every stream.
func (s *Store) StreamStates(ctx context.Context) ([]StreamState, error) {
	return streamStates(ctx, s.engine.reader())
}

func streamStates(ctx context.Context, in session) ([]StreamState, error) {
	var states []StreamState
	err := in.each(ctx, "SELECT "+streamColumns+" FROM streams ORDER BY no", nil, func(scan scanFunc) error {
		st, err := scanStream(scan)
		states = append(states, st)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: read streams: %w", err)
	}
	return states, nil
}

// Heads returns the end of every chain.
func (s *Store) Heads(ctx context.Context) (map[lienthong.Stream]Head, error) {
	return heads(ctx, s.engine.reader())
}

func heads(ctx context.Context, in session) (map[lienthong.Stream]Head, error) {
	states, err := streamStates(ctx, in)
	if err != nil {
		return nil, err
	}
	found := make(map[lienthong.Stream]Head, len(states))
	for _, st := range states {
		if st.Sequence > 0 {
			found[st.Stream] = Head{Sequence: st.Sequence, Digest: st.Digest}
		}
	}
	return found, nil
}

// AuditEntry is a line for the transparency log that waits in the outbox.
type AuditEntry struct {
	No    int64
	At    int64
	Entry []byte // JSON
}

// AuditOutbox returns waiting entries in order, starting after a number. Numbers
// are given in commit order: none appears later below one that was seen.
func (s *Store) AuditOutbox(ctx context.Context, after int64, limit int) ([]AuditEntry, error) {
	var entries []AuditEntry
	err := s.engine.reader().each(ctx, "SELECT no, at, entry FROM audit_outbox WHERE no > ? ORDER BY no LIMIT ?",
		[]any{after, int64(limit)}, func(scan scanFunc) error {
			var e AuditEntry
			var text string
			err := scan(&e.No, &e.At, &text)
			e.Entry = []byte(text)
			entries = append(entries, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("store: read audit outbox: %w", err)
	}
	return entries, nil
}

// AuditDone removes entries that are in the log.
func (s *Store) AuditDone(ctx context.Context, upTo int64) error {
	if _, err := s.change(ctx, "DELETE FROM audit_outbox WHERE no <= ?", upTo); err != nil {
		return fmt.Errorf("store: empty audit outbox: %w", err)
	}
	return nil
}

// FirstApplied is when the oldest batch of a stream that the ledger has landed; 0 when there is none.
func (s *Store) FirstApplied(ctx context.Context, stream lienthong.Stream) (int64, error) {
	var at int64
	err := s.engine.reader().each(ctx, `SELECT l.applied_at FROM ledger l JOIN streams s ON s.no = l.stream
		WHERE s.node = ? AND s.dataset = ? ORDER BY l.sequence LIMIT 1`, []any{stream.Node, stream.Dataset.String()},
		func(scan scanFunc) error { return scan(&at) })
	if err != nil {
		return 0, fmt.Errorf("store: first batch of %s: %w", stream, err)
	}
	return at, nil
}

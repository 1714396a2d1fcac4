package postgres

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// A table that was dropped and made again, or taken out of the publication, leaves a hole in
// the stream: the server streams nothing of it until it is published again. Such a table
// is handed over whole, as a truncate and every row, in one transaction at the position
// of a view. Nothing has to be remembered for it: a table that is younger than the slot's
// catalog horizon is one that the acknowledged part of the stream cannot have had. The
// horizon rises with what is acknowledged, so the server hears of nothing new until such
// a table has been handed over to its last row and that is acknowledged.

// mending is a view of the tables that are due, waiting for the stream to reach it.
type mending struct {
	view   *view
	tables []int
}

func (m *mending) close() {
	if m != nil {
		_ = m.view.Close()
	}
}

// errPoke says that the reader was woken to look about.
var errPoke = errors.New("woken")

// madeSince lists the tables that were made after what is acknowledged, as far as the
// slot's catalog horizon can tell. The row of a system column is never written again,
// so its transaction is the one that made the table. The horizon can be older than the slot;
// tables from before the slot's own beginning were loaded and are left out.
func (s *Source) madeSince(ctx context.Context, conn *pgx.Conn, tables []*table) ([]int, error) {
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		oids[i] = t.oid
	}
	rows, err := conn.Query(ctx, `
SELECT a.attrelid FROM pg_attribute a, pg_replication_slots s
WHERE s.slot_name = $1 AND a.attnum = -1 AND a.attrelid = ANY ($2::oid[]) AND age(a.xmin) <= age(s.catalog_xmin)
  AND NOT EXISTS (
    SELECT FROM pg_description d JOIN pg_publication p ON d.classoid = 'pg_publication'::regclass AND d.objoid = p.oid
    WHERE p.pubname = $1 AND age(a.xmin) >= age(d.xmin))`, s.slot, oids)
	if err != nil {
		return nil, err
	}
	young, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	var found []int
	for i, oid := range oids {
		if slices.Contains(young, oid) {
			found = append(found, i)
		}
	}
	return found, err
}

// replays are the tables to hand over whole.
type replays struct {
	mu      sync.Mutex
	at      map[int]uint64 // the position at which that was done, or 0
	planned uint64         // the position at which the stream is about to do it, or 0
}

// plan notes where the stream is about to hand over what is due.
func (r *replays) plan(position uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.planned = position
}

// open reports whether the stream up to a position misses a table that is to be handed over whole.
func (r *replays) open(table int, position uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, due := r.at[table]
	if at == 0 {
		at = r.planned
	}
	return due && (at == 0 || position < at)
}

func (r *replays) set(table int, at uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[int]uint64{}
	}
	r.at[table] = at
}

func (r *replays) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.planned = nil, 0
}

// pending reports whether a table has not been handed over and acknowledged.
func (r *replays) pending(acked uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.at {
		if at == 0 || acked < at {
			return true
		}
	}
	return false
}

// due lists the tables to hand over in a stream that begins after a position.
func (r *replays) due(after uint64) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var due []int
	for i, at := range r.at {
		if at == 0 || after < at {
			due = append(due, i)
		} else {
			delete(r.at, i) // acknowledged
		}
	}
	slices.Sort(due)
	return due
}

// flushed is what the server may hear of the acknowledged position.
func (s *Source) flushed() uint64 {
	if acked := s.acked.Load(); !s.replay.pending(acked) {
		raise(&s.told, acked)
	}
	return s.told.Load()
}

// prepareMending opens the view of the tables that are due, if there are any.
func (s *Source) prepareMending(ctx context.Context, after lienthong.Position, r *reader) error {
	due := s.replay.due(after.Order)
	if len(due) == 0 {
		return nil
	}
	opened, err := s.View(ctx)
	if err != nil {
		return err
	}
	v, ok := opened.(*view)
	if !ok || len(v.tables) != len(r.tables) {
		_ = opened.Close()
		return damaged(s.slot)
	}
	r.mend = &mending{view: v, tables: due}
	s.replay.plan(v.position.Order)
	if r.anew == nil {
		r.anew = map[int]bool{}
	}
	for _, i := range due {
		r.anew[i] = true
	}
	return nil
}

// mended hands over the tables that are due once the stream has reached their view.
func (r *reader) mended(ctx context.Context, reached lienthong.Position, l *line) error {
	m := r.mend
	if m == nil || reached.Before(m.view.position) {
		return nil
	}
	pos, version, at := m.view.position, m.view.version, m.view.at
	if err := r.deliver(r.sink.Begin(pos, at)); err != nil {
		return err
	}
	for _, i := range m.tables {
		now := m.view.tables[i]
		if err := r.deliver(r.sink.Schema(i, now.Table)); err != nil {
			return err
		}
		// One below the view's own version: two commits are never that close.
		if err := r.deliver(r.sink.Truncate(i, version-1, at)); err != nil {
			return err
		}
		chunks, err := m.view.Chunks(ctx, i, 100_000)
		if err != nil {
			return err
		}
		for _, chunk := range chunks {
			err := m.view.Read(ctx, i, chunk, func(row *connector.Row) error { return r.deliver(r.sink.Change(row)) })
			if err != nil {
				return err
			}
		}
		r.tables[i], r.latest = now, nil
		delete(r.anew, i)
		r.relations[now.oid] = &relation{index: i, table: now}
		r.source.cfg.Log.InfoContext(ctx, "postgres: a table that was made anew has been handed over whole",
			slog.String("source", r.source.cfg.Name), slog.String("table", now.Name))
	}
	r.last, r.restful = pos, false
	if err := r.deliver(r.sink.Commit(pos)); err != nil {
		return err
	}
	for _, i := range m.tables {
		r.source.replay.set(i, pos.Order)
	}
	m.close()
	r.mend = nil
	return l.arm(ctx, false) // it may have taken its time
}

// reopened is what the sink knows of the tables when the stream is opened again, and which
// of them are others by now.
func (s *Source) reopened(r *reader) (tables []*table, anew map[int]bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tables) != len(r.tables) {
		return nil, nil, &lienthong.Error{
			Code: "postgres.schema_changed", Where: s.cfg.Name,
			Vi: "danh sách bảng đã đổi trong lúc đọc", En: "the list of tables was changed while they were read",
			Hint: "hệ thống tự đọc lại / reading resumes where it stopped",
		}
	}
	tables, anew = slices.Clone(r.tables), map[int]bool{}
	maps.Copy(anew, r.anew)
	for _, rel := range r.relations {
		if rel.index >= 0 {
			tables[rel.index] = rel.table
			anew[rel.index] = anew[rel.index] || rel.announce
		}
	}
	for i, now := range s.tables {
		if now.oid != tables[i].oid {
			tables[i], anew[i] = now, true
		}
	}
	return tables, anew, nil
}

// watch looks at the catalog now and then, and has the stream opened again when a table is
// no longer the one that is read.
func (s *Source) watch(ctx context.Context, l *line) {
	if s.cfg.Watch < 0 {
		return
	}
	ticker := time.NewTicker(s.cfg.Watch)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		changed, err := s.look(ctx)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.DebugContext(ctx, "postgres: the catalog was not read", slog.String("source", s.cfg.Name), slog.Any("error", err))
		}
		if changed {
			l.reopen.Store(true)
			_ = l.conn.SetReadDeadline(time.Unix(1, 0))
		}
	}
}

// look finds tables whose name means another table now, or that are published no more,
// publishes them and notes that they are due.
func (s *Source) look(ctx context.Context) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.locked(ctx, func(conn *pgx.Conn) error {
		oids, schemas, names := make([]uint32, len(s.tables)), make([]string, len(s.tables)), make([]string, len(s.tables))
		for i, t := range s.tables {
			oids[i], schemas[i], names[i] = t.oid, t.schema, t.name
		}
		rows, err := conn.Query(ctx, `
WITH given AS (SELECT * FROM unnest($1::oid[], $2::text[], $3::text[]) WITH ORDINALITY AS g (oid, schema, name, place)),
published AS (SELECT t.relid FROM pg_publication p, pg_get_publication_tables(p.pubname) t WHERE p.pubname = $4)
SELECT g.place::int - 1, c.oid <> g.oid FROM given g
JOIN pg_namespace n ON n.nspname = g.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = g.name
WHERE c.relkind IN ('r', 'p')
  AND (c.oid <> g.oid OR NOT EXISTS (SELECT FROM published WHERE relid = g.oid) AND EXISTS (SELECT FROM pg_publication WHERE pubname = $4))`,
			oids, schemas, names, s.slot)
		if err != nil {
			return err
		}
		type finding struct {
			table   int
			another bool
		}
		findings, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f finding, err error) {
			err = row.Scan(&f.table, &f.another)
			return f, err
		})
		if err != nil || len(findings) == 0 {
			return err
		}
		all, err := catalog(ctx, conn)
		if err != nil {
			return err
		}
		s.fault = nil
		for _, f := range findings {
			now, err := choose(all, []string{s.tables[f.table].Name})
			if err == nil {
				err = s.publish(ctx, conn, now, true)
			}
			var coded *lienthong.Error
			if errors.As(err, &coded) {
				s.fault = coded // told by Health; the other tables go on
				continue
			}
			if err != nil {
				return err
			}
			s.tables = slices.Clone(s.tables)
			s.tables[f.table] = now[0]
			s.replay.set(f.table, 0)
			changed = true
		}
		return nil
	})
	return changed, err
}

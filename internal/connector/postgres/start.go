package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lienthong/lienthong"
)

// Start makes publication and slot, in this order: decoding looks a publication
// up as of each change, so it must exist before the slot's first change. It waits
// for transactions that are writing at that moment, as PostgreSQL requires.
func (s *Source) Start(ctx context.Context, names []string) (lienthong.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pos lienthong.Position
	err := s.locked(ctx, func(conn *pgx.Conn) error {
		if err := s.ready(ctx, conn); err != nil {
			return err
		}
		all, err := catalog(ctx, conn)
		if err != nil {
			return err
		}
		chosen, err := choose(all, names)
		if err != nil {
			return err
		}
		confirmed, exists, err := s.slotState(ctx, conn)
		if err != nil {
			return err
		}
		released, err := s.begins(ctx, conn, exists)
		if err != nil {
			return err
		}
		if err := s.publish(ctx, conn, chosen, exists); err != nil {
			return err
		}
		var anew []int
		if exists {
			if anew, err = s.madeSince(ctx, conn, chosen); err != nil {
				return err
			}
		} else {
			if err := s.markBeginning(ctx, conn); err != nil {
				return err
			}
			if confirmed, err = s.createSlot(ctx, conn); err != nil {
				return err
			}
		}
		if err := s.begun(ctx, conn, released); err != nil {
			return err
		}
		raise(&s.acked, confirmed)
		raise(&s.told, confirmed)
		pos.Order = confirmed
		s.tables, s.names, s.fault = chosen, slices.Clone(names), nil
		if !exists {
			s.replay.forget()
		}
		for _, i := range anew {
			s.replay.set(i, 0)
		}
		s.heard.started.CompareAndSwap(0, s.cfg.Now().UnixMicro())
		return nil
	})
	return pos, err
}

// ready checks what no statement of ours can change.
func (s *Source) ready(ctx context.Context, conn *pgx.Conn) error {
	var version int
	var level, user string
	var may bool
	err := conn.QueryRow(ctx, `
SELECT current_setting('server_version_num')::int, current_setting('wal_level'), current_user::text,
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)`).
		Scan(&version, &level, &user, &may)
	if err != nil {
		return err
	}
	switch {
	case version < oldestServer:
		return &lienthong.Error{
			Code: "postgres.version", Where: s.cfg.Name,
			Vi: fmt.Sprintf("PostgreSQL %d quá cũ", version/10000), En: fmt.Sprintf("PostgreSQL %d is too old", version/10000),
			Hint: "cần PostgreSQL 13 trở lên / PostgreSQL 13 or newer is needed",
		}
	case level != "logical":
		return &lienthong.Error{
			Code: "postgres.wal_level", Where: s.cfg.Name,
			Vi: "wal_level là " + level + ", cần logical", En: "wal_level is " + level + ", logical is needed",
			Hint: "ALTER SYSTEM SET wal_level = 'logical'; rồi khởi động lại PostgreSQL / then restart PostgreSQL",
		}
	case !may:
		return &lienthong.Error{
			Code: "postgres.replication", Where: s.cfg.Name,
			Vi: "tài khoản không có quyền REPLICATION", En: "the account lacks the REPLICATION attribute",
			Hint: "ALTER ROLE " + pgx.Identifier{user}.Sanitize() + " REPLICATION;",
		}
	}
	return nil
}

// slotState reads where our slot is.
func (s *Source) slotState(ctx context.Context, conn *pgx.Conn) (confirmed uint64, exists bool, err error) {
	var mine bool
	var status string
	err = conn.QueryRow(ctx, `
SELECT COALESCE(plugin = 'pgoutput' AND database = current_database(), false),
       COALESCE((confirmed_flush_lsn - '0/0')::bigint, 0), COALESCE(wal_status, '')
FROM pg_replication_slots WHERE slot_name = $1`, s.slot).Scan(&mine, &confirmed, &status)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	case !mine:
		return 0, true, &lienthong.Error{
			Code: "postgres.slot_foreign", Where: s.slot,
			Vi: "replication slot cùng tên thuộc về hệ thống khác", En: "a replication slot of this name belongs to something else",
			Hint: "đặt tên khác cho nguồn / give the source another name",
		}
	case status == "lost":
		return 0, true, s.historyLost("PostgreSQL no longer has the log that the slot needs",
			"PostgreSQL không còn giữ nhật ký mà slot cần")
	}
	return confirmed, true, nil
}

// publish makes sure that the publication has the tables. A publication that a
// database administrator has made is used as it is when it has them.
func (s *Source) publish(ctx context.Context, conn *pgx.Conn, tables []*table, slotExists bool) error {
	quoted := pgx.Identifier{s.slot}.Sanitize()
	var whole, viaRoot bool
	err := conn.QueryRow(ctx, `
SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot
FROM pg_publication WHERE pubname = $1`, s.slot).Scan(&whole, &viaRoot)
	if errors.Is(err, pgx.ErrNoRows) {
		if slotExists {
			return &lienthong.Error{
				Code: "postgres.publication_missing", Where: s.slot,
				Vi: "publication đã bị xóa, slot thì còn", En: "the publication was dropped while its slot stayed",
				Hint: "hủy rồi khởi động lại nguồn để tải lại từ đầu / destroy and start the source again, which loads it anew",
			}
		}
		return s.owned(ctx, conn, "CREATE PUBLICATION "+quoted+" FOR TABLE "+list(tables)+
			" WITH (publish_via_partition_root = true)")
	}
	if err != nil {
		return err
	}
	partitioned := slices.ContainsFunc(tables, func(t *table) bool { return t.partitioned })
	if !whole || (partitioned && !viaRoot) {
		err := s.owned(ctx, conn, "ALTER PUBLICATION "+quoted+
			" SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)")
		if err != nil {
			return err
		}
	}
	rows, err := conn.Query(ctx, `
SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_publication_tables WHERE pubname = $1`, s.slot)
	if err != nil {
		return err
	}
	published, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(tables), func(t *table) bool { return slices.Contains(published, t.Name) })
	if len(missing) == 0 {
		return nil
	}
	return s.owned(ctx, conn, "ALTER PUBLICATION "+quoted+" ADD TABLE "+list(missing))
}

// owned runs a statement that only an owner may run, and shows it to the person
// who is one when we are not.
func (s *Source) owned(ctx context.Context, conn *pgx.Conn, statement string) error {
	_, err := conn.Exec(ctx, statement)
	var told *pgconn.PgError
	if errors.As(err, &told) && told.Code == "42501" {
		return &lienthong.Error{
			Code: "postgres.publication_privilege", Where: s.slot,
			Vi:   "tài khoản không phải chủ sở hữu bảng nên không tạo được publication",
			En:   "the account does not own the tables and cannot publish them",
			Hint: "chủ sở hữu chạy / the owner runs: " + statement + ";",
			Err:  err,
		}
	}
	return err
}

func list(tables []*table) string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Name
		if !t.partitioned {
			names[i] = "ONLY " + t.Name // children by inheritance are tables of their own
		}
	}
	return strings.Join(names, ", ")
}

// createSlot returns the position from which the slot has everything.
func (s *Source) createSlot(ctx context.Context, conn *pgx.Conn) (uint64, error) {
	patience := time.AfterFunc(10*time.Second, func() {
		s.cfg.Log.WarnContext(ctx, "postgres: the new slot waits for transactions that are still writing; see pg_stat_activity",
			slog.String("source", s.cfg.Name))
	})
	defer patience.Stop()
	var confirmed uint64
	err := conn.QueryRow(ctx,
		"SELECT (lsn - '0/0')::bigint FROM pg_create_logical_replication_slot($1, 'pgoutput')", s.slot).Scan(&confirmed)
	if err == nil {
		s.cfg.Log.InfoContext(ctx, "postgres: slot created", slog.String("source", s.cfg.Name), slog.Uint64("position", confirmed))
	}
	return confirmed, err
}

// markBeginning writes the publication's comment, whose row tells later which tables are older
// than the slot. Where the publication belongs to somebody else there is no such mark.
func (s *Source) markBeginning(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "COMMENT ON PUBLICATION "+pgx.Identifier{s.slot}.Sanitize()+" IS 'Lienthong'")
	var told *pgconn.PgError
	if errors.As(err, &told) && told.Code == "42501" {
		return nil
	}
	return err
}

// Acknowledge moves the slot: through the stream when it runs, which costs one
// small message for any number of calls that come close together, else by a
// statement.
func (s *Source) Acknowledge(ctx context.Context, pos lienthong.Position) error {
	s.heard.acknowledged.Store(s.cfg.Now().UnixMicro())
	if !raise(&s.acked, pos.Order) && s.streaming.Load() {
		return nil
	}
	if s.streaming.Load() {
		select {
		case s.wake <- struct{}{}:
		default: // one is waiting already, and will send the highest
		}
		return nil
	}
	return s.with(ctx, func(conn *pgx.Conn) error {
		if s.streaming.Load() {
			return nil // it sends what is acknowledged as it begins
		}
		confirmed, exists, err := s.slotState(ctx, conn)
		flushed := min(s.flushed(), pos.Order)
		if err != nil || !exists || confirmed >= flushed {
			return err
		}
		_, err = conn.Exec(ctx, "SELECT pg_replication_slot_advance($1, '0/0'::pg_lsn + $2::bigint)", s.slot, flushed)
		return err
	})
}

// Destroy drops slot and publication. The server's tables are not touched.
func (s *Source) Destroy(ctx context.Context) error {
	return s.with(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", s.slot)
		if err != nil {
			return err
		}
		if err := dropMark(ctx, conn, s.mark()); err != nil {
			return err
		}
		if err := s.owned(ctx, conn, "DROP PUBLICATION IF EXISTS "+pgx.Identifier{s.slot}.Sanitize()); err != nil {
			return err
		}
		s.acked.Store(0)
		s.told.Store(0)
		s.tables, s.names, s.fault = nil, nil, nil
		s.replay.forget()
		return nil
	})
}

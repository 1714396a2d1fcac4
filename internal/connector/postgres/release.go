package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lienthong/lienthong"
)

// Three things tell a beginning from a loss when there is no slot: what we wrote on the
// publication when the slot was made, what the caller remembers (Config.Continues), and the mark
// that Release leaves: a physical slot that reserves nothing, the one thing that an
// account with REPLICATION can write and everybody on the server can see.

// mark is the name of the slot that says "released on purpose".
func (s *Source) mark() string { return s.slot + "_released" }

// noteHead begins what we write on our publication; the system's identifier follows.
const noteHead = "lienthong: slot made on system "

// historyLost says that changes have gone by that nobody can read any more.
func (s *Source) historyLost(en, vi string) *lienthong.Error {
	return &lienthong.Error{
		Code: "postgres.history_lost", Where: s.slot,
		Vi:   vi + "; thay đổi từ lần xác nhận cuối không đọc lại được",
		En:   en + "; changes since the last acknowledgement cannot be read any more",
		Hint: "nhả nguồn rồi khởi động lại, sau đó đối soát hai đầu; tăng max_slot_wal_keep_size / release the source, start it again and compare both ends; raise max_slot_wal_keep_size",
	}
}

// begins checks that what is there fits together: the same server as before, and a slot
// that is missing only at a beginning or after Release.
func (s *Source) begins(ctx context.Context, conn *pgx.Conn, exists bool) (released bool, err error) {
	var system, note string
	err = conn.QueryRow(ctx, `
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       COALESCE((SELECT obj_description(oid, 'pg_publication') FROM pg_publication WHERE pubname = $1), ''),
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $2 AND slot_type = 'physical')`, s.slot, s.mark()).
		Scan(&system, &note, &released)
	if err != nil {
		return false, err
	}
	before, ours := strings.CutPrefix(note, noteHead)
	if ours && before != system || s.system != "" && s.system != system {
		return false, s.anotherServer()
	}
	if !exists && !released && (ours || s.cfg.Continues || s.acked.Load() > 0) {
		return false, s.historyLost("the replication slot is gone", "replication slot không còn")
	}
	s.system = system
	return released, nil
}

func (s *Source) anotherServer() error {
	return &lienthong.Error{
		Code: "postgres.another_server", Where: s.slot,
		Vi:   "đây không phải máy chủ PostgreSQL đã đọc trước đó, có thể dữ liệu vừa được khôi phục từ bản sao lưu",
		En:   "this is not the PostgreSQL server that was read before; it was probably restored from a dump",
		Hint: "kiểm tra địa chỉ; nếu đúng là máy chủ mới: hủy nguồn, khởi động lại và tải lại / check the address; if the server is meant to be new: destroy the source, start it and load it anew",
	}
}

// sameServer refuses to go on at another server, whose positions mean something else.
func (s *Source) sameServer(ctx context.Context, conn *pgx.Conn) error {
	var system string
	err := conn.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&system)
	if err == nil && s.system != "" && s.system != system {
		return s.anotherServer()
	}
	return err
}

// begun notes that there is a slot now. An account that does not own the publication
// cannot write on it; then the caller's memory has to do.
func (s *Source) begun(ctx context.Context, conn *pgx.Conn, released bool) error {
	var due bool
	err := conn.QueryRow(ctx, `
SELECT COALESCE(bool_or(pg_has_role(pubowner, 'USAGE') AND COALESCE(obj_description(oid, 'pg_publication'), '') <> $2), false)
FROM pg_publication WHERE pubname = $1`, s.slot, noteHead+s.system).Scan(&due)
	if err != nil {
		return err
	}
	if due {
		// The text is ours and the server's number: nothing in it needs escaping.
		_, err := conn.Exec(ctx, "COMMENT ON PUBLICATION "+pgx.Identifier{s.slot}.Sanitize()+" IS '"+noteHead+s.system+"'")
		if err != nil {
			return err
		}
	}
	if !released {
		return nil
	}
	return dropMark(ctx, conn, s.mark())
}

func dropMark(ctx context.Context, conn *pgx.Conn, mark string) error {
	_, err := conn.Exec(ctx,
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND slot_type = 'physical'", mark)
	return err
}

// Release drops the slot, and with it the server's duty to keep its log for us. The
// publication stays. The next Start makes a new slot at the present; changes in between are found
// by comparing both ends. It is for a source that is not being read.
func (s *Source) Release(ctx context.Context) error {
	if s.streaming.Load() {
		return &lienthong.Error{
			Code: "postgres.slot_busy", Where: s.slot,
			Vi: "nguồn đang được đọc, chưa nhả được", En: "the source is being read and cannot be released", Hint: "dừng đọc trước / end Stream first",
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locked(ctx, func(conn *pgx.Conn) error {
		// A slot that is lost is dropped as well: releasing it is how one goes on.
		_, err := conn.Exec(ctx, `
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name = $1 AND plugin = 'pgoutput' AND database = current_database()`, s.slot)
		if err != nil {
			return err
		}
		// After the slot, whose place it takes where places are counted.
		_, err = conn.Exec(ctx, "SELECT pg_create_physical_replication_slot($1)", s.mark())
		var told *pgconn.PgError
		if errors.As(err, &told) && told.Code == "42710" {
			err = nil // released before
		}
		if err != nil {
			return err
		}
		s.acked.Store(0)
		s.told.Store(0)
		s.heard.acknowledged.Store(0)
		s.heard.started.Store(0)
		s.replay.forget()
		return nil
	})
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong/internal/connector"
)

// moments are when something happened last, in microseconds; 0: not since Open.
type moments struct {
	started, acknowledged atomic.Int64
}

// slotReport is what the server says of our slot and of what concerns it.
type slotReport struct {
	exists, active, released bool
	status                   string // reserved, extended, unreserved, lost
	reason                   string // why it was invalidated, from PostgreSQL 16 on
	retained                 int64
	safe                     *int64 // bytes that may still be written before the slot is lost
	keep                     int64  // max_slot_wal_keep_size in bytes, -1: no limit
	inactive                 *time.Time

	oldest    *time.Time // since when the oldest transaction that we can see is open
	oldestPID int32
	prepared  int

	left      []leftSlot
	orphans   []string // publications of ours without a slot
	walOnDisk int64    // -1: the account may not know
	clock     time.Time
}

type leftSlot struct {
	name     string
	database string
	retained int64
}

const slotQuery = `
SELECT active, COALESCE(wal_status, ''), COALESCE(to_jsonb(s) ->> 'invalidation_reason', ''),
       COALESCE(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                                restart_lsn), -1)::bigint,
       safe_wal_size, (to_jsonb(s) ->> 'inactive_since')::timestamptz
FROM pg_replication_slots s WHERE slot_name = $1`

const aroundQuery = `
SELECT clock_timestamp(),
       (SELECT CASE WHEN setting = '-1' THEN -1 ELSE pg_size_bytes(current_setting(name)) END FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $2 AND slot_type = 'physical'),
       (SELECT min(xact_start) FROM pg_stat_activity WHERE backend_xid IS NOT NULL),
       COALESCE((SELECT pid FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1), 0),
       (SELECT count(*) FROM pg_prepared_xacts)::int,
       COALESCE((SELECT array_agg(pubname::text ORDER BY pubname) FROM pg_publication p
                 WHERE pubname LIKE 'lienthong\_%' AND pubname <> $1
                   AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name IN (p.pubname, p.pubname || '_released'))), '{}')`

const leftQuery = `
SELECT slot_name::text, COALESCE(database::text, ''),
       COALESCE(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint
FROM pg_replication_slots
WHERE slot_name LIKE 'lienthong\_%' AND slot_name <> $1 AND NOT active AND NOT temporary AND slot_type = 'logical'
ORDER BY 3 DESC, 1`

func (s *Source) slotReport(ctx context.Context, conn *pgx.Conn) (*slotReport, error) {
	r := &slotReport{exists: true, retained: -1, walOnDisk: -1}
	err := conn.QueryRow(ctx, slotQuery, s.slot).Scan(&r.active, &r.status, &r.reason, &r.retained, &r.safe, &r.inactive)
	if errors.Is(err, pgx.ErrNoRows) {
		r.exists, err = false, nil
	}
	if err != nil {
		return nil, err
	}
	err = conn.QueryRow(ctx, aroundQuery, s.slot, s.mark()).
		Scan(&r.clock, &r.keep, &r.released, &r.oldest, &r.oldestPID, &r.prepared, &r.orphans)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, leftQuery, s.slot)
	if err != nil {
		return nil, err
	}
	r.left, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l leftSlot, err error) {
		err = row.Scan(&l.name, &l.database, &l.retained)
		return l, err
	})
	if err != nil {
		return nil, err
	}
	var may bool
	if err := conn.QueryRow(ctx, "SELECT has_function_privilege('pg_ls_waldir()', 'EXECUTE')").Scan(&may); err != nil || !may {
		return r, err
	}
	return r, conn.QueryRow(ctx, "SELECT COALESCE(sum(size), 0)::bigint FROM pg_ls_waldir()").Scan(&r.walOnDisk)
}

// words collects sentences in both languages.
type words struct{ vi, en []string }

func (w *words) say(vi, en string) {
	w.vi, w.en = append(w.vi, vi), append(w.en, en)
}

func (w *words) sayf(vi, en string, args ...any) {
	w.say(fmt.Sprintf(vi, args...), fmt.Sprintf(en, args...))
}

// longTransaction is how long one may be open before Health names it.
const longTransaction = 15 * time.Minute

// Health tells in words how the slot is, what it keeps at the server and why.
func (s *Source) Health(ctx context.Context) (connector.Health, error) {
	health := connector.Health{RetainedBytes: -1}
	err := s.with(ctx, func(conn *pgx.Conn) error {
		r, err := s.slotReport(ctx, conn)
		if err == nil {
			health = s.judge(r)
		}
		return err
	})
	return health, err
}

// judge chooses the state that matters most, and adds what else an administrator should
// know. The caller holds s.mu.
func (s *Source) judge(r *slotReport) connector.Health {
	health := connector.Health{RetainedBytes: r.retained}
	w := &words{}
	switch {
	case !r.exists && r.released:
		health.Code, health.RetainedBytes = "postgres.released", 0
		w.sayf("Nguồn đã được nhả theo yêu cầu: slot %[1]s không còn và không giữ nhật ký. Khởi động lại rồi đối soát hai đầu.",
			"The source was released on purpose: slot %[1]s is gone and keeps no log. Start it again and compare both ends.", s.slot)
	case !r.exists:
		health.Code = "postgres.slot_missing"
		w.sayf("Slot %[1]s không có trên máy chủ: chưa khởi động, đã bị xóa, hoặc máy chủ vừa chuyển sang bản dự phòng.",
			"There is no slot %[1]s at the server: not started yet, dropped, or the server has failed over to a standby.", s.slot)
	case r.status == "lost":
		health.Code = "postgres.history_lost"
		w.sayf("PostgreSQL đã bỏ nhật ký mà slot %[1]s cần (%[2]s). Nhả nguồn, khởi động lại rồi đối soát hai đầu.",
			"PostgreSQL has thrown away log that slot %[1]s needs (%[2]s). Release the source, start it again and compare both ends.",
			s.slot, r.why())
	case r.status == "unreserved":
		health.Code = "postgres.slot_at_risk"
		w.sayf("PostgreSQL sắp bỏ nhật ký mà slot %[1]s cần: slot giữ %[2]s, giới hạn max_slot_wal_keep_size là %[3]s.",
			"PostgreSQL is about to throw away log that slot %[1]s needs: it holds %[2]s, and max_slot_wal_keep_size is %[3]s.",
			s.slot, size(r.retained), size(r.keep))
		s.since(w, r)
	case r.retained > s.cfg.RetainedLimit:
		health.Code = "postgres.slot_behind"
		s.holds(w, r)
	case s.fault != nil:
		health.Code = "postgres.table_lost"
		w.sayf("Bảng %[1]s không đọc tiếp được: %[2]s. %[3]s", "Table %[1]s cannot be followed: %[4]s. %[3]s",
			s.fault.Where, s.fault.Vi, s.fault.Hint, s.fault.En)
	case !r.active:
		health.Code = "postgres.slot_idle"
		s.holds(w, r)
		if r.inactive != nil {
			w.sayf("Không có ai đọc slot từ %[1]s.", "Nobody has read the slot since %[1]s.", s.clock(*r.inactive))
		} else {
			w.say("Hiện không có ai đọc slot.", "Nobody reads the slot at the moment.")
		}
	default:
		health.OK, health.Code = true, "postgres.ok"
		w.sayf("Đang đọc bình thường; slot %[1]s giữ %[2]s nhật ký.", "Reading; slot %[1]s holds %[2]s of log.", s.slot, size(r.retained))
	}
	s.around(w, r, &health)
	health.Vi, health.En = strings.Join(w.vi, " "), strings.Join(w.en, " ")
	return health
}

// holds says how much the slot keeps, and since when nothing was acknowledged.
func (s *Source) holds(w *words, r *slotReport) {
	s.since(w, r)
	if r.keep >= 0 && r.safe != nil {
		w.sayf("PostgreSQL ghi thêm %[1]s nữa thì slot bị bỏ (max_slot_wal_keep_size %[2]s).",
			"When PostgreSQL has written %[1]s more, the slot is given up (max_slot_wal_keep_size %[2]s).", size(*r.safe), size(r.keep))
	} else if r.keep < 0 && r.retained > s.cfg.RetainedLimit {
		w.say("max_slot_wal_keep_size là -1 nên slot có thể làm đầy ổ đĩa của máy chủ.",
			"max_slot_wal_keep_size is -1, so the slot can fill the server's disk.")
	}
	if r.walOnDisk >= 0 && r.retained > s.cfg.RetainedLimit {
		w.sayf("Nhật ký trên đĩa của máy chủ đang chiếm %[1]s.", "The log takes %[1]s of the server's disk.", size(r.walOnDisk))
	}
}

func (s *Source) since(w *words, r *slotReport) {
	switch acknowledged, started := s.heard.acknowledged.Load(), s.heard.started.Load(); {
	case acknowledged > 0:
		w.sayf("Slot %[1]s giữ %[2]s nhật ký vì từ %[3]s chưa có gì được xác nhận thêm.",
			"Slot %[1]s holds %[2]s of log because nothing was acknowledged since %[3]s.", s.slot, size(r.retained), s.clock(time.UnixMicro(acknowledged)))
	case started > 0:
		w.sayf("Slot %[1]s giữ %[2]s nhật ký; chưa có gì được xác nhận từ khi khởi động lúc %[3]s.",
			"Slot %[1]s holds %[2]s of log; nothing was acknowledged since the start at %[3]s.", s.slot, size(r.retained), s.clock(time.UnixMicro(started)))
	default:
		w.sayf("Slot %[1]s giữ %[2]s nhật ký.", "Slot %[1]s holds %[2]s of log.", s.slot, size(r.retained))
	}
}

// around names what else makes the server keep log: open transactions, and what of ours was
// left behind by somebody.
func (s *Source) around(w *words, r *slotReport, health *connector.Health) {
	if r.oldest != nil && r.clock.Sub(*r.oldest) > longTransaction {
		w.sayf("Một giao dịch (tiến trình %[1]d) mở từ %[2]s; slot không thể bỏ nhật ký mới hơn lúc đó.",
			"A transaction (process %[1]d) has been open since %[2]s; the slot cannot let go of log newer than that.", r.oldestPID, s.clock(*r.oldest))
	}
	if r.prepared > 0 {
		w.sayf("Có %[1]d giao dịch hai pha chưa kết thúc (pg_prepared_xacts).", "%[1]d prepared transactions have not ended (pg_prepared_xacts).", r.prepared)
	}
	var total int64
	var names []string
	for _, l := range r.left {
		total += l.retained
		if names = append(names, l.name); len(names) > 3 {
			names[3] = "…"
			names = names[:4]
		}
	}
	if len(r.left) > 0 {
		w.sayf("Trên máy chủ còn %[1]d slot khác của Liên thông không ai đọc, giữ %[2]s: %[3]s. Nếu không dùng nữa: SELECT pg_drop_replication_slot('%[4]s');",
			"%[1]d other slots of Lienthong at this server are read by nobody and hold %[2]s: %[3]s. When no longer needed: SELECT pg_drop_replication_slot('%[4]s');",
			len(r.left), size(total), strings.Join(names, ", "), r.left[0].name)
		if health.OK && r.left[0].retained > s.cfg.RetainedLimit {
			health.OK, health.Code = false, "postgres.slot_left_behind"
		}
	}
	if len(r.orphans) > 0 {
		w.sayf("Publication không còn slot: %[1]s.", "Publications without a slot: %[1]s.", strings.Join(r.orphans, ", "))
	}
}

func (r *slotReport) why() string {
	if r.reason != "" {
		return r.reason
	}
	return "wal_status lost, max_slot_wal_keep_size " + size(r.keep)
}

// clock writes a time for a person: with its date when that is not today.
func (s *Source) clock(at time.Time) string {
	now := s.cfg.Now()
	at = at.In(now.Location())
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return at.Format("15:04")
	}
	return at.Format("15:04 02/01/2006")
}

// size writes bytes for a person.
func size(bytes int64) string {
	const unit = 1024
	switch {
	case bytes < 0:
		return "-1"
	case bytes < unit:
		return fmt.Sprintf("%d B", bytes)
	}
	value, suffix := float64(bytes), ""
	for _, suffix = range []string{"kB", "MB", "GB", "TB", "PB"} {
		if value /= unit; value < unit {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, suffix)
}

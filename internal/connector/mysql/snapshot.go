package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// session opens a session for reading.
func (v *view) session(ctx context.Context) (*sql.Conn, error) {
	conn, err := v.source.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
		// A first load lasts longer than a statement of an application may; one of these names is unknown to each kind of server.
		"SET SESSION max_statement_time = 0", "SET SESSION max_execution_time = 0",
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			if number, _ := serverError(err); number != 1193 {
				discard(conn)
				return nil, err
			}
		}
	}
	if v.source.isMaria() {
		// Only a session that does not log lets tables go at the end of a chunk; an account
		// may not be allowed to be one.
		if _, err := conn.ExecContext(ctx, "SET SESSION sql_log_bin = 0"); err != nil {
			if number, _ := serverError(err); number != 1227 {
				discard(conn)
				return nil, err
			}
			v.holds = true
		}
	}
	return conn, nil
}

func (s *Source) isMaria() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server != nil && s.server.maria
}

// watch gives way to an application that wants to alter a table which the view holds: it
// would wait for the view's end, and every query of the table behind it.
func (v *view) watch(ctx context.Context) {
	defer close(v.done)
	const often = time.Second
	conn, err := v.source.db.Conn(ctx)
	if err != nil {
		return // no connection for this, nor for reading
	}
	defer discard(conn)
	if _, err := conn.ExecContext(ctx, "SET SESSION lock_wait_timeout = 0"); err != nil {
		return
	}
	for pause(ctx, often) == nil {
		v.mu.Lock()
		var names []string
		for table := range v.touched {
			names = append(names, v.tables[table].quoted)
		}
		v.mu.Unlock()
		for _, name := range names {
			// Whoever waits for the table for itself alone keeps others from it as well.
			_, err := conn.ExecContext(ctx, "SELECT 1 FROM "+name+" LIMIT 0")
			if number, _ := serverError(err); number == 1205 {
				v.source.cfg.Log.WarnContext(ctx, "mysql: the view gives way to an application that alters a table", slog.String("source", v.source.cfg.Name))
				v.mu.Lock()
				v.gaveWay = true
				v.mu.Unlock()
				v.end()
				return
			}
		}
	}
}

// discard closes a connection instead of giving it back, and with it what it holds.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}

const beginSnapshot = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"

// openMaria begins sessions until all of them see the same place. A server that commits
// without a pause may not let that happen: then there are fewer sessions.
func (v *view) openMaria(ctx context.Context) (file string, pos uint64, err error) {
	begin := func(conn *sql.Conn) (string, uint64, error) {
		if _, err := conn.ExecContext(ctx, beginSnapshot); err != nil {
			return "", 0, err
		}
		return snapshotPlace(ctx, conn)
	}
	for len(v.all) < v.source.cfg.ViewReaders {
		conn, err := v.session(ctx)
		if err != nil {
			return "", 0, err
		}
		v.mu.Lock()
		v.all = append(v.all, conn)
		v.mu.Unlock()
	}
	const tries = 20
	for range tries {
		same := 0
		for i, conn := range v.all {
			f, p, err := begin(conn)
			if err != nil {
				return "", 0, err
			}
			if i == 0 {
				file, pos = f, p
			}
			if f == file && p == pos {
				same++
			}
		}
		if same == len(v.all) {
			return file, pos, nil
		}
	}
	for _, conn := range v.all[1:] {
		discard(conn)
	}
	v.all = v.all[:1]
	file, pos, err = begin(v.all[0])
	v.source.cfg.Log.InfoContext(ctx, "mysql: the server commits without a pause; the view is read by one session", slog.String("source", v.source.cfg.Name))
	return file, pos, err
}

// snapshotPlace is the place of the log that a session of MariaDB sees.
func snapshotPlace(ctx context.Context, conn *sql.Conn) (file string, pos uint64, err error) {
	err = each(ctx, conn, "SHOW STATUS LIKE 'binlog_snapshot_%'", func(row *sql.Rows) error {
		var name, value string
		if err := row.Scan(&name, &value); err != nil {
			return err
		}
		switch strings.ToLower(name) {
		case "binlog_snapshot_file":
			file = value
		case "binlog_snapshot_position":
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return err
			}
			pos = n
		}
		return nil
	})
	if err == nil && file == "" {
		err = damaged("binlog_snapshot_file")
	}
	return file, pos, err
}

// openMySQL holds the tables against writers, and lets them go once the sessions have begun.
// A transaction that has written one of them is waited for, a little at a time, so that
// writers never queue behind us for long.
func (v *view) openMySQL(ctx context.Context, srv *server, tables []*described) (file string, pos uint64, err error) {
	holder, err := v.session(ctx)
	if err != nil {
		return "", 0, err
	}
	defer discard(holder)
	wait := max(1, int(v.source.cfg.LockWait/time.Second))
	if _, err := holder.ExecContext(ctx, "SET SESSION lock_wait_timeout = "+strconv.Itoa(wait)); err != nil {
		return "", 0, err
	}
	lock := lockStatement(tables)
	warned := v.source.cfg.Now()
	for {
		_, err := holder.ExecContext(ctx, lock)
		if err == nil {
			break
		}
		if number, _ := serverError(err); number != 1205 {
			return "", 0, v.lockError(ctx, err, tables)
		}
		if now := v.source.cfg.Now(); now.Sub(warned) > 10*time.Second {
			warned = now
			v.source.cfg.Log.WarnContext(ctx, "mysql: the view waits for transactions that are still writing; see information_schema.INNODB_TRX",
				slog.String("source", v.source.cfg.Name))
		}
		if err := pause(ctx, v.source.cfg.LockWait); err != nil {
			return "", 0, err
		}
	}
	for len(v.all) < v.source.cfg.ViewReaders {
		conn, err := v.session(ctx)
		if err != nil {
			return "", 0, err
		}
		v.mu.Lock()
		v.all = append(v.all, conn)
		v.mu.Unlock()
	}
	for _, conn := range v.all {
		if _, err := conn.ExecContext(ctx, beginSnapshot); err != nil {
			return "", 0, err
		}
	}
	end, found, err := srv.logEnd(ctx, v.source.db)
	if err == nil && !found {
		err = damaged(srv.masterStatus())
	}
	if err != nil {
		return "", 0, err
	}
	_, err = holder.ExecContext(ctx, "UNLOCK TABLES")
	return end.file, end.pos, err
}

func lockStatement(tables []*described) string {
	names := make([]string, len(tables))
	for i, d := range tables {
		names[i] = d.quoted() + " READ"
	}
	return "LOCK TABLES " + strings.Join(names, ", ")
}

func (v *view) lockError(ctx context.Context, err error, tables []*described) error {
	if number, _ := serverError(err); number != 1044 && number != 1142 {
		return err
	}
	return &lienthong.Error{
		Code: "mysql.lock_tables", Where: v.source.cfg.Name,
		Vi: "tài khoản không có quyền LOCK TABLES, cần trong giây lát để chụp nhất quán", En: "the account lacks LOCK TABLES, which is needed for a moment to see all tables at one place",
		Hint: (&server{}).readGrant(tables[0].Schema, v.source.account(ctx)),
	}
}

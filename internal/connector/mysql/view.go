package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// view is a snapshot, held by one or more sessions that all see the same.
type view struct {
	source   *Source
	tables   []*layout
	position lienthong.Position
	version  int64
	at       int64
	sessions chan *sql.Conn // those that nobody is using

	// holds: a session keeps tables that it has read from being altered until it ends.
	holds bool
	stop  context.CancelFunc // of the watch
	done  chan struct{}

	mu      sync.Mutex // guards what follows
	all     []*sql.Conn
	touched map[int]bool // tables that have been read
	gaveWay bool
	closed  bool
}

// View opens sessions that see the database at one place of the log. Sessions of MariaDB
// tell the place that they see. On MySQL the tables are held against writers for the moment
// in which the sessions begin.
func (s *Source) View(ctx context.Context) (connector.View, error) {
	srv, tables, err := s.started()
	if err != nil {
		return nil, err
	}
	v := &view{source: s, at: s.cfg.Now().UnixMicro(), sessions: make(chan *sql.Conn, s.cfg.ViewReaders), touched: map[int]bool{}}
	var file string
	var pos uint64
	for {
		if srv.maria {
			file, pos, err = v.openMaria(ctx)
		} else {
			file, pos, err = v.openMySQL(ctx, srv, tables)
		}
		if err == nil {
			err = v.place(ctx, srv, file, pos)
		}
		if err != nil {
			v.drop()
			return nil, s.explain(ctx, err)
		}
		if v.position.Order >= s.reached.Load() {
			break
		}
		// What was streamed is in the log, but a moment later in what others see.
		v.drop()
		if err := pause(ctx, time.Millisecond); err != nil {
			return nil, err
		}
	}
	if err := v.describe(ctx, tables); err != nil {
		v.drop()
		return nil, s.explain(ctx, err)
	}
	for _, conn := range v.all {
		v.sessions <- conn
	}
	if v.holds {
		var watching context.Context
		watching, v.stop = context.WithCancel(context.WithoutCancel(ctx))
		v.done = make(chan struct{})
		go v.watch(watching)
	}
	return v, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

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

// place puts the view on the line. It sees that the server is still the one of the line.
func (v *view) place(ctx context.Context, srv *server, file string, pos uint64) error {
	s := v.source
	var id uint32
	if err := v.all[0].QueryRowContext(ctx, "SELECT @@server_id").Scan(&id); err != nil {
		return err
	}
	s.lineMu.Lock()
	server := s.line.server
	s.lineMu.Unlock()
	base, err := s.baseOf(ctx, file)
	if errors.Is(err, errOffLine) || id != server {
		return &lienthong.Error{
			Code: "mysql.binlog_reset", Where: s.cfg.Name,
			Vi:   "nhật ký của máy chủ đã được bắt đầu lại, hoặc máy chủ khác đã thay",
			En:   "the server's log was begun anew, or another server has taken over",
			Hint: "luồng thay đổi nối lại trước, rồi chụp lại / the stream goes on first, then the view is opened again",
		}
	}
	if err != nil {
		return err
	}
	order := base + pos
	t := token{file: file, pos: pos, base: base, server: srv.id, at: uint32(v.at / 1_000_000)}
	v.position = lienthong.Position{Order: order, Token: t.write()}
	v.version = versionAt(order) - 1
	return nil
}

// describe asks which columns the tables have now. One that was dropped stays as it was,
// and reading it says so.
func (v *view) describe(ctx context.Context, tables []*described) error {
	v.tables = make([]*layout, len(tables))
	all, err := describe(ctx, v.source.db, v.source.dsn.DBName, "")
	if err != nil {
		return err
	}
	for i, d := range tables {
		v.tables[i] = d.layoutOf(v.source.sets)
		for _, now := range all {
			if now.Schema == d.Schema && now.Name == d.Name {
				v.tables[i] = now.layoutOf(v.source.sets)
			}
		}
	}
	return nil
}

// Table implements connector.Describer.
func (v *view) Table(index int) connector.Table { return v.tables[index].Table }

func (v *view) Position() lienthong.Position { return v.position }
func (v *view) Version() int64               { return v.version }

func (v *view) gone() error {
	v.mu.Lock()
	gaveWay := v.gaveWay
	v.mu.Unlock()
	if gaveWay {
		return &lienthong.Error{
			Code: "mysql.view_gave_way", Where: v.source.cfg.Name,
			Vi:   "bản chụp đã nhường cho ứng dụng đang đổi cấu trúc bảng",
			En:   "the view has given way to an application that alters a table",
			Hint: "mở bản chụp mới, việc tải tiếp tục từ đoạn dở / open a new view; loading goes on with the next chunk",
		}
	}
	return &lienthong.Error{
		Code: "mysql.view_closed", Where: v.source.cfg.Name,
		Vi: "bản chụp đã đóng, mất kết nối hoặc không có bảng này", En: "the view is closed, its sessions are lost or it has no such table",
		Hint: "mở bản chụp mới / open a new view",
	}
}

// borrow lends a session for the time of one statement. What the statement locks against
// ALTER TABLE is let go afterwards.
func (v *view) borrow(ctx context.Context, index int, use func(*sql.Conn) error) error {
	v.mu.Lock()
	usable := !v.closed && index >= 0 && index < len(v.tables) && len(v.all) > 0
	if usable {
		v.touched[index] = true
	}
	v.mu.Unlock()
	if !usable {
		return v.gone()
	}
	var conn *sql.Conn
	select {
	case conn = <-v.sessions:
	case <-ctx.Done():
		return ctx.Err()
	}
	if conn == nil {
		return v.gone()
	}
	_, err := conn.ExecContext(ctx, "SAVEPOINT lienthong")
	if err == nil {
		err = use(conn)
		_, after := conn.ExecContext(ctx, "ROLLBACK TO SAVEPOINT lienthong")
		if err == nil {
			err = after
		}
		if after == nil {
			v.giveBack(conn)
			return err
		}
	}
	// The session is lost, and its snapshot with it. Others may live on.
	discard(conn)
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.all {
		if v.all[i] == conn {
			v.all = append(v.all[:i:i], v.all[i+1:]...)
			break
		}
	}
	if len(v.all) == 0 && !v.closed {
		v.closed = true
		close(v.sessions)
	}
	return err
}

func (v *view) giveBack(conn *sql.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		discard(conn)
		return
	}
	v.sessions <- conn // never full: it has room for all of them
}

// Chunks walks along the key in steps of so many rows.
func (v *view) Chunks(ctx context.Context, index, rows int) ([]connector.Chunk, error) {
	var chunks []connector.Chunk
	err := v.borrow(ctx, index, func(conn *sql.Conn) error {
		l := v.tables[index]
		columns := l.divisible()
		if len(columns) == 0 {
			chunks = []connector.Chunk{span{}.chunk()}
			return nil
		}
		names, selected := make([]string, len(columns)), make([]string, len(columns))
		for i, c := range columns {
			names[i], selected[i] = quote(c.Name), c.expression()
		}
		var last span
		for {
			where, ok := last.where(columns)
			if !ok {
				return damaged(l.Name)
			}
			// The row with which this chunk ends.
			query := fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d, 1", strings.Join(selected, ", "), l.quoted, where,
				strings.Join(names, ", "), max(rows, 1)-1)
			var end []string
			var a arena
			err := rawRows(ctx, conn, query, func(found []driver.Value) error {
				for i, c := range columns {
					value := c.fromQuery(found[i], &a)
					text, ok := c.bound(&value)
					if !ok {
						return damaged(l.Name)
					}
					end = append(end, text)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if end == nil {
				chunks = append(chunks, span{From: last.From}.chunk())
				return nil
			}
			chunks = append(chunks, span{From: last.From, To: end}.chunk())
			last.From = end
		}
	})
	if err != nil {
		return nil, v.source.explain(ctx, err)
	}
	return chunks, nil
}

// Read delivers the rows of one chunk as the server sends them.
func (v *view) Read(ctx context.Context, index int, chunk connector.Chunk, deliver func(*connector.Row) error) error {
	var failure error
	err := v.borrow(ctx, index, func(conn *sql.Conn) error {
		l := v.tables[index]
		columns := l.divisible()
		p, err := parseChunk(chunk, len(columns))
		if err != nil {
			return err
		}
		where, ok := p.where(columns)
		if !ok {
			_, err := parseChunk("", 0)
			return err
		}
		names := make([]string, len(l.Columns))
		visible := make([]*column, len(l.Columns))
		for i := range l.Columns {
			visible[i] = l.visible(i)
			names[i] = visible[i].expression()
		}
		row := connector.Row{
			Table: index, Op: lienthong.Upsert, Version: v.version, At: v.at, Values: make([]lienthong.Value, len(l.Columns)),
		}
		var a arena
		return rawRows(ctx, conn, "SELECT "+strings.Join(names, ", ")+" FROM "+l.quoted+where, func(found []driver.Value) error {
			a.reset()
			for i, c := range visible {
				row.Values[i] = c.fromQuery(found[i], &a)
			}
			failure = deliver(&row)
			return failure
		})
	})
	if failure != nil {
		return failure
	}
	if err == nil {
		v.source.compared(index)
	}
	return v.source.explain(ctx, err)
}

// compared forgets that a table was to be looked at: a view later than that reads it.
func (s *Source) compared(table int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.replaced, table); len(s.replaced) == 0 {
		s.lost = ""
	}
}

// drop closes the sessions, so that the view can be opened again.
func (v *view) drop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, conn := range v.all {
		discard(conn)
	}
	v.all = nil
}

// Close lets the snapshot go. A session that is being read is closed when it is given back.
func (v *view) Close() error {
	if v.stop != nil {
		v.stop()
		<-v.done
	}
	v.end()
	return nil
}

func (v *view) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	v.closed = true
	v.all = nil
	for {
		select {
		case conn := <-v.sessions:
			discard(conn)
		default:
			close(v.sessions) // whoever waits for a session hears that there is none
			return
		}
	}
}

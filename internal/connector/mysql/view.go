package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
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

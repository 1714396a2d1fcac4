package file

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Stream watches the folder and delivers each accepted file as one transaction.
func (s *Source) Stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	err := s.stream(ctx, after, sink)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s *Source) stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	d, err := s.newDelivery(ctx, sink)
	if err != nil {
		return err
	}
	var done int64
	if err := s.db.QueryRowContext(ctx, "SELECT acknowledged FROM meta").Scan(&done); err != nil {
		return fmt.Errorf("file: read state: %w", err)
	}
	done = max(done, int64(min(after.Order, 1<<38)))
	timer := time.NewTimer(0)
	defer timer.Stop()
	idle := false
	for {
		if _, err := s.accept(ctx, false); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			// A folder that is away for a while is no reason to stop.
			s.config.Log.WarnContext(ctx, "file: cannot take files in", slog.Any("error", err))
		}
		for {
			var number, at int64
			err := s.db.QueryRowContext(ctx, "SELECT no, at FROM imports WHERE no > ? ORDER BY no LIMIT 1", done).Scan(&number, &at)
			if errors.Is(err, sql.ErrNoRows) {
				break
			}
			if err != nil {
				return fmt.Errorf("file: read state: %w", err)
			}
			if err := d.transaction(ctx, number, at); err != nil {
				return err
			}
			done, idle = number, false
		}
		if !idle {
			idle = true
			if err := sink.Idle(); err != nil {
				return err
			}
		}
		timer.Reset(s.config.Interval)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// delivery hands stored rows to a sink.
type delivery struct {
	source    *Source
	sink      connector.Sink
	tables    map[string]int
	announced []*layout
	layouts   map[int64]*layout
	values    []lienthong.Value
	wide      []lienthong.Value
}

func (s *Source) newDelivery(ctx context.Context, sink connector.Sink) (*delivery, error) {
	s.mu.Lock()
	captured := s.captured
	s.mu.Unlock()
	if captured == nil {
		return nil, errNotStarted
	}
	d := &delivery{source: s, sink: sink, tables: map[string]int{}, layouts: map[int64]*layout{}}
	for i, name := range captured {
		l, err := s.currentLayout(ctx, s.db, s.declared(name))
		if err != nil {
			return nil, fmt.Errorf("file: read layout: %w", err)
		}
		d.tables[name] = i
		d.announced = append(d.announced, l)
	}
	return d, nil
}

type storedRecord struct {
	version, layout, op int64
	table               string
	body                []byte
}

// transaction delivers one import. The rows are read in pages, so that no read
// is open while the sink works.
func (d *delivery) transaction(ctx context.Context, number, at int64) error {
	const pageRows, pageBytes = 1000, 4 << 20
	pos := lienthong.Position{Order: uint64(number)}
	begun := false
	last, end := number<<rowBits, (number+1)<<rowBits
	for {
		page, err := d.page(ctx, last, end, pageRows, pageBytes)
		if err != nil {
			return fmt.Errorf("file: read changes: %w", err)
		}
		for i := range page {
			r := &page[i]
			last = r.version
			table, captured := d.tables[r.table]
			if !captured {
				continue
			}
			if !begun {
				begun = true
				if err := d.sink.Begin(pos, at); err != nil {
					return err
				}
			}
			if err := d.change(ctx, table, r, at); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			return d.sink.Commit(pos)
		}
	}
}

func (d *delivery) page(ctx context.Context, after, end int64, maxRows, maxBytes int) ([]storedRecord, error) {
	rows, err := d.source.db.QueryContext(ctx,
		"SELECT version, tbl, layout, op, body FROM records WHERE version > ? AND version < ? ORDER BY version LIMIT ?", after, end, maxRows)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var page []storedRecord
	held := 0
	for held < maxBytes && rows.Next() {
		var r storedRecord
		if err := rows.Scan(&r.version, &r.table, &r.layout, &r.op, &r.body); err != nil {
			return nil, err
		}
		held += len(r.body)
		page = append(page, r)
	}
	return page, rows.Err()
}

func (d *delivery) change(ctx context.Context, table int, r *storedRecord, at int64) error {
	l, err := d.layout(ctx, r.layout)
	if err != nil {
		return err
	}
	var widening []int
	if known := d.announced[table]; known.ID != l.ID {
		columns, within := l.within(known)
		if within && l.ID < known.ID {
			widening = columns
		} else {
			d.announced[table] = l
			if err := d.sink.Schema(table, l.table()); err != nil {
				return err
			}
		}
	}
	if d.values, err = l.values(d.values, r.body); err != nil {
		return err
	}
	row := connector.Row{Table: table, Op: lienthong.Op(r.op), Version: r.version, At: at, Values: d.values}
	if widening != nil {
		row.Values = d.widen(widening, len(d.announced[table].Columns), row.Op)
	}
	return d.sink.Change(&row)
}

// widen puts a row of an earlier layout into the columns of a later one.
func (d *delivery) widen(columns []int, width int, op lienthong.Op) []lienthong.Value {
	filler := lienthong.Value{State: lienthong.Null}
	if op == lienthong.Delete {
		filler.State = lienthong.Unchanged
	}
	d.wide = d.wide[:0]
	for range width {
		d.wide = append(d.wide, filler)
	}
	for i := range d.values {
		d.wide[columns[i]] = d.values[i]
	}
	return d.wide
}

func (d *delivery) layout(ctx context.Context, id int64) (*layout, error) {
	if l := d.layouts[id]; l != nil {
		return l, nil
	}
	l, err := d.source.layoutByID(ctx, d.source.db, id)
	if err != nil {
		return nil, fmt.Errorf("file: read layout: %w", err)
	}
	d.layouts[id] = l
	return l, nil
}

// within finds each column of l in a later layout.
func (l *layout) within(later *layout) ([]int, bool) {
	columns := make([]int, len(l.Columns))
	for i, c := range l.Columns {
		columns[i] = slices.IndexFunc(later.Columns, func(o lienthong.Column) bool { return o.Name == c.Name && o.Kind == c.Kind })
		if columns[i] < 0 {
			return nil, false
		}
	}
	return columns, true
}

// values makes the typed values of a stored row.
func (l *layout) values(dst []lienthong.Value, body []byte) ([]lienthong.Value, error) {
	dst = dst[:0]
	err := readStored(body, func(i int, state lienthong.State, text []byte) {
		if i < len(l.Columns) {
			dst = append(dst, convert(state, text, l.Columns[i].Kind))
		}
	})
	if err == nil && len(dst) != len(l.Columns) {
		err = errDamaged
	}
	return dst, err
}

var _ connector.Describer = (*view)(nil)

// view is the state as of one import. It has several connections, each with a
// read snapshot that shows the same imports, so that chunks can be read in parallel.
type view struct {
	source  *Source
	conns   []*sql.Conn
	free    chan *sql.Conn
	closing sync.Once
	last    int64 // import
	at      int64
	live    string // the rows of a table that the view shows
	layouts []*layout
}

const viewConns = 3

// View shows the rows of all files accepted so far.
func (s *Source) View(ctx context.Context) (connector.View, error) {
	s.mu.Lock()
	captured := s.captured
	s.mu.Unlock()
	if captured == nil {
		return nil, errNotStarted
	}
	v := &view{source: s, at: s.config.Now().UnixMicro(), free: make(chan *sql.Conn, viewConns)}
	for more := true; more && len(v.conns) < viewConns; {
		var err error
		if more, err = v.begin(ctx, captured); err != nil {
			_ = v.Close()
			return nil, fmt.Errorf("file: open view: %w", err)
		}
	}
	return v, nil
}

// begin opens one connection. It reports false when no further one is wanted, because it
// would show another state than the first, or because an import is under way.
func (v *view) begin(ctx context.Context, captured []string) (bool, error) {
	conn, err := v.source.db.Conn(ctx)
	if err != nil {
		return false, err
	}
	kept, more := false, false
	if _, err = conn.ExecContext(ctx, "BEGIN"); err == nil {
		kept, more, err = v.show(ctx, conn, captured)
	}
	if !kept {
		return false, errors.Join(err, endSnapshot(conn))
	}
	v.conns = append(v.conns, conn)
	v.free <- conn
	return more, nil
}

// show finds out what a connection's snapshot shows. The first decides for the view.
func (v *view) show(ctx context.Context, conn *sql.Conn, captured []string) (kept, more bool, err error) {
	var last, under int64
	if err := conn.QueryRowContext(ctx, `SELECT max(acknowledged, (SELECT coalesce(max(no), 0) FROM imports)),
		(SELECT count(*) FROM work) FROM meta`).Scan(&last, &under); err != nil {
		return false, false, err
	}
	if len(v.conns) > 0 {
		return last == v.last && under == 0, true, nil
	}
	v.last = last
	// Rows of an import that has not ended are not shown, and what it has superseded is.
	v.live = fmt.Sprintf("SELECT version, tbl, layout, body FROM records WHERE tbl = ?1 AND superseded IS NULL AND version >= ?2 AND version < min(?3, %d)", v.Version()+1)
	if under > 0 {
		v.live += fmt.Sprintf(" UNION ALL SELECT version, tbl, layout, body FROM records WHERE tbl = ?1 AND superseded IS NOT NULL AND superseded > %[1]d AND version >= ?2 AND version < min(?3, %[1]d + 1)", v.Version())
	}
	for _, name := range captured {
		l, err := v.source.currentLayout(ctx, conn, v.source.declared(name))
		if err != nil {
			return false, false, err
		}
		v.layouts = append(v.layouts, l)
	}
	return true, under == 0, nil
}

func endSnapshot(conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) //nolint:forbidigo // the end of a stream has no context of its own
	defer cancel()
	_, err := conn.ExecContext(ctx, "ROLLBACK")
	return errors.Join(err, conn.Close())
}

// take waits for a connection that nobody uses.
func (v *view) take(ctx context.Context) (*sql.Conn, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case conn, open := <-v.free:
		if !open {
			return nil, errViewClosed
		}
		return conn, nil
	}
}

var errViewClosed = errors.New("file: the view is closed")

func (v *view) Position() lienthong.Position { return lienthong.Position{Order: uint64(v.last)} }

func (v *view) Version() int64 { return v.last<<rowBits | rowMask }

// Table describes a table as the view shows it.
func (v *view) Table(table int) connector.Table { return v.layouts[table].table() }

func (v *view) Close() error {
	v.closing.Do(func() {
		for range v.conns { // those in use come back first
			_ = endSnapshot(<-v.free)
		}
		close(v.free)
	})
	return nil
}

// Chunks divides by version: a row that changes later leaves its chunk, but is
// then streamed.
func (v *view) Chunks(ctx context.Context, table int, rows int) ([]connector.Chunk, error) {
	conn, err := v.take(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { v.free <- conn }()
	var chunks []connector.Chunk
	from := int64(0)
	for {
		var next int64
		err := conn.QueryRowContext(ctx, "SELECT version FROM ("+v.live+") ORDER BY version LIMIT 1 OFFSET ?4",
			v.layouts[table].Table, from, int64(math.MaxInt64), max(rows, 1)).Scan(&next)
		if errors.Is(err, sql.ErrNoRows) {
			return append(chunks, connector.Chunk(fmt.Sprintf("%d..", from))), nil
		}
		if err != nil {
			return nil, fmt.Errorf("file: divide %s: %w", v.layouts[table].Table, err)
		}
		chunks = append(chunks, connector.Chunk(fmt.Sprintf("%d..%d", from, next)))
		from = next
	}
}

func parseChunk(chunk connector.Chunk) (from, to int64, err error) {
	left, right, found := strings.Cut(string(chunk), "..")
	to = 1<<63 - 1
	if found {
		if from, err = strconv.ParseInt(left, 10, 64); err == nil && right != "" {
			to, err = strconv.ParseInt(right, 10, 64)
		}
	}
	if !found || err != nil {
		return 0, 0, &lienthong.Error{
			Code: "file.chunk", Err: err,
			Vi: "không đọc được đoạn dữ liệu đã lưu", En: "the stored chunk cannot be read",
			Hint: "nạp lại từ đầu / start the snapshot again",
		}
	}
	return from, to, nil
}

// Read delivers the rows of a chunk, in the columns that the table has in this
// view.
func (v *view) Read(ctx context.Context, table int, chunk connector.Chunk, deliver func(*connector.Row) error) error {
	from, to, err := parseChunk(chunk)
	if err != nil {
		return err
	}
	conn, err := v.take(ctx)
	if err != nil {
		return err
	}
	defer func() { v.free <- conn }()
	now := v.layouts[table]
	layouts := map[int64]*layout{now.ID: now}
	d := &delivery{source: v.source}
	const pageRows, pageBytes = 1000, 4 << 20
	row := connector.Row{Table: table, Op: lienthong.Upsert, Version: v.Version(), At: v.at}
	for {
		page, err := v.page(ctx, conn, now.Table, from, to, pageRows, pageBytes)
		if err != nil {
			return fmt.Errorf("file: read %s: %w", now.Table, err)
		}
		if len(page) == 0 {
			return nil
		}
		for i := range page {
			r := &page[i]
			from = r.version + 1
			l := layouts[r.layout]
			if l == nil {
				if l, err = v.source.layoutByID(ctx, conn, r.layout); err != nil {
					return fmt.Errorf("file: read layout: %w", err)
				}
				layouts[r.layout] = l
			}
			if d.values, err = l.values(d.values, r.body); err != nil {
				return err
			}
			row.Values = d.values
			if l.ID != now.ID {
				row.Values = d.project(l, now)
			}
			if err := deliver(&row); err != nil {
				return err
			}
		}
	}
}

// project puts the values of one layout into the columns of another, by name.
func (d *delivery) project(from, to *layout) []lienthong.Value {
	d.wide = d.wide[:0]
	for _, c := range to.Columns {
		value := lienthong.Value{State: lienthong.Null}
		for i, o := range from.Columns {
			if o.Name == c.Name && o.Kind == c.Kind {
				value = d.values[i]
			}
		}
		d.wide = append(d.wide, value)
	}
	return d.wide
}

func (v *view) page(ctx context.Context, conn *sql.Conn, table string, from, to int64, maxRows, maxBytes int) ([]storedRecord, error) {
	rows, err := conn.QueryContext(ctx, "SELECT version, layout, body FROM ("+v.live+") ORDER BY version LIMIT ?4", table, from, to, maxRows)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var page []storedRecord
	held := 0
	for held < maxBytes && rows.Next() {
		var r storedRecord
		if err := rows.Scan(&r.version, &r.layout, &r.body); err != nil {
			return nil, err
		}
		held += len(r.body)
		page = append(page, r)
	}
	return page, rows.Err()
}

package sqlserver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/polling"
)

var _ connector.Describer = (*view)(nil)

// view is a SNAPSHOT transaction on one connection.
type view struct {
	source  *Source
	tables  []*described
	reading sync.Mutex
	conn    *sql.Conn
	at      lsn
	pos     lienthong.Position
	opened  int64
	closing sync.Once
}

// View opens a SNAPSHOT transaction between two commits of its tables, and waits until the capture
// job has come to that moment.
func (s *Source) View(ctx context.Context) (connector.View, error) {
	tables, err := s.started()
	if err != nil {
		return nil, err
	}
	v := &view{source: s}
	at, err := s.capturing(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlserver: open view: %w", explain(err))
	}
	for _, t := range tables {
		d, err := s.shownNow(ctx, at, t.name)
		if err != nil {
			return nil, fmt.Errorf("sqlserver: open view: %w", explain(err))
		}
		v.tables = append(v.tables, d)
	}
	if v.conn, err = s.db.Conn(ctx); err != nil {
		return nil, fmt.Errorf("sqlserver: open view: %w", explain(err))
	}
	v.opened = s.config.Now().UnixMicro()
	moment, err := v.begin(ctx)
	if err == nil {
		err = v.await(ctx, moment, tables)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlserver: open view: %w", explain(err)), v.Close())
	}
	return v, nil
}

// shownNow is a table in the columns of its newest instance.
func (s *Source) shownNow(ctx context.Context, at *capture, name string) (*described, error) {
	live, err := s.describe(ctx, name)
	if err != nil {
		return nil, err
	}
	instances := at.of(name)
	if len(instances) == 0 {
		return nil, notCaptured(name)
	}
	newest := instances[len(instances)-1]
	if err := s.detail(ctx, newest); err != nil {
		return nil, err
	}
	if shown := newest.shown(live); shown != nil {
		return shown, nil
	}
	return nil, noKey(name)
}

// begin starts the snapshot while nothing can commit to the tables, and returns the server's time in
// the middle of that pause. The pause is longer than the step of the clock by which
// commits are noted, so each commit is clearly before or after it.
func (v *view) begin(ctx context.Context) (moment string, err error) {
	locks, err := v.source.db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer discard(locks)
	if _, err := locks.ExecContext(ctx, "SET LOCK_TIMEOUT "+strconv.FormatInt(v.source.config.LockTimeout.Milliseconds(), 10)); err != nil {
		return "", err
	}
	// In a deadlock it is we who give way.
	for _, statement := range []string{"SET DEADLOCK_PRIORITY LOW", "BEGIN TRANSACTION"} {
		if _, err := locks.ExecContext(ctx, statement); err != nil {
			return "", err
		}
	}
	for _, d := range v.tables {
		var n int
		if err := locks.QueryRowContext(ctx, "SELECT COUNT(*) FROM (SELECT TOP (1) 1 AS one FROM "+d.from()+" WITH (TABLOCK, HOLDLOCK)) x").Scan(&n); err != nil {
			return "", err
		}
	}
	const pause = "WAITFOR DELAY '00:00:00.020'"
	if _, err := locks.ExecContext(ctx, pause); err != nil {
		return "", err
	}
	for _, statement := range []string{"SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRANSACTION"} {
		if _, err := v.conn.ExecContext(ctx, statement); err != nil {
			return "", err
		}
	}
	// A snapshot begins with the first data that is read.
	var n int
	if err := v.conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM (SELECT TOP (1) 1 AS one FROM cdc.lsn_time_mapping) x").Scan(&n); err != nil {
		return "", err
	}
	if err := locks.QueryRowContext(ctx, "SELECT CONVERT(varchar(23), GETDATE(), 121)").Scan(&moment); err != nil {
		return "", err
	}
	if _, err := locks.ExecContext(ctx, pause); err != nil {
		return "", err
	}
	_, err = locks.ExecContext(ctx, "COMMIT TRANSACTION")
	return moment, err
}

const reachedQuery = `SELECT CASE WHEN MAX(tran_end_time) > CONVERT(datetime, @p1, 121) THEN 1 ELSE 0 END,
 MAX(CASE WHEN tran_end_time <= CONVERT(datetime, @p1, 121) THEN start_lsn END) FROM cdc.lsn_time_mapping`

// await waits until the capture job has passed the moment: then the last commit before it is known.
func (v *view) await(ctx context.Context, moment string, tables []*table) error {
	ctx, cancel := context.WithTimeoutCause(ctx, v.source.config.ViewPatience, &lienthong.Error{
		Code: "sqlserver.capture_stopped", Where: v.source.config.Name,
		Vi: "tác vụ thu thập CDC không chạy tới thời điểm của ảnh chụp", En: "the CDC capture job does not reach the moment of the view",
		Hint: "kiểm tra SQL Server Agent và tác vụ cdc.<csdl>_capture: / look at SQL Server Agent and the job cdc.<database>_capture: EXEC sys.sp_cdc_start_job @job_type = N'capture';",
	})
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		var passed sql.NullInt64
		var raw []byte
		if err := v.source.db.QueryRowContext(ctx, reachedQuery, moment).Scan(&passed, &raw); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		if passed.Int64 == 0 {
			timer.Reset(v.source.config.PollInterval)
			continue
		}
		var err error
		if v.at, err = lsnOf(raw); err != nil {
			return err
		}
		for _, t := range tables {
			if v.at.less(t.since) {
				v.at = t.since
			}
		}
		v.pos, err = v.at.position()
		return err
	}
}

func (v *view) Position() lienthong.Position { return v.pos }

func (v *view) Version() int64 { return int64(v.pos.Order) }

// Table describes a table as the view shows it.
func (v *view) Table(table int) connector.Table { return v.tables[table].table() }

func (v *view) Close() error {
	v.closing.Do(func() {
		v.reading.Lock()
		defer v.reading.Unlock()
		discard(v.conn)
	})
	return nil
}

// discard closes a connection for good: neither its transaction nor its settings shall live on.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}

// span is a range of keys: from inclusive, to exclusive, empty for no end.
type span struct {
	From []string `json:"from,omitempty"`
	To   []string `json:"to,omitempty"`
}

// Chunks divides by key, in the server's order of keys.
func (v *view) Chunks(ctx context.Context, table int, rows int) ([]connector.Chunk, error) {
	d := v.tables[table]
	var key []lienthong.Column
	var order []string
	for _, i := range d.key {
		key = append(key, d.columns[i])
		order = append(order, quote(d.columns[i].Name))
	}
	by := strings.Join(order, ", ")
	v.reading.Lock()
	defer v.reading.Unlock()
	found, err := v.conn.QueryContext(ctx, "SELECT "+selectList(key)+" FROM (SELECT "+by+", ROW_NUMBER() OVER (ORDER BY "+by+") AS [__$n] FROM "+d.from()+
		") x WHERE [__$n] % @p1 = 0 ORDER BY "+by, max(rows, 1))
	if err != nil {
		return nil, fmt.Errorf("sqlserver: divide %s: %w", d.name, explain(err))
	}
	defer func() { _ = found.Close() }()
	r := newReader(nil, key, nil)
	var chunks []connector.Chunk
	var last []string
	add := func(to []string) error {
		text, err := json.Marshal(span{From: last, To: to})
		chunks, last = append(chunks, connector.Chunk(text)), to
		return err
	}
	for found.Next() {
		if err := r.scan(found); err != nil {
			return nil, fmt.Errorf("sqlserver: divide %s: %w", d.name, err)
		}
		boundary := make([]string, len(key))
		for i := range key {
			boundary[i] = string(r.values[i].AppendText(nil, key[i].Kind))
		}
		if err := add(boundary); err != nil {
			return nil, err
		}
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("sqlserver: divide %s: %w", d.name, explain(err))
	}
	return chunks, add(nil)
}

// bound is the condition that the key is not before the boundary, or that it is.
func bound(d *described, boundary []string, n int, before bool) (string, []any, error) {
	if len(boundary) != len(d.key) {
		return "", nil, badChunk()
	}
	var alternatives []string
	var args []any
	for at := range d.key {
		c := &d.columns[d.key[at]]
		value := polling.Convert(boundary[at], c.Kind)
		if c.Kind == lienthong.Binary {
			raw, err := hex.DecodeString(boundary[at])
			if err != nil {
				return "", nil, badChunk()
			}
			value = lienthong.Value{State: lienthong.Present, Bytes: raw}
		}
		if value.State != lienthong.Present {
			return "", nil, badChunk()
		}
		args = append(args, polling.SQLServerArgument(value, c))
		var parts []string
		for i := range at {
			equal := &d.columns[d.key[i]]
			parts = append(parts, quote(equal.Name)+" = "+polling.SQLServerPlaceholder(n+i, equal))
		}
		compare := " > "
		if before {
			compare = " < "
		} else if at == len(d.key)-1 {
			compare = " >= "
		}
		parts = append(parts, quote(c.Name)+compare+polling.SQLServerPlaceholder(n+at, c))
		alternatives = append(alternatives, strings.Join(parts, " AND "))
	}
	return "(" + strings.Join(alternatives, " OR ") + ")", args, nil
}

// Read delivers the rows of a chunk. Reads of one view follow each other: they share its transaction.
func (v *view) Read(ctx context.Context, table int, chunk connector.Chunk, deliver func(*connector.Row) error) error {
	d := v.tables[table]
	query, args, err := readQuery(d, chunk)
	if err != nil {
		return err
	}
	v.reading.Lock()
	defer v.reading.Unlock()
	rows, err := v.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("sqlserver: read %s: %w", d.name, explain(err))
	}
	defer func() { _ = rows.Close() }()
	r := newReader(nil, d.columns, nil)
	row := connector.Row{Table: table, Op: lienthong.Upsert, Version: v.Version(), At: v.opened}
	for rows.Next() {
		if err := r.scan(rows); err != nil {
			return fmt.Errorf("sqlserver: read %s: %w", d.name, err)
		}
		row.Values = r.values
		if err := deliver(&row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("sqlserver: read %s: %w", d.name, explain(err))
	}
	return nil
}

func readQuery(d *described, chunk connector.Chunk) (query string, args []any, err error) {
	var part span
	if err := json.Unmarshal([]byte(chunk), &part); err != nil {
		return "", nil, badChunk()
	}
	query = "SELECT " + selectList(d.columns) + " FROM " + d.from()
	word := " WHERE "
	for _, side := range []struct {
		boundary []string
		before   bool
	}{{part.From, false}, {part.To, true}} {
		if side.boundary == nil {
			continue
		}
		condition, more, err := bound(d, side.boundary, len(args)+1, side.before)
		if err != nil {
			return "", nil, err
		}
		query, word, args = query+word+condition, " AND ", append(args, more...)
	}
	return query, args, nil
}

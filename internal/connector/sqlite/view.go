package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

var _ connector.Describer = (*view)(nil)

// view is one read snapshot on several connections.
type view struct {
	source  *Source
	version int64
	at      int64
	layouts []*layout
	conns   []*sql.Conn
	free    chan *sql.Conn
	closing sync.Once
}

// View opens the snapshot. Its connections begin one after another and without a
// lock, so the application may write between them. It does not matter: every
// write to a captured table adds a change, so connections that see the same
// newest change see the same tables. One that sees another is begun again, and
// left out when the application writes too fast for that.
func (s *Source) View(ctx context.Context) (connector.View, error) {
	for {
		v, err := s.tryView(ctx)
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, errStaleLayout) {
			return nil, fmt.Errorf("sqlite: open view: %w", err)
		}
		if err := s.follow(ctx); err != nil {
			return nil, err
		}
	}
}

func (s *Source) tryView(ctx context.Context) (*view, error) {
	const attempts = 4
	// Held until the view is admitted: a range that is streamed meanwhile ends below
	// the view's position, or is cut there.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.captured == nil {
		return nil, errNotStarted
	}
	v := &view{
		source: s, at: s.config.Now().UnixMicro(),
		free: make(chan *sql.Conn, s.config.ViewReaders),
	}
	var readers []*sql.Conn
	closeAll := func() {
		for _, conn := range readers {
			rollback(conn)
			_ = conn.Close()
		}
	}
	for range s.config.ViewReaders {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			closeAll()
			return nil, err
		}
		readers = append(readers, conn)
	}
	var schema int64
	for range attempts {
		v.conns = v.conns[:0]
		for _, conn := range readers {
			rollback(conn)
			version, newest, err := beginSnapshot(ctx, conn)
			if err != nil {
				closeAll()
				return nil, err
			}
			if len(v.conns) == 0 {
				v.version, schema = newest, version
			}
			if newest == v.version && version == schema {
				v.conns = append(v.conns, conn)
			}
		}
		if len(v.conns) == len(readers) {
			break
		}
	}
	for _, conn := range readers {
		if !slices.Contains(v.conns, conn) {
			rollback(conn)
			_ = conn.Close()
			continue
		}
		v.free <- conn
	}
	err := s.admitView(v, schema)
	if err == nil {
		err = s.syncLog()
	}
	if err != nil {
		_ = v.Close()
		return nil, err
	}
	return v, nil
}

func beginSnapshot(ctx context.Context, conn *sql.Conn) (schema, newest int64, err error) {
	if _, err = conn.ExecContext(ctx, "BEGIN"); err != nil {
		return 0, 0, err
	}
	// BEGIN alone does not fix the snapshot, the first read does.
	if newest, err = scanInt(ctx, conn, "SELECT coalesce(max(no), 0) FROM "+changesTable); err != nil {
		return 0, 0, err
	}
	schema, err = schemaVersion(ctx, conn)
	return schema, newest, err
}

// admitView gives the view its layouts and remembers its position. The caller
// holds s.mu.
func (s *Source) admitView(v *view, schema int64) error {
	if s.schema != schema {
		return errStaleLayout
	}
	for _, name := range s.captured {
		v.layouts = append(v.layouts, s.current[name])
	}
	if at, there := slices.BinarySearch(s.viewed, v.version); !there {
		s.viewed = slices.Insert(s.viewed, at, v.version)
	}
	return nil
}

// rangeEnd is where a range that begins after a position must end: at the
// newest change, or at a view in between. The caller of a view may then tell by
// a transaction's position whether the view shows it.
func (s *Source) rangeEnd(after, newest int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, _ := slices.BinarySearch(s.viewed, after+1)
	if at < len(s.viewed) {
		return min(newest, s.viewed[at])
	}
	return newest
}

func (v *view) Position() lienthong.Position { return lienthong.Position{Order: uint64(v.version)} }

func (v *view) Version() int64 { return v.version }

// Table describes a table as the view shows it.
func (v *view) Table(table int) connector.Table { return v.layouts[table].table() }

func (v *view) Close() error {
	v.closing.Do(func() {
		for _, conn := range v.conns {
			rollback(conn)
			_ = conn.Close()
		}
	})
	return nil
}

func (v *view) borrow(ctx context.Context) (*sql.Conn, error) {
	select {
	case conn := <-v.free:
		return conn, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Chunks divides by the first key column. Its values do not move by themselves,
// which the row numbers of SQLite do (VACUUM), so a chunk keeps its meaning.
func (v *view) Chunks(ctx context.Context, table int, rows int) ([]connector.Chunk, error) {
	conn, err := v.borrow(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { v.free <- conn }()
	l := v.layouts[table]
	rows = max(rows, 1)
	var bounds []driver.Value
	if l.RowIDKey {
		bounds, err = evenBounds(ctx, conn, l, rows)
	} else {
		bounds, err = steppedBounds(ctx, conn, l, rows)
	}
	if err != nil {
		return nil, fmt.Errorf("sqlite: divide %s: %w", l.Table, err)
	}
	chunks := make([]connector.Chunk, 0, len(bounds)+1)
	from := ""
	for _, bound := range bounds {
		to := boundText(bound)
		chunks = append(chunks, connector.Chunk(from+".."+to))
		from = to
	}
	return append(chunks, connector.Chunk(from+"..")), nil
}

// evenBounds cuts the span of row numbers evenly, without reading the rows.
func evenBounds(ctx context.Context, conn *sql.Conn, l *layout, rows int) ([]driver.Value, error) {
	key := quote(l.Columns[l.Key[0]].Name)
	var lowest, highest sql.NullInt64
	var count int64
	if err := conn.QueryRowContext(ctx, fmt.Sprintf("SELECT (SELECT min(%s) FROM %s), (SELECT max(%s) FROM %s), count(*) FROM %s",
		key, quote(l.Table), key, quote(l.Table), quote(l.Table))).Scan(&lowest, &highest, &count); err != nil {
		return nil, err
	}
	chunks := (count + int64(rows) - 1) / int64(rows)
	span := uint64(highest.Int64) - uint64(lowest.Int64) // two's complement: right even across the whole range
	if chunks < 2 {
		return nil, nil
	}
	step := span/uint64(chunks) + 1
	var bounds []driver.Value
	for i := uint64(1); i < uint64(chunks); i++ {
		if step > span/i { // the next bound would be past the highest
			break
		}
		bounds = append(bounds, int64(uint64(lowest.Int64)+i*step))
	}
	return bounds, nil
}

// steppedBounds walks the key's index.
func steppedBounds(ctx context.Context, conn *sql.Conn, l *layout, rows int) ([]driver.Value, error) {
	key, table := quote(l.Columns[l.Key[0]].Name), quote(l.Table)
	var bounds []driver.Value
	var bound driver.Value
	for {
		query := fmt.Sprintf("SELECT +%s FROM %s ORDER BY %s LIMIT 1 OFFSET ?1", key, table, key)
		args := arguments(int64(rows))
		if bound != nil {
			query = fmt.Sprintf("SELECT +%s FROM %s WHERE %s >= ?2 ORDER BY %s LIMIT 1 OFFSET ?1", key, table, key, key)
			args = arguments(int64(rows), bound)
		}
		var next driver.Value
		if err := each(ctx, conn, query, args, func(row []driver.Value) error {
			next = row[0]
			return nil
		}); err != nil {
			return nil, err
		}
		if next == nil && bound == nil {
			// Either the end, or more nulls than a chunk has rows.
			return bounds, nil
		}
		if next != nil && bound != nil && boundText(next) == boundText(bound) {
			// One value of the first key column fills more than a chunk: go past it.
			if err := each(ctx, conn, fmt.Sprintf("SELECT +%s FROM %s WHERE %s > ?1 ORDER BY %s LIMIT 1", key, table, key, key),
				arguments(bound), func(row []driver.Value) error {
					next = row[0]
					return nil
				}); err != nil {
				return nil, err
			}
			if boundText(next) == boundText(bound) {
				return bounds, nil
			}
		}
		if next == nil {
			return bounds, nil
		}
		bounds = append(bounds, next)
		bound = next
	}
}

// boundText writes a bound with its storage class: i12, f3ff…, t616263, b616263.
func boundText(bound driver.Value) string {
	switch v := bound.(type) {
	case int64:
		return "i" + strconv.FormatInt(v, 10)
	case float64:
		return "f" + strconv.FormatUint(math.Float64bits(v), 16)
	case string:
		return "t" + hex.EncodeToString([]byte(v))
	case []byte:
		return "b" + hex.EncodeToString(v)
	}
	return ""
}

func parseBound(text string) (driver.Value, error) {
	if text == "" {
		return nil, nil
	}
	body := text[1:]
	switch text[0] {
	case 'i':
		return strconv.ParseInt(body, 10, 64)
	case 'f':
		bits, err := strconv.ParseUint(body, 16, 64)
		return math.Float64frombits(bits), err
	case 't':
		raw, err := hex.DecodeString(body)
		return string(raw), err
	case 'b':
		return hex.DecodeString(body)
	}
	return nil, errors.New("unknown storage class")
}

// parseChunk reads "from..to"; an empty side is open.
func parseChunk(chunk connector.Chunk) (from, to driver.Value, err error) {
	left, right, found := strings.Cut(string(chunk), "..")
	if found {
		if from, err = parseBound(left); err == nil {
			to, err = parseBound(right)
		}
	}
	if !found || err != nil {
		return nil, nil, &lienthong.Error{
			Code: "sqlite.chunk", Err: err,
			Vi: "không đọc được đoạn dữ liệu đã lưu", En: "the stored chunk cannot be read",
			Hint: "nạp lại từ đầu / start the snapshot again",
		}
	}
	return from, to, nil
}

// Read delivers the rows of a chunk.
func (v *view) Read(ctx context.Context, table int, chunk connector.Chunk, deliver func(*connector.Row) error) error {
	from, to, err := parseChunk(chunk)
	if err != nil {
		return err
	}
	l := v.layouts[table]
	if len(l.Columns) == 0 {
		return nil
	}
	conn, err := v.borrow(ctx)
	if err != nil {
		return err
	}
	defer func() { v.free <- conn }()
	key := quote(l.Columns[l.Key[0]].Name)
	var where []string
	var args []driver.Value
	if from != nil {
		args = append(args, from)
		where = append(where, fmt.Sprintf("%s >= ?%d", key, len(args)))
	}
	if to != nil {
		args = append(args, to)
		upper := fmt.Sprintf("%s < ?%d", key, len(args))
		if from == nil && l.Columns[l.Key[0]].Nullable {
			upper = "(" + upper + " OR " + key + " IS NULL)"
		}
		where = append(where, upper)
	}
	// The plus hides the declared type from the driver, which would otherwise make
	// times of texts by rules of its own.
	query := "SELECT " + l.selection("+") + " FROM " + quote(l.Table)
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	var memory arena
	row := connector.Row{
		Table: table, Op: lienthong.Upsert, Version: v.version, At: v.at,
		Values: make([]lienthong.Value, len(l.Columns)),
	}
	err = each(ctx, conn, query, arguments(args...), func(stored []driver.Value) error {
		memory.reset()
		for i := range stored {
			row.Values[i] = memory.convert(stored[i], l.Columns[i].Kind)
		}
		return deliver(&row)
	})
	if err != nil {
		return fmt.Errorf("sqlite: read %s: %w", l.Table, err)
	}
	return nil
}

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/lienthong/lienthong"
)

// OpenSQLite opens a store in a file of the directory, which is made when it is
// missing, and brings its tables to this program's version. The directory must be on
// a local disk.
func OpenSQLite(ctx context.Context, dir string, config Config) (*Store, error) {
	config = config.withDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: make directory: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(dir, "store.db"))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	source := func(cacheKiB int, pragmas ...string) string {
		values := url.Values{}
		for _, p := range append(pragmas,
			"busy_timeout(15000)", "synchronous(FULL)", "foreign_keys(OFF)",
			"cache_size(-"+strconv.Itoa(cacheKiB)+")") {
			values.Add("_pragma", p)
		}
		return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: values.Encode()}).String()
	}
	writing, err := sql.Open("sqlite", source(32<<10, "page_size(8192)", "journal_mode(WAL)", "wal_autocheckpoint(4000)"))
	if err != nil {
		return nil, fmt.Errorf("store: open SQLite: %w", err)
	}
	writing.SetMaxOpenConns(1)
	conn, err := writing.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: open SQLite: %w", err), writing.Close())
	}
	reading, err := sql.Open("sqlite", source(8<<10, "query_only(ON)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: open SQLite: %w", err), conn.Close(), writing.Close())
	}
	reading.SetMaxOpenConns(config.Readers)
	reading.SetMaxIdleConns(config.Readers)
	w := &liteWriter{liteSession: liteSession{conn}, conn: conn, statements: make(map[string]driver.Stmt)}
	e := &sqliteEngine{writing: writing, reading: reading, slot: make(chan *liteWriter, 1), closed: make(chan struct{})}
	e.slot <- w
	return open(ctx, e, config)
}

type sqliteEngine struct {
	writing, reading *sql.DB
	slot             chan *liteWriter
	closed           chan struct{}
	once             sync.Once
	closeErr         error
}

func (e *sqliteEngine) name() string { return "sqlite" }

func (e *sqliteEngine) types() typeNames {
	return typeNames{
		// ISODATE and BLOB are chosen for their affinity: none changes what is stored.
		kinds: [...]string{"TEXT", "INTEGER", "TEXT", "BLOB", "INTEGER", "ISODATE", "INTEGER", "BLOB"},
		id:    "TEXT", flag: "INTEGER", at: "INTEGER",
		keyTable: "json_each(?) k",
		keyList: func(ids []string) any {
			list, _ := json.Marshal(ids) // strings never fail
			return string(list)
		},
	}
}

func (e *sqliteEngine) reader() session { return liteSession{e.reading} }

func (e *sqliteEngine) acquire(ctx context.Context) (writer, error) {
	select {
	case <-e.closed:
		return nil, closedError()
	default:
	}
	select {
	case w := <-e.slot:
		return w, nil
	case <-e.closed:
		return nil, closedError()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *sqliteEngine) release(w writer) {
	if lw, ok := w.(*liteWriter); ok {
		e.slot <- lw
	}
}

func (e *sqliteEngine) close() error {
	e.once.Do(func() {
		close(e.closed)
		w := <-e.slot
		e.closeErr = errors.Join(w.close(), e.reading.Close(), e.writing.Close())
	})
	return e.closeErr
}

type liteQuerier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// liteSession runs portable SQL on a connection or a pool.
type liteSession struct{ in liteQuerier }

func (s liteSession) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := s.in.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s liteSession) each(ctx context.Context, query string, args []any, row func(scanFunc) error) error {
	rows, err := s.in.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

func (e *sqliteEngine) freeze(ctx context.Context) (frozen, error) {
	conn, err := e.reading.Conn(ctx)
	if err != nil {
		return nil, err
	}
	f := &liteFrozen{liteSession: liteSession{conn}, conn: conn}
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	// The view begins with the first read, not with BEGIN.
	err = f.each(ctx, "SELECT count(*) FROM settings", nil, func(scan scanFunc) error {
		var n int64
		return scan(&n)
	})
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

type liteFrozen struct {
	liteSession
	conn *sql.Conn
}

func (f *liteFrozen) close() error {
	_, err := f.conn.ExecContext(context.Background(), "ROLLBACK") //nolint:forbidigo // the view ends even when its reader gave up
	if errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return errors.Join(err, f.conn.Close())
}

func (f *liteFrozen) live(ctx context.Context, l *layout, stream int64, row func(id []byte, values []lienthong.Value) error) error {
	query := "SELECT _id, " + strings.Join(l.columns, ", ") + " FROM " + l.table + " WHERE _stream = ? AND NOT _deleted AND NOT _held"
	values := make([]lienthong.Value, len(l.columns))
	var id, scratch []byte
	return scanRaw(ctx, f.conn, query, []driver.Value{stream}, func(cells []driver.Value) error {
		text, ok := cells[0].(string)
		if !ok {
			return errCell
		}
		id, scratch = append(id[:0], text...), scratch[:0]
		for i := range values {
			var err error
			values[i], scratch, err = fromLite(l.shape.Fields[i].Kind, cells[i+1], scratch)
			if err != nil {
				return err
			}
		}
		return row(id, values)
	})
}

// scanRaw reads rows from the driver itself: database/sql would convert every
// cell a second time.
func scanRaw(ctx context.Context, conn *sql.Conn, query string, args []driver.Value, row func(cells []driver.Value) error) error {
	return conn.Raw(func(raw any) error {
		queryer, ok := raw.(driver.QueryerContext)
		if !ok {
			return errors.New("the SQLite driver cannot query")
		}
		rows, err := queryer.QueryContext(ctx, query, named(nil, args))
		if err != nil {
			return err
		}
		return drain(rows, row)
	})
}

func drain(rows driver.Rows, row func(cells []driver.Value) error) error {
	cells := make([]driver.Value, len(rows.Columns()))
	for {
		err := rows.Next(cells)
		if errors.Is(err, io.EOF) {
			return rows.Close()
		}
		if err == nil {
			err = row(cells)
		}
		if err != nil {
			return errors.Join(err, rows.Close())
		}
	}
}

func named(dst []driver.NamedValue, values []driver.Value) []driver.NamedValue {
	for i, v := range values {
		dst = append(dst, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return dst
}

var errCell = errors.New("a cell is not of its column's kind")

const (
	dateOnly    = "2006-01-02"
	firstIsoDay = -719_528 // 0000-01-01
	lastIsoDay  = 2_932_896
)

// toLite returns a value in the form in which SQLite keeps it.
func toLite(kind lienthong.Kind, v *lienthong.Value) driver.Value {
	if v.State != lienthong.Present {
		return nil
	}
	switch kind {
	case lienthong.Text, lienthong.Decimal:
		return string(v.Bytes)
	case lienthong.Binary:
		if v.Bytes == nil {
			return []byte{}
		}
		return v.Bytes
	case lienthong.Real:
		f := math.Float64frombits(uint64(v.Int))
		if math.IsNaN(f) {
			// SQLite would turn it into null. Which NaN it was is part of the digest.
			return "NaN:" + strconv.FormatUint(uint64(v.Int), 16)
		}
		return f
	case lienthong.Date:
		if v.Int >= firstIsoDay && v.Int <= lastIsoDay {
			return time.Unix(v.Int*86_400, 0).UTC().Format(dateOnly)
		}
		return v.Int
	case lienthong.Integer, lienthong.Boolean, lienthong.Timestamp:
		return v.Int
	}
	return nil
}

// fromLite reads what toLite wrote. Bytes of texts are appended to scratch.
func fromLite(kind lienthong.Kind, cell driver.Value, scratch []byte) (lienthong.Value, []byte, error) {
	v := lienthong.Value{State: lienthong.Present}
	if cell == nil {
		return lienthong.Value{}, scratch, nil
	}
	switch c := cell.(type) {
	case string:
		switch kind {
		case lienthong.Text, lienthong.Decimal:
			start := len(scratch)
			scratch = append(scratch, c...)
			v.Bytes = scratch[start:]
			return v, scratch, nil
		case lienthong.Date:
			days, ok := isoDay(c)
			v.Int = days
			if ok {
				return v, scratch, nil
			}
		case lienthong.Real:
			bits, err := strconv.ParseUint(strings.TrimPrefix(c, "NaN:"), 16, 64)
			v.Int = int64(bits)
			if err == nil && math.IsNaN(math.Float64frombits(bits)) {
				return v, scratch, nil
			}
		}
	case int64:
		if kind == lienthong.Integer || kind == lienthong.Boolean || kind == lienthong.Timestamp || kind == lienthong.Date {
			v.Int = c
			return v, scratch, nil
		}
	case float64:
		if kind == lienthong.Real {
			v.Int = int64(math.Float64bits(c))
			return v, scratch, nil
		}
	case []byte:
		if kind == lienthong.Binary {
			v.Bytes = c
			return v, scratch, nil
		}
	}
	// Somebody else wrote this cell. A value that no source has makes the digest
	// differ, and a repair puts it right.
	v.State, v.Int, v.Bytes = lienthong.Present, math.MinInt64+1, []byte("\x00")
	return v, scratch, nil
}

// isoDay reads 2006-01-02.
func isoDay(s string) (int64, bool) {
	if len(s) != len(dateOnly) || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	number := func(s string) (n int, ok bool) {
		for i := range len(s) {
			if s[i] < '0' || s[i] > '9' {
				return 0, false
			}
			n = n*10 + int(s[i]-'0')
		}
		return n, true
	}
	year, ok1 := number(s[:4])
	month, ok2 := number(s[5:7])
	day, ok3 := number(s[8:])
	if !ok1 || !ok2 || !ok3 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, false
	}
	// Days from the civil calendar, counting years from March.
	y, m := year, month-3
	if m < 0 {
		y, m = y-1, m+12
	}
	y += 400 // keep it positive
	days := 365*y + y/4 - y/100 + y/400 + (153*m+2)/5 + day - 1
	return int64(days) - 146_097 - 719_468, true
}

func liteCode(err error) int {
	var fault *sqlite.Error
	if errors.As(err, &fault) {
		return fault.Code()
	}
	return 0
}

// Package sqlite reads SQLite databases as a source.
//
// SQLite has no log that another program may read, so Start leaves triggers in
// the source: each insert, update and delete adds one row to the table
// _lienthong_changes, in the writer's own transaction. The row holds the whole
// new image of the record (of a delete: its key) in columns without a type, so
// every stored value is kept exactly, storage class included, and one ordered
// read of one table is the stream.
//
// Invariants:
//
//   - The number of a change is its version and its position. Numbers only
//     grow: the newest row is never removed, and a new change table starts at
//     the clock, so that numbers stay above those of an earlier installation.
//   - Every change names the layout (the columns, in order) that its trigger
//     was written for. A change of the table's columns is a new layout and a
//     marker in the change table, so it is streamed at its exact place.
//   - A range is delivered only after the write-ahead log is on disk. A power
//     cut can therefore not take back numbers that were already streamed.
//   - No transaction is open at the source while the caller works on a range.
//
// SQLite does not record where transactions end. A range ends at the newest
// change of one read snapshot, so it holds whole transactions only, often
// several of them.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Config says which database to read and how.
type Config struct {
	// Path of the database file. It must exist.
	Path string
	// PollInterval is how long Stream waits before it looks for changes of other
	// programs again. Default 50 ms.
	PollInterval time.Duration
	// BusyTimeout is how long to wait for the application's own transactions
	// before giving up. Default 10 s.
	BusyTimeout time.Duration
	// ViewReaders is the number of chunks that a View can read at the same time.
	// Default 2.
	ViewReaders int
	// PageRows and PageBytes bound what Stream holds in memory. Defaults 1,000 and 4 MiB.
	PageRows  int
	PageBytes int
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log takes what an operator should know. Default: nothing is logged.
	Log *slog.Logger
}

// Source is a SQLite database. It implements connector.Source,
// connector.HealthReporter and connector.Destroyer.
type Source struct {
	config Config
	db     *sql.DB // reads
	writer *sql.DB // one connection, which does not wait by itself; see write

	mu       sync.Mutex // guards the fields below; held during schema refreshes
	captured []string   // table names in the order given to Start
	layouts  map[int64]*layout
	current  map[string]*layout // newest layout of each captured table
	schema   int64              // schema_version that current agrees with; 0 before Start
	width    int                // value columns of the change table
	viewed   []int64            // positions of views, in order; no streamed range crosses one

	acknowledging sync.Mutex // one Acknowledge at a time
}

var (
	_ connector.Source         = (*Source)(nil)
	_ connector.HealthReporter = (*Source)(nil)
	_ connector.Destroyer      = (*Source)(nil)
)

// Open opens the database. It changes nothing in it; Start does.
func Open(ctx context.Context, config Config) (*Source, error) {
	if config.PollInterval <= 0 {
		config.PollInterval = 50 * time.Millisecond
	}
	if config.BusyTimeout <= 0 {
		config.BusyTimeout = 10 * time.Second
	}
	if config.ViewReaders <= 0 {
		config.ViewReaders = 2
	}
	if config.PageRows <= 0 {
		config.PageRows = 1000
	}
	if config.PageBytes <= 0 {
		config.PageBytes = 4 << 20
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if info, err := os.Stat(config.Path); err != nil || !info.Mode().IsRegular() {
		return nil, &lienthong.Error{
			Code: "sqlite.open", Where: config.Path, Err: err,
			Vi: "không mở được tệp cơ sở dữ liệu", En: "the database file cannot be opened",
			Hint: "kiểm tra đường dẫn và quyền đọc, ghi / check the path and the right to read and write",
		}
	}
	path, err := filepath.Abs(config.Path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: absolute path: %w", err)
	}
	connect := func(busy time.Duration) (*sql.DB, error) {
		query := url.Values{"mode": {"rw"}}
		query.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()))
		// What this program writes into the source can be repeated, so it need not
		// make the application wait for the disk.
		query.Add("_pragma", "synchronous(normal)")
		address := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
		return sql.Open("sqlite", address.String())
	}
	db, err := connect(config.BusyTimeout)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	writer, err := connect(0)
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	writer.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		_, _ = db.Close(), writer.Close()
		return nil, &lienthong.Error{
			Code: "sqlite.open", Where: config.Path, Err: err,
			Vi: "không mở được tệp cơ sở dữ liệu", En: "the database file cannot be opened",
			Hint: "kiểm tra đường dẫn và quyền đọc, ghi / check the path and the right to read and write",
		}
	}
	return &Source{
		config: config, db: db, writer: writer,
		layouts: map[int64]*layout{}, current: map[string]*layout{},
	}, nil
}

// Close releases the connections. Triggers and change table stay.
func (s *Source) Close() error { return errors.Join(s.db.Close(), s.writer.Close()) }

// Tables lists the tables of the database, without SQLite's own and ours.
func (s *Source) Tables(ctx context.Context) ([]connector.Table, error) {
	var tables []connector.Table
	err := s.read(ctx, func(conn *sql.Conn) error {
		names, err := tableNames(ctx, conn)
		if err != nil {
			return err
		}
		tables = make([]connector.Table, 0, len(names))
		for _, name := range names {
			l, err := introspect(ctx, conn, name)
			if err != nil {
				return err
			}
			table := l.table()
			table.EstimatedRows = estimatedRows(ctx, conn, name)
			tables = append(tables, table)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sqlite: list tables: %w", err)
	}
	return tables, nil
}

// Start installs the change table and the triggers. It sets the database to
// write-ahead logging, which SQLite needs so that reading and writing do not
// wait for each other.
func (s *Source) Start(ctx context.Context, tables []string) (lienthong.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ensureWAL(ctx); err != nil {
		return lienthong.Position{}, err
	}
	var acknowledged int64
	err := s.write(ctx, func(conn *sql.Conn) error {
		first, err := s.createTables(ctx, conn)
		if err != nil {
			return err
		}
		if first {
			s.config.Log.InfoContext(ctx, "sqlite: change table created", slog.String("path", s.config.Path))
		}
		s.captured = append([]string(nil), tables...)
		if err := s.refresh(ctx, conn); err != nil {
			return err
		}
		acknowledged, err = acknowledgedPosition(ctx, conn)
		return err
	})
	if err != nil {
		s.captured, s.schema = nil, 0
		return lienthong.Position{}, fmt.Errorf("sqlite: start: %w", err)
	}
	return lienthong.Position{Order: uint64(acknowledged)}, nil
}

// Acknowledge removes the changes up to the position, a few thousand at a time
// so that the application never waits long for the write lock.
func (s *Source) Acknowledge(ctx context.Context, pos lienthong.Position) error {
	const rowsPerTransaction = 4000
	s.acknowledging.Lock()
	defer s.acknowledging.Unlock()
	upTo, err := toNumber(pos)
	if err != nil {
		return err
	}
	for more := true; more; {
		err := s.write(ctx, func(conn *sql.Conn) error {
			newest, err := scanInt(ctx, conn, "SELECT coalesce(max(no), 0) FROM "+changesTable)
			if err != nil {
				return err
			}
			if upTo > newest {
				return restoredError(s.config.Path)
			}
			if _, err := conn.ExecContext(ctx,
				"UPDATE "+stateTable+" SET acknowledged = ?1 WHERE acknowledged < ?1", upTo); err != nil {
				return err
			}
			// The newest row stays: it keeps the numbers growing.
			oldest, err := scanInt(ctx, conn, "SELECT coalesce(min(no), 0) FROM "+changesTable)
			if err != nil {
				return err
			}
			last := min(upTo, newest-1)
			end := min(last, oldest+rowsPerTransaction-1)
			if _, err := conn.ExecContext(ctx, "DELETE FROM "+changesTable+" WHERE no <= ?", end); err != nil {
				return err
			}
			more = end < last
			return nil
		})
		if err != nil {
			return fmt.Errorf("sqlite: acknowledge: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.viewed = slices.DeleteFunc(s.viewed, func(at int64) bool { return at <= upTo })
	return nil
}

// Health reports the waiting changes and whether all triggers stand.
func (s *Source) Health(ctx context.Context) (connector.Health, error) {
	s.mu.Lock()
	captured := append([]string(nil), s.captured...)
	s.mu.Unlock()
	health := connector.Health{RetainedBytes: -1}
	err := s.read(ctx, func(conn *sql.Conn) error {
		installed, err := hasTable(ctx, conn, changesTable)
		if err != nil {
			return err
		}
		if !installed {
			health.Code = "sqlite.not_started"
			health.Vi, health.En = "chưa theo dõi thay đổi", "changes are not captured yet"
			return nil
		}
		for _, name := range captured {
			count, err := scanInt(ctx, conn,
				"SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND name LIKE '\\_lienthong\\_%' ESCAPE '\\'", name)
			if err != nil {
				return err
			}
			if count < 4 {
				health.Code = "sqlite.triggers_missing"
				health.Vi = "bảng " + name + " thiếu trigger theo dõi; luồng thay đổi sẽ tự dựng lại"
				health.En = "table " + name + " lacks its triggers; the stream puts them back"
				return nil
			}
		}
		waiting, err := scanInt(ctx, conn, "SELECT count(*) FROM "+changesTable+
			" WHERE no > (SELECT acknowledged FROM "+stateTable+")")
		if err != nil {
			return err
		}
		health.OK, health.Code = true, "sqlite.ok"
		health.Vi = fmt.Sprintf("%d thay đổi chờ xác nhận", waiting)
		health.En = fmt.Sprintf("%d changes wait for acknowledgement", waiting)
		return nil
	})
	if err != nil {
		return connector.Health{}, fmt.Errorf("sqlite: health: %w", err)
	}
	return health, nil
}

// Destroy removes triggers and tables of ours. The journal mode stays.
func (s *Source) Destroy(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.write(ctx, func(conn *sql.Conn) error {
		drops, err := scanStrings(ctx, conn,
			"SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '\\_lienthong\\_%' ESCAPE '\\'")
		if err != nil {
			return err
		}
		for _, name := range drops {
			if _, err := conn.ExecContext(ctx, "DROP TRIGGER "+quote(name)); err != nil {
				return err
			}
		}
		for _, name := range []string{changesTable, layoutsTable, stateTable} {
			if _, err := conn.ExecContext(ctx, "DROP TABLE IF EXISTS "+name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sqlite: destroy: %w", err)
	}
	s.captured, s.schema = nil, 0
	s.layouts, s.current = map[int64]*layout{}, map[string]*layout{}
	return nil
}

func (s *Source) ensureWAL(ctx context.Context) error {
	var mode string
	if err := s.db.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode); err != nil || !strings.EqualFold(mode, "wal") {
		return &lienthong.Error{
			Code: "sqlite.wal", Where: s.config.Path, Err: err,
			Vi:   "không bật được chế độ ghi trước (WAL)",
			En:   "the database could not be set to write-ahead logging (WAL)",
			Hint: "đóng các phiên đang khoá tệp, để tệp trên đĩa cục bộ có quyền ghi / end sessions that lock the file and keep it on a writable local disk",
		}
	}
	return nil
}

// syncLog brings the write-ahead log to disk, whatever the application's own
// synchronous setting is.
func (s *Source) syncLog() error {
	file, err := os.OpenFile(s.config.Path+"-wal", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // everything is in the database file, which a checkpoint syncs
	}
	if err != nil {
		return fmt.Errorf("sqlite: open write-ahead log: %w", err)
	}
	err = file.Sync()
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("sqlite: sync write-ahead log: %w", err)
	}
	return nil
}

// read runs work in one read snapshot.
func (s *Source) read(ctx context.Context, work func(*sql.Conn) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	defer rollback(conn)
	return work(conn)
}

// write runs work in one write transaction. SQLite's own waiting sleeps longer
// and longer and starves beside an application that writes without a pause, so
// this asks for the lock every millisecond.
func (s *Source) write(ctx context.Context, work func(*sql.Conn) error) error {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.BusyTimeout, &lienthong.Error{
		Code: "sqlite.busy", Where: s.config.Path,
		Vi:   "chương trình khác giữ khoá ghi của cơ sở dữ liệu quá lâu",
		En:   "another program holds the database's write lock for too long",
		Hint: "kết thúc giao dịch đang mở ở ứng dụng nguồn / end the transaction that is open in the source application",
	})
	defer cancel()
	for {
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !isBusy(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond): //nolint:forbidigo // in a select with ctx
		}
	}
	err = work(conn)
	if err == nil {
		_, err = conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		rollback(conn)
	}
	return err
}

func isBusy(err error) bool {
	var coded *sqlite.Error
	return errors.As(err, &coded) && coded.Code()&0xff == 5 // SQLITE_BUSY and its variants
}

// rollback ends a transaction even when the caller's context has ended; a
// connection that cannot is thrown away.
func rollback(conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) //nolint:forbidigo // the end of a view has no context of its own
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil && !strings.Contains(err.Error(), "no transaction") {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// each runs a query below database/sql, whose conversions would cost more than
// the reading itself, and calls deliver for each row. The slice is reused.
func each(ctx context.Context, conn *sql.Conn, query string, args []driver.NamedValue, deliver func([]driver.Value) error) error {
	return conn.Raw(func(raw any) error {
		queryer, ok := raw.(driver.QueryerContext)
		if !ok {
			return errors.New("the driver cannot query")
		}
		rows, err := queryer.QueryContext(ctx, query, args)
		if err != nil {
			return err
		}
		dest := make([]driver.Value, len(rows.Columns()))
		for {
			err := rows.Next(dest)
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = deliver(dest)
			}
			if err != nil {
				_ = rows.Close()
				return err
			}
		}
		return rows.Close()
	})
}

func arguments(values ...driver.Value) []driver.NamedValue {
	named := make([]driver.NamedValue, len(values))
	for i, value := range values {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: value}
	}
	return named
}

func scanInt(ctx context.Context, conn *sql.Conn, query string, args ...any) (int64, error) {
	var n int64
	err := conn.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

func scanStrings(ctx context.Context, conn *sql.Conn, query string, args ...any) ([]string, error) {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return found, rows.Err()
}

func toNumber(pos lienthong.Position) (int64, error) {
	if pos.Order > 1<<62 {
		return 0, restoredError("")
	}
	return int64(pos.Order), nil
}

func restoredError(path string) error {
	return &lienthong.Error{
		Code: "sqlite.restored", Where: path,
		Vi:   "cơ sở dữ liệu cũ hơn vị trí đã đọc, có thể vừa được khôi phục từ bản sao lưu",
		En:   "the database is older than the position already read; it was probably restored from a backup",
		Hint: "gỡ theo dõi, bắt đầu lại và nạp toàn bộ / destroy the capture, start again and take a new snapshot",
	}
}

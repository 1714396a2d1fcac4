// Package polling reads any database that database/sql reaches, by asking again and again.
//
// It is for engines that have no log that we may read, and it needs nothing at the source but
// SELECT. What a row looked like when it was read last is remembered as a digest in a state
// database beside; a poll reads the rows whose monotonic column moved, or all rows where
// there is no such column, and what differs is a change. Rows that vanished are found by
// comparing keys, or by a column that marks them deleted.
//
// Invariants:
//
//   - A change is stored, image and all, before it is delivered, and kept until it is
//     acknowledged. What is not acknowledged is delivered again, the same.
//   - The version of a change is the number of its poll and a number within it. Poll
//     numbers follow the clock, so they keep growing after the state was lost.
//   - Polls run one after another. A poll is streamed when all of it is stored; a
//     crash in the middle publishes what was stored, because it was seen.
//   - A View is a poll that reads every row, and a copy of the rows that it saw, on our own disk.
//     It is exact for any engine, and the source is read once, by one statement for each table.
//   - A monotonic column may be late: each poll reads again what lies within the overlap,
//     and a mark never rises above the engine's clock or its oldest open transaction.
//
// What happens to a record between two polls is seen once, as the last state. That is what
// polling can do, and its Capabilities in the conformance suite say so.
package polling

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the state's database/sql driver "sqlite"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Table declares how one table is read. A table that is not declared is read whole at each poll, by
// its primary key.
type Table struct {
	// Name as Source.Tables gives it: "public.congdan".
	Name string
	// Key names the columns that together name a row. Default: the primary key. A view
	// is read only when its key is declared.
	Key []string
	// Monotonic is a column that every insert and update moves up: a time of the last change, a
	// number of a sequence, a row version. Empty: every poll reads the whole table.
	Monotonic string
	// DeletedColumn marks rows that count as deleted. With one of DeletedValues in it a row is gone;
	// without DeletedValues, with any value. True and false are written "true" and "false".
	DeletedColumn string
	DeletedValues []string
	// KeySweepEvery is how often the keys are read to find rows that were deleted. Default an
	// hour, and never when there is a DeletedColumn; negative: never. Without a
	// monotonic column every poll finds them.
	KeySweepEvery time.Duration
	// Skip names columns that are not read. The monotonic column and the deleted column may be among them.
	Skip []string
}

// Config says which database to read and how.
type Config struct {
	// DB is the database. The source closes it.
	DB      *sql.DB
	Dialect Dialect
	// StateDir holds the state database and the copies of open views.
	StateDir string
	Tables   []Table
	// Defaults is how tables are read that Tables does not name. Default: whole, by the primary key.
	Defaults Table
	// Every is the time between polls. Default 10 s.
	Every time.Duration
	// Overlap is how far back a poll reads again, for transactions that took a time stamp and
	// committed later. Default 5 min. OverlapNumbers is the same for numbers. Default 1,000.
	Overlap        time.Duration
	OverlapNumbers int64
	// SchemaEvery is how often the columns are looked up. An error of a query and a View look at
	// once. Default 30 s.
	SchemaEvery time.Duration
	// MaxPending is how many changes may wait for acknowledgement before polling pauses. Default 1,000,000.
	MaxPending int64
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log takes what an operator should know, never a value. Default: nothing is logged.
	Log *slog.Logger
}

// Source is a polled database.
type Source struct {
	config  Config
	dialect *Dialect
	db      *sql.DB
	state   *sql.DB

	polling sync.Mutex // one poll at a time

	mu       sync.Mutex // guards the fields below
	captured []*table   // in the order given to Start; nil before
	report   report
	views    int
}

// report is what Health tells of.
type report struct {
	polled     time.Time // the last poll that worked
	took       time.Duration
	read       int64
	duplicates map[string]int64
	gone       []string
	paused     bool
}

var (
	_ connector.Source         = (*Source)(nil)
	_ connector.HealthReporter = (*Source)(nil)
	_ connector.Destroyer      = (*Source)(nil)
	_ connector.Inspector      = (*Source)(nil)
)

var errNotStarted = errors.New("polling: Start has not been called")

// Open opens the state. The database itself is reached when it is needed.
func Open(ctx context.Context, config Config) (*Source, error) {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("polling: state directory: %w", err)
	}
	leftovers, err := filepath.Glob(filepath.Join(config.StateDir, "view-*.db*"))
	if err != nil {
		return nil, fmt.Errorf("polling: state directory: %w", err)
	}
	for _, name := range leftovers {
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("polling: remove the copy of a view: %w", err)
		}
	}
	state, err := openState(ctx, config.StateDir)
	if err != nil {
		return nil, fmt.Errorf("polling: open state: %w", err)
	}
	return &Source{config: config, dialect: &config.Dialect, db: config.DB, state: state}, nil
}

func (c *Config) setDefaults() {
	if c.Every <= 0 {
		c.Every = 10 * time.Second
	}
	if c.Overlap <= 0 {
		c.Overlap = 5 * time.Minute
	}
	if c.OverlapNumbers <= 0 {
		c.OverlapNumbers = 1000
	}
	if c.SchemaEvery <= 0 {
		c.SchemaEvery = 30 * time.Second
	}
	if c.MaxPending <= 0 {
		c.MaxPending = 1_000_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Tables = slices.Clone(c.Tables)
	for i := range c.Tables {
		c.Tables[i].setDefaults()
	}
	c.Defaults.setDefaults()
}

func (t *Table) setDefaults() {
	if t.KeySweepEvery == 0 {
		t.KeySweepEvery = time.Hour
		if t.DeletedColumn != "" {
			t.KeySweepEvery = -1
		}
	}
}

func (c *Config) validate() error {
	if c.DB == nil || c.Dialect.Catalog == nil || c.Dialect.Kind == nil || c.StateDir == "" {
		return &lienthong.Error{
			Code: "polling.config", Vi: "thiếu cơ sở dữ liệu, phương ngữ SQL hoặc thư mục trạng thái",
			En:   "the database, the dialect or the state directory is missing",
			Hint: "khai đủ DB, Dialect, StateDir / give DB, Dialect and StateDir",
		}
	}
	var problems []error
	names := map[string]bool{}
	for _, t := range c.Tables {
		if t.Name == "" || names[t.Name] {
			problems = append(problems, &lienthong.Error{
				Code: "polling.config", Where: t.Name, Vi: "bảng không tên hoặc khai hai lần", En: "a table without a name, or declared twice",
				Hint: "mỗi bảng khai một lần / declare each table once",
			})
		}
		names[t.Name] = true
		if len(t.DeletedValues) > 0 && t.DeletedColumn == "" {
			problems = append(problems, &lienthong.Error{
				Code: "polling.config", Where: t.Name, Vi: "có giá trị đánh dấu xoá nhưng không có cột đánh dấu", En: "values that mark a deletion, but no column for them",
				Hint: "khai DeletedColumn / declare DeletedColumn",
			})
		}
	}
	return errors.Join(problems...)
}

// Close closes the database and the state.
func (s *Source) Close() error { return errors.Join(s.db.Close(), s.state.Close()) }

// Tables lists tables, and views whose key is declared.
func (s *Source) Tables(ctx context.Context) ([]connector.Table, error) {
	described, err := s.describeAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("polling: list tables: %w", err)
	}
	var tables []connector.Table
	for i := range described {
		if d := &described[i]; d.readable() {
			tables = append(tables, d.table())
		}
	}
	return tables, nil
}

// Start reads every row of tables that it does not know yet, to remember their digests; that takes as long
// as one SELECT of the whole table. Rows that were there before are not changes: a View shows them.
func (s *Source) Start(ctx context.Context, tables []string) (lienthong.Position, error) {
	s.polling.Lock()
	defer s.polling.Unlock()
	captured := make([]*table, 0, len(tables))
	for i, name := range tables {
		d, err := s.describe(ctx, name)
		if err == nil {
			err = d.usable()
		}
		if err != nil {
			return lienthong.Position{}, err
		}
		t := &table{index: i, name: name, declared: s.declared(name), described: s.config.Now(), whole: d.monotonic == nil}
		if err := s.adopt(ctx, t, d); err != nil {
			return lienthong.Position{}, fmt.Errorf("polling: start %s: %w", name, err)
		}
		captured = append(captured, t)
	}
	s.mu.Lock()
	s.captured = captured
	s.mu.Unlock()
	var fresh []*table
	for _, t := range captured {
		if !t.baseline {
			fresh = append(fresh, t)
		}
	}
	if len(fresh) > 0 {
		if _, err := s.pollTables(ctx, fresh, nil); err != nil {
			return lienthong.Position{}, fmt.Errorf("polling: start: %w", err)
		}
	}
	pos, err := s.startPosition(ctx)
	if err != nil {
		return lienthong.Position{}, fmt.Errorf("polling: start: %w", err)
	}
	return pos, nil
}

func (s *Source) declared(name string) Table {
	for _, t := range s.config.Tables {
		if t.Name == name {
			return t
		}
	}
	t := s.config.Defaults
	t.Name = name
	return t
}

// Acknowledge forgets the changes up to the position, some thousands at a time.
func (s *Source) Acknowledge(ctx context.Context, pos lienthong.Position) error {
	if pos.Order >= 1<<39 {
		return &lienthong.Error{
			Code: "polling.position", Vi: "vị trí không phải của nguồn này", En: "the position is not one of this source",
			Hint: "nạp lại từ đầu / start the snapshot again",
		}
	}
	if err := acknowledge(ctx, s.state, int64(pos.Order)); err != nil {
		return fmt.Errorf("polling: acknowledge: %w", err)
	}
	return nil
}

// Destroy forgets everything. There is nothing of ours at the source.
func (s *Source) Destroy(ctx context.Context) error {
	s.polling.Lock()
	defer s.polling.Unlock()
	s.mu.Lock()
	s.captured = nil
	s.mu.Unlock()
	if err := resetState(ctx, s.state); err != nil {
		return fmt.Errorf("polling: destroy: %w", err)
	}
	return nil
}

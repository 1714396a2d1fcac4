// Package store is the hub's relational store: one set of methods on SQLite
// (nothing to install) and on PostgreSQL (for real).
//
// It keeps each dataset as a typed table built from its shape, a ledger of the
// batches that landed, and what the hub must remember about nodes, sign-ins,
// reports and reconciliations. Its invariants, which the same test suite proves
// on both engines:
//
//   - A record's version only rises: what is older than the stored row is ignored.
//   - A batch is applied once: its rows, its ledger entry, its stream's counters and
//     its audit entry commit in one transaction, or none of them does.
//   - The batches of a stream land in sequence, without a gap.
//   - A row that cannot be stored is refused by itself with a reason and stops no other.
//   - An unchanged field keeps its stored value; it never becomes null.
//   - The counters of a stream equal a count over its table.
//
// How values are kept. PostgreSQL: the type of the same name, timestamps with
// time zone, real as double precision. SQLite: text and decimal as text, integer
// and boolean as integer, date as ISO text (a date outside the years 0000-9999 as
// its number of days), timestamp as microseconds since 1970 UTC, real as a float (NaN as the
// text "NaN"), binary as a blob. Every value reads back exactly as it was written.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
)

// Config is what a store needs to know. The zero value works.
type Config struct {
	// Logger receives what an operator should know. Default: nowhere.
	Logger *slog.Logger
	// Now is the clock whose times are stored. Default: time.Now.
	Now func() time.Time
	// Writers is the number of connections that write. SQLite has always one. Default: 2.
	Writers int
	// Readers is the number of connections that read. Default: 4.
	Readers int
	// Step is a place for tests to end the process: it is called with "before commit"
	// when everything of an Apply is in its transaction. Nil in production.
	Step func(point string)
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Writers <= 0 {
		c.Writers = 2
	}
	if c.Readers <= 0 {
		c.Readers = 4
	}
	if c.Step == nil {
		c.Step = func(string) {}
	}
	return c
}

// Store is an open store. Its methods are safe for concurrent use.
type Store struct {
	config Config
	engine engine

	mu         sync.Mutex
	layouts    map[layoutKey]*layout
	registered map[lienthong.Stream]bool
	sets       []*changeSet                          // memory of earlier Applies
	cautious   map[int64]int                         // streams whose snapshot met rows that were there: batches to go before trying again
	fed        map[lienthong.DatasetID]chan struct{} // closed when the dataset's feed grows
}

// Engine names the engine: "sqlite" or "postgres".
func (s *Store) Engine() string { return s.engine.name() }

// Close releases all connections. Transactions that have not committed are undone.
func (s *Store) Close() error { return s.engine.close() }

// Ping reports whether the engine answers.
func (s *Store) Ping(ctx context.Context) error {
	return each(ctx, s.engine.reader(), "SELECT 1", nil, func(scan scanFunc) error {
		var one int64
		return scan(&one)
	})
}

func open(ctx context.Context, e engine, config Config) (*Store, error) {
	s := &Store{
		config: config, engine: e,
		layouts: make(map[layoutKey]*layout), registered: make(map[lienthong.Stream]bool), cautious: make(map[int64]int),
		fed: make(map[lienthong.DatasetID]chan struct{}),
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return s, nil
}

// scanFunc reads the columns of the row at hand.
type scanFunc func(dest ...any) error

// session runs portable SQL: parameters are written as question marks.
type session interface {
	exec(ctx context.Context, query string, args ...any) (int64, error)
	each(ctx context.Context, query string, args []any, row func(scanFunc) error) error
}

// engine is the seam between the store and a database engine.
type engine interface {
	name() string
	types() typeNames
	reader() session
	// acquire waits for a writing connection; release gives it back, or closes it when
	// it is in doubt.
	acquire(ctx context.Context) (writer, error)
	release(w writer)
	freeze(ctx context.Context) (frozen, error)
	// pick delivers records of a stream by their ids, in no particular order. Id and
	// values are valid during the call.
	pick(ctx context.Context, l *layout, stream int64, ids []string, row func(id []byte, values []lienthong.Value) error) error
	close() error
}

// writer is one connection that writes, inside one transaction at a time.
type writer interface {
	session
	script(ctx context.Context, statements string) error
	begin(ctx context.Context) error
	commit(ctx context.Context) error
	rollback(ctx context.Context) error
	savepoint(ctx context.Context) error
	releaseSavepoint(ctx context.Context) error
	rollbackToSavepoint(ctx context.Context) error
	// many runs one statement for each set of arguments.
	many(ctx context.Context, query string, args [][]any) error

	// existing fills in what the table holds of the records: had, hadVersion.
	existing(ctx context.Context, l *layout, stream int64, records []*record) error
	// insert adds records that the table does not hold; none has an unchanged value.
	insert(ctx context.Context, l *layout, in rowContext, records []*record) error
	// update changes records that the table holds.
	update(ctx context.Context, l *layout, in rowContext, records []*record) error
	// keys delivers identity, version and state of every row of a stream. The id is
	// valid during the call.
	keys(ctx context.Context, l *layout, stream int64, row func(id []byte, version int64, is presence) error) error
	// logFeed writes lines of a change log, numbered from first on.
	logFeed(ctx context.Context, feed, first, now int64, rows []fedRow) error
	// rowFault tells an error of one row's contents from one of the engine, by a stable reason.
	rowFault(err error) (reason string, ofRow bool)
}

// frozen is a read transaction that shows the store as of one moment.
type frozen interface {
	session
	// live delivers the rows of a stream that are neither deleted nor held. Id and
	// values are valid during the call.
	live(ctx context.Context, l *layout, stream int64, row func(id []byte, values []lienthong.Value) error) error
	// present delivers likewise the rows that are not deleted.
	present(ctx context.Context, l *layout, stream int64, row func(id []byte, values []lienthong.Value) error) error
	close() error
}

// rowContext is what all rows of one write share.
type rowContext struct {
	stream   int64
	received int64 // microseconds
}

// transact runs f in one transaction of a writing connection.
func (s *Store) transact(ctx context.Context, f func(w writer) error) error {
	w, err := s.engine.acquire(ctx)
	if err != nil {
		return err
	}
	defer s.engine.release(w)
	if err := w.begin(ctx); err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	if err := f(w); err != nil {
		// The caller's context may be the reason: undo without it.
		if undo := w.rollback(context.WithoutCancel(ctx)); undo != nil {
			s.config.Logger.WarnContext(ctx, "store: undo failed, the connection is dropped", slog.Any("error", undo))
		}
		return err
	}
	if err := w.commit(ctx); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return nil
}

// change runs one statement in a transaction of its own.
func (s *Store) change(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := s.transact(ctx, func(w writer) (err error) {
		n, err = w.exec(ctx, query, args...)
		return err
	})
	return n, err
}

func each(ctx context.Context, in session, query string, args []any, row func(scanFunc) error) error {
	return in.each(ctx, query, args, row)
}

// next gives out n numbers that follow each other, in commit order: the counter
// is locked until the transaction ends. It returns the first.
func next(ctx context.Context, w writer, counter string, n int) (int64, error) {
	var last int64
	err := w.each(ctx, "UPDATE counters SET value = value + ? WHERE name = ? RETURNING value", []any{int64(n), counter},
		func(scan scanFunc) error { return scan(&last) })
	if err != nil {
		return 0, fmt.Errorf("store: count %s: %w", counter, err)
	}
	return last - int64(n) + 1, nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Package push takes records from systems that cannot be read: they send each change as a
// message over HTTP, in the form of Circular 08/2025/TT-BCA, JSON or XML, one or many.
//
// An accepted message becomes a row of the inbox, a SQLite database with one typed table
// for each record type. Package sqlite reads the inbox like any other database, so stream,
// views, versions and digests are the ones that its conformance suite holds; this package
// adds what stands before the inbox.
//
// Invariants:
//
//   - An answer "accepted" is sent only after the record, its version and the acceptance
//     that the caller gets are on disk, in one transaction. Messages that wait while the
//     disk is busy share the next fsync.
//   - A record's PhienBan only grows. The same version with the same content is answered
//     with the acceptance of the first time; anything else of that version or below is a
//     conflict. What a caller repeats after a crash therefore changes nothing.
//   - One wrong record of a batch never stops its neighbours, and nothing is dropped: what is
//     not accepted is refused by name, and the caller still has it.
//   - Values of records are in the inbox and nowhere else: not in answers about errors, not
//     in logs, not in acceptances, which hold identifier, version and SHA-256.
package push

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the inbox's engine

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/sqlite"
	"github.com/lienthong/lienthong/internal/durable"
)

// Signer signs in the name of this node: a detached JWS over the payload as it is
// (RFC 7515 with RFC 7797), as batches have it.
type Signer interface {
	Sign(payload []byte) (jws string, err error)
}

// Tracker knows what became of a row of the inbox after capture took it.
type Tracker interface {
	Track(ctx context.Context, entry Entry) (Progress, error)
}

// Entry is an accepted record as capture sees it.
type Entry struct {
	Table    string    // as Tables lists it
	Position uint64    // of its change in the stream; 0: before Start, so in the first load
	Accepted time.Time // when
}

// Progress is how far a record has come.
type Progress struct {
	Dataset  lienthong.DatasetID
	Sequence uint64 // of the batch that carries the record; 0: in none yet
	Digest   string // of that batch
	// Receipt is the hub's receipt of the batch exactly as the hub signed it, and Signature the
	// detached JWS over it. Empty: the hub has not answered yet.
	Receipt   []byte
	Signature string
}

// Limits bound what one caller can ask for. Zero means the default.
type Limits struct {
	RecordBytes         int   // one record; default 4 MiB
	BodyBytes           int64 // a request as sent; default 64 MiB
	UnpackedBytes       int64 // a request after gzip; default 512 MiB
	BatchRecords        int   // records of a request; default 100,000
	ConcurrentBatches   int   // batches that are read at the same time, others wait; default 4
	RequestsPerSecond   int   // of one client, unless it has its own figure; default 2,000
	FailuresPerMinute   int   // wrong keys from one address; default 30
	WaitingChanges      int64 // changes that capture has not taken yet; beyond it 503; default 5,000,000
	InboxBytes          int64 // size of the inbox on disk; beyond it 503; default: no limit
	FreeBytes           int64 // free space that must stay on the disk; below it 503; default 512 MiB
	RetryAfter          time.Duration
	AcceptanceRetention time.Duration // how long acceptances are kept; default 400 days
}

func (l *Limits) complete() {
	orInt := func(v *int, otherwise int) {
		if *v <= 0 {
			*v = otherwise
		}
	}
	orLong := func(v *int64, otherwise int64) {
		if *v <= 0 {
			*v = otherwise
		}
	}
	orTime := func(v *time.Duration, otherwise time.Duration) {
		if *v <= 0 {
			*v = otherwise
		}
	}
	orInt(&l.RecordBytes, 4<<20)
	orLong(&l.BodyBytes, 64<<20)
	orLong(&l.UnpackedBytes, 512<<20)
	orInt(&l.BatchRecords, 100_000)
	orInt(&l.ConcurrentBatches, 4)
	orInt(&l.RequestsPerSecond, 2000)
	orInt(&l.FailuresPerMinute, 30)
	orLong(&l.WaitingChanges, 5_000_000)
	orLong(&l.FreeBytes, 512<<20)
	orTime(&l.RetryAfter, 30*time.Second)
	orTime(&l.AcceptanceRetention, 400*24*time.Hour)
}

// Config says where the inbox is and what it takes.
type Config struct {
	// StateDir holds the inbox and the list of clients. It has personal data: keep it on an
	// encrypted disk, with the node's rights only.
	StateDir string
	// Node is the name that acceptances give this node.
	Node string
	// Schemas are declared when the source is opened. Types that were declared before and
	// are not among them stay.
	Schemas []Schema
	// Signer is required: an acceptance is worth nothing unsigned.
	Signer Signer
	// Tracker tells what became of a record. Nil: receipts say "accepted" and no more.
	Tracker Tracker
	Limits  Limits
	// PollInterval is how often the inbox is looked at for new records. Default 20 ms.
	PollInterval time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log takes what an operator should know. Default: nothing is logged.
	Log *slog.Logger
}

// Source is the inbox: a source like any other, and the HTTP interface that fills it.
// It implements connector.Source, HealthReporter, Inspector and Destroyer.
type Source struct {
	inner  *sqlite.Source
	config Config
	path   string
	db     *sql.DB // everything but the writer
	writes *sql.DB // the writer's one connection

	clients *Registry
	limits  *limiters

	// writing is held during every write transaction of ours and of inner, so that they take
	// turns instead of starving each other at SQLite's lock.
	writing sync.Mutex
	started []string // tables given to Start, guarded by writing

	mu    sync.RWMutex // guards types
	types map[string]*recordType

	waiting atomic.Int64 // changes that capture has not taken, as of the last write
	jobs    chan *job
	batches chan struct{} // one token for each batch being read
	closed  chan struct{} // closed when the writer shall end
	ended   chan struct{} // closed when it has
	running bool
	closing sync.Once
}

var (
	_ connector.Source         = (*Source)(nil)
	_ connector.HealthReporter = (*Source)(nil)
	_ connector.Inspector      = (*Source)(nil)
	_ connector.Destroyer      = (*Source)(nil)
)

const inboxFile = "inbox.db"

// Open opens the inbox, and makes it if it is not there.
func Open(ctx context.Context, config Config) (*Source, error) {
	config.Limits.complete()
	if config.PollInterval <= 0 {
		config.PollInterval = 20 * time.Millisecond
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Signer == nil {
		return nil, errors.New("push: a Signer is required")
	}
	if err := durable.MkdirAll(config.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(config.StateDir, inboxFile))
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	s := &Source{
		config: config, path: path, types: map[string]*recordType{},
		limits: newLimiters(config.Limits.FailuresPerMinute),
		jobs:   make(chan *job, 64), batches: make(chan struct{}, config.Limits.ConcurrentBatches), closed: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := s.open(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	for i := range config.Schemas {
		if err := s.Declare(ctx, config.Schemas[i]); err != nil {
			_ = s.Close()
			return nil, err
		}
	}
	w := &writer{source: s, statements: map[int64]statements{}}
	lifetime := context.WithoutCancel(ctx)
	if err := w.prepare(lifetime); err != nil {
		_ = s.Close()
		return nil, err
	}
	s.running = true
	go w.run(lifetime)
	return s, nil
}

func (s *Source) open(ctx context.Context) (err error) {
	if s.db, err = openDatabase(s.path); err != nil {
		return err
	}
	if s.writes, err = openDatabase(s.path); err != nil {
		return err
	}
	s.writes.SetMaxOpenConns(1)
	if err := s.createTables(ctx); err != nil {
		return err
	}
	if err := os.Chmod(s.path, 0o600); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	if err := durable.SyncDir(s.config.StateDir); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	if s.clients, err = OpenRegistry(ctx, s.config.StateDir, s.config.Now); err != nil {
		return err
	}
	if s.inner, err = sqlite.Open(ctx, sqlite.Config{
		Path: s.path, PollInterval: s.config.PollInterval, BusyTimeout: time.Minute, Now: s.config.Now, Log: s.config.Log,
	}); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	return s.measure(ctx)
}

// openDatabase opens a database so that a commit is on disk when it returns.
func openDatabase(path string) (*sql.DB, error) {
	query := url.Values{"mode": {"rwc"}, "_txlock": {"immediate"}}
	for _, pragma := range []string{"busy_timeout(20000)", "journal_mode(wal)", "synchronous(full)", "journal_size_limit(67108864)"} {
		query.Add("_pragma", pragma)
	}
	address := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", address.String())
	if err != nil {
		return nil, fmt.Errorf("push: open inbox: %w", err)
	}
	// Connecting costs more than any of our statements: keep what was opened.
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

const connections = 8

// Our own tables have the prefix that package sqlite does not list.
func (s *Source) createTables(ctx context.Context) error {
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS _lienthong_push_types (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, body TEXT NOT NULL)",
		`CREATE TABLE IF NOT EXISTS _lienthong_push_records (type INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
			content BLOB NOT NULL, acceptance INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY (type, id)) WITHOUT ROWID`,
		`CREATE TABLE IF NOT EXISTS _lienthong_push_acceptances (no INTEGER PRIMARY KEY, client TEXT NOT NULL, at INTEGER NOT NULL,
			payload TEXT NOT NULL, signature TEXT NOT NULL, positions BLOB NOT NULL)`,
	} {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return &lienthong.Error{
				Code: "push.open", Where: s.path, Err: err,
				Vi: "không mở được hộp nhận", En: "the inbox cannot be opened",
				Hint: "kiểm tra quyền và dung lượng của thư mục / check the folder's rights and space",
			}
		}
	}
	rows, err := s.db.QueryContext(ctx, "SELECT no, body FROM _lienthong_push_types")
	if err != nil {
		return fmt.Errorf("push: read types: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var no int64
		var body string
		if err := rows.Scan(&no, &body); err != nil {
			return fmt.Errorf("push: read types: %w", err)
		}
		schema, err := decodeSchema(body)
		if err != nil {
			return err
		}
		s.types[fold(schema.Type)] = newRecordType(no, schema)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("push: read types: %w", err)
	}
	return nil
}

// Close ends the writer and releases the files. Requests that wait are answered that the
// node is stopping; what was answered before is on disk.
func (s *Source) Close() error {
	var failures []error
	s.closing.Do(func() {
		close(s.closed)
		if s.running {
			<-s.ended
		}
		if s.inner != nil {
			failures = append(failures, s.inner.Close())
		}
		if s.clients != nil {
			failures = append(failures, s.clients.Close())
		}
		for _, db := range []*sql.DB{s.db, s.writes} {
			if db != nil {
				failures = append(failures, db.Close())
			}
		}
	})
	return errors.Join(failures...)
}

// Declare makes a record type known, or a newer version of it, which may add fields. Its
// table is there when Declare returns, and changes of it are captured if the type was
// captured before.
func (s *Source) Declare(ctx context.Context, schema Schema) error {
	if err := schema.check(); err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.RLock()
	before := s.types[fold(schema.Type)]
	s.mu.RUnlock()
	if before != nil && before.Type != schema.Type {
		return &lienthong.Error{
			Code: "push.schema", Where: schema.Type,
			Vi: "đã có loại dữ liệu cùng tên viết khác", En: "a record type with the same name in another spelling is there: " + before.Type,
			Hint: "viết tên như cũ / spell it as before",
		}
	}
	var statements []string
	if before == nil {
		statements = append(statements, schema.create())
	} else {
		added, err := before.added(&schema)
		if err != nil {
			return err
		}
		for _, f := range added {
			statements = append(statements, "ALTER TABLE "+quote(schema.Type)+" ADD COLUMN "+quote(f.Column())+" "+declaredType(f.Format))
		}
		schema = before.merged(&schema, added)
	}
	body, err := schema.encode()
	if err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("push: declare: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("push: declare %s: %w", schema.Type, err)
		}
	}
	var no int64
	if err := tx.QueryRowContext(ctx, `INSERT INTO _lienthong_push_types (name, body) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET body = excluded.body RETURNING no`, schema.Type, body).Scan(&no); err != nil {
		return fmt.Errorf("push: declare %s: %w", schema.Type, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("push: declare %s: %w", schema.Type, err)
	}
	if before != nil && len(statements) > 0 && s.started != nil {
		// Before the first record has the new columns, so that none is captured without them.
		if _, err := s.inner.Start(ctx, s.started); err != nil {
			return fmt.Errorf("push: declare %s: %w", schema.Type, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types[fold(schema.Type)] = newRecordType(no, schema)
	return nil
}

// Schemas are the declared record types.
func (s *Source) Schemas() []Schema {
	types := s.recordTypes()
	schemas := make([]Schema, len(types))
	for i, t := range types {
		schemas[i] = t.Schema
	}
	return schemas
}

// AddClient lets a system send; see Registry.AddClient.
func (s *Source) AddClient(ctx context.Context, client Client) (key string, err error) {
	return s.clients.AddClient(ctx, client)
}

// RemoveClient takes away a system's right to send, from its next request on.
func (s *Source) RemoveClient(ctx context.Context, name string) error {
	return s.clients.RemoveClient(ctx, name)
}

// Clients are those who may send.
func (s *Source) Clients(ctx context.Context) ([]Client, error) { return s.clients.Clients(ctx) }

// recordTypes are the declared types by name.
func (s *Source) recordTypes() []*recordType {
	s.mu.RLock()
	defer s.mu.RUnlock()
	types := make([]*recordType, 0, len(s.types))
	for _, t := range s.types {
		types = append(types, t)
	}
	slices.SortFunc(types, func(a, b *recordType) int { return strings.Compare(a.Type, b.Type) })
	return types
}

func (s *Source) recordType(name string) *recordType {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.types[fold(name)]; t != nil && t.Type == name {
		return t
	}
	return nil
}

// Tables lists the record types.
func (s *Source) Tables(ctx context.Context) ([]connector.Table, error) { return s.inner.Tables(ctx) }

// Start begins to keep changes of the record types.
func (s *Source) Start(ctx context.Context, tables []string) (lienthong.Position, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	pos, err := s.inner.Start(ctx, tables)
	if err != nil {
		return pos, err
	}
	s.started = append([]string{}, tables...)
	return pos, s.measure(ctx)
}

// View shows the records that are valid at this moment.
func (s *Source) View(ctx context.Context) (connector.View, error) { return s.inner.View(ctx) }

// Stream delivers what is accepted after the position.
func (s *Source) Stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	return s.inner.Stream(ctx, after, sink)
}

// Acknowledge forgets changes. The records stay: views show them.
func (s *Source) Acknowledge(ctx context.Context, pos lienthong.Position) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.inner.Acknowledge(ctx, pos); err != nil {
		return err
	}
	return s.measure(ctx)
}

// Destroy removes the capture. Records, versions, acceptances and clients stay.
func (s *Source) Destroy(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.inner.Destroy(ctx); err != nil {
		return err
	}
	s.started = nil
	return s.measure(ctx)
}

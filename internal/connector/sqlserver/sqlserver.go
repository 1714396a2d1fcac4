// Package sqlserver reads SQL Server databases by change data capture.
//
// The capture job of SQL Server Agent copies changes from the transaction log into change tables,
// and this package polls those. Nothing is written at the source: a DBA enables capture for the
// database and its tables once.
//
// Invariants:
//
//   - The position is the commit LSN. An LSN has 80 bits, of which 63 can differ in practice; packed
//     into them it is the Order of a position and the version of a change, so both are the
//     same after any restart and need no counter of ours.
//   - Of a record that one transaction changes several times, the last state is delivered: all changes
//     of a commit have one version. A change of key is a delete and an upsert, because the image
//     before the update has the old key.
//   - A window of commits is read only up to what the capture job has finished
//     (sys.fn_cdc_get_max_lsn), so a transaction is never read in part.
//   - A table can have two capture instances while its schema changes. The older is read up to
//     the newer one's start_lsn and the newer from there: nothing is lost, nothing comes twice.
//   - Changes that the cleanup job removed before they were read are an error with the code
//     sqlserver.cdc_cleaned, never a silence.
//   - A View is a SNAPSHOT transaction that begins while shared locks on its tables are held for some
//     milliseconds: no commit of theirs lies in between, so its commit LSN is known exactly.
package sqlserver

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/durable"
)

// Config says which database to read and how.
type Config struct {
	// DSN is "sqlserver://user:password@host:1433?database=dancu&encrypt=true".
	DSN string
	// Name of the source, for messages.
	Name string
	// StateDir holds the acknowledged position.
	StateDir string
	// PollInterval is how long Stream waits before it looks for changes again. Default 1 s; the
	// capture job itself looks at the log every 5 s.
	PollInterval time.Duration
	// InstancesEvery is how often columns are looked up. Default 30 s; an error and a View look at once.
	InstancesEvery time.Duration
	// LockTimeout is how long a View waits for the application's transactions to let it take the
	// shared locks that it needs for a moment. Default 2 s.
	LockTimeout time.Duration
	// ViewPatience is how long a View waits for the capture job to reach the moment that it shows. On an idle
	// database the job notes its place every 5 minutes only. Default 7 min.
	ViewPatience time.Duration
	// WindowCommits and WindowBytes bound what Stream reads at a time: commits, and memory. One commit that is larger
	// is passed on as it is read. Defaults 1,000 and 8 MiB.
	WindowCommits int
	WindowBytes   int
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log takes what an operator should know, never a value. Default: nothing is logged.
	Log *slog.Logger
}

// Source is a SQL Server database.
type Source struct {
	config Config
	db     *sql.DB

	mu       sync.Mutex // guards the fields below
	captured []*table   // in the order given to Start; nil before
	saved    savedState
	streamed lsn // what Stream has reached
}

// savedState is what survives a restart.
type savedState struct {
	Acknowledged string            `json:"acknowledged"` // LSN in hexadecimal; empty: the next Start begins at the present
	Since        map[string]string `json:"since"`        // per table, the LSN from which its changes are wanted
}

var (
	_ connector.Source         = (*Source)(nil)
	_ connector.HealthReporter = (*Source)(nil)
	_ connector.Inspector      = (*Source)(nil)
	_ connector.Releaser       = (*Source)(nil)
	_ connector.Completer      = (*Source)(nil)
)

var errNotStarted = errors.New("sqlserver: Start has not been called")

// Open checks the configuration. The server is reached when it is needed.
func Open(config Config) (*Source, error) {
	to, err := mssql.NewConnector(config.DSN)
	if err != nil {
		return nil, &lienthong.Error{
			Code: "sqlserver.dsn", Where: config.Name, // the cause may repeat the password
			Vi: "địa chỉ kết nối không đúng dạng", En: "the connection address is not well formed",
			Hint: "sqlserver://user:password@host:1433?database=dancu",
		}
	}
	return open(config, sql.OpenDB(to))
}

// OpenDB connects to the server without change data capture: for package polling.
func OpenDB(dsn string) (*sql.DB, error) {
	to, err := mssql.NewConnector(dsn)
	if err != nil {
		return nil, errors.New("sqlserver: the connection address is not well formed")
	}
	return sql.OpenDB(to), nil
}

func open(config Config, db *sql.DB) (*Source, error) {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&config.PollInterval, time.Second},
		{&config.InstancesEvery, 30 * time.Second},
		{&config.LockTimeout, 2 * time.Second},
		{&config.ViewPatience, 7 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	if config.WindowCommits <= 0 {
		config.WindowCommits = 1000
	}
	if config.WindowBytes <= 0 {
		config.WindowBytes = 8 << 20
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	s := &Source{config: config, db: db}
	if config.StateDir == "" {
		return nil, errors.Join(&lienthong.Error{
			Code: "sqlserver.config", Where: config.Name, Vi: "thiếu thư mục trạng thái", En: "the state directory is missing",
			Hint: "khai StateDir / give StateDir",
		}, db.Close())
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlserver: read state: %w", err), db.Close())
	}
	return s, nil
}

func (s *Source) statePath() string { return filepath.Join(s.config.StateDir, "sqlserver.json") }

func (s *Source) load() error {
	if err := durable.MkdirAll(s.config.StateDir, 0o700); err != nil {
		return err
	}
	body, err := os.ReadFile(s.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		s.saved.Since = map[string]string{}
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &s.saved); err != nil {
		return err
	}
	if s.saved.Since == nil {
		s.saved.Since = map[string]string{}
	}
	return nil
}

// save writes the state. The caller holds mu.
func (s *Source) save() error {
	body, err := json.Marshal(s.saved)
	if err != nil {
		return err
	}
	return durable.WriteFile(s.statePath(), body, 0o600)
}

// Close releases connections. Change tables stay; the cleanup job keeps them small.
func (s *Source) Close() error { return s.db.Close() }

// Tables lists the tables: those with change data capture in the columns that are captured, others in all.
func (s *Source) Tables(ctx context.Context) ([]connector.Table, error) {
	all, err := s.listTables(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlserver: list tables: %w", explain(err))
	}
	tables := make([]connector.Table, 0, len(all))
	for i := range all {
		tables = append(tables, all[i].table())
	}
	return tables, nil
}

// Start checks that capture is on for each table. At the first Start the position is the present.
func (s *Source) Start(ctx context.Context, tables []string) (lienthong.Position, error) {
	at, err := s.capturing(ctx)
	if err != nil {
		return lienthong.Position{}, fmt.Errorf("sqlserver: start: %w", explain(err))
	}
	captured := make([]*table, len(tables))
	for i, name := range tables {
		t := &table{index: i, name: name}
		if t.live, err = s.describe(ctx, name); err != nil {
			return lienthong.Position{}, err
		}
		if len(t.live.key) == 0 {
			return lienthong.Position{}, noKey(name)
		}
		if len(at.of(name)) == 0 {
			return lienthong.Position{}, notCaptured(name)
		}
		captured[i] = t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state := savedState{Acknowledged: s.saved.Acknowledged, Since: map[string]string{}}
	if state.Acknowledged == "" {
		state.Acknowledged = at.max.String()
	}
	for i, name := range tables {
		state.Since[name] = s.saved.Since[name]
		if state.Since[name] == "" {
			since := at.max
			// An instance that was made a moment ago starts above what the capture job has read.
			if oldest := at.of(name)[0]; since.less(oldest.start) {
				since = oldest.start
			}
			state.Since[name] = since.String()
		}
		if captured[i].since, err = parseLSN(state.Since[name]); err != nil {
			return lienthong.Position{}, err
		}
	}
	s.saved = state
	if err := s.save(); err != nil {
		return lienthong.Position{}, fmt.Errorf("sqlserver: start: save state: %w", err)
	}
	acknowledged, err := parseLSN(state.Acknowledged)
	if err != nil {
		return lienthong.Position{}, err
	}
	s.captured = captured
	if s.streamed.less(acknowledged) {
		s.streamed = acknowledged
	}
	return acknowledged.position()
}

// Acknowledge notes the position, durably. The cleanup job of the server removes changes by age, not by this.
func (s *Source) Acknowledge(_ context.Context, pos lienthong.Position) error {
	at, err := lsnAt(pos)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saved.Acknowledged != "" {
		before, err := parseLSN(s.saved.Acknowledged)
		if err != nil {
			return err
		}
		if !before.less(at) {
			return nil
		}
	}
	s.saved.Acknowledged = at.String()
	if err := s.save(); err != nil {
		return fmt.Errorf("sqlserver: acknowledge: %w", err)
	}
	return nil
}

// Release forgets the position: the next Start begins at the present. The change tables belong to the server's
// own cleanup job, which a slow reader does not hold up.
func (s *Source) Release(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = savedState{Since: map[string]string{}}
	s.captured = nil
	if err := s.save(); err != nil {
		return fmt.Errorf("sqlserver: release: %w", err)
	}
	return nil
}

// started returns the captured tables, and where Stream is.
func (s *Source) started() ([]*table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.captured == nil {
		return nil, errNotStarted
	}
	return slices.Clone(s.captured), nil
}

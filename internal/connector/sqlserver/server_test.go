package sqlserver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"modernc.org/sqlite"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector/conntest"
	"github.com/lienthong/lienthong/internal/connector/polling"
)

// server stands for a SQL Server with its capture job. It is no SQL Server: it holds the catalog, the
// change tables and the tables in SQLite, and answers the very statements of this package, word
// for word, translated where SQLite has other words. A statement that it does not know is an error. So
// what is tested is the package's own logic: windows of commits, the choice among images, capture
// instances, positions, views. That SQL Server answers as documented is not tested here.
type server struct {
	t    testing.TB
	path string
	db   *sql.DB // the application's connection

	writing sync.Mutex // SQLite's own queue for the write lock is not fair
	mu      sync.Mutex
	clock   int64 // ticks; every commit and every look at the clock is another
	serial  uint64
	columns map[string][]column // of tables, by name
	fail    func(n int, statement string) error
	seen    int
	lag     bool // the capture job stands still
	waiting []func(*sql.Tx) error
}

type column struct {
	conntest.Column
	sourceType string
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{t: t, path: filepath.Join(t.TempDir(), "server.db"), clock: 1000, serial: 1 << 20, columns: map[string][]column{}}
	db, err := sql.Open("sqlite", s.dsn())
	if err != nil {
		t.Fatal(err)
	}
	s.db = db
	t.Cleanup(func() { _ = db.Close() })
	for _, statement := range []string{
		"CREATE TABLE _instances (sch, tbl, name, start BLOB, low BLOB)",
		"CREATE TABLE _captured (instance, name, ordinal INTEGER)",
		"CREATE TABLE _mapping (start_lsn BLOB PRIMARY KEY, tran_end INTEGER, dummy INTEGER)",
		"CREATE TABLE _columns (sch, tbl, name, type, nullable INTEGER, pk INTEGER, ord INTEGER)",
		"CREATE TABLE _database (cdc INTEGER, snap INTEGER, silent INTEGER, behind INTEGER, wait)",
		"INSERT INTO _database VALUES (1, 1, 3, 5, 'NOTHING')",
	} {
		s.exec(statement)
	}
	s.note()
	return s
}

func (s *server) dsn() string {
	return "file:" + s.path + "?_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)&_txlock=immediate"
}

func (s *server) exec(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.db.ExecContext(context.Background(), statement, args...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

func (s *server) tick() int64 { s.clock++; return s.clock }

// next is the LSN of the next commit. The caller holds mu.
func (s *server) next() lsn {
	s.serial += 3
	var l lsn
	binary.BigEndian.PutUint32(l[:4], uint32(s.serial>>16))
	binary.BigEndian.PutUint32(l[4:8], uint32(s.serial>>4&0xfff))
	binary.BigEndian.PutUint16(l[8:], uint16(s.serial&0xf))
	return l
}

// note is the capture job noting its place on an idle database.
func (s *server) note() {
	s.change(func(exec func(string, ...any)) {
		l := s.next()
		exec("INSERT INTO _mapping VALUES (?, ?, 1)", l[:], s.tick())
	})
}

// change runs work in one transaction. The write lock comes before mu, everywhere.
func (s *server) change(work func(exec func(statement string, args ...any))) {
	s.t.Helper()
	s.writing.Lock()
	defer s.writing.Unlock()
	tx, err := s.db.BeginTx(context.Background(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	work(func(statement string, args ...any) {
		if _, err := tx.Exec(statement, args...); err != nil {
			_ = tx.Rollback()
			s.t.Fatalf("%s: %v", statement, err)
		}
	})
	if err := tx.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

func lsnArg(l lsn) []byte { return append([]byte(nil), l[:]...) }

// create makes a table and captures it, as a DBA does.
func (s *server) create(table string, columns []column) error {
	var physical []string
	var key []string
	for _, c := range columns {
		physical = append(physical, quote(c.Name)+" "+storage(c.Kind))
		if c.Key {
			key = append(key, quote(c.Name))
		}
	}
	if len(key) > 0 {
		physical = append(physical, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	}
	if _, err := s.db.ExecContext(context.Background(), "CREATE TABLE [dbo."+table+"] ("+strings.Join(physical, ", ")+")"); err != nil {
		return err
	}
	s.mu.Lock()
	s.columns["dbo."+table] = columns
	s.mu.Unlock()
	pk := 0
	for i, c := range columns {
		place := 0
		if c.Key {
			pk++
			place = pk
		}
		s.exec("INSERT INTO _columns VALUES ('dbo', ?, ?, ?, ?, ?, ?)", table, c.Name, c.sourceType, !c.Key, place, i+1)
	}
	if len(key) == 0 {
		return nil
	}
	s.enable(table, "dbo_"+table)
	return nil
}

func storage(kind lienthong.Kind) string {
	switch kind {
	case lienthong.Integer, lienthong.Boolean:
		return "INTEGER"
	case lienthong.Real:
		return "REAL"
	case lienthong.Binary:
		return "BLOB"
	case lienthong.Text, lienthong.Decimal, lienthong.Date, lienthong.Timestamp:
	}
	return "TEXT"
}

// enable makes a capture instance with the columns that the table has now.
func (s *server) enable(table, instance string) {
	s.change(func(exec func(string, ...any)) {
		start := s.next()
		physical := []string{"[__$start_lsn] BLOB", "[__$seqval] BLOB", "[__$operation] INTEGER", "[__$update_mask] INTEGER", "[__$command_id] INTEGER"}
		for i, c := range s.columns["dbo."+table] {
			physical = append(physical, quote(c.Name)+" "+storage(c.Kind))
			exec("INSERT INTO _captured VALUES (?, ?, ?)", instance, c.Name, i+1)
		}
		exec("CREATE TABLE " + quote("ct."+instance) + " (" + strings.Join(physical, ", ") + ")")
		exec("INSERT INTO _instances VALUES ('dbo', ?, ?, ?, ?)", table, instance, start[:], start[:])
		l := s.next()
		exec("INSERT INTO _mapping VALUES (?, ?, 1)", l[:], s.tick())
	})
}

// disable drops a capture instance.
func (s *server) disable(instance string) {
	s.exec("DELETE FROM _instances WHERE name = ?", instance)
	s.exec("DELETE FROM _captured WHERE instance = ?", instance)
	s.exec("DROP TABLE " + quote("ct."+instance))
}

// addColumn changes the table; the change tables stay as they are.
func (s *server) addColumn(table string, c column) {
	s.exec("ALTER TABLE [dbo." + table + "] ADD COLUMN " + quote(c.Name) + " " + storage(c.Kind))
	s.mu.Lock()
	s.columns["dbo."+table] = append(slices.Clone(s.columns["dbo."+table]), c)
	n := len(s.columns["dbo."+table])
	s.mu.Unlock()
	s.exec("INSERT INTO _columns VALUES ('dbo', ?, ?, ?, 1, 0, ?)", table, c.Name, c.sourceType, n)
}

// cleanup is the cleanup job: what is below the LSN is gone.
func (s *server) cleanup(below lsn) {
	var names []string
	rows, err := s.db.QueryContext(context.Background(), "SELECT name FROM _instances")
	if err != nil {
		s.t.Fatal(err)
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			s.t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		s.exec("DELETE FROM "+quote("ct."+name)+" WHERE [__$start_lsn] < ?", below[:])
	}
	s.exec("UPDATE _instances SET low = ?1 WHERE low < ?1", below[:])
	s.exec("DELETE FROM _mapping WHERE start_lsn < ?", below[:])
}

func sqlLiteral(kind lienthong.Kind, text string) string {
	switch kind {
	case lienthong.Boolean:
		if text == "true" {
			return "1"
		}
		return "0"
	case lienthong.Integer:
		if text == "-9223372036854775808" {
			return "(-9223372036854775807 - 1)"
		}
		return text
	case lienthong.Real:
		return text
	case lienthong.Binary:
		return "X'" + conntest.HexLiteral(text) + "'"
	case lienthong.Text, lienthong.Decimal, lienthong.Date, lienthong.Timestamp:
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// offRow is the length from which a value of a large type is not in the image of an update that did not write it.
const offRow = 8000

// apply is a transaction of the application, with what the capture job makes of it.
func (s *server) apply(ctx context.Context, writes ...conntest.Write) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	tx, err := s.db.BeginTx(ctx, nil) // takes the one write lock
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.next()
	seq := uint64(0)
	var job []func(*sql.Tx) error
	for _, w := range writes {
		columns := s.columns[w.Table.Name]
		where := func(key []conntest.Cell) string {
			var parts []string
			for _, c := range columns {
				if c.Key {
					parts = append(parts, quote(c.Name)+" = "+sqlLiteral(c.Kind, key[len(parts)].Text))
				}
			}
			return strings.Join(parts, " AND ")
		}
		keyOf := func(row []conntest.Cell) []conntest.Cell {
			var key []conntest.Cell
			for i, c := range w.Table.Columns {
				if c.Key {
					key = append(key, row[i])
				}
			}
			return key
		}
		image := func(key []conntest.Cell) ([]any, error) {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			names := make([]string, len(columns))
			for i := range values {
				into[i], names[i] = &values[i], quote(columns[i].Name)
			}
			err := tx.QueryRowContext(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+quote(w.Table.Name)+" WHERE "+where(key)).Scan(into...)
			if errors.Is(err, sql.ErrNoRows) {
				return nil, nil
			}
			return values, err
		}
		var before, after []any
		var written uint64
		if w.Verb != conntest.Insert {
			if before, err = image(w.Key); err != nil {
				return err
			}
		}
		plain := *w.Table
		plain.Name = quote(w.Table.Name)
		quoted := w
		quoted.Table = &plain
		if _, err := tx.ExecContext(ctx, quoted.SQL(quote, sqlLiteral)); err != nil {
			return err
		}
		newKey := w.Key
		switch w.Verb {
		case conntest.Insert:
			newKey = keyOf(w.Row)
		case conntest.Delete, conntest.Truncate:
		case conntest.Update:
			newKey = slices.Clone(w.Key)
			for i, c := range keyOf(w.Row) {
				if c.State != lienthong.Unchanged {
					newKey[i] = c
				}
			}
		}
		if w.Verb != conntest.Delete {
			if after, err = image(newKey); err != nil {
				return err
			}
		}
		for i := range w.Row {
			if w.Row[i].State != lienthong.Unchanged {
				at := slices.IndexFunc(columns, func(c column) bool { return c.Name == w.Table.Columns[i].Name })
				written |= 1 << at
			}
		}
		seq++
		add := func(op int, values []any) {
			sv := at
			binary.BigEndian.PutUint16(sv[8:], uint16(seq))
			values = slices.Clone(values)
			for i, c := range columns {
				text, ok := values[i].(string)
				if ok && len(text) > offRow && strings.HasSuffix(c.sourceType, "(max)") && (op == 3 || op == 4) && written&(1<<i) == 0 {
					values[i] = nil
				}
			}
			job = append(job, s.capture(w.Table.Name, columns, at, sv, op, written, values))
		}
		switch {
		case before == nil && after == nil:
		case before == nil:
			add(2, after)
		case after == nil:
			add(1, before)
		default:
			add(3, before)
			add(4, after)
		}
	}
	end := s.tick()
	job = append(job, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO _mapping VALUES (?, ?, 0)", lsnArg(at), end)
		return err
	})
	if s.lag {
		s.waiting = append(s.waiting, job...)
		return tx.Commit()
	}
	for _, step := range append(s.waiting, job...) {
		if err := step(tx); err != nil {
			return err
		}
	}
	s.waiting = nil
	return tx.Commit()
}

// capture writes one image into the change tables of the table's instances.
func (s *server) capture(table string, columns []column, at, seq lsn, op int, mask uint64, values []any) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		ctx := context.Background()
		rows, err := tx.QueryContext(ctx, "SELECT name FROM _instances WHERE sch || '.' || tbl = ?", table)
		if err != nil {
			return err
		}
		var instances []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			instances = append(instances, name)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, name := range instances {
			into := []string{"[__$start_lsn]", "[__$seqval]", "[__$operation]", "[__$update_mask]", "[__$command_id]"}
			// Sequence values do not order the changes of a commit; these here run backwards to prove it.
			backwards := seq
			backwards[8] ^= 0x0f
			backwards[9] ^= 0xff
			args := []any{lsnArg(at), lsnArg(backwards), op, int64(mask), int(binary.BigEndian.Uint16(seq[8:]))}
			for i, c := range columns {
				var n int
				if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM _captured WHERE instance = ? AND name = ?", name, c.Name).Scan(&n); err != nil {
					return err
				}
				if n > 0 {
					into, args = append(into, quote(c.Name)), append(args, values[i])
				}
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO "+quote("ct."+name)+" ("+strings.Join(into, ", ")+") VALUES (?"+strings.Repeat(", ?", len(args)-1)+")", args...); err != nil {
				return err
			}
		}
		return nil
	}
}

// catchUp lets the capture job do what it has left lying.
func (s *server) catchUp() {
	tx, err := s.db.BeginTx(context.Background(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = false
	for _, step := range s.waiting {
		if err := step(tx); err != nil {
			s.t.Fatal(err)
		}
	}
	s.waiting = nil
	if err := tx.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// connect is what OpenDB gives the package.
func (s *server) connect() *sql.DB { return sql.OpenDB(dialer{s}) }

type dialer struct{ server *server }

func (d dialer) Connect(context.Context) (driver.Conn, error) {
	c, err := (&sqlite.Driver{}).Open(d.server.dsn())
	if err != nil {
		return nil, err
	}
	return &connection{server: d.server, real: c}, nil
}

func (d dialer) Driver() driver.Driver { return &sqlite.Driver{} }

// connection translates statements.
type connection struct {
	server *server
	real   driver.Conn
	cut    bool
	locks  bool
}

func (c *connection) Prepare(query string) (driver.Stmt, error) {
	return nil, fmt.Errorf("prepared statements are not expected: %s", query)
}
func (c *connection) Close() error              { return c.real.Close() }
func (c *connection) Begin() (driver.Tx, error) { return nil, errors.New("not expected") }

func (c *connection) step(query string) error {
	if c.cut {
		return driver.ErrBadConn
	}
	s := c.server
	s.mu.Lock()
	fail := s.fail
	s.seen++
	n := s.seen
	s.mu.Unlock()
	if fail == nil {
		return nil
	}
	err := fail(n, query)
	if errors.Is(err, errCut) {
		c.cut = true
		return errCut
	}
	return err
}

var errCut = errors.New("read tcp 10.0.0.5:1433: connection reset by peer")

func (c *connection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.step(query); err != nil {
		return nil, err
	}
	translated, err := c.translate(query)
	if err != nil {
		return nil, err
	}
	queryer, _ := c.real.(driver.QueryerContext)
	rows, err := queryer.QueryContext(ctx, translated, args)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, translated)
	}
	return rows, nil
}

func (c *connection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.step(query); err != nil {
		return nil, err
	}
	execer, _ := c.real.(driver.ExecerContext)
	run := func(statement string) (driver.Result, error) { return execer.ExecContext(ctx, statement, args) }
	switch {
	case strings.HasPrefix(query, "SET LOCK_TIMEOUT "):
		c.locks = true
		return driver.ResultNoRows, nil
	case query == "SET TRANSACTION ISOLATION LEVEL SNAPSHOT", query == "SET DEADLOCK_PRIORITY LOW", query == "WAITFOR DELAY '00:00:00.020'":
		return driver.ResultNoRows, nil
	case query == "BEGIN TRANSACTION" && c.locks:
		return run("BEGIN IMMEDIATE") // shared locks on tables: nobody can commit
	case query == "BEGIN TRANSACTION":
		return run("BEGIN")
	case query == "COMMIT TRANSACTION":
		return run("COMMIT")
	}
	return nil, fmt.Errorf("statement that is not expected: %s", query)
}

var translations = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`cdc\.\[([^\]]+)_CT\] f`), `[ct.$1] f`},
	{regexp.MustCompile(`CONVERT\(int, sys\.fn_cdc_is_bit_set\((\d+), f\.\[__\$update_mask\]\)\)`), `((f.[__$$update_mask] >> ($1 - 1)) & 1)`},
	{regexp.MustCompile(`COLLATE Latin1_General_BIN2`), `COLLATE BINARY`},
	{regexp.MustCompile(`\[(dbo)\]\.\[([^\]]+)\]`), `[$1.$2]`},
	{regexp.MustCompile(` WITH \(TABLOCK, HOLDLOCK\)`), ``},
	{regexp.MustCompile(`SELECT TOP \(1\) 1 AS one FROM (\S+)\)`), `SELECT 1 AS one FROM $1 LIMIT 1)`},
	{regexp.MustCompile(`cdc\.lsn_time_mapping`), `_mapping`},
	{regexp.MustCompile(`@p(\d+)`), `?$1`},
}

func (c *connection) translate(query string) (string, error) {
	s := c.server
	all, _ := polling.SQLServerCatalog("", "")
	one, _ := polling.SQLServerCatalog("s", "t")
	const catalog = "SELECT sch, tbl, 'table', name, type, nullable, pk, -1 FROM _columns "
	switch query {
	case captureQuery:
		return "SELECT sch, tbl, name, start, low, (SELECT max(start_lsn) FROM _mapping) FROM _instances ORDER BY sch, tbl, start", nil
	case capturedQuery:
		return "SELECT name, ordinal FROM _captured WHERE instance = ?1 ORDER BY ordinal", nil
	case all:
		return catalog + "ORDER BY sch, tbl, ord", nil
	case one:
		return catalog + "WHERE sch = ?1 AND tbl = ?2 ORDER BY ord", nil
	case commitsQuery:
		return "SELECT start_lsn, tran_end * 1000 FROM _mapping WHERE start_lsn > ?2 AND start_lsn <= ?3 AND dummy = 0 ORDER BY start_lsn LIMIT ?1", nil
	case reachedQuery:
		// The capture job of this server notes its place at once.
		return "SELECT CASE WHEN max(tran_end) > CAST(?1 AS INTEGER) THEN 1 ELSE 0 END, max(CASE WHEN tran_end <= CAST(?1 AS INTEGER) THEN start_lsn END) FROM _mapping", nil
	case "SELECT CONVERT(varchar(23), GETDATE(), 121)":
		s.mu.Lock()
		moment := s.tick()
		s.mu.Unlock()
		return fmt.Sprintf("SELECT '%d'", moment), nil
	case healthQuery:
		return "SELECT silent, wait, behind, (SELECT count(*) FROM _mapping) FROM _database", nil
	case databaseQuery:
		return "SELECT 'SQL Server 16.0.4105.2 Developer Edition (64-bit)', cdc, snap FROM _database", nil
	case retentionQuery:
		return "SELECT 4320", nil
	case logQuery:
		return "SELECT 3200000000", nil
	}
	if !strings.Contains(query, "[dbo]") && !strings.Contains(query, "cdc.") {
		return "", fmt.Errorf("query that is not expected: %s", query)
	}
	for _, t := range translations {
		query = t.pattern.ReplaceAllString(query, t.with)
	}
	return query, nil
}

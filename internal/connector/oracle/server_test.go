package oracle

import (
	"context"
	"database/sql"
	"database/sql/driver"
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

// server stands for an Oracle database. It is none: it keeps every version of every row in SQLite, with the SCN of
// its commit, and answers the very statements of this package, word for word, translated where
// SQLite has other words. A statement that it does not know is an error. So what is tested is the
// package's own logic: moments, marks, sweeps, errors of the undo log. That Oracle answers as
// documented is not tested here.
type server struct {
	t    testing.TB
	path string
	db   *sql.DB

	writing sync.Mutex // SQLite's own queue for the write lock is not fair
	mu      sync.Mutex
	scn     int64
	columns map[string][]conntest.Column // by full name
	coarse  bool                         // without ROWDEPENDENCIES: every row shows the SCN of its table's last commit
	touched map[string]int64
	fail    func(n int, statement string) error
	seen    int
	rows    int64 // that statements without AS OF returned
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{t: t, path: filepath.Join(t.TempDir(), "server.db"), scn: 1_000_000, columns: map[string][]conntest.Column{}, touched: map[string]int64{}}
	db, err := sql.Open("sqlite", s.dsn())
	if err != nil {
		t.Fatal(err)
	}
	s.db = db
	t.Cleanup(func() { _ = db.Close() })
	s.exec("CREATE TABLE _columns (owner, tbl, kind, name, type, nullable INTEGER, pk INTEGER, ord INTEGER)")
	s.exec("CREATE TABLE _database (undo INTEGER, coarse INTEGER)")
	s.exec("INSERT INTO _database VALUES (10800, 3)")
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

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func storage(kind lienthong.Kind) string {
	switch kind {
	case lienthong.Real:
		return "REAL"
	case lienthong.Binary:
		return "BLOB"
	case lienthong.Text, lienthong.Decimal, lienthong.Date, lienthong.Timestamp, lienthong.Integer, lienthong.Boolean:
	}
	return "TEXT"
}

func typeOf(c conntest.Column) string {
	if c.Key {
		return "VARCHAR2(40)"
	}
	types := [...]string{"CLOB", "NUMBER(18,0)", "NUMBER", "BINARY_DOUBLE", "", "", "TIMESTAMP(6)", "BLOB"}
	return types[c.Kind]
}

func (s *server) create(table string, columns []conntest.Column) {
	physical := []string{"scn_from INTEGER", "scn_to INTEGER"}
	for _, c := range columns {
		physical = append(physical, quote(c.Name)+" "+storage(c.Kind))
	}
	s.exec("CREATE TABLE " + quote("HR."+table) + " (" + strings.Join(physical, ", ") + ")")
	s.exec("CREATE INDEX " + quote("to."+table) + " ON " + quote("HR."+table) + " (scn_to)")
	pk := 0
	for i, c := range columns {
		place := 0
		if c.Key {
			pk++
			place = pk
			s.exec("CREATE INDEX " + quote(c.Name+"."+table) + " ON " + quote("HR."+table) + " (" + quote(c.Name) + ")")
		}
		s.exec("INSERT INTO _columns VALUES ('HR', ?, 'table', ?, ?, ?, ?, ?)", table, c.Name, typeOf(c), !c.Key, place, i+1)
	}
	s.mu.Lock()
	s.columns["HR."+table] = columns
	s.mu.Unlock()
}

func (s *server) addColumn(table string, c conntest.Column) {
	s.exec("ALTER TABLE " + quote(table) + " ADD COLUMN " + quote(c.Name) + " " + storage(c.Kind))
	s.mu.Lock()
	s.columns[table] = append(slices.Clone(s.columns[table]), c)
	n := len(s.columns[table])
	s.mu.Unlock()
	s.exec("INSERT INTO _columns VALUES ('HR', ?, 'table', ?, ?, 1, 0, ?)", strings.TrimPrefix(table, "HR."), c.Name, typeOf(c), n)
}

func sqlLiteral(kind lienthong.Kind, text string) string {
	switch kind {
	case lienthong.Real:
		return text
	case lienthong.Binary:
		return "X'" + conntest.HexLiteral(text) + "'"
	case lienthong.Timestamp:
		text = strings.TrimSuffix(strings.Replace(text, "T", " ", 1), "Z")
	case lienthong.Text, lienthong.Decimal, lienthong.Date, lienthong.Integer, lienthong.Boolean:
		if text == "" {
			return "NULL" // an empty text is null to Oracle
		}
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// apply is a transaction of the application.
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
	scn := s.scn + 3
	for _, w := range writes {
		columns, table := s.columns[w.Table.Name], quote(w.Table.Name)
		var key []string
		for i, c := range w.Table.Columns {
			if c.Key && w.Verb != conntest.Insert && w.Verb != conntest.Truncate {
				key = append(key, quote(c.Name)+" = "+sqlLiteral(c.Kind, w.Key[len(key)].Text))
				_ = i
			}
		}
		where := " WHERE scn_to IS NULL"
		if len(key) > 0 {
			where += " AND " + strings.Join(key, " AND ")
		}
		var names []string
		for _, c := range columns {
			names = append(names, quote(c.Name))
		}
		run := func(statement string) error {
			_, err := tx.ExecContext(ctx, statement)
			return err
		}
		value := func(name string) string {
			for i, c := range w.Table.Columns {
				if c.Name == name && i < len(w.Row) && w.Row[i].State != lienthong.Unchanged {
					if w.Row[i].State == lienthong.Null {
						return "NULL"
					}
					return sqlLiteral(c.Kind, w.Row[i].Text)
				}
			}
			if w.Verb == conntest.Insert {
				return "NULL"
			}
			return quote(name)
		}
		var values []string
		for _, c := range columns {
			values = append(values, value(c.Name))
		}
		into := "INSERT INTO " + table + " (scn_from, scn_to, " + strings.Join(names, ", ") + ") "
		closing := fmt.Sprintf("UPDATE %s SET scn_to = %d%s", table, scn, where)
		switch w.Verb {
		case conntest.Insert:
			err = run(into + fmt.Sprintf("VALUES (%d, NULL, %s)", scn, strings.Join(values, ", ")))
		case conntest.Update:
			if err = run(into + fmt.Sprintf("SELECT %d, -1, %s FROM %s%s", scn, strings.Join(values, ", "), table, where)); err == nil {
				if err = run(closing); err == nil {
					err = run("UPDATE " + table + " SET scn_to = NULL WHERE scn_to = -1")
				}
			}
		case conntest.Delete, conntest.Truncate:
			err = run(closing)
		}
		if err != nil {
			return err
		}
		// Versions that no moment shows.
		if err := run(fmt.Sprintf("DELETE FROM %s WHERE scn_to = %d AND scn_from = scn_to", table, scn)); err != nil {
			return err
		}
		s.touched[w.Table.Name] = scn
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.scn = scn
	return nil
}

func (s *server) truth(ctx context.Context, table *conntest.Table) ([][]conntest.Cell, error) {
	var names []string
	for _, c := range table.Columns {
		names = append(names, quote(c.Name))
	}
	rows, err := s.db.QueryContext(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+quote(table.Name)+" WHERE scn_to IS NULL")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found [][]conntest.Cell
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		cells := make([]conntest.Cell, len(names))
		for i, v := range values {
			switch v := v.(type) {
			case float64:
				cells[i] = conntest.Has(fmt.Sprintf("%v", v))
			case []byte:
				cells[i] = conntest.Has(conntest.HexLiteral(string(v)))
			case string:
				if table.Columns[i].Kind == lienthong.Timestamp {
					v = strings.Replace(v, " ", "T", 1) + "Z"
				}
				cells[i] = conntest.Has(v)
			}
		}
		found = append(found, cells)
	}
	return found, rows.Err()
}

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
}

func (c *connection) Prepare(query string) (driver.Stmt, error) {
	return nil, fmt.Errorf("prepared statements are not expected: %s", query)
}
func (c *connection) Close() error              { return c.real.Close() }
func (c *connection) Begin() (driver.Tx, error) { return nil, errors.New("not expected") }

var errCut = errors.New("read tcp 10.0.0.5:1521: connection reset by peer")

func (c *connection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.cut {
		return nil, driver.ErrBadConn
	}
	s := c.server
	s.mu.Lock()
	s.seen++
	fail, n := s.fail, s.seen
	s.mu.Unlock()
	if fail != nil {
		if err := fail(n, query); err != nil {
			c.cut = errors.Is(err, errCut)
			return nil, err
		}
	}
	translated, err := s.translate(query)
	if err != nil {
		return nil, err
	}
	queryer, _ := c.real.(driver.QueryerContext)
	rows, err := queryer.QueryContext(ctx, translated, args)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, translated)
	}
	if strings.Contains(query, RowSCN) {
		return &counted{rows, s}, nil
	}
	return rows, nil
}

// counted counts rows.
type counted struct {
	driver.Rows
	server *server
}

func (c *counted) Next(dest []driver.Value) error {
	err := c.Rows.Next(dest)
	if err == nil {
		c.server.mu.Lock()
		c.server.rows++
		c.server.mu.Unlock()
	}
	return err
}

var (
	tableAt = regexp.MustCompile(`FROM "HR"\."([^"]+)"( AS OF SCN (\d+))?`)
	words   = []struct {
		pattern *regexp.Regexp
		with    string
	}{
		{regexp.MustCompile(`TO_CHAR\(("[^"]+"), 'TM9', 'NLS_NUMERIC_CHARACTERS=''\.,'''\)`), `CAST($1 AS TEXT)`},
		{regexp.MustCompile(`TO_CHAR\(("[^"]+"), 'SYYYY-MM-DD HH24:MI:SS\.FF6'\)`), `' ' || $1`},
		{regexp.MustCompile(`:(\d+)`), `?$1`},
	}
)

func (s *server) translate(query string) (string, error) {
	dialect := polling.Oracle()
	all, _ := dialect.Catalog("", "")
	one, _ := dialect.Catalog("o", "t")
	const catalog = "SELECT owner, tbl, kind, name, type, nullable, pk, -1 FROM _columns "
	switch query {
	case all:
		return catalog + "ORDER BY owner, tbl, ord", nil
	case one:
		return catalog + "WHERE owner = ?1 AND tbl = ?2 ORDER BY ord", nil
	case scnQuery:
		s.mu.Lock()
		defer s.mu.Unlock()
		return fmt.Sprintf("SELECT '%d'", s.scn), nil // a NUMBER comes as text
	case undoQuery:
		return "SELECT undo FROM _database", nil
	case dependenciesQuery:
		return "SELECT coarse FROM _database", nil
	case "SELECT BANNER FROM V$VERSION WHERE ROWNUM = 1":
		return "SELECT 'Oracle Database 19c Enterprise Edition Release 19.0.0.0.0 - Production'", nil
	}
	found := tableAt.FindStringSubmatch(query)
	if found == nil {
		return "", fmt.Errorf("query that is not expected: %s", query)
	}
	if strings.Contains(query, RowSCN) && found[2] != "" {
		return "", errors.New("ORA_ROWSCN is not supported for flashback query")
	}
	s.mu.Lock()
	coarse, touched := s.coarse, s.touched["HR."+found[1]]
	s.mu.Unlock()
	moment := "scn_to IS NULL"
	if found[2] != "" {
		moment = "scn_from <= " + found[3] + " AND (scn_to IS NULL OR scn_to > " + found[3] + ")"
	}
	rowSCN := "scn_from"
	if coarse {
		rowSCN = fmt.Sprint(touched)
	}
	query = strings.Replace(query, found[0], "FROM (SELECT *, "+rowSCN+" AS "+RowSCN+" FROM "+quote("HR."+found[1])+" WHERE "+moment+")", 1)
	for _, w := range words {
		query = w.pattern.ReplaceAllString(query, w.with)
	}
	return query, nil
}

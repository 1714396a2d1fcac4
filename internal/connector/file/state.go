package file

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// A version is an import's number and a row's number.
const (
	rowBits = 24
	rowMask = 1<<rowBits - 1
)

// The state database:
//
//	imports  files that were accepted; status 0 waits for acknowledgement, 1 is
//	         acknowledged but not answered, 2 is done
//	records  row images by version; superseded is the version that replaced it,
//	         its own for deletes; what is live has none
//	rows     the live rows by key: version, hash, folder, import that saw it last
//	notes    what is wrong with which cell of an import's file
//	work     the import under way; its records have versions above all listed imports
//	contents digests of the files that were imported
func stateTables() []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS meta (one INTEGER PRIMARY KEY CHECK (one = 1), acknowledged INTEGER NOT NULL, started INTEGER NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, tbl TEXT NOT NULL, body TEXT NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS imports (no INTEGER PRIMARY KEY, tbl TEXT NOT NULL, layout INTEGER NOT NULL, path TEXT NOT NULL,
			size INTEGER NOT NULL, mtime INTEGER NOT NULL, at INTEGER NOT NULL, status INTEGER NOT NULL, counts TEXT NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS imports_open ON imports (path) WHERE status < 2`,
		`CREATE TABLE IF NOT EXISTS records (version INTEGER PRIMARY KEY, tbl TEXT NOT NULL, layout INTEGER NOT NULL, op INTEGER NOT NULL,
			superseded INTEGER, keyless TEXT, body BLOB NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS records_live ON records (tbl, version) WHERE superseded IS NULL`,
		`CREATE INDEX IF NOT EXISTS records_old ON records (version) WHERE superseded IS NOT NULL`,
		`CREATE INDEX IF NOT EXISTS records_keyless ON records (tbl, keyless) WHERE keyless IS NOT NULL AND superseded IS NULL`,
		`CREATE TABLE IF NOT EXISTS rows (tbl TEXT NOT NULL, key BLOB NOT NULL, folder TEXT NOT NULL, version INTEGER NOT NULL,
			seen INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (tbl, key)) WITHOUT ROWID`,
		`CREATE INDEX IF NOT EXISTS rows_folder ON rows (tbl, folder)`,
		`CREATE TABLE IF NOT EXISTS notes (import INTEGER NOT NULL, row INTEGER NOT NULL, field TEXT NOT NULL, vi TEXT NOT NULL, en TEXT NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS notes_import ON notes (import, row)`,
		`CREATE TABLE IF NOT EXISTS work (one INTEGER PRIMARY KEY CHECK (one = 1), body TEXT NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS contents (sha256 BLOB PRIMARY KEY, import INTEGER NOT NULL, path TEXT NOT NULL) WITHOUT ROWID`,
		`INSERT OR IGNORE INTO meta VALUES (1, 0, 0)`,
	}
}

func openState(ctx context.Context, dir string) (*sql.DB, error) {
	name, err := filepath.Abs(filepath.Join(dir, "state.db"))
	if err != nil {
		return nil, err
	}
	address := url.URL{Scheme: "file", Path: name, RawQuery: url.Values{
		"_pragma": {"busy_timeout(30000)", "journal_mode(wal)", "synchronous(full)"},
		"_txlock": {"immediate"},
	}.Encode()}
	db, err := sql.Open("sqlite", address.String())
	if err != nil {
		return nil, err
	}
	for _, statement := range stateTables() {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

func resetState(ctx context.Context, tx *sql.Tx) error {
	for _, table := range []string{"work", "contents", "notes", "rows", "records", "imports", "layouts"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "UPDATE meta SET acknowledged = 0, started = 0")
	return err
}

// transaction runs work in one write transaction of the state.
func (s *Source) transaction(ctx context.Context, work func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := work(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// nextImport is the number of a new import. The first starts at the clock, so
// that versions keep growing after the state was destroyed.
func (s *Source) nextImport(ctx context.Context) (int64, error) {
	var last sql.NullInt64
	if err := s.db.QueryRowContext(ctx, "SELECT max(no) FROM imports").Scan(&last); err != nil {
		return 0, err
	}
	if last.Valid {
		return last.Int64 + 1, nil
	}
	return max(s.config.Now().Unix(), 1), nil
}

// layout is the columns of a table at some import.
type layout struct {
	ID      int64              `json:"-"`
	Table   string             `json:"-"`
	Columns []lienthong.Column `json:"columns"`
	Key     []int              `json:"key"`
}

func (l *layout) table() connector.Table {
	return connector.Table{Name: l.Table, Columns: slices.Clone(l.Columns), Key: slices.Clone(l.Key), EstimatedRows: -1}
}

func (l *layout) index(name string) int {
	return slices.IndexFunc(l.Columns, func(c lienthong.Column) bool { return sameName(c.Name, name) })
}

func (l *layout) setKey(names []string) {
	l.Key = l.Key[:0]
	for _, name := range names {
		l.Key = append(l.Key, l.index(name))
	}
}

type executer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// currentLayout is the newest stored layout, or what the declaration alone says.
func (s *Source) currentLayout(ctx context.Context, db querier, t *Table) (*layout, error) {
	l := &layout{Table: t.Name}
	var body string
	err := db.QueryRowContext(ctx, "SELECT id, body FROM layouts WHERE tbl = ? ORDER BY id DESC LIMIT 1", t.Name).Scan(&l.ID, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return declaredLayout(t), nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), l)
	}
	return l, err
}

func (s *Source) layoutByID(ctx context.Context, db querier, id int64) (*layout, error) {
	l := &layout{ID: id}
	var body string
	if err := db.QueryRowContext(ctx, "SELECT tbl, body FROM layouts WHERE id = ?", id).Scan(&l.Table, &body); err != nil {
		return nil, err
	}
	return l, json.Unmarshal([]byte(body), l)
}

func declaredLayout(t *Table) *layout {
	l := &layout{Table: t.Name}
	add := func(c lienthong.Column) {
		if l.index(c.Name) < 0 {
			l.Columns = append(l.Columns, c)
		}
	}
	if t.FolderColumn != "" {
		add(lienthong.Column{Name: t.FolderColumn, SourceType: "folder"})
	}
	for _, c := range t.Columns {
		if c.SourceType == "" {
			c.SourceType = "cell"
		}
		add(c)
	}
	for _, name := range t.Key {
		add(lienthong.Column{Name: name, SourceType: "cell", Kind: lienthong.Text})
	}
	l.setKey(t.Key)
	return l
}

// storeDeclaredLayout notes a declaration that has changed since the last Start.
func (s *Source) storeDeclaredLayout(ctx context.Context, tx *sql.Tx, t *Table) error {
	if len(t.Columns) == 0 {
		return nil
	}
	current, err := s.currentLayout(ctx, tx, t)
	if err != nil {
		return err
	}
	wanted := declaredLayout(t)
	if current.ID != 0 && slices.Equal(current.Columns, wanted.Columns) && slices.Equal(current.Key, wanted.Key) {
		return nil
	}
	return storeLayout(ctx, tx, wanted)
}

func storeLayout(ctx context.Context, tx *sql.Tx, l *layout) error {
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, "INSERT INTO layouts (tbl, body) VALUES (?, ?)", l.Table, string(body))
	if err != nil {
		return err
	}
	l.ID, err = result.LastInsertId()
	return err
}

// note says what is wrong with a cell, or with a row when Field is empty.
type note struct {
	Row           int64
	Field, Vi, En string
}

func addNote(ctx context.Context, tx *sql.Tx, number int64, n note) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO notes VALUES (?, ?, ?, ?, ?)", number, n.Row, n.Field, n.Vi, n.En)
	return err
}

// A stored row is, for each column, a number (length<<2 | state) and the text.
func appendStored(dst []byte, state lienthong.State, text []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(text))<<2|uint64(state))
	return append(dst, text...)
}

var errDamaged = errors.New("file: a stored row is damaged")

// readStored calls visit for each column of a stored row.
func readStored(body []byte, visit func(i int, state lienthong.State, text []byte)) error {
	for i := 0; len(body) > 0; i++ {
		head, n := binary.Uvarint(body)
		if n <= 0 || head>>2 > uint64(len(body)-n) {
			return errDamaged
		}
		end := n + int(head>>2)
		visit(i, lienthong.State(head&3), body[n:end])
		body = body[end:]
	}
	return nil
}

package polling

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// A version is the number of a poll, one bit that puts what vanished before what came, and a number.
const (
	numberBits = 24
	numberMask = 1<<numberBits - 1
	laterBit   = 1 << (numberBits - 1)
)

// The state database:
//
//	meta     one row: acknowledged position, last number given out, last one published, position of the first Start
//	tables   what was captured: layout, mark of the monotonic column, when keys were swept last
//	layouts  columns and key of a table, by version
//	polls    numbers whose changes are complete
//	changes  images of what is not acknowledged, by version
//	rows_N   of table N: the key of every row and the digest of what it looked like
func openState(ctx context.Context, dir string) (*sql.DB, error) {
	name, err := filepath.Abs(filepath.Join(dir, "polling.db"))
	if err != nil {
		return nil, err
	}
	db, err := openSQLite(name, "busy_timeout(30000)", "journal_mode(wal)", "synchronous(full)")
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS meta (one INTEGER PRIMARY KEY CHECK (one = 1), acknowledged INTEGER NOT NULL,
			last INTEGER NOT NULL, published INTEGER NOT NULL)`,
		`INSERT OR IGNORE INTO meta VALUES (1, 0, 0, 0)`,
		`CREATE TABLE IF NOT EXISTS tables (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, layout INTEGER NOT NULL DEFAULT 0,
			baseline INTEGER NOT NULL DEFAULT 0, resweep INTEGER NOT NULL DEFAULT 0, monotonic TEXT NOT NULL DEFAULT '', mark INTEGER, swept INTEGER NOT NULL DEFAULT 0)`,
		`CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, tbl INTEGER NOT NULL, body TEXT NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS polls (no INTEGER PRIMARY KEY, at INTEGER NOT NULL, token TEXT NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS changes (version INTEGER PRIMARY KEY, tbl INTEGER NOT NULL, layout INTEGER NOT NULL, op INTEGER NOT NULL, body BLOB NOT NULL)`,
		// What a poll stored before it was cut off was seen, and the rows' digests say so already.
		`INSERT INTO polls SELECT DISTINCT version >> 24, (version >> 24) * 10000, '' FROM changes
			WHERE version >> 24 NOT IN (SELECT no FROM polls)`,
		`UPDATE meta SET published = max(published, coalesce((SELECT max(no) FROM polls), 0))`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

func openSQLite(path string, pragmas ...string) (*sql.DB, error) {
	address := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}.Encode()}
	return sql.Open("sqlite", address.String())
}

func resetState(ctx context.Context, db *sql.DB) error {
	return inTransaction(ctx, db, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id FROM tables")
		if err != nil {
			return err
		}
		var statements []string
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return errors.Join(err, rows.Close())
			}
			statements = append(statements, "DROP TABLE IF EXISTS "+rowsTable(id))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		statements = append(statements, "DELETE FROM changes", "DELETE FROM polls", "DELETE FROM layouts", "DELETE FROM tables",
			"UPDATE meta SET acknowledged = 0, published = 0") // numbers go on growing
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

func rowsTable(id int64) string { return "rows_" + strconv.FormatInt(id, 10) }

func inTransaction(ctx context.Context, db *sql.DB, work func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := work(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
		return err
	}
	return tx.Commit()
}

// acknowledge removes changes in pieces, so that a poll never waits long.
func acknowledge(ctx context.Context, db *sql.DB, upTo int64) error {
	const piece = 5000
	if _, err := db.ExecContext(ctx, `UPDATE meta SET acknowledged = max(acknowledged, ?1), last = max(last, ?1), published = max(published, ?1)`, upTo); err != nil {
		return err
	}
	end := (upTo + 1) << numberBits
	for {
		var next int64
		err := db.QueryRowContext(ctx, "SELECT version FROM changes WHERE version < ? ORDER BY version LIMIT 1 OFFSET ?", end, piece).Scan(&next)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return err
		}
		if _, err := db.ExecContext(ctx, "DELETE FROM changes WHERE version < ?", next); err != nil {
			return err
		}
	}
	if _, err := db.ExecContext(ctx, "DELETE FROM changes WHERE version < ?", end); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, "DELETE FROM polls WHERE no <= ?", upTo)
	return err
}

// startPosition is the position acknowledged last; at the first Start it is the present.
func (s *Source) startPosition(ctx context.Context) (lienthong.Position, error) {
	var acknowledged int64
	err := inTransaction(ctx, s.state, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT acknowledged FROM meta").Scan(&acknowledged); err != nil || acknowledged > 0 {
			return err
		}
		var err error
		if acknowledged, err = nextNumber(ctx, tx, s.config.Now()); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE meta SET acknowledged = ?1, published = ?1", acknowledged)
		return err
	})
	return lienthong.Position{Order: uint64(acknowledged)}, err
}

type statement interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// nextNumber is the number of a new poll. It follows the clock in hundredths of a second.
func nextNumber(ctx context.Context, db statement, now time.Time) (int64, error) {
	var last int64
	if err := db.QueryRowContext(ctx, "SELECT last FROM meta").Scan(&last); err != nil {
		return 0, err
	}
	number := max(last+1, now.UnixMilli()/10)
	_, err := db.ExecContext(ctx, "UPDATE meta SET last = ?", number)
	return number, err
}

// layout is the columns of a table at some time.
type layout struct {
	ID      int64              `json:"-"`
	Columns []lienthong.Column `json:"columns"`
	Key     []int              `json:"key"`
}

func (l *layout) table(name string) connector.Table {
	return connector.Table{Name: name, Columns: slices.Clone(l.Columns), Key: slices.Clone(l.Key), EstimatedRows: -1}
}

func (l *layout) same(d *description) bool {
	return slices.Equal(l.Columns, d.columns) && slices.Equal(l.Key, d.key)
}

// sameKey reports whether keys stored under l still name the rows.
func (l *layout) sameKey(d *description) bool {
	return slices.EqualFunc(l.Key, d.key, func(a, b int) bool {
		return l.Columns[a].Name == d.columns[b].Name && l.Columns[a].Kind == d.columns[b].Kind
	})
}

func loadLayout(ctx context.Context, db statement, id int64) (*layout, error) {
	l := &layout{ID: id}
	var body string
	if err := db.QueryRowContext(ctx, "SELECT body FROM layouts WHERE id = ?", id).Scan(&body); err != nil {
		return nil, err
	}
	return l, json.Unmarshal([]byte(body), l)
}

// table is one that is captured.
type table struct {
	index     int
	name      string
	declared  Table
	described time.Time // when the catalog was asked last

	id         int64
	now        *description
	layout     *layout
	baseline   bool // its rows have been read once
	resweep    bool // all rows must be read, whatever the mark says
	marked     bool
	mark       int64
	swept      int64 // when keys were compared last, microseconds
	gone       bool
	whole      bool // read whole at each poll, as it was at Start
	ceiling    int64
	hasCeiling bool
}

// adopt brings the stored state of a table to its present description.
func (s *Source) adopt(ctx context.Context, t *table, d *description) error {
	return inTransaction(ctx, s.state, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO tables (name) VALUES (?)", t.name); err != nil {
			return err
		}
		var layoutID int64
		var mark sql.NullInt64
		var monotonic string
		if err := tx.QueryRowContext(ctx, "SELECT id, layout, baseline, resweep, monotonic, mark, swept FROM tables WHERE name = ?", t.name).
			Scan(&t.id, &layoutID, &t.baseline, &t.resweep, &monotonic, &mark, &t.swept); err != nil {
			return err
		}
		t.mark, t.marked = mark.Int64, mark.Valid
		stored := &layout{}
		if layoutID != 0 {
			var err error
			if stored, err = loadLayout(ctx, tx, layoutID); err != nil {
				return fmt.Errorf("read layout: %w", err)
			}
		}
		t.now, t.layout, t.gone = d, stored, false
		source := ""
		if d.monotonic != nil {
			source = d.monotonic.Name + " " + d.monotonic.Kind.String()
		}
		if source != monotonic {
			t.mark, t.marked = 0, false
		}
		if layoutID != 0 && stored.same(d) {
			_, err := tx.ExecContext(ctx, "UPDATE tables SET monotonic = ?, mark = ? WHERE id = ?", source, nullable(t.mark, t.marked), t.id)
			return err
		}
		body, err := json.Marshal(layout{Columns: d.columns, Key: d.key})
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, "INSERT INTO layouts (tbl, body) VALUES (?, ?)", t.id, string(body))
		if err != nil {
			return err
		}
		t.layout = &layout{Columns: d.columns, Key: d.key}
		if t.layout.ID, err = result.LastInsertId(); err != nil {
			return err
		}
		// Other columns: every row is read again. Another key: every row is new.
		t.resweep = t.baseline
		if !stored.sameKey(d) {
			if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+rowsTable(t.id)); err != nil {
				return err
			}
		}
		for _, statement := range []string{
			"CREATE TABLE IF NOT EXISTS " + rowsTable(t.id) + " (id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, digest BLOB NOT NULL)",
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, "UPDATE tables SET layout = ?, resweep = ?, monotonic = ?, mark = ? WHERE id = ?",
			t.layout.ID, t.resweep, source, nullable(t.mark, t.marked), t.id)
		return err
	})
}

func nullable(n int64, valid bool) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: valid} }

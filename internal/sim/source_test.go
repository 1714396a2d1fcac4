package sim

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// engine is what differs between the two kinds of database, at the source and at
// the hub: a scenario has the same kind at both ends.
type engine struct {
	name   string
	driver string
	create string
	table  string   // as a definition names it
	exact  []string // expressions that show a column's value exactly, as text; %s is its name
}

// columns of the source's table. The hub's are the same but for the key, which has
// the dictionary's name.
func columns() []string { return []string{"ma", "ho_ten", "so_tien", "ghi_chu", "ty_le", "tai_lieu"} }

func sqliteEngine() engine {
	return engine{
		name: "sqlite", driver: "sqlite", table: "ban_ghi",
		create: `CREATE TABLE ban_ghi (ma TEXT PRIMARY KEY NOT NULL, ho_ten TEXT, so_tien INTEGER, ghi_chu TEXT, ty_le REAL, tai_lieu BLOB)`,
		exact:  []string{"quote(%s)", "quote(%s)", "quote(%s)", "quote(%s)", "quote(%s)", "quote(%s)"},
	}
}

func postgresEngine() engine {
	return engine{
		name: "postgres", driver: "pgx", table: "public.ban_ghi",
		// The note is kept out of line and uncompressed, so that an update that leaves it
		// alone does not carry it: the "unchanged" value travels.
		create: `CREATE TABLE ban_ghi (ma text PRIMARY KEY, ho_ten text, so_tien bigint, ghi_chu text, ty_le double precision, tai_lieu bytea);
			ALTER TABLE ban_ghi ALTER COLUMN ghi_chu SET STORAGE EXTERNAL`,
		exact: []string{"quote_nullable(%s)", "quote_nullable(%s)", "quote_nullable(%s)", "quote_nullable(%s)", "quote_nullable(%s)", "quote_nullable(encode(%s, 'hex'))"},
	}
}

// query shows all rows that condition holds for, one text per column.
func (e engine) query(table, key, condition string) string {
	var list []string
	for i, c := range columns() {
		if c == "ma" {
			c = key
		}
		list = append(list, fmt.Sprintf(e.exact[i], c))
	}
	return "SELECT " + key + ", " + strings.Join(list, " || '|' || ") + " FROM " + table + " WHERE " + condition
}

// definition is what people agreed about the dataset. A negative amount is held
// back.
func (e engine) definition() string {
	return `dataset: sim.record
title_vi: Bản ghi mô phỏng
title_en: Simulated records
table: '` + e.table + `'
identity: [record_key]
others: keep
columns:
  - {column: ma, element: record.key}
rules:
  - code: sim.record.amount
    vi: Số tiền âm
    en: The amount is negative
    group: out_of_range
    criterion: dung
    field: so_tien
    blocking: true
    check: {min: "0"}
`
}

// open opens a database file, or a PostgreSQL database.
func (e engine) open(address string, pragmas ...string) (*sql.DB, error) {
	if e.driver == "sqlite" {
		values := url.Values{"_txlock": {"immediate"}}
		for _, p := range append(pragmas, "busy_timeout(15000)") {
			values.Add("_pragma", p)
		}
		address = (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: address}).EscapedPath(), RawQuery: values.Encode()}).String()
	}
	return sql.Open(e.driver, address)
}

// source is the database of an application that knows nothing of us.
type source struct {
	engine  engine
	address string
	slot    string // of PostgreSQL
	db      *sql.DB
	random  *rand.Rand
	keys    []string // of rows that are there
	number  int      // of the newest key
	changes int      // committed
}

// newSource makes the table and its first rows.
func newSource(t *testing.T, e engine, dir string, rows int, seed uint64) *source {
	t.Helper()
	s := &source{engine: e, address: filepath.Join(dir, "source.db"), random: rand.New(rand.NewPCG(seed, 7))}
	if e.driver == "pgx" {
		s.address = server.Database(t)
		address, err := url.Parse(s.address)
		if err != nil {
			t.Fatal(err)
		}
		s.slot = "sim_" + strings.Trim(address.Path, "/") // a slot's name belongs to the whole server
	}
	var err error
	if s.db, err = e.open(s.address, "journal_mode(WAL)", "synchronous(NORMAL)"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	s.db.SetMaxOpenConns(1)
	if _, err := s.db.ExecContext(t.Context(), e.create); err != nil {
		t.Fatal(err)
	}
	for done := 0; done < rows; done += 500 {
		err := s.transaction(t.Context(), func(w *work) error {
			for range 500 {
				if err := w.insert(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// work is one transaction of the application.
type work struct {
	*source
	ctx     context.Context
	tx      *sql.Tx
	keys    []string // as they will be if it commits
	number  int
	changes int
}

// transaction runs f and commits, or with an error from f rolls back.
func (s *source) transaction(ctx context.Context, f func(w *work) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	w := &work{source: s, ctx: ctx, tx: tx, keys: slices.Clone(s.keys), number: s.number}
	if err := f(w); err != nil {
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.keys, s.number, s.changes = w.keys, w.number, s.changes+w.changes
	return nil
}

func (w *work) exec(statement string, args ...any) error {
	w.changes++
	_, err := w.tx.ExecContext(w.ctx, statement, args...)
	return err
}

func (w *work) name() string {
	family := []string{"Nguyễn", "Trần", "Lê", "Phạm", "Huỳnh", "Võ", "Đặng", "Bùi"}
	given := []string{"Thị Hồng Nhung", "Văn Đức", "Quốc Bảo", "Ngọc Ánh", "Hữu Phước", "Mỹ Duyên"}
	return family[w.random.IntN(len(family))] + " " + given[w.random.IntN(len(given))]
}

// amount is negative, and therefore held back, for one row in twenty.
func (w *work) amount() any {
	switch n := w.random.IntN(20); n {
	case 0:
		return -1 - w.random.Int64N(1000)
	case 1:
		return nil
	default:
		return w.random.Int64N(1 << 40)
	}
}

// note is long for one row in ten.
func (w *work) note() any {
	switch w.random.IntN(10) {
	case 0:
		body := make([]byte, 1500)
		for i := range body {
			body[i] = byte(w.random.Uint32())
		}
		return hex.EncodeToString(body)
	case 1:
		return nil
	default:
		return fmt.Sprintf("ghi chú %d", w.random.IntN(1000))
	}
}

func (w *work) put(key string) error {
	document := []byte{byte(w.random.Uint32()), 0, byte(w.random.Uint32())}
	return w.exec("INSERT INTO ban_ghi (ma, ho_ten, so_tien, ghi_chu, ty_le, tai_lieu) VALUES ($1, $2, $3, $4, $5, $6)",
		key, w.name(), w.amount(), w.note(), w.random.Float64(), document)
}

func (w *work) insert() error {
	w.number++
	key := fmt.Sprintf("R%07d", w.number)
	w.keys = append(w.keys, key)
	return w.put(key)
}

// change does something that applications do.
func (w *work) change() error {
	if len(w.keys) < 10 {
		return w.insert()
	}
	at := w.random.IntN(len(w.keys))
	key := w.keys[at]
	switch n := w.random.IntN(100); {
	case n < 35:
		return w.insert()
	case n < 75: // the note stays as it is
		return w.exec("UPDATE ban_ghi SET ho_ten = $1, so_tien = $2 WHERE ma = $3", w.name(), w.amount(), key)
	case n < 80:
		return w.exec("UPDATE ban_ghi SET ghi_chu = $1 WHERE ma = $2", w.note(), key)
	case n < 84: // another key: one record goes, another comes
		w.number++
		w.keys[at] = fmt.Sprintf("K%07d", w.number)
		return w.exec("UPDATE ban_ghi SET ma = $1 WHERE ma = $2", w.keys[at], key)
	case n < 88: // gone and back in one transaction
		if err := w.exec("DELETE FROM ban_ghi WHERE ma = $1", key); err != nil {
			return err
		}
		return w.put(key)
	default:
		w.keys = slices.Delete(w.keys, at, at+1)
		return w.exec("DELETE FROM ban_ghi WHERE ma = $1", key)
	}
}

var errRollback = fmt.Errorf("the application changed its mind")

// live changes the source until stop is called, through whatever happens to the
// node: an application must never notice us. A transaction has one change, or a few, or
// hundreds; some are rolled back.
func (s *source) live(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(8 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			size := 1
			switch n := s.random.IntN(100); {
			case n == 0:
				size = 250
			case n < 10:
				size = 10
			}
			undo := s.random.IntN(25) == 0
			err := s.transaction(context.Background(), func(w *work) error {
				for range size {
					if err := w.change(); err != nil {
						return err
					}
				}
				if undo {
					return errRollback
				}
				return nil
			})
			if err != nil && !undo {
				t.Errorf("the application was disturbed: %v", err)
				return
			}
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); running.Wait() }) }
	t.Cleanup(stop)
	return stop
}

// rowsOf reads key and contents of every row; the key of two rows must not be the
// same.
func rowsOf(ctx context.Context, db *sql.DB, query string) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	found := map[string]string{}
	for rows.Next() {
		var key, body string
		if err := rows.Scan(&key, &body); err != nil {
			return nil, err
		}
		if _, twice := found[key]; twice {
			return nil, fmt.Errorf("%s is there twice", key)
		}
		found[key] = body
	}
	return found, rows.Err()
}

func one[T any](ctx context.Context, db *sql.DB, query string, args ...any) (T, error) {
	var v T
	err := db.QueryRowContext(ctx, query, args...).Scan(&v)
	return v, err
}

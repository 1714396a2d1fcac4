package polling

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// copies are the rows that the poll of a view sees, in a database file that lives as long as
// the view: table c_N, the image of a row by its number in the state.
type copies struct {
	path string
	db   *sql.DB
	made map[int64]bool // tables
}

func (s *Source) newCopies() (*copies, error) {
	s.mu.Lock()
	s.views++
	number := s.views
	s.mu.Unlock()
	path, err := filepath.Abs(filepath.Join(s.config.StateDir, "view-"+strconv.Itoa(number)+".db"))
	if err != nil {
		return nil, err
	}
	// What a power cut destroys here is thrown away at the next start anyway.
	db, err := openSQLite(path, "busy_timeout(30000)", "journal_mode(off)", "synchronous(off)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	return &copies{path: path, db: db, made: map[int64]bool{}}, nil
}

func copyTable(id int64) string { return "c_" + strconv.FormatInt(id, 10) }

func (c *copies) prepare(ctx context.Context, tables []*table) error {
	for _, t := range tables {
		if _, err := c.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+copyTable(t.id)+" (id INTEGER PRIMARY KEY, body BLOB NOT NULL)"); err != nil {
			return err
		}
		c.made[t.id] = true
	}
	return nil
}

// clear begins anew.
func (c *copies) clear(ctx context.Context) error {
	for id := range c.made {
		if _, err := c.db.ExecContext(ctx, "DELETE FROM "+copyTable(id)); err != nil {
			return err
		}
	}
	return nil
}

// add copies the rows of a batch that are there.
func (c *copies) add(ctx context.Context, b *batch) error {
	return inTransaction(ctx, c.db, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, "INSERT OR REPLACE INTO "+copyTable(b.table.id)+" VALUES (?, ?)")
		if err != nil {
			return err
		}
		defer func() { _ = insert.Close() }()
		for i := range b.rows[:b.used] {
			r := &b.rows[i]
			if r.twice || r.deleted {
				continue
			}
			if _, err := insert.ExecContext(ctx, r.found.id, b.image(r)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *copies) close() error {
	err := c.db.Close()
	if gone := os.Remove(c.path); gone != nil && !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

var _ connector.Describer = (*view)(nil)

type view struct {
	source  *Source
	copies  *copies
	tables  []standing
	last    int64 // poll
	at      int64
	closing sync.Once
	closed  error
}

// View reads every row of every captured table, notes what is different, and keeps a copy of what it
// saw until it is closed. The copy needs about as much room in StateDir as the tables.
func (s *Source) View(ctx context.Context) (connector.View, error) {
	s.polling.Lock()
	defer s.polling.Unlock()
	s.mu.Lock()
	captured := s.captured
	s.mu.Unlock()
	if captured == nil {
		return nil, errNotStarted
	}
	copied, err := s.newCopies()
	if err != nil {
		return nil, fmt.Errorf("polling: open view: %w", err)
	}
	v := &view{source: s, copies: copied}
	err = copied.prepare(ctx, captured)
	if err == nil {
		_, err = s.pollTables(ctx, captured, copied)
	}
	if err == nil {
		err = s.state.QueryRowContext(ctx, "SELECT max(acknowledged, published) FROM meta").Scan(&v.last)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("polling: open view: %w", err), copied.close())
	}
	v.tables, v.at = standings(captured), s.config.Now().UnixMicro()
	return v, nil
}

func (v *view) Position() lienthong.Position { return lienthong.Position{Order: uint64(v.last)} }

func (v *view) Version() int64 { return v.last<<numberBits | numberMask }

// Table describes a table as the view shows it.
func (v *view) Table(table int) connector.Table {
	return v.tables[table].layout.table(v.tables[table].name)
}

func (v *view) Close() error {
	v.closing.Do(func() { v.closed = v.copies.close() })
	return v.closed
}

// Chunks divides by the number that the state gave a row when it saw it first. Rows that
// come later have higher numbers: they are in the last chunk.
func (v *view) Chunks(ctx context.Context, table int, rows int) ([]connector.Chunk, error) {
	var chunks []connector.Chunk
	for from := int64(0); ; {
		var next int64
		err := v.copies.db.QueryRowContext(ctx, "SELECT id FROM "+copyTable(v.tables[table].id)+" WHERE id >= ? ORDER BY id LIMIT 1 OFFSET ?",
			from, max(rows, 1)).Scan(&next)
		if errors.Is(err, sql.ErrNoRows) {
			return append(chunks, connector.Chunk(strconv.FormatInt(from, 10)+"..")), nil
		}
		if err != nil {
			return nil, fmt.Errorf("polling: divide %s: %w", v.tables[table].name, err)
		}
		chunks = append(chunks, connector.Chunk(fmt.Sprintf("%d..%d", from, next)))
		from = next
	}
}

func parseChunk(chunk connector.Chunk) (from, to int64, err error) {
	left, right, found := strings.Cut(string(chunk), "..")
	to = 1<<63 - 1
	if found {
		if from, err = strconv.ParseInt(left, 10, 64); err == nil && right != "" {
			to, err = strconv.ParseInt(right, 10, 64)
		}
	}
	if !found || err != nil {
		return 0, 0, &lienthong.Error{
			Code: "polling.chunk", Err: err,
			Vi: "không đọc được đoạn dữ liệu đã lưu", En: "the stored chunk cannot be read",
			Hint: "nạp lại từ đầu / start the snapshot again",
		}
	}
	return from, to, nil
}

// Read delivers the rows of a chunk.
func (v *view) Read(ctx context.Context, table int, chunk connector.Chunk, deliver func(*connector.Row) error) error {
	from, to, err := parseChunk(chunk)
	if err != nil {
		return err
	}
	shown := v.tables[table]
	row := connector.Row{Table: table, Op: lienthong.Upsert, Version: v.Version(), At: v.at}
	for {
		page, next, err := v.page(ctx, shown.id, from, to)
		if err != nil {
			return fmt.Errorf("polling: read %s: %w", shown.name, err)
		}
		if len(page) == 0 {
			return nil
		}
		from = next
		for _, body := range page {
			if row.Values, err = shown.layout.values(row.Values, body); err != nil {
				return err
			}
			if err := deliver(&row); err != nil {
				return err
			}
		}
	}
}

func (v *view) page(ctx context.Context, table, from, to int64) (page [][]byte, next int64, err error) {
	rows, err := v.copies.db.QueryContext(ctx, "SELECT id, body FROM "+copyTable(table)+" WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", from, to, batchRows)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for held := 0; held < batchBytes && rows.Next(); {
		var body []byte
		if err := rows.Scan(&next, &body); err != nil {
			return nil, 0, err
		}
		held += len(body)
		page = append(page, body)
	}
	return page, next + 1, rows.Err()
}

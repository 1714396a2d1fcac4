package demo

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Progress is told how far a long piece of work has come. It may be nil.
type Progress func(done, total int)

func (p Progress) report(done, total int) {
	if p != nil {
		p(done, total)
	}
}

// table is a table at a source and how to make its rows.
type table struct {
	name    string
	columns []string
	rows    int
	row     func(dst []string, i int) []string
	skip    func(i int) bool
}

func (w *World) populationTable() table {
	return table{
		"cong_dan", personColumns(), len(w.people),
		func(dst []string, i int) []string { return w.personRow(dst, i, localDate) },
		func(i int) bool { return w.people[i].flags&gone != 0 },
	}
}

func (w *World) civilTables() []table {
	return []table{
		{"khai_sinh", birthColumns(), len(w.births), w.birthRow, func(i int) bool { return w.births[i].gone }},
		{"ket_hon", marriageColumns(), len(w.marriages), w.marriageRow, func(i int) bool { return w.marriages[i].gone }},
		{"khai_tu", deathColumns(), len(w.deaths), w.deathRow, func(i int) bool { return w.deaths[i].gone }},
	}
}

// WritePopulation makes the table cong_dan in an SQLite database and fills it.
func (w *World) WritePopulation(ctx context.Context, db *sql.DB, progress Progress) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return fill(ctx, db, []table{w.populationTable()}, progress)
}

// WriteCivilStatus makes the tables khai_sinh, ket_hon and khai_tu in an SQLite
// database and fills them.
func (w *World) WriteCivilStatus(ctx context.Context, db *sql.DB, progress Progress) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return fill(ctx, db, w.civilTables(), progress)
}

// rowsAStatement keeps one INSERT below SQLite's limit of parameters and makes the
// cost of a statement small beside that of its rows.
const rowsAStatement = 100

// fill makes the tables and writes the rows in one transaction.
func fill(ctx context.Context, db *sql.DB, tables []table, progress Progress) error {
	total, done := 0, 0
	for _, t := range tables {
		total += t.rows
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("demo: write sources: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // no effect after Commit
	for _, t := range tables {
		create := "CREATE TABLE " + t.name + " (" + t.columns[0] + " TEXT PRIMARY KEY NOT NULL, " + strings.Join(t.columns[1:], " TEXT, ") + " TEXT)"
		if _, err := tx.ExecContext(ctx, create); err != nil {
			return fmt.Errorf("demo: create %s: %w", t.name, err)
		}
		full, err := tx.PrepareContext(ctx, insertStatement(t.name, t.columns, rowsAStatement))
		if err != nil {
			return fmt.Errorf("demo: fill %s: %w", t.name, err)
		}
		args := make([]any, 0, rowsAStatement*len(t.columns))
		row := make([]string, 0, len(t.columns))
		for i := range t.rows {
			if !t.skip(i) {
				row = t.row(row, i)
				args = appendArguments(args, row)
			}
			if len(args) == cap(args) {
				if _, err := full.ExecContext(ctx, args...); err != nil {
					return fmt.Errorf("demo: fill %s: %w", t.name, err)
				}
				args = args[:0]
			}
			if done++; done%5000 == 0 {
				progress.report(done, total)
			}
		}
		if err := full.Close(); err != nil {
			return fmt.Errorf("demo: fill %s: %w", t.name, err)
		}
		if len(args) > 0 {
			if _, err := tx.ExecContext(ctx, insertStatement(t.name, t.columns, len(args)/len(t.columns)), args...); err != nil {
				return fmt.Errorf("demo: fill %s: %w", t.name, err)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("demo: write sources: %w", err)
	}
	progress.report(total, total)
	return nil
}

func insertStatement(name string, columns []string, rows int) string {
	one := "(" + strings.Repeat("?,", len(columns)-1) + "?)"
	return "INSERT INTO " + name + " (" + strings.Join(columns, ", ") + ") VALUES " + strings.Repeat(one+",", rows-1) + one
}

func appendArguments(args []any, row []string) []any {
	for _, value := range row {
		if value == "" {
			args = append(args, nil)
		} else {
			args = append(args, value)
		}
	}
	return args
}

// WritePopulationPostgres makes the table cong_dan in a PostgreSQL database and
// fills it by COPY.
func (w *World) WritePopulationPostgres(ctx context.Context, dsn string, progress Progress) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("demo: connect to the population database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, createPopulationPostgres()); err != nil {
		return fmt.Errorf("demo: create cong_dan: %w", err)
	}
	source := &copyText{world: w, ended: ctx.Err, progress: progress, row: make([]string, 0, len(personColumns()))}
	_, err = conn.PgConn().CopyFrom(ctx, source, "COPY cong_dan ("+strings.Join(personColumns(), ", ")+") FROM STDIN")
	if err != nil {
		return fmt.Errorf("demo: fill cong_dan: %w", err)
	}
	if _, err := conn.Exec(ctx, "ANALYZE cong_dan"); err != nil {
		return fmt.Errorf("demo: analyse cong_dan: %w", err)
	}
	progress.report(len(w.people), len(w.people))
	return nil
}

func createPopulationPostgres() string {
	columns := personColumns()
	typed := make([]string, len(columns))
	for i, column := range columns {
		kind := "text"
		switch i {
		case 0:
			kind = "text PRIMARY KEY"
		case columnBorn:
			kind = "date"
		case columnVerified, columnUpdated:
			kind = "timestamptz"
		}
		typed[i] = column + " " + kind
	}
	return "CREATE TABLE cong_dan (" + strings.Join(typed, ", ") + ")"
}

// copyText gives the population in PostgreSQL's text format, a few rows at a time.
type copyText struct {
	world    *World
	ended    func() error // the error of the call's context
	progress Progress
	next     int
	row      []string
	buffer   bytes.Buffer
}

func (c *copyText) Read(p []byte) (int, error) {
	for c.buffer.Len() < len(p) && c.next < len(c.world.people) {
		if c.world.people[c.next].flags&gone == 0 {
			c.row = c.world.personRow(c.row, c.next, time.DateOnly)
			for n, value := range c.row {
				if n > 0 {
					c.buffer.WriteByte('\t')
				}
				if value == "" {
					c.buffer.WriteString(`\N`)
				} else {
					c.buffer.WriteString(value) // no generated value has a tab, a line end or a backslash
				}
			}
			c.buffer.WriteByte('\n')
		}
		if c.next++; c.next%5000 == 0 {
			if err := c.ended(); err != nil {
				return 0, err
			}
			c.progress.report(c.next, len(c.world.people))
		}
	}
	n, err := c.buffer.Read(p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

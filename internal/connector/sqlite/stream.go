package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

var (
	errNotStarted = errors.New("sqlite: Start has not been called")
	// errStaleLayout says that the database's schema is newer than what we know.
	errStaleLayout = errors.New("sqlite: the schema has changed")
)

// Stream polls for changes. A look that finds nothing costs one pragma.
func (s *Source) Stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	err := s.stream(ctx, after, sink)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s *Source) stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	done, err := toNumber(after)
	if err != nil {
		return err
	}
	reader, err := s.newReader(ctx)
	if err != nil {
		return err
	}
	defer reader.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	idle, announcedIdle := false, false
	for {
		changed, err := reader.changed(ctx)
		if err != nil {
			return fmt.Errorf("sqlite: look for changes: %w", err)
		}
		if changed || !idle {
			newest, err := reader.newest(ctx)
			if err != nil {
				return fmt.Errorf("sqlite: look for changes: %w", err)
			}
			if newest < done {
				return restoredError(s.config.Path)
			}
			idle = newest == done
			for done < newest {
				end := s.rangeEnd(done, newest)
				if err := s.deliver(ctx, reader, done, end, sink); err != nil {
					return err
				}
				done, announcedIdle = end, false
			}
			if !idle {
				continue
			}
		}
		if !announcedIdle {
			announcedIdle = true
			if err := sink.Idle(); err != nil {
				return err
			}
		}
		timer.Reset(s.config.PollInterval)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// deliver hands over the changes in (after, newest] as one transaction. A range
// in which nothing concerns the captured tables is only a progress report.
func (s *Source) deliver(ctx context.Context, reader *reader, after, newest int64, sink connector.Sink) error {
	if err := s.syncLog(); err != nil {
		return err
	}
	pos := lienthong.Position{Order: uint64(newest)}
	begun := false
	for after < newest {
		last, err := reader.page(ctx, after, newest)
		if err != nil {
			return fmt.Errorf("sqlite: read changes: %w", err)
		}
		for i := range reader.changes {
			c := &reader.changes[i]
			if c.table < 0 || c.op == opProbe {
				continue
			}
			if !begun {
				begun = true
				if err := sink.Begin(pos, c.at); err != nil {
					return err
				}
			}
			if err := reader.hand(c, sink); err != nil {
				return err
			}
		}
		after = last
	}
	return sink.Commit(pos)
}

// change is one row of the change table, in memory.
type change struct {
	no, at int64
	op     int64
	table  int // as given to Start; -1: not captured any more
	layout *layout
	values []lienthong.Value
}

// reader reads the change table on its own connection, a page at a time.
type reader struct {
	source      *Source
	conn        *sql.Conn
	dataVersion int64
	tables      map[string]int
	announced   []*layout // what the sink believes each table's columns are

	changes []change
	values  []lienthong.Value
	wide    []lienthong.Value
	arena   arena
}

func (s *Source) newReader(ctx context.Context) (*reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.captured == nil {
		return nil, errNotStarted
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlite: connect: %w", err)
	}
	r := &reader{source: s, conn: conn, dataVersion: -1, tables: map[string]int{}}
	for i, name := range s.captured {
		r.tables[name] = i
		r.announced = append(r.announced, s.current[name])
	}
	return r, nil
}

func (r *reader) close() { _ = r.conn.Close() }

// changed reports whether anybody else has committed since the last call.
func (r *reader) changed(ctx context.Context) (bool, error) {
	version, err := scanInt(ctx, r.conn, "PRAGMA data_version")
	if err != nil || version == r.dataVersion {
		return false, err
	}
	r.dataVersion = version
	return true, nil
}

// newest returns the highest number, after bringing the triggers up to date
// with the schema: below that number, nothing was captured in a layout that the
// table had already left.
func (r *reader) newest(ctx context.Context) (int64, error) {
	for {
		var newest int64
		err := r.snapshot(ctx, func() error {
			version, err := schemaVersion(ctx, r.conn)
			if err != nil {
				return err
			}
			if !r.source.agrees(version) {
				return errStaleLayout
			}
			newest, err = scanInt(ctx, r.conn, "SELECT coalesce(max(no), 0) FROM "+changesTable)
			return err
		})
		if !errors.Is(err, errStaleLayout) {
			return newest, err
		}
		if err := r.source.follow(ctx); err != nil {
			return 0, err
		}
	}
}

func (r *reader) snapshot(ctx context.Context, work func() error) error {
	if _, err := r.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	err := work()
	rollback(r.conn)
	return err
}

// agrees reports whether the layouts in memory are those of the schema version.
func (s *Source) agrees(version int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.schema == version
}

// follow brings layouts and triggers in line with a schema that has changed.
func (s *Source) follow(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.captured == nil {
		return errNotStarted
	}
	err := s.write(ctx, func(conn *sql.Conn) error {
		there, err := hasTable(ctx, conn, changesTable)
		if err != nil {
			return err
		}
		if !there {
			return restoredError(s.config.Path)
		}
		return s.refresh(ctx, conn)
	})
	if err != nil {
		s.schema = 0
		return fmt.Errorf("sqlite: follow the schema: %w", err)
	}
	s.config.Log.InfoContext(ctx, "sqlite: schema has changed, triggers are up to date", slog.String("path", s.config.Path))
	return nil
}

func (s *Source) layoutByID(id int64) (*layout, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.layouts[id], s.width
}

// page fills r.changes with the next changes after a number and returns the
// number that it reached.
func (r *reader) page(ctx context.Context, after, newest int64) (int64, error) {
	r.changes, r.values = r.changes[:0], r.values[:0]
	r.arena.reset()
	_, width := r.source.layoutByID(0)
	reached, held := newest, 0
	var current *layout
	table := -1
	errFull := errors.New("page is full")
	var query strings.Builder
	query.WriteString("SELECT no, layout, op, at")
	for i := range width {
		query.WriteString(", c")
		query.WriteString(strconv.Itoa(i))
	}
	query.WriteString(" FROM " + changesTable + " WHERE no > ?1 AND no <= ?2 ORDER BY no")
	err := each(ctx, r.conn, query.String(), arguments(after, newest), func(row []driver.Value) error {
		no, at, op, layoutID, err := changeHeader(row)
		if err != nil {
			return err
		}
		c := change{no: no, at: at, op: op, table: -1}
		if current == nil || current.ID != layoutID {
			current, _ = r.source.layoutByID(layoutID)
			table = -1
			if current != nil {
				if i, captured := r.tables[current.Table]; captured {
					table = i
				}
			}
		}
		if current != nil {
			c.table, c.layout = table, current
		}
		if c.table >= 0 && (op == opUpsert || op == opDelete) {
			start := len(r.values)
			for i := range c.layout.Columns {
				stored := row[4+i]
				switch v := stored.(type) {
				case string:
					held += len(v)
				case []byte:
					held += len(v)
				}
				if op == opDelete && !c.layout.isKey(i) {
					r.values = append(r.values, lienthong.Value{State: lienthong.Unchanged})
					continue
				}
				r.values = append(r.values, r.arena.convert(stored, c.layout.Columns[i].Kind))
			}
			c.values = r.values[start:len(r.values):len(r.values)]
		}
		r.changes = append(r.changes, c)
		reached = no
		if len(r.changes) >= r.source.config.PageRows || held >= r.source.config.PageBytes {
			return errFull
		}
		return nil
	})
	switch {
	case errors.Is(err, errFull):
		return reached, nil
	case err != nil:
		return 0, err
	}
	return newest, nil
}

func changeHeader(row []driver.Value) (no, at, op, layoutID int64, err error) {
	no, ok1 := row[0].(int64)
	layoutID, ok2 := row[1].(int64)
	op, ok3 := row[2].(int64)
	at, ok4 := row[3].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		err = errors.New("the change table was altered by another program")
	}
	return no, at, op, layoutID, err
}

// hand gives one change to the sink, after telling it of a new layout.
func (r *reader) hand(c *change, sink connector.Sink) error {
	known := r.announced[c.table]
	values := c.values
	if known.ID != c.layout.ID {
		if columns, earlier := c.layout.within(known); earlier && c.layout.ID < known.ID {
			// Captured before columns were added that the sink already knows. What the new
			// columns hold follows: such rows were captured again when they were found.
			values = r.widen(c, columns, len(known.Columns))
		} else {
			r.announced[c.table] = c.layout
			if err := sink.Schema(c.table, c.layout.table()); err != nil {
				return err
			}
		}
	}
	switch c.op {
	case opTruncate:
		return sink.Truncate(c.table, c.no, c.at)
	case opUpsert, opDelete:
		row := connector.Row{Table: c.table, Version: c.no, At: c.at, Values: values}
		if c.op == opDelete {
			row.Op = lienthong.Delete
		}
		return sink.Change(&row)
	}
	return nil
}

// widen puts the values of an earlier layout into the columns of a later one.
func (r *reader) widen(c *change, columns []int, width int) []lienthong.Value {
	r.wide = r.wide[:0]
	filler := lienthong.Value{State: lienthong.Null}
	if c.op == opDelete {
		filler.State = lienthong.Unchanged
	}
	for range width {
		r.wide = append(r.wide, filler)
	}
	for i, value := range c.values {
		r.wide[columns[i]] = value
	}
	return r.wide
}

package polling

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Stream polls and delivers each poll as one transaction.
func (s *Source) Stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	err := s.stream(ctx, after, sink)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s *Source) stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	s.polling.Lock()
	s.mu.Lock()
	captured := s.captured
	s.mu.Unlock()
	now := standings(captured)
	s.polling.Unlock()
	if captured == nil {
		return errNotStarted
	}
	d := &delivery{source: s, sink: sink, announced: now, layouts: map[int64]*layout{}}
	done := int64(min(after.Order, 1<<39))
	// A state that was restored from a copy must not give numbers out again.
	if _, err := s.state.ExecContext(ctx, "UPDATE meta SET last = max(last, ?)", done); err != nil {
		return fmt.Errorf("polling: state: %w", err)
	}
	var acknowledged int64
	if err := s.state.QueryRowContext(ctx, "SELECT acknowledged FROM meta").Scan(&acknowledged); err != nil {
		return fmt.Errorf("polling: state: %w", err)
	}
	d.done = max(done, acknowledged)
	timer := time.NewTimer(0)
	defer timer.Stop()
	idle := false
	for {
		delivered, err := d.pending(ctx)
		if err != nil {
			return err
		}
		full, err := s.full(ctx)
		if err != nil {
			return err
		}
		more := false
		if !full {
			if now, more, err = s.poll(ctx); err != nil {
				return err
			}
			again, err := d.pending(ctx)
			if err != nil {
				return err
			}
			delivered = delivered || again
		}
		if err := d.announce(now); err != nil {
			return err
		}
		if more {
			idle = false
			continue
		}
		if !idle || delivered {
			idle = true
			if err := sink.Idle(); err != nil {
				return err
			}
		}
		timer.Reset(s.config.Every)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// full reports whether too much waits for acknowledgement to poll again.
func (s *Source) full(ctx context.Context) (bool, error) {
	var waiting int64
	if err := s.state.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM changes LIMIT ?)", s.config.MaxPending).Scan(&waiting); err != nil {
		return false, fmt.Errorf("polling: state: %w", err)
	}
	full := waiting >= s.config.MaxPending
	s.mu.Lock()
	s.report.paused = full
	s.mu.Unlock()
	return full, nil
}

// delivery hands stored changes to a sink.
type delivery struct {
	source    *Source
	sink      connector.Sink
	done      int64
	announced []standing
	layouts   map[int64]*layout
	values    []lienthong.Value
	wide      []lienthong.Value
}

// announce tells of columns that are different though no row has changed since.
func (d *delivery) announce(now []standing) error {
	for i := range now {
		if d.announced[i].layout.ID == now[i].layout.ID {
			continue
		}
		d.announced[i] = now[i]
		if err := d.sink.Schema(i, now[i].layout.table(now[i].name)); err != nil {
			return err
		}
	}
	return nil
}

// pending delivers the polls that are complete. It reports whether there was one.
func (d *delivery) pending(ctx context.Context) (bool, error) {
	for any := false; ; any = true {
		var number, at int64
		var token string
		err := d.source.state.QueryRowContext(ctx, "SELECT no, at, token FROM polls WHERE no > ? ORDER BY no LIMIT 1", d.done).Scan(&number, &at, &token)
		if errors.Is(err, sql.ErrNoRows) {
			return any, nil
		}
		if err != nil {
			return any, fmt.Errorf("polling: state: %w", err)
		}
		if err := d.transaction(ctx, lienthong.Position{Order: uint64(number), Token: token}, at); err != nil {
			return any, err
		}
		d.done = number
	}
}

type storedChange struct {
	version, table, layout, op int64
	body                       []byte
}

// transaction delivers one poll. Changes are read in pages, so that no read is open while
// the sink works.
func (d *delivery) transaction(ctx context.Context, pos lienthong.Position, at int64) error {
	begun := false
	next, end := int64(pos.Order)<<numberBits, int64(pos.Order+1)<<numberBits
	for {
		page, err := readChanges(ctx, d.source.state, next, end)
		if err != nil {
			return fmt.Errorf("polling: read changes: %w", err)
		}
		for i := range page {
			c := &page[i]
			next = c.version + 1
			table := slices.IndexFunc(d.announced, func(s standing) bool { return s.id == c.table })
			if table < 0 {
				continue
			}
			if !begun {
				begun = true
				if err := d.sink.Begin(pos, at); err != nil {
					return err
				}
			}
			if err := d.change(ctx, table, c, at); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			return d.sink.Commit(pos)
		}
	}
}

func readChanges(ctx context.Context, db *sql.DB, from, to int64) (page []storedChange, err error) {
	rows, err := db.QueryContext(ctx, "SELECT version, tbl, layout, op, body FROM changes WHERE version >= ? AND version < ? ORDER BY version LIMIT ?", from, to, batchRows)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for held := 0; held < batchBytes && rows.Next(); {
		var c storedChange
		if err := rows.Scan(&c.version, &c.table, &c.layout, &c.op, &c.body); err != nil {
			return nil, err
		}
		held += len(c.body)
		page = append(page, c)
	}
	return page, rows.Err()
}

func (d *delivery) change(ctx context.Context, table int, c *storedChange, at int64) error {
	l := d.layouts[c.layout]
	if l == nil {
		var err error
		if l, err = loadLayout(ctx, d.source.state, c.layout); err != nil {
			return fmt.Errorf("polling: read layout: %w", err)
		}
		d.layouts[c.layout] = l
	}
	var err error
	if d.values, err = l.values(d.values, c.body); err != nil {
		return err
	}
	row := connector.Row{Table: table, Op: lienthong.Op(c.op), Version: c.version, At: at, Values: d.values}
	if known := d.announced[table].layout; known.ID != l.ID {
		places, fits := l.within(known)
		if fits && l.ID < known.ID {
			row.Values = d.widen(places, len(known.Columns), row.Op)
		} else {
			d.announced[table].layout = l
			if err := d.sink.Schema(table, l.table(d.announced[table].name)); err != nil {
				return err
			}
		}
	}
	return d.sink.Change(&row)
}

// widen puts a row of an earlier layout into the columns of a later one.
func (d *delivery) widen(places []int, width int, op lienthong.Op) []lienthong.Value {
	filler := lienthong.Value{State: lienthong.Null}
	if op == lienthong.Delete {
		filler.State = lienthong.Unchanged
	}
	d.wide = d.wide[:0]
	for range width {
		d.wide = append(d.wide, filler)
	}
	for i := range d.values {
		d.wide[places[i]] = d.values[i]
	}
	return d.wide
}

// within finds each column of l in a later layout with the same key.
func (l *layout) within(later *layout) ([]int, bool) {
	if len(l.Key) != len(later.Key) {
		return nil, false
	}
	places := make([]int, len(l.Columns))
	for i, c := range l.Columns {
		places[i] = slices.IndexFunc(later.Columns, func(o lienthong.Column) bool { return o.Name == c.Name && o.Kind == c.Kind })
		if places[i] < 0 {
			return nil, false
		}
	}
	for n := range l.Key {
		if places[l.Key[n]] != later.Key[n] {
			return nil, false
		}
	}
	return places, true
}

// values reads a stored row. Bytes point into it.
func (l *layout) values(dst []lienthong.Value, body []byte) ([]lienthong.Value, error) {
	dst = dst[:0]
	for i := range l.Columns {
		v, rest, err := readStored(body, l.Columns[i].Kind)
		if err != nil {
			return dst, err
		}
		dst, body = append(dst, v), rest
	}
	if len(body) != 0 {
		return dst, errDamaged
	}
	return dst, nil
}

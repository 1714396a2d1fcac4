package polling

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// poll reads all captured tables once. It reports whether it stopped before the end, because so
// much has changed that what it has should be delivered first.
func (s *Source) poll(ctx context.Context) (now []standing, more bool, err error) {
	s.polling.Lock()
	defer s.polling.Unlock()
	s.mu.Lock()
	captured := s.captured
	s.mu.Unlock()
	if captured == nil {
		return nil, false, errNotStarted
	}
	more, err = s.pollTables(ctx, captured, nil)
	return standings(captured), more, err
}

// standing is how a table is read now.
type standing struct {
	name   string
	id     int64
	layout *layout // without columns when the table is gone
}

func standings(tables []*table) []standing {
	now := make([]standing, len(tables))
	for i, t := range tables {
		now[i] = standing{t.name, t.id, t.layout}
	}
	return now
}

// pollTables is poll for some tables. The caller holds polling.
func (s *Source) pollTables(ctx context.Context, tables []*table, copied *copies) (more bool, err error) {
	const attempts = 3
	began := s.config.Now()
	for attempt := 1; ; attempt++ {
		p := &poll{source: s, copied: copied}
		more, err = p.run(ctx, tables)
		err = errors.Join(err, p.publish(ctx))
		if err == nil {
			s.done(p, began)
			return more, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		// A query that fails may mean that the columns are others now.
		changed := false
		if attempt < attempts {
			if changed, _ = s.lookAgain(ctx, tables); changed {
				s.config.Log.InfoContext(ctx, "polling: a table's columns have changed")
			}
		}
		if attempt >= attempts || !changed && !s.dialect.again(err) {
			return false, s.dialect.explain(err)
		}
		if copied != nil {
			if err := copied.clear(ctx); err != nil {
				return false, err
			}
		}
	}
}

func (s *Source) done(p *poll, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.report
	r.polled, r.read = s.config.Now(), p.read
	r.took = r.polled.Sub(began)
	if r.duplicates == nil {
		r.duplicates = map[string]int64{}
	}
	for name, n := range p.duplicates {
		r.duplicates[name] = n
	}
	r.gone = nil
	for _, t := range s.captured {
		if t.gone {
			r.gone = append(r.gone, t.name)
		}
	}
}

// lookAgain describes tables anew, and reports whether one is different.
func (s *Source) lookAgain(ctx context.Context, tables []*table) (bool, error) {
	changed := false
	for _, t := range tables {
		was, gone := t.layout.ID, t.gone
		if err := s.refresh(ctx, t); err != nil {
			return changed, err
		}
		changed = changed || t.layout.ID != was || t.gone != gone
	}
	return changed, nil
}

// refresh describes a table anew. One that is gone, or whose key is, is left out until it comes back.
func (s *Source) refresh(ctx context.Context, t *table) error {
	d, err := s.describe(ctx, t.name)
	if err == nil {
		err = d.usable()
	}
	var coded *lienthong.Error
	switch {
	case errors.As(err, &coded) && strings.HasPrefix(coded.Code, "polling."):
		if !t.gone {
			s.config.Log.WarnContext(ctx, "polling: a table cannot be read any more", slog.String("table", t.name), slog.String("code", coded.Code))
		}
		t.gone = true
		t.layout = &layout{ID: -1}
		return nil
	case err != nil:
		return err
	}
	t.described = s.config.Now()
	back := t.gone
	if err := s.adopt(ctx, t, d); err != nil {
		return err
	}
	t.resweep = t.resweep || back
	return nil
}

// poll is one reading of some tables.
type poll struct {
	source *Source
	copied *copies

	conn    *sql.Conn // to the source
	suffix  string    // behind table names
	token   string
	atOnce  bool // every statement sees the same moment
	writer  *sql.Conn
	numbers []int64 // of the poll; none until there is a change
	firsts  int64   // versions given out below laterBit
	laters  int64   // and above

	read       int64
	changes    int64
	duplicates map[string]int64
}

func (p *poll) run(ctx context.Context, tables []*table) (more bool, err error) {
	s := p.source
	for _, t := range tables {
		if p.copied != nil || t.gone || s.config.Now().Sub(t.described) >= s.config.SchemaEvery {
			if err := s.refresh(ctx, t); err != nil {
				return false, err
			}
		}
	}
	if p.writer, err = s.state.Conn(ctx); err != nil {
		return false, fmt.Errorf("polling: state: %w", err)
	}
	defer func() { _ = p.writer.Close() }()
	if p.conn, err = s.db.Conn(ctx); err != nil {
		return false, fmt.Errorf("polling: connect: %w", err)
	}
	broken := true
	defer func() {
		if broken { // whatever state it is in, nobody else shall have it
			_ = p.conn.Raw(func(any) error { return errBadConn })
		}
		_ = p.conn.Close()
	}()
	for _, t := range tables {
		if t.gone {
			continue
		}
		partly, err := p.one(ctx, t)
		if err != nil {
			return false, fmt.Errorf("polling: read %s: %w", t.name, err)
		}
		more = more || partly
	}
	broken = false
	return more, nil
}

// one reads one table in a transaction of its own: a reader that holds two tables could be
// in the way of an application that locks both.
func (p *poll) one(ctx context.Context, t *table) (more bool, err error) {
	// Before the moment that is read: what is above the ceiling then, may still come.
	if err := p.ceiling(ctx, t); err != nil {
		return false, fmt.Errorf("ask for the ceiling: %w", err)
	}
	if err := p.begin(ctx); err != nil {
		return false, fmt.Errorf("begin reading: %w", err)
	}
	if more, err = p.table(ctx, t); err != nil {
		return false, err
	}
	if err := p.end(ctx); err != nil {
		return false, fmt.Errorf("end reading: %w", err)
	}
	return more, nil
}

func (p *poll) ceiling(ctx context.Context, t *table) error {
	t.hasCeiling = false
	if t.now.monotonic == nil {
		return nil
	}
	query := p.source.dialect.ceiling(t.now.monotonic)
	if query == "" {
		if t.now.monotonic.Kind == lienthong.Timestamp {
			now := p.source.config.Now()
			_, offset := now.Zone()
			t.ceiling, t.hasCeiling = now.UnixMicro()+max(int64(offset), 0)*1_000_000, true
		}
		return nil
	}
	var raw any
	err := p.conn.QueryRowContext(ctx, query).Scan(&raw)
	if err == nil {
		t.ceiling, err = wholeNumber(raw)
	}
	t.hasCeiling = err == nil
	return err
}

func (p *poll) begin(ctx context.Context) error {
	d := p.source.dialect
	if d.AsOf != nil {
		var err error
		p.suffix, p.token, err = d.AsOf(ctx, p.conn)
		p.atOnce = err == nil
		return err
	}
	for _, statement := range d.Begin {
		if _, err := p.conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	p.atOnce = len(d.Begin) > 0
	return nil
}

func (p *poll) end(ctx context.Context) error {
	if p.source.dialect.AsOf != nil {
		return nil
	}
	for _, statement := range p.source.dialect.End {
		if _, err := p.conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// table reads one table in the way that it needs.
func (p *poll) table(ctx context.Context, t *table) (more bool, err error) {
	b, err := p.newBatch(ctx, t)
	if err != nil {
		return false, err
	}
	defer b.close()
	now := p.source.config.Now()
	if t.now.monotonic == nil || !t.marked || t.resweep || !t.baseline || p.copied != nil {
		return false, p.sweep(ctx, b, now)
	}
	if more, err = p.follow(ctx, b); err != nil || more {
		return more, err
	}
	every := t.declared.KeySweepEvery
	if every < 0 || now.UnixMicro()-t.swept < every.Microseconds() {
		return false, nil
	}
	many, err := p.sweepKeys(ctx, b, now)
	if err == nil && many {
		// Reading all rows may find that one is gone which was there a moment ago.
		p.renumber()
		again, err := p.newBatch(ctx, t)
		if err != nil {
			return false, err
		}
		defer again.close()
		return false, p.sweep(ctx, again, now)
	}
	return false, err
}

// sweep reads the whole table.
func (p *poll) sweep(ctx context.Context, b *batch, now time.Time) error {
	t := b.table
	limit, limited, unsure := t.ceiling, t.hasCeiling, false
	if t.now.monotonic != nil && !p.atOnce && !b.pseudo {
		// Rows that move while the statement runs may hide behind it, but not below this.
		highest, found, err := p.highest(ctx, t)
		if err != nil {
			return err
		}
		if unsure = !found; found && (!limited || highest < limit) {
			limit, limited = highest, true
		}
	}
	b.sweeping = true
	p.count(t.name, 0)
	rows, err := p.conn.QueryContext(ctx, b.query(p.suffix, "", ""))
	if err != nil {
		return err
	}
	if err := b.readAll(ctx, rows); err != nil {
		return err
	}
	if err := p.vanished(ctx, b); err != nil {
		return err
	}
	// A table without a row that has a mark is read whole again.
	t.mark, t.marked = b.highest, t.now.monotonic != nil && b.highestSeen && !unsure
	if limited {
		t.mark = min(t.mark, limit)
	}
	if b.pseudo {
		t.mark, t.marked = t.ceiling, t.hasCeiling
	}
	t.baseline, t.resweep, t.swept = true, false, now.UnixMicro()
	return b.settle(ctx)
}

// count notes how many rows of a table had the key of another.
func (p *poll) count(table string, duplicates int64) {
	if p.duplicates == nil {
		p.duplicates = map[string]int64{}
	}
	if duplicates == 0 {
		p.duplicates[table] = 0
	}
	p.duplicates[table] += duplicates
}

func (p *poll) highest(ctx context.Context, t *table) (mark int64, found bool, err error) {
	d, c := p.source.dialect, t.now.monotonic
	var raw any
	shown := lienthong.Column{Name: c.Name, SourceType: c.SourceType, Kind: c.Kind}
	query := "SELECT " + maxOf(d, &shown) + " FROM " + t.now.from + p.suffix
	if err := p.conn.QueryRowContext(ctx, query).Scan(&raw); err != nil {
		return 0, false, err
	}
	v := p.source.value(raw, c)
	mark, found = markOf(&v, c.Kind)
	return mark, found, nil
}

// maxOf is the greatest value of a column, in the form in which the column is selected.
func maxOf(d *Dialect, c *lienthong.Column) string {
	greatest := "MAX(" + d.plain(c) + ")"
	if d.Select != nil {
		return d.Select(greatest, c)
	}
	return greatest
}

// follow reads the rows whose monotonic column has moved.
func (p *poll) follow(ctx context.Context, b *batch) (more bool, err error) {
	t, d := b.table, p.source.dialect
	c := t.now.monotonic
	if b.pseudo {
		return false, p.followPseudo(ctx, b)
	}
	from := markValue(back(t.mark, c.Kind, p.source.config.Overlap, p.source.config.OverlapNumbers), c.Kind)
	where := d.plain(c) + " >= " + d.placeholder(1, c)
	if c.Nullable {
		where = "(" + where + " OR " + d.plain(c) + " IS NULL)"
	}
	order := d.plain(c)
	for _, i := range t.now.key {
		order += ", " + d.plain(&t.now.columns[i])
	}
	rows, err := p.conn.QueryContext(ctx, b.query(p.suffix, " WHERE "+where, " ORDER BY "+order), d.argument(from, c))
	if err != nil {
		return false, err
	}
	b.following = true
	if err := b.readAll(ctx, rows); err != nil && !errors.Is(err, errEnough) {
		return false, err
	} else if err != nil {
		more = true
	}
	return more, b.settle(ctx)
}

// followPseudo reads the rows of which the engine itself says that they were committed since the
// mark. One statement shows one moment, which is not before the ceiling that was asked for first.
func (p *poll) followPseudo(ctx context.Context, b *batch) error {
	t, d := b.table, p.source.dialect
	c := t.now.monotonic
	rows, err := p.conn.QueryContext(ctx, b.query("", " WHERE "+d.plain(c)+" >= "+d.placeholder(1, c), ""), d.argument(markValue(t.mark, c.Kind), c))
	if err != nil {
		return err
	}
	if err := b.readAll(ctx, rows); err != nil {
		return err
	}
	if t.hasCeiling {
		t.mark = max(t.mark, t.ceiling)
	}
	if err := b.settle(ctx); err != nil {
		return err
	}
	// What is read next must not be older than what was read now.
	return p.begin(ctx)
}

// vanished finds rows that a sweep did not see.
func (p *poll) vanished(ctx context.Context, b *batch) error {
	var count int64
	if err := p.writer.QueryRowContext(ctx, "SELECT count(*) FROM "+b.rowsTable).Scan(&count); err != nil {
		return err
	}
	if count == b.seenCount {
		return nil
	}
	const page = 2000
	for after := int64(0); ; {
		rows, err := p.writer.QueryContext(ctx, "SELECT id, key FROM "+b.rowsTable+" WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", after, b.lastID, page)
		if err != nil {
			return err
		}
		var missing []known
		n := 0
		for rows.Next() {
			var k known
			if err := rows.Scan(&k.id, &k.key); err != nil {
				return errors.Join(err, rows.Close())
			}
			n, after = n+1, k.id
			// A row without a key is not among keys.
			if !b.saw(k.id) && (b.sweeping || b.hasKey(k.key)) {
				missing = append(missing, k)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		if err := p.remove(ctx, b, missing); err != nil {
			return err
		}
		if n < page {
			return nil
		}
	}
}

// remove takes rows away that were not seen. Where a scan and its neighbours are not one moment, a row
// may have moved from before the scan's eyes: it is asked for once more.
func (p *poll) remove(ctx context.Context, b *batch, missing []known) error {
	if !p.atOnce {
		var err error
		missing, err = p.stillMissing(ctx, b, missing)
		if err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return b.remove(ctx, missing)
}

func (p *poll) stillMissing(ctx context.Context, b *batch, missing []known) ([]known, error) {
	var gone []known
	for _, k := range missing {
		found, err := p.fetch(ctx, b, k.key)
		if err != nil {
			return nil, err
		}
		if !found {
			gone = append(gone, k)
		}
	}
	return gone, b.flush(ctx)
}

// fetch reads the row with the key into the batch.
func (p *poll) fetch(ctx context.Context, b *batch, key []byte) (bool, error) {
	d, t := p.source.dialect, b.table
	var where strings.Builder
	var args []any
	for n, i := range t.now.key {
		c := &t.now.columns[i]
		v, rest, err := readStored(key, c.Kind)
		if err != nil {
			return false, err
		}
		if v.State != lienthong.Present {
			return false, nil // a row without a key cannot be asked for
		}
		if n > 0 {
			where.WriteString(" AND ")
		}
		where.WriteString(d.plain(c) + " = " + d.placeholder(n+1, c))
		args = append(args, d.argument(v, c))
		key = rest
	}
	rows, err := p.conn.QueryContext(ctx, b.query(p.suffix, " WHERE "+where.String(), ""), args...)
	if err != nil {
		return false, err
	}
	// A row that is read out of turn says nothing about those before it.
	b.fetching = true
	defer func() { b.fetching = false }()
	before := b.read
	err = b.readMore(ctx, rows, func() bool { return b.read > before })
	return b.read > before, err
}

// sweepKeys reads the keys only, and then the rows whose keys no poll has seen: they came with an old
// mark. It reports whether these are too many to ask for one by one.
func (p *poll) sweepKeys(ctx context.Context, b *batch, now time.Time) (many bool, err error) {
	const most = 1000
	d, t := p.source.dialect, b.table
	var columns []string
	for _, i := range t.now.key {
		columns = append(columns, d.column(&t.now.columns[i]))
	}
	if b.del >= 0 {
		columns = append(columns, d.column(b.columns[b.del]))
	}
	rows, err := p.conn.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+t.now.from+p.suffix)
	if err != nil {
		return false, err
	}
	unknown, err := b.readKeys(ctx, rows, most+1)
	if err != nil || len(unknown) > most {
		return err == nil, err
	}
	for _, key := range unknown {
		if _, err := p.fetch(ctx, b, key); err != nil {
			return false, err
		}
	}
	if err := b.flush(ctx); err != nil {
		return false, err
	}
	if err := p.vanished(ctx, b); err != nil {
		return false, err
	}
	t.swept = now.UnixMicro()
	return false, b.settle(ctx)
}

// publish makes the changes of the poll visible to streams and views.
func (p *poll) publish(ctx context.Context) error {
	if len(p.numbers) == 0 {
		return nil
	}
	last := p.numbers[len(p.numbers)-1]
	ctx = context.WithoutCancel(ctx)
	at := p.source.config.Now().UnixMicro()
	err := inTransaction(ctx, p.source.state, func(tx *sql.Tx) error {
		for _, number := range p.numbers {
			if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO polls VALUES (?, ?, ?)", number, at, p.token); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "UPDATE meta SET published = max(published, ?1), last = max(last, ?1)", last)
		return err
	})
	if err != nil {
		return fmt.Errorf("polling: publish: %w", err)
	}
	return nil
}

// version is the next of this poll. Rows that vanished come first, before all upserts, so that
// a secondary unique key is free before it is taken.
func (p *poll) version(ctx context.Context, first bool) (int64, error) {
	if len(p.numbers) == 0 || p.firsts >= laterBit || p.laters >= laterBit {
		number, err := nextNumber(ctx, p.writer, p.source.config.Now())
		if err != nil {
			return 0, err
		}
		p.numbers = append(p.numbers, number)
		p.firsts, p.laters = 0, 0
	}
	number := p.numbers[len(p.numbers)-1]
	p.changes++
	if first {
		p.firsts++
		return number<<numberBits | (p.firsts - 1), nil
	}
	p.laters++
	return number<<numberBits | laterBit | (p.laters - 1), nil
}

// renumber gives what follows a higher number than all before it.
func (p *poll) renumber() { p.firsts = laterBit }

func (s *Source) value(raw any, c *lienthong.Column) lienthong.Value {
	if s.dialect.Convert != nil {
		raw = s.dialect.Convert(raw, c)
	}
	return Convert(raw, c.Kind)
}

// isDeleted tells whether the value of the deleted column says so.
func isDeleted(v *lienthong.Value, c *lienthong.Column, values []string) bool {
	if v.State == lienthong.Null {
		return false
	}
	if len(values) == 0 {
		return true
	}
	text := string(v.AppendText(nil, c.Kind))
	if v.State == lienthong.Malformed {
		text = string(v.Bytes)
	}
	return slices.Contains(values, text)
}

package polling

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

const (
	batchRows  = 1000
	batchBytes = 4 << 20
	lookupKeys = 50     // keys that one look into the state asks for
	enough     = 50_000 // changes after which a poll lets the stream deliver
)

var (
	errBadConn = driver.ErrBadConn
	errEnough  = errors.New("enough for one poll")
)

// known is a row that the state knows.
type known struct {
	id     int64
	key    []byte
	digest []byte
}

// seen is a row that was read.
type seen struct {
	values  []lienthong.Value
	key     []byte
	digest  []byte
	keyless bool // a part of the key has no value
	deleted bool
	mark    int64
	marked  bool
	found   known // what the state knew; id 0: nothing
	twice   bool
}

// batch compares the rows of one table with the state, some hundreds at a time.
type batch struct {
	poll      *poll
	table     *table
	rowsTable string
	columns   []*lienthong.Column // that are read: the table's, then monotonic and deleted
	mark, del int                 // indexes into columns, -1
	pseudo    bool                // the monotonic column is one that is only compared
	digester  *digester
	raw, into []any

	rows  []seen
	used  int
	bytes int

	lookup, lookupOne, insert, update, remember *sql.Stmt
	byKey                                       map[string]int
	body                                        []byte
	unseenBase                                  int64
	bits                                        []uint64
	seenCount                                   int64
	lastID                                      int64 // the newest row known before this batch

	read        int64
	sweeping    bool
	following   bool
	fetching    bool // single rows by their keys
	highest     int64
	highestSeen bool
}

func (p *poll) newBatch(ctx context.Context, t *table) (*batch, error) {
	b := &batch{poll: p, table: t, rowsTable: rowsTable(t.id), mark: -1, del: -1, byKey: map[string]int{}}
	for i := range t.now.columns {
		b.columns = append(b.columns, &t.now.columns[i])
	}
	place := func(c *lienthong.Column) int {
		if c == nil {
			return -1
		}
		for i, other := range b.columns {
			if other.Name == c.Name {
				return i
			}
		}
		b.columns = append(b.columns, c)
		return len(b.columns) - 1
	}
	b.pseudo = p.source.dialect.isPseudo(t.now.monotonic)
	if !b.pseudo {
		b.mark = place(t.now.monotonic)
	}
	b.del = place(t.now.deleted)
	b.digester = newDigester(t.now.columns)
	b.raw, b.into = make([]any, len(b.columns)), make([]any, len(b.columns))
	for i := range b.raw {
		b.into[i] = &b.raw[i]
	}
	if err := p.writer.QueryRowContext(ctx, "SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM "+b.rowsTable).Scan(&b.unseenBase, &b.lastID); err != nil {
		return nil, err
	}
	for _, statement := range []struct {
		into **sql.Stmt
		text string
	}{
		{&b.lookup, "SELECT id, key, digest FROM " + b.rowsTable + " WHERE key IN (?" + strings.Repeat(", ?", lookupKeys-1) + ")"},
		{&b.lookupOne, "SELECT id, key, digest FROM " + b.rowsTable + " WHERE key = ?"},
		{&b.insert, "INSERT INTO " + b.rowsTable + " (key, digest) VALUES (?, ?)"},
		{&b.update, "UPDATE " + b.rowsTable + " SET digest = ? WHERE id = ?"},
		{&b.remember, "INSERT INTO changes VALUES (?, ?, ?, ?, ?)"},
	} {
		var err error
		if *statement.into, err = p.writer.PrepareContext(ctx, statement.text); err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

func (b *batch) close() {
	for _, s := range []*sql.Stmt{b.lookup, b.lookupOne, b.insert, b.update, b.remember} {
		if s != nil {
			_ = s.Close()
		}
	}
}

func (b *batch) query(suffix, where, order string) string {
	columns := make([]string, len(b.columns))
	for i, c := range b.columns {
		columns[i] = b.poll.source.dialect.column(c)
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + b.table.now.from + suffix + where + order
}

// saw reports whether the state's row was met.
func (b *batch) saw(id int64) bool {
	at := id - b.unseenBase
	return at < 0 || at>>6 < int64(len(b.bits)) && b.bits[at>>6]&(1<<(at&63)) != 0
}

func (b *batch) see(id int64) {
	at := id - b.unseenBase
	if at < 0 {
		return
	}
	for at>>6 >= int64(len(b.bits)) {
		b.bits = append(b.bits, make([]uint64, max(1024, len(b.bits)))...)
	}
	if b.bits[at>>6]&(1<<(at&63)) == 0 {
		b.bits[at>>6] |= 1 << (at & 63)
		b.seenCount++
	}
}

// readAll compares every row of a result, and the last of them too.
func (b *batch) readAll(ctx context.Context, rows *sql.Rows) error {
	if err := b.readMore(ctx, rows, func() bool { return false }); err != nil {
		return err
	}
	return b.flush(ctx)
}

// readMore reads rows until the result ends or it is enough.
func (b *batch) readMore(ctx context.Context, rows *sql.Rows, enoughRead func() bool) (err error) {
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for !enoughRead() && rows.Next() {
		if err := rows.Scan(b.into...); err != nil {
			return err
		}
		b.take()
		if b.used >= batchRows || b.bytes >= batchBytes {
			if err := b.flush(ctx); err != nil {
				return err
			}
			if b.following && b.poll.changes >= enough {
				return errEnough
			}
		}
	}
	return nil
}

// take makes a row of what was scanned.
func (b *batch) take() {
	if b.used == len(b.rows) {
		b.rows = append(b.rows, seen{})
	}
	r := &b.rows[b.used]
	*r = seen{values: r.values[:0], key: r.key[:0]}
	b.used++
	b.read++
	b.poll.read++
	for i, c := range b.columns {
		v := b.poll.source.value(b.raw[i], c)
		b.bytes += 16 + len(v.Bytes)
		r.values = append(r.values, v)
		b.raw[i] = nil
	}
	for _, i := range b.table.now.key {
		r.key = appendStored(r.key, &r.values[i], b.columns[i].Kind)
		r.keyless = r.keyless || r.values[i].State != lienthong.Present
	}
	r.digest = b.digester.sum(r.values[:len(b.table.now.columns)])
	if r.keyless {
		r.key = append(r.key, r.digest...) // its whole content is its name
	}
	if b.mark >= 0 && !b.fetching {
		r.mark, r.marked = markOf(&r.values[b.mark], b.columns[b.mark].Kind)
	}
	if b.del >= 0 {
		r.deleted = isDeleted(&r.values[b.del], b.columns[b.del], b.table.declared.DeletedValues)
	}
}

// find looks the rows up in the state.
func (b *batch) find(ctx context.Context) error {
	clear(b.byKey)
	for i := 0; i < b.used; i++ {
		r := &b.rows[i]
		if _, twice := b.byKey[string(r.key)]; twice {
			r.twice = true
			continue
		}
		b.byKey[string(r.key)] = i
	}
	visit := func(lookup *sql.Stmt, keys ...any) error {
		rows, err := lookup.QueryContext(ctx, keys...)
		if err != nil {
			return err
		}
		for rows.Next() {
			var k known
			if err := rows.Scan(&k.id, &k.key, &k.digest); err != nil {
				return errors.Join(err, rows.Close())
			}
			if i, ok := b.byKey[string(k.key)]; ok {
				b.rows[i].found = k
			}
		}
		return errors.Join(rows.Err(), rows.Close())
	}
	at := 0
	for ; at+lookupKeys <= b.used; at += lookupKeys {
		var keys [lookupKeys]any
		for i := range keys {
			keys[i] = b.rows[at+i].key
		}
		if err := visit(b.lookup, keys[:]...); err != nil {
			return err
		}
	}
	for ; at < b.used; at++ {
		if err := visit(b.lookupOne, b.rows[at].key); err != nil {
			return err
		}
	}
	return nil
}

// flush compares the rows read so far and stores what differs.
func (b *batch) flush(ctx context.Context) error {
	if b.used == 0 {
		return nil
	}
	if err := b.find(ctx); err != nil {
		return err
	}
	changed := false
	for i := range b.rows[:b.used] {
		r := &b.rows[i]
		known := r.found.id != 0
		if r.twice || known && b.sweeping && b.saw(r.found.id) {
			b.poll.count(b.table.name, 1)
			r.twice = true
			continue
		}
		if known && !r.deleted {
			b.see(r.found.id)
		}
		changed = changed || r.deleted && known || !r.deleted && (!known || string(r.found.digest) != string(r.digest))
		if r.marked && (!b.highestSeen || r.mark > b.highest) {
			b.highest, b.highestSeen = r.mark, true
		}
	}
	if b.poll.copied != nil {
		changed = true // new rows get their ids first
	}
	if changed {
		if err := b.write(ctx, func() error { return b.storeRows(ctx) }); err != nil {
			return err
		}
	}
	if b.poll.copied != nil {
		if err := b.poll.copied.add(ctx, b); err != nil {
			return err
		}
	}
	b.used, b.bytes = 0, 0
	return nil
}

// hasKey reports whether a stored key names a row.
func (b *batch) hasKey(key []byte) bool {
	for _, i := range b.table.now.key {
		v, rest, err := readStored(key, b.columns[i].Kind)
		if err != nil || v.State != lienthong.Present {
			return false
		}
		key = rest
	}
	return true
}

// write runs work in one transaction of the state.
func (b *batch) write(ctx context.Context, work func() error) error {
	if _, err := b.poll.writer.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := work()
	if err == nil {
		err = b.storeMark(ctx)
	}
	if err == nil {
		_, err = b.poll.writer.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, undo := b.poll.writer.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return errors.Join(err, undo)
	}
	return nil
}

func (b *batch) storeRows(ctx context.Context) error {
	for i := range b.rows[:b.used] {
		r := &b.rows[i]
		known := r.found.id != 0
		switch {
		case r.twice:
		case r.deleted && known:
			if err := b.forget(ctx, &r.found, false); err != nil {
				return err
			}
		case r.deleted:
		case !known:
			result, err := b.insert.ExecContext(ctx, r.key, r.digest)
			if err != nil {
				return err
			}
			if r.found.id, err = result.LastInsertId(); err != nil {
				return err
			}
			b.see(r.found.id)
			if err := b.change(ctx, r); err != nil {
				return err
			}
		case string(r.found.digest) != string(r.digest):
			if _, err := b.update.ExecContext(ctx, r.digest, r.found.id); err != nil {
				return err
			}
			if err := b.change(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// image writes a row as it is stored.
func (b *batch) image(r *seen) []byte {
	b.body = b.body[:0]
	for i := range b.table.now.columns {
		b.body = appendStored(b.body, &r.values[i], b.columns[i].Kind)
	}
	return b.body
}

func (b *batch) change(ctx context.Context, r *seen) error {
	if !b.table.baseline {
		return nil
	}
	version, err := b.poll.version(ctx, false)
	if err != nil {
		return err
	}
	_, err = b.remember.ExecContext(ctx, version, b.table.id, b.table.layout.ID, int64(lienthong.Upsert), b.image(r))
	return err
}

// forget removes a row from the state, and says that it was deleted: before all upserts of the poll if
// none of them can be of the same row.
func (b *batch) forget(ctx context.Context, k *known, first bool) error {
	if _, err := b.poll.writer.ExecContext(ctx, "DELETE FROM "+b.rowsTable+" WHERE id = ?", k.id); err != nil {
		return err
	}
	if !b.table.baseline {
		return nil
	}
	values := make([]lienthong.Value, len(b.table.now.columns))
	for i := range values {
		values[i].State = lienthong.Unchanged
	}
	rest := k.key
	for _, i := range b.table.now.key {
		var err error
		if values[i], rest, err = readStored(rest, b.columns[i].Kind); err != nil {
			return err
		}
		if values[i].State != lienthong.Present {
			return nil // nothing names the record
		}
	}
	version, err := b.poll.version(ctx, first)
	if err != nil {
		return err
	}
	_, err = b.remember.ExecContext(ctx, version, b.table.id, b.table.layout.ID, int64(lienthong.Delete), b.image(&seen{values: values}))
	return err
}

// remove forgets rows that are gone from the source.
func (b *batch) remove(ctx context.Context, missing []known) error {
	return b.write(ctx, func() error {
		for i := range missing {
			if err := b.forget(ctx, &missing[i], true); err != nil {
				return err
			}
		}
		return nil
	})
}

// storeMark keeps how far a following poll has come. Its rows arrive in the order of the mark.
func (b *batch) storeMark(ctx context.Context) error {
	if !b.following || !b.highestSeen {
		return nil
	}
	t, mark := b.table, b.highest
	if t.hasCeiling {
		mark = min(mark, t.ceiling)
	}
	if mark <= t.mark {
		return nil
	}
	t.mark = mark
	_, err := b.poll.writer.ExecContext(ctx, "UPDATE tables SET mark = ? WHERE id = ?", mark, t.id)
	return err
}

// settle writes where the table stands now.
func (b *batch) settle(ctx context.Context) error {
	t := b.table
	return b.write(ctx, func() error {
		_, err := b.poll.writer.ExecContext(ctx, "UPDATE tables SET baseline = ?, resweep = ?, mark = ?, swept = ? WHERE id = ?",
			t.baseline, t.resweep, nullable(t.mark, t.marked), t.swept, t.id)
		return err
	})
}

// readKeys marks the rows whose keys are in the result as seen, and returns keys that the state does not know, but
// not more than so many.
func (b *batch) readKeys(ctx context.Context, rows *sql.Rows, most int) (unknown [][]byte, err error) {
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	key := b.table.now.key
	width := len(key)
	if b.del >= 0 {
		width++
	}
	count := func() error {
		if err := b.find(ctx); err != nil {
			return err
		}
		for i := range b.rows[:b.used] {
			r := &b.rows[i]
			switch {
			case r.deleted:
			case r.found.id != 0:
				b.see(r.found.id)
			case !r.keyless && !r.twice && len(unknown) < most:
				unknown = append(unknown, slices.Clone(r.key))
			}
		}
		b.used, b.bytes = 0, 0
		return nil
	}
	for rows.Next() {
		if err := rows.Scan(b.into[:width]...); err != nil {
			return nil, err
		}
		if b.used == len(b.rows) {
			b.rows = append(b.rows, seen{})
		}
		r := &b.rows[b.used]
		*r = seen{values: r.values[:0], key: r.key[:0]}
		b.used++
		b.poll.read++
		for n, i := range key {
			v := b.poll.source.value(b.raw[n], b.columns[i])
			r.key = appendStored(r.key, &v, b.columns[i].Kind)
			r.keyless = r.keyless || v.State != lienthong.Present
			b.raw[n] = nil
		}
		if b.del >= 0 {
			v := b.poll.source.value(b.raw[len(key)], b.columns[b.del])
			r.deleted = isDeleted(&v, b.columns[b.del], b.table.declared.DeletedValues)
		}
		if b.used >= batchRows {
			if err := count(); err != nil {
				return nil, err
			}
		}
	}
	return unknown, count()
}

package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

// fedRow is a line of the change log before it has its number.
type fedRow struct {
	stream  int64
	id      []byte
	op      lienthong.Op
	version int64
	at      int64
	batch   int64
	before  string
}

// fedLog gathers what one Apply adds to one feed.
type fedLog struct {
	no      int64
	dataset lienthong.DatasetID
	watched []string
	rows    []fedRow
}

// fedLogFor returns the log into which the stream's changes go; nil for none. Landing
// into a dataset without a feed pays this comparison and nothing else.
func (a *application) fedLogFor(ctx context.Context, state *streamState) (*fedLog, error) {
	if state.fed == 0 {
		return nil, nil
	}
	for _, log := range a.logs {
		if log.no == state.fed {
			return log, nil
		}
	}
	log := &fedLog{no: state.fed, dataset: state.Stream.Dataset}
	var text string
	err := a.w.each(ctx, "SELECT watched FROM feeds WHERE no = ?", []any{log.no}, func(scan scanFunc) error { return scan(&text) })
	if err == nil {
		err = json.Unmarshal([]byte(text), &log.watched)
	}
	if err != nil {
		return nil, fmt.Errorf("read feed of %s: %w", log.dataset, err)
	}
	a.logs = append(a.logs, log)
	return log, nil
}

// feedBefore reads the watched fields of records that are about to change. The
// result is by record id, nil when nothing is watched.
func (a *application) feedBefore(ctx context.Context, log *fedLog, l *layout, state *streamState, records []*record) (map[string]string, error) {
	if log == nil || len(log.watched) == 0 {
		return nil, nil
	}
	found := make(map[string]string)
	var ids []string
	for _, r := range records {
		if r.had == live || r.had == held {
			ids = append(ids, string(r.id))
		}
	}
	var columns strings.Builder
	for _, field := range log.watched {
		columns.WriteString(", CAST(r." + quote(columnName(field)) + " AS text)")
	}
	names := a.store.engine.types()
	query := "SELECT r._id" + columns.String() + " FROM " + names.keyTable + " CROSS JOIN " + l.table + " r WHERE r._id = k.value AND r._stream = ?"
	values := make([]*string, len(log.watched))
	targets := make([]any, 1+len(values))
	var id string
	targets[0] = &id
	for i := range values {
		targets[1+i] = &values[i]
	}
	const atOnce = 5000
	for chunk := range slices.Chunk(ids, atOnce) {
		err := a.w.each(ctx, query, []any{names.keyList(chunk), state.No}, func(scan scanFunc) error {
			clear(values)
			if err := scan(targets...); err != nil {
				return err
			}
			before := make(map[string]*string, len(values))
			for i, field := range log.watched {
				before[field] = values[i]
			}
			text, err := json.Marshal(before)
			found[id] = string(text)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read watched fields: %w", err)
		}
	}
	return found, nil
}

// feed notes what the written records are to consumers.
func (a *application) feed(log *fedLog, state *streamState, records []*record, before map[string]string) {
	if log == nil {
		return
	}
	for _, r := range records {
		if !r.touched {
			continue // the engine refused it
		}
		was := r.had == live || r.had == held
		row := fedRow{stream: state.No, id: r.id, op: lienthong.Upsert, version: r.version, at: r.at, batch: int64(r.sequence)}
		switch {
		case r.is == live, r.is == held && !r.allKept: // held only after it changed
		case r.is == deleted && was:
			row.op = lienthong.Delete
		default: // a hold, or a tombstone of what never was there
			continue
		}
		switch {
		case !was:
		case before == nil:
			row.before = unknownBefore
		default:
			row.before = cmp.Or(before[string(r.id)], unknownBefore)
		}
		log.rows = append(log.rows, row)
	}
}

// writeFeeds numbers the gathered changes and writes them. Feeds are locked in the
// order of their numbers, after all streams and before the counter of the audit outbox.
func (a *application) writeFeeds(ctx context.Context) error {
	slices.SortFunc(a.logs, func(x, y *fedLog) int { return cmp.Compare(x.no, y.no) })
	for _, log := range a.logs {
		if len(log.rows) == 0 {
			continue
		}
		var last int64
		err := a.w.each(ctx, "UPDATE feeds SET sequence = sequence + ? WHERE no = ? RETURNING sequence", []any{int64(len(log.rows)), log.no},
			func(scan scanFunc) error { return scan(&last) })
		if err == nil {
			err = a.w.logFeed(ctx, log.no, last-int64(len(log.rows))+1, a.now, log.rows)
		}
		if err != nil {
			return fmt.Errorf("store: log changes of %s: %w", log.dataset, err)
		}
	}
	return nil
}

// signalFeeds wakes those who follow, after the commit.
func (a *application) signalFeeds() {
	for _, log := range a.logs {
		if len(log.rows) > 0 {
			a.store.signalFeed(log.dataset)
		}
	}
}

func (w *pgWriter) logFeed(ctx context.Context, feed, first, now int64, rows []fedRow) error {
	return w.copy(ctx, "COPY feed_log (feed, sequence, stream, record, op, version, at, batch, logged_at, before) FROM STDIN (FORMAT binary)",
		len(rows), func(b []byte, i int) []byte {
			r := &rows[i]
			b = binary.BigEndian.AppendUint16(b, 10)
			b = appendInt32(b, int32(feed))
			b = appendInt64(b, first+int64(i))
			b = appendInt32(b, int32(r.stream))
			b = appendBytes(b, r.id)
			b = appendInt32(b, int32(r.op))
			b = appendInt64(b, r.version)
			b = appendInt64(b, r.at)
			b = appendInt64(b, r.batch)
			b = appendInt64(b, now)
			return appendBytes(b, []byte(r.before))
		})
}

func (w *liteWriter) logFeed(ctx context.Context, feed, first, now int64, rows []fedRow) error {
	const row, into = "(?,?,?,?,?,?,?,?,?,?)", "INSERT INTO feed_log (feed, sequence, stream, record, op, version, at, batch, logged_at, before) VALUES "
	many := into + strings.TrimSuffix(strings.Repeat(row+",", rowsPerInsert), ",")
	return w.conn.Raw(func(raw any) error {
		for at := 0; at < len(rows); {
			n, query := rowsPerInsert, many
			if len(rows)-at < n {
				n, query = 1, into+row
			}
			statement, err := w.statement(raw, query)
			if err != nil {
				return err
			}
			w.args = w.args[:0]
			for i := at; i < at+n; i++ {
				r := &rows[i]
				w.arg(feed)
				w.arg(first + int64(i))
				w.arg(r.stream)
				w.arg(string(r.id))
				w.arg(int64(r.op))
				w.arg(r.version)
				w.arg(r.at)
				w.arg(r.batch)
				w.arg(now)
				w.arg(r.before)
			}
			if err := runStatement(ctx, statement, w.args); err != nil {
				return err
			}
			at += n
		}
		return nil
	})
}

// pick reads records by key, in binary.
func (e *postgres) pick(ctx context.Context, l *layout, stream int64, ids []string, row func(id []byte, values []lienthong.Value) error) error {
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	list := []byte{0, 0, 0, 1, 0, 0, 0, 0} // one dimension, no nulls
	list = binary.BigEndian.AppendUint32(list, oidText)
	list = binary.BigEndian.AppendUint32(list, uint32(len(ids)))
	list = append(list, 0, 0, 0, 1)
	for _, id := range ids {
		list = appendBytes(list, []byte(id))
	}
	query := "SELECT _id, " + strings.Join(l.columns, ", ") + " FROM " + l.table + " WHERE _id = ANY($1::text[]) AND _stream = $2::integer"
	result := conn.Conn().PgConn().ExecParams(ctx, query, [][]byte{list, appendInt32(nil, int32(stream))[4:]}, nil, []int16{1}, []int16{1})
	values := make([]lienthong.Value, len(l.columns))
	var scratch []byte
	var failed error
	for failed == nil && result.NextRow() {
		cells := result.Values()
		if len(cells) != 1+len(values) || cells[0] == nil {
			failed = errBinary
			break
		}
		scratch = scratch[:0]
		for i := range values {
			if cells[1+i] == nil {
				values[i] = lienthong.Value{}
				continue
			}
			if values[i], scratch, err = readValue(l.shape.Fields[i].Kind, cells[1+i], scratch); err != nil {
				failed = err
			}
		}
		if failed == nil {
			failed = row(cells[0], values)
		}
	}
	_, err = result.Close()
	return errors.Join(failed, err)
}

func (e *sqliteEngine) pick(ctx context.Context, l *layout, stream int64, ids []string, row func(id []byte, values []lienthong.Value) error) error {
	conn, err := e.reading.Conn(ctx)
	if err != nil {
		return err
	}
	list, err := json.Marshal(ids)
	if err == nil {
		query := "SELECT r._id, " + prefixed(l.columns) + " FROM json_each(?) k CROSS JOIN " + l.table + " r WHERE r._id = k.value AND r._stream = ?"
		err = scanRaw(ctx, conn, query, []driver.Value{string(list), stream}, liteRows(l, row))
	}
	return errors.Join(err, conn.Close())
}

func prefixed(columns []string) string { return "r." + strings.Join(columns, ", r.") }

func liteRows(l *layout, row func(id []byte, values []lienthong.Value) error) func(cells []driver.Value) error {
	values := make([]lienthong.Value, len(l.columns))
	var id, scratch []byte
	return func(cells []driver.Value) error {
		text, ok := cells[0].(string)
		if !ok {
			return errCell
		}
		id, scratch = append(id[:0], text...), scratch[:0]
		for i := range values {
			var err error
			values[i], scratch, err = fromLite(l.shape.Fields[i].Kind, cells[i+1], scratch)
			if err != nil {
				return err
			}
		}
		return row(id, values)
	}
}

func (f *pgFrozen) present(ctx context.Context, l *layout, stream int64, row func(id []byte, values []lienthong.Value) error) error {
	query := fmt.Sprintf("COPY (SELECT _id, %s FROM %s WHERE _stream = %d AND NOT _deleted) TO STDOUT (FORMAT binary)",
		strings.Join(l.columns, ", "), l.table, stream)
	reader := &copyParser{shape: l.shape, values: make([]lienthong.Value, len(l.columns)), row: row}
	if _, err := f.conn.Conn().PgConn().CopyTo(ctx, reader, query); err != nil {
		return errors.Join(reader.err, err)
	}
	if !reader.ended {
		return errBinary
	}
	return nil
}

func (f *liteFrozen) present(ctx context.Context, l *layout, stream int64, row func(id []byte, values []lienthong.Value) error) error {
	query := "SELECT r._id, " + prefixed(l.columns) + " FROM " + l.table + " r WHERE r._stream = ? AND NOT r._deleted"
	return scanRaw(ctx, f.conn, query, []driver.Value{stream}, liteRows(l, row))
}

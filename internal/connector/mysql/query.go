package mysql

import (
	"log/slog"
	"strings"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/lienthong/lienthong"
)

// query takes a statement of the log.
func (r *reader) query(ev *logEvent) error {
	inflate := gomysql.DecompressMariadbData
	if ev.kind == eventQuery {
		inflate = nil
	}
	q, ok := parseQuery(ev.body, inflate)
	if !ok {
		return damaged(r.file)
	}
	st := recognise(q.text, q.modes)
	tx := &r.open
	switch st.verb {
	case verbBegin:
		tx.inside = true
		return nil
	case verbCommit:
		return r.end()
	case verbRollback:
		return r.discard()
	case verbSavepoint:
		tx.marks = append(tx.marks, mark{name: st.id, held: len(tx.held), passed: tx.passed})
		return nil
	case verbRollbackTo:
		return r.rollbackTo(st.id)
	case verbXAStart:
		tx.xa, tx.inside = true, true
		return nil
	case verbXAEnd:
		tx.xa, tx.id = true, st.id
		return nil
	case verbXACommit:
		return r.xaCommit(st.id)
	case verbXARollback:
		return r.xaRollback(st.id)
	case verbWrite:
		if err := r.written(st.word, q.text, q.schema, q.modes); err != nil {
			return err
		}
	case verbCreate, verbAlter, verbDrop, verbTruncate, verbRename, verbDropDatabase:
		if err := r.altered(ev, &st, q.schema); err != nil {
			return err
		}
	case verbOther:
	}
	alone := tx.alone
	if !r.srv.maria {
		alone = !tx.inside && !st.opens
	}
	if alone {
		return r.end()
	}
	return nil
}

// rollbackTo drops what came after a savepoint.
func (r *reader) rollbackTo(name string) error {
	tx := &r.open
	for i := len(tx.marks) - 1; i >= 0; i-- {
		m := tx.marks[i]
		if m.name != name {
			continue
		}
		if tx.passed {
			// Some of it went to the sink already, perhaps from after the savepoint.
			return r.rolledBack()
		}
		clear(tx.held[m.held:])
		tx.held, tx.marks = tx.held[:m.held], tx.marks[:i+1]
		return nil
	}
	return nil
}

// written refuses a statement that changed rows of ours without the log having them.
func (r *reader) written(word string, text []byte, schema string, modes uint64) error {
	if r.open.seen {
		return nil
	}
	ours := ""
	if text == nil {
		ours = r.source.cfg.Name // LOAD DATA by statement: its text is in pieces
	}
	if text != nil {
		mentions(text, modes, func(name tableName) bool {
			if i := r.lookup(name, schema); i >= 0 {
				ours = r.known[i].spelled()
			}
			return ours != ""
		})
	}
	if ours == "" {
		r.source.cfg.Log.WarnContext(r.ctx, "mysql: a statement is in the log instead of its rows; it does not name a table that is read, but triggers of it may",
			slog.String("source", r.source.cfg.Name), slog.String("statement", word), slog.String("database", schema))
		return nil
	}
	return &lienthong.Error{
		Code: "mysql.statement", Where: ours,
		Vi:   "nhật ký ghi câu lệnh " + word + " thay vì các dòng đã đổi: một phiên đã đặt binlog_format khác ROW",
		En:   "the log has the statement " + word + " instead of the rows that it changed: a session has set binlog_format to other than ROW",
		Hint: "bỏ lệnh SET binlog_format ở ứng dụng; giải phóng và khởi động lại nguồn, rồi đối soát bảng này / take SET binlog_format out of the application; release and start the source again, and compare this table",
	}
}

// altered takes a change of tables.
func (r *reader) altered(ev *logEvent, st *statement, schema string) error {
	var emptied, changed []int
	switch st.verb {
	case verbDropDatabase:
		for i, d := range r.known {
			if strings.EqualFold(d.Schema, st.tables[0].schema) && (r.caseless() || d.Schema == st.tables[0].schema) {
				emptied = append(emptied, i)
			}
		}
	case verbRename:
		for n, from := range st.tables {
			if i := r.lookup(from, schema); i >= 0 {
				r.moved(i, "đã được đổi tên", "was renamed")
			}
			if i := r.lookup(st.to[n], schema); i >= 0 {
				r.moved(i, "đã được thay bằng bảng khác", "was replaced by another table")
				changed = append(changed, i)
			}
		}
	default:
		for _, name := range st.tables {
			i := r.lookup(name, schema)
			if i < 0 {
				continue
			}
			switch {
			case st.verb == verbTruncate, st.verb == verbDrop, st.verb == verbCreate && st.replace:
				emptied = append(emptied, i)
			case st.verb == verbAlter && st.silent:
				r.moved(i, "đã đổi cấu trúc theo cách có thể đổi dữ liệu mà nhật ký không ghi", "was altered in a way that can change rows without logging them")
			}
			if st.verb == verbCreate || st.verb == verbAlter {
				changed = append(changed, i)
			}
		}
	}
	for _, i := range changed {
		if err := r.relearn(i); err != nil {
			return err
		}
	}
	for _, i := range emptied {
		if r.open.seen {
			continue
		}
		if err := r.start(ev.at); err != nil {
			return err
		}
		r.version = max(r.version, versionAt(r.place(ev.start)))
		if err := r.sink.Truncate(i, r.version, int64(ev.at)*1_000_000); err != nil {
			return err
		}
		r.version++
	}
	return nil
}

// moved remembers that the rows of a table may be others than the log told.
func (r *reader) moved(table int, vi, en string) {
	if r.open.seen {
		return
	}
	name := r.known[table].spelled()
	r.source.cfg.Log.WarnContext(r.ctx, "mysql: a table has changed in a way that the log does not tell; compare it",
		slog.String("source", r.source.cfg.Name), slog.String("table", name), slog.String("what", en))
	r.source.mu.Lock()
	defer r.source.mu.Unlock()
	r.source.replaced[table] = name + " " + vi + "\x00" + name + " " + en
}

// relearn reads what information_schema says of a table after a change of it. The answer
// is of this moment, which may be later than the place of the log: where the log does not
// name its columns, another change in between makes it a guess.
func (r *reader) relearn(table int) error {
	s, was := r.source, r.known[table]
	clear(r.maps)
	found, err := describe(r.ctx, s.db, was.Schema, was.Name)
	if err != nil {
		return s.explain(r.ctx, err)
	}
	if len(found) == 0 {
		return nil // dropped meanwhile
	}
	r.known[table], r.guess[table] = found[0], false
	if !strings.EqualFold(r.srv.settings["binlog_row_metadata"], "FULL") {
		again, err := r.alteredAgain(table)
		if err != nil {
			return err
		}
		r.guess[table] = again
		if again {
			return nil
		}
	}
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	if !s.history.add(found[0].spelled(), stretchOf{From: r.place(r.next), Is: found[0]}) {
		return nil
	}
	return s.saveHistory()
}

// alteredAgain looks ahead in the log for another change of the table.
func (r *reader) alteredAgain(table int) (bool, error) {
	s := r.source
	end, _, err := r.srv.logEnd(r.ctx, s.db)
	if err != nil {
		return false, s.explain(r.ctx, err)
	}
	again := false
	from := token{file: r.file, pos: r.next}
	err = s.scan(r.ctx, r.srv, from, end.file, end.pos, func(_ *walker, ev *logEvent) error {
		if ev.kind != eventQuery && ev.kind != eventQueryCompressed {
			return nil
		}
		inflate := gomysql.DecompressMariadbData
		if ev.kind == eventQuery {
			inflate = nil
		}
		q, ok := parseQuery(ev.body, inflate)
		if !ok {
			return damaged(r.file)
		}
		switch st := recognise(q.text, q.modes); st.verb {
		case verbCreate, verbAlter, verbRename, verbDrop:
			for _, name := range append(st.tables, st.to...) {
				if r.lookup(name, q.schema) == table {
					again = true
					return errEnough
				}
			}
		}
		return nil
	})
	return again, err
}

// payload opens a compressed transaction (MySQL's binlog_transaction_compression) and
// takes the events in it.
func (r *reader) payload(ev *logEvent) error {
	parser, err := r.library()
	if err != nil {
		return err
	}
	e, err := parser.Parse(ev.raw)
	if err != nil {
		return damaged(r.file)
	}
	payload, ok := e.Event.(*replication.TransactionPayloadEvent)
	if !ok {
		return damaged(r.file)
	}
	for _, inner := range payload.Events {
		if len(inner.RawData) < eventHeaderSize {
			return damaged(r.file)
		}
		part := *ev
		part.kind, part.raw = byte(inner.Header.EventType), inner.RawData
		part.at, part.server, part.flags = inner.Header.Timestamp, inner.Header.ServerID, inner.Header.Flags
		part.body = inner.RawData[eventHeaderSize:]
		if err := r.take(&part); err != nil {
			return err
		}
	}
	return nil
}

// library is the library's own parser, for the few things that it alone can read.
func (r *reader) library() (*replication.BinlogParser, error) {
	if r.parser == nil {
		r.parser = replication.NewBinlogParser()
		r.parser.SetFlavor(r.srv.flavor())
		r.parser.SetRenderJSONAsMySQLText(true)
		r.parser.SetRawMode(false)
	}
	// Cheap, and it makes no difference which file's it was.
	if _, err := r.parser.Parse(r.format); err != nil {
		return nil, damaged(r.file)
	}
	return r.parser, nil
}

// jsonTexts are the texts of MySQL's binary JSON values in the images of an event.
type jsonTexts struct{ images [][]any }

// jsonOf has the library decode an event for the sake of its JSON columns.
func (r *reader) jsonOf(h *heldRows) (*jsonTexts, error) {
	parser, err := r.library()
	if err != nil {
		return nil, err
	}
	if _, err := parser.Parse(h.table.event); err != nil {
		return nil, damaged(r.file)
	}
	e, err := parser.Parse(h.raw)
	if err != nil {
		return nil, damaged(r.file)
	}
	rows, ok := e.Event.(*replication.RowsEvent)
	if !ok {
		return nil, damaged(r.file)
	}
	return &jsonTexts{images: rows.Rows}, nil
}

// fill puts the JSON texts of one image in place. It does nothing for tables without.
func (t *jsonTexts) fill(image int, l *layout, values []lienthong.Value, a *arena) {
	if t == nil || image >= len(t.images) {
		return
	}
	for i := range l.columns {
		c := &l.columns[i]
		if c.codec != codecJSON || c.slot < 0 || values[c.slot].State != lienthong.Present || i >= len(t.images[image]) {
			continue
		}
		switch text := t.images[image][i].(type) {
		case []byte:
			values[c.slot] = compactJSON(text, a)
		case string:
			values[c.slot] = compactJSON([]byte(text), a)
		default:
			values[c.slot] = malformed(values[c.slot].Bytes)
		}
	}
}

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// rowsPerInsert is how many rows one INSERT carries.
const rowsPerInsert = 32

// liteWriter is SQLite's one writing connection.
type liteWriter struct {
	liteSession
	conn       *sql.Conn
	statements map[string]driver.Stmt // prepared, by their text
	args       []driver.NamedValue
	json       []byte
}

func (w *liteWriter) close() error {
	var failed error
	for _, statement := range w.statements {
		failed = errors.Join(failed, statement.Close())
	}
	return errors.Join(failed, w.conn.Close())
}

func (w *liteWriter) script(ctx context.Context, statements string) error {
	if statements == "" {
		return nil
	}
	_, err := w.conn.ExecContext(ctx, statements)
	return err
}

func (w *liteWriter) begin(ctx context.Context) error { return w.run(ctx, "BEGIN IMMEDIATE", nil) }

// commit does not stop when the caller does: its result would be unknown.
func (w *liteWriter) commit(ctx context.Context) error {
	err := w.run(context.WithoutCancel(ctx), "COMMIT", nil)
	if err != nil {
		return errors.Join(err, w.rollback(context.WithoutCancel(ctx)))
	}
	return nil
}

func (w *liteWriter) rollback(ctx context.Context) error {
	err := w.script(ctx, "ROLLBACK")
	if err != nil && strings.Contains(err.Error(), "no transaction is active") {
		return nil // a full disk or an interrupt has undone it already
	}
	return err
}

func (w *liteWriter) savepoint(ctx context.Context) error { return w.run(ctx, "SAVEPOINT s", nil) }

func (w *liteWriter) releaseSavepoint(ctx context.Context) error { return w.run(ctx, "RELEASE s", nil) }

func (w *liteWriter) rollbackToSavepoint(ctx context.Context) error {
	return w.script(ctx, "ROLLBACK TO s; RELEASE s")
}

func (w *liteWriter) many(ctx context.Context, query string, args [][]any) error {
	for _, a := range args {
		w.args = w.args[:0]
		for i, v := range a {
			w.args = append(w.args, driver.NamedValue{Ordinal: i + 1, Value: v})
		}
		if err := w.run(ctx, query, w.args); err != nil {
			return err
		}
	}
	return nil
}

func (w *liteWriter) rowFault(err error) (string, bool) {
	switch code := liteCode(err); code & 0xff {
	case 18, 19, 20, 25: // too big, constraint, mismatch, range
		return "engine.sqlite_" + strconv.Itoa(code), true
	}
	return "", false
}

// statement prepares a text once for the life of the connection.
func (w *liteWriter) statement(raw any, query string) (driver.Stmt, error) {
	if statement := w.statements[query]; statement != nil {
		return statement, nil
	}
	conn, ok := raw.(driver.Conn)
	if !ok {
		return nil, errors.New("the SQLite driver cannot prepare")
	}
	statement, err := conn.Prepare(query)
	if err == nil {
		w.statements[query] = statement
	}
	return statement, err
}

func (w *liteWriter) run(ctx context.Context, query string, args []driver.NamedValue) error {
	return w.conn.Raw(func(raw any) error {
		statement, err := w.statement(raw, query)
		if err != nil {
			return err
		}
		return runStatement(ctx, statement, args)
	})
}

func runStatement(ctx context.Context, statement driver.Stmt, args []driver.NamedValue) error {
	execer, ok := statement.(driver.StmtExecContext)
	if !ok {
		return errors.New("the SQLite driver cannot execute")
	}
	_, err := execer.ExecContext(ctx, args)
	return err
}

// existing looks all records up in one statement, their ids in one JSON array.
func (w *liteWriter) existing(ctx context.Context, l *layout, stream int64, records []*record) error {
	w.json = append(w.json[:0], '[')
	for i, r := range records {
		if i > 0 {
			w.json = append(w.json, ',')
		}
		w.json = appendJSONText(w.json, r.id)
	}
	w.json = append(w.json, ']')
	query := "SELECT k.key, r._version, r._deleted, r._held FROM json_each(?) k CROSS JOIN " + l.table + " r ON r._id = k.value AND r._stream = ?"
	return w.conn.Raw(func(raw any) error {
		statement, err := w.statement(raw, query)
		if err != nil {
			return err
		}
		queryer, ok := statement.(driver.StmtQueryContext)
		if !ok {
			return errors.New("the SQLite driver cannot query")
		}
		rows, err := queryer.QueryContext(ctx, named(w.args[:0], []driver.Value{string(w.json), stream}))
		if err != nil {
			return err
		}
		return drain(rows, func(cells []driver.Value) error {
			n, ok1 := cells[0].(int64)
			version, ok2 := cells[1].(int64)
			if !ok1 || !ok2 || n < 0 || n >= int64(len(records)) {
				return errCell
			}
			records[n].hadVersion, records[n].had = version, presenceOf(isSet(cells[2]), isSet(cells[3]))
			return nil
		})
	})
}

func isSet(cell driver.Value) bool {
	n, ok := cell.(int64)
	return ok && n != 0
}

// appendJSONText appends text that has been checked to be UTF-8.
func appendJSONText(b, text []byte) []byte {
	b = append(b, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func (w *liteWriter) arg(v driver.Value) {
	w.args = append(w.args, driver.NamedValue{Ordinal: len(w.args) + 1, Value: v})
}

func (w *liteWriter) insert(ctx context.Context, l *layout, in rowContext, records []*record) error {
	width := 8 + len(l.columns)
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", width), ",") + ")"
	into := "INSERT INTO " + l.table + " (_id, _stream, _version, _deleted, _held, _source_at, _received_at, _batch, " +
		strings.Join(l.columns, ", ") + ") VALUES "
	many := max(1, min(rowsPerInsert, 30_000/width))
	manyRows := into + strings.TrimSuffix(strings.Repeat(row+",", many), ",")
	return w.conn.Raw(func(raw any) error {
		for len(records) > 0 {
			n, query := many, manyRows
			if len(records) < many {
				n, query = 1, into+row
			}
			statement, err := w.statement(raw, query)
			if err != nil {
				return err
			}
			w.args = w.args[:0]
			for _, r := range records[:n] {
				w.bookkeeping(in, r)
				for i := range l.columns {
					v := r.value(i)
					w.arg(toLite(l.shape.Fields[i].Kind, &v))
				}
			}
			if err := runStatement(ctx, statement, w.args); err != nil {
				return err
			}
			records = records[n:]
		}
		return nil
	})
}

func (w *liteWriter) bookkeeping(in rowContext, r *record) {
	w.arg(string(r.id))
	w.arg(in.stream)
	w.arg(r.version)
	w.arg(flag(r.is == deleted))
	w.arg(flag(r.is == held))
	w.arg(r.at)
	w.arg(in.received)
	w.arg(int64(r.sequence))
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (w *liteWriter) update(ctx context.Context, l *layout, in rowContext, records []*record) error {
	var texts []string // by group
	return w.conn.Raw(func(raw any) error {
		for _, r := range records {
			for int(r.group) >= len(texts) {
				texts = append(texts, "")
			}
			if texts[r.group] == "" {
				texts[r.group] = updateText(l, r)
			}
			statement, err := w.statement(raw, texts[r.group])
			if err != nil {
				return err
			}
			w.args = w.args[:0]
			w.bookkeeping(in, r)
			for i := range l.columns {
				if !r.unchanged(i) {
					v := r.value(i)
					w.arg(toLite(l.shape.Fields[i].Kind, &v))
				}
			}
			if err := runStatement(ctx, statement, w.args); err != nil {
				return err
			}
		}
		return nil
	})
}

func updateText(l *layout, like *record) string {
	var b strings.Builder
	b.WriteString("UPDATE " + l.table + " SET _version = ?3, _deleted = ?4, _held = ?5, _source_at = ?6, _received_at = ?7, _batch = ?8")
	n := 8
	for i := range l.columns {
		if !like.unchanged(i) {
			n++
			b.WriteString(", " + l.columns[i] + " = ?" + strconv.Itoa(n))
		}
	}
	b.WriteString(" WHERE _id = ?1 AND _stream = ?2")
	return b.String()
}

func (w *liteWriter) keys(ctx context.Context, l *layout, stream int64, row func(id []byte, version int64, is presence) error) error {
	var id []byte
	return scanRaw(ctx, w.conn, "SELECT _id, _version, _deleted, _held FROM "+l.table+" WHERE _stream = ?", []driver.Value{stream},
		func(cells []driver.Value) error {
			text, ok1 := cells[0].(string)
			version, ok2 := cells[1].(int64)
			if !ok1 || !ok2 {
				return errCell
			}
			id = append(id[:0], text...)
			return row(id, version, presenceOf(isSet(cells[2]), isSet(cells[3])))
		})
}

package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"

	"github.com/lienthong/lienthong"
)

// delivering remembers of which layout the row is that the sink is looking at. Stream alone
// calls it, and Complete only from within that call.
func (s *Source) delivering(l *layout) { s.current = l }

// Complete implements connector.Completer. It may be called only by the sink, during Change.
func (s *Source) Complete(ctx context.Context, _ int, values []lienthong.Value) error {
	if s.current == nil || len(s.current.Columns) != len(values) {
		return nil
	}
	return s.complete(ctx, s.current, values, &arena{})
}

// complete fills what a partial row image leaves out, by reading the row as it is now. It
// can be a later state: then the change that made it so follows in the stream. A row that is
// gone has its delete following, and gets nulls meanwhile.
func (s *Source) complete(ctx context.Context, l *layout, values []lienthong.Value, a *arena) error {
	var wanted []int
	var columns, where []string
	for i := range values {
		if values[i].State == lienthong.Unchanged {
			wanted = append(wanted, i)
			columns = append(columns, l.visible(i).expression())
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	for _, i := range l.Key {
		where = append(where, quote(l.Columns[i].Name)+" = "+keyLiteral(l.visible(i), &values[i]))
	}
	for _, i := range wanted {
		values[i] = lienthong.Value{}
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + l.quoted + " WHERE " + strings.Join(where, " AND ")
	err = rawRows(ctx, conn, query, func(found []driver.Value) error {
		for n, i := range wanted {
			v := l.visible(i).fromQuery(found[n], a)
			if v.Bytes != nil {
				v.Bytes = a.keep(v.Bytes) // the driver's buffer ends with the query
			}
			values[i] = v
		}
		return nil
	})
	if number, _ := serverError(err); number == 1054 || number == 1146 {
		return nil // altered since: the stream has that still to come
	}
	return s.explain(ctx, err)
}

// keyLiteral writes a key's value for a statement.
func keyLiteral(c *column, v *lienthong.Value) string {
	text := string(v.Bytes)
	if v.State == lienthong.Present && !c.Kind.InBytes() {
		text = string(v.AppendText(nil, c.Kind))
		if c.Kind == lienthong.Timestamp {
			text = strings.TrimSuffix(strings.Replace(text, "T", " ", 1), "Z")
		}
		if c.Kind == lienthong.Boolean {
			return map[string]string{"true": "1", "false": "0"}[text]
		}
	}
	return boundLiteral(c, text)
}

// rawRows runs a query below database/sql, whose conversions would cost more than the
// reading itself. The slice and what it points to are reused.
func rawRows(ctx context.Context, conn *sql.Conn, query string, deliver func([]driver.Value) error) error {
	return conn.Raw(func(raw any) error {
		queryer, ok := raw.(driver.QueryerContext)
		if !ok {
			return errors.New("the driver cannot query")
		}
		rows, err := queryer.QueryContext(ctx, query, nil)
		if err != nil {
			return err
		}
		dest := make([]driver.Value, len(rows.Columns()))
		for {
			err := rows.Next(dest)
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = deliver(dest)
			}
			if err != nil {
				return errors.Join(err, rows.Close())
			}
		}
		return rows.Close()
	})
}

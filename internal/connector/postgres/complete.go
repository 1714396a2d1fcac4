package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// complete fills what a change of key left out, large values that stayed as they
// were, by reading the row under its new key. It can be a later state of the row:
// then the change that made it so follows in the stream with a higher version. A
// row that is gone by now has its delete following, and gets nulls meanwhile.
func (r *reader) complete(ctx context.Context, t *table) error {
	return r.source.complete(ctx, moment{t, positionOf(r.commit), r.xid}, r.fresh)
}

var _ connector.Completer = (*Source)(nil)

// Complete implements connector.Completer. It may be called only by the sink,
// during Change.
func (s *Source) Complete(ctx context.Context, _ int, values []lienthong.Value) error {
	if s.delivering.table == nil || len(s.delivering.table.columns) != len(values) {
		return nil
	}
	return s.complete(ctx, s.delivering, values)
}

// moment is where a change stands.
type moment struct {
	table *table
	at    lienthong.Position // where its transaction commits
	xid   uint32
}

// complete reads inside an open view that shows the change, so that whoever
// compares with that view finds no state from after it.
func (s *Source) complete(ctx context.Context, m moment, values []lienthong.Value) error {
	s.viewing.Lock()
	defer s.viewing.Unlock()
	t, snapshot := m.table, ""
	if v := s.shown; v != nil && !v.position.Before(m.at) {
		snapshot = v.snapshot
	}
	var columns, where []string
	var formats []int16
	var wanted []int
	for i := range values {
		if values[i].State == lienthong.Unchanged {
			wanted = append(wanted, i)
			columns = append(columns, t.expression(i))
			formats = append(formats, pgx.BinaryFormatCode)
			values[i] = lienthong.Value{}
		}
	}
	key := make([][]byte, len(t.Key))
	for n, i := range t.Key {
		where = append(where, pgx.Identifier{t.Columns[i].Name}.Sanitize()+" = $"+strconv.Itoa(n+1))
		if kind := t.Columns[i].Kind; kind == lienthong.Binary {
			key[n] = hex.AppendEncode([]byte(`\x`), values[i].Bytes)
		} else {
			key[n] = slices.Clip(values[i].AppendText(nil, kind))
		}
	}
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + t.Name + " WHERE " + strings.Join(where, " AND ")
	return s.with(ctx, func(conn *pgx.Conn) error {
		if snapshot != "" {
			// A view that has broken cannot be compared with either: then the row as it is serves.
			_ = importSnapshot(ctx, conn.PgConn(), snapshot)
		}
		if conn.PgConn().TxStatus() == 'E' {
			if err := conn.PgConn().Exec(ctx, "ROLLBACK").Close(); err != nil {
				return err
			}
		}
		if conn.PgConn().TxStatus() == 'I' {
			if err := awaitVisible(ctx, conn, m.xid); err != nil {
				return err
			}
		}
		result := conn.PgConn().ExecParams(ctx, query, key, nil, nil, formats).Read()
		if conn.PgConn().TxStatus() != 'I' && !conn.IsClosed() {
			if err := conn.PgConn().Exec(ctx, "ROLLBACK").Close(); err != nil {
				return err
			}
		}
		if vanished(result.Err) {
			return nil
		}
		if result.Err != nil || len(result.Rows) == 0 {
			return result.Err
		}
		for n, i := range wanted {
			value := result.Rows[0][n]
			if value == nil {
				continue
			}
			// Rows are seldom completed, so each value may have memory of its own.
			if _, ok := decodeBinary(t.columns[i].codec, value, &values[i], nil); !ok {
				return damaged(t.Name)
			}
		}
		return nil
	})
}

// awaitVisible waits until new queries see what the transaction did. The server
// streams a transaction once its commit is in the log, which is a moment before
// others see it; with synchronous replication, a long one.
func awaitVisible(ctx context.Context, conn *pgx.Conn, xid uint32) error {
	for {
		result := conn.PgConn().ExecParams(ctx, "SELECT pg_current_snapshot()::text", nil, nil, nil, nil).Read()
		if result.Err != nil {
			return result.Err
		}
		seen, err := sees(string(result.Rows[0][0]), xid)
		if seen || err != nil {
			return err
		}
		select {
		case <-time.After(time.Millisecond): //nolint:forbidigo // in a select with ctx
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sees reports whether a snapshot, "xmin:xmax:xid,xid", shows a transaction that
// has ended. Its numbers have 64 bits, and that of the transaction the lower 32 of them.
func sees(snapshot string, xid uint32) (bool, error) {
	parts := strings.SplitN(snapshot, ":", 3)
	if len(parts) != 3 {
		return false, damaged("pg_current_snapshot")
	}
	next, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return false, damaged("pg_current_snapshot")
	}
	if int32(xid-uint32(next)) >= 0 {
		return false, nil
	}
	for text := range strings.SplitSeq(parts[2], ",") {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil && uint32(n) == xid {
			return false, nil
		}
	}
	return true, nil
}

// vanished reports whether a column or the table is no longer there. The stream
// has that change still to come; to wait for it here would be for ever.
func vanished(err error) bool {
	var told *pgconn.PgError
	return errors.As(err, &told) && (told.Code == "42703" || told.Code == "42P01")
}

package postgres

import (
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong"
)

// complete fills what a change of key left out, large values that stayed as they
// were, by reading the row under its new key. It can be a later state of the row:
// then the change that made it so follows in the stream with a higher version. A
// row that is gone by now has its delete following, and gets nulls meanwhile.
func (r *reader) complete(ctx context.Context, t *table) error {
	var columns, where []string
	var formats []int16
	var wanted []int
	for i := range r.fresh {
		if r.fresh[i].State == lienthong.Unchanged {
			wanted = append(wanted, i)
			columns = append(columns, t.expression(i))
			formats = append(formats, pgx.BinaryFormatCode)
			r.fresh[i] = lienthong.Value{}
		}
	}
	key := make([][]byte, len(t.Key))
	for n, i := range t.Key {
		where = append(where, pgx.Identifier{t.Columns[i].Name}.Sanitize()+" = $"+strconv.Itoa(n+1))
		if kind := t.Columns[i].Kind; kind == lienthong.Binary {
			key[n] = hex.AppendEncode([]byte(`\x`), r.fresh[i].Bytes)
		} else {
			key[n] = slices.Clip(r.fresh[i].AppendText(nil, kind))
		}
	}
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + t.Name + " WHERE " + strings.Join(where, " AND ")
	return r.source.with(ctx, func(conn *pgx.Conn) error {
		result := conn.PgConn().ExecParams(ctx, query, key, nil, nil, formats).Read()
		if result.Err != nil || len(result.Rows) == 0 {
			return result.Err
		}
		for n, i := range wanted {
			value := result.Rows[0][n]
			if value == nil {
				continue
			}
			var ok bool
			if r.arena, ok = decodeBinary(t.columns[i].codec, value, &r.fresh[i], r.arena); !ok {
				return damaged(t.Name)
			}
		}
		return nil
	})
}

package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lienthong/lienthong"
)

const (
	// stageFrom is the number of updates from which a staging table costs less than
	// array parameters.
	stageFrom = 1000
	// copyFrom is the number of inserts from which COPY costs less than array parameters.
	copyFrom = 32
	// copyPiece is how much of a COPY is encoded at a time.
	copyPiece = 1 << 16
)

// pgWriter is one writing connection with the statements and staging tables that it has made.
type pgWriter struct {
	pgSession
	config *pgx.ConnConfig
	conn   *pgx.Conn
	plans  map[*layout]*pgPlan
	named  int

	cells  []byte   // scratch: one column of array parameters
	params [][]byte // scratch
	piece  []byte   // scratch: rows of a COPY
}

// pgPlan is how a layout is written on one connection.
type pgPlan struct {
	existing   string // prepared statements by name
	insert     string
	updates    map[string]string // by the columns that it sets
	copyInto   string
	stage      string // table
	copyStage  string
	stageMade  bool
	stageDirty bool
}

func (w *pgWriter) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := pgx.ConnectConfig(ctx, w.config.Copy())
	if err != nil {
		return err
	}
	// This connection finds rows by key and does nothing else. Without statistics, as in a
	// table that is being filled, the planner would choose to read all of it.
	_, err = conn.Exec(ctx, "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; SET client_min_messages = error")
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	w.conn, w.pgSession, w.plans = conn, pgSession{conn}, make(map[*layout]*pgPlan)
	return nil
}

func (w *pgWriter) drop() {
	if w.conn != nil {
		_ = w.conn.Close(context.Background()) //nolint:forbidigo // it is in doubt, or no longer needed
		w.conn, w.plans = nil, nil
	}
}

func (w *pgWriter) script(ctx context.Context, statements string) error {
	_, err := w.conn.PgConn().Exec(ctx, statements).ReadAll()
	return err
}

func (w *pgWriter) begin(ctx context.Context) error {
	for _, p := range w.plans {
		p.stageDirty = false
	}
	err := w.script(ctx, "BEGIN")
	if err == nil || !w.conn.IsClosed() || ctx.Err() != nil {
		return err
	}
	// The server went away since the last transaction. Nothing has begun, so a new
	// connection can take over.
	w.drop()
	if err := w.connect(ctx); err != nil {
		return err
	}
	return w.script(ctx, "BEGIN")
}

// commit does not stop when the caller does: its result would be unknown.
func (w *pgWriter) commit(ctx context.Context) error {
	return w.script(context.WithoutCancel(ctx), "COMMIT")
}

func (w *pgWriter) rollback(ctx context.Context) error {
	w.forgetStages()
	if w.conn.IsClosed() {
		return nil
	}
	return w.script(ctx, "ROLLBACK")
}

func (w *pgWriter) savepoint(ctx context.Context) error { return w.script(ctx, "SAVEPOINT s") }

func (w *pgWriter) releaseSavepoint(ctx context.Context) error {
	return w.script(ctx, "RELEASE SAVEPOINT s")
}

func (w *pgWriter) rollbackToSavepoint(ctx context.Context) error {
	w.forgetStages()
	return w.script(ctx, "ROLLBACK TO SAVEPOINT s; RELEASE SAVEPOINT s")
}

// forgetStages makes sure of staging tables again: an undone transaction may
// have taken them with it.
func (w *pgWriter) forgetStages() {
	for _, p := range w.plans {
		p.stageMade = false
	}
}

func (w *pgWriter) many(ctx context.Context, query string, args [][]any) error {
	switch len(args) {
	case 0:
		return nil
	case 1:
		_, err := w.exec(ctx, query, args[0]...)
		return err
	}
	b := new(pgx.Batch)
	query = rebind(query)
	for _, a := range args {
		b.Queue(query, a...)
	}
	return w.conn.SendBatch(ctx, b).Close()
}

func (w *pgWriter) rowFault(err error) (string, bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return "", false
	}
	switch pg.Code[:2] {
	case "22", "23", "54": // data, constraint, limit
		return "engine." + pg.Code, true
	}
	return "", false
}

func (w *pgWriter) plan(l *layout) *pgPlan {
	p := w.plans[l]
	if p == nil {
		columns := strings.Join(l.columns, ", ")
		stage := quote("stage_" + l.shape.Dataset.String() + "_" + strconv.Itoa(l.shape.Version))
		if len(stage) > maxColumnName {
			stage = quote("stage_" + strconv.Itoa(len(w.plans)))
		}
		p = &pgPlan{
			updates: make(map[string]string),
			copyInto: "COPY " + l.table + " (_id, _stream, _version, _deleted, _held, _source_at, _received_at, _batch, " +
				columns + ") FROM STDIN (FORMAT binary)",
			stage: "pg_temp." + stage,
			copyStage: "COPY pg_temp." + stage + " (_id, _group, _version, _deleted, _held, _source_at, _batch, " +
				columns + ") FROM STDIN (FORMAT binary)",
		}
		w.plans[l] = p
	}
	return p
}

func (w *pgWriter) prepare(ctx context.Context, query string) (string, error) {
	w.named++
	name := "lienthong_" + strconv.Itoa(w.named)
	_, err := w.conn.PgConn().Prepare(ctx, name, query, nil)
	return name, err
}

func (w *pgWriter) existing(ctx context.Context, l *layout, stream int64, records []*record) error {
	p := w.plan(l)
	if p.existing == "" {
		name, err := w.prepare(ctx, `SELECT k.n, r._version, CASE WHEN r._deleted THEN 3 WHEN r._held THEN 2 ELSE 1 END
			FROM unnest($1::text[]) WITH ORDINALITY k(id, n) JOIN `+l.table+` r ON r._id = k.id AND r._stream = $2`)
		if err != nil {
			return err
		}
		p.existing = name
	}
	w.beginParams()
	w.arrayParam(oidText, len(records), func(b []byte, i int) []byte { return appendBytes(b, records[i].id) })
	w.param(appendInt32(nil, int32(stream))[4:])
	result := w.conn.PgConn().ExecPrepared(ctx, p.existing, w.params, []int16{1}, []int16{1})
	for result.NextRow() {
		cells := result.Values()
		if len(cells) != 3 || len(cells[0]) != 8 || len(cells[1]) != 8 || len(cells[2]) != 4 {
			_, err := result.Close()
			return errors.Join(errBinary, err)
		}
		n := int64(binary.BigEndian.Uint64(cells[0]))
		if n < 1 || n > int64(len(records)) {
			_, err := result.Close()
			return errors.Join(errBinary, err)
		}
		r := records[n-1]
		r.hadVersion = int64(binary.BigEndian.Uint64(cells[1]))
		r.had = presence(cells[2][3])
	}
	_, err := result.Close()
	return err
}

func (w *pgWriter) insert(ctx context.Context, l *layout, in rowContext, records []*record) error {
	p := w.plan(l)
	fields := l.shape.Fields
	if len(records) >= copyFrom {
		return w.copy(ctx, p.copyInto, len(records), func(b []byte, i int) []byte {
			r := records[i]
			b = binary.BigEndian.AppendUint16(b, uint16(8+len(fields)))
			b = appendBytes(b, r.id)
			b = appendInt32(b, int32(in.stream))
			b = appendInt64(b, r.version)
			b = appendBool(b, r.is == deleted)
			b = appendBool(b, r.is == held)
			b = appendMoment(b, r.at)
			b = appendMoment(b, in.received)
			b = appendInt64(b, int64(r.sequence))
			return appendFields(b, fields, r)
		})
	}
	if p.insert == "" {
		var names, casts strings.Builder
		for i := range fields {
			names.WriteString(", " + l.columns[i])
			fmt.Fprintf(&casts, ", $%d::%s", 9+i, arrayType(fields[i].Kind))
		}
		name, err := w.prepare(ctx, "INSERT INTO "+l.table+" (_stream, _received_at, _id, _version, _deleted, _held, _source_at, _batch"+
			names.String()+") SELECT $1::integer, $2::timestamptz, s.* FROM unnest($3::text[], $4::bigint[], $5::boolean[], $6::boolean[], $7::timestamptz[], $8::bigint[]"+
			casts.String()+") s")
		if err != nil {
			return err
		}
		p.insert = name
	}
	w.beginParams()
	w.contextParams(in)
	w.bookkeepingParams(records)
	for i := range fields {
		w.fieldParam(fields[i].Kind, i, records)
	}
	return w.execPrepared(ctx, p.insert)
}

func appendFields(b []byte, fields []lienthong.Field, r *record) []byte {
	if r.values == nil {
		for range fields {
			b = appendNull(b)
		}
		return b
	}
	for i := range fields {
		b = appendValue(b, fields[i].Kind, &r.values[i])
	}
	return b
}

func (w *pgWriter) update(ctx context.Context, l *layout, in rowContext, records []*record) error {
	if len(records) >= stageFrom {
		return w.updateStaged(ctx, l, in, records)
	}
	groups := int32(0)
	for _, r := range records {
		groups = max(groups, r.group)
	}
	if groups == 0 {
		return w.updateGroup(ctx, l, in, records)
	}
	var members []*record
	for g := range groups + 1 {
		members = members[:0]
		for _, r := range records {
			if r.group == g {
				members = append(members, r)
			}
		}
		if len(members) > 0 {
			if err := w.updateGroup(ctx, l, in, members); err != nil {
				return err
			}
		}
	}
	return nil
}

// setList writes what an update sets from row s, without the fields that the
// record leaves unchanged.
func setList(l *layout, like *record) string {
	var b strings.Builder
	b.WriteString("_version = s._version, _deleted = s._deleted, _held = s._held, _source_at = s._source_at, _received_at = $2::timestamptz, _batch = s._batch")
	for i := range l.columns {
		if !like.unchanged(i) {
			b.WriteString(", " + l.columns[i] + " = s." + l.columns[i])
		}
	}
	return b.String()
}

// updateGroup updates records that leave the same fields unchanged.
func (w *pgWriter) updateGroup(ctx context.Context, l *layout, in rowContext, records []*record) error {
	p := w.plan(l)
	fields, like := l.shape.Fields, records[0]
	set := setList(l, like)
	name := p.updates["a"+set]
	if name == "" {
		var names, casts strings.Builder
		n := 8
		for i := range fields {
			if !like.unchanged(i) {
				n++
				names.WriteString(", " + l.columns[i])
				fmt.Fprintf(&casts, ", $%d::%s", n, arrayType(fields[i].Kind))
			}
		}
		var err error
		name, err = w.prepare(ctx, "UPDATE "+l.table+" r SET "+set+
			" FROM unnest($3::text[], $4::bigint[], $5::boolean[], $6::boolean[], $7::timestamptz[], $8::bigint[]"+casts.String()+
			") s(_id, _version, _deleted, _held, _source_at, _batch"+names.String()+") WHERE r._id = s._id AND r._stream = $1::integer")
		if err != nil {
			return err
		}
		p.updates["a"+set] = name
	}
	w.beginParams()
	w.contextParams(in)
	w.bookkeepingParams(records)
	for i := range fields {
		if !like.unchanged(i) {
			w.fieldParam(fields[i].Kind, i, records)
		}
	}
	return w.execPrepared(ctx, name)
}

// updateStaged copies the records into a staging table and updates from there,
// one statement for each set of unchanged fields.
func (w *pgWriter) updateStaged(ctx context.Context, l *layout, in rowContext, records []*record) error {
	p := w.plan(l)
	if err := w.makeStage(ctx, l, p); err != nil {
		return err
	}
	fields := l.shape.Fields
	p.stageDirty = true
	err := w.copy(ctx, p.copyStage, len(records), func(b []byte, i int) []byte {
		r := records[i]
		b = binary.BigEndian.AppendUint16(b, uint16(7+len(fields)))
		b = appendBytes(b, r.id)
		b = appendInt32(b, r.group)
		b = appendInt64(b, r.version)
		b = appendBool(b, r.is == deleted)
		b = appendBool(b, r.is == held)
		b = appendMoment(b, r.at)
		b = appendInt64(b, int64(r.sequence))
		return appendFields(b, fields, r)
	})
	if err != nil {
		return err
	}
	var first []*record // of each group
	for _, r := range records {
		for int(r.group) >= len(first) {
			first = append(first, nil)
		}
		if first[r.group] == nil {
			first[r.group] = r
		}
	}
	for group, like := range first {
		if like == nil {
			continue
		}
		set := setList(l, like)
		name := p.updates["s"+set]
		if name == "" {
			name, err = w.prepare(ctx, "UPDATE "+l.table+" r SET "+set+" FROM "+p.stage+
				" s WHERE s._group = $3::integer AND r._id = s._id AND r._stream = $1::integer")
			if err != nil {
				return err
			}
			p.updates["s"+set] = name
		}
		w.beginParams()
		w.contextParams(in)
		w.param(appendInt32(nil, int32(group))[4:])
		if err := w.execPrepared(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// makeStage makes sure of an empty staging table. It empties itself at commit;
// only a second use in one transaction needs a DELETE.
func (w *pgWriter) makeStage(ctx context.Context, l *layout, p *pgPlan) error {
	if !p.stageMade {
		var b strings.Builder
		b.WriteString("CREATE TEMPORARY TABLE IF NOT EXISTS " + strings.TrimPrefix(p.stage, "pg_temp.") +
			` (_id text COLLATE "C" NOT NULL, _group integer NOT NULL, _version bigint NOT NULL, _deleted boolean NOT NULL,
			_held boolean NOT NULL, _source_at timestamptz NOT NULL, _batch bigint NOT NULL`)
		for i := range l.columns {
			b.WriteString(", " + l.columns[i] + " " + strings.TrimSuffix(arrayType(l.shape.Fields[i].Kind), "[]"))
		}
		b.WriteString(") ON COMMIT DELETE ROWS")
		if err := w.script(ctx, b.String()); err != nil {
			return err
		}
		p.stageMade = true
	}
	if p.stageDirty {
		return w.script(ctx, "DELETE FROM "+p.stage)
	}
	return nil
}

// copy sends rows in binary COPY, encoded piece by piece.
func (w *pgWriter) copy(ctx context.Context, statement string, count int, encode func(b []byte, i int) []byte) error {
	rows := &copyRows{count: count, encode: encode, buf: append(w.piece[:0], copySignature()...)}
	_, err := w.conn.PgConn().CopyFrom(ctx, rows, statement)
	w.piece = rows.buf
	return err
}

type copyRows struct {
	count, next int
	encode      func(b []byte, i int) []byte
	buf         []byte
	at          int
	ended       bool
}

func (c *copyRows) Read(p []byte) (int, error) {
	if len(c.buf)-c.at < copyPiece {
		c.buf, c.at = c.buf[:copy(c.buf, c.buf[c.at:])], 0
	}
	for len(c.buf)-c.at < copyPiece && c.next < c.count {
		c.buf = c.encode(c.buf, c.next)
		c.next++
	}
	if c.next == c.count && !c.ended {
		c.ended = true
		c.buf = append(c.buf, 0xff, 0xff)
	}
	if c.at == len(c.buf) {
		return 0, io.EOF
	}
	n := copy(p, c.buf[c.at:])
	c.at += n
	return n, nil
}

func (w *pgWriter) keys(ctx context.Context, l *layout, stream int64, row func(id []byte, version int64, is presence) error) error {
	// All of the table is wanted, in the order in which it lies.
	if err := w.script(ctx, "SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off"); err != nil {
		return err
	}
	result := w.conn.PgConn().ExecParams(ctx, "SELECT _id, _version, CASE WHEN _deleted THEN 3 WHEN _held THEN 2 ELSE 1 END FROM "+
		l.table+" WHERE _stream = $1::integer", [][]byte{strconv.AppendInt(nil, stream, 10)}, nil, nil, []int16{1})
	var failed error
	for failed == nil && result.NextRow() {
		cells := result.Values()
		if len(cells) != 3 || len(cells[1]) != 8 || len(cells[2]) != 4 {
			failed = errBinary
			break
		}
		failed = row(cells[0], int64(binary.BigEndian.Uint64(cells[1])), presence(cells[2][3]))
	}
	if _, err := result.Close(); err != nil {
		return errors.Join(failed, err)
	}
	if failed != nil {
		return failed
	}
	return w.script(ctx, "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on; SET LOCAL enable_bitmapscan = on")
}

// Array parameters, built by hand: one array for each column.

const (
	oidBool        = 16
	oidBytea       = 17
	oidInt8        = 20
	oidText        = 25
	oidFloat8      = 701
	oidDate        = 1082
	oidTimestamptz = 1184
	oidNumeric     = 1700
)

func arrayType(kind lienthong.Kind) string {
	return [...]string{"text[]", "bigint[]", "numeric[]", "float8[]", "boolean[]", "date[]", "timestamptz[]", "bytea[]"}[kind]
}

func elementOID(kind lienthong.Kind) uint32 {
	return [...]uint32{oidText, oidInt8, oidNumeric, oidFloat8, oidBool, oidDate, oidTimestamptz, oidBytea}[kind]
}

func (w *pgWriter) beginParams() { w.cells, w.params = w.cells[:0], w.params[:0] }

func (w *pgWriter) param(b []byte) { w.params = append(w.params, b) }

// arrayParam appends an array. Earlier parameters stay where they are when
// cells grows, because they keep the old memory.
func (w *pgWriter) arrayParam(oid uint32, count int, cell func(b []byte, i int) []byte) {
	start := len(w.cells)
	b := w.cells
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 1) // one dimension; may have nulls
	b = binary.BigEndian.AppendUint32(b, oid)
	b = binary.BigEndian.AppendUint32(b, uint32(count))
	b = append(b, 0, 0, 0, 1) // counts from 1
	for i := range count {
		b = cell(b, i)
	}
	w.cells = b
	w.params = append(w.params, b[start:])
}

func (w *pgWriter) contextParams(in rowContext) {
	w.param(appendInt32(nil, int32(in.stream))[4:])
	w.param(appendMoment(nil, in.received)[4:])
}

func (w *pgWriter) bookkeepingParams(records []*record) {
	n := len(records)
	w.arrayParam(oidText, n, func(b []byte, i int) []byte { return appendBytes(b, records[i].id) })
	w.arrayParam(oidInt8, n, func(b []byte, i int) []byte { return appendInt64(b, records[i].version) })
	w.arrayParam(oidBool, n, func(b []byte, i int) []byte { return appendBool(b, records[i].is == deleted) })
	w.arrayParam(oidBool, n, func(b []byte, i int) []byte { return appendBool(b, records[i].is == held) })
	w.arrayParam(oidTimestamptz, n, func(b []byte, i int) []byte { return appendMoment(b, records[i].at) })
	w.arrayParam(oidInt8, n, func(b []byte, i int) []byte { return appendInt64(b, int64(records[i].sequence)) })
}

func (w *pgWriter) fieldParam(kind lienthong.Kind, field int, records []*record) {
	w.arrayParam(elementOID(kind), len(records), func(b []byte, i int) []byte {
		v := records[i].value(field)
		return appendValue(b, kind, &v)
	})
}

func (w *pgWriter) execPrepared(ctx context.Context, name string) error {
	all := []int16{1} // every parameter in binary
	_, err := w.conn.PgConn().ExecPrepared(ctx, name, w.params, all, nil).Close()
	return err
}

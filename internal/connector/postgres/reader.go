package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// reader turns messages of pgoutput into calls of a Sink. It is the hot path:
// one row costs no allocation.
type reader struct {
	source *Source
	tables []*table
	sink   connector.Sink

	relations map[uint32]*relation
	latest    *relation // of the row before: most rows are of the same table

	last    lienthong.Position // the last that the sink knows of
	commit  uint64             // start of the commit record of the transaction at hand
	xid     uint32             // of the transaction at hand
	at      int64
	inside  bool // between the server's Begin and Commit
	told    bool // the sink has had Begin
	restful bool // the sink has had Idle, and nothing since

	sequence sequencer
	held     map[string]*heldRow
	row      connector.Row
	fresh    []lienthong.Value
	old      []lienthong.Value
	arena    []byte

	sinkFailed bool
	anew       map[int]bool // tables that are others than the sink knows: announce them
	mend       *mending     // tables to hand over whole, nil when there are none
}

// relation is a table as the server described it last.
type relation struct {
	index    int // into tables; -1 when the table is none of ours
	table    *table
	announce bool // the sink must hear Schema before the next row
}

// heldRow is the last state of a record that changed more often in one
// transaction than versions can tell.
type heldRow struct {
	op     lienthong.Op
	table  int
	layout *table
	values []lienthong.Value
}

func newReader(s *Source, tables []*table, after lienthong.Position, sink connector.Sink) *reader {
	r := &reader{
		source: s, tables: slices.Clone(tables), sink: sink, last: after,
		relations: map[uint32]*relation{}, held: map[string]*heldRow{},
	}
	r.sequence.limit = s.sequenceLimit
	return r
}

// deliver marks an error as the sink's.
func (r *reader) deliver(err error) error {
	if err != nil {
		r.sinkFailed = true
	}
	return err
}

func (r *reader) run(ctx context.Context, l *line) error {
	for {
		if !r.inside && l.reopen.Load() {
			return errReopen
		}
		message, err := l.receive(ctx, !r.restful && !r.inside)
		switch {
		case errors.Is(err, errLull):
			r.restful = true
			if err = r.deliver(r.sink.Idle()); err == nil {
				err = l.arm(ctx, false) // the sink may have taken its time
			}
		case errors.Is(err, errPoke):
			err = nil
		case err == nil:
			err = r.message(ctx, message, l)
		}
		if err != nil {
			return err
		}
	}
}

func (r *reader) message(ctx context.Context, message []byte, l *line) error {
	if len(message) == 0 {
		return damaged("replication")
	}
	switch message[0] {
	case 'w':
		if len(message) < 26 {
			return damaged("XLogData")
		}
		r.restful = false
		return r.logical(ctx, message[25:], l)
	case 'k':
		if len(message) < 18 {
			return damaged("keepalive")
		}
		if message[17] == 1 {
			select {
			case l.asked <- struct{}{}:
			default:
			}
		}
		end := lienthong.Position{Order: binary.BigEndian.Uint64(message[1:])}
		if r.inside {
			return nil
		}
		if err := r.mended(ctx, end, l); err != nil {
			return err
		}
		if !r.last.Before(end) {
			return nil
		}
		r.restful, r.last = false, end
		return r.deliver(r.sink.Commit(end))
	}
	return nil
}

// logical reads one message of pgoutput.
func (r *reader) logical(ctx context.Context, m []byte, l *line) error {
	if len(m) == 0 {
		return damaged("pgoutput")
	}
	kind, m := m[0], m[1:]
	switch kind {
	case 'B':
		if len(m) < 20 {
			return damaged("Begin")
		}
		r.commit = binary.BigEndian.Uint64(m)
		r.at = int64(binary.BigEndian.Uint64(m[8:])) + epochMicros
		r.xid = binary.BigEndian.Uint32(m[16:])
		r.inside, r.told = true, false
		r.sequence.begin()
		return r.mended(ctx, lienthong.Position{Order: r.commit}, l)
	case 'C':
		return r.ended()
	case 'I', 'U', 'D':
		return r.change(ctx, kind, m)
	case 'T':
		return r.truncate(m)
	case 'R':
		return r.relation(ctx, m, l)
	}
	return nil // Type, Origin, Message: not for us
}

func (r *reader) begin() error {
	if r.told {
		return nil
	}
	r.told = true
	return r.deliver(r.sink.Begin(positionOf(r.commit), r.at))
}

func (r *reader) ended() error {
	if len(r.held) > 0 {
		for key, h := range r.held {
			delete(r.held, key)
			r.row = connector.Row{
				Table: h.table, Op: h.op, At: r.at, Values: h.values,
				Version: versionAt(r.commit, sequenceHeld),
			}
			r.source.delivering = moment{h.layout, positionOf(r.commit), r.xid}
			if err := r.deliver(r.sink.Change(&r.row)); err != nil {
				return err
			}
		}
	}
	r.inside, r.told = false, false
	r.last = positionOf(r.commit)
	return r.deliver(r.sink.Commit(r.last))
}

// find returns the relation of the message and what follows its number.
func (r *reader) find(m []byte) (*relation, []byte, error) {
	if len(m) < 4 {
		return nil, nil, damaged("relation")
	}
	oid := binary.BigEndian.Uint32(m)
	if r.latest == nil || r.latest.table.oid != oid {
		found := r.relations[oid]
		if found == nil {
			return nil, nil, damaged("relation")
		}
		r.latest = found
	}
	return r.latest, m[4:], nil
}

func (r *reader) change(ctx context.Context, kind byte, m []byte) error {
	rel, m, err := r.find(m)
	if err != nil || rel.index < 0 {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	if rel.announce {
		rel.announce = false
		if err := r.deliver(r.sink.Schema(rel.index, rel.table.Table)); err != nil {
			return err
		}
	}
	r.arena = r.arena[:0]
	before := byte(0)
	if len(m) > 0 && (m[0] == 'K' || m[0] == 'O') {
		before = m[0]
		if m, err = r.tuple(rel.table, m[1:], &r.old); err != nil {
			return err
		}
	}
	if kind == 'D' {
		if before == 0 {
			return damaged("Delete")
		}
		return r.remove(rel)
	}
	if len(m) == 0 || m[0] != 'N' {
		return damaged("tuple")
	}
	if _, err = r.tuple(rel.table, m[1:], &r.fresh); err != nil {
		return err
	}
	if before != 0 {
		// The old row can tell what the new one leaves out: all of it with REPLICA
		// IDENTITY FULL, else the key.
		for i := range r.fresh {
			if r.fresh[i].State == lienthong.Unchanged && (before == 'O' || slices.Contains(rel.table.Key, i)) {
				r.fresh[i] = r.old[i]
			}
		}
		if r.keyChanged(rel.table) {
			if err := r.remove(rel); err != nil {
				return err
			}
			if slices.ContainsFunc(r.fresh, func(v lienthong.Value) bool { return v.State == lienthong.Unchanged }) {
				if err := r.complete(ctx, rel.table); err != nil {
					return err
				}
			}
		}
	}
	return r.emit(rel, lienthong.Upsert, r.fresh)
}

func (r *reader) keyChanged(t *table) bool {
	for _, i := range t.Key {
		if r.old[i].State != r.fresh[i].State || r.old[i].Int != r.fresh[i].Int || string(r.old[i].Bytes) != string(r.fresh[i].Bytes) {
			return true
		}
	}
	return false
}

// remove delivers the delete of the row in old.
func (r *reader) remove(rel *relation) error {
	for i := range r.old {
		if !slices.Contains(rel.table.Key, i) {
			r.old[i] = lienthong.Value{State: lienthong.Unchanged}
		}
	}
	return r.emit(rel, lienthong.Delete, r.old)
}

func (r *reader) emit(rel *relation, op lienthong.Op, values []lienthong.Value) error {
	sequence, ok := r.sequence.next(hashKey(rel.index, rel.table.Key, values))
	if !ok {
		r.hold(rel, op, values)
		return nil
	}
	r.row = connector.Row{
		Table: rel.index, Op: op, Version: versionAt(r.commit, sequence), At: r.at, Values: values,
	}
	r.source.delivering = moment{rel.table, positionOf(r.commit), r.xid}
	return r.deliver(r.sink.Change(&r.row))
}

// hold keeps a copy of the row until the transaction ends; a later state of the
// record replaces it.
func (r *reader) hold(rel *relation, op lienthong.Op, values []lienthong.Value) {
	key := fmt.Appendf(nil, "%d", rel.index)
	for _, i := range rel.table.Key {
		key = fmt.Appendf(key, "/%d:%d:%d:", values[i].State, values[i].Int, len(values[i].Bytes))
		key = append(key, values[i].Bytes...)
	}
	was := r.held[string(key)]
	kept := make([]lienthong.Value, len(values))
	for i, v := range values {
		if v.State == lienthong.Unchanged && op == lienthong.Upsert && was != nil && was.op == op && i < len(was.values) {
			kept[i] = was.values[i]
			continue
		}
		v.Bytes = slices.Clone(v.Bytes)
		kept[i] = v
	}
	r.held[string(key)] = &heldRow{op: op, table: rel.index, layout: rel.table, values: kept}
}

// tuple decodes a row into values, and returns what follows it.
func (r *reader) tuple(t *table, m []byte, into *[]lienthong.Value) ([]byte, error) {
	if len(m) < 2 {
		return nil, damaged(t.Name)
	}
	count := int(binary.BigEndian.Uint16(m))
	m = m[2:]
	if count != len(t.columns) {
		return nil, damaged(t.Name)
	}
	if cap(*into) < count {
		*into = make([]lienthong.Value, count)
	}
	values := (*into)[:count]
	*into = values
	for i := range values {
		if len(m) == 0 {
			return nil, damaged(t.Name)
		}
		state := m[0]
		m = m[1:]
		switch state {
		case 'n':
			values[i] = lienthong.Value{}
			continue
		case 'u':
			values[i] = lienthong.Value{State: lienthong.Unchanged}
			continue
		case 'b', 't':
		default:
			return nil, damaged(t.Name)
		}
		if len(m) < 4 {
			return nil, damaged(t.Name)
		}
		size := int(binary.BigEndian.Uint32(m))
		if m = m[4:]; len(m) < size {
			return nil, damaged(t.Name)
		}
		if state == 't' {
			r.arena = decodeText(t.columns[i].codec, m[:size:size], &values[i], r.arena)
		} else {
			var ok bool
			if r.arena, ok = decodeBinary(t.columns[i].codec, m[:size:size], &values[i], r.arena); !ok {
				return nil, damaged(t.Name)
			}
		}
		m = m[size:]
	}
	return m, nil
}

func (r *reader) truncate(m []byte) error {
	if len(m) < 5 {
		return damaged("Truncate")
	}
	count := int(binary.BigEndian.Uint32(m))
	m = m[5:]
	if len(m) < 4*count {
		return damaged("Truncate")
	}
	sequence, given := uint32(0), false
	for i := range count {
		rel, _, err := r.find(m[4*i:])
		if err != nil {
			return err
		}
		if rel.index < 0 {
			continue
		}
		if err := r.begin(); err != nil {
			return err
		}
		if !given {
			sequence, given = r.sequence.truncate(), true
		}
		for key, h := range r.held {
			if h.table == rel.index {
				delete(r.held, key)
			}
		}
		if err := r.deliver(r.sink.Truncate(rel.index, versionAt(r.commit, sequence), r.at)); err != nil {
			return err
		}
	}
	return nil
}

// relation reads the description of a table, which precedes its first row and
// its first row after a change of its columns.
func (r *reader) relation(ctx context.Context, m []byte, l *line) error {
	parsed, err := pglogrepl.Parse(append([]byte{'R'}, m...))
	if err != nil {
		return damaged("Relation")
	}
	message, ok := parsed.(*pglogrepl.RelationMessage)
	if !ok {
		return damaged("Relation")
	}
	r.latest = nil
	index := slices.IndexFunc(r.tables, func(t *table) bool { return t.oid == message.RelationID })
	known := &table{oid: message.RelationID}
	if was := r.relations[message.RelationID]; was != nil {
		known = was.table
	} else if index >= 0 {
		known = r.tables[index]
	}
	if index < 0 {
		r.relations[message.RelationID] = &relation{index: -1, table: known}
		return nil
	}
	key, err := r.keyOf(ctx, message, known)
	if err != nil {
		return err
	}
	same := len(message.Columns) == len(known.columns) && slices.Equal(key, known.Key)
	for i := 0; same && i < len(message.Columns); i++ {
		c := message.Columns[i]
		same = c.Name == known.Columns[i].Name && c.DataType == known.columns[i].oid && c.TypeModifier == known.columns[i].typmod
	}
	pending := r.anew[index] || r.relations[message.RelationID] != nil && r.relations[message.RelationID].announce
	delete(r.anew, index)
	if same {
		r.relations[message.RelationID] = &relation{index: index, table: known, announce: pending}
		return nil
	}
	now, err := r.describe(ctx, message, known, key)
	if err != nil {
		return err
	}
	if l != nil && l.binary && now.foreign() {
		if !r.told {
			return errReopen
		}
		return &lienthong.Error{
			Code: "postgres.reopen", Where: now.Name,
			Vi: "bảng có thêm cột kiểu mới, cần mở lại luồng", En: "the table has gained a type that needs the stream to be opened again",
			Hint: "hệ thống tự nối lại / reading resumes where it stopped",
		}
	}
	r.relations[message.RelationID] = &relation{index: index, table: now, announce: true}
	return nil
}

// describe makes the table that a Relation message tells of. The message has
// names and type numbers; what the types are called comes from the catalog.
func (r *reader) describe(ctx context.Context, message *pglogrepl.RelationMessage, known *table, key []int) (*table, error) {
	now := &table{
		Table: connector.Table{Name: known.Name, EstimatedRows: known.EstimatedRows},
		oid:   known.oid, schema: known.schema, name: known.name, partitioned: known.partitioned,
	}
	names := make([]string, len(message.Columns))
	types := make([]uint32, len(message.Columns))
	modifiers := make([]int32, len(message.Columns))
	for i, c := range message.Columns {
		names[i], types[i], modifiers[i] = c.Name, c.DataType, c.TypeModifier
	}
	err := r.source.with(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, describeQuery, known.oid, names, types, modifiers)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var shown lienthong.Column
			var c column
			var base uint32
			var isEnum bool
			if err := rows.Scan(&shown.Name, &c.oid, &c.typmod, &shown.SourceType, &base, &isEnum, &c.notNull, &c.attnum); err != nil {
				return err
			}
			c.codec = codecOf(base)
			if isEnum {
				c.codec = codecText
			}
			shown.Kind, shown.Nullable = c.codec.kind(), !c.notNull
			now.Columns = append(now.Columns, shown)
			now.columns = append(now.columns, c)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	now.Key = key
	if len(now.Key) == 0 || len(now.Columns) != len(message.Columns) {
		return nil, &lienthong.Error{
			Code: "postgres.schema_changed", Where: known.Name,
			Vi: "bảng không còn khóa như lúc khởi động", En: "the table no longer has the key that it had at Start",
			Hint: "khởi động lại nguồn / start the source again", Err: io.ErrUnexpectedEOF,
		}
	}
	return now, nil
}

// identityFull is REPLICA IDENTITY FULL in a Relation message.
const identityFull = 'f'

// keyOf lists the columns that name a row from here on: those that the server marks. With
// whole old rows it marks every column, and what names a row is a question to the catalog,
// asked when the table was described anew.
func (r *reader) keyOf(ctx context.Context, message *pglogrepl.RelationMessage, known *table) ([]int, error) {
	var key []int
	if message.ReplicaIdentity != identityFull {
		for n, c := range message.Columns {
			if c.Flags&1 != 0 {
				key = append(key, n)
			}
		}
		return key, nil
	}
	var names []string
	if r.relations[message.RelationID] == nil {
		for _, i := range known.Key {
			names = append(names, known.Columns[i].Name)
		}
	} else {
		err := r.source.with(ctx, func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, fullKeyQuery, message.RelationID).Scan(&names)
		})
		if err != nil {
			return nil, err
		}
	}
	for n, c := range message.Columns {
		if slices.Contains(names, c.Name) {
			key = append(key, n)
		}
	}
	if len(key) == len(names) && len(key) > 0 {
		return key, nil
	}
	// No index names a row, or none did yet: the row itself does.
	key = key[:0]
	for n := range message.Columns {
		key = append(key, n)
	}
	return key, nil
}

// fullKeyQuery names the columns of the unique index that tells rows apart.
const fullKeyQuery = `
SELECT COALESCE((
    SELECT array_agg(k.attname::text ORDER BY k.attnum) FROM pg_attribute k
    WHERE k.attrelid = $1 AND k.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])), '{}')
FROM (SELECT) one LEFT JOIN LATERAL (
    SELECT i.indkey, i.indnkeyatts FROM pg_index i
    WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM pg_attribute k WHERE k.attrelid = $1 AND k.attnum = ANY (i.indkey::int2[]) AND NOT k.attnotnull)
    ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1) i ON true`

const describeQuery = `
WITH RECURSIVE given AS (
    SELECT * FROM unnest($2::text[], $3::oid[], $4::int4[]) WITH ORDINALITY AS g (name, type, modifier, place)),
base (place, at) AS (
    SELECT place, type FROM given
  UNION
    SELECT b.place, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.at WHERE t.typtype = 'd')
SELECT g.name, g.type, g.modifier, format_type(g.type, g.modifier), COALESCE(t.oid, 0::oid), COALESCE(t.typtype = 'e', false),
       COALESCE(a.attnotnull, false), COALESCE(a.attnum, 0::int2)
FROM given g
LEFT JOIN base b ON b.place = g.place AND NOT EXISTS (SELECT FROM pg_type d WHERE d.oid = b.at AND d.typtype = 'd')
LEFT JOIN pg_type t ON t.oid = b.at
LEFT JOIN pg_attribute a ON a.attrelid = $1 AND a.attname = g.name AND NOT a.attisdropped
ORDER BY g.place`

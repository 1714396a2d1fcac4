package mysql

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// heldBytes is how much of a transaction is held back before it is passed on. What is
// rolled back inside the log within it never shows.
const heldBytes = 256 << 10

// reader turns events into calls of a sink. It is used by one goroutine.
type reader struct {
	walker
	source *Source
	ctx    context.Context // of the Stream that it serves; the library's handler has none
	srv    *server
	sink   connector.Sink
	after  lienthong.Position // transactions up to here were delivered
	want   *token             // the file that was asked for; checked, then nil

	base     uint64 // place of the file
	gtids    gtids
	gtidsOK  bool
	prepared []preparedXA
	foreign  map[string]bool // prepared, without rows of ours
	reported uint64          // order that the sink was told last
	lastAt   uint32

	tables map[string]int // by schema, a zero byte, and name
	known  []*described   // what information_schema said, for the place of the log
	guess  []bool         // known is from after another change: not to be relied on
	maps   map[uint64]*mapped
	told   []*layout // what the sink knows of each table; nil: not yet asked in this Stream
	scrap  []byte

	open     transaction
	version  int64 // the next one that may be given
	images   images
	row      connector.Row
	values   []lienthong.Value
	old      []lienthong.Value
	parser   *replication.BinlogParser // for what the library alone can read
	sequence *sequencer                // of an XA transaction that is delivered later
}

// transaction is the one that is open.
type transaction struct {
	active bool
	order  uint64 // where it begins, plus one
	file   string
	start  uint64
	at     uint32
	begun  bool // the sink heard Begin
	passed bool // held rows went to the sink
	alone  bool // of one statement, without an end of its own
	inside bool // after BEGIN
	xa     bool // prepared now, committed later
	id     string
	rows   int // of our tables
	seen   bool
	held   []heldRows
	size   int
	marks  []mark
}

// heldRows is an event with rows of one of our tables.
type heldRows struct {
	table *mapped
	kind  byte
	start uint64
	at    uint32
	body  []byte
	raw   []byte
}

// mark is a savepoint: how many events were held then, and whether some had gone before.
type mark struct {
	name   string
	held   int
	passed bool
}

func (s *Source) newReader(ctx context.Context, srv *server, after lienthong.Position, from token, sink connector.Sink) (*reader, error) {
	s.mu.Lock()
	tables := s.tables
	s.mu.Unlock()
	r := &reader{
		source: s, ctx: ctx, srv: srv, sink: sink, after: after, want: &from,
		gtids: from.gtids.clone(), gtidsOK: !from.gtids.empty(), prepared: slices.Clone(from.prepared),
		reported: after.Order, lastAt: from.at,
		tables: map[string]int{}, maps: map[uint64]*mapped{}, foreign: map[string]bool{},
		known: make([]*described, len(tables)), guess: make([]bool, len(tables)), told: make([]*layout, len(tables)),
	}
	r.opened, r.formatted, r.visit = r.opening, r.checking, r.take
	s.stateMu.Lock()
	for i, d := range tables {
		r.tables[r.nameKey(d.Schema, d.Name)] = i
		r.known[i] = d
		if at := s.history.at(d.spelled(), after.Order); at != nil {
			r.known[i] = at.Is
		}
	}
	s.stateMu.Unlock()
	if !r.gtidsOK && srv.maria && from.file != "" && from.pos > 4 {
		if g, err := s.gtidsAt(ctx, srv, logEnd{file: from.file, pos: from.pos}); err == nil {
			r.gtids, r.gtidsOK = g, true
		}
	}
	return r, nil
}

// nameKey is how a table's name is looked up: without case where the server has none.
func (r *reader) nameKey(schema, name string) string {
	key := schema + "\x00" + name
	if r.caseless() {
		return strings.ToLower(key)
	}
	return key
}

func (r *reader) caseless() bool {
	mode := r.srv.settings["lower_case_table_names"]
	return mode == "1" || mode == "2"
}

func (r *reader) lookup(name tableName, schema string) int {
	if name.schema != "" {
		schema = name.schema
	}
	if i, ours := r.tables[r.nameKey(schema, name.name)]; ours {
		return i
	}
	return -1
}

// place is where an offset of the present file is on the line.
func (r *reader) place(offset uint64) uint64 { return r.base + offset }

// opening places a file on the line.
func (r *reader) opening() error {
	clear(r.maps)
	if r.want != nil && r.want.file == "" {
		// By identifiers: the file is the first of a new part of the line.
		r.source.lineMu.Lock()
		defer r.source.lineMu.Unlock()
		if _, known := r.source.line.base[r.file]; !known {
			r.source.line.begin(r.want.server, r.file, r.want.base)
		}
		r.base = r.source.line.base[r.file]
		return nil
	}
	base, err := r.source.baseOf(r.ctx, r.file)
	if errors.Is(err, errOffLine) {
		return errElsewhere
	}
	if err != nil {
		return r.source.explain(r.ctx, err)
	}
	r.base = base
	return nil
}

// checking sees that the file is the one that the position was in.
func (r *reader) checking() error {
	want := r.want
	r.want = nil
	if want != nil && want.file != "" && (want.made != 0 && want.made != r.made || want.server != r.srv.id) {
		return errElsewhere
	}
	return nil
}

// position is where the reader is, with what it takes to resume there.
func (r *reader) position(order uint64) lienthong.Position {
	t := token{
		file: r.file, pos: r.next, base: r.base, made: r.made, server: r.srv.id, at: r.lastAt, prepared: r.prepared,
	}
	if r.gtidsOK {
		t.gtids = r.gtids
	}
	return lienthong.Position{Order: order, Token: t.write()}
}

// idle tells the sink that nothing more is waiting.
func (r *reader) idle() error {
	if r.open.active || r.file == "" {
		return nil
	}
	if err := r.progress(); err != nil {
		return err
	}
	return r.sink.Idle()
}

// progress says how far the log was read, when that is further than the last transaction.
func (r *reader) progress() error {
	order := r.place(r.next)
	if order <= r.reported {
		return nil
	}
	r.reported = order
	r.source.reached.Store(order)
	return r.sink.Commit(r.position(order))
}

// foreignBytes is how much log without changes of ours is read before the sink hears of it.
const foreignBytes = 4 << 20

// take handles one event.
func (r *reader) take(ev *logEvent) error {
	if ev.flags&flagArtificial != 0 {
		return nil
	}
	switch ev.kind {
	case eventMariaGTID, eventGTID, eventAnonymousGTID, eventTaggedGTID:
		return r.begin(ev)
	case eventTableMap:
		return r.mapTable(ev)
	case eventQuery, eventQueryCompressed:
		return r.query(ev)
	case eventXID:
		return r.end()
	case eventXAPrepare:
		return r.xaPrepared(ev)
	case eventPreviousGTIDs:
		if !r.gtidsOK {
			r.gtidsOK = r.gtids.follow(ev) && !r.gtids.empty()
		}
	case eventPayload:
		return r.payload(ev)
	case eventExecuteLoad:
		return r.written("LOAD DATA", nil, "", 0)
	case eventPartialUpdate:
		return &lienthong.Error{
			Code: "mysql.partial_json", Where: r.source.cfg.Name,
			Vi: "nhật ký chỉ có phần thay đổi của giá trị JSON", En: "the log has only parts of JSON values",
			Hint: "SET GLOBAL binlog_row_value_options = ''; rồi giải phóng và khởi động lại nguồn / then release and start the source again",
		}
	case eventIncident:
		return &lienthong.Error{
			Code: "mysql.incident", Where: r.source.cfg.Name,
			Vi: "máy chủ báo nhật ký có thể thiếu thay đổi", En: "the server says that its log may lack changes",
			Hint: "giải phóng và khởi động lại nguồn, rồi đối soát / release and start the source again, and compare",
		}
	default:
		if isWrite(ev.kind) || isUpdate(ev.kind) || isDelete(ev.kind) {
			return r.rows(ev)
		}
	}
	return nil
}

// begin opens a transaction.
func (r *reader) begin(ev *logEvent) error {
	if r.open.active && (len(r.open.held) > 0 || r.open.begun) {
		return damaged(r.file)
	}
	if r.gtidsOK && ev.kind != eventAnonymousGTID {
		if r.gtidsOK = r.gtids.follow(ev); !r.gtidsOK {
			r.source.cfg.Log.WarnContext(r.ctx, "mysql: the identifiers of transactions cannot be read; another server cannot be followed",
				slog.String("source", r.source.cfg.Name))
		}
	}
	held, marks := r.open.held[:0], r.open.marks[:0]
	r.open = transaction{
		active: true, order: r.place(ev.start) + 1, file: ev.file, start: ev.start, at: ev.at, held: held, marks: marks,
	}
	if ev.kind == eventMariaGTID && len(ev.body) > 12 {
		flags := ev.body[12]
		r.open.alone = flags&mariaStandalone != 0
		r.open.xa = flags&mariaPreparedXA != 0
	}
	r.open.seen = r.open.order <= r.after.Order
	return nil
}

// end is the commit of the open transaction.
func (r *reader) end() error {
	tx := &r.open
	if !tx.active {
		return nil
	}
	if err := r.flush(); err != nil {
		return err
	}
	r.lastAt = tx.at
	tx.active = false
	clear(tx.held)
	if !tx.begun {
		if r.place(r.next) > r.reported+foreignBytes {
			return r.progress()
		}
		return nil
	}
	if limit := versionAt(r.place(r.next)); r.version > limit && r.sequence == nil {
		// Rows without a byte of their own: a compressed transaction of millions of empty rows.
		return &lienthong.Error{
			Code: "mysql.transaction_dense", Where: r.source.cfg.Name,
			Vi: "giao dịch nén có quá nhiều dòng so với kích thước", En: "a compressed transaction has too many rows for its size",
			Hint: "SET GLOBAL binlog_transaction_compression = OFF;",
		}
	}
	r.reported = tx.order
	r.source.reached.Store(r.place(r.next))
	return r.sink.Commit(r.position(tx.order))
}

// discard is the rollback of the open transaction, in the log.
func (r *reader) discard() error {
	if r.open.passed {
		return r.rolledBack()
	}
	r.open.active = false
	clear(r.open.held)
	return nil
}

func (r *reader) rolledBack() error {
	return &lienthong.Error{
		Code: "mysql.rolled_back", Where: r.source.cfg.Name,
		Vi:   "một giao dịch lớn có phần bị hủy ngay trong nhật ký sau khi đã chuyển đi",
		En:   "part of a large transaction was rolled back inside the log after it had been passed on",
		Hint: "giải phóng và khởi động lại nguồn, rồi đối soát; chuyển bảng không giao dịch sang InnoDB / release and start the source again, and compare; turn tables without transactions into InnoDB",
	}
}

// rows takes an event with rows.
func (r *reader) rows(ev *logEvent) error {
	c := cut{rest: ev.body}
	m := r.maps[c.little(6)]
	tx := &r.open
	switch {
	case c.bad || m == nil:
		return damaged(r.file)
	case m.table < 0:
		return nil
	case !tx.active:
		return damaged(r.file)
	}
	tx.rows++
	if tx.seen || tx.xa {
		return nil
	}
	next := heldRows{table: m, kind: ev.kind, start: ev.start, at: ev.at, body: ev.body, raw: ev.raw}
	if m.json {
		// The map is of this moment; the event is read later.
		next.table = &mapped{table: m.table, layout: m.layout, json: true, event: m.event}
	}
	if tx.passed {
		return r.deliver(&next)
	}
	tx.held = append(tx.held, next)
	if tx.size += len(ev.raw); tx.size > heldBytes {
		return r.flush()
	}
	return nil
}

// flush passes on what is held.
func (r *reader) flush() error {
	tx := &r.open
	for i := range tx.held {
		tx.passed = true
		if err := r.deliver(&tx.held[i]); err != nil {
			return err
		}
		tx.held[i] = heldRows{}
	}
	tx.held = tx.held[:0]
	return nil
}

// start tells the sink of the transaction, once.
func (r *reader) start(at uint32) error {
	if r.open.begun {
		return nil
	}
	r.open.begun = true
	r.version = max(r.version, versionAt(r.place(r.open.start)))
	return r.sink.Begin(lienthong.Position{Order: r.open.order}, int64(at)*1_000_000)
}

// announce tells the sink of a table's columns when it believes something else.
func (r *reader) announce(table int, l *layout) error {
	told := r.told[table]
	if told == l {
		return nil
	}
	s := r.source
	s.mu.Lock()
	first, last := s.layouts[table], s.announced[table]
	s.mu.Unlock()
	silent := told != nil && told.same(l)
	if told == nil {
		// The sink may have come with what Start said, or with what it was told by a Stream before.
		silent = l.same(first) && (last == nil || l.same(last))
	}
	r.told[table] = l
	if silent {
		return nil
	}
	s.mu.Lock()
	s.announced[table] = l
	s.mu.Unlock()
	return r.sink.Schema(table, l.Table)
}

// deliver decodes the rows of an event and passes them on.
func (r *reader) deliver(h *heldRows) error {
	if err := r.start(h.at); err != nil {
		return err
	}
	l := h.table.layout
	if err := r.announce(h.table.table, l); err != nil {
		return err
	}
	head, ok := parseRowsHead(h.kind, h.body)
	if !ok || head.columns != len(l.columns) {
		return damaged(l.Name)
	}
	if isCompressed(h.kind) {
		var err error
		if head.images, err = gomysql.DecompressMariadbData(head.images); err != nil {
			return damaged(l.Name)
		}
	}
	if n := len(l.Columns); cap(r.values) < n {
		r.values, r.old = make([]lienthong.Value, n), make([]lienthong.Value, n)
	}
	r.values, r.old = r.values[:len(l.Columns)], r.old[:len(l.Columns)]
	var texts *jsonTexts
	if h.table.json {
		var err error
		if texts, err = r.jsonOf(h); err != nil {
			return err
		}
	}
	r.version = max(r.version, versionAt(r.base+h.start))
	r.row = connector.Row{Table: h.table.table, At: int64(h.at) * 1_000_000}
	for n := 0; len(head.images) > 0; n++ {
		r.images.arena.reset()
		var err error
		switch {
		case isDelete(h.kind):
			if head.images, ok = r.images.read(l, head.images, head.before, keyOnly, r.values); ok {
				err = r.emit(lienthong.Delete, l, r.values)
			}
		case isUpdate(h.kind):
			head.images, ok = r.images.read(l, head.images, head.before, keyOnly, r.old)
			if ok {
				head.images, ok = r.images.read(l, head.images, head.after, all, r.values)
			}
			if ok {
				texts.fill(2*n+1, l, r.values, &r.images.arena)
				err = r.updated(l)
			}
		default:
			if head.images, ok = r.images.read(l, head.images, head.before, all, r.values); ok {
				texts.fill(n, l, r.values, &r.images.arena)
				err = r.whole(l)
			}
		}
		if !ok {
			return damaged(l.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// updated delivers an update: with a change of key as a delete and an upsert.
func (r *reader) updated(l *layout) error {
	moved := false
	for _, i := range l.Key {
		if r.values[i].State == lienthong.Unchanged {
			r.values[i] = r.old[i] // a partial image leaves the key out when it stays
			continue
		}
		moved = moved || !equal(&r.values[i], &r.old[i])
	}
	if !moved {
		return r.emit(lienthong.Upsert, l, r.values)
	}
	if err := r.emit(lienthong.Delete, l, r.old); err != nil {
		return err
	}
	return r.whole(l)
}

// whole delivers a row in which nothing may be Unchanged. What a partial image leaves out
// is read from the table.
func (r *reader) whole(l *layout) error {
	for i := range r.values {
		if r.values[i].State == lienthong.Unchanged {
			if err := r.source.complete(r.ctx, l, r.values, &r.images.arena); err != nil {
				return err
			}
			break
		}
	}
	return r.emit(lienthong.Upsert, l, r.values)
}

func equal(a, b *lienthong.Value) bool {
	return a.State == b.State && a.Int == b.Int && string(a.Bytes) == string(b.Bytes)
}

// emit passes on one row with the next version.
func (r *reader) emit(op lienthong.Op, l *layout, values []lienthong.Value) error {
	r.row.Op, r.row.Values = op, values
	if r.sequence != nil {
		sequence, ok := r.sequence.next(hashKey(r.row.Table, l.Key, values))
		if !ok {
			return r.rolledBack()
		}
		r.row.Version = versionAt(r.place(r.open.start)) + int64(sequence)
	} else {
		r.row.Version = r.version
		r.version++
	}
	r.source.delivering(l)
	return r.sink.Change(&r.row)
}

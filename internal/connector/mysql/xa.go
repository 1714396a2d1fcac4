package mysql

import (
	"errors"
	"slices"

	"github.com/lienthong/lienthong"
)

// An XA transaction is in the log where it was prepared, and its commit, perhaps days
// later, is a line of its own. Until then nobody sees its rows, so they are delivered at the
// commit: by reading them again, because they may be many. Meanwhile the position's token
// remembers where they are.

// xaPrepared ends the open transaction: its rows wait, unless the event says that it
// commits at once.
func (r *reader) xaPrepared(ev *logEvent) error {
	tx := &r.open
	if !tx.active {
		return nil
	}
	tx.active = false
	c := cut{rest: ev.body}
	onePhase := c.byte() == 1
	if onePhase {
		if tx.rows == 0 || tx.seen {
			return nil
		}
		return r.replay(preparedXA{id: tx.id, file: tx.file, start: tx.start})
	}
	if tx.rows == 0 {
		r.foreign[tx.id] = true
	} else {
		r.prepared = append(slices.Clone(r.prepared), preparedXA{id: tx.id, file: tx.file, start: tx.start})
	}
	return nil
}

func (r *reader) xaIndex(id string) int {
	return slices.IndexFunc(r.prepared, func(p preparedXA) bool { return p.id == id })
}

func (r *reader) xaRollback(id string) error {
	if at := r.xaIndex(id); at >= 0 {
		r.prepared = slices.Delete(slices.Clone(r.prepared), at, at+1)
	}
	delete(r.foreign, id)
	r.open.active = false
	return nil
}

func (r *reader) xaCommit(id string) error {
	at := r.xaIndex(id)
	var p preparedXA
	switch {
	case at >= 0:
		p = r.prepared[at]
		r.prepared = slices.Delete(slices.Clone(r.prepared), at, at+1)
	case r.open.seen || r.foreign[id]:
		delete(r.foreign, id)
		return r.end()
	default:
		// Prepared before we began to read.
		found, ok, err := r.search(id)
		if err != nil {
			return err
		}
		if !ok {
			return r.end() // it had no rows of ours
		}
		p = found
	}
	if r.open.seen {
		return r.end()
	}
	return r.replay(p)
}

// replay delivers the rows of a prepared transaction as those of the open one.
func (r *reader) replay(p preparedXA) error {
	r.open.active = true
	r.sequence = &sequencer{limit: uint32(min((r.next-r.open.start)<<rowBits, 1<<30))}
	defer func() { r.sequence = nil }()
	sub := &reader{
		source: r.source, ctx: r.ctx, srv: r.srv, sink: r.sink, after: r.after,
		tables: r.tables, known: r.known, guess: r.guess, maps: map[uint64]*mapped{},
	}
	sub.opened = func() error {
		clear(sub.maps)
		return nil
	}
	active := false
	sub.visit = func(ev *logEvent) error {
		switch {
		case ev.kind == eventMariaGTID || ev.kind == eventGTID || ev.kind == eventAnonymousGTID:
			if active {
				return damaged(sub.file)
			}
			active = true
		case ev.kind == eventTableMap:
			return sub.mapTable(ev)
		case ev.kind == eventXAPrepare:
			return errEnough
		case isWrite(ev.kind) || isUpdate(ev.kind) || isDelete(ev.kind):
			c := cut{rest: ev.body}
			m := sub.maps[c.little(6)]
			if m == nil {
				return damaged(sub.file)
			}
			if m.table < 0 {
				return nil
			}
			r.format = sub.format
			// Its versions are those of the commit, not of where it lies.
			return r.deliver(&heldRows{table: m, kind: ev.kind, start: r.open.start, at: r.open.at, body: ev.body, raw: ev.raw})
		}
		return nil
	}
	from := token{file: p.file, pos: p.start, server: r.srv.id}
	own, err := r.source.dump(r.ctx, r.srv, r.source.sideID(), &from, &sub.walker, nil)
	if own != nil && !errors.Is(own, errEnough) {
		return own
	}
	if own == nil {
		err = r.source.explain(r.ctx, err)
		if lienthong.ErrorCode(err) == "mysql.binlog_purged" {
			return r.unknownXA()
		}
		return err
	}
	return r.end()
}

// search looks for a prepared transaction in all of the log before the present place.
func (r *reader) search(id string) (preparedXA, bool, error) {
	files, err := binaryLogs(r.ctx, r.source.db)
	if err != nil {
		return preparedXA{}, false, r.source.explain(r.ctx, err)
	}
	if len(files) == 0 {
		return preparedXA{}, false, nil
	}
	var found, open preparedXA
	ok, prepared := false, false
	err = r.source.scan(r.ctx, r.srv, token{file: files[0].name, pos: 4}, r.file, r.open.start, func(_ *walker, ev *logEvent) error {
		switch ev.kind {
		case eventMariaGTID, eventGTID, eventAnonymousGTID:
			open, prepared = preparedXA{id: id, file: ev.file, start: ev.start}, false
		case eventQuery:
			q, good := parseQuery(ev.body, nil)
			if st := recognise(q.text, q.modes); good && st.verb == verbXAEnd && st.id == id {
				prepared = true
			}
		case eventXAPrepare:
			if prepared {
				found, ok = open, true // an identifier may be used again: the last counts
			}
		}
		return nil
	})
	if err != nil {
		return preparedXA{}, false, err
	}
	if !ok {
		return found, false, r.unknownXA()
	}
	return found, true, nil
}

func (r *reader) unknownXA() error {
	return &lienthong.Error{
		Code: "mysql.xa_unknown", Where: r.source.cfg.Name,
		Vi:   "một giao dịch XA đã được ghi nhận, nhưng máy chủ không còn nhật ký lúc nó được chuẩn bị",
		En:   "an XA transaction was committed, but the server no longer has the log from when it was prepared",
		Hint: "giải phóng và khởi động lại nguồn, rồi đối soát; giữ nhật ký lâu hơn giao dịch XA dài nhất / release and start the source again, and compare; keep the log longer than the longest XA transaction",
	}
}

// sequencer gives each change of a transaction a number: higher than that of an earlier
// change of the same record. It counts per bucket of a hash over the key, so transactions of
// any number of records need few numbers and constant memory, and a record's number is the
// same when the transaction is delivered again.
type sequencer struct {
	limit   uint32
	buckets [4096]uint32
}

func (q *sequencer) next(hash uint64) (uint32, bool) {
	n := &q.buckets[hash%uint64(len(q.buckets))]
	if *n >= q.limit {
		return 0, false
	}
	*n++
	return *n - 1, true
}

// hashKey mixes the key columns of a row (FNV-1a).
func hashKey(table int, key []int, values []lienthong.Value) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037) ^ uint64(table)
	for _, i := range key {
		v := &values[i]
		h = (h ^ uint64(v.Int)) * prime
		for _, c := range v.Bytes {
			h = (h ^ uint64(c)) * prime
		}
		h = (h ^ 0xff) * prime
	}
	return h ^ h>>29
}

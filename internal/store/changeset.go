package store

import (
	"bytes"
	"hash/maphash"
	"math"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// Rows delivers the changes of one batch in their order. The bytes of an id and
// of values must stay as they are until Apply returns; the slice of values may be reused by
// the next call.
type Rows interface {
	Next(change *lienthong.Change) bool
	Err() error
}

// Reasons why a row is refused. They are stable and hold no value.
const (
	refusedText       = "text"       // not UTF-8, or with a zero byte
	refusedDecimal    = "decimal"    // not a decimal number in canonical form, or too long
	refusedDate       = "date"       // outside of what can be stored
	refusedTimestamp  = "timestamp"  // outside of what can be stored
	refusedMalformed  = "malformed"  // not of the field's kind, says the source
	refusedIdentity   = "identity"   // empty, too long, or not text
	refusedColumns    = "columns"    // not one value per field
	refusedIncomplete = "incomplete" // has unchanged fields of a record that is not there
	refusedOperation  = "operation"  // unknown
)

// maxIdentity keeps the key within what an index row can hold.
const maxIdentity = 2000

// record is one record that a write touches: what the table has, and what the
// changes make of it.
type record struct {
	id     []byte
	values []lienthong.Value // as they will be; Unchanged means as stored. Nil: every field null

	version  int64
	at       int64
	sequence uint64 // of the batch that had the last word
	item     int32  // likewise
	group    int32  // records with the same unchanged fields

	is         presence // what it becomes
	had        presence // what the table has
	hadVersion int64
	touched    bool // some change was newer than the table
	allKept    bool // a hold: every field stays as stored
}

type change struct {
	values  []lienthong.Value
	version int64
	at      int64
	record  int32
	item    int32
	op      lienthong.Op
	refused bool // reported already; taken in as a hold
	extra   bool // not a row of the batch: a repair found a record too many
}

// changeSet collects the changes of one stream and brings them down to one
// write per record.
type changeSet struct {
	layout  *layout
	records []record
	changes []change
	plain   bool                // upserts of whole rows only
	arena   [][]lienthong.Value // blocks of blockValues
	block   int                 // the one being filled
	seed    maphash.Seed
	slots   []int32 // open addressing: index into records + 1
}

func newChangeSet(l *layout) *changeSet {
	return &changeSet{layout: l, plain: true, seed: maphash.MakeSeed()}
}

// reset empties the set and keeps its memory, but nothing that points into
// payloads.
func (c *changeSet) reset(l *layout) {
	c.layout, c.plain = l, true
	clear(c.records)
	clear(c.changes)
	c.records, c.changes = c.records[:0], c.changes[:0]
	for i := range c.arena {
		clear(c.arena[i])
		c.arena[i] = c.arena[i][:0]
	}
	c.block = 0
	clear(c.slots)
}

// read takes in all rows of a batch. A row that cannot be stored is reported and
// taken in as a hold: the record is no longer known to be right.
func (c *changeSet) read(rows Rows, item int32, refuse func(id []byte, reason string)) error {
	var row lienthong.Change
	width := len(c.layout.shape.Fields)
	for rows.Next(&row) {
		if reason := checkIdentity(row.ID); reason != "" {
			refuse(row.ID, reason)
			continue
		}
		next := change{version: row.Version, at: row.At, item: item, op: row.Op}
		reason := ""
		switch {
		case row.Op > lienthong.Hold:
			reason = refusedOperation
		case row.At < minTimestamp || row.At > maxTimestamp:
			reason, next.at = refusedTimestamp, 0
		case row.Op == lienthong.Upsert && len(row.Values) != width:
			reason = refusedColumns
		case row.Op == lienthong.Upsert:
			reason = c.checkValues(row.Values)
		}
		if reason != "" {
			refuse(row.ID, reason)
			next.op, next.refused = lienthong.Hold, true
		}
		if next.op == lienthong.Upsert {
			next.values = c.keep(row.Values)
		} else {
			c.plain = false
		}
		next.record = c.find(row.ID)
		c.changes = append(c.changes, next)
	}
	return rows.Err()
}

// blockValues is how many values one block of the arena holds: more than the
// widest row has.
const blockValues = 8192

// keep copies values into the arena. Blocks never move, so that slices given out
// stay valid.
func (c *changeSet) keep(values []lienthong.Value) []lienthong.Value {
	if c.block == len(c.arena) {
		c.arena = append(c.arena, make([]lienthong.Value, 0, blockValues))
	}
	b := c.arena[c.block]
	if len(b)+len(values) > cap(b) {
		c.block++
		return c.keep(values)
	}
	start := len(b)
	b = append(b, values...)
	c.arena[c.block] = b
	return b[start:len(b):len(b)]
}

// find returns the index of the record with the id, and adds it when it is new.
func (c *changeSet) find(id []byte) int32 {
	if 2*(len(c.records)+1) > len(c.slots) {
		c.grow()
	}
	mask := uint64(len(c.slots) - 1)
	for at := maphash.Bytes(c.seed, id) & mask; ; at = (at + 1) & mask {
		slot := c.slots[at]
		if slot == 0 {
			c.records = append(c.records, record{id: id})
			c.slots[at] = int32(len(c.records))
			return int32(len(c.records) - 1)
		}
		if bytes.Equal(c.records[slot-1].id, id) {
			return slot - 1
		}
	}
}

func (c *changeSet) grow() {
	c.slots = make([]int32, max(1024, 2*len(c.slots)))
	mask := uint64(len(c.slots) - 1)
	for i := range c.records {
		at := maphash.Bytes(c.seed, c.records[i].id) & mask
		for c.slots[at] != 0 {
			at = (at + 1) & mask
		}
		c.slots[at] = int32(i + 1)
	}
}

// outcome is what became of a change.
type outcome uint8

const (
	landed outcome = iota
	ignored
	marked // ignored, but what is older than it is void from now on
	incomplete
	alreadyRefused
)

// settle plays the changes onto what the table has, in order, and reports what
// became of each. With sameVersionWins a change of the stored version counts as
// newer: the row may have been tampered with.
func (c *changeSet) settle(sequences []uint64, sameVersionWins bool, report func(change *change, id []byte, result outcome)) {
	for i := range c.records {
		r := &c.records[i]
		r.is, r.version, r.touched, r.values, r.allKept = r.had, r.hadVersion, false, nil, true
	}
	for i := range c.changes {
		ch := &c.changes[i]
		r := &c.records[ch.record]
		result := r.apply(ch, sameVersionWins)
		if result == landed || (result != ignored && r.touched) {
			r.sequence, r.item = sequences[ch.item], ch.item
		}
		report(ch, r.id, result)
	}
}

func (r *record) apply(ch *change, sameVersionWins bool) outcome {
	newer := ch.version > r.version || r.is == absent && !r.touched
	if sameVersionWins && !r.touched && ch.version == r.hadVersion {
		newer = true
	}
	if !newer {
		if ch.refused {
			return alreadyRefused
		}
		return ignored
	}
	switch ch.op {
	case lienthong.Upsert:
		gone := r.is == absent || r.is == deleted
		if gone && hasUnchanged(ch.values) {
			return incomplete
		}
		if r.touched && !r.allKept {
			fillUnchanged(ch.values, r.values)
		}
		r.values, r.is, r.allKept = ch.values, live, false
	case lienthong.Delete:
		r.values, r.is, r.allKept = nil, deleted, false
	case lienthong.Hold:
		if r.is == absent {
			if ch.refused {
				return alreadyRefused
			}
			// The record never landed, but an older state of it may still be on its way: a
			// snapshot overtaken by this change. The mark keeps that from landing.
			r.values, r.is, r.allKept = nil, deleted, false
			r.version, r.at, r.touched = ch.version, ch.at, true
			return marked
		}
		if r.is != deleted {
			r.is = held
		}
	}
	r.version, r.at, r.touched = ch.version, ch.at, true
	if ch.refused {
		return alreadyRefused
	}
	return landed
}

func hasUnchanged(values []lienthong.Value) bool {
	for i := range values {
		if values[i].State == lienthong.Unchanged {
			return true
		}
	}
	return false
}

// fillUnchanged takes over from the earlier image what the later does not say.
func fillUnchanged(later, earlier []lienthong.Value) {
	for i := range later {
		if later[i].State != lienthong.Unchanged {
			continue
		}
		if earlier == nil {
			later[i] = lienthong.Value{}
		} else {
			later[i] = earlier[i]
		}
	}
}

// unchanged reports whether the field keeps its stored value.
func (r *record) unchanged(field int) bool {
	return r.allKept || r.values != nil && r.values[field].State == lienthong.Unchanged
}

// value returns what the field becomes.
func (r *record) value(field int) lienthong.Value {
	if r.values == nil {
		return lienthong.Value{}
	}
	return r.values[field]
}

func checkIdentity(id []byte) string {
	if len(id) == 0 || len(id) > maxIdentity || !storableText(id) {
		return refusedIdentity
	}
	return ""
}

func storableText(b []byte) bool {
	return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b)
}

// Dates and timestamps that PostgreSQL can store, in days and microseconds
// since 1970. The extremes of int64 stand for the infinities.
const (
	minDate      = -2_440_588 // the beginning of the Julian calendar
	maxDate      = 2_145_042_905
	minTimestamp = minDate * 86_400_000_000
	maxTimestamp = math.MaxInt64 - 1
)

func (c *changeSet) checkValues(values []lienthong.Value) string {
	fields := c.layout.shape.Fields
	for i := range values {
		v := &values[i]
		switch v.State {
		case lienthong.Null:
			continue
		case lienthong.Unchanged:
			c.plain = false
			continue
		case lienthong.Malformed:
			return refusedMalformed
		case lienthong.Present:
		default:
			return refusedMalformed
		}
		switch fields[i].Kind {
		case lienthong.Text:
			if !storableText(v.Bytes) {
				return refusedText
			}
		case lienthong.Decimal:
			if !canonicalDecimal(v.Bytes) {
				return refusedDecimal
			}
		case lienthong.Date:
			if (v.Int < minDate || v.Int > maxDate) && v.Int != math.MaxInt64 && v.Int != math.MinInt64 {
				return refusedDate
			}
		case lienthong.Timestamp:
			if (v.Int < minTimestamp || v.Int > maxTimestamp) && v.Int != math.MaxInt64 && v.Int != math.MinInt64 {
				return refusedTimestamp
			}
		case lienthong.Boolean:
			if v.Int != 0 && v.Int != 1 {
				return refusedMalformed
			}
		case lienthong.Integer, lienthong.Real, lienthong.Binary:
		}
	}
	return ""
}

// canonicalDecimal accepts what reads back exactly from every engine: an
// optional sign, digits without leading zeros, an optional fraction; or NaN, Infinity, -Infinity.
// Minus zero is not canonical.
func canonicalDecimal(b []byte) bool {
	switch string(b) {
	case "NaN", "Infinity", "-Infinity":
		return true
	}
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	point, nonzero := -1, false
	for i, ch := range b {
		switch {
		case ch >= '1' && ch <= '9':
			nonzero = true
		case ch == '0':
		case ch == '.' && point < 0:
			point = i
		default:
			return false
		}
	}
	whole, fraction := len(b), 0
	if point >= 0 {
		whole, fraction = point, len(b)-point-1
		if fraction == 0 {
			return false
		}
	}
	if whole == 0 || whole > 1 && b[0] == '0' || negative && !nonzero {
		return false
	}
	return whole <= 131_072 && fraction <= 16_383
}

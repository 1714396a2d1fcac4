package postgres

import (
	"github.com/lienthong/lienthong"
)

// A version is 63 bits: the commit's place in the WAL in units of 32 bytes (47
// bits, 4.5 PB of WAL), then the sequence within the transaction (16 bits).
//
// Two commits never share a unit: a commit record is at least 34 bytes long and
// records start at multiples of 8, so their starts are 40 bytes apart or more.
//
// Order of commits is order of changes for one record: the second transaction
// waits for the first to end before it can change the same row or take the same
// key (row lock, unique index), so its commit record lies later. That needs a key
// whose index is checked at once; deferrable constraints are no key for us.
const (
	unitBits     = 5
	sequenceBits = 16
	// sequenceLimit is the first sequence not given to a change as it arrives. The
	// two above are for the last state of records that were changed more often
	// (sequenceHeld) and for a truncate before them.
	sequenceLimit    = 1<<sequenceBits - 3
	sequenceTruncate = 1<<sequenceBits - 2
	sequenceHeld     = 1<<sequenceBits - 1
)

// versionAt is the version of a change.
func versionAt(commit uint64, sequence uint32) int64 {
	return int64(commit>>unitBits<<sequenceBits | uint64(sequence))
}

// viewVersion is the version of a view at a consistent point: one below the
// lowest version that a commit at or after it can have.
func viewVersion(consistent uint64) int64 { return versionAt(consistent, 0) - 1 }

// positionOf is the position of a transaction whose commit record starts there.
func positionOf(commit uint64) lienthong.Position { return lienthong.Position{Order: commit + 1} }

// sequencer gives each change of a transaction its sequence: higher than that of
// an earlier change of the same record. It counts per bucket of a hash over the
// key, so transactions of any number of records need constant memory, and a
// record's number is the same when the transaction is delivered again.
type sequencer struct {
	limit   uint32
	base    uint32 // no sequence below it any more: a truncate happened
	highest uint32
	used    bool
	epoch   uint32
	buckets [4096]struct{ epoch, next uint32 }
}

func (q *sequencer) begin() {
	q.base, q.highest, q.used = 0, 0, false
	q.epoch++
	if q.epoch == 0 {
		clear(q.buckets[:])
		q.epoch = 1
	}
}

// next returns the sequence for a change, and false when the bucket is full.
func (q *sequencer) next(hash uint64) (uint32, bool) {
	bucket := &q.buckets[hash%uint64(len(q.buckets))]
	if bucket.epoch != q.epoch {
		bucket.epoch, bucket.next = q.epoch, q.base
	}
	if bucket.next >= q.limit {
		return 0, false
	}
	sequence := bucket.next
	bucket.next++
	q.highest, q.used = max(q.highest, sequence), true
	return sequence, true
}

// truncate returns a sequence above all given so far, and gives only higher ones
// from then on.
func (q *sequencer) truncate() uint32 {
	sequence := uint32(0)
	if q.used {
		sequence = q.highest + 1
	}
	if sequence >= q.limit || q.base >= q.limit {
		q.base = q.limit
		sequence = sequenceTruncate
	} else {
		q.base = sequence + 1
		q.highest, q.used = sequence, true
	}
	q.epoch++ // forget the buckets: all start at base
	if q.epoch == 0 {
		clear(q.buckets[:])
		q.epoch = 1
	}
	return sequence
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

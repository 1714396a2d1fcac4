package capture

import (
	"sync"

	"github.com/lienthong/lienthong"
)

// members are the records that the hub may have, of a dataset whose definition leaves rows
// out. Without them, a row outside would have to be reported as deleted whether or not it ever
// was inside, and the identities of other territories would travel.
//
// They are kept as 64-bit digests: the set may hold a record too many, which costs a needless
// delete, never one too few.
type members struct {
	mu   sync.Mutex
	have map[uint64]struct{}
	// left are the versions at which records were found outside or deleted while a snapshot
	// is read, so that a chunk that shows an earlier state of one does not bring it back.
	left map[uint64]int64
	// came are likewise the versions at which records were found inside.
	came    map[uint64]int64
	reading int // views that are being read
	joined  []uint64
	parted  []uint64
}

func newMembers() *members {
	return &members{have: map[uint64]struct{}{}, left: map[uint64]int64{}, came: map[uint64]int64{}}
}

// memberDigest is FNV-1a with a final mix: it is stable, because it is stored.
func memberDigest(id []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range id {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (m *members) load(digest uint64) { m.have[digest] = struct{}{} }

func (m *members) has(id []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, has := m.have[memberDigest(id)]
	return has
}

// join takes a record in. It returns false when the stream has said meanwhile that the
// record is outside, and the row shows an earlier state of it. saved: what was taken in is
// collected by the caller, not by change.
func (m *members) join(id []byte, version int64) (fresh, current bool) {
	h := memberDigest(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left[h] > version {
		return false, false
	}
	if m.reading > 0 {
		m.came[h] = max(m.came[h], version)
	}
	if _, has := m.have[h]; has {
		return false, true
	}
	m.have[h] = struct{}{}
	return true, true
}

// leave takes a record out, and reports whether the hub may have it.
func (m *members) leave(id []byte, version int64) bool {
	h := memberDigest(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reading > 0 {
		m.left[h] = max(m.left[h], version)
	}
	if _, has := m.have[h]; !has {
		return false
	}
	delete(m.have, h)
	m.parted = append(m.parted, h)
	return true
}

// part takes a record out that a view shows outside, unless the stream has said later that
// it is inside. It reports whether the record was in; what was taken out is collected by the caller.
func (m *members) part(id []byte, version int64) bool {
	h := memberDigest(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, has := m.have[h]; !has || m.came[h] > version {
		return false
	}
	delete(m.have, h)
	return true
}

// note collects a record that the stream has taken in.
func (m *members) note(id []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.joined = append(m.joined, memberDigest(id))
}

// change returns what the stream has changed since the last call.
func (m *members) change() (MemberChange, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := MemberChange{Joined: m.joined, Left: m.parted}
	m.joined, m.parted = nil, nil
	return c, len(c.Joined)+len(c.Left) > 0
}

// revert takes back what was collected and not handed over: the source says it again.
func (m *members) revert() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.joined {
		delete(m.have, h)
	}
	for _, h := range m.parted {
		m.have[h] = struct{}{}
	}
	m.joined, m.parted = nil, nil
}

// clear takes every record out: the table was emptied.
func (m *members) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.have)
	m.joined, m.parted = nil, nil
}

// view counts the views that are being read.
func (m *members) view(by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reading += by; m.reading == 0 {
		clear(m.left)
		clear(m.came)
	}
}

// belongs settles a row of the stream of a filtered dataset: whether it travels, and as what.
func (w *worker) belongs(o outcome) (result outcome, travels bool) {
	m := w.dataset.members
	gone := w.change.Op == lienthong.Delete
	if o == unsaid {
		// What decides was not said, so it is as it was: the record is inside if it was.
		if o = outside; m.has(w.id) {
			o = w.judge()
		}
	}
	switch {
	case o == unnamed:
		return o, !gone
	case gone || o == outside:
		if len(w.id) == 0 || !m.leave(w.id, w.change.Version) {
			return outside, false
		}
		w.change.Op = lienthong.Delete
		w.verdict.Failed, w.verdict.Blocked = w.verdict.Failed[:0], false
		return passed, true
	}
	if fresh, _ := m.join(w.id, w.change.Version); fresh {
		m.note(w.id)
	}
	return o, true
}

package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/lienthong/lienthong"
)

// Buckets is the number of buckets of a Digest. With 1,000,000 records a bucket
// holds about a thousand: few enough to send again as one batch.
const Buckets = 1024

// BucketOf returns the bucket of a record, 0 to Buckets-1. It depends on the
// identity alone, so that both ends agree without talking: FNV-1a with a final mix.
func BucketOf(id []byte) int {
	h := uint64(14695981039346656037)
	for _, c := range id {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return int(h % Buckets)
}

// RowHash is what one record adds to a digest.
type RowHash struct {
	Bucket int
	Sum    [2]uint64
}

// Hasher computes row hashes of one shape. It is for one goroutine.
type Hasher struct {
	shape *lienthong.Shape
	tags  []byte // 4 bytes per field, from its name: a null field that is added later changes no hash
	buf   []byte
}

// NewHasher returns a hasher for rows of the shape.
func NewHasher(shape *lienthong.Shape) *Hasher {
	h := &Hasher{shape: shape}
	for i := range shape.Fields {
		sum := sha256.Sum256([]byte(shape.Fields[i].Name))
		h.tags = append(h.tags, sum[:4]...)
	}
	return h
}

// Row hashes a record: SHA-256 over its identity and every field that has a
// value, each preceded by a tag of its name and its length, cut to 128 bits.
func (h *Hasher) Row(id []byte, values []lienthong.Value) RowHash {
	b := binary.AppendUvarint(h.buf[:0], uint64(len(id)))
	b = append(b, id...)
	for i := range values {
		v := &values[i]
		if v.State != lienthong.Present {
			continue
		}
		b = append(b, h.tags[4*i:4*i+4]...)
		if h.shape.Fields[i].Kind.InBytes() {
			b = binary.AppendUvarint(b, uint64(len(v.Bytes)))
			b = append(b, v.Bytes...)
		} else {
			b = binary.AppendVarint(b, v.Int)
		}
	}
	h.buf = b
	sum := sha256.Sum256(b)
	return RowHash{
		Bucket: BucketOf(id),
		Sum:    [2]uint64{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])},
	}
}

// Digest summarises a set of records so that two ends can find out whether
// theirs are equal, and where not. It does not depend on the order of records:
// a bucket is the sum of its rows' hashes modulo 2^128, and their number.
type Digest struct {
	Rows    int64
	buckets [Buckets]bucket
}

type bucket struct {
	hi, lo uint64
	rows   uint32
}

// Add counts a record in.
func (d *Digest) Add(h RowHash) {
	b := &d.buckets[h.Bucket]
	lo := b.lo + h.Sum[1]
	if lo < b.lo {
		b.hi++
	}
	b.lo = lo
	b.hi += h.Sum[0]
	b.rows++
	d.Rows++
}

// Differing lists the buckets in which the two digests are not equal.
func (d *Digest) Differing(other *Digest) []int {
	var differ []int
	for i := range d.buckets {
		if d.buckets[i] != other.buckets[i] {
			differ = append(differ, i)
		}
	}
	return differ
}

// MarshalJSON writes the rows and the buckets as one base64 string: 20 bytes each,
// sum and count, big-endian.
func (d *Digest) MarshalJSON() ([]byte, error) {
	packed := make([]byte, 0, Buckets*20)
	for i := range d.buckets {
		packed = binary.BigEndian.AppendUint64(packed, d.buckets[i].hi)
		packed = binary.BigEndian.AppendUint64(packed, d.buckets[i].lo)
		packed = binary.BigEndian.AppendUint32(packed, d.buckets[i].rows)
	}
	return json.Marshal(digestJSON{Rows: d.Rows, Buckets: packed})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (d *Digest) UnmarshalJSON(data []byte) error {
	var j digestJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	if len(j.Buckets) != Buckets*20 {
		return fmt.Errorf("digest has %d bytes of buckets, not %d", len(j.Buckets), Buckets*20)
	}
	d.Rows = 0
	for i := range d.buckets {
		p := j.Buckets[20*i:]
		d.buckets[i] = bucket{
			hi: binary.BigEndian.Uint64(p), lo: binary.BigEndian.Uint64(p[8:]), rows: binary.BigEndian.Uint32(p[16:]),
		}
		d.Rows += int64(d.buckets[i].rows)
	}
	if d.Rows != j.Rows {
		return fmt.Errorf("digest says %d rows, its buckets %d", j.Rows, d.Rows)
	}
	return nil
}

type digestJSON struct {
	Rows    int64  `json:"rows"`
	Buckets []byte `json:"buckets"`
}

// DigestBody is the payload of a digest batch: what the source says it holds at
// a checkpoint.
type DigestBody struct {
	Checkpoint  string  `json:"checkpoint"`
	SourceRows  int64   `json:"source_rows"` // in the source's table
	Quarantined int64   `json:"quarantined"` // of them held back by a blocking rule
	Digest      *Digest `json:"digest"`      // of the others
}

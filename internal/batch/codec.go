package batch

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/lienthong/lienthong"
)

// Schema returns the Avro schema of a shape's rows, which lets any language read
// a payload: the four bookkeeping fields, then one field per element, each a
// union of null, its type, and the empty record Unchanged.
func Schema(shape *lienthong.Shape) []byte {
	type field struct {
		Name string `json:"name"`
		Type any    `json:"type"`
		Doc  string `json:"doc,omitempty"`
	}
	micros := map[string]string{"type": "long", "logicalType": "timestamp-micros"}
	fields := []field{
		{Name: "op", Type: map[string]any{"type": "enum", "name": "Op", "symbols": []string{"upsert", "delete", "hold"}}},
		{Name: "id", Type: "string"},
		{Name: "version", Type: "long"},
		{Name: "at", Type: micros},
	}
	unchanged := any(map[string]any{"type": "record", "name": "Unchanged", "fields": []string{}})
	for i := range shape.Fields {
		f := &shape.Fields[i]
		fields = append(fields, field{
			Name: "f_" + avroName(f.Name), Doc: f.Element,
			Type: []any{"null", avroType(f.Kind), unchanged},
		})
		unchanged = "Unchanged"
	}
	// The maps hold only strings and lists: this cannot fail.
	schema, _ := json.Marshal(map[string]any{
		"type": "record", "name": "Row",
		"namespace": "vn.lienthong." + shape.Dataset.Database + "." + shape.Dataset.Name + ".v" + strconv.Itoa(shape.Version),
		"fields":    fields,
	})
	return schema
}

func avroType(k lienthong.Kind) any {
	switch k {
	case lienthong.Integer:
		return "long"
	case lienthong.Real:
		return "double"
	case lienthong.Boolean:
		return "boolean"
	case lienthong.Date:
		return map[string]string{"type": "int", "logicalType": "date"}
	case lienthong.Timestamp:
		return map[string]string{"type": "long", "logicalType": "timestamp-micros"}
	case lienthong.Binary:
		return "bytes"
	case lienthong.Text, lienthong.Decimal: // decimals of any scale travel as text
		return "string"
	}
	return "string"
}

// avroName spells a field name with the letters that Avro allows; others become
// their code point, so that two names never meet.
func avroName(name string) string {
	out := make([]byte, 0, len(name))
	for _, r := range name {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			out = append(out, byte(r))
		} else {
			out = fmt.Appendf(out, "_u%x_", r)
		}
	}
	return string(out)
}

// Branches of a field's union, in the order of Schema.
const (
	branchNull = iota
	branchValue
	branchUnchanged
)

// AppendRow appends one change in Avro binary. The change must have one value
// per field of the shape; Malformed values cannot travel and are written as null,
// because capture holds such rows back.
func AppendRow(dst []byte, shape *lienthong.Shape, c *lienthong.Change) []byte {
	dst = binary.AppendVarint(dst, int64(c.Op))
	dst = appendBytes(dst, c.ID)
	dst = binary.AppendVarint(dst, c.Version)
	dst = binary.AppendVarint(dst, c.At)
	for i := range shape.Fields {
		v := &c.Values[i]
		switch v.State {
		case lienthong.Null, lienthong.Malformed:
			dst = append(dst, branchNull<<1)
		case lienthong.Unchanged:
			dst = append(dst, branchUnchanged<<1)
		case lienthong.Present:
			dst = append(dst, branchValue<<1)
			switch shape.Fields[i].Kind {
			case lienthong.Text, lienthong.Decimal, lienthong.Binary:
				dst = appendBytes(dst, v.Bytes)
			case lienthong.Integer, lienthong.Date, lienthong.Timestamp:
				dst = binary.AppendVarint(dst, v.Int)
			case lienthong.Real:
				dst = binary.LittleEndian.AppendUint64(dst, uint64(v.Int))
			case lienthong.Boolean:
				dst = append(dst, byte(v.Int&1))
			}
		}
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

// Rows reads the changes of a decompressed payload. It never panics, whatever
// the bytes are.
type Rows struct {
	shape *lienthong.Shape
	raw   []byte
	count int // rows that the header promises

	rest []byte
	read int
	err  error
}

// NewRows returns a reader of count rows.
func NewRows(shape *lienthong.Shape, raw []byte, count int) *Rows {
	return &Rows{shape: shape, raw: raw, count: count, rest: raw}
}

// Count is the number of rows that the header promised.
func (r *Rows) Count() int { return r.count }

// Size is the number of bytes of all rows.
func (r *Rows) Size() int { return len(r.raw) }

// Reset starts again at the first row.
func (r *Rows) Reset() { r.rest, r.read, r.err = r.raw, 0, nil }

// Err is why Next returned false, or nil after the last row.
func (r *Rows) Err() error { return r.err }

// Next reads the next row into c, reusing c.Values. The byte slices point into
// the payload and stay valid as long as it does.
func (r *Rows) Next(c *lienthong.Change) bool {
	if r.err != nil {
		return false
	}
	if r.read == r.count {
		if len(r.rest) != 0 {
			r.err = r.broken("bytes after the last row")
		}
		return false
	}
	op := r.varint()
	id := r.bytes()
	c.Version = r.varint()
	c.At = r.varint()
	if op < 0 || op > int64(lienthong.Hold) {
		r.err = r.broken("unknown operation")
	}
	c.Op, c.ID = lienthong.Op(op&3), id
	if cap(c.Values) < len(r.shape.Fields) {
		c.Values = make([]lienthong.Value, len(r.shape.Fields))
	}
	c.Values = c.Values[:len(r.shape.Fields)]
	for i := range c.Values {
		r.value(r.shape.Fields[i].Kind, &c.Values[i])
	}
	if r.err != nil {
		return false
	}
	r.read++
	return true
}

func (r *Rows) value(kind lienthong.Kind, v *lienthong.Value) {
	*v = lienthong.Value{}
	switch branch := r.varint(); branch {
	case branchNull:
	case branchUnchanged:
		v.State = lienthong.Unchanged
	case branchValue:
		v.State = lienthong.Present
		switch kind {
		case lienthong.Text, lienthong.Decimal, lienthong.Binary:
			v.Bytes = r.bytes()
		case lienthong.Integer, lienthong.Date, lienthong.Timestamp:
			v.Int = r.varint()
		case lienthong.Real:
			if b := r.take(8); b != nil {
				v.Int = int64(binary.LittleEndian.Uint64(b))
			}
		case lienthong.Boolean:
			if b := r.take(1); b != nil {
				if b[0] > 1 {
					r.err = r.broken("a boolean is 0 or 1")
				}
				v.Int = int64(b[0])
			}
		}
	default:
		if r.err == nil {
			r.err = r.broken("unknown union branch")
		}
	}
}

func (r *Rows) varint() int64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.err = r.broken("number cut off")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *Rows) bytes() []byte { return r.take(r.varint()) }

func (r *Rows) take(n int64) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > int64(len(r.rest)) {
		r.err = r.broken("value cut off")
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *Rows) broken(what string) error {
	return &lienthong.Error{
		Code: "batch.rows", Where: fmt.Sprintf("row %d, byte %d", r.read+1, len(r.raw)-len(r.rest)),
		Vi: "nội dung lô không đọc được", En: "the rows of the batch cannot be read: " + what,
		Hint: "yêu cầu nút gửi lại / ask the node to send it again",
	}
}

package lienthong

import (
	"encoding/hex"
	"math"
	"strconv"
	"time"
)

// Kind is the type of a value, independent of any engine.
type Kind uint8

// The kinds, and where a Value holds each of them.
const (
	Text      Kind = iota // Bytes, UTF-8 in NFC
	Integer               // Int
	Decimal               // Bytes, canonical decimal text: "-12.50", "NaN"
	Real                  // Int, math.Float64bits
	Boolean               // Int, 0 or 1
	Date                  // Int, days since 1970-01-01
	Timestamp             // Int, microseconds since 1970-01-01T00:00:00Z
	Binary                // Bytes
)

var kindNames = [...]string{"text", "integer", "decimal", "real", "boolean", "date", "timestamp", "binary"}

// String is the kind's name in the dictionary.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// MarshalText writes the kind by name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a kind by name.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return &Error{
		Code: "kind.unknown", Where: string(text),
		Vi: "kiểu dữ liệu không có", En: "no such kind of value",
		Hint: "text, integer, decimal, real, boolean, date, timestamp, binary",
	}
}

// InBytes reports whether values of the kind are held in Value.Bytes.
func (k Kind) InBytes() bool { return k == Text || k == Decimal || k == Binary }

// State tells what a Value says about its field.
type State uint8

// The states of a value.
const (
	Null      State = iota // the source says: no value
	Present                // the source says: this value
	Unchanged              // the source says nothing: keep what is there (TOAST, partial images)
	Malformed              // the source's text is not of the field's kind; Bytes hold that text
)

// Value is one field of one row. It is a plain struct, not an interface, so that
// millions of rows pass through capture without an allocation each. Bytes may
// point into a buffer that is reused: copy what must outlive the call.
type Value struct {
	State State
	Int   int64
	Bytes []byte
}

// AppendText appends the value in its canonical text form: dates as
// 2006-01-02, timestamps in UTC with microseconds, booleans as true and false,
// binary in hexadecimal.
// Null, Unchanged and Malformed append nothing.
func (v *Value) AppendText(dst []byte, kind Kind) []byte {
	if v.State != Present {
		return dst
	}
	switch kind {
	case Text, Decimal:
		return append(dst, v.Bytes...)
	case Binary:
		return hex.AppendEncode(dst, v.Bytes)
	case Integer:
		return strconv.AppendInt(dst, v.Int, 10)
	case Real:
		return strconv.AppendFloat(dst, math.Float64frombits(uint64(v.Int)), 'g', -1, 64)
	case Boolean:
		return strconv.AppendBool(dst, v.Int != 0)
	case Date:
		return time.Unix(v.Int*86400, 0).UTC().AppendFormat(dst, time.DateOnly)
	case Timestamp:
		return time.UnixMicro(v.Int).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	}
	return dst
}

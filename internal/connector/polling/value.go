package polling

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

func real64(n int64) float64 { return math.Float64frombits(uint64(n)) }

func present(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

func presentBytes(b []byte) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: b}
}

func malformed(b []byte) lienthong.Value {
	return lienthong.Value{State: lienthong.Malformed, Bytes: b}
}

// Float32 is a Dialect.Convert for engines whose drivers widen numbers of four bytes, which
// turns 0.1 into 0.10000000149: it takes the shortest text that means the same four bytes.
func Float32(types ...string) func(any, *lienthong.Column) any {
	return func(raw any, c *lienthong.Column) any {
		name, _, _ := strings.Cut(strings.ToLower(c.SourceType), "(")
		if !slices.Contains(types, name) {
			return raw
		}
		switch f := raw.(type) {
		case float64:
			return strconv.FormatFloat(f, 'g', -1, 32)
		case float32:
			return strconv.FormatFloat(float64(f), 'g', -1, 32)
		}
		return raw
	}
}

// Convert makes a value of the column's kind from what a driver returned. What is
// not of the kind is malformed and keeps its text.
func Convert(raw any, kind lienthong.Kind) lienthong.Value {
	switch v := raw.(type) {
	case nil:
		return lienthong.Value{}
	case []byte:
		if kind == lienthong.Binary {
			return presentBytes(v)
		}
		return fromText(v, kind)
	case string:
		return fromText([]byte(v), kind)
	case int64:
		return fromInteger(v, kind)
	case bool:
		n := int64(0)
		if v {
			n = 1
		}
		if kind == lienthong.Text {
			return presentBytes(strconv.AppendBool(nil, v))
		}
		return fromInteger(n, kind)
	case float64:
		return fromFloat(v, 64, kind)
	case float32:
		return fromFloat(float64(v), 32, kind)
	case time.Time:
		return fromTime(v, kind)
	case uint64: // of drivers that go beyond database/sql
		return fromText(strconv.AppendUint(nil, v, 10), kind)
	}
	return fromText(fmt.Append(nil, raw), kind)
}

func fromInteger(n int64, kind lienthong.Kind) lienthong.Value {
	switch kind {
	case lienthong.Integer:
		return present(n)
	case lienthong.Boolean:
		if n == 0 || n == 1 {
			return present(n)
		}
	case lienthong.Real:
		if f := float64(n); f < math.MaxInt64 && int64(f) == n {
			return present(int64(math.Float64bits(f)))
		}
	case lienthong.Decimal, lienthong.Text:
		return presentBytes(strconv.AppendInt(nil, n, 10))
	case lienthong.Timestamp:
		// A number as a time means seconds since 1970; beyond the year 9999 it is something else.
		if n >= -62135596800 && n <= 253402300799 {
			return present(n * 1_000_000)
		}
	case lienthong.Date, lienthong.Binary:
	}
	return malformed(strconv.AppendInt(nil, n, 10))
}

func fromFloat(f float64, bits int, kind lienthong.Kind) lienthong.Value {
	text := strconv.AppendFloat(nil, f, 'g', -1, bits)
	switch kind {
	case lienthong.Real:
		return fromText(text, kind)
	case lienthong.Integer:
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return present(int64(f))
		}
	case lienthong.Decimal:
		if !math.IsInf(f, 0) {
			return presentBytes(strconv.AppendFloat(nil, f, 'f', -1, bits))
		}
	case lienthong.Text:
		return presentBytes(text)
	case lienthong.Boolean, lienthong.Date, lienthong.Timestamp, lienthong.Binary:
	}
	return malformed(text)
}

func fromTime(t time.Time, kind lienthong.Kind) lienthong.Value {
	switch kind {
	case lienthong.Date:
		// The day that the driver's clock shows, whichever zone it put there.
		day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
		return present(floorDiv(day.Unix(), 86400))
	case lienthong.Timestamp:
		return present(t.UnixMicro())
	case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean, lienthong.Binary:
	}
	text := t.AppendFormat(nil, time.RFC3339Nano)
	if kind == lienthong.Text {
		return presentBytes(text)
	}
	return malformed(text)
}

func fromText(b []byte, kind lienthong.Kind) lienthong.Value {
	switch kind {
	case lienthong.Text:
		if utf8.Valid(b) {
			return presentBytes(b)
		}
	case lienthong.Binary:
		return presentBytes(b)
	case lienthong.Integer:
		if n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64); err == nil {
			return present(n)
		}
	case lienthong.Decimal:
		if text, ok := decimal(b); ok {
			return presentBytes(text)
		}
	case lienthong.Real:
		if f, err := strconv.ParseFloat(string(bytes.TrimSpace(b)), 64); err == nil {
			return present(int64(math.Float64bits(f)))
		}
	case lienthong.Boolean:
		switch strings.ToLower(string(bytes.TrimSpace(b))) {
		case "1", "t", "true", "y", "yes", "\x01":
			return present(1)
		case "0", "f", "false", "n", "no", "\x00":
			return present(0)
		}
	case lienthong.Date:
		// A day with a time of midnight is a day.
		if at, ok := parseTime(string(bytes.TrimSpace(b))); ok && at%dayMicros == 0 {
			return present(floorDiv(at, dayMicros))
		}
	case lienthong.Timestamp:
		if at, ok := parseTime(string(bytes.TrimSpace(b))); ok {
			return present(at)
		}
	}
	return malformed(b)
}

const dayMicros = 86400 * 1_000_000

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// parseTime reads "2006-01-02", then a space or T and a time of day, fractions down to
// microseconds, and Z or an offset. Without an offset it is UTC.
func parseTime(s string) (int64, bool) {
	s = strings.TrimPrefix(s, "+")
	for _, form := range [...]string{
		time.DateOnly, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
		"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999Z07:00",
		"2006-01-02 15:04:05.999999999-07", "2006-01-02 15:04:05.999999999 -07:00",
		"2006-01-02 15:04", "2006-01-02T15:04",
	} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UnixMicro(), true
		}
	}
	return 0, false
}

// decimal brings a number to canonical text: "-12.50", "0.5". The digits stay as the source has
// them, trailing zeros of the fraction included; exponents are written out.
func decimal(b []byte) ([]byte, bool) {
	s := strings.TrimPrefix(strings.TrimSpace(string(b)), "+")
	if s == "NaN" {
		return []byte(s), true
	}
	body, negative := strings.CutPrefix(s, "-")
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(body), "e")
	whole, fraction, dotted := strings.Cut(mantissa, ".")
	if whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return nil, false
	}
	if scientific {
		shift, err := strconv.Atoi(exponent)
		if err != nil || shift > 20_000 || shift < -20_000 {
			return nil, false
		}
		all, point := whole+fraction, len(whole)+shift
		switch {
		case point <= 0:
			whole, fraction = "", strings.Repeat("0", -point)+all
		case point >= len(all):
			whole, fraction = all+strings.Repeat("0", point-len(all)), ""
		default:
			whole, fraction = all[:point], all[point:]
		}
		dotted = fraction != ""
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	text := whole
	if dotted && fraction != "" {
		text += "." + fraction
	}
	if negative {
		text = "-" + text
	}
	return []byte(text), true
}

// wholeNumber reads a whole number from whatever a driver returned for one.
func wholeNumber(raw any) (int64, error) {
	v := Convert(raw, lienthong.Decimal)
	text, ok := decimal(v.Bytes)
	if v.State == lienthong.Present && ok {
		whole, fraction, _ := strings.Cut(string(text), ".")
		if strings.Trim(fraction, "0") == "" {
			if n, err := strconv.ParseInt(whole, 10, 64); err == nil {
				return n, nil
			}
		}
	}
	return 0, errors.New("polling: the engine's answer is not a whole number")
}

// A mark is where a table's monotonic column stood, as a number that compares as the column does.
func markOf(v *lienthong.Value, kind lienthong.Kind) (int64, bool) {
	if v.State != lienthong.Present {
		return 0, false
	}
	switch kind {
	case lienthong.Integer, lienthong.Timestamp, lienthong.Date:
		return v.Int, true
	case lienthong.Decimal:
		whole, _, _ := strings.Cut(string(v.Bytes), ".")
		n, err := strconv.ParseInt(whole, 10, 64)
		return n, err == nil
	case lienthong.Binary:
		if len(v.Bytes) == 8 && v.Bytes[0] < 0x80 {
			return int64(binary.BigEndian.Uint64(v.Bytes)), true
		}
	case lienthong.Text, lienthong.Real, lienthong.Boolean:
	}
	return 0, false
}

func markValue(mark int64, kind lienthong.Kind) lienthong.Value {
	switch kind {
	case lienthong.Decimal:
		return presentBytes(strconv.AppendInt(nil, mark, 10))
	case lienthong.Binary:
		return presentBytes(binary.BigEndian.AppendUint64(nil, uint64(max(mark, 0))))
	case lienthong.Text, lienthong.Integer, lienthong.Real, lienthong.Boolean, lienthong.Date, lienthong.Timestamp:
	}
	return present(mark)
}

func monotonicKind(kind lienthong.Kind) bool {
	switch kind {
	case lienthong.Integer, lienthong.Timestamp, lienthong.Date, lienthong.Decimal, lienthong.Binary:
		return true
	case lienthong.Text, lienthong.Real, lienthong.Boolean:
	}
	return false
}

// back is a mark moved back by the overlap.
func back(mark int64, kind lienthong.Kind, overlap time.Duration, numbers int64) int64 {
	step := numbers
	switch kind {
	case lienthong.Timestamp:
		step = overlap.Microseconds()
	case lienthong.Date:
		step = int64(overlap/(24*time.Hour)) + 1
	case lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean, lienthong.Binary:
	}
	result := new(big.Int).Sub(big.NewInt(mark), big.NewInt(step))
	if !result.IsInt64() {
		return math.MinInt64
	}
	return result.Int64()
}

// A stored value is a number (payload<<2 | state): for kinds in bytes and what is malformed
// the payload is the length and the bytes follow, for others the value follows as a varint.
func appendStored(dst []byte, v *lienthong.Value, kind lienthong.Kind) []byte {
	switch {
	case v.State == lienthong.Null, v.State == lienthong.Unchanged:
		return append(dst, byte(v.State))
	case v.State == lienthong.Malformed, kind.InBytes():
		dst = binary.AppendUvarint(dst, uint64(len(v.Bytes))<<2|uint64(v.State))
		return append(dst, v.Bytes...)
	}
	return binary.AppendVarint(append(dst, byte(v.State)), v.Int)
}

var errDamaged = errors.New("polling: a stored row is damaged")

// readStored reads one value; its bytes point into b.
func readStored(b []byte, kind lienthong.Kind) (v lienthong.Value, rest []byte, err error) {
	head, n := binary.Uvarint(b)
	if n <= 0 {
		return v, nil, errDamaged
	}
	b = b[n:]
	v.State = lienthong.State(head & 3)
	switch {
	case v.State == lienthong.Null, v.State == lienthong.Unchanged:
	case v.State == lienthong.Malformed, kind.InBytes():
		if head>>2 > uint64(len(b)) {
			return v, nil, errDamaged
		}
		v.Bytes, b = b[:head>>2:head>>2], b[head>>2:]
	default:
		if v.Int, n = binary.Varint(b); n <= 0 {
			return v, nil, errDamaged
		}
		b = b[n:]
	}
	return v, b, nil
}

const digestSize = 16

// digester makes the digest by which states of a row are compared. Columns count by name and
// only with a value, so that a column that is added empty, or moved, changes no row.
type digester struct {
	columns []lienthong.Column
	order   []int // by name
	hash    hash.Hash
	buffer  []byte
}

func newDigester(columns []lienthong.Column) *digester {
	d := &digester{columns: columns, hash: sha256.New()}
	for i := range columns {
		d.order = append(d.order, i)
	}
	slices.SortFunc(d.order, func(a, b int) int { return strings.Compare(columns[a].Name, columns[b].Name) })
	return d
}

func (d *digester) sum(row []lienthong.Value) []byte {
	d.hash.Reset()
	for _, i := range d.order {
		if row[i].State == lienthong.Null {
			continue
		}
		b := binary.AppendUvarint(d.buffer[:0], uint64(len(d.columns[i].Name)))
		b = append(b, d.columns[i].Name...)
		d.buffer = appendStored(b, &row[i], d.columns[i].Kind)
		_, _ = d.hash.Write(d.buffer) // never fails
	}
	return d.hash.Sum(nil)[:digestSize]
}

package mysql

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// span is a range of the key: after From, up to and with To. An empty bound is none. The
// values are those of the first columns of the key, as text, or as hexadecimal digits where
// the column is binary. They mean the same to any later view.
type span struct {
	From []string `json:"from,omitempty"`
	To   []string `json:"to,omitempty"`
}

func (p span) chunk() connector.Chunk {
	text, _ := json.Marshal(p) // texts cannot fail
	return connector.Chunk(text)
}

func parseChunk(chunk connector.Chunk, most int) (span, error) {
	var p span
	err := json.Unmarshal([]byte(chunk), &p)
	if err == nil && (len(p.From) > most || len(p.To) > most || len(p.From) > 0 && len(p.To) > 0 && len(p.From) != len(p.To)) ||
		err != nil || p.chunk() != chunk {
		return span{}, &lienthong.Error{
			Code: "mysql.chunk", Where: string(chunk),
			Vi: "đoạn không đúng dạng", En: "not a chunk of this source", Hint: "chia lại bảng / divide the table again",
		}
	}
	return p, nil
}

// divisible are the first columns of the key whose values can bound a range: their order
// in the index is that of their values, and a literal says a value exactly.
func (l *layout) divisible() []*column {
	var columns []*column
	for _, i := range l.Key {
		c := l.visible(i)
		switch c.codec {
		case codecInteger, codecUnsigned, codecDecimal, codecDate, codecTimestamp, codecText, codecBinary, codecYear:
			columns = append(columns, c)
			continue
		case codecReal, codecBoolean, codecBit, codecTime, codecEnum, codecSet, codecJSON, codecGeometry, codecUUID, codecInet4, codecInet6:
		}
		break
	}
	return columns
}

// bound is a value as a chunk has it.
func (c *column) bound(v *lienthong.Value) (string, bool) {
	if v.State == lienthong.Malformed && (c.codec == codecDate || c.codec == codecTimestamp) {
		return string(v.Bytes), true // 0000-00-00
	}
	if v.State != lienthong.Present {
		return "", false
	}
	text := string(v.AppendText(nil, c.Kind))
	if c.Kind == lienthong.Timestamp {
		text = strings.TrimSuffix(strings.Replace(text, "T", " ", 1), "Z")
	}
	if c.Kind == lienthong.Binary {
		return hex.EncodeToString(v.Bytes), true
	}
	return text, true
}

// literal writes a bound for a statement. It reports false for a text that is not one of
// the column's values.
func (c *column) literal(bound string) (string, bool) {
	switch c.codec {
	case codecInteger, codecUnsigned, codecDecimal, codecYear:
		number := strings.TrimPrefix(bound, "-")
		if number == "" || strings.Trim(number, "0123456789.") != "" || strings.Count(number, ".") > 1 {
			return "", false
		}
		return bound, true
	case codecDate, codecTimestamp:
		if bound == "" || strings.Trim(bound, "0123456789-: .") != "" {
			return "", false
		}
		return "'" + bound + "'", true
	case codecBinary:
		if _, err := hex.DecodeString(bound); err != nil {
			return "", false
		}
		return "X'" + bound + "'", true
	}
	return boundLiteral(c, bound), true
}

// boundLiteral writes a key's value for a statement, whatever its type.
func boundLiteral(c *column, text string) string {
	switch c.codec {
	case codecBinary:
		return "X'" + hex.EncodeToString([]byte(text)) + "'"
	case codecInteger, codecUnsigned, codecDecimal, codecYear, codecBoolean, codecBit, codecReal:
		return text
	}
	return "_utf8mb4 X'" + hex.EncodeToString([]byte(text)) + "'"
}

// after writes that the key is greater than the bound, so that the server can use the
// index: a > 1 OR a = 1 AND b > 2.
func after(columns []*column, bound []string, sign string) (string, bool) {
	var b strings.Builder
	b.WriteByte('(')
	for i := range bound {
		if i > 0 {
			b.WriteString(" OR ")
		}
		for j := 0; j <= i; j++ {
			if j > 0 {
				b.WriteString(" AND ")
			}
			value, ok := columns[j].literal(bound[j])
			if !ok {
				return "", false
			}
			compare := " = "
			if j == i {
				compare = " " + sign + " "
				if i == len(bound)-1 && sign == "<" {
					compare = " <= "
				}
			}
			b.WriteString(quote(columns[j].Name) + compare + value)
		}
	}
	b.WriteByte(')')
	return b.String(), true
}

// where writes the range as a condition; "" when it is everything.
func (p span) where(columns []*column) (string, bool) {
	var parts []string
	if len(p.From) > 0 {
		text, ok := after(columns, p.From, ">")
		if !ok {
			return "", false
		}
		parts = append(parts, text)
	}
	if len(p.To) > 0 {
		text, ok := after(columns, p.To, "<")
		if !ok {
			return "", false
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "", true
	}
	return " WHERE " + strings.Join(parts, " AND "), true
}

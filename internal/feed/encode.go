package feed

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/store"
)

// recordID names a record for one subscription: stable, opaque, and of no use to
// another consumer. The record's own identity may be a personal number.
func (r *reader) recordID(stream int64, id []byte) string {
	mac := hmac.New(sha256.New, r.idKey)
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(stream))
	mac.Write(number[:])
	mac.Write(id)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// appendRecord appends a record as the members of a JSON object, without braces:
// "id", "version", "at" and, unless it is gone, "fields".
func (r *reader) appendRecord(b []byte, rec *store.FeedRecord, gone bool) []byte {
	b = append(b, `"id":"`...)
	b = append(b, r.recordID(rec.Stream, rec.ID)...)
	b = append(b, `","version":`...)
	b = strconv.AppendInt(b, rec.Version, 10)
	b = append(b, `,"at":`...)
	b = appendMoment(b, rec.At)
	if gone {
		return b
	}
	b = append(b, `,"fields":{`...)
	for i, name := range r.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, name...)
		b = appendValue(b, r.view.Fields[i].Kind, &rec.Values[i])
	}
	return append(b, '}')
}

// appendValue appends a value as typed JSON: integers and reals as numbers, decimals as
// strings because they are exact, dates and timestamps as ISO strings, binary as base64.
// What JSON has no number for is a string: "NaN", "Infinity", "-Infinity".
func appendValue(b []byte, kind lienthong.Kind, v *lienthong.Value) []byte {
	if v.State != lienthong.Present {
		return append(b, "null"...)
	}
	switch kind {
	case lienthong.Text, lienthong.Decimal:
		return appendString(b, v.Bytes)
	case lienthong.Integer:
		return strconv.AppendInt(b, v.Int, 10)
	case lienthong.Real:
		f := math.Float64frombits(uint64(v.Int))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			b = append(b, '"')
			b = append(b, realWord(f)...)
			return append(b, '"')
		}
		return strconv.AppendFloat(b, f, 'g', -1, 64)
	case lienthong.Boolean:
		return strconv.AppendBool(b, v.Int != 0)
	case lienthong.Date:
		if word := infinite(v.Int); word != "" {
			return append(append(append(b, '"'), word...), '"')
		}
		b = append(b, '"')
		b = v.AppendText(b, kind)
		return append(b, '"')
	case lienthong.Timestamp:
		return appendMoment(b, v.Int)
	case lienthong.Binary:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.Bytes)
		return append(b, '"')
	}
	return append(b, "null"...)
}

func realWord(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return "NaN"
}

func infinite(n int64) string {
	switch n {
	case math.MaxInt64:
		return "Infinity"
	case math.MinInt64:
		return "-Infinity"
	}
	return ""
}

func appendMoment(b []byte, micros int64) []byte {
	b = append(b, '"')
	if word := infinite(micros); word != "" {
		b = append(b, word...)
	} else {
		b = time.UnixMicro(micros).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	}
	return append(b, '"')
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string. What is not UTF-8 becomes U+FFFD; the store
// lets no such text in.
func appendString(b, text []byte) []byte {
	b = append(b, '"')
	plain := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			_, size := utf8.DecodeRune(text[i:])
			if size == 1 {
				b = append(b, text[plain:i]...)
				b = append(b, `\ufffd`...)
				plain = i + 1
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		b = append(b, text[plain:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		plain = i
	}
	b = append(b, text[plain:]...)
	return append(b, '"')
}

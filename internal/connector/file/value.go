package file

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// convert makes a value of the kind from a cell's text. Bytes point to text.
func convert(state lienthong.State, text []byte, kind lienthong.Kind) lienthong.Value {
	if state != lienthong.Present {
		return lienthong.Value{State: state, Bytes: text}
	}
	switch kind {
	case lienthong.Text:
		return lienthong.Value{State: lienthong.Present, Bytes: text}
	case lienthong.Decimal:
		if isDecimal(string(text)) {
			return lienthong.Value{State: lienthong.Present, Bytes: text}
		}
	case lienthong.Integer:
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return present(n)
		}
	case lienthong.Real:
		if f, err := strconv.ParseFloat(string(text), 64); err == nil {
			return present(int64(math.Float64bits(f)))
		}
	case lienthong.Boolean:
		switch strings.ToLower(string(text)) {
		case "1", "true", "x", "có":
			return present(1)
		case "0", "false", "không":
			return present(0)
		}
	case lienthong.Date:
		if t, err := time.Parse(time.DateOnly, string(text)); err == nil {
			return present(t.Unix() / 86400)
		}
	case lienthong.Timestamp:
		for _, form := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999", time.DateOnly} {
			if t, err := time.Parse(form, string(text)); err == nil {
				return present(t.UnixMicro())
			}
		}
	case lienthong.Binary:
	}
	return lienthong.Value{State: lienthong.Malformed, Bytes: text}
}

func present(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

// isDecimal accepts the canonical form only.
func isDecimal(s string) bool {
	whole, fraction, dotted := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return digits(whole) && (len(whole) == 1 || whole[0] != '0') && (!dotted || digits(fraction))
}

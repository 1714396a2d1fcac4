package sqlite

import (
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// FuzzTimes: what our date reader accepts, the standard library reads the same.
func FuzzTimes(f *testing.F) {
	for _, seed := range []string{"2024-02-29", "2024-02-29 13:14:15.123456", "2024-02-29T13:14+07:00", "0001-01-01T00:00:00Z", "9999-12-31 23:59:59.9999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if days, ok := parseDate(text); ok {
			want, err := time.Parse(time.DateOnly, text)
			if err != nil || want.Unix() != days*86400 {
				t.Fatalf("%q is day %d, want %v %v", text, days, want, err)
			}
			value := lienthong.Value{State: lienthong.Present, Int: days}
			if back := string(value.AppendText(nil, lienthong.Date)); back != text {
				t.Fatalf("%q reads back as %q", text, back)
			}
		}
		at, ok := parseTimestamp(text)
		if !ok {
			return
		}
		for _, day := range []string{"2006-01-02 ", "2006-01-02T"} {
			for _, clock := range []string{"15:04", "15:04:05", "15:04Z07:00", "15:04:05Z07:00", "15:04z", "15:04:05z"} {
				if want, err := time.Parse(day+clock, text); err == nil {
					if want.UnixMicro() != at {
						t.Fatalf("%q is %d, want %d", text, at, want.UnixMicro())
					}
					return
				}
			}
		}
		if want, err := time.Parse(time.DateOnly, text); err != nil || want.UnixMicro() != at {
			t.Fatalf("%q is %d to us and unreadable to the standard library", text, at)
		}
	})
}

// FuzzChunk: a bound survives its text, and no chunk text panics.
func FuzzChunk(f *testing.F) {
	f.Add("abc", int64(-1), 0.5, "i1..t61")
	f.Fuzz(func(t *testing.T, text string, whole int64, fraction float64, raw string) {
		for _, bound := range []any{text, whole, fraction, []byte(text)} {
			chunk := boundText(bound) + ".."
			from, to, err := parseChunk(connector.Chunk(chunk))
			if err != nil || to != nil || boundText(from) != boundText(bound) {
				t.Fatalf("%v became %v: %v", bound, from, err)
			}
		}
		_, _, _ = parseChunk(connector.Chunk(raw))
	})
}

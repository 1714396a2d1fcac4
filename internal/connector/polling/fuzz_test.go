package polling

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/lienthong/lienthong"
)

// FuzzDecimal: what is accepted is canonical, means the same number, and is left alone the second time.
func FuzzDecimal(f *testing.F) {
	for _, seed := range []string{"0", "-.5", "1.50E+3", "00012", "1e-5", "+7.", "NaN", "--1", "1e", "٣"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text, ok := decimal(b)
		if !ok || string(text) == "NaN" {
			return
		}
		again, ok := decimal(text)
		if !ok || !bytes.Equal(text, again) {
			t.Fatalf("%q becomes %q, then %q", b, text, again)
		}
		was, ok := new(big.Rat).SetString(string(bytes.TrimSpace(b)))
		now, fine := new(big.Rat).SetString(string(text))
		if !ok || !fine || was.Cmp(now) != 0 {
			t.Fatalf("%q is not %q", b, text)
		}
	})
}

// FuzzStored: what is written is read again, and bytes of somebody else do no harm.
func FuzzStored(f *testing.F) {
	f.Add([]byte("Nguyễn"), int64(-5), uint8(3), uint8(1))
	f.Add([]byte{}, int64(1<<62), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, text []byte, n int64, kind, state uint8) {
		k := lienthong.Kind(kind % 8)
		v := lienthong.Value{State: lienthong.State(state % 4)}
		switch {
		case v.State == lienthong.Malformed, v.State == lienthong.Present && k.InBytes():
			v.Bytes = text
		case v.State == lienthong.Present:
			v.Int = n
		}
		stored := appendStored([]byte("x"), &v, k)
		back, rest, err := readStored(append(stored[1:], 'y'), k)
		if err != nil || string(rest) != "y" || back.State != v.State || back.Int != v.Int || !bytes.Equal(back.Bytes, v.Bytes) {
			t.Fatalf("%+v became %+v, rest %q, %v", v, back, rest, err)
		}
		_, rest, err = readStored(text, k)
		if err == nil && len(rest) >= len(text) {
			t.Fatalf("%q: nothing was read", text)
		}
	})
}

// FuzzMark: marks keep the order of values, and come back as values.
func FuzzMark(f *testing.F) {
	f.Add(int64(5), uint8(2))
	f.Fuzz(func(t *testing.T, n int64, kind uint8) {
		k := lienthong.Kind(kind % 8)
		if !monotonicKind(k) || k == lienthong.Binary && n < 0 {
			return
		}
		v := markValue(n, k)
		if back, ok := markOf(&v, k); !ok || back != n {
			t.Fatalf("%d as %s comes back as %d", n, k, back)
		}
		if back(n, k, 0, 10) > n {
			t.Fatalf("%d goes forward", n)
		}
	})
}

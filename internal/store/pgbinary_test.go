package store

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/lienthong/lienthong"
)

func FuzzNumericRoundTrip(f *testing.F) {
	for _, s := range []string{"0", "-1", "10000", "99999999", "0.0001", "-12.50", "1.00000", "NaN", "Infinity", "-Infinity", "123456789.987654321", "100000000000.00000001"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, decimal []byte) {
		if !canonicalDecimal(decimal) {
			return
		}
		encoded := appendNumeric(nil, decimal)
		if int(binary.BigEndian.Uint32(encoded)) != len(encoded)-4 {
			t.Fatalf("length of %s is wrong", decimal)
		}
		got, err := numericText(nil, encoded[4:])
		if err != nil || !bytes.Equal(got, decimal) {
			t.Fatalf("%s became %s, %v", decimal, got, err)
		}
	})
}

func FuzzNumericText(f *testing.F) {
	f.Add(appendNumeric(nil, []byte("-12.50"))[4:])
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, err := numericText(nil, wire)
		if err == nil && len(got) == 0 {
			t.Fatal("no text and no error")
		}
	})
}

// FuzzCopyParser cuts a COPY into pieces and feeds it noise: no panic, and rows
// do not depend on where the cuts are.
func FuzzCopyParser(f *testing.F) {
	shape := everyKind(1)
	row := append(copySignature(), 0, 12)
	row = appendBytes(row, []byte("id"))
	for i := range shape.Fields {
		v := number(1)
		if shape.Fields[i].Kind.InBytes() {
			v = text("12")
		}
		row = appendValue(row, shape.Fields[i].Kind, &v)
	}
	f.Add(append(row, 0xff, 0xff), uint8(3))
	f.Add(row, uint8(1))
	f.Fuzz(func(t *testing.T, wire []byte, size uint8) {
		read := func(piece int) (rows [][]byte, ended, failed bool) {
			p := &copyParser{shape: shape, values: make([]lienthong.Value, len(shape.Fields))}
			p.row = func(id []byte, values []lienthong.Value) error {
				line := append([]byte(nil), id...)
				for i := range values {
					line = append(line, '|')
					line = values[i].AppendText(line, shape.Fields[i].Kind)
				}
				rows = append(rows, line)
				return nil
			}
			for rest := wire; len(rest) > 0; {
				n := min(piece, len(rest))
				if _, err := p.Write(rest[:n]); err != nil {
					return rows, p.ended, true
				}
				rest = rest[n:]
			}
			return rows, p.ended, false
		}
		whole, ended, failed := read(len(wire) + 1)
		cut, ended2, failed2 := read(int(size) + 1)
		equal(t, cut, whole)
		equal(t, []bool{ended2, failed2}, []bool{ended, failed})
	})
}

func FuzzIsoDay(f *testing.F) {
	f.Add(int64(0))
	f.Add(int64(firstIsoDay))
	f.Add(int64(lastIsoDay))
	f.Fuzz(func(t *testing.T, day int64) {
		v := number(day)
		cell := toLite(lienthong.Date, &v)
		got, _, err := fromLite(lienthong.Date, cell, nil)
		if err != nil || got.Int != day {
			t.Fatalf("day %d became %v and then %d, %v", day, cell, got.Int, err)
		}
	})
}

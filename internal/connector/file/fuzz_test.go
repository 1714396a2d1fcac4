package file

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
)

// FuzzCSV: what encoding/csv writes is what we read, and nothing panics.
func FuzzCSV(f *testing.F) {
	f.Add("a", "b\"c", "d\ne", []byte("x,\"y\n"))
	f.Add(" ", "\ufeff", "\r\n", []byte{0xff, 0xfe, 'a', 0, 0xd8, 0xd8})
	f.Fuzz(func(t *testing.T, a, b, c string, raw []byte) {
		var out bytes.Buffer
		w := csv.NewWriter(&out)
		want := []string{a, b, c}
		if err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		r := newCSVReader(&out, ',', 1<<20)
		cells, _, err := r.next()
		if err != nil {
			t.Fatalf("%q: %v", want, err)
		}
		if got := texts(cells); !slices.Equal(got, want) {
			t.Fatalf("wrote %q, read %q", want, got)
		}
		any := openCSV(bytes.NewReader(raw), func(rows [][]string) (int, bool) {
			h, found := findHeader(rows, []string{"x"})
			return len(h.names), found
		}, 1<<10)
		for range 1000 {
			if _, _, err := any.next(); err != nil {
				break
			}
		}
	})
}

// FuzzSheetXML: no sheet makes the reader panic, and rows come in order.
func FuzzSheetXML(f *testing.F) {
	f.Add(`<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" s="1"><v>43831.5</v></c></row>`, "mm/dd/yyyy")
	f.Add(`<row><c t="inlineStr"><is><t>x</t><rPh><t>y</t></rPh></is></c><c t="e"><v>#N/A</v></c></row>`, `[h]:mm;@"d"`)
	f.Fuzz(func(t *testing.T, body, format string) {
		var book bytes.Buffer
		writeParts(t, &book, body, format)
		r, err := openXLSX(bytes.NewReader(book.Bytes()), int64(book.Len()), "", 1<<20, 1<<10)
		if err != nil {
			return
		}
		last := 0
		for range 1000 {
			cells, number, err := r.next()
			if err != nil {
				break
			}
			if number <= last || len(cells) > maxColumns {
				t.Fatalf("row %d with %d cells after row %d", number, len(cells), last)
			}
			last = number
		}
	})
}

// FuzzXLSX: no archive makes the reader panic.
func FuzzXLSX(f *testing.F) {
	var book bytes.Buffer
	writeParts(f, &book, `<row r="1"><c r="A1"><v>1</v></c></row>`, "0")
	f.Add(book.Bytes())
	f.Fuzz(func(_ *testing.T, raw []byte) {
		r, err := openXLSX(bytes.NewReader(raw), int64(len(raw)), "", 1<<20, 1<<10)
		if err != nil {
			return
		}
		for range 1000 {
			if _, _, err := r.next(); err != nil {
				return
			}
		}
	})
}

// TestZipBomb: a part that unpacks to more than allowed is refused while it is read.
func TestZipBomb(t *testing.T) {
	var book bytes.Buffer
	writeParts(t, &book, strings.Repeat(`<row><c><v>1</v></c></row>`, 100_000), "0")
	r, err := openXLSX(bytes.NewReader(book.Bytes()), int64(book.Len()), "", 1<<20, 1<<10)
	for err == nil {
		_, _, err = r.next()
	}
	if !errors.Is(err, errTooLarge) || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestNumberFormats(t *testing.T) {
	for code, want := range map[string]cellStyle{
		"dd/mm/yyyy": {date: true}, `[$-42A]d" tháng "m" năm "yyyy`: {date: true}, "hh:mm": {clock: true},
		"yyyy-mm-dd hh:mm:ss": {date: true, clock: true}, "[h]:mm:ss": {clock: true}, "mmm": {date: true},
		"General": {}, "#,##0.00": {}, `0" đ"`: {}, "00000": {digits: 5}, `#,##0\ "m2"`: {},
	} {
		if got := styleOf(164, code); got != want {
			t.Errorf("%s: %+v, want %+v", code, got, want)
		}
	}
}

// FuzzStored: a stored row reads back as it was written, and damage is noticed
// or read, never a panic.
func FuzzStored(f *testing.F) {
	f.Add([]byte("a"), []byte{}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, a, b, raw []byte) {
		body := appendStored(appendStored(appendStored(nil, lienthong.Present, a), lienthong.Null, nil), lienthong.Malformed, b)
		wantText := [][]byte{a, nil, b}
		wantState := []lienthong.State{lienthong.Present, lienthong.Null, lienthong.Malformed}
		count := 0
		if err := readStored(body, func(i int, state lienthong.State, text []byte) {
			count++
			if state != wantState[i] || !bytes.Equal(text, wantText[i]) {
				t.Errorf("column %d: %d %q", i, state, text)
			}
		}); err != nil || count != 3 {
			t.Fatal(count, err)
		}
		if err := readStored(raw, func(int, lienthong.State, []byte) {}); err != nil && !errors.Is(err, errDamaged) {
			t.Fatal(err)
		}
	})
}

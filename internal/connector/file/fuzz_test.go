package file

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

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
		any, _ := openText(io.NopCloser(bytes.NewReader(raw)), textForm{}, func(rows [][]string) (int, bool) {
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
		r, err := firstSheet(t, book.Bytes())
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
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := firstSheet(t, raw)
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
	r, err := firstSheet(t, book.Bytes())
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

// FuzzXML: on what a general decoder reads without complaint, the scanner finds the same tags,
// attributes and texts; on anything else it ends without a panic.
func FuzzXML(f *testing.F) {
	f.Add(`<?xml version="1.0"?><a x='1' r:y="&lt;&#x41;"><!-- c --><b/>t&amp;u<![CDATA[<raw>]]></a>`)
	f.Add("<row r=\"1\"><c t=\"s\" ><v>0</v></c>\r\n</row>")
	f.Fuzz(func(t *testing.T, text string) {
		var want []string
		decoder := xml.NewDecoder(strings.NewReader(text))
		fine := !strings.Contains(text, "<!D") && !strings.Contains(text, "<?")
		depth := 0
		for {
			token, err := decoder.RawToken()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				fine = false
				break
			}
			switch token := token.(type) {
			case xml.StartElement:
				depth++
				want = append(want, "<"+token.Name.Local)
				seen := map[string]bool{}
				for _, a := range token.Attr {
					if fine = fine && !seen[a.Name.Local]; fine { // of two the scanner takes the first
						want = append(want, a.Name.Local+"="+a.Value)
					}
					seen[a.Name.Local] = true
				}
			case xml.EndElement:
				depth--
				want = append(want, ">"+token.Name.Local)
			case xml.CharData:
				want = append(want, string(token))
			case xml.Directive, xml.ProcInst:
				fine = false
			}
		}
		scanner := newXMLScanner(iotest.OneByteReader(strings.NewReader(text)), 1<<20)
		var got []string
		for range 10_000 {
			if err := scanner.next(); err != nil {
				fine = fine && errors.Is(err, io.EOF)
				break
			}
			switch scanner.kind {
			case xmlStart:
				got = append(got, "<"+string(scanner.name))
				for i := range want { // the decoder says which attributes to ask for
					if i == len(got) && !strings.HasPrefix(want[i], "<") && !strings.HasPrefix(want[i], ">") && strings.Contains(want[i], "=") {
						name, _, _ := strings.Cut(want[i], "=")
						if raw := scanner.attribute(name); raw != nil {
							got = append(got, name+"="+scanner.attributeText(name))
						}
					}
				}
			case xmlEnd:
				got = append(got, ">"+string(scanner.name))
			case xmlText:
				got = append(got, string(scanner.appendText(nil)))
			}
		}
		if fine && depth == 0 && strings.Join(got, "") != strings.Join(want, "") {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
	})
}

// FuzzStage: staged rows and notes are read back as they were written, and damage is an
// error, never a panic.
func FuzzStage(f *testing.F) {
	f.Add([]byte("key"), []byte("body"), "Mã hộ", int64(7), []byte{2, 'R'})
	f.Fuzz(func(t *testing.T, key, body []byte, field string, number int64, raw []byte) {
		number &= rowMask
		name := filepath.Join(t.TempDir(), "rows")
		w, err := openStage(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		n := note{Row: number, Field: field, Vi: "vi", En: ""}
		if err := errors.Join(w.row(3, number, flagDelete, key, body), w.note(1, n)); err != nil {
			t.Fatal(err)
		}
		length, err := w.sync()
		if err == nil {
			err = w.row(0, 0, 0, nil, raw) // beyond what counts
		}
		if _, last := w.sync(); err != nil || last != nil {
			t.Fatal(err, last)
		}
		if err := w.close(); err != nil {
			t.Fatal(err)
		}
		r, err := readStage(name, 0, length)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.close() }()
		var e stagedEntry
		if err := r.next(&e); err != nil || e.part != 3 || e.number != number || e.flags != flagDelete || !bytes.Equal(e.key, key) || !bytes.Equal(e.body, body) {
			t.Fatalf("%+v, %v", e, err)
		}
		if err := r.next(&e); err != nil || !e.note || e.text != n {
			t.Fatalf("%+v, %v", e, err)
		}
		if err := r.next(&e); !errors.Is(err, io.EOF) || r.offset != length {
			t.Fatalf("%v at %d of %d", err, r.offset, length)
		}
		if err := e.parse(raw); err != nil && !errors.Is(err, errDamaged) {
			t.Fatal(err)
		}
	})
}

// FuzzCanonical: what is accepted as a value of a kind is one, and is its own canonical form.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"31/12/1990", "ngày 3 tháng 2 năm 1990", "1.234.567,89", "7:05 SA", "19901231", "-0,5", "32905", "12-Mar-1999 10:20:30.5"} {
		f.Add(s, uint8(0))
	}
	f.Fuzz(func(t *testing.T, text string, setting uint8) {
		form := forms{monthFirst: setting&1 != 0, decimal: [...]byte{0, ',', '.', 0}[setting>>1&3], era1904: setting&8 != 0}
		for _, kind := range []lienthong.Kind{lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean, lienthong.Date, lienthong.Timestamp} {
			got, ok := form.canonical([]byte("x"), []byte(text), kind)
			if !ok || got[0] != 'x' {
				continue
			}
			v := convert(lienthong.Present, got[1:], kind)
			if v.State != lienthong.Present && kind != lienthong.Integer { // an integer may be beyond 64 bits
				t.Fatalf("%q as %s gave %q, which is none", text, kind, got[1:])
			}
		}
	})
}

package ticket

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// FuzzParseCell: what is taken is a value of its kind, and its canonical text, written in again,
// gives the same value.
func FuzzParseCell(f *testing.F) {
	for _, text := range []string{"05/09/1990", "1990-12-31", "001089012345", "-12,50", "1.234", "Nguye\u0302\u0303n", "không", "33238.5", "1e20", "(trống)", "2025-06-01T03:04:05.000000Z", "ff00"} {
		for kind := range 8 {
			f.Add(text, uint8(kind), kind%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, text string, k uint8, isNumber bool) {
		if !utf8.ValidString(text) || len(text) > 1000 {
			return
		}
		kind := lienthong.Kind(k % 8)
		value, why := parseCell(&cell{text: text, number: isNumber}, kind, false)
		if why != nil {
			if why.code == "" || why.vi == "" || why.en == "" {
				t.Fatalf("refused without words: %+v", why)
			}
			return
		}
		if value.State == lienthong.Null {
			return
		}
		canonical := string(value.AppendText(nil, kind))
		switch kind {
		case lienthong.Text:
			if !dictionary.IsNFC(value.Bytes) || strings.TrimSpace(canonical) != canonical {
				t.Fatalf("%q became %q", text, canonical)
			}
			return
		case lienthong.Real:
			if math.IsNaN(math.Float64frombits(uint64(value.Int))) {
				t.Fatalf("%q is not a number", text)
			}
		default:
		}
		again, why := parseCell(&cell{text: canonical, number: kind == lienthong.Decimal || kind == lienthong.Integer}, kind, false)
		if why != nil {
			t.Fatalf("%q was taken as %q, which is refused: %s", text, canonical, why.en)
		}
		if again.State != value.State || again.Int != value.Int || !bytes.Equal(again.Bytes, value.Bytes) {
			t.Fatalf("%q became %q, which becomes another value", text, canonical)
		}
	})
}

// FuzzOpenSheets: no file, however damaged, brings the reader down, and it
// never unpacks more than it may.
func FuzzOpenSheets(f *testing.F) {
	book := excelize.NewFile()
	for place, value := range map[string]any{"A1": "no", "B1": "correct", "A3": 1, "B3": "=1", "C7": true, "D9": 1.5e30} {
		if err := book.SetCellValue("Sheet1", place, value); err != nil {
			f.Fatal(err)
		}
	}
	var data bytes.Buffer
	if _, err := book.WriteTo(&data); err != nil {
		f.Fatal(err)
	}
	f.Add(data.Bytes())
	f.Add(data.Bytes()[:data.Len()/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 20
		b, err := openSheets(bytes.NewReader(data), int64(len(data)), limit)
		if err != nil {
			if lienthong.ErrorCode(err) != "ticket.workbook" {
				t.Fatal(err)
			}
			return
		}
		for name := range b.sheets {
			last := 0
			_ = b.rows(name, func(row int, cells []cell) error {
				if row <= last || len(cells) > maxSheetColumns {
					t.Fatalf("row %d after %d with %d cells", row, last, len(cells))
				}
				last = row
				return nil
			})
		}
	})
}

func FuzzSheetXML(f *testing.F) {
	f.Add(`<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c><c r="C1"><v>5</v></c></row></sheetData></worksheet>`)
	f.Add(`<row><c t="s"><v>0</v></c><c><f>A1</f><v>1</v></c><c t="e"><v>#REF!</v></c></row>`)
	f.Fuzz(func(t *testing.T, xml string) {
		b := bookOf(t, xml)
		last := 0
		_ = b.rows("x", func(row int, cells []cell) error {
			if row <= last || len(cells) > maxSheetColumns {
				t.Fatalf("row %d after %d with %d cells", row, last, len(cells))
			}
			last = row
			return nil
		})
	})
}

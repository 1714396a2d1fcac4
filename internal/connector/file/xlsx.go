package file

import (
	"archive/zip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

var errNotXLSX = errors.New("not an XLSX workbook")

// xlsxReader reads one sheet of a workbook as a stream, so that a large sheet
// needs no more memory than its shared strings. It is our own because the
// styles, which tell dates from numbers, must be at hand for each cell.
type xlsxReader struct {
	budget  int64 // bytes that may still be unpacked
	maxCell int
	strings []string
	styles  []cellStyle
	era1904 bool

	sheet  io.ReadCloser
	in     *xml.Decoder
	number int
	text   []byte
	bounds []cellBound
	cells  []cell
}

type cellBound struct {
	start, end int
	bad        bool
}

// cellStyle is what a number format says about the meaning of a number.
type cellStyle struct {
	date, clock bool
	digits      int // a format of zeros only, "00000": a code with leading zeros
}

func openXLSX(in io.ReaderAt, size int64, sheetName string, maxUnpacked int64, maxCell int) (*xlsxReader, error) {
	archive, err := zip.NewReader(in, size)
	if err != nil {
		return nil, errors.Join(errNotXLSX, err)
	}
	r := &xlsxReader{budget: maxUnpacked, maxCell: maxCell}
	sheet, err := r.findSheet(archive, sheetName)
	if err != nil {
		return nil, err
	}
	if err := r.readStyles(archive); err != nil {
		return nil, err
	}
	if err := r.readStrings(archive); err != nil {
		return nil, err
	}
	if r.sheet, err = r.open(archive, sheet); err != nil {
		return nil, err
	}
	r.in = xml.NewDecoder(r.sheet)
	return r, nil
}

func (r *xlsxReader) Close() error { return r.sheet.Close() }

// part is a file of the archive that counts what it unpacks.
type part struct {
	io.ReadCloser
	reader *xlsxReader
}

func (p part) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if p.reader.budget -= int64(n); p.reader.budget < 0 {
		return n, errTooLarge
	}
	return n, err
}

func (r *xlsxReader) open(archive *zip.Reader, name string) (io.ReadCloser, error) {
	for _, f := range archive.File {
		if strings.EqualFold(f.Name, name) {
			in, err := f.Open()
			if err != nil {
				return nil, errors.Join(errNotXLSX, err)
			}
			return part{in, r}, nil
		}
	}
	return nil, fmt.Errorf("%w: no part %s", errNotXLSX, name)
}

// elements calls visit for each start element of a part.
func (r *xlsxReader) elements(archive *zip.Reader, name string, visit func(*xml.Decoder, xml.StartElement) error) error {
	in, err := r.open(archive, name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	decoder := xml.NewDecoder(in)
	for {
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return badPart(err)
		}
		if start, ok := token.(xml.StartElement); ok {
			if err := visit(decoder, start); err != nil {
				return err
			}
		}
	}
}

func badPart(err error) error {
	if errors.Is(err, errTooLarge) {
		return err
	}
	return errors.Join(errNotXLSX, err)
}

func attribute(e xml.StartElement, local string) string {
	for _, a := range e.Attr {
		if a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

func (r *xlsxReader) findSheet(archive *zip.Reader, wanted string) (string, error) {
	relation, names := "", []string(nil)
	err := r.elements(archive, "xl/workbook.xml", func(_ *xml.Decoder, e xml.StartElement) error {
		switch e.Name.Local {
		case "workbookPr":
			value := attribute(e, "date1904")
			r.era1904 = value == "1" || value == "true"
		case "sheet":
			name := attribute(e, "name")
			names = append(names, name)
			first := wanted == "" && relation == "" && attribute(e, "state") == ""
			if first || wanted != "" && sameName(name, wanted) {
				for _, a := range e.Attr {
					if a.Name.Local == "id" && a.Name.Space != "" {
						relation = a.Value
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	target := ""
	err = r.elements(archive, "xl/_rels/workbook.xml.rels", func(_ *xml.Decoder, e xml.StartElement) error {
		if e.Name.Local == "Relationship" && relation != "" && attribute(e, "Id") == relation {
			target = attribute(e, "Target")
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if target == "" {
		return "", fmt.Errorf("%w: no sheet %q among %d", errNotXLSX, wanted, len(names))
	}
	if rooted, ok := strings.CutPrefix(target, "/"); ok {
		return rooted, nil
	}
	return path.Join("xl", target), nil
}

func (r *xlsxReader) readStyles(archive *zip.Reader) error {
	formats := map[int]string{}
	inCells := false
	err := r.elements(archive, "xl/styles.xml", func(_ *xml.Decoder, e xml.StartElement) error {
		switch e.Name.Local {
		case "numFmt":
			id, err := strconv.Atoi(attribute(e, "numFmtId"))
			if err == nil {
				formats[id] = attribute(e, "formatCode")
			}
		case "cellXfs":
			inCells = true
		case "cellStyles", "dxfs":
			inCells = false
		case "xf":
			if inCells {
				id, _ := strconv.Atoi(attribute(e, "numFmtId"))
				r.styles = append(r.styles, styleOf(id, formats[id]))
			}
		}
		return nil
	})
	if errors.Is(err, errNotXLSX) && len(r.styles) == 0 {
		return nil // a workbook may have no styles
	}
	return err
}

// styleOf reads a number format. The numbers of the built-in ones are fixed by
// the standard, with the national date formats among them.
func styleOf(id int, code string) cellStyle {
	if code == "" {
		switch {
		case id == 22:
			return cellStyle{date: true, clock: true}
		case id >= 14 && id <= 17, id >= 27 && id <= 31, id == 36, id >= 50 && id <= 54, id == 57, id == 58:
			return cellStyle{date: true}
		case id >= 18 && id <= 21, id >= 32 && id <= 35, id >= 45 && id <= 47, id == 55, id == 56:
			return cellStyle{clock: true}
		}
		return cellStyle{}
	}
	if strings.Trim(code, "0") == "" {
		return cellStyle{digits: len(code)}
	}
	code, _, _ = strings.Cut(code, ";") // the part for positive numbers
	var style cellStyle
	month := false
	for i := 0; i < len(code); i++ {
		switch c := code[i] | 0x20; {
		case code[i] == '"':
			if end := strings.IndexByte(code[i+1:], '"'); end >= 0 {
				i += end + 1
			}
		case code[i] == '\\' || code[i] == '_' || code[i] == '*':
			i++
		case code[i] == '[':
			end := strings.IndexByte(code[i:], ']')
			if end < 0 {
				return cellStyle{}
			}
			if inner := strings.ToLower(code[i+1 : i+end]); inner != "" && strings.Trim(inner, "hms") == "" {
				style.clock = true
			}
			i += end
		case c == 'y' || c == 'd':
			style.date = true
		case c == 'h' || c == 's':
			style.clock = true
		case c == 'm':
			month = true
		case c == 'g' || c == '0' || c == '#' || c == '?':
			if !style.date && !style.clock && !month {
				return cellStyle{} // General, or a number
			}
		}
	}
	style.date = style.date || month && !style.clock
	return style
}

func (r *xlsxReader) readStrings(archive *zip.Reader) error {
	if !slices.ContainsFunc(archive.File, func(f *zip.File) bool { return strings.EqualFold(f.Name, "xl/sharedStrings.xml") }) {
		return nil
	}
	return r.elements(archive, "xl/sharedStrings.xml", func(in *xml.Decoder, e xml.StartElement) error {
		if e.Name.Local != "si" {
			return nil
		}
		text, err := richText(in, nil, "si", r.maxCell)
		r.strings = append(r.strings, string(text))
		return err
	})
}

// richText collects the text runs up to the end of an element, leaving out
// phonetic help.
func richText(in *xml.Decoder, dst []byte, end string, limit int) ([]byte, error) {
	inText, phonetic, start := false, false, len(dst)
	for {
		token, err := in.RawToken()
		if err != nil {
			return dst, badPart(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "t"
			phonetic = phonetic || token.Name.Local == "rPh"
		case xml.EndElement:
			inText = false
			if token.Name.Local == "rPh" {
				phonetic = false
			}
			if token.Name.Local == end {
				return dst, nil
			}
		case xml.CharData:
			if inText && !phonetic {
				if dst = append(dst, token...); len(dst)-start > limit {
					return dst, errTooLarge
				}
			}
		}
	}
}

func (r *xlsxReader) next() ([]cell, int, error) {
	for {
		token, err := r.in.RawToken()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil, 0, io.EOF
			}
			return nil, 0, badPart(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local != "row" {
				continue
			}
			r.number++
			if n, err := strconv.Atoi(attribute(token, "r")); err == nil {
				if n < r.number {
					return nil, 0, fmt.Errorf("%w: rows out of order", errNotXLSX)
				}
				r.number = n
			}
			if err := r.readRow(); err != nil {
				return nil, 0, err
			}
			if len(r.bounds) == 0 {
				continue
			}
			return r.finish(), r.number, nil
		case xml.EndElement:
			if token.Name.Local == "sheetData" {
				return nil, 0, io.EOF
			}
		}
	}
}

// finish makes the cells, once the text buffer no longer moves.
func (r *xlsxReader) finish() []cell {
	r.cells = r.cells[:0]
	for _, b := range r.bounds {
		r.cells = append(r.cells, cell{text: r.text[b.start:b.end], bad: b.bad})
	}
	return r.cells
}

func (r *xlsxReader) readRow() error {
	r.text, r.bounds = r.text[:0], r.bounds[:0]
	for {
		token, err := r.in.RawToken()
		if err != nil {
			return badPart(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local != "c" {
				continue
			}
			column := len(r.bounds)
			if reference := attribute(token, "r"); reference != "" {
				column = columnNumber(reference)
			}
			if column < len(r.bounds) || column >= maxColumns {
				if column >= maxColumns {
					return errTooLarge
				}
				return fmt.Errorf("%w: cells out of order", errNotXLSX)
			}
			for len(r.bounds) < column {
				r.bounds = append(r.bounds, cellBound{len(r.text), len(r.text), false})
			}
			if err := r.readCell(attribute(token, "t"), attribute(token, "s")); err != nil {
				return err
			}
		case xml.EndElement:
			if token.Name.Local == "row" {
				for n := len(r.bounds); n > 0 && r.bounds[n-1].start == r.bounds[n-1].end; n-- {
					r.bounds = r.bounds[:n-1] // styled but empty cells at the end
				}
				return nil
			}
		}
	}
}

// columnNumber reads the letters of "AB12"; -1 when there are none.
func columnNumber(reference string) int {
	n := 0
	for i := 0; i < len(reference) && i < 4; i++ {
		c := reference[i] &^ 0x20
		if c < 'A' || c > 'Z' {
			break
		}
		n = n*26 + int(c-'A') + 1
	}
	return n - 1
}

// readCell reads one cell. Of a formula it takes the stored result.
func (r *xlsxReader) readCell(kind, style string) error {
	start := len(r.text)
	value := false
	for {
		token, err := r.in.RawToken()
		if err != nil {
			return badPart(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			value = token.Name.Local == "v"
			if token.Name.Local == "is" {
				if r.text, err = richText(r.in, r.text, "is", r.maxCell); err != nil {
					return err
				}
			}
		case xml.CharData:
			if value {
				r.text = append(r.text, token...)
			}
		case xml.EndElement:
			value = false
			if len(r.text)-start > r.maxCell {
				return errTooLarge
			}
			if token.Name.Local != "c" {
				continue
			}
			bad, err := r.interpret(start, kind, style)
			if err != nil {
				return err
			}
			r.bounds = append(r.bounds, cellBound{start, len(r.text), bad})
			return nil
		}
	}
}

// interpret turns the stored text of a cell into what the person sees, with
// dates in ISO form.
func (r *xlsxReader) interpret(start int, kind, style string) (bad bool, err error) {
	raw := r.text[start:]
	if len(raw) == 0 {
		return false, nil
	}
	switch kind {
	case "s":
		n, err := strconv.Atoi(string(raw))
		if err != nil || n < 0 || n >= len(r.strings) {
			return false, fmt.Errorf("%w: a shared string that is not there", errNotXLSX)
		}
		r.text = append(r.text[:start], r.strings[n]...)
	case "b":
		r.text = strconv.AppendBool(r.text[:start], string(raw) == "1" || string(raw) == "true")
	case "e":
		return true, nil
	case "", "n":
		number, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
			return true, nil //nolint:nilerr // the cell is wrong, not the file
		}
		var format cellStyle
		if n, err := strconv.Atoi(style); err == nil && n >= 0 && n < len(r.styles) {
			format = r.styles[n]
		}
		if format.date || format.clock {
			if text, ok := r.dateText(number, format); ok {
				r.text = append(r.text[:start], text...)
				return false, nil
			}
		}
		r.text = strconv.AppendFloat(r.text[:start], number, 'f', -1, 64)
		if missing := format.digits - (len(r.text) - start); missing > 0 && number >= 0 && number == math.Trunc(number) {
			r.text = slices.Insert(r.text, start, []byte(strings.Repeat("0", missing))...)
		}
	}
	return false, nil
}

// dateText writes a serial number as ISO date, time, or both.
func (r *xlsxReader) dateText(serial float64, format cellStyle) (string, bool) {
	const lastDay = 2958466 // after 9999-12-31
	if serial < 0 || serial >= lastDay {
		return "", false
	}
	base := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case r.era1904:
		base = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case serial < 60:
		base = base.AddDate(0, 0, 1) // the calendar of Excel has a 29 February 1900
	}
	days, fraction := math.Modf(serial)
	at := base.AddDate(0, 0, int(days)).Add(time.Duration(math.Round(fraction*86400)) * time.Second)
	switch {
	case serial < 1 && !format.date:
		return at.Format(time.TimeOnly), true
	case fraction == 0 && !format.clock, format.date && !format.clock:
		return at.Format(time.DateOnly), true
	}
	return at.Format("2006-01-02T15:04:05"), true
}

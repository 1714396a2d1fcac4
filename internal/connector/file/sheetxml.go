package file

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sheetReader reads the rows of one sheet of a workbook.
type sheetReader struct {
	book   *workbook
	in     io.ReadCloser
	xml    *xmlScanner
	number int
	hidden bool // the row just read is hidden
	ended  bool
	gone   []bool // columns that are hidden
	// lastRow is where the sheet ends, as it says itself; 0 when it does not.
	lastRow int

	text    []byte
	bounds  []cellBound
	cells   []cell
	scratch []byte
}

type cellBound struct {
	start, end int
	fault      fault
	code       textCode
	font       bool
	number     bool
}

func (b *workbook) sheet(n int) (*sheetReader, error) {
	if err := b.load(); err != nil {
		return nil, err
	}
	in, err := b.open(b.sheets[n].part)
	if err != nil {
		return nil, err
	}
	return &sheetReader{book: b, in: in, xml: newXMLScanner(in, 8*b.limits.cell)}, nil
}

func (r *sheetReader) close() error { return r.in.Close() }

func (r *sheetReader) next() ([]cell, int, error) {
	for !r.ended {
		err := r.xml.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, badPart(err)
		}
		switch {
		case r.xml.is(xmlStart, "row"):
			r.number++
			if n, err := strconv.Atoi(string(r.xml.attribute("r"))); err == nil {
				if n < r.number {
					return nil, 0, fmt.Errorf("%w: rows out of order", errNotXLSX)
				}
				r.number = n
			}
			r.hidden = isTrue(r.xml.attribute("hidden"))
			if err := r.readRow(); err != nil {
				return nil, 0, err
			}
			if len(r.bounds) > 0 {
				return r.finish(), r.number, nil
			}
		case r.xml.is(xmlStart, "dimension"):
			_, last, _ := strings.Cut(string(r.xml.attribute("ref")), ":")
			if n, err := strconv.Atoi(strings.TrimLeft(last, "ABCDEFGHIJKLMNOPQRSTUVWXYZ$")); err == nil {
				r.lastRow = n
			}
		case r.xml.is(xmlStart, "col"):
			r.hideColumns()
		case r.xml.is(xmlEnd, "sheetData"):
			r.ended = true
		}
	}
	return nil, 0, io.EOF
}

func isTrue(value []byte) bool { return string(value) == "1" || string(value) == "true" }

func (r *sheetReader) hideColumns() {
	if !isTrue(r.xml.attribute("hidden")) {
		return
	}
	first, err1 := strconv.Atoi(string(r.xml.attribute("min")))
	last, err2 := strconv.Atoi(string(r.xml.attribute("max")))
	if err1 != nil || err2 != nil || first < 1 || last > maxColumns {
		return
	}
	for len(r.gone) < last {
		r.gone = append(r.gone, false)
	}
	for i := first - 1; i < last; i++ {
		r.gone[i] = true
	}
}

// finish makes the cells, once the text buffer no longer moves.
func (r *sheetReader) finish() []cell {
	r.cells = r.cells[:0]
	for _, b := range r.bounds {
		r.cells = append(r.cells, cell{text: r.text[b.start:b.end:b.end], fault: b.fault, code: b.code, font: b.font, number: b.number})
	}
	return r.cells
}

func (r *sheetReader) readRow() error {
	r.text, r.bounds = r.text[:0], r.bounds[:0]
	for {
		if err := r.xml.next(); err != nil {
			return badPart(truncated(err))
		}
		switch {
		case r.xml.is(xmlStart, "c"):
			column := len(r.bounds)
			if reference := r.xml.attribute("r"); len(reference) > 0 {
				column = columnNumber(reference)
			}
			if column >= maxColumns {
				return errTooLarge
			}
			if column < len(r.bounds) {
				return fmt.Errorf("%w: cells out of order", errNotXLSX)
			}
			for len(r.bounds) < column {
				r.bounds = append(r.bounds, cellBound{start: len(r.text), end: len(r.text)})
			}
			if err := r.readCell(); err != nil {
				return err
			}
		case r.xml.is(xmlEnd, "row"):
			n := len(r.bounds)
			for n > 0 && r.bounds[n-1].start == r.bounds[n-1].end && r.bounds[n-1].fault == faultNone {
				n-- // styled but empty cells at the end
			}
			r.bounds = r.bounds[:n]
			return nil
		}
	}
}

// truncated makes the end of a part an error where there must be more.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return errXML
	}
	return err
}

// columnNumber reads the letters of "AB12"; -1 when there are none.
func columnNumber(reference []byte) int {
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

type cellKind uint8

const (
	numberCell cellKind = iota
	sharedCell
	textCell
	booleanCell
	errorCell
	dateCell
	otherCell
)

func kindOfCell(t []byte) cellKind {
	switch string(t) {
	case "", "n":
		return numberCell
	case "s":
		return sharedCell
	case "str", "inlineStr":
		return textCell
	case "b":
		return booleanCell
	case "e":
		return errorCell
	case "d":
		return dateCell
	}
	return otherCell
}

// readCell reads one cell. Of a formula it takes the stored result.
func (r *sheetReader) readCell() error {
	b := cellBound{start: len(r.text)}
	kind := kindOfCell(r.xml.attribute("t"))
	var style cellStyle
	if s := r.xml.attribute("s"); len(s) > 0 {
		if n, err := strconv.Atoi(string(s)); err == nil && n >= 0 && n < len(r.book.styles) {
			style = r.book.styles[n]
		}
	}
	b.code, b.font = style.code, style.font
	value, formula, any := false, false, false
	for {
		if err := r.xml.next(); err != nil {
			return badPart(truncated(err))
		}
		switch r.xml.kind {
		case xmlStart:
			value = string(r.xml.name) == "v"
			formula = formula || string(r.xml.name) == "f"
			if string(r.xml.name) == "is" {
				text, code, err := richText(r.xml, r.text, "is", r.book.limits.cell, r.book.translator)
				if err != nil {
					return err
				}
				r.text, any = text, true
				r.setCode(&b, code)
			}
		case xmlText:
			if value {
				r.text, any = r.xml.appendText(r.text), true
			}
		case xmlEnd:
			value = false
			if len(r.text)-b.start > r.book.limits.cell {
				return errTooLarge
			}
			if string(r.xml.name) != "c" {
				continue
			}
			if formula && !any && kind != textCell {
				b.fault = faultNoResult
			}
			if err := r.interpret(&b, kind, style); err != nil {
				return err
			}
			b.end = len(r.text)
			r.bounds = append(r.bounds, b)
			return nil
		}
	}
}

// setCode says that a string knows by itself how its letters are written.
func (r *sheetReader) setCode(b *cellBound, code textCode) {
	if code != fontOfCell {
		b.code, b.font = code, true
	}
}

// interpret turns the stored text of a cell into what the person sees, with
// dates in ISO form.
func (r *sheetReader) interpret(b *cellBound, kind cellKind, style cellStyle) error {
	raw := r.text[b.start:]
	if len(raw) == 0 {
		return nil
	}
	switch kind {
	case sharedCell:
		n, err := strconv.Atoi(string(raw))
		if err != nil {
			n = -1
		}
		text, code, err := r.book.strings.get(n)
		if err != nil {
			if errors.Is(err, errNoString) {
				err = errors.Join(errNotXLSX, err)
			}
			return err
		}
		r.text = append(r.text[:b.start], text...)
		r.setCode(b, code)
	case textCell:
		r.text = r.text[:b.start+len(unescapeControls(raw))]
	case booleanCell:
		r.text = strconv.AppendBool(r.text[:b.start], isTrue(raw))
	case errorCell:
		b.fault = faultError
	case dateCell:
		r.text = r.text[:b.start+len(strings.TrimSuffix(string(raw), "T00:00:00"))]
	case numberCell:
		b.number = true
		r.writeNumber(b, style)
	case otherCell:
	}
	return nil
}

// writeNumber writes a number as the person sees it.
func (r *sheetReader) writeNumber(b *cellBound, style cellStyle) {
	raw := r.text[b.start:]
	whole := len(raw) <= 15
	for _, c := range raw {
		whole = whole && c >= '0' && c <= '9'
	}
	if !whole || style.date || style.clock || raw[0] == '0' && len(raw) > 1 {
		number, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
			b.fault = faultError
			return
		}
		if style.date || style.clock {
			if text, ok := r.book.dateText(r.scratch[:0], number, style); ok {
				r.scratch = text
				r.text = append(r.text[:b.start], text...)
				return
			}
		}
		r.text = strconv.AppendFloat(r.text[:b.start], number, 'f', -1, 64)
		whole = number >= 0 && number == math.Trunc(number)
	}
	if missing := style.digits - (len(r.text) - b.start); missing > 0 && whole {
		r.text = slices.Insert(r.text, b.start, []byte(strings.Repeat("0", missing))...)
	}
}

// dateText writes a serial number as ISO date, time, or both.
func (b *workbook) dateText(dst []byte, serial float64, format cellStyle) ([]byte, bool) {
	const lastDay = 2958466 // after 9999-12-31
	if serial < 0 || serial >= lastDay {
		return dst, false
	}
	base := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case b.era1904:
		base = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case serial < 60:
		base = base.AddDate(0, 0, 1) // the calendar of Excel has a 29 February 1900
	}
	days, fraction := math.Modf(serial)
	at := base.AddDate(0, 0, int(days)).Add(time.Duration(math.Round(fraction*86400)) * time.Second)
	switch {
	case serial < 1 && !format.date:
		return at.AppendFormat(dst, time.TimeOnly), true
	case fraction == 0 && !format.clock, format.date && !format.clock:
		return at.AppendFormat(dst, time.DateOnly), true
	}
	return at.AppendFormat(dst, "2006-01-02T15:04:05"), true
}

// richText collects the text runs up to the end of an element, leaving out phonetic help.
// Runs in an old font are turned into Unicode here, where the font is known; a run without one
// follows its neighbours. The code is fontOfCell when no run says anything.
func richText(x *xmlScanner, dst []byte, end string, limit int, tr *translator) ([]byte, textCode, error) {
	inText, phonetic, runs, start := false, false, false, len(dst)
	code, known := unicodeText, false
	type run struct {
		from  int
		code  textCode
		known bool
	}
	var list []run
	for {
		if err := x.next(); err != nil {
			return dst, 0, badPart(truncated(err))
		}
		switch x.kind {
		case xmlStart:
			inText = string(x.name) == "t"
			switch string(x.name) {
			case "rPh":
				phonetic = true
			case "r":
				code, known, runs = unicodeText, false, true
			case "rFont":
				code, known = fontCode(x.attributeText("val"))
			case "t":
				if runs && !phonetic {
					list = append(list, run{len(dst), code, known})
				}
			}
		case xmlEnd:
			inText = false
			if string(x.name) == "rPh" {
				phonetic = false
			}
			if string(x.name) != end {
				continue
			}
			legacy := -1
			for i := range list {
				if list[i].known {
					legacy = i
					break
				}
			}
			if legacy < 0 {
				return dst[:start+len(unescapeControls(dst[start:]))], fontOfCell, nil
			}
			out := make([]byte, 0, len(dst)-start+16)
			code := list[legacy].code
			for i := range list {
				to := len(dst)
				if i+1 < len(list) {
					to = list[i+1].from
				}
				if list[i].known {
					code = list[i].code
				}
				text, _ := tr.translate(unescapeControls(dst[list[i].from:to]), code)
				out = append(out, text...)
			}
			return append(dst[:start], out...), unicodeText, nil
		case xmlText:
			if inText && !phonetic {
				if dst = x.appendText(dst); len(dst)-start > limit {
					return dst, 0, errTooLarge
				}
			}
		}
	}
}

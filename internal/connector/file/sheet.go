package file

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

// sheet is a sheet or text opened at its header: names of columns, then rows in Unicode.
type sheet struct {
	name    string
	header  header
	form    textForm // of a text; its encoding is that of the file as a whole
	sure    float64  // how sure the encoding is
	columns []Encoding
	// headerRow is the number of the first row of headings, dataAfter of the last before the data.
	headerRow, dataAfter int

	reader     rowReader
	early      [][]cell // rows read to find the header
	numbers    []int
	earlyHides []bool

	translator *translator
	codes      []textCode // by column; empty: fallback
	fallback   textCode
	forced     bool // the declaration names the encoding
	arena      []byte
	moved      []movedCell

	skipHidden bool
	hiddenRows int64
}

type movedCell struct{ cell, start, end int }

// errNoHeader says that a sheet has rows, but none that names the columns.
var errNoHeader = errors.New("no header")

// errEmptySheet says that a sheet has no row at all.
var errEmptySheet = errors.New("an empty sheet")

const earlyBytes = 8 << 20

// required are the columns that a file must have.
func (t *Table) required(l *layout) []string {
	var names []string
	for _, c := range l.Columns {
		if c.Name != t.FolderColumn && (len(t.Columns) > 0 || slices.Contains(t.Key, c.Name)) {
			names = append(names, c.Name)
		}
	}
	if t.Operation != "" {
		names = append(names, t.Operation)
	}
	return names
}

// openSheet opens a sheet or text and finds its header. Without required columns
// it guesses.
func (b *book) openSheet(l *leaf, t *Table, required []string) (*sheet, error) {
	sh := &sheet{name: l.name, translator: newTranslator(), skipHidden: t.Hidden == HiddenSkip, sure: 1}
	search := func(rows [][]string) (header, bool) {
		switch {
		case t.HeaderRows > 0 && len(rows) >= t.HeaderRows:
			h := flatten(cleanRows(rows[:t.HeaderRows]), 0, t.HeaderRows)
			return h, len(required) == 0 || h.has(required)
		case t.HeaderRows > 0:
			return header{}, false
		case len(required) == 0:
			return guessHeader(rows)
		}
		return findHeader(rows, required)
	}
	if l.book != nil {
		reader, err := l.book.sheet(l.sheet)
		if err != nil {
			return nil, err
		}
		sh.reader, sh.form.encoding = reader, EncodingUTF8
	} else {
		in, err := l.text()
		if err != nil {
			return nil, err
		}
		wish := textForm{encoding: t.Encoding}
		if t.Delimiter != "" {
			wish.delimiter = t.Delimiter[0]
		}
		sh.reader, sh.form = openText(in, wish, func(rows [][]string) (int, bool) {
			// The names may be in an old code, which the translation of a row resolves.
			readable := make([][]string, len(rows))
			for i, row := range rows {
				readable[i] = sh.readable(row, t.Encoding)
			}
			h, found := search(after(readable, t.Skip))
			return len(h.names), found
		}, b.limits.cell)
	}
	if err := sh.lookAhead(t, search); err != nil {
		return nil, errors.Join(err, sh.close())
	}
	if err := sh.judge(l, t); err != nil {
		return nil, errors.Join(err, sh.close())
	}
	return sh, nil
}

// after leaves out the rows that the declaration skips.
func after(rows [][]string, skip int) [][]string { return rows[min(skip, len(rows)):] }

func (sh *sheet) close() error { return sh.reader.close() }

// lookAhead reads the first rows and finds the header in them.
func (sh *sheet) lookAhead(t *Table, search func([][]string) (header, bool)) error {
	var looked [][]string
	held, skipped := 0, 0
	for len(sh.early) < earlyRows && held < earlyBytes {
		cells, number, err := sh.reader.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if number <= t.Skip {
			skipped++
			continue
		}
		kept := make([]cell, len(cells))
		for i := range cells {
			kept[i] = cells[i]
			kept[i].text = bytes.Clone(cells[i].text)
			held += len(cells[i].text)
		}
		hides := false
		if r, ok := sh.reader.(*sheetReader); ok {
			hides = r.hidden
		}
		sh.early = append(sh.early, kept)
		sh.numbers = append(sh.numbers, number)
		sh.earlyHides = append(sh.earlyHides, hides)
		if len(looked) < 2*headerDistance {
			looked = append(looked, sh.readableCells(kept, t.Encoding))
		}
	}
	if len(sh.early) == 0 && skipped == 0 {
		return errEmptySheet
	}
	found := false
	if sh.header, found = search(looked); !found {
		return errNoHeader
	}
	if sh.header.rows > 0 {
		sh.headerRow, sh.dataAfter = sh.numbers[sh.header.first], sh.numbers[sh.header.rows-1]
	}
	if r, ok := sh.reader.(*sheetReader); ok && sh.skipHidden {
		for c := range min(len(r.gone), len(sh.header.names)) {
			if r.gone[c] {
				sh.header.names[c], sh.header.leaves[c] = "", ""
			}
		}
	}
	sh.early, sh.numbers, sh.earlyHides = sh.early[sh.header.rows:], sh.numbers[sh.header.rows:], sh.earlyHides[sh.header.rows:]
	return nil
}

// readable is a row of names in Unicode, judged by itself.
func (sh *sheet) readable(row []string, wish Encoding) []string {
	cells := make([]cell, len(row))
	for i := range row {
		cells[i].text = []byte(row[i])
	}
	return sh.readableCells(cells, wish)
}

func (sh *sheet) readableCells(cells []cell, wish Encoding) []string {
	code := wish.code()
	if wish == EncodingAuto {
		d := detector{translator: sh.translator}
		for i := range cells {
			if !cells[i].font {
				d.add(cells[i].text)
			}
		}
		code, _ = d.verdict()
	}
	names := make([]string, len(cells))
	for i := range cells {
		if cells[i].fault != faultNone {
			continue
		}
		own := code
		if cells[i].font {
			own = cells[i].code
		}
		text, ok := sh.translator.translate(cells[i].text, own)
		if !ok {
			text, _ = sh.translator.translate(text, unicodeText)
		}
		names[i] = strings.ToValidUTF8(string(text), "\ufffd")
	}
	return names
}

// judge decides how the letters of each column are written.
func (sh *sheet) judge(l *leaf, t *Table) error {
	sh.columns = make([]Encoding, len(sh.header.names))
	if t.Encoding != EncodingAuto {
		sh.forced, sh.fallback = true, t.Encoding.code()
		if sh.form.encoding == EncodingAuto || sh.form.encoding == EncodingUTF8 {
			sh.form.encoding = t.Encoding
		}
		for c := range sh.columns {
			sh.columns[c] = sh.form.encoding
		}
		return nil
	}
	whole := detector{translator: sh.translator}
	fonts := map[textCode]int{}
	var each []detector
	for _, row := range sh.early {
		for c := range row {
			for len(each) <= c {
				each = append(each, detector{translator: sh.translator})
			}
			if row[c].font {
				fonts[row[c].code]++
			} else {
				each[c].add(row[c].text)
			}
		}
	}
	for c := range each {
		whole.merge(&each[c])
	}
	if !whole.known() && l.text != nil && sh.form.encoding == EncodingAuto {
		if err := lookFurther(l, &whole); err != nil {
			return err
		}
	}
	sh.fallback, sh.sure = whole.verdict()
	if mostlyUTF8 := whole.refused[unicodeText]*2 < whole.cells || !whole.known(); sh.form.encoding == EncodingAuto && mostlyUTF8 {
		sh.form.encoding = EncodingUTF8 // what is not UTF-8 then is a wrong cell
	} else if sh.form.encoding == EncodingAuto {
		sh.form.encoding = sh.fallback.encoding()
	}
	for c := range each {
		code := sh.fallback
		if each[c].cells >= 3 || each[c].known() && each[c].refused[code] > 0 {
			code, _ = each[c].verdict()
		}
		sh.codes = append(sh.codes, code)
	}
	for c := range sh.columns {
		sh.columns[c] = sh.form.encoding
		if code := sh.codeOf(c); code != unicodeText && c < len(each) && each[c].known() {
			sh.columns[c] = code.encoding()
		}
	}
	if !whole.known() {
		for code, n := range fonts {
			if n > 0 && code != unicodeText {
				sh.form.encoding = code.encoding()
			}
		}
	}
	return nil
}

func (sh *sheet) codeOf(column int) textCode {
	if column < len(sh.codes) {
		return sh.codes[column]
	}
	return sh.fallback
}

// lookFurther finds the first part of a text that is not ASCII. A list can begin
// with thousands of rows of numbers.
func lookFurther(l *leaf, d *detector) error {
	in, err := l.text()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	buffer := make([]byte, sampleBytes)
	for {
		n, err := io.ReadFull(in, buffer)
		if !plain(buffer[:n]) {
			fields := bytes.FieldsFunc(buffer[:n], func(r rune) bool { return strings.ContainsRune(csvDelimiters+"\"\n\r", r) })
			for i, field := range fields {
				if i > 0 && i < len(fields)-1 { // those at the edges may be cut
					d.add(field)
				}
			}
			if d.known() {
				return nil
			}
		}
		if err != nil {
			return nil //nolint:nilerr // the same error comes again where rows are read
		}
	}
}

// next returns the next row after the header, in Unicode.
func (sh *sheet) next() ([]cell, int, error) {
	for {
		cells, number, hides, err := sh.row()
		if err != nil {
			return nil, 0, err
		}
		if hides {
			sh.hiddenRows++
			if sh.skipHidden {
				continue
			}
		}
		if r, ok := sh.reader.(*sheetReader); ok && sh.skipHidden && len(r.gone) > 0 {
			for i := range cells {
				if i < len(r.gone) && r.gone[i] {
					cells[i] = cell{}
				}
			}
		}
		sh.translate(cells)
		return cells, number, nil
	}
}

func (sh *sheet) row() ([]cell, int, bool, error) {
	if len(sh.early) > 0 {
		row, number, hides := sh.early[0], sh.numbers[0], sh.earlyHides[0]
		sh.early, sh.numbers, sh.earlyHides = sh.early[1:], sh.numbers[1:], sh.earlyHides[1:]
		return row, number, hides, nil
	}
	cells, number, err := sh.reader.next()
	hides := false
	if r, ok := sh.reader.(*sheetReader); ok {
		hides = r.hidden
	}
	return cells, number, hides, err
}

func (sh *sheet) translate(cells []cell) {
	sh.arena, sh.moved = sh.arena[:0], sh.moved[:0]
	for i := range cells {
		c := &cells[i]
		code := sh.codeOf(i)
		if c.font {
			code = c.code
		}
		if len(c.text) == 0 || c.fault != faultNone || code != tcvn3Upper && plain(c.text) {
			continue
		}
		// Text in Unicode stays as it is: to compose letters is the dictionary's business.
		text, ok := c.text, false
		if code != unicodeText {
			text, ok = sh.translator.translate(c.text, code)
		}
		if !ok {
			if !utf8.Valid(c.text) {
				c.fault = faultEncoding
			}
			continue
		}
		start := len(sh.arena)
		sh.arena = append(sh.arena, text...)
		sh.moved = append(sh.moved, movedCell{i, start, len(sh.arena)})
	}
	for _, m := range sh.moved {
		cells[m.cell].text = sh.arena[m.start:m.end:m.end]
	}
}

// noHeader is the refusal of a file without the names that are required.
func noHeader(shown string, required []string) error {
	return &lienthong.Error{
		Code: "file.header", Where: shown,
		Vi:   "không tìm thấy dòng tiêu đề có đủ các cột: " + strings.Join(required, ", "),
		En:   "no header row has all of the columns: " + strings.Join(required, ", "),
		Hint: "đặt tên cột ở một trong 30 dòng đầu theo mẫu / put the column names into one of the first 30 rows as in the form",
	}
}

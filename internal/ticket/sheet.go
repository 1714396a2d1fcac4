package ticket

import (
	"archive/zip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
)

// sheetReader reads a workbook that comes back, row by row. It reads the file itself, because what it must
// know of a cell is what a library made for showing cells leaves out: whether it was typed as a
// text or a number, and whether a formula made it.
type sheetReader struct {
	archive  *zip.Reader
	left     int64             // bytes that may still be unpacked
	sheets   map[string]string // name -> part
	shared   []string
	date1904 bool
}

// cell is one cell. The zero cell is empty.
type cell struct {
	text    string
	number  bool // a number, as the file writes it
	boolean bool // "1" or "0"
	formula bool
	failed  bool // an error such as #REF!
}

func (c *cell) empty() bool { return c.text == "" && !c.formula && !c.failed }

const (
	maxSheetColumns = 256
	maxCellBytes    = 256 << 10
	maxShared       = 4_000_000
)

var errForm = errors.New("ticket: not a workbook of this form")

func unreadable(cause error) error {
	return &lienthong.Error{
		Code: "ticket.workbook", Err: cause,
		Vi: "không đọc được tệp như sổ làm việc đã xuất", En: "the file cannot be read as a workbook that was exported here",
		Hint: "lưu dạng .xlsx, không đặt mật khẩu, không xoá dòng hoặc trang ẩn / save it as .xlsx without a password and keep hidden lines and sheets",
	}
}

func openSheets(r io.ReaderAt, size, limit int64) (*sheetReader, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, unreadable(err)
	}
	b := &sheetReader{archive: archive, left: limit, sheets: map[string]string{}}
	if err := b.readBook(); err != nil {
		return nil, unreadable(err)
	}
	return b, nil
}

// part opens a part of the file, whatever the case of its name. Everything
// read counts against the limit.
func (b *sheetReader) part(name string) (io.ReadCloser, bool, error) {
	for _, f := range b.archive.File {
		if strings.EqualFold(strings.TrimPrefix(f.Name, "/"), name) {
			in, err := f.Open()
			if err != nil {
				return nil, true, fmt.Errorf("open %s: %w", name, err)
			}
			return &counted{in, b}, true, nil
		}
	}
	return nil, false, nil
}

type counted struct {
	io.ReadCloser
	book *sheetReader
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.book.left -= int64(n); c.book.left < 0 {
		return 0, errors.New("the workbook is too large unpacked")
	}
	return n, err
}

// each calls visit for every token of a part.
func (b *sheetReader) each(name string, visit func(xml.Token) error) error {
	in, found, err := b.part(name)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: %s is missing", errForm, name)
	}
	defer func() { _ = in.Close() }()
	decoder := xml.NewDecoder(in)
	for {
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if err := visit(token); err != nil {
			return err
		}
	}
}

func attribute(element *xml.StartElement, name string) string {
	for i := range element.Attr {
		if element.Attr[i].Name.Local == name {
			return element.Attr[i].Value
		}
	}
	return ""
}

func (b *sheetReader) readBook() error {
	targets := map[string]string{}
	err := b.each("xl/_rels/workbook.xml.rels", func(token xml.Token) error {
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "Relationship" {
			target := attribute(&e, "Target")
			if strings.HasPrefix(target, "/") {
				target = strings.TrimPrefix(target, "/")
			} else {
				target = path.Join("xl", target)
			}
			targets[attribute(&e, "Id")] = target
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = b.each("xl/workbook.xml", func(token xml.Token) error {
		e, ok := token.(xml.StartElement)
		if !ok {
			return nil
		}
		switch e.Name.Local {
		case "workbookPr":
			flag := attribute(&e, "date1904")
			b.date1904 = flag == "1" || flag == "true"
		case "sheet":
			b.sheets[attribute(&e, "name")] = targets[attribute(&e, "id")]
		}
		return nil
	})
	if err != nil {
		return err
	}
	in, found, err := b.part("xl/sharedStrings.xml")
	if err != nil || !found {
		return err // a workbook may have none
	}
	if err := in.Close(); err != nil {
		return fmt.Errorf("close the texts: %w", err)
	}
	return b.readShared()
}

func (b *sheetReader) readShared() error {
	var text strings.Builder
	in, phonetic := false, 0
	return b.each("xl/sharedStrings.xml", func(token xml.Token) error {
		switch e := token.(type) {
		case xml.StartElement:
			switch e.Name.Local {
			case "si":
				text.Reset()
			case "t":
				in = true
			case "rPh":
				phonetic++
			}
		case xml.EndElement:
			switch e.Name.Local {
			case "si":
				if len(b.shared) >= maxShared {
					return errors.New("too many texts")
				}
				b.shared = append(b.shared, unescape(text.String()))
			case "t":
				in = false
			case "rPh":
				phonetic--
			}
		case xml.CharData:
			if in && phonetic == 0 {
				if text.Len()+len(e) > maxCellBytes {
					return errors.New("a text is too long")
				}
				text.Write(e)
			}
		}
		return nil
	})
}

// unescape resolves the _xHHHH_ by which the format writes characters that XML forbids.
func unescape(text string) string {
	if !strings.Contains(text, "_x") {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		if text[i] == '_' && i+7 <= len(text) && text[i+1] == 'x' && text[i+6] == '_' {
			if code, err := strconv.ParseUint(text[i+2:i+6], 16, 16); err == nil {
				out.WriteRune(rune(code))
				i += 7
				continue
			}
		}
		out.WriteByte(text[i])
		i++
	}
	return out.String()
}

// rows calls visit for every row of a sheet that has cells, with the cells in their columns. The
// slice is reused.
func (b *sheetReader) rows(sheet string, visit func(row int, cells []cell) error) error {
	name, found := b.sheets[sheet]
	if !found {
		return unreadable(fmt.Errorf("%w: sheet %q is missing", errForm, sheet))
	}
	r := rowReader{book: b, visit: visit, column: -1}
	if err := b.each(name, r.token); err != nil {
		if lienthong.ErrorCode(err) != "internal" {
			return err
		}
		return unreadable(err)
	}
	return nil
}

type rowReader struct {
	book   *sheetReader
	visit  func(row int, cells []cell) error
	row    int
	cells  []cell
	column int // of the cell at hand; -1: none
	kind   string
	value  strings.Builder
	inline strings.Builder
	inV    bool
	inT    bool
	ruby   int
	inRow  bool
}

func (r *rowReader) token(token xml.Token) error {
	switch e := token.(type) {
	case xml.StartElement:
		return r.start(&e)
	case xml.CharData:
		switch {
		case r.inV:
			r.value.Write(e)
		case r.inT && r.ruby == 0:
			r.inline.Write(e)
		}
		if r.value.Len() > maxCellBytes || r.inline.Len() > maxCellBytes {
			return errors.New("a cell is too long")
		}
	case xml.EndElement:
		switch e.Name.Local {
		case "v":
			r.inV = false
		case "t":
			r.inT = false
		case "rPh":
			r.ruby--
		case "c":
			return r.endCell()
		case "row":
			if !r.inRow {
				return errors.New("a row ends that did not begin")
			}
			r.inRow, r.column = false, -1
			return r.visit(r.row, r.cells)
		}
	}
	return nil
}

func (r *rowReader) start(e *xml.StartElement) error {
	switch e.Name.Local {
	case "row":
		number := r.row + 1
		if given := attribute(e, "r"); given != "" {
			n, err := strconv.Atoi(given)
			if err != nil || n < number || n > maxBookRows+firstRow {
				return errors.New("rows are out of order")
			}
			number = n
		}
		if r.inRow {
			return errors.New("a row begins in a row")
		}
		r.row, r.column, r.inRow = number, -1, true
		r.cells = r.cells[:0]
	case "c":
		if !r.inRow {
			return errors.New("a cell outside the rows")
		}
		column := len(r.cells)
		if given := attribute(e, "r"); given != "" {
			n, ok := columnOf(given)
			if !ok || n < len(r.cells) {
				return errors.New("cells are out of order")
			}
			column = n
		}
		if column >= maxSheetColumns {
			r.column = -1 // far to the right of everything that is ours
			return nil
		}
		for len(r.cells) <= column {
			r.cells = append(r.cells, cell{})
		}
		r.column, r.kind = column, attribute(e, "t")
		r.value.Reset()
		r.inline.Reset()
	case "f":
		if r.column >= 0 {
			r.cells[r.column].formula = true
		}
	case "v":
		r.inV = r.column >= 0
	case "t":
		r.inT = r.column >= 0
	case "rPh":
		r.ruby++
	}
	return nil
}

func (r *rowReader) endCell() error {
	if r.column < 0 {
		return nil
	}
	c := &r.cells[r.column]
	switch r.kind {
	case "s":
		i, err := strconv.Atoi(strings.TrimSpace(r.value.String()))
		if r.value.Len() > 0 && (err != nil || i < 0 || i >= len(r.book.shared)) {
			return errors.New("a text that does not exist is named")
		}
		if r.value.Len() > 0 {
			c.text = r.book.shared[i]
		}
	case "inlineStr":
		c.text = unescape(r.inline.String())
	case "str", "d":
		c.text = unescape(r.value.String())
	case "b":
		c.text, c.boolean = strings.TrimSpace(r.value.String()), true
	case "e":
		c.text, c.failed = r.value.String(), true
	default:
		c.text = strings.TrimSpace(r.value.String())
		c.number = c.text != ""
	}
	r.column = -1
	return nil
}

// columnOf is the column of a reference: A1 is 0, AB7 is 27.
func columnOf(reference string) (int, bool) {
	column := 0
	for i := range len(reference) {
		c := reference[i]
		if c >= '0' && c <= '9' {
			return column - 1, column > 0
		}
		if c < 'A' || c > 'Z' || i > 2 {
			return 0, false
		}
		column = column*26 + int(c-'A') + 1
	}
	return 0, false
}

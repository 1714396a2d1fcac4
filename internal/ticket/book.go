package ticket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/unicode/norm"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/quality"
)

// Workbook is the rows of a dataset that must be corrected, as a spreadsheet for the owner's own
// people, and what they wrote into it. It is made where the values are: at the owner's node. At the
// hub there are no values to show, and Masked must be set.
//
// The sheet has a line per wrong value: the record's key as the owner knows it, the
// field, what is wrong in words, the value as it is, and an empty cell for the right one. Only
// that cell and a remark can be written into. Every value is a cell of text, never a
// formula, however it begins.
type Workbook struct {
	Checker *quality.Checker // the dataset's shape and rules; required
	Ticket  string           // what it is about; may be empty when rows of several tickets are in it
	Owner   string           // the owner's name, for the guide
	Due     time.Time        // when everything is due to be right; zero: not shown
	At      time.Time        // now: when it is made, and the time at which rules judge what comes back; required
	Masked  bool             // show masked keys and values
	MaxRows int              // default 100,000; a sheet can hold 1,048,576
	// Scratch is where large sheets wait on disk until they are sent. They hold values, so
	// it should be the node's own directory. Default: the system's.
	Scratch string
	// Current finds the record as it is now, so that corrections of several fields are checked
	// together with the rest of it. Without it, rules that compare fields are left to the
	// re-check. It returns false for a record that is gone.
	Current func(ctx context.Context, record string) ([]lienthong.Value, bool, error)
	// MaxBytes is how large a workbook may be that is read back, unpacked. Default 256 MiB.
	MaxBytes int64
}

// Row is one value to correct. Values may be reused by the caller after the next row is asked for.
type Row struct {
	Record string            // the keyed digest, as in findings
	Values []lienthong.Value // of the whole record, one per field of the shape
	Rule   string
	Field  string
	Vi, En string // what is wrong, in words; empty: as the checker's rule says
}

// The sheets. A name has at most 31 characters.
const (
	sheetRows  = "Cần sửa"
	sheetGuide = "Hướng dẫn - Guide"
	sheetData  = "lienthong"
	bookForm   = "lienthong-corrections-1"
)

// The columns by the names in the first, hidden line, by which they are found again.
const (
	columnNumber  = "no"
	columnKey     = "key" // key0, key1 …
	columnField   = "field_label"
	columnWrong   = "wrong"
	columnPresent = "present"
	columnCorrect = "correct"
	columnRemark  = "remark"
	columnAnswer  = "answer"
	columnRecord  = "record"
	columnName    = "field"
	columnRule    = "rule"
	columnSeal    = "seal"
)

const (
	firstRow    = 3 // below the hidden names and the headings
	maxKeyCells = 6 // identities of more fields stand in one cell
	maxShown    = 8000
	maxBookRows = 1_000_000
)

// shown is a line of the sheet as texts.
type shown struct {
	keys                           []string
	label, wrong, present, correct string
	remark, answer, record, field  string
	rule, seal                     string
	markWrong                      bool
}

// Write makes the workbook. written is how many lines it has; more says that there were more
// than MaxRows. Memory does not grow with the number of lines.
func (w *Workbook) Write(ctx context.Context, out io.Writer, rows iter.Seq2[Row, error]) (written int, more bool, err error) {
	words := map[[2]string]string{}
	return w.write(ctx, out, func(yield func(*shown, error) bool) {
		for row, err := range rows {
			if err != nil {
				yield(nil, fmt.Errorf("ticket: read rows for the workbook: %w", err))
				return
			}
			line, err := w.show(&row, words)
			if !yield(line, err) || err != nil {
				return
			}
		}
	})
}

// show turns a row into the texts of a line.
func (w *Workbook) show(row *Row, words map[[2]string]string) (*shown, error) {
	shape := w.Checker.Shape()
	field := shape.FieldIndex(row.Field)
	if field < 0 && !strings.Contains(row.Field, "+") || len(row.Values) != len(shape.Fields) {
		return nil, &lienthong.Error{
			Code: "ticket.row", Where: shape.Dataset.String() + ", " + row.Field,
			Vi: "dòng không khớp với cấu trúc tập dữ liệu", En: "the row does not fit the shape of the dataset",
		}
	}
	if field < 0 { // a rule over several fields: its first one is what can be corrected here
		first, _, _ := strings.Cut(row.Field, "+")
		if field = shape.FieldIndex(first); field < 0 {
			return nil, &lienthong.Error{
				Code: "ticket.row", Where: shape.Dataset.String() + ", " + row.Field,
				Vi: "dòng không khớp với cấu trúc tập dữ liệu", En: "the row does not fit the shape of the dataset",
			}
		}
	}
	f := &shape.Fields[field]
	s := &shown{
		label: both(f.LabelVi, f.LabelEn), record: row.Record, field: f.Name, rule: row.Rule,
		present: w.text(&row.Values[field], f.Kind),
	}
	key := [2]string{row.Rule, row.Field}
	if s.wrong = both(row.Vi, row.En); s.wrong == "" {
		known, found := words[key]
		if !found {
			known = row.Rule
			if i := w.Checker.RuleIndex(row.Rule, f.Name); i >= 0 {
				known = both(w.Checker.Rules()[i].Vi, w.Checker.Rules()[i].En)
			}
			words[key] = known
		}
		s.wrong = known
	}
	for _, i := range shape.Identity {
		s.keys = append(s.keys, w.text(&row.Values[i], shape.Fields[i].Kind))
	}
	if len(s.keys) > maxKeyCells {
		s.keys = []string{strings.Join(s.keys, " | ")}
	}
	s.seal = s.sum()
	return s, nil
}

func both(vi, en string) string {
	if vi == en || en == "" {
		return vi
	}
	if vi == "" {
		return en
	}
	return vi + " / " + en
}

// text is a value as people read it: dates as dd/mm/yyyy, the rest in canonical form.
func (w *Workbook) text(value *lienthong.Value, kind lienthong.Kind) string {
	if value.State == lienthong.Malformed {
		if w.Masked {
			return quality.Mask(value.Bytes, lienthong.Text)
		}
		return readable(string(value.Bytes))
	}
	var buffer [64]byte
	text := value.AppendText(buffer[:0], kind)
	if w.Masked {
		return quality.Mask(text, kind)
	}
	if value.State == lienthong.Present && kind == lienthong.Date {
		return time.Unix(value.Int*86400, 0).UTC().Format("02/01/2006")
	}
	return readable(string(text))
}

// readable is a text that a cell can hold: without what XML forbids, and not endless.
func readable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, string(unicode.ReplacementChar)))
	if len(text) <= maxShown {
		return text
	}
	count := 0
	for i := range text {
		if count++; count > maxShown {
			return text[:i] + "…"
		}
	}
	return text
}

// sum guards a line against cells that moved to another one, as by sorting one column. It is no
// protection against people: they may write what they like into their own data.
func (s *shown) sum() string {
	hash := sha256.New()
	for _, text := range append([]string{s.record, s.field, s.rule, s.present}, s.keys...) {
		// Spreadsheets change white space and normal forms; letters and digits they keep.
		plain := strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return -1
			}
			return r
		}, norm.NFC.String(text))
		hash.Write([]byte(strconv.Itoa(len(plain)) + ":" + plain))
	}
	return hex.EncodeToString(hash.Sum(nil)[:6])
}

// heading is a column of the sheet.
type heading struct {
	name, title string
	width       float64
	hidden      bool
}

func (w *Workbook) headings() []heading {
	shape := w.Checker.Shape()
	list := []heading{{columnNumber, "STT\nNo.", 7, false}}
	if len(shape.Identity) > maxKeyCells {
		list = append(list, heading{columnKey + "0", "Khoá của bản ghi\nKey of the record", 40, false})
	} else {
		for n, i := range shape.Identity {
			f := &shape.Fields[i]
			list = append(list, heading{columnKey + strconv.Itoa(n), f.LabelVi + "\n" + f.LabelEn, 20, false})
		}
	}
	return append(list,
		heading{columnField, "Trường\nField", 26, false},
		heading{columnWrong, "Lỗi\nWhat is wrong", 48, false},
		heading{columnPresent, "Giá trị hiện tại\nPresent value", 26, false},
		heading{columnCorrect, "Giá trị đúng\nCorrect value", 26, false},
		heading{columnRemark, "Ghi chú\nRemark", 26, false},
		heading{columnAnswer, "Kết quả kiểm tra\nResult of the check", 48, false},
		heading{columnRecord, columnRecord, 10, true},
		heading{columnName, columnName, 10, true},
		heading{columnRule, columnRule, 10, true},
		heading{columnSeal, columnSeal, 10, true},
	)
}

// styles are the looks of cells, by number.
type styles struct{ heading, locked, open, wrong, title, text int }

func makeStyles(book *excelize.File) (styles, error) {
	const asText = 49 // the format "@": what is typed stays as it is typed
	border := []excelize.Border{{Type: "bottom", Color: "D9D9D9", Style: 1}}
	top := &excelize.Alignment{Vertical: "top", WrapText: true}
	fill := func(colour string) excelize.Fill {
		return excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{colour}}
	}
	var s styles
	var all error
	for _, style := range []struct {
		number *int
		style  excelize.Style
	}{
		{&s.heading, excelize.Style{Font: &excelize.Font{Bold: true}, Fill: fill("DDEBF7"), Alignment: top, Border: border}},
		{&s.locked, excelize.Style{NumFmt: asText, Alignment: top, Border: border}},
		{&s.open, excelize.Style{NumFmt: asText, Alignment: top, Border: border, Fill: fill("FFF9DB"), Protection: &excelize.Protection{Locked: false}}},
		{&s.wrong, excelize.Style{NumFmt: asText, Alignment: top, Border: border, Fill: fill("FFC7CE"), Protection: &excelize.Protection{Locked: false}}},
		{&s.title, excelize.Style{Font: &excelize.Font{Bold: true, Size: 14}}},
		{&s.text, excelize.Style{NumFmt: asText, Alignment: top}},
	} {
		number, err := book.NewStyle(&style.style)
		*style.number = number
		all = errors.Join(all, err)
	}
	return s, all
}

// write makes a workbook of lines.
func (w *Workbook) write(ctx context.Context, out io.Writer, lines iter.Seq2[*shown, error]) (written int, more bool, err error) {
	book := excelize.NewFile(excelize.Options{TmpDir: w.Scratch})
	defer func() { err = errors.Join(err, book.Close()) }()
	look, err := makeStyles(book)
	if err != nil {
		return 0, false, fmt.Errorf("ticket: make the workbook: %w", err)
	}
	if err := errors.Join(book.SetSheetName("Sheet1", sheetRows), book.ProtectSheet(sheetRows, &excelize.SheetProtectionOptions{
		SelectLockedCells: true, SelectUnlockedCells: true, FormatColumns: true, FormatRows: true, FormatCells: true, AutoFilter: true,
	})); err != nil {
		return 0, false, fmt.Errorf("ticket: make the workbook: %w", err)
	}
	stream, err := book.NewStreamWriter(sheetRows)
	if err != nil {
		return 0, false, fmt.Errorf("ticket: make the workbook: %w", err)
	}
	headings := w.headings()
	if err := w.writeHead(stream, headings, look); err != nil {
		return 0, false, fmt.Errorf("ticket: make the workbook: %w", err)
	}
	limit := w.MaxRows
	if limit <= 0 {
		limit = 100_000
	}
	limit = min(limit, maxBookRows)
	cells := make([]any, len(headings))
	for line, err := range lines {
		if err != nil {
			return written, more, err
		}
		if written == limit {
			more = true
			break
		}
		if written%1000 == 0 {
			if err := ctx.Err(); err != nil {
				return written, more, fmt.Errorf("ticket: make the workbook: %w", err)
			}
		}
		line.cells(cells, headings, look, written+1)
		if err := stream.SetRow("A"+strconv.Itoa(written+firstRow), cells); err != nil {
			return written, more, fmt.Errorf("ticket: write line %d of the workbook: %w", written+1, err)
		}
		written++
	}
	if err := stream.Flush(); err != nil {
		return written, more, fmt.Errorf("ticket: write the workbook: %w", err)
	}
	if err := errors.Join(w.writeGuide(book, look, written, more), w.writeData(book)); err != nil {
		return written, more, fmt.Errorf("ticket: write the guide of the workbook: %w", err)
	}
	if _, err := book.WriteTo(out); err != nil {
		return written, more, fmt.Errorf("ticket: send the workbook: %w", err)
	}
	return written, more, nil
}

func (w *Workbook) writeHead(stream *excelize.StreamWriter, headings []heading, look styles) error {
	names, titles := make([]any, len(headings)), make([]any, len(headings))
	var all error
	for i, h := range headings {
		all = errors.Join(all, stream.SetColWidth(i+1, i+1, h.width))
		if h.hidden {
			all = errors.Join(all, stream.SetColVisible(i+1, i+1, false))
		}
		names[i] = h.name
		titles[i] = excelize.Cell{StyleID: look.heading, Value: h.title}
	}
	return errors.Join(all,
		stream.SetPanes(&excelize.Panes{Freeze: true, YSplit: firstRow - 1, TopLeftCell: "A3", ActivePane: "bottomLeft"}),
		stream.SetRow("A1", names, excelize.RowOpts{Hidden: true}),
		stream.SetRow("A2", titles, excelize.RowOpts{Height: 32}),
	)
}

// cells lays a line out. All values are texts.
func (s *shown) cells(dst []any, headings []heading, look styles, number int) {
	key := 0
	for i, h := range headings {
		text, style := "", look.locked
		switch h.name {
		case columnNumber:
			dst[i] = excelize.Cell{StyleID: look.locked, Value: number}
			continue
		case columnField:
			text = s.label
		case columnWrong:
			text = s.wrong
		case columnPresent:
			text = s.present
		case columnCorrect:
			text, style = s.correct, look.open
			if s.markWrong {
				style = look.wrong
			}
		case columnRemark:
			text, style = s.remark, look.open
		case columnAnswer:
			text = s.answer
		case columnRecord:
			text = s.record
		case columnName:
			text = s.field
		case columnRule:
			text = s.rule
		case columnSeal:
			text = s.seal
		default:
			if key < len(s.keys) {
				text = s.keys[key]
			}
			key++
		}
		dst[i] = excelize.Cell{StyleID: style, Value: text}
	}
}

// writeGuide is the sheet that says what to do, in both languages.
func (w *Workbook) writeGuide(book *excelize.File, look styles, written int, more bool) error {
	if _, err := book.NewSheet(sheetGuide); err != nil {
		return err
	}
	due := "-"
	if !w.Due.IsZero() {
		due = w.Due.Format("02/01/2006 15:04")
	}
	count := strconv.Itoa(written)
	if more {
		count += " (còn nữa: xuất tiếp sau khi sửa / there are more: export again after correcting)"
	}
	lines := [][2]string{
		{"Sửa dữ liệu tại nguồn", "Correcting data at the source"},
		{"Tập dữ liệu / Dataset", w.Checker.Shape().Dataset.String()},
		{"Cơ quan chủ quản / Owner", w.Owner},
		{"Phiếu / Ticket", w.Ticket},
		{"Hạn sửa / Due", due},
		{"Số dòng / Lines", count},
		{"Lập lúc / Made", w.At.Format("02/01/2006 15:04")},
		{"", ""},
		{"1. Chỉ ghi vào hai cột nền vàng: “Giá trị đúng” và “Ghi chú”.", "1. Write only into the two yellow columns: “Correct value” and “Remark”."},
		{"2. Ngày viết dd/mm/yyyy, ví dụ 05/09/1990. Số thập phân dùng dấu chấm, không ngăn hàng nghìn.", "2. Dates as dd/mm/yyyy, such as 05/09/1990. Decimals with a point, no separators of thousands."},
		{"3. Mã số giữ nguyên số 0 ở đầu; ô đã ở dạng văn bản nên gõ thế nào giữ thế ấy.", "3. Codes keep their leading zeros; the cells are text, so what is typed stays."},
		{"4. Nếu đúng ra không có giá trị, ghi " + emptyVi + ".", "4. Where there should be no value, write " + emptyEn + "."},
		{"5. Dòng chưa sửa thì để trống; có thể nộp nhiều lần.", "5. Leave lines that are not ready empty; the workbook can be handed in several times."},
		{"6. Nếu giá trị hiện tại đúng và quy tắc sai, để trống và khiếu nại trên phiếu.", "6. If the present value is right and the rule is wrong, leave the cell empty and appeal on the ticket."},
		{"7. Không dùng công thức. Không sắp xếp riêng từng cột.", "7. No formulas. Do not sort single columns."},
		{"8. Hệ thống không ghi vào cơ sở dữ liệu của cơ quan: các giá trị đúng được trả lại thành danh sách để cập nhật tại nguồn. Phiếu tự đóng khi kiểm tra lại không còn lỗi.", "8. The platform writes nothing into the agency's database: the right values come back as a list to be entered at the source. The ticket closes by itself when the re-check finds no error."},
	}
	if w.Masked {
		lines = append(lines, [2]string{"Bản này đã che giá trị. Bản có giá trị được lập tại nút của cơ quan chủ quản.", "Values are masked in this copy. The copy with values is made at the owner's node."})
	} else {
		lines = append(lines, [2]string{"Tệp này chứa dữ liệu thật: chỉ dùng trong cơ quan, xoá khi xong việc.", "This file holds real data: use it inside the agency only, and delete it when done."})
	}
	all := book.SetColWidth(sheetGuide, "A", "B", 70)
	for i, line := range lines {
		style := look.text
		if i == 0 {
			style = look.title
		}
		row := strconv.Itoa(i + 1)
		all = errors.Join(all,
			book.SetCellStr(sheetGuide, "A"+row, line[0]), book.SetCellStr(sheetGuide, "B"+row, line[1]),
			book.SetCellStyle(sheetGuide, "A"+row, "B"+row, style))
	}
	return errors.Join(all, book.ProtectSheet(sheetGuide, &excelize.SheetProtectionOptions{SelectLockedCells: true, SelectUnlockedCells: true, FormatColumns: true, FormatRows: true}))
}

// writeData is the sheet by which the workbook is known when it comes back.
func (w *Workbook) writeData(book *excelize.File) error {
	if _, err := book.NewSheet(sheetData); err != nil {
		return err
	}
	shape := w.Checker.Shape()
	var all error
	for i, line := range [][2]string{
		{"form", bookForm},
		{"dataset", shape.Dataset.String()},
		{"shape_version", strconv.Itoa(shape.Version)},
		{"ticket", w.Ticket},
		{"masked", strconv.FormatBool(w.Masked)},
	} {
		row := strconv.Itoa(i + 1)
		all = errors.Join(all, book.SetCellStr(sheetData, "A"+row, line[0]), book.SetCellStr(sheetData, "B"+row, line[1]))
	}
	return errors.Join(all, book.SetSheetVisible(sheetData, false, true))
}

package push

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Problem is a cell of a schema sheet that cannot be used.
type Problem struct {
	Cell string `json:"cell"` // "Sheet1!C7"
	Code string `json:"code"`
	Vi   string `json:"vi"`
	En   string `json:"en"`
}

const (
	maxSheetUnpacked = 64 << 20
	maxHeaderRow     = 50 // titles and legal references stand above the header
)

// The columns of a schema sheet.
const (
	headNumber = iota
	headName
	headFormat
	headLength
	headRequired
	headAbout
	headCount
)

// ImportSchema reads a record type from the sheet by which agencies describe one: an XLSX
// with the columns TT, Tên trường, Định dạng, Độ dài, Bắt buộc, Mô tả, in any order, below
// any title, in any sheet. Name becomes the type. Rows that cannot be used are named with
// their cell and left out; a schema with problems should be corrected, not declared.
//
// A member of an object is written under its own name with the object's number in front of its
// own (3, then 3.1), or as DiaChi.Tinh, or in the rows below with a dash in front.
func ImportSchema(r io.Reader, name string) (Schema, []Problem, error) {
	book, err := excelize.OpenReader(r, excelize.Options{UnzipSizeLimit: maxSheetUnpacked, UnzipXMLSizeLimit: maxSheetUnpacked, RawCellValue: true})
	if err != nil {
		return Schema{}, nil, &lienthong.Error{
			Code: "push.sheet_unreadable", Err: err,
			Vi: "không đọc được tệp XLSX", En: "the XLSX file cannot be read",
			Hint: "lưu lại dưới dạng .xlsx, không đặt mật khẩu / save it again as .xlsx, without a password",
		}
	}
	defer func() { _ = book.Close() }()
	for _, sheet := range book.GetSheetList() {
		rows, err := book.GetRows(sheet, excelize.Options{RawCellValue: true})
		if err != nil {
			continue // a chart
		}
		for i := range min(len(rows), maxHeaderRow) {
			if places, found := schemaHeader(rows[i]); found {
				reader := sheetReader{sheet: sheet, places: places, schema: Schema{Type: name}, objects: map[string]int{}}
				return reader.read(rows[i+1:], i+2)
			}
		}
	}
	return Schema{}, nil, &lienthong.Error{
		Code: "push.sheet_header",
		Vi:   "không tìm thấy dòng tiêu đề có cột Tên trường và Định dạng", En: "there is no header row with the columns Tên trường and Định dạng",
		Hint: "dùng mẫu có các cột TT, Tên trường, Định dạng, Độ dài, Bắt buộc, Mô tả / use the form with these columns",
	}
}

// heading recognises a column by its heading, whatever its case, accents and line breaks.
func heading(text string) int {
	switch plain(text) {
	case "tt", "stt", "so tt", "so thu tu", "no":
		return headNumber
	case "ten truong", "ten truong du lieu", "ten truong thong tin", "truong", "field", "field name":
		return headName
	case "dinh dang", "kieu du lieu", "kieu", "kieu dinh dang", "type", "data type":
		return headFormat
	case "do dai", "do dai toi da", "length":
		return headLength
	case "bat buoc", "required", "bat buoc nhap":
		return headRequired
	case "mo ta", "dien giai", "y nghia", "ghi chu", "description":
		return headAbout
	}
	return -1
}

// plain is the text in lower case without accents, marks and doubled spaces.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch r {
		case '(', ')', '*', ':', '/', '\n', '\r', '\t', '_':
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(strings.ToLower(dictionary.PlainKey(text))), " ")
}

func schemaHeader(row []string) (places [headCount]int, found bool) {
	for i := range places {
		places[i] = -1
	}
	for i, text := range row {
		if at := heading(text); at >= 0 && places[at] < 0 {
			places[at] = i
		}
	}
	return places, places[headName] >= 0 && places[headFormat] >= 0
}

// sheetReader turns the rows below the header into fields.
type sheetReader struct {
	sheet    string
	places   [headCount]int
	schema   Schema
	problems []Problem
	objects  map[string]int // number in the sheet -> index of the object in schema.Fields
	last     int            // index of the object that rows with a dash belong to; -1: none
}

func (s *sheetReader) read(rows [][]string, first int) (Schema, []Problem, error) {
	s.last = -1
	named := map[string]string{} // folded column -> cell
	for i, row := range rows {
		number := first + i
		name := s.text(row, headName)
		if name == "" {
			if s.text(row, headFormat) != "" {
				s.problem(number, headName, "push.sheet_name", "thiếu tên trường", "the field has no name")
			}
			continue
		}
		if numbering(row) || envelopeName(name) {
			continue
		}
		field, ok := s.field(row, number, name)
		if !ok {
			continue
		}
		column := fold(field.Column())
		if earlier, twice := named[column]; twice {
			s.problem(number, headName, "push.sheet_twice", "trường đã có ở ô "+earlier, "the field is already in cell "+earlier)
			continue
		}
		named[column] = s.cell(number, headName)
		if field.Format == Object && field.Parent == "" {
			s.last = len(s.schema.Fields)
			if n := s.text(row, headNumber); n != "" {
				s.objects[strings.TrimSuffix(n, ".")] = s.last
			}
		} else if field.Parent == "" {
			s.last = -1
		}
		s.schema.Fields = append(s.schema.Fields, field)
	}
	s.dropObjectsWithMembers()
	if len(s.problems) == 0 {
		if err := s.schema.check(); err != nil {
			return Schema{}, nil, err
		}
	}
	return s.schema, s.problems, nil
}

// numbering recognises the row 1, 2, 3 … that official forms have below the header.
func numbering(row []string) bool {
	for i, text := range row {
		if strings.Trim(strings.TrimSpace(text), "()") != strconv.Itoa(i+1) {
			return false
		}
	}
	return len(row) >= 3
}

// envelopeName: sheets list these too, but every message has them.
func envelopeName(name string) bool {
	return fold(name) == fold(columnKey) || fold(name) == fold(columnCode)
}

func (s *sheetReader) field(row []string, number int, name string) (Field, bool) {
	field := Field{About: s.text(row, headAbout)}
	dashed := strings.TrimLeft(name, "-–+• \u00a0")
	switch parent, member, dotted := strings.Cut(strings.ReplaceAll(dashed, "/", "."), "."); {
	case dotted:
		field.Parent, field.Name = strings.TrimSpace(parent), strings.TrimSpace(member)
	case dashed != name && s.last >= 0:
		field.Parent, field.Name = s.schema.Fields[s.last].Name, dashed
	default:
		field.Name = dashed
		of := strings.TrimSuffix(s.text(row, headNumber), ".")
		if at := strings.LastIndexByte(of, '.'); at > 0 {
			if object, known := s.objects[of[:at]]; known {
				field.Parent = s.schema.Fields[object].Name
			}
		}
	}
	good := true
	valid := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)
	if !valid.MatchString(field.Name) || field.Parent != "" && !valid.MatchString(field.Parent) {
		s.problem(number, headName, "push.sheet_name", "tên trường chỉ gồm chữ cái không dấu, chữ số và gạch dưới, bắt đầu bằng chữ cái",
			"a field name has ASCII letters, digits and underscores only, and begins with a letter")
		good = false
	}
	if field.Format = Format(strings.ReplaceAll(plain(s.text(row, headFormat)), " ", "")); declaredType(field.Format) == "" {
		s.problem(number, headFormat, "push.sheet_format", "định dạng phải là string, int, long, float, double, boolean, object, date hoặc datetime",
			"the format must be string, int, long, float, double, boolean, object, date or datetime")
		good = false
	}
	if field.Format == Object && field.Parent != "" {
		s.problem(number, headFormat, "push.sheet_nesting", "chỉ được lồng một cấp", "objects nest one level only")
		good = false
	}
	if text := s.text(row, headLength); text != "" && text != "-" {
		length, err := strconv.Atoi(text)
		if err != nil || length < 0 {
			s.problem(number, headLength, "push.sheet_length", "độ dài phải là số nguyên không âm", "the length must be a whole number, not negative")
			good = false
		}
		if field.Format == String {
			field.Length = length
		}
	}
	switch plain(s.text(row, headRequired)) {
	case "x", "co", "bat buoc", "true", "1", "yes", "y", "m":
		field.Required = true
	case "", "-", "khong", "khong bat buoc", "false", "0", "no", "n", "o":
	default:
		s.problem(number, headRequired, "push.sheet_required", "ghi x (bắt buộc) hoặc để trống", "write x (required) or leave it empty")
		good = false
	}
	return field, good
}

// dropObjectsWithMembers: an object with members is its members.
func (s *sheetReader) dropObjectsWithMembers() {
	parents := map[string]bool{}
	for _, f := range s.schema.Fields {
		if f.Parent != "" {
			parents[fold(f.Parent)] = true
		}
	}
	kept := s.schema.Fields[:0]
	for _, f := range s.schema.Fields {
		if f.Format == Object && parents[fold(f.Name)] {
			continue
		}
		kept = append(kept, f)
	}
	s.schema.Fields = kept
}

func (s *sheetReader) text(row []string, head int) string {
	at := s.places[head]
	if at < 0 || at >= len(row) {
		return ""
	}
	return strings.TrimSpace(row[at])
}

func (s *sheetReader) cell(number, head int) string {
	name, err := excelize.CoordinatesToCellName(max(s.places[head], 0)+1, number)
	if err != nil {
		name = fmt.Sprintf("row %d", number)
	}
	return s.sheet + "!" + name
}

func (s *sheetReader) problem(number, head int, code, vi, en string) {
	s.problems = append(s.problems, Problem{Cell: s.cell(number, head), Code: code, Vi: vi, En: en})
}

package publish

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/xuri/excelize/v2"
	"go.yaml.in/yaml/v3"
)

// Problem is what is wrong with one cell, or one row, of a file of proposals.
type Problem struct {
	Row    int    // as the file counts, from 1; in YAML the line; 0: the whole file
	Column string // the heading of the column as the file has it; empty: the whole row
	Err    *lienthong.Error
}

// The limits of a file of proposals.
const (
	maxImport     = 16 << 20
	maxImportRows = 20000
)

// ImportElements reads proposals from a table (CSV, XLSX) or from YAML; the name's ending says which. Headings
// are the names of the attributes in Vietnamese or English, with or without number and diacritics, or the keys of YAML. Each
// row stands for itself: a bad one is reported and the others are returned. What elements refer to is not
// checked here but where they are applied (dictionary.With).
func ImportElements(name string, r io.Reader) ([]dictionary.Element, []Problem) {
	data, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	switch {
	case err != nil:
		return nil, whole(&lienthong.Error{
			Code: "import.read", Where: name, Err: err,
			Vi: "không đọc được tệp", En: "the file cannot be read",
		})
	case len(data) > maxImport:
		return nil, whole(&lienthong.Error{
			Code: "import.size", Where: name,
			Vi: "tệp quá lớn", En: "the file is too large", Hint: "16 MiB",
		})
	}
	var rows [][]string
	switch strings.ToLower(path.Ext(name)) {
	case ".csv", ".tsv":
		rows, err = csvRows(name, data)
	case ".xlsx":
		rows, err = workbookRows(name, data)
	case ".yaml", ".yml", ".json":
		return importYAML(name, data)
	default:
		err = &lienthong.Error{
			Code: "import.format", Where: name,
			Vi: "không có định dạng này", En: "no such format", Hint: ".xlsx, .csv, .yaml",
		}
	}
	if err != nil {
		return nil, whole(err)
	}
	return importRows(name, rows)
}

// whole is a problem of the whole file.
func whole(err error) []Problem {
	var coded *lienthong.Error
	if !errors.As(err, &coded) {
		coded = &lienthong.Error{Code: "import.read", Vi: "không đọc được tệp", En: "the file cannot be read", Err: err}
	}
	return []Problem{{Err: coded}}
}

// formulaMark stands for a cell that holds a formula: what it shows is not what it is. The character is
// no character, so no cell can hold it.
const formulaMark = "\uffff"

func csvRows(name string, data []byte) ([][]string, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, &lienthong.Error{
			Code: "import.encoding", Where: name,
			Vi: "tệp không phải UTF-8", En: "the file is not UTF-8", Hint: "lưu thành CSV UTF-8 / save as CSV UTF-8",
		}
	}
	// Spreadsheets with Vietnamese settings write semicolons. The separator is the one that makes a heading.
	var first [][]string
	var failed error
	for i, separator := range []rune{',', ';', '\t'} {
		rows, err := separated(name, data, separator)
		if err == nil && slices.ContainsFunc(rows, isHeading) {
			return rows, nil
		}
		if i == 0 {
			first, failed = rows, err
		}
	}
	return first, failed
}

func separated(name string, data []byte, separator rune) ([][]string, error) {
	in := csv.NewReader(bytes.NewReader(data))
	in.FieldsPerRecord = -1
	in.Comma = separator
	var rows [][]string
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			line := 0
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				line = bad.Line
			}
			return nil, &lienthong.Error{
				Code: "import.csv", Where: name + ":" + strconv.Itoa(line), Err: err,
				Vi: "không phải CSV đúng cú pháp", En: "not well-formed CSV",
			}
		}
		if len(rows) > maxImportRows {
			return nil, tooManyRows(name)
		}
		line, _ := in.FieldPos(0)
		for len(rows) < line-1 && len(rows) <= maxImportRows { // rows are counted as an editor shows lines
			rows = append(rows, nil)
		}
		rows = append(rows, row)
	}
}

// isHeading tells the row of headings by its column for the identifier.
func isHeading(row []string) bool {
	return slices.ContainsFunc(row, func(cell string) bool { c := columnOf(cell); return c != nil && c.key == "id" })
}

func tooManyRows(name string) error {
	return &lienthong.Error{
		Code: "import.rows", Where: name,
		Vi: "tệp có quá nhiều dòng", En: "the file has too many rows", Hint: strconv.Itoa(maxImportRows),
	}
}

func workbookRows(name string, data []byte) (rows [][]string, err error) {
	failed := func(cause error) error {
		return &lienthong.Error{
			Code: "import.xlsx", Where: name, Err: cause,
			Vi: "không mở được sổ bảng tính", En: "the workbook cannot be opened", Hint: ".xlsx",
		}
	}
	book, err := excelize.OpenReader(bytes.NewReader(data), excelize.Options{UnzipSizeLimit: 8 * maxImport, UnzipXMLSizeLimit: 8 * maxImport, RawCellValue: true})
	if err != nil {
		return nil, failed(err)
	}
	defer func() {
		if closing := book.Close(); err == nil && closing != nil {
			err = failed(closing)
		}
	}()
	sheets := book.GetSheetList()
	if len(sheets) == 0 {
		return nil, failed(nil)
	}
	in, err := book.Rows(sheets[0])
	if err != nil {
		return nil, failed(err)
	}
	for in.Next() {
		row, err := in.Columns(excelize.Options{RawCellValue: true})
		if err != nil {
			return nil, failed(errors.Join(err, in.Close()))
		}
		if len(rows) > maxImportRows {
			return nil, errors.Join(tooManyRows(name), in.Close())
		}
		rows = append(rows, row)
	}
	if err := errors.Join(in.Error(), in.Close()); err != nil {
		return nil, failed(err)
	}
	for i := range rows {
		for j := range rows[i] {
			address, err := excelize.CoordinatesToCellName(j+1, i+1)
			if err != nil {
				return nil, failed(err)
			}
			if formula, err := book.GetCellFormula(sheets[0], address); err != nil {
				return nil, failed(err)
			} else if formula != "" {
				rows[i][j] = formulaMark
			}
		}
	}
	return rows, nil
}

// importRows reads the rows under the heading, which is the first row with the identifier's column.
func importRows(name string, rows [][]string) ([]dictionary.Element, []Problem) {
	var elements []dictionary.Element
	var problems []Problem
	at := slices.IndexFunc(rows, isHeading)
	if at < 0 {
		return nil, whole(&lienthong.Error{
			Code: "import.heading", Where: name,
			Vi: "không thấy dòng tiêu đề có cột mã phần tử dữ liệu", En: "there is no heading with a column for the identifier",
			Hint: headers()[0] + " / Identifier / id",
		})
	}
	heading := rows[at]
	taken := map[string]bool{}
	used := make([]*column, len(heading))
	for i, cell := range heading {
		c := columnOf(cell)
		switch {
		case strings.TrimSpace(cell) == "":
		case c == nil:
			problems = append(problems, Problem{at + 1, cell, problem("import.column", name, at+1, cell,
				"không có thuộc tính nào tên như vậy, cột này không được đọc", "no attribute has this name; the column is not read", "")})
		case taken[c.key]:
			problems = append(problems, Problem{at + 1, cell, problem("import.column", name, at+1, cell,
				"cột có hai lần", "the column stands twice", "")})
		default:
			used[i], taken[c.key] = c, true
		}
	}
	seen := map[string]int{}
	for n := at + 1; n < len(rows); n++ {
		if !slices.ContainsFunc(rows[n], func(cell string) bool { return strings.TrimSpace(cell) != "" }) {
			continue
		}
		element, wrong := importRow(name, n+1, heading, used, rows[n])
		if element != nil && seen[element.ID] > 0 {
			wrong = append(wrong, Problem{n + 1, headers()[0], problem("import.twice", name, n+1, headers()[0],
				fmt.Sprintf("phần tử đã có ở dòng %d", seen[element.ID]), fmt.Sprintf("the element stands in row %d already", seen[element.ID]), "")})
		}
		problems = append(problems, wrong...)
		if element != nil && len(wrong) == 0 {
			seen[element.ID] = n + 1
			elements = append(elements, *element)
		}
	}
	return elements, problems
}

func problem(code, name string, row int, column, vi, en, hint string) *lienthong.Error {
	where := fmt.Sprintf("%s, dòng / row %d", name, row)
	if column != "" {
		where += ", cột / column " + strings.TrimSpace(column)
	}
	return &lienthong.Error{Code: code, Where: where, Vi: vi, En: en, Hint: hint}
}

// columnOf recognises a heading.
func columnOf(heading string) *column {
	heading = strings.TrimSpace(heading)
	if number, rest, found := strings.Cut(heading, "."); found && onlyDigits(number) {
		heading = rest
	}
	key := dictionary.PlainKey(heading)
	if key == "" {
		return nil
	}
	all := columns()
	for _, named := range []func(*column) bool{
		// "identifier" is what people call the identifier of the element, not the key of the flag.
		func(c *column) bool { return strings.TrimSpace(heading) == c.key && c.key != "identifier" },
		func(c *column) bool { return key == dictionary.PlainKey(c.vi) || key == dictionary.PlainKey(c.en) },
	} {
		for i := range all {
			if named(&all[i]) {
				return &all[i]
			}
		}
	}
	// The attribute's own name stands for its first column.
	for _, attribute := range new(dictionary.Element).Attributes() {
		if key == dictionary.PlainKey(attribute.LabelVi) || key == dictionary.PlainKey(attribute.LabelEn) {
			return &all[slices.IndexFunc(all, func(c column) bool { return c.attribute == attribute.Number })]
		}
	}
	return nil
}

// importRow makes a document of one line for each column, so that the line of a problem says
// which column it is about.
func importRow(name string, row int, heading []string, used []*column, values []string) (*dictionary.Element, []Problem) {
	var problems []Problem
	var document strings.Builder
	lines := []int{}
	for i, c := range used {
		if c == nil || i >= len(values) || strings.TrimSpace(values[i]) == "" {
			continue
		}
		if values[i] == formulaMark {
			problems = append(problems, Problem{row, heading[i], problem("import.formula", name, row, heading[i],
				"ô chứa công thức", "the cell holds a formula", "dán giá trị thay cho công thức / paste values instead")})
			continue
		}
		value, vi, en := c.yamlValue(values[i])
		if vi != "" {
			problems = append(problems, Problem{row, heading[i], problem("import.value", name, row, heading[i], vi, en, "")})
			continue
		}
		document.WriteString(c.key + ": " + value + "\n")
		lines = append(lines, i)
	}
	for i, c := range used {
		if c != nil && i < len(values) {
			continue
		}
		if i >= len(values) {
			break
		}
		if c == nil && strings.TrimSpace(heading[i]) == "" && strings.TrimSpace(values[i]) != "" {
			problems = append(problems, Problem{row, "", problem("import.value", name, row, strconv.Itoa(i+1), "ô không có tiêu đề cột", "the cell has no heading above it", "")})
		}
	}
	if len(values) > len(used) && slices.ContainsFunc(values[len(used):], func(cell string) bool { return strings.TrimSpace(cell) != "" }) {
		problems = append(problems, Problem{row, "", problem("import.value", name, row, "", "dòng có nhiều ô hơn tiêu đề", "the row has more cells than the heading", "")})
	}
	if len(problems) > 0 {
		return nil, problems
	}
	element, err := dictionary.ParseElement("row", []byte(document.String()))
	for _, coded := range joinedErrors(err) {
		column := ""
		if line, found := strings.CutPrefix(coded.Where, "row:"); found {
			if n, err := strconv.Atoi(line); err == nil && n >= 1 && n <= len(lines) && len(lines) > 0 && !strings.HasPrefix(coded.Code, "element.") {
				column = heading[lines[n-1]]
			}
		}
		if column == "" {
			column = headingOf(coded.Code, heading, used)
		}
		problems = append(problems, Problem{row, column, problem(coded.Code, name, row, column, coded.Vi, coded.En, coded.Hint)})
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return element, nil
}

// headingOf names the column that a check of the whole element is about.
func headingOf(code string, heading []string, used []*column) string {
	key := map[string]string{
		"element.name": "id", "element.length": "max_length", "element.status": "status", "element.class": "class", "element.relation": "relations",
		"element.alignment": "alignments", "element.normalise": "normalise", "element.version": "version",
	}[code]
	if strings.HasPrefix(code, "rule.") {
		key = "rules"
	}
	for i, c := range used {
		if c != nil && c.key == key {
			return heading[i]
		}
	}
	return ""
}

// joinedErrors takes joined errors apart.
func joinedErrors(err error) []*lienthong.Error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*lienthong.Error
		for _, one := range many.Unwrap() {
			all = append(all, joinedErrors(one)...)
		}
		return all
	}
	var coded *lienthong.Error
	if errors.As(err, &coded) {
		return []*lienthong.Error{coded}
	}
	return []*lienthong.Error{{Code: "import.read", Vi: "không đọc được", En: "cannot be read", Err: err}}
}

// importYAML reads a file in the form of the dictionary's own. When something in it is wrong, the elements that are
// right by themselves are returned all the same.
func importYAML(name string, data []byte) ([]dictionary.Element, []Problem) {
	elements, err := dictionary.ParseElements(name, data)
	var problems []Problem
	for _, coded := range joinedErrors(err) {
		row := 0
		if at := strings.LastIndexByte(coded.Where, ':'); at >= 0 {
			row, _ = strconv.Atoi(coded.Where[at+1:]) // no number: the whole file
		}
		problems = append(problems, Problem{Row: row, Err: coded})
	}
	if len(problems) == 0 {
		return twiceInYAML(name, elements)
	}
	return goodOnes(name, data), problems
}

func twiceInYAML(name string, elements []dictionary.Element) ([]dictionary.Element, []Problem) {
	var problems []Problem
	seen := map[string]bool{}
	once := elements[:0]
	for i := range elements {
		if seen[elements[i].ID] {
			problems = append(problems, Problem{Err: &lienthong.Error{
				Code: "import.twice", Where: name + ": " + elements[i].ID,
				Vi: "phần tử có hai lần", En: "the element stands twice",
			}})
			continue
		}
		seen[elements[i].ID] = true
		once = append(once, elements[i])
	}
	return once, problems
}

// goodOnes reads each element of a file by itself.
func goodOnes(name string, data []byte) []dictionary.Element {
	var document yaml.Node
	if yaml.Unmarshal(data, &document) != nil || len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil
	}
	root := document.Content[0]
	var items *yaml.Node
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "elements" && root.Content[i+1].Kind == yaml.SequenceNode {
			items = root.Content[i+1]
		}
	}
	if items == nil {
		return nil
	}
	var good []dictionary.Element
	all := items.Content
	for _, item := range all {
		items.Content = []*yaml.Node{item}
		body, err := yaml.Marshal(&document)
		if err != nil {
			continue
		}
		if one, err := dictionary.ParseElements(name, body); err == nil {
			good = append(good, one...)
		}
	}
	once, _ := twiceInYAML(name, good)
	return once
}

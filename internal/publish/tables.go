package publish

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/xuri/excelize/v2"
)

// kindWords are the names of a kind of value.
func kindWords(kind int) (dictionary.Note, string) {
	k := lienthong.Kind(kind)
	return dictionary.KindWords(k), k.String()
}

// header is the heading of a column: the attribute's number and the Vietnamese name.
func (c *column) header() string { return strconv.Itoa(c.attribute) + ". " + c.vi }

// DictionaryCSV writes the elements as a table, one row each, in UTF-8 with the mark that
// spreadsheets want. ImportElements reads it again without loss.
func (e *Exports) DictionaryCSV(w io.Writer) error {
	return writeElementsCSV(w, e.config.Dictionary.Elements())
}

func writeElementsCSV(w io.Writer, elements []dictionary.Element) error {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	out := csv.NewWriter(w)
	write := func(row []string) error {
		if err := out.Write(row); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
		return nil
	}
	if err := write(headers()); err != nil {
		return err
	}
	for i := range elements {
		row, err := cells(&elements[i])
		if err != nil {
			return err
		}
		if err := write(row); err != nil {
			return err
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

func headers() []string {
	all := columns()
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].header()
	}
	return names
}

// DictionaryXLSX writes the same table as a workbook, which serves as the form for proposals too.
func (e *Exports) DictionaryXLSX(w io.Writer) error {
	return writeElementsXLSX(w, e.config.Dictionary.Elements())
}

// longestCell is what a spreadsheet can hold in one cell.
const longestCell = 32767

func writeElementsXLSX(w io.Writer, elements []dictionary.Element) (err error) {
	book := excelize.NewFile()
	defer func() {
		if closing := book.Close(); err == nil && closing != nil {
			err = fmt.Errorf("write workbook: %w", closing)
		}
	}()
	const sheet = "Từ điển"
	failed := func(cause error) error { return fmt.Errorf("write workbook: %w", cause) }
	if err := book.SetSheetName("Sheet1", sheet); err != nil {
		return failed(err)
	}
	head, err := book.NewStyle(&excelize.Style{
		Font: &excelize.Font{Bold: true}, Alignment: &excelize.Alignment{WrapText: true, Vertical: "center"},
		Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"DCE6F1"}},
	})
	if err != nil {
		return failed(err)
	}
	stream, err := book.NewStreamWriter(sheet)
	if err != nil {
		return failed(err)
	}
	if err := stream.SetColWidth(1, len(columns()), 24); err != nil {
		return failed(err)
	}
	if err := stream.SetPanes(&excelize.Panes{Freeze: true, XSplit: 1, YSplit: 1, TopLeftCell: "B2", ActivePane: "bottomRight"}); err != nil {
		return failed(err)
	}
	row := make([]any, len(columns()))
	for i, name := range headers() {
		row[i] = excelize.Cell{StyleID: head, Value: name}
	}
	if err := stream.SetRow("A1", row); err != nil {
		return failed(err)
	}
	for n := range elements {
		values, err := cells(&elements[n])
		if err != nil {
			return err
		}
		for i, value := range values {
			if len([]rune(value)) > longestCell {
				return &lienthong.Error{
					Code: "publish.cell", Where: elements[n].ID + ", " + columns()[i].vi,
					Vi: "ô quá dài cho bảng tính", En: "the cell is too long for a spreadsheet", Hint: "CSV, YAML",
				}
			}
			row[i] = value
		}
		if err := stream.SetRow("A"+strconv.Itoa(n+2), row); err != nil {
			return failed(err)
		}
	}
	if err := stream.Flush(); err != nil {
		return failed(err)
	}
	if err := book.Write(w); err != nil {
		return failed(err)
	}
	return nil
}

// DictionaryYAML writes the elements in the form of the dictionary's own files.
func (e *Exports) DictionaryYAML(w io.Writer) error {
	body, err := dictionary.MarshalElements(e.config.Dictionary.Elements())
	if err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return nil
}

// DictionaryJSON writes the whole edition: its head, the domains, the elements with all their attributes, and
// the code lists with their dates.
func (e *Exports) DictionaryJSON(w io.Writer) error {
	known := e.config.Dictionary
	edition := known.Edition()
	head := object{{"version", edition.Version}, {"title_vi", edition.TitleVi}, {"title_en", edition.TitleEn}}
	head.some("valid_from", edition.ValidFrom)
	head.some("source", edition.Source)
	head.add("url", e.base+"/dictionary")
	var domains, elements, lists list
	for _, domain := range known.Domains() {
		domains = append(domains, object{
			{"id", domain.ID},
			{"name_vi", domain.NameVi},
			{"name_en", domain.NameEn},
			{"definition_vi", domain.DefinitionVi},
			{"definition_en", domain.DefinitionEn},
			{"core", domain.Core},
		})
	}
	for i := range known.Elements() {
		elements = append(elements, known.Elements()[i])
	}
	for _, codes := range known.CodeLists() {
		lists = append(lists, codes)
	}
	return writeJSON(w, object{{"dictionary", head}, {"domains", domains}, {"elements", elements}, {"lists", lists}})
}

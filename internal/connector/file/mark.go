package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/xuri/excelize/v2"
)

const (
	noteAuthor = "Liên thông"
	wrongFill  = "FFC7CE"
)

// marks are the notes of one sheet.
type marks struct {
	part  *part
	span  *span
	notes []note // with the rows of the sheet
}

// bySheet sorts the notes of an import to the sheets of its file.
func (a *accepted) bySheet(notes []note) []marks {
	var list []marks
	for _, n := range notes {
		for _, p := range slices.Backward(a.parts) {
			sp := p.spanOf(n.Row)
			if sp == nil {
				continue
			}
			n.Row -= sp.Base
			at := slices.IndexFunc(list, func(m marks) bool { return m.span == sp })
			if at < 0 {
				at = len(list)
				list = append(list, marks{part: p, span: sp})
			}
			list[at].notes = append(list[at].notes, n)
			break
		}
	}
	return list
}

func (s *Source) openCopy(a *accepted) (*book, error) {
	return openBook(s.copyName(a.number), a.path, limits{
		unpacked: s.config.MaxUnpacked, cell: s.config.MaxCell, strings: 16 << 20, scratch: s.incoming(),
	}, &atomic.Int64{})
}

// openMarked opens the sheet that notes are about, at its header.
func (s *Source) openMarked(ctx context.Context, b *book, m *marks) (*sheet, error) {
	l, err := s.layoutByID(ctx, s.db, m.part.Layout)
	if err != nil {
		return nil, err
	}
	at := m.span.Leaf
	if m.span.Name == "" && len(b.leaves) > 0 {
		if wanted := b.wanted(&m.part.Declared); len(wanted) > 0 {
			at = wanted[0]
		}
	}
	if at >= len(b.leaves) {
		return nil, errNotXLSX
	}
	return b.openSheet(&b.leaves[at], &m.part.Declared, m.part.Declared.required(l))
}

// ownMarked is the person's own workbook with the wrong cells marked.
func (s *Source) ownMarked(ctx context.Context, a *accepted, n *noted) (*excelize.File, error) {
	b, err := s.openCopy(a)
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.close() }()
	if !b.sheets {
		return nil, errNotXLSX
	}
	file, err := excelize.OpenFile(s.copyName(a.number), excelize.Options{UnzipSizeLimit: s.config.MaxUnpacked, UnzipXMLSizeLimit: s.config.MaxUnpacked})
	if err != nil {
		return nil, err
	}
	styles := &styler{book: file, made: map[int]int{}}
	for _, name := range file.GetSheetList() {
		if err := styles.unmark(name); err != nil {
			return file, err
		}
	}
	left := maxMarkedCells
	for _, m := range a.bySheet(n.notes) {
		sh, err := s.openMarked(ctx, b, &m)
		if err != nil {
			return file, err
		}
		h := sh.header
		if err := sh.close(); err != nil {
			return file, err
		}
		if err := styles.mark(sh.name, m.notes, func(field string) int { return max(0, h.column(field)) }, func(row int64) int64 { return row }, &left); err != nil {
			return file, err
		}
	}
	return file, nil
}

// styler marks cells and keeps how they look otherwise: a date must stay a date.
type styler struct {
	book *excelize.File
	made map[int]int // style of a cell -> the same, filled
}

func (y *styler) filled(style int) (int, error) {
	if made, ok := y.made[style]; ok {
		return made, nil
	}
	look, err := y.book.GetStyle(style)
	if err != nil {
		look = &excelize.Style{}
	}
	look.Fill = excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{wrongFill}}
	made, err := y.book.NewStyle(look)
	if err == nil {
		y.made[style] = made
	}
	return made, err
}

// unmark removes the marks of an earlier answer from a workbook that came back.
func (y *styler) unmark(sheet string) error {
	comments, err := y.book.GetComments(sheet)
	if err != nil {
		return err
	}
	for _, c := range comments {
		if c.Author != noteAuthor {
			continue
		}
		if err := y.book.DeleteComment(sheet, c.Cell); err != nil {
			return err
		}
		id, err := y.book.GetCellStyle(sheet, c.Cell)
		if err != nil {
			return err
		}
		look, err := y.book.GetStyle(id)
		if err != nil || len(look.Fill.Color) != 1 || !strings.HasSuffix(strings.ToUpper(look.Fill.Color[0]), wrongFill) {
			continue
		}
		look.Fill = excelize.Fill{}
		plain, err := y.book.NewStyle(look)
		if err != nil {
			return err
		}
		if err := y.book.SetCellStyle(sheet, c.Cell, c.Cell, plain); err != nil {
			return err
		}
	}
	return nil
}

// mark fills the cells and adds one note to each, as long as there are notes left to add.
func (y *styler) mark(sheet string, notes []note, columnOf func(string) int, rowOf func(int64) int64, left *int) error {
	said := map[string][]string{}
	var order []string
	for _, n := range notes {
		row := rowOf(n.Row)
		if row < 1 {
			continue
		}
		at, err := excelize.CoordinatesToCellName(columnOf(n.Field)+1, int(row))
		if err != nil {
			return err
		}
		if said[at] == nil {
			if *left == 0 {
				break
			}
			*left--
			order = append(order, at)
		}
		if text := n.Vi + "\n" + n.En; !slices.Contains(said[at], text) {
			said[at] = append(said[at], text)
		}
	}
	for _, at := range order {
		style, err := y.book.GetCellStyle(sheet, at)
		if err != nil {
			return err
		}
		if style, err = y.filled(style); err != nil {
			return err
		}
		if err := y.book.SetCellStyle(sheet, at, at, style); err != nil {
			return err
		}
		if err := y.book.AddComment(sheet, excelize.Comment{Cell: at, Author: noteAuthor, Text: strings.Join(said[at], "\n")}); err != nil {
			return err
		}
	}
	return nil
}

// wrongRows makes a workbook of the header and the rows that have notes, sheet by
// sheet, written as a stream. The first column is the row's number in the person's file, by which
// a corrected workbook is recognised as a part of the list; the last says what is wrong.
func (s *Source) wrongRows(ctx context.Context, a *accepted, n *noted) (*excelize.File, error) {
	b, err := s.openCopy(a)
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.close() }()
	file := excelize.NewFile()
	left := maxMarkedCells
	for i, m := range a.bySheet(n.notes) {
		name := sheetName(m.span.Name)
		if i == 0 {
			err = file.SetSheetName("Sheet1", name)
		} else if at, missing := file.GetSheetIndex(name); missing == nil && at >= 0 {
			name = sheetName(fmt.Sprintf("%d %s", i+1, name))
			_, err = file.NewSheet(name)
		} else {
			_, err = file.NewSheet(name)
		}
		if err == nil {
			err = s.writeWrong(ctx, file, b, &m, name, &left)
		}
		if err != nil {
			return file, err
		}
	}
	return file, nil
}

func sheetName(name string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(":\\/?*[]", r) {
			return ' '
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > 31 {
		name = string(runes[len(runes)-31:])
	}
	if name = strings.Trim(name, " '"); name == "" {
		return "Sheet1"
	}
	return name
}

func (s *Source) writeWrong(ctx context.Context, file *excelize.File, b *book, m *marks, name string, left *int) error {
	sh, err := s.openMarked(ctx, b, m)
	if err != nil {
		return err
	}
	defer func() { _ = sh.close() }()
	out, err := file.NewStreamWriter(name)
	if err != nil {
		return err
	}
	styles := &styler{book: file, made: map[int]int{}}
	fill, err := styles.filled(0)
	if err != nil {
		return err
	}
	columnOf := func(field string) int { return max(0, sh.header.column(field)) + 1 }
	width := len(sh.header.names)
	head := []any{rowNumberColumn}
	for _, column := range sh.header.names {
		head = append(head, column)
	}
	if err := out.SetRow("A1", append(head, reasonColumn)); err != nil {
		return err
	}
	wrong := map[int64][]note{}
	for _, n := range m.notes {
		wrong[n.Row] = append(wrong[n.Row], n)
	}
	written := map[int64]int64{}
	line := int64(1)
	for len(written) < len(wrong) {
		cells, number, err := sh.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		notes := wrong[int64(number)]
		if len(notes) == 0 {
			continue
		}
		line++
		written[int64(number)] = line
		row := []any{number}
		for i := range max(width, len(cells)) {
			text := ""
			if i < len(cells) {
				text = cellText(cells[i].text)
			}
			row = append(row, text)
		}
		var reasons []string
		for _, n := range notes {
			if at := columnOf(n.Field); at < len(row) {
				if _, marked := row[at].(excelize.Cell); !marked {
					row[at] = excelize.Cell{StyleID: fill, Value: row[at]}
				}
			}
			if why := n.Vi; !slices.Contains(reasons, why) {
				reasons = append(reasons, why)
			}
		}
		row = slices.Insert(row, width+1, any(strings.Join(reasons, "; "))) // before cells beyond the header
		if err := out.SetRow(fmt.Sprintf("A%d", line), row); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if len(written) > maxMarkedCells { // notes would need the sheet in memory
		return nil
	}
	return styles.mark(name, m.notes, columnOf, func(row int64) int64 { return written[row] }, left)
}

// cellText is a text that a spreadsheet accepts in a cell.
func cellText(text []byte) string {
	s := strings.ToValidUTF8(string(text), "\ufffd")
	if len(s) <= excelize.TotalCellChars {
		return s
	}
	runes := []rune(s)
	return string(runes[:min(len(runes), excelize.TotalCellChars)])
}

package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
)

const (
	maxMarkedCells = 2000    // notes in one workbook; the summary says when there are more
	maxAnnotated   = 8 << 20 // larger workbooks are answered with their wrong rows only
	summarySheet   = "Kết quả"
)

// accepted is an import that waits for its answer.
type accepted struct {
	number      int64
	table, path string
	layout      int64
	size, mtime int64
	counts      counts
}

// finishAnswers answers every acknowledged file and moves it away. What fails is
// tried again at the next acknowledgement or start; Health shows it. The caller
// holds s.accepting.
func (s *Source) finishAnswers(ctx context.Context) {
	waiting, err := s.unanswered(ctx)
	if err != nil {
		s.config.Log.ErrorContext(ctx, "file: cannot list unanswered files", slog.Any("error", err))
		return
	}
	for i := range waiting {
		a := &waiting[i]
		if err := s.answer(ctx, a); err != nil {
			s.config.Log.ErrorContext(ctx, "file: cannot answer", slog.String("file", a.path), slog.Any("error", err))
		}
	}
}

func (s *Source) unanswered(ctx context.Context) ([]accepted, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT no, tbl, path, layout, size, mtime, counts FROM imports WHERE status = 1 ORDER BY no")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var waiting []accepted
	for rows.Next() {
		var a accepted
		var body string
		if err := rows.Scan(&a.number, &a.table, &a.path, &a.layout, &a.size, &a.mtime, &body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(body), &a.counts); err != nil {
			return nil, err
		}
		waiting = append(waiting, a)
	}
	return waiting, rows.Err()
}

// answer is safe to repeat: the workbook is written again, the move finds the
// file gone, and only then the import is closed.
func (s *Source) answer(ctx context.Context, a *accepted) error {
	notes, total, rejected, reasons, err := s.loadNotes(ctx, a.number)
	if err != nil {
		return err
	}
	if err := s.writeAnswer(ctx, a, notes, total, rejected, reasons); err != nil {
		return err
	}
	if err := s.moveDone(a); err != nil {
		return err
	}
	if err := s.transactionDone(ctx, a.number); err != nil {
		return err
	}
	if err := os.Remove(s.copyName(a.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Source) transactionDone(ctx context.Context, number int64) error {
	if _, err := s.db.ExecContext(ctx, "UPDATE imports SET status = 2 WHERE no = ?", number); err != nil {
		return err
	}
	_, err := s.db.ExecContext(ctx, "DELETE FROM notes WHERE import = ?", number)
	return err
}

type reason struct {
	vi, en string
	rows   int64
}

// loadNotes reads the notes to show, how many there are, how many rows have one,
// and how often each reason occurs.
func (s *Source) loadNotes(ctx context.Context, number int64) (notes []note, total, rejected int64, reasons []reason, err error) {
	if err = s.db.QueryRowContext(ctx, "SELECT count(*), count(DISTINCT row) FROM notes WHERE import = ?", number).Scan(&total, &rejected); err != nil {
		return nil, 0, 0, nil, err
	}
	rows, err := s.db.QueryContext(ctx, "SELECT DISTINCT row, field, vi, en FROM notes WHERE import = ? ORDER BY row, field LIMIT ?", number, maxMarkedCells)
	if err != nil {
		return nil, 0, 0, nil, err
	}
	for rows.Next() {
		var n note
		if err := rows.Scan(&n.Row, &n.Field, &n.Vi, &n.En); err != nil {
			return nil, 0, 0, nil, errors.Join(err, rows.Close())
		}
		notes = append(notes, n)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, 0, 0, nil, err
	}
	// Reasons that name a row ("trùng khoá với dòng 5") are one reason.
	rows, err = s.db.QueryContext(ctx, `SELECT rtrim(vi, '0123456789'), rtrim(en, '0123456789'), count(DISTINCT row) FROM notes
		WHERE import = ? GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT 200`, number)
	if err != nil {
		return nil, 0, 0, nil, err
	}
	for rows.Next() {
		var r reason
		if err := rows.Scan(&r.vi, &r.en, &r.rows); err != nil {
			return nil, 0, 0, nil, errors.Join(err, rows.Close())
		}
		reasons = append(reasons, r)
	}
	return notes, total, rejected, reasons, errors.Join(rows.Err(), rows.Close())
}

func (s *Source) answerName(relative string) string {
	base := path.Base(relative)
	base = strings.TrimSuffix(base, path.Ext(base)) + ".ketqua.xlsx"
	return filepath.Join(s.config.Root, filepath.FromSlash(path.Dir(relative)), answerFolder, base)
}

func (s *Source) writeAnswer(ctx context.Context, a *accepted, notes []note, total, rejected int64, reasons []reason) error {
	copyName := s.copyName(a.number)
	if _, err := os.Stat(copyName); errors.Is(err, fs.ErrNotExist) {
		return nil // answered before a crash, and only the closing of the import is left
	}
	lines := [][]any{
		{"Tệp / File", path.Base(a.path)},
		{"Số dòng / Rows", a.counts.Rows},
		{"Không có lỗi / Without errors", a.counts.Rows - rejected},
		{"Có lỗi / With errors", rejected},
		{"Mới hoặc thay đổi / New or changed", a.counts.Upserts},
		{"Không thay đổi / Unchanged", a.counts.Unchanged},
		{"Xoá / Deleted", a.counts.Deletes},
		{},
		{"Lý do / Reason", "Số dòng / Rows"},
	}
	for _, r := range reasons {
		lines = append(lines, []any{r.vi + " / " + r.en, r.rows})
	}
	if total > maxMarkedCells {
		lines = append(lines, []any{}, []any{fmt.Sprintf("Chỉ đánh dấu %d ô đầu / only the first %d cells are marked", maxMarkedCells, maxMarkedCells)})
	}
	// The person's own workbook with marks is best; one that the library cannot
	// read or write back is answered with the wrong rows; and when even the copy is
	// damaged, the summary alone is better than no answer.
	t := s.declared(a.table)
	makers := []func() (*excelize.File, error){func() (*excelize.File, error) { return excelize.NewFile(), nil }}
	if t != nil && len(notes) > 0 {
		rows := func() (*excelize.File, error) { return s.marked(ctx, a, t, copyName, notes, false) }
		makers = append([]func() (*excelize.File, error){rows}, makers...)
		if isWorkbook(a.path) && a.size <= maxAnnotated {
			own := func() (*excelize.File, error) { return s.marked(ctx, a, t, copyName, notes, true) }
			makers = append([]func() (*excelize.File, error){own}, makers...)
		}
	}
	var failure error
	for _, make := range makers {
		book, err := make()
		if err == nil {
			if err = addSummary(book, lines); err == nil {
				err = saveBook(book, s.answerName(a.path))
			}
		}
		if book != nil {
			_ = book.Close()
		}
		if err == nil {
			return nil
		}
		failure = errors.Join(failure, err)
	}
	return failure
}

func addSummary(book *excelize.File, lines [][]any) error {
	name := summarySheet
	if sheets := book.GetSheetList(); len(sheets) == 1 && sheets[0] == "Sheet1" {
		if rows, err := book.GetRows("Sheet1"); err == nil && len(rows) == 0 {
			if err := book.SetSheetName("Sheet1", name); err != nil {
				return err
			}
		}
	}
	for i := 2; slices.Contains(book.GetSheetList(), name) && len(book.GetSheetList()) > 1; i++ {
		name = fmt.Sprintf("%s %d", summarySheet, i)
	}
	if _, err := book.NewSheet(name); err != nil {
		return err
	}
	for i := range lines {
		if err := book.SetSheetRow(name, fmt.Sprintf("A%d", i+1), &lines[i]); err != nil {
			return err
		}
	}
	return book.SetColWidth(name, "A", "A", 60)
}

// marked opens the person's own workbook, or makes one of the wrong rows, and
// marks the cells.
func (s *Source) marked(ctx context.Context, a *accepted, t *Table, copyName string, notes []note, own bool) (*excelize.File, error) {
	l, err := s.layoutByID(ctx, s.db, a.layout)
	if err != nil {
		return nil, err
	}
	sh, err := s.openSheet(copyName, a.path, t, t.required(l))
	if err != nil {
		return nil, err
	}
	defer func() { _ = sh.close() }()
	columnOf := func(field string) int {
		return max(0, slices.IndexFunc(sh.header.names, func(name string) bool { return sameName(name, field) }))
	}
	if own {
		book, err := excelize.OpenFile(copyName, excelize.Options{UnzipSizeLimit: s.config.MaxUnpacked, UnzipXMLSizeLimit: s.config.MaxUnpacked})
		if err != nil {
			return nil, err
		}
		name := t.Sheet
		for _, sheetName := range book.GetSheetList() {
			visible, _ := book.GetSheetVisible(sheetName)
			if t.Sheet == "" && visible || sameName(sheetName, t.Sheet) {
				name = sheetName
				break
			}
		}
		return book, mark(book, name, notes, columnOf, func(row int64) int64 { return row })
	}
	return wrongRows(sh, notes, columnOf)
}

// wrongRows makes a workbook of the header and the rows that have notes. The
// first column is the row's number in the person's file.
func wrongRows(sh *sheet, notes []note, columnOf func(string) int) (*excelize.File, error) {
	book := excelize.NewFile()
	const name = "Sheet1"
	head := []any{"Dòng / Row"}
	for _, column := range sh.header.names {
		head = append(head, column)
	}
	if err := book.SetSheetRow(name, "A1", &head); err != nil {
		return book, err
	}
	wrong := map[int64]int64{}
	for _, n := range notes {
		wrong[n.Row] = 0
	}
	line := int64(1)
	for {
		cells, number, err := sh.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return book, err
		}
		if _, marked := wrong[int64(number)]; !marked {
			continue
		}
		line++
		wrong[int64(number)] = line
		row := []any{number}
		for i := range cells {
			text := string(cells[i].text)
			if len(text) > excelize.TotalCellChars {
				text = strings.ToValidUTF8(text[:excelize.TotalCellChars/4], "")
			}
			row = append(row, strings.ToValidUTF8(text, "�"))
		}
		if err := book.SetSheetRow(name, fmt.Sprintf("A%d", line), &row); err != nil {
			return book, err
		}
	}
	return book, mark(book, name, notes,
		func(field string) int { return columnOf(field) + 1 },
		func(row int64) int64 { return wrong[row] })
}

// mark fills the cells and adds one note to each.
func mark(book *excelize.File, sheetName string, notes []note, columnOf func(string) int, rowOf func(int64) int64) error {
	fill, err := book.NewStyle(&excelize.Style{Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"FFC7CE"}}})
	if err != nil {
		return err
	}
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
			order = append(order, at)
		}
		if text := n.Vi + "\n" + n.En; !slices.Contains(said[at], text) {
			said[at] = append(said[at], text)
		}
	}
	for _, at := range order {
		if err := book.SetCellStyle(sheetName, at, at, fill); err != nil {
			return err
		}
		if err := book.AddComment(sheetName, excelize.Comment{Cell: at, Author: "Liên thông", Text: strings.Join(said[at], "\n")}); err != nil {
			return err
		}
	}
	return nil
}

// saveBook writes beside and renames, so that nobody opens half a workbook.
func saveBook(book *excelize.File, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o770); err != nil { //nolint:gosec // shared with the people who hand files in
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(name), ".*.tmp")
	if err != nil {
		return err
	}
	book.Path = name // the library chooses the format by the name
	_, err = book.WriteTo(out)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return nil
}

// moveDone moves the file to done/, unless somebody has put a newer one in its
// place: then our copy goes there.
func (s *Source) moveDone(a *accepted) error {
	from := filepath.Join(s.config.Root, filepath.FromSlash(a.path))
	to, err := freeName(filepath.Join(filepath.Dir(from), doneFolder, filepath.Base(from)), a.number)
	if err != nil {
		return err
	}
	if info, err := os.Stat(from); err == nil && info.Size() == a.size && info.ModTime().UnixNano() == a.mtime {
		return os.Rename(from, to)
	}
	in, err := os.Open(s.copyName(a.number))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // moved before a crash
		}
		return err
	}
	defer func() { _ = in.Close() }()
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		// Moved by us before a crash, or taken away by its owner: either is well.
		return nil
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o660) //nolint:gosec // in the drop folder
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// freeName makes the folder and avoids a name that is taken.
func freeName(name string, number int64) (string, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o770); err != nil { //nolint:gosec // shared with the people who hand files in
		return "", err
	}
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return name, nil
	}
	return filepath.Join(filepath.Dir(name), fmt.Sprintf("%d-%s", number, filepath.Base(name))), nil
}

// refuse answers a file that is no table: it moves to loi/, with a workbook that
// says why.
func (s *Source) refuse(f *found, why *lienthong.Error) error {
	book := excelize.NewFile()
	defer func() { _ = book.Close() }()
	err := addSummary(book, [][]any{
		{"Tệp / File", path.Base(f.path)},
		{"Không nhận / Refused", why.Vi},
		{"", why.En},
		{"Cần làm / What to do", why.Hint},
		{"Mã / Code", why.Code},
	})
	if err == nil {
		err = saveBook(book, s.answerName(f.path))
	}
	if err != nil {
		return fmt.Errorf("file: answer %s: %w", f.path, err)
	}
	from := filepath.Join(s.config.Root, filepath.FromSlash(f.path))
	to, err := freeName(filepath.Join(filepath.Dir(from), errorFolder, filepath.Base(from)), s.config.Now().UnixMicro())
	if err == nil {
		err = os.Rename(from, to)
	}
	if err != nil {
		return fmt.Errorf("file: move %s: %w", f.path, err)
	}
	return nil
}

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
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/lienthong/lienthong"
)

const (
	maxMarkedCells = 2000    // notes in one workbook; the summary says when there are more
	maxNotesRead   = 50_000  // notes that an answer is made of; the summary counts all
	maxAnnotated   = 2 << 20 // larger workbooks are answered with their wrong rows only: the library needs 50 times as much memory
	summarySheet   = "Kết quả"
	answerSuffix   = ".ketqua.xlsx"
)

// accepted is an import that waits for its answer.
type accepted struct {
	number      int64
	path        string
	size, mtime int64
	parts       []*part
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
		var table, body string
		var layout int64
		if err := rows.Scan(&a.number, &table, &a.path, &layout, &a.size, &a.mtime, &body); err != nil {
			return nil, err
		}
		var kept answerParts
		if err := json.Unmarshal([]byte(body), &kept); err != nil {
			return nil, err
		}
		if a.parts = kept.Parts; len(a.parts) == 0 { // accepted by an earlier release: one table, one sheet
			p := &part{Layout: layout, Spans: []span{{}}, Declared: Table{Name: table}}
			if t := s.declared(table); t != nil {
				p.Declared = *t
			}
			if err := json.Unmarshal([]byte(body), &p.Counts); err != nil {
				return nil, err
			}
			a.parts = []*part{p}
		}
		waiting = append(waiting, a)
	}
	return waiting, rows.Err()
}

// answer is safe to repeat: the workbook is written again, the move finds the
// file gone, and only then the import is closed.
func (s *Source) answer(ctx context.Context, a *accepted) error {
	n, err := s.loadNotes(ctx, a.number)
	if err != nil {
		return err
	}
	if err := s.writeAnswer(ctx, a, n); err != nil {
		return err
	}
	if err := s.moveDone(a); err != nil {
		return err
	}
	if err := s.transactionDone(ctx, a.number); err != nil {
		return err
	}
	return removeIfThere(s.copyName(a.number))
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

// noted is what is wrong with a file.
type noted struct {
	notes    []note
	total    int64 // notes
	reasons  []reason
	rejected int64
}

// loadNotes reads the notes to show, how many there are, how many rows have one,
// and how often each reason occurs.
func (s *Source) loadNotes(ctx context.Context, number int64) (*noted, error) {
	n := &noted{}
	if err := s.db.QueryRowContext(ctx, "SELECT count(*), count(DISTINCT row) FROM notes WHERE import = ?", number).Scan(&n.total, &n.rejected); err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, "SELECT DISTINCT row, field, vi, en FROM notes WHERE import = ? ORDER BY row, field LIMIT ?", number, maxNotesRead)
	if err != nil {
		return nil, err
	}
	shared := map[string]string{} // the same few texts come thousands of times
	share := func(text string) string {
		if known, ok := shared[text]; ok {
			return known
		}
		shared[text] = text
		return text
	}
	for rows.Next() {
		var o note
		if err := rows.Scan(&o.Row, &o.Field, &o.Vi, &o.En); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		o.Field, o.Vi, o.En = share(o.Field), share(o.Vi), share(o.En)
		n.notes = append(n.notes, o)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	// Reasons that name a row ("trùng khoá với dòng 5") are one reason.
	rows, err = s.db.QueryContext(ctx, `SELECT rtrim(vi, '0123456789'), rtrim(en, '0123456789'), count(DISTINCT row) FROM notes
		WHERE import = ? GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT 200`, number)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var r reason
		if err := rows.Scan(&r.vi, &r.en, &r.rows); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		n.reasons = append(n.reasons, r)
	}
	return n, errors.Join(rows.Err(), rows.Close())
}

// answerName is where the answer to a file is. A corrected answer is answered under the
// name of the file that it answers.
func (s *Source) answerName(relative string) string {
	base := path.Base(relative)
	if original, ok := strings.CutSuffix(base, answerSuffix); ok {
		base = original
	} else {
		base = strings.TrimSuffix(base, ".gz")
		base = strings.TrimSuffix(base, path.Ext(base))
	}
	return filepath.Join(s.config.Root, filepath.FromSlash(path.Dir(relative)), answerFolder, base+answerSuffix)
}

// summary is the page of results: read, landed, rejected, and how often each rule was broken.
func summary(a *accepted, n *noted) [][]any {
	lines := [][]any{{summaryMark, path.Base(a.path)}}
	var all counts
	for _, p := range a.parts {
		all.Rows += p.Counts.Rows
		all.Upserts += p.Counts.Upserts
		all.Unchanged += p.Counts.Unchanged
		all.Deletes += p.Counts.Deletes
	}
	lines = append(lines,
		[]any{"Số dòng / Rows", all.Rows},
		[]any{"Không có lỗi / Without errors", all.Rows - n.rejected},
		[]any{"Có lỗi / With errors", n.rejected},
		[]any{"Mới hoặc thay đổi / New or changed", all.Upserts},
		[]any{"Không thay đổi / Unchanged", all.Unchanged},
		[]any{"Xoá / Deleted", all.Deletes},
	)
	for _, p := range a.parts {
		if len(a.parts) > 1 {
			lines = append(lines, []any{"Bảng / Table " + p.Declared.Name, p.Counts.Rows})
		}
	}
	lines = append(lines, []any{}, []any{"Lý do / Reason", "Số dòng / Rows"})
	for _, r := range n.reasons {
		lines = append(lines, []any{r.vi + " / " + r.en, r.rows})
	}
	if n.total > maxMarkedCells {
		lines = append(lines, []any{}, []any{fmt.Sprintf("Chỉ ghi chú %d ô đầu / only the first %d cells have notes", maxMarkedCells, maxMarkedCells)})
	}
	first := true
	for _, p := range a.parts {
		for _, o := range p.Counts.Notices {
			if first {
				lines = append(lines, []any{}, []any{"Lưu ý / Notice", "Số dòng / Rows", "Dòng đầu / First row"})
				first = false
			}
			lines = append(lines, []any{o.Vi + " / " + o.En, o.Rows, o.Row})
		}
	}
	return lines
}

func (s *Source) writeAnswer(ctx context.Context, a *accepted, n *noted) error {
	copyName := s.copyName(a.number)
	if _, err := os.Stat(copyName); errors.Is(err, fs.ErrNotExist) {
		return nil // answered before a crash, and only the closing of the import is left
	}
	lines := summary(a, n)
	// The person's own workbook with marks is best; one that the library cannot
	// read or write back is answered with the wrong rows; and when even the copy is
	// damaged, the summary alone is better than no answer.
	var makers []func() (*excelize.File, error)
	if len(n.notes) > 0 {
		if a.size <= maxAnnotated {
			makers = append(makers, func() (*excelize.File, error) { return s.ownMarked(ctx, a, n) })
		}
		makers = append(makers, func() (*excelize.File, error) { return s.wrongRows(ctx, a, n) })
	}
	makers = append(makers, func() (*excelize.File, error) { return excelize.NewFile(), nil })
	var failure error
	for _, maker := range makers {
		err := s.makeAnswer(maker, lines, s.answerName(a.path))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failure = errors.Join(failure, err)
	}
	return failure
}

// makeAnswer writes one answer. The library was not made for files from anywhere, and
// panics on some: that is then one answer that cannot be made.
func (s *Source) makeAnswer(maker func() (*excelize.File, error), lines [][]any, name string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errLibrary, p)
		}
	}()
	book, err := maker()
	if book != nil {
		defer func() { _ = book.Close() }()
	}
	if err == nil {
		err = addSummary(book, lines)
	}
	if err == nil {
		err = saveBook(book, name)
	}
	return err
}

var errLibrary = errors.New("file: the workbook cannot be written back")

func addSummary(book *excelize.File, lines [][]any) error {
	name := summarySheet
	for _, sheet := range book.GetSheetList() {
		first, err := book.GetCellValue(sheet, "A1")
		if err != nil {
			return err
		}
		// An empty new workbook, and the page of an answer that came back corrected, are written over.
		if strings.HasPrefix(sheet, summarySheet) && first == summaryMark {
			if err := book.DeleteSheet(sheet); err != nil {
				return err
			}
		} else if sheet == "Sheet1" && first == "" && len(book.GetSheetList()) == 1 {
			if rows, err := book.GetRows(sheet); err == nil && len(rows) == 0 {
				if err := book.SetSheetName(sheet, name); err != nil {
					return err
				}
			}
		}
	}
	for i := 2; len(book.GetSheetList()) > 1; i++ {
		if at, err := book.GetSheetIndex(name); err != nil || at < 0 {
			break
		}
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
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		// Moved by us before a crash, or taken away by its owner: either is well.
		return nil
	}
	err = copyFile(s.copyName(a.number), to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // moved before a crash
	}
	return err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
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
// says why. A file that was replaced meanwhile stays, and is looked at again.
func (s *Source) refuse(f *found, number int64, why *lienthong.Error) error {
	book := excelize.NewFile()
	defer func() { _ = book.Close() }()
	err := addSummary(book, [][]any{
		{summaryMark, path.Base(f.path)},
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
		if info, missing := os.Stat(from); missing == nil && info.Size() == f.size && info.ModTime().UnixNano() == f.mtime {
			err = os.Rename(from, to)
		} else if number > 0 {
			err = copyFile(s.copyName(number), to)
		}
	}
	if err == nil && number > 0 {
		err = removeIfThere(s.copyName(number))
	}
	if err != nil {
		return fmt.Errorf("file: move %s: %w", f.path, err)
	}
	return nil
}

package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

// sheet is a file opened at its header: names of columns, then rows.
type sheet struct {
	header  header
	early   [][]cell // rows read to find the header
	numbers []int
	reader  rowReader
	file    *os.File
	close   func() error
}

func isWorkbook(name string) bool { return strings.EqualFold(filepath.Ext(name), ".xlsx") }

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

// openSheet opens a file and finds its header. The errors say what a person
// must do about the file.
func (s *Source) openSheet(name, shown string, t *Table, required []string) (*sheet, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("file: open: %w", err)
	}
	sh := &sheet{file: in, close: in.Close}
	if isWorkbook(shown) {
		info, err := in.Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("file: stat: %w", err), in.Close())
		}
		workbook, err := openXLSX(in, info.Size(), t.Sheet, s.config.MaxUnpacked, s.config.MaxCell)
		if err != nil {
			_ = in.Close()
			return nil, unreadable(shown, err)
		}
		sh.reader = workbook
		sh.close = func() error { return errors.Join(workbook.Close(), in.Close()) }
	} else {
		sh.reader = openCSV(in, func(rows [][]string) (int, bool) {
			h, found := findHeader(rows, required)
			return len(h.names), found
		}, s.config.MaxCell)
	}
	var looked [][]string
	for len(sh.early) < headerDistance {
		cells, number, err := sh.reader.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			_ = sh.close()
			return nil, unreadable(shown, err)
		}
		looked = append(looked, texts(cells))
		kept := make([]cell, len(cells))
		for i := range cells {
			kept[i] = cell{text: bytes.Clone(cells[i].text), bad: cells[i].bad}
		}
		sh.early = append(sh.early, kept)
		sh.numbers = append(sh.numbers, number)
	}
	found := false
	if sh.header, found = findHeader(looked, required); !found {
		_ = sh.close()
		return nil, &lienthong.Error{
			Code: "file.header", Where: shown,
			Vi:   "không tìm thấy dòng tiêu đề có đủ các cột: " + strings.Join(required, ", "),
			En:   "no header row has all of the columns: " + strings.Join(required, ", "),
			Hint: "đặt tên cột ở một trong 20 dòng đầu, lưu CSV bằng mã UTF-8 / put the column names into one of the first 20 rows, save CSV as UTF-8",
		}
	}
	sh.early, sh.numbers = sh.early[sh.header.rows:], sh.numbers[sh.header.rows:]
	return sh, nil
}

// next returns the next row after the header.
func (sh *sheet) next() ([]cell, int, error) {
	if len(sh.early) == 0 {
		return sh.reader.next()
	}
	row, number := sh.early[0], sh.numbers[0]
	sh.early, sh.numbers = sh.early[1:], sh.numbers[1:]
	return row, number, nil
}

func unreadable(shown string, err error) error {
	if errors.Is(err, errTooLarge) {
		return &lienthong.Error{
			Code: "file.too_large", Where: shown, Err: err,
			Vi:   "tệp, một ô hoặc số cột vượt quá giới hạn; cũng có thể thiếu dấu nháy đóng",
			En:   "the file, a cell or the number of columns is beyond the limit; a closing quote may be missing",
			Hint: "chia nhỏ tệp hoặc kiểm tra dấu nháy / divide the file or check its quotes",
		}
	}
	return &lienthong.Error{
		Code: "file.unreadable", Where: shown, Err: err,
		Vi:   "không đọc được tệp như một bảng tính",
		En:   "the file cannot be read as a table",
		Hint: "mở tệp, lưu lại dạng XLSX hoặc CSV UTF-8 rồi gửi lại / open it, save it as XLSX or CSV UTF-8 and hand it in again",
	}
}

package file

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/lienthong/lienthong"
)

// book is a file opened by what it is, whatever its name says: a workbook, a
// text, or an archive of those.
type book struct {
	file    *os.File
	size    int64
	read    *atomic.Int64 // bytes read from the file
	limits  limits
	leaves  []leaf
	sheets  bool // a workbook that stands alone
	closers []func() error
}

// leaf is one sheet or text of a book.
type leaf struct {
	name   string // of the sheet, or of the archive's member; empty for a text alone
	hidden bool
	book   *workbook // nil: a text
	sheet  int
	text   func() (io.ReadCloser, error)
}

// counted counts what is read, for progress.
type counted struct {
	*os.File
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.File.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c counted) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.File.ReadAt(p, at)
	c.n.Add(int64(n))
	return n, err
}

// Codes of files that cannot be opened are told apart, because what a person
// must do is different.
var (
	errPassword  = errors.New("the file is encrypted with a password")
	errOldExcel  = errors.New("a workbook of Excel 97-2003")
	errNoBytes   = errors.New("the file has no bytes")
	errNotTable  = errors.New("not a table")
	errManyParts = errors.New("too many files in the archive")
)

const maxMembers = 200 // of an archive

// openBook opens a file. The errors are those above, errNotXLSX, errTooLarge, or of the disk.
func openBook(name, shown string, l limits, read *atomic.Int64) (*book, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("file: open: %w", err)
	}
	info, err := in.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("file: stat: %w", err), in.Close())
	}
	b := &book{file: in, size: info.Size(), read: read, limits: l}
	b.closers = append(b.closers, in.Close)
	if err := b.recognise(name, shown); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *book) close() error {
	var all []error
	for _, closer := range slices.Backward(b.closers) {
		all = append(all, closer())
	}
	b.closers = nil
	return errors.Join(all...)
}

func (b *book) recognise(name, shown string) error {
	head := make([]byte, 1024)
	n, err := b.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("file: read: %w", err)
	}
	head = head[:n]
	ext := strings.ToLower(path.Ext(shown))
	lower := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte(utf8Mark)), " \t\r\n"))
	switch {
	case b.size == 0:
		return errNoBytes
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return b.openZip()
	case bytes.HasPrefix(head, []byte{0xd0, 0xcf, 0x11, 0xe0}):
		return b.oldOrLocked()
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		b.leaves = []leaf{{text: func() (io.ReadCloser, error) { return b.unzipped(name) }}}
		return nil
	case ext == ".xlsx" || ext == ".xlsm":
		return errNotXLSX
	case ext == ".xls" || ext == ".xlsb":
		if bytes.HasPrefix(lower, []byte("<")) {
			return errNotTable
		}
		return errOldExcel
	case bytes.HasPrefix(lower, []byte("<!doctype")), bytes.HasPrefix(lower, []byte("<html")), bytes.HasPrefix(lower, []byte("<?xml")),
		bytes.HasPrefix(head, []byte("%PDF")), bytes.HasPrefix(head, []byte("{\\rtf")), bytes.HasPrefix(head, []byte("\x89PNG")),
		bytes.HasPrefix(head, []byte{0xff, 0xd8, 0xff}), bytes.HasPrefix(head, []byte("Rar!")), bytes.HasPrefix(head, []byte("7z\xbc\xaf")):
		return errNotTable
	}
	b.leaves = []leaf{{text: func() (io.ReadCloser, error) { return b.again(name) }}}
	return nil
}

// again opens the file once more from its beginning.
func (b *book) again(name string) (io.ReadCloser, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("file: open: %w", err)
	}
	return counted{in, b.read}, nil
}

type gzipText struct {
	*gzip.Reader
	in io.Closer
}

func (g gzipText) Close() error { return errors.Join(g.Reader.Close(), g.in.Close()) }

func (b *book) unzipped(name string) (io.ReadCloser, error) {
	in, err := b.again(name)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, errors.Join(errNotTable, err, in.Close())
	}
	return &limited{gzipText{z, in}, b.limits.unpacked}, nil
}

// oldOrLocked tells a workbook of Excel 97-2003 from a new one with a password: both are
// compound files, and a new one says so in its directory.
func (b *book) oldOrLocked() error {
	const mark = "E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e\x00"
	window := make([]byte, 1<<20)
	for at := int64(0); at < b.size; at += int64(len(window) - len(mark)) {
		n, err := b.file.ReadAt(window, at)
		if bytes.Contains(window[:n], []byte(mark)) {
			return errPassword
		}
		if err != nil {
			break
		}
	}
	return errOldExcel
}

func (b *book) openZip() error {
	archive, err := zip.NewReader(counted{b.file, b.read}, b.size)
	if err != nil {
		return errors.Join(errNotXLSX, err)
	}
	if slices.ContainsFunc(archive.File, func(f *zip.File) bool { return strings.EqualFold(f.Name, "xl/workbook.xml") }) {
		b.sheets = true
		return b.addWorkbook(archive, "")
	}
	if slices.ContainsFunc(archive.File, func(f *zip.File) bool {
		return strings.EqualFold(f.Name, "xl/workbook.bin") || strings.EqualFold(f.Name, "mimetype") || strings.EqualFold(f.Name, "[Content_Types].xml")
	}) {
		return errNotTable // XLSB, OpenDocument, a Word document
	}
	if len(archive.File) > maxMembers {
		return errManyParts
	}
	left := b.limits.unpacked
	for _, f := range archive.File {
		base := path.Base(strings.ReplaceAll(f.Name, "\\", "/"))
		switch strings.ToLower(path.Ext(base)) {
		case ".csv", ".tsv", ".txt", ".xlsx", ".xlsm":
		default:
			continue
		}
		if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "~$") || strings.HasPrefix(f.Name, "__MACOSX/") || f.FileInfo().IsDir() {
			continue
		}
		if f.Flags&1 != 0 {
			return errPassword
		}
		if strings.EqualFold(path.Ext(base), ".xlsx") || strings.EqualFold(path.Ext(base), ".xlsm") {
			if err := b.addPackedWorkbook(f, base, &left); err != nil {
				return err
			}
			continue
		}
		b.leaves = append(b.leaves, leaf{name: base, text: func() (io.ReadCloser, error) {
			in, err := f.Open()
			if err != nil {
				return nil, errors.Join(errNotTable, err)
			}
			return &limited{in, b.limits.unpacked}, nil
		}})
	}
	if len(b.leaves) == 0 {
		return errNotTable
	}
	return nil
}

func (b *book) addWorkbook(archive *zip.Reader, prefix string) error {
	w, err := openWorkbook(archive, b.limits)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, w.close)
	for i, s := range w.sheets {
		b.leaves = append(b.leaves, leaf{name: prefix + s.name, hidden: s.hidden, book: w, sheet: i})
	}
	if len(w.sheets) == 0 {
		return fmt.Errorf("%w: no sheet", errNotXLSX)
	}
	return nil
}

// addPackedWorkbook unpacks a workbook out of an archive, because its parts are
// read in any order.
func (b *book) addPackedWorkbook(f *zip.File, base string, left *int64) error {
	in, err := f.Open()
	if err != nil {
		return errors.Join(errNotXLSX, err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(b.limits.scratch, "member-*.tmp")
	if err != nil {
		return fmt.Errorf("file: unpack: %w", err)
	}
	b.closers = append(b.closers, func() error { return errors.Join(out.Close(), os.Remove(out.Name())) })
	n, err := io.Copy(out, io.LimitReader(in, *left+1))
	if *left -= n; *left < 0 {
		return errTooLarge
	}
	if err != nil {
		return errors.Join(errNotXLSX, err)
	}
	archive, err := zip.NewReader(out, n)
	if err != nil {
		return errors.Join(errNotXLSX, err)
	}
	return b.addWorkbook(archive, base+"/")
}

// unreadable is the refusal of a file, in the words of the person who handed it in.
func unreadable(shown string, err error) error {
	refusal := &lienthong.Error{Where: shown, Err: err}
	switch {
	case errors.Is(err, errTooLarge), errors.Is(err, errManyParts):
		refusal.Code = "file.too_large"
		refusal.Vi = "tệp, một ô hoặc số cột vượt quá giới hạn; cũng có thể thiếu dấu nháy đóng"
		refusal.En = "the file, a cell or the number of columns is beyond the limit; a closing quote may be missing"
		refusal.Hint = "chia nhỏ tệp hoặc kiểm tra dấu nháy / divide the file or check its quotes"
	case errors.Is(err, errPassword):
		refusal.Code = "file.password"
		refusal.Vi = "tệp được đặt mật khẩu nên không đọc được"
		refusal.En = "the file is protected by a password and cannot be read"
		refusal.Hint = "mở tệp, chọn Tệp > Thông tin > Bảo vệ sổ làm việc > bỏ mật khẩu, lưu rồi gửi lại / open it, remove the password under File > Info > Protect Workbook, save it and hand it in again"
	case errors.Is(err, errOldExcel):
		refusal.Code = "file.old_workbook"
		refusal.Vi = "tệp có định dạng Excel 97-2003 (.xls) hoặc .xlsb, không nhận trực tiếp được"
		refusal.En = "the file is in the format of Excel 97-2003 (.xls) or .xlsb, which is not read"
		refusal.Hint = "mở bằng Excel, chọn Lưu thành > Sổ làm việc Excel (*.xlsx) rồi gửi lại / open it in Excel, choose Save As > Excel Workbook (*.xlsx) and hand it in again"
	case errors.Is(err, errNoBytes):
		refusal.Code = "file.no_bytes"
		refusal.Vi = "tệp rỗng (0 byte), có thể chưa chép xong"
		refusal.En = "the file has 0 bytes; it may not have been copied to its end"
		refusal.Hint = "kiểm tra tệp gốc rồi chép lại / check the original and copy it again"
	case errors.Is(err, errNotTable):
		refusal.Code = "file.not_a_table"
		refusal.Vi = "tệp không phải bảng tính XLSX hoặc văn bản CSV"
		refusal.En = "the file is neither an XLSX workbook nor a CSV text"
		refusal.Hint = "lưu danh sách dạng XLSX hoặc CSV UTF-8 rồi gửi lại / save the list as XLSX or CSV UTF-8 and hand it in again"
	default:
		refusal.Code = "file.unreadable"
		refusal.Vi = "không đọc được tệp như một bảng tính; tệp có thể bị hỏng"
		refusal.En = "the file cannot be read as a table; it may be damaged"
		refusal.Hint = "mở tệp, lưu lại dạng XLSX hoặc CSV UTF-8 rồi gửi lại / open it, save it as XLSX or CSV UTF-8 and hand it in again"
	}
	return refusal
}

package file

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

const (
	previewRows    = 200_000 // of a sheet, by which it is judged
	previewSamples = 50
	distinctLimit  = 10_000 // values of a column that are counted one by one
)

// Preview is what a file looks like before anybody has declared anything about it. It
// holds values of the file: show it to the person who has the file, never log it.
type Preview struct {
	File   string
	Bytes  int64
	Sheets []SheetPreview
}

// LogValue keeps values out of logs.
func (p Preview) LogValue() slog.Value {
	return slog.GroupValue(slog.String("file", p.File), slog.Int64("bytes", p.Bytes), slog.Int("sheets", len(p.Sheets)))
}

// SheetPreview is one sheet of a workbook, one member of an archive, or a text.
type SheetPreview struct {
	Name   string
	Hidden bool
	// Problem is why no table was found; the rest is then empty.
	Problem       *lienthong.Error
	HeaderRow     int // the first row of the headings, counted from 1
	HeaderRows    int // how many rows before the data, from HeaderRow
	Encoding      Encoding
	Confidence    float64 // that the encoding is right, 0 to 1
	Delimiter     string  // of a text
	Columns       []ColumnPreview
	RowsRead      int64 // rows that the figures come from
	EstimatedRows int64
	Complete      bool     // all rows were read
	Keys          []string // columns without gaps and repetitions, the likeliest key first
}

// ColumnPreview is what is known of a column from its name and values.
type ColumnPreview struct {
	Name       string // with the headings above: "Chủ hộ / Năm sinh"
	Leaf       string // the lowest heading: "Năm sinh"
	Encoding   Encoding
	Kind       lienthong.Kind // what nearly all values are
	Share      float64        // of the values that are of the kind
	MonthFirst bool           // dates are month/day
	Values     int64          // cells with a value
	Nulls      int64
	Wrong      int64 // error values, formulas without result, unreadable text
	Distinct   int64 // exact up to 10,000
	MaxLength  int   // characters
	Unique     bool  // every row has a value and none occurs twice, in the rows read
	Samples    []string
}

// LogValue keeps values out of logs.
func (c ColumnPreview) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", c.Name), slog.String("kind", c.Kind.String()), slog.Int64("values", c.Values))
}

// Inspect looks at a file: its sheets, where their headers are, how they are written and
// what the columns hold. Errors about the file are *lienthong.Error.
func Inspect(ctx context.Context, name string) (Preview, error) {
	return InspectTable(ctx, name, Table{})
}

// InspectTable looks at a file as a table's declaration says: encoding, delimiter, header rows.
// Sheet, Key and Columns may be empty.
func InspectTable(ctx context.Context, name string, t Table) (Preview, error) {
	config := Config{Tables: []Table{t}}
	config.setDefaults()
	t = config.Tables[0]
	p := Preview{File: filepath.Base(name)}
	scratch, err := os.MkdirTemp("", "lienthong-*")
	if err != nil {
		return p, fmt.Errorf("file: scratch: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	var read atomic.Int64
	b, err := openBook(name, name, limits{unpacked: config.MaxUnpacked, cell: config.MaxCell, strings: 16 << 20, scratch: scratch}, &read)
	if err != nil {
		return p, unreadable(p.File, err)
	}
	defer func() { _ = b.close() }()
	p.Bytes = b.size
	for i := range b.leaves {
		l := &b.leaves[i]
		if t.Sheet != "" && l.name != "" && !sheetMatches(t.Sheet, l.name, l.hidden) || b.isSummary(l.name) {
			continue
		}
		sp, err := b.preview(ctx, l, &t, p.File)
		if err != nil {
			return p, err
		}
		p.Sheets = append(p.Sheets, sp)
	}
	return p, nil
}

func (b *book) preview(ctx context.Context, l *leaf, t *Table, shown string) (SheetPreview, error) {
	sp := SheetPreview{Name: l.name, Hidden: l.hidden}
	problem := func(err error) {
		if errors.Is(err, errNoHeader) || errors.Is(err, errEmptySheet) {
			sp.Problem = &lienthong.Error{
				Code: "file.header", Where: shown, Vi: "không tìm thấy dòng tiêu đề", En: "no header row was found",
				Hint: "đặt tên cột ở một trong 30 dòng đầu / put the column names into one of the first 30 rows",
			}
			return
		}
		if !errors.As(unreadable(shown, err), &sp.Problem) {
			sp.Problem = nil
		}
	}
	b.read.Store(0)
	sh, err := b.openSheet(l, t, nil)
	if err != nil {
		problem(err)
		return sp, nil //nolint:nilerr // it is in the preview
	}
	defer func() { _ = sh.close() }()
	sp.HeaderRow, sp.HeaderRows = sh.headerRow, sh.dataAfter-sh.headerRow+1
	sp.Encoding, sp.Confidence = sh.form.encoding, sh.sure
	if l.book == nil {
		sp.Delimiter = string(rune(sh.form.delimiter))
	}
	var columns []*columnStudy
	f := t.forms()
	if l.book != nil {
		f.era1904 = l.book.era1904
	}
	for c, name := range sh.header.names {
		columns = append(columns, &columnStudy{
			ColumnPreview: ColumnPreview{Name: name, Leaf: sh.header.leaves[c], Encoding: sh.columns[c]},
			seed:          maphash.MakeSeed(), seen: map[uint64]struct{}{}, forms: f, unique: name != "",
		})
	}
	for sp.RowsRead < previewRows {
		cells, _, err := sh.next()
		if errors.Is(err, io.EOF) {
			sp.Complete = true
			break
		}
		if err != nil {
			problem(err)
			break
		}
		if sp.RowsRead%1000 == 0 && ctx.Err() != nil {
			return sp, ctx.Err()
		}
		if !anything(cells) {
			continue
		}
		sp.RowsRead++
		for c, study := range columns {
			if c < len(cells) {
				study.add(&cells[c])
			} else {
				study.add(&cell{})
			}
		}
	}
	sp.EstimatedRows = sp.RowsRead
	if !sp.Complete {
		sp.EstimatedRows = max(sp.RowsRead, sh.estimated(sp.RowsRead, b.read.Load(), b.size))
	}
	for _, study := range columns {
		if study.Name == "" {
			continue
		}
		sp.Columns = append(sp.Columns, study.finish())
	}
	sp.Keys = keyCandidates(sp.Columns)
	return sp, nil
}

// estimated is how many rows the sheet will have had at its end.
func (sh *sheet) estimated(rows, read, size int64) int64 {
	if r, ok := sh.reader.(*sheetReader); ok && r.lastRow > 0 {
		return max(0, int64(r.lastRow-sh.dataAfter))
	}
	return estimate(rows, read, size)
}

func anything(cells []cell) bool {
	for i := range cells {
		if !blank(cells[i].text) || cells[i].fault != faultNone {
			return true
		}
	}
	return false
}

// columnStudy collects what is known of a column.
type columnStudy struct {
	ColumnPreview
	forms   forms
	seed    maphash.Seed
	seen    map[uint64]struct{}
	hashes  []uint64 // of all values, as long as the column may be a key
	unique  bool
	kinds   [lienthong.Binary + 1]int64 // at Binary: dates of the other order
	lengths [2]int                      // least and greatest of values of digits
	digits  int64
	scratch []byte
}

func (s *columnStudy) add(c *cell) {
	if c.fault != faultNone {
		s.Wrong++
		s.unique = false
		return
	}
	if blank(c.text) {
		s.Nulls++
		s.unique = false
		return
	}
	s.Values++
	s.MaxLength = max(s.MaxLength, utf8.RuneCount(c.text))
	hash := maphash.Bytes(s.seed, c.text)
	_, again := s.seen[hash]
	if !again && len(s.seen) < distinctLimit {
		s.seen[hash] = struct{}{}
	}
	if again {
		s.unique = false
	}
	if s.unique {
		s.hashes = append(s.hashes, hash)
	} else {
		s.hashes = nil
	}
	if !again && len(s.Samples) < previewSamples {
		s.Samples = append(s.Samples, string(c.text))
	}
	s.guess(c.text)
}

// guess counts the kinds that a value can be read as.
func (s *columnStudy) guess(text []byte) {
	only := true
	for _, b := range text {
		only = only && b >= '0' && b <= '9'
	}
	if only {
		if s.digits == 0 {
			s.lengths = [2]int{len(text), len(text)}
		}
		s.digits++
		s.lengths = [2]int{min(s.lengths[0], len(text)), max(s.lengths[1], len(text))}
		if text[0] == '0' && len(text) > 1 {
			return // a code
		}
		if len(text) <= 18 {
			s.kinds[lienthong.Integer]++
			s.kinds[lienthong.Decimal]++
		}
		return
	}
	for _, kind := range [...]lienthong.Kind{lienthong.Integer, lienthong.Decimal, lienthong.Boolean, lienthong.Date, lienthong.Timestamp} {
		var ok bool
		if s.scratch, ok = s.forms.canonical(s.scratch[:0], text, kind); ok {
			s.kinds[kind]++
			continue
		}
		if kind == lienthong.Date {
			other := s.forms
			other.monthFirst = !other.monthFirst
			if s.scratch, ok = other.canonical(s.scratch[:0], text, kind); ok {
				s.kinds[lienthong.Binary]++
			}
		}
	}
}

func (s *columnStudy) finish() ColumnPreview {
	p := s.ColumnPreview
	p.Distinct = int64(len(s.seen))
	if s.unique && len(s.hashes) > 0 {
		slices.Sort(s.hashes)
		p.Unique = len(slices.Compact(s.hashes)) == int(s.Values)
		if p.Unique {
			p.Distinct = s.Values
		}
	}
	p.Kind, p.Share = lienthong.Text, 1
	if s.Values == 0 {
		return p
	}
	codes := s.digits == s.Values && (s.lengths[0] == s.lengths[1] && s.lengths[0] >= 8 || s.lengths[1] > 15)
	enough := func(n int64) bool { return n*100 >= s.Values*95 }
	s.kinds[lienthong.Timestamp] = max(s.kinds[lienthong.Timestamp], s.kinds[lienthong.Date])
	for _, kind := range [...]lienthong.Kind{lienthong.Integer, lienthong.Decimal, lienthong.Boolean, lienthong.Date, lienthong.Timestamp} {
		if !codes && enough(s.kinds[kind]) {
			p.Kind, p.Share = kind, float64(s.kinds[kind])/float64(s.Values)
			return p
		}
	}
	if swapped := s.kinds[lienthong.Binary]; swapped > 0 && !enough(s.kinds[lienthong.Date]) && enough(s.kinds[lienthong.Date]+swapped) {
		p.Kind, p.MonthFirst = lienthong.Date, !s.forms.monthFirst
		p.Share = float64(s.kinds[lienthong.Date]+swapped) / float64(s.Values)
	}
	return p
}

// keyCandidates orders the columns that could be keys: codes before names before numbers, and
// a running number of the list ("STT") last, because it names a line and not a thing.
func keyCandidates(columns []ColumnPreview) []string {
	type candidate struct {
		name string
		rank int
	}
	var list []candidate
	for i, c := range columns {
		if !c.Unique {
			continue
		}
		name := strings.ToLower(c.Leaf)
		rank := 10 + i
		switch {
		case name == "stt" || name == "tt" || name == "số tt" || strings.HasPrefix(name, "số thứ tự"):
			rank = 1000
		case strings.Contains(name, "mã") || strings.Contains(name, "định danh") || strings.Contains(name, "cccd") || strings.HasPrefix(name, "số "):
			rank = i / 10
		case c.Kind != lienthong.Text && c.Kind != lienthong.Integer:
			rank = 500 + i
		}
		list = append(list, candidate{c.Name, rank})
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return a.rank - b.rank })
	names := make([]string, 0, len(list))
	for _, c := range list {
		names = append(names, c.name)
	}
	return names
}

// Inspect tells whether the folder can be read and answered, and which files in it
// nobody has declared.
func (s *Source) Inspect(ctx context.Context) (connector.Inspection, error) {
	tables, err := s.Tables(ctx)
	if err != nil {
		return connector.Inspection{}, err
	}
	i := connector.Inspection{Engine: "drop folder", Tables: tables}
	const most = 100
	err = filepath.WalkDir(s.config.Root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // the requirement below says that the folder cannot be read
		}
		if entry.IsDir() {
			if name != s.config.Root && ours(entry.Name()) {
				return fs.SkipDir
			}
			return ctx.Err()
		}
		relative, err := filepath.Rel(s.config.Root, name)
		if err != nil || !entry.Type().IsRegular() || unfinished(entry.Name()) || len(i.LeftOut) >= most || len(s.tablesOf(filepath.ToSlash(relative))) > 0 {
			return nil //nolint:nilerr // not a file to name
		}
		i.LeftOut = append(i.LeftOut, connector.LeftOut{
			Name: filepath.ToSlash(relative), Code: "no_pattern",
			Vi: "tên tệp không khớp mẫu của bảng nào", En: "its name fits the pattern of no table",
		})
		return nil
	})
	if err != nil {
		return i, fmt.Errorf("file: inspect: %w", err)
	}
	for _, need := range [...]struct{ code, dir, vi, en string }{
		{"file.folder", s.config.Root, "đọc và ghi được thư mục nhận tệp (để trả kết quả và chuyển tệp đã nhận)", "the drop folder can be read and written (answers are put there, files that were taken in are moved)"},
		{"file.state", s.config.StateDir, "ghi được thư mục trạng thái", "the state directory can be written"},
	} {
		r := connector.Requirement{Code: need.code, Vi: need.vi + ": " + need.dir, En: need.en + ": " + need.dir, OK: syscall.Access(need.dir, 7) == nil}
		if !r.OK {
			r.Statement = "chown -R lienthong '" + strings.ReplaceAll(need.dir, "'", `'\''`) + "'"
		}
		i.Required = append(i.Required, r)
	}
	return i, nil
}

// ours are the folders that we make, and those that are hidden.
func ours(base string) bool {
	return strings.HasPrefix(base, ".") || base == doneFolder || base == answerFolder || base == errorFolder
}

package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/lienthong/lienthong"
)

const (
	// checkpointRows is how many rows are redone at most after a crash.
	checkpointRows = 20_000
	maxNotes       = 200_000 // of one import
	maxRow         = 1 << 23 // the highest row number of a file; above are the deletes of its sweep
)

// stager reads the rows of one part of a job, checks them and stages them.
type stager struct {
	source *Source
	job    *job
	part   *part
	index  int // of the part
	stage  *stageWriter
	skip   int64 // rows up to this number are staged already
	first  *span

	sheet    *sheet
	span     *span
	forms    forms
	text     bool  // a text, in which a short row is a shifted row
	columns  []int // by column of the sheet: the layout's column, or one of the marks
	texts    [][]byte
	states   []lienthong.State
	faults   []fault
	numbers  []bool // the cell holds a number, not a text
	scratch  []byte
	key      []byte
	body     []byte
	totalled bool // a row of totals has been seen
}

// stage reads a file into its staged form. Refusals are *lienthong.Error.
func (s *Source) stage(ctx context.Context, j *job) error {
	var read atomic.Int64
	b, err := openBook(s.copyName(j.Number), j.Path, limits{
		unpacked: s.config.MaxUnpacked, cell: s.config.MaxCell, strings: 16 << 20, scratch: s.incoming(),
	}, &read)
	if err != nil {
		return unreadable(j.Path, err)
	}
	err = s.stageBook(ctx, j, b, &read)
	return errors.Join(err, b.close())
}

func (s *Source) stageBook(ctx context.Context, j *job, b *book, read *atomic.Int64) error {
	before := make([]counts, len(j.Parts)) // of a job that goes on
	for i, p := range j.Parts {
		before[i], p.Counts = p.Counts, counts{}
	}
	if err := s.plan(ctx, j, b); err != nil {
		return err
	}
	resumed := j.Staged > 0
	if resumed {
		for i, p := range j.Parts {
			p.Counts = before[i]
			p.Counts.Hidden = 0 // all rows are read again
		}
	}
	stage, err := openStage(s.stageName(j.Number), j.Staged)
	if err != nil {
		return fmt.Errorf("file: stage: %w", err)
	}
	err = s.stageParts(ctx, j, b, stage, read)
	return errors.Join(err, stage.close())
}

func (s *Source) stageParts(ctx context.Context, j *job, b *book, stage *stageWriter, read *atomic.Int64) error {
	skip, base, rows, before := j.Last, int64(0), int64(0), int64(0)
	var current *sheet
	report := func(done bool) {
		expected := rows
		if !done {
			expected = max(rows, before+current.estimated(rows-before, read.Load(), b.size))
		}
		s.progress(Progress{File: j.Path, Stage: "reading", Rows: rows, EstimatedRows: expected, Bytes: min(read.Load(), b.size), TotalBytes: b.size, Done: done})
	}
	for i, p := range j.Parts {
		st := stager{source: s, job: j, part: p, index: i, stage: stage, skip: skip}
		for n := range p.Spans {
			p.Spans[n].Base = base
			if err := st.open(b, n); err != nil {
				return err
			}
			current, before = st.sheet, rows
			st.encodingNotices()
			for {
				cells, number, err := st.sheet.next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return errors.Join(unreadable(j.Path, err), st.sheet.close())
				}
				global := base + int64(number)
				if rows++; rows > int64(s.config.MaxRows) || global >= maxRow {
					return errors.Join(unreadable(j.Path, errTooLarge), st.sheet.close())
				}
				if err := st.row(cells, global); err != nil {
					return errors.Join(err, st.sheet.close())
				}
				j.Last = max(j.Last, global)
				if rows%1000 == 0 && ctx.Err() != nil {
					return errors.Join(ctx.Err(), st.sheet.close())
				}
				if rows%checkpointRows == 0 && global > skip {
					if err := s.checkpoint(ctx, j, stage); err != nil {
						return errors.Join(err, st.sheet.close())
					}
					report(false)
				}
			}
			p.Counts.Hidden += st.sheet.hiddenRows
			if err := st.sheet.close(); err != nil {
				return unreadable(j.Path, err)
			}
			base = max(base, j.Last)
		}
		if p.full() && p.Counts.Rows == 0 && !p.Declared.AllowEmpty && len(p.Spans) > 0 {
			return &lienthong.Error{
				Code: "file.empty", Where: j.Path,
				Vi:   "tệp toàn bộ không có dòng dữ liệu nào; nếu nhận sẽ xoá hết dữ liệu của thư mục",
				En:   "a full file without any row; to accept it would delete everything of its folder",
				Hint: "gửi tệp có dữ liệu, hoặc cho phép tệp rỗng trong khai báo / hand in a file with rows, or allow empty files in the declaration",
			}
		}
		if p.Counts.Hidden > 0 {
			vi, en := "có dòng ẩn; các dòng này vẫn được đọc", "there are hidden rows; they were read"
			if p.Declared.Hidden == HiddenSkip {
				vi, en = "có dòng ẩn; các dòng này không được đọc", "there are hidden rows; they were not read"
			}
			p.Counts.Notices = append(p.Counts.Notices, notice{Vi: vi, En: en, Rows: p.Counts.Hidden})
		}
	}
	report(true)
	if j.stored {
		return s.checkpoint(ctx, j, stage)
	}
	j.Staged = stage.written
	return stage.out.Flush()
}

// estimate is how many rows there will be, by the share of bytes read.
func estimate(rows, read, size int64) int64 {
	if read <= 0 || read >= size {
		return rows
	}
	return int64(float64(rows) * float64(size) / float64(read))
}

func (s *Source) checkpoint(ctx context.Context, j *job, stage *stageWriter) error {
	var err error
	if j.Staged, err = stage.sync(); err != nil {
		return err
	}
	j.stored = true
	return storeJob(ctx, s.db, j)
}

func (st *stager) open(b *book, n int) error {
	p := st.part
	st.span = &p.Spans[n]
	st.first = &p.Spans[0]
	l := &b.leaves[st.span.Leaf]
	var err error
	stored := &layout{Table: p.layout.Table, Columns: p.layout.Columns, Key: p.layout.Key}
	if st.sheet, err = b.openSheet(l, &p.Declared, p.Declared.required(stored)); err != nil {
		return unreadable(st.job.Path, err)
	}
	if st.columns, err = st.source.arrange(st.job, p, stored, st.sheet); err != nil {
		return errors.Join(err, st.sheet.close())
	}
	st.forms = p.Declared.forms()
	st.text = l.book == nil
	if l.book != nil {
		st.forms.era1904 = l.book.era1904
	}
	st.totalled = false
	st.texts = make([][]byte, len(p.layout.Columns))
	st.states = make([]lienthong.State, len(p.layout.Columns))
	st.faults = make([]fault, len(p.layout.Columns))
	st.numbers = make([]bool, len(p.layout.Columns))
	return nil
}

// encodingNotices tells the person that the list is in an old code.
func (st *stager) encodingNotices() {
	if st.skip > 0 {
		return // said before the crash
	}
	said := map[Encoding]bool{}
	for _, e := range append(slices.Clone(st.sheet.columns), st.sheet.form.encoding) {
		if e == EncodingUTF8 || e == EncodingUTF16 || e == "" || said[e] {
			continue
		}
		said[e] = true
		st.part.Counts.Notices = append(st.part.Counts.Notices, notice{
			Vi: "chữ viết bằng bảng mã " + string(e) + " đã được chuyển sang Unicode; nên lưu danh sách bằng Unicode",
			En: "text in " + string(e) + " was turned into Unicode; keep the list in Unicode",
		})
	}
}

func (st *stager) note(row int64, field, vi, en string) error {
	if st.job.Noted++; st.job.Noted > maxNotes {
		return nil
	}
	return st.stage.note(st.index, note{Row: row, Field: field, Vi: vi, En: en})
}

// row takes one row of the file.
func (st *stager) row(cells []cell, number int64) error {
	if number <= st.skip {
		return nil
	}
	t, l, c := &st.part.Declared, st.part.layout, &st.part.Counts
	for i := range st.texts {
		st.texts[i], st.states[i], st.faults[i] = nil, lienthong.Null, faultNone
	}
	operation, stray, held := "", false, 0
	first := -1
	for i := range cells {
		cl := &cells[i]
		if len(cl.text) == 0 && cl.fault == faultNone {
			continue
		}
		at := unnamedColumn
		if i < len(st.columns) {
			at = st.columns[i]
		} else if !blank(cl.text) {
			stray = true
		}
		if at == operationColumn {
			operation = strings.TrimSpace(string(cl.text))
			continue
		}
		if !blank(cl.text) {
			if first < 0 {
				first = i
			}
			held++
		}
		if at >= 0 {
			st.texts[at], st.states[at], st.numbers[at] = cl.text, lienthong.Present, cl.number
			if cl.fault != faultNone {
				st.states[at], st.faults[at] = lienthong.Malformed, cl.fault
				held++
			}
		}
	}
	if held == 0 && !stray {
		return nil // a row with nothing in it is no row
	}
	if vi, en := st.decoration(cells, first, held); vi != "" {
		c.notice(vi, en, st.part.place(number))
		return nil
	}
	c.Rows++
	if t.FolderColumn != "" {
		at := l.index(t.FolderColumn)
		st.texts[at], st.states[at] = []byte(folderOf(st.job.Path)), lienthong.Present
	}
	if stray || st.text && len(cells) < len(st.columns) {
		if err := st.shifted(len(cells), number); err != nil {
			return err
		}
	}
	if err := st.checkCells(number); err != nil {
		return err
	}
	flags, err := st.identify(number)
	if err != nil {
		return err
	}
	if t.Operation != "" && slices.ContainsFunc(t.DeleteWords, func(w string) bool { return strings.EqualFold(w, operation) }) {
		flags |= flagDelete
	}
	st.body = st.body[:0]
	for i := range st.texts {
		st.body = appendStored(st.body, st.states[i], st.texts[i])
	}
	return st.stage.row(st.index, number, flags, st.key, st.body)
}

func blank(text []byte) bool {
	for _, r := range string(text) {
		if !unicode.IsSpace(r) {
			return false
		}
	}
	return true
}

// shifted takes a row with another number of cells than the header: its key may
// be right, the rest is in doubt.
func (st *stager) shifted(width int, number int64) error {
	l := st.part.layout
	doubted := false
	for i := range st.states {
		if !slices.Contains(l.Key, i) && st.states[i] != lienthong.Null {
			st.states[i] = lienthong.Malformed
		}
		doubted = doubted || st.states[i] == lienthong.Malformed
	}
	for i := range st.states {
		if !doubted && !slices.Contains(l.Key, i) {
			st.states[i] = lienthong.Malformed
		}
	}
	return st.note(number, "",
		fmt.Sprintf("dòng có %d ô, tiêu đề có %d cột; kiểm tra dấu phân cách và dấu nháy", width, len(st.columns)),
		fmt.Sprintf("the row has %d cells, the header has %d columns; check delimiters and quotes", width, len(st.columns)))
}

// checkCells brings cells to their column's kind and notes those that are not of it.
func (st *stager) checkCells(number int64) error {
	st.scratch = st.scratch[:0]
	for i := range st.part.layout.Columns {
		c := &st.part.layout.Columns[i]
		// With a declared separator, what looks plain may be meant otherwise: 1.234 is a thousand.
		declared := st.forms.decimal == ',' && !st.numbers[i] && bytes.IndexByte(st.texts[i], '.') >= 0 && isNumber(c.Kind)
		if st.states[i] == lienthong.Present && c.Kind != lienthong.Text && (declared || convert(lienthong.Present, st.texts[i], c.Kind).State != lienthong.Present) {
			start := len(st.scratch)
			written, ok := st.forms.canonical(st.scratch, st.texts[i], c.Kind)
			switch {
			case ok:
				st.scratch = written
				st.texts[i] = written[start:len(written):len(written)]
			case blank(st.texts[i]):
				st.states[i], st.texts[i] = lienthong.Null, nil
			default:
				st.states[i] = lienthong.Malformed
			}
		}
		if st.states[i] != lienthong.Malformed {
			continue
		}
		vi, en := wrongKind(c.Kind)
		if st.faults[i] != faultNone {
			vi, en = wrongCell(st.faults[i])
		}
		if err := st.note(number, c.Name, vi, en); err != nil {
			return err
		}
	}
	return nil
}

func isNumber(kind lienthong.Kind) bool {
	return kind == lienthong.Integer || kind == lienthong.Decimal || kind == lienthong.Real
}

// identify builds the row's key.
func (st *stager) identify(number int64) (uint8, error) {
	l := st.part.layout
	st.key = st.key[:0]
	flags := uint8(0)
	for _, i := range l.Key {
		if st.states[i] == lienthong.Present && l.Columns[i].Kind == lienthong.Text && blank(st.texts[i]) {
			st.states[i], st.texts[i] = lienthong.Null, nil
		}
		if st.states[i] == lienthong.Null {
			if err := st.note(number, l.Columns[i].Name, "thiếu giá trị khoá; điền vào ô này", "the key value is missing; fill this cell in"); err != nil {
				return 0, err
			}
		}
		if st.states[i] != lienthong.Present {
			return flagBroken, nil
		}
		st.key = binary.AppendUvarint(st.key, uint64(len(st.texts[i])))
		st.key = append(st.key, st.texts[i]...)
	}
	return flags, nil
}

// decoration recognises what is no record: the header again, as on printed
// pages; totals; and signatures under the list. It says why the row was left out.
func (st *stager) decoration(cells []cell, first, held int) (vi, en string) {
	if first < 0 {
		return "", ""
	}
	again := 0
	for i := range cells {
		if len(cells[i].text) == 0 || i >= len(st.sheet.header.names) {
			continue
		}
		leaf := st.sheet.header.leaves[i]
		if leaf == "" || cells[i].text[0] < utf8.RuneSelf && cells[i].text[0]|0x20 != leaf[0]|0x20 && cells[i].text[0]|0x20 != st.sheet.header.names[i][0]|0x20 && cells[i].text[0] > ' ' {
			again = -1
			break
		}
		text := string(cells[i].text)
		if len(text) > 2*len(st.sheet.header.names[i])+8 || !sameName(text, leaf) && !sameName(text, st.sheet.header.names[i]) {
			again = -1
			break
		}
		again++
	}
	if again >= 2 {
		return "dòng tiêu đề lặp lại, không đọc", "the header repeated, not read"
	}
	keys, totalAt := 0, -1
	for _, i := range st.part.layout.Key {
		if st.states[i] != lienthong.Null && !blank(st.texts[i]) && st.part.layout.Columns[i].Name != st.part.Declared.FolderColumn {
			keys++
		}
	}
	text := cells[first].text
	if len(text) > 200 {
		return "", ""
	}
	if c := text[0] | 0x20; (c == 't' || c == 'c') && isTotal(string(text)) {
		totalAt = first
	}
	if totalAt >= 0 {
		inKey := totalAt < len(st.columns) && slices.Contains(st.part.layout.Key, st.columns[totalAt])
		if keys == 0 || inKey && keys == 1 {
			st.totalled = true
			return "dòng tổng cộng, không phải bản ghi, không đọc", "a row of totals is no record, not read"
		}
	}
	if keys == 0 && held <= 3 && (st.totalled || isFooter(string(text))) {
		return "dòng ghi chú hoặc chữ ký cuối bảng, không đọc", "notes or signatures under the list, not read"
	}
	return "", ""
}

// isTotal recognises "Tổng cộng", "Tổng số:", "Cộng thôn 3", "TỔNG CỘNG (35 hộ)".
func isTotal(text string) bool {
	text = strings.ToLower(cleanName(text))
	for _, word := range [...]string{"tổng cộng", "tổng số", "cộng", "tổng", "total"} {
		if rest, ok := strings.CutPrefix(text, word); ok {
			return rest == "" || strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, " (") || strings.HasPrefix(rest, " thôn") ||
				strings.HasPrefix(rest, " ấp") || strings.HasPrefix(rest, " tổ") || strings.HasPrefix(rest, " khóm") || strings.HasPrefix(rest, " xã")
		}
	}
	return false
}

func isFooter(text string) bool {
	text = strings.ToLower(cleanName(text))
	for _, start := range [...]string{"người lập", "ghi chú:", "nơi nhận", "tm. ", "kt. ", "chủ tịch", "thủ trưởng", "(ký", "(đã ký", "xác nhận của", "cán bộ lập", "trưởng thôn", "trưởng ấp"} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return strings.Contains(text, ", ngày ") && strings.Contains(text, " tháng ") && strings.Contains(text, " năm ") || strings.HasPrefix(text, "ngày ") && strings.Contains(text, " tháng ") && strings.Contains(text, " năm")
}

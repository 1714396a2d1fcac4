package ticket

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/quality"
)

// Correction is the right value of one field of one record, as the owner wrote it: checked against the
// rules, to be entered at the source by the owner's own system.
type Correction struct {
	Line   int      // of the sheet
	Record string   // the keyed digest
	Key    []string // as shown: one text per field of the identity, or all in one
	Rule   string
	Field  string
	Kind   lienthong.Kind
	Before string          // the value as it was shown
	Value  lienthong.Value // Present, or Null when there should be none
	Text   string          // the value in canonical form
	Remark string
}

// Problem is a line whose value cannot be taken.
type Problem struct {
	Line   int    // of the sheet; 0: the workbook as a whole
	Cell   string // "G7"
	Field  string
	Code   string
	Vi, En string

	line *shown
}

// Corrections is what a workbook held.
type Corrections struct {
	List     []Correction
	Problems []Problem
	Lines    int // in the sheet
	Empty    int // of these, without a value
}

// Rejected is how many lines have a problem.
func (c *Corrections) Rejected() int {
	lines := map[int]bool{}
	for i := range c.Problems {
		lines[c.Problems[i].Line] = true
	}
	return len(lines)
}

// ReadCorrections reads a workbook that comes back. A line with a problem does not stop its
// neighbours. A value is taken when it can be read, differs from what it was, and breaks no rule
// of its field; with Current also no rule of another field that held before.
func (w *Workbook) ReadCorrections(ctx context.Context, r io.ReaderAt, size int64) (Corrections, error) {
	limit := w.MaxBytes
	if limit <= 0 {
		limit = 256 << 20
	}
	book, err := openSheets(r, size, limit)
	if err != nil {
		return Corrections{}, err
	}
	if err := w.isOurs(book); err != nil {
		return Corrections{}, err
	}
	reading := reading{workbook: w, book: book, checker: w.Checker.Clone(), seen: map[[2]string]int{}}
	err = book.rows(sheetRows, func(row int, cells []cell) error {
		if row%1000 == 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("ticket: read the workbook: %w", err)
			}
		}
		return reading.row(row, cells)
	})
	if err != nil {
		return Corrections{}, err
	}
	if reading.columns == nil {
		return Corrections{}, unreadable(errForm)
	}
	if err := reading.check(ctx); err != nil {
		return Corrections{}, err
	}
	return reading.result(), nil
}

// isOurs checks that the workbook is about the dataset.
func (w *Workbook) isOurs(book *sheetReader) error {
	data := map[string]string{}
	if err := book.rows(sheetData, func(_ int, cells []cell) error {
		if len(cells) > 1 {
			data[cells[0].text] = cells[1].text
		}
		return nil
	}); err != nil {
		return err
	}
	if data["form"] != bookForm {
		return unreadable(errForm)
	}
	if own := w.Checker.Shape().Dataset.String(); data["dataset"] != own {
		return &lienthong.Error{
			Code: "ticket.other_dataset", Where: own,
			Vi: "sổ làm việc thuộc tập dữ liệu khác", En: "the workbook is about another dataset",
			Hint: "chọn đúng tập dữ liệu rồi nộp lại / choose the dataset it was made for",
		}
	}
	return nil
}

// reading is a workbook being read.
type reading struct {
	workbook *Workbook
	book     *sheetReader
	checker  *quality.Checker
	columns  map[string]int
	taken    []candidate
	seen     map[[2]string]int // record and field -> index into taken
	problems []Problem
	lines    int
	empty    int
}

// candidate is a value that could be read.
type candidate struct {
	Correction
	index int // of the field
	line  *shown
	bad   bool
}

func (r *reading) row(row int, cells []cell) error {
	if r.columns == nil {
		names := map[string]int{}
		for i := range cells {
			if name := cells[i].text; name != "" {
				names[name] = i
			}
		}
		for _, h := range r.workbook.headings() {
			if _, found := names[h.name]; !found && h.name != columnAnswer {
				return unreadable(fmt.Errorf("%w: column %q is missing", errForm, h.name))
			}
		}
		r.columns = names
		return nil
	}
	if row < firstRow {
		return nil
	}
	at := func(name string) *cell {
		if i, found := r.columns[name]; found && i < len(cells) {
			return &cells[i]
		}
		return &cell{}
	}
	entered := at(columnCorrect)
	line := &shown{
		label: at(columnField).text, wrong: at(columnWrong).text, present: at(columnPresent).text,
		correct: entered.text, remark: at(columnRemark).text, record: at(columnRecord).text,
		field: at(columnName).text, rule: at(columnRule).text, seal: at(columnSeal).text,
	}
	for n := 0; ; n++ {
		i, found := r.columns[columnKey+strconv.Itoa(n)]
		if !found {
			break
		}
		text := ""
		if i < len(cells) {
			text = cells[i].text
		}
		line.keys = append(line.keys, text)
	}
	if line.record == "" && line.field == "" && entered.empty() {
		return nil // a line below the list
	}
	r.lines++
	if entered.empty() || !entered.failed && !entered.formula && tidyText(entered.text) == "" {
		r.empty++
		return nil
	}
	r.take(row, line, entered)
	return nil
}

func (r *reading) problem(row int, line *shown, code, vi, en string) {
	p := Problem{Line: row, Code: code, Vi: vi, En: en, line: line}
	if line != nil {
		p.Field = line.field
	}
	if i, found := r.columns[columnCorrect]; found && row > 0 {
		p.Cell = columnName26(i) + strconv.Itoa(row)
	}
	r.problems = append(r.problems, p)
}

// columnName26 is the letters of a column: 0 is A, 27 is AB.
func columnName26(column int) string {
	name := ""
	for column++; column > 0; column = (column - 1) / 26 {
		name = string(rune('A'+(column-1)%26)) + name
	}
	return name
}

// take reads the value of a line.
func (r *reading) take(row int, line *shown, entered *cell) {
	if line.seal != line.sum() {
		r.problem(row, line, "ticket.line_changed", "các ô khoá hoặc giá trị hiện tại của dòng đã bị thay đổi hoặc lệch dòng; xuất lại sổ làm việc",
			"the key or the present value of the line was changed or has moved; export the workbook again")
		return
	}
	shape := r.checker.Shape()
	index := shape.FieldIndex(line.field)
	if index < 0 {
		r.problem(row, line, "ticket.field", "trường không còn trong tập dữ liệu; xuất lại sổ làm việc", "the dataset no longer has the field; export the workbook again")
		return
	}
	kind := shape.Fields[index].Kind
	value, why := parseCell(entered, kind, r.book.date1904)
	if why != nil {
		r.problem(row, line, why.code, why.vi, why.en)
		return
	}
	text := string(value.AppendText(nil, kind))
	if !r.workbook.Masked && value.State == lienthong.Present && tidyText(r.workbook.text(&value, kind)) == line.present {
		r.problem(row, line, "ticket.same_value", "giá trị đúng giống hệt giá trị hiện tại", "the correct value is the present value")
		return
	}
	key := [2]string{line.record, line.field}
	if earlier, twice := r.seen[key]; twice {
		if same := &r.taken[earlier]; same.Text != text || same.Value.State != value.State {
			r.problem(row, line, "ticket.two_values", fmt.Sprintf("dòng %d đã ghi giá trị khác cho cùng trường của bản ghi này", same.Line),
				fmt.Sprintf("line %d gives another value for the same field of this record", same.Line))
		}
		return // two rules, one value
	}
	r.seen[key] = len(r.taken)
	r.taken = append(r.taken, candidate{
		Correction: Correction{
			Line: row, Record: line.record, Key: line.keys, Rule: line.rule, Field: line.field, Kind: kind,
			Before: line.present, Value: value, Text: text, Remark: tidyText(line.remark),
		},
		index: index, line: line,
	})
}

// check puts the new values of each record together and runs the rules.
func (r *reading) check(ctx context.Context) error {
	byRecord := map[string][]int{}
	for i := range r.taken {
		byRecord[r.taken[i].Record] = append(byRecord[r.taken[i].Record], i)
	}
	var before, after quality.Verdict
	row := make([]lienthong.Value, len(r.checker.Shape().Fields))
	at := r.workbook.At.UnixMicro()
	for i := range r.taken {
		group := byRecord[r.taken[i].Record]
		if group[0] != i {
			continue // its record was checked with its first value
		}
		before.Failed = before.Failed[:0]
		known := false
		for f := range row {
			row[f] = lienthong.Value{State: lienthong.Unchanged}
		}
		if r.workbook.Current != nil {
			current, found, err := r.workbook.Current(ctx, r.taken[i].Record)
			if err != nil {
				return fmt.Errorf("ticket: look up a record of the workbook: %w", err)
			}
			if !found || len(current) != len(row) {
				for _, n := range group {
					r.reject(n, "ticket.gone", "không còn bản ghi này tại nguồn", "the source no longer has this record")
				}
				continue
			}
			known = true
			copy(row, current)
			r.checker.Check(row, at, &before)
		}
		for _, n := range group {
			row[r.taken[n].index] = r.taken[n].Value
		}
		r.checker.Check(row, at, &after)
		r.judge(group, &before, &after, known)
	}
	return nil
}

// judge rejects the values of a record that break a rule.
func (r *reading) judge(group []int, before, after *quality.Verdict, known bool) {
	rules := r.checker.Rules()
	for _, failed := range after.Failed {
		rule := &rules[failed]
		own := -1
		for _, n := range group {
			if r.taken[n].Field == rule.Field {
				own = n
			}
		}
		switch {
		case own >= 0:
			r.reject(own, "ticket.rule", rule.Vi, rule.En)
		case known && !slices.Contains(before.Failed, failed):
			// A rule of another field held before: one of the new values breaks it.
			for _, n := range group {
				r.reject(n, "ticket.rule_of_other_field", "giá trị này làm sai quy tắc của trường khác: "+rule.Vi, "the value breaks a rule of another field: "+rule.En)
			}
		}
	}
}

func (r *reading) reject(n int, code, vi, en string) {
	c := &r.taken[n]
	c.bad = true
	r.problem(c.Line, c.line, code, vi, en)
}

func (r *reading) result() Corrections {
	out := Corrections{Lines: r.lines, Empty: r.empty}
	for i := range r.taken {
		if !r.taken[i].bad {
			out.List = append(out.List, r.taken[i].Correction)
		}
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return a.Line - b.Line })
	out.Problems = r.problems
	return out
}

// WriteAnswer makes a workbook of the lines that could not be taken, of the same form: the wrong
// cells marked, with the reason beside each. Corrected, it can be handed in as it is.
func (w *Workbook) WriteAnswer(ctx context.Context, out io.Writer, result Corrections) error {
	answer := *w
	answer.MaxRows = maxBookRows
	_, _, err := answer.write(ctx, out, func(yield func(*shown, error) bool) {
		for i := 0; i < len(result.Problems); {
			line := *result.Problems[i].line
			var reasons []string
			from := i
			for ; i < len(result.Problems) && result.Problems[i].Line == result.Problems[from].Line; i++ {
				if reason := both(result.Problems[i].Vi, result.Problems[i].En); !slices.Contains(reasons, reason) {
					reasons = append(reasons, reason)
				}
			}
			line.answer, line.markWrong = strings.Join(reasons, "\n"), true
			if !yield(&line, nil) {
				return
			}
		}
	})
	return err
}

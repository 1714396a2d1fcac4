package file

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/lienthong/lienthong"
)

// Columns of our own answers, which a corrected answer brings back.
const (
	rowNumberColumn = "Dòng / Row"
	reasonColumn    = "Lý do / Reason"
	summaryMark     = "Tệp / File"
)

// plan opens the headers of all sheets that the job's tables want, and finds
// the columns of each table. The rows are read afterwards, when all columns are known.
func (s *Source) plan(ctx context.Context, j *job, b *book) error {
	found := 0
	missing := ""
	for _, p := range j.Parts {
		t := &p.Declared
		var err error
		if p.layout, err = s.currentLayout(ctx, s.db, t); err != nil {
			return err
		}
		stored := p.layout
		p.layout = &layout{Table: stored.Table, ID: stored.ID, Columns: slices.Clone(stored.Columns), Key: slices.Clone(stored.Key)}
		required := t.required(stored)
		p.Spans = nil
		var without []string
		wanted := b.wanted(t)
		for _, n := range wanted {
			sh, err := b.openSheet(&b.leaves[n], t, required)
			switch {
			case errors.Is(err, errNoHeader):
				without = append(without, b.leaves[n].name)
				continue
			case errors.Is(err, errEmptySheet):
				continue
			case err != nil:
				return unreadable(j.Path, err)
			}
			_, err = s.arrange(j, p, stored, sh)
			err = errors.Join(err, sh.close())
			if err != nil {
				return err
			}
			p.Spans = append(p.Spans, span{Name: b.leaves[n].name, Leaf: n})
		}
		switch {
		case len(p.Spans) > 0:
			found++
			for _, name := range without {
				if !b.isSummary(name) {
					p.Counts.notice("trang tính không có dòng tiêu đề theo mẫu nên không đọc: "+name, "a sheet without the header of the form was not read: "+name, "")
				}
			}
		case len(wanted) == 0:
			p.Counts.notice("tệp không có trang tính của bảng "+t.Name+": "+t.Sheet, "the file has no sheet of the table "+t.Name+": "+t.Sheet, "")
		default:
			missing = strings.Join(required, ", ")
			if len(j.Parts) == 1 {
				return noHeader(j.Path, required)
			}
		}
	}
	if found > 0 {
		return nil
	}
	if missing != "" {
		return noHeader(j.Path, []string{missing})
	}
	var wanted []string
	for _, p := range j.Parts {
		wanted = append(wanted, p.Declared.Sheet)
	}
	return &lienthong.Error{
		Code: "file.no_sheet", Where: j.Path,
		Vi:   "không có trang tính như khai báo: " + strings.Join(wanted, ", "),
		En:   "there is no sheet as declared: " + strings.Join(wanted, ", "),
		Hint: "đặt lại tên trang tính theo mẫu rồi gửi lại / name the sheet as in the form and hand the file in again",
	}
}

// isSummary recognises the page of results that we add to a workbook, which comes
// back with a corrected one.
func (b *book) isSummary(name string) bool {
	return strings.HasPrefix(path.Base(name), summarySheet)
}

// wanted lists the sheets that a table is made of: the first visible one of each
// workbook, or all that the declared name or pattern fits.
func (b *book) wanted(t *Table) []int {
	var list []int
	var last *workbook
	for i := range b.leaves {
		l := &b.leaves[i]
		switch {
		case t.Sheet == "":
			if l.book == nil || !l.hidden && l.book != last {
				list = append(list, i)
				last = l.book
			}
		case l.name == "": // a text alone has no sheet to name
			list = append(list, i)
		case sheetMatches(t.Sheet, l.name, l.hidden):
			list = append(list, i)
		}
	}
	return list
}

func sheetMatches(pattern, name string, hidden bool) bool {
	base := path.Base(name)
	if sameName(pattern, name) || sameName(pattern, base) {
		return true
	}
	if hidden {
		return false
	}
	folded := func(s string) string { return strings.ToLower(strings.Join(strings.Fields(norm.NFC.String(s)), " ")) }
	for _, n := range [...]string{name, base} {
		if ok, err := path.Match(folded(pattern), folded(n)); err == nil && ok {
			return true
		}
	}
	return false
}

// What a column of the file is, other than a column of the layout.
const (
	unnamedColumn   = -1
	operationColumn = -2
)

// arrange finds the layout's column for each column of a sheet, and adds the
// columns that the sheet has more.
func (s *Source) arrange(j *job, p *part, stored *layout, sh *sheet) ([]int, error) {
	t, l := &p.Declared, p.layout
	columns := make([]int, len(sh.header.names))
	places := make(map[string]int, len(l.Columns))
	for i := range l.Columns {
		places[nameKey(l.Columns[i].Name)] = i
	}
	find := func(name string) int {
		if at, known := places[nameKey(name)]; known {
			return at
		}
		return -1
	}
	seen := map[int]bool{}
	named := 0
	for i, name := range sh.header.names {
		columns[i] = unnamedColumn
		leaf := sh.header.leaves[i]
		switch {
		case name == "" || t.FolderColumn != "" && sameName(name, t.FolderColumn), sameName(name, reasonColumn):
			continue
		case i == 0 && sameName(name, rowNumberColumn):
			p.Partial = true
			continue
		case t.Operation != "" && (sameName(name, t.Operation) || sameName(leaf, t.Operation)):
			columns[i] = operationColumn
			continue
		}
		if named++; named > maxNamed {
			return nil, unreadable(j.Path, errTooLarge)
		}
		at := find(name)
		if at < 0 && sh.header.column(leaf) == i {
			at = find(leaf) // the layout knows the lowest heading alone
		}
		if at < 0 {
			if len(t.Columns) > 0 {
				continue // the declaration does not want it
			}
			at = len(l.Columns)
			places[nameKey(name)] = at
			l.Columns = append(l.Columns, lienthong.Column{Name: name, SourceType: "cell", Kind: lienthong.Text, Nullable: true})
		}
		if seen[at] {
			return nil, refuseColumns(j.Path, "file.column_twice", "cột xuất hiện hai lần: ", "a column occurs twice: ", name)
		}
		seen[at] = true
		columns[i] = at
	}
	var missing []string
	for i, c := range stored.Columns {
		if !seen[i] && c.Name != t.FolderColumn && stored.ID != 0 {
			missing = append(missing, c.Name)
		}
	}
	if len(missing) > 0 {
		return nil, refuseColumns(j.Path, "file.column_missing", "thiếu cột so với lần trước: ", "columns are missing that were there before: ", strings.Join(missing, ", "))
	}
	p.Counts.Columns = max(p.Counts.Columns, len(sh.header.names))
	l.setKey(t.Key)
	return columns, nil
}

func refuseColumns(shown, code, vi, en, names string) error {
	return &lienthong.Error{
		Code: code, Where: shown, Vi: vi + names, En: en + names,
		Hint: "sửa dòng tiêu đề theo mẫu rồi gửi lại / correct the header and hand the file in again",
	}
}

package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Difference says in words why a dataset stands still: what is different between the table
// that its mapping was made for and the table as it is, and what a steward does about it.
type Difference struct {
	Code     string          `json:"code"`
	Vi       string          `json:"vi"`
	En       string          `json:"en"`
	DoVi     string          `json:"do_vi"`
	DoEn     string          `json:"do_en"`
	Changes  []ColumnChange  `json:"changes,omitempty"`
	Proposal []MappingChange `json:"proposal,omitempty"`
	At       int64           `json:"at"`
}

// ColumnChange is one thing that has become different about a table.
type ColumnChange struct {
	What   string `json:"what"` // "added", "gone", "type", "key", "table"
	Column string `json:"column,omitempty"`
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
}

// MappingChange proposes to map another column to a field.
type MappingChange struct {
	Field string `json:"field"`
	Old   string `json:"old"` // column
	New   string `json:"new"`
}

// standstill is the error of a dataset that stands still.
type standstill struct {
	difference Difference
	cause      error
}

func (e *standstill) Error() string { return e.difference.En + ": " + e.cause.Error() }
func (e *standstill) Unwrap() []error {
	return []error{&lienthong.Error{
		Code: e.difference.Code, Vi: e.difference.Vi, En: e.difference.En, Hint: e.difference.DoVi + " / " + e.difference.DoEn,
	}, e.cause}
}

// differenceOf finds the words of an error that stops a dataset.
func differenceOf(err error, at int64) *Difference {
	var still *standstill
	if errors.As(err, &still) {
		d := still.difference
		d.At = at
		return &d
	}
	d := inWords(err)
	d.At = at
	return &d
}

// inWords takes the words of every coded error in the chain.
func inWords(err error) Difference {
	d := Difference{Code: lienthong.ErrorCode(err)}
	var vi, en, hints []string
	for _, coded := range codedErrors(err) {
		vi, en = append(vi, coded.Vi), append(en, coded.En)
		if coded.Where != "" {
			vi[len(vi)-1] += " (" + coded.Where + ")"
			en[len(en)-1] += " (" + coded.Where + ")"
		}
		if coded.Hint != "" && !slices.Contains(hints, coded.Hint) {
			hints = append(hints, coded.Hint)
		}
	}
	d.Vi, d.En = strings.Join(vi, "; "), strings.Join(en, "; ")
	for _, hint := range hints {
		before, after, both := strings.Cut(hint, " / ")
		if !both {
			after = before
		}
		d.DoVi, d.DoEn = joined(d.DoVi, before), joined(d.DoEn, after)
	}
	return d
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

func codedErrors(err error) []*lienthong.Error {
	switch e := err.(type) { //nolint:errorlint // every error of the tree is visited
	case *lienthong.Error:
		return []*lienthong.Error{e}
	case interface{ Unwrap() []error }:
		var all []*lienthong.Error
		for _, part := range e.Unwrap() {
			all = append(all, codedErrors(part)...)
		}
		return all
	case interface{ Unwrap() error }:
		return codedErrors(e.Unwrap())
	}
	return nil
}

// explain says what about the table makes its mapping impossible. now is nil when the
// table is gone. An error without a code is nothing that a steward can mend.
func explain(d *dataset, before Layout, now *connector.Table, err error) error {
	if lienthong.ErrorCode(err) == "internal" {
		return err
	}
	diff := inWords(err)
	if before.Table == "" {
		return &standstill{diff, err} // it never ran: nothing has become different
	}
	if now == nil {
		diff.Code = "schema.table_gone"
		diff.Changes = []ColumnChange{{What: "table", Old: before.Table}}
		diff.Vi = fmt.Sprintf("bảng %s không còn, hoặc không còn quyền đọc", before.Table)
		diff.En = fmt.Sprintf("table %s is gone, or may not be read any more", before.Table)
		diff.DoVi = "khôi phục bảng hoặc quyền đọc thì tập dữ liệu tự chạy lại; nếu bảng đổi tên, sửa table: trong định nghĩa rồi xác nhận"
		diff.DoEn = "when the table or the right to read it is back, the dataset runs again by itself; if it was renamed, change table: in the definition and release it"
		return &standstill{diff, err}
	}
	after := layoutOf(now)
	diff.Changes = compareLayouts(&before, &after)
	gone, changed := mappedChanges(d.definition, diff.Changes)
	var vi, en []string
	for _, m := range gone {
		lookalike := likeness(&before, &after, d.definition, m.Old)
		vi = append(vi, fmt.Sprintf("cột %s (trường %s) không còn", m.Old, m.Field))
		en = append(en, fmt.Sprintf("column %s (field %s) is gone", m.Old, m.Field))
		if lookalike != "" {
			m.New = lookalike
			diff.Proposal = append(diff.Proposal, m)
			vi[len(vi)-1] += fmt.Sprintf(", cột %s trông giống nó", lookalike)
			en[len(en)-1] += fmt.Sprintf(", %s looks like it", lookalike)
		}
	}
	for _, c := range changed {
		vi = append(vi, fmt.Sprintf("cột %s đổi kiểu: %s -> %s", c.Column, c.Old, c.New))
		en = append(en, fmt.Sprintf("column %s changed its type: %s -> %s", c.Column, c.Old, c.New))
	}
	key := slices.IndexFunc(diff.Changes, func(c ColumnChange) bool { return c.What == "key" })
	switch {
	case len(gone) > 0:
		diff.Code = "schema.column_gone"
		diff.DoVi = "trả lại cột thì tập dữ liệu tự chạy lại; hoặc sửa ánh xạ rồi xác nhận, phần chênh lệch được đối chiếu và bù, không nạp lại toàn bộ"
		diff.DoEn = "when the column is back, the dataset runs again by itself; or change the mapping and release it: what differs is compared and sent, nothing is loaded anew"
		if len(diff.Proposal) > 0 {
			diff.DoVi += "; đề xuất: " + proposalText(diff.Proposal)
			diff.DoEn += "; proposed: " + proposalText(diff.Proposal)
		}
	case key >= 0:
		diff.Code = "schema.key"
		c := diff.Changes[key]
		vi = append(vi, fmt.Sprintf("khoá của bảng đổi: %s -> %s", orNone(c.Old), orNone(c.New)))
		en = append(en, fmt.Sprintf("the table's key changed: %s -> %s", orNone(c.Old), orNone(c.New)))
		diff.DoVi = "trả lại khoá cũ; hoặc xác nhận định nghĩa (có sửa hoặc để nguyên phần identity) rằng identity vẫn phân biệt được từng bản ghi; nếu không, đặt tập dữ liệu mới"
		diff.DoEn = "put the old key back; or release the definition, which confirms that its identity still tells records apart; if it does not, make a new dataset"
	case len(changed) > 0:
		diff.Code = "schema.type"
		diff.DoVi = "chọn phần tử hợp kiểu, thêm phép biến đổi hoặc đổi lại kiểu ở nguồn, rồi xác nhận"
		diff.DoEn = "map it to an element that fits, add a transformation, or change the type back at the source, then release"
	default:
		return &standstill{diff, err} // the mapping itself is at fault, and says so
	}
	diff.Vi, diff.En = strings.Join(vi, "; "), strings.Join(en, "; ")
	return &standstill{diff, err}
}

func orNone(s string) string {
	if s == "" {
		return "∅"
	}
	return s
}

func proposalText(proposal []MappingChange) string {
	parts := make([]string, len(proposal))
	for i, m := range proposal {
		parts[i] = fmt.Sprintf("%s: column: %s -> column: %s", m.Field, m.Old, m.New)
	}
	return strings.Join(parts, ", ")
}

func layoutOf(t *connector.Table) Layout {
	l := Layout{Table: t.Name}
	for _, c := range t.Columns {
		l.Columns = append(l.Columns, LayoutColumn{Name: c.Name, Type: c.SourceType, Kind: c.Kind})
	}
	for _, i := range t.Key {
		l.Key = append(l.Key, t.Columns[i].Name)
	}
	return l
}

func (l *Layout) column(name string) int {
	return slices.IndexFunc(l.Columns, func(c LayoutColumn) bool { return c.Name == name })
}

// same reports whether both layouts have the same columns of the same kinds.
func (l *Layout) same(other *Layout) bool {
	return len(l.Columns) == len(other.Columns) && !slices.ContainsFunc(l.Columns, func(c LayoutColumn) bool {
		i := other.column(c.Name)
		return i < 0 || other.Columns[i].Kind != c.Kind
	})
}

func sameNames(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(name string) bool { return !slices.Contains(b, name) })
}

func compareLayouts(before, after *Layout) []ColumnChange {
	var changes []ColumnChange
	for _, c := range before.Columns {
		i := after.column(c.Name)
		switch {
		case i < 0:
			changes = append(changes, ColumnChange{What: "gone", Column: c.Name, Old: c.Type})
		case after.Columns[i].Kind != c.Kind || after.Columns[i].Type != c.Type:
			changes = append(changes, ColumnChange{What: "type", Column: c.Name, Old: c.Type, New: after.Columns[i].Type})
		}
	}
	for _, c := range after.Columns {
		if before.column(c.Name) < 0 {
			changes = append(changes, ColumnChange{What: "added", Column: c.Name, New: c.Type})
		}
	}
	if !sameNames(before.Key, after.Key) {
		changes = append(changes, ColumnChange{What: "key", Old: strings.Join(before.Key, ", "), New: strings.Join(after.Key, ", ")})
	}
	return changes
}

// mappedChanges picks those that a mapping depends on.
func mappedChanges(definition *dictionary.Definition, changes []ColumnChange) (gone []MappingChange, changed []ColumnChange) {
	for i := range definition.Columns {
		m := &definition.Columns[i]
		for _, column := range mappedColumns(m) {
			for _, c := range changes {
				if c.Column != column {
					continue
				}
				switch c.What {
				case "gone":
					if !m.Optional {
						gone = append(gone, MappingChange{Field: fieldName(m), Old: column})
					}
				case "type":
					changed = append(changed, c)
				}
			}
		}
	}
	for _, r := range definition.Rows {
		if r.Column != "" && slices.ContainsFunc(changes, func(c ColumnChange) bool { return c.What == "gone" && c.Column == r.Column }) {
			gone = append(gone, MappingChange{Field: "rows", Old: r.Column})
		}
	}
	return gone, changed
}

func fieldName(m *dictionary.ColumnMapping) string {
	if m.Field != "" {
		return m.Field
	}
	return m.Element
}

// likeness finds the new column that a vanished one was probably renamed to: of the same
// kind, at the same place or of a similar name. Two that are equally like it are no answer.
func likeness(before, after *Layout, definition *dictionary.Definition, gone string) string {
	at := before.column(gone)
	if at < 0 {
		return ""
	}
	best, bestScore, tie := "", 0, false
	for i, c := range after.Columns {
		if before.column(c.Name) >= 0 || c.Kind != before.Columns[at].Kind || mapsColumn(definition, c.Name) {
			continue
		}
		score := 1 + similar(gone, c.Name)
		if i == at {
			score += 4
		}
		if c.Type == before.Columns[at].Type {
			score++
		}
		switch {
		case score > bestScore:
			best, bestScore, tie = c.Name, score, false
		case score == bestScore:
			tie = true
		}
	}
	if tie {
		return ""
	}
	return best
}

func mapsColumn(definition *dictionary.Definition, name string) bool {
	return slices.ContainsFunc(definition.Columns, func(m dictionary.ColumnMapping) bool {
		return slices.Contains(mappedColumns(&m), name)
	})
}

// similar counts, up to 4, how much two names have in common: pairs of letters.
func similar(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if len(a) < 2 || len(b) < 2 {
		return 0
	}
	common := 0
	for i := range len(a) - 1 {
		if strings.Contains(b, a[i:i+2]) {
			common++
		}
	}
	return 4 * common / (len(a) - 1)
}

// mappingDigest changes when the definition brings a row to another form.
func mappingDigest(definition *dictionary.Definition) string {
	columns := slices.Clone(definition.Columns)
	for i := range columns {
		columns[i].Line = 0
	}
	rows := slices.Clone(definition.Rows)
	for i := range rows {
		rows[i].Line = 0
	}
	text, err := json.Marshal(struct {
		Table    string
		Identity []string
		Others   string
		Columns  []dictionary.ColumnMapping
		Rows     []dictionary.RowFilter
		Codes    map[string]map[string]string
	}{definition.Table, definition.Identity, definition.Others, columns, rows, definition.Codes})
	if err != nil {
		return "" // plain data always encodes
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

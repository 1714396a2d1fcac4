package catalog

import (
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Observed is what a connector sees of a dataset. It holds no values.
type Observed struct {
	Dataset       lienthong.DatasetID  `json:"dataset"`
	Member        lienthong.MemberCode `json:"member,omitempty"` // whose node sees it
	Node          string               `json:"node,omitempty"`
	Engine        string               `json:"engine"` // "postgres"
	EngineVersion string               `json:"engine_version,omitempty"`
	Table         string               `json:"table"`
	Columns       []lienthong.Column   `json:"columns"`
	Shape         *lienthong.Shape     `json:"shape,omitempty"` // nil: no definition fits yet
	RowCount      int64                `json:"row_count"`       // -1: not known
	At            int64                `json:"at"`              // when it was seen, microseconds since 1970 UTC
	LastChange    int64                `json:"last_change,omitempty"`
	LastQuality   int64                `json:"last_quality,omitempty"` // last complete run of the rules
	QualityIndex  float64              `json:"quality_index,omitempty"`
}

// Confirm is the registered shape that says what is seen now. The mapping is from columns to elements.
func (o *Observed) Confirm(mapping map[string]string, at int64) *RegisteredShape {
	s := &RegisteredShape{Table: o.Table, Confirmed: at, Columns: make([]RegisteredColumn, 0, len(o.Columns))}
	for _, c := range o.Columns {
		s.Columns = append(s.Columns, RegisteredColumn{Name: c.Name, Type: c.SourceType, Kind: c.Kind, Nullable: c.Nullable, Element: mapping[c.Name]})
	}
	return s
}

// sameForm tells that two sightings differ only in figures.
func (o *Observed) sameForm(p *Observed) bool {
	return o.Dataset == p.Dataset && o.Member == p.Member && o.Node == p.Node && o.Engine == p.Engine && o.EngineVersion == p.EngineVersion &&
		o.Table == p.Table && slices.Equal(o.Columns, p.Columns) && sameShape(o.Shape, p.Shape)
}

func sameShape(a, b *lienthong.Shape) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Version == b.Version && slices.Equal(a.Fields, b.Fields) && slices.Equal(a.Identity, b.Identity)
}

// Mapping tells which element each column of a definition stands for. A column of which several elements are
// made names the first.
func Mapping(def *dictionary.Definition) map[string]string {
	mapping := map[string]string{}
	for i := range def.Columns {
		m := &def.Columns[i]
		for _, c := range columnsOf(m) {
			if mapping[c] == "" {
				mapping[c] = m.Element
			}
		}
	}
	return mapping
}

func columnsOf(m *dictionary.ColumnMapping) []string {
	if m.Column != "" {
		return []string{m.Column}
	}
	return m.Columns
}

// DriftKind is how the live shape differs from the registered one.
type DriftKind string

// The kinds of drift.
const (
	Unconfirmed  DriftKind = "unconfirmed"  // no shape has been registered
	Unregistered DriftKind = "unregistered" // the entry does not have the dataset
	Moved        DriftKind = "moved"        // the rows come from another table
	Added        DriftKind = "added"
	Removed      DriftKind = "removed"
	Retyped      DriftKind = "retyped"
	Renamed      DriftKind = "renamed" // perhaps: a person decides
	Loosened     DriftKind = "loosened"
	Unmapped     DriftKind = "unmapped" // was mapped to an element, and is not any more
	Remapped     DriftKind = "remapped"
)

// Drift is one difference between the registered and the live shape of a dataset.
type Drift struct {
	Dataset  lienthong.DatasetID
	Kind     DriftKind
	Column   string // as it is registered, or the new one
	Was      string
	Is       string
	Breaking bool // readers of the dataset lose something, or their values change
	Word          // what happened
	Hint     Word // what to do
}

// Compare finds the drift of a dataset. Registered may be nil. The mapping says which
// element each live column stands for today; nil: no definition is known, and mappings are not compared.
func Compare(registered *RegisteredShape, seen *Observed, mapping map[string]string) []Drift {
	d := drifter{dataset: seen.Dataset, mapping: mapping}
	if registered == nil {
		d.add(Drift{
			Kind: Unconfirmed, Is: seen.Table, Word: wordf("cấu trúc bảng %s (%d cột) chưa được chủ quản xác nhận", "the shape of table %s (%d columns) has not been confirmed by the owner", seen.Table, len(seen.Columns)),
			Hint: say("xem danh sách cột rồi xác nhận", "look through the columns, then confirm"),
		})
		return d.list
	}
	if registered.Table != seen.Table {
		d.add(Drift{
			Kind: Moved, Was: registered.Table, Is: seen.Table,
			Word: wordf("dữ liệu lấy từ bảng %[2]s, đã đăng ký bảng %[1]s", "rows come from table %[2]s, registered was %[1]s", registered.Table, seen.Table),
			Hint: confirmHint(),
		})
	}
	var gone []RegisteredColumn
	for _, was := range registered.Columns {
		i := slices.IndexFunc(seen.Columns, func(c lienthong.Column) bool { return c.Name == was.Name })
		if i < 0 {
			gone = append(gone, was)
			continue
		}
		d.column(&was, &seen.Columns[i])
	}
	var fresh []lienthong.Column
	for _, is := range seen.Columns {
		if !slices.ContainsFunc(registered.Columns, func(c RegisteredColumn) bool { return c.Name == is.Name }) {
			fresh = append(fresh, is)
		}
	}
	d.pair(gone, fresh)
	return d.list
}

type drifter struct {
	dataset lienthong.DatasetID
	mapping map[string]string
	list    []Drift
}

func (d *drifter) add(f Drift) {
	f.Dataset = d.dataset
	d.list = append(d.list, f)
}

// column compares a column that is still there.
func (d *drifter) column(was *RegisteredColumn, is *lienthong.Column) {
	if was.Kind != is.Kind {
		d.add(Drift{
			Kind: Retyped, Column: was.Name, Was: was.Type, Is: is.SourceType, Breaking: was.Element != "",
			Word: wordf("cột %s đổi kiểu từ %s sang %s", "column %s changed its type from %s to %s", was.Name, was.Type, is.SourceType),
			Hint: say("sửa ánh xạ cho kiểu mới, rồi xác nhận", "change the mapping for the new type, then confirm"),
		})
	} else if was.Type != is.SourceType {
		d.add(Drift{
			Kind: Retyped, Column: was.Name, Was: was.Type, Is: is.SourceType,
			Word: wordf("cột %s đổi độ dài hoặc dạng từ %s sang %s", "column %s changed its size or form from %s to %s", was.Name, was.Type, is.SourceType),
			Hint: confirmHint(),
		})
	}
	if !was.Nullable && is.Nullable && was.Element != "" {
		d.add(Drift{
			Kind: Loosened, Column: was.Name, Was: "NOT NULL", Is: "NULL",
			Word: wordf("cột %s trước bắt buộc, nay được để trống", "column %s was mandatory and may be empty now", was.Name),
			Hint: confirmHint(),
		})
	}
	if d.mapping == nil || d.mapping[was.Name] == was.Element {
		return
	}
	now := d.mapping[was.Name]
	if now == "" {
		d.add(Drift{
			Kind: Unmapped, Column: was.Name, Was: was.Element, Breaking: true,
			Word: wordf("cột %s không còn được ánh xạ vào phần tử %s", "column %s is no longer mapped to element %s", was.Name, was.Element),
			Hint: say("ánh xạ lại, hoặc xác nhận là bỏ", "map it again, or confirm that it is left out"),
		})
		return
	}
	change := wordf("cột %s được ánh xạ vào %s", "column %s is mapped to %s", was.Name, now)
	if was.Element != "" {
		change = wordf("cột %s được ánh xạ vào %s, trước là %s", "column %s is mapped to %s, before it was %s", was.Name, now, was.Element)
	}
	d.add(Drift{Kind: Remapped, Column: was.Name, Was: was.Element, Is: now, Breaking: was.Element != "", Word: change, Hint: confirmHint()})
}

// pair tells renamed columns from those that came and went.
func (d *drifter) pair(gone []RegisteredColumn, fresh []lienthong.Column) {
	taken := make([]bool, len(fresh))
	for _, was := range gone {
		best, score := -1, renamedFrom
		for i, is := range fresh {
			if s := similarity(was.Name, is.Name); !taken[i] && is.Kind == was.Kind && s >= score {
				best, score = i, s
			}
		}
		if best >= 0 {
			taken[best] = true
			d.add(Drift{
				Kind: Renamed, Column: was.Name, Was: was.Name, Is: fresh[best].Name, Breaking: was.Element != "",
				Word: wordf("cột %s không còn; có thể đã đổi tên thành %s", "column %s is gone; it may be called %s now", was.Name, fresh[best].Name),
				Hint: say("nếu đúng là đổi tên: sửa ánh xạ sang tên mới, rồi xác nhận", "if so, map the new name, then confirm"),
			})
			continue
		}
		d.add(Drift{
			Kind: Removed, Column: was.Name, Was: was.Type, Breaking: was.Element != "",
			Word: wordf("cột %s không còn ở nguồn", "column %s is gone from the source", was.Name),
			Hint: say("khôi phục cột, hoặc xác nhận là bỏ", "bring the column back, or confirm that it is left out"),
		})
	}
	for i, is := range fresh {
		if taken[i] {
			continue
		}
		f := Drift{
			Kind: Added, Column: is.Name, Is: is.SourceType,
			Word: wordf("cột mới %s (%s)", "new column %s (%s)", is.Name, is.SourceType), Hint: confirmHint(),
		}
		if d.mapping != nil && d.mapping[is.Name] == "" {
			f.Vi, f.En = f.Vi+", chưa ánh xạ vào từ điển", f.En+", not mapped to the dictionary"
			f.Hint = say("ánh xạ vào phần tử, hoặc xác nhận để nguyên", "map it to an element, or confirm it as it is")
		}
		d.add(f)
	}
}

func confirmHint() Word {
	return say("nếu đúng: xác nhận cấu trúc mới", "if this is right, confirm the new shape")
}

// renamedFrom is the likeness from which a vanished and a new column may be the same.
const renamedFrom = 0.6

// similarity compares two column names, 0 to 1: the same words in another order, or few letters changed.
func similarity(a, b string) float64 {
	x, y := strings.Fields(dictionary.PlainKey(a)), strings.Fields(dictionary.PlainKey(b))
	common := 0
	for _, word := range x {
		if slices.Contains(y, word) {
			common++
		}
	}
	words := 0.0
	if len(x)+len(y) > 0 {
		words = 2 * float64(common) / float64(len(x)+len(y))
	}
	s, t := []rune(strings.Join(x, "")), []rune(strings.Join(y, ""))
	if len(s) == 0 || len(t) == 0 {
		return 0
	}
	return max(words, 1-float64(distance(s, t))/float64(max(len(s), len(t))))
}

// distance is the number of letters to change, add or drop.
func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range b {
			cost := diagonal
			if x != y {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

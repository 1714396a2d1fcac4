package catalog

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/stewardship"
)

func TestCompare_EveryDrift(t *testing.T) {
	mapping := map[string]string{"id": "person.number", "ho_ten": "person.full_name", "ngay_sinh": "person.birth_date"}
	column := func(name, kind string, k lienthong.Kind, nullable bool) lienthong.Column {
		return lienthong.Column{Name: name, SourceType: kind, Kind: k, Nullable: nullable}
	}
	live := func() Observed {
		return Observed{
			Dataset: lienthong.DatasetID{Database: "d", Name: "x"}, Table: "t",
			Columns: []lienthong.Column{
				column("id", "varchar(12)", lienthong.Text, false), column("ho_ten", "text", lienthong.Text, false),
				column("ngay_sinh", "date", lienthong.Date, true), column("ghi_chu", "text", lienthong.Text, true),
			},
		}
	}
	before := live()
	registered := before.Confirm(mapping, 1)
	for _, tt := range []struct {
		name       string
		registered *RegisteredShape
		change     func(*Observed)
		mapping    func(map[string]string)
		want       []string
	}{
		{"nothing", registered, nil, nil, nil},
		{"other order of columns", registered, func(o *Observed) { slices.Reverse(o.Columns) }, nil, nil},
		{"never confirmed", nil, nil, nil, []string{"unconfirmed  false"}},
		{"another table", registered, func(o *Observed) { o.Table = "t2" }, nil, []string{"moved  false"}},
		{"new, not mapped", registered, func(o *Observed) { o.Columns = append(o.Columns, column("email", "text", lienthong.Text, true)) }, nil, []string{"added email false"}},
		{"gone, mapped", registered, func(o *Observed) { o.Columns = slices.Delete(o.Columns, 2, 3) }, nil, []string{"removed ngay_sinh true"}},
		{"gone, meant nothing", registered, func(o *Observed) { o.Columns = o.Columns[:3] }, nil, []string{"removed ghi_chu false"}},
		{"another kind", registered, func(o *Observed) { o.Columns[2] = column("ngay_sinh", "text", lienthong.Text, true) }, nil, []string{"retyped ngay_sinh true"}},
		{"another kind of what means nothing", registered, func(o *Observed) { o.Columns[3] = column("ghi_chu", "bytea", lienthong.Binary, true) }, nil, []string{"retyped ghi_chu false"}},
		{"another length", registered, func(o *Observed) { o.Columns[0] = column("id", "varchar(20)", lienthong.Text, false) }, nil, []string{"retyped id false"}},
		{"may be empty now", registered, func(o *Observed) { o.Columns[0].Nullable = true }, nil, []string{"loosened id false"}},
		{"mandatory now", registered, func(o *Observed) { o.Columns[2].Nullable = false }, nil, nil},
		{"renamed by a word", registered, func(o *Observed) { o.Columns[1].Name = "ho_va_ten" }, nil, []string{"renamed ho_ten true"}},
		{"renamed in order", registered, func(o *Observed) { o.Columns[2].Name = "sinh_ngay" }, nil, []string{"renamed ngay_sinh true"}},
		{"renamed, meant nothing", registered, func(o *Observed) { o.Columns[3].Name = "ghi_chu_2" }, nil, []string{"renamed ghi_chu false"}},
		{"alike, but of another kind", registered, func(o *Observed) { o.Columns[2] = column("ngay_sinh_2", "text", lienthong.Text, true) }, nil, []string{"removed ngay_sinh true", "added ngay_sinh_2 false"}},
		{"nothing alike", registered, func(o *Observed) { o.Columns[1].Name = "dia_chi" }, nil, []string{"removed ho_ten true", "added dia_chi false"}},
		{"no longer mapped", registered, nil, func(m map[string]string) { delete(m, "ho_ten") }, []string{"unmapped ho_ten true"}},
		{"mapped to something else", registered, nil, func(m map[string]string) { m["ho_ten"] = "person.other_name" }, []string{"remapped ho_ten true"}},
		{"mapped for the first time", registered, nil, func(m map[string]string) { m["ghi_chu"] = "record.note" }, []string{"remapped ghi_chu false"}},
		{"two renamed crosswise", registered, func(o *Observed) { o.Columns[1].Name, o.Columns[3].Name = "ho_ten_x", "ghi_chu_x" }, nil, []string{"renamed ho_ten true", "renamed ghi_chu false"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, m := live(), map[string]string{"id": "person.number", "ho_ten": "person.full_name", "ngay_sinh": "person.birth_date"}
			if tt.change != nil {
				tt.change(&o)
			}
			if tt.mapping != nil {
				tt.mapping(m)
			}
			var got []string
			for _, d := range Compare(tt.registered, &o, m) {
				got = append(got, fmt.Sprintf("%s %s %t", d.Kind, d.Column, d.Breaking))
				if d.Vi == "" || d.En == "" || d.Hint.Vi == "" || d.Hint.En == "" || d.Dataset != o.Dataset {
					t.Errorf("%+v is not said fully", d)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	// Without a definition mappings are not compared.
	o := live()
	if d := Compare(registered, &o, nil); len(d) != 0 {
		t.Errorf("without a definition: %+v", d)
	}
}

func TestCompare_WordsNameTheColumn(t *testing.T) {
	o := Observed{Table: "t", Columns: []lienthong.Column{{Name: "ho_va_ten", Kind: lienthong.Text, SourceType: "text"}}}
	d := Compare(&RegisteredShape{Table: "t0", Columns: []RegisteredColumn{{Name: "ho_ten", Type: "text", Element: "person.full_name"}}}, &o, map[string]string{"ho_va_ten": "person.full_name"})
	want := []Word{
		{Vi: "dữ liệu lấy từ bảng t, đã đăng ký bảng t0", En: "rows come from table t, registered was t0"},
		{Vi: "cột ho_ten không còn; có thể đã đổi tên thành ho_va_ten", En: "column ho_ten is gone; it may be called ho_va_ten now"},
	}
	for i := range d {
		if diff := cmp.Diff(want[i], d[i].Word); diff != "" {
			t.Error(diff)
		}
	}
}

func TestCompareEntries_Breaking(t *testing.T) {
	base := `{"code":"d","name_vi":"D","people":[{"duty":"owner","name":"A"}],"datasets":[{"name":"x","access":"shared","shape":{"table":"t","confirmed":1,"columns":[{"name":"id","type":"int","kind":"integer","element":"person.number"},{"name":"n","type":"text","kind":"text"}]}},{"name":"y"}]}`
	for _, tt := range []struct {
		name, after string
		want        []string
	}{
		{
			"a name", `{"code":"d","name_vi":"E","people":[{"duty":"owner","name":"A"}],"datasets":[{"name":"x","access":"shared","shape":{"table":"t","confirmed":2,"columns":[{"name":"id","type":"int","kind":"integer","element":"person.number"},{"name":"n","type":"text","kind":"text"}]}},{"name":"y"}]}`,
			[]string{"name_vi false sửa tên tiếng Việt"},
		},
		{
			"another person", `{"code":"d","name_vi":"D","people":[{"duty":"owner","name":"B"}],"datasets":[{"name":"x","access":"shared","shape":{"table":"t","confirmed":1,"columns":[{"name":"id","type":"int","kind":"integer","element":"person.number"},{"name":"n","type":"text","kind":"text"}]}},{"name":"y"}]}`,
			[]string{"people.owner.name false sửa người phụ trách owner.name"},
		},
		{
			"a column that means something is gone, one is new", `{"code":"d","name_vi":"D","people":[{"duty":"owner","name":"A"}],"datasets":[{"name":"x","access":"shared","shape":{"table":"t","confirmed":2,"columns":[{"name":"m","type":"text","kind":"text"},{"name":"n","type":"text","kind":"text"}]}},{"name":"y"}]}`,
			[]string{"datasets.x.shape.columns.id true bỏ tập dữ liệu x.shape.columns.id", "datasets.x.shape.columns.m false thêm tập dữ liệu x.shape.columns.m"},
		},
		{
			"its kind", `{"code":"d","name_vi":"D","people":[{"duty":"owner","name":"A"}],"datasets":[{"name":"x","access":"shared","shape":{"table":"t","confirmed":1,"columns":[{"name":"id","type":"text","kind":"text","element":"person.number"},{"name":"n","type":"char(9)","kind":"text"}]}},{"name":"y"}]}`,
			[]string{"datasets.x.shape.columns.id.kind true sửa tập dữ liệu x.shape.columns.id.kind", "datasets.x.shape.columns.id.type false sửa tập dữ liệu x.shape.columns.id.type", "datasets.x.shape.columns.n.type false sửa tập dữ liệu x.shape.columns.n.type"},
		},
		{
			"a dataset is gone, the other is private", `{"code":"d","name_vi":"D","people":[{"duty":"owner","name":"A"}],"datasets":[{"name":"x","access":"private","shape":{"table":"t","confirmed":1,"columns":[{"name":"id","type":"int","kind":"integer","element":"person.number"},{"name":"n","type":"text","kind":"text"}]}}]}`,
			[]string{"datasets.x.access true sửa tập dữ liệu x.access", "datasets.y true bỏ tập dữ liệu y"},
		},
		{"all datasets are gone", `{"code":"d","name_vi":"D","people":[{"duty":"owner","name":"A"}]}`, []string{"datasets true bỏ tập dữ liệu"}},
	} {
		var got []string
		for _, c := range CompareEntries(stewardship.Subject{Before: []byte(base), After: []byte(tt.after)}) {
			got = append(got, fmt.Sprintf("%s %t %s", c.Where, c.Breaking, c.Vi))
			if c.En == "" {
				t.Errorf("%s: no English", c.Where)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

package dictionary

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/lienthong/lienthong"
)

const handled = `
dataset: population.person
title_vi: Người
table: t
identity: [personal_number]
columns:
  - {column: so, element: person.number, handling: token, key: tinh}
  - {column: ten, element: person.full_name, handling: mask, first: 2}
  - {column: sdt, element: person.phone, handling: hash, key: chung}
  - {column: ngay, element: person.birth_date, handling: drop}
`

func handledColumns() []lienthong.Column {
	return []lienthong.Column{{Name: "so"}, {Name: "ten"}, {Name: "sdt"}, {Name: "ngay", Kind: lienthong.Date}}
}

func testKeys(name string) ([]byte, error) {
	if name == "mat" {
		return nil, errors.New("no such key")
	}
	return []byte(strings.Repeat(name, 16)), nil
}

func compileKeyed(t testing.TB, text string, columns []lienthong.Column) *Mapper {
	t.Helper()
	def, err := ParseDefinition("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	words, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := words.Compile(def, columns, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := mapper.Keys(testKeys); err != nil {
		t.Fatal(err)
	}
	return mapper
}

func says(text string) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: []byte(text)}
}

func TestHandling_ChangesWhatTravelsAndNotWhatIsChecked(t *testing.T) {
	m := compileKeyed(t, handled, handledColumns())
	var names []string
	for _, f := range m.Shape.Fields {
		names = append(names, f.Name+":"+f.Kind.String()+":"+f.Handling)
	}
	if want := []string{"personal_number:text:token", "full_name:text:mask", "phone:text:hash"}; !slices.Equal(names, want) {
		t.Fatalf("travelling fields %q, want %q", names, want)
	}
	if m.Checked().FieldIndex("birth_date") < 0 || m.Checked().Fields[m.Checked().FieldIndex("birth_date")].Kind != lienthong.Date {
		t.Fatal("rules must see the dropped field as it is")
	}
	src := []lienthong.Value{says("096012345678"), says("Nguyễn Văn An"), says("0912345678"), {State: lienthong.Present, Int: 7000}}
	checked, wire := make([]lienthong.Value, 4), make([]lienthong.Value, 3)
	for range 2 { // the buffers are used again
		m.Map(src, checked)
		m.Handle(checked, wire)
	}
	if got := string(checked[0].Bytes); got != "096012345678" {
		t.Errorf("checked %q", got)
	}
	if got := string(wire[1].Bytes); got != "Ng********" {
		t.Errorf("masked %q", got)
	}
	other, wire2 := m.Clone(), make([]lienthong.Value, 3)
	other.Handle(checked, wire2)
	for i := range wire {
		if string(wire[i].Bytes) != string(wire2[i].Bytes) {
			t.Errorf("field %d: two mappers, two values", i)
		}
		if strings.Contains(string(wire[i].Bytes), "09") && strings.Contains(string(src[i].Bytes), string(wire[i].Bytes)) {
			t.Errorf("field %d leaves as it is", i)
		}
	}
	key, _ := testKeys("tinh")
	if back, err := Detokenise(key, string(wire[0].Bytes)); err != nil || back != "096012345678" {
		t.Errorf("back %q, %v", back, err)
	}
	wrong, _ := testKeys("chung")
	if back, err := Detokenise(wrong, string(wire[0].Bytes)); lienthong.ErrorCode(err) != "token.refused" {
		t.Errorf("another key opens the token: %q %v", back, err)
	}
	id, named := m.Shape.AppendRecordID(nil, wire)
	if !named || string(id) != string(wire[0].Bytes) {
		t.Errorf("the record's name %q does not come from the token", id)
	}
}

func TestHandling_KeysAreAskedForByName(t *testing.T) {
	words, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	def, err := ParseDefinition("test.yaml", []byte(strings.Replace(handled, "key: chung", "key: mat", 1)))
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := words.Compile(def, handledColumns(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range []func(string) ([]byte, error){nil, testKeys, func(string) ([]byte, error) { return []byte("short"), nil }} {
		if err := mapper.Keys(keys); lienthong.ErrorCode(err) != "handling.key" {
			t.Errorf("a missing key is not named: %v", err)
		}
	}
}

func TestHandling_RefusesWhatCannotWork(t *testing.T) {
	for name, test := range map[string]struct{ from, to, code string }{
		"unknown":             {"handling: drop", "handling: shred", "mapping.handling"},
		"no key":              {", key: tinh", "", "mapping.handling"},
		"key without need":    {"handling: drop", "handling: drop, key: x", "mapping.handling"},
		"first and last":      {"first: 2", "first: 2, last: 2", "mapping.handling"},
		"too much shown":      {"first: 2", "first: 9", "mapping.handling"},
		"first of a hash":     {"handling: hash,", "handling: hash, first: 1,", "mapping.handling"},
		"masked identity":     {"handling: token, key: tinh", "handling: mask, last: 3", "mapping.handling"},
		"dropped identity":    {"handling: token, key: tinh", "handling: drop", "mapping.handling"},
		"rule over a drop":    {"columns:", "set_rules:\n  - {code: a, vi: a, en: a, group: duplicate, criterion: sach, unique: [birth_date]}\ncolumns:", "mapping.handling"},
		"star and a name":     {"[personal_number]", "['*', personal_number]", "definition.identity"},
		"filter without":      {"columns:", "rows:\n  - {field: phone}\ncolumns:", "rows.empty"},
		"filter of nothing":   {"columns:", "rows:\n  - {in: [a]}\ncolumns:", "rows.field"},
		"filter of all":       {"columns:", "rows:\n  - {field: phone, prefix: ['']}\ncolumns:", "rows.prefix"},
		"filter of no field":  {"columns:", "rows:\n  - {field: nowhere, in: [a]}\ncolumns:", "rows.field"},
		"filter of no column": {"columns:", "rows:\n  - {column: nowhere, in: [a]}\ncolumns:", "mapping.column"},
		"no such province":    {"columns:", "rows:\n  - {field: phone, under: '00'}\ncolumns:", "rows.under"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(handled, test.from, test.to, 1)
			if text == handled {
				t.Fatal("the test changes nothing")
			}
			def, err := ParseDefinition("test.yaml", []byte(text))
			if err == nil {
				words, loadErr := Builtin()
				if loadErr != nil {
					t.Fatal(loadErr)
				}
				_, err = words.Compile(def, handledColumns(), 1)
			}
			if !errors.Is(err, &lienthong.Error{Code: test.code}) {
				t.Errorf("got %v, want %s", err, test.code)
			}
		})
	}
}

// A mask is as wide for every value and shows at most half of it.
func TestMask_TellsNoLength(t *testing.T) {
	for _, end := range []string{"first", "last"} {
		for n := range 9 {
			m := compileKeyed(t, strings.Replace(handled, "first: 2", fmt.Sprintf("%s: %d", end, n), 1), handledColumns())
			for _, text := range []string{"a", "ab", "Đỗ", "Nguyễn Văn An", strings.Repeat("ệ", 100)} {
				checked, wire := make([]lienthong.Value, 4), make([]lienthong.Value, 3)
				checked[1] = says(text)
				m.Handle(checked, wire)
				got := string(wire[1].Bytes)
				if utf8.RuneCountInString(got) != 8+n {
					t.Errorf("%s %d of %q: %q is not %d wide", end, n, text, got, 8+n)
				}
				shown := strings.ReplaceAll(got, "*", "")
				if 2*utf8.RuneCountInString(shown) > utf8.RuneCountInString(text) || !strings.Contains(text, shown) {
					t.Errorf("%s %d of %q shows %q", end, n, text, shown)
				}
			}
		}
	}
}

// Whatever the value, a token is deterministic, goes back, and cannot be altered; states
// that are no values stay what they are.
func TestTokens_GoBack(t *testing.T) {
	m := compileKeyed(t, handled, handledColumns())
	key, _ := testKeys("tinh")
	tokens := map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 60, -1).Draw(t, "text")
		checked, wire := make([]lienthong.Value, 4), make([]lienthong.Value, 3)
		checked[0] = says(text)
		checked[2] = lienthong.Value{State: lienthong.Unchanged}
		m.Handle(checked, wire)
		token := string(wire[0].Bytes)
		if back, err := Detokenise(key, token); err != nil || back != text {
			t.Fatalf("%q came back as %q, %v", text, back, err)
		}
		if known, seen := tokens[token]; seen && known != text {
			t.Fatalf("%q and %q share a token", known, text)
		}
		tokens[token] = text
		if wire[1].State != lienthong.Null || wire[2].State != lienthong.Unchanged {
			t.Fatal("null and unchanged do not stay")
		}
		at := rapid.IntRange(0, len(token)-2).Draw(t, "at")
		altered := []byte(token)
		altered[at] = "AB"[btoi(altered[at] == 'A')]
		if back, err := Detokenise(key, string(altered)); err == nil {
			t.Fatalf("an altered token gives %q", back)
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func FuzzDetokenise(f *testing.F) {
	f.Add("AAAA")
	f.Add(strings.Repeat("A", 52))
	f.Fuzz(func(t *testing.T, token string) {
		if back, err := Detokenise([]byte("0123456789abcdef"), token); err == nil {
			t.Errorf("a token from nowhere gives %q", back)
		}
	})
}

const territory = `
dataset: household.household
title_vi: Hộ
table: t
identity: [record_key]
rows:
  - {field: commune, under: "96"}
  - {column: loai, in: ["1", "2"], prefix: ["9"]}
columns:
  - {column: ma, element: record.key}
  - {column: xa, element: address.commune}
`

func TestRows_ScopeOfATerritory(t *testing.T) {
	columns := []lienthong.Column{{Name: "ma"}, {Name: "xa"}, {Name: "loai", Kind: lienthong.Integer}}
	m := compileKeyed(t, territory, columns)
	words, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	inside, outside := "", ""
	for _, unit := range words.reference.today {
		if unit.Province == "96" {
			inside = unit.Code
		} else {
			outside = unit.Code
		}
	}
	number := func(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }
	unsaid := lienthong.Value{State: lienthong.Unchanged}
	for _, test := range []struct {
		commune, kind lienthong.Value
		want          Scope
	}{
		{says(inside), number(1), Inside},
		{says(inside), number(93), Inside},
		{says(inside), number(3), Outside},
		{says(outside), number(1), Outside},
		{lienthong.Value{}, number(1), Outside},
		{unsaid, number(1), Unsaid},
		{unsaid, number(3), Outside},
		{says(inside), unsaid, Unsaid},
		{says(outside), unsaid, Outside},
		{lienthong.Value{State: lienthong.Malformed, Bytes: []byte(inside)}, number(1), Outside},
	} {
		src := []lienthong.Value{says("a"), test.commune, test.kind}
		checked := make([]lienthong.Value, 2)
		m.Map(src, checked)
		if got := m.Scope(src, checked); got != test.want {
			t.Errorf("%+v: scope %d, want %d", src[1:], got, test.want)
		}
	}
}

func TestWholeRow_NamesARowByAllItsValues(t *testing.T) {
	text := strings.Replace(strings.Replace(territory, "[record_key]", "['*']", 1), "rows:", "others: drop\nrows:", 1)
	columns := []lienthong.Column{{Name: "ma"}, {Name: "xa"}, {Name: "loai", Kind: lienthong.Integer}}
	m := compileKeyed(t, text, columns)
	name := func(m *Mapper, src ...lienthong.Value) string {
		checked := make([]lienthong.Value, len(m.Checked().Fields))
		m.Map(src, checked)
		id, named := m.Shape.AppendRecordID(nil, checked)
		if !named {
			return ""
		}
		return string(id)
	}
	null, one := lienthong.Value{}, lienthong.Value{State: lienthong.Present, Int: 1}
	a := name(m, says("a"), says("b"), one)
	if len(a) != 64 || a != name(m.Clone(), says("a"), says("b"), one) {
		t.Fatalf("%q is not a stable name", a)
	}
	for _, other := range [][]lienthong.Value{
		{says("ab"), null, one},
		{null, says("a"), one},
		{says("a"), says("b"), null}, // a column that the mapping drops counts too
		{says("b"), says("a"), one},
	} {
		if name(m, other...) == a {
			t.Errorf("two rows, one name: %+v", other)
		}
	}
	if name(m, says("a"), lienthong.Value{State: lienthong.Unchanged}, one) != "" {
		t.Error("a row of which something is not said has a name")
	}
	wider := compileKeyed(t, text, append(slices.Clone(columns), lienthong.Column{Name: "moi"}))
	if name(wider, says("a"), says("b"), one, null) != a {
		t.Error("an empty column that is added later changes the name")
	}
}

func TestOptional_AColumnThatIsNotThere(t *testing.T) {
	text := strings.Replace(handled, "{column: ngay, element: person.birth_date, handling: drop}", "{column: ngay, element: person.birth_date, optional: true}", 1) +
		"rules:\n  - {code: r, vi: a, en: a, group: stale, criterion: song, field: birth_date, check: {max_age: 5y}}\n"
	with, without := compileKeyed(t, text, handledColumns()), compileKeyed(t, text, handledColumns()[:3])
	if with.Shape.FieldIndex("birth_date") < 0 || without.Shape.FieldIndex("birth_date") >= 0 {
		t.Error("an optional column's field must come and go with the column")
	}
	for _, rule := range without.Rules() {
		if rule.Field == "birth_date" {
			t.Errorf("rule %s is about a field that is not there", rule.Code)
		}
	}
}

package quality

import (
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Every rule of the dictionary inside the program compiles, and its code lists
// are found by date.
func TestBuiltinDictionaryCompiles(t *testing.T) {
	t.Parallel()
	d, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, element := range d.Elements() {
		shape := &lienthong.Shape{
			Dataset: lienthong.DatasetID{Database: "test", Name: "one"}, Version: 1,
			Fields: []lienthong.Field{{
				Element: element.ID, Name: element.Name, Kind: element.Kind, LabelVi: element.NameVi, LabelEn: element.NameEn,
				Required: element.Required, MaxLength: element.MaxLength, Mapped: true,
			}},
		}
		own := make([]dictionary.Rule, len(element.Rules))
		for i, rule := range element.Rules {
			rule.Field = element.Name
			own[i] = rule
		}
		rules += len(own)
		checker, err := Compile(shape, own, DictionaryLists(d), nil)
		if err != nil {
			t.Errorf("%s: %v", element.ID, err)
			continue
		}
		for i := range checker.Rules() {
			if rule := &checker.Rules()[i]; rule.Identifier != element.Identifier {
				t.Errorf("%s: the dictionary says identifier=%v, its rule %s %v", element.ID, element.Identifier, rule.Code, rule.Identifier)
			}
		}
		for _, check := range checker.checks {
			if pattern := checker.rules[check.rule].Check.Pattern; pattern != "" {
				if p, err := compilePattern(pattern); err != nil || p.next == nil {
					t.Errorf("%s: pattern %q goes the slow way", element.ID, pattern)
				}
			}
		}
	}
	if rules < 40 {
		t.Errorf("only %d rules: the dictionary was not read", rules)
	}
}

func TestCommunesByDate(t *testing.T) {
	t.Parallel()
	d, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	shape := personShape()
	checker, err := Compile(shape, []dictionary.Rule{
		{Code: "now", Field: "commune", Check: dictionary.Check{CodeList: "commune"}},
		{Code: "then", Field: "commune", Check: dictionary.Check{CodeList: "commune", AsOf: "birth"}},
	}, DictionaryLists(d), nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := ""
	list, _ := d.CodeList("commune")
	for _, code := range list.Codes() {
		if !list.Valid([]byte(code.Code), instant(checkedAt)) {
			gone = code.Code
			break
		}
	}
	if gone == "" {
		t.Fatal("no commune has gone")
	}
	for _, c := range []struct {
		birth     string
		now, then bool
	}{{"2025-06-30", false, true}, {"2025-07-01", false, false}} {
		row := emptyRow(shape)
		row[shape.FieldIndex("commune")], row[shape.FieldIndex("birth")] = text(gone), date(c.birth)
		var verdict Verdict
		checker.Check(row, instant(checkedAt), &verdict)
		failed := map[string]bool{}
		for _, rule := range verdict.Failed {
			failed[checker.Rules()[rule].Code] = true
		}
		if failed["now"] == c.now || failed["then"] == c.then {
			t.Errorf("commune %s, birth %s: failed %v", gone, c.birth, failed)
		}
	}
}

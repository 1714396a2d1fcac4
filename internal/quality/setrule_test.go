package quality

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

func table(name string, rows ...map[string]lienthong.Value) Table {
	shape := personShape()
	shape.Dataset.Name = name
	out := Table{Shape: shape}
	for i, values := range rows {
		row := TableRow{Record: fmt.Sprintf("%s%d", name, i), Values: emptyRow(shape)}
		for field, value := range values {
			row.Values[shape.FieldIndex(field)] = value
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

func TestEvaluateSet(t *testing.T) {
	t.Parallel()
	type v = map[string]lienthong.Value
	match := &dictionary.Match{Key: "number", To: "number", Fields: map[string]string{"name": "name", "birth": "birth"}}
	for _, c := range []struct {
		name       string
		rule       dictionary.SetRule
		own, other Table
		checked    int64
		records    []string
	}{
		{
			"all members of a duplicate group",
			dictionary.SetRule{Unique: []string{"number"}},
			table("a", v{"number": text("1")}, v{"number": text("2")}, v{"number": text("1")}, v{"number": text("1")}),
			Table{},
			4,
			[]string{"a0", "a2", "a3"},
		},
		{
			"what is not present is not compared",
			dictionary.SetRule{Unique: []string{"number"}},
			table("a", v{}, v{}, v{"number": unchanged}, v{"number": malformed}, v{"number": malformed}, v{"number": text("")}),
			Table{},
			1, nil,
		},
		{
			"several fields, one without a value",
			dictionary.SetRule{Unique: []string{"name", "birth"}},
			table("a", v{"name": text("x"), "birth": date("2000-01-01")}, v{"name": text("x")}, v{"name": text("x"), "birth": date("2000-01-01")}, v{"name": text("x"), "birth": date("2000-01-02")}),
			Table{},
			3,
			[]string{"a0", "a2"},
		},
		{
			"parts do not run together",
			dictionary.SetRule{Unique: []string{"name", "sex"}},
			table("a", v{"name": text("ab"), "sex": text("c")}, v{"name": text("a"), "sex": text("bc")}),
			Table{},
			2, nil,
		},
		{
			"decimals by value",
			dictionary.SetRule{Unique: []string{"area"}},
			table("a", v{"area": text("1.0")}, v{"area": text("1.00")}, v{"area": text("-0")}, v{"area": text("0.0")}, v{"area": text("10")}),
			Table{},
			5,
			[]string{"a0", "a1", "a2", "a3"},
		},
		{
			"reals by value",
			dictionary.SetRule{Unique: []string{"ratio"}},
			table("a", v{"ratio": realValue(0)}, v{"ratio": realValue(math.Copysign(0, -1))}, v{"ratio": realValue(0.1)}),
			Table{},
			3,
			[]string{"a0", "a1"},
		},
		{
			"NFC and NFD are two texts",
			dictionary.SetRule{Unique: []string{"name"}},
			table("a", v{"name": text("Lê")}, v{"name": text("Le\u0302")}),
			Table{},
			2, nil,
		},
		{
			"reference",
			dictionary.SetRule{Field: "number", Reference: &dictionary.Reference{To: "number"}},
			table("a", v{"number": text("1")}, v{"number": text("3")}, v{}), table("b", v{"number": text("1")}, v{"number": text("2")}, v{}),
			2,
			[]string{"a1"},
		},
		{
			"reference to nothing",
			dictionary.SetRule{Field: "number", Reference: &dictionary.Reference{To: "number"}},
			table("a", v{"number": text("1")}), table("b"), 1,
			[]string{"a0"},
		},
		{
			"match",
			dictionary.SetRule{Match: match},
			table("a",
				v{"number": text("1"), "name": text("x"), "birth": date("2000-01-01")},
				v{"number": text("1"), "name": text("y"), "birth": date("2000-01-01")},
				v{"number": text("1"), "name": text("x"), "birth": date("2000-01-02")},
				v{"number": text("9"), "name": text("y")}, // no counterpart: the reference rule's business
				v{"name": text("y")},
				v{"number": text("1"), "name": null, "birth": date("2000-01-01")}),
			table("b", v{"number": text("1"), "name": text("x"), "birth": date("2000-01-01")}),
			4,
			[]string{"a1", "a2"},
		},
		{
			"match with one of several counterparts",
			dictionary.SetRule{Match: match},
			table("a", v{"number": text("1"), "name": text("x")}, v{"number": text("1"), "name": text("z")}),
			table("b", v{"number": text("1"), "name": text("x")}, v{"number": text("1"), "name": text("y")}),
			2,
			[]string{"a1"},
		},
		{
			"counterpart without a value does not disagree",
			dictionary.SetRule{Match: match},
			table("a", v{"number": text("1"), "name": text("x")}), table("b", v{"number": text("1")}), 1, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := EvaluateSet(c.rule, c.own, c.other)
			if err != nil {
				t.Fatal(err)
			}
			want := SetOutcome{Checked: c.checked, Failed: int64(len(c.records)), Records: c.records}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The rules are also what they say pair by pair, on random records.
func TestEvaluateSetPairwise(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 5))
	value := func() lienthong.Value {
		if random.IntN(4) == 0 {
			return null
		}
		return text(string(rune('a' + random.IntN(6))))
	}
	make := func(name string) Table {
		var rows []map[string]lienthong.Value
		for range 1 + random.IntN(12) {
			rows = append(rows, map[string]lienthong.Value{"number": value(), "name": value()})
		}
		return table(name, rows...)
	}
	const numberField, nameField = 1, 2
	same := func(a, b lienthong.Value) bool {
		return a.State == lienthong.Present && b.State == lienthong.Present && string(a.Bytes) == string(b.Bytes)
	}
	differ := func(a, b lienthong.Value) bool {
		return a.State == lienthong.Present && b.State == lienthong.Present && string(a.Bytes) != string(b.Bytes)
	}
	for range 300 {
		own, other := make("a"), make("b")
		var unique, reference, match []string
		for i, row := range own.Rows {
			if slices.ContainsFunc(own.Rows, func(o TableRow) bool {
				return o.Record != row.Record && same(o.Values[numberField], row.Values[numberField])
			}) {
				unique = append(unique, own.Rows[i].Record)
			}
			found, agreeing := false, false
			for _, counterpart := range other.Rows {
				if same(counterpart.Values[numberField], row.Values[numberField]) {
					found = true
					agreeing = agreeing || !differ(counterpart.Values[nameField], row.Values[nameField])
				}
			}
			if row.Values[numberField].State == lienthong.Present && !found {
				reference = append(reference, row.Record)
			}
			if found && !agreeing {
				match = append(match, row.Record)
			}
		}
		for want, rule := range map[*[]string]dictionary.SetRule{
			&unique:    {Unique: []string{"number"}},
			&reference: {Field: "number", Reference: &dictionary.Reference{To: "number"}},
			&match:     {Match: &dictionary.Match{Key: "number", To: "number", Fields: map[string]string{"name": "name"}}},
		} {
			outcome, err := EvaluateSet(rule, own, other)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(*want)
			if diff := cmp.Diff(*want, outcome.Records); diff != "" {
				t.Fatal(diff)
			}
		}
	}
}

func TestCheckSetRule(t *testing.T) {
	t.Parallel()
	shape := personShape()
	for _, c := range []struct {
		name  string
		rule  dictionary.SetRule
		other *lienthong.Shape
		want  []string
	}{
		{"good", dictionary.SetRule{Unique: []string{"number"}}, nil, nil},
		{"none", dictionary.SetRule{}, shape, []string{"quality.check"}},
		{"two", dictionary.SetRule{Unique: []string{"number"}, Match: &dictionary.Match{}}, shape, []string{"quality.check"}},
		{"unknown fields", dictionary.SetRule{Unique: []string{"x", "y"}}, nil, []string{"quality.field", "quality.field"}},
		{"no other", dictionary.SetRule{Field: "number", Reference: &dictionary.Reference{To: "number"}}, nil, []string{"quality.dataset"}},
		{"kinds", dictionary.SetRule{Field: "number", Reference: &dictionary.Reference{To: "birth"}}, shape, []string{"quality.kind"}},
		{"match without fields", dictionary.SetRule{Match: &dictionary.Match{Key: "number", To: "z"}}, shape, []string{"quality.field", "quality.check"}},
	} {
		err := CheckSetRule(c.rule, shape, c.other)
		var got []string
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, problem := range joined.Unwrap() {
				var coded *lienthong.Error
				if errors.As(problem, &coded) {
					got = append(got, coded.Code)
				}
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

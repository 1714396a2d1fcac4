package publish

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaCompiler knows the schemas of the code lists by their addresses, as the server serves them.
func schemaCompiler(t testing.TB, e *Exports) *jsonschema.Compiler {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	for _, codes := range e.config.Dictionary.CodeLists() {
		data := written(t, func(b *bytes.Buffer) error { return e.CodeListSchema(b, codes.ID) })
		if err := c.AddResource(e.listSchemaURL(codes.ID), decoded(t, data)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func decoded(t testing.TB, data []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return value
}

// compiled checks a schema against the official meta-schema on the way.
func compiled(t testing.TB, c *jsonschema.Compiler, e *Exports, d *Dataset) (*jsonschema.Schema, []byte) {
	t.Helper()
	data := written(t, func(b *bytes.Buffer) error { return e.JSONSchema(b, d) })
	address := e.schemaURL(d.Shape.Dataset)
	if err := c.AddResource(address, decoded(t, data)); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(address)
	if err != nil {
		t.Fatalf("%s: %v\n%s", d.Shape.Dataset, err, data)
	}
	return schema, data
}

// notExpressed are the rules that a schema says it cannot say.
func notExpressed(t testing.TB, data []byte) map[string]bool {
	t.Helper()
	var schema struct {
		Unsaid []struct {
			Rule, Field, Vi, En, Why string
		} `json:"x-not-expressed"`
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	rules := map[string]bool{}
	for _, r := range schema.Unsaid {
		if r.Vi == "" || r.En == "" || r.Why == "" {
			t.Errorf("rule %s: no words", r.Rule)
		}
		rules[r.Rule+" "+r.Field] = true
	}
	return rules
}

// A record that the checks let pass is valid, one that they refuse is not: for shapes, rules
// and values near the edges of the rules.
func TestJSONSchema_AcceptsWhatTheChecksAccept(t *testing.T) {
	e := testExports(t)
	g := newGenerator(t, 1)
	c := schemaCompiler(t, e)
	refused, accepted, told := 0, 0, map[string]bool{}
	for number := range 60 {
		d := g.dataset(number)
		schema, data := compiled(t, c, e, d)
		skipped := notExpressed(t, data)
		for key := range skipped {
			told[key] = true
		}
		check := checker(t, e.config.Dictionary, said(d, skipped))
		all := checker(t, e.config.Dictionary, d)
		var verdict, whole quality.Verdict
		for range 150 {
			row := g.nearlyGood(check, d.Shape)
			check.Check(row, testNow().UnixMicro(), &verdict)
			record := jsonRecord(t, d.Shape, row)
			err := schema.Validate(decoded(t, record))
			all.Check(row, testNow().UnixMicro(), &whole)
			// Of a rule that is not expressed in full, a part may be: then both sides refuse.
			if err == nil && !verdict.OK() || err != nil && whole.OK() {
				var codes []string
				for _, failed := range verdict.Failed {
					codes = append(codes, check.Rules()[failed].Code+" "+check.Rules()[failed].Field)
				}
				t.Fatalf("checks failed: %v\nschema: %v\nrecord %s\n%s", codes, err, record, data)
			}
			if err == nil {
				accepted++
			} else {
				refused++
			}
		}
	}
	if accepted < 1000 || refused < 1000 {
		t.Errorf("%d accepted, %d refused: the generator is one-sided", accepted, refused)
	}
	if len(told) == 0 {
		t.Error("no rule was told as not expressed")
	}
}

// The pattern translation must agree with RE2 on every sample, whatever the pattern.
func TestJSONSchema_SaysEveryPattern(t *testing.T) {
	e := testExports(t)
	c := schemaCompiler(t, e)
	for i, pattern := range patterns {
		if _, ok := ecma.translate(pattern); !ok {
			t.Errorf("%s is not expressed", pattern)
			continue
		}
		d := &Dataset{Shape: &lienthong.Shape{
			Dataset: lienthong.DatasetID{Database: "p", Name: "p" + string(rune('a'+i))}, Version: 1,
			Fields: []lienthong.Field{{Name: "f", Kind: lienthong.Text}},
		}, Rules: []dictionary.Rule{{Code: "p", Field: "f", Vi: "sai", En: "wrong", Group: lienthong.WrongFormat, Criterion: lienthong.Clean, Check: dictionary.Check{Pattern: pattern}}}}
		schema, _ := compiled(t, c, e, d)
		check := checker(t, e.config.Dictionary, d)
		var verdict quality.Verdict
		for _, text := range sampleTexts {
			row := []lienthong.Value{{State: lienthong.Present, Bytes: []byte(text)}}
			check.Check(row, testNow().UnixMicro(), &verdict)
			if err := schema.Validate(map[string]any{"f": text}); (err == nil) != verdict.OK() {
				t.Errorf("%s on %q: checks %v, schema %v", pattern, text, verdict.OK(), err)
			}
		}
	}
	for _, pattern := range []string{`(?m)^a$`, `[^\x00-\x{10FFFF}]`, `(`} {
		if text, ok := ecma.translate(pattern); ok {
			t.Errorf("%s became %s", pattern, text)
		}
	}
}

func TestJSONSchema_OfTheDemosDatasets(t *testing.T) {
	e := testExports(t)
	c := schemaCompiler(t, e)
	for _, d := range datasets(t, e.config.Dictionary)[:8] {
		schema, data := compiled(t, c, e, d)
		if schema.Title == "" || len(schema.Properties) != len(d.Shape.Fields) {
			t.Errorf("%s: title %q, %d properties", d.Shape.Dataset, schema.Title, len(schema.Properties))
		}
		again := written(t, func(b *bytes.Buffer) error { return e.JSONSchema(b, d) })
		if !bytes.Equal(data, again) {
			t.Errorf("%s: not the same bytes twice", d.Shape.Dataset)
		}
	}
}

func TestJSONSchema_SaysWhatItCannotSay(t *testing.T) {
	e := testExports(t)
	rule := func(code, field string, check dictionary.Check) dictionary.Rule {
		return dictionary.Rule{Code: code, Field: field, Vi: "sai", En: "wrong", Check: check}
	}
	d := &Dataset{
		Shape: &lienthong.Shape{
			Dataset: lienthong.DatasetID{Database: "d", Name: "s"}, Version: 4, Identity: []int{0},
			Fields: []lienthong.Field{
				{Name: "key", Kind: lienthong.Text},
				{Name: "born", Kind: lienthong.Date},
				{Name: "secret", Kind: lienthong.Text, Handling: dictionary.HashValue, MaxLength: 3},
			},
		},
		Rules: []dictionary.Rule{
			rule("born.range", "born", dictionary.Check{Min: "1900-01-01", Max: "now"}),
			rule("key.nfc", "key", dictionary.Check{NFC: true}),
			rule("secret.digits", "secret", dictionary.Check{Digits: 12}),
			rule("gone.digits", "gone", dictionary.Check{Digits: 12}),
			rule("cel", "key", dictionary.Check{CEL: "true"}),
		},
		SetRules: []dictionary.SetRule{{Code: "key.unique", Field: "key", Vi: "trùng", En: "twice", Unique: []string{"key"}}},
	}
	schema, data := compiled(t, schemaCompiler(t, e), e, d)
	want := map[string]bool{
		"born.range born": true, "key.nfc key": true, "secret.digits secret": true, "gone.digits gone": true, "cel key": true, "key.unique key": true,
	}
	if diff := cmp.Diff(want, notExpressed(t, data)); diff != "" {
		t.Error(diff)
	}
	for record, good := range map[string]bool{
		`{"key":"a"}`: true, `{}`: false, `{"key":null}`: false, `{"key":" "}`: false, `{"key":"a","other":1}`: false,
		`{"key":"a","born":"1899-12-31"}`:       false, // the fixed half of a bound is said all the same
		`{"key":"a","born":"1900-01-01"}`:       true,
		`{"key":"a","born":"Infinity"}`:         false,
		`{"key":"a","secret":"H3LONGERHASH"}`:   true, // a rule of the value at home does not hold for its hash
		`{"key":"a\u0000"}`:                     false,
		`{"key":"a","born":"2026-11-23T00:00"}`: false,
	} {
		if err := schema.Validate(decoded(t, []byte(record))); (err == nil) != good {
			t.Errorf("%s: %v", record, err)
		}
	}
	d.More = true
	open, _ := compiled(t, schemaCompiler(t, e), e, d)
	if err := open.Validate(decoded(t, []byte(`{"key":"a","other":1}`))); err != nil {
		t.Errorf("a dataset that keeps other columns: %v", err)
	}
}

func TestCodeListSchema_IsThatOfTheDay(t *testing.T) {
	e := testExports(t)
	data := written(t, func(b *bytes.Buffer) error { return e.CodeListSchema(b, "commune") })
	c := jsonschema.NewCompiler()
	if err := c.AddResource("x.json", decoded(t, data)); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("x.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(schema.Enum.Values) != 3321 {
		t.Errorf("%d communes today", len(schema.Enum.Values))
	}
	if err := e.CodeListSchema(&bytes.Buffer{}, "none"); lienthong.ErrorCode(err) != "list.unknown" {
		t.Errorf("an unknown list: %v", err)
	}
	if !strings.Contains(string(data), `"x-as-of": "2026-11-23"`) {
		t.Error("no day")
	}
}

func FuzzTranslate(f *testing.F) {
	for _, pattern := range patterns {
		f.Add(pattern, "Nguyễn Văn An")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		agree(t, pattern, text)
	})
}

func FuzzDecimalBound(f *testing.F) {
	for _, bound := range []string{"0", "-12.50", "99.995", "0.05", "100"} {
		f.Add(bound, "99.99")
	}
	f.Fuzz(decimalsAgree)
}

package publish

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// generator makes shapes, rules and rows whose values stand near the edges of the rules.
type generator struct {
	*rand.Rand
	known *dictionary.Dictionary
	// plain keeps to numbers and times that have an order: XML has no words for the others.
	plain bool
}

func newGenerator(t testing.TB, seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 17)), known: builtin(t)}
}

func pick[T any](g *generator, values ...T) T { return values[g.IntN(len(values))] }

// dataset makes one field of every kind and some more of text, each with up to three rules.
func (g *generator) dataset(number int) *Dataset {
	d := &Dataset{Shape: &lienthong.Shape{
		Dataset: lienthong.DatasetID{Database: "generated", Name: "shape_" + strconv.Itoa(number)}, Version: 1, Identity: []int{0},
	}}
	kinds := []lienthong.Kind{
		lienthong.Text, lienthong.Text, lienthong.Text, lienthong.Text, lienthong.Integer, lienthong.Decimal,
		lienthong.Real, lienthong.Boolean, lienthong.Date, lienthong.Timestamp, lienthong.Binary, lienthong.Text,
	}
	for i, kind := range kinds {
		field := lienthong.Field{Name: "f" + strconv.Itoa(i), Kind: kind, LabelVi: "Trường <" + strconv.Itoa(i) + ">", LabelEn: "Field & \"" + strconv.Itoa(i) + "\"", Required: g.IntN(3) == 0}
		if kind == lienthong.Text && g.IntN(3) == 0 {
			field.MaxLength = 1 + g.IntN(8)
		}
		d.Shape.Fields = append(d.Shape.Fields, field)
		for n := range g.IntN(3) {
			rule := dictionary.Rule{Code: fmt.Sprintf("r%d.%d", i, n), Vi: "sai", En: "wrong", Group: lienthong.WrongFormat, Criterion: lienthong.Clean, Field: field.Name}
			if check, ok := g.check(kind); ok {
				rule.Check = check
				d.Rules = append(d.Rules, rule)
			}
		}
	}
	return d
}

var patterns = []string{
	`^[A-Z]{2}-\d+$`, `^(?i)abc$`, `^(?:\+84|0)[35789][0-9]{8}$`, `^[0-9]{10}(-[0-9]{3})?$`, `^\w+@\w+\.vn$`, `^[^a-c]*$`, `^.{2,3}$`,
	`^\p{L}+( \p{L}+)*$`, `^(a|bc)+?$`, `^\d{4}$|^x$`, `^[\]\^\-\\.]+$`, `^a\bb?$`, `^\Qa.b\E$`, `^$`, `^\s*x\s*$`, `^[\p{Lu}\d ]+$`, `^\$[0-9]$`, `^[[:alpha:]]+$`,
}

func (g *generator) check(kind lienthong.Kind) (dictionary.Check, bool) {
	var c dictionary.Check
	switch kind {
	case lienthong.Text:
		switch g.IntN(11) {
		case 0:
			c.Digits = 1 + g.IntN(4)
		case 1, 2, 3:
			c.Pattern = pick(g, patterns...)
		case 4:
			c.MinLength = g.IntN(4)
			c.MaxLength = c.MinLength + 1 + g.IntN(3)
		case 5:
			c.CodeList = pick(g, "sex", "commune", "province")
		case 6:
			c.OneOf = []string{"a", "Đ", "12"}
		case 7:
			c.PersonName = true
		case 8:
			c.Tidy = true
		case 9:
			c.NFC = true
		case 10:
			c.Required = true
		}
		if c.CodeList != "" {
			_, known := g.known.CodeList(c.CodeList)
			return c, known
		}
	case lienthong.Integer:
		if g.IntN(3) == 0 {
			c.OneOf = []string{"-1", "0", "7"}
			break
		}
		g.bounds(&c, "-10", "0", "7", "9223372036854775807", "-9223372036854775808")
	case lienthong.Real:
		g.bounds(&c, "-1.5", "0", "2.25", "1e30")
	case lienthong.Decimal:
		g.bounds(&c, "-12.50", "-0.05", "0", "0.7", "1", "10", "99.995", "100", "1234567890123.45")
	case lienthong.Date:
		if g.IntN(5) == 0 {
			c.Max = "now"
			break
		}
		g.bounds(&c, "1900-01-01", "1999-12-31", "2026-02-28", "2024-02-29", "2025-07-01")
	case lienthong.Timestamp:
		if g.IntN(5) == 0 {
			c.MaxAge = "30d"
			break
		}
		g.bounds(&c, "1900-01-01", "2020-01-01", "2025-07-01", "2025-07-01T10:00:00+07:00")
	case lienthong.Boolean, lienthong.Binary:
		c.Required = true
	}
	return c, true
}

func (g *generator) bounds(c *dictionary.Check, values ...string) {
	bound := pick(g, values...)
	if g.IntN(2) == 0 {
		c.Min = bound
	} else {
		c.Max = bound
	}
}

var sampleTexts = []string{
	"", " ", "\t", "\u00a0", "\u0085", "\ufeff", "  ", "a", "Đ", "12", "1", "123", "1234", "12345", "M", "F", "x", " x ", "abc", "ABC", "aBc", "aKc", "a.b", "axb", "ab",
	"AB-1", "ab-1", "AB-", "0912345678", "+84912345678", "1234567890", "1234567890-123", "12-345", "a@b.vn", "a@b.com", "bca", "abca", "bcbc",
	"Nguyễn Văn An", "Nguyễn", "Nguyễn  Văn An", " Nguyễn An", "Nguyễn Văn 2", "H'Hen Niê", "Trần-Lê Thị", "-An Bình", "nguyễn văn an", "Nguyễn Văn Ẩn", "李 小龍", "Lò\u00a0Thị", "Lò\tThị",
	"e\u0301t", "ét", "]^-\\.", "$5", "a\nb", "a b", "a\tb", "a  b", "😀", "😀😀😀", "ééé", "cc", "é", "A 1", "ABC DEF", "00004", "32002", "01", "96", "\u2028", "\u2003", "\u180e", "a\"b<c>&'d",
}

func (g *generator) value(kind lienthong.Kind) lienthong.Value {
	if g.IntN(6) == 0 {
		return lienthong.Value{}
	}
	v := lienthong.Value{State: lienthong.Present}
	micros := func(text string) int64 {
		at, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", text)
		if err != nil {
			panic(err)
		}
		return at.UnixMicro()
	}
	switch kind {
	case lienthong.Text:
		text := pick(g, sampleTexts...)
		if g.IntN(20) == 0 {
			text = strings.Repeat(pick(g, "a", " ", "ễ", "9"), g.IntN(10))
		}
		v.Bytes = []byte(text)
	case lienthong.Integer:
		v.Int = pick(g, 0, 1, -1, 7, 8, -10, -11, math.MaxInt64, math.MinInt64, g.Int64())
	case lienthong.Decimal:
		v.Bytes = []byte(pick(g, "0", "-0", "0.00", "-0.05", "-0.050", "-0.06", "-0.04", "-12.50", "-12.5", "-12.51", "-12", "-13", "0.7", "0.70", "0.69999", "0.71", "007", "1", "1.0", "0.999", "10", "9.99", "9", "10.01",
			"99.995", "99.99", "99.9951", "100", "100.00", "100.01", "1234567890123.45", "1234567890123.4", "1234567890123.46", "1234567890124", "NaN", "Infinity", "-Infinity", strconv.FormatInt(g.Int64(), 10)))
		if g.plain && strings.ContainsAny(string(v.Bytes), "NI") {
			v.Bytes = []byte("0")
		}
	case lienthong.Real:
		v.Int = int64(math.Float64bits(pick(g, 0, -1.5, -1.6, 2.25, 2.26, 1e30, 1e31, -1e31, math.NaN(), math.Inf(1), math.Inf(-1), 5e-324)))
		if f := math.Float64frombits(uint64(v.Int)); g.plain && (math.IsNaN(f) || math.IsInf(f, 0)) {
			v.Int = 0
		}
	case lienthong.Boolean:
		v.Int = g.Int64N(2)
	case lienthong.Date:
		day := func(text string) int64 { return micros(text+"T00:00:00.000000Z") / 86400e6 }
		v.Int = pick(g, 0, day("1900-01-01"), day("1899-12-31"), day("1999-12-31"), day("2000-01-01"), day("2026-02-28"), day("2026-03-01"), day("2024-02-29"), day("2024-02-28"),
			day("2025-07-01"), day("2025-06-30"), day("9999-12-31"), day("0001-01-01"), day("2026-11-23"), day("2026-11-24"), math.MaxInt64, math.MinInt64)
		if g.plain && (v.Int == math.MaxInt64 || v.Int == math.MinInt64) {
			v.Int = 0
		}
	case lienthong.Timestamp:
		v.Int = pick(g, 0, micros("1899-12-31T17:00:00.000000Z"), micros("1899-12-31T16:59:59.999999Z"), micros("2019-12-31T17:00:00.000000Z"), micros("2019-12-31T16:59:59.999999Z"),
			micros("2020-01-01T16:59:59.999999Z"), micros("2020-01-01T17:00:00.000000Z"), micros("2025-07-01T03:00:00.000000Z"), micros("2025-07-01T03:00:00.000001Z"), micros("2025-07-01T02:59:59.999999Z"),
			micros("9999-12-31T00:00:00.000000Z"), math.MaxInt64, math.MinInt64)
		if g.plain && (v.Int == math.MaxInt64 || v.Int == math.MinInt64) {
			v.Int = 0
		}
	case lienthong.Binary:
		v.Bytes = []byte(pick(g, "", "a", "ab", "abc", "\x00\xff\xfe"))
	}
	return v
}

// nearlyGood is a row that breaks few rules or none, so that both outcomes are common.
func (g *generator) nearlyGood(check *quality.Checker, shape *lienthong.Shape) []lienthong.Value {
	row := g.row(shape)
	var verdict quality.Verdict
	for range g.IntN(40) {
		check.Check(row, testNow().UnixMicro(), &verdict)
		if verdict.OK() {
			break
		}
		for _, failed := range verdict.Failed[:1+g.IntN(len(verdict.Failed))] {
			at := check.Rules()[failed].FieldIndex
			row[at] = g.value(shape.Fields[at].Kind)
		}
	}
	return row
}

func (g *generator) row(shape *lienthong.Shape) []lienthong.Value {
	row := make([]lienthong.Value, len(shape.Fields))
	for i := range row {
		row[i] = g.value(shape.Fields[i].Kind)
	}
	return row
}

// jsonValue writes a value as the feeds do (docs/feeds.md).
func jsonValue(t testing.TB, kind lienthong.Kind, v *lienthong.Value) any {
	t.Helper()
	if v.State != lienthong.Present {
		return nil
	}
	infinite := map[int64]string{math.MaxInt64: "Infinity", math.MinInt64: "-Infinity"}
	switch kind {
	case lienthong.Text, lienthong.Decimal:
		return string(v.Bytes)
	case lienthong.Integer:
		return json.Number(strconv.FormatInt(v.Int, 10))
	case lienthong.Real:
		f := math.Float64frombits(uint64(v.Int))
		switch {
		case math.IsNaN(f):
			return "NaN"
		case math.IsInf(f, 1):
			return "Infinity"
		case math.IsInf(f, -1):
			return "-Infinity"
		}
		return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
	case lienthong.Boolean:
		return v.Int != 0
	case lienthong.Date, lienthong.Timestamp:
		if word, is := infinite[v.Int]; is {
			return word
		}
		return string(v.AppendText(nil, kind))
	case lienthong.Binary:
		return base64.StdEncoding.EncodeToString(v.Bytes)
	}
	t.Fatalf("kind %s", kind)
	return nil
}

func jsonRecord(t testing.TB, shape *lienthong.Shape, row []lienthong.Value) []byte {
	t.Helper()
	record := map[string]any{}
	for i := range row {
		record[shape.Fields[i].Name] = jsonValue(t, shape.Fields[i].Kind, &row[i])
	}
	data, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// said is the dataset with the rules that a document claims to express.
func said(d *Dataset, skipped map[string]bool) *Dataset {
	kept := *d
	kept.Rules = nil
	for _, rule := range d.Rules {
		if !skipped[rule.Code+" "+rule.Field] {
			kept.Rules = append(kept.Rules, rule)
		}
	}
	return &kept
}

// checker is what capture checks rows with.
func checker(t testing.TB, known *dictionary.Dictionary, d *Dataset) *quality.Checker {
	t.Helper()
	rules := d.Rules
	seen := map[string]bool{}
	var once []dictionary.Rule
	for _, rule := range rules { // a field has one rule that requires it
		if rule.Check.Required {
			if seen[rule.Field] {
				continue
			}
			seen[rule.Field] = true
		}
		once = append(once, rule)
	}
	c, err := quality.Compile(d.Shape, once, quality.DictionaryLists(known), testNow)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

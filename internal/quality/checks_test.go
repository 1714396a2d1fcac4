package quality

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// listUntil is a code list of one code with a last day of validity.
type listUntil struct {
	code string
	last int64 // day
}

func (l listUntil) Valid(code []byte, at int64) bool {
	return string(code) == l.code && at <= l.last*dayMicros
}

func testLists() CodeLists {
	return CodeListsFunc(func(id string) (CodeList, bool) {
		if id != "commune_before" {
			return nil, false
		}
		return listUntil{code: "00001", last: day("2025-06-30")}, true
	})
}

func day(date string) int64 {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	return t.Unix() / 86400
}

func instant(text string) int64 {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UnixMicro()
}

func text(s string) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: []byte(s)}
}

func number(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

func realValue(f float64) lienthong.Value { return number(int64(math.Float64bits(f))) }

func date(s string) lienthong.Value { return number(day(s)) }

var (
	null      = lienthong.Value{}
	unchanged = lienthong.Value{State: lienthong.Unchanged}
	malformed = lienthong.Value{State: lienthong.Malformed, Bytes: []byte("31/02/2000")}
)

// personShape has a field of every kind that the checks tell apart.
func personShape() *lienthong.Shape {
	field := func(name string, kind lienthong.Kind) lienthong.Field {
		return lienthong.Field{Element: "test." + name, Name: name, Kind: kind, LabelVi: name, LabelEn: name, Mapped: true}
	}
	return &lienthong.Shape{
		Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Version: 1,
		Fields: []lienthong.Field{
			field("key", lienthong.Integer), field("number", lienthong.Text), field("name", lienthong.Text),
			field("birth", lienthong.Date), field("sex", lienthong.Text), field("commune", lienthong.Text),
			field("seen", lienthong.Timestamp), field("area", lienthong.Decimal), field("ratio", lienthong.Real),
			field("alive", lienthong.Boolean), field("members", lienthong.Integer), field("death", lienthong.Date),
			field("photo", lienthong.Binary), field("cost", lienthong.Decimal),
		},
		Identity: []int{0},
	}
}

// emptyRow has a key and nothing else.
func emptyRow(shape *lienthong.Shape) []lienthong.Value {
	row := make([]lienthong.Value, len(shape.Fields))
	row[0] = number(1)
	return row
}

const checkedAt = "2026-11-23T09:00:00Z"

// verdictOf compiles one rule and checks one row; it returns whether the rule passed.
func passes(t *testing.T, rule dictionary.Rule, at int64, values map[string]lienthong.Value) bool {
	t.Helper()
	shape := personShape()
	if rule.Code == "" {
		rule.Code = "rule"
	}
	checker, err := Compile(shape, []dictionary.Rule{rule}, testLists(), nil)
	if err != nil {
		t.Fatal(err)
	}
	row := emptyRow(shape)
	for name, value := range values {
		row[shape.FieldIndex(name)] = value
	}
	var verdict Verdict
	checker.Check(row, at, &verdict)
	passed := true
	for _, failed := range verdict.Failed {
		if r := checker.Rules()[failed]; r.Code == rule.Code && r.Field == rule.Field {
			passed = false
		}
	}
	return passed
}

func TestChecks(t *testing.T) {
	t.Parallel()
	type values = map[string]lienthong.Value
	check := func(field string, c dictionary.Check) dictionary.Rule { return dictionary.Rule{Field: field, Check: c} }
	digits := check("number", dictionary.Check{Digits: 12})
	phone := check("number", dictionary.Check{Pattern: `0[35789][0-9]{8}`})
	tax := check("number", dictionary.Check{Pattern: `^[0-9]{10}(-[0-9]{3})?$`})
	length := check("name", dictionary.Check{MinLength: 2, MaxLength: 4})
	oneOf := check("sex", dictionary.Check{OneOf: []string{"M", "F", "U"}})
	many := check("sex", dictionary.Check{OneOf: strings.Split("a b c d e f g h i j", " ")})
	name := check("name", dictionary.Check{PersonName: true})
	tidy := check("name", dictionary.Check{Tidy: true})
	nfc := check("name", dictionary.Check{NFC: true})
	before := check("commune", dictionary.Check{CodeList: "commune_before", AsOf: "birth"})
	today := check("commune", dictionary.Check{CodeList: "commune_before"})
	seenList := check("commune", dictionary.Check{CodeList: "commune_before", AsOf: "seen"})
	members := check("members", dictionary.Check{Min: "1", Max: "30"})
	area := check("area", dictionary.Check{Min: "0.01", Max: "1000000"})
	ratio := check("ratio", dictionary.Check{Min: "0", Max: "1"})
	born := check("birth", dictionary.Check{Min: "1900-01-01", Max: "now"})
	adult := check("birth", dictionary.Check{Max: "now-18y"})
	seen := check("seen", dictionary.Check{Min: "2020-01-01", Max: "now"})
	fresh := check("seen", dictionary.Check{MaxAge: "720h"})
	freshDay := check("birth", dictionary.Check{MaxAge: "5y"})
	order := check("death", dictionary.Check{NotBefore: "birth"})
	orderMixed := check("seen", dictionary.Check{NotBefore: "birth"})
	orderCost := check("cost", dictionary.Check{NotBefore: "area"})
	structure := check("number", dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{BirthDate: "birth", Sex: "sex"}})
	required := check("name", dictionary.Check{Required: true})

	for _, c := range []struct {
		name string
		rule dictionary.Rule
		row  values
		want bool
	}{
		{"twelve digits", digits, values{"number": text("001095012345")}, true},
		{"eleven digits", digits, values{"number": text("00109501234")}, false},
		{"thirteen digits", digits, values{"number": text("0010950123456")}, false},
		{"letter O for zero", digits, values{"number": text("0O1095012345")}, false},
		{"fullwidth digits are not ASCII", digits, values{"number": text("０01095012345")}, false},
		{"null passes", digits, values{"number": null}, true},
		{"unchanged passes", digits, values{"number": unchanged}, true},
		{"malformed is the type rule's", digits, values{"number": malformed}, true},
		{"blank is no value", digits, values{"number": text("   ")}, true},

		{"mobile", phone, values{"number": text("0912345678")}, true},
		{"old mobile", phone, values{"number": text("01612345678")}, false},
		{"pattern is anchored before", phone, values{"number": text("x0912345678")}, false},
		{"pattern is anchored after", phone, values{"number": text("0912345678\n")}, false},
		{"tax code", tax, values{"number": text("0123456789")}, true},
		{"tax code of a branch", tax, values{"number": text("0123456789-001")}, true},
		{"half a branch", tax, values{"number": text("0123456789-00")}, false},

		{"length counts characters", length, values{"name": text("Nguyễ")}, false},
		{"four characters, more bytes", length, values{"name": text("Ngễễ")}, true},
		{"shortest", length, values{"name": text("Ý")}, false},
		{"shortest reached", length, values{"name": text("Ýý")}, true},

		{"one of", oneOf, values{"sex": text("F")}, true},
		{"not one of", oneOf, values{"sex": text("f")}, false},
		{"one of many", many, values{"sex": text("j")}, true},
		{"none of many", many, values{"sex": text("k")}, false},

		{"name", name, values{"name": text("Nguyễn Văn An")}, true},
		{"name in NFD", name, values{"name": text("Nguye\u0302\u0303n Va\u0306n An")}, true},
		{"minority name", name, values{"name": text("H'Hen Niê")}, true},
		{"hyphen", name, values{"name": text("Y-Blot Kbuôr")}, true},
		{"typographic apostrophe", name, values{"name": text("K’Sor Phước")}, true},
		{"Cham script", name, values{"name": text("ꨀꨁ ꨂꨃ")}, true},
		{"one word", name, values{"name": text("Nguyễn")}, false},
		{"digit in name", name, values{"name": text("Nguyễn Văn 4n")}, false},
		{"arabic digit in name", name, values{"name": text("Nguyễn Văn ٤")}, false},
		{"mark without letter", name, values{"name": text("Nguyen \u0301Van")}, false},
		{"punctuation", name, values{"name": text("Nguyễn Văn A.")}, false},

		{"tidy", tidy, values{"name": text("Nguyễn Văn An")}, true},
		{"space before", tidy, values{"name": text(" An")}, false},
		{"space after", tidy, values{"name": text("An ")}, false},
		{"no-break space after", tidy, values{"name": text("An\u00a0")}, false},
		{"doubled", tidy, values{"name": text("Văn  An")}, false},
		{"space and no-break space", tidy, values{"name": text("Văn \u00a0An")}, false},
		{"only spaces", tidy, values{"name": text("  ")}, false},
		{"empty", tidy, values{"name": text("")}, true},

		{"NFC", nfc, values{"name": text("Nguyễn Hoà Ðạt ǵ")}, true},
		{"NFD", nfc, values{"name": text("Nguye\u0302\u0303n")}, false},
		{"half composed", nfc, values{"name": text("Nguyê\u0303n")}, false},
		{"mark that composes with nothing", nfc, values{"name": text("c\u0306 Ê\u0306")}, true},
		{"singleton", nfc, values{"name": text("\u212b")}, false},

		{"commune valid at birth", before, values{"commune": text("00001"), "birth": date("2025-06-30")}, true},
		{"commune gone by birth", before, values{"commune": text("00001"), "birth": date("2025-07-01")}, false},
		{"no date, nothing to say", before, values{"commune": text("00001"), "birth": null}, true},
		{"date unchanged", before, values{"commune": text("00001"), "birth": unchanged}, true},
		{"commune today", today, values{"commune": text("00001")}, false},
		{"last evening in Viet Nam", seenList, values{"commune": text("00001"), "seen": number(instant("2025-06-30T16:59:59Z"))}, true},
		{"first morning in Viet Nam", seenList, values{"commune": text("00001"), "seen": number(instant("2025-06-30T17:00:00Z"))}, false},

		{"members least", members, values{"members": number(1)}, true},
		{"members none", members, values{"members": number(0)}, false},
		{"members most", members, values{"members": number(30)}, true},
		{"members too many", members, values{"members": number(31)}, false},
		{"area least", area, values{"area": text("0.010")}, true},
		{"area below", area, values{"area": text("0.0099999999999999999999")}, false},
		{"area negative", area, values{"area": text("-5")}, false},
		{"area most", area, values{"area": text("1000000.000")}, true},
		{"area above", area, values{"area": text("1000000.0000000000000000001")}, false},
		{"area not a number", area, values{"area": text("NaN")}, false},
		{"area endless", area, values{"area": text("Infinity")}, false},
		{"ratio", ratio, values{"ratio": realValue(0.5)}, true},
		{"ratio above", ratio, values{"ratio": realValue(math.Nextafter(1, 2))}, false},
		{"ratio NaN", ratio, values{"ratio": realValue(math.NaN())}, false},

		{"born first day", born, values{"birth": date("1900-01-01")}, true},
		{"born before", born, values{"birth": date("1899-12-31")}, false},
		{"born today", born, values{"birth": date("2026-11-23")}, true},
		{"born tomorrow", born, values{"birth": date("2026-11-24")}, false},
		{"eighteen today", adult, values{"birth": date("2008-11-23")}, true},
		{"eighteen tomorrow", adult, values{"birth": date("2008-11-24")}, false},
		{"year 20026", born, values{"birth": number(6_600_000)}, false},
		{"day beyond all calendars", born, values{"birth": number(math.MaxInt64)}, false},

		{"from midnight in Viet Nam", seen, values{"seen": number(instant("2019-12-31T17:00:00Z"))}, true},
		{"before midnight in Viet Nam", seen, values{"seen": number(instant("2019-12-31T16:59:59.999999Z"))}, false},
		{"now", seen, values{"seen": number(instant(checkedAt))}, true},
		{"after now", seen, values{"seen": number(instant(checkedAt) + 1)}, false},
		{"720 hours old", fresh, values{"seen": number(instant(checkedAt) - 720*3600*1e6)}, true},
		{"older than 720 hours", fresh, values{"seen": number(instant(checkedAt) - 720*3600*1e6 - 1)}, false},
		{"five years old", freshDay, values{"birth": date("2021-11-23")}, true},
		{"older than five years", freshDay, values{"birth": date("2021-11-22")}, false},

		{"death on the day of birth", order, values{"birth": date("2020-02-29"), "death": date("2020-02-29")}, true},
		{"death before birth", order, values{"birth": date("2020-02-29"), "death": date("2020-02-28")}, false},
		{"birth unknown", order, values{"birth": unchanged, "death": date("1800-01-01")}, true},
		{"birth malformed", order, values{"birth": malformed, "death": date("1800-01-01")}, true},
		{"seen on the local day of birth", orderMixed, values{"birth": date("2020-02-29"), "seen": number(instant("2020-02-28T17:00:00Z"))}, true},
		{"seen the evening before", orderMixed, values{"birth": date("2020-02-29"), "seen": number(instant("2020-02-28T16:59:59Z"))}, false},
		{"decimals in order", orderCost, values{"area": text("9.9"), "cost": text("10")}, true},
		{"decimals out of order", orderCost, values{"area": text("10"), "cost": text("9.9")}, false},

		{"man of 1995", structure, values{"number": text("001095012345"), "birth": date("1995-05-01"), "sex": text("M")}, true},
		{"woman of 1995", structure, values{"number": text("001195012345"), "birth": date("1995-05-01"), "sex": text("F")}, true},
		{"man of 2005", structure, values{"number": text("001205012345"), "birth": date("2005-05-01"), "sex": text("M")}, true},
		{"woman of 2005", structure, values{"number": text("001305012345"), "birth": date("2005-05-01"), "sex": text("F")}, true},
		{"woman of 2101", structure, values{"number": text("001501012345"), "birth": date("2101-05-01"), "sex": text("F")}, true},
		{"first day of a century", structure, values{"number": text("001200012345"), "birth": date("2000-01-01"), "sex": text("M")}, true},
		{"last day of a century", structure, values{"number": text("001099012345"), "birth": date("1999-12-31"), "sex": text("M")}, true},
		{"wrong century", structure, values{"number": text("001095012345"), "birth": date("2095-05-01"), "sex": text("M")}, false},
		{"wrong sex", structure, values{"number": text("001095012345"), "birth": date("1995-05-01"), "sex": text("F")}, false},
		{"wrong year", structure, values{"number": text("001095012345"), "birth": date("1994-05-01"), "sex": text("M")}, false},
		{"sex not known to the register", structure, values{"number": text("001095012345"), "birth": date("1995-05-01"), "sex": text("U")}, true},
		{"sex unchanged, year wrong", structure, values{"number": text("001095012345"), "birth": date("1994-05-01"), "sex": unchanged}, false},
		{"birth null, sex wrong", structure, values{"number": text("001095012345"), "sex": text("F")}, false},
		{"birth null, sex right", structure, values{"number": text("001095012345"), "sex": text("M")}, true},
		{"not twelve digits is another rule", structure, values{"number": text("1"), "birth": date("1995-05-01"), "sex": text("F")}, true},
		{"born before 1900 has no such number", structure, values{"number": text("001095012345"), "birth": date("1895-05-01")}, false},

		{"required null", required, values{"name": null}, false},
		{"required empty", required, values{"name": text("")}, false},
		{"required blank", required, values{"name": text(" \u00a0\t")}, false},
		{"required unchanged", required, values{"name": unchanged}, true},
		{"required there", required, values{"name": text("x")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := passes(t, c.rule, instant(checkedAt), c.row); got != c.want {
				t.Errorf("passes = %v, want %v", got, c.want)
			}
		})
	}
}

// The calendar day of a check is that of Viet Nam, and a year from a leap day
// ends on the last day of February.
func TestRelativeBounds(t *testing.T) {
	t.Parallel()
	notLater := func(bound string) dictionary.Rule {
		return dictionary.Rule{Field: "birth", Check: dictionary.Check{Max: bound}}
	}
	for _, c := range []struct {
		name  string
		bound string
		at    string
		last  string // the last day that passes
	}{
		{"evening in UTC is the next day in Viet Nam", "now", "2026-11-22T17:00:00Z", "2026-11-23"},
		{"a moment before", "now", "2026-11-22T16:59:59Z", "2026-11-22"},
		{"a year before a leap day", "now-1y", "2028-02-29T05:00:00Z", "2027-02-28"},
		{"four years before a leap day", "now-4y", "2028-02-29T05:00:00Z", "2024-02-29"},
		{"a year before the day after a leap day", "now-1y", "2028-03-01T05:00:00Z", "2027-03-01"},
		{"a year after a leap day", "now+1y", "2028-02-29T05:00:00Z", "2029-02-28"},
		{"a month before 31 March", "now-1mo", "2026-03-31T05:00:00Z", "2026-02-28"},
		{"a month over the year's end", "now-1mo", "2026-01-15T05:00:00Z", "2025-12-15"},
		{"months after", "now+14mo", "2026-11-30T05:00:00Z", "2028-01-30"},
		{"days", "now-30d", "2026-03-01T05:00:00Z", "2026-01-30"},
		{"weeks", "now-2w", "2026-03-01T05:00:00Z", "2026-02-15"},
		{"hours over midnight", "now-13h", "2026-03-01T05:00:00Z", "2026-02-28"},
		{"year and months", "now-1y6mo", "2026-08-31T05:00:00Z", "2025-02-28"},
		{"2100 is no leap year", "now-1y", "2101-02-28T05:00:00Z", "2100-02-28"},
		{"before 1970", "now-100y", "2026-02-28T05:00:00Z", "1926-02-28"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			last := day(c.last)
			if !passes(t, notLater(c.bound), instant(c.at), map[string]lienthong.Value{"birth": number(last)}) {
				t.Errorf("%s does not pass", c.last)
			}
			if passes(t, notLater(c.bound), instant(c.at), map[string]lienthong.Value{"birth": number(last + 1)}) {
				t.Errorf("the day after %s passes", c.last)
			}
		})
	}
}

func TestBoundFollowsTheTimeOfTheCheck(t *testing.T) {
	t.Parallel()
	shape := personShape()
	now := instant("2026-01-31T05:00:00Z")
	checker, err := Compile(shape, []dictionary.Rule{{Code: "r", Field: "birth", Check: dictionary.Check{Max: "now-1mo"}}}, nil,
		func() time.Time { return time.UnixMicro(now) })
	if err != nil {
		t.Fatal(err)
	}
	row := emptyRow(shape)
	row[shape.FieldIndex("birth")] = date("2026-02-01") // a month of 28 days before 1 March
	var verdict Verdict
	for _, step := range []struct {
		at   int64
		want bool
	}{{0, false}, {instant("2026-03-01T05:00:00Z"), true}, {instant("2026-02-28T05:00:00Z"), false}, {0, false}} {
		checker.Check(row, step.at, &verdict)
		if verdict.OK() != step.want {
			t.Errorf("at %d: OK = %v, want %v", step.at, verdict.OK(), step.want)
		}
	}
	now = instant("2026-03-01T05:00:00Z")
	if checker.Check(row, 0, &verdict); !verdict.OK() {
		t.Error("the clock moved on and the verdict did not")
	}
}

// A rule that requires a field of the identity blocks, whatever it says.
func TestGivenRequiredOfIdentityBlocks(t *testing.T) {
	t.Parallel()
	shape := personShape()
	checker, err := Compile(shape, []dictionary.Rule{{Code: "key.needed", Field: "key", Check: dictionary.Check{Required: true}}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var verdict Verdict
	checker.Check(make([]lienthong.Value, len(shape.Fields)), 1, &verdict)
	if !verdict.Blocked || len(verdict.Failed) != 1 || checker.Rules()[verdict.Failed[0]].Code != "key.needed" {
		t.Errorf("a row without identity: %+v", verdict)
	}
}

func TestBuiltinRules(t *testing.T) {
	t.Parallel()
	shape := personShape()
	shape.Fields[2].Required = true
	shape.Fields[2].MaxLength = 5
	shape.Fields[3].Required = true
	checker, err := Compile(shape, []dictionary.Rule{
		{Code: "birth.needed", Field: "birth", Check: dictionary.Check{Required: true}, Group: lienthong.MissingMandatory},
		{Code: "number.digits", Field: "number", Check: dictionary.Check{Digits: 12}, Blocking: true},
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	good := func() []lienthong.Value {
		row := emptyRow(shape)
		row[2], row[3] = text("Lê Ân"), date("2000-01-01")
		return row
	}
	for _, c := range []struct {
		name    string
		field   string
		value   lienthong.Value
		want    []string
		blocked bool
	}{
		{"good", "name", text("Lê Ân"), nil, false},
		{"malformed date blocks", "birth", malformed, []string{"type@birth"}, true},
		{"invalid UTF-8 blocks", "name", text("L\xea"), []string{"type@name"}, true},
		{"NUL blocks", "name", text("L\x00"), []string{"type@name"}, true},
		{"NUL in a long text blocks", "name", text("abcdefgh\x00jklmnop"), []string{"type@name"}, true},
		{"decimal that is none", "area", text("12,5"), []string{"type@area"}, true},
		{"decimal with exponent", "area", text("1e5"), []string{"type@area"}, true},
		{"boolean that is none", "alive", number(7), []string{"type@alive"}, true},
		{"unknown state blocks", "name", lienthong.Value{State: 9}, []string{"type@name"}, true},
		{"missing name", "name", null, []string{"required@name"}, false},
		{"blank name", "name", text("  "), []string{"required@name"}, false},
		{"given rule stands for required", "birth", null, []string{"birth.needed@birth"}, false},
		{"missing identity blocks", "key", null, []string{"required@key"}, true},
		{"malformed identity blocks", "key", malformed, []string{"type@key"}, true},
		{"too long", "name", text("Lê Ânh"), []string{"length@name"}, false},
		{"as long as can be", "name", text("Lễễễễ"), nil, false},
		{"blocking rule", "number", text("12"), []string{"number.digits@number"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			row := good()
			row[shape.FieldIndex(c.field)] = c.value
			var verdict Verdict
			checker := checker.Clone()
			checker.Check(row, instant(checkedAt), &verdict)
			var got []string
			for _, i := range verdict.Failed {
				got = append(got, checker.Rules()[i].Code+"@"+checker.Rules()[i].Field)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if verdict.Blocked != c.blocked {
				t.Errorf("Blocked = %v, want %v", verdict.Blocked, c.blocked)
			}
		})
	}
	for _, rule := range checker.Rules() {
		identifier := rule.Field == "key" || rule.Field == "number"
		if rule.Identifier != identifier {
			t.Errorf("%s of %s: Identifier = %v", rule.Code, rule.Field, rule.Identifier)
		}
		if rule.Vi == "" || rule.En == "" || rule.Group == "" || rule.Criterion == "" {
			t.Errorf("rule %s of %s is incomplete: %+v", rule.Code, rule.Field, rule)
		}
	}
	if checker.RuleIndex("number.digits", "number") < 0 || checker.RuleIndex("number.digits", "name") != -1 {
		t.Error("RuleIndex does not find rules by code and field")
	}
}

func TestCompileReportsEveryProblem(t *testing.T) {
	t.Parallel()
	rule := func(code, field string, check dictionary.Check) dictionary.Rule {
		return dictionary.Rule{Code: code, Field: field, Check: check}
	}
	wrong := []struct {
		rule dictionary.Rule
		want string
	}{
		{rule("no-field", "nothing", dictionary.Check{Digits: 3}), "quality.field"},
		{rule("no-check", "name", dictionary.Check{}), "quality.check"},
		{rule("two-checks", "name", dictionary.Check{Digits: 3, Tidy: true}), "quality.check"},
		{rule("digits-of-date", "birth", dictionary.Check{Digits: 3}), "quality.kind"},
		{rule("digits-negative", "name", dictionary.Check{Digits: -1}), "quality.bound"},
		{rule("pattern", "name", dictionary.Check{Pattern: "["}), "quality.pattern"},
		{rule("pattern-escape", "name", dictionary.Check{Pattern: "a)|(b"}), "quality.pattern"},
		{rule("length", "name", dictionary.Check{MinLength: 5, MaxLength: 2}), "quality.bound"},
		{rule("list", "name", dictionary.Check{CodeList: "nothing"}), "quality.code_list"},
		{rule("list-kind", "name", dictionary.Check{CodeList: "commune_before", AsOf: "sex"}), "quality.kind"},
		{rule("list-field", "name", dictionary.Check{CodeList: "commune_before", AsOf: "nothing"}), "quality.field"},
		{rule("as-of-alone", "name", dictionary.Check{AsOf: "birth"}), "quality.code_list"},
		{rule("one-of-kind", "birth", dictionary.Check{OneOf: []string{"a"}}), "quality.kind"},
		{rule("one-of-number", "members", dictionary.Check{OneOf: []string{"a"}}), "quality.bound"},
		{rule("range-kind", "name", dictionary.Check{Min: "1"}), "quality.kind"},
		{rule("range-integer", "members", dictionary.Check{Min: "1.5"}), "quality.bound"},
		{rule("range-decimal", "area", dictionary.Check{Max: "1e5"}), "quality.bound"},
		{rule("range-real", "ratio", dictionary.Check{Max: "x"}), "quality.bound"},
		{rule("range-date", "birth", dictionary.Check{Min: "01/02/2000"}), "quality.bound"},
		{rule("range-relative", "birth", dictionary.Check{Min: "now-5q"}), "quality.bound"},
		{rule("range-order", "members", dictionary.Check{Min: "5", Max: "4"}), "quality.bound"},
		{rule("range-order-date", "birth", dictionary.Check{Min: "2020-01-02", Max: "2020-01-01"}), "quality.bound"},
		{rule("age", "birth", dictionary.Check{MaxAge: "five"}), "quality.bound"},
		{rule("age-kind", "name", dictionary.Check{MaxAge: "5y"}), "quality.kind"},
		{rule("person-empty", "number", dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{}}), "quality.check"},
		{rule("person-kind", "number", dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{BirthDate: "name"}}), "quality.kind"},
		{rule("person-field", "number", dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{Sex: "nothing"}}), "quality.field"},
		{rule("order-field", "birth", dictionary.Check{NotBefore: "nothing"}), "quality.field"},
		{rule("order-kind", "birth", dictionary.Check{NotBefore: "name"}), "quality.kind"},
		{rule("cel-syntax", "birth", dictionary.Check{CEL: "birth <"}), "quality.cel"},
		{rule("cel-name", "birth", dictionary.Check{CEL: "nothing == 1"}), "quality.cel"},
		{rule("cel-type", "birth", dictionary.Check{CEL: "members + 1"}), "quality.cel"},
		{rule("cel-long", "birth", dictionary.Check{CEL: strings.Repeat(" ", maxExpression) + "true"}), "quality.cel"},
		{dictionary.Rule{Code: "group", Field: "name", Group: "odd", Check: dictionary.Check{Tidy: true}}, "quality.group"},
		{dictionary.Rule{Code: "criterion", Field: "name", Criterion: "odd", Check: dictionary.Check{Tidy: true}}, "quality.criterion"},
		{dictionary.Rule{Code: "weight", Field: "name", Weight: -1, Check: dictionary.Check{Tidy: true}}, "quality.weight"},
		{dictionary.Rule{Field: "name", Check: dictionary.Check{NFC: true}}, "quality.rule"},
		{rule("twice", "name", dictionary.Check{Tidy: true}), ""},
		{rule("twice", "name", dictionary.Check{NFC: true}), "quality.rule_twice"},
	}
	rules := make([]dictionary.Rule, len(wrong))
	var want []string
	for i, w := range wrong {
		rules[i] = w.rule
		if w.want != "" {
			want = append(want, w.want+" "+w.rule.Code)
		}
	}
	_, err := Compile(personShape(), rules, testLists(), nil)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("want joined errors, have %v", err)
	}
	var got []string
	for _, problem := range joined.Unwrap() {
		var coded *lienthong.Error
		if !errors.As(problem, &coded) || coded.Vi == "" || coded.En == "" {
			t.Fatalf("not an error for people: %v", problem)
		}
		code, _, _ := strings.Cut(strings.TrimPrefix(coded.Where, "population.person, rule "), ",")
		got = append(got, coded.Code+" "+code)
	}
	sortStrings := cmp.Transformer("sorted", func(in []string) map[string]int {
		counts := map[string]int{}
		for _, s := range in {
			counts[s]++
		}
		return counts
	})
	if diff := cmp.Diff(want, got, sortStrings); diff != "" {
		t.Error(diff)
	}
	if _, err := Compile(personShape(), nil, nil, nil); err != nil {
		t.Errorf("a shape without rules: %v", err)
	}
}

func TestChecksDoNotAllocate(t *testing.T) {
	checker, rows, at := benchmarkCase(t)
	var verdict Verdict
	for i := range rows {
		checker.Check(rows[i], at, &verdict)
	}
	i := 0
	if allocations := testing.AllocsPerRun(1000, func() {
		checker.Check(rows[i%len(rows)], at+int64(i), &verdict)
		i++
	}); allocations != 0 {
		t.Errorf("%v allocations per row", allocations)
	}
}

// Clones check the same rows at once and agree.
func TestClonesAgree(t *testing.T) {
	t.Parallel()
	checker, rows, at := benchmarkCase(t)
	tallies := make([]Tally, 4)
	var wait sync.WaitGroup
	for n := range tallies {
		clone := checker.Clone()
		wait.Go(func() {
			var verdict Verdict
			for i := range rows {
				clone.Check(rows[i], at, &verdict)
				tallies[n].Add(&verdict)
			}
		})
	}
	wait.Wait()
	for n := range tallies[1:] {
		if diff := cmp.Diff(tallies[0], tallies[n+1]); diff != "" {
			t.Error(diff)
		}
	}
	var merged Tally
	merged.Merge(&tallies[0])
	merged.Merge(&tallies[1])
	if merged.Rows != 2*int64(len(rows)) || merged.Blocked != 2*tallies[0].Blocked || tallies[0].Blocked == 0 {
		t.Errorf("merged tally %+v of two times %+v", merged, tallies[0])
	}
	for i, failed := range merged.Failed {
		if failed != 2*tallies[0].Failed[i] {
			t.Errorf("rule %d: %d, want twice %d", i, failed, tallies[0].Failed[i])
		}
	}
}

func TestParseInterval(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"": 0, "24h": 24 * time.Hour, "30d": 720 * time.Hour, "1y": 8760 * time.Hour, "1y2mo": (365 + 60) * 24 * time.Hour,
		"90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "2w": 336 * time.Hour, "45s": 45 * time.Second,
	} {
		if got, err := ParseInterval(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"h", "24", "-5h", "1 y", "5q", "99999999999999999999h", "999999y", "1.5h"} {
		if got, err := ParseInterval(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

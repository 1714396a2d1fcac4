package quality

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

func TestExpressions(t *testing.T) {
	t.Parallel()
	type values = map[string]lienthong.Value
	for _, c := range []struct {
		name string
		cel  string
		row  values
		want bool
	}{
		{"true", `members > 2`, values{"members": number(3)}, true},
		{"false", `members > 2`, values{"members": number(2)}, false},
		{"null passes", `members > 2`, values{}, true},
		{"null is not in a list, and still passes", `sex in ["M", "F"]`, values{}, true},
		{"conditional requirement met", `sex != "M" || number != null`, values{"sex": text("M"), "number": text("x")}, true},
		{"conditional requirement broken", `sex != "M" || number != null`, values{"sex": text("M")}, false},
		{"conditional requirement does not apply", `sex != "M" || number != null`, values{"sex": text("F")}, true},
		{"null dates can be spoken of", `death == null || death >= birth`, values{"birth": date("2000-01-01")}, true},
		{"dates", `death == null || death >= birth`, values{"birth": date("2000-01-01"), "death": date("1999-12-31")}, false},
		{"null that cannot be computed passes", `number != null || members > 2`, values{}, true},
		{"unchanged passes", `sex != "M" || number != null`, values{"sex": text("M"), "number": unchanged}, true},
		{"malformed passes", `birth <= now`, values{"birth": malformed}, true},
		{"not of its kind passes", `alive`, values{"alive": number(7)}, true},
		{"boolean", `alive`, values{"alive": number(0)}, false},
		{"now", `birth <= now`, values{"birth": date("2026-11-23")}, true},
		{"after now", `birth <= now`, values{"birth": date("2026-11-24")}, false},
		{"year", `birth.getFullYear() == 2000`, values{"birth": date("2000-12-31")}, true},
		{"timestamp", `seen - timestamp("2026-01-01T00:00:00Z") < duration("1h")`, values{"seen": number(instant("2026-01-01T01:00:00Z"))}, false},
		{"decimal", `area * 2.0 > cost`, values{"area": text("1.5"), "cost": text("2.99")}, true},
		{"real", `ratio < 0.5`, values{"ratio": realValue(0.5)}, false},
		{"text functions", `number.substring(0, 3) == "096" && size(name) == 2`, values{"number": text("096095012345"), "name": text("Lễ")}, true},
		{"pattern", `number.matches("^[0-9]+$")`, values{"number": text("12x")}, false},
		{"blank text is seen", `name.trim() != ""`, values{"name": text("  ")}, false},
		{"failure on known values breaks the rule", `int(number) > 5`, values{"number": text("x")}, false},
		{"division by zero breaks the rule", `100 / members > 5`, values{"members": number(0)}, false},
		{"bytes", `size(photo) < 3`, values{"photo": text("abc")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rule := dictionary.Rule{Field: "name", Check: dictionary.Check{CEL: c.cel}}
			if got := passes(t, rule, instant(checkedAt), c.row); got != c.want {
				t.Errorf("%s: passes = %v, want %v", c.cel, got, c.want)
			}
		})
	}
}

// twins are rules written both ways: every check in every form that it has. On text that is
// not blank both must agree, for every row. An expression says days in UTC and knows neither
// calendar spans nor normal forms, so it names the days that the time of the check gives, and
// for NFC what the rows can have: a mark after a plain letter.
func twins() [][2]dictionary.Rule {
	pair := func(field string, check dictionary.Check, cel string) [2]dictionary.Rule {
		return [2]dictionary.Rule{
			{Code: "closure " + cel, Field: field, Check: check},
			{Code: "cel " + cel, Field: field, Check: dictionary.Check{CEL: cel}},
		}
	}
	return [][2]dictionary.Rule{
		pair("number", dictionary.Check{Digits: 12}, `number.matches("^[0-9]{12}$")`),
		pair("number", dictionary.Check{Pattern: `0[35789][0-9]{8}`}, `number.matches("\\A0[35789][0-9]{8}\\z")`),
		pair("name", dictionary.Check{MinLength: 2, MaxLength: 6}, `size(name) >= 2 && size(name) <= 6`),
		pair("name", dictionary.Check{Tidy: true}, `!name.matches("^\\s|\\s$|\\s\\s")`),
		pair("sex", dictionary.Check{OneOf: []string{"M", "F", "U"}}, `sex in ["M", "F", "U"]`),
		pair("members", dictionary.Check{Min: "1", Max: "30"}, `members >= 1 && members <= 30`),
		pair("members", dictionary.Check{OneOf: []string{"1", "2", "30"}}, `members in [1, 2, 30]`),
		pair("area", dictionary.Check{Min: "0.5", Max: "100"}, `area >= 0.5 && area <= 100.0`),
		pair("ratio", dictionary.Check{Min: "0", Max: "1"}, `ratio >= 0.0 && ratio <= 1.0`),
		pair("birth", dictionary.Check{Min: "1900-01-01", Max: "2026-11-23"},
			`birth >= timestamp("1900-01-01T00:00:00Z") && birth <= timestamp("2026-11-23T00:00:00Z")`),
		pair("seen", dictionary.Check{MaxAge: "720h"}, `seen >= now - duration("720h")`),
		pair("seen", dictionary.Check{Max: "now"}, `seen <= now`),
		pair("death", dictionary.Check{NotBefore: "birth"}, `death >= birth`),
		pair("number", dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{BirthDate: "birth", Sex: "sex"}},
			`!number.matches("^[0-9]{12}$") || (
				(sex == null || !(sex in ["M", "m"]) || int(number.substring(3, 4)) % 2 == 0) &&
				(sex == null || !(sex in ["F", "f"]) || int(number.substring(3, 4)) % 2 == 1) &&
				(birth == null || birth.getFullYear() == 1900 + 100 * (int(number.substring(3, 4)) / 2) + int(number.substring(4, 6))))`),
		pair("commune", dictionary.Check{Required: true}, `commune != null`),
		pair("name", dictionary.Check{PersonName: true},
			`name.matches("\\A[ \\x{85}\\pZ]*(\\pL[\\pL\\p{Mn}\\p{Mc}'’ʼ‐‑-]*[ \\x{85}\\pZ]+)+\\pL[\\pL\\p{Mn}\\p{Mc}'’ʼ‐‑-]*[ \\x{85}\\pZ]*\\z")`),
		pair("name", dictionary.Check{NFC: true}, `!name.matches("[A-Za-z]\\pM")`),
		pair("name", dictionary.Check{MaxLength: 2}, `size(name) <= 2`),
		pair("name", dictionary.Check{OneOf: []string{"Nguyễn Văn An", "Lê An"}}, `name in ["Nguyễn Văn An", "Lê An"]`),
		pair("sex", dictionary.Check{OneOf: []string{"M", "F", "U", "1", "2", "3", "4", "5", "6"}}, `sex in ["M", "F", "U", "1", "2", "3", "4", "5", "6"]`),
		pair("commune", dictionary.Check{CodeList: "commune_before"}, `commune == "00001" && now <= timestamp("2025-06-30T00:00:00Z")`),
		pair("commune", dictionary.Check{CodeList: "commune_before", AsOf: "birth"}, `commune == "00001" && birth <= timestamp("2025-06-30T00:00:00Z")`),
		pair("commune", dictionary.Check{CodeList: "commune_before", AsOf: "seen"}, `commune == "00001" && seen + duration("7h") < timestamp("2025-07-01T00:00:00Z")`),
		pair("birth", dictionary.Check{Min: "now-120y", Max: "now"},
			`birth >= timestamp("1906-11-23T00:00:00Z") && birth <= timestamp("2026-11-23T00:00:00Z")`),
		pair("birth", dictionary.Check{MaxAge: "5y1mo3d"}, `birth >= timestamp("2021-10-20T00:00:00Z")`),
		pair("seen", dictionary.Check{Min: "2026-11-01", Max: "2026-11-23"},
			`seen >= timestamp("2026-10-31T17:00:00Z") && seen < timestamp("2026-11-23T17:00:00Z")`),
		pair("seen", dictionary.Check{Min: "2026-11-23T16:00:00+07:00"}, `seen >= timestamp("2026-11-23T09:00:00Z")`),
		pair("seen", dictionary.Check{NotBefore: "birth"}, `seen + duration("7h") >= birth`),
		pair("members", dictionary.Check{NotBefore: "key"}, `members >= key`),
		pair("cost", dictionary.Check{NotBefore: "area"}, `cost >= area`),
		pair("number", dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{Sex: "sex"}},
			`!number.matches("^[0-9]{12}$") || !(sex in ["M", "m", "F", "f"]) || (int(number.substring(3, 4)) % 2 == 0) == (sex in ["M", "m"])`),
		pair("area", dictionary.Check{CEL: `area < 50.0`}, `50.0 > area`),
	}
}

// TestTwinsAreOfEveryCheck: a check that is added later needs its twin.
func TestTwinsAreOfEveryCheck(t *testing.T) {
	t.Parallel()
	c := compiler{shape: personShape()}
	seen := map[checkKind]bool{}
	for _, pair := range twins() {
		seen[c.kindOf(&pair[0])] = true
	}
	for kind := checkRequired; kind <= checkCEL; kind++ {
		if !seen[kind] {
			t.Errorf("no twin has check %d", kind)
		}
	}
	if len(c.problems) > 0 {
		t.Error(c.problems)
	}
}

type twinChecker struct {
	shape   *lienthong.Shape
	checker *Checker
	pairs   [][2]int
}

func newTwinChecker(tb testing.TB) *twinChecker {
	tb.Helper()
	var rules []dictionary.Rule
	for _, pair := range twins() {
		rules = append(rules, pair[0], pair[1])
	}
	w := &twinChecker{shape: personShape()}
	var err error
	if w.checker, err = Compile(w.shape, rules, testLists(), nil); err != nil {
		tb.Fatal(err)
	}
	for _, pair := range twins() {
		w.pairs = append(w.pairs, [2]int{w.checker.RuleIndex(pair[0].Code, pair[0].Field), w.checker.RuleIndex(pair[1].Code, pair[1].Field)})
	}
	return w
}

// compare checks one row and returns how often each pair failed together.
func (w *twinChecker) compare(t *testing.T, row []lienthong.Value, failures []int) {
	t.Helper()
	var verdict Verdict
	w.checker.Check(row, instant(checkedAt), &verdict)
	failed := map[int]bool{}
	for _, rule := range verdict.Failed {
		failed[rule] = true
	}
	partly := false // the closure judges the birth date without the sex; an expression must have both
	for _, name := range []string{"birth", "sex"} {
		state := row[w.shape.FieldIndex(name)].State
		partly = partly || state != lienthong.Present && state != lienthong.Null
	}
	partly = partly || !validText(row[w.shape.FieldIndex("sex")].Bytes)
	for n, pair := range w.pairs {
		if partly && w.checker.Rules()[pair[0]].Check.PersonNumber != nil {
			continue
		}
		if failed[pair[0]] != failed[pair[1]] {
			t.Errorf("%s: the closure says failed=%v, the expression %v, on %s",
				w.checker.Rules()[pair[0]].Code, failed[pair[0]], failed[pair[1]], describe(w.shape, row))
		}
		if failed[pair[0]] && failures != nil {
			failures[n]++
		}
	}
}

func describe(shape *lienthong.Shape, row []lienthong.Value) string {
	out := ""
	for i := range row {
		out += shape.Fields[i].Name + "=" + string([]byte{"NPUM?"[min(int(row[i].State), 4)]}) + ":" +
			string(row[i].AppendText(nil, shape.Fields[i].Kind)) + " "
	}
	return out
}

func TestExpressionsAgreeWithClosures(t *testing.T) {
	t.Parallel()
	w := newTwinChecker(t)
	random := rand.New(rand.NewPCG(7, 11))
	failures := make([]int, len(w.pairs))
	const rows = 30_000
	for range rows {
		w.compare(t, randomRow(random, w.shape), failures)
		if t.Failed() {
			return
		}
	}
	for n, pair := range w.pairs {
		if failures[n] < rows/200 || failures[n] > rows*99/100 {
			t.Errorf("%s failed on %d of %d rows: the rows do not try it", w.checker.Rules()[pair[0]].Code, failures[n], rows)
		}
	}
}

// randomRow mixes values at and around the limits of the twins.
func randomRow(random *rand.Rand, shape *lienthong.Shape) []lienthong.Value {
	row := make([]lienthong.Value, len(shape.Fields))
	for i := range row {
		kind := shape.Fields[i].Kind
		switch random.IntN(12) {
		case 0:
			row[i] = null
			continue
		case 1:
			row[i] = unchanged
			continue
		case 2:
			row[i] = malformed
			continue
		}
		pick := func(words ...string) lienthong.Value { return text(words[random.IntN(len(words))]) }
		switch name := shape.Fields[i].Name; {
		case name == "number":
			row[i] = pick("001095012345", "001195012345", "001295012345", "001395012345", "0912345678", "01234567890", "00109501234x", "0912345678\n", "001100012345", "001200012345", "001226012345")
		case name == "name":
			row[i] = pick("A", "Lê", "Lê An", " An", "An ", "A  B", "Nguyễn", "Nguyễn Văn An", "Ng\tAn", "a\n\nb", "Le\u0302 An", "An1 Lê", "H'Hen Niê", "-An Lê")
		case name == "commune":
			row[i] = pick("00001", "00002")
		case name == "sex":
			row[i] = pick("M", "F", "U", "m", "f", "X", "MF")
		case kind == lienthong.Text || kind == lienthong.Binary:
			row[i] = pick("a", "bb")
		case kind == lienthong.Decimal:
			row[i] = pick("0.5", "0.49", "100", "100.5", "-3", "0", "12.25", "NaN")
		case kind == lienthong.Real:
			row[i] = realValue([]float64{0, 1, 0.5, -0.25, 1.5, math.NaN(), math.Inf(1)}[random.IntN(7)])
		case kind == lienthong.Boolean:
			row[i] = number(random.Int64N(2))
		case kind == lienthong.Integer:
			row[i] = number([]int64{0, 1, 2, 15, 30, 31, -5}[random.IntN(7)])
		case kind == lienthong.Timestamp:
			row[i] = number(instant(checkedAt) + []int64{0, 1, -1, -720 * 3600e6, -720*3600e6 - 1, 86400e6, -40 * 86400e6, 8*3600e6 - 1, 8 * 3600e6, -510 * 86400e6, -600 * 86400e6}[random.IntN(11)])
		case kind == lienthong.Date:
			row[i] = number([]int64{day("1900-01-01"), day("1899-12-31"), day("2026-11-23"), day("2026-11-24"), day("1995-02-28"), day("2000-02-29"), day("2000-01-01"), day("1999-12-31"), day("2021-10-20"), day("2021-10-19"), day("2025-06-30"), day("2025-07-01"), day("1906-11-22")}[random.IntN(13)])
		}
	}
	return row
}

// FuzzCheck feeds arbitrary values to every check. Nothing may panic, and
// expressions and closures must agree on values that both can hold.
func FuzzCheck(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add([]byte("\x01\x0c001095012345\x01\x05Lê An"), int64(1))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), int64(math.MaxInt64))
	f.Add([]byte{1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0}, int64(math.MinInt64))
	w := newTwinChecker(f)
	every, err := Compile(w.shape, []dictionary.Rule{
		{Code: "name", Field: "name", Check: dictionary.Check{PersonName: true}},
		{Code: "nfc", Field: "name", Check: dictionary.Check{NFC: true}},
		{Code: "required", Field: "name", Check: dictionary.Check{Required: true}},
		{Code: "list", Field: "commune", Check: dictionary.Check{CodeList: "commune_before", AsOf: "birth"}},
		{Code: "list.seen", Field: "commune", Check: dictionary.Check{CodeList: "commune_before", AsOf: "seen"}},
		{Code: "list.now", Field: "commune", Check: dictionary.Check{CodeList: "commune_before"}},
		{Code: "age", Field: "birth", Check: dictionary.Check{MaxAge: "5y1mo3d"}},
		{Code: "range", Field: "seen", Check: dictionary.Check{Min: "now-100y", Max: "now+1y"}},
		{Code: "mixed", Field: "seen", Check: dictionary.Check{NotBefore: "birth"}},
		{Code: "cost", Field: "cost", Check: dictionary.Check{NotBefore: "area"}},
		{Code: "cel", Field: "name", Check: dictionary.Check{CEL: `name != null && birth < now && seen - now > duration("1h") && area > ratio && alive && size(photo) > members`}},
	}, testLists(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, at int64) {
		row := make([]lienthong.Value, len(w.shape.Fields))
		alike := make([]lienthong.Value, len(row)) // what expressions can hold as well
		for i := range row {
			if len(data) < 2 {
				break
			}
			row[i].State = lienthong.State(data[0] % 6)
			size := min(int(data[1]%32), len(data)-2)
			row[i].Bytes = data[2 : 2+size]
			if size >= 8 {
				row[i].Int = int64(binary.LittleEndian.Uint64(row[i].Bytes))
			} else if size > 0 {
				row[i].Int = int64(int8(row[i].Bytes[0]))
			}
			data = data[2+size:]
			kind := w.shape.Fields[i].Kind
			// CEL holds decimals as doubles, times within limits of its own, and sees blank
			// text; \s of RE2 is the white space of ASCII without the vertical tab.
			name := w.shape.Fields[i].Name
			if kind == lienthong.Decimal || kind == lienthong.Text && blank(row[i].Bytes) ||
				kind == lienthong.Date && (row[i].Int < -700_000 || row[i].Int > 2_900_000) ||
				kind == lienthong.Timestamp && (row[i].Int < -62e15 || row[i].Int > 250e15) ||
				name == "name" && !asciiGraphic(row[i].Bytes) {
				continue
			}
			alike[i] = row[i]
		}
		var verdict Verdict
		every.Check(row, at, &verdict)
		findings := every.Findings(nil, &verdict, row, "digest", at)
		if len(findings) != len(verdict.Failed) {
			t.Errorf("%d findings of %d failed rules", len(findings), len(verdict.Failed))
		}
		blocked := false
		for _, rule := range verdict.Failed {
			blocked = blocked || every.Rules()[rule].Blocking
		}
		if blocked != verdict.Blocked {
			t.Errorf("Blocked = %v, its rules say %v", verdict.Blocked, blocked)
		}
		w.compare(t, alike, nil)
	})
}

func asciiGraphic(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

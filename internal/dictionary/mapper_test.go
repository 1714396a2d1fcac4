package dictionary

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
	"golang.org/x/text/unicode/norm"
)

func present(s string) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: []byte(s)}
}

func number(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

func malformed(s string) lienthong.Value {
	return lienthong.Value{State: lienthong.Malformed, Bytes: []byte(s)}
}

func micros(s string) int64 {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return at.UnixMicro()
}

func TestMapOneColumn(t *testing.T) {
	const text, integer, decimal, real, boolean, date, timestamp = lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean, lienthong.Date, lienthong.Timestamp
	null, unchanged := lienthong.Value{}, lienthong.Value{State: lienthong.Unchanged}
	born := civilDays(1990, 3, 15)
	tests := []struct {
		name       string
		from       lienthong.Kind
		element    string
		transforms string
		in, want   lienthong.Value
	}{
		{"copy", text, "address.line", "", present("Số 5"), present("Số 5")},
		{"null", text, "address.line", "", null, null},
		{"unchanged", text, "address.line", "", unchanged, unchanged},
		{"unchanged through transforms", text, "address.line", "[trim]", unchanged, unchanged},
		{"unchanged through conversion", text, "person.birth_date", "", unchanged, unchanged},
		{"empty is null", text, "address.line", "", present(""), null},
		{"blank after trim is null", text, "address.line", "[trim]", present(" \u00a0 "), null},
		{"NFD becomes NFC", text, "address.line", "", present(norm.NFD.String("Hoà Bình")), present("Hoà Bình")},
		{"not UTF-8", text, "address.line", "", present("a\xffb"), malformed("a\xffb")},
		{"half a character", text, "address.line", "", present("Hoa\xe1\xba"), malformed("Hoa\xe1\xba")},
		{"NUL", text, "address.line", "", present("abcdefgh\x00"), malformed("abcdefgh\x00")},
		{"emoji stays", text, "address.line", "", present("nhà 🏠"), present("nhà 🏠")},
		{"source could not read it", text, "address.line", "", malformed("x"), malformed("x")},

		{"trim", text, "address.line", "[trim]", present("\u00a0 a b\t\u200b"), present("a b")},
		{"collapse", text, "address.line", "[collapse]", present("a \u00a0 b"), present("a b")},
		{"upper", text, "address.line", "[upper]", present("đường ấp"), present("ĐƯỜNG ẤP")},
		{"lower", text, "address.line", "[lower]", present("ĐƯỜNG ẤP"), present("đường ấp")},
		{"in order", text, "address.line", "[trim, upper, collapse]", present("  a  b "), present("A B")},
		{"digits", text, "person.phone", "[digits]", present("+84 (91) 234-567"), present("8491234567")},
		{"pad", text, "person.number", "['pad:12']", present("96190001234"), present("096190001234")},
		{"pad leaves letters", text, "person.number", "['pad:12']", present("9619A"), present("9619A")},
		{"pad an integer", integer, "person.number", "['pad:12']", number(1190001234), present("001190001234")},
		{"family name", text, "person.full_name", "['part:first']", present("Nguyễn Thị Thu Hà"), present("Nguyễn")},
		{"middle name", text, "person.full_name", "['part:middle']", present("Nguyễn Thị Thu Hà"), present("Thị Thu")},
		{"given name", text, "person.full_name", "['part:last']", present("Nguyễn Thị Thu Hà "), present("Hà")},
		{"no middle name", text, "person.full_name", "['part:middle']", present("Nguyễn Hà"), null},
		{"one word is a given name", text, "person.full_name", "['part:first']", present("Hà"), null},
		{"code", text, "person.sex", "['code:sex']", present("2"), present("F")},
		{"code by name", text, "person.sex", "[trim, 'code:sex']", present(" NỮ "), present("F")},
		{"unknown code stays", text, "person.sex", "['code:sex']", present("9"), present("9")},
		{"code of a number", integer, "person.sex", "['code:sex']", number(1), present("M")},
		{"own table", text, "person.sex", "['code:own']", present("a"), present("F")},

		{"ISO date", text, "person.birth_date", "", present("1990-03-15"), number(born)},
		{"Vietnamese date", text, "person.birth_date", "['date:02/01/2006']", present("15/03/1990"), number(born)},
		{"second layout", text, "person.birth_date", "['date:02/01/2006', 'date:2006']", present("15.03.1990"), malformed("15.03.1990")},
		{"several layouts", text, "person.birth_date", "['date:02/01/2006', 'date:2-1-2006']", present("15-3-1990"), number(born)},
		{"no such day", text, "person.birth_date", "['date:02/01/2006']", present("31/02/1990"), malformed("31/02/1990")},
		{"leap day", text, "person.birth_date", "['date:02/01/2006']", present("29/02/2000"), number(civilDays(2000, 2, 29))},
		{"no leap day", text, "person.birth_date", "['date:02/01/2006']", present("29/02/1900"), malformed("29/02/1900")},
		{"blank date", text, "person.birth_date", "", present("  "), null},
		{"malformed keeps the text as it was", text, "person.birth_date", "[digits]", present("ngày 5"), malformed("ngày 5")},
		{"number as date", integer, "person.birth_date", "['date:20060102']", number(19900315), number(born)},
		{"date", date, "person.birth_date", "", number(born), number(born)},
		{"date with layout", date, "person.birth_date", "['date:02/01/2006']", number(born), number(born)},
		{"what the source could not read", date, "person.birth_date", "['date:02/01/2006']", malformed("15/03/1990"), number(born)},
		{"date to text", date, "address.line", "", number(born), present("1990-03-15")},
		{"timestamp to date in Vietnam", timestamp, "person.birth_date", "", number(micros("1990-03-14T17:00:00Z")), number(born)},
		{"just before midnight", timestamp, "person.birth_date", "", number(micros("1990-03-14T16:59:59.999999Z")), number(born - 1)},
		{"timestamp to date in UTC", timestamp, "person.birth_date", "[utc]", number(micros("1990-03-14T23:00:00Z")), number(born - 1)},
		{"before 1970", timestamp, "person.birth_date", "", number(micros("1960-01-01T00:00:00+07:00")), number(civilDays(1960, 1, 1))},

		{"timestamp with offset", text, "record.updated_at", "", present("2026-01-02T03:04:05.123456+07:00"), number(micros("2026-01-01T20:04:05.123456Z"))},
		{"timestamp in Vietnam", text, "record.updated_at", "", present("2026-01-02 03:04:05"), number(micros("2026-01-02T03:04:05+07:00"))},
		{"timestamp in UTC", text, "record.updated_at", "[utc]", present("2026-01-02 03:04:05"), number(micros("2026-01-02T03:04:05Z"))},
		{"date to timestamp", date, "record.updated_at", "", number(born), number(micros("1990-03-15T00:00:00+07:00"))},
		{"timestamp", timestamp, "record.updated_at", "", number(5), number(5)},
		{"canonical text again", text, "record.updated_at", "", present("1969-12-31T23:59:59.999999Z"), number(-1)},

		{"integer", text, "household.members", "", present(" 12 "), number(12)},
		{"no integer", text, "household.members", "", present("12.5"), malformed("12.5")},
		{"smallest", text, "household.members", "", present("-9223372036854775808"), number(math.MinInt64)},
		{"too large", text, "household.members", "", present("9223372036854775808"), malformed("9223372036854775808")},
		{"decimal to integer", decimal, "household.members", "", present("12.00"), number(12)},
		{"decimal with fraction", decimal, "household.members", "", present("12.01"), malformed("12.01")},
		{"real to integer", real, "household.members", "", number(realBits(4)), number(4)},
		{"real with fraction", real, "household.members", "", number(realBits(4.5)), malformed("4.5")},
		{"boolean to integer", boolean, "household.members", "", number(1), number(1)},
		{"decimal", text, "parcel.area", "", present("+0012.50"), present("12.50")},
		{"comma", text, "parcel.area", "['decimal:comma']", present("1.234,5"), present("1234.5")},
		{"comma, groups wrong", text, "parcel.area", "['decimal:comma']", present("1.23,5"), malformed("1.23,5")},
		{"English groups", text, "parcel.area", "", present("1,234.5"), malformed("1,234.5")},
		{"exponent", text, "parcel.area", "", present("1e5"), malformed("1e5")},
		{"integer to decimal", integer, "parcel.area", "", number(-7), present("-7")},
		{"real to decimal", real, "parcel.area", "", number(realBits(0.1)), present("0.1")},
		{"negative zero", real, "parcel.area", "", number(realBits(math.Copysign(0, -1))), present("0")},
		{"not a number", real, "parcel.area", "", number(realBits(math.NaN())), malformed("NaN")},
		{"boolean", text, "link.partial", "", present("TRUE"), number(1)},
		{"one", integer, "link.partial", "", number(1), number(1)},
		{"two", integer, "link.partial", "", number(2), malformed("2")},
		{"không", text, "link.partial", "", present("không"), number(0)},
		{"empty boolean", text, "link.partial", "", present(""), null},
		{"boolean to text", boolean, "address.line", "", number(1), present("true")},
	}
	d := load(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			yaml := minimal + "  - {column: x, element: " + tt.element
			if tt.transforms != "" {
				yaml += ", transforms: " + tt.transforms
			}
			yaml += "}\ncodes: {own: {a: F}}\n"
			if tt.name == "second layout" {
				if _, err := ParseDefinition("f.yaml", []byte(yaml)); err == nil {
					t.Error("a layout without month and day is accepted")
				}
				return
			}
			def, err := ParseDefinition("f.yaml", []byte(yaml))
			if err != nil {
				t.Fatal(err)
			}
			mapper, err := d.Compile(def, []lienthong.Column{{Name: "k"}, {Name: "x", Kind: tt.from}}, 1)
			if err != nil {
				t.Fatal(err)
			}
			src := []lienthong.Value{present("1"), tt.in}
			dst := make([]lienthong.Value, 2)
			for range 2 { // the second time scratch space is reused
				mapper.Map(src, dst)
			}
			if diff := cmp.Diff(clean(tt.want), clean(dst[1])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// clean drops what the state makes meaningless.
func clean(v lienthong.Value) lienthong.Value {
	if len(v.Bytes) == 0 {
		v.Bytes = nil
	}
	if v.State != lienthong.Present {
		v.Int = 0
	}
	return v
}

func TestMapJoinsColumns(t *testing.T) {
	def, err := ParseDefinition("f.yaml", []byte(minimal+"  - {columns: [a, b, n], element: address.line, transforms: [trim]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := load(t).Compile(def, []lienthong.Column{{Name: "k"}, {Name: "a"}, {Name: "b"}, {Name: "n", Kind: lienthong.Integer}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	null, unchanged := lienthong.Value{}, lienthong.Value{State: lienthong.Unchanged}
	tests := []struct {
		name    string
		a, b, n lienthong.Value
		want    lienthong.Value
	}{
		{"all", present("Nguyễn Thị"), present("Hà"), number(5), present("Nguyễn Thị Hà 5")},
		{"null is left out", present("a"), null, number(5), present("a 5")},
		{"empty is left out", present(""), present("b"), null, present("b")},
		{"all null", null, null, null, null},
		{"all unchanged", unchanged, unchanged, unchanged, unchanged},
		{"some unchanged cannot be known", present("a"), unchanged, number(5), malformed("a 5")},
		{"unchanged and null", unchanged, null, null, lienthong.Value{State: lienthong.Malformed}},
		{"malformed part", malformed("?"), present("b"), null, malformed("? b")},
		{"NFD across", present(norm.NFD.String("Hoà")), present(norm.NFD.String("ấp")), null, present("Hoà ấp")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := make([]lienthong.Value, 2)
			mapper.Map([]lienthong.Value{present("1"), tt.a, tt.b, tt.n}, dst)
			if diff := cmp.Diff(clean(tt.want), clean(dst[1])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMapDoesNotAllocateAndLeavesTheSourceAlone(t *testing.T) {
	def, err := ParseDefinition("f.yaml", []byte(benchDefinition))
	if err != nil {
		t.Fatal(err)
	}
	columns, src := benchRow()
	src[3] = present(norm.NFD.String("Hoà"))
	src[4] = present("không rõ") // a date that fails
	mapper, err := load(t).Compile(def, columns, 1)
	if err != nil {
		t.Fatal(err)
	}
	kept := make([]string, len(src))
	for i := range src {
		kept[i] = string(src[i].Bytes)
	}
	dst := make([]lienthong.Value, len(mapper.Shape.Fields))
	if n := testing.AllocsPerRun(200, func() { mapper.Map(src, dst) }); n != 0 {
		t.Errorf("Map allocates %v times a row", n)
	}
	for i := range src {
		if string(src[i].Bytes) != kept[i] {
			t.Errorf("column %d was changed", i)
		}
	}
	if string(dst[2].Bytes) != "Nguyễn Thị Hoà" || string(dst[4].Bytes) != "F" || dst[3].State != lienthong.Malformed {
		t.Errorf("%q %q %v", dst[2].Bytes, dst[4].Bytes, dst[3].State)
	}
	clone := mapper.Clone()
	other := make([]lienthong.Value, len(dst))
	again := slices.Clone(src)
	again[3] = present("Vân")
	clone.Map(again, other)
	if string(dst[2].Bytes) != "Nguyễn Thị Hoà" || string(other[2].Bytes) != "Nguyễn Thị Vân" {
		t.Errorf("the clone shares the scratch space: %q %q", dst[2].Bytes, other[2].Bytes)
	}
}

// The quick look may send text to the full check, but must never disagree with it.
func TestClassifyAgreesWithTheFullCheck(t *testing.T) {
	clean := 0
	for r := rune(0); r <= 0x1FFFF; r++ {
		if r >= 0xD800 && r < 0xE000 {
			continue
		}
		for _, s := range []string{string(r), "e" + string(r), string(r) + "a\u0301"[:1], "abcdefgh" + string(r)} {
			b := []byte(s)
			quick := classify(b)
			if quick == textClean {
				clean++
			}
			if quick != textCheck && quick != checkText(b) {
				t.Fatalf("%q: quick %v, full %v", s, quick, checkText(b))
			}
		}
	}
	if clean < 4*(0x2FF+0xFF) {
		t.Errorf("only %d texts pass quickly", clean)
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("Nguyễn Thị Hoà"))
	f.Add([]byte("a\u0300\u0323 \xff\x00"))
	f.Add([]byte("abcdefg\xc3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if quick := classify(b); quick != textCheck && quick != checkText(b) {
			t.Fatalf("quick %v, full %v", quick, checkText(b))
		}
		m := &Mapper{}
		v := m.text(b, b)
		valid := utf8.Valid(b) && !slices.Contains(b, 0)
		if (v.State == lienthong.Present) != valid || valid && string(v.Bytes) != norm.NFC.String(string(b)) {
			t.Fatalf("%q -> %v %q", b, v.State, v.Bytes)
		}
		hangul := strings.ContainsFunc(string(b), func(r rune) bool { return r >= 0xAC00 && r <= 0xD7A3 })
		if valid && !hangul { // syllables of Hangul are composed by arithmetic, which keys of Vietnamese names need not know
			s := string(b)
			if MatchKey(s) != MatchKey(norm.NFD.String(s)) || MatchKey(MatchKey(s)) != MatchKey(s) {
				t.Fatalf("the key of %q is not stable: %q %q %q", s, MatchKey(s), MatchKey(norm.NFD.String(s)), MatchKey(MatchKey(s)))
			}
		}
		for _, op := range []step{{op: opTrim}, {op: opUpper}, {op: opLower}, {op: opCollapse}, {op: opDigits}, {op: opPad, width: 12}, {op: opComma}, {op: opPartFirst}, {op: opPartMiddle}, {op: opPartLast}} {
			once, _ := op.apply(b, nil)
			if twice, _ := op.apply(once, nil); op.op == opTrim || op.op == opCollapse || op.op == opDigits || op.op == opPad {
				if string(once) != string(twice) {
					t.Fatalf("operation %d is not idempotent on %q: %q %q", op.op, b, once, twice)
				}
			}
		}
	})
}

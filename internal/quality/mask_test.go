package quality

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

func TestMask(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value string
		kind  lienthong.Kind
		want  string
	}{
		{"096012345678", lienthong.Text, "0960********"},
		{"0912345678", lienthong.Text, "091*******"},
		{"12", lienthong.Text, "**"},
		{"0960I2345678", lienthong.Text, "0960********"},
		{"Nguyễn Văn A", lienthong.Text, "N*** V** A"},
		{"Nguye\u0302\u0303n Va\u0306n A", lienthong.Text, "N*** V** A"},
		{"Lê A", lienthong.Text, "L* *"},
		{"A B C", lienthong.Text, "A * *"},
		{"Ê", lienthong.Text, "*"},
		{"  Trần  Thị Bình ", lienthong.Text, "  T***  T** B*** "},
		{"Số 12, đường Nguyễn Huệ, khóm 3", lienthong.Text, "S* **, đ*** N*** H**, *** *"},
		{"an.nguyen@example.vn", lienthong.Text, "a*.n***@e***.v*"},
		{"2000-02-31", lienthong.Date, "****-**-**"},
		{"2000-02-31T10:00:00.000000Z", lienthong.Timestamp, "****-**-*****:**:**.*******"},
		{"true", lienthong.Boolean, "***"},
		{"12345.67", lienthong.Decimal, "12***.**"},
		{"-5", lienthong.Integer, "-*"},
		{"anything", lienthong.Binary, "***"},
		{"", lienthong.Text, ""},
		{"a\tb\u0000c\ufffdd", lienthong.Text, "a␣*?*?*"},
		{strings.Repeat("1 ", 50), lienthong.Text, "1 " + strings.Repeat("* ", 19) + "…"},
	} {
		if got := Mask([]byte(c.value), c.kind); got != c.want {
			t.Errorf("Mask(%q, %s) = %q, want %q", c.value, c.kind, got, c.want)
		}
	}
}

func FuzzMask(f *testing.F) {
	for _, seed := range []string{"096012345678", "Nguyễn Văn A", "A B C D E F", "1 2 3 4 5 6", "đ", "2000-01-01", "\xff\xfe", "٠١٢٣٤٥٦٧٨", "aa\u0301\u0302b c9d8"} {
		for kind := range 8 {
			f.Add([]byte(seed), kind)
		}
	}
	f.Fuzz(func(t *testing.T, value []byte, kindNumber int) {
		kind := lienthong.Kind(kindNumber & 7)
		masked := Mask(value, kind)
		count := func(text []byte) (total, digits int) {
			for _, r := range string(text) {
				if unicode.IsLetter(r) || unicode.IsDigit(r) {
					total++
				}
				if unicode.IsDigit(r) {
					digits++
				}
			}
			return total, digits
		}
		total, _ := count(value)
		shown, digits := count([]byte(masked))
		if shown*3 > total || digits > maskDigits || shown > maskDigits+maskWords {
			t.Errorf("Mask(%q, %s) = %q shows %d of %d", value, kind, masked, shown, total)
		}
		if shown > 0 && (kind == lienthong.Date || kind == lienthong.Timestamp || kind == lienthong.Boolean || kind == lienthong.Binary) {
			t.Errorf("Mask(%q, %s) = %q shows something", value, kind, masked)
		}
		if utf8.RuneCountInString(masked) > maskLength+1 || !utf8.ValidString(masked) {
			t.Errorf("Mask(%q) = %q is too long or no text", value, masked)
		}
		for _, r := range masked {
			if unicode.IsControl(r) {
				t.Errorf("Mask(%q) = %q has control characters", value, masked)
			}
		}
	})
}

func TestFindings(t *testing.T) {
	t.Parallel()
	shape := personShape()
	checker, err := Compile(shape, []dictionary.Rule{
		{Code: "number.digits", Field: "number", Check: dictionary.Check{Digits: 12}, Blocking: true},
		{Code: "list", Field: "commune", Check: dictionary.Check{CodeList: "commune_before"}},
		{Code: "order", Field: "death", Check: dictionary.Check{NotBefore: "birth"}},
	}, testLists(), nil)
	if err != nil {
		t.Fatal(err)
	}
	row := emptyRow(shape)
	set := func(name string, value lienthong.Value) { row[shape.FieldIndex(name)] = value }
	set("number", text("09601234567"))
	set("commune", text("Nguyễn Văn An")) // columns have shifted
	set("birth", date("2000-01-02"))
	set("death", date("2000-01-01"))
	set("seen", malformed)
	var verdict Verdict
	checker.Check(row, instant(checkedAt), &verdict)
	finding := func(rule, field, sample string, group lienthong.ErrorGroup, criterion lienthong.Criterion, blocking bool) lienthong.Finding {
		return lienthong.Finding{
			Dataset: shape.Dataset, Rule: rule, Field: field, Sample: sample, Group: group, Criterion: criterion,
			Blocking: blocking, Record: "digest", At: 42,
		}
	}
	want := []lienthong.Finding{
		finding("type", "seen", "31/**/****", lienthong.WrongFormat, lienthong.Clean, true),
		finding("number.digits", "number", "096********", lienthong.WrongFormat, lienthong.Clean, true),
		finding("list", "commune", "N*** V** A*", lienthong.BrokenReference, lienthong.Unified, false),
		finding("order", "death", "****-**-**", lienthong.Contradiction, lienthong.Correct, false),
	}
	if diff := cmp.Diff(want, checker.Findings(nil, &verdict, row, "digest", 42)); diff != "" {
		t.Error(diff)
	}
}

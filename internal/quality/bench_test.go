package quality

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// communes is a code list of about the size of the real one.
type communes map[string]struct{}

func (c communes) Valid(code []byte, _ int64) bool {
	_, found := c[string(code)]
	return found
}

// benchmarkCase is 16 columns of a population register with 20 rules besides
// the built-in ones, and rows of which about one in ten has a defect.
func benchmarkCase(tb testing.TB) (*Checker, [][]lienthong.Value, int64) {
	tb.Helper()
	field := func(name string, kind lienthong.Kind, required bool, longest int) lienthong.Field {
		return lienthong.Field{
			Element: "person." + name, Name: name, Kind: kind, LabelVi: name, LabelEn: name,
			Required: required, MaxLength: longest, Mapped: true,
		}
	}
	shape := &lienthong.Shape{
		Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Version: 1, Identity: []int{0},
		Fields: []lienthong.Field{
			field("number", lienthong.Text, true, 12), field("name", lienthong.Text, true, 100), field("birth", lienthong.Date, true, 0),
			field("sex", lienthong.Text, true, 1), field("ethnicity", lienthong.Text, true, 2), field("nationality", lienthong.Text, true, 2),
			field("commune", lienthong.Text, true, 5), field("line", lienthong.Text, false, 200), field("phone", lienthong.Text, false, 15),
			field("email", lienthong.Text, false, 100), field("marital", lienthong.Text, false, 10), field("father", lienthong.Text, false, 12),
			field("mother", lienthong.Text, false, 12), field("members", lienthong.Integer, false, 0), field("verified", lienthong.Timestamp, false, 0),
			field("registered", lienthong.Date, true, 0),
		},
	}
	rule := func(code, field string, blocking bool, check dictionary.Check) dictionary.Rule {
		return dictionary.Rule{Code: code, Field: field, Blocking: blocking, Check: check}
	}
	ethnic := make([]string, 0, 55)
	for i := 1; i <= 55; i++ {
		ethnic = append(ethnic, fmt.Sprintf("%02d", i))
	}
	rules := []dictionary.Rule{
		rule("number.digits", "number", true, dictionary.Check{Digits: 12}),
		rule("number.structure", "number", false, dictionary.Check{PersonNumber: &dictionary.PersonNumberCheck{BirthDate: "birth", Sex: "sex"}}),
		rule("name.form", "name", false, dictionary.Check{PersonName: true}),
		rule("name.tidy", "name", false, dictionary.Check{Tidy: true}),
		rule("name.nfc", "name", false, dictionary.Check{NFC: true}),
		rule("birth.range", "birth", false, dictionary.Check{Min: "1900-01-01", Max: "now"}),
		rule("birth.age", "birth", false, dictionary.Check{Min: "now-120y"}),
		rule("sex.code", "sex", false, dictionary.Check{OneOf: []string{"M", "F", "U"}}),
		rule("ethnicity.code", "ethnicity", false, dictionary.Check{OneOf: ethnic}),
		rule("nationality.code", "nationality", false, dictionary.Check{OneOf: []string{"VN", "LA", "KH"}}),
		rule("commune.code", "commune", false, dictionary.Check{CodeList: "commune"}),
		rule("line.tidy", "line", false, dictionary.Check{Tidy: true}),
		rule("line.length", "line", false, dictionary.Check{MinLength: 5}),
		rule("phone.form", "phone", false, dictionary.Check{Pattern: `0[35789][0-9]{8}`}),
		rule("email.form", "email", false, dictionary.Check{Pattern: `[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}`}),
		rule("father.digits", "father", true, dictionary.Check{Digits: 12}),
		rule("mother.digits", "mother", true, dictionary.Check{Digits: 12}),
		rule("members.range", "members", false, dictionary.Check{Min: "1", Max: "30"}),
		rule("verified.age", "verified", false, dictionary.Check{MaxAge: "5y"}),
		rule("registered.order", "registered", false, dictionary.Check{NotBefore: "birth"}),
	}
	list := make(communes, 3321)
	codes := make([]string, 3321)
	for i := range codes {
		codes[i] = fmt.Sprintf("%05d", i*9+4)
		list[codes[i]] = struct{}{}
	}
	checker, err := Compile(shape, rules, CodeListsFunc(func(string) (CodeList, bool) { return list, true }), nil)
	if err != nil {
		tb.Fatal(err)
	}
	at := instant(checkedAt)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	rows := make([][]lienthong.Value, 4096)
	for i := range rows {
		born := day("1930-01-01") + random.Int64N(30000)
		year, _, _ := civil(born)
		woman := random.IntN(2)
		sex := []string{"M", "F"}[woman]
		row := []lienthong.Value{
			text(fmt.Sprintf("%03d%d%02d%06d", 1+random.IntN(96), 2*((year-1900)/100)+int64(woman), year%100, random.IntN(1_000_000))),
			text(pick("Nguyễn", "Trần", "Lê", "Phạm", "Huỳnh") + " " + pick("Văn", "Thị", "Đức", "Ngọc") + " " + pick("An", "Bình", "Hoà", "Thuỷ")),
			number(born), text(sex), text(ethnic[random.IntN(len(ethnic))]), text("VN"), text(codes[random.IntN(len(codes))]),
			text("Số 12, đường Nguyễn Huệ, khóm 3"), text(fmt.Sprintf("09%08d", random.IntN(100_000_000))),
			text("nguoi.dan@example.vn"), text("married"), text("001065012345"), text("001165012345"),
			number(1 + random.Int64N(9)), number(at - random.Int64N(dayMicros*365)), number(born + random.Int64N(100)),
		}
		if random.IntN(10) == 0 {
			switch column := random.IntN(16); column {
			case 2, 13, 14, 15:
				row[column] = malformed
			case 0, 3, 8, 11, 12:
				row[column] = text("x9")
			default:
				row[column] = null
			}
		}
		rows[i] = row
	}
	return checker, rows, at
}

func BenchmarkCheck20x16(b *testing.B) {
	checker, rows, at := benchmarkCase(b)
	var verdict Verdict
	var tally Tally
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		checker.Check(rows[i&4095], at, &verdict)
		tally.Add(&verdict)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkCheck20x16TwoClones(b *testing.B) {
	checker, rows, at := benchmarkCase(b)
	b.ReportAllocs()
	b.ResetTimer()
	var wait sync.WaitGroup
	for range 2 {
		clone := checker.Clone()
		wait.Go(func() {
			var verdict Verdict
			for i := range b.N / 2 {
				clone.Check(rows[i&4095], at, &verdict)
			}
		})
	}
	wait.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkCEL(b *testing.B) {
	shape := personShape()
	checker, err := Compile(shape, []dictionary.Rule{{
		Code: "cel", Field: "sex", Check: dictionary.Check{CEL: `sex in ["M", "F", "U"] && birth <= now`},
	}}, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	row := emptyRow(shape)
	row[shape.FieldIndex("sex")], row[shape.FieldIndex("birth")] = text("F"), date("2000-01-01")
	var verdict Verdict
	b.ReportAllocs()
	for b.Loop() {
		checker.Check(row, 1, &verdict)
	}
}

func BenchmarkFindings(b *testing.B) {
	checker, rows, at := benchmarkCase(b)
	var failing [][]lienthong.Value
	var verdict Verdict
	for _, row := range rows {
		if checker.Check(row, at, &verdict); !verdict.OK() {
			failing = append(failing, row)
		}
	}
	var findings []lienthong.Finding
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		row := failing[i%len(failing)]
		checker.Check(row, at, &verdict)
		findings = checker.Findings(findings[:0], &verdict, row, "digest", at)
	}
}

package quality

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// writeFile writes rows as the platform does, with two columns that the shape does not have.
func writeFile(shape *lienthong.Shape, rows [][]lienthong.Value, lineEnd string) []byte {
	var b bytes.Buffer
	b.WriteString("_id,")
	for i := range shape.Fields {
		b.WriteString(shape.Fields[i].Name + ",")
	}
	b.WriteString("other" + lineEnd)
	for n, row := range rows {
		fmt.Fprintf(&b, "%d,", n)
		for i := range row {
			b.Write(cellOf(&row[i], shape.Fields[i].Kind))
			b.WriteByte(',')
		}
		b.WriteString("x" + lineEnd)
	}
	return b.Bytes()
}

func cellOf(value *lienthong.Value, kind lienthong.Kind) []byte {
	text := value.AppendText(nil, kind)
	switch {
	case value.State == lienthong.Malformed:
		text = value.Bytes
	case value.State != lienthong.Present:
		return nil
	case kind == lienthong.Binary:
		text = []byte(base64.StdEncoding.EncodeToString(value.Bytes))
	}
	if len(text) > 0 && !bytes.ContainsAny(text, "\",\r\n") {
		return text
	}
	return []byte(`"` + strings.ReplaceAll(string(text), `"`, `""`) + `"`)
}

func fileChecker(tb testing.TB) *Checker {
	tb.Helper()
	var rules []dictionary.Rule
	for _, pair := range twins() {
		rules = append(rules, pair[0], pair[1])
	}
	checker, err := Compile(personShape(), rules, testLists(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return checker
}

// TestCheckFileIsCheckRowByRow: whatever the blocks and however many check, the counts are
// those of one checker over the rows.
func TestCheckFileIsCheckRowByRow(t *testing.T) {
	t.Parallel()
	checker := fileChecker(t)
	random := rand.New(rand.NewPCG(5, 6))
	rows := make([][]lienthong.Value, 700)
	want := Tally{}
	var verdict Verdict
	at := instant(checkedAt)
	for i := range rows {
		row := randomRow(random, checker.Shape())
		for n := range row {
			switch row[n].State {
			case lienthong.Unchanged: // a file knows no such thing
				row[n] = null
			case lienthong.Malformed:
				row[n].Bytes = []byte("so \"bad\", so bad")
				if kind := checker.Shape().Fields[n].Kind; kind == lienthong.Text {
					row[n] = text("with\r\nlines, \"quotes\" and commas")
				} else if kind == lienthong.Boolean {
					row[n].Bytes = []byte("TRUE")
				}
			case lienthong.Null, lienthong.Present:
			}
		}
		rows[i] = row
		checker.Check(row, at, &verdict)
		want.Add(&verdict)
	}
	want.grow(len(checker.Rules()))
	broken := 0
	for _, failed := range want.Failed {
		if failed > 0 {
			broken++
		}
	}
	if broken < len(twins()) {
		t.Fatalf("only %d rules are broken", broken)
	}
	for _, lineEnd := range []string{"\n", "\r\n"} {
		data := writeFile(checker.Shape(), rows, lineEnd)
		for _, config := range []FileConfig{
			{Workers: 1, Block: 1 << 20, At: at}, {Workers: 3, Block: 700, At: at}, {Workers: 2, Block: 4096, At: at}, {At: at},
		} {
			var read io.Reader = bytes.NewReader(data)
			if config.Workers == 3 {
				read = iotest.OneByteReader(read)
			}
			seen := 0
			config.Broken = func(row []lienthong.Value, verdict *Verdict) {
				if len(row) != len(checker.Shape().Fields) || verdict.OK() {
					t.Error("Broken was called for nothing")
				}
				seen++
			}
			got, err := checker.CheckFile(context.Background(), read, config)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(FileResult{Tally: want}, got); diff != "" {
				t.Fatalf("%d workers, blocks of %d (-want +got):\n%s", config.Workers, config.Block, diff)
			}
			if seen == 0 {
				t.Error("Broken was never called")
			}
		}
	}
	last := bytes.TrimSuffix(writeFile(checker.Shape(), rows, "\n"), []byte("\n"))
	if got, err := checker.CheckFile(context.Background(), bytes.NewReader(last), FileConfig{At: at}); err != nil || got.Rows != want.Rows {
		t.Errorf("without the last line end: %d rows, %v", got.Rows, err)
	}
}

// TestParse reads every value back from its canonical text.
func TestParse(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(8, 8))
	for range 20_000 {
		for kind, span := range map[lienthong.Kind]int64{
			lienthong.Integer: 1<<63 - 2, lienthong.Date: 3_000_000, lienthong.Timestamp: 2e17, lienthong.Boolean: 1,
		} {
			want := number(random.Int64N(span+1) - random.Int64N(2)*span)
			if kind == lienthong.Boolean {
				want.Int = random.Int64N(2)
			}
			if kind == lienthong.Timestamp && (want.Int < -621e14 || want.Int > 2534e14) { // other years have another form
				continue
			}
			text := want.AppendText(nil, kind)
			var got lienthong.Value
			parse(&got, text, kind)
			if got.State != lienthong.Present || got.Int != want.Int {
				t.Fatalf("%s %d is %q, which reads as %d (state %d)", kind, want.Int, text, got.Int, got.State)
			}
		}
	}
	for kind, texts := range map[lienthong.Kind][]string{
		lienthong.Date: {
			"2001-02-29", "1900-02-29", "2000-13-01", "2000-00-01", "2000-01-00", "2000-01-32", "2000-04-31", "2000-1-01", "20000101", "2000/01/01",
			"200a-01-01", "2000-0a-01", "2000-01-0a", "-", "--", "2000-01-01 ", "999-01-01", "1234567890-01-01", "20:0-01-01", "2000-0:-01", "2000-01-0:", "/000-01-01",
		},
		lienthong.Timestamp: {
			"2000-01-01", "2000-01-01T24:00:00.000000Z", "2000-01-01T00:60:00.000000Z", "2000-01-01T00:00:60.000000Z", "2000-01-01T00:00:00.00000aZ",
			"2000-02-30T00:00:00.000000Z", "2000-01-01T00:00:00.000000", "2000-01-01 00:00:00", "x",
		},
		lienthong.Integer: {"", "-", "1.5", "1e3", "9223372036854775808", "-9223372036854775809", " 1", "1 ", "x"},
		lienthong.Boolean: {"TRUE", "1", "yes"}, lienthong.Real: {"", "x", "1,5"}, lienthong.Binary: {"%", "abc"},
	} {
		for _, bad := range texts {
			var got lienthong.Value
			parse(&got, []byte(bad), kind)
			if got.State != lienthong.Malformed {
				t.Errorf("%s %q reads as %d", kind, bad, got.Int)
			}
		}
	}
	for text, want := range map[string]int64{"2000-01-01T07:00:00+07:00": instant("2000-01-01T00:00:00Z"), "2000-01-01T00:00:00.5Z": instant("2000-01-01T00:00:00.5Z")} {
		var got lienthong.Value
		if parse(&got, []byte(text), lienthong.Timestamp); got.Int != want {
			t.Errorf("%s reads as %d", text, got.Int)
		}
	}
	if day, ok := parseDay([]byte("-0001-12-31")); !ok || day != day1(-1, 12, 31) {
		t.Errorf("-0001-12-31 is %d", day)
	}
}

func day1(year, month, day int64) int64 {
	number, _ := civilDay(year, month, day)
	return number
}

func TestCheckFileRefuses(t *testing.T) {
	t.Parallel()
	shape := &lienthong.Shape{
		Dataset: lienthong.DatasetID{Database: "d", Name: "x"}, Identity: []int{0},
		Fields: []lienthong.Field{{Name: "a", Kind: lienthong.Text}, {Name: "b", Kind: lienthong.Text}},
	}
	checker, err := Compile(shape, []dictionary.Rule{{Code: "digits", Field: "b", Check: dictionary.Check{Digits: 2}}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file, code string
		rows, unreadable int64
	}{
		{"nothing", "", "quality.column", 0, 0},
		{"a header alone", "a,b", "", 0, 0},
		{"a mark before the header", "\xef\xbb\xbfa,b\n1,22\n", "", 1, 0},
		{"a header in quotes", "\"a\",\"b\nc\",b\r\n1,2,33\r\n", "", 1, 0},
		{"a missing column", "a,c\n1,2\n", "quality.column", 0, 0},
		{"a column twice", "a,b,b\n1,22,3\n", "", 1, 0},
		{"empty lines", "a,b\n\n1,22\n\r\n\n2,33\n", "", 2, 0},
		{"few and many cells", "a,b\n1\n1,2,3\n\"1\"\n\"1\",2,3\n1,22\n", "", 1, 4},
		{"a stray quote", "a,b\n1,22\n1,2\"2\n", "quality.file", 0, 0},
		{"text after a quote", "a,b\n1,\"2\"2\n", "quality.file", 0, 0},
		{"a quote that stays open", "a,b\n1,\"22\n3,33\n", "quality.file", 0, 0},
		{"a header that never ends", "\"" + strings.Repeat("a\n", 5000), "quality.file", 0, 0},
		{"a record that never ends", "a,b\n1,\"" + strings.Repeat("a\n", 5000), "quality.file", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := checker.CheckFile(context.Background(), strings.NewReader(c.file), FileConfig{Workers: 2, Block: 32})
			if code := lienthong.ErrorCode(err); code != c.code {
				t.Fatalf("%v, want code %q", err, c.code)
			}
			if err == nil && (got.Rows != c.rows || got.Unreadable != c.unreadable) {
				t.Errorf("%d rows, %d unreadable", got.Rows, got.Unreadable)
			}
		})
	}
	t.Run("reader fails", func(t *testing.T) {
		t.Parallel()
		broken := errors.New("broken")
		_, err := checker.CheckFile(context.Background(), io.MultiReader(strings.NewReader("a,b\n1,22\n"), iotest.ErrReader(broken)), FileConfig{Block: 16})
		if !errors.Is(err, broken) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, stop := context.WithCancel(context.Background())
		rows := 0
		_, err := checker.CheckFile(ctx, io.MultiReader(strings.NewReader("a,b\n"), endless("1,2\n")), FileConfig{Block: 64, Broken: func([]lienthong.Value, *Verdict) {
			if rows++; rows == 100 {
				stop()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	})
}

// endless repeats a text for ever.
type endless string

func (e endless) Read(p []byte) (int, error) { return copy(p, e), nil }

// FuzzCheckFile: no file makes the check panic or hang, and a file that encoding/csv can read
// without forgiving anything has the same records here, however it is cut into blocks.
func FuzzCheckFile(f *testing.F) {
	f.Add([]byte("1,22\n\"a\"\"b\",\"c\nd\"\n,\"\"\n"), uint8(7))
	f.Add([]byte("\"\n\"\n\"\r\n\",x\r\n\r\n1,2"), uint8(3))
	f.Add([]byte("\"a,b\n"), uint8(1))
	f.Add([]byte("a\"b,c\n"), uint8(40))
	shape := &lienthong.Shape{
		Dataset: lienthong.DatasetID{Database: "d", Name: "x"}, Identity: []int{0},
		Fields: []lienthong.Field{{Name: "a", Kind: lienthong.Text}, {Name: "b", Kind: lienthong.Text}},
	}
	checker, err := Compile(shape, []dictionary.Rule{{Code: "never", Field: "b", Check: dictionary.Check{OneOf: []string{"\x01"}}}}, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, block uint8) {
		var results []FileResult
		var errs []error
		for _, config := range []FileConfig{{Workers: 1, Block: 1 << 16}, {Workers: 2, Block: 1 + int(block)}} {
			result, err := checker.CheckFile(context.Background(), io.MultiReader(strings.NewReader("a,b\n"), bytes.NewReader(data)), config)
			results, errs = append(results, result), append(errs, err)
		}
		if errs[0] == nil && errs[1] == nil {
			if diff := cmp.Diff(results[0], results[1]); diff != "" {
				t.Fatalf("other blocks, other result:\n%s", diff)
			}
		}
		if errs[0] != nil || bytes.ContainsRune(data, '\r') { // which encoding/csv takes away inside quotes
			return
		}
		reader := csv.NewReader(bytes.NewReader(data))
		reader.FieldsPerRecord = -1
		records, err := reader.ReadAll()
		if err != nil {
			t.Fatalf("encoding/csv says %v of what was read", err)
		}
		if got := results[0].Rows + results[0].Unreadable; got != int64(len(records)) {
			t.Fatalf("%d records, encoding/csv has %d", got, len(records))
		}
		for _, record := range records {
			if len(record) != 2 {
				results[0].Unreadable--
			}
		}
		if results[0].Unreadable != 0 {
			t.Fatalf("%d more are unreadable than should be", results[0].Unreadable)
		}
	})
}

package feed

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func present(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

func bytesValue(s string) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: []byte(s)}
}

func TestAppendValue(t *testing.T) {
	for _, test := range []struct {
		kind  lienthong.Kind
		value lienthong.Value
		want  string
	}{
		{lienthong.Text, lienthong.Value{}, `null`},
		{lienthong.Text, bytesValue(""), `""`},
		{lienthong.Text, bytesValue("Đất \"Mũi\"\\\n\r\t\x01\x7f"), `"Đất \"Mũi\"\\\n\r\t\u0001\u007f"`},
		{lienthong.Text, bytesValue("a\xffb"), `"a\ufffdb"`},
		{lienthong.Decimal, bytesValue("-12.50"), `"-12.50"`},
		{lienthong.Decimal, bytesValue("NaN"), `"NaN"`},
		{lienthong.Integer, present(math.MinInt64), `-9223372036854775808`},
		{lienthong.Real, present(int64(math.Float64bits(0.1))), `0.1`},
		{lienthong.Real, present(int64(math.Float64bits(1e300))), `1e+300`},
		{lienthong.Real, present(int64(math.Float64bits(math.NaN()))), `"NaN"`},
		{lienthong.Real, present(int64(math.Float64bits(math.Inf(-1)))), `"-Infinity"`},
		{lienthong.Boolean, present(1), `true`},
		{lienthong.Date, present(-1), `"1969-12-31"`},
		{lienthong.Date, present(math.MaxInt64), `"Infinity"`},
		{lienthong.Timestamp, present(1), `"1970-01-01T00:00:00.000001Z"`},
		{lienthong.Timestamp, present(math.MinInt64), `"-Infinity"`},
		{lienthong.Binary, bytesValue("\x00\xff"), `"AP8="`},
		{lienthong.Binary, bytesValue(""), `""`},
	} {
		got := string(appendValue(nil, test.kind, &test.value))
		if got != test.want || !json.Valid([]byte(got)) {
			t.Errorf("%s %v: %s, want %s", test.kind, test.value, got, test.want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("Nguyễn \"x\"\\\x00\x1f\u2028\xff")
	f.Fuzz(func(t *testing.T, text string) {
		var back string
		if err := json.Unmarshal(appendString(nil, []byte(text)), &back); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if utf8.ValidString(text) && back != text {
			t.Errorf("%q came back as %q", text, back)
		}
	})
}

func FuzzAppendCSV(f *testing.F) {
	f.Add("a,\"b\"", " c\n")
	f.Fuzz(func(t *testing.T, one, two string) {
		line := appendCSV(nil, []byte(one))
		line = append(appendCSV(append(line, ','), []byte(two)), '\r', '\n')
		cells, err := csv.NewReader(strings.NewReader(string(line))).Read()
		fold := strings.NewReplacer("\r\n", "\n").Replace // encoding/csv folds CRLF inside quotes
		if err != nil || len(cells) != 2 || cells[0] != fold(one) || cells[1] != fold(two) {
			t.Errorf("%q %q came back as %q: %v", one, two, cells, err)
		}
	})
}

func TestRecordID_IsOpaqueAndEachConsumersOwn(t *testing.T) {
	f := &Feeds{config: Config{Key: make([]byte, 32)}}
	id := func(subscription string, stream int64, record string) string {
		r := &reader{idKey: f.derive("record|" + subscription)}
		return r.recordID(stream, []byte(record))
	}
	one := id("a", 1, "096085000011")
	if one != id("a", 1, "096085000011") || len(one) != 24 {
		t.Errorf("the id %s is not stable", one)
	}
	for _, other := range []string{id("b", 1, "096085000011"), id("a", 2, "096085000011"), id("a", 1, "096085000012")} {
		if other == one {
			t.Error("two records, or two consumers, share an id")
		}
	}
	if strings.Contains(one, "0960") {
		t.Error("the id shows the number")
	}
}

func TestRowFilter(t *testing.T) {
	in := newRowFilter(&Rows{Field: "x", In: []string{"31825", "-7"}}, 0)
	prefix := newRowFilter(&Rows{Field: "x", Prefix: "31"}, 0)
	province := newRowFilter(&Rows{Field: "x", Province: "96", Codes: []string{"31825"}}, 0)
	for _, test := range []struct {
		filter *rowFilter
		kind   lienthong.Kind
		value  lienthong.Value
		want   bool
	}{
		{in, lienthong.Text, bytesValue("31825"), true},
		{in, lienthong.Text, bytesValue("318"), false},
		{in, lienthong.Integer, present(-7), true},
		{in, lienthong.Text, lienthong.Value{}, false},
		{prefix, lienthong.Text, bytesValue("31"), true},
		{prefix, lienthong.Text, bytesValue("3"), false},
		{prefix, lienthong.Text, lienthong.Value{}, false},
		{province, lienthong.Text, bytesValue("31825"), true},
		{province, lienthong.Text, bytesValue("96"), false},
	} {
		test.filter.kind = test.kind
		if got := test.filter.matches([]lienthong.Value{test.value}); got != test.want {
			t.Errorf("%+v %+v: %t", test.filter, test.value, got)
		}
	}
}

func TestMayConnect(t *testing.T) {
	for address, want := range map[string][2]bool{ // to another machine; to this one
		"203.0.113.7:443":        {true, false},
		"10.1.2.3:443":           {true, false}, // agencies' own networks
		"127.0.0.1:443":          {false, true},
		"[::1]:443":              {false, true},
		"[::ffff:127.0.0.1]:443": {false, true},
		"0.0.0.0:443":            {false, false},
		"169.254.169.254:80":     {false, false},
		"[fe80::1]:80":           {false, false},
		"224.0.0.1:80":           {false, false},
		"nonsense":               {false, false},
	} {
		for i, local := range []bool{false, true} {
			if got := mayConnect(address, local) == nil; got != want[i] {
				t.Errorf("%s, local %t: %t", address, local, got)
			}
		}
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	f := &Feeds{config: Config{Key: make([]byte, 32)}}
	r := &reader{idKey: f.derive("x"), view: &store.FeedView{}}
	rec := &store.FeedRecord{ID: []byte("096085000011"), Version: 7, At: 1_700_000_000_000_000}
	for range 12 {
		r.view.Fields = append(r.view.Fields, lienthong.Field{Kind: lienthong.Text})
		r.names = append(r.names, []byte(`"full_name":`))
		rec.Values = append(rec.Values, bytesValue("Nguyễn Văn Nhân"))
	}
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = r.appendRecord(line[:0], rec, false)
	}
}

package dictionary

import (
	"embed"
	"encoding/csv"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
)

// The labelled set: tables as Vietnamese agencies and vendors write them, one file a domain,
// each column with the element that a steward would choose, "a|b" where either is right, or "none".
// The column "values" names how sample values are made.
//
//go:embed testdata/labelled/*.csv
var labelledFiles embed.FS

// labelledTable is one table of the set.
type labelledTable struct {
	domain, name string
	heldOut      bool // not looked at while the assistant was tuned; all of "mixed" was
	columns      []ColumnSample
	want         []string
}

func labelledTables(t testing.TB, d *Dictionary) []labelledTable {
	t.Helper()
	entries, err := labelledFiles.ReadDir("testdata/labelled")
	if err != nil {
		t.Fatal(err)
	}
	var tables []labelledTable
	for _, entry := range entries {
		f, err := labelledFiles.Open(path.Join("testdata/labelled", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(f).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		domain := strings.TrimSuffix(entry.Name(), ".csv")
		for _, row := range rows[1:] {
			if n := len(tables); n == 0 || tables[n-1].name != row[0] || tables[n-1].domain != domain {
				h := fnv.New32a()
				_, _ = h.Write([]byte(domain + "." + row[0]))
				tables = append(tables, labelledTable{domain: domain, name: row[0], heldOut: h.Sum32()%2 == 1 && domain != "mixed"})
			}
			var kind lienthong.Kind
			if err := kind.UnmarshalText([]byte(row[2])); err != nil {
				t.Fatal(err)
			}
			for _, id := range strings.Split(row[4], "|") {
				if _, known := d.Element(id); !known && id != "none" {
					t.Fatalf("%s: %s.%s is labelled with %q, which does not exist", entry.Name(), row[0], row[1], id)
				}
			}
			one := &tables[len(tables)-1]
			one.columns = append(one.columns, ColumnSample{
				Column: lienthong.Column{Name: row[1], Kind: kind}, Values: madeValues(t, d, row[0]+"."+row[1], row[3]),
			})
			one.want = append(one.want, row[4])
		}
	}
	return tables
}

// madeValues makes sample values of a sort. They are the same each time.
func madeValues(t testing.TB, d *Dictionary, seed, sort string) []string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed))
	random := rand.New(rand.NewPCG(h.Sum64(), 1))
	if sort == "none" {
		return nil
	}
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('0' + random.IntN(10))
		}
		return string(b)
	}
	family := func() string { return pick("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Vũ", "Đặng", "Bùi") }
	given := func() string { return pick("An", "Bình", "Chi", "Dũng", "Hà", "Lan", "Minh", "Sơn", "Thảo") }
	name := func() string { return family() + " " + pick("Văn", "Thị", "Hữu", "Ngọc") + " " + given() }
	day := func(layout string) string {
		return time.Date(1960+random.IntN(60), time.Month(1+random.IntN(12)), 1+random.IntN(28), 8, 30, 0, 0, time.UTC).Format(layout)
	}
	var codes []Code
	if _, id, of := strings.Cut(sort, ":"); of {
		list, known := d.CodeList(id)
		if !known {
			t.Fatalf("%s: no code list %q", seed, id)
		}
		for _, code := range list.Codes() {
			if list.Valid([]byte(code.Code), time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC).UnixMicro()) {
				codes = append(codes, code)
			}
		}
	}
	units := d.Communes(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	one := func() string {
		switch kind, _, _ := strings.Cut(sort, ":"); kind {
		case "list":
			return codes[random.IntN(len(codes))].Code
		case "names":
			return codes[random.IntN(len(codes))].NameVi
		}
		switch sort {
		case "name":
			return name()
		case "nodia":
			return strings.ToUpper(PlainKey(name()))
		case "family":
			return family() + " " + pick("Văn", "Thị", "Hữu")
		case "given":
			return given()
		case "user":
			return pick("admin", "nva", "canbo01", "thuyltt", "system")
		case "cccd":
			return fmt.Sprintf("0%s%d%s", pick("01", "79", "31", "48", "92", "36"), random.IntN(4), digits(8))
		case "cmnd":
			return pick("0", "1", "2") + digits(8)
		case "digits5", "digits7", "digits10", "digits12":
			n := 0
			_, _ = fmt.Sscanf(sort, "digits%d", &n)
			return digits(n)
		case "mst":
			return pick("01", "03", "31") + digits(8)
		case "phone":
			return pick("09", "03", "08") + digits(8)
		case "bhyt":
			return pick("DN", "HS", "GD", "HT") + pick("4", "3") + digits(12)
		case "kcb":
			return digits(5)
		case "icd":
			return pick("A", "J", "I", "K") + digits(2) + pick("", ".1", ".9")
		case "passport":
			return pick("B", "C", "P") + digits(7)
		case "plate":
			return pick("29", "30", "51", "43") + pick("A", "B", "H") + digits(5)
		case "vin":
			return "RLM" + pick("AB", "KC", "XF") + digits(9)
		case "email":
			return strings.ReplaceAll(PlainKey(name()), " ", ".") + digits(2) + "@example.vn"
		case "url":
			return "https://www." + pick("a", "b", "c") + digits(2) + ".example.vn"
		case "date", "iso":
			return day(time.DateOnly)
		case "dmy":
			return day("02/01/2006")
		case "yyyymmdd":
			return day("20060102")
		case "month":
			return day("01/2006")
		case "hour":
			return day("15:04")
		case "moment":
			return day("2006-01-02T15:04:05.000000Z")
		case "year":
			return day("2006")
		case "schoolyear":
			y := 2015 + random.IntN(10)
			return fmt.Sprintf("%d-%d", y, y+1)
		case "mf":
			return pick("M", "F")
		case "country":
			return "VN"
		case "addr":
			return "Số " + digits(2) + ", đường " + pick("Lê Lợi", "Trần Phú", "Hai Bà Trưng") + ", " + pick("phường 5", "xã Tân Lập")
		case "place":
			return pick("Bệnh viện", "Trạm y tế", "UBND") + " " + pick("xã Tân Lập", "tỉnh Hà Nam", "huyện Ba Vì")
		case "pname":
			return pick("Hà Nội", "Bắc Ninh", "Cà Mau", "Đồng Nai", "Lâm Đồng")
		case "dname":
			return pick("Huyện Ba Vì", "Quận 1", "Thị xã Sơn Tây")
		case "cname":
			return pick("Xã Tân Lập", "Phường Ba Đình", "Đặc khu Phú Quốc", "Xã Ô Diên")
		case "hamlet":
			return pick("Thôn 2", "Ấp 3", "Tổ dân phố 5")
		case "street":
			return pick("Lê Lợi", "Trần Phú", "Hai Bà Trưng")
		case "housenum":
			return pick("12", "34B", "5/7 ngõ 3", "101")
		case "oldcommune":
			return units[random.IntN(len(units))].Code
		case "old3":
			return digits(3)
		case "org":
			return pick("UBND", "Sở", "Chi cục", "Công ty TNHH", "Trường THPT") + " " + pick("Minh Khai", "Hà Nam", "Thương mại Số 2", "Tân Lập")
		case "unit":
			return pick("G", "H") + digits(2) + "." + digits(2)
		case "class":
			return pick("6A", "7B", "12C1")
		case "rank":
			return pick("01.003", "01.002", "06.031")
		case "vsic":
			return pick("4711", "6201", "1071", "8510")
		case "code":
			return pick("HS", "MA", "TT") + digits(6)
		case "docno":
			return digits(3) + "/QĐ-" + pick("UBND", "BCA", "STC")
		case "account":
			return digits(13)
		case "word":
			return pick("Loại một", "Trung bình", "Khác", "Ban đầu", "Đang xét")
		case "note":
			return pick("Đã đối chiếu hồ sơ giấy", "Bổ sung sau", "Theo đề nghị của xã", "Không có ý kiến")
		case "path":
			return "/tep/" + digits(6) + ".jpg"
		case "wkt":
			return "POLYGON((105." + digits(4) + " 21." + digits(4) + "))"
		case "small_text":
			return fmt.Sprint(1 + random.IntN(300))
		case "flag", "small", "seq":
			return fmt.Sprint(1 + random.IntN(9))
		case "id", "big":
			return fmt.Sprint(1000 + random.IntN(900000))
		case "bool":
			return pick("true", "false")
		case "decimal", "money":
			return fmt.Sprintf("%d.50", 50+random.IntN(5000))
		case "percent":
			return fmt.Sprintf("%d.25", random.IntN(10))
		case "northing":
			return fmt.Sprintf("%d.123", 1000000+random.IntN(1400000))
		case "easting":
			return fmt.Sprintf("%d.123", 450000+random.IntN(150000))
		case "meridian":
			return pick("105", "107.75", "105.5")
		case "height":
			return fmt.Sprint(95 + random.IntN(90))
		case "weight":
			return fmt.Sprintf("%d.5", 20+random.IntN(70))
		case "lat":
			return fmt.Sprintf("%d.%s", 9+random.IntN(14), digits(5))
		case "lon":
			return fmt.Sprintf("%d.%s", 103+random.IntN(6), digits(5))
		}
		t.Fatalf("%s: no such sort of values: %q", seed, sort)
		return ""
	}
	values := make([]string, 30)
	for i := range values {
		values[i] = one()
	}
	return values
}

// tally counts how proposals stand to labels.
type tally struct{ columns, labelled, proposed, right int }

func (c *tally) precision() float64 { return float64(c.right) / float64(max(c.proposed, 1)) }
func (c *tally) recall() float64    { return float64(c.right) / float64(max(c.labelled, 1)) }

func (c *tally) String() string {
	return fmt.Sprintf("%d columns, precision %d/%d = %.3f, recall %d/%d = %.3f", c.columns, c.right, c.proposed, c.precision(), c.right, c.labelled, c.recall())
}

func (c *tally) add(proposed, want string) (wrong bool) {
	c.columns++
	right := proposed != "" && slices.Contains(strings.Split(want, "|"), proposed)
	if want != "none" {
		c.labelled++
	}
	if proposed != "" {
		c.proposed++
	}
	if right {
		c.right++
	}
	return !right && (proposed != "" || want != "none")
}

func TestPropose_LabelledSet(t *testing.T) {
	d := load(t)
	tables := labelledTables(t, d)
	for _, values := range []bool{true, false} {
		sets := map[string]*tally{}
		count := func(key, proposed, want string) bool {
			if sets[key] == nil {
				sets[key] = &tally{}
			}
			return sets[key].add(proposed, want)
		}
		for i := range tables {
			table := &tables[i]
			columns := slices.Clone(table.columns)
			for c := range columns {
				if !values {
					columns[c].Values = nil
				}
			}
			half := "tune"
			if table.heldOut {
				half = "held out"
			}
			for c, p := range d.Propose(table.name, columns) {
				count(half, p.Element, table.want[c])
				count("domain "+table.domain, p.Element, table.want[c])
				if count("all", p.Element, table.want[c]) && testing.Verbose() && values {
					t.Logf("%-8s %s/%s.%s: %q %.2f, want %q (%s) %v", half, table.domain, table.name, p.Column, p.Element, p.Confidence, table.want[c], p.ReasonEn, p.Candidates)
				}
			}
		}
		keys := make([]string, 0, len(sets))
		for key := range sets {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			t.Logf("values %t, %s: %s", values, key, sets[key])
		}
		// Measured on the half that nobody looked at: precision 0.97 and recall 0.96, with values and without. On tables that
		// were written afterwards (now in "mixed"), before anything was changed for them: 0.91 and 0.75.
		if held := sets["held out"]; held.precision() < 0.95 || held.recall() < 0.88 {
			t.Errorf("values %t: %s", values, held)
		}
		for key, one := range sets {
			if strings.HasPrefix(key, "domain ") && (one.precision() < 0.85 || one.recall() < 0.7) {
				t.Errorf("values %t, %s: %s", values, key, one)
			}
		}
		if all := sets["all"]; len(tables) < 60 || all.columns < 600 {
			t.Errorf("%d tables and %d columns are too few", len(tables), all.columns)
		}
	}
}

func TestPropose_SaysHowTheColumnStands(t *testing.T) {
	d := load(t)
	of := func(name, source string, kind lienthong.Kind, sort string) ColumnSample {
		return ColumnSample{Column: lienthong.Column{Name: name, SourceType: source, Kind: kind}, Values: madeValues(t, d, name, sort)}
	}
	mixed := of("so_cccd", "text", lienthong.Text, "cccd")
	copy(mixed.Values, madeValues(t, d, "x", "cmnd")[:5])
	for _, tt := range []struct {
		name    string
		column  ColumnSample
		element string
		kind    MappingRelation
		reason  string
	}{
		{"as the element", of("ngay_sinh", "date", lienthong.Date, "date"), "person.birth_date", ExactMapping, "100 %"},
		{"words for codes", of("gioi_tinh", "text", lienthong.Text, "names:sex"), "person.sex", DerivedMapping, "100 %"},
		{"old and new numbers", mixed, "person.number", BroaderMapping, "83 %"},
		{"only a year", of("ngay_sinh", "int", lienthong.Text, "year"), "", NoMapping, "only a year"},
		{"other values", of("so_cccd", "text", lienthong.Text, "note"), "", NoMapping, "0 %"},
		{"too short for it", of("so_cccd", "character varying(9)", lienthong.Text, "none"), "", NoMapping, "no element"},
		{"nothing like it", of("zzz", "text", lienthong.Text, "note"), "", NoMapping, "no element"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := d.Propose("cong_dan", []ColumnSample{tt.column})[0]
			if p.Element != tt.element || p.Kind != tt.kind || !strings.Contains(p.ReasonEn, tt.reason) {
				t.Errorf("%+v", p)
			}
			for _, v := range tt.column.Values {
				if len(v) > 3 && strings.Contains(p.ReasonVi+p.ReasonEn, v) {
					t.Error("a reason holds a value")
				}
			}
		})
	}
	// The number of the household's head is not anybody's number.
	for _, p := range d.Propose("ho", []ColumnSample{of("so_cccd_nguoi_la", "text", lienthong.Text, "cccd")}) {
		if p.Element != "" {
			t.Errorf("somebody else's number is taken for one's own: %+v", p)
		}
	}
}

func TestCalibrated_RisesWithTheScore(t *testing.T) {
	before := 0.0
	for score := -0.5; score < 2; score += 0.01 {
		c := calibrated(score)
		if c < before || c < 0 || c >= 1 {
			t.Fatalf("%.2f: %f after %f", score, c, before)
		}
		before = c
	}
}

func FuzzColumnReadings(f *testing.F) {
	for _, name := range []string{"", "F_HOTEN", "NgàySinh2", "hoTenTV", "__", "dt_gt_dc_dk", "ĐIỆN THOẠI (nếu có)", "\xff", strings.Repeat("dt_", 40)} {
		f.Add(name)
	}
	d, err := Builtin()
	if err != nil {
		f.Fatal(err)
	}
	index := d.nameIndex()
	f.Fuzz(func(t *testing.T, name string) {
		all := index.columnReadings(name)
		if len(all) == 0 || len(all) > maxReadings {
			t.Errorf("%q: %d readings", name, len(all))
		}
		for _, n := range index.match(all, nil, nil) {
			if n.score < 0 || n.score > 1 {
				t.Errorf("%q: %+v", name, n)
			}
		}
	})
}

// BenchmarkPropose is 500 tables of 20 columns.
func BenchmarkPropose(b *testing.B) {
	d, err := Builtin()
	if err != nil {
		b.Fatal(err)
	}
	var columns []ColumnSample
	for _, table := range labelledTables(b, d) {
		columns = append(columns, table.columns...)
	}
	for b.Loop() {
		for i := range 500 {
			at := i * 20 % (len(columns) - 20)
			d.Propose("bang", columns[at:at+20])
		}
	}
}

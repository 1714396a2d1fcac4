package assessment

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/lienthong/lienthong"
)

// agency is a database of an agency whose quality index is given.
func agency(t *testing.T, code string, bloc lienthong.Bloc, level string, index float64, change func(*Facts)) *Assessment {
	t.Helper()
	f := fine()
	f.Database.Code = fmt.Sprintf("%s_%v", strings.ToLower(code), math.Round(index*10))
	f.Owner = lienthong.Member{Code: lienthong.MemberCode(code), NameVi: "Cơ quan " + code, NameEn: "Agency " + code, Bloc: bloc, Level: level, Official: true}
	f.Quality.Index = index
	if change != nil {
		change(&f)
	}
	return assess(t, f)
}

func sampled(checked, correct int64) func(*Facts) {
	return func(f *Facts) {
		f.Samples = []Sample{{Criterion: lienthong.Correct, Checked: checked, Correct: correct, At: noon}}
	}
}

func unconnected(f *Facts) {
	f.Connection = Connection{Grade: Measured}
	f.Quality, f.Tickets, f.Mapping = Quality{}, Tickets{}, Mapping{}
}

func TestRankAgencies(t *testing.T) {
	m, _ := method(t)
	ministry := func(code string, index float64, change func(*Facts)) *Assessment {
		return agency(t, code, lienthong.Government, "central", index, change)
	}
	leagues := m.RankAgencies([]*Assessment{
		ministry("G01", 98, nil), ministry("G01", 92, nil), // mean 95
		ministry("G03", 95, nil),                                                                                                       // the same
		ministry("G10", 60, nil),                                                                                                       // last
		ministry("G12", 99, unconnected),                                                                                               // nothing connected
		ministry("G15", 99, nil), ministry("G15", 98, unconnected), ministry("G15", 97, unconnected), ministry("G15", 96, unconnected), // too little is known
		agency(t, "H49", lienthong.Government, "province", 99, nil),
		agency(t, "TANDTC", lienthong.Court, "central", 40, nil),
		agency(t, "", lienthong.Government, "central", 40, nil), // no owner
	})
	byClass := map[string]League{}
	for _, l := range leagues {
		byClass[l.Class] = l
		if l.Vi == "" || l.En == "" {
			t.Errorf("league %s has no name", l.Class)
		}
	}
	if len(leagues) != 3 || len(byClass["province"].Standings) != 1 || len(byClass["bloc"].Standings) != 1 {
		t.Fatalf("classes are mixed: %+v", leagues)
	}
	var got []string
	for _, s := range byClass["ministry"].Standings {
		got = append(got, fmt.Sprintf("%d %s %s tied=%v %s", s.Place, s.ID, s.Grade, s.Tied, s.Why.En))
		if s.Place > 0 {
			total, weight := 0.0, 0.0
			for _, measure := range s.Measures {
				if measure.Known {
					total += measure.Weight * measure.Value
					weight += measure.Weight
				}
			}
			if len(s.Measures) != 5 || !approximately(s.Score, total/weight) {
				t.Errorf("%s: %v is not what its five criteria give, %v", s.ID, s.Score, total/weight)
			}
		}
	}
	want := []string{
		"1 G01 A tied=true ", "1 G03 A tied=true ", "3 G10 ",
		"0 G12  tied=false not ranked: no database is connected",
		"0 G15  tied=false not ranked: ",
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("place %d: %q, want %q", i, got[i], want[i])
		}
	}
}

func TestRank_SampledOnesAreToldApartOnlyWhenTheirIntervalsAllow(t *testing.T) {
	m, _ := method(t)
	places := func(checked int64) []int {
		correct := func(share float64) int64 { return int64(share * float64(checked)) }
		leagues := m.RankAgencies([]*Assessment{
			agency(t, "G01", lienthong.Government, "central", 97, sampled(checked, correct(0.97))),
			agency(t, "G03", lienthong.Government, "central", 94, sampled(checked, correct(0.94))),
		})
		var places []int
		for _, s := range leagues[0].Standings {
			if !s.Sampled || s.Low >= s.Score || s.High <= s.Score {
				t.Errorf("%s: %v in %v-%v", s.ID, s.Score, s.Low, s.High)
			}
			places = append(places, s.Place)
		}
		return places
	}
	if got := places(100); got[0] != 1 || got[1] != 1 {
		t.Errorf("100 records each: places %v, want a tie", got)
	}
	if got := places(20000); got[0] != 1 || got[1] != 2 {
		t.Errorf("20,000 records each: places %v", got)
	}
}

func TestWilson(t *testing.T) {
	for _, test := range []struct {
		correct, checked int64
		low, high        float64
	}{ // values by the published formula, to four places
		{0, 10, 0, 0.2775}, {10, 10, 0.7225, 1}, {81, 263, 0.2553, 0.3662}, {50, 100, 0.4038, 0.5962}, {0, 0, 0, 1},
	} {
		low, high := wilson(test.correct, test.checked)
		if math.Abs(low-test.low) > 5e-5 || math.Abs(high-test.high) > 5e-5 {
			t.Errorf("%d of %d: %.4f-%.4f, want %.4f-%.4f", test.correct, test.checked, low, high, test.low, test.high)
		}
	}
}

func TestRankDatabases_ByClass(t *testing.T) {
	m, d := method(t)
	var all []*Assessment
	for _, database := range d.Databases() {
		f := m.Seed(d, database, noon)
		all = append(all, m.Assess(&f, noon))
	}
	f := fine()
	all = append(all, assess(t, f))
	classes, ranked, standings := 0, 0, 0
	for _, league := range m.RankDatabases(all) {
		classes++
		for _, s := range league.Standings {
			standings++
			if s.Place > 0 {
				ranked++
			} else if s.Why.Vi == "" {
				t.Errorf("%s is not ranked and nobody knows why", s.ID)
			}
		}
	}
	// enterprise stands in the list and once more as the fine database
	if classes != 3 || ranked > 1 || standings != len(d.Databases()) {
		t.Errorf("%d classes, %d ranked of %d", classes, ranked, standings)
	}
}

func TestCompare(t *testing.T) {
	a := assess(t, fine())
	w := worst()
	b := assess(t, w)
	c := Compare(a, b)
	if c.Comparable || c.Note.Vi == "" {
		t.Error("a national and a specialised database are compared without a word")
	}
	row := func(id string) ComparisonRow {
		for _, r := range c.Rows {
			if r.ID == id {
				return r
			}
		}
		return ComparisonRow{}
	}
	if r := row("dung"); r.A != 97 || r.B != 38 || !r.AKnown || !r.BKnown || r.Vi == "" {
		t.Errorf("correct: %+v", r)
	}
	if r := row("backup_age"); !r.AKnown || r.BKnown {
		t.Errorf("backups: %+v", r)
	}
	if r := row("points"); r.A <= r.B {
		t.Errorf("points: %+v", r)
	}
	if same := Compare(a, a); !same.Comparable || same.Note.Vi != "" {
		t.Error("a database cannot be compared with itself")
	}
}

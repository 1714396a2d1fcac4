package linkage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

// Each key brings together what it is for, and nothing twice.
func TestBlocking_Persons(t *testing.T) {
	base := Person{
		Name: "Lê Thị Khuê Bình", Birth: Date{1990, 3, 5}, Number: "001190123456", OldNumber: "271345678", Phone: "0912345670", Commune: "00001",
	}
	for _, row := range []struct {
		pass string
		with func(*Person)
	}{
		{"number.head", func(p *Person) { *p = Person{Number: "001190123999"} }},
		{"number.ends", func(p *Person) { *p = Person{Number: "001190999456"} }},
		{"number.tail", func(p *Person) { *p = Person{Number: "079085123456"} }},
		{"number.sorted", func(p *Person) { *p = Person{Number: "001191023456", Birth: Date{Year: 1990}} }},
		{"old_number", func(p *Person) { *p = Person{Number: "271345678"} }},
		{"phone", func(p *Person) { *p = Person{Phone: "+84 912 345 670"} }},
		{"birth.given", func(p *Person) { *p = Person{Name: "Trần Bình", Birth: p.Birth} }},
		{"birth.initials", func(p *Person) { *p = Person{Name: "Buong Kha The Le", Birth: p.Birth} }},
		{"birth.swapped", func(p *Person) { *p = Person{Name: "Trần Bình", Birth: Date{1990, 5, 3}} }},
		{"year.name", func(p *Person) { *p = Person{Name: "Khue Binh Le Thi", Birth: Date{Year: 1990}} }},
		{"day.name", func(p *Person) { *p = Person{Name: p.Name, Birth: Date{1980, 3, 5}} }},
		{"commune.name", func(p *Person) { *p = Person{Name: p.Name, CommuneBefore: "10000"} }},
	} {
		t.Run(row.pass, func(t *testing.T) {
			p := NewPersons(Config{Successors: func(string) []string { return []string{"00001"} }})
			first, other, stranger := base, base, Person{ID: "c", Name: "Phạm Văn Xuân", Birth: Date{1960, 7, 20}, Number: "040060777888", Phone: "0388888880", Commune: "00002"}
			row.with(&other)
			first.ID, other.ID = "a", "b"
			for _, record := range []*Person{&first, &other, &stranger} {
				if err := p.Add(record); err != nil {
					t.Fatal(err)
				}
			}
			var met [][2]uint32
			reports, err := p.eachPair(t.Context(), func(a, b uint32) { met = append(met, [2]uint32{a, b}) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([][2]uint32{{0, 1}}, met); diff != "" {
				t.Error(diff)
			}
			for _, r := range reports {
				want := int64(0)
				if r.ID == row.pass {
					want = 1
				}
				if r.Pairs != want {
					t.Errorf("%s brought %d pairs together, want %d", r.ID, r.Pairs, want)
				}
			}
		})
	}
}

// A block beyond the cap is left out and reported; another key may still bring its records
// together, and a pair is met once.
func TestBlocking_Cap(t *testing.T) {
	p := NewPersons(Config{BlockCap: 10})
	for i := range 20 {
		record := Person{ID: fmt.Sprint(i), Phone: "0912345670"}
		if i < 4 {
			record.Number = fmt.Sprintf("00119012345%d", i%2)
		} else if i < 7 { // a key that comes after the capped one
			record.Name, record.Birth = "Lê Thị Khuê", Date{1990, 3, 15}
		}
		if err := p.Add(&record); err != nil {
			t.Fatal(err)
		}
	}
	met := map[uint64]int{}
	reports, err := p.eachPair(t.Context(), func(a, b uint32) { met[pairOf(a, b)]++ })
	if err != nil {
		t.Fatal(err)
	}
	if len(met) != 9 {
		t.Errorf("%d pairs were met, want the 6 of like numbers and the 3 of like names", len(met))
	}
	for pair, n := range met {
		if n != 1 {
			t.Errorf("pair %x was met %d times", pair, n)
		}
	}
	for _, r := range reports {
		if r.ID == "phone" && (r.Capped != 1 || r.NotCompared != 190 || r.Largest != 20 || r.Pairs != 0) {
			t.Errorf("the report of the cap: %+v", r)
		}
		if r.ID != "phone" && r.Capped != 0 {
			t.Errorf("%s is capped: %+v", r.ID, r)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.eachPair(ctx, func(uint32, uint32) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run says %v", err)
	}
}

// forged is a model in which agreement is enough, to test what the weight does not decide.
func forged(t *testing.T, p *Persons) *Model {
	t.Helper()
	m := &Model{Kind: "person", Records: 1000}
	m.begin(personFields())
	m.Same, m.Ask = 5, 0
	m.Prior = 1e-6
	if err := m.index(); err != nil {
		t.Fatal(err)
	}
	if err := p.use(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestClusters(t *testing.T) {
	person := func(id, number, phone string) Person {
		return Person{ID: id, Name: "Lê Thị Khuê", Birth: Date{1990, 3, 15}, Number: number, Phone: phone, Sex: "F", Commune: "00001"}
	}
	for _, row := range []struct {
		name    string
		records []Person
		answers Answers
		largest int
		want    []Cluster
	}{
		{
			name:    "three entries of one person",
			records: []Person{person("a", "001190123456", "0912345670"), person("b", "001190123456", "0912345670"), person("c", "", "0912345670")},
			want:    []Cluster{{Members: []string{"a", "b", "c"}, Zone: Same}},
		},
		{
			// c has no number and would join two people who have one each.
			name:    "a chain whose ends contradict",
			records: []Person{person("a", "001190123456", "0912345670"), person("b", "001190987654", "0912345670"), person("c", "", "0912345670")},
			want:    []Cluster{{Members: []string{"a", "b", "c"}, Zone: Ask, Reason: Chain}},
		},
		{
			name:    "a person has said that two are not the same",
			records: []Person{person("a", "001190123456", "0912345670"), person("b", "001190123456", "0912345670"), person("c", "", "0912345670")},
			answers: Answers{{"a", "b"}: AnswerDifferent},
			want:    []Cluster{{Members: []string{"a", "b", "c"}, Zone: Ask, Reason: Chain}},
		},
		{
			name:    "a person has said that two are the same",
			records: []Person{person("a", "001190123456", "0912345670"), person("b", "001190987654", "0912345670")},
			answers: Answers{{"a", "b"}: AnswerSame},
			want:    []Cluster{{Members: []string{"a", "b"}, Zone: Same}},
		},
		{
			name:    "larger than groups are",
			largest: 2,
			records: []Person{person("a", "", "0912345670"), person("b", "", "0912345670"), person("c", "", "0912345670")},
			want:    []Cluster{{Members: []string{"a", "b", "c"}, Zone: Ask, Reason: Chain}},
		},
		{
			name:    "two people of one name and day",
			records: []Person{person("a", "001190123456", "0912345670"), person("b", "001190987654", "0912345670")},
			want:    []Cluster{},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := NewPersons(Config{LargestCluster: row.largest})
			for i := range row.records {
				if err := p.Add(&row.records[i]); err != nil {
					t.Fatal(err)
				}
			}
			m := forged(t, p)
			result, err := p.Find(t.Context(), m, row.answers)
			if err != nil {
				t.Fatal(err)
			}
			for i := range result.Clusters {
				result.Clusters[i].Weight = 0
			}
			if diff := cmp.Diff(row.want, result.Clusters); diff != "" {
				t.Error(diff)
			}
			for _, pair := range result.Pairs {
				if len(row.want) == 1 && row.want[0].Zone == Ask && pair.Zone == Same && pair.Reason != Decided {
					t.Errorf("%s and %s are proposed as the same, but their group is asked", pair.A, pair.B)
				}
			}
		})
	}
}

func TestFirmNames(t *testing.T) {
	o := NewOrganisations(Config{})
	o.lexicon.bind(commonWords(o.lexicon, "Hoàng", "Long", "Minh", "Phát", "Phú"))
	for _, row := range []struct {
		a, b string
		want uint8
		form bool
	}{
		{"Công ty TNHH Thương mại và Dịch vụ Hoàng Long", "CTY TNHH TM-DV Hoàng Long", firmNameSame, true},
		{"Công ty Trách nhiệm hữu hạn Một thành viên TM & DV Hoàng Long", "Công ty TNHH MTV TMDV Hoàng Long", firmNameSame, true},
		{"Công ty TNHH SXTMDV Hoàng Long", "Công ty TNHH TM Hoàng Long", firmNameActivities, true},
		{"Công ty TNHH XNKTM Hoàng Long", "Công ty TNHH Xuất nhập khẩu & Thương mại Hoàng Long", firmNameSame, true},
		{"Công ty TNHH Thương mại Dịch vụ Hoàng Long", "Hoang Long Trading and Services Co., Ltd", firmNameWritten, true},
		{"Công ty Cổ phần Xây dựng Minh Phát", "Minh Phat Construction Joint Stock Company", firmNameWritten, true},
		{"Công ty CP Minh Phát", "Công ty Cổ phần Đầu tư Minh Phát", firmNameActivities, true},
		{"Công ty CP Xây dựng Minh Phát", "Công ty CP Du lịch Minh Phát", firmNameElse, true},
		{"Công ty CP Minh Phát", "Công ty TNHH Minh Phát", firmNameSame, false},
		{"DNTN Minh Phát", "Doanh nghiệp tư nhân Minh Phát", firmNameSame, true},
		{"HTX Nông nghiệp Minh Phát", "Hợp tác xã nông nghiệp MINH PHÁT", firmNameSame, true},
		{"Hộ kinh doanh Minh Phát", "HKD Minh Phatt", firmNameSlip, true},
		{"Công ty TNHH Minhphát", "Công ty TNHH Minh Phát", firmNameSlip, true},
		{"Công ty TNHH Phát Minh", "Công ty TNHH Minh Phát", firmNameOrder, true},
		{"Công ty TNHH Minh Hoàng Phát", "Công ty TNHH Minh Phát", firmNameWord, true},
		{"Công ty TNHH Minh Phát", "Công ty TNHH Minh Phú", firmNamePart, true},
		{"Công ty TNHH Minh Phát", "Công ty TNHH Hoàng Long", firmNameOther, true},
		{"Công ty TNHH Việt Nam Xanh", "Công ty TNHH Vietnam Xanh", firmNameMarksOfVietnam, true},
		{"Công ty TNHH Xây dựng", "Công ty TNHH XD", firmNameOther, true}, // nothing but an activity is a name of its own
		{"Công ty TNHH", "Công ty TNHH Minh Phát", firmNameMissing, true},
	} {
		x, y := Organisation{ID: "x", Name: row.a}, Organisation{ID: "y", Name: row.b}
		for _, record := range []*Organisation{&x, &y} {
			if err := o.Add(record); err != nil {
				t.Fatal(err)
			}
		}
		a, _ := o.find("x")
		b, _ := o.find("y")
		var v, w vector
		o.compare(a, b, &v)
		o.compare(b, a, &w)
		form := uint8(2)
		if row.form {
			form = 1
		}
		if v.levels[firmName] != row.want || v.levels[firmForm] != form || v != w {
			t.Errorf("%q and %q: name %d, form %d, the other way %d; want %d and %d", row.a, row.b, v.levels[firmName], v.levels[firmForm], w.levels[firmName], row.want, form)
		}
	}
}

// What stands for Việt Nam in one word carries no marks.
const firmNameMarksOfVietnam = firmNameWritten

func FuzzFirmName(f *testing.F) {
	for _, s := range []string{"Công ty TNHH TM & DV Hoàng Long", "CHI NHÁNH CTCP ABC", "vn", "tnhh", "  ", "Co., Ltd", strings.Repeat("a b ", 40)} {
		f.Add(s)
	}
	o := NewOrganisations(Config{})
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 200 {
			return
		}
		once, again := o.parser.parse(s), o.parser.parse("  "+s+". ")
		if once != again {
			t.Fatalf("%q: %+v, with spaces %+v", s, once, again)
		}
		if int(once.core) >= len(o.lexicon.info) || once.core != 0 && o.lexicon.info[once.core].count == 0 {
			t.Fatalf("%q: a name without words", s)
		}
	})
}

func TestOrganisationLimits(t *testing.T) {
	o := NewOrganisations(Config{})
	for _, row := range []struct {
		name           string
		levels         [maxFields]uint8
		floor, ceiling Zone
		reason         Reason
	}{
		{"nothing against it", [maxFields]uint8{firmName: firmNameSame}, Different, Same, ByWeight},
		{"another branch", [maxFields]uint8{firmName: firmNameSame, firmTax: taxBranch}, Different, Different, OtherBranch},
		{"two tax codes", [maxFields]uint8{firmName: firmNameSame, firmTax: numberOther}, Different, Ask, NumbersContradict},
		{"two registrations", [maxFields]uint8{firmName: firmNameSame, firmBusiness: numberOther}, Different, Ask, NumbersContradict},
		{"one tax code, two registrations", [maxFields]uint8{firmName: firmNameSame, firmTax: numberSame, firmBusiness: numberOther}, Different, Same, ByWeight},
		{"one tax code, two names", [maxFields]uint8{firmName: firmNameOther, firmTax: numberSame}, Ask, Ask, SameNumber},
		{"two names", [maxFields]uint8{firmName: firmNamePart, firmTax: numberSlip}, Different, Different, NamesContradict},
		{"another order", [maxFields]uint8{firmName: firmNameOrder}, Different, Ask, NamesContradict},
		{"doing other things", [maxFields]uint8{firmName: firmNameElse}, Different, Ask, NamesContradict},
		{"another form", [maxFields]uint8{firmName: firmNameSame, firmForm: 2}, Different, Ask, OtherForm},
		{"another year", [maxFields]uint8{firmName: firmNameSame, firmFounded: dateOther}, Different, Ask, DatesContradict},
	} {
		floor, ceiling, reason := o.limit(&vector{levels: row.levels})
		if floor != row.floor || ceiling != row.ceiling || reason != row.reason {
			t.Errorf("%s: from %s to %s because %q, want from %s to %s because %q", row.name, floor, ceiling, reason, row.floor, row.ceiling, row.reason)
		}
	}
}

// The first guesses are probabilities, and the estimate never leaves a level without one.
func TestFields_AreComplete(t *testing.T) {
	for kind, fields := range map[string][]field{"person": personFields(), "organisation": organisationFields()} {
		if len(fields) > maxFields {
			t.Fatalf("%s: %d fields", kind, len(fields))
		}
		for _, f := range fields {
			m := 0.0
			ids := map[string]bool{}
			for i, l := range f.levels {
				if l.vi == "" || l.en == "" || ids[l.id] {
					t.Errorf("%s %s %s: no words, or twice", kind, f.id, l.id)
				}
				ids[l.id] = true
				if i > 0 && (!probability(l.m) || !probability(l.u)) {
					t.Errorf("%s %s %s: m %g, u %g", kind, f.id, l.id, l.m, l.u)
				}
				m += l.m
			}
			if m < .95 || m > 1.05 || len(f.levels) > 16 {
				t.Errorf("%s %s: %d levels that duplicates are at, %g in sum", kind, f.id, len(f.levels), m)
			}
		}
	}
	if got := int(nameLevels); len(nameField().levels) != got {
		t.Errorf("%d levels of names, %d relations", len(nameField().levels), got)
	}
	if got := int(dateLevels); len(dateField("", "", "").levels) != got {
		t.Errorf("%d levels of dates, want %d", len(dateField("", "", "").levels), got)
	}
}

func TestEstimate_SmallRegisters(t *testing.T) {
	p := NewPersons(Config{})
	if _, err := p.Estimate(t.Context(), nil); lienthong.ErrorCode(err) != "linkage.empty" {
		t.Errorf("an empty register: %v", err)
	}
	for i, name := range []string{"Lê Thị Khuê", "Lê Thị Khuê", "Trần Văn Hùng", "Phạm Minh Anh", "Bùi Thị Lan"} {
		record := Person{ID: fmt.Sprint(i), Name: name, Birth: Date{1990 + i/2, 3, 15}, Number: "001190123456", Sex: "F"}
		if i > 1 {
			record.Number = fmt.Sprintf("0010950%05d", i*12345)
		}
		if err := p.Add(&record); err != nil {
			t.Fatal(err)
		}
	}
	m, err := p.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := p.Find(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Pairs) != 1 || result.Pairs[0].Zone != Same || result.Pairs[0].A != "0" || result.Pairs[0].B != "1" {
		t.Errorf("five records of which two are the same: %+v", result.Pairs)
	}
	if len(m.Words) != 0 {
		t.Errorf("the model of five people lists %d words of their names", len(m.Words))
	}
}

// Firms of one name in many provinces are not a kind of duplicate, however many there are. Some
// duplicates with other dates and homes must not lead the estimate there.
func TestEstimate_IsBounded(t *testing.T) {
	m := &Model{Kind: "organisation", Records: 50_000}
	m.begin(organisationFields())
	var sample []candidate
	add := func(n int, levels [maxFields]uint8) {
		for range n {
			sample = append(sample, candidate{vector: vector{levels: levels}})
		}
	}
	add(300, [maxFields]uint8{firmName: firmNameSame, firmTax: numberSame, firmForm: 1, firmFounded: dateSame, firmContact: 1})
	add(300, [maxFields]uint8{firmName: firmNameSame, firmBusiness: numberSame, firmForm: 1, firmFounded: dateOther, firmContact: 4})
	add(100_000, [maxFields]uint8{firmName: firmNameSame, firmTax: numberOther, firmForm: 1, firmFounded: dateOther, firmContact: 4})
	m.learn(organisationFields(), sample, 1)
	if expected := m.Prior * 50_000 * 49_999 / 2; expected < 500 || expected > 2_000 {
		t.Errorf("%.0f duplicates are expected among 600", expected)
	}
	for i, f := range organisationFields() {
		sum := 0.0
		for j, l := range f.levels {
			got := &m.Fields[i].Levels[j]
			sum += got.M
			if l.most > 0 && got.M > l.most+1e-9 {
				t.Errorf("%s %s: %.3f of the duplicates, at most %.3f are like this", f.id, l.id, got.M, l.most)
			}
		}
		if sum < .95 || sum > 1.05 {
			t.Errorf("%s: the shares add up to %.3f", f.id, sum)
		}
	}
}

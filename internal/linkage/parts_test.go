package linkage

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"

	"github.com/lienthong/lienthong/internal/dictionary"
)

// foldedText is the plain words, and the words with marks in a form that can be compared.
func foldedText(f *folder, s string) (plain []string, marked []string) {
	f.fold(s)
	from, fromMarked := 0, 0
	for _, w := range f.words {
		plain = append(plain, string(f.plain[from:w.plain]))
		marked = append(marked, string(f.marked[fromMarked:w.marked]))
		from, fromMarked = w.plain, w.marked
	}
	return plain, marked
}

func TestFold(t *testing.T) {
	f := &folder{letters: newLetters()}
	for _, row := range []struct {
		a, b        string
		same, plain bool // with marks, without
	}{
		{"Nguyễn Thị Hoà", "NGUYỄN  THỊ HÒA", true, true},
		{"Thuỷ", "Thủy", true, true},
		{"Lý", "Lí", true, true},
		{"Quý", "Quí", true, true},
		{"Thuý", "Thúi", false, false},
		{"Mai", "May", false, false},
		{"Y Moan", "I Moan", false, false},
		{"Đặng", "Dang", false, true},
		{"Hoà", "Hoá", false, true},
		{"Hòa", norm.NFD.String("Hòa"), true, true},
		{"Đỗ Ươm", norm.NFD.String("Đỗ Ươm"), true, true},
		{"H'Hen Niê", "H Hen Niê", true, true},
		{"Trần.Văn-An", "Trần Văn An", true, true},
		{"Ơn", "On", false, true},
		{"An", "Ân", false, true},
	} {
		plainA, markedA := foldedText(f, row.a)
		plainB, markedB := foldedText(f, row.b)
		if same := slices.Equal(markedA, markedB); same != row.same {
			t.Errorf("%q and %q with marks: same %v, want %v", row.a, row.b, same, row.same)
		}
		if same := slices.Equal(plainA, plainB); same != row.plain {
			t.Errorf("%q and %q without marks: same %v, want %v", row.a, row.b, same, row.plain)
		}
	}
}

// Folding agrees with the dictionary's keys, which are slower and say nothing of i and y.
func FuzzFold(f *testing.F) {
	for _, s := range []string{"Nguyễn Thị Hoà", "ĐẶNG thuỳ Trâm", "H'Hen Niê", "Y Thông", "  ", "Lý—Quí", "Ø Ñandú", "Siu Klơh", "2 Tháng 9"} {
		f.Add(s)
	}
	folding := &folder{letters: newLetters()}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.IndexFunc(s, func(r rune) bool { return r >= 0x2000 || r == 'ß' || r == 0x1E9E }) >= 0 || len(s) > 100 {
			return
		}
		plain, marked := foldedText(folding, s)
		nfdPlain, nfdMarked := foldedText(folding, norm.NFD.String(s))
		if !slices.Equal(plain, nfdPlain) || !slices.Equal(marked, nfdMarked) {
			t.Fatalf("%q: %q in NFC, %q in NFD", s, marked, nfdMarked)
		}
		want := strings.Fields(dictionary.PlainKey(s))
		if len(want) >= maxWords {
			return
		}
		if len(want) != len(plain) {
			t.Fatalf("%q: words %q, the dictionary has %q", s, plain, want)
		}
		for i := range want {
			stem, endsInY := strings.CutSuffix(want[i], "y")
			if plain[i] != want[i] && (!endsInY || plain[i] != stem+"i") {
				t.Fatalf("%q: words %q, the dictionary has %q", s, plain, want)
			}
		}
	})
}

// edits is the plain form of the distance in which no part is edited twice.
func edits(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range len(b) + 1 {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

func FuzzMisspelt(f *testing.F) {
	for _, pair := range [][2]string{{"huong", "huogn"}, {"lan", "loan"}, {"nguyen", "nguyeenx"}, {"a", "b"}, {"thuong", "thong"}, {"abcdefgh", "abcedfhg"}, {"", "a"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 12 || len(b) > 12 {
			return
		}
		distance := edits(a, b)
		if got := oneEdit([]byte(a), []byte(b)); got != (distance == 1) {
			t.Errorf("%q and %q: one edit %v, the distance is %d", a, b, got, distance)
		}
		for limit := range 3 {
			if got := editsWithin([]byte(a), []byte(b), limit); got != (distance <= limit) {
				t.Errorf("%q and %q: within %d %v, the distance is %d", a, b, limit, got, distance)
			}
		}
		if misspelt([]byte(a), []byte(b)) != misspelt([]byte(b), []byte(a)) {
			t.Errorf("%q and %q: misspelt one way only", a, b)
		}
	})
}

func FuzzCompareDigits(f *testing.F) {
	for _, pair := range [][2]string{
		{"001090012345", "001090012346"},
		{"001090012345", "001090021345"},
		{"001090012345", "00109001234"},
		{"012345678", "112345678"},
		{"0 91.234-5678", "0912345687"},
		{"12a", "12"},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := parseDigits(a), parseDigits(b)
		clean := func(s string) (string, bool) {
			s = strings.NewReplacer(" ", "", ".", "", "-", "").Replace(s)
			return s, s != "" && len(s) <= 14 && strings.Trim(s, "0123456789") == ""
		}
		p, okA := clean(a)
		q, okB := clean(b)
		if (x != 0) != okA || (y != 0) != okB {
			t.Fatalf("%q is a number: %v, want %v", a, x != 0, okA)
		}
		if !okA || !okB {
			return
		}
		want := unlike
		switch {
		case p == q:
			want = alike
		case edits(p, q) == 1:
			want = slipped
		}
		if got := compareDigits(x, y); got != want {
			t.Errorf("%q and %q: %d, want %d", a, b, got, want)
		}
		if compareDigits(x, y) != compareDigits(y, x) {
			t.Errorf("%q and %q: not the same both ways", a, b)
		}
	})
}

func TestNumbers(t *testing.T) {
	same := func(name string, got, want digits) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %x, want %x", name, uint64(got), uint64(want))
		}
	}
	same("a personal number with spaces", personalNumber("001 090 012345"), parseDigits("001090012345"))
	same("a lost zero", personalNumber("96085000033"), parseDigits("096085000033"))
	same("two lost zeros", personalNumber("1090012345"), parseDigits("001090012345"))
	same("a missing digit", personalNumber("00109001234"), parseDigits("00109001234"))
	for _, s := range []string{"", "000000000000", "123456789012", "987654321098", "00109001234x", "012345678", "1234567890123456789"} {
		same("no personal number "+s, personalNumber(s), 0)
	}
	same("an old number", oldNumber("271 345 678"), parseDigits("271345678"))
	same("an old number that lost a zero", oldNumber("11345678"), parseDigits("011345678"))
	same("a phone of today", phoneNumber("0912 345 670"), parseDigits("0912345670"))
	same("a phone with the country code", phoneNumber("+84912345670"), parseDigits("0912345670"))
	same("a phone that lost its zero", phoneNumber("912345670"), parseDigits("0912345670"))
	same("a phone of 11 digits", phoneNumber("01662345670"), parseDigits("0362345670"))
	same("another phone of 11 digits", phoneNumber("0120.2345670"), parseDigits("0702345670"))
	same("a fixed line", phoneNumber("02838123450"), parseDigits("02838123450"))
	same("no phone", phoneNumber("không có"), 0)
	same("no phone", phoneNumber("0000000000"), 0)
	code, suffix := taxCode("0101234569-001")
	same("a branch", code, parseDigits("0101234569"))
	if suffix != 2 {
		t.Errorf("the suffix 001 is %d", suffix)
	}
	code, suffix = taxCode("101234569")
	same("a tax code that lost its zero", code, parseDigits("0101234569"))
	if suffix != 0 {
		t.Errorf("no suffix is %d", suffix)
	}
	if registrationNumber("41A8-012345") == 0 || registrationNumber("41A8-012345") == registrationNumber("41B8-012345") {
		t.Error("letters of a registration number count")
	}
	if registrationNumber("chưa có") != 0 || registrationNumber("ABC") != 0 {
		t.Error("words are no registration number")
	}
}

func TestCompareDates(t *testing.T) {
	for _, row := range []struct {
		a, b Date
		want uint8
	}{
		{Date{1990, 3, 15}, Date{1990, 3, 15}, dateSame},
		{Date{1990, 3, 5}, Date{1990, 5, 3}, dateSwapped},
		{Date{1990, 3, 15}, Date{1990, 3, 16}, dateSlip},
		{Date{1990, 3, 15}, Date{1980, 3, 15}, dateSlip},
		{Date{1990, 3, 15}, Date{1909, 3, 15}, dateSlip},
		{Date{1990, 3, 12}, Date{1990, 3, 21}, dateSlip},
		{Date{1990, 3, 15}, Date{1990, 11, 2}, dateSameYear},
		{Date{1990, 3, 15}, Date{1975, 11, 2}, dateOther},
		{Date{1955, 1, 1}, Date{1955, 1, 1}, dateFiller},
		{Date{1955, 1, 1}, Date{1955, 7, 20}, dateYearOnly},
		{Date{1955, 1, 1}, Date{1956, 1, 1}, dateOther},
		{Date{Year: 1955}, Date{1955, 7, 20}, dateYearOnly},
		{Date{Year: 1955}, Date{Year: 1955}, dateYearOnly},
		{Date{Year: 1955}, Date{Year: 1957}, dateOther},
		{Date{Year: 1955, Month: 7}, Date{1955, 7, 20}, dateYearOnly},
		{Date{Year: 1955, Month: 6}, Date{1955, 7, 20}, dateSameYear},
		{Date{}, Date{1955, 7, 20}, dateMissing},
		{Date{1700, 1, 5}, Date{1955, 7, 20}, dateMissing},
	} {
		a, b := packDate(row.a), packDate(row.b)
		if got := compareDates(a, b); got != row.want {
			t.Errorf("%v and %v: level %d, want %d", row.a, row.b, got, row.want)
		}
		if compareDates(a, b) != compareDates(b, a) {
			t.Errorf("%v and %v: not the same both ways", row.a, row.b)
		}
	}
	if got := DateOfDays(-1); got != (Date{1969, 12, 31}) {
		t.Errorf("the day before 1970 is %v", got)
	}
	for text, want := range map[string]Date{
		"15/03/1990": {1990, 3, 15}, "1990-03-15": {1990, 3, 15}, "03/1990": {Year: 1990, Month: 3}, "1990": {Year: 1990},
		"15.3.1990": {1990, 3, 15}, "không rõ": {}, "1/2/3/4": {}, "123456": {},
	} {
		if got := parseDate(text); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

// A model in which some words are common, as a register of 100,000 would make it.
func commonWords(l *lexicon, words ...string) *Model {
	m := &Model{Kind: "person", Records: 100_000, rare: map[uint64]rarity{}}
	for _, w := range words {
		l.intern(w)
		for _, marked := range l.wordsOf(l.intern(w)) {
			m.rare[wordKey(l.markedSet.hashes[marked], true)] = rarityOfShare(.01)
			m.rare[wordKey(l.plainSet.hashes[l.plainOf[marked]], false)] = rarityOfShare(.01)
		}
	}
	return m
}

func TestRelateNames(t *testing.T) {
	l := newLexicon()
	l.bind(commonWords(l, "Nguyễn", "Trần", "Văn", "Thị", "Lan", "Loan", "Hoà", "Hoa", "Hương", "Hường", "Hùng", "Minh"))
	for _, row := range []struct {
		a, b string
		want relation
	}{
		{"Nguyễn Thị Hoà", "NGUYỄN THỊ HÒA", namesSame},
		{"Nguyễn Thị Hoà", "Nguyen Thi Hoa", namesUnmarked},
		{"Nguyễn Thị Hương", "Nguyễn Thi Hương", namesMarks},
		{"Nguyễn Thị Hương", "Nguyễn Thị Huong", namesMarks},
		{"Nguyễn Thị Hương", "Nguyễn Thị Hường", namesRival},
		{"Nguyễn Thị Hoà", "Nguyễn Thị Hoa", namesRival},
		{"Nguyễn Thị Lan", "Lan Nguyễn Thị", namesOrder},
		{"Nguyễn Thị Thu Lan", "Nguyễn Thị Lan", namesWord},
		{"Nguyễn Thị Lan", "Nguyễn Lan", namesWord},
		{"Nguyễn Thị Lan", "Nguyễn Thị", namesFirst},
		{"Nguyễn Thị Lan", "Nguyễn Thị Loan", namesRival},
		{"Nguyễn Văn Hùng", "Nguyễn Văn Hunhg", namesSlip},
		{"Nguyễn Văn Hùng", "Nguyeenx Văn Hùng", namesSlip},
		{"Trương Văn Hùng", "Truowng Văn Hùng", namesSlip},
		{"Nguyễn Văn Hùng", "Nguyễnvăn Hùng", namesSlip},
		{"Nguyễn Văn Hùng", "Nguyễn Minh Hùng", namesMiddle},
		{"Nguyễn Văn Hùng", "Trần Minh Hùng", namesLast},
		{"Nguyễn Văn Hùng", "Nguyễn Văn Minh", namesFirst},
		{"Nguyễn Văn Hùng", "Trần Thị Lan", namesOther},
		{"Nguyễn Văn Hùng", "", namesMissing},
		{"Hùng", "Hùng", namesSame},
		{"Hùng", "Hung", namesUnmarked},
		{"Hùng", "Hunhg", namesOther},
	} {
		a, b := l.intern(row.a), l.intern(row.b)
		got := l.relate(a, b)
		if got.relation != row.want {
			t.Errorf("%q and %q: %d, want %d", row.a, row.b, got.relation, row.want)
		}
		if diff := cmp.Diff(got, l.relate(b, a), cmp.AllowUnexported(alignment{})); diff != "" {
			t.Errorf("%q and %q: not the same both ways: %s", row.a, row.b, diff)
		}
	}
	rare, common := l.relate(l.intern("Bế Khuê"), l.intern("Bế Khuê")), l.relate(l.intern("Nguyễn Lan"), l.intern("Nguyễn Lan"))
	if rare.rarity <= common.rarity {
		t.Errorf("a rare name says %v, a common one %v", rare.rarity, common.rarity)
	}
}

func TestCircle(t *testing.T) {
	p := NewPersons(Config{Successors: func(code string) []string {
		return map[string][]string{"10000": {"00001"}, "10001": {"00001", "00002"}}[code]
	}})
	base := Person{ID: "a", Phone: "0912345670", Commune: "00001", Mother: Parent{Name: "Trần Thị Hoa"}, Father: Parent{Number: "001060012345"}}
	for _, row := range []struct {
		name   string
		change func(*Person)
		want   uint8
	}{
		{"all", func(*Person) {}, circleTwo},
		{"phone and home", func(q *Person) { q.Mother, q.Father = Parent{}, Parent{} }, circleOneHere},
		{"phone, home of before", func(q *Person) { q.Mother, q.Father, q.Commune, q.CommuneBefore = Parent{}, Parent{}, "", "10000" }, circleOneHere},
		{"phone, home of before that was split", func(q *Person) { q.Mother, q.Father, q.Commune, q.CommuneBefore = Parent{}, Parent{}, "", "10001" }, circleOneHere},
		{"mother written without marks", func(q *Person) { *q = Person{Mother: Parent{Name: "TRAN THI HOA"}} }, circleOne},
		{"a digit of the father's number", func(q *Person) { *q = Person{Father: Parent{Number: "001060012346"}} }, circleOne},
		{"phone, another mother", func(q *Person) { q.Mother.Name, q.Father = "Lê Thị Bưởi", Parent{} }, circleMixed},
		{"home alone", func(q *Person) { *q = Person{Commune: "00001"} }, circleHere},
		{"home, another father", func(q *Person) { *q = Person{Commune: "00001", Father: Parent{Number: "002070099999"}} }, circleHereMixed},
		{"moved, new phone", func(q *Person) { *q = Person{Commune: "00003", Phone: "0387654320"} }, circleNone},
		{"other parents", func(q *Person) { *q = Person{Commune: "00003", Mother: Parent{Name: "Lê Thị Bưởi"}} }, circleNoneParent},
		{"nothing known", func(q *Person) { *q = Person{} }, circleMissing},
	} {
		t.Run(row.name, func(t *testing.T) {
			other := base
			row.change(&other)
			other.ID = "b"
			for _, record := range []*Person{&base, &other} {
				if err := p.Add(record); err != nil {
					t.Fatal(err)
				}
			}
			a, _ := p.find("a")
			b, _ := p.find("b")
			var v, w vector
			p.compare(a, b, &v)
			p.compare(b, a, &w)
			if v.levels[personCircle] != row.want || v != w {
				t.Errorf("level %d, the other way %d, want %d", v.levels[personCircle], w.levels[personCircle], row.want)
			}
		})
	}
	if err := p.Add(&Person{Name: "Không Mã"}); err == nil {
		t.Error("a record without an identifier was taken")
	}
}

func TestPersonLimits(t *testing.T) {
	p := NewPersons(Config{})
	for _, row := range []struct {
		name           string
		levels         [maxFields]uint8
		floor, ceiling Zone
		reason         Reason
	}{
		{name: "nothing against it", levels: [maxFields]uint8{personName: uint8(namesSame), personBirth: dateSame}, ceiling: Same},
		{name: "two numbers", levels: [maxFields]uint8{personName: uint8(namesSame), personBirth: dateSame, personNumber: numberOther}, ceiling: Ask, reason: NumbersContradict},
		{name: "two names that exist", levels: [maxFields]uint8{personName: uint8(namesRival), personBirth: dateSame, personNumber: numberSlip}, ceiling: Ask, reason: NamesContradict},
		{name: "two names that exist, one number", levels: [maxFields]uint8{personName: uint8(namesRival), personBirth: dateSame, personNumber: numberSame}, ceiling: Same},
		{name: "brothers", levels: [maxFields]uint8{personName: uint8(namesFirst), personBirth: dateSame, personNumber: numberSlip}, ceiling: Different, reason: NamesContradict},
		{name: "another middle name", levels: [maxFields]uint8{personName: uint8(namesMiddle), personBirth: dateSame}, ceiling: Ask, reason: NamesContradict},
		{name: "one number, two names", levels: [maxFields]uint8{personName: uint8(namesOther), personNumber: numberSame}, floor: Ask, ceiling: Ask, reason: SameNumber},
		{name: "father and son", levels: [maxFields]uint8{personName: uint8(namesSame), personBirth: dateOther}, ceiling: Ask, reason: DatesContradict},
		{name: "man and woman", levels: [maxFields]uint8{personName: uint8(namesSame), personBirth: dateSame, personSex: 2}, ceiling: Ask, reason: SexContradicts},
		{name: "man and woman, one number", levels: [maxFields]uint8{personName: uint8(namesSame), personBirth: dateSame, personSex: 2, personNumber: numberSame}, ceiling: Same},
	} {
		floor, ceiling, reason := p.limit(&vector{levels: row.levels})
		if floor != row.floor || ceiling != row.ceiling || reason != row.reason {
			t.Errorf("%s: from %s to %s because %q, want from %s to %s because %q", row.name, floor, ceiling, reason, row.floor, row.ceiling, row.reason)
		}
		if vi, en := reason.Words(); vi == "" || en == "" || vi == en {
			t.Errorf("%s: no words for %q", row.name, reason)
		}
	}
}

package demo

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// noon is the clock of the tests.
func noon() time.Time { return time.Date(2026, 11, 20, 5, 0, 0, 0, time.UTC) }

func small(t *testing.T, change func(*Config)) *World {
	t.Helper()
	config := Config{Seed: 7, Persons: 12_000, Now: noon}
	if change != nil {
		change(&config)
	}
	w, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// everything is the text of all rows of a world.
func everything(w *World) []string {
	var out []string
	for _, t := range append(w.civilTables(), w.populationTable()) {
		for i := range t.rows {
			out = append(out, strings.Join(t.row(nil, i), "|"))
		}
	}
	for i := range w.households {
		out = append(out, strings.Join(w.householdRow(nil, i), "|"))
	}
	for i := range w.parcels {
		out = append(out, strings.Join(w.parcelRow(nil, i, ""), "|"))
	}
	return out
}

func TestSameSeedSameCountry(t *testing.T) {
	a, b := small(t, nil), small(t, nil)
	if diff := cmp.Diff(everything(a), everything(b)); diff != "" {
		t.Errorf("two worlds of one seed differ:\n%.600s", diff)
	}
	if diff := cmp.Diff(a.Truth(), b.Truth()); diff != "" {
		t.Errorf("truths of one seed differ:\n%.600s", diff)
	}
	other := small(t, func(c *Config) { c.Seed = 8 })
	if slices.Equal(everything(a), everything(other)) {
		t.Error("another seed makes the same country")
	}
}

func TestConfigRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		config Config
		code   string
	}{
		"too few":         {Config{Persons: 10}, "demo.persons"},
		"too many":        {Config{Persons: 6_000_000}, "demo.persons"},
		"rate":            {Config{Persons: 2000, Defects: map[lienthong.ErrorGroup]float64{lienthong.Stale: 0.5}}, "demo.defects"},
		"unknown commune": {Config{Persons: 2000, Communes: [2]string{"32002", "99999"}}, "demo.commune"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.config)
			if got := lienthong.ErrorCode(err); got != tc.code {
				t.Errorf("code %q, want %q (%v)", got, tc.code, err)
			}
			var coded *lienthong.Error
			if tc.code != "" && (!errors.As(err, &coded) || coded.Vi == "" || coded.En == "") {
				t.Errorf("%v is not told in both languages", err)
			}
		})
	}
}

// TestNumbers checks the structure of personal numbers against the rest of the row,
// independently of how they are made.
func TestNumbers(t *testing.T) {
	w := small(t, nil)
	seen := map[string]int{}
	for i := range w.people {
		p := &w.people[i]
		row := w.personRow(nil, i, time.DateOnly)
		if p.defect != clean {
			continue
		}
		n := row[1]
		if len(n) != 12 || strings.Trim(n, "0123456789") != "" {
			t.Fatalf("row %d: not 12 digits", i)
		}
		if n[:3] != row[7] || n[:1] != "0" {
			t.Errorf("row %d: begins with %s, province of birth is %s", i, n[:3], row[7])
		}
		century, sex := int(n[3]-'0')/2+19, []string{"1", "2"}[(n[3]-'0')%2]
		if row[4][:4] != twoDigits(century)+n[4:6] {
			t.Errorf("row %d: born %s, number says %d%s", i, row[4][:4], century, n[4:6])
		}
		if sex != row[5] {
			t.Errorf("row %d: sex %s, number says %s", i, row[5], sex)
		}
		if j, twice := seen[n]; twice {
			t.Errorf("rows %d and %d have one number", i, j)
		}
		seen[n] = i
		if w.places.before[p.province] == "" {
			t.Errorf("row %d: province of birth %d does not exist", i, p.province)
		}
	}
}

// TestFamilies checks that parents are real, older, of the right sex and without defects.
func TestFamilies(t *testing.T) {
	w := small(t, nil)
	children := 0
	for i := range w.people {
		p := &w.people[i]
		if p.father < 0 || p.defect == personBornInFuture {
			continue
		}
		children++
		father, mother := &w.people[p.father], &w.people[p.mother]
		if !father.male() || mother.male() {
			t.Fatalf("person %d: parents of the wrong sex", i)
		}
		for _, parent := range []*person{father, mother} {
			if age := float64(p.born-parent.born) / year; age < 18 || age > 65 {
				t.Errorf("person %d: a parent was %.1f years old", i, age)
			}
			if parent.defect != clean || parent.flags&twin != 0 {
				t.Errorf("person %d: a parent has a defect", i)
			}
		}
	}
	if children < len(w.people)/3 {
		t.Errorf("only %d of %d have parents", children, len(w.people))
	}
	for _, c := range w.couples {
		h, wife := &w.people[c.husband], &w.people[c.wife]
		if float64(c.day-h.born)/year < 20 || float64(c.day-wife.born)/year < 18 || !h.male() || wife.male() {
			t.Errorf("couple %v may not marry", c)
		}
		if h.father >= 0 && h.father == wife.father {
			t.Errorf("couple %v are brother and sister", c)
		}
	}
}

// TestPlaces checks every commune code at its date, and the tiers of addresses.
func TestPlaces(t *testing.T) {
	d, err := dictionary.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	before := time.Date(2025, 6, 30, 0, 0, 0, 0, time.UTC)
	after := noon()
	w := small(t, nil)
	old, recent := 0, 0
	for i := range w.people {
		if w.people[i].defect != clean {
			continue
		}
		row := w.personRow(nil, i, localDate)
		was, known := d.Commune(row[14], before)
		if !known {
			t.Fatalf("%s was not a commune before", row[14])
		}
		is, known := d.Commune(row[15], after)
		if !known {
			t.Fatalf("%s is not a commune", row[15])
		}
		updated, err := time.Parse(time.RFC3339, row[17])
		if err != nil {
			t.Fatal(err)
		}
		tiers := strings.Count(row[13], ", ")
		if strings.HasPrefix(row[13], "Số") && strings.Contains(row[13], ", ấp ") {
			tiers--
		}
		if updated.Before(time.Date(2025, 6, 30, 17, 0, 0, 0, time.UTC)) {
			old++
			if tiers != 3 || !strings.Contains(row[13], ", "+was.Name+", ") {
				t.Errorf("of before the reorganisation, %q is not an address in %s", row[13], was.Name)
			}
		} else if updated.After(time.Date(2025, 7, 2, 0, 0, 0, 0, time.UTC)) {
			recent++
			if tiers != 2 || !strings.Contains(row[13], ", "+is.Name+", ") {
				t.Errorf("of today, %q is not an address in %s", row[13], is.Name)
			}
		}
	}
	if old < 1000 || recent < 1000 {
		t.Errorf("%d old and %d new addresses", old, recent)
	}
}

// TestNames checks that names are names, and that families are called as often as they are.
func TestNames(t *testing.T) {
	w := small(t, nil)
	count := map[string]int{}
	kinhPeople := 0
	for i := range w.people {
		p := &w.people[i]
		name := w.fullName(p)
		words := strings.Fields(name)
		if len(words) < 2 || strings.Join(words, " ") != name {
			t.Fatalf("person %d: not a tidy name of two words", i)
		}
		for _, r := range name {
			if !unicode.IsLetter(r) && r != ' ' && r != '\'' {
				t.Fatalf("person %d: %q in the name", i, r)
			}
		}
		if p.ethnic == kinh {
			kinhPeople++
			count[w.names.words[p.surname]]++
		}
	}
	for surname, want := range map[string]float64{"Nguyễn": 0.31, "Trần": 0.105, "Lê": 0.09, "Phạm": 0.07} {
		if got := float64(count[surname]) / float64(kinhPeople); math.Abs(got-want) > want*0.35 {
			t.Errorf("%s: %.3f of the people, want about %.3f", surname, got, want)
		}
	}
	for i, word := range w.names.words {
		if strings.Trim(w.names.plain[i], "abcdefghijklmnopqrstuvwxyz") != "" || (word != "" && w.names.plain[i] == "") {
			t.Errorf("%q without marks is %q", word, w.names.plain[i])
		}
	}
}

// TestRates checks that each group has the rate asked for, in each dataset that knows it.
func TestRates(t *testing.T) {
	rates := map[lienthong.ErrorGroup]float64{}
	for i, group := range lienthong.ErrorGroups() {
		rates[group] = 0.004 + float64(i)*0.001
	}
	w := small(t, func(c *Config) { c.Defects = rates })
	type cell struct {
		dataset string
		group   lienthong.ErrorGroup
	}
	got, once := map[cell]int{}, map[string]bool{}
	groups := map[lienthong.ErrorGroup]bool{}
	for _, p := range w.Truth() {
		got[cell{p.Dataset.String(), p.Group}]++
		groups[p.Group] = true
		if id := p.Dataset.String() + "/" + p.Key; once[id] {
			t.Errorf("%s has two defects", id)
		} else {
			once[id] = true
		}
	}
	known := map[cell]bool{}
	for _, k := range kinds() {
		c := cell{k.dataset.String(), k.group}
		if known[c] {
			continue
		}
		known[c] = true
		want := w.quota(k.dataset, k.group)
		if got[c] != want {
			t.Errorf("%v: %d defects, want %d", c, got[c], want)
		}
		if exact := rates[k.group] * float64(w.rows(k.dataset)); math.Abs(float64(want)-exact) > 4.5 {
			t.Errorf("%v: %d planted, the rate asks for %.1f", c, want, exact)
		}
	}
	for _, group := range lienthong.ErrorGroups() {
		if !groups[group] {
			t.Errorf("nothing planted of group %s", group)
		}
	}
	if none := small(t, func(c *Config) { c.Defects = map[lienthong.ErrorGroup]float64{} }).Truth(); len(none) != 0 {
		t.Errorf("%d defects where none were asked for", len(none))
	}
}

func TestCounts(t *testing.T) {
	if testing.Short() {
		t.Skip("makes the whole country")
	}
	w, err := New(Config{Seed: 1, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[lienthong.DatasetID]int{
		population(): 200_000, birthsID(): 40_000, marriagesID(): 25_000, deathsID(): 10_000,
		householdsID(): 8_000, parcelsID(): 12_000, communesID(): 3_321, linksID(): 10_569,
	} {
		if got := w.Rows(id); got != want {
			t.Errorf("%s: %d rows, want %d", id, got, want)
		}
	}
}

func TestPersonalValues(t *testing.T) {
	w := small(t, nil)
	values := map[string]bool{}
	w.PersonalValues(func(value string) bool {
		values[value] = true
		return true
	})
	for i := range w.people {
		row := w.personRow(nil, i, localDate)
		for _, want := range []string{row[1], row[2] + " " + row[3], row[9], row[10]} {
			if want != "" && !values[want] {
				t.Fatalf("a value of row %d is missing", i)
			}
		}
	}
	for i := range w.births {
		if row := w.birthRow(nil, i); !values[row[3]] || !values[row[4]] {
			t.Fatalf("a value of birth %d is missing", i)
		}
	}
	n := 0
	for range w.PersonalValues {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("stopped after %d values, want 3", n)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(Config{Seed: 1, Now: noon}); err != nil {
			b.Fatal(err)
		}
	}
}

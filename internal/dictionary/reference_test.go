package dictionary

import (
	"bytes"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"golang.org/x/text/unicode/norm"
)

func vietnam() *time.Location { return time.FixedZone("ICT", 7*3600) }

func lastSecondBefore() time.Time { return time.Date(2025, 6, 30, 23, 59, 59, 0, vietnam()) }

func firstSecondAfter() time.Time { return time.Date(2025, 7, 1, 0, 0, 0, 0, vietnam()) }

// Trap 1: a commune code without a date is ambiguous.
func TestCommuneCodesAreLookedUpByDate(t *testing.T) {
	d := load(t)
	before, after := lastSecondBefore(), firstSecondAfter()
	then, ok1 := d.Commune("00004", before)
	now, ok2 := d.Commune("00004", after)
	if !ok1 || !ok2 || then.Name != "Phường Trúc Bạch" || now.Name != "Phường Ba Đình" || then.District != "Quận Ba Đình" || now.District != "" {
		t.Errorf("00004 was %+v and is %+v", then, now)
	}
	if _, found := d.Commune("00013", after); found {
		t.Error("00013 is no code of today")
	}
	reused, renamed := 0, 0
	for _, unit := range d.Communes(after) {
		if old, found := d.Commune(unit.Code, before); found {
			reused++
			if MatchKey(old.Name) != MatchKey(unit.Name) {
				renamed++
			}
		}
	}
	// Facts: 3,315 reused and 2,180 renamed; the links tell for certain of most of them.
	if reused != 3246 || renamed < 2000 || renamed > 2180 {
		t.Errorf("%d codes reused, %d of them for another name", reused, renamed)
	}
	if n := len(d.Communes(after)); n != 3321 {
		t.Errorf("%d communes today", n)
	}
}

// Trap 2: neither the province code nor the H-code can be derived from the other.
func TestIdentifiersFollowTheNameOfTheProvince(t *testing.T) {
	d := load(t)
	before, after := lastSecondBefore(), firstSecondAfter()
	for _, code := range []string{"15", "24", "44", "52", "80", "82", "91"} {
		old, ok1 := d.Province(code, before)
		now, ok2 := d.Province(code, after)
		if !ok1 || !ok2 || old.NameVi == now.NameVi || old.HCode == now.HCode {
			t.Errorf("%s was %s %s and is %s %s", code, old.NameVi, old.HCode, now.NameVi, now.HCode)
		}
		same, found := d.ProvinceOfMember(string(now.HCode), before)
		if !found || MatchKey(same.NameVi) != MatchKey(now.NameVi) || same.Code == code {
			t.Errorf("%s belonged to %s %s, today to %s %s", now.HCode, same.Code, same.NameVi, now.Code, now.NameVi)
		}
	}
	if _, found := d.ProvinceOfMember("H04", after); found {
		t.Error("the identifier of Bạc Liêu is closed")
	}
	if p, _ := d.ProvinceOfMember("000.00.00.H50", after); p.NameVi != "Tỉnh Quảng Trị" || p.Code != "44" {
		t.Errorf("H50 is %+v", p)
	}
	if a, b := len(d.Provinces(before)), len(d.Provinces(after)); a != 63 || b != 34 {
		t.Errorf("%d provinces before, %d after", a, b)
	}
	// Đồng Nai became a centrally run city on 30 April 2026.
	province, _ := d.Province("75", after)
	city, _ := d.Province("75", time.Date(2026, 4, 30, 0, 0, 0, 0, after.Location()))
	if province.City || province.NameVi != "Tỉnh Đồng Nai" || !city.City || city.NameVi != "Thành phố Đồng Nai" {
		t.Errorf("Đồng Nai: %+v then %+v", province, city)
	}
}

// Trap 3: a commune that was split cannot be re-coded without a person.
func TestSplitCommunesNeedAPerson(t *testing.T) {
	d := load(t)
	before, after := lastSecondBefore(), firstSecondAfter()
	split, sure := 0, 0
	for _, unit := range d.Communes(before) {
		exact := map[string]bool{}
		links := d.Successors(unit.Code)
		if len(links) == 0 {
			t.Fatalf("%s leads nowhere", unit.Code)
		}
		for _, link := range links {
			if link.Match == ExactMatch {
				exact[link.NewCode] = true
			}
		}
		code, ok := d.Successor(unit.Code)
		if len(exact) > 1 {
			split++
			if ok {
				t.Errorf("%s was split, yet %s is said to be its successor", unit.Code, code)
			}
		}
		if ok {
			sure++
			if _, known := d.Commune(code, after); !known || !exact[code] {
				t.Errorf("%s -> %s", unit.Code, code)
			}
		}
		if !unit.Sure && ok {
			t.Errorf("%s was found by an ambiguous name", unit.Code)
		}
	}
	if split != 429 {
		t.Errorf("%d split communes, want 429", split)
	}
	if sure < 8500 {
		t.Errorf("only %d communes can be re-coded by rule", sure)
	}
	if code, ok := d.Successor("00013"); !ok || code != "00004" {
		t.Errorf("Quán Thánh went to %q, %v", code, ok)
	}
	if d.Successors("99999") != nil {
		t.Error("a code that never was has successors")
	}
	partial, ambiguous, none := 0, 0, 0
	for _, link := range d.Links() {
		if link.Partial {
			partial++
		}
		switch link.Match {
		case AmbiguousMatch:
			ambiguous++
			if len(link.Candidates()) < 2 {
				t.Errorf("ambiguous link with %v", link.Candidates())
			}
		case NoMatch:
			none++
		case ExactMatch:
		}
	}
	if partial != 241 || ambiguous != 439 || none != 182 || len(d.Links()) != 10569 {
		t.Errorf("%d links: partial %d ambiguous %d none %d", len(d.Links()), partial, ambiguous, none)
	}
}

// Trap 4: one name, several spellings.
func TestSpellingsOfOneNameMatch(t *testing.T) {
	d := load(t)
	before, after := lastSecondBefore(), firstSecondAfter()
	same := [][]string{
		{"Thanh Hoá", "Thanh Hóa", "THANH HÓA", norm.NFD.String("Thanh Hoá"), " thanh  hóa "},
		{"Khánh Hoà", "Khánh Hòa", norm.NFD.String("Khánh Hòa")},
		{"Thuỷ", "Thủy"},
		{"Huế", "HUẾ", norm.NFD.String("Huế"), norm.NFKD.String("Huế")},
	}
	for _, group := range same {
		for _, spelling := range group[1:] {
			if MatchKey(spelling) != MatchKey(group[0]) {
				t.Errorf("%q and %q differ: %q %q", spelling, group[0], MatchKey(spelling), MatchKey(group[0]))
			}
		}
	}
	for _, pair := range [][2]string{{"Hòa", "Hóa"}, {"Hoa", "Hòa"}, {"Sơn", "Son"}, {"Đông", "Dông"}, {"Ba Vì", "Bà Vi"}} {
		if MatchKey(pair[0]) == MatchKey(pair[1]) {
			t.Errorf("%q and %q are two names", pair[0], pair[1])
		}
	}
	if got := PlainKey("Xã Đắk Ơ-Nông"); got != "xa dak o nong" {
		t.Errorf("PlainKey = %q", got)
	}
	for _, link := range d.Links() {
		for _, s := range []string{link.OldName, link.NewName, link.OldDistrict, link.Text} {
			if !norm.NFC.IsNormalString(s) {
				t.Fatalf("%q is not in NFC", s)
			}
		}
	}
	for _, unit := range append(append([]Unit{}, d.Communes(before)...), d.Communes(after)...) {
		if !norm.NFC.IsNormalString(unit.Name) || unit.Name == "" || len(unit.Code) != 5 {
			t.Fatalf("bad unit %+v", unit)
		}
	}
}

// Trap 5: old values stay as they were, side by side with the new ones.
func TestBothTimesAreKept(t *testing.T) {
	d := load(t)
	before, after := lastSecondBefore(), firstSecondAfter()
	list, _ := d.CodeList("commune")
	if !list.Valid([]byte("00004"), before.UnixMicro()) || !list.Valid([]byte("00004"), after.UnixMicro()) {
		t.Error("00004 is valid in both times")
	}
	was, _ := list.Lookup("00004", before.UnixMicro())
	is, _ := list.Lookup("00004", after.UnixMicro())
	if was.NameVi != "Phường Trúc Bạch" || is.NameVi != "Phường Ba Đình" {
		t.Errorf("the list has %q and %q", was.NameVi, is.NameVi)
	}
	old, _ := d.Province("95", before)
	if old.NameVi != "Tỉnh Bạc Liêu" || old.MergedInto != "96" || old.To != Reorganised() {
		t.Errorf("95 was %+v", old)
	}
	if _, found := d.Province("95", after); found {
		t.Error("there is no province 95 today")
	}
}

func TestMembers(t *testing.T) {
	d := load(t)
	tests := []struct {
		identifier, name string
		bloc             lienthong.Bloc
		official         bool
	}{
		{"G01", "Bộ Công an", lienthong.Government, true},
		{"000.00.00.G01", "Bộ Công an", lienthong.Government, true},
		{"h49", "Ủy ban nhân dân tỉnh Quảng Ninh", lienthong.Government, true},
		{"000.00.00.H49", "Ủy ban nhân dân tỉnh Quảng Ninh", lienthong.Government, true},
		{"H12", "Ủy ban nhân dân tỉnh Cà Mau", lienthong.Government, false},
		{"H57", "Ủy ban nhân dân thành phố Huế", lienthong.Government, true},
		{"TANDTC", "Tòa án nhân dân tối cao", lienthong.Court, false},
		{"MTTQ", "Ủy ban Trung ương Mặt trận Tổ quốc Việt Nam", lienthong.Front, false},
	}
	for _, tt := range tests {
		m, found := d.Member(tt.identifier)
		if !found || m.NameVi != tt.name || m.Bloc != tt.bloc || m.Official != tt.official {
			t.Errorf("%s: %+v %v", tt.identifier, m, found)
		}
	}
	for _, unknown := range []string{"", "H04", "G99", "G01.77", "1"} {
		if _, found := d.Member(unknown); found {
			t.Errorf("%q is found", unknown)
		}
	}
	if n := len(d.Members()); n != 43+34 {
		t.Errorf("%d members", n)
	}
}

func TestDatabasesAndTasks(t *testing.T) {
	d := load(t)
	seen := map[string]bool{}
	for _, db := range d.Databases() {
		if seen[db.Code] || db.NameVi == "" || db.NameEn == "" {
			t.Errorf("bad database %+v", db)
		}
		seen[db.Code] = true
		if db.Owner != "" {
			if _, found := d.Member(string(db.Owner)); !found {
				t.Errorf("%s belongs to unknown %s", db.Code, db.Owner)
			}
		}
	}
	if len(seen) != 73 {
		t.Errorf("%d databases", len(seen))
	}
	if db, _ := d.Database("population"); db.Owner != "G01" || db.Class != lienthong.NationalDatabase || db.Confidence != "A" {
		t.Errorf("population: %+v", db)
	}
	if db, _ := d.Database("civil_status"); db.Owner != "G15" {
		t.Errorf("civil_status: %+v", db)
	}
	tasks := d.Tasks()
	due, dated := tasks[0].DueDate()
	if _, roadmap := tasks[7].DueDate(); len(tasks) != 17 || !dated || due.Format(time.DateOnly) != "2025-08-31" || roadmap {
		t.Errorf("tasks: %+v", tasks)
	}
	if len(d.Readiness()) != 27 {
		t.Errorf("%d checks", len(d.Readiness()))
	}
}

func TestReferenceFilesAreAtHand(t *testing.T) {
	d := load(t)
	for _, source := range d.Sources() {
		data, err := d.ReferenceFile(source.File)
		if err != nil || bytes.Count(data, []byte("\n"))-1 != source.Rows || source.Licence == "" || source.Source == "" {
			t.Errorf("%s: %v", source.File, err)
		}
	}
	if _, err := d.ReferenceFile("../person.yaml"); err == nil {
		t.Error("files outside the reference data are not served")
	}
}

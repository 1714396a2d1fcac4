package dictionary

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
)

// inWords writes what a code became in one line each.
func inWords(found []Succession) []string {
	var list []string
	for _, s := range found {
		text := s.Code + " " + string(s.Kind)
		if s.Partial {
			text += " partial"
		}
		if s.Sure {
			text += " sure"
		}
		list = append(list, text)
	}
	return list
}

func TestSuccessors_ByDate(t *testing.T) {
	d := load(t)
	before, after := lastSecondBefore().UnixMicro(), firstSecondAfter().UnixMicro()
	ministries := time.Date(2025, 3, 1, 0, 0, 0, 0, vietnam()).UnixMicro()
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, vietnam()).UnixMicro()
	tests := []struct {
		list, code string
		from, to   int64
		want       []string
	}{
		// Provinces: trap 2, the code of Yên Bái is that of Lào Cai today.
		{"province", "15", before, after, []string{"15 merged sure"}},
		{"province", "95", before, now, []string{"96 merged sure"}},
		{"province", "01", before, now, []string{"01 unchanged sure"}},
		{"province", "75", after, now, []string{"75 renamed sure"}},
		{"province", "75", before, now, []string{"75 merged sure"}}, // with Bình Phước, then a city
		{"province", "70", before, now, []string{"75 merged sure"}},
		{"province", "75", after, after, []string{"75 unchanged sure"}},
		{"province", "95", after, now, nil}, // was no code any more
		{"province", "00", before, now, nil},
		{"province", "95", after, before, nil}, // the wrong way round
		// Communes: traps 1 and 3.
		{"commune", "00004", after, now, []string{"00004 unchanged sure"}},
		{"commune", "00013", before, now, []string{"00004 merged sure"}},
		{"commune", "99999", before, now, nil},
		// Organisations.
		{"organisation", "G05", ministries - 1, now, []string{"G12 merged sure"}},
		{"organisation", "G13", ministries - 1, ministries, []string{"G10 merged sure"}},
		{"organisation", "G04", ministries - 1, now, []string{"G01 split partial", "G17 split partial"}},
		{"organisation", "G01", ministries - 1, now, []string{"G01 unchanged sure"}},
		{"organisation", "G05", ministries, now, nil},
		{"organisation", "H04", before, now, []string{"H12 merged sure"}},
		// Plain lists: a code that ended without a successor.
		{"unit_level", "district", before, after, nil},
		{"unit_level", "district", before - 2, before, []string{"district unchanged sure"}},
	}
	for _, tt := range tests {
		list, _ := d.CodeList(tt.list)
		if diff := cmp.Diff(tt.want, inWords(list.Successors(tt.code, tt.from, tt.to))); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.list, tt.code, diff)
		}
	}
	province, _ := d.CodeList("province")
	if got := province.Successors("70", before, now); got[0].Name != "Thành phố Đồng Nai" {
		t.Errorf("the name is that of the time asked for: %+v", got)
	}
	// Two predecessors: neither alone is what the province was.
	if diff := cmp.Diff([]string{"70 merged", "75 merged"}, inWords(province.Predecessors("75", now, before))); diff != "" {
		t.Errorf("predecessors of 75 (-want +got):\n%s", diff)
	}
	organisation, _ := d.CodeList("organisation")
	if diff := cmp.Diff([]string{"G07 split partial", "G10 merged", "G13 merged"}, inWords(organisation.Predecessors("G10", now, ministries-1))); diff != "" {
		t.Errorf("predecessors of G10 (-want +got):\n%s", diff)
	}
}

// The list of communes and the links of the reference data say the same, for every code.
func TestSuccessors_AgreeWithTheLinks(t *testing.T) {
	d := load(t)
	list, _ := d.CodeList("commune")
	before, after := lastSecondBefore().UnixMicro(), firstSecondAfter().UnixMicro()
	sure := 0
	for _, unit := range d.Communes(lastSecondBefore()) {
		want := map[string]bool{}
		for _, link := range d.Successors(unit.Code) {
			want[link.NewCode] = true
		}
		got := list.Successors(unit.Code, before, after)
		if len(got) != len(want) {
			t.Fatalf("%s: %v, want %v", unit.Code, inWords(got), want)
		}
		for _, s := range got {
			if !want[s.Code] {
				t.Errorf("%s became %s", unit.Code, s.Code)
			}
		}
		code, ok := d.Successor(unit.Code)
		if ok != (len(got) == 1 && got[0].Sure) || ok && got[0].Code != code {
			t.Errorf("%s: %v, but Successor says %q %v", unit.Code, inWords(got), code, ok)
		}
		if ok {
			sure++
		}
	}
	if sure < 8500 {
		t.Errorf("only %d are sure", sure)
	}
	for _, unit := range d.Communes(firstSecondAfter())[:200] {
		want := map[string]bool{}
		for _, link := range d.Predecessors(unit.Code) {
			for _, code := range link.Candidates() {
				want[code] = true
			}
		}
		var codes []string
		for _, s := range list.Predecessors(unit.Code, after, before) {
			codes = append(codes, s.Code)
			if !want[s.Code] {
				t.Errorf("%s was made from %s", unit.Code, s.Code)
			}
		}
		if len(codes) != len(want) || !slices.IsSorted(codes) {
			t.Errorf("%s was made from %v, want %v", unit.Code, codes, want)
		}
	}
}

// Trap 5: re-coding never touches what was: both entries stay and can be asked.
func TestAt_ListsTheCodesOfADay(t *testing.T) {
	d := load(t)
	before, after := lastSecondBefore().UnixMicro(), firstSecondAfter().UnixMicro()
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, vietnam()).UnixMicro()
	for _, tt := range []struct {
		list string
		at   int64
		want int
	}{
		{"province", before, 63},
		{"province", after, 34},
		{"province", now, 34},
		{"commune", now, 3321},
		{"unit_level", before, 3},
		{"unit_level", after, 2},
		{"identity_document", civilDays(2026, 1, 1) * day, 6},
		{"identity_document", civilDays(2023, 1, 1) * day, 5},
		{"occupation", civilDays(2020, 1, 1) * day, 0},
		{"occupation", now, 10},
		{"organisation", now, 43 + 34},
	} {
		list, _ := d.CodeList(tt.list)
		valid := list.At(tt.at)
		if len(valid) != tt.want {
			t.Errorf("%s has %d codes, want %d", tt.list, len(valid), tt.want)
		}
		if !slices.IsSortedFunc(valid, func(a, b Code) int { return strings.Compare(a.Code, b.Code) }) {
			t.Errorf("%s is not in order", tt.list)
		}
		for _, code := range valid {
			if !list.Valid([]byte(code.Code), tt.at) {
				t.Errorf("%s: %s is listed but not valid", tt.list, code.Code)
			}
		}
	}
}

// The list of organisations and the members of the reference data are one.
func TestOrganisations_AreTheMembers(t *testing.T) {
	d := load(t)
	list, _ := d.CodeList("organisation")
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, vietnam()).UnixMicro()
	for _, member := range d.Members() {
		code, found := list.Lookup(string(member.Code), now)
		if !found || code.NameVi != member.NameVi || code.NameEn != member.NameEn {
			t.Errorf("%s is %q in the list and %q among the members", member.Code, code.NameVi, member.NameVi)
		}
	}
	for _, code := range list.Codes() {
		if _, err := lienthong.ParseMemberCode(code.Code); err != nil {
			t.Error(err)
		}
		if code.To == forever {
			if _, found := d.Member(code.Code); !found {
				t.Errorf("%s is no member", code.Code)
			}
		} else if len(list.Successors(code.Code, code.To-1, code.To)) == 0 {
			t.Errorf("%s %s ended and became nothing", code.Code, code.NameVi)
		}
	}
}

// Changes one after the other: doubt does not go away on the way, and a code that was given
// out again means what it meant on the day.
func TestSuccessors_ThroughSeveralChanges(t *testing.T) {
	list, err := ParseCodeList("jobs.yaml", []byte(`
id: jobs
name_vi: Nghề
name_en: Jobs
source: Thử
version: "1"
codes:
  - {code: a, vi: A, en: A, valid_to: 2010-01-01}
  - {code: a, vi: A mới, en: New A, valid_from: 2020-01-01}
  - {code: b, vi: B, en: B, valid_to: 2010-01-01}
  - {code: c, vi: C, en: C, valid_from: 2010-01-01, valid_to: 2015-01-01}
  - {code: d, vi: D, en: D, valid_from: 2015-01-01}
  - {code: e, vi: E, en: E, valid_to: 2015-01-01}
  - {code: e2, vi: E2, en: E2, valid_from: 2010-01-01, valid_to: 2015-01-01}
  - {code: f, vi: F, en: F, valid_from: 2015-01-01}
  - {code: g, vi: G, en: G, valid_to: 2015-01-01}
  - {code: h, vi: H, en: H, valid_to: 2010-01-01}
  - {code: i, vi: I, en: I, valid_from: 2010-01-01}
  - {code: j, vi: J, en: J, valid_from: 2010-01-01, valid_to: 2012-01-01}
  - {code: k, vi: K, en: K, valid_to: 2010-01-01}
links:
  - {from: h, to: i, at: 2010-01-01, kind: split}
  - {from: h, to: j, at: 2010-01-01, kind: split}
  - {from: k, to: c, at: 2010-01-01, kind: split, partial: true}
  - {from: k, to: e2, at: 2010-01-01, kind: split}
  - {from: e2, to: d, at: 2015-01-01, kind: merged}
  - {from: a, to: c, at: 2010-01-01, kind: merged}
  - {from: b, to: c, at: 2010-01-01, kind: merged}
  - {from: c, to: d, at: 2015-01-01, kind: renamed}
  - {from: e, to: d, at: 2015-01-01, kind: split, partial: true}
  - {from: e, to: f, at: 2015-01-01, kind: split, partial: true}
  - {from: g, to: f, at: 2015-01-01, kind: merged, partial: true}
`))
	if err != nil {
		t.Fatal(err)
	}
	at := func(date string) int64 {
		instant, ok := instantOf(date, "", 0)
		if !ok {
			t.Fatal(date)
		}
		return instant
	}
	for _, tt := range []struct {
		code, from, to string
		want           []string
	}{
		{"a", "2000-01-01", "2012-01-01", []string{"c merged sure"}},
		{"a", "2000-01-01", "2022-01-01", []string{"d merged sure"}},
		{"a", "2021-01-01", "2022-01-01", []string{"a unchanged sure"}},
		{"a", "2012-01-01", "2022-01-01", nil},
		{"e", "2000-01-01", "2022-01-01", []string{"d split partial", "f split partial"}},
		{"g", "2000-01-01", "2022-01-01", []string{"f merged partial"}},
		{"h", "2000-01-01", "2011-01-01", []string{"i split", "j split"}},
		{"h", "2000-01-01", "2022-01-01", []string{"i split"}}, // j is gone, but some of h went there
		{"k", "2000-01-01", "2022-01-01", []string{"d split"}}, // a part by c, the rest by e2
	} {
		if diff := cmp.Diff(tt.want, inWords(list.Successors(tt.code, at(tt.from), at(tt.to)))); diff != "" {
			t.Errorf("%s from %s to %s (-want +got):\n%s", tt.code, tt.from, tt.to, diff)
		}
	}
	if diff := cmp.Diff([]string{"a merged", "b merged", "e split partial", "k split"}, inWords(list.Predecessors("d", at("2022-01-01"), at("2000-01-01")))); diff != "" {
		t.Errorf("predecessors of d (-want +got):\n%s", diff)
	}
	for _, bad := range []string{
		"links: [{from: a, to: c, at: 2011-01-01, kind: merged}]",
		"links: [{from: a, to: zz, at: 2010-01-01, kind: merged}]",
		"links: [{from: a, to: c, at: 2010-01-01, kind: vanished}]",
	} {
		_, err := ParseCodeList("x.yaml", []byte("id: x\nname_vi: X\nname_en: X\nsource: S\ncodes:\n  - {code: a, vi: A, valid_to: 2010-01-01}\n  - {code: c, vi: C, valid_from: 2010-01-01}\n"+bad))
		if diff := cmp.Diff([]string{"list.link"}, codes(err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", bad, diff)
		}
	}
}

package dictionary

import (
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
)

// Source says what a file of the reference data is and where it comes from.
type Source struct {
	File      string `yaml:"file"`
	TitleVi   string `yaml:"title_vi"`
	TitleEn   string `yaml:"title_en"`
	ValidFrom string `yaml:"valid_from"`
	Rows      int    `yaml:"rows"`
	SHA256    string `yaml:"sha256"`
	Source    string `yaml:"source"`
	Licence   string `yaml:"licence"`
	Line      int    `yaml:"-"`
}

// Province is a province or centrally run city as it was in some period.
type Province struct {
	Code          string // 2 digits
	NameVi        string // full, with its type: "Tỉnh Cà Mau"
	NameEn        string
	City          bool                 // centrally run
	HCode         lienthong.MemberCode // of its People's Committee; follows the name, not the code
	HCodeVerified bool                 // seen in live documents, not only in the list of QCVN 102
	Communes      int                  // units of the commune tier; 0 before 1 July 2025: not in the data
	Wards         int
	RuralCommunes int
	SpecialZones  int
	MergedFrom    []string // codes of the provinces of before; empty for those
	MergedInto    string   // code of the province of today; empty for those of today
	From, To      int64    // period in microseconds since 1970 UTC, To exclusive
}

// Unit is an administrative unit of the commune tier as it was in some period.
type Unit struct {
	Code     string // 5 digits
	Name     string // full, with its type
	Type     string // xa, phuong, dac_khu, thi_tran; empty when the name does not say it
	Province string // code of the province of that time; empty when it could not be settled
	District string // name; only before 1 July 2025
	From, To int64  // period in microseconds since 1970 UTC, To exclusive
	// Sure is false for units of before whose code was found by a name that several
	// communes of the province had.
	Sure bool
}

// LinkMatch says how the old code of a link was found.
type LinkMatch string

// The kinds of match.
const (
	ExactMatch     LinkMatch = "exact"
	AmbiguousMatch LinkMatch = "ambiguous" // one of several codes
	NoMatch        LinkMatch = "none"
)

// Link says that an old commune, or a part of it, went to a new one on 1 July 2025.
type Link struct {
	NewCode     string
	NewName     string
	NewProvince string
	OldCode     string // several separated by | when ambiguous, empty when not found
	OldName     string
	OldDistrict string // likewise
	OldProvince string // likewise, but not one for one
	Partial     bool   // the resolution says that only a part moved
	Match       LinkMatch
	Text        string // the words of the resolution
}

// Candidates are the possible old codes.
func (l *Link) Candidates() []string {
	if l.OldCode == "" {
		return nil
	}
	return strings.Split(l.OldCode, "|")
}

// Task is a task of Resolution 214/NQ-CP.
type Task struct {
	Code    string
	TitleVi string
	TitleEn string
	Owner   string // a member's code, or a group: *all, *ministries, *provinces, *owners, *companies
	Due     string // a date, or continuous, roadmap, monthly
	Area    string
}

// DueDate is the day on which a dated task is due.
func (t *Task) DueDate() (time.Time, bool) {
	date, err := time.Parse(time.DateOnly, t.Due)
	return date, err == nil
}

// ReadinessCriterion is one check of the review of a database.
type ReadinessCriterion struct {
	ID         int
	Group      string // phap_ly, tai_chinh, ha_tang, du_lieu, phan_mem, an_toan
	QuestionVi string
}

// reference is the dated data. Nothing changes after loading.
type reference struct {
	version     string
	sources     []Source
	members     []lienthong.Member
	memberIndex map[lienthong.MemberCode]int
	provinces   []Province // all periods, by code and From
	today       []Unit     // by code
	todayIndex  map[string]int32
	before      []Unit // by code
	beforeIndex map[string]int32
	links       []Link
	byOld       []linkKey // sorted by code
	byNew       []linkKey
	databases   []lienthong.Database
	tasks       []Task
	readiness   []ReadinessCriterion
}

type linkKey struct {
	code string
	link int32
}

// Reorganised is the instant from which the units of two tiers hold: 1 July 2025,
// 00:00 in Vietnam, in microseconds since 1970 UTC.
func Reorganised() int64 { return civilDays(2025, 7, 1)*day - vietnamOffset }

// ReferenceVersion is the version of the reference data.
func (d *Dictionary) ReferenceVersion() string { return d.reference.version }

// Sources lists the files of the reference data with their origin and licence.
func (d *Dictionary) Sources() []Source { return d.reference.sources }

// Members returns the central bodies of every bloc and the People's Committees of
// the provinces of today. Official is false for provisional codes, and for province
// codes that have not been verified in live documents.
func (d *Dictionary) Members() []lienthong.Member { return d.reference.members }

// Member finds a member of today by its electronic identifier in either form: "H49" or
// "000.00.00.H49".
func (d *Dictionary) Member(identifier string) (lienthong.Member, bool) {
	code, err := lienthong.ParseMemberCode(identifier)
	if err != nil {
		return lienthong.Member{}, false
	}
	i, found := d.reference.memberIndex[code]
	if !found {
		return lienthong.Member{}, false
	}
	return d.reference.members[i], true
}

// Provinces returns the provinces that existed at the time, by code.
func (d *Dictionary) Provinces(at time.Time) []Province {
	instant := at.UnixMicro()
	list := make([]Province, 0, 63)
	for i := range d.reference.provinces {
		if p := &d.reference.provinces[i]; p.From <= instant && instant < p.To {
			list = append(list, *p)
		}
	}
	return list
}

// Province returns the province that had the code at the time. Seven codes of before
// belong to provinces with another name today.
func (d *Dictionary) Province(code string, at time.Time) (Province, bool) {
	return d.findProvince(at, func(p *Province) bool { return p.Code == code })
}

// ProvinceOfMember returns the province whose People's Committee had the identifier
// at the time. The identifiers of provinces that were merged into others are closed.
func (d *Dictionary) ProvinceOfMember(identifier string, at time.Time) (Province, bool) {
	code, err := lienthong.ParseMemberCode(identifier)
	if err != nil {
		return Province{}, false
	}
	return d.findProvince(at, func(p *Province) bool { return p.HCode == code })
}

func (d *Dictionary) findProvince(at time.Time, wanted func(*Province) bool) (Province, bool) {
	instant := at.UnixMicro()
	for i := range d.reference.provinces {
		if p := &d.reference.provinces[i]; p.From <= instant && instant < p.To && wanted(p) {
			return *p, true
		}
	}
	return Province{}, false
}

// Commune returns the unit that had the code at the time. A code without a date is
// ambiguous: 00004 was Phường Trúc Bạch and is Phường Ba Đình. Of the time before
// 1 July 2025 the data knows the state just before that day, and not all of it.
func (d *Dictionary) Commune(code string, at time.Time) (Unit, bool) {
	units, index := d.reference.today, d.reference.todayIndex
	if at.UnixMicro() < Reorganised() {
		units, index = d.reference.before, d.reference.beforeIndex
	}
	i, found := index[code]
	if !found {
		return Unit{}, false
	}
	return units[i], true
}

// Communes returns the units of the time by code. Callers do not change them.
func (d *Dictionary) Communes(at time.Time) []Unit {
	if at.UnixMicro() < Reorganised() {
		return d.reference.before
	}
	return d.reference.today
}

// Links returns all links in the order of the reference file.
func (d *Dictionary) Links() []Link { return d.reference.links }

// Successors returns where an old commune went. With more than one, or with a
// partial or ambiguous one, a person must decide for each address.
func (d *Dictionary) Successors(oldCode string) []Link {
	return d.reference.linksOf(d.reference.byOld, oldCode)
}

// Predecessors returns what a commune of today was made from.
func (d *Dictionary) Predecessors(newCode string) []Link {
	return d.reference.linksOf(d.reference.byNew, newCode)
}

// Successor returns the new code of an old commune when there is no doubt about
// it: it went as a whole to one commune, and its code was found without ambiguity.
func (d *Dictionary) Successor(oldCode string) (string, bool) {
	links := d.Successors(oldCode)
	if len(links) != 1 || links[0].Match != ExactMatch || links[0].Partial {
		return "", false
	}
	return links[0].NewCode, true
}

func (r *reference) linksOf(keys []linkKey, code string) []Link {
	i, _ := slices.BinarySearchFunc(keys, code, func(k linkKey, code string) int { return strings.Compare(k.code, code) })
	var found []Link
	for ; i < len(keys) && keys[i].code == code; i++ {
		found = append(found, r.links[keys[i].link])
	}
	return found
}

// Databases returns the national, specialised and political-system databases.
func (d *Dictionary) Databases() []lienthong.Database { return d.reference.databases }

// Database returns the one with the code.
func (d *Dictionary) Database(code string) (lienthong.Database, bool) {
	for i := range d.reference.databases {
		if d.reference.databases[i].Code == code {
			return d.reference.databases[i], true
		}
	}
	return lienthong.Database{}, false
}

// Tasks returns the tasks of Resolution 214/NQ-CP.
func (d *Dictionary) Tasks() []Task { return d.reference.tasks }

// Readiness returns the checks of the review of a database.
func (d *Dictionary) Readiness() []ReadinessCriterion { return d.reference.readiness }

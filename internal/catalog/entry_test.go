package catalog

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// full is an entry in which nothing is missing.
func full() Entry {
	e := Entry{
		Code: "local_water", NameVi: "CSDL cấp nước", NameEn: "Water supply database", Class: lienthong.LocalDatabase, Domains: []string{"DOM-ASSET"},
		Owner: "H49", Manager: "H49.12", Operator: "Trung tâm Chuyển đổi số",
		LegalBases: []LegalBasis{{Type: "decree", Number: "278/2025/NĐ-CP", Article: "Điều 5 khoản 2", Date: "2025-10-22"}},
		PurposeVi:  "Quản lý cấp nước", Scope: Scope{Territory: "Quảng Ninh", SubjectVi: "công trình cấp nước", Objects: 1200, Since: "2015"},
		Collection: []Collection{{Method: "sensor", From: "công tơ"}},
		Objects:    []DataObject{{Name: "meter", NameVi: "Đồng hồ nước"}},
		Datasets: []Dataset{{
			Name: "meter", TitleVi: "Đồng hồ nước", Object: "meter", Access: SharedAccess, Importance: OtherData, Shareable: true, ShareVia: []string{"feed"}, Updated: "24h",
			Retention: Retention{Years: 10, Then: "tiêu hủy"}, Shape: &RegisteredShape{Table: "dong_ho", Confirmed: 1, Columns: []RegisteredColumn{{Name: "id", Type: "int", Kind: lienthong.Integer}}},
		}},
		Security:  Security{Level: 3, Document: "12/QĐ-UBND", Date: "2026-03-01"},
		Technical: Technical{Engine: "PostgreSQL", Version: "16", SizeBytes: 1 << 30, Rows: 1200, Location: "TTDL tỉnh", Backup: Backup{Every: "24h", Kept: "30 ngày", TestedOn: "2026-06-01"}},
		Status:    Status{Group: Built, Progress: 100},
		Relations: []Relation{{Type: Uses, Code: "population"}},
	}
	for _, d := range Duties() {
		e.People = append(e.People, Contact{Duty: d.Value, Name: "Nguyễn Văn A", Position: "Giám đốc", Phone: "0203 3835 001", Email: "a@quangninh.gov.vn"})
	}
	return e
}

func TestEntry_RoundTrip(t *testing.T) {
	e := full()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseEntry(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, again); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "{", `{"cod":"x"}`, `{"code":1}`, `{} {}`, `[]`} {
		if _, err := ParseEntry([]byte(bad)); lienthong.ErrorCode(err) != "catalog.json" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestEntry_CompletenessOfAFullEntry(t *testing.T) {
	e := full()
	c := e.Completeness()
	if c.Percent != 100 || len(c.Missing()) != 0 {
		t.Errorf("%d %%, missing %v", c.Percent, c.Missing())
	}
	if p := e.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
	empty := Entry{}
	if c := empty.Completeness(); c.Percent != 0 || len(c.Sections) != 8 {
		t.Errorf("an empty entry: %d %% in %d sections", c.Percent, len(c.Sections))
	}
}

// Every answer that is taken away is missed, in its section, and nothing else.
func TestEntry_WhatIsMissingIsNamed(t *testing.T) {
	for _, tt := range []struct {
		section, where string
		drop           func(*Entry)
	}{
		{"identity", "name_en", func(e *Entry) { e.NameEn = "" }},
		{"identity", "domains", func(e *Entry) { e.Domains = nil }},
		{"identity", "manager", func(e *Entry) { e.Manager = "" }},
		{"basis", "legal_bases.article", func(e *Entry) { e.LegalBases[0].Article = "" }},
		{"basis", "scope.objects", func(e *Entry) { e.Scope.Objects = 0 }},
		{"basis", "collection", func(e *Entry) { e.Collection = nil }},
		{"data", "objects", func(e *Entry) { e.Objects = nil }},
		{"data", "datasets.meter.shape", func(e *Entry) { e.Datasets[0].Shape = nil }},
		{"classification", "datasets.meter.access", func(e *Entry) { e.Datasets[0].Access = "" }},
		{"classification", "datasets.meter.importance", func(e *Entry) { e.Datasets[0].Importance = "" }},
		{"classification", "datasets.meter.retention", func(e *Entry) { e.Datasets[0].Retention = Retention{} }},
		{"classification", "datasets.meter.share_via", func(e *Entry) { e.Datasets[0].ShareVia = nil }},
		{"security", "security.document", func(e *Entry) { e.Security.Document = "" }},
		{"people", "people.steward.contact", func(e *Entry) { e.People[3].Phone, e.People[3].Email = "", "" }},
		{"technical", "technical.backup.tested_on", func(e *Entry) { e.Technical.Backup.TestedOn = "" }},
		{"status", "status.due", func(e *Entry) { e.Status.Group = Building }},
	} {
		e := full()
		tt.drop(&e)
		c := e.Completeness()
		if len(c.Missing()) != 1 || c.Missing()[0].Where != tt.where || c.Percent >= 100 {
			t.Errorf("%s: %d %%, %v", tt.where, c.Percent, c.Missing())
		}
		for _, s := range c.Sections {
			if (s.ID == tt.section) != (len(s.Missing) == 1) || s.Answered+len(s.Missing) != s.Asked {
				t.Errorf("%s: section %s has %d of %d, missing %v", tt.where, s.ID, s.Answered, s.Asked, s.Missing)
			}
		}
	}
	e := full()
	e.Status.Group, e.Technical, e.Datasets[0].Shape = NotBuilt, Technical{Location: "TTDL tỉnh"}, nil
	e.Status.Due = "2027-12-31"
	if c := e.Completeness(); c.Percent != 100 {
		t.Errorf("what is not built is asked for its engine: %v", c.Missing())
	}
}

func TestEntry_Problems(t *testing.T) {
	for _, tt := range []struct {
		where  string
		change func(*Entry)
	}{
		{"code", func(e *Entry) { e.Code = "Nước" }},
		{"name_vi", func(e *Entry) { e.NameVi = "" }},
		{"owner", func(e *Entry) { e.Owner = "" }},
		{"owner", func(e *Entry) { e.Owner = "số 1" }},
		{"manager", func(e *Entry) { e.Manager = "??" }},
		{"class", func(e *Entry) { e.Class = "other" }},
		{"status.group", func(e *Entry) { e.Status.Group = "" }},
		{"status.group", func(e *Entry) { e.Status.Group = "done" }},
		{"status.progress", func(e *Entry) { e.Status.Progress = 101 }},
		{"status.due", func(e *Entry) { e.Status.Due = "31/12/2026" }},
		{"people.owner", func(e *Entry) { e.People = e.People[1:] }},
		{"people.1.email", func(e *Entry) { e.People[0].Email = "a at b" }},
		{"people.1.phone", func(e *Entry) { e.People[0].Phone = "số mới" }},
		{"people.5.duty", func(e *Entry) { e.People = append(e.People, Contact{Duty: "boss", Name: "B"}) }},
		{"security.level", func(e *Entry) { e.Security.Level = 6 }},
		{"security.date", func(e *Entry) { e.Security.Date = "2026-02-30" }},
		{"legal_bases.1.number", func(e *Entry) { e.LegalBases[0].Number = "" }},
		{"legal_bases.1.type", func(e *Entry) { e.LegalBases[0].Type = "rumour" }},
		{"collection.1.method", func(e *Entry) { e.Collection[0].Method = "magic" }},
		{"datasets.1.name", func(e *Entry) { e.Datasets[0].Name = "Đồng hồ" }},
		{"datasets.meter", func(e *Entry) { e.Datasets = append(e.Datasets, e.Datasets[0]) }},
		{"datasets.meter.access", func(e *Entry) { e.Datasets[0].Access = "secret" }},
		{"datasets.meter.importance", func(e *Entry) { e.Datasets[0].Importance = "very" }},
		{"datasets.meter.updated", func(e *Entry) { e.Datasets[0].Updated = "hằng ngày" }},
		{"datasets.meter.retention", func(e *Entry) { e.Datasets[0].Retention.Years = -1 }},
		{"datasets.meter.state_secret", func(e *Entry) { e.Datasets[0].StateSecret = true }},
		{"datasets.meter.access", func(e *Entry) { e.Datasets[0].Access, e.Objects[0].Personal = OpenAccess, true }},
		{"relations.1.type", func(e *Entry) { e.Relations[0].Type = UsedBy }},
		{"relations.1.code", func(e *Entry) { e.Relations[0].Code = e.Code }},
	} {
		e := full()
		tt.change(&e)
		p := e.Problems()
		if len(p) != 1 || p[0].Where != tt.where || p[0].Vi == "" || p[0].En == "" {
			t.Errorf("%s: %v", tt.where, p)
		}
	}
}

func TestEntry_ValidateByTheRegister(t *testing.T) {
	w := newWorld(t)
	w.load("population") // so that the register knows its codes
	kind := w.register.Kind()
	check := func(change func(*Entry), id string) []string {
		e := full()
		change(&e)
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var where []string
		for _, p := range kind.Validate(stewardship.Subject{Kind: Kind, ID: id, After: body}) {
			where = append(where, p.Where)
		}
		return where
	}
	if got := check(func(*Entry) {}, "local_water"); got != nil {
		t.Errorf("a good entry: %v", got)
	}
	if diff := cmp.Diff([]string{"code"}, check(func(*Entry) {}, "other")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"relations.nothing"}, check(func(e *Entry) { e.Relations[0].Code = "nothing" }, "local_water")); diff != "" {
		t.Error(diff)
	}
	if got := kind.Validate(stewardship.Subject{Kind: Kind, ID: "x", After: []byte(`{"cod":"x"}`)}); len(got) != 1 || got[0].Code != "catalog.json" {
		t.Errorf("a misspelt member: %v", got)
	}
}

func TestEntry_Restricted(t *testing.T) {
	e := Entry{Datasets: []Dataset{{Access: OpenAccess, Importance: OtherData}, {Access: PrivateAccess, Importance: CoreData}, {Access: SharedAccess, Importance: ImportantData}}}
	if a, i := e.Restricted(); a != PrivateAccess || i != CoreData {
		t.Errorf("%s %s", a, i)
	}
	if a, i := (&Entry{}).Restricted(); a != "" || i != "" {
		t.Errorf("without datasets: %q %q", a, i)
	}
}

func TestWords_AreThereInBothLanguages(t *testing.T) {
	words := map[string]Word{}
	note := func(list string, value any, w Word) { words[fmt.Sprintf("%s %v", list, value)] = w }
	for _, c := range LegalTypes() {
		note("legal", c.Value, c.Word)
	}
	for _, c := range CollectionMethods() {
		note("collection", c.Value, c.Word)
	}
	for _, c := range Accesses() {
		note("access", c.Value, c.Word)
	}
	for _, c := range Importances() {
		note("importance", c.Value, c.Word)
	}
	for _, c := range Duties() {
		note("duty", c.Value, c.Word)
	}
	for _, c := range StatusGroups() {
		note("status", c.Value, c.Word)
	}
	for _, c := range RelationTypes() {
		note("relation", c.Value, c.Word)
	}
	for _, c := range Standings() {
		note("standing", c.Value, c.Word)
	}
	for _, c := range Origins() {
		note("origin", c.Value, c.Word)
	}
	for _, c := range Places() {
		note("place", c.Value, c.Word)
		if c.Value.weight() <= 0 {
			t.Errorf("%s weighs nothing", c.Value)
		}
	}
	for name, w := range words {
		if w.Vi == "" || w.En == "" || w.Vi == w.En {
			t.Errorf("%s: %+v lacks a language", name, w)
		}
	}
	if len(StatusGroups()) != 4 {
		t.Errorf("%d status groups", len(StatusGroups()))
	}
}

func FuzzParseEntry(f *testing.F) {
	body, err := json.Marshal(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"code":"x","datasets":[{"name":"a","shape":{"columns":[{"kind":"date"}]}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := ParseEntry(body)
		if err != nil {
			return
		}
		e.Problems()
		if c := e.Completeness(); c.Percent < 0 || c.Percent > 100 {
			t.Errorf("%d %%", c.Percent)
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseEntry(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		second, err := json.Marshal(again)
		if err != nil || string(second) != string(text) {
			t.Errorf("%s becomes %s, %v", text, second, err)
		}
	})
}

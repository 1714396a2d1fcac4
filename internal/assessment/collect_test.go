package assessment

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/ticket"
)

func TestTakeRecord(t *testing.T) {
	record := catalog.Record{
		Entry: catalog.Entry{
			Code: "enterprise", NameVi: "CSDL quốc gia về đăng ký doanh nghiệp", Class: "quoc_gia", Owner: "G12", Domains: []string{"DOM-ORG"},
			LegalBases: []catalog.LegalBasis{{Number: "47/2024/NĐ-CP", Article: "Phụ lục"}, {Number: "59/2020/QH14"}},
			Objects:    []catalog.DataObject{{Name: "enterprise", Master: true}, {Name: "branch", Open: true}},
			Datasets: []catalog.Dataset{
				{Name: "company", Access: catalog.SharedAccess, Importance: catalog.CoreData, Retention: catalog.Retention{Forever: true}, Shape: &catalog.RegisteredShape{}},
				{Name: "branch", Access: catalog.OpenAccess},
			},
			Security: catalog.Security{Level: 4, Document: "QĐ 12", Date: "2026-01-02"},
			People:   []catalog.Contact{{Duty: catalog.StewardDuty, Name: "Trần Thị Bình"}, {Duty: catalog.TechnicalChiefDuty, Name: "Lê Cường"}},
			Status:   catalog.Status{Group: catalog.Upgrade, Progress: 80},
		},
		Origin: catalog.FromOwner, ConfirmedAt: noon - microsPerDay, Completeness: catalog.Completeness{Percent: 71},
		Drift: []catalog.Drift{{Breaking: true}, {}},
		Views: []catalog.DatasetView{
			{Seen: &catalog.Observed{Columns: make([]lienthong.Column, 10)}, Unmapped: []string{"a", "b"}, Declared: &catalog.Dataset{Shape: &catalog.RegisteredShape{}}},
			{Declared: &catalog.Dataset{}},
		},
	}
	var f Facts
	f.TakeRecord(&record)
	want := Register{
		Grade: Declared, Verified: true, Completeness: 71, ConfirmedAt: noon - microsPerDay, State: Upgrade, StateGrade: Declared, Progress: 80, Domain: "DOM-ORG",
		People: People{Steward: "Trần Thị Bình", ITEngineer: "Lê Cường"}, Objects: 2, Open: 1, Master: 1, Datasets: 2, Classified: 1, WithPeriod: 1,
	}
	if diff := cmp.Diff(want, f.Register); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Mapping{Grade: Measured, Columns: 10, Mapped: 8, Datasets: 1, Shaped: 1, Drift: 2, Breaking: 1}, f.Mapping); diff != "" {
		t.Error(diff)
	}
	if f.Database.LegalBasis != "47/2024/NĐ-CP Phụ lục; 59/2020/QH14" || f.Connection.Registered != 2 {
		t.Errorf("basis %q, %d datasets", f.Database.LegalBasis, f.Connection.Registered)
	}
	if f.Security.Level != 4 || f.Security.DeclaredGrade != Declared || dayOf(f.Security.LevelApproved) != "2026-01-02" {
		t.Errorf("protection: %+v", f.Security)
	}
	a := assess(t, f)
	if q, _ := a.Question("14"); q.Verdict != Yes || !q.Verified {
		t.Errorf("level dossier: %+v", q)
	}
	if a.Group.ID != 2 {
		t.Errorf("group %d", a.Group.ID)
	}
	// A seed that nobody has touched says nothing about the entry.
	var seed Facts
	seed.TakeRecord(&catalog.Record{Entry: catalog.Entry{Code: "law", Confidence: "B"}, Origin: catalog.FromSeed})
	if seed.Register.Grade != "" || seed.Register.Verified || seed.Security.DeclaredGrade != "" || seed.Mapping.Grade != "" {
		t.Errorf("seed: %+v", seed)
	}
}

func TestFromTickets(t *testing.T) {
	got := FromTickets(&ticket.Figures{
		Active: 7, Overdue: 2, Red: 1, OpenRecords: 90, Closed: 30,
		Within10: ticket.Share{Part: 20, Of: 32}, Reopening: ticket.Share{Part: 3, Of: 30},
	})
	if diff := cmp.Diff(Tickets{Grade: Measured, Open: 7, Overdue: 2, Identifier: 1, Records: 90, Timed: 32, InTime: 20, Closed: 30, Reopened: 3}, got); diff != "" {
		t.Error(diff)
	}
}

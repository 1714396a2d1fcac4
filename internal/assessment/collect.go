package assessment

import (
	"strings"
	"time"

	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/ticket"
)

// TakeRecord takes over what the register says of a database: the entry and its people, the
// declared part of protection, and how the live shapes differ from the registered ones. What
// the entry cannot say (central infrastructure, point-to-point links, onboarding) stays as it is.
func (f *Facts) TakeRecord(record *catalog.Record) {
	e := &record.Entry
	r := &f.Register
	f.Database.Code, f.Database.NameVi, f.Database.NameEn, f.Database.Class = e.Code, e.NameVi, e.NameEn, e.Class
	f.Database.Owner, f.Database.Confidence = e.Owner, e.Confidence
	if bases := legalBases(e.LegalBases); bases != "" {
		f.Database.LegalBasis = bases
	}
	if record.Origin == catalog.FromOwner {
		r.Verified = true // it went through review and approval
	}
	r.ConfirmedAt = record.ConfirmedAt
	if record.Origin != catalog.FromSeed && record.Origin != catalog.FromObserved {
		r.Grade = Declared
		r.Completeness = float64(record.Completeness.Percent)
	}
	if e.Status.Group != "" {
		r.State, r.StateGrade, r.Progress = BuildingState(e.Status.Group), Declared, float64(e.Status.Progress)
	}
	r.Domain = strings.Join(e.Domains, ", ")
	r.People = PeopleOf(e, func(contact *catalog.Contact) string { return contact.Name })
	r.Objects, r.Open, r.Master = len(e.Objects), 0, 0
	for _, object := range e.Objects {
		if object.Open {
			r.Open++
		}
		if object.Master {
			r.Master++
		}
	}
	r.Datasets, r.Classified, r.WithPeriod = len(e.Datasets), 0, 0
	for _, dataset := range e.Datasets {
		if dataset.Access != "" && dataset.Importance != "" {
			r.Classified++
		}
		if dataset.Retention.Stated() {
			r.WithPeriod++
		}
	}
	f.Connection.Registered = len(e.Datasets)
	f.takeProtection(e)
	f.takeShapes(record)
}

// PeopleOf are the ones in charge that an entry names, each as called says.
func PeopleOf(e *catalog.Entry, called func(*catalog.Contact) string) People {
	var people People
	for i := range e.People {
		contact := &e.People[i]
		switch contact.Duty {
		case catalog.OwnerDuty:
			people.Owner = called(contact)
		case catalog.StewardDuty:
			people.Steward = called(contact)
		case catalog.TechnicalChiefDuty:
			people.ITEngineer = called(contact)
		case catalog.ProfessionalHeadDuty:
			people.BusinessEngineer = called(contact)
		}
	}
	return people
}

func (f *Facts) takeProtection(e *catalog.Entry) {
	s := &f.Security
	if e.Security.Level == 0 && e.Technical.Backup.TestedOn == "" {
		return
	}
	s.DeclaredGrade, s.Verified = Declared, f.Register.Verified
	s.Level, s.LevelDocument, s.LevelApproved = e.Security.Level, e.Security.Document, civil(e.Security.Date)
	s.RestoreTestAt = civil(e.Technical.Backup.TestedOn)
}

// takeShapes counts what connectors see.
func (f *Facts) takeShapes(record *catalog.Record) {
	m := &f.Mapping
	seen := false
	m.Columns, m.Mapped, m.Datasets, m.Shaped, m.Drift, m.Breaking = 0, 0, 0, 0, len(record.Drift), 0
	for i := range record.Views {
		view := &record.Views[i]
		if view.Seen == nil {
			continue
		}
		seen = true
		m.Datasets++
		m.Columns += len(view.Seen.Columns)
		m.Mapped += len(view.Seen.Columns) - len(view.Unmapped)
		if view.Declared != nil && view.Declared.Shape != nil {
			m.Shaped++
		}
	}
	for i := range record.Drift {
		if record.Drift[i].Breaking {
			m.Breaking++
		}
	}
	if seen {
		m.Grade = Measured
	}
}

func legalBases(list []catalog.LegalBasis) string {
	var names []string
	for _, basis := range list {
		if name := strings.TrimSpace(basis.Number + " " + basis.Article); name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, "; ")
}

// civil reads a day as the instant at which it begins in Viet Nam; 0 when it is none.
func civil(day string) int64 {
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return 0
	}
	return at.Add(-7 * time.Hour).UnixMicro()
}

// FromTickets takes over how well a database's errors are dealt with.
func FromTickets(figures *ticket.Figures) Tickets {
	return Tickets{
		Grade: Measured, Open: figures.Active, Overdue: figures.Overdue, Identifier: figures.Red, Records: figures.OpenRecords,
		Timed: figures.Within10.Of, InTime: figures.Within10.Part, Closed: figures.Reopening.Of, Reopened: figures.Reopening.Part,
	}
}

package assessment

import (
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
)

// change is a row of the tables below: what is done to the fine database, and how a question is answered then.
type change struct {
	question string
	name     string
	change   func(*Facts)
	want     Verdict
	grade    Grade
}

func none(*Facts) {}

// bare is a database of which nothing is known.
func bare(f *Facts) {
	*f = Facts{Database: f.Database, Owner: f.Owner, At: f.At}
	f.Database.LegalBasis = ""
}

func value(c lienthong.Criterion, percent float64) func(*Facts) {
	return func(f *Facts) { f.criterion(c).Value = percent }
}

func gate(c lienthong.Criterion) func(*Facts) {
	return func(f *Facts) { f.criterion(c).Gates = 1 }
}

func TestQuestions_EveryOneIsAnswered(t *testing.T) {
	peopleOnly := []string{"2", "4", "5", "18", "7", "19", "21", "12", "22", "15", "26", "27", "A15", "A17", "A23", "A27", "A39", "A41", "A42", "A43", "A44", "A45", "A46"}
	rows := []change{
		{"1", "official text", none, Yes, Reconciled},
		{"1", "secondary source", func(f *Facts) { f.Database.Confidence = "B" }, Yes, Declared},
		{"1", "no basis", func(f *Facts) { f.Database.LegalBasis = " " }, Unknown, ""},
		{"3", "all shaped", none, Yes, Measured},
		{"3", "some shaped", func(f *Facts) { f.Mapping.Shaped = 3 }, Partly, Measured},
		{"3", "none shaped", func(f *Facts) { f.Mapping.Shaped = 0 }, No, Measured},
		{"16", "listed", none, Yes, Declared},
		{"16", "none listed", func(f *Facts) { f.Register.Open = 0 }, Unknown, ""},
		{"17", "listed", none, Yes, Declared},
		{"17", "none listed", func(f *Facts) { f.Register.Master = 0 }, Unknown, ""},
		{"6", "central", none, Yes, Declared},
		{"6", "not central", func(f *Facts) { no := false; f.Register.Central = &no }, No, Declared},
		{"6", "not said", func(f *Facts) { f.Register.Central = nil }, Unknown, ""},
		{"20", "link up", none, Yes, Measured},
		{"20", "link breaks", func(f *Facts) { f.Connection.Uptime = 90 }, Unknown, ""},
		{"8", "good", none, Yes, Measured},
		{"8", "middling", value(lienthong.Correct, 80), Partly, Measured},
		{"8", "poor", value(lienthong.Correct, 74.9), No, Measured},
		{"8", "identifier", gate(lienthong.Correct), No, Measured},
		{"9", "good", none, Yes, Measured},
		{"9", "identifier", gate(lienthong.Complete), No, Measured},
		{"9", "not measured", func(f *Facts) { f.criterion(lienthong.Complete).Known = false }, Unknown, ""},
		{"10", "good", none, Yes, Measured},
		{"10", "identifier", gate(lienthong.Clean), No, Measured},
		{"10", "edge", value(lienthong.Clean, 90), Yes, Measured},
		{"11", "good", none, Yes, Measured},
		{"11", "edge", value(lienthong.Live, 75), Partly, Measured},
		{"11", "poor", value(lienthong.Live, 10), No, Measured},
		{"13", "automatic", none, Yes, Measured},
		{"13", "partly by file", func(f *Facts) { f.Connection.ByFile = 3 }, Partly, Measured},
		{"13", "all by file", func(f *Facts) { f.Connection.ByFile = 6 }, No, Measured},
		{"23", "service", none, Yes, Measured},
		{"23", "no service", func(f *Facts) { f.Sharing.Services = 0 }, No, Measured},
		{"24", "connected", none, Yes, Measured},
		{"24", "not connected", func(f *Facts) { f.Connection = Connection{Grade: Measured} }, Unknown, ""},
		{"14", "approved", none, Yes, Declared},
		{"14", "no document", func(f *Facts) { f.Security.LevelDocument = "" }, Unknown, ""},
		{"25", "backed up", none, Yes, Declared},
		{"25", "signed by the node", func(f *Facts) { f.Security.DeclaredGrade = Signed }, Yes, Signed},
		{"25", "old backup", func(f *Facts) { f.Security.BackupAt = noon - 8*microsPerDay }, Unknown, ""},

		{"A01", "complete", none, Yes, Declared},
		{"A01", "half", func(f *Facts) { f.Register.Completeness = 60 }, Partly, Declared},
		{"A01", "empty", func(f *Facts) { f.Register.Completeness = 10 }, No, Declared},
		{"A02", "current lists", none, Yes, Measured},
		{"A02", "old lists", func(f *Facts) { f.Mapping.CodedCurrent = 2 }, No, Measured},
		{"A03", "master data", none, Yes, Declared},
		{"A04", "domain", none, Yes, Declared},
		{"A04", "no domain", func(f *Facts) { f.Register.Domain = "" }, No, Declared},
		{"A05", "mapped", none, Yes, Measured},
		{"A05", "partly", func(f *Facts) { f.Mapping.Mapped = 60 }, Partly, Measured},
		{"A05", "hardly", func(f *Facts) { f.Mapping.Mapped = 8 }, No, Measured},
		{"A06", "identified", none, Yes, Measured},
		{"A06", "not identified", func(f *Facts) { f.Mapping.WithIdentity = 0 }, No, Measured},
		{"A07", "current", none, Yes, Measured},
		{"A07", "old edition", func(f *Facts) { no := false; f.Mapping.Current = &no }, No, Measured},
		{"A08", "steward", none, Yes, Declared},
		{"A08", "no steward", func(f *Facts) { f.Register.People.Steward = "" }, No, Declared},
		{"A09", "same shape", none, Yes, Measured},
		{"A09", "drift", func(f *Facts) { f.Mapping.Drift = 1 }, No, Measured},
		{"A10", "classified", none, Yes, Declared},
		{"A10", "half", func(f *Facts) { f.Register.Classified = 5 }, Partly, Declared},
		{"A11", "retention", none, Yes, Declared},
		{"A11", "no retention", func(f *Facts) { f.Register.WithPeriod = 0 }, No, Declared},
		{"A12", "open list", none, Yes, Declared},
		{"A13", "mutual TLS", none, Yes, Measured},
		{"A13", "plain", func(f *Facts) { f.Security.MutualTLS = false }, No, Measured},
		{"A14", "covered", none, Yes, Measured},
		{"A14", "half covered", func(f *Facts) { f.criterion(lienthong.Live).Coverage = 50 }, Partly, Measured},
		{"A16", "reconciled", none, Yes, Reconciled},
		{"A16", "most", func(f *Facts) { f.Connection.Differing = 2 }, Partly, Reconciled},
		{"A16", "never compared", func(f *Facts) { f.Connection.Matching = 0 }, Yes, Measured},
		{"A18", "subscription", none, Yes, Measured},
		{"A18", "no subscription", func(f *Facts) { f.Sharing.Subscriptions = 0 }, No, Measured},
		{"A19", "no overlap", none, Yes, Measured},
		{"A19", "overlap", func(f *Facts) { two := 2; f.Register.Overlaps = &two }, No, Measured},
		{"A20", "node", none, Yes, Measured},
		{"A20", "no node", func(f *Facts) { f.Connection.Nodes = nil }, No, Measured},
		{"A21", "all datasets", none, Yes, Measured},
		{"A21", "half", func(f *Facts) { f.Connection.Connected = 3 }, Partly, Measured},
		{"A22", "log verified", none, Yes, Measured},
		{"A22", "log not verified", func(f *Facts) { f.Security.AuditVerified = false }, No, Measured},
		{"A24", "in time", none, Yes, Measured},
		{"A24", "not yet connected, deadline to come", func(f *Facts) { f.Connection = Connection{Grade: Measured} }, Unknown, ""},
		{"A25", "five steps", none, Yes, Declared},
		{"A25", "three steps", func(f *Facts) { f.Register.Onboarding = 3 }, No, Declared},
		{"A26", "no links", none, Yes, Declared},
		{"A26", "links", func(f *Facts) { four := 4; f.Register.PointToPoint = &four }, No, Declared},
		{"A28", "in time", none, Yes, Measured},
		{"A28", "late", func(f *Facts) { f.Tickets.InTime = 2 }, No, Measured},
		{"A29", "valid", none, Yes, Measured},
		{"A29", "ended", func(f *Facts) { f.Security.CertificateUntil = noon - microsPerDay }, No, Measured},
		{"A30", "central", none, Yes, Declared},
		{"A31", "contract", none, Yes, Measured},
		{"A31", "no contract", func(f *Facts) { f.Sharing.Contracts = 0 }, No, Measured},
		{"A32", "as 12", none, Unknown, ""},
		{"A33", "consumer", none, Yes, Measured},
		{"A33", "nobody", func(f *Facts) { f.Sharing.Consumers = 0 }, No, Measured},
		{"A34", "both engineers", none, Yes, Declared},
		{"A34", "one engineer", func(f *Facts) { f.Register.People.ITEngineer = "" }, No, Declared},
		{"A35", "as 14", none, Yes, Declared},
		{"A36", "twelve months", none, Yes, Declared},
		{"A36", "three months", func(f *Facts) { f.Security.LogMonths = 3 }, No, Declared},
		{"A37", "verified", none, Yes, Measured},
		{"A38", "tested", none, Yes, Declared},
		{"A38", "long ago", func(f *Facts) { f.Security.RestoreTestAt = noon - 200*microsPerDay }, No, Declared},
		{"A40", "signed", none, Yes, Measured},
		{"A40", "not signed", func(f *Facts) { f.Security.SignedBatches = false }, No, Measured},
		{"A47", "as 26", none, Unknown, ""},
		{"A48", "in three months", func(f *Facts) { f.Security.Level = 5 }, Yes, Declared},
		{"A48", "too long ago", func(f *Facts) { f.Security.Level = 5; f.Security.RestoreTestAt = noon - 100*microsPerDay }, No, Declared},
		{"A49", "level 5 asks people", func(f *Facts) { f.Security.Level = 5 }, Unknown, ""},
		{"A50", "said", none, Yes, Declared},
		{"A50", "not said", func(f *Facts) { f.Register.State = "" }, Unknown, ""},
	}
	for _, id := range peopleOnly {
		rows = append(rows, change{id, "nobody has answered", none, Unknown, ""})
	}
	m, _ := method(t)
	covered := map[string]bool{}
	for _, row := range rows {
		covered[row.question] = true
		f := fine()
		row.change(&f)
		got, found := m.Assess(&f, noon).Question(row.question)
		switch {
		case !found:
			t.Errorf("%s: no such question", row.question)
		case got.Verdict != row.want || got.Grade != row.grade:
			t.Errorf("%s %s: %s %q (%s), want %s %q", row.question, row.name, got.Verdict, got.Grade, got.Why.En, row.want, row.grade)
		case got.Verdict != Unknown && !got.Applies:
			t.Errorf("%s %s: does not apply", row.question, row.name)
		case got.Why.Vi == "" || got.Why.En == "":
			t.Errorf("%s %s: no reason", row.question, row.name)
		}
	}
	for _, q := range m.Questions() {
		if !covered[q.ID] {
			t.Errorf("%s has no row in the table", q.ID)
		}
	}
	f := fine()
	bare(&f)
	for _, q := range m.Assess(&f, noon).Questions {
		if q.Verdict != Unknown && q.Fact != "official_owner" {
			t.Errorf("%s: %s of a database of which nothing is known (%s)", q.ID, q.Verdict, q.Why.En)
		}
	}
}

func TestQuestions_PeopleAnswer(t *testing.T) {
	answer := func(id string, verdict Verdict, state State) Answer {
		return Answer{Database: "enterprise", Question: id, Verdict: verdict, Percent: 40, Evidence: Evidence{Document: "QĐ 7/QĐ-BTC"}, By: "an", At: noon - 30*microsPerDay, State: state}
	}
	original := answer("4", Yes, Verified)
	original.Original = true
	expired := answer("4", Yes, Verified)
	expired.At = time.UnixMicro(noon).UTC().AddDate(-1, 0, 0).UnixMicro()
	lastDay := answer("4", Yes, Verified)
	lastDay.At = expired.At + microsPerDay
	ended := answer("4", Yes, Verified)
	ended.Until = noon - 1
	for _, test := range []struct {
		name     string
		question string
		change   func(*Facts)
		answer   Answer
		want     Verdict
		value    float64
		grade    Grade
		verified bool
		opposed  bool
	}{
		{"declared", "4", none, answer("4", Yes, Answered), Yes, 1, Declared, false, false},
		{"verified", "4", none, answer("4", Yes, Verified), Yes, 1, Declared, true, false},
		{"compared with the original", "4", none, original, Yes, 1, Reconciled, true, false},
		{"partly", "4", none, answer("4", Partly, Verified), Partly, 0.4, Declared, true, false},
		{"no", "4", none, answer("4", No, Answered), No, 0, Declared, false, false},
		{"sent back", "4", none, answer("4", Yes, Returned), Unknown, 0, "", false, false},
		{"withdrawn", "4", none, answer("4", Yes, Withdrawn), Unknown, 0, "", false, false},
		{"a year old to the day", "4", none, expired, Unknown, 0, "", false, false},
		{"a day less", "4", none, lastDay, Yes, 1, Declared, true, false},
		{"the evidence has ended", "4", none, ended, Unknown, 0, "", false, false},
		{"what is measured goes first", "13", func(f *Facts) { f.Connection.ByFile = 6 }, answer("13", Yes, Verified), No, 0, Measured, false, true},
		{"a verified answer goes before a bare entry", "16", func(f *Facts) { f.Register.Verified = false }, answer("16", Yes, Verified), Yes, 1, Declared, true, false},
		{"and fills what the platform cannot see", "25", func(f *Facts) { f.Security.BackupAt = 0 }, answer("25", Yes, Verified), Yes, 1, Declared, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := fine()
			test.change(&f)
			f.Answers = []Answer{test.answer}
			got, _ := assess(t, f).Question(test.question)
			if got.Verdict != test.want || got.Value != test.value || got.Grade != test.grade || got.Verified != test.verified || got.Contradicted != test.opposed {
				t.Errorf("got %s %v %q verified=%v contradicted=%v (%s)", got.Verdict, got.Value, got.Grade, got.Verified, got.Contradicted, got.Why.En)
			}
			if test.opposed && !strings.Contains(got.Why.Vi, "người khai trả lời có") {
				t.Errorf("the reason does not name the contradiction: %s", got.Why.Vi)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Facts)
		want   int
	}{
		{"synchronised", none, 1},
		{"synchronised, nothing declared", func(f *Facts) { f.Register = Register{} }, 1},
		{"a dataset differs", func(f *Facts) { f.Connection.Matching, f.Connection.Differing = 5, 1 }, 2},
		{"datasets are missing", func(f *Facts) { f.Connection.Connected = 4 }, 2},
		{"stands still", func(f *Facts) { f.Connection.LastChange = noon - 9*microsPerDay }, 2},
		{"never compared", func(f *Facts) { f.Connection.Matching = 0 }, 2},
		{"built, not connected", func(f *Facts) { f.Connection = Connection{Grade: Measured} }, 2},
		{"under construction, connected", func(f *Facts) { f.Register.State, f.Register.Progress = Building, 40 }, 3},
		{"under construction", func(f *Facts) { f.Register.State = Building; f.Connection = Connection{Grade: Measured} }, 3},
		{"built, to be upgraded", func(f *Facts) { f.Register.State = Upgrade; f.Connection = Connection{Grade: Measured} }, 2},
		{"not built", func(f *Facts) { f.Register.State = NotBuilt; f.Connection = Connection{Grade: Measured} }, 4},
		{"said not built, but it sends", func(f *Facts) { f.Register.State = NotBuilt }, 1},
		{"nothing said", func(f *Facts) { f.Register = Register{}; f.Connection = Connection{Grade: Measured} }, 0},
	} {
		f := fine()
		test.change(&f)
		got := assess(t, f).Group
		if got.ID != test.want || got.Vi == "" || got.Why.Vi == "" || got.Task == "" || strings.Contains(got.Why.Vi, "{") {
			t.Errorf("%s: group %d %q because %q, want %d", test.name, got.ID, got.Vi, got.Why.Vi, test.want)
		}
	}
}

package assessment

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/stewardship"
	"github.com/lienthong/lienthong/internal/store"
)

func documents(t *testing.T) Documents {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), t.TempDir()+"/store.db", store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func desk(t *testing.T, clock *time.Time) *Desk {
	t.Helper()
	m, d := method(t)
	return NewDesk(DeskConfig{
		Documents: documents(t), Method: m, Now: func() time.Time { return *clock },
		Owner: func(code string) (lienthong.MemberCode, bool) {
			database, found := d.Database(code)
			return database.Owner, found
		},
	})
}

var (
	owner    = stewardship.Person{Name: "an", Member: "G12", Roles: []stewardship.Role{stewardship.Owner}}
	engineer = stewardship.Person{Name: "cuong", Member: "G12", Roles: []stewardship.Role{stewardship.Engineer}}
	stranger = stewardship.Person{Name: "hoa", Member: "G01", Roles: []stewardship.Role{stewardship.Owner}}
	steward  = stewardship.Person{Name: "lan", Member: "G12", Roles: []stewardship.Role{stewardship.Steward}}
	reviewer = stewardship.Person{Name: "minh", Member: "G01", Roles: []stewardship.Role{stewardship.Reviewer}}
	both     = stewardship.Person{Name: "AN", Member: "G12", Roles: []stewardship.Role{stewardship.Owner, stewardship.Reviewer}}
)

func draft() Answer {
	return Answer{Database: "enterprise", Question: "4", Verdict: Yes, Evidence: Evidence{Document: "CV 12/BTC-KHTC, 05/03/2026"}}
}

func TestDesk_WhoMayDoWhat(t *testing.T) {
	type step func(*testing.T, *Desk) error
	answer := func(p stewardship.Person, revision int64) step {
		return func(t *testing.T, d *Desk) error { _, err := d.Answer(t.Context(), p, draft(), revision); return err }
	}
	verify := func(p stewardship.Person, revision int64) step {
		return func(t *testing.T, d *Desk) error {
			_, err := d.Verify(t.Context(), p, "enterprise", "4", revision, false, "")
			return err
		}
	}
	send := func(p stewardship.Person, revision int64, note string) step {
		return func(t *testing.T, d *Desk) error {
			_, err := d.Return(t.Context(), p, "enterprise", "4", revision, note)
			return err
		}
	}
	withdraw := func(p stewardship.Person, revision int64, note string) step {
		return func(t *testing.T, d *Desk) error {
			_, err := d.Withdraw(t.Context(), p, "enterprise", "4", revision, note)
			return err
		}
	}
	for _, test := range []struct {
		name  string
		steps []step // all but the last succeed
		code  string // of the last; empty: it succeeds too
		state State
	}{
		{"the owner answers", []step{answer(owner, 0)}, "", Answered},
		{"the chief engineer answers", []step{answer(engineer, 0)}, "", Answered},
		{"a steward does not", []step{answer(steward, 0)}, "assessment.role", ""},
		{"nor the owner of another agency", []step{answer(stranger, 0)}, "assessment.member", ""},
		{"a reviewer verifies", []step{answer(owner, 0), verify(reviewer, 1)}, "", Verified},
		{"the owner does not verify", []step{answer(engineer, 0), verify(owner, 1)}, "assessment.role", Answered},
		{"nobody verifies himself, under another spelling either", []step{answer(owner, 0), verify(both, 1)}, "assessment.four_eyes", Answered},
		{"nothing to verify", []step{verify(reviewer, 0)}, "assessment.state", ""},
		{"not twice", []step{answer(owner, 0), verify(reviewer, 1), verify(reviewer, 2)}, "assessment.state", Verified},
		{"sent back with a reason", []step{answer(owner, 0), send(reviewer, 1, "thiếu trang ký")}, "", Returned},
		{"sent back without one", []step{answer(owner, 0), send(reviewer, 1, " ")}, "assessment.reason", Answered},
		{"a verified one is sent back as well", []step{answer(owner, 0), verify(reviewer, 1), send(reviewer, 2, "bản sao sai")}, "", Returned},
		{"answered again", []step{answer(owner, 0), send(reviewer, 1, "thiếu"), answer(engineer, 2)}, "", Answered},
		{"withdrawn", []step{answer(owner, 0), withdraw(engineer, 1, "nhầm CSDL")}, "", Withdrawn},
		{"withdrawn by a stranger", []step{answer(owner, 0), withdraw(stranger, 1, "nhầm")}, "assessment.member", Answered},
		{"on an old page", []step{answer(owner, 0), answer(engineer, 1), verify(reviewer, 1)}, lienthong.CodeDocumentConflict, Answered},
		{"two first answers", []step{answer(owner, 0), answer(engineer, 0)}, lienthong.CodeDocumentConflict, Answered},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := time.UnixMicro(noon)
			d := desk(t, &clock)
			for i, s := range test.steps {
				err := s(t, d)
				if i < len(test.steps)-1 {
					if err != nil {
						t.Fatalf("step %d: %v", i+1, err)
					}
					continue
				}
				if lienthong.ErrorCode(err) != test.code {
					t.Fatalf("got %v, want %q", err, test.code)
				}
				var coded *lienthong.Error
				if errors.As(err, &coded) && (coded.Vi == "" || coded.En == "") {
					t.Errorf("%v says nothing in one of the languages", err)
				}
			}
			got, found, err := d.Load(t.Context(), "enterprise", "4")
			if err != nil || found != (test.state != "") || got.State != test.state {
				t.Errorf("state %q (%v, %v), want %q", got.State, found, err, test.state)
			}
			if history, err := d.History(t.Context(), "enterprise", "4"); err != nil || int64(len(history)) != got.Revision {
				t.Errorf("%d revisions in the history of revision %d (%v)", len(history), got.Revision, err)
			}
		})
	}
}

func TestDesk_RefusesWhatIsNoAnswer(t *testing.T) {
	digest := strings.Repeat("0a", 32)
	for _, test := range []struct {
		name   string
		change func(*Answer)
		code   string
	}{
		{"as it should be", func(*Answer) {}, ""},
		{"with a file", func(a *Answer) { a.Evidence = Evidence{File: "qd.pdf", SHA256: strings.ToUpper(digest)} }, ""},
		{"no without evidence", func(a *Answer) { a.Verdict, a.Evidence = No, Evidence{} }, ""},
		{"partly", func(a *Answer) { a.Verdict, a.Percent = Partly, 60 }, ""},
		{"partly without a share", func(a *Answer) { a.Verdict = Partly }, "assessment.percent"},
		{"partly of all", func(a *Answer) { a.Verdict, a.Percent = Partly, 100 }, "assessment.percent"},
		{"yes without evidence", func(a *Answer) { a.Evidence = Evidence{Text: "thật mà"} }, "assessment.evidence"},
		{"not known", func(a *Answer) { a.Verdict = Unknown }, "assessment.verdict"},
		{"another word", func(a *Answer) { a.Verdict = "maybe" }, "assessment.verdict"},
		{"a digest that is none", func(a *Answer) { a.Evidence = Evidence{File: "a", SHA256: "zz"} }, "assessment.digest"},
		{"a file without a digest", func(a *Answer) { a.Evidence.File = "a.pdf" }, "assessment.file"},
		{"too long", func(a *Answer) { a.Evidence.Text = strings.Repeat("ạ", 2001) }, "assessment.long"},
		{"a question that the platform answers", func(a *Answer) { a.Question = "8" }, "assessment.question"},
		{"a question that another answers", func(a *Answer) { a.Question = "A35" }, "assessment.question"},
		{"no such question", func(a *Answer) { a.Question = "99" }, "assessment.question"},
		{"no such database", func(a *Answer) { a.Database = "moon" }, "database.unknown"},
	} {
		clock := time.UnixMicro(noon)
		a := draft()
		test.change(&a)
		got, err := desk(t, &clock).Answer(t.Context(), owner, a, 0)
		if lienthong.ErrorCode(err) != test.code {
			t.Errorf("%s: %v, want %q", test.name, err, test.code)
		}
		if err == nil && (got.Evidence.SHA256 != strings.ToLower(got.Evidence.SHA256) || got.By != "an" || got.State != Answered || got.Revision != 1) {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

func TestDesk_AnswersReachTheScore(t *testing.T) {
	clock := time.UnixMicro(noon)
	d := desk(t, &clock)
	points := func() float64 {
		answers, err := d.Answers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f := fine()
		f.Answers = answers["enterprise"]
		return d.Method.Assess(&f, clock.UnixMicro()).Points
	}
	waiting := func() int {
		list, err := d.Waiting(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := points()
	if _, err := d.Answer(t.Context(), owner, draft(), 0); err != nil {
		t.Fatal(err)
	}
	declared := points()
	if waiting() != 1 {
		t.Errorf("%d answers wait", waiting())
	}
	if _, err := d.Verify(t.Context(), reviewer, "enterprise", "4", 1, true, ""); err != nil {
		t.Fatal(err)
	}
	verified := points()
	if before >= declared || declared >= verified || waiting() != 0 {
		t.Errorf("before %v, declared %v, verified %v, waiting %d", before, declared, verified, waiting())
	}
	// What was verified stays with its words; a new answer has to be verified anew.
	again := draft()
	again.Verdict, again.Percent = Partly, 50
	got, err := d.Answer(t.Context(), engineer, again, 2)
	if err != nil || got.State != Answered || got.VerifiedBy != "" || got.Original {
		t.Errorf("answered again: %+v (%v)", got, err)
	}
	clock = clock.AddDate(1, 0, 1)
	if waiting() != 0 {
		t.Error("an expired answer waits for a reviewer")
	}
	f := fine()
	answers, _ := d.Answers(t.Context())
	f.Answers = answers["enterprise"]
	if q, _ := d.Method.Assess(&f, clock.UnixMicro()).Question("4"); q.Verdict != Unknown || !strings.Contains(q.Why.Vi, "hết hạn") {
		t.Errorf("after a year: %+v", q)
	}
}

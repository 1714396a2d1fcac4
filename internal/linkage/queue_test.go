package linkage_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/linkage"
	"github.com/lienthong/lienthong/internal/linkage/truth"
	"github.com/lienthong/lienthong/internal/store"
)

const registerName = "population.person"

// desk is a queue over a real store, with a register of persons that has questions.
type desk struct {
	store    *store.Store
	queue    *linkage.Queue
	config   linkage.QueueConfig
	people   *truth.People
	register *linkage.Persons
	model    *linkage.Model
	pairs    []linkage.Pair
}

func newDesk(t *testing.T, twoPeople bool) *desk {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "store.db"), store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &desk{store: s, people: truth.NewPeople(truth.Config{Records: 8_000, Seed: 21})}
	second := int64(0)
	d.config = linkage.QueueConfig{
		Documents: s, Key: []byte("sixteen bytes or more"), TwoPeople: twoPeople,
		Now: func() time.Time { second++; return time.Unix(1_790_000_000+second, 0) },
	}
	if d.queue, err = linkage.NewQueue(d.config); err != nil {
		t.Fatal(err)
	}
	d.register = persons(t, d.people, linkage.Config{})
	if d.model, err = d.register.Estimate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	d.find(t)
	return d
}

func (d *desk) find(t *testing.T) {
	t.Helper()
	result, err := d.register.Find(t.Context(), d.model, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.pairs = result.Pairs
}

func (d *desk) offer(t *testing.T, about ...string) linkage.Offered {
	t.Helper()
	offered, err := d.queue.Offer(t.Context(), &linkage.Offer{Register: registerName, Records: d.register, Model: d.model, Pairs: d.pairs, About: about})
	if err != nil {
		t.Fatal(err)
	}
	return offered
}

func (d *desk) next(t *testing.T, person linkage.Reviewer) []linkage.Question {
	t.Helper()
	next, err := d.queue.Next(t.Context(), registerName, person, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func (d *desk) decide(t *testing.T, q *linkage.Question, person linkage.Reviewer, answer linkage.Answer) *linkage.Question {
	t.Helper()
	decided, err := d.queue.Decide(t.Context(), linkage.Decision{ID: q.ID, Revision: q.Revision, Answer: answer, Note: "đã đối chiếu hồ sơ gốc", Person: person})
	if err != nil {
		t.Fatal(err)
	}
	return decided
}

func steward(name string) linkage.Reviewer {
	return linkage.Reviewer{Name: name, Member: "G01", Roles: []string{"viewer", "steward"}}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if lienthong.ErrorCode(err) != code {
		t.Errorf("the error is %v, want the code %s", err, code)
	}
}

func TestQueue_AsksDecidesAndRemembers(t *testing.T) {
	d := newDesk(t, false)
	asked := 0
	for i := range d.pairs {
		if d.pairs[i].Zone == linkage.Ask {
			asked++
		}
	}
	if asked < 8 {
		t.Fatalf("the register has only %d questions", asked)
	}
	if got := d.offer(t); got != (linkage.Offered{New: asked}) {
		t.Errorf("the first offer: %+v, want %d new", got, asked)
	}
	if got := d.offer(t); got != (linkage.Offered{Waiting: asked}) {
		t.Errorf("the same offer again: %+v", got)
	}
	an := steward("an")
	next := d.next(t, an)
	if len(next) != asked || !slices.IsSortedFunc(next, func(a, b linkage.Question) int {
		switch {
		case a.Value > b.Value:
			return -1
		case a.Value < b.Value:
			return 1
		}
		return 0
	}) {
		t.Errorf("%d questions, the most valuable first; want %d", len(next), asked)
	}
	for i := range next {
		if next[i].Reason == linkage.SameNumber && i > 0 && next[i-1].Reason != linkage.SameNumber {
			t.Error("one number on two names must be asked before anything else")
		}
	}
	different := d.decide(t, &next[0], an, linkage.AnswerDifferent)
	same := d.decide(t, &next[1], an, linkage.AnswerSame)
	d.decide(t, &next[2], an, linkage.AnswerUnsure)
	if different.State != "different" || different.Decided == 0 || len(different.Opinions) != 1 || different.Opinions[0].Person != "an" {
		t.Errorf("after a decision: %+v", different)
	}
	if got := d.offer(t); got != (linkage.Offered{Waiting: asked - 3, Settled: 3}) {
		t.Errorf("what is decided is not asked again: %+v", got)
	}
	tallies, err := d.queue.Tallies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := (linkage.Tally{Register: registerName, Open: asked - 3, Same: 1, Different: 1, Unsure: 1}); len(tallies) != 1 || tallies[0] != want {
		t.Errorf("the tally is %+v, want %+v", tallies, want)
	}
	answers, err := d.queue.Answers(t.Context(), registerName, d.register)
	if err != nil {
		t.Fatal(err)
	}
	if len(answers) != 3 || answers[linkage.PairID{A: different.A, B: different.B}] != linkage.AnswerDifferent ||
		answers[linkage.PairID{A: same.A, B: same.B}] != linkage.AnswerSame {
		t.Errorf("the answers are %v", answers)
	}

	// A new telephone and a new home are no reason to ask again; another name is.
	move := func(id string, change func(*linkage.Person)) {
		for place := range d.people.Len() {
			if truth.ID(place) == id {
				record := d.people.Record(place)
				change(&record)
				if err := d.register.Add(&record); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	move(different.A, func(p *linkage.Person) { p.Commune = "00001"; p.Name = strings.ToUpper(p.Name) })
	if got := d.offer(t); got.Reopened != 0 || got.Settled != 3 {
		t.Errorf("after a move: %+v", got)
	}
	move(different.A, func(p *linkage.Person) { p.Sex = "" })
	answers, err = d.queue.Answers(t.Context(), registerName, d.register)
	if err != nil {
		t.Fatal(err)
	}
	if len(answers) != 2 {
		t.Errorf("an answer about a record that has changed still counts: %v", answers)
	}
	if got := d.offer(t); got.Reopened != 1 || got.Settled != 2 {
		t.Errorf("after a material change: %+v", got)
	}
	again, err := d.queue.Question(t.Context(), different.ID)
	if err != nil {
		t.Fatal(err)
	}
	if again.State != linkage.Open || len(again.Opinions) != 0 || again.Revision != different.Revision+1 {
		t.Errorf("asked again: %+v", again)
	}
	history, err := d.store.DocumentHistory(t.Context(), linkage.QuestionKind, different.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(history) != 3 || history[1].Actor != "an" || history[1].State != "different" {
		t.Errorf("the history has %d revisions: %+v", len(history), history)
	}
}

func TestQueue_WithdrawsWhatNoLongerStands(t *testing.T) {
	d := newDesk(t, false)
	d.offer(t)
	next := d.next(t, steward("an"))
	gone := next[0]
	all := d.pairs
	d.pairs = slices.DeleteFunc(slices.Clone(all), func(p linkage.Pair) bool { return p.A == gone.A && p.B == gone.B })
	other := ""
	for i := range next {
		if next[i].A != gone.A && next[i].B != gone.A && next[i].A != gone.B && next[i].B != gone.B {
			other = next[i].A
		}
	}
	if got := d.offer(t, other); got.Withdrawn != 0 {
		t.Errorf("an offer about one record withdrew a question about others: %+v", got)
	}
	if got := d.offer(t); got.Withdrawn != 1 {
		t.Errorf("want one question withdrawn: %+v", got)
	}
	_, err := d.queue.Decide(t.Context(), linkage.Decision{ID: gone.ID, Answer: linkage.AnswerSame, Person: steward("an")})
	wantCode(t, err, "linkage.question.closed")
	d.pairs = all
	if got := d.offer(t); got.Reopened != 1 {
		t.Errorf("want it asked again: %+v", got)
	}
}

func TestQueue_TwoPeople(t *testing.T) {
	d := newDesk(t, true)
	d.offer(t)
	an, binh, chi := steward("an"), steward("binh"), steward("chi")
	next := d.next(t, an)
	agreed := d.decide(t, &next[0], an, linkage.AnswerSame)
	if agreed.State != linkage.Second || agreed.Decided != 0 {
		t.Fatalf("one person decided alone: %+v", agreed)
	}
	_, err := d.queue.Decide(t.Context(), linkage.Decision{ID: agreed.ID, Answer: linkage.AnswerSame, Person: an})
	wantCode(t, err, "linkage.question.same_person")
	if slices.ContainsFunc(d.next(t, an), func(q linkage.Question) bool { return q.ID == agreed.ID }) {
		t.Error("the first person is asked twice")
	}
	if waiting := d.next(t, binh); waiting[0].ID != agreed.ID {
		t.Error("what waits for a second person comes first")
	}
	if answers, err := d.queue.Answers(t.Context(), registerName, d.register); err != nil || len(answers) != 0 {
		t.Errorf("half an answer counts: %v, %v", answers, err)
	}
	if agreed = d.decide(t, agreed, binh, linkage.AnswerSame); agreed.State != "same" || agreed.Disputed() {
		t.Errorf("two people agree: %+v", agreed)
	}
	disputed := d.decide(t, &next[1], an, linkage.AnswerSame)
	disputed = d.decide(t, disputed, binh, linkage.AnswerDifferent)
	if disputed.State != linkage.Second || !disputed.Disputed() {
		t.Errorf("two people differ: %+v", disputed)
	}
	if disputed = d.decide(t, disputed, chi, linkage.AnswerDifferent); disputed.State != "different" || len(disputed.Opinions) != 3 {
		t.Errorf("the third decides: %+v", disputed)
	}
}

func TestQueue_Refuses(t *testing.T) {
	d := newDesk(t, false)
	d.offer(t)
	q := d.next(t, steward("an"))[0]
	for _, row := range []struct {
		name     string
		decision linkage.Decision
		code     string
	}{
		{"a viewer", linkage.Decision{ID: q.ID, Answer: linkage.AnswerSame, Person: linkage.Reviewer{Name: "xem", Roles: []string{"viewer", "owner"}}}, "linkage.role"},
		{"nobody", linkage.Decision{ID: q.ID, Answer: linkage.AnswerSame, Person: linkage.Reviewer{Roles: []string{"steward"}}}, "linkage.role"},
		{"no answer", linkage.Decision{ID: q.ID, Answer: "maybe", Person: steward("an")}, "linkage.answer"},
		{"unknown", linkage.Decision{ID: "0", Answer: linkage.AnswerSame, Person: steward("an")}, "linkage.question.unknown"},
		{"an old page", linkage.Decision{ID: q.ID, Revision: q.Revision + 1, Answer: linkage.AnswerSame, Person: steward("an")}, lienthong.CodeDocumentConflict},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := d.queue.Decide(t.Context(), row.decision)
			wantCode(t, err, row.code)
			var told *lienthong.Error
			if errors.As(err, &told) && (told.Vi == "" || told.En == "") {
				t.Error("the error is not in both languages")
			}
		})
	}
	decided := d.decide(t, &q, steward("an"), linkage.AnswerSame)
	_, err := d.queue.Reopen(t.Context(), q.ID, steward("an"), " ")
	wantCode(t, err, "linkage.question.note")
	_, err = d.queue.Reopen(t.Context(), q.ID, linkage.Reviewer{Name: "x"}, "sai")
	wantCode(t, err, "linkage.role")
	reopened, err := d.queue.Reopen(t.Context(), q.ID, steward("binh"), "bấm nhầm")
	if err != nil {
		t.Fatal(err)
	}
	if reopened.State != linkage.Open || len(reopened.Opinions) != 0 || reopened.Revision != decided.Revision+1 {
		t.Errorf("reopened: %+v", reopened)
	}
	short := d.config
	short.Key = []byte("short")
	_, err = linkage.NewQueue(short)
	wantCode(t, err, "linkage.key")
}

// Of two who decide at the same moment one is told.
func TestQueue_Conflict(t *testing.T) {
	d := newDesk(t, false)
	d.offer(t)
	q := d.next(t, steward("an"))[0]
	config := d.config
	config.Documents = raced{d.store, func() { d.decide(t, &q, steward("binh"), linkage.AnswerSame) }}
	late, err := linkage.NewQueue(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = late.Decide(t.Context(), linkage.Decision{ID: q.ID, Answer: linkage.AnswerDifferent, Person: steward("an")})
	wantCode(t, err, lienthong.CodeDocumentConflict)
	kept, err := d.queue.Question(t.Context(), q.ID)
	if err != nil {
		t.Fatal(err)
	}
	if kept.State != "same" {
		t.Errorf("the later decision replaced the earlier one: %+v", kept)
	}
}

// raced is the store, with somebody else who saves between reading and saving.
type raced struct {
	*store.Store
	between func()
}

func (r raced) SaveDocuments(ctx context.Context, docs ...lienthong.Document) ([]lienthong.Document, error) {
	r.between()
	return r.Store.SaveDocuments(ctx, docs...)
}

// What is stored says how records compare, and nothing of what they say.
func TestQueue_KeepsNoValues(t *testing.T) {
	d := newDesk(t, false)
	d.offer(t)
	docs, err := d.store.Documents(t.Context(), linkage.QuestionKind, "")
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]int{}
	for place := range d.people.Len() {
		places[truth.ID(place)] = place
	}
	questions, err := d.queue.List(t.Context(), registerName, "")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for i := range questions {
		for _, doc := range docs {
			if doc.ID != questions[i].ID {
				continue
			}
			for _, id := range []string{questions[i].A, questions[i].B} {
				record := d.people.Record(places[id])
				for _, value := range []string{record.Name, record.Number, record.OldNumber, record.Phone, record.Mother.Name, record.Father.Name} {
					if value == "" {
						continue
					}
					looked++
					if strings.Contains(string(doc.Body), value) {
						t.Fatalf("the question about %s holds a value of it", id)
					}
				}
			}
		}
	}
	if looked < 50 {
		t.Fatalf("only %d values looked for", looked)
	}
}

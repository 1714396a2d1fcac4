package address

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/store"
)

func newQueue(t *testing.T, s *Standardiser) *Queue {
	t.Helper()
	documents, err := store.OpenSQLite(t.Context(), t.TempDir(), store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := documents.Close(); err != nil {
			t.Error(err)
		}
	})
	at := fixed()
	return NewQueue(documents, s, QueueConfig{Now: func() time.Time {
		at = at.Add(time.Minute)
		return at
	}})
}

func steward() Person { return Person{Name: "Lan", Member: "H12", Roles: []string{"viewer", Steward}} }

func dataset(name string) lienthong.DatasetID {
	return lienthong.DatasetID{Database: "population", Name: name}
}

func pass(s *Standardiser, id lienthong.DatasetID, texts ...string) []Asked {
	tally := NewTally(id)
	for _, text := range texts {
		r := s.Standardise(text, before())
		tally.Add(&r)
	}
	return tally.Asked()
}

// The same question is asked once, with a count for each dataset that does not grow when a pass is
// repeated.
func TestQueue_SameQuestionOnce(t *testing.T) {
	s, _ := newStandardiser(t)
	q := newQueue(t, s)
	ctx := t.Context()
	first := pass(s, dataset("person"), "1 A, P5 Q5 HCM", "2 B, Phường 5, Quận 5, TP HCM", "Phường Trúc Bạch, Ba Đình, Hà Nội", "X. Không Có, H. Đầm Dơi, Cà Mau")
	if added, err := q.Ask(ctx, first...); err != nil || added != 2 {
		t.Fatalf("added %d, %v", added, err)
	}
	if added, err := q.Ask(ctx, first...); err != nil || added != 0 {
		t.Fatalf("again: added %d, %v", added, err)
	}
	if _, err := q.Ask(ctx, pass(s, dataset("household"), "P.05, Q.05, Sài Gòn")...); err != nil {
		t.Fatal(err)
	}
	items, err := q.Items(ctx, StateOpen)
	if err != nil || len(items) != 2 {
		t.Fatalf("%+v %v", items, err)
	}
	ward := items[0]
	if ward.Records() != 3 || len(ward.Datasets) != 2 || ward.Question.Text != "Phường 5, Quận 5, Thành phố Hồ Chí Minh" || ward.Question.Now[0].Code != "27316" || ward.Revision != 2 {
		t.Errorf("%+v", ward)
	}
	if items[1].Records() != 1 || items[1].Revision != 1 {
		t.Errorf("%+v", items[1])
	}
	// A later pass over corrected data counts anew.
	if _, err := q.Ask(ctx, pass(s, dataset("person"), "1 A, P5 Q5 HCM")...); err != nil {
		t.Fatal(err)
	}
	if item, err := q.Item(ctx, ward.ID); err != nil || item.Records() != 2 {
		t.Errorf("%+v %v", item, err)
	}
	if added, err := q.Ask(ctx); err != nil || added != 0 {
		t.Errorf("nothing asked: %d %v", added, err)
	}
}

// A ruling is remembered, used, replaced, withdrawn; all of it stays in the history.
func TestQueue_RulingsLiveAndAreWithdrawn(t *testing.T) {
	s, _ := newStandardiser(t)
	q := newQueue(t, s)
	ctx := t.Context()
	const text = "12 Trần Phú, Phường 5, Quận 5, TP HCM"
	if _, err := q.Ask(ctx, pass(s, dataset("person"), text)...); err != nil {
		t.Fatal(err)
	}
	items, err := q.Items(ctx, "")
	if err != nil || len(items) != 1 {
		t.Fatal(items, err)
	}
	id := items[0].ID
	item, err := q.Answer(ctx, steward(), id, 1, Answer{Unit: "27316"})
	if err != nil || item.State != StateAnswered || item.Ruling.UnitName != "Phường An Đông" || item.Ruling.By != "Lan" || item.Ruling.At == 0 || item.Ruling.ListVersion != s.ListVersion() {
		t.Fatalf("%+v %v", item, err)
	}
	use(t, q, s)
	if r := s.Standardise("p5 q5 tphcm", before()); r.Method != ByRuling || r.Now[0].Code != "27316" {
		t.Errorf("%+v", r)
	}
	// Counting goes on beside the ruling and does not touch it.
	if _, err := q.Ask(ctx, Asked{Question: items[0].Question, Dataset: dataset("household"), Records: 7}); err != nil {
		t.Fatal(err)
	}
	if item, err = q.Item(ctx, id); err != nil || item.State != StateAnswered || item.Ruling == nil || item.Records() != 8 {
		t.Fatalf("%+v %v", item, err)
	}
	// The steward saw the revision before the new count: that is no conflict.
	if item, err = q.Answer(ctx, steward(), id, item.Revision-1, Answer{NotResolvable: true, Note: "phải hỏi tại cơ sở"}); err != nil || item.State != StateNotResolvable {
		t.Fatalf("%+v %v", item, err)
	}
	use(t, q, s)
	if r := s.Standardise(text, before()); r.Question != nil || len(r.Now) != 0 || r.Method != ByRuling {
		t.Errorf("%+v", r)
	}
	// Somebody who saw the earlier ruling is told.
	if _, err := q.Withdraw(ctx, steward(), id, 2, "nhầm"); lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict {
		t.Errorf("an old revision: %v", err)
	}
	if item, err = q.Withdraw(ctx, steward(), id, item.Revision, "đã có bản đồ"); err != nil || item.State != StateOpen || item.Ruling != nil {
		t.Fatalf("%+v %v", item, err)
	}
	use(t, q, s)
	if r := s.Standardise(text, before()); r.Question == nil || r.Question.Key != id {
		t.Errorf("%+v", r)
	}
	history, err := q.History(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	type step struct{ state, actor, note, unit string }
	var steps []step
	for _, h := range history {
		s := step{h.State, h.Actor, h.Note, ""}
		if h.Ruling != nil {
			s.unit = h.Ruling.Unit
		}
		steps = append(steps, s)
	}
	want := []step{
		{StateOpen, "platform", "", ""},
		{StateAnswered, "Lan", "", "27316"},
		{StateAnswered, "platform", "", "27316"},
		{StateNotResolvable, "Lan", "phải hỏi tại cơ sở", ""},
		{StateOpen, "Lan", "đã có bản đồ", ""},
	}
	if diff := cmp.Diff(want, steps, cmp.AllowUnexported(step{})); diff != "" {
		t.Error(diff)
	}
}

func use(t *testing.T, q *Queue, s *Standardiser) {
	t.Helper()
	rulings, err := q.Rulings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.UseRulings(rulings)
}

func TestQueue_Refusals(t *testing.T) {
	s, _ := newStandardiser(t)
	q := newQueue(t, s)
	ctx := t.Context()
	if _, err := q.Ask(ctx, pass(s, dataset("person"), "P5 Q5 HCM", "không có gì ở đây cả")...); err != nil {
		t.Fatal(err)
	}
	items, err := q.Items(ctx, StateOpen)
	if err != nil || len(items) != 2 {
		t.Fatal(items, err)
	}
	var ward, unreadable string
	for _, i := range items {
		if i.Question.Doubt == DoubtUnreadable {
			unreadable = i.ID
		} else {
			ward = i.ID
		}
	}
	viewer := Person{Name: "Minh", Roles: []string{"viewer", "owner"}}
	tests := []struct {
		name   string
		who    Person
		id     string
		answer Answer
		code   string
	}{
		{"not a steward", viewer, ward, Answer{Unit: "27316"}, "address.role"},
		{"nobody", Person{Roles: []string{Steward}}, ward, Answer{Unit: "27316"}, "address.role"},
		{"no such question", steward(), "abc", Answer{Unit: "27316"}, "address.question"},
		{"no answer", steward(), ward, Answer{}, "address.answer"},
		{"both answers", steward(), ward, Answer{Unit: "27316", NotResolvable: true, Note: "x"}, "address.answer"},
		{"no unit of today", steward(), ward, Answer{Unit: "27334"}, "address.unit"},
		{"not proposed, no reason", steward(), ward, Answer{Unit: "00004"}, "address.note"},
		{"not resolvable, no reason", steward(), ward, Answer{NotResolvable: true, Note: "  "}, "address.note"},
		{"a unit for what is unreadable", steward(), unreadable, Answer{Unit: "00004", Note: "x"}, "address.unreadable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := q.Answer(ctx, tt.who, tt.id, 1, tt.answer)
			var told *lienthong.Error
			if !errors.As(err, &told) || told.Code != tt.code || told.Vi == "" || told.En == "" {
				t.Errorf("%v, want %s", err, tt.code)
			}
		})
	}
	if _, err := q.Withdraw(ctx, steward(), ward, 1, "x"); lienthong.ErrorCode(err) != "address.open" {
		t.Errorf("nothing to withdraw: %v", err)
	}
	if _, err := q.Answer(ctx, steward(), ward, 1, Answer{Unit: "00004", Note: "theo bản đồ"}); err != nil {
		t.Errorf("a reason given: %v", err)
	}
	if _, err := q.Withdraw(ctx, viewer, ward, 2, "x"); lienthong.ErrorCode(err) != "address.role" {
		t.Errorf("withdrawn by a viewer: %v", err)
	}
	if _, err := q.Withdraw(ctx, steward(), ward, 2, " "); lienthong.ErrorCode(err) != "address.note" {
		t.Errorf("withdrawn without a reason: %v", err)
	}
}

// Several passes at once, and more questions than one transaction takes.
func TestQueue_ManyAtOnce(t *testing.T) {
	s, d := newStandardiser(t)
	q := newQueue(t, s)
	ctx := t.Context()
	var texts []string
	for _, a := range oldAddresses(d) {
		if len(texts) < 2_000 && strings.HasPrefix(a.commune, "Phường") {
			texts = append(texts, join(a.commune, a.district, a.province))
		}
	}
	failures := make(chan error, 3)
	for _, name := range []string{"a", "b", "c"} {
		asked := pass(s, dataset(name), texts...)
		go func() {
			_, err := q.Ask(context.WithoutCancel(ctx), asked...)
			failures <- err
		}()
	}
	for range 3 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	want := pass(s, dataset("a"), texts...)
	items, err := q.Items(ctx, StateOpen)
	if err != nil || len(items) != len(want) || len(want) <= chunk {
		t.Fatalf("%d questions, want %d (%v)", len(items), len(want), err)
	}
	for _, item := range items {
		if len(item.Datasets) != 3 {
			t.Errorf("%s: %+v", item.Question.Text, item.Datasets)
		}
	}
}

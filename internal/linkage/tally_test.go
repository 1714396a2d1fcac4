package linkage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong/internal/linkage"
)

// The tallies say what is left and what is done, register by register.
func TestQueue_Tallies(t *testing.T) {
	d := newDesk(t, true)
	if got, err := d.queue.Tallies(t.Context()); err != nil || len(got) != 0 {
		t.Fatalf("an empty queue: %+v %v", got, err)
	}
	asked := d.offer(t).New
	first, second := steward("an"), steward("binh")
	next := d.next(t, first)
	for i, answer := range []linkage.Answer{linkage.AnswerSame, linkage.AnswerDifferent, linkage.AnswerUnsure} {
		d.decide(t, d.decide(t, &next[i], first, answer), second, answer)
	}
	d.decide(t, &next[3], first, linkage.AnswerSame)
	if _, err := d.queue.Offer(t.Context(), &linkage.Offer{Register: "another", Records: d.register, Model: d.model, Pairs: d.pairs}); err != nil {
		t.Fatal(err)
	}
	got, err := d.queue.Tallies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []linkage.Tally{
		{Register: "another", Open: asked},
		{Register: registerName, Open: asked - 4, Second: 1, Same: 1, Different: 1, Unsure: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got[1].Left() != asked-3 || got[1].Done() != 3 {
		t.Errorf("left %d, done %d of %d", got[1].Left(), got[1].Done(), asked)
	}
}

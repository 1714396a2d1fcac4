package ticket_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong/internal/ticket"
)

// TestConcurrent: counting, ticking, people and readers at the same time lose nothing: every comment is in the
// history, and the figures are those of the last count.
func TestConcurrent(t *testing.T) {
	const rounds = 20
	o := open(t, "2025-06-02 09:00")
	ctx := context.Background()
	base := o.now.UnixMicro()
	first := line("phone.form", 40)
	first.At = base
	o.sync(first)
	var all sync.WaitGroup
	each := func(do func(i int) error) {
		all.Go(func() {
			for i := range rounds {
				if err := do(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	each(func(i int) error {
		l := line("phone.form", int64(39-i))
		l.At = base + int64(i) + 1
		_, err := o.Sync(ctx, ticket.Snapshot{Lines: []ticket.Line{l}})
		return err
	})
	each(func(int) error { _, err := o.Tick(ctx); return err })
	for _, actor := range []ticket.Actor{owner, steward} {
		each(func(i int) error {
			_, err := o.Act(ctx, id, ticket.Comment, actor, ticket.Input{Note: fmt.Sprint(i)})
			return err
		})
	}
	each(func(int) error {
		if page, total := o.List(ticket.Filter{Active: true}); total != 1 || page[0].Open < 20 {
			return fmt.Errorf("%d tickets listed", total)
		}
		o.Figures(ticket.Period{})
		return nil
	})
	all.Wait()
	if got := o.get(id); got.Open != 20 || got.Fixed != 20 || got.Revision != 1+2*rounds {
		t.Errorf("open %d, fixed %d, revision %d", got.Open, got.Fixed, got.Revision)
	}
	history, err := o.History(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	notes := map[string]int{}
	for _, r := range history {
		if r.Ticket.Last.Action == ticket.Comment {
			notes[r.Ticket.Last.By]++
		}
	}
	if diff := cmp.Diff(map[string]int{owner.Name: rounds, steward.Name: rounds}, notes); diff != "" {
		t.Error(diff)
	}
}

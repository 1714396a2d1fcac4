package store

import (
	"fmt"
	"sync"
	"testing"

	"github.com/lienthong/lienthong"
)

func TestDocuments(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		first := lienthong.Document{Kind: "element", ID: "person.name", State: "draft", Actor: "an", Note: "mới", At: 5, Body: []byte(`{"a":1}`)}
		saved, err := s.SaveDocuments(ctx, first, lienthong.Document{Kind: "element", ID: "a.b", State: "published", Actor: "platform", At: 6, Body: []byte(`{}`)})
		check(t, err)
		equal(t, saved[0].Revision, int64(1))
		next := saved[0]
		next.State, next.Actor, next.Body, next.At = "proposed", "bình", []byte(`{"a":2}`), 7
		saved, err = s.SaveDocuments(ctx, next)
		check(t, err)
		got, found, err := s.Document(ctx, "element", "person.name")
		check(t, err)
		equal(t, found, true)
		equal(t, got, saved[0])
		_, found, err = s.Document(ctx, "element", "nothing")
		check(t, err)
		equal(t, found, false)

		for name, stale := range map[string]lienthong.Document{
			"seen before": {Kind: "element", ID: "person.name", Revision: 1},
			"new again":   {Kind: "element", ID: "person.name"},
			"not there":   {Kind: "element", ID: "x.y", Revision: 3},
		} {
			if _, err := s.SaveDocuments(ctx, lienthong.Document{Kind: "element", ID: "other." + name[:3]}, stale); lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict {
				t.Errorf("%s: %v", name, err)
			}
		}
		list, err := s.Documents(ctx, "element", "")
		check(t, err)
		equal(t, len(list), 2) // what came with a conflict is not there
		equal(t, list[0].ID, "a.b")
		list, err = s.Documents(ctx, "element", "proposed")
		check(t, err)
		equal(t, len(list), 1)
		list, err = s.Documents(ctx, "element", "draft") // an earlier state of it
		check(t, err)
		equal(t, len(list), 0)
		history, err := s.DocumentHistory(ctx, "element", "person.name")
		check(t, err)
		equal(t, len(history), 2)
		equal(t, string(history[0].Body), `{"a":1}`)
	})
}

// Of many who have seen the same revision one wins, and the others are told.
func TestDocuments_Concurrent(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		saved, err := s.SaveDocuments(t.Context(), lienthong.Document{Kind: "k", ID: "i", Body: []byte(`{}`)})
		check(t, err)
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				d := saved[0]
				d.Actor = fmt.Sprint(i)
				_, errs[i] = s.SaveDocuments(t.Context(), d)
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case lienthong.ErrorCode(err) != lienthong.CodeDocumentConflict:
				t.Error(err)
			}
		}
		equal(t, won, 1)
	})
}

package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// follower replays a feed as the consumer of some records does.
type follower struct {
	tb    testing.TB
	s     *Store
	view  *FeedView
	after uint64
	has   map[string]string
}

func recordKey(stream int64, id []byte) string {
	return strconv.FormatInt(stream, 10) + "/" + string(id)
}

func (f *follower) render(r *FeedRecord) string {
	var b strings.Builder
	for i := range r.Values {
		fmt.Fprintf(&b, "%d:%s|", r.Values[i].State, r.Values[i].AppendText(nil, f.view.Fields[i].Kind))
	}
	return b.String()
}

// snapshot takes all records and the sequence to go on from.
func (f *follower) snapshot() {
	f.tb.Helper()
	f.after, f.has = f.now()
}

func (f *follower) now() (uint64, map[string]string) {
	f.tb.Helper()
	frozen, err := f.s.Freeze(context.Background())
	check(f.tb, err)
	defer func() { check(f.tb, frozen.Close()) }()
	head, err := frozen.FeedHead(context.Background(), f.view.Dataset)
	check(f.tb, err)
	has := map[string]string{}
	check(f.tb, frozen.FeedRecords(context.Background(), f.view, func(r *FeedRecord) error {
		has[recordKey(r.Stream, r.ID)] = f.render(r)
		return nil
	}))
	return head.Sequence, has
}

// follow applies everything that the log holds, limit changes at a time.
func (f *follower) follow(limit int) {
	f.tb.Helper()
	for {
		entries, err := f.s.FeedLog(context.Background(), f.view.Dataset, f.after, limit)
		check(f.tb, err)
		if len(entries) == 0 {
			return
		}
		for i := range entries {
			if entries[i].Sequence != f.after+1 {
				f.tb.Fatalf("sequence %d follows %d", entries[i].Sequence, f.after)
			}
			f.after++
			delete(f.has, recordKey(entries[i].Stream, entries[i].ID))
		}
		check(f.tb, f.s.FeedRecords(context.Background(), f.view, entries, func(r *FeedRecord) error {
			if !r.Deleted {
				f.has[recordKey(r.Stream, r.ID)] = f.render(r)
			}
			return nil
		}))
	}
}

func TestFeed_SnapshotAndLogGiveTheTable(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		rng := rand.New(rand.NewPCG(3, 14))
		senders := []*sender{newSender(t, s, everyKind(1), "g01"), newSender(t, s, everyKind(1), "g02")}
		versions := map[string]int64{}
		step := func(early bool) {
			p := senders[rng.IntN(2)]
			kind := []lienthong.BatchKind{lienthong.ChangesBatch, lienthong.ChangesBatch, lienthong.SnapshotBatch}[rng.IntN(3)]
			var changes []lienthong.Change
			for range rng.IntN(80) {
				id := "r" + strconv.Itoa(rng.IntN(60))
				versions[p.stream.Node+id]++
				c := lienthong.Change{Op: lienthong.Upsert, ID: []byte(id), Version: versions[p.stream.Node+id], At: clock.UnixMicro()}
				switch op := rng.IntN(10); {
				case op == 0 && kind != lienthong.SnapshotBatch:
					c.Op = lienthong.Delete
				case op == 1 && kind != lienthong.SnapshotBatch:
					c.Op = lienthong.Hold
				default:
					c.Values = []lienthong.Value{
						text(id), text("Tên " + strconv.Itoa(rng.IntN(9))), number(rng.Int64N(4)), text("12.50"), realValue(0.5),
						number(1), number(19000), number(clock.UnixMicro()), text("\x00\xff"), null, number(3),
					}
					if !early && rng.IntN(4) == 0 && kind != lienthong.SnapshotBatch {
						c.Values[1] = unchanged // may be refused as incomplete: not a change then
					}
				}
				changes = append(changes, c)
			}
			p.apply(kind, changes...)
		}
		for range 5 {
			step(true)
		}
		head, err := s.FeedHead(context.Background(), people)
		check(t, err)
		if head != (FeedHead{}) {
			t.Fatalf("a dataset without a feed has %+v", head)
		}
		check(t, s.OpenFeed(context.Background(), people, []string{"order"}))
		view, err := s.FeedView(context.Background(), people, []string{"Họ tên", "order", "income", "score", "born", "seen", "photo", "xmin"})
		check(t, err)
		f := &follower{tb: t, s: s, view: view}
		f.snapshot()
		for range 60 {
			step(false)
			if rng.IntN(3) == 0 {
				f.follow(1 + rng.IntN(100))
			}
			if rng.IntN(20) == 0 { // a stream that comes later is followed too
				senders[rng.IntN(2)] = newSender(t, s, everyKind(1), "g1"+strconv.Itoa(len(versions)))
			}
		}
		f.follow(7)
		sequence, want := f.now()
		if diff := cmp.Diff(want, f.has); diff != "" || sequence != f.after || sequence == 0 {
			t.Errorf("after %d of %d the follower differs:\n%s", f.after, sequence, diff)
		}
	})
}

func TestFeed_TellsWhatWasBefore(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		p := newSender(t, s, everyKind(1), "g01")
		row := func(id, name string, version int64) lienthong.Change {
			return lienthong.Change{Op: lienthong.Upsert, ID: []byte(id), Version: version, At: 1, Values: []lienthong.Value{
				text(id), text(name), number(7), null, null, null, null, null, null, null, null,
			}}
		}
		check(t, s.OpenFeed(context.Background(), people, nil))
		p.apply(lienthong.ChangesBatch, row("a", "x", 1), row("b", "x", 1), row("gone", "x", 1))
		check(t, s.OpenFeed(context.Background(), people, []string{"Họ tên"}))
		check(t, s.OpenFeed(context.Background(), people, []string{"order"})) // adds to it
		p.apply(lienthong.ChangesBatch, row("a", "y", 2), row("new", "z", 1))
		p.apply(lienthong.ChangesBatch, row("a", "w", 3),
			lienthong.Change{Op: lienthong.Hold, ID: []byte("b"), Version: 2},
			lienthong.Change{Op: lienthong.Delete, ID: []byte("gone"), Version: 2},
			lienthong.Change{Op: lienthong.Delete, ID: []byte("never"), Version: 2},
			row("brief", "x", 1), lienthong.Change{Op: lienthong.Delete, ID: []byte("brief"), Version: 2})
		entries, err := s.FeedLog(context.Background(), people, 0, 100)
		check(t, err)
		var got []string
		for i := range entries {
			e := &entries[i]
			name, there, known := e.Before("Họ tên")
			order, _, _ := e.Before("order")
			got = append(got, fmt.Sprintf("%d %s %s v%d batch %d: %q %q %t %t", e.Sequence, e.Op, e.ID, e.Version, e.Batch, name, order, there, known))
		}
		want := []string{
			`1 upsert a v1 batch 1: "" "" false true`,
			`2 upsert b v1 batch 1: "" "" false true`,
			`3 upsert gone v1 batch 1: "" "" false true`,
			`4 upsert a v2 batch 2: "x" "7" true true`,
			`5 upsert new v1 batch 2: "" "" false true`,
			`6 upsert a v3 batch 3: "y" "7" true true`,
			`7 delete gone v2 batch 3: "x" "7" true true`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestFeed_RepairDeletionsAreInTheLog(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		p := newSender(t, s, citizens(), "g01")
		check(t, s.OpenFeed(context.Background(), p.shape.Dataset, nil))
		p.apply(lienthong.SnapshotBatch, citizen(1, 1), citizen(2, 1))
		for bucket := range batch.Buckets { // every bucket is empty at the source
			item := p.item(lienthong.RepairBatch)
			item.Header.Bucket, item.Version = &bucket, 5
			_, err := s.Apply(context.Background(), []Item{item})
			check(t, err)
		}
		entries, err := s.FeedLog(context.Background(), p.shape.Dataset, 2, 100)
		check(t, err)
		if len(entries) != 2 || entries[0].Op != lienthong.Delete || entries[1].Op != lienthong.Delete {
			t.Errorf("after the repair the log has %v", entries)
		}
	})
}

// A change that commits after OpenFeed has returned must be in the log, even when
// its Apply began before.
func TestFeed_OpenMeetsRunningApplies(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		const streams, batches = 3, 40
		var senders []*sender
		for n := range streams {
			senders = append(senders, newSender(t, s, citizens(), "g0"+strconv.Itoa(n)))
		}
		begun, feedOpen := make(chan struct{}, streams), make(chan struct{})
		var running sync.WaitGroup
		for _, p := range senders {
			running.Go(func() {
				for b := range batches {
					_, err := s.Apply(context.Background(), []Item{p.item(lienthong.ChangesBatch, citizen(b, 1), citizen(b%7, int64(b+2)))})
					if err != nil {
						t.Error(err)
						return
					}
					if b == batches/4 {
						begun <- struct{}{}
					}
					if b == batches/2 {
						<-feedOpen
					}
				}
			})
		}
		for range streams {
			<-begun
		}
		check(t, s.OpenFeed(context.Background(), citizens().Dataset, nil))
		view, err := s.FeedView(context.Background(), citizens().Dataset, []string{"full_name", "updated"})
		check(t, err)
		f := &follower{tb: t, s: s, view: view}
		f.snapshot()
		close(feedOpen)
		running.Wait()
		f.follow(10)
		if _, want := f.now(); !cmp.Equal(want, f.has) {
			t.Error(cmp.Diff(want, f.has))
		}
	})
}

func TestFeed_TrimAndClose(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := context.Background()
		p := newSender(t, s, citizens(), "g01")
		dataset := p.shape.Dataset
		check(t, s.OpenFeed(ctx, dataset, nil))
		changed := s.FeedChanged(dataset)
		for n := range 10 {
			p.apply(lienthong.ChangesBatch, citizen(n, 1))
		}
		<-changed
		trim := func(before int64, keep uint64, piece int) (removed int) {
			t.Helper()
			removed, err := s.TrimFeed(ctx, dataset, before, keep, piece)
			check(t, err)
			return removed
		}
		if n := trim(clock.UnixMicro(), 100, 5); n != 0 {
			t.Errorf("%d young changes were trimmed", n)
		}
		if n := trim(0, 7, 100); n != 3 {
			t.Errorf("%d of 3 surplus changes were trimmed", n)
		}
		if n := trim(clock.UnixMicro()+1, 100, 2); n != 2 {
			t.Errorf("a piece of 2 had %d", n)
		}
		_, err := s.FeedLog(ctx, dataset, 4, 10)
		wantCode(t, err, "feed.gone")
		entries, err := s.FeedLog(ctx, dataset, 5, 10)
		check(t, err)
		if len(entries) != 5 {
			t.Errorf("%d changes are left, want 5", len(entries))
		}
		_, err = s.FeedLog(ctx, dataset, 11, 10)
		wantCode(t, err, "feed.gone")

		check(t, s.CloseFeed(ctx, dataset))
		p.apply(lienthong.ChangesBatch, citizen(20, 1))
		_, err = s.FeedLog(ctx, dataset, 10, 10)
		wantCode(t, err, "feed.gone")
		for trim(0, 100, 2) > 0 {
		}
		open, err := s.OpenFeeds(ctx)
		check(t, err)
		if len(open) != 0 {
			t.Errorf("a closed and empty feed is listed: %v", open)
		}
		check(t, s.OpenFeed(ctx, dataset, nil))
		p.apply(lienthong.ChangesBatch, citizen(21, 1))
		if entries, err = s.FeedLog(ctx, dataset, 10, 10); err != nil || len(entries) != 1 || entries[0].Sequence != 11 {
			t.Errorf("opened again: %v, %v", entries, err)
		}
	})
}

func TestFeed_RefusesUnknownFields(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		newSender(t, s, citizens(), "g01")
		_, err := s.FeedView(context.Background(), citizens().Dataset, []string{"number", "salary"})
		wantCode(t, err, "feed.field")
		_, err = s.FeedView(context.Background(), people, nil)
		wantCode(t, err, "feed.dataset")
	})
}

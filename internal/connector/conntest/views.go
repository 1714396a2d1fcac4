package conntest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// readAll reads every chunk of a table of a view, in parallel, into the landing,
// and returns how many rows there were.
func (s *suite) readAll(view connector.View, l *landing, table, rows int) int {
	s.t.Helper()
	chunks, err := view.Chunks(s.ctx(), table, rows)
	s.must(err)
	return s.readChunks(view, l, table, chunks)
}

func (s *suite) readChunks(view connector.View, l *landing, table int, chunks []connector.Chunk) int {
	s.t.Helper()
	var wg sync.WaitGroup
	failures := make(chan error, len(chunks))
	lanes := make(chan struct{}, 3)
	count := 0
	seen := map[string]connector.Chunk{}
	for _, chunk := range chunks {
		wg.Go(func() {
			lanes <- struct{}{}
			defer func() { <-lanes }()
			failures <- view.Read(s.ctx(), table, chunk, func(row *connector.Row) error {
				l.mu.Lock()
				defer l.mu.Unlock()
				if row.Table != table || row.Op != lienthong.Upsert || row.Version != view.Version() {
					l.fault("a row of a view with table %d, %s, version %d; want %d, upsert, %d",
						row.Table, row.Op, row.Version, table, view.Version())
				}
				cells := make([]Cell, len(row.Values))
				for i := range row.Values {
					cells[i] = cellOf(&row.Values[i], l.columns[table][i].Kind)
				}
				key, _ := describe(l.tables[table], cells)
				if other, twice := seen[key]; twice {
					l.fault("row %s is in chunk %q and in chunk %q", key, other, chunk)
				}
				seen[key] = chunk
				count++
				l.apply(row, false)
				return nil
			})
		})
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		s.must(err)
	}
	if len(l.faults) > 0 {
		s.t.Fatal(l.faults[0])
	}
	return count
}

func (s *suite) fill(table *Table, from, to int) {
	s.t.Helper()
	const step = 200
	for at := from; at < to; at += step {
		var writes []Write
		for id := at; id < min(at+step, to); id++ {
			writes = append(writes, s.insert(table, id))
		}
		s.apply(writes...)
	}
}

func (s *suite) viewIsExact() {
	table := s.people("people")
	s.fill(table, 0, 2000)
	source := s.open()
	s.start(source, table)
	view, err := source.View(s.ctx())
	s.must(err)
	defer func() { _ = view.Close() }()
	want := s.truth(table)
	// What commits after the view was opened is not in it.
	if s.h.Capabilities.ConcurrentWriters {
		s.fill(table, 5000, 5100)
		s.apply(update(table, 3, "sau khi mở"))
	}
	for _, rows := range []int{1 << 30, 700, 64} {
		l := s.landing(source, table)
		if count := s.readAll(view, l, 0, rows); count != len(want) {
			s.t.Errorf("chunks of %d rows: %d rows, want %d", rows, count, len(want))
		}
		if diff := cmp.Diff(want, l.live(0)); diff != "" {
			s.t.Fatalf("chunks of %d rows: %.3000s", rows, diff)
		}
	}
	// The caller can stop reading.
	chunks, err := view.Chunks(s.ctx(), 0, 1<<30)
	s.must(err)
	enough := errors.New("enough")
	err = view.Read(s.ctx(), 0, chunks[0], func(*connector.Row) error { return enough })
	if !errors.Is(err, enough) {
		s.t.Errorf("Read returned %v, want the caller's error", err)
	}
	s.must(view.Close())
}

// viewVersions: a view's version is below that of any change that it does not
// show, and not below that of a change it shows.
func (s *suite) viewVersions() {
	table := s.people("people")
	source := s.open()
	pos := s.start(source, table)
	s.fill(table, 0, 50)
	s.apply(update(table, 1, "trước"))
	view, err := source.View(s.ctx())
	s.must(err)
	version, at := view.Version(), view.Position()
	s.must(view.Close())
	if at.Before(pos) {
		s.t.Errorf("view at %d, before Start's %d", at.Order, pos.Order)
	}
	s.apply(update(table, 2, "sau"))
	later, err := source.View(s.ctx())
	s.must(err)
	if later.Version() <= version || !at.Before(later.Position()) {
		s.t.Errorf("the later view has version %d and position %d, the earlier %d and %d",
			later.Version(), later.Position().Order, version, at.Order)
	}
	s.must(later.Close())
	l := s.landing(source, table)
	r := s.stream(source, pos, l)
	s.settles(r, l)
	l.mu.Lock()
	defer l.mu.Unlock()
	order := uint64(0)
	for _, e := range l.events {
		switch e.Kind {
		case "begin":
			order = e.Order
		case "upsert":
			shown := order <= at.Order
			if shown && e.Version > version {
				s.t.Errorf("the view shows a change of version %d but has version %d", e.Version, version)
			}
			if !shown && e.Version <= version {
				s.t.Errorf("the view does not show a change of version %d but has version %d", e.Version, version)
			}
		}
	}
}

func (s *suite) viewOfEmptyTable() {
	table := s.people("people")
	source := s.open()
	pos := s.start(source, table)
	view, err := source.View(s.ctx())
	s.must(err)
	l := s.landing(source, table)
	if count := s.readAll(view, l, 0, 100); count != 0 {
		s.t.Errorf("%d rows in an empty table", count)
	}
	s.must(view.Close())
	s.apply(s.insert(table, 1))
	s.settles(s.stream(source, pos, l), l)
}

// writers change the table at random until stopped: several goroutines, on
// shared and on own keys.
func (s *suite) writers(table *Table) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	failures := make(chan error, 3)
	for w := range 3 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			mine := map[int]bool{}
			for n := 0; ctx.Err() == nil; n++ {
				var writes []Write
				for range 1 + random.IntN(4) {
					id := 10_000*(w+1) + random.IntN(300)
					switch {
					case !mine[id]:
						writes = append(writes, s.insert(table, id))
						mine[id] = true
					case s.h.Capabilities.Deletes && random.IntN(3) == 0:
						writes = append(writes, remove(table, id))
						mine[id] = false
					default:
						writes = append(writes, update(table, id, fmt.Sprintf("%d-%d", w, n)))
					}
				}
				// A key that all writers want, last so that they cannot lock each other out.
				writes = append(writes, update(table, random.IntN(20), fmt.Sprintf("chung %d-%d", w, n)))
				if err := s.h.Apply(context.WithoutCancel(ctx), writes...); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	return func() {
		s.t.Helper()
		cancel()
		wg.Wait()
		close(failures)
		for err := range failures {
			s.must(err)
		}
	}
}

// viewUnderWriters takes views in the middle of random writes. Whichever way
// view and stream are combined, the result is the source's final state.
func (s *suite) viewUnderWriters() {
	table := s.people("people")
	s.fill(table, 0, 1000)
	source := s.open()
	pos := s.start(source, table)
	stop := s.writers(table)
	stopped := false
	defer func() {
		if !stopped {
			stop()
		}
	}()
	live := s.landing(source, table)
	r := s.stream(source, pos, live)
	s.until("the stream carries changes", r, live, func() bool { return len(live.events) > 200 })

	// One: the view is poured into a running stream's state, in whatever order.
	view, err := source.View(s.ctx())
	s.must(err)
	s.readAll(view, live, 0, 100)
	// Two: a second landing gets the view first, then the stream after its position,
	// which must join without a gap and without repeating what the view shows.
	joined := s.landing(source, table)
	s.readAll(view, joined, 0, 300)
	at := view.Position()
	s.must(view.Close())
	mark := 0
	s.until("more changes follow the view", r, live, func() bool {
		if mark == 0 {
			mark = len(live.events)
		}
		return len(live.events) > mark+100
	})
	stop()
	stopped = true
	s.settles(r, live)
	r.end(s.t)
	s.settles(s.stream(source, at, joined), joined)
}

func (s *suite) snapshotResumes() {
	table := s.people("people")
	s.fill(table, 0, 3000)
	source := s.open()
	pos := s.start(source, table)
	l := s.landing(source, table)
	view, err := source.View(s.ctx())
	s.must(err)
	chunks, err := view.Chunks(s.ctx(), 0, 500)
	s.must(err)
	half := len(chunks) / 2
	s.readChunks(view, l, 0, chunks[:half])
	s.must(view.Close())
	s.must(source.Close())
	// While we are away rows move, grow, vanish and appear, in read and unread chunks.
	for id := 0; id < 3000; id += 7 {
		s.apply(update(table, id, "đã đổi trong lúc nghỉ, dài hơn trước nhiều"))
	}
	if s.h.Capabilities.Deletes {
		for id := 1; id < 3000; id += 70 {
			s.apply(remove(table, id))
		}
	}
	s.fill(table, 4000, 4500)
	source = s.open()
	s.start(source, table)
	view, err = source.View(s.ctx())
	s.must(err)
	s.readChunks(view, l, 0, chunks[half:])
	s.must(view.Close())
	r := s.stream(source, pos, l)
	s.settles(r, l)
}

// longTransaction: one that is open across Start and View, and one that begins
// before the view and commits after it, are not lost.
func (s *suite) longTransaction() {
	table := s.people("people")
	s.fill(table, 0, 100)
	source := s.open()
	early, err := s.h.Begin(s.ctx())
	s.must(err)
	s.must(early.Apply(s.ctx(), s.insert(table, 1001), update(table, 1, "giao dịch dài")))

	// Start may wait for the transaction, or return before it ends. Either is right.
	type started struct {
		pos lienthong.Position
		err error
	}
	done := make(chan started, 1)
	ctx := s.ctx()
	go func() {
		pos, err := source.Start(ctx, []string{table.Name})
		done <- started{pos, err}
	}()
	// The other transaction makes sure that the first spans a commit of its neighbour.
	s.must(s.h.Apply(s.ctx(), s.insert(table, 1002)))
	s.must(early.Commit(s.ctx()))
	start := <-done
	s.must(start.err)

	late, err := s.h.Begin(s.ctx())
	s.must(err)
	s.must(late.Apply(s.ctx(), s.insert(table, 1003), update(table, 2, "giao dịch dài thứ hai")))
	type opened struct {
		view connector.View
		err  error
	}
	ready := make(chan opened, 1)
	go func() {
		view, err := source.View(ctx)
		ready <- opened{view, err}
	}()
	s.apply(s.insert(table, 1004))
	s.must(late.Apply(s.ctx(), s.insert(table, 1005)))
	s.must(late.Commit(s.ctx()))
	view := <-ready
	s.must(view.err)
	s.apply(update(table, 3, "sau view"))

	l := s.landing(source, table)
	s.readAll(view.view, l, 0, 50)
	at := view.view.Position()
	s.must(view.view.Close())
	r := s.stream(source, start.pos, l)
	s.settles(r, l)
	r.end(s.t)

	// And from the view's own position.
	joined := s.landing(source, table)
	again, err := source.View(s.ctx())
	s.must(err)
	s.readAll(again, joined, 0, 50)
	after := again.Position()
	s.must(again.Close())
	if after.Before(at) {
		s.t.Errorf("a later view is at %d, before %d", after.Order, at.Order)
	}
	s.apply(update(table, 4, "sau nữa"))
	s.settles(s.stream(source, after, joined), joined)
}

package capture_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/conntest"
)

// Rows of the first load that wait to be sealed while the table is emptied do not come
// back: nothing at the hub says that they are gone, because it never had them.
func TestTruncate_WhileTheFirstLoadWaits(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		open, source := h.Open, &emptied{}
		h.Open = func() (connector.Source, error) {
			opened, err := open()
			source.Source = opened
			return source, err
		}
		r := newRoad(t, h, capture.Config{})
		table := r.create(people("people"))
		r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", peopleDefinition(table.Name)))
		for id := 1; id <= 30; id++ {
			r.apply(insertPerson(table, id))
		}
		r.holds = lienthong.ReportBatch // which goes before the first rows
		r.start()
		r.await("the rows to be read", func() bool { s := r.capture.Snapshots(); return len(s) > 0 && s[0].Rows == 30 })
		r.apply(conntest.Write{Verb: conntest.Truncate, Table: table})
		r.apply(insertPerson(table, 70))
		// Behind what waits for the spool there may be no room for the truncate; then it has its turn later.
		var since time.Time
		r.await("the change to be read", func() bool {
			if since.IsZero() && source.begun.Load() {
				since = time.Now()
			}
			return r.status(peopleDataset).Changes > 0 || !since.IsZero() && time.Since(since) > time.Second
		})
		r.note(func() { r.holds = "" })
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter")
		r.reconcile(peopleDataset)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, result := range r.results {
			if result.Result == lienthong.Differs {
				t.Errorf("rows came back and had to be mended: %s", describe(result))
			}
		}
	})
}

// emptied is a source that tells when a truncate begins to be delivered.
type emptied struct {
	connector.Source
	begun atomic.Bool
}

type emptiedSink struct {
	connector.Sink
	begun *atomic.Bool
}

func (s emptiedSink) Begin(pos lienthong.Position, at int64) error {
	s.begun.Store(true) // the first change after the first load is the truncate
	return s.Sink.Begin(pos, at)
}

func (s *emptied) Stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	return s.Source.Stream(ctx, after, emptiedSink{sink, &s.begun})
}

// A crash between remembering a shape and its batch, whether or not the batch got into the
// spool, and whether or not the table has changed before the next start: the hub gets the shape,
// and never two under one number.
func TestShape_CrashWhileItIsSent(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		for _, altered := range []bool{false, true} {
			t.Run(fmt.Sprintf("in the spool %v, table altered %v", lossy, altered), func(t *testing.T) {
				h := sqliteHarness(t)
				r := newRoad(t, h, capture.Config{})
				table := r.create(people("people"))
				r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", peopleDefinition(table.Name)))
				r.apply(insertPerson(table, 1))
				r.mu.Lock()
				r.holds = lienthong.ShapeBatch
				if lossy {
					r.lossy, r.cutCount = true, 0 // the first that is cut gets in
				}
				r.mu.Unlock()
				r.start()
				r.await("the shape to be remembered", func() bool {
					saved, err := r.state.Load(t.Context(), datasetID(t, peopleDataset))
					return err == nil && saved.Shape != nil
				})
				if lossy {
					r.cutHolding()
				}
				r.halt()
				r.note(func() { r.holds = "" })
				if altered {
					column := conntest.Column{Name: "phone", Kind: lienthong.Text}
					if err := h.AddColumn(context.Background(), table, column); err != nil {
						t.Fatal(err)
					}
					table.Columns = append(table.Columns, column)
				}
				r.start()
				fields := []string{"record_key", "full_name", "note", "counter"}
				if altered {
					fields = append(fields, "phone")
				}
				r.same(peopleDataset, table, fields...)
				r.reconcile(peopleDataset)
				for _, refused := range r.refused {
					t.Errorf("the hub refused %s", refused)
				}
			})
		}
	}
}

// The same for a shape that follows another.
func TestShape_CrashWhileTheNextIsSent(t *testing.T) {
	each(t, func(t *testing.T, h conntest.Harness) {
		r, table, _ := peopleRoad(t, h, capture.Config{})
		r.note(func() { r.holds = lienthong.ShapeBatch })
		column := conntest.Column{Name: "phone", Kind: lienthong.Text}
		if err := h.AddColumn(context.Background(), table, column); err != nil {
			t.Fatal(err)
		}
		table.Columns = append(table.Columns, column)
		r.apply(setCell(table, 1, 4, "0912"))
		r.await("the shape to be remembered", func() bool {
			saved, err := r.state.Load(t.Context(), datasetID(t, peopleDataset))
			return err == nil && saved.Shape.Version == 2 && !saved.ShapeSent
		})
		r.halt()
		r.note(func() { r.holds = "" })
		r.start()
		r.same(peopleDataset, table, "record_key", "full_name", "note", "counter", "phone")
		r.reconcile(peopleDataset)
		for _, refused := range r.refused {
			t.Errorf("the hub refused %s", refused)
		}
	})
}

// cutHolding lets a held append end as one that was cut.
func (r *road) cutHolding() {
	r.cancel()
	r.note(func() { r.holds = "" })
}

// tripping is a source whose line is cut once at the end of a transaction.
type tripping struct {
	connector.Source
	trip atomic.Bool
}

type trippingSink struct {
	connector.Sink
	trip *atomic.Bool
}

func (s trippingSink) Commit(pos lienthong.Position) error {
	if s.trip.CompareAndSwap(true, false) {
		return errors.New("the line is cut")
	}
	return s.Sink.Commit(pos)
}

func (s *tripping) Stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	return s.Source.Stream(ctx, after, trippingSink{sink, &s.trip})
}

// What a transaction said about who is inside is taken back when it is cut: said again, it
// counts again.
func TestRows_SaidAgainAfterACut(t *testing.T) {
	h := sqliteHarness(t)
	open, source := h.Open, &tripping{}
	h.Open = func() (connector.Source, error) {
		opened, err := open()
		source.Source = opened
		return source, err
	}
	r := newRoad(t, h, capture.Config{ReconcileEvery: -1})
	table := r.create(people("people"))
	r.config.Definitions = append(r.config.Definitions, parse(t, "people.yaml", fmt.Sprintf(territoryPeople, table.Name)))
	r.apply(personRow(table, "p0001", "x", "A1", "1"), personRow(table, "p0002", "x", "C1", "1"))
	r.start()
	r.await("the first load", func() bool { s := r.capture.Snapshots(); return len(s) > 0 && s[0].State == "done" })
	r.sameInside(table, "A", "B")
	source.trip.Store(true)
	r.apply(setCell(table, 1, 2, "C9"), setCell(table, 2, 2, "A9")) // out, in
	r.sameInside(table, "A", "B")
	r.restart() // who is inside now is remembered too
	r.await("a status", func() bool { return len(r.capture.Statuses()) > 0 })
	r.apply(setCell(table, 2, 2, "C9"))
	r.sameInside(table, "A", "B")
}

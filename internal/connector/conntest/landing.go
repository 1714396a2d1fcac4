package conntest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// event is one call of a Sink, in words.
type event struct {
	Kind    string // begin, upsert, delete, truncate, schema, commit, progress, idle
	Table   int
	Key     string
	Row     string
	Cells   []Cell
	Version int64
	Order   uint64
	Now     *connector.Table
}

// landing is a Sink that keeps state as the hub does: by version, with
// Unchanged keeping what is there. It also checks the grammar of the stream.
type landing struct {
	mu      sync.Mutex
	tables  []*Table
	columns [][]lienthong.Column // as the source last described them
	keys    [][]int              // likewise
	events  []event
	state   []map[string]landed
	open    bool // between Begin and Commit
	pos     lienthong.Position
	streamV map[string]int64 // per table and key, the last version of this stream
	faults  []string
	stir    chan struct{} // closed and replaced at every event
	fail    error         // returned from the next Change
	loose   bool          // versions restart: a new Stream has begun
}

type landed struct {
	version int64
	deleted bool
	cells   []Cell
}

var _ connector.Sink = (*landing)(nil)

func (s *suite) landing(source connector.Source, tables ...*Table) *landing {
	s.t.Helper()
	l := &landing{tables: tables, stir: make(chan struct{}), streamV: map[string]int64{}}
	listed, err := source.Tables(s.ctx())
	s.must(err)
	for _, table := range tables {
		at := slices.IndexFunc(listed, func(t connector.Table) bool { return t.Name == table.Name })
		if at < 0 {
			s.t.Fatalf("Tables does not list %s", table.Name)
		}
		l.columns = append(l.columns, listed[at].Columns)
		l.keys = append(l.keys, listed[at].Key)
		l.state = append(l.state, map[string]landed{})
	}
	return l
}

func (l *landing) add(e event) {
	l.events = append(l.events, e)
	close(l.stir)
	l.stir = make(chan struct{})
}

func (l *landing) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

func (l *landing) Begin(pos lienthong.Position, _ int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open {
		l.fault("Begin inside a transaction")
	}
	if !l.pos.Before(pos) && !l.loose {
		l.fault("Begin at %d, not after %d", pos.Order, l.pos.Order)
	}
	l.open, l.loose = true, false
	l.pos = pos
	l.add(event{Kind: "begin", Order: pos.Order})
	return nil
}

func (l *landing) Change(row *connector.Row) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	if !l.open {
		l.fault("Change outside a transaction")
	}
	l.apply(row, true)
	return nil
}

// apply takes a row of a stream or of a view.
func (l *landing) apply(row *connector.Row, streamed bool) {
	table := l.tables[row.Table]
	columns := l.columns[row.Table]
	if len(row.Values) != len(columns) {
		l.fault("%s: %d values, %d columns", table.Name, len(row.Values), len(columns))
		return
	}
	cells := make([]Cell, len(row.Values))
	for i := range row.Values {
		cells[i] = cellOf(&row.Values[i], columns[i].Kind)
	}
	key, text := describe(table, cells)
	for i := range table.Columns {
		if table.Columns[i].Key && cells[i].State != lienthong.Present {
			l.fault("%s: a key column without a value in %s", table.Name, row.Op)
		}
	}
	if streamed {
		id := fmt.Sprint(row.Table, key)
		if last, seen := l.streamV[id]; seen && row.Version <= last {
			l.fault("%s %s: version %d after %d", table.Name, key, row.Version, last)
		}
		l.streamV[id] = row.Version
		l.add(event{Kind: row.Op.String(), Table: row.Table, Key: key, Row: text, Cells: cells, Version: row.Version})
	}
	was, exists := l.state[row.Table][key]
	if exists && row.Version <= was.version {
		return
	}
	if row.Op == lienthong.Upsert {
		for i := range cells {
			if cells[i].State != lienthong.Unchanged {
				continue
			}
			if !exists || was.deleted || i >= len(was.cells) {
				l.fault("%s %s: Unchanged, but there is nothing to keep", table.Name, key)
				continue
			}
			cells[i] = was.cells[i]
		}
	}
	l.state[row.Table][key] = landed{version: row.Version, deleted: row.Op == lienthong.Delete, cells: cells}
}

func (l *landing) Truncate(table int, version, _ int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, was := range l.state[table] {
		if was.version < version {
			was.version, was.deleted = version, true
			l.state[table][key] = was
		} else if last, seen := l.streamV[fmt.Sprint(table, key)]; seen && last >= version {
			// A record that this stream has written before, not one of a stream or view further on.
			l.fault("Truncate version %d is not above %d of a record written before", version, was.version)
		}
	}
	l.add(event{Kind: "truncate", Table: table, Version: version})
	return nil
}

func (l *landing) Schema(table int, now connector.Table) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.columns[table], l.keys[table] = now.Columns, now.Key
	l.add(event{Kind: "schema", Table: table, Now: &now})
	return nil
}

func (l *landing) Commit(pos lienthong.Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := "commit"
	if !l.open {
		kind = "progress"
		if pos.Before(l.pos) {
			l.fault("progress to %d, before %d", pos.Order, l.pos.Order)
		}
	} else if pos.Order != l.pos.Order {
		l.fault("Commit at %d of a transaction that began at %d", pos.Order, l.pos.Order)
	}
	l.open = false
	l.pos = pos
	l.add(event{Kind: kind, Order: pos.Order})
	return nil
}

func (l *landing) Idle() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open {
		l.fault("Idle inside a transaction")
	}
	l.add(event{Kind: "idle"})
	return nil
}

// restart tells the landing that a new Stream begins from pos.
func (l *landing) restart(pos lienthong.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.loose, l.pos = false, true, pos
	l.events = nil
	clear(l.streamV)
}

func (l *landing) live(table int) map[string]string {
	live := map[string]string{}
	for key, r := range l.state[table] {
		if !r.deleted {
			_, text := describe(l.tables[table], r.cells)
			live[key] = text
		}
	}
	return live
}

// cellOf copies a value out of the connector's buffers.
func cellOf(v *lienthong.Value, kind lienthong.Kind) Cell {
	if v.State == lienthong.Malformed {
		return Cell{State: v.State, Text: string(v.Bytes)}
	}
	return Cell{State: v.State, Text: string(v.AppendText(nil, kind))}
}

// running is a Stream in progress.
type running struct {
	cancel context.CancelFunc
	done   chan error
	over   bool
	err    error
}

func (s *suite) stream(source connector.Source, after lienthong.Position, l *landing) *running {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, done: make(chan error, 1)}
	l.restart(after)
	go func() { r.done <- source.Stream(ctx, after, l) }()
	s.t.Cleanup(func() { r.end(s.t) })
	return r
}

func (r *running) end(t reporter) {
	t.Helper()
	r.cancel()
	if r.over {
		return
	}
	if err := r.wait(t); !errors.Is(err, context.Canceled) {
		t.Errorf("Stream after its context ended: %v", err)
	}
}

func (r *running) wait(t reporter) error {
	t.Helper()
	if !r.over {
		select {
		case r.err = <-r.done:
			r.over = true
		case <-time.After(patience):
			t.Fatal("Stream does not return")
		}
	}
	return r.err
}

// until waits until the condition holds. It is evaluated after every event.
func (s *suite) until(what string, r *running, l *landing, holds func() bool) {
	s.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		l.mu.Lock()
		ok, stir, faults := holds(), l.stir, l.faults
		l.mu.Unlock()
		if len(faults) > 0 {
			s.t.Fatalf("the stream breaks its grammar: %s", faults[0])
		}
		if ok {
			return
		}
		select {
		case <-stir:
		case err := <-r.done:
			r.over, r.err = true, err
			s.t.Fatalf("waiting until %s, Stream ended: %v", what, err)
		case <-deadline.C:
			s.t.Fatalf("gave up waiting until %s; last events: %+v", what, l.tail())
		}
	}
}

func (l *landing) tail() []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events[max(0, len(l.events)-8):])
}

// settles waits until the landed state of every table is the source's.
func (s *suite) settles(r *running, l *landing) {
	s.t.Helper()
	truths := make([]map[string]string, len(l.tables))
	for i, table := range l.tables {
		truths[i] = s.truth(table)
	}
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		l.mu.Lock()
		same := !l.open
		for i := range l.tables {
			same = same && cmp.Equal(truths[i], l.live(i))
		}
		stir, faults := l.stir, l.faults
		l.mu.Unlock()
		if len(faults) > 0 {
			s.t.Fatalf("the stream breaks its grammar: %s", faults[0])
		}
		if same {
			return
		}
		select {
		case <-stir:
		case err := <-r.done:
			r.over, r.err = true, err
			s.t.Fatalf("Stream ended before the landed state was the source's: %v", err)
		case <-deadline.C:
			l.mu.Lock()
			defer l.mu.Unlock()
			for i, table := range l.tables {
				if diff := cmp.Diff(truths[i], l.live(i)); diff != "" {
					s.t.Errorf("%s: source (-) and landed (+) differ:\n%.4000s", table.Name, diff)
				}
			}
			s.t.FailNow()
		}
	}
}

// marker writes a row with a key that no test uses and waits for it: whatever
// committed before it has then arrived, or never will.
func (s *suite) marker(r *running, l *landing, table *Table, id int) {
	s.t.Helper()
	s.apply(s.insert(table, id))
	key, _ := describe(table, person(id, ""))
	at := slices.Index(l.tables, table)
	s.until("the marker arrives", r, l, func() bool {
		_, arrived := l.state[at][key]
		return arrived && !l.open
	})
}

// changes are the row events so far.
func (l *landing) changes() []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var changes []event
	for _, e := range l.events {
		switch e.Kind {
		case "upsert", "delete", "truncate":
			changes = append(changes, e)
		}
	}
	return changes
}

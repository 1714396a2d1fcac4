package conntest

import (
	"flag"
	"fmt"

	"pgregory.net/rapid"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// tries is how many random histories are tried unless -rapid.checks says otherwise: each
// takes a fresh source.
const tries = "5"

// random writes, restarts, acknowledges and looks at random, and at the end the landed
// state is the source's. A history that fails is made shorter before it is shown.
func (s *suite) random() {
	// What fails is shown; a file beside the code of every connector is not wanted.
	for name, value := range map[string]string{"rapid.checks": tries, "rapid.nofailfile": "true"} {
		if option := flag.Lookup(name); option != nil && option.Value.String() == option.DefValue {
			s.must(flag.Set(name, value))
			defer func() { _ = flag.Set(name, option.DefValue) }()
		}
	}
	rapid.Check(s.t, func(t *rapid.T) {
		h := &history{suite: suite{t: t, h: s.fresh(), fresh: s.fresh}, draw: t}
		h.run()
	})
}

// history is one random test.
type history struct {
	suite
	draw   *rapid.T
	source connector.Source
	tables []*Table
	there  []map[int]bool // the rows that the application has, by table
	l      *landing
	r      *running
}

func (h *history) pick(most int, what string) int { return rapid.IntRange(0, most).Draw(h.draw, what) }

func (h *history) run() {
	h.tables = []*Table{h.people("one"), h.people("two")}
	h.there = []map[int]bool{{}, {}}
	h.source = h.open()
	pos := h.start(h.source, h.tables...)
	// Many histories share one server, and what they keep there is counted.
	defer func() {
		if destroyer, keeps := h.source.(connector.Destroyer); keeps && h.r != nil {
			h.r.cancel()
			_ = h.r.wait(h.t)
			_ = destroyer.Destroy(h.ctx())
		}
	}()
	h.l = h.landing(h.source, h.tables...)
	h.r = h.stream(h.source, pos, h.l)
	for range 10 + h.pick(40, "steps") {
		switch what := h.pick(19, "step"); {
		case what < 14:
			h.write()
		case what < 16:
			h.restart()
		case what < 18:
			h.acknowledge()
		default:
			h.look()
		}
	}
	h.settles(h.r, h.l)
}

// write makes one transaction of some writes.
func (h *history) write() {
	var writes []Write
	for range 1 + h.pick(5, "writes") {
		t, id := h.pick(1, "table"), h.pick(19, "id")
		table, there := h.tables[t], h.there[t]
		kind := h.pick(19, "kind")
		switch {
		case kind == 0 && h.h.Capabilities.Truncate:
			writes = append(writes, Write{Verb: Truncate, Table: table})
			clear(there)
		case !there[id]:
			writes = append(writes, h.insert(table, id))
			there[id] = true
		case kind < 5 && h.h.Capabilities.Deletes:
			writes = append(writes, remove(table, id))
			delete(there, id)
		case kind < 8 && h.h.Capabilities.Deletes && !there[id+100]:
			writes = append(writes, h.moved(table, id, id+100))
			delete(there, id)
			there[id+100] = true
		case kind < 9:
			writes = append(writes, update(table, id, large(uint64(id))))
		case kind < 12:
			// Leaves a large note alone.
			writes = append(writes, Write{
				Verb: Update, Table: table, Key: []Cell{Has(PersonID(id))},
				Row: []Cell{Keep(), Has(fmt.Sprintf("Lê Văn %d", h.pick(99, "name"))), Keep(), Keep()},
			})
		default:
			writes = append(writes, update(table, id, fmt.Sprint("lần ", h.pick(99, "note"))))
		}
	}
	h.apply(writes...)
}

func (h *history) moved(table *Table, from, to int) Write {
	return Write{
		Verb: Update, Table: table, Key: []Cell{Has(PersonID(from))},
		Row: []Cell{Has(PersonID(to)), Keep(), Keep(), Keep()},
	}
}

// restart closes the source and opens it again, perhaps with writes in between.
func (h *history) restart() {
	h.r.end(h.t)
	h.must(h.source.Close())
	for range h.pick(2, "away") {
		h.write()
	}
	h.source = h.open()
	pos := h.start(h.source, h.tables...)
	h.reopened(h.l, h.source)
	h.r = h.stream(h.source, pos, h.l)
}

// acknowledge says that what has landed is durable.
func (h *history) acknowledge() {
	h.l.mu.Lock()
	pos, between := h.l.pos, !h.l.open
	h.l.mu.Unlock()
	if between && pos != (lienthong.Position{}) {
		h.must(h.source.Acknowledge(h.ctx(), pos))
	}
}

// look reads a view into the landed state, while the stream goes on.
func (h *history) look() {
	view, err := h.source.View(h.ctx())
	h.must(err)
	for i := range h.tables {
		h.readAll(view, h.l, i, 1+h.pick(50, "rows"))
	}
	h.must(view.Close())
}

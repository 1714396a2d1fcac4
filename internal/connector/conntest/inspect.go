package conntest

import (
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// inspection: a prepared source is found to be ready, its tables are listed, what is left
// out is named, and looking changes nothing.
func (s *suite) inspection() {
	table := s.people("people")
	var keyless *Table
	if s.h.Capabilities.Keyless {
		keyless = s.create(&Table{Name: "keyless", Columns: []Column{{Name: "word", Kind: lienthong.Text}}})
	}
	source := s.open()
	inspector, ok := source.(connector.Inspector)
	if !ok {
		s.t.Skip("the source is no Inspector")
	}
	before, err := inspector.Inspect(s.ctx())
	s.must(err)
	if before.Engine == "" {
		s.t.Error("the engine has no name")
	}
	listed, err := source.Tables(s.ctx())
	s.must(err)
	names := func(tables []connector.Table) []string {
		var names []string
		for _, t := range tables {
			names = append(names, t.Name)
		}
		slices.Sort(names)
		return names
	}
	if !slices.Contains(names(before.Tables), table.Name) {
		s.t.Errorf("%s is not among the tables %v", table.Name, names(before.Tables))
	}
	for _, name := range names(before.Tables) {
		if !slices.Contains(names(listed), name) {
			s.t.Errorf("Inspect lists %s, which Tables does not", name)
		}
	}
	for _, left := range before.LeftOut {
		if left.Name == "" || left.Code == "" || left.Vi == "" || left.En == "" || left.Vi == left.En {
			s.t.Errorf("what is left out needs a name, a code and the reason in both languages: %+v", left)
		}
		if left.Name == table.Name {
			s.t.Errorf("%s is left out: %s", table.Name, left.En)
		}
	}
	if keyless != nil && !slices.ContainsFunc(before.LeftOut, func(l connector.LeftOut) bool {
		return l.Name == keyless.Name && l.Code == "no_key"
	}) {
		s.t.Errorf("a table without a key must be left out with code no_key, got %+v", before.LeftOut)
	}
	if len(before.Required) == 0 {
		s.t.Error("nothing is required, not even to be reached")
	}
	for _, r := range before.Required {
		if r.Code == "" || r.Vi == "" || r.En == "" || r.Vi == r.En {
			s.t.Errorf("a requirement needs a code and words in both languages: %+v", r)
		}
		if !r.OK {
			s.t.Errorf("a prepared source lacks %s: %s (%s)", r.Code, r.En, r.Statement)
		}
	}
	again, err := inspector.Inspect(s.ctx())
	s.must(err)
	if diff := cmp.Diff(before, again); diff != "" {
		s.t.Errorf("looking has changed something: %s", diff)
	}
	// And it is true: the source can be started, and looked at while it runs.
	s.start(source, table)
	during, err := inspector.Inspect(s.ctx())
	s.must(err)
	for _, r := range during.Required {
		if !r.OK {
			s.t.Errorf("a running source lacks %s: %s", r.Code, r.En)
		}
	}
}

// spoken checks that a report can be read by a person in either language.
func (s *suite) spoken(h connector.Health) {
	s.t.Helper()
	if h.Code == "" || !strings.Contains(h.Code, ".") || h.Vi == "" || h.En == "" || h.Vi == h.En {
		s.t.Errorf("a state needs a code and words in both languages: %+v", h)
	}
	if h.RetainedBytes < -1 {
		s.t.Errorf("retained bytes: %d", h.RetainedBytes)
	}
}

// health: a source that is read says that it is well; before it is started and after it
// was destroyed it has an answer too.
func (s *suite) health() {
	table := s.people("people")
	source := s.open()
	reporter, ok := source.(connector.HealthReporter)
	if !ok {
		s.t.Skip("the source is no HealthReporter")
	}
	state := func() connector.Health {
		s.t.Helper()
		h, err := reporter.Health(s.ctx())
		s.must(err)
		s.spoken(h)
		return h
	}
	state()
	l := s.landing(source, table)
	pos := s.start(source, table)
	r := s.stream(source, pos, l)
	s.apply(s.insert(table, 1))
	s.settles(r, l)
	l.mu.Lock()
	pos = l.pos
	l.mu.Unlock()
	s.must(source.Acknowledge(s.ctx(), pos))
	if h := state(); !h.OK {
		s.t.Errorf("a source that is read is not well: %+v", h)
	}
	r.end(s.t)
	state()
	if destroyer, keeps := source.(connector.Destroyer); keeps {
		s.must(destroyer.Destroy(s.ctx()))
		state()
	}
}

// release: the source's log is let go. A new Start begins at the present, versions still
// rise, and what happened before is not streamed again.
func (s *suite) release() {
	table := s.people("people")
	source := s.open()
	releaser, ok := source.(connector.Releaser)
	if !ok {
		s.t.Skip("the source is no Releaser")
	}
	l := s.landing(source, table)
	pos := s.start(source, table)
	r := s.stream(source, pos, l)
	s.apply(s.insert(table, 1), s.insert(table, 2))
	s.settles(r, l)
	l.mu.Lock()
	reached := l.pos
	l.mu.Unlock()
	r.end(s.t)
	for range 50 {
		s.apply(update(table, 1, large(1)))
	}
	s.must(releaser.Release(s.ctx()))
	s.must(releaser.Release(s.ctx()))
	if reporter, ok := source.(connector.HealthReporter); ok {
		h, err := reporter.Health(s.ctx())
		s.must(err)
		s.spoken(h)
		if h.RetainedBytes > 0 {
			s.t.Errorf("after Release the source still keeps %d bytes", h.RetainedBytes)
		}
	}
	// Nobody reads meanwhile, and that survives a restart.
	s.apply(s.insert(table, 3))
	s.must(source.Close())
	source = s.open()
	again := s.start(source, table)
	if again.Before(reached) {
		s.t.Errorf("Start after Release is at %d, before %d that was streamed", again.Order, reached.Order)
	}
	s.apply(update(table, 1, "sau"), s.insert(table, 4))
	s.reopened(l, source)
	r = s.stream(source, again, l)
	one, _ := describe(table, person(1, ""))
	four, _ := describe(table, person(4, ""))
	s.until("what was written after Start arrives", r, l, func() bool {
		_, arrived := l.state[0][four]
		return arrived && l.state[0][one].cells[2] == Has("sau") && !l.open
	})
	three, _ := describe(table, person(3, ""))
	for _, e := range l.changes() {
		if e.Key == three {
			s.t.Error("what was written between Release and Start was streamed")
		}
	}
}

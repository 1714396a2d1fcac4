package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/console"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/landing"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/store"
)

type monitorConfig struct {
	hub         *Hub
	words       *dictionary.Dictionary
	definitions []*dictionary.Definition
	databases   []lienthong.Database
	now         func() time.Time
	recordKey   []byte
}

// monitor holds what people look at: figures that landing, status messages and
// set rules bring by themselves, so that a page view costs no scan of records.
type monitor struct {
	monitorConfig

	mu        sync.Mutex
	streams   map[lienthong.Stream]*streamView
	nodes     map[string]*nodeView
	sets      map[lienthong.DatasetID][]setView
	judged    map[lienthong.DatasetID]judgement
	feed      feed
	stale     bool // batches have landed since the last look
	work      map[string]console.Work
	verified  audit.Report
	checkedAt time.Time
	watchers  map[chan struct{}]struct{}
	dirty     chan struct{} // set rules have something to look at again
}

type streamView struct {
	stream    lienthong.Stream
	state     store.StreamState // as of the last look
	shape     *lienthong.Shape
	report    *quality.Report
	slots     [slotCount]slot
	total     lagHistogram
	receipts  ring[console.Receipt]
	compared  ring[console.Reconciliation]
	shapes    ring[console.ShapeChange]
	last      *lienthong.Reconciliation
	landed    int64 // rows since the start of the hub
	changes   int64
	batches   int64
	firstSeen time.Time
	since     int64 // when the first batch landed, microseconds
}

type nodeView struct {
	status nodeStatus
	heard  time.Time
}

type setView struct {
	counter  quality.SetCounter
	findings []store.SetFinding
	at       time.Time
}

// slot is what happened to a stream in one interval.
type slot struct {
	start time.Time
	rows  int64
	lag   lagHistogram
}

const (
	slotLength = 5 * time.Second
	slotCount  = 60 // five minutes
	ringSize   = 60
)

// ring keeps the newest entries.
type ring[T any] struct{ entries []T }

func (r *ring[T]) add(e T) {
	if len(r.entries) == ringSize {
		r.entries = slices.Delete(r.entries, 0, 1)
	}
	r.entries = append(r.entries, e)
}

// newest returns a copy, newest first.
func (r *ring[T]) newest() []T {
	c := slices.Clone(r.entries)
	slices.Reverse(c)
	return c
}

func newMonitor(config monitorConfig) *monitor {
	return &monitor{
		monitorConfig: config,
		streams:       map[lienthong.Stream]*streamView{}, nodes: map[string]*nodeView{},
		sets: map[lienthong.DatasetID][]setView{}, judged: map[lienthong.DatasetID]judgement{}, work: map[string]console.Work{},
		watchers: map[chan struct{}]struct{}{}, dirty: make(chan struct{}, 1), feed: newFeed(),
	}
}

// load brings back what the store knows from before.
func (m *monitor) load(ctx context.Context) error {
	states, err := m.hub.store.StreamStates(ctx)
	if err != nil {
		return err
	}
	results, err := m.hub.store.Reconciliations(ctx)
	if err != nil {
		return err
	}
	reports, err := m.hub.store.Reports(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range states {
		v := m.view(s.Stream)
		v.state = s
		if v.since, err = m.hub.store.FirstApplied(ctx, s.Stream); err != nil {
			return err
		}
		shapes, err := m.hub.store.Shapes(ctx, s.Stream.Dataset)
		if err != nil {
			return err
		}
		if len(shapes) > 0 {
			v.shape = shapes[len(shapes)-1]
		}
	}
	for _, r := range results {
		v := m.view(r.Stream)
		v.last = &r
		v.compared.add(comparison(&r, ""))
	}
	for _, r := range reports {
		var report quality.Report
		if json.Unmarshal(r.Body, &report) == nil {
			m.view(r.Stream).report = &report
		}
	}
	m.touchRules()
	return nil
}

// view finds or makes the view of a stream. Called with mu held.
func (m *monitor) view(s lienthong.Stream) *streamView {
	v := m.streams[s]
	if v == nil {
		v = &streamView{stream: s, firstSeen: m.now()}
		m.streams[s] = v
	}
	return v
}

func (v *streamView) slot(now time.Time) *slot {
	start := now.Truncate(slotLength)
	s := &v.slots[int(start.Unix()/int64(slotLength/time.Second))%slotCount]
	if !s.start.Equal(start) {
		*s = slot{start: start}
	}
	return s
}

// rates returns rows per second in the slots of history.
func (v *streamView) rates(now time.Time) [slotCount - 1]float64 {
	var rates [slotCount - 1]float64
	current := now.Truncate(slotLength)
	for i := range v.slots {
		s := &v.slots[i]
		if age := int(current.Sub(s.start) / slotLength); age > 0 && age < slotCount {
			rates[len(rates)-age] = float64(s.rows) / slotLength.Seconds()
		}
	}
	return rates
}

// history returns the slots of the last five minutes, oldest first, without the
// one that is still filling.
func (v *streamView) history(now time.Time) []slot {
	current := now.Truncate(slotLength)
	h := make([]slot, 0, slotCount)
	for i := slotCount - 1; i > 0; i-- {
		start := current.Add(-time.Duration(i) * slotLength)
		s := &v.slots[int(start.Unix()/int64(slotLength/time.Second))%slotCount]
		if s.start.Equal(start) {
			h = append(h, *s)
		} else {
			h = append(h, slot{start: start})
		}
	}
	return h
}

// recent is the lag of the last minute.
func (v *streamView) recent(now time.Time, into *lagHistogram) {
	for i := range v.slots {
		if s := &v.slots[i]; now.Sub(s.start) < time.Minute+slotLength {
			into.merge(&s.lag)
		}
	}
}

// rate is rows per second over the last two slots.
func (v *streamView) rate(now time.Time) float64 {
	var rows int64
	oldest := now.Truncate(slotLength).Add(-slotLength)
	for i := range v.slots {
		if s := &v.slots[i]; !s.start.Before(oldest) {
			rows += s.rows
		}
	}
	return float64(rows) / now.Sub(oldest).Seconds()
}

// observe hears of every durable batch, refusal and reconciliation.
func (m *monitor) observe(e landing.Event) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.changed()
	h := &e.Header
	event := console.Event{At: now, Where: h.String(), Database: h.Dataset.Database}
	switch e.Kind {
	case "refused":
		if e.Code != "batch.replayed" { // a node that sends again is ordinary; the audit log has it
			event.Kind, event.Text = console.AlarmEvent, refusalText(e.Code, h.Sequence)
			m.feed.entries.add(event)
		}
		return
	case "reconciled":
		v := m.view(h.Stream)
		m.feed.compared(&e, m.title(h.Dataset), v.last, now)
		v.last = e.Result
		v.compared.add(comparison(e.Result, e.Digest))
		m.touchRules()
		return
	}
	v := m.view(h.Stream)
	m.stale = true
	v.batches++
	if v.since == 0 {
		v.since = now.UnixMicro()
	}
	v.landed += int64(e.Applied.Landed)
	s := v.slot(now)
	s.rows += int64(e.Applied.Landed)
	if h.Kind == lienthong.ChangesBatch {
		v.changes += int64(h.Count)
	}
	for _, lag := range e.Lags {
		s.lag.add(lag)
		v.total.add(lag)
	}
	v.receipts.add(console.Receipt{
		Applied: time.UnixMicro(e.Applied.At), Dataset: h.Dataset, Sequence: h.Sequence, Kind: h.Kind,
		Rows: h.Count, Landed: e.Applied.Landed, Ignored: e.Applied.Ignored, Digest: e.Digest,
	})
	switch h.Kind {
	case lienthong.ShapeBatch:
		var shape lienthong.Shape
		if json.Unmarshal(e.Body, &shape) == nil {
			text := shapeText(m.title(h.Dataset), v.shape, &shape)
			v.shape = &shape
			v.shapes.add(console.ShapeChange{At: now, Dataset: h.Dataset, Version: shape.Version, Text: text})
			event.Kind, event.Text = console.ShapeEvent, text
			m.feed.entries.add(event)
		}
	case lienthong.ReportBatch:
		m.report(v, h, e.Body, event)
	case lienthong.SnapshotBatch, lienthong.ChangesBatch, lienthong.RepairBatch:
		m.feed.batch(h, e.Applied.Landed, now)
	case lienthong.CheckpointBatch, lienthong.DigestBatch:
	}
}

// title is what people call a dataset.
func (m *monitor) title(dataset lienthong.DatasetID) console.Text {
	if d := m.definition(dataset); d != nil {
		return console.Text{Vi: d.TitleVi, En: d.TitleEn}
	}
	return console.Text{Vi: dataset.String(), En: dataset.String()}
}

func (m *monitor) report(v *streamView, h *lienthong.BatchHeader, body []byte, event console.Event) {
	var report quality.Report
	if err := json.Unmarshal(body, &report); err != nil {
		return
	}
	before := int64(0)
	if v.report != nil {
		before = v.report.Counters.Quarantined
	}
	v.report = &report
	if added := report.Counters.Quarantined - before; added != 0 {
		event.Kind, event.Text = console.QuarantineEvent, quarantineText(m.title(h.Dataset), added)
		m.feed.entries.add(event)
	}
	stream, at := h.Stream, report.Counters.At
	body = slices.Clone(body)
	go func() { // the ledger has the report already; this is only the latest, by stream
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) //nolint:forbidigo // outlives the event
		defer cancel()
		if err := m.hub.store.SaveReport(ctx, stream, at, body); err != nil {
			m.hub.log.DebugContext(ctx, "report not saved", slog.Any("error", err))
		}
	}()
}

// status takes in what nodes say of themselves. Only what is signed counts.
func (m *monitor) status(verifier batch.Verifier) func(body []byte, jws string) {
	return func(body []byte, jws string) {
		node, err := verifier.VerifyNode(body, jws)
		if err != nil {
			return
		}
		var s nodeStatus
		if json.Unmarshal(body, &s) != nil || s.Node != node {
			return
		}
		m.mu.Lock()
		m.nodes[node] = &nodeView{status: s, heard: m.now()}
		m.mu.Unlock()
		m.look()
	}
}

// look reads the exact counters of the store, when batches have landed since the
// last look: nodes say something every second, also when nothing happens.
func (m *monitor) look() {
	m.mu.Lock()
	stale := m.stale
	m.stale = false
	m.changed()
	m.mu.Unlock()
	if !stale {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) //nolint:forbidigo // a callback without one
	defer cancel()
	states, err := m.hub.store.StreamStates(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.stale = true
		return
	}
	for _, s := range states {
		m.view(s.Stream).state = s
	}
	m.changed()
}

// changed wakes those who watch. Called with mu held.
func (m *monitor) changed() {
	for c := range m.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Subscribe implements console.Source.
func (m *monitor) Subscribe(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	m.mu.Lock()
	m.watchers[c] = struct{}{}
	m.mu.Unlock()
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, c)
		close(c)
	})
	return c
}

// setWork shows long work; total reached ends it.
func (m *monitor) setWork(key string, w console.Work) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.Total > 0 && w.Done >= w.Total {
		delete(m.work, key)
	} else {
		m.work[key] = w
	}
	m.changed()
}

func (m *monitor) touchRules() {
	select {
	case m.dirty <- struct{}{}:
	default:
	}
}

// auditCheckEvery is how often the hub verifies its own log from the files, as an
// outsider would.
const auditCheckEvery = 30 * time.Second

func (m *monitor) checkAudit(ctx context.Context) error {
	tick := time.NewTicker(auditCheckEvery)
	defer tick.Stop()
	for {
		report, err := verifyLog(ctx, m.hub.config.Data)
		if err == nil {
			m.mu.Lock()
			m.verified, m.checkedAt = report, m.now()
			m.changed()
			m.mu.Unlock()
		} else if ctx.Err() == nil {
			m.hub.log.WarnContext(ctx, "audit log not verified", slog.Any("error", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// verifyLog checks the log of a data directory offline, from its files and public
// key alone.
func verifyLog(ctx context.Context, data string) (audit.Report, error) {
	dir := filepath.Join(data, "audit")
	key, err := os.ReadFile(dir + ".pub")
	if err != nil {
		return audit.Report{}, &lienthong.Error{
			Code: "audit.missing", Where: dir, Vi: "không có nhật ký ở đây", En: "there is no log here",
			Hint: "chỉ đúng thư mục data của trung tâm hoặc nút / name the data directory of a hub or node", Err: err,
		}
	}
	return audit.Verify(ctx, dir, string(key), audit.VerifyOptions{})
}

// counters are the quality counters of a database's datasets, with what only the
// hub knows: set rules and lag. Called with mu held.
func (m *monitor) counters(database string, now time.Time) []quality.Counters {
	var all []quality.Counters
	seen := map[lienthong.DatasetID]bool{}
	for _, v := range m.sorted(database) {
		if v.report == nil {
			continue
		}
		c := v.report.Counters
		c.Sources = slices.Clone(c.Sources)
		var lag lagHistogram
		v.recent(now, &lag)
		for i := range c.Sources {
			c.Sources[i].Lag = lag.quantile(0.99).Microseconds()
			c.Sources[i].LastChange = max(c.Sources[i].LastChange, v.state.LastSourceAt)
		}
		if v.last != nil && v.last.SourceRows > 0 {
			c.Rows = v.last.SourceRows
			c.Quarantined = v.last.Quarantined
		}
		if !seen[v.stream.Dataset] {
			seen[v.stream.Dataset] = true
			for _, s := range m.sets[v.stream.Dataset] {
				c.Sets = append(c.Sets, s.counter)
			}
		}
		all = append(all, c)
	}
	return all
}

// sorted lists the streams of a database, or all of them for "".
func (m *monitor) sorted(database string) []*streamView {
	var list []*streamView
	for _, v := range m.streams {
		if database == "" || v.stream.Dataset.Database == database {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b *streamView) int {
		if a.stream.String() < b.stream.String() {
			return -1
		}
		return 1
	})
	return list
}

func (m *monitor) definition(dataset lienthong.DatasetID) *dictionary.Definition {
	for _, d := range m.definitions {
		if d.Dataset == dataset {
			return d
		}
	}
	return nil
}

// statusOf is what the node last said about a stream.
func (m *monitor) statusOf(s lienthong.Stream) (capture.Status, bool) {
	n := m.nodes[s.Node]
	if n == nil {
		return capture.Status{}, false
	}
	for _, d := range n.status.Datasets {
		if d.Dataset == s.Dataset {
			return d, true
		}
	}
	return capture.Status{}, false
}

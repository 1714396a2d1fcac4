package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/address"
	"github.com/lienthong/lienthong/internal/assessment"
	"github.com/lienthong/lienthong/internal/calendar"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/console"
	"github.com/lienthong/lienthong/internal/dictionary"
	changefeed "github.com/lienthong/lienthong/internal/feed"
	"github.com/lienthong/lienthong/internal/linkage"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/stewardship"
	"github.com/lienthong/lienthong/internal/ticket"
)

// workplaceEvery is how often the figures of the hub are brought to those who work with
// them: tickets, register, trend and assessments.
const workplaceEvery = 5 * time.Second

// snapshotEvery is how often days and assessments are written down.
const snapshotEvery = time.Hour

// workplace is where people work at a hub: what is administered, and what the hub's own
// figures say about it.
type workplace struct {
	hub         *Hub
	method      *assessment.Method
	editions    *stewardship.Editions
	desk        *stewardship.Desk
	register    *catalog.Register
	tickets     *ticket.Desk
	standardise *address.Standardiser
	addresses   *address.Queue
	identities  *linkage.Queue
	answers     *assessment.Desk
	history     *assessment.History
	trend       *quality.Trend
	days        *calendar.Calendar

	mu        sync.Mutex
	consumers []catalog.Consumer
	written   time.Time // when days and assessments were last written down
	measured  int       // how many streams had figures then
}

func openWorkplace(ctx context.Context, h *Hub, key []byte) (*workplace, error) {
	w := &workplace{hub: h, trend: quality.NewTrend(h.store), history: &assessment.History{Documents: h.store}}
	definitions := func() []*dictionary.Definition { return h.monitor.definitions }
	w.editions = stewardship.NewEditions(h.words, definitions)
	days, err := workingDays(h.config)
	if err != nil {
		return nil, err
	}
	w.days = days
	if w.register, err = catalog.NewRegister(catalog.Config{
		Documents: h.store, Dictionary: w.editions.Current, Definitions: definitions, Consumers: w.allConsumers, Now: h.now,
	}); err != nil {
		return nil, err
	}
	if w.desk, err = stewardship.New(stewardship.Config{
		Documents: h.store, Kinds: append(w.editions.Kinds(), w.register.Kind(), w.mappings()), Now: h.now,
		Deadline: func(from time.Time, n int) (time.Time, error) {
			due, err := days.Deadline(from, n)
			return due.At, err
		},
	}); err != nil {
		return nil, err
	}
	unfit, err := w.editions.Load(ctx, w.desk)
	if err != nil {
		return nil, err
	}
	for _, left := range unfit {
		h.log.WarnContext(ctx, "published entry does not fit this dictionary and is left out", slog.Any("error", left))
	}
	if w.tickets, err = ticket.NewDesk(ctx, ticket.Config{Documents: h.store, Calendar: days, Now: h.now}); err != nil {
		return nil, err
	}
	w.standardise = address.New(h.words, address.Config{Now: h.now})
	w.addresses = address.NewQueue(h.store, w.standardise, address.QueueConfig{Now: h.now})
	if w.identities, err = linkage.NewQueue(linkage.QueueConfig{Documents: h.store, Key: key, Now: h.now}); err != nil {
		return nil, err
	}
	if w.method, err = assessment.Builtin(h.words); err != nil {
		return nil, err
	}
	w.answers = assessment.NewDesk(assessment.DeskConfig{
		Documents: h.store, Method: w.method, Now: h.now,
		Owner: func(code string) (lienthong.MemberCode, bool) {
			d, found := w.database(code)
			return d.Owner, found
		},
	})
	return w, nil
}

// mappings is how mappings of datasets are administered. A published one is fetched by whoever runs the
// node: what a node reads is never changed from afar.
func (w *workplace) mappings() stewardship.Kind {
	m := w.hub.monitor
	return stewardship.MappingKind(stewardship.MappingServices{
		Dictionary: w.editions.Current,
		Definition: func(dataset lienthong.DatasetID) (*dictionary.Definition, bool) {
			m.mu.Lock()
			defer m.mu.Unlock()
			definition := m.definition(dataset)
			return definition, definition != nil
		},
		Readers: func(dataset lienthong.DatasetID) []stewardship.Use {
			var uses []stewardship.Use
			for _, c := range w.allConsumers() {
				if c.Dataset == dataset {
					uses = append(uses, stewardship.Use{Dataset: dataset, Database: dataset.Database, Owner: c.Member})
				}
			}
			return uses
		},
		Owner: func(database string) lienthong.MemberCode {
			d, _ := w.database(database)
			return d.Owner
		},
	})
}

// workingDays is the calendar inside the program, with what a configured file says over it.
func workingDays(config *HubConfig) (*calendar.Calendar, error) {
	days, err := calendar.Builtin()
	if err != nil || config.Holidays == "" {
		return days, err
	}
	path := config.Holidays
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(config.path), path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &lienthong.Error{
			Code: "config.holidays", Where: path, Err: err, Vi: "không đọc được tệp ngày nghỉ", En: "the file of holidays cannot be read",
			Hint: "xem docs/tickets.md / see docs/tickets.md",
		}
	}
	defer func() { _ = f.Close() }()
	return days.With(config.Holidays, f)
}

// database finds a database of the national list, of the configuration, or one that lands here.
func (w *workplace) database(code string) (lienthong.Database, bool) {
	all := w.hub.monitor.allDatabases()
	i := slices.IndexFunc(all, func(d lienthong.Database) bool { return d.Code == code })
	if i < 0 {
		return lienthong.Database{}, false
	}
	return all[i], true
}

// console is the workplace as pages see it.
func (w *workplace) console() (*console.Workplace, error) {
	exports, public, err := w.exports()
	if err != nil {
		return nil, err
	}
	return &console.Workplace{
		Dictionary: w.editions.Current, Definitions: func() []*dictionary.Definition { return w.hub.monitor.definitions },
		Desk: w.desk, Register: w.register, Tickets: w.tickets, Addresses: w.addresses, Identities: w.identities,
		Answers: w.answers, Assessor: w, Trend: w.trend, Editions: w.editions, Calendar: w.days, RowsCommand: RowsCommand, Exports: exports, Public: public,
	}, nil
}

// run keeps everything in line with what the hub sees.
func (w *workplace) run(ctx context.Context) error {
	tick := time.NewTicker(workplaceEvery)
	defer tick.Stop()
	for {
		if err := w.refresh(ctx); err != nil && ctx.Err() == nil {
			w.hub.log.ErrorContext(ctx, "figures not brought to the workplace", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// refresh brings the hub's figures to tickets, register, trend and assessments.
func (w *workplace) refresh(ctx context.Context) error {
	if err := w.readConsumers(ctx); err != nil {
		return err
	}
	if err := w.register.Observe(ctx, w.observed()...); err != nil {
		return err
	}
	if _, err := w.tickets.Sync(ctx, w.findings()); err != nil {
		return err
	}
	if _, err := w.tickets.Tick(ctx); err != nil {
		return err
	}
	rulings, err := w.addresses.Rulings(ctx)
	if err != nil {
		return err
	}
	w.standardise.UseRulings(rulings)
	measured := w.hub.monitor.measuredStreams()
	w.mu.Lock()
	due := w.hub.now().Sub(w.written) >= snapshotEvery || measured != w.measured
	w.mu.Unlock()
	if !due {
		return nil
	}
	return w.writeDown(ctx, measured)
}

// writeDown keeps the day of every database that is measured, and every assessment.
func (w *workplace) writeDown(ctx context.Context, measured int) error {
	now := w.hub.now()
	at := now.UnixMicro()
	var method quality.Method
	for _, card := range w.scorecards() {
		if !card.Index.Known {
			continue
		}
		if err := w.trend.Record(ctx, method.Day(at, &card)); err != nil {
			return err
		}
	}
	all, err := w.Assessments(ctx)
	if err != nil {
		return err
	}
	groups := make([][]*assessment.Assessment, len(all))
	for i := range all {
		groups[i] = all[i : i+1]
	}
	if _, err := w.history.Save(ctx, groups...); err != nil {
		return err
	}
	w.mu.Lock()
	w.written, w.measured = now, measured
	w.mu.Unlock()
	return nil
}

// findings are what the checks count now, for tickets.
func (w *workplace) findings() ticket.Snapshot {
	m := w.hub.monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	var snapshot ticket.Snapshot
	done := map[lienthong.DatasetID]bool{}
	for _, v := range m.sorted("") {
		if v.report == nil {
			continue
		}
		report := *v.report
		report.Counters.Sets = nil
		if dataset := v.stream.Dataset; !done[dataset] {
			done[dataset] = true
			for _, s := range m.sets[dataset] {
				report.Counters.Sets = append(report.Counters.Sets, s.counter)
			}
		}
		snapshot.Lines = append(snapshot.Lines, ticket.Lines(ticket.Origin{
			Source: v.stream.Node, Owner: m.database(v.stream.Dataset.Database).Owner, Shape: v.shape,
		}, &report)...)
	}
	return snapshot
}

// observed is what the nodes' connectors see.
func (w *workplace) observed() []catalog.Observed {
	m := w.hub.monitor
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	var seen []catalog.Observed
	for _, v := range m.sorted("") {
		if v.shape == nil {
			continue
		}
		d := m.dataset(v, now)
		one := catalog.Observed{
			Dataset: v.stream.Dataset, Node: v.stream.Node, Shape: v.shape, RowCount: d.SourceRows, At: now.UnixMicro(), LastChange: v.state.LastSourceAt,
		}
		if definition := m.definition(v.stream.Dataset); definition != nil {
			one.Table = definition.Table
			one.Columns = columnsOf(definition, v.shape)
		}
		if _, index := m.scores(v.stream.Dataset.Database, now); index.Known && v.report != nil {
			one.QualityIndex, one.LastQuality = index.Percent, v.report.Counters.At
		}
		seen = append(seen, one)
	}
	return seen
}

// columnsOf are the source's columns as far as the shape shows them: what a mapping takes, and
// what flows unmapped.
func columnsOf(definition *dictionary.Definition, shape *lienthong.Shape) []lienthong.Column {
	var columns []lienthong.Column
	named := map[string]bool{}
	add := func(name string, kind lienthong.Kind, nullable bool) {
		if name != "" && !named[name] {
			named[name] = true
			columns = append(columns, lienthong.Column{Name: name, SourceType: kind.String(), Kind: kind, Nullable: nullable})
		}
	}
	for i := range shape.Fields {
		field := &shape.Fields[i]
		if !field.Mapped {
			add(field.Name, field.Kind, !field.Required)
			continue
		}
		for j := range definition.Columns {
			mapping := &definition.Columns[j]
			if mapping.Field != field.Name && mapping.Element != field.Element {
				continue
			}
			add(mapping.Column, field.Kind, !field.Required)
			for _, column := range mapping.Columns {
				add(column, field.Kind, !field.Required)
			}
		}
	}
	return columns
}

// readConsumers reads who receives datasets.
func (w *workplace) readConsumers(ctx context.Context) error {
	saved, err := w.hub.store.SavedSubscriptions(ctx)
	if err != nil {
		return err
	}
	consumers := make([]catalog.Consumer, 0, len(saved))
	for _, one := range saved {
		var s changefeed.Subscription
		if err := json.Unmarshal(one.Body, &s); err != nil {
			return fmt.Errorf("subscription %s: %w", one.ID, err)
		}
		consumers = append(consumers, catalog.Consumer{
			ID: "feed/" + s.ID, Type: "feed", Name: catalog.Word{Vi: s.Consumer.Name, En: s.Consumer.Name},
			Member: s.Consumer.Member, Dataset: s.Dataset, Fields: s.Fields,
		})
	}
	w.mu.Lock()
	w.consumers = consumers
	w.mu.Unlock()
	return nil
}

func (w *workplace) allConsumers() []catalog.Consumer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.consumers
}

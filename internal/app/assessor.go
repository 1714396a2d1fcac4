package app

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/assessment"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/console"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/ticket"
)

// Method implements console.Assessor.
func (w *workplace) Method() *assessment.Method { return w.method }

// Assessments implements console.Assessor.
func (w *workplace) Assessments(ctx context.Context) ([]*assessment.Assessment, error) {
	facts, err := w.facts(ctx, "")
	if err != nil {
		return nil, err
	}
	now := w.hub.now().UnixMicro()
	all := make([]*assessment.Assessment, len(facts))
	for i := range facts {
		all[i] = w.method.Assess(&facts[i], now)
	}
	return all, nil
}

// Assessment implements console.Assessor.
func (w *workplace) Assessment(ctx context.Context, code string) (*assessment.Assessment, error) {
	facts, err := w.facts(ctx, code)
	if err != nil {
		return nil, err
	}
	if len(facts) == 0 {
		return nil, unknownDatabase(code)
	}
	return w.method.Assess(&facts[0], w.hub.now().UnixMicro()), nil
}

func unknownDatabase(code string) error {
	return &lienthong.Error{
		Code: console.CodeUnknownDatabase, Where: code,
		Vi: "cơ sở dữ liệu không có trong danh mục", En: "the database is not in the catalogue",
		Hint: "xem danh mục / see the catalogue: lienthong database list",
	}
}

// History implements console.Assessor: the last twelve months.
func (w *workplace) History(ctx context.Context, code string) ([]assessment.Snapshot, error) {
	return w.history.Of(ctx, code, w.hub.now().AddDate(-1, 0, 0).UnixMicro())
}

// Sheet implements console.Assessor.
func (w *workplace) Sheet(ctx context.Context, code, language string) (*assessment.Sheet, error) {
	one, err := w.Assessment(ctx, code)
	if err != nil {
		return nil, err
	}
	trend, err := w.History(ctx, code)
	if err != nil {
		return nil, err
	}
	record, err := w.register.Load(ctx, code)
	if err != nil {
		return nil, err
	}
	return w.method.NewSheet(one, assessment.SheetInput{People: assessment.PeopleOf(&record.Entry, withPosition), Trend: trend, Language: language}), nil
}

// facts is what is known now: of one database, or with an empty code of all.
func (w *workplace) facts(ctx context.Context, code string) ([]assessment.Facts, error) {
	records, err := w.register.List(ctx, catalog.Filter{}, catalog.ByCode, false)
	if err != nil {
		return nil, err
	}
	byCode := make(map[string]*catalog.Record, len(records))
	for _, r := range records {
		byCode[r.Code] = r
	}
	overlaps, err := w.register.Overlaps(ctx)
	if err != nil {
		return nil, err
	}
	answers, err := w.answers.Answers(ctx)
	if err != nil {
		return nil, err
	}
	corrections := w.tickets.Figures(ticket.Period{})
	m := w.hub.monitor
	now := m.now()
	databases := m.allDatabases()
	if code != "" {
		databases = slices.DeleteFunc(databases, func(d lienthong.Database) bool { return d.Code != code })
	}
	facts := make([]assessment.Facts, 0, len(databases))
	m.mu.Lock()
	for _, d := range databases {
		f := w.method.Seed(m.words, d, now.UnixMicro())
		record := byCode[d.Code]
		if record != nil {
			f.TakeRecord(record)
		}
		registered := f.Connection.Registered
		f.Connection = m.connectionFacts(d.Code, now)
		if counters := m.measured(d.Code, now); len(counters) > 0 {
			var method quality.Method
			scores := method.Score(now.UnixMicro(), counters...)
			f.Quality = assessment.FromQuality(assessment.Measured, scores, method.Index(scores))
		}
		f.Connection.Registered = registered
		if seen := m.mappingFacts(d.Code); seen.Datasets > 0 {
			seen.Shaped, seen.Drift, seen.Breaking = f.Mapping.Shaped, f.Mapping.Drift, f.Mapping.Breaking
			f.Mapping = seen
		}
		if s := &f.Security; f.Connection.Connected > 0 {
			s.Grade, s.MutualTLS, s.SignedBatches, s.AuditVerified = assessment.Measured, true, true, m.verified.Verified
			s.PersonalFields, s.SealedFields = m.personalFields(d.Code)
		}
		facts = append(facts, f)
	}
	m.mu.Unlock()
	for i := range facts {
		f := &facts[i]
		if f.Connection.Connected > 0 {
			repeated := 0
			for _, o := range overlaps {
				if slices.Contains(o.Repeated, f.Database.Code) {
					repeated++
				}
			}
			f.Register.Overlaps = &repeated
			w.sharingFacts(f)
		}
		if figures, found := corrections.Database(f.Database.Code); found {
			f.Tickets = assessment.FromTickets(&figures)
		} else if f.Connection.Connected > 0 {
			f.Tickets.Grade = assessment.Measured
		}
		f.Answers = answers[f.Database.Code]
	}
	return facts, nil
}

// withPosition names somebody in charge as the one-page assessment does.
func withPosition(contact *catalog.Contact) string {
	if contact.Position == "" {
		return contact.Name
	}
	return contact.Name + ", " + contact.Position
}

func (w *workplace) sharingFacts(f *assessment.Facts) {
	consumers := map[lienthong.MemberCode]bool{}
	for _, c := range w.allConsumers() {
		if c.Dataset.Database == f.Database.Code {
			f.Sharing.Subscriptions++
			consumers[c.Member] = true
		}
	}
	f.Sharing.Grade, f.Sharing.Consumers = assessment.Measured, len(consumers)
	f.Sharing.Services = min(f.Sharing.Subscriptions, 1)
}

// allDatabases is the national list, those of the configuration and those that land here, in
// order of their codes.
func (m *monitor) allDatabases() []lienthong.Database {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.words.Databases())
	add := func(d lienthong.Database) {
		if i := slices.IndexFunc(all, func(known lienthong.Database) bool { return known.Code == d.Code }); i >= 0 {
			all[i] = d
		} else {
			all = append(all, d)
		}
	}
	for _, d := range m.databases {
		add(d)
	}
	for _, v := range m.streams {
		add(m.database(v.stream.Dataset.Database))
	}
	slices.SortFunc(all, func(a, b lienthong.Database) int { return cmp.Compare(a.Code, b.Code) })
	return all
}

// measured are the counters of a database of which something has landed. Called with mu held.
func (m *monitor) measured(code string, now time.Time) []quality.Counters {
	return slices.DeleteFunc(m.counters(code, now), func(c quality.Counters) bool { return c.Rows == 0 })
}

// measuredStreams counts the streams of which there are figures.
func (m *monitor) measuredStreams() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, v := range m.streams {
		if v.report != nil && (v.report.Counters.Rows > 0 || v.last != nil && v.last.SourceRows > 0) {
			n++
		}
	}
	return n
}

// connectionFacts is the road from the source to here. Called with mu held.
func (m *monitor) connectionFacts(code string, now time.Time) assessment.Connection {
	c := assessment.Connection{Grade: assessment.Measured}
	var lag lagHistogram
	nodes := map[string]bool{}
	for _, v := range m.sorted(code) {
		d := m.dataset(v, now)
		c.Connected++
		nodes[v.stream.Node] = true
		if first := v.since; first > 0 && (c.Since == 0 || first < c.Since) {
			c.Since = first
		}
		c.SourceRows += d.SourceRows
		c.LandedRows += d.LandedRows
		c.Quarantined += d.Quarantined
		c.LastChange = max(c.LastChange, v.state.LastSourceAt)
		v.recent(now, &lag)
		if definition := m.definition(v.stream.Dataset); definition != nil && definition.Interval != "" {
			if interval, err := time.ParseDuration(definition.Interval); err == nil {
				c.Interval = max(c.Interval, interval)
			}
		}
		if v.last == nil {
			continue
		}
		c.ComparedAt = max(c.ComparedAt, v.last.At)
		switch v.last.Result {
		case lienthong.Matches:
			c.Matching++
		case lienthong.Differs:
			c.Differing++
		case lienthong.Failed:
			c.Failed++
		}
	}
	c.Nodes = sortedKeys(nodes)
	if shown := lagOf(&lag); shown.Known {
		c.LagP50, c.LagP99 = shown.P50, shown.P99
	}
	return c
}

// mappingFacts is how the columns that land meet the dictionary. Called with mu held.
func (m *monitor) mappingFacts(code string) assessment.Mapping {
	var f assessment.Mapping
	for _, v := range m.sorted(code) {
		if v.shape == nil {
			continue
		}
		f.Grade = assessment.Measured
		f.Datasets++
		identified := len(v.shape.Identity) > 0
		for i := range v.shape.Fields {
			field := &v.shape.Fields[i]
			f.Columns++
			if !field.Mapped {
				identified = identified && !slices.Contains(v.shape.Identity, i)
				continue
			}
			f.Mapped++
			if element, found := m.words.Element(field.Element); found && element.CodeList != "" {
				f.Coded++
				f.CodedCurrent++ // checks use the list in force; what does not pass is a finding
			}
		}
		if identified {
			f.WithIdentity++
		}
	}
	return f
}

// personalFields counts the personal fields that land, and those of them that travel as something else than
// their values. Called with mu held.
func (m *monitor) personalFields(code string) (personal, sealed int) {
	for _, v := range m.sorted(code) {
		if v.shape == nil {
			continue
		}
		for i := range v.shape.Fields {
			if !v.shape.Fields[i].Personal {
				continue
			}
			personal++
			if v.shape.Fields[i].Handling != "" {
				sealed++
			}
		}
	}
	return personal, sealed
}

// scorecards are the databases that are measured, and the agencies that own them.
func (w *workplace) scorecards() []quality.Scorecard {
	m := w.hub.monitor
	now := m.now()
	at := now.UnixMicro()
	all := m.allDatabases()
	m.mu.Lock()
	defer m.mu.Unlock()
	var method quality.Method
	var cards []quality.Scorecard
	owned := map[lienthong.MemberCode][]quality.Subject{}
	for _, d := range all {
		counters := m.measured(d.Code, now)
		if len(counters) == 0 {
			continue
		}
		subject := quality.Subject{Database: d.Code, Vi: d.NameVi, En: d.NameEn, Counters: counters}
		for _, definition := range m.definitions {
			if definition.Dataset.Database == d.Code {
				subject.Expected = append(subject.Expected, quality.ExpectedRules(definition.Dataset, definition.Rules, definition.SetRules)...)
			}
		}
		cards = append(cards, method.Database(at, subject))
		if d.Owner != "" { // nobody is known to own it: it counts for no agency
			owned[d.Owner] = append(owned[d.Owner], subject)
		}
	}
	for _, member := range sortedKeys(owned) {
		name := m.owner(member)
		cards = append(cards, method.Agency(at, member, name.Vi, name.En, owned[member]...))
	}
	return cards
}

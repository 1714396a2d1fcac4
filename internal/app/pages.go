package app

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/console"
	"github.com/lienthong/lienthong/internal/quality"
)

// behindAfter is the lag from which a database that agrees is shown as behind.
const behindAfter = time.Minute

// silentAfter is how long a node may say nothing before it counts as away.
const silentAfter = 10 * time.Second

// Overview implements console.Source.
func (m *monitor) Overview(ctx context.Context) (console.Overview, error) {
	now := m.now()
	head, _ := m.hub.audit.Head(ctx) // a log without a head yet is shown as empty
	m.mu.Lock()
	defer m.mu.Unlock()
	o := console.Overview{At: now, Events: m.events.newest(), Work: m.allWork("")}
	o.Audit = console.AuditHead{
		Entries: head.Size, Root: head.Root, Checked: !m.checkedAt.IsZero(), Verified: m.verified.Verified, VerifiedAt: m.checkedAt,
	}
	var lag lagHistogram
	for _, v := range m.sorted("") {
		d := m.dataset(v, now)
		o.Totals.Datasets++
		if d.Reconciled == lienthong.Matches {
			o.Totals.Matching++
		}
		o.Totals.SourceRows += d.SourceRows
		o.Totals.LandedRows += d.LandedRows
		o.Totals.Quarantined += d.Quarantined
		o.Totals.RowsPerSecond += d.RowsPerSecond
		v.recent(now, &lag)
	}
	o.Totals.Lag = lagOf(&lag)
	o.Databases = m.databaseRows(now)
	o.Members, o.Provinces = m.places(o.Databases, now)
	return o, nil
}

func lagOf(h *lagHistogram) console.Lag {
	return console.Lag{Known: h.total > 0, P50: h.quantile(0.5), P99: h.quantile(0.99)}
}

func (m *monitor) allWork(database string) []console.Work {
	var work []console.Work
	for _, key := range sortedKeys(m.work) {
		if database == "" {
			work = append(work, m.work[key])
		}
	}
	for _, name := range sortedKeys(m.nodes) {
		for _, d := range m.nodes[name].status.Datasets {
			if d.SnapshotRows > 0 && (database == "" || d.Dataset.Database == database) {
				work = append(work, console.Work{
					Name: console.Text{Vi: "Nạp lần đầu", En: "First load"}, Where: d.Dataset.String(),
					Done: d.SnapshotDone, Total: max(d.SnapshotRows, d.SnapshotDone),
				})
			}
		}
	}
	return work
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// databaseRows lists the connected databases first, then the national list.
func (m *monitor) databaseRows(now time.Time) []console.DatabaseRow {
	var rows []console.DatabaseRow
	connected := map[string]bool{}
	for _, v := range m.sorted("") {
		code := v.stream.Dataset.Database
		if !connected[code] {
			connected[code] = true
			rows = append(rows, m.databaseRow(m.database(code), now))
		}
	}
	for _, d := range m.words.Databases() {
		if !connected[d.Code] {
			rows = append(rows, m.databaseRow(d, now))
		}
	}
	return rows
}

// database finds what is known of a database: in the national list, in the
// configuration, or from its definition and node.
func (m *monitor) database(code string) lienthong.Database {
	for _, d := range m.databases {
		if d.Code == code {
			return d
		}
	}
	if d, found := m.words.Database(code); found {
		return d
	}
	return lienthong.Database{Code: code, NameVi: code, NameEn: code, Class: lienthong.LocalDatabase, Confidence: "C"}
}

func (m *monitor) owner(code lienthong.MemberCode) console.Text {
	if member, found := m.words.Member(string(code)); found {
		return console.Text{Vi: member.NameVi, En: member.NameEn}
	}
	return console.Text{Vi: string(code), En: string(code)}
}

func (m *monitor) databaseRow(d lienthong.Database, now time.Time) console.DatabaseRow {
	row := console.DatabaseRow{
		Code: d.Code, Name: console.Text{Vi: d.NameVi, En: d.NameEn}, Owner: m.owner(d.Owner), OwnerCode: d.Owner,
		Class: d.Class, Confidence: d.Confidence, State: console.NotConnected,
	}
	var lag lagHistogram
	streams := m.sorted(d.Code)
	for _, v := range streams {
		ds := m.dataset(v, now)
		row.State = worse(row.State, ds.State)
		row.SourceRows += ds.SourceRows
		row.LandedRows += ds.LandedRows
		row.Quarantined += ds.Quarantined
		row.RowsPerSecond += ds.RowsPerSecond
		v.recent(now, &lag)
		for i, s := range v.history(now) {
			if i >= len(row.Rates) {
				row.Rates = append(row.Rates, 0)
			}
			row.Rates[i] += float64(s.rows) / slotLength.Seconds()
		}
	}
	row.Lag = lagOf(&lag)
	row.Criteria, row.Index = m.scores(d.Code, now)
	return row
}

func (m *monitor) scores(database string, now time.Time) ([]console.CriterionScore, console.Score) {
	counters := m.counters(database, now)
	var method quality.Method
	var criteria []console.CriterionScore
	if len(counters) == 0 {
		for _, c := range lienthong.Criteria() {
			criteria = append(criteria, console.CriterionScore{
				Criterion: c, Note: console.Text{Vi: "Chưa kết nối nên chưa đo", En: "Not connected, so not measured"},
			})
		}
		return criteria, console.Score{}
	}
	scores := method.Score(now.UnixMicro(), counters...)
	for _, s := range scores {
		c := console.CriterionScore{
			Criterion: s.Criterion, Score: console.Score{Known: s.Known, Percent: s.Value},
			Formula: console.Text{Vi: s.FormulaVi, En: s.FormulaEn},
		}
		for _, p := range s.Parts {
			if p.Known {
				c.Parts = append(c.Parts, console.Part{
					Label: console.Text{Vi: p.LabelVi, En: p.LabelEn}, Passed: int64(p.Numerator), Total: int64(p.Denominator),
				})
			}
		}
		if len(s.Gate) > 0 {
			c.Note = console.Text{
				Vi: "Trường định danh phải đạt 100 %: " + s.Gate[0].LabelVi, En: "Identifier fields must reach 100 %: " + s.Gate[0].LabelEn,
			}
		}
		criteria = append(criteria, c)
	}
	index := method.Index(scores)
	return criteria, console.Score{Known: index.Known, Percent: index.Value}
}

// dataset is a stream as people see it. Called with mu held.
func (m *monitor) dataset(v *streamView, now time.Time) console.DatasetRow {
	d := console.DatasetRow{
		ID: v.stream.Dataset, Title: console.Text{Vi: v.stream.Dataset.String(), En: v.stream.Dataset.String()},
		LandedRows: v.state.Live, Changes: v.state.Changes, RowsPerSecond: v.rate(now), State: console.Syncing,
	}
	if definition := m.definition(v.stream.Dataset); definition != nil {
		d.Title = console.Text{Vi: definition.TitleVi, En: definition.TitleEn}
	}
	if v.shape != nil {
		d.ShapeVersion, d.Fields = v.shape.Version, len(v.shape.Fields)
		for i := range v.shape.Fields {
			if v.shape.Fields[i].Mapped {
				d.MappedFields++
			}
		}
	}
	if v.report != nil {
		d.SourceRows, d.Quarantined = v.report.Counters.Rows, v.report.Counters.Quarantined
	}
	if v.last != nil {
		d.Reconciled, d.ReconciledAt = v.last.Result, time.UnixMicro(v.last.At)
		d.SourceRows, d.Quarantined = v.last.SourceRows, v.last.Quarantined
		switch v.last.Result {
		case lienthong.Matches:
			d.State = console.Matching
		case lienthong.Differs:
			d.State = console.Differing
		case lienthong.Failed:
			d.State = console.Failing
		}
	}
	var lag lagHistogram
	v.recent(now, &lag)
	d.Lag = lagOf(&lag)
	if d.State == console.Matching && d.Lag.Known && d.Lag.P99 > behindAfter {
		d.State = console.Behind
	}
	node := m.nodes[v.stream.Node]
	status, known := m.statusOf(v.stream)
	switch {
	case node == nil || now.Sub(node.heard) > silentAfter:
		if d.State == console.Matching {
			d.State = console.Behind
		}
	case known && (status.Stopped != "" || status.Failure != ""):
		d.State = console.Failing
		d.Stopped = stoppedText(cmp.Or(status.Stopped, status.Failure))
	}
	return d
}

// worse keeps the state that needs more attention.
func worse(a, b console.State) console.State {
	order := []console.State{console.NotConnected, console.Matching, console.Behind, console.Syncing, console.Differing, console.Failing}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// places shows members and provinces by the databases that they own or send.
func (m *monitor) places(rows []console.DatabaseRow, now time.Time) ([]console.Member, []console.Province) {
	states := map[lienthong.MemberCode]console.State{}
	count := map[lienthong.MemberCode]int{}
	landed := map[lienthong.MemberCode]int64{}
	for i := range rows {
		if rows[i].State == console.NotConnected {
			continue
		}
		owner := rows[i].OwnerCode
		states[owner] = worse(states[owner], rows[i].State)
		count[owner]++
		landed[owner] += rows[i].LandedRows
	}
	var members []console.Member
	for _, member := range m.words.Members() {
		if member.Level == "central" {
			members = append(members, console.Member{
				Code: member.Code, Name: console.Text{Vi: member.NameVi, En: member.NameEn}, Bloc: member.Bloc, State: states[member.Code],
			})
		}
	}
	var provinces []console.Province
	for _, p := range m.words.Provinces(now) {
		provinces = append(provinces, console.Province{
			Code: p.Code, Name: console.Text{Vi: shortName(p.NameVi), En: p.NameEn}, State: states[p.HCode],
			Databases: count[p.HCode], Rows: landed[p.HCode],
		})
	}
	return members, provinces
}

// Database implements console.Source.
func (m *monitor) Database(_ context.Context, code string) (console.DatabasePage, error) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	streams := m.sorted(code)
	d := m.database(code)
	if _, listed := m.words.Database(code); !listed && len(streams) == 0 {
		return console.DatabasePage{}, &lienthong.Error{
			Code: console.CodeUnknownDatabase, Where: code, Vi: "không có cơ sở dữ liệu này", En: "no such database",
			Hint: "xem danh sách ở trang chính / see the list on the front page",
		}
	}
	page := console.DatabasePage{DatabaseRow: m.databaseRow(d, now), At: now, LegalBasis: d.LegalBasis, Work: m.allWork(code)}
	page.LagHistory, page.RateHistory = history(streams, now)
	groups := map[lienthong.ErrorGroup]*console.GroupCount{}
	for _, group := range lienthong.ErrorGroups() {
		groups[group] = &console.GroupCount{Group: group}
	}
	for _, v := range streams {
		page.Node = v.stream.Node
		page.Datasets = append(page.Datasets, m.dataset(v, now))
		page.Shapes = append(page.Shapes, v.shapes.newest()...)
		page.Reconciliations = append(page.Reconciliations, v.compared.newest()...)
		page.Receipts = append(page.Receipts, v.receipts.newest()...)
		m.rejected(&page, v, groups)
	}
	newestFirst(page.Shapes, func(s console.ShapeChange) time.Time { return s.At })
	newestFirst(page.Reconciliations, func(r console.Reconciliation) time.Time { return r.At })
	newestFirst(page.Receipts, func(r console.Receipt) time.Time { return r.Applied })
	page.Receipts = page.Receipts[:min(len(page.Receipts), 20)]
	page.Reconciliations = page.Reconciliations[:min(len(page.Reconciliations), 20)]
	for _, group := range lienthong.ErrorGroups() {
		page.Groups = append(page.Groups, *groups[group])
	}
	page.Flow = m.flow(streams, now)
	return page, nil
}

func newestFirst[T any](list []T, at func(T) time.Time) {
	slices.SortStableFunc(list, func(a, b T) int { return at(b).Compare(at(a)) })
}

func history(streams []*streamView, now time.Time) (lags []console.LagPoint, rates []console.RatePoint) {
	if len(streams) == 0 {
		return nil, nil
	}
	slots := streams[0].history(now)
	for _, v := range streams[1:] {
		for i, s := range v.history(now) {
			slots[i].rows += s.rows
			slots[i].lag.merge(&s.lag)
		}
	}
	for i := range slots {
		s := &slots[i]
		rates = append(rates, console.RatePoint{At: s.start, RowsPerSecond: float64(s.rows) / slotLength.Seconds()})
		if s.lag.total > 0 {
			lags = append(lags, console.LagPoint{At: s.start, P50: s.lag.quantile(0.5), P99: s.lag.quantile(0.99)})
		}
	}
	return lags, rates
}

// rejectedShown is how many findings a page lists.
const rejectedShown = 100

// rejected adds the findings of a dataset: those of its node's last report, and
// those of the rules over many records, which only the hub can judge.
func (m *monitor) rejected(page *console.DatabasePage, v *streamView, groups map[lienthong.ErrorGroup]*console.GroupCount) {
	label := func(field string) console.Text {
		if v.shape != nil {
			if i := v.shape.FieldIndex(field); i >= 0 {
				f := &v.shape.Fields[i]
				return console.Text{Vi: cmp.Or(f.LabelVi, field), En: cmp.Or(f.LabelEn, field)}
			}
		}
		return console.Text{Vi: field, En: field}
	}
	add := func(r console.RejectedRow) {
		if len(page.Rejected) < rejectedShown {
			page.Rejected = append(page.Rejected, r)
		}
	}
	if v.report != nil {
		reasons := map[string]console.Text{}
		for i := range v.report.Counters.Rules {
			rule := &v.report.Counters.Rules[i]
			reasons[rule.Code+"\x00"+rule.Field] = console.Text{Vi: rule.Vi, En: rule.En}
			page.RejectedTotal += rule.Open
			if g := groups[rule.Group]; g != nil {
				g.Count += rule.Open
				if rule.Blocking {
					g.Blocking += rule.Open
				}
			}
		}
		for _, f := range v.report.Findings {
			add(console.RejectedRow{
				At: time.UnixMicro(f.At), Dataset: f.Dataset, Rule: f.Rule, Group: f.Group, Field: label(f.Field),
				Reason: reasons[f.Rule+"\x00"+f.Field], Sample: f.Sample, Record: f.Record, Blocking: f.Blocking,
			})
		}
	}
	for _, s := range m.sets[v.stream.Dataset] {
		page.RejectedTotal += s.counter.Failed
		if g := groups[s.counter.Group]; g != nil {
			g.Count += s.counter.Failed
		}
		for _, f := range s.findings {
			add(console.RejectedRow{
				At: s.at, Dataset: v.stream.Dataset, Rule: s.counter.Code, Group: s.counter.Group, Field: label(s.counter.Field),
				Reason: console.Text{Vi: s.counter.Vi, En: s.counter.En}, Record: recordDigest(m.recordKey, v.stream.Dataset, f.RecordID),
			})
		}
	}
}

// flow is what each place on the road has seen.
func (m *monitor) flow(streams []*streamView, now time.Time) []console.FlowStep {
	if len(streams) == 0 {
		return nil
	}
	var source, read, held, landed, receipts int64
	var rate float64
	state := console.Matching
	nodes := map[string]bool{}
	for _, v := range streams {
		if s, known := m.statusOf(v.stream); known {
			read += s.Read
			held += s.Quarantined
		}
		d := m.dataset(v, now)
		source += d.SourceRows
		landed += v.state.Live
		receipts += v.state.Batches
		rate += d.RowsPerSecond
		state = worse(state, d.State)
		nodes[v.stream.Node] = true
	}
	var batches, size int64
	for name := range nodes {
		if n := m.nodes[name]; n != nil {
			batches += int64(n.status.SpoolBatches)
			size += n.status.SpoolBytes
		}
	}
	return []console.FlowStep{
		{Kind: console.SourceStep, State: state, Count: source},
		{Kind: console.CaptureStep, State: state, Count: read, PerSecond: rate},
		{Kind: console.CheckStep, State: state, Count: held, Detail: console.Text{Vi: "bị cách ly", En: "held back"}},
		{Kind: console.SpoolStep, State: state, Count: batches, Detail: sizeText(size)},
		{Kind: console.HubStep, State: state, Count: landed, PerSecond: rate},
		{Kind: console.ReceiptStep, State: state, Count: receipts},
	}
}

// shortName drops "Tỉnh" and "Thành phố", for which a tile has no room.
func shortName(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "Tỉnh "), "Thành phố ")
}

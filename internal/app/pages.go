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

// sparkLeast is how many intervals a small chart shows at least: one minute.
const sparkLeast = int(time.Minute / slotLength)

// silentAfter is how long a node may say nothing before it counts as away.
const silentAfter = 10 * time.Second

// Overview implements console.Source.
func (m *monitor) Overview(ctx context.Context) (console.Overview, error) {
	now := m.now()
	head, _ := m.hub.audit.Head(ctx) // a log without a head yet is shown as empty
	m.mu.Lock()
	defer m.mu.Unlock()
	o := console.Overview{At: now, Events: m.feed.newest(), Work: m.allWork("")}
	o.Audit = console.AuditHead{
		Entries: head.Size, Root: head.Root, Checked: !m.checkedAt.IsZero(), Verified: m.verified.Verified, VerifiedAt: m.checkedAt,
	}
	var lag lagHistogram
	for _, v := range m.sorted("") {
		d := m.dataset(v, now)
		o.Totals.Datasets++
		if d.State == console.Matching || d.State == console.Behind {
			o.Totals.Matching++
		}
		if v.last != nil {
			o.Totals.Compared.Source += d.Compared.Source
			o.Totals.Compared.Landed += d.Compared.Landed
			o.Totals.Compared.Quarantined += d.Compared.Quarantined
			if d.ReconciledAt.After(o.Totals.ComparedAt) {
				o.Totals.ComparedAt = d.ReconciledAt
			}
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
				title := m.title(d.Dataset)
				work = append(work, console.Work{
					Name: console.Text{Vi: "Nạp lần đầu: " + title.Vi, En: "First load: " + title.En}, Where: d.Dataset.String(),
					Done: d.SnapshotDone, Total: expectedOf(d.SnapshotDone, d.SnapshotRows),
				})
			}
		}
	}
	return work
}

// expectedOf is how many rows a first load has in all: what the engine believed, or
// 0 when it has been proved wrong.
func expectedOf(done, believed int64) int64 {
	if done >= believed {
		return 0
	}
	return believed
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
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
		if worst := worse(row.State, ds.State); worst != row.State {
			row.State, row.Reason = worst, ds.Reason
			if len(streams) > 1 && ds.Reason != (console.Text{}) {
				row.Reason = about(ds.Title, ds.Reason)
			}
		}
		row.SourceRows += ds.SourceRows
		row.LandedRows += ds.LandedRows
		row.Quarantined += ds.Quarantined
		row.RowsPerSecond += ds.RowsPerSecond
		v.recent(now, &lag)
		if row.Rates == nil {
			row.Rates = make([]float64, slotCount-1)
		}
		for i, rate := range v.rates(now) {
			row.Rates[i] += rate
		}
	}
	for len(row.Rates) > sparkLeast && row.Rates[0] == 0 {
		row.Rates = row.Rates[1:] // before it was connected
	}
	row.Lag = lagOf(&lag)
	row.Criteria, row.Index = m.scores(d.Code, now)
	return row
}

func (m *monitor) scores(database string, now time.Time) ([]console.CriterionScore, console.Score) {
	counters := slices.DeleteFunc(m.counters(database, now), func(c quality.Counters) bool { return c.Rows == 0 })
	var method quality.Method
	var criteria []console.CriterionScore
	if len(counters) == 0 {
		for _, c := range lienthong.Criteria() {
			criteria = append(criteria, console.CriterionScore{
				Criterion: c, Note: console.Text{Vi: "Chưa có bản ghi nào về nên chưa đo", En: "No record has landed, so nothing is measured"},
			})
		}
		return criteria, console.Score{}
	}
	datasets := byDataset(counters)
	scores := method.Score(now.UnixMicro(), counters...)
	for i, s := range scores {
		c := console.CriterionScore{
			Criterion: s.Criterion, Score: console.Score{Known: s.Known, Percent: s.Value},
			Formula: console.Text{Vi: s.FormulaVi, En: s.FormulaEn},
		}
		for _, group := range datasets {
			c.Parts = append(c.Parts, m.parts(method.Score(now.UnixMicro(), group...)[i], group, len(datasets) > 1)...)
		}
		switch {
		case len(s.Gate) > 0:
			c.Note = console.Text{Vi: "Trường định danh chưa đạt 100 %: chỉ số tổng hợp bị đánh đỏ.", En: "An identifier field is below 100 %: the index is marked red."}
		case s.Criterion == lienthong.Shared && s.Known && s.Value == 0:
			c.Note = console.Text{Vi: "Chưa công bố dịch vụ nào trên dữ liệu này. Tiêu chí này không tính vào chỉ số.", En: "No service is published on these data yet. This criterion is not part of the index."}
		}
		criteria = append(criteria, c)
	}
	index := method.Index(scores)
	return criteria, console.Score{Known: index.Known, Percent: index.Value, Gated: len(index.Gate) > 0}
}

// byDataset puts the counters of one dataset together.
func byDataset(counters []quality.Counters) [][]quality.Counters {
	var groups [][]quality.Counters
	for _, c := range counters {
		i := slices.IndexFunc(groups, func(g []quality.Counters) bool { return g[0].Dataset == c.Dataset })
		if i < 0 {
			groups = append(groups, []quality.Counters{c})
		} else {
			groups[i] = append(groups[i], c)
		}
	}
	return groups
}

// parts are the terms of one criterion of one dataset. Rules name their field in
// brackets, by its column; people know it from the sentence or from its label.
func (m *monitor) parts(s quality.CriterionScore, counters []quality.Counters, several bool) []console.Part {
	rules := map[string]console.Text{} // by the label that quality gives the part
	label := func(vi, en, field string) {
		rules[vi+" ("+field+")"] = console.Text{Vi: vi, En: en}
	}
	for i := range counters {
		for j := range counters[i].Rules {
			r := &counters[i].Rules[j]
			label(r.Vi, r.En, r.Field)
		}
		for j := range counters[i].Sets {
			r := &counters[i].Sets[j]
			label(r.Vi, r.En, r.Field)
		}
	}
	var dataset console.Text
	if several {
		dataset = m.title(counters[0].Dataset)
	}
	var parts []console.Part
	for _, p := range s.Parts {
		if !p.Known {
			continue
		}
		part := console.Part{
			Dataset: dataset, Label: console.Text{Vi: p.LabelVi, En: p.LabelEn},
			Passed: int64(p.Numerator), Total: int64(p.Denominator), Percent: p.Value, Weight: p.Weight,
		}
		if sentence, found := rules[p.LabelVi]; found {
			part.Label, part.Rule = sentence, true
		}
		parts = append(parts, part)
	}
	return parts
}

// dataset is a stream as people see it. Called with mu held.
func (m *monitor) dataset(v *streamView, now time.Time) console.DatasetRow {
	d := console.DatasetRow{
		ID: v.stream.Dataset, Title: m.title(v.stream.Dataset),
		LandedRows: v.state.Live, Changes: v.state.Changes, RowsPerSecond: v.rate(now), State: console.Syncing,
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
	var lag lagHistogram
	v.recent(now, &lag)
	d.Lag = lagOf(&lag)
	status, known := m.statusOf(v.stream)
	if v.last != nil {
		d.Reconciled, d.ReconciledAt = v.last.Result, time.UnixMicro(v.last.At)
		d.Compared = console.Comparison{Source: v.last.SourceRows, Landed: v.last.LandedRows, Quarantined: v.last.Quarantined}
		d.Quarantined = v.last.Quarantined
		// Counted at the last comparison, and carried on with what has landed since.
		d.SourceRows = v.last.SourceRows + v.state.Live - v.last.LandedRows
	}
	if known && status.SnapshotRows > 0 {
		d.SourceRows = max(d.SourceRows, status.SnapshotRows)
	}
	d.State, d.Reason = m.stateOf(v, &d, now)
	if known && (status.Stopped != "" || status.Failure != "") {
		d.State = console.Failing
		d.Stopped = stoppedText(cmp.Or(status.Stopped, status.Failure))
		d.Reason = d.Stopped
	}
	return d
}

// stateOf judges a dataset that runs: by its last comparison, its lag and whether
// its node is there.
func (m *monitor) stateOf(v *streamView, d *console.DatasetRow, now time.Time) (console.State, console.Text) {
	if v.last == nil {
		return console.Syncing, console.Text{}
	}
	switch v.last.Result {
	case lienthong.Differs:
		return console.Differing, differsText(v.last)
	case lienthong.Failed:
		return console.Failing, console.Text{Vi: "không đối soát được", En: "could not be compared"}
	case lienthong.Matches:
	}
	node := m.nodes[m.hub.route(v.stream.Node)]
	switch {
	case v.last.SourceRows == 0:
		// Two empty ends agree, but nobody should read that as a database that is there.
		return console.Syncing, console.Text{Vi: "nguồn chưa có bản ghi nào", En: "the source has no record yet"}
	case node == nil:
		return console.Behind, silentText(v.stream.Node, time.Time{})
	case now.Sub(node.heard) > silentAfter:
		return console.Behind, silentText(v.stream.Node, node.heard)
	case d.Lag.Known && d.Lag.P99 > behindAfter:
		return console.Behind, lateText(d.Lag.P99)
	}
	return console.Matching, console.Text{}
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
	page.Rejected = everyKind(page.Rejected)
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
	first := now
	slots := streams[0].history(now)
	for _, v := range streams {
		if v.firstSeen.Before(first) {
			first = v.firstSeen
		}
	}
	for _, v := range streams[1:] {
		for i, s := range v.history(now) {
			slots[i].rows += s.rows
			slots[i].lag.merge(&s.lag)
		}
	}
	for i := range slots {
		s := &slots[i]
		if s.start.Before(first.Add(-2 * slotLength)) {
			continue // nobody watched yet
		}
		at := s.start.Add(slotLength) // what a slot says is known at its end
		rates = append(rates, console.RatePoint{At: at, RowsPerSecond: float64(s.rows) / slotLength.Seconds()})
		if s.lag.total > 0 {
			lags = append(lags, console.LagPoint{At: at, P50: s.lag.quantile(0.5), P99: s.lag.quantile(0.99)})
		}
	}
	// The slot that is still filling has no rate yet, but every lag in it is whole.
	var filling lagHistogram
	for _, v := range streams {
		filling.merge(&v.slot(now).lag)
	}
	if filling.total > 0 {
		lags = append(lags, console.LagPoint{At: now, P50: filling.quantile(0.5), P99: filling.quantile(0.99)})
	}
	return lags, rates
}

// rejectedShown is how many findings are looked at for a page. It shows fewer, of
// every kind.
const rejectedShown = 1000

// everyKind reorders findings so that the newest of each rule come first, then the
// second of each, and so on: fifty times the same reason teach nobody anything.
func everyKind(rows []console.RejectedRow) []console.RejectedRow {
	seen := map[string]int{}
	rank := make([]int, len(rows))
	order := make([]int, len(rows))
	for i := range rows {
		order[i] = i
		rank[i] = seen[rows[i].Rule+"\x00"+rows[i].Dataset.String()]
		seen[rows[i].Rule+"\x00"+rows[i].Dataset.String()]++
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank[a], rank[b]) })
	sorted := make([]console.RejectedRow, len(rows))
	for i, from := range order {
		sorted[i] = rows[from]
	}
	return sorted
}

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
				Reason: console.Text{Vi: s.counter.Vi, En: s.counter.En}, Record: quality.RecordDigest(m.recordKey, v.stream.Dataset, f.RecordID),
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
	var newest time.Time
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
		if list := v.receipts.entries; len(list) > 0 && list[len(list)-1].Applied.After(newest) {
			newest = list[len(list)-1].Applied
		}
		rate += d.RowsPerSecond
		state = worse(state, d.State)
		nodes[m.hub.route(v.stream.Node)] = true
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
		{Kind: console.CheckStep, State: state, Count: read, Detail: sentence("%s dòng bị giữ lại", "%s rows held back", held)},
		{Kind: console.SpoolStep, State: state, Count: batches, Detail: sizeText(size)},
		{Kind: console.HubStep, State: state, Count: landed, PerSecond: rate},
		{Kind: console.ReceiptStep, State: state, Count: receipts, Detail: newestText(newest)},
	}
}

// shortName drops "Tỉnh" and "Thành phố", for which a tile has no room.
func shortName(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "Tỉnh "), "Thành phố ")
}

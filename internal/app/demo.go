package app

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/console"
	"github.com/lienthong/lienthong/internal/demo"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/telemetry"
)

// DemoConfig configures a small country in one process.
type DemoConfig struct {
	Dir      string // for everything; empty: a temporary directory, removed at the end
	Postgres string // DSN: population and hub live in PostgreSQL
	Listen   string // of the console; default 127.0.0.1:8080
	Seed     uint64 // of the country; 0 means 214
	Persons  int    // 0 means 200,000
	// Once ends the demo when every dataset has landed and reconciled.
	Once bool
	// ChangesPerSecond is how lively the country is. 0 means 20.
	ChangesPerSecond int
	// LiveDefects is the share of live changes that plant a new defect. Default none.
	LiveDefects float64
	Now         func() time.Time
	Log         *slog.Logger
	// Progress hears of long work, for a terminal. Nil: nobody does.
	Progress func(what string, done, total int)
	// Ready hears of the console's one-time link.
	Ready func(signIn string)
	// People hears of the one-time links of those who work in the demo.
	People func([]PersonLink)
}

// Summary is what the demo proves, in the form that `demo --once --json` prints.
type Summary struct {
	Datasets []DatasetSummary `json:"datasets"`
	Criteria []CriteriaLine   `json:"criteria"`
	Audit    AuditSummary     `json:"audit"`
	Seconds  float64          `json:"seconds"`
}

// DatasetSummary is one dataset from end to end.
type DatasetSummary struct {
	Member          string                  `json:"member"`
	Database        string                  `json:"database"`
	Dataset         string                  `json:"dataset"`
	Source          string                  `json:"source"`
	SourceRows      int64                   `json:"source_rows"`
	LandedRows      int64                   `json:"landed_rows"`
	QuarantinedRows int64                   `json:"quarantined_rows"`
	Changes         int64                   `json:"changes"`
	LagP50          float64                 `json:"lag_ms_p50"`
	LagP99          float64                 `json:"lag_ms_p99"`
	Reconciled      lienthong.ReconcileWord `json:"reconciled"`
}

// CriteriaLine is the six criteria of a database; null is "not measured".
type CriteriaLine struct {
	Database  string   `json:"database"`
	Dung      *float64 `json:"dung"`
	Du        *float64 `json:"du"`
	Sach      *float64 `json:"sach"`
	Song      *float64 `json:"song"`
	ThongNhat *float64 `json:"thong_nhat"`
	DungChung *float64 `json:"dung_chung"`
	Index     *float64 `json:"index"`
}

// AuditSummary is the state of the hub's and the nodes' logs.
type AuditSummary struct {
	Entries  uint64 `json:"entries"` // of the hub
	Root     string `json:"root"`
	Verified bool   `json:"verified"` // every log of the country, offline from its files
}

// Reconciled reports whether every dataset agrees at both ends.
func (s *Summary) Reconciled() bool {
	for _, d := range s.Datasets {
		if d.Reconciled != lienthong.Matches || d.SourceRows != d.LandedRows+d.QuarantinedRows {
			return false
		}
	}
	return len(s.Datasets) > 0 && s.Audit.Verified
}

// Demo is a running country. Tests look into it; RunDemo is the whole story.
type Demo struct {
	Hub   *Hub
	Nodes []*Node
	World *demo.World

	config  DemoConfig
	started time.Time
	dir     string
	changer *demo.Changer
	source  map[string]string // engine by node
	datas   []string          // data directories with an audit log
	closers closers
}

const (
	demoGCPercent = 50
	demoMemory    = 320 << 20 // of the Go heap; SQLite's caches come on top
)

// RunDemo starts the country and lets it live until ctx ends, or with Once until
// it has proved itself.
func RunDemo(ctx context.Context, config DemoConfig) (*Summary, error) {
	// A country in one process on a laptop: generating it makes much garbage in a few
	// seconds, and memory is dearer than the processor time to collect it.
	debug.SetGCPercent(demoGCPercent)
	debug.SetMemoryLimit(demoMemory)
	d, err := StartDemo(ctx, config)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if !config.Once {
		return nil, d.Live(ctx)
	}
	return d.Prove(ctx)
}

// StartDemo opens the hub first, so that people can watch the rest: generating
// the country, writing its sources, starting its nodes.
func StartDemo(ctx context.Context, config DemoConfig) (_ *Demo, err error) {
	config.Seed = cmp.Or(config.Seed, 214)
	config.Persons = cmp.Or(config.Persons, 200_000)
	config.ChangesPerSecond = cmp.Or(config.ChangesPerSecond, 20)
	config.Listen = cmp.Or(config.Listen, "127.0.0.1:8080")
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = telemetry.Discard()
	}
	if config.Progress == nil {
		config.Progress = func(string, int, int) {}
	}
	d := &Demo{config: config, started: config.Now(), dir: config.Dir, source: map[string]string{}}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "lienthong-demo-"); err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
		d.closers.add(func() { _ = os.RemoveAll(d.dir) })
	}
	populationDSN, hubDSN := "", ""
	if config.Postgres != "" {
		var remove func(context.Context) error
		if populationDSN, hubDSN, remove, err = demo.ScratchDatabases(ctx, config.Postgres); err != nil {
			return nil, err
		}
		d.closers.add(func() {
			dropCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			defer cancel()
			if err := remove(dropCtx); err != nil {
				config.Log.WarnContext(dropCtx, "demo databases not removed", slog.Any("error", err))
			}
		})
	}
	definitions, err := demo.Definitions()
	if err != nil {
		return nil, err
	}
	if err := d.startHub(ctx, hubDSN, definitions); err != nil {
		return nil, err
	}
	if config.Ready != nil {
		link, err := d.Hub.SignInURL(ctx)
		if err != nil {
			return nil, err
		}
		config.Ready(link)
	}
	if err := d.invitePeople(ctx); err != nil {
		return nil, err
	}
	if err := d.generate(ctx); err != nil {
		return nil, err
	}
	if definitions, err = d.World.Definitions(); err != nil {
		return nil, err
	}
	targets, err := d.writeSources(ctx, populationDSN)
	if err != nil {
		return nil, err
	}
	if err := d.startNodes(ctx, populationDSN, definitions); err != nil {
		return nil, err
	}
	d.changer = d.World.Changer(targets)
	return d, nil
}

// Close ends nodes, hub and sources.
func (d *Demo) Close() { d.closers.run() }

func (d *Demo) startHub(ctx context.Context, dsn string, definitions []*dictionary.Definition) error {
	data := filepath.Join(d.dir, "hub")
	hub, err := StartHub(ctx, &HubConfig{
		Name: "ndc", Title: "Trung tâm Dữ liệu quốc gia", Member: "G01", Data: data, Links: "127.0.0.1:0", Enrol: "127.0.0.1:0",
		Console: d.config.Listen, Postgres: telemetry.Secret(dsn),
	}, HubParts{Definitions: definitions, Databases: demoDatabases(), Now: d.config.Now, Log: d.config.Log})
	if err != nil {
		return err
	}
	d.Hub = hub
	d.datas = append(d.datas, data)
	d.closers.add(hub.Close)
	return nil
}

// demoDatabases are the databases of the demo that the national list does not
// have.
func demoDatabases() []lienthong.Database {
	return []lienthong.Database{
		{Code: "household", NameVi: "CSDL hộ gia đình tỉnh Cà Mau", NameEn: "Households of Ca Mau province", Class: lienthong.LocalDatabase, Owner: "H12", Confidence: "A"},
		{Code: "land", NameVi: "CSDL thửa đất tỉnh Cà Mau", NameEn: "Land parcels of Ca Mau province", Class: lienthong.LocalDatabase, Owner: "H12", Confidence: "A"},
		{Code: "admin_unit", NameVi: "Danh mục đơn vị hành chính", NameEn: "Catalogue of administrative units", Class: lienthong.NationalDatabase, Owner: "G12", LegalBasis: "Quyết định 19/2025/QĐ-TTg", Confidence: "A"},
	}
}

// work shows long work on the console and the terminal.
func (d *Demo) work(key string, name console.Text) demo.Progress {
	var last atomic.Int64
	return func(done, total int) {
		percent := int64(0)
		if total > 0 {
			percent = int64(done) * 100 / int64(total)
		}
		if last.Swap(percent) == percent && done != total {
			return
		}
		d.Hub.monitor.setWork(key, console.Work{Name: name, Where: key, Done: int64(done), Total: int64(total)})
		d.config.Progress(name.Vi, done, total)
	}
}

func (d *Demo) generate(ctx context.Context) error {
	show := d.work("population", console.Text{Vi: "Sinh dữ liệu mẫu", En: "Generating sample data"})
	show(0, 1)
	world, err := demo.New(demo.Config{Seed: d.config.Seed, Persons: d.config.Persons, LiveDefects: d.config.LiveDefects, Now: d.config.Now})
	if err != nil {
		return err
	}
	show(1, 1)
	d.World = world
	return ctx.Err()
}

func (d *Demo) writeSources(ctx context.Context, populationDSN string) (demo.Targets, error) {
	var targets demo.Targets
	writing := console.Text{Vi: "Ghi dữ liệu nguồn", En: "Writing the sources"}
	if err := os.MkdirAll(filepath.Join(d.dir, "sources"), 0o700); err != nil {
		return targets, fmt.Errorf("demo: %w", err)
	}
	var err error
	if populationDSN != "" {
		if err := d.World.WritePopulationPostgres(ctx, populationDSN, d.work("population.person", writing)); err != nil {
			return targets, err
		}
		if targets.Population, err = demo.OpenPostgres(populationDSN); err != nil {
			return targets, err
		}
		targets.Postgres = true
		d.closers.add(func() { _ = targets.Population.Close() })
	} else {
		if targets.Population, err = d.openSQLite("population.db"); err != nil {
			return targets, err
		}
		if err := d.World.WritePopulation(ctx, targets.Population, d.work("population.person", writing)); err != nil {
			return targets, err
		}
	}
	if targets.CivilStatus, err = d.openSQLite("civil_status.db"); err != nil {
		return targets, err
	}
	if err := d.World.WriteCivilStatus(ctx, targets.CivilStatus, d.work("civil_status", writing)); err != nil {
		return targets, err
	}
	targets.Communes = d.path("ca_mau")
	if err := d.World.WriteDropFolders(ctx, targets.Communes, d.work("household.household, land.parcel", writing)); err != nil {
		return targets, err
	}
	return targets, d.World.WriteAdminUnits(ctx, d.path("admin_unit"), d.work("admin_unit", writing))
}

func (d *Demo) path(name string) string { return filepath.Join(d.dir, "sources", name) }

func (d *Demo) openSQLite(name string) (*sql.DB, error) {
	db, err := demo.OpenSQLite(d.path(name))
	if err != nil {
		return nil, err
	}
	d.closers.add(func() { _ = db.Close() })
	return db, nil
}

// startNodes enrols one node per owner with a one-time token, exactly as separate
// processes do.
func (d *Demo) startNodes(ctx context.Context, populationDSN string, definitions []*dictionary.Definition) error {
	of := func(databases ...string) []*dictionary.Definition {
		var found []*dictionary.Definition
		for _, definition := range definitions {
			if slices.Contains(databases, definition.Dataset.Database) {
				found = append(found, definition)
			}
		}
		return found
	}
	population := SourceConfig{SQLite: d.path("population.db")}
	persons := of("population")
	d.source["g01"] = "sqlite"
	if populationDSN != "" {
		d.source["g01"] = "postgres"
		population = SourceConfig{Postgres: telemetry.Secret(populationDSN)}
		for i := range persons {
			persons[i] = demo.ForPostgres(persons[i])
		}
	}
	d.source["g15"], d.source["h12"], d.source["g12"] = "sqlite", "files", "files"
	nodes := []struct {
		member      lienthong.MemberCode
		source      SourceConfig
		definitions []*dictionary.Definition
	}{
		{"G12", SourceConfig{Files: &FilesConfig{Root: d.path("admin_unit"), Tables: dropTables(of("admin_unit"))}}, of("admin_unit")},
		{"H12", SourceConfig{Files: &FilesConfig{Root: d.path("ca_mau"), Tables: dropTables(of("household", "land"))}}, of("household", "land")},
		{"G15", SourceConfig{SQLite: d.path("civil_status.db")}, of("civil_status")},
		{"G01", population, persons},
	}
	starting := console.Work{Name: console.Text{Vi: "Khởi động và đăng ký các nút", En: "Starting and enrolling the nodes"}, Total: int64(len(nodes))}
	for i, n := range nodes {
		starting.Where, starting.Done = string(n.member), int64(i)
		d.Hub.monitor.setWork("nodes", starting)
		if err := d.startNode(ctx, n.member, n.source, n.definitions); err != nil {
			return err
		}
	}
	starting.Done = starting.Total
	d.Hub.monitor.setWork("nodes", starting)
	return nil
}

func dropTables(definitions []*dictionary.Definition) []FilesTable {
	var tables []FilesTable
	for _, drop := range demo.Drops() {
		for _, definition := range definitions {
			if definition.Dataset != drop.Dataset {
				continue
			}
			t := FilesTable{Name: definition.Table, Pattern: drop.Pattern, Key: drop.Key, Columns: drop.Columns, Mode: "full", Operation: drop.Operation}
			if drop.Delta {
				t.Mode = "delta"
			}
			if drop.Deleted != "" {
				t.DeleteWords = []string{drop.Deleted}
			}
			tables = append(tables, t)
		}
	}
	return tables
}

// demoReconcileEvery is short, so that people see reconciliation happen.
const demoReconcileEvery = 30 * time.Second

func (d *Demo) startNode(ctx context.Context, member lienthong.MemberCode, source SourceConfig, definitions []*dictionary.Definition) error {
	name := string(lowerCode(member))
	token, err := d.Hub.Invite(ctx, lienthong.Government, member, name)
	if err != nil {
		return err
	}
	data := filepath.Join(d.dir, "nodes", name)
	every := Duration(demoReconcileEvery)
	if d.config.Once {
		every = Duration(time.Hour) // the proof asks by itself
	}
	node, err := StartNode(ctx, &NodeConfig{
		Name: name, Data: data, Hub: HubAddress{Links: d.Hub.LinksAddr(), Enrol: d.Hub.EnrolURL()},
		Token: telemetry.Secret(token), Sources: []SourceConfig{source}, ReconcileEvery: every,
	}, NodeParts{Definitions: [][]*dictionary.Definition{definitions}, Now: d.config.Now, Log: d.config.Log})
	if err != nil {
		return err
	}
	d.Nodes = append(d.Nodes, node)
	d.datas = append(d.datas, data)
	d.closers.add(node.Close)
	return nil
}

// Live lets life go on in the sources until ctx ends.
func (d *Demo) Live(ctx context.Context) error {
	tick := time.NewTicker(time.Second / time.Duration(d.config.ChangesPerSecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.Hub.Failed():
			return err
		case <-tick.C:
			if err := d.changer.Step(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// proveChanges is how many live changes a proof makes before it compares: enough
// for the schema change and a few files.
const proveChanges = 260

// Prove waits until every dataset has landed, lets life go on for a while, and
// compares everything again.
func (d *Demo) Prove(ctx context.Context) (*Summary, error) {
	if err := d.await(ctx, "first load", func(v *streamView) bool { return v.last != nil && v.last.Result == lienthong.Matches }); err != nil {
		return nil, err
	}
	tick := time.NewTicker(time.Second / time.Duration(5*d.config.ChangesPerSecond))
	defer tick.Stop()
	for d.changer.Steps() < proveChanges {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
			if err := d.changer.Step(ctx); err != nil {
				return nil, err
			}
		}
	}
	if err := d.Settle(ctx); err != nil {
		return nil, err
	}
	return d.Summary(ctx)
}

// Settle reconciles every node until all datasets match what is in the sources
// now. Files need a moment until their folder counts as quiet, so it asks again.
func (d *Demo) Settle(ctx context.Context) error {
	deadline := d.config.Now().Add(2 * time.Minute)
	for {
		asked := d.config.Now().UnixMicro()
		var wait sync.WaitGroup
		failures := make([]error, len(d.Nodes))
		for i, n := range d.Nodes {
			wait.Go(func() { failures[i] = n.Reconcile(ctx) })
		}
		wait.Wait()
		if err := errors.Join(failures...); err != nil {
			return err
		}
		if err := d.await(ctx, "reconciliation", func(v *streamView) bool { return v.last != nil && v.last.At >= asked }); err != nil {
			return err
		}
		if d.settled() {
			return d.awaitLogs(ctx)
		}
		if d.config.Now().After(deadline) {
			return d.awaitLogs(ctx) // the summary says what does not match
		}
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
}

// settled: every dataset matches and holds as many rows as the world has.
func (d *Demo) settled() bool {
	m := d.Hub.monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.streams {
		if v.last == nil || v.last.Result != lienthong.Matches || v.last.SourceRows != int64(d.World.Rows(v.stream.Dataset)) {
			return false
		}
	}
	return true
}

// await waits until the condition holds for the stream of every dataset.
func (d *Demo) await(ctx context.Context, what string, done func(*streamView) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	changed := d.Hub.monitor.Subscribe(ctx)
	for {
		waiting := d.waitingFor(done)
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-changed:
		case err := <-d.Hub.Failed():
			return err
		case <-ctx.Done():
			return fmt.Errorf("demo: waiting for %s of %s: %w", what, strings.Join(waiting, ", "), context.Cause(ctx))
		}
	}
}

// waitingFor lists the datasets for which the condition does not hold yet.
func (d *Demo) waitingFor(done func(*streamView) bool) []string {
	m := d.Hub.monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	ready := map[lienthong.DatasetID]bool{}
	for _, v := range m.streams {
		if done(v) {
			ready[v.stream.Dataset] = true
		}
	}
	var waiting []string
	for _, definition := range m.definitions {
		if !ready[definition.Dataset] {
			waiting = append(waiting, definition.Dataset.String())
		}
	}
	return waiting
}

// awaitLogs waits until every batch is in the hub's log and under a signed head.
func (d *Demo) awaitLogs(ctx context.Context) error {
	for {
		drained, err := d.Hub.AuditDrained(ctx)
		if err != nil {
			return err
		}
		if head, err := d.Hub.audit.Head(ctx); drained && err == nil && head.Size == d.Hub.audit.Size() {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Summary collects what is to be seen now. Logs are verified offline from their
// files.
func (d *Demo) Summary(ctx context.Context) (*Summary, error) {
	s := &Summary{}
	d.Hub.monitor.judgeAll(ctx)
	m := d.Hub.monitor
	m.mu.Lock()
	now := m.now()
	seen := map[string]bool{}
	for _, v := range m.sorted("") {
		line := DatasetSummary{
			Member: string(m.database(v.stream.Dataset.Database).Owner), Database: v.stream.Dataset.Database, Dataset: v.stream.Dataset.Name,
			Source: d.source[v.stream.Node], Changes: v.changes,
			LagP50: milliseconds(v.total.quantile(0.5)), LagP99: milliseconds(v.total.quantile(0.99)),
		}
		if v.last != nil {
			line.SourceRows, line.LandedRows, line.QuarantinedRows = v.last.SourceRows, v.last.LandedRows, v.last.Quarantined
			line.Reconciled = v.last.Result
		}
		s.Datasets = append(s.Datasets, line)
		if database := v.stream.Dataset.Database; !seen[database] {
			seen[database] = true
			scores, index := m.scores(database, now)
			s.Criteria = append(s.Criteria, criteriaLine(database, scores, index))
		}
	}
	m.mu.Unlock()
	s.Audit.Verified = true
	for i, data := range d.datas {
		report, err := verifyLog(ctx, data)
		if err != nil {
			return nil, fmt.Errorf("demo: verify log in %s: %w", filepath.Base(data), err)
		}
		s.Audit.Verified = s.Audit.Verified && report.Verified
		if i == 0 {
			s.Audit.Entries, s.Audit.Root = report.Entries, report.Root
		}
	}
	s.Seconds = d.config.Now().Sub(d.started).Seconds()
	return s, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func criteriaLine(database string, scores []console.CriterionScore, index console.Score) CriteriaLine {
	line := CriteriaLine{Database: database, Index: percent(index)}
	for _, s := range scores {
		value := percent(s.Score)
		switch s.Criterion {
		case lienthong.Correct:
			line.Dung = value
		case lienthong.Complete:
			line.Du = value
		case lienthong.Clean:
			line.Sach = value
		case lienthong.Live:
			line.Song = value
		case lienthong.Unified:
			line.ThongNhat = value
		case lienthong.Shared:
			line.DungChung = value
		}
	}
	return line
}

func percent(s console.Score) *float64 {
	if !s.Known {
		return nil
	}
	v := s.Percent
	return &v
}

// WriteText prints the summary for a person.
func (s *Summary) WriteText(w io.Writer) {
	for _, d := range s.Datasets {
		fmt.Fprintf(w, "%-5s %-28s %-8s nguồn %7d = ghi %7d + cách ly %5d  trễ p50 %.0f ms p99 %.0f ms  %s\n", //nolint:errcheck // to a terminal
			d.Member, d.Database+"."+d.Dataset, d.Source, d.SourceRows, d.LandedRows, d.QuarantinedRows, d.LagP50, d.LagP99, d.Reconciled)
	}
	fmt.Fprintf(w, "nhật ký / audit log: %d mục, gốc %.16s…, kiểm chứng/verified %t; %.1f s\n", s.Audit.Entries, s.Audit.Root, s.Audit.Verified, s.Seconds) //nolint:errcheck // to a terminal
}

func lowerCode(code lienthong.MemberCode) []byte {
	b := []byte(code)
	for i := range b {
		if b[i] >= 'A' && b[i] <= 'Z' {
			b[i] += 'a' - 'A'
		}
		if b[i] == '.' {
			b[i] = '-'
		}
	}
	return b
}

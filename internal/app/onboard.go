package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/telemetry"
)

// DatabaseRequest asks to connect a database, or to look whether it could be.
type DatabaseRequest struct {
	DSN    string   `json:"dsn"`              // see ParseDSN
	Name   string   `json:"name,omitempty"`   // the database's code; default: what the DSN says
	Tables []string `json:"tables,omitempty"` // patterns such as "public.*"; default: all
	Title  string   `json:"title,omitempty"`
}

// DatabaseReport is what was found and what was made of it.
type DatabaseReport struct {
	Name     string              `json:"name"`
	Kind     string              `json:"kind"`
	Engine   string              `json:"engine,omitempty"`
	Required []RequirementReport `json:"required,omitempty"`
	LeftOut  []LeftOutReport     `json:"left_out,omitempty"`
	Datasets []DatasetReport     `json:"datasets,omitempty"`
	Added    bool                `json:"added"`
}

// Ready reports whether everything that reading needs is there.
func (r *DatabaseReport) Ready() bool {
	return !slices.ContainsFunc(r.Required, func(q RequirementReport) bool { return !q.OK })
}

// RequirementReport is connector.Requirement for people and programs.
type RequirementReport struct {
	Code      string `json:"code"`
	OK        bool   `json:"ok"`
	Vi        string `json:"vi"`
	En        string `json:"en"`
	Statement string `json:"statement,omitempty"`
	Restart   bool   `json:"restart,omitempty"`
}

// LeftOutReport names something that is not read, and why.
type LeftOutReport struct {
	Name string `json:"name"`
	Code string `json:"code"`
	Vi   string `json:"vi"`
	En   string `json:"en"`
}

// DatasetReport is one table and its proposed mapping.
type DatasetReport struct {
	Dataset  string         `json:"dataset"`
	Table    string         `json:"table"`
	Rows     int64          `json:"rows"` // estimated; -1 when the engine does not know
	Identity []string       `json:"identity"`
	Mapped   int            `json:"mapped"`
	Columns  []ColumnReport `json:"columns"`
}

// ColumnReport is one column and what it becomes.
type ColumnReport struct {
	Column     string  `json:"column"`
	Type       string  `json:"type"`
	Element    string  `json:"element,omitempty"`
	Field      string  `json:"field"`
	Confidence float64 `json:"confidence"`
	ReasonVi   string  `json:"reason_vi,omitempty"`
	ReasonEn   string  `json:"reason_en,omitempty"`
}

// ParseDSN tells which technology a DSN means: postgres://, mysql:// or mariadb://,
// sqlserver://, oracle://, a folder, or an SQLite file. It also proposes the
// database's code.
func ParseDSN(dsn string) (config *SourceConfig, kind, code string, err error) {
	scheme, _, has := strings.Cut(dsn, "://")
	if has {
		u, parseErr := url.Parse(dsn)
		if parseErr != nil {
			return nil, "", "", badDSN()
		}
		code = plainCode(strings.Trim(u.Path, "/"))
		switch scheme {
		case "postgres", "postgresql":
			return &SourceConfig{Postgres: telemetry.Secret(dsn)}, "postgres", code, nil
		case "mysql", "mariadb":
			return &SourceConfig{MySQL: telemetry.Secret(dsn)}, "mysql", code, nil
		case "sqlserver":
			return &SourceConfig{SQLServer: telemetry.Secret(dsn)}, "sqlserver", cmp.Or(plainCode(u.Query().Get("database")), code), nil
		case "oracle":
			return &SourceConfig{Oracle: telemetry.Secret(dsn)}, "oracle", code, nil
		case "sqlite":
			return &SourceConfig{SQLite: u.Host + u.Path}, "sqlite", plainCode(strings.TrimSuffix(path.Base(u.Path), path.Ext(u.Path))), nil
		}
		return nil, "", "", badDSN()
	}
	if _, rest, driver := strings.Cut(dsn, "@"); driver && (strings.Contains(rest, "tcp(") || strings.Contains(rest, "unix(")) {
		// user:password@tcp(host:3306)/db, as the driver writes it
		_, name, _ := strings.Cut(rest, ")/")
		name, _, _ = strings.Cut(name, "?")
		return &SourceConfig{MySQL: telemetry.Secret(dsn)}, "mysql", plainCode(name), nil
	}
	info, statErr := os.Stat(dsn)
	switch {
	case statErr != nil:
		return nil, "", "", badDSN()
	case info.IsDir():
		return &SourceConfig{Files: &FilesConfig{Root: dsn}}, "files", plainCode(filepath.Base(dsn)), nil
	}
	f, openErr := os.Open(dsn)
	if openErr != nil {
		return nil, "", "", badDSN()
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 16)
	if n, _ := f.Read(head); n == 0 || bytes.HasPrefix(head, []byte("SQLite format 3")) {
		return &SourceConfig{SQLite: dsn}, "sqlite", plainCode(strings.TrimSuffix(filepath.Base(dsn), filepath.Ext(dsn))), nil
	}
	return nil, "", "", badDSN()
}

// badDSN does not repeat the text: it may hold a password.
func badDSN() error {
	return &lienthong.Error{
		Code: "database.dsn", Vi: "không hiểu địa chỉ cơ sở dữ liệu", En: "the database's address is not understood",
		Hint: "postgres://user@host/db, mysql://user@host/db, sqlserver://…, oracle://…, thư mục / a folder, tệp SQLite / an SQLite file",
	}
}

// plainCode makes a name that can stand in dataset identifiers.
func plainCode(name string) string {
	var b strings.Builder
	for _, r := range dictionary.PlainKey(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else {
			b.WriteByte('_')
		}
	}
	code := strings.Trim(b.String(), "_")
	if code == "" || code[0] < 'a' || code[0] > 'z' {
		code = "t_" + code
	}
	return strings.TrimRight(code[:min(len(code), 40)], "_")
}

// CheckDatabase looks at a database without changing anything: what is there, what is
// missing, and which mapping its names suggest.
func CheckDatabase(ctx context.Context, node *NodeConfig, request DatabaseRequest) (*DatabaseReport, error) {
	words, err := nodeDictionary(node)
	if err != nil {
		return nil, err
	}
	config, kind, code, err := ParseDSN(request.DSN)
	if err != nil {
		return nil, err
	}
	report := &DatabaseReport{Name: cmp.Or(request.Name, code), Kind: kind}
	if config.Files != nil {
		if err := lookAtFolder(ctx, config.Files, report); err != nil {
			return nil, err
		}
	}
	// What a connector must remember while it looks is not the node's: the node may run.
	state, err := os.MkdirTemp("", "lienthong-check-")
	if err != nil {
		return nil, fmt.Errorf("check database: %w", err)
	}
	defer func() { _ = os.RemoveAll(state) }()
	opened, err := connect(ctx, config, connection{
		owner: node.Name + "_" + cmp.Or(request.Name, code), state: state, files: state,
		node: node.Name, resolve: func(p string) string { return p }, parts: NodeParts{Now: time.Now, Log: slog.New(slog.DiscardHandler)},
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }()
	tables, err := inspect(ctx, opened, request, report)
	if err != nil {
		return report, err
	}
	_, err = propose(words, tables, nil, request, report)
	return report, err
}

// inspect lists what can be read and what stands in the way.
func inspect(ctx context.Context, from connector.Source, request DatabaseRequest, report *DatabaseReport) ([]connector.Table, error) {
	var tables []connector.Table
	if inspector, ok := from.(connector.Inspector); ok {
		found, err := inspector.Inspect(ctx)
		if err != nil {
			return nil, err
		}
		report.Engine, tables = found.Engine, found.Tables
		for _, q := range found.Required {
			report.Required = append(report.Required, RequirementReport(q))
		}
		for _, l := range found.LeftOut {
			report.LeftOut = append(report.LeftOut, LeftOutReport(l))
		}
	} else {
		var err error
		if tables, err = from.Tables(ctx); err != nil {
			return nil, err
		}
	}
	var taken []connector.Table
	for _, t := range tables {
		switch {
		case !wanted(t.Name, request.Tables):
		case len(t.Key) == 0:
			if !slices.ContainsFunc(report.LeftOut, func(l LeftOutReport) bool { return l.Name == t.Name }) {
				report.LeftOut = append(report.LeftOut, LeftOutReport{
					Name: t.Name, Code: "no_key", Vi: "bảng không có khóa: không phân biệt được hai dòng; đặt khóa chính rồi thêm lại",
					En: "the table has no key: two rows cannot be told apart; give it a primary key and add it again",
				})
			}
		default:
			taken = append(taken, t)
		}
	}
	if len(taken) == 0 && report.Ready() {
		return nil, &lienthong.Error{
			Code: "database.empty", Where: report.Name, Vi: "không có bảng nào đọc được", En: "there is no table that can be read",
			Hint: "kiểm tra quyền SELECT, khóa chính và --tables / check SELECT rights, primary keys and --tables",
		}
	}
	return taken, nil
}

func wanted(table string, patterns []string) bool {
	if len(patterns) == 0 {
		return true
	}
	_, plain, _ := strings.Cut(table, ".")
	return slices.ContainsFunc(patterns, func(p string) bool {
		whole, _ := path.Match(p, table)
		short, _ := path.Match(p, plain)
		return whole || short
	})
}

// propose drafts a definition for every table. samples may be nil.
func propose(words *dictionary.Dictionary, tables []connector.Table, samples map[string][]dictionary.ColumnSample, request DatabaseRequest, report *DatabaseReport) ([]*dictionary.Draft, error) {
	names := datasetNames(tables)
	drafts := make([]*dictionary.Draft, 0, len(tables))
	var problems []error
	for i, t := range tables {
		columns := samples[t.Name]
		if columns == nil {
			for _, c := range t.Columns {
				columns = append(columns, dictionary.ColumnSample{Column: c})
			}
		}
		key := make([]string, len(t.Key))
		for n, k := range t.Key {
			key[n] = t.Columns[k].Name
		}
		id, err := lienthong.ParseDatasetID(report.Name + "." + names[i])
		if err != nil {
			return nil, err
		}
		title := t.Name
		if request.Title != "" {
			title = request.Title + ": " + t.Name
		}
		draft, err := words.Draft(id, title, t.Name, columns, key)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		d := DatasetReport{Dataset: id.String(), Table: t.Name, Rows: t.EstimatedRows, Identity: draft.Definition.Identity}
		for n, p := range draft.Proposals {
			if p.Element != "" {
				d.Mapped++
			}
			d.Columns = append(d.Columns, ColumnReport{
				Column: p.Column, Type: t.Columns[n].SourceType, Element: p.Element, Field: draft.Fields[n], Confidence: p.Confidence,
				ReasonVi: p.ReasonVi, ReasonEn: p.ReasonEn,
			})
		}
		report.Datasets = append(report.Datasets, d)
		drafts = append(drafts, draft)
	}
	return drafts, errors.Join(problems...)
}

// datasetNames makes short names: without the schema where that leaves them different.
func datasetNames(tables []connector.Table) []string {
	names := make([]string, len(tables))
	used := map[string]int{}
	short := func(table string) string {
		if _, plain, has := strings.Cut(table, "."); has {
			return plainCode(strings.Trim(plain, `"`))
		}
		return plainCode(table)
	}
	for _, t := range tables {
		used[short(t.Name)]++
	}
	taken := map[string]bool{}
	for i, t := range tables {
		name := short(t.Name)
		if used[name] > 1 {
			name = plainCode(t.Name)
		}
		unique := name
		for n := 2; taken[unique]; n++ {
			unique = fmt.Sprintf("%s_%d", name[:min(len(name), 36)], n)
		}
		taken[unique], names[i] = true, unique
	}
	return names
}

const (
	sampleRows   = 200
	sampleValues = 40
	sampleBytes  = 120
)

var errEnough = errors.New("enough rows")

// sampled reads some rows of every table, for the proposal only.
func sampled(ctx context.Context, from connector.Source, tables []connector.Table) (map[string][]dictionary.ColumnSample, error) {
	names := make([]string, len(tables))
	for i := range tables {
		names[i] = tables[i].Name
	}
	if _, err := from.Start(ctx, names); err != nil {
		return nil, err
	}
	view, err := from.View(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = view.Close() }()
	samples := map[string][]dictionary.ColumnSample{}
	for i := range tables {
		columns := tables[i].Columns
		if describer, ok := view.(connector.Describer); ok {
			columns = describer.Table(i).Columns
		}
		of := make([]dictionary.ColumnSample, len(columns))
		for n := range columns {
			of[n].Column = columns[n]
		}
		samples[tables[i].Name] = of
		chunks, err := view.Chunks(ctx, i, sampleRows)
		if err != nil {
			return nil, err
		}
		rows := 0
		for _, chunk := range chunks {
			err := view.Read(ctx, i, chunk, func(row *connector.Row) error {
				for n := range of {
					v := &row.Values[n]
					if v.State == lienthong.Present && len(of[n].Values) < sampleValues && of[n].Kind != lienthong.Binary && len(v.Bytes) <= sampleBytes {
						of[n].Values = append(of[n].Values, string(v.AppendText(nil, of[n].Kind)))
					}
				}
				if rows++; rows >= sampleRows {
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				break
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return samples, nil
}

// addedSource is a source that was added by command. Its configuration lies in the node's
// data directory, because it may hold a password and belongs to this node alone.
type addedSource struct {
	name        string
	config      *SourceConfig
	definitions []*dictionary.Definition
}

func sourcesDir(data string) string { return filepath.Join(data, "sources") }

// addedSources reads what database add wrote.
func addedSources(data string) ([]addedSource, error) {
	paths, err := filepath.Glob(filepath.Join(sourcesDir(data), "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list added sources: %w", err)
	}
	var all []addedSource
	for _, p := range paths {
		one := addedSource{name: strings.TrimSuffix(filepath.Base(p), ".yaml"), config: &SourceConfig{}}
		problems, err := load(p, one.config)
		if err != nil {
			return nil, err
		}
		one.config.check(problems, "")
		if err := problems.err(); err != nil {
			return nil, err
		}
		if one.definitions, err = loadDefinitions(p, one.config.Definitions); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// save writes the source and its definitions, the source last: a crash before that leaves
// nothing that is read.
func (one *addedSource) save(data string, drafts []*dictionary.Draft) error {
	dir := filepath.Join(sourcesDir(data), one.name)
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, draft := range drafts {
		text, err := draft.YAML()
		if err != nil {
			return fmt.Errorf("write definition of %s: %w", draft.Definition.Dataset, err)
		}
		if err := durable.WriteFile(filepath.Join(dir, draft.Definition.Dataset.Name+".yaml"), text, 0o600); err != nil {
			return err
		}
	}
	config, err := yaml.Marshal(one.config.plain(one.name))
	if err != nil {
		return fmt.Errorf("write source %s: %w", one.name, err)
	}
	return durable.WriteFile(filepath.Join(sourcesDir(data), one.name+".yaml"), config, 0o600)
}

// plain is the configuration with its secrets, for the file in the data directory only.
func (s *SourceConfig) plain(name string) map[string]any {
	out := map[string]any{"definitions": []string{name + "/*.yaml"}}
	if s.Postgres != "" {
		out["postgres"] = s.Postgres.Reveal()
	}
	if s.Slot != "" {
		out["slot"] = s.Slot
	}
	if s.MySQL != "" {
		out["mysql"] = s.MySQL.Reveal()
	}
	if s.SQLServer != "" {
		out["sqlserver"] = s.SQLServer.Reveal()
	}
	if s.Oracle != "" {
		out["oracle"] = s.Oracle.Reveal()
	}
	if s.SQLite != "" {
		out["sqlite"] = s.SQLite
	}
	if s.Files != nil {
		out["files"] = s.Files
	}
	return out
}

// AddDatabase connects a database to the running node: it looks, and when nothing is
// missing it starts the source, samples values, writes a proposed definition for every
// table, and begins the first load. A report that is not Ready says what a DBA must do; nothing
// has been changed then.
func (n *Node) AddDatabase(ctx context.Context, request DatabaseRequest) (*DatabaseReport, error) {
	n.adding.Lock()
	defer n.adding.Unlock()
	config, kind, code, err := ParseDSN(request.DSN)
	if err != nil {
		return nil, err
	}
	if config.SQLite != "" || config.Files != nil {
		if err := config.absolute(); err != nil {
			return nil, err
		}
	}
	report := &DatabaseReport{Name: cmp.Or(request.Name, code), Kind: kind}
	if plainCode(report.Name) != report.Name {
		return nil, &lienthong.Error{
			Code: "database.name", Where: report.Name, Vi: "mã cơ sở dữ liệu không đúng dạng", En: "not the code of a database",
			Hint: "--name: 1-40 ký tự a-z 0-9 _, bắt đầu bằng chữ / 1-40 of a-z 0-9 _, starts with a letter",
		}
	}
	if err := n.nameFree(report.Name); err != nil {
		return nil, err
	}
	if config.Files != nil {
		if err := lookAtFolder(ctx, config.Files, report); err != nil {
			return nil, err
		}
	}
	opened, err := connect(ctx, config, n.connection(report.Name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }()
	tables, err := inspect(ctx, opened, request, report)
	if err != nil || !report.Ready() {
		return report, err
	}
	samples, err := sampled(ctx, opened, tables)
	if err != nil {
		return report, err
	}
	drafts, err := propose(n.parts.words, tables, samples, request, report)
	if err != nil {
		return report, err
	}
	if err := opened.Close(); err != nil {
		return report, err
	}
	one := addedSource{name: report.Name, config: config}
	for _, draft := range drafts {
		draft.Definition.File = filepath.Join(sourcesDir(n.config.Data), one.name, draft.Definition.Dataset.Name+".yaml")
		one.definitions = append(one.definitions, draft.Definition)
	}
	if err := one.save(n.config.Data, drafts); err != nil {
		return report, err
	}
	report.Added = true
	return report, n.openSource(context.WithoutCancel(ctx), one.name, one.config, one.definitions)
}

func (s *SourceConfig) absolute() error {
	var err error
	if s.SQLite != "" {
		s.SQLite, err = filepath.Abs(s.SQLite)
	} else {
		s.Files.Root, err = filepath.Abs(s.Files.Root)
	}
	if err != nil {
		return fmt.Errorf("find the source: %w", err)
	}
	return nil
}

func (n *Node) nameFree(name string) error {
	for _, one := range n.sources.all() {
		taken := one.name == name || slices.ContainsFunc(n.sources.definitions(one), func(d *dictionary.Definition) bool { return d.Dataset.Database == name })
		if taken {
			return &lienthong.Error{
				Code: "database.taken", Where: name, Vi: "nút đã có cơ sở dữ liệu mang mã này", En: "the node already has a database with this code",
				Hint: "chọn mã khác bằng --name, hoặc xem lienthong database status / choose another with --name, or see lienthong database status",
			}
		}
	}
	return nil
}

// DatabaseStatus is where a node's datasets stand.
type DatabaseStatus struct {
	Node     string          `json:"node"`
	Linked   bool            `json:"linked"`
	Waiting  int             `json:"spool_batches"` // batches without the hub's receipt
	Datasets []DatasetStatus `json:"datasets"`
}

// DatasetStatus is where one dataset stands.
type DatasetStatus struct {
	Dataset      string `json:"dataset"`
	Source       string `json:"source"`
	SourceRows   int64  `json:"source_rows"` // as of the last comparison
	LandedRows   int64  `json:"landed_rows"`
	Quarantined  int64  `json:"quarantined_rows"`
	Changes      int64  `json:"changes"`       // since the node started
	SnapshotDone int64  `json:"snapshot_done"` // rows of the first load read so far
	SnapshotRows int64  `json:"snapshot_rows"` // expected; 0 when no first load runs
	Reconciled   string `json:"reconciled"`    // khớp, không khớp, lỗi; empty before the first comparison
	Stopped      string `json:"stopped,omitempty"`
}

// Databases tells where every dataset of the node stands; of one database when it is
// named.
func (n *Node) Databases(database string) DatabaseStatus {
	s := DatabaseStatus{Node: n.config.Name, Linked: n.bus.Linked(), Datasets: []DatasetStatus{}}
	s.Waiting, _ = n.bus.Depth()
	for _, one := range n.sources.all() {
		known := map[lienthong.DatasetID]bool{}
		add := func(id lienthong.DatasetID, d DatasetStatus) {
			if known[id] || database != "" && id.Database != database {
				return
			}
			known[id] = true
			n.sources.mu.Lock()
			r, compared := n.sources.results[id]
			n.sources.mu.Unlock()
			if compared {
				d.SourceRows, d.LandedRows, d.Quarantined, d.Reconciled = r.SourceRows, r.LandedRows, r.Quarantined, string(r.Result)
			}
			d.Dataset, d.Source = id.String(), one.name
			s.Datasets = append(s.Datasets, d)
		}
		for _, c := range one.capture.Statuses() {
			add(c.Dataset, DatasetStatus{
				Changes: c.Changes, SnapshotDone: c.SnapshotDone, SnapshotRows: c.SnapshotRows, Quarantined: c.Quarantined,
				Stopped: c.Stopped + c.Failure,
			})
		}
		for _, d := range n.sources.definitions(one) {
			add(d.Dataset, DatasetStatus{}) // the source has not been reached yet
		}
	}
	slices.SortFunc(s.Datasets, func(a, b DatasetStatus) int { return strings.Compare(a.Dataset, b.Dataset) })
	return s
}

// databaseCommands lets the commands of the same machine act on the running node.
func (n *Node) databaseCommands() {
	n.local.handle("POST /database/add", func(ctx context.Context, r *http.Request) (any, error) {
		var request DatabaseRequest
		if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(&request); err != nil {
			return nil, badDSN()
		}
		return n.AddDatabase(ctx, request)
	})
	n.pushCommands()
	n.stewardCommands()
	n.local.handle("GET /database/status", func(_ context.Context, r *http.Request) (any, error) {
		return n.Databases(r.URL.Query().Get("database")), nil
	})
}

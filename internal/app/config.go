package app

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/connector/file"
	"github.com/lienthong/lienthong/internal/telemetry"
)

// HubConfig is the configuration file of a hub.
type HubConfig struct {
	// Name of this instance: 1-32 of a-z, 0-9, -. Required.
	Name string `yaml:"name"`
	// Title is shown to people. Default: the name.
	Title string `yaml:"title"`
	// Member is the electronic identifier of the organisation that runs the hub. Required.
	Member string `yaml:"member"`
	// Bloc of that organisation. Default: government.
	Bloc string `yaml:"bloc"`
	// Data is the directory for keys, log, inbox and, with SQLite, the records. Required; local disk.
	Data string `yaml:"data"`
	// Links is the address that nodes connect to. Default: 127.0.0.1:7422.
	Links string `yaml:"links"`
	// Enrol is the address where nodes enrol, HTTPS. Default: 127.0.0.1:7423.
	Enrol string `yaml:"enrol"`
	// Hosts are the names and addresses by which nodes and browsers reach this hub; they go
	// into its certificate. Default: localhost and 127.0.0.1.
	Hosts []string `yaml:"hosts"`
	// Console is the address of the web console. Plain HTTP on loopback, HTTPS with the hub's own
	// certificate elsewhere. Default: 127.0.0.1:8080. "off" turns it off.
	Console string `yaml:"console"`
	// Public is the address under which the world reaches what is public: the identifiers of
	// elements, schemas and the catalogue begin with it, so it never changes. Default: the console's, and /public.
	Public string `yaml:"public"`
	// Holidays is a file with working days and holidays that the program does not know yet: docs/tickets.md.
	Holidays string `yaml:"holidays"`
	// Metrics is the address for /metrics and /healthz. Default: off.
	Metrics string `yaml:"metrics"`
	// Postgres is the DSN of the record store. Default: SQLite files in Data.
	Postgres telemetry.Secret `yaml:"postgres"`
	// MemoryMB is what the process tries to stay within, in MiB: it collects garbage
	// harder as it comes near. Default: 256.
	MemoryMB int64 `yaml:"memory_mb"`
	// Definitions are files or globs of dataset definitions, for titles, labels and set rules.
	Definitions []string `yaml:"definitions"`
	// Upstream is the hub above this one, to which everything that lands here is handed on.
	Upstream *UpstreamConfig `yaml:"upstream"`
	// Feeds lets other systems follow what lands here. Default: off.
	Feeds *FeedsConfig `yaml:"feeds"`

	path string
}

// NodeConfig is the configuration file of a node.
type NodeConfig struct {
	// Name of this instance: 1-32 of a-z, 0-9, -. Required, and the one in the enrolment token.
	Name string `yaml:"name"`
	// Data is the directory for keys, log, spool and state. Required; local disk.
	Data string `yaml:"data"`
	// Hub is where the hub is.
	Hub HubAddress `yaml:"hub"`
	// Token is the one-time enrolment token, needed at the first start only. TokenFile reads it
	// from a file.
	Token     telemetry.Secret `yaml:"token"`
	TokenFile string           `yaml:"token_file"`
	// SpoolMB is the limit of the spool in MiB. Default: 8192.
	SpoolMB int64 `yaml:"spool_mb"`
	// ReserveMB is the free space that the spool leaves on the disk, in MiB. Default: 64.
	ReserveMB int64 `yaml:"reserve_mb"`
	// MemoryMB is what the process tries to stay within, in MiB: it collects garbage
	// harder as it comes near. Default: 80.
	MemoryMB int64 `yaml:"memory_mb"`
	// ReconcileEvery is the time between reconciliations: "1h". Default: 1h.
	ReconcileEvery Duration `yaml:"reconcile_every"`
	// Metrics is the address for /metrics and /healthz. Default: off.
	Metrics string `yaml:"metrics"`
	// Rate and Rates cap the line to the hub.
	Line `yaml:",inline"`
	// Compression of batches: fastest, default, better or best. Default: fastest.
	Compression string `yaml:"compression"`
	// Dictionary is a file of elements that stand in place of those in the program: what the hub has
	// published since, as its /public/dictionary.yaml says it.
	Dictionary string `yaml:"dictionary"`
	// Sources are what this node reads. lienthong database add adds others while it runs.
	Sources []SourceConfig `yaml:"sources"`

	path string
}

// HubAddress is where a node finds its hub.
type HubAddress struct {
	Links string `yaml:"links"` // host:port. Required.
	Enrol string `yaml:"enrol"` // https://host:port. Required at the first start.
}

// SourceConfig is one source: exactly one of Postgres, MySQL, SQLServer, Oracle, SQLite, Files,
// Push and Polling.
type SourceConfig struct {
	// Postgres is the DSN of a PostgreSQL database.
	Postgres telemetry.Secret `yaml:"postgres"`
	// Slot names the replication slot and publication, after lienthong_. Default: made of the node's
	// name, the source's number and the database.
	Slot string `yaml:"slot"`
	// MySQL is the DSN of a MySQL or MariaDB database.
	MySQL telemetry.Secret `yaml:"mysql"`
	// ServerID is what the server knows this node by among its replicas. Default: made from names.
	ServerID uint32 `yaml:"server_id"`
	// SQLServer is the DSN of a SQL Server database, read by its change data capture.
	SQLServer telemetry.Secret `yaml:"sqlserver"`
	// Oracle is the DSN of an Oracle database, polled.
	Oracle telemetry.Secret `yaml:"oracle"`
	// SQLite is the path of an SQLite database.
	SQLite string `yaml:"sqlite"`
	// Files is a drop folder.
	Files *FilesConfig `yaml:"files"`
	// Push is the HTTP interface for systems that cannot be read.
	Push *PushConfig `yaml:"push"`
	// Polling reads a database again and again, for what has no log to read; with oracle it says how.
	Polling *PollingConfig `yaml:"polling"`
	// RetainMB is how much of its log the source may hold back for this node, in MiB: people are
	// told at half of it, the first load pauses at 80 %, and at all of it, when the spool cannot take
	// more, the log is given up and both ends are compared later. Default: 0, no bound.
	RetainMB int64 `yaml:"retain_mb"`
	// SnapshotShare is the part of the time that each of two readers of a first load may spend
	// reading the source, above 0 and at most 1. Default: 1.
	SnapshotShare float64 `yaml:"snapshot_share"`
	// SnapshotRowsPerSecond bounds a first load. Default: 0, no bound.
	SnapshotRowsPerSecond int `yaml:"snapshot_rows_per_second"`
	// Definitions are files or globs of dataset definitions. Required.
	Definitions []string `yaml:"definitions"`
	// Priority of its datasets on the line: urgent, normal or bulk. Default: normal.
	Priority string `yaml:"priority"`
	// Priorities of single datasets: {population.person: urgent}.
	Priorities map[string]string `yaml:"priorities"`
}

// FilesConfig is a drop folder and what is expected in it.
type FilesConfig struct {
	Root   string       `yaml:"root"`
	Tables []FilesTable `yaml:"tables"`
}

// FilesTable is a kind of file.
type FilesTable struct {
	Name    string   `yaml:"name"`    // the table that definitions name
	Pattern string   `yaml:"pattern"` // "*/ho_dan*.xlsx", relative to Root
	Key     []string `yaml:"key"`     // columns that name a row
	Columns []string `yaml:"columns"` // the header that is expected; default: that of the first file
	Mode    string   `yaml:"mode"`    // full or delta. Default: full
	// FolderColumn adds a first column with the file's folder, so that folders that number their
	// rows alike stay apart.
	FolderColumn string `yaml:"folder_column"`
	// Operation names the column of a delta that says what happened; DeleteWords are its words for gone.
	Operation   string   `yaml:"operation"`
	DeleteWords []string `yaml:"delete_words"`
	Sheet       string   `yaml:"sheet"` // of a workbook; a pattern makes one table of several. Default: the first that is visible
	Skip        int      `yaml:"skip"`  // rows at the top that are not looked at
	// HeaderRows is how many rows the headings take. Default: found out, up to three.
	HeaderRows int `yaml:"header_rows"`
	// Encoding: auto, utf-8, utf-16, tcvn3, vni, windows-1258. Default: auto.
	Encoding string `yaml:"encoding"`
	// Delimiter of texts. Default: found out.
	Delimiter string `yaml:"delimiter"`
	// MonthFirst says that 01/02/2026 is the second of January. Default: the first of February.
	MonthFirst bool `yaml:"month_first"`
	// Decimal is the separator of decimals, "," or ".". Default: what a number says by itself.
	Decimal string `yaml:"decimal"`
	// Hidden rows and columns: read or skip. Default: read.
	Hidden string `yaml:"hidden"`
	// AllowEmpty accepts a full file without rows, which deletes all that came before.
	AllowEmpty bool `yaml:"allow_empty"`
}

func (t *FilesTable) table() file.Table {
	var columns []lienthong.Column
	for _, name := range t.Columns {
		if name != t.Operation {
			columns = append(columns, lienthong.Column{Name: name, SourceType: "text", Kind: lienthong.Text, Nullable: true})
		}
	}
	mode := file.Full
	if t.Mode == "delta" {
		mode = file.Delta
	}
	return file.Table{
		Name: t.Name, Pattern: t.Pattern, Mode: mode, Key: t.Key, Columns: columns, FolderColumn: t.FolderColumn,
		Operation: t.Operation, DeleteWords: t.DeleteWords, Sheet: t.Sheet, Skip: t.Skip, HeaderRows: t.HeaderRows,
		Encoding: file.Encoding(t.Encoding), Delimiter: t.Delimiter, MonthFirst: t.MonthFirst, Decimal: t.Decimal,
		Hidden: file.Hidden(t.Hidden), AllowEmpty: t.AllowEmpty,
	}
}

// Duration is a time.Duration that YAML writes as "90s".
type Duration time.Duration

// UnmarshalYAML reads "90s". A wrong one is a problem among others.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is not a duration such as 90s, 15m or 1h", n.Line, n.Value)}}
	}
	*d = Duration(v)
	return nil
}

// LoadHubConfig reads and checks a hub's configuration. All problems come at
// once, each with file and line.
func LoadHubConfig(path string) (*HubConfig, error) {
	c := &HubConfig{path: path}
	p, err := load(path, c)
	if err != nil {
		return nil, err
	}
	c.complete()
	c.check(p)
	c.Data = resolve(path, c.Data)
	return c, p.err()
}

func (c *HubConfig) complete() {
	c.Title = cmp.Or(c.Title, c.Name)
	c.Bloc = cmp.Or(c.Bloc, string(lienthong.Government))
	c.Links = cmp.Or(c.Links, "127.0.0.1:7422")
	c.Enrol = cmp.Or(c.Enrol, "127.0.0.1:7423")
	c.Console = cmp.Or(c.Console, "127.0.0.1:8080")
	if len(c.Hosts) == 0 {
		c.Hosts = []string{"localhost", "127.0.0.1"}
	}
}

func (c *HubConfig) check(p *problems) {
	p.name("name", c.Name)
	p.required("member", c.Member)
	if _, err := lienthong.ParseMemberCode(c.Member); c.Member != "" && err != nil {
		p.add("member", "không phải mã định danh điện tử", "not an electronic identifier", "H49, G01")
	}
	p.required("data", c.Data)
	p.address("links", c.Links)
	p.address("enrol", c.Enrol)
	if c.Console != "off" {
		p.address("console", c.Console)
	}
	if c.Metrics != "" {
		p.address("metrics", c.Metrics)
	}
	if !slices.Contains(blocs(), lienthong.Bloc(c.Bloc)) {
		p.add("bloc", "không có khối này", "no such bloc", blocHint())
	}
	p.definitions("definitions", c.path, c.Definitions)
	if u := c.Upstream; u != nil {
		u.check(p, c.path)
	}
	if c.Feeds != nil {
		c.Feeds.check(p)
	}
}

func blocs() []lienthong.Bloc {
	return []lienthong.Bloc{
		lienthong.Government, lienthong.Party, lienthong.Assembly, lienthong.Presidency, lienthong.Court,
		lienthong.Procuracy, lienthong.StateAudit, lienthong.Front, lienthong.SocioPolitical,
	}
}

func blocHint() string {
	names := make([]string, len(blocs()))
	for i, bloc := range blocs() {
		names[i] = string(bloc)
	}
	return strings.Join(names, ", ")
}

// LoadNodeConfig reads and checks a node's configuration.
func LoadNodeConfig(path string) (*NodeConfig, error) {
	c := &NodeConfig{path: path}
	p, err := load(path, c)
	if err != nil {
		return nil, err
	}
	c.check(p)
	if c.TokenFile != "" && c.Token == "" {
		token, err := os.ReadFile(c.resolve(c.TokenFile))
		if err == nil {
			c.Token = telemetry.Secret(bytes.TrimSpace(token))
		} else if !errors.Is(err, os.ErrNotExist) {
			p.add("token_file", "không đọc được tệp", "the file cannot be read", err.Error())
		}
	}
	if c.Data != "" {
		c.Data = c.resolve(c.Data)
	}
	if _, ok := batch.ParseCompression(c.Compression); !ok {
		p.add("compression", "cần fastest, default, better hoặc best", "needs fastest, default, better or best", "")
	}
	return c, p.err()
}

func (c *NodeConfig) check(p *problems) {
	p.name("name", c.Name)
	p.required("data", c.Data)
	p.required("hub.links", c.Hub.Links)
	if c.Hub.Links != "" {
		p.address("hub.links", c.Hub.Links)
	}
	if u, err := url.Parse(c.Hub.Enrol); c.Hub.Enrol != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		p.add("hub.enrol", "cần địa chỉ https", "needs an https address", "https://host:port")
	}
	if c.Metrics != "" {
		p.address("metrics", c.Metrics)
	}
	for i := range c.Sources {
		at := fmt.Sprintf("sources.%d", i)
		c.Sources[i].check(p, at)
		p.definitions(at+".definitions", c.path, c.Sources[i].Definitions)
	}
}

func (s *SourceConfig) check(p *problems, at string) {
	kinds := 0
	for _, given := range []bool{
		s.Postgres != "", s.MySQL != "", s.SQLServer != "", s.Oracle != "", s.SQLite != "", s.Files != nil, s.Push != nil,
		s.Polling != nil && s.Oracle == "",
	} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		p.add(at, "mỗi nguồn cần đúng một trong postgres, mysql, sqlserver, oracle, sqlite, files, push, polling",
			"a source is exactly one of postgres, mysql, sqlserver, oracle, sqlite, files, push, polling", "")
	}
	if s.SnapshotShare < 0 || s.SnapshotShare > 1 {
		p.add(at+".snapshot_share", "cần số lớn hơn 0 và không quá 1", "needs a number above 0 and at most 1", "0.5")
	}
	if s.Push != nil {
		s.Push.check(p, at+".push")
	}
	if s.Polling != nil {
		s.Polling.check(p, at+".polling", s.Oracle != "")
	}
	if len(s.Definitions) == 0 {
		p.add(at+".definitions", "thiếu định nghĩa tập dữ liệu", "dataset definitions are missing", "definitions: [datasets/*.yaml]")
	}
	p.priority(at+".priority", s.Priority)
	p.priorities(at+".priorities", s.Priorities)
	if s.Files != nil {
		p.required(at+".files.root", s.Files.Root)
		for i, t := range s.Files.Tables {
			where := fmt.Sprintf("%s.files.tables.%d", at, i)
			p.required(where+".name", t.Name)
			p.required(where+".pattern", t.Pattern)
			if len(t.Key) == 0 {
				p.add(where+".key", "cần cột khóa", "key columns are needed", "key: [ma_ho]")
			}
			p.oneOf(where+".mode", t.Mode, "full", "delta")
			p.oneOf(where+".encoding", t.Encoding, "auto", "utf-8", "utf-16", "tcvn3", "vni", "windows-1258")
			p.oneOf(where+".decimal", t.Decimal, ",", ".")
			p.oneOf(where+".hidden", t.Hidden, "read", "skip")
		}
	}
}

// resolve makes a path of the configuration relative to the configuration file.
func (c *NodeConfig) resolve(path string) string { return resolve(c.path, path) }

func resolve(config, path string) string {
	if filepath.IsAbs(path) || config == "" {
		return path
	}
	return filepath.Join(filepath.Dir(config), path)
}

// problems collects what is wrong, and knows the line of every key.
type problems struct {
	path     string
	lines    map[string]int
	found    []error
	datasets map[lienthong.DatasetID]string // the file that defines each
}

func load(path string, into any) (*problems, error) {
	p := &problems{path: path, lines: map[string]int{}, datasets: map[lienthong.DatasetID]string{}}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &lienthong.Error{
			Code: "config.read", Where: path, Vi: "không đọc được tệp cấu hình", En: "the configuration cannot be read",
			Hint: "kiểm tra đường dẫn và quyền đọc / check the path and the right to read it", Err: err,
		}
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err == nil && len(root.Content) > 0 {
		p.index("", root.Content[0])
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		var typed *yaml.TypeError
		if !errors.As(err, &typed) {
			return nil, p.told(err.Error(), "tệp không phải YAML đúng", "not valid YAML")
		}
		for _, line := range typed.Errors {
			p.found = append(p.found, p.told(line, "khóa hoặc giá trị không hợp lệ", "unknown key or wrong value"))
		}
	}
	return p, nil
}

func (p *problems) index(prefix string, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := strings.TrimPrefix(prefix+"."+n.Content[i].Value, ".")
			p.lines[key] = n.Content[i].Line
			p.index(key, n.Content[i+1])
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			key := fmt.Sprintf("%s.%d", prefix, i)
			p.lines[key] = item.Line
			p.index(key, item)
		}
	case yaml.DocumentNode, yaml.ScalarNode, yaml.AliasNode:
	}
}

// line is that of the key, or of the nearest key around it.
func (p *problems) line(key string) int {
	for key != "" {
		if n := p.lines[key]; n > 0 {
			return n
		}
		at := strings.LastIndexByte(key, '.')
		key = key[:max(at, 0)]
	}
	return 1
}

func (p *problems) one(key, vi, en, hint string) error {
	where := p.path
	if key != "" {
		where = fmt.Sprintf("%s:%d: %s", p.path, p.line(key), key)
	}
	return &lienthong.Error{Code: "config.invalid", Where: where, Vi: vi, En: en, Hint: hint}
}

// told is a problem in the words of the YAML reader, which begin with a line.
func (p *problems) told(text, vi, en string) error {
	where := p.path
	text = strings.TrimPrefix(text, "yaml: ")
	if line, rest, ok := strings.Cut(strings.TrimPrefix(text, "line "), ": "); ok && strings.HasPrefix(text, "line ") {
		where, text = p.path+":"+line, rest
	}
	// "field membr not found in type app.HubConfig": the type is ours, not the reader's.
	if before, _, ok := strings.Cut(text, " in type "); ok {
		text = before
	}
	return &lienthong.Error{Code: "config.invalid", Where: where, Vi: vi, En: en, Hint: text}
}

// definitions reads dataset definitions, so that what is wrong in them is told before
// anything starts.
func (p *problems) definitions(key, config string, patterns []string) {
	for i, pattern := range patterns {
		where := fmt.Sprintf("%s.%d", key, i)
		definitions, err := loadDefinitions(config, []string{pattern})
		for _, problem := range each(err) {
			if lienthong.ErrorCode(problem) == "definition.file" {
				p.add(where, "không tìm thấy định nghĩa tập dữ liệu", "no dataset definition found", resolve(config, pattern))
			} else {
				p.found = append(p.found, problem)
			}
		}
		for _, d := range definitions {
			if file, twice := p.datasets[d.Dataset]; twice {
				p.add(where, "tập dữ liệu được định nghĩa hai lần", "a dataset is defined twice", d.Dataset.String()+": "+file+", "+d.File)
			}
			p.datasets[d.Dataset] = d.File
		}
	}
}

// each takes joined errors apart.
func each(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, each(one)...)
	}
	return all
}

func (p *problems) add(key, vi, en, hint string) { p.found = append(p.found, p.one(key, vi, en, hint)) }

func (p *problems) oneOf(key, value string, words ...string) {
	if value != "" && !slices.Contains(words, value) {
		list := strings.Join(words, ", ")
		p.add(key, "cần một trong "+list, "needs one of "+list, "")
	}
}

func (p *problems) required(key, value string) {
	if value == "" {
		p.add(key, "còn thiếu", "is missing", "")
	}
}

func (p *problems) name(key, value string) {
	if !bus.NodeName(value) {
		p.add(key, "tên cần 1-32 ký tự a-z, 0-9, -", "a name is 1-32 of a-z, 0-9, -", "g01")
	}
}

func (p *problems) address(key, value string) {
	if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
		p.add(key, "cần dạng máy:cổng", "needs the form host:port", "127.0.0.1:7422")
	}
}

func (p *problems) err() error { return errors.Join(p.found...) }

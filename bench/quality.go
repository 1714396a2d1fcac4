package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/pgtest"
	"github.com/lienthong/lienthong/internal/quality"
)

// qualityConfig is what "bench quality" is told.
type qualityConfig struct {
	rows         int64
	postgresRows int64
	rounds       int
	workers      int
	duckdb       string
	dir          string
	profile      string
	out          io.Writer
	progress     io.Writer
}

// qualityLine is one measurement of one engine. The counts stand beside it, so that a
// reader sees that the engines did the same work.
type qualityLine struct {
	Name      string           `json:"name"`
	Rules     int              `json:"rules"`
	Rows      int64            `json:"rows"`
	Wall      float64          `json:"wall_s"`
	PerSecond float64          `json:"rows_per_s"`
	CPU       float64          `json:"cpu_us_per_row"`
	PeakRSS   float64          `json:"peak_rss_mb,omitempty"`
	Ratio     float64          `json:"ratio_duckdb,omitempty"`      // CPU a row of DuckDB on the same file over this
	WallRatio float64          `json:"wall_ratio_duckdb,omitempty"` // rows a second of this over those of DuckDB
	Rounds    []float64        `json:"round_wall_s,omitempty"`      // when there were several: the best is above
	Load      float64          `json:"load"`                        // of the machine, over the minute before: wall times of a busy one say little
	Equal     *bool            `json:"equal,omitempty"`             // every count is that of lienthong_quality
	Version   string           `json:"version,omitempty"`
	Violated  int64            `json:"violations"`
	Counts    map[string]int64 `json:"counts,omitempty"`
	Note      string           `json:"note,omitempty"`
}

// engineResult is what one run of one engine found and cost.
type engineResult struct {
	Version string  `json:"version"`
	Counts  []int64 `json:"counts"` // rows, then each rule
	Wall    float64 `json:"wall_s"`
	CPU     float64 `json:"cpu_s"`
	PeakRSS float64 `json:"peak_rss_mb"`
}

const communeList = "commune"

func parseQuality(args []string, stdout, stderr io.Writer) (qualityConfig, error) {
	config := qualityConfig{out: stdout, progress: stderr}
	flags := flag.NewFlagSet("quality", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Int64Var(&config.rows, "rows", 5_000_000, "rows of the file")
	flags.Int64Var(&config.postgresRows, "postgres-rows", -1, "rows that PostgreSQL checks, from the file's beginning; 0 leaves it out. Default: all")
	flags.IntVar(&config.rounds, "rounds", 3, "how often the platform and DuckDB take turns; the best round of each counts")
	flags.IntVar(&config.workers, "workers", 2, "threads of each engine")
	flags.StringVar(&config.duckdb, "duckdb", "", "program of tools/duckdb. Default: it is built; \"none\" leaves DuckDB out")
	flags.StringVar(&config.dir, "dir", "", "where to put the file and databases. Default: a temporary directory")
	flags.StringVar(&config.profile, "profile", "", "write a CPU profile of the platform's last round here")
	if err := flags.Parse(args); err != nil {
		return config, err
	}
	if config.postgresRows < 0 {
		config.postgresRows = config.rows
	}
	return config, nil
}

// runQuality measures the checks of the platform beside the same checks in other engines.
func runQuality(ctx context.Context, config qualityConfig) (err error) {
	if config.dir == "" {
		if config.dir, err = os.MkdirTemp("", "lienthong-quality"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(config.dir)) }()
		if err := os.Chmod(config.dir, 0o755); err != nil { // PostgreSQL runs as another user
			return err
		}
	}
	b := &qualityBench{qualityConfig: config, csv: filepath.Join(config.dir, "people.csv"), encoder: json.NewEncoder(config.out)}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for _, n := range []int{20, 30} {
		if err := b.measure(ctx, n); err != nil {
			return fmt.Errorf("%d rules: %w", n, err)
		}
	}
	return b.postgres(ctx)
}

type qualityBench struct {
	qualityConfig
	csv      string
	parquet  string
	communes []string
	rules    []peopleRule
	encoder  *json.Encoder
	found    map[int][]int64 // by number of rules: what the platform counted
}

func (b *qualityBench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}

// prepare writes the file and builds what is missing.
func (b *qualityBench) prepare(ctx context.Context) error {
	communes, err := communesOf(checkedAt)
	if err != nil {
		return err
	}
	b.communes, b.rules, b.found = communes, peopleRules(communeList), map[int][]int64{}
	began := time.Now()
	out, err := os.Create(b.csv)
	if err != nil {
		return err
	}
	people, err := newPeople(1, communes)
	if err == nil {
		err = people.write(out, b.rows)
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	info, err := os.Stat(b.csv)
	if err != nil {
		return err
	}
	b.say("%d rows, %d MB, in %.0f s", b.rows, info.Size()>>20, time.Since(began).Seconds())
	switch b.duckdb {
	case "none":
		b.duckdb = ""
		return nil
	case "":
		b.duckdb = filepath.Join(b.dir, "duckdb")
		b.say("building tools/duckdb")
		build := exec.CommandContext(ctx, "go", "build", "-o", b.duckdb, ".")
		build.Dir, build.Env = filepath.Join("tools", "duckdb"), append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=")
		if said, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build tools/duckdb (needs g++): %w: %s", err, said)
		}
	}
	b.parquet = filepath.Join(b.dir, "people.parquet")
	b.say("DuckDB writes the same rows as Parquet")
	_, err = b.duck(ctx, "COPY (SELECT * FROM "+b.duckFile()+") TO '"+b.parquet+"' (FORMAT parquet, COMPRESSION zstd)", "SELECT 0")
	return err
}

// communesOf are the codes that were valid at the time.
func communesOf(at string) ([]string, error) {
	d, err := dictionary.Builtin()
	if err != nil {
		return nil, err
	}
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return nil, err
	}
	list, found := d.CodeList(communeList)
	if !found {
		return nil, fmt.Errorf("no code list %q", communeList)
	}
	var codes []string
	for _, c := range list.Codes() {
		if list.Valid([]byte(c.Code), when.UnixMicro()) && !slices.Contains(codes[max(0, len(codes)-1):], c.Code) {
			codes = append(codes, c.Code)
		}
	}
	return codes, nil
}

// measure lets the platform and DuckDB take turns.
func (b *qualityBench) measure(ctx context.Context, n int) error {
	rules := b.rules[:n]
	var own, csv, parquet []engineResult
	for round := range b.rounds {
		b.say("%d rules, round %d", n, round+1)
		r, err := b.platform(ctx, n)
		if err != nil {
			return err
		}
		own = append(own, r)
		if b.duckdb == "" {
			continue
		}
		if r, err = b.duck(ctx, duckQuery(b.duckFile(), rules)); err != nil {
			return err
		}
		csv = append(csv, r)
		if r, err = b.duck(ctx, duckQuery("read_parquet('"+b.parquet+"')", rules)); err != nil {
			return err
		}
		parquet = append(parquet, r)
	}
	b.found[n] = own[0].Counts
	line := b.line("lienthong_quality", n, own)
	duck := b.line("duckdb_quality", n, csv)
	if len(csv) > 0 {
		line.Ratio, line.WallRatio = duck.CPU/line.CPU, line.PerSecond/duck.PerSecond
	}
	line.Counts = map[string]int64{}
	for i := range rules {
		line.Counts[rules[i].rule.Field+" "+rules[i].rule.Code] = own[0].Counts[i+1]
	}
	if err := b.print(&line, own); err != nil || len(csv) == 0 {
		return err
	}
	if err := b.print(&duck, csv); err != nil {
		return err
	}
	duck = b.line("duckdb_quality_parquet", n, parquet)
	duck.Note = "the same rows as Parquet (zstd), which DuckDB wrote before"
	return b.print(&duck, parquet)
}

// line takes the best round: what slowed the others was somebody else's work.
func (b *qualityBench) line(name string, rules int, rounds []engineResult) qualityLine {
	line := qualityLine{Name: name, Rules: rules, Load: machineLoad()}
	for i, r := range rounds {
		line.Rows = r.Counts[0]
		line.Rounds = append(line.Rounds, round(r.Wall))
		cpu := r.CPU * 1e6 / float64(line.Rows)
		if i == 0 || r.Wall < line.Wall {
			line.Wall, line.PerSecond = r.Wall, float64(line.Rows)/r.Wall
		}
		if i == 0 || cpu < line.CPU {
			line.CPU = cpu
		}
		line.PeakRSS, line.Version = max(line.PeakRSS, r.PeakRSS), r.Version
	}
	return line
}

// machineLoad is the load average of the last minute.
func machineLoad() float64 {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(content), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

// print refuses a line whose counts are not those of the platform.
func (b *qualityBench) print(line *qualityLine, rounds []engineResult) error {
	want := b.found[line.Rules]
	var differ []string
	for _, r := range rounds {
		for i, count := range r.Counts {
			if count == want[i] {
				continue
			}
			name := "rows"
			if i > 0 {
				name = b.rules[i-1].rule.Field + " " + b.rules[i-1].rule.Code
			}
			differ = append(differ, fmt.Sprintf("%s: %d, not %d", name, count, want[i]))
		}
	}
	equal := len(differ) == 0
	line.Equal = &equal
	for _, count := range want[1:] {
		line.Violated += count
	}
	for _, f := range []*float64{&line.Wall, &line.PerSecond, &line.CPU, &line.PeakRSS, &line.Ratio, &line.WallRatio} {
		*f = round(*f)
	}
	if err := b.encoder.Encode(line); err != nil {
		return err
	}
	if !equal {
		return fmt.Errorf("%s counts otherwise than the platform: %s", line.Name, strings.Join(differ, "; "))
	}
	return nil
}

func (b *qualityBench) duckFile() string {
	columns := make([]string, 0, len(peopleHeader()))
	for _, name := range peopleHeader() {
		columns = append(columns, "'"+name+"': 'VARCHAR'")
	}
	return "read_csv('" + b.csv + `', auto_detect = false, header = true, delim = ',', quote = '"', escape = '"', columns = {` +
		strings.Join(columns, ", ") + "})"
}

// duck runs statements in a process of DuckDB; the last is measured.
func (b *qualityBench) duck(ctx context.Context, statements ...string) (engineResult, error) {
	setup := []string{
		"SET threads = " + strconv.Itoa(b.workers),
		"SET preserve_insertion_order = false",
		"CREATE TABLE codes AS SELECT unnest(['" + strings.Join(b.communes, "', '") + "']) AS code",
	}
	return engine(ctx, strings.NewReader(strings.Join(append(setup, statements...), "\n---\n")), b.duckdb)
}

// platform runs the checks in a process of their own, so that memory and CPU are theirs.
func (b *qualityBench) platform(ctx context.Context, rules int) (engineResult, error) {
	self, err := os.Executable()
	if err != nil {
		return engineResult{}, err
	}
	return engine(ctx, nil, self, "quality-check", "-file", b.csv, "-rules", strconv.Itoa(rules),
		"-workers", strconv.Itoa(b.workers), "-profile", b.profile)
}

func engine(ctx context.Context, in io.Reader, program string, args ...string) (engineResult, error) {
	var result engineResult
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stderr = in, &said
	out, err := cmd.Output()
	if err != nil {
		return result, fmt.Errorf("%s: %w: %s", filepath.Base(program), err, bytes.TrimSpace(said.Bytes()))
	}
	return result, json.Unmarshal(out, &result)
}

// runQualityCheck is the measured process of the platform.
func runQualityCheck(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("quality-check", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("file", "", "CSV file")
	n := flags.Int("rules", 30, "how many of the rules")
	workers := flags.Int("workers", 2, "goroutines")
	profile := flags.String("profile", "", "CPU profile")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		stop, err := startProfile(*profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	runtime.GOMAXPROCS(*workers)
	result, err := inProcess(ctx, *path, *n)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(stdout)
	if err := json.NewEncoder(w).Encode(&result); err != nil {
		return err
	}
	return w.Flush()
}

// inProcess checks a file by the first n rules, with all processors that this process may use.
func inProcess(ctx context.Context, path string, n int) (result engineResult, err error) {
	checker, indexes, err := peopleChecker(n)
	if err != nil {
		return result, err
	}
	in, err := os.Open(path)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	before, err := cpuOf(os.Getpid())
	if err != nil {
		return result, err
	}
	began := time.Now()
	found, err := checker.CheckFile(ctx, in, quality.FileConfig{})
	wall := time.Since(began)
	if err != nil {
		return result, err
	}
	after, err := cpuOf(os.Getpid())
	if err != nil {
		return result, err
	}
	if found.Unreadable > 0 {
		return result, fmt.Errorf("%d records were not readable", found.Unreadable)
	}
	result = engineResult{
		Version: runtime.Version(), Counts: []int64{found.Rows}, Wall: wall.Seconds(),
		CPU: (after - before).Seconds(), PeakRSS: memory(os.Getpid(), "VmHWM"),
	}
	for _, i := range indexes {
		result.Counts = append(result.Counts, found.Failed[i])
	}
	return result, nil
}

// peopleChecker compiles the first n rules, and says which of the checker's they are. The
// checker has those besides that every field has.
func peopleChecker(n int) (*quality.Checker, []int, error) {
	d, err := dictionary.Builtin()
	if err != nil {
		return nil, nil, err
	}
	rules := peopleRules(communeList)[:n]
	var given []dictionary.Rule
	for i := range rules {
		if rules[i].rule.Code != quality.RuleType {
			given = append(given, rules[i].rule)
		}
	}
	at, err := time.Parse(time.RFC3339, checkedAt)
	if err != nil {
		return nil, nil, err
	}
	checker, err := quality.Compile(peopleShape(), given, quality.DictionaryLists(d), func() time.Time { return at })
	if err != nil {
		return nil, nil, err
	}
	indexes := make([]int, n)
	for i := range rules {
		if indexes[i] = checker.RuleIndex(rules[i].rule.Code, rules[i].rule.Field); indexes[i] < 0 {
			return nil, nil, fmt.Errorf("no rule %s of %s", rules[i].rule.Code, rules[i].rule.Field)
		}
	}
	return checker, indexes, nil
}

// postgres loads the file into a private PostgreSQL and runs both sets of rules there.
func (b *qualityBench) postgres(ctx context.Context) (err error) {
	if b.postgresRows == 0 {
		return nil
	}
	b.say("PostgreSQL loads %d rows", b.postgresRows)
	server, err := pgtest.Start(b.dir, "shared_buffers=1GB", "max_wal_size=8GB", "autovacuum=off",
		"max_parallel_workers="+strconv.Itoa(b.workers), "max_parallel_workers_per_gather="+strconv.Itoa(b.workers-1))
	if err != nil {
		return err
	}
	defer server.Close()
	conn, err := pgx.Connect(ctx, server.DSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	columns := make([]string, 0, len(peopleHeader()))
	for _, name := range peopleHeader() {
		columns = append(columns, name+" text")
	}
	for _, statement := range []string{
		"SET TimeZone = 'UTC'",
		"CREATE UNLOGGED TABLE people (" + strings.Join(columns, ", ") + ")",
		"CREATE TABLE codes AS SELECT unnest(ARRAY['" + strings.Join(b.communes, "', '") + "']) AS code",
		"ANALYZE codes",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	in, err := os.Open(b.csv)
	if err != nil {
		return err
	}
	_, err = conn.PgConn().CopyFrom(ctx, firstLines(in, b.postgresRows+1), "COPY people FROM STDIN (FORMAT csv, HEADER)")
	if err := errors.Join(err, in.Close()); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "VACUUM (ANALYZE) people"); err != nil {
		return err
	}
	var version string
	if err := conn.QueryRow(ctx, "SHOW server_version").Scan(&version); err != nil {
		return err
	}
	for _, n := range []int{20, 30} {
		b.say("PostgreSQL, %d rules", n)
		result := engineResult{Counts: make([]int64, n+1), Version: version}
		into := make([]any, n+1)
		for i := range into {
			into[i] = &result.Counts[i]
		}
		before, err := cpuOfTree(server.PID())
		if err != nil {
			return err
		}
		began := time.Now()
		if err := conn.QueryRow(ctx, pgQuery("people", b.rules[:n])).Scan(into...); err != nil {
			return err
		}
		result.Wall = time.Since(began).Seconds()
		after, err := cpuOfTree(server.PID())
		if err != nil {
			return err
		}
		result.CPU = (after - before).Seconds()
		line := b.line("postgres_quality", n, []engineResult{result})
		line.Rounds, line.Note = nil, "a table of text columns that COPY had loaded before"
		if b.postgresRows != b.rows {
			line.Note += "; fewer rows than the others, so the counts are not compared"
			line.CPU, line.PerSecond = round(line.CPU), round(line.PerSecond)
			if err := b.encoder.Encode(&line); err != nil {
				return err
			}
			continue
		}
		if err := b.print(&line, []engineResult{result}); err != nil {
			return err
		}
	}
	return nil
}

// firstLines reads so many lines. The file has no line end inside a cell.
func firstLines(in io.Reader, lines int64) io.Reader { return &lineLimit{in: in, left: lines} }

type lineLimit struct {
	in   io.Reader
	left int64
}

func (l *lineLimit) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	n, err := l.in.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			if l.left--; l.left == 0 {
				return i + 1, nil
			}
		}
	}
	return n, err
}

// Command bench measures the platform beside a reference in the same run, so
// that a figure says something on any machine, however busy.
//
//	go run ./bench sync -rows 1000000 -changes 200000
//
// measures synchronisation through the whole platform (a node and a hub as processes of
// their own, with mapping, checks, signatures, spool, ledger and audit log): from
// PostgreSQL beside PostgreSQL's own logical replication of the same table, from MariaDB
// beside mariadb-dump and a replica, from CSV files and workbooks beside COPY, and with
// -peers beside other programs that are on PATH. It prints one JSON object a line. The
// figures to trust are CPU microseconds per row, of all processes of either side, and
// their ratio; wall time depends on who else uses the machine. docs/benchmarks.md
// explains them.
//
//	go run ./bench quality
//
// measures the checks of a register of persons, CSV to counts per rule, beside the same
// checks as SQL in DuckDB and in PostgreSQL on the same rows, and fails when a count differs.
//
//	go run ./bench linkage
//
// measures how duplicates are found among generated persons and organisations of whom it
// is known who is entered twice: time, memory, precision and recall.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run does what the first argument says. "hub" and "node" are the program itself,
// started again as the process that is measured.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to measure: sync, quality or linkage")
	}
	switch name, args := args[0], args[1:]; name {
	case "sync":
		config := syncConfig{out: newPrinter(stdout), progress: stderr}
		flags := flag.NewFlagSet("sync", flag.ContinueOnError)
		flags.SetOutput(stderr)
		flags.Int64Var(&config.rows, "rows", 500_000, "rows of the snapshot, from PostgreSQL and from MariaDB")
		flags.Int64Var(&config.changes, "changes", 100_000, "single-row transactions of the stream")
		flags.IntVar(&config.lagSeconds, "lag-seconds", 10, "length of each lag measurement")
		flags.Int64Var(&config.fileRows, "file-rows", 1_000_000, "rows of the imported CSV files; workbooks have a fifth of it")
		flags.StringVar(&config.only, "only", "", "comma-separated parts: snapshot, reconcile, stream, lag, native (the references), maria, files. Default: all. A snapshot always runs before the parts that need it")
		flags.BoolVar(&config.peers, "peers", false, "measure other programs that are on PATH too: pgstream, conduit, pgcopydb, ingestr")
		flags.DurationVar(&config.peerBudget, "peer-budget", 3*time.Minute, "how long each part of such a program may take")
		flags.StringVar(&config.profiles, "profile", "", "write CPU and allocation profiles of node and hub into this directory")
		flags.BoolVar(&config.binary, "binary", false, "measure native replication in binary format too")
		flags.StringVar(&config.dir, "dir", "", "where to put databases and data. Default: a temporary directory")
		flags.StringVar(&config.logLevel, "log-level", "error", "of node and hub")
		if err := flags.Parse(args); err != nil {
			return err
		}
		return runSync(ctx, config)
	case "quality":
		config, err := parseQuality(args, stdout, stderr)
		if err != nil {
			return err
		}
		return runQuality(ctx, config)
	case "quality-check":
		return runQualityCheck(ctx, args, stdout, stderr)
	case "linkage":
		config, err := parseLinkage(args, stdout, stderr)
		if err != nil {
			return err
		}
		return runLinkage(ctx, config)
	case "hub", "node":
		return runRole(ctx, name, args, stdin, stdout, stderr)
	default:
		return fmt.Errorf("unknown measurement %q: sync, quality or linkage", name)
	}
}

// line is one measurement.
type line struct {
	Name      string             `json:"name"`
	Rows      int64              `json:"rows,omitempty"`
	Wall      float64            `json:"wall_s,omitempty"`
	PerSecond float64            `json:"rows_per_s,omitempty"`
	CPU       float64            `json:"cpu_us_per_row,omitempty"`
	ByProcess map[string]float64 `json:"cpu_us_by_process,omitempty"`
	PeakRSS   float64            `json:"peak_rss_mb,omitempty"`      // of the larger of node and hub
	NodeRSS   float64            `json:"node_rss_mb,omitempty"`      // peak
	HubRSS    float64            `json:"hub_rss_mb,omitempty"`       // peak
	NodeNow   float64            `json:"node_rss_now_mb,omitempty"`  // resident at the end
	NodeAnon  float64            `json:"node_anon_now_mb,omitempty"` // of it not pages of the program file
	Ratio     float64            `json:"ratio,omitempty"`            // CPU per row over the reference's
	Asked     float64            `json:"asked_per_s,omitempty"`      // transactions a second that a lag was to be measured at
	Offered   float64            `json:"offered_per_s,omitempty"`    // and those that the writers committed
	Held      *bool              `json:"rate_held,omitempty"`        // whether they are the same
	P50       float64            `json:"p50_ms,omitempty"`
	P99       float64            `json:"p99_ms,omitempty"`
	Samples   int64              `json:"samples,omitempty"`
	Equal     *bool              `json:"equal,omitempty"` // count and content hash of both ends
	Version   string             `json:"version,omitempty"`
	Note      string             `json:"note,omitempty"`
	Error     string             `json:"error,omitempty"` // why a peer has no figures
}

// printer writes JSON lines with rounded figures.
type printer struct{ encoder *json.Encoder }

func newPrinter(w io.Writer) *printer { return &printer{json.NewEncoder(w)} }

func (p *printer) print(l *line) error {
	for _, f := range []*float64{&l.Wall, &l.PerSecond, &l.CPU, &l.PeakRSS, &l.NodeRSS, &l.HubRSS, &l.NodeNow, &l.NodeAnon, &l.Ratio, &l.Asked, &l.Offered, &l.P50, &l.P99} {
		*f = round(*f)
	}
	for k, v := range l.ByProcess {
		l.ByProcess[k] = round(v)
	}
	return p.encoder.Encode(l)
}

func round(f float64) float64 { return float64(int64(f*100+0.5)) / 100 }

// parts are those that were asked for by name.
func (c *syncConfig) parts() []string {
	if c.only == "" {
		return nil
	}
	names := strings.Split(c.only, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// wants reports whether a part is to be measured.
func (c *syncConfig) wants(part string) bool {
	return c.only == "" || slices.Contains(c.parts(), part)
}

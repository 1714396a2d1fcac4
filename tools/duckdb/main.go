// Command duckdb runs SQL in DuckDB for the benchmark of quality checks: the statements on
// standard input, separated by lines of "---", of which the last is measured. It prints one
// JSON object with the first row of that one's result and what it cost.
//
// It is a module of its own because DuckDB needs a C++ compiler: the platform is built
// without one, and never sees this.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
)

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "duckdb:", err)
		os.Exit(1)
	}
}

// result is what the benchmark reads.
type result struct {
	Version string  `json:"version"`
	Counts  []int64 `json:"counts"`
	Wall    float64 `json:"wall_s"`
	CPU     float64 `json:"cpu_s"`
	PeakRSS float64 `json:"peak_rss_mb"`
}

func run(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	statements := strings.Split(string(text), "\n---\n")
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer func() {
		if closed := db.Close(); err == nil {
			err = closed
		}
	}()
	conn, err := db.Conn(ctx) // one connection: settings belong to it
	if err != nil {
		return err
	}
	last := len(statements) - 1
	for _, statement := range statements[:last] {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%.60q: %w", statement, err)
		}
	}
	var r result
	if err := conn.QueryRowContext(ctx, "SELECT version()").Scan(&r.Version); err != nil {
		return err
	}
	before, began := cpu(), time.Now()
	rows, err := conn.QueryContext(ctx, statements[last])
	if err != nil {
		return err
	}
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	r.Counts = make([]int64, len(columns))
	into := make([]any, len(columns))
	for i := range into {
		into[i] = &r.Counts[i]
	}
	if rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := rows.Close(); err != nil {
		return err
	}
	r.Wall, r.CPU = time.Since(began).Seconds(), cpu()-before
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	r.PeakRSS = float64(usage.Maxrss) / 1024
	if err := conn.Close(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// cpu is the user and system time of this process in seconds.
func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

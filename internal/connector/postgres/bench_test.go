package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const wide = `id bigint PRIMARY KEY, number text, name text, sex text, born date, address text, registered timestamptz,
	alive boolean, amount numeric(12,2), commune int, note text, changed timestamptz`

func wideRows(from, to int) string {
	return fmt.Sprintf(`SELECT g, lpad(g::text, 12, '0'), 'Nguyễn Thị Ánh ' || g, 'nữ', date '1980-01-01' + g %% 9000,
	'xã Tân Thuận, tỉnh Cà Mau, số nhà ' || g, now(), true, g * 1.25, g %% 3321, NULL, now() FROM generate_series(%d, %d) g`, from, to)
}

// BenchmarkStream drains 200,000 single-row transactions that are waiting.
func BenchmarkStream(b *testing.B) {
	const rows = 200_000
	dsn := own(b, "synchronous_commit=off").Database(b)
	conn := connectTo(b, dsn)
	exec(b, conn, "CREATE TABLE t ("+wide+")",
		`CREATE PROCEDURE fill(n int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP
		 INSERT INTO t `+"SELECT i, lpad(i::text, 12, '0'), 'Nguyễn Thị Ánh ' || i, 'nữ', date '1980-01-01', 'xã Tân Thuận, tỉnh Cà Mau', now(), true, 1.25, 7, NULL, now()"+`;
		 COMMIT; END LOOP; END $$`)
	s := openSource(b, dsn)
	pos, err := s.Start(b.Context(), []string{"public.t"})
	if err != nil {
		b.Fatal(err)
	}
	exec(b, conn, fmt.Sprintf("CALL fill(%d)", rows))
	for b.Loop() {
		sink := &counting{until: rows, sender: func() time.Duration { return senderCPU(b, conn) }}
		begin, used := time.Now(), cpu()
		if err := s.Stream(b.Context(), pos, sink); !errors.Is(err, errStop) {
			b.Fatal(err)
		}
		b.ReportMetric(float64(rows)/time.Since(begin).Seconds(), "rows/s")
		b.ReportMetric(float64((cpu()-used).Microseconds())/rows, "cpu-us/row")
		b.ReportMetric(float64(sink.sent.Microseconds())/rows, "walsender-us/row")
		b.ReportMetric(float64(sink.idles), "idles")
	}
}

type counting struct {
	nothing
	until, idles int
	sender       func() time.Duration
	sent         time.Duration // what the server's side of the stream cost
}

// senderCPU is the CPU time of the process that streams, which ends with the stream.
func senderCPU(b *testing.B, conn *pgx.Conn) time.Duration {
	b.Helper()
	var pid int
	if err := conn.QueryRow(b.Context(), "SELECT active_pid FROM pg_replication_slots WHERE active").Scan(&pid); err != nil {
		b.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("this system does not tell the CPU time of another process")
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func (c *counting) Idle() error { c.idles++; return nil }
func (c *counting) Commit(lienthong.Position) error {
	if c.rows >= c.until {
		c.sent = c.sender()
		return errStop
	}
	return nil
}

// BenchmarkView reads 1,000,000 rows of 12 columns by two readers.
func BenchmarkView(b *testing.B) {
	const rows = 1_000_000
	dsn := own(b).Database(b)
	conn := connectTo(b, dsn)
	exec(b, conn, "CREATE TABLE t ("+wide+")", "INSERT INTO t "+wideRows(1, rows), "ANALYZE t")
	s := openSource(b, dsn)
	if _, err := s.Start(b.Context(), []string{"public.t"}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		view, err := s.View(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		chunks, err := view.Chunks(b.Context(), 0, 20_000)
		if err != nil {
			b.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin, used := time.Now(), cpu()
		work := make(chan connector.Chunk, len(chunks))
		for _, chunk := range chunks {
			work <- chunk
		}
		close(work)
		var wg sync.WaitGroup
		var mu sync.Mutex
		total := 0
		for range 2 {
			wg.Go(func() {
				n := 0
				for chunk := range work {
					if err := view.Read(b.Context(), 0, chunk, func(*connector.Row) error { n++; return nil }); err != nil {
						b.Error(err)
					}
				}
				mu.Lock()
				total += n
				mu.Unlock()
			})
		}
		wg.Wait()
		runtime.ReadMemStats(&after)
		if total != rows {
			b.Fatalf("%d rows", total)
		}
		b.ReportMetric(float64(rows)/time.Since(begin).Seconds(), "rows/s")
		b.ReportMetric(float64((cpu()-used).Nanoseconds())/rows, "cpu-ns/row")
		b.ReportMetric(float64(after.Mallocs-before.Mallocs)/rows, "allocs/row")
		if err := view.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

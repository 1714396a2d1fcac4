package mysql_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/connector/mysql"
)

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const wide = `CREATE TABLE t (id bigint PRIMARY KEY, number varchar(12), name varchar(100), sex varchar(10), born date, address varchar(200),
	registered datetime(6), alive bit(1), amount decimal(12,2), commune int, note text, changed datetime(6))`

func wideRows(from, to int) string {
	return fmt.Sprintf(`INSERT INTO t SELECT seq, LPAD(seq, 12, '0'), CONCAT('Nguyễn Thị Ánh ', seq), 'nữ', DATE('1980-01-01') + INTERVAL seq %% 9000 DAY,
	CONCAT('xã Tân Thuận, tỉnh Cà Mau, số nhà ', seq), NOW(6), 1, seq * 1.25, seq %% 3321, NULL, NOW(6) FROM seq_%d_to_%d`, from, to)
}

var errStop = errors.New("enough")

// counting counts rows and stops at the end of the transaction in which there are enough.
type counting struct{ rows, until int }

func (c *counting) Begin(lienthong.Position, int64) error { return nil }
func (c *counting) Change(*connector.Row) error           { c.rows++; return nil }
func (c *counting) Truncate(int, int64, int64) error      { return nil }
func (c *counting) Schema(int, connector.Table) error     { return nil }
func (c *counting) Idle() error                           { return nil }
func (c *counting) Commit(lienthong.Position) error {
	if c.rows >= c.until {
		return errStop
	}
	return nil
}

func benchmarkStream(b *testing.B, rows int, fill ...string) {
	w := newWorld(b, own(b))
	w.exec(wide)
	source, err := mysql.Open(mysql.Config{DSN: w.dsn, Name: "w", StateDir: w.state})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	pos, err := source.Start(b.Context(), []string{w.name + ".t"})
	if err != nil {
		b.Fatal(err)
	}
	w.exec(fill...)
	for b.Loop() {
		sink := &counting{until: rows}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin, used := time.Now(), cpu()
		if err := source.Stream(b.Context(), pos, sink); !errors.Is(err, errStop) {
			b.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(rows)/time.Since(begin).Seconds(), "rows/s")
		b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(rows), "cpu-ns/row")
		b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(rows), "allocs/row")
	}
}

// BenchmarkStream drains 100,000 transactions of one row that are waiting.
func BenchmarkStream(b *testing.B) {
	const rows = 100_000
	benchmarkStream(b, rows, `CREATE PROCEDURE fill(n int) BEGIN DECLARE i int DEFAULT 1; WHILE i <= n DO
		INSERT INTO t VALUES (i, LPAD(i, 12, '0'), CONCAT('Nguyễn Thị Ánh ', i), 'nữ', '1980-01-01', 'xã Tân Thuận, tỉnh Cà Mau', NOW(6), 1, 1.25, 7, NULL, NOW(6));
		SET i = i + 1; END WHILE; END`, fmt.Sprintf("CALL fill(%d)", rows))
}

// BenchmarkStreamLarge drains one transaction of 500,000 rows.
func BenchmarkStreamLarge(b *testing.B) { benchmarkStream(b, 500_000, wideRows(1, 500_000)) }

// BenchmarkView reads 500,000 rows of 12 columns by two readers.
func BenchmarkView(b *testing.B) {
	const rows = 500_000
	w := newWorld(b, own(b))
	w.exec(wide, wideRows(1, rows))
	source, err := mysql.Open(mysql.Config{DSN: w.dsn, Name: "w", StateDir: w.state})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	if _, err := source.Start(b.Context(), []string{w.name + ".t"}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		view, err := source.View(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		walk := time.Now()
		chunks, err := view.Chunks(b.Context(), 0, 20_000)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(walk).Milliseconds()), "chunks-ms")
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

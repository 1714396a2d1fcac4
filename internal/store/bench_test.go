package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// citizens is a shape of 12 columns such as a population register has.
func citizens() *lienthong.Shape {
	shape := &lienthong.Shape{Dataset: lienthong.DatasetID{Database: "bench", Name: "citizen"}, Version: 1, Identity: []int{0}}
	for _, f := range []struct {
		name string
		kind lienthong.Kind
	}{
		{"number", lienthong.Text},
		{"full_name", lienthong.Text},
		{"born", lienthong.Date},
		{"sex", lienthong.Integer},
		{"commune", lienthong.Text},
		{"address", lienthong.Text},
		{"father", lienthong.Text},
		{"mother", lienthong.Text},
		{"marital", lienthong.Integer},
		{"alive", lienthong.Boolean},
		{"income", lienthong.Decimal},
		{"updated", lienthong.Timestamp},
	} {
		shape.Fields = append(shape.Fields, lienthong.Field{Name: f.name, Kind: f.kind})
	}
	return shape
}

func citizen(n int, version int64) lienthong.Change {
	id := fmt.Sprintf("%012d", n)
	return lienthong.Change{
		Op: lienthong.Upsert, ID: []byte(id), Version: version, At: clock.UnixMicro(),
		Values: []lienthong.Value{
			text(id), text("Nguyễn Văn Nhân " + strconv.Itoa(n)), number(int64(n % 20000)), number(int64(n % 2)),
			text("31825"), text("Số 12, ấp " + strconv.Itoa(n%97) + ", xã Đất Mũi"), text(fmt.Sprintf("%012d", n/2)), text(fmt.Sprintf("%012d", n/3)),
			number(int64(n % 5)), number(1), text(strconv.Itoa(n) + ".50"), number(clock.UnixMicro() + int64(n)),
		},
	}
}

// encoded is a batch as landing hands it over: rows in the wire's form.
func encoded(shape *lienthong.Shape, changes []lienthong.Change) func() Rows {
	var raw []byte
	for i := range changes {
		raw = batch.AppendRow(raw, shape, &changes[i])
	}
	return func() Rows { return batch.NewRows(shape, raw, len(changes)) }
}

// cpu is the processor time of this process and of the servers below it so far.
func cpu(tb testing.TB, postmaster int) (own, others time.Duration) {
	tb.Helper()
	var u syscall.Rusage
	check(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	own = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	if postmaster == 0 {
		return own, 0
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	check(tb, err)
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		pid := filepath.Base(filepath.Dir(path))
		ticks := 0
		switch {
		case pid == strconv.Itoa(postmaster): // with the children that have ended
			for _, i := range []int{11, 12, 13, 14} {
				n, _ := strconv.Atoi(fields[i])
				ticks += n
			}
		case fields[1] == strconv.Itoa(postmaster):
			for _, i := range []int{11, 12} {
				n, _ := strconv.Atoi(fields[i])
				ticks += n
			}
		}
		others += time.Duration(ticks) * 10 * time.Millisecond
	}
	return own, others
}

// BenchmarkLanding measures a first load, a stream of changes and a digest.
func BenchmarkLanding(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, size := range []int{1000, 5000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", engine, size), func(b *testing.B) {
				rows := 100_000
				if v, err := strconv.Atoi(os.Getenv("LIENTHONG_BENCH_ROWS")); err == nil {
					rows = v
				}
				for b.Loop() {
					var s *Store
					if engine == "sqlite" {
						s = openLite(b)
						landing(b, s, 0, rows, size)
					} else {
						s = openPG(b, server.Database(b))
						landing(b, s, server.PID(), rows, size)
					}
				}
			})
		}
	}
}

func landing(b *testing.B, s *Store, postmaster, rows, size int) {
	b.Helper()
	shape := citizens()
	p := newSender(b, s, shape, "bench")
	measure := func(name string, n int, f func()) {
		own, others := cpu(b, postmaster)
		start := time.Now()
		f()
		wall := time.Since(start)
		own2, others2 := cpu(b, postmaster)
		per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(n) }
		b.ReportMetric(per(own2-own), name+"_own_us/row")
		b.ReportMetric(per(others2-others), name+"_server_us/row")
		b.ReportMetric(float64(n)/wall.Seconds(), name+"_rows/s")
	}
	apply := func(kind lienthong.BatchKind, batches []func() Rows, group int) {
		for len(batches) > 0 {
			n := min(group, len(batches))
			items := make([]Item, n)
			for i := range items {
				items[i] = p.item(kind)
				items[i].Header.Count = size
				items[i].Rows = batches[i]()
			}
			_, err := s.Apply(context.Background(), items)
			check(b, err)
			batches = batches[n:]
		}
	}
	var snapshot, stream []func() Rows
	var changes []lienthong.Change
	for n := range rows {
		if changes = append(changes, citizen(n, 1)); len(changes) == size {
			snapshot = append(snapshot, encoded(shape, changes))
			changes = changes[:0]
		}
	}
	streamed := rows / 2
	for n := range streamed {
		c := citizen(n*7919%rows, int64(2+n)) // update
		switch n % 10 {
		case 0, 1, 2: // insert
			c = citizen(rows+n, int64(2+n))
		case 9:
			c.Op = lienthong.Delete
			for i := range c.Values[1:] {
				c.Values[i+1] = unchanged
			}
		}
		if changes = append(changes, c); len(changes) == size {
			stream = append(stream, encoded(shape, changes))
			changes = changes[:0]
		}
	}
	measure("snapshot", len(snapshot)*size, func() { apply(lienthong.SnapshotBatch, snapshot, 1) })
	if len(stream) > 0 {
		measure("stream", len(stream)*size, func() { apply(lienthong.ChangesBatch, stream, 1) })
	}
	measure("digest", rows, func() {
		view, err := s.Freeze(context.Background())
		check(b, err)
		_, err = view.Digest(context.Background(), p.stream, shape)
		check(b, err)
		check(b, view.Close())
	})
}

package push_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lienthong/lienthong/internal/connector/push"
)

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// measured reports records a second and the processor time of each, client included.
func measured(b *testing.B, records int, work func()) {
	b.Helper()
	before, began := cpu(b), time.Now()
	work()
	b.ReportMetric(float64(records)/time.Since(began).Seconds(), "records/s")
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(records), "cpu-us/record")
	b.ReportMetric(0, "ns/op")
}

func benchPerson(id int) message {
	return person(fmt.Sprintf("%09d", id), 1,
		text("SoDienThoai", "0901234567"), literal("SoCon", "2"), literal("MaHo", "123456789"), literal("ThuNhap", "1.5"),
		literal("DaKetHon", "true"), text("NgaySinh", "1990-02-28"), text("LanCuoi", "2026-01-01T07:00:00"),
		field{name: "DiaChi", kind: 'o', members: []field{text("Xa", "31825"), text("SoNha", "12 Lê Lợi")}})
}

// BenchmarkSingle: one record a request, 50 callers at a time, captured.
func BenchmarkSingle(b *testing.B) {
	n := start(b, []push.Schema{people()})
	if _, err := n.source.Start(b.Context(), []string{"TH_G01_CONGDAN"}); err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	bodies := make([]string, b.N)
	for i := range bodies {
		bodies[i] = benchPerson(i).JSON()
	}
	b.ResetTimer()
	measured(b, b.N, func() {
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				for {
					i := int(next.Add(1)) - 1
					if i >= b.N {
						return
					}
					if got, err := n.request(b.Context(), "POST", "/push/v1/messages", inJSON, bodies[i]); err != nil || got.status != 201 {
						b.Errorf("%v %s", err, got.raw)
						return
					}
				}
			})
		}
		callers.Wait()
	})
}

// BenchmarkBatch: 10,000 records a request.
func BenchmarkBatch(b *testing.B) {
	for _, form := range []struct {
		name, contentType string
		encode            func(...message) string
	}{{"json", inJSON, batchJSON}, {"xml", inXML, batchXML}} {
		b.Run(form.name, func(b *testing.B) {
			const records = 10_000
			n := start(b, []push.Schema{people()})
			if _, err := n.source.Start(b.Context(), []string{"TH_G01_CONGDAN"}); err != nil {
				b.Fatal(err)
			}
			bodies := make([]string, b.N)
			for i := range bodies {
				messages := make([]message, records)
				for j := range messages {
					messages[j] = benchPerson(i*records + j)
				}
				bodies[i] = form.encode(messages...)
			}
			b.ResetTimer()
			measured(b, b.N*records, func() {
				for _, body := range bodies {
					if got := n.post(form.contentType, body); got.status != 200 || got.Accepted != records {
						b.Fatalf("%d %.300s", got.status, got.raw)
					}
				}
			})
		})
	}
}

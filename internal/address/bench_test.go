//go:build unix

package address

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// processorTime is what the process has used, which other work on the machine does not change.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkStandardise reads a mix as registers hold it: both periods, all styles, one in ten with a
// typing error, those that need a person among them.
func BenchmarkStandardise(b *testing.B) {
	s, d := newStandardiser(b)
	for _, mix := range []struct {
		name   string
		erring float64
	}{{"as written", 0}, {"one in ten misspelt", 0.1}, {"all misspelt", 1}} {
		b.Run(mix.name, func(b *testing.B) {
			list := generate(d, rand.New(rand.NewPCG(1, 7)), 20_000, mix.erring)
			for _, l := range list {
				s.Standardise(l.text, l.asOf)
			}
			b.ReportAllocs()
			asked, n := 0, 0
			start := processorTime(b)
			for b.Loop() {
				l := &list[n%len(list)]
				if r := s.Standardise(l.text, l.asOf); r.Question != nil {
					asked++
				}
				n++
			}
			b.ReportMetric(float64(n)/(processorTime(b)-start).Seconds(), "addresses/core-s")
			b.ReportMetric(100*float64(asked)/float64(n), "%asked")
		})
	}
}

func BenchmarkCode(b *testing.B) {
	s, d := newStandardiser(b)
	links := d.Links()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Code(links[i%len(links)].OldCode, before())
		i++
	}
}

func BenchmarkNew(b *testing.B) {
	_, d := shared()
	b.ReportAllocs()
	for b.Loop() {
		New(d, Config{Now: fixed})
	}
}

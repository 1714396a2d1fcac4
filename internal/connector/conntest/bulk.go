package conntest

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// What a transaction of a million rows may cost.
const (
	bulkRows   = 1_000_000
	bulkShort  = 100_000 // under -short
	bulkMemory = 200 << 20
	bulkTime   = 10 * time.Minute
)

var errTallied = errors.New("all rows have arrived")

// tally is a Sink that remembers which rows came, in one bit each: the memory that is
// measured is the connector's.
type tally struct {
	first, count int
	seen         []uint64
	rows, twice  int
	strange      int // rows that are none of ours
	begins       int
	open         bool
	done         bool
}

func (c *tally) Begin(lienthong.Position, int64) error {
	c.begins++
	c.open = true
	return nil
}

func (c *tally) Change(row *connector.Row) error {
	id := &row.Values[0]
	n, err := strconv.Atoi(string(id.Bytes))
	n -= c.first
	if err != nil || id.State != lienthong.Present || row.Op != lienthong.Upsert || n < 0 || n >= c.count || row.Version <= 0 {
		c.strange++
		return nil
	}
	if c.seen[n/64]&(1<<(n%64)) != 0 {
		c.twice++
	}
	c.seen[n/64] |= 1 << (n % 64)
	c.rows++
	return nil
}

func (c *tally) Truncate(int, int64, int64) error    { return nil }
func (c *tally) Schema(int, connector.Table) error   { return nil }
func (c *tally) Idle() error                         { return c.ended() }
func (c *tally) Commit(pos lienthong.Position) error { c.open = false; return c.ended() }

func (c *tally) ended() error {
	if !c.open && c.rows >= c.count {
		c.done = true
		return errTallied
	}
	return nil
}

// bulk streams one transaction of a million rows in bounded memory.
func (s *suite) bulk() {
	count := bulkRows
	if testing.Short() {
		count = bulkShort
	}
	table := s.people("people")
	source := s.open()
	pos := s.start(source, table)
	ctx, cancel := context.WithTimeout(context.Background(), bulkTime)
	defer cancel()
	s.must(s.h.Bulk(ctx, table, 1, count))
	debug.FreeOSMemory()
	before, measured := memory("VmRSS:")
	// From here on the kernel counts the peak anew.
	measured = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil && measured
	c := &tally{first: 1, count: count, seen: make([]uint64, count/64+1)}
	begin := time.Now()
	if err := source.Stream(ctx, pos, c); !errors.Is(err, errTallied) {
		s.t.Fatalf("Stream: %v; %d rows had arrived", err, c.rows)
	}
	if c.rows != count || c.twice != 0 || c.strange != 0 {
		s.t.Errorf("%d rows arrived, %d of them twice, %d strange; want %d once", c.rows, c.twice, c.strange, count)
	}
	if s.h.Capabilities.Transactions && c.begins != 1 {
		s.t.Errorf("one transaction arrived as %d", c.begins)
	}
	peak, _ := memory("VmHWM:")
	if !measured {
		s.t.Logf("%d rows in %s; this system does not tell the peak of memory", count, time.Since(begin))
		return
	}
	s.t.Logf("%d rows in %s, %d MB of memory at most, %d MB of them more than before",
		count, time.Since(begin).Round(time.Millisecond), peak>>20, (peak-before)>>20)
	if peak-before > bulkMemory && !raceDetector {
		s.t.Errorf("a transaction of %d rows took %d MB", count, (peak-before)>>20)
	}
}

// memory reads a figure of this process in bytes.
func memory(name string) (int64, bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		if after, found := strings.CutPrefix(line, name); found {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(after), "kB")), 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}

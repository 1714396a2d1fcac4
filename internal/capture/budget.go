package capture

import (
	"context"
	"sync"
	"time"
)

// Snapshots are a guest at the source. Readers rest after each piece of work so that they
// read no more than their share of the time and of rows, and give way to live changes.
const (
	pieceRows = 500
	pieceTime = 20 * time.Millisecond
	// giveWayFor is how long a reader waits for live changes before it does the next piece
	// all the same: a stream that never rests must not keep a first load from ending.
	giveWayFor = 250 * time.Millisecond
	// behindAfter is how long a stream may be without a moment of rest before it counts as behind.
	behindAfter = 2 * time.Second
)

// Why a snapshot waits.
const (
	pausedBudget = "budget"     // the share of time or rows is used up
	pausedLive   = "live"       // live changes go first
	pausedLog    = "source_log" // the source holds back too much log: the stream must catch up
	pausedSpool  = "spool"      // the spool or the line takes no more at the moment
)

// limiter shares rows per second among the readers.
type limiter struct {
	mu   sync.Mutex
	next time.Time
}

// take reserves rows and returns how long to wait for them.
func (l *limiter) take(now time.Time, rows, perSecond int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next.Before(now) {
		l.next = now
	}
	l.next = l.next.Add(time.Duration(rows) * time.Second / time.Duration(perSecond))
	return l.next.Sub(now)
}

// pacer paces one reader.
type pacer struct {
	capture *Capture
	load    *load
	rows    int
	began   time.Time
}

func (c *Capture) pacer(l *load) *pacer { return &pacer{capture: c, load: l, began: time.Now()} }

// row counts a row and rests when a piece is done.
func (p *pacer) row(ctx context.Context) error {
	if p.rows++; p.rows < pieceRows && (p.rows%64 != 0 || time.Since(p.began) < pieceTime) {
		return nil
	}
	return p.rest(ctx)
}

// outside runs work that is no load for the source.
func (p *pacer) outside(work func() error) error {
	began := time.Now()
	p.load.paused(pausedSpool)
	err := work()
	p.load.paused("")
	p.began = p.began.Add(time.Since(began))
	return err
}

func (p *pacer) rest(ctx context.Context) error {
	c := p.capture
	worked := time.Since(p.began)
	wait := time.Duration(0)
	if c.SnapshotShare > 0 && c.SnapshotShare < 1 {
		wait = time.Duration(float64(worked) * (1 - c.SnapshotShare) / c.SnapshotShare)
	}
	if c.SnapshotRowsPerSecond > 0 {
		wait = max(wait, c.limiter.take(time.Now(), p.rows, c.SnapshotRowsPerSecond))
	}
	if wait > 0 {
		p.load.paused(pausedBudget)
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
	for until := time.Now().Add(giveWayFor); c.liveWaits() && time.Now().Before(until); {
		p.load.paused(pausedLive)
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	for retention(c.retained.Load()) >= retainedMuch {
		p.load.paused(pausedLog)
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	p.load.paused("")
	p.rows, p.began = 0, time.Now()
	return ctx.Err()
}

// liveWaits reports whether live changes wait to be sealed, or the stream is behind.
func (c *Capture) liveWaits() bool {
	if len(c.sealer.live) > 0 || c.sink.queued.Load() {
		return true
	}
	busy := c.sink.busySince.Load()
	return busy != 0 && c.Now().UnixMicro()-busy > behindAfter.Microseconds()
}

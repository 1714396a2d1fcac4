package postgres

import (
	"io"
	"syscall"
	"time"
)

// The server sends each message on its own. A reader that keeps up would be woken
// for every one of them, and that costs more than decoding does: measured, 18 of 28 us of
// this side's CPU a change. So while messages flow, the reader lets them gather for a
// moment that is short beside what a commit takes.
const (
	gatherFor   = time.Millisecond
	gatherMost  = 8 * time.Millisecond // under a backlog, where it delays nobody
	gatherBelow = 32 << 10             // bytes at which the socket may wake us all the same
	backlogRate = 4 << 10              // bytes in a millisecond that only a backlog brings
)

// gatherer is a stream's reader that does so.
type gatherer struct {
	from   io.Reader
	socket syscall.Conn // the connection itself, below any TLS; nil when unknown

	wait time.Duration // before the next read; 0: none
}

func (g *gatherer) Read(p []byte) (int, error) {
	wait := g.wait
	if wait > 0 {
		// The socket must not wake anybody meanwhile: the runtime would see each message
		// even though nobody waits for it.
		g.quiet(gatherBelow)
		time.Sleep(wait) //nolint:forbidigo // a fraction of a millisecond, inside a read
		g.quiet(1)
	}
	start := time.Now()
	n, err := g.from.Read(p)
	switch {
	case n == len(p) || time.Since(start) >= gatherFor || n == 0:
		g.wait = 0 // there is more already, or messages come one by one
	case wait > 0 && n >= backlogRate*int(wait/time.Millisecond):
		g.wait = min(2*wait, gatherMost)
	default:
		g.wait = max(wait/2, gatherFor)
	}
	return n, err
}

// quiet sets how many bytes must have arrived before the socket counts as
// readable. Where that fails, gathering only saves less.
func (g *gatherer) quiet(bytes int) {
	if g.socket == nil {
		return
	}
	raw, err := g.socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { setLowWater(fd, bytes) })
}

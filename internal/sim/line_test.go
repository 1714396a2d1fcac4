package sim

import (
	"context"
	"net"
	"sync"
	"testing"
)

// line is the network between node and hub: a TCP proxy that can fall silent,
// forget its connections, and notice how much has gone up.
type line struct {
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	target string
	silent bool
	healed chan struct{} // closed when the line is not silent
	pairs  map[*pair]struct{}
	closed bool
	trip   *trip
}

// pair is one connection, both halves of it.
type pair struct {
	node, hub net.Conn
	lost      bool // silently: bytes vanish, nobody is told
}

// trip closes done once so many bytes have gone from the node to the hub, and lets
// nothing behind them through on any connection of that time.
type trip struct {
	left int
	done chan struct{}
}

func newLine(t *testing.T) *line {
	t.Helper()
	var listening net.ListenConfig
	listener, err := listening.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, healed: make(chan struct{}), pairs: map[*pair]struct{}{}}
	close(l.healed)
	l.running.Go(l.accept)
	return l
}

func (l *line) addr() string { return l.listener.Addr().String() }

// connect says where the hub is now.
func (l *line) connect(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

// cut makes the line silent: connections stand, nothing moves.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.silent {
		l.silent, l.healed = true, make(chan struct{})
	}
}

// What becomes of the connections that stood when the line was cut.
type aftermath int

const (
	resume aftermath = iota // what was under way arrives late
	reset                   // both ends are told that the connection is gone
	forget                  // nobody is told; what is sent on them vanishes
)

// heal ends the silence.
func (l *line) heal(then aftermath) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		switch then {
		case resume:
		case reset:
			p.close()
		case forget:
			p.lost = true
		}
	}
	l.silent = false
	close(l.healed)
}

// after arms a trip.
func (l *line) after(bytes int) (tripped <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trip = &trip{left: bytes, done: make(chan struct{})}
	return l.trip.done
}

// reset ends all connections, and tells both ends.
func (l *line) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.close()
	}
}

func (l *line) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	l.closed = true
	for p := range l.pairs {
		p.close()
	}
	if l.silent {
		l.silent = false
		close(l.healed)
	}
	l.mu.Unlock()
	l.running.Wait()
}

func (p *pair) close() {
	for _, c := range []net.Conn{p.node, p.hub} {
		if c == nil {
			continue
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not a farewell
		}
		_ = c.Close()
	}
}

func (l *line) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.carry(conn) })
	}
}

func (l *line) carry(conn net.Conn) {
	p := &pair{node: conn}
	l.mu.Lock()
	l.pairs[p] = struct{}{}
	healed := l.healed
	if l.closed {
		p.close()
	}
	l.mu.Unlock()
	<-healed // a connection that is opened into silence stays unanswered
	l.mu.Lock()
	target, lost := l.target, p.lost
	l.mu.Unlock()
	var dialing net.Dialer
	if !lost {
		if hub, err := dialing.DialContext(context.Background(), "tcp", target); err == nil {
			l.mu.Lock()
			p.hub = hub
			if l.closed {
				p.close()
			}
			l.mu.Unlock()
			var both sync.WaitGroup
			both.Go(func() { l.pump(p, conn, hub, true) })
			both.Go(func() { l.pump(p, hub, conn, false) })
			both.Wait()
		}
	}
	l.mu.Lock()
	p.close()
	delete(l.pairs, p)
	l.mu.Unlock()
}

// pump moves bytes one way.
func (l *line) pump(p *pair, from, to net.Conn, up bool) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !l.pass(p, to, buffer[:n], up) {
			return
		}
		if err != nil {
			l.mu.Lock()
			if !p.lost {
				p.close()
			}
			l.mu.Unlock()
			return
		}
	}
}

func (l *line) pass(p *pair, to net.Conn, bytes []byte, up bool) bool {
	l.mu.Lock()
	healed := l.healed
	l.mu.Unlock()
	<-healed
	l.mu.Lock()
	lost := p.lost
	var tripped chan struct{}
	if t := l.trip; up && t != nil && !lost {
		if t.left < len(bytes) {
			bytes = bytes[:t.left]
			tripped, l.trip = t.done, nil
			for other := range l.pairs {
				other.lost = true
			}
		}
		t.left -= len(bytes)
	}
	l.mu.Unlock()
	if lost {
		return true
	}
	_, err := to.Write(bytes)
	if tripped != nil {
		close(tripped)
	}
	return err == nil
}

package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// lull is how long nothing must arrive before the sink hears Idle.
const lull = time.Millisecond

// errEnough is what a visitor of the log returns when it has seen enough.
var errEnough = errors.New("enough of the log")

// logEvent is one event of the binary log.
type logEvent struct {
	kind   byte
	at     uint32 // seconds
	server uint32
	flags  uint16
	file   string
	start  uint64 // offset in the file; the offset of its end is the walker's
	body   []byte // without header and checksum
	raw    []byte
}

// walker follows the log: in which file, at which offset. The offsets are its own count,
// because the log's are of 32 bits and, inside transactions of newer MariaDB servers, missing.
type walker struct {
	file     string
	next     uint64 // offset of the next event
	checksum bool
	format   []byte // the last FORMAT_DESCRIPTION event
	made     uint32 // when the file was made
	server   uint32

	// opened is called when a file begins or is begun in the middle, before its events.
	opened func() error
	// formatted is called when the file's first event has told when the file was made.
	formatted func() error
	visit     func(*logEvent) error

	event logEvent
}

// HandleEvent implements the library's interface.
func (w *walker) HandleEvent(e *replication.BinlogEvent) error {
	switch event := e.Event.(type) {
	case *replication.RotateEvent:
		if e.Header.LogPos != 0 && e.Header.Flags&flagArtificial == 0 {
			// The end of a file. The next is announced once it is there.
			w.next = widen(w.next, e.Header.LogPos)
			return nil
		}
		w.file, w.next = string(event.NextLogName), event.Position
		if w.opened != nil {
			return w.opened()
		}
		return nil
	case *replication.FormatDescriptionEvent:
		w.checksum = event.ChecksumAlgorithm == replication.BINLOG_CHECKSUM_ALG_CRC32
		w.format, w.made, w.server = e.RawData, e.Header.Timestamp, e.Header.ServerID
		if e.Header.LogPos != 0 {
			w.next = uint64(e.Header.LogPos)
		}
		if w.formatted != nil {
			return w.formatted()
		}
		return nil
	}
	return w.take(e.RawData)
}

// take passes on one event that is neither of the above.
func (w *walker) take(raw []byte) error {
	if len(raw) < eventHeaderSize {
		return damaged(w.file)
	}
	ev := &w.event
	*ev = logEvent{
		at: binary.LittleEndian.Uint32(raw), kind: raw[4], server: binary.LittleEndian.Uint32(raw[5:]),
		flags: binary.LittleEndian.Uint16(raw[17:]), file: w.file, start: w.next, body: raw[eventHeaderSize:], raw: raw,
	}
	if w.checksum {
		if len(ev.body) < 4 {
			return damaged(w.file)
		}
		ev.body = ev.body[:len(ev.body)-4]
	}
	end := binary.LittleEndian.Uint32(raw[13:])
	switch {
	case ev.kind == eventHeartbeat || ev.kind == eventHeartbeatV2 || ev.flags&flagArtificial != 0 || ev.kind == eventMariaGTIDList && end == 0:
		// Made for us; not in the file.
	case end == 0:
		w.next += uint64(binary.LittleEndian.Uint32(raw[9:]))
	default:
		w.next = widen(w.next, end)
	}
	return w.visit(ev)
}

// widen finds the offset at or after one, of which the log gives the lower 32 bits.
func widen(from uint64, low uint32) uint64 {
	n := from&^0xffff_ffff | uint64(low)
	if n < from {
		n += 1 << 32
	}
	return n
}

// tap is the connection that the log comes through. It knows when nothing is waiting, and
// can be ended from outside. Reads and events are of one goroutine.
type tap struct {
	net.Conn
	idle    func() error // nil when nobody asks
	silence time.Duration
	live    *atomic.Bool // events have begun
	ended   *atomic.Bool
	told    bool // of this pause
}

func (t *tap) Read(p []byte) (int, error) {
	if !t.live.Load() {
		return t.Conn.Read(p)
	}
	if t.idle != nil && !t.told {
		n, err := t.within(p, lull)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || t.ended.Load() {
			return n, err
		}
		t.told = true
		if err := t.idle(); err != nil {
			return 0, err
		}
	}
	n, err := t.within(p, t.silence)
	t.told = t.told && n == 0
	return n, err
}

func (t *tap) within(p []byte, wait time.Duration) (int, error) {
	if err := t.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	if t.ended.Load() {
		return 0, os.ErrDeadlineExceeded // it may have been ended before the deadline was set
	}
	return t.Conn.Read(p)
}

// dump reads the log from a place until the visitor has enough, ctx ends or the connection
// breaks. The visitor's own error is returned apart.
func (s *Source) dump(ctx context.Context, srv *server, id uint32, from *token, w *walker, idle func() error) (own, err error) {
	var live, ended, closing atomic.Bool
	var conn atomic.Pointer[tap]
	// The library would make an error of a panic in what it calls, as if the connection had
	// failed. Ours come out where Stream was called.
	var panicked any
	guard := func(call func() error) error {
		defer func() {
			if panicked = recover(); panicked != nil {
				own = errEnough
			}
		}()
		own = call()
		return own
	}
	handle := func(e *replication.BinlogEvent) error {
		live.Store(true)
		if ended.Load() {
			return context.Canceled
		}
		if err := guard(func() error { return w.HandleEvent(e) }); err != nil || panicked == nil {
			return err
		}
		return errEnough
	}
	watched := idle
	if idle != nil {
		watched = func() error {
			if err := guard(idle); err != nil || panicked == nil {
				return err
			}
			return errEnough
		}
	}
	cfg := replication.BinlogSyncerConfig{
		ServerID: id, Flavor: srv.flavor(), Host: s.dsn.Addr, User: s.dsn.User, Password: s.dsn.Passwd, TLSConfig: s.tls,
		RawModeEnabled: true, DisableRetrySync: true, DiscardGTIDSet: true, HeartbeatPeriod: s.cfg.Heartbeat,
		Localhost: "lienthong", EventCacheCount: 1, Logger: discardLog(), SynchronousEventHandler: handlerFunc(handle),
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: 10 * time.Second}
			if closing.Load() {
				dialer.Timeout = time.Second // to say goodbye
			}
			raw, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			if closing.Load() {
				err := raw.SetDeadline(time.Now().Add(2 * time.Second))
				return raw, err
			}
			t := &tap{Conn: raw, idle: watched, silence: s.cfg.Silence, live: &live, ended: &ended}
			conn.Store(t)
			return t, nil
		},
	}
	if s.dsn.Net == "tcp" {
		host, port, err := net.SplitHostPort(s.dsn.Addr)
		if err != nil {
			return nil, err
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, err
		}
		cfg.Host, cfg.Port = host, uint16(number)
	}
	syncer := replication.NewBinlogSyncer(cfg)
	stop := context.AfterFunc(ctx, func() {
		ended.Store(true)
		if t := conn.Load(); t != nil {
			_ = t.SetReadDeadline(time.Unix(1, 0))
		}
	})
	var streamer *replication.BinlogStreamer
	if from.file == "" {
		var set mysql.GTIDSet
		if set, err = mysql.ParseGTIDSet(srv.flavor(), from.gtids.String()); err == nil {
			streamer, err = syncer.StartSyncGTID(set)
		}
	} else {
		pos := from.pos
		if pos > 1<<32-1 {
			pos = 4 // the protocol cannot say more; what is before is passed over
		}
		streamer, err = syncer.StartSync(mysql.Position{Name: from.file, Pos: uint32(pos)})
	}
	if err == nil {
		_, err = streamer.GetEvent(context.WithoutCancel(ctx))
	}
	stop()
	closing.Store(true)
	syncer.Close()
	if panicked != nil {
		panic(panicked)
	}
	if ctx.Err() != nil && (own == nil || errors.Is(own, context.Canceled)) {
		return nil, ctx.Err()
	}
	return own, err
}

type handlerFunc func(*replication.BinlogEvent) error

// HandleEvent implements replication.EventHandler.
func (f handlerFunc) HandleEvent(e *replication.BinlogEvent) error { return f(e) }

// scan visits the events of the log from one place up to another.
func (s *Source) scan(ctx context.Context, srv *server, from token, toFile string, toPos uint64, visit func(*walker, *logEvent) error) error {
	w := &walker{}
	reached := func() bool { return w.file == toFile && w.next >= toPos }
	w.opened = func() error {
		if reached() {
			return errEnough
		}
		return nil
	}
	w.visit = func(ev *logEvent) error {
		if ev.flags&flagArtificial == 0 && (ev.kind != eventHeartbeat && ev.kind != eventHeartbeatV2) {
			if err := visit(w, ev); err != nil {
				return err
			}
		}
		if reached() {
			return errEnough
		}
		return nil
	}
	// A place at which nothing follows would be waited for: heartbeats end that wait.
	own, err := s.dump(ctx, srv, s.sideID(), &from, w, nil)
	switch {
	case errors.Is(own, errEnough):
		return nil
	case own != nil:
		return own
	}
	return s.explain(ctx, err)
}

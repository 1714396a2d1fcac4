package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// readBuffer holds what one read from the socket can bring.
const readBuffer = 128 << 10

// buildFrontend reads through a large buffer. seen, when not nil, learns of it.
func buildFrontend(seen func(*bufio.Reader)) pgconn.BuildFrontendFunc {
	return func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		buffered := bufio.NewReaderSize(r, readBuffer)
		if seen != nil {
			seen(buffered)
		}
		return pgproto3.NewFrontend(buffered, w)
	}
}

// raise sets a to n if that is higher, and tells whether it was.
func raise(a *atomic.Uint64, n uint64) bool {
	for {
		was := a.Load()
		if n <= was {
			return false
		}
		if a.CompareAndSwap(was, n) {
			return true
		}
	}
}

// errReopen says that the stream must be opened again in text format, because a
// column of a type that we read only as text has appeared.
var errReopen = errors.New("the stream must be opened again")

// Stream delivers transactions that commit after the position. Losing the
// connection ends it with an error of code "postgres.connection"; calling it
// again resumes.
func (s *Source) Stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	tables, err := s.started()
	if err != nil {
		return err
	}
	if !s.streaming.CompareAndSwap(false, true) {
		return &lienthong.Error{
			Code: "postgres.slot_busy", Where: s.slot,
			Vi: "nguồn này đang được đọc", En: "the source is being read already", Hint: "dừng lần đọc kia / end the other Stream",
		}
	}
	defer s.streaming.Store(false)
	var anew map[int]bool
	for {
		r := newReader(s, tables, after, sink)
		r.anew = anew
		err := s.streamOnce(ctx, after, r)
		r.mend.close()
		s.replay.plan(0)
		if errors.Is(err, errReopen) {
			after = r.last
			if tables, anew, err = s.reopened(r); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil && !r.sinkFailed {
			return ctx.Err()
		}
		return err
	}
}

func (s *Source) streamOnce(ctx context.Context, after lienthong.Position, r *reader) error {
	text, version, err := s.checkPosition(ctx, after, r.tables)
	if err != nil {
		return err
	}
	if err := s.prepareMending(ctx, after, r); err != nil {
		return err
	}
	var buffered *bufio.Reader
	conn, err := s.connectReplication(ctx, &gatherer{}, func(b *bufio.Reader) { buffered = b })
	if err != nil {
		return err
	}
	if err := s.startReplication(ctx, conn, after, text, version); err != nil {
		closeConn(conn)
		return s.explain(ctx, err)
	}
	hijacked, err := conn.Hijack()
	if err != nil {
		closeConn(conn)
		return s.explain(ctx, err)
	}
	line := &line{
		conn: hijacked.Conn, frontend: hijacked.Frontend, buffered: buffered,
		silence: s.cfg.Silence, asked: make(chan struct{}, 1),
	}
	line.binary = !text
	defer func() { _ = line.conn.Close() }()

	sideCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	side := make(chan struct{}, 3)
	go func() { defer func() { side <- struct{}{} }(); s.feedback(sideCtx, line) }()
	go func() { defer func() { side <- struct{}{} }(); s.heartbeat(sideCtx) }()
	go func() { defer func() { side <- struct{}{} }(); s.watch(sideCtx, line) }()
	unblock := context.AfterFunc(ctx, func() { _ = line.conn.SetReadDeadline(time.Unix(1, 0)) })

	if err = line.arm(ctx, false); err == nil {
		err = r.run(ctx, line)
	}

	unblock()
	stop()
	for range cap(side) {
		<-side
	}
	if ctx.Err() != nil || r.sinkFailed || errors.Is(err, errReopen) {
		s.farewell(line)
	}
	if r.sinkFailed || errors.Is(err, errReopen) {
		return err
	}
	return s.explain(ctx, err)
}

// checkPosition refuses a position that the slot has left behind: the server
// would silently begin later. It also chooses the format and learns the version.
func (s *Source) checkPosition(ctx context.Context, after lienthong.Position, tables []*table) (text bool, version int, err error) {
	err = s.with(ctx, func(conn *pgx.Conn) error {
		confirmed, exists, err := s.slotState(ctx, conn)
		if err != nil {
			return err
		}
		if !exists {
			return s.historyLost("the replication slot is gone", "replication slot không còn")
		}
		if err := s.sameServer(ctx, conn); err != nil {
			return err
		}
		if after.Order < confirmed {
			return &lienthong.Error{
				Code: "postgres.position_gone", Where: s.slot,
				Vi:   "nguồn đã được xác nhận tới vị trí muộn hơn vị trí cần đọc",
				En:   fmt.Sprintf("the source was acknowledged up to %s, after the position to read from, %s", pglogrepl.LSN(confirmed), pglogrepl.LSN(after.Order)),
				Hint: "trạng thái của trạm cũ hơn nguồn: tải lại từ đầu / our state is older than the source's: load the source anew",
			}
		}
		all, err := catalog(ctx, conn)
		if err != nil {
			return err
		}
		now := map[uint32]*table{}
		for _, t := range all {
			now[t.oid] = t
		}
		for _, t := range tables {
			text = text || t.foreign()
			if current := now[t.oid]; current != nil {
				text = text || current.foreign()
			}
		}
		return conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version)
	})
	return text || version < 140000, version, err
}

// startReplication asks for the stream. The process that read before us may
// hold the slot for a moment longer.
func (s *Source) startReplication(ctx context.Context, conn *pgconn.PgConn, after lienthong.Position, text bool, version int) error {
	arguments := []string{"publication_names '\"" + s.slot + "\"'"}
	if version >= 140000 {
		arguments = append(arguments, "proto_version '2'")
	} else {
		arguments = append(arguments, "proto_version '1'")
	}
	if !text {
		arguments = append(arguments, "binary 'true'")
	}
	for try := 0; ; try++ {
		err := pglogrepl.StartReplication(ctx, conn, s.slot, pglogrepl.LSN(after.Order),
			pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication, PluginArgs: arguments})
		var told *pgconn.PgError
		if try == 50 || !errors.As(err, &told) || told.Code != "55006" {
			return err
		}
		pause := time.NewTimer(100 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// line is the replication connection.
type line struct {
	conn     net.Conn
	frontend *pgproto3.Frontend
	buffered *bufio.Reader
	binary   bool
	silence  time.Duration
	asked    chan struct{} // the server wants to hear from us
	reopen   atomic.Bool   // end between two transactions: tables are not what they were

	count uint64 // messages so far
	armed uint64 // count when the read deadline was set
	short bool   // the deadline is one lull away, not one silence
}

// lull is how long nothing must arrive before the sink hears Idle. While it has
// a backlog the server sends every few ten microseconds, one message at a time: an
// empty socket alone does not mean that nothing waits.
const lull = time.Millisecond

// errLull says that the server has nothing to send at this moment.
var errLull = errors.New("nothing is waiting")

// arm sets the read deadline. A deadline costs more than a read, so one stays in
// place while messages flow: at its end, what has arrived meanwhile decides.
func (l *line) arm(ctx context.Context, short bool) error {
	l.short, l.armed = short, l.count
	wait := l.silence
	if short {
		wait = lull
	}
	if err := l.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	return ctx.Err() // it may have ended before the deadline was set
}

// receive returns the next message's content, valid until the next call. When
// watch is set and a lull passes between two messages, it returns errLull.
func (l *line) receive(ctx context.Context, watch bool) ([]byte, error) {
	if watch && !l.short {
		if err := l.arm(ctx, true); err != nil {
			return nil, err
		}
	}
	for {
		message, err := l.frontend.Receive()
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
				return nil, err
			}
			arrived := l.count != l.armed
			between := l.frontend.ReadBufferLen() == 0 && l.buffered.Buffered() == 0
			if l.reopen.Load() && between {
				if err := l.arm(ctx, false); err != nil {
					return nil, err
				}
				return nil, errPoke
			}
			if !arrived && !l.short {
				return nil, err // silence
			}
			if err := l.arm(ctx, arrived && watch); err != nil {
				return nil, err
			}
			if !arrived && watch && between {
				return nil, errLull
			}
			continue
		}
		l.count++
		switch message := message.(type) {
		case *pgproto3.CopyData:
			return message.Data, nil
		case *pgproto3.ErrorResponse:
			return nil, pgconn.ErrorResponseToPgError(message)
		case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus:
		case *pgproto3.CopyDone:
			return nil, io.EOF
		default:
			return nil, damaged("replication")
		}
	}
}

// feedback tells the server what is acknowledged: at once, when the server asks,
// and regularly, whether or not the sink is holding the reader up.
func (s *Source) feedback(ctx context.Context, l *line) {
	ticker := time.NewTicker(s.cfg.Status)
	defer ticker.Stop()
	for ask := true; ; {
		if err := s.report(l, ask); err != nil {
			// The reader sees the same end of the connection.
			s.cfg.Log.DebugContext(ctx, "postgres: status not sent", slog.String("source", s.cfg.Name), slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			ask = false
		case <-l.asked:
			ask = false
		case <-ticker.C:
			ask = true
		}
	}
}

// report sends a standby status update.
func (s *Source) report(l *line, ask bool) error {
	var message [39]byte
	message[0] = 'd'
	binary.BigEndian.PutUint32(message[1:], uint32(len(message)-1))
	message[5] = 'r'
	acked := s.flushed()
	binary.BigEndian.PutUint64(message[6:], acked)
	binary.BigEndian.PutUint64(message[14:], acked)
	binary.BigEndian.PutUint64(message[22:], acked)
	binary.BigEndian.PutUint64(message[30:], uint64(s.cfg.Now().UnixMicro()-epochMicros))
	if ask {
		message[38] = 1
	}
	if err := l.conn.SetWriteDeadline(time.Now().Add(s.cfg.Silence)); err != nil {
		return err
	}
	_, err := l.conn.Write(message[:])
	return err
}

// heartbeat writes a message into the log of an idle database. It needs no table
// and no privilege.
func (s *Source) heartbeat(ctx context.Context) {
	if s.cfg.Heartbeat < 0 {
		return
	}
	ticker := time.NewTicker(s.cfg.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := s.with(ctx, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SELECT pg_logical_emit_message(false, 'lienthong', '')")
			return err
		})
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "postgres: heartbeat failed", slog.String("source", s.cfg.Name), slog.Any("error", err))
		}
	}
}

// farewell hands over the last acknowledgement and ends the copy, so that the
// slot has moved and is free when Stream returns. A server that is busy is left.
func (s *Source) farewell(l *line) {
	deadline := time.Now().Add(2 * time.Second)
	if l.conn.SetDeadline(deadline) != nil || s.report(l, false) != nil {
		return
	}
	if _, err := l.conn.Write([]byte{'c', 0, 0, 0, 4}); err != nil {
		return
	}
	for time.Now().Before(deadline) {
		message, err := l.frontend.Receive()
		if err != nil {
			break
		}
		if _, ended := message.(*pgproto3.ReadyForQuery); ended {
			break
		}
	}
	_, _ = l.conn.Write([]byte{'X', 0, 0, 0, 4})
}

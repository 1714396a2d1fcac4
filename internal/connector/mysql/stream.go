package mysql

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// errElsewhere says that the log is not the one that a position was in.
var errElsewhere = errors.New("another log")

// Stream delivers changes until ctx ends, the sink fails or the connection breaks. Calling
// it again resumes.
func (s *Source) Stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	if _, _, err := s.started(); err != nil {
		return err
	}
	if !s.streaming.CompareAndSwap(false, true) {
		return &lienthong.Error{
			Code: "mysql.busy", Where: s.cfg.Name,
			Vi: "nguồn này đang được đọc", En: "the source is being read already", Hint: "dừng lần đọc kia / end the other Stream",
		}
	}
	defer s.streaming.Store(false)
	side, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.saver(side)
	}()
	defer func() {
		stop()
		<-done
		s.saveQuietly(ctx)
	}()
	return s.stream(ctx, after, sink)
}

// saveQuietly saves where nobody waits for the answer. What is not saved is delivered again.
func (s *Source) saveQuietly(ctx context.Context) {
	if err := s.saveAcknowledged(); err != nil {
		s.cfg.Log.WarnContext(ctx, "mysql: the position was not saved", slog.String("source", s.cfg.Name), slog.Any("error", err))
	}
}

func (s *Source) stream(ctx context.Context, after lienthong.Position, sink connector.Sink) error {
	srv, err := s.ready(ctx)
	if err != nil {
		return err
	}
	from, err := s.whereTo(ctx, srv, after)
	if err != nil {
		return err
	}
	for range 2 {
		r, err := s.newReader(ctx, srv, after, from, sink)
		if err != nil {
			return err
		}
		own, err := s.dump(ctx, srv, s.cfg.ServerID, &from, &r.walker, r.idle)
		if errors.Is(own, errElsewhere) {
			// The same name, but another file: it was begun anew, or the server is another.
			if after, from, err = s.elsewhere(ctx, srv, from); err != nil {
				return err
			}
			continue
		}
		if own != nil {
			return own
		}
		err = s.explain(ctx, err)
		if lienthong.ErrorCode(err) != "mysql.binlog_purged" || from.file == "" {
			return err
		}
		if srv.id == from.server {
			if why, problem := s.whyGone(ctx, &from); problem != nil || why != logAnother {
				return err
			}
		}
		if after, from, err = s.elsewhere(ctx, srv, from); err != nil {
			return err
		}
	}
	return damaged(s.cfg.Name)
}

// whereTo finds the place in the log at which to begin.
func (s *Source) whereTo(ctx context.Context, srv *server, after lienthong.Position) (token, error) {
	if after.Token == "" {
		return s.locate(ctx, after.Order)
	}
	t, err := parseToken(after.Token)
	if err != nil || t.file == "" {
		return t, err
	}
	s.lineMu.Lock()
	if base, known := s.line.base[t.file]; !known && t.server == srv.id {
		// A position of an earlier process, whose line goes on.
		s.line.begin(t.server, t.file, t.base)
	} else if known && base != t.base && t.server == srv.id {
		s.line.begin(t.server, t.file, t.base)
	}
	s.lineMu.Unlock()
	return t, nil
}

// locate finds the file and offset of a place on the line.
func (s *Source) locate(ctx context.Context, place uint64) (token, error) {
	files, err := binaryLogs(ctx, s.db)
	if err != nil {
		return token{}, s.explain(ctx, err)
	}
	s.lineMu.Lock()
	defer s.lineMu.Unlock()
	s.line.extend(files)
	for i := len(files) - 1; i >= 0; i-- {
		if base, known := s.line.base[files[i].name]; known && base < place {
			// From the file's first event: what is before the place is passed over.
			return token{file: files[i].name, pos: 4, base: base, server: s.line.server}, nil
		}
	}
	return token{}, &lienthong.Error{
		Code: "mysql.binlog_purged", Where: s.cfg.Name,
		Vi:   "máy chủ không còn giữ nhật ký từ vị trí cần đọc",
		En:   "the server no longer has its log from the position to read",
		Hint: "khởi động lại nguồn: đọc tiếp từ hiện tại rồi đối soát hai đầu / start the source again: it goes on from the present and both ends are compared",
	}
}

// elsewhere goes on in another log: that of a server which has taken over. A log that was
// begun anew has lost what we have not read.
func (s *Source) elsewhere(ctx context.Context, srv *server, from token) (lienthong.Position, token, error) {
	if srv.id != from.server {
		state, err := s.hasTransactions(ctx, srv, &from)
		if err != nil {
			return lienthong.Position{}, from, err
		}
		if state == logPromoted {
			s.stateMu.Lock()
			defer s.stateMu.Unlock()
			pos := s.promoted(ctx, srv, &from)
			if err := s.saveState(); err != nil {
				return pos, from, err
			}
			t, err := parseToken(pos.Token)
			return pos, t, err
		}
	}
	return lienthong.Position{}, from, &lienthong.Error{
		Code: "mysql.binlog_reset", Where: s.cfg.Name,
		Vi:   "nhật ký của máy chủ đã được bắt đầu lại (RESET MASTER, khôi phục hoặc máy chủ khác)",
		En:   "the server's log was begun anew (RESET MASTER, a restore or another server)",
		Hint: "khởi động lại nguồn: đọc tiếp từ hiện tại rồi đối soát hai đầu / start the source again: it goes on from the present and both ends are compared",
	}
}

// saver writes acknowledgements into their file while Stream runs.
func (s *Source) saver(ctx context.Context) {
	// A file that is written ten times a second costs nothing worth saving.
	const pause = 100 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		s.saveQuietly(ctx)
		timer.Reset(pause)
	}
}

package feed

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/lienthong/lienthong"
)

// Headers of a webhook delivery.
const (
	HeaderTimestamp = "Lienthong-Timestamp" // seconds since 1970
	HeaderSignature = "Lienthong-Signature" // v1=<hex HMAC-SHA-256 of timestamp "." body>
	HeaderDelivery  = "Lienthong-Delivery"  // the same for every try of one delivery
	HeaderJWS       = "Lienthong-Jws"       // the hub's detached signature of the body
)

// progress is how far a webhook has come. It moves only after the receiver's 2xx.
type progress struct {
	Started bool `json:"started"` // the snapshot has been delivered as a whole
	// Sequence is the one up to which changes have been looked at; Told the last that the
	// receiver has heard of.
	Sequence uint64 `json:"sequence"`
	Told     uint64 `json:"told"`
	// Snapshot is the file that is being delivered, Offset what the receiver has of it.
	Snapshot     string     `json:"snapshot,omitempty"`
	Offset       int64      `json:"offset,omitempty"`
	At           uint64     `json:"at,omitempty"` // sequence of the snapshot
	FailingSince *time.Time `json:"failing_since,omitempty"`
	Suspended    *time.Time `json:"suspended,omitempty"`
	Code         string     `json:"code,omitempty"`
}

// webhookSnapshot begins the names of snapshots that senders keep across restarts.
const webhookSnapshot = "webhook."

const (
	webhookEvents  = 500
	webhookBytes   = 1 << 20
	webhookTimeout = 30 * time.Second
	longestPause   = 10 * time.Minute
)

func (f *Feeds) webhookSecret(r *reader) string {
	if r.Webhook == "" {
		return ""
	}
	return "ltw_" + base64.RawURLEncoding.EncodeToString(f.derive("webhook|"+r.ID+"|"+strconv.Itoa(r.Generation)))
}

// Signature is the value of HeaderSignature for a body: receivers compute the same.
func Signature(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp))
	mac.Write([]byte("."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// background runs work until it ends, is cancelled, or the feeds end.
func (f *Feeds) background(ctx context.Context, work func(ctx context.Context)) (cancel context.CancelFunc, done chan struct{}) {
	workCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done = make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		cancel()
		close(done)
		return cancel, done
	}
	f.work.Go(func() {
		defer close(done)
		work(workCtx)
	})
	f.work.Go(func() {
		defer cancel()
		select {
		case <-done:
		case <-f.ended:
		}
	})
	return cancel, done
}

func (f *Feeds) startWebhook(ctx context.Context, r *reader) {
	if r.Webhook == "" || !f.config.Webhooks {
		return
	}
	f.mu.Lock()
	suspended := r.progress.Suspended != nil
	f.mu.Unlock()
	if suspended {
		return
	}
	s := &sender{feeds: f, reader: &Reader{feeds: f, reader: r, delivery: Webhook}, client: f.webhookClient(r.Webhook), secret: f.webhookSecret(r)}
	r.stop, r.stopped = f.background(ctx, s.run)
}

func (f *Feeds) stopWebhook(r *reader) {
	if r.stop != nil {
		r.stop()
		<-r.stopped
	}
}

func (f *Feeds) saveProgress(ctx context.Context, r *reader) error {
	f.mu.Lock()
	body, err := json.Marshal(r.progress)
	f.mu.Unlock()
	if err != nil {
		return fmt.Errorf("feed: encode progress: %w", err)
	}
	return f.config.Store.SaveProgress(ctx, r.ID, body)
}

// webhookClient connects to where the operator said and nowhere else: it follows no
// redirects and uses no proxy, and a name that resolves to this machine or to the link is
// refused unless the address names this machine itself.
func (f *Feeds) webhookClient(address string) *http.Client {
	local := false
	if u, err := url.Parse(address); err == nil {
		local = loopbackHost(u.Hostname())
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		return mayConnect(address, local)
	}}
	return &http.Client{
		Timeout: webhookTimeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: f.webhookTLS(), TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (f *Feeds) webhookTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: f.config.WebhookRoots}
}

// mayConnect is asked with the address that a name resolved to.
func mayConnect(address string, local bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip := net.ParseIP(host)
	if ip != nil && ip.IsLoopback() == local && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.IsLinkLocalUnicast() {
		return nil
	}
	return problem("feed.address", "", "địa chỉ webhook dẫn vào nội bộ máy chủ", "the webhook's address leads into the server itself", "")
}

// sender delivers one subscription to its webhook, in order.
type sender struct {
	feeds  *Feeds
	reader *Reader
	client *http.Client
	secret string
	failed int // tries since the last success
}

func (s *sender) run(ctx context.Context) {
	defer s.client.CloseIdleConnections()
	defer func() { s.reader.Done(context.WithoutCancel(ctx)) }()
	for ctx.Err() == nil {
		err := s.round(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !s.fail(ctx, err) {
			return
		}
	}
}

// state returns a copy of the progress.
func (s *sender) state() progress {
	s.feeds.mu.Lock()
	defer s.feeds.mu.Unlock()
	return s.reader.reader.progress
}

func (s *sender) move(ctx context.Context, p progress) error {
	s.feeds.mu.Lock()
	s.reader.reader.progress = p
	s.feeds.mu.Unlock()
	return s.feeds.saveProgress(ctx, s.reader.reader)
}

// round delivers one thing: a piece of the snapshot, or a page of changes.
func (s *sender) round(ctx context.Context) error {
	if err := s.reader.Current(ctx); err != nil {
		return err
	}
	p := s.state()
	if !p.Started && p.Snapshot != "" {
		err := s.sendSnapshot(ctx, p)
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		p.Snapshot = "" // somebody removed it
	}
	if !p.Started {
		return s.makeSnapshot(ctx, p)
	}
	changed := s.reader.Changed()
	page, err := s.reader.changes(ctx, p.Sequence, p.Told, webhookEvents)
	if lienthong.ErrorCode(err) == "feed.gone" {
		p.Started = false
		return s.makeSnapshot(ctx, p)
	}
	if err != nil {
		return err
	}
	if len(page.Events) == 0 {
		if page.Sequence != p.Sequence {
			p.Sequence = page.Sequence
			return s.move(ctx, p)
		}
		s.reader.Done(ctx)
		timer := time.NewTimer(s.reader.Heartbeat())
		defer timer.Stop()
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		return nil
	}
	s.reader.read(ctx, page.upserts, page.Previous, page.Sequence)
	body := page.AppendJSON(nil, s.reader.reader.ID)
	name := strconv.FormatUint(page.Previous, 10) + "-" + strconv.FormatUint(page.Sequence, 10)
	if err := s.deliver(ctx, name, body); err != nil {
		return err
	}
	p = s.state()
	p.Sequence, p.Told = page.Sequence, page.Sequence
	return s.move(ctx, p)
}

func (s *sender) makeSnapshot(ctx context.Context, p progress) error {
	unique := make([]byte, 8)
	_, _ = rand.Read(unique) // never fails
	name := webhookSnapshot + hex.EncodeToString(unique)
	path := filepath.Join(s.feeds.dir(s.reader.reader.ID), name)
	result, err := s.reader.writeSnapshot(ctx, path, NDJSON)
	if err != nil {
		_ = os.Remove(path)
		return err
	}
	s.reader.read(ctx, int(result.rows), 0, result.sequence)
	p.Snapshot, p.Offset, p.At = name, 0, result.sequence
	return s.move(ctx, p)
}

// sendSnapshot delivers the piece of the snapshot after the offset.
func (s *sender) sendSnapshot(ctx context.Context, p progress) error {
	path := filepath.Join(s.feeds.dir(s.reader.reader.ID), p.Snapshot)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(p.Offset, io.SeekStart); err != nil {
		return fmt.Errorf("feed: read snapshot: %w", err)
	}
	in := bufio.NewReaderSize(file, 64<<10)
	body := append([]byte(`{"subscription":"`), s.reader.reader.ID...)
	body = append(body, `","snapshot":"`...)
	body = append(body, p.Snapshot[len(webhookSnapshot):]...)
	body = append(body, `","sequence":`...)
	body = strconv.AppendUint(body, p.At, 10)
	body = append(body, `,"first":`...)
	body = strconv.AppendBool(body, p.Offset == 0)
	body = append(body, `,"records":[`...)
	offset, last := p.Offset, false
	for n := 0; n < webhookEvents && len(body) < webhookBytes; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			last = true
			break
		}
		if err != nil {
			return fmt.Errorf("feed: read snapshot: %w", err)
		}
		if n > 0 {
			body = append(body, ',')
		}
		body = append(body, bytes.TrimSuffix(line, []byte("\n"))...)
		offset += int64(len(line))
	}
	body = append(body, `],"last":`...)
	body = strconv.AppendBool(body, last)
	body = append(body, '}')
	if err := s.deliver(ctx, p.Snapshot[len(webhookSnapshot):]+"-"+strconv.FormatInt(p.Offset, 10), body); err != nil {
		return err
	}
	p = s.state()
	p.Offset = offset
	if last {
		p.Started, p.Sequence, p.Told, p.Snapshot, p.Offset, p.At = true, p.At, p.At, "", 0, 0
	}
	if err := s.move(ctx, p); err != nil {
		return err
	}
	if last {
		_ = os.Remove(path) // the next start removes what is nobody's
	}
	return nil
}

// deliver posts a body and wants a 2xx.
func (s *sender) deliver(ctx context.Context, name string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.reader.reader.Webhook, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("feed: webhook: %w", err)
	}
	timestamp := strconv.FormatInt(s.feeds.config.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "lienthong-feed")
	request.Header.Set(HeaderTimestamp, timestamp)
	request.Header.Set(HeaderSignature, Signature(s.secret, timestamp, body))
	request.Header.Set(HeaderDelivery, s.reader.reader.ID+":"+name)
	if s.feeds.config.Sign != nil {
		jws, err := s.feeds.config.Sign(body)
		if err != nil {
			return fmt.Errorf("feed: sign delivery: %w", err)
		}
		request.Header.Set(HeaderJWS, jws)
	}
	response, err := s.client.Do(request)
	if err != nil {
		var coded *lienthong.Error
		if errors.As(err, &coded) {
			return coded
		}
		return problem("feed.unreachable", "", "không gọi được webhook", "the webhook cannot be reached", "")
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be used again
	if response.StatusCode/100 != 2 {
		return problem("feed.status", strconv.Itoa(response.StatusCode), "webhook trả lời không phải 2xx", "the webhook did not answer 2xx", "")
	}
	s.failed = 0
	if p := s.state(); p.FailingSince != nil {
		p.FailingSince, p.Code = nil, ""
		return s.move(ctx, p)
	}
	return nil
}

// fail notes a failure and waits before the next try; false when there will be none.
func (s *sender) fail(ctx context.Context, err error) bool {
	code := lienthong.ErrorCode(err)
	id := s.reader.reader.ID
	now := s.feeds.config.Now().UTC()
	p := s.state()
	since := now
	if p.FailingSince != nil {
		since = *p.FailingSince
	}
	p.Code, p.FailingSince = code, &since
	over := now.Sub(since) >= s.feeds.config.SuspendAfter
	expired := code == "feed.expired" || code == "feed.key"
	if over {
		p.Suspended = &now
	}
	if saveErr := s.move(ctx, p); saveErr != nil && ctx.Err() == nil {
		s.feeds.config.Log.WarnContext(ctx, "feed: progress not kept", slog.String("subscription", id), slog.Any("error", saveErr))
	}
	switch {
	case over:
		s.feeds.config.Notice(ctx, id, problem("feed.suspended", id, "webhook lỗi liên tục nên đã tạm dừng", "the webhook has failed for so long that it is suspended",
			"sửa nơi nhận rồi chạy: lienthong feed resume / mend the receiver, then run: lienthong feed resume"))
		return false
	case expired:
		var coded *lienthong.Error
		if errors.As(err, &coded) {
			s.feeds.config.Notice(ctx, id, coded)
		}
		return false
	}
	s.feeds.config.Log.InfoContext(ctx, "feed: webhook failed", slog.String("subscription", id), slog.String("code", code), slog.Int("tries", s.failed+1))
	pause := s.feeds.config.Backoff << min(s.failed, 20)
	pause = min(pause, longestPause)
	pause = pause/2 + time.Duration(mathrand.Int64N(int64(pause/2)+1))
	s.failed++
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return true
}

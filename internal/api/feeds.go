// Package api is what other systems speak to over HTTP: one file per resource, each
// with its OpenAPI description.
//
// Every answer that is not a success is {code, vi, en, hint}. Keys travel in the
// Authorization header only; addresses and logs hold no personal value.
package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/feed"
)

// FeedsConfig configures the feeds resource.
type FeedsConfig struct {
	Feeds *feed.Feeds
	Log   *slog.Logger
	Now   func() time.Time
	// PerMinute is how many requests a subscription may make a minute, with bursts of as
	// many. Default: 1,200.
	PerMinute int
	// WrongPerMinute is how many wrong keys an address may try a minute. Default: 20.
	WrongPerMinute int
	// Streams is how many event streams a subscription may have at a time. Default: 4.
	Streams int
	// Stall is how long a consumer may take no bytes before its connection is ended. Default: 30 seconds.
	Stall time.Duration
}

//go:embed feeds.openapi.json
var feedsOpenAPI []byte

type feeds struct {
	FeedsConfig
	requests *limiter
	wrong    *limiter

	mu      sync.Mutex
	streams map[string]int
}

// Feeds returns the handler of /feeds/v1/.
func Feeds(config FeedsConfig) http.Handler {
	if config.PerMinute == 0 {
		config.PerMinute = 1200
	}
	if config.WrongPerMinute == 0 {
		config.WrongPerMinute = 20
	}
	if config.Streams == 0 {
		config.Streams = 4
	}
	if config.Stall == 0 {
		config.Stall = 30 * time.Second
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	f := &feeds{FeedsConfig: config, requests: newLimiter(config.PerMinute), wrong: newLimiter(config.WrongPerMinute), streams: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /feeds/v1/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(feedsOpenAPI) // nobody is left to tell
	})
	for _, route := range f.routes() {
		mux.HandleFunc(route.pattern, f.authorised(route.delivery, route.handle))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		f.refuse(w, r, &lienthong.Error{Code: "api.path", Vi: "không có địa chỉ này", En: "no such address", Hint: "/feeds/v1/openapi.json"})
	})
	return mux
}

type route struct {
	pattern  string
	delivery feed.Delivery // empty: any
	handle   func(w http.ResponseWriter, r *http.Request, reader *feed.Reader) error
}

func (f *feeds) routes() []route {
	return []route{
		{"GET /feeds/v1/{id}", "", f.show},
		{"GET /feeds/v1/{id}/snapshot", "", f.snapshot},
		{"GET /feeds/v1/{id}/changes", feed.Pull, f.changes},
		{"GET /feeds/v1/{id}/events", feed.Events, f.events},
		{"GET /feeds/v1/{id}/files", feed.Bulk, f.listFiles},
		{"POST /feeds/v1/{id}/files", feed.Bulk, f.makeFile},
		{"GET /feeds/v1/{id}/files/{name}/manifest", feed.Bulk, f.manifest},
		{"GET /feeds/v1/{id}/files/{name}", feed.Bulk, f.file},
		{"DELETE /feeds/v1/{id}/files/{name}", feed.Bulk, f.removeFile},
	}
}

func (f *feeds) authorised(delivery feed.Delivery, handle func(http.ResponseWriter, *http.Request, *feed.Reader) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		// A connection that is used again keeps the deadline of the request before.
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Time{}) // a writer that cannot is bounded by its server
		if r.Method == http.MethodPost {
			_ = control.SetReadDeadline(time.Now().Add(f.Stall))
		}
		address, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			address = r.RemoteAddr
		}
		now := f.Now()
		if f.wrong.empty(address, now) {
			f.refuse(w, r, tooMany("quá nhiều khoá sai từ địa chỉ này", "too many wrong keys from this address"))
			return
		}
		id := r.PathValue("id")
		key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		reader, err := f.Feeds.Authorise(r.Context(), id, key, delivery)
		if lienthong.ErrorCode(err) == "feed.key" {
			f.wrong.allow(address, now)
		}
		if err == nil && !f.requests.allow(id, now) {
			err = tooMany("quá nhiều yêu cầu trong một phút", "too many requests in a minute")
		}
		if err == nil {
			defer reader.Done(context.WithoutCancel(r.Context()))
			err = handle(w, r, reader)
		}
		if err != nil {
			f.refuse(w, r, err)
		}
	}
}

func tooMany(vi, en string) error {
	return &lienthong.Error{Code: "api.rate", Vi: vi, En: en, Hint: "chờ rồi gọi lại / wait, then call again"}
}

// errStarted marks a failure after the answer has begun: the connection is the only
// place left to tell it.
var errStarted = errors.New("the answer has begun")

func status(code string) int {
	switch code {
	case "feed.key":
		return http.StatusUnauthorized
	case "feed.expired", "feed.delivery":
		return http.StatusForbidden
	case "feed.gone":
		return http.StatusGone
	case "feed.file", "api.path":
		return http.StatusNotFound
	case "feed.building", "feed.files":
		return http.StatusConflict
	case "feed.format", "feed.after", "feed.request":
		return http.StatusBadRequest
	case "api.rate", "feed.streams":
		return http.StatusTooManyRequests
	case "internal":
		return http.StatusInternalServerError
	}
	return http.StatusForbidden // of the agreement that Config.May knows
}

// refusal is an error as it is written.
type refusal struct {
	Code string `json:"code"`
	Vi   string `json:"vi"`
	En   string `json:"en"`
	Hint string `json:"hint,omitempty"`
}

func (f *feeds) coded(ctx context.Context, err error) refusal {
	var coded *lienthong.Error
	if !errors.As(err, &coded) {
		f.Log.ErrorContext(ctx, "api: request failed", slog.Any("error", err))
		coded = &lienthong.Error{Code: "internal", Vi: "lỗi bên trong", En: "an internal error", Hint: "thử lại sau / try again later"}
	}
	return refusal{coded.Code, coded.Vi, coded.En, coded.Hint}
}

func (f *feeds) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errStarted) || r.Context().Err() != nil {
		return
	}
	answer := f.coded(r.Context(), err)
	code := status(answer.Code)
	switch code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusConflict:
		w.Header().Set("Retry-After", "5")
	}
	writeJSON(w, code, answer)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // nobody is left to tell
}

func (f *feeds) show(w http.ResponseWriter, r *http.Request, reader *feed.Reader) error {
	shown, err := f.Feeds.Show(r.Context(), reader.Subscription().ID)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, shown)
	return nil
}

func (f *feeds) snapshot(w http.ResponseWriter, r *http.Request, reader *feed.Reader) error {
	snapshot, err := reader.Snapshot(r.Context())
	if err != nil {
		return err
	}
	defer func() { _ = snapshot.Close() }()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set(feed.HeaderSequence, strconv.FormatUint(snapshot.Sequence, 10))
	w.Header().Set("Lienthong-Rows", strconv.FormatInt(snapshot.Rows, 10))
	w.Header().Set("Content-Length", strconv.FormatInt(snapshot.Size, 10)) // so that a cut is noticed
	if _, err := io.Copy(f.patient(w), snapshot); err != nil {
		return errStarted
	}
	return nil
}

// patient is a writer that gives up when the consumer takes nothing for too long.
func (f *feeds) patient(w http.ResponseWriter) io.Writer {
	return patientWriter{w, http.NewResponseController(w), f.Stall}
}

type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

func (p patientWriter) Write(b []byte) (int, error) {
	// The clock of the connection is the machine's.
	if err := p.control.SetWriteDeadline(time.Now().Add(p.stall)); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

func number(r *http.Request, name string, otherwise uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &lienthong.Error{
			Code: "feed." + name, Vi: "tham số " + name + " phải là số nguyên không âm", En: name + " must be a whole number, not negative", Hint: "?" + name + "=0",
		}
	}
	return n, nil
}

func (f *feeds) changes(w http.ResponseWriter, r *http.Request, reader *feed.Reader) error {
	if !r.URL.Query().Has("after") {
		return &lienthong.Error{
			Code: "feed.after", Vi: "thiếu tham số after", En: "after is missing",
			Hint: "số thứ tự của bản chụp hoặc của trang trước / the sequence of the snapshot or of the page before: ?after=123",
		}
	}
	after, err := number(r, "after", 0)
	if err != nil {
		return err
	}
	limit, err := number(r, "limit", 500)
	if err != nil {
		return err
	}
	page, err := reader.Changes(r.Context(), after, int(min(limit, feed.MaxLimit)))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = f.patient(w).Write(page.AppendJSON(nil, reader.Subscription().ID)) // nobody is left to tell
	return nil
}

// takeStream counts the streams of a subscription.
func (f *feeds) takeStream(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.streams[id] >= f.Streams {
		return false
	}
	f.streams[id]++
	return true
}

func (f *feeds) giveStream(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.streams[id]--; f.streams[id] == 0 {
		delete(f.streams, id)
	}
}

func (f *feeds) events(w http.ResponseWriter, r *http.Request, reader *feed.Reader) error {
	id := reader.Subscription().ID
	after, err := number(r, "after", 0)
	if err != nil {
		return err
	}
	placed := r.URL.Query().Has("after")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		n, err := strconv.ParseUint(last, 10, 64)
		if err != nil {
			return &lienthong.Error{Code: "feed.after", Vi: "Last-Event-ID không đúng dạng", En: "Last-Event-ID is not a sequence"}
		}
		after, placed = n, true
	}
	if !f.takeStream(id) {
		return &lienthong.Error{
			Code: "feed.streams", Vi: "đăng ký này đã mở đủ số luồng", En: "the subscription has as many streams open as it may",
			Hint: "đóng luồng cũ trước / close an old one first",
		}
	}
	defer f.giveStream(id)
	s := &stream{feeds: f, reader: reader, out: f.patient(w), control: http.NewResponseController(w)}
	if placed {
		// Refuse what is gone with a status that says so, before the stream begins.
		if s.page, err = reader.Changes(r.Context(), after, streamEvents); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if err := s.control.Flush(); err != nil {
		return errStarted
	}
	err = s.run(r.Context(), after, placed)
	if err != nil && r.Context().Err() == nil {
		var stalled net.Error
		if errors.As(err, &stalled) && stalled.Timeout() {
			f.Log.InfoContext(r.Context(), "api: a stream took nothing for too long", slog.String("code", "feed.slow"), slog.String("subscription", id))
			return errStarted
		}
		body, _ := json.Marshal(f.coded(r.Context(), err)) // strings never fail
		s.b = append(append(append(s.b[:0], "event: error\ndata: "...), body...), "\n\n"...)
		_ = s.flush() // the last thing that this stream says
	}
	return errStarted
}

// streamEvents is how much a stream reads ahead of its consumer: nothing else waits for it.
const streamEvents = 500

type stream struct {
	feeds   *feeds
	reader  *feed.Reader
	out     io.Writer
	control *http.ResponseController
	page    *feed.Page // read already
	b       []byte
}

func (s *stream) flush() error {
	if _, err := s.out.Write(s.b); err != nil {
		return err
	}
	s.b = s.b[:0]
	return s.control.Flush()
}

func (s *stream) run(ctx context.Context, at uint64, placed bool) error {
	if !placed {
		sequence, err := s.snapshot(ctx)
		if err != nil {
			return err
		}
		at = sequence
	}
	for {
		if err := s.reader.Current(ctx); err != nil {
			return err
		}
		changed := s.reader.Changed()
		page := s.page
		s.page = nil
		if page == nil {
			var err error
			if page, err = s.reader.Changes(ctx, at, streamEvents); err != nil {
				return err
			}
		}
		for i := range page.Events {
			e := &page.Events[i]
			s.b = append(s.b, "event: change\nid: "...)
			s.b = strconv.AppendUint(s.b, e.Sequence, 10)
			s.b = append(append(append(s.b, "\ndata: "...), e.Body...), "\n\n"...)
			at = e.Sequence
		}
		if page.Sequence > at {
			// Changes that do not concern the consumer: its place moves all the same.
			s.b = append(s.b, "event: position\nid: "...)
			s.b = strconv.AppendUint(s.b, page.Sequence, 10)
			s.b = append(s.b, "\ndata: {\"sequence\":"...)
			s.b = strconv.AppendUint(s.b, page.Sequence, 10)
			s.b = append(s.b, ",\"previous\":"...)
			s.b = strconv.AppendUint(s.b, at, 10)
			s.b = append(s.b, "}\n\n"...)
			at = page.Sequence
		}
		if len(s.b) > 0 {
			if err := s.flush(); err != nil {
				return err
			}
		}
		if page.More {
			continue
		}
		timer := time.NewTimer(s.reader.Heartbeat())
		select {
		case <-changed:
		case <-timer.C:
			s.reader.Done(ctx)
			s.b = append(s.b, ": heartbeat\n\n"...)
			if err := s.flush(); err != nil {
				return err
			}
		case <-s.feeds.Feeds.Ended():
			timer.Stop()
			return &lienthong.Error{Code: "feed.closing", Vi: "trung tâm đang dừng", En: "the hub is stopping", Hint: "nối lại sau / connect again later"}
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// snapshot sends all records, between "snapshot" and "complete"; only the last carries an
// id, so that a consumer that is cut off in between begins again.
func (s *stream) snapshot(ctx context.Context) (uint64, error) {
	snapshot, err := s.reader.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = snapshot.Close() }()
	sequence := strconv.FormatUint(snapshot.Sequence, 10)
	s.b = append(s.b, "event: snapshot\ndata: {\"sequence\":"+sequence+",\"rows\":"+strconv.FormatInt(snapshot.Rows, 10)+"}\n\n"...)
	for {
		line, err := snapshot.Line()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		s.b = append(append(append(s.b, "event: record\ndata: "...), line...), "\n\n"...)
		if len(s.b) > 64<<10 {
			if err := s.flush(); err != nil {
				return 0, err
			}
		}
	}
	s.b = append(s.b, "event: complete\nid: "+sequence+"\ndata: {\"sequence\":"+sequence+"}\n\n"...)
	return snapshot.Sequence, s.flush()
}

func (f *feeds) listFiles(w http.ResponseWriter, _ *http.Request, reader *feed.Reader) error {
	writeJSON(w, http.StatusOK, map[string]any{"files": reader.Files()})
	return nil
}

func (f *feeds) makeFile(w http.ResponseWriter, r *http.Request, reader *feed.Reader) error {
	var wanted struct {
		Format feed.Format `json:"format"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 4096)).Decode(&wanted); err != nil {
		return &lienthong.Error{Code: "feed.request", Vi: "nội dung không phải JSON đúng dạng", En: "the body is not JSON of the right form", Hint: `{"format":"parquet"}`}
	}
	manifest, err := reader.Build(r.Context(), wanted.Format)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/feeds/v1/"+reader.Subscription().ID+"/files/"+manifest.Name)
	writeJSON(w, http.StatusAccepted, manifest)
	return nil
}

func (f *feeds) manifest(w http.ResponseWriter, r *http.Request, reader *feed.Reader) error {
	manifest, err := reader.File(r.PathValue("name"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, manifest)
	return nil
}

func (f *feeds) file(w http.ResponseWriter, r *http.Request, reader *feed.Reader) error {
	from := r.Header.Get("Range")
	file, manifest, err := reader.Open(r.Context(), r.PathValue("name"), from == "" || strings.HasPrefix(from, "bytes=0-"))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	types := map[feed.Format]string{feed.Parquet: "application/vnd.apache.parquet", feed.CSV: "text/csv; charset=utf-8; header=present", feed.NDJSON: "application/x-ndjson"}
	h := w.Header()
	h.Set("Content-Type", types[manifest.Format])
	h.Set("Content-Disposition", `attachment; filename="`+manifest.Name+`"`)
	h.Set("ETag", `"`+manifest.SHA256+`"`)
	h.Set("Lienthong-Sha256", manifest.SHA256)
	h.Set(feed.HeaderSequence, strconv.FormatUint(manifest.Sequence, 10))
	http.ServeContent(patientWriter{w, http.NewResponseController(w), f.Stall}, r, "", manifest.Created, file)
	return nil
}

func (f *feeds) removeFile(w http.ResponseWriter, r *http.Request, reader *feed.Reader) error {
	if err := reader.RemoveFile(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

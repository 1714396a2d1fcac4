package console

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// fragment is a part of a page that renews itself.
type fragment struct {
	name string
	html []byte
}

// pageKey names a page in one language.
type pageKey struct {
	page     string // "overview" or "database"
	code     string // of the database
	language Language
}

// renderer renders the live parts of pages. What one viewer has had rendered,
// others are given too within the push interval: a hundred viewers of a page
// cost the source as much as one.
type renderer struct {
	source  Source
	tongues map[Language]*tongue
	fresh   time.Duration
	now     func() time.Time

	mu    sync.Mutex
	pages map[pageKey]*rendered
}

type rendered struct {
	mu        sync.Mutex
	viewers   int // guarded by renderer.mu
	at        time.Time
	fragments []fragment
}

func newRenderer(source Source, tongues map[Language]*tongue, fresh time.Duration, now func() time.Time) *renderer {
	return &renderer{source: source, tongues: tongues, fresh: fresh, now: now, pages: make(map[pageKey]*rendered)}
}

// enter registers a viewer of a page; leave forgets the page with its last one.
func (r *renderer) enter(key pageKey) (page *rendered, leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	page, ok := r.pages[key]
	if !ok {
		page = &rendered{}
		r.pages[key] = page
	}
	page.viewers++
	return page, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if page.viewers--; page.viewers == 0 {
			delete(r.pages, key)
		}
	}
}

// renderTimeout is how long a source may take for the live parts of a page.
const renderTimeout = 10 * time.Second

// render returns the live parts of the page, at most the push interval old.
func (r *renderer) render(ctx context.Context, key pageKey, page *rendered) ([]fragment, error) {
	page.mu.Lock()
	defer page.mu.Unlock()
	if age := r.now().Sub(page.at); page.fragments != nil && age >= 0 && age < r.fresh {
		return page.fragments, nil
	}
	// The result is for every viewer: one who leaves must not take it away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renderTimeout)
	defer cancel()
	began := r.now()
	var view any
	var names []string
	if key.page == "database" {
		database, err := r.source.Database(ctx, key.code)
		if err != nil {
			return nil, err
		}
		view, names = newDatabaseView(database, r.tongues[key.language].words), databaseParts()
	} else {
		overview, err := r.source.Overview(ctx)
		if err != nil {
			return nil, err
		}
		view, names = newOverviewView(overview), overviewParts()
	}
	fragments := make([]fragment, 0, len(names))
	for _, name := range names {
		var b bytes.Buffer
		if err := r.tongues[key.language].templates.ExecuteTemplate(&b, key.page+"/"+name, view); err != nil {
			return nil, fmt.Errorf("render %s/%s: %w", key.page, name, err)
		}
		fragments = append(fragments, fragment{name: name, html: b.Bytes()})
	}
	page.at, page.fragments = began, fragments
	return fragments, nil
}

// events keeps an open page up to date: first every part, then those that look
// different, at most once per push interval. The stream ends with the request,
// with the session, with the source's subscription or with the console.
func (c *Console) events(w http.ResponseWriter, r *http.Request, _ User) {
	key := pageKey{page: "overview", language: languageOf(r.Context())}
	if language, ok := parseLanguage(r.URL.Query().Get("language")); ok {
		key.language = language
	}
	if code := r.URL.Query().Get("database"); code != "" {
		key.page, key.code = "database", code
	}
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	default:
		w.Header().Set("Retry-After", "30")
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	page, leave := c.renderer.enter(key)
	defer leave()
	changes := c.config.Source.Subscribe(ctx) // before the first rendering: no change falls between

	fragments, err := c.renderer.render(ctx, key, page)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies in between must not hold it back
	stream := &eventStream{w: w, control: http.NewResponseController(w), sent: make(map[string][]byte)}
	if stream.begin() != nil || stream.push(fragments) != nil {
		return
	}

	heartbeat := time.NewTicker(c.config.Heartbeat)
	defer heartbeat.Stop()
	pause := time.NewTimer(c.config.PushInterval)
	defer pause.Stop()
	pausing, changed := true, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.closing:
			return
		case <-heartbeat.C:
			if _, ok := c.config.Gate.Session(ctx, c.session(r)); !ok {
				return
			}
			if stream.beat() != nil {
				return
			}
		case <-pause.C:
			pausing = false
		case _, open := <-changes:
			if !open {
				return
			}
			changed = true
		}
		if pausing || !changed {
			continue
		}
		if _, ok := c.config.Gate.Session(ctx, c.session(r)); !ok {
			return
		}
		fragments, err := c.renderer.render(ctx, key, page)
		if err != nil {
			// The page keeps what it shows; the browser comes back by itself.
			c.config.Log.WarnContext(ctx, "console: a page could not be renewed",
				slog.String("page", key.page), slog.String("database", key.code), slog.Any("error", err))
			return
		}
		if stream.push(fragments) != nil {
			return
		}
		changed, pausing = false, true
		pause.Reset(c.config.PushInterval)
	}
}

// writeTimeout is how long a browser may take to read what it is sent before it
// is given up.
const writeTimeout = 15 * time.Second

// eventStream writes server-sent events and remembers what the browser has.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	sent    map[string][]byte
}

// begin tells the browser how soon to come back after a break.
func (s *eventStream) begin() error { return s.write([]byte("retry: 2000\n\n")) }

// beat is a line that browsers ignore.
func (s *eventStream) beat() error { return s.write([]byte(": alive\n\n")) }

// push sends the parts that differ from what the browser has.
func (s *eventStream) push(fragments []fragment) error {
	var b bytes.Buffer
	for _, f := range fragments {
		if old, ok := s.sent[f.name]; ok && bytes.Equal(old, f.html) {
			continue
		}
		s.sent[f.name] = f.html
		b.WriteString("event: " + f.name + "\n")
		empty := true
		for line := range bytes.Lines(f.html) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				b.WriteString("data: ")
				b.Write(line)
				b.WriteByte('\n')
				empty = false
			}
		}
		if empty {
			b.WriteString("data:\n") // browsers drop an event without data, and the old part would stay
		}
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		return nil
	}
	return s.write(b.Bytes())
}

func (s *eventStream) write(text []byte) error {
	// Not every writer has a deadline to move; those that have one belong to servers
	// whose write timeout is shorter than a stream.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}

package console

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// stream opens the event stream of a page on a real server.
func stream(t *testing.T, ctx context.Context, server *httptest.Server, query string) *bufio.Scanner {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: "session-1"})
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", answer.StatusCode, answer.Header)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return lines
}

// readParts reads n events and returns them by name.
func readParts(t *testing.T, lines *bufio.Scanner, n int) map[string]string {
	t.Helper()
	parts := make(map[string]string)
	name := ""
	for len(parts) < n || name != "" {
		if !lines.Scan() {
			t.Fatalf("the stream ended after %d of %d parts: %v", len(parts), n, lines.Err())
		}
		line := lines.Text()
		if given, ok := strings.CutPrefix(line, "event: "); ok {
			name = given
			parts[name] = ""
		} else if data, ok := strings.CutPrefix(line, "data: "); ok {
			parts[name] += data + "\n"
		} else if line == "" {
			name = ""
		}
	}
	return parts
}

// TestStreamSendsWhatChanged: first every part, afterwards only those that
// look different.
func TestStreamSendsWhatChanged(t *testing.T) {
	book := newStorybook(busyOverview(), busyDatabase())
	c := newConsole(t, book, nil)
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	t.Cleanup(c.Close)
	for _, test := range []struct {
		query string
		parts []string
	}{{"?language=en", overviewParts()}, {"?database=population&language=en", databaseParts()}} {
		lines := stream(t, t.Context(), server, test.query)
		first := readParts(t, lines, len(test.parts))
		for _, part := range test.parts {
			if part != "work" && strings.TrimSpace(first[part]) == "" {
				t.Errorf("%s: nothing in %s", test.query, part)
			}
		}
		book.change(func(b *storybook) {
			b.overview.Totals.Lag.P50 += 100 * time.Millisecond
			page := b.databases["population"]
			page.Receipts[0].Sequence++
			b.databases["population"] = page
		})
		changed := readParts(t, lines, 1)
		want := map[string]string{"?language=en": "tiles"}[test.query]
		if want == "" {
			want = "receipts"
		}
		if _, ok := changed[want]; !ok || len(changed) != 1 {
			t.Errorf("%s: renewed %v, want %s alone", test.query, changed, want)
		}
	}
}

// TestStreamsEnd: with their request, their session, or the console; the
// goroutine check of this package finds one that does not.
func TestStreamsEnd(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(c *Console, book *storybook, cancel func())
	}{
		{"request", func(_ *Console, _ *storybook, cancel func()) { cancel() }},
		{"console", func(c *Console, _ *storybook, _ func()) { c.Close(); c.Close() }},
		{"session, found at a change", func(_ *Console, book *storybook, _ func()) {
			_ = book.SignOut(context.Background(), "session-1")
			book.change(func(*storybook) {})
		}},
		{"session, found at a heartbeat", func(_ *Console, book *storybook, _ func()) { _ = book.SignOut(context.Background(), "session-1") }},
		{"source fails", func(_ *Console, book *storybook, _ func()) {
			book.change(func(b *storybook) { b.failure = errors.New("down") })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			book := newStorybook(busyOverview())
			c := newConsole(t, book, func(config *Config) { config.Heartbeat = 30 * time.Millisecond; config.MaxStreams = 1 })
			server := httptest.NewServer(c)
			t.Cleanup(server.Close)
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			lines := stream(t, ctx, server, "")
			readParts(t, lines, len(overviewParts()))
			if second := get(c, "/events", Vietnamese); second.Code != http.StatusServiceUnavailable {
				t.Errorf("a stream beyond the limit: %d", second.Code)
			}
			test.end(c, book, cancel)
			for lines.Scan() { // ends when the stream does
			}
			for deadline := time.Now().Add(5 * time.Second); ; {
				c.renderer.mu.Lock()
				left := len(c.renderer.pages)
				c.renderer.mu.Unlock()
				if left == 0 && book.watchers() == 0 && len(c.streams) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("left behind: %d pages, %d subscriptions, %d streams", left, book.watchers(), len(c.streams))
				}
				<-time.After(2 * time.Millisecond)
			}
		})
	}
}

// TestViewersShareTheWork: changes come in quick succession and many people
// look, but the source is asked no more often than the push interval says.
func TestViewersShareTheWork(t *testing.T) {
	book := newStorybook(busyOverview())
	c := newConsole(t, book, func(config *Config) { config.PushInterval = 10 * time.Second })
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	t.Cleanup(c.Close)
	for range 20 {
		lines := stream(t, t.Context(), server, "")
		readParts(t, lines, len(overviewParts()))
		book.change(func(b *storybook) { b.overview.Totals.LandedRows++ })
	}
	book.mu.Lock()
	defer book.mu.Unlock()
	if book.reads != 1 {
		t.Errorf("20 viewers asked the source %d times within one interval", book.reads)
	}
}

// BenchmarkLiveParts is what one renewal of the overview costs, however many
// people look at it.
func BenchmarkLiveParts(b *testing.B) {
	book := newStorybook(busyOverview())
	c, err := New(Config{Source: book, Gate: book, PushInterval: 1})
	if err != nil {
		b.Fatal(err)
	}
	key := pageKey{page: "overview", language: Vietnamese}
	page, leave := c.renderer.enter(key)
	defer leave()
	b.ReportAllocs()
	for b.Loop() {
		page.fragments = nil
		if _, err := c.renderer.render(b.Context(), key, page); err != nil {
			b.Fatal(err)
		}
	}
}

package api

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/feed"
	"github.com/lienthong/lienthong/internal/store"
)

// shelf is a consumer's store: a map that keeps its position as well.
type shelf struct {
	mu     sync.Mutex
	has    map[string]string // record id -> fields
	at     *uint64
	resets int
}

func (s *shelf) Reset(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has, s.at = map[string]string{}, nil
	s.resets++
	return nil
}

func (s *shelf) Put(_ context.Context, r *feed.Record) error {
	body, err := json.Marshal(r.Fields)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[r.ID] = string(body)
	return err
}

func (s *shelf) Delete(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.has, id)
	return nil
}

func (s *shelf) Moved(_ context.Context, sequence uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = &sequence
	return nil
}

func (s *shelf) position() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		return 0
	}
	return *s.at
}

// consumer follows in the background.
type consumer struct {
	shelf  shelf
	config feed.FollowConfig
	gaps   atomic.Int64
	syncs  atomic.Int64
	ended  chan error
	stop   func() error
}

func (h *hub) follow(issued *feed.Issued) *consumer {
	c := &consumer{}
	c.config = feed.FollowConfig{
		URL: h.url(), Subscription: issued.Subscription.ID, Key: issued.Key, Target: &c.shelf, Pause: 5 * time.Millisecond,
		Client: &http.Client{Transport: &http.Transport{}},
		Gap:    func(_, _ uint64) { c.gaps.Add(1) },
		Resync: func() { c.syncs.Add(1) },
	}
	c.start()
	h.c.tb.Cleanup(func() { _ = c.stop() })
	return c
}

func (c *consumer) start() {
	ctx, cancel := context.WithCancel(context.Background())
	config := c.config
	config.After = c.shelf.at
	c.ended = make(chan error, 1)
	go func() { c.ended <- feed.Follow(ctx, config) }()
	c.stop = sync.OnceValue(func() error {
		cancel()
		err := <-c.ended
		config.Client.CloseIdleConnections()
		return err
	})
}

// truth reads what the subscription should show, not by the feed: from the record tables, by
// the rows' own values.
func (h *hub) truth(s feed.Subscription, chosen func(commune string) bool) map[string]int {
	h.c.tb.Helper()
	view, err := h.c.store.Freeze(context.Background())
	check(h.c.tb, err)
	defer func() { check(h.c.tb, view.Close()) }()
	fields, err := h.c.store.FeedView(context.Background(), residents, append([]string{"commune"}, s.Fields...))
	check(h.c.tb, err)
	// Record ids are opaque: rows are compared as multisets of all their fields, which name
	// the number and a value that rises with the version.
	want := map[string]int{}
	check(h.c.tb, view.FeedRecords(context.Background(), fields, func(r *store.FeedRecord) error {
		if !chosen(string(r.Values[0].Bytes)) {
			return nil
		}
		row := map[string]any{}
		for i, name := range s.Fields {
			row[name] = plain(fields.Fields[i+1].Kind, r.Values[i+1])
		}
		body, err := json.Marshal(row)
		want[string(body)]++
		return err
	}))
	return want
}

// plain is a value as JSON has it, by the standard library.
func plain(kind lienthong.Kind, v lienthong.Value) any {
	if v.State != lienthong.Present {
		return nil
	}
	switch kind {
	case lienthong.Integer:
		return v.Int
	case lienthong.Real:
		return 1.5
	case lienthong.Boolean:
		return v.Int != 0
	case lienthong.Date:
		return time.Unix(v.Int*86400, 0).UTC().Format(time.DateOnly)
	case lienthong.Timestamp:
		return time.UnixMicro(v.Int).UTC().Format("2006-01-02T15:04:05.000000Z")
	case lienthong.Binary:
		return append([]byte{}, v.Bytes...)
	case lienthong.Text, lienthong.Decimal:
	}
	return string(v.Bytes)
}

func (s *shelf) rows() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := map[string]int{}
	for _, body := range s.has {
		rows[body]++
	}
	return rows
}

func (h *hub) head() uint64 {
	h.c.tb.Helper()
	head, err := h.c.store.FeedHead(context.Background(), residents)
	check(h.c.tb, err)
	return head.Sequence
}

func (h *hub) same(what string, c *consumer, s feed.Subscription, chosen func(string) bool) {
	h.c.tb.Helper()
	head := h.head()
	eventually(h.c.tb, what+" has caught up", func() bool { return c.shelf.started() && c.shelf.position() >= head })
	want, got := h.truth(s, chosen), c.shelf.rows()
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		h.c.tb.Fatalf("%s differs from the source in %d rows:\n%.2000s", what, len(want), diff)
	}
}

func everything(string) bool { return true }

// The main promise: whatever happens in between, consumers end with what the hub has.
func TestFollow_RandomLoad(t *testing.T) {
	onBoth(t, func(t *testing.T, c *country) {
		c.live(100) // before anybody subscribes
		c.live(100)
		h := newHub(c, func(config *feed.Config, _ *FeedsConfig) { config.Keep = 400 })
		all := h.add(feed.Subscription{ID: "all"})
		some := h.add(feed.Subscription{ID: "some", Rows: &feed.Rows{Field: "commune", In: []string{"31825", "00004"}}})
		// The field that rows are chosen by need not be one that the consumer may see.
		province := h.add(feed.Subscription{ID: "province", Fields: []string{"number", "full_name"}, Rows: &feed.Rows{Field: "commune", Province: "96"}})
		prefix := h.add(feed.Subscription{ID: "prefix", Fields: []string{"number", "full_name"}, Rows: &feed.Rows{Field: "commune", Prefix: "318"}})
		in318 := func(commune string) bool { return strings.HasPrefix(commune, "318") }
		followers := []struct {
			*consumer
			issued *feed.Issued
			chosen func(string) bool
		}{
			{h.follow(all), all, everything},
			{h.follow(some), some, func(commune string) bool { return commune == "31825" || commune == "00004" }},
			{h.follow(province), province, in318},
			{h.follow(prefix), prefix, in318},
		}
		compare := func() {
			t.Helper()
			for _, f := range followers {
				h.same(f.issued.Subscription.ID, f.consumer, f.issued.Subscription, f.chosen)
			}
		}
		for round := range 12 {
			for range 6 {
				c.live(60)
			}
			switch round % 4 {
			case 1:
				h.restart()
			case 2:
				one := followers[c.rng.IntN(len(followers))]
				_ = one.stop()
				c.live(60)
				one.start()
			case 3:
				compare()
			}
		}
		compare()
		for _, f := range followers {
			if f.gaps.Load() != 0 {
				t.Errorf("%s saw %d gaps", f.issued.Subscription.ID, f.gaps.Load())
			}
		}
		// A consumer stays away for longer than changes are kept.
		late := followers[1]
		_ = late.stop()
		resets := late.shelf.resets
		for range 60 {
			c.live(60)
		}
		check(t, h.feeds.Trim(context.Background()))
		late.start()
		compare()
		if late.shelf.resets != resets+1 || late.syncs.Load() == 0 {
			t.Errorf("the late consumer took %d new snapshots, want 1", late.shelf.resets-resets)
		}
	})
}

// A line that loses an event in the middle is noticed, and made good.
func TestFollow_NoticesALostEvent(t *testing.T) {
	c := onSQLite(t)
	h := newHub(c, nil)
	issued := h.add(feed.Subscription{})
	target, err := url.Parse(h.url())
	check(t, err)
	var lose atomic.Bool
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := http.NewRequestWithContext(r.Context(), r.Method, target.String()+r.URL.RequestURI(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = r.Header
		answer, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			return
		}
		defer func() { _ = answer.Body.Close() }()
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		buffer := make([]byte, 1<<20)
		for {
			n, err := answer.Body.Read(buffer)
			piece := string(buffer[:n])
			if strings.HasPrefix(piece, "event: change") && lose.CompareAndSwap(true, false) {
				_, piece, _ = strings.Cut(piece, "\n\n")
			}
			if _, werr := io.WriteString(w, piece); werr != nil || err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	}))
	defer proxy.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	c.apply(c.chains[0], c.resident(c.chains[0], 1, "31825"), c.resident(c.chains[0], 2, "31825"))
	follower := &consumer{}
	follower.config = feed.FollowConfig{
		URL: proxy.URL, Subscription: "bhxh", Key: issued.Key, Target: &follower.shelf, Pause: time.Millisecond,
		Client: &http.Client{Transport: &http.Transport{}}, Gap: func(_, _ uint64) { follower.gaps.Add(1) },
	}
	follower.start()
	defer func() { _ = follower.stop() }()
	h.same("before", follower, issued.Subscription, everything)
	lose.Store(true)
	c.apply(c.chains[0], c.resident(c.chains[0], 3, "31825"), c.resident(c.chains[0], 4, "31825"), c.resident(c.chains[0], 5, "31825"))
	h.same("after", follower, issued.Subscription, everything)
	if follower.gaps.Load() == 0 || lose.Load() {
		t.Error("the lost event was not noticed as a gap")
	}
	if follower.shelf.resets != 1 {
		t.Errorf("%d snapshots were taken; reading again is enough", follower.shelf.resets)
	}
}

func TestFollow_EndsWhenTheKeyIsReplaced(t *testing.T) {
	c := onSQLite(t)
	c.live(50)
	h := newHub(c, nil)
	follower := h.follow(h.add(feed.Subscription{}))
	eventually(t, "the first snapshot", func() bool { return follower.shelf.started() })
	second, err := h.feeds.Rekey(context.Background(), "bhxh")
	check(t, err)
	select {
	case err := <-follower.ended:
		wantCode(t, err, "feed.key")
		follower.ended <- err
	case <-time.After(30 * time.Second):
		t.Fatal("the stream goes on with the old key")
	}
	h.same("the new key", h.follow(second), second.Subscription, everything)
}

func (s *shelf) started() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at != nil
}

package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/feed"
)

// receiver is a consumer's end of a webhook: it believes only what is signed, takes
// deliveries in order, and may be told to fail.
type receiver struct {
	shelf
	tb     testing.TB
	secret atomic.Value
	fault  func(n int64) string // of the n-th request: "", "500", "hang", "kill", "after"
	count  atomic.Int64
	wrong  atomic.Int64 // deliveries out of order
	forged atomic.Int64
	jws    atomic.Int64
	fresh  map[string]string // a snapshot that is coming
	names  map[string]bool   // of the snapshots
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	fault := ""
	if r.fault != nil {
		fault = r.fault(r.count.Add(1))
	}
	switch fault {
	case "500":
		w.WriteHeader(http.StatusInternalServerError)
		return
	case "redirect":
		http.Redirect(w, request, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		return
	case "hang":
		_, _ = io.Copy(io.Discard, request.Body)
		<-request.Context().Done()
		return
	case "kill":
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	secret, _ := r.secret.Load().(string)
	if feed.Signature(secret, request.Header.Get(feed.HeaderTimestamp), body) != request.Header.Get(feed.HeaderSignature) || request.Header.Get(feed.HeaderDelivery) == "" {
		r.forged.Add(1)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if request.Header.Get(feed.HeaderJWS) == "signed "+string(body[:5]) {
		r.jws.Add(1)
	}
	r.take(body)
	if fault == "after" { // it has everything, and its answer gets lost
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) take(body []byte) {
	var d struct {
		Snapshot           string
		First, Last        bool
		Records            []feed.Record
		Previous, Sequence uint64
		Events             []struct {
			feed.Record
			Op                 string
			Sequence, Previous uint64
		}
	}
	if err := json.Unmarshal(body, &d); err != nil {
		r.tb.Error(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fields := func(record *feed.Record) string {
		out, err := json.Marshal(record.Fields)
		if err != nil {
			r.tb.Error(err)
		}
		return string(out)
	}
	if d.Snapshot != "" {
		if d.First {
			r.fresh = map[string]string{}
		}
		if r.names == nil {
			r.names = map[string]bool{}
		}
		r.names[d.Snapshot] = true
		for i := range d.Records {
			r.fresh[d.Records[i].ID] = fields(&d.Records[i])
		}
		if d.Last {
			r.has, r.at = r.fresh, &d.Sequence
			r.resets++
		}
		return
	}
	if r.at == nil || d.Previous > *r.at { // a repeated delivery begins earlier
		r.wrong.Add(1)
		return
	}
	at := d.Previous
	for i := range d.Events {
		e := &d.Events[i]
		if e.Previous != at {
			r.wrong.Add(1)
		}
		at = e.Sequence
		if e.Op == "delete" {
			delete(r.has, e.ID)
		} else {
			r.has[e.ID] = fields(&e.Record)
		}
	}
	r.at = &d.Sequence
}

func (r *receiver) snapshots() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.names)
}

func TestWebhook_SurvivesABadReceiver(t *testing.T) {
	onBoth(t, func(t *testing.T, c *country) {
		for range 20 {
			c.live(3000) // the snapshot has several deliveries
		}
		r := &receiver{tb: t, fault: func(n int64) string {
			return []string{"", "500", "", "kill", "after", "", "redirect"}[n%7]
		}}
		web := httptest.NewServer(r)
		defer web.Close()
		h := newHub(c, func(f *feed.Config, _ *FeedsConfig) {
			f.Sign = func(payload []byte) (string, error) { return "signed " + string(payload[:5]), nil }
		})
		s := feed.Subscription{Webhook: web.URL, Rows: &feed.Rows{Field: "commune", In: []string{"31825", "26734"}}}
		issued := h.add(s)
		r.secret.Store(issued.WebhookSecret)
		chosen := func(commune string) bool { return commune == "31825" || commune == "26734" }
		caughtUp := func(what string) {
			t.Helper()
			eventually(t, what, func() bool {
				status, err := h.feeds.Show(context.Background(), "bhxh")
				check(t, err)
				return status.Delivered != nil && *status.Delivered == h.head()
			})
			want, got := h.truth(issued.Subscription, chosen), r.rows()
			if len(want) == 0 || len(want) != len(got) {
				t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
			}
			for row, n := range want {
				if got[row] != n {
					t.Fatalf("%s: a row is there %d times, want %d", what, got[row], n)
				}
			}
		}
		caughtUp("the snapshot")
		for round := range 10 {
			for range 4 {
				c.live(200)
			}
			if round%4 == 3 {
				h.restart()
			}
		}
		caughtUp("changes")
		if r.wrong.Load() != 0 || r.snapshots() != 1 || r.jws.Load() == 0 {
			t.Errorf("%d deliveries out of order, %d snapshots, %d hub signatures", r.wrong.Load(), r.snapshots(), r.jws.Load())
		}
		// It stays away for longer than changes are kept: a new snapshot comes by itself.
		h.stop()
		h.config.Keep = 10
		for range 10 {
			c.live(200)
		}
		for { // before the sender looks, as it would have been over the days
			n, err := c.store.TrimFeed(context.Background(), residents, 0, 10, 1000)
			check(t, err)
			if n < 1000 {
				break
			}
		}
		h.start()
		caughtUp("after the retention")
		if r.forged.Load() != 0 || r.snapshots() != 2 {
			t.Errorf("%d deliveries with a wrong signature, %d snapshots", r.forged.Load(), r.snapshots())
		}
	})
}

func TestWebhook_IsSuspendedAndResumed(t *testing.T) {
	c := onSQLite(t)
	c.live(50)
	clock := &atomic.Int64{}
	start := time.Now()
	var broken atomic.Bool
	broken.Store(true)
	r := &receiver{tb: t, fault: func(int64) string {
		if broken.Load() {
			return "500"
		}
		return ""
	}}
	web := httptest.NewServer(r)
	defer web.Close()
	h := newHub(c, func(f *feed.Config, a *FeedsConfig) {
		f.Now = func() time.Time { return start.Add(time.Duration(clock.Load())) }
		a.Now = f.Now
	})
	issued := h.add(feed.Subscription{Webhook: web.URL})
	r.secret.Store(issued.WebhookSecret)
	eventually(t, "some failures", func() bool { return r.count.Load() > 3 })
	clock.Store(int64(73 * time.Hour))
	show := func() *feed.Status {
		status, err := h.feeds.Show(context.Background(), "bhxh")
		check(t, err)
		return status
	}
	eventually(t, "it is suspended", func() bool { return show().Suspended != nil })
	eventually(t, "somebody is told", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.notices) == 1 })
	if h.notices[0].Code != "feed.suspended" || show().LastError != "feed.status" {
		t.Errorf("the notice is %v, the last error %s", h.notices[0], show().LastError)
	}
	broken.Store(false)
	h.restart() // stays suspended
	if before := r.count.Load(); show().Suspended == nil || r.count.Load() != before {
		t.Error("a restart lifts the suspension")
	}
	check(t, h.feeds.Resume(context.Background(), "bhxh"))
	eventually(t, "it goes on", func() bool { s := show(); return s.Delivered != nil && *s.Delivered == h.head() && s.Suspended == nil })
	if len(r.rows()) == 0 {
		t.Error("nothing has arrived")
	}
}

func TestWebhook_AHangingReceiverDoesNotHoldTheHub(t *testing.T) {
	c := onSQLite(t)
	c.live(50)
	arrived := make(chan struct{}, 8)
	var release sync.Once
	r := &receiver{tb: t, fault: func(int64) string { arrived <- struct{}{}; return "hang" }}
	web := httptest.NewServer(r)
	defer web.Close()
	h := newHub(c, nil)
	h.add(feed.Subscription{Webhook: web.URL})
	<-arrived
	for range 50 { // landing does not wait
		c.live(50)
	}
	release.Do(func() { check(t, h.feeds.Remove(context.Background(), "bhxh")) }) // and neither does an operator
	head, err := c.store.FeedHead(context.Background(), residents)
	check(t, err)
	if head.Open {
		t.Error("the last subscription is gone, but changes are still logged")
	}
}

func TestWebhook_DoesNotReachIntoTheServer(t *testing.T) {
	c := onSQLite(t)
	c.live(50)
	called := make(chan struct{}, 8)
	web := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- struct{}{} }))
	defer web.Close()
	h := newHub(c, nil)
	// A name that is not this machine's and resolves to it all the same.
	_, port, _ := strings.Cut(strings.TrimPrefix(web.URL, "https://"), ":")
	h.add(feed.Subscription{Webhook: "https://LOCALHOST:" + port})
	eventually(t, "it fails", func() bool {
		status, err := h.feeds.Show(context.Background(), "bhxh")
		check(t, err)
		return status.LastError == "feed.address"
	})
	select {
	case <-called:
		t.Error("the server was called")
	default:
	}
	for address, want := range map[string]string{
		"http://169.254.169.254/": "feed.webhook", "https://user@x.vn/": "feed.webhook", "gopher://x.vn/": "feed.webhook", "": "feed.webhook",
	} {
		_, err := h.feeds.Add(context.Background(), feed.Subscription{
			ID: "x", Dataset: residents, Consumer: feed.Consumer{Name: "X", Member: "G33"}, CreatedBy: "t", Fields: []string{"number"},
			Webhook: address, Deliveries: []feed.Delivery{feed.Webhook},
		})
		if lienthong.ErrorCode(err) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

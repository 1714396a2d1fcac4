package landing_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/landing"
	"github.com/lienthong/lienthong/internal/store"
)

// relay notes what is handed on, and that the hub has not answered before.
type relay struct {
	hub   *hub
	fresh chan struct{} // closed when there is room
	given []*batch.Sealed
	early int // receipts that the hub had sent for what was handed on
}

func (r *relay) Relay(ctx context.Context, batches []*batch.Sealed) error {
	select {
	case <-r.fresh:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.hub.note(func() {
		for _, s := range batches {
			for _, receipt := range r.hub.receipts {
				if receipt.Sequence == s.Header.Sequence && !slices.ContainsFunc(r.given, func(g *batch.Sealed) bool { return g.Header.Sequence == s.Header.Sequence }) {
					r.early++
				}
			}
			r.given = append(r.given, s)
		}
	})
	return nil
}

// newTier is newHub with a hub above it.
func newTier(t *testing.T, change func(*landing.Config)) *hub {
	t.Helper()
	records, err := store.OpenSQLite(t.Context(), t.TempDir(), store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	opener, err := batch.NewOpener(key("g01"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, store: records, deliver: make(chan []landing.Delivery), changed: make(chan struct{}, 1)}
	config := landing.Config{
		Hub: "h12", Inbox: h, Answer: h, Store: storeAdapter{records}, Opener: opener, Log: slog.New(slog.DiscardHandler),
		Observe: func(e landing.Event) { h.note(func() { h.events = append(h.events, e) }) },
	}
	change(&config)
	lander := landing.New(config)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- lander.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		opener.Close()
		_ = records.Close()
	})
	return h
}

// A batch goes to the hub above byte by byte, and before the node hears that it may forget
// it; while there is no room above, the node hears nothing.
func TestLander_HandsOnBeforeItAnswers(t *testing.T) {
	r := &relay{fresh: make(chan struct{})}
	h := newTier(t, func(c *landing.Config) { c.Relay = r })
	r.hub = h
	n := newNode(t, "g01")
	shape, first := n.shapeBatch(), n.changes(n.change(1, "a", "x"))
	h.send(shape, first)
	h.mu.Lock()
	if len(h.receipts) > 0 {
		t.Error("a receipt while the hub above has no room")
	}
	h.mu.Unlock()
	close(r.fresh)
	h.await("two receipts", func() bool { return len(h.receipts) == 2 })
	h.send(first) // again: the hub may have died before it handed it on
	h.await("the receipt again", func() bool { return len(h.receipts) == 3 })
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.early > 0 {
		t.Errorf("%d receipts before their batch was handed on", r.early)
	}
	want := []landing.Delivery{shape, first, first}
	var got []landing.Delivery
	for _, s := range r.given {
		got = append(got, landing.Delivery{HeaderBytes: s.HeaderBytes, Signature: s.Signature, Payload: s.Payload})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is refused goes nowhere.
func TestLander_HandsOnNothingThatItRefuses(t *testing.T) {
	r := &relay{fresh: make(chan struct{})}
	close(r.fresh)
	h := newTier(t, func(c *landing.Config) { c.Relay = r })
	r.hub = h
	stranger := newNode(t, "stranger")
	h.send(stranger.shapeBatch())
	h.await("the refusal", func() bool { return len(h.events) > 0 })
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(r.given) > 0 {
		t.Error("a forged batch was handed on")
	}
}

func TestLander_AdmitsByTheRightLinkOnly(t *testing.T) {
	h := newTier(t, func(c *landing.Config) {
		c.Admit = func(node, link string) error {
			if node == "g01" && link == "h12" {
				return nil
			}
			return &lienthong.Error{Code: "batch.wrong_link", Vi: "x", En: "x", Hint: "x", Err: errors.New(link)}
		}
	})
	n := newNode(t, "g01")
	d := n.shapeBatch()
	d.Link = "h13"
	h.send(d)
	h.await("the refusal", func() bool { return len(h.events) == 1 })
	if diff := cmp.Diff([]string{"batch.wrong_link"}, h.refusals()); diff != "" {
		t.Error(diff)
	}
	d.Link = "h12"
	h.send(d)
	h.await("the receipt", func() bool { return len(h.receipts) == 1 })
}

// A chain goes on behind a hole only where its node says so, with a shape that names no
// batch before it.
func TestLander_ChainBeginsAnew(t *testing.T) {
	h, n := newHub(t), newNode(t, "g01")
	h.send(n.shapeBatch(), n.changes(n.change(1, "a", "x")))
	h.await("the beginning", func() bool { return len(h.receipts) == 2 })
	n.sequence = 40 // 3 to 40 are nowhere any more
	h.send(n.changes(n.change(2, "a", "y")))
	h.await("the request for what is missing", func() bool { return len(h.expects) == 1 })
	n.previous = ""
	again := n.shapeBatch()
	h.send(again, n.changes(n.change(3, "a", "z")))
	h.await("two receipts more", func() bool { return len(h.receipts) == 4 })
	heads, err := h.store.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream := lienthong.Stream{Node: "g01", Dataset: n.shape.Dataset}
	if heads[stream].Sequence != 43 {
		t.Errorf("the head is %d, want 43", heads[stream].Sequence)
	}
	h.mu.Lock()
	named := slices.ContainsFunc(h.events, func(e landing.Event) bool {
		return e.Kind == "restarted" && e.Code == "batch.restarted" && e.Header.Sequence == 42
	})
	h.mu.Unlock()
	if !named {
		t.Error("nobody was told that the chain began anew")
	}
	// A beginning that has landed is no way back.
	n.sequence, n.previous = 41, ""
	n.shape.Version = 1
	other := n.changes(n.change(9, "a", "old"))
	h.send(other)
	h.await("the refusal", func() bool { return slices.Contains(h.expects, "store.forked from 44") })
}

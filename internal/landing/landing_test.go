package landing_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/landing"
	"github.com/lienthong/lienthong/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// key signs with a keyed hash: the real signatures are package trust's.
type key string

func (k key) Sign(payload []byte) (string, error) {
	sum := sha256.Sum256(append([]byte(k), payload...))
	return hex.EncodeToString(sum[:]), nil
}

func (k key) VerifyNode(payload []byte, jws string) (string, error) {
	if want, _ := k.Sign(payload); jws != want {
		return "", errors.New("wrong signature")
	}
	return "g01", nil
}

// hub is a lander on a real SQLite store, with an inbox and answers in memory.
type hub struct {
	t       *testing.T
	store   *store.Store
	deliver chan []landing.Delivery

	mu       sync.Mutex
	receipts []lienthong.Receipt
	expects  []string
	repairs  [][]int
	events   []landing.Event
	changed  chan struct{}
}

func (h *hub) Next(ctx context.Context, _, _ int) ([]landing.Delivery, error) {
	select {
	case group := <-h.deliver:
		return group, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *hub) Done(context.Context, uint64) error { return nil }

func (h *hub) note(f func()) {
	h.mu.Lock()
	f()
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *hub) Receipts(_ string, r []lienthong.Receipt) error {
	// Promise 2: whoever has a receipt finds the batch in the ledger.
	heads, err := h.store.Heads(h.t.Context())
	if err != nil {
		h.t.Error(err)
	}
	for _, receipt := range r {
		if heads[receipt.Stream].Sequence < receipt.Sequence {
			h.t.Errorf("receipt for %d before its commit", receipt.Sequence)
		}
	}
	h.note(func() { h.receipts = append(h.receipts, r...) })
	return nil
}

func (h *hub) Expect(_ lienthong.Stream, sequence uint64, code string) error {
	h.note(func() { h.expects = append(h.expects, fmt.Sprintf("%s from %d", code, sequence)) })
	return nil
}

func (h *hub) Repair(_ lienthong.Stream, _ string, buckets []int) error {
	h.note(func() { h.repairs = append(h.repairs, buckets) })
	return nil
}

// storeAdapter is what package app does between the two packages.
type storeAdapter struct{ *store.Store }

func (s storeAdapter) Heads(ctx context.Context) (map[lienthong.Stream]landing.Head, error) {
	heads, err := s.Store.Heads(ctx)
	converted := map[lienthong.Stream]landing.Head{}
	for stream, head := range heads {
		converted[stream] = landing.Head(head)
	}
	return converted, err
}

func (s storeAdapter) Apply(ctx context.Context, items []landing.Item) ([]landing.Applied, error) {
	converted := make([]store.Item, len(items))
	for i, item := range items {
		converted[i] = store.Item{Header: item.Header, Digest: item.Digest, Shape: item.Shape, Body: item.Body}
		if item.Rows != nil {
			converted[i].Rows = item.Rows
		}
	}
	results, err := s.Store.Apply(ctx, converted)
	applied := make([]landing.Applied, len(results))
	for i, r := range results {
		applied[i] = landing.Applied{Landed: r.Landed, Ignored: r.Ignored, At: r.AppliedAt, Duplicate: r.Duplicate}
	}
	return applied, err
}

type frozenAdapter struct{ *store.Frozen }

func (f frozenAdapter) Close() { _ = f.Frozen.Close() }

func (s storeAdapter) Freeze(ctx context.Context) (landing.Frozen, error) {
	frozen, err := s.Store.Freeze(ctx)
	return frozenAdapter{frozen}, err
}

func newHub(t *testing.T) *hub {
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
	lander := landing.New(landing.Config{
		Hub: "ndc", Inbox: h, Answer: h, Store: storeAdapter{records}, Opener: opener, Log: slog.New(slog.DiscardHandler),
		Observe: func(e landing.Event) { h.note(func() { h.events = append(h.events, e) }) },
	})
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

func (h *hub) send(deliveries ...landing.Delivery) {
	h.t.Helper()
	select {
	case h.deliver <- deliveries:
	case <-time.After(20 * time.Second):
		h.t.Fatal("the lander does not take messages")
	}
}

// await waits until the condition, which runs under the lock, holds.
func (h *hub) await(what string, condition func() bool) {
	h.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		h.mu.Lock()
		ok := condition()
		h.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-h.changed:
		case <-deadline:
			h.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (h *hub) refusals() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var codes []string
	for _, e := range h.events {
		if e.Kind == "refused" {
			codes = append(codes, e.Code)
		}
	}
	return codes
}

// node makes a chain of batches.
type node struct {
	t        *testing.T
	sealer   *batch.Sealer
	shape    *lienthong.Shape
	sequence uint64
	previous string
}

func newNode(t *testing.T, k key) *node {
	t.Helper()
	sealer, err := batch.NewSealer(k)
	if err != nil {
		t.Fatal(err)
	}
	return &node{t: t, sealer: sealer, shape: &lienthong.Shape{
		Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Version: 1,
		Fields:   []lienthong.Field{{Name: "key", Kind: lienthong.Text, Mapped: true}, {Name: "name", Kind: lienthong.Text, Mapped: true}},
		Identity: []int{0},
	}}
}

func (n *node) seal(kind lienthong.BatchKind, count int, mark string, raw []byte) landing.Delivery {
	n.t.Helper()
	n.sequence++
	sealed, err := n.sealer.Seal(lienthong.BatchHeader{
		Stream: lienthong.Stream{Node: "g01", Dataset: n.shape.Dataset}, Sequence: n.sequence, Kind: kind, ShapeVersion: 1,
		Count: count, Previous: n.previous, Checkpoint: mark,
	}, raw)
	if err != nil {
		n.t.Fatal(err)
	}
	n.previous = sealed.Digest()
	return landing.Delivery{HeaderBytes: sealed.HeaderBytes, Signature: sealed.Signature, Payload: sealed.Payload}
}

func (n *node) shapeBatch() landing.Delivery {
	n.t.Helper()
	body, err := json.Marshal(n.shape)
	if err != nil {
		n.t.Fatal(err)
	}
	return n.seal(lienthong.ShapeBatch, 0, "", body)
}

func (n *node) change(version int64, id, name string) lienthong.Change {
	return lienthong.Change{ID: []byte(id), Version: version, At: version, Values: []lienthong.Value{
		{State: lienthong.Present, Bytes: []byte(id)}, {State: lienthong.Present, Bytes: []byte(name)},
	}}
}

func (n *node) changes(rows ...lienthong.Change) landing.Delivery {
	n.t.Helper()
	var raw []byte
	for i := range rows {
		raw = batch.AppendRow(raw, n.shape, &rows[i])
	}
	return n.seal(lienthong.ChangesBatch, len(rows), "", raw)
}

func TestLander_AnswersAfterTheCommit(t *testing.T) {
	h, n := newHub(t), newNode(t, "g01")
	h.send(n.shapeBatch(), n.changes(n.change(1, "a", "x"), n.change(2, "b", "y")), n.changes(n.change(3, "a", "z")))
	h.await("three receipts", func() bool { return len(h.receipts) == 3 })
	if got := h.receipts[1].Landed; got != 2 {
		t.Errorf("landed %d rows, want 2", got)
	}
}

func TestLander_RefusesAndNames(t *testing.T) {
	type bad struct {
		name   string
		make   func(n *node) []landing.Delivery // after shape and one batch have landed
		code   string
		expect string
	}
	for _, c := range []bad{
		{"forged", func(*node) []landing.Delivery {
			stranger := newNode(t, "stranger")
			stranger.sequence = 2
			return []landing.Delivery{stranger.changes(stranger.change(9, "a", "forged"))}
		}, "batch.forged", "batch.forged from 3"},
		{"truncated", func(n *node) []landing.Delivery {
			d := n.changes(n.change(9, "a", "cut"))
			d.Payload = d.Payload[:len(d.Payload)-2]
			return []landing.Delivery{d}
		}, "batch.payload", "batch.payload from 3"},
		{"reordered", func(n *node) []landing.Delivery {
			n.changes(n.change(8, "a", "first")) // on its way, but later
			return []landing.Delivery{n.changes(n.change(9, "a", "second"))}
		}, "batch.gap", "batch.gap from 3"},
		{"of another chain", func(n *node) []landing.Delivery {
			n.previous = "0000"
			return []landing.Delivery{n.changes(n.change(9, "a", "other"))}
		}, "batch.chain", "batch.chain from 3"},
		{"under a number that is taken", func(n *node) []landing.Delivery {
			n.sequence = 1
			return []landing.Delivery{n.changes(n.change(9, "a", "rewritten"))}
		}, "store.forked", "store.forked from 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, n := newHub(t), newNode(t, "g01")
			h.send(n.shapeBatch(), n.changes(n.change(1, "a", "genuine")))
			h.await("the genuine batch", func() bool { return len(h.receipts) == 2 })
			h.send(c.make(n)...)
			h.await("the request to send again", func() bool { return len(h.expects) > 0 })
			if got := h.refusals(); !slices.Contains(got, c.code) {
				t.Errorf("refused as %v, want %s", got, c.code)
			}
			if diff := cmp.Diff([]string{c.expect}, h.expects); diff != "" {
				t.Error(diff)
			}
			if len(h.receipts) != 2 {
				t.Errorf("%d receipts, want 2: a refused batch has none", len(h.receipts))
			}
		})
	}
}

func TestLander_ReplayChangesNothingAndGetsItsReceiptAgain(t *testing.T) {
	h, n := newHub(t), newNode(t, "g01")
	shape, first := n.shapeBatch(), n.changes(n.change(1, "a", "x"))
	h.send(shape, first)
	h.await("two receipts", func() bool { return len(h.receipts) == 2 })
	h.send(first)
	h.await("the receipt again", func() bool { return len(h.receipts) == 3 })
	if diff := cmp.Diff(h.receipts[1], h.receipts[2]); diff != "" {
		t.Errorf("the second receipt differs: %s", diff)
	}
	if got := h.refusals(); !slices.Contains(got, "batch.replayed") {
		t.Errorf("named %v, want batch.replayed", got)
	}
}

func TestLander_ComparesAtTheCheckpoint(t *testing.T) {
	for _, c := range []struct {
		name   string
		source []string // what the source holds at the checkpoint
		want   lienthong.ReconcileWord
	}{
		{"equal", []string{"a=1", "b=2"}, lienthong.Matches},
		{"lost at the hub", []string{"a=1", "b=2", "c=3"}, lienthong.Differs},
		{"changed", []string{"a=1", "b=9"}, lienthong.Differs},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, n := newHub(t), newNode(t, "g01")
			body := batch.DigestBody{Checkpoint: "mark", SourceRows: int64(len(c.source)), Digest: new(batch.Digest)}
			hasher := batch.NewHasher(n.shape)
			for _, row := range c.source {
				change := n.change(1, row[:1], row[2:])
				body.Digest.Add(hasher.Row(change.ID, change.Values))
			}
			digest, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			h.send(n.shapeBatch(), n.changes(n.change(1, "a", "1"), n.change(1, "b", "2")),
				n.seal(lienthong.CheckpointBatch, 0, "mark", nil),
				n.changes(n.change(5, "a", "after the checkpoint")), // must not be seen
				n.seal(lienthong.DigestBatch, 0, "mark", digest))
			var result *lienthong.Reconciliation
			h.await("the comparison", func() bool {
				for _, e := range h.events {
					if e.Kind == "reconciled" {
						result = e.Result
					}
				}
				return result != nil && (result.Result == lienthong.Matches || len(h.repairs) > 0)
			})
			if result.Result != c.want || result.LandedRows != 2 {
				t.Errorf("%s with %d landed rows, want %s with 2", result.Result, result.LandedRows, c.want)
			}
		})
	}
}

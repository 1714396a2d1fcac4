package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/feed"
	"github.com/lienthong/lienthong/internal/pgtest"
	"github.com/lienthong/lienthong/internal/store"
)

var server *pgtest.Server // set once, by TestMain

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lienthong-api")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if server, err = pgtest.Start(dir, "fsync=off"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	server.Close()
	if code == 0 {
		// nats-server keeps one process-wide clock goroutine per embedded server generation.
		err := goleak.Find(goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantCode(tb testing.TB, err error, code string) {
	tb.Helper()
	if lienthong.ErrorCode(err) != code {
		tb.Fatalf("error is %v, want code %s", err, code)
	}
}

// eventually polls until a condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			tb.Fatalf("not in time: %s", what)
		}
	}
}

var residents = lienthong.DatasetID{Database: "population", Name: "resident"}

func shape() *lienthong.Shape {
	return &lienthong.Shape{Dataset: residents, Version: 1, Identity: []int{0}, Fields: []lienthong.Field{
		{Name: "number", Kind: lienthong.Text, Personal: true},
		{Name: "full_name", Kind: lienthong.Text, Personal: true},
		{Name: "commune", Kind: lienthong.Text},
		{Name: "born", Kind: lienthong.Date},
		{Name: "income", Kind: lienthong.Decimal},
		{Name: "score", Kind: lienthong.Real},
		{Name: "alive", Kind: lienthong.Boolean},
		{Name: "household", Kind: lienthong.Integer},
		{Name: "updated", Kind: lienthong.Timestamp},
		{Name: "photo", Kind: lienthong.Binary},
	}}
}

func text(s string) lienthong.Value {
	return lienthong.Value{State: lienthong.Present, Bytes: []byte(s)}
}

func number64(n int64) lienthong.Value { return lienthong.Value{State: lienthong.Present, Int: n} }

// country is a store with sources that land into it.
type country struct {
	tb     testing.TB
	open   func() (*store.Store, error)
	store  *store.Store
	shape  *lienthong.Shape
	chains []*chain
	rng    *rand.Rand
}

type chain struct {
	stream   lienthong.Stream
	sequence uint64
	digest   string
	versions map[string]int64
}

type rows struct {
	changes []lienthong.Change
	at      int
}

func (r *rows) Next(c *lienthong.Change) bool {
	if r.at == len(r.changes) {
		return false
	}
	*c = r.changes[r.at]
	r.at++
	return true
}

func (r *rows) Err() error { return nil }

func onBoth(t *testing.T, test func(t *testing.T, c *country)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		test(t, newCountry(t, func() (*store.Store, error) { return store.OpenSQLite(context.Background(), dir, store.Config{}) }))
	})
	t.Run("postgres", func(t *testing.T) {
		dsn := server.Database(t)
		test(t, newCountry(t, func() (*store.Store, error) { return store.OpenPostgres(context.Background(), dsn, store.Config{}) }))
	})
}

func onSQLite(tb testing.TB) *country {
	tb.Helper()
	dir := tb.TempDir()
	return newCountry(tb, func() (*store.Store, error) { return store.OpenSQLite(context.Background(), dir, store.Config{}) })
}

func newCountry(tb testing.TB, open func() (*store.Store, error)) *country {
	tb.Helper()
	c := &country{tb: tb, open: open, shape: shape(), rng: rand.New(rand.NewPCG(2, 71))}
	var err error
	c.store, err = open()
	check(tb, err)
	tb.Cleanup(func() { check(tb, c.store.Close()) })
	check(tb, c.store.DefineShape(context.Background(), c.shape))
	for _, node := range []string{"g01", "h49"} {
		c.chains = append(c.chains, &chain{stream: lienthong.Stream{Node: node, Dataset: residents}, versions: map[string]int64{}})
	}
	return c
}

func (c *country) apply(ch *chain, changes ...lienthong.Change) {
	c.tb.Helper()
	ch.sequence++
	item := store.Item{
		Header: lienthong.BatchHeader{
			Stream: ch.stream, Sequence: ch.sequence, Kind: lienthong.ChangesBatch, ShapeVersion: 1, Count: len(changes), Previous: ch.digest,
		},
		Shape: c.shape, Rows: &rows{changes: changes},
	}
	ch.digest = ch.stream.Node + strconv.FormatUint(ch.sequence, 10)
	item.Digest = ch.digest
	_, err := c.store.Apply(context.Background(), []store.Item{item})
	check(c.tb, err)
}

func (c *country) resident(ch *chain, n int, commune string) lienthong.Change {
	id := fmt.Sprintf("%012d", n)
	ch.versions[id]++
	v := ch.versions[id]
	values := []lienthong.Value{
		text(id), text("Nguyễn Thị \"Sáu\"\n" + strconv.FormatInt(v, 10)), text(commune), number64(int64(n*37 - 20000)), text(strconv.Itoa(n) + ".50"),
		number64(0x3ff8000000000000), number64(v % 2), number64(int64(n) << 40), number64(1_700_000_000_123_456 + v), text("\x00\xff\x10"),
	}
	if n%5 == 0 {
		values[4], values[5], values[9] = lienthong.Value{}, lienthong.Value{}, lienthong.Value{}
	}
	return lienthong.Change{Op: lienthong.Upsert, ID: []byte(id), Version: v, At: 1_700_000_000_000_000 + v, Values: values}
}

func (c *country) gone(ch *chain, n int) lienthong.Change {
	id := fmt.Sprintf("%012d", n)
	ch.versions[id]++
	return lienthong.Change{Op: lienthong.Delete, ID: []byte(id), Version: ch.versions[id], At: 1_700_000_000_000_001}
}

var communes = []string{"31825", "31828", "00004", "26734"}

// live lands a batch of random changes among so many records.
func (c *country) live(records int) {
	c.tb.Helper()
	ch := c.chains[c.rng.IntN(len(c.chains))]
	var changes []lienthong.Change
	for range 1 + c.rng.IntN(40) {
		n := c.rng.IntN(records)
		switch c.rng.IntN(8) {
		case 0:
			changes = append(changes, c.gone(ch, n))
		case 1:
			hold := c.gone(ch, n)
			hold.Op = lienthong.Hold
			changes = append(changes, hold)
		default:
			changes = append(changes, c.resident(ch, n, communes[c.rng.IntN(len(communes))]))
		}
	}
	c.apply(ch, changes...)
}

// hub is feeds and their HTTP, as a hub has them.
type hub struct {
	c      *country
	config feed.Config
	api    FeedsConfig
	addr   string
	feeds  *feed.Feeds
	stop   func()

	mu      sync.Mutex
	audited []feed.Access
	notices []*lienthong.Error
}

func newHub(c *country, change func(*feed.Config, *FeedsConfig)) *hub {
	c.tb.Helper()
	h := &hub{c: c, addr: "127.0.0.1:0"}
	h.config = feed.Config{
		Dir: c.tb.TempDir(), Key: make([]byte, 32), Heartbeat: 200 * time.Millisecond, Backoff: 5 * time.Millisecond, Webhooks: true,
		Under: func(province string) ([]string, bool) { return []string{"31825", "31828"}, province == "96" },
		Audit: func(_ context.Context, a feed.Access) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.audited = append(h.audited, a)
		},
		Notice: func(_ context.Context, _ string, problem *lienthong.Error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.notices = append(h.notices, problem)
		},
		Log: slog.New(slog.DiscardHandler),
	}
	h.api = FeedsConfig{PerMinute: 1_000_000}
	if change != nil {
		change(&h.config, &h.api)
	}
	h.start()
	c.tb.Cleanup(func() { h.stop() })
	return h
}

func (h *hub) start() {
	h.c.tb.Helper()
	h.config.Store = h.c.store
	var err error
	h.feeds, err = feed.Start(context.Background(), h.config)
	check(h.c.tb, err)
	h.api.Feeds = h.feeds
	var listener net.Listener
	listener, err = net.Listen("tcp", h.addr)
	check(h.c.tb, err)
	h.addr = listener.Addr().String()
	web := &http.Server{Handler: Feeds(h.api)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.c.tb.Error(err)
		}
	}()
	h.stop = func() {
		_ = web.Close()
		<-done
		h.feeds.Close()
	}
}

// restart ends feeds, HTTP and store, and opens them again.
func (h *hub) restart() {
	h.c.tb.Helper()
	h.stop()
	check(h.c.tb, h.c.store.Close())
	var err error
	h.c.store, err = h.c.open()
	check(h.c.tb, err)
	h.start()
}

func (h *hub) url() string { return "http://" + h.addr }

func (h *hub) add(s feed.Subscription) *feed.Issued {
	h.c.tb.Helper()
	if s.ID == "" {
		s.ID = "bhxh"
	}
	s.Dataset, s.CreatedBy = residents, "test"
	s.Consumer = feed.Consumer{Name: "BHXH Việt Nam", Member: "G33"}
	if s.Fields == nil {
		for i := range h.c.shape.Fields {
			s.Fields = append(s.Fields, h.c.shape.Fields[i].Name)
		}
	}
	issued, err := h.feeds.Add(context.Background(), s)
	check(h.c.tb, err)
	return issued
}

package bus

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// line is a hub and one node of it, with what a test wants different.
type line struct {
	t      *testing.T
	dir    string
	tls    func(name string) *tls.Config
	hub    *Hub
	sealer *batch.Sealer
	head   map[lienthong.Stream]uint64
}

func newLine(t *testing.T, relays func(string) bool) *line {
	t.Helper()
	sealer, err := batch.NewSealer(seal("node"))
	if err != nil {
		t.Fatal(err)
	}
	l := &line{t: t, dir: t.TempDir(), tls: newAuthority(t), sealer: sealer, head: map[lienthong.Stream]uint64{}}
	l.hub, err = StartHub(t.Context(), HubConfig{
		Name: "hub", Dir: filepath.Join(l.dir, "hub"), Listen: "127.0.0.1:0", TLS: l.tls("hub"), Signer: seal("hub"), Log: quiet(), Relays: relays,
		Peer: func(state tls.ConnectionState) (string, error) {
			return state.PeerCertificates[0].Subject.CommonName, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.hub.Close)
	return l
}

// node starts a node; without a line it reaches nobody.
func (l *line) node(name string, connected bool, change func(*NodeConfig)) *Node {
	l.t.Helper()
	c := NodeConfig{
		Name: name, Dir: filepath.Join(l.dir, name), TLS: l.tls(name), Signer: seal(name), Hub: seal("hub"), HubName: "hub", Reserve: 1,
		Stall: time.Second, Log: quiet(),
		Receipted: func(context.Context, []SignedReceipt, []lienthong.Receipt) error { return nil },
	}
	if connected {
		c.HubAddr = l.hub.Addr()
	}
	if change != nil {
		change(&c)
	}
	n, err := StartNode(l.t.Context(), c)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

func streamOf(node, dataset string) lienthong.Stream {
	return lienthong.Stream{Node: node, Dataset: lienthong.DatasetID{Database: "d", Name: dataset}}
}

func (l *line) batch(s lienthong.Stream, sequence uint64, kind lienthong.BatchKind, size int) *batch.Sealed {
	l.t.Helper()
	raw := make([]byte, size)
	_, _ = rand.Read(raw) // does not compress
	previous := "x"
	if sequence == 1 || kind == lienthong.ShapeBatch {
		previous = ""
	}
	sealed, err := l.sealer.Seal(lienthong.BatchHeader{Stream: s, Sequence: sequence, Kind: kind, Previous: previous, Sealed: int64(sequence)}, raw)
	if err != nil {
		l.t.Fatal(err)
	}
	return sealed
}

func (l *line) append(n *Node, s *batch.Sealed) {
	l.t.Helper()
	if err := n.Append(l.t.Context(), s); err != nil {
		l.t.Fatal(err)
	}
}

// take receives so many batches in the order in which they come.
func (l *line) take(n int) []lienthong.BatchHeader {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	var got []lienthong.BatchHeader
	for len(got) < n {
		group, err := l.hub.Next(ctx, 1, 1)
		if err != nil {
			l.t.Fatalf("%d of %d batches: %v", len(got), n, err)
		}
		header, err := batch.ParseHeader(group[0].HeaderBytes)
		if err != nil {
			l.t.Fatal(err)
		}
		got = append(got, header)
	}
	return got
}

// receipts makes those of a hub.
func receiptsOf(hub string, batches ...*batch.Sealed) []SignedReceipt {
	var all []SignedReceipt
	for _, s := range batches {
		body, _ := json.Marshal(lienthong.Receipt{Stream: s.Header.Stream, Sequence: s.Header.Sequence, Hub: hub, Digest: s.Digest()})
		all = append(all, SignedReceipt{Body: string(body), Signature: hub})
	}
	return all
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-tick.C
	}
}

// What is urgent goes before what waited longer; inside a stream the order is the chain's;
// what is of a low class gets its share.
func TestNode_ClassesShareTheLine(t *testing.T) {
	l := newLine(t, nil)
	classes := map[string]Class{"urgent": Urgent, "bulk": Bulk}
	offline := l.node("node", false, nil)
	const each = 40
	for i := range uint64(each) {
		l.append(offline, l.batch(streamOf("node", "bulk"), i+1, lienthong.ChangesBatch, 2000))
	}
	for i := range uint64(each) {
		l.append(offline, l.batch(streamOf("node", "load"), i+1, lienthong.SnapshotBatch, 2000))
	}
	for i := range uint64(each) {
		l.append(offline, l.batch(streamOf("node", "urgent"), i+1, lienthong.ChangesBatch, 2000))
	}
	offline.Close()
	n := l.node("node", true, func(c *NodeConfig) { c.Class = func(s lienthong.Stream) Class { return classes[s.Dataset.Name] } })
	defer n.Close()
	got := l.take(3 * each)
	place := map[string][]int{}
	next := map[string]uint64{}
	for i, h := range got {
		name := h.Dataset.Name
		place[name] = append(place[name], i)
		if next[name]++; h.Sequence != next[name] {
			t.Fatalf("%s #%d came as number %d of its chain", name, h.Sequence, next[name])
		}
	}
	if last := place["urgent"][each-1]; last > each*3/2 {
		t.Errorf("the last urgent batch came as number %d", last)
	}
	if place["urgent"][0] > 2 {
		t.Errorf("the first urgent batch came as number %d", place["urgent"][0])
	}
	if place["bulk"][0] > each || place["load"][0] > each {
		t.Errorf("nothing of the low classes before number %d and %d", place["bulk"][0], place["load"][0])
	}
}

// The rate is kept over the whole, whatever the size of the batches; it may change while
// the node runs.
func TestNode_KeepsItsRate(t *testing.T) {
	l := newLine(t, nil)
	n := l.node("node", false, nil)
	const size, batches = 50_000, 13
	for i := range uint64(batches) {
		l.append(n, l.batch(streamOf("node", "a"), i+1, lienthong.ChangesBatch, size))
	}
	n.Close()
	const rate = 200_000
	begun := time.Now()
	n = l.node("node", true, func(c *NodeConfig) { c.Rate = func() int64 { return rate } })
	defer n.Close()
	l.take(batches)
	// A second's worth is free, and the last one need not be paid for.
	least := time.Duration(float64(size*(batches-1))/rate*float64(time.Second)) - time.Second
	if took := time.Since(begun); took < least {
		t.Errorf("%d bytes in %s at %d bytes/s, want at least %s", size*batches, took, rate, least)
	}
}

// Only the link of a hub may bring batches of others, and they say by whose link they came.
func TestHub_RelaysByPermission(t *testing.T) {
	l := newLine(t, func(node string) bool { return node == "province" })
	province := l.node("province", true, func(c *NodeConfig) { c.Relay = true })
	defer province.Close()
	agency := l.node("agency", true, func(c *NodeConfig) { c.Relay = true })
	defer agency.Close()
	eventually(t, "both are linked", func() bool { return province.Linked() && agency.Linked() })
	l.append(agency, l.batch(streamOf("commune", "a"), 7, lienthong.ChangesBatch, 10))
	genuine := l.batch(streamOf("commune", "a"), 1, lienthong.ChangesBatch, 10)
	l.append(province, genuine)
	l.append(province, genuine) // a crash repeats it: it is there once
	if waiting, _ := province.Depth(); waiting != 1 {
		t.Errorf("%d batches wait, want 1", waiting)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	group, err := l.hub.Next(ctx, 10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range group {
		if d.Link != "province" || string(d.HeaderBytes) != string(genuine.HeaderBytes) || d.Signature != genuine.Signature {
			t.Errorf("%s brought %s", d.Link, d.HeaderBytes)
		}
	}
}

// What comes by hand goes the same way as what comes by a link.
func TestHub_DeliverAndTaken(t *testing.T) {
	l := newLine(t, nil)
	own, other := l.batch(streamOf("node", "a"), 1, lienthong.ChangesBatch, 10), l.batch(streamOf("commune", "a"), 1, lienthong.ChangesBatch, 10)
	var last uint64
	for _, s := range []*batch.Sealed{own, other} {
		number, err := l.hub.Deliver(t.Context(), "node", s)
		if err != nil || number <= last {
			t.Fatal(number, err)
		}
		last = number
	}
	taken := make(chan error, 1)
	go func() { taken <- l.hub.Taken(t.Context(), last) }()
	for range 2 {
		group, err := l.hub.Next(t.Context(), 1, 1)
		if err != nil || group[0].Link != "node" {
			t.Fatal(group, err)
		}
		select {
		case <-taken:
			t.Fatal("taken before landing said so")
		default:
		}
		if err := l.hub.Done(t.Context(), group[0].Number); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
}

// A receipt of a hub above is written down and answered; without the right to know of it
// it is refused, and it frees no batch.
func TestNode_ReceiptsOfHubsAbove(t *testing.T) {
	l := newLine(t, nil)
	var mu sync.Mutex
	var passed []string
	n := l.node("node", true, func(c *NodeConfig) {
		c.Hub = anyHub{}
		c.Passed = func(_ context.Context, _ []SignedReceipt, receipts []lienthong.Receipt) error {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range receipts {
				passed = append(passed, r.Hub)
			}
			return nil
		}
	})
	defer n.Close()
	var heard []ReceiptRef
	listening, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- l.hub.Heard(listening, func(node string, refs []ReceiptRef) {
			mu.Lock()
			defer mu.Unlock()
			if node == "node" {
				heard = append(heard, refs...)
			}
		})
	}()
	defer func() {
		stop()
		<-ended
	}()
	s := l.batch(streamOf("node", "a"), 1, lienthong.ChangesBatch, 10)
	l.append(n, s)
	l.take(1)
	lying := receiptsOf("nation", s)
	lying[0].Signature = "hub" // the province signs in the nation's name
	eventually(t, "the receipt of the hub above is answered", func() bool {
		if err := l.hub.Tell("node", Control{Receipts: append(lying, receiptsOf("nation", s)...)}); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return len(heard) > 0
	})
	mu.Lock()
	if heard[0].Hub != "nation" || heard[0].Sequence != 1 || slices.Contains(passed, "hub") {
		t.Errorf("heard %+v, passed %v", heard, passed)
	}
	mu.Unlock()
	if waiting, _ := n.Depth(); waiting != 1 {
		t.Errorf("%d batches wait, want 1: only the own hub's receipt frees one", waiting)
	}
	if accepted, err := n.Accept(t.Context(), receiptsOf("hub", s)); accepted != 1 || err != nil {
		t.Error(accepted, err)
	}
	if waiting, size := n.Depth(); waiting != 0 || size != 0 {
		t.Errorf("%d batches wait, %d bytes", waiting, size)
	}
}

// anyHub believes that every signature is of the hub that it spells.
type anyHub struct{}

func (anyHub) VerifyNode(_ []byte, jws string) (string, error) { return jws, nil }

// A hub that asks for what has left the spool is told apart from one that asks for what
// comes next; a chain that begins anew answers it, and what is before the beginning is let go
// with its receipt.
func TestNode_AskedForWhatIsGone(t *testing.T) {
	l := newLine(t, nil)
	gone := make(chan Expect, 16)
	n := l.node("node", true, func(c *NodeConfig) { c.Gone = func(e Expect) { gone <- e } })
	defer n.Close()
	s := streamOf("node", "a")
	stale := l.batch(s, 5, lienthong.ChangesBatch, 10)
	l.append(n, stale)
	l.take(1)
	expect := func(sequence uint64) {
		t.Helper()
		if err := l.hub.Tell("node", Control{Expect: &Expect{Stream: s, Sequence: sequence, Code: "batch.gap"}}); err != nil {
			t.Fatal(err)
		}
	}
	expect(5)
	l.take(1) // again
	expect(2)
	if e := <-gone; e.Sequence != 2 {
		t.Fatalf("gone %+v", e)
	}
	l.take(1)
	begin := l.batch(s, 6, lienthong.ShapeBatch, 10)
	l.append(n, begin)
	l.take(1)
	expect(2)
	if got := l.take(1); got[0].Sequence != 6 {
		t.Errorf("#%d was sent, which the hub cannot use", got[0].Sequence)
	}
	select {
	case e := <-gone:
		t.Errorf("%+v is gone, and the chain has begun anew", e)
	default:
	}
	if _, err := n.Accept(t.Context(), receiptsOf("hub", begin)); err != nil {
		t.Fatal(err)
	}
	if waiting, size := n.Depth(); waiting != 0 || size != 0 {
		t.Errorf("%d batches wait, %d bytes", waiting, size)
	}
}

// What is done behind a batch that still waits is removed from the disk, and nothing that
// waits is.
func TestNode_TrimsBehindWhatWaits(t *testing.T) {
	l := newLine(t, nil)
	n := l.node("node", false, nil)
	defer func() { n.Close() }()
	waits := l.batch(streamOf("node", "slow"), 1, lienthong.SnapshotBatch, 1000)
	l.append(n, waits)
	var done []*batch.Sealed
	for i := range uint64(12) {
		s := l.batch(streamOf("node", "fast"), i+1, lienthong.ChangesBatch, 1<<20)
		l.append(n, s)
		done = append(done, s)
	}
	after := l.batch(streamOf("node", "slow"), 2, lienthong.SnapshotBatch, 1000)
	l.append(n, after)
	if accepted, err := n.Accept(t.Context(), receiptsOf("hub", done...)); accepted != 12 || err != nil {
		t.Fatal(accepted, err)
	}
	onDisk := func() uint64 {
		_, js := n.engine.parts()
		stream, err := js.Stream(t.Context(), spoolName)
		if err != nil {
			t.Fatal(err)
		}
		return stream.CachedInfo().State.Msgs
	}
	eventually(t, "two batches on the disk", func() bool { return onDisk() == 2 })
	var left []uint64
	err := n.Each(t.Context(), 0, func(_ uint64, s *batch.Sealed) error {
		left = append(left, s.Header.Sequence)
		return nil
	})
	if err != nil || !slices.Equal(left, []uint64{1, 2}) {
		t.Errorf("%v wait, %v", left, err)
	}
	if _, err := n.Accept(t.Context(), receiptsOf("hub", waits, after)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing on the disk", func() bool { return onDisk() == 0 })
	if fill := n.Fill(); fill != 0 {
		t.Errorf("the spool is %f full, and empty", fill)
	}
}

// What the hub cannot take yet stays where it is.
func TestNode_HoldsBackWhatIsNotReady(t *testing.T) {
	l := newLine(t, func(string) bool { return true })
	var mu sync.Mutex
	ready := map[string]bool{"known": true}
	n := l.node("node", true, func(c *NodeConfig) {
		c.Relay = true
		c.Ready = func(s lienthong.Stream) bool {
			mu.Lock()
			defer mu.Unlock()
			return ready[s.Node]
		}
	})
	defer n.Close()
	l.append(n, l.batch(streamOf("stranger", "a"), 1, lienthong.ChangesBatch, 10))
	l.append(n, l.batch(streamOf("known", "a"), 1, lienthong.ChangesBatch, 10))
	if got := l.take(1); got[0].Node != "known" {
		t.Fatalf("the hub got a batch of %s", got[0].Node)
	}
	mu.Lock()
	ready["stranger"] = true
	mu.Unlock()
	n.Again()
	if got := l.take(2); got[0].Node == got[1].Node {
		t.Errorf("the hub got %s twice and nothing of the other", got[0].Node)
	}
}

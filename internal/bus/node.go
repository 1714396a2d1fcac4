package bus

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// NodeConfig configures the sending end.
type NodeConfig struct {
	Name     string      // of the node, also its JetStream domain; see NodeName
	Dir      string      // local disk for the spool
	HubAddr  string      // host:port of the hub
	TLS      *tls.Config // required: mutual TLS 1.3
	Signer   batch.Signer
	Hub      batch.Verifier // knows the hub's key
	HubName  string
	MaxBytes int64 // of the spool; 0 means 8 GiB. When it is full, sources are slowed, nothing is dropped.
	Reserve  int64 // bytes of the disk that the spool leaves free; 0 means 64 MiB
	Window   int64 // bytes sent and not yet receipted; 0 means 16 MiB
	Stall    time.Duration
	// Receipted is called with verified receipts before their batches leave the
	// spool. An error keeps them there.
	Receipted func(ctx context.Context, receipts []SignedReceipt, parsed []lienthong.Receipt) error
	// Repair is called when the hub asks for digest buckets.
	Repair func(r Repair)
	// Reconcile is called when somebody at the hub wants a comparison now. It must not block.
	Reconcile func()
	// Reconciled hears what a comparison found. It must not block.
	Reconciled func(r lienthong.Reconciliation)
	Log       *slog.Logger
}

// Node keeps batches until the hub's receipt and sends them there in order.
type Node struct {
	config NodeConfig
	engine engine
	wake   chan struct{} // something to send, or room to send it
	room   chan struct{} // space came free in the spool
	// receipts hands receipts from the connection's goroutine to settle.
	receipts chan Control
	stop     context.CancelFunc
	workers  sync.WaitGroup

	mu          sync.Mutex
	entries     []*entry // in spool order; the first is the oldest without a receipt
	byKey       map[entryKey]*entry
	unsent      int // index into entries before which all are sent
	inFlight    int64
	cached      int64 // payload bytes kept in memory
	attempt     int
	depth       int64 // bytes in the spool
	incarnation string
	life        string // part of message ids: what an earlier run sent must not make ours look sent twice
	lastBeat    time.Time
	progressed  time.Time
	asked       time.Time // when askAgain last did something
}

type entryKey struct {
	stream   lienthong.Stream
	sequence uint64
}

type entry struct {
	key    entryKey
	number uint64 // in the spool stream
	digest string
	size   int64
	sealed *batch.Sealed // nil when it must be read back from disk
	sent   bool
	done   bool
}

const (
	spoolName     = "SPOOL"
	appendTimeout = 10 * time.Second
	// askEvery is how often at most a lost receipt is asked for: an answer takes a while.
	askEvery = time.Second
	// cacheBytes of payload stay in memory between append and receipt, so that a batch
	// that moves at once is never read back from disk.
	cacheBytes = 8 << 20
)

// StartNode opens the spool and the link to the hub. Close ends it.
func StartNode(ctx context.Context, config NodeConfig) (*Node, error) {
	if config.MaxBytes == 0 {
		config.MaxBytes = 8 << 30
	}
	if config.Reserve == 0 {
		config.Reserve = 64 << 20
	}
	if config.Window == 0 {
		config.Window = 16 << 20
	}
	if config.Stall == 0 {
		config.Stall = 5 * time.Second
	}
	if !NodeName(config.Name) {
		return nil, &lienthong.Error{
			Code: "node.name", Where: config.Name, Vi: "tên nút không đúng dạng", En: "not a node name",
			Hint: "1-32 ký tự a-z, 0-9, - / 1-32 of a-z, 0-9, -",
		}
	}
	if err := mkdir(config.Dir); err != nil {
		return nil, err
	}
	n := &Node{
		config: config, byKey: map[entryKey]*entry{}, life: rand.Text(),
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), receipts: make(chan Control, 256),
	}
	n.engine.log = config.Log
	n.engine.options = func() *server.Options {
		o := baseOptions(config.Name, config.Dir)
		if config.HubAddr != "" {
			o.LeafNode = server.LeafNodeOpts{
				ReconnectInterval: time.Second,
				Remotes: []*server.RemoteLeafOpts{{
					URLs: []*url.URL{{Scheme: "tls", Host: config.HubAddr}},
					TLS:  true, TLSConfig: config.TLS, TLSTimeout: 10, DialTimeout: 5 * time.Second,
				}},
			}
		}
		return o
	}
	if err := n.open(ctx); err != nil {
		return nil, err
	}
	if err := n.load(ctx); err != nil {
		n.engine.stop()
		return nil, err
	}
	workCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = cancel
	n.workers.Go(func() { n.forward(workCtx) })
	n.workers.Go(func() { n.settle(workCtx) })
	return n, nil
}

// Close stops sending. The spool stays on disk.
func (n *Node) Close() {
	n.stop()
	n.workers.Wait()
	n.engine.stop()
}

func (n *Node) open(ctx context.Context) error {
	if err := n.engine.start(ctx); err != nil {
		return err
	}
	conn, js := n.engine.parts()
	if err := stream(ctx, js, spoolName, "spool.>", n.config.MaxBytes); err != nil {
		n.engine.stop()
		return err
	}
	for subject, handler := range map[string]nats.MsgHandler{"beat": n.onBeat, "control." + n.config.Name: n.onControl} {
		if _, err := conn.Subscribe(subject, handler); err != nil {
			n.engine.stop()
			return fmt.Errorf("bus: subscribe %s: %w", subject, err)
		}
	}
	return nil
}

// load finds what an earlier run left in the spool.
func (n *Node) load(ctx context.Context) error {
	_, js := n.engine.parts()
	s, err := js.Stream(ctx, spoolName)
	if err != nil {
		return fmt.Errorf("bus: read spool: %w", err)
	}
	left := s.CachedInfo().State.Msgs
	if left == 0 {
		return nil
	}
	consumer, err := js.OrderedConsumer(ctx, spoolName, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		return fmt.Errorf("bus: read spool: %w", err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("bus: read spool: %w", err)
	}
	defer messages.Stop()
	for range left {
		msg, err := messages.Next(jetstream.NextMaxWait(startTimeout))
		if err != nil {
			return fmt.Errorf("bus: read spool: %w", err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("bus: read spool: %w", err)
		}
		raw := []byte(msg.Headers().Get(headerBytes))
		header, err := batch.ParseHeader(raw)
		if err != nil {
			return fmt.Errorf("bus: read spool %d: %w", meta.Sequence.Stream, err)
		}
		size, err := strconv.ParseInt(msg.Headers().Get(nats.MsgSize), 10, 64)
		if err != nil {
			size = 0
		}
		sealed := batch.Sealed{Header: header, HeaderBytes: raw}
		n.add(&entry{
			key:    entryKey{header.Stream, header.Sequence},
			number: meta.Sequence.Stream, digest: sealed.Digest(), size: size,
		})
	}
	return nil
}

// add keeps entries in spool order; several sources may append at once and learn
// their numbers out of order.
func (n *Node) add(e *entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.byKey[e.key]; known {
		return
	}
	at, _ := slices.BinarySearchFunc(n.entries, e.number, func(x *entry, number uint64) int {
		return int(int64(x.number) - int64(number))
	})
	n.entries = slices.Insert(n.entries, at, e)
	n.unsent = min(n.unsent, at)
	n.byKey[e.key] = e
	n.depth += e.size
	if e.sealed != nil {
		if n.cached+e.size > cacheBytes {
			e.sealed = nil
		} else {
			n.cached += e.size
		}
	}
	signal(n.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Append puts a batch into the spool and returns when it is on disk. While the
// spool or the disk is full it waits: the source is slowed, nothing is dropped. It
// returns early only when ctx ends.
func (n *Node) Append(ctx context.Context, s *batch.Sealed) error {
	digest := s.Digest()
	subject := "spool." + s.Header.Node + "." + s.Header.Dataset.String()
	for failures := 0; ; {
		number, err := n.append(ctx, subject, digest, s)
		if err == nil {
			n.add(&entry{
				key:    entryKey{s.Header.Stream, s.Header.Sequence},
				number: number, digest: digest, size: int64(len(s.Payload)), sealed: s,
			})
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := 50 * time.Millisecond
		if !isStorageFull(err) && !errors.Is(err, errDiskReserve) {
			failures++
			n.config.Log.WarnContext(ctx, "spool did not take a batch", slog.Int("failures", failures), slog.Any("error", err))
			if failures%3 == 0 || errors.Is(err, context.DeadlineExceeded) {
				// JetStream freezes a stream after a failed write; opening it again
				// brings it back, and the message id keeps the batch from being there twice.
				n.engine.stop()
				if err := n.open(ctx); err != nil {
					n.config.Log.ErrorContext(ctx, "spool cannot be opened", slog.Any("error", err))
				}
			}
			wait = 500 * time.Millisecond
		}
		timer := time.NewTimer(wait)
		select {
		case <-n.room:
			timer.Stop()
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

var errDiskReserve = errors.New("the disk has less free space than the spool's reserve")

func (n *Node) append(ctx context.Context, subject, digest string, s *batch.Sealed) (uint64, error) {
	if free, err := freeSpace(n.config.Dir); err == nil && free-int64(len(s.Payload)) < n.config.Reserve {
		return 0, errDiskReserve
	}
	conn, js := n.engine.parts()
	if conn == nil {
		return 0, nats.ErrConnectionClosed
	}
	// The deadline is generous: a slow disk must not look like a broken one. A stream
	// that could not write does not answer at all.
	publishCtx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	ack, err := js.PublishMsg(publishCtx, message(subject, digest, s))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// Tail returns the header of the newest batch of the stream that is still in the
// spool.
func (n *Node) Tail(ctx context.Context, s lienthong.Stream) (header lienthong.BatchHeader, digest string, found bool, err error) {
	_, js := n.engine.parts()
	spool, err := js.Stream(ctx, spoolName)
	if err != nil {
		return header, "", false, fmt.Errorf("bus: read spool: %w", err)
	}
	msg, err := spool.GetLastMsgForSubject(ctx, "spool."+s.Node+"."+s.Dataset.String())
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return header, "", false, nil
	}
	if err != nil {
		return header, "", false, fmt.Errorf("bus: read spool: %w", err)
	}
	raw := []byte(msg.Header.Get(headerBytes))
	header, err = batch.ParseHeader(raw)
	sealed := batch.Sealed{HeaderBytes: raw}
	return header, sealed.Digest(), err == nil, err
}

// Status sends a signed status message to the hub. It may be lost.
func (n *Node) Status(body []byte) error {
	jws, err := n.config.Signer.Sign(body)
	if err != nil {
		return fmt.Errorf("bus: sign status: %w", err)
	}
	conn, _ := n.engine.parts()
	if conn == nil {
		return nil
	}
	return conn.PublishMsg(&nats.Msg{
		Subject: "status." + n.config.Name, Data: body, Header: nats.Header{headerSignature: {jws}},
	})
}

// Depth is what the spool holds: batches and bytes without a receipt.
func (n *Node) Depth() (batches int, bytes int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.entries), n.depth
}

// Fill is how full the spool is, 0 to 1: by its limit, or by the disk when that
// comes first.
func (n *Node) Fill() float64 {
	_, size := n.Depth()
	limit := n.config.MaxBytes
	if free, err := freeSpace(n.config.Dir); err == nil {
		limit = min(limit, size+max(free-n.config.Reserve, 0))
	}
	if limit <= 0 {
		return 1
	}
	return float64(size) / float64(limit)
}

// Linked reports whether the hub was heard in the last three seconds.
func (n *Node) Linked() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Since(n.lastBeat) < 3*beatEvery
}

// onBeat notices that the hub is new, or back after silence: what was in flight
// may be gone, so it is sent again. The hub ignores what it has.
func (n *Node) onBeat(m *nats.Msg) {
	var b Beat
	if json.Unmarshal(m.Data, &b) != nil || b.Hub != n.config.HubName {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	silent := time.Since(n.lastBeat) > 3*beatEvery
	if b.Incarnation != n.incarnation || silent {
		n.rewind(func(*entry) bool { return true })
	}
	n.incarnation, n.lastBeat = b.Incarnation, time.Now()
	signal(n.wake)
}

// rewind marks sent entries as unsent where the condition holds. Called with mu
// held. A new attempt gets new message ids, or the hub's stream would drop it as a duplicate.
func (n *Node) rewind(which func(*entry) bool) {
	n.attempt++
	for i, e := range n.entries {
		if e.sent && !e.done && which(e) {
			e.sent = false
			n.inFlight -= e.size
			n.unsent = min(n.unsent, i)
		}
	}
	n.progressed = time.Now()
	signal(n.wake)
}

func (n *Node) onControl(m *nats.Msg) {
	signer, err := n.config.Hub.VerifyNode(m.Data, m.Header.Get(headerSignature))
	if err != nil || signer != n.config.HubName {
		n.config.Log.Warn("control message refused", slog.String("code", "control.forged"))
		return
	}
	var c Control
	if json.Unmarshal(m.Data, &c) != nil {
		return
	}
	if e := c.Expect; e != nil {
		n.mu.Lock()
		n.rewind(func(x *entry) bool { return x.key.stream == e.Stream && x.key.sequence >= e.Sequence })
		n.mu.Unlock()
		n.config.Log.Info("hub asks for batches again", slog.String("code", e.Code),
			slog.String("stream", e.Stream.String()), slog.Uint64("sequence", e.Sequence))
	}
	if c.Repair != nil && n.config.Repair != nil {
		n.config.Repair(*c.Repair)
	}
	if c.Reconcile && n.config.Reconcile != nil {
		n.config.Reconcile()
	}
	if c.Result != nil && n.config.Reconciled != nil {
		n.config.Reconciled(*c.Result)
	}
	if len(c.Receipts) > 0 {
		select {
		case n.receipts <- c:
		default: // settle is behind; the hub repeats receipts for what is sent again
		}
	}
}

// forward sends entries in order while the window has room.
func (n *Node) forward(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		for n.sendNext(ctx) {
		}
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-tick.C:
			n.mu.Lock()
			if n.inFlight > 0 && time.Since(n.progressed) > n.config.Stall && time.Since(n.lastBeat) < 3*beatEvery {
				n.rewind(func(*entry) bool { return true })
			}
			n.mu.Unlock()
		}
	}
}

func (n *Node) sendNext(ctx context.Context) bool {
	n.mu.Lock()
	if time.Since(n.lastBeat) > 3*beatEvery || n.inFlight >= n.config.Window || ctx.Err() != nil {
		n.mu.Unlock()
		return false
	}
	for n.unsent < len(n.entries) && (n.entries[n.unsent].sent || n.entries[n.unsent].done) {
		n.unsent++
	}
	if n.unsent == len(n.entries) {
		n.mu.Unlock()
		return false
	}
	e := n.entries[n.unsent]
	if n.inFlight == 0 {
		n.progressed = time.Now()
	}
	e.sent = true
	n.inFlight += e.size
	sealed, attempt := e.sealed, n.attempt
	n.mu.Unlock()

	err := n.send(ctx, e, sealed, attempt)
	if err != nil {
		n.mu.Lock()
		if e.sent && !e.done {
			e.sent = false
			n.inFlight -= e.size
			n.unsent = 0
		}
		n.mu.Unlock()
		n.config.Log.WarnContext(ctx, "batch not sent", slog.Any("error", err))
		return false
	}
	return true
}

func (n *Node) send(ctx context.Context, e *entry, sealed *batch.Sealed, attempt int) error {
	conn, js := n.engine.parts()
	if conn == nil {
		return nats.ErrConnectionClosed
	}
	if sealed == nil {
		spool, err := js.Stream(ctx, spoolName)
		if err != nil {
			return fmt.Errorf("bus: read spool: %w", err)
		}
		msg, err := spool.GetMsg(ctx, e.number)
		if err != nil {
			return fmt.Errorf("bus: read spool %d: %w", e.number, err)
		}
		sealed = &batch.Sealed{
			HeaderBytes: []byte(msg.Header.Get(headerBytes)),
			Signature:   msg.Header.Get(headerSignature), Payload: msg.Data,
		}
	}
	return conn.PublishMsg(message(batchSubject(e.key.stream), e.digest+"."+n.life+"."+strconv.Itoa(attempt), sealed))
}

// settle verifies receipts, lets the owner record them, and only then removes the
// batches from the spool.
func (n *Node) settle(ctx context.Context) {
	var purge uint64
	var purged time.Time
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		var signed []SignedReceipt
		select {
		case <-ctx.Done():
			return
		case c := <-n.receipts:
			signed = c.Receipts
			for more := true; more; {
				select {
				case c := <-n.receipts:
					signed = append(signed, c.Receipts...)
				default:
					more = false
				}
			}
		case <-tick.C:
		}
		if number := n.accept(ctx, signed); number > 0 {
			purge = number
		}
		if purge > 0 && time.Since(purged) > 200*time.Millisecond {
			_, js := n.engine.parts()
			if spool, err := js.Stream(ctx, spoolName); err == nil {
				if spool.Purge(ctx, jetstream.WithPurgeSequence(purge+1)) == nil {
					purge = 0
					signal(n.room)
				}
			}
			purged = time.Now()
		}
	}
}

// askAgain sends again what lies before a receipted batch of its stream without a
// receipt of its own: the hub applies a stream in order, so that receipt was lost on
// the way, and nothing else would bring it while newer ones keep coming. Called with
// mu held.
func (n *Node) askAgain(receipts []lienthong.Receipt) {
	newest := map[lienthong.Stream]uint64{}
	for _, r := range receipts {
		newest[r.Stream] = max(newest[r.Stream], r.Sequence)
	}
	lost := func(e *entry) bool { return e.sent && !e.done && e.key.sequence < newest[e.key.stream] }
	if time.Since(n.asked) > askEvery && slices.ContainsFunc(n.entries[:min(n.unsent, len(n.entries))], lost) {
		n.asked = time.Now()
		n.rewind(lost)
	}
}

// accept marks receipted entries as done and returns the spool number up to
// which nothing is needed any more, or 0.
func (n *Node) accept(ctx context.Context, signed []SignedReceipt) uint64 {
	var good []SignedReceipt
	var parsed []lienthong.Receipt
	for _, s := range signed {
		signer, err := n.config.Hub.VerifyNode([]byte(s.Body), s.Signature)
		var r lienthong.Receipt
		if err != nil || signer != n.config.HubName || json.Unmarshal([]byte(s.Body), &r) != nil {
			n.config.Log.WarnContext(ctx, "receipt refused", slog.String("code", "receipt.forged"))
			continue
		}
		n.mu.Lock()
		e := n.byKey[entryKey{r.Stream, r.Sequence}]
		n.mu.Unlock()
		if e == nil || e.done {
			continue
		}
		if e.digest != r.Digest {
			n.config.Log.ErrorContext(ctx, "receipt is for another batch", slog.String("code", "receipt.mismatch"),
				slog.String("stream", r.String()), slog.Uint64("sequence", r.Sequence))
			continue
		}
		good, parsed = append(good, s), append(parsed, r)
	}
	if len(good) == 0 {
		return 0
	}
	if err := n.config.Receipted(ctx, good, parsed); err != nil {
		if ctx.Err() == nil {
			n.config.Log.ErrorContext(ctx, "receipts cannot be recorded", slog.Any("error", err))
		}
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range parsed {
		e := n.byKey[entryKey{r.Stream, r.Sequence}]
		if e == nil || e.done {
			continue
		}
		e.done = true
		if e.sent {
			n.inFlight -= e.size
		}
		if e.sealed != nil {
			n.cached -= e.size
			e.sealed = nil
		}
	}
	n.askAgain(parsed)
	n.progressed = time.Now()
	var number uint64
	finished := 0
	for finished < len(n.entries) && n.entries[finished].done {
		e := n.entries[finished]
		number = e.number
		n.depth -= e.size
		delete(n.byKey, e.key)
		finished++
	}
	n.entries = slices.Delete(n.entries, 0, finished)
	n.unsent = max(0, n.unsent-finished)
	signal(n.wake)
	return number
}

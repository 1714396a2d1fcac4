package bus

import (
	"context"
	"crypto/rand"
	"crypto/tls"
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
	Window   int64 // bytes sent and not yet receipted, at most; 0 means 16 MiB
	Stall    time.Duration
	// Relay says that the batches are of nodes behind this one.
	Relay bool
	// Rate is how many bytes a second may go up at the moment; 0 means no cap. nil: none ever.
	Rate func() int64
	// Ready says whether the hub takes batches of a stream already. nil: it takes all.
	Ready func(s lienthong.Stream) bool
	// Class orders streams against each other. nil: all are Normal.
	Class func(s lienthong.Stream) Class
	// Receipted is called with verified receipts before their batches leave the
	// spool. An error keeps them there.
	Receipted func(ctx context.Context, receipts []SignedReceipt, parsed []lienthong.Receipt) error
	// Passed is called with verified receipts of hubs above the hub. The hub repeats them until
	// it returns nil. nil: such receipts are refused.
	Passed func(ctx context.Context, receipts []SignedReceipt, parsed []lienthong.Receipt) error
	// Stranger hears that a receipt is signed by a key that is not known yet.
	Stranger func()
	// Gone is called when the hub asks for a batch that is not in the spool. It must not block.
	Gone func(e Expect)
	// Restart is called when the chain of a stream has to begin anew. It must not block.
	Restart func(s lienthong.Stream)
	// Repair is called when the hub asks for digest buckets.
	Repair func(r Repair)
	// Reconcile is called when somebody at the hub wants a comparison now, of the named node or,
	// when it is empty, of whoever is asked. It must not block.
	Reconcile func(node string)
	// Reconciled hears what a comparison found. It must not block.
	Reconciled func(r lienthong.Reconciliation)
	Log        *slog.Logger
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

	settling sync.Mutex // one group of receipts at a time
	purge    uint64     // with settling: the spool may go up to this number
	purged   time.Time
	trimmed  time.Time

	mu          sync.Mutex
	entries     []*entry // in spool order
	queues      map[lienthong.Stream]*queue
	order       []*queue // the same, to go through
	lanes       [laneCount]uint64
	virtual     uint64 // of the batch that was sent last
	inFlight    int64
	window      int64 // at the moment: it grows with receipts and shrinks when they stay out
	cached      int64 // payload bytes kept in memory
	attempt     int
	depth       int64 // bytes without a receipt
	behind      int64 // bytes that are done and lie behind others that are not
	waiting     int   // batches without a receipt
	incarnation string
	life        string // part of message ids: what an earlier run sent must not make ours look sent twice
	lastBeat    time.Time
	free        time.Time // when the rate allows the next batch
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
	at     int64         // when it was sealed, microseconds
	load   bool          // of a first load or a repair: it gives way to live changes of others
	begins bool          // the chain begins anew with it
	sent   bool
	done   bool
}

const (
	spoolName     = "SPOOL"
	appendTimeout = 10 * time.Second
	// askEvery is how often at most a lost receipt is asked for: an answer takes a while.
	askEvery = time.Second
	// firstWindow is how much may be on its way before anything is known of the line.
	firstWindow = 1 << 20
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
		config: config, queues: map[lienthong.Stream]*queue{}, life: rand.Text(), window: min(config.Window, firstWindow),
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
	if err := stream(ctx, js, spoolName, n.config.MaxBytes, "spool.>"); err != nil {
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
			number: meta.Sequence.Stream, digest: sealed.Digest(), size: size, load: isLoad(header.Kind), at: header.Sealed, begins: anew(&header),
		})
	}
	return nil
}

// add keeps entries in spool order; several sources may append at once and learn
// their numbers out of order.
func (n *Node) add(e *entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	q := n.queue(e.key.stream)
	if len(q.entries) == 0 && n.config.Class != nil {
		q.class = n.config.Class(q.stream) // it may have been decided since
	}
	if q.find(e.key.sequence) != nil {
		return
	}
	n.entries = insert(n.entries, e, func(x *entry) uint64 { return x.number })
	q.entries = insert(q.entries, e, func(x *entry) uint64 { return x.key.sequence })
	q.unsent = 0
	n.depth += e.size
	n.waiting++
	if e.sealed != nil {
		if n.cached+e.size > cacheBytes {
			e.sealed = nil
		} else {
			n.cached += e.size
		}
	}
	signal(n.wake)
}

// insert keeps the list sorted; what is new nearly always goes to the end.
func insert(list []*entry, e *entry, of func(*entry) uint64) []*entry {
	at := len(list)
	for at > 0 && of(list[at-1]) > of(e) {
		at--
	}
	return slices.Insert(list, at, e)
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
	if n.holds(s.Header.Stream, s.Header.Sequence, digest) {
		return nil // a relay repeats after a crash
	}
	subject := "spool." + s.Header.Node + "." + s.Header.Dataset.String()
	for failures := 0; ; {
		number, err := n.append(ctx, subject, digest, s)
		if err == nil {
			n.add(&entry{
				key:    entryKey{s.Header.Stream, s.Header.Sequence},
				number: number, digest: digest, size: int64(len(s.Payload)), sealed: s, load: isLoad(s.Header.Kind),
				at: s.Header.Sealed, begins: anew(&s.Header),
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
	return n.waiting, n.depth
}

// Fill is how full the spool is, 0 to 1: by its limit, or by the disk when that
// comes first.
func (n *Node) Fill() float64 {
	n.mu.Lock()
	size := n.depth + n.behind
	n.mu.Unlock()
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

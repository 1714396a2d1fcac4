package bus

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// HubConfig configures the receiving end.
type HubConfig struct {
	Name     string      // of the hub, also its JetStream domain
	Dir      string      // local disk for the inbox
	Listen   string      // host:port for nodes' links; port 0 picks a free one
	TLS      *tls.Config // required: mutual TLS 1.3 for the links
	MaxBytes int64       // of the inbox; 0 means 4 GiB. When it is full, nodes keep their batches and try again.
	Signer   batch.Signer
	// Peer says which node is at the other end of a link, from its certificate. Required.
	Peer func(tls.ConnectionState) (node string, err error)
	// Relays says whether a node may bring batches of nodes behind it. nil: none may.
	Relays func(node string) bool
	Log    *slog.Logger
}

// Hub receives batches of many nodes into one inbox and talks back to them.
type Hub struct {
	config HubConfig
	engine engine
	beat   []byte

	inbox    chan Delivery
	failed   chan error
	stopRead context.CancelFunc
	readers  sync.WaitGroup
	purged   time.Time

	mu      sync.Mutex
	done    uint64        // the last number that Done was told
	doneNow chan struct{} // closed when done grows
}

// Delivery is one message of the inbox, not yet verified.
type Delivery struct {
	Number      uint64 // its place in the inbox, for Done
	Link        string // the node whose link or bundle brought it
	HeaderBytes []byte
	Signature   string
	Payload     []byte
}

const inboxName = "INBOX"

// StartHub opens the inbox and listens for nodes. Close ends it.
func StartHub(ctx context.Context, config HubConfig) (*Hub, error) {
	if config.MaxBytes == 0 {
		config.MaxBytes = 4 << 30
	}
	host, port, err := splitHostPort(config.Listen)
	if err != nil {
		return nil, err
	}
	if err := mkdir(config.Dir); err != nil {
		return nil, err
	}
	beat, err := json.Marshal(Beat{Hub: config.Name, Incarnation: rand.Text()})
	if err != nil {
		return nil, fmt.Errorf("bus: encode beat: %w", err)
	}
	h := &Hub{config: config, beat: beat, inbox: make(chan Delivery, 16), failed: make(chan error, 1), doneNow: make(chan struct{})}
	h.engine.log = config.Log
	h.engine.options = func() *server.Options {
		o := baseOptions(config.Name, config.Dir)
		o.LeafNode = server.LeafNodeOpts{
			Host: host, Port: port, NoAdvertise: true, IsolateLeafnodeInterest: true,
			AuthTimeout: 10, TLSConfig: config.TLS, TLSTimeout: 10,
		}
		o.CustomClientAuthentication = doorkeeper{peer: config.Peer, relays: config.Relays}
		return o
	}
	if err := free(ctx, config.Listen); err != nil {
		return nil, err
	}
	if err := h.engine.start(ctx); err != nil {
		return nil, err
	}
	_, js := h.engine.parts()
	if err := stream(ctx, js, inboxName, config.MaxBytes, "batch.>", "relay.>"); err != nil {
		h.engine.stop()
		return nil, err
	}
	readCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.stopRead = cancel
	h.readers.Go(func() { h.read(readCtx) })
	h.readers.Go(func() { h.beats(readCtx) })
	return h, nil
}

// doorkeeper lets a link carry what is its own node's and nothing else: its batches
// and status up, its receipts and the beat down. Without it an admitted node could read
// the batches of every other, and empty the inbox.
type doorkeeper struct {
	peer   func(tls.ConnectionState) (string, error)
	relays func(node string) bool
}

// Check implements server.Authentication.
func (d doorkeeper) Check(c server.ClientAuthentication) bool {
	state := c.GetTLSConnectionState()
	if state == nil {
		// The hub's own connection, inside the process: nothing else has no TLS.
		return c.Kind() == server.CLIENT
	}
	node, err := d.peer(*state)
	if err != nil || !NodeName(node) {
		return false
	}
	up := []string{"batch." + node + ".>", "status." + node, "heard." + node}
	if d.relays != nil && d.relays(node) {
		up = append(up, "relay."+node+".>")
	}
	c.RegisterUser(&server.User{Username: node, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: up},
		Subscribe: &server.SubjectPermission{Allow: []string{"beat", "control." + node}},
	}})
	return true
}

// free reports whether the address can be listened on. The server itself would only
// log that it cannot, and be waited for in vain.
func free(ctx context.Context, address string) error {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return &lienthong.Error{
			Code: "listen", Where: address, Vi: "không mở được cổng", En: "the address cannot be listened on",
			Hint: "chọn cổng khác hoặc dừng chương trình đang dùng cổng này / choose another port, or stop what uses it", Err: err,
		}
	}
	if err := listener.Close(); err != nil {
		return fmt.Errorf("bus: try %s: %w", address, err)
	}
	return nil
}

// Addr is the address that nodes connect to.
func (h *Hub) Addr() string {
	h.engine.mu.RLock()
	defer h.engine.mu.RUnlock()
	return net.JoinHostPort(h.engine.active.LeafNode.Host, strconv.Itoa(h.engine.active.LeafNode.Port))
}

// Close stops listening and reading. What is in the inbox stays.
func (h *Hub) Close() {
	h.stopRead()
	h.engine.stop()
	h.readers.Wait()
}

// read moves messages from the inbox stream to the channel, in order, from the
// oldest that landing has not purged. The consumer keeps no state: what was
// delivered twice is known to the ledger.
func (h *Hub) read(ctx context.Context) {
	defer close(h.inbox)
	_, js := h.engine.parts()
	consumer, err := js.OrderedConsumer(ctx, inboxName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		h.failed <- fmt.Errorf("bus: read inbox: %w", err)
		return
	}
	messages, err := consumer.Messages(jetstream.PullMaxBytes(2 * maxPayload))
	if err != nil {
		h.failed <- fmt.Errorf("bus: read inbox: %w", err)
		return
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		msg, err := messages.Next()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, jetstream.ErrMsgIteratorClosed) {
				h.failed <- fmt.Errorf("bus: read inbox: %w", err)
			}
			return
		}
		meta, err := msg.Metadata()
		if err != nil {
			continue
		}
		header := msg.Headers()
		d := Delivery{
			Number:      meta.Sequence.Stream,
			Link:        linkOf(msg.Subject()),
			HeaderBytes: []byte(header.Get(headerBytes)),
			Signature:   header.Get(headerSignature),
			Payload:     msg.Data(),
		}
		select {
		case h.inbox <- d:
		case <-ctx.Done():
			return
		}
	}
}

// linkOf is the second word of a subject. Only that node's link may publish on it.
func linkOf(subject string) string {
	_, rest, _ := strings.Cut(subject, ".")
	link, _, _ := strings.Cut(rest, ".")
	return link
}

// Deliver puts a batch that came by another way than a link into the inbox, as if the
// link of that node had brought it, and returns its number when it is on disk. While
// the inbox is full it waits.
func (h *Hub) Deliver(ctx context.Context, link string, s *batch.Sealed) (number uint64, err error) {
	header, err := batch.ParseHeader(s.HeaderBytes)
	if err != nil {
		return 0, err
	}
	subject := "batch." + link + "." + header.Dataset.String()
	if header.Node != link {
		subject = "relay." + link + "." + header.Dataset.String()
	}
	id := s.Digest() + "." + rand.Text()
	for {
		_, js := h.engine.parts()
		publishCtx, cancel := context.WithTimeout(ctx, appendTimeout)
		ack, err := js.PublishMsg(publishCtx, message(subject, id, s))
		cancel()
		if err == nil {
			return ack.Sequence, nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if !isStorageFull(err) {
			return 0, fmt.Errorf("bus: deliver %s #%d: %w", header.Stream, header.Sequence, err)
		}
		timer := time.NewTimer(fullAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		}
	}
}

// fullAgain is how long Deliver waits for room.
const fullAgain = 50 * time.Millisecond

// Taken waits until landing has applied or refused everything up to the number.
func (h *Hub) Taken(ctx context.Context, number uint64) error {
	for {
		h.mu.Lock()
		done, grown := h.done, h.doneNow
		h.mu.Unlock()
		if done >= number {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Next waits for a message and returns it with those that are already there, at
// most max and about maxBytes.
func (h *Hub) Next(ctx context.Context, limit, maxBytes int) ([]Delivery, error) {
	var group []Delivery
	select {
	case d, ok := <-h.inbox:
		if !ok {
			select {
			case err := <-h.failed:
				return nil, err
			default:
				return nil, context.Canceled
			}
		}
		group = append(group, d)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	size := len(group[0].Payload)
	for len(group) < limit && size < maxBytes {
		select {
		case d, ok := <-h.inbox:
			if !ok {
				return group, nil
			}
			group = append(group, d)
			size += len(d.Payload)
		default:
			return group, nil
		}
	}
	return group, nil
}

// Done says that everything up to the number is in the database or refused. The
// inbox is purged at most every 200 ms, because a purge costs a file operation.
func (h *Hub) Done(ctx context.Context, number uint64) error {
	h.mu.Lock()
	h.done = max(h.done, number)
	close(h.doneNow)
	h.doneNow = make(chan struct{})
	h.mu.Unlock()
	if time.Since(h.purged) < 200*time.Millisecond {
		return nil
	}
	h.purged = time.Now()
	_, js := h.engine.parts()
	s, err := js.Stream(ctx, inboxName)
	if err != nil {
		return fmt.Errorf("bus: purge inbox: %w", err)
	}
	if err := s.Purge(ctx, jetstream.WithPurgeSequence(number+1)); err != nil {
		return fmt.Errorf("bus: purge inbox: %w", err)
	}
	return nil
}

// Tell sends a signed control message to a node. It is not kept: a node that
// misses it asks by sending again.
func (h *Hub) Tell(node string, c Control) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("bus: encode control: %w", err)
	}
	jws, err := h.config.Signer.Sign(body)
	if err != nil {
		return fmt.Errorf("bus: sign control: %w", err)
	}
	conn, _ := h.engine.parts()
	err = conn.PublishMsg(&nats.Msg{
		Subject: "control." + node, Data: body, Header: nats.Header{headerSignature: {jws}},
	})
	if err != nil {
		return fmt.Errorf("bus: tell %s: %w", node, err)
	}
	return nil
}

// Statuses calls handle with every status message of a node until ctx ends. The
// messages are signed by the node; handle gets the exact bytes and the signature.
func (h *Hub) Statuses(ctx context.Context, handle func(body []byte, jws string)) error {
	conn, _ := h.engine.parts()
	sub, err := conn.Subscribe("status.*", func(m *nats.Msg) { handle(m.Data, m.Header.Get(headerSignature)) })
	if err != nil {
		return fmt.Errorf("bus: subscribe: %w", err)
	}
	<-ctx.Done()
	_ = sub.Unsubscribe()
	return nil
}

// Heard calls handle with what nodes say they have of receipts that were passed on,
// until ctx ends. Only the node's own link can say it.
func (h *Hub) Heard(ctx context.Context, handle func(node string, refs []ReceiptRef)) error {
	conn, _ := h.engine.parts()
	sub, err := conn.Subscribe("heard.*", func(m *nats.Msg) {
		var refs []ReceiptRef
		if json.Unmarshal(m.Data, &refs) == nil {
			handle(linkOf(m.Subject), refs)
		}
	})
	if err != nil {
		return fmt.Errorf("bus: subscribe: %w", err)
	}
	<-ctx.Done()
	_ = sub.Unsubscribe()
	return nil
}

func (h *Hub) beats(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		if conn, _ := h.engine.parts(); conn != nil {
			_ = conn.Publish("beat", h.beat)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

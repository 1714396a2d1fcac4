// Package bus carries batches between instances over NATS JetStream, embedded in
// the process.
//
// JetStream is transport, not the last copy. A node keeps a batch in its own
// stream (the spool) until it has the hub's signed receipt; it forwards batches
// itself, in order, and sends again whatever the hub asks for. The hub's stream only
// buffers what landing has not applied yet. So neither side relies on a broker's
// acknowledgement, only on fsync at the node and on the hub's database commit.
//
// A hub below another hub is a node, too: it relays the batches of the nodes behind
// it, byte by byte as they signed them, from a spool of its own.
//
// Subjects: batch.<node>.<database>.<dataset> from node to hub, relay.<hub>.<database>.<dataset>
// from a hub to the hub above, control.<node> from hub to node, heard.<node> back; status.<node>
// and beat for what may be lost.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// Message headers of a batch.
const (
	headerBytes     = "Lt-Header"
	headerSignature = "Lt-Signature"
)

const (
	startTimeout = 20 * time.Second
	// maxPayload is NATS's own limit for a message; a batch and its headers fit.
	maxPayload = batch.MaxPayload + 64<<10
)

// engine is an embedded server and a connection to it inside the process. It can
// be restarted in place: JetStream freezes a stream after an I/O error, and only
// opening it again brings it back.
type engine struct {
	options func() *server.Options
	log     *slog.Logger

	mu     sync.RWMutex
	active *server.Options // as the server filled them in: the port that it chose
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
}

func (e *engine) start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	options := e.options()
	s, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("bus: open %s: %w", options.StoreDir, err)
	}
	s.SetLoggerV2(&natsLogger{ctx: context.WithoutCancel(ctx), log: e.log}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		return fmt.Errorf("bus: server in %s is not ready after %s", options.StoreDir, startTimeout)
	}
	conn, err := nats.Connect("", nats.InProcessServer(s), nats.MaxReconnects(-1), nats.Name(options.ServerName),
		nats.ReconnectWait(50*time.Millisecond), nats.NoEcho())
	if err != nil {
		s.Shutdown()
		return fmt.Errorf("bus: connect inside the process: %w", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		s.Shutdown()
		return fmt.Errorf("bus: open JetStream: %w", err)
	}
	e.active, e.server, e.conn, e.js = options, s, conn, js
	return nil
}

func (e *engine) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conn != nil {
		e.conn.Close()
	}
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	e.conn, e.server = nil, nil
}

func (e *engine) parts() (*nats.Conn, jetstream.JetStream) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.conn, e.js
}

// baseOptions are the settings that the measurements ask for: an fsync per
// message (a message is a batch of hundreds of rows), no signal handling inside a
// library, nothing advertised.
func baseOptions(name, dir string) *server.Options {
	return &server.Options{
		ServerName:         name,
		DontListen:         true,
		NoSigs:             true,
		NoLog:              true,
		JetStream:          true,
		JetStreamDomain:    name,
		StoreDir:           dir,
		SyncAlways:         true,
		JetStreamMaxStore:  1 << 50, // the stream's own limit decides
		JetStreamMaxMemory: 32 << 20,
		MaxPayload:         maxPayload,
		MaxPending:         128 << 20,
		MaxControlLine:     8 << 10,
		WriteDeadline:      30 * time.Second,
		// A line can die without telling either end: a router restarts and has forgotten the
		// connection. NATS's own two minutes would be five before anybody dials again.
		PingInterval: 5 * time.Second,
		MaxPingsOut:  2,
	}
}

func stream(ctx context.Context, js jetstream.JetStream, name string, maxBytes int64, subjects ...string) error {
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:       name,
		Subjects:   subjects,
		Storage:    jetstream.FileStorage,
		Retention:  jetstream.LimitsPolicy,
		Discard:    jetstream.DiscardNew,
		MaxBytes:   maxBytes,
		MaxMsgSize: maxPayload,
		Duplicates: 2 * time.Minute,
		// Reading a message back gives its bytes; without this they come as base64 in JSON.
		AllowDirect: true,
	})
	if err != nil {
		return fmt.Errorf("bus: open stream %s: %w", name, err)
	}
	return nil
}

func batchSubject(s lienthong.Stream) string {
	return "batch." + s.Node + "." + s.Dataset.Database + "." + s.Dataset.Name
}

// message puts a batch on the wire.
func message(subject, id string, s *batch.Sealed) *nats.Msg {
	return &nats.Msg{
		Subject: subject,
		Header: nats.Header{
			headerBytes:     {string(s.HeaderBytes)},
			headerSignature: {s.Signature},
			nats.MsgIdHdr:   {id},
		},
		Data: s.Payload,
	}
}

// NodeName reports whether a name can stand in subjects and file names: 1-32 of
// [a-z0-9-].
func NodeName(name string) bool {
	if name == "" || len(name) > 32 {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// natsLogger hands the server's warnings to the injected logger. Its notices are
// about connections coming and going, which our own health report covers.
type natsLogger struct {
	ctx context.Context // only for slog, which takes one with every record
	log *slog.Logger
}

func (l *natsLogger) line(level slog.Level, format string, v []any) {
	l.log.Log(l.ctx, level, "message bus", slog.String("text", fmt.Sprintf(format, v...)))
}
func (l *natsLogger) Noticef(string, ...any)    {}
func (l *natsLogger) Warnf(f string, v ...any)  { l.line(slog.LevelDebug, f, v) }
func (l *natsLogger) Errorf(f string, v ...any) { l.line(slog.LevelDebug, f, v) }
func (l *natsLogger) Fatalf(f string, v ...any) { l.line(slog.LevelError, f, v) }
func (l *natsLogger) Debugf(string, ...any)     {}
func (l *natsLogger) Tracef(string, ...any)     {}

// Control is a signed message from the hub to a node.
type Control struct {
	Receipts []SignedReceipt `json:"receipts,omitempty"`
	Expect   *Expect         `json:"expect,omitempty"`
	Repair   *Repair         `json:"repair,omitempty"`
	// Reconcile asks the node to compare all its datasets with the hub now.
	// Of names the node that is meant; empty: whoever gets the message.
	Reconcile bool   `json:"reconcile,omitempty"`
	Of        string `json:"of,omitempty"`
	// Restart asks the node to begin the chain of a stream anew: what the hub lacks is
	// nowhere on the way any more.
	Restart *lienthong.Stream `json:"restart,omitempty"`
	// Result is what a comparison found, so that the owner's side can show it too.
	Result *lienthong.Reconciliation `json:"result,omitempty"`
}

// SignedReceipt is a receipt as the hub signed it. Body is the exact JSON.
type SignedReceipt struct {
	Body      string `json:"body"`
	Signature string `json:"signature"`
}

// ReceiptRef names a receipt of a hub above the hub, which the node says it has: it has
// been written down and need not be told again.
type ReceiptRef struct {
	Stream   lienthong.Stream `json:"stream"`
	Sequence uint64           `json:"sequence"`
	Hub      string           `json:"hub"`
}

// Expect asks a node to send again from a sequence on.
type Expect struct {
	Stream   lienthong.Stream `json:"stream"`
	Sequence uint64           `json:"sequence"`
	Code     string           `json:"code"` // why: "batch.gap", "batch.forged" …
}

// Repair asks a node for whole digest buckets that differ.
type Repair struct {
	Stream     lienthong.Stream `json:"stream"`
	Checkpoint string           `json:"checkpoint"`
	Buckets    []int            `json:"buckets"`
}

// Beat is what the hub says every second to all nodes.
type Beat struct {
	Hub         string `json:"hub"`
	Incarnation string `json:"incarnation"` // changes with every start of the hub
}

const beatEvery = time.Second

func isStorageFull(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode == 10077 || api.ErrorCode == 10047 // maximum bytes exceeded; insufficient storage
	}
	return strings.Contains(err.Error(), "maximum bytes exceeded")
}

func mkdir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	return nil
}

func splitHostPort(addr string) (string, int, error) {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return "", 0, fmt.Errorf("bus: address %q: %w", addr, err)
	}
	host := ""
	if a.IP != nil {
		host = a.IP.String()
	}
	port := a.Port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

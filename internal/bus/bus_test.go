package bus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// nats-server keeps one process-wide clock goroutine per embedded server generation.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// seal is a signer whose signature is its name: enough for a bus that only
// carries signatures.
type seal string

func (s seal) Sign([]byte) (string, error) { return string(s), nil }

func (s seal) VerifyNode(_ []byte, jws string) (string, error) {
	if jws != "hub" && jws != "node" {
		return "", errors.New("forged")
	}
	return jws, nil
}

// newAuthority returns what makes a TLS configuration for a name, all of one authority.
func newAuthority(t *testing.T) func(name string) *tls.Config {
	t.Helper()
	issue := func(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	rootKey := newKey()
	authority, err := x509.ParseCertificate(issue(root, root, rootKey, rootKey))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return func(name string) *tls.Config {
		key := newKey()
		der := issue(&x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
			NotBefore: root.NotBefore, NotAfter: root.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		}, authority, key, rootKey)
		return &tls.Config{
			MinVersion: tls.VersionTLS13, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		}
	}
}

type world struct {
	t       *testing.T
	dir     string
	tls     func(name string) *tls.Config
	listen  string
	hub     *Hub
	node    *Node
	sealer  *batch.Sealer
	head    map[lienthong.Stream]uint64 // what the hub has applied
	stall   time.Duration
	mute    uint64 // the batch whose first receipt is lost
	mu      sync.Mutex
	settled []uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sealer, err := batch.NewSealer(seal("node"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), tls: newAuthority(t), listen: "127.0.0.1:0", sealer: sealer, head: map[lienthong.Stream]uint64{}, stall: time.Second}
	w.startHub()
	w.startNode()
	t.Cleanup(func() {
		if w.node != nil {
			w.node.Close()
		}
		if w.hub != nil {
			w.hub.Close()
		}
	})
	return w
}

func (w *world) startHub() {
	w.t.Helper()
	hub, err := StartHub(w.t.Context(), HubConfig{
		Name: "hub", Dir: filepath.Join(w.dir, "hub"), Listen: w.listen, TLS: w.tls("hub"), Signer: seal("hub"), Log: quiet(),
		Peer: func(state tls.ConnectionState) (string, error) {
			return state.PeerCertificates[0].Subject.CommonName, nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.hub, w.listen = hub, hub.Addr()
}

func (w *world) startNode() {
	w.t.Helper()
	node, err := StartNode(w.t.Context(), NodeConfig{
		Name: "node", Dir: filepath.Join(w.dir, "node"), HubAddr: w.listen, TLS: w.tls("node"),
		Signer: seal("node"), Hub: seal("hub"), HubName: "hub", Stall: w.stall, Reserve: 1, Log: quiet(),
		Receipted: func(_ context.Context, _ []SignedReceipt, parsed []lienthong.Receipt) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, r := range parsed {
				w.settled = append(w.settled, r.Sequence)
			}
			return nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.node = node
}

func quiet() *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

func testStream() lienthong.Stream {
	return lienthong.Stream{Node: "node", Dataset: lienthong.DatasetID{Database: "population", Name: "person"}}
}

func (w *world) append(sequence uint64) {
	w.t.Helper()
	sealed, err := w.sealer.Seal(lienthong.BatchHeader{Stream: testStream(), Sequence: sequence, Kind: lienthong.ChangesBatch}, make([]byte, 100))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.node.Append(w.t.Context(), sealed); err != nil {
		w.t.Fatal(err)
	}
}

// land plays the hub's landing until it has applied the sequence: it applies what
// continues the chain, asks again for what does not, and sends receipts.
func (w *world) land(until uint64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	for w.head[testStream()] < until {
		group, err := w.hub.Next(ctx, 64, 1<<20)
		if err != nil {
			w.t.Fatalf("waiting for batch %d, have %d: %v", until, w.head[testStream()], err)
		}
		var receipts []SignedReceipt
		for _, d := range group {
			header, err := batch.ParseHeader(d.HeaderBytes)
			if err != nil {
				w.t.Fatal(err)
			}
			if header.Sequence > w.head[header.Stream]+1 {
				if err := w.hub.Tell("node", Control{Expect: &Expect{Stream: header.Stream, Sequence: w.head[header.Stream] + 1}}); err != nil {
					w.t.Fatal(err)
				}
				continue
			}
			w.head[header.Stream] = max(w.head[header.Stream], header.Sequence)
			if header.Sequence == w.mute {
				w.mute = 0
				continue
			}
			sealed := batch.Sealed{HeaderBytes: d.HeaderBytes}
			body, err := json.Marshal(lienthong.Receipt{Stream: header.Stream, Sequence: header.Sequence, Hub: "hub", Digest: sealed.Digest()})
			if err != nil {
				w.t.Fatal(err)
			}
			receipts = append(receipts, SignedReceipt{Body: string(body), Signature: "hub"})
		}
		if len(receipts) > 0 {
			if err := w.hub.Tell("node", Control{Receipts: receipts}); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := w.hub.Done(ctx, group[len(group)-1].Number); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) waitEmpty() {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		if n, size := w.node.Depth(); n == 0 && size == 0 {
			return
		}
		if time.Now().After(deadline) {
			n, _ := w.node.Depth()
			w.t.Fatalf("spool still holds %d batches", n)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-w.t.Context().Done():
		}
	}
}

func TestNode_KeepsBatchesUntilReceipt(t *testing.T) {
	w := newWorld(t)
	for i := range uint64(50) {
		w.append(i + 1)
	}
	if n, _ := w.node.Depth(); n != 50 {
		t.Fatalf("spool holds %d batches before any receipt, want 50", n)
	}
	w.land(50)
	w.waitEmpty()
}

func TestNode_RestartContinuesFromSpool(t *testing.T) {
	w := newWorld(t)
	w.append(1)
	w.append(2)
	w.node.Close()
	w.startNode()
	header, _, found, err := w.node.Tail(t.Context(), testStream())
	if err != nil || !found || header.Sequence != 2 {
		t.Fatalf("Tail = %d, %t, %v; want 2", header.Sequence, found, err)
	}
	w.append(3)
	w.land(3)
	w.waitEmpty()
}

func TestNode_SendsAgainToHubThatLostItsInbox(t *testing.T) {
	w := newWorld(t)
	for i := range uint64(20) {
		w.append(i + 1)
	}
	w.land(1) // the link is up and the rest is on its way
	w.hub.Close()
	if err := os.RemoveAll(filepath.Join(w.dir, "hub")); err != nil {
		t.Fatal(err)
	}
	w.startHub()
	w.land(20)
	w.waitEmpty()
}

func TestNode_SendsAgainWhatTheHubExpects(t *testing.T) {
	w := newWorld(t)
	w.append(1)
	w.land(1)
	w.waitEmpty()
	w.append(2)
	// Batch 2 is lost between the hub's inbox and its database.
	if _, err := w.hub.Next(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	w.append(3)
	w.land(3)
	w.waitEmpty()
}

// A receipt that is lost must not keep its batch, and all behind it, in the spool
// for as long as newer batches are receipted.
func TestNode_LostReceiptIsAskedForWhileOthersCome(t *testing.T) {
	w := newWorld(t)
	w.mute = 1
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(15 * time.Second)
	for sequence := uint64(1); ; sequence++ {
		w.append(sequence)
		w.land(sequence)
		w.mu.Lock()
		heard := slices.Contains(w.settled, 1)
		w.mu.Unlock()
		if heard {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d batches receipted, and not the first", sequence)
		}
		<-tick.C
	}
}

// What a node sent before it was restarted must not make what it sends now look
// like a repetition to the hub's inbox.
func TestNode_RestartedNodeIsHeardAtOnce(t *testing.T) {
	w := newWorld(t)
	w.append(1)
	w.land(1)
	w.waitEmpty()
	w.append(2)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := w.hub.Next(ctx, 1, 1); err != nil { // taken, and lost with the hub's process
		t.Fatal(err)
	}
	w.node.Close()
	w.stall = time.Hour
	w.startNode()
	w.land(2)
	w.waitEmpty()
}

// An admitted node sees nothing of another: not its batches, not its receipts, not
// the hub's inbox, and it can send nothing in another's name.
func TestHub_LinkCarriesItsOwnNodeOnly(t *testing.T) {
	w := newWorld(t)
	other, err := StartNode(t.Context(), NodeConfig{
		Name: "other", Dir: filepath.Join(w.dir, "other"), HubAddr: w.listen, TLS: w.tls("other"),
		Signer: seal("other"), Hub: seal("hub"), HubName: "hub", Reserve: 1, Log: quiet(),
		Receipted: func(context.Context, []SignedReceipt, []lienthong.Receipt) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, _ := other.engine.parts()
	var mu sync.Mutex
	var overheard []string
	for _, subject := range []string{"batch.>", "control.node", "status.>"} {
		if _, err := conn.Subscribe(subject, func(m *nats.Msg) {
			mu.Lock()
			defer mu.Unlock()
			overheard = append(overheard, m.Subject)
		}); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for !other.Linked() || !w.node.Linked() {
		if time.Now().After(deadline) {
			t.Fatal("the nodes are not linked")
		}
		<-time.After(10 * time.Millisecond)
	}
	if _, err := conn.Request("$JS.hub.API.STREAM.PURGE.INBOX", nil, time.Second); err == nil {
		t.Error("a node emptied the hub's inbox")
	}
	if err := conn.PublishMsg(&nats.Msg{Subject: batchSubject(testStream()), Data: []byte("not mine"), Header: nats.Header{headerBytes: {"{}"}}}); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) {
		w.append(i + 1)
		w.land(i + 1) // fails on a header that is not a batch's
	}
	w.waitEmpty()
	if err := w.node.Status([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(overheard) > 0 {
		t.Errorf("a node overheard %v", overheard)
	}
}

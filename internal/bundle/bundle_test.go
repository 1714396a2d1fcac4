package bundle_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bundle"
	"github.com/lienthong/lienthong/internal/trust"
)

var update = flag.Bool("update", false, "write the golden file anew")

// place is a node or a hub with its real keys.
type place struct {
	*trust.Identity
	name string
}

func newPlace(t testing.TB, name string) place {
	t.Helper()
	identity, err := trust.OpenIdentity(t.TempDir(), name, trust.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return place{identity, name}
}

// believing is a directory that knows the places.
type believing struct{ *trust.Directory }

func (b believing) VerifyNode(payload []byte, jws string) (string, error) {
	signer, err := b.Verify(payload, jws)
	return signer.Node.Node, err
}

func directoryOf(t testing.TB, places ...place) believing {
	t.Helper()
	d := trust.NewDirectory()
	for _, p := range places {
		_, err := d.Register(trust.Registration{
			Node: trust.NodeID{Bloc: lienthong.Government, Member: "H12", Node: p.name}, Role: trust.RoleNode, Key: p.PublicKey(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return believing{d}
}

func sealedBatches(t testing.TB, p place, sizes ...int) []*batch.Sealed {
	t.Helper()
	sealer, err := batch.NewSealer(p)
	if err != nil {
		t.Fatal(err)
	}
	var all []*batch.Sealed
	previous := ""
	for i, size := range sizes {
		noise := make([]byte, size)
		_, _ = rand.Read(noise)
		s, err := sealer.Seal(lienthong.BatchHeader{
			Stream:   lienthong.Stream{Node: p.name, Dataset: lienthong.DatasetID{Database: "population", Name: "person"}},
			Sequence: uint64(i + 1), Kind: lienthong.ReportBatch, Previous: previous,
		}, noise)
		if err != nil {
			t.Fatal(err)
		}
		previous = s.Digest()
		all = append(all, s)
	}
	return all
}

func write(t testing.TB, from, to place, about bundle.About, batches []*batch.Sealed, receipts ...bundle.Receipt) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := bundle.NewWriter(&file, bundle.WriterConfig{
		Kind: bundle.Batches, From: from.name, To: to.name, Key: to.EncryptionKey(), Signer: from, Created: time.UnixMicro(1), About: about,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range batches {
		if err := w.Batch(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range receipts {
		if err := w.Receipt(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Size() < int64(file.Len()) {
		t.Errorf("Size = %d, the file has %d", w.Size(), file.Len())
	}
	return file.Bytes()
}

func readerOf(key ecdh.KeyExchanger, sender batch.Verifier) bundle.ReaderConfig {
	return bundle.ReaderConfig{Keys: []ecdh.KeyExchanger{key}, Sender: func(bundle.Kind) batch.Verifier { return sender }}
}

// read reads everything; the error is nil only for a bundle that is whole.
func read(file []byte, config bundle.ReaderConfig) (about bundle.About, batches []*batch.Sealed, receipts []bundle.Receipt, err error) {
	r, err := bundle.Open(bytes.NewReader(file), config)
	if err != nil {
		return about, nil, nil, err
	}
	for {
		record, err := r.Next()
		if err == io.EOF { //nolint:errorlint // the exact value is the promise
			return r.About, batches, receipts, nil
		}
		if err != nil {
			return r.About, batches, receipts, err
		}
		if record.Batch != nil {
			batches = append(batches, record.Batch)
		} else {
			receipts = append(receipts, *record.Receipt)
		}
	}
}

func TestBundle_RoundTrip(t *testing.T) {
	node, hub := newPlace(t, "xa-a"), newPlace(t, "h12")
	about := bundle.About{
		Oldest:   []bundle.Oldest{{Stream: lienthong.Stream{Node: "xa-a", Dataset: lienthong.DatasetID{Database: "a", Name: "b"}}, Sequence: 7}},
		ReplyKey: node.EncryptionKey(), Answered: "before", Part: 2,
	}
	// Sizes around the chunk: a record that ends a chunk, fills several, is empty.
	batches := sealedBatches(t, node, 0, 1, 64<<10, 64<<10-700, 300_000, 3)
	receipts := []bundle.Receipt{{Body: `{"a":1}`, Signature: "s"}, {Body: "", Signature: ""}}
	file := write(t, node, hub, about, batches, receipts...)
	config := readerOf(hub.Decrypter(), directoryOf(t, node))
	gotAbout, gotBatches, gotReceipts, err := read(file, config)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(about, gotAbout) + cmp.Diff(batches, gotBatches) + cmp.Diff(receipts, gotReceipts); diff != "" {
		t.Error(diff)
	}
	for _, secret := range []string{"population", "xa-a/population"} {
		if bytes.Contains(file, []byte(secret)) {
			t.Errorf("%q is readable in the file", secret)
		}
	}
}

// Every byte matters: each single change and each cut is refused under a code, and
// nothing says "whole".
func TestBundle_DamageIsFound(t *testing.T) {
	node, hub := newPlace(t, "xa-a"), newPlace(t, "h12")
	file := write(t, node, hub, bundle.About{}, sealedBatches(t, node, 100, 70_000))
	config := readerOf(hub.Decrypter(), directoryOf(t, node))
	step := 1
	if len(file) > 3000 {
		step = len(file) / 1500
	}
	for at := 0; at < len(file); at += step {
		bad := bytes.Clone(file)
		bad[at] ^= 1
		if _, _, _, err := read(bad, config); err == nil || !strings.HasPrefix(lienthong.ErrorCode(err), "bundle.") {
			t.Fatalf("byte %d changed: %v", at, err)
		}
		if _, _, _, err := read(file[:at], config); err == nil || !strings.HasPrefix(lienthong.ErrorCode(err), "bundle.") {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
}

func TestBundle_Refusals(t *testing.T) {
	node, hub, other := newPlace(t, "xa-a"), newPlace(t, "h12"), newPlace(t, "h13")
	good := write(t, node, hub, bundle.About{}, sealedBatches(t, node, 100, 5))
	known := directoryOf(t, node, other)
	impostor := node
	impostor.Identity = other.Identity // another's key under the node's name
	retired := directoryOf(t, node)
	retired.Retire(trust.NodeID{Bloc: lienthong.Government, Member: "H12", Node: "xa-a"}, time.UnixMicro(5))
	future := bytes.Clone(good)
	future[8] = 2
	longer := append(bytes.Clone(good), 0)
	for _, c := range []struct {
		name   string
		file   []byte
		key    ecdh.KeyExchanger
		sender batch.Verifier
		code   string
	}{
		{"whole", good, hub.Decrypter(), known, ""},
		{"another file", []byte("PK\x03\x04 a spreadsheet"), hub.Decrypter(), known, "bundle.format"},
		{"empty", nil, hub.Decrypter(), known, "bundle.format"},
		{"future version", future, hub.Decrypter(), known, "bundle.version"},
		{"for another", good, other.Decrypter(), known, "bundle.wrong_receiver"},
		{"unknown sender", good, hub.Decrypter(), directoryOf(t, other), "bundle.unknown_sender"},
		{"retired sender", good, hub.Decrypter(), retired, "bundle.unknown_sender"},
		{"signed with another's key", write(t, impostor, hub, bundle.About{}, nil), hub.Decrypter(), known, "bundle.forged"},
		{"cut in the front", good[:40], hub.Decrypter(), known, "bundle.truncated"},
		{"cut in the content", good[:len(good)-1], hub.Decrypter(), known, "bundle.truncated"},
		{"changed", func() []byte { b := bytes.Clone(good); b[len(b)-20] ^= 4; return b }(), hub.Decrypter(), known, "bundle.damaged"},
		{"something behind", longer, hub.Decrypter(), known, "bundle.damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, _, err := read(c.file, readerOf(c.key, c.sender))
			if c.code == "" && err != nil || c.code != "" && lienthong.ErrorCode(err) != c.code {
				t.Fatalf("%v, want %q", err, c.code)
			}
			var coded *lienthong.Error
			if errors.As(err, &coded) && (coded.Vi == "" || coded.En == "" || coded.Hint == "") {
				t.Errorf("%+v does not say everything", coded)
			}
		})
	}
	if _, err := bundle.NewWriter(io.Discard, bundle.WriterConfig{Kind: bundle.Batches, From: "a", To: "b", Signer: node}); lienthong.ErrorCode(err) != "bundle.no_key" {
		t.Errorf("without a key: %v", err)
	}
}

// Chunks of one bundle do not fit into another of the same two places.
func TestBundle_ChunksBelongToTheirBundle(t *testing.T) {
	node, hub := newPlace(t, "xa-a"), newPlace(t, "h12")
	batches := sealedBatches(t, node, 100)
	a, b := write(t, node, hub, bundle.About{}, batches), write(t, node, hub, bundle.About{}, batches)
	front := func(file []byte) int {
		at := 9
		at += 4 + int(file[at+2])<<8 + int(file[at+3])
		return at + 2 + int(file[at])<<8 + int(file[at+1])
	}
	mixed := append(bytes.Clone(a[:front(a)]), b[front(b):]...)
	if _, _, _, err := read(mixed, readerOf(hub.Decrypter(), directoryOf(t, node))); lienthong.ErrorCode(err) != "bundle.damaged" {
		t.Fatal(err)
	}
}

// golden is what a reader in another language needs to check itself.
type golden struct {
	ReceiverKey string          `json:"receiver_key"` // private P-256 scalar, hexadecimal
	SenderKey   json.RawMessage `json:"sender_key"`   // JWK
	About       bundle.About    `json:"about"`
	Headers     []string        `json:"headers"`
	Payloads    []string        `json:"payload_sha256"`
}

func TestBundle_Golden(t *testing.T) {
	file, description := filepath.Join("testdata", "golden.ltb"), filepath.Join("testdata", "golden.json")
	if *update {
		writeGolden(t, file, description)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(description)
	if err != nil {
		t.Fatal(err)
	}
	var want golden
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	scalar, err := hex.DecodeString(want.ReceiverKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdh.P256().NewPrivateKey(scalar)
	if err != nil {
		t.Fatal(err)
	}
	directory := trust.NewDirectory()
	_, err = directory.Register(trust.Registration{
		Node: trust.NodeID{Bloc: lienthong.Government, Member: "H12", Node: "xa-a"}, Role: trust.RoleNode, Key: want.SenderKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	about, batches, _, err := read(data, readerOf(key, believing{directory}))
	if err != nil {
		t.Fatal(err)
	}
	got := golden{ReceiverKey: want.ReceiverKey, SenderKey: want.SenderKey, About: about}
	for _, s := range batches {
		sum := sha256.Sum256(s.Payload)
		got.Headers, got.Payloads = append(got.Headers, string(s.HeaderBytes)), append(got.Payloads, hex.EncodeToString(sum[:]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func writeGolden(t *testing.T, file, description string) {
	t.Helper()
	node := newPlace(t, "xa-a")
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	batches := sealedBatches(t, node, 64, 70_000)
	about := bundle.About{Oldest: []bundle.Oldest{{Stream: batches[0].Header.Stream, Sequence: 1}}, ReplyKey: node.EncryptionKey()}
	var b bytes.Buffer
	w, err := bundle.NewWriter(&b, bundle.WriterConfig{
		Kind: bundle.Batches, From: "xa-a", To: "h12", Key: key.PublicKey().Bytes(), Signer: node, Created: time.UnixMicro(1_764_547_200_000_000), About: about,
	})
	if err != nil {
		t.Fatal(err)
	}
	g := golden{ReceiverKey: hex.EncodeToString(key.Bytes()), SenderKey: node.PublicKey(), About: about}
	for _, s := range batches {
		if err := w.Batch(s); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(s.Payload)
		g.Headers, g.Payloads = append(g.Headers, string(s.HeaderBytes)), append(g.Payloads, hex.EncodeToString(sum[:]))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{file: b.Bytes(), description: append(text, '\n')} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzOpen gives the reader anything; what it reads to the end is what was written.
func FuzzOpen(f *testing.F) {
	node, hub := newPlace(f, "xa-a"), newPlace(f, "h12")
	file := write(f, node, hub, bundle.About{}, sealedBatches(f, node, 20), bundle.Receipt{Body: "{}", Signature: "s"})
	f.Add(file, 0, byte(0))
	f.Add(file[:len(file)/2], 30, byte(1))
	f.Add([]byte("LTBUNDLE\x01"), 0, byte(0))
	config := readerOf(hub.Decrypter(), directoryOf(f, node))
	f.Fuzz(func(t *testing.T, data []byte, at int, change byte) {
		if at >= 0 && at < len(data) {
			data = bytes.Clone(data)
			data[at] ^= change
		}
		_, _, _, err := read(data, config)
		if err == nil && !bytes.Equal(data, file) {
			t.Fatal("read to the end, and it is not what was written")
		}
		if err != nil && lienthong.ErrorCode(err) == "internal" {
			t.Fatalf("without a code: %v", err)
		}
	})
}

package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/landing"
	"github.com/lienthong/lienthong/internal/store"
	"github.com/lienthong/lienthong/internal/trust"
)

// nodeVerifier lets a directory say which node signed.
type nodeVerifier struct{ directory *trust.Directory }

// VerifyNode implements batch.Verifier.
func (v nodeVerifier) VerifyNode(payload []byte, jws string) (string, error) {
	signer, err := v.directory.Verify(payload, jws)
	return signer.Node.Node, err
}

// inbox lets landing read the bus.
type inbox struct{ bus *bus.Hub }

func (i inbox) Next(ctx context.Context, limit, maxBytes int) ([]landing.Delivery, error) {
	group, err := i.bus.Next(ctx, limit, maxBytes)
	deliveries := make([]landing.Delivery, len(group))
	for n := range group {
		deliveries[n] = landing.Delivery(group[n])
	}
	return deliveries, err
}

func (i inbox) Done(ctx context.Context, number uint64) error { return i.bus.Done(ctx, number) }

// answer lets landing talk back over the bus.
type answer struct {
	hub    *Hub
	signer batch.Signer
}

func (a answer) Receipts(node string, receipts []lienthong.Receipt) error {
	signed := make([]bus.SignedReceipt, len(receipts))
	for i := range receipts {
		body, err := json.Marshal(&receipts[i])
		if err != nil {
			return fmt.Errorf("encode receipt: %w", err)
		}
		jws, err := a.signer.Sign(body)
		if err != nil {
			return fmt.Errorf("sign receipt: %w", err)
		}
		signed[i] = bus.SignedReceipt{Body: string(body), Signature: jws}
	}
	return a.hub.tell(node, bus.Control{Receipts: signed})
}

func (a answer) Expect(s lienthong.Stream, sequence uint64, code string) error {
	return a.hub.tell(s.Node, bus.Control{Expect: &bus.Expect{Stream: s, Sequence: sequence, Code: code}})
}

func (a answer) Repair(s lienthong.Stream, checkpoint string, buckets []int) error {
	return a.hub.tell(s.Node, bus.Control{Repair: &bus.Repair{Stream: s, Checkpoint: checkpoint, Buckets: buckets}})
}

// landingStore lets landing write to the store.
type landingStore struct{ *store.Store }

func (s landingStore) Heads(ctx context.Context) (map[lienthong.Stream]landing.Head, error) {
	heads, err := s.Store.Heads(ctx)
	converted := make(map[lienthong.Stream]landing.Head, len(heads))
	for stream, head := range heads {
		converted[stream] = landing.Head(head)
	}
	return converted, err
}

func (s landingStore) Apply(ctx context.Context, items []landing.Item) ([]landing.Applied, error) {
	converted := make([]store.Item, len(items))
	for i := range items {
		converted[i] = store.Item{Header: items[i].Header, Digest: items[i].Digest, Shape: items[i].Shape, Body: items[i].Body}
		if items[i].Rows != nil {
			converted[i].Rows = items[i].Rows
		}
		if items[i].Header.Kind == lienthong.RepairBatch {
			converted[i].Version = int64(items[i].Header.Last.Order)
		}
	}
	results, err := s.Store.Apply(ctx, converted)
	applied := make([]landing.Applied, len(results))
	for i, r := range results {
		applied[i] = landing.Applied{Landed: r.Landed, Ignored: r.Ignored, Refused: len(r.Refused), At: r.AppliedAt, Duplicate: r.Duplicate}
	}
	return applied, err
}

func (s landingStore) Freeze(ctx context.Context) (landing.Frozen, error) {
	frozen, err := s.Store.Freeze(ctx)
	if err != nil {
		return nil, err
	}
	return landingFrozen{frozen}, nil
}

type landingFrozen struct{ *store.Frozen }

func (f landingFrozen) Close() { _ = f.Frozen.Close() }

// loadDefinitions reads dataset definitions from files and globs, relative to the
// configuration file.
func loadDefinitions(config string, patterns []string) ([]*dictionary.Definition, error) {
	var definitions []*dictionary.Definition
	var problems []error
	for _, pattern := range patterns {
		paths, err := filepath.Glob(resolve(config, pattern))
		if err != nil || len(paths) == 0 {
			problems = append(problems, &lienthong.Error{
				Code: "definition.file", Where: resolve(config, pattern),
				Vi: "không tìm thấy định nghĩa tập dữ liệu", En: "no dataset definition found",
				Hint: "kiểm tra đường dẫn, tính từ thư mục của tệp cấu hình / check the path, which starts in the configuration file's folder",
				Err:  err,
			})
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				problems = append(problems, fmt.Errorf("read definition: %w", err))
				continue
			}
			definition, err := dictionary.ParseDefinition(path, data)
			if err != nil {
				problems = append(problems, err)
				continue
			}
			definitions = append(definitions, definition)
		}
	}
	return definitions, errors.Join(problems...)
}

// serve starts an HTTP server and returns its address. It ends with the hub.
func (h *Hub) serve(ctx context.Context, address string, handler http.Handler, tlsConfig *tls.Config) (string, error) {
	addr, stop, err := serve(ctx, address, handler, tlsConfig, h.log)
	if err != nil {
		return "", err
	}
	h.closers.add(stop)
	return addr, nil
}

func serve(ctx context.Context, address string, handler http.Handler, tlsConfig *tls.Config, log *slog.Logger) (string, func(), error) {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return "", nil, &lienthong.Error{
			Code: "listen", Where: address, Vi: "không mở được cổng", En: "the address cannot be listened on",
			Hint: "chọn cổng khác hoặc dừng chương trình đang dùng cổng này / choose another port, or stop what uses it", Err: err,
		}
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	addr := listener.Addr().String()
	if tlsConfig != nil {
		listener = tls.NewListener(listener, tlsConfig)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // returns when it is closed
	}()
	return addr, func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(stopCtx) != nil {
			_ = server.Close()
		}
		<-done
	}, nil
}

func splitStream(s string) (node, dataset string) {
	node, dataset, _ = strings.Cut(s, "/")
	return node, dataset
}

package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/connector/push"
)

// PushConfig is the HTTP interface for systems that cannot be read.
type PushConfig struct {
	// Listen is its address. HTTPS with Certificate and Key; plain HTTP on loopback only. Required.
	Listen string `yaml:"listen"`
	// Certificate and Key are PEM files for HTTPS.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	// Schemas are the record types: workbooks as agencies exchange them, or YAML. The file's name
	// without its ending is the record type. At least one.
	Schemas []string `yaml:"schemas"`
	// BodyMB bounds one request, in MiB as sent. Default: 64.
	BodyMB int64 `yaml:"body_mb"`
	// InboxMB bounds what waits, in MiB; beyond it callers are told to come back. Default: no bound.
	InboxMB int64 `yaml:"inbox_mb"`
}

func (c *PushConfig) check(p *problems, at string) {
	p.required(at+".listen", c.Listen)
	if c.Listen != "" {
		p.address(at+".listen", c.Listen)
	}
	if (c.Certificate == "") != (c.Key == "") {
		p.add(at+".certificate", "certificate và key đi cùng nhau", "certificate and key go together", "")
	}
	if c.Listen != "" && !loopback(c.Listen) && c.Certificate == "" {
		p.add(at+".certificate", "ngoài loopback cần HTTPS", "off loopback HTTPS is needed", "certificate: push.crt, key: push.key")
	}
	if len(c.Schemas) == 0 {
		p.add(at+".schemas", "chưa có cấu trúc bản ghi nào", "there is no record type", "schemas: [KetHon.xlsx]")
	}
}

func openPush(ctx context.Context, c *PushConfig, at connection) (*push.Source, error) {
	schemas, err := pushSchemas(c, at.resolve)
	if err != nil {
		return nil, err
	}
	return push.Open(ctx, push.Config{
		StateDir: at.state, Node: at.node, Schemas: schemas, Signer: at.signer, Tracker: at.tracker,
		Limits: push.Limits{BodyBytes: c.BodyMB << 20, InboxBytes: c.InboxMB << 20}, Now: at.parts.Now, Log: at.parts.Log,
	})
}

// pushSchemas reads the record types, all problems at once.
func pushSchemas(c *PushConfig, resolve func(string) string) ([]push.Schema, error) {
	var schemas []push.Schema
	for _, pattern := range c.Schemas {
		paths, err := filepath.Glob(resolve(pattern))
		if err != nil || len(paths) == 0 {
			return nil, &lienthong.Error{
				Code: "push.schema_file", Where: resolve(pattern), Vi: "không tìm thấy tệp cấu trúc bản ghi", En: "no file of a record type found",
				Hint: "kiểm tra đường dẫn / check the path", Err: err,
			}
		}
		for _, path := range paths {
			schema, err := pushSchema(path)
			if err != nil {
				return nil, err
			}
			schemas = append(schemas, schema)
		}
	}
	return schemas, nil
}

func pushSchema(path string) (push.Schema, error) {
	f, err := os.Open(path)
	if err != nil {
		return push.Schema{}, fmt.Errorf("record type: %w", err)
	}
	defer func() { _ = f.Close() }()
	if ending := strings.ToLower(filepath.Ext(path)); ending == ".yaml" || ending == ".yml" {
		var schema push.Schema
		decoder := yaml.NewDecoder(f)
		decoder.KnownFields(true)
		if err := decoder.Decode(&schema); err != nil {
			return schema, &lienthong.Error{
				Code: "push.schema_file", Where: path, Vi: "tệp cấu trúc bản ghi không đọc được", En: "the file of a record type cannot be read",
				Hint: "docs/connectors/push.md", Err: err,
			}
		}
		return schema, nil
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	schema, wrong, err := push.ImportSchema(f, name)
	if err != nil {
		return push.Schema{}, err
	}
	if len(wrong) > 0 {
		w := wrong[0]
		return push.Schema{}, &lienthong.Error{
			Code: "push.schema_sheet", Where: fmt.Sprintf("%s: %s (%d)", path, w.Cell, len(wrong)), Vi: w.Vi, En: w.En,
			Hint: "sửa ô được nêu rồi nạp lại / correct the cell and load it again",
		}
	}
	return schema, nil
}

// openDoors serves the HTTP interfaces of sources that have one.
func (n *Node) openDoors(ctx context.Context, one *source) error {
	door, ok := one.source.(*push.Source)
	if !ok {
		return nil
	}
	c := one.config.Push
	var secure *tls.Config
	if c.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(n.config.resolve(c.Certificate), n.config.resolve(c.Key))
		if err != nil {
			return &lienthong.Error{
				Code: "push.certificate", Where: c.Certificate, Vi: "không đọc được chứng thư hoặc khóa", En: "the certificate or its key cannot be read",
				Hint: "hai tệp PEM của cùng một cặp / two PEM files of one pair", Err: err,
			}
		}
		secure = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}}
	}
	address, stop, err := serve(ctx, c.Listen, door.Handler(), secure, n.log)
	if err != nil {
		return err
	}
	one.address = address
	n.closers.add(stop)
	return nil
}

// PushAddr is where the first source with an inbox listens; empty: there is none.
func (n *Node) PushAddr() string {
	for _, one := range n.sources.all() {
		if one.address != "" {
			return one.address
		}
	}
	return ""
}

// trackPushed remembers which batch carries which changes of a pushed dataset, before the
// inbox is told that it may forget them.
func (n *Node) trackPushed(sealed func(*batch.Sealed)) func(*batch.Sealed) {
	return func(s *batch.Sealed) {
		if sealed != nil {
			sealed(s)
		}
		ctx := context.Background() //nolint:forbidigo // belongs to the batch, which is durable whatever ends now
		if err := n.state.SavePosition(ctx, &s.Header, s.Digest()); err != nil {
			n.log.ErrorContext(ctx, "place of a batch not kept; its records' receipts cannot be looked up", slog.Any("error", err))
		}
	}
}

// tracker finds the batch and the receipt of a pushed record.
type tracker struct{ node *Node }

// Track implements push.Tracker.
func (t tracker) Track(ctx context.Context, entry push.Entry) (push.Progress, error) {
	n := t.node
	var dataset lienthong.DatasetID
	for _, one := range n.sources.all() {
		if one.config.Push == nil {
			continue
		}
		for _, d := range n.sources.definitions(one) {
			if d.Table == entry.Table {
				dataset = d.Dataset
			}
		}
	}
	if dataset == (lienthong.DatasetID{}) {
		return push.Progress{}, nil
	}
	progress := push.Progress{Dataset: dataset}
	sequence, digest, found, err := n.state.BatchAt(ctx, dataset, entry.Position)
	if err != nil || !found {
		return progress, err
	}
	progress.Sequence, progress.Digest = sequence, digest
	body, signature, signed, err := n.state.ReceiptOf(ctx, dataset, sequence)
	if signed {
		progress.Receipt, progress.Signature = []byte(body), signature
	}
	return progress, err
}

// pushSource is one with an inbox: the one of the name, or the first.
func (n *Node) pushSource(name string) (*push.Source, error) {
	for _, one := range n.sources.all() {
		if door, ok := one.source.(*push.Source); ok && (name == "" || one.name == name) {
			return door, nil
		}
	}
	return nil, noSuchSource(name)
}

// PushClient is a system that may send records.
type PushClient struct {
	Source      string   `json:"source,omitempty"`
	Name        string   `json:"name"`
	Types       []string `json:"types"`
	Certificate string   `json:"certificate,omitempty"`
	Key         string   `json:"key,omitempty"` // told once, when it is made
}

// pushCommands let the commands of the same machine say who may send.
func (n *Node) pushCommands() {
	n.local.handle("POST /push/clients", func(ctx context.Context, r *http.Request) (any, error) {
		var c PushClient
		if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(&c); err != nil {
			return nil, fmt.Errorf("push client: %w", err)
		}
		door, err := n.pushSource(c.Source)
		if err != nil {
			return nil, err
		}
		key, err := door.AddClient(ctx, push.Client{Name: c.Name, Types: c.Types, Certificate: c.Certificate})
		c.Key = key
		return c, err
	})
	n.local.handle("GET /push/clients", func(ctx context.Context, r *http.Request) (any, error) {
		door, err := n.pushSource(r.URL.Query().Get("source"))
		if err != nil {
			return nil, err
		}
		clients, err := door.Clients(ctx)
		list := make([]PushClient, 0, len(clients))
		for _, c := range clients {
			list = append(list, PushClient{Name: c.Name, Types: slices.Clone(c.Types), Certificate: c.Certificate})
		}
		return list, err
	})
	n.local.handle("DELETE /push/clients/{name}", func(ctx context.Context, r *http.Request) (any, error) {
		door, err := n.pushSource(r.URL.Query().Get("source"))
		if err != nil {
			return nil, err
		}
		return nil, door.RemoveClient(ctx, r.PathValue("name"))
	})
}

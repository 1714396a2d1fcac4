package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/store"
	"github.com/lienthong/lienthong/internal/trust"
)

// LoadAnyConfig reads the configuration of a hub or of a node; the other one is nil.
func LoadAnyConfig(path string) (*HubConfig, *NodeConfig, error) {
	var keys map[string]yaml.Node
	if data, err := os.ReadFile(path); err == nil {
		_ = yaml.Unmarshal(data, &keys) // what is wrong is told below, with its line
	}
	if _, isNode := keys["hub"]; isNode {
		node, err := LoadNodeConfig(path)
		return nil, node, err
	}
	hub, err := LoadHubConfig(path)
	return hub, nil, err
}

// attach speaks to the process that runs on the data of the configuration, or opens the
// data for as long as the command takes: without sources, without a line.
func attach(ctx context.Context, hub *HubConfig, node *NodeConfig, log *slog.Logger) (l *Local, detach func(), err error) {
	data := ""
	if hub != nil {
		data = hub.Data
	} else {
		data = node.Data
	}
	l, err = DialLocal(data)
	if err == nil {
		// A socket may have been left by a process that was killed.
		if err = l.Do(ctx, "GET", "/alive", nil, nil); err == nil {
			return l, l.Close, nil
		}
		l.Close()
	}
	if lienthong.ErrorCode(err) != "local.not_running" {
		return nil, nil, err
	}
	var stop func()
	if hub != nil {
		idle := *hub
		idle.Links, idle.Enrol, idle.Console, idle.Metrics = "127.0.0.1:0", "127.0.0.1:0", "off", ""
		started, err := StartHub(ctx, &idle, HubParts{Log: log, Idle: true})
		if err != nil {
			return nil, nil, err
		}
		stop = started.Close
	} else {
		idle := *node
		idle.Metrics = ""
		started, err := StartNode(ctx, &idle, NodeParts{Log: log, Idle: true})
		if err != nil {
			return nil, nil, err
		}
		stop = started.Close
	}
	if l, err = DialLocal(data); err != nil {
		stop()
		return nil, nil, err
	}
	return l, func() { l.Close(); stop() }, nil
}

// ExportBundle writes a bundle to out: a file, or in a folder as many files of at most
// limit bytes as are needed. A file that is there is whole.
func ExportBundle(ctx context.Context, hub *HubConfig, node *NodeConfig, out, to string, limit int64, log *slog.Logger) ([]ExportReport, error) {
	l, detach, err := attach(ctx, hub, node, log)
	if err != nil {
		return nil, err
	}
	defer detach()
	info, err := os.Stat(out)
	folder := err == nil && info.IsDir()
	var reports []ExportReport
	order := ExportOrder{To: to, Limit: limit, Part: 1}
	for {
		report, err := exportPart(ctx, l, out, folder, order)
		if err != nil {
			return reports, err
		}
		reports = append(reports, report)
		if !report.More || !folder {
			return reports, nil
		}
		order.Part, order.After = order.Part+1, report.Last
	}
}

func exportPart(ctx context.Context, l *Local, out string, folder bool, order ExportOrder) (report ExportReport, err error) {
	dir := filepath.Dir(out)
	if folder {
		dir = out
	}
	file, err := os.CreateTemp(dir, ".bundle-*")
	if err != nil {
		return report, fmt.Errorf("write bundle: %w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	body, err := l.Stream(ctx, "POST", "/bundle/export", order)
	if err != nil {
		return report, err
	}
	defer func() { _ = body.Close() }()
	if report, err = unframe(file, body); err != nil {
		return report, err
	}
	// On a stick the whole file counts: it may be pulled out the moment this ends.
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return report, fmt.Errorf("write bundle: %w", err)
	}
	report.File = out
	if folder {
		report.File = filepath.Join(out, fmt.Sprintf("%s-%s-%s-%03d.ltb", report.From, report.To, report.Bundle[:8], order.Part))
	}
	if err := os.Rename(file.Name(), report.File); err != nil {
		return report, fmt.Errorf("write bundle: %w", err)
	}
	return report, durable.SyncDir(filepath.Dir(report.File))
}

// ImportBundle takes a bundle in and waits until what it holds has been dealt with.
func ImportBundle(ctx context.Context, hub *HubConfig, node *NodeConfig, path string, log *slog.Logger) (ImportReport, error) {
	var report ImportReport
	file, err := os.Open(path)
	if err != nil {
		return report, &lienthong.Error{
			Code: "bundle.open", Where: path, Vi: "không mở được tệp gói", En: "the bundle cannot be opened",
			Hint: "kiểm tra đường dẫn và quyền đọc / check the path and the right to read it", Err: err,
		}
	}
	defer func() { _ = file.Close() }()
	l, detach, err := attach(ctx, hub, node, log)
	if err != nil {
		return report, err
	}
	defer detach()
	return report, l.Do(ctx, "POST", "/bundle/import", io.Reader(file), &report)
}

// BatchReceipts is a batch and who has said that it is durable there.
type BatchReceipts struct {
	Dataset  string        `json:"dataset"`
	Sequence uint64        `json:"sequence"`
	Digest   string        `json:"digest"`
	Sealed   string        `json:"sealed,omitempty"`
	Receipts []HeldReceipt `json:"receipts"`
}

// HeldReceipt is one receipt of a batch, verified now.
type HeldReceipt struct {
	Hub      string `json:"hub"`
	Applied  string `json:"applied"` // when the hub had committed it
	Landed   int    `json:"landed"`
	Ignored  int    `json:"ignored"`
	Verified bool   `json:"verified"`
	Problem  string `json:"problem,omitempty"` // the code of why it does not verify
}

// Receipts lists the newest batches of a node with their receipts, beside a node that may
// be running. Each is verified with the keys that the node knows.
func Receipts(ctx context.Context, config *NodeConfig, dataset string, batches int) ([]BatchReceipts, error) {
	identity, err := trust.OpenIdentity(filepath.Join(config.Data, "keys"), config.Name, trust.Options{})
	if err != nil {
		return nil, err
	}
	directory, err := identity.HubDirectory()
	if err != nil {
		return nil, err
	}
	keepDirectory{
		path: filepath.Join(config.Data, "directory.json"), identity: identity, directory: directory, log: slog.New(slog.DiscardHandler),
	}.load(ctx)
	state, err := store.OpenNodeState(ctx, config.Data)
	if err != nil {
		return nil, err
	}
	defer func() { _ = state.Close() }()
	return receiptsOf(ctx, state, directory, config.Name, dataset, batches)
}

// Receipts lists the newest batches of this node with their receipts, verified.
func (n *Node) Receipts(ctx context.Context, dataset string, batches int) ([]BatchReceipts, error) {
	return receiptsOf(ctx, n.state, n.hubKeys, n.config.Name, dataset, batches)
}

func receiptsOf(ctx context.Context, state *store.NodeState, directory *trust.Directory, node, dataset string, batches int) ([]BatchReceipts, error) {
	list, err := state.NewestReceipts(ctx, node, dataset, batches)
	if err != nil {
		return nil, err
	}
	var all []BatchReceipts
	for _, r := range list {
		name := r.Stream.Dataset.String()
		if n := len(all); n == 0 || all[n-1].Dataset != name || all[n-1].Sequence != r.Sequence {
			all = append(all, BatchReceipts{Dataset: name, Sequence: r.Sequence, Digest: r.Digest})
		}
		b := &all[len(all)-1]
		if r.Sealed != 0 {
			b.Sealed = told(r.Sealed)
		}
		var body lienthong.Receipt
		held := HeldReceipt{Hub: r.Hub}
		signer, err := hubVerifier{directory}.VerifyNode([]byte(r.Body), r.Signature)
		if err == nil {
			err = json.Unmarshal([]byte(r.Body), &body)
		}
		switch {
		case err != nil:
			held.Problem = lienthong.ErrorCode(err)
		case signer != r.Hub || body.Hub != r.Hub || body.Stream != r.Stream || body.Sequence != r.Sequence || body.Digest != b.Digest:
			held.Problem = "receipt.mismatch"
		default:
			held.Verified = true
		}
		held.Applied, held.Landed, held.Ignored = told(body.Applied), body.Landed, body.Ignored
		b.Receipts = append(b.Receipts, held)
	}
	return all, nil
}

func told(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }

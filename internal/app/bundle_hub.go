package app

import (
	"context"
	"crypto/ecdh"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bundle"
	"github.com/lienthong/lienthong/internal/store"
)

// bundleCommands registers what a hub does for lienthong bundle.
func (h *Hub) bundleCommands() {
	h.local.handle("GET /alive", alive)
	h.local.handleRaw("POST /bundle/export", exporter(h.log, func(ctx context.Context, w io.Writer, order ExportOrder) (ExportReport, error) {
		export := h.answerBundle
		if u := h.upstream; u != nil && (order.To == u.above || order.To == "") {
			export = func(ctx context.Context, w io.Writer, order ExportOrder) (ExportReport, error) {
				return u.carrier().export(ctx, w, order, bundle.WriterConfig{Created: h.now()})
			}
		}
		report, err := export(ctx, w, order)
		if err == nil {
			h.note(ctx, exportLeaf(report))
		}
		return report, err
	}))
	h.local.handle("POST /bundle/import", func(ctx context.Context, r *http.Request) (any, error) {
		report, err := h.importBundle(ctx, r.Body)
		if err != nil {
			return nil, err
		}
		h.note(ctx, importLeaf(report))
		return report, nil
	})
}

// carrier is the hub as a node of the hub above.
func (u *upstream) carrier() *carrier {
	return &carrier{
		name: u.hub.config.Name, above: u.above, identity: u.identity, directory: u.directory, bus: u.bus, nodes: u.nodeList,
		answered: func(ctx context.Context) (string, error) {
			b, _, err := u.hub.store.LastBundle(ctx, u.above)
			return b.ID, err
		},
	}
}

// answerBundle writes the receipts of what a node has brought, and those of the hubs above.
// It begins where the node said that its receipts end, so that a lost answer is made again.
func (h *Hub) answerBundle(ctx context.Context, w io.Writer, order ExportOrder) (ExportReport, error) {
	report := ExportReport{Kind: bundle.Receipts, From: h.config.Name, To: order.To}
	last, found, err := h.store.LastBundle(ctx, order.To)
	if err != nil {
		return report, err
	}
	if !found {
		return report, &lienthong.Error{
			Code: "bundle.no_request", Where: order.To, Vi: "chưa nhập gói nào của nút này", En: "no bundle of this node has been imported",
			Hint: "nhập gói của nút trước / import a bundle of the node first",
		}
	}
	var about bundle.About
	if err := json.Unmarshal([]byte(last.About), &about); err != nil {
		return report, fmt.Errorf("read what the bundle said: %w", err)
	}
	signed, err := h.enrolment.SignedDirectory()
	if err != nil {
		return report, err
	}
	b, err := bundle.NewWriter(w, bundle.WriterConfig{
		Kind: bundle.Receipts, From: h.config.Name, To: order.To, Key: about.ReplyKey, Signer: h.identity, Created: h.now(),
		About: bundle.About{Directory: signed},
	})
	if err != nil {
		return report, err
	}
	nodes := map[string]bool{order.To: true}
	for _, from := range about.Oldest {
		if h.route(from.Stream.Node) != order.To {
			continue
		}
		nodes[from.Stream.Node] = true
		err := h.store.Landed(ctx, from.Stream, from.Sequence, func(l store.LandedBatch) error {
			body, err := json.Marshal(&lienthong.Receipt{
				Stream: from.Stream, Hub: h.config.Name, Sequence: l.Sequence, Digest: l.Digest, Landed: l.Landed, Ignored: l.Ignored, Applied: l.AppliedAt,
			})
			if err != nil {
				return fmt.Errorf("encode receipt: %w", err)
			}
			jws, err := h.identity.Sign(body)
			if err != nil {
				return err
			}
			return b.Receipt(bundle.Receipt{Body: string(body), Signature: jws})
		})
		if err != nil {
			return report, err
		}
	}
	for _, r := range h.directory.Registrations() {
		if r.Via == order.To {
			nodes[r.Node.Node] = true
		}
	}
	passed, err := h.store.PassedFor(ctx, sortedKeys(nodes), b.ID())
	if err != nil {
		return report, err
	}
	for _, r := range passed {
		if err := b.Receipt(bundle.Receipt{Body: r.Body, Signature: r.Signature}); err != nil {
			return report, err
		}
	}
	if err := b.Close(); err != nil {
		return report, err
	}
	report.Bundle, report.Bytes = b.ID(), b.Size()
	_, report.Receipts = b.Counts()
	return report, nil
}

// linkVerifier believes those who have a link of their own here.
type linkVerifier struct{ hub *Hub }

// VerifyNode implements batch.Verifier.
func (v linkVerifier) VerifyNode(payload []byte, jws string) (string, error) {
	name, err := batchVerifier{v.hub.directory}.VerifyNode(payload, jws)
	if err == nil && v.hub.route(name) != name {
		err = v.hub.admit(name, "bundle")
	}
	return name, err
}

// importBundle takes in batches of a node or of a hub below, or receipts of the hub above.
func (h *Hub) importBundle(ctx context.Context, body io.Reader) (ImportReport, error) {
	config := bundle.ReaderConfig{
		Keys:   []ecdh.KeyExchanger{h.identity.Decrypter()},
		Sender: func(bundle.Kind) batch.Verifier { return linkVerifier{h} },
	}
	if u := h.upstream; u != nil {
		config.Keys = append(config.Keys, u.identity.Decrypter())
		config.Sender = func(kind bundle.Kind) batch.Verifier {
			if kind == bundle.Receipts {
				return hubVerifier{u.directory}
			}
			return linkVerifier{h}
		}
	}
	contents := &contents{streams: map[lienthong.Stream]*contained{}}
	a, err := receive(h.config.Data, body, config, contents.add)
	if err != nil {
		return ImportReport{}, err
	}
	defer a.close()
	b, err := a.open()
	if err != nil {
		return ImportReport{}, err
	}
	if _, known, err := h.store.Bundle(ctx, b.Header.ID); err != nil || known {
		return ImportReport{}, errors.Join(err, imported(b))
	}
	about, err := json.Marshal(&bundle.About{Oldest: b.About.Oldest, Part: b.About.Part, ReplyKey: b.About.ReplyKey})
	if err != nil {
		return ImportReport{}, fmt.Errorf("keep what the bundle said: %w", err)
	}
	var report ImportReport
	switch {
	case b.Header.Kind == bundle.Batches:
		report, err = h.takeBatches(ctx, b, contents)
	case h.upstream == nil:
		err = mixed(b)
	default:
		u := h.upstream
		report, err = u.carrier().take(ctx, b, keepDirectory{
			path: filepath.Join(h.config.Data, "upstream", "directory.json"), identity: u.identity, directory: u.directory, log: h.log,
		}, h.log)
		if err == nil {
			err = u.introduce()
		}
	}
	if err != nil {
		return report, err
	}
	return report, h.store.SaveBundle(ctx, store.Bundle{ID: b.Header.ID, Sender: b.Header.From, Created: b.Header.Created, About: string(about)})
}

// contents is what a first reading notes of a bundle.
type contents struct {
	streams map[lienthong.Stream]*contained
	batches int
}

type contained struct {
	first, last uint64
	begins      bool // the first one begins the chain
	digest      string
}

func (c *contents) add(r *bundle.Reader, record bundle.Record) error {
	if (record.Batch == nil) == (r.Header.Kind == bundle.Batches) {
		return mixed(r)
	}
	if record.Batch == nil {
		return nil
	}
	c.batches++
	header := &record.Batch.Header
	in := c.streams[header.Stream]
	if in == nil {
		in = &contained{first: header.Sequence, begins: header.Begins()}
		c.streams[header.Stream] = in
	} else if header.Sequence != in.last+1 {
		return &lienthong.Error{
			Code: "bundle.order", Where: r.Header.Name() + ": " + header.String(),
			Vi: "các lô trong gói không liền nhau", En: "the batches in the bundle do not follow each other",
			Hint: "xuất lại gói / export it again",
		}
	}
	in.last, in.digest = header.Sequence, record.Batch.Digest()
	return nil
}

// takeBatches gives the batches to landing the ordinary way, through the inbox, and waits
// until they have been applied or refused.
func (h *Hub) takeBatches(ctx context.Context, b *bundle.Reader, contents *contents) (ImportReport, error) {
	report := ImportReport{Bundle: b.Header.ID, Kind: b.Header.Kind, From: b.Header.From, Batches: contents.batches}
	heads, err := h.store.Heads(ctx)
	if err != nil {
		return report, err
	}
	for stream, in := range contents.streams {
		if head := heads[stream].Sequence; in.first > head+1 && !in.begins {
			return report, &lienthong.Error{
				Code: "bundle.out_of_order", Where: fmt.Sprintf("%s: %s #%d, %d", b.Header.Name(), stream, in.first, head),
				Vi:   "thiếu gói ở trước: trung tâm chưa có các lô trước đó",
				En:   fmt.Sprintf("a bundle before this one is missing: it begins with batch %d, and %d is the last that has landed", in.first, head),
				Hint: "nhập các phần theo thứ tự, hoặc xuất lại từ nút / import the parts in their order, or export again at the node",
			}
		}
	}
	if len(b.About.Nodes) > 0 {
		refused, err := h.enrolment.TakeNodes(ctx, b.Header.From, b.About.Nodes)
		if err != nil && lienthong.ErrorCode(err) != "trust.directory_stale" {
			return report, err
		}
		for _, r := range refused {
			h.log.WarnContext(ctx, "node behind a hub refused", slog.String("code", r.Code), slog.String("node", r.Node.String()))
		}
	}
	last := uint64(0)
	for {
		record, err := b.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return report, err
		}
		if last, err = h.bus.Deliver(ctx, b.Header.From, record.Batch); err != nil {
			return report, err
		}
	}
	if last > 0 {
		if err := h.bus.Taken(ctx, last); err != nil {
			return report, err
		}
	}
	if heads, err = h.store.Heads(ctx); err != nil {
		return report, err
	}
	for stream, in := range contents.streams {
		head := heads[stream]
		landed := head.Sequence > in.last || head.Sequence == in.last && head.Digest == in.digest
		if !landed {
			report.Refused++
		}
		report.Streams = append(report.Streams, ImportStream{Stream: stream.String(), First: in.first, Last: in.last, Landed: head.Sequence})
	}
	slices.SortFunc(report.Streams, func(a, b ImportStream) int { return strings.Compare(a.Stream, b.Stream) })
	return report, h.store.PassedBy(ctx, b.About.Answered)
}

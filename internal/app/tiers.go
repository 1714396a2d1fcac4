package app

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/store"
	"github.com/lienthong/lienthong/internal/trust"
)

// hubVerifier believes hubs only: a node could otherwise bear a hub's name elsewhere
// and sign receipts in it.
type hubVerifier struct{ directory *trust.Directory }

// VerifyNode implements batch.Verifier.
func (v hubVerifier) VerifyNode(payload []byte, jws string) (string, error) {
	signer, err := v.directory.Verify(payload, jws)
	if err == nil && signer.Role != trust.RoleHub {
		err = wrongSigner(signer, "chữ ký không phải của một trung tâm", "not signed by a hub")
	}
	return signer.Node.Node, err
}

// batchVerifier believes nodes only, and those behind another hub also when their key was
// retired after the batch was sealed.
type batchVerifier struct{ directory *trust.Directory }

// VerifyNode implements batch.Verifier.
func (v batchVerifier) VerifyNode(header []byte, jws string) (string, error) {
	signer, err := v.directory.Verify(header, jws)
	if lienthong.ErrorCode(err) == "trust.retired_signer" {
		if h, parseErr := batch.ParseHeader(header); parseErr == nil {
			signer, err = v.directory.VerifySealed(header, jws, h.Sealed)
		}
	}
	if err == nil && signer.Role != trust.RoleNode {
		err = wrongSigner(signer, "chữ ký không phải của một nút", "not signed by a node")
	}
	return signer.Node.Node, err
}

func wrongSigner(signer trust.Signer, vi, en string) error {
	return &lienthong.Error{
		Code: "trust.role", Where: signer.Node.String(), Vi: vi, En: en,
		Hint: "từ chối; báo người quản trị / refused; tell the administrator",
	}
}

// route is the link by which a node is reached: its own, or that of the hub it is behind.
func (h *Hub) route(node string) string {
	if via, _ := h.directory.Route(node); via != "" {
		return via
	}
	return node
}

// tell sends a control message to a node, through the hubs between.
func (h *Hub) tell(node string, c bus.Control) error { return h.bus.Tell(h.route(node), c) }

// tellResult tells a node what a comparison found. A node behind another hub hears it from
// that one, of that one's records.
func (h *Hub) tellResult(node string, r *lienthong.Reconciliation) error {
	if h.route(node) != node {
		return nil
	}
	return h.bus.Tell(node, bus.Control{Result: r})
}

// admit says whether batches of a node may come by a link.
func (h *Hub) admit(node, link string) error {
	if h.route(node) == link {
		return nil
	}
	return &lienthong.Error{
		Code: "batch.wrong_link", Where: node + " ← " + link,
		Vi: "lô đến bằng đường của một nút khác", En: "the batch came by the link of another node",
		Hint: "kiểm tra nút đăng ký ở trung tâm nào / check at which hub the node is enrolled",
	}
}

// hears reports whether a node has said something within the last seconds.
func (m *monitor) hears(node string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[node]
	return n != nil && m.now().Sub(n.heard) < silentAfter
}

// InviteHub makes a one-time enrolment token for a hub below this one.
func (h *Hub) InviteHub(ctx context.Context, bloc lienthong.Bloc, member lienthong.MemberCode, name string) (string, error) {
	return h.enrolment.InviteHub(ctx, trust.NodeID{Bloc: bloc, Member: member, Node: name}, 0)
}

// Landed says which batch of a stream landed last; 0: none.
func (h *Hub) Landed(ctx context.Context, s lienthong.Stream) (uint64, error) {
	heads, err := h.store.Heads(ctx)
	return heads[s].Sequence, err
}

// Reconciliations lists the newest comparison of every stream.
func (h *Hub) Reconciliations(ctx context.Context) ([]lienthong.Reconciliation, error) {
	return h.store.Reconciliations(ctx)
}

// Relayed is what waits for the receipt of the hub above.
func (h *Hub) Relayed() (batches int, bytes int64) {
	if h.upstream == nil {
		return 0, 0
	}
	return h.upstream.bus.Depth()
}

// renewals replaces the hub's own certificate before it ends.
func (h *Hub) renewals(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := h.renew(); err != nil {
			h.log.ErrorContext(ctx, "own certificate not renewed", slog.Any("error", err))
		}
	}
}

func (h *Hub) renew() error {
	membership, _ := h.identity.Membership()
	return h.authority.Install(h.identity, membership.Node, h.config.Title, h.config.Hosts...)
}

func receiptLeaf(signed bus.SignedReceipt, r lienthong.Receipt) audit.Entry {
	return audit.Entry{
		Kind: audit.Receipt, Actor: r.Hub, Node: r.Node, Dataset: r.Dataset.String(), Sequence: r.Sequence, Digest: hashOf(signed.Body),
		Detail: map[string]string{"landed": strconv.Itoa(r.Landed), "ignored": strconv.Itoa(r.Ignored)},
	}
}

// saveReceipts keeps receipts at the node, where people can look at them and verify
// them again.
func (n *Node) saveReceipts(ctx context.Context, signed []bus.SignedReceipt, receipts []lienthong.Receipt) error {
	list := make([]store.NodeReceipt, len(receipts))
	for i, r := range receipts {
		list[i] = store.NodeReceipt{
			Stream: r.Stream, Sequence: r.Sequence, Hub: r.Hub, Digest: r.Digest, Sealed: n.bus.SealedAt(r.Stream, r.Sequence),
			At: n.now().UnixMicro(), Body: signed[i].Body, Signature: signed[i].Signature,
		}
	}
	mismatched, err := n.state.SaveReceipts(ctx, list)
	for _, r := range mismatched {
		n.log.ErrorContext(ctx, "receipt is for another batch", slog.String("code", "receipt.mismatch"),
			slog.String("hub", r.Hub), slog.String("stream", r.Stream.String()), slog.Uint64("sequence", r.Sequence))
		if err := n.audit.Enqueue(ctx, audit.Entry{
			Kind: audit.Refusal, Actor: r.Hub, Node: r.Stream.Node, Dataset: r.Stream.Dataset.String(), Sequence: r.Sequence,
			Digest: r.Digest, Detail: map[string]string{"code": "receipt.mismatch"},
		}); err != nil {
			return err
		}
	}
	return err
}

// passed writes down receipts of hubs above the hub.
func (n *Node) passed(ctx context.Context, signed []bus.SignedReceipt, receipts []lienthong.Receipt) error {
	// What is not of this node is not written into its log.
	var ours []bus.SignedReceipt
	var parsed []lienthong.Receipt
	for i, r := range receipts {
		if r.Node == n.config.Name {
			ours, parsed = append(ours, signed[i]), append(parsed, r)
		}
	}
	if len(parsed) == 0 {
		return nil
	}
	if _, err := n.audit.AppendAll(ctx, receiptLeaves(ours, parsed)); err != nil {
		return err
	}
	return n.saveReceipts(ctx, ours, parsed)
}

// restartEvery is how often at most a chain begins anew.
const restartEvery = 10 * time.Minute

// gone hears that the hub asks for a batch that has left the spool. It is called by the
// link, which must not wait.
func (n *Node) gone(e bus.Expect) {
	select {
	case n.lost <- e:
	default: // it is asked again
	}
}

// restart begins a chain anew because a hub further up asks for it.
func (n *Node) restart(s lienthong.Stream) { n.gone(bus.Expect{Stream: s}) }

// restarts begins chains anew whose batches a hub has lost.
func (n *Node) restarts(ctx context.Context) {
	last := map[lienthong.DatasetID]time.Time{}
	for {
		var e bus.Expect
		select {
		case e = <-n.lost:
		case <-ctx.Done():
			return
		}
		dataset := e.Stream.Dataset
		if at, before := last[dataset]; e.Stream.Node != n.config.Name || before && n.now().Sub(at) < restartEvery {
			continue
		}
		source, err := n.sources.find(dataset)
		if err != nil {
			continue
		}
		saved, err := n.state.Load(ctx, dataset)
		if err != nil || saved.Head.Sequence < e.Sequence {
			continue // not sealed yet: it will come by itself
		}
		last[dataset] = n.now()
		n.log.WarnContext(ctx, "a hub lacks batches that nobody keeps any more; the chain begins anew with a first load",
			slog.String("code", "chain.restarted"), slog.String("stream", e.Stream.String()), slog.Uint64("sequence", e.Sequence))
		source.capture.Restart(dataset)
	}
}

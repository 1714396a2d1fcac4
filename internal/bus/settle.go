package bus

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lienthong/lienthong"
)

// settle verifies receipts, lets the owner record them, and only then removes the
// batches from the spool.
func (n *Node) settle(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		var signed []SignedReceipt
		select {
		case <-ctx.Done():
			return
		case c := <-n.receipts:
			signed = c.Receipts
			for more := true; more; {
				select {
				case c := <-n.receipts:
					signed = append(signed, c.Receipts...)
				default:
					more = false
				}
			}
		case <-tick.C:
		}
		n.settling.Lock()
		_, _ = n.accept(ctx, signed) // what went wrong has been told
		n.empty(ctx)
		n.settling.Unlock()
	}
}

// Accept takes in receipts that came by another way than the link, as if it had brought
// them, and returns how many were good and told something new.
func (n *Node) Accept(ctx context.Context, signed []SignedReceipt) (accepted int, err error) {
	n.settling.Lock()
	defer n.settling.Unlock()
	accepted, err = n.accept(ctx, signed)
	n.purged = time.Time{}
	n.empty(ctx)
	return accepted, err
}

// empty removes from the stream on disk what is done, at most every 200 ms because a
// purge costs a file operation. Called with settling held.
func (n *Node) empty(ctx context.Context) {
	_, js := n.engine.parts()
	if js == nil {
		return
	}
	if n.purge > 0 && time.Since(n.purged) > 200*time.Millisecond {
		if spool, err := js.Stream(ctx, spoolName); err == nil {
			if spool.Purge(ctx, jetstream.WithPurgeSequence(n.purge+1)) == nil {
				n.purge = 0
				signal(n.room)
			}
		}
		n.purged = time.Now()
	}
	n.trim(ctx, js)
}

const (
	// What is done behind a batch that still waits is removed on its own when there is much
	// of it: that costs more than cutting off the front.
	trimBytes = 8 << 20
	trimEvery = 5 * time.Second
)

// trim removes what is done of streams that went before others that came earlier.
func (n *Node) trim(ctx context.Context, js jetstream.JetStream) {
	n.mu.Lock()
	due := n.behind > max(trimBytes, n.depth/8) && time.Since(n.trimmed) > trimEvery
	type part struct {
		subject string
		number  uint64
	}
	var parts []part
	if due {
		n.trimmed = time.Now()
		for _, q := range n.order {
			if q.done > 0 {
				parts = append(parts, part{"spool." + q.stream.Node + "." + q.stream.Dataset.String(), q.done})
			}
		}
	}
	n.mu.Unlock()
	if !due {
		return
	}
	spool, err := js.Stream(ctx, spoolName)
	if err != nil {
		return
	}
	for _, p := range parts {
		if err := spool.Purge(ctx, jetstream.WithPurgeSubject(p.subject), jetstream.WithPurgeSequence(p.number+1)); err != nil {
			n.config.Log.WarnContext(ctx, "spool not trimmed", slog.Any("error", err))
			return
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	gone := map[string]uint64{}
	for _, p := range parts {
		gone[p.subject] = p.number
	}
	n.entries = slices.DeleteFunc(n.entries, func(e *entry) bool {
		drop := e.done && e.number <= gone["spool."+e.key.stream.Node+"."+e.key.stream.Dataset.String()]
		if drop {
			n.behind -= e.size
		}
		return drop
	})
	signal(n.room)
}

// askAgain sends again what lies before a receipted batch of its stream without a
// receipt of its own: the hub applies a stream in order, so that receipt was lost on
// the way, and nothing else would bring it while newer ones keep coming. Called with
// mu held.
func (n *Node) askAgain(receipts []lienthong.Receipt) {
	if time.Since(n.asked) <= askEvery {
		return
	}
	newest := map[lienthong.Stream]uint64{}
	for _, r := range receipts {
		newest[r.Stream] = max(newest[r.Stream], r.Sequence)
	}
	for s, sequence := range newest {
		q := n.queues[s]
		if q == nil || len(q.entries) == 0 {
			continue
		}
		if e := q.entries[0]; e.sent && !e.done && e.key.sequence < sequence {
			n.asked = time.Now()
			n.rewind(q, 0, sequence)
		}
	}
}

// verified is a receipt whose signature holds.
type verified struct {
	signed []SignedReceipt
	parsed []lienthong.Receipt
}

func (v *verified) add(s SignedReceipt, r lienthong.Receipt) {
	v.signed, v.parsed = append(v.signed, s), append(v.parsed, r)
}

// accept takes in receipts: those of the hub free their batches, those of hubs above it
// are written down. Called with settling held.
func (n *Node) accept(ctx context.Context, signed []SignedReceipt) (accepted int, err error) {
	var own, above verified
	for _, s := range signed {
		signer, err := n.config.Hub.VerifyNode([]byte(s.Body), s.Signature)
		var r lienthong.Receipt
		if err != nil || json.Unmarshal([]byte(s.Body), &r) != nil || r.Hub != signer ||
			signer != n.config.HubName && n.config.Passed == nil {
			n.config.Log.WarnContext(ctx, "receipt refused", slog.String("code", "receipt.forged"))
			if n.config.Stranger != nil && lienthong.ErrorCode(err) == "trust.unknown_signer" {
				n.config.Stranger()
			}
			continue
		}
		if signer != n.config.HubName {
			above.add(s, r)
			continue
		}
		n.mu.Lock()
		var e *entry
		if q := n.queues[r.Stream]; q != nil {
			e = q.find(r.Sequence)
		}
		n.mu.Unlock()
		if e == nil || e.done {
			continue
		}
		if e.digest != r.Digest {
			n.config.Log.ErrorContext(ctx, "receipt is for another batch", slog.String("code", "receipt.mismatch"),
				slog.String("stream", r.String()), slog.Uint64("sequence", r.Sequence))
			continue
		}
		own.add(s, r)
	}
	if len(own.signed) > 0 {
		if err := n.config.Receipted(ctx, own.signed, own.parsed); err != nil {
			return 0, n.unrecorded(ctx, err)
		}
		n.finish(own.parsed)
	}
	if len(above.signed) > 0 {
		if err := n.config.Passed(ctx, above.signed, above.parsed); err != nil {
			return len(own.signed), n.unrecorded(ctx, err)
		}
		n.heard(ctx, above.parsed)
	}
	return len(own.signed) + len(above.signed), nil
}

func (n *Node) unrecorded(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		n.config.Log.ErrorContext(ctx, "receipts cannot be recorded", slog.Any("error", err))
	}
	return err
}

// heard tells the hub that it need not repeat these.
func (n *Node) heard(ctx context.Context, receipts []lienthong.Receipt) {
	refs := make([]ReceiptRef, len(receipts))
	for i, r := range receipts {
		refs[i] = ReceiptRef{Stream: r.Stream, Sequence: r.Sequence, Hub: r.Hub}
	}
	body, err := json.Marshal(refs)
	if err != nil {
		return
	}
	if conn, _ := n.engine.parts(); conn != nil {
		if err := conn.PublishMsg(&nats.Msg{Subject: "heard." + n.config.Name, Data: body}); err != nil {
			n.config.Log.DebugContext(ctx, "receipts not answered", slog.Any("error", err))
		}
	}
}

// settled marks an entry as done. Called with mu held.
func (n *Node) settled(e *entry) {
	e.done = true
	n.waiting--
	n.depth -= e.size
	n.behind += e.size
	if e.sent {
		n.inFlight -= e.size
		n.window = min(n.window+e.size, n.config.Window)
	}
	if e.sealed != nil {
		n.cached -= e.size
		e.sealed = nil
	}
}

// finish marks receipted entries as done and finds what of the spool may go.
func (n *Node) finish(receipts []lienthong.Receipt) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range receipts {
		q := n.queues[r.Stream]
		e := q.find(r.Sequence)
		if e == nil || e.done {
			continue
		}
		if e.begins {
			// Where the chain began anew the hub waits for nothing earlier: the whole dataset
			// comes after it.
			for _, before := range q.entries {
				if before.key.sequence < r.Sequence && !before.done {
					n.settled(before)
				}
			}
		}
		n.settled(e)
		q.progressed, q.stall = time.Now(), n.config.Stall
	}
	for _, r := range receipts {
		q := n.queues[r.Stream]
		finished := 0
		for finished < len(q.entries) && q.entries[finished].done {
			q.done = q.entries[finished].number
			finished++
		}
		q.entries = slices.Delete(q.entries, 0, finished)
		q.unsent = max(0, q.unsent-finished)
	}
	n.askAgain(receipts)
	finished := 0
	for finished < len(n.entries) && n.entries[finished].done {
		n.purge = n.entries[finished].number
		n.behind -= n.entries[finished].size
		finished++
	}
	n.entries = slices.Delete(n.entries, 0, finished)
	signal(n.wake)
}

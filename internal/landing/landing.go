// Package landing is the hub side of synchronisation: it verifies what nodes
// send, applies it once, and answers with a signed receipt.
//
// The order of steps is the promise. A receipt is signed only after the
// transaction that holds the rows and the ledger entry has committed; the inbox is
// purged only after that. A crash between any two steps repeats work and changes
// nothing, because the ledger knows every batch and a record's version only grows.
//
// A batch that does not continue its chain is not applied: the node is told from
// which sequence to send again. A batch that is forged, cut or altered is refused,
// named in the audit log, and asked for again.
//
// A hub below another one hands each batch on, byte by byte, before it signs its own
// receipt: a node that may forget a batch knows that it is on its way to the top.
package landing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// Delivery is a message as it came in.
type Delivery struct {
	Number      uint64
	Link        string // the node whose link or bundle brought it
	HeaderBytes []byte
	Signature   string
	Payload     []byte
}

// Inbox is where messages wait.
type Inbox interface {
	Next(ctx context.Context, limit, maxBytes int) ([]Delivery, error)
	// Done says that everything up to the number has been applied or refused.
	Done(ctx context.Context, number uint64) error
}

// Answer is what the hub tells a node.
type Answer interface {
	Receipts(node string, receipts []lienthong.Receipt) error
	Expect(s lienthong.Stream, sequence uint64, code string) error
	Repair(s lienthong.Stream, checkpoint string, buckets []int) error
}

// Relay hands batches on to the hub above. It returns when they are on disk; it may
// be given the same batch again. While there is no room it waits.
type Relay interface {
	Relay(ctx context.Context, batches []*batch.Sealed) error
}

// Head is the newest applied batch of a stream.
type Head struct {
	Sequence uint64
	Digest   string
}

// Item is one batch to apply.
type Item struct {
	Header lienthong.BatchHeader
	Digest string
	Shape  *lienthong.Shape // nil for control batches
	Rows   *batch.Rows      // nil for control batches
	Body   []byte           // JSON of a control batch
}

// Applied is what a batch did.
type Applied struct {
	Landed    int   // rows that changed the store
	Ignored   int   // rows that the store already had
	Refused   int   // rows that cannot be stored, each with a reason in the store
	At        int64 // microseconds
	Duplicate bool  // the ledger had the batch; nothing changed
}

// Store is where records land. Apply is one transaction: all items or none.
type Store interface {
	Heads(ctx context.Context) (map[lienthong.Stream]Head, error)
	DefineShape(ctx context.Context, shape *lienthong.Shape) error
	Shape(ctx context.Context, dataset lienthong.DatasetID, version int) (*lienthong.Shape, error)
	Apply(ctx context.Context, items []Item) ([]Applied, error)
	Freeze(ctx context.Context) (Frozen, error)
	SaveReconciliation(ctx context.Context, r lienthong.Reconciliation) error
}

// Frozen is the store as of one moment.
type Frozen interface {
	Digest(ctx context.Context, s lienthong.Stream, shape *lienthong.Shape) (*batch.Digest, error)
	Close()
}

// Event is something that happened, for the audit log and for people who watch.
type Event struct {
	Kind     string // "landed", "refused", "shape", "report", "reconciled", "restarted"
	Header   lienthong.BatchHeader
	Digest   string
	Applied  Applied
	Bytes    int    // of the rows, decompressed
	Code     string // of a refusal
	Body     []byte // of a report
	Result   *lienthong.Reconciliation
	LastAt   int64 // source time of the last row, microseconds
	Received int64
	Lags     []int64 // source time to commit, microseconds, one per sampled row
}

// Config configures a Lander.
type Config struct {
	Hub    string
	Inbox  Inbox
	Answer Answer
	Store  Store
	Opener *batch.Opener
	// Relay is nil at a hub that has none above it.
	Relay Relay
	// Admit says whether batches of a node may come by a link; its error is coded. nil: any may.
	Admit func(node, link string) error
	// Observe is told everything that happened, after it is durable. It must not block.
	Observe func(Event)
	Now     func() time.Time
	Log     *slog.Logger
	// Step is a place for tests to end the process: it is called with the name of each
	// point between two durable steps. Nil in production.
	Step func(point string)
}

// Lander applies batches. Run it once.
type Lander struct {
	Config

	heads    map[lienthong.Stream]Head                        // owned by Run
	shapes   map[lienthong.DatasetID]map[int]*lienthong.Shape // owned by Run
	expected map[lienthong.Stream]time.Time                   // when we last asked for a resend; owned by Run
	buffers  [][]byte                                         // payloads of the group being applied; owned by Run

	work sync.WaitGroup // digest computations

	mu      sync.Mutex
	digests map[string]*frozenDigest // by stream and checkpoint
}

type frozenDigest struct {
	ready  chan struct{}
	digest *batch.Digest
	err    error
}

const (
	groupBatches = 64
	groupBytes   = 1 << 20 // of payload: some 15,000 rows, where larger writes stop gaining
	// askAgain is how long the hub waits before it repeats a request to resend.
	askAgain = 300 * time.Millisecond
)

// New returns a lander.
func New(config Config) *Lander {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Step == nil {
		config.Step = func(string) {}
	}
	return &Lander{
		Config:   config,
		shapes:   map[lienthong.DatasetID]map[int]*lienthong.Shape{},
		expected: map[lienthong.Stream]time.Time{},
		digests:  map[string]*frozenDigest{},
	}
}

// Run applies batches until ctx ends.
func (l *Lander) Run(ctx context.Context) error {
	defer l.work.Wait()
	heads, err := l.Store.Heads(ctx)
	if err != nil {
		return fmt.Errorf("landing: read heads: %w", err)
	}
	l.heads = heads
	for {
		group, err := l.Inbox.Next(ctx, groupBatches, groupBytes)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("landing: %w", err)
		}
		if err := l.land(ctx, group); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if err := l.Inbox.Done(ctx, group[len(group)-1].Number); err != nil && ctx.Err() == nil {
			l.Log.WarnContext(ctx, "inbox not purged", slog.Any("error", err))
		}
	}
}

// land takes a group of messages through verification into as few transactions
// as their order allows.
func (l *Lander) land(ctx context.Context, group []Delivery) error {
	var pending []pendingItem
	tails := map[lienthong.Stream]Head{} // heads as they will be once pending is applied
	flush := func() error {
		if len(pending) == 0 {
			return nil
		}
		err := l.apply(ctx, pending)
		pending, tails = pending[:0], map[lienthong.Stream]Head{}
		return err
	}
	for i := range group {
		sealed, err := l.Opener.Verify(group[i].HeaderBytes, group[i].Signature, group[i].Payload)
		if err == nil && l.Admit != nil {
			err = l.Admit(sealed.Header.Node, group[i].Link)
		}
		if err != nil {
			l.refuse(ctx, group[i].HeaderBytes, err)
			continue
		}
		h := &sealed.Header
		head, inGroup := tails[h.Stream]
		if !inGroup {
			head = l.heads[h.Stream]
		}
		digest := sealed.Digest()
		switch {
		case h.Sequence <= head.Sequence:
			if err := flush(); err != nil {
				return err
			}
			if err := l.repeat(ctx, sealed, digest); err != nil {
				return err
			}
			continue
		case h.Begins():
			if h.Sequence > head.Sequence+1 || h.Previous != head.Digest {
				l.Observe(Event{Kind: "restarted", Header: *h, Digest: digest, Code: "batch.restarted", Received: l.Now().UnixMicro()})
			}
		case h.Sequence != head.Sequence+1 || h.Previous != head.Digest:
			code := "batch.gap"
			if h.Sequence == head.Sequence+1 {
				code = "batch.chain"
			}
			l.expect(ctx, h.Stream, head.Sequence+1, code)
			continue
		}
		item, err := l.item(ctx, sealed, digest)
		if err != nil {
			if lienthong.ErrorCode(err) == "internal" {
				return err
			}
			l.refuse(ctx, group[i].HeaderBytes, err)
			continue
		}
		if h.Kind == lienthong.ShapeBatch {
			// A shape may add columns, which is a statement of its own.
			if err := flush(); err != nil {
				return err
			}
			if err := l.define(ctx, item); err != nil {
				if lienthong.ErrorCode(err) == "internal" {
					return err
				}
				l.refuse(ctx, group[i].HeaderBytes, err)
				continue
			}
		}
		pending = append(pending, item)
		tails[h.Stream] = Head{h.Sequence, digest}
		if h.Kind == lienthong.CheckpointBatch {
			// The digest is of the store exactly here: nothing after this batch may be in.
			if err := flush(); err != nil {
				return err
			}
			if err := l.freeze(ctx, h); err != nil {
				return err
			}
		}
	}
	return flush()
}

type pendingItem struct {
	Item
	sealed *batch.Sealed
	buffer []byte
}

func (l *Lander) buffer() []byte {
	if n := len(l.buffers); n > 0 {
		b := l.buffers[n-1]
		l.buffers = l.buffers[:n-1]
		return b
	}
	return nil
}

// item decompresses a verified batch and finds its shape.
func (l *Lander) item(ctx context.Context, sealed *batch.Sealed, digest string) (pendingItem, error) {
	raw, err := l.Opener.Raw(sealed, l.buffer())
	if err != nil {
		return pendingItem{}, err
	}
	item := pendingItem{Item: Item{Header: sealed.Header, Digest: digest}, sealed: sealed, buffer: raw}
	switch sealed.Header.Kind {
	case lienthong.SnapshotBatch, lienthong.ChangesBatch, lienthong.RepairBatch:
		item.Shape, err = l.shape(ctx, sealed.Header.Dataset, sealed.Header.ShapeVersion)
		if err != nil {
			return pendingItem{}, err
		}
		item.Rows = batch.NewRows(item.Shape, raw, sealed.Header.Count)
	case lienthong.ShapeBatch, lienthong.DigestBatch, lienthong.ReportBatch, lienthong.CheckpointBatch:
		item.Body = raw
	default:
		return pendingItem{}, &lienthong.Error{
			Code: "batch.kind", Where: sealed.Header.String(),
			Vi: "loại lô không biết", En: "unknown kind of batch", Hint: "cập nhật phần mềm trung tâm / update the hub",
		}
	}
	return item, nil
}

func (l *Lander) shape(ctx context.Context, dataset lienthong.DatasetID, version int) (*lienthong.Shape, error) {
	if s := l.shapes[dataset][version]; s != nil {
		return s, nil
	}
	s, err := l.Store.Shape(ctx, dataset, version)
	if err != nil {
		return nil, err
	}
	if l.shapes[dataset] == nil {
		l.shapes[dataset] = map[int]*lienthong.Shape{}
	}
	l.shapes[dataset][version] = s
	return s, nil
}

func (l *Lander) define(ctx context.Context, item pendingItem) error {
	var shape lienthong.Shape
	if err := json.Unmarshal(item.Body, &shape); err != nil || shape.Dataset != item.Header.Dataset || shape.Version != item.Header.ShapeVersion {
		return &lienthong.Error{
			Code: "batch.shape", Where: item.Header.String(), Err: err,
			Vi: "lô mô tả cấu trúc không đọc được", En: "the batch's shape cannot be read",
			Hint: "yêu cầu nút gửi lại / ask the node to send it again",
		}
	}
	return l.Store.DefineShape(ctx, &shape)
}

// apply commits the items, then and only then answers.
func (l *Lander) apply(ctx context.Context, pending []pendingItem) error {
	items := make([]Item, len(pending))
	for i := range pending {
		items[i] = pending[i].Item
	}
	l.Step("before apply")
	applied, err := l.Store.Apply(ctx, items)
	if err != nil {
		return fmt.Errorf("landing: apply %d batches from %s #%d: %w", len(items), items[0].Header.Stream, items[0].Header.Sequence, err)
	}
	l.Step("after commit")
	if l.Relay != nil {
		up := make([]*batch.Sealed, len(pending))
		for i := range pending {
			up[i] = pending[i].sealed
		}
		if err := l.Relay.Relay(ctx, up); err != nil {
			return fmt.Errorf("landing: hand on %d batches from %s #%d: %w", len(up), items[0].Header.Stream, items[0].Header.Sequence, err)
		}
		l.Step("after relay")
	}
	receipts := map[string][]lienthong.Receipt{}
	for i := range items {
		h := &items[i].Header
		l.heads[h.Stream] = Head{h.Sequence, items[i].Digest}
		delete(l.expected, h.Stream)
		receipts[h.Node] = append(receipts[h.Node], l.receipt(h.Stream, h.Sequence, items[i].Digest, applied[i]))
	}
	for node, r := range receipts {
		if err := l.Answer.Receipts(node, r); err != nil {
			// The node sends the batch again and gets the receipt then.
			l.Log.WarnContext(ctx, "receipts not sent", slog.String("node", node), slog.Any("error", err))
		}
	}
	for i := range items {
		l.observe(&items[i], applied[i])
		if items[i].Header.Kind == lienthong.DigestBatch {
			l.compare(ctx, items[i])
		}
		if cap(pending[i].buffer) <= 4<<20 && len(l.buffers) < groupBatches {
			l.buffers = append(l.buffers, pending[i].buffer)
		}
	}
	return nil
}

func (l *Lander) receipt(s lienthong.Stream, sequence uint64, digest string, a Applied) lienthong.Receipt {
	return lienthong.Receipt{
		Stream: s, Hub: l.Hub, Sequence: sequence, Digest: digest, Landed: a.Landed, Ignored: a.Ignored, Applied: a.At,
	}
}

// observe reports a durable batch. Lag is sampled: at most 64 rows of a batch.
func (l *Lander) observe(item *Item, a Applied) {
	e := Event{Kind: "landed", Header: item.Header, Digest: item.Digest, Applied: a, Received: a.At}
	if item.Rows != nil {
		e.Bytes = item.Rows.Size()
	}
	switch item.Header.Kind {
	case lienthong.ShapeBatch:
		e.Kind, e.Body = "shape", append([]byte(nil), item.Body...)
	case lienthong.ReportBatch:
		e.Kind, e.Body = "report", append([]byte(nil), item.Body...)
	case lienthong.ChangesBatch:
		var c lienthong.Change
		every := item.Header.Count/64 + 1
		item.Rows.Reset()
		for i := 0; item.Rows.Next(&c); i++ {
			if i%every == 0 {
				e.Lags = append(e.Lags, a.At-c.At)
			}
			e.LastAt = c.At
		}
	case lienthong.SnapshotBatch, lienthong.CheckpointBatch, lienthong.DigestBatch, lienthong.RepairBatch:
	}
	l.Observe(e)
}

// repeat answers a batch that is already in the ledger: it changes nothing, is
// named as replayed, and gets its receipt again, because a node that sends again has not heard it.
// A different batch under the same number is a rewritten chain and is refused.
func (l *Lander) repeat(ctx context.Context, sealed *batch.Sealed, digest string) error {
	item := Item{Header: sealed.Header, Digest: digest}
	applied, err := l.Store.Apply(ctx, []Item{item})
	if err != nil {
		if lienthong.ErrorCode(err) == "internal" {
			return fmt.Errorf("landing: repeat %s #%d: %w", sealed.Header.Stream, sealed.Header.Sequence, err)
		}
		l.refuse(ctx, sealed.HeaderBytes, err)
		return nil
	}
	if l.Relay != nil {
		// The hub may have died between the commit and here.
		if err := l.Relay.Relay(ctx, []*batch.Sealed{sealed}); err != nil {
			return fmt.Errorf("landing: hand on %s #%d: %w", sealed.Header.Stream, sealed.Header.Sequence, err)
		}
	}
	l.Observe(Event{Kind: "refused", Header: sealed.Header, Digest: digest, Code: "batch.replayed", Received: l.Now().UnixMicro()})
	r := l.receipt(sealed.Header.Stream, sealed.Header.Sequence, digest, applied[0])
	if err := l.Answer.Receipts(sealed.Header.Node, []lienthong.Receipt{r}); err != nil {
		l.Log.WarnContext(ctx, "receipt not sent", slog.Any("error", err))
	}
	return nil
}

// refuse names a bad batch and asks for the genuine one.
func (l *Lander) refuse(ctx context.Context, headerBytes []byte, err error) {
	header, parseErr := batch.ParseHeader(headerBytes)
	code := lienthong.ErrorCode(err)
	l.Log.WarnContext(ctx, "batch refused", slog.String("code", code), slog.String("stream", header.String()),
		slog.Uint64("sequence", header.Sequence), slog.Any("error", err))
	sealed := batch.Sealed{HeaderBytes: headerBytes}
	l.Observe(Event{Kind: "refused", Header: header, Digest: sealed.Digest(), Code: code, Received: l.Now().UnixMicro()})
	if parseErr == nil {
		if _, known := l.heads[header.Stream]; known || header.Sequence == 1 {
			l.expect(ctx, header.Stream, l.heads[header.Stream].Sequence+1, code)
		}
	}
}

// expect asks a node to send again from a sequence on, but not for every one of
// the batches that were already on their way.
func (l *Lander) expect(ctx context.Context, s lienthong.Stream, sequence uint64, code string) {
	now := l.Now()
	if last, asked := l.expected[s]; asked && now.Sub(last) < askAgain {
		return
	}
	l.expected[s] = now
	if code == "batch.gap" || code == "batch.chain" {
		l.Observe(Event{
			Kind: "refused", Code: code, Received: now.UnixMicro(),
			Header: lienthong.BatchHeader{Stream: s, Sequence: sequence},
		})
	}
	if err := l.Answer.Expect(s, sequence, code); err != nil {
		l.Log.WarnContext(ctx, "request to send again not sent", slog.Any("error", err))
	}
}

// freeze starts computing the hub's digest of a stream as of its checkpoint,
// beside the landing of what follows.
func (l *Lander) freeze(ctx context.Context, h *lienthong.BatchHeader) error {
	head := l.heads[h.Stream]
	if head.Sequence != h.Sequence {
		return nil
	}
	shape, err := l.shape(ctx, h.Dataset, h.ShapeVersion)
	if err != nil {
		return fmt.Errorf("landing: checkpoint of %s: %w", h.Stream, err)
	}
	frozen, err := l.Store.Freeze(ctx)
	if err != nil {
		return fmt.Errorf("landing: checkpoint of %s: %w", h.Stream, err)
	}
	d := &frozenDigest{ready: make(chan struct{})}
	l.mu.Lock()
	for key := range l.digests { // a newer checkpoint of a stream makes older ones useless
		if len(key) > len(h.String()) && key[:len(h.String())+1] == h.String()+"@" {
			delete(l.digests, key)
		}
	}
	l.digests[digestKey(h.Stream, h.Checkpoint)] = d
	l.mu.Unlock()
	s := h.Stream
	l.work.Go(func() {
		defer close(d.ready)
		defer frozen.Close()
		d.digest, d.err = frozen.Digest(ctx, s, shape)
	})
	return nil
}

func digestKey(s lienthong.Stream, checkpoint string) string { return s.String() + "@" + checkpoint }

// compare holds the source's digest against the hub's of the same checkpoint.
func (l *Lander) compare(ctx context.Context, item Item) {
	// The body's buffer is used again once this returns, so it is read first.
	var body batch.DigestBody
	bodyErr := json.Unmarshal(item.Body, &body)
	header := item.Header
	// Looked up now: the next checkpoint, which lands while this waits, takes its place.
	l.mu.Lock()
	frozen := l.digests[digestKey(header.Stream, header.Checkpoint)]
	l.mu.Unlock()
	l.work.Go(func() {
		r := lienthong.Reconciliation{
			Stream: header.Stream, Checkpoint: header.Checkpoint, Result: lienthong.Failed, At: l.Now().UnixMicro(),
			SourceRows: body.SourceRows, Quarantined: body.Quarantined,
		}
		ours, err := frozen.wait(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case bodyErr != nil || body.Digest == nil || err != nil:
			l.Log.WarnContext(ctx, "reconciliation failed", slog.String("stream", header.String()),
				slog.Any("error", errors.Join(bodyErr, err)))
		default:
			r.LandedRows = ours.Rows
			r.Differing = body.Digest.Differing(ours)
			r.Result = lienthong.Differs
			if len(r.Differing) == 0 && r.SourceRows == r.LandedRows+r.Quarantined {
				r.Result = lienthong.Matches
			}
		}
		if err := l.Store.SaveReconciliation(ctx, r); err != nil {
			l.Log.ErrorContext(ctx, "reconciliation not saved", slog.Any("error", err))
			return
		}
		l.Observe(Event{Kind: "reconciled", Header: header, Digest: item.Digest, Result: &r, Received: r.At})
		if len(r.Differing) > 0 {
			if err := l.Answer.Repair(header.Stream, header.Checkpoint, r.Differing); err != nil {
				l.Log.WarnContext(ctx, "request for repair not sent", slog.Any("error", err))
			}
		}
	})
}

var errNoCheckpoint = errors.New("the hub restarted after the checkpoint; the next reconciliation decides")

func (d *frozenDigest) wait(ctx context.Context) (*batch.Digest, error) {
	if d == nil {
		return nil, errNoCheckpoint
	}
	select {
	case <-d.ready:
		return d.digest, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

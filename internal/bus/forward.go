package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// Class orders the streams of a node against each other. Inside a stream the chain
// decides; what is of a lower class goes slower, and is never left standing.
type Class int

// The classes.
const (
	Normal Class = iota
	Urgent
	Bulk
)

// ParseClass reads urgent, normal or bulk; empty is normal.
func ParseClass(text string) (Class, bool) {
	switch text {
	case "urgent":
		return Urgent, true
	case "", "normal":
		return Normal, true
	case "bulk":
		return Bulk, true
	}
	return Normal, false
}

// laneCount is three classes, each with live changes and loads.
const laneCount = 6

// lane is where a batch waits. A first load or a repair gives way to the live changes of
// other streams.
func (c Class) lane(load bool) int {
	lane := 2
	switch c {
	case Urgent:
		lane = 0
	case Bulk:
		lane = 4
	case Normal:
	}
	if load {
		lane++
	}
	return lane
}

// weight is a lane's share of the line, in sixty-fourths of the first one's.
func weight(lane int) uint64 { return [laneCount]uint64{64, 16, 16, 4, 4, 1}[lane] }

// anew reports whether the node says with this batch that nothing earlier need be waited for.
func anew(h *lienthong.BatchHeader) bool { return h.Sequence > 1 && h.Begins() }

func isLoad(kind lienthong.BatchKind) bool {
	return kind == lienthong.SnapshotBatch || kind == lienthong.RepairBatch
}

// queue is the part of one stream that has no receipt yet, in the order of its chain.
type queue struct {
	stream  lienthong.Stream
	class   Class
	entries []*entry
	unsent  int    // index before which all are sent
	done    uint64 // the spool's number of the last one that is done
	floor   uint64 // the hub can use nothing before this sequence
	// A stream whose batches stay without a receipt is sent again, each time after a longer
	// wait: on a slow line a repetition is what makes it slower.
	progressed time.Time
	stall      time.Duration
}

// queue returns that of the stream. Called with mu held.
func (n *Node) queue(s lienthong.Stream) *queue {
	q := n.queues[s]
	if q == nil {
		q = &queue{stream: s, stall: n.config.Stall}
		n.queues[s] = q
		n.order = append(n.order, q)
	}
	return q
}

// find returns the entry of a sequence, or nil.
func (q *queue) find(sequence uint64) *entry {
	at, found := slices.BinarySearchFunc(q.entries, sequence, func(e *entry, s uint64) int {
		return int(int64(e.key.sequence) - int64(s))
	})
	if !found {
		return nil
	}
	return q.entries[at]
}

// next is the first batch that is not on its way, or nil.
func (q *queue) next() *entry {
	for q.unsent < len(q.entries) {
		e := q.entries[q.unsent]
		if !e.sent && !e.done && e.key.sequence >= q.floor {
			break
		}
		q.unsent++
	}
	if q.unsent == len(q.entries) {
		return nil
	}
	return q.entries[q.unsent]
}

func (n *Node) holds(s lienthong.Stream, sequence uint64, digest string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	q := n.queues[s]
	if q == nil {
		return false
	}
	e := q.find(sequence)
	return e != nil && e.digest == digest
}

// onBeat notices that the hub is new, or back after silence: what was in flight
// may be gone, so it is sent again. The hub ignores what it has.
func (n *Node) onBeat(m *nats.Msg) {
	var b Beat
	if json.Unmarshal(m.Data, &b) != nil || b.Hub != n.config.HubName {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	silent := time.Since(n.lastBeat) > 3*beatEvery
	if b.Incarnation != n.incarnation || silent {
		n.rewindAll()
	}
	n.incarnation, n.lastBeat = b.Incarnation, time.Now()
	signal(n.wake)
}

// Again sends once more everything that is on its way without a receipt: what the hub
// has refused so far it may accept now.
func (n *Node) Again() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rewindAll()
}

func (n *Node) rewindAll() {
	for _, q := range n.order {
		q.stall = n.config.Stall
		n.rewind(q, 0, ^uint64(0))
	}
}

// rewind marks sent entries of a stream, from a sequence to before another, as unsent.
// Called with mu held. A new attempt gets new message ids, or the hub's stream would drop it
// as a duplicate.
func (n *Node) rewind(q *queue, from, before uint64) {
	n.attempt++
	for i, e := range q.entries {
		if e.sent && !e.done && e.key.sequence >= from && e.key.sequence < before {
			e.sent = false
			n.inFlight -= e.size
			q.unsent = min(q.unsent, i)
		}
	}
	q.progressed = time.Now()
	signal(n.wake)
}

func (n *Node) onControl(m *nats.Msg) {
	signer, err := n.config.Hub.VerifyNode(m.Data, m.Header.Get(headerSignature))
	if err != nil || signer != n.config.HubName {
		n.config.Log.Warn("control message refused", slog.String("code", "control.forged"))
		return
	}
	var c Control
	if json.Unmarshal(m.Data, &c) != nil {
		return
	}
	if c.Expect != nil {
		n.expected(*c.Expect)
	}
	if c.Restart != nil && n.config.Restart != nil {
		n.config.Restart(*c.Restart)
	}
	if c.Repair != nil && n.config.Repair != nil {
		n.config.Repair(*c.Repair)
	}
	if c.Reconcile && n.config.Reconcile != nil {
		n.config.Reconcile(c.Of)
	}
	if c.Result != nil && n.config.Reconciled != nil {
		n.config.Reconciled(*c.Result)
	}
	if len(c.Receipts) > 0 {
		select {
		case n.receipts <- c:
		default: // settle is behind; the hub repeats receipts for what is sent again
		}
	}
}

// expected sends again from a sequence on.
func (n *Node) expected(e Expect) {
	n.mu.Lock()
	gone := true
	if q := n.queues[e.Stream]; q != nil {
		gone = q.find(e.Sequence) == nil
		if gone {
			// What lies before a beginning that is on its way cannot be used any more.
			for _, x := range q.entries {
				if x.begins && x.key.sequence > e.Sequence {
					gone, q.floor = false, x.key.sequence
				}
			}
		}
		n.rewind(q, e.Sequence, ^uint64(0))
	}
	n.mu.Unlock()
	n.config.Log.Info("hub asks for batches again", slog.String("code", e.Code),
		slog.String("stream", e.Stream.String()), slog.Uint64("sequence", e.Sequence))
	if gone && n.config.Gone != nil {
		n.config.Gone(e)
	}
}

// forward sends entries while the window has room and the rate allows it.
func (n *Node) forward(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		sent, wait := n.sendNext(ctx)
		if sent {
			continue
		}
		var rested <-chan time.Time
		if wait > 0 {
			pause.Reset(wait)
			rested = pause.C
		}
		select {
		case <-ctx.Done():
			return
		case <-rested:
		case <-n.wake:
		case <-tick.C:
			n.lookForStalls()
		}
	}
}

// longestStall is how long at most a stream without receipts waits to be sent again.
const longestStall = 2 * time.Minute

// lookForStalls sends streams again whose batches got no receipt for too long.
func (n *Node) lookForStalls() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Since(n.lastBeat) >= 3*beatEvery {
		return
	}
	// What the rate lets through only slowly is not late.
	drain := time.Duration(0)
	if rate := n.rate(); rate > 0 {
		drain = time.Duration(float64(n.inFlight) / float64(rate) * 2 * float64(time.Second))
	}
	stalled := false
	for _, q := range n.order {
		if len(q.entries) == 0 || !q.entries[0].sent || time.Since(q.progressed) <= q.stall+drain {
			continue
		}
		stalled = true
		n.rewind(q, 0, ^uint64(0))
		q.stall = min(2*q.stall, max(longestStall, n.config.Stall))
	}
	if stalled {
		n.window = max(n.window/2, smallestWindow)
	}
}

// smallestWindow keeps a line that loses much from standing still.
const smallestWindow = 64 << 10

func (n *Node) rate() int64 {
	if n.config.Rate == nil {
		return 0
	}
	return n.config.Rate()
}

// pick chooses what goes next: the lane that had the least of its share, and in it the
// batch that has waited longest. Called with mu held.
func (n *Node) pick() (*queue, *entry, int) {
	var first [laneCount]*queue
	for _, q := range n.order {
		e := q.next()
		if e == nil || n.config.Ready != nil && !n.config.Ready(q.stream) {
			continue
		}
		lane := q.class.lane(e.load)
		if first[lane] == nil || e.number < first[lane].entries[first[lane].unsent].number {
			first[lane] = q
		}
	}
	var best *queue
	chosen := 0
	for lane, q := range first {
		if q == nil {
			continue
		}
		// A lane that was empty has saved nothing up.
		n.lanes[lane] = max(n.lanes[lane], n.virtual)
		if best == nil || n.lanes[lane] < n.lanes[chosen] {
			best, chosen = q, lane
		}
	}
	if best == nil {
		return nil, nil, 0
	}
	return best, best.entries[best.unsent], chosen
}

// overhead is what a batch weighs on the line beside its payload: header and signature.
const overhead = 1 << 10

// sendNext sends one batch. When the rate holds it back it says for how long.
func (n *Node) sendNext(ctx context.Context) (sent bool, wait time.Duration) {
	n.mu.Lock()
	now := time.Now()
	if now.Sub(n.lastBeat) > 3*beatEvery || n.inFlight >= n.window || ctx.Err() != nil {
		n.mu.Unlock()
		return false, 0
	}
	rate := n.rate()
	if rate > 0 && n.free.After(now) {
		n.mu.Unlock()
		return false, n.free.Sub(now)
	}
	q, e, lane := n.pick()
	if e == nil {
		n.mu.Unlock()
		return false, 0
	}
	size := e.size + overhead
	if rate > 0 {
		// A second's worth may have been saved up.
		earliest := now.Add(-time.Second)
		if n.free.Before(earliest) {
			n.free = earliest
		}
		n.free = n.free.Add(time.Duration(float64(size) / float64(rate) * float64(time.Second)))
	}
	n.virtual = n.lanes[lane]
	n.lanes[lane] += uint64(size) * 64 / weight(lane)
	if q.unsent == 0 {
		q.progressed = now
	}
	e.sent = true
	n.inFlight += e.size
	sealed, attempt := e.sealed, n.attempt
	n.mu.Unlock()

	err := n.send(ctx, e, sealed, attempt)
	if err != nil {
		n.mu.Lock()
		if e.sent && !e.done {
			e.sent = false
			n.inFlight -= e.size
			q.unsent = 0
		}
		n.mu.Unlock()
		n.config.Log.WarnContext(ctx, "batch not sent", slog.Any("error", err))
		return false, 0
	}
	return true, 0
}

func (n *Node) send(ctx context.Context, e *entry, sealed *batch.Sealed, attempt int) error {
	conn, _ := n.engine.parts()
	if conn == nil {
		return nats.ErrConnectionClosed
	}
	if sealed == nil {
		var err error
		if sealed, err = n.read(ctx, e.number); err != nil {
			return err
		}
	}
	subject := batchSubject(e.key.stream)
	if n.config.Relay {
		subject = "relay." + n.config.Name + "." + e.key.stream.Dataset.String()
	}
	return conn.PublishMsg(message(subject, e.digest+"."+n.life+"."+strconv.Itoa(attempt), sealed))
}

// read brings a batch back from disk.
func (n *Node) read(ctx context.Context, number uint64) (*batch.Sealed, error) {
	_, js := n.engine.parts()
	if js == nil {
		return nil, nats.ErrConnectionClosed
	}
	spool, err := js.Stream(ctx, spoolName)
	if err != nil {
		return nil, fmt.Errorf("bus: read spool: %w", err)
	}
	msg, err := spool.GetMsg(ctx, number)
	if err != nil {
		return nil, fmt.Errorf("bus: read spool %d: %w", number, err)
	}
	return &batch.Sealed{
		HeaderBytes: []byte(msg.Header.Get(headerBytes)),
		Signature:   msg.Header.Get(headerSignature), Payload: msg.Data,
	}, nil
}

// Oldest is the first sequence of each stream that has no receipt.
func (n *Node) Oldest() map[lienthong.Stream]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	oldest := map[lienthong.Stream]uint64{}
	for _, q := range n.order {
		if len(q.entries) > 0 {
			oldest[q.stream] = q.entries[0].key.sequence
		}
	}
	return oldest
}

// SealedAt is when a batch that is in the spool was sealed, microseconds; 0 when it is not
// there.
func (n *Node) SealedAt(s lienthong.Stream, sequence uint64) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if q := n.queues[s]; q != nil {
		if e := q.find(sequence); e != nil {
			return e.at
		}
	}
	return 0
}

// Reclass asks for the class of every stream again.
func (n *Node) Reclass() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, q := range n.order {
		if n.config.Class != nil {
			q.class = n.config.Class(q.stream)
		}
	}
}

// Each calls f with every batch that is in the spool without a receipt, in the order
// of the spool and behind a place in it, until f returns an error. Nothing is removed.
func (n *Node) Each(ctx context.Context, behind uint64, f func(place uint64, s *batch.Sealed) error) error {
	n.mu.Lock()
	entries := slices.Clone(n.entries)
	n.mu.Unlock()
	for _, e := range entries {
		if e.number <= behind {
			continue
		}
		n.mu.Lock()
		done := e.done
		n.mu.Unlock()
		if done {
			continue
		}
		s, err := n.read(ctx, e.number)
		if err != nil {
			n.mu.Lock()
			done = e.done // its receipt came just now
			n.mu.Unlock()
			if done {
				continue
			}
			return err
		}
		if s.Header, err = batch.ParseHeader(s.HeaderBytes); err != nil {
			return err
		}
		if err := f(e.number, s); err != nil {
			return err
		}
	}
	return nil
}

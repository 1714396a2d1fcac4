package capture

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// Spool keeps batches until the hub's receipt.
type Spool interface {
	// Append returns when the batch is on disk. While the spool is full it waits.
	Append(ctx context.Context, s *batch.Sealed) error
	// Tail is the newest batch of the stream that is still in the spool.
	Tail(ctx context.Context, s lienthong.Stream) (header lienthong.BatchHeader, digest string, found bool, err error)
}

// chain gives the batches of one stream their numbers and links. It is owned by
// the sealing goroutine once capture runs.
type chain struct {
	stream   lienthong.Stream
	sequence uint64
	digest   string
}

// openChain continues where the last run ended. The spool may be ahead of what
// was saved (killed after append), and what was saved may be ahead of the spool (all
// receipted and purged): the higher one is the head.
func openChain(ctx context.Context, spool Spool, s lienthong.Stream, saved Head) (*chain, error) {
	c := &chain{stream: s, sequence: saved.Sequence, digest: saved.Digest}
	header, digest, found, err := spool.Tail(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("capture: open chain of %s: %w", s, err)
	}
	if found && header.Sequence > c.sequence {
		c.sequence, c.digest = header.Sequence, digest
	}
	return c, nil
}

// parcel is a batch before it has a number.
type parcel struct {
	dataset *dataset
	kind    lienthong.BatchKind
	shape   int
	raw     []byte
	count   int
	first   lienthong.Position
	last    lienthong.Position
	bucket  *int
	mark    string // checkpoint
	// version, of rows of a view, is the view's. Once the stream has said that the table was
	// emptied later than that, they must not travel: the hub has no mark of those it never had.
	version int64
	begin   bool // the chain begins anew with it: it names no batch before it
}

// shipment is what must be durable together: the parcels of one flush, then what
// follows from their durability.
type shipment struct {
	parcels []parcel
	// before runs before any parcel is in the spool. It is run again until it succeeds.
	before       func(ctx context.Context) error
	observations map[*dataset][]Observation // what opens is saved before the batches are spooled, what closes after
	members      map[*dataset]MemberChange  // likewise: who joins before, who leaves after
	// durable runs after all parcels are in the spool: it acknowledges the source or
	// marks a chunk as done. It is run again until it succeeds.
	durable func(ctx context.Context) error
}

// sealer is the one goroutine that seals and spools the batches of a source, so
// that chains have one writer. Live changes go before snapshot rows.
type sealer struct {
	live    chan shipment
	bulk    chan shipment
	seal    *batch.Sealer
	spool   Spool
	state   State
	now     func() int64
	step    func(string)
	sealed  func(*batch.Sealed)
	buffers chan []byte // raw rows, to be used again
	idle    func()      // called when no live shipment waits
	// appending is odd while the spool takes a batch, and another number each time.
	appending atomic.Uint64
	// trouble hears what keeps the node from remembering; nil when that is over.
	trouble func(context.Context, error)
}

func (s *sealer) run(ctx context.Context) error {
	for {
		var next shipment
		select {
		case next = <-s.live:
		default:
			select {
			case next = <-s.live:
			case next = <-s.bulk:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := s.ship(ctx, next); err != nil {
			return err
		}
		if len(s.live) == 0 {
			s.idle()
		}
	}
}

func (s *sealer) ship(ctx context.Context, next shipment) error {
	s.step("after read")
	if err := s.observe(ctx, next.observations, true); err != nil {
		return err
	}
	if err := s.enrol(ctx, next.members, true); err != nil {
		return err
	}
	if next.before != nil {
		if err := s.persist(ctx, next.before); err != nil {
			return err
		}
	}
	for i := range next.parcels {
		p := &next.parcels[i]
		if p.version != 0 && p.version < p.dataset.emptiedAt.Load() {
			s.release(p.raw)
			continue
		}
		c := p.dataset.chain
		previous := c.digest
		if p.begin {
			previous = ""
		}
		sealed, err := s.seal.Seal(lienthong.BatchHeader{
			Stream: c.stream, Sequence: c.sequence + 1, Kind: p.kind, ShapeVersion: p.shape,
			First: p.first, Last: p.last, Count: p.count, Previous: previous, Sealed: s.now(),
			Bucket: p.bucket, Checkpoint: p.mark,
		}, p.raw)
		if err != nil {
			return err
		}
		s.appending.Add(1)
		err = s.spool.Append(ctx, sealed)
		s.appending.Add(1)
		if err != nil {
			return fmt.Errorf("capture: spool %s #%d: %w", c.stream, c.sequence+1, err)
		}
		c.sequence, c.digest = sealed.Header.Sequence, sealed.Digest()
		s.sealed(sealed)
		if p.count > 0 {
			s.release(p.raw)
		}
	}
	if err := s.observe(ctx, next.observations, false); err != nil {
		return err
	}
	if err := s.enrol(ctx, next.members, false); err != nil {
		return err
	}
	s.step("after spool")
	if next.durable != nil {
		return s.persist(ctx, next.durable)
	}
	return nil
}

// persist repeats what the node must remember until it is remembered: a full disk
// slows the source like a full spool does, and ends nothing. It gives up only with ctx.
func (s *sealer) persist(ctx context.Context, save func(context.Context) error) error {
	for failed := false; ; failed = true {
		err := save(ctx)
		if failed && err == nil {
			s.trouble(ctx, nil)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		s.trouble(ctx, err)
		if pause(ctx, persistAgain) != nil {
			return err
		}
	}
}

// persistAgain is the time between two attempts to write down what must not be
// forgotten.
const persistAgain = 500 * time.Millisecond

// observe saves what opens findings before the batches are spooled, and what
// closes them after. So a crash between leaves at most a finding that is closed when
// the row comes again, and never a record that was held back and is not known to be.
func (s *sealer) observe(ctx context.Context, all map[*dataset][]Observation, opening bool) error {
	for d, observations := range all {
		last := make(map[string]int, len(observations))
		for i := range observations {
			last[observations[i].ID] = i
		}
		var part []Observation
		for i := range observations {
			opens := len(observations[i].Findings) > 0
			if opening && opens || !opening && !opens && last[observations[i].ID] == i {
				part = append(part, observations[i])
			}
		}
		if len(part) == 0 {
			continue
		}
		err := s.persist(ctx, func(ctx context.Context) error { return s.state.Observe(ctx, d.stream.Dataset, part) })
		if err != nil {
			return fmt.Errorf("capture: save findings of %s: %w", d.stream, err)
		}
	}
	return nil
}

// enrol saves who joined before the batches are spooled, and who left after: what is
// remembered is never less than what the hub may have.
func (s *sealer) enrol(ctx context.Context, all map[*dataset]MemberChange, joining bool) error {
	for d, change := range all {
		part := MemberChange{Joined: change.Joined}
		if !joining {
			part = MemberChange{Cleared: change.Cleared, Left: change.Left}
		}
		if !part.Cleared && len(part.Joined)+len(part.Left) == 0 {
			continue
		}
		err := s.persist(ctx, func(ctx context.Context) error { return s.state.SaveMembers(ctx, d.stream.Dataset, part) })
		if err != nil {
			return fmt.Errorf("capture: save members of %s: %w", d.stream, err)
		}
	}
	return nil
}

// buffer returns an empty buffer for the rows of a batch. Buffers are kept in a
// list that the garbage collector leaves alone: a pool would be emptied at every
// collection, and each buffer is a megabyte.
func (s *sealer) buffer() []byte {
	select {
	case b := <-s.buffers:
		return b[:0]
	default:
		return make([]byte, 0, maxBatchBytes+64<<10)
	}
}

func (s *sealer) release(b []byte) {
	if cap(b) < maxBatchBytes || cap(b) > 2*maxBatchBytes {
		return
	}
	select {
	case s.buffers <- b:
	default:
	}
}

func send(ctx context.Context, c chan<- shipment, s shipment) error {
	select {
	case c <- s:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package capture

import (
	"context"
	"fmt"
	"sync"

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
}

// shipment is what must be durable together: the parcels of one flush, then what
// follows from their durability.
type shipment struct {
	parcels      []parcel
	observations map[*dataset][]Observation // saved before the batches are spooled
	// durable runs after all parcels are in the spool: it acknowledges the source or
	// marks a chunk as done.
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
	buffers sync.Pool // *[]byte; raw rows
	idle    func()    // called when no live shipment waits
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
	for d, observations := range next.observations {
		if err := s.state.Observe(ctx, d.stream.Dataset, observations); err != nil {
			return fmt.Errorf("capture: save findings of %s: %w", d.stream, err)
		}
	}
	for i := range next.parcels {
		p := &next.parcels[i]
		c := p.dataset.chain
		sealed, err := s.seal.Seal(lienthong.BatchHeader{
			Stream: c.stream, Sequence: c.sequence + 1, Kind: p.kind, ShapeVersion: p.shape,
			First: p.first, Last: p.last, Count: p.count, Previous: c.digest, Sealed: s.now(),
			Bucket: p.bucket, Checkpoint: p.mark,
		}, p.raw)
		if err != nil {
			return err
		}
		if err := s.spool.Append(ctx, sealed); err != nil {
			return fmt.Errorf("capture: spool %s #%d: %w", c.stream, c.sequence+1, err)
		}
		c.sequence, c.digest = sealed.Header.Sequence, sealed.Digest()
		s.sealed(sealed)
		if p.count > 0 {
			s.release(p.raw)
		}
	}
	s.step("after spool")
	if next.durable != nil {
		return next.durable(ctx)
	}
	return nil
}

func (s *sealer) buffer() []byte {
	if b, ok := s.buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, maxBatchBytes+64<<10)
}

func (s *sealer) release(b []byte) {
	if cap(b) <= 2*maxBatchBytes {
		s.buffers.Put(&b)
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

package store

import (
	"context"
	"fmt"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
)

// Frozen is the store as of one moment. While it is open, batches go on landing
// without being seen here. Close it soon: the engine keeps old rows for it.
type Frozen struct {
	store *Store
	view  frozen
}

// Freeze opens a view of the store as it is now.
func (s *Store) Freeze(ctx context.Context) (*Frozen, error) {
	view, err := s.engine.freeze(ctx)
	if err != nil {
		return nil, fmt.Errorf("store: freeze: %w", err)
	}
	return &Frozen{store: s, view: view}, nil
}

// Close ends the view.
func (f *Frozen) Close() error { return f.view.close() }

// Heads returns the end of every chain.
func (f *Frozen) Heads(ctx context.Context) (map[lienthong.Stream]Head, error) {
	return heads(ctx, f.view)
}

// StreamStates returns the state of every stream.
func (f *Frozen) StreamStates(ctx context.Context) ([]StreamState, error) {
	return streamStates(ctx, f.view)
}

// HeldRows counts the records of a stream that are held back.
func (f *Frozen) HeldRows(ctx context.Context, stream lienthong.Stream) (int64, error) {
	state, err := readStream(ctx, f.view, stream, "")
	if err != nil {
		return 0, fmt.Errorf("store: held rows of %s: %w", stream, err)
	}
	return state.Held, nil
}

// Digest summarises the live records of a stream, neither deleted nor held, from the
// stored values, as the source does from its own.
func (f *Frozen) Digest(ctx context.Context, stream lienthong.Stream, shape *lienthong.Shape) (*batch.Digest, error) {
	digest := new(batch.Digest)
	hasher := batch.NewHasher(shape)
	err := f.Records(ctx, stream, shape, func(id []byte, values []lienthong.Value) error {
		digest.Add(hasher.Row(id, values))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return digest, nil
}

// Records delivers the live records of a stream in no particular order. Id and
// values are valid during the call.
func (f *Frozen) Records(ctx context.Context, stream lienthong.Stream, shape *lienthong.Shape, row func(id []byte, values []lienthong.Value) error) error {
	state, err := readStream(ctx, f.view, stream, "")
	if err != nil {
		return fmt.Errorf("store: read %s: %w", stream, err)
	}
	l, err := f.store.layout(ctx, f.view, shape)
	if err != nil {
		return err
	}
	if state.No == 0 {
		return nil
	}
	if err := f.view.live(ctx, l, state.No, row); err != nil {
		return fmt.Errorf("store: read records of %s: %w", stream, err)
	}
	return nil
}

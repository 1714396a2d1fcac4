package capture

import (
	"context"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Head is the newest batch of a stream that has a receipt.
type Head struct {
	Sequence uint64
	Digest   string
}

// Saved is what an earlier run left about a dataset.
type Saved struct {
	Head         Head
	Shape        *lienthong.Shape // the newest shape sent; nil before the first
	Chunks       []SavedChunk     // of a snapshot in progress
	SnapshotDone bool
}

// SavedChunk is one range of a snapshot.
type SavedChunk struct {
	Chunk connector.Chunk
	Done  bool
	Rows  int64
}

// Observation is the complete list of findings of one record as of now. An empty
// list closes what was open.
type Observation struct {
	ID       string // the record's identity: stays at the owner's node
	Findings []lienthong.Finding
	// Unknown are fields whose value the source did not say: findings about them stay.
	Unknown []string
}

// State is what a node must remember between runs. Every method is durable when
// it returns.
type State interface {
	Load(ctx context.Context, dataset lienthong.DatasetID) (Saved, error)
	SaveShape(ctx context.Context, shape *lienthong.Shape) error
	// PlanSnapshot starts a snapshot with these chunks, none done, in place of any other.
	PlanSnapshot(ctx context.Context, dataset lienthong.DatasetID, chunks []connector.Chunk) error
	ChunkDone(ctx context.Context, dataset lienthong.DatasetID, index int, rows int64) error
	SnapshotDone(ctx context.Context, dataset lienthong.DatasetID) error
	Observe(ctx context.Context, dataset lienthong.DatasetID, observations []Observation) error
	// OpenRecords lists the identities of records with open findings.
	OpenRecords(ctx context.Context, dataset lienthong.DatasetID) ([]string, error)
	// FindingCounts counts open findings by FindingKey.
	FindingCounts(ctx context.Context, dataset lienthong.DatasetID) (map[string]int64, error)
	// RecentFindings lists the newest open findings, blocking ones first.
	RecentFindings(ctx context.Context, dataset lienthong.DatasetID, limit int) ([]lienthong.Finding, error)
}

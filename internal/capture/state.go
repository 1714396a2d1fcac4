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
	Head  Head
	Shape *lienthong.Shape // the newest shape; nil before the first
	// ShapeSent: the newest shape is in the chain. A crash can come between remembering a shape and that.
	ShapeSent bool
	// Sent is the kind of every field that was ever sent: the hub keeps its columns.
	Sent     map[string]lienthong.Kind
	Baseline Baseline // what the dataset was last compiled from
	Gap      *Gap     // changes that were not taken, until both ends were found equal again

	Chunks       []SavedChunk // of a snapshot in progress, or of the last one
	SnapshotDone bool         // the first load is complete
	Again        *KeyRange    // a snapshot that was asked for later, in progress
}

// Baseline is what a dataset was compiled from when it last ran, so that a later run can
// tell what has become different.
type Baseline struct {
	Layout  Layout `json:"layout"`
	Mapping string `json:"mapping"` // digest of the mapping
}

// Layout is a table's columns and key as a source described them.
type Layout struct {
	Table   string         `json:"table"`
	Columns []LayoutColumn `json:"columns"`
	Key     []string       `json:"key"`
}

// LayoutColumn is one column of a Layout.
type LayoutColumn struct {
	Name string         `json:"name"`
	Type string         `json:"type"`
	Kind lienthong.Kind `json:"kind"`
}

// Gap says that changes of a dataset were not taken from a moment on. Nothing is lost: the
// comparison of both ends finds what differs and sends it. A gap ends when they were equal.
type Gap struct {
	Code     string `json:"code"`               // why: GapStopped, GapReleased …
	Since    int64  `json:"since"`              // microseconds
	Position uint64 `json:"position,omitempty"` // the source was acknowledged up to here
	Resumed  int64  `json:"resumed,omitempty"`  // when changes were taken again
	Compared int64  `json:"compared,omitempty"` // when the comparison was on its way to the hub
}

// Why there is a gap.
const (
	GapStopped  = "dataset.stopped"     // the dataset stood still
	GapReleased = "source.log_released" // the source's log was given up for lack of room
	GapLost     = "source.history_lost" // the source no longer had its log
	GapMapping  = "mapping.changed"     // the mapping is another: what is at the hub came by the old one
	GapAgain    = "snapshot.again"      // the dataset was read again: what has vanished is found by comparing
	GapSchema   = "schema.followed"     // the table has other columns, which may hold values already
)

// ChunkState is where a chunk of a snapshot stands.
type ChunkState string

// The states of a chunk.
const (
	ChunkPending ChunkState = "pending"
	ChunkReading ChunkState = "reading"
	ChunkDone    ChunkState = "done"
)

// SavedChunk is one range of a snapshot.
type SavedChunk struct {
	Chunk    connector.Chunk
	State    ChunkState
	Rows     int64  // read at the source
	Digest   string // of the rows that passed, in no order: sum of their hashes and their number
	Started  int64
	Finished int64
}

// KeyRange is a range of record identities, both ends included. An empty end is open; the
// zero value is the whole dataset. Numbers compare as numbers, everything else as text.
type KeyRange struct {
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Observation is the complete list of findings of one record as of now. An empty
// list closes what was open.
type Observation struct {
	ID       string // the record's identity: stays at the owner's node
	Plain    string // the identity as the source has it, when a hash or token stands for it
	At       int64
	Findings []lienthong.Finding
	// Unknown are fields whose value the source did not say: findings about them stay.
	Unknown []string
	// Gone: the record is no longer at the source.
	Gone bool
	// Fingerprint is a keyed hash of the values that broke blocking rules.
	Fingerprint string
	// Overridden: the record passed by a person's decision.
	Overridden bool
}

// State is what a node must remember between runs. Every method is durable when
// it returns.
type State interface {
	Load(ctx context.Context, dataset lienthong.DatasetID) (Saved, error)
	// SaveShape keeps the newest shape, and the kinds of its fields for ever. It counts as not
	// sent until ShapeSent says so.
	SaveShape(ctx context.Context, shape *lienthong.Shape) error
	ShapeSent(ctx context.Context, dataset lienthong.DatasetID, version int) error
	SaveBaseline(ctx context.Context, dataset lienthong.DatasetID, baseline Baseline) error
	// SaveGap keeps a gap; nil ends it.
	SaveGap(ctx context.Context, dataset lienthong.DatasetID, gap *Gap) error

	// AskSnapshot asks for a snapshot of a range beside what is there. Before the first load
	// is complete it makes that begin again.
	AskSnapshot(ctx context.Context, dataset lienthong.DatasetID, keys KeyRange) error
	// PlanSnapshot gives the snapshot in progress these chunks, none read, in place of any other.
	PlanSnapshot(ctx context.Context, dataset lienthong.DatasetID, chunks []connector.Chunk) error
	// SaveChunk keeps where a chunk stands.
	SaveChunk(ctx context.Context, dataset lienthong.DatasetID, index int, chunk SavedChunk) error
	SnapshotDone(ctx context.Context, dataset lienthong.DatasetID) error

	Observe(ctx context.Context, dataset lienthong.DatasetID, observations []Observation) error
	// OpenRecords lists the identities of records with open findings.
	OpenRecords(ctx context.Context, dataset lienthong.DatasetID) ([]string, error)
	// FindingCounts counts open findings by FindingKey.
	FindingCounts(ctx context.Context, dataset lienthong.DatasetID) (map[string]int64, error)
	// HeldRecords counts the records that are held back.
	HeldRecords(ctx context.Context, dataset lienthong.DatasetID) (int64, error)
	// RecentFindings lists the newest open findings, blocking ones first.
	RecentFindings(ctx context.Context, dataset lienthong.DatasetID, limit int) ([]lienthong.Finding, error)

	// Members calls each with the digest of every record that the hub may have, of a dataset
	// whose definition leaves rows out.
	Members(ctx context.Context, dataset lienthong.DatasetID, each func(uint64)) error
	SaveMembers(ctx context.Context, dataset lienthong.DatasetID, change MemberChange) error

	// Overrides lists the records that a person let pass, with the fingerprint of what they let pass.
	Overrides(ctx context.Context, dataset lienthong.DatasetID) (map[string]string, error)
	// ReleaseRecord notes that a person lets a held record pass, and returns its fingerprint.
	ReleaseRecord(ctx context.Context, dataset lienthong.DatasetID, id string, act Act) (fingerprint string, err error)
	// ExpireRecords marks held records that were last seen to change before a time.
	ExpireRecords(ctx context.Context, dataset lienthong.DatasetID, before int64, act Act) (int, error)
	Quarantine(ctx context.Context, filter QuarantineFilter) (QuarantinePage, error)
	// QuarantineRecord finds one record by its identity, or by the identity that the source has.
	QuarantineRecord(ctx context.Context, dataset lienthong.DatasetID, id string) (QuarantineEntry, []QuarantineEvent, []lienthong.Finding, error)
}

// MemberChange is what has become different about the records that the hub may have.
type MemberChange struct {
	Cleared bool // all of them left, before Joined
	Joined  []uint64
	Left    []uint64
}

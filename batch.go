package lienthong

// BatchKind says what a batch carries. All kinds travel the same road: one
// chain, one signature, one receipt each.
type BatchKind string

// The kinds of batch.
const (
	ShapeBatch      BatchKind = "shape"      // the shape that the batches after it use, as JSON
	SnapshotBatch   BatchKind = "snapshot"   // rows of the first load
	ChangesBatch    BatchKind = "changes"    // rows that changed
	CheckpointBatch BatchKind = "checkpoint" // no rows: the hub computes its digest exactly here
	DigestBatch     BatchKind = "digest"     // the source's digest at a checkpoint, as JSON
	// RepairBatch holds the whole of one digest bucket as of Last: rows of the stream in that
	// bucket that are older than version Last.Order and not in the batch are gone.
	RepairBatch BatchKind = "repair"
	ReportBatch BatchKind = "report" // quality counters and masked findings, as JSON
)

// Stream names a chain of batches: what one node sends of one dataset.
type Stream struct {
	Node    string    `json:"node"`
	Dataset DatasetID `json:"dataset"`
}

// String is "node/database.dataset".
func (s Stream) String() string { return s.Node + "/" + s.Dataset.String() }

// BatchHeader is the signed part of a batch. Its canonical JSON is what the
// signature covers; the SHA-256 of that JSON is the batch's digest, which the
// next header carries as Previous.
type BatchHeader struct {
	Stream
	Sequence     uint64    `json:"sequence"` // 1, 2, 3 … without a gap
	Kind         BatchKind `json:"kind"`
	ShapeVersion int       `json:"shape_version"`
	First        Position  `json:"first"` // source positions of the first and last row
	Last         Position  `json:"last"`
	Count        int       `json:"count"`            // rows
	PayloadHash  string    `json:"payload_sha256"`   // hex, of the payload as sent
	Previous     string    `json:"previous"`         // hex digest of the batch before; empty for the first
	Sealed       int64     `json:"sealed"`           // when the node sealed it, microseconds
	Bucket       *int      `json:"bucket,omitempty"` // repair batches: which digest bucket, or AllBuckets
	Checkpoint   string    `json:"checkpoint,omitempty"`
}

// Begins reports whether a chain begins with the batch: the first one of all, or a shape
// by which the node says that nothing earlier need be waited for.
func (h *BatchHeader) Begins() bool {
	return h.Previous == "" && (h.Sequence == 1 || h.Kind == ShapeBatch)
}

// AllBuckets as the bucket of a repair batch means the whole stream: a batch
// without rows then says that the source was emptied.
const AllBuckets = -1

// Receipt is the hub's signed word that a batch is durable in its store. The
// node forgets a batch only on a receipt that it has verified.
type Receipt struct {
	Stream
	Hub      string `json:"hub"`
	Sequence uint64 `json:"sequence"`
	Digest   string `json:"digest"` // of the batch
	Landed   int    `json:"landed"` // rows that changed the store
	Ignored  int    `json:"ignored"`
	Applied  int64  `json:"applied"` // when the transaction committed, microseconds
}

// Reconciliation is the result of comparing both ends of a dataset.
type Reconciliation struct {
	Stream
	Checkpoint  string        `json:"checkpoint"`
	Result      ReconcileWord `json:"result"`
	SourceRows  int64         `json:"source_rows"` // rows in the source at the checkpoint
	LandedRows  int64         `json:"landed_rows"`
	Quarantined int64         `json:"quarantined_rows"`
	Differing   []int         `json:"differing,omitempty"` // digest buckets that do not match
	At          int64         `json:"at"`
}

// ReconcileWord is the result in the words that officials use.
type ReconcileWord string

// The three results.
const (
	Matches ReconcileWord = "khớp"
	Differs ReconcileWord = "không khớp"
	Failed  ReconcileWord = "lỗi"
)

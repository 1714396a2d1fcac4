package quality

import "github.com/lienthong/lienthong"

// Report is what a node tells the hub about the quality of one dataset: the
// payload of a report batch.
type Report struct {
	Counters Counters            `json:"counters"`
	Findings []lienthong.Finding `json:"findings"` // the newest open ones, blocking first, masked
}

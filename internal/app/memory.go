package app

import (
	"cmp"
	"runtime/debug"
)

const (
	nodeMemoryMB = 80
	hubMemoryMB  = 256
	// collectAt is how much garbage, in percent of what lives, may gather between two
	// collections. Half of Go's own measure: our hot paths make little garbage, so memory is
	// the dearer of the two.
	collectAt = 50
)

// TuneMemory sets the collector of this process to the configured memory. It is for
// programs that run one node and nothing else; parts that share a process leave it alone.
func (c *NodeConfig) TuneMemory() { tuneMemory(cmp.Or(c.MemoryMB, nodeMemoryMB)) }

// TuneMemory sets the collector of this process to the configured memory. It is for
// programs that run one hub and nothing else.
func (c *HubConfig) TuneMemory() { tuneMemory(cmp.Or(c.MemoryMB, hubMemoryMB)) }

func tuneMemory(megabytes int64) {
	debug.SetMemoryLimit(megabytes << 20)
	debug.SetGCPercent(collectAt)
}

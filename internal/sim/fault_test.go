package sim

import (
	"testing"
	"time"
)

// TestFault_Killed ends a process at every point between two durable steps, again
// and again: while the first rows load, and in the stream of changes. The application
// writes all the time.
func TestFault_Killed(t *testing.T) {
	for _, fault := range []struct {
		name string
		hub  bool // which process dies
		kill string
		at   []int64 // the occurrence, of each life
	}{
		{"after read, before the spool", false, "after read", []int64{1, 2, 9}},
		{"after the spool, before the source is acknowledged", false, "before acknowledge", []int64{1, 6}},
		{"after the spool", false, "after spool", []int64{1, 2, 7}},
		{"at the hub, before apply", true, "before apply", []int64{1, 2, 8}},
		{"at the hub, after apply, before commit", true, "before commit", []int64{1, 3, 8}},
		{"at the hub, after commit, before the receipt", true, "after commit", []int64{1, 2, 8}},
		{"after the receipt, before purge", false, "before purge", []int64{1, 2, 8}},
	} {
		for _, e := range engines() {
			t.Run(fault.name+"/"+e.name, func(t *testing.T) {
				t.Parallel()
				c := newCountry(t, e)
				c.live()
				if fault.hub {
					for i, nth := range fault.at {
						c.startHub(&kill{fault.kill, nth})
						if i == 0 {
							c.startNode(nil)
						}
						c.hub.killed(t)
					}
					c.startHub(nil)
				} else {
					c.startHub(nil)
					for _, nth := range fault.at {
						c.startNode(&kill{fault.kill, nth})
						c.node.killed(t)
					}
					c.startNode(nil)
				}
				c.awaitLanded(5)
				c.settle()
			})
		}
	}
}

// TestFault_KilledInTransit ends a process while a batch is half way over the line.
func TestFault_KilledInTransit(t *testing.T) {
	for _, fault := range []struct {
		name string
		hub  bool
	}{{"node", false}, {"hub", true}} {
		for _, e := range engines() {
			t.Run(fault.name+"/"+e.name, func(t *testing.T) {
				t.Parallel()
				c := newCountry(t, e)
				c.live()
				c.startHub(nil)
				for i, bytes := range []int{60_000, 35_000} {
					tripped := c.line.after(bytes)
					if i == 0 || !fault.hub {
						c.startNode(nil)
					}
					select {
					case <-tripped:
					case <-time.After(patience):
						t.Fatal("the line carried too little")
					}
					if fault.hub {
						c.hub.kill()
					} else {
						c.node.kill()
					}
					c.line.reset()
					if fault.hub {
						c.startHub(nil)
					}
				}
				if !fault.hub {
					c.startNode(nil)
				}
				c.awaitLanded(5)
				c.settle()
			})
		}
	}
}

package sim

import (
	"errors"
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

// TestFault_PlantedWrongOrder breaks the first promise on purpose: the source is
// acknowledged before the batch is in the spool. The scenario that passes everywhere
// else must fail here, or it proves nothing.
func TestFault_PlantedWrongOrder(t *testing.T) {
	t.Parallel()
	c := newCountry(t, sqliteEngine())
	c.nodeOrder.AcknowledgeEarly = true
	c.live()
	c.startHub(nil)
	for _, nth := range []int64{8, 6, 7, 5, 9, 4} { // a death while only a report was under way loses nothing
		c.startNode(&kill{"after read", nth})
		c.node.killed(t)
	}
	c.startNode(nil)
	c.await("the loss is noticed", func() (bool, error) {
		err := c.healthy()
		return errors.Is(err, errMended), err
	})
	t.Logf("as it must be: %v", c.healthy())
}

// TestFault_LineCut cuts the line under way: for half a minute, and in every way that
// a line comes back.
func TestFault_LineCut(t *testing.T) {
	for _, fault := range []struct {
		name  string
		long  time.Duration
		then  aftermath
		times int
	}{
		{"what was under way arrives late", 3 * time.Second, resume, 2},
		{"connections are gone", 30 * time.Second, reset, 1},
		{"connections are gone and nobody is told", 3 * time.Second, forget, 1},
	} {
		for _, e := range engines() {
			t.Run(fault.name+"/"+e.name, func(t *testing.T) {
				t.Parallel()
				long := fault.long
				if testing.Short() {
					long = min(long, 3*time.Second)
				}
				c := newCountry(t, e)
				c.startHub(nil)
				c.startNode(nil)
				c.live()
				c.awaitLanded(3)
				for range fault.times {
					c.line.cut()
					before := c.ask("spooled").Spooled
					timer := time.NewTimer(long)
					<-timer.C
					if after := c.ask("spooled").Spooled; after <= before {
						t.Errorf("%d batches in the spool after the cut, %d before: the node did not go on", after, before)
					}
					c.line.heal(fault.then)
					c.awaitLanded(5)
				}
				c.settle()
			})
		}
	}
}

// TestFault_SpoolFull keeps the hub away until the spool's limit is reached: the
// source is left to wait, the application is not, and nothing is dropped.
func TestFault_SpoolFull(t *testing.T) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			c := newCountry(t, e)
			c.nodeOrder.SpoolMB = 1
			c.startHub(nil)
			c.startNode(nil)
			c.awaitLanded(3)
			c.hub.kill()
			c.burden(12)
			c.awaitStill()
			c.startHub(nil)
			c.live()
			c.awaitLanded(5)
			c.settle()
		})
	}
}

// burden changes so much at the source, in thousands, that small spools overflow.
func (c *country) burden(thousands int) {
	c.t.Helper()
	for range 2 * thousands {
		err := c.source.transaction(c.t.Context(), func(w *work) error {
			for range 500 {
				if err := w.change(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// awaitStill waits until nothing goes into the spool any more although the source
// has more, and makes sure that the node is alive.
func (c *country) awaitStill() {
	c.t.Helper()
	last, since := -1, time.Now()
	c.await("the spool stands still", func() (bool, error) {
		spooled := c.ask("spooled").Spooled
		if spooled != last {
			last, since = spooled, time.Now()
		}
		return time.Since(since) > 2*time.Second, nil
	})
	if waiting := c.waiting(); waiting == 0 {
		c.t.Fatalf("%d batches in the spool, and the source has nothing left: the spool was not full", last)
	}
}

// waiting is what the source keeps for the node: changes, or bytes of log.
func (c *country) waiting() (n int64) {
	c.t.Helper()
	query := "SELECT count(*) - 1 FROM _lienthong_changes"
	if c.source.engine.driver == "pgx" {
		query = `SELECT coalesce(max(pg_current_wal_lsn() - confirmed_flush_lsn), 0)::bigint FROM pg_replication_slots
			WHERE database = current_database() AND NOT temporary`
	}
	n, err := one[int64](c.t.Context(), c.source.db, query)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

package capture

import (
	"context"
	"fmt"

	"github.com/lienthong/lienthong"
)

// Restart begins the chain of a dataset anew, in the background: a hub on the way
// has lost batches that nobody keeps any more, or was put there later than the chain
// began. The chain goes on with a shape that names no batch before it, which is this
// node's signed word that nothing earlier need be waited for; the whole dataset follows as
// a snapshot, and the comparison after it finds what has gone in the meantime.
func (c *Capture) Restart(dataset lienthong.DatasetID) {
	select {
	case c.repairs <- repairTask{dataset: dataset, restart: true}:
	default: // the hub asks again
	}
}

func (c *Capture) restart(ctx context.Context, dataset lienthong.DatasetID) error {
	for _, d := range c.byTable {
		if d.stream.Dataset != dataset || d.stopped() != nil {
			continue
		}
		// The order for the snapshot goes first: a crash behind it reads the dataset again, which
		// loses nothing. It is read after this, by the same goroutine.
		if err := c.Resnapshot(ctx, dataset, KeyRange{}); err != nil {
			return fmt.Errorf("capture: begin %s anew: %w", dataset, err)
		}
		d.mu.Lock()
		shape := d.worker.shape
		d.mu.Unlock()
		first, err := c.shapeShipment(d, shape)
		if err != nil {
			return err
		}
		first.parcels[0].begin = true
		if err := send(ctx, c.sealer.bulk, first); err != nil {
			return err
		}
	}
	return nil
}

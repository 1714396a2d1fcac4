package capture

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// How much of Config.RetainBudget the source holds back for us.
type retention int32

const (
	retainedLittle retention = iota
	retainedHalf             // people are told
	retainedMuch             // snapshots stop, so that the stream catches up
	retainedAll              // the source's log is given up when the spool cannot take more
)

func (c *Capture) retention(bytes int64) retention {
	switch budget := c.RetainBudget; {
	case budget <= 0 || bytes < 0:
		return retainedLittle
	case bytes >= budget:
		return retainedAll
	case bytes >= budget/10*8:
		return retainedMuch
	case bytes >= budget/2:
		return retainedHalf
	}
	return retainedLittle
}

// guard watches the source's health and its log, and looks whether datasets that stand
// still can go on.
func (c *Capture) guard(ctx context.Context) error {
	tick := c.HealthTick
	if tick == nil {
		ticker := time.NewTicker(c.HealthEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	reporter, reports := c.Source.(connector.HealthReporter)
	appending := uint64(0) // the spool's append that was under way at the last look
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.look:
			if err := c.recheck(ctx); err != nil {
				return err
			}
			continue
		case <-tick:
		}
		stuck := c.sealer.appending.Load()
		sameAppend := stuck%2 == 1 && stuck == appending
		appending = stuck
		if reports {
			health, err := reporter.Health(ctx)
			if err != nil {
				if ctx.Err() == nil {
					c.Log.DebugContext(ctx, "health not known", slog.Any("error", err))
				}
			} else {
				c.health.Store(&health)
				if err := c.protect(ctx, &health, sameAppend); err != nil {
					return err
				}
			}
		}
		if err := c.recheck(ctx); err != nil {
			return err
		}
		if c.Guarded != nil {
			c.Guarded()
		}
	}
}

// protect acts on what the source holds back. It returns an error to end the session, so
// that the source's log is given up.
func (c *Capture) protect(ctx context.Context, health *connector.Health, full bool) error {
	now := c.retention(health.RetainedBytes)
	before := retention(c.retained.Swap(int32(now)))
	figures := map[string]int64{"retained_bytes": health.RetainedBytes, "budget_bytes": c.RetainBudget}
	held := fmt.Sprintf("%d/%d MB", health.RetainedBytes>>20, c.RetainBudget>>20)
	if now != before {
		switch {
		case now == retainedHalf && before == retainedLittle:
			c.notify(ctx, Notice{
				Code: "source.log_half", Figures: figures, Vi: "nguồn đang giữ nhật ký cho nút này quá nửa hạn mức (" + held + ")",
				En: "the source holds back more than half of the log that it may for this node (" + held + ")",
			})
		case now >= retainedMuch && before < retainedMuch:
			c.notify(ctx, Notice{
				Code: "source.log_throttled", Figures: figures, Vi: "nguồn giữ nhật ký gần hết hạn mức (" + held + "): tạm dừng nạp lần đầu để luồng thay đổi theo kịp",
				En: "the source holds back nearly all of the log that it may (" + held + "): snapshots pause so that the stream catches up",
			})
		case now < retainedMuch && before >= retainedMuch:
			c.notify(ctx, Notice{
				Code: "source.log_eased", Figures: figures, Vi: "nguồn giữ ít nhật ký hơn (" + held + "): tiếp tục nạp",
				En: "the source holds back less of its log (" + held + "): snapshots go on",
			})
		}
	}
	if now < retainedAll || !full {
		return nil
	}
	if _, can := c.Source.(connector.Releaser); !can {
		if before != retainedAll {
			c.notify(ctx, Notice{
				Code: "source.log_over", Figures: figures, Vi: "nguồn giữ nhật ký vượt hạn mức (" + held + ") và không có cách nhả ra; cần người xử lý",
				En: "the source holds back more log than it may (" + held + ") and has no way to let go of it: a person must act",
			})
		}
		return nil
	}
	return &restart{code: GapReleased, figures: figures}
}

// restart ends a session so that another begins.
type restart struct {
	code    string // a gap to open in every dataset before; empty: none
	figures map[string]int64
	err     error
}

func (r *restart) Error() string { return "capture: the session begins anew " + r.code }
func (r *restart) Unwrap() error { return r.err }

// abandon notes the gap and lets the source go of its log. The order is the promise: the gap
// is durable before anything is given up.
func (c *Capture) abandon(ctx context.Context, why *restart) error {
	for _, d := range c.datasets {
		if d.chain == nil {
			continue
		}
		err := c.sealer.persist(ctx, func(ctx context.Context) error { return c.openGap(ctx, d, why.code) })
		if err != nil {
			return err
		}
	}
	for {
		err := c.letGo(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.fail(ctx, "the source does not let go of its log", err)
		if err := pause(ctx, retryAfter); err != nil {
			return err
		}
	}
	if why.code == GapReleased {
		c.notify(ctx, Notice{
			Code: why.code, Figures: why.figures, Vi: "đã nhả nhật ký của nguồn để bảo vệ nguồn; khi hàng đợi có chỗ sẽ đối chiếu và bù phần thiếu",
			En: "the source's log was given up to protect the source; when the spool has room, what is missing is compared and sent",
		})
		return nil
	}
	c.notify(ctx, Notice{
		Code: why.code, Vi: "nguồn không còn giữ nhật ký cần đọc; bắt đầu từ hiện tại, đối chiếu và bù phần thiếu",
		En: "the source no longer has the log to be read: reading begins at the present, what is missing is compared and sent",
	})
	return nil
}

// letGo makes the next Start begin at the present.
func (c *Capture) letGo(ctx context.Context) error {
	if releaser, can := c.Source.(connector.Releaser); can {
		return releaser.Release(ctx)
	}
	if destroyer, can := c.Source.(connector.Destroyer); can {
		return destroyer.Destroy(ctx)
	}
	return nil
}

// released reports whether the source's log was given up and not taken up again.
func (c *Capture) released() bool {
	for _, d := range c.byTable {
		d.mu.Lock()
		gap := d.gap
		d.mu.Unlock()
		if gap != nil && gap.Code == GapReleased && gap.Resumed == 0 {
			return true
		}
	}
	return false
}

// awaitRoom returns when the spool takes a batch again: a report of a dataset, which the hub
// wants to have anyway. The sealer does not run yet.
func (c *Capture) awaitRoom(ctx context.Context) error {
	code := GapReleased
	c.failure.Store(&code)
	for _, d := range c.byTable {
		if d.stopped() != nil {
			continue
		}
		body, err := c.reportBody(ctx, d)
		if err != nil {
			return err
		}
		return c.sealer.ship(ctx, shipment{parcels: []parcel{{
			dataset: d, kind: lienthong.ReportBatch, shape: d.worker.shape.Version, raw: body,
		}}})
	}
	return nil
}

// retake notes that changes are taken again.
func (c *Capture) retake(ctx context.Context, position lienthong.Position) error {
	resumed := false
	for _, d := range c.byTable {
		d.mu.Lock()
		gap := d.gap
		d.mu.Unlock()
		if gap == nil || gap.Resumed != 0 || d.stopped() != nil {
			continue
		}
		next := *gap
		next.Resumed = c.Now().UnixMicro()
		if err := c.saveGap(ctx, d, &next); err != nil {
			return err
		}
		resumed = true
	}
	if resumed {
		c.notify(ctx, Notice{
			Code: "source.log_resumed", Vi: "đọc lại nguồn từ hiện tại; đang đối chiếu và bù phần thiếu", En: "the source is read again from the present; what is missing is being compared and sent",
			Figures: map[string]int64{"position": int64(position.Order)},
		})
	}
	return nil
}

// lookAgain asks for a recheck now.
func (c *Capture) lookAgain() {
	select {
	case c.look <- struct{}{}:
	default:
	}
}

// recheck begins a new session when a dataset that stands still fits its table again.
func (c *Capture) recheck(ctx context.Context) error {
	still := false
	for _, d := range c.datasets {
		still = still || d.stopped() != nil
	}
	if !still {
		return nil
	}
	tables, err := c.Source.Tables(ctx)
	if err != nil {
		return nil //nolint:nilerr // the stream reports a source that cannot be reached
	}
	for _, d := range c.datasets {
		if d.stopped() == nil || d.chain == nil {
			continue
		}
		table, err := findTable(d.definition, tables)
		if err != nil {
			continue
		}
		if _, err := c.fit(d, &table, &d.saved); err == nil {
			return &restart{}
		}
	}
	return nil
}

// Health is what the source last said of itself; false when it has not, or cannot.
func (c *Capture) Health() (connector.Health, bool) {
	if h := c.health.Load(); h != nil {
		return *h, true
	}
	return connector.Health{}, false
}

package capture

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/lienthong/lienthong"
)

// Notice is a step that people and the audit log must know of: taken to protect a source,
// or by which a dataset stood still or went on.
type Notice struct {
	Code    string              `json:"code"`
	Dataset lienthong.DatasetID `json:"dataset"` // zero: the whole source
	Vi      string              `json:"vi"`
	En      string              `json:"en"`
	Figures map[string]int64    `json:"figures,omitempty"`
	At      int64               `json:"at"`
}

func (c *Capture) notify(ctx context.Context, n Notice) {
	n.At = c.Now().UnixMicro()
	attrs := []slog.Attr{slog.String("code", n.Code), slog.String("what", n.En)}
	if n.Dataset != (lienthong.DatasetID{}) {
		attrs = append(attrs, slog.String("dataset", n.Dataset.String()))
	}
	c.Log.LogAttrs(ctx, slog.LevelWarn, "notice", attrs...)
	if c.Notice != nil {
		c.Notice(n)
	}
}

// saveGap opens, continues or, with nil, ends a gap of a dataset.
func (c *Capture) saveGap(ctx context.Context, d *dataset, gap *Gap) error {
	if err := c.State.SaveGap(ctx, d.stream.Dataset, gap); err != nil {
		return fmt.Errorf("capture: note a gap of %s: %w", d.stream.Dataset, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gap = gap
	if gap == nil || gap.Resumed == 0 {
		d.marks = nil
	}
	return nil
}

// openGap notes that changes of a dataset are not taken from now on. What stood still
// before keeps its beginning.
func (c *Capture) openGap(ctx context.Context, d *dataset, code string) error {
	d.mu.Lock()
	gap := Gap{Code: code, Since: c.Now().UnixMicro()}
	if d.gap != nil {
		gap.Since = min(gap.Since, d.gap.Since)
	}
	d.mu.Unlock()
	if c.sink != nil {
		gap.Position = c.sink.acknowledged().Order
	}
	return c.saveGap(ctx, d, &gap)
}

// halt stops a dataset and notes the gap, which must be durable before the source is
// acknowledged beyond this point.
func (c *Capture) halt(ctx context.Context, d *dataset, cause error) error {
	d.mu.Lock()
	open := d.gap != nil && d.gap.Resumed == 0
	begun := d.saved.Shape != nil || d.worker != nil
	d.mu.Unlock()
	if begun && !open {
		if err := c.openGap(ctx, d, GapStopped); err != nil {
			return err
		}
	}
	d.stop(cause, c.Now().UnixMicro())
	d.mu.Lock()
	words := *d.difference
	d.mu.Unlock()
	if !c.tell(d.stream.Dataset, words.Code+" "+words.En) {
		return nil
	}
	c.Log.ErrorContext(ctx, "dataset stopped", slog.String("dataset", d.stream.Dataset.String()), slog.Any("error", cause))
	c.notify(ctx, Notice{
		Code: GapStopped, Dataset: d.stream.Dataset,
		Vi: "tập dữ liệu dừng: " + words.Vi + ". " + words.DoVi, En: "the dataset stands still: " + words.En + ". " + words.DoEn,
	})
	return nil
}

// tell reports whether people have yet to hear what stops a dataset. Empty: nothing does.
func (c *Capture) tell(id lienthong.DatasetID, what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told[id] == what {
		return false
	}
	c.told[id] = what
	return true
}

// Reconciled tells capture what the hub found when it compared a dataset. It may be called
// from any goroutine and does not block for long. A gap ends when both ends were equal at a
// checkpoint after it.
func (c *Capture) Reconciled(ctx context.Context, r lienthong.Reconciliation) error {
	d := c.find(r.Dataset)
	if d == nil || r.Node != c.Node || r.Result != lienthong.Matches {
		return nil
	}
	d.mu.Lock()
	gap := d.gap
	after := gap != nil && gap.Resumed > 0 && slices.Contains(d.marks, r.Checkpoint)
	d.mu.Unlock()
	if !after {
		return nil
	}
	if err := c.saveGap(ctx, d, nil); err != nil {
		return err
	}
	if gap.Code != GapSchema {
		c.notify(ctx, Notice{
			Code: "dataset.compared", Dataset: r.Dataset, Vi: "hai đầu đã khớp, không thiếu thay đổi nào", En: "both ends are equal: no change is missing",
			Figures: map[string]int64{"rows": r.SourceRows, "seconds": (c.Now().UnixMicro() - gap.Since) / 1e6},
		})
	}
	return nil
}

// find returns the dataset of the running session.
func (c *Capture) find(id lienthong.DatasetID) *dataset {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.datasets {
		if d.stream.Dataset == id {
			return d
		}
	}
	return nil
}

// noDataset is the answer to a question about a dataset that this source does not have.
func noDataset(id lienthong.DatasetID) error {
	return &lienthong.Error{
		Code: "dataset.unknown", Where: id.String(), Vi: "nguồn này không có tập dữ liệu đó", En: "this source has no such dataset",
		Hint: "kiểm tra tên / check the name",
	}
}

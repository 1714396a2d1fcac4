package capture

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/quality"
)

// reportFindings is how many findings a report carries; the rest stays at the node.
const reportFindings = 200

// report sends the quality counters of each dataset whenever they changed, at
// most every ReportEvery.
func (c *Capture) report(ctx context.Context) error {
	tick := time.NewTicker(c.ReportEvery)
	defer tick.Stop()
	sent := map[*dataset]string{}
	for {
		for _, d := range c.byTable {
			if err := c.reportOne(ctx, d, sent); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Capture) reportOne(ctx context.Context, d *dataset, sent map[*dataset]string) error {
	if d.stopped() != nil {
		return nil
	}
	report, err := c.qualityReport(ctx, d)
	if err != nil {
		return err
	}
	report.Counters.At = 0
	same, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("capture: encode report of %s: %w", d.stream.Dataset, err)
	}
	if sent[d] == string(same) {
		return nil
	}
	body, err := c.encodeReport(d, &report)
	if err != nil {
		return err
	}
	sent[d] = string(same)
	d.mu.Lock()
	version := d.worker.shape.Version
	d.mu.Unlock()
	return send(ctx, c.sealer.bulk, shipment{parcels: []parcel{{
		dataset: d, kind: lienthong.ReportBatch, shape: version, raw: body,
	}}})
}

// reportBody is the report as of now.
func (c *Capture) reportBody(ctx context.Context, d *dataset) ([]byte, error) {
	report, err := c.qualityReport(ctx, d)
	if err != nil {
		return nil, err
	}
	return c.encodeReport(d, &report)
}

func (c *Capture) encodeReport(d *dataset, report *quality.Report) ([]byte, error) {
	report.Counters.At = c.Now().UnixMicro()
	body, err := json.Marshal(report)
	if err != nil {
		return nil, fmt.Errorf("capture: encode report of %s: %w", d.stream.Dataset, err)
	}
	return body, nil
}

// qualityReport counts what is open now.
func (c *Capture) qualityReport(ctx context.Context, d *dataset) (quality.Report, error) {
	d.mu.Lock()
	counters := quality.NewCounters(d.worker.checker)
	columns := len(d.table.Columns)
	definition := d.definition
	done := d.snapshot
	d.mu.Unlock()
	// Columns that the definition leaves at home are not unified either.
	counters.TotalColumns = max(counters.TotalColumns, columns)
	counters.Declared = definition.Declared
	counters.Rows = d.rows.Load()
	if !done || counters.Rows == 0 {
		counters.Rows = d.chunkRows.Load()
	}
	source := quality.SourceCounter{Node: c.Node, LastChange: d.lastAt.Load()}
	if definition.Interval != "" {
		interval, err := quality.ParseInterval(definition.Interval)
		if err == nil {
			source.Interval = interval.Microseconds()
		}
	}
	counters.Sources = []quality.SourceCounter{source}
	open, err := c.State.FindingCounts(ctx, definition.Dataset)
	if err != nil {
		return quality.Report{}, fmt.Errorf("capture: count findings of %s: %w", definition.Dataset, err)
	}
	for i := range counters.Rules {
		rule := &counters.Rules[i]
		rule.Open = open[FindingKey(rule.Code, rule.Field)]
	}
	if counters.Quarantined, err = c.State.HeldRecords(ctx, definition.Dataset); err != nil {
		return quality.Report{}, fmt.Errorf("capture: count held records of %s: %w", definition.Dataset, err)
	}
	findings, err := c.State.RecentFindings(ctx, definition.Dataset, reportFindings)
	if err != nil {
		return quality.Report{}, fmt.Errorf("capture: list findings of %s: %w", definition.Dataset, err)
	}
	return quality.Report{Counters: counters, Findings: findings}, nil
}

// FindingKey is how State.FindingCounts names a rule on a field.
func FindingKey(rule, field string) string { return rule + "\x00" + field }

package capture

import (
	"context"
	"fmt"
	"slices"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/quality"
)

// QuarantineState is where a record that was held back stands.
type QuarantineState string

// The states. A record is held until its values are corrected at the source (fixed), it is
// deleted there (gone), a person lets it pass (released), or nobody has done anything for so
// long that it no longer waits for anybody (expired). An expired record stays held back and
// counted; only what waits for people becomes less. A released one is held again when the values
// that were let pass change to others that are wrong.
const (
	QuarantineHeld     QuarantineState = "held"
	QuarantineFixed    QuarantineState = "fixed"
	QuarantineReleased QuarantineState = "released"
	QuarantineExpired  QuarantineState = "expired"
	QuarantineGone     QuarantineState = "gone"
)

// QuarantineStates lists the states.
func QuarantineStates() []QuarantineState {
	return []QuarantineState{QuarantineHeld, QuarantineExpired, QuarantineReleased, QuarantineFixed, QuarantineGone}
}

// Act is a decision of a person.
type Act struct {
	By     string
	Reason string
	At     int64
}

// QuarantineFilter chooses records. Its zero value is all of them.
type QuarantineFilter struct {
	Dataset *lienthong.DatasetID
	States  []QuarantineState
	Rule    string // open findings of this rule
	Limit   int    // 0 means 100
	After   string // QuarantinePage.Next of the page before
}

// QuarantineEntry is one record. Identities stay at the node.
type QuarantineEntry struct {
	Dataset     lienthong.DatasetID `json:"dataset"`
	ID          string              `json:"id"`              // as the record is known at the hub
	Plain       string              `json:"plain,omitempty"` // as the source has it, when that differs
	Record      string              `json:"record"`          // the digest by which findings name it outside
	State       QuarantineState     `json:"state"`
	Since       int64               `json:"since"`   // when it was held
	Changed     int64               `json:"changed"` // when the state became what it is
	By          string              `json:"by,omitempty"`
	Reason      string              `json:"reason,omitempty"`
	Rules       []string            `json:"rules"` // open ones
	Fingerprint string              `json:"-"`
}

// QuarantinePage is a part of the list, with the number of records in each state.
type QuarantinePage struct {
	Entries []QuarantineEntry         `json:"entries"`
	Next    string                    `json:"next,omitempty"`
	Counts  map[QuarantineState]int64 `json:"counts"`
}

// QuarantineEvent is one step in a record's history.
type QuarantineEvent struct {
	At     int64           `json:"at"`
	State  QuarantineState `json:"state"`
	Rules  []string        `json:"rules,omitempty"`
	By     string          `json:"by,omitempty"`
	Reason string          `json:"reason,omitempty"`
}

// Problem is one rule that a record breaks, in words.
type Problem struct {
	Rule     string `json:"rule"`
	Field    string `json:"field"`
	Column   string `json:"column"` // at the source
	Sample   string `json:"sample"` // masked
	Blocking bool   `json:"blocking"`
	Vi       string `json:"vi"`
	En       string `json:"en"`
	DoVi     string `json:"do_vi"`
	DoEn     string `json:"do_en"`
}

// Explanation is everything about one record.
type Explanation struct {
	QuarantineEntry
	Problems []Problem         `json:"problems"`
	History  []QuarantineEvent `json:"history"`
}

// ListQuarantine lists records of this source's datasets that were held back.
func (c *Capture) ListQuarantine(ctx context.Context, filter QuarantineFilter) (QuarantinePage, error) {
	if filter.Dataset != nil && c.find(*filter.Dataset) == nil {
		return QuarantinePage{}, noDataset(*filter.Dataset)
	}
	page, err := c.State.Quarantine(ctx, filter)
	if err != nil {
		return page, fmt.Errorf("capture: list quarantine: %w", err)
	}
	for i := range page.Entries {
		e := &page.Entries[i]
		e.Record = quality.RecordDigest(c.RecordKey, e.Dataset, e.ID)
	}
	return page, nil
}

// ExplainQuarantine says why a record is held back, what to do, and what has happened to it.
// id is its identity as the hub knows it or as the source has it.
func (c *Capture) ExplainQuarantine(ctx context.Context, dataset lienthong.DatasetID, id string) (Explanation, error) {
	d := c.find(dataset)
	if d == nil {
		return Explanation{}, noDataset(dataset)
	}
	entry, history, findings, err := c.State.QuarantineRecord(ctx, dataset, id)
	if err != nil {
		return Explanation{}, err
	}
	entry.Record = quality.RecordDigest(c.RecordKey, dataset, entry.ID)
	e := Explanation{QuarantineEntry: entry, History: history}
	d.mu.Lock()
	w := d.worker
	d.mu.Unlock()
	for _, f := range findings {
		p := Problem{Rule: f.Rule, Field: f.Field, Column: f.Field, Sample: f.Sample, Blocking: f.Blocking}
		if w != nil {
			p.Column = w.sourceColumn(f.Field)
			if at := slices.IndexFunc(w.rules, func(r quality.Rule) bool { return r.Code == f.Rule && r.Field == f.Field }); at >= 0 {
				p.Vi, p.En = w.rules[at].Vi, w.rules[at].En
			}
		}
		p.DoVi = fmt.Sprintf("sửa cột %s ở nguồn; nếu giá trị đúng là như vậy, người có thẩm quyền cho qua và ghi lý do", p.Column)
		p.DoEn = fmt.Sprintf("correct column %s at the source; if the value really is so, a person in charge lets the record pass and says why", p.Column)
		e.Problems = append(e.Problems, p)
	}
	return e, nil
}

// ReleaseQuarantine lets exactly this record pass, with exactly the values that broke the
// blocking rules: when they change, the rules hold again. Its findings stay open and no longer
// block. The record follows to the hub from a view of the source.
func (c *Capture) ReleaseQuarantine(ctx context.Context, dataset lienthong.DatasetID, id, by, reason string) error {
	d := c.find(dataset)
	if d == nil {
		return noDataset(dataset)
	}
	if err := d.stopped(); err != nil {
		return err
	}
	if by == "" || reason == "" {
		return &lienthong.Error{
			Code: "quarantine.reason", Where: dataset.String(), Vi: "cần tên người cho qua và lý do", En: "who lets the record pass, and why, must be said",
			Hint: "by, reason",
		}
	}
	entry, _, _, err := c.State.QuarantineRecord(ctx, dataset, id)
	if err != nil {
		return err
	}
	fingerprint, err := c.State.ReleaseRecord(ctx, dataset, entry.ID, Act{By: by, Reason: reason, At: c.Now().UnixMicro()})
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.overrides[entry.ID] = fingerprint
	d.mu.Unlock()
	c.notify(ctx, Notice{
		Code: "quarantine.released", Dataset: dataset, Vi: "một bản ghi được cho qua theo quyết định", En: "a record was let pass by decision",
	})
	// Should this be put off, the next comparison finds the record missing at the hub.
	c.Repair(dataset, []int{batch.BucketOf([]byte(entry.ID))})
	return nil
}

// ExpireQuarantine marks records that have been held for longer than a while: they stay held
// back and counted, but no longer wait for people. It returns how many.
func (c *Capture) ExpireQuarantine(ctx context.Context, dataset lienthong.DatasetID, before int64, by string) (int, error) {
	if c.find(dataset) == nil {
		return 0, noDataset(dataset)
	}
	n, err := c.State.ExpireRecords(ctx, dataset, before, Act{By: by, At: c.Now().UnixMicro()})
	if err != nil {
		return 0, fmt.Errorf("capture: expire records of %s: %w", dataset, err)
	}
	if n > 0 {
		c.notify(ctx, Notice{
			Code: "quarantine.expired", Dataset: dataset, Vi: "các bản ghi cách ly quá hạn được đánh dấu; vẫn bị giữ lại", En: "records that were held for long are marked; they stay held back",
			Figures: map[string]int64{"records": int64(n)},
		})
	}
	return n, nil
}

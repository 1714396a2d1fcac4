package capture

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// dataset is one definition at work.
type dataset struct {
	definition *dictionary.Definition
	stream     lienthong.Stream
	chain      *chain // owned by the sealer once capture runs

	mu       sync.Mutex // guards what a schema change replaces, and open
	table    connector.Table
	worker   *worker            // only to be cloned, for snapshot and scan
	live     *worker            // the sink's own
	open     map[string]int64   // records with open findings, by identity: the version that opened them, 0 from an earlier run
	problem  error              // why the dataset stands still
	snapshot bool               // the snapshot is complete
	base     lienthong.Position // of the snapshot's view: a change up to here may be of a record that the hub never had

	read, changes, quarantined atomic.Int64
	chunkRows, expectedRows    atomic.Int64
	lastAt, rows               atomic.Int64 // rows: in the source, as of the last scan and what came since
}

func (d *dataset) stop(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.problem = err
}

func (d *dataset) stopped() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.problem
}

func (d *dataset) status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Status{
		Dataset: d.stream.Dataset, Read: d.read.Load(), Changes: d.changes.Load(), Quarantined: d.quarantined.Load(),
		SnapshotDone: d.chunkRows.Load(), SnapshotRows: d.expectedRows.Load(), LastAt: d.lastAt.Load(),
	}
	if d.worker != nil {
		s.ShapeVersion = d.worker.shape.Version
	}
	if d.problem != nil {
		s.Stopped = lienthong.ErrorCode(d.problem)
	}
	return s
}

// openDataset finds the table, compiles the mapping and rules, and continues the
// chain. A shape that differs from the one sent last becomes the next version.
func (c *Capture) openDataset(ctx context.Context, d *dataset, tables []connector.Table) error {
	at := slices.IndexFunc(tables, func(t connector.Table) bool { return t.Name == d.definition.Table })
	if at < 0 {
		return &lienthong.Error{
			Code: "dataset.table", Where: d.definition.Dataset.String() + ": " + d.definition.Table,
			Vi: "nguồn không có bảng này", En: "the source has no such table",
			Hint: "kiểm tra tên bảng và quyền đọc / check the table's name and the right to read it",
		}
	}
	saved, err := c.State.Load(ctx, d.definition.Dataset)
	if err != nil {
		return fmt.Errorf("capture: load state of %s: %w", d.definition.Dataset, err)
	}
	if d.chain, err = openChain(ctx, c.Spool, d.stream, saved.Head); err != nil {
		return err
	}
	d.table = tables[at]
	worker, err := c.compile(d, saved.Shape)
	if err != nil {
		return err
	}
	if err := checkIdentity(d, worker.shape); err != nil {
		return err
	}
	if saved.Shape == nil || saved.Shape.Version != worker.shape.Version || d.chain.sequence == 0 {
		first, err := c.shapeShipment(d, worker.shape)
		if err != nil {
			return err
		}
		// The sealer does not run yet, so this is its only user.
		if err := c.sealer.ship(ctx, first); err != nil {
			return err
		}
	}
	d.worker, d.live = worker, worker.clone()
	d.snapshot = saved.SnapshotDone
	d.open = map[string]int64{}
	d.base = lienthong.Position{Order: math.MaxUint64} // until the stream has caught up
	open, err := c.State.OpenRecords(ctx, d.definition.Dataset)
	if err != nil {
		return fmt.Errorf("capture: load findings of %s: %w", d.definition.Dataset, err)
	}
	for _, id := range open {
		d.open[id] = 0
	}
	return nil
}

// checkIdentity makes sure that a deleted row, of which the source gives only the
// key, can be named: every identity field comes from key columns.
func checkIdentity(d *dataset, shape *lienthong.Shape) error {
	for _, i := range shape.Identity {
		name := shape.Fields[i].Name
		for _, m := range d.definition.Columns {
			if m.Field != name && (m.Field != "" || shape.Fields[i].Element != m.Element) {
				continue
			}
			for _, column := range append(slices.Clone(m.Columns), m.Column) {
				if column == "" {
					continue
				}
				if !slices.Contains(d.table.Key, d.table.ColumnIndex(column)) {
					return &lienthong.Error{
						Code: "dataset.identity", Where: d.definition.Dataset.String() + ": " + column,
						Vi: "cột định danh không thuộc khóa chính của bảng", En: "the identity column is not part of the table's key",
						Hint: "chọn cột khóa làm định danh bản ghi / use the key columns as the record's identity",
					}
				}
			}
		}
	}
	return nil
}

// compile makes a worker for the table as it is now. When the shape is the same
// as before it keeps its version.
func (c *Capture) compile(d *dataset, before *lienthong.Shape) (*worker, error) {
	version := 1
	if before != nil {
		version = before.Version
	}
	mapper, err := c.Dictionary.Compile(d.definition, d.table.Columns, version)
	if err != nil {
		return nil, err
	}
	if before != nil && !sameShape(before, mapper.Shape) {
		if mapper, err = c.Dictionary.Compile(d.definition, d.table.Columns, version+1); err != nil {
			return nil, err
		}
	}
	checker, err := quality.Compile(mapper.Shape, mapper.Rules(), quality.DictionaryLists(c.Dictionary), c.Now)
	if err != nil {
		return nil, err
	}
	return newWorker(c, d, d.table.Columns, mapper, checker), nil
}

func sameShape(a, b *lienthong.Shape) bool {
	return slices.Equal(a.Fields, b.Fields) && slices.Equal(a.Identity, b.Identity)
}

// shapeShipment puts a shape into the chain before anything that uses it.
func (c *Capture) shapeShipment(d *dataset, shape *lienthong.Shape) (shipment, error) {
	body, err := json.Marshal(shape)
	if err != nil {
		return shipment{}, fmt.Errorf("capture: encode shape of %s: %w", d.stream.Dataset, err)
	}
	return shipment{
		parcels: []parcel{{dataset: d, kind: lienthong.ShapeBatch, shape: shape.Version, raw: body}},
		durable: func(ctx context.Context) error { return c.State.SaveShape(ctx, shape) },
	}, nil
}

// worker maps and checks the rows of one dataset for one goroutine.
type worker struct {
	capture *Capture
	dataset *dataset
	columns []lienthong.Column // of the rows that it takes
	mapper  *dictionary.Mapper
	checker *quality.Checker
	shape   *lienthong.Shape
	hasher  *batch.Hasher
	rules   []quality.Rule

	change  lienthong.Change
	verdict quality.Verdict
	id      []byte
	held    []lienthong.Value // all Unchanged, for Hold and Delete
}

func newWorker(c *Capture, d *dataset, columns []lienthong.Column, mapper *dictionary.Mapper, checker *quality.Checker) *worker {
	w := &worker{
		capture: c, dataset: d, columns: columns, mapper: mapper, checker: checker, shape: mapper.Shape,
		hasher: batch.NewHasher(mapper.Shape), rules: checker.Rules(),
	}
	w.change.Values = make([]lienthong.Value, len(w.shape.Fields))
	w.held = make([]lienthong.Value, len(w.shape.Fields))
	for i := range w.held {
		w.held[i].State = lienthong.Unchanged
	}
	return w
}

func (w *worker) clone() *worker {
	return newWorker(w.capture, w.dataset, w.columns, w.mapper.Clone(), w.checker.Clone())
}

// verdictKind is what becomes of a row.
type outcome uint8

const (
	passed  outcome = iota // goes on its way
	held                   // broke a blocking rule
	unnamed                // has no identity: nobody can be told which record it is
)

// take maps and checks a row into w.change.
func (w *worker) take(row *connector.Row) outcome {
	w.mapper.Map(row.Values, w.change.Values)
	w.change.Version, w.change.At = row.Version, row.At
	id, named := w.shape.AppendRecordID(w.id[:0], w.change.Values)
	w.id = id
	w.change.ID = id
	w.verdict.Failed, w.verdict.Blocked = w.verdict.Failed[:0], false
	if row.Op == lienthong.Delete {
		w.change.Op = lienthong.Delete
		if !named {
			return unnamed
		}
		return passed
	}
	w.change.Op = lienthong.Upsert
	w.checker.Check(w.change.Values, w.capture.Now().UnixMicro(), &w.verdict)
	switch {
	case !named:
		return unnamed
	case w.verdict.Blocked:
		return held
	}
	return passed
}

// append writes the change as a row. Rows that only name a record carry no
// values.
func (w *worker) append(raw []byte, o outcome) []byte {
	c := w.change
	if o == held {
		c.Op = lienthong.Hold
	}
	if c.Op != lienthong.Upsert {
		c.Values = w.held
	}
	return batch.AppendRow(raw, w.shape, &c)
}

// observation returns what to record about the row just taken; nothing when it is
// clean and was clean before.
func (w *worker) observation(o outcome) (Observation, bool) {
	d := w.dataset
	d.mu.Lock()
	opened, wasOpen := d.open[string(w.id)]
	if o != unnamed && opened > w.change.Version {
		// A snapshot shows an earlier state of the record than the change that opened it.
		d.mu.Unlock()
		return Observation{}, false
	}
	gone := w.change.Op == lienthong.Delete
	failing := !gone && len(w.verdict.Failed) > 0
	switch {
	case o == unnamed:
	case failing:
		d.open[string(w.id)] = w.change.Version
	case wasOpen:
		delete(d.open, string(w.id))
	}
	d.mu.Unlock()
	if !failing && !wasOpen {
		return Observation{}, false
	}
	id := string(w.id)
	if o == unnamed {
		// Named by where it stands in the source's history, so that it can be looked up there.
		id = fmt.Sprintf("?%d", w.change.Version)
	}
	obs := Observation{ID: id}
	if gone {
		return obs, true
	}
	obs.Findings = w.checker.Findings(nil, &w.verdict, w.change.Values, quality.RecordDigest(w.capture.RecordKey, d.stream.Dataset, id), w.capture.Now().UnixMicro())
	for i := range w.change.Values {
		if w.change.Values[i].State == lienthong.Unchanged {
			obs.Unknown = append(obs.Unknown, w.shape.Fields[i].Name)
		}
	}
	return obs, true
}

// reject tells the source about a refused or wrong row, when it wants to know.
func (w *worker) reject(table int) error {
	rejecter, ok := w.capture.Source.(connector.Rejecter)
	if !ok {
		return nil
	}
	for _, i := range w.verdict.Failed {
		rule := &w.rules[i]
		if err := rejecter.Reject(table, w.change.Version, w.sourceColumn(rule.Field), rule.Vi, rule.En); err != nil {
			return fmt.Errorf("capture: answer the source: %w", err)
		}
	}
	return nil
}

// sourceColumn is the column that a field comes from, because the owner knows the
// column, not the field.
func (w *worker) sourceColumn(field string) string {
	for _, m := range w.dataset.definition.Columns {
		i := w.shape.FieldIndex(field)
		if m.Field == field || (m.Field == "" && i >= 0 && w.shape.Fields[i].Element == m.Element) {
			if m.Column != "" {
				return m.Column
			}
			if len(m.Columns) > 0 {
				return m.Columns[len(m.Columns)-1]
			}
		}
	}
	return field
}

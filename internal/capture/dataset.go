package capture

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// dataset is one definition at work.
type dataset struct {
	definition *dictionary.Definition
	stream     lienthong.Stream
	chain      *chain // owned by the sealer once capture runs

	emptiedAt atomic.Int64 // version at which the stream last said that the table was emptied
	members   *members     // nil when the definition leaves no rows out

	mu         sync.Mutex // guards what a schema change or a person's decision replaces, and open
	table      connector.Table
	worker     *worker            // only to be cloned, for snapshot and scan
	live       *worker            // the sink's own
	open       map[string]int64   // records with open findings, by identity: the version that opened them, 0 from an earlier run
	overrides  map[string]string  // records that a person lets pass, and the fingerprint of what they let pass
	problem    error              // why the dataset stands still
	difference *Difference        // the same in words
	snapshot   bool               // the first load is complete
	again      *KeyRange          // a snapshot that was asked for later
	base       lienthong.Position // of the snapshot's view: a change up to here may be of a record that the hub never had
	saved      Saved              // as loaded, with what was sent since
	gap        *Gap               // changes that were not taken
	marks      []string           // comparisons that began after the gap was closed
	load       *load              // the snapshot that is being read

	read, changes, quarantined atomic.Int64
	chunkRows, expectedRows    atomic.Int64
	filtered                   atomic.Int64 // rows that do not belong to the dataset, as of the last scan
	lastAt, rows               atomic.Int64 // rows: in the source, as of the last scan and what came since
}

// inherit keeps the figures of an earlier session of the same process.
func (d *dataset) inherit(from *dataset) {
	for _, pair := range [][2]*atomic.Int64{
		{&d.read, &from.read},
		{&d.changes, &from.changes},
		{&d.quarantined, &from.quarantined},
		{&d.filtered, &from.filtered},
		{&d.chunkRows, &from.chunkRows},
		{&d.lastAt, &from.lastAt},
		{&d.rows, &from.rows},
	} {
		pair[0].Store(pair[1].Load())
	}
}

func (d *dataset) stop(err error, at int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.problem, d.difference = err, differenceOf(err, at)
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
		SnapshotDone: d.chunkRows.Load(), SnapshotRows: d.expectedRows.Load(), LastAt: d.lastAt.Load(), Filtered: d.filtered.Load(),
		Difference: d.difference, Gap: d.gap,
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
// chain. A shape that differs from the one sent last becomes the next version. It reports
// whether the source can be asked to keep changes of the table: also of a dataset that stands
// still, so that its release finds the source as it left it.
func (c *Capture) openDataset(ctx context.Context, d *dataset, tables []connector.Table) (readable bool, err error) {
	id := d.definition.Dataset
	saved, err := c.State.Load(ctx, id)
	if err != nil {
		return false, fmt.Errorf("capture: load state of %s: %w", id, err)
	}
	if d.chain, err = openChain(ctx, c.Spool, d.stream, saved.Head); err != nil {
		return false, err
	}
	d.saved, d.gap, d.again = saved, saved.Gap, saved.Again
	d.snapshot = saved.SnapshotDone
	d.base = lienthong.Position{Order: math.MaxUint64} // until the stream has caught up
	d.members = nil
	table, err := findTable(d.definition, tables)
	if err != nil {
		return false, explain(d, saved.Baseline.Layout, nil, err)
	}
	d.table = table
	baseline := Baseline{Layout: layoutOf(&table), Mapping: mappingDigest(d.definition)}
	worker, err := c.fit(d, &table, &saved)
	if err != nil {
		return len(table.Key) > 0, explain(d, saved.Baseline.Layout, &table, err)
	}
	if err := c.loadRecords(ctx, d, worker.mapper.Filtered()); err != nil {
		return false, err
	}
	d.worker, d.live = worker, worker.clone()
	if saved.Shape == nil || saved.Shape.Version != worker.shape.Version || !saved.ShapeSent || d.chain.sequence == 0 {
		first, err := c.shapeShipment(d, worker.shape)
		if err != nil {
			return false, err
		}
		// The sealer does not run yet, so this is its only user.
		if err := c.sealer.ship(ctx, first); err != nil {
			return false, err
		}
	}
	d.sent(worker.shape)
	return true, c.resume(ctx, d, baseline)
}

// sent remembers the newest shape and the kinds of its fields.
func (d *dataset) sent(shape *lienthong.Shape) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.saved.Sent == nil {
		d.saved.Sent = map[string]lienthong.Kind{}
	}
	for _, field := range shape.Fields {
		d.saved.Sent[field.Name] = field.Kind
	}
	d.saved.Shape = shape
}

// resume notes that the dataset runs, and from what, before any change of it is taken.
func (c *Capture) resume(ctx context.Context, d *dataset, baseline Baseline) error {
	before := d.saved.Baseline
	now := c.Now().UnixMicro()
	switch {
	case d.gap != nil && d.gap.Resumed == 0 && d.gap.Code != GapReleased: // a released log resumes with Start
		gap := *d.gap
		gap.Resumed = now
		if err := c.saveGap(ctx, d, &gap); err != nil {
			return err
		}
		c.notify(ctx, Notice{Code: "dataset.resumed", Dataset: d.stream.Dataset, Vi: "tập dữ liệu chạy lại; phần chênh lệch đang được đối chiếu và bù", En: "the dataset runs again; what differs is being compared and sent"})
	case d.gap == nil && d.snapshot && before.Mapping != "" && before.Mapping != baseline.Mapping:
		if err := c.saveGap(ctx, d, &Gap{Code: GapMapping, Since: now, Resumed: now}); err != nil {
			return err
		}
	case d.gap == nil && d.snapshot && before.Mapping != "" && !before.Layout.same(&baseline.Layout):
		if err := c.saveGap(ctx, d, &Gap{Code: GapSchema, Since: now, Resumed: now}); err != nil {
			return err
		}
	}
	if err := c.State.SaveBaseline(ctx, d.stream.Dataset, baseline); err != nil {
		return fmt.Errorf("capture: save what %s was compiled from: %w", d.stream.Dataset, err)
	}
	d.saved.Baseline = baseline
	return nil
}

// loadRecords reads what is known of single records.
func (c *Capture) loadRecords(ctx context.Context, d *dataset, filtered bool) error {
	id := d.stream.Dataset
	d.open = map[string]int64{}
	open, err := c.State.OpenRecords(ctx, id)
	if err != nil {
		return fmt.Errorf("capture: load findings of %s: %w", id, err)
	}
	for _, record := range open {
		d.open[record] = 0
	}
	if d.overrides, err = c.State.Overrides(ctx, id); err != nil {
		return fmt.Errorf("capture: load decisions on %s: %w", id, err)
	}
	if !filtered {
		return nil
	}
	d.members = newMembers()
	if err := c.State.Members(ctx, id, d.members.load); err != nil {
		return fmt.Errorf("capture: load members of %s: %w", id, err)
	}
	return nil
}

func findTable(definition *dictionary.Definition, tables []connector.Table) (connector.Table, error) {
	at := slices.IndexFunc(tables, func(t connector.Table) bool { return t.Name == definition.Table })
	if at < 0 {
		return connector.Table{}, &lienthong.Error{
			Code: "dataset.table", Where: definition.Dataset.String() + ": " + definition.Table,
			Vi: "nguồn không có bảng này", En: "the source has no such table",
			Hint: "kiểm tra tên bảng và quyền đọc / check the table's name and the right to read it",
		}
	}
	return tables[at], nil
}

// fit makes a worker for the table as it is now, or says why the dataset cannot run on it.
// When the shape is the same as before it keeps its version.
func (c *Capture) fit(d *dataset, table *connector.Table, saved *Saved) (*worker, error) {
	where := d.definition.Dataset.String()
	if len(table.Key) == 0 {
		return nil, keyless(where, table, d.definition.NamesWholeRows())
	}
	version := 1
	if saved.Shape != nil {
		version = saved.Shape.Version
	}
	mapper, err := c.compile(d.definition, table, version, saved)
	if err != nil {
		return nil, err
	}
	if saved.Shape != nil && !sameShape(saved.Shape, mapper.Shape) {
		if !slices.Equal(identityNames(saved.Shape), identityNames(mapper.Shape)) {
			return nil, &lienthong.Error{
				Code: "definition.identity_changed", Where: where + ": " + strings.Join(identityNames(saved.Shape), ", ") + " -> " + strings.Join(identityNames(mapper.Shape), ", "),
				Vi: "định danh của bản ghi đã gửi không thể đổi", En: "the identity of records that were sent cannot change",
				Hint: "giữ identity cũ, hoặc đặt tên tập dữ liệu mới / keep the identity, or make it a new dataset",
			}
		}
		if mapper, err = c.compile(d.definition, table, version+1, saved); err != nil {
			return nil, err
		}
	}
	if err := checkIdentity(d.definition, table, mapper.Checked()); err != nil {
		return nil, err
	}
	if err := checkKey(d.definition, table, saved); err != nil {
		return nil, err
	}
	if err := mapper.Keys(c.FieldKeys); err != nil {
		return nil, err
	}
	checker, err := quality.Compile(mapper.Checked(), mapper.Rules(), quality.DictionaryLists(c.Dictionary), c.Now)
	if err != nil {
		return nil, err
	}
	return newWorker(c, d, table.Columns, mapper, checker), nil
}

// compile binds the definition to the columns. The hub keeps a column for every field that
// was ever sent, and its kind cannot change: an unmapped column that comes back with
// another kind gets a field of another name, a mapped one is refused.
func (c *Capture) compile(definition *dictionary.Definition, table *connector.Table, version int, saved *Saved) (*dictionary.Mapper, error) {
	mapper, err := c.Dictionary.Compile(definition, table.Columns, version)
	if err != nil {
		return nil, err
	}
	for i := range mapper.Shape.Fields {
		field := &mapper.Shape.Fields[i]
		kind, sent := saved.Sent[field.Name]
		if !sent || kind == field.Kind {
			continue
		}
		if field.Mapped {
			return nil, &lienthong.Error{
				Code: "definition.field_kind", Where: definition.Dataset.String() + ": " + field.Name,
				Vi:   fmt.Sprintf("trường đã gửi theo kiểu %s, không đổi sang %s được", kind, field.Kind),
				En:   fmt.Sprintf("the field was sent as %s and cannot become %s", kind, field.Kind),
				Hint: "đặt tên khác bằng field: / give it another name with field:",
			}
		}
		name := field.Name + "_" + field.Kind.String()
		for n := 2; mapper.Checked().FieldIndex(name) >= 0 || otherKind(saved.Sent, name, field.Kind); n++ {
			name = fmt.Sprintf("%s_%s_%d", field.Name, field.Kind, n)
		}
		if at := mapper.Checked().FieldIndex(field.Name); at >= 0 {
			mapper.Checked().Fields[at].Name = name
		}
		field.Name = name
	}
	return mapper, nil
}

func otherKind(sent map[string]lienthong.Kind, name string, kind lienthong.Kind) bool {
	before, known := sent[name]
	return known && before != kind
}

func identityNames(shape *lienthong.Shape) []string {
	names := make([]string, len(shape.Identity))
	for i, field := range shape.Identity {
		names[i] = shape.Fields[field].Name
	}
	return names
}

// keyless explains why a table without a key cannot be read as it is.
func keyless(where string, table *connector.Table, whole bool) error {
	e := &lienthong.Error{
		Code: "dataset.no_key", Where: where + ": " + table.Name,
		Vi: "bảng không có khoá nên không gọi tên được bản ghi đã xoá hay đã sửa", En: "the table has no key, so a record that was deleted or changed cannot be named",
		Hint: "thêm khoá chính; hoặc để nguồn ghi cả dòng cũ và dùng identity: ['*'] / add a primary key; or let the source log whole old rows and use identity: ['*']",
	}
	if whole {
		e.Code = "dataset.no_old_rows"
		e.Vi = "identity: ['*'] cần nguồn ghi cả dòng cũ khi sửa, xoá, và nguồn này chưa làm vậy"
		e.En = "identity: ['*'] needs whole old rows of updates and deletes, and this source does not log them"
		e.Hint = "PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL; MySQL: binlog_row_image = FULL; hoặc thêm khoá chính / or add a primary key"
	}
	return e
}

// checkIdentity makes sure that a deleted row, of which the source gives only the
// key, can be named: every identity field comes from key columns.
func checkIdentity(definition *dictionary.Definition, table *connector.Table, checked *lienthong.Shape) error {
	where := definition.Dataset.String() + ": "
	if definition.NamesWholeRows() {
		if len(table.Key) == len(table.Columns) {
			return nil
		}
		names := make([]string, len(table.Key))
		for i, column := range table.Key {
			names[i] = table.Columns[column].Name
		}
		return &lienthong.Error{
			Code: "dataset.identity", Where: where + table.Name,
			Vi: "bảng có khoá, không cần định danh bằng cả dòng", En: "the table has a key and needs no identity of whole rows",
			Hint: "identity: dùng các trường lấy từ / use the fields made from: " + strings.Join(names, ", "),
		}
	}
	for _, i := range checked.Identity {
		for _, column := range columnsOf(definition, &checked.Fields[i]) {
			if !slices.Contains(table.Key, table.ColumnIndex(column)) {
				return &lienthong.Error{
					Code: "dataset.identity", Where: where + column,
					Vi: "cột định danh không thuộc khóa chính của bảng", En: "the identity column is not part of the table's key",
					Hint: "chọn cột khóa làm định danh bản ghi / use the key columns as the record's identity",
				}
			}
		}
	}
	return nil
}

// checkKey refuses a key that has become another while the mapping has not: the identity may
// no longer tell records apart. A mapping that was agreed upon since is a person's word that it does.
func checkKey(definition *dictionary.Definition, table *connector.Table, saved *Saved) error {
	before := saved.Baseline
	if before.Mapping == "" || before.Mapping != mappingDigest(definition) || definition.NamesWholeRows() {
		return nil
	}
	now := layoutOf(table)
	if sameNames(before.Layout.Key, now.Key) {
		return nil
	}
	return &lienthong.Error{
		Code: "schema.key", Where: definition.Dataset.String() + ": " + table.Name,
		Vi:   "khoá của bảng đã đổi: " + strings.Join(before.Layout.Key, ", ") + " -> " + strings.Join(now.Key, ", "),
		En:   "the table's key has changed: " + strings.Join(before.Layout.Key, ", ") + " -> " + strings.Join(now.Key, ", "),
		Hint: "xác nhận identity vẫn phân biệt được từng bản ghi / confirm that the identity still tells records apart",
	}
}

// columnsOf lists the source columns that a field is made from.
func columnsOf(definition *dictionary.Definition, field *lienthong.Field) []string {
	for i := range definition.Columns {
		m := &definition.Columns[i]
		if m.Field == field.Name || m.Field == "" && field.Element != "" && m.Element == field.Element {
			return mappedColumns(m)
		}
	}
	return nil
}

func mappedColumns(m *dictionary.ColumnMapping) []string {
	if m.Column != "" {
		return []string{m.Column}
	}
	return m.Columns
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
		// Remembered before it can be anywhere else: another shape never gets its number.
		before:  func(ctx context.Context) error { return c.State.SaveShape(ctx, shape) },
		durable: func(ctx context.Context) error { return c.State.ShapeSent(ctx, shape.Dataset, shape.Version) },
	}, nil
}

package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

// ErrEnough ends Rows.Each early, without an error: its caller has what it wants.
var ErrEnough = errors.New("capture: enough rows")

// RowQuery says which rows are wanted. Its zero value is every row of the dataset.
type RowQuery struct {
	// Records are digests as in findings (quality.RecordDigest). Reading ends when all of them
	// were delivered. Nil: not limited to some.
	Records map[string]struct{}
	// Failing leaves out rows that break no rule. Rule and Field limit which; either may be empty.
	Failing     bool
	Rule, Field string
}

// RowNow is a record as it is at the source now. Everything in it is valid until the next row.
type RowNow struct {
	Record string            // the digest by which findings name it
	Values []lienthong.Value // as rules see them, by Rows.Checker's shape
	Source []lienthong.Value // as the source has them, by Rows.Source
	Failed []int             // the rules that it breaks now and that were asked for, by index
}

// Rows reads the records of one dataset from one view of the source, for people at this node who
// put them right. It changes nothing: neither at the source nor in what is known of records, and
// nothing of it goes to the hub. It belongs to one goroutine, and must be closed.
type Rows struct {
	worker  *worker
	view    connector.View
	table   int
	aligned *alignment
	chunk   int
	source  *lienthong.Shape
	checked []lienthong.Value // scratch of AtSource
}

// OpenRows opens a view of the source for a dataset that runs.
func (c *Capture) OpenRows(ctx context.Context, dataset lienthong.DatasetID) (*Rows, error) {
	d, table := c.tableOf(dataset)
	if d == nil {
		return nil, noDataset(dataset)
	}
	if err := d.stopped(); err != nil {
		return nil, err
	}
	if table < 0 {
		return nil, notReady(dataset)
	}
	viewCtx, cancel := context.WithTimeout(ctx, viewTimeout)
	view, err := c.Source.View(viewCtx)
	cancel()
	if err != nil {
		return nil, fmt.Errorf("capture: open view of %s: %w", dataset, err)
	}
	rows, err := c.rowsOf(view, d, table)
	if err != nil {
		return nil, errors.Join(err, view.Close())
	}
	return rows, nil
}

func (c *Capture) tableOf(dataset lienthong.DatasetID) (*dataset, int) {
	d := c.find(dataset)
	c.mu.Lock()
	defer c.mu.Unlock()
	return d, slices.Index(c.byTable, d)
}

func (c *Capture) rowsOf(view connector.View, d *dataset, table int) (*Rows, error) {
	// A session that began meanwhile may number tables otherwise.
	if now, at := c.tableOf(d.stream.Dataset); now != d || at != table {
		return nil, notReady(d.stream.Dataset)
	}
	d.mu.Lock()
	w, key := d.worker, d.table
	d.mu.Unlock()
	if w == nil {
		return nil, notReady(d.stream.Dataset)
	}
	w = w.clone()
	aligned, err := align(view, table, w)
	if err != nil {
		return nil, err
	}
	source := &lienthong.Shape{Dataset: d.stream.Dataset, Version: w.shape.Version}
	for _, column := range w.columns {
		source.Fields = append(source.Fields, lienthong.Field{Name: column.Name, Kind: column.Kind, LabelVi: column.Name, LabelEn: column.Name})
	}
	for _, i := range key.Key {
		if at := source.FieldIndex(key.Columns[i].Name); at >= 0 {
			source.Identity = append(source.Identity, at)
		}
	}
	return &Rows{
		worker: w, view: view, table: table, aligned: aligned, chunk: c.ChunkRows, source: source,
		checked: make([]lienthong.Value, len(w.checked)),
	}, nil
}

func notReady(dataset lienthong.DatasetID) error {
	return &lienthong.Error{
		Code: "dataset.not_ready", Where: dataset.String(), Vi: "tập dữ liệu đang khởi động lại, chưa đọc được", En: "the dataset is starting again and cannot be read yet",
		Hint: "thử lại sau giây lát / try again in a moment",
	}
}

// Close ends the view.
func (r *Rows) Close() error { return r.view.Close() }

// Checker has the shape and rules of the dataset, for the caller's own use.
func (r *Rows) Checker() *quality.Checker { return r.worker.checker.Clone() }

// Shape is that of the rows as rules see them.
func (r *Rows) Shape() *lienthong.Shape { return r.worker.mapper.Checked() }

// Source is the table's columns; its identity is the table's key.
func (r *Rows) Source() *lienthong.Shape { return r.source }

// Each delivers rows as of the view, in no order. Memory does not grow with their number. Rows
// that do not belong to the dataset are not delivered.
func (r *Rows) Each(ctx context.Context, query RowQuery, each func(*RowNow) error) error {
	chunks, err := r.view.Chunks(ctx, r.table, r.chunk)
	if err != nil {
		return r.wrap(err)
	}
	reading := rowReading{rows: r, query: query, left: len(query.Records), seen: map[uint64]struct{}{}, each: each}
	if query.Records != nil && reading.left == 0 {
		return nil
	}
	for _, chunk := range chunks {
		err := r.view.Read(ctx, r.table, chunk, reading.row)
		if errors.Is(err, ErrEnough) {
			return nil
		}
		if err != nil {
			return r.wrap(err)
		}
	}
	return nil
}

func (r *Rows) wrap(err error) error {
	return fmt.Errorf("capture: read rows of %s: %w", r.worker.dataset.stream.Dataset, err)
}

// rowReading is one call of Each.
type rowReading struct {
	rows  *Rows
	query RowQuery
	left  int                 // of query.Records
	seen  map[uint64]struct{} // of whole rows and of query.Records, which are delivered once
	now   RowNow
	each  func(*RowNow) error
}

func (r *rowReading) row(row *connector.Row) error {
	w := r.rows.worker
	row = r.rows.aligned.row(row)
	o := w.take(row)
	if o == outside || o == unsaid {
		return nil
	}
	r.now.Failed = r.now.Failed[:0]
	for _, i := range w.verdict.Failed {
		rule := &w.rules[i]
		if (r.query.Rule == "" || r.query.Rule == rule.Code) && (r.query.Field == "" || r.query.Field == rule.Field) {
			r.now.Failed = append(r.now.Failed, i)
		}
	}
	if r.query.Failing && len(r.now.Failed) == 0 {
		return nil
	}
	id := w.recordID(o)
	r.now.Record = quality.RecordDigest(w.capture.RecordKey, w.dataset.stream.Dataset, string(id))
	if r.query.Records != nil {
		if _, wanted := r.query.Records[r.now.Record]; !wanted {
			return nil
		}
	}
	if r.query.Records != nil || w.dataset.definition.NamesWholeRows() {
		digest := memberDigest(id)
		if _, twice := r.seen[digest]; twice {
			return nil
		}
		r.seen[digest] = struct{}{}
	}
	r.now.Values, r.now.Source = w.checked, row.Values
	if err := r.each(&r.now); err != nil {
		return err
	}
	if r.query.Records == nil {
		return nil
	}
	if r.left--; r.left == 0 {
		return ErrEnough
	}
	return nil
}

// ColumnValue is what a column of the source should hold.
type ColumnValue struct {
	Column int // of Rows.Source
	Value  lienthong.Value
}

// AtSource tells what the source's columns must hold so that the mapping makes the given values
// of them: fields are indexes into the checker's shape, source is the whole row as it is. The
// result was put through the mapping: with it the fields have exactly these values, no other
// field changes, and the record still belongs to the dataset. It is false where that cannot be said: a
// field that is made of several columns, a code that the source can write in several ways.
func (r *Rows) AtSource(source []lienthong.Value, fields []int, values []lienthong.Value) ([]ColumnValue, bool) {
	w, shape := r.worker, r.worker.mapper.Checked()
	row := slices.Clone(source)
	want := r.mapped(row)
	var out []ColumnValue
	for n, field := range fields {
		column, m := w.origin(field)
		if column < 0 || slices.ContainsFunc(out, func(c ColumnValue) bool { return c.Column == column }) {
			return nil, false
		}
		want[field] = values[n]
		found := false
		for _, candidate := range sourceForms(w.dataset.definition, m, shape.Fields[field].Kind, w.columns[column].Kind, &values[n]) {
			row[column] = candidate
			if w.mapper.Map(row, r.checked); sameValue(&r.checked[field], &values[n], shape.Fields[field].Kind) {
				out = append(out, ColumnValue{column, candidate})
				found = true
				break
			}
		}
		if !found {
			return nil, false
		}
	}
	w.mapper.Map(row, r.checked)
	for i := range want {
		if !sameValue(&want[i], &r.checked[i], shape.Fields[i].Kind) {
			return nil, false
		}
	}
	return out, !w.filtered || w.mapper.Scope(row, r.checked) == dictionary.Inside
}

// mapped is the row as rules see it, in memory of its own.
func (r *Rows) mapped(row []lienthong.Value) []lienthong.Value {
	r.worker.mapper.Map(row, r.checked)
	out := slices.Clone(r.checked)
	for i := range out {
		out[i].Bytes = bytes.Clone(out[i].Bytes)
	}
	return out
}

func sameValue(a, b *lienthong.Value, kind lienthong.Kind) bool {
	switch {
	case a.State != b.State:
		return false
	case a.State == lienthong.Malformed || a.State == lienthong.Present && kind.InBytes():
		return bytes.Equal(a.Bytes, b.Bytes)
	}
	return a.State != lienthong.Present || a.Int == b.Int
}

// origin is the one column that a field is made from, or -1, and its mapping, when it has one.
func (w *worker) origin(field int) (int, *dictionary.ColumnMapping) {
	f := &w.mapper.Checked().Fields[field]
	name := f.Name
	var mapping *dictionary.ColumnMapping
	if f.Mapped {
		definition := w.dataset.definition
		at := slices.IndexFunc(definition.Columns, func(m dictionary.ColumnMapping) bool {
			return m.Field == f.Name || m.Field == "" && f.Element != "" && m.Element == f.Element
		})
		if at < 0 {
			return -1, nil
		}
		mapping = &definition.Columns[at]
		if name = mapping.Column; name == "" {
			return -1, nil
		}
	}
	return slices.IndexFunc(w.columns, func(c lienthong.Column) bool { return c.Name == name }), mapping
}

// sourceForms are the ways in which a source with such a mapping may write a value, the likeliest
// first. Which of them the mapping understands is for the caller to find out.
func sourceForms(definition *dictionary.Definition, m *dictionary.ColumnMapping, kind, column lienthong.Kind, v *lienthong.Value) []lienthong.Value {
	if v.State != lienthong.Present {
		return []lienthong.Value{{State: lienthong.Null}}
	}
	text := string(v.AppendText(nil, kind))
	texts := []string{text}
	if m != nil {
		texts = writtenForms(definition, m, kind, text, v)
	}
	var forms []lienthong.Value
	for _, t := range texts {
		switch column {
		case lienthong.Text:
			forms = append(forms, lienthong.Value{State: lienthong.Present, Bytes: []byte(t)})
		case lienthong.Integer:
			if n, err := strconv.ParseInt(t, 10, 64); err == nil {
				forms = append(forms, lienthong.Value{State: lienthong.Present, Int: n})
			}
		case lienthong.Decimal, lienthong.Date, lienthong.Boolean:
			if column == kind && t == text {
				forms = append(forms, *v)
			}
		case lienthong.Real, lienthong.Timestamp, lienthong.Binary:
			// How a statement would have to write these is up to the engine and its settings.
		}
	}
	return forms
}

// writtenForms are the texts that the transformations of a column may be made for.
func writtenForms(definition *dictionary.Definition, m *dictionary.ColumnMapping, kind lienthong.Kind, text string, v *lienthong.Value) []string {
	var layouts []string
	for _, transform := range m.Transforms {
		name, argument, _ := strings.Cut(transform, ":")
		switch {
		case name == "date" && kind == lienthong.Date:
			layouts = append(layouts, time.Unix(v.Int*86400, 0).UTC().Format(argument))
		case name == "code":
			// Only the definition says how this source writes a code. The dictionary's own code would
			// pass the mapping, and mean nothing to the owner's system.
			var written []string
			for form, code := range definition.Codes[argument] {
				if code == text {
					written = append(written, form)
				}
			}
			if len(written) != 1 {
				return nil
			}
			text = written[0]
		case transform == "decimal:comma":
			text = strings.Replace(text, ".", ",", 1)
		}
	}
	if len(layouts) > 0 {
		return layouts
	}
	return []string{text}
}

package feed

import (
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/store"
)

// rowGroupRows and rowGroupBytes bound the memory of a row group that is being filled.
const (
	rowGroupRows  = 50_000
	rowGroupBytes = 16 << 20
)

// ordered is a group whose columns keep their order; parquet.Group sorts them.
type ordered struct {
	parquet.Group
	names []string
}

// Fields implements parquet.Node.
func (o ordered) Fields() []parquet.Field {
	fields := o.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(o.names, a.Name()) - slices.Index(o.names, b.Name())
	})
	return fields
}

// GoType implements parquet.Node. Rows are written column by column, never as Go structs,
// and not every field's name could be one of a struct.
func (o ordered) GoType() reflect.Type { return reflect.TypeFor[struct{}]() }

// parquetNode is the type of a column. Decimals are text: their precision is not
// known, and text is exact. What a date or a timestamp has no number for, infinity, is the
// largest and the smallest number, as PostgreSQL has it.
func parquetNode(kind lienthong.Kind) parquet.Node {
	switch kind {
	case lienthong.Integer:
		return parquet.Int(64)
	case lienthong.Real:
		return parquet.Leaf(parquet.DoubleType)
	case lienthong.Boolean:
		return parquet.Leaf(parquet.BooleanType)
	case lienthong.Date:
		return parquet.Date()
	case lienthong.Timestamp:
		return parquet.Timestamp(parquet.Microsecond)
	case lienthong.Binary:
		return parquet.Leaf(parquet.ByteArrayType)
	case lienthong.Text, lienthong.Decimal:
	}
	return parquet.String()
}

// bookColumns stand before the fields in bulk files: the record's opaque id, its version, and
// when it changed at the source.
func bookColumns() []string { return []string{"_id", "_version", "_at"} }

type parquetFile struct {
	reader *reader
	out    *parquet.GenericWriter[any]
	row    parquet.Row
	rows   int
	size   int
}

func newParquetFile(r *reader, out io.Writer) *parquetFile {
	book := bookColumns()
	group := ordered{Group: parquet.Group{}, names: slices.Concat(book, r.Fields)}
	group.Group[book[0]] = parquet.String()
	group.Group[book[1]] = parquet.Int(64)
	group.Group[book[2]] = parquet.Timestamp(parquet.Microsecond)
	for i, name := range r.Fields {
		group.Group[name] = parquet.Optional(parquetNode(r.view.Fields[i].Kind))
	}
	schema := parquet.NewSchema(r.Dataset.String(), group)
	return &parquetFile{reader: r, out: parquet.NewGenericWriter[any](out, schema, parquet.Compression(&parquet.Zstd))}
}

func (p *parquetFile) write(rec *store.FeedRecord) error {
	id := p.reader.recordID(rec.Stream, rec.ID)
	p.row = append(p.row[:0],
		parquet.ByteArrayValue([]byte(id)).Level(0, 0, 0),
		parquet.Int64Value(rec.Version).Level(0, 0, 1),
		parquet.Int64Value(rec.At).Level(0, 0, 2),
	)
	for i := range p.reader.Fields {
		v := &rec.Values[i]
		column := len(bookColumns()) + i
		if v.State != lienthong.Present {
			p.row = append(p.row, parquet.NullValue().Level(0, 0, column))
			continue
		}
		p.row = append(p.row, parquetValue(p.reader.view.Fields[i].Kind, v).Level(0, 1, column))
		p.size += 8 + len(v.Bytes)
	}
	if _, err := p.out.WriteRows([]parquet.Row{p.row}); err != nil {
		return fmt.Errorf("feed: write Parquet: %w", err)
	}
	p.rows++
	if p.rows < rowGroupRows && p.size < rowGroupBytes {
		return nil
	}
	p.rows, p.size = 0, 0
	if err := p.out.Flush(); err != nil {
		return fmt.Errorf("feed: write Parquet: %w", err)
	}
	return nil
}

func parquetValue(kind lienthong.Kind, v *lienthong.Value) parquet.Value {
	switch kind {
	case lienthong.Real:
		return parquet.DoubleValue(math.Float64frombits(uint64(v.Int)))
	case lienthong.Boolean:
		return parquet.BooleanValue(v.Int != 0)
	case lienthong.Date:
		return parquet.Int32Value(int32(min(max(v.Int, math.MinInt32), math.MaxInt32)))
	case lienthong.Integer, lienthong.Timestamp:
		return parquet.Int64Value(v.Int)
	case lienthong.Text, lienthong.Decimal, lienthong.Binary:
	}
	return parquet.ByteArrayValue(v.Bytes)
}

func (p *parquetFile) close() error {
	if err := p.out.Close(); err != nil {
		return fmt.Errorf("feed: end Parquet: %w", err)
	}
	return nil
}

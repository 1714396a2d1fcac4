package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
)

// typeNames is what differs between engines in the definition of a record table.
type typeNames struct {
	kinds         [lienthong.Binary + 1]string
	id, flag, at  string // identity, boolean, moment
	tableOptions  string
	migrationLock string
	lockRow       string                 // appended to a SELECT whose rows the transaction is about to change
	keyTable      string                 // a table k with a column value, from one parameter
	keyList       func(ids []string) any // that parameter
}

// layout is a shape as it lies in a record table.
type layout struct {
	table   string // quoted
	shape   *lienthong.Shape
	columns []string // quoted, one per field
}

type layoutKey struct {
	dataset lienthong.DatasetID
	version int
}

// presence is what a table says of a record.
type presence uint8

const (
	absent presence = iota
	live
	held
	deleted
)

func presenceOf(isDeleted, isHeld bool) presence {
	switch {
	case isDeleted:
		return deleted
	case isHeld:
		return held
	}
	return live
}

// maxColumnName is PostgreSQL's limit in bytes.
const maxColumnName = 63

// takenNames are column names that cannot be a field's: ours, and the system
// columns of PostgreSQL. A field of that name gets the column "f_name".
func takenNames() []string {
	return []string{
		"_id", "_stream", "_version", "_deleted", "_held", "_source_at", "_received_at", "_batch", "_group",
		"ctid", "oid", "tableoid", "xmin", "xmax", "cmin", "cmax", "rowid",
	}
}

func columnName(field string) string {
	if slices.Contains(takenNames(), strings.ToLower(field)) {
		return "f_" + field
	}
	return field
}

// quote makes any text an SQL identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func newLayout(table string, shape *lienthong.Shape) *layout {
	l := &layout{table: quote(table), shape: shape}
	for i := range shape.Fields {
		l.columns = append(l.columns, quote(columnName(shape.Fields[i].Name)))
	}
	return l
}

func checkShape(shape *lienthong.Shape) error {
	bad := func(where, vi, en string) error {
		return &lienthong.Error{
			Code: "shape.invalid", Where: shape.Dataset.String() + " v" + strconv.Itoa(shape.Version) + " " + where,
			Vi: vi, En: en, Hint: "sửa định nghĩa tập dữ liệu / correct the dataset's definition",
		}
	}
	if _, err := lienthong.ParseDatasetID(shape.Dataset.String()); err != nil {
		return err
	}
	if shape.Version < 1 || len(shape.Fields) == 0 || len(shape.Identity) == 0 {
		return bad("", "cấu trúc thiếu phiên bản, trường hoặc định danh", "the shape lacks a version, fields or an identity")
	}
	if len(shape.Fields) > 1000 {
		return bad("", "cấu trúc có quá 1.000 trường", "the shape has more than 1,000 fields")
	}
	for _, i := range shape.Identity {
		if i < 0 || i >= len(shape.Fields) {
			return bad("", "định danh chỉ đến trường không có", "the identity names a field that is not there")
		}
	}
	seen := make(map[string]bool, len(shape.Fields))
	for i := range shape.Fields {
		field := &shape.Fields[i]
		column := columnName(field.Name)
		folded := strings.ToLower(column)
		switch {
		case field.Name == "" || len(column) > maxColumnName || strings.ContainsRune(column, 0):
			return bad(strconv.Quote(field.Name), "tên trường rỗng hoặc dài quá 63 byte", "the field's name is empty or longer than 63 bytes")
		case seen[folded]:
			return bad(strconv.Quote(field.Name), "hai trường chỉ khác nhau chữ hoa, chữ thường", "two fields differ in letter case only")
		case field.Kind > lienthong.Binary:
			return bad(strconv.Quote(field.Name), "kiểu dữ liệu không có", "no such kind of value")
		}
		seen[folded] = true
	}
	return nil
}

// DefineShape makes the store able to land batches of the shape: it creates the
// dataset's table, or adds the columns that are new. Columns that the shape no
// longer has stay with their values. It is idempotent. A shape that contradicts
// an earlier one (another kind for a field, another identity) is refused, because
// no value that has landed could be trusted afterwards.
func (s *Store) DefineShape(ctx context.Context, shape *lienthong.Shape) error {
	if err := checkShape(shape); err != nil {
		return err
	}
	if _, err := s.layout(ctx, s.engine.reader(), shape); err == nil {
		return nil
	} else if !errors.Is(err, &lienthong.Error{Code: "shape.unknown"}) {
		return err
	}
	return s.transact(ctx, func(w writer) error {
		// Definitions take turns, in every program that shares the database.
		if _, err := next(ctx, w, "shapes", 1); err != nil {
			return err
		}
		return s.defineShape(ctx, w, shape)
	})
}

func (s *Store) defineShape(ctx context.Context, w writer, shape *lienthong.Shape) error {
	earlier, err := shapesOf(ctx, w, shape.Dataset)
	if err != nil {
		return err
	}
	kinds := make(map[string]lienthong.Kind)
	for _, before := range earlier {
		if before.Version == shape.Version {
			return sameShape(before, shape)
		}
		if err := compatible(before, shape); err != nil {
			return err
		}
		for i := range before.Fields {
			kinds[strings.ToLower(columnName(before.Fields[i].Name))] = before.Fields[i].Kind
		}
	}
	table, created, err := tableOf(ctx, w, shape.Dataset)
	if err != nil {
		return err
	}
	l := newLayout(table, shape)
	names := s.engine.types()
	var ddl []string
	if created {
		ddl = append(ddl, createTable(l, &names))
	} else {
		for i := range shape.Fields {
			if _, there := kinds[strings.ToLower(columnName(shape.Fields[i].Name))]; !there {
				ddl = append(ddl, "ALTER TABLE "+l.table+" ADD COLUMN "+l.columns[i]+" "+names.kinds[shape.Fields[i].Kind])
			}
		}
	}
	for _, statement := range ddl {
		if err := w.script(ctx, statement); err != nil {
			return fmt.Errorf("store: define %s version %d: %w", shape.Dataset, shape.Version, err)
		}
	}
	body, err := json.Marshal(shape)
	if err != nil {
		return fmt.Errorf("store: encode shape of %s: %w", shape.Dataset, err)
	}
	_, err = w.exec(ctx, "INSERT INTO shapes (dataset, version, body, defined_at) VALUES (?, ?, ?, ?)",
		shape.Dataset.String(), int64(shape.Version), string(body), micros(s.config.Now()))
	if err != nil {
		return fmt.Errorf("store: keep shape of %s: %w", shape.Dataset, err)
	}
	return nil
}

func createTable(l *layout, names *typeNames) string {
	var b strings.Builder
	b.WriteString("CREATE TABLE " + l.table + " (\n  _id " + names.id + " NOT NULL,\n  _stream integer NOT NULL,\n")
	for i := range l.columns {
		b.WriteString("  " + l.columns[i] + " " + names.kinds[l.shape.Fields[i].Kind] + ",\n")
	}
	b.WriteString("  _version bigint NOT NULL,\n  _deleted " + names.flag + " NOT NULL,\n  _held " + names.flag +
		" NOT NULL,\n  _source_at " + names.at + " NOT NULL,\n  _received_at " + names.at +
		" NOT NULL,\n  _batch bigint NOT NULL,\n  PRIMARY KEY (_id, _stream)\n)" + names.tableOptions)
	return b.String()
}

// tableOf returns the name of the dataset's table, and registers one if there is none.
func tableOf(ctx context.Context, w writer, dataset lienthong.DatasetID) (name string, created bool, err error) {
	err = w.each(ctx, "SELECT table_name FROM datasets WHERE dataset = ?", []any{dataset.String()},
		func(scan scanFunc) error { return scan(&name) })
	if err != nil || name != "" {
		return name, false, err
	}
	name = "records_" + dataset.Database + "_" + dataset.Name
	var taken int64
	err = w.each(ctx, "SELECT count(*) FROM datasets WHERE table_name = ?", []any{name},
		func(scan scanFunc) error { return scan(&taken) })
	if err != nil {
		return "", false, err
	}
	if taken > 0 || len(name) > maxColumnName-5 { // room for "_pkey" and our staging tables
		// a_b.c and a.b_c would share a table; long names would be cut off.
		sum := sha256.Sum256([]byte(dataset.String()))
		name = name[:min(len(name), maxColumnName-14)] + "_" + hex.EncodeToString(sum[:4])
	}
	_, err = w.exec(ctx, "INSERT INTO datasets (dataset, table_name) VALUES (?, ?)", dataset.String(), name)
	return name, true, err
}

func shapesOf(ctx context.Context, in session, dataset lienthong.DatasetID) ([]*lienthong.Shape, error) {
	var shapes []*lienthong.Shape
	err := in.each(ctx, "SELECT body FROM shapes WHERE dataset = ? ORDER BY version", []any{dataset.String()},
		func(scan scanFunc) error {
			var body string
			if err := scan(&body); err != nil {
				return err
			}
			shape := new(lienthong.Shape)
			if err := json.Unmarshal([]byte(body), shape); err != nil {
				return err
			}
			shapes = append(shapes, shape)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("store: read shapes of %s: %w", dataset, err)
	}
	return shapes, nil
}

// Shapes lists all versions of a dataset's shape, oldest first.
func (s *Store) Shapes(ctx context.Context, dataset lienthong.DatasetID) ([]*lienthong.Shape, error) {
	return shapesOf(ctx, s.engine.reader(), dataset)
}

// Shape returns one version of a dataset's shape; version 0 stands for the newest.
func (s *Store) Shape(ctx context.Context, dataset lienthong.DatasetID, version int) (*lienthong.Shape, error) {
	shapes, err := shapesOf(ctx, s.engine.reader(), dataset)
	if err != nil {
		return nil, err
	}
	for i := len(shapes) - 1; i >= 0; i-- {
		if version == 0 || shapes[i].Version == version {
			return shapes[i], nil
		}
	}
	return nil, unknownShape(dataset, version)
}

func unknownShape(dataset lienthong.DatasetID, version int) error {
	return &lienthong.Error{
		Code: "shape.unknown", Where: dataset.String() + " v" + strconv.Itoa(version),
		Vi: "chưa có cấu trúc phiên bản này", En: "this version of the shape has not been defined",
		Hint: "nút phải gửi lô cấu trúc trước / the node must send the shape first",
	}
}

// layout finds the table of a shape that has been defined.
func (s *Store) layout(ctx context.Context, in session, shape *lienthong.Shape) (*layout, error) {
	key := layoutKey{shape.Dataset, shape.Version}
	s.mu.Lock()
	l := s.layouts[key]
	s.mu.Unlock()
	if l != nil {
		if l.shape == shape {
			return l, nil
		}
		return l, sameShape(l.shape, shape)
	}
	var table, body string
	err := in.each(ctx, `SELECT d.table_name, s.body FROM shapes s JOIN datasets d ON d.dataset = s.dataset
		WHERE s.dataset = ? AND s.version = ?`, []any{shape.Dataset.String(), int64(shape.Version)},
		func(scan scanFunc) error { return scan(&table, &body) })
	if err != nil {
		return nil, fmt.Errorf("store: find shape of %s: %w", shape.Dataset, err)
	}
	if table == "" {
		return nil, unknownShape(shape.Dataset, shape.Version)
	}
	known := new(lienthong.Shape)
	if err := json.Unmarshal([]byte(body), known); err != nil {
		return nil, fmt.Errorf("store: decode shape of %s: %w", shape.Dataset, err)
	}
	if err := sameShape(known, shape); err != nil {
		return nil, err
	}
	l = newLayout(table, known)
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.layouts[key]; other != nil {
		return other, nil
	}
	s.layouts[key] = l
	return l, nil
}

// sameShape compares what decides how values are stored. Labels may be reworded.
func sameShape(known, shape *lienthong.Shape) error {
	same := len(known.Fields) == len(shape.Fields) && slices.Equal(known.Identity, shape.Identity)
	for i := 0; same && i < len(known.Fields); i++ {
		same = known.Fields[i].Name == shape.Fields[i].Name && known.Fields[i].Kind == shape.Fields[i].Kind
	}
	if same {
		return nil
	}
	return &lienthong.Error{
		Code: "shape.changed", Where: shape.Dataset.String() + " v" + strconv.Itoa(shape.Version),
		Vi:   "cấu trúc cùng số phiên bản nhưng nội dung khác",
		En:   "the shape differs from the one already known by this version",
		Hint: "tăng số phiên bản của cấu trúc / give the shape a new version number",
	}
}

// compatible refuses what would make landed values mean something else.
func compatible(before, after *lienthong.Shape) error {
	where := after.Dataset.String() + " v" + strconv.Itoa(after.Version)
	for i := range after.Fields {
		field := &after.Fields[i]
		for j := range before.Fields {
			old := &before.Fields[j]
			if !strings.EqualFold(columnName(old.Name), columnName(field.Name)) {
				continue
			}
			if old.Kind != field.Kind || old.Name != field.Name {
				return &lienthong.Error{
					Code:  "shape.breaking",
					Where: fmt.Sprintf("%s %s: %s -> %s %s", where, old.Name, old.Kind, field.Name, field.Kind),
					Vi:    "trường đã có được đổi kiểu dữ liệu",
					En:    "a field that has landed changes its kind",
					Hint:  "đặt tên mới cho trường, hoặc chuyển đổi về kiểu cũ trong ánh xạ / give the field a new name, or map it to the old kind",
				}
			}
		}
	}
	if !slices.Equal(identityNames(before), identityNames(after)) {
		return &lienthong.Error{
			Code: "shape.breaking", Where: where,
			Vi: "định danh của bản ghi thay đổi", En: "the identity of records changes",
			Hint: "tạo tập dữ liệu mới / make it a new dataset",
		}
	}
	return nil
}

func identityNames(shape *lienthong.Shape) []string {
	names := make([]string, len(shape.Identity))
	for i, field := range shape.Identity {
		names[i] = shape.Fields[field].Name
	}
	return names
}

package push

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
)

// Format is the format of a field, in the words of the sheets that agencies exchange.
type Format string

// The formats of the standard sheet, and two that agencies write besides.
const (
	String   Format = "string"
	Int      Format = "int"  // 32 bits
	Long     Format = "long" // 64 bits
	Float    Format = "float"
	Double   Format = "double"
	Boolean  Format = "boolean"
	Object   Format = "object" // with members: one column each; without: kept as JSON text
	Date     Format = "date"   // 2006-01-02
	DateTime Format = "datetime"
)

// Schema declares one record type: what its messages must look like, and the table
// of the inbox that its records are kept in.
type Schema struct {
	// Type is the MaLoaiDuLieu of the messages, and the name of the table.
	Type string `json:"type" yaml:"type"`
	// Title is what people call it.
	Title string `json:"title,omitempty" yaml:"title"`
	// Key is the column that holds IdBanGhi. Default "IdBanGhi".
	Key string `json:"key" yaml:"key"`
	// Bare leaves the other parts of the envelope out of the table: MaDinhDanhDuLieu,
	// IdNguonDuLieu, PhanPhoi (as JSON), PhienBan and ThoiGianCapNhat.
	Bare bool `json:"bare,omitempty" yaml:"bare"`
	// Fields in the order of the table.
	Fields []Field `json:"fields" yaml:"fields"`
}

// Field is one field of a record type.
type Field struct {
	Name     string `json:"name" yaml:"name"`
	Parent   string `json:"parent,omitempty" yaml:"parent"` // the object that the field is a member of
	Format   Format `json:"format" yaml:"format"`
	Length   int    `json:"length,omitempty" yaml:"length"` // characters at most; 0: no limit
	Required bool   `json:"required,omitempty" yaml:"required"`
	About    string `json:"about,omitempty" yaml:"about"`
}

// Column is the name of the field's column: members of an object are joined to
// its name by an underscore.
func (f Field) Column() string {
	if f.Parent == "" {
		return f.Name
	}
	return f.Parent + "_" + f.Name
}

// The parts of the envelope that become columns of their own unless the schema is bare.
const (
	columnCode         = "MaDinhDanhDuLieu"
	columnSource       = "IdNguonDuLieu"
	columnDistribution = "PhanPhoi"
	columnVersion      = "PhienBan"
	columnUpdated      = "ThoiGianCapNhat"
	columnKey          = "IdBanGhi"
)

// column is a column of a table of the inbox.
type column struct {
	name, declared string
	field          int // index into Fields; -1 for the envelope
}

const maxFields = 1000

func declaredType(format Format) string {
	switch format {
	case String, Object:
		return "TEXT"
	case Int:
		return "INT"
	case Long:
		return "BIGINT"
	case Float:
		return "FLOAT"
	case Double:
		return "DOUBLE"
	case Boolean:
		return "BOOLEAN"
	case Date:
		return "DATE"
	case DateTime:
		return "DATETIME"
	}
	return ""
}

// columns are the table's columns: the key, the fields, the rest of the envelope.
// The envelope stands last in a new table; fields that come later stand behind it.
func (s *Schema) columns() []column {
	made := []column{{s.Key, "TEXT", -1}}
	for i, f := range s.Fields {
		made = append(made, column{f.Column(), declaredType(f.Format), i})
	}
	if !s.Bare {
		made = append(made,
			column{columnCode, "TEXT", -1}, column{columnSource, "TEXT", -1}, column{columnDistribution, "TEXT", -1},
			column{columnVersion, "BIGINT", -1}, column{columnUpdated, "DATETIME", -1})
	}
	return made
}

// check completes the schema and reports everything that is wrong with it.
func (s *Schema) check() error {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if s.Key == "" {
		s.Key = columnKey
	}
	typeName := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,99}$`)
	fieldName := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)
	if !typeName.MatchString(s.Type) || strings.HasPrefix(strings.ToLower(s.Type), "sqlite_") {
		fault("type %q", s.Type)
	}
	if !fieldName.MatchString(s.Key) {
		fault("key %q", s.Key)
	}
	if len(s.Fields) == 0 || len(s.Fields) > maxFields {
		fault("%d fields, want 1 to %d", len(s.Fields), maxFields)
	}
	parents := map[string]string{}
	for _, f := range s.Fields {
		where := strconv.Quote(f.Column())
		if !fieldName.MatchString(f.Name) || f.Parent != "" && !fieldName.MatchString(f.Parent) {
			fault("field name %s", where)
		}
		if declaredType(f.Format) == "" {
			fault("format %q of %s", f.Format, where)
		}
		if f.Length < 0 {
			fault("length %d of %s", f.Length, where)
		}
		if f.Parent != "" {
			if spelled, known := parents[fold(f.Parent)]; known && spelled != f.Parent {
				fault("%q and %q", spelled, f.Parent)
			}
			parents[fold(f.Parent)] = f.Parent
		}
	}
	seen := map[string]bool{}
	for _, c := range s.columns() {
		if seen[fold(c.name)] {
			fault("column %q twice", c.name)
		}
		seen[fold(c.name)] = true
	}
	for parent := range parents {
		if seen[parent] {
			fault("%q is a field and an object with members", parents[parent])
		}
	}
	if len(faults) == 0 {
		return nil
	}
	list := strings.Join(faults, "; ")
	return &lienthong.Error{
		Code: "push.schema", Where: s.Type,
		Vi: "khai báo loại dữ liệu sai: " + list, En: "the record type is declared wrongly: " + list,
		Hint: "tên chỉ gồm chữ cái không dấu, chữ số, gạch dưới; định dạng string, int, long, float, double, boolean, object, date, datetime / names are ASCII letters, digits and underscores",
	}
}

// Added compares a schema with a newer version of it. It returns the fields that the newer
// one adds. What takes away a field, or makes it another, is refused with the list: the
// records that are there would no longer fit.
func (s *Schema) added(newer *Schema) ([]Field, error) {
	var vi, en []string
	differ := func(v, e string) { vi, en = append(vi, v), append(en, e) }
	if s.Key != newer.Key {
		differ(fmt.Sprintf("cột khoá %s thành %s", s.Key, newer.Key), fmt.Sprintf("key column %s became %s", s.Key, newer.Key))
	}
	if s.Bare != newer.Bare {
		differ("thay đổi việc giữ phần phong bì (bare)", "bare has changed")
	}
	for _, old := range s.Fields {
		at := slices.IndexFunc(newer.Fields, func(f Field) bool { return f.Column() == old.Column() })
		switch {
		case at < 0:
			differ("mất trường "+old.Column(), "field "+old.Column()+" is gone")
		case newer.Fields[at].Format != old.Format:
			differ(fmt.Sprintf("trường %s từ %s thành %s", old.Column(), old.Format, newer.Fields[at].Format),
				fmt.Sprintf("field %s was %s and is %s", old.Column(), old.Format, newer.Fields[at].Format))
		case newer.Fields[at].Parent != old.Parent:
			differ("trường "+old.Column()+" chuyển sang đối tượng khác", "field "+old.Column()+" moved to another object")
		}
	}
	if len(vi) > 0 {
		return nil, &lienthong.Error{
			Code: "push.schema_conflict", Where: newer.Type,
			Vi:   "phiên bản mới của loại dữ liệu không tương thích: " + strings.Join(vi, "; "),
			En:   "the newer version of the record type is not compatible: " + strings.Join(en, "; "),
			Hint: "giữ các trường cũ và thêm trường mới, hoặc khai báo loại dữ liệu khác / keep the old fields and add new ones, or declare another record type",
		}
	}
	var added []Field
	for _, f := range newer.Fields {
		if !slices.ContainsFunc(s.Fields, func(old Field) bool { return old.Column() == f.Column() }) {
			added = append(added, f)
		}
	}
	return added, nil
}

// fold makes spellings of one name equal: HoTen, hoTen.
func fold(name string) string { return strings.ToLower(name) }

// recordType is a declared schema as the decoder and the writer use it. It never changes;
// a newer version is a new one.
type recordType struct {
	Schema
	no     int64          // in the inbox
	byName map[string]int // folded column name -> index into Fields
	upsert string         // statements
	remove string
}

func newRecordType(no int64, s Schema) *recordType {
	t := &recordType{Schema: s, no: no, byName: make(map[string]int, len(s.Fields))}
	var names, marks, sets strings.Builder
	for i, c := range t.columns() {
		if c.field >= 0 {
			t.byName[fold(c.name)] = c.field
		}
		if i > 0 {
			names.WriteString(", ")
			marks.WriteString(", ")
			if i > 1 {
				sets.WriteString(", ")
			}
			sets.WriteString(quote(c.name) + " = excluded." + quote(c.name))
		}
		names.WriteString(quote(c.name))
		marks.WriteString("?")
	}
	t.upsert = "INSERT INTO " + quote(s.Type) + " (" + names.String() + ") VALUES (" + marks.String() + ") ON CONFLICT (" +
		quote(s.Key) + ") DO UPDATE SET " + sets.String()
	t.remove = "DELETE FROM " + quote(s.Type) + " WHERE " + quote(s.Key) + " = ?"
	return t
}

// create is the statement that makes the table.
func (s *Schema) create() string {
	var b strings.Builder
	b.WriteString("CREATE TABLE " + quote(s.Type) + " (")
	for i, c := range s.columns() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(c.name) + " " + c.declared)
		if i == 0 {
			b.WriteString(" NOT NULL PRIMARY KEY")
		}
	}
	b.WriteString(")")
	return b.String()
}

func (s *Schema) encode() (string, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("push: encode schema: %w", err)
	}
	return string(body), nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func decodeSchema(body string) (Schema, error) {
	var s Schema
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		return Schema{}, fmt.Errorf("push: decode schema: %w", err)
	}
	return s, nil
}

// merged is the newer version with the fields in the order of the table: the old ones, as
// the newer version has them, then those it adds.
func (s *Schema) merged(newer *Schema, added []Field) Schema {
	made := *newer
	made.Fields = make([]Field, 0, len(newer.Fields))
	for _, old := range s.Fields {
		at := slices.IndexFunc(newer.Fields, func(f Field) bool { return f.Column() == old.Column() })
		made.Fields = append(made.Fields, newer.Fields[at])
	}
	made.Fields = append(made.Fields, added...)
	return made
}

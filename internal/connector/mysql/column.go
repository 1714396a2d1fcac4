package mysql

import (
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
)

// codec says how a column's bytes become a value, from the text that a query returns
// and from the binary log alike.
type codec uint8

const (
	codecText codec = iota
	codecInteger
	codecUnsigned // bigint unsigned and bit(64): may not fit an Integer
	codecDecimal
	codecReal
	codecBoolean // bit(1)
	codecBit
	codecDate
	codecTimestamp // datetime and timestamp
	codecTime
	codecYear
	codecBinary
	codecEnum
	codecSet
	codecJSON // MySQL's; MariaDB's is text
	codecGeometry
	codecUUID
	codecInet4
	codecInet6
)

func (c codec) kind() lienthong.Kind {
	switch c {
	case codecInteger, codecBit, codecYear:
		return lienthong.Integer
	case codecUnsigned, codecDecimal:
		return lienthong.Decimal
	case codecReal:
		return lienthong.Real
	case codecBoolean:
		return lienthong.Boolean
	case codecDate:
		return lienthong.Date
	case codecTimestamp:
		return lienthong.Timestamp
	case codecBinary:
		return lienthong.Binary
	case codecText, codecTime, codecEnum, codecSet, codecJSON, codecGeometry, codecUUID, codecInet4, codecInet6:
	}
	return lienthong.Text
}

// fact is what information_schema says of a column. It is kept in the history of layouts,
// so that a restart knows the columns as they were.
type fact struct {
	Name      string `json:"name"`
	Type      string `json:"type"`   // DATA_TYPE: "varchar"
	Source    string `json:"source"` // COLUMN_TYPE: "varchar(12)"
	Charset   string `json:"charset,omitempty"`
	Nullable  bool   `json:"nullable,omitempty"`
	Precision int    `json:"precision,omitempty"`
	Scale     int    `json:"scale,omitempty"`
	Fraction  int    `json:"fraction,omitempty"` // digits of a second
	Octets    int64  `json:"octets,omitempty"`   // greatest length in bytes
	Computed  bool   `json:"computed,omitempty"` // generated: left out
	Packed    bool   `json:"packed,omitempty"`   // MariaDB's COMPRESSED: left out
}

// column is one column of a layout.
type column struct {
	lienthong.Column
	codec    codec
	wire     byte // type in the binary log; 0 when no event has been seen
	meta     uint16
	unsigned bool
	fraction int
	width    int // of a binary string that is padded to its length; else 0
	charset  *charset
	labels   []string // of enum and set
	slot     int      // place among the visible columns; -1 when left out
}

// describe makes a column of what information_schema says.
func (f *fact) describe(sets *charsets) column {
	c := column{Column: lienthong.Column{Name: f.Name, SourceType: f.Source, Nullable: f.Nullable}, fraction: f.Fraction}
	c.unsigned = strings.Contains(f.Source, "unsigned") || strings.Contains(f.Source, "zerofill")
	switch f.Type {
	case "tinyint", "smallint", "mediumint", "int":
		c.codec = codecInteger
	case "bigint":
		c.codec = codecInteger
		if c.unsigned {
			c.codec = codecUnsigned
		}
	case "decimal":
		c.codec = codecDecimal
	case "float", "double":
		c.codec = codecReal
	case "bit":
		c.codec = bitCodec(f.Precision)
	case "date":
		c.codec = codecDate
	case "datetime", "timestamp":
		c.codec = codecTimestamp
	case "time":
		c.codec = codecTime
	case "year":
		c.codec = codecYear
	case "binary":
		c.codec, c.width = codecBinary, int(f.Octets)
	case "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector":
		c.codec = codecBinary
	case "enum", "set":
		c.codec = codecEnum
		if f.Type == "set" {
			c.codec = codecSet
		}
		c.labels, _ = parseLabels(f.Source)
	case "json":
		c.codec = codecJSON
	case "uuid":
		c.codec, c.width = codecUUID, 16
	case "inet4":
		c.codec, c.width = codecInet4, 4
	case "inet6":
		c.codec, c.width = codecInet6, 16
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
		"geometrycollection", "geomcollection":
		c.codec = codecGeometry
	}
	if c.codec == codecText {
		c.charset = sets.named(f.Charset)
	}
	c.Kind = c.codec.kind()
	return c
}

func bitCodec(bits int) codec {
	switch {
	case bits == 1:
		return codecBoolean
	case bits > 63:
		return codecUnsigned
	}
	return codecBit
}

// fits reports whether a column of the binary log can be the one that information_schema
// describes: the same type, and the same measures where the log has them.
func (f *fact) fits(w *wireColumn) bool {
	switch f.Type {
	case "tinyint":
		return w.kind == typeTiny
	case "smallint":
		return w.kind == typeShort
	case "mediumint":
		return w.kind == typeInt24
	case "int":
		return w.kind == typeLong
	case "bigint":
		return w.kind == typeLongLong
	case "decimal":
		return w.kind == typeNewDecimal && int(w.meta>>8) == f.Precision && int(w.meta&0xff) == f.Scale
	case "float":
		return w.kind == typeFloat
	case "double":
		return w.kind == typeDouble
	case "bit":
		return w.kind == typeBit && int(w.meta>>8)*8+int(w.meta&0xff) == f.Precision
	case "date":
		return w.kind == typeDate
	case "datetime":
		return w.kind == typeDatetime2 && int(w.meta) == f.Fraction || w.kind == typeDatetime
	case "timestamp":
		return w.kind == typeTimestamp2 && int(w.meta) == f.Fraction || w.kind == typeTimestamp
	case "time":
		return w.kind == typeTime2 && int(w.meta) == f.Fraction || w.kind == typeTime
	case "year":
		return w.kind == typeYear
	case "char", "binary":
		_, length := stringMeta(w.meta)
		return w.kind == typeString && int64(length) == f.Octets
	case "uuid", "inet6":
		_, length := stringMeta(w.meta)
		return w.kind == typeString && length == 16
	case "inet4":
		_, length := stringMeta(w.meta)
		return w.kind == typeString && length == 4
	case "varchar", "varbinary":
		return w.kind == typeVarchar && int64(w.meta) == f.Octets || w.kind == typeVarcharPacked
	case "tinytext", "tinyblob":
		return w.kind == typeBlob && w.meta == 1 || w.kind == typeBlobPacked
	case "text", "blob":
		return w.kind == typeBlob && w.meta == 2 || w.kind == typeBlobPacked
	case "mediumtext", "mediumblob":
		return w.kind == typeBlob && w.meta == 3 || w.kind == typeBlobPacked
	case "longtext", "longblob":
		return w.kind == typeBlob && w.meta == 4 || w.kind == typeBlobPacked
	case "enum":
		return w.kind == typeEnum
	case "set":
		return w.kind == typeSet
	case "json":
		return w.kind == typeJSON
	case "vector":
		return w.kind == typeVector || w.kind == typeVarchar
	}
	return w.kind == typeGeometry
}

// describeWire makes a column of what the binary log alone says. It needs the log's full
// metadata.
func (w *wireColumn) describe(sets *charsets) column {
	c := column{
		Column: lienthong.Column{Name: w.name, Nullable: w.nullable},
		wire:   w.kind, meta: w.meta, unsigned: w.unsigned,
	}
	text := func(textual, binary string) {
		if w.collation == collationBinary {
			c.codec, c.SourceType = codecBinary, binary
			return
		}
		c.codec, c.SourceType, c.charset = codecText, textual, sets.collated(w.collation)
	}
	switch w.kind {
	case typeTiny, typeShort, typeInt24, typeLong:
		c.codec = codecInteger
		c.SourceType = map[byte]string{typeTiny: "tinyint", typeShort: "smallint", typeInt24: "mediumint", typeLong: "int"}[w.kind]
	case typeLongLong:
		c.codec, c.SourceType = codecInteger, "bigint"
		if w.unsigned {
			c.codec = codecUnsigned
		}
	case typeNewDecimal:
		c.codec = codecDecimal
		c.SourceType = "decimal(" + strconv.Itoa(int(w.meta>>8)) + "," + strconv.Itoa(int(w.meta&0xff)) + ")"
	case typeFloat:
		c.codec, c.SourceType = codecReal, "float"
	case typeDouble:
		c.codec, c.SourceType = codecReal, "double"
	case typeBit:
		bits := int(w.meta>>8)*8 + int(w.meta&0xff)
		c.codec, c.SourceType = bitCodec(bits), "bit("+strconv.Itoa(bits)+")"
	case typeDate:
		c.codec, c.SourceType = codecDate, "date"
	case typeDatetime, typeDatetime2:
		c.codec, c.SourceType, c.fraction = codecTimestamp, "datetime", int(w.meta)
	case typeTimestamp, typeTimestamp2:
		c.codec, c.SourceType, c.fraction = codecTimestamp, "timestamp", int(w.meta)
	case typeTime, typeTime2:
		c.codec, c.SourceType, c.fraction = codecTime, "time", int(w.meta)
	case typeYear:
		c.codec, c.SourceType = codecYear, "year"
	case typeString:
		if text("char", "binary"); c.codec == codecBinary {
			_, c.width = stringMeta(w.meta)
		}
	case typeVarchar, typeVarString:
		text("varchar", "varbinary")
	case typeBlob:
		text("text", "blob")
	case typeEnum, typeSet:
		c.codec, c.SourceType = codecEnum, "enum"
		if w.kind == typeSet {
			c.codec, c.SourceType = codecSet, "set"
		}
		c.labels = w.decodeLabels(sets)
	case typeJSON:
		c.codec, c.SourceType = codecJSON, "json"
	case typeGeometry:
		c.codec, c.SourceType = codecGeometry, "geometry"
	default:
		c.codec, c.SourceType = codecBinary, "type "+strconv.Itoa(int(w.kind))
	}
	if w.unsigned && w.numeric() {
		c.SourceType += " unsigned"
	}
	c.Kind = c.codec.kind()
	return c
}

func (w *wireColumn) decodeLabels(sets *charsets) []string {
	set := sets.collated(w.collation)
	labels := make([]string, len(w.labels))
	for i, label := range w.labels {
		// Labels are few and short; one that cannot be converted shows as it is.
		if text, ok := set.decode(nil, label); ok {
			labels[i] = string(text)
		} else {
			labels[i] = string(label)
		}
	}
	return labels
}

// parseLabels reads "enum('a','b”c')" or "set(…)".
func parseLabels(source string) ([]string, bool) {
	open := strings.IndexByte(source, '(')
	if open < 0 {
		return nil, false
	}
	rest := source[open+1:]
	var labels []string
	for {
		if !strings.HasPrefix(rest, "'") {
			return labels, false
		}
		rest = rest[1:]
		var label strings.Builder
		for {
			quote := strings.IndexByte(rest, '\'')
			if quote < 0 {
				return labels, false
			}
			label.WriteString(rest[:quote])
			rest = rest[quote+1:]
			if !strings.HasPrefix(rest, "'") {
				break
			}
			label.WriteByte('\'')
			rest = rest[1:]
		}
		labels = append(labels, label.String())
		switch {
		case strings.HasPrefix(rest, ","):
			rest = rest[1:]
		case strings.HasPrefix(rest, ")"):
			return labels, true
		default:
			return labels, false
		}
	}
}

// expression selects a column so that the text of its value is complete: the server rounds
// a float that it writes by itself, and pads what is declared ZEROFILL.
func (c *column) expression() string {
	name := quote(c.Name)
	switch c.codec {
	case codecReal:
		return "(" + name + " + 0e0)"
	case codecBoolean, codecBit:
		return "(" + name + " + 0)"
	case codecUnsigned:
		if strings.HasPrefix(c.SourceType, "bit") {
			return "(" + name + " + 0)"
		}
	case codecInet6:
		return "CAST(" + name + " AS BINARY(16))"
	case codecText, codecInteger, codecDecimal, codecDate, codecTimestamp, codecTime, codecYear, codecBinary,
		codecEnum, codecSet, codecJSON, codecGeometry, codecUUID, codecInet4:
	}
	return name
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// spell writes a name as the platform's tables do: quoted only where it must be.
func spell(name string) string {
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '$' && (c < '0' || c > '9')) {
			return quote(name)
		}
	}
	if name == "" {
		return "``"
	}
	return name
}

package lienthong

// Field is one data element as a dataset uses it: what the wire, the landing
// tables and the checks need to know of it.
type Field struct {
	Element   string `json:"element"` // identifier in the dictionary: "person.full_name"
	Name      string `json:"name"`    // column name in landing tables and on the wire: "full_name"
	Kind      Kind   `json:"kind"`
	LabelVi   string `json:"label_vi"`
	LabelEn   string `json:"label_en"`
	Required  bool   `json:"required,omitempty"`
	Personal  bool   `json:"personal,omitempty"`   // a value of it is personal data and is masked wherever people read
	MaxLength int    `json:"max_length,omitempty"` // characters, for text; 0 means no limit
	Mapped    bool   `json:"mapped"`               // false: the column flows as it is, without a dictionary element
	Handling  string `json:"handling,omitempty"`   // what the values are instead of those of the source: "mask", "hash", "token"
}

// Shape is a dataset's version of its elements. A shape never changes: a new
// version is a new shape, and a batch names the version it was written with.
type Shape struct {
	Dataset  DatasetID `json:"dataset"`
	Version  int       `json:"version"`  // 1, 2, 3 …
	Fields   []Field   `json:"fields"`   // in the order of the wire
	Identity []int     `json:"identity"` // indexes into Fields: together they name a record
}

// FieldIndex returns the index of the field with the name, or -1.
func (s *Shape) FieldIndex(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// AppendRecordID appends the identity of a row: the canonical text of its
// identity fields. Several fields are joined by U+001F, which no canonical text
// contains unescaped. It reports false when an identity field has no value,
// because such a row cannot be told from others.
func (s *Shape) AppendRecordID(dst []byte, row []Value) ([]byte, bool) {
	start := len(dst)
	for n, i := range s.Identity {
		if row[i].State != Present {
			return dst[:start], false
		}
		if n > 0 {
			dst = append(dst, recordIDSeparator)
		}
		from := len(dst)
		dst = row[i].AppendText(dst, s.Fields[i].Kind)
		if s.Fields[i].Kind.InBytes() && len(s.Identity) > 1 {
			dst = escapeSeparator(dst, from)
		}
	}
	return dst, len(dst) > start
}

const recordIDSeparator = 0x1f

// escapeSeparator doubles separators inside one part, so that ("a\x1f", "b")
// and ("a", "\x1fb") stay two records.
func escapeSeparator(dst []byte, from int) []byte {
	for i := from; i < len(dst); i++ {
		if dst[i] == recordIDSeparator || dst[i] == '\\' {
			dst = append(dst, 0)
			copy(dst[i+1:], dst[i:])
			dst[i] = '\\'
			i++
		}
	}
	return dst
}

package dictionary

import "github.com/lienthong/lienthong"

// Definition is everything that people have agreed about one dataset: where its
// rows come from, which element each column is, how values are brought to the
// dictionary's form, and which rules hold. It is written as YAML, one file per
// dataset, and read by ParseDefinition.
type Definition struct {
	Dataset lienthong.DatasetID `yaml:"dataset"`
	TitleVi string              `yaml:"title_vi"`
	TitleEn string              `yaml:"title_en"`
	Table   string              `yaml:"table"` // the source's table, sheet or file pattern
	// Identity are the field names that together name a record; mapped from key columns. "*"
	// alone names a record by all values of its row, for tables without a key: see WholeRow.
	Identity []string `yaml:"identity"`
	// Rows limits the dataset to rows of a territory or an area of work. A row must pass
	// every filter; the others do not leave the node and are not counted.
	Rows    []RowFilter     `yaml:"rows"`
	Columns []ColumnMapping `yaml:"columns"`
	// Others says what happens to source columns that no mapping names: "keep" lets
	// them flow as they are, marked unmapped; "drop" (default) leaves them at home.
	Others   string    `yaml:"others"`
	Rules    []Rule    `yaml:"rules"`     // beyond those that the elements bring along
	SetRules []SetRule `yaml:"set_rules"` // rules over many records, run at the hub
	// Declared is the number of objects that the owner is responsible for; coverage is
	// measured against it. 0: not declared.
	Declared int64 `yaml:"declared"`
	// Interval is the longest time between updates that the owner has declared, such as "24h". Empty: not declared.
	Interval string `yaml:"interval"`
	// StateSecret datasets are refused: they may not travel by civil cryptography.
	StateSecret bool `yaml:"state_secret"`
	// Codes are translation tables of this dataset by name, for the transformation
	// "code:<name>": what the source writes -> the dictionary's code. The name of a
	// code list of the dictionary needs no table here.
	Codes map[string]map[string]string `yaml:"codes"`
	// File is the name that the definition was parsed under, for messages.
	File string `yaml:"-"`
}

// ColumnMapping makes one field of the shape out of one or more source columns.
type ColumnMapping struct {
	Column  string   `yaml:"column"`  // the source column
	Columns []string `yaml:"columns"` // instead of Column: several, joined by one space ("họ đệm" + "tên")
	Element string   `yaml:"element"` // the dictionary's element
	Field   string   `yaml:"field"`   // the name in the shape; default: the element's technical name
	// Transforms are applied in order: trim, nfc, upper, lower, collapse (inner white
	// space), "date:02/01/2006" (a Go layout; several are tried in order),
	// "timestamp:layout", "code:list" (translation table by name), "part:first",
	// "part:middle", "part:last" (of a Vietnamese full name), "digits" (drop everything else),
	// "pad:12" (zeros in front of digits, which spreadsheets lose), "decimal:comma"
	// (1.234,5 becomes 1234.5), "utc" (times without an offset are UTC, not Vietnam time).
	Transforms []string `yaml:"transforms"`
	Required   *bool    `yaml:"required"` // overrides the element
	// Optional: the source may not have the column. The field is left out of the shape then.
	Optional bool `yaml:"optional"`
	// Handling is what leaves the node of a value: keep (default), drop, mask, hash, token.
	// Checks see the value as it is, whatever leaves.
	Handling string `yaml:"handling"`
	Key      string `yaml:"key"`   // of hash and token: the name of the node's key; equal names make equal values joinable
	First    int    `yaml:"first"` // of mask: so many characters at the beginning stay
	Last     int    `yaml:"last"`  // of mask: so many characters at the end stay
	Line     int    `yaml:"-"`
}

// RowFilter is one condition that a row must meet: its value is one of In, or starts with
// one of Prefix, or is the code of a commune of the province Under as units are today. A row
// without a value does not meet it.
type RowFilter struct {
	Field  string   `yaml:"field"`  // of the mapped row
	Column string   `yaml:"column"` // instead of Field: of the source, as the source writes it
	In     []string `yaml:"in"`
	Prefix []string `yaml:"prefix"`
	Under  string   `yaml:"under"` // code of a province
	Line   int      `yaml:"-"`
}

// Rule is a check of one row. Rules are data; package quality compiles them.
type Rule struct {
	Code      string               `yaml:"code"` // stable: "person.number.digits"
	Vi        string               `yaml:"vi"`   // what is wrong, for a person
	En        string               `yaml:"en"`
	Group     lienthong.ErrorGroup `yaml:"group"`
	Criterion lienthong.Criterion  `yaml:"criterion"`
	Field     string               `yaml:"field"` // the field it is about; empty in rules of an element
	Blocking  bool                 `yaml:"blocking"`
	Weight    int                  `yaml:"weight"` // in the index; 0 means 1
	Check     Check                `yaml:"check"`
	Line      int                  `yaml:"-"` // where it is written; 0 for rules of elements
}

// Check is what a rule verifies. Exactly one of its members is set. A check of
// a field passes when the field is null, except Required.
type Check struct {
	Required   bool     `yaml:"required"`
	Digits     int      `yaml:"digits"`     // exactly so many ASCII digits
	Pattern    string   `yaml:"pattern"`    // anchored RE2
	MinLength  int      `yaml:"min_length"` // characters
	MaxLength  int      `yaml:"max_length"`
	CodeList   string   `yaml:"code_list"`   // code valid at AsOf
	AsOf       string   `yaml:"as_of"`       // with CodeList: a field name with the date; empty: the time of the check
	OneOf      []string `yaml:"one_of"`      // a fixed set
	Min        string   `yaml:"min"`         // number or date (2006-01-02, or "now", "now-5y"), inclusive
	Max        string   `yaml:"max"`         // likewise
	PersonName bool     `yaml:"person_name"` // letters of any script, spaces, apostrophes, hyphens; no digits; 2 words or more
	NFC        bool     `yaml:"nfc"`
	Tidy       bool     `yaml:"tidy"`    // no space at the ends, none doubled
	MaxAge     string   `yaml:"max_age"` // a timestamp or date not older than "720h" or "5y" at the time of the check
	// PersonNumber compares the structure of a 12-digit personal number with other
	// fields: names of the fields for date of birth and sex.
	PersonNumber *PersonNumberCheck `yaml:"person_number"`
	// Order: this field is not before the named field (dates, numbers).
	NotBefore string `yaml:"not_before"`
	// CEL is an expression over the fields by name that must be true. For what has no check of its own.
	CEL string `yaml:"cel"`
}

// PersonNumberCheck names the fields that the personal number must agree with.
// Source of the structure: Circular 59/2021/TT-BCA: province of birth (3),
// century and sex (1), year of birth (2), random (6).
type PersonNumberCheck struct {
	BirthDate string `yaml:"birth_date"`
	Sex       string `yaml:"sex"`
}

// SetRule is a rule over the landed records of one or two datasets. Exactly one
// of Unique, Reference and Match is set. Package store runs it.
type SetRule struct {
	Code      string               `yaml:"code"`
	Vi        string               `yaml:"vi"`
	En        string               `yaml:"en"`
	Group     lienthong.ErrorGroup `yaml:"group"`
	Criterion lienthong.Criterion  `yaml:"criterion"`
	Field     string               `yaml:"field"`  // the field the finding is about
	Unique    []string             `yaml:"unique"` // no two live records have the same values of these fields (nulls are not compared)
	Reference *Reference           `yaml:"reference"`
	Match     *Match               `yaml:"match"`
	Line      int                  `yaml:"-"`
}

// Reference: the value of Field exists as To in a live record of another dataset.
type Reference struct {
	Dataset lienthong.DatasetID `yaml:"dataset"`
	To      string              `yaml:"to"`
}

// Match: where Key equals To of a live record of the other dataset, each of Fields equals
// its counterpart there. Records without a counterpart are the Reference rule's business.
type Match struct {
	Dataset lienthong.DatasetID `yaml:"dataset"`
	Key     string              `yaml:"key"`
	To      string              `yaml:"to"`
	Fields  map[string]string   `yaml:"fields"` // own field -> the other's field
}

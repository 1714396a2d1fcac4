package lienthong

import "strings"

// DatabaseClass says what kind of database it is in law.
type DatabaseClass string

// The classes of the national list. The values are those of the reference data.
const (
	NationalDatabase    DatabaseClass = "quoc_gia"
	SpecialisedDatabase DatabaseClass = "chuyen_nganh"
	PoliticalDatabase   DatabaseClass = "he_thong_chinh_tri"
	LocalDatabase       DatabaseClass = "dia_phuong"
)

// Database is a national, specialised or local database (CSDL).
type Database struct {
	Code       string // short and stable, [a-z0-9_]: "population"
	NameVi     string
	NameEn     string
	Class      DatabaseClass
	Owner      MemberCode
	LegalBasis string
	Confidence string // how sure the list is of this entry: A official text, B secondary, C name only
}

// DatasetID names a dataset: the database's code and the record type's.
type DatasetID struct {
	Database string
	Name     string
}

// String is "database.name".
func (id DatasetID) String() string { return id.Database + "." + id.Name }

// MarshalText makes the identifier a plain string in JSON and YAML.
func (id DatasetID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *DatasetID) UnmarshalText(text []byte) error {
	parsed, err := ParseDatasetID(string(text))
	*id = parsed
	return err
}

// ParseDatasetID reads "database.name". Both parts are 1-40 characters of
// [a-z0-9_] and start with a letter, so that they can stand in table names and
// message subjects without quoting.
func ParseDatasetID(s string) (DatasetID, error) {
	database, name, found := strings.Cut(s, ".")
	if !found || !plainName(database) || !plainName(name) {
		return DatasetID{}, &Error{
			Code: "dataset.name", Where: s,
			Vi: "tên tập dữ liệu không đúng dạng", En: "not the name of a dataset",
			Hint: "viết csdl.tap_du_lieu, chữ thường không dấu / write database.dataset in lower case",
		}
	}
	return DatasetID{Database: database, Name: name}, nil
}

// Column is a column of a table at a source.
type Column struct {
	Name       string
	SourceType string // as the engine calls it: "character varying(12)"
	Kind       Kind
	Nullable   bool
}

func plainName(s string) bool {
	if s == "" || len(s) > 40 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

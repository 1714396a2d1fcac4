package catalog

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/lienthong/lienthong"
)

// Kind is the kind of the documents that hold entries.
const Kind = "database"

// Entry is what the owner of a database declares about it. It is the content of the
// items of kind "database"; everything may be empty in a draft.
type Entry struct {
	Code     string                  `json:"code"`
	NameVi   string                  `json:"name_vi"`
	NameEn   string                  `json:"name_en,omitempty"`
	Class    lienthong.DatabaseClass `json:"class,omitempty"`
	Domains  []string                `json:"domains,omitempty"`  // of the dictionary: "DOM-HUMAN"
	Owner    lienthong.MemberCode    `json:"owner,omitempty"`    // chủ quản
	Manager  lienthong.MemberCode    `json:"manager,omitempty"`  // quản lý
	Operator string                  `json:"operator,omitempty"` // vận hành: an organisation by code or name

	LegalBases []LegalBasis `json:"legal_bases,omitempty"`
	PurposeVi  string       `json:"purpose_vi,omitempty"`
	PurposeEn  string       `json:"purpose_en,omitempty"`
	Scope      Scope        `json:"scope,omitzero"`
	Collection []Collection `json:"collection,omitempty"`

	Objects  []DataObject `json:"objects,omitempty"` // main data objects
	Datasets []Dataset    `json:"datasets,omitempty"`
	// Authority names what this database is the single trusted source of: elements
	// ("person.number") or all elements of a prefix ("person.*").
	Authority []string `json:"authority,omitempty"`

	Security  Security   `json:"security,omitzero"`
	People    []Contact  `json:"people,omitempty"`
	Technical Technical  `json:"technical,omitzero"`
	Status    Status     `json:"status,omitzero"`
	Relations []Relation `json:"relations,omitempty"`

	// Confidence is how sure the list is that the entry was made from: A official text, B
	// secondary, C name only. Empty: the owner declares it.
	Confidence string `json:"confidence,omitempty"`
}

// LegalBasis is a legal document on which a database rests, down to the article.
type LegalBasis struct {
	Type    LegalType `json:"type,omitempty"`
	Number  string    `json:"number"`            // "47/2024/NĐ-CP"
	Article string    `json:"article,omitempty"` // "Điều 11 khoản 2"
	TitleVi string    `json:"title_vi,omitempty"`
	Date    string    `json:"date,omitempty"` // yyyy-mm-dd
}

// Scope is what and where a database is about.
type Scope struct {
	Territory string `json:"territory,omitempty"` // "toàn quốc", or codes of provinces
	Objects   int64  `json:"objects,omitempty"`   // how many objects are managed in all
	SubjectVi string `json:"subject_vi,omitempty"`
	SubjectEn string `json:"subject_en,omitempty"`
	Since     string `json:"since,omitempty"` // the oldest data, yyyy or yyyy-mm-dd
}

// Collection is a way in which data come in.
type Collection struct {
	Method CollectionMethod `json:"method"`
	From   string           `json:"from,omitempty"` // who or which system
	Note   string           `json:"note,omitempty"`
}

// DataObject is one of the main things that a database is about.
type DataObject struct {
	Name          string `json:"name"` // unique in the entry
	NameVi        string `json:"name_vi,omitempty"`
	NameEn        string `json:"name_en,omitempty"`
	DescriptionVi string `json:"description_vi,omitempty"`
	Parent        string `json:"parent,omitempty"`
	Personal      bool   `json:"personal,omitempty"`
	Sensitive     bool   `json:"sensitive,omitempty"` // sensitive personal data
	Master        bool   `json:"master,omitempty"`    // dữ liệu chủ
	Open          bool   `json:"open,omitempty"`      // dữ liệu mở
}

// Dataset is one record type of the database.
type Dataset struct {
	Name        string     `json:"name"` // of its identifier: "person"
	TitleVi     string     `json:"title_vi,omitempty"`
	TitleEn     string     `json:"title_en,omitempty"`
	Object      string     `json:"object,omitempty"` // the data object that it holds
	Access      Access     `json:"access,omitempty"`
	Importance  Importance `json:"importance,omitempty"`
	Shareable   bool       `json:"shareable,omitempty"`
	ShareVia    []string   `json:"share_via,omitempty"` // "feed", "service", "file"
	Conditions  string     `json:"conditions,omitempty"`
	Updated     string     `json:"updated,omitempty"` // the longest time between updates: "24h"
	Retention   Retention  `json:"retention,omitzero"`
	StateSecret bool       `json:"state_secret,omitempty"` // never travels through this platform
	Rows        int64      `json:"rows,omitempty"`         // declared
	// Shape is what the owner has confirmed that the source's table is.
	Shape *RegisteredShape `json:"shape,omitempty"`
}

// RegisteredShape is the confirmed form of a dataset's table.
type RegisteredShape struct {
	Table     string             `json:"table"`
	Confirmed int64              `json:"confirmed"` // microseconds since 1970 UTC
	Columns   []RegisteredColumn `json:"columns"`
}

// RegisteredColumn is a column that was there when the shape was confirmed.
type RegisteredColumn struct {
	Name     string         `json:"name"`
	Type     string         `json:"type"` // as the engine calls it
	Kind     lienthong.Kind `json:"kind"`
	Nullable bool           `json:"nullable,omitempty"`
	Element  string         `json:"element,omitempty"` // empty: no element of the dictionary
}

// Retention is how long the rows of a dataset are kept.
type Retention struct {
	Years   int    `json:"years,omitempty"`
	Forever bool   `json:"forever,omitempty"`
	Basis   string `json:"basis,omitempty"`
	Then    string `json:"then,omitempty"` // what happens afterwards
}

// Stated tells that the retention has been decided.
func (r Retention) Stated() bool { return r.Years > 0 || r.Forever }

// Security is the approved level of the information system.
type Security struct {
	Level    int    `json:"level,omitempty"`    // 1-5
	Document string `json:"document,omitempty"` // number of the approval
	Date     string `json:"date,omitempty"`     // of the approval, yyyy-mm-dd
	Approver string `json:"approver,omitempty"`
}

// Contact is a person in charge, with the contact at work.
type Contact struct {
	Duty     Duty   `json:"duty"`
	Name     string `json:"name"`
	Position string `json:"position,omitempty"`
	Phone    string `json:"phone,omitempty"`
	Email    string `json:"email,omitempty"`
	Since    string `json:"since,omitempty"` // yyyy-mm-dd
}

// Technical is the technical profile.
type Technical struct {
	Engine    string `json:"engine,omitempty"` // "PostgreSQL"
	Version   string `json:"version,omitempty"`
	SizeBytes int64  `json:"size_bytes,omitempty"`
	Rows      int64  `json:"rows,omitempty"`
	Location  string `json:"location,omitempty"` // data centre
	Hosting   string `json:"hosting,omitempty"`
	Backup    Backup `json:"backup,omitzero"`
	Software  string `json:"software,omitempty"` // that people work with
}

// Backup is how the database is saved.
type Backup struct {
	Every    string `json:"every,omitempty"` // "24h"
	Kept     string `json:"kept,omitempty"`  // "30 ngày"
	Where    string `json:"where,omitempty"`
	TestedOn string `json:"tested_on,omitempty"` // last restore that worked, yyyy-mm-dd
}

// Status is how far the database is built.
type Status struct {
	Group    StatusGroup `json:"group,omitempty"`
	Progress int         `json:"progress,omitempty"` // percent
	Since    string      `json:"since,omitempty"`    // yyyy-mm-dd
	Due      string      `json:"due,omitempty"`      // yyyy-mm-dd
	Note     string      `json:"note,omitempty"`
}

// Relation is a relation to another database. Only one side declares it; the
// register shows the opposite on the other.
type Relation struct {
	Type RelationType `json:"type"`
	Code string       `json:"code"`
	Note string       `json:"note,omitempty"`
}

// Dataset returns the dataset with the name.
func (e *Entry) Dataset(name string) (*Dataset, bool) {
	for i := range e.Datasets {
		if e.Datasets[i].Name == name {
			return &e.Datasets[i], true
		}
	}
	return nil, false
}

// Verified tells that an official text or the owner stands behind the entry.
func (e *Entry) Verified() bool { return e.Confidence == "" || e.Confidence == "A" }

// Restricted is the strictest classification of the datasets.
func (e *Entry) Restricted() (Access, Importance) {
	var access Access
	var importance Importance
	for i := range e.Datasets {
		if d := &e.Datasets[i]; rank(Accesses(), d.Access) > rank(Accesses(), access) {
			access = d.Access
		}
		if d := &e.Datasets[i]; importance == "" || d.Importance != "" && rank(Importances(), d.Importance) < rank(Importances(), importance) {
			importance = d.Importance
		}
	}
	return access, importance
}

// ParseEntry reads an entry. Members that it does not know are an error: a misspelt one would be lost.
func ParseEntry(body []byte) (Entry, error) {
	var e Entry
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&e)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		return Entry{}, &lienthong.Error{
			Code: "catalog.json", Where: "JSON",
			Vi: "không đọc được mục đăng ký: JSON sai hoặc có trường lạ", En: "cannot read the register entry: bad JSON, or a member that does not exist",
			Hint: jsonHint(err), Err: err,
		}
	}
	return e, nil
}

// jsonHint names the place without the value.
func jsonHint(err error) string {
	switch e := err.(type) { //nolint:errorlint // the decoder returns these as they are
	case *json.UnmarshalTypeError:
		return e.Field
	case *json.SyntaxError:
		return "JSON"
	}
	return ""
}

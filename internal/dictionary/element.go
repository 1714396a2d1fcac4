package dictionary

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
)

// Element is a data element (phần tử dữ liệu): what one field means, whoever holds it. It
// has the 25 attributes of the common dictionary, Decision 2439/QD-TTg; Attributes lists
// them as people read them.
type Element struct { //nolint:recvcheck // MarshalJSON has a value receiver so that elements inside other structures are written right
	ID           string   `yaml:"id"`   // "person.full_name"
	Name         string   `yaml:"name"` // technical name, the field's name unless a mapping says otherwise
	NameVi       string   `yaml:"name_vi"`
	NameEn       string   `yaml:"name_en"`
	Synonyms     []string `yaml:"synonyms"` // other names that people give it, as columns are written: "ho_va_ten"
	DefinitionVi string   `yaml:"definition_vi"`
	DefinitionEn string   `yaml:"definition_en"`
	ContextVi    string   `yaml:"context_vi"` // where and what for it is used
	ContextEn    string   `yaml:"context_en"`
	Group        string   `yaml:"group"` // domain; default: the one that the identifier's prefix belongs to
	Class        Layer    `yaml:"class"` // the layer of data that it belongs to
	// ObjectVi and PropertyVi are what it describes and which property of that, after
	// ISO/IEC 11179. An empty property is the element's name.
	ObjectVi   string               `yaml:"object_vi"`
	ObjectEn   string               `yaml:"object_en"`
	PropertyVi string               `yaml:"property_vi"`
	PropertyEn string               `yaml:"property_en"`
	Creator    lienthong.MemberCode `yaml:"creator"` // who makes the data first: a member or a group such as *provinces
	Owner      lienthong.MemberCode `yaml:"owner"`   // who answers for it
	Language   string               `yaml:"language"`
	Version    Version              `yaml:"version"`
	Status     Status               `yaml:"status"`
	Source     string               `yaml:"source"`    // legal basis
	Documents  []string             `yaml:"documents"` // related documents beside the source
	Related    []string             `yaml:"related"`   // related terms: identifiers of elements, or words
	Business   []Note               `yaml:"business"`  // business attributes beside the flags below
	Personal   bool                 `yaml:"personal"`  // its values are personal data
	Sensitive  bool                 `yaml:"sensitive"` // its values are sensitive personal data
	Required   bool                 `yaml:"required"`  // default; a mapping may override it
	Identifier bool                 `yaml:"identifier"`
	Kind       lienthong.Kind       `yaml:"kind"`
	Format     string               `yaml:"format"`     // for people: "12 chữ số / 12 digits"
	MaxLength  int                  `yaml:"max_length"` // characters; 0: no limit, or set by a rule
	Unit       string               `yaml:"unit"`       // of measure: "m²"
	RDF        string               `yaml:"rdf"`        // RDF or OWL type; default: that of the kind
	Relations  []Relation           `yaml:"relations"`  // to other elements
	Technical  []Note               `yaml:"technical"`
	CodeList   string               `yaml:"code_list"` // the list that its values are codes of
	// Normalise are the transformations that bring a value to the element's form,
	// as a mapping writes them.
	Normalise  []string    `yaml:"normalise"`
	Access     string      `yaml:"access"`     // path of the service that answers for it; may be empty
	Alignments []Alignment `yaml:"alignments"` // the same thing in international vocabularies
	Rules      []Rule      `yaml:"rules"`      // Field is empty: filled in when a mapping is compiled
	Line       int         `yaml:"-"`
}

// Domain is the part of the identifier before the dot: "person". Group names the
// domain of the common dictionary that it belongs to.
func (e *Element) Domain() string {
	domain, _, _ := strings.Cut(e.ID, ".")
	return domain
}

// Version counts editions of one element: the major number rises when something that was
// right before may be wrong now.
type Version struct{ Major, Minor int }

// String is "1.0".
func (v Version) String() string { return strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor) }

// Before reports whether v is older than w.
func (v Version) Before(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

// MarshalText writes "1.0".
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads "1.0", or "1", which is the same.
func (v *Version) UnmarshalText(text []byte) error {
	major, minor, both := strings.Cut(string(text), ".")
	var ok, ok2 bool
	v.Major, ok = smallNumber(major)
	if v.Minor, ok2 = 0, true; both {
		v.Minor, ok2 = smallNumber(minor)
	}
	if !ok || !ok2 {
		return &lienthong.Error{
			Code: "element.version", Where: string(text),
			Vi: "phiên bản không đúng dạng", En: "not a version", Hint: "1.0",
		}
	}
	return nil
}

func smallNumber(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n < 10000 && s[0] != '+' && s[0] != '-'
}

// Status is where an element stands on its way.
type Status string

// The statuses, in their order.
const (
	Proposed   Status = "proposed"
	InReview   Status = "in_review"
	Consulted  Status = "consulted"
	Approved   Status = "approved"
	Published  Status = "published"
	Superseded Status = "superseded"
	Retired    Status = "retired"
)

// Statuses lists them in order.
func Statuses() []Status {
	return []Status{Proposed, InReview, Consulted, Approved, Published, Superseded, Retired}
}

// Layer is one of the eight layers of data of Decision 2439/QD-TTg.
type Layer string

// The layers.
const (
	MetadataLayer    Layer = "metadata"
	ReferenceLayer   Layer = "reference"
	MasterLayer      Layer = "master"
	TransactionLayer Layer = "transaction"
	BigLayer         Layer = "big"
	AggregateLayer   Layer = "aggregate"
	AnalyticLayer    Layer = "analytic"
	OpenLayer        Layer = "open"
)

// Layers lists them in order.
func Layers() []Layer {
	return []Layer{
		MetadataLayer, ReferenceLayer, MasterLayer, TransactionLayer, BigLayer, AggregateLayer, AnalyticLayer, OpenLayer,
	}
}

// Note is a remark in both languages.
type Note struct {
	Vi string `yaml:"vi"`
	En string `yaml:"en"`
}

// Relation says how an element stands to another.
type Relation struct {
	Type   RelationType `yaml:"type"`
	Target string       `yaml:"target"` // identifier of the other element
}

// RelationType is a kind of relation.
type RelationType string

// The relations.
const (
	PartOf      RelationType = "part_of"
	DerivedFrom RelationType = "derived_from"
	SameAs      RelationType = "same_as" // the values are the same thing in another role
	Broader     RelationType = "broader" // the target means more
	SeeAlso     RelationType = "see_also"
)

// RelationTypes lists them.
func RelationTypes() []RelationType {
	return []RelationType{PartOf, DerivedFrom, SameAs, Broader, SeeAlso}
}

// Alignment names the counterpart of an element in an international vocabulary.
type Alignment struct {
	Scheme string        `yaml:"scheme"` // of Schemes: "schema.org"
	ID     string        `yaml:"id"`     // the term in it: "birthDate"
	Kind   AlignmentKind `yaml:"kind"`   // of the term, seen from the element
}

// AlignmentKind says how well the counterpart fits, in the words of SKOS.
type AlignmentKind string

// The kinds of alignment: the counterpart means the same, more, less, or something near.
const (
	ExactAlignment    AlignmentKind = "exact"
	BroaderAlignment  AlignmentKind = "broader"
	NarrowerAlignment AlignmentKind = "narrower"
	RelatedAlignment  AlignmentKind = "related"
)

// AlignmentKinds lists them.
func AlignmentKinds() []AlignmentKind {
	return []AlignmentKind{ExactAlignment, BroaderAlignment, NarrowerAlignment, RelatedAlignment}
}

// Scheme is an international vocabulary.
type Scheme struct {
	Name      string // as alignments write it
	Prefix    string // usual prefix: "schema"
	Namespace string // its terms begin with this
	Title     string
}

// Schemes lists the vocabularies that alignments may name.
func Schemes() []Scheme {
	return []Scheme{
		{"schema.org", "schema", "https://schema.org/", "Schema.org"},
		{"core-person", "person", "http://www.w3.org/ns/person#", "EU Core Person Vocabulary"},
		{"core-location", "locn", "http://www.w3.org/ns/locn#", "EU Core Location Vocabulary"},
		{"core-business", "legal", "http://www.w3.org/ns/legal#", "EU Core Business Vocabulary"},
		{"regorg", "rov", "http://www.w3.org/ns/regorg#", "Registered Organization Vocabulary"},
		{"m8g", "m8g", "http://data.europa.eu/m8g/", "EU Core Vocabularies"},
		{"org", "org", "http://www.w3.org/ns/org#", "Organization Ontology"},
		{"foaf", "foaf", "http://xmlns.com/foaf/0.1/", "Friend of a Friend"},
		{"dcterms", "dct", "http://purl.org/dc/terms/", "DCMI Metadata Terms"},
		{"adms", "adms", "http://www.w3.org/ns/adms#", "Asset Description Metadata Schema"},
		{"wgs84", "geo", "http://www.w3.org/2003/01/geo/wgs84_pos#", "Basic Geo"},
		{"geosparql", "geosparql", "http://www.opengis.net/ont/geosparql#", "OGC GeoSPARQL"},
		{"niem", "nc", "https://docs.oasis-open.org/niemopen/ns/model/niem-core/6.0/", "NIEM Core 6.0"},
	}
}

// IRI is the whole identifier of the counterpart, "" for an unknown scheme.
func (a Alignment) IRI() string {
	for _, scheme := range Schemes() {
		if scheme.Name == a.Scheme {
			return scheme.Namespace + a.ID
		}
	}
	return ""
}

// RDFType is the type of the element's values in RDF: RDF where it is written, otherwise what
// follows from code list and kind.
func (e *Element) RDFType() string {
	switch {
	case e.RDF != "":
		return e.RDF
	case e.CodeList != "":
		return "skos:Concept"
	}
	switch e.Kind {
	case lienthong.Integer:
		return "xsd:integer"
	case lienthong.Decimal:
		return "xsd:decimal"
	case lienthong.Real:
		return "xsd:double"
	case lienthong.Boolean:
		return "xsd:boolean"
	case lienthong.Date:
		return "xsd:date"
	case lienthong.Timestamp:
		return "xsd:dateTime"
	case lienthong.Binary:
		return "xsd:hexBinary"
	case lienthong.Text:
	}
	return "xsd:string"
}

// check verifies what an element says by itself; what it refers to is checked
// where the dictionary is known.
func (e *Element) check(p *problems, line int) {
	bad := func(code, vi, en, hint string) {
		p.add(line, code, fmt.Sprintf("phần tử %q: %s", e.ID, vi), fmt.Sprintf("element %q: %s", e.ID, en), hint)
	}
	prefix, rest, dotted := strings.Cut(e.ID, ".")
	if !dotted || !plainFieldName(prefix) || !plainFieldName(rest) || !plainFieldName(e.Name) || reservedField(e.Name) {
		bad("element.name", "mã hoặc tên kỹ thuật không đúng dạng", "bad identifier or technical name", "id: person.full_name, name: full_name")
	}
	if e.NameVi == "" || e.NameEn == "" || e.DefinitionVi == "" || e.DefinitionEn == "" || e.Source == "" || e.Version.Major < 1 {
		bad("element.incomplete", "thiếu tên, định nghĩa, nguồn hoặc phiên bản", "lacks a name, definition, source or version",
			"name_vi, name_en, definition_vi, definition_en, source, version")
	}
	if e.MaxLength < 0 {
		bad("element.length", "độ dài âm", "negative length", "")
	}
	if e.Status != "" && !slices.Contains(Statuses(), e.Status) {
		bad("element.status", "trạng thái không có", "no such status", joined(Statuses()))
	}
	if e.Class != "" && !slices.Contains(Layers(), e.Class) {
		bad("element.class", "lớp dữ liệu không có", "no such layer of data", joined(Layers()))
	}
	for _, note := range slices.Concat(e.Business, e.Technical) {
		if note.Vi == "" || note.En == "" {
			bad("element.note", "ghi chú cần cả vi và en", "a note needs both vi and en", "")
		}
	}
	for _, r := range e.Relations {
		if !slices.Contains(RelationTypes(), r.Type) || r.Target == "" || r.Target == e.ID {
			bad("element.relation", "quan hệ không đúng", "bad relation", joined(RelationTypes()))
		}
	}
	for _, a := range e.Alignments {
		if a.IRI() == "" || a.ID == "" || strings.ContainsAny(a.ID, " \t\"<>") || !slices.Contains(AlignmentKinds(), a.Kind) {
			bad("element.alignment", "ánh xạ quốc tế không đúng", "bad international mapping", "scheme: schema.org, id: birthDate, kind: "+joined(AlignmentKinds()))
		}
	}
	for _, text := range e.Normalise {
		if _, _, err := parseTransform(text); err != nil {
			bad("element.normalise", fmt.Sprintf("phép biến đổi %q không đúng", text), fmt.Sprintf("bad transformation %q: %v", text, err), "trim, collapse, upper, digits, pad:12, code:…")
		}
	}
	for r := range e.Rules {
		rule := &e.Rules[r]
		where := rule.Line
		if where == 0 {
			where = line
		}
		rule.check(p, where)
		if rule.Field != "" {
			bad("rule.field", "quy tắc của phần tử không nêu trường", "a rule of an element names no field", "")
		}
		rule.Line = 0
	}
}

// elementDefaults are what the elements of one file have in common. An element that
// says something else itself keeps it.
type elementDefaults struct {
	ContextVi string               `yaml:"context_vi"`
	ContextEn string               `yaml:"context_en"`
	Group     string               `yaml:"group"`
	Class     Layer                `yaml:"class"`
	ObjectVi  string               `yaml:"object_vi"`
	ObjectEn  string               `yaml:"object_en"`
	Creator   lienthong.MemberCode `yaml:"creator"`
	Owner     lienthong.MemberCode `yaml:"owner"`
	Language  string               `yaml:"language"`
	Version   Version              `yaml:"version"`
	Status    Status               `yaml:"status"`
	Source    string               `yaml:"source"`
	Documents []string             `yaml:"documents"`
	Access    string               `yaml:"access"`
}

// fill gives the element what it does not say itself.
func (defaults *elementDefaults) fill(e *Element) {
	inherit(&e.ContextVi, defaults.ContextVi)
	inherit(&e.ContextEn, defaults.ContextEn)
	inherit(&e.Group, defaults.Group)
	inherit(&e.Class, defaults.Class)
	inherit(&e.ObjectVi, defaults.ObjectVi)
	inherit(&e.ObjectEn, defaults.ObjectEn)
	inherit(&e.Creator, defaults.Creator)
	inherit(&e.Owner, defaults.Owner)
	inherit(&e.Language, defaults.Language)
	inherit(&e.Version, defaults.Version)
	inherit(&e.Status, defaults.Status)
	inherit(&e.Source, defaults.Source)
	inherit(&e.Access, defaults.Access)
	if e.Documents == nil {
		e.Documents = slices.Clone(defaults.Documents)
	}
	inherit(&e.Language, "vi")
	inherit(&e.Status, Published)
}

func inherit[T comparable](own *T, inherited T) {
	var nothing T
	if *own == nothing {
		*own = inherited
	}
}

package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// Documents is where entries and what belongs to them are kept.
type Documents interface {
	SaveDocuments(ctx context.Context, docs ...lienthong.Document) ([]lienthong.Document, error)
	Document(ctx context.Context, kind, id string) (lienthong.Document, bool, error)
	Documents(ctx context.Context, kind, state string) ([]lienthong.Document, error)
}

// Config is what a Register needs.
type Config struct {
	Documents   Documents
	Dictionary  func() *dictionary.Dictionary   // the edition in force; its databases are the seeds
	Definitions func() []*dictionary.Definition // of the datasets that are mapped; may be nil
	Consumers   func() []Consumer               // who receives datasets; may be nil
	Now         func() time.Time                // default time.Now
	// Refresh is how long another process's work may stay unseen in lists; default 30 s. What is done in this
	// process is seen at once.
	Refresh time.Duration
	Stale   int // months after which an entry must be confirmed again; default 12
}

// Register is the register of databases. It is safe for several goroutines.
type Register struct {
	config Config

	loading sync.Mutex // one at a time reads everything
	mu      sync.Mutex
	current *snapshot
	age     int                               // rises with every change
	seen    map[lienthong.DatasetID]*Observed // what connectors say; nil until it has been loaded
}

// snapshot is everything that lists and search need. It never changes.
type snapshot struct {
	age     int
	at      time.Time
	records []Record // by code
	index   *index
}

// Origin says who stands behind an entry.
type Origin string

// The origins.
const (
	FromOwner    Origin = "owner"    // published
	FromDraft    Origin = "draft"    // nothing is published, somebody writes
	FromSeed     Origin = "seed"     // of the reference data, not confirmed by the owner
	FromObserved Origin = "observed" // connected, and nobody has registered it
)

// Origins lists them with their names.
func Origins() []Choice[Origin] {
	return []Choice[Origin]{
		{FromOwner, Word{Vi: "chủ quản đã công bố", En: "published by the owner"}},
		{FromDraft, Word{Vi: "bản nháp, chưa công bố", En: "a draft, not published"}},
		{FromSeed, Word{Vi: "lập sẵn từ danh mục, chủ quản chưa xác nhận", En: "seeded, not yet confirmed by the owner"}},
		{FromObserved, Word{Vi: "đã kết nối nhưng chưa đăng ký", En: "connected, not registered"}},
	}
}

// Link is a relation as it is seen from one side.
type Link struct {
	Type     RelationType
	Code     string
	Name     Word
	Note     string
	Declared bool // by this entry; otherwise worked out from the other side
}

// DatasetView is a dataset as it is declared, seen and mapped.
type DatasetView struct {
	ID         lienthong.DatasetID
	Declared   *Dataset               // nil: the entry does not have it
	Seen       *Observed              // nil: no connector sees it
	Definition *dictionary.Definition // nil: it is not mapped
	Unmapped   []string               // columns that are seen and stand for no element
	Drift      []Drift
}

// Record is a database in the register.
type Record struct {
	Entry
	Origin       Origin
	Version      stewardship.Version // in force
	State        stewardship.State   // of what people work on; empty: nobody has yet
	Revision     int64               // of the item
	Proposer     lienthong.MemberCode
	ConfirmedAt  int64 // published or attested, microseconds since 1970 UTC; 0: never
	ConfirmedBy  string
	Stale        bool // confirmed too long ago
	Completeness Completeness
	Views        []DatasetView // datasets that are declared, seen or mapped, by name
	Drift        []Drift       // of all datasets
	Evidence     []Evidence
	Links        []Link
	sortKey      string
}

// Verified tells that an official text or the owner stands behind it.
func (r *Record) Verified() bool { return r.Origin == FromOwner || r.Entry.Verified() }

// Breaking tells that a drift breaks something.
func (r *Record) Breaking() bool {
	return slices.ContainsFunc(r.Drift, func(d Drift) bool { return d.Breaking })
}

// NewRegister makes a register.
func NewRegister(config Config) (*Register, error) {
	if config.Documents == nil || config.Dictionary == nil {
		return nil, errors.New("a register needs documents and a dictionary")
	}
	if config.Definitions == nil {
		config.Definitions = func() []*dictionary.Definition { return nil }
	}
	if config.Consumers == nil {
		config.Consumers = func() []Consumer { return nil }
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Refresh == 0 {
		config.Refresh = 30 * time.Second
	}
	if config.Stale == 0 {
		config.Stale = 12
	}
	return &Register{config: config}, nil
}

// Changed makes the next list read everything again: an entry, a definition or the dictionary has changed.
func (r *Register) Changed() {
	r.mu.Lock()
	r.age++
	r.mu.Unlock()
}

// state returns a snapshot that is new enough.
func (r *Register) state(ctx context.Context) (*snapshot, error) {
	if s := r.fresh(); s != nil {
		return s, nil
	}
	r.loading.Lock()
	defer r.loading.Unlock()
	if s := r.fresh(); s != nil { // somebody else was first
		return s, nil
	}
	r.mu.Lock()
	age := r.age
	r.mu.Unlock()
	s, err := r.build(ctx)
	if err != nil {
		return nil, err
	}
	s.age = age
	r.mu.Lock()
	r.current = s
	r.mu.Unlock()
	return s, nil
}

func (r *Register) fresh() *snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.current; s != nil && s.age == r.age && r.config.Now().Sub(s.at) < r.config.Refresh {
		return s
	}
	return nil
}

// attestation is the owner's word that an entry still holds.
type attestation struct {
	Version stewardship.Version `json:"version"`
}

const (
	kindAttestation = "database_attestation"
	kindObserved    = "observed_dataset"
)

func (r *Register) build(ctx context.Context) (*snapshot, error) {
	docs, err := r.config.Documents.Documents(ctx, Kind, "")
	if err != nil {
		return nil, fmt.Errorf("list the register's entries: %w", err)
	}
	attested, err := r.config.Documents.Documents(ctx, kindAttestation, "")
	if err != nil {
		return nil, fmt.Errorf("list the confirmations of entries: %w", err)
	}
	if err := r.loadSeen(ctx); err != nil {
		return nil, err
	}
	now := r.config.Now()
	b := builder{
		config: &r.config, now: now, dictionary: r.config.Dictionary(), definitions: r.config.Definitions(),
		records: map[string]*Record{}, seen: r.observed(),
	}
	for _, e := range Seed(b.dictionary) {
		b.records[e.Code] = &Record{Entry: e, Origin: FromSeed}
	}
	for _, doc := range docs {
		if err := b.addItem(doc); err != nil {
			return nil, err
		}
	}
	b.addUnregistered()
	for _, doc := range attested {
		if rec := b.records[doc.ID]; rec != nil && rec.Origin == FromOwner && doc.At > rec.ConfirmedAt {
			rec.ConfirmedAt, rec.ConfirmedBy = doc.At, doc.Actor
		}
	}
	s := &snapshot{at: now, records: b.finish()}
	s.index = newIndex(b.dictionary, s.records)
	return s, nil
}

// builder puts records together.
type builder struct {
	config      *Config
	now         time.Time
	dictionary  *dictionary.Dictionary
	definitions []*dictionary.Definition
	records     map[string]*Record
	seen        []Observed // by dataset
}

// addItem puts what people saved over the seed.
func (b *builder) addItem(doc lienthong.Document) error {
	item, err := stewardship.ItemOf(doc)
	if err != nil {
		return err
	}
	rec := b.records[item.ID]
	if rec == nil {
		rec = &Record{Entry: Entry{Code: item.ID, NameVi: item.ID}, Origin: FromDraft}
		b.records[item.ID] = rec
	}
	rec.State, rec.Revision, rec.Proposer = item.State, item.Revision, item.Member
	body := item.InForce
	if body == nil && rec.Origin == FromDraft {
		body = item.Body
	}
	if body == nil {
		return nil // a draft over a seed: the seed is shown until the owner publishes
	}
	var entry Entry
	if err := json.Unmarshal(body, &entry); err != nil {
		if item.InForce == nil {
			return nil //nolint:nilerr // drafts may hold anything; what is wrong is listed beside them
		}
		return fmt.Errorf("read the register entry %s: %w", item.ID, err)
	}
	entry.Code = item.ID
	if entry.NameVi == "" {
		entry.NameVi = item.ID
	}
	rec.Entry = entry
	if release, in := item.Release(); in {
		rec.Origin, rec.Version, rec.ConfirmedAt, rec.ConfirmedBy = FromOwner, release.Version, release.At, release.By
	}
	return nil
}

// addUnregistered makes records of databases that are connected or mapped and have no entry.
func (b *builder) addUnregistered() {
	add := func(code string) {
		if b.records[code] == nil {
			b.records[code] = &Record{Entry: unregistered(code), Origin: FromObserved}
		}
	}
	for i := range b.seen {
		add(b.seen[i].Dataset.Database)
		if rec := b.records[b.seen[i].Dataset.Database]; rec.Origin == FromObserved && rec.Owner == "" {
			rec.Owner = b.seen[i].Member
		}
	}
	for _, def := range b.definitions {
		add(def.Dataset.Database)
	}
}

func (b *builder) finish() []Record {
	definitions := map[lienthong.DatasetID]*dictionary.Definition{}
	for _, def := range b.definitions {
		definitions[def.Dataset] = def
	}
	list := make([]Record, 0, len(b.records))
	alphabet := collate.New(language.Vietnamese)
	var buffer collate.Buffer
	for _, rec := range b.records {
		rec.sortKey = string(alphabet.KeyFromString(&buffer, rec.NameVi))
		buffer.Reset()
		rec.Completeness = rec.Entry.Completeness()
		rec.Stale = rec.ConfirmedAt != 0 && time.UnixMicro(rec.ConfirmedAt).AddDate(0, b.config.Stale, 0).Before(b.now)
		b.datasets(rec, definitions)
		list = append(list, *rec)
	}
	slices.SortFunc(list, func(a, c Record) int { return strings.Compare(a.Code, c.Code) })
	link(list)
	return list
}

// datasets brings together what is declared, seen and mapped.
func (b *builder) datasets(rec *Record, definitions map[lienthong.DatasetID]*dictionary.Definition) {
	views := map[string]*DatasetView{}
	view := func(name string) *DatasetView {
		if views[name] == nil {
			views[name] = &DatasetView{ID: lienthong.DatasetID{Database: rec.Code, Name: name}}
		}
		return views[name]
	}
	for i := range rec.Datasets {
		view(rec.Datasets[i].Name).Declared = &rec.Datasets[i]
	}
	for i := range b.seen {
		if b.seen[i].Dataset.Database == rec.Code {
			view(b.seen[i].Dataset.Name).Seen = &b.seen[i]
		}
	}
	for id, def := range definitions {
		if id.Database == rec.Code {
			view(id.Name).Definition = def
		}
	}
	var seen []Observed
	for _, v := range views {
		v.compare()
		rec.Views = append(rec.Views, *v)
	}
	slices.SortFunc(rec.Views, func(a, c DatasetView) int { return strings.Compare(a.ID.Name, c.ID.Name) })
	for i := range rec.Views {
		rec.Drift = append(rec.Drift, rec.Views[i].Drift...)
		if rec.Views[i].Seen != nil {
			seen = append(seen, *rec.Views[i].Seen)
		}
	}
	rec.Evidence = evidence(&rec.Entry, seen, definitions, b.now.UnixMicro())
}

func (v *DatasetView) compare() {
	if v.Seen == nil {
		return
	}
	var mapping map[string]string
	if v.Definition != nil {
		mapping = Mapping(v.Definition)
		for _, c := range v.Seen.Columns {
			if mapping[c.Name] == "" {
				v.Unmapped = append(v.Unmapped, c.Name)
			}
		}
	}
	if v.Declared == nil {
		v.Drift = []Drift{{
			Dataset: v.ID, Kind: Unregistered, Is: v.Seen.Table,
			Word: wordf("tập dữ liệu %s đã kết nối nhưng chưa có trong mục đăng ký", "dataset %s is connected and not in the entry", v.ID.Name),
			Hint: say("bổ sung tập dữ liệu vào mục đăng ký", "add the dataset to the entry"),
		}}
		return
	}
	v.Drift = Compare(v.Declared.Shape, v.Seen, mapping)
}

// link works out the relations of both sides.
func link(records []Record) {
	at := map[string]*Record{}
	for i := range records {
		at[records[i].Code] = &records[i]
	}
	name := func(code string) Word {
		if other := at[code]; other != nil {
			return Word{Vi: other.NameVi, En: other.NameEn}
		}
		return Word{Vi: code, En: code}
	}
	for i := range records {
		from := &records[i]
		for _, rel := range from.Relations {
			from.Links = append(from.Links, Link{Type: rel.Type, Code: rel.Code, Name: name(rel.Code), Note: rel.Note, Declared: true})
		}
	}
	for i := range records {
		from := &records[i]
		for _, rel := range from.Relations {
			to := at[rel.Code]
			opposite := rel.Type.Opposite()
			if to == nil || opposite == "" || slices.ContainsFunc(to.Links, func(l Link) bool { return l.Type == opposite && l.Code == from.Code }) {
				continue
			}
			to.Links = append(to.Links, Link{Type: opposite, Code: from.Code, Name: name(from.Code), Note: rel.Note})
		}
	}
}

// Load shows one database.
func (r *Register) Load(ctx context.Context, code string) (Record, error) {
	s, err := r.state(ctx)
	if err != nil {
		return Record{}, err
	}
	rec := s.record(code)
	if rec == nil {
		return Record{}, &lienthong.Error{
			Code: "catalog.unknown", Where: code,
			Vi: "không có cơ sở dữ liệu này trong danh mục", En: "there is no such database in the register",
			Hint: "tìm theo tên, hoặc soạn mục đăng ký mới / search by name, or draft a new entry",
		}
	}
	return r.withFigures(rec), nil
}

func (s *snapshot) record(code string) *Record {
	i, found := slices.BinarySearchFunc(s.records, code, func(rec Record, code string) int { return strings.Compare(rec.Code, code) })
	if !found {
		return nil
	}
	return &s.records[i]
}

// withFigures puts the latest figures of the connectors into a copy.
func (r *Register) withFigures(rec *Record) Record {
	own := *rec
	own.Views = slices.Clone(rec.Views)
	var seen []Observed
	definitions := map[lienthong.DatasetID]*dictionary.Definition{}
	r.mu.Lock()
	for i := range own.Views {
		v := &own.Views[i]
		if o := r.seen[v.ID]; o != nil && v.Seen != nil && o.sameForm(v.Seen) {
			latest := *o
			v.Seen = &latest
		}
		if v.Seen != nil {
			seen = append(seen, *v.Seen)
		}
		if v.Definition != nil {
			definitions[v.ID] = v.Definition
		}
	}
	r.mu.Unlock()
	own.Evidence = evidence(&own.Entry, seen, definitions, r.config.Now().UnixMicro())
	return own
}

// Graph is the lineage of everything that is mapped.
func (r *Register) Graph(ctx context.Context) (*Graph, error) {
	if _, err := r.state(ctx); err != nil {
		return nil, err
	}
	return NewGraph(r.config.Dictionary(), r.config.Definitions(), r.observed(), r.config.Consumers()), nil
}

// Overlaps lists what several databases hold.
func (r *Register) Overlaps(ctx context.Context) ([]Overlap, error) {
	s, err := r.state(ctx)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(s.records))
	for i := range s.records {
		entries[i] = s.records[i].Entry
	}
	return Overlaps(r.config.Dictionary(), entries, r.config.Definitions()), nil
}

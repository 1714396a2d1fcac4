package console

import (
	"context"
	"time"

	"github.com/lienthong/lienthong"
)

// Source gives the console what it shows. Implementations answer from counters
// that they already hold: a page view must never cost a scan of records.
type Source interface {
	// Overview is the state of the whole platform at one moment.
	Overview(ctx context.Context) (Overview, error)
	// Database is the state of one database. A code that nobody registered is an
	// error with code CodeUnknownDatabase.
	Database(ctx context.Context, code string) (DatabasePage, error)
	// Subscribe returns a channel that receives after something changed. Signals may
	// be merged; the channel is closed when ctx ends or when the source stops.
	Subscribe(ctx context.Context) <-chan struct{}
}

// Reconciler is a Source that can be asked to compare both ends now. Without it
// the page has no button.
type Reconciler interface {
	// Reconcile asks the nodes of a database. The result comes like that of any other
	// comparison. asker goes into the audit log.
	Reconcile(ctx context.Context, code, asker string) error
}

// Gate knows who may look. It burns the one-time tokens and writes sign-ins to
// the audit log.
type Gate interface {
	// SignIn exchanges a one-time token for a session, once. A refusal is a
	// *lienthong.Error that says what to do.
	SignIn(ctx context.Context, oneTimeToken string) (session string, err error)
	// Session returns whose session it is; false when it is unknown, expired or ended.
	Session(ctx context.Context, session string) (User, bool)
	// SignOut ends a session. Ending an unknown session is not an error.
	SignOut(ctx context.Context, session string) error
}

// CodeUnknownDatabase is the code of the error that Source.Database returns for
// a database that is not registered. The console answers it with 404.
const CodeUnknownDatabase = "database.unknown"

// User is the person who looks.
type User struct {
	Name string // empty: whoever holds the role
	Role Text
	// Account names the person in histories and in the rule of four eyes; Member is the organisation
	// that the person acts for, Roles what for (see stewardship.Role). All empty: may look only.
	Account string
	Member  lienthong.MemberCode
	Roles   []string
}

// Text is a text in both languages. When one is empty the other stands in.
type Text struct{ Vi, En string }

// State says how things stand with a database, a dataset, a step or a province.
type State string

// The states, from unknown to bad.
const (
	NotConnected State = ""          // nobody has connected it yet
	Syncing      State = "syncing"   // the first load runs, or the first comparison is still to come
	Matching     State = "matching"  // both ends agreed at the last comparison (khớp)
	Behind       State = "behind"    // agrees so far as it got, but lags beyond what was declared
	Differing    State = "differing" // both ends disagree (không khớp)
	Failing      State = "failing"   // stopped, or could not be compared (lỗi)
)

// Overview is everything on the front page.
type Overview struct {
	At        time.Time // when these figures were taken
	Totals    Totals
	Audit     AuditHead
	Provinces []Province    // all that exist today; those missing are drawn as not connected
	Members   []Member      // bodies of the centre, in the order to show
	Databases []DatabaseRow // connected first
	Work      []Work        // long work that runs now
	Events    []Event       // newest first; the first MaxEvents are shown
}

// Totals are the headline figures.
type Totals struct {
	Datasets      int // registered
	Matching      int // of them, agreed at the last comparison
	SourceRows    int64
	LandedRows    int64
	Quarantined   int64
	Compared      Comparison // sums of what the last comparisons counted
	ComparedAt    time.Time  // the newest of them; zero before the first
	RowsPerSecond float64    // landing now
	Lag           Lag
}

// Lag is the time from the commit at the source to the commit at the hub.
type Lag struct {
	Known    bool // false: nothing has changed in the window
	P50, P99 time.Duration
}

// AuditHead is the newest checkpoint of the transparency log.
type AuditHead struct {
	Entries    uint64
	Root       string // text form of the root hash; shown shortened
	Checked    bool   // the log has been verified at least once
	Verified   bool   // the last verification found it sound
	VerifiedAt time.Time
}

// Province is one of the provinces of today.
type Province struct {
	Code      string // two digits: "96"
	Name      Text   // without "Tỉnh" or "Thành phố"
	State     State
	Databases int
	Rows      int64
}

// Member is a body of the centre, connected or not.
type Member struct {
	Code  lienthong.MemberCode
	Name  Text
	Bloc  lienthong.Bloc
	State State
}

// DatabaseRow is a database as the overview lists it.
type DatabaseRow struct {
	Code          string
	Name          Text
	Owner         Text
	OwnerCode     lienthong.MemberCode
	Class         lienthong.DatabaseClass
	Confidence    string // as in lienthong.Database; anything but "A" is marked unverified
	State         State
	Reason        Text // why the state is not good, for a person who must act; may be empty
	SourceRows    int64
	LandedRows    int64
	Quarantined   int64
	Superseded    int64
	Lag           Lag
	RowsPerSecond float64
	Rates         []float64 // rows per second over the last minutes, oldest first
	Criteria      []CriterionScore
	Index         Score // the data quality index over the criteria that are known
}

// Missing is how many records of the source are neither landed nor held back.
// The source was counted at the last comparison and life went on since, so more
// than it had is no contradiction.
func (r DatabaseRow) Missing() int64 { return missing(r.SourceRows, r.LandedRows, r.Quarantined) }

// Missing is the same over the whole platform.
func (t Totals) Missing() int64 { return missing(t.SourceRows, t.LandedRows, t.Quarantined) }

func missing(source, landed, quarantined int64) int64 { return max(0, source-landed-quarantined) }

// Score is a percentage, or the honest absence of one.
type Score struct {
	Known   bool
	Percent float64
	Gated   bool // an identifier field is below 100 %: red whatever the figure
}

// CriterionScore is one of the six criteria of a database with the way it was
// computed.
type CriterionScore struct {
	Criterion lienthong.Criterion
	Score     Score
	Formula   Text
	Parts     []Part
	Note      Text // why it is unknown, or what to do; may be empty
}

// Part is one term of a formula: the score is the mean of the parts by weight.
type Part struct {
	Dataset Text // which dataset it is about, when the database has several
	Label   Text
	Passed  int64
	Total   int64
	Percent float64 // what the part scores
	Weight  float64 // 0 is 1
	// Rule: the label says what is wrong, so the page counts those that break it.
	Rule bool
}

// Failed is how many break the rule.
func (p Part) Failed() int64 { return max(0, p.Total-p.Passed) }

// Score is what the part scores, for the template.
func (p Part) Score() Score { return Score{Known: true, Percent: p.Percent} }

// Work is long work with an end: generating, a snapshot, a verification.
type Work struct {
	Name          Text
	Where         string // a database, a dataset, a node; not translated
	Done, Total   int64  // Total 0: not known yet
	RowsPerSecond float64
}

// EventKind says what happened.
type EventKind string

// The kinds of event.
const (
	BatchEvent      EventKind = "batch"
	ReceiptEvent    EventKind = "receipt"
	QuarantineEvent EventKind = "quarantine"
	ShapeEvent      EventKind = "shape"
	ReconcileEvent  EventKind = "reconcile"
	AuditEvent      EventKind = "audit"
	AlarmEvent      EventKind = "alarm"
)

// Event is a line of the feed. It holds no personal value.
type Event struct {
	At       time.Time
	Kind     EventKind
	Where    string // stream or dataset
	Database string // code to link to; may be empty
	Text     Text
	State    State // of what it is about; may be empty
}

// DatabasePage is everything on the page of one database.
type DatabasePage struct {
	DatabaseRow
	At              time.Time
	LegalBasis      string
	Node            string // the node that sends it; empty when not connected
	Flow            []FlowStep
	LagHistory      []LagPoint  // oldest first
	RateHistory     []RatePoint // oldest first
	Datasets        []DatasetRow
	Shapes          []ShapeChange // newest first
	Rejected        []RejectedRow // newest first
	RejectedTotal   int64         // Rejected may hold only the newest
	Groups          []GroupCount
	Reconciliations []Reconciliation // newest first
	Receipts        []Receipt        // newest first
	Work            []Work
}

// FlowKind is a place on the road of a change.
type FlowKind string

// The places, in the order of the road.
const (
	SourceStep  FlowKind = "source"
	CaptureStep FlowKind = "capture"
	CheckStep   FlowKind = "check"
	SpoolStep   FlowKind = "spool"
	HubStep     FlowKind = "hub"
	ReceiptStep FlowKind = "receipt"
)

// FlowStep is what one place has seen.
type FlowStep struct {
	Kind      FlowKind
	State     State
	Count     int64 // rows since the start; for the spool, batches waiting; for receipts, receipts
	PerSecond float64
	Detail    Text // a line below the counter; may be empty
}

// LagPoint is the lag in one interval.
type LagPoint struct {
	At       time.Time
	P50, P99 time.Duration
}

// RatePoint is the throughput in one interval.
type RatePoint struct {
	At            time.Time
	RowsPerSecond float64
}

// DatasetRow is a dataset of the database.
type DatasetRow struct {
	ID            lienthong.DatasetID
	Title         Text
	State         State
	Reason        Text // why the state is not good; may be empty
	Stopped       Text // why it stopped and what to do; empty while it runs
	SourceRows    int64
	LandedRows    int64
	Quarantined   int64
	Superseded    int64
	Changes       int64
	ShapeVersion  int
	Fields        int
	MappedFields  int
	Reconciled    lienthong.ReconcileWord // empty: not compared yet
	ReconciledAt  time.Time
	Compared      Comparison // what the last comparison counted
	Lag           Lag
	RowsPerSecond float64
}

// Comparison is what both ends held at one exact position of the source.
type Comparison struct{ Source, Landed, Quarantined int64 }

// ShapeChange is a new version of a dataset's shape, or the refusal of one.
type ShapeChange struct {
	At       time.Time
	Dataset  lienthong.DatasetID
	Version  int
	Breaking bool // the dataset stopped here
	Text     Text
}

// RejectedRow is a finding with everything that the owner needs to put it right
// at the source, and no personal value.
type RejectedRow struct {
	At       time.Time
	Dataset  lienthong.DatasetID
	Rule     string
	Group    lienthong.ErrorGroup
	Field    Text // the field's label
	Reason   Text
	Sample   string // masked
	Record   string // keyed digest; shown shortened
	Blocking bool   // the record is held back; otherwise it landed with a remark
}

// GroupCount counts the findings of one of the eight groups of errors.
type GroupCount struct {
	Group    lienthong.ErrorGroup
	Count    int64
	Blocking int64
}

// Reconciliation is a comparison of both ends of a dataset.
type Reconciliation struct {
	At          time.Time
	Dataset     lienthong.DatasetID
	Result      lienthong.ReconcileWord
	SourceRows  int64
	LandedRows  int64
	Quarantined int64
	Differing   int    // digest buckets that do not match
	Digest      string // text form of the digest; shown shortened
}

// Receipt is a batch that the hub has confirmed.
type Receipt struct {
	Applied  time.Time
	Dataset  lienthong.DatasetID
	Sequence uint64
	Kind     lienthong.BatchKind
	Rows     int
	Landed   int
	Ignored  int
	Digest   string // hex digest of the batch; shown shortened
}

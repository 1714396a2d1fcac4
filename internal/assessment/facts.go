package assessment

import (
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/quality"
)

// Grade says how a fact came about. The empty grade means that nothing is known.
type Grade string

// The grades, best evidence first.
const (
	Measured   Grade = "M" // by the platform itself
	Reconciled Grade = "R" // compared with an authoritative source
	Signed     Grade = "A" // an aggregate that the owner's node signed
	Declared   Grade = "D" // people say so
)

// Facts is what is known of one database at one instant. Whoever collects it fills the
// sections that it has; a section without a grade is not known, which is not the same as zero.
type Facts struct {
	Database   lienthong.Database
	Owner      lienthong.Member // the agency; Bloc and Level decide whom it is compared with
	At         int64            // when the facts were collected, microseconds
	Register   Register
	Connection Connection
	Quality    Quality
	Mapping    Mapping
	Tickets    Tickets
	Sharing    Sharing
	Security   Security
	Samples    []Sample
	Answers    []Answer
}

// BuildingState is how far the database has been built, in the three words of the
// national readiness review.
type BuildingState string

// The states. Empty: not known.
const (
	Built    BuildingState = "built"     // đã xây dựng
	Building BuildingState = "building"  // đang xây dựng
	Upgrade  BuildingState = "upgrade"   // đã xây dựng, cần bổ sung, nâng cấp: counts as built
	NotBuilt BuildingState = "not_built" // chưa xây dựng
)

// Register is what the register entry says.
type Register struct {
	Grade        Grade // Declared for an entry that people keep
	Verified     bool  // the owner has confirmed the entry and a reviewer has approved it
	Completeness float64
	ConfirmedAt  int64 // the owner's last confirmation; 0: never
	State        BuildingState
	StateGrade   Grade // Reconciled when the state is from an official text
	Progress     float64
	Domain       string // one of the six core domains; empty: not said
	People       People
	Objects      int // main data objects
	Open         int // of them, declared open
	Master       int // of them, declared master data
	Datasets     int // that the entry describes
	Classified   int // of them, with both classes: open/shared/private and core/important/other
	WithPeriod   int // of them, with a period of retention
	Central      *bool
	PointToPoint *int // links past the platform that still run; nil: not said
	Onboarding   int  // steps of the onboarding that are done, 0-5
	Overlaps     *int // elements that another database holds with authority and this one collects again
}

// People are the ones in charge, by name and office. Empty: nobody appointed.
type People struct {
	Owner            string
	Steward          string
	ITEngineer       string
	BusinessEngineer string
}

// Connection is the road from the source to the hub.
type Connection struct {
	Grade       Grade
	Since       int64 // first batch; 0: never connected
	Nodes       []string
	Registered  int // datasets that the entry names; 0: not said
	Connected   int // datasets that land
	ByFile      int // of the connected, those that people bring as files
	SourceRows  int64
	LandedRows  int64
	Quarantined int64
	LastChange  int64
	Interval    time.Duration // the longest time between changes that the owner declared; 0: not declared
	LagP50      time.Duration
	LagP99      time.Duration // 0: not measured
	Uptime      float64       // percent of the last 30 days with a link; see UptimeKnown
	UptimeKnown bool
	Matching    int // datasets by the last comparison of both ends
	Differing   int
	Failed      int
	ComparedAt  int64
}

// Quality is the six criteria.
type Quality struct {
	Grade    Grade
	Criteria []CriterionFact // known ones; at most one of each
	Index    float64
	Known    bool
}

// CriterionFact is one criterion with what it rests on.
type CriterionFact struct {
	Criterion lienthong.Criterion
	Value     float64 // 0..100
	Known     bool
	Coverage  float64 // percent of the weight of the parts that was measured
	Gates     int     // identifier rules below 100 %
	Broken    int64   // records that break them
	Weakest   Words   // the part with the lowest value; empty when nothing is below 100
	WeakestAt float64
}

// FromQuality takes over the scores of a database as the quality package computes them.
func FromQuality(grade Grade, scores []quality.CriterionScore, index quality.Index) Quality {
	q := Quality{Grade: grade, Index: index.Value, Known: index.Known}
	for i := range scores {
		score := &scores[i]
		fact := CriterionFact{Criterion: score.Criterion, Value: score.Value, Known: score.Known, Gates: len(score.Gate), WeakestAt: 100}
		measured, all := 0.0, 0.0
		for _, part := range score.Parts {
			all += part.Weight
			if !part.Known {
				continue
			}
			measured += part.Weight
			if part.Value < fact.WeakestAt {
				fact.Weakest, fact.WeakestAt = Words{part.LabelVi, part.LabelEn}, part.Value
			}
		}
		if all > 0 {
			fact.Coverage = 100 * measured / all
		}
		for _, gate := range score.Gate {
			fact.Broken += int64(gate.Denominator - gate.Numerator)
		}
		q.Criteria = append(q.Criteria, fact)
	}
	return q
}

// Mapping is how the columns meet the dictionary.
type Mapping struct {
	Grade        Grade
	Columns      int
	Mapped       int
	Coded        int // columns with a code list
	CodedCurrent int // of those, the ones that use the list in force
	Datasets     int
	Shaped       int // datasets with an approved shape
	WithIdentity int // datasets whose records have an identifier of the dictionary
	Drift        int // differences between the registered and the live shape
	Breaking     int // of those, the ones that stop a dataset
	Current      *bool
}

// Tickets is what the owner has been asked to put right.
type Tickets struct {
	Grade      Grade
	Open       int
	Overdue    int
	Identifier int   // open red incidents
	Records    int64 // records in open tickets
	Timed      int   // openings that are closed, or older than ten working days
	InTime     int   // of them, closed within ten working days
	Closed     int
	Reopened   int // of the closed, those that came back
}

// Sharing is who uses the data.
type Sharing struct {
	Grade         Grade
	Services      int
	Contracts     int // data contracts in force
	Subscriptions int
	Consumers     int
	Calls         int64 // successful, in 90 days
}

// Security is what the platform and the entry know of protection.
type Security struct {
	Grade            Grade // of what the platform itself measures
	MutualTLS        bool
	SignedBatches    bool
	AuditVerified    bool
	CertificateUntil int64 // of the node that sends; 0: none
	KeySince         int64
	PersonalFields   int
	SealedFields     int // personal fields that travel masked, hashed or sealed

	DeclaredGrade Grade // of what follows: by the entry (D) or by the owner's node (A)
	Verified      bool
	Level         int // 1-5; 0: not registered
	LevelDocument string
	LevelApproved int64
	BackupAt      int64
	RestoreTestAt int64
	LogMonths     int
}

// Sample is a check of records against their originals by drawing lots.
type Sample struct {
	Criterion lienthong.Criterion
	Checked   int64
	Correct   int64
	Document  string
	At        int64
}

// Words is a text in both languages.
type Words struct {
	Vi string `json:"vi" yaml:"vi"`
	En string `json:"en" yaml:"en"`
}

// In returns the text of the language "vi" or "en".
func (w Words) In(language string) string {
	if language == "en" {
		return w.En
	}
	return w.Vi
}

package assessment

import (
	"embed"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/quality"
)

//go:embed data/*.yaml
var builtin embed.FS

// Method is the law and our choices as data: what is asked, what it weighs, where the
// bands lie, what to recommend. A Method never changes after it was loaded and is safe for
// any number of goroutines. Two methods can stand beside each other for a cycle.
type Method struct {
	Version   string
	ValidFrom string
	Source    Words

	quality     quality.Method
	deadline    int64 // connecting is due before this instant
	expiry      int   // months that a declaration counts
	warn        int64 // how long before its end a declaration is announced, microseconds
	evidence    float64
	credits     credits
	levels      []expectedLevel
	dimensions  []Dimension
	index       []weighted
	operation   []Measure
	bands       []Band
	gates       []Gate
	groups      []Group
	sections    []Section
	questions   []Question
	rules       []Rule
	rankings    Ranking
	publication []Publication
	tasks       []dictionary.Task

	figures []figure
	byName  map[string]int
}

// Dimension is a share of the hundred points.
type Dimension struct {
	ID     string `yaml:"id"`
	Words  `yaml:",inline"`
	Weight float64 `yaml:"weight"`
}

type weighted struct {
	Criterion lienthong.Criterion `yaml:"criterion"`
	Weight    float64             `yaml:"weight"`
}

// Measure is a figure in percent that scores as it is.
type Measure struct {
	Fact   string  `yaml:"fact"`
	Weight float64 `yaml:"weight"`
}

// credits are the shares of the points that evidence of a grade earns.
type credits struct {
	Measured   float64 `yaml:"M"`
	Reconciled float64 `yaml:"R"`
	Signed     float64 `yaml:"A"`
	Verified   float64 `yaml:"D_verified"`
	Declared   float64 `yaml:"D"`
}

type expectedLevel struct {
	Class lienthong.DatabaseClass `yaml:"class"`
	Level float64                 `yaml:"level"`
}

// Band is a range of points with a name. The first one reached, from the highest, holds.
type Band struct {
	ID    int     `yaml:"id" json:"id"`
	From  float64 `yaml:"from" json:"from"`
	Words `yaml:",inline"`
}

// Gate caps the band while its conditions hold.
type Gate struct {
	ID     string      `yaml:"id"`
	Cap    int         `yaml:"cap"`
	When   []Condition `yaml:"when"`
	Words  `yaml:",inline"`
	Source string `yaml:"source"`
}

// Group is one of the status groups of databases. The first whose conditions hold is
// the database's.
type Group struct {
	ID     int `yaml:"id"` // 1-4; 0 for the one that says it is not known
	Words  `yaml:",inline"`
	When   []Condition `yaml:"when"`
	Why    Words       `yaml:"why"`
	Task   string      `yaml:"task"`
	Source string      `yaml:"source"`
}

// Section is a group of readiness checks or an architecture framework.
type Section struct {
	ID     string `yaml:"id"`
	Words  `yaml:",inline"`
	Source string `yaml:"source"`
	Task   string `yaml:"task"` // of Resolution 214 that its open questions serve
	Asked  Words  `yaml:"asked"`
	Kind   Kind   `yaml:"-"`
}

// Kind tells the two lists of questions apart.
type Kind string

// The kinds.
const (
	Readiness    Kind = "check" // the 27 readiness checks
	Architecture Kind = "item"  // the requirements of the frameworks
)

// Question is one check or requirement: what it says, how the platform answers it by
// itself, and what people must show when it cannot.
type Question struct {
	ID        string `yaml:"id"`
	Section   string `yaml:"section"`
	Words     `yaml:",inline"`
	Source    string              `yaml:"source"` // article; readiness checks inherit it from the section
	Weight    float64             `yaml:"weight"`
	Applies   []Condition         `yaml:"applies"` // not counted otherwise
	Automatic []Automatic         `yaml:"automatic"`
	SameAs    string              `yaml:"same_as"`  // answered with this question
	Evidence  Words               `yaml:"evidence"` // what people show; empty: people cannot answer it
	Do        Words               `yaml:"do"`       // what to do when the answer is no
	Effort    Effort              `yaml:"effort"`
	Task      string              `yaml:"task"`
	Criterion lienthong.Criterion `yaml:"criterion"`
	Kind      Kind                `yaml:"-"`
}

// Part is the identifier of the question's part of the score.
func (q *Question) Part() string { return string(q.Kind) + ":" + q.ID }

// Automatic answers a question with a fact. With Share the fact's percent is the answer:
// yes from Yes, partly from Partly, else no. Without it a bound decides.
type Automatic struct {
	Fact      string   `yaml:"fact"`
	Share     bool     `yaml:"share"`
	Yes       float64  `yaml:"yes"`
	Partly    float64  `yaml:"partly"`
	AtLeast   *float64 `yaml:"at_least"`
	AtMost    *float64 `yaml:"at_most"`
	BlockedBy string   `yaml:"blocked_by"` // a count that must be 0 for anything but no
	OnlyYes   bool     `yaml:"only_yes"`   // a bound that is not met decides nothing: ask the next one
}

// Condition compares a fact with bounds. A fact that is not known meets none, except
// with Missing, which asks for just that, or OrMissing.
type Condition struct {
	Fact      string   `yaml:"fact"`
	AtLeast   *float64 `yaml:"at_least"`
	AtMost    *float64 `yaml:"at_most"`
	Above     *float64 `yaml:"above"`
	Below     *float64 `yaml:"below"`
	Missing   bool     `yaml:"missing"`
	OrMissing bool     `yaml:"or_missing"`
}

// Effort is a range of person-days, with more for each unit of a fact.
type Effort struct {
	From float64 `yaml:"from"`
	To   float64 `yaml:"to"`
	Per  string  `yaml:"per"`
	Each float64 `yaml:"each"` // added to To per unit, a third of it to From
	Most float64 `yaml:"most"` // of what is added
}

// Rule recommends something when its conditions hold.
type Rule struct {
	ID        string              `yaml:"id"`
	When      []Condition         `yaml:"when"`
	Gate      string              `yaml:"gate"`   // the gate that it opens; first of all while that gate holds the band down
	Urgent    bool                `yaml:"urgent"` // first of all in any case
	Do        Words               `yaml:"do"`
	Why       Words               `yaml:"why"`
	Steps     []Step              `yaml:"steps"`
	Effort    Effort              `yaml:"effort"`
	Task      string              `yaml:"task"`
	Criterion lienthong.Criterion `yaml:"criterion"`
	Closes    []string            `yaml:"closes"` // parts of the score that it brings to their target
	Opens     []string            `yaml:"opens"`  // parts that it makes measurable; they promise no points
	Target    Grade               `yaml:"target"` // of the evidence that it will give; default M
	Who       string              `yaml:"who"`    // role
}

// Step is one thing to do, with a command or page of the platform where there is one.
type Step struct {
	Words   `yaml:",inline"`
	Command string `yaml:"command" json:"command,omitempty"`
	Page    string `yaml:"page" json:"page,omitempty"`
}

// Publication is what official texts and the national press have published about a
// database: dated data for databases that are not connected yet.
type Publication struct {
	Database string        `yaml:"database"`
	At       string        `yaml:"at"`
	State    BuildingState `yaml:"state"`
	Words    `yaml:",inline"`
	Source   string `yaml:"source"`
}

func (m *Method) find(id string) *Question {
	for i := range m.questions {
		if m.questions[i].ID == id {
			return &m.questions[i]
		}
	}
	return nil
}

func (m *Method) section(kind Kind, id string) (*Section, bool) {
	for i := range m.sections {
		if m.sections[i].Kind == kind && m.sections[i].ID == id {
			return &m.sections[i], true
		}
	}
	return nil, false
}

// Questions returns the checks and requirements, in the order of the data.
func (m *Method) Questions() []Question { return slices.Clone(m.questions) }

// Question returns the check or requirement with the identifier: "13" or "A07".
func (m *Method) Question(id string) (Question, bool) {
	if q := m.find(id); q != nil {
		return *q, true
	}
	return Question{}, false
}

// Sections returns the groups of checks and the frameworks of requirements.
func (m *Method) Sections(kind Kind) []Section {
	var list []Section
	for _, s := range m.sections {
		if s.Kind == kind {
			list = append(list, s)
		}
	}
	return list
}

// Task returns the Resolution's task with the code.
func (m *Method) Task(code string) (dictionary.Task, bool) {
	for i := range m.tasks {
		if m.tasks[i].Code == code {
			return m.tasks[i], true
		}
	}
	return dictionary.Task{}, false
}

func (m *Method) expectedLevel(class lienthong.DatabaseClass) float64 {
	for _, l := range m.levels {
		if l.Class == class {
			return l.Level
		}
	}
	return 3
}

func (m *Method) credit(grade Grade, verified bool) float64 {
	switch grade {
	case Measured:
		return m.credits.Measured
	case Reconciled:
		return m.credits.Reconciled
	case Signed:
		return m.credits.Signed
	case Declared:
		if verified {
			return m.credits.Verified
		}
		return m.credits.Declared
	}
	return 0
}

// expired reports whether an answer no longer counts. A zero time never counts.
func (m *Method) expired(a *Answer, now int64) bool {
	return now >= m.expiresAt(a)
}

// expiresAt is the instant from which an answer no longer counts: the method's months after
// the evidence was given, or its own end when that is earlier.
func (m *Method) expiresAt(a *Answer) int64 {
	end := time.UnixMicro(a.At).UTC().AddDate(0, m.expiry, 0).UnixMicro()
	if a.Until != 0 {
		end = min(end, a.Until)
	}
	return end
}

// Bands lists the bands, the lowest first as the data have them.
func (m *Method) Bands() []Band { return slices.Clone(m.bands) }

// Gates lists what can hold a band down.
func (m *Method) Gates() []Gate { return slices.Clone(m.gates) }

package assessment

import (
	"math"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/quality"
)

// Assessment is where a database stands at an instant, with everything that is needed
// to compute it again.
type Assessment struct {
	Database        lienthong.Database `json:"database"`
	Owner           lienthong.Member   `json:"owner"`
	At              int64              `json:"at"`
	Method          string             `json:"method"`
	Group           GroupResult        `json:"group"`
	Criteria        []CriterionResult  `json:"criteria"`
	Index           IndexResult        `json:"index"`
	Questions       []Result           `json:"questions"` // the checks, then the requirements
	Parts           []Part             `json:"parts"`
	Dimensions      []DimensionResult  `json:"dimensions"`
	Points          float64            `json:"points"`   // of 100: the sum of the parts
	Coverage        float64            `json:"coverage"` // percent of the 100 points about which something is known
	OfKnown         float64            `json:"of_known"` // points of what is known, in percent
	Band            BandResult         `json:"band"`
	Recommendations []Recommendation   `json:"recommendations"`
	Evidence        []GradeShare       `json:"evidence"`
	Sample          SampleResult       `json:"sample"`
	Figures         []FigureResult     `json:"figures"` // every fact that was known
}

// GroupResult is the database's status group.
type GroupResult struct {
	ID int `json:"id"` // 1-4; 0: not known
	Words
	Why    Words  `json:"why"`
	Task   string `json:"task,omitempty"`
	Source string `json:"source,omitempty"`
}

// CriterionResult is one of the six criteria.
type CriterionResult struct {
	Criterion lienthong.Criterion `json:"criterion"`
	Words
	Value    float64        `json:"value"`
	Known    bool           `json:"known"`
	Coverage float64        `json:"coverage"`
	Colour   quality.Colour `json:"colour"`
	Gates    int            `json:"gates"`
	Grade    Grade          `json:"grade,omitempty"`
}

// IndexResult is the data quality index with its weakest criterion: a mean never stands alone.
type IndexResult struct {
	Value    float64             `json:"value"`
	Known    bool                `json:"known"`
	Measured int                 `json:"measured"`
	Of       int                 `json:"of"`
	Colour   quality.Colour      `json:"colour"`
	Lowest   lienthong.Criterion `json:"lowest,omitempty"`
	LowestAt float64             `json:"lowest_at"`
	Gates    int                 `json:"gates"`
}

// Part is one term of the points: Points = Most × Value × Credit.
type Part struct {
	ID        string `json:"id"`
	Dimension string `json:"dimension"`
	Words
	Most     float64 `json:"most"`   // its share of the hundred points
	Value    float64 `json:"value"`  // 0..1
	Credit   float64 `json:"credit"` // 0..1, by the grade of the evidence
	Points   float64 `json:"points"`
	Known    bool    `json:"known"`
	Grade    Grade   `json:"grade,omitempty"`
	Verified bool    `json:"verified,omitempty"`
}

// DimensionResult is the sum of the parts of one dimension.
type DimensionResult struct {
	ID string `json:"id"`
	Words
	Most     float64 `json:"most"`
	Points   float64 `json:"points"`
	Coverage float64 `json:"coverage"`
}

// BandResult is the range that the points fall into, and what caps it.
type BandResult struct {
	ID int `json:"id"`
	Words
	Uncapped int          `json:"uncapped"` // by the points alone
	Gates    []GateResult `json:"gates,omitempty"`
}

// GateResult is a gate that is shut.
type GateResult struct {
	ID  string `json:"id"`
	Cap int    `json:"cap"`
	Words
	Source string `json:"source"`
}

// GradeShare is how much of the hundred points rests on evidence of one grade.
type GradeShare struct {
	Grade    Grade   `json:"grade"` // empty: nothing is known
	Verified bool    `json:"verified,omitempty"`
	Share    float64 `json:"share"`
	Parts    int     `json:"parts"`
}

// FigureResult is a fact with its name and words.
type FigureResult struct {
	Name string `json:"name"`
	Words
	Unit Unit `json:"unit"`
	Observation
}

// Assess computes everything about one database at an instant.
func (m *Method) Assess(facts *Facts, now int64) *Assessment {
	r := &reading{Facts: facts, now: now, method: m}
	for i := range facts.Answers {
		if answer := &facts.Answers[i]; m.counts(answer, now) {
			r.live = append(r.live, *answer)
		}
	}
	v := &view{m: m, r: r, observed: make([]Observation, len(m.figures))}
	for i := range m.figures {
		v.observed[i] = m.figures[i].read(r)
	}
	a := &Assessment{Database: facts.Database, Owner: facts.Owner, At: now, Method: m.Version, Sample: sampleOf(facts.Samples)}
	for i, o := range v.observed {
		if o.Known {
			a.Figures = append(a.Figures, FigureResult{m.figures[i].name, m.figures[i].words, m.figures[i].unit, o})
		}
	}
	a.Group = v.group()
	a.Criteria, a.Index = v.criteria()
	a.Questions = v.questions()
	a.Parts = v.parts(a)
	v.total(a)
	a.Band = v.band(a)
	a.Recommendations = v.recommend(a)
	return a
}

// view evaluates the method's conditions and texts over the figures of one database.
type view struct {
	m        *Method
	r        *reading
	observed []Observation
}

func (v *view) fact(name string) Observation { return v.observed[v.m.byName[name]] }

// holds reports whether all conditions are met.
func (v *view) holds(conditions []Condition) bool {
	for i := range conditions {
		if !v.met(&conditions[i]) {
			return false
		}
	}
	return true
}

func (v *view) met(c *Condition) bool {
	o := v.fact(c.Fact)
	if !o.Known {
		return c.Missing || c.OrMissing
	}
	switch {
	case c.Missing,
		c.AtLeast != nil && o.Value < *c.AtLeast,
		c.AtMost != nil && o.Value > *c.AtMost,
		c.Above != nil && o.Value <= *c.Above,
		c.Below != nil && o.Value >= *c.Below:
		return false
	}
	return true
}

// text fills the placeholders of a text in both languages.
func (v *view) text(words Words, extra ...string) Words {
	return Words{v.fill(words.Vi, "vi", extra), v.fill(words.En, "en", extra)}
}

// fill replaces each {name}. Extra holds pairs of name and Vietnamese, English text in turn.
func (v *view) fill(text, language string, extra []string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	for _, name := range placeholders(text) {
		text = strings.ReplaceAll(text, "{"+name+"}", v.value(name, language, extra))
	}
	return text
}

func (v *view) value(name, language string, extra []string) string {
	for i := 0; i+2 < len(extra); i += 3 {
		if extra[i] == name {
			return byLanguage(language, extra[i+1], extra[i+2])
		}
	}
	switch name {
	case "database":
		return byLanguage(language, v.r.Database.NameVi, v.r.Database.NameEn)
	case "owner":
		return ownerName(v.r.Facts, language)
	case "member":
		if v.r.Owner.Code == "" {
			return "CODE"
		}
		return string(v.r.Owner.Code)
	case "code":
		return v.r.Database.Code
	}
	if criterion, found := strings.CutPrefix(name, "weakest_"); found {
		return v.weakest(lienthong.Criterion(criterion), language)
	}
	i, found := v.m.byName[name]
	if !found {
		return ""
	}
	if !v.observed[i].Known {
		return byLanguage(language, "chưa rõ", "not known")
	}
	return v.m.figures[i].unit.write(v.observed[i].Value, language)
}

// weakest names the part of a criterion that is furthest from 100.
func (v *view) weakest(c lienthong.Criterion, language string) string {
	fact, found := v.r.criterion(c)
	if !found || !fact.Known || fact.Weakest.Vi == "" {
		return byLanguage(language, "không có phần nào dưới 100 %", "no part below 100 %")
	}
	return fact.Weakest.In(language) + " (" + Percent.write(fact.WeakestAt, language) + ")"
}

func ownerName(f *Facts, language string) string {
	if name := byLanguage(language, f.Owner.NameVi, f.Owner.NameEn); name != "" {
		return name
	}
	if f.Database.Owner != "" {
		return string(f.Database.Owner)
	}
	return byLanguage(language, "chủ quản", "the owner")
}

func (v *view) group() GroupResult {
	for _, g := range v.m.groups {
		if v.holds(g.When) {
			return GroupResult{g.ID, g.Words, v.text(g.Why), g.Task, g.Source}
		}
	}
	return GroupResult{Words: Words{"Chưa rõ nhóm", "Group not known"}}
}

func (v *view) criteria() ([]CriterionResult, IndexResult) {
	results := make([]CriterionResult, 0, len(lienthong.Criteria()))
	index := IndexResult{Of: len(indexCriteria()), LowestAt: 100}
	for _, c := range lienthong.Criteria() {
		result := CriterionResult{Criterion: c, Words: criterionWords(c)}
		if fact, found := v.r.criterion(c); found && fact.Known {
			result.Value, result.Known, result.Coverage, result.Gates, result.Grade = fact.Value, true, fact.Coverage, fact.Gates, v.r.Quality.Grade
			if c != lienthong.Shared {
				index.Measured++
				index.Gates += fact.Gates
				if index.Lowest == "" || fact.Value < index.LowestAt {
					index.Lowest, index.LowestAt = c, fact.Value
				}
			}
		}
		result.Colour = v.m.quality.Colour(result.Value, result.Known)
		if result.Known && result.Gates > 0 {
			result.Colour = quality.Red
		}
		results = append(results, result)
	}
	index.Value, index.Known = v.r.Quality.Index, v.r.Quality.Known
	index.Colour = v.m.quality.Colour(index.Value, index.Known)
	if index.Known && index.Gates > 0 {
		index.Colour = quality.Red
	}
	return results, index
}

// partIDs lists the parts of the points.
func (m *Method) partIDs() []string {
	var ids []string
	for _, c := range lienthong.Criteria() {
		ids = append(ids, "criterion:"+string(c))
	}
	for i := range m.questions {
		ids = append(ids, m.questions[i].Part())
	}
	for _, o := range m.operation {
		ids = append(ids, "operation:"+o.Fact)
	}
	return ids
}

// The dimensions that the program fills.
const (
	dimensionQuality      = "quality"
	dimensionSharing      = "sharing"
	dimensionReadiness    = "readiness"
	dimensionArchitecture = "architecture"
	dimensionOperation    = "operation"
)

// parts lays out the hundred points. Inside a dimension the points are shared by weight;
// what does not apply to the database takes no share.
func (v *view) parts(a *Assessment) []Part {
	var parts []Part
	for _, dimension := range v.m.dimensions {
		own := v.dimension(dimension.ID, a)
		total := 0.0
		for i := range own {
			total += own[i].Most
		}
		for i := range own {
			p := &own[i]
			p.Dimension = dimension.ID
			p.Most = dimension.Weight * p.Most / total
			p.Credit = 0
			if p.Known {
				p.Credit = v.m.credit(p.Grade, p.Verified)
			}
			p.Points = p.Most * p.Value * p.Credit
		}
		parts = append(parts, own...)
	}
	return parts
}

// dimension lists the parts of a dimension with their weights in Most.
func (v *view) dimension(id string, a *Assessment) []Part {
	var parts []Part
	switch id {
	case dimensionQuality:
		for _, w := range v.m.index {
			parts = append(parts, v.figurePart("criterion:", string(w.Criterion), criterionWords(w.Criterion), w.Weight))
		}
	case dimensionSharing:
		parts = append(parts, v.figurePart("criterion:", string(lienthong.Shared), criterionWords(lienthong.Shared), 1))
	case dimensionReadiness, dimensionArchitecture:
		kind := Readiness
		if id == dimensionArchitecture {
			kind = Architecture
		}
		for i := range a.Questions {
			result := &a.Questions[i]
			if result.Kind != kind || !result.Applies {
				continue
			}
			parts = append(parts, Part{
				ID: result.Part(), Words: result.Words, Most: result.Weight, Value: result.Value,
				Known: result.Verdict != Unknown, Grade: result.Grade, Verified: result.Verified,
			})
		}
	case dimensionOperation:
		for _, o := range v.m.operation {
			parts = append(parts, v.figurePart("operation:", o.Fact, v.m.figures[v.m.byName[o.Fact]].words, o.Weight))
		}
	}
	return parts
}

func (v *view) figurePart(prefix, fact string, words Words, weight float64) Part {
	o := v.fact(fact)
	part := Part{ID: prefix + fact, Words: words, Most: weight, Known: o.Known, Grade: o.Grade, Verified: o.Verified}
	if o.Known {
		part.Value = math.Max(0, math.Min(1, o.Value/100))
	}
	return part
}

// total adds up the parts. Nothing is rounded here.
func (v *view) total(a *Assessment) {
	shares := []GradeShare{{Grade: Measured}, {Grade: Reconciled}, {Grade: Signed}, {Grade: Declared, Verified: true}, {Grade: Declared}, {}}
	known := 0.0
	for _, dimension := range v.m.dimensions {
		result := DimensionResult{ID: dimension.ID, Words: dimension.Words, Most: dimension.Weight}
		covered := 0.0
		for i := range a.Parts {
			p := &a.Parts[i]
			if p.Dimension != dimension.ID {
				continue
			}
			result.Points += p.Points
			if p.Known {
				covered += p.Most
			}
			for s := range shares {
				if shares[s].Grade == p.Grade && shares[s].Verified == (p.Grade == Declared && p.Verified) {
					shares[s].Share += p.Most
					shares[s].Parts++
				}
			}
		}
		if dimension.Weight > 0 {
			result.Coverage = 100 * covered / dimension.Weight
		}
		known += covered
		a.Points += result.Points
		a.Dimensions = append(a.Dimensions, result)
	}
	a.Coverage = known
	if known > 0 {
		a.OfKnown = 100 * a.Points / known
	}
	a.Evidence = shares
}

// band finds the range of the points and caps it by the gates.
func (v *view) band(a *Assessment) BandResult {
	result := BandResult{}
	for _, band := range v.m.bands {
		if a.Points >= band.From {
			result.Uncapped = band.ID
			break
		}
	}
	result.ID = result.Uncapped
	shut := func(g GateResult) {
		result.Gates = append(result.Gates, g)
		result.ID = min(result.ID, g.Cap)
	}
	for _, gate := range v.m.gates {
		if v.holds(gate.When) {
			shut(GateResult{gate.ID, gate.Cap, v.text(gate.Words), gate.Source})
		}
	}
	if a.Coverage < v.m.evidence {
		covered, wanted := Words{Percent.write(a.Coverage, "vi"), Percent.write(a.Coverage, "en")}, v.m.evidence
		shut(GateResult{"evidence", 2, Words{
			"chưa đủ căn cứ: mới biết " + covered.Vi + " của thang điểm, cần " + Percent.write(wanted, "vi"),
			"insufficient evidence: " + covered.En + " of the points are known, " + Percent.write(wanted, "en") + " are needed",
		}, "method"})
	}
	for _, band := range v.m.bands {
		if band.ID == result.ID {
			result.Words = band.Words
		}
	}
	return result
}

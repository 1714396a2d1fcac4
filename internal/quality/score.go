package quality

import (
	"cmp"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
)

// Method says how counters become scores. The zero value is the method of
// Official Letter 4856/BCA-TTDLQG (14 September 2026), annex 3: a rule scores
// passed/total*100, a criterion the weighted mean of its rules, a database the
// mean of its datasets, the index the mean of the criteria.
type Method struct {
	Green  float64 // from here on green; 0 means 90
	Yellow float64 // from here on yellow, below red; 0 means 75
	// Lag is the lag from source to hub up to which a database counts as fully
	// live; 0 means one minute.
	Lag time.Duration
	// Weights of the criteria in the index; nil weighs each 1. Shared is never part of
	// the index: it says how data are used, not how good they are.
	Weights map[lienthong.Criterion]float64
	// Evidence is the coverage below which a scorecard rests on too little to be green; 0 means 80.
	Evidence float64
	// DatasetWeights are the weights of datasets in their database, and DatabaseWeights those
	// of databases in their agency. What is not named weighs 1.
	DatasetWeights  map[lienthong.DatasetID]float64
	DatabaseWeights map[string]float64
}

// Colour is the traffic light of a score.
type Colour string

// The colours. Grey is for what was not measured.
const (
	Green  Colour = "green"
	Yellow Colour = "yellow"
	Red    Colour = "red"
	Grey   Colour = "grey"
)

// CriterionScore is one of the six figures of a dataset or database, with
// everything that is needed to compute it again.
type CriterionScore struct {
	Criterion lienthong.Criterion `json:"criterion"`
	Value     float64             `json:"value"` // 0..100
	Known     bool                `json:"known"` // false: nothing was measured, Value means nothing
	FormulaVi string              `json:"formula_vi"`
	FormulaEn string              `json:"formula_en"`
	Parts     []Part              `json:"parts"`
	// Coverage is how much of what should be measured was, by weight, 0..100. What was not is
	// in Parts too, and not Known.
	Coverage float64 `json:"coverage"`
	// Gate lists identifier rules that are not at 100 %. Any makes the index red.
	Gate []Part `json:"gate,omitempty"`
}

// Part is one term of a score: Value = Numerator/Denominator*100, and the
// score is the mean of the known Values by Weight.
type Part struct {
	LabelVi     string  `json:"label_vi"`
	LabelEn     string  `json:"label_en"`
	Numerator   float64 `json:"numerator"`
	Denominator float64 `json:"denominator"`
	Value       float64 `json:"value"`
	Weight      float64 `json:"weight"`
	Known       bool    `json:"known"` // false: not measured, and left out of the score
	// Which rule it is, for parts that are rules: Dataset, Code and Field name it.
	Dataset string `json:"dataset,omitempty"`
	Code    string `json:"code,omitempty"`
	Field   string `json:"field,omitempty"`
	// Coverage is that of the score that the part stands for; 100 or 0 for a rule.
	Coverage float64 `json:"coverage"`
}

// Index is the data quality index (DQI) of a dataset or database.
type Index struct {
	Value     float64 `json:"value"`
	Known     bool    `json:"known"`
	Measured  int     `json:"measured"` // criteria that were measured, of Of
	Of        int     `json:"of"`
	Colour    Colour  `json:"colour"`
	Gate      []Part  `json:"gate,omitempty"` // identifier rules below 100 %; any makes the colour red
	FormulaVi string  `json:"formula_vi"`
	FormulaEn string  `json:"formula_en"`
	// Least is the lowest of the measured criteria of the index, which a mean hides.
	Least   float64             `json:"least"`
	LeastOf lienthong.Criterion `json:"least_of,omitempty"`
	// Coverage is the mean of that of the criteria. Below Method.Evidence the index is
	// Insufficient; a Scorecard then shows it as yellow at best.
	Coverage     float64 `json:"coverage"`
	Insufficient bool    `json:"insufficient,omitempty"`
}

// Score computes the six criteria, in the order of the Resolution. Counters of
// one dataset are parts of it and are merged; several datasets make a
// database, whose figures are the mean of its datasets. at is the time to
// measure ages from, in microseconds.
func (m Method) Score(at int64, counters ...Counters) []CriterionScore {
	var datasets []Counters
	for i := range counters {
		known := slices.IndexFunc(datasets, func(d Counters) bool { return d.Dataset == counters[i].Dataset })
		if known < 0 {
			datasets = append(datasets, counters[i])
			continue
		}
		datasets[known].Merge(&counters[i])
	}
	if len(datasets) == 1 {
		return m.dataset(at, &datasets[0], nil)
	}
	slices.SortFunc(datasets, func(a, b Counters) int { return cmp.Compare(a.Dataset.String(), b.Dataset.String()) })
	cards := make([]Scorecard, len(datasets))
	for i := range datasets {
		cards[i] = m.datasetCard(at, &datasets[i], nil)
	}
	return joinCriteria(DatabaseLevel, cards)
}

// Index computes the index from the six scores.
func (m Method) Index(scores []CriterionScore) Index {
	index := Index{
		FormulaVi: "Σ(tiêu chí × trọng số) / Σ trọng số của các tiêu chí đã đo; không tính dùng chung; trường định danh phải đạt 100 %",
		FormulaEn: "Σ(criterion × weight) / Σ weight over the measured criteria; shared is not counted; identifier fields must reach 100 %",
	}
	var parts []Part
	for i := range scores {
		score := &scores[i]
		index.Gate = append(index.Gate, score.Gate...)
		if score.Criterion == lienthong.Shared {
			continue
		}
		index.Of++
		if score.Known {
			index.Measured++
			if index.LeastOf == "" || score.Value < index.Least {
				index.Least, index.LeastOf = score.Value, score.Criterion
			}
		}
		weight := 1.0
		if m.Weights != nil {
			weight = m.Weights[score.Criterion]
		}
		parts = append(parts, Part{Value: score.Value, Weight: weight, Known: score.Known, Coverage: score.Coverage})
	}
	index.Value, index.Known = mean(parts)
	index.Coverage = coverage(parts)
	index.Colour = m.Colour(index.Value, index.Known)
	index.Insufficient = index.Known && !m.Sufficient(index.Coverage)
	if len(index.Gate) > 0 {
		index.Colour = Red
	}
	return index
}

// Sufficient reports whether a coverage is enough to judge by.
func (m Method) Sufficient(coverage float64) bool { return coverage >= cmp.Or(m.Evidence, 80)-1e-9 }

// Colour is the traffic light of a value.
func (m Method) Colour(value float64, known bool) Colour {
	const rounding = 1e-9
	switch {
	case !known:
		return Grey
	case value >= cmp.Or(m.Green, 90)-rounding:
		return Green
	case value >= cmp.Or(m.Yellow, 75)-rounding:
		return Yellow
	}
	return Red
}

// dataset scores one dataset. What is expected and was not counted is not measured.
func (m Method) dataset(at int64, c *Counters, expected []ExpectedRule) []CriterionScore {
	scores := make([]CriterionScore, 0, len(lienthong.Criteria()))
	for _, criterion := range lienthong.Criteria() {
		score := CriterionScore{
			Criterion: criterion,
			FormulaVi: "Σ(điểm phần × trọng số) / Σ trọng số; điểm quy tắc = số bản ghi đạt / tổng số × 100",
			FormulaEn: "Σ(part × weight) / Σ weight; a rule scores records that pass / total × 100",
		}
		score.rules(c, "", expected)
		rules := 0.0
		for _, part := range score.Parts {
			if part.Known {
				rules += part.Weight
			}
		}
		// What is not a rule weighs as much as all rules of the criterion together.
		weight := max(1, rules)
		switch criterion {
		case lienthong.Complete:
			usable := c.Rows - c.Quarantined
			score.add("độ phủ: bản ghi dùng được / số đối tượng đã khai", "coverage: usable records / declared objects",
				float64(min(usable, c.Declared)), float64(c.Declared), weight)
			score.formula("; độ phủ nặng bằng tất cả các quy tắc, nhiều nhất 100", "; coverage weighs as much as all the rules, at most 100")
		case lienthong.Live:
			m.live(&score, at, c.Sources, weight)
			score.formula("; mới = hạn đã khai / tuổi của thay đổi cuối, trễ = mức cho phép / độ trễ p99, nhiều nhất 100; hai phần nặng bằng tất cả các quy tắc",
				"; fresh = declared interval / age of the last change, lag = allowed / p99 lag, at most 100; the two weigh as much as all the rules")
		case lienthong.Unified:
			score.add("cột đã ánh xạ vào từ điển / tổng số cột", "columns mapped to the dictionary / all columns",
				float64(c.MappedColumns), float64(c.TotalColumns), weight)
			score.formula("; tỷ lệ cột đã ánh xạ nặng bằng tất cả các quy tắc", "; the share of mapped columns weighs as much as all the rules")
		case lienthong.Shared:
			score.Parts = append(score.Parts,
				atLeastOne("dịch vụ đã công bố (cần ít nhất 1)", "published services (at least 1 is needed)", c.Services),
				atLeastOne("cơ quan đang khai thác (cần ít nhất 1)", "members that use them (at least 1 is needed)", c.Consumers))
			score.formula("; một nửa cho dịch vụ đã công bố, một nửa cho cơ quan khai thác", "; one half for a published service, one half for a member that uses it")
		case lienthong.Correct, lienthong.Clean:
		}
		score.Value, score.Known = mean(score.Parts)
		score.Coverage = coverage(score.Parts)
		scores = append(scores, score)
	}
	return scores
}

func (s *CriterionScore) formula(vi, en string) {
	s.FormulaVi += vi
	s.FormulaEn += en
}

// rules adds a part for each rule of the criterion; of one field, unless it is "".
func (s *CriterionScore) rules(c *Counters, field string, expected []ExpectedRule) {
	gated := s.Criterion == lienthong.Correct || s.Criterion == lienthong.Complete || s.Criterion == lienthong.Clean
	mine := func(criterion lienthong.Criterion, of string) bool {
		return criterion == s.Criterion && (field == "" || of == field)
	}
	name := func(code, field string) *Part {
		part := &s.Parts[len(s.Parts)-1]
		part.Dataset, part.Code, part.Field = c.Dataset.String(), code, field
		return part
	}
	for i := range c.Rules {
		rule := &c.Rules[i]
		if !mine(rule.Criterion, rule.Field) {
			continue
		}
		open := min(rule.Open, c.Rows)
		s.add(rule.Vi+" ("+rule.Field+")", rule.En+" ("+rule.Field+")",
			float64(c.Rows-open), float64(c.Rows), float64(max(1, rule.Weight)))
		if part := name(rule.Code, rule.Field); gated && rule.Identifier && open > 0 {
			s.Gate = append(s.Gate, *part)
		}
	}
	for i := range c.Sets {
		set := &c.Sets[i]
		if !mine(set.Criterion, set.Field) {
			continue
		}
		failed := min(set.Failed, set.Checked)
		s.add(set.Vi+" ("+set.Field+")", set.En+" ("+set.Field+")", float64(set.Checked-failed), float64(set.Checked), 1)
		if part := name(set.Code, set.Field); gated && set.Identifier && failed > 0 {
			s.Gate = append(s.Gate, *part)
		}
	}
	for i := range expected {
		rule := &expected[i]
		if rule.Dataset != c.Dataset || !mine(rule.Criterion, rule.Field) || c.has(rule.Code, rule.Field) {
			continue
		}
		s.add(rule.Vi+" ("+rule.Field+")", rule.En+" ("+rule.Field+")", 0, 0, float64(max(1, rule.Weight)))
		name(rule.Code, rule.Field)
	}
}

// live adds freshness and lag of every source. Together they weigh weight.
func (m Method) live(s *CriterionScore, at int64, sources []SourceCounter, weight float64) {
	allowed := cmp.Or(m.Lag, time.Minute).Seconds()
	share := weight / float64(max(1, 2*len(sources)))
	if len(sources) == 0 {
		sources = []SourceCounter{{}}
		share = weight / 2
	}
	for _, source := range sources {
		node := source.Node
		if node != "" {
			node = " (" + node + ")"
		}
		interval := float64(source.Interval) / 1e6
		age := 0.0
		if source.LastChange != 0 && interval > 0 {
			age = max(float64(at-source.LastChange)/1e6, interval)
		}
		s.add("mới: hạn đã khai / tuổi, giây"+node, "fresh: declared interval / age, seconds"+node, interval, age, share)
		lag := 0.0
		if source.Lag > 0 {
			lag = max(float64(source.Lag)/1e6, allowed)
		}
		s.add("trễ: mức cho phép / độ trễ, giây"+node, "lag: allowed / lag, seconds"+node, allowed, lag, share)
	}
}

// add appends a part; one without a denominator was not measured.
func (s *CriterionScore) add(vi, en string, numerator, denominator, weight float64) {
	part := Part{LabelVi: vi, LabelEn: en, Numerator: numerator, Denominator: denominator, Weight: weight}
	if denominator > 0 {
		part.Known, part.Coverage = true, 100
		part.Value = min(100, max(0, 100*numerator/denominator))
	}
	s.Parts = append(s.Parts, part)
}

func atLeastOne(vi, en string, count int64) Part {
	part := Part{LabelVi: vi, LabelEn: en, Numerator: float64(count), Denominator: 1, Weight: 1, Known: true, Coverage: 100}
	if count > 0 {
		part.Value = 100
	}
	return part
}

// coverage is the weighted mean of the coverage of all parts, 0 without any.
func coverage(parts []Part) float64 {
	sum, weights := 0.0, 0.0
	for _, part := range parts {
		sum += part.Coverage * part.Weight
		weights += part.Weight
	}
	if weights <= 0 {
		return 0
	}
	return min(100, sum/weights)
}

// mean is the weighted mean of the parts that are known.
func mean(parts []Part) (value float64, known bool) {
	sum, weights := 0.0, 0.0
	for _, part := range parts {
		if part.Known {
			sum += part.Value * part.Weight
			weights += part.Weight
		}
	}
	if weights <= 0 {
		return 0, false
	}
	return min(100, max(0, sum/weights)), true
}

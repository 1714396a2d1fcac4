package quality

import (
	"cmp"
	"slices"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// Level is a step of the index, from the rule up to the agency. A rule is a Part, a criterion
// a CriterionScore, and each level above a Scorecard.
type Level string

// The levels that have scorecards.
const (
	FieldLevel    Level = "field"
	DatasetLevel  Level = "dataset"
	DatabaseLevel Level = "database"
	AgencyLevel   Level = "agency"
)

// Scorecard is how a field, a dataset, a database or an agency does. It carries all that it
// is computed from: every score is the weighted mean of the known Parts beside it, and the
// parts of a level are the scores of the level below, down to rules with their counts.
//
// A dataset's score of a criterion is the same whether one takes the mean of its rules, or
// first that of each field and then of the fields by the weight of their rules.
type Scorecard struct {
	Level    Level            `json:"level"`
	ID       string           `json:"id"`
	Vi       string           `json:"vi"`
	En       string           `json:"en"`
	Weight   float64          `json:"weight"` // among its siblings
	Criteria []CriterionScore `json:"criteria"`
	Index    Index            `json:"index"`
	Children []Scorecard      `json:"children,omitempty"`
}

// ExpectedRule is a rule that the dictionary or the definition of a dataset asks for,
// measured or not.
type ExpectedRule struct {
	Dataset   lienthong.DatasetID
	Code      string
	Field     string
	Vi        string
	En        string
	Criterion lienthong.Criterion
	Weight    int
}

// ExpectedRules lists what is to be measured of a dataset: the rules of one row and those
// over many records.
func ExpectedRules(dataset lienthong.DatasetID, rules []dictionary.Rule, sets []dictionary.SetRule) []ExpectedRule {
	var expected []ExpectedRule
	var kinds compiler // its problems are nobody's: what does not compile is not measured
	kinds.shape = &lienthong.Shape{Dataset: dataset}
	for i := range rules {
		rule := &rules[i]
		criterion := rule.Criterion
		if criterion == "" {
			group := rule.Group
			if group == "" {
				group = groupOf(kinds.kindOf(rule))
			}
			criterion = CriterionOf(group)
		}
		expected = append(expected, ExpectedRule{
			Dataset: dataset, Code: rule.Code, Field: rule.Field, Vi: cmp.Or(rule.Vi, rule.Code), En: cmp.Or(rule.En, rule.Code),
			Criterion: criterion, Weight: rule.Weight,
		})
	}
	for _, rule := range sets {
		set := NewSetCounter(rule, false, 0, 0)
		expected = append(expected, ExpectedRule{
			Dataset: dataset, Code: set.Code, Field: set.Field, Vi: set.Vi, En: set.En, Criterion: set.Criterion, Weight: 1,
		})
	}
	return expected
}

// Subject is a database to be scored.
type Subject struct {
	Database string // its code
	Vi       string
	En       string
	Counters []Counters     // of its datasets, in parts or merged
	Expected []ExpectedRule // may name datasets that nobody has counted: these are not measured
}

// Database scores a database down to its fields.
func (m Method) Database(at int64, subject Subject) Scorecard {
	var datasets []Counters
	place := func(dataset lienthong.DatasetID) *Counters {
		i := slices.IndexFunc(datasets, func(d Counters) bool { return d.Dataset == dataset })
		if i < 0 {
			datasets = append(datasets, Counters{Dataset: dataset})
			i = len(datasets) - 1
		}
		return &datasets[i]
	}
	for i := range subject.Counters {
		place(subject.Counters[i].Dataset).Merge(&subject.Counters[i])
	}
	for i := range subject.Expected {
		place(subject.Expected[i].Dataset)
	}
	slices.SortFunc(datasets, func(a, b Counters) int { return cmp.Compare(a.Dataset.String(), b.Dataset.String()) })
	card := Scorecard{Level: DatabaseLevel, ID: subject.Database, Vi: subject.Vi, En: subject.En, Weight: 1}
	if weight, named := m.DatabaseWeights[subject.Database]; named {
		card.Weight = weight
	}
	for i := range datasets {
		card.Children = append(card.Children, m.datasetCard(at, &datasets[i], subject.Expected))
	}
	m.join(&card)
	return card
}

// Agency scores an agency: the mean of its databases by weight.
func (m Method) Agency(at int64, member lienthong.MemberCode, vi, en string, subjects ...Subject) Scorecard {
	card := Scorecard{Level: AgencyLevel, ID: string(member), Vi: vi, En: en, Weight: 1}
	for _, subject := range subjects {
		card.Children = append(card.Children, m.Database(at, subject))
	}
	m.join(&card)
	return card
}

func (m Method) datasetCard(at int64, c *Counters, expected []ExpectedRule) Scorecard {
	card := Scorecard{Level: DatasetLevel, ID: c.Dataset.String(), Vi: c.Dataset.String(), En: c.Dataset.String(), Weight: 1}
	if weight, named := m.DatasetWeights[c.Dataset]; named {
		card.Weight = weight
	}
	card.Criteria = m.dataset(at, c, expected)
	card.Index = m.cardIndex(card.Criteria)
	for _, field := range fieldsOf(c, expected) {
		card.Children = append(card.Children, m.field(c, field, expected))
	}
	return card
}

// fieldsOf lists the fields that rules are about, in the order of the rules.
func fieldsOf(c *Counters, expected []ExpectedRule) []string {
	var fields []string
	add := func(field string) {
		if field != "" && !slices.Contains(fields, field) {
			fields = append(fields, field)
		}
	}
	for i := range c.Rules {
		add(c.Rules[i].Field)
	}
	for i := range c.Sets {
		add(c.Sets[i].Field)
	}
	for i := range expected {
		if expected[i].Dataset == c.Dataset {
			add(expected[i].Field)
		}
	}
	return fields
}

// field scores one field by its rules alone. Its weight in a criterion of the dataset is the
// sum of the weights of its measured rules there.
func (m Method) field(c *Counters, field string, expected []ExpectedRule) Scorecard {
	card := Scorecard{Level: FieldLevel, ID: field, Vi: field, En: field}
	for _, criterion := range lienthong.Criteria() {
		score := CriterionScore{
			Criterion: criterion,
			FormulaVi: "Σ(điểm quy tắc × trọng số) / Σ trọng số; điểm quy tắc = số bản ghi đạt / tổng số × 100",
			FormulaEn: "Σ(rule × weight) / Σ weight; a rule scores records that pass / total × 100",
		}
		score.rules(c, field, expected)
		for _, part := range score.Parts {
			if part.Known {
				card.Weight += part.Weight
			}
		}
		score.Value, score.Known = mean(score.Parts)
		score.Coverage = coverage(score.Parts)
		card.Criteria = append(card.Criteria, score)
	}
	// A field is judged by the criteria that have rules for it.
	card.Index = m.cardIndex(slices.DeleteFunc(slices.Clone(card.Criteria), func(s CriterionScore) bool { return len(s.Parts) == 0 }))
	return card
}

// cardIndex is the index, but not green where too little was measured.
func (m Method) cardIndex(scores []CriterionScore) Index {
	index := m.Index(scores)
	if index.Insufficient && index.Colour == Green {
		index.Colour = Yellow
	}
	return index
}

// join computes a card from its children.
func (m Method) join(card *Scorecard) {
	card.Criteria = joinCriteria(card.Level, card.Children)
	card.Index = m.cardIndex(card.Criteria)
}

// joinCriteria takes the mean of the children, criterion by criterion.
func joinCriteria(level Level, children []Scorecard) []CriterionScore {
	vi, en := "trung bình có trọng số của các tập dữ liệu đã đo", "the weighted mean of the measured datasets"
	if level == AgencyLevel {
		vi, en = "trung bình có trọng số của các cơ sở dữ liệu đã đo", "the weighted mean of the measured databases"
	}
	scores := make([]CriterionScore, 0, len(lienthong.Criteria()))
	for n, criterion := range lienthong.Criteria() {
		score := CriterionScore{Criterion: criterion, FormulaVi: vi, FormulaEn: en}
		for i := range children {
			child := &children[i]
			own := &child.Criteria[n]
			part := Part{
				LabelVi: cmp.Or(child.Vi, child.ID), LabelEn: cmp.Or(child.En, child.ID), Denominator: 100,
				Weight: child.Weight, Known: own.Known, Coverage: own.Coverage,
			}
			if own.Known {
				part.Numerator, part.Value = own.Value, own.Value
			}
			score.Parts = append(score.Parts, part)
			for _, gate := range own.Gate {
				gate.LabelVi, gate.LabelEn = part.LabelVi+": "+gate.LabelVi, part.LabelEn+": "+gate.LabelEn
				score.Gate = append(score.Gate, gate)
			}
		}
		score.Value, score.Known = mean(score.Parts)
		score.Coverage = coverage(score.Parts)
		scores = append(scores, score)
	}
	return scores
}

// has reports whether a rule was counted, whatever came out.
func (c *Counters) has(code, field string) bool {
	return slices.ContainsFunc(c.Rules, func(r RuleCounter) bool { return r.Code == code && r.Field == field }) ||
		slices.ContainsFunc(c.Sets, func(s SetCounter) bool { return s.Code == code && s.Field == field })
}

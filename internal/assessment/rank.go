package assessment

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

// Ranking is the data of the ranking.
type Ranking struct {
	Source   string        `yaml:"source"`
	Evidence float64       `yaml:"evidence"` // percent of the weight that must be known
	Least    int           `yaml:"least"`    // databases that must be connected
	Grades   []RankGrade   `yaml:"grades"`
	Measures []RankMeasure `yaml:"measures"`
}

// RankGrade is A, B or C with its lower bound.
type RankGrade struct {
	ID   string  `yaml:"id" json:"id"`
	From float64 `yaml:"from" json:"from"`
}

// RankMeasure is one of the five criteria of article 15: the mean of facts in percent, or a
// dimension of the score.
type RankMeasure struct {
	ID        string  `yaml:"id"`
	Weight    float64 `yaml:"weight"`
	Words     `yaml:",inline"`
	Facts     []string `yaml:"facts"`
	Dimension string   `yaml:"dimension"`
}

// League ranks those who can be compared: one class.
type League struct {
	Class string `json:"class"`
	Words
	Standings []Standing `json:"standings"` // ranked ones by place, then the others by name
}

// Standing is one agency or database in its league.
type Standing struct {
	ID string `json:"id"`
	Words
	Place     int         `json:"place"` // 0: not ranked, Why says why
	Tied      bool        `json:"tied,omitempty"`
	Grade     string      `json:"grade,omitempty"` // A, B, C
	Score     float64     `json:"score"`
	Low       float64     `json:"low"` // of the score; equal to it where nothing was sampled
	High      float64     `json:"high"`
	Sampled   bool        `json:"sampled,omitempty"`
	Evidence  float64     `json:"evidence"` // percent of the weight that is known
	Measures  []MeasureAt `json:"measures"`
	Databases int         `json:"databases"`
	Connected int         `json:"connected"`
	Why       Words       `json:"why"`
}

// MeasureAt is one of the five criteria of one standing.
type MeasureAt struct {
	ID string `json:"id"`
	Words
	Weight float64 `json:"weight"`
	Value  float64 `json:"value"` // the mean of the databases that are known
	Known  bool    `json:"known"`
	Share  float64 `json:"share"` // percent of the databases, or of the points, that is known
}

// RankingData returns the weights, bounds and source of the ranking.
func (m *Method) RankingData() Ranking { return m.rankings }

// RankAgencies ranks the agencies by the databases that they own, one league for each
// class of agency. Databases without an owner are left out.
func (m *Method) RankAgencies(assessments []*Assessment) []League {
	return m.rank(assessments, func(a *Assessment) (class string, words Words, id string, name Words) {
		class, words = agencyClass(a.Owner)
		return class, words, string(a.Owner.Code), Words{a.Owner.NameVi, a.Owner.NameEn}
	})
}

// RankDatabases ranks databases, one league for each class of database.
func (m *Method) RankDatabases(assessments []*Assessment) []League {
	return m.rank(assessments, func(a *Assessment) (class string, words Words, id string, name Words) {
		return string(a.Database.Class), databaseClass(a.Database.Class), a.Database.Code, Words{a.Database.NameVi, a.Database.NameEn}
	})
}

func agencyClass(owner lienthong.Member) (string, Words) {
	switch {
	case owner.Code == "":
		return "", Words{}
	case owner.Level == "province":
		return "province", Words{"Tỉnh, thành phố", "Provinces and cities"}
	case owner.Level == "commune":
		return "commune", Words{"Xã, phường, đặc khu", "Communes, wards, special zones"}
	case owner.Bloc == lienthong.Government:
		return "ministry", Words{"Bộ, cơ quan của Chính phủ", "Ministries and agencies of the Government"}
	}
	return "bloc", Words{"Cơ quan trung ương ngoài khối Chính phủ", "Central bodies outside the Government"}
}

func databaseClass(class lienthong.DatabaseClass) Words {
	switch class {
	case lienthong.NationalDatabase:
		return Words{"CSDL quốc gia", "National databases"}
	case lienthong.SpecialisedDatabase:
		return Words{"CSDL chuyên ngành", "Specialised databases"}
	case lienthong.PoliticalDatabase:
		return Words{"CSDL của hệ thống chính trị", "Databases of the political system"}
	case lienthong.LocalDatabase:
		return Words{"CSDL địa phương", "Local databases"}
	}
	return Words{"CSDL khác", "Other databases"}
}

func (m *Method) rank(assessments []*Assessment, who func(*Assessment) (class string, words Words, id string, name Words)) []League {
	var leagues []League
	own := map[string][]*Assessment{} // by class and identifier
	for _, a := range assessments {
		class, words, id, name := who(a)
		if class == "" || id == "" {
			continue
		}
		l := slices.IndexFunc(leagues, func(l League) bool { return l.Class == class })
		if l < 0 {
			leagues = append(leagues, League{Class: class, Words: words})
			l = len(leagues) - 1
		}
		key := class + "\x00" + id
		if own[key] == nil {
			leagues[l].Standings = append(leagues[l].Standings, Standing{ID: id, Words: name})
		}
		own[key] = append(own[key], a)
	}
	slices.SortFunc(leagues, func(a, b League) int { return strings.Compare(a.Class, b.Class) })
	for l := range leagues {
		league := &leagues[l]
		for s := range league.Standings {
			m.stand(&league.Standings[s], own[league.Class+"\x00"+league.Standings[s].ID])
		}
		place(league.Standings)
	}
	return leagues
}

// stand computes the five criteria of one standing from its databases.
func (m *Method) stand(s *Standing, databases []*Assessment) {
	s.Databases = len(databases)
	var sample SampleResult
	for _, a := range databases {
		if a.figure("connected").Value > 0 {
			s.Connected++
		}
		sample.add(a.Sample)
	}
	score, weight, all, covered, qualityWeight := 0.0, 0.0, 0.0, 0.0, 0.0
	for i := range m.rankings.Measures {
		measure := &m.rankings.Measures[i]
		at := m.measure(measure, databases)
		s.Measures = append(s.Measures, at)
		all += measure.Weight
		covered += measure.Weight * at.Share / 100
		if at.Known {
			score += measure.Weight * at.Value
			weight += measure.Weight
			if measure.ID == "quality" {
				qualityWeight = measure.Weight
			}
		}
	}
	if weight > 0 {
		s.Score = score / weight
	}
	s.Low, s.High = s.Score, s.Score
	if sample.Checked > 0 && qualityWeight > 0 {
		s.Sampled = true
		low, high := wilson(sample.Correct, sample.Checked)
		at := float64(sample.Correct) / float64(sample.Checked)
		s.Low -= 100 * (at - low) * qualityWeight / weight
		s.High += 100 * (high - at) * qualityWeight / weight
	}
	if all > 0 {
		s.Evidence = 100 * covered / all
	}
	switch {
	case s.Connected < m.rankings.Least:
		s.Why = Words{"không xếp hạng: chưa CSDL nào kết nối", "not ranked: no database is connected"}
	case s.Evidence < m.rankings.Evidence:
		s.Why = Words{
			"không xếp hạng: mới biết " + Percent.write(s.Evidence, "vi") + " số liệu, cần " + Percent.write(m.rankings.Evidence, "vi"),
			"not ranked: " + Percent.write(s.Evidence, "en") + " of the figures are known, " + Percent.write(m.rankings.Evidence, "en") + " are needed",
		}
	default:
		for _, grade := range m.rankings.Grades {
			if s.Score >= grade.From {
				s.Grade = grade.ID
				break
			}
		}
	}
}

// measure is the mean over the databases that are known.
func (m *Method) measure(measure *RankMeasure, databases []*Assessment) MeasureAt {
	at := MeasureAt{ID: measure.ID, Words: measure.Words, Weight: measure.Weight}
	total, count, covered := 0.0, 0.0, 0.0
	for _, a := range databases {
		if measure.Dimension != "" {
			for _, d := range a.Dimensions {
				if d.ID == measure.Dimension && d.Most > 0 && d.Coverage > 0 {
					total += 100 * d.Points / d.Most
					count++
					covered += d.Coverage / 100
				}
			}
			continue
		}
		own, facts := 0.0, 0.0
		for _, name := range measure.Facts {
			figure := a.figure(name)
			if !figure.Known {
				continue
			}
			value := figure.Value
			if figure.Unit == YesNo {
				value *= 100
			}
			own += value
			facts++
		}
		if facts > 0 {
			total += own / facts
			count++
			covered++
		}
	}
	if count > 0 {
		at.Value, at.Known = total/count, true
	}
	if len(databases) > 0 {
		at.Share = 100 * covered / float64(len(databases))
	}
	return at
}

// place orders the standings and gives places: 1, 2, 2, 4. Two are tied when their printed
// scores are equal, or when both were sampled and their intervals overlap with that of
// the first of the tie.
func place(standings []Standing) {
	ranked := func(s *Standing) bool { return s.Grade != "" }
	slices.SortStableFunc(standings, func(a, b Standing) int {
		if ranked(&a) != ranked(&b) {
			if ranked(&a) {
				return -1
			}
			return 1
		}
		if !ranked(&a) {
			return cmp.Or(strings.Compare(a.Vi, b.Vi), strings.Compare(a.ID, b.ID))
		}
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Vi, b.Vi), strings.Compare(a.ID, b.ID))
	})
	first := 0
	for i := range standings {
		if !ranked(&standings[i]) {
			break
		}
		if i > 0 && tied(&standings[first], &standings[i]) {
			standings[i].Place, standings[i].Tied, standings[first].Tied = standings[first].Place, true, true
			continue
		}
		first = i
		standings[i].Place = i + 1
	}
}

func tied(a, b *Standing) bool {
	const printed = 10 // one decimal
	if math.Round(a.Score*printed) == math.Round(b.Score*printed) {
		return true
	}
	return a.Sampled && b.Sampled && b.High >= a.Low
}

// SampleResult sums up checks of records against their originals, with the Wilson interval of 95 %.
type SampleResult struct {
	Checked int64   `json:"checked"`
	Correct int64   `json:"correct"`
	Low     float64 `json:"low"`  // percent
	High    float64 `json:"high"` // percent
}

func (s *SampleResult) add(other SampleResult) {
	s.Checked += other.Checked
	s.Correct += other.Correct
}

func sampleOf(samples []Sample) SampleResult {
	var result SampleResult
	for _, s := range samples {
		if s.Checked > 0 && s.Correct >= 0 && s.Correct <= s.Checked {
			result.add(SampleResult{Checked: s.Checked, Correct: s.Correct})
		}
	}
	if result.Checked > 0 {
		low, high := wilson(result.Correct, result.Checked)
		result.Low, result.High = 100*low, 100*high
	}
	return result
}

// wilson is the Wilson score interval of 95 % of a share.
func wilson(correct, checked int64) (low, high float64) {
	const z = 1.959963984540054
	n := float64(checked)
	if n <= 0 {
		return 0, 1
	}
	p := float64(correct) / n
	middle := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return math.Max(0, middle-half), math.Min(1, middle+half)
}

// Comparison sets two databases beside each other.
type Comparison struct {
	A, B       Words
	Comparable bool  // of one class: otherwise only to learn from
	Note       Words // says so
	Rows       []ComparisonRow
}

// ComparisonRow is one figure of both.
type ComparisonRow struct {
	ID string
	Words
	Unit           Unit
	A, B           float64
	AKnown, BKnown bool
}

// Compare sets two assessments beside each other: points, dimensions, criteria, and every fact
// that is known of either.
func Compare(a, b *Assessment) Comparison {
	c := Comparison{
		A: Words{a.Database.NameVi, a.Database.NameEn}, B: Words{b.Database.NameVi, b.Database.NameEn},
		Comparable: a.Database.Class == b.Database.Class && a.Method == b.Method,
	}
	switch {
	case a.Method != b.Method:
		c.Note = Words{"hai phương pháp khác nhau: không so điểm", "two methods: points cannot be compared"}
	case !c.Comparable:
		c.Note = Words{"hai loại CSDL khác nhau: để tham khảo, không xếp hạng", "two classes of database: to learn from, not to rank"}
	}
	c.Rows = append(c.Rows,
		ComparisonRow{"points", Words{"Điểm", "Points"}, Count, math.Round(10*a.Points) / 10, math.Round(10*b.Points) / 10, true, true},
		ComparisonRow{"coverage", Words{"Mức đã biết", "Known"}, Percent, a.Coverage, b.Coverage, true, true})
	for i := range a.Dimensions {
		d := &a.Dimensions[i]
		row := ComparisonRow{ID: d.ID, Words: d.Words, Unit: Percent, A: 100 * d.Points / d.Most, AKnown: d.Coverage > 0}
		for j := range b.Dimensions {
			if other := &b.Dimensions[j]; other.ID == d.ID {
				row.B, row.BKnown = 100*other.Points/other.Most, other.Coverage > 0
			}
		}
		c.Rows = append(c.Rows, row)
	}
	seen := map[string]bool{}
	for _, list := range [][]FigureResult{a.Figures, b.Figures} {
		for _, figure := range list {
			if seen[figure.Name] {
				continue
			}
			seen[figure.Name] = true
			own, other := a.figure(figure.Name), b.figure(figure.Name)
			c.Rows = append(c.Rows, ComparisonRow{figure.Name, figure.Words, figure.Unit, own.Value, other.Value, own.Known, other.Known})
		}
	}
	return c
}

// figure returns a fact by name; not known when it is not there.
func (a *Assessment) figure(name string) FigureResult {
	for i := range a.Figures {
		if a.Figures[i].Name == name {
			return a.Figures[i]
		}
	}
	return FigureResult{}
}

// Figure returns a fact that the assessment rests on.
func (a *Assessment) Figure(name string) (FigureResult, bool) {
	figure := a.figure(name)
	return figure, figure.Known
}

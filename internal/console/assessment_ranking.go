package console

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lienthong/lienthong/internal/assessment"
	"github.com/lienthong/lienthong/internal/quality"
)

// assessRankingView is the ranking, one league for each class.
type assessRankingView struct {
	chrome
	Tab         string
	Databases   bool // of databases, not of agencies
	Leagues     []assessLeague
	Source      string
	Evidence    string
	Least       int
	Grades      []assessBound
	Measures    []assessMeasure
	MeasureHead []assessMeasure
}

// assessBound is A, B or C with where it begins.
type assessBound struct{ ID, From string }

// assessMeasure is one of the five criteria of the ranking, or its value for somebody.
type assessMeasure struct {
	Name   Text
	Weight string
	Value  string
	Share  string
	Part   bool // not everything of it is known
}

// assessLeague is a class with who can be compared in it.
type assessLeague struct {
	ID       string
	Name     Text
	Ranked   []assessStanding
	Unranked []assessStanding
}

// assessStanding is one agency or database in its league.
type assessStanding struct {
	ID, Path             string
	Name, Why            Text
	Place                int
	Tied                 bool
	Grade, Colour        string
	Score, Low, High     string
	Sampled              bool
	Evidence             string
	Databases, Connected int
	Measures             []assessMeasure
}

func (c *Console) assessmentRanking(w http.ResponseWriter, r *http.Request, user User) {
	assessor := c.config.Workplace.Assessor
	all, err := assessor.Assessments(r.Context())
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	words, method := c.words(r), assessor.Method()
	data := method.RankingData()
	view := assessRankingView{
		chrome: c.chromeOf(w, r, user, "assessment", "assessment-ranking", c.say(r, "assessment.ranking")), Tab: "ranking",
		Databases: r.URL.Query().Get("of") == "databases", Source: data.Source, Evidence: words.digits(data.Evidence, 1), Least: data.Least,
	}
	view.Grades, view.MeasureHead = words.rankingHead(&data)
	leagues := method.RankAgencies(all)
	if view.Databases {
		leagues = method.RankDatabases(all)
	}
	for i := range leagues {
		league := assessLeague{ID: leagues[i].Class, Name: textOfWords(leagues[i].Words)}
		for n := range leagues[i].Standings {
			s := words.assessStanding(&leagues[i].Standings[n])
			if view.Databases {
				s.Path = assessPath(s.ID)
			} else {
				s.Path = "/assessment?owner=" + s.ID
			}
			if s.Place > 0 {
				league.Ranked = append(league.Ranked, s)
			} else {
				league.Unranked = append(league.Unranked, s)
			}
		}
		view.Leagues = append(view.Leagues, league)
	}
	c.write(w, r, http.StatusOK, &view)
}

func (w *words) rankingHead(data *assessment.Ranking) ([]assessBound, []assessMeasure) {
	var bounds []assessBound
	for _, g := range data.Grades {
		bounds = append(bounds, assessBound{g.ID, w.digits(g.From, 1)})
	}
	var measures []assessMeasure
	for i := range data.Measures {
		m := &data.Measures[i]
		measures = append(measures, assessMeasure{Name: textOfWords(m.Words), Weight: w.digits(m.Weight, 1)})
	}
	return bounds, measures
}

func (w *words) assessStanding(s *assessment.Standing) assessStanding {
	one := assessStanding{
		ID: s.ID, Name: textOfWords(s.Words), Why: textOfWords(s.Why), Place: s.Place, Tied: s.Tied, Grade: s.Grade,
		Score: w.decimal(s.Score), Low: w.decimal(s.Low), High: w.decimal(s.High), Sampled: s.Sampled, Evidence: w.digits(s.Evidence, 0),
		Databases: s.Databases, Connected: s.Connected,
	}
	switch s.Grade {
	case "A":
		one.Colour = "green"
	case "B":
		one.Colour = "yellow"
	case "C":
		one.Colour = "red"
	}
	for i := range s.Measures {
		m := &s.Measures[i]
		measure := assessMeasure{Name: textOfWords(m.Words), Value: "–", Share: w.digits(m.Share, 0), Part: m.Known && m.Share < 100}
		if m.Known {
			measure.Value = w.decimal(m.Value)
		}
		one.Measures = append(one.Measures, measure)
	}
	return one
}

// assessCompareView is two databases, or two agencies, side by side.
type assessCompareView struct {
	chrome
	Tab                string
	A, B               string
	SideA, SideB       assessSide
	NameA, NameB, Note Text
	PathA, PathB       string
	Rows               []assessPair
	Mixed, Missing     bool
}

// assessSide is what can be chosen on one side, and what is.
type assessSide struct {
	Databases, Agencies []assessChoice
	Chosen              string
}

// assessPair is one figure of both.
type assessPair struct {
	Name    Text
	A, B    string
	Differs bool
}

// agencyPrefix tells agencies from databases in the address of a comparison.
const agencyPrefix = "agency:"

func (c *Console) assessmentCompare(w http.ResponseWriter, r *http.Request, user User) {
	assessor := c.config.Workplace.Assessor
	all, err := assessor.Assessments(r.Context())
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	words := c.words(r)
	view := assessCompareView{
		chrome: c.chromeOf(w, r, user, "assessment", "assessment-compare", c.say(r, "assessment.compare")), Tab: "compare",
		A: r.URL.Query().Get("a"), B: r.URL.Query().Get("b"),
	}
	var databases, agencies []assessChoice
	for _, a := range all {
		databases = append(databases, assessChoice{ID: a.Database.Code, Name: Text{a.Database.NameVi, a.Database.NameEn}})
		if a.Owner.Code != "" {
			agencies = countChoice(agencies, assessChoice{ID: agencyPrefix + string(a.Owner.Code), Name: Text{a.Owner.NameVi, a.Owner.NameEn}})
		}
	}
	byName := func(a, b assessChoice) int { return strings.Compare(words.text(a.Name), words.text(b.Name)) }
	slices.SortFunc(databases, byName)
	slices.SortFunc(agencies, byName)
	view.SideA, view.SideB = assessSide{databases, agencies, view.A}, assessSide{databases, agencies, view.B}
	codeA, agencyA := strings.CutPrefix(view.A, agencyPrefix)
	codeB, agencyB := strings.CutPrefix(view.B, agencyPrefix)
	switch {
	case view.A == "" || view.B == "":
	case agencyA != agencyB:
		view.Mixed = true
	case agencyA:
		view.compareAgencies(words, assessor.Method(), all, codeA, codeB)
	default:
		view.compareDatabases(words, all, codeA, codeB)
	}
	status := http.StatusOK
	if view.Missing {
		status = http.StatusNotFound
	}
	for i := range view.Rows {
		view.Rows[i].Differs = view.Rows[i].A != view.Rows[i].B
	}
	c.write(w, r, status, &view)
}

func (v *assessCompareView) compareDatabases(words *words, all []*assessment.Assessment, a, b string) {
	find := func(code string) *assessment.Assessment {
		i := slices.IndexFunc(all, func(one *assessment.Assessment) bool { return one.Database.Code == code })
		if i < 0 {
			v.Missing = true
			return nil
		}
		return all[i]
	}
	first, second := find(a), find(b)
	if v.Missing {
		return
	}
	comparison := assessment.Compare(first, second)
	v.NameA, v.NameB, v.Note = textOfWords(comparison.A), textOfWords(comparison.B), textOfWords(comparison.Note)
	v.PathA, v.PathB = assessPath(a), assessPath(b)
	for i := range comparison.Rows {
		row := &comparison.Rows[i]
		pair := assessPair{Name: textOfWords(row.Words), A: "–", B: "–"}
		show := func(value float64) string {
			if row.ID == "points" { // the only count with a fraction
				return words.decimal(value)
			}
			return words.figure(row.Unit, value)
		}
		if row.AKnown {
			pair.A = show(row.A)
		}
		if row.BKnown {
			pair.B = show(row.B)
		}
		v.Rows = append(v.Rows, pair)
	}
}

func (v *assessCompareView) compareAgencies(words *words, m *assessment.Method, all []*assessment.Assessment, a, b string) {
	class := [2]string{}
	var found [2]*assessment.Standing
	leagues := m.RankAgencies(all)
	for i := range leagues {
		for n := range leagues[i].Standings {
			s := &leagues[i].Standings[n]
			for side, code := range []string{a, b} {
				if s.ID == code {
					found[side], class[side] = s, leagues[i].Class
				}
			}
		}
	}
	if v.Missing = found[0] == nil || found[1] == nil; v.Missing {
		return
	}
	if class[0] != class[1] {
		v.Note = Text{"hai loại cơ quan khác nhau: để tham khảo, không xếp hạng chung", "two classes of agency: to learn from, they are not ranked together"}
	}
	first, second := words.assessStanding(found[0]), words.assessStanding(found[1])
	v.NameA, v.NameB = first.Name, second.Name
	v.PathA, v.PathB = "/assessment?owner="+a, "/assessment?owner="+b
	place := func(s *assessStanding) string {
		if s.Place == 0 {
			return words.text(s.Why)
		}
		return s.Grade + " · " + strconv.Itoa(s.Place)
	}
	v.Rows = append(v.Rows,
		assessPair{Name: Text{"Xếp loại, thứ hạng", "Grade, place"}, A: place(&first), B: place(&second)},
		assessPair{Name: Text{"Điểm xếp hạng", "Score of the ranking"}, A: first.Score, B: second.Score})
	for i := range first.Measures {
		v.Rows = append(v.Rows, assessPair{Name: first.Measures[i].Name, A: first.Measures[i].Value, B: second.Measures[i].Value})
	}
	v.Rows = append(v.Rows,
		assessPair{Name: Text{"Số liệu đã biết", "Figures known"}, A: first.Evidence + " %", B: second.Evidence + " %"},
		assessPair{Name: Text{"CSDL đã kết nối / chủ quản", "Databases connected / owned"}, A: connectedOf(&first), B: connectedOf(&second)})
}

func connectedOf(s *assessStanding) string {
	return strconv.Itoa(s.Connected) + " / " + strconv.Itoa(s.Databases)
}

// assessMethodView is how everything is computed.
type assessMethodView struct {
	chrome
	Tab           string
	Version, From string
	Source        Text
	Dimensions    []assessDimension
	Credits       []assessCredit
	Bands         []assessBandRow
	Gates         []assessGate
	Kinds         []assessMethodKind
	RankSource    string
	RankEvidence  string
	RankLeast     int
	RankGrades    []assessBound
	RankMeasures  []assessMeasure
	Green, Yellow string
}

// assessCredit is what evidence of a grade earns.
type assessCredit struct{ Grade, Credit string }

// assessBandRow is a band with how many databases are in it now.
type assessBandRow struct {
	assessChoice
	Low, High string
}

// assessGate is a gate that is shut for some databases.
type assessGate struct {
	ID, Source string
	Example    Text
	Band       assessChoice
	Count      int
}

// assessMethodKind is the readiness checks, or the frameworks, as the method asks them.
type assessMethodKind struct {
	Kind     assessment.Kind
	Count    int
	Sections []assessMethodSection
}

type assessMethodSection struct {
	ID        string
	Name      Text
	Source    string
	Questions []assessMethodQuestion
}

type assessMethodQuestion struct {
	ID, Source, Weight, Same string
	Name, Evidence           Text
	Automatic                []Text
}

func (c *Console) assessmentMethod(w http.ResponseWriter, r *http.Request, user User) {
	assessor := c.config.Workplace.Assessor
	all, err := assessor.Assessments(r.Context())
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	words, method := c.words(r), assessor.Method()
	view := assessMethodView{
		chrome: c.chromeOf(w, r, user, "assessment", "assessment-method", c.say(r, "assessment.method")), Tab: "method",
		Version: method.Version, From: words.day(method.ValidFrom), Source: textOfWords(method.Source),
	}
	// A database of which nothing is known has every part that does not depend on what is known.
	blank := method.Assess(&assessment.Facts{}, c.config.Now().UnixMicro())
	view.Dimensions = words.assessDimensions(blank)
	credits := creditsOf(method)
	for _, one := range []struct {
		grade  string
		credit float64
	}{
		{string(assessment.Measured), credits.Measured},
		{string(assessment.Reconciled), credits.Reconciled},
		{string(assessment.Signed), credits.Signed},
		{"V", credits.Verified},
		{string(assessment.Declared), credits.Declared},
		{"none", 0},
	} {
		view.Credits = append(view.Credits, assessCredit{one.grade, words.digits(one.credit, 2)})
	}
	view.Bands = words.assessBands(method, all)
	view.Gates = assessGates(method, all)
	view.Kinds = words.assessMethodKinds(method, append([]*assessment.Assessment{blank}, all...))
	data := method.RankingData()
	view.RankSource, view.RankEvidence, view.RankLeast = data.Source, words.digits(data.Evidence, 1), data.Least
	view.RankGrades, view.RankMeasures = words.rankingHead(&data)
	var index quality.Method
	for value := 1000; value >= 0; value-- { // in tenths: where the colours of the index begin
		switch index.Colour(float64(value)/10, true) {
		case quality.Green:
			view.Green = words.digits(float64(value)/10, 1)
		case quality.Yellow:
			view.Yellow = words.digits(float64(value)/10, 1)
		case quality.Red, quality.Grey:
		}
	}
	c.write(w, r, http.StatusOK, &view)
}

// assessBands is the bands of the method, the best first, each with the databases that it has now.
func (w *words) assessBands(method *assessment.Method, all []*assessment.Assessment) []assessBandRow {
	var rows []assessBandRow
	upper := 100.0
	for _, band := range method.Bands() {
		row := assessBandRow{
			assessChoice: assessChoice{ID: strconv.Itoa(band.ID), Name: textOfWords(band.Words), Colour: bandColour(band.ID)},
			Low:          w.decimal(band.From), High: w.decimal(upper),
		}
		for _, a := range all {
			if a.Band.ID == band.ID {
				row.Count++
			}
		}
		rows, upper = append(rows, row), band.From
	}
	return rows
}

// assessGates is which gates are shut now, each with a database that it holds down.
func assessGates(method *assessment.Method, all []*assessment.Assessment) []assessGate {
	names := map[int]assessChoice{}
	for _, band := range method.Bands() {
		names[band.ID] = assessChoice{ID: strconv.Itoa(band.ID), Name: textOfWords(band.Words), Colour: bandColour(band.ID)}
	}
	var gates []assessGate
	for _, a := range all {
		for _, g := range a.Band.Gates {
			i := slices.IndexFunc(gates, func(known assessGate) bool { return known.ID == g.ID })
			if i < 0 {
				band, found := names[g.Cap]
				if !found {
					band = assessChoice{ID: strconv.Itoa(g.Cap), Name: Text{Vi: strconv.Itoa(g.Cap)}, Colour: bandColour(g.Cap)}
				}
				gates = append(gates, assessGate{
					ID: g.ID, Source: g.Source, Band: band,
					Example: Text{a.Database.NameVi + ": " + g.Vi, a.Database.NameEn + ": " + g.En},
				})
				i = len(gates) - 1
			}
			gates[i].Count++
		}
	}
	slices.SortFunc(gates, func(a, b assessGate) int { return strings.Compare(a.ID, b.ID) })
	return gates
}

func (w *words) assessMethodKinds(m *assessment.Method, all []*assessment.Assessment) []assessMethodKind {
	facts := map[string]Text{}
	for _, a := range all {
		for i := range a.Figures {
			facts[a.Figures[i].Name] = textOfWords(a.Figures[i].Words)
		}
	}
	questions := m.Questions()
	var kinds []assessMethodKind
	for _, kind := range []assessment.Kind{assessment.Readiness, assessment.Architecture} {
		one := assessMethodKind{Kind: kind}
		for _, s := range m.Sections(kind) {
			section := assessMethodSection{ID: string(kind) + "-" + s.ID, Name: textOfWords(s.Words), Source: s.Source}
			for i := range questions {
				q := &questions[i]
				if q.Kind != kind || q.Section != s.ID {
					continue
				}
				row := assessMethodQuestion{ID: q.ID, Source: q.Source, Weight: w.digits(q.Weight, 2), Same: q.SameAs, Name: textOfWords(q.Words), Evidence: textOfWords(q.Evidence)}
				for _, automatic := range q.Automatic {
					if name, found := facts[automatic.Fact]; found {
						row.Automatic = append(row.Automatic, name)
					} else {
						row.Automatic = append(row.Automatic, Text{automatic.Fact, automatic.Fact})
					}
				}
				section.Questions = append(section.Questions, row)
				one.Count++
			}
			one.Sections = append(one.Sections, section)
		}
		kinds = append(kinds, one)
	}
	return kinds
}

// digits writes a number with at most so many digits after the mark of the language.
func (w *words) digits(value float64, digits int) string {
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(value, 'f', digits, 64), ".")
	if fraction = strings.TrimRight(fraction, "0"); fraction == "" {
		if whole == "-0" {
			whole = "0"
		}
		return w.group(whole)
	}
	mark := ","
	if w.language == English {
		mark = "."
	}
	return w.group(whole) + mark + fraction
}

// signed writes a difference with its sign.
func (w *words) signed(value float64, digits int) string {
	text := w.digits(math.Abs(value), digits)
	switch {
	case text == "0":
		return "±0"
	case value < 0:
		return "−" + text
	}
	return "+" + text
}

// figure writes a fact in its unit.
func (w *words) figure(unit assessment.Unit, value float64) string {
	key, digits := "", 0
	switch unit {
	case assessment.YesNo:
		key = "assessment.figure.no"
		if value != 0 {
			key = "assessment.figure.yes"
		}
		return w.must(key)
	case assessment.Percent:
		if value > 99.9 && value < 100 { // as on the sheet: one wrong record in a million is not 100 %
			value = 99.9
		}
		return w.digits(value, 1) + " %"
	case assessment.Seconds:
		return w.duration(time.Duration(value * float64(time.Second)))
	case assessment.Hours:
		return w.duration(time.Duration(value * float64(time.Hour)))
	case assessment.Days:
		value, key = math.Floor(value), "unit.days"
		if value == 1 {
			key = "assessment.figure.day"
		}
	case assessment.Months:
		key = "assessment.figure.months"
	case assessment.Level:
		return w.must("assessment.figure.level", w.digits(value, 0))
	case assessment.Count:
	}
	if key == "" {
		return w.digits(value, digits)
	}
	return w.digits(value, digits) + " " + w.must(key)
}

// must is a text that the tests of the area know to be there.
func (w *words) must(key string, arguments ...any) string {
	text, err := w.say(key, arguments...)
	if err != nil {
		return key
	}
	return text
}

// day writes a date of the data files.
func (w *words) day(date string) string {
	at, err := time.ParseInLocation(time.DateOnly, date, w.zone)
	if err != nil {
		return date
	}
	return w.dateOf(at.UnixMicro())
}

// due writes when a task is due: a day, or one of the words of the reference data.
func (w *words) due(due string) Text {
	switch due {
	case "continuous":
		return Text{"thường xuyên", "continuously"}
	case "roadmap":
		return Text{"theo lộ trình", "by the roadmap"}
	case "monthly":
		return Text{"hằng tháng", "monthly"}
	}
	day := w.day(due)
	return Text{day, day}
}

package assessment

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/lienthong/lienthong/internal/quality"
)

// How much the one page shows. The rest is on the pages of the console.
const (
	maxAdvice = 5
	maxGaps   = 6
	maxGates  = 4
)

// Sheet is the assessment of one database on one page in one language: every text is ready, so that
// HTML, PDF and DOCX say the same.
type Sheet struct {
	Language string
	Label    SheetLabels
	Name     string
	Owner    string
	Dated    string
	Score    SheetScore
	Group    SheetGroup
	Notes    []string // published figures, sampled checks, contradictions
	Gates    []string
	Criteria []SheetTile // the six, then the index
	Points   []SheetBar  // the dimensions
	Checks   []SheetSection
	Items    []SheetSection
	Gaps     []SheetGap
	Advice   []SheetAdvice
	Facts    []SheetFact
	People   []SheetFact
	Trend    []SheetPoint
	TrendEnd string
	Evidence []SheetBar
	Foot     string
}

// SheetScore is the headline.
type SheetScore struct {
	Points   string
	Band     string
	ID       int
	Coverage string
}

// SheetGroup is the status group.
type SheetGroup struct {
	ID   int
	Name string
	Why  string
}

// SheetTile is one of the six criteria or the index.
type SheetTile struct {
	Name   string
	Value  string
	Share  float64 // 0..1
	Known  bool
	Colour quality.Colour
	Note   string
	Whole  bool // the index
}

// SheetBar is a share of a whole.
type SheetBar struct {
	Name  string
	Value string
	Share float64 // 0..1
	Known float64 // 0..1
	Grade Grade
}

// SheetSection is a group of checks or a framework.
type SheetSection struct {
	Name  string
	Cells []SheetCell
	Line  string
}

// SheetCell is one check.
type SheetCell struct {
	ID      string
	Verdict Verdict
	Title   string
}

// SheetGap is a part that costs points.
type SheetGap struct {
	What string
	Why  string
	Lost string
}

// SheetAdvice is a recommendation.
type SheetAdvice struct {
	Rank   string
	Do     string
	Why    string
	How    string
	Effort string
	Points string
	Task   string
	First  bool
}

// SheetFact is a name with a value.
type SheetFact struct {
	Name  string
	Value string
	Grade Grade
	Bad   bool
}

// SheetPoint is a point of the trend.
type SheetPoint struct {
	Day    string
	Points float64
}

// SheetLabels are the fixed words.
type SheetLabels struct {
	Title, Points, Of, Known, Group, Gates, Criteria, Index, Parts, Checks, Frameworks, Gaps, Advice, Do, Effort, Gain, Task,
	Facts, People, Trend, NoTrend, Evidence, Yes, Partly, No, Unknown, Lost, NoGaps, NoAdvice, First string
}

// verdict is the word of a verdict.
func (l *SheetLabels) verdict(v Verdict) string {
	switch v {
	case Yes:
		return l.Yes
	case Partly:
		return l.Partly
	case No:
		return l.No
	case Unknown:
	}
	return l.Unknown
}

func sheetLabels(language string) SheetLabels {
	if language == "en" {
		return SheetLabels{
			Title: "Assessment of a database", Points: "Points", Of: "of 100", Known: "known", Group: "Status group", Gates: "What holds the band down",
			Criteria: "Six criteria", Index: "Index", Parts: "Where the points come from", Checks: "27 readiness checks", Frameworks: "Architecture frameworks",
			Gaps: "Largest gaps", Advice: "What to do next", Do: "Recommendation and reason", Effort: "Person-days", Gain: "Points", Task: "Task",
			Facts: "Synchronisation, corrections, use", People: "In charge", Trend: "Trend", NoTrend: "no earlier assessment", Evidence: "What the score rests on",
			Yes: "yes", Partly: "partly", No: "no", Unknown: "not known", Lost: "points", NoGaps: "no gaps", NoAdvice: "nothing left to do", First: "first",
		}
	}
	return SheetLabels{
		Title: "Phiếu đánh giá cơ sở dữ liệu", Points: "Điểm", Of: "trên 100", Known: "đã biết", Group: "Nhóm trạng thái", Gates: "Điều kiện đang chặn mức đánh giá",
		Criteria: "Sáu tiêu chí", Index: "Chỉ số", Parts: "Điểm theo nhóm", Checks: "27 câu hỏi sẵn sàng", Frameworks: "Khung kiến trúc",
		Gaps: "Khoảng trống lớn nhất", Advice: "Việc cần làm tiếp", Do: "Khuyến nghị và lý do", Effort: "Ngày công", Gain: "Điểm", Task: "Nhiệm vụ",
		Facts: "Đồng bộ, sửa lỗi, khai thác", People: "Người phụ trách", Trend: "Diễn biến", NoTrend: "chưa có lần đánh giá trước", Evidence: "Điểm dựa trên",
		Yes: "có", Partly: "một phần", No: "không", Unknown: "chưa rõ", Lost: "điểm", NoGaps: "không còn khoảng trống", NoAdvice: "không còn việc phải làm", First: "làm trước",
	}
}

// SheetInput is what a sheet is made of beside the assessment.
type SheetInput struct {
	People   People
	Trend    []Snapshot // oldest first
	Language string     // "vi" or "en"
}

// NewSheet arranges an assessment for one page.
func (m *Method) NewSheet(a *Assessment, input SheetInput) *Sheet {
	language := "vi"
	if input.Language == "en" {
		language = "en"
	}
	b := &sheetBuilder{m: m, a: a, language: language}
	s := &Sheet{Language: language, Label: sheetLabels(language)}
	s.Name = b.say(Words{a.Database.NameVi, a.Database.NameEn})
	s.Owner = b.owner()
	s.Dated = b.words("Ngày ", "Dated ") + b.day(a.At) + b.words(", phương pháp ", ", method ") + a.Method
	s.Score = SheetScore{
		Points: b.fixed(a.Points), Band: b.say(a.Band.Words), ID: a.Band.ID,
		Coverage: b.words("đã biết ", "known ") + Percent.write(a.Coverage, language),
	}
	s.Group = SheetGroup{a.Group.ID, b.say(a.Group.Words), b.say(sentence(a.Group.Why))}
	b.gates(s)
	b.notes(s)
	b.criteria(s)
	b.points(s)
	s.Checks, s.Items = b.sections(Readiness), b.sections(Architecture)
	b.gaps(s)
	b.advice(s)
	b.facts(s)
	b.people(s, input.People)
	b.trend(s, input.Trend)
	b.evidence(s)
	s.Foot = b.words(
		"Điểm = tổng (điểm tối đa × giá trị × hệ số minh chứng). M đo, R đối chiếu, A nút ký, D khai báo. Phương pháp "+a.Method+", hiệu lực từ "+b.date(m.ValidFrom)+".",
		"Points = sum of (most × value × credit of the evidence). M measured, R reconciled, A signed by the node, D declared. Method "+a.Method+", valid from "+b.date(m.ValidFrom)+".")
	return s
}

type sheetBuilder struct {
	m        *Method
	a        *Assessment
	language string
}

// say picks the language and composes the text: people may have typed it decomposed.
func (b *sheetBuilder) say(words Words) string { return clean(words.In(b.language)) }

func (b *sheetBuilder) words(vi, en string) string { return byLanguage(b.language, vi, en) }

func (b *sheetBuilder) number(value float64, digits int) string {
	return writeNumber(value, digits, b.language)
}

// fixed writes one decimal, also when it is 0.
func (b *sheetBuilder) fixed(value float64) string {
	text := b.number(value, 1)
	if !strings.ContainsAny(text, b.words(",", ".")) {
		text += b.words(",0", ".0")
	}
	return text
}

// clean keeps a text on one line, composed, without control characters.
func clean(text string) string {
	return strings.Join(strings.FieldsFunc(norm.NFC.String(text), func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xa0 }), " ")
}

func (b *sheetBuilder) day(at int64) string {
	return time.UnixMicro(at).UTC().Add(7 * time.Hour).Format(b.words("02/01/2006", "2 January 2006"))
}

// date writes a day of the data files.
func (b *sheetBuilder) date(day string) string {
	if at, err := time.Parse(time.DateOnly, day); err == nil {
		return at.Format(b.words("02/01/2006", "2 January 2006"))
	}
	return day
}

func (b *sheetBuilder) owner() string {
	parts := []string{}
	if name := b.say(Words{b.a.Owner.NameVi, b.a.Owner.NameEn}); name != "" {
		parts = append(parts, name)
	} else {
		parts = append(parts, b.words("chưa xác định chủ quản", "owner not settled"))
	}
	parts = append(parts, b.say(databaseClass(b.a.Database.Class)))
	if b.a.Database.LegalBasis != "" {
		parts = append(parts, clean(b.a.Database.LegalBasis))
	}
	return strings.Join(append(parts, b.a.Database.Code), " · ")
}

func (b *sheetBuilder) gates(s *Sheet) {
	for _, gate := range b.a.Band.Gates {
		if len(s.Gates) < maxGates {
			s.Gates = append(s.Gates, b.say(sentence(gate.Words)))
		}
	}
}

func (b *sheetBuilder) notes(s *Sheet) {
	if p, found := b.m.Published(b.a.Database.Code); found && b.a.figure("connected").Value == 0 {
		s.Notes = append(s.Notes, b.words("Đã công bố: ", "Published: ")+b.say(p.Words)+" ("+p.Source+")")
	}
	if sample := b.a.Sample; sample.Checked > 0 {
		s.Notes = append(s.Notes, b.words("Kiểm tra mẫu: ", "Sampled: ")+b.number(float64(sample.Correct), 0)+"/"+b.number(float64(sample.Checked), 0)+
			b.words(" đúng, khoảng tin cậy 95 %: ", " correct, 95 % interval: ")+b.number(sample.Low, 1)+" – "+Percent.write(sample.High, b.language))
	}
	var contradicted []string
	for i := range b.a.Questions {
		if b.a.Questions[i].Contradicted {
			contradicted = append(contradicted, b.a.Questions[i].ID)
		}
	}
	if len(contradicted) > 0 {
		s.Notes = append(s.Notes, b.words("Khai báo trái với số đo ở mục ", "Declarations that measurements contradict: ")+strings.Join(contradicted, ", "))
	}
}

func (b *sheetBuilder) criteria(s *Sheet) {
	for _, c := range b.a.Criteria {
		tile := SheetTile{Name: b.say(c.Words), Value: "–", Share: c.Value / 100, Known: c.Known, Colour: c.Colour, Note: b.words("chưa đo", "not measured")}
		if c.Known {
			tile.Value = Percent.write(c.Value, b.language)
			tile.Note = b.words("độ phủ ", "coverage ") + Percent.write(c.Coverage, b.language)
			if c.Gates > 0 {
				tile.Note = b.number(float64(c.Gates), 0) + b.words(" định danh < 100 %", " identifiers < 100 %")
			}
		}
		s.Criteria = append(s.Criteria, tile)
	}
	index := b.a.Index
	tile := SheetTile{Name: s.Label.Index, Value: "–", Share: index.Value / 100, Known: index.Known, Colour: index.Colour, Whole: true}
	tile.Note = b.number(float64(index.Measured), 0) + "/" + b.number(float64(index.Of), 0) + b.words(" tiêu chí", " criteria")
	if index.Known {
		tile.Value = Percent.write(index.Value, b.language)
		if index.Lowest != "" {
			tile.Note = b.words("thấp nhất: ", "lowest: ") + strings.ToLower(b.say(criterionWords(index.Lowest)))
		}
	}
	s.Criteria = append(s.Criteria, tile)
}

func (b *sheetBuilder) points(s *Sheet) {
	for _, d := range b.a.Dimensions {
		s.Points = append(s.Points, SheetBar{
			Name: b.say(d.Words), Value: b.fixed(d.Points) + " / " + b.number(d.Most, 1),
			Share: d.Points / d.Most, Known: d.Coverage / 100,
		})
	}
}

func (b *sheetBuilder) sections(kind Kind) []SheetSection {
	var list []SheetSection
	for _, section := range b.m.Sections(kind) {
		tally := b.a.Tally(kind, section.ID)
		if tally.Of == 0 {
			continue
		}
		one := SheetSection{Name: b.say(section.Words), Line: b.number(float64(tally.Yes), 0) + "/" + b.number(float64(tally.Of), 0)}
		for i := range b.a.Questions {
			if q := &b.a.Questions[i]; q.Kind == kind && q.Section == section.ID && q.Applies {
				one.Cells = append(one.Cells, SheetCell{q.ID, q.Verdict, q.ID + ". " + b.say(q.Words) + " " + b.say(q.Why)})
			}
		}
		list = append(list, one)
	}
	return list
}

func (b *sheetBuilder) gaps(s *Sheet) {
	for _, gap := range b.a.Gaps() {
		if len(s.Gaps) == maxGaps {
			break
		}
		_, id, _ := strings.Cut(gap.Part.ID, ":")
		what := b.say(gap.Part.Words)
		if strings.HasPrefix(gap.Part.ID, string(Readiness)) || strings.HasPrefix(gap.Part.ID, string(Architecture)) {
			what = id + ". " + what
		}
		s.Gaps = append(s.Gaps, SheetGap{what, b.say(gap.Why), "−" + b.fixed(gap.Lost)})
	}
}

func (b *sheetBuilder) advice(s *Sheet) {
	for i, r := range b.a.Recommendations {
		if i == maxAdvice {
			break
		}
		advice := SheetAdvice{
			Rank: strconv.Itoa(i + 1), Do: b.say(r.Do), Why: b.say(sentence(r.Why)), First: r.First,
			Effort: b.number(r.From, 2) + " – " + b.number(r.To, 2), Points: "+" + b.fixed(r.Points), Task: r.Task,
		}
		if r.From == r.To {
			advice.Effort = b.number(r.From, 2)
		}
		for _, step := range r.Steps {
			if step.Command != "" {
				advice.How = step.Command
				break
			}
			if step.Page != "" && advice.How == "" {
				advice.How = step.Page
			}
		}
		s.Advice = append(s.Advice, advice)
	}
}

func (b *sheetBuilder) facts(s *Sheet) {
	bad := func(name string, value float64) bool {
		switch name {
		case "quarantined", "differing", "tickets_overdue", "breaking", "tickets_identifier":
			return value > 0
		case "reconciled":
			return value < 100
		case "lag":
			return value > 60
		}
		return false
	}
	for _, name := range []string{
		"nodes", "datasets", "rows", "quarantined", "reconciled", "lag", "change_age", "mapped", "drift",
		"tickets", "tickets_overdue", "in_time", "services", "consumers", "security_level", "backup_age",
	} {
		figure, known := b.a.Figure(name)
		if !known {
			continue
		}
		s.Facts = append(s.Facts, SheetFact{b.say(sentence(figure.Words)), figure.Unit.write(figure.Value, b.language), figure.Grade, bad(name, figure.Value)})
	}
}

func (b *sheetBuilder) people(s *Sheet, people People) {
	for _, one := range []struct {
		words Words
		name  string
	}{
		{Words{"Phụ trách", "Owner"}, people.Owner},
		{Words{"Quản trị dữ liệu", "Data steward"}, people.Steward},
		{Words{"Tổng công trình sư CNTT", "Chief IT engineer"}, people.ITEngineer},
		{Words{"Tổng công trình sư nghiệp vụ", "Chief professional engineer"}, people.BusinessEngineer},
	} {
		fact := SheetFact{Name: b.say(one.words), Value: clean(one.name), Grade: Declared}
		if fact.Value == "" {
			fact.Value, fact.Bad = b.words("chưa phân công", "nobody appointed"), true
		}
		s.People = append(s.People, fact)
	}
}

func (b *sheetBuilder) trend(s *Sheet, snapshots []Snapshot) {
	for i := range snapshots {
		if score, found := snapshots[i].By(b.a.Method); found && snapshots[i].At < b.a.At {
			s.Trend = append(s.Trend, SheetPoint{snapshots[i].Day, score.Points})
		}
	}
	if len(s.Trend) == 0 {
		s.TrendEnd = s.Label.NoTrend
		return
	}
	first := s.Trend[0]
	s.Trend = append(s.Trend, SheetPoint{dayOf(b.a.At), b.a.Points})
	change := b.a.Points - first.Points
	sign := "+"
	if change < 0 {
		sign = ""
	}
	s.TrendEnd = sign + b.number(change, 1) + b.words(" điểm từ ", " points since ") + b.date(first.Day)
}

func (b *sheetBuilder) evidence(s *Sheet) {
	names := map[Grade]Words{
		Measured: {"đo", "measured"}, Reconciled: {"đối chiếu", "reconciled"}, Signed: {"nút ký", "signed by the node"},
		Declared: {"khai báo", "declared"}, "": {"chưa biết", "not known"},
	}
	for _, e := range b.a.Evidence {
		name := names[e.Grade]
		if e.Verified {
			name = Words{"khai báo đã thẩm định", "declared and verified"}
		}
		if e.Share >= 0.05 {
			s.Evidence = append(s.Evidence, SheetBar{Name: b.say(name), Value: Percent.write(e.Share, b.language), Share: e.Share / 100, Grade: e.Grade})
		}
	}
}

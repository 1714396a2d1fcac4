package assessment

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// file is the form of the data files; each has some of the parts.
type file struct {
	Method          *methodFile   `yaml:"method"`
	Groups          []Group       `yaml:"groups"`
	Sections        []Section     `yaml:"sections"`
	Checks          []Question    `yaml:"checks"`
	Frameworks      []Section     `yaml:"frameworks"`
	Items           []Question    `yaml:"items"`
	Recommendations []Rule        `yaml:"recommendations"`
	Ranking         *Ranking      `yaml:"ranking"`
	Published       []Publication `yaml:"published"`
}

type methodFile struct {
	Version      string          `yaml:"version"`
	ValidFrom    string          `yaml:"valid_from"`
	Source       Words           `yaml:"source"`
	Deadline     string          `yaml:"deadline"`
	ExpiryMonths int             `yaml:"expiry_months"`
	WarnDays     int64           `yaml:"warn_days"`
	Evidence     float64         `yaml:"evidence"`
	Credits      credits         `yaml:"credits"`
	Levels       []expectedLevel `yaml:"expected_levels"`
	Dimensions   []Dimension     `yaml:"dimensions"`
	Index        []weighted      `yaml:"index"`
	Operation    []Measure       `yaml:"operation"`
	Bands        []Band          `yaml:"bands"`
	Gates        []Gate          `yaml:"gates"`
}

// Builtin is the method that travels inside the program.
func Builtin(d *dictionary.Dictionary) (*Method, error) {
	root, err := fs.Sub(builtin, "data")
	if err != nil {
		return nil, fmt.Errorf("open the built-in method: %w", err)
	}
	return Load(root, d)
}

// Load reads a method: all *.yaml at the root. The dictionary gives the wording of the
// readiness checks and the tasks. All problems of all files are returned together.
func Load(root fs.FS, d *dictionary.Dictionary) (*Method, error) {
	m := &Method{figures: figures(), byName: map[string]int{}, tasks: d.Tasks()}
	for i := range m.figures {
		m.byName[m.figures[i].name] = i
	}
	names, err := fs.Glob(root, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the files of the method: %w", err)
	}
	var all []error
	for _, name := range names {
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		var content file
		decoder := yaml.NewDecoder(bytes.NewReader(data))
		decoder.KnownFields(true)
		if err := decoder.Decode(&content); err != nil {
			all = append(all, methodError(name, "tệp không đúng dạng: "+err.Error(), "not in the form of a method: "+err.Error()))
			continue
		}
		all = append(all, m.take(name, &content)...)
	}
	if len(all) == 0 {
		all = m.check(d)
	}
	if len(all) > 0 {
		return nil, errors.Join(all...)
	}
	return m, nil
}

func methodError(where, vi, en string) error {
	return &lienthong.Error{Code: "assessment.method", Where: where, Vi: vi, En: en, Hint: "docs/assessment.md"}
}

func (m *Method) take(name string, content *file) []error {
	var all []error
	if f := content.Method; f != nil {
		m.Version, m.ValidFrom, m.Source = f.Version, f.ValidFrom, f.Source
		m.expiry, m.warn, m.evidence, m.credits, m.levels = f.ExpiryMonths, f.WarnDays*microsPerDay, f.Evidence, f.Credits, f.Levels
		m.dimensions, m.index, m.operation, m.bands, m.gates = f.Dimensions, f.Index, f.Operation, f.Bands, f.Gates
		last, err := time.Parse(time.DateOnly, f.Deadline)
		if err != nil {
			all = append(all, methodError(name, "deadline không phải ngày", "deadline is not a date"))
		}
		m.deadline = last.AddDate(0, 0, 1).Add(-7 * time.Hour).UnixMicro() // the end of that day in Viet Nam
		m.quality.Weights = map[lienthong.Criterion]float64{}
		for _, w := range f.Index {
			m.quality.Weights[w.Criterion] = w.Weight
		}
	}
	if content.Ranking != nil {
		m.rankings = *content.Ranking
	}
	m.groups = append(m.groups, content.Groups...)
	for _, s := range content.Sections {
		s.Kind = Readiness
		m.sections = append(m.sections, s)
	}
	for _, s := range content.Frameworks {
		s.Kind = Architecture
		m.sections = append(m.sections, s)
	}
	for _, q := range content.Checks {
		q.Kind = Readiness
		m.questions = append(m.questions, q)
	}
	for _, q := range content.Items {
		q.Kind = Architecture
		m.questions = append(m.questions, q)
	}
	m.rules = append(m.rules, content.Recommendations...)
	m.publication = append(m.publication, content.Published...)
	return all
}

// checker collects what is wrong with a method.
type checker struct {
	*Method
	all []error
}

func (c *checker) bad(where, vi, en string) { c.all = append(c.all, methodError(where, vi, en)) }

// check completes the method and finds what refers to nothing.
func (m *Method) check(d *dictionary.Dictionary) []error {
	c := &checker{Method: m}
	if m.Version == "" || m.expiry < 1 || m.evidence <= 0 || len(m.bands) == 0 || len(m.groups) == 0 || len(m.rankings.Measures) == 0 {
		c.bad("method", "thiếu phiên bản, thời hạn, dải điểm, nhóm hoặc xếp hạng", "version, expiry, bands, groups or ranking are missing")
		return c.all
	}
	c.weights()
	c.readiness(d)
	for _, g := range m.gates {
		c.conditions("gate "+g.ID, g.When)
		c.words("gate "+g.ID, g.Words)
	}
	for _, g := range m.groups {
		where := "group " + strconv.Itoa(g.ID)
		c.conditions(where, g.When)
		c.words(where, g.Words, g.Why)
		c.task(where, g.Task)
	}
	for i := range m.questions {
		c.question(&m.questions[i])
	}
	for i := range m.sections {
		c.words("section "+m.sections[i].ID, m.sections[i].Words, m.sections[i].Asked)
		c.task("section "+m.sections[i].ID, m.sections[i].Task)
	}
	ids := map[string]bool{}
	for i := range m.rules {
		if ids[m.rules[i].ID] {
			c.bad("recommendation "+m.rules[i].ID, "mã trùng", "the identifier stands twice")
		}
		ids[m.rules[i].ID] = true
		c.rule(&m.rules[i])
	}
	for _, p := range m.publication {
		if _, found := d.Database(p.Database); !found {
			c.bad("published "+p.Database, "không có CSDL này", "there is no such database")
		}
		if _, err := time.Parse(time.DateOnly, p.At); err != nil || p.Source == "" {
			c.bad("published "+p.Database, "thiếu ngày hoặc nguồn", "date or source is missing")
		}
		c.words("published "+p.Database, p.Words)
	}
	for _, measure := range m.rankings.Measures {
		c.words("ranking "+measure.ID, measure.Words)
		for _, f := range measure.Facts {
			c.fact("ranking "+measure.ID, f)
		}
	}
	return c.all
}

func (c *checker) weights() {
	total := 0.0
	for _, dimension := range c.dimensions {
		total += dimension.Weight
		c.words("dimension "+dimension.ID, dimension.Words)
	}
	if total < 99.999 || total > 100.001 {
		c.bad("dimensions", "tổng trọng số phải bằng 100", "the weights must add up to 100")
	}
	if len(c.index) != len(indexCriteria()) {
		c.bad("index", "phải có đủ năm tiêu chí", "all five criteria must be there")
	}
	for _, o := range c.operation {
		c.fact("operation", o.Fact)
	}
	for i, band := range c.bands {
		c.words("band "+strconv.Itoa(band.ID), band.Words)
		if i > 0 && (band.From >= c.bands[i-1].From || band.ID != c.bands[i-1].ID-1) {
			c.bad("band "+strconv.Itoa(band.ID), "các dải phải giảm dần", "bands must go down")
		}
	}
	if last := c.bands[len(c.bands)-1]; last.From != 0 || last.ID != 1 {
		c.bad("bands", "dải cuối phải là dải 1 và bắt đầu từ 0", "the last band must be band 1 and begin at 0")
	}
	for _, credit := range []float64{c.credits.Measured, c.credits.Reconciled, c.credits.Signed, c.credits.Verified, c.credits.Declared} {
		if credit < 0 || credit > 1 {
			c.bad("credits", "hệ số phải trong khoảng 0-1", "credits must lie between 0 and 1")
		}
	}
	if c.credits.Declared >= c.credits.Verified || c.credits.Verified >= c.credits.Signed {
		c.bad("credits", "khai báo không được bằng bằng chứng đo", "a declaration must earn less than a signed figure")
	}
}

// readiness takes the wording of the checks from the reference data, which is theirs.
func (c *checker) readiness(d *dictionary.Dictionary) {
	for _, official := range d.Readiness() {
		i := slices.IndexFunc(c.questions, func(q Question) bool { return q.Kind == Readiness && q.ID == strconv.Itoa(official.ID) })
		if i < 0 {
			c.bad("check "+strconv.Itoa(official.ID), "thiếu cách trả lời câu này", "nothing says how to answer this check")
			continue
		}
		c.questions[i].Vi, c.questions[i].Section = official.QuestionVi, official.Group
	}
	for i := range c.questions {
		q := &c.questions[i]
		if q.Weight == 0 {
			q.Weight = 1
		}
		if section, found := c.section(q.Kind, q.Section); found && q.Source == "" {
			q.Source = section.Source
		}
	}
}

func (c *checker) question(q *Question) {
	where := q.Part()
	c.words(where, q.Words, q.Do)
	c.conditions(where, q.Applies)
	c.effort(where, &q.Effort)
	c.task(where, q.Task)
	if _, found := c.section(q.Kind, q.Section); !found {
		c.bad(where, "không có nhóm "+q.Section, "there is no section "+q.Section)
	}
	if q.Source == "" {
		c.bad(where, "thiếu điều khoản", "the article is missing")
	}
	if same := c.find(q.ID); same != q {
		c.bad(where, "mã trùng", "the identifier stands twice")
	}
	if q.SameAs != "" && (c.find(q.SameAs) == nil || c.find(q.SameAs).SameAs != "" || len(q.Automatic) > 0) {
		c.bad(where, "same_as không đúng", "bad same_as")
	}
	if len(q.Automatic) == 0 && q.SameAs == "" && q.Evidence.Vi == "" {
		c.bad(where, "không ai trả lời được câu này", "nobody can answer this")
	}
	if q.Evidence.Vi != "" {
		c.words(where, q.Evidence)
	}
	for _, a := range q.Automatic {
		c.fact(where, a.Fact)
		if a.BlockedBy != "" {
			c.fact(where, a.BlockedBy)
		}
		if a.Share == (a.AtLeast != nil || a.AtMost != nil) || a.Share && a.Yes <= 0 {
			c.bad(where, "phải có share với yes, hoặc at_least, at_most", "wants share with yes, or at_least, at_most")
		}
	}
}

func (c *checker) rule(r *Rule) {
	where := "recommendation " + r.ID
	c.words(where, r.Do, r.Why)
	c.conditions(where, r.When)
	c.effort(where, &r.Effort)
	c.task(where, r.Task)
	if len(r.When) == 0 || r.Task == "" {
		c.bad(where, "thiếu điều kiện hoặc nhiệm vụ", "conditions or task are missing")
	}
	if r.Gate != "" && !slices.ContainsFunc(c.gates, func(g Gate) bool { return g.ID == r.Gate }) {
		c.bad(where, "không có cửa chặn "+r.Gate, "there is no gate "+r.Gate)
	}
	if r.Target == "" {
		r.Target = Measured
	}
	for _, step := range r.Steps {
		c.words(where, step.Words)
	}
	parts := c.partIDs()
	for _, part := range append(slices.Clone(r.Closes), r.Opens...) {
		if part == closesUnverified {
			continue
		}
		if !slices.Contains(parts, part) {
			c.bad(where, "không có phần điểm "+part, "there is no part "+part)
		}
	}
}

func (c *checker) effort(where string, e *Effort) {
	if e.From <= 0 || e.To < e.From || e.Most < 0 || (e.Per == "") != (e.Each == 0) {
		c.bad(where, "công sức không đúng", "bad effort")
	}
	if e.Per != "" {
		c.fact(where, e.Per)
	}
}

func (c *checker) fact(where, name string) {
	if _, found := c.byName[name]; !found {
		c.bad(where, "không có dữ kiện "+name, "there is no fact "+name)
	}
}

func (c *checker) task(where, code string) {
	if code != "" && !slices.ContainsFunc(c.tasks, func(t dictionary.Task) bool { return t.Code == code }) {
		c.bad(where, "không có nhiệm vụ "+code, "there is no task "+code)
	}
}

func (c *checker) conditions(where string, list []Condition) {
	for _, condition := range list {
		c.fact(where, condition.Fact)
		if !condition.Missing && condition.AtLeast == nil && condition.AtMost == nil && condition.Above == nil && condition.Below == nil {
			c.bad(where, "điều kiện không có giới hạn", "a condition has no bound")
		}
	}
}

func (c *checker) words(where string, list ...Words) {
	for _, words := range list {
		if strings.TrimSpace(words.Vi) == "" || strings.TrimSpace(words.En) == "" {
			c.bad(where, "thiếu lời tiếng Việt hoặc tiếng Anh", "the Vietnamese or English words are missing")
		}
		for _, text := range []string{words.Vi, words.En} {
			for _, name := range placeholders(text) {
				if !slices.Contains(ownPlaceholders(), name) {
					c.fact(where, name)
				}
			}
		}
	}
}

// ownPlaceholders can stand in texts beside the names of facts.
func ownPlaceholders() []string {
	return []string{"database", "owner", "code", "member", "questions", "number", "weakest_dung", "weakest_du", "weakest_sach", "weakest_song", "weakest_thong_nhat"}
}

// placeholders lists the names that stand in braces.
func placeholders(text string) []string {
	var names []string
	for {
		_, rest, found := strings.Cut(text, "{")
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return names
		}
		if name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == "" {
			names = append(names, name)
		}
		text = after
	}
}

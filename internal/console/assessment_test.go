package console

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/assessment"
	"github.com/lienthong/lienthong/internal/quality"
)

// assessClock is the instant of these tests: 23 November 2026, 16:05 in Viet Nam.
func assessClock() time.Time { return storyTime() }

// testAssessor assesses databases whose facts stand in the test, with the real method, answers and
// history.
type testAssessor struct {
	method  *assessment.Method
	facts   []assessment.Facts
	answers *assessment.Desk
	history *assessment.History
}

func (a *testAssessor) Method() *assessment.Method { return a.method }

func (a *testAssessor) Assessments(ctx context.Context) ([]*assessment.Assessment, error) {
	answers, err := a.answers.Answers(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]*assessment.Assessment, len(a.facts))
	for i := range a.facts {
		facts := a.facts[i]
		facts.Answers = answers[facts.Database.Code]
		all[i] = a.method.Assess(&facts, assessClock().UnixMicro())
	}
	return all, nil
}

func (a *testAssessor) Assessment(ctx context.Context, code string) (*assessment.Assessment, error) {
	all, err := a.Assessments(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(one *assessment.Assessment) bool { return one.Database.Code == code })
	if i < 0 {
		return nil, &lienthong.Error{Code: CodeUnknownDatabase, Where: code, Vi: "cơ sở dữ liệu không có trong danh mục", En: "the database is not in the catalogue"}
	}
	return all[i], nil
}

func (a *testAssessor) History(ctx context.Context, code string) ([]assessment.Snapshot, error) {
	return a.history.Of(ctx, code, 0)
}

func (a *testAssessor) Sheet(ctx context.Context, code, language string) (*assessment.Sheet, error) {
	one, err := a.Assessment(ctx, code)
	if err != nil {
		return nil, err
	}
	trend, err := a.History(ctx, code)
	if err != nil {
		return nil, err
	}
	return a.method.NewSheet(one, assessment.SheetInput{People: assessment.People{Owner: "Nguyễn Văn An"}, Trend: trend, Language: language}), nil
}

// connectedFacts is a database that synchronises, with something left to do.
func connectedFacts(database lienthong.Database, owner lienthong.Member, value float64) assessment.Facts {
	now := assessClock()
	f := assessment.Facts{
		Database: database, Owner: owner, At: now.UnixMicro(),
		Connection: assessment.Connection{
			Grade: assessment.Measured, Since: now.AddDate(0, -3, 0).UnixMicro(), Nodes: []string{"nut-1"}, Registered: 4, Connected: 4,
			SourceRows: 200_000, LandedRows: 198_764, Quarantined: 1_236, LastChange: now.Add(-time.Hour).UnixMicro(), Interval: 24 * time.Hour,
			LagP50: 18 * time.Millisecond, LagP99: 74 * time.Millisecond, Matching: 4, ComparedAt: now.Add(-time.Hour).UnixMicro(),
		},
		Mapping: assessment.Mapping{Grade: assessment.Measured, Columns: 40, Mapped: 30, Coded: 6, CodedCurrent: 6, Datasets: 4, WithIdentity: 4},
		Tickets: assessment.Tickets{Grade: assessment.Measured, Open: 3, Overdue: 1, Identifier: 1, Records: 1_236, Timed: 10, InTime: 9, Closed: 10},
		Sharing: assessment.Sharing{Grade: assessment.Measured, Services: 1, Subscriptions: 2, Consumers: 2},
		Security: assessment.Security{
			Grade: assessment.Measured, MutualTLS: true, SignedBatches: true, AuditVerified: true, PersonalFields: 4, SealedFields: 1,
		},
		Quality: assessment.Quality{Grade: assessment.Signed, Index: value, Known: true},
	}
	for i, c := range lienthong.Criteria() {
		f.Quality.Criteria = append(f.Quality.Criteria, assessment.CriterionFact{
			Criterion: c, Value: value - float64(i), Known: true, Coverage: 95, WeakestAt: value - 10,
			Weakest: assessment.Words{Vi: "ngày sinh không ở tương lai", En: "the day of birth is not in the future"},
		})
	}
	return f
}

// newAssessment is a workplace with assessments of four databases and something to look back on.
func newAssessment(t *testing.T) (*Workplace, *testAssessor) {
	t.Helper()
	place, records := newWorkplace(t)
	words := place.Dictionary()
	method, err := assessment.Builtin(words)
	if err != nil {
		t.Fatal(err)
	}
	assessor := &testAssessor{method: method, history: &assessment.History{Documents: records}}
	member := func(code string) lienthong.Member {
		m, found := words.Member(code)
		if !found {
			t.Fatalf("no member %s", code)
		}
		return m
	}
	population := lienthong.Database{
		Code: "population", NameVi: "CSDL quốc gia về dân cư", NameEn: "National population database", Class: lienthong.NationalDatabase,
		Owner: "G01", LegalBasis: "NĐ 37/2021/NĐ-CP", Confidence: "A",
	}
	enterprise := lienthong.Database{
		Code: "enterprise", NameVi: "CSDL quốc gia về đăng ký doanh nghiệp", NameEn: "National enterprise registration database",
		Class: lienthong.NationalDatabase, Owner: "G12", LegalBasis: "NĐ 47/2024/NĐ-CP", Confidence: "A",
	}
	labour := lienthong.Database{Code: "labour", NameVi: "CSDL người lao động", NameEn: "Labour database", Class: lienthong.SpecialisedDatabase, Confidence: "C"}
	budget := lienthong.Database{Code: "budget", NameVi: "CSDL ngân sách", NameEn: "Budget database", Class: lienthong.SpecialisedDatabase, Owner: "G12", Confidence: "B"}
	gated := connectedFacts(enterprise, member("G12"), 82)
	gated.Quality.Criteria[0].Gates, gated.Quality.Criteria[0].Broken, gated.Connection.Differing, gated.Connection.Matching = 1, 1236, 1, 3
	assessor.facts = []assessment.Facts{
		connectedFacts(population, member("G01"), 97), gated, method.Seed(words, labour, assessClock().UnixMicro()), method.Seed(words, budget, assessClock().UnixMicro()),
	}
	for i := range assessor.facts[2:] {
		assessor.facts[2+i].Sharing = assessment.Sharing{}
	}
	assessor.answers = assessment.NewDesk(assessment.DeskConfig{
		Documents: records, Method: method, Now: assessClock,
		Owner: func(code string) (lienthong.MemberCode, bool) {
			i := slices.IndexFunc(assessor.facts, func(f assessment.Facts) bool { return f.Database.Code == code })
			if i < 0 {
				return "", false
			}
			return assessor.facts[i].Database.Owner, true
		},
	})
	// Yesterday and the day before: the population was worse.
	trend := quality.NewTrend(records)
	for day := 2; day >= 1; day-- {
		at := assessClock().AddDate(0, 0, -day).UnixMicro()
		past := connectedFacts(population, member("G01"), 97-5*float64(day))
		if _, err := assessor.history.Save(t.Context(), []*assessment.Assessment{method.Assess(&past, at)}); err != nil {
			t.Fatal(err)
		}
		one := quality.Day{Date: quality.DateOf(at), ID: "population", At: at, Index: 97 - 5*float64(day), Known: true, Colour: quality.Green, Coverage: 95}
		for _, c := range lienthong.Criteria() {
			one.Criteria = append(one.Criteria, quality.DayCriterion{Criterion: c, Value: one.Index, Known: true, Weight: 1, Coverage: 95})
			one.Terms = append(one.Terms, quality.Term{
				Dataset: "population.person", Criterion: c, Code: "person.number.digits", Field: "personal_number",
				Passed: 1000 - 50*float64(day), Total: 1000, Value: one.Index, Share: 1,
			})
		}
		if err := trend.Record(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	place.Answers, place.Assessor, place.Trend = assessor.answers, assessor, trend
	return place, assessor
}

// assessServer serves the console at the instant of these tests.
func assessServer(t *testing.T, place *Workplace) *httptest.Server {
	t.Helper()
	return workplaceServer(t, place)
}

func TestAssessmentPages(t *testing.T) {
	place, assessor := newAssessment(t)
	engineer := people()["engineer"].person()
	answered, err := assessor.answers.Answer(t.Context(), engineer, assessment.Answer{
		Database: "population", Question: "4", Verdict: assessment.Partly, Percent: 62.5,
		Evidence: assessment.Evidence{Document: "QĐ 12/QĐ-BCA, 05/03/2026", Text: "giai đoạn một"},
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	server := assessServer(t, place)
	for _, language := range []string{"vi", "en"} {
		for _, as := range []string{"viewer", "engineer", "reviewer"} {
			for path, want := range map[string][]string{
				"/assessment": {`id="assess-population"`, `id="assess-labour"`, `class="criterion grade-green"`},
				"/assessment?owner=G12&class=chuyen_nganh":      {`id="assess-budget"`},
				"/assessment?group=1":                           {`id="assess-population"`},
				"/assessment?q=dan+cu":                          {`id="assess-population"`},
				"/assessment?q=khongco":                         {`class="empty"`},
				"/assessment/ranking":                           {`id="league-ministry"`, "NĐ 278/2025"},
				"/assessment/ranking?of=databases":              {`id="league-quoc_gia"`},
				"/assessment/method":                            {`id="credits-title"`, "351/405", `id="check-phap_ly"`},
				"/assessment/compare":                           {`id="do-compare"`},
				"/assessment/compare?a=population&b=enterprise": {`class="compared"`, `href="/assessment/enterprise"`},
				"/assessment/compare?a=population&b=labour":     {`class="notice yellow"`},
				"/assessment/compare?a=agency:G01&b=agency:G12": {`class="compared"`},
				"/assessment/compare?a=agency:G01&b=population": {`class="notice yellow"`},
				"/assessment/population":                        {`class="assessment"`, `href="/assessment/population.pdf"`, `id="answers"`},
				"/assessment/enterprise":                        {`class="gates"`},
				"/assessment/labour":                            {`class="assessment"`},
				"/assessment/population/checks":                 {`id="q-27"`, `id="check-phap_ly"`, "QĐ 12/QĐ-BCA"},
				"/assessment/population/checks?question=4":      {`class="timeline"`},
			} {
				status, page := getPage(t, server, as, language, path)
				if status != http.StatusOK {
					t.Errorf("%s as %s: %d", path, as, status)
				}
				checkStructure(t, page)
				for _, text := range want {
					if !strings.Contains(page, text) {
						t.Errorf("%s in %s as %s does not say %q", path, language, as, text)
					}
				}
			}
		}
	}
	for path, want := range map[string]int{
		"/assessment/nothing": 404, "/assessment/nothing/checks": 404, "/assessment/nothing.pdf": 404, "/assessment/compare?a=population&b=nothing": 404,
	} {
		if status, _ := getPage(t, server, "viewer", "vi", path); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
	if _, page := getPage(t, server, "viewer", "vi", "/assessment?band=4"); strings.Contains(page, `id="assess-labour"`) {
		t.Error("the filter by band lets a database of another band through")
	}
	// The forms are there for those who may use them only.
	for as, want := range map[string][2]bool{"viewer": {}, "other": {}, "steward": {}, "engineer": {true, false}, "owner": {true, false}, "reviewer": {false, true}} {
		_, page := getPage(t, server, as, "vi", "/assessment/population/checks")
		if got := [2]bool{strings.Contains(page, `id="answer-4"`), strings.Contains(page, `id="verify-4"`)}; got != want {
			t.Errorf("%s is offered to answer and to verify: %v, want %v", as, got, want)
		}
	}
	// Every part of the score stands on the page, and the parts sum up to it.
	one, err := assessor.Assessment(t.Context(), "population")
	if err != nil {
		t.Fatal(err)
	}
	_, page := getPage(t, server, "viewer", "en", "/assessment/population")
	sum := 0.0
	for _, match := range regexp.MustCompile(`data-label="Points"><strong>([0-9.]+)</strong>`).FindAllStringSubmatch(page, -1) {
		points, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += points
	}
	if math.Abs(sum-one.Points) > 0.005*float64(len(one.Parts)) || sum == 0 {
		t.Errorf("the parts on the page are %.2f, the points %.2f", sum, one.Points)
	}
	if !strings.Contains(page, "The personal number must be exactly 12 digits <small>−50 failing records</small>") {
		t.Error("the trend does not say what moved")
	}
	if answered.Revision != 1 {
		t.Errorf("revision %d", answered.Revision)
	}
}

// TestAssessmentFiles: the sheet comes as PDF and DOCX in the reader's language, with names for old and
// new programs.
func TestAssessmentFiles(t *testing.T) {
	place, _ := newAssessment(t)
	server := assessServer(t, place)
	for _, test := range []struct{ path, language, kind, magic, name string }{
		{"/assessment/population.pdf", "vi", "application/pdf", "%PDF-", "Phi%E1%BA%BFu%20%C4%91%C3%A1nh%20gi%C3%A1%20CSDL"},
		{"/assessment/population.docx", "en", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "PK\x03\x04", "Assessment%20National%20population%20database"},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.path, nil)
		request.AddCookie(&http.Cookie{Name: sessionCookie, Value: "viewer"})
		request.AddCookie(&http.Cookie{Name: languageCookie, Value: test.language})
		answer := httptest.NewRecorder()
		server.Config.Handler.ServeHTTP(answer, request)
		disposition := answer.Header().Get("Content-Disposition")
		if answer.Code != http.StatusOK || answer.Header().Get("Content-Type") != test.kind || !bytes.HasPrefix(answer.Body.Bytes(), []byte(test.magic)) {
			t.Errorf("%s: %d %q begins with %q", test.path, answer.Code, answer.Header().Get("Content-Type"), answer.Body.String()[:5])
		}
		if !strings.Contains(disposition, `attachment; filename="assessment-population-2`) || !strings.Contains(disposition, "filename*=UTF-8''"+test.name) {
			t.Errorf("%s is called %q", test.path, disposition)
		}
		if answer.Header().Get("Content-Length") != strconv.Itoa(answer.Body.Len()) {
			t.Errorf("%s: length %q", test.path, answer.Header().Get("Content-Length"))
		}
	}
	if got, want := attachment("a/b\"é.pdf", "Phiếu: A/B \"c\".pdf"), `attachment; filename="a-b--.pdf"; filename*=UTF-8''Phi%E1%BA%BFu-%20A-B%20-c-.pdf`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// postForm sends a form as somebody, with the token of a page.
func postForm(t *testing.T, server *httptest.Server, as, path string, typed url.Values) (int, string) {
	t.Helper()
	secret := strings.Repeat("s", formSecretLength)
	page := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/assessment/population/checks", nil)
	page.AddCookie(&http.Cookie{Name: sessionCookie, Value: as})
	page.AddCookie(&http.Cookie{Name: formCookie, Value: secret})
	answer := httptest.NewRecorder()
	server.Config.Handler.ServeHTTP(answer, page)
	token := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(answer.Body.String())
	if token == nil {
		t.Fatalf("no form for %s", as)
	}
	typed.Set("form", token[1])
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(typed.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.AddCookie(&http.Cookie{Name: sessionCookie, Value: as})
	request.AddCookie(&http.Cookie{Name: formCookie, Value: secret})
	answer = httptest.NewRecorder()
	server.Config.Handler.ServeHTTP(answer, request)
	return answer.Code, answer.Body.String()
}

// TestAssessmentAnswer_Refused: nothing that was typed is lost, and the status says why it was refused.
func TestAssessmentAnswer_Refused(t *testing.T) {
	place, assessor := newAssessment(t)
	server := assessServer(t, place)
	typed := func(pairs ...string) url.Values {
		values := url.Values{"question": {"4"}, "revision": {"0"}}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return values
	}
	const answer, decide = "/assessment/population/answer", "/assessment/population/decide"
	good := typed("verdict", "yes", "document", "QĐ 12/QĐ-BCA")
	for _, test := range []struct {
		name, as, path string
		typed          url.Values
		status         int
		has            []string
	}{
		{"without evidence", "engineer", answer, typed("verdict", "partly", "percent", "abc", "text", "trích điều 5"), 422, []string{"cần số văn bản", "đạt một phần thì ghi tỷ lệ", `value="abc"`, "trích điều 5", `value="partly" selected`}},
		{"a wrong day", "engineer", answer, typed("verdict", "yes", "document", "QĐ 7", "until", "31-12-2027"), 422, []string{"năm-tháng-ngày", "QĐ 7"}},
		{"half a file", "engineer", answer, typed("verdict", "yes", "document", "QĐ 7", "file", "a.pdf"), 422, []string{"cả tên và mã băm", "a.pdf"}},
		{"of another agency", "other", answer, good, 403, []string{"cơ quan chủ quản", "QĐ 12/QĐ-BCA"}},
		{"who may only look", "viewer", answer, good, 403, []string{"cần vai"}},
		{"no such question", "engineer", answer, url.Values{"question": {"999"}}, 404, nil},
		{"no such step", "reviewer", decide, typed("action", "bless"), 400, nil},
		{"nothing to verify", "reviewer", decide, typed("action", "verify"), 422, []string{"trạng thái khác"}},
		{"good", "engineer", answer, good, 303, nil},
		{"somebody was faster", "owner", answer, typed("verdict", "no", "text", "chưa có"), 409, []string{"người khác vừa thay đổi", "chưa có"}},
		{"back without a reason", "reviewer", decide, typed("action", "return", "revision", "1"), 422, []string{"cần ghi lý do"}},
		{"back", "reviewer", decide, typed("action", "return", "revision", "1", "note", "thiếu trang 2"), 303, nil},
		{"taken back", "owner", decide, typed("action", "withdraw", "revision", "2", "note", "gửi nhầm"), 303, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, page := postForm(t, server, test.as, test.path, test.typed)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			for _, text := range test.has {
				if !strings.Contains(page, text) {
					t.Errorf("the page does not say %q", text)
				}
			}
			if test.has != nil {
				checkStructure(t, page)
			}
		})
	}
	history, err := assessor.answers.History(t.Context(), "population", "4")
	if err != nil || len(history) != 3 || history[2].State != assessment.Withdrawn || history[1].Note != "thiếu trang 2" {
		t.Errorf("%+v %v", history, err)
	}
}

// TestCredits: what the pages say an answer brings is what the method gives.
func TestCredits(t *testing.T) {
	_, assessor := newAssessment(t)
	got := creditsOf(assessor.method)
	if got.Measured != 1 || got.Reconciled != 1 || !(got.Declared > 0 && got.Declared < got.Verified && got.Verified < got.Signed && got.Signed < 1) {
		t.Errorf("%+v", got)
	}
	vi := newWords(Vietnamese, assessClock)
	en := newWords(English, assessClock)
	for _, test := range [][2]string{
		{vi.digits(1234.5, 2), "1.234,5"},
		{en.digits(-0.001, 2), "0"},
		{vi.signed(-0.25, 2), "−0,25"},
		{vi.signed(0.004, 2), "±0"},
		{en.signed(3, 1), "+3"},
		{vi.figure(assessment.Percent, 99.99), "99,9 %"},
		{en.figure(assessment.Days, 1.4), "1 day"},
		{vi.figure(assessment.Days, 12), "12 ngày"},
		{vi.figure(assessment.Level, 4), "cấp 4"},
		{vi.figure(assessment.YesNo, 1), "có"},
		{en.figure(assessment.YesNo, 0), "no"},
		{vi.figure(assessment.Seconds, 0.074), "74 ms"},
		{en.figure(assessment.Hours, 3), "3 h"},
		{vi.figure(assessment.Count, 12345), "12.345"},
		{en.day("2026-12-31"), "31 Dec 2026"},
		{vi.day("sau này"), "sau này"},
	} {
		if test[0] != test[1] {
			t.Errorf("%q, want %q", test[0], test[1])
		}
	}
}

// TestEngineerAnswersReviewerVerifies is the way of an answer in a browser: the score rises by
// what the page said it would, twice.
func TestEngineerAnswersReviewerVerifies(t *testing.T) {
	place, _ := newAssessment(t)
	server := assessServer(t, place)
	tab := newTab(t)
	b := browser{t, tab, server.URL}
	figure := func(selector string) float64 {
		t.Helper()
		text := strings.NewReplacer(",", ".", "+", "").Replace(strings.TrimSpace(b.text(selector)))
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%s: %v", selector, err)
		}
		return value
	}
	rose := func(what string, before, promised float64) {
		t.Helper()
		if after := figure("#points"); math.Abs(after-before-promised) > 0.011 || promised <= 0 {
			t.Errorf("%s: from %.2f to %.2f, promised %.2f", what, before, after, promised)
		}
	}

	b.do(b.open("engineer", "/assessment"), b.see("#assess-population"), chromedp.Click(chromedp.CSS("#assess-population")), b.see(".paper .assessment"))
	b.do(chromedp.Click(chromedp.CSS("#to-checks")), b.see("#q-4 .work > summary"), chromedp.Click(chromedp.CSS("#q-4 .work > summary")), b.see("#answer-4"))
	before, promised := figure("#points"), figure("#q-4 .gain-declared")
	b.set("#verdict-4", "yes")
	b.set("#text-4", "trích Điều 5")
	b.do(chromedp.Click(chromedp.CSS("#answer-4")), b.see("#q-4 .notice.red"))
	if got := b.text("#q-4"); !strings.Contains(got, "cần số văn bản hoặc tệp minh chứng") {
		t.Errorf("an answer without evidence: %q", got)
	}
	b.set("#document-4", "QĐ 12/QĐ-BCA, 05/03/2026")
	b.do(chromedp.Click(chromedp.CSS("#answer-4")), b.see("#q-4 .said .chip.blue"))
	rose("declared", before, promised)
	if got := b.text("#q-4"); !strings.Contains(got, "trích Điều 5") || !strings.Contains(got, "QĐ 12/QĐ-BCA") {
		t.Errorf("the answer says %q", got)
	}
	if b.has("#verify-4") {
		t.Error("the engineer may verify")
	}

	b.do(b.open("reviewer", "/assessment"), b.see("#waiting a"), chromedp.Click(chromedp.CSS("#waiting a")), b.see("#verify-4"))
	before, promised = figure("#points"), figure("#q-4 .gain-verified")
	b.do(chromedp.Click(chromedp.CSS("#verify-4")), b.see("#q-4 .said .chip.green"))
	rose("verified", before, promised)

	b.do(b.open("viewer", "/assessment/population"), b.see("#pdf"))
	fetched, err := chromedp.Run(tab, chromedp.Evaluate[string](`(() => { const x = new XMLHttpRequest(); x.open("GET", document.querySelector("#pdf").href, false);
		x.overrideMimeType("text/plain; charset=x-user-defined"); x.send(); return x.status + " " + x.getResponseHeader("Content-Type") + " " + x.responseText.slice(0, 4); })()`))
	if err != nil || fetched != "200 application/pdf %PDF" {
		t.Errorf("%q %v", fetched, err)
	}
	// The console's own style does not reach the sheet: its columns and tiles are those of the paper.
	shape, err := chromedp.Run(tab, chromedp.Evaluate[string](`(() => { const of = (s) => getComputedStyle(document.querySelector(".paper " + s)); return [of("section.criteria").display, of(".score").borderTopWidth, of(".criteria .tile").borderTopWidth].join(" "); })()`))
	if err != nil || shape != "block 0px 1px" {
		t.Errorf("%q %v", shape, err)
	}
}

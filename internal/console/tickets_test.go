package console

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/calendar"
	"github.com/lienthong/lienthong/internal/ticket"
)

// office is a desk of tickets behind the pages, with a clock that tests set.
type office struct {
	t      *testing.T
	place  *Workplace
	server *httptest.Server
	micros atomic.Int64
}

func (o *office) now() time.Time { return time.UnixMicro(o.micros.Load()) }

// set moves the clock to a time in Viet Nam.
func (o *office) set(moment string) {
	o.t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", moment, calendar.Zone())
	if err != nil {
		o.t.Fatal(err)
	}
	o.micros.Store(at.UnixMicro())
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t}
	o.set("2026-10-12 09:00")
	place, records := newWorkplace(t)
	desk, err := ticket.NewDesk(t.Context(), ticket.Config{Documents: records, Now: o.now})
	if err != nil {
		t.Fatal(err)
	}
	place.Tickets = desk
	o.place = place
	o.server = workplaceServerAt(t, place, o.now)
	return o
}

func ticketLine(rule, field, vi, en string, open int64) ticket.Line {
	return ticket.Line{
		Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Source: "g01", Owner: "G01", InCharge: "Population data office",
		Rule: rule, Field: field, Vi: vi, En: en, FieldVi: "Số điện thoại", FieldEn: "Phone",
		Group: lienthong.WrongFormat, Criterion: lienthong.Clean, Rows: 1000, Open: open,
	}
}

func phoneLine(open int64) ticket.Line {
	line := ticketLine("phone.form", "phone", "Số điện thoại sai dạng", "The phone number has a wrong form", open)
	if open > 0 {
		line.Samples = []ticket.Sample{{Record: strings.Repeat("ab", 32), Masked: "09**"}}
	}
	return line
}

func numberLine(open int64) ticket.Line {
	line := ticketLine("person.number.form", "number", "Số định danh phải có đúng 12 chữ số", "The personal number must have exactly 12 digits", open)
	line.Identifier, line.Blocking, line.FieldVi, line.FieldEn, line.Criterion = true, true, "Số định danh", "Personal number", lienthong.Correct
	return line
}

func (o *office) sync(lines ...ticket.Line) {
	o.t.Helper()
	if _, err := o.place.Tickets.Sync(o.t.Context(), ticket.Snapshot{Lines: lines}); err != nil {
		o.t.Fatal(err)
	}
	if _, err := o.place.Tickets.Tick(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) get(as, path string) (int, string) {
	return getPage(o.t, o.server, as, "vi", path)
}

const (
	phoneTicket  = "population.person@g01:phone.form:phone"
	numberTicket = "population.person@g01:person.number.form:number"
)

// visitor is somebody with a browser that has no script.
type visitor struct {
	t      *testing.T
	client *http.Client
	server *httptest.Server
}

func newVisitor(t *testing.T, server *httptest.Server, as string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t: t, server: server, client: &http.Client{Jar: jar}}
	v.do(http.MethodGet, "/?as="+as, nil)
	return v
}

func (v *visitor) do(method, path string, form url.Values) (int, string) {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), method, v.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := v.client.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode, readAll(v.t, answer)
}

// submit posts a form with the token and the revision that the page carries.
func (v *visitor) submit(page, path string, fields ...string) (int, string) {
	v.t.Helper()
	_, shown := v.do(http.MethodGet, page, nil)
	form := url.Values{}
	for _, name := range []string{"form", "revision"} {
		match := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(shown)
		if match != nil {
			form.Set(name, match[1])
		}
	}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return v.do(http.MethodPost, path, form)
}

func want(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not say %q:\n%s", text, strings.Join(visibleTexts(t, page), "\n"))
		}
	}
}

func TestTicketPages(t *testing.T) {
	o := newOffice(t)
	_, empty := o.get("viewer", "/tickets")
	checkStructure(t, empty)
	want(t, empty, "Không có phiếu nào đang mở")

	o.sync(phoneLine(120), numberLine(0))
	o.set("2026-10-13 10:00")
	o.sync(phoneLine(140), numberLine(3))
	o.set("2026-10-14 10:00")
	o.sync(phoneLine(80), numberLine(3))
	for _, language := range []string{"vi", "en"} {
		for _, path := range []string{
			"/tickets", "/tickets?show=mine", "/tickets?show=assigned", "/tickets?show=waiting", "/tickets?overdue=yes&red=yes", "/tickets?stage=closed", "/tickets?show=all&database=population&owner=G01&group=wrong_format",
			ticketPath(phoneTicket), ticketPath(numberTicket),
		} {
			for _, as := range []string{"owner", "viewer", "approver"} {
				status, page := getPage(t, o.server, as, language, path)
				if status != http.StatusOK {
					t.Errorf("%s as %s: %d", path, as, status)
				}
				checkStructure(t, page)
				checkLanguage(t, visibleTexts(t, page), Language(language))
			}
		}
	}
	if status, _ := o.get("owner", "/tickets/no.such"); status != http.StatusNotFound {
		t.Errorf("an unknown ticket: %d", status)
	}
	_, list := o.get("owner", "/tickets")
	want(t, list, `id="figure-open">2<`, "83 bản ghi sai", `id="figure-red">1<`, "còn 3 ngày làm việc", "Số định danh phải có đúng 12 chữ số")
	if strings.Index(list, "Số định danh phải") > strings.Index(list, "Số điện thoại sai dạng") {
		t.Error("the red incident does not come first")
	}
	_, red := o.get("owner", "/tickets?red=yes")
	if strings.Contains(red, "Số điện thoại sai dạng") || !strings.Contains(red, "Số định danh phải") {
		t.Error("the filter of red incidents lets others through, or holds them back")
	}
	_, phone := o.get("owner", ticketPath(phoneTicket))
	want(t, phone, "09**", "19/10/2026 17:00:00", "26/10/2026 17:00:00", "02/11/2026 17:00:00", "chỉ khi được gia hạn", ">60<", "Population data office", `id="step-acknowledge"`)
	if strings.Contains(phone, "lienthong quarantine") || strings.Contains(phone, "id=\"workbook\"") {
		t.Error("a command is shown that brings nothing")
	}
	_, number := o.get("owner", ticketPath(numberTicket))
	want(t, number, "sự cố đỏ", "lienthong quarantine list --config node.yaml --dataset population.person --rule person.number.form", "Thủ trưởng cơ quan chủ quản")
	_, foreign := o.get("other", ticketPath(phoneTicket))
	if strings.Contains(foreign, `id="step-acknowledge"`) {
		t.Error("people of another organisation may acknowledge")
	}
	o.place.RowsCommand = func(t *ticket.Ticket) string { return "make-workbook " + t.Rule }
	_, phone = o.get("owner", ticketPath(phoneTicket))
	want(t, phone, "make-workbook phone.form")
}

// Refused steps keep what was typed, and say why.
func TestTicketSteps_Refused(t *testing.T) {
	o := newOffice(t)
	o.sync(phoneLine(120))
	owner, page := newVisitor(t, o.server, "owner"), ticketPath(phoneTicket)
	status, shown := owner.submit(page, page+"/step", "action", "plan", "cause", "the entry form takes letters", "plan", "")
	if status != http.StatusUnprocessableEntity {
		t.Errorf("a plan without a plan: %d", status)
	}
	want(t, shown, "the entry form takes letters", "thiếu phương án khắc phục", `<details class="offer" open><summary id="open-plan">`)
	status, shown = owner.submit(page, page+"/step", "action", "plan", "cause", "số 012345678901", "plan", "sửa")
	if status != http.StatusUnprocessableEntity || !strings.Contains(shown, "12 chữ số") {
		t.Errorf("a personal number in a ticket: %d", status)
	}
	status, shown = owner.submit(page, page+"/step", "action", "acknowledge", "revision", "77", "note", "")
	if status != http.StatusConflict {
		t.Errorf("a step on an old revision: %d", status)
	}
	want(t, shown, "phiếu đã thay đổi sau khi bạn mở")
	viewer := newVisitor(t, o.server, "viewer")
	status, shown = viewer.submit(page, page+"/step", "action", "comment", "note", "what I wrote")
	if status != http.StatusForbidden {
		t.Errorf("a viewer comments: %d", status)
	}
	want(t, shown, "what I wrote", "vai trò của bạn không được làm bước này")
	if status, _ := owner.submit(page, "/tickets/no.such/step", "action", "acknowledge"); status != http.StatusNotFound {
		t.Errorf("a step of an unknown ticket: %d", status)
	}
	long := strings.Repeat("ễ", 4000)
	if status, shown = owner.submit(page, page+"/step", "action", "plan", "cause", long, "plan", long); status != http.StatusOK || !strings.Contains(shown, "Đã có phương án") {
		t.Errorf("the longest texts that a ticket takes: %d", status)
	}
}

// What owners ask for is decided by the centre; what nobody does goes up and ends in a proposal.
func TestTicketSteps_Decisions(t *testing.T) {
	o := newOffice(t)
	o.sync(phoneLine(120), numberLine(2))
	page := ticketPath(phoneTicket)
	owner, reviewer, approver := newVisitor(t, o.server, "owner"), newVisitor(t, o.server, "reviewer"), newVisitor(t, o.server, "approver")
	owner.submit(page, page+"/step", "action", "plan", "cause", "form", "plan", "mend the form")
	owner.submit(page, page+"/step", "action", "ask_extension", "note", "villages must be visited")
	_, list := o.get("reviewer", "/tickets?show=waiting")
	want(t, list, "Số điện thoại sai dạng", "chờ quyết định")
	_, shown := reviewer.submit(page, page+"/step", "action", "grant_extension", "note", "granted once")
	want(t, shown, "đã được gia hạn", "villages must be visited", "granted once", "02/11/2026 17:00:00")
	owner.submit(page, page+"/step", "action", "appeal", "note", "foreign numbers are right")
	status, shown := approver.submit(page, page+"/step", "action", "waive", "note", "true for embassies")
	if status != http.StatusUnprocessableEntity || !strings.Contains(shown, "true for embassies") {
		t.Errorf("a waiver without an end: %d", status)
	}
	_, shown = approver.submit(page, page+"/step", "action", "waive", "note", "true for embassies", "until", "2027-01-15")
	want(t, shown, "Miễn trừ có thời hạn", "15/01/2027", "true for embassies", "foreign numbers are right")

	o.set("2026-11-23 16:05")
	o.sync(phoneLine(120), numberLine(2))
	number := ticketPath(numberTicket)
	_, shown = approver.do(http.MethodGet, number, nil)
	want(t, shown, "Ban Chỉ đạo quốc gia về dữ liệu", "Đề xuất tạm dừng đồng bộ", "Luật Dữ liệu 60/2024/QH15", "quá hạn", `id="step-decline_suspension"`)
	checkStructure(t, shown)
	_, shown = approver.submit(number, number+"/step", "action", "decline_suspension", "note", "people depend on it")
	want(t, shown, "không tạm dừng", "people depend on it")
	_, overdue := o.get("owner", "/tickets?overdue=yes")
	want(t, overdue, `id="figure-overdue">1<`, "Số định danh phải")

	o.set("2026-11-24 09:00")
	o.sync(phoneLine(0), numberLine(0))
	o.set("2026-11-25 09:00")
	o.sync(phoneLine(0), numberLine(5))
	_, shown = o.get("owner", number)
	want(t, shown, "Những lần mở trước", "Hết lỗi", "Số lần lỗi tái diễn")
	checkStructure(t, shown)
}

// TestClockUntil: working days, not days, and colours that warn.
func TestClockUntil(t *testing.T) {
	days, err := calendar.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		moment, err := time.ParseInLocation("2006-01-02 15:04", text, calendar.Zone())
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	for _, test := range []struct{ now, due, vi, en, colour string }{
		{"2026-10-12 09:00", "2026-10-19 17:00", "còn 5 ngày làm việc", "5 working days left", "green"},
		{"2026-10-16 18:00", "2026-10-19 17:00", "còn 1 ngày làm việc", "1 working day left", "yellow"},
		{"2026-10-19 16:59", "2026-10-19 17:00", "hết hạn hôm nay", "due today", "yellow"},
		{"2026-10-19 17:01", "2026-10-19 17:00", "vừa quá hạn", "the term has just passed", "red"},
		{"2026-10-26 09:00", "2026-10-19 17:00", "quá hạn 5 ngày làm việc", "5 working days late", "red"},
		{"2045-01-02 09:00", "2045-01-09 17:00", "không tính được số ngày làm việc", "working days not known", "green"},
	} {
		got := clockUntil(at(test.due).UnixMicro(), days, at(test.now))
		if got.Words != (Text{test.vi, test.en}) || got.Colour != test.colour {
			t.Errorf("at %s: %+v", test.now, got)
		}
	}
	if got := clockUntil(0, days, at("2026-10-12 09:00")); got.Kind != "unknown" {
		t.Errorf("without a term: %+v", got)
	}
}

func TestPager(t *testing.T) {
	for _, test := range []struct {
		asked          string
		total          int
		page, last     int
		before, beyond string
	}{
		{"", 0, 1, 1, "", ""},
		{"1", 50, 1, 1, "", ""},
		{"2", 101, 2, 3, "/x?a=b&page=1", "/x?a=b&page=3"},
		{"99", 101, 3, 3, "/x?a=b&page=2", ""},
		{"-4", 51, 1, 2, "", "/x?a=b&page=2"},
	} {
		got := newPager("/x", url.Values{"a": {"b"}}, test.asked, test.total, 50)
		if got != (pager{test.page, test.last, test.before, test.beyond}) {
			t.Errorf("%+v: %+v", test, got)
		}
		if from, to := got.bounds(test.total, 50); from > to || to > test.total {
			t.Errorf("%+v: %d to %d", test, from, to)
		}
	}
}

// TestOwnerWorksOnATicket is the way of a ticket in a browser: an owner acknowledges it and gives
// cause and plan.
func TestOwnerWorksOnATicket(t *testing.T) {
	o := newOffice(t)
	o.sync(phoneLine(120))
	b := browser{t, newTab(t), o.server.URL}
	b.do(b.open("owner", "/tickets?show=mine"), b.see(".tickets a"), chromedp.Click(chromedp.CSS(".tickets a")), b.see("#step-acknowledge"))
	b.do(chromedp.Click(chromedp.CSS("#step-acknowledge")), b.see(".stages li:nth-child(2).current"))
	if got := b.text("#stage"); got != "Đã tiếp nhận" {
		t.Errorf("after acknowledging: %q", got)
	}
	b.set("#cause-plan", "Biểu mẫu nhận cả chữ cái")
	b.do(chromedp.Click(chromedp.CSS("#step-plan")), b.see("#refused"))
	if got := b.text("#refused"); !strings.Contains(got, "thiếu phương án khắc phục") {
		t.Errorf("a plan without a plan: %q", got)
	}
	b.set("#plan-plan", "Sửa biểu mẫu, gọi lại 120 người")
	b.do(chromedp.Click(chromedp.CSS("#step-plan")), b.see("#plan-given"))
	if got := b.text("#cause-given") + b.text("#plan-given") + b.text("#stage"); got != "Biểu mẫu nhận cả chữ cáiSửa biểu mẫu, gọi lại 120 ngườiĐã có phương án" {
		t.Errorf("cause, plan and stage: %q", got)
	}
	if got := b.text("#history"); !strings.Contains(got, "dung.owner") || !strings.Contains(got, "Tiếp nhận") {
		t.Errorf("the history says %q", got)
	}
	b.do(chromedp.Click(chromedp.CSS("#open-assign")), b.see("#handler-assign"))
	b.set("#handler-assign", "dung.owner")
	b.do(chromedp.Click(chromedp.CSS("#step-assign")), b.see("#handler"), b.open("owner", "/tickets?show=assigned"), b.see(".tickets a"))
	b.fits("/tickets", ticketPath(phoneTicket))
}

// fits opens pages at the width of a telephone and says what is wider.
func (b browser) fits(paths ...string) {
	b.t.Helper()
	for _, path := range paths {
		b.do(chromedp.EmulateViewport(390, 900), chromedp.Navigate(b.url+path), b.see("#main"))
		wide, err := chromedp.Run(b.tab, chromedp.Evaluate[[]string](`document.documentElement.scrollWidth <= innerWidth ? [] :
			[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.tagName + "." + e.className)`))
		if err != nil {
			b.t.Fatal(err)
		}
		if len(wide) > 0 {
			b.t.Errorf("%s is wider than a telephone: %v", path, wide)
		}
	}
}

func readAll(t *testing.T, answer *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

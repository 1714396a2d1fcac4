package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// typedOf is the form as a browser sends it back.
func typedOf(f *elementForm) url.Values {
	typed := url.Values{}
	for name, value := range f.Values {
		typed.Set(name, value)
	}
	for name, set := range f.Flags {
		if set {
			typed.Set(name, "yes")
		}
	}
	for _, row := range f.Rules {
		typed.Add("rule_code", row.Code)
		typed.Add("rule_vi", row.Vi)
		typed.Add("rule_en", row.En)
		typed.Add("rule_check", row.Check)
		typed.Add("rule_value", row.Value)
		blocking := ""
		if row.Blocking {
			blocking = "yes"
		}
		typed.Add("rule_blocking", blocking)
	}
	return typed
}

func decodeContent(t *testing.T, body []byte) map[string]json.RawMessage {
	t.Helper()
	content := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &content); err != nil {
		t.Fatal(err)
	}
	return content
}

func encodeContent(t *testing.T, content map[string]json.RawMessage) []byte {
	t.Helper()
	body, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// getPage asks for a page as somebody.
func getPage(t *testing.T, server *httptest.Server, as, language, path string) (int, string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	request.AddCookie(&http.Cookie{Name: sessionCookie, Value: as})
	request.AddCookie(&http.Cookie{Name: languageCookie, Value: language})
	answer := httptest.NewRecorder()
	server.Config.Handler.ServeHTTP(answer, request)
	return answer.Code, answer.Body.String()
}

// workplacePages are checked like every other page.
func TestDictionaryPages(t *testing.T) {
	place, _ := newWorkplace(t)
	server := workplaceServer(t, place)
	for _, language := range []string{"vi", "en"} {
		for _, path := range []string{
			"/dictionary", "/dictionary?q=ngay+sinh", "/dictionary?domain=DOM-HUMAN", "/dictionary?q=khongco", "/dictionary/element/person.birth_date",
			"/dictionary/list/sex", "/dictionary/new", "/dictionary/element/person.number/edit", "/work",
		} {
			status, page := getPage(t, server, "steward", language, path)
			if status != http.StatusOK {
				t.Errorf("%s: %d", path, status)
			}
			checkStructure(t, page)
		}
	}
	if status, _ := getPage(t, server, "steward", "vi", "/dictionary/element/no.such"); status != http.StatusNotFound {
		t.Errorf("an unknown element: %d", status)
	}
	if _, page := getPage(t, server, "viewer", "vi", "/dictionary"); strings.Contains(page, "/dictionary/new") {
		t.Error("somebody who may only look is offered to propose")
	}
	for query, want := range map[string]string{"ngay sinh": "person.birth_date", "ngày sinh": "person.birth_date", "NGAY_SINH": "person.birth_date", "birth date": "person.birth_date"} {
		if _, page := getPage(t, server, "viewer", "vi", "/dictionary?q="+strings.ReplaceAll(query, " ", "+")); !strings.Contains(page, want) {
			t.Errorf("%q does not find %s", query, want)
		}
	}
}

// The content of every element survives the form: what a person did not touch is not changed.
func TestElementForm_KeepsEverything(t *testing.T) {
	place, _ := newWorkplace(t)
	server := workplaceServer(t, place)
	known := place.Dictionary()
	for i := range known.Elements() {
		element := &known.Elements()[i]
		body, err := place.Editions.Content(stewardship.ElementKind, element.ID)
		if err != nil {
			t.Fatal(err)
		}
		form := elementForm{ID: element.ID}
		form.read(body)
		content := decodeContent(t, body)
		form.merge(typedOf(&form), content)
		saved, err := dictionary.ParseElement(element.ID, encodeContent(t, content))
		if err != nil {
			t.Fatalf("%s: %v", element.ID, err)
		}
		next, differences, err := known.With(dictionary.ElementChange{Element: saved})
		if err != nil || next == nil || len(differences) > 0 {
			t.Errorf("%s: %v %+v", element.ID, err, differences)
		}
	}
	_ = server
}

// TestStewardProposesAnotherApproves is the way of a change in a browser: a steward proposes, a
// reviewer asks the others, an approver approves, and the version appears with the right
// impact list.
func TestStewardProposesAnotherApproves(t *testing.T) {
	place, _ := newWorkplace(t)
	server := workplaceServer(t, place)
	tab := newTab(t)
	b := browser{t, tab, server.URL}

	b.do(b.open("steward", "/dictionary?q=ngay+sinh"), chromedp.Click(chromedp.CSS(`a[href="/dictionary/element/person.birth_date"]`)), b.see("#affected"))
	if got := b.text("#affected"); !strings.Contains(got, "1 tập dữ liệu") {
		t.Errorf("the element says %q of its use", got)
	}
	b.do(chromedp.Click(chromedp.CSS(`a[href="/dictionary/element/person.birth_date/edit"]`)), b.see("#save"))
	b.set("#definition_vi", "")
	b.set("#synonyms", "ngay_sinh\nngay_thang_nam_sinh_moi")
	b.do(chromedp.Click(chromedp.CSS("#save")), b.see("#history-title"))
	if got := b.text("body"); !strings.Contains(got, "bản nháp") || !strings.Contains(got, "Còn thiếu hoặc chưa đúng") {
		t.Errorf("an incomplete draft is not saved with what is missing: %q", got)
	}
	// It cannot be submitted like this, and nothing typed is lost.
	b.do(b.open("steward", "/dictionary/element/person.birth_date/edit"), b.see("#submit"), chromedp.Click(chromedp.CSS("#submit")), b.see(".notice.red"))
	b.set("#definition_vi", "Ngày sinh theo dương lịch như ghi trong giấy khai sinh gốc.")
	b.set("#note", "bổ sung từ đồng nghĩa")
	b.do(chromedp.Click(chromedp.CSS("#submit")), b.see("#impact"))
	if got := b.text("#impact"); !strings.Contains(got, "population.person") || !strings.Contains(got, "G01") || !strings.Contains(got, "ngay_sinh") {
		t.Errorf("the impact list says %q", got)
	}
	if got := b.text("body"); strings.Contains(got, "phê duyệt\n") && b.has("#step-approve") {
		t.Error("the steward may approve the own proposal")
	}

	b.do(b.open("reviewer", "/work"), b.see(`a[href="/item/element/person.birth_date"]`), chromedp.Click(chromedp.CSS(`a[href="/item/element/person.birth_date"]`)), b.see("#step-review"))
	b.do(chromedp.Click(chromedp.CSS("#step-review")), b.see("#step-consult"), chromedp.Evaluate[chromedp.Void](`document.querySelector('#invited option[value="G12"]').selected = true`), chromedp.Click(chromedp.CSS("#step-consult")), b.see("#round-title"))
	b.do(b.open("other", "/item/element/person.birth_date"), b.see("#opine"), chromedp.Click(chromedp.CSS("#opine")), b.see("#opinion-G12"))
	b.do(b.open("approver", "/item/element/person.birth_date"), b.see("#step-approve"), chromedp.Click(chromedp.CSS("#step-approve")), b.see("#step-publish"))
	b.do(chromedp.Click(chromedp.CSS("#step-publish")), b.see("#releases-title"))

	b.do(b.open("viewer", "/dictionary/element/person.birth_date"), b.see("#attributes-title"))
	if got := b.text("body"); !strings.Contains(got, "ghi trong giấy khai sinh gốc") || !strings.Contains(got, "ngay_thang_nam_sinh_moi") {
		t.Errorf("the new version is not in force: %q", got)
	}
	before, after := b.edition(t), place.Dictionary().Edition().Version
	if before != after || after == "1.0.0" {
		t.Errorf("the page shows edition %q, in force is %q", before, after)
	}
}

// browser is a person's browser.
type browser struct {
	t   *testing.T
	tab context.Context
	url string
}

func (b browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.tab, actions...); err != nil {
		var page string
		page, _ = chromedp.Run(b.tab, chromedp.Text(chromedp.CSS("body")))
		b.t.Fatalf("%v\n%s", err, page)
	}
}

// open signs somebody in and opens a page.
func (b browser) open(as, path string) chromedp.Action[chromedp.Void] {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return chromedp.Navigate(b.url + path + separator + "as=" + as)
}

func (b browser) see(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(chromedp.CSS(selector))
}

func (b browser) set(selector, value string) {
	b.t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(b.see(selector), chromedp.Evaluate[chromedp.Void](`document.querySelector("`+selector+`").value = `+string(text)))
}

func (b browser) text(selector string) string {
	b.t.Helper()
	got, err := chromedp.Run(b.tab, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		b.t.Fatalf("%s: %v", selector, err)
	}
	return got
}

func (b browser) has(selector string) bool {
	b.t.Helper()
	got, err := chromedp.Run(b.tab, chromedp.Evaluate[bool](`document.querySelector("`+selector+`") !== null`))
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func (b browser) edition(t *testing.T) string {
	t.Helper()
	b.do(b.open("viewer", "/dictionary"), b.see("#edition"))
	return b.text("#edition")
}

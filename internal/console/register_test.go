package console

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// fullEntry has something in every field of an entry.
func fullEntry() catalog.Entry {
	return catalog.Entry{
		Code: "population", NameVi: "CSDL quốc gia về dân cư", NameEn: "National Population Database", Class: lienthong.NationalDatabase,
		Domains: []string{"DOM-HUMAN"}, Owner: "G01", Manager: "G01", Operator: "Trung tâm dữ liệu",
		LegalBases: []catalog.LegalBasis{{Type: "law", Number: "59/2014/QH13", Article: "Điều 9", TitleVi: "Luật Căn cước", Date: "2014-11-20"}, {Type: "decree", Number: "137/2015/NĐ-CP"}},
		PurposeVi:  "Quản lý dân cư.\nPhục vụ giao dịch.", PurposeEn: "To manage the population.",
		Scope:      catalog.Scope{Territory: "toàn quốc", Objects: 110_000_000, SubjectVi: "công dân", SubjectEn: "citizens", Since: "2016"},
		Collection: []catalog.Collection{{Method: "procedure", From: "Công an cấp xã", Note: "hằng ngày"}},
		Objects:    []catalog.DataObject{{Name: "citizen", NameVi: "Công dân", NameEn: "Citizen", DescriptionVi: "người có quốc tịch", Parent: "human", Personal: true, Sensitive: true, Master: true, Open: true}},
		Datasets: []catalog.Dataset{
			{
				Name: "person", TitleVi: "Công dân", TitleEn: "Citizens", Object: "citizen", Access: catalog.SharedAccess, Importance: catalog.CoreData, Shareable: true,
				ShareVia: []string{"feed", "service"}, Conditions: "theo luật", Updated: "24h", Retention: catalog.Retention{Years: 70, Forever: true, Basis: "Luật", Then: "lưu trữ"},
				StateSecret: true, Rows: 1000, Shape: &catalog.RegisteredShape{Table: "cong_dan", Confirmed: 5, Columns: []catalog.RegisteredColumn{{Name: "ho_ten", Type: "text", Kind: lienthong.Text, Nullable: true, Element: "person.full_name"}}},
			},
			{Name: "household", TitleVi: "Hộ"},
		},
		Authority: []string{"person.*", "residence.*"},
		Security:  catalog.Security{Level: 4, Document: "12/QĐ", Date: "2024-01-02", Approver: "Bộ"},
		People:    []catalog.Contact{{Duty: catalog.OwnerDuty, Name: "Trần Văn Bảo", Position: "Cục trưởng", Phone: "024 1234 5678", Email: "bao@example.vn", Since: "2024-01-02"}},
		Technical: catalog.Technical{
			Engine: "Oracle", Version: "19c", SizeBytes: 1 << 40, Rows: 5, Location: "Hà Nội", Hosting: "tự quản", Software: "QLDC",
			Backup: catalog.Backup{Every: "24h", Kept: "30 ngày", Where: "nơi khác", TestedOn: "2026-01-02"},
		},
		Status:    catalog.Status{Group: catalog.Upgrade, Progress: 70, Since: "2021-01-01", Due: "2027-01-01", Note: "nâng cấp"},
		Relations: []catalog.Relation{{Type: catalog.Uses, Code: "land", Note: "số nhà"}},
	}
}

// Everything survives the form: what people do not touch does not change, and what the form does not show stays.
func TestEntryForm_KeepsEverything(t *testing.T) {
	place, _ := newWorkplace(t)
	entries := append(catalog.Seed(place.Dictionary()), fullEntry(), catalog.Entry{Code: "empty"})
	for i := range entries {
		entry := entries[i]
		entry.Confidence = ""
		shown, _, err := entryValues(&entry)
		if err != nil {
			t.Fatal(err)
		}
		values, counts := typedValues(shown) // as the browser sends it back
		got, wrong, err := entryOf(&entry, values, counts)
		if err != nil || len(wrong) > 0 {
			t.Fatalf("%s: %v %v", entry.Code, err, wrong)
		}
		if difference := cmp.Diff(entry, got); difference != "" {
			t.Errorf("%s changes in the form:\n%s", entry.Code, difference)
		}
	}
}

// Every field of an entry has a place in the form: with all of them cleared nothing is left but what it does not show.
func TestEntryForm_ShowsEverything(t *testing.T) {
	full := fullEntry()
	got, _, err := entryOf(&full, url.Values{}, map[string]int{})
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(catalog.Entry{Code: "population"}, got); difference != "" {
		t.Errorf("the form does not show:\n%s", difference)
	}
}

func TestEntryForm_Rows(t *testing.T) {
	full := fullEntry()
	shown, _, err := entryValues(&full)
	if err != nil {
		t.Fatal(err)
	}
	shown.Set("datasets.1.remove", "yes")
	shown.Set("datasets.0.name", "resident") // renamed: keeps its shape
	shown.Set("datasets.7.name", "card")     // a row further down, after empty ones
	shown.Set("datasets.5.name", "  ")
	shown.Set("people.3.duty", "steward") // a duty alone is nobody
	shown.Set("technical.rows", "1.000")
	values, counts := typedValues(shown)
	got, wrong, err := entryOf(&full, values, counts)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, dataset := range got.Datasets {
		names = append(names, dataset.Name)
	}
	if !slices.Equal(names, []string{"resident", "card"}) || got.Datasets[0].Shape == nil || got.Datasets[1].Shape != nil || len(got.People) != 1 {
		t.Errorf("datasets %q, shapes %v %v, people %v", names, got.Datasets[0].Shape, got.Datasets[1].Shape, got.People)
	}
	if wrong["technical.rows"] == nil || len(wrong) != 1 {
		t.Errorf("wrong: %v", wrong)
	}
}

// FuzzTypedEntry: whatever is sent, the form is taken or refused, and what was taken is taken the same again.
func FuzzTypedEntry(f *testing.F) {
	full := fullEntry()
	shown, _, err := entryValues(&full)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shown.Encode())
	f.Add("datasets.0.retention.years=-1&people.0.name=x&people.0.was=y&technical.rows=99999999999999999999&domains=a&domains=")
	f.Fuzz(func(t *testing.T, query string) {
		typed, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		values, counts := typedValues(typed)
		entry, wrong, err := entryOf(&catalog.Entry{Code: "x"}, values, counts)
		if err != nil || len(wrong) > 0 {
			return
		}
		again, _, err := entryValues(&entry)
		if err != nil {
			t.Fatal(err)
		}
		values, counts = typedValues(again)
		same, wrong, err := entryOf(&entry, values, counts)
		if err != nil || len(wrong) > 0 {
			t.Fatalf("%v %v", err, wrong)
		}
		if difference := cmp.Diff(entry, same); difference != "" {
			t.Errorf("%s", difference)
		}
	})
}

// sighting is what a node sees of the test's dataset, with a column that nobody has mapped.
func sighting(place *Workplace, t *testing.T) {
	t.Helper()
	err := place.Register.Observe(t.Context(), catalog.Observed{
		Dataset: lienthong.DatasetID{Database: "population", Name: "person"}, Member: "G01", Engine: "oracle", EngineVersion: "19c", Table: "cong_dan",
		Columns: []lienthong.Column{
			{Name: "so_dinh_danh", Kind: lienthong.Text, SourceType: "varchar2(12)"},
			{Name: "ho_ten", Kind: lienthong.Text, SourceType: "nvarchar2(100)"},
			{Name: "nhom_mau", Kind: lienthong.Text, SourceType: "char(3)", Nullable: true},
		},
		RowCount: 1000, At: 1_790_000_000_000_000,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// publishEntry brings an entry into force.
func publishEntry(t *testing.T, place *Workplace, entry catalog.Entry) {
	t.Helper()
	body, err := json.Marshal(entry)
	if err != nil {
		t.Fatal(err)
	}
	as := func(name string) stewardship.Person { user := people()[name]; return user.person() }
	item, err := place.Desk.Draft(t.Context(), as("owner"), stewardship.Proposal{Kind: catalog.Kind, ID: entry.Code, Body: body})
	step := func(take func() (stewardship.Item, error)) {
		t.Helper()
		if err == nil {
			item, err = take()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	order := func(action stewardship.Action) stewardship.Order {
		return stewardship.Order{Kind: catalog.Kind, ID: entry.Code, Revision: item.Revision, Action: action}
	}
	step(func() (stewardship.Item, error) {
		return place.Desk.Submit(t.Context(), as("owner"), order(stewardship.ToSubmit))
	})
	step(func() (stewardship.Item, error) {
		return place.Desk.Decide(t.Context(), as("reviewer"), order(stewardship.ToReview))
	})
	step(func() (stewardship.Item, error) {
		return place.Desk.Decide(t.Context(), as("approver"), order(stewardship.ToApprove))
	})
	step(func() (stewardship.Item, error) {
		return place.Desk.Publish(t.Context(), as("approver"), order(stewardship.ToPublish))
	})
}

// publishable is an entry that may be published here.
func publishable() catalog.Entry {
	entry := fullEntry()
	entry.Datasets[0].StateSecret = false
	entry.Objects[0].Open = false
	return entry
}

func TestRegisterPages(t *testing.T) {
	place, _ := newWorkplace(t)
	sighting(place, t)
	publishEntry(t, place, publishable())
	server := workplaceServer(t, place)
	for _, language := range []string{"vi", "en"} {
		for _, path := range []string{
			"/catalogue", "/catalogue?q=dan+cu", "/catalogue?q=khongco", "/catalogue?class=quoc_gia&owner=G01&origin=seed&status=built&order=completeness&stale=yes&drift=yes",
			"/catalogue?page=2", "/catalogue/overlaps", "/catalogue/overlaps?all=yes", "/catalogue/new", "/catalogue/population", "/catalogue/land", "/catalogue/population/edit", "/catalogue/brand_new/edit",
		} {
			status, page := getPage(t, server, "owner", language, path)
			if status != http.StatusOK {
				t.Errorf("%s: %d", path, status)
			}
			checkStructure(t, page)
			if language == "en" {
				checkFixedTexts(t, path, page)
			}
		}
	}
	for path, want := range map[string]int{
		"/catalogue/no_such": http.StatusNotFound, "/catalogue/No-Such/edit": http.StatusNotFound, "/catalogue/new?code=Kho": http.StatusUnprocessableEntity,
		"/catalogue/new?code=fisheries": http.StatusSeeOther, "/catalogue/land/edit": http.StatusForbidden,
	} {
		if status, _ := getPage(t, server, "owner", "vi", path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if status, page := getPage(t, server, "viewer", "vi", "/catalogue/population/edit"); status != http.StatusForbidden || !strings.Contains(page, "chủ quản") {
		t.Errorf("somebody of another organisation may write: %d", status)
	}
	if _, page := getPage(t, server, "viewer", "vi", "/catalogue/population"); strings.Contains(page, `id="edit"`) || strings.Contains(page, `id="attest"`) || strings.Contains(page, "/confirm") {
		t.Error("somebody of another organisation is offered to write")
	}
}

// checkFixedTexts finds labels of the form and texts of the catalogue that stayed Vietnamese.
func checkFixedTexts(t *testing.T, path, page string) {
	t.Helper()
	whole := "\n" + strings.Join(visibleTexts(t, page), "\n") + "\n"
	for _, section := range entrySections() {
		labels := []Text{section.title}
		for _, field := range section.fields {
			labels = append(labels, field.label)
		}
		for _, group := range section.groups {
			labels = append(labels, group.label)
			for _, field := range group.fields {
				labels = append(labels, field.label)
			}
		}
		for _, label := range labels {
			if label.Vi == label.En || label.Vi == "" || label.En == "" {
				t.Errorf("%q lacks a language", label)
			}
			if strings.Contains(whole, "\n"+label.Vi+"\n") {
				t.Errorf("%s in English says %q", path, label.Vi)
			}
		}
	}
}

// What the list shows: search with and without diacritics, marked; filters; standings.
func TestRegister_FindsAndMarks(t *testing.T) {
	place, _ := newWorkplace(t)
	sighting(place, t)
	server := workplaceServer(t, place)
	for _, query := range []string{"dan cu", "dân cư", "DAN CU"} {
		_, page := getPage(t, server, "viewer", "vi", "/catalogue?q="+url.QueryEscape(query))
		first := regexp.MustCompile(`id="row-([a-z_]+)"`).FindStringSubmatch(page)
		if first == nil || first[1] != "population" || !strings.Contains(page, "<mark>dân cư</mark>") && !strings.Contains(page, "<mark>dân</mark> <mark>cư</mark>") {
			t.Errorf("%q: first is %v", query, first)
		}
	}
	_, page := getPage(t, server, "viewer", "vi", "/catalogue?q=nhom_mau")
	if !strings.Contains(page, "row-population") || !strings.Contains(page, "<mark>nhom_mau</mark>") {
		t.Error("a column is not found, or not marked")
	}
	rows := regexp.MustCompile(`id="row-`)
	_, drifting := getPage(t, server, "viewer", "vi", "/catalogue?drift=yes")
	if got := len(rows.FindAllString(drifting, -1)); got != 1 {
		t.Errorf("%d databases drift, want 1", got)
	}
	if _, none := getPage(t, server, "viewer", "vi", "/catalogue?stale=yes"); !strings.Contains(none, "Không có cơ sở dữ liệu nào khớp") {
		t.Error("an empty list does not say what to do")
	}
	if _, page := getPage(t, server, "viewer", "vi", "/catalogue?q="+url.QueryEscape(`<script>"`)); strings.Contains(page, "<script>\"") {
		t.Error("a question is not escaped")
	}
}

// The page of an entry: drift, lineage, evidence, and the confirmation of the shape.
func TestEntry_DriftLineageConfirm(t *testing.T) {
	place, _ := newWorkplace(t)
	sighting(place, t)
	publishEntry(t, place, publishable())
	server := workplaceServer(t, place)
	_, page := getPage(t, server, "owner", "vi", "/catalogue/population")
	whole := strings.Join(visibleTexts(t, page), "\n")
	for _, want := range []string{
		"cột mới nhom_mau (char(3)), chưa ánh xạ vào từ điển", "không còn ở nguồn", "không đi tiếp", "Họ", "Trần Văn Bảo", "đã cũ", "Oracle 19c", "59/2014/QH13", "CSDL đất đai", "1.0", "110.000.000",
	} {
		if !strings.Contains(whole, want) {
			t.Errorf("the entry does not say %q:\n%s", want, whole)
		}
	}
	answer := sendEntry(t, server, "owner", "/catalogue/population/confirm", url.Values{"dataset": {"person"}})
	if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != "/item/database/population" {
		t.Fatalf("confirming answers %d %s", answer.Code, answer.Header().Get("Location"))
	}
	draft, err := place.Register.Draft(t.Context(), "population")
	if err != nil {
		t.Fatal(err)
	}
	if person, _ := draft.Dataset("person"); len(person.Shape.Columns) != 3 {
		t.Errorf("the draft has the shape %v", person.Shape)
	}
	if answer := sendEntry(t, server, "other", "/catalogue/population/confirm", url.Values{"dataset": {"person"}}); answer.Code != http.StatusForbidden {
		t.Errorf("another organisation confirms: %d", answer.Code)
	}
	if answer := sendEntry(t, server, "owner", "/catalogue/population/confirm", url.Values{"dataset": {"household"}, "note": {"giữ lời này"}}); answer.Code != http.StatusUnprocessableEntity || !strings.Contains(answer.Body.String(), "chưa có nút nào đọc") {
		t.Errorf("a dataset that nobody sees is confirmed: %d", answer.Code)
	}
}

// Two databases hold what one of them is the source of; one receiver gets a part.
func TestOverlapsAndConsumers(t *testing.T) {
	place, records := newWorkplace(t)
	other, err := dictionary.ParseDefinition("taxpayer.yaml", []byte(`
dataset: tax.taxpayer
title_vi: Người nộp thuế
title_en: Taxpayers
table: nnt
identity: [personal_number]
columns:
  - {column: so_dinh_danh, element: person.number}
  - {column: ten, element: person.full_name, transforms: [trim]}
`))
	if err != nil {
		t.Fatal(err)
	}
	place.Register, err = catalog.NewRegister(catalog.Config{
		Documents: records, Dictionary: place.Dictionary,
		Definitions: func() []*dictionary.Definition { return append(place.Definitions(), other) },
		Consumers: func() []catalog.Consumer {
			return []catalog.Consumer{{ID: "feed/1", Type: "feed", Name: catalog.Word{Vi: "Sở Tài chính Cà Mau", En: "Finance of Ca Mau"}, Dataset: lienthong.DatasetID{Database: "tax", Name: "taxpayer"}, Fields: []string{"full_name"}}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := workplaceServer(t, place)
	for _, language := range []string{"vi", "en"} {
		for _, path := range []string{"/catalogue/overlaps", "/catalogue/overlaps?all=yes", "/catalogue/tax"} {
			_, page := getPage(t, server, "viewer", language, path)
			checkStructure(t, page)
		}
	}
	_, page := getPage(t, server, "viewer", "vi", "/catalogue/overlaps")
	whole := strings.Join(visibleTexts(t, page), "\n")
	for _, want := range []string{"1 CSDL thu thập lại thông tin đã có tại population: tax", "thu thập lại", "là nguồn", "tự thu thập", "Bộ Công an"} {
		if !strings.Contains(whole, want) {
			t.Errorf("the overlaps do not say %q:\n%s", want, whole)
		}
	}
	if strings.Contains(page, `id="element-person.number"`) {
		t.Error("a linking key needs no decision")
	}
	if _, all := getPage(t, server, "viewer", "vi", "/catalogue/overlaps?all=yes"); !strings.Contains(all, `id="element-person.number"`) {
		t.Error("all of them is not all")
	}
	_, page = getPage(t, server, "viewer", "vi", "/catalogue/tax")
	whole = strings.Join(visibleTexts(t, page), "\n")
	for _, want := range []string{"Sở Tài chính Cà Mau", "→ tax.taxpayer → Sở Tài chính Cà Mau (full_name)", "trim"} {
		if !strings.Contains(whole, want) {
			t.Errorf("the entry does not say %q:\n%s", want, whole)
		}
	}
}

func TestEntry_Attest(t *testing.T) {
	place, _ := newWorkplace(t)
	server := workplaceServer(t, place)
	if answer := sendEntry(t, server, "owner", "/catalogue/population/attest", nil); answer.Code != http.StatusUnprocessableEntity || !strings.Contains(answer.Body.String(), "chưa được công bố") {
		t.Errorf("a seed is confirmed: %d", answer.Code)
	}
	publishEntry(t, place, publishable())
	if answer := sendEntry(t, server, "other", "/catalogue/population/attest", nil); answer.Code != http.StatusForbidden {
		t.Errorf("another organisation confirms: %d", answer.Code)
	}
	if answer := sendEntry(t, server, "owner", "/catalogue/population/attest", nil); answer.Code != http.StatusSeeOther {
		t.Errorf("the owner's confirmation: %d", answer.Code)
	}
	record, err := place.Register.Load(t.Context(), "population")
	if err != nil || record.ConfirmedBy != "dung.owner" {
		t.Errorf("confirmed by %q, %v", record.ConfirmedBy, err)
	}
}

// Nothing that was typed is lost: not by a wrong number, not by somebody who was faster.
func TestEntryForm_RefusalsKeepWhatWasTyped(t *testing.T) {
	place, _ := newWorkplace(t)
	server := workplaceServer(t, place)
	typed := url.Values{"name_vi": {"CSDL dân cư mới"}, "owner": {"G01"}, "technical.rows": {"mười"}, "legal_bases.0.number": {"99/2026/QH16"}}
	answer := sendEntry(t, server, "owner", "/catalogue/population/edit", typed)
	page := answer.Body.String()
	checkStructure(t, page)
	for _, want := range []string{`value="mười"`, "CSDL dân cư mới", "99/2026/QH16", "phải là số nguyên không âm", `id="technical-rows-problem"`} {
		if !strings.Contains(page, want) {
			t.Errorf("a refused form does not say %q", want)
		}
	}
	if answer.Code != http.StatusUnprocessableEntity {
		t.Errorf("a wrong number: %d", answer.Code)
	}
	typed.Set("technical.rows", "10")
	if answer := sendEntry(t, server, "owner", "/catalogue/population/edit", typed); answer.Code != http.StatusSeeOther {
		t.Fatalf("saving answers %d", answer.Code)
	}
	// Somebody who opened the form before that saves now.
	typed.Set("name_vi", "Tên do người chậm hơn gõ")
	answer = sendEntry(t, server, "steward", "/catalogue/population/edit", typed)
	page = answer.Body.String()
	if answer.Code != http.StatusConflict || !strings.Contains(page, "Tên do người chậm hơn gõ") || !strings.Contains(page, "<del>CSDL dân cư mới</del>") {
		t.Errorf("a conflict answers %d", answer.Code)
	}
	revision := regexp.MustCompile(`name="revision" value="(\d+)"`).FindStringSubmatch(page)
	typed.Set("revision", revision[1])
	if answer := sendEntry(t, server, "steward", "/catalogue/population/edit", typed); answer.Code != http.StatusSeeOther {
		t.Errorf("having seen the difference, saving answers %d", answer.Code)
	}
	// Submitting what is incomplete saves it and says what is missing, beside the fields.
	revision = regexp.MustCompile(`name="revision" value="(\d+)"`).FindStringSubmatch(func() string { _, p := getPage(t, server, "owner", "vi", "/catalogue/population/edit"); return p }())
	typed.Set("revision", revision[1])
	typed.Set("submit", "yes")
	typed.Set("relations.0.code", "nowhere")
	answer = sendEntry(t, server, "owner", "/catalogue/population/edit", typed)
	page = answer.Body.String()
	if answer.Code != http.StatusUnprocessableEntity || !strings.Contains(page, `id="people-0-name-problem"`) || !strings.Contains(page, `id="relations-0-type-problem"`) || !strings.Contains(page, `id="relations-0-code-problem"`) {
		t.Errorf("submitting what is incomplete answers %d", answer.Code)
	}
	if answer := sendEntry(t, server, "other", "/catalogue/population/edit", typed); answer.Code != http.StatusForbidden {
		t.Errorf("another organisation saves: %d", answer.Code)
	}
}

// sendEntry sends a form as somebody, with the token of a page.
func sendEntry(t *testing.T, server *httptest.Server, as, path string, typed url.Values) *httptest.ResponseRecorder {
	t.Helper()
	first := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/catalogue", nil)
	first.AddCookie(&http.Cookie{Name: sessionCookie, Value: as})
	page := httptest.NewRecorder()
	server.Config.Handler.ServeHTTP(page, first)
	token := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(page.Body.String())
	if token == nil {
		t.Fatal("the page has no form")
	}
	sent := url.Values{"form": {token[1]}}
	for name, values := range typed {
		sent[name] = values
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(sent.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.AddCookie(&http.Cookie{Name: sessionCookie, Value: as})
	for _, cookie := range page.Result().Cookies() {
		request.AddCookie(cookie)
	}
	answer := httptest.NewRecorder()
	server.Config.Handler.ServeHTTP(answer, request)
	return answer
}

// TestOwnerRegistersADatabase is the way of an entry in a browser: the owner takes over what
// was seeded, leaves it incomplete, comes back, completes and submits it; a reviewer and an approver
// bring it into force, and the register says so.
func TestOwnerRegistersADatabase(t *testing.T) {
	place, _ := newWorkplace(t)
	sighting(place, t)
	server := workplaceServer(t, place)
	b := browser{t, newTab(t), server.URL}

	b.do(b.open("owner", "/catalogue?q=dan+cu"), b.see("#row-population mark"), chromedp.Click(chromedp.CSS(`#row-population a`)), b.see("#edit"))
	if got := b.text("body"); !strings.Contains(got, "chủ quản chưa xác nhận") || !strings.Contains(got, "chưa được chủ quản xác nhận") {
		t.Errorf("a seeded entry does not say what it is: %q", got)
	}
	b.do(chromedp.Click(chromedp.CSS("#edit")), b.see("#save"))
	b.set("#people-0-name", "Trần Văn Bảo")
	b.set("#status-group", "")
	b.do(chromedp.Click(chromedp.CSS("#save")), b.see("#saved"))
	if got := b.text("#saved"); !strings.Contains(got, "bản nháp") || !strings.Contains(got, "dung.owner") {
		t.Errorf("the draft says %q", got)
	}

	// Later, at another sitting.
	b.do(b.open("owner", "/catalogue/population"), b.see("#edit"), chromedp.Click(chromedp.CSS("#edit")), b.see("#submit"))
	if !b.has("#status-group-problem") {
		t.Error("what is missing does not stand beside its field")
	}
	b.do(chromedp.Click(chromedp.CSS("#submit")), b.see(".notice.red"))
	b.set("#status-group", "built")
	b.set("#people-0-phone", "024 3333 4444")
	b.do(chromedp.Click(chromedp.CSS("#more-datasets summary")))
	b.set("#datasets-0-name", "person")
	b.set("#datasets-0-title_vi", "Công dân")
	b.set("#datasets-0-access", "shared")
	b.set("#note", "kê khai lần đầu")
	b.do(chromedp.Click(chromedp.CSS("#submit")), b.see("#impact-title"))

	b.do(b.open("owner", "/catalogue/population/edit"), b.see(".notice.yellow"))
	if b.has("#save") {
		t.Error("an entry under review can be saved")
	}
	b.do(b.open("reviewer", "/item/database/population"), b.see("#step-review"), chromedp.Click(chromedp.CSS("#step-review")), b.see("#step-consult"))
	b.do(b.open("approver", "/item/database/population"), b.see("#step-approve"), chromedp.Click(chromedp.CSS("#step-approve")), b.see("#step-publish"))
	b.do(chromedp.Click(chromedp.CSS("#step-publish")), b.see("#releases-title"))

	b.do(b.open("viewer", "/catalogue/population"), b.see("#version"))
	if version, confirmed := b.text("#version"), b.text("#confirmed"); version != "1.0" || !strings.Contains(confirmed, "xác nhận ngày") {
		t.Errorf("version %q, %q", version, confirmed)
	}
	if got := b.text("#origin"); got != "chủ quản đã công bố" {
		t.Errorf("the entry is %q", got)
	}
	b.do(b.open("viewer", "/catalogue?q=population"), b.see("#row-population"))
	if got := b.text("#row-population"); !strings.Contains(got, "đã công bố 1.0") {
		t.Errorf("the register says %q", got)
	}
	// The owner confirms the shape that the node sees: a next draft.
	b.do(b.open("owner", "/catalogue/population"), b.see("#confirm-person"), chromedp.Click(chromedp.CSS("#confirm-person")), b.see("#step-submit"))
}

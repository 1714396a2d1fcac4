package console

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/address"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/linkage"
	"github.com/lienthong/lienthong/internal/linkage/truth"
	"github.com/lienthong/lienthong/internal/store"
)

// askAddresses gives a workplace a queue of questions about addresses.
func askAddresses(t *testing.T, place *Workplace, records *store.Store, texts ...string) {
	t.Helper()
	standardiser := address.New(place.Dictionary(), address.Config{})
	place.Addresses = address.NewQueue(records, standardiser, address.QueueConfig{})
	tally := address.NewTally(lienthong.DatasetID{Database: "population", Name: "person"})
	for _, text := range texts {
		result := standardiser.Standardise(text, dictionary.Reorganised()-1)
		tally.Add(&result)
	}
	if _, err := place.Addresses.Ask(t.Context(), tally.Asked()...); err != nil {
		t.Fatal(err)
	}
}

// askIdentities gives a workplace questions about people who may be entered twice.
func askIdentities(t *testing.T, place *Workplace, records *store.Store, twoPeople bool) {
	t.Helper()
	queue, err := linkage.NewQueue(linkage.QueueConfig{Documents: records, Key: []byte("sixteen bytes or more"), TwoPeople: twoPeople})
	if err != nil {
		t.Fatal(err)
	}
	place.Identities = queue
	people := truth.NewPeople(truth.Config{Records: 8_000, Seed: 21})
	register := linkage.NewPersons(linkage.Config{Successors: truth.Successors})
	for i := range people.Len() {
		record := people.Record(i)
		if err := register.Add(&record); err != nil {
			t.Fatal(err)
		}
	}
	model, err := register.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	found, err := register.Find(t.Context(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	offered, err := queue.Offer(t.Context(), &linkage.Offer{Register: "population.person", Records: register, Model: model, Pairs: found.Pairs})
	if err != nil || offered.New < 4 {
		t.Fatalf("%+v %v", offered, err)
	}
}

func addressTexts() []string {
	return []string{
		"12 Hàng Gà, Phường Cửa Đông, Quận Hoàn Kiếm, Hà Nội", "14 Hàng Gà, P. Cửa Đông, Q. Hoàn Kiếm, Hà Nội",
		"Xã Không Có, Huyện Đầm Dơi, Cà Mau", "không rõ",
	}
}

// questionOf finds the question with a doubt.
func questionOf(t *testing.T, place *Workplace, doubt address.Doubt) address.Item {
	t.Helper()
	items, err := place.Addresses.Items(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range items {
		if items[i].Question.Doubt == doubt {
			return items[i]
		}
	}
	t.Fatalf("no question %s among %+v", doubt, items)
	return address.Item{}
}

func TestAddressQuestions(t *testing.T) {
	place, records := newWorkplace(t)
	askAddresses(t, place, records)
	server := workplaceServer(t, place)
	if status, page := getPage(t, server, "steward", "vi", "/questions/addresses"); status != http.StatusOK || !strings.Contains(page, "Không có câu hỏi nào chờ trả lời") || strings.Contains(page, "tab-identities") {
		t.Errorf("without questions: %d", status)
	}
	if status, _ := getPage(t, server, "steward", "vi", "/questions"); status != http.StatusSeeOther {
		t.Errorf("the entry of the navigation: %d", status)
	}
	askAddresses(t, place, records, addressTexts()...)
	server = workplaceServer(t, place)
	split, unread, unknown := questionOf(t, place, address.DoubtSplit), questionOf(t, place, address.DoubtUnreadable), questionOf(t, place, address.DoubtNotFound)
	for _, language := range []string{"vi", "en"} {
		for _, path := range []string{"/questions/addresses", "/questions/addresses?state=answered", addressPath(split.ID), addressPath(unread.ID), addressPath(unknown.ID)} {
			for _, as := range []string{"steward", "viewer"} {
				status, page := getPage(t, server, as, language, path)
				if status != http.StatusOK {
					t.Errorf("%s: %d", path, status)
				}
				checkStructure(t, page)
				if language == "vi" || strings.HasSuffix(path, "answered") { // addresses are Vietnamese wherever they stand
					checkLanguage(t, visibleTexts(t, page), Language(language))
				}
			}
		}
	}
	if status, _ := getPage(t, server, "steward", "vi", "/questions/addresses/none"); status != http.StatusNotFound {
		t.Errorf("an unknown question: %d", status)
	}
	_, page := getPage(t, server, "steward", "vi", "/questions/addresses")
	want(t, page, "Phường Cửa Đông, Quận Hoàn Kiếm", "đơn vị cũ đã chia", "không tìm thấy")
	_, page = getPage(t, server, "steward", "vi", addressPath(split.ID))
	want(t, page, "population.person", "theo nghị quyết:", "Hàng Gà", `id="unit-`+split.Question.Now[0].Code+`"`)
	if _, page := getPage(t, server, "steward", "vi", addressPath(unread.ID)); strings.Contains(page, `id="find"`) {
		t.Error("a unit can be chosen for what no unit can answer")
	}
	if _, page := getPage(t, server, "viewer", "vi", addressPath(split.ID)); strings.Contains(page, `id="answer"`) {
		t.Error("somebody who may only look may answer")
	}
}

func TestAddressAnswers(t *testing.T) {
	place, records := newWorkplace(t)
	askAddresses(t, place, records, addressTexts()...)
	server := workplaceServer(t, place)
	steward := newVisitor(t, server, "steward")
	unknown := questionOf(t, place, address.DoubtNotFound)
	page := addressPath(unknown.ID)
	status, shown := steward.submit(page, page+"/answer", "do", "answer", "note", "what I wrote")
	if status != http.StatusUnprocessableEntity {
		t.Errorf("an answer without a unit: %d", status)
	}
	want(t, shown, "what I wrote", "phải chọn một đơn vị")
	for query, unit := range map[string]string{"tran van thoi ca mau": "Xã Trần Văn Thời", "phường ba đình": "Phường Ba Đình", "00004": "Phường Ba Đình"} {
		_, shown = steward.submit(page, page+"/answer", "do", "find", "find", query, "note", "what I wrote")
		want(t, shown, unit, "what I wrote")
		checkStructure(t, shown)
	}
	_, shown = steward.submit(page, page+"/answer", "do", "find", "find", "khong co noi nao")
	want(t, shown, "Không thấy đơn vị nào khác")
	if status, shown = steward.submit(page, page+"/answer", "do", "answer", "unit", "00004", "note", ""); status != http.StatusUnprocessableEntity {
		t.Errorf("a unit that was not proposed, without a reason: %d", status)
	}
	want(t, shown, "cần ghi lý do")
	if status, shown = steward.submit(page, page+"/answer", "do", "answer", "unit", "none", "note", "no file is left"); status != http.StatusOK {
		t.Errorf("not resolvable: %d", status)
	}
	want(t, shown, "Không xác định được", "no file is left", "an.steward")
	if status, _ := newVisitor(t, server, "viewer").submit(page, page+"/answer", "do", "answer", "unit", "none", "note", "x"); status != http.StatusForbidden {
		t.Errorf("a viewer answers: %d", status)
	}
	if status, _ := steward.submit(page, page+"/answer", "do", "answer", "unit", "none", "note", "x", "revision", "1"); status != http.StatusConflict {
		t.Errorf("an answer on an old revision: %d", status)
	}
	if status, _ := steward.submit(page, page+"/withdraw", "why", ""); status != http.StatusUnprocessableEntity {
		t.Errorf("withdrawn without a reason: %d", status)
	}
	_, shown = steward.submit(page, page+"/withdraw", "why", "the file was found")
	want(t, shown, "Rút quyết định", "the file was found")
	if strings.Contains(shown, `id="ruling"`) {
		t.Error("the ruling still stands")
	}
}

func TestIdentityQuestions(t *testing.T) {
	place, records := newWorkplace(t)
	queue, err := linkage.NewQueue(linkage.QueueConfig{Documents: records, Key: []byte("sixteen bytes or more")})
	if err != nil {
		t.Fatal(err)
	}
	place.Identities = queue
	if _, page := getPage(t, workplaceServer(t, place), "steward", "vi", "/questions/identities"); !strings.Contains(page, "Chưa có câu hỏi nào") {
		t.Error("without questions the page does not say so")
	}
	askIdentities(t, place, records, false)
	server := workplaceServer(t, place)
	all, err := place.Identities.List(t.Context(), "population.person", linkage.Open)
	if err != nil {
		t.Fatal(err)
	}
	first := all[0]
	for _, language := range []string{"vi", "en"} {
		for _, path := range []string{"/questions/identities", identityPath(first.ID)} {
			for _, as := range []string{"steward", "viewer"} {
				status, page := getPage(t, server, as, language, path)
				if status != http.StatusOK {
					t.Errorf("%s: %d", path, status)
				}
				checkStructure(t, page)
				checkLanguage(t, visibleTexts(t, page), Language(language))
				if strings.Contains(page, first.A) || strings.Contains(page, first.B) {
					t.Error("the page names a record in the clear")
				}
				if as == "viewer" && strings.Contains(page, `id="answer-same"`) {
					t.Error("somebody who may only look may answer")
				}
			}
		}
	}
	if status, _ := getPage(t, server, "steward", "vi", "/questions/identities/none"); status != http.StatusNotFound {
		t.Errorf("an unknown question: %d", status)
	}
	steward := newVisitor(t, server, "steward")
	_, shown := steward.submit("/questions/identities", identityPath(first.ID)+"/answer", "answer", "same", "note", "one birth certificate")
	want(t, shown, `id="answered"`, "one birth certificate", "Công dân", identityPath(all[1].ID)+"/answer", `id="done">1<`)
	status, shown := steward.submit("/questions/identities", identityPath(first.ID)+"/answer", "answer", "different", "note", "what I wrote", "revision", "1")
	if status != http.StatusConflict {
		t.Errorf("an answer on an old revision: %d", status)
	}
	want(t, shown, "có người vừa trả lời")
	status, _ = steward.submit("/questions/identities", identityPath(all[1].ID)+"/answer", "answer", "maybe", "note", "what I wrote")
	if status != http.StatusUnprocessableEntity {
		t.Errorf("an answer that is none: %d", status)
	}
	if status, _ = newVisitor(t, server, "owner").submit("/questions/identities", identityPath(all[1].ID)+"/answer", "answer", "same", "revision", "1"); status != http.StatusForbidden {
		t.Errorf("an owner answers: %d", status)
	}
	if status, _ = steward.submit(identityPath(first.ID), identityPath(first.ID)+"/reopen", "why", " "); status != http.StatusUnprocessableEntity {
		t.Errorf("asked again without a reason: %d", status)
	}
	_, shown = steward.submit(identityPath(first.ID), identityPath(first.ID)+"/reopen", "why", "another certificate")
	want(t, shown, "chờ trả lời", `id="answer-same"`)
}

// Two people answer independently: the second does not see what the first said.
func TestIdentityQuestions_TwoPeople(t *testing.T) {
	place, records := newWorkplace(t)
	askIdentities(t, place, records, true)
	server := workplaceServer(t, place)
	all, err := place.Identities.List(t.Context(), "population.person", linkage.Open)
	if err != nil {
		t.Fatal(err)
	}
	path := identityPath(all[0].ID)
	first, second := newVisitor(t, server, "steward"), newVisitor(t, server, "other")
	first.submit(path, path+"/answer", "answer", "same", "note", "the first says so")
	_, shown := second.do(http.MethodGet, path, nil)
	want(t, shown, "Một người đã trả lời", "chờ người thứ hai")
	if strings.Contains(shown, "the first says so") || strings.Contains(shown, "an.steward") {
		t.Error("the second person sees the answer of the first")
	}
	if status, _ := first.submit(path, path+"/answer", "answer", "same"); status != http.StatusForbidden {
		t.Errorf("the same person answers twice: %d", status)
	}
	second.submit(path, path+"/answer", "answer", "same", "note", "so does the second")
	_, shown = second.do(http.MethodGet, path, nil)
	want(t, shown, "the first says so", "so does the second", "là một")
}

// TestStewardAnswersAnAddress is the way of a question in a browser: a steward looks for a unit,
// answers, and the answer stands in the history.
func TestStewardAnswersAnAddress(t *testing.T) {
	place, records := newWorkplace(t)
	askAddresses(t, place, records, addressTexts()...)
	server := workplaceServer(t, place)
	split := questionOf(t, place, address.DoubtSplit)
	unit := split.Question.Now[0]
	b := browser{t, newTab(t), server.URL}
	link := `a[href="` + addressPath(split.ID) + `"]`
	b.do(b.open("steward", "/questions"), b.see(link), chromedp.Click(chromedp.CSS(link)), b.see("#answer"))
	b.set("#note", "Theo bản đồ kèm nghị quyết")
	b.set("#find", "ba dinh ha noi")
	b.do(chromedp.Click(chromedp.CSS("#search")), b.see("#found"))
	b.do(chromedp.Click(chromedp.CSS("#unit-"+unit.Code)), chromedp.Click(chromedp.CSS("#answer")), b.see("#ruling"))
	if got := b.text("#history"); !strings.Contains(got, unit.Name) || !strings.Contains(got, "Theo bản đồ kèm nghị quyết") || !strings.Contains(got, "an.steward") {
		t.Errorf("the history says %q", got)
	}
	b.fits("/questions/addresses?state=answered", addressPath(split.ID))
	b.do(b.open("viewer", "/questions/addresses?state=answered"), b.see(link))
}

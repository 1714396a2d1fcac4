package console

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/lienthong/lienthong"
)

// story is a page in a state.
type story struct {
	name, path string
	status     int
	book       func() *storybook
	has        []string // texts of the Vietnamese page
}

func stories() []story {
	return []story{
		{"busy overview", "/", 200, func() *storybook { return newStorybook(busyOverview()) }, []string{
			"1 trên 4 cơ sở dữ liệu không khớp với nguồn", "421.387 bản ghi tại nguồn = 418.902 đã về + 2.485 cách ly đối soát lúc 16:04:47",
			"CSDL đất đai Cà Mau: 2 phần đang gửi lại", "CSDL quốc gia về dân cư: trường định danh chưa đạt 100 %, 1.236 bản ghi cách ly", "CSDL hộ tịch điện tử toàn quốc: tiêu chí Sạch chỉ đạt 71,5 %",
			"1 cơ sở dữ liệu khác trong danh mục", "Chuyên ngành 1", "CSDL người lao động và việc làm Bộ Nội vụ chưa kiểm chứng",
			"5/7", "418.902", "18 ms", "99 % thay đổi về trong 74 ms", "9f31c07be55a…", "toàn vẹn lúc 16:04:58", "1 trên 34 tỉnh, thành phố đã kết nối",
			"Quần đảo Hoàng Sa (Đà Nẵng)", "Quần đảo Trường Sa (Khánh Hòa)", "Biển Đông", "Không khớp", "1.236 cách ly", "chưa kiểm chứng",
			"98,3", "51.200 / 75.000 · 68 %", "42 ms / 1,3 giây", "Viện kiểm sát nhân dân tối cao", "Từ chối một lô có chữ ký giả",
		}},
		{"empty overview", "/", 200, func() *storybook { return newStorybook(Overview{}) }, []string{
			"chưa đăng ký tập dữ liệu nào", "Chưa có cơ sở dữ liệu nào", "Chưa có diễn biến nào", "Danh mục cơ quan chưa được nạp",
		}},
		{"failing overview", "/", 200, func() *storybook { return newStorybook(failingOverview()) }, []string{"KHÔNG toàn vẹn", "Lỗi", "chưa có thay đổi nào để đo"}},
		{"busy database", "/database/population", 200, func() *storybook { return newStorybook(busyOverview(), busyDatabase()) }, []string{
			"Hàng đợi bền", "Số định danh cá nhân phải có đúng 12 chữ số", "0962•••••89", "12 dòng trên tổng số 1.902",
			"Mâu thuẫn giữa các trường", "phiên bản 2", "13/14 trường theo từ điển", "cột “ngay_chuyen” đã biến mất", "2 phần đang gửi lại",
			"nửa tỷ lệ trường bắt buộc", "199.812 / 200.000 → 99,9 trọng số 3", "3.260 lỗi / 200.000 → 98,3", "1 điều kiện đạt 100 %",
			"200.000 = 198.764 về + 1.236 cách ly", "1.204", "điểm kiểm", "CSDL quốc gia về dân cư",
		}},
		{"empty database", "/database/labour", 200, func() *storybook { return newStorybook(busyOverview(), emptyDatabase()) }, []string{
			"chưa có gì chảy qua", "Chưa đủ số liệu để vẽ", "Chưa đo được", "Chưa phát hiện lỗi nào", "Chưa đối soát lần nào", "chưa ký biên nhận nào",
		}},
		{"unknown database", "/database/nothing", 404, func() *storybook { return newStorybook(busyOverview()) }, []string{"404", "cơ sở dữ liệu không có trong danh mục", CodeUnknownDatabase}},
		{"unknown page", "/nothing", 404, func() *storybook { return newStorybook(busyOverview()) }, []string{"Không có trang này"}},
		{"source fails", "/", 500, func() *storybook {
			book := newStorybook(busyOverview())
			book.failure = errors.New("connection to 10.0.0.7 refused")
			return book
		}, []string{"Trang chưa hiển thị được", "Số tham chiếu"}},
		{"page panics", "/", 500, func() *storybook {
			book := newStorybook(busyOverview())
			book.panics = true
			return book
		}, []string{"Trang chưa hiển thị được"}},
		{"sign-in link", "/signin?token=one-time", 200, func() *storybook { return newStorybook(busyOverview()) }, []string{"Liên kết này chỉ dùng được một lần"}},
		{"sign-in without link", "/signin", 200, func() *storybook { return newStorybook(busyOverview()) }, []string{"Bạn cần một liên kết"}},
	}
}

// TestPages renders every page in every state and both languages: it says what
// it must, is well-formed, holds nothing inline, carries the security headers,
// and holds no text of the other language.
func TestPages(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			for _, language := range []Language{Vietnamese, English} {
				answer := get(newConsole(t, s.book(), nil), s.path, language)
				if answer.Code != s.status {
					t.Fatalf("%s: status %d, want %d", language, answer.Code, s.status)
				}
				page := answer.Body.String()
				checkHeaders(t, answer.Header())
				checkStructure(t, page)
				texts := visibleTexts(t, page)
				checkLanguage(t, texts, language)
				if language == Vietnamese {
					whole := strings.Join(texts, " ")
					for _, want := range s.has {
						if !strings.Contains(whole, want) {
							t.Errorf("the page does not say %q:\n%s", want, whole)
						}
					}
				}
				if strings.Contains(page, "10.0.0.7") {
					t.Error("the cause of a failure reached the page")
				}
			}
		})
	}
}

func checkHeaders(t *testing.T, header http.Header) {
	t.Helper()
	policy := header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %q: %q", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy allows something unsafe: %q", policy)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
		"Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// checkStructure reads the page as tokens: every element is closed in order,
// ids are unique, nothing is inline, every label points somewhere and every
// asset exists.
func checkStructure(t *testing.T, page string) {
	t.Helper()
	bundle, err := newAssets()
	if err != nil {
		t.Fatal(err)
	}
	void := map[string]bool{"meta": true, "link": true, "input": true, "br": true, "path": true, "rect": true, "circle": true, "ellipse": true, "polyline": true, "polygon": true}
	var open []string
	ids := make(map[string]bool)
	var labels []string
	tokens := html.NewTokenizer(strings.NewReader(page))
	for {
		kind := tokens.Next()
		if kind == html.ErrorToken {
			if !errors.Is(tokens.Err(), io.EOF) {
				t.Error(tokens.Err())
			}
			break
		}
		token := tokens.Token()
		switch kind {
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("</%s> closes %v", token.Data, open)
			}
			open = open[:len(open)-1]
		case html.StartTagToken, html.SelfClosingTagToken:
			if kind == html.StartTagToken && !void[token.Data] {
				open = append(open, token.Data)
			}
			external := false
			for _, attribute := range token.Attr {
				switch {
				case attribute.Key == "style" || strings.HasPrefix(attribute.Key, "on"):
					t.Errorf("<%s> has an inline %s", token.Data, attribute.Key)
				case attribute.Key == "id":
					if ids[attribute.Val] {
						t.Errorf("the id %q is there twice", attribute.Val)
					}
					ids[attribute.Val] = true
				case attribute.Key == "aria-labelledby":
					labels = append(labels, attribute.Val)
				case attribute.Key == "src" || attribute.Key == "href":
					external = true
					if name, ok := strings.CutPrefix(attribute.Val, "/assets/"); ok {
						if _, ok := bundle.byPath[name]; !ok {
							t.Errorf("no asset %s", attribute.Val)
						}
					}
				}
				if strings.Contains(attribute.Val, "ZgotmplZ") {
					t.Errorf("<%s %s> was refused by the template engine", token.Data, attribute.Key)
				}
			}
			if token.Data == "style" || token.Data == "script" && !external {
				t.Errorf("inline <%s>", token.Data)
			}
		}
	}
	if len(open) > 0 {
		t.Errorf("never closed: %v", open)
	}
	for _, label := range labels {
		if !ids[label] {
			t.Errorf("aria-labelledby names %q, which is not there", label)
		}
	}
}

// visibleTexts are the texts of the page and the attributes that people read.
func visibleTexts(t *testing.T, page string) []string {
	t.Helper()
	document, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	var walk func(*html.Node, *strings.Builder)
	add := func(text string) {
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			texts = append(texts, text)
		}
	}
	inline := map[string]bool{"span": true, "small": true, "strong": true, "code": true, "abbr": true, "a": true, "time": true, "svg": true}
	walk = func(n *html.Node, block *strings.Builder) {
		if n.Type == html.TextNode {
			block.WriteString(n.Data)
			return
		}
		for _, attribute := range n.Attr {
			if attribute.Key == "title" || attribute.Key == "aria-label" || attribute.Key == "data-label" {
				add(attribute.Val)
			}
		}
		if n.Type == html.ElementNode && (n.Data == "script" || n.Data == "noscript") {
			return
		}
		inner := block
		if !inline[n.Data] {
			inner = &strings.Builder{}
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			walk(child, inner)
		}
		if inner != block {
			add(inner.String())
		}
	}
	walk(document, &strings.Builder{})
	return texts
}

// checkLanguage finds texts of the catalogue in the language that the page is
// not in. Words that are also part of a text in the right language are no sign.
func checkLanguage(t *testing.T, texts []string, language Language) {
	t.Helper()
	whole := strings.Join(texts, "\n")
	var right strings.Builder
	for _, entry := range catalogue() {
		if language == English {
			entry.Vi, entry.En = entry.En, entry.Vi
		}
		right.WriteString(strings.ToLower(entry.Vi) + "\n")
	}
	for key, entry := range catalogue() {
		wrong := entry.En
		if language == English {
			wrong = entry.Vi
		}
		wrong = strings.TrimSpace(strings.ReplaceAll(wrong, "%s", ""))
		if len([]rune(wrong)) < 6 || strings.Contains(right.String(), strings.ToLower(wrong)) {
			continue
		}
		// The language switch names each language in itself.
		if wrong == "English" || wrong == "Tiếng Việt" {
			continue
		}
		if strings.Contains(whole, wrong) {
			t.Errorf("a page in %q says %q (%s)", language, wrong, key)
		}
	}
	if language == English {
		for _, text := range texts {
			if text != "Tiếng Việt English" && regexp.MustCompile(`[ạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹđ]`).MatchString(text) &&
				!strings.Contains(text, "Nguyễn Thị Ánh") && !strings.Contains(text, "NĐ 47/2024") {
				t.Errorf("Vietnamese on an English page: %q", text)
			}
		}
	}
}

// TestCatalogue: every text that a template or a word list asks for exists in
// both languages, and nothing in the catalogue is unused.
func TestCatalogue(t *testing.T) {
	used := map[string]bool{"signin.refused": true}
	for _, unit := range []string{"ms", "s", "minutes", "hours", "days"} {
		used["unit."+unit] = true
	}
	add := func(kind string, values ...string) {
		for _, value := range values {
			used[kind+"."+value] = true
		}
	}
	add("state", "none", "syncing", "matching", "behind", "differing", "failing")
	add("result", "none", "matches", "differs", "failed")
	add("event", "batch", "receipt", "quarantine", "shape", "reconcile", "audit", "alarm")
	add("class", "none", string(lienthong.NationalDatabase), string(lienthong.SpecialisedDatabase), string(lienthong.PoliticalDatabase), string(lienthong.LocalDatabase))
	for _, step := range []FlowKind{SourceStep, CaptureStep, CheckStep, SpoolStep, HubStep, ReceiptStep} {
		add("flow", string(step))
		add("flow.unit", string(step))
	}
	for _, criterion := range lienthong.Criteria() {
		add("criterion", string(criterion))
	}
	for _, group := range lienthong.ErrorGroups() {
		add("group", string(group))
	}
	for _, bloc := range blocs() {
		add("bloc", string(bloc))
	}
	for _, kind := range []lienthong.BatchKind{lienthong.ShapeBatch, lienthong.SnapshotBatch, lienthong.ChangesBatch, lienthong.CheckpointBatch, lienthong.DigestBatch, lienthong.RepairBatch, lienthong.ReportBatch} {
		add("batch", string(kind))
	}
	for _, a := range areas() {
		add("nav", a.name)
		if a.words == nil {
			continue
		}
		for kind, values := range a.words() {
			for _, value := range values {
				add(kind, value)
			}
		}
	}
	pages, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if !strings.HasSuffix(page.Name(), ".html") {
			continue
		}
		content, err := files.ReadFile(page.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`\bt "([^"]+)"`).FindAllSubmatch(content, -1) {
			used[string(match[1])] = true
		}
	}
	texts := catalogue()
	for key := range used {
		if _, ok := texts[key]; !ok {
			t.Errorf("no text %q", key)
		}
	}
	same := map[string]bool{"unit.ms": true}
	for key, entry := range texts {
		switch {
		case !used[key]:
			t.Errorf("nobody uses %q", key)
		case strings.TrimSpace(entry.Vi) == "" || strings.TrimSpace(entry.En) == "":
			t.Errorf("%q lacks a language", key)
		case entry.Vi == entry.En && !same[key]:
			t.Errorf("%q is the same in both languages: %q", key, entry.Vi)
		case strings.Count(entry.Vi, "%s") != strings.Count(entry.En, "%s"):
			t.Errorf("%q takes different arguments", key)
		}
	}
}

package app

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium finds the browser. Without one the test is skipped on somebody's own
// machine and fails in CI, where it must never be left out.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("no Chromium, and CI is set")
	}
	t.Skip("no Chromium on this machine")
	return ""
}

// person is somebody in front of a browser.
type person struct {
	t   *testing.T
	tab context.Context //nolint:containedctx // a browser tab is a context

	mu         sync.Mutex
	complaints []string
}

// newPerson opens a browser with an empty profile that asks nothing of the outside
// world, and writes down what it complains of.
func newPerson(t *testing.T) *person {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(chromium(t)), chromedp.WindowSize(1440, 1180), chromedp.Flag("user-data-dir", t.TempDir())}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(ctx), options...)
	tab, closeTab := chromedp.NewContext(allocator)
	p := &person{t: t, tab: tab}
	over := context.AfterFunc(ctx, closeTab)
	t.Cleanup(func() {
		over()
		_ = chromedp.Cancel(tab) // waits for the browser to leave
		closeTab()
		stop()
		cancel()
	})
	if err := chromedp.Listen(tab, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch event := event.(type) {
		case *log.EventEntryAdded:
			p.complaints = append(p.complaints, event.Entry.Text+" "+event.Entry.URL)
		case *runtime.EventExceptionThrown:
			p.complaints = append(p.complaints, event.ExceptionDetails.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *person) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	err := chromedp.Do(p.tab, actions...)
	for renewed(err) {
		err = chromedp.Do(p.tab, actions...)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// renewed reports whether the browser lost an element between finding and using
// it, because a live part of the page renewed itself just then. A person looks again.
func renewed(err error) bool {
	return err != nil && strings.Contains(err.Error(), "No node with given id")
}

func (p *person) text(selector string) string {
	p.t.Helper()
	text, err := chromedp.Run(p.tab, chromedp.Text(chromedp.CSS(selector)))
	for renewed(err) {
		text, err = chromedp.Run(p.tab, chromedp.Text(chromedp.CSS(selector)))
	}
	if err != nil {
		p.t.Fatalf("%s: %v", selector, err)
	}
	return text
}

// texts are those of every element that the selector finds.
func (p *person) texts(selector string) []string {
	p.t.Helper()
	texts, err := chromedp.Run(p.tab, chromedp.Evaluate[[]string](fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.textContent.trim())`, selector)))
	if err != nil {
		p.t.Fatalf("%s: %v", selector, err)
	}
	return texts
}

// until waits for something to become true on the page, without touching it.
func (p *person) until(what, condition string, within time.Duration) {
	p.t.Helper()
	if err := chromedp.Do(p.tab, chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingTimeout(within))); err != nil {
		sentence := strings.Join(p.texts(".headline, .databases .state, h1"), "; ")
		p.t.Fatalf("%s: %v; the page says: %s", what, err, sentence)
	}
}

// follow clicks a link of a part that renews itself. A part that has just grown may
// have moved the link away from where the pointer aims: a person aims again.
func (p *person) follow(link, target string) {
	p.t.Helper()
	var err error
	for range 3 {
		p.do(chromedp.Click(chromedp.CSS(link)))
		ctx, cancel := context.WithTimeout(p.tab, 15*time.Second)
		err = chromedp.Do(ctx, chromedp.WaitVisible(chromedp.CSS(target)))
		cancel()
		if err == nil {
			return
		}
	}
	p.t.Fatalf("%s does not lead to %s: %v", link, target, err)
}

// mark and unmoved tell a page that renews itself from one that was loaded again.
func (p *person) mark() {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](`window.sameDocument = true`))
}

func (p *person) unmoved(what string) {
	p.t.Helper()
	same, err := chromedp.Run(p.tab, chromedp.Evaluate[bool](`window.sameDocument === true`))
	if err != nil {
		p.t.Fatal(err)
	}
	if !same {
		p.t.Errorf("%s: the page was loaded again instead of renewing itself", what)
	}
}

// fits fails when the page is wider than the window, and keeps a picture of it.
func (p *person) fits(name string, width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height), chromedp.Evaluate[chromedp.Void](`scrollTo(0, 0)`), chromedp.WaitReady(chromedp.CSS("#main")))
	wide, err := chromedp.Run(p.tab, chromedp.Evaluate[[]string](`document.documentElement.scrollWidth <= innerWidth ? [] :
		[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.tagName + "." + e.className)`))
	if err != nil {
		p.t.Fatal(err)
	}
	if len(wide) > 0 {
		p.t.Errorf("%s at %d: wider than the window: %q", name, width, wide)
	}
	directory := os.Getenv("LIENTHONG_SCREENSHOTS")
	if directory == "" {
		return
	}
	picture, err := chromedp.Run(p.tab, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, fmt.Sprintf("%s-%d.png", name, width)), picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// TestBrowser_SomebodyWatchesTheDemo is the acceptance of the demo's face: somebody
// follows the one-time link while the country is still being made, watches the
// overview fill by itself, switches language, opens a database, sees the lag change
// without reloading, and a rejected row with its reason.
func TestBrowser_SomebodyWatchesTheDemo(t *testing.T) {
	p := newPerson(t)
	dir, link, started := t.TempDir(), make(chan string, 1), make(chan struct{})
	var country *Demo
	var failure error
	go func() {
		defer close(started)
		country, failure = StartDemo(t.Context(), DemoConfig{Dir: dir, Persons: 3_000, Listen: "127.0.0.1:0", Ready: func(signIn string) { link <- signIn }})
	}()
	t.Cleanup(func() {
		if <-started; country != nil {
			country.Close()
		}
	})
	select {
	case address := <-link:
		p.do(chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("button.primary")))
	case <-started:
		t.Fatalf("the demo ended before it had a link: %v", failure)
	}
	p.do(chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS(".map")))
	p.mark()
	if <-started; failure != nil {
		t.Fatal(failure)
	}
	live, stop := context.WithCancel(t.Context())
	lived := make(chan error, 1)
	go func() { lived <- country.Live(live) }()
	t.Cleanup(func() {
		stop()
		if err := <-lived; err != nil {
			t.Errorf("the country stopped living: %v", err)
		}
	})

	// The overview fills by itself, from an empty country to one where all is well.
	p.until("the overview fills", `document.querySelector(".headline").textContent.includes("Cả 5 cơ sở dữ liệu đã kết nối đều khớp")`, 2*time.Minute)
	p.unmoved("overview")
	p.until("finished work leaves the page", `document.querySelector(".job") === null`, 10*time.Second)
	for _, selector := range []string{".databases tbody th a", ".databases tbody .owner"} {
		if texts := p.texts(selector); len(texts) != 5 || slices.Contains(texts, "") {
			t.Errorf("%s: %q", selector, texts)
		}
	}
	if got := p.texts(".province.state-matching"); len(got) != 1 || !strings.HasPrefix(got[0], "Cà Mau") {
		t.Errorf("provinces that match: %q", got)
	}
	if got := len(p.texts(".province")); got != 34 {
		t.Errorf("%d provinces on the map", got)
	}
	if got := strings.Join(p.texts(".islands"), " "); !strings.Contains(got, "Hoàng Sa (Đà Nẵng)") || !strings.Contains(got, "Trường Sa (Khánh Hoà)") && !strings.Contains(got, "Trường Sa (Khánh Hòa)") {
		t.Errorf("the archipelagos: %q", got)
	}
	if got := p.text(".tile.audit"); !strings.Contains(got, "toàn vẹn") {
		t.Errorf("the log is not shown as verified: %q", got)
	}
	if got := p.texts(".event .what"); len(got) == 0 {
		t.Error("nothing has happened")
	}
	p.do(chromedp.Click(chromedp.CSS(`a[href="#catalogue"]`)), chromedp.WaitVisible(chromedp.CSS("#catalogue li")))
	if got := len(p.texts("#catalogue li .mark-unverified")); got == 0 {
		t.Error("no entry of the catalogue is marked as unverified")
	}
	p.do(chromedp.Click(chromedp.CSS("#catalogue-summary")))
	p.fits("overview", 390, 844)
	p.fits("overview", 1440, 1180)

	p.do(chromedp.Click(chromedp.CSS("#language-en")), chromedp.WaitVisible(chromedp.CSS(`html[lang="en"] .map`)))
	if got := p.text("#databases-title"); got != "Databases" {
		t.Errorf("after switching to English: %q", got)
	}
	p.do(chromedp.Click(chromedp.CSS("#language-vi")), chromedp.WaitVisible(chromedp.CSS(`html[lang="vi"] .map`)))

	// A database, live.
	p.follow("#database-population", ".finding")
	p.mark()
	p.until("a lag is measured", `/\d/.test(document.querySelector("#lag").textContent)`, time.Minute)
	before := p.text("#lag")
	p.until("the lag changes", fmt.Sprintf(`document.querySelector("#lag").innerText.trim() !== %q`, strings.TrimSpace(before)), time.Minute)
	p.until("the chart of the lag is drawn", `document.querySelector(".line.p99") !== null`, time.Minute)
	p.unmoved("database")
	reasons := p.texts(".finding .reason")
	if !slices.ContainsFunc(reasons, func(r string) bool {
		return strings.Contains(r, "Số định danh cá nhân phải gồm đúng 12 chữ số")
	}) {
		t.Errorf("no rejected row says what is wrong with a personal number: %q", reasons)
	}
	if states := p.texts(".finding .state"); !slices.Contains(states, "Cách ly") {
		t.Errorf("no row is held back: %q", states)
	}
	number := regexp.MustCompile(`\d{9}`)
	for _, sample := range p.texts(".finding td:nth-child(4) code") {
		if number.MatchString(sample) {
			t.Errorf("a value is not masked: %d characters", len(sample))
		}
	}
	if got := p.texts(".score .figure"); len(got) != 6 || slices.Contains(got[:5], "–") {
		t.Errorf("the six criteria: %q", got)
	}
	p.fits("database", 390, 844)
	p.fits("database", 1440, 1180)

	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.complaints) > 0 {
		t.Errorf("the browser complained:\n%s", strings.Join(p.complaints, "\n"))
	}
}

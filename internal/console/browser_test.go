package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
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

// chromiumFlags start a browser that asks nothing of the outside world.
func chromiumFlags(profile string) []string {
	return []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir=" + profile,
	}
}

// newTab opens a browser with an empty profile.
func newTab(t *testing.T) context.Context {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(chromium(t)), chromedp.WindowSize(1440, 1200)}
	for _, flag := range chromiumFlags(t.TempDir()) {
		name, value, hasValue := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		if hasValue {
			options = append(options, chromedp.Flag(name, value))
		} else {
			options = append(options, chromedp.Flag(name, true))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	allocator, stop := chromedp.NewExecAllocator(ctx, options...)
	tab, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if chromedp.FromContext(tab).Browser != nil {
			_ = chromedp.Cancel(tab) // waits for the browser to leave
		}
		closeTab()
		stop()
		cancel()
	})
	return tab
}

// renewed reports whether the browser lost an element between finding and using
// it, because a live part of the page renewed itself just then. A person looks again.
func renewed(err error) bool {
	return err != nil && strings.Contains(err.Error(), "No node with given id")
}

// TestPersonLooksAround is the acceptance of the console: a person follows the
// one-time link, reads the overview, switches language, opens a database, sees
// the lag change without reloading and a rejected row with its reason.
func TestPersonLooksAround(t *testing.T) {
	tab := newTab(t)
	book := newStorybook(busyOverview(), busyDatabase())
	c := newConsole(t, book, nil)
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	t.Cleanup(c.Close) // first: a live page would hold the server open

	text := func(selector string) string {
		t.Helper()
		for {
			got, err := chromedp.Run(tab, chromedp.Text(chromedp.CSS(selector)))
			if err == nil {
				return got
			}
			if !renewed(err) {
				t.Fatalf("%s: %v", selector, err)
			}
		}
	}
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		err := chromedp.Do(tab, actions...)
		for renewed(err) {
			err = chromedp.Do(tab, actions...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	do(chromedp.Navigate(server.URL+"/signin?token=one-time"), chromedp.WaitVisible(chromedp.CSS("button.primary")))
	if !book.tokens["one-time"] {
		t.Fatal("looking at the link used it up")
	}
	do(chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS(".map")))

	if got := text(".databases"); !strings.Contains(got, "CSDL quốc gia về dân cư") || !strings.Contains(got, "Khớp") {
		t.Errorf("the overview does not list the databases: %q", got)
	}
	if got := text(".map"); !strings.Contains(got, "Quần đảo Hoàng Sa\n(Đà Nẵng)") || !strings.Contains(got, "Quần đảo Trường Sa\n(Khánh Hòa)") {
		t.Errorf("the archipelagos are not on the map: %q", got)
	}
	do(chromedp.WaitVisible(chromedp.CSS(".connection .on")))

	do(chromedp.Click(chromedp.CSS("#language-en")), chromedp.WaitVisible(chromedp.CSS(`html[lang="en"] .map`)))
	if got := text("#country-title"); got != "34 provinces and cities" {
		t.Errorf("after switching to English: %q", got)
	}
	do(chromedp.Click(chromedp.CSS("#language-vi")), chromedp.WaitVisible(chromedp.CSS(`html[lang="vi"] .map`)))

	do(chromedp.Click(chromedp.CSS("#database-population")), chromedp.WaitVisible(chromedp.CSS(".finding")))
	if got := text(".finding"); !strings.Contains(got, "Số định danh cá nhân phải có đúng 12 chữ số") || !strings.Contains(got, "Cách ly") {
		t.Errorf("the rejected row does not say why: %q", got)
	}

	before := text("#lag")
	if !strings.Contains(before, "16 ms") {
		t.Fatalf("lag at first: %q", before)
	}
	// The first rendering of the stream may come before or after this change; either
	// way the page must show it, without being loaded again.
	do(chromedp.Evaluate[chromedp.Void](`window.sameDocument = true`))
	book.change(func(b *storybook) {
		page := b.databases["population"]
		page.Lag = Lag{true, 431 * time.Millisecond, 977 * time.Millisecond}
		b.databases["population"] = page
	})
	do(chromedp.Poll[chromedp.Void](`document.querySelector("#lag").textContent.includes("431")`, chromedp.WithPollingTimeout(10*time.Second)))
	same, err := chromedp.Run(tab, chromedp.Evaluate[bool](`window.sameDocument === true`))
	if err != nil {
		t.Fatal(err)
	}
	if !same {
		t.Error("the page was loaded again instead of renewing itself")
	}

	do(chromedp.Click(chromedp.CSS(".person button")), chromedp.WaitVisible(chromedp.CSS(".door")))
	if _, ok := book.Session(t.Context(), "session-2"); ok {
		t.Error("signing out left the session open")
	}
}

// TestRenewalKeepsWhatAPersonDid: work that is done leaves the page, and what a
// person has opened stays open when its part renews itself.
func TestRenewalKeepsWhatAPersonDid(t *testing.T) {
	tab := newTab(t)
	book := newStorybook(busyOverview(), busyDatabase())
	c := newConsole(t, book, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: "session-1"})
		c.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(c.Close)
	do := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(tab, actions...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	do("open", chromedp.Navigate(server.URL+"/?lang=en"), chromedp.WaitVisible(chromedp.CSS(".connection .on")), chromedp.WaitVisible(chromedp.CSS(".job")))
	do("a link to a closed part opens it", chromedp.Click(chromedp.CSS(`a[href="#catalogue"]`)), chromedp.WaitVisible(chromedp.CSS("#catalogue li")))
	book.change(func(b *storybook) {
		b.overview.Work = nil
		b.overview.Databases = append(b.overview.Databases, DatabaseRow{Code: "maps", Name: Text{"Bản đồ", "Maps"}})
	})
	do("the catalogue renews itself", chromedp.Poll[chromedp.Void](`document.querySelector("#database-maps") !== null`, chromedp.WithPollingTimeout(10*time.Second)))
	do("it is still open", chromedp.Poll[chromedp.Void](`document.querySelector("#catalogue").open`, chromedp.WithPollingTimeout(2*time.Second)))
	do("the work is gone", chromedp.Poll[chromedp.Void](`document.querySelector(".job") === null`, chromedp.WithPollingTimeout(10*time.Second)))
	// A press that is still down when the part under it renews itself is not lost.
	do("listen", chromedp.Evaluate[chromedp.Void](`window.renewals = 0; document.addEventListener("htmx:sseBeforeMessage", () => window.renewals++)`))
	var where []float64
	aim := func() {
		t.Helper()
		var err error
		if where, err = chromedp.Run(tab, chromedp.Evaluate[[]float64](`(() => { document.querySelector("#database-population").scrollIntoView({block: "center"});
			const r = document.querySelector("#database-population").getClientRects()[0]; return [r.left + 8, r.top + r.height / 2] })()`)); err != nil {
			t.Fatal(err)
		}
	}
	pointer := func(kind input.DispatchMouseEventType) chromedp.Action[chromedp.Void] {
		return chromedp.MouseEvent(kind, where[0], where[1], chromedp.ButtonLeft, func(p *input.DispatchMouseEventParams) { p.ClickCount = 1 })
	}
	rename := func(name string) {
		book.change(func(b *storybook) {
			b.overview.Databases = slices.Clone(b.overview.Databases)
			b.overview.Databases[0].Name = Text{name, name}
		})
	}
	named := func(name string) string {
		return `document.querySelector("#database-population").textContent === "` + name + `"`
	}
	aim()
	do("press", pointer(input.DispatchMouseEventTypeMousePressed))
	rename("Held")
	do("a renewal comes", chromedp.Poll[chromedp.Void](`window.renewals > 0`, chromedp.WithPollingTimeout(10*time.Second)))
	if early, err := chromedp.Run(tab, chromedp.Evaluate[bool](named("Held"))); err != nil || early {
		t.Errorf("the part renewed itself under the pointer: %v %v", early, err)
	}
	do("release elsewhere", chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, 2, 2, chromedp.ButtonLeft))
	do("what was held back is shown", chromedp.Poll[chromedp.Void](named("Held"), chromedp.WithPollingTimeout(10*time.Second)))
	aim()
	do("listen again", chromedp.Evaluate[chromedp.Void](`window.renewals = 0`), pointer(input.DispatchMouseEventTypeMousePressed))
	rename("Followed")
	do("another renewal comes", chromedp.Poll[chromedp.Void](`window.renewals > 0`, chromedp.WithPollingTimeout(10*time.Second)))
	do("release", pointer(input.DispatchMouseEventTypeMouseReleased))
	do("the link is followed", chromedp.WaitVisible(chromedp.CSS(".page-database #lag")))
}

// TestPagesObeyThePolicyInABrowser opens the pages and lets the browser itself
// say whether the policy had to stop anything, and whether a page is wider than
// a telephone.
func TestPagesObeyThePolicyInABrowser(t *testing.T) {
	tab := newTab(t)
	var mu sync.Mutex
	var complaints []string
	if err := chromedp.Listen(tab, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch event := event.(type) {
		case *log.EventEntryAdded:
			// A page that answers 404 is logged too; that one is wanted.
			if !strings.HasSuffix(event.Entry.URL, "/nothing") {
				complaints = append(complaints, event.Entry.Text+" "+event.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, event.ExceptionDetails.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	c := newConsole(t, newStorybook(busyOverview(), busyDatabase()), nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: "session-1"})
		c.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(c.Close)
	for _, path := range []string{"/", "/database/population", "/signin?token=x", "/nothing"} {
		for _, width := range []int64{390, 1440} {
			if err := chromedp.Do(tab, chromedp.EmulateViewport(width, 900), chromedp.Navigate(server.URL+path), chromedp.WaitReady(chromedp.CSS("#main"))); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			broken, err := chromedp.Run(tab, chromedp.Evaluate[[]string](
				`performance.getEntriesByType("resource").filter(e => e.responseStatus >= 400).map(e => e.name)`))
			if err != nil {
				t.Fatal(err)
			}
			overflow, err := chromedp.Run(tab, chromedp.Evaluate[[]string](`document.documentElement.scrollWidth <= innerWidth ? [] :
				[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.tagName + "." + e.className)`))
			if err != nil {
				t.Fatal(err)
			}
			// Every tile of the map is a place of its own: none covers another, none spills.
			covered, err := chromedp.Run(tab, chromedp.Evaluate[[]string](`(() => {
				const tiles = [...document.querySelectorAll(".map li:not(.sea)")].map(e => [e.textContent, e.getBoundingClientRect(), e]);
				return tiles.filter(([n, a, e]) => e.scrollWidth > e.clientWidth + 1 || tiles.some(([m, b]) => n !== m &&
					a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)).map(([n]) => n) })()`))
			if err != nil {
				t.Fatal(err)
			}
			if len(covered) > 0 {
				t.Errorf("%s at %d: tiles of the map that cover others or spill: %q", path, width, covered)
			}
			if len(overflow) > 0 || len(broken) > 0 {
				t.Errorf("%s at %d: wider than the window: %v; not loaded: %v", path, width, overflow, broken)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(complaints) > 0 {
		t.Errorf("the browser complained:\n%s", strings.Join(complaints, "\n"))
	}
}

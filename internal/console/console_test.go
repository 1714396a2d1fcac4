package console

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newConsole(t *testing.T, book *storybook, adjust func(*Config)) *Console {
	t.Helper()
	config := Config{Source: book, Gate: book, Now: newTicking(), PushInterval: 20 * time.Millisecond}
	if adjust != nil {
		adjust(&config)
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// newTicking returns a clock that starts at the time of the stories and runs.
func newTicking() func() time.Time {
	started := time.Now()
	return func() time.Time { return storyTime().Add(time.Since(started)) }
}

// get asks for a page with the session of the stories.
func get(c http.Handler, path string, language Language) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: "session-1"})
	r.AddCookie(&http.Cookie{Name: languageCookie, Value: string(language)})
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

// TestNothingIsShownToStrangers: no page and no stream without a session.
func TestNothingIsShownToStrangers(t *testing.T) {
	c := newConsole(t, newStorybook(busyOverview(), busyDatabase()), nil)
	for path, want := range map[string]int{"/": 303, "/database/population": 303, "/events": 401} {
		for _, session := range []string{"", "session-0"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.AddCookie(&http.Cookie{Name: sessionCookie, Value: session})
			w := httptest.NewRecorder()
			c.ServeHTTP(w, r)
			if w.Code != want || strings.Contains(w.Body.String(), "418.902") {
				t.Errorf("%s with session %q: %d, want %d", path, session, w.Code, want)
			}
		}
	}
}

// TestValuesAreEscaped: what a source says is text, wherever it appears.
func TestValuesAreEscaped(t *testing.T) {
	const hostile = `"><script>alert(1)</script><a style="x" title='`
	overview, database := busyOverview(), busyDatabase()
	overview.Databases[0].Name = Text{hostile, hostile}
	overview.Databases[0].Criteria[0].Formula = Text{hostile, hostile}
	overview.Events[0].Text, overview.Events[0].Where = Text{hostile, hostile}, hostile
	overview.Members[0].Name, overview.Provinces[33].Name = Text{hostile, hostile}, Text{hostile, hostile}
	database.Rejected[0].Sample, database.Rejected[0].Reason = hostile, Text{hostile, hostile}
	database.Node, database.Receipts[0].Digest = hostile, hostile
	c := newConsole(t, newStorybook(overview, database), nil)
	for _, path := range []string{"/", "/database/population"} {
		page := get(c, path, Vietnamese).Body.String()
		if !strings.Contains(page, "alert(1)") {
			t.Fatalf("%s does not show the value at all", path)
		}
		checkStructure(t, page)
	}
}

// formFrom opens the sign-in page and returns its form and the browser's cookies.
func formFrom(t *testing.T, c *Console) (token string, cookies []*http.Cookie) {
	t.Helper()
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/signin?token=one-time", nil))
	match := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(w.Body.String())
	if match == nil {
		t.Fatal("the page has no form token")
	}
	return match[1], w.Result().Cookies()
}

func post(c http.Handler, path string, form url.Values, cookies []*http.Cookie, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

// TestFormsComeFromOurPages: a POST without the token of this browser, or that
// the browser says another site sent, changes nothing.
func TestFormsComeFromOurPages(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(form url.Values, cookies []*http.Cookie) []*http.Cookie
		header []string
		want   int
	}{
		{"ours", nil, nil, 303},
		{"ours, said by the browser", nil, []string{"Sec-Fetch-Site", "same-origin"}, 303},
		{"no token", func(form url.Values, cookies []*http.Cookie) []*http.Cookie { form.Del("form"); return cookies }, nil, 403},
		{"wrong token", func(form url.Values, cookies []*http.Cookie) []*http.Cookie { form.Set("form", "x"); return cookies }, nil, 403},
		{"no cookie", func(url.Values, []*http.Cookie) []*http.Cookie { return nil }, nil, 403},
		{"planted cookie", func(form url.Values, _ []*http.Cookie) []*http.Cookie {
			form.Set("form", strings.Repeat("a", formSecretLength))
			return []*http.Cookie{{Name: formCookie, Value: strings.Repeat("a", formSecretLength)}}
		}, nil, 403},
		{"another site", nil, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another site, old browser", nil, []string{"Origin", "https://elsewhere.example"}, 403},
		{"too large", func(form url.Values, cookies []*http.Cookie) []*http.Cookie {
			form.Set("more", strings.Repeat("x", maxForm))
			return cookies
		}, nil, 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			book := newStorybook(busyOverview())
			c := newConsole(t, book, nil)
			token, cookies := formFrom(t, c)
			form := url.Values{"form": {token}, "token": {"one-time"}}
			if test.change != nil {
				cookies = test.change(form, cookies)
			}
			answer := post(c, "/signin", form, cookies, test.header...)
			if answer.Code != test.want {
				t.Errorf("status %d, want %d", answer.Code, test.want)
			}
			if burnt := !book.tokens["one-time"]; burnt != (test.want == 303) {
				t.Errorf("token used: %v", burnt)
			}
		})
	}
}

// TestSignInAndOut follows one person through the door and out again.
func TestSignInAndOut(t *testing.T) {
	var logged bytes.Buffer
	for _, secure := range []bool{false, true} {
		book := newStorybook(busyOverview())
		c := newConsole(t, book, func(config *Config) {
			config.Secure = secure
			config.Log = slog.New(slog.NewTextHandler(&logged, nil))
		})
		token, cookies := formFrom(t, c)
		form := url.Values{"form": {token}, "token": {"one-time"}}

		// Previews of the link change nothing.
		c.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodHead, "/signin?token=one-time", nil))
		answer := post(c, "/signin", form, cookies)
		if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != "/" {
			t.Fatalf("sign-in: %d to %q", answer.Code, answer.Header().Get("Location"))
		}
		session := answer.Result().Cookies()[0]
		prefix := ""
		if secure {
			prefix = "__Host-"
		}
		if session.Name != prefix+sessionCookie || !session.HttpOnly || session.SameSite != http.SameSiteStrictMode || session.Secure != secure || session.Path != "/" {
			t.Errorf("the session cookie is %v", session)
		}
		if again := post(c, "/signin", form, cookies); again.Code != http.StatusForbidden || !strings.Contains(again.Body.String(), "đã được dùng") {
			t.Errorf("the link worked twice: %d", again.Code)
		}
		if strings.Contains(logged.String(), "one-time") {
			t.Errorf("the token is in the log: %s", logged.String())
		}
		if out := post(c, "/signout", url.Values{"form": {token}}, append(cookies, session)); out.Code != http.StatusSeeOther {
			t.Errorf("sign-out: %d", out.Code)
		}
		if _, ok := book.Session(t.Context(), "session-2"); ok {
			t.Error("the session outlived the sign-out")
		}
	}
}

// TestGuessingIsSlow: an address has so many attempts a minute; another address
// is not affected, and the next minute is a new one.
func TestGuessingIsSlow(t *testing.T) {
	now := storyTime()
	c := newConsole(t, newStorybook(busyOverview()), func(config *Config) {
		config.SignInPerMinute = 3
		config.Now = func() time.Time { return now }
	})
	token, cookies := formFrom(t, c)
	attempt := func() int {
		return post(c, "/signin", url.Values{"form": {token}, "token": {"guess"}}, cookies).Code
	}
	if diff := cmp.Diff([]int{403, 403, 403, 429, 429}, []int{attempt(), attempt(), attempt(), attempt(), attempt()}); diff != "" {
		t.Error(diff)
	}
	if !c.limiter.allow("another") {
		t.Error("another address has to wait too")
	}
	now = now.Add(time.Minute)
	if got := attempt(); got != 403 {
		t.Errorf("after a minute: %d", got)
	}
	for i := range maxAddresses + 10 {
		c.limiter.allow(string(rune(i + 0x4e00)))
	}
	if len(c.limiter.attempts) > maxAddresses {
		t.Errorf("the limiter remembers %d addresses", len(c.limiter.attempts))
	}
	for _, test := range [][2]string{{"10.0.0.7:99", "10.0.0.7"}, {"[2001:db8:1:2:3::4]:99", "2001:db8:1:2::/64"}, {"[::ffff:10.0.0.7]:9", "10.0.0.7"}, {"pipe", "pipe"}} {
		if got := addressOf(&http.Request{RemoteAddr: test[0]}); got != test[1] {
			t.Errorf("%s counts as %s, want %s", test[0], got, test[1])
		}
	}
}

// TestLanguageSwitch: the choice is remembered, the address stays, and the
// redirect never leaves the site.
func TestLanguageSwitch(t *testing.T) {
	c := newConsole(t, newStorybook(busyOverview()), nil)
	for path, want := range map[string]string{
		"/?lang=en": "/", "/database/population?lang=en": "/database/population",
		"/signin?token=a%26b&lang=en": "/signin?token=a%26b", "//elsewhere.example/?lang=en": "/elsewhere.example/",
		"/\\elsewhere.example?lang=en": "/elsewhere.example", "/?lang=xx": "/",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: strings.SplitN(path, "?", 2)[0], RawQuery: strings.SplitN(path, "?", 2)[1]}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != want {
			t.Errorf("%s: %d to %q, want %q", path, w.Code, got, want)
		}
		if set := len(w.Result().Cookies()) == 1; set == strings.Contains(path, "xx") {
			t.Errorf("%s: cookie set: %v", path, set)
		}
	}
}

// TestAssets: kept for ever under their digest, compressed on request, and not
// found under any other name.
func TestAssets(t *testing.T) {
	c := newConsole(t, newStorybook(busyOverview()), nil)
	for name, kind := range map[string]string{"console.css": "text/css; charset=utf-8", "htmx.min.js": "text/javascript; charset=utf-8", "be-vietnam-pro-latin-400-normal.woff2": "font/woff2", "favicon.svg": "image/svg+xml"} {
		r := httptest.NewRequest(http.MethodGet, c.assets.URL(name), nil)
		r.Header.Set("Accept-Encoding", "gzip")
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if compressed := w.Header().Get("Content-Encoding") == "gzip"; compressed == (kind == "font/woff2") && name != "favicon.svg" {
			t.Errorf("%s: compressed: %v", name, compressed)
		}
	}
	for _, path := range []string{"/assets/console.css", "/assets/..%2fconsole.go", "/assets/"} {
		if answer := get(c, path, Vietnamese); answer.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, answer.Code)
		}
	}
}

// TestNewRefusesHalfAConfig: a console without figures or without a door.
func TestNewRefusesHalfAConfig(t *testing.T) {
	book := newStorybook(Overview{})
	for _, config := range []Config{{}, {Source: book}, {Gate: book}} {
		if _, err := New(config); err == nil {
			t.Error("New accepted half a Config")
		}
	}
}

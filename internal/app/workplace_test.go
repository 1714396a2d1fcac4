package app

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/stewardship"
	"github.com/lienthong/lienthong/internal/ticket"
)

// checkWorkplace is what a visitor of the demo finds: every database of the national list is in the
// register and assessed, what is connected has its figures, and every page there is can be read.
func checkWorkplace(ctx context.Context, t *testing.T, d *Demo) {
	t.Helper()
	w := d.Hub.workplace
	if err := w.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	t.Run("register", func(t *testing.T) { checkRegister(ctx, t, w) })
	t.Run("assessments", func(t *testing.T) { checkAssessments(ctx, t, w) })
	t.Run("tickets", func(t *testing.T) { checkTickets(t, w) })
	t.Run("trend", func(t *testing.T) {
		days, err := w.trend.Year(ctx, "population", d.Hub.now().UnixMicro())
		if err != nil || len(days) != 1 || !days[0].Known {
			t.Errorf("the day of population: %+v, %v", days, err)
		}
	})
	t.Run("exports", func(t *testing.T) { checkExports(ctx, t, d) })
	t.Run("every page", func(t *testing.T) { crawl(ctx, t, d) })
}

func checkRegister(ctx context.Context, t *testing.T, w *workplace) {
	t.Helper()
	records, err := w.register.List(ctx, catalog.Filter{}, catalog.ByCode, false)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, r := range records {
		known[r.Code] = true
	}
	for _, database := range w.hub.words.Databases() {
		if !known[database.Code] {
			t.Errorf("%s is not in the register", database.Code)
		}
	}
	record, err := w.register.Load(ctx, "population")
	if err != nil {
		t.Fatal(err)
	}
	if len(record.Views) == 0 || record.Views[0].Seen == nil || len(record.Views[0].Seen.Columns) < 10 {
		t.Errorf("nothing is seen of the population database: %+v", record.Views)
	}
	graph, err := w.register.Graph(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, found := graph.Of("population").Node("element:person.number"); !found {
		t.Error("the lineage does not lead to the personal number")
	}
}

func checkAssessments(ctx context.Context, t *testing.T, w *workplace) {
	t.Helper()
	all, err := w.Assessments(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < len(w.hub.words.Databases()) {
		t.Errorf("%d assessments of %d databases", len(all), len(w.hub.words.Databases()))
	}
	advice := map[string][]string{}
	for _, a := range all {
		if len(a.Recommendations) == 0 {
			t.Errorf("%s: nothing is recommended", a.Database.Code)
			continue
		}
		var list []string
		for i := range a.Recommendations {
			r := &a.Recommendations[i]
			if r.Why.Vi == "" || r.Why.En == "" {
				t.Errorf("%s: %s has no reason", a.Database.Code, r.ID)
			}
			list = append(list, r.ID+": "+r.Why.Vi)
		}
		advice[strings.Join(list, "\n")] = append(advice[strings.Join(list, "\n")], a.Database.Code)
	}
	if len(advice) < 5 {
		t.Errorf("only %d different lists of recommendations: %v", len(advice), slices.Collect(maps.Values(advice)))
	}
	connected, err := w.Assessment(ctx, "population")
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.Assessment(ctx, "land")
	if err != nil {
		t.Fatal(err)
	}
	if connected.Index.Known == other.Index.Known && connected.Points == other.Points {
		t.Errorf("population and land are assessed alike: %.1f and %.1f points", connected.Points, other.Points)
	}
	if _, err := w.Assessment(ctx, "no_such"); lienthong.ErrorCode(err) != "database.unknown" {
		t.Errorf("an unknown database: %v", err)
	}
	history, err := w.History(ctx, "population")
	if err != nil || len(history) == 0 {
		t.Errorf("no history: %v", err)
	}
	for _, language := range []string{"vi", "en"} {
		sheet, err := w.Sheet(ctx, "population", language)
		if err != nil {
			t.Fatal(err)
		}
		for name, write := range map[string]func(io.Writer) error{"html": sheet.WriteHTML, "pdf": sheet.WritePDF, "docx": sheet.WriteDOCX} {
			if err := write(io.Discard); err != nil {
				t.Errorf("%s in %s: %v", name, language, err)
			}
		}
	}
}

// checkTickets compares tickets with what the checks have found, rule by rule.
func checkTickets(t *testing.T, w *workplace) {
	t.Helper()
	list, total := w.tickets.List(ticket.Filter{})
	if total == 0 {
		t.Fatal("the planted defects have led to no ticket")
	}
	open := map[string]int64{}
	for _, line := range w.findings().Lines {
		open[line.Dataset.String()+" "+line.Rule+" "+line.Field] += line.Open
	}
	for _, one := range list {
		if one.Open != open[one.Dataset.String()+" "+one.Rule+" "+one.Field] && one.Source != "" {
			t.Errorf("%s: %d records by the ticket, %d by the checks", one.ID, one.Open, open[one.Dataset.String()+" "+one.Rule+" "+one.Field])
		}
		if one.Owner == "" || one.Clock.Plan == 0 {
			t.Errorf("%s has no owner or no clock", one.ID)
		}
	}
}

func checkExports(ctx context.Context, t *testing.T, d *Demo) {
	t.Helper()
	client := &http.Client{Timeout: time.Minute}
	for path, want := range map[string]string{
		"/public/dictionary.csv": "text/csv", "/public/dictionary.json": "application/json", "/public/dictionary.jsonld": "application/ld+json",
		"/public/dictionary.ttl": "text/turtle", "/public/catalog.ttl": "text/turtle", "/public/catalog.jsonld": "application/ld+json",
		"/public/schemas/population.person.json": "application/schema+json", "/public/schemas/population.person.xsd": "application/xml",
		"/public/schemas/codes/sex.json": "application/schema+json",
	} {
		status, kind, body := fetch(ctx, t, client, d.Hub.ConsoleURL()+path)
		if status != http.StatusOK || !strings.HasPrefix(kind, want) || len(body) == 0 {
			t.Errorf("%s: %d %s, %d bytes", path, status, kind, len(body))
		}
		if strings.Contains(want, "json") && !json.Valid(body) {
			t.Errorf("%s is not JSON", path)
		}
	}
	for _, path := range []string{"/public/schemas/no.such.json", "/public/schemas/codes/nosuch.json", "/public/contracts/population.person.yaml"} {
		if status, _, _ := fetch(ctx, t, client, d.Hub.ConsoleURL()+path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	// What names people is for those who are signed in.
	if status, _, body := fetch(ctx, t, signedInAs(ctx, t, d.Hub, "minh.owner"), d.Hub.ConsoleURL()+"/exports/contracts/population.person.yaml"); status != http.StatusOK || !strings.Contains(string(body), "DataContract") {
		t.Errorf("the contract: %d %.200s", status, body)
	}
}

func fetch(ctx context.Context, t *testing.T, client *http.Client, address string) (status int, kind string, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Content-Type"), body
}

// signedInAs follows the one-time link of an account.
func signedInAs(ctx context.Context, t *testing.T, h *Hub, account string) *http.Client {
	t.Helper()
	link, err := h.SignInURLFor(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	return followLink(ctx, t, h, link)
}

// crawl follows every link that a steward and an approver find, and reads every page.
func crawl(ctx context.Context, t *testing.T, d *Demo) {
	t.Helper()
	links := regexp.MustCompile(`href="(/[^"#]*)`)
	for _, account := range []string{"lan.steward", "quang.approver"} {
		client := signedInAs(ctx, t, d.Hub, account)
		waiting, seen := []string{"/"}, map[string]bool{"/": true}
		kinds := map[string]int{}
		for len(waiting) > 0 {
			path := waiting[0]
			waiting = waiting[1:]
			status, kind, body := fetch(ctx, t, client, d.Hub.ConsoleURL()+path)
			if status != http.StatusOK || len(body) == 0 {
				t.Errorf("%s as %s: %d %s", path, account, status, kind)
				continue
			}
			if !strings.HasPrefix(kind, "text/html") {
				continue
			}
			if strings.Contains(string(body), "ZgotmplZ") || strings.Contains(string(body), "%!") {
				t.Errorf("%s shows a mistake of a template", path)
			}
			for _, found := range links.FindAllSubmatch(body, -1) {
				next := strings.ReplaceAll(string(found[1]), "&amp;", "&")
				pattern := patternOf(next)
				if seen[next] || pattern == "" || kinds[pattern] >= most(account, pattern) {
					continue
				}
				seen[next] = true
				kinds[pattern]++
				waiting = append(waiting, next)
			}
		}
		t.Logf("%s has read %d pages: %v", account, len(seen), kinds)
		for _, pattern := range []string{"/dictionary", "/catalogue/*", "/database/*", "/work"} {
			if kinds[pattern] == 0 {
				t.Errorf("no link leads %s to %s", account, pattern)
			}
		}
	}
}

// patternOf is the kind of page behind an address; empty for what is not read: actions, other languages,
// files of the layout.
func patternOf(path string) string {
	parsed, err := url.Parse(path)
	if err != nil || parsed.Query().Has("lang") {
		return ""
	}
	parts := strings.Split(strings.Trim(parsed.Path, "/"), "/")
	switch {
	case parts[0] == "assets", parts[0] == "signin", parts[0] == "signout", parts[0] == "events", parts[0] == "favicon.ico":
		return ""
	case slices.Contains([]string{"step", "comment", "resolve", "opinion", "reconcile", "attest", "confirm"}, parts[len(parts)-1]):
		return ""
	}
	for i := range parts {
		if i > 0 && (i == len(parts)-1 || parts[0] != "item") && strings.ContainsAny(parts[i], "._:@0123456789") || i == 1 && slices.Contains([]string{"database", "catalogue", "assessment", "tickets", "mapping"}, parts[0]) {
			parts[i] = "*"
		}
	}
	pattern := "/" + strings.Join(parts, "/")
	if len(parsed.Query()) > 0 {
		pattern += "?"
	}
	return pattern
}

// most is how many pages of one kind are read: all of those that show a database, some of the others.
func most(account, pattern string) int {
	if account == "lan.steward" && (pattern == "/catalogue/*" || pattern == "/assessment/*" || pattern == "/database/*") {
		return 1000
	}
	return 12
}

func followLink(ctx context.Context, t *testing.T, h *Hub, link string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Jar: jar, Transport: transport}
	page := read(ctx, t, client, link)
	form := url.Values{}
	for _, input := range regexp.MustCompile(`name="(form|token)" value="([^"]+)"`).FindAllSubmatch(page, -1) {
		form.Set(string(input[1]), string(input[2]))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.ConsoleURL()+"/signin", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Request.URL.Path != "/" {
		t.Fatalf("sign-in ends at %s with %d", answer.Request.URL.Path, answer.StatusCode)
	}
	return client
}

// An account must name an organisation and roles that exist; one that is removed lets nobody in.
func TestAccounts(t *testing.T) {
	d := startCountry(t, "sqlite", &synced{})
	ctx := t.Context()
	for name, wrong := range map[string]Account{
		"spaces":        {Name: "an nguyen", Member: "G01", Roles: []stewardship.Role{stewardship.Steward}},
		"administrator": {Name: administrator, Member: "G01", Roles: []stewardship.Role{stewardship.Steward}},
		"no member":     {Name: "an.nguyen", Member: "ZZ9", Roles: []stewardship.Role{stewardship.Steward}},
		"no role":       {Name: "an.nguyen", Member: "G01"},
		"unknown role":  {Name: "an.nguyen", Member: "G01", Roles: []stewardship.Role{"king"}},
	} {
		if err := d.Hub.SaveAccount(ctx, wrong); lienthong.ErrorCode(err) != "account.wrong" {
			t.Errorf("%s: %v", name, err)
		}
	}
	account := Account{Name: "an.nguyen", Title: "Nguyễn Văn An", Member: "G12", Roles: []stewardship.Role{stewardship.Steward}}
	if err := d.Hub.SaveAccount(ctx, account); err != nil {
		t.Fatal(err)
	}
	client := signedInAs(ctx, t, d.Hub, "an.nguyen")
	if _, _, body := fetch(ctx, t, client, d.Hub.ConsoleURL()+"/work"); !strings.Contains(string(body), "Nguyễn Văn An") {
		t.Error("the page does not say who is signed in")
	}
	if err := storeAccount(ctx, d.Hub.store, account, "removed", d.Hub.now().UnixMicro()); err != nil {
		t.Fatal(err)
	}
	if _, _, body := fetch(ctx, t, client, d.Hub.ConsoleURL()+"/work"); strings.Contains(string(body), "Nguyễn Văn An") {
		t.Error("a session outlives its account")
	}
	if _, err := d.Hub.SignInURLFor(ctx, "an.nguyen"); lienthong.ErrorCode(err) != "account.unknown" {
		t.Errorf("a link for a removed account: %v", err)
	}
}

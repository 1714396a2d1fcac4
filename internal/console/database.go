package console

import (
	"net/http"
	"net/url"
	"time"

	"github.com/lienthong/lienthong"
)

// How many rows of each list the page of a database shows.
const (
	MaxRejected        = 50
	MaxReceipts        = 12
	MaxReconciliations = 10
	MaxShapes          = 10
)

// databaseParts are the parts of the page that renew themselves, each a template
// "database/…".
func databaseParts() []string {
	return []string{
		"clock", "summary", "flow", "work", "lag", "rate", "datasets", "criteria",
		"groups", "rejected", "shapes", "reconciliations", "receipts",
	}
}

// databaseView is the page of a database, arranged.
type databaseView struct {
	chrome
	DatabasePage
	LagChart  *chart
	RateChart *chart
	AllGroups []GroupCount // the eight, in the order of the law
	GroupTop  int64        // the largest of them
	Findings  int64        // of all groups
	CanAsk    bool         // somebody can have a comparison now
}

// reconcile asks for a comparison now and goes back to the page, where the result
// appears by itself.
func (c *Console) reconcile(w http.ResponseWriter, r *http.Request, user User) {
	code := r.PathValue("code")
	reconciler, ok := c.config.Source.(Reconciler)
	if !ok {
		c.notFound(w, r)
		return
	}
	if _, err := c.config.Source.Database(r.Context(), code); err != nil {
		c.failWith(w, r, err)
		return
	}
	if err := reconciler.Reconcile(r.Context(), code, user.Name); err != nil {
		c.failWith(w, r, err)
		return
	}
	http.Redirect(w, r, "/database/"+url.PathEscape(code), http.StatusSeeOther)
}

func (c *Console) database(w http.ResponseWriter, r *http.Request, user User) {
	code := r.PathValue("code")
	page, err := c.config.Source.Database(r.Context(), code)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	words := c.tongues[languageOf(r.Context())].words
	view := newDatabaseView(page, words)
	view.chrome = c.chromeFor(w, r, &user)
	view.Page, view.Area = "database", "overview"
	view.Title = words.text(page.Name)
	_, can := c.config.Source.(Reconciler)
	view.CanAsk = can && page.State != NotConnected
	view.Stream = "/events?" + url.Values{"database": {code}, "language": {string(words.language)}}.Encode()
	c.write(w, r, http.StatusOK, view)
}

func newDatabaseView(page DatabasePage, words *words) databaseView {
	page.Rejected = page.Rejected[:min(len(page.Rejected), MaxRejected)]
	page.Receipts = page.Receipts[:min(len(page.Receipts), MaxReceipts)]
	page.Reconciliations = page.Reconciliations[:min(len(page.Reconciliations), MaxReconciliations)]
	page.Shapes = page.Shapes[:min(len(page.Shapes), MaxShapes)]
	view := databaseView{DatabasePage: page}
	for _, group := range lienthong.ErrorGroups() {
		count := GroupCount{Group: group}
		for _, given := range page.Groups {
			if given.Group == group {
				count.Count += given.Count
				count.Blocking += given.Blocking
			}
		}
		view.AllGroups = append(view.AllGroups, count)
		view.GroupTop = max(view.GroupTop, count.Count)
		view.Findings += count.Count
	}

	p50, p99 := series{class: "p50"}, series{class: "p99", filled: true}
	for _, point := range page.LagHistory {
		p50.samples = append(p50.samples, sample{point.At, point.P50.Seconds()})
		p99.samples = append(p99.samples, sample{point.At, point.P99.Seconds()})
	}
	asLag := func(seconds float64) string { return words.duration(time.Duration(seconds * float64(time.Second))) }
	var from, to time.Time // both charts stand one beside the other: same times
	if n := len(page.RateHistory); n > 0 {
		from, to = page.RateHistory[0].At, page.At
	}
	view.LagChart = newChartOver(from, to, asLag, p99, p50)
	rates := series{class: "rate", filled: true}
	for _, point := range page.RateHistory {
		rates.samples = append(rates.samples, sample{point.At, point.RowsPerSecond})
	}
	view.RateChart = newChartOver(from, to, words.rate, rates)
	return view
}

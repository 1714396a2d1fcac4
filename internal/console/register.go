package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// registerArea is the register of databases: what owners declare, and what is seen of it.
func registerArea() area {
	return area{
		name: "catalogue", path: "/catalogue", shown: func(c *Console) bool {
			return c.config.Workplace.Register != nil && c.config.Workplace.Dictionary != nil
		},
		routes: func(c *Console, pages *http.ServeMux) {
			pages.Handle("GET /catalogue", c.member(c.register))
			pages.Handle("GET /catalogue/overlaps", c.member(c.overlaps))
			pages.Handle("GET /catalogue/{code}", c.member(c.entry))
			pages.Handle("POST /catalogue/{code}/attest", c.form(c.member(c.attestEntry).ServeHTTP))
			if c.config.Workplace.Desk != nil {
				pages.Handle("GET /catalogue/new", c.member(c.newEntry))
				pages.Handle("GET /catalogue/{code}/edit", c.member(c.editEntry))
				pages.Handle("POST /catalogue/{code}/edit", c.form(c.member(c.saveEntry).ServeHTTP))
				pages.Handle("POST /catalogue/{code}/confirm", c.form(c.member(c.confirmShape).ServeHTTP))
			}
		},
		texts: registerTexts,
		words: func() map[string][]string {
			orders := []string{"none"}
			for _, order := range catalog.Orders() {
				orders = append(orders, string(order))
			}
			return map[string][]string{"register.order": orders}
		},
	}
}

type registerView struct {
	chrome
	Query, Class, Owner, Status, Origin, Order string
	Stale, Drifting                            bool
	Filtered                                   bool
	Partial                                    bool // no database has every word of the question
	Classes, Owners, Statuses, Origins         []entryChoice
	Orders                                     []string
	Rows                                       []registerRow
	Found, Total                               int
	Unconfirmed, StaleCount, DriftCount        int
	Before, After                              string // addresses of the neighbouring pages
	Number, Pages                              int    // of the page, from 1
	CanWrite                                   bool
}

// registerRow is a database in the list.
type registerRow struct {
	*catalog.Record
	Heading    []segment
	CodeText   []segment
	OwnerName  Text
	StatusWord Text
	OriginWord Text
	StateWord  Text
	Breaking   bool
	Matches    []registerMatch
}

// registerMatch is a text in which the question was found.
type registerMatch struct {
	Place    Text
	Segments []segment
}

// segment is a piece of a text, found or not.
type segment struct {
	Text  string
	Found bool
}

// segments cuts a text at its marks.
func segments(text string, marks [][2]int) []segment {
	var list []segment
	at := 0
	for _, mark := range marks {
		if mark[0] < at || mark[1] > len(text) {
			continue
		}
		if mark[0] > at {
			list = append(list, segment{Text: text[at:mark[0]]})
		}
		list = append(list, segment{Text: text[mark[0]:mark[1]], Found: true})
		at = mark[1]
	}
	if at < len(text) {
		list = append(list, segment{Text: text[at:]})
	}
	return list
}

// rowsPerPage is how many databases a page of the list has.
const rowsPerPage = 60

func (c *Console) register(w http.ResponseWriter, r *http.Request, user User) {
	register, query := c.config.Workplace.Register, r.URL.Query()
	all, err := register.List(r.Context(), catalog.Filter{}, "", false)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view := registerView{
		chrome: c.chromeOf(w, r, user, "catalogue", "register", c.say(r, "register.title")),
		Query:  strings.TrimSpace(query.Get("q")), Class: query.Get("class"), Owner: query.Get("owner"), Status: query.Get("status"),
		Origin: query.Get("origin"), Stale: query.Get("stale") != "", Drifting: query.Get("drift") != "",
		Total: len(all), CanWrite: c.mayDraftEntries(user),
	}
	if order := query.Get("order"); slices.Contains(catalog.Orders(), catalog.Order(order)) {
		view.Order = order
	}
	c.registerChoices(r, &view, all)
	filter := catalog.Filter{
		Class: lienthong.DatabaseClass(view.Class), Owner: lienthong.MemberCode(view.Owner), Status: catalog.StatusGroup(view.Status),
		Origin: catalog.Origin(view.Origin), Stale: view.Stale, Drifting: view.Drifting, Text: view.Query,
	}
	plain := filter
	plain.Text = ""
	view.Filtered = plain != catalog.Filter{}
	found, err := register.List(r.Context(), filter, catalog.Order(view.Order), false)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	hits := map[string]*catalog.Hit{}
	if view.Query != "" {
		list, err := register.Search(r.Context(), view.Query, 0)
		if err != nil {
			c.failWith(w, r, err)
			return
		}
		for i := range list {
			hits[list[i].Record.Code] = &list[i]
			view.Partial = view.Partial || list[i].Partial
		}
	}
	view.Found = len(found)
	view.Pages = max(1, (len(found)+rowsPerPage-1)/rowsPerPage)
	page, _ := strconv.Atoi(query.Get("page"))
	view.Number = min(max(1, page), view.Pages)
	from := (view.Number - 1) * rowsPerPage
	address := func(page int) string {
		query.Set("page", strconv.Itoa(page))
		return "/catalogue?" + query.Encode()
	}
	if view.Number > 1 {
		view.Before = address(view.Number - 1)
	}
	if view.Number < view.Pages {
		view.After = address(view.Number + 1)
	}
	for _, record := range found[from:min(len(found), from+rowsPerPage)] {
		view.Rows = append(view.Rows, c.registerRow(r, record, hits[record.Code]))
	}
	c.write(w, r, http.StatusOK, &view)
}

// registerChoices fills what the list may be limited to, and counts what needs somebody.
func (c *Console) registerChoices(r *http.Request, view *registerView, all []*catalog.Record) {
	known := c.entryChoices(r)
	view.Classes, view.Statuses = known["class"], known["status"]
	for _, origin := range catalog.Origins() {
		view.Origins = append(view.Origins, entryChoice{string(origin.Value), textOf(origin.Word)})
	}
	view.Orders = []string{""}
	for _, order := range catalog.Orders() {
		view.Orders = append(view.Orders, string(order))
	}
	owners := map[lienthong.MemberCode]bool{}
	for _, record := range all {
		if record.Owner != "" && !owners[record.Owner] {
			owners[record.Owner] = true
			view.Owners = append(view.Owners, entryChoice{string(record.Owner), c.memberName(record.Owner)})
		}
		if record.Origin == catalog.FromSeed {
			view.Unconfirmed++
		}
		if record.Stale {
			view.StaleCount++
		}
		if len(record.Drift) > 0 {
			view.DriftCount++
		}
	}
	slices.SortFunc(view.Owners, func(a, b entryChoice) int { return strings.Compare(a.Value, b.Value) })
}

func (c *Console) registerRow(r *http.Request, record *catalog.Record, hit *catalog.Hit) registerRow {
	row := registerRow{
		Record: record, OwnerName: c.memberName(record.Owner),
		OriginWord: textOf(catalog.WordOf(catalog.Origins(), record.Origin)), Breaking: record.Breaking(),
	}
	if record.Status.Group != "" {
		row.StatusWord = textOf(catalog.WordOf(catalog.StatusGroups(), record.Status.Group))
	}
	if record.State.Open() {
		row.StateWord = textOf(record.State.Word())
	}
	heading, place := record.NameVi, catalog.Place("name_vi")
	if languageOf(r.Context()) == English && record.NameEn != "" {
		heading, place = record.NameEn, "name_en"
	}
	row.Heading, row.CodeText = []segment{{Text: heading}}, []segment{{Text: record.Code}}
	if hit == nil {
		return row
	}
	for _, match := range hit.Matches {
		switch match.Place {
		case place:
			row.Heading = segments(match.Text, match.Marks)
			continue
		case "code":
			row.CodeText = segments(match.Text, match.Marks)
			continue
		}
		row.Matches = append(row.Matches, registerMatch{textOf(catalog.WordOf(catalog.Places(), match.Place)), segments(match.Text, match.Marks)})
	}
	return row
}

// mayDraftEntries tells whether somebody may write entries at all; mayWriteEntry, this one.
func (c *Console) mayDraftEntries(user User) bool {
	return c.config.Workplace.Desk != nil && user.Member != "" &&
		user.Has(string(stewardship.Owner), string(stewardship.Steward), string(stewardship.Engineer))
}

func (c *Console) mayWriteEntry(user User, record *catalog.Record) bool {
	nobodys := record.Owner == "" && record.Manager == ""
	return c.mayDraftEntries(user) && (nobodys || user.Member == record.Owner || user.Member == record.Manager)
}

// overlapsView is what several databases collect.
type overlapsView struct {
	chrome
	All      bool // those too that need no decision
	Rows     []overlapRow
	Repeated int
	Total    int
}

type overlapRow struct {
	catalog.Overlap
	ElementName Text
	Verdict     Text
	Disputed    bool
	Sources     []entryChoice // authorities by code and name
	Places      []holderRow
}

type holderRow struct {
	catalog.Holder
	Name      Text
	OwnerName Text
	Key       bool // the element links records
}

func (c *Console) overlaps(w http.ResponseWriter, r *http.Request, user User) {
	register := c.config.Workplace.Register
	list, err := register.Overlaps(r.Context())
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	records, err := register.List(r.Context(), catalog.Filter{}, catalog.ByCode, false)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	names := make(map[string]Text, len(records))
	for _, record := range records {
		names[record.Code] = Text{record.NameVi, cmp.Or(record.NameEn, record.NameVi)}
	}
	view := overlapsView{
		chrome: c.chromeOf(w, r, user, "catalogue", "overlaps", c.say(r, "overlap.title")),
		All:    r.URL.Query().Get("all") != "", Total: len(list),
	}
	for i := range list {
		row := overlapRow{Overlap: list[i], ElementName: textOf(list[i].Name), Verdict: textOf(list[i].Word), Disputed: len(list[i].Authority) > 1}
		decide := row.Disputed || len(row.Repeated) > 0
		if decide {
			view.Repeated++
		}
		if !decide && !view.All {
			continue
		}
		for _, code := range row.Authority {
			row.Sources = append(row.Sources, entryChoice{code, names[code]})
		}
		for _, holder := range row.Holders {
			row.Places = append(row.Places, holderRow{holder, names[holder.Dataset.Database], c.memberName(holder.Owner), row.Identifier})
		}
		view.Rows = append(view.Rows, row)
	}
	c.write(w, r, http.StatusOK, &view)
}

// newEntryView asks for the code of a database that nobody has registered.
type newEntryView struct {
	chrome
	Code    string
	Refused *lienthong.Error
}

func (c *Console) newEntry(w http.ResponseWriter, r *http.Request, user User) {
	if !c.mayDraftEntries(user) {
		c.failWith(w, r, foreignEntry(""))
		return
	}
	view := newEntryView{chrome: c.chromeOf(w, r, user, "catalogue", "entry-new", c.say(r, "entry.new")), Code: strings.TrimSpace(r.URL.Query().Get("code"))}
	status := http.StatusOK
	if view.Code != "" {
		if entryCode(view.Code) {
			back(w, r, entryPath(view.Code)+"/edit")
			return
		}
		status = http.StatusUnprocessableEntity
		view.Refused = &lienthong.Error{
			Code: "catalog.wrong", Where: "code", Vi: "mã CSDL phải là chữ thường không dấu, số và gạch dưới, tối đa 40 ký tự",
			En: "the code must be lower-case letters, digits and underscores, up to 40",
		}
	}
	c.write(w, r, status, &view)
}

// entryCode tells whether a database may have the code; some are names of our pages.
func entryCode(code string) bool {
	_, err := lienthong.ParseDatasetID(code + ".x")
	return err == nil && code != "new" && code != "overlaps"
}

func entryPath(code string) string { return "/catalogue/" + url.PathEscape(code) }

// foreignEntry refuses somebody who does not write this entry.
func foreignEntry(code string) error {
	return &lienthong.Error{
		Code: "catalog.foreign", Where: code,
		Vi: "chỉ người của cơ quan chủ quản hoặc quản lý được soạn mục đăng ký này", En: "only people of the organisation that owns or manages the database may write its entry",
	}
}

package console

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// dictionaryArea is the common dictionary: what is in force, and the way to a proposal.
func dictionaryArea() area {
	return area{
		name: "dictionary", path: "/dictionary", shown: func(c *Console) bool { return c.config.Workplace.Dictionary != nil },
		routes: func(c *Console, pages *http.ServeMux) {
			pages.Handle("GET /dictionary", c.member(c.dictionary))
			pages.Handle("GET /dictionary/element/{id}", c.member(c.element))
			pages.Handle("GET /dictionary/list/{id}", c.member(c.codeList))
			if c.config.Workplace.Desk != nil && c.config.Workplace.Editions != nil {
				pages.Handle("GET /dictionary/new", c.member(c.newElement))
				pages.Handle("GET /dictionary/element/{id}/edit", c.member(c.editElement))
				pages.Handle("POST /dictionary/element", c.form(c.member(c.saveElement).ServeHTTP))
			}
		},
		texts: dictionaryTexts,
	}
}

type dictionaryView struct {
	chrome
	Edition  dictionary.Edition
	Query    string
	Domain   string
	Domains  []domainRow
	Elements []elementRow
	Lists    []listRow
	Total    int
	Found    int
	Number   int // of the page, from 1
	Before   string
	After    string
	CanWrite bool
}

// maxElements is how many elements a page of the dictionary shows.
const maxElements = 50

type domainRow struct {
	ID    string
	Name  Text
	Count int
	Core  bool
}

type elementRow struct {
	dictionary.Element
	Name   Text
	Define Text
	Uses   int
}

type listRow struct {
	ID    string
	Name  Text
	Count int
	Uses  int
}

func (c *Console) dictionary(w http.ResponseWriter, r *http.Request, user User) {
	known := c.config.Workplace.Dictionary()
	view := dictionaryView{
		chrome:  c.chromeOf(w, r, user, "dictionary", "dictionary", c.say(r, "dictionary.title")),
		Edition: known.Edition(), Query: strings.TrimSpace(r.URL.Query().Get("q")), Domain: r.URL.Query().Get("domain"),
		Total: len(known.Elements()), CanWrite: c.mayWrite(user),
	}
	uses := c.uses()
	counts := map[string]int{}
	for i := range known.Elements() {
		e := &known.Elements()[i]
		counts[e.Group]++
		if view.Domain != "" && e.Group != view.Domain || !elementFits(e, view.Query) {
			continue
		}
		view.Elements = append(view.Elements, elementRow{Element: *e, Name: Text{e.NameVi, e.NameEn}, Define: Text{e.DefinitionVi, e.DefinitionEn}})
	}
	view.turn(r.URL.Query())
	for i := range view.Elements {
		view.Elements[i].Uses = len(dictionary.Affected(uses, view.Elements[i].ID))
	}
	for _, d := range known.Domains() {
		view.Domains = append(view.Domains, domainRow{ID: d.ID, Name: Text{d.NameVi, d.NameEn}, Count: counts[d.ID], Core: d.Core})
	}
	if view.Domain == "" && view.After == "" {
		for _, l := range known.CodeLists() {
			if view.Query == "" || matches(view.Query, l.ID, l.NameVi, l.NameEn) {
				view.Lists = append(view.Lists, listRow{ID: l.ID, Name: Text{l.NameVi, l.NameEn}, Count: len(l.Codes()), Uses: len(dictionary.Affected(uses, l.ID))})
			}
		}
	}
	c.write(w, r, http.StatusOK, &view)
}

// turn keeps the elements of the page that the address names.
func (v *dictionaryView) turn(query url.Values) {
	v.Found = len(v.Elements)
	pages := max(1, (v.Found+maxElements-1)/maxElements)
	number, _ := strconv.Atoi(query.Get("page"))
	v.Number = min(max(number, 1), pages)
	link := func(to int) string {
		if to < 1 || to > pages {
			return ""
		}
		next := url.Values{"page": {strconv.Itoa(to)}}
		for _, name := range []string{"q", "domain"} {
			if value := query.Get(name); value != "" {
				next.Set(name, value)
			}
		}
		return "/dictionary?" + next.Encode()
	}
	v.Before, v.After = link(v.Number-1), link(v.Number+1)
	v.Elements = v.Elements[(v.Number-1)*maxElements : min(v.Number*maxElements, v.Found)]
}

func (c *Console) mayWrite(user User) bool {
	return c.config.Workplace.Desk != nil && c.config.Workplace.Editions != nil &&
		user.Has(string(stewardship.Owner), string(stewardship.Steward), string(stewardship.Engineer))
}

func (c *Console) uses() map[string][]dictionary.Use {
	if c.config.Workplace.Definitions == nil {
		return nil
	}
	return c.config.Workplace.Dictionary().Uses(c.config.Workplace.Definitions())
}

func elementFits(e *dictionary.Element, query string) bool {
	return query == "" || matches(query, append([]string{e.ID, e.Name, e.NameVi, e.NameEn, e.DefinitionVi, e.DefinitionEn}, e.Synonyms...)...)
}

// matches finds every word of a query in one of the texts, with and without diacritics.
func matches(query string, texts ...string) bool {
	whole := strings.Join(texts, " ")
	exact, folded := dictionary.MatchKey(whole), dictionary.PlainKey(whole)
	for _, word := range strings.Fields(query) {
		if !strings.Contains(exact, dictionary.MatchKey(word)) && !strings.Contains(folded, dictionary.MatchKey(word)) {
			return false
		}
	}
	return true
}

type elementView struct {
	chrome
	Element    *dictionary.Element
	Name       Text
	Define     Text
	Attributes []attributeRow
	Uses       []dictionary.Use
	Affected   []lienthong.DatasetID
	Dependents []string
	Item       *stewardship.Item
	StateWord  Text
	Releases   []stewardship.Release
	CanWrite   bool
}

type attributeRow struct {
	Number int
	Label  Text
	Value  Text
}

func (c *Console) element(w http.ResponseWriter, r *http.Request, user User) {
	known := c.config.Workplace.Dictionary()
	id := r.PathValue("id")
	element, found := known.Element(id)
	if !found {
		c.notFound(w, r)
		return
	}
	uses := c.uses()
	view := elementView{
		chrome:  c.chromeOf(w, r, user, "dictionary", "element", c.words(r).text(Text{element.NameVi, element.NameEn})),
		Element: element, Name: Text{element.NameVi, element.NameEn}, Define: Text{element.DefinitionVi, element.DefinitionEn},
		Uses: uses[id], Affected: dictionary.Affected(uses, id), Dependents: known.Dependents(id), CanWrite: c.mayWrite(user),
	}
	for _, a := range element.Attributes() {
		view.Attributes = append(view.Attributes, attributeRow{a.Number, Text{a.LabelVi, a.LabelEn}, Text{a.ValueVi, a.ValueEn}})
	}
	if desk := c.config.Workplace.Desk; desk != nil {
		if loaded, err := desk.Load(r.Context(), stewardship.ElementKind, id); err == nil {
			view.Releases = loaded.Releases
			view.Item, view.StateWord = &loaded.Item, textOf(loaded.State.Word())
		}
	}
	c.write(w, r, http.StatusOK, &view)
}

type listView struct {
	chrome
	List  *dictionary.CodeList
	Name  Text
	Codes []codeRow
	Uses  []dictionary.Use
}

type codeRow struct {
	Code     string
	Name     Text
	From, To string // empty: always, for ever
	Now      bool
}

// maxCodes is how many codes of a list the page shows; the exports have all.
const maxCodes = 500

func (c *Console) codeList(w http.ResponseWriter, r *http.Request, user User) {
	known := c.config.Workplace.Dictionary()
	list, found := known.CodeList(r.PathValue("id"))
	if !found {
		c.notFound(w, r)
		return
	}
	view := listView{
		chrome: c.chromeOf(w, r, user, "dictionary", "list", c.words(r).text(Text{list.NameVi, list.NameEn})),
		List:   list, Name: Text{list.NameVi, list.NameEn}, Uses: c.uses()[list.ID],
	}
	words, now := c.words(r), c.config.Now().UnixMicro()
	for _, code := range list.Codes()[:min(len(list.Codes()), maxCodes)] {
		view.Codes = append(view.Codes, codeRow{
			Code: code.Code, Name: Text{code.NameVi, cmp.Or(code.NameEn, code.NameVi)}, From: words.dateOf(code.From), To: words.dateOf(code.To),
			Now: code.From <= now && now < code.To,
		})
	}
	c.write(w, r, http.StatusOK, &view)
}

// elementForm is the content of a proposal as people write it.
type elementForm struct {
	chrome
	ID       string
	New      bool
	Revision int64
	Values   map[string]string
	Flags    map[string]bool
	Rules    []ruleRow
	Kinds    []string
	Lists    []listRow
	Checks   []string
	Problems map[string]*lienthong.Error
	Refused  *lienthong.Error
	Note     string
}

// ruleRow is one check of an element in the form.
type ruleRow struct {
	Code, Vi, En, Check, Value string
	Blocking                   bool
	rest                       map[string]json.RawMessage
}

// textFields are the members of an element that the form shows as they are, and lists those
// of which each line is an entry.
func textFields() []string {
	return []string{
		"name", "name_vi", "name_en", "definition_vi", "definition_en", "context_vi", "context_en", "group", "object_vi", "object_en",
		"kind", "format", "max_length", "unit", "code_list", "source", "creator", "owner",
	}
}

func lineFields() []string { return []string{"synonyms", "documents", "related", "normalise"} }

func flagFields() []string { return []string{"personal", "sensitive", "required", "identifier"} }

// elementKinds are the types of values.
func elementKinds() []string {
	kinds := []lienthong.Kind{
		lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Boolean, lienthong.Date, lienthong.Timestamp, lienthong.Binary,
	}
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = kind.String()
	}
	return names
}

// checkKinds are the checks that the form can write; others stand as JSON.
func checkKinds() []string {
	return []string{"digits", "pattern", "min_length", "max_length", "code_list", "one_of", "min", "max", "person_name", "nfc", "tidy", "max_age", "not_before", "cel"}
}

func (c *Console) newElement(w http.ResponseWriter, r *http.Request, user User) {
	form := elementForm{New: true, Values: map[string]string{}, Flags: map[string]bool{}}
	c.writeElementForm(w, r, user, http.StatusOK, &form)
}

func (c *Console) editElement(w http.ResponseWriter, r *http.Request, user User) {
	id := r.PathValue("id")
	form := elementForm{ID: id}
	var body json.RawMessage
	loaded, err := c.config.Workplace.Desk.Load(r.Context(), stewardship.ElementKind, id)
	if err == nil && loaded.State.Open() {
		body, form.Revision, form.Problems = loaded.Body, loaded.Revision, byPlace(loaded.Problems)
	} else {
		if err == nil {
			form.Revision = loaded.Revision
		}
		if body, err = c.config.Workplace.Editions.Content(stewardship.ElementKind, id); err != nil {
			c.failWith(w, r, err)
			return
		}
		if body == nil {
			c.notFound(w, r)
			return
		}
	}
	form.read(body)
	c.writeElementForm(w, r, user, http.StatusOK, &form)
}

// byPlace is the first problem of each field, by the last name of its place.
func byPlace(problems []*lienthong.Error) map[string]*lienthong.Error {
	found := map[string]*lienthong.Error{}
	for _, p := range problems {
		place := p.Where[strings.LastIndexByte(p.Where, '.')+1:]
		if found[place] == nil {
			found[place] = p
		}
	}
	return found
}

func (c *Console) writeElementForm(w http.ResponseWriter, r *http.Request, user User, status int, form *elementForm) {
	title := c.say(r, "element.new")
	if !form.New {
		title = form.ID
	}
	form.chrome = c.chromeOf(w, r, user, "dictionary", "element-form", title)
	form.Kinds = elementKinds()
	form.Checks = checkKinds()
	for _, l := range c.config.Workplace.Dictionary().CodeLists() {
		form.Lists = append(form.Lists, listRow{ID: l.ID, Name: Text{l.NameVi, l.NameEn}})
	}
	for range 2 {
		form.Rules = append(form.Rules, ruleRow{})
	}
	c.write(w, r, status, form)
}

// read takes content apart for the form.
func (f *elementForm) read(body json.RawMessage) {
	f.Values, f.Flags = map[string]string{}, map[string]bool{}
	content := map[string]json.RawMessage{}
	_ = json.Unmarshal(body, &content) // a draft of ours; what is not there stays empty
	for _, name := range textFields() {
		f.Values[name] = plain(content[name])
	}
	for _, name := range lineFields() {
		var lines []string
		_ = json.Unmarshal(content[name], &lines)
		f.Values[name] = strings.Join(lines, "\n")
	}
	for _, name := range flagFields() {
		f.Flags[name] = string(content[name]) == "true"
	}
	var rules []map[string]json.RawMessage
	_ = json.Unmarshal(content["rules"], &rules)
	for _, rule := range rules {
		row := ruleRow{Code: plain(rule["code"]), Vi: plain(rule["vi"]), En: plain(rule["en"]), Blocking: string(rule["blocking"]) == "true", rest: rule}
		check := map[string]json.RawMessage{}
		_ = json.Unmarshal(rule["check"], &check)
		row.Check, row.Value = "json", string(rule["check"])
		if len(check) == 1 {
			for name, value := range check {
				if slices.Contains(checkKinds(), name) {
					row.Check, row.Value = name, plain(value)
					var several []string
					if json.Unmarshal(value, &several) == nil && several != nil {
						row.Value = strings.Join(several, ", ")
					}
				}
			}
		}
		f.Rules = append(f.Rules, row)
	}
}

// plain is a JSON value as text.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// saveElement saves a draft, complete or not, and submits it when that is asked.
func (c *Console) saveElement(w http.ResponseWriter, r *http.Request, user User) {
	form := elementForm{ID: strings.TrimSpace(r.PostForm.Get("id")), New: r.PostForm.Get("new") != "", Values: map[string]string{}, Flags: map[string]bool{}, Note: r.PostForm.Get("note")}
	form.Revision, _ = strconv.ParseInt(r.PostForm.Get("revision"), 10, 64)
	content := map[string]json.RawMessage{}
	var err error
	desk := c.config.Workplace.Desk
	// What the form does not show stays as it is.
	if loaded, loadErr := desk.Load(r.Context(), stewardship.ElementKind, form.ID); loadErr == nil && loaded.State.Open() {
		err = json.Unmarshal(loaded.Body, &content)
	} else if base, baseErr := c.config.Workplace.Editions.Content(stewardship.ElementKind, form.ID); baseErr == nil && base != nil {
		err = json.Unmarshal(base, &content)
	}
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	form.merge(r.PostForm, content)
	body, err := json.Marshal(content)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	proposal := stewardship.Proposal{Kind: stewardship.ElementKind, ID: form.ID, Revision: form.Revision, Note: strings.TrimSpace(form.Note), Body: body}
	item, err := desk.Save(r.Context(), user.person(), proposal)
	if err == nil && r.PostForm.Get("submit") != "" {
		item, err = desk.Submit(r.Context(), user.person(), stewardship.Order{Kind: item.Kind, ID: item.ID, Revision: item.Revision, Action: stewardship.ToSubmit, Note: proposal.Note})
	}
	var refused *lienthong.Error
	switch {
	case err == nil:
		back(w, r, "/item/"+stewardship.ElementKind+"/"+url.PathEscape(form.ID))
	case errors.As(err, &refused):
		form.Refused = refused
		if loaded, loadErr := desk.Load(r.Context(), stewardship.ElementKind, form.ID); loadErr == nil {
			form.Problems = byPlace(loaded.Problems)
			if loaded.State.Open() && refused.Code != lienthong.CodeDocumentConflict {
				form.Revision, form.New = loaded.Revision, false // the draft is saved; what was refused is the step after it
			}
		}
		c.writeElementForm(w, r, user, refusalStatus(refused), &form)
	default:
		c.failWith(w, r, err)
	}
}

// merge writes what people typed into the content.
func (f *elementForm) merge(typed url.Values, content map[string]json.RawMessage) {
	set := func(name string, value any, empty bool) {
		if empty {
			delete(content, name)
			return
		}
		if text, err := json.Marshal(value); err == nil {
			content[name] = text
		}
	}
	set("id", f.ID, false)
	for _, name := range textFields() {
		value := strings.TrimSpace(typed.Get(name))
		f.Values[name] = value
		if number, err := strconv.Atoi(value); name == "max_length" && err == nil {
			set(name, number, false)
			continue
		}
		set(name, value, value == "")
	}
	for _, name := range lineFields() {
		f.Values[name] = strings.TrimSpace(typed.Get(name))
		var lines []string
		for line := range strings.Lines(f.Values[name]) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
		set(name, lines, len(lines) == 0)
	}
	for _, name := range flagFields() {
		f.Flags[name] = typed.Get(name) != ""
		set(name, true, !f.Flags[name])
	}
	var before []map[string]json.RawMessage
	_ = json.Unmarshal(content["rules"], &before)
	var rules []map[string]json.RawMessage
	for i := range typed["rule_code"] {
		at := func(name string) string {
			if values := typed[name]; i < len(values) {
				return strings.TrimSpace(values[i])
			}
			return ""
		}
		row := ruleRow{Code: at("rule_code"), Vi: at("rule_vi"), En: at("rule_en"), Check: at("rule_check"), Value: at("rule_value"), Blocking: at("rule_blocking") == "yes"}
		if row.Code == "" && row.Vi == "" && row.En == "" && row.Value == "" {
			continue
		}
		f.Rules = append(f.Rules, row)
		rules = append(rules, row.content(before))
	}
	set("rules", rules, len(rules) == 0)
}

// content is the rule as the dictionary keeps it. What the form does not show of a rule of that
// code stays.
func (row *ruleRow) content(before []map[string]json.RawMessage) map[string]json.RawMessage {
	rule := map[string]json.RawMessage{}
	for _, b := range before {
		if plain(b["code"]) == row.Code {
			rule = b
		}
	}
	put := func(name string, value any) {
		if text, err := json.Marshal(value); err == nil {
			rule[name] = text
		}
	}
	put("code", row.Code)
	put("vi", row.Vi)
	put("en", row.En)
	delete(rule, "blocking")
	if row.Blocking {
		put("blocking", true)
	}
	var value any = row.Value
	switch row.Check {
	case "json":
		if json.Valid([]byte(row.Value)) {
			rule["check"] = json.RawMessage(row.Value)
		}
		return rule
	case "digits", "min_length", "max_length":
		if number, err := strconv.Atoi(row.Value); err == nil {
			value = number
		}
	case "person_name", "nfc", "tidy":
		value = true
	case "one_of":
		var several []string
		for one := range strings.SplitSeq(row.Value, ",") {
			several = append(several, strings.TrimSpace(one))
		}
		value = several
	}
	put("check", map[string]any{row.Check: value})
	return rule
}

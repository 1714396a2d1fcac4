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
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// entryForm is an entry as its owner writes it.
type entryForm struct {
	chrome
	Code        string
	Name        string
	Known       bool // the register has the database
	Revision    int64
	Item        *stewardship.Item // what is being worked on; nil: nothing yet
	StateWord   Text
	Locked      bool // under review: nobody writes now
	Percent     int
	MissingIn   int // questions that are not answered
	Problems    int // that stop it from being submitted
	Sections    []formSection
	Suggestions []suggestion
	Refused     *lienthong.Error
	Differences []stewardship.Change // of what was typed to what somebody else has saved
	Note        string

	stored   bool // what is shown is what the desk has, so that its problems are those of the form
	problems []*lienthong.Error
}

type formSection struct {
	ID              string
	Title           Text
	Answered, Asked int
	Fields          []formField
	Groups          []formGroup
	Remarks         []*lienthong.Error // that belong to no field
}

type formGroup struct {
	Name    string
	Label   Text
	Rows    []formRow
	Blank   []formRow
	Remarks []*lienthong.Error
}

type formRow struct {
	Group  string
	Number int // in the form, from 0
	Title  Text
	Was    string
	Filled bool
	Fields []formField
}

// formField is a field with its value, and what is wrong or missing.
type formField struct {
	Name, ID string
	Kind     fieldKind
	Label    Text
	Help     Text
	Value    string
	Values   []string
	Choices  []entryChoice
	Strange  bool // the value is none of the choices
	Suggest  string
	Problem  *lienthong.Error
	Missing  *lienthong.Error
	Locked   bool
}

// Chosen tells whether a box is ticked.
func (f formField) Chosen(value string) bool { return slices.Contains(f.Values, value) }

type suggestion struct {
	ID      string
	Choices []entryChoice
}

func (c *Console) editEntry(w http.ResponseWriter, r *http.Request, user User) {
	form := entryForm{Code: r.PathValue("code"), stored: true}
	entry, ok := c.openEntry(w, r, user, &form)
	if !ok {
		return
	}
	values, counts, err := entryValues(&entry)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	c.writeEntryForm(w, r, user, http.StatusOK, &form, &entry, values, counts, nil)
}

// openEntry loads what a form begins with. When it cannot, it has answered.
func (c *Console) openEntry(w http.ResponseWriter, r *http.Request, user User, form *entryForm) (catalog.Entry, bool) {
	if !entryCode(form.Code) {
		c.notFound(w, r)
		return catalog.Entry{}, false
	}
	register := c.config.Workplace.Register
	record, err := register.Load(r.Context(), form.Code)
	form.Known = err == nil
	if err != nil && lienthong.ErrorCode(err) != "catalog.unknown" {
		c.failWith(w, r, err)
		return catalog.Entry{}, false
	}
	if !c.mayWriteEntry(user, &record) {
		c.failWith(w, r, foreignEntry(form.Code))
		return catalog.Entry{}, false
	}
	entry, err := register.Draft(r.Context(), form.Code)
	if err == nil {
		err = c.loadEntryItem(r, form)
	}
	if err != nil {
		c.failWith(w, r, err)
		return catalog.Entry{}, false
	}
	if entry.Owner == "" && !form.Known {
		entry.Owner = user.Member
	}
	return entry, true
}

// loadEntryItem fills in where the work on the entry stands.
func (c *Console) loadEntryItem(r *http.Request, form *entryForm) error {
	loaded, err := c.config.Workplace.Desk.Load(r.Context(), catalog.Kind, form.Code)
	switch {
	case lienthong.ErrorCode(err) == "stewardship.unknown":
		return nil
	case err != nil:
		return err
	}
	form.Revision = loaded.Revision
	form.Item, form.StateWord = &loaded.Item, textOf(loaded.State.Word())
	form.Locked = loaded.State.Open() && loaded.State != stewardship.Draft
	form.problems = loaded.Problems
	return nil
}

// saveEntry saves a draft, complete or not, and submits it when that is asked.
func (c *Console) saveEntry(w http.ResponseWriter, r *http.Request, user User) {
	form := entryForm{Code: r.PathValue("code"), Note: strings.TrimSpace(r.PostForm.Get("note"))}
	base, ok := c.openEntry(w, r, user, &form)
	if !ok {
		return
	}
	values, counts := typedValues(r.PostForm)
	entry, wrong, err := entryOf(&base, values, counts)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	entry.Code = form.Code
	if len(wrong) > 0 {
		form.Revision = formRevision(r)
		form.Refused = &lienthong.Error{
			Code: "catalog.number", Where: form.Code, Vi: "chưa lưu được: có ô số viết không đúng", En: "not saved yet: a number is not written like one",
			Hint: "sửa các ô được đánh dấu đỏ / correct the fields marked red",
		}
		c.writeEntryForm(w, r, user, http.StatusUnprocessableEntity, &form, &entry, values, counts, wrong)
		return
	}
	body, err := json.Marshal(&entry)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	item, err := c.config.Workplace.Desk.Save(r.Context(), user.person(), stewardship.Proposal{Kind: catalog.Kind, ID: form.Code, Revision: formRevision(r), Note: form.Note, Body: body})
	submit := r.PostForm.Get("submit") != ""
	form.stored = err == nil
	if err == nil && submit {
		_, err = c.config.Workplace.Desk.Submit(r.Context(), user.person(), stewardship.Order{
			Kind: item.Kind, ID: item.ID, Revision: item.Revision, Action: stewardship.ToSubmit, Note: form.Note,
		})
	}
	var refused *lienthong.Error
	switch {
	case err == nil && submit:
		back(w, r, "/item/"+catalog.Kind+"/"+url.PathEscape(form.Code))
	case err == nil:
		back(w, r, entryPath(form.Code)+"/edit")
	case errors.As(err, &refused):
		form.Refused = refused
		if err := c.loadEntryItem(r, &form); err != nil {
			c.failWith(w, r, err)
			return
		}
		if refused.Code == lienthong.CodeDocumentConflict {
			form.Differences = differencesTo(&base, &entry)
		}
		c.writeEntryForm(w, r, user, refusalStatus(refused), &form, &entry, values, counts, nil)
	default:
		c.failWith(w, r, err)
	}
}

// formRevision is the revision that the person saw.
func formRevision(r *http.Request) int64 {
	revision, _ := strconv.ParseInt(r.PostForm.Get("revision"), 10, 64)
	return revision
}

// differencesTo is what saving would change of what somebody else saved meanwhile.
func differencesTo(saved, typed *catalog.Entry) []stewardship.Change {
	before, err := json.Marshal(saved)
	if err != nil {
		return nil
	}
	after, err := json.Marshal(typed)
	if err != nil {
		return nil
	}
	return catalog.CompareEntries(stewardship.Subject{Kind: catalog.Kind, ID: saved.Code, Before: before, After: after})
}

// writeEntryForm shows the form. Wrong is what could not be read, by the names of fields.
func (c *Console) writeEntryForm(w http.ResponseWriter, r *http.Request, user User, status int, form *entryForm, entry *catalog.Entry, values url.Values, counts map[string]int, wrong map[string]*lienthong.Error) {
	form.Name = c.words(r).text(Text{cmp.Or(entry.NameVi, form.Code), entry.NameEn})
	form.chrome = c.chromeOf(w, r, user, "catalogue", "entry-form", form.Name)
	b := formBuilder{choices: c.entryChoices(r), values: values, counts: counts, problems: wrong, locked: form.Locked}
	if b.problems == nil {
		b.problems = map[string]*lienthong.Error{}
	}
	b.missing, b.remarks = map[string]*lienthong.Error{}, map[string][]*lienthong.Error{}
	problems := entry.Problems()
	// What refers to other databases only the register knows.
	if form.stored && form.Item != nil && form.Item.State == stewardship.Draft {
		problems = form.problems
	}
	b.presets()
	for _, problem := range problems {
		b.place(b.problems, problem)
	}
	form.Problems = len(problems)
	completeness := entry.Completeness()
	form.Percent = completeness.Percent
	for _, missing := range completeness.Missing() {
		form.MissingIn++
		b.place(b.missing, missing)
	}
	for _, section := range entrySections() {
		form.Sections = append(form.Sections, b.section(&section, &completeness))
	}
	for _, name := range []string{"member", "engine"} {
		form.Suggestions = append(form.Suggestions, suggestion{name, b.choices[name]})
	}
	records, err := c.config.Workplace.Register.List(r.Context(), catalog.Filter{}, catalog.ByCode, false)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	databases := suggestion{ID: "database"}
	for _, record := range records {
		if record.Code != form.Code {
			databases.Choices = append(databases.Choices, entryChoice{record.Code, Text{record.NameVi, record.NameEn}})
		}
	}
	form.Suggestions = append(form.Suggestions, databases)
	c.write(w, r, status, form)
}

// formBuilder lays values, problems and missing answers into the form.
type formBuilder struct {
	choices  map[string][]entryChoice
	values   url.Values
	counts   map[string]int
	asked    map[string]int // rows of each group that are offered filled in part
	problems map[string]*lienthong.Error
	missing  map[string]*lienthong.Error
	remarks  map[string][]*lienthong.Error // of groups, and of the sections of fields that nobody finds
	locked   bool
}

// presets adds a row for each duty that nobody has yet.
func (b *formBuilder) presets() {
	b.asked = map[string]int{"people": b.counts["people"]}
	for _, duty := range b.choices["duty"] {
		if b.row("people", "duty", duty.Value) < 0 {
			b.values.Set(rowName("people", b.asked["people"], "duty"), duty.Value)
			b.asked["people"]++
		}
	}
}

// row finds the row of a group by the value of a field.
func (b *formBuilder) row(group, field, value string) int {
	for n := range max(b.counts[group], b.asked[group]) {
		if b.values.Get(rowName(group, n, field)) == value {
			return n
		}
	}
	return -1
}

// place lays a remark beside the field that it is about, or above the list.
func (b *formBuilder) place(into map[string]*lienthong.Error, remark *lienthong.Error) {
	name := b.fieldOf(remark.Where)
	if _, list := b.remarks[name]; list || !b.isField(name) {
		b.remarks[name] = append(b.remarks[name], remark)
		return
	}
	if into[name] == nil {
		into[name] = remark
	}
}

func (b *formBuilder) isField(name string) bool {
	group, rest, _ := strings.Cut(name, ".")
	for _, section := range entrySections() {
		for _, field := range section.fields {
			if field.name == name {
				return true
			}
		}
		for _, g := range section.groups {
			if _, field, in := strings.Cut(rest, "."); g.name == group && in {
				return slices.ContainsFunc(g.fields, func(f entryField) bool { return f.name == field })
			}
		}
	}
	return false
}

// fieldOf is the name in the form of a place in the content; that of a list when no row is meant.
func (b *formBuilder) fieldOf(where string) string {
	first, rest, _ := strings.Cut(where, ".")
	for _, section := range entrySections() {
		for _, group := range section.groups {
			if group.name != first {
				continue
			}
			which, field, _ := strings.Cut(rest, ".")
			n := -1
			if number, err := strconv.Atoi(which); err == nil {
				n = number - 1
			} else if which != "" {
				n = b.row(group.name, group.key, which)
			}
			if n < 0 {
				return group.name
			}
			switch field {
			case "":
				field = group.where
			case "contact":
				field = "phone"
			case "retention":
				field = "retention.years"
			}
			return rowName(group.name, n, field)
		}
	}
	return where
}

func (b *formBuilder) section(s *entrySection, completeness *catalog.Completeness) formSection {
	section := formSection{ID: s.id, Title: s.title}
	for i := range completeness.Sections {
		if one := &completeness.Sections[i]; one.ID == s.id || one.ID == s.also {
			section.Answered, section.Asked = section.Answered+one.Answered, section.Asked+one.Asked
		}
	}
	for i := range s.fields {
		section.Fields = append(section.Fields, b.field(&s.fields[i], s.fields[i].name))
	}
	for i := range s.groups {
		section.Groups = append(section.Groups, b.group(&s.groups[i]))
	}
	return section
}

func (b *formBuilder) group(g *entryGroup) formGroup {
	group := formGroup{Name: g.name, Label: g.label, Remarks: b.remarks[g.name]}
	filled := max(b.counts[g.name], b.asked[g.name])
	blank := 2
	if b.locked {
		blank = 0
	}
	for n := range filled + blank {
		row := formRow{Group: g.name, Number: n, Was: b.values.Get(rowName(g.name, n, "was")), Filled: n < b.counts[g.name]}
		for i := range g.fields {
			row.Fields = append(row.Fields, b.field(&g.fields[i], rowName(g.name, n, g.fields[i].name)))
		}
		row.Title = b.rowTitle(row.Fields, g)
		if n < filled {
			group.Rows = append(group.Rows, row)
		} else {
			group.Blank = append(group.Blank, row)
		}
	}
	return group
}

// rowTitle is what people call a row: what tells it apart, else what it is of.
func (b *formBuilder) rowTitle(fields []formField, g *entryGroup) Text {
	for _, name := range []string{g.where, g.key, g.preset} {
		for i := range fields {
			f := &fields[i]
			if g.fields[i].name != name || f.Value == "" {
				continue
			}
			for _, choice := range f.Choices {
				if choice.Value == f.Value {
					return choice.Name
				}
			}
			return Text{f.Value, f.Value}
		}
	}
	return g.label
}

func (b *formBuilder) field(f *entryField, name string) formField {
	field := formField{
		Name: name, ID: strings.ReplaceAll(name, ".", "-"), Kind: f.kind, Label: f.label, Help: f.help, Value: b.values.Get(name), Values: b.values[name],
		Choices: b.choices[f.choices], Suggest: f.suggest, Problem: b.problems[name], Missing: b.missing[name], Locked: b.locked,
	}
	field.Strange = f.kind == choiceField && field.Value != "" && !slices.ContainsFunc(field.Choices, func(c entryChoice) bool { return c.Value == field.Value })
	return field
}

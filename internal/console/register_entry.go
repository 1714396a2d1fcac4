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
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// entryView is a database in the register, with what is declared beside what is seen.
type entryView struct {
	chrome
	*catalog.Record
	Name, Other  Text
	ClassName    Text
	OwnerName    Text
	OriginWord   Text
	StateWord    Text
	Releases     []stewardship.Release
	Sections     []factSection
	Evidence     []evidenceRow
	Datasets     []datasetPanel
	Links        []linkRow
	Consumers    []consumerRow
	Drifting     int
	CanEdit      bool
	CanAttest    bool
	Waiting      bool // a proposal is under review: nothing may be written
	HasWork      bool
	HasFigures   bool
	HasReadiness bool
	Refused      *lienthong.Error
	Typed        string // the note of a form that was refused
}

// factSection is a part of the entry as people read it.
type factSection struct {
	ID              string
	Title           Text
	Answered, Asked int
	Missing         []*lienthong.Error
	Facts           []fact
	Groups          []factGroup
}

type fact struct {
	Label Text
	Value Text
}

type factGroup struct {
	Label Text
	Heads []Text
	Rows  [][]Text
}

type evidenceRow struct {
	catalog.Evidence
	StandingWord   Text
	Colour         string
	Declared, Seen string
}

// datasetPanel is one dataset: declared, seen, drifting, and the way of its values.
type datasetPanel struct {
	catalog.DatasetView
	Code       string
	Token      string // for the form
	CanConfirm bool
	Waiting    bool
	Title      Text
	Facts      []fact
	Flags      []Text
	Shape      []shapeRow
	Evidence   []evidenceRow
	Lineage    []lineageRow
	Gets       []consumerRow
}

// shapeRow is a column as it is now.
type shapeRow struct {
	lienthong.Column
	Element     string
	ElementName Text
}

// lineageRow is the way of a value: columns, what happens to it, field, element.
type lineageRow struct {
	Columns     []lineageColumn
	Steps       string
	Field       string
	Element     string
	ElementName Text
}

type lineageColumn struct {
	Name, Type string
	Missing    bool
	Unused     bool
}

type consumerRow struct {
	Name    Text
	Dataset lienthong.DatasetID
	Fields  []string
}

type linkRow struct {
	catalog.Link
	Word Text
	Name Text
}

func (c *Console) entry(w http.ResponseWriter, r *http.Request, user User) {
	c.showEntry(w, r, user, http.StatusOK, nil)
}

func (c *Console) showEntry(w http.ResponseWriter, r *http.Request, user User, status int, refused *lienthong.Error) {
	place, code := c.config.Workplace, r.PathValue("code")
	record, err := place.Register.Load(r.Context(), code)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	graph, err := place.Register.Graph(r.Context())
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view := entryView{
		Record: &record, Name: Text{record.NameVi, record.NameEn}, OwnerName: c.memberName(record.Owner),
		OriginWord: textOf(catalog.WordOf(catalog.Origins(), record.Origin)), Drifting: len(record.Drift), Refused: refused, Typed: r.PostForm.Get("note"),
		HasReadiness: place.Assessor != nil, HasWork: place.Desk != nil && record.State != "",
		HasFigures: record.Origin != catalog.FromDraft,
	}
	view.chrome = c.chromeOf(w, r, user, "catalogue", "entry", c.words(r).text(view.Name))
	if languageOf(r.Context()) == Vietnamese || record.NameEn == "" {
		view.Other = Text{record.NameEn, record.NameEn}
	}
	if record.Class != "" {
		view.ClassName = c.words(r).texts["class."+string(record.Class)]
	}
	if record.State.Open() {
		view.StateWord = textOf(record.State.Word())
		view.Waiting = record.State != stewardship.Draft
	}
	view.CanEdit = c.mayWriteEntry(user, &record) && !view.Waiting
	view.CanAttest = record.Origin == catalog.FromOwner && user.Has(string(stewardship.Owner)) && user.Member != "" && (user.Member == record.Owner || user.Member == record.Manager)
	if view.HasWork {
		if loaded, err := place.Desk.Load(r.Context(), catalog.Kind, code); err == nil {
			view.Releases = loaded.Releases
			slices.Reverse(view.Releases)
		}
	}
	if view.Sections, err = c.factSections(r, &record); err != nil {
		c.failWith(w, r, err)
		return
	}
	for i := range record.Evidence {
		if record.Evidence[i].Dataset == "" {
			view.Evidence = append(view.Evidence, c.evidenceRow(r, &record.Evidence[i]))
		}
	}
	lineage := lineageOf(graph.Of(code))
	for i := range record.Views {
		panel, err := c.datasetPanel(r, &record, &record.Views[i], lineage[record.Views[i].ID])
		if err != nil {
			c.failWith(w, r, err)
			return
		}
		panel.Code, panel.Token, panel.CanConfirm, panel.Waiting = code, view.Form, view.CanEdit, view.Waiting
		view.Consumers = append(view.Consumers, panel.Gets...)
		view.Datasets = append(view.Datasets, panel)
	}
	for _, link := range record.Links {
		view.Links = append(view.Links, linkRow{link, textOf(catalog.WordOf(catalog.RelationTypes(), link.Type)), textOf(link.Name)})
	}
	c.write(w, r, status, &view)
}

// factSections are the declared facts, in the order of the form. Datasets and relations have
// places of their own.
func (c *Console) factSections(r *http.Request, record *catalog.Record) ([]factSection, error) {
	values, counts, err := entryValues(&record.Entry)
	if err != nil {
		return nil, err
	}
	choices := c.entryChoices(r)
	var list []factSection
	for _, s := range entrySections() {
		section := factSection{ID: s.id, Title: s.title}
		for i := range record.Completeness.Sections {
			if one := &record.Completeness.Sections[i]; one.ID == s.id || one.ID == s.also {
				section.Answered, section.Asked = section.Answered+one.Answered, section.Asked+one.Asked
				section.Missing = append(section.Missing, one.Missing...)
			}
		}
		for i := range s.fields {
			if value, there := c.factValue(r, &s.fields[i], values[s.fields[i].name], choices); there {
				section.Facts = append(section.Facts, fact{s.fields[i].label, value})
			}
		}
		for i := range s.groups {
			if g := &s.groups[i]; g.name != "datasets" && g.name != "relations" && counts[g.name] > 0 {
				section.Groups = append(section.Groups, c.factGroup(r, g, values, counts[g.name], choices))
			}
		}
		if s.id != "relations" {
			list = append(list, section)
		}
	}
	return list, nil
}

// factGroup is a list of the entry as a table of the columns that somebody has filled.
func (c *Console) factGroup(r *http.Request, g *entryGroup, values url.Values, count int, choices map[string][]entryChoice) factGroup {
	group := factGroup{Label: g.label, Rows: make([][]Text, count)}
	for i := range g.fields {
		f := &g.fields[i]
		cells, some := make([]Text, count), false
		for n := range count {
			value, there := c.factValue(r, f, values[rowName(g.name, n, f.name)], choices)
			cells[n], some = value, some || there
		}
		if !some {
			continue
		}
		group.Heads = append(group.Heads, f.label)
		for n := range cells {
			group.Rows[n] = append(group.Rows[n], cells[n])
		}
	}
	return group
}

// factValue is a value as people read it.
func (c *Console) factValue(r *http.Request, f *entryField, written []string, choices map[string][]entryChoice) (Text, bool) {
	if len(written) == 0 || strings.TrimSpace(written[0]) == "" {
		return Text{}, false
	}
	words, value := c.words(r), written[0]
	same := func(s string) Text { return Text{s, s} }
	switch f.kind {
	case choiceField, levelField:
		for _, choice := range choices[f.choices] {
			if choice.Value == value {
				if f.choices == "member" {
					return Text{choice.Name.Vi + " (" + value + ")", cmp.Or(choice.Name.En, choice.Name.Vi) + " (" + value + ")"}, true
				}
				return choice.Name, true
			}
		}
	case severalField:
		var vi, en []string
		for _, one := range written {
			name := same(one)
			for _, choice := range choices[f.choices] {
				if choice.Value == one {
					name = choice.Name
				}
			}
			vi, en = append(vi, name.Vi), append(en, name.En)
		}
		return Text{strings.Join(vi, ", "), strings.Join(en, ", ")}, true
	case linesField:
		return same(strings.ReplaceAll(value, "\n", ", ")), true
	case checkField:
		return Text{"có", "yes"}, true
	case numberField:
		return same(words.group(value)), true
	case dateField:
		return same(words.isoDay(value)), true
	case textField:
		if f.suggest == "member" {
			return c.memberName(lienthong.MemberCode(value)), true
		}
	case areaField:
	}
	return same(value), true
}

// isoDay is a date of the content as it is written in the language.
func (w *words) isoDay(date string) string {
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	if w.language == English {
		return at.Format("2 Jan 2006")
	}
	return at.Format("02/01/2006")
}

func (c *Console) evidenceRow(r *http.Request, e *catalog.Evidence) evidenceRow {
	row := evidenceRow{Evidence: *e, StandingWord: textOf(catalog.WordOf(catalog.Standings(), e.Standing)), Declared: e.Declared, Seen: e.Seen}
	words := c.words(r)
	if e.ID == "rows" || e.ID == "datasets" {
		row.Declared, row.Seen = words.group(e.Declared), words.group(e.Seen)
	}
	if e.At != 0 {
		row.Seen = words.moment(time.UnixMicro(e.At))
	}
	switch e.Standing {
	case catalog.Agrees:
		row.Colour = "green"
	case catalog.Differs:
		row.Colour = "red"
	case catalog.Late:
		row.Colour = "yellow"
	case catalog.DeclaredOnly, catalog.SeenOnly:
		row.Colour = "blue"
	case catalog.Neither:
	}
	return row
}

func (c *Console) datasetPanel(r *http.Request, record *catalog.Record, v *catalog.DatasetView, lineage *datasetLineage) (datasetPanel, error) {
	panel := datasetPanel{DatasetView: *v, Title: Text{v.ID.Name, v.ID.Name}}
	if v.Definition != nil {
		panel.Title = Text{cmp.Or(v.Definition.TitleVi, v.ID.Name), v.Definition.TitleEn}
	}
	if v.Declared != nil {
		if v.Declared.TitleVi != "" {
			panel.Title = Text{v.Declared.TitleVi, v.Declared.TitleEn}
		}
		if err := c.datasetFacts(r, &panel); err != nil {
			return panel, err
		}
	}
	if v.Seen != nil {
		mapping := map[string]string{}
		if v.Definition != nil {
			mapping = catalog.Mapping(v.Definition)
		}
		known := c.config.Workplace.Dictionary()
		for _, column := range v.Seen.Columns {
			row := shapeRow{Column: column, Element: mapping[column.Name]}
			if element, found := known.Element(row.Element); found {
				row.ElementName = Text{element.NameVi, element.NameEn}
			}
			panel.Shape = append(panel.Shape, row)
		}
	}
	for i := range record.Evidence {
		if record.Evidence[i].Dataset == v.ID.Name {
			panel.Evidence = append(panel.Evidence, c.evidenceRow(r, &record.Evidence[i]))
		}
	}
	if lineage != nil {
		panel.Lineage, panel.Gets = lineage.rows, lineage.consumers
	}
	return panel, nil
}

// datasetFacts is what the owner declares of a dataset: facts, and what is simply so.
func (c *Console) datasetFacts(r *http.Request, panel *datasetPanel) error {
	text, err := json.Marshal(panel.Declared)
	if err != nil {
		return err
	}
	content := map[string]any{}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&content); err != nil {
		return err
	}
	choices := c.entryChoices(r)
	for _, section := range entrySections() {
		for _, group := range section.groups {
			if group.name != "datasets" {
				continue
			}
			for i := range group.fields {
				f := &group.fields[i]
				if f.name == "name" || f.name == "title_vi" || f.name == "title_en" {
					continue
				}
				value, there := c.factValue(r, f, f.write(at(content, f.name)), choices)
				switch {
				case !there:
				case f.kind == checkField:
					panel.Flags = append(panel.Flags, f.label)
				default:
					panel.Facts = append(panel.Facts, fact{f.label, value})
				}
			}
		}
	}
	return nil
}

// datasetLineage is the way of the values of one dataset.
type datasetLineage struct {
	rows      []lineageRow
	consumers []consumerRow
}

// lineageOf takes the graph of a database apart by its datasets: a row for each field, then
// the columns that go nowhere.
func lineageOf(g *catalog.Graph) map[lienthong.DatasetID]*datasetLineage {
	lineages := map[lienthong.DatasetID]*datasetLineage{}
	of := func(id lienthong.DatasetID) *datasetLineage {
		if lineages[id] == nil {
			lineages[id] = &datasetLineage{}
		}
		return lineages[id]
	}
	into, leaves := map[string][]string{}, map[string]bool{}
	for _, e := range g.Edges {
		into[e.To] = append(into[e.To], e.From)
		leaves[e.From] = true
	}
	for _, n := range g.Nodes {
		switch n.Kind {
		case catalog.FieldNode:
			of(n.Dataset).rows = append(of(n.Dataset).rows, fieldRow(g, &n, into))
		case catalog.ColumnNode:
			if !leaves[n.ID] {
				lineage := of(n.Dataset)
				lineage.rows = append(lineage.rows, lineageRow{Columns: []lineageColumn{columnOf(&n)}})
			}
		case catalog.ConsumerNode:
			row := consumerRow{Name: textOf(n.Label), Dataset: n.Dataset}
			for _, e := range g.Edges {
				if e.To == n.ID {
					row.Fields = e.Fields
				}
			}
			of(n.Dataset).consumers = append(of(n.Dataset).consumers, row)
		case catalog.StepNode, catalog.ElementNode, catalog.DatasetNode:
		}
	}
	for _, lineage := range lineages {
		slices.SortStableFunc(lineage.rows, func(a, b lineageRow) int {
			return cmp.Or(cmp.Compare(strconv.FormatBool(a.Field == ""), strconv.FormatBool(b.Field == "")), strings.Compare(a.Field, b.Field))
		})
	}
	return lineages
}

func fieldRow(g *catalog.Graph, field *catalog.Node, into map[string][]string) lineageRow {
	row := lineageRow{Field: field.Name}
	for _, e := range g.Edges {
		if e.From == field.ID && e.Means {
			element, _ := g.Node(e.To)
			row.Element, row.ElementName = element.Name, textOf(element.Label)
		}
	}
	from := into[field.ID]
	for _, id := range from {
		n, _ := g.Node(id)
		if n.Kind == catalog.StepNode {
			row.Steps = n.Name
			from = append(slices.Clone(from), into[id]...)
		}
	}
	for _, id := range from {
		if n, _ := g.Node(id); n.Kind == catalog.ColumnNode {
			row.Columns = append(row.Columns, columnOf(&n))
		}
	}
	return row
}

func columnOf(n *catalog.Node) lineageColumn {
	return lineageColumn{Name: n.Name, Type: strings.TrimSpace(strings.TrimPrefix(n.Label.Vi, n.Name)), Missing: n.Missing, Unused: n.Unused}
}

// attestEntry is the owner's word that the entry still holds.
func (c *Console) attestEntry(w http.ResponseWriter, r *http.Request, user User) {
	code := r.PathValue("code")
	c.afterEntry(w, r, user, entryPath(code), c.config.Workplace.Register.Attest(r.Context(), user.person(), code, r.PostForm.Get("note")))
}

// confirmShape writes the live shape of a dataset into a draft; the person then submits it.
func (c *Console) confirmShape(w http.ResponseWriter, r *http.Request, user User) {
	code := r.PathValue("code")
	record, err := c.config.Workplace.Register.Load(r.Context(), code)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	if !c.mayWriteEntry(user, &record) {
		c.failWith(w, r, foreignEntry(code))
		return
	}
	_, err = c.config.Workplace.Register.ConfirmShape(r.Context(), c.config.Workplace.Desk, user.person(),
		lienthong.DatasetID{Database: code, Name: r.PostForm.Get("dataset")}, strings.TrimSpace(r.PostForm.Get("note")))
	c.afterEntry(w, r, user, "/item/"+catalog.Kind+"/"+url.PathEscape(code), err)
}

// afterEntry goes on, or shows the entry with the reason why not.
func (c *Console) afterEntry(w http.ResponseWriter, r *http.Request, user User, path string, err error) {
	var refused *lienthong.Error
	switch {
	case err == nil:
		back(w, r, path)
	case lienthong.ErrorCode(err) == "catalog.unknown" || lienthong.ErrorCode(err) == "catalog.attest":
		c.failWith(w, r, err)
	case errors.As(err, &refused):
		c.showEntry(w, r, user, refusalStatus(refused), refused)
	default:
		c.failWith(w, r, err)
	}
}

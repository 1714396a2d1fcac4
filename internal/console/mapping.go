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
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/stewardship"
)

// mappingArea is where stewards say which element of the dictionary a column of a source stands for.
func mappingArea() area {
	return area{
		name: "mapping", path: "/mapping", shown: (*Console).hasMappings,
		routes: func(c *Console, pages *http.ServeMux) {
			pages.Handle("GET /mapping", c.member(c.mappings))
			pages.Handle("GET /mapping/{dataset}", c.member(c.mapping))
			pages.Handle("POST /mapping/{dataset}", c.form(c.member(c.saveMapping).ServeHTTP))
		},
		texts: mappingTexts,
	}
}

// hasMappings tells that mappings are administered here and that there is somebody who sees columns.
func (c *Console) hasMappings() bool {
	place := c.config.Workplace
	return place.Desk != nil && place.Register != nil && place.Dictionary != nil &&
		slices.ContainsFunc(place.Desk.Kinds(), func(k stewardship.Kind) bool { return k.Name == stewardship.MappingKindName })
}

type mappingsView struct {
	chrome
	Datasets []mappingRow
}

// mappingRow is a dataset that a connector sees.
type mappingRow struct {
	ID                         string
	Name, Owner, StateWord     Text
	Table, State               string
	Total, Mapped, Proposed    int
	Unmapped                   int
	MappedPercent, WithPercent int
}

func (c *Console) mappings(w http.ResponseWriter, r *http.Request, user User) {
	records, err := c.config.Workplace.Register.List(r.Context(), catalog.Filter{}, catalog.ByCode, false)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view := mappingsView{chrome: c.chromeOf(w, r, user, "mapping", "mapping-list", c.say(r, "mapping.title"))}
	for _, rec := range records {
		for i := range rec.Views {
			if rec.Views[i].Seen == nil {
				continue
			}
			work, err := c.mappingWork(r, &rec.Views[i])
			if err != nil {
				c.failWith(w, r, err)
				return
			}
			row := mappingRow{
				ID: rec.Views[i].ID.String(), Name: Text{Vi: work.Draft.TitleVi, En: cmp.Or(work.Draft.TitleEn, work.Draft.TitleVi)},
				Owner: c.memberName(rec.Owner), Table: work.Draft.Table, Total: len(work.Draft.Columns),
			}
			row.Mapped, row.Proposed, row.Unmapped = work.counts()
			row.MappedPercent, row.WithPercent = 100*row.Mapped/max(row.Total, 1), 100*(row.Mapped+row.Proposed)/max(row.Total, 1)
			if work.Item != nil {
				row.State, row.StateWord = string(work.Item.State), textOf(work.Item.State.Word())
			}
			view.Datasets = append(view.Datasets, row)
		}
	}
	c.write(w, r, http.StatusOK, &view)
}

// mappingWork is everything that is known about the mapping of one dataset.
type mappingWork struct {
	Draft     *dictionary.MappingDraft
	Proposals []dictionary.Proposal // one for each column of the draft
	Item      *stewardship.Item     // nil: nobody has worked on it here
}

// counts tells how many columns are mapped, have a proposal that waits, and have neither.
func (m *mappingWork) counts() (mapped, proposed, unmapped int) {
	for i := range m.Draft.Columns {
		switch column := &m.Draft.Columns[i]; {
		case column.Element == "":
			unmapped++
		case column.Confirmed:
			mapped++
		default:
			proposed++
		}
	}
	return mapped, proposed, unmapped
}

// mappingWork puts together what people decided, what the definition says and what the dictionary proposes, for the
// columns that are there now.
func (c *Console) mappingWork(r *http.Request, seen *catalog.DatasetView) (*mappingWork, error) {
	work, definition := &mappingWork{}, seen.Definition
	var decided *dictionary.MappingDraft
	loaded, err := c.config.Workplace.Desk.Load(r.Context(), stewardship.MappingKindName, seen.ID.String())
	switch {
	case err == nil:
		work.Item = &loaded.Item
		body := loaded.InForce
		if loaded.State.Open() || body == nil {
			body = loaded.Body
		}
		if decided, err = stewardship.MappingContent(seen.ID.String(), body); err != nil {
			return nil, err
		}
		if decided.Definition != "" {
			if definition, err = dictionary.ParseDefinition(seen.ID.String(), []byte(decided.Definition)); err != nil {
				return nil, err
			}
		}
	case lienthong.ErrorCode(err) != "stewardship.unknown":
		return nil, err
	}
	columns := make([]dictionary.ColumnSample, len(seen.Seen.Columns))
	for i := range columns {
		columns[i].Column = seen.Seen.Columns[i]
	}
	work.Draft, work.Proposals, err = c.config.Workplace.Dictionary().ProposeMapping(seen.ID, seen.Seen.Table, columns, definition)
	if err != nil || decided == nil || len(decided.Columns) == 0 {
		return work, err
	}
	work.Draft.Key = decided.Key
	for i := range work.Draft.Columns {
		column := &work.Draft.Columns[i]
		at := slices.IndexFunc(decided.Columns, func(d dictionary.MappedColumn) bool { return d.Column == column.Column })
		if at < 0 {
			continue
		}
		was := &decided.Columns[at]
		column.Element, column.Kind, column.Transforms, column.Confirmed, column.Note = was.Element, was.Kind, was.Transforms, was.Confirmed, was.Note
	}
	return work, nil
}

type mappingView struct {
	chrome
	*mappingWork
	ID        string
	Name      Text
	StateWord Text
	Rows      []mappingColumn
	Elements  []elementRow
	Above     int
	CanWrite  bool
	Closed    bool // somebody else has to decide first
	HasYAML   bool
	Mapped    int
	Waiting   int
	Without   int
	Refused   *lienthong.Error
	Problems  []*lienthong.Error
	Note      string
}

// mappingColumn is one column with what could be meant.
type mappingColumn struct {
	dictionary.MappedColumn
	Number     int
	Key        bool
	Percent    int
	Colour     string
	Reason     Text
	Element    Text // the chosen one, as people call it
	Chosen     string
	Choices    []mappingChoice
	Transforms string
	KindWord   Text
}

type mappingChoice struct {
	ID      string
	Name    Text
	Percent int
	Chosen  bool
}

// seenDataset finds the dataset of the address.
func (c *Console) seenDataset(w http.ResponseWriter, r *http.Request, name string) (*catalog.DatasetView, bool) {
	id, err := lienthong.ParseDatasetID(name)
	if err != nil {
		c.notFound(w, r)
		return nil, false
	}
	record, err := c.config.Workplace.Register.Load(r.Context(), id.Database)
	if err != nil {
		c.failWith(w, r, err)
		return nil, false
	}
	at := slices.IndexFunc(record.Views, func(v catalog.DatasetView) bool { return v.ID == id && v.Seen != nil })
	if at < 0 {
		c.notFound(w, r)
		return nil, false
	}
	return &record.Views[at], true
}

func (c *Console) mapping(w http.ResponseWriter, r *http.Request, user User) {
	name, download := strings.CutSuffix(r.PathValue("dataset"), ".yaml")
	seen, found := c.seenDataset(w, r, name)
	if !found {
		return
	}
	if download {
		c.mappingFile(w, r, seen)
		return
	}
	work, err := c.mappingWork(r, seen)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	c.showMapping(w, r, user, http.StatusOK, &mappingView{mappingWork: work, ID: name})
}

// mappingFile is the definition in force as a node reads it.
func (c *Console) mappingFile(w http.ResponseWriter, r *http.Request, seen *catalog.DatasetView) {
	var text []byte
	loaded, err := c.config.Workplace.Desk.Load(r.Context(), stewardship.MappingKindName, seen.ID.String())
	switch {
	case err == nil && loaded.InForce != nil:
		var draft *dictionary.MappingDraft
		if draft, err = stewardship.MappingContent(seen.ID.String(), loaded.InForce); err == nil {
			if len(draft.Columns) > 0 {
				_, err = draft.Render(c.config.Workplace.Dictionary())
			}
			text = []byte(draft.Definition)
		}
	case err != nil && lienthong.ErrorCode(err) != "stewardship.unknown":
	case seen.Definition != nil:
		text, err = seen.Definition.YAML()
	default:
		c.notFound(w, r)
		return
	}
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+seen.ID.String()+`.yaml"`)
	_, _ = w.Write(text)
}

// aboveByDefault is the confidence from which the page offers to confirm proposals together.
const aboveByDefault = 95

func (c *Console) showMapping(w http.ResponseWriter, r *http.Request, user User, status int, view *mappingView) {
	known, words := c.config.Workplace.Dictionary(), c.words(r)
	view.Name = Text{Vi: view.Draft.TitleVi, En: cmp.Or(view.Draft.TitleEn, view.Draft.TitleVi)}
	view.chrome = c.chromeOf(w, r, user, "mapping", "mapping", words.text(view.Name))
	view.Above = cmp.Or(view.Above, aboveByDefault)
	view.CanWrite = user.Has(string(stewardship.Owner), string(stewardship.Steward), string(stewardship.Engineer))
	view.HasYAML = view.Draft.Definition != "" && (view.Item == nil || view.Item.InForce != nil)
	if view.Item != nil {
		view.StateWord = textOf(view.Item.State.Word())
		view.Closed = view.Item.State.Open() && view.Item.State != stewardship.Draft
	}
	view.Mapped, view.Waiting, view.Without = view.counts()
	nameOf := func(id string) Text {
		if element, found := known.Element(id); found {
			return Text{element.NameVi, element.NameEn}
		}
		return Text{id, id}
	}
	for i := range view.Draft.Columns {
		column, proposal := view.Draft.Columns[i], view.Proposals[i]
		vi, en := column.Kind.Words()
		row := mappingColumn{
			MappedColumn: column, Number: i, Key: slices.Contains(view.Draft.Key, column.Column), Percent: int(100 * proposal.Confidence),
			Reason: Text{proposal.ReasonVi, proposal.ReasonEn}, Element: nameOf(column.Element), Chosen: column.Element,
			Transforms: strings.Join(column.Transforms, ", "), KindWord: Text{vi, en},
		}
		switch {
		case row.Percent >= aboveByDefault:
			row.Colour = "green"
		case row.Percent >= 60:
			row.Colour = "yellow"
		}
		if proposal.Element != "" {
			row.Choices = append(row.Choices, mappingChoice{proposal.Element, nameOf(proposal.Element), row.Percent, proposal.Element == column.Element})
		}
		for _, candidate := range proposal.Candidates {
			row.Choices = append(row.Choices, mappingChoice{candidate.Element, nameOf(candidate.Element), int(100 * candidate.Confidence), candidate.Element == column.Element})
		}
		if column.Element != "" && !slices.ContainsFunc(row.Choices, func(o mappingChoice) bool { return o.Chosen }) {
			row.Choices = append([]mappingChoice{{column.Element, nameOf(column.Element), 0, true}}, row.Choices...)
		}
		view.Rows = append(view.Rows, row)
	}
	if view.CanWrite && !view.Closed {
		for i := range known.Elements() {
			e := &known.Elements()[i]
			view.Elements = append(view.Elements, elementRow{Element: *e, Name: Text{e.NameVi, e.NameEn}})
		}
	}
	c.write(w, r, status, view)
}

// saveMapping keeps what a person decided; "confirm" also confirms what is likely enough, and "submit" proposes it.
func (c *Console) saveMapping(w http.ResponseWriter, r *http.Request, user User) {
	name := r.PathValue("dataset")
	seen, found := c.seenDataset(w, r, name)
	if !found {
		return
	}
	work, err := c.mappingWork(r, seen)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view := &mappingView{mappingWork: work, ID: name, Note: strings.TrimSpace(r.PostForm.Get("note"))}
	view.Above, _ = strconv.Atoi(r.PostForm.Get("above"))
	view.decide(r.PostForm)
	action := r.PostForm.Get("do")
	if action == "confirm" {
		view.confirmAbove()
	}
	// A draft that does not compile yet is kept too: the page and the desk say what is missing.
	if _, err := work.Draft.Render(c.config.Workplace.Dictionary()); err != nil {
		view.Problems = coded(err)
	}
	body, err := json.Marshal(work.Draft)
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	desk, person := c.config.Workplace.Desk, user.person()
	proposal := stewardship.Proposal{Kind: stewardship.MappingKindName, ID: name, Note: view.Note, Body: body}
	proposal.Revision, _ = strconv.ParseInt(r.PostForm.Get("revision"), 10, 64)
	item, err := desk.Save(r.Context(), person, proposal)
	if err == nil {
		work.Item = &item
		if action == "submit" {
			_, err = desk.Submit(r.Context(), person, stewardship.Order{Kind: item.Kind, ID: item.ID, Revision: item.Revision, Note: view.Note})
		}
	}
	switch {
	case err == nil && action == "submit":
		back(w, r, "/item/"+stewardship.MappingKindName+"/"+url.PathEscape(name))
	case err == nil && len(view.Problems) == 0:
		back(w, r, "/mapping/"+url.PathEscape(name))
	case err == nil:
		c.showMapping(w, r, user, http.StatusOK, view)
	case errors.As(err, &view.Refused):
		if view.Refused.Code == "stewardship.incomplete" {
			view.Problems = coded(view.Refused.Err)
		}
		c.showMapping(w, r, user, refusalStatus(view.Refused), view)
	default:
		c.failWith(w, r, err)
	}
}

// decide takes what the person chose. A column that the form does not name stays as it is.
func (v *mappingView) decide(form url.Values) {
	v.Draft.Key = form["key"]
	for i, name := range form["column"] {
		at := slices.IndexFunc(v.Draft.Columns, func(c dictionary.MappedColumn) bool { return c.Column == name })
		if at < 0 || v.Draft.Columns[at].Joined {
			continue
		}
		column, proposal := &v.Draft.Columns[at], &v.Proposals[at]
		of := func(field string) string {
			if values := form[field]; i < len(values) {
				return strings.TrimSpace(values[i])
			}
			return ""
		}
		element := cmp.Or(of("other"), of("choice"))
		changed := element != column.Element
		column.Element, column.Note = element, of("remark")
		column.Confirmed = slices.Contains(form["confirmed"], name)
		column.Transforms = nil
		for text := range strings.SplitSeq(of("transforms"), ",") {
			if text = strings.TrimSpace(text); text != "" {
				column.Transforms = append(column.Transforms, text)
			}
		}
		switch {
		case element == "":
			column.Kind, column.Transforms = dictionary.NoMapping, nil
		case changed && element == proposal.Element:
			column.Kind, column.Transforms = proposal.Kind, proposal.Transforms
		case changed:
			column.Kind = dictionary.ExactMapping
		}
	}
}

// confirmAbove confirms the proposals that are at least as likely as the person asked.
func (v *mappingView) confirmAbove() {
	above := cmp.Or(v.Above, aboveByDefault)
	for i := range v.Draft.Columns {
		column, proposal := &v.Draft.Columns[i], &v.Proposals[i]
		if column.Element != "" && column.Element == proposal.Element && int(100*proposal.Confidence) >= above {
			column.Confirmed = true
		}
	}
}

// coded lists all coded errors that were joined.
func coded(err error) []*lienthong.Error {
	if many, joined := err.(interface{ Unwrap() []error }); joined {
		var list []*lienthong.Error
		for _, one := range many.Unwrap() {
			list = append(list, coded(one)...)
		}
		return list
	}
	var one *lienthong.Error
	if errors.As(err, &one) {
		return []*lienthong.Error{one}
	}
	return nil
}

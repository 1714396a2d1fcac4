package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/publish"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/stewardship"
	"github.com/lienthong/lienthong/internal/store"
)

// ImportedElements is what became of a file of proposals.
type ImportedElements struct {
	Drafted   []string          `json:"drafted"`   // a draft was begun or changed
	Unchanged []string          `json:"unchanged"` // as in force
	Problems  []ImportedProblem `json:"problems"`
	Refused   []ImportedProblem `json:"refused"` // by the workflow: somebody else works on it, the role does not allow it
}

// ImportedProblem is what is wrong with a row.
type ImportedProblem struct {
	Row    int    `json:"row,omitempty"`
	Column string `json:"column,omitempty"`
	ID     string `json:"id,omitempty"`
	Code   string `json:"code"`
	Vi     string `json:"vi"`
	En     string `json:"en"`
	Hint   string `json:"hint,omitempty"`
}

func problemOf(err *lienthong.Error) ImportedProblem {
	return ImportedProblem{Code: err.Code, Vi: err.Vi, En: err.En, Hint: err.Hint}
}

// ImportElements makes drafts of the elements of a file, as an account of a hub that may be running. A row that
// is wrong is told and stops no other; nothing is proposed until somebody submits it.
func ImportElements(ctx context.Context, config *HubConfig, account, name string, r io.Reader) (ImportedElements, error) {
	return beside(ctx, config, func(h *Hub) (ImportedElements, error) {
		by, found := h.account(ctx, account)
		if !found {
			return ImportedElements{}, unknownAccount(account)
		}
		editions := stewardship.NewEditions(h.words, nil)
		desk, err := stewardship.New(stewardship.Config{Documents: h.store, Kinds: editions.Kinds(), Now: h.now})
		if err != nil {
			return ImportedElements{}, err
		}
		if _, err := editions.Load(ctx, desk); err != nil {
			return ImportedElements{}, err
		}
		person := stewardship.Person{Name: by.Name, Member: by.Member, Roles: by.Roles}
		return importElements(ctx, desk, editions, person, name, r)
	})
}

func importElements(ctx context.Context, desk *stewardship.Desk, editions *stewardship.Editions, by stewardship.Person, name string, r io.Reader) (ImportedElements, error) {
	var report ImportedElements
	elements, problems := publish.ImportElements(name, r)
	for _, p := range problems {
		one := problemOf(p.Err)
		one.Row, one.Column = p.Row, p.Column
		report.Problems = append(report.Problems, one)
	}
	for i := range elements {
		element := &elements[i]
		body, err := json.Marshal(*element)
		if err != nil {
			return report, err
		}
		if same, err := inForce(editions, element); err != nil {
			return report, err
		} else if same {
			report.Unchanged = append(report.Unchanged, element.ID)
			continue
		}
		err = draftElement(ctx, desk, by, stewardship.Proposal{Kind: stewardship.ElementKind, ID: element.ID, Note: name, Body: body})
		var refused *lienthong.Error
		switch {
		case err == nil:
			report.Drafted = append(report.Drafted, element.ID)
		case errors.As(err, &refused):
			one := problemOf(refused)
			one.ID = element.ID
			report.Refused = append(report.Refused, one)
		default:
			return report, err
		}
	}
	return report, nil
}

// inForce reports whether the element changes nothing.
func inForce(editions *stewardship.Editions, element *dictionary.Element) (bool, error) {
	current := editions.Current()
	if _, found := current.Element(element.ID); !found {
		return false, nil
	}
	_, differences, err := current.With(dictionary.ElementChange{Element: element})
	if err != nil {
		return false, nil //nolint:nilerr // what is wrong with it is listed beside the draft
	}
	return len(differences) == 0, nil
}

func draftElement(ctx context.Context, desk *stewardship.Desk, by stewardship.Person, p stewardship.Proposal) error {
	loaded, err := desk.Load(ctx, p.Kind, p.ID)
	if err == nil {
		p.Revision = loaded.Revision
		if loaded.State == stewardship.Draft && bytes.Equal(loaded.Body, p.Body) {
			return nil
		}
	}
	_, err = desk.Save(ctx, by, p)
	return err
}

// WriteDictionary writes the dictionary inside the program in one of the public formats, by the ending of its path.
func WriteDictionary(w io.Writer, format string) error {
	words, err := dictionary.Builtin()
	if err != nil {
		return err
	}
	e, err := publish.New(publish.Config{Base: exampleBase, Dictionary: words})
	if err != nil {
		return err
	}
	var known []string
	for _, f := range publish.Formats() {
		ending, found := strings.CutPrefix(f.Path, "/dictionary.")
		if !found {
			continue
		}
		if known = append(known, ending); ending == format {
			return f.Write(e, w, &publish.Subject{})
		}
	}
	return &lienthong.Error{
		Code: "dictionary.format", Where: format, Vi: "không có dạng này", En: "there is no such format", Hint: strings.Join(known, ", "),
	}
}

// ImportedContract is what a data contract became: definitions to go on with, and what they do not say.
type ImportedContract struct {
	Definitions   []ImportedDefinition `json:"definitions"`
	NotUnderstood []ImportedProblem    `json:"not_understood"`
}

// ImportedDefinition is one object of the contract's schema.
type ImportedDefinition struct {
	Dataset  string            `json:"dataset"`
	YAML     string            `json:"yaml"`
	Problems []ImportedProblem `json:"problems"`
}

// ReadContract reads a data contract of the Open Data Contract Standard, version 3.
func ReadContract(name string, data []byte) (ImportedContract, error) {
	var report ImportedContract
	words, err := dictionary.Builtin()
	if err != nil {
		return report, err
	}
	e, err := publish.New(publish.Config{Base: exampleBase, Dictionary: words})
	if err != nil {
		return report, err
	}
	contract, err := e.ReadContract(name, data)
	if err != nil {
		return report, err
	}
	for _, draft := range contract.Drafts {
		one := ImportedDefinition{YAML: string(draft.YAML)}
		if draft.Definition != nil {
			one.Dataset = draft.Definition.Dataset.String()
		}
		for _, p := range draft.Problems {
			one.Problems = append(one.Problems, placed(p))
		}
		report.Definitions = append(report.Definitions, one)
	}
	for _, p := range contract.NotUnderstood {
		report.NotUnderstood = append(report.NotUnderstood, placed(p))
	}
	return report, nil
}

func placed(err *lienthong.Error) ImportedProblem {
	one := problemOf(err)
	one.Column = err.Where
	return one
}

// exampleBase stands in identifiers where no hub publishes them.
const exampleBase = "https://dulieu.example.gov.vn"

// RecheckReport is a full check of what has landed, and how it differs from the figures that grow with every change.
type RecheckReport struct {
	store.Recheck
	Differences []store.RecheckDifference `json:"differences"`
}

// recheckCommand counts all rules of a dataset anew over the landed records.
func (h *Hub) recheckCommand() {
	h.local.handle("GET /recheck", func(ctx context.Context, r *http.Request) (any, error) {
		return h.workplace.recheck(ctx, r.URL.Query().Get("dataset"))
	})
}

func (w *workplace) recheck(ctx context.Context, name string) (RecheckReport, error) {
	_, dataset, err := w.datasetSubject(name)
	if err != nil {
		return RecheckReport{}, err
	}
	result, err := w.hub.store.Recheck(ctx, dataset.Shape.Dataset, dataset.Rules, store.RecheckConfig{Lists: quality.DictionaryLists(w.hub.words)})
	if err != nil {
		return RecheckReport{}, err
	}
	report := RecheckReport{Recheck: result}
	m := w.hub.monitor
	m.mu.Lock()
	counters := m.counters(dataset.Shape.Dataset.Database, m.now())
	m.mu.Unlock()
	var merged *quality.Counters
	for i := range counters {
		switch {
		case counters[i].Dataset != dataset.Shape.Dataset:
		case merged == nil:
			merged = &counters[i]
		default:
			merged.Merge(&counters[i])
		}
	}
	if merged != nil {
		report.Differences = result.Compare(merged)
	}
	return report, nil
}

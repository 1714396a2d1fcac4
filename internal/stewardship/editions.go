package stewardship

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// The kinds of items that make the dictionary.
const (
	ElementKind  = "element"
	CodeListKind = "code_list"
)

// Editions keeps the dictionary in force: the edition that travels inside the program, with what
// a Desk has published since, in the order in which it was published. It is made of the releases
// alone, so that it is the same after every start.
type Editions struct {
	definitions func() []*dictionary.Definition
	current     atomic.Pointer[dictionary.Dictionary]
	publishing  sync.Mutex
}

// NewEditions begins with an edition. Definitions tell who uses an element; they may be nil.
func NewEditions(base *dictionary.Dictionary, definitions func() []*dictionary.Definition) *Editions {
	if definitions == nil {
		definitions = func() []*dictionary.Definition { return nil }
	}
	e := &Editions{definitions: definitions}
	e.current.Store(base)
	return e
}

// Current is the edition in force. It does not change; the next call may return another.
func (e *Editions) Current() *dictionary.Dictionary { return e.current.Load() }

// Load takes up what a desk has published before. It is called once, before anybody works. What
// does not fit the edition any more, because the program came with a newer one, is left out and
// returned: somebody must look at it.
func (e *Editions) Load(ctx context.Context, desk *Desk) (unfit []error, err error) {
	var all []Released
	for _, kind := range e.Kinds() {
		releases, err := desk.Releases(ctx, kind.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, releases...)
	}
	slices.SortStableFunc(all, func(a, b Released) int { return cmp.Compare(a.At, b.At) })
	for _, r := range all {
		next, err := e.with(Subject{Kind: r.Kind, ID: r.ID, After: r.Body})
		if err != nil {
			unfit = append(unfit, fmt.Errorf("take up %s %s %s: %w", r.Kind, r.ID, r.Version, err))
			continue
		}
		e.current.Store(next)
	}
	return unfit, nil
}

// Kinds is how a desk treats elements and code lists.
func (e *Editions) Kinds() []Kind {
	return []Kind{
		{
			Name: ElementKind, Title: Word{Vi: "phần tử dữ liệu", En: "data element"}, Consult: true,
			Existing: e.existing, Validate: e.validate, Compare: e.compare, Impact: e.impact, Published: e.published,
		},
		{
			Name: CodeListKind, Title: Word{Vi: "danh mục mã", En: "code list"}, Consult: true,
			Existing: e.existing, Validate: e.validate, Compare: e.compare, Impact: e.impact, Published: e.published,
		},
	}
}

// Content is the entry of the edition in force with which somebody begins to write; nil when there
// is none yet.
func (e *Editions) Content(kind, id string) (json.RawMessage, error) {
	current := e.Current()
	if kind == CodeListKind {
		list, found := current.CodeList(id)
		if !found {
			return nil, nil
		}
		return json.Marshal(list)
	}
	element, found := current.Element(id)
	if !found {
		return nil, nil
	}
	return json.Marshal(*element)
}

// existing is what came with the program: it is published before anybody administered it, so that a proposal
// goes on from its version.
func (e *Editions) existing(id string) (json.RawMessage, Version, bool) {
	if element, found := e.Current().Element(id); found {
		body, err := e.Content(ElementKind, id)
		return body, Version{Major: element.Version.Major, Minor: element.Version.Minor}, err == nil
	}
	if _, found := e.Current().CodeList(id); found {
		body, err := e.Content(CodeListKind, id)
		return body, Version{Major: 1}, err == nil
	}
	return nil, Version{}, false
}

// change reads the content of an item as a change of the dictionary. Nil content removes it.
func change(kind, id string, content json.RawMessage) (dictionary.ElementChange, error) {
	switch {
	case content == nil:
		return dictionary.ElementChange{Remove: id}, nil
	case kind == CodeListKind:
		list := &dictionary.CodeList{}
		err := json.Unmarshal(content, list)
		return dictionary.ElementChange{CodeList: list}, err
	}
	element := &dictionary.Element{}
	err := json.Unmarshal(content, element)
	return dictionary.ElementChange{Element: element}, err
}

// with is the edition that a subject makes of the one in force.
func (e *Editions) with(s Subject) (*dictionary.Dictionary, error) {
	one, err := change(s.Kind, s.ID, s.After)
	if err != nil {
		return nil, err
	}
	next, _, err := e.Current().With(one)
	return next, err
}

func (e *Editions) validate(s Subject) []*lienthong.Error {
	one, err := change(s.Kind, s.ID, s.After)
	if err == nil {
		id := one.Remove
		switch {
		case one.Element != nil:
			id = one.Element.ID
		case one.CodeList != nil:
			id = one.CodeList.ID
		}
		if id != s.ID {
			return []*lienthong.Error{{
				Code: "element.id", Where: "id", Vi: "mã trong nội dung phải là " + s.ID, En: "the identifier in the content must be " + s.ID,
			}}
		}
		_, err = e.with(s)
	}
	return problemsOf(err)
}

// problemsOf takes joined errors apart.
func problemsOf(err error) []*lienthong.Error {
	if err == nil {
		return nil
	}
	var list []*lienthong.Error
	if joined, several := err.(interface{ Unwrap() []error }); several {
		for _, one := range joined.Unwrap() {
			list = append(list, problemsOf(one)...)
		}
		return list
	}
	var coded *lienthong.Error
	if errors.As(err, &coded) {
		return []*lienthong.Error{coded}
	}
	return []*lienthong.Error{{Code: "element.content", Where: "JSON", Vi: "không đọc được nội dung", En: "the content cannot be read", Err: err}}
}

func (e *Editions) compare(s Subject) []Change {
	next, err := e.with(s)
	if err != nil {
		return CompareJSON(s.Before, s.After) // a draft that does not fit yet
	}
	var changes []Change
	for _, d := range dictionary.Diff(e.Current(), next) {
		if d.Element == s.ID || d.CodeList == s.ID {
			changes = append(changes, Change{Where: d.Attribute, Before: d.Before, After: d.After, Breaking: d.Breaking, Vi: d.Vi, En: d.En})
		}
	}
	return changes
}

func (e *Editions) impact(_ context.Context, s Subject) (Impact, error) {
	current := e.Current()
	breaking := slices.ContainsFunc(e.compare(s), func(c Change) bool { return c.Breaking })
	impact := Impact{}
	for _, use := range current.Uses(e.definitions())[s.ID] {
		one := Use{
			Dataset: use.Dataset, Database: use.Dataset.Database, Field: use.Field, Columns: use.Columns, Breaking: breaking,
			Vi: use.TitleVi, En: use.TitleEn,
		}
		if database, found := current.Database(use.Dataset.Database); found {
			one.Owner = database.Owner
		}
		impact.Uses = append(impact.Uses, one)
		impact.Breaking = impact.Breaking || breaking
	}
	return impact, nil
}

func (e *Editions) published(_ context.Context, s Subject, _ Version) error {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	next, err := e.with(s)
	if err != nil {
		return err
	}
	e.current.Store(next)
	return nil
}

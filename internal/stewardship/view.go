package stewardship

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lienthong/lienthong"
)

// View is an item with everything that is worked out anew each time somebody looks.
type View struct {
	Item
	Problems []*lienthong.Error // what is missing or wrong in the version that people work on
	Changes  []Change           // against the version in force
	Impact   Impact
}

// Load shows an item.
func (d *Desk) Load(ctx context.Context, kind, id string) (View, error) {
	k, err := d.kind(kind)
	if err != nil {
		return View{}, err
	}
	item, err := d.load(ctx, kind, id)
	if err != nil {
		return View{}, err
	}
	v := View{Item: item}
	s := item.subject()
	if item.State.Open() {
		v.Problems, v.Changes = k.validate(s), k.compare(s)
	}
	v.Impact, err = k.impact(ctx, s)
	return v, err
}

// Offer is a step that the state allows, and whether this person may take it.
type Offer struct {
	Transition
	Refused *lienthong.Error // nil: the person may
}

// Offers lists the steps for buttons, in the order of the life cycle.
func (i *Item) Offers(by Person) []Offer {
	var offers []Offer
	for _, t := range Transitions() {
		if t.From != i.State || len(t.Roles) == 0 {
			continue
		}
		o := Offer{Transition: t}
		_, err := allowed(i, by, t.Action, "…")
		if err != nil && !errors.As(err, &o.Refused) {
			continue
		}
		offers = append(offers, o)
	}
	return offers
}

// Filter limits a list. Empty members do not limit.
type Filter struct {
	Kind    string // empty: all kinds
	State   State
	Member  lienthong.MemberCode // that proposes
	Author  string
	Waiting *Person // only what waits for a step of this person, editing and publishing anew left out
	InForce bool    // only what has a version in force
}

// List shows items, the latest step first.
func (d *Desk) List(ctx context.Context, f Filter) ([]Item, error) {
	if f.Kind != "" {
		if _, err := d.kind(f.Kind); err != nil {
			return nil, err
		}
	}
	var items []Item
	for _, k := range d.config.Kinds {
		if f.Kind != "" && k.Name != f.Kind {
			continue
		}
		docs, err := d.config.Documents.Documents(ctx, k.Name, string(f.State))
		if err != nil {
			return nil, fmt.Errorf("list items of kind %s: %w", k.Name, err)
		}
		for _, doc := range docs {
			item, err := ItemOf(doc)
			if err != nil {
				return nil, err
			}
			if f.fits(&item) {
				items = append(items, item)
			}
		}
	}
	slices.SortStableFunc(items, func(a, b Item) int { return cmp.Compare(b.At, a.At) })
	return items, nil
}

func (f *Filter) fits(i *Item) bool {
	switch {
	case f.Member != "" && i.Member != f.Member,
		f.Author != "" && !i.WrittenBy(f.Author),
		f.InForce && i.InForce == nil,
		f.Waiting != nil && !i.waitsFor(*f.Waiting):
		return false
	}
	return true
}

// waitsFor tells that the person's step brings the item on. Withdrawing is always possible and never waited for.
func (i *Item) waitsFor(by Person) bool {
	return i.State.Open() && slices.ContainsFunc(i.Offers(by), func(o Offer) bool {
		return o.Refused == nil && o.Action != ToWithdraw && o.Action != ToEdit && (i.State != Approved || o.Action != ToReturn)
	})
}

// Step is one revision in the history of an item.
type Step struct {
	Revision int64
	At       int64
	Actor    string
	Role     Role
	Action   Action
	From     State
	To       State
	Version  Version
	Note     string
	Changes  []Change // of the content, against the revision before
}

// History lists all steps, oldest first.
func (d *Desk) History(ctx context.Context, kind, id string) ([]Step, error) {
	k, err := d.kind(kind)
	if err != nil {
		return nil, err
	}
	docs, err := d.config.Documents.DocumentHistory(ctx, kind, id)
	if err != nil {
		return nil, fmt.Errorf("load the history of %s %s: %w", kind, id, err)
	}
	steps := make([]Step, 0, len(docs))
	var before Item
	for _, doc := range docs {
		item, err := ItemOf(doc)
		if err != nil {
			return nil, err
		}
		s := Step{
			Revision: item.Revision, At: item.At, Actor: item.Actor, Role: item.Role, Action: item.Action,
			From: before.State, To: item.State, Version: item.Version, Note: item.Note,
		}
		if item.Action == ToDraft || item.Action == ToEdit {
			s.Changes = k.compare(Subject{Kind: kind, ID: id, Before: before.Body, After: item.Body})
		}
		steps = append(steps, s)
		before = item
	}
	return steps, nil
}

// Released is one publication, or the end of one.
type Released struct {
	Kind    string
	ID      string
	Version Version
	At      int64
	Body    json.RawMessage // nil: the item was retired
}

// Releases lists everything that was ever published or retired of a kind, oldest first: whoever takes it in this
// order arrives at what is in force, with the same version numbers.
func (d *Desk) Releases(ctx context.Context, kind string) ([]Released, error) {
	items, err := d.List(ctx, Filter{Kind: kind})
	if err != nil {
		return nil, err
	}
	var list []Released
	for _, item := range items {
		if len(item.Releases) == 0 {
			continue
		}
		docs, err := d.config.Documents.DocumentHistory(ctx, item.Kind, item.ID)
		if err != nil {
			return nil, fmt.Errorf("load the history of %s %s: %w", item.Kind, item.ID, err)
		}
		for _, doc := range docs {
			then, err := ItemOf(doc)
			if err != nil {
				return nil, err
			}
			if then.Action == ToPublish || then.Action == ToRetire {
				list = append(list, Released{Kind: then.Kind, ID: then.ID, Version: then.Version, At: then.At, Body: then.InForce})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Released) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

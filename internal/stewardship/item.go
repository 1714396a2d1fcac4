package stewardship

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lienthong/lienthong"
)

// Account is who did something.
type Account struct {
	Name   string               `json:"name"`
	Member lienthong.MemberCode `json:"member,omitempty"`
	Role   Role                 `json:"role,omitempty"` // in which it was done
}

// Item is one administered thing: the version in force and the one that people work on.
type Item struct {
	// Of the document.
	Kind     string `json:"-"`
	ID       string `json:"-"`
	Revision int64  `json:"-"`
	State    State  `json:"-"` // of the version that people work on, or worked on last
	Actor    string `json:"-"` // who made this revision
	Note     string `json:"-"` // why
	At       int64  `json:"-"`

	Action     Action               `json:"action"` // what made this revision
	Role       Role                 `json:"role,omitempty"`
	Member     lienthong.MemberCode `json:"member"`  // who proposes
	Version    Version              `json:"version"` // that the content will have, or has
	Cycle      int                  `json:"cycle"`   // counts the drafts that were begun
	Major      bool                 `json:"major,omitempty"`
	Submission int                  `json:"submission,omitempty"` // how often this version was submitted
	Authors    []Account            `json:"authors"`              // everybody who wrote a part of this version
	ApprovedBy string               `json:"approved_by,omitempty"`
	Body       json.RawMessage      `json:"body"` // the version that people work on
	Comments   []Comment            `json:"comments,omitempty"`
	Rounds     []Round              `json:"rounds,omitempty"`

	InForce        json.RawMessage `json:"in_force,omitempty"` // the published version
	InForceVersion Version         `json:"in_force_version,omitzero"`
	Releases       []Release       `json:"releases,omitempty"` // oldest first
}

// Release returns the release that is in force.
func (i *Item) Release() (Release, bool) {
	for n := len(i.Releases) - 1; n >= 0; n-- {
		if i.Releases[n].State == Published {
			return i.Releases[n], true
		}
	}
	return Release{}, false
}

// WrittenBy tells whether the person wrote a part of the version.
func (i *Item) WrittenBy(name string) bool {
	return slices.ContainsFunc(i.Authors, func(a Account) bool { return sameName(a.Name, name) })
}

// OpenRequests are the comments that ask for a change and are not settled.
func (i *Item) OpenRequests() []Comment {
	var open []Comment
	for _, c := range i.Comments {
		if c.Change && c.ResolvedAt == 0 && c.Cycle == i.Cycle {
			open = append(open, c)
		}
	}
	return open
}

// Round returns the consultation of what was submitted last.
func (i *Item) Round() (Round, bool) {
	if n := len(i.Rounds); n > 0 && i.Rounds[n-1].Cycle == i.Cycle && i.Rounds[n-1].Submission == i.Submission {
		return i.Rounds[n-1], true
	}
	return Round{}, false
}

// subject is what the kind is asked about.
func (i *Item) subject() Subject {
	return Subject{Kind: i.Kind, ID: i.ID, Before: i.InForce, After: i.Body}
}

// document writes the item as the revision after its own.
func (i *Item) document() (lienthong.Document, error) {
	body, err := json.Marshal(i)
	if err != nil {
		return lienthong.Document{}, fmt.Errorf("write %s %s: %w", i.Kind, i.ID, err)
	}
	return lienthong.Document{
		Kind: i.Kind, ID: i.ID, Revision: i.Revision, State: string(i.State),
		Actor: i.Actor, Note: i.Note, At: i.At, Body: body,
	}, nil
}

// ItemOf reads an item from its document.
func ItemOf(d lienthong.Document) (Item, error) {
	var i Item
	if err := json.Unmarshal(d.Body, &i); err != nil {
		return Item{}, fmt.Errorf("read %s %s revision %d: %w", d.Kind, d.ID, d.Revision, err)
	}
	i.Kind, i.ID, i.Revision, i.State = d.Kind, d.ID, d.Revision, State(d.State)
	i.Actor, i.Note, i.At = d.Actor, d.Note, d.At
	return i, nil
}

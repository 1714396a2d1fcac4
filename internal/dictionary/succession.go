package dictionary

import (
	"cmp"
	"slices"
	"strings"
)

// SuccessionKind says what happened to a code.
type SuccessionKind string

// What can happen to a code.
const (
	Unchanged SuccessionKind = "unchanged" // it means what it meant
	Renamed   SuccessionKind = "renamed"   // the same thing under another name or code
	Merged    SuccessionKind = "merged"    // together with others it became one
	Split     SuccessionKind = "split"     // it became several: a person decides for each value
)

// SuccessionKinds lists them.
func SuccessionKinds() []SuccessionKind { return []SuccessionKind{Unchanged, Renamed, Merged, Split} }

// CodeLink says that what had the code From until an instant has the code To since.
type CodeLink struct {
	From    string
	To      string
	At      int64 // microseconds since 1970 UTC
	Kind    SuccessionKind
	Partial bool // only a part of it
	Sure    bool // the link itself is without doubt
	Note    string
}

// Succession is one code that another has become, or was made from.
type Succession struct {
	Code    string
	Name    string // in Vietnamese, of that time
	Kind    SuccessionKind
	Partial bool
	// Sure: there is no other successor and no doubt on the way, so that a value may be
	// re-coded by rule. Otherwise a person decides for each value.
	Sure bool
}

// setLinks puts the links in order and indexes them both ways.
func (l *CodeList) setLinks(links []CodeLink) {
	slices.SortStableFunc(links, func(a, b CodeLink) int {
		return cmp.Or(strings.Compare(a.From, b.From), cmp.Compare(a.At, b.At), strings.Compare(a.To, b.To))
	})
	l.links = links
	l.linksBack = make([]int32, len(links))
	for i := range l.linksBack {
		l.linksBack[i] = int32(i)
	}
	slices.SortStableFunc(l.linksBack, func(a, b int32) int {
		return cmp.Or(strings.Compare(links[a].To, links[b].To), cmp.Compare(links[a].At, links[b].At))
	})
}

// Links returns what is known of codes that became others, in order of the old code.
func (l *CodeList) Links() []CodeLink { return l.links }

// At returns the entries that are valid at the instant, in order of their codes.
func (l *CodeList) At(instant int64) []Code {
	var valid []Code
	for i := range l.codes {
		if l.codes[i].From <= instant && instant < l.codes[i].To {
			valid = append(valid, l.codes[i])
		}
	}
	return valid
}

// Successors says what the code that was valid at one instant has become at a later one,
// through all changes between. None: the list does not know, or the code was not valid.
func (l *CodeList) Successors(code string, from, to int64) []Succession {
	return l.follow(code, from, to, true)
}

// Predecessors says what the code that is valid at one instant was made from, as of an
// earlier one.
func (l *CodeList) Predecessors(code string, at, before int64) []Succession {
	return l.follow(code, at, before, false)
}

// follow walks the links from one instant to another, in either direction.
func (l *CodeList) follow(code string, from, to int64, forward bool) []Succession {
	if to != from && forward == (to < from) {
		return nil
	}
	to = min(to, forever-1) // the end of all time is no instant
	reached := map[string]*Succession{}
	type place struct {
		code string
		at   int64
		so   Succession
	}
	queue := []place{{code: code, at: from, so: Succession{Kind: Unchanged, Sure: true}}}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		entry, valid := l.Lookup(p.code, p.at)
		if !valid {
			continue
		}
		if entry.From <= to && to < entry.To {
			p.so.Code, p.so.Name = p.code, entry.NameVi
			if known, twice := reached[p.code]; twice { // by two ways: whole when one of them is
				known.Partial = known.Partial && p.so.Partial
				continue
			}
			reached[p.code] = &p.so
			continue
		}
		// The entry ends, or begins, between the instants: its links say what then.
		edge, next := entry.To, entry.To
		if !forward {
			edge, next = entry.From, entry.From-1
		}
		links := l.linksAt(p.code, edge, forward)
		for _, link := range links {
			target := link.To
			if !forward {
				target = link.From
			}
			so := Succession{Kind: heavier(p.so.Kind, link.Kind), Partial: p.so.Partial || link.Partial}
			so.Sure = p.so.Sure && link.Sure && !link.Partial && len(links) == 1 // two ways stay two, even when one ends
			queue = append(queue, place{target, next, so})
		}
	}
	found := make([]Succession, 0, len(reached))
	for _, so := range reached {
		found = append(found, *so)
	}
	if len(found) == 0 {
		return nil
	}
	slices.SortFunc(found, func(a, b Succession) int { return strings.Compare(a.Code, b.Code) })
	return found
}

// heavier is the kind of two changes one after the other.
func heavier(a, b SuccessionKind) SuccessionKind {
	kinds := SuccessionKinds()
	if slices.Index(kinds, a) > slices.Index(kinds, b) {
		return a
	}
	return b
}

// linksAt returns the links of a code at an instant.
func (l *CodeList) linksAt(code string, at int64, forward bool) []CodeLink {
	var found []CodeLink
	if forward {
		i, _ := slices.BinarySearchFunc(l.links, code, func(link CodeLink, code string) int { return strings.Compare(link.From, code) })
		for ; i < len(l.links) && l.links[i].From == code; i++ {
			if l.links[i].At == at {
				found = append(found, l.links[i])
			}
		}
		return found
	}
	i, _ := slices.BinarySearchFunc(l.linksBack, code, func(k int32, code string) int { return strings.Compare(l.links[k].To, code) })
	for ; i < len(l.linksBack) && l.links[l.linksBack[i]].To == code; i++ {
		if link := l.links[l.linksBack[i]]; link.At == at {
			found = append(found, link)
		}
	}
	return found
}

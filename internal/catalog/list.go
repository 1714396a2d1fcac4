package catalog

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

// Filter limits a list. Empty members do not limit.
type Filter struct {
	Class     lienthong.DatabaseClass
	Owner     lienthong.MemberCode // owner or manager
	Status    StatusGroup
	Domain    string
	Access    Access // some dataset has it
	Origin    Origin
	State     string // of the work: "draft"
	Stale     bool
	Drifting  bool
	Breaking  bool // a drift breaks something
	Connected bool
	Text      string // as in Search
}

// Order is how a list is sorted.
type Order string

// The orders. ByName is the default; a question in the filter is answered by rank when no order is given.
const (
	ByName         Order = "name"
	ByCode         Order = "code"
	ByOwner        Order = "owner"
	ByClass        Order = "class"
	ByStatus       Order = "status"
	ByCompleteness Order = "completeness" // the emptiest first
	ByConfirmed    Order = "confirmed"    // never or longest ago first
	ByDrift        Order = "drift"        // the most first
)

// Orders lists them.
func Orders() []Order {
	return []Order{ByName, ByCode, ByOwner, ByClass, ByStatus, ByCompleteness, ByConfirmed, ByDrift}
}

// List shows databases. The records belong to the register: callers do not change them.
func (r *Register) List(ctx context.Context, f Filter, order Order, descending bool) ([]*Record, error) {
	s, err := r.state(ctx)
	if err != nil {
		return nil, err
	}
	if order != "" && !slices.Contains(Orders(), order) {
		return nil, &lienthong.Error{Code: "catalog.order", Where: string(order), Vi: "không sắp xếp được theo tiêu chí này", En: "lists are not sorted by this"}
	}
	var list []*Record
	if strings.TrimSpace(f.Text) != "" {
		for _, h := range s.index.search(f.Text, 0) {
			list = append(list, h.Record)
		}
	} else {
		for i := range s.records {
			list = append(list, &s.records[i])
		}
		if order == "" {
			order = ByName
		}
	}
	list = slices.DeleteFunc(list, func(rec *Record) bool { return !f.fits(rec) })
	if order != "" {
		slices.SortStableFunc(list, order.compare())
	}
	if descending {
		slices.Reverse(list)
	}
	return list, nil
}

func (f *Filter) fits(r *Record) bool {
	switch {
	case f.Class != "" && r.Class != f.Class,
		f.Owner != "" && r.Owner != f.Owner && r.Manager != f.Owner,
		f.Status != "" && r.Status.Group != f.Status,
		f.Domain != "" && !slices.Contains(r.Domains, f.Domain),
		f.Access != "" && !slices.ContainsFunc(r.Datasets, func(d Dataset) bool { return d.Access == f.Access }),
		f.Origin != "" && r.Origin != f.Origin,
		f.State != "" && string(r.State) != f.State,
		f.Stale && !r.Stale,
		f.Drifting && len(r.Drift) == 0,
		f.Breaking && !r.Breaking(),
		f.Connected && !slices.ContainsFunc(r.Views, func(v DatasetView) bool { return v.Seen != nil }):
		return false
	}
	return true
}

// compare orders two records; equal ones stand by name.
func (o Order) compare() func(a, b *Record) int {
	byName := func(a, b *Record) int { return strings.Compare(a.sortKey, b.sortKey) }
	classes := []lienthong.DatabaseClass{lienthong.NationalDatabase, lienthong.SpecialisedDatabase, lienthong.PoliticalDatabase, lienthong.LocalDatabase}
	return func(a, b *Record) int {
		first := 0
		switch o {
		case ByName:
		case ByCode:
			first = strings.Compare(a.Code, b.Code)
		case ByOwner:
			first = strings.Compare(string(a.Owner), string(b.Owner))
		case ByClass:
			first = cmp.Compare(slices.Index(classes, a.Class), slices.Index(classes, b.Class))
		case ByStatus:
			first = cmp.Compare(rank(StatusGroups(), a.Status.Group), rank(StatusGroups(), b.Status.Group))
		case ByCompleteness:
			first = cmp.Compare(a.Completeness.Percent, b.Completeness.Percent)
		case ByConfirmed:
			first = cmp.Compare(a.ConfirmedAt, b.ConfirmedAt)
		case ByDrift:
			first = cmp.Compare(len(b.Drift), len(a.Drift))
		}
		return cmp.Or(first, byName(a, b))
	}
}

package console

import (
	"net/http"

	"github.com/lienthong/lienthong"
)

// MaxEvents is how many events the overview shows.
const MaxEvents = 14

// overviewParts are the parts of the overview that renew themselves, each a
// template "overview/…".
func overviewParts() []string {
	return []string{"clock", "verdict", "tiles", "map", "databases", "catalogue", "work", "events", "members"}
}

// overviewView is the overview, arranged.
type overviewView struct {
	chrome
	Overview
	Verdict   verdict
	Attention []attention
	Linked    []DatabaseRow // connected
	Shelves   []shelf       // the rest of the catalogue
	Shelved   int           // how many databases those are
	Tiles     []tile
	Blocs     []blocGroup
	Unplaced  []Province // provinces that the map does not know
	Connected int        // provinces
}

// blocGroup is the members of one bloc.
type blocGroup struct {
	Bloc      lienthong.Bloc
	Members   []Member
	Connected int
}

func (c *Console) overview(w http.ResponseWriter, r *http.Request, user User) {
	overview, err := c.config.Source.Overview(r.Context())
	if err != nil {
		c.failWith(w, r, err)
		return
	}
	view := newOverviewView(overview)
	view.chrome = c.chromeFor(w, r, &user)
	view.Page, view.Area = "overview", "overview"
	view.Stream = "/events?language=" + string(languageOf(r.Context()))
	c.write(w, r, http.StatusOK, view)
}

func newOverviewView(overview Overview) overviewView {
	if len(overview.Events) > MaxEvents {
		overview.Events = overview.Events[:MaxEvents]
	}
	view := overviewView{Overview: overview, Tiles: arrange(overview.Provinces)}
	var waiting []DatabaseRow
	for _, row := range overview.Databases {
		if row.State == NotConnected {
			waiting = append(waiting, row)
		} else {
			view.Linked = append(view.Linked, row)
		}
	}
	view.Shelves, view.Shelved = shelves(waiting), len(waiting)
	view.Verdict = judge(view.Linked, overview.Audit)
	view.Attention = whatNeedsAttention(view.Linked, view.Shelved)
	known := places()
	for _, province := range overview.Provinces {
		if province.State != NotConnected {
			view.Connected++
		}
		if _, ok := known[province.Code]; !ok {
			view.Unplaced = append(view.Unplaced, province)
		}
	}
	for _, bloc := range blocs() {
		group := blocGroup{Bloc: bloc}
		for _, member := range overview.Members {
			if member.Bloc != bloc {
				continue
			}
			group.Members = append(group.Members, member)
			if member.State != NotConnected {
				group.Connected++
			}
		}
		if len(group.Members) > 0 {
			view.Blocs = append(view.Blocs, group)
		}
	}
	return view
}

// blocs lists the blocs in the order of the page.
func blocs() []lienthong.Bloc {
	return []lienthong.Bloc{
		lienthong.Party, lienthong.Assembly, lienthong.Presidency, lienthong.Government,
		lienthong.Court, lienthong.Procuracy, lienthong.StateAudit, lienthong.Front, lienthong.SocioPolitical,
	}
}

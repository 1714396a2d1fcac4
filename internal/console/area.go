package console

import (
	"maps"
	"net/http"
)

// area is a part of the console: an entry of the navigation and the pages behind it.
type area struct {
	name   string // the navigation's text is "nav.<name>"
	path   string // where the navigation leads
	shown  func(*Console) bool
	routes func(*Console, *http.ServeMux)
	texts  func() map[string]Text
	words  func() map[string][]string // values that templates say with {{word "kind" value}}: kind -> values; may be nil
}

// areas is the navigation, in order. An area's pages, texts, templates and style stand in files
// of its name.
func areas() []area {
	return []area{
		{name: "overview", path: "/", shown: func(*Console) bool { return true }, routes: (*Console).overviewRoutes, texts: overviewTexts},
		dictionaryArea(),
		registerArea(),
		mappingArea(),
		workArea(),
		assessmentArea(),
		ticketsArea(),
		questionsArea(),
	}
}

// catalogue is every text of the console that is not data, in both languages.
// A test finds texts that are missing, unused or left in the other language.
func catalogue() map[string]Text {
	all := sharedTexts()
	for _, a := range areas() {
		maps.Copy(all, a.texts())
	}
	return all
}

// navigationEntry is an area as the layout shows it.
type navigationEntry struct {
	Name    string
	Path    string
	Current bool
}

// navigation lists the areas that this platform has. Pages name their area in chrome.Area.
func (c *Console) navigation() []navigationEntry {
	var entries []navigationEntry
	for _, a := range areas() {
		if a.shown(c) {
			entries = append(entries, navigationEntry{Name: a.name, Path: a.path})
		}
	}
	return entries
}

// pageOf is a view of a page: a pointer to a struct that embeds chrome.
type pageOf interface{ frame() *chrome }

func (c *chrome) frame() *chrome { return c }

// chromeOf prepares the surroundings of a page of an area for somebody who is signed in. page
// names the template of the body.
func (c *Console) chromeOf(w http.ResponseWriter, r *http.Request, user User, area, page, title string) chrome {
	frame := c.chromeFor(w, r, &user)
	frame.Area, frame.Page, frame.Title = area, page, title
	return frame
}

// words of the request's language.
func (c *Console) words(r *http.Request) *words { return c.tongues[languageOf(r.Context())].words }

// back ends a form: the browser loads the page again, so that a reload does not send it twice.
func back(w http.ResponseWriter, r *http.Request, path string) {
	http.Redirect(w, r, path, http.StatusSeeOther)
}

package console

import (
	"bytes"
	"log/slog"
	"net/http"
)

// chrome is what surrounds every page.
type chrome struct {
	Page     string // names the template of the body: "overview"
	Area     string // names the entry of the navigation
	Title    string
	User     *User  // nil when nobody is signed in
	Form     string // token for the page's forms
	Stream   string // address of the event stream; empty on pages without live parts
	Switches []languageSwitch

	Navigation []navigationEntry // empty when nobody is signed in, or when there is one area only
}

// languageSwitch is a language to choose.
type languageSwitch struct {
	Language Language
	Name     string // in the language itself
	Href     string
	Current  bool
}

// chromeFor prepares the surroundings for a request.
func (c *Console) chromeFor(w http.ResponseWriter, r *http.Request, user *User) chrome {
	view := chrome{User: user, Form: c.formTokenFor(w, r)}
	if all := c.navigation(); user != nil && len(all) > 1 {
		view.Navigation = all
	}
	here := "/" + trimSlashes(r.URL.Path)
	for _, one := range []languageSwitch{{Language: Vietnamese, Name: "Tiếng Việt"}, {Language: English, Name: "English"}} {
		query := r.URL.Query()
		query.Set("lang", string(one.Language))
		one.Href = here + "?" + query.Encode()
		one.Current = one.Language == languageOf(r.Context())
		view.Switches = append(view.Switches, one)
	}
	return view
}

// write renders a page completely before it sends the first byte, so that a
// failing template is an error page and not half a page.
func (c *Console) write(w http.ResponseWriter, r *http.Request, status int, view any) {
	if p, ok := view.(pageOf); ok {
		frame := p.frame()
		for i := range frame.Navigation {
			frame.Navigation[i].Current = frame.Navigation[i].Name == frame.Area
		}
	}
	tongue := c.tongues[languageOf(r.Context())]
	var b bytes.Buffer
	if err := tongue.templates.ExecuteTemplate(&b, "layout", view); err != nil {
		c.config.Log.ErrorContext(r.Context(), "console: a page could not be rendered",
			slog.String("path", r.URL.Path), slog.Any("error", err))
		http.Error(w, "Lỗi hệ thống / Internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // the reader has gone: nothing to tell it
	}
}

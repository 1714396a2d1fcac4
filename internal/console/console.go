// Package console is the platform's face: server-rendered pages that show where
// every database stands, live, in Vietnamese and English.
//
// It promises that
//
//   - a page works without a script; with one, its parts renew themselves over a
//     single event stream that ends with its request, its session or the console;
//   - nothing is shown that a template did not escape, and the content security
//     policy lets no inline script or style run;
//   - nothing is shown to somebody without a session, and nothing is changed
//     without a token that only our own pages hold;
//   - every text exists in both languages.
//
// The console asks its Source for figures and its Gate for people; it stores
// nothing. A page is a Go file, a template and a style sheet of the same name.
package console

import (
	"context"
	"crypto/rand"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Config is what a console needs.
type Config struct {
	Source Source
	Gate   Gate
	// Workplace is where people work; nil: the console shows figures only.
	Workplace *Workplace
	Log       *slog.Logger     // default: discards
	Now       func() time.Time // default time.Now
	// Secure is set when people reach the console over TLS: cookies are then bound to
	// the host and never travel in the clear.
	Secure bool
	// PushInterval is the least time between two renewals of an open page. Default 500 ms.
	PushInterval time.Duration
	// Heartbeat is how often a silent event stream says that it is alive, and how often
	// it asks whether its session still is. Default 15 s.
	Heartbeat time.Duration
	// MaxStreams is how many pages may be live at once; further ones still work but do
	// not renew themselves. Default 1000.
	MaxStreams int
	// SignInPerMinute is how many attempts one address has. Default 10.
	SignInPerMinute int
}

// Console is an http.Handler.
type Console struct {
	config   Config
	tongues  map[Language]*tongue
	assets   *assets
	renderer *renderer
	limiter  *limiter
	formKey  []byte
	handler  http.Handler

	streams   chan struct{} // one slot per open event stream
	closing   chan struct{}
	closeOnce sync.Once
}

// tongue is everything that is prepared once per language.
type tongue struct {
	words     *words
	templates *template.Template
}

// New prepares a console. It fails only on an incomplete Config or when the
// pages built into the program are broken.
func New(config Config) (*Console, error) {
	if config.Source == nil || config.Gate == nil {
		return nil, errors.New("console: Config needs a Source and a Gate")
	}
	if config.Workplace == nil {
		config.Workplace = &Workplace{}
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	defaultTo(&config.PushInterval, 500*time.Millisecond)
	defaultTo(&config.Heartbeat, 15*time.Second)
	defaultTo(&config.MaxStreams, 1000)
	defaultTo(&config.SignInPerMinute, 10)

	bundle, err := newAssets()
	if err != nil {
		return nil, err
	}
	c := &Console{
		config:  config,
		tongues: make(map[Language]*tongue, 2),
		assets:  bundle,
		limiter: newLimiter(config.SignInPerMinute, config.Now),
		formKey: make([]byte, 32),
		streams: make(chan struct{}, config.MaxStreams),
		closing: make(chan struct{}),
	}
	if _, err := rand.Read(c.formKey); err != nil {
		return nil, err
	}
	for _, language := range []Language{Vietnamese, English} {
		words := newWords(language, config.Now)
		templates, err := parseTemplates(words, bundle)
		if err != nil {
			return nil, err
		}
		c.tongues[language] = &tongue{words: words, templates: templates}
	}
	c.renderer = newRenderer(config.Source, c.tongues, config.PushInterval, config.Now)
	c.handler = c.routes()
	return c, nil
}

// ServeHTTP answers one request.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Close ends every open event stream, so that a server can shut down without
// waiting for people to close their pages. It may be called more than once; give
// it to http.Server.RegisterOnShutdown.
func (c *Console) Close() { c.closeOnce.Do(func() { close(c.closing) }) }

// routes is the list of everything that the console answers.
func (c *Console) routes() http.Handler {
	pages := http.NewServeMux()
	pages.Handle("GET /assets/{name}", c.assets)
	pages.Handle("GET /favicon.ico", http.RedirectHandler(c.assets.URL("favicon.svg"), http.StatusFound))
	for _, a := range areas() {
		if a.shown(c) {
			a.routes(c, pages)
		}
	}
	if exports := c.config.Workplace.Exports; exports != nil {
		pages.Handle("GET /exports/", c.member(func(w http.ResponseWriter, r *http.Request, _ User) { exports.ServeHTTP(w, r) }))
	}
	if public := c.config.Workplace.Public; public != nil {
		pages.Handle("GET /public/", public)
	}
	pages.Handle("GET /events", c.member(c.events))
	pages.Handle("GET /signin", http.HandlerFunc(c.signInPage))
	pages.Handle("POST /signin", c.form(c.signIn))
	pages.Handle("POST /signout", c.form(c.signOut))
	pages.Handle("GET /signout", http.RedirectHandler("/", http.StatusSeeOther))
	pages.Handle("/", http.HandlerFunc(c.notFound))

	return c.secureHeaders(c.chooseLanguage(c.recoverPanics(pages)))
}

func (c *Console) overviewRoutes(pages *http.ServeMux) {
	pages.Handle("GET /{$}", c.member(c.overview))
	pages.Handle("GET /database/{code}", c.member(c.database))
	pages.Handle("POST /database/{code}/reconcile", c.form(c.member(c.reconcile).ServeHTTP))
}

// overviewTexts stand among the shared ones: they came first.
func overviewTexts() map[string]Text { return nil }

// defaultTo fills a setting that was left at zero.
func defaultTo[T comparable](setting *T, value T) {
	var zero T
	if *setting == zero {
		*setting = value
	}
}

// contextKey keeps our context values apart from those of others.
type contextKey int

const languageKey contextKey = iota

// languageOf is the language that the request is answered in.
func languageOf(ctx context.Context) Language {
	if language, ok := ctx.Value(languageKey).(Language); ok {
		return language
	}
	return Vietnamese
}

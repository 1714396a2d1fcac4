package app

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/catalog"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/publish"
)

// publicPath is below which everybody may read what is public: the dictionary, the
// schemas and the catalogue of what is shared. Contracts name people, so they are for those who
// are signed in, below privatePath.
const (
	publicPath  = "/public"
	privatePath = "/exports"
)

// exports serves dictionary and catalogue in other people's formats.
func (w *workplace) exports() (private, public http.Handler, err error) {
	// The console's address is known when it listens; a configured one is checked at once.
	e := sync.OnceValues(w.newExports)
	if w.hub.config.Public != "" {
		if _, err := e(); err != nil {
			return nil, nil, err
		}
	}
	open, closed := map[string]endings{}, map[string]endings{}
	for _, format := range publish.Formats() {
		// A pattern's wildcard is a whole segment; the format's ends with its extension.
		pattern, ending := format.Path, ""
		if i := strings.LastIndexByte(pattern, '}'); i >= 0 {
			pattern, ending = pattern[:i+1], pattern[i+1:]
		}
		into := open
		if strings.Contains(format.Path, "/contracts/") {
			into = closed
		}
		if into[pattern] == nil {
			into[pattern] = endings{}
		}
		into[pattern][ending] = w.export(e, format)
	}
	return http.StripPrefix(privatePath, muxOf(closed)), http.StripPrefix(publicPath, muxOf(open)), nil
}

func muxOf(patterns map[string]endings) *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, handlers := range patterns {
		mux.Handle("GET "+pattern, handlers)
	}
	return mux
}

func (w *workplace) newExports() (*publish.Exports, error) {
	base := w.hub.config.Public
	if base == "" {
		base = w.hub.ConsoleURL() + publicPath
	}
	publisher, _ := w.hub.words.Member(w.hub.config.Member) // one that is not in the list has no name to show
	return publish.New(publish.Config{
		Base: base, Dictionary: w.hub.words, Publisher: publisher, TitleVi: w.hub.config.Title, TitleEn: w.hub.config.Title, Now: w.hub.now,
	})
}

// endings answers the paths of one pattern by how they end; a pattern without a wildcard has the
// empty ending only.
type endings map[string]http.Handler

func (s endings) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	for ending, handler := range s {
		if name, found := strings.CutSuffix(last, ending); found && name != "" {
			r.SetPathValue("name", name)
			handler.ServeHTTP(w, r)
			return
		}
	}
	http.NotFound(w, r)
}

// export writes one format about what the address names.
func (w *workplace) export(exports func() (*publish.Exports, error), format publish.Format) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		e, err := exports()
		if err == nil {
			e = e.With(w.editions.Current())
			var about *publish.Subject
			if about, err = w.exportSubject(e, r, format); err == nil {
				err = format.Write(e, &body, about)
			}
		}
		var coded *lienthong.Error
		switch {
		case err == nil:
			out.Header().Set("Content-Type", format.MediaType)
			out.Header().Set("Cache-Control", "no-cache")
			out.Header().Set("Content-Length", strconv.Itoa(body.Len()))
			_, _ = out.Write(body.Bytes()) // the reader has gone: nothing to tell it
		case errors.As(err, &coded):
			http.Error(out, coded.Vi+" / "+coded.En, http.StatusNotFound)
		default:
			w.hub.log.ErrorContext(r.Context(), "export failed", slog.String("path", format.Path), slog.Any("error", err))
			http.Error(out, "lỗi hệ thống / internal error", http.StatusInternalServerError)
		}
	})
}

// exportSubject finds what an address is about.
func (w *workplace) exportSubject(e *publish.Exports, r *http.Request, format publish.Format) (*publish.Subject, error) {
	name := r.PathValue("name")
	switch {
	case strings.HasPrefix(format.Path, "/catalog."):
		return w.catalogueSubject(r)
	case strings.HasPrefix(format.Path, "/schemas/codes/"):
		return &publish.Subject{CodeList: name}, nil
	case strings.HasPrefix(format.Path, "/schemas/"), strings.HasPrefix(format.Path, "/contracts/"):
		definition, dataset, err := w.datasetSubject(name)
		if err != nil {
			return nil, err
		}
		about := &publish.Subject{Definition: definition, Dataset: dataset}
		if record, err := w.register.Load(r.Context(), dataset.Shape.Dataset.Database); err == nil {
			about.Terms = e.TermsOf(&record.Entry, dataset.Shape.Dataset.Name)
		}
		return about, nil
	}
	return &publish.Subject{}, nil
}

func (w *workplace) datasetSubject(name string) (*dictionary.Definition, *publish.Dataset, error) {
	unknown := &lienthong.Error{Code: "dataset.unknown", Where: name, Vi: "không có tập dữ liệu này", En: "there is no such dataset"}
	id, err := lienthong.ParseDatasetID(name)
	if err != nil {
		return nil, nil, unknown
	}
	m := w.hub.monitor
	m.mu.Lock()
	definition := m.definition(id)
	var shape *lienthong.Shape
	for _, v := range m.sorted(id.Database) {
		if v.stream.Dataset == id && v.shape != nil {
			shape = v.shape
		}
	}
	m.mu.Unlock()
	current := w.editions.Current()
	switch {
	case definition != nil:
		version := 1
		if shape != nil {
			version = shape.Version
		}
		dataset, err := publish.DatasetOf(current, definition, version)
		return definition, dataset, err
	case shape != nil:
		return nil, publish.DatasetOfShape(current, shape), nil
	}
	return nil, nil, unknown
}

// cataloguePage is how many entries a page of the catalogue has.
const cataloguePage = 100

func (w *workplace) catalogueSubject(r *http.Request) (*publish.Subject, error) {
	records, err := w.register.List(r.Context(), catalog.Filter{Origin: catalog.FromOwner}, catalog.ByCode, false)
	if err != nil {
		return nil, err
	}
	about := &publish.Subject{Page: publish.Page{Size: cataloguePage}}
	about.Page.Number, _ = strconv.Atoi(r.URL.Query().Get("page"))
	for _, record := range records {
		about.Register = append(about.Register, w.registered(record))
	}
	return about, nil
}

// registered is an approved entry with what the hub knows of its datasets.
func (w *workplace) registered(record *catalog.Record) publish.Registered {
	one := publish.Registered{
		Entry: record.Entry, Modified: record.ConfirmedAt, Shapes: map[string]*lienthong.Shape{}, Changed: map[string]int64{},
	}
	m := w.hub.monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.sorted(record.Code) {
		if v.shape != nil {
			one.Shapes[v.stream.Dataset.Name] = v.shape
		}
		one.Changed[v.stream.Dataset.Name] = max(one.Changed[v.stream.Dataset.Name], v.state.LastSourceAt)
	}
	return one
}

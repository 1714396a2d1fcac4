package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Everything that a browser loads is in the program. The third-party files are
// those of the npm packages htmx.org 2.0.11, htmx-ext-sse 2.2.4 and
// @fontsource/be-vietnam-pro 5.3.0, unchanged, with their licences beside them.
//
//go:embed *.html *.css assets
var files embed.FS

// sheets are joined into one style sheet in this order.
func sheets() []string {
	return []string{"layout.css", "form.css", "overview.css", "database.css", "signin.css", "register.css", "tickets.css", "questions.css", "assessment.css", "mapping.css"}
}

// assets serves the embedded files under names that contain their digest, so
// that browsers may keep them for ever and always have the right ones.
type assets struct {
	byPath map[string]asset  // "console.1a2b3c4d.css"
	urls   map[string]string // "console.css" -> "/assets/console.1a2b3c4d.css"
}

type asset struct {
	kind    string
	plain   []byte
	gzipped []byte // nil when it would not be smaller
}

func newAssets() (*assets, error) {
	a := &assets{byPath: make(map[string]asset), urls: make(map[string]string)}
	entries, err := fs.ReadDir(files, "assets")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		content, err := fs.ReadFile(files, "assets/"+entry.Name())
		if err != nil {
			return nil, err
		}
		if err := a.add(entry.Name(), content); err != nil {
			return nil, err
		}
	}
	var style bytes.Buffer
	for _, name := range sheets() {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		style.Write(content)
	}
	// The sheet names fonts plainly; it is served with their full addresses.
	var missing string
	resolved := regexp.MustCompile(`url\(([a-z0-9.-]+)\)`).ReplaceAllStringFunc(style.String(), func(match string) string {
		name := strings.TrimSuffix(strings.TrimPrefix(match, "url("), ")")
		if a.urls[name] == "" {
			missing = name
		}
		return "url(" + a.urls[name] + ")"
	})
	if missing != "" {
		return nil, fmt.Errorf("console: the style sheet names %q, which is not embedded", missing)
	}
	if err := a.add("sheet.css", sheetStyle()); err != nil {
		return nil, err
	}
	return a, a.add("console.css", []byte(resolved))
}

func (a *assets) add(name string, content []byte) error {
	digest := sha256.Sum256(content)
	extension := path.Ext(name)
	hashed := strings.TrimSuffix(name, extension) + "." + hex.EncodeToString(digest[:4]) + extension
	file := asset{kind: kindOf(extension), plain: content}
	if extension != ".woff2" {
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := z.Write(content); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		if b.Len() < len(content) {
			file.gzipped = b.Bytes()
		}
	}
	a.byPath[hashed] = file
	a.urls[name] = "/assets/" + hashed
	return nil
}

// kindOf does not ask the system, whose table differs from machine to machine.
func kindOf(extension string) string {
	switch extension {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".woff2":
		return "font/woff2"
	case ".svg":
		return "image/svg+xml"
	}
	return "text/plain; charset=utf-8"
}

// URL is the address of an asset; empty when there is none.
func (a *assets) URL(name string) string { return a.urls[name] }

// ServeHTTP answers GET /assets/{name}.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := a.byPath[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := file.plain
	if file.gzipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = file.gzipped
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone: nothing to tell it
	}
}

// parseTemplates prepares the pages in one language.
func parseTemplates(w *words, bundle *assets) (*template.Template, error) {
	set := template.New("").Funcs(w.functions(bundle)).Option("missingkey=error")
	// The layout says which body it wants by name, which a template cannot.
	set.Funcs(template.FuncMap{"body": func(page string, view any) (template.HTML, error) {
		if set.Lookup(page) == nil {
			page = "failure"
		}
		var b bytes.Buffer
		err := set.ExecuteTemplate(&b, page, view)
		return template.HTML(b.String()), err //nolint:gosec // made by the same engine, which has escaped it
	}})
	parsed, err := set.ParseFS(files, "*.html")
	if err != nil {
		return nil, fmt.Errorf("console: parse pages: %w", err)
	}
	return parsed, nil
}

package push

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// The routes. Handler and the OpenAPI document are made from this one list.
const (
	routeMessages = "/push/v1/messages"
	routeReceipt  = "/push/v1/receipts/{id}"
	routeSchemas  = "/push/v1/schemas"
	routeSchema   = "/push/v1/schemas/{type}"
	routeOpenAPI  = "/push/v1/openapi.json"
)

type route struct {
	method, path string
	serve        func(s *Source, w http.ResponseWriter, r *http.Request, client *Client)
}

func routes() []route {
	return []route{
		{http.MethodPost, routeMessages, (*Source).serveMessages},
		{http.MethodGet, routeReceipt, (*Source).serveReceipt},
		{http.MethodGet, routeSchemas, (*Source).serveSchemas},
		{http.MethodGet, routeSchema, (*Source).serveSchema},
		{http.MethodGet, routeOpenAPI, (*Source).serveOpenAPI},
	}
}

// Handler is the HTTP interface. It must be served over TLS; without it only callers on the
// same machine are heard, and they too need a key.
func (s *Source) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range routes() {
		mux.HandleFunc(route.path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			client, bad := s.authenticate(r)
			if bad != nil {
				s.answerRefusal(w, r, bad)
				return
			}
			if r.Method != route.method && (r.Method != http.MethodHead || route.method != http.MethodGet) {
				w.Header().Set("Allow", route.method)
				s.answerRefusal(w, r, refuse("push.method", ""))
				return
			}
			route.serve(s, w, r, client)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.answerRefusal(w, r, refuse("push.not_found", "")) })
	return mux
}

// authenticate finds who is calling: by API key, or by the name in a certificate that the
// server has verified.
func (s *Source) authenticate(r *http.Request) (*Client, *refusal) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	address := net.ParseIP(host)
	if r.TLS == nil && (address == nil || !address.IsLoopback()) {
		return nil, refuse("push.tls_required", "")
	}
	now := s.config.Now()
	if s.limits.blocked(host, now) {
		return nil, refuse("push.rate", "")
	}
	client, known, err := s.identify(r)
	if err != nil {
		s.config.Log.ErrorContext(r.Context(), "push: client could not be looked up", slog.Any("error", err))
		return nil, refuse("push.internal", "")
	}
	if !known {
		s.limits.failed(host, now)
		return nil, refuse("push.unauthenticated", "")
	}
	perSecond := client.RequestsPerSecond
	if perSecond <= 0 {
		perSecond = s.config.Limits.RequestsPerSecond
	}
	if !s.limits.request(client.Name, perSecond, now) {
		return nil, refuse("push.rate", "")
	}
	return &client, nil
}

func (s *Source) identify(r *http.Request) (client Client, known bool, err error) {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return s.clients.byKey(r.Context(), key)
	}
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, key, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return client, false, nil
		}
		return s.clients.byKey(r.Context(), strings.TrimSpace(key))
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return client, false, nil
	}
	leaf := r.TLS.VerifiedChains[0][0]
	names := append([]string(nil), leaf.DNSNames...)
	if leaf.Subject.CommonName != "" {
		names = append(names, leaf.Subject.CommonName)
	}
	return s.clients.byCertificate(r.Context(), names)
}

// wantsXML: an answer has the media type of the request's body; without one, what Accept asks.
func wantsXML(r *http.Request) bool {
	kind := r.Header.Get("Content-Type")
	if kind == "" {
		kind = r.Header.Get("Accept")
	}
	kind, _, _ = strings.Cut(strings.ToLower(kind), ";")
	kind = strings.TrimSpace(kind)
	return kind == "application/xml" || kind == "text/xml" || strings.HasSuffix(kind, "+xml")
}

func contentType(asXML bool) string {
	if asXML {
		return "application/xml; charset=utf-8"
	}
	return "application/json; charset=utf-8"
}

// respond sends one answer.
func (s *Source) respond(w http.ResponseWriter, r *http.Request, status int, write func(a *answer)) {
	asXML := wantsXML(r)
	w.Header().Set("Content-Type", contentType(asXML))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	a := newAnswer(w, asXML)
	write(a)
	if err := a.finish(); err != nil {
		s.config.Log.DebugContext(r.Context(), "push: answer could not be sent", slog.Any("error", err))
	}
}

func (a *answer) refusal(bad *refusal) {
	text := words(bad.code)
	a.text("code", bad.code)
	a.text("vi", text.vi)
	a.text("en", text.en)
	a.text("where", bad.field)
	a.text("hint", text.hint)
}

func (s *Source) answerRefusal(w http.ResponseWriter, r *http.Request, bad *refusal) {
	status := words(bad.code).status
	s.retryAfter(w, status, bad.code)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="push"`)
	}
	s.respond(w, r, status, func(a *answer) { a.refusal(bad) })
}

func (s *Source) retryAfter(w http.ResponseWriter, status int, code string) {
	switch {
	case code == "push.rate":
		w.Header().Set("Retry-After", "1")
	case status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(s.config.Limits.RetryAfter.Seconds()))))
	}
}

// body opens the request's body as text, within its limits.
func (s *Source) body(w http.ResponseWriter, r *http.Request) (io.Reader, bool, *refusal) {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, false, refuse("push.media_type", "Content-Type")
	}
	asXML := kind == "application/xml" || kind == "text/xml"
	if !asXML && kind != "application/json" {
		return nil, false, refuse("push.media_type", "Content-Type")
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, false, refuse("push.media_type", "charset")
	}
	sent := http.MaxBytesReader(w, r.Body, s.config.Limits.BodyBytes)
	var text io.Reader = bodyReader{sent}
	switch encoding := r.Header.Get("Content-Encoding"); {
	case encoding == "", strings.EqualFold(encoding, "identity"):
	case strings.EqualFold(encoding, "gzip"):
		unpacked, err := gzip.NewReader(text)
		if err != nil {
			return nil, false, refuse("push.syntax", "gzip")
		}
		text = unpacked
	default:
		return nil, false, refuse("push.media_type", "Content-Encoding")
	}
	return &cappedReader{text, s.config.Limits.UnpackedBytes}, asXML, nil
}

// bodyReader gives the error of a body that is too large our name.
type bodyReader struct{ in io.Reader }

func (b bodyReader) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		err = errBody
	}
	return n, err
}

// cappedReader ends with errBody after so many bytes.
type cappedReader struct {
	in   io.Reader
	left int64
}

func (c *cappedReader) Read(p []byte) (int, error) {
	if c.left <= 0 {
		// Exactly as many as are allowed is not too many.
		var one [1]byte
		n, err := c.in.Read(one[:])
		if n > 0 {
			return 0, errBody
		}
		return 0, err
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.in.Read(p)
	c.left -= int64(n)
	return n, err
}

// failure is the code for an error of a decoder.
func failure(err error) *refusal {
	for _, known := range [...]struct {
		err  error
		code string
	}{
		{errRecord, "push.record_too_large"},
		{errBody, "push.body_too_large"},
		{errCount, "push.count"},
		{errEncoding, "push.encoding"},
		{errMarkup, "push.markup"},
	} {
		if errors.Is(err, known.err) {
			return refuse(known.code, "")
		}
	}
	return refuse("push.syntax", "")
}

// waitForTurn lets only so many batches be read at the same time.
func (s *Source) waitForTurn(ctx context.Context) (leave func(), bad *refusal) {
	select {
	case s.batches <- struct{}{}:
		return func() { <-s.batches }, nil
	case <-s.closed:
	case <-ctx.Done():
	}
	return nil, refuse("push.closed", "")
}

package push_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lienthong/lienthong/internal/connector/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signer signs as the node does, made from the standard library alone, so that the tests
// show what a verifier needs.
type signer struct {
	key    *ecdsa.PrivateKey
	mu     sync.Mutex
	broken bool
	calls  int
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key: key}
}

func (s *signer) Sign(payload []byte) (string, error) {
	s.mu.Lock()
	broken := s.broken
	s.calls++
	s.mu.Unlock()
	if broken {
		return "", errors.New("the key is away")
	}
	protected := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","b64":false,"crit":["b64"],"kid":"test"}`))
	sum := sha256.Sum256(append([]byte(protected+"."), payload...))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", err
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	v.FillBytes(raw[32:])
	return protected + ".." + base64.RawURLEncoding.EncodeToString(raw), nil
}

// message is a message as a sender makes it.
type message struct {
	Type, Source, ID, Code string
	Event                  string
	Version                int64
	Updated                string
	Fields                 []field
}

type field struct {
	name, text string
	kind       byte // 's' text, 'l' literal, 'n' null, 'o' object: members
	members    []field
}

func text(name, value string) field    { return field{name: name, text: value, kind: 's'} }
func literal(name, value string) field { return field{name: name, text: value, kind: 'l'} }
func null(name string) field           { return field{name: name, kind: 'n'} }

func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}

func (f field) json(b *strings.Builder) {
	b.WriteString(quoted(f.name) + ":")
	switch f.kind {
	case 's':
		b.WriteString(quoted(f.text))
	case 'l':
		b.WriteString(f.text)
	case 'n':
		b.WriteString("null")
	case 'o':
		b.WriteString("{")
		for i, m := range f.members {
			if i > 0 {
				b.WriteString(",")
			}
			m.json(b)
		}
		b.WriteString("}")
	}
}

func escaped(s string) string {
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		panic(err)
	}
	return b.String()
}

func (f field) xml(b *strings.Builder) {
	if f.kind == 'n' {
		b.WriteString("<" + f.name + ` xsi:nil="true" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"/>`)
		return
	}
	b.WriteString("<" + f.name + ">")
	if f.kind == 'o' {
		for _, m := range f.members {
			m.xml(b)
		}
	} else {
		b.WriteString(escaped(f.text))
	}
	b.WriteString("</" + f.name + ">")
}

func (m message) fields() []field {
	data := []field{text("IdBanGhi", m.ID)}
	if m.Code != "" {
		data = append(data, text("MaDinhDanhDuLieu", m.Code))
	}
	source := []field{text("MaLoaiDuLieu", m.Type)}
	if m.Source != "" {
		source = append(source, text("IdNguonDuLieu", m.Source))
	}
	updated := m.Updated
	if updated == "" {
		updated = "2026-11-23T08:30:00"
	}
	return []field{
		{name: "NguonDuLieu", kind: 'o', members: source},
		{name: "DuLieuTiepNhan", kind: 'o', members: append(data, m.Fields...)},
		{name: "TrangThaiDuLieu", kind: 'o', members: []field{
			text("SuKien", m.Event), literal("PhienBan", fmt.Sprint(m.Version)), text("ThoiGianCapNhat", updated),
		}},
	}
}

func (m message) JSON() string {
	var b strings.Builder
	for i, f := range m.fields() {
		if i > 0 {
			b.WriteString(",")
		}
		f.json(&b)
	}
	return "{" + b.String() + "}"
}

func (m message) XML() string {
	var b strings.Builder
	field{name: "Root", kind: 'o', members: m.fields()}.xml(&b)
	return b.String()
}

func batchJSON(messages ...message) string {
	parts := make([]string, len(messages))
	for i, m := range messages {
		parts[i] = m.JSON()
	}
	return fmt.Sprintf(`{"totalRecords":%d,"data":[%s]}`, len(messages), strings.Join(parts, ","))
}

func batchXML(messages ...message) string {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DanhSach>")
	for _, m := range messages {
		b.WriteString(m.XML() + "\n")
	}
	return b.String() + "</DanhSach>"
}

// The answers, as a caller reads them.
type (
	signed struct {
		ID        string `json:"id" xml:"id"`
		Payload   string `json:"payload" xml:"payload"`
		Protected string `json:"protected" xml:"protected"`
		Signature string `json:"signature" xml:"signature"`
	}
	result struct {
		Index   int    `json:"index" xml:"index"`
		ID      string `json:"IdBanGhi" xml:"IdBanGhi"`
		Version int64  `json:"PhienBan" xml:"PhienBan"`
		Code    string `json:"code" xml:"code"`
		Vi      string `json:"vi" xml:"vi"`
		En      string `json:"en" xml:"en"`
		Where   string `json:"where" xml:"where"`
		Hint    string `json:"hint" xml:"hint"`
		Receipt string `json:"receipt" xml:"receipt"`
	}
	reply struct {
		result
		Acceptance  signed   `json:"acceptance" xml:"acceptance"`
		State       string   `json:"state" xml:"state"`
		SHA256      string   `json:"sha256" xml:"sha256"`
		Location    signed   `json:"location" xml:"location"`
		Hub         signed   `json:"hub" xml:"hub"`
		Read        int      `json:"read" xml:"read"`
		Accepted    int      `json:"accepted" xml:"accepted"`
		Repeated    int      `json:"repeated" xml:"repeated"`
		Refused     int      `json:"refused" xml:"refused"`
		Ended       *result  `json:"ended" xml:"ended"`
		Results     []result `json:"results" xml:"results>item"`
		Acceptances []signed `json:"acceptances" xml:"acceptances>item"`

		status int
		header http.Header
		raw    string
	}
)

// node is a running inbox with its HTTP interface and one client that may send everything.
type node struct {
	t      testing.TB
	source *push.Source
	server *httptest.Server
	key    string
	signer *signer
	dir    string
}

type option func(*push.Config)

func start(t testing.TB, schemas []push.Schema, options ...option) *node {
	t.Helper()
	n := &node{t: t, signer: newSigner(t), dir: filepath.Join(t.TempDir(), "hộp nhận")}
	config := push.Config{
		StateDir: n.dir, Node: "H41", Schemas: schemas, Signer: n.signer, PollInterval: 2 * time.Millisecond,
		Limits: push.Limits{FreeBytes: 1, RequestsPerSecond: 1_000_000},
	}
	for _, o := range options {
		o(&config)
	}
	var err error
	if n.source, err = push.Open(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	n.server = httptest.NewServer(n.source.Handler())
	t.Cleanup(n.stop)
	if n.key, err = n.source.AddClient(t.Context(), push.Client{Name: "he-thong", Types: []string{push.AllTypes}}); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) stop() {
	n.server.Client().CloseIdleConnections()
	n.server.Close()
	if err := n.source.Close(); err != nil {
		n.t.Error(err)
	}
}

func (n *node) request(ctx context.Context, method, path, contentType, body string, headers ...string) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, method, n.server.URL+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	r.Header.Set("Authorization", "Bearer "+n.key)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := n.server.Client().Do(r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	got := reply{status: response.StatusCode, header: response.Header, raw: string(raw)}
	if strings.Contains(response.Header.Get("Content-Type"), "xml") {
		err = xml.Unmarshal(raw, &got)
	} else if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		err = json.Unmarshal(raw, &got)
	}
	if err != nil {
		return got, fmt.Errorf("%w in %.500s", err, raw)
	}
	return got, nil
}

func (n *node) post(contentType, body string, headers ...string) reply {
	n.t.Helper()
	got, err := n.request(n.t.Context(), http.MethodPost, "/push/v1/messages", contentType, body, headers...)
	if err != nil {
		n.t.Fatal(err)
	}
	return got
}

func (n *node) get(path string, headers ...string) reply {
	n.t.Helper()
	got, err := n.request(n.t.Context(), http.MethodGet, path, "", "", headers...)
	if err != nil {
		n.t.Fatal(err)
	}
	return got
}

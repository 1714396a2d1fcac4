package push_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector/push"
)

func TestAuthentication(t *testing.T) {
	n := start(t, []push.Schema{people()})
	post := func(headers ...string) reply { return n.post(inJSON, person("1", 1).JSON(), headers...) }
	narrow, err := n.source.AddClient(t.Context(), push.Client{Name: "chi-khac", Types: []string{"KHAC"}})
	if err != nil {
		t.Fatal(err)
	}
	last := n.key[:len(n.key)-2] + "aa"
	if last == n.key {
		last = n.key[:len(n.key)-2] + "bb"
	}
	for _, test := range []struct {
		name    string
		headers []string
		status  int
		code    string
	}{
		{"no key", []string{"Authorization", ""}, 401, "push.unauthenticated"},
		{"no key, XML", []string{"Authorization", "", "Content-Type", inXML}, 401, "push.unauthenticated"},
		{"wrong secret", []string{"Authorization", "Bearer " + last}, 401, "push.unauthenticated"},
		{"unknown name", []string{"Authorization", "Bearer ltp1_" + strings.Repeat("a", 68)}, 401, "push.unauthenticated"},
		{"garbage", []string{"Authorization", "Bearer x"}, 401, "push.unauthenticated"},
		{"basic", []string{"Authorization", "Basic " + n.key}, 401, "push.unauthenticated"},
		{"another type", []string{"Authorization", "Bearer " + narrow}, 403, "push.forbidden"},
		{"other header", []string{"Authorization", "", "X-Api-Key", n.key}, 201, "accepted"},
		{"bearer", nil, 200, "repeated"},
	} {
		if got := post(test.headers...); got.status != test.status || got.Code != test.code {
			t.Errorf("%s: %d %s", test.name, got.status, got.raw)
		}
	}
	// In a batch each record is judged by its own type.
	if got := n.post(inJSON, batchJSON(person("1", 1)), "Authorization", "Bearer "+narrow); got.status != 207 || got.Results[0].Code != "push.forbidden" {
		t.Errorf("batch: %d %s", got.status, got.raw)
	}
	for _, path := range []string{"/push/v1/openapi.json", "/push/v1/schemas", "/push/v1/schemas/TH_G01_CONGDAN", "/push/v1/receipts/a-0"} {
		if got := n.get(path, "Authorization", ""); got.status != 401 {
			t.Errorf("%s without a key: %d", path, got.status)
		}
	}
	if got := n.get("/push/v1/schemas/TH_G01_CONGDAN", "Authorization", "Bearer "+narrow); got.status != 404 {
		t.Errorf("a schema of another's type: %d", got.status)
	}
	if got := n.get("/push/v1/messages"); got.status != 405 || got.Code != "push.method" || got.header.Get("Allow") != "POST" {
		t.Errorf("method: %d %s", got.status, got.raw)
	}
	if got := n.get("/x"); got.status != 404 || got.Code != "push.not_found" {
		t.Errorf("path: %d %s", got.status, got.raw)
	}
	// Removal holds at once.
	if err := n.source.RemoveClient(t.Context(), "he-thong"); err != nil {
		t.Fatal(err)
	}
	if got := post(); got.status != 401 {
		t.Errorf("after removal: %d", got.status)
	}
	clients, err := n.source.Clients(t.Context())
	if err != nil || len(clients) != 1 || clients[0].Name != "chi-khac" {
		t.Errorf("clients: %+v %v", clients, err)
	}
}

func TestClients_Errors(t *testing.T) {
	n := start(t, nil)
	for code, err := range map[string]func() error{
		"push.client": func() error {
			_, err := n.source.AddClient(t.Context(), push.Client{Name: "a b", Types: []string{"*"}})
			return err
		},
		"push.client_exists": func() error {
			_, err := n.source.AddClient(t.Context(), push.Client{Name: "he-thong", Types: []string{"*"}})
			return err
		},
		"push.client_missing": func() error { return n.source.RemoveClient(t.Context(), "x") },
	} {
		if got := lienthong.ErrorCode(err()); got != code {
			t.Errorf("got %s, want %s", got, code)
		}
	}
	if _, err := n.source.AddClient(t.Context(), push.Client{Name: "x"}); err == nil {
		t.Error("a client without types")
	}
}

// TestKeyIsNotKept: nothing in the state directory holds the key or its secret.
func TestKeyIsNotKept(t *testing.T) {
	n := start(t, []push.Schema{people()})
	entries, err := os.ReadDir(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(n.dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		looked += len(data)
		if bytes.Contains(data, []byte(n.key[len(n.key)-40:])) {
			t.Errorf("%s holds the key", entry.Name())
		}
	}
	if looked == 0 {
		t.Error("nothing was looked at")
	}
}

func TestRateLimits(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	advance := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	n := start(t, []push.Schema{people()}, func(c *push.Config) {
		c.Now, c.Limits.RequestsPerSecond, c.Limits.FailuresPerMinute = clock, 5, 3
	})
	for range 5 {
		if got := n.get("/push/v1/schemas"); got.status != 200 {
			t.Fatal(got.raw)
		}
	}
	got := n.get("/push/v1/schemas")
	if got.status != 429 || got.Code != "push.rate" || got.header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	advance(time.Second)
	if got := n.get("/push/v1/schemas"); got.status != 200 {
		t.Errorf("a second later: %d", got.status)
	}
	for i := range 5 {
		got := n.get("/push/v1/schemas", "Authorization", "Bearer x")
		if want := map[bool]int{true: 401, false: 429}[i < 3]; got.status != want {
			t.Errorf("wrong key %d: %d, want %d", i, got.status, want)
		}
	}
	advance(time.Minute)
	if got := n.get("/push/v1/schemas"); got.status != 200 {
		t.Errorf("a minute later: %d %s", got.status, got.raw)
	}
}

// TestPlainHTTP: without TLS only the same machine is heard.
func TestPlainHTTP(t *testing.T) {
	n := start(t, []push.Schema{people()})
	for address, want := range map[string]int{"10.0.0.1:5000": 403, "127.0.0.1:5000": 200, "[::1]:5000": 200, "@": 403} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/push/v1/schemas", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", "Bearer "+n.key)
		w := httptest.NewRecorder()
		n.source.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", address, w.Code, want)
		}
	}
}

// certificate makes a certificate, signed by the parent or by itself.
func certificate(t *testing.T, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func TestMutualTLS(t *testing.T) {
	n := start(t, []push.Schema{people()})
	if key, err := n.source.AddClient(t.Context(), push.Client{Name: "hospital", Types: []string{"*"}, Certificate: "His.Hospital.vn"}); err != nil || key != "" {
		t.Fatalf("%q %v", key, err)
	}
	authority, authorityKey := certificate(t, "authority", nil, nil)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	server := httptest.NewUnstartedServer(n.source.Handler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // refused handshakes
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	server.StartTLS()
	defer server.Close()
	stranger, strangerKey := certificate(t, "his.hospital.vn", nil, nil)
	for _, test := range []struct {
		name   string
		leaf   func() (*x509.Certificate, *ecdsa.PrivateKey)
		status int
	}{
		{"known", func() (*x509.Certificate, *ecdsa.PrivateKey) {
			return certificate(t, "his.hospital.vn", authority, authorityKey)
		}, 201},
		{"other name", func() (*x509.Certificate, *ecdsa.PrivateKey) {
			return certificate(t, "other.hospital.vn", authority, authorityKey)
		}, 401},
		{"self-made", func() (*x509.Certificate, *ecdsa.PrivateKey) { return stranger, strangerKey }, 0},
		{"none", nil, 401},
	} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool()}}
		transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
		if test.leaf != nil {
			leaf, key := test.leaf()
			// Given whatever the server asks for, so that the server is what decides.
			transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}, nil
			}
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/push/v1/messages", strings.NewReader(person(test.name, 1).JSON()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", inJSON)
		response, err := transport.RoundTrip(request)
		status := 0
		if err == nil {
			status = response.StatusCode
			_ = response.Body.Close()
		}
		transport.CloseIdleConnections()
		if status != test.status {
			t.Errorf("%s: %d %v, want %d", test.name, status, err, test.status)
		}
	}
}

// verify is all that a caller needs to check a signed answer: SHA-256 and ECDSA.
func verify(key *ecdsa.PublicKey, s signed) error {
	raw, err := base64.RawURLEncoding.DecodeString(s.Signature)
	if err != nil || len(raw) != 64 {
		return errors.New("not a signature")
	}
	sum := sha256.Sum256([]byte(s.Protected + "." + s.Payload))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])) {
		return errors.New("forged")
	}
	return nil
}

// tracker is what the application answers; here a table.
type tracker struct {
	mu   sync.Mutex
	seen []push.Entry
	now  push.Progress
	err  error
}

func (tr *tracker) Track(_ context.Context, entry push.Entry) (push.Progress, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.seen = append(tr.seen, entry)
	return tr.now, tr.err
}

// TestReceipt follows a record from its acceptance to the hub's receipt and verifies each step.
func TestReceipt(t *testing.T) {
	tr := &tracker{}
	n := start(t, []push.Schema{people()}, func(c *push.Config) { c.Tracker = tr })
	hub := newSigner(t)
	if got := n.post(inJSON, person("early", 1).JSON()); got.status != 201 {
		t.Fatal(got.raw)
	} else if at := n.get("/push/v1/receipts/" + got.Receipt); at.status != 200 || at.State != "accepted" || tr.seen[0].Position != 0 {
		t.Fatalf("before Start: %s %+v", at.raw, tr.seen)
	}
	pos, err := n.source.Start(t.Context(), []string{"TH_G01_CONGDAN"})
	if err != nil {
		t.Fatal(err)
	}
	body := person("1", 1).JSON()
	accepted := n.post(inJSON, body)
	if err := verify(&n.signer.key.PublicKey, accepted.Acceptance); err != nil {
		t.Fatal(err)
	}
	var statement struct {
		Kind, Node, Client, Acceptance, At string
		Records                            []struct {
			Receipt, MaLoaiDuLieu, IdBanGhi, SuKien, SHA256 string
			PhienBan                                        int64
		}
	}
	if err := json.Unmarshal([]byte(accepted.Acceptance.Payload), &statement); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	if statement.Kind != "lienthong.push.acceptance.v1" || statement.Node != "H41" || statement.Client != "he-thong" || len(statement.Records) != 1 ||
		statement.Records[0].SHA256 != fmt.Sprintf("%x", sum) || statement.Records[0].IdBanGhi != "1" || statement.Records[0].PhienBan != 1 ||
		statement.Records[0].Receipt != accepted.Receipt {
		t.Errorf("statement: %s", accepted.Acceptance.Payload)
	}
	path := "/push/v1/receipts/" + accepted.Receipt
	batch := n.post(inJSON, batchJSON(person("2", 1), person("1", 1), person("3", 1)))
	tr.mu.Lock()
	tr.seen = nil
	tr.mu.Unlock()
	for i, want := range []uint64{pos.Order + 2, pos.Order + 1, pos.Order + 3} {
		got := n.get("/push/v1/receipts/" + batch.Results[i].Receipt)
		if got.status != 200 || got.State != "accepted" || tr.seen[i].Position != want || tr.seen[i].Table != "TH_G01_CONGDAN" {
			t.Errorf("record %d: %s, asked about %+v, want position %d", i, got.raw, tr.seen[i], want)
		}
	}

	tr.now = push.Progress{Dataset: lienthong.DatasetID{Database: "dancu", Name: "congdan"}, Sequence: 7, Digest: "d1"}
	got := n.get(path)
	if got.State != "batched" || verify(&n.signer.key.PublicKey, got.Location) != nil || got.Hub.Payload != "" ||
		!strings.Contains(got.Location.Payload, `"dataset":"dancu.congdan","sequence":7,"digest":"d1"`) ||
		!strings.Contains(got.Location.Payload, fmt.Sprintf("%x", sum)) {
		t.Errorf("batched: %s", got.raw)
	}
	receipt := []byte(`{"hub":"TW","sequence":7,"digest":"d1"}`)
	signature, err := hub.Sign(receipt)
	if err != nil {
		t.Fatal(err)
	}
	tr.now.Receipt, tr.now.Signature = receipt, signature
	for _, accept := range []string{inJSON, "application/xml"} {
		got = n.get(path, "Accept", accept)
		if got.State != "landed" || got.SHA256 != fmt.Sprintf("%x", sum) || verify(&n.signer.key.PublicKey, got.Acceptance) != nil ||
			verify(&n.signer.key.PublicKey, got.Location) != nil || verify(&hub.key.PublicKey, got.Hub) != nil {
			t.Errorf("landed, %s: %s", accept, got.raw)
		}
	}
	got.Hub.Payload = strings.Replace(got.Hub.Payload, "d1", "d2", 1)
	if verify(&hub.key.PublicKey, got.Hub) == nil {
		t.Error("a changed receipt verifies")
	}

	// A receipt is its own client's.
	other, err := n.source.AddClient(t.Context(), push.Client{Name: "khac", Types: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{accepted.Receipt, "x", "1-", "1--1", "1-01", "zzzz-0", strings.TrimSuffix(accepted.Receipt, "-0") + "-1"} {
		key := n.key
		if id == accepted.Receipt {
			key = other
		}
		if got := n.get("/push/v1/receipts/"+id, "Authorization", "Bearer "+key); got.status != 404 || got.Code != "push.not_found" {
			t.Errorf("%s: %d %s", id, got.status, got.raw)
		}
	}
	tr.err = errors.New(secret)
	if got := n.get(path); got.status != 500 || strings.Contains(got.raw, secret) {
		t.Errorf("%d %s", got.status, got.raw)
	}
	stranger := person("9", 1)
	stranger.Event = "CANCEL"
	if got := n.get("/push/v1/receipts/" + n.post(inJSON, stranger.JSON()).Receipt); got.State != "nothing" {
		t.Errorf("a cancel of nothing: %s", got.raw)
	}
}

// TestReceipt_Expired: when the acceptance is older than they are kept, a repeated record
// gets a new one.
func TestReceipt_Expired(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	n := start(t, []push.Schema{people()}, func(c *push.Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
		c.Limits.AcceptanceRetention = 24 * time.Hour
	})
	first := n.post(inJSON, person("1", 1).JSON())
	mu.Lock()
	now = now.Add(48 * time.Hour)
	mu.Unlock()
	n.post(inJSON, person("2", 1).JSON()) // what is written next forgets what is old
	if got := n.get("/push/v1/receipts/" + first.Receipt); got.status != 404 {
		t.Fatalf("still there: %s", got.raw)
	}
	again := n.post(inJSON, person("1", 1).JSON())
	if again.status != 200 || again.Code != "repeated" || again.Receipt == first.Receipt || verify(&n.signer.key.PublicKey, again.Acceptance) != nil {
		t.Errorf("%d %s", again.status, again.raw)
	}
	if got := n.get("/push/v1/receipts/" + again.Receipt); got.status != 200 {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestOpenAPI(t *testing.T) {
	other := push.Schema{Type: "KHAC.1", Fields: []push.Field{{Name: "Ma", Format: push.String, Length: 2, Required: true}, {Name: "b", Parent: "A", Format: push.Int, Required: true}}}
	n := start(t, []push.Schema{people(), other})
	got := n.get("/push/v1/openapi.json")
	var document struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			RequestBody struct {
				Content map[string]struct {
					Examples map[string]struct {
						Value json.RawMessage `json:"value"`
					} `json:"examples"`
				} `json:"content"`
			} `json:"requestBody"`
			Responses map[string]json.RawMessage `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal([]byte(got.raw), &document); err != nil || !strings.HasPrefix(document.OpenAPI, "3.1") {
		t.Fatalf("%v %.300s", err, got.raw)
	}
	var routes []string
	for path, operations := range document.Paths {
		for method, operation := range operations {
			routes = append(routes, strings.ToUpper(method)+" "+path)
			if operation.OperationID == "" || len(operation.Responses) < 3 {
				t.Errorf("%s %s is not described", method, path)
			}
		}
	}
	slices.Sort(routes)
	if diff := cmp.Diff(push.RoutesForTest(), routes); diff != "" {
		t.Errorf("routes: %s", diff)
	}
	// Whatever is referred to is there.
	for _, part := range strings.Split(got.raw, `"$ref": "#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if document.Components.Schemas[name] == nil {
			t.Errorf("%s is referred to and missing", name)
		}
	}
	for _, schema := range []push.Schema{people(), other} {
		component := string(document.Components.Schemas["message."+schema.Type])
		alone := n.get("/push/v1/schemas/" + schema.Type)
		for _, f := range schema.Fields {
			for what, text := range map[string]string{"OpenAPI": component, "JSON Schema": alone.raw} {
				if !strings.Contains(text, `"`+f.Name+`"`) || f.Parent != "" && !strings.Contains(text, `"`+f.Parent+`"`) {
					t.Errorf("%s of %s lacks %s", what, schema.Type, f.Column())
				}
			}
		}
		value := document.Paths["/push/v1/messages"]["post"].RequestBody.Content["application/json"].Examples[schema.Type].Value
		if got := n.post(inJSON, string(value)); got.status != 201 {
			t.Errorf("the example of %s: %d %s\n%s", schema.Type, got.status, got.raw, value)
		}
	}
	// A client sees the types that it may send.
	narrow, err := n.source.AddClient(t.Context(), push.Client{Name: "hep", Types: []string{"KHAC.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := n.get("/push/v1/openapi.json", "Authorization", "Bearer "+narrow); !strings.Contains(got.raw, "message.KHAC.1") || strings.Contains(got.raw, "CONGDAN") {
		t.Error("the document shows types of others")
	}
}

package trust

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testTime() time.Time { return time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC) }

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// memory is a registry in memory.
type memory struct {
	mu     sync.Mutex
	tokens map[string]TokenRecord
	nodes  map[NodeID]NodeRecord
	lists  map[string]uint64
	fail   error
}

func newMemory() *memory {
	return &memory{tokens: map[string]TokenRecord{}, nodes: map[NodeID]NodeRecord{}}
}

func (m *memory) SaveToken(_ context.Context, token TokenRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens[token.Hash] = token
	return m.fail
}

func (m *memory) FindToken(_ context.Context, hash string) (TokenRecord, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	token, ok := m.tokens[hash]
	return token, ok, m.fail
}

func (m *memory) Redeem(_ context.Context, hash string, node NodeRecord) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	token, ok := m.tokens[hash]
	if !ok || !token.UsedAt.IsZero() && token.UsedBy != node.KeyID {
		return false, m.fail
	}
	token.UsedAt, token.UsedBy = node.EnrolledAt, node.KeyID
	m.tokens[hash], m.nodes[node.Node] = token, node
	return true, m.fail
}

func (m *memory) Renewed(_ context.Context, node NodeID, certificate string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	record, ok := m.nodes[node]
	if !ok {
		return errors.New("no such node")
	}
	record.Certificate = certificate
	m.nodes[node] = record
	return m.fail
}

func (m *memory) TakeNodes(_ context.Context, hub string, version uint64, nodes []NodeRecord) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lists == nil {
		m.lists = map[string]uint64{}
	}
	if version > m.lists[hub] {
		m.lists[hub] = version
		for _, node := range nodes {
			m.nodes[node.Node] = node
		}
	}
	return m.lists[hub], m.fail
}

func (m *memory) Nodes(context.Context) ([]NodeRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []NodeRecord
	for _, node := range m.nodes {
		list = append(list, node)
	}
	return list, m.fail
}

type hubUnderTest struct {
	*Enrolment
	clock    *clock
	registry *memory
	identity *Identity
	url      string // enrolment, no client certificate
	secure   string // mutual TLS
	events   func() []string
	logs     *bytes.Buffer
}

var hubID = NodeID{Bloc: lienthong.Government, Member: "G01", Node: "hub"}

func startHub(t *testing.T, perMinute int) *hubUnderTest {
	t.Helper()
	// The certificates are checked by crypto/tls against the real clock.
	now := &clock{now: time.Now()}
	dir := t.TempDir()
	authority, err := OpenAuthority(filepath.Join(dir, "authority"), AuthorityOptions{Options: Options{Now: now.Now}})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := OpenIdentity(filepath.Join(dir, "identity"), "hub", Options{Now: now.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Install(identity, hubID, "Trung tâm", "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var events []string
	hub := &hubUnderTest{clock: now, registry: newMemory(), identity: identity, logs: &bytes.Buffer{}}
	hub.Enrolment, err = NewEnrolment(t.Context(), EnrolmentConfig{
		Authority: authority, Registry: hub.registry, Directory: NewDirectory(), Hub: identity,
		AttemptsPerMinute: perMinute, Now: now.Now,
		Log: slog.New(slog.NewTextHandler(hub.logs, nil)),
		Observe: func(_ context.Context, e EnrolmentEvent) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e.Code)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	hub.events = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), events...)
	}
	open, err := identity.EnrolmentTLS()
	if err != nil {
		t.Fatal(err)
	}
	mutual, err := identity.ServerTLS(func(peer NodeID) error {
		if !hub.config.Directory.Active(peer) {
			return errors.New("retired")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	hub.url, hub.secure = serve(t, hub.Handler(), open), serve(t, hub.Handler(), mutual)
	return hub
}

func serve(t *testing.T, handler http.Handler, config *tls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: time.Minute, TLSConfig: config,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return "https://" + listener.Addr().String()
}

func (h *hubUnderTest) invite(t *testing.T, id NodeID, life time.Duration) string {
	t.Helper()
	token, err := h.Invite(t.Context(), id, life)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestEnrol(t *testing.T) {
	hub := startHub(t, 0)
	dir := t.TempDir()
	node, err := OpenIdentity(dir, "population", Options{Now: hub.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.ServerTLS(nil); lienthong.ErrorCode(err) != "trust.not_enrolled" {
		t.Fatalf("TLS before enrolment: %v", err)
	}
	token := hub.invite(t, population, time.Hour)
	membership, err := Enrol(t.Context(), hub.url, "  "+strings.ToUpper(token)+"\n", node)
	if err != nil {
		t.Fatal(err)
	}
	if membership.Node != population || membership.Hub != hubID || membership.HubName != "Trung tâm" {
		t.Fatalf("membership %+v", membership)
	}
	for hash := range hub.registry.tokens {
		if strings.Contains(token, hash) || len(hash) != 64 {
			t.Fatalf("the token is kept as %q", hash)
		}
	}
	// What the node signs, the hub knows; what the hub signs, the node knows.
	signature, err := node.Sign([]byte("batch"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := hub.config.Directory.Verify([]byte("batch"), signature)
	if err != nil || signer.Node != population || signer.Role != RoleNode {
		t.Fatalf("%+v, %v", signer, err)
	}
	receipts, err := node.HubDirectory()
	if err != nil {
		t.Fatal(err)
	}
	signature, err = hub.identity.Sign([]byte("receipt"))
	if err != nil {
		t.Fatal(err)
	}
	if signer, err := receipts.Verify([]byte("receipt"), signature); err != nil || signer.Role != RoleHub {
		t.Fatalf("%+v, %v", signer, err)
	}
	// It is durable.
	again, err := OpenIdentity(dir, "population", Options{Now: hub.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	kept, ok := again.Membership()
	if diff := cmp.Diff(membership, kept); !ok || diff != "" {
		t.Fatalf("after a restart: %s", diff)
	}
	if again.KeyID() != node.KeyID() {
		t.Fatal("another signing key after a restart")
	}
	// The answer got lost: the same identity may ask again, nobody else may.
	if _, err := Enrol(t.Context(), hub.url, token, again); err != nil {
		t.Fatalf("asking again: %v", err)
	}
	thief := openTest(t, "population")
	if _, err := Enrol(t.Context(), hub.url, token, thief); lienthong.ErrorCode(err) != "trust.token_used" {
		t.Fatalf("replay: %v", err)
	}
	hub.config.Directory.Retire(population, hub.clock.Now())
	if _, err := Enrol(t.Context(), hub.url, token, again); lienthong.ErrorCode(err) != "trust.token_used" {
		t.Fatalf("the used token brings a retired node back: %v", err)
	}
	want := []string{"invited", "enrolled", "enrolled", "trust.token_used", "trust.token_used"}
	if diff := cmp.Diff(want, hub.events()); diff != "" {
		t.Fatalf("events: %s", diff)
	}
	info, err := os.Stat(filepath.Join(dir, membershipFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestEnrol_Refusals(t *testing.T) {
	hub := startHub(t, 1000)
	other := startHub(t, 1000)
	expired := hub.invite(t, population, time.Minute)
	late := hub.invite(t, NodeID{Bloc: lienthong.Government, Member: "G01", Node: "late"}, time.Minute)
	hub.clock.advance(2 * time.Minute)
	fresh := hub.invite(t, population, time.Hour)
	unknown, err := newToken(hub.config.Authority.fingerprint(), hub.clock.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, url, token, node, code string }{
		{"expired, seen by the node", hub.url, expired, "population", "trust.token_expired"},
		{"unknown", hub.url, unknown.encode(), "population", "trust.token_unknown"},
		{"wrong node", hub.url, fresh, "other", "trust.wrong_node"},
		{"not a token", hub.url, "lt1_hello", "population", "trust.token_malformed"},
		{"typing error", hub.url, flipLetter(fresh, 60), "population", "trust.token_malformed"},
		{"another hub answers", other.url, fresh, "population", "trust.wrong_hub"},
		{"http off loopback", "http://10.0.0.1:1", fresh, "population", "trust.hub_url"},
		{"no address", "hub", fresh, "population", "trust.hub_url"},
		{"nobody answers", "https://127.0.0.1:1", fresh, "population", "trust.hub_unreachable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			identity, err := OpenIdentity(t.TempDir(), test.node, Options{Now: hub.clock.Now})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Enrol(t.Context(), test.url, test.token, identity)
			if got := lienthong.ErrorCode(err); got != test.code {
				t.Fatalf("code %q (%v), want %q", got, err, test.code)
			}
			if _, ok := identity.Membership(); ok {
				t.Fatal("a member after a refusal")
			}
		})
	}
	t.Run("expired, seen by the hub", func(t *testing.T) {
		behind, err := OpenIdentity(t.TempDir(), "late", Options{Now: func() time.Time { return testTime().AddDate(-1, 0, 0) }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Enrol(t.Context(), hub.url, late, behind); lienthong.ErrorCode(err) != "trust.token_expired" {
			t.Fatal(err)
		}
	})
	t.Run("a key of another node", func(t *testing.T) {
		dir := t.TempDir()
		first, err := OpenIdentity(dir, "population", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Enrol(t.Context(), hub.url, fresh, first); err != nil {
			t.Fatal(err)
		}
		copied := t.TempDir()
		data, err := os.ReadFile(filepath.Join(dir, signingFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, signingFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		second, err := OpenIdentity(copied, "copy", Options{})
		if err != nil {
			t.Fatal(err)
		}
		token := hub.invite(t, NodeID{Bloc: lienthong.Government, Member: "G01", Node: "copy"}, 0)
		if _, err := Enrol(t.Context(), hub.url, token, second); lienthong.ErrorCode(err) != "trust.key_taken" {
			t.Fatal(err)
		}
	})
}

func post(t *testing.T, client *http.Client, url, body string) (int, refusal) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	var answer refusal
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return response.StatusCode, answer
}

func (h *hubUnderTest) browser(t *testing.T) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(h.config.Authority.Certificate()))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestHandler_BadRequests(t *testing.T) {
	hub := startHub(t, 1000)
	client := hub.browser(t)
	node := openTest(t, "population")
	signed := func(payload string, by *Identity) string {
		signature, err := by.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		document, err := Attach([]byte(payload), signature)
		if err != nil {
			t.Fatal(err)
		}
		return string(document)
	}
	key := string(node.PublicKey())
	for _, test := range []struct {
		name, path, body string
		status           int
		code             string
	}{
		{"too large", "/enrol", strings.Repeat("x", maxEnrolmentBody+1), 413, "trust.request"},
		{"not JSON", "/enrol", "hello", 400, "trust.malformed"},
		{"nothing", "/enrol", "", 400, "trust.malformed"},
		{"no key", "/enrol", signed(`{}`, node), 400, "trust.key"},
		{"signed by another", "/enrol", signed(`{"key":`+key+`}`, openTest(t, "x")), 400, "trust.request"},
		{"changed after signing", "/enrol", strings.Replace(signed(`{"node":"aa","key":`+key+`}`, node), `aa`, `bb`, 1), 401, "trust.forged"},
		{"no token", "/enrol", signed(`{"key":`+key+`}`, node), 400, "trust.token_malformed"},
		{"renewal without a certificate", "/renew", `{}`, 401, "trust.peer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, answer := post(t, client, hub.url+test.path, test.body)
			if code != test.status || answer.Code != test.code {
				t.Fatalf("%d %q, want %d %q", code, answer.Code, test.status, test.code)
			}
		})
	}
	t.Run("the request's names are not used", func(t *testing.T) {
		if _, err := hub.config.Authority.Issue([]byte("x"), population); lienthong.ErrorCode(err) != "trust.request" {
			t.Fatal(err)
		}
	})
	t.Run("our own failure stays ours", func(t *testing.T) {
		hub.registry.fail = errors.New("disk of host db7 full")
		made, err := newToken([32]byte{}, testTime())
		if err != nil {
			t.Fatal(err)
		}
		payload, err := json.Marshal(enrolRequest{Token: made.encode(), Node: "population", Key: node.PublicKey()})
		if err != nil {
			t.Fatal(err)
		}
		code, answer := post(t, client, hub.url+"/enrol", signed(string(payload), node))
		if code != 500 || answer.Code != "internal" || strings.Contains(answer.En, "db7") {
			t.Fatalf("%d %+v", code, answer)
		}
		if log := hub.logs.String(); !strings.Contains(log, "db7") || strings.Contains(log, made.encode()) {
			t.Fatalf("log: %s", log)
		}
	})
}

func TestHandler_RateLimit(t *testing.T) {
	hub := startHub(t, 5)
	client := hub.browser(t)
	for range 5 {
		if code, _ := post(t, client, hub.url+"/enrol", "{}"); code != 400 {
			t.Fatalf("status %d", code)
		}
	}
	if code, answer := post(t, client, hub.url+"/enrol", "{}"); code != 429 || answer.Code != "trust.too_many" {
		t.Fatalf("%d %+v", code, answer)
	}
	hub.clock.advance(13 * time.Second) // one more of five a minute
	if code, _ := post(t, client, hub.url+"/enrol", "{}"); code != 400 {
		t.Fatalf("status %d after waiting", code)
	}
	if code, _ := post(t, client, hub.url+"/enrol", "{}"); code != 429 {
		t.Fatalf("status %d", code)
	}
}

func TestLimiter_Bounded(t *testing.T) {
	l := newLimiter(2)
	now := testTime()
	for i := range maxAddresses {
		if !l.allow(string(rune('0'+i%10))+strings.Repeat("x", i/10%50)+time.Duration(i).String(), now) {
			t.Fatal("refused too early")
		}
	}
	if l.allow("new", now) {
		t.Fatal("grew beyond its bound")
	}
	if !l.allow("new", now.Add(time.Minute)) || len(l.buckets) != 1 {
		t.Fatalf("%d addresses kept", len(l.buckets))
	}
}

func TestRenew(t *testing.T) {
	hub := startHub(t, 0)
	dir := t.TempDir()
	node, err := OpenIdentity(dir, "population", Options{Now: hub.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Enrol(t.Context(), hub.url, hub.invite(t, population, 0), node); err != nil {
		t.Fatal(err)
	}
	before, _ := node.Membership()
	if node.RenewalDue() {
		t.Fatal("due at once")
	}
	hub.clock.advance(20*24*time.Hour + time.Hour)
	if !node.RenewalDue() {
		t.Fatalf("not due at %v of %v", hub.clock.Now(), node.Expires())
	}
	hub.clock.advance(-20*24*time.Hour - time.Hour) // crypto/tls has its own clock
	if err := node.Renew(t.Context(), hub.secure); err != nil {
		t.Fatal(err)
	}
	after, _ := node.Membership()
	if after.Certificate == before.Certificate {
		t.Fatal("the same certificate")
	}
	again, err := OpenIdentity(dir, "population", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if kept, _ := again.Membership(); kept.Certificate != after.Certificate {
		t.Fatal("the renewal is not durable")
	}
	if hub.registry.nodes[population].Certificate != after.Certificate {
		t.Fatal("the hub keeps the old certificate")
	}
	if err := node.Renew(t.Context(), hub.secure); err != nil {
		t.Fatalf("with the renewed certificate: %v", err)
	}
	hub.config.Directory.Retire(population, hub.clock.Now())
	if err := node.Renew(t.Context(), hub.secure); err == nil {
		t.Fatal("a retired node renewed")
	}
}

func TestDirectory_Signed(t *testing.T) {
	hub := startHub(t, 0)
	node, err := OpenIdentity(t.TempDir(), "population", Options{Now: hub.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Enrol(t.Context(), hub.url, hub.invite(t, population, 0), node); err != nil {
		t.Fatal(err)
	}
	directory, err := node.HubDirectory()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.FetchDirectory(t.Context(), hub.url, directory); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hub.config.Directory.Registrations(), directory.Registrations()); diff != "" {
		t.Fatalf("not what the hub has: %s", diff)
	}
	now := hub.clock.Now()
	signed := func(version uint64, validity time.Duration, from *Directory, by *Identity) []byte {
		document, err := from.SignedDirectory(by, version, validity)
		if err != nil {
			t.Fatal(err)
		}
		return document
	}
	newest := uint64(now.UnixMicro()) + 10
	good := signed(newest, time.Hour, hub.config.Directory, hub.identity)
	for _, test := range []struct {
		name     string
		document []byte
		code     string
	}{
		{"newer", good, ""},
		{"the same again", good, "trust.directory_stale"},
		{"older", signed(newest-1, time.Hour, hub.config.Directory, hub.identity), "trust.directory_stale"},
		{"expired", signed(newest+1, -time.Hour, hub.config.Directory, hub.identity), "trust.directory_expired"},
		{"signed by a node", signed(newest+1, time.Hour, hub.config.Directory, node), "trust.not_a_hub"},
		{"signed by a stranger", signed(newest+1, time.Hour, hub.config.Directory, openTest(t, "hub")), "trust.unknown_signer"},
		{"without the hub", signed(newest+1, time.Hour, NewDirectory(), hub.identity), "trust.directory_incomplete"},
		{"changed", bytes.Replace(good, []byte("population"), []byte("populatiom"), 1), "trust.forged"},
		{"not JSON", []byte("x"), "trust.malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := lienthong.ErrorCode(directory.Import(test.document, now)); got != test.code {
				t.Fatalf("code %q, want %q", got, test.code)
			}
		})
	}
}

func TestDirectory_OneKeyInUse(t *testing.T) {
	directory := NewDirectory()
	first, second := openTest(t, "population"), openTest(t, "population")
	for since, identity := range []*Identity{first, second} {
		if _, err := directory.Register(Registration{
			Node: population, Role: RoleNode, Key: identity.PublicKey(), Since: int64(since + 1),
		}); err != nil {
			t.Fatal(err)
		}
	}
	for identity, code := range map[*Identity]string{first: "trust.retired_signer", second: ""} {
		signature, err := identity.Sign([]byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := directory.Verify([]byte("x"), signature); lienthong.ErrorCode(err) != code {
			t.Fatalf("%v, want %q", err, code)
		}
	}
}

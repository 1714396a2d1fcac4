package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/console"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/landing"
	"github.com/lienthong/lienthong/internal/store"
	"github.com/lienthong/lienthong/internal/telemetry"
	"github.com/lienthong/lienthong/internal/trust"
)

// HubParts is what a caller of StartHub may bring along.
type HubParts struct {
	Definitions []*dictionary.Definition
	Databases   []lienthong.Database // beyond the national list
	Now         func() time.Time
	Log         *slog.Logger
	Step        func(point string) // see landing.Config and store.Config
	// Idle keeps the line to the hub above closed: for commands that work on the data of a hub
	// that does not run.
	Idle bool
}

// Hub is a running hub.
type Hub struct {
	config    *HubConfig
	log       *slog.Logger
	now       func() time.Time
	identity  *trust.Identity
	authority *trust.Authority
	directory *trust.Directory // whom this hub believes: nodes, and the hubs above
	enrolment *trust.Enrolment
	upstream  *upstream // nil: no hub is above this one
	store     *store.Store
	audit     *audit.Log
	bus       *bus.Hub
	words     *dictionary.Dictionary // the edition inside the program
	workplace *workplace
	monitor   *monitor
	gate      *gate
	meters    *telemetry.Meters
	health    *telemetry.Health
	local     *local

	consoleAddr string
	feedsAddr   string
	feedsNATS   string
	enrolAddr   string
	closers     closers
	failed      chan error
}

// closers run in the reverse order of their registration.
type closers []func()

func (c *closers) add(f func()) { *c = append(*c, f) }

func (c *closers) run() {
	for i := len(*c) - 1; i >= 0; i-- {
		(*c)[i]()
	}
	*c = nil
}

// StartHub opens everything a hub needs, in the order in which data flows to it,
// and starts landing. Close ends it; Failed tells when it cannot go on.
func StartHub(ctx context.Context, config *HubConfig, parts HubParts) (_ *Hub, err error) {
	config.complete()
	if parts.Now == nil {
		parts.Now = time.Now
	}
	if parts.Log == nil {
		parts.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{config: config, log: parts.Log, now: parts.Now, failed: make(chan error, 1), local: newLocal(parts.Log)}
	defer func() {
		if err != nil {
			h.closers.run()
		}
	}()
	member, err := lienthong.ParseMemberCode(config.Member)
	if err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(config.Data, 0o700); err != nil {
		return nil, err
	}
	lock, err := durable.LockDirectory(config.Data)
	if err != nil {
		return nil, err
	}
	h.closers.add(func() { _ = lock.Release() })
	words, err := dictionary.Builtin()
	if err != nil {
		return nil, err
	}
	h.words = words
	definitions, err := loadDefinitions(config.path, config.Definitions)
	if err != nil {
		return nil, err
	}
	definitions = append(definitions, parts.Definitions...)

	// Who we are, and whom we believe.
	if h.identity, err = trust.OpenIdentity(filepath.Join(config.Data, "keys"), config.Name, trust.Options{Now: parts.Now}); err != nil {
		return nil, err
	}
	if h.authority, err = trust.OpenAuthority(filepath.Join(config.Data, "authority"), trust.AuthorityOptions{Name: config.Title, Options: trust.Options{Now: parts.Now}}); err != nil {
		return nil, err
	}
	self := trust.NodeID{Bloc: lienthong.Bloc(config.Bloc), Member: member, Node: config.Name}
	if err := h.authority.Install(h.identity, self, config.Title, config.Hosts...); err != nil {
		return nil, err
	}
	directory := trust.NewDirectory()
	h.directory = directory

	// Where records land, and where everything is written down.
	if h.store, err = openStore(ctx, config, parts); err != nil {
		return nil, err
	}
	h.closers.add(func() { _ = h.store.Close() })
	if h.audit, err = audit.Open(ctx, audit.Config{
		Dir: filepath.Join(config.Data, "audit"), Origin: "lienthong/" + string(member) + "/" + config.Name,
		Countersign: h.identity.Sign, Now: parts.Now, Log: parts.Log,
	}); err != nil {
		return nil, err
	}
	h.closers.add(func() { _ = h.audit.Close(context.WithoutCancel(ctx)) })
	if h.enrolment, err = trust.NewEnrolment(ctx, trust.EnrolmentConfig{
		Authority: h.authority, Registry: h.store, Directory: directory, Hub: h.identity, Now: parts.Now, Log: parts.Log,
		Observe: func(ctx context.Context, e trust.EnrolmentEvent) {
			h.note(ctx, audit.Entry{Kind: audit.Enrolment, Actor: e.Node.String(), Node: e.Node.Node, Detail: map[string]string{"code": e.Code, "key": e.KeyID}})
			if h.upstream != nil {
				wake(h.upstream.listed)
			}
		},
	}); err != nil {
		return nil, err
	}
	if h.meters, err = telemetry.NewMeters(); err != nil {
		return nil, err
	}
	h.closers.add(func() { _ = h.meters.Close(context.WithoutCancel(ctx)) })
	h.health = telemetry.NewHealth(parts.Now)
	recordKey, err := h.secret(ctx, "record_key")
	if err != nil {
		return nil, err
	}
	h.monitor = newMonitor(monitorConfig{
		hub: h, words: words, definitions: definitions, databases: parts.Databases, now: parts.Now, recordKey: recordKey,
	})
	if err := h.monitor.load(ctx); err != nil {
		return nil, err
	}

	if h.workplace, err = openWorkplace(ctx, h, recordKey); err != nil {
		return nil, err
	}

	// The road in: links, inbox, landing.
	linkTLS, err := h.identity.ServerTLS(func(peer trust.NodeID) error {
		if !directory.Active(peer) {
			return fmt.Errorf("node %s is not admitted", peer)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if h.bus, err = bus.StartHub(ctx, bus.HubConfig{
		Name: config.Name, Dir: filepath.Join(config.Data, "inbox"), Listen: config.Links, TLS: linkTLS, Signer: h.identity,
		Peer: func(state tls.ConnectionState) (string, error) {
			peer, err := trust.Peer(state)
			return peer.Node, err
		},
		Relays: h.enrolment.Relays, Log: parts.Log,
	}); err != nil {
		return nil, err
	}
	h.closers.add(h.bus.Close)
	opener, err := batch.NewOpener(batchVerifier{directory})
	if err != nil {
		return nil, err
	}
	land := landing.Config{
		Hub: config.Name, Inbox: inbox{h.bus}, Answer: answer{hub: h, signer: h.identity}, Store: landingStore{h.store},
		Opener: opener, Admit: h.admit, Observe: h.observe, Now: parts.Now, Log: parts.Log, Step: parts.Step,
	}
	if config.Upstream != nil {
		if err := h.openUpstream(ctx, parts.Idle); err != nil {
			return nil, err
		}
		land.Relay = h.upstream
	}
	lander := landing.New(land)
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	h.closers.add(func() { cancel(); running.Wait(); opener.Close() })
	run := func(name string, f func(context.Context) error) {
		running.Go(func() {
			if err := f(runCtx); err != nil && runCtx.Err() == nil {
				h.log.ErrorContext(runCtx, "hub stopped", slog.String("part", name), slog.Any("error", err))
				select {
				case h.failed <- fmt.Errorf("%s: %w", name, err):
				default:
				}
			}
		})
	}
	run("landing", lander.Run)
	run("audit", h.drainAudit)
	run("statuses", func(ctx context.Context) error { return h.bus.Statuses(ctx, h.monitor.status(nodeVerifier{directory})) })
	run("rules", h.monitor.runSetRules)
	run("audit check", h.monitor.checkAudit)
	run("workplace", h.workplace.run)
	run("examinations", h.workplace.examine)
	run("renewals", h.renewals)
	run("passed receipts", func(ctx context.Context) error { return h.bus.Heard(ctx, h.heard) })
	if h.upstream != nil {
		run("upstream", h.upstream.run)
	}
	h.note(ctx, audit.Entry{Kind: audit.Configuration, Actor: self.String(), Detail: map[string]string{"event": "start", "store": h.store.Engine()}})

	if err := h.open(ctx); err != nil {
		return nil, err
	}
	h.bundleCommands()
	h.recheckCommand()
	if err := h.openFeeds(ctx, words); err != nil {
		return nil, err
	}
	stop, err := h.local.open(ctx, config.Data)
	if err != nil {
		return nil, err
	}
	h.closers.add(stop)
	return h, nil
}

func openStore(ctx context.Context, config *HubConfig, parts HubParts) (*store.Store, error) {
	settings := store.Config{Logger: parts.Log, Now: parts.Now, Step: parts.Step}
	if config.Postgres != "" {
		records, err := store.OpenPostgres(ctx, string(config.Postgres), settings)
		if err != nil && lienthong.ErrorCode(err) == "internal" {
			err = &lienthong.Error{
				Code: "store.open", Where: "postgres", Vi: "không mở được kho dữ liệu PostgreSQL", En: "the PostgreSQL store cannot be opened",
				Hint: "kiểm tra địa chỉ, tài khoản, quyền CREATE trên cơ sở dữ liệu / check the address, the account, and its right to CREATE in the database",
				Err:  err,
			}
		}
		return records, err
	}
	return store.OpenSQLite(ctx, filepath.Join(config.Data, "records"), settings)
}

// open starts the doors: enrolment, console, metrics.
func (h *Hub) open(ctx context.Context) error {
	enrolTLS, err := h.identity.ServerTLS(nil)
	if err != nil {
		return err
	}
	// A node that enrols has no certificate yet; one that renews shows the old one.
	enrolTLS.ClientAuth, enrolTLS.VerifyConnection = tls.VerifyClientCertIfGiven, nil
	if h.enrolAddr, err = h.serve(ctx, h.config.Enrol, h.enrolment.Handler(), enrolTLS); err != nil {
		return err
	}
	if h.config.Metrics != "" {
		mux := http.NewServeMux()
		mux.Handle("/metrics", h.meters.Handler())
		mux.Handle("/healthz", h.health.Handler())
		if _, err := h.serve(ctx, h.config.Metrics, mux, nil); err != nil {
			return err
		}
	}
	if h.config.Console == "off" {
		return nil
	}
	secure := !loopback(h.config.Console)
	h.gate = &gate{store: h.store, hub: h}
	place, err := h.workplace.console()
	if err != nil {
		return err
	}
	pages, err := console.New(console.Config{Source: h.monitor, Gate: h.gate, Workplace: place, Log: h.log, Now: h.now, Secure: secure})
	if err != nil {
		return err
	}
	h.closers.add(func() { pages.Close() })
	consoleTLS, err := h.identity.EnrolmentTLS()
	if err != nil {
		return err
	}
	if !secure {
		consoleTLS = nil
	}
	h.consoleAddr, err = h.serve(ctx, h.config.Console, pages, consoleTLS)
	return err
}

// Close ends the hub in the reverse order of its start.
func (h *Hub) Close() { h.closers.run() }

// Failed receives an error when a part of the hub has ended that cannot go on.
func (h *Hub) Failed() <-chan error { return h.failed }

// LinksAddr is where nodes connect to.
func (h *Hub) LinksAddr() string { return h.bus.Addr() }

// EnrolURL is where nodes enrol.
func (h *Hub) EnrolURL() string { return "https://" + h.enrolAddr }

// ConsoleURL is where people look. A console that listens on every address is
// named by the first host of the certificate.
func (h *Hub) ConsoleURL() string {
	if loopback(h.config.Console) {
		return "http://" + h.consoleAddr
	}
	host, port, err := net.SplitHostPort(h.consoleAddr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return "https://" + net.JoinHostPort(h.config.Hosts[0], port)
	}
	return "https://" + h.consoleAddr
}

// SignInURL makes a one-time sign-in link.
func (h *Hub) SignInURL(ctx context.Context) (string, error) {
	token := rand.Text()
	if err := h.store.SaveSignInToken(ctx, hashOf(token), administrator, h.now().Add(signInLifetime)); err != nil {
		return "", err
	}
	return h.ConsoleURL() + "/signin?token=" + token, nil
}

// Invite makes a one-time enrolment token for a node of a member.
func (h *Hub) Invite(ctx context.Context, bloc lienthong.Bloc, member lienthong.MemberCode, node string) (string, error) {
	return h.enrolment.Invite(ctx, trust.NodeID{Bloc: bloc, Member: member, Node: node}, 0)
}

// note puts an entry into the audit log without making the caller wait for its
// flush.
func (h *Hub) note(ctx context.Context, e audit.Entry) {
	if err := h.audit.Enqueue(ctx, e); err != nil {
		h.log.ErrorContext(ctx, "audit entry not written", slog.Any("error", err))
	}
}

// observe hears what landing did.
func (h *Hub) observe(e landing.Event) {
	h.monitor.observe(e)
	ctx := context.Background() //nolint:forbidigo // the event has happened; nobody waits for its entry
	meters := h.meters.Stream(e.Header.Stream)
	switch e.Kind {
	case "landed":
		meters.Landed(ctx, e.Bytes, e.Applied.Landed, e.Applied.Ignored)
		for _, lag := range e.Lags {
			meters.Lag(ctx, time.Duration(lag)*time.Microsecond)
		}
	case "refused":
		h.meters.Refused(ctx, e.Code)
		h.note(ctx, audit.Entry{
			Kind: audit.Refusal, Actor: h.config.Name, Node: e.Header.Node, Dataset: e.Header.Dataset.String(),
			Sequence: e.Header.Sequence, Digest: e.Digest, Detail: map[string]string{"code": e.Code},
		})
	case "restarted":
		h.note(ctx, audit.Entry{
			Kind: audit.Refusal, Actor: h.config.Name, Node: e.Header.Node, Dataset: e.Header.Dataset.String(),
			Sequence: e.Header.Sequence, Digest: e.Digest, Detail: map[string]string{"code": e.Code},
		})
	case "reconciled":
		meters.Reconciled(ctx, e.Result.Result)
		if err := h.tellResult(e.Header.Node, e.Result); err != nil {
			h.log.DebugContext(ctx, "result not told", slog.Any("error", err)) // the next comparison tells it
		}
		h.note(ctx, audit.Entry{
			Kind: audit.Reconciliation, Actor: h.config.Name, Node: e.Header.Node, Dataset: e.Header.Dataset.String(),
			Sequence: e.Header.Sequence, Digest: e.Digest,
			Detail: map[string]string{
				"result": string(e.Result.Result), "source": strconv.FormatInt(e.Result.SourceRows, 10),
				"landed": strconv.FormatInt(e.Result.LandedRows, 10), "quarantined": strconv.FormatInt(e.Result.Quarantined, 10),
			},
		})
	}
}

// drainAudit moves the ledger's entries from the store's outbox into the log, in
// commit order. An entry leaves the outbox only after it is durable in the log.
func (h *Hub) drainAudit(ctx context.Context) error {
	const most = 512
	for {
		entries, err := h.store.AuditOutbox(ctx, 0, most)
		if err == nil && len(entries) > 0 {
			leaves := make([]audit.Entry, len(entries))
			for i, e := range entries {
				if leaves[i], err = landedLeaf(h.config.Name, e); err != nil {
					return err
				}
			}
			if _, err = h.audit.AppendAll(ctx, leaves); err == nil {
				err = h.store.AuditDone(ctx, entries[len(entries)-1].No)
			}
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			h.log.ErrorContext(ctx, "audit outbox not drained", slog.Any("error", err))
		}
		if len(entries) == most && err == nil {
			continue
		}
		timer := time.NewTimer(250 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func landedLeaf(hub string, e store.AuditEntry) (audit.Entry, error) {
	var line struct {
		Stream   string `json:"stream"`
		Sequence uint64 `json:"sequence"`
		Kind     string `json:"kind"`
		Digest   string `json:"digest"`
		Rows     int    `json:"rows"`
		Landed   int    `json:"landed"`
		Ignored  int    `json:"ignored"`
		Refused  int    `json:"refused"`
	}
	if err := json.Unmarshal(e.Entry, &line); err != nil {
		return audit.Entry{}, fmt.Errorf("audit outbox entry %d: %w", e.No, err)
	}
	node, dataset := splitStream(line.Stream)
	return audit.Entry{
		At: e.At, Kind: audit.BatchLanded, Actor: hub, Node: node, Dataset: dataset, Sequence: line.Sequence, Digest: line.Digest,
		Detail: map[string]string{
			"kind": line.Kind, "rows": strconv.Itoa(line.Rows), "landed": strconv.Itoa(line.Landed),
			"ignored": strconv.Itoa(line.Ignored), "refused": strconv.Itoa(line.Refused),
		},
	}, nil
}

// AuditDrained reports whether every committed batch is in the log.
func (h *Hub) AuditDrained(ctx context.Context) (bool, error) {
	entries, err := h.store.AuditOutbox(ctx, 0, 1)
	return len(entries) == 0, err
}

// secret is a random key that the hub makes once and keeps.
func (h *Hub) secret(ctx context.Context, name string) ([]byte, error) {
	path := filepath.Join(h.config.Data, "keys", name)
	return secretFile(path)
}

func secretFile(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err == nil && len(key) == sha256.Size {
		return key, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key = make([]byte, sha256.Size)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, durable.WriteFile(path, key, 0o600)
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

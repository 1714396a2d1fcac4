package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/store"
	"github.com/lienthong/lienthong/internal/telemetry"
	"github.com/lienthong/lienthong/internal/trust"
)

// upstream is the link of a hub to the hub above it: there it is a node, whose spool
// holds the batches of the nodes behind it exactly as they signed them.
type upstream struct {
	hub       *Hub
	config    *UpstreamConfig
	identity  *trust.Identity  // at the hub above
	directory *trust.Directory // of the hub above, and of those above that
	above     string           // the name of the hub above
	bus       *bus.Node
	listed    chan struct{} // the list of nodes has changed
	told      chan struct{} // receipts wait to be passed on
	stranger  chan struct{} // a hub has signed whose key is not known yet
	gone      chan bus.Expect

	mu      sync.Mutex
	known   map[string]bool                // nodes that the hub above has taken from this hub's list
	settled map[lienthong.Stream]uint64    // the newest batch that the hub above has, as far as this run knows
	asked   map[lienthong.Stream]time.Time // chains that have to begin anew, and when their node was last asked
}

// askRestartEvery is how often a node is asked to begin a chain anew, until it has. The
// request may get lost, and the node obeys once.
const askRestartEvery = 5 * time.Second

// openUpstream enrols at the hub above when it must, and opens the spool and the link.
func (h *Hub) openUpstream(ctx context.Context, idle bool) error {
	c := h.config.Upstream
	u := &upstream{
		hub: h, config: c, listed: make(chan struct{}, 1), told: make(chan struct{}, 1), stranger: make(chan struct{}, 1),
		gone: make(chan bus.Expect, 64), settled: map[lienthong.Stream]uint64{}, asked: map[lienthong.Stream]time.Time{},
	}
	data := filepath.Join(h.config.Data, "upstream")
	var err error
	if u.identity, err = trust.OpenIdentity(filepath.Join(data, "keys"), h.config.Name, trust.Options{Now: h.now}); err != nil {
		return err
	}
	membership, enrolled := u.identity.Membership()
	if !enrolled {
		if c.Token == "" || c.Enrol == "" {
			return &lienthong.Error{
				Code: "upstream.not_enrolled", Where: h.config.Name, Vi: "trung tâm chưa đăng ký với trung tâm cấp trên",
				En:   "the hub is not enrolled with the hub above it",
				Hint: "xin mã tại trung tâm cấp trên (lienthong enrol --hub), ghi vào upstream.token_file / get a token there with lienthong enrol --hub, set upstream.token_file",
			}
		}
		if membership, err = trust.Enrol(ctx, c.Enrol, string(c.Token), u.identity); err != nil {
			return err
		}
	}
	u.above = membership.Hub.Node
	if u.directory, err = u.identity.HubDirectory(); err != nil {
		return err
	}
	keepDirectory{path: filepath.Join(data, "directory.json"), identity: u.identity, directory: u.directory, log: h.log}.load(ctx)
	if err := u.introduce(); err != nil {
		return err
	}
	tls, err := u.identity.ClientTLS(membership.Hub)
	if err != nil {
		return err
	}
	links := c.Links
	if idle {
		links = ""
	}
	if u.bus, err = bus.StartNode(ctx, bus.NodeConfig{
		Name: h.config.Name, Dir: filepath.Join(data, "spool"), HubAddr: links, TLS: tls, Signer: u.identity,
		Hub: hubVerifier{u.directory}, HubName: u.above, Relay: true, MaxBytes: c.SpoolMB << 20, Reserve: c.ReserveMB << 20,
		Ready: func(s lienthong.Stream) bool {
			u.mu.Lock()
			defer u.mu.Unlock()
			return u.known[s.Node] // it would take the batch of a stranger for a forgery
		},
		Rate: c.at(h.now), Class: func(s lienthong.Stream) bus.Class { return classOf(c.Priorities, s.Dataset) },
		Receipted: u.receipted, Passed: u.passed, Gone: u.lost, Restart: u.restart, Repair: u.repair, Reconcile: u.reconcile,
		Stranger: func() { wake(u.stranger) }, Log: h.log,
	}); err != nil {
		return err
	}
	h.closers.add(u.bus.Close)
	h.upstream = u
	return nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// introduce makes the hubs above known to the nodes of this hub: their list of keys
// has them from now on.
func (u *upstream) introduce() error {
	for _, hub := range u.directory.Hubs() {
		if hub.Node.Node == u.hub.config.Name {
			return &lienthong.Error{
				Code: "trust.name_taken", Where: hub.Node.String(), Vi: "trung tâm cấp trên trùng tên với trung tâm này",
				En: "a hub above has the name of this hub", Hint: "đổi name của một trong hai / change the name of one of the two",
			}
		}
		if _, err := u.hub.directory.Register(hub); err != nil {
			return err
		}
	}
	return nil
}

// Relay implements landing.Relay.
func (u *upstream) Relay(ctx context.Context, batches []*batch.Sealed) error {
	for _, s := range batches {
		u.mu.Lock()
		known := s.Header.Sequence <= u.settled[s.Header.Stream]
		if s.Header.Begins() {
			delete(u.asked, s.Header.Stream)
		}
		u.mu.Unlock()
		if known {
			continue
		}
		if err := u.bus.Append(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// receipted writes down that the hub above has batches, before they leave the spool:
// in the log, and for the nodes whose batches they are.
func (u *upstream) receipted(ctx context.Context, signed []bus.SignedReceipt, receipts []lienthong.Receipt) error {
	if err := u.passed(ctx, signed, receipts); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range receipts {
		u.settled[r.Stream] = max(u.settled[r.Stream], r.Sequence)
		delete(u.asked, r.Stream)
	}
	return nil
}

// passed keeps receipts for the nodes behind this hub.
func (u *upstream) passed(ctx context.Context, signed []bus.SignedReceipt, receipts []lienthong.Receipt) error {
	if _, err := u.hub.audit.AppendAll(ctx, receiptLeaves(signed, receipts)); err != nil {
		return err
	}
	kept := make([]store.PassedReceipt, len(receipts))
	for i, r := range receipts {
		kept[i] = store.PassedReceipt{Stream: r.Stream, Sequence: r.Sequence, Hub: r.Hub, Body: signed[i].Body, Signature: signed[i].Signature}
	}
	if err := u.hub.store.KeepPassed(ctx, kept); err != nil {
		return err
	}
	wake(u.told)
	return nil
}

// lost hears that the hub above asks for a batch that is not in the spool. It is called
// by the link, which must not wait.
func (u *upstream) lost(e bus.Expect) {
	select {
	case u.gone <- e:
	default: // it is asked again
	}
}

// restart notes what a hub above asks of a node; it is told when the node can hear it.
func (u *upstream) restart(s lienthong.Stream) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.asked[s]; !known {
		u.asked[s] = time.Time{}
	}
}

// askRestarts asks nodes that can hear it to begin chains anew.
func (u *upstream) askRestarts() {
	u.mu.Lock()
	var due []lienthong.Stream
	for s, at := range u.asked {
		if u.hub.now().Sub(at) >= askRestartEvery {
			due = append(due, s)
		}
	}
	u.mu.Unlock()
	for _, s := range due {
		if !u.hub.monitor.hears(u.hub.route(s.Node)) {
			continue
		}
		u.tell(s.Node, bus.Control{Restart: &s})
		u.mu.Lock()
		if _, still := u.asked[s]; still {
			u.asked[s] = u.hub.now()
		}
		u.mu.Unlock()
	}
}

func (u *upstream) repair(r bus.Repair) { u.tell(r.Stream.Node, bus.Control{Repair: &r}) }

func (u *upstream) tell(node string, c bus.Control) {
	if err := u.hub.tell(node, c); err != nil {
		u.hub.log.Warn("node not told", slog.String("node", node), slog.Any("error", err))
	}
}

// reconcile asks the named node, or all behind this hub, for a comparison.
func (u *upstream) reconcile(node string) {
	if node != "" && node != u.hub.config.Name {
		u.tell(node, bus.Control{Reconcile: true, Of: node})
		return
	}
	for _, r := range u.hub.directory.Registrations() {
		if r.Role == trust.RoleNode && r.Retired == 0 {
			u.tell(r.Node.Node, bus.Control{Reconcile: true, Of: r.Node.Node})
		}
	}
}

// resolve decides what becomes of a batch that the hub above lacks and the spool does not
// have: what this hub has landed is nowhere any more, so the node begins its chain anew.
func (u *upstream) resolve(ctx context.Context, e bus.Expect) error {
	heads, err := u.hub.store.Heads(ctx)
	if err != nil || heads[e.Stream].Sequence < e.Sequence {
		return err // not here yet: it will come up the chain
	}
	u.mu.Lock()
	_, known := u.asked[e.Stream]
	u.mu.Unlock()
	if !known {
		u.hub.log.WarnContext(ctx, "the hub above lacks batches that nobody keeps any more; their node begins the chain anew",
			slog.String("code", "upstream.gone"), slog.String("stream", e.Stream.String()), slog.Uint64("sequence", e.Sequence))
	}
	u.restart(e.Stream)
	return nil
}

// run does what the link needs beside it, until ctx ends.
func (u *upstream) run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { u.passOn(ctx) })
	parts.Go(func() { u.statuses(ctx) })
	parts.Go(func() { u.list(ctx) })
	parts.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				u.askRestarts()
			case e := <-u.gone:
				if err := u.resolve(ctx, e); err != nil && ctx.Err() == nil {
					u.hub.log.WarnContext(ctx, "ledger not read", slog.Any("error", err))
				}
			case <-ctx.Done():
				return
			}
		}
	})
	parts.Wait()
	return nil
}

const (
	// passAgain is when a receipt that a node has not answered is told again.
	passAgain = 5 * time.Second
	passMost  = 250
)

// passOn tells nodes what hubs above have receipted, until they say that they have it.
func (u *upstream) passOn(ctx context.Context) {
	tick := time.NewTicker(passAgain)
	defer tick.Stop()
	for {
		nodes, err := u.hub.store.PassedNodes(ctx)
		for _, node := range nodes {
			if err == nil && u.hub.monitor.hears(u.hub.route(node)) {
				err = u.passTo(ctx, node)
			}
		}
		if err != nil && ctx.Err() == nil {
			u.hub.log.WarnContext(ctx, "receipts not passed on", slog.Any("error", err))
		}
		select {
		case <-u.told:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (u *upstream) passTo(ctx context.Context, node string) error {
	for {
		list, err := u.hub.store.Untold(ctx, node, u.hub.now().Add(-passAgain), passMost)
		if err != nil || len(list) == 0 {
			return err
		}
		c := bus.Control{Receipts: make([]bus.SignedReceipt, len(list))}
		for i, r := range list {
			c.Receipts[i] = bus.SignedReceipt{Body: r.Body, Signature: r.Signature}
		}
		if err := u.hub.tell(node, c); err != nil {
			return err
		}
		if len(list) < passMost {
			return nil
		}
	}
}

// heard forgets what nodes say they have. Only nodes that are reached by the link that
// says it are believed.
func (h *Hub) heard(link string, refs []bus.ReceiptRef) {
	var list []store.PassedReceipt
	for _, r := range refs {
		if h.route(r.Stream.Node) == link {
			list = append(list, store.PassedReceipt{Stream: r.Stream, Sequence: r.Sequence, Hub: r.Hub})
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) //nolint:forbidigo // a callback without one
	defer cancel()
	if err := h.store.Heard(ctx, list); err != nil {
		h.log.WarnContext(ctx, "answered receipts not forgotten", slog.Any("error", err))
	}
}

// statuses tells the hub above that this one is there and what its spool holds, and
// judges the link.
func (u *upstream) statuses(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	code := ""
	for {
		s := nodeStatus{Node: u.hub.config.Name, At: u.hub.now().UnixMicro()}
		s.SpoolBatches, s.SpoolBytes = u.bus.Depth()
		body, err := json.Marshal(s)
		if err == nil {
			err = u.bus.Status(body)
		}
		if err != nil && ctx.Err() == nil {
			u.hub.log.DebugContext(ctx, "status not sent", slog.Any("error", err))
		}
		judgeLink(u.hub.health, "upstream", u.bus.Linked())
		now := judgeSpool(u.hub.health, "upstream spool", u.bus.Fill())
		if now != code && now != "spool.room" {
			u.hub.log.WarnContext(ctx, "the spool towards the hub above is filling up; when it is full, landing waits and nothing is dropped",
				slog.String("code", now), slog.Int("batches", s.SpoolBatches), slog.Int64("bytes", s.SpoolBytes))
		}
		code = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func judgeLink(health *telemetry.Health, what string, up bool) {
	if up {
		health.Set(what, telemetry.OK, "link.up", "đã nối với trung tâm", "linked to the hub")
	} else {
		health.Set(what, telemetry.Degraded, "link.down", "chưa nối được với trung tâm; lô được giữ lại ở đây", "not linked to the hub; batches are kept here")
	}
}

// judgeSpool tells how full a spool is, and returns the code.
func judgeSpool(health *telemetry.Health, what string, fill float64) string {
	level, code := telemetry.OK, "spool.room"
	switch {
	case fill >= 0.9:
		level, code = telemetry.Failed, "spool.90"
	case fill >= 0.7:
		level, code = telemetry.Degraded, "spool.70"
	}
	percent := strconv.Itoa(int(fill * 100))
	health.Set(what, level, code, "hàng đợi bền dùng "+percent+" %", "the spool is "+percent+" % full")
	return code
}

const (
	listAgain = 5 * time.Second // after a failure
	listEvery = time.Hour
)

// list tells the hub above which nodes are behind this one: when the link comes up, when
// a node comes or goes, and from time to time. With it go renewal and the directory.
func (u *upstream) list(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	keep := keepDirectory{
		path: filepath.Join(u.hub.config.Data, "upstream", "directory.json"), identity: u.identity, directory: u.directory,
		enrol: u.config.Enrol, log: u.hub.log,
	}
	var next time.Time
	up := false
	changed := true
	for {
		linked := u.bus.Linked()
		if u.config.Enrol != "" && linked && (!up || changed || !u.hub.now().Before(next)) {
			next = u.hub.now().Add(listEvery)
			if err := u.sendList(ctx, changed); err != nil {
				next = u.hub.now().Add(listAgain)
				if ctx.Err() == nil {
					u.hub.log.WarnContext(ctx, "list of nodes not sent", slog.String("code", lienthong.ErrorCode(err)), slog.Any("error", err))
				}
			} else {
				changed = false
			}
			keep.refresh(ctx)
			if err := u.introduce(); err != nil {
				u.hub.log.ErrorContext(ctx, "hub above not taken in", slog.Any("error", err))
			}
		}
		up = linked
		select {
		case <-u.listed:
			changed = true
		case <-u.stranger:
			keep.refresh(ctx)
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// nodeList is the signed list of the nodes behind this hub.
func (u *upstream) nodeList() ([]byte, error) {
	return u.hub.directory.SignedNodes(u.identity, uint64(max(u.hub.now().UnixMicro(), 0)))
}

func (u *upstream) sendList(ctx context.Context, changed bool) error {
	known := map[string]bool{}
	for _, r := range u.hub.directory.Registrations() {
		known[r.Node.Node] = r.Role == trust.RoleNode
	}
	signed, err := u.nodeList()
	if err != nil {
		return err
	}
	refused, err := u.identity.SendNodes(ctx, u.config.Enrol, signed)
	if err != nil {
		return err
	}
	for _, r := range refused {
		known[r.Node.Node] = false
		u.hub.log.WarnContext(ctx, "the hub above does not take a node", slog.String("code", r.Code), slog.String("node", r.Node.String()))
	}
	u.mu.Lock()
	u.known = known
	u.mu.Unlock()
	if len(refused) > 0 {
		u.hub.health.Set("upstream nodes", telemetry.Failed, refused[0].Code,
			"trung tâm cấp trên không nhận nút "+refused[0].Node.Node, "the hub above does not take node "+refused[0].Node.Node)
	} else {
		u.hub.health.Clear("upstream nodes")
	}
	if changed {
		u.bus.Again() // what was refused from a node that was not known yet
	}
	return nil
}

// keepDirectory keeps a hub's signed list of keys in a file and fresh, so that a node
// that is out of reach for long knows what it knew.
type keepDirectory struct {
	path      string
	identity  *trust.Identity
	directory *trust.Directory
	enrol     string // of the hub; empty: it cannot be asked
	log       *slog.Logger
}

func (k keepDirectory) load(ctx context.Context) {
	signed, err := os.ReadFile(k.path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		err = k.identity.ImportDirectory(signed, k.directory)
	}
	if err != nil { // too old, as a rule: the hub's own key is in the membership
		k.log.InfoContext(ctx, "kept directory not used", slog.String("code", lienthong.ErrorCode(err)), slog.Any("error", err))
	}
}

// take imports a list that came by hand and keeps it.
func (k keepDirectory) take(signed []byte) error {
	if err := k.identity.ImportDirectory(signed, k.directory); err != nil {
		return err
	}
	return durable.WriteFile(k.path, signed, 0o600)
}

// refresh renews the certificate when it is due and fetches the list.
func (k keepDirectory) refresh(ctx context.Context) {
	if k.enrol == "" {
		return
	}
	if k.identity.RenewalDue() {
		if err := k.identity.Renew(ctx, k.enrol); err != nil && ctx.Err() == nil {
			k.log.WarnContext(ctx, "certificate not renewed", slog.String("code", lienthong.ErrorCode(err)), slog.Any("error", err))
		}
	}
	signed, err := k.identity.FetchDirectory(ctx, k.enrol, k.directory)
	if err == nil {
		err = durable.WriteFile(k.path, signed, 0o600)
	}
	if err != nil && ctx.Err() == nil {
		k.log.InfoContext(ctx, "directory not fetched", slog.String("code", lienthong.ErrorCode(err)), slog.Any("error", err))
	}
}

// receiptLeaves is what a log says of receipts.
func receiptLeaves(signed []bus.SignedReceipt, receipts []lienthong.Receipt) []audit.Entry {
	leaves := make([]audit.Entry, len(receipts))
	for i, r := range receipts {
		leaves[i] = receiptLeaf(signed[i], r)
	}
	return leaves
}

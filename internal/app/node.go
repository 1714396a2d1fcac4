package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/capture"
	"github.com/lienthong/lienthong/internal/connector"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/durable"
	"github.com/lienthong/lienthong/internal/store"
	"github.com/lienthong/lienthong/internal/telemetry"
	"github.com/lienthong/lienthong/internal/trust"
)

// NodeParts is what a caller of StartNode may bring along.
type NodeParts struct {
	// Definitions by source, beyond those of the configuration.
	Definitions [][]*dictionary.Definition
	Now         func() time.Time
	Log         *slog.Logger
	Step        func(point string) // see capture.Config.Step
	// Sealed hears of every batch that is in the spool; see capture.Config.
	Sealed func(*batch.Sealed)
	// AcknowledgeEarly breaks the first promise; see capture.Config.
	AcknowledgeEarly bool
	// Idle opens neither sources nor the line: for commands that work on the data of a node that
	// does not run.
	Idle bool
}

// Node is a running node.
type Node struct {
	config   *NodeConfig
	log      *slog.Logger
	now      func() time.Time
	identity *trust.Identity
	state    *store.NodeState
	audit    *audit.Log
	bus      *bus.Node
	meters   *telemetry.Meters
	health   *telemetry.Health
	local    *local
	sources  *sources
	parts    sourceParts
	adding   sync.Mutex    // one database at a time
	asked    chan struct{} // somebody wants a comparison now
	hubKeys  *trust.Directory
	stranger chan struct{} // a hub has signed whose key is not known yet
	lost     chan bus.Expect

	// owned by statuses
	measured     map[lienthong.DatasetID]capture.Status
	sourcesAsked time.Time
	spoolCode    string
	closers      closers
	failed       chan error
}

// StartNode enrols when it must, opens spool and state, and starts capturing.
func StartNode(ctx context.Context, config *NodeConfig, parts NodeParts) (_ *Node, err error) {
	if parts.Now == nil {
		parts.Now = time.Now
	}
	if parts.Log == nil {
		parts.Log = slog.New(slog.DiscardHandler)
	}
	n := &Node{sources: newSources(), config: config, log: parts.Log, local: newLocal(parts.Log), now: parts.Now, failed: make(chan error, 1), measured: map[lienthong.DatasetID]capture.Status{}, asked: make(chan struct{}, 1), stranger: make(chan struct{}, 1), lost: make(chan bus.Expect, 64)}
	defer func() {
		if err != nil {
			n.closers.run()
		}
	}()
	if err := durable.MkdirAll(config.Data, 0o700); err != nil {
		return nil, err
	}
	lock, err := durable.LockDirectory(config.Data)
	if err != nil {
		return nil, err
	}
	n.closers.add(func() { _ = lock.Release() })
	words, err := nodeDictionary(config)
	if err != nil {
		return nil, err
	}
	if n.identity, err = trust.OpenIdentity(filepath.Join(config.Data, "keys"), config.Name, trust.Options{Now: parts.Now}); err != nil {
		return nil, err
	}
	membership, err := n.enrol(ctx)
	if err != nil {
		return nil, err
	}
	if n.hubKeys, err = n.identity.HubDirectory(); err != nil {
		return nil, err
	}
	n.keptDirectory().load(ctx)
	recordKey, err := secretFile(filepath.Join(config.Data, "keys", "record_key"))
	if err != nil {
		return nil, err
	}
	if n.state, err = store.OpenNodeState(ctx, config.Data); err != nil {
		return nil, err
	}
	n.closers.add(func() { _ = n.state.Close() })
	if n.audit, err = audit.Open(ctx, audit.Config{
		Dir: filepath.Join(config.Data, "audit"), Origin: "lienthong/" + string(membership.Node.Member) + "/" + config.Name,
		Countersign: n.identity.Sign, Now: parts.Now, Log: parts.Log,
	}); err != nil {
		return nil, err
	}
	n.closers.add(func() { _ = n.audit.Close(context.WithoutCancel(ctx)) })
	if n.meters, err = telemetry.NewMeters(); err != nil {
		return nil, err
	}
	n.closers.add(func() { _ = n.meters.Close(context.WithoutCancel(ctx)) })
	n.health = telemetry.NewHealth(parts.Now)
	linkTLS, err := n.identity.ClientTLS(membership.Hub)
	if err != nil {
		return nil, err
	}
	links := config.Hub.Links
	if parts.Idle {
		links = ""
	}
	if n.bus, err = bus.StartNode(ctx, bus.NodeConfig{
		Name: config.Name, Dir: filepath.Join(config.Data, "spool"), HubAddr: links, TLS: linkTLS,
		Signer: n.identity, Hub: hubVerifier{n.hubKeys}, HubName: membership.Hub.Node,
		Rate: config.at(parts.Now), Class: n.class,
		MaxBytes: config.SpoolMB << 20, Reserve: config.ReserveMB << 20,
		Receipted: func(ctx context.Context, signed []bus.SignedReceipt, receipts []lienthong.Receipt) error {
			return n.receipted(ctx, signed, receipts, parts.Step)
		},
		Passed: n.passed, Gone: n.gone, Restart: n.restart, Stranger: func() { wake(n.stranger) },
		Repair: n.repair, Reconcile: func(string) { n.askReconcile() }, Reconciled: n.reconciled, Log: parts.Log,
	}); err != nil {
		return nil, err
	}
	n.closers.add(n.bus.Close)
	if err := n.openSources(ctx, parts, words, recordKey); err != nil {
		return nil, err
	}
	if err := n.audit.Enqueue(ctx, audit.Entry{
		Kind: audit.Configuration, Actor: membership.Node.String(), Node: config.Name, Detail: map[string]string{"event": "start"},
	}); err != nil {
		return nil, err
	}
	n.run(ctx)
	if err := n.open(ctx); err != nil {
		return nil, err
	}
	n.bus.Reclass()
	n.databaseCommands()
	n.bundleCommands()
	if err := n.correctCommands(); err != nil {
		return nil, err
	}
	stop, err := n.local.open(ctx, config.Data)
	if err != nil {
		return nil, err
	}
	n.closers.add(stop)
	return n, nil
}

func (n *Node) enrol(ctx context.Context) (trust.Membership, error) {
	if membership, ok := n.identity.Membership(); ok {
		return membership, nil
	}
	if n.config.Token == "" || n.config.Hub.Enrol == "" {
		return trust.Membership{}, &lienthong.Error{
			Code: "node.not_enrolled", Where: n.config.Name, Vi: "nút chưa đăng ký với trung tâm", En: "the node is not enrolled with a hub",
			Hint: "xin mã đăng ký tại trung tâm (lienthong enrol), ghi vào token và hub.enrol / get a token at the hub with lienthong enrol, set token and hub.enrol",
		}
	}
	return trust.Enrol(ctx, n.config.Hub.Enrol, string(n.config.Token), n.identity)
}

// run starts capture and status messages.
func (n *Node) run(ctx context.Context) {
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	n.closers.add(func() { n.sources.stop(); cancel(); running.Wait() })
	n.sources.run(runCtx, &running, func(err error) {
		n.log.ErrorContext(runCtx, "capture stopped", slog.Any("error", err))
		select {
		case n.failed <- fmt.Errorf("capture: %w", err):
		default:
		}
	})
	running.Go(func() { n.statuses(runCtx) })
	running.Go(func() { n.renewals(runCtx) })
	running.Go(func() { n.drainAudit(runCtx) })
	running.Go(func() { n.comparisons(runCtx) })
	running.Go(func() { n.restarts(runCtx) })
}

func (n *Node) open(ctx context.Context) error {
	if n.config.Metrics == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", n.meters.Handler())
	mux.Handle("/healthz", n.health.Handler())
	_, stop, err := serve(ctx, n.config.Metrics, mux, nil, n.log)
	if err != nil {
		return err
	}
	n.closers.add(stop)
	return nil
}

// Close ends the node. Spool and state stay on disk.
func (n *Node) Close() { n.closers.run() }

// Failed receives an error when a part of the node has ended that cannot go on.
func (n *Node) Failed() <-chan error { return n.failed }

// Spooled is what waits for the hub's receipt.
func (n *Node) Spooled() (batches int, bytes int64) { return n.bus.Depth() }

// SpoolFill is how full the spool is: 1 means that sources are slowed.
func (n *Node) SpoolFill() float64 { return n.bus.Fill() }

// Reconcile compares every source with the hub now.
func (n *Node) Reconcile(ctx context.Context) error {
	for _, s := range n.sources.all() {
		if err := s.capture.Reconcile(ctx); err != nil {
			return err
		}
	}
	return nil
}

// receipted writes batches and their receipts into the node's log before they
// leave the spool: so every batch that ever left is in the log, whatever dies when.
func (n *Node) receipted(ctx context.Context, signed []bus.SignedReceipt, receipts []lienthong.Receipt, step func(string)) error {
	leaves := make([]audit.Entry, 0, 2*len(receipts))
	for i, r := range receipts {
		dataset := r.Dataset.String()
		leaves = append(leaves,
			audit.Entry{Kind: audit.BatchSealed, Actor: n.config.Name, Node: r.Node, Dataset: dataset, Sequence: r.Sequence, Digest: r.Digest},
			receiptLeaf(signed[i], r))
	}
	if _, err := n.audit.AppendAll(ctx, leaves); err != nil {
		return err
	}
	if err := n.saveReceipts(ctx, signed, receipts); err != nil {
		return err
	}
	if err := n.state.SaveHeads(ctx, receipts); err != nil {
		return err
	}
	if step != nil {
		step("before purge")
	}
	return nil
}

// askReconcile lets the hub's people have a comparison now. Requests that come while one
// waits are the same request.
func (n *Node) askReconcile() {
	select {
	case n.asked <- struct{}{}:
	default:
	}
}

// comparisons does what askReconcile was asked for.
func (n *Node) comparisons(ctx context.Context) {
	for {
		select {
		case <-n.asked:
			if err := n.Reconcile(ctx); err != nil && ctx.Err() == nil {
				n.log.WarnContext(ctx, "comparison put off", slog.Any("error", err))
			}
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) repair(r bus.Repair) {
	for _, s := range n.sources.all() {
		s.capture.Repair(r.Stream.Dataset, r.Buckets)
	}
}

// drainAudit moves what was held back from the state's outbox into the log. An
// entry leaves the outbox only after it is durable in the log.
func (n *Node) drainAudit(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := n.drainOnce(ctx); err != nil && ctx.Err() == nil {
			n.log.ErrorContext(ctx, "audit outbox not drained", slog.Any("error", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) drainOnce(ctx context.Context) error {
	entries, err := n.state.QuarantineOutbox(ctx, 500)
	if err != nil || len(entries) == 0 {
		return err
	}
	leaves := make([]audit.Entry, len(entries))
	for i, e := range entries {
		var q store.Quarantine
		if err := json.Unmarshal(e.Entry, &q); err != nil {
			return fmt.Errorf("audit outbox entry %d: %w", e.No, err)
		}
		detail := map[string]string{"rows": strconv.Itoa(q.Rows)}
		for rule, rows := range q.Rules {
			detail[rule] = strconv.Itoa(rows)
		}
		leaves[i] = audit.Entry{
			At: e.At, Kind: audit.Quarantine, Actor: n.config.Name, Node: n.config.Name, Dataset: q.Dataset, Digest: q.Digest, Detail: detail,
		}
	}
	if _, err := n.audit.AppendAll(ctx, leaves); err != nil {
		return err
	}
	return n.state.QuarantineDone(ctx, entries[len(entries)-1].No)
}

// nodeStatus is what a node tells the hub every second. It may be lost.
type nodeStatus struct {
	Node         string           `json:"node"`
	At           int64            `json:"at"`
	SpoolBatches int              `json:"spool_batches"`
	SpoolBytes   int64            `json:"spool_bytes"`
	Datasets     []capture.Status `json:"datasets"`
}

func (n *Node) statuses(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s := nodeStatus{Node: n.config.Name, At: n.now().UnixMicro()}
		s.SpoolBatches, s.SpoolBytes = n.bus.Depth()
		for _, source := range n.sources.all() {
			s.Datasets = append(s.Datasets, source.capture.Statuses()...)
		}
		n.measure(&s)
		n.judgeHealth(ctx, &s)
		body, err := json.Marshal(s)
		if err == nil {
			err = n.bus.Status(body)
		}
		if err != nil && ctx.Err() == nil {
			n.log.DebugContext(ctx, "status not sent", slog.Any("error", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// judgeHealth says in words what an operator should know: the link, the spool's
// fill, and each dataset that stands still.
func (n *Node) judgeHealth(ctx context.Context, s *nodeStatus) {
	judgeLink(n.health, "link", n.bus.Linked())
	code := judgeSpool(n.health, "spool", n.bus.Fill())
	if code != n.spoolCode {
		if code != "spool.room" {
			n.log.WarnContext(ctx, "spool is filling up; when it is full, sources are slowed and nothing is dropped",
				slog.String("code", code), slog.Int("batches", s.SpoolBatches), slog.Int64("bytes", s.SpoolBytes))
		}
		n.spoolCode = code
	}
	n.judgeSources(ctx)
	for _, d := range s.Datasets {
		name := d.Dataset.String()
		if problem := d.Stopped + d.Failure; problem != "" {
			n.health.Set(name, telemetry.Failed, problem, "tập dữ liệu đang dừng", "the dataset stands still")
		} else {
			n.health.Clear(name)
		}
	}
}

// judgeSources asks sources that can tell how they are, now and then: the
// question costs a query.
func (n *Node) judgeSources(ctx context.Context) {
	if n.now().Sub(n.sourcesAsked) < sourceHealthEvery {
		return
	}
	n.sourcesAsked = n.now()
	for _, s := range n.sources.all() {
		reporter, ok := s.source.(connector.HealthReporter)
		if !ok {
			continue
		}
		askCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		state, err := reporter.Health(askCtx)
		cancel()
		name := "source " + s.name
		switch {
		case err != nil:
			n.health.Set(name, telemetry.Degraded, lienthong.ErrorCode(err), "không hỏi được tình trạng nguồn", "the source does not say how it is")
		case state.OK:
			n.health.Set(name, telemetry.OK, state.Code, state.Vi, state.En)
		default:
			n.health.Set(name, telemetry.Degraded, state.Code, state.Vi, state.En)
		}
	}
}

// sourceHealthEvery is the time between two questions.
const sourceHealthEvery = 15 * time.Second

// measure brings the metrics up to what the status says.
func (n *Node) measure(s *nodeStatus) {
	ctx := context.Background() //nolint:forbidigo // instruments need one and read nothing from it
	for _, d := range s.Datasets {
		meters := n.meters.Stream(lienthong.Stream{Node: n.config.Name, Dataset: d.Dataset})
		before := n.measured[d.Dataset]
		meters.Read(ctx, int(d.Read-before.Read))
		meters.Quarantined(ctx, int(d.Quarantined-before.Quarantined))
		meters.Spool(ctx, int64(s.SpoolBatches), s.SpoolBytes)
		n.measured[d.Dataset] = d
	}
}

// renewals replaces the node's certificate before it ends, and keeps the hub's list of
// keys fresh.
func (n *Node) renewals(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	keep := n.keptDirectory()
	for {
		keep.refresh(ctx)
		select {
		case <-tick.C:
		case <-n.stranger:
			// Not for every one of many receipts of a hub that is new.
			if !rest(ctx, time.Second) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) keptDirectory() keepDirectory {
	return keepDirectory{
		path: filepath.Join(n.config.Data, "directory.json"), identity: n.identity, directory: n.hubKeys, enrol: n.config.Hub.Enrol, log: n.log,
	}
}

func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

package sim

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/bus"
	"github.com/lienthong/lienthong/internal/telemetry"
	"github.com/lienthong/lienthong/internal/trust"
)

// tiers is a country of hubs below hubs and communes below those, all in this process.
type tiers struct {
	t          *testing.T
	dir        string
	definition string
	log        *slog.Logger
	hubs       map[string]*tierHub
	communes   map[string]*commune
}

type tierHub struct {
	world      *tiers
	name, data string
	above      *tierHub
	links      string // kept, so that a restarted hub is found again
	enrol      string
	token      string // at the hub above
	hub        *app.Hub
}

type commune struct {
	world  *tiers
	name   string
	hub    *tierHub
	source *source
	config *app.NodeConfig
	node   *app.Node
}

func newTiers(t *testing.T) *tiers {
	t.Helper()
	w := &tiers{t: t, dir: t.TempDir(), hubs: map[string]*tierHub{}, communes: map[string]*commune{}}
	w.definition = filepath.Join(w.dir, "record.yaml")
	if err := os.WriteFile(w.definition, []byte(sqliteEngine().definition()), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(w.dir, "all.log"))
	if err != nil {
		t.Fatal(err)
	}
	w.log = slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelInfo}))
	t.Cleanup(func() {
		for _, c := range w.communes {
			c.stop()
		}
		for _, h := range w.hubs {
			h.stop()
		}
		_ = file.Close()
		if t.Failed() {
			t.Log(tail(w.dir, "all"))
		}
	})
	return w
}

// hub starts a hub, below another one or below none.
func (w *tiers) hub(name string, above *tierHub) *tierHub {
	w.t.Helper()
	h := &tierHub{world: w, name: name, data: filepath.Join(w.dir, name), above: above, links: "127.0.0.1:0", enrol: "127.0.0.1:0"}
	if above != nil {
		h.join(above)
	}
	w.hubs[name] = h
	h.start()
	return h
}

// join gets a token at the hub above.
func (h *tierHub) join(above *tierHub) {
	h.world.t.Helper()
	token, err := above.hub.InviteHub(h.world.t.Context(), lienthong.Government, member, h.name)
	if err != nil {
		h.world.t.Fatal(err)
	}
	h.above, h.token = above, token
}

func (h *tierHub) config() *app.HubConfig {
	c := &app.HubConfig{Name: h.name, Member: "G01", Data: h.data, Links: h.links, Enrol: h.enrol, Console: "off"}
	if h.above != nil {
		c.Upstream = &app.UpstreamConfig{Links: h.above.links, Enrol: "https://" + h.above.enrol, Token: telemetry.Secret(h.token)}
	}
	return c
}

func (h *tierHub) start() {
	h.world.t.Helper()
	started, err := app.StartHub(h.world.t.Context(), h.config(), app.HubParts{Log: h.world.log.With(slog.String("at", h.name))})
	if err != nil {
		h.world.t.Fatal(err)
	}
	h.hub, h.links = started, started.LinksAddr()
	address, err := url.Parse(started.EnrolURL())
	if err != nil {
		h.world.t.Fatal(err)
	}
	h.enrol = address.Host
}

func (h *tierHub) stop() {
	if h.hub != nil {
		h.hub.Close()
		h.hub = nil
	}
}

// commune starts a commune with so many rows below a hub. One without a line captures into
// its spool and reaches nobody.
func (w *tiers) commune(name string, hub *tierHub, rows int, line bool) *commune {
	w.t.Helper()
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	token, err := hub.hub.Invite(w.t.Context(), lienthong.Government, member, name)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &commune{world: w, name: name, hub: hub, source: newSource(w.t, sqliteEngine(), dir, rows, uint64(len(w.communes)+1))}
	links := hub.links
	if !line {
		links = "127.0.0.1:1"
	}
	c.config = &app.NodeConfig{
		Name: name, Data: filepath.Join(dir, "node"), Hub: app.HubAddress{Links: links, Enrol: "https://" + hub.enrol}, Token: telemetry.Secret(token),
		ReconcileEvery: -1, SpoolMB: 256,
		Sources: []app.SourceConfig{{SQLite: c.source.address, Definitions: []string{w.definition}}},
	}
	w.communes[name] = c
	c.start()
	return c
}

func (c *commune) start() {
	c.world.t.Helper()
	node, err := app.StartNode(c.world.t.Context(), c.config, app.NodeParts{Log: c.world.log.With(slog.String("at", c.name))})
	if err != nil {
		c.world.t.Fatal(err)
	}
	c.node = node
}

func (c *commune) stop() {
	if c.node != nil {
		c.node.Close()
		c.node = nil
	}
}

func (c *commune) stream() lienthong.Stream {
	return lienthong.Stream{Node: c.name, Dataset: lienthong.DatasetID{Database: "sim", Name: "record"}}
}

// write lets the application do so many things.
func (c *commune) write(changes int) {
	c.world.t.Helper()
	err := c.source.transaction(c.world.t.Context(), func(w *work) error {
		for range changes {
			if err := w.change(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.world.t.Fatal(err)
	}
}

// await polls until the condition holds; the last error is told when patience ends.
func (w *tiers) await(what string, holds func() error) {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		<-tick.C
	}
}

// at opens the records of a hub for reading, beside the hub.
func (h *tierHub) at(f func(ctx context.Context, db *sql.DB) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	db, err := sqliteEngine().open(filepath.Join(h.data, "records", "store.db"), "query_only(1)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return f(ctx, db)
}

// equal compares a commune's rows with those that a hub has of it.
func (h *tierHub) equal(c *commune) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ours, err := rowsOf(ctx, c.source.db, c.source.engine.query("ban_ghi", "ma", accounting))
	if err != nil {
		return err
	}
	return h.at(func(ctx context.Context, db *sql.DB) error {
		no, err := one[int64](ctx, db, "SELECT no FROM streams WHERE node = ?", c.name)
		if err != nil {
			return fmt.Errorf("%s at %s: %w", c.name, h.name, err)
		}
		theirs, err := rowsOf(ctx, db, c.source.engine.query(hubTable, "record_key", fmt.Sprintf("NOT _deleted AND NOT _held AND _stream = %d", no)))
		if err != nil {
			return err
		}
		if err := difference(ours, theirs); err != nil {
			return fmt.Errorf("%s at %s: %w", c.name, h.name, err)
		}
		return nil
	})
}

// settle waits until every commune's rows are at its hub and at all hubs above.
func (w *tiers) settle() {
	w.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(w.communes)) {
		c := w.communes[name]
		for h := c.hub; h != nil; h = h.above {
			w.await("rows of "+name+" at "+h.name, func() error { return h.equal(c) })
		}
	}
}

// matched compares both ends of every commune at every tier.
func (w *tiers) matched() {
	w.t.Helper()
	since := time.Now().UnixMicro()
	for _, c := range w.communes {
		ctx, cancel := context.WithTimeout(w.t.Context(), patience)
		err := c.node.Reconcile(ctx)
		cancel()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.khop(since)
}

// khop waits until every commune was found equal at every tier since a time.
func (w *tiers) khop(since int64) {
	w.t.Helper()
	for _, c := range w.communes {
		for h := c.hub; h != nil; h = h.above {
			w.await(c.name+" is khớp at "+h.name, func() error { return h.khop(c, since) })
		}
	}
}

func (h *tierHub) khop(c *commune, since int64) error {
	all, err := h.hub.Reconciliations(h.world.t.Context())
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Node == c.name && r.At >= since && r.Result == lienthong.Matches && r.SourceRows > 0 {
			return nil
		}
	}
	return fmt.Errorf("%+v", all)
}

// receipted waits until every batch that has a receipt of the commune's hub has one of each
// hub above, too, and all of them verify at the commune.
func (c *commune) receipted() {
	c.world.t.Helper()
	tiers := 0
	for h := c.hub; h != nil; h = h.above {
		tiers++
	}
	c.world.await("receipts of every tier at "+c.name, func() error { return c.hasReceipts(tiers) })
}

func (c *commune) hasReceipts(tiers int) error {
	batches, err := c.node.Receipts(c.world.t.Context(), "", 1_000_000)
	if err != nil {
		return err
	}
	if len(batches) < 3 {
		return fmt.Errorf("%d batches only", len(batches))
	}
	hubs := map[string]int{}
	for _, b := range batches {
		for _, r := range b.Receipts {
			if !r.Verified {
				c.world.t.Fatalf("%s #%d: receipt of %s: %s", c.name, b.Sequence, r.Hub, r.Problem)
			}
			hubs[r.Hub]++
		}
	}
	for h := c.hub; h != nil; h = h.above {
		if hubs[h.name] != len(batches) {
			return fmt.Errorf("%d batches, receipts %v", len(batches), hubs)
		}
	}
	if len(hubs) != tiers {
		return fmt.Errorf("receipts of %v", hubs)
	}
	return nil
}

// logged reports whether the log of a hub names a refusal.
func (h *tierHub) logged(code, node string) error {
	entries, err := entriesOf(h.data)
	for _, e := range entries {
		if e.Kind == audit.Refusal && e.Detail["code"] == code && e.Node == node {
			return nil
		}
	}
	return errors.Join(err, fmt.Errorf("%s is not in the log of %s", code, h.name))
}

// TestTiers takes two communes through a province to the nation: restarts at both tiers,
// forged relays, and one commune that has no line at all.
func TestTiers(t *testing.T) {
	w := newTiers(t)
	nation := w.hub("ndc", nil)
	province := w.hub("h12", nation)
	near := w.commune("xa-a", province, 1500, true)
	far := w.commune("xa-b", province, 500, false)
	w.await("the first rows at the nation", func() error { return errors.Join(province.equal(near), nation.equal(near)) })

	near.write(300)
	nation.stop()
	near.write(200)
	w.await("the province goes on alone", func() error { return province.equal(near) })
	if batches, _ := province.hub.Relayed(); batches == 0 {
		t.Error("nothing waits for the nation, which is away")
	}
	province.stop() // with what waits for the nation in its spool
	near.write(100)
	nation.start()
	province.start()
	w.await("rows of the near one everywhere", func() error { return errors.Join(province.equal(near), nation.equal(near)) })
	near.receipted()

	w.forgeRelays(nation, province, near)

	far.write(50)
	far.carry()
	w.matchedByHand(far)
	w.settle()
	delete(w.communes, far.name) // compared already
	w.matched()
	w.communes[far.name] = far
	near.receipted()
}

// carry takes what waits at a commune without a line to its hub, and the receipts of all
// tiers back, as people do: on a stick.
func (c *commune) carry() {
	w, ctx := c.world, c.world.t.Context()
	w.t.Helper()
	stick := filepath.Join(w.dir, "stick")
	if err := os.MkdirAll(stick, 0o700); err != nil {
		w.t.Fatal(err)
	}
	parts, err := app.ExportBundle(ctx, nil, c.config, stick, "", 40<<10, w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(parts) < 2 {
		w.t.Errorf("%d part: the limit was not kept", len(parts))
	}
	if before, _ := c.node.Spooled(); before == 0 {
		w.t.Error("an export has emptied the spool")
	}
	refused := func(code string, config *app.HubConfig, node *app.NodeConfig, path string) {
		w.t.Helper()
		if _, err := app.ImportBundle(ctx, config, node, path, w.log); lienthong.ErrorCode(err) != code {
			w.t.Errorf("%v, want %s", err, code)
		}
	}
	hub := c.hub.config()
	if landed, _ := c.hub.hub.Landed(ctx, c.stream()); landed == 0 {
		refused("bundle.out_of_order", hub, nil, parts[1].File)
	}
	refused("bundle.wrong_receiver", c.hub.above.config(), nil, parts[0].File)
	refused("bundle.wrong_receiver", nil, c.config, parts[0].File)
	for _, p := range parts {
		report, err := app.ImportBundle(ctx, hub, nil, p.File, w.log)
		if err != nil || report.Refused > 0 || report.Batches != p.Batches {
			w.t.Fatalf("%+v, %v", report, err)
		}
		refused("bundle.imported", hub, nil, p.File)
	}
	// The province's receipts can go back at once, the nation's when they are there: an answer is
	// made as often as people like.
	w.await("receipts of every tier on the stick", func() error {
		path := filepath.Join(stick, "receipts.ltb")
		if _, err := app.ExportBundle(ctx, hub, nil, path, c.name, 0, w.log); err != nil {
			w.t.Fatal(err)
		}
		if _, err := app.ImportBundle(ctx, nil, c.config, path, w.log); err != nil {
			w.t.Fatal(err)
		}
		refused("bundle.imported", nil, c.config, path)
		return c.hasReceipts(2)
	})
}

// matchedByHand compares a commune without a line: its digest travels on the stick.
func (w *tiers) matchedByHand(c *commune) {
	w.t.Helper()
	since := time.Now().UnixMicro()
	if err := c.node.Reconcile(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	stick := filepath.Join(w.dir, "stick", "digest.ltb")
	for h := c.hub; h != nil; h = h.above {
		w.await(c.name+" is khớp at "+h.name, func() error {
			if _, err := app.ExportBundle(w.t.Context(), nil, c.config, stick, "", 0, w.log); err != nil {
				w.t.Fatal(err)
			}
			if _, err := app.ImportBundle(w.t.Context(), c.hub.config(), nil, stick, w.log); err != nil {
				w.t.Fatal(err)
			}
			return h.khop(c, since)
		})
	}
}

// relay sends a batch up to a hub from a spool of its own, with the keys of a hub below.
func (w *tiers) relay(to, as *tierHub, s *batch.Sealed) (stop func()) {
	w.t.Helper()
	identity, err := trust.OpenIdentity(filepath.Join(as.data, "upstream", "keys"), as.name, trust.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	membership, _ := identity.Membership()
	tls, err := identity.ClientTLS(membership.Hub)
	if err != nil {
		w.t.Fatal(err)
	}
	node, err := bus.StartNode(w.t.Context(), bus.NodeConfig{
		Name: as.name, Dir: filepath.Join(w.dir, fmt.Sprintf("intruder-%d", time.Now().UnixNano())), HubAddr: to.links, TLS: tls, Relay: true,
		Signer: identity, Hub: believer{}, HubName: to.name, Log: slog.New(slog.DiscardHandler),
		Receipted: func(context.Context, []bus.SignedReceipt, []lienthong.Receipt) error { return nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := node.Append(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
	stop = sync.OnceFunc(node.Close)
	w.t.Cleanup(stop)
	return stop
}

// forgeRelays lets a province lie: in a node's name with its own key, and with a genuine
// batch of a node that is another province's.
func (w *tiers) forgeRelays(nation, province *tierHub, c *commune) {
	w.t.Helper()
	other := w.hub("h13", nation)
	other.stop()
	delete(w.hubs, other.name)
	province.stop()
	head, err := nation.hub.Landed(w.t.Context(), c.stream())
	if err != nil {
		w.t.Fatal(err)
	}
	own, err := trust.OpenIdentity(filepath.Join(province.data, "upstream", "keys"), province.name, trust.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	theirs, err := trust.OpenIdentity(filepath.Join(c.config.Data, "keys"), c.name, trust.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, lie := range []struct {
		code   string
		as     *tierHub
		signer batch.Signer
	}{{"batch.forged", province, own}, {"batch.wrong_link", other, theirs}} {
		sealer, err := batch.NewSealer(lie.signer)
		if err != nil {
			w.t.Fatal(err)
		}
		forged, err := sealer.Seal(lienthong.BatchHeader{Stream: c.stream(), Sequence: head + 1, Kind: lienthong.ReportBatch, ShapeVersion: 1}, []byte("{}"))
		if err != nil {
			w.t.Fatal(err)
		}
		stop := w.relay(nation, lie.as, forged)
		w.await(lie.code+" is named", func() error { return nation.logged(lie.code, c.name) })
		stop()
	}
	if after, err := nation.hub.Landed(w.t.Context(), c.stream()); err != nil || after != head {
		w.t.Errorf("%d batches have landed at the nation, %d before: %v", after, head, err)
	}
	province.start()
}

// TestTiers_HubAboveComesLater puts a nation above a province that has landed much
// already, and later puts the nation back to an older backup: what nobody keeps any more is sent
// anew by the nodes themselves, under their own signatures.
func TestTiers_HubAboveComesLater(t *testing.T) {
	w := newTiers(t)
	province := w.hub("h12", nil)
	c := w.commune("xa-a", province, 1000, true)
	w.settle()
	c.write(100)
	w.settle()
	nation := w.hub("ndc", nil)
	province.stop()
	province.join(nation)
	province.start()
	c.write(100) // the nation sees that it lacks what was before
	w.settle()
	w.matched()

	direct := w.commune("g01", nation, 300, true)
	w.settle()
	records, backup := filepath.Join(nation.data, "records"), filepath.Join(w.dir, "backup")
	nation.stop()
	if err := os.CopyFS(backup, os.DirFS(records)); err != nil {
		t.Fatal(err)
	}
	nation.start()
	for range 3 {
		c.write(50)
		direct.write(50)
		w.settle()
	}
	nation.stop()
	if err := errors.Join(os.RemoveAll(records), os.CopyFS(records, os.DirFS(backup))); err != nil {
		t.Fatal(err)
	}
	// A node begins a chain anew only every so often in one life.
	c.stop()
	c.start()
	nation.start()
	c.write(50)
	direct.write(50)
	w.settle()
	w.matched()
	for _, name := range []string{c.name, direct.name} {
		w.await("the new chain of "+name+" in the log", func() error { return nation.logged("batch.restarted", name) })
	}
}

// TestTiers_Country is a nation, two provinces and twenty communes. One province is
// restarted, the nation is, one commune is carried by hand: everything is equal, compared, and
// receipted at every tier.
func TestTiers_Country(t *testing.T) {
	if testing.Short() {
		t.Skip("twenty communes")
	}
	begun := time.Now()
	w := newTiers(t)
	nation := w.hub("ndc", nil)
	var all []*commune
	for p, province := range []*tierHub{w.hub("h12", nation), w.hub("h13", nation)} {
		for n := range 10 {
			all = append(all, w.commune(fmt.Sprintf("xa-%d-%d", p, n), province, 500, p != 1 || n != 9))
		}
	}
	carried := all[len(all)-1]
	lined := all[:len(all)-1]
	write := func() {
		for _, c := range all {
			c.write(20)
		}
	}
	write()
	w.hubs["h12"].stop()
	write()
	w.hubs["h12"].start()
	nation.stop()
	write()
	nation.start()
	write()
	carried.carry()
	w.matchedByHand(carried)
	w.settle()
	delete(w.communes, carried.name)
	w.matched()
	w.communes[carried.name] = carried
	for _, c := range lined {
		c.receipted()
	}
	t.Logf("23 instances, %s", time.Since(begun).Round(time.Second))
}

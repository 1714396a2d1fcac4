package sim

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
)

// patience is how long a scenario waits for what must happen.
const patience = 60 * time.Second

const (
	nodeName   = "h12"
	hubTable   = "records_sim_record"
	firstRows  = 6000
	sentinel   = "Z-cuoi-cung"
	accounting = "so_tien IS NULL OR so_tien >= 0" // rows that the rule lets pass
)

// country is one source, one node and one hub, and the line between them.
type country struct {
	t        *testing.T
	dir      string
	source   *source
	line     *line
	hubDSN   string // empty: the hub keeps its records in SQLite
	hub      *process
	node     *process
	enrol    string
	links    string // of the hub itself, without the line
	tokens   map[string]string
	hubData  string
	nodeData string
	// nodeOrder holds what a scenario wants different of its node.
	nodeOrder nodeOrder
	stopLife  func()
}

// engines are both; the short form leaves PostgreSQL to the long one.
func engines() []engine {
	if testing.Short() {
		return []engine{sqliteEngine()}
	}
	return []engine{sqliteEngine(), postgresEngine()}
}

func newCountry(t *testing.T, e engine) *country {
	t.Helper()
	dir := t.TempDir()
	c := &country{t: t, dir: dir, line: newLine(t), hubData: filepath.Join(dir, "hub"), nodeData: filepath.Join(dir, "node")}
	// After the processes have ended, which is registered later.
	t.Cleanup(c.line.close)
	c.source = newSource(t, e, dir, firstRows, uint64(len(t.Name())))
	if e.driver == "pgx" {
		c.hubDSN = server.Database(t)
	}
	if err := os.WriteFile(c.path("record.yaml"), []byte(e.definition()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.killAll()
		if t.Failed() {
			t.Logf("hub:\n%s\nnode:\n%s", tail(dir, "hub"), tail(dir, "node"))
		}
	})
	return c
}

func (c *country) killAll() {
	for _, p := range []*process{c.node, c.hub} {
		if p != nil {
			p.kill()
		}
	}
}

func (c *country) path(name string) string { return filepath.Join(c.dir, name) }

// startHub starts the hub, to be killed or not. A hub that is ready is connected
// to the line; one that dies before is not waited for.
func (c *country) startHub(k *kill) {
	c.t.Helper()
	o := order{Hub: &hubOrder{Data: c.hubData, Postgres: c.hubDSN}, Kill: k}
	if c.tokens == nil {
		o.Hub.Invite = []string{nodeName, "other"}
	}
	c.hub = start(c.t, "hub", c.dir, o)
	a, ok := c.hub.next(c.t)
	switch {
	case ok:
		c.line.connect(a.Links)
		c.links = a.Links
		c.enrol = a.Enrol
		if c.tokens == nil {
			c.tokens = a.Tokens
		}
	case k == nil:
		c.t.Fatal("the hub ended instead of starting")
	}
}

func (c *country) startNode(k *kill) {
	c.t.Helper()
	n := c.nodeOrder
	n.Name, n.Data, n.Links, n.Enrol, n.Token = nodeName, c.nodeData, c.line.addr(), c.enrol, c.tokens[nodeName]
	n.Definitions = c.path("record.yaml")
	if c.source.engine.driver == "pgx" {
		n.Postgres, n.Slot = c.source.address, c.source.slot
	} else {
		n.SQLite = c.source.address
	}
	c.node = start(c.t, "node", c.dir, order{Node: &n, Kill: k})
	if _, ok := c.node.next(c.t); !ok && k == nil {
		c.t.Fatal("the node ended instead of starting")
	}
}

// live lets the application write; settle ends it.
func (c *country) live() { c.stopLife = c.source.live(c.t) }

// inHub opens the hub's records for reading, beside the hub.
func (c *country) inHub(f func(ctx context.Context, db *sql.DB) error) error {
	address := c.hubDSN
	if address == "" {
		address = filepath.Join(c.hubData, "records", "store.db")
		if _, err := os.Stat(address); err != nil {
			return err
		}
	}
	return c.in(address, f)
}

func (c *country) in(address string, f func(ctx context.Context, db *sql.DB) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e := c.source.engine
	if strings.HasSuffix(address, ".db") {
		e = sqliteEngine()
	}
	db, err := e.open(address, "query_only(1)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return f(ctx, db)
}

// landed is how many batches are in the hub's ledger.
func (c *country) landed() (n int64, err error) {
	err = c.inHub(func(ctx context.Context, db *sql.DB) (err error) {
		n, err = one[int64](ctx, db, "SELECT count(*) FROM ledger")
		return err
	})
	return n, err
}

// await polls until the condition holds. Errors count as "not yet"; the last one is
// told when patience ends.
func (c *country) await(what string, holds func() (bool, error)) {
	c.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for {
		ok, err := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		<-tick.C
	}
}

// awaitLanded waits until the hub has so many batches more than now.
func (c *country) awaitLanded(more int64) {
	c.t.Helper()
	before, _ := c.landed() // there may be no ledger yet
	c.await(fmt.Sprintf("%d more batches at the hub", more), func() (bool, error) {
		n, err := c.landed()
		return n >= before+more, err
	})
}

// settle lets the application stop, waits until its last row is at the hub, and
// asks every question of the package comment. It ends with both processes stopped.
func (c *country) settle() {
	c.t.Helper()
	c.lastRow()
	c.await("everything at the hub", func() (bool, error) {
		if err := c.healthy(); err != nil {
			c.t.Fatal(err)
		}
		err := c.equal()
		return err == nil, err
	})
	c.reconcile()
	// The node goes on to compare; what both logs must hold is what has landed by now.
	proven, err := c.ledger()
	if err != nil {
		c.t.Fatal(err)
	}
	c.await("every batch receipted", func() (bool, error) {
		left := c.ask("spooled").Spooled
		return left == 0, fmt.Errorf("%d batches wait", left)
	})
	c.await("audit outbox empty", func() (done bool, err error) {
		err = c.inHub(func(ctx context.Context, db *sql.DB) error {
			left, err := one[int64](ctx, db, "SELECT count(*) FROM audit_outbox")
			done = left == 0
			return err
		})
		return done, err
	})
	for _, p := range []*process{c.node, c.hub} {
		p.stop(c.t)
	}
	if err := errors.Join(c.healthy(), c.equal(), c.chain()); err != nil {
		c.t.Fatal(err)
	}
	c.audited(proven)
}

// lastRow stops the application after one row more, and waits until that row has
// landed: what came before it in the chain has, too.
func (c *country) lastRow() {
	c.t.Helper()
	if c.stopLife != nil {
		c.stopLife()
	}
	err := c.source.transaction(c.t.Context(), func(w *work) error {
		w.keys = append(w.keys, sentinel)
		return w.exec("INSERT INTO ban_ghi (ma, so_tien) VALUES ($1, 1)", sentinel)
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.await("the last row at the hub", func() (bool, error) {
		found := int64(0)
		err := c.inHub(func(ctx context.Context, db *sql.DB) (err error) {
			found, err = one[int64](ctx, db, "SELECT count(*) FROM "+hubTable+" WHERE record_key = $1", sentinel)
			return err
		})
		return found == 1, err
	})
	c.t.Logf("the application made %d changes", c.source.changes)
}

// equal compares the source's rows with the hub's, value by value.
func (c *country) equal() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ours, err := rowsOf(ctx, c.source.db, c.source.engine.query("ban_ghi", "ma", accounting))
	if err != nil {
		return err
	}
	var theirs map[string]string
	err = c.inHub(func(ctx context.Context, db *sql.DB) (err error) {
		theirs, err = rowsOf(ctx, db, c.source.engine.query(hubTable, "record_key", "NOT _deleted AND NOT _held"))
		return err
	})
	if err != nil {
		return err
	}
	return difference(ours, theirs)
}

// difference is what the hub has lost, has too much, or has wrong.
func difference(source, hub map[string]string) error {
	var lost, wrong, extra []string
	for key, body := range source {
		switch other, there := hub[key]; {
		case !there:
			lost = append(lost, key)
		case other != body:
			wrong = append(wrong, key)
		}
	}
	for key := range hub {
		if _, there := source[key]; !there {
			extra = append(extra, key)
		}
	}
	if len(lost)+len(wrong)+len(extra) == 0 {
		return nil
	}
	some := func(keys []string) string {
		slices.Sort(keys)
		return fmt.Sprintf("%d %v", len(keys), keys[:min(5, len(keys))])
	}
	return fmt.Errorf("%d rows at the source, %d at the hub: lost %s, wrong %s, too many %s",
		len(source), len(hub), some(lost), some(wrong), some(extra))
}

// errMended says that something had been lost, and was brought back.
var errMended = errors.New("reconciliation found a difference")

// healthy makes sure that no comparison ever found a difference, that no repair
// was needed, and that the hub refused no row.
func (c *country) healthy() error {
	return c.inHub(func(ctx context.Context, db *sql.DB) error {
		// One without rows is how a truncate travels: a table that may have been made after the slot was
		// made is handed over whole, and begins with one.
		repairs, err := one[int64](ctx, db, "SELECT count(*) FROM ledger WHERE kind = 'repair' AND row_count > 0")
		if err != nil {
			return err
		}
		refused, err := one[int64](ctx, db, "SELECT count(*) FROM refusals")
		if err != nil {
			return err
		}
		results, err := reconciliations(ctx, db)
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Result == lienthong.Differs {
				return fmt.Errorf("%w: %d rows at the source, %d landed, %d quarantined, %d buckets differ",
					errMended, r.SourceRows, r.LandedRows, r.Quarantined, len(r.Differing))
			}
		}
		if repairs > 0 || refused > 0 {
			return fmt.Errorf("%w: %d repairs, %d rows refused", errMended, repairs, refused)
		}
		return nil
	})
}

func reconciliations(ctx context.Context, db *sql.DB) ([]lienthong.Reconciliation, error) {
	rows, err := db.QueryContext(ctx, "SELECT body FROM reconciliations ORDER BY at")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var results []lienthong.Reconciliation
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		var r lienthong.Reconciliation
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, rows.Err()
}

// reconcile compares both ends once more and holds the result against counts of
// the two tables.
func (c *country) reconcile() {
	c.t.Helper()
	var before int
	if err := c.inHub(func(ctx context.Context, db *sql.DB) error {
		results, err := reconciliations(ctx, db)
		before = len(results)
		return err
	}); err != nil {
		c.t.Fatal(err)
	}
	if a := c.ask("reconcile"); !a.Reconciled {
		c.t.Fatalf("the node did not reconcile: %s", a.Error)
	}
	count := func(condition string) int64 {
		n, err := one[int64](c.t.Context(), c.source.db, "SELECT count(*) FROM ban_ghi WHERE "+condition)
		if err != nil {
			c.t.Fatal(err)
		}
		return n
	}
	passed, held := count(accounting), count("so_tien < 0")
	// A comparison that was under way before the last row is not the one that was asked for.
	c.await("result of the reconciliation", func() (done bool, err error) {
		err = c.inHub(func(ctx context.Context, db *sql.DB) error {
			results, err := reconciliations(ctx, db)
			if err != nil || len(results) <= before {
				return err
			}
			last := results[len(results)-1]
			if done = last.Result == lienthong.Matches && last.SourceRows == passed+held && last.LandedRows == passed && last.Quarantined == held; !done {
				err = fmt.Errorf("reconciliation says %s with %d = %d + %d; the source has %d + %d",
					last.Result, last.SourceRows, last.LandedRows, last.Quarantined, passed, held)
			}
			if last.Result == lienthong.Differs {
				c.t.Fatalf("%s: %v", last.Result, err)
			}
			return err
		})
		return done, err
	})
}

// ask sends a command to the node and waits for the answer.
func (c *country) ask(command string) answer {
	c.t.Helper()
	if _, err := c.node.stdin.Write([]byte(command + "\n")); err != nil {
		c.t.Fatal(err)
	}
	a, ok := c.node.next(c.t)
	if !ok {
		c.t.Fatal("the node has ended")
	}
	return a
}

// block is a line of the ledger.
type block struct {
	sequence         int64
	digest, previous string
}

func (c *country) ledger() (blocks []block, err error) {
	err = c.inHub(func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SELECT sequence, digest, previous FROM ledger ORDER BY stream, sequence")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var b block
			if err := rows.Scan(&b.sequence, &b.digest, &b.previous); err != nil {
				return err
			}
			blocks = append(blocks, b)
		}
		return rows.Err()
	})
	return blocks, err
}

// chain makes sure that the ledger is one chain without a gap, and that the
// stream's counters are those of the table.
func (c *country) chain() error {
	blocks, err := c.ledger()
	if err != nil {
		return err
	}
	previous := ""
	for i, b := range blocks {
		if b.sequence != int64(i)+1 || b.previous != previous {
			return fmt.Errorf("ledger: batch %d follows %d, previous %.8s after digest %.8s", b.sequence, i, b.previous, previous)
		}
		previous = b.digest
	}
	return c.inHub(func(ctx context.Context, db *sql.DB) error {
		wrong, err := one[int64](ctx, db, `SELECT count(*) FROM streams WHERE
			live <> (SELECT count(*) FROM `+hubTable+` WHERE NOT _deleted AND NOT _held) OR
			held <> (SELECT count(*) FROM `+hubTable+` WHERE NOT _deleted AND _held) OR
			sequence <> (SELECT count(*) FROM ledger) OR digest <> '`+previous+`'`)
		if err == nil && wrong > 0 {
			err = errors.New("the stream's counters are not those of its table and ledger")
		}
		return err
	})
}

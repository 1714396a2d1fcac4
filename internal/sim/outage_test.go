package sim

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/telemetry"
)

// clock is the time of day in a scenario: it flows, and it can be put forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// outageSpoolMB is small, so that it fills in the middle of the week.
const outageSpoolMB = 3

// TestOutage_SevenDays: the hub is away for a week while the application goes on. The
// spool keeps to its limit, the source is slowed and nothing is dropped; certificates and
// directory outlive the week; afterwards everything arrives and both ends match.
func TestOutage_SevenDays(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	e := sqliteEngine()
	s := newSource(t, e, dir, 500, 214)
	definition := filepath.Join(dir, "record.yaml")
	if err := os.WriteFile(definition, []byte(e.definition()), 0o600); err != nil {
		t.Fatal(err)
	}
	var c clock
	log := slog.New(slog.DiscardHandler)
	hubConfig := &app.HubConfig{
		Name: "h00", Member: "G01", Data: filepath.Join(dir, "hub"), Links: "127.0.0.1:0", Enrol: "127.0.0.1:0", Console: "off",
	}
	hub, err := app.StartHub(ctx, hubConfig, app.HubParts{Log: log, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	hubConfig.Links = hub.LinksAddr() // where it is to be when it comes back
	token, err := hub.Invite(ctx, lienthong.Government, member, nodeName)
	if err != nil {
		t.Fatal(err)
	}
	nodeConfig := &app.NodeConfig{
		Name: nodeName, Data: filepath.Join(dir, "node"), Hub: app.HubAddress{Links: hub.LinksAddr(), Enrol: hub.EnrolURL()},
		Token: telemetry.Secret(token), SpoolMB: outageSpoolMB, ReserveMB: 1, ReconcileEvery: app.Duration(reconcileEvery),
		Sources: []app.SourceConfig{{SQLite: s.address, Definitions: []string{definition}}},
	}
	node, err := app.StartNode(ctx, nodeConfig, app.NodeParts{Log: log, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stopNode := func() {
		if !stopped {
			node.Close()
			stopped = true
		}
	}
	defer stopNode()
	landed := func() int64 { return landedRows(ctx, t, hubConfig.Data) }
	await(ctx, t, "the first load has landed", func() bool { return landed() > 400 })
	hub.Close()

	// The week, hour by hour. A busy hour is a few hundred changes.
	fullAt := -1
	for hour := range 7 * 24 {
		c.forward(time.Hour)
		for range 3 {
			err := s.transaction(ctx, func(w *work) error {
				for range 40 {
					if err := w.change(); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		await(ctx, t, "the hour is in the spool, or the spool is full", func() bool {
			_, bytes := node.Spooled()
			if bytes > outageSpoolMB<<20 {
				t.Fatalf("the spool holds %d bytes, more than its limit", bytes)
			}
			if node.SpoolFill() > 0.95 {
				if fullAt < 0 {
					fullAt = hour
				}
				return true
			}
			return waitingAt(ctx, t, s) == 0
		})
		if hour == 100 { // a node that is started again in the middle of the week knows everything
			stopNode()
			if node, err = app.StartNode(ctx, nodeConfig, app.NodeParts{Log: log, Now: c.now}); err != nil {
				t.Fatal(err)
			}
			stopped = false
		}
	}
	if fullAt < 0 {
		t.Fatal("the spool never became full: the scenario proves nothing about its limit")
	}

	// The hub is back.
	came := time.Now()
	waiting, bytes := node.Spooled()
	if hub, err = app.StartHub(ctx, hubConfig, app.HubParts{Log: log, Now: c.now}); err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	await(ctx, t, "everything has landed", func() bool {
		batches, _ := node.Spooled()
		return batches == 0 && waitingAt(ctx, t, s) == 0
	})
	t.Logf("full after %d hours; %d batches, %d KiB waited; %d rows landed %.1f s after the hub came back",
		fullAt, waiting, bytes>>10, landed(), time.Since(came).Seconds())
	if err := node.Reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	await(ctx, t, "both ends match", func() bool {
		for _, d := range node.Databases("").Datasets {
			if d.Reconciled != string(lienthong.Matches) || d.SourceRows < 1000 {
				return false
			}
		}
		return true
	})
	source, err := rowsOf(ctx, s.db, e.query("ban_ghi", "ma", accounting))
	if err != nil {
		t.Fatal(err)
	}
	records, err := e.open(filepath.Join(hubConfig.Data, "records", "store.db"), "query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = records.Close() }()
	copied, err := rowsOf(ctx, records, e.query(hubTable, "record_key", "NOT _deleted AND NOT _held"))
	if err != nil {
		t.Fatal(err)
	}
	if err := difference(source, copied); err != nil {
		t.Error(err)
	}
	stopNode()
	hub.Close()
	for _, data := range []string{hubConfig.Data, nodeConfig.Data} {
		report, err := app.VerifyLog(ctx, data)
		if err != nil || !report.Verified {
			t.Errorf("log of %s: %+v, %v", data, report, err)
		}
	}
}

// waitingAt counts the changes that the source keeps for the node.
func waitingAt(ctx context.Context, t *testing.T, s *source) int64 {
	t.Helper()
	n, err := one[int64](ctx, s.db, "SELECT count(*) - 1 FROM _lienthong_changes")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func landedRows(ctx context.Context, t *testing.T, data string) int64 {
	t.Helper()
	db, err := sqliteEngine().open(filepath.Join(data, "records", "store.db"), "query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	n, err := one[sql.NullInt64](ctx, db, "SELECT sum(live) FROM streams")
	if err != nil {
		return 0 // no table yet
	}
	return n.Int64
}

// await polls what no signal tells: the state of another database or of the spool.
func await(ctx context.Context, t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(fmt.Sprint("not reached: ", what))
		}
	}
}

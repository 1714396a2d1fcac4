package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong/internal/pgtest"
)

// syncConfig says what is measured.
type syncConfig struct {
	rows, changes int64
	fileRows      int64 // of the CSV files; workbooks have a fifth
	lagSeconds    int
	peers         bool          // measure the other programs that are on PATH
	peerBudget    time.Duration // for each part of a peer
	only          string
	profiles      string
	binary        bool
	dir           string
	logLevel      string
	out           *printer
	progress      io.Writer
}

// syncRun is the run between PostgreSQL clusters: one source table, and two ways from there.
type syncRun struct {
	platform
	source             *pgtest.Server
	atSource, atTarget *pgx.Conn // to look and to command
	nativeDB           *pgx.Conn
	churned            int64  // transactions committed at the source since the fill
	lastCommit         string // a place in the source's log just before the last of a backlog
}

// settings are those of a small server in production: durable, with memory for
// the work, and no checkpoint or vacuum in the middle of a measurement, which would hit
// one side by chance.
func settings() []string {
	return []string{
		"fsync=on", "synchronous_commit=on", "shared_buffers=256MB", "max_wal_size=16GB", "checkpoint_timeout=1h",
		"autovacuum=off", "track_commit_timestamp=on", "logical_decoding_work_mem=64MB",
	}
}

// runSync measures what is wanted: each part has databases of its own, besides the
// target cluster.
func runSync(ctx context.Context, config syncConfig) (err error) {
	if err := config.check(); err != nil {
		return err
	}
	if config.dir == "" {
		if config.dir, err = os.MkdirTemp("", "lienthong-bench-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(config.dir) }()
	}
	if config.profiles != "" {
		if err := os.MkdirAll(config.profiles, 0o750); err != nil {
			return err
		}
	}
	started := time.Now()
	target, err := startCluster(filepath.Join(config.dir, "target"))
	if err != nil {
		return err
	}
	defer target.Close()
	for _, part := range []struct {
		wanted bool
		run    func(context.Context, syncConfig, *pgtest.Server) error
	}{
		{config.peers || slices.ContainsFunc(postgresParts(), config.wants), runPostgres},
		{config.wants("maria"), runMaria},
		{config.wants("files"), runFiles},
	} {
		if !part.wanted {
			continue
		}
		if err := part.run(ctx, config, target); err != nil {
			return err
		}
	}
	return config.out.print(&line{Name: "total", Wall: time.Since(started).Seconds()})
}

func postgresParts() []string { return []string{"snapshot", "reconcile", "stream", "lag", "native"} }

func (c *syncConfig) check() error {
	for _, name := range c.parts() {
		if !slices.Contains(append(postgresParts(), "maria", "files"), name) {
			return fmt.Errorf("-only: unknown part %q", name)
		}
	}
	// One change in ten deletes a row that no other deletes: there must be enough of them.
	if most := 2*c.changes + int64(c.lagSeconds)*2*(slowRate+fastRate) + 2*warmUp; most > c.rows {
		return fmt.Errorf("so many changes need a snapshot of at least %d rows", most)
	}
	return nil
}

// runPostgres measures the parts from PostgreSQL.
func runPostgres(ctx context.Context, config syncConfig, target *pgtest.Server) (err error) {
	s := &syncRun{platform: platform{syncConfig: config, name: "pg", definition: definition, target: target}}
	if s.source, err = startCluster(filepath.Join(config.dir, "source")); err != nil {
		return err
	}
	defer s.source.Close()
	s.from = fmt.Sprintf("postgres: %s", s.source.DSN(sourceName))
	defer s.disconnect(ctx)
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.measure(ctx)
}

func startCluster(dir string) (*pgtest.Server, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return pgtest.Start(dir, settings()...)
}

func (c *syncConfig) say(format string, args ...any) {
	fmt.Fprintf(c.progress, format+"\n", args...)
}

// prepare makes the databases, fills the source, and writes the configuration of hub
// and node.
func (s *syncRun) prepare(ctx context.Context) error {
	if err := s.platform.prepare(ctx); err != nil {
		return err
	}
	if err := createDatabase(ctx, s.source, sourceName); err != nil {
		return err
	}
	if err := createDatabase(ctx, s.target, nativeName); err != nil {
		return err
	}
	s.say("filling the source: %d rows", s.rows)
	if err := fill(ctx, s.source.DSN(sourceName), s.rows); err != nil {
		return err
	}
	for _, c := range []struct {
		into **pgx.Conn
		dsn  string
	}{
		{&s.atSource, s.source.DSN(sourceName)},
		{&s.nativeDB, s.target.DSN(nativeName)},
		{&s.atTarget, s.target.DSN("postgres")},
	} {
		conn, err := pgx.Connect(ctx, c.dsn)
		if err != nil {
			return err
		}
		*c.into = conn
	}
	return nil
}

func (s *syncRun) disconnect(ctx context.Context) {
	s.platform.disconnect(ctx)
	for _, c := range []*pgx.Conn{s.atSource, s.nativeDB, s.atTarget} {
		if c != nil {
			_ = c.Close(ctx)
		}
	}
}

// measure runs the parts, ours and the reference in turns.
func (s *syncRun) measure(ctx context.Context) error {
	ours, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	var reference *line
	if s.wants("native") {
		if reference, err = s.nativeSnapshot(ctx); err != nil {
			return err
		}
	}
	if err := s.printPair(ours, reference); err != nil {
		return err
	}
	var peers []*peerRun
	if s.peers {
		if peers, err = s.peerSnapshots(ctx, reference); err != nil {
			return err
		}
		defer s.forgetPeers(ctx, peers)
	}
	if s.wants("stream") {
		if err := s.streams(ctx, peers); err != nil {
			return err
		}
	}
	if s.wants("lag") {
		for _, rate := range []int{slowRate, fastRate} {
			if err := s.lag(ctx, rate); err != nil {
				return err
			}
		}
	}
	if s.wants("reconcile") {
		return s.reconcile(ctx)
	}
	return nil
}

func (c *syncConfig) printPair(ours, reference *line) error {
	if reference != nil {
		ours.Ratio = ours.CPU / reference.CPU
		reference.Ratio = 1
	}
	if err := c.out.print(ours); err != nil || reference == nil {
		return err
	}
	return c.out.print(reference)
}

func (s *syncRun) parties() []party {
	return []party{clusterParty("source_pg", s.source), clusterParty("target_pg", s.target)}
}

func (s *syncRun) usage(roles ...*process) (usage, error) { return usageOf(s.parties(), roles...) }

// settle puts what is dirty onto disk, so that nobody pays for what came before.
func (s *syncRun) settle(ctx context.Context) error {
	for _, conn := range []*pgx.Conn{s.atSource, s.atTarget} {
		if _, err := conn.Exec(ctx, "CHECKPOINT"); err != nil {
			return err
		}
	}
	return nil
}

// until polls a query until it returns true. Both sides are polled alike.
func until(ctx context.Context, conn *pgx.Conn, patience time.Duration, query string, args ...any) error {
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var reached bool
		err := conn.QueryRow(ctx, query, args...).Scan(&reached)
		switch {
		case err != nil && !errors.Is(err, pgx.ErrNoRows):
			return err
		case reached:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("not reached within %s: %s", patience, query)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const (
	slowRate = 300  // transactions a second of the lag measurements
	fastRate = 2000 //
	warmUp   = 100  // transactions before one
)

const patience = 10 * time.Minute

// snapshot measures the first load.
func (s *syncRun) snapshot(ctx context.Context) (*line, error) {
	s.say("snapshot through the platform")
	l, err := s.firstLoad(ctx, load{name: "snapshot_pg_pg", phase: "snapshot", rows: s.rows, parties: s.parties(), settle: s.settle})
	if err != nil {
		return nil, err
	}
	l.Equal, err = s.equal(ctx, s.hubDB, "_id", hubLive)
	return l, err
}

// equal compares the content of the source's table with a copy.
func (s *syncRun) equal(ctx context.Context, conn *pgx.Conn, id, from string) (*bool, error) {
	var counts [2]int64
	var hashes [2]string
	if err := s.atSource.QueryRow(ctx, fmt.Sprintf(contentHash, "id", "citizen")).Scan(&counts[0], &hashes[0]); err != nil {
		return nil, err
	}
	if err := conn.QueryRow(ctx, fmt.Sprintf(contentHash, id, from)).Scan(&counts[1], &hashes[1]); err != nil {
		return nil, err
	}
	same := counts[0] == counts[1] && hashes[0] == hashes[1]
	if !same {
		s.say("NOT EQUAL: %d rows at the source, %d in the copy", counts[0], counts[1])
	}
	return &same, nil
}

// nativeSnapshot measures the initial copy of a subscription.
func (s *syncRun) nativeSnapshot(ctx context.Context) (*line, error) {
	if _, err := s.nativeDB.Exec(ctx, tableDDL); err != nil {
		return nil, err
	}
	if _, err := s.atSource.Exec(ctx, "CREATE PUBLICATION bench FOR TABLE citizen"); err != nil {
		return nil, err
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	s.say("snapshot by native logical replication")
	from, err := s.usage()
	if err != nil {
		return nil, err
	}
	_, err = s.nativeDB.Exec(ctx, fmt.Sprintf("CREATE SUBSCRIPTION bench CONNECTION 'host=127.0.0.1 port=%d user=postgres dbname=%s' PUBLICATION bench WITH (slot_name = '%s')",
		s.source.Port, sourceName, nativeSlot))
	if err != nil {
		return nil, err
	}
	if err := until(ctx, s.nativeDB, patience, "SELECT srsubstate IN ('r', 's') FROM pg_subscription_rel"); err != nil {
		return nil, err
	}
	to, err := s.usage()
	if err != nil {
		return nil, err
	}
	l := lineOf("native_snapshot", s.rows, from, to)
	if l.Equal, err = s.equal(ctx, s.nativeDB, "id", "citizen"); err != nil {
		return nil, err
	}
	return l, s.pauseNative(ctx)
}

// pauseNative stops the subscription and waits until its worker is gone.
func (s *syncRun) pauseNative(ctx context.Context) error {
	if _, err := s.nativeDB.Exec(ctx, "ALTER SUBSCRIPTION bench DISABLE"); err != nil {
		return err
	}
	return until(ctx, s.atSource, patience, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = $1", nativeSlot)
}

// streams measures how each side catches up with a backlog of single-row
// transactions.
func (s *syncRun) streams(ctx context.Context, peers []*peerRun) error {
	if err := s.backlog(ctx); err != nil {
		return err
	}
	ours, err := s.drain(ctx)
	if err != nil {
		return err
	}
	var reference *line
	if s.wants("native") {
		if reference, err = s.nativeDrain(ctx, "native_stream"); err != nil {
			return err
		}
	}
	if err := s.printPair(ours, reference); err != nil {
		return err
	}
	if err := s.peerStreams(ctx, peers, reference); err != nil {
		return err
	}
	if !s.binary || reference == nil {
		return nil
	}
	if _, err := s.nativeDB.Exec(ctx, "ALTER SUBSCRIPTION bench SET (binary = true)"); err != nil {
		return err
	}
	if err := s.backlog(ctx); err != nil {
		return err
	}
	binary, err := s.nativeDrain(ctx, "native_stream_binary")
	if err != nil {
		return err
	}
	binary.Ratio = binary.CPU / reference.CPU
	if _, err := s.nativeDB.Exec(ctx, "ALTER SUBSCRIPTION bench SET (binary = false)"); err != nil {
		return err
	}
	return s.out.print(binary)
}

// backlog commits the changes while nobody reads them.
func (s *syncRun) backlog(ctx context.Context) error {
	s.say("backlog of %d transactions", s.changes)
	if err := s.churn(ctx, s.churned, s.changes-1); err != nil {
		return err
	}
	// Whoever has applied a commit from after this place has applied all of them.
	if err := s.atSource.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&s.lastCommit); err != nil {
		return err
	}
	if err := s.churn(ctx, s.churned+s.changes-1, 1); err != nil {
		return err
	}
	s.churned += s.changes
	for _, conn := range []*pgx.Conn{s.hubDB, s.nativeDB} {
		if _, err := conn.Exec(ctx, "VACUUM ANALYZE"); err != nil {
			return err
		}
	}
	return s.settle(ctx)
}

func (s *syncRun) drain(ctx context.Context) (*line, error) {
	s.say("drain through the platform")
	l, err := s.platform.drain(ctx, load{name: "stream_pg_pg", phase: "stream", rows: s.changes, parties: s.parties()}, s.churned)
	if err != nil {
		return nil, err
	}
	l.Equal, err = s.equal(ctx, s.hubDB, "_id", hubLive)
	return l, err
}

// nativeDrain measures until the subscriber has applied the last transaction. It
// asks the subscriber, whose word to the publisher can come seconds later.
func (s *syncRun) nativeDrain(ctx context.Context, name string) (*line, error) {
	s.say("drain by native logical replication: %s", name)
	from, err := s.usage()
	if err != nil {
		return nil, err
	}
	if _, err := s.nativeDB.Exec(ctx, "ALTER SUBSCRIPTION bench ENABLE"); err != nil {
		return nil, err
	}
	err = until(ctx, s.nativeDB, patience, "SELECT COALESCE(pg_replication_origin_progress('pg_' || oid, false) > $1::text::pg_lsn, false) FROM pg_subscription WHERE subname = 'bench'", s.lastCommit)
	if err != nil {
		return nil, err
	}
	to, err := s.usage()
	if err != nil {
		return nil, err
	}
	l := lineOf(name, s.changes, from, to)
	if l.Equal, err = s.equal(ctx, s.nativeDB, "id", "citizen"); err != nil {
		return nil, err
	}
	return l, s.pauseNative(ctx)
}

// lag measures the time from commit at the source to commit at the other end,
// under a steady load of durable transactions.
func (s *syncRun) lag(ctx context.Context, rate int) error {
	length := time.Duration(s.lagSeconds) * time.Second
	ours, err := s.ourLag(ctx, rate, length)
	if err != nil {
		return err
	}
	if err := s.out.print(ours); err != nil || !s.wants("native") {
		return err
	}
	reference, err := s.nativeLag(ctx, rate, length)
	if err != nil {
		return err
	}
	return s.out.print(reference)
}

func (s *syncRun) ourLag(ctx context.Context, rate int, length time.Duration) (*line, error) {
	hub, node, err := s.startBoth(ctx, fmt.Sprintf("lag%d", rate))
	if err != nil {
		return nil, err
	}
	defer func() { _ = stopAll(node, hub) }()
	// The first rows open statements and links; they are not measured.
	if err := s.churn(ctx, s.churned, warmUp); err != nil {
		return nil, err
	}
	s.churned += warmUp
	if err := until(ctx, s.hubDB, patience, "SELECT changes >= $1 FROM streams", s.churned); err != nil {
		return nil, err
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	for _, p := range []*process{hub, node} {
		if err := forgetPeak(p.pid()); err != nil {
			return nil, err
		}
	}
	var start time.Time
	if err := s.atSource.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&start); err != nil {
		return nil, err
	}
	s.say("lag at %d transactions a second through the platform", rate)
	from, err := s.usage(hub, node)
	if err != nil {
		return nil, err
	}
	pace, err := paced(ctx, s.writer, s.churned, rate, length)
	if err != nil {
		return nil, err
	}
	s.churned += pace.n
	if err := until(ctx, s.hubDB, patience, "SELECT changes >= $1 FROM streams", s.churned); err != nil {
		return nil, err
	}
	to, err := s.usage(hub, node)
	if err != nil {
		return nil, err
	}
	delete(from.cpu, "source_pg") // it served the writers too
	delete(to.cpu, "source_pg")
	l := lineOf(fmt.Sprintf("lag_%d", rate), pace.n, from, to, hub, node)
	pace.into(l)
	// The commit times are those that the two servers wrote down themselves.
	err = s.hubDB.QueryRow(ctx, `SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY lag), percentile_cont(0.99) WITHIN GROUP (ORDER BY lag)
		FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - _source_at)::float8 * 1000 AS lag FROM `+hubRecords+` WHERE _source_at >= $1) l`, start).
		Scan(&l.Samples, &l.P50, &l.P99)
	if err != nil {
		return nil, err
	}
	return l, stopAll(node, hub)
}

// nativeLag cannot ask for the commit's time, because a subscriber writes down the
// source's. It compares, for inserted rows, the source's clock at the insert with the
// subscriber's when it applied the row, in a column that only the subscriber has.
func (s *syncRun) nativeLag(ctx context.Context, rate int, length time.Duration) (*line, error) {
	for _, statement := range []string{
		"ALTER TABLE citizen ADD COLUMN IF NOT EXISTS applied_at timestamptz",
		"ALTER TABLE citizen ALTER COLUMN applied_at SET DEFAULT clock_timestamp()",
		"ALTER SUBSCRIPTION bench ENABLE",
	} {
		if _, err := s.nativeDB.Exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	caughtUp := func() error {
		var end string
		if err := s.atSource.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&end); err != nil {
			return err
		}
		return until(ctx, s.atSource, patience, "SELECT COALESCE(replay_lsn >= $1::text::pg_lsn, false) FROM pg_stat_replication WHERE application_name = 'bench'", end)
	}
	if err := caughtUp(); err != nil {
		return nil, err
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	first := s.churned // inserted rows are numbered by it, and never updated
	s.say("lag at %d transactions a second, native", rate)
	pace, err := paced(ctx, s.writer, s.churned, rate, length)
	if err != nil {
		return nil, err
	}
	s.churned += pace.n
	if err := caughtUp(); err != nil {
		return nil, err
	}
	l := &line{Name: fmt.Sprintf("native_lag_%d", rate), Rows: pace.n}
	pace.into(l)
	err = s.nativeDB.QueryRow(ctx, `SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY lag), percentile_cont(0.99) WITHIN GROUP (ORDER BY lag)
		FROM (SELECT extract(epoch FROM applied_at - updated_at)::float8 * 1000 AS lag FROM citizen WHERE id >= $1) l`, first+s.rows+10).
		Scan(&l.Samples, &l.P50, &l.P99)
	if err != nil {
		return nil, err
	}
	return l, s.pauseNative(ctx)
}

// reconcile measures the comparison of both ends by bucketed digests.
func (s *syncRun) reconcile(ctx context.Context) error {
	hub, node, err := s.startBoth(ctx, "reconcile")
	if err != nil {
		return err
	}
	defer func() { _ = stopAll(node, hub) }()
	if err := until(ctx, s.hubDB, patience, "SELECT changes >= $1 FROM streams", s.churned); err != nil {
		return err
	}
	var rows, before int64
	err = s.hubDB.QueryRow(ctx, "SELECT live, (SELECT count(*) FROM reconciliations) FROM streams").Scan(&rows, &before)
	if err != nil {
		return err
	}
	s.say("reconciliation of %d rows", rows)
	from, err := s.usage(hub, node)
	if err != nil {
		return err
	}
	if err := node.reconcile(); err != nil {
		return err
	}
	if err := until(ctx, s.hubDB, patience, "SELECT count(*) > $1 FROM reconciliations", before); err != nil {
		return err
	}
	to, err := s.usage(hub, node)
	if err != nil {
		return err
	}
	var bodies []string
	found, err := s.hubDB.Query(ctx, "SELECT body::json->>'result' FROM reconciliations ORDER BY at")
	if err != nil {
		return err
	}
	if bodies, err = pgx.CollectRows(found, pgx.RowTo[string]); err != nil {
		return err
	}
	l := lineOf("reconcile_pg_pg", rows, from, to, hub, node)
	same := !slices.ContainsFunc(bodies, func(result string) bool { return result != "khớp" })
	l.Equal = &same
	if err := s.out.print(l); err != nil {
		return err
	}
	return stopAll(node, hub)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// place is where a peer works.
type place struct {
	dir, source, target string
	slot                string // of its name; also of its publication or origin
}

// peer is another program that keeps a PostgreSQL table the same in another
// PostgreSQL, and its configuration as its own documentation gives it.
type peer struct {
	name, binary string
	version      []string
	files        func(place) map[string]string // below the place's directory
	before       func(place) []string          // a command that must have ended first; or nil
	args         func(at place, again bool) []string
	environment  []string
	table        bool // the table must exist at the target
	ends         bool // it ends by itself once it has caught up
	// deleted is a column by which it marks rows instead of deleting them.
	deleted string
}

func peers() []peer {
	return []peer{
		{
			// One process for the copy and the stream; decoding by wal2json, which the
			// source's server must have.
			name: "pgstream", binary: "pgstream", version: []string{"--version"},
			files: func(at place) map[string]string {
				return map[string]string{"pgstream.yaml": fmt.Sprintf(`source:
  postgres:
    url: %[1]q
    mode: snapshot_and_replication
    snapshot:
      mode: full
      tables: ["public.citizen"]
      recorder:
        postgres_url: %[1]q
      snapshot_workers: 1
      data: {schema_workers: 2, table_workers: 2}
      schema:
        pgdump_pgrestore: {clean_target_db: true}
    replication:
      replication_slot: %[3]s
target:
  postgres:
    url: %[2]q
    batch: {timeout: 200, size: 5000}
    on_conflict_action: update
modifiers:
  injector: {enabled: true}
  filter: {include_tables: ["public.citizen"]}
`, at.source, at.target, at.slot)}
			},
			before: func(at place) []string { return []string{"init", "-c", filepath.Join(at.dir, "pgstream.yaml")} },
			args: func(at place, _ bool) []string {
				return []string{"run", "-c", filepath.Join(at.dir, "pgstream.yaml"), "--log-level", "error"}
			},
		},
		{
			name: "conduit", binary: "conduit", version: []string{"version"}, table: true,
			files: func(at place) map[string]string {
				return map[string]string{"pipelines/citizen.yaml": fmt.Sprintf(`version: "2.2"
pipelines:
  - id: citizen
    status: running
    connectors:
      - id: from
        type: source
        plugin: builtin:postgres
        settings:
          url: %q
          tables: citizen
          snapshotMode: initial
          cdcMode: logrepl
          logrepl.publicationName: %[3]s
          logrepl.slotName: %[3]s
          logrepl.autoCleanup: "false"
      - id: to
        type: destination
        plugin: builtin:postgres
        settings:
          url: %[2]q
          table: citizen
          sdk.batch.size: "1000"
          sdk.batch.delay: 50ms
`, at.source, at.target, at.slot)}
			},
			args: func(at place, _ bool) []string {
				return []string{
					"run", "--pipelines.path", filepath.Join(at.dir, "pipelines"), "--db.type", "badger",
					"--db.badger.path", filepath.Join(at.dir, "state"), "--api.enabled=false", "--log.level", "error",
				}
			},
		},
		{
			// Copies the whole database, with pg_dump for the schema; decoding by the
			// plugin that every server has.
			name: "pgcopydb", binary: "pgcopydb", version: []string{"--version"},
			files: func(place) map[string]string { return nil },
			args: func(at place, again bool) []string {
				args := []string{
					"clone", "--follow", "--plugin", "test_decoding", "--source", at.source, "--target", at.target,
					"--dir", filepath.Join(at.dir, "work"), "--slot-name", at.slot, "--origin", at.slot, "--table-jobs", "2", "--index-jobs", "2",
				}
				if again {
					args = append(args, "--resume", "--not-consistent")
				}
				return args
			},
		},
		{
			// Run by run: each catches up and ends. Deleted rows are marked.
			name: "ingestr", binary: "ingestr", version: []string{"--version"}, ends: true, deleted: "_cdc_deleted",
			files:       func(place) map[string]string { return nil },
			environment: []string{"DISABLE_TELEMETRY=true", "INGESTR_DISABLE_TELEMETRY=true"},
			args: func(at place, _ bool) []string {
				return []string{
					"ingest", "--yes", "--source-uri", strings.Replace(at.source, "postgres://", "postgres+cdc://", 1) + "&slot=" + at.slot,
					"--source-table", "public.citizen", "--dest-uri", strings.Replace(at.target, "postgres://", "postgresql://", 1),
					"--dest-table", "public.citizen", "--incremental-strategy", "merge", "--primary-key", "id",
				}
			},
		},
	}
}

// peerRun is a peer that is on PATH, with a database of its own at the target.
type peerRun struct {
	peer
	place
	path, versionText string
	db                *pgx.Conn
	failed            bool // its first load: then there is no stream to measure
}

// peerSnapshots measures the first load of every peer that is installed. One that fails
// gets a line that says so, and the others go on.
func (s *syncRun) peerSnapshots(ctx context.Context, reference *line) ([]*peerRun, error) {
	var found []*peerRun
	for _, one := range peers() {
		path, err := exec.LookPath(one.binary)
		if err != nil {
			s.say("%s is not on PATH", one.name)
			continue
		}
		p := &peerRun{peer: one, path: path, place: place{
			dir: filepath.Join(s.dir, "peer-"+one.name), source: s.source.DSN(sourceName), target: s.target.DSN("peer_" + one.name), slot: "bench_" + one.name,
		}}
		found = append(found, p)
		l, err := s.peerPart(ctx, p, "snapshot", s.rows, reference)
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		p.failed = err != nil
		if err := s.out.print(l); err != nil {
			return found, err
		}
	}
	return found, nil
}

// peerStreams measures how each drains the backlog that the platform has drained.
func (s *syncRun) peerStreams(ctx context.Context, found []*peerRun, reference *line) error {
	for _, p := range found {
		if p.failed {
			continue
		}
		l, err := s.peerPart(ctx, p, "stream", s.changes, reference)
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.out.print(l); err != nil {
			return err
		}
	}
	return nil
}

// peerPart measures a part of one peer within its budget. The line is there in any case.
func (s *syncRun) peerPart(ctx context.Context, p *peerRun, part string, rows int64, reference *line) (*line, error) {
	name := "peer_" + p.name + "_" + part
	s.say("%s by %s", part, p.name)
	limited, cancel := context.WithTimeout(ctx, s.peerBudget)
	defer cancel()
	l, err := s.runPeer(ctx, limited, p, name, rows, part == "stream")
	if err != nil {
		if limited.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("not finished within %s: %w", s.peerBudget, err)
		}
		return &line{Name: name, Rows: rows, Version: p.versionText, Error: err.Error()}, err
	}
	l.Version = p.versionText
	if reference != nil {
		l.Ratio = l.CPU / reference.CPU
	}
	return l, nil
}

// How often the copy is looked at: cheaply, and row by row once it may be complete.
const (
	lookEvery    = 100 * time.Millisecond
	compareEvery = time.Second
)

// runPeer starts the peer, measures until its copy is the same as the source, and stops
// it. Our own connections live with ctx, so that the end of the budget does not cut them.
func (s *syncRun) runPeer(ctx, limited context.Context, p *peerRun, name string, rows int64, again bool) (*line, error) {
	if !again {
		if err := s.preparePeer(ctx, limited, p); err != nil {
			return nil, err
		}
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	from, err := usageOf(s.parties())
	if err != nil {
		return nil, err
	}
	running, err := p.start(p.args(p.place, again))
	if err != nil {
		return nil, err
	}
	defer running.stop()
	var looking time.Duration // CPU time of our comparisons
	for {
		ended := running.ended()
		if ended && (running.failure != nil || !p.ends) {
			return nil, fmt.Errorf("it ended (%s): %s", running.cmd.ProcessState, running.said)
		}
		if !ended && (p.ends || !s.mayBeDone(ctx, p, again)) {
			if err := running.wait(limited, lookEvery); err != nil {
				return nil, err
			}
			continue
		}
		to, err := usageOf(s.parties())
		if err != nil {
			return nil, err
		}
		if to.cpu["peer"], err = running.cpu(); err != nil {
			return nil, err
		}
		peak := running.peak()
		same, compared := s.samePeer(ctx, p)
		if same {
			to.cpu["looking"] = -looking
			l := lineOf(name, rows, from, to)
			l.PeakRSS, l.Equal = peak, &same
			return l, nil
		}
		if ended {
			return nil, fmt.Errorf("it ended, but the copy is not equal: %w: %s", compared, running.said)
		}
		after, err := usageOf(s.parties())
		if err != nil {
			return nil, err
		}
		for who, cpu := range after.cpu {
			looking += cpu - to.cpu[who]
		}
		if err := running.wait(limited, compareEvery); err != nil {
			return nil, err
		}
	}
}

// preparePeer makes its directory, database and configuration.
func (s *syncRun) preparePeer(ctx, limited context.Context, p *peerRun) (err error) {
	if err := os.MkdirAll(p.dir, 0o750); err != nil {
		return err
	}
	name := "peer_" + p.name
	if err := createDatabase(ctx, s.target, name); err != nil {
		return err
	}
	if p.db, err = pgx.Connect(ctx, p.target); err != nil {
		return err
	}
	if p.table {
		if _, err := p.db.Exec(ctx, tableDDL); err != nil {
			return err
		}
	}
	for name, content := range p.files(p.place) {
		path := filepath.Join(p.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	if p.versionText, err = p.once(limited, p.version); err != nil {
		return err
	}
	p.versionText, _, _ = strings.Cut(p.versionText, "\n")
	if p.before == nil {
		return nil
	}
	_, err = p.once(limited, p.before(p.place))
	return err
}

// once runs a command of the peer that ends.
func (p *peerRun) once(limited context.Context, args []string) (string, error) {
	running, err := p.start(args)
	if err != nil {
		return "", err
	}
	defer running.stop()
	for !running.ended() {
		if err := running.wait(limited, lookEvery); err != nil {
			return "", err
		}
	}
	if running.failure != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args[:1], " "), running.failure, running.said)
	}
	return strings.TrimSpace(running.said.String()), nil
}

// mayBeDone looks whether the copy can be complete, without reading it.
func (s *syncRun) mayBeDone(ctx context.Context, p *peerRun, again bool) bool {
	var done bool
	if !again {
		// The counters come from the server's statistics; the key, from the end of the copy.
		err := p.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_user_tables t JOIN pg_constraint c ON c.conrelid = t.relid AND c.contype = 'p'
			WHERE t.schemaname = 'public' AND t.relname = 'citizen' AND t.n_tup_ins >= $1)`, s.rows).Scan(&done)
		return err == nil && done
	}
	// Two writers made the backlog side by side, each with inserts until near its end.
	first, n := s.churned-s.changes, s.changes-1
	err := p.db.QueryRow(ctx, "SELECT count(*) = 2 FROM citizen WHERE id IN ($1, $2)", s.lastInsert(first+n/2), s.lastInsert(first+n)).Scan(&done)
	return err == nil && done
}

// lastInsert is the key of the last inserted row of the transactions before one.
func (s *syncRun) lastInsert(before int64) int64 {
	i := before - 1
	for i%10 != 2 && i%10 != 5 && i%10 != 8 {
		i--
	}
	return s.rows + 10 + i
}

// samePeer compares the copy with the source, row by row.
func (s *syncRun) samePeer(ctx context.Context, p *peerRun) (bool, error) {
	from := "citizen"
	if p.deleted != "" {
		from += " WHERE " + p.deleted + " IS NOT TRUE"
	}
	var counts [2]int64
	var hashes [2]string
	if err := s.atSource.QueryRow(ctx, fmt.Sprintf(contentHash, "id", "citizen")).Scan(&counts[0], &hashes[0]); err != nil {
		return false, err
	}
	if err := p.db.QueryRow(ctx, fmt.Sprintf(contentHash, "id", from)).Scan(&counts[1], &hashes[1]); err != nil {
		return false, err
	}
	if counts[0] != counts[1] {
		return false, fmt.Errorf("%d rows of %d", counts[1], counts[0])
	}
	if hashes[0] != hashes[1] {
		return false, errors.New("same count, other content")
	}
	return true, nil
}

// forgetPeers closes what was opened for them and drops their slots, which hold the
// source's log.
func (s *syncRun) forgetPeers(ctx context.Context, found []*peerRun) {
	ctx = context.WithoutCancel(ctx)
	for _, p := range found {
		if p.db != nil {
			_ = p.db.Close(ctx)
		}
		_, err := s.atSource.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active", p.slot)
		if err != nil {
			s.say("slot of %s: %v", p.name, err)
		}
	}
}

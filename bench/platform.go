package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/pgtest"
)

// platform is a node and a hub with a directory and a hub database of their own: one
// for each technology that is read.
type platform struct {
	syncConfig
	name       string // of its directory and database
	from       string // the source, as the node's configuration says it
	definition string
	target     *pgtest.Server
	hubDB      *pgx.Conn
}

func (s *platform) home() string     { return filepath.Join(s.dir, s.name) }
func (s *platform) database() string { return hubName + "_" + s.name }

// prepare makes the hub's database and writes the definition.
func (s *platform) prepare(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.home(), 0o755); err != nil {
		return err
	}
	if err := createDatabase(ctx, s.target, s.database()); err != nil {
		return err
	}
	if s.hubDB, err = pgx.Connect(ctx, s.target.DSN(s.database())); err != nil {
		return err
	}
	return s.writeFile("citizen.yaml", s.definition)
}

func (s *platform) disconnect(ctx context.Context) {
	if s.hubDB != nil {
		_ = s.hubDB.Close(ctx)
	}
}

func createDatabase(ctx context.Context, server *pgtest.Server, name string) error {
	conn, err := pgx.Connect(ctx, server.DSN("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name)
	return errors.Join(err, conn.Close(ctx))
}

func (s *platform) writeFile(name, content string) error {
	return os.WriteFile(filepath.Join(s.home(), name), []byte(content), 0o600)
}

func (s *platform) writeHubConfig(links, enrol string) error {
	return s.writeFile("hub.yaml", fmt.Sprintf(`name: bench-hub
member: G01
data: %s
links: %s
enrol: %s
console: "off"
postgres: %s
definitions: [citizen.yaml]
`, filepath.Join(s.home(), "hub"), links, enrol, s.target.DSN(s.database())))
}

func (s *platform) writeNodeConfig(hub ready, token string) error {
	return s.writeFile("node.yaml", fmt.Sprintf(`name: bench
data: %s
hub: {links: %s, enrol: %s}
token: %q
reconcile_every: -1s
sources:
  - %s
    definitions: [citizen.yaml]
`, filepath.Join(s.home(), "node"), hub.Links, hub.Enrol, token, s.from))
}

// party is somebody besides node and hub whose CPU time counts.
type party struct {
	name string
	cpu  func() (time.Duration, error) // since its start
}

func clusterParty(name string, server *pgtest.Server) party {
	return party{name, func() (time.Duration, error) { return cpuOfTree(server.PID()) }}
}

// usage is the CPU time of everybody at one moment.
type usage struct {
	at  time.Time
	cpu map[string]time.Duration
}

func usageOf(parties []party, roles ...*process) (usage, error) {
	u := usage{at: time.Now(), cpu: map[string]time.Duration{}}
	for _, p := range roles {
		cpu, err := cpuOf(p.pid())
		if err != nil {
			return u, err
		}
		u.cpu[p.name] = cpu
	}
	for _, p := range parties {
		cpu, err := p.cpu()
		if err != nil {
			return u, err
		}
		u.cpu[p.name] = cpu
	}
	return u, nil
}

func lineOf(name string, rows int64, from, to usage, roles ...*process) *line {
	l := &line{Name: name, Rows: rows, Wall: to.at.Sub(from.at).Seconds(), ByProcess: map[string]float64{}}
	for who := range maps.Keys(to.cpu) {
		each := float64((to.cpu[who] - from.cpu[who]).Microseconds()) / float64(rows)
		l.ByProcess[who] = each
		l.CPU += each
	}
	l.PerSecond = float64(rows) / l.Wall
	for _, p := range roles {
		peak := memory(p.pid(), "VmHWM")
		if p.name == "node" {
			l.NodeRSS = peak
			l.NodeNow, l.NodeAnon = memory(p.pid(), "VmRSS"), memory(p.pid(), "RssAnon")
		} else {
			l.HubRSS = peak
		}
		l.PeakRSS = max(l.PeakRSS, peak)
	}
	return l
}

// load is work whose beginning and end are measured.
type load struct {
	name    string // of the line
	phase   string // in the names of profiles
	rows    int64
	parties []party
	settle  func(context.Context) error
	ended   func(context.Context) error // waits for what else belongs to it; or nil
}

// firstLoad measures from the moment the node works to the moment the last row is
// committed at the hub.
func (s *platform) firstLoad(ctx context.Context, work load) (*line, error) {
	if err := s.writeHubConfig("127.0.0.1:0", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	hub, err := s.startRole(ctx, "hub", work.phase)
	if err != nil {
		return nil, err
	}
	defer func() { _ = hub.stop() }()
	config, err := app.LoadHubConfig(filepath.Join(s.home(), "hub.yaml"))
	if err != nil {
		return nil, err
	}
	token, err := app.Invite(ctx, config, "government", "G01", "bench", time.Hour)
	if err != nil {
		return nil, err
	}
	// Where the hub is now is where it is to be when it starts again.
	if err := s.writeHubConfig(hub.ready.Links, hub.ready.Enrol[len("https://"):]); err != nil {
		return nil, err
	}
	if err := s.writeNodeConfig(hub.ready, token); err != nil {
		return nil, err
	}
	if err := work.settle(ctx); err != nil {
		return nil, err
	}
	node, err := s.startRole(ctx, "node", work.phase)
	if err != nil {
		return nil, err
	}
	defer func() { _ = node.stop() }()
	return s.finish(ctx, work, hub, node, "SELECT live >= $1 FROM streams", work.rows)
}

// drain measures how hub and node catch up with a backlog, until all changes since the
// beginning have been landed.
func (s *platform) drain(ctx context.Context, work load, all int64) (*line, error) {
	hub, node, err := s.startBoth(ctx, work.phase)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stopAll(node, hub) }()
	return s.finish(ctx, work, hub, node, "SELECT changes >= $1 FROM streams", all)
}

// finish measures until the hub's database says yes, and stops hub and node.
func (s *platform) finish(ctx context.Context, work load, hub, node *process, reached string, argument int64) (*line, error) {
	from, err := usageOf(work.parties, hub, node)
	if err != nil {
		return nil, err
	}
	if err := until(ctx, s.hubDB, patience, reached, argument); err != nil {
		return nil, err
	}
	if work.ended != nil {
		if err := work.ended(ctx); err != nil {
			return nil, err
		}
	}
	to, err := usageOf(work.parties, hub, node)
	if err != nil {
		return nil, err
	}
	return lineOf(work.name, work.rows, from, to, hub, node), stopAll(node, hub)
}

// startBoth starts the hub and then the node.
func (s *platform) startBoth(ctx context.Context, phase string) (hub, node *process, err error) {
	if hub, err = s.startRole(ctx, "hub", phase); err != nil {
		return nil, nil, err
	}
	if node, err = s.startRole(ctx, "node", phase); err != nil {
		_ = hub.stop()
		return nil, nil, err
	}
	return hub, node, nil
}

func stopAll(processes ...*process) error {
	var problems []error
	for _, p := range processes {
		problems = append(problems, p.stop())
	}
	return errors.Join(problems...)
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/lienthong/lienthong/internal/app"
	"github.com/lienthong/lienthong/internal/telemetry"
)

// ready is what a role says once it works.
type ready struct {
	Links string `json:"links,omitempty"`
	Enrol string `json:"enrol,omitempty"`
}

// runRole is the measured process: a hub or a node as the product starts it. It
// ends when its standard input does, so that none outlives its parent.
func runRole(ctx context.Context, role string, args []string, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet(role, flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "", "configuration file")
	profile := flags.String("profile", "", "prefix of profile files")
	level := flags.String("log-level", "error", "of the log")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log, err := telemetry.NewLogger(telemetry.LogConfig{Writer: stderr, Level: *level})
	if err != nil {
		return err
	}
	if *profile != "" {
		stop, err := startProfile(*profile)
		if err != nil {
			return err
		}
		defer func() { err = stop() }()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	encoder := json.NewEncoder(stdout)
	reconcile := func(context.Context) error { return fmt.Errorf("a hub does not reconcile") }
	switch role {
	case "hub":
		config, err := app.LoadHubConfig(*path)
		if err != nil {
			return err
		}
		config.TuneMemory()
		hub, err := app.StartHub(ctx, config, app.HubParts{Log: log})
		if err != nil {
			return err
		}
		defer hub.Close()
		if err := encoder.Encode(ready{Links: hub.LinksAddr(), Enrol: hub.EnrolURL()}); err != nil {
			return err
		}
	case "node":
		config, err := app.LoadNodeConfig(*path)
		if err != nil {
			return err
		}
		config.TuneMemory()
		node, err := app.StartNode(ctx, config, app.NodeParts{Log: log})
		if err != nil {
			return err
		}
		defer node.Close()
		reconcile = node.Reconcile
		if err := encoder.Encode(ready{}); err != nil {
			return err
		}
	}
	commands := bufio.NewScanner(stdin)
	for commands.Scan() {
		if err := reconcile(ctx); err != nil {
			return err
		}
		if err := encoder.Encode(ready{}); err != nil {
			return err
		}
	}
	return commands.Err()
}

func startProfile(prefix string) (stop func() error, err error) {
	cpu, err := os.Create(prefix + ".cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		if err := cpu.Close(); err != nil {
			return err
		}
		allocs, err := os.Create(prefix + ".allocs")
		if err != nil {
			return err
		}
		if err := pprof.Lookup("allocs").WriteTo(allocs, 0); err != nil {
			return err
		}
		return allocs.Close()
	}, nil
}

// process is a running role.
type process struct {
	name   string
	ready  ready
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	done   chan error
}

// startRole starts this program again as a hub or node and waits until it works.
func (s *platform) startRole(ctx context.Context, role, phase string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{role, "-config", filepath.Join(s.home(), role+".yaml"), "-log-level", s.logLevel}
	if s.profiles != "" {
		args = append(args, "-profile", filepath.Join(s.profiles, role+"-"+phase))
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = s.progress
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	p := &process{name: role, cmd: cmd, done: make(chan error, 1)}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.stdout = bufio.NewScanner(stdout)
	if err := p.answer(); err != nil {
		_ = p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) answer() error {
	if !p.stdout.Scan() {
		return fmt.Errorf("%s ended: %w", p.name, p.stdout.Err())
	}
	return json.Unmarshal(p.stdout.Bytes(), &p.ready)
}

// reconcile makes a node compare its source with the hub now; it returns when the
// source's digest is on its way.
func (p *process) reconcile() error {
	if _, err := io.WriteString(p.stdin, "reconcile\n"); err != nil {
		return err
	}
	return p.answer()
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	_ = p.stdin.Close()
	err := p.cmd.Wait()
	if err != nil && !strings.Contains(err.Error(), "signal") {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	runtime.KeepAlive(p)
	return nil
}

// Package pgtest runs a private PostgreSQL server for tests and benchmarks: on
// a free loopback port, in a temporary directory, as an unprivileged user when
// the test runs as root (PostgreSQL refuses root).
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNotInstalled says that the machine has no PostgreSQL server.
var ErrNotInstalled = errors.New("PostgreSQL is not installed: apt-get install postgresql")

// Server is a running PostgreSQL with wal_level=logical.
type Server struct {
	Dir  string // its data directory
	Port int

	bin   string
	cred  *syscall.Credential
	cmd   *exec.Cmd
	done  chan struct{}
	named atomic.Int64
}

// Start makes a cluster in dir and starts it with the settings added to ours.
// Close stops it. The server also ends when this process is killed.
func Start(dir string, settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: filepath.Join(dir, "pg"), bin: bin}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		if s.cred, err = unprivileged(); err != nil {
			return nil, err
		}
		// The unprivileged user must be able to reach the directory.
		for p := s.Dir; p != "/" && p != "/tmp"; p = filepath.Dir(p) {
			if info, err := os.Stat(p); err == nil && info.Mode().Perm()&0o001 == 0 && p != s.Dir {
				if err := os.Chmod(p, info.Mode().Perm()|0o011); err != nil {
					return nil, err
				}
			}
		}
		if err := os.Chown(s.Dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := s.command("initdb", "-D", s.Dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	return s, s.Restart(settings...)
}

// Restart starts the server, or stops it hard and starts it again.
func (s *Server) Restart(settings ...string) error {
	s.Kill()
	args := []string{"-D", s.Dir, "-p", strconv.Itoa(s.Port), "-k", s.Dir, "-h", "127.0.0.1"}
	for _, set := range append([]string{
		"wal_level=logical", "max_wal_senders=40", "max_replication_slots=40", "max_connections=120",
		"shared_buffers=128MB", "logging_collector=off", "log_min_messages=fatal",
	}, settings...) {
		args = append(args, "-c", set)
	}
	s.cmd = s.command("postgres", args...)
	s.done = make(chan struct{})
	started := make(chan error)
	go func() {
		// Pdeathsig follows the thread that forked, so that thread must live on.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- s.cmd.Start()
		_ = s.cmd.Wait()
		close(s.done)
	}()
	if err := <-started; err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		conn, err := pgx.Connect(ctx, s.DSN("postgres"))
		if err == nil {
			err = conn.Close(ctx)
			cancel()
			return err
		}
		cancel()
		select {
		case <-s.done:
			return fmt.Errorf("PostgreSQL ended while starting: %s", s.cmd.Stderr)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		}
	}
}

// DSN names a database of the server for its superuser.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.Port, database)
}

// PID is the postmaster's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the server at once, without a checkpoint.
func (s *Server) Kill() { s.stop(syscall.SIGQUIT) }

// Close ends the server.
func (s *Server) Close() { s.stop(syscall.SIGINT) }

func (s *Server) stop(sig os.Signal) {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	select {
	case <-s.done:
	default:
		_ = s.cmd.Process.Signal(sig)
		<-s.done
	}
	s.cmd = nil
}

// Database makes an empty database, dropped when the test ends, and returns its DSN.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("t%d", s.named.Add(1))
	s.admin(tb, "CREATE DATABASE "+name)
	tb.Cleanup(func() {
		s.admin(tb, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"' AND pid <> pg_backend_pid()")
		s.admin(tb, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '"+name+"' AND NOT active")
		s.admin(tb, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	})
	return s.DSN(name)
}

func (s *Server) admin(tb testing.TB, sql string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		tb.Logf("pgtest: %v", err)
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		tb.Logf("pgtest: %s: %v", sql, err)
	}
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.Dir
	cmd.Stderr = new(strings.Builder)
	if name == "initdb" {
		cmd.Stderr = nil
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT, Credential: s.cred}
	return cmd
}

// binaries finds the newest installed server: on PATH, or where Debian puts it.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", ErrNotInstalled
	}
	sort.Slice(found, func(i, j int) bool { return version(found[i]) < version(found[j]) })
	return filepath.Dir(found[len(found)-1]), nil
}

func version(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4])
	return n
}

func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(account.Uid, 10, 32)
		gid, _ := strconv.ParseUint(account.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("no unprivileged account to run PostgreSQL as")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

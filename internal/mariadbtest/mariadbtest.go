// Package mariadbtest runs a private MariaDB server for tests and benchmarks: on
// a free loopback port, in a temporary directory, as an unprivileged user when the
// test runs as root. It writes a binary log as a source of the platform must: rows
// in full, with their metadata, and GTIDs.
//
// The binary log belongs to the whole server: tests of one server see each other's
// changes in it, so Database gives every test a database with a name of its own.
package mariadbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// ErrNotInstalled says that the machine has no MariaDB server.
var ErrNotInstalled = errors.New("MariaDB is not installed: apt-get install mariadb-server")

// Server is a running MariaDB that writes a binary log.
type Server struct {
	Dir  string // its data directory
	Port int
	ID   int // its server_id

	binary string
	cred   *syscall.Credential
	cmd    *exec.Cmd
	done   chan struct{}
	named  atomic.Int64
}

// Start makes a data directory below dir and starts a server with the settings added
// to ours, each "name=value". Close stops it. The server also ends when this process is
// killed.
func Start(dir string, settings ...string) (*Server, error) {
	binary, err := find("mariadbd")
	if err != nil {
		return nil, err
	}
	installer, err := find("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: filepath.Join(dir, "mariadb"), binary: binary}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		if s.cred, err = unprivileged(); err != nil {
			return nil, err
		}
		// The unprivileged user must be able to reach the directory.
		for p := filepath.Dir(s.Dir); p != "/" && p != "/tmp"; p = filepath.Dir(p) {
			if info, err := os.Stat(p); err == nil && info.Mode().Perm()&0o001 == 0 {
				if err := os.Chmod(p, info.Mode().Perm()|0o011); err != nil {
					return nil, err
				}
			}
		}
		if err := os.Chown(s.Dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, err
		}
	}
	install := s.command(installer, "--no-defaults", "--datadir="+s.Dir, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve")
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	accounts := "CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';\nGRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
	if err := os.WriteFile(filepath.Join(s.Dir, "accounts.sql"), []byte(accounts), 0o644); err != nil {
		return nil, err
	}
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	s.ID = s.Port // as free as the port is
	return s, s.Restart(settings...)
}

// Restart starts the server, or stops it hard and starts it again.
func (s *Server) Restart(settings ...string) error {
	s.Kill()
	args := []string{"--no-defaults", "--datadir=" + s.Dir}
	for _, set := range append([]string{
		"port=" + strconv.Itoa(s.Port), "bind-address=127.0.0.1", "skip-name-resolve", "socket=" + s.socket(),
		"pid-file=" + filepath.Join(s.Dir, "server.pid"), "init-file=" + filepath.Join(s.Dir, "accounts.sql"),
		"server-id=" + strconv.Itoa(s.ID), "log-bin=binlog", "binlog-format=ROW", "binlog-row-image=FULL",
		"binlog-row-metadata=FULL", "character-set-server=utf8mb4", "max-connections=200",
		"innodb-buffer-pool-size=128M", "innodb-log-file-size=64M", "innodb-flush-log-at-trx-commit=0", "sync-binlog=0",
		"max-allowed-packet=64M", "performance-schema=OFF",
	}, settings...) {
		args = append(args, "--"+set)
	}
	s.cmd = s.command(s.binary, args...)
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
	db, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	deadline := time.Now().Add(60 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		err := db.PingContext(ctx)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("MariaDB ended while starting: %s", s.cmd.Stderr)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("MariaDB does not answer: %w", err)
		}
	}
}

// socket is short, because a path to a socket may not be longer than 107 bytes.
func (s *Server) socket() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("mariadbtest-%d.sock", s.Port))
}

// DSN names a database of the server, "" for none, for its superuser.
func (s *Server) DSN(database string) string {
	return s.AccountDSN("root", "", database)
}

// AccountDSN is the same for another account.
func (s *Server) AccountDSN(account, password, database string) string {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = account, password, database
	cfg.Net, cfg.Addr = "tcp", "127.0.0.1:"+strconv.Itoa(s.Port)
	cfg.Logger = silent{}
	return cfg.FormatDSN()
}

type silent struct{}

func (silent) Print(...any) {}

// PID is the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the server at once, as a power cut would.
func (s *Server) Kill() { s.stop(syscall.SIGKILL) }

// Close ends the server.
func (s *Server) Close() {
	s.stop(syscall.SIGTERM)
	_ = os.Remove(s.socket())
}

// Stop ends the server in good order, so that Restart can start it again.
func (s *Server) Stop() { s.stop(syscall.SIGTERM) }

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

// Database makes an empty database, dropped when the test ends, and returns its DSN. Its
// name is the server's alone.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("t%d", s.named.Add(1))
	s.Admin(tb, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
	tb.Cleanup(func() { s.Admin(tb, "DROP DATABASE IF EXISTS "+name) })
	return s.DSN(name)
}

// Admin runs statements as the superuser.
func (s *Server) Admin(tb testing.TB, statements ...string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	db, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		tb.Logf("mariadbtest: %v", err)
		return
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1) // SET SESSION reaches the statements after it
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			tb.Logf("mariadbtest: %s: %v", statement, err)
		}
	}
}

func (s *Server) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = s.Dir
	if path == s.binary {
		cmd.Stderr = new(strings.Builder)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: s.cred}
	return cmd
}

// find looks on PATH and where Debian puts servers.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
		if path := filepath.Join(dir, name); exec.Command(path, "--version").Run() == nil {
			return path, nil
		}
	}
	return "", ErrNotInstalled
}

func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"mysql", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(account.Uid, 10, 32)
		gid, _ := strconv.ParseUint(account.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("no unprivileged account to run MariaDB as")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

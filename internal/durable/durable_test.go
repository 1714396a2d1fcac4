package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lienthong/lienthong"
)

// childVariable makes the test binary play the process that gets killed.
const childVariable = "LIENTHONG_DURABLE_CHILD"

func TestMain(m *testing.M) {
	if target := os.Getenv(childVariable); target != "" {
		role, path, _ := strings.Cut(target, "=")
		switch role {
		case "write":
			writeForever(path)
		case "lock":
			holdForever(path)
		}
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func content(letter byte) []byte { return bytes.Repeat([]byte{letter}, 256<<10) }

func writeForever(path string) {
	for i := byte(0); ; i++ {
		if err := WriteFile(path, content('a'+i%26), 0o600); err != nil {
			os.Exit(4)
		}
		if i == 0 {
			_, _ = os.Stdout.WriteString("ready\n")
		}
	}
}

func holdForever(dir string) {
	lock, err := LockDirectory(dir)
	if err != nil {
		os.Exit(4)
	}
	_, _ = os.Stdout.WriteString("ready\n")
	time.Sleep(time.Hour)
	_ = lock.Release()
}

// startChild runs the test binary in a role and returns when it says "ready".
func startChild(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), childVariable+"="+role+"="+path)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := out.Read(line); err != nil || string(line) != "ready\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	return command
}

func kill(t *testing.T, command *exec.Cmd) {
	t.Helper()
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
}

// faultyFile fails at the named step.
type faultyFile struct {
	file
	fail string
	err  error
}

func (f faultyFile) Write(p []byte) (int, error) {
	if f.fail == "write" {
		n, _ := f.file.Write(p[:len(p)/2])
		return n, f.err
	}
	return f.file.Write(p)
}

func (f faultyFile) Sync() error {
	if f.fail == "sync" {
		return f.err
	}
	return f.file.Sync()
}

func (f faultyFile) Close() error {
	err := f.file.Close()
	if f.fail == "close" {
		return f.err
	}
	return err
}

func (f faultyFile) Chmod(mode fs.FileMode) error {
	if f.fail == "chmod" {
		return f.err
	}
	return f.file.Chmod(mode)
}

func TestWriteFile_EveryFault(t *testing.T) {
	for _, test := range []struct {
		fail string
		want string // content afterwards
	}{
		{"create", "old"},
		{"chmod", "old"},
		{"write", "old"},
		{"sync", "old"},
		{"close", "old"},
		{"rename", "old"},
		{"syncdir", "new"},
		{"", "new"},
	} {
		t.Run("fails at "+test.fail, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "state")
			if err := WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			d := realDisk()
			real := d
			d.create = func(dir, pattern string) (file, error) {
				if test.fail == "create" {
					return nil, syscall.ENOSPC
				}
				f, err := real.create(dir, pattern)
				return faultyFile{f, test.fail, syscall.ENOSPC}, err
			}
			d.rename = func(from, to string) error {
				if test.fail == "rename" {
					return syscall.ENOSPC
				}
				return real.rename(from, to)
			}
			d.syncDir = func(dir string) error {
				if test.fail == "syncdir" {
					return syscall.ENOSPC
				}
				return real.syncDir(dir)
			}
			err := d.writeFile(path, []byte("new"), 0o600)
			if test.fail == "" != (err == nil) {
				t.Fatalf("error %v", err)
			}
			if err != nil && !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("cause lost: %v", err)
			}
			if got := errors.Is(err, ErrUncertain); got != (test.fail == "syncdir") {
				t.Fatalf("uncertain = %v for %v", got, err)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != test.want {
				t.Fatalf("content %q, %v; want %q", got, err, test.want)
			}
			if names := list(t, dir); len(names) != 1 {
				t.Fatalf("left behind: %v", names)
			}
		})
	}
}

func TestWriteFile_Mode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestWriteFile_KilledInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for round := range 12 {
		child := startChild(t, "write", path)
		timer := time.NewTimer(time.Duration(round) * 700 * time.Microsecond)
		<-timer.C // the moment of death moves through the steps of a write
		kill(t, child)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 || !bytes.Equal(got, content(got[0])) {
			t.Fatalf("round %d: torn file of %d bytes", round, len(got))
		}
	}
	lock, err := LockDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	if diff := cmp.Diff([]string{".lock", "state"}, list(t, dir)); diff != "" {
		t.Fatalf("the next owner did not sweep: %s", diff)
	}
}

func TestLockDirectory_OneOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "er")
	first, err := LockDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockDirectory(dir); lienthong.ErrorCode(err) != "durable.locked" {
		t.Fatalf("second owner in the process: %v", err)
	}
	if err := errors.Join(first.Release(), first.Release()); err != nil {
		t.Fatal(err)
	}

	child := startChild(t, "lock", dir)
	_, err = LockDirectory(dir)
	if lienthong.ErrorCode(err) != "durable.locked" || !strings.Contains(err.Error(), "(pid ") {
		t.Fatalf("second owner in another process: %v", err)
	}
	kill(t, child)
	after, err := LockDirectory(dir)
	if err != nil {
		t.Fatalf("a dead owner still holds it: %v", err)
	}
	if err := after.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestMkdirAll(t *testing.T) {
	root := t.TempDir()
	var synced []string
	d := realDisk()
	d.syncDir = func(dir string) error {
		relative, err := filepath.Rel(root, dir)
		synced = append(synced, relative)
		return err
	}
	if err := d.mkdirAll(filepath.Join(root, "a", "b", "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".", "a", filepath.Join("a", "b")}, synced); diff != "" {
		t.Fatalf("flushed directories (-want +got):\n%s", diff)
	}
	if err := MkdirAll(filepath.Join(root, "a", "b", "c"), 0o700); err != nil {
		t.Fatalf("again: %v", err)
	}
	if err := os.WriteFile(filepath.Join(root, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(root, "f", "x"), 0o700); err == nil {
		t.Fatal("made a directory below a file")
	}
	d.syncDir = func(string) error { return syscall.EIO }
	if err := d.mkdirAll(filepath.Join(root, "z"), 0o700); !errors.Is(err, syscall.EIO) {
		t.Fatalf("flush failed unseen: %v", err)
	}
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Remove(path), Remove(path)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("still there: %v", err)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

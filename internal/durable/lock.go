//go:build unix

package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/lienthong/lienthong"
)

// lockName is the file that carries the lock. It is never removed: removing it
// would let two processes hold locks on two files of the same name.
const lockName = ".lock"

// DirectoryLock is the right to use a data directory.
type DirectoryLock struct {
	dir     string
	mu      sync.Mutex
	file    *os.File // nil after Release
	release error
}

// LockDirectory makes the directory where it is missing and takes it for this
// process and this caller alone. A second taker, in this process or another,
// gets the coded error "durable.locked" at once. What an earlier crash left
// half written is removed.
func LockDirectory(dir string) (*DirectoryLock, error) {
	if err := MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := flock(f); err != nil {
		holder := readHolder(f)
		closeErr := f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &lienthong.Error{
				Code: "durable.locked", Where: dir,
				Vi:   "thư mục dữ liệu đang được một tiến trình khác sử dụng" + holder,
				En:   "another process is using the data directory" + holder,
				Hint: "dừng tiến trình kia hoặc chọn thư mục khác / stop the other process or choose another directory",
				Err:  closeErr,
			}
		}
		return nil, fmt.Errorf("lock %s: %w", dir, errors.Join(err, closeErr))
	}
	lock := &DirectoryLock{dir: dir, file: f}
	if err := errors.Join(writeHolder(f), sweep(dir)); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, errors.Join(err, lock.Release()))
	}
	return lock, nil
}

// Dir is the directory that is locked.
func (l *DirectoryLock) Dir() string { return l.dir }

// Release gives the directory back. Further calls do nothing.
func (l *DirectoryLock) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return l.release
	}
	l.release = l.file.Close() // closing drops the lock
	l.file = nil
	return l.release
}

func flock(f *os.File) error {
	connection, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = connection.Control(func(fd uintptr) {
		for {
			lockErr = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB)
			if !errors.Is(lockErr, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, lockErr)
}

// writeHolder notes the process for the person who meets the lock.
func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func readHolder(f *os.File) string {
	buffer := make([]byte, 20)
	n, err := f.ReadAt(buffer, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(buffer[:n])))
	if err != nil {
		return ""
	}
	return " (pid " + strconv.Itoa(number) + ")"
}

// Package durable holds files that survive a power cut.
//
// A file is written beside its final place, flushed, renamed over it, and the
// directory is flushed, so that after a crash at any step a reader finds either
// the whole old content or the whole new one. A data directory belongs to one
// process at a time: LockDirectory says so with a lock that the kernel drops
// when the process ends, however it ends.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// temporaryMark is in the name of every file that WriteFile has not finished.
const temporaryMark = ".unfinished-"

// file is what a step of writing needs from an open file.
type file interface {
	Write([]byte) (int, error)
	Sync() error
	Close() error
	Name() string
	Chmod(fs.FileMode) error
}

// disk is the file system as this package uses it. The tests put a failing one
// in its place, so that every step of every operation is seen to fail.
type disk struct {
	create  func(dir, pattern string) (file, error)
	rename  func(from, to string) error
	remove  func(path string) error
	mkdir   func(path string, mode fs.FileMode) error
	stat    func(path string) (fs.FileInfo, error)
	syncDir func(dir string) error
}

func realDisk() disk {
	return disk{
		create: func(dir, pattern string) (file, error) { return os.CreateTemp(dir, pattern) },
		rename: os.Rename, remove: os.Remove, mkdir: os.Mkdir, stat: os.Stat, syncDir: SyncDir,
	}
}

// WriteFile puts data into the file at path, whole or not at all. When it
// returns nil the content survives a power cut. When it returns an error the
// old content is still there, unless the error wraps ErrUncertain.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return realDisk().writeFile(path, data, mode)
}

// ErrUncertain says that the new content is in place but may not survive a
// power cut: the flush of the directory failed. Writing again is safe.
var ErrUncertain = errors.New("written but perhaps not durable")

func (d disk) writeFile(path string, data []byte, mode fs.FileMode) (err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := d.create(dir, "."+base+temporaryMark+"*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	temporary, open := f.Name(), true
	defer func() {
		if err == nil || errors.Is(err, ErrUncertain) {
			return
		}
		if open {
			err = errors.Join(err, f.Close())
		}
		if removeErr := d.remove(temporary); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}()
	if err := f.Chmod(mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	open = false
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := d.rename(temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := d.syncDir(dir); err != nil {
		return fmt.Errorf("write %s: %w: %w", path, ErrUncertain, err)
	}
	return nil
}

// Remove deletes the file and flushes its directory. A file that is not there
// is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("remove %s: %w", path, err)
	}
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// MkdirAll makes the directory and its missing parents, and flushes the parent
// of each one that it made.
func MkdirAll(path string, mode fs.FileMode) error {
	return realDisk().mkdirAll(filepath.Clean(path), mode)
}

func (d disk) mkdirAll(path string, mode fs.FileMode) error {
	info, err := d.stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("make directory %s: a file is in the way", path)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("make directory %s: %w", path, err)
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := d.mkdirAll(parent, mode); err != nil {
			return err
		}
	}
	if err := d.mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory %s: %w", path, err)
	}
	if err := d.syncDir(parent); err != nil {
		return fmt.Errorf("make directory %s: %w", path, err)
	}
	return nil
}

// SyncDir flushes a directory, so that the names in it survive a power cut.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("flush directory: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("flush directory %s: %w", dir, errors.Join(err, f.Close()))
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("flush directory %s: %w", dir, err)
	}
	return nil
}

// sweep removes what a crash in the middle of WriteFile left behind.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") && strings.Contains(name, temporaryMark) && entry.Type().IsRegular() {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("sweep: %w", err)
			}
		}
	}
	return nil
}

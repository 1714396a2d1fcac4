package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

// Folders that we make beside the files.
const (
	doneFolder   = "done"
	answerFolder = "ket_qua"
	errorFolder  = "loi"
)

// found is a file in the drop folder.
type found struct {
	tables      []*Table
	path        string // relative to Root, with slashes
	size, mtime int64  // mtime in nanoseconds
}

func folderOf(relative string) string { return path.Dir(relative) }

// Accept looks at the folder once and takes in every file that is whole, the
// oldest first, after what a crash has interrupted. It returns how many. Stream does this by itself.
func (s *Source) Accept(ctx context.Context) (int, error) { return s.accept(ctx, true) }

// accept does not wait for another process that is importing, unless it is told to: whoever
// streams has better things to do, and looks again soon.
func (s *Source) accept(ctx context.Context, wait bool) (int, error) {
	s.accepting.Lock()
	defer s.accepting.Unlock()
	files, err := s.scan(ctx)
	if err != nil {
		return 0, fmt.Errorf("file: look at the folder: %w", err)
	}
	j, err := s.interrupted(ctx)
	if err != nil {
		return 0, fmt.Errorf("file: read state: %w", err)
	}
	if len(files) == 0 && j == nil {
		return 0, nil
	}
	release, err := s.exclusive(ctx, wait)
	if !wait && isLocked(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("file: import lock: %w", err)
	}
	defer release()
	// Another process may have finished it while we waited for the lock.
	if j, err = s.interrupted(ctx); err != nil {
		return 0, fmt.Errorf("file: read state: %w", err)
	}
	if err := s.tidy(ctx, j); err != nil {
		return 0, fmt.Errorf("file: tidy up: %w", err)
	}
	accepted := 0
	if j != nil {
		s.config.Log.InfoContext(ctx, "file: an interrupted import goes on", slog.String("file", j.Path), slog.Int64("import", j.Number))
		done, err := s.settle(ctx, &found{path: j.Path, size: j.Size, mtime: j.MTime}, j.Number, s.run(ctx, j))
		accepted += done
		if err != nil {
			return accepted, err
		}
	}
	for i := range files {
		number, err := s.acceptFile(ctx, &files[i])
		done, err := s.settle(ctx, &files[i], number, err)
		accepted += done
		if err != nil {
			return accepted, err
		}
	}
	return accepted, nil
}

// settle answers for the end of one import: it counts, or the file is refused.
func (s *Source) settle(ctx context.Context, f *found, number int64, err error) (int, error) {
	s.mu.Lock()
	s.now = nil
	s.mu.Unlock()
	var refusal *lienthong.Error
	switch {
	case err == nil:
		return 1, nil
	case errors.Is(err, errVanished):
		return 0, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.As(err, &refusal):
		s.config.Log.WarnContext(ctx, "file: refused", slog.String("file", f.path), slog.String("code", refusal.Code))
		return 0, s.refuse(f, number, refusal)
	}
	return 0, fmt.Errorf("file: accept %s: %w", f.path, err)
}

// scan lists the files that are whole and not accepted yet.
func (s *Source) scan(ctx context.Context) ([]found, error) {
	var files []found
	looks := map[string]look{}
	strays := int64(0)
	now := s.config.Now().UnixNano()
	err := filepath.WalkDir(s.config.Root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name != s.config.Root && ours(base) {
				return fs.SkipDir
			}
			return ctx.Err()
		}
		if !entry.Type().IsRegular() || unfinished(base) {
			return nil
		}
		relative, err := filepath.Rel(s.config.Root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		tables := s.tablesOf(relative)
		if len(tables) == 0 {
			strays++
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // it has just gone
		}
		f := found{tables: tables, path: relative, size: info.Size(), mtime: info.ModTime().UnixNano()}
		seen := look{f.size, f.mtime}
		if now-f.mtime < s.config.Settle.Nanoseconds() && s.looks[relative] != seen {
			looks[relative] = seen // look again
			return nil
		}
		files = append(files, f)
		return nil
	})
	s.looks = looks
	s.strays.Store(strays)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b found) int {
		if a.mtime != b.mtime {
			return int(min(1, max(-1, a.mtime-b.mtime)))
		}
		return strings.Compare(a.path, b.path)
	})
	known, err := s.waiting(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(files, func(f found) bool { return known[f.path] == look{f.size, f.mtime} }), nil
}

// tablesOf lists the tables that a file is for: the first whose pattern fits, or all whose
// pattern fits and that are made of named sheets. A corrected answer is for the table of the
// file that it answers.
func (s *Source) tablesOf(relative string) []*Table {
	var tables []*Table
	for i := range s.config.Tables {
		t := &s.config.Tables[i]
		matches, _ := path.Match(t.Pattern, relative)
		if original, ok := strings.CutSuffix(relative, answerSuffix); ok && !matches {
			matches, _ = path.Match(t.Pattern, original+path.Ext(t.Pattern))
		}
		switch {
		case !matches:
		case t.Sheet == "" && len(tables) == 0:
			return []*Table{t}
		case t.Sheet != "":
			tables = append(tables, t)
		}
	}
	return tables
}

// waiting lists the files in the folder that are accepted but not answered. A
// line that is down for days leaves thousands of them.
func (s *Source) waiting(ctx context.Context) (map[string]look, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT path, size, mtime FROM imports WHERE status < 2 ORDER BY no")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	known := map[string]look{}
	for rows.Next() {
		var name string
		var l look
		if err := rows.Scan(&name, &l.size, &l.mtime); err != nil {
			return nil, err
		}
		known[name] = l
	}
	return known, rows.Err()
}

// isAccepted reports whether this very state of the file waits for its answer.
func isAccepted(ctx context.Context, db querier, f *found) (bool, error) {
	var n int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM imports WHERE path = ? AND size = ? AND mtime = ? AND status < 2",
		f.path, f.size, f.mtime).Scan(&n)
	return n > 0, err
}

// unfinished recognises files that another program still writes.
func unfinished(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".tmp", ".part", ".partial", ".crdownload", ".filepart":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~$")
}

var errVanished = errors.New("the file has changed or gone")

// acceptFile copies a file, so that nobody changes it while it is read, and
// imports the copy.
func (s *Source) acceptFile(ctx context.Context, f *found) (int64, error) {
	if f.size > s.config.MaxBytes {
		return 0, unreadable(f.path, errTooLarge)
	}
	// Another process on the same state may have been faster.
	if known, err := isAccepted(ctx, s.db, f); err != nil || known {
		if err == nil {
			err = errVanished
		}
		return 0, err
	}
	number, err := s.nextImport(ctx)
	if err != nil {
		return 0, err
	}
	j := &job{Number: number, Path: f.path, Size: f.size, MTime: f.mtime}
	for _, t := range f.tables {
		j.Parts = append(j.Parts, &part{Declared: *t})
	}
	if j.SHA256, err = s.takeCopy(f, s.copyName(number)); err != nil {
		return 0, errors.Join(err, removeIfThere(s.copyName(number)))
	}
	return number, s.run(ctx, j)
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Source) takeCopy(f *found, to string) ([]byte, error) {
	name := filepath.Join(s.config.Root, filepath.FromSlash(f.path))
	in, err := os.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errVanished
		}
		return nil, err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(in, s.config.MaxBytes+1))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return nil, err
	}
	info, err := os.Stat(name)
	if err != nil || n != f.size || info.Size() != f.size || info.ModTime().UnixNano() != f.mtime {
		return nil, errVanished // it was replaced while it was copied: the next look takes the new one
	}
	return sum.Sum(nil), nil
}

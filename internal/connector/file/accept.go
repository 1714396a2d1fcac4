package file

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
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
	table       *Table
	path        string // relative to Root, with slashes
	size, mtime int64  // mtime in nanoseconds
}

func (f *found) folder() string { return path.Dir(f.path) }

// Accept looks at the folder once and takes in every file that is whole, the
// oldest first. It returns how many. Stream does this by itself.
func (s *Source) Accept(ctx context.Context) (int, error) {
	s.accepting.Lock()
	defer s.accepting.Unlock()
	files, err := s.scan(ctx)
	if err != nil {
		return 0, fmt.Errorf("file: look at the folder: %w", err)
	}
	accepted := 0
	for i := range files {
		f := &files[i]
		err := s.acceptFile(ctx, f)
		var refusal *lienthong.Error
		switch {
		case err == nil:
			accepted++
		case errors.Is(err, errVanished):
		case ctx.Err() != nil:
			return accepted, ctx.Err()
		case errors.As(err, &refusal):
			s.config.Log.WarnContext(ctx, "file: refused", slog.String("file", f.path), slog.String("code", refusal.Code))
			if err := s.refuse(f, refusal); err != nil {
				return accepted, err
			}
		default:
			return accepted, fmt.Errorf("file: accept %s: %w", f.path, err)
		}
	}
	return accepted, nil
}

// scan lists the files that are whole and not accepted yet.
func (s *Source) scan(ctx context.Context) ([]found, error) {
	var files []found
	looks := map[string]look{}
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
			if name != s.config.Root && (strings.HasPrefix(base, ".") || base == doneFolder || base == answerFolder || base == errorFolder) {
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
		at := slices.IndexFunc(s.config.Tables, func(t Table) bool {
			matches, _ := path.Match(t.Pattern, relative)
			return matches
		})
		if at < 0 {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // it has just gone
		}
		f := found{table: &s.config.Tables[at], path: relative, size: info.Size(), mtime: info.ModTime().UnixNano()}
		seen := look{f.size, f.mtime}
		if now-f.mtime < s.config.Settle.Nanoseconds() && s.looks[relative] != seen {
			looks[relative] = seen // look again
			return nil
		}
		files = append(files, f)
		return nil
	})
	s.looks = looks
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

func (s *Source) copyName(number int64) string {
	return filepath.Join(s.config.StateDir, "incoming", strconv.FormatInt(number, 10))
}

// acceptFile copies a file, so that nobody changes it while it is read, and
// imports the copy in one transaction.
func (s *Source) acceptFile(ctx context.Context, f *found) error {
	if f.size > s.config.MaxBytes {
		return unreadable(f.path, errTooLarge)
	}
	if ext := strings.ToLower(path.Ext(f.path)); ext == ".xls" || ext == ".xlsb" || ext == ".ods" {
		return unreadable(f.path, errNotXLSX)
	}
	return s.transaction(ctx, func(tx *sql.Tx) error {
		// Another process on the same state may have been faster.
		if known, err := isAccepted(ctx, tx, f); err != nil || known {
			if err == nil {
				err = errVanished
			}
			return err
		}
		number, err := s.nextImport(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.takeCopy(f, s.copyName(number)); err != nil {
			return err
		}
		im := importer{source: s, tx: tx, found: f, number: number}
		if err := im.run(ctx); err != nil {
			return errors.Join(err, os.Remove(s.copyName(number)))
		}
		counts, err := json.Marshal(im.counts)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO imports VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)",
			number, f.table.Name, im.layout.ID, f.path, f.size, f.mtime, f.mtime/1000, string(counts))
		if err == nil {
			s.config.Log.InfoContext(ctx, "file: accepted", slog.String("file", f.path), slog.Int64("import", number),
				slog.Int64("rows", im.counts.Rows), slog.Int64("changed", im.counts.Upserts+im.counts.Deletes))
		}
		return err
	})
}

func (s *Source) takeCopy(f *found, to string) error {
	name := filepath.Join(s.config.Root, filepath.FromSlash(f.path))
	in, err := os.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return errVanished
		}
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(in, s.config.MaxBytes+1))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil || n != f.size || info.Size() != f.size || info.ModTime().UnixNano() != f.mtime {
		return errVanished
	}
	return nil
}

// counts of one import. Rows = Upserts + Unchanged + Broken + delete rows of a delta.
type counts struct {
	Rows      int64 `json:"rows"`
	Upserts   int64 `json:"upserts"`   // rows that are new or different
	Unchanged int64 `json:"unchanged"` // rows that are as before
	Deletes   int64 `json:"deletes"`
	Broken    int64 `json:"broken"` // rows without a usable key, or twice
	Columns   int   `json:"columns"`
}

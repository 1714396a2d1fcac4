package file

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/durable"
)

// phase of an import. Each can be cut short by a crash and goes on where it was.
type phase int

const (
	reading  phase = iota // rows of the file are checked and staged
	merging               // staged rows are compared with the state
	sweeping              // rows that a full file did not bring are deleted
)

// job is an import under way: what the state notes of it, so that it can go on
// after a crash even if the file and the declarations have changed meanwhile.
// Nothing of it is seen by views and streams before its end.
type job struct {
	Number int64   `json:"number"`
	Path   string  `json:"path"`
	Size   int64   `json:"size"`
	MTime  int64   `json:"mtime"`
	SHA256 []byte  `json:"sha256"`
	Phase  phase   `json:"phase"`
	Staged int64   `json:"staged"` // bytes of the staged file that count
	Merged int64   `json:"merged"` // bytes of it that are merged
	Last   int64   `json:"last"`   // the highest row number so far
	Swept  int     `json:"swept"`  // parts whose sweep is done
	Noted  int     `json:"noted"`  // notes so far
	Parts  []*part `json:"parts"`

	stored bool // the state knows of it; a small job is over before that is worth while
}

// part is what an import gives to one table.
type part struct {
	Declared Table  `json:"declared"`
	Layout   int64  `json:"layout"`
	Spans    []span `json:"spans"`
	Counts   counts `json:"counts"`
	Partial  bool   `json:"partial,omitempty"` // a corrected answer: only some of the rows
	Fresh    bool   `json:"fresh,omitempty"`   // the table had no rows before

	layout *layout
}

func (p *part) full() bool { return p.Declared.Mode == Full && !p.Partial }

// span is a sheet or text of a part. Rows are numbered through all spans: a
// row's number in its sheet is its number minus Base.
type span struct {
	Name string `json:"name"`
	Leaf int    `json:"leaf"` // which of the book
	Base int64  `json:"base"`
}

// counts of one import. Rows = Upserts + Unchanged + Broken + delete rows of a delta.
type counts struct {
	Rows      int64    `json:"rows"`
	Upserts   int64    `json:"upserts"`   // rows that are new or different
	Unchanged int64    `json:"unchanged"` // rows that are as before
	Deletes   int64    `json:"deletes"`
	Broken    int64    `json:"broken"` // rows without a usable key, or twice
	Columns   int      `json:"columns"`
	Hidden    int64    `json:"hidden,omitempty"`  // hidden rows, read or left out as declared
	Notices   []notice `json:"notices,omitempty"` // what was left out, and why
}

// notice is something that the person should know and that is no error.
type notice struct {
	Vi   string `json:"vi"`
	En   string `json:"en"`
	Rows int64  `json:"rows,omitempty"` // how many rows were left out because of it
	Row  string `json:"row,omitempty"`  // the first of them
}

const maxNotices = 50

func (c *counts) notice(vi, en, row string) {
	for i := range c.Notices {
		if c.Notices[i].Vi == vi {
			c.Notices[i].Rows++
			return
		}
	}
	if len(c.Notices) < maxNotices {
		c.Notices = append(c.Notices, notice{Vi: vi, En: en, Rows: 1, Row: row})
	}
}

func (p *part) spanOf(number int64) *span {
	for i := len(p.Spans) - 1; i >= 0; i-- {
		if number > p.Spans[i].Base {
			return &p.Spans[i]
		}
	}
	return nil
}

// place names a row for a person: "5", or "5 (Thôn 2)" when there are several sheets.
func (p *part) place(number int64) string {
	sp := p.spanOf(number)
	if sp == nil || len(p.Spans) == 1 {
		return fmt.Sprint(number - p.base())
	}
	return fmt.Sprintf("%d (%s)", number-sp.Base, sp.Name)
}

func (p *part) base() int64 {
	if len(p.Spans) == 0 {
		return 0
	}
	return p.Spans[0].Base
}

func (s *Source) copyName(number int64) string {
	return filepath.Join(s.incoming(), fmt.Sprint(number))
}

func (s *Source) stageName(number int64) string {
	return filepath.Join(s.incoming(), fmt.Sprint(number)+".rows")
}

func (s *Source) incoming() string { return filepath.Join(s.config.StateDir, "incoming") }

// exclusive keeps other processes on the same state from importing meanwhile. Without
// waiting it fails with durable.locked when one of them does.
func (s *Source) exclusive(ctx context.Context, wait bool) (release func(), err error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		lock, err := durable.LockDirectory(s.incoming())
		if err == nil {
			return func() {
				if err := lock.Release(); err != nil {
					s.config.Log.WarnContext(ctx, "file: release of the import lock", slog.Any("error", err))
				}
			}, nil
		}
		if !wait || !isLocked(err) {
			return nil, err
		}
		timer.Reset(5 * time.Millisecond)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
}

func isLocked(err error) bool { return errors.Is(err, &lienthong.Error{Code: "durable.locked"}) }

func storeJob(ctx context.Context, db executer, j *job) error {
	body, err := json.Marshal(j)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "INSERT OR REPLACE INTO work VALUES (1, ?)", string(body))
	return err
}

// interrupted is the job that a crash left behind, nil when there is none.
func (s *Source) interrupted(ctx context.Context) (*job, error) {
	var body string
	err := s.db.QueryRowContext(ctx, "SELECT body FROM work").Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // no job is no error
	}
	j := &job{stored: true}
	if err == nil {
		err = json.Unmarshal([]byte(body), j)
	}
	return j, err
}

// run takes a job to its end. A refusal undoes it.
func (s *Source) run(ctx context.Context, j *job) error {
	if j.Phase == reading {
		if err := s.stage(ctx, j); err != nil {
			var refusal *lienthong.Error
			if errors.As(err, &refusal) {
				return errors.Join(err, s.abandon(ctx, j))
			}
			return err
		}
	}
	if err := s.merge(ctx, j); err != nil {
		return err
	}
	if err := removeIfThere(s.stageName(j.Number)); err != nil {
		return err
	}
	rows, changed := int64(0), int64(0)
	for _, p := range j.Parts {
		rows += p.Counts.Rows
		changed += p.Counts.Upserts + p.Counts.Deletes
	}
	s.config.Log.InfoContext(ctx, "file: accepted", slog.String("file", j.Path), slog.Int64("import", j.Number),
		slog.Int64("rows", rows), slog.Int64("changed", changed))
	return nil
}

// abandon forgets a job whose file is no table. Nothing of it has reached the state.
func (s *Source) abandon(ctx context.Context, j *job) error {
	_, err := s.db.ExecContext(ctx, "DELETE FROM work")
	return errors.Join(err, removeIfThere(s.stageName(j.Number)))
}

// tidy removes what a crash left beside: copies and scratch files that nothing names.
func (s *Source) tidy(ctx context.Context, j *job) error {
	entries, err := os.ReadDir(s.incoming())
	if err != nil {
		return err
	}
	rows, err := s.db.QueryContext(ctx, "SELECT no FROM imports WHERE status < 2")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	keep := []string{filepath.Base(s.incoming()), ".lock"}
	for rows.Next() {
		var number int64
		if err := rows.Scan(&number); err != nil {
			return err
		}
		keep = append(keep, filepath.Base(s.copyName(number)))
	}
	if j != nil {
		keep = append(keep, filepath.Base(s.copyName(j.Number)), filepath.Base(s.stageName(j.Number)))
	}
	for _, entry := range entries {
		if !slices.Contains(keep, entry.Name()) {
			if err := removeIfThere(filepath.Join(s.incoming(), entry.Name())); err != nil {
				return err
			}
		}
	}
	return rows.Err()
}

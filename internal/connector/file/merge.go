package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lienthong/lienthong"
)

// merger takes staged rows into the state, some thousands in one transaction.
// What it writes has the versions of an import that is not listed yet, so nobody
// sees it before the job ends.
type merger struct {
	source *Source
	job    *job
	tx     *sql.Tx

	find, supersede, insert, place, fresh, see, forget *sql.Stmt
}

// merge takes a staged job into the state: a small one in one transaction, a large
// one in many, each of which notes how far it came.
func (s *Source) merge(ctx context.Context, j *job) error {
	if !j.stored {
		in, err := readStage(s.stageName(j.Number), 0, j.Staged)
		if err != nil {
			return fmt.Errorf("file: staged rows: %w", err)
		}
		defer func() { _ = in.close() }()
		return s.transaction(ctx, func(tx *sql.Tx) error {
			if err := s.beginMerge(ctx, tx, j); err != nil {
				return err
			}
			for j.Phase == merging {
				if err := s.mergeSome(ctx, tx, j, in); err != nil {
					return err
				}
			}
			for j.Swept < len(j.Parts) {
				if err := s.sweepSome(ctx, tx, j); err != nil {
					return err
				}
			}
			return s.finishJob(ctx, tx, j)
		})
	}
	step := func(work func(*sql.Tx) error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.transaction(ctx, func(tx *sql.Tx) error {
			if err := work(tx); err != nil {
				return err
			}
			return storeJob(ctx, tx, j)
		})
	}
	if j.Phase == reading {
		if err := step(func(tx *sql.Tx) error { return s.beginMerge(ctx, tx, j) }); err != nil {
			return err
		}
	}
	for _, p := range j.Parts {
		if len(p.Spans) == 0 || p.layout != nil {
			continue
		}
		var err error
		if p.layout, err = s.layoutByID(ctx, s.db, p.Layout); err != nil {
			return err
		}
	}
	in, err := readStage(s.stageName(j.Number), j.Merged, j.Staged)
	if err != nil {
		return fmt.Errorf("file: staged rows: %w", err)
	}
	defer func() { _ = in.close() }()
	for j.Phase == merging {
		if err := step(func(tx *sql.Tx) error { return s.mergeSome(ctx, tx, j, in) }); err != nil {
			return err
		}
		s.mergeProgress(j)
	}
	for j.Swept < len(j.Parts) {
		if err := step(func(tx *sql.Tx) error { return s.sweepSome(ctx, tx, j) }); err != nil {
			return err
		}
	}
	return s.transaction(ctx, func(tx *sql.Tx) error { return s.finishJob(ctx, tx, j) })
}

func (s *Source) mergeProgress(j *job) {
	total, done := int64(0), int64(0)
	for _, p := range j.Parts {
		total += p.Counts.Rows
		done += p.Counts.Upserts + p.Counts.Unchanged + p.Counts.Broken + p.Counts.Deletes
	}
	s.progress(Progress{File: j.Path, Stage: "storing", Rows: min(done, total), EstimatedRows: total, Bytes: j.Merged, TotalBytes: j.Staged, Done: j.Phase != merging})
}

// finishJob lists the import: from here on everybody sees it.
func (s *Source) finishJob(ctx context.Context, tx *sql.Tx, j *job) error {
	body, err := json.Marshal(answerParts{Parts: j.Parts})
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO imports VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)",
		j.Number, j.Parts[0].Declared.Name, j.Parts[0].Layout, j.Path, j.Size, j.MTime, j.MTime/1000, string(body)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", j.SHA256, j.Number, j.Path); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM work")
	return err
}

// answerParts is what an import's line keeps for its answer.
type answerParts struct {
	Parts []*part `json:"parts"`
}

// beginMerge stores the layouts, once it is certain that the file is taken.
func (s *Source) beginMerge(ctx context.Context, tx *sql.Tx, j *job) error {
	for _, p := range j.Parts {
		if len(p.Spans) == 0 {
			continue
		}
		stored, err := s.currentLayout(ctx, tx, &p.Declared)
		if err != nil {
			return err
		}
		if stored.ID == 0 || len(stored.Columns) != len(p.layout.Columns) {
			if err := storeLayout(ctx, tx, p.layout); err != nil {
				return err
			}
		}
		p.Layout = p.layout.ID
		var rows int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM rows WHERE tbl = ? LIMIT 1)", p.Declared.Name).Scan(&rows); err != nil {
			return err
		}
		p.Fresh = rows == 0
	}
	var earlier string
	err := tx.QueryRowContext(ctx, "SELECT path FROM contents WHERE sha256 = ?", j.SHA256).Scan(&earlier)
	if err == nil {
		j.Parts[0].Counts.notice("nội dung giống hệt tệp đã nhận trước: "+earlier, "the content is that of a file handed in before: "+earlier, "")
	} else if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	j.Phase = merging
	return nil
}

// mergeSome merges the next staged rows.
func (s *Source) mergeSome(ctx context.Context, tx *sql.Tx, j *job, in *stageReader) error {
	m := merger{source: s, job: j, tx: tx}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	defer m.finish()
	var e stagedEntry
	for range checkpointRows {
		err := in.next(&e)
		if errors.Is(err, io.EOF) {
			j.Phase = sweeping
			break
		}
		if err != nil {
			return err
		}
		if err := m.entry(ctx, &e); err != nil {
			return err
		}
	}
	j.Merged = in.offset
	return nil
}

func (m *merger) prepare(ctx context.Context) error {
	for _, p := range []struct {
		into **sql.Stmt
		text string
	}{
		{&m.find, "SELECT version, seen, hash FROM rows WHERE tbl = ? AND key = ?"},
		{&m.supersede, "UPDATE records SET superseded = ? WHERE version = ?"},
		{&m.insert, "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)"},
		{&m.place, "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)"},
		{&m.fresh, "INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?, ?, ?)"},
		{&m.see, "UPDATE rows SET seen = ?, folder = ? WHERE tbl = ? AND key = ?"},
		{&m.forget, "DELETE FROM rows WHERE tbl = ? AND key = ?"},
	} {
		statement, err := m.tx.PrepareContext(ctx, p.text)
		if err != nil {
			m.finish()
			return err
		}
		*p.into = statement
	}
	return nil
}

func (m *merger) finish() {
	for _, statement := range []*sql.Stmt{m.find, m.supersede, m.insert, m.place, m.fresh, m.see, m.forget} {
		if statement != nil {
			_ = statement.Close()
		}
	}
}

func (m *merger) entry(ctx context.Context, e *stagedEntry) error {
	if e.part >= len(m.job.Parts) {
		return errDamaged
	}
	p := m.job.Parts[e.part]
	switch {
	case e.note:
		return addNote(ctx, m.tx, m.job.Number, e.text)
	case e.flags&flagBroken != 0:
		return m.broken(ctx, p, e.number, e.body)
	}
	return m.keyed(ctx, p, e)
}

func (m *merger) note(ctx context.Context, n note) error {
	if m.job.Noted++; m.job.Noted > maxNotes {
		return nil
	}
	return addNote(ctx, m.tx, m.job.Number, n)
}

func (m *merger) keyed(ctx context.Context, p *part, e *stagedEntry) error {
	t, folder := &p.Declared, folderOf(m.job.Path)
	at := m.job.Number<<rowBits | e.number
	sum := sha256.Sum256(e.body)
	if p.Fresh && t.Operation == "" {
		// Into an empty table a key is new, unless this very file has it twice.
		result, err := m.fresh.ExecContext(ctx, t.Name, e.key, folder, at, m.job.Number, sum[:16])
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return errors.Join(err, m.upsert(ctx, p, at, e.body))
		}
	}
	var version, seen int64
	var hash []byte
	err := m.find.QueryRowContext(ctx, t.Name, e.key).Scan(&version, &seen, &hash)
	exists := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	switch {
	case e.flags&flagDelete != 0 && !exists:
		return m.note(ctx, note{Row: e.number, Field: t.Operation, Vi: "không có bản ghi này để xoá", En: "there is no such record to delete"})
	case e.flags&flagDelete != 0:
		return m.remove(ctx, p, e.number, version, e.key)
	case exists && seen == m.job.Number && t.Operation == "":
		return m.twice(ctx, p, e, version)
	case exists && bytes.Equal(hash, sum[:16]):
		p.Counts.Unchanged++
		_, err := m.see.ExecContext(ctx, m.job.Number, folder, t.Name, e.key)
		return err
	case exists:
		if _, err := m.supersede.ExecContext(ctx, at, version); err != nil {
			return err
		}
	}
	if err := m.upsert(ctx, p, at, e.body); err != nil {
		return err
	}
	_, err = m.place.ExecContext(ctx, t.Name, e.key, folder, at, m.job.Number, sum[:16])
	return err
}

func (m *merger) upsert(ctx context.Context, p *part, at int64, body []byte) error {
	p.Counts.Upserts++
	_, err := m.insert.ExecContext(ctx, at, p.Declared.Name, p.Layout, lienthong.Upsert, nil, nil, body)
	return err
}

// twice takes a row whose key an earlier row of the file has.
func (m *merger) twice(ctx context.Context, p *part, e *stagedEntry, version int64) error {
	l := p.layout
	vi, en := "trùng khoá với một dòng ở trên", "the same key as a row above"
	if version>>rowBits == m.job.Number {
		where := p.place(version & rowMask)
		vi, en = "trùng khoá với dòng "+where, "the same key as row "+where
	}
	if err := m.note(ctx, note{Row: e.number, Field: l.Columns[l.Key[len(l.Key)-1]].Name, Vi: vi, En: en}); err != nil {
		return err
	}
	var body []byte
	if err := readStored(e.body, func(i int, state lienthong.State, text []byte) {
		if slices.Contains(l.Key, i) {
			state = lienthong.Malformed
		}
		body = appendStored(body, state, text)
	}); err != nil {
		return err
	}
	return m.broken(ctx, p, e.number, body)
}

// broken takes a row that cannot be told from others. In a full file it is part
// of what the folder holds until the next full file; in a delta it is only
// reported.
func (m *merger) broken(ctx context.Context, p *part, number int64, body []byte) error {
	p.Counts.Broken++
	at := m.job.Number<<rowBits | number
	var superseded any
	if p.Declared.Mode != Full {
		superseded = at
	}
	_, err := m.insert.ExecContext(ctx, at, p.Declared.Name, p.Layout, lienthong.Upsert, superseded, folderOf(m.job.Path), body)
	return err
}

// remove records the delete of a live row. The delete carries the row's key as
// it was stored.
func (m *merger) remove(ctx context.Context, p *part, number, version int64, key []byte) error {
	var layoutID int64
	var body []byte
	if err := m.tx.QueryRowContext(ctx, "SELECT layout, body FROM records WHERE version = ?", version).Scan(&layoutID, &body); err != nil {
		return err
	}
	// Columns are only ever added, so the key has the same places in the newest layout
	// unless the declaration was changed.
	l := p.layout
	if layoutID != l.ID {
		var err error
		if l, err = m.source.layoutByID(ctx, m.tx, layoutID); err != nil {
			return err
		}
	}
	var stored []byte
	if err := readStored(body, func(i int, state lienthong.State, text []byte) {
		if slices.Contains(l.Key, i) {
			stored = appendStored(stored, state, text)
		} else {
			stored = appendStored(stored, lienthong.Unchanged, nil)
		}
	}); err != nil {
		return err
	}
	at := m.job.Number<<rowBits | number
	if _, err := m.supersede.ExecContext(ctx, at, version); err != nil {
		return err
	}
	if _, err := m.insert.ExecContext(ctx, at, p.Declared.Name, l.ID, lienthong.Delete, at, nil, stored); err != nil {
		return err
	}
	p.Counts.Deletes++
	_, err := m.forget.ExecContext(ctx, p.Declared.Name, key)
	return err
}

// sweepSome deletes some of the rows of the folder that a full file did not
// bring, and goes to the next part when there are no more.
func (s *Source) sweepSome(ctx context.Context, tx *sql.Tx, j *job) error {
	p := j.Parts[j.Swept]
	if p.Declared.Mode != Full || len(p.Spans) == 0 {
		j.Swept++
		return nil
	}
	table, folder := p.Declared.Name, folderOf(j.Path)
	if _, err := tx.ExecContext(ctx, `UPDATE records SET superseded = ?1 WHERE tbl = ?2 AND keyless = ?3 AND superseded IS NULL AND version < ?1`,
		j.Number<<rowBits, table, folder); err != nil {
		return err
	}
	if p.Partial { // the rows that were wrong, all of them, and no other
		j.Swept++
		return nil
	}
	m := merger{source: s, job: j, tx: tx}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	defer m.finish()
	vanished, err := m.vanished(ctx, table, folder)
	if err != nil {
		return err
	}
	for _, g := range vanished {
		if j.Last++; j.Last >= rowMask {
			return errTooManyDeletes
		}
		if err := m.remove(ctx, p, j.Last, g.version, g.key); err != nil {
			return err
		}
	}
	if len(vanished) < checkpointRows {
		j.Swept++
	}
	return nil
}

var errTooManyDeletes = errors.New("file: a folder has more rows than one import can delete")

type gone struct {
	key     []byte
	version int64
}

func (m *merger) vanished(ctx context.Context, table, folder string) ([]gone, error) {
	rows, err := m.tx.QueryContext(ctx, "SELECT key, version FROM rows WHERE tbl = ? AND folder = ? AND seen <> ? LIMIT ?", table, folder, m.job.Number, checkpointRows)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var list []gone
	for rows.Next() {
		var g gone
		if err := rows.Scan(&g.key, &g.version); err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, rows.Err()
}

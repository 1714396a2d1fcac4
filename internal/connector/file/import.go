package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lienthong/lienthong"
)

// importer takes one file into the state, inside one transaction.
type importer struct {
	source *Source
	tx     *sql.Tx
	found  *found
	number int64
	layout *layout
	counts counts

	columns   []int // by column of the file: the layout's column, or one of the marks below
	texts     [][]byte
	states    []lienthong.State
	key, body []byte
	last      int64 // the highest row number so far
	noted     int

	find, supersede, insert, place, see, forget *sql.Stmt
}

// What a column of the file is, other than a column of the layout.
const (
	unnamedColumn   = -1
	operationColumn = -2
)

func (im *importer) run(ctx context.Context) error {
	s, t := im.source, im.found.table
	var err error
	if im.layout, err = s.currentLayout(ctx, im.tx, t); err != nil {
		return err
	}
	sh, err := s.openSheet(s.copyName(im.number), im.found.path, t, t.required(im.layout))
	if err != nil {
		return err
	}
	defer func() { _ = sh.close() }()
	if err := im.arrange(ctx, sh.header.names); err != nil {
		return err
	}
	if err := im.prepare(ctx); err != nil {
		return err
	}
	defer im.finish()
	for {
		cells, number, err := sh.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return unreadable(im.found.path, err)
		}
		if im.counts.Rows >= int64(s.config.MaxRows) || number >= 1<<23 {
			return unreadable(im.found.path, errTooLarge)
		}
		if err := im.row(ctx, cells, int64(number)); err != nil {
			return err
		}
	}
	if t.Mode != Full {
		return nil
	}
	if im.counts.Rows == 0 && !t.AllowEmpty {
		return &lienthong.Error{
			Code: "file.empty", Where: im.found.path,
			Vi:   "tệp toàn bộ không có dòng dữ liệu nào; nếu nhận sẽ xoá hết dữ liệu của thư mục",
			En:   "a full file without any row; to accept it would delete everything of its folder",
			Hint: "gửi tệp có dữ liệu, hoặc cho phép tệp rỗng trong khai báo / hand in a file with rows, or allow empty files in the declaration",
		}
	}
	return im.sweep(ctx)
}

// arrange finds the layout's column for each column of the file, and adds the
// columns that the file has more.
func (im *importer) arrange(ctx context.Context, names []string) error {
	t := im.found.table
	l := &layout{Table: im.layout.Table, Columns: slices.Clone(im.layout.Columns), Key: slices.Clone(im.layout.Key)}
	im.columns = make([]int, len(names))
	seen := map[int]bool{}
	for i, name := range names {
		im.columns[i] = unnamedColumn
		switch {
		case name == "" || t.FolderColumn != "" && sameName(name, t.FolderColumn):
			continue
		case t.Operation != "" && sameName(name, t.Operation):
			im.columns[i] = operationColumn
			continue
		}
		at := l.index(name)
		if at < 0 {
			if len(t.Columns) > 0 {
				continue // the declaration does not want it
			}
			at = len(l.Columns)
			l.Columns = append(l.Columns, lienthong.Column{Name: name, SourceType: "cell", Kind: lienthong.Text, Nullable: true})
		}
		if seen[at] {
			return im.refuseColumns("file.column_twice", "cột xuất hiện hai lần: ", "a column occurs twice: ", name)
		}
		seen[at] = true
		im.columns[i] = at
	}
	var missing []string
	for i, c := range im.layout.Columns {
		if !seen[i] && c.Name != t.FolderColumn && im.layout.ID != 0 {
			missing = append(missing, c.Name)
		}
	}
	if len(missing) > 0 {
		return im.refuseColumns("file.column_missing", "thiếu cột so với lần trước: ", "columns are missing that were there before: ", strings.Join(missing, ", "))
	}
	im.counts.Columns = len(names)
	if im.layout.ID == 0 || len(l.Columns) != len(im.layout.Columns) {
		l.setKey(t.Key)
		if err := storeLayout(ctx, im.tx, l); err != nil {
			return err
		}
		im.layout = l
	}
	im.texts = make([][]byte, len(im.layout.Columns))
	im.states = make([]lienthong.State, len(im.layout.Columns))
	return nil
}

func (im *importer) refuseColumns(code, vi, en, names string) error {
	return &lienthong.Error{
		Code: code, Where: im.found.path, Vi: vi + names, En: en + names,
		Hint: "sửa dòng tiêu đề theo mẫu rồi gửi lại / correct the header and hand the file in again",
	}
}

func (im *importer) prepare(ctx context.Context) error {
	for _, p := range []struct {
		into **sql.Stmt
		text string
	}{
		{&im.find, "SELECT version, seen, hash FROM rows WHERE tbl = ? AND key = ?"},
		{&im.supersede, "UPDATE records SET superseded = ? WHERE version = ?"},
		{&im.insert, "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)"},
		{&im.place, "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)"},
		{&im.see, "UPDATE rows SET seen = ?, folder = ? WHERE tbl = ? AND key = ?"},
		{&im.forget, "DELETE FROM rows WHERE tbl = ? AND key = ?"},
	} {
		statement, err := im.tx.PrepareContext(ctx, p.text)
		if err != nil {
			return err
		}
		*p.into = statement
	}
	return nil
}

func (im *importer) finish() {
	for _, statement := range []*sql.Stmt{im.find, im.supersede, im.insert, im.place, im.see, im.forget} {
		if statement != nil {
			_ = statement.Close()
		}
	}
}

func (im *importer) note(ctx context.Context, row int64, field, vi, en string) error {
	const limit = 200_000
	if im.noted++; im.noted > limit {
		return nil
	}
	return addNote(ctx, im.tx, im.number, note{Row: row, Field: field, Vi: vi, En: en})
}

// row takes one row of the file.
func (im *importer) row(ctx context.Context, cells []cell, number int64) error {
	t, l := im.found.table, im.layout
	for i := range im.texts {
		im.texts[i], im.states[i] = nil, lienthong.Null
	}
	operation, empty, strays := "", true, false
	for i := range cells {
		c := &cells[i]
		if len(c.text) == 0 {
			continue
		}
		at := unnamedColumn
		if i < len(im.columns) {
			at = im.columns[i]
		} else {
			strays = true
		}
		switch {
		case at == operationColumn:
			operation = strings.TrimSpace(string(c.text))
		case at >= 0:
			empty = false
			im.texts[at], im.states[at] = c.text, lienthong.Present
			if c.bad {
				im.states[at] = lienthong.Malformed
			}
		}
	}
	if empty && !strays {
		return nil // a row with nothing in it is no row
	}
	im.counts.Rows++
	im.last = number
	if t.FolderColumn != "" {
		at := l.index(t.FolderColumn)
		im.texts[at], im.states[at] = []byte(im.found.folder()), lienthong.Present
	}
	short := !isWorkbook(im.found.path) && len(cells) < len(im.columns)
	if strays || short {
		// A shifted row: its key may be right, the rest is in doubt.
		for i := range im.states {
			if !slices.Contains(l.Key, i) && im.states[i] != lienthong.Null {
				im.states[i] = lienthong.Malformed
			}
		}
		if !slices.Contains(im.states, lienthong.Malformed) {
			for i := range im.states {
				if !slices.Contains(l.Key, i) {
					im.states[i] = lienthong.Malformed
				}
			}
		}
		if err := im.note(ctx, number, "",
			fmt.Sprintf("dòng có %d ô, tiêu đề có %d cột", len(cells), len(im.columns)),
			fmt.Sprintf("the row has %d cells, the header has %d columns", len(cells), len(im.columns))); err != nil {
			return err
		}
	}
	if err := im.checkCells(ctx, number); err != nil {
		return err
	}
	im.key = im.key[:0]
	for _, i := range l.Key {
		if im.states[i] != lienthong.Present {
			if im.states[i] == lienthong.Null {
				if err := im.note(ctx, number, l.Columns[i].Name, "thiếu giá trị khoá", "the key value is missing"); err != nil {
					return err
				}
			}
			return im.broken(ctx, number)
		}
		im.key = binary.AppendUvarint(im.key, uint64(len(im.texts[i])))
		im.key = append(im.key, im.texts[i]...)
	}
	return im.keyed(ctx, number, operation)
}

// checkCells notes cells that are not of their column's kind.
func (im *importer) checkCells(ctx context.Context, number int64) error {
	for i, c := range im.layout.Columns {
		if im.states[i] == lienthong.Present {
			im.states[i] = convert(lienthong.Present, im.texts[i], c.Kind).State
		}
		if im.states[i] != lienthong.Malformed {
			continue
		}
		if err := im.note(ctx, number, c.Name, "giá trị không đúng kiểu "+c.Kind.String(), "the value is not a valid "+c.Kind.String()); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) keyed(ctx context.Context, number int64, operation string) error {
	t := im.found.table
	var version, seen int64
	var hash []byte
	err := im.find.QueryRowContext(ctx, t.Name, im.key).Scan(&version, &seen, &hash)
	exists := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if t.Operation != "" && slices.ContainsFunc(t.DeleteWords, func(w string) bool { return strings.EqualFold(w, operation) }) {
		if !exists {
			return im.note(ctx, number, t.Operation, "không có bản ghi này để xoá", "there is no such record to delete")
		}
		return im.remove(ctx, number, version, im.key)
	}
	if exists && seen == im.number && t.Operation == "" {
		name := im.layout.Columns[im.layout.Key[len(im.layout.Key)-1]].Name
		first := version & rowMask
		vi, en := "trùng khoá với một dòng ở trên", "the same key as a row above"
		if version>>rowBits == im.number {
			vi, en = fmt.Sprintf("trùng khoá với dòng %d", first), fmt.Sprintf("the same key as row %d", first)
		}
		if err := im.note(ctx, number, name, vi, en); err != nil {
			return err
		}
		for _, i := range im.layout.Key {
			im.states[i] = lienthong.Malformed
		}
		return im.broken(ctx, number)
	}
	body := im.encode()
	sum := sha256.Sum256(body)
	if exists && bytes.Equal(hash, sum[:16]) {
		im.counts.Unchanged++
		_, err := im.see.ExecContext(ctx, im.number, im.found.folder(), t.Name, im.key)
		return err
	}
	at := im.number<<rowBits | number
	if exists {
		if _, err := im.supersede.ExecContext(ctx, at, version); err != nil {
			return err
		}
	}
	if _, err := im.insert.ExecContext(ctx, at, t.Name, im.layout.ID, lienthong.Upsert, nil, nil, body); err != nil {
		return err
	}
	im.counts.Upserts++
	_, err = im.place.ExecContext(ctx, t.Name, im.key, im.found.folder(), at, im.number, sum[:16])
	return err
}

// broken takes a row that cannot be told from others. In a full file it is part
// of what the folder holds until the next full file; in a delta it is only
// reported.
func (im *importer) broken(ctx context.Context, number int64) error {
	im.counts.Broken++
	at := im.number<<rowBits | number
	var superseded any
	if im.found.table.Mode == Delta {
		superseded = at
	}
	_, err := im.insert.ExecContext(ctx, at, im.found.table.Name, im.layout.ID, lienthong.Upsert, superseded, im.found.folder(), im.encode())
	return err
}

func (im *importer) encode() []byte {
	im.body = im.body[:0]
	for i := range im.texts {
		im.body = appendStored(im.body, im.states[i], im.texts[i])
	}
	return im.body
}

// remove records the delete of a live row. The delete carries the row's key as
// it was stored.
func (im *importer) remove(ctx context.Context, number, version int64, key []byte) error {
	var layoutID int64
	var body []byte
	if err := im.tx.QueryRowContext(ctx, "SELECT layout, body FROM records WHERE version = ?", version).Scan(&layoutID, &body); err != nil {
		return err
	}
	// Columns are only ever added, so the key has the same places in the newest layout
	// unless the declaration was changed.
	l := im.layout
	if layoutID != l.ID {
		var err error
		if l, err = im.source.layoutByID(ctx, im.tx, layoutID); err != nil {
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
	at := im.number<<rowBits | number
	if _, err := im.supersede.ExecContext(ctx, at, version); err != nil {
		return err
	}
	if _, err := im.insert.ExecContext(ctx, at, im.found.table.Name, l.ID, lienthong.Delete, at, nil, stored); err != nil {
		return err
	}
	im.counts.Deletes++
	_, err := im.forget.ExecContext(ctx, im.found.table.Name, key)
	return err
}

// sweep deletes the rows of the folder that a full file did not bring.
func (im *importer) sweep(ctx context.Context) error {
	table, folder := im.found.table.Name, im.found.folder()
	if _, err := im.tx.ExecContext(ctx, `UPDATE records SET superseded = ?1 WHERE tbl = ?2 AND keyless = ?3 AND superseded IS NULL AND version < ?1`,
		im.number<<rowBits, table, folder); err != nil {
		return err
	}
	type gone struct {
		key     []byte
		version int64
	}
	const page = 1000
	for {
		rows, err := im.tx.QueryContext(ctx, "SELECT key, version FROM rows WHERE tbl = ? AND folder = ? AND seen <> ? LIMIT ?", table, folder, im.number, page)
		if err != nil {
			return err
		}
		var vanished []gone
		for rows.Next() {
			var g gone
			if err := rows.Scan(&g.key, &g.version); err != nil {
				return errors.Join(err, rows.Close())
			}
			vanished = append(vanished, g)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, g := range vanished {
			if im.last++; im.last >= rowMask {
				return unreadable(im.found.path, errTooLarge)
			}
			if err := im.remove(ctx, im.last, g.version, g.key); err != nil {
				return err
			}
		}
		if len(vanished) < page {
			return nil
		}
	}
}

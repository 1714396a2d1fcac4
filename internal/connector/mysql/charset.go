package mysql

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// charset turns a column's bytes into UTF-8 as the server itself does. For character sets
// of one byte the server is asked once for all 256; for the few large ones of other
// countries it is asked for each value.
type charset struct {
	name  string
	form  charsetForm
	table [256]string
	ask   func(name string, src []byte) ([]byte, error)
}

type charsetForm uint8

const (
	formUTF8 charsetForm = iota
	formTable
	formUTF16
	formUTF16LE
	formUTF32
	formUCS2
	formAsk
)

// decode appends the text. It reports false for bytes that the server could not have
// meant.
func (c *charset) decode(dst, src []byte) ([]byte, bool) {
	switch c.form {
	case formUTF8:
		return append(dst, src...), utf8.Valid(src)
	case formTable:
		for _, b := range src {
			dst = append(dst, c.table[b]...)
		}
		return dst, true
	case formUTF16, formUTF16LE:
		low := 0
		if c.form == formUTF16 {
			low = 1
		}
		unit := func(i int) rune { return rune(src[i+1-low])<<8 | rune(src[i+low]) }
		for i := 0; i+1 < len(src); i += 2 {
			r := unit(i)
			if utf16.IsSurrogate(r) && i+3 < len(src) {
				r = utf16.DecodeRune(r, unit(i+2))
				i += 2
			}
			dst = utf8.AppendRune(dst, r)
		}
		return dst, len(src)%2 == 0
	case formUCS2:
		for i := 0; i+1 < len(src); i += 2 {
			dst = utf8.AppendRune(dst, rune(src[i])<<8|rune(src[i+1]))
		}
		return dst, len(src)%2 == 0
	case formUTF32:
		for i := 0; i+3 < len(src); i += 4 {
			dst = utf8.AppendRune(dst, rune(big(src[i:i+4])))
		}
		return dst, len(src)%4 == 0
	case formAsk:
		text, err := c.ask(c.name, src)
		return append(dst, text...), err == nil
	}
	return dst, false
}

// charsets knows the server's collations and character sets. It is safe for use by
// several goroutines.
type charsets struct {
	mu     sync.Mutex
	byID   map[int]string
	byName map[string]*charset
	single map[string]bool // of one byte a character
	ask    func(name string, src []byte) ([]byte, error)
	tables map[string][256]string
}

func newCharsets(ask func(string, []byte) ([]byte, error)) *charsets {
	return &charsets{byID: map[int]string{}, byName: map[string]*charset{}, single: map[string]bool{}, tables: map[string][256]string{}, ask: ask}
}

// load reads the server's lists, and the tables of the character sets of one byte that
// are named.
func (s *charsets) load(ctx context.Context, db querier, used []string) error {
	err := each(ctx, db, "SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS", func(row *sql.Rows) error {
		var name string
		var length int
		if err := row.Scan(&name, &length); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.single[name] = length == 1
		return nil
	})
	if err != nil {
		return err
	}
	collations := func(from string) error {
		return each(ctx, db, "SELECT ID, CHARACTER_SET_NAME FROM information_schema."+from+
			" WHERE ID IS NOT NULL AND CHARACTER_SET_NAME IS NOT NULL", func(row *sql.Rows) error {
			var id int
			var name string
			if err := row.Scan(&id, &name); err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.byID[id] = name
			return nil
		})
	}
	// MariaDB 10.10 lists the numbers of its newer collations here only; elsewhere there is no such column.
	_ = collations("COLLATION_CHARACTER_SET_APPLICABILITY")
	if err := collations("COLLATIONS"); err != nil {
		return err
	}
	for _, name := range used {
		if err := s.learn(ctx, db, name); err != nil {
			return err
		}
	}
	return nil
}

// learn asks the server for the table of a character set of one byte.
func (s *charsets) learn(ctx context.Context, db querier, name string) error {
	s.mu.Lock()
	_, known := s.tables[name]
	wanted := s.single[name] && !known && name != "binary" && name != "ascii"
	s.mu.Unlock()
	if !wanted || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return nil
	}
	var parts []string
	for b := range 256 {
		parts = append(parts, fmt.Sprintf("HEX(CONVERT(_%s X'%02x' USING utf8mb4))", name, b))
	}
	var line string
	if err := db.QueryRowContext(ctx, "SELECT CONCAT_WS(',', "+strings.Join(parts, ", ")+")").Scan(&line); err != nil {
		return err
	}
	var table [256]string
	for b, text := range strings.Split(line, ",") {
		if raw, err := hex.DecodeString(text); err == nil && b < len(table) {
			table[b] = string(raw)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables[name] = table
	delete(s.byName, name) // it may have been handed out without
	return nil
}

// collated is the character set of a collation's number.
func (s *charsets) collated(id int) *charset {
	s.mu.Lock()
	name, known := s.byID[id]
	s.mu.Unlock()
	if !known {
		name = "utf8mb4"
	}
	return s.named(name)
}

func (s *charsets) named(name string) *charset {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byName[name]; c != nil {
		return c
	}
	c := &charset{name: name, ask: s.ask}
	switch name {
	case "", "utf8", "utf8mb3", "utf8mb4", "ascii":
	case "utf16":
		c.form = formUTF16
	case "utf16le":
		c.form = formUTF16LE
	case "ucs2":
		c.form = formUCS2
	case "utf32":
		c.form = formUTF32
	default:
		c.form = formAsk
		if table, known := s.tables[name]; known {
			c.form, c.table = formTable, table
		}
	}
	s.byName[name] = c
	return c
}

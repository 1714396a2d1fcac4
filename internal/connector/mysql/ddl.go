package mysql

import (
	"bytes"
	"strings"
)

// verb is what a statement of the binary log does.
type verb uint8

const (
	verbOther        verb = iota
	verbBegin             // BEGIN, START TRANSACTION
	verbCommit            // COMMIT
	verbRollback          // ROLLBACK of everything
	verbSavepoint         // SAVEPOINT name
	verbRollbackTo        // ROLLBACK TO name
	verbXAStart           // XA START id
	verbXAEnd             // XA END id
	verbXACommit          // XA COMMIT id
	verbXARollback        // XA ROLLBACK id
	verbWrite             // INSERT, UPDATE, DELETE, REPLACE, LOAD DATA, CALL: not by row
	verbCreate            // CREATE TABLE
	verbAlter             // ALTER TABLE
	verbDrop              // DROP TABLE
	verbTruncate          // TRUNCATE TABLE
	verbRename            // RENAME TABLE, ALTER TABLE … RENAME
	verbDropDatabase      // DROP DATABASE
)

// tableName is a table in a statement. schema is empty when the statement does not say it.
type tableName struct{ schema, name string }

// statement is what a recogniser finds in a statement. It knows as much of the language
// as is needed to tell which tables are touched, and no more.
type statement struct {
	verb   verb
	word   string // the statement's first word, for a person: "UPDATE"
	tables []tableName
	to     []tableName // of a rename: the new names, one for each table
	id     string      // of XA and savepoints
	// replace: CREATE OR REPLACE, which empties the table.
	replace bool
	// silent: rows may change without being in the log: a default for a new column,
	// another type, partitions dropped.
	silent bool
	// opens: CREATE TABLE … START TRANSACTION, which rows follow.
	opens bool
}

// lexer cuts a statement into words.
type lexer struct {
	rest  []byte
	ansi  bool // double quotes are names
	plain bool // backslashes escape nothing
}

// lexeme is a word, a name, a text or a sign.
type lexeme struct {
	kind byte // 'w' word, 'n' quoted name, 't' text or number, else the sign itself; 0 at the end
	text string
}

func (l *lexer) next() lexeme {
	for len(l.rest) > 0 {
		c := l.rest[0]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			l.rest = l.rest[1:]
		case c == '#', bytes.HasPrefix(l.rest, []byte("--")) && (len(l.rest) == 2 || l.rest[2] <= ' '):
			end := bytes.IndexByte(l.rest, '\n')
			if end < 0 {
				end = len(l.rest) - 1
			}
			l.rest = l.rest[end+1:]
		case bytes.HasPrefix(l.rest, []byte("/*")):
			l.comment()
		case bytes.HasPrefix(l.rest, []byte("*/")):
			l.rest = l.rest[2:] // the end of a comment that is executed
		case c == '`' || c == '"' && l.ansi:
			return lexeme{'n', l.quoted(c, true)}
		case c == '"' || c == '\'':
			return lexeme{'t', l.quoted(c, l.plain)}
		case wordByte(c):
			end := 1
			for end < len(l.rest) && wordByte(l.rest[end]) {
				end++
			}
			word := string(l.rest[:end])
			l.rest = l.rest[end:]
			if len(word) == 1 && strings.ContainsAny(word, "xXnNbB") && len(l.rest) > 0 && l.rest[0] == '\'' {
				l.quoted('\'', l.plain)
				return lexeme{'t', word}
			}
			return lexeme{'w', word}
		default:
			l.rest = l.rest[1:]
			return lexeme{c, string(c)}
		}
	}
	return lexeme{}
}

// comment skips one, unless the server executes what is in it.
func (l *lexer) comment() {
	body := l.rest[2:]
	for _, mark := range []string{"M!", "!"} {
		if after, executed := bytes.CutPrefix(body, []byte(mark)); executed {
			for len(after) > 0 && after[0] >= '0' && after[0] <= '9' {
				after = after[1:]
			}
			l.rest = after
			return
		}
	}
	end := bytes.Index(body, []byte("*/"))
	if end < 0 {
		l.rest = nil
		return
	}
	l.rest = body[end+2:]
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c == '@' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quoted reads up to the closing mark; a doubled mark stands for itself.
func (l *lexer) quoted(mark byte, raw bool) string {
	var b strings.Builder
	i := 1
	for i < len(l.rest) {
		c := l.rest[i]
		switch {
		case c == mark && i+1 < len(l.rest) && l.rest[i+1] == mark:
			b.WriteByte(mark)
			i += 2
		case c == mark:
			l.rest = l.rest[i+1:]
			return b.String()
		case c == '\\' && !raw && i+1 < len(l.rest):
			b.WriteByte(l.rest[i+1])
			i += 2
		default:
			b.WriteByte(c)
			i++
		}
	}
	l.rest = nil
	return b.String()
}

// recogniser reads a statement lexeme by lexeme.
type recogniser struct {
	lexer
	at lexeme
}

func (r *recogniser) step() { r.at = r.next() }

// is reports whether a word stands here.
func (r *recogniser) is(words ...string) bool {
	if r.at.kind != 'w' {
		return false
	}
	for _, word := range words {
		if strings.EqualFold(r.at.text, word) {
			return true
		}
	}
	return false
}

// take steps over a word when it stands here.
func (r *recogniser) take(words ...string) bool {
	if r.is(words...) {
		r.step()
		return true
	}
	return false
}

// table reads a name with or without its database.
func (r *recogniser) table() (tableName, bool) {
	var name tableName
	if r.at.kind != 'w' && r.at.kind != 'n' {
		return name, false
	}
	name.name = r.at.text
	r.step()
	if r.at.kind == '.' {
		r.step()
		if r.at.kind != 'w' && r.at.kind != 'n' {
			return name, false
		}
		name.schema, name.name = name.name, r.at.text
		r.step()
	}
	return name, true
}

// recognise says what a statement of the binary log does.
func recognise(text []byte, modes uint64) statement {
	r := recogniser{lexer: lexer{rest: text, ansi: modes&sqlModeAnsiQuotes != 0, plain: modes&sqlModeNoEscapes != 0}}
	r.step()
	// MariaDB: SET STATEMENT name = value FOR …
	if r.is("SET") {
		r.step()
		if !r.take("STATEMENT") {
			return statement{word: "SET"}
		}
		for r.at.kind != 0 && !r.is("FOR") {
			r.step()
		}
		r.step()
	}
	for r.at.kind == '(' {
		r.step()
	}
	s := statement{word: strings.ToUpper(r.at.text)}
	if r.at.kind != 'w' {
		return statement{}
	}
	r.step()
	switch s.word {
	case "BEGIN":
		s.verb = verbBegin
	case "START":
		if r.is("TRANSACTION") {
			s.verb = verbBegin
		}
	case "COMMIT":
		s.verb = verbCommit
	case "ROLLBACK":
		s.verb = verbRollback
		r.take("WORK")
		if r.take("TO") {
			r.take("SAVEPOINT")
			s.verb, s.id = verbRollbackTo, strings.ToLower(r.at.text)
		}
	case "SAVEPOINT":
		s.verb, s.id = verbSavepoint, strings.ToLower(r.at.text)
	case "XA":
		r.xa(&s)
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "WITH":
		s.verb = verbWrite
	case "CREATE":
		r.create(&s)
	case "ALTER":
		r.alter(&s)
	case "DROP":
		r.drop(&s)
	case "TRUNCATE":
		r.take("TABLE")
		r.list(&s, verbTruncate)
	case "RENAME":
		r.rename(&s)
	}
	return s
}

func (r *recogniser) xa(s *statement) {
	word := strings.ToUpper(r.at.text)
	// The identifier is what follows, as it is spelled.
	id := strings.TrimSpace(string(r.rest))
	switch word {
	case "START", "BEGIN":
		s.verb = verbXAStart
	case "END":
		s.verb = verbXAEnd
	case "COMMIT":
		s.verb = verbXACommit
	case "ROLLBACK":
		s.verb = verbXARollback
	default:
		return
	}
	s.id = id
}

func (r *recogniser) create(s *statement) {
	if r.take("OR") {
		r.take("REPLACE")
		s.replace = true
	}
	if r.is("TEMPORARY") || !r.take("TABLE") {
		return
	}
	if r.take("IF") {
		r.take("NOT")
		r.take("EXISTS")
	}
	name, ok := r.table()
	if !ok {
		return
	}
	s.verb, s.tables = verbCreate, []tableName{name}
	for last := (lexeme{}); r.at.kind != 0; r.step() {
		if r.is("TRANSACTION") && strings.EqualFold(last.text, "START") {
			s.opens = true
		}
		last = r.at
	}
}

func (r *recogniser) alter(s *statement) {
	for r.take("ONLINE", "OFFLINE", "IGNORE") {
		continue
	}
	if !r.take("TABLE") {
		return
	}
	if r.take("IF") {
		r.take("EXISTS")
	}
	name, ok := r.table()
	if !ok {
		return
	}
	s.verb, s.tables = verbAlter, []tableName{name}
	depth := 0
	for ; r.at.kind != 0; r.step() {
		switch {
		case r.at.kind == '(':
			depth++
		case r.at.kind == ')':
			depth--
		case r.is("RENAME") && depth == 0:
			r.step()
			if r.is("COLUMN", "INDEX", "KEY", "CONSTRAINT") {
				continue
			}
			r.take("TO", "AS")
			if r.at.kind == '=' {
				r.step()
			}
			if to, ok := r.table(); ok {
				s.verb, s.to = verbRename, []tableName{to}
			}
		}
		if r.is("PARTITION", "PARTITIONING", "MODIFY", "CHANGE", "CONVERT", "DEFAULT", "NOT", "TABLESPACE") {
			s.silent = true
		}
	}
}

func (r *recogniser) drop(s *statement) {
	if r.take("DATABASE", "SCHEMA") {
		if r.take("IF") {
			r.take("EXISTS")
		}
		if r.at.kind == 'w' || r.at.kind == 'n' {
			s.verb, s.tables = verbDropDatabase, []tableName{{schema: r.at.text}}
		}
		return
	}
	if r.is("TEMPORARY") || !r.take("TABLE", "TABLES") {
		return
	}
	if r.take("IF") {
		r.take("EXISTS")
	}
	r.list(s, verbDrop)
}

// list reads names separated by commas.
func (r *recogniser) list(s *statement, v verb) {
	for {
		name, ok := r.table()
		if !ok {
			return
		}
		s.verb = v
		s.tables = append(s.tables, name)
		if r.at.kind != ',' {
			return
		}
		r.step()
	}
}

func (r *recogniser) rename(s *statement) {
	if !r.take("TABLE", "TABLES") {
		return
	}
	if r.take("IF") {
		r.take("EXISTS")
	}
	for {
		from, ok := r.table()
		if !ok {
			return
		}
		for r.at.kind != 0 && !r.is("TO") { // WAIT n, NOWAIT
			r.step()
		}
		r.step()
		to, ok := r.table()
		if !ok {
			return
		}
		s.verb = verbRename
		s.tables, s.to = append(s.tables, from), append(s.to, to)
		if r.at.kind != ',' {
			return
		}
		r.step()
	}
}

// mentions reports whether a statement names one of the tables, anywhere: in a statement
// that writes, that is enough to be careful.
func mentions(text []byte, modes uint64, named func(tableName) bool) bool {
	r := recogniser{lexer: lexer{rest: text, ansi: modes&sqlModeAnsiQuotes != 0, plain: modes&sqlModeNoEscapes != 0}}
	for r.step(); r.at.kind != 0; {
		name, ok := r.table()
		if !ok {
			r.step()
			continue
		}
		if named(name) {
			return true
		}
	}
	return false
}

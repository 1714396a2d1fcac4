// Package conntest is the conformance suite of the connector contract: what a
// source promises, written as tests that run against a real source.
//
// A connector's own test calls Run with a function that makes a Harness on a
// fresh database (or folder). The suite writes through the harness, as an
// application would, reads through the connector, and compares what arrived
// with what the source really holds. Nothing is simulated. What an engine cannot
// do is declared in Capabilities, and the tests of it are skipped by name.
package conntest

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/connector"
)

// Harness is how the suite reaches one real source. Its functions may be called
// from several goroutines when Capabilities.ConcurrentWriters is set.
type Harness struct {
	// Open makes a Source. Opening again after Close is a restart: it must be the
	// same source to the engine (same slot, same trigger tables, same folder).
	Open func() (connector.Source, error)
	// Create makes a table and returns the name that Source.Tables gives it.
	Create func(ctx context.Context, table *Table) (string, error)
	// Apply makes the writes as one transaction, committed on return.
	Apply func(ctx context.Context, writes ...Write) error
	// Begin opens a transaction that the suite keeps open. Nil when the source has
	// none.
	Begin func(ctx context.Context) (Transaction, error)
	// Rows reads the table past the connector, in any order: the truth that the
	// suite compares with. Cells are in canonical text.
	Rows func(ctx context.Context, table *Table) ([][]Cell, error)
	// AddColumn adds a nullable column. Nil when the source's schema cannot change.
	AddColumn func(ctx context.Context, table *Table, column Column) error

	// Types are the engine's own column types with values to round-trip: nulls, least and
	// greatest, empty, unicode, long. Nil when the source has no types of its own.
	Types []TypeCase
	// CreateTyped makes a table with an integer key "id" and one nullable column "value" of the
	// engine's type, and returns the name that Source.Tables gives it.
	CreateTyped func(ctx context.Context, name, sourceType string) (string, error)
	// InsertTyped inserts a row into such a table; the literal is in the engine's own words.
	InsertTyped func(ctx context.Context, table string, id int, literal string) error
	// Alter changes a table in other ways than AddColumn. A kind that is missing is one that
	// the engine does not have; its tests are skipped by name.
	Alter map[Alteration]func(ctx context.Context, table *Table) error
	// Bulk inserts rows first..first+count-1 of a table made by the suite's people() in one
	// transaction, as fast as the engine can: the row with number n has PersonID(n) as its id,
	// any texts, and n as its counter. Nil: the test of a transaction of a million rows is skipped.
	Bulk func(ctx context.Context, table *Table, first, count int) error
	// Relate makes a column of child refer to the key of parent, checked when a transaction
	// ends. Nil where the engine checks at once: the two tables are then written without the rule.
	Relate func(ctx context.Context, child *Table, column string, parent *Table) error

	Capabilities Capabilities
}

// Alteration is a way in which a table's schema changes.
type Alteration string

// The alterations. They act on columns of the table made by the suite's people():
// id, full_name, note, counter.
const (
	DropColumn   Alteration = "drop"     // note is gone
	RenameColumn Alteration = "rename"   // note is called remark
	WidenColumn  Alteration = "widen"    // counter becomes a wider number, or text
	NarrowColumn Alteration = "narrow"   // full_name becomes shorter, still long enough for what is in it
	ChangeKey    Alteration = "key"      // the primary key becomes (id, counter)
	Recreate     Alteration = "recreate" // dropped and created again, empty, with the same columns
)

// TypeCase is one column type of an engine.
type TypeCase struct {
	Type   string // in the engine's words: "numeric(1000,500)"
	Kind   lienthong.Kind
	Values []TypeValue
}

// TypeValue is a value as an application writes it, and as it must arrive.
type TypeValue struct {
	Literal string // of the engine: "'infinity'::timestamptz"
	Want    Cell   // canonical text
}

// Transaction is a transaction of an application.
type Transaction interface {
	Apply(ctx context.Context, writes ...Write) error
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
}

// Capabilities says what the source can tell apart.
type Capabilities struct {
	// Kinds that columns of the source can have. Text must be among them.
	Kinds []lienthong.Kind
	// Deletes: a row that vanishes is noticed.
	Deletes bool
	// Truncate: emptying a table is noticed, as Truncate or as deletes.
	Truncate bool
	// Nulls differ from empty texts.
	Nulls bool
	// Transactions: several writes arrive between one Begin and one Commit.
	Transactions bool
	// EveryChange: a record written twice arrives twice, in order. Sources that
	// compare states deliver only the last.
	EveryChange bool
	// ConcurrentWriters can write while the source is read.
	ConcurrentWriters bool
	// Keyless tables exist and are listed with an empty Key.
	Keyless bool
}

// Table is a table that the suite makes.
type Table struct {
	Name    string // as Source.Tables spells it; the plain name before Create
	Columns []Column
}

// Column is a column of a Table.
type Column struct {
	Name string
	Kind lienthong.Kind
	Key  bool
}

// Cell is a value in canonical text, see lienthong.Value.AppendText; the suite
// writes a binary column's bytes as they are, and Rows returns them canonical, in
// hexadecimal. The zero Cell is null.
type Cell struct {
	State lienthong.State
	Text  string
}

// Has is a cell with a value.
func Has(text string) Cell { return Cell{State: lienthong.Present, Text: text} }

// Keep leaves the column of an Update as it is.
func Keep() Cell { return Cell{State: lienthong.Unchanged} }

// Verb is what a Write does.
type Verb uint8

// The verbs.
const (
	Insert Verb = iota
	Update
	Delete
	Truncate
)

// Write is one statement of an application.
type Write struct {
	Verb  Verb
	Table *Table
	Key   []Cell // Update, Delete: the row's key columns
	Row   []Cell // Insert: all columns; Update: all columns, Keep where untouched
}

// SQL is the write as a statement with literals, for harnesses of engines that
// speak it. Identifiers are quoted by quote, values written by literal.
func (w Write) SQL(quote func(string) string, literal func(lienthong.Kind, string) string) string {
	value := func(i int, c Cell) string {
		if c.State == lienthong.Null {
			return "NULL"
		}
		return literal(w.Table.Columns[i].Kind, c.Text)
	}
	var b strings.Builder
	where := func() {
		b.WriteString(" WHERE ")
		n := 0
		for i, column := range w.Table.Columns {
			if column.Key {
				if n > 0 {
					b.WriteString(" AND ")
				}
				b.WriteString(quote(column.Name) + " = " + value(i, w.Key[n]))
				n++
			}
		}
	}
	switch w.Verb {
	case Insert:
		b.WriteString("INSERT INTO " + w.Table.Name + " (")
		for i := range w.Row {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quote(w.Table.Columns[i].Name))
		}
		b.WriteString(") VALUES (")
		for i, cell := range w.Row {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(value(i, cell))
		}
		b.WriteString(")")
	case Update:
		b.WriteString("UPDATE " + w.Table.Name + " SET ")
		n := 0
		for i, cell := range w.Row {
			if cell.State == lienthong.Unchanged {
				continue
			}
			if n > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quote(w.Table.Columns[i].Name) + " = " + value(i, cell))
			n++
		}
		where()
	case Delete:
		b.WriteString("DELETE FROM " + w.Table.Name)
		where()
	case Truncate:
		b.WriteString("TRUNCATE " + w.Table.Name)
	}
	return b.String()
}

// HexLiteral writes bytes as the hexadecimal digits that most engines' binary
// literals hold.
func HexLiteral(text string) string { return hex.EncodeToString([]byte(text)) }

// patience is how long the suite waits for something that must happen.
const patience = 30 * time.Second

// reporter is what the suite needs of a test: a *testing.T, or one try of a random test.
type reporter interface {
	rapid.TB
	Cleanup(f func())
}

// suite is one test's view of its harness.
type suite struct {
	t     reporter
	h     Harness
	fresh func() Harness // another source, as empty as the first
}

func (s *suite) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	s.t.Cleanup(cancel)
	return ctx
}

func (s *suite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) open() connector.Source {
	s.t.Helper()
	source, err := s.h.Open()
	s.must(err)
	s.t.Cleanup(func() { _ = source.Close() })
	return source
}

// people makes the table that most tests use: a text key and three columns.
func (s *suite) people(name string) *Table {
	s.t.Helper()
	return s.create(&Table{Name: name, Columns: []Column{
		{Name: "id", Kind: lienthong.Text, Key: true},
		{Name: "full_name", Kind: lienthong.Text},
		{Name: "note", Kind: lienthong.Text},
		{Name: "counter", Kind: s.kindOr(lienthong.Integer)},
	}})
}

// kindOr is the kind if the source has it, else text.
func (s *suite) kindOr(kind lienthong.Kind) lienthong.Kind {
	if slices.Contains(s.h.Capabilities.Kinds, kind) {
		return kind
	}
	return lienthong.Text
}

func (s *suite) create(table *Table) *Table {
	s.t.Helper()
	name, err := s.h.Create(s.ctx(), table)
	s.must(err)
	table.Name = name
	return table
}

func (s *suite) apply(writes ...Write) {
	s.t.Helper()
	s.must(s.h.Apply(s.ctx(), writes...))
}

func (s *suite) start(source connector.Source, tables ...*Table) lienthong.Position {
	s.t.Helper()
	names := make([]string, len(tables))
	for i, table := range tables {
		names[i] = table.Name
	}
	pos, err := source.Start(s.ctx(), names)
	s.must(err)
	return pos
}

func (s *suite) insert(table *Table, id int) Write {
	return Write{Verb: Insert, Table: table, Row: person(id, "lần 1")}
}

func person(id int, note string) []Cell {
	return []Cell{Has(PersonID(id)), Has(fmt.Sprintf("Nguyễn Văn %d", id)), Has(note), Has(fmt.Sprint(id))}
}

// PersonID is the key of a row with that number in the suite's table of people.
func PersonID(id int) string { return fmt.Sprintf("%06d", id) }

func update(table *Table, id int, note string) Write {
	return Write{
		Verb: Update, Table: table, Key: []Cell{Has(PersonID(id))},
		Row: []Cell{Keep(), Keep(), Has(note), Keep()},
	}
}

func remove(table *Table, id int) Write {
	return Write{Verb: Delete, Table: table, Key: []Cell{Has(PersonID(id))}}
}

// truth is what the source really holds, by key.
func (s *suite) truth(table *Table) map[string]string {
	s.t.Helper()
	rows, err := s.h.Rows(s.ctx(), table)
	s.must(err)
	truth := make(map[string]string, len(rows))
	for _, row := range rows {
		key, text := describe(table, row)
		if _, twice := truth[key]; twice {
			s.t.Fatalf("the harness reads a key twice: %q", key)
		}
		truth[key] = text
	}
	return truth
}

// describe writes a row's key and its whole content as comparable text.
func describe(table *Table, row []Cell) (key, text string) {
	var k, b strings.Builder
	for i, cell := range row {
		if i < len(table.Columns) && table.Columns[i].Key {
			fmt.Fprintf(&k, "%q;", cell.Text)
		}
		switch cell.State {
		case lienthong.Null:
			b.WriteString("∅;")
		case lienthong.Unchanged:
			b.WriteString("=;")
		case lienthong.Malformed:
			fmt.Fprintf(&b, "!%q;", cell.Text)
		case lienthong.Present:
			fmt.Fprintf(&b, "%q;", cell.Text)
		}
	}
	return k.String(), b.String()
}

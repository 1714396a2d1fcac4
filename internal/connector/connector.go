// Package connector is the contract of a source: a database, a folder of files,
// anything that has records and changes.
//
// A source promises four things, and conntest holds every implementation to them:
//
//   - Nothing after Start is lost: every change that commits after the position
//     that Start returned is streamed at least once, in commit order.
//   - A View is exact: it shows every change up to its position and none after.
//   - Versions order the changes of one record: a change has a higher version than
//     an earlier one, and than any View that does not show it.
//   - The source forgets only what was acknowledged.
//
// Rows reach the caller as typed values in reused buffers; nothing is boxed.
package connector

import (
	"context"
	"errors"
	"strings"

	"github.com/lienthong/lienthong"
)

// Table is a table of a source, or what stands for one: a sheet, a file pattern.
type Table struct {
	Name          string // as the source spells it, with its schema where there is one
	Columns       []lienthong.Column
	Key           []int // indexes of the columns that name a row; empty when there is none
	EstimatedRows int64 // what the engine believes; -1 when it does not know
}

// ColumnIndex returns the index of the column with the name, or -1.
func (t *Table) ColumnIndex(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Row is a row as the source has it. Values stand in the order of the table's
// columns. Row and everything in it is valid only during the call that delivers it.
//
// A deleted row has values for the key columns; the others are Unchanged. A
// change of key arrives as a delete of the old and an upsert of the new row, in
// which no value is Unchanged.
type Row struct {
	Table   int // index into the tables given to Start
	Op      lienthong.Op
	Version int64
	At      int64 // microseconds since 1970 UTC; for a View the time it was opened
	Values  []lienthong.Value
}

// Sink takes what a source streams. Calls come from one goroutine. An error
// ends the stream and is returned from Stream.
type Sink interface {
	// Begin announces a transaction that commits at pos. Its rows follow.
	Begin(pos lienthong.Position, at int64) error
	// Change delivers one row of the transaction.
	Change(row *Row) error
	// Truncate says that every row of the table is gone.
	Truncate(table int, version, at int64) error
	// Schema says that the table's columns are different from here on. Rows after it
	// have the new columns.
	Schema(table int, now Table) error
	// Commit ends the transaction. Without a Begin before it, it says that the source
	// has nothing for us up to pos.
	Commit(pos lienthong.Position) error
	// Idle says that nothing more is waiting at the source at this moment: a good
	// time to send what has been collected.
	Idle() error
}

// Source reads one database.
type Source interface {
	// Tables lists what can be read.
	Tables(ctx context.Context) ([]Table, error)

	// Start makes sure that changes of the named tables are kept for us (slot,
	// publication, triggers), and returns the position from which they can be
	// streamed. It is idempotent: when the source already keeps changes for us, it
	// adds missing tables and returns the position acknowledged last.
	Start(ctx context.Context, tables []string) (lienthong.Position, error)

	// View opens the source as of one position, not before the position of any
	// change already streamed.
	View(ctx context.Context) (View, error)

	// Stream delivers changes of transactions that commit after the position, until
	// ctx ends (it then returns ctx.Err()) or the sink fails. A transaction is
	// delivered again after a restart unless it was acknowledged.
	Stream(ctx context.Context, after lienthong.Position, sink Sink) error

	// Acknowledge says that everything up to pos is durable at our side: the source
	// may forget it. It is safe to call while Stream runs, and cheap.
	Acknowledge(ctx context.Context, pos lienthong.Position) error

	// Close releases connections. What the source keeps for us stays.
	Close() error
}

// View is the source as of one position.
type View interface {
	// Position is the position that the view shows.
	Position() lienthong.Position
	// Version is the version of every row of the view: lower than that of any change
	// the view does not show, not lower than that of any change it shows.
	Version() int64
	// Chunks divides a table into ranges of about the given number of rows that can be
	// read in any order and in parallel. A chunk's text is meaningful to any later View of the
	// same source, so that a snapshot can resume after a restart: together the chunks
	// of one call cover every possible row.
	Chunks(ctx context.Context, table int, rows int) ([]Chunk, error)
	// Read delivers the rows of one chunk. It is safe to call from several goroutines.
	Read(ctx context.Context, table int, chunk Chunk, deliver func(*Row) error) error
	// Close ends the view.
	Close() error
}

// Describer is a view that tells which columns its rows have. They can differ from
// those that Stream announced last: a view may show a column before the first
// change that carries it, or no longer show one.
type Describer interface {
	// Table describes a table, by its index, as the view shows it.
	Table(table int) Table
}

// Partial is a view of a source whose stream hands tables over whole after they were made
// anew. What the stream has brought of such a table up to the view's position is not what
// the view shows: the two cannot be compared.
type Partial interface {
	// Partial reports whether a table, by its index, is one of these.
	Partial(table int) bool
}

// Chunk is a range of rows of one table, in words that the source understands.
type Chunk string

// Health explains the state of a source to an operator.
type Health struct {
	OK            bool
	Code          string // stable: "postgres.slot_behind"
	Vi            string
	En            string
	RetainedBytes int64 // log that the source keeps for us; -1 when unknown
}

// HealthReporter is a source that can tell how it is.
type HealthReporter interface {
	Health(ctx context.Context) (Health, error)
}

// Rejecter is a source whose rows can be wrong before they are rows, such as a
// file with a broken line. Rejections are the source's answer to its owner (a
// workbook with notes); capture counts them as quarantined.
type Rejecter interface {
	// Reject tells the source which row of the chunk or transaction was refused and why,
	// so that it can answer the person who handed it in.
	Reject(table int, version int64, field, reasonVi, reasonEn string) error
}

// Completer is a source whose upserts can have Unchanged values and that can say
// what those are. Capture asks where the hub may have nothing to leave unchanged: while
// the first load is on its way, and for a record that was held back.
type Completer interface {
	// Complete fills every Unchanged value of an upsert that Stream is delivering, from the
	// row as it is now. That may be a later state: then the change that made it so follows
	// in the stream with a higher version. A row that is gone gets nulls; its delete follows.
	Complete(ctx context.Context, table int, values []lienthong.Value) error
}

// Destroyer is a source that can remove everything it keeps for us: slot,
// publication, triggers, change tables.
type Destroyer interface {
	Destroy(ctx context.Context) error
}

// Releaser is a source that can let go of the log it keeps for us while we cannot take
// it, so that a line or a disk that is down for days never fills the source's own disk.
type Releaser interface {
	// Release drops what is kept. The next Start begins at the present; what happened
	// in between is found and mended by comparing both ends.
	Release(ctx context.Context) error
}

// HistoryLost reports whether an error of Start or Stream says that the source no longer has
// the log from our position on: reading can only begin at the present, and what is missing
// must be found by comparing both ends. The sign is the ending of the error's code,
// ".history_lost" or, as DBAs of MySQL know it, ".binlog_purged" and ".binlog_reset"; or a method
// Lost that returns true.
func HistoryLost(err error) bool {
	var lost interface{ Lost() bool }
	if errors.As(err, &lost) {
		return lost.Lost()
	}
	code := lienthong.ErrorCode(err)
	return strings.HasSuffix(code, ".history_lost") || strings.HasSuffix(code, ".binlog_purged") || strings.HasSuffix(code, ".binlog_reset")
}

// Inspection is what a person must know before a database is connected, and when it
// does not work: what there is, what is left out, and what is missing.
type Inspection struct {
	Engine   string // with its version: "PostgreSQL 15.18"
	Tables   []Table
	LeftOut  []LeftOut
	Required []Requirement
}

// LeftOut is something of the database that is not read, and the reason.
type LeftOut struct {
	Name string // "public.v_people", or "public.people.full_text" for a column
	Code string // stable: "view", "generated", "foreign_table", "no_key"
	Vi   string
	En   string
}

// Requirement is a setting or a privilege that reading needs.
type Requirement struct {
	Code      string // stable: "postgres.wal_level"
	OK        bool
	Vi        string // what is required, and what there is
	En        string
	Statement string // what a DBA runs to meet it; empty when it is met
	Restart   bool   // the server must be restarted afterwards
}

// Inspector is a source that can tell whether it can be read, without changing anything.
type Inspector interface {
	Inspect(ctx context.Context) (Inspection, error)
}

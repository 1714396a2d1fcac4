// Package mysql reads a MySQL or MariaDB database: changes from the binary log, first
// loads from a consistent snapshot.
//
// What holds, and why:
//
//   - The binary log is one line of bytes: a place in it is the sum of the sizes of the
//     files before, plus the offset. A transaction's position is the place where it begins
//     plus one, so that "after" is a plain comparison: what a snapshot taken at place P
//     shows begins before P and has a position of at most P, what it does not show a
//     higher one. The server writes a transaction whole, when it commits, so the order of
//     the log is the order of commits.
//   - Where the line begins is ours: the first Start puts it, from the clock, far above
//     any line of an earlier life of the source. A token carries the place of its file on
//     the line. When the log is another one (RESET MASTER, a restored or a promoted
//     server), a new stretch of the line begins above all of the old.
//   - A change's version is the place of its event, with eight bits for the rows in it. So
//     versions rise through the whole log, and the same change has the same version
//     whenever it is read.
//   - MySQL keeps nothing for a reader. What was acknowledged is in a small file of ours.
//     A log that the server has purged meanwhile is a coded error; Start then begins at
//     the present, and comparing both ends finds what was missed.
//   - Columns are named by the log itself where the server says so
//     (binlog_row_metadata=FULL). Elsewhere by a history of layouts that is kept beside the
//     position; a row that does not fit its layout stops the stream instead of being
//     guessed at.
//   - A transaction is passed on as it arrives; the first of it are held back only so far
//     that a small one that is rolled back inside the log never shows.
package mysql

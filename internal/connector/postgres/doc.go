// Package postgres reads a PostgreSQL database: changes by logical replication
// (pgoutput), first loads by parallel COPY of one exported snapshot.
//
// What holds, and why:
//
//   - A position is a place in the WAL. A transaction's position is the start of
//     its commit record plus one, so that "after" is a plain comparison: everything
//     that a snapshot taken at P shows has a position of at most P, everything that
//     it does not show a higher one.
//   - A change's version is the position of its transaction's commit, and within
//     the transaction a number that rises for each further change of the same
//     record (see version.go). The place of the change itself in the WAL would not
//     do: an INSERT is logged before its unique index is checked, so it can lie
//     before the DELETE of a neighbour that commits first and makes room for it.
//   - A view is a snapshot exported by a temporary slot, the only way to learn
//     exactly which commits a snapshot shows. The slot is gone once the snapshot is
//     held by a transaction, so a long first load retains no WAL of its own.
//   - Chunks are ranges of blocks. An UPDATE can move a row from a block not yet
//     read to one already read, but that UPDATE is itself streamed; what moves rows
//     without a change (VACUUM FULL, CLUSTER, a rewriting ALTER TABLE) gives the
//     table a new file, which the chunk names and Read checks.
//   - The server holds a transaction back until it commits and spills large ones
//     to its own disk (in-progress streaming is off): we never see a change that is
//     later rolled back, and need only memory for one row.
//   - The slot moves on Acknowledge only.
package postgres

package push

import (
	"path/filepath"
	"testing"
)

// TestCommitIsOnDisk: every connection of the inbox flushes its log at each commit; the
// default of the write-ahead mode would leave that to the next checkpoint.
func TestCommitIsOnDisk(t *testing.T) {
	db, err := openDatabase(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for range 3 {
		conn, err := db.Conn(t.Context()) // held, so that each is another
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		var synchronous int
		var mode string
		if err := conn.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&synchronous); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil {
			t.Fatal(err)
		}
		if synchronous != 2 || mode != "wal" {
			t.Errorf("synchronous %d, journal mode %s", synchronous, mode)
		}
	}
}

package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
)

// TestEstimatedRows: how many rows a table has, without counting them.
func TestEstimatedRows(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "estimate.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	run := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if _, err := conn.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(`CREATE TABLE numbered (code TEXT PRIMARY KEY)`, `CREATE TABLE unnumbered (code TEXT PRIMARY KEY) WITHOUT ROWID`, `CREATE TABLE "odd ""name" (code TEXT)`,
		`INSERT INTO numbered WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT 'x' || i FROM n`,
		`INSERT INTO unnumbered SELECT code FROM numbered`)
	check := func(table string, want int64) {
		t.Helper()
		if got := estimatedRows(t.Context(), conn, table); got != want {
			t.Errorf("%s: %d, want %d", table, got, want)
		}
	}
	check("numbered", 300)
	check("unnumbered", -1)
	check(`odd "name`, 0)
	run("ANALYZE", "DELETE FROM numbered WHERE code > 'x2'")
	check("numbered", 300) // what the engine believes, not what is true
	check("unnumbered", 300)
}

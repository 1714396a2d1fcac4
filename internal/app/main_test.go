package app

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/lienthong/lienthong/internal/pgtest"
)

// server is the PostgreSQL of the tests; nil when the machine has none.
var server *pgtest.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "app-pg")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if server, err = pgtest.Start(dir, "fsync=off"); err != nil && !errors.Is(err, pgtest.ErrNotInstalled) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if server != nil {
		server.Close()
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// postgresDSN names an empty database of its own. Where PostgreSQL is missing the
// test is skipped, but not in CI, where it has to be there.
func postgresDSN(t *testing.T) string {
	t.Helper()
	if server == nil {
		if os.Getenv("CI") != "" {
			t.Fatal(pgtest.ErrNotInstalled)
		}
		t.Skip(pgtest.ErrNotInstalled)
	}
	return server.Database(t)
}

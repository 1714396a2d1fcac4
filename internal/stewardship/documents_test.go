package stewardship

import (
	"testing"

	"github.com/lienthong/lienthong/internal/store"
)

// openDocuments is the hub's own store: conflicts and histories are those that people meet.
func openDocuments(t *testing.T) Documents {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), t.TempDir(), store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

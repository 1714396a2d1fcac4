package ticket_test

import (
	"context"
	"testing"

	"github.com/lienthong/lienthong/internal/store"
	"github.com/lienthong/lienthong/internal/ticket"
)

// documents is a store as a hub has one.
func documents(t testing.TB) ticket.Documents {
	t.Helper()
	s, err := store.OpenSQLite(context.Background(), t.TempDir(), store.Config{})
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

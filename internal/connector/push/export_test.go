package push

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

// within waits until something holds, for half a minute at most.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting until %s", what)
		}
	}
}

// WaitForWriter returns when the writer is inside a transaction.
func (s *Source) WaitForWriter(t *testing.T) {
	t.Helper()
	within(t, "the writer writes", func() bool {
		if s.writing.TryLock() {
			s.writing.Unlock()
			return false
		}
		return true
	})
}

// WaitForQueue returns when so many jobs wait for the writer.
func (s *Source) WaitForQueue(t *testing.T, jobs int) {
	t.Helper()
	within(t, "the queue is full", func() bool { return len(s.jobs) >= jobs })
}

// RoutesForTest are the routes that Handler serves.
func RoutesForTest() []string {
	var made []string
	for _, route := range routes() {
		made = append(made, route.method+" "+route.path)
	}
	slices.Sort(made)
	return made
}

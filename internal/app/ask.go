package app

import (
	"cmp"
	"context"
	"errors"

	"github.com/lienthong/lienthong/internal/audit"
	"github.com/lienthong/lienthong/internal/bus"
)

// Reconcile implements console.Reconciler: every node that sends a part of the
// database is asked to compare now. The result comes like that of any other comparison.
func (m *monitor) Reconcile(ctx context.Context, database, asker string) error {
	m.mu.Lock()
	nodes := map[string]bool{}
	for _, v := range m.sorted(database) {
		nodes[v.stream.Node] = true
	}
	m.mu.Unlock()
	var problems []error
	for node := range nodes {
		problems = append(problems, m.hub.tell(node, bus.Control{Reconcile: true, Of: node}))
	}
	m.hub.note(ctx, audit.Entry{
		Kind: audit.Reconciliation, Actor: cmp.Or(asker, administrator), Detail: map[string]string{"event": "asked", "database": database},
	})
	return errors.Join(problems...)
}

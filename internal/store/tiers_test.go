package store

import (
	"slices"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/trust"
)

func nodeRecord(name, key string) trust.NodeRecord {
	return trust.NodeRecord{
		Node: trust.NodeID{Bloc: lienthong.Government, Member: "H12", Node: name}, Key: []byte(key), KeyID: key, EnrolledAt: time.UnixMicro(5).UTC(),
	}
}

func TestNodesBehindHubs(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		check(t, s.SaveToken(ctx, trust.TokenRecord{Hash: "h", Node: nodeRecord("h12", "k").Node, Role: trust.RoleHub, ExpiresAt: time.UnixMicro(100)}))
		token, found, err := s.FindToken(ctx, "h")
		check(t, err)
		if !found || token.Role != trust.RoleHub {
			t.Fatalf("%+v", token)
		}
		hub := nodeRecord("h12", "k")
		hub.Role = trust.RoleHub
		redeemed, err := s.Redeem(ctx, "h", hub)
		check(t, err)
		if !redeemed {
			t.Fatal("not redeemed")
		}
		take := func(hub string, version uint64, nodes ...trust.NodeRecord) uint64 {
			t.Helper()
			kept, err := s.TakeNodes(ctx, hub, version, nodes)
			check(t, err)
			return kept
		}
		retired := nodeRecord("xa-b", "b")
		retired.RetiredAt = time.UnixMicro(9).UTC()
		equal(t, take("h12", 10, nodeRecord("xa-a", "a"), retired), uint64(10))
		equal(t, take("h12", 10, nodeRecord("xa-a", "changed")), uint64(10)) // again: nothing
		equal(t, take("h12", 4, nodeRecord("xa-a", "older")), uint64(10))
		equal(t, take("h13", 3, nodeRecord("xa-a", "stolen"), nodeRecord("h12", "stolen"), nodeRecord("xa-c", "c")), uint64(3))
		nodes, err := s.Nodes(ctx)
		check(t, err)
		var got []string
		for _, n := range nodes {
			got = append(got, n.Node.Node+" "+n.KeyID+" "+string(n.Role)+" "+n.Via)
		}
		equal(t, got, []string{"h12 k hub ", "xa-a a node h12", "xa-b b node h12", "xa-c c node h13"})
		if !nodes[2].RetiredAt.Equal(retired.RetiredAt) {
			t.Errorf("retired at %s", nodes[2].RetiredAt)
		}
	})
}

func TestPassedReceipts(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		stream := lienthong.Stream{Node: "xa-a", Dataset: lienthong.DatasetID{Database: "d", Name: "a"}}
		other := stream
		other.Node = "xa-b"
		var all []PassedReceipt
		for i := range uint64(5) {
			all = append(all, PassedReceipt{Stream: stream, Sequence: i + 1, Hub: "ndc", Body: "{}", Signature: "s"})
		}
		check(t, s.KeepPassed(ctx, append(slices.Clone(all), PassedReceipt{Stream: other, Sequence: 1, Hub: "ndc"})))
		check(t, s.KeepPassed(ctx, all[:2])) // the same again
		nodes, err := s.PassedNodes(ctx)
		check(t, err)
		equal(t, nodes, []string{"xa-a", "xa-b"})
		first, err := s.Untold(ctx, "xa-a", clock, 3)
		check(t, err)
		equal(t, first, all[:3])
		rest, err := s.Untold(ctx, "xa-a", clock, 3) // what was told just now is not told again
		check(t, err)
		equal(t, rest, all[3:])
		again, err := s.Untold(ctx, "xa-a", clock.Add(time.Second), 10)
		check(t, err)
		equal(t, again, all)
		check(t, s.Heard(ctx, all[1:2]))
		carried, err := s.PassedFor(ctx, []string{"xa-a"}, "bundle-1")
		check(t, err)
		equal(t, len(carried), 4)
		check(t, s.KeepPassed(ctx, []PassedReceipt{{Stream: stream, Sequence: 6, Hub: "ndc"}}))
		check(t, s.PassedBy(ctx, "")) // no bundle has carried these
		check(t, s.PassedBy(ctx, "bundle-1"))
		left, err := s.Untold(ctx, "xa-a", clock.Add(time.Hour), 10)
		check(t, err)
		if len(left) != 1 || left[0].Sequence != 6 {
			t.Errorf("%+v are left", left)
		}
	})
}

func TestBundlesAreTakenOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		if _, found, err := s.LastBundle(ctx, "xa-a"); err != nil || found {
			t.Fatal(found, err)
		}
		for _, b := range []Bundle{{ID: "b2", Sender: "xa-a", Created: 20, About: "two"}, {ID: "b1", Sender: "xa-a", Created: 10}, {ID: "b3", Sender: "xa-b", Created: 30}} {
			check(t, s.SaveBundle(ctx, b))
			check(t, s.SaveBundle(ctx, b))
		}
		last, found, err := s.LastBundle(ctx, "xa-a")
		check(t, err)
		if !found || last.ID != "b2" || last.About != "two" {
			t.Errorf("%+v", last)
		}
		if _, found, err := s.Bundle(ctx, "b1"); err != nil || !found {
			t.Error(found, err)
		}
		if _, found, err := s.Bundle(ctx, "b9"); err != nil || found {
			t.Error(found, err)
		}
	})
}

func TestLandedBatchesOfAStream(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		p := newSender(t, s, small(1), "g01")
		for i := range int64(4) {
			p.apply(lienthong.ChangesBatch, row("a", i+1, text("x"), text("y")))
		}
		var got []uint64
		stream := lienthong.Stream{Node: "g01", Dataset: small(1).Dataset}
		check(t, s.Landed(t.Context(), stream, 3, func(b LandedBatch) error {
			if b.Digest == "" || b.Landed != 1 || b.AppliedAt == 0 {
				t.Errorf("%+v", b)
			}
			got = append(got, b.Sequence)
			return nil
		}))
		if len(got) == 0 || got[0] != 3 || !slices.IsSorted(got) {
			t.Errorf("%v from 3", got)
		}
	})
}

func TestNodeKeepsReceipts(t *testing.T) {
	state, err := OpenNodeState(t.Context(), t.TempDir())
	check(t, err)
	defer func() { _ = state.Close() }()
	ctx := t.Context()
	stream := lienthong.Stream{Node: "xa-a", Dataset: lienthong.DatasetID{Database: "d", Name: "a"}}
	receipt := func(sequence uint64, hub, digest string, at int64) NodeReceipt {
		return NodeReceipt{Stream: stream, Sequence: sequence, Hub: hub, Digest: digest, At: at, Body: "{}", Signature: "s"}
	}
	mismatched, err := state.SaveReceipts(ctx, []NodeReceipt{
		receipt(1, "h12", "a", 10), receipt(2, "h12", "b", 20), receipt(1, "ndc", "a", 30), receipt(2, "ndc", "other", 40), receipt(1, "h12", "a", 50),
	})
	check(t, err)
	if len(mismatched) != 1 || mismatched[0].Sequence != 2 || mismatched[0].Hub != "ndc" {
		t.Errorf("mismatched %+v", mismatched)
	}
	list, err := state.NewestReceipts(ctx, "xa-a", "", 10)
	check(t, err)
	var got []string
	for _, r := range list {
		got = append(got, r.Stream.String()+" "+string(rune('0'+r.Sequence))+" "+r.Hub)
	}
	equal(t, got, []string{"xa-a/d.a 1 h12", "xa-a/d.a 1 ndc", "xa-a/d.a 2 h12"})
	one, err := state.Receipts(ctx, stream.Dataset, 1)
	check(t, err)
	equal(t, len(one), 2)
	if list, err = state.NewestReceipts(ctx, "xa-a", "", 1); err != nil || len(list) != 2 {
		t.Errorf("of the newest batch: %+v, %v", list, err)
	}
	if known, err := state.Bundle(ctx, "x"); err != nil || known {
		t.Error(known, err)
	}
	check(t, state.SaveBundle(ctx, "x", 1))
	check(t, state.SaveBundle(ctx, "y", 2))
	last, err := state.LastBundle(ctx)
	check(t, err)
	equal(t, last, "y")
	if known, err := state.Bundle(ctx, "x"); err != nil || !known {
		t.Error(known, err)
	}
}

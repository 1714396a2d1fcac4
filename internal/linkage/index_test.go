package linkage_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lienthong/lienthong/internal/linkage"
	"github.com/lienthong/lienthong/internal/linkage/truth"
)

// An index that records came to and went from answers as a run over the records that are
// there would: pair by pair, group by group, and with the same keys left out.
func TestIndex_EqualsARunOverAll(t *testing.T) {
	people := truth.NewPeople(truth.Config{Records: 6_000, Duplicates: .1, Seed: 11})
	config := linkage.Config{Successors: truth.Successors, BlockCap: 3, LargestCluster: 3}
	learning := persons(t, people, config)
	model, err := learning.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(2, 3))
	index, err := linkage.NewPersons(config).Index(model)
	if err != nil {
		t.Fatal(err)
	}
	now := map[string]linkage.Person{}
	put := func(record linkage.Person) {
		now[record.ID] = record
		if err := index.Add(&record); err != nil {
			t.Fatal(err)
		}
	}
	for place := range people.Len() {
		put(people.Record(place))
	}
	for step := range 4_000 {
		record := people.Record(random.IntN(people.Len()))
		switch step % 4 {
		case 0, 1: // gone
			_, here := now[record.ID]
			if index.Remove(record.ID) != here {
				t.Fatalf("removing a record says %v", !here)
			}
			delete(now, record.ID)
		case 2: // back, or again as it was
			put(record)
		default: // changed: with the content of another
			other := people.Record(random.IntN(people.Len()))
			other.ID = record.ID
			put(other)
		}
	}
	batch := linkage.NewPersons(config)
	ids := index.IDs()
	if len(ids) != len(now) || index.Register().Len() != len(now) {
		t.Fatalf("the index has %d records, want %d", len(ids), len(now))
	}
	for _, id := range ids {
		record := now[id]
		if err := batch.Add(&record); err != nil {
			t.Fatal(err)
		}
	}
	answers := linkage.Answers{
		linkage.NewPairID(ids[0], ids[1]): linkage.AnswerSame,
		linkage.NewPairID(ids[1], ids[2]): linkage.AnswerDifferent,
	}
	plain, err := batch.Find(t.Context(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range plain.Pairs {
		if i%7 == 0 {
			answers[plain.Pairs[i].ID()] = linkage.AnswerDifferent
		}
	}
	want, err := batch.Find(t.Context(), model, answers)
	if err != nil {
		t.Fatal(err)
	}
	capped := 0
	for _, p := range want.Passes {
		capped += p.Capped
	}
	if capped == 0 || len(want.Pairs) < 300 || !slices.ContainsFunc(want.Clusters, func(c linkage.Cluster) bool { return c.Reason == linkage.Chain }) {
		t.Fatalf("the register is too easy: %d capped, %d pairs", capped, len(want.Pairs))
	}
	got := map[linkage.PairID]linkage.Pair{}
	for _, id := range ids {
		matches, found := index.Match(id, answers)
		if !found {
			t.Fatalf("%s is not in the index", id)
		}
		for _, p := range matches.Pairs {
			if p.A != id && p.B != id {
				t.Fatalf("the match of %s names %s and %s", id, p.A, p.B)
			}
			if before, seen := got[p.ID()]; seen {
				if diff := cmp.Diff(before, p, cmpopts.IgnoreUnexported(linkage.Pair{})); diff != "" {
					t.Fatal("the two records of a pair say different things:", diff)
				}
			}
			got[p.ID()] = p
		}
	}
	for _, p := range want.Pairs {
		if p.Reason == linkage.Chain {
			p.Zone, p.Reason = linkage.Same, linkage.ByWeight // what Match says before groups are looked at
		}
		if diff := cmp.Diff(p, got[p.ID()], cmpopts.IgnoreUnexported(linkage.Pair{})); diff != "" {
			t.Error(diff)
		}
		delete(got, p.ID())
	}
	if len(got) > 0 {
		t.Errorf("the index finds %d pairs that a run does not", len(got))
	}
	inGroup := map[string]linkage.Cluster{}
	for _, c := range want.Clusters {
		for _, id := range c.Members {
			inGroup[id] = c
		}
	}
	for _, id := range ids {
		cluster, _, found, err := index.Cluster(t.Context(), id, answers)
		if err != nil {
			t.Fatal(err)
		}
		expected, grouped := inGroup[id]
		if found != grouped {
			t.Fatalf("%s: in a group %v, want %v", id, found, grouped)
		}
		if diff := cmp.Diff(expected, cluster); diff != "" {
			t.Fatal(diff)
		}
	}
}

// Organisations come and go as persons do.
func TestIndex_Organisations(t *testing.T) {
	firms := truth.NewFirms(truth.Config{Records: 2_000, Duplicates: .1, Seed: 12})
	register := organisations(t, firms, linkage.Config{})
	model, err := register.Estimate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := register.Find(t.Context(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	index, err := linkage.NewOrganisations(linkage.Config{Successors: truth.Successors}).Index(model)
	if err != nil {
		t.Fatal(err)
	}
	for place := range firms.Len() {
		record := firms.Record(place)
		noise := record
		noise.Name, noise.TaxCode = "Công ty TNHH Khác Hẳn", ""
		for _, r := range []linkage.Organisation{noise, record} {
			if err := index.Add(&r); err != nil {
				t.Fatal(err)
			}
		}
	}
	pairs := map[linkage.PairID]bool{}
	for place := range firms.Len() {
		matches, _ := index.Match(truth.ID(place), nil)
		for i := range matches.Pairs {
			pairs[matches.Pairs[i].ID()] = true
		}
	}
	if len(pairs) != len(want.Pairs) || len(pairs) < 100 {
		t.Errorf("the index finds %d pairs, a run %d", len(pairs), len(want.Pairs))
	}
	for i := range want.Pairs {
		if !pairs[want.Pairs[i].ID()] {
			t.Errorf("the index does not find %v", want.Pairs[i].ID())
		}
	}
	if _, found := index.Match("nobody", nil); found {
		t.Error("a record that is not there was matched")
	}
	if index.Remove("nobody") {
		t.Error("a record that is not there was removed")
	}
}

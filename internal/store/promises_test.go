package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/batch"
	"github.com/lienthong/lienthong/internal/dictionary"
	"github.com/lienthong/lienthong/internal/pgtest"
	"github.com/lienthong/lienthong/internal/quality"
	"github.com/lienthong/lienthong/internal/trust"
)

func TestABatchIsAppliedOnce(t *testing.T) {
	ctx := context.Background()
	onBoth(t, func(t *testing.T, s *Store) {
		p := newSender(t, s, small(1), "n")
		shapeBatch := p.item(lienthong.ShapeBatch)
		shapeBatch.Rows, shapeBatch.Shape, shapeBatch.Body = nil, nil, []byte(`{"version":1}`)
		rows := []lienthong.Change{row("1", 1, text("a"), text("b")), row("2", 1, text("a\x00"), text("b"))}
		first := p.item(lienthong.SnapshotBatch, rows...)
		third := p.item(lienthong.ChangesBatch, row("1", 2, text("c"), unchanged))
		again := first
		again.Rows = &slow{changes: rows}
		got, err := s.Apply(ctx, []Item{shapeBatch, first, third, again})
		check(t, err)
		refused := []Refusal{{[]byte("2"), "text"}}
		at := clock.UnixMicro()
		equal(t, got, []Applied{{AppliedAt: at}, {Landed: 1, Refused: refused, AppliedAt: at}, {Landed: 1, AppliedAt: at}, {Landed: 1, Refused: refused, AppliedAt: at, Duplicate: true}})
		again.Rows = &slow{changes: rows}
		got, err = s.Apply(ctx, []Item{again})
		check(t, err)
		equal(t, got, []Applied{{Landed: 1, Refused: refused, AppliedAt: at, Duplicate: true}})
		equal(t, p.records(), map[string][]lienthong.Value{"1": {text("1"), text("c"), text("b")}})
		heads, err := s.Heads(ctx)
		check(t, err)
		equal(t, heads, map[lienthong.Stream]Head{p.stream: {Sequence: 3, Digest: p.digest}})

		again.Digest = "other"
		_, err = s.Apply(ctx, []Item{again})
		wantCode(t, err, "store.forked")
		skipped := p.item(lienthong.ChangesBatch)
		_, err = s.Apply(ctx, []Item{p.item(lienthong.ChangesBatch)})
		wantCode(t, err, "store.gap")
		forged := skipped
		forged.Header.Previous = "elsewhere"
		_, err = s.Apply(ctx, []Item{forged})
		wantCode(t, err, "store.chain")

		// One bad batch: nothing of the Apply is stored, and the batch is named.
		good := skipped
		good.Rows = &slow{changes: []lienthong.Change{row("9", 9, null, null)}}
		broken := Item{Header: good.Header, Digest: "d", Shape: p.shape, Rows: &slow{err: errors.New("cut off")}}
		broken.Header.Sequence, broken.Header.Previous = 5, good.Digest
		_, err = s.Apply(ctx, []Item{good, broken})
		var of *ItemError
		if !errors.As(err, &of) || of.Index != 1 {
			t.Fatalf("error %v does not name item 1", err)
		}
		equal(t, len(p.records()), 1)
		equal(t, p.state().Sequence, uint64(3))

		entries, err := s.AuditOutbox(ctx, 0, 10)
		check(t, err)
		equal(t, len(entries), 3)
		var entry map[string]any
		check(t, json.Unmarshal(entries[1].Entry, &entry))
		equal(t, entry["stream"], any("n/population.person"))
		equal(t, entry["refused"], any(1.0))
		check(t, s.AuditDone(ctx, entries[1].No))
		rest, err := s.AuditOutbox(ctx, entries[0].No, 10)
		check(t, err)
		equal(t, rest, entries[2:])
	})
}

func TestSnapshotMeetsStream(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		p := newSender(t, s, small(1), "n")
		p.apply(lienthong.ChangesBatch, row("5", 50, text("new"), text("new")), remove("6", 50))
		for chunk := range 3 { // the first meets rows that are there; later ones look before they insert
			var rows []lienthong.Change
			for i := range 1000 {
				rows = append(rows, row(strconv.Itoa(chunk*1000+i), 10, text("a"), text("b")))
			}
			got := p.apply(lienthong.SnapshotBatch, append(rows, rows[3])...) // a row twice
			want := 0
			if chunk == 0 {
				want = 2
			}
			equal(t, []int{got.Landed, got.Ignored}, []int{1000 - want, want + 1})
		}
		st := p.state()
		equal(t, []int64{st.Live, st.Held, st.Deleted}, []int64{2999, 0, 1})
		equal(t, s.count(t, p.stream), []int64{2999, 0, 1})
		equal(t, p.records()["5"], []lienthong.Value{text("5"), text("new"), text("new")})
	})
}

func TestShapesGrow(t *testing.T) {
	ctx := context.Background()
	onBoth(t, func(t *testing.T, s *Store) {
		p := newSender(t, s, small(1), "n")
		p.apply(lienthong.ChangesBatch, row("1", 1, text("a"), text("b")))
		second := small(2)
		second.Fields = append(second.Fields[:2:2], lienthong.Field{Name: "select", Kind: lienthong.Date}) // b is dropped, a column added
		check(t, s.DefineShape(ctx, second))
		check(t, s.DefineShape(ctx, second))
		equal(t, p.records(), map[string][]lienthong.Value{"1": {text("1"), text("a"), text("b")}})
		p.shape = second
		p.apply(lienthong.ChangesBatch, upsert("1", 2, text("1"), unchanged, number(3)), upsert("2", 2, text("2"), null, null))
		equal(t, p.records(), map[string][]lienthong.Value{"1": {text("1"), text("a"), number(3)}, "2": {text("2"), null, null}})
		p.shape = small(1)
		equal(t, p.records()["1"], []lienthong.Value{text("1"), text("a"), text("b")})

		breaking := small(3)
		breaking.Fields[1].Kind = lienthong.Integer
		wantCode(t, s.DefineShape(ctx, breaking), "shape.breaking")
		breaking = small(3)
		breaking.Identity = []int{1}
		wantCode(t, s.DefineShape(ctx, breaking), "shape.breaking")
		breaking = small(1)
		breaking.Fields[1].Kind = lienthong.Integer
		wantCode(t, s.DefineShape(ctx, breaking), "shape.changed")
		twice := small(3)
		twice.Fields[2].Name = "A"
		wantCode(t, s.DefineShape(ctx, twice), "shape.invalid")
		unknown := p.item(lienthong.ChangesBatch)
		unknown.Shape = small(9)
		_, err := s.Apply(ctx, []Item{unknown})
		wantCode(t, err, "shape.unknown")

		// Names that would share a table, or be cut off.
		long := strings.Repeat("x", 40)
		for _, id := range []lienthong.DatasetID{{Database: "a_b", Name: "c"}, {Database: "a", Name: "b_c"}, {Database: long, Name: long}, {Database: long, Name: long[1:] + "y"}} {
			shape := small(1)
			shape.Dataset = id
			q := newSender(t, s, shape, "n")
			q.apply(lienthong.ChangesBatch, row(id.String(), 1, null, null))
			equal(t, len(q.records()), 1)
		}
		shapes, err := s.Shapes(ctx, people)
		check(t, err)
		equal(t, shapes, []*lienthong.Shape{small(1), second})
	})
}

// TestCountersAgainstAModel plays random changes, in random batches of random
// kinds, and compares with the simplest thing that could be right.
func TestCountersAgainstAModel(t *testing.T) {
	type kept struct {
		version int64
		is      presence
		a, b    string
	}
	onBoth(t, func(t *testing.T, s *Store) {
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			p := newSender(t, s, small(1), fmt.Sprintf("n%d", run))
			model := make(map[string]*kept)
			for range rapid.IntRange(1, 6).Draw(rt, "applies") {
				var items []Item
				var want []Applied
				for range rapid.IntRange(1, 3).Draw(rt, "batches") {
					var changes []lienthong.Change
					expect := Applied{AppliedAt: clock.UnixMicro()}
					for n := range rapid.IntRange(0, 60).Draw(rt, "rows") {
						id := strconv.Itoa(rapid.IntRange(0, 30).Draw(rt, "id"))
						version := rapid.Int64Range(1, 40).Draw(rt, "version")
						m := model[id]
						if m == nil {
							m = &kept{}
						}
						newer := version > m.version || m.is == absent
						value := fmt.Sprintf("%d.%d", version, n)
						switch op := rapid.IntRange(0, 5).Draw(rt, "op"); op {
						case 0, 1, 2:
							a, b := text(value), text(value)
							if op == 1 {
								a = unchanged
							}
							if op == 2 {
								b = unchanged
							}
							changes = append(changes, row(id, version, a, b))
							switch {
							case !newer:
								expect.Ignored++
							case op > 0 && (m.is == absent || m.is == deleted):
								expect.Refused = append(expect.Refused, Refusal{[]byte(id), "incomplete"})
							default:
								expect.Landed++
								if op != 1 {
									m.a = value
								}
								if op != 2 {
									m.b = value
								}
								m.version, m.is = version, live
								model[id] = m
							}
						case 3, 4:
							changes = append(changes, remove(id, version))
							if !newer {
								expect.Ignored++
								break
							}
							expect.Landed++
							model[id] = &kept{version: version, is: deleted}
						case 5:
							changes = append(changes, hold(id, version))
							if !newer {
								expect.Ignored++
								break
							}
							if m.is == absent { // marks that older states are void
								expect.Ignored++
								model[id] = &kept{version: version, is: deleted}
								break
							}
							expect.Landed++
							m.version = version
							if m.is != deleted {
								m.is = held
							}
						}
					}
					kind := rapid.SampledFrom([]lienthong.BatchKind{lienthong.ChangesBatch, lienthong.SnapshotBatch}).Draw(rt, "kind")
					items = append(items, p.item(kind, changes...))
					want = append(want, expect)
				}
				got, err := s.Apply(context.Background(), items)
				check(t, err)
				equal(t, got, want)
			}
			counts := make([]int64, 3)
			records := make(map[string][]lienthong.Value)
			for id, m := range model {
				counts[m.is-live]++
				if m.is == live {
					records[id] = []lienthong.Value{text(id), text(m.a), text(m.b)}
				}
			}
			st := p.state()
			equal(t, []int64{st.Live, st.Held, st.Deleted}, counts)
			equal(t, s.count(t, p.stream), counts)
			equal(t, p.records(), records)
		})
	})
}

func TestRepairRestoresATamperedBucket(t *testing.T) {
	ctx := context.Background()
	onBoth(t, func(t *testing.T, s *Store) {
		p, neighbour := newSender(t, s, small(1), "n"), newSender(t, s, small(1), "neighbour")
		var rows []lienthong.Change
		want := make(map[string][]lienthong.Value)
		source, hasher := new(batch.Digest), batch.NewHasher(p.shape)
		for i := range 3000 {
			id := strconv.Itoa(i)
			rows = append(rows, row(id, 5, text("a"+id), text("b")))
			want[id] = rows[i].Values
			source.Add(hasher.Row([]byte(id), rows[i].Values))
		}
		p.apply(lienthong.SnapshotBatch, rows...)
		neighbour.apply(lienthong.SnapshotBatch, rows...)
		differing := func() []int {
			view, err := s.Freeze(ctx)
			check(t, err)
			got, err := view.Digest(ctx, p.stream, p.shape)
			check(t, err)
			check(t, view.Close())
			return source.Differing(got)
		}
		equal(t, len(differing()), 0)
		mine := fmt.Sprintf("_stream = %d", p.state().No)
		exec(t, s, `UPDATE records_population_person SET a = 'tampered' WHERE _id = '17' AND `+mine)
		exec(t, s, `DELETE FROM records_population_person WHERE _id = '18' AND `+mine)
		exec(t, s, `UPDATE records_population_person SET _id = 'planted' WHERE _id = '19' AND `+mine)
		exec(t, s, `UPDATE records_population_person SET _deleted = (1=1) WHERE _id = '20' AND `+mine)
		buckets := differing()
		if len(buckets) != 5 {
			t.Fatalf("%d buckets differ", len(buckets))
		}
		for _, bucket := range buckets {
			var members []lienthong.Change
			for i := range rows {
				if batch.BucketOf(rows[i].ID) == bucket {
					members = append(members, rows[i])
				}
			}
			item := p.item(lienthong.RepairBatch, members...)
			item.Header.Bucket = &bucket
			item.Header.Last.Order = 1 << 40
			_, err := s.Apply(ctx, []Item{item})
			check(t, err)
		}
		equal(t, len(differing()), 0)
		equal(t, p.records(), want)
		st := p.state()
		equal(t, []int64{st.Live, st.Held, st.Deleted}, []int64{3000, 0, 1})
		equal(t, s.count(t, p.stream), []int64{3000, 0, 1})
		equal(t, neighbour.records(), want)

		// What changed after the view that a repair shows stays.
		p.apply(lienthong.ChangesBatch, row("17", 9, text("later"), null), row("extra", 9, text("later"), null))
		for _, id := range []string{"17", "extra"} {
			bucket := batch.BucketOf([]byte(id))
			item := p.item(lienthong.RepairBatch)
			if id == "17" {
				item = p.item(lienthong.RepairBatch)
				p.sequence--
				item.Header.Sequence, item.Header.Previous = p.sequence, strings.Replace(item.Header.Previous, strconv.FormatUint(p.sequence, 10), strconv.FormatUint(p.sequence-1, 10), 1)
				p.digest = item.Digest
				item.Rows = &slow{changes: []lienthong.Change{row("17", 7, text("a17"), text("b"))}}
			}
			item.Header.Bucket, item.Version = &bucket, 7
			_, err := s.Apply(ctx, []Item{item})
			check(t, err)
		}
		equal(t, p.records()["17"], []lienthong.Value{text("17"), text("later"), null})
		equal(t, p.records()["extra"], []lienthong.Value{text("extra"), text("later"), null})
		_, err := s.Apply(ctx, []Item{p.item(lienthong.RepairBatch)})
		wantCode(t, err, "store.bucket")
	})
}

func TestAViewStandsStill(t *testing.T) {
	ctx := context.Background()
	onBoth(t, func(t *testing.T, s *Store) {
		p := newSender(t, s, small(1), "n")
		p.apply(lienthong.ChangesBatch, row("1", 1, text("a"), null), row("2", 1, null, null), hold("2", 2))
		view, err := s.Freeze(ctx)
		check(t, err)
		p.apply(lienthong.ChangesBatch, row("1", 2, text("later"), null), row("3", 2, null, null), row("2", 3, null, null))
		want, hasher := new(batch.Digest), batch.NewHasher(p.shape)
		want.Add(hasher.Row([]byte("1"), []lienthong.Value{text("1"), text("a"), null}))
		got, err := view.Digest(ctx, p.stream, p.shape)
		check(t, err)
		equal(t, len(want.Differing(got)), 0)
		heads, err := view.Heads(ctx)
		check(t, err)
		equal(t, heads[p.stream].Sequence, uint64(1))
		n, err := view.HeldRows(ctx, p.stream)
		check(t, err)
		equal(t, n, int64(1))
		check(t, view.Close())
		equal(t, len(p.records()), 3)
	})
}

func TestStreamsApplyConcurrently(t *testing.T) {
	ctx := context.Background()
	onBoth(t, func(t *testing.T, s *Store) {
		check(t, s.DefineShape(ctx, small(1)))
		var wait sync.WaitGroup
		for g := range 4 {
			// Each goroutine applies two streams together, in another order.
			a := &sender{tb: t, s: s, shape: small(1), stream: lienthong.Stream{Node: fmt.Sprintf("a%d", g), Dataset: people}}
			b := &sender{tb: t, s: s, shape: small(1), stream: lienthong.Stream{Node: fmt.Sprintf("b%d", 4-g), Dataset: people}}
			wait.Go(func() {
				for i := range 25 {
					x := a.item(lienthong.ChangesBatch, row(strconv.Itoa(i), 1, null, null))
					y := b.item(lienthong.ChangesBatch, row(strconv.Itoa(i), 1, null, null))
					if g%2 == 1 {
						x, y = y, x
					}
					if _, err := s.Apply(ctx, []Item{x, y}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
		states, err := s.StreamStates(ctx)
		check(t, err)
		equal(t, len(states), 8)
		for _, st := range states {
			equal(t, []int64{int64(st.Sequence), st.Live}, []int64{25, 25})
		}
		entries, err := s.AuditOutbox(ctx, 0, 1000)
		check(t, err)
		equal(t, len(entries), 200)
		equal(t, entries[199].No, int64(200))
	})
}

func TestSetRulesAgreeWithTheReference(t *testing.T) {
	ctx := context.Background()
	shape := func(name string) *lienthong.Shape {
		shape := &lienthong.Shape{Dataset: lienthong.DatasetID{Database: "d", Name: name}, Version: 1, Identity: []int{0}}
		for i, kind := range []lienthong.Kind{lienthong.Text, lienthong.Text, lienthong.Integer, lienthong.Decimal, lienthong.Real, lienthong.Date} {
			shape.Fields = append(shape.Fields, lienthong.Field{Name: fmt.Sprintf("F %d", i), Kind: kind})
		}
		return shape
	}
	other := lienthong.DatasetID{Database: "d", Name: "other"}
	rules := []dictionary.SetRule{
		{Unique: []string{"F 1"}},
		{Unique: []string{"F 3", "F 2"}},
		{Unique: []string{"F 4", "F 5", "F 1"}},
	}
	for i := range 6 {
		f := fmt.Sprintf("F %d", i)
		rules = append(rules, dictionary.SetRule{Field: f, Reference: &dictionary.Reference{Dataset: other, To: f}},
			dictionary.SetRule{Match: &dictionary.Match{Dataset: other, Key: "F 1", To: "F 1", Fields: map[string]string{f: f, "F 2": "F 2"}}})
	}
	onBoth(t, func(t *testing.T, s *Store) {
		random := rand.New(rand.NewPCG(1, 2))
		tables := make([]quality.Table, 2)
		for n, name := range []string{"own", "other"} {
			p := newSender(t, s, shape(name), "n")
			tables[n].Shape = p.shape
			var changes []lienthong.Change
			for i := range 80 {
				pick := func(values ...lienthong.Value) lienthong.Value {
					return values[random.IntN(len(values))]
				}
				id := strconv.Itoa(i)
				c := upsert(id, 1, text(id), pick(null, text(""), text("a"), text("b"), text("A"), text("ă")),
					pick(null, number(1), number(2)), pick(null, text("1.0"), text("1.00"), text("1"), text("10"), text("NaN")),
					pick(null, realValue(0), number(-1<<63), realValue(1.5), number(0x7ff8000000000000)), pick(null, number(1), number(20000)))
				changes = append(changes, c)
				switch i % 10 {
				case 7:
					changes = append(changes, hold(id, 2))
				case 8:
					changes = append(changes, remove(id, 2))
				default:
					tables[n].Rows = append(tables[n].Rows, quality.TableRow{Record: id, Values: c.Values})
				}
			}
			p.apply(lienthong.ChangesBatch, changes...)
		}
		failed := int64(0)
		for i, rule := range rules {
			rule.Code = fmt.Sprintf("rule %d", i)
			want, err := quality.EvaluateSet(rule, tables[0], tables[1])
			check(t, err)
			got, err := s.RunSetRule(ctx, tables[0].Shape.Dataset, rule, 1000)
			check(t, err)
			records := make(map[string]bool)
			for _, finding := range got.Findings {
				records[finding.RecordID] = true
				equal(t, finding.Stream.Node, "n")
			}
			expected := make(map[string]bool)
			for _, id := range want.Records {
				expected[id] = true
			}
			equal(t, []int64{got.Checked, got.Failed, int64(len(got.Findings))}, []int64{want.Checked, want.Failed, want.Failed})
			equal(t, records, expected)
			failed += got.Failed
			few, err := s.RunSetRule(ctx, tables[0].Shape.Dataset, rule, 1)
			check(t, err)
			if few.Failed != got.Failed || len(few.Findings) > 1 {
				t.Fatalf("limit 1: %d of %d findings", len(few.Findings), few.Failed)
			}
		}
		if failed == 0 {
			t.Fatal("no rule failed: the test shows nothing")
		}
		_, err := s.RunSetRule(ctx, tables[0].Shape.Dataset, dictionary.SetRule{Unique: []string{"none"}}, 1)
		wantCode(t, err, "quality.field")
		_, err = s.RunSetRule(ctx, people, rules[0], 1)
		wantCode(t, err, "shape.unknown")
	})
}

func TestRegistry(t *testing.T) {
	ctx := context.Background()
	var _ trust.Registry = (*Store)(nil)
	onBoth(t, func(t *testing.T, s *Store) {
		node := trust.NodeRecord{Node: trust.NodeID{Bloc: lienthong.Government, Member: "G01", Node: "g01-a"}, Key: []byte(`{"kty":"EC"}`), KeyID: "k1", Certificate: "pem", EnrolledAt: clock.Truncate(time.Microsecond), Role: trust.RoleNode}
		token := trust.TokenRecord{Hash: "h", Node: node.Node, ExpiresAt: clock.Add(time.Hour)}
		check(t, s.SaveToken(ctx, token))
		got, found, err := s.FindToken(ctx, "h")
		check(t, err)
		equal(t, found, true)
		token.Role = trust.RoleNode // what an invitation without a role is for
		equal(t, got, token)
		redeem := func(hash, key string) bool {
			n := node
			n.KeyID = key
			ok, err := s.Redeem(ctx, hash, n)
			check(t, err)
			return ok
		}
		equal(t, []bool{redeem("none", "k1"), redeem("h", "k1"), redeem("h", "k2"), redeem("h", "k1")}, []bool{false, true, false, true})
		check(t, s.Renewed(ctx, node.Node, "pem2"))
		if s.Renewed(ctx, trust.NodeID{Node: "nobody"}, "pem") == nil {
			t.Fatal("a node that is not enrolled was renewed")
		}
		node.Certificate, node.RetiredAt = "pem2", clock
		check(t, s.RetireNode(ctx, "g01-a", clock))
		nodes, err := s.Nodes(ctx)
		check(t, err)
		equal(t, nodes, []trust.NodeRecord{node})

		check(t, s.SaveSignInToken(ctx, "t1", "admin", clock.Add(time.Minute)))
		check(t, s.SaveSignInToken(ctx, "t2", "admin", clock))
		for _, try := range []struct {
			token string
			want  bool
		}{{"t2", false}, {"t1", true}, {"t1", false}} {
			subject, ok, err := s.RedeemSignInToken(ctx, try.token, "s"+try.token, clock.Add(time.Hour))
			check(t, err)
			equal(t, ok, try.want)
			equal(t, subject == "admin", try.want)
		}
		subject, ok, err := s.Session(ctx, "st1")
		check(t, err)
		equal(t, subject+strconv.FormatBool(ok), "admintrue")
		check(t, s.EndSession(ctx, "st1"))
		_, ok, err = s.Session(ctx, "st1")
		check(t, err)
		equal(t, ok, false)
		check(t, s.SetSetting(ctx, "k", "v1"))
		check(t, s.SetSetting(ctx, "k", "v2"))
		value, ok, err := s.Setting(ctx, "k")
		check(t, err)
		equal(t, value+strconv.FormatBool(ok), "v2true")

		stream := lienthong.Stream{Node: "n", Dataset: people}
		old := lienthong.Reconciliation{Stream: stream, Checkpoint: "c1", Result: lienthong.Differs, Differing: []int{3}, At: 1}
		latest := lienthong.Reconciliation{Stream: stream, Checkpoint: "c2", Result: lienthong.Matches, SourceRows: 5, LandedRows: 5, At: 2}
		check(t, s.SaveReconciliation(ctx, latest))
		check(t, s.SaveReconciliation(ctx, old))
		check(t, s.SaveReconciliation(ctx, old))
		results, err := s.Reconciliations(ctx)
		check(t, err)
		equal(t, results, []lienthong.Reconciliation{latest})
		compared, matched, err := s.ReconciliationCount(ctx, stream)
		check(t, err)
		equal(t, []int64{compared, matched}, []int64{2, 1})
		check(t, s.SaveReport(ctx, stream, 2, []byte(`{"a":2}`)))
		check(t, s.SaveReport(ctx, stream, 1, []byte(`{"a":1}`)))
		reports, err := s.Reports(ctx)
		check(t, err)
		equal(t, reports, []Report{{Stream: stream, At: 2, Body: []byte(`{"a":2}`)}})
	})
}

func TestOpenAgain(t *testing.T) {
	ctx := context.Background()
	dir, dsn := t.TempDir(), server.Database(t)
	for _, reopen := range []func() (*Store, error){
		func() (*Store, error) { return OpenSQLite(ctx, dir, config()) },
		func() (*Store, error) { return OpenPostgres(ctx, dsn, config()) },
	} {
		s, err := reopen()
		check(t, err)
		p := newSender(t, s, small(1), "n")
		p.apply(lienthong.SnapshotBatch, row("1", 1, null, null))
		check(t, s.Close())
		check(t, s.Close())
		_, err = s.Apply(ctx, []Item{p.item(lienthong.ChangesBatch)})
		wantCode(t, err, "store.closed")
		p.sequence, p.digest = 1, "n1"
		if p.s, err = reopen(); err != nil {
			t.Fatal(err)
		}
		p.apply(lienthong.ChangesBatch, row("2", 1, null, null))
		equal(t, len(p.records()), 2)
		exec(t, p.s, "INSERT INTO schema_migrations (version, applied_at) VALUES (99, 0)")
		check(t, p.s.Close())
		_, err = reopen()
		wantCode(t, err, "store.newer")
	}
	_, err := OpenPostgres(ctx, "postgres://user:secret@:bad/", config())
	wantCode(t, err, "store.dsn")
	if strings.Contains(err.Error(), "secret") {
		t.Fatal("the error shows the password")
	}
}

// TestServerDies kills PostgreSQL without a checkpoint while batches land. What was
// acknowledged is there; what was not is there whole or not at all.
func TestServerDies(t *testing.T) {
	ctx := context.Background()
	dying, err := pgtest.Start(t.TempDir())
	check(t, err)
	defer dying.Close()
	s, err := OpenPostgres(ctx, dying.DSN("postgres"), config())
	check(t, err)
	defer func() { check(t, s.Close()) }()
	p := newSender(t, s, small(1), "n")
	const width = 500
	acknowledged := make(chan uint64, 10_000)
	var failed error
	var wait sync.WaitGroup
	wait.Go(func() {
		defer close(acknowledged)
		for failed == nil {
			var rows []lienthong.Change
			for i := range width {
				rows = append(rows, row(fmt.Sprintf("%d/%d", p.sequence+1, i), 1, null, null))
			}
			item := p.item(lienthong.SnapshotBatch, rows...)
			if _, failed = s.Apply(ctx, []Item{item}); failed == nil {
				acknowledged <- p.sequence
			}
		}
	})
	for range 20 {
		<-acknowledged
	}
	dying.Kill()
	last := uint64(20)
	for sequence := range acknowledged {
		last = sequence
	}
	wait.Wait()
	if code := lienthong.ErrorCode(failed); code != "internal" {
		t.Fatalf("code %s: %v", code, failed)
	}
	check(t, dying.Restart())
	deadline := time.Now().Add(20 * time.Second)
	for s.Ping(ctx) != nil && time.Now().Before(deadline) {
		continue
	}
	st := p.state()
	if st.Sequence != last && st.Sequence != last+1 {
		t.Fatalf("acknowledged %d, the ledger has %d", last, st.Sequence)
	}
	equal(t, s.count(t, p.stream), []int64{int64(st.Sequence) * width, 0, 0})
	equal(t, st.Live, int64(st.Sequence)*width)
	// The same store goes on.
	p.sequence, p.digest = st.Sequence, st.Digest
	p.apply(lienthong.ChangesBatch, row("after", 1, null, null))
}

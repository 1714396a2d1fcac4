package store

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// BenchmarkHubRules measures what the hub does over whole datasets: the three kinds of rules
// over many records, and a full check. CPU is that of this process and of PostgreSQL.
//
//	LIENTHONG_BENCH_ROWS=200000 go test ./internal/store -run xxx -bench HubRules -benchtime 1x
func BenchmarkHubRules(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { hubRules(b, openLite(b), 0, hubRows()) })
	b.Run("postgres", func(b *testing.B) { hubRules(b, openPG(b, server.Database(b)), server.PID(), hubRows()) })
}

func hubRows() int {
	if rows, err := strconv.Atoi(os.Getenv("LIENTHONG_BENCH_ROWS")); err == nil {
		return rows
	}
	return 20_000
}

func hubShape(name string) *lienthong.Shape {
	shape := recheckShape()
	shape.Dataset.Name = name
	return shape
}

func hubRules(b *testing.B, s *Store, postmaster, rows int) {
	measured := func(b *testing.B, run func()) {
		own, others := cpu(b, postmaster)
		for b.Loop() {
			run()
		}
		own2, others2 := cpu(b, postmaster)
		b.ReportMetric(float64((own2-own+others2-others).Nanoseconds())/1000/float64(b.N)/float64(rows), "cpu-us/row")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1000/float64(b.N)/float64(rows), "us/row")
	}
	load(b, s, hubShape("person"), rows)
	load(b, s, hubShape("register"), rows)
	ctx := context.Background()
	person := hubShape("person").Dataset
	register := hubShape("register").Dataset
	for _, rule := range []dictionary.SetRule{
		{Code: "unique", Unique: []string{"number"}},
		{Code: "unique three", Unique: []string{"name", "birth", "sex"}},
		{Code: "reference", Field: "number", Reference: &dictionary.Reference{Dataset: register, To: "number"}},
		{Code: "match", Field: "birth", Match: &dictionary.Match{Dataset: register, Key: "number", To: "number", Fields: map[string]string{"birth": "birth", "name": "name"}}},
	} {
		b.Run(rule.Code, func(b *testing.B) {
			var result SetResult
			measured(b, func() {
				var err error
				if result, err = s.RunSetRule(ctx, person, rule, 50); err != nil {
					b.Fatal(err)
				}
			})
			b.ReportMetric(float64(result.Failed), "failed")
		})
	}
	rules, say := recheckRules()
	for _, only := range []string{"", " by SQL alone"} {
		if only != "" { // of rules that both engines can say
			rules = slices.DeleteFunc(rules, func(rule dictionary.Rule) bool { return say[rule.Code] != "sp" })
		}
		recheckBoth(b, s, person, rules, only, measured)
	}
}

func recheckBoth(b *testing.B, s *Store, person lienthong.DatasetID, rules []dictionary.Rule, which string, measured func(*testing.B, func())) {
	ctx := context.Background()
	for name, config := range map[string]RecheckConfig{
		"recheck": {Lists: recheckLists(), By: RecheckSQL}, "recheck rows": {Lists: recheckLists(), By: RecheckRows},
	} {
		b.Run(name+which, func(b *testing.B) {
			var found Recheck
			measured(b, func() {
				var err error
				if found, err = s.Recheck(ctx, person, rules, config); err != nil {
					b.Fatal(err)
				}
			})
			bySQL := 0
			for _, rule := range found.Rules {
				if rule.BySQL {
					bySQL++
				}
			}
			b.ReportMetric(float64(bySQL), "by-sql")
			b.ReportMetric(float64(len(found.Rules)), "rules")
		})
	}
}

// load lands rows of which one in fifty has a number twice, is unknown, or differs.
func load(b *testing.B, s *Store, shape *lienthong.Shape, rows int) {
	b.Helper()
	p := newSender(b, s, shape, "n")
	born := time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC).Unix() / 86400
	const size = 5000
	changes := make([]lienthong.Change, 0, size)
	for i := range rows {
		n := i
		if shape.Dataset.Name == "person" && i%50 == 0 {
			n = i + 1 // the number of the next person, and nearly all else
		}
		day := born + int64(n%15000)
		row := make([]lienthong.Value, len(shape.Fields))
		row[0] = text(fmt.Sprintf("P%08d", i))
		row[1] = text(fmt.Sprintf("0010%02d%06d", n%100, n%1_000_000))
		row[2] = text(fmt.Sprintf("Nguyễn Văn %05d", n%20_011))
		row[3], row[4] = text("MF"[n%2:][:1]), text("00004")
		row[5], row[6] = number(int64(1+n%9)), number(int64(1+n%4))
		row[7], row[8] = text("12.50"), text("300.00")
		row[9], row[10] = realValue(0.5), realValue(0.25)
		row[11], row[12], row[13] = number(1), number(day), null
		row[14], row[15] = number(clock.UnixMicro()-int64(n)), number(clock.UnixMicro()-int64(2*n))
		row[16] = text("x")
		changes = append(changes, upsert(fmt.Sprintf("P%08d", i), 1, row...))
		if len(changes) == size || i == rows-1 {
			p.apply(lienthong.SnapshotBatch, changes...)
			changes = changes[:0]
		}
	}
}

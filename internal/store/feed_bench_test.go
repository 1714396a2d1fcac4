package store

import (
	"context"
	"testing"
)

// BenchmarkFeedLanding measures what a feed adds to landing: none, logged, and logged
// with a field that row filters watch. Compare within one run.
func BenchmarkFeedLanding(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, feed := range []string{"none", "logged", "watched"} {
			b.Run(engine+"/"+feed, func(b *testing.B) {
				for b.Loop() {
					s, postmaster := (*Store)(nil), 0
					if engine == "sqlite" {
						s = openLite(b)
					} else {
						s, postmaster = openPG(b, server.Database(b)), server.PID()
					}
					switch feed {
					case "logged":
						check(b, s.OpenFeed(context.Background(), citizens().Dataset, nil))
					case "watched":
						check(b, s.OpenFeed(context.Background(), citizens().Dataset, []string{"commune"}))
					}
					landing(b, s, postmaster, 100_000, 5000)
				}
			})
		}
	}
}

package api

import (
	"sync"
	"time"
)

// maxBuckets bounds the memory of a limiter. Beyond it those that are full are
// forgotten, and if none is, newcomers are refused.
const maxBuckets = 10_000

// limiter lets each name do something so many times a minute.
type limiter struct {
	perMinute float64
	mu        sync.Mutex
	buckets   map[string]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newLimiter(perMinute int) *limiter {
	return &limiter{perMinute: float64(perMinute), buckets: map[string]bucket{}}
}

func (l *limiter) now(name string, now time.Time) float64 {
	b, known := l.buckets[name]
	if !known {
		return l.perMinute
	}
	return min(l.perMinute, b.tokens+max(now.Sub(b.at).Minutes(), 0)*l.perMinute)
}

// allow takes one from the name's bucket, if there is one.
func (l *limiter) allow(name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	tokens := l.now(name, now)
	if _, known := l.buckets[name]; !known && len(l.buckets) >= maxBuckets {
		for other := range l.buckets {
			if l.now(other, now) >= l.perMinute {
				delete(l.buckets, other)
			}
		}
		if len(l.buckets) >= maxBuckets {
			return false
		}
	}
	if tokens < 1 {
		return false
	}
	l.buckets[name] = bucket{tokens - 1, now}
	return true
}

// empty reports whether the name has none left.
func (l *limiter) empty(name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now(name, now) < 1
}

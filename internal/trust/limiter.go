package trust

import (
	"sync"
	"time"
)

// maxAddresses bounds the memory of a limiter. Beyond it the addresses that have
// been quiet are forgotten, and if all are busy, new ones are refused.
const maxAddresses = 10_000

// limiter allows each address so many requests a minute, with bursts up to the
// same number.
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
	return &limiter{perMinute: float64(perMinute), buckets: make(map[string]bucket)}
}

func (l *limiter) allow(address string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	current, known := l.buckets[address]
	switch {
	case known:
		current.tokens = l.filled(current, now)
	case len(l.buckets) >= maxAddresses && !l.forget(now):
		return false
	default:
		current.tokens = l.perMinute
	}
	current.at = now
	allowed := current.tokens >= 1
	if allowed {
		current.tokens--
	}
	l.buckets[address] = current
	return allowed
}

func (l *limiter) filled(b bucket, now time.Time) float64 {
	return min(l.perMinute, b.tokens+max(now.Sub(b.at).Minutes(), 0)*l.perMinute)
}

// forget drops every address that would be allowed a full burst anyway.
func (l *limiter) forget(now time.Time) bool {
	for address, b := range l.buckets {
		if l.filled(b, now) >= l.perMinute {
			delete(l.buckets, address)
		}
	}
	return len(l.buckets) < maxAddresses
}

package push

import (
	"sync"
	"time"
)

// limiters count requests by client, and failures by address.
type limiters struct {
	failuresPerMinute float64

	mu       sync.Mutex
	clients  map[string]bucket
	failures map[string]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// maxAddresses bounds the memory for failures. Beyond it, addresses that were quiet are forgotten;
// if all are busy, new ones wait.
const maxAddresses = 10_000

func newLimiters(failuresPerMinute int) *limiters {
	return &limiters{
		failuresPerMinute: float64(failuresPerMinute),
		clients:           map[string]bucket{}, failures: map[string]bucket{},
	}
}

// take takes one token from a bucket that fills with the given rate and holds one second's worth
// of it, or burst.
func take(buckets map[string]bucket, name string, perSecond, burst float64, now time.Time) bool {
	b, known := buckets[name]
	if !known {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+max(now.Sub(b.at).Seconds(), 0)*perSecond)
	}
	b.at = now
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	buckets[name] = b
	return allowed
}

// request reports whether a client may make another request.
func (l *limiters) request(client string, perSecond int, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return take(l.clients, client, float64(perSecond), float64(perSecond), now)
}

// blocked reports whether an address has failed too often of late.
func (l *limiters) blocked(address string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.failures[address]
	if !known {
		return len(l.failures) >= maxAddresses && !l.forget(now)
	}
	return b.tokens+max(now.Sub(b.at).Minutes(), 0)*l.failuresPerMinute < 1
}

// failed counts a wrong key.
func (l *limiters) failed(address string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	take(l.failures, address, l.failuresPerMinute/60, l.failuresPerMinute, now)
}

// forget drops every address whose failures lie back far enough to count no more.
func (l *limiters) forget(now time.Time) bool {
	for address, b := range l.failures {
		if b.tokens+max(now.Sub(b.at).Minutes(), 0)*l.failuresPerMinute >= l.failuresPerMinute {
			delete(l.failures, address)
		}
	}
	return len(l.failures) < maxAddresses
}

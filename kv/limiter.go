package kv

import "sync"

// limiter bounds the requests that wait inside a store, in number and in bytes:
// without it, a cluster that has lost its majority would collect every client's
// commands in memory. Whoever does not fit is turned away at once.
type limiter struct {
	maxRequests, maxBytes int

	mu              sync.Mutex
	requests, bytes int
}

// enter reports whether there was room for a request of so many bytes. If so,
// leave must follow. A request larger than the whole bound gets in when it is
// alone, so that the bound can never shut out a legal request for good.
func (l *limiter) enter(bytes int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.requests >= l.maxRequests || (l.requests > 0 && l.bytes+bytes > l.maxBytes) {
		return false
	}
	l.requests++
	l.bytes += bytes
	return true
}

func (l *limiter) leave(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests--
	l.bytes -= bytes
}

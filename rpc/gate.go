package rpc

import "sync"

// gate bounds the forwarded commands that are under way on one connection, in
// number and in bytes. Both sides have one. The server's keeps it from reading
// more than it can hold, because net/rpc starts a goroutine for each request that
// was read. The client's keeps its own commands within the same bounds, so that
// a server never has to leave a healthy peer's bytes unread.
type gate struct {
	maxRequests, maxBytes int

	mu              sync.Mutex
	requests, bytes int
	// left is signalled whenever a request has left.
	left chan struct{}
}

func newGate(maxRequests, maxBytes int) *gate {
	return &gate{maxRequests: maxRequests, maxBytes: maxBytes, left: make(chan struct{}, 1)}
}

// wait returns true as soon as one more request may be read, and false if the
// connection breaks first. One goroutine calls it, the connection's reader.
func (g *gate) wait(broken <-chan struct{}) bool {
	for g.full() {
		select {
		case <-g.left:
		case <-broken:
			return false
		}
	}
	return true
}

func (g *gate) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests >= g.maxRequests || g.bytes >= g.maxBytes
}

// tryEnter counts a request, unless the gate is full.
func (g *gate) tryEnter(bytes int) bool {
	if g.full() {
		return false
	}
	g.enter(bytes)
	return true
}

// enter counts a request, whether or not the gate is full. The last one
// may go over the bound in bytes, by its own length.
func (g *gate) enter(bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests++
	g.bytes += bytes
}

// leave is called once for each request that entered, unless the connection is
// closed.
func (g *gate) leave(bytes int) {
	g.mu.Lock()
	g.requests--
	g.bytes -= bytes
	g.mu.Unlock()
	signal(g.left)
}

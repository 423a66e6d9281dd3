package gossip

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// memoryNetwork connects servers inside one process, so that tests run in a
// synctest bubble, where hours pass in milliseconds. Links can be cut.
type memoryNetwork struct {
	mu        sync.Mutex
	endpoints map[string]*endpoint // by address
	cut       func(a, b string) bool
	// Of all packets, the fraction loss is lost. If there is any, a tenth of the
	// others comes twice, and a fifth is overtaken by what is sent after it. Of
	// all streams, the fraction loss cannot be opened.
	loss float64
	rng  *rand.Rand
}

func newMemoryNetwork() *memoryNetwork {
	return &memoryNetwork{
		endpoints: make(map[string]*endpoint), cut: func(a, b string) bool { return false },
		rng: rand.New(rand.NewPCG(1, 2)),
	}
}

// disturb makes the network lossy, or good again.
func (n *memoryNetwork) disturb(loss float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = loss
}

// chance reports whether something happens that does so with a probability of p
// while the network is disturbed, and otherwise never.
func (n *memoryNetwork) chance(p float64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.loss > 0 && n.rng.Float64() < p
}

func (n *memoryNetwork) loses() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rng.Float64() < n.loss
}

// setCut replaces the rule that says between which addresses nothing passes.
func (n *memoryNetwork) setCut(cut func(a, b string) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
}

// split cuts every link between the given addresses and all others.
func (n *memoryNetwork) split(side ...string) {
	n.setCut(func(a, b string) bool { return slices.Contains(side, a) != slices.Contains(side, b) })
}

func (n *memoryNetwork) heal() { n.setCut(func(a, b string) bool { return false }) }

// listen opens an endpoint at an address like "10.0.0.1:7000".
func (n *memoryNetwork) listen(addr string) *endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := &endpoint{
		network: n, addr: netip.MustParseAddrPort(addr),
		packets: make(chan *memberlist.Packet, 256), streams: make(chan net.Conn, 64),
	}
	n.endpoints[addr] = e
	return e
}

// route returns the endpoint at an address, and whether the link to it is cut.
func (n *memoryNetwork) route(from, to string) (e *endpoint, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.endpoints[to], n.cut(from, to)
}

// endpoint is one server's connection to a memoryNetwork. It drops what its
// reader does not take in time, as a real network does.
type endpoint struct {
	network *memoryNetwork
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	// overtaken is a packet that waits for the next one.
	overtaken atomic.Pointer[memberlist.Packet]
}

func (e *endpoint) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return e.addr.Addr().AsSlice(), int(e.addr.Port()), nil
}

func (e *endpoint) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	to, cut := e.network.route(e.addr.String(), addr)
	if to == nil || cut {
		return now, nil
	}
	if e.network.loses() {
		return now, nil
	}
	p := &memberlist.Packet{Buf: slices.Clone(b), From: net.UDPAddrFromAddrPort(e.addr), Timestamp: now}
	if e.network.chance(0.2) {
		to.deliver(to.overtaken.Swap(p)) // p waits
		return now, nil
	}
	to.deliver(p)
	if e.network.chance(0.1) {
		to.deliver(p)
	}
	to.deliver(to.overtaken.Swap(nil))
	return now, nil
}

func (e *endpoint) deliver(p *memberlist.Packet) {
	if p == nil {
		return
	}
	// memberlist writes into what it is given.
	p = &memberlist.Packet{Buf: slices.Clone(p.Buf), From: p.From, Timestamp: p.Timestamp}
	select {
	case e.packets <- p:
	default:
	}
}

func (e *endpoint) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to, cut := e.network.route(e.addr.String(), addr)
	if cut {
		<-time.After(timeout)
		return nil, fmt.Errorf("dial %s: timeout", addr)
	}
	if to == nil || e.network.loses() {
		return nil, fmt.Errorf("dial %s: connection refused", addr)
	}
	near, far := net.Pipe()
	select {
	case to.streams <- far:
		return near, nil
	default:
		return nil, fmt.Errorf("dial %s: too many connections wait", addr)
	}
}

func (e *endpoint) PacketCh() <-chan *memberlist.Packet { return e.packets }

func (e *endpoint) StreamCh() <-chan net.Conn { return e.streams }

func (e *endpoint) Shutdown() error {
	e.network.mu.Lock()
	defer e.network.mu.Unlock()
	if e.network.endpoints[e.addr.String()] == e {
		delete(e.network.endpoints, e.addr.String())
	}
	return nil
}

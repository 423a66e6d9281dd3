package rpc

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"balsa/raft"
	"balsa/raft/node"
)

// The ways in which sending can fail. A refused handshake is a [*Refusal].
var (
	// ErrClosed means that this transport has been closed.
	ErrClosed = errors.New("rpc: transport is closed")
	// ErrUnreachable means that there is no connection to the peer. Nothing was
	// sent. It wraps the reason.
	ErrUnreachable = errors.New("rpc: peer is unreachable")
	// ErrBusy means that as many commands as allowed are under way to the peer.
	// Nothing was sent; trying again later is safe.
	ErrBusy = errors.New("rpc: too many commands are under way to this peer; try again later")
	// ErrTooLarge means that something exceeds a hard limit of the protocol.
	ErrTooLarge = errors.New("rpc: too large to send")
	// ErrReplyTooLarge means that a command was executed by the peer, and its
	// reply exceeds [MaxCommand].
	ErrReplyTooLarge = errors.New("rpc: the command was executed, but its reply is too large to send")
	// ErrConnectionLost means that the connection broke before the reply came.
	// It wraps the reason, which is a [*Refusal] if one of the two nodes no
	// longer talks to the other.
	ErrConnectionLost = errors.New("rpc: connection lost")
	// ErrReceiver means that the receiver of a snapshot had an error of its own,
	// such as a full disk. Its text follows.
	ErrReceiver = errors.New("rpc: the receiver of the snapshot has failed")

	errClosedByPeer = errors.New("closed by the peer")
	errReplaced     = errors.New("the peer made a newer connection")
	errStalled      = errors.New("the peer did not acknowledge in time")
)

// Transport connects a node with its peers. All methods are safe for concurrent
// use.
type Transport struct {
	config      Config
	limits      Limits
	log         *slog.Logger
	arrivals    arrivals
	established connections
	links       links
	refused     complaints
	received    receivedCounters
	// receiving is held, by putting something into it, by whoever calls the
	// handler as the receiver of a snapshot.
	receiving chan struct{}

	// ctx ends at Close, with ErrClosed as its cause. Every connection is bound
	// to it.
	ctx     context.Context
	end     context.CancelCauseFunc
	running sync.WaitGroup

	mu     sync.RWMutex
	closed bool
	peers  map[raft.NodeID]*peer
}

var _ node.Transport = (*Transport)(nil)

// New starts a transport: it accepts connections from now on, and dials when
// there is something to send.
func New(config Config) (*Transport, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	t := &Transport{
		config: config,
		limits: config.Limits,
		log:    config.Logger,
		peers:  make(map[raft.NodeID]*peer),

		receiving: make(chan struct{}, 1),
	}
	t.ctx, t.end = context.WithCancelCause(context.Background())
	t.running.Go(t.accept)
	return t, nil
}

// Close closes the listener and all connections, and returns when every
// goroutine of the transport has ended. Messages that still wait are dropped;
// the contexts of commands that are being executed end. It must not be called
// from a [Handler] or another hook. Later calls do nothing.
func (t *Transport) Close() error {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	var err error
	if first {
		t.end(ErrClosed)
		err = t.config.Listener.Close()
	}
	t.running.Wait()
	return err
}

// identity returns who this node is at the moment.
func (t *Transport) identity() Identity {
	return Identity{Cluster: t.config.Cluster(), Node: t.config.Node, Instance: t.config.Instance}
}

// begin makes Close wait until running.Done is called. It returns false if the
// transport is closed already.
func (t *Transport) begin() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.closed {
		t.running.Add(1)
	}
	return !t.closed
}

// untilClosed returns a context that ends with ctx or, with ErrClosed as its
// cause, when the transport is closed.
func (t *Transport) untilClosed(ctx context.Context) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(t.ctx, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// start runs a function that Close waits for. It returns false if the transport
// is closed already.
func (t *Transport) start(f func()) bool {
	if !t.begin() {
		return false
	}
	go func() {
		defer t.running.Done()
		f()
	}()
	return true
}

// peer returns what is kept about a peer, and begins to keep it if need be. It
// returns nil if the transport is closed.
func (t *Transport) peer(id raft.NodeID) *peer {
	if p := t.knownPeer(id); p != nil {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	p := t.peers[id]
	if p == nil {
		p = newPeer(t, id)
		t.peers[id] = p
		t.running.Go(func() { p.sender.run(t.ctx) })
	}
	return p
}

// knownPeer returns what is kept about a peer, or nil if nothing is.
func (t *Transport) knownPeer(id raft.NodeID) *peer {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.peers[id]
}

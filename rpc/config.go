package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"balsa/raft"
	"balsa/raft/node"
)

// Handler is what a node does with what arrives. Methods are called from many
// goroutines. A panic in one is logged and ends the connection that it came by,
// not the process.
type Handler interface {
	// Deliver takes Raft messages, all from one peer and in the order in which
	// it sent them. It must be quick: the peer's next messages wait for it. The
	// slice and what it points to belong to the handler.
	Deliver(messages []raft.Message)
	// Execute carries out a command that a peer forwards and returns its
	// encoded outcome, errors included, of at most [MaxCommand] bytes. ctx ends
	// when the caller stops waiting or its connection breaks.
	Execute(ctx context.Context, command []byte) (reply []byte)
	// Answer answers a question of a node that may belong to no cluster, with
	// at most [MaxQuestion] bytes.
	Answer(from Identity, question []byte) (answer []byte)
	// SnapshotReceiver takes what other leaders' [Transport.SendSnapshot] sends.
	// Its methods are called one at a time, whichever connection they serve, and
	// for one snapshot in the order in which its leader sent it. Their contexts
	// end when this node closes the connection, or when the sender will have
	// given up. That the sender has closed it shows only after the call.
	node.SnapshotReceiver
}

// Resolver returns the host:port of a node's rpc listener, and false if it is
// not known. It is asked at each dial, so that a node can move, and must be
// quick and safe for concurrent use.
type Resolver func(raft.NodeID) (addr string, ok bool)

// Config says how to build a [Transport]. Listener, Node, Instance, Cluster,
// Handler and Resolver are required.
type Config struct {
	// Listener accepts all connections from peers; see [Listen]. The transport
	// closes it.
	Listener net.Listener
	// Node and Instance are this node's identity.
	Node     raft.NodeID
	Instance raft.InstanceID
	// Cluster returns the ID of the cluster, or zero as long as this node
	// belongs to none. It is asked at each handshake and must be quick and safe
	// for concurrent use.
	Cluster  func() [16]byte
	Handler  Handler
	Resolver Resolver

	// Dial opens a connection to an address of the Resolver. The default dials
	// TCP; together with the Listener it is the place to add TLS.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Admit, if set, says whether to talk to a peer of this cluster, whichever
	// side dialled. Its error is the sentence that the peer is told; to choose
	// the code as well, return a [*Refusal], such as one with [WrongInstance].
	// It must be quick and safe for concurrent use. Questions are not subject
	// to it. It is asked at each handshake, and about connections that exist
	// when [Transport.Recheck] is called.
	Admit func(peer Identity) error
	// OnConnectionLost, if set, is told that a connection for Raft messages
	// that was established has broken, which suggests that the process at its
	// other end has died. It is called once, not for each failed attempt to
	// connect again, and not if a refusal ended the connection. It must be quick
	// and must not call Close.
	OnConnectionLost func(peer raft.NodeID)
	// OnRefused, if set, is told that a handshake with a peer that this node
	// dialled failed, or that this node or the peer ended an established
	// connection because of a refusal; once for each change of the reason. It
	// must be quick and must not call Close.
	OnRefused func(peer raft.NodeID, refusal *Refusal)
	// SnapshotRate bounds the data of each snapshot that this node sends, in
	// bytes per second. Zero means [DefaultSnapshotRate], a negative number no
	// limit. Since no pause between two chunks may be longer than half of
	// [Limits.SnapshotStall], rates below about 8 KiB/s are exceeded.
	SnapshotRate int64
	// Logger, if set, receives what an operator should know.
	Logger *slog.Logger
	Limits Limits
}

// Listen opens a TCP listener for [Config.Listener], with keep-alive probes
// that notice a vanished peer within about half a minute.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("rpc: cannot listen on %s: %w", addr, err)
	}
	return l, nil
}

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4}

// complete checks a configuration and fills in what may be left out.
func (c Config) complete() (Config, error) {
	switch {
	case c.Listener == nil, c.Cluster == nil, c.Handler == nil, c.Resolver == nil:
		return c, errors.New("rpc: Config needs a Listener, Cluster, Handler and Resolver")
	case c.Node == raft.None, c.Instance == raft.InstanceID{}:
		return c, errors.New("rpc: Config needs a Node and an Instance that are not zero")
	}
	if c.Dial == nil {
		dialer := &net.Dialer{KeepAliveConfig: keepAlive}
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", addr)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.SnapshotRate == 0 {
		c.SnapshotRate = DefaultSnapshotRate
	}
	var err error
	c.Limits, err = c.Limits.withDefaults()
	return c, err
}

// DefaultSnapshotRate is half of what a network of 1 Gbit/s carries, and a small
// part of what a processor can copy and checksum: a state of 1 GiB takes 16 s,
// and Raft messages find room beside it.
const DefaultSnapshotRate = 64 << 20

// Limits bound time and memory. A field that is zero has its default.
type Limits struct {
	// Handshake is how long connecting may take on the dialling side, and how
	// long a stranger may take to introduce itself on the other. 5 s.
	Handshake time.Duration
	// Stall is how long a peer may make no progress in the middle of something:
	// the rest of a frame, taking what is written to it, acknowledging messages
	// that were delivered. 5 s.
	Stall time.Duration
	// SnapshotStall is what Stall is on the connections that carry snapshots,
	// where either side may be busy with its disk. It also bounds how long the
	// sender may take to come up with the next chunk, and the receiver to have
	// it, or all of them, on disk. The same on all nodes, or nearly. 1 min.
	SnapshotStall time.Duration
	// Command is how long a forwarded command may take at most, whatever its
	// caller's context says. 30 s.
	Command time.Duration
	// BackoffMin and BackoffMax are the first and the longest pause between two
	// attempts to connect. 50 ms and 1 s.
	BackoffMin, BackoffMax time.Duration

	// QueueMessages and QueueBytes bound the messages that wait to be sent to
	// one peer. 4096 messages, 32 MiB.
	QueueMessages, QueueBytes int
	// BatchBytes is how much of the queue goes into one call. A single message
	// may be longer, up to [MaxMessage]. 4 MiB.
	BatchBytes int
	// Window is how many calls for Raft messages may wait for their
	// acknowledgement, per peer. 4.
	Window int
	// Commands is how many forwarded commands may be under way on one
	// connection, in either direction. 1024.
	Commands int

	// Connections bounds the connections that peers have made to this node. 128.
	Connections int
	// ConnectionsPerPeer bounds those that one node ID has made. 8.
	ConnectionsPerPeer int
	// Handshakes bounds the connections whose handshake is not finished. When
	// one more arrives, the oldest has to go: strangers that say nothing cannot
	// keep a peer out. 64.
	Handshakes int
}

// commandBytes is how many bytes of forwarded commands one connection may have
// under way before it is not read any more.
const commandBytes = 4 * MaxCommand

// stallOf returns how long nothing may move on a connection of a class, when
// something should.
func (l Limits) stallOf(c class) time.Duration {
	if c == classSnapshot {
		return l.SnapshotStall
	}
	return l.Stall
}

func (l Limits) withDefaults() (Limits, error) {
	var err error
	durations := func(name string, d *time.Duration, standard time.Duration) {
		if *d < 0 {
			err = fmt.Errorf("rpc: limit %s is %v, want a positive duration", name, *d)
		}
		if *d == 0 {
			*d = standard
		}
	}
	counts := func(name string, n *int, standard int) {
		if *n < 0 {
			err = fmt.Errorf("rpc: limit %s is %d, want a positive number", name, *n)
		}
		if *n == 0 {
			*n = standard
		}
	}
	durations("Handshake", &l.Handshake, 5*time.Second)
	durations("Stall", &l.Stall, 5*time.Second)
	durations("SnapshotStall", &l.SnapshotStall, time.Minute)
	durations("Command", &l.Command, 30*time.Second)
	durations("BackoffMin", &l.BackoffMin, 50*time.Millisecond)
	durations("BackoffMax", &l.BackoffMax, max(time.Second, l.BackoffMin))
	counts("QueueMessages", &l.QueueMessages, 4096)
	counts("QueueBytes", &l.QueueBytes, 32<<20)
	counts("BatchBytes", &l.BatchBytes, 4<<20)
	counts("Window", &l.Window, 4)
	counts("Commands", &l.Commands, 1024)
	counts("Connections", &l.Connections, 128)
	counts("ConnectionsPerPeer", &l.ConnectionsPerPeer, 8)
	counts("Handshakes", &l.Handshakes, 64)
	switch {
	case err != nil:
	case l.BackoffMax < l.BackoffMin:
		err = fmt.Errorf("rpc: limit BackoffMax is %v, less than BackoffMin, %v", l.BackoffMax, l.BackoffMin)
	case l.BatchBytes > MaxMessage:
		err = fmt.Errorf("rpc: limit BatchBytes is %d, at most %d are possible", l.BatchBytes, MaxMessage)
	}
	return l, err
}

// Package node runs one Raft core against a real clock, log, network and state
// machine.
//
// One goroutine, the loop, owns the core; nobody else touches it. The others
// only carry things to it and away from it:
//
//	clients, network ---> inbox ---> loop (owns the raft.Core)
//	                        ^          |  Send ----------------------> Transport
//	                        |          |  Write, SendAfterWrite -> log writer
//	                        |          |  Apply ---------------------> applier
//	                        |          |  Load ----------------------> loader
//	                        +---- written, applied, loaded -----------+
//
// The loop never waits for a disk, a network or a client. It takes everything
// that has arrived since the last turn, tells the core, and hands out what the
// core wants done; while the log writer is busy with one fsync, the next batch
// gathers by itself. That is all the batching there is: no timer delays a lone
// request.
//
// Read in this order: node.go (the calls), inbox.go, loop.go, pipeline.go (log
// writer, applier, loader), waiters.go (who waits for which entry), reads.go.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"balsa/raft"
)

// Config sets up a [Node]. ID, Log, Transport and StateMachine are required.
type Config struct {
	ID           raft.NodeID
	Log          LogStore
	Transport    Transport
	StateMachine StateMachine

	// Tick is the unit of Heartbeat and Election. Default 10 ms.
	Tick time.Duration
	// Heartbeat is the pause between a leader's heartbeats. Default 50 ms.
	Heartbeat time.Duration
	// Election is the shortest election timeout; each one is drawn at random
	// from Election to twice that. Default 300 ms. It must be at least twice
	// the heartbeat and should be well above the time of a message's round trip
	// plus a disk write (§5.6).
	Election time.Duration

	// MaxProposals and MaxReads bound the requests that wait in the node;
	// beyond them callers get ErrBusy. Default 16384 each.
	MaxProposals int
	MaxReads     int
	// MaxInboxBytes bounds the messages that have arrived and not been
	// processed; beyond it they are dropped, as a network would. Default
	// 64 MiB.
	MaxInboxBytes int
	// Limits are the core's own bounds; see raft.Config. Only the fields that
	// start with Max, and CacheBytes, are used.
	Limits raft.Config

	// Logger receives changes of role and leader at level Info, everything that
	// the core does at level Debug. Default: nothing is logged.
	Logger *slog.Logger
}

func (cfg Config) withDefaults() (Config, error) {
	if cfg.Log == nil || cfg.Transport == nil || cfg.StateMachine == nil {
		return cfg, errors.New("node: Log, Transport and StateMachine are required")
	}
	cfg.Tick = orDefault(cfg.Tick, 10*time.Millisecond)
	cfg.Heartbeat = orDefault(cfg.Heartbeat, 50*time.Millisecond)
	cfg.Election = orDefault(cfg.Election, 300*time.Millisecond)
	cfg.MaxProposals = orDefault(cfg.MaxProposals, 16384)
	cfg.MaxReads = orDefault(cfg.MaxReads, 16384)
	cfg.MaxInboxBytes = orDefault(cfg.MaxInboxBytes, 64<<20)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case cfg.Tick < time.Millisecond:
		return cfg, fmt.Errorf("node: a tick of %v is too short; use at least 1ms", cfg.Tick)
	case cfg.Heartbeat < cfg.Tick:
		return cfg, fmt.Errorf("node: a heartbeat every %v cannot be kept with ticks of %v", cfg.Heartbeat, cfg.Tick)
	case cfg.Election < 2*cfg.Heartbeat:
		return cfg, fmt.Errorf("node: an election timeout of %v is less than two heartbeats of %v: "+
			"one lost message would depose the leader; raise it or lower the heartbeat", cfg.Election, cfg.Heartbeat)
	}
	return cfg, nil
}

func orDefault[T ~int | ~int64](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}

// Node is a running member of a cluster. Its methods may be called by any
// goroutine.
type Node struct {
	cfg    Config
	inbox  *inbox
	loop   *loop
	writer *stage[writeJob]
	apply  *stage[applyJob]
	load   *stage[raft.Load]

	proposals  proposalPool
	goroutines sync.WaitGroup
	stopping   chan struct{} // closed when the node begins to stop
	stopped    chan struct{} // closed when all goroutines have ended
	stopOnce   sync.Once
	err        error // why the node stopped by itself; valid once stopping is closed
}

var _ Proposer = (*Node)(nil)

// Start reads what the log store and the state machine remember and runs the
// node. The caller must call Stop in the end.
func Start(cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg:      cfg,
		inbox:    newInbox(cfg),
		stopping: make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	core, err := n.newCore()
	if err != nil {
		return nil, err
	}
	n.writer = newStage(n.write)
	n.apply = newStage(n.applyEntries)
	n.load = newStage(n.loadEntries)
	n.loop = newLoop(n, core)

	for _, run := range []func() error{n.loop.run, n.writer.run, n.apply.run, n.load.run} {
		n.goroutines.Go(func() {
			if err := run(); err != nil {
				n.stop(err)
			}
		})
	}
	go func() {
		n.goroutines.Wait()
		close(n.stopped)
	}()
	return n, nil
}

func (n *Node) newCore() (*raft.Core, error) {
	hardState, log, err := n.cfg.Log.State()
	if err != nil {
		return nil, fmt.Errorf("node: cannot read the log: %w", err)
	}
	applied, err := n.cfg.StateMachine.Applied()
	if err != nil {
		return nil, fmt.Errorf("node: cannot read the state machine: %w", err)
	}
	cfg := n.cfg.Limits
	cfg.ID = n.cfg.ID
	cfg.ElectionTicks = int(n.cfg.Election / n.cfg.Tick)
	cfg.HeartbeatTicks = int(n.cfg.Heartbeat / n.cfg.Tick)
	cfg.Random = rand.IntN
	cfg.Trace = n.tracer()
	core, err := raft.New(cfg, raft.InitialState{HardState: hardState, Log: log, Applied: applied})
	if errors.Is(err, raft.ErrStateBeyondLog) {
		err = fmt.Errorf("%w; either one of the two is another node's or another day's: put the right ones together, "+
			"or the log has lost its end: then wipe the data directory and let the node rejoin under a new id", err)
	}
	return core, err
}

// Deliver hands over messages from the network, in order. It does not block;
// what does not fit into the inbox is dropped.
func (n *Node) Deliver(messages []raft.Message) { n.inbox.deliver(messages) }

// ConnectionLost passes on the network's hint that the connection to a peer
// broke.
func (n *Node) ConnectionLost(id raft.NodeID) { n.inbox.connectionLost(id) }

// Propose replicates a command; see [Proposer].
func (n *Node) Propose(ctx context.Context, command []byte) (any, error) {
	if len(command) > raft.MaxEntryData {
		return nil, ErrTooLarge // here, so that it spoils no batch
	}
	p := n.proposals.get(ctx, command)
	if err := n.inbox.propose(p); err != nil {
		n.proposals.put(p)
		return nil, err
	}
	select {
	case o := <-p.done:
		n.proposals.put(p)
		return o.result, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, context.Cause(ctx))
	case <-n.stopping:
	}
	// The answer may have come together with the end.
	select {
	case o := <-p.done:
		return o.result, o.err
	default:
		return nil, fmt.Errorf("%w: the node stopped", ErrOutcomeUnknown)
	}
}

// ReadIndex waits until a linearizable read may be served here; see [Proposer].
func (n *Node) ReadIndex(ctx context.Context) (raft.Index, error) {
	r := &readWaiter{ctx: ctx, done: make(chan readOutcome, 1)}
	if err := n.inbox.read(r); err != nil {
		return 0, err
	}
	select {
	case o := <-r.done:
		return o.index, o.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w (%w)", ErrNoQuorum, context.Cause(ctx))
	case <-n.stopping:
		return 0, ErrStopped
	}
}

// Status returns a copy of the core's state.
func (n *Node) Status(ctx context.Context) (raft.Status, error) {
	reply := make(chan raft.Status, 1)
	if err := n.inbox.askStatus(reply); err != nil {
		return raft.Status{}, err
	}
	select {
	case s := <-reply:
		return s, nil
	case <-ctx.Done():
		return raft.Status{}, context.Cause(ctx)
	case <-n.stopping:
		return raft.Status{}, ErrStopped
	}
}

// TickInterval is the length of a tick, for whoever reads a Status.
func (n *Node) TickInterval() time.Duration { return n.cfg.Tick }

// Done is closed when the node has begun to stop, by Stop or by itself.
func (n *Node) Done() <-chan struct{} { return n.stopping }

// Err returns why the node stopped by itself: its disk or its state machine
// failed, and nothing that it could still say would be worth anything. It
// returns nil while the node runs and after Stop.
func (n *Node) Err() error {
	select {
	case <-n.stopping:
		return n.err
	default:
		return nil
	}
}

// Stop ends the node and waits until its goroutines are gone; a write to disk
// that is under way is finished. It returns Err.
func (n *Node) Stop() error {
	n.stop(nil)
	<-n.stopped
	return n.err
}

func (n *Node) stop(err error) {
	n.stopOnce.Do(func() {
		n.err = err
		if err != nil {
			n.cfg.Logger.Error("the node stops: "+err.Error(), "remedy",
				"look at the disk before starting it again; the rest of the cluster goes on without it")
		}
		close(n.stopping)
		n.inbox.close()
		n.writer.close()
		n.apply.close()
		n.load.close()
	})
}

// LeaseRead is a placeholder.
func (n *Node) LeaseRead(ctx context.Context) (raft.Index, error) { return n.ReadIndex(ctx) }

// ChangeMembers changes who is in the cluster and returns when that is done: the
// configuration that the change leads to is committed. It is a placeholder.
func (n *Node) ChangeMembers(ctx context.Context, change raft.Change) error {
	return errors.ErrUnsupported
}

// TransferLeadership hands over leadership and returns when another node leads.
// For raft.None the voter with the longest log is chosen. It is a placeholder.
func (n *Node) TransferLeadership(ctx context.Context, to raft.NodeID) error {
	return errors.ErrUnsupported
}

// Snapshots says how far snapshots under way have come. It is a placeholder.
func (n *Node) Snapshots() []SnapshotProgress { return nil }

// OfferSnapshot is a placeholder.
func (n *Node) OfferSnapshot(context.Context, SnapshotOffer) (Position, error) {
	return Position{}, ErrSnapshotRefused
}

// SnapshotChunk is a placeholder.
func (n *Node) SnapshotChunk(context.Context, SnapshotID, Chunk) error { return ErrSnapshotRefused }

// FinishSnapshot is a placeholder.
func (n *Node) FinishSnapshot(context.Context, SnapshotID) error { return ErrSnapshotRefused }

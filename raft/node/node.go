// Package node runs one Raft core against a real clock, log, network and state
// machine.
//
// One goroutine, the loop, owns the core; nobody else touches it. The others
// only carry things to it and away from it:
//
//	clients, network ---> inbox ---> loop (owns the raft.Core)
//	                        ^          |  Send ----------------------> Transport
//	                        |          |  Write, SendAfterWrite -> log writer
//	                        |          |  Apply, Install ------------> applier
//	                        |          |  Load ----------------------> loader
//	                        |          |  SendSnapshot --> a sender per follower
//	                        +---- written, applied, loaded, ... ------+
//
//	log writer, applier --- so much is there ---> compactor --- cut it there ---> inbox
//	Transport --- a snapshot arrives -----------> receiver --- it is here -----> inbox
//
// The loop never waits for a disk, a network or a client. It takes everything
// that has arrived since the last turn, tells the core, and hands out what the
// core wants done; while the log writer is busy with one fsync, the next batch
// gathers by itself. That is all the batching there is: no timer delays a lone
// request.
//
// Read in this order.
//
// The core at work: node.go (the calls), inbox.go, loop.go, pipeline.go (log
// writer, applier, loader), view.go (what others may know at any time).
//
// Those who wait: waiters.go (for an entry), reads.go, membership.go, transfer.go.
//
// When the log is not enough: snapshot.go (the words), snapshot_send.go,
// snapshot_receive.go, compaction.go.
package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"balsa/raft"
)

// Node is a running member of a cluster. Its methods may be called by any
// goroutine.
type Node struct {
	cfg       Config
	inbox     *inbox
	loop      *loop
	writer    *stage[writeJob]
	apply     *stage[applyJob]
	load      *stage[raft.Load]
	compactor *compactor
	senders   *senders
	receiver  *receiver

	// What others may know without asking the loop: see view.go.
	view        atomic.Pointer[view]
	term        atomic.Uint64
	commitIndex atomic.Uint64
	// appliedIndex is kept by the applier.
	appliedIndex atomic.Uint64

	proposals  proposalPool
	goroutines sync.WaitGroup
	running    context.Context // ends when the node begins to stop
	endRunning context.CancelFunc
	stopping   <-chan struct{} // running's Done
	stopped    chan struct{}   // closed when all goroutines have ended
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
	n := &Node{cfg: cfg, inbox: newInbox(cfg), stopped: make(chan struct{})}
	core, err := n.newCore()
	if err != nil {
		return nil, err
	}
	n.running, n.endRunning = context.WithCancel(context.Background())
	n.stopping = n.running.Done()
	status := core.Status()
	n.appliedIndex.Store(uint64(status.LastApplied))
	n.view.Store(newView(core))
	n.writer = newStage(n.write)
	n.apply = newStage(n.applyJobs)
	n.load = newStage(n.loadEntries)
	n.compactor = newCompactor(n, status.LastIndex)
	n.senders = newSenders(n)
	n.receiver = &receiver{node: n}
	n.loop = newLoop(n, core)

	for _, run := range []func() error{n.loop.run, n.writer.run, n.apply.run, n.load.run, n.compactor.looks.run} {
		n.goroutines.Go(func() {
			if err := run(); err != nil {
				n.stop(err)
			}
		})
	}
	go func() {
		n.goroutines.Wait()
		n.receiver.close()
		close(n.stopped)
	}()
	return n, nil
}

func (n *Node) newCore() (*raft.Core, error) {
	hardState, log, err := n.cfg.Log.State()
	if err != nil {
		return nil, fmt.Errorf("node: cannot read the log: %w", err)
	}
	state, installed, err := n.cfg.StateMachine.Contents()
	if err != nil {
		return nil, fmt.Errorf("node: cannot read the state machine: %w", err)
	}
	cfg := n.cfg.Limits
	cfg.ID, cfg.Instance = n.cfg.ID, n.cfg.Instance
	cfg.ElectionTicks = int(n.cfg.Election / n.cfg.Tick)
	cfg.HeartbeatTicks = int(n.cfg.Heartbeat / n.cfg.Tick)
	cfg.LeaseTime = uint64(n.cfg.LeaseTime)
	cfg.Random = rand.IntN
	cfg.Trace = n.tracer()
	core, err := raft.New(cfg, raft.InitialState{
		HardState: hardState, Log: log, State: state, Installed: installed,
	})
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
// broke, unless Config.IgnoreConnectionLoss is set.
func (n *Node) ConnectionLost(id raft.NodeID) {
	if !n.cfg.IgnoreConnectionLoss {
		n.inbox.connectionLost(id)
	}
}

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
func (n *Node) ReadIndex(ctx context.Context) (raft.Index, error) { return n.read(ctx, byQuorum) }

// LeaseRead waits until a read may be served here that the leader's lease vouches
// for; see [Proposer].
func (n *Node) LeaseRead(ctx context.Context) (raft.Index, error) { return n.read(ctx, byLease) }

func (n *Node) read(ctx context.Context, proof proof) (raft.Index, error) {
	r := &readWaiter{ctx: ctx, proof: proof, done: make(chan readOutcome, 1)}
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

// await waits for the end of something that the loop was asked for, and that
// may go on when nobody waits any more.
func (n *Node) await(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, context.Cause(ctx))
	case <-n.stopping:
	}
	// The answer may have come together with the end.
	select {
	case err := <-done:
		return err
	default:
		return fmt.Errorf("%w: the node stopped", ErrOutcomeUnknown)
	}
}

// Status returns a copy of the core's state. For hints, [Node.Leader] and
// [Node.Configuration] are cheaper.
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
		n.endRunning()
		n.inbox.close()
		n.writer.close()
		n.apply.close()
		n.load.close()
		n.compactor.looks.close()
	})
}

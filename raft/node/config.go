package node

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"balsa/raft"
)

// Config sets up a [Node]. ID, Log, Transport and StateMachine are required.
type Config struct {
	ID raft.NodeID
	// Instance is the data directory; see raft.Config.
	Instance     raft.InstanceID
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
	// LeaseTime is for how long a leader that a majority has confirmed may answer
	// LeaseRead without asking again. It must be below Election, by at least one
	// tick; what it is below is the margin for clocks that run at different
	// speeds: see raft/lease.go. Default three quarters of Election, or less if
	// the ticks are that coarse. Negative: no leases; LeaseRead then asks a
	// majority, as ReadIndex does.
	LeaseTime time.Duration
	// IgnoreConnectionLoss makes ConnectionLost do nothing: a dead leader is then
	// noticed by its silence only. It is there to measure what the hint is worth.
	IgnoreConnectionLoss bool

	// TailEntries and TailBytes bound the part of the log that compaction leaves
	// for followers that are a little behind: as much as fits into both. Defaults
	// 50,000 entries and 64 MiB. See compaction.go.
	TailEntries int
	TailBytes   int
	// MaxLogEntries and MaxLogBytes bound what is in the log but not on the state
	// machine's disk: beyond either of them the state machine is made to flush.
	// It is also what has to be applied again after a crash. Defaults 250,000
	// entries and 256 MiB.
	MaxLogEntries int
	MaxLogBytes   int
	// MaxSnapshots bounds the snapshots that are sent at a time; other followers
	// wait for their turn. Default 2.
	MaxSnapshots int

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

	// Logger receives what an operator wants to know at level Info (changes of
	// role, leader and configuration, snapshots), everything that the core does
	// at level Debug. Default: nothing is logged.
	Logger *slog.Logger
}

func (cfg Config) withDefaults() (Config, error) {
	if cfg.Log == nil || cfg.Transport == nil || cfg.StateMachine == nil {
		return cfg, errors.New("node: Log, Transport and StateMachine are required")
	}
	cfg.Tick = orDefault(cfg.Tick, 10*time.Millisecond)
	cfg.Heartbeat = orDefault(cfg.Heartbeat, 50*time.Millisecond)
	cfg.Election = orDefault(cfg.Election, 300*time.Millisecond)
	cfg.TailEntries = orDefault(cfg.TailEntries, 50_000)
	cfg.TailBytes = orDefault(cfg.TailBytes, 64<<20)
	cfg.MaxLogEntries = orDefault(cfg.MaxLogEntries, 250_000)
	cfg.MaxLogBytes = orDefault(cfg.MaxLogBytes, 256<<20)
	cfg.MaxSnapshots = orDefault(cfg.MaxSnapshots, 2)
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
	case min(cfg.TailEntries, cfg.TailBytes, cfg.MaxLogEntries, cfg.MaxLogBytes, cfg.MaxSnapshots) < 0:
		return cfg, errors.New("node: TailEntries, TailBytes, MaxLogEntries, MaxLogBytes and MaxSnapshots must not be negative")
	}
	return cfg.withLease()
}

// withLease settles LeaseTime.
//
// A follower keeps its promise not to vote for as many ticks as an election
// timeout has, and two more (see raft/lease.go). When it promises, three of them
// may be as good as over: the one that the loop has just received, one that came
// while the loop was held up, and the one under way. So the promise may end a tick
// before an election timeout has passed.
func (cfg Config) withLease() (Config, error) {
	promise := cfg.Tick * (cfg.Election/cfg.Tick - 1)
	switch {
	case cfg.LeaseTime == 0:
		cfg.LeaseTime = min(cfg.Election*3/4, promise)
	case cfg.LeaseTime > promise:
		return cfg, fmt.Errorf("node: a lease of %v outlives the promise that it rests on: with an election timeout of %v "+
			"and ticks of %v it can be at most %v", cfg.LeaseTime, cfg.Election, cfg.Tick, promise)
	}
	cfg.LeaseTime = max(cfg.LeaseTime, 0)
	return cfg, nil
}

func orDefault[T ~int | ~int64](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}

package simulated_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"balsa/kv"
	"balsa/raft"
)

// plan is what a seed decides before a run begins.
type plan struct {
	voters, spares int
	clients, keys  int
	think          time.Duration // of a client between two requests, at most
	much           int           // bytes in a large value, at most
	// duration is how long faults happen, pause how long it takes from one to the
	// next at most, downtime how long a server is down at most.
	duration, pause, downtime time.Duration
	network                   quality
	faults                    []fault

	tail, tailBytes, maxLog, memTable int
	limits                            raft.Config
	ignoreConnectionLoss              bool
}

// pick returns one of some values.
func pick[T any](rng *rand.Rand, values ...T) T { return values[rng.IntN(len(values))] }

func newPlan(rng *rand.Rand) plan {
	p := plan{
		voters: pick(rng, 3, 3, 5), spares: 2,
		clients: 3 + rng.IntN(5), keys: 2 + rng.IntN(4),
		think: pick[time.Duration](rng, 40, 100, 200) * time.Millisecond, much: pick(rng, 6_000, 6_000, 30_000, 30_000, 60_000, 300_000),
		duration: 15 * time.Second, pause: pick[time.Duration](rng, 500, 1000, 2000) * time.Millisecond,
		downtime: pick[time.Duration](rng, 50, 500, 3000) * time.Millisecond,
		network:  randomNetwork(rng), faults: randomFaults(rng),
		tail: pick(rng, 5, 20, 100), tailBytes: pick(rng, 10_000, 1_000_000, 64<<20), maxLog: pick(rng, 10, 50, 300),
		memTable:             pick(rng, 64<<10, 256<<10, 1<<20),
		ignoreConnectionLoss: rng.IntN(4) == 0,
		limits: raft.Config{
			MaxMessageBytes:     pick(rng, 1, 1000, 100_000, 0),
			MaxWindowMessages:   pick(rng, 1, 3, 0),
			MaxWindowBytes:      pick(rng, 1000, 0),
			MaxUncommittedBytes: pick(rng, 400_000, 0),
			MaxApplyBytes:       pick(rng, 1, 1000, 0),
			CacheBytes:          pick(rng, 1, 1000, 100_000, 0),
			MaxPromotionLag:     pick(rng, 10, 100, 0),
		},
	}
	if rng.IntN(4) == 0 {
		// A long run: what holds for a minute after something has happened, such as
		// that a log is kept for who has just received a snapshot, comes to its end.
		p.duration, p.pause, p.think = 6*p.duration, 3*p.pause, 4*p.think
		p.clients = 3
	}
	return p
}

func randomNetwork(rng *rand.Rand) quality {
	q := quality{
		delay: pick[time.Duration](rng, 100, 500, 2000) * time.Microsecond, jitter: pick[time.Duration](rng, 100, 1000, 10_000) * time.Microsecond,
		ordered: rng.IntN(2) == 0, breaks: pick(rng, 0, 0.02, 0.1),
	}
	if rng.IntN(2) == 0 {
		q.loss = pick(rng, 0.01, 0.05, 0.15)
	}
	if rng.IntN(2) == 0 {
		q.duplicates = pick(rng, 0.02, 0.2)
	}
	if rng.IntN(2) == 0 {
		q.late, q.lateness = pick(rng, 0.01, 0.05), pick[time.Duration](rng, 50, 500, 3000)*time.Millisecond
	}
	return q
}

// bugs are those that are planted to see whether somebody notices.
type bugs struct {
	// disksLie: a write to the log is acknowledged before it is synced, and lost if
	// the power fails everywhere. It survives if a single server loses power: there
	// is a way to notice that, which is none of this test's business.
	disksLie bool
	// staleReads: what was to be confirmed is read without having been.
	staleReads bool
	// confused is a server whose state machine sometimes takes a command for the
	// one before it.
	confused raft.NodeID
}

// unsynced returns how much survives of what was not synced.
func (b bugs) unsynced(percent int) int {
	if b.disksLie {
		return 100
	}
	return percent
}

type read func(context.Context, []byte) (kv.Item, bool, error)

// read returns how a confirmed read is done.
func (b bugs) read(p *process, confirmed read) read {
	if !b.staleReads {
		return confirmed
	}
	return func(_ context.Context, key []byte) (kv.Item, bool, error) { return p.store.Get(key) }
}

// applied returns what a server applies when these entries are committed.
func (b bugs) applied(id raft.NodeID, entries []raft.Entry) []raft.Entry {
	if b.confused != id {
		return entries
	}
	applied := slices.Clone(entries)
	for i := 1; i < len(applied); i++ {
		e, before := applied[i], applied[i-1]
		if e.Index%5 == 0 && e.Kind == raft.EntryCommand && before.Kind == raft.EntryCommand {
			applied[i] = raft.NewEntry(e.ID(), raft.EntryCommand, before.Data)
		}
	}
	return applied
}

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"balsa/raft"
	"balsa/raft/sim"
)

// swarm leaves it to each seed what goes wrong, none is a world without faults.
const (
	swarm = "any"
	none  = "none"
)

// election is the shortest election timeout, in ticks, in all worlds whose faults
// were chosen by name. The lengths below are in proportion to it.
const election = 10

// kind is one kind of fault: it draws how often it happens.
type kind struct {
	name string
	draw func(r *rand.Rand, f *sim.Faults, core *raft.Config)
}

// all are the kinds of faults that can be chosen, so that it can be seen which one
// makes a bug visible. Each alone is a world in which messages between two servers
// keep their order, unless they are to be reordered.
var all = []kind{
	{"loss", func(r *rand.Rand, f *sim.Faults, _ *raft.Config) {
		f.Loss = pick(r, 0.01, 0.05, 0.2)
	}},
	{"reorder", func(r *rand.Rand, f *sim.Faults, _ *raft.Config) {
		f.MaxDelay = pick(r, sim.Tick, 3*sim.Tick)
		f.Late, f.LateTicks = pick(r, 0.01, 0.05, 0.2), pick(r, election/2, 2*election, 5*election, 15*election)
	}},
	{"duplicate", func(r *rand.Rand, f *sim.Faults, _ *raft.Config) {
		f.Duplicate, f.DuplicateTicks = pick(r, 0.01, 0.1, 0.3), pick(r, 1, 2*election, 6*election, 15*election)
	}},
	{"crash", func(r *rand.Rand, f *sim.Faults, _ *raft.Config) {
		f.CrashEvery, f.DownTicks = pick(r, 5*election, 15*election), pick(r, election/3, election, 4*election)
		f.CrashPoint, f.PowerLossEvery = pick(r, 0, 0.002, 0.005), pick(r, 0, 50*election)
		f.QuickRestart, f.TrueHints = pick(r, 0, 0.5), pick(r, 0, 1.0)
	}},
	{"partition", func(r *rand.Rand, f *sim.Faults, _ *raft.Config) {
		f.PartitionEvery, f.PartitionTicks = pick(r, 3*election, 8*election), pick(r, election, 3*election, 8*election)
	}},
	{"disk", func(r *rand.Rand, f *sim.Faults, _ *raft.Config) {
		f.DiskTicks, f.ApplyTicks = pick(r, 1, election/2, 2*election), pick(r, 0, 1, election/2)
		f.FlushEvery = pick(r, 0, 3, 20)
	}},
	{"snapshots", func(r *rand.Rand, f *sim.Faults, _ *raft.Config) {
		f.CompactEvery, f.Brutal = pick(r, election/4, election), pick(r, 0.3, 1)
		f.SpareSnapshotEvery = pick(r, 0, election, 5*election)
	}},
	{"members", func(r *rand.Rand, f *sim.Faults, _ *raft.Config) {
		f.ChangeEvery, f.Lies = pick(r, election/2, 2*election), pick(r, 0, 0.1, 0.5)
		f.WipeEvery = pick(r, 0, 8*election)
	}},
	{"transfer", func(r *rand.Rand, f *sim.Faults, _ *raft.Config) {
		f.TransferEvery, f.OrderTicks = pick(r, 2*election, 8*election), pick(r, 0, election, 6*election)
	}},
	{"lease", func(r *rand.Rand, f *sim.Faults, core *raft.Config) {
		core.LeaseTime = uint64(election) * uint64(sim.Tick) * 3 / 4
		f.SlowestClock, f.FastestClock = 0.9, 1.18
		f.LeaseAttackEvery, f.TrueHints = pick(r, 4*election, 12*election), 0.5
	}},
}

func kinds() []string {
	var names []string
	for _, k := range all {
		names = append(names, k.name)
	}
	return names
}

// optionsFor returns the world of a seed in which the named kinds of faults happen
// and no others.
func optionsFor(seed uint64, faults string) (sim.Options, error) {
	o := sim.Options{Seed: seed}
	if faults == swarm {
		return o, nil
	}
	r := rand.New(rand.NewPCG(seed, 0))
	o.Faults = &sim.Faults{DownTicks: election}
	o.Core = &raft.Config{
		ElectionTicks: election, HeartbeatTicks: pick(r, 1, 2, 5),
		MaxMessageBytes: pick(r, 1, 200, 0), MaxWindowMessages: pick(r, 1, 3, 0), CacheBytes: pick(r, 1, 500, 0),
	}
	if faults == none {
		return o, nil
	}
	for name := range strings.SplitSeq(faults, ",") {
		i := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
		if i < 0 {
			return o, fmt.Errorf("there is no kind of fault %q; there are %s", name, strings.Join(kinds(), ", "))
		}
		all[i].draw(r, o.Faults, o.Core)
	}
	return o, nil
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

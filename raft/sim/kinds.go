package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"balsa/raft"
)

// faultKind is a kind of fault that a run has or lacks. How often such faults
// happen and how long they last is measured in the shortest election timeout, e:
// what matters is whether an election fits in.
type faultKind struct {
	name, help string
	// oneIn says which part of the runs has it.
	oneIn int
	// onlyIfAsked says that it breaks what some promise rests on, so that no run
	// has it of its own accord.
	onlyIfAsked bool
	draw        func(r random, f *Faults, core raft.Config)
}

var faultKinds = []faultKind{
	{"drop", "messages are lost", 2, false, func(r random, f *Faults, _ raft.Config) {
		f.Loss = pick(r, 0.01, 0.05, 0.2)
	}},
	{"duplicate", "messages arrive again, perhaps much later", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.Duplicate, f.DuplicateTicks = pick(r, 0.01, 0.1, 0.3), pick(r, 1, 2*e, 6*e, 15*e)
	}},
	{"delay", "messages take up to two ticks, not a quarter of one", 2, false, func(r random, f *Faults, _ raft.Config) {
		f.MaxDelay = pick(r, Tick, 2*Tick)
	}},
	{"reorder", "some messages arrive long after those that were sent later", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.Late, f.LateTicks = pick(r, 0.01, 0.05, 0.2), pick(r, e/2, 2*e, 5*e, 15*e)
	}},
	{"links", "some links lose or delay more than others, in one direction", 2, false, func(r random, f *Faults, _ raft.Config) {
		f.LinkLoss, f.LinkDelay = pick(r, 0.1, 0.5, 1), pick(r, Tick, 5*Tick)
	}},
	{"partition", "the network falls apart: halves, bridges, chains, rings, one way only", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.PartitionEvery, f.PartitionTicks = pick(r, 3*e, 8*e, 20*e), pick(r, e, 3*e, 8*e)
	}},
	{"clog", "a link holds back everything for a while", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.ClogEvery, f.ClogTicks = pick(r, 2*e, 6*e, 15*e), pick(r, e, 4*e, 10*e)
	}},
	{"crash", "servers crash, and lose what was not synced", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.CrashEvery = pick(r, 5*e, 15*e, 40*e)
	}},
	{"crash-points", "servers crash between a write, its report, and the messages that wait for it", 2, false, func(r random, f *Faults, _ raft.Config) {
		f.CrashPoint, f.InstallCrash = pick(r, 0.0005, 0.002, 0.005), pick(r, 0, 0.05, 0.2)
	}},
	{"power", "all servers crash at once", 4, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.PowerLossEvery = pick(r, 20*e, 50*e)
	}},
	{"pause", "processes stop, and go on as if nothing had happened", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.PauseEvery, f.PauseTicks = pick(r, 5*e, 15*e), pick(r, e/2, 3*e, 8*e)
	}},
	{"leader-fall", "leaders crash, stop or are cut off right after their election", 2, false, func(r random, f *Faults, _ raft.Config) {
		f.LeaderFall = pick(r, 0.3, 0.6, 0.9)
	}},
	{"restart", "crashed servers are back within a tick", 2, false, func(r random, f *Faults, _ raft.Config) {
		f.QuickRestart = pick(r, 0.3, 0.9)
	}},
	{"disk", "writes are slow", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.DiskTicks = pick(r, 1, e/2, 2*e, 4*e)
	}},
	{"disk-errors", "writes fail, which stops the server", 2, false, func(r random, f *Faults, _ raft.Config) {
		f.WriteFails = pick(r, 0.0005, 0.005)
	}},
	{"disk-full", "disks have no room for a while, for snapshots or for the log", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.DiskFullEvery, f.DiskFullTicks = pick(r, 3*e, 10*e), pick(r, e, 4*e)
		f.WriteFailsWhenFull = pick(r, 0, 0.05, 1)
	}},
	{"forget", "disks lose the end of what was synced, damage it, or are replaced by an old copy", 3, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.ForgetEvery = pick(r, e, 4*e, 15*e)
	}},
	{"apply", "the state machine is slow, and so is reading old entries", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.ApplyTicks, f.LoadTicks = pick(r, 1, e/2, 3*e), pick(r, 1, e/2, 3*e)
	}},
	{"flush", "the state machine keeps its newest state in memory only", 2, false, func(r random, f *Faults, _ raft.Config) {
		f.FlushEvery = pick(r, 3, 20, 100)
	}},
	{"clock", "clocks run at different rates, within what leases allow if there are any", 2, false, func(_ random, f *Faults, core raft.Config) {
		if f.SlowestClock, f.FastestClock = 0.5, 2; core.LeaseTime > 0 {
			f.SlowestClock, f.FastestClock = 0.9, 1.18
		}
	}},
	{"leases", "leaders answer reads from a lease, while others try to replace them", 2, false, func(r random, f *Faults, core raft.Config) {
		if e := core.ElectionTicks; core.LeaseTime > 0 {
			f.LeaseAttackEvery = pick(r, 4*e, 12*e)
		}
	}},
	{"drift", "clocks drift by more than leases allow: reads become stale, to see the judges find it", 1, true, func(_ random, f *Faults, core raft.Config) {
		f.SlowestClock, f.FastestClock, f.LeaseAttackEvery = 0.4, 2.5, 5*core.ElectionTicks
	}},
	{"compaction", "logs are cut, so that who is behind needs a snapshot", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.CompactEvery, f.Brutal = pick(r, e/4, e, 4*e), pick(r, 0, 0.3, 1)
	}},
	{"snapshots", "snapshots come that nobody needs, and news of them comes late", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.SpareSnapshotEvery, f.ReportTicks = pick(r, e, 5*e), pick(r, 0, e, 6*e)
	}},
	{"members", "operators change who is in the cluster", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.ChangeEvery = pick(r, e/2, 2*e, 8*e)
	}},
	{"lies", "what operators believe about the servers is wrong", 4, false, func(r random, f *Faults, _ raft.Config) {
		f.Lies = pick(r, 0.1, 0.5)
	}},
	{"wipe", "servers lose their disks", 4, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.WipeEvery = pick(r, 8*e, 30*e)
	}},
	{"transfer", "operators hand over leadership, and the order can be late", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.TransferEvery, f.OrderTicks = pick(r, 2*e, 8*e), pick(r, 0, e, 6*e, 15*e)
	}},
	{"hints", "servers are told that a connection is lost, truly or not", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.TrueHints, f.FalseHintEvery = pick(r, 0.3, 1), pick(r, 0, 2*e, 10*e)
	}},
	{"inbox", "servers let their inbox fill before they look", 2, false, func(r random, f *Faults, core raft.Config) {
		e := core.ElectionTicks
		f.MaxWake = pick(r, Tick/10, Tick, ticks(e/2), ticks(2*e))
	}},
}

// KindNames are the names of all kinds of faults.
func KindNames() []string {
	var names []string
	for _, kind := range faultKinds {
		names = append(names, kind.name)
	}
	return names
}

// KindHelp says what a kind of fault is.
func KindHelp(name string) string {
	i := slices.IndexFunc(faultKinds, func(k faultKind) bool { return k.name == name })
	if i < 0 {
		return ""
	}
	return faultKinds[i].help
}

// unknownKind returns a name among the keys that no kind has, or "".
func unknownKind(kinds map[string]bool) string {
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if KindHelp(name) == "" {
			return name
		}
	}
	return ""
}

// ParseKinds reads a list of kinds of faults, for [Options]: their names, with
// commas between them. Those that are named happen and no others do. "all" are all
// but drift, "none" none of them, and a "-" before a name takes it out of the list.
// If every name has a "+" or "-" before it, the seed decides about the others.
func ParseKinds(text string) (map[string]bool, error) {
	kinds := map[string]bool{}
	words := strings.Split(text, ",")
	signed := func(word string) bool { return strings.HasPrefix(word, "+") || strings.HasPrefix(word, "-") }
	if slices.ContainsFunc(words, func(word string) bool { return !signed(strings.TrimSpace(word)) }) {
		for _, kind := range faultKinds {
			kinds[kind.name] = false
		}
	}
	for _, word := range words {
		word = strings.TrimSpace(word)
		name := strings.TrimLeft(word, "+-")
		switch {
		case word == "none":
		case word == "all":
			for _, kind := range faultKinds {
				kinds[kind.name] = !kind.onlyIfAsked
			}
		case KindHelp(name) == "":
			return nil, fmt.Errorf("there is no kind of fault %q; there are all, none, %s", name, strings.Join(KindNames(), ", "))
		default:
			kinds[name] = !strings.HasPrefix(word, "-")
		}
	}
	return kinds, nil
}

// FormatKinds is the inverse of [ParseKinds].
func FormatKinds(kinds map[string]bool) string {
	var words []string
	all := len(kinds) == len(faultKinds)
	for _, name := range KindNames() {
		on, known := kinds[name]
		switch {
		case all && on:
			words = append(words, name)
		case known && !all:
			words = append(words, map[bool]string{true: "+", false: "-"}[on]+name)
		}
	}
	if all && len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ",")
}

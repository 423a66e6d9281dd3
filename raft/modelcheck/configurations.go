package modelcheck

import (
	"slices"

	"balsa/raft"
)

// The judgement of configurations. Let a server's log hold the committed configurations
// C1 to Ck, and have D in force: Ck itself, or one that follows it in the log. Then
//
//   - D follows Ck directly: at most one configuration is uncommitted;
//   - every quorum of D shares a server with every quorum of Ck, and with every quorum
//     of Ck+1, if that was committed somewhere.
//
// Package sim says why that is what joint consensus is for.

// inForce checks the configuration that a server has in force.
func (x *step) inForce(i int) {
	log := &x.server(i).log
	d := log.inForce()
	if x.c.scope.MaxChanges == 0 || d.Index == 0 {
		return
	}
	committed := x.committedConfigurations()
	k := len(committed) - 1
	for k > 0 && !log.holds(committed[k].Index, x.history.chainAt(committed[k].Index)) {
		k--
	}
	between := 0
	for _, c := range log.configurations {
		if c.Index > committed[k].Index {
			between++
		}
	}
	if between > 1 {
		x.violated("Configuration", "%d configurations in the log of n%d are not committed, the last one is %s", between, i+1, d.Configuration)
		return
	}
	x.overlap(i, d, committed[k])
	if k+1 < len(committed) {
		x.overlap(i, d, committed[k+1])
	}
}

// committedConfigurations are those in the order in which they were committed,
// beginning with the founding one, which is in force although nobody has committed it.
func (x *step) committedConfigurations() []raft.IndexedConfiguration {
	list := []raft.IndexedConfiguration{{Index: 1, Configuration: x.c.scope.founding()}}
	for _, r := range x.history.commits {
		if r.entry.Kind == raft.EntryConfiguration && r.entry.Index > 1 {
			// A core has decoded it before.
			configuration, _ := raft.DecodeConfiguration(r.entry.Data)
			list = append(list, raft.IndexedConfiguration{Index: r.entry.Index, Configuration: configuration})
		}
	}
	return list
}

func (x *step) overlap(i int, a, b raft.IndexedConfiguration) {
	if a.Index == b.Index {
		return
	}
	key := [2]string{string(a.Configuration.Encode()), string(b.Configuration.Encode())}
	overlaps, known := x.c.overlaps[key]
	if !known {
		overlaps = overlap(a.Configuration, b.Configuration)
		x.c.overlaps[key] = overlaps
	}
	if !overlaps {
		x.violated("Disjoint Quorums", "n%d has %s in force; a quorum of it shares no server with a quorum of %s", i+1, a.Configuration, b.Configuration)
	}
}

// overlap reports whether every quorum of one configuration shares a server with every
// quorum of the other. It tries all sets of voters of the first one: if one is a
// quorum, those that are not in it must not be a quorum of the second one.
func overlap(a, b raft.Configuration) bool {
	voters := append(a.Voters(), a.OldVoters()...)
	for set := range 1 << len(voters) {
		in := func(m raft.Member) bool {
			k := slices.Index(voters, m.ID)
			return k >= 0 && set>>k&1 != 0
		}
		if decides(a, in) && decides(b, func(m raft.Member) bool { return !in(m) }) {
			return false
		}
	}
	return true
}

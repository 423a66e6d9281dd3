package sim

import (
	"slices"

	"balsa/raft"
)

// The oracle's judgement of configurations.
//
// That no two disjoint groups of servers may both decide is what joint consensus
// is for (§6). It does not mean that all the configurations that are in force
// somewhere at a time have overlapping quorums: a server that was cut off long ago
// may have one whose members have all been replaced since. What must be so is this.
//
// Let a server's log hold the committed configurations C1 to Ck, and have D in
// force: Ck itself, or one that follows it in the log. Then
//
//   - D follows Ck directly: there is no other configuration between them, so at
//     most one is uncommitted;
//   - every quorum of D shares a server with every quorum of Ck, and with every
//     quorum of Ck+1, if that was committed somewhere.
//
// Why that is enough: if Ck+1 was committed, a quorum of it has it on disk, and so
// does, by the second rule, some server of every quorum of D. That server's log is
// then more up-to-date than one that ends before Ck+1, so by D nobody is elected
// any more who lacks Ck+1, and nothing of an earlier leader is committed. If Ck is
// the newest that was committed, every quorum of D shares a server with every
// quorum of Ck; and two successors D and D' of Ck, of different leaders, are both
// successors by the same rules: either joint with the voters of Ck as one half, or
// with the same voters as Ck, or, if Ck is joint, its only possible successor.
// newConfiguration checks that they are.

// committedConfiguration is a configuration, and the hash of the log up to its
// entry.
type committedConfiguration struct {
	raft.IndexedConfiguration
	chain uint64
	// leader is the term of the leader that committed it.
	leader raft.Term
}

// founded takes note of the founding configuration, which is in force although
// nobody has committed it yet.
func (o *oracle) founded(l *storedLog) {
	o.configurations = append(o.configurations, committedConfiguration{IndexedConfiguration: l.inForce(), chain: l.at(1).chain, leader: 1})
	o.chains[l.lastID()] = l.at(1).chain
}

// newestConfiguration is the newest committed configuration.
func (o *oracle) newestConfiguration() committedConfiguration {
	return o.configurations[len(o.configurations)-1]
}

// configurationAt is the latest committed configuration at or before an index.
func (o *oracle) configurationAt(i raft.Index) committedConfiguration {
	k := len(o.configurations) - 1
	for k > 0 && o.configurations[k].Index > i {
		k--
	}
	return o.configurations[k]
}

// configurationCommitted takes note of the next committed configuration. Whoever
// has one in force may now stand in the wrong place.
func (o *oracle) configurationCommitted(r record, leader raft.Term) {
	configuration, err := raft.DecodeConfiguration(r.entry.Data)
	if err != nil {
		o.violated("Configuration", "the committed entry %s: %v", r.entry.ID(), err)
		return
	}
	before := o.newestConfiguration()
	o.configurations = append(o.configurations, committedConfiguration{
		raft.IndexedConfiguration{Index: r.entry.Index, Configuration: configuration}, r.chain, leader,
	})
	stats := &o.w.stats.Members
	switch {
	case configuration.Joint():
		stats.JointCommitted++
	case before.Configuration.Joint():
		stats.JointLeft++
		if before.leader != leader {
			stats.JointLeftByLater++
		}
	}
	for _, n := range o.w.nodes {
		n.view.checked = raft.EntryID{}
		if n.up {
			o.checkInForce(n)
		}
	}
}

// newConfiguration checks a configuration that a leader has just appended against
// the one before it in the leader's log.
func (o *oracle) newConfiguration(n *node, i raft.Index) {
	log := &n.view.log
	k := slices.IndexFunc(log.configurations, func(c raft.IndexedConfiguration) bool { return c.Index == i })
	if k < 1 {
		return // the founding one, or the first that a new server hears of
	}
	before := o.chainOf(log, log.configurations[k-1])
	old, next := log.configurations[k-1].Configuration, log.configurations[k].Configuration
	o.successors[before] = append(o.successors[before], next)
	wrong := func(what string) { o.violated("Configuration", "%s: %s appends %s after %s", what, n.id, next, old) }
	switch {
	case old.Joint() && (next.Joint() || !slices.Equal(old.Voters(), next.Voters())):
		wrong("a joint configuration is left for its new voters")
	case !old.Joint() && next.Joint() && !slices.Equal(old.Voters(), next.OldVoters()):
		wrong("a joint configuration has the voters of the one before")
	case !old.Joint() && !next.Joint() && !slices.Equal(old.Voters(), next.Voters()):
		wrong("the voters change in one step")
	}
	for _, m := range next.Members {
		if next.WasRemoved(m.ID, m.Instance) && !m.Leaving {
			wrong(m.ID.String() + " was removed, and is a member again with the same disk")
		}
		if was, known := old.Member(m.ID); known && was.Instance != m.Instance {
			wrong(m.ID.String() + " has another disk in one step")
		}
	}
	for _, m := range old.Members {
		if _, stays := next.Member(m.ID); !stays && !next.WasRemoved(m.ID, m.Instance) {
			wrong(m.ID.String() + " is gone, and not among the removed")
		}
	}
	for _, r := range old.Removed {
		if !next.WasRemoved(r.ID, r.Instance) {
			wrong(r.ID.String() + " was removed, and that is forgotten")
		}
	}
}

// acceptedChange checks that a leader accepts a change only when it has committed
// an entry of its own term, and no other change is under way (thesis 4.1).
func (o *oracle) acceptedChange(n *node) {
	v := &n.view
	if v.commit == 0 || v.commit < v.log.start.Index || v.log.id(v.commit).Term != v.leads {
		o.violated("Configuration", "%s accepts a change; its term is %d, and it has committed nothing of it up to %d", n.id, v.leads, v.commit)
	}
	if latest := v.log.inForce(); latest.Index > v.commit || latest.Configuration.Joint() {
		o.violated("Configuration", "%s accepts a change while that of entry %d is under way", n.id, latest.Index)
	}
}

// checkInForce checks the configuration that a node has in force, if it is another
// one than the last time.
func (o *oracle) checkInForce(n *node) {
	log := &n.view.log
	inForce := log.inForce()
	if inForce.Index == 0 || n.view.checked == log.idOf(inForce) {
		return
	}
	n.view.checked = log.idOf(inForce)
	k := len(o.configurations) - 1
	for k >= 0 && !o.holds(log, o.configurations[k].Index, o.configurations[k].chain) {
		k--
	}
	if k < 0 {
		o.violated("Configuration", "%s has a log that begins with none of the configurations", n.id)
		return
	}
	newest := o.configurations[k]
	var after []raft.IndexedConfiguration
	for _, c := range log.configurations {
		if c.Index > newest.Index {
			after = append(after, c)
		}
	}
	if len(after) > 1 {
		o.violated("One Change", "%s has %d configurations after the committed one of entry %d", n.id, len(after), newest.Index)
	}
	d := committedConfiguration{IndexedConfiguration: inForce, chain: o.chainOf(log, inForce)}
	o.checkOverlap(n, d, newest)
	if k+1 < len(o.configurations) {
		o.checkOverlap(n, d, o.configurations[k+1])
	}
}

// chainOf returns the hash of a log up to a configuration in it. If the entry was
// compacted, it was committed.
func (o *oracle) chainOf(log *storedLog, c raft.IndexedConfiguration) uint64 {
	if chain, known := log.chainAt(c.Index); known {
		return chain
	}
	return o.configurationAt(c.Index).chain
}

// idOf identifies the entry of a configuration, by its index alone if that was
// compacted.
func (l *storedLog) idOf(c raft.IndexedConfiguration) raft.EntryID {
	if c.Index < l.start.Index {
		return raft.EntryID{Index: c.Index}
	}
	return l.id(c.Index)
}

func (o *oracle) checkOverlap(n *node, a, b committedConfiguration) {
	key := [2]uint64{a.chain, b.chain}
	if _, known := o.overlaps[key]; !known {
		o.overlaps[key] = overlap(a.Configuration, b.Configuration)
	}
	if !o.overlaps[key] {
		o.violated("Disjoint Quorums", "%s has %s in force; a quorum of it shares no server with a quorum of %s", n.id, a.Configuration, b.Configuration)
	}
}

// overlap reports whether every quorum of one configuration shares a server with
// every quorum of the other. It tries all sets of voters of the first one: if one
// is a quorum, those that are not in it must not be a quorum of the second one.
func overlap(a, b raft.Configuration) bool {
	var voters []raft.Member
	for _, m := range a.Members {
		if m.Votes || m.VotedBefore {
			voters = append(voters, m)
		}
	}
	for set := range 1 << len(voters) {
		in := func(m raft.Member) bool {
			i := slices.IndexFunc(voters, func(v raft.Member) bool { return v.ID == m.ID && v.Instance == m.Instance })
			return i >= 0 && set>>i&1 != 0
		}
		if decides(a, in) && decides(b, func(m raft.Member) bool { return !in(m) }) {
			return false
		}
	}
	return true
}

package sim

import (
	"slices"

	"balsa/raft"
)

// Disks that forget what was durable (see raft's recovering.go). It happens while
// the process is down, and nothing says so: the process stops, something of its
// log is gone, and the next start finds what is left, and the witness beside it.
//
// What this may cost is part of the bargain. A server that has lost something votes
// as if it still had it, so for all that has to do with elections and commitment
// the oracle goes on counting what is lost: that is a pledge, and it ends when the
// core says that it has recovered. What no witness can do is bring back what all
// who had it have lost, so none of this happens where the cluster could not go on
// (see canGoOn).

// pledge is a log that a server has lost a part of, as it was.
type pledge struct {
	log storedLog
	// last is how up-to-date it was, according to its witness.
	last raft.EntryID
	// since is the step of the simulation at which the pledge was made.
	since int
}

// forgets reports whether a disk can lose something now, and stops the process if
// it can. What is to be left of the log is decided by what it holds then.
func (n *node) forgets(how string, left func(log storedLog) storedLog) {
	before := n.survives().log.clone()
	after := left(n.disk.log.clone())
	// A core can tell that something is lost if the witness is ahead of the log.
	if !older(after.lastID(), n.disk.witness) {
		return
	}
	if !n.w.oracle.canLose(n, after) {
		return
	}
	n.w.stats.Forgetting.Losses++
	if n.up {
		n.crash(how)
	} else {
		n.w.note(n, "%s", how)
	}
	// Of what was being written something may have survived, and made it more.
	before, after = n.survives().log.clone(), left(n.disk.log.clone())
	n.disk.damaged = 0
	if !older(after.lastID(), n.disk.witness) {
		return
	}
	n.w.note(n, "has lost what follows %s in its log, which ended with %s", after.lastID(), before.lastID())
	n.w.oracle.pledged(n, before)
	n.disk.log = after
}

// canLose reports whether the cluster could go on if a node were down and had only
// that log on its disk.
func (o *oracle) canLose(n *node, left storedLog) bool {
	log, up := n.disk.log, n.up
	n.disk.log, n.up = left, false
	defer func() { n.disk.log, n.up = log, up }()
	return o.canGoOn(o.w.nodes)
}

// older reports whether a log that ends with one entry is less up-to-date than one
// that ends with another (§5.4.1).
func older(a, b raft.EntryID) bool { return a.Term < b.Term || a.Term == b.Term && a.Index < b.Index }

// losesEnd makes the last entries of a disk's log vanish.
func (n *node) losesEnd(count int) {
	n.forgets("and its disk loses the end of the log", func(log storedLog) storedLog {
		return log.upTo(log.last() - min(raft.Index(count), raft.Index(len(log.records))))
	})
}

// losesFrom makes the entries from some index on vanish.
func (n *node) losesFrom(i raft.Index) {
	n.forgets("because an entry of its log is damaged", func(log storedLog) storedLog {
		return log.upTo(min(log.last(), max(i-1, log.start.Index)))
	})
}

// upTo returns the log without what follows an index.
func (l storedLog) upTo(i raft.Index) storedLog {
	_ = l.write(&raft.Write{TruncateFrom: i + 1}, 0) // it is not before the log's start
	return l
}

// backup is a copy of a server's directory.
type backup struct {
	hardState raft.HardState
	log       storedLog
	witness   raft.EntryID
	state     state
}

// backUp makes a copy.
func (n *node) backUp() {
	n.backup = &backup{n.disk.hardState, n.disk.log.clone(), n.disk.witness, n.machine.flushed.clone()}
}

// restore puts the log of the copy in the place of the newer one.
func (n *node) restore() {
	if n.backup == nil {
		return
	}
	n.w.stats.Forgetting.Restored++
	n.forgets("and an old copy of its log takes the place of the newer one", func(storedLog) storedLog { return n.backup.log.clone() })
}

// restoreAll puts the whole copy in the place of the directory, with the witness,
// so that nothing on the disk tells of what is lost. It happens only where that is
// safe: Raft can do without the memory of this one, and no vote is forgotten.
func (n *node) restoreAll() {
	b := n.backup
	if b == nil || len(n.disk.unfinished) > 0 || b.hardState != n.disk.hardState || !n.w.oracle.dispensable(n) {
		return
	}
	if n.up {
		n.crash("and an old copy of everything takes its place")
	} else {
		n.w.note(n, "an old copy of everything takes its place")
	}
	n.w.stats.Forgetting.RestoredAll++
	if once, known := n.w.oracle.believed[n.instance]; !known || older(once.lastID(), n.disk.log.lastID()) {
		n.w.oracle.believed[n.instance] = n.disk.log.clone()
	}
	n.disk.log, n.disk.witness, n.disk.damaged = b.log.clone(), b.witness, 0
	n.machine.flushed = b.state.clone()
	n.machine.crash()
}

// dispensable reports whether all that a node has on its disk is committed, and on
// enough other disks, whichever configuration they go by: a server that has missed
// a change would let the node help it by the rules that the node has forgotten.
func (o *oracle) dispensable(n *node) bool {
	log := &n.disk.log
	last := log.last()
	chain, _ := log.chainAt(last)
	if !o.isCommitted(last, chain) || n.logNow().last() != last || len(o.pledges[n.instance]) > 0 {
		return false
	}
	others := func(m raft.Member) bool { return !n.is(m) && o.holds(o.remains(m).log, last, chain) }
	known := []raft.IndexedConfiguration{o.newestConfiguration().IndexedConfiguration}
	for _, other := range o.w.nodes {
		known = append(append(known, other.logNow().configurations...), other.survives().log.configurations...)
	}
	return !slices.ContainsFunc(known, func(c raft.IndexedConfiguration) bool { return !decides(c.Configuration, others) })
}

// damage flips a bit of an entry, counted from the end of the log.
func (n *node) damage(back int) {
	if back < 1 || back > len(n.disk.log.records) || n.disk.damaged != 0 {
		return
	}
	n.w.stats.Forgetting.Damaged++
	n.disk.damaged = n.disk.log.last() - raft.Index(back) + 1
	n.w.note(n, "entry %d of its log is damaged", n.disk.damaged)
}

// findsDamage reports whether a damaged entry is read, which the entry's checksum
// shows. The process stops: it must not pass the entry on. Whoever starts it again
// finds the log to end before it.
func (n *node) findsDamage(first, last raft.Index) bool {
	d := n.disk.damaged
	if d == 0 || d < first || d > last {
		return false
	}
	n.losesFrom(d)
	n.disk.damaged = 0
	return !n.up
}

// pledged takes note of a log that is about to lose something. What it held beyond
// its witness nobody was told of: a crash came before.
func (o *oracle) pledged(n *node, log storedLog) {
	witness := n.disk.witness
	if i := witness.Index; i >= log.start.Index && i <= log.last() && log.id(i) == witness {
		log = log.upTo(i)
	}
	o.pledges[n.instance] = append(o.pledges[n.instance], pledge{log, witness, o.w.stats.Steps})
}

// pledgedTo reports whether a disk holds a log up to an index, or has lost it and
// votes as if it did.
func (o *oracle) pledgedTo(m raft.Member, i raft.Index, chain uint64) bool {
	return o.holds(o.remains(m).log, i, chain) ||
		slices.ContainsFunc(o.pledges[m.Instance], func(p pledge) bool { return o.holds(&p.log, i, chain) })
}

// believedOf reports whether a leader may think that a disk holds a log up to an
// index: it does, or did.
func (o *oracle) believedOf(m raft.Member, i raft.Index, chain uint64) bool {
	if o.pledgedTo(m, i, chain) {
		return true
	}
	once, known := o.believed[m.Instance]
	return known && o.holds(&once, i, chain)
}

// restriction is how up-to-date a candidate must be for a node to vote for it, and
// whether that is more than the node itself is.
func restriction(n *node) (last raft.EntryID, recovering bool) {
	last = n.logNow().lastID()
	lost := n.disk.witness
	if n.up {
		lost = n.core.Status().Lost
	}
	if older(last, lost) {
		return lost, true
	}
	return last, false
}

// electable reports whether one of the nodes can be elected by the others. It goes by
// the configuration in its own log. Nobody can if somebody has lost an entry that no
// other voter has, or has given it to a learner and died: then those who know of a
// change that makes the learner vote cannot win without it, it cannot stand for
// election because it does not know, and nobody else is up-to-date.
func electable(nodes []*node) bool {
	return slices.ContainsFunc(nodes, func(candidate *node) bool {
		c := candidate.logNow().inForce().Configuration
		m, _ := c.Member(candidate.id)
		last, recovering := restriction(candidate)
		return (m.Votes || m.VotedBefore) && candidate.is(m) && !recovering &&
			decides(c, func(m raft.Member) bool {
				return slices.ContainsFunc(nodes, func(n *node) bool {
					wants, _ := restriction(n)
					return n.is(m) && !older(last, wants)
				})
			})
	})
}

// witnessed checks the witness on a disk after a write, and ends the pledges that
// are redeemed: those of logs that are no more up-to-date than the one on the disk.
func (o *oracle) witnessed(n *node) {
	last, witness := n.disk.log.lastID(), n.disk.witness
	if older(witness, last) {
		o.violated("Witness", "the witness of %s says %s, its log ends with %s", n.id, witness, last)
	}
	if once, known := o.believed[n.instance]; known && !older(last, once.lastID()) {
		delete(o.believed, n.instance)
	}
	if len(o.pledges[n.instance]) > 0 {
		if o.keepPledges(n, func(p pledge) bool { return older(last, p.last) }); len(o.pledges[n.instance]) == 0 {
			o.w.stats.Forgetting.Recovered++
		}
	}
}

// toldOfLoss takes note of a leader's word: the server has acknowledged an entry in
// this term that it does not have. From now on it has to behave accordingly.
func (o *oracle) toldOfLoss(n *node, term raft.Term, match raft.EntryID) {
	log := &n.view.log
	if match.Index <= log.start.Index || term < n.core.Term() || match.Index <= log.last() && log.id(match.Index) == match {
		return
	}
	o.w.stats.Forgetting.Told++
	o.pledges[n.instance] = append(o.pledges[n.instance], pledge{o.believed[n.instance], match, o.w.stats.Steps})
}

// forgetsWord ends the pledges to leaders that a crash came in between of, before
// the witness knew. Nobody was answered by then.
func (o *oracle) forgetsWord(n *node) {
	if len(o.pledges[n.instance]) > 0 {
		o.keepPledges(n, func(p pledge) bool { return !older(n.disk.witness, p.last) })
	}
}

// keepPledges ends the other pledges of a node.
func (o *oracle) keepPledges(n *node, keep func(pledge) bool) {
	pledges := slices.DeleteFunc(o.pledges[n.instance], func(p pledge) bool { return !keep(p) })
	if o.pledges[n.instance] = pledges; len(pledges) == 0 {
		delete(o.pledges, n.instance)
	}
}

// admitsLoss checks that the witness knows what a server tells its leader. It need
// not know yet of a loss that was noticed after that.
func (o *oracle) admitsLoss(n *node, m raft.Message) {
	pledges, witness := o.pledges[n.instance], n.disk.witness
	if len(pledges) > 0 && !slices.ContainsFunc(pledges, func(p pledge) bool { return !older(witness, p.last) }) {
		o.violated("Witness", "%s sends %s, its witness says %s; it has lost a log that ended with %s", n.id, m, witness, pledges[0].last)
	}
}

// witnesses checks what a core says that the witness must say.
func (o *oracle) witnesses(n *node, w *raft.Write) {
	last := n.view.log.lastID()
	for _, p := range o.pledges[n.instance] {
		if older(last, p.last) && older(w.Witness, p.last) {
			o.violated("Witness", "%s has the witness say %s; it has lost a log that ended with %s", n.id, w.Witness, p.last)
		}
	}
}

// stillPledged checks that a server that has lost something does not act as if it
// had not.
func (o *oracle) stillPledged(n *node, does string) {
	last := n.view.log.lastID()
	for _, p := range o.pledges[n.instance] {
		if p.since < o.w.stats.Steps && older(last, p.last) {
			o.violated("Recovery", "%s %s with a log that ends with %s; it has lost one that ended with %s", n.id, does, last, p.last)
		}
	}
}

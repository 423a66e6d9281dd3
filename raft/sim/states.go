package sim

import "balsa/raft"

// The oracle's judgement of state machines: what they apply, what snapshots of
// them say that they contain, and what is thrown away because they have it.

// handedToApply checks that committed entries go to the state machine in order,
// and only when the node's own disk holds them.
func (o *oracle) handedToApply(n *node, a raft.Apply) {
	v := &n.view
	switch {
	case n.applying || v.installing:
		o.violated("Apply", "%s is to apply %d..%d while its state machine is at work", n.id, a.First, a.Last)
	case a.First != v.handed+1 || a.Last < a.First:
		o.violated("Apply", "%s is to apply %d..%d after %d", n.id, a.First, a.Last, v.handed)
	case a.Last > v.commit:
		o.violated("Apply", "%s is to apply %d..%d, its commitIndex is %d", n.id, a.First, a.Last, v.commit)
	case a.Last > n.disk.log.last():
		o.violated("Durability", "%s is to apply %d..%d, its disk ends at %d", n.id, a.First, a.Last, n.disk.log.last())
	case a.Entries != nil && (a.Entries[0].Index != a.First || len(a.Entries) != int(a.Last-a.First+1)):
		o.violated("Apply", "%s is to apply %d..%d with %d entries from %d on", n.id, a.First, a.Last, len(a.Entries), a.Entries[0].Index)
	}
	v.handed = a.Last
}

// applied checks State Machine Safety where it counts: what a state machine has
// applied, all of it together, is what was committed, and its state is the one
// that a serial execution of that leads to.
func (o *oracle) applied(n *node, e raft.Entry) {
	if !o.isCommitted(e.Index, n.machine.chain) {
		o.violated("State Machine Safety", "%s has applied %s, which is not what was committed there", n.id, e.ID())
		return
	}
	if n.machine.digest != o.commits[e.Index-1].digest {
		o.violated("State Machine Safety", "the state of %s after %s is not what the log leads to", n.id, e.ID())
	}
}

// wholeState computes the digest of a state anew: see state.apply.
func (o *oracle) wholeState(n *node) {
	var digest uint64
	for key, operation := range n.machine.values {
		if operation != 0 {
			digest ^= mix(uint64(key), 0) ^ mix(uint64(key), operation)
		}
	}
	if i := n.machine.applied.Index; digest != n.machine.digest || i > 0 && digest != o.commits[i-1].digest {
		o.violated("State Machine Safety", "the state of %s is not what the log up to %d leads to", n.id, i)
	}
}

// checkLabel checks what a snapshot says of itself: its last entry was committed,
// and its configuration is the latest at or before that.
func (o *oracle) checkLabel(n *node, s raft.Snapshot, does string) {
	if s.Last.Index == 0 || !o.isCommittedID(s.Last) {
		o.violated("Snapshots", "%s %s snapshot %s; no such entry was committed", n.id, does, s)
		return
	}
	want, got := o.configurationAt(s.Last.Index), s.Configuration
	if got.Index != want.Index || got.Configuration.String() != want.Configuration.String() {
		o.violated("Snapshots", "%s %s snapshot %s with the configuration of entry %d (%s), it is that of entry %d (%s)",
			n.id, does, s, got.Index, got.Configuration, want.Index, want.Configuration)
	}
}

// tookPicture checks a picture: its label, its content, and that the term in which
// it is offered is not older than the leader that committed what it contains.
func (o *oracle) tookPicture(n *node, p *picture) {
	o.checkLabel(n, p.snapshot, "takes")
	last := p.snapshot.Last.Index
	if !o.isCommitted(last, p.state.chain) || o.commits[last-1].digest != p.state.digest {
		o.violated("Snapshots", "the picture of %s is not the state after %s", n.id, p.snapshot.Last)
	}
	if o.w.failure == nil && o.commits[last-1].leader > p.term {
		o.violated("Snapshots", "%s offers a picture in term %d that holds what was committed in term %d", n.id, p.term, o.commits[last-1].leader)
	}
}

// wantsInstall checks the snapshot that a core wants installed: it is the one that
// has arrived, and the state machine is idle, and behind it.
func (o *oracle) wantsInstall(n *node, s raft.Snapshot) {
	v := &n.view
	o.checkLabel(n, s, "installs")
	switch {
	case n.install.picture == nil || n.install.picture.snapshot.Last != s.Last:
		o.violated("Snapshots", "%s is to install %s, which has not arrived", n.id, s)
	case v.installing:
		o.violated("Snapshots", "%s is to install %s while another one is being installed", n.id, s)
	case n.applying:
		o.violated("Snapshots", "%s is to install %s while its state machine is at work", n.id, s)
	case s.Last.Index <= n.machine.applied.Index:
		o.violated("Snapshots", "%s is to install %s, it has applied %s", n.id, s, n.machine.applied)
	case n.disk.hardState.CurrentTerm < s.Last.Term:
		o.violated("Term Durability", "%s is to install %s, its durable term is %d", n.id, s, n.disk.hardState.CurrentTerm)
	}
	v.installing = true
}

// installed checks a state machine that was replaced.
func (o *oracle) installed(n *node) {
	i := n.machine.applied.Index
	if !o.isCommitted(i, n.machine.chain) || o.commits[i-1].digest != n.machine.digest {
		o.violated("State Machine Safety", "%s has installed what is not the state after %s", n.id, n.machine.applied)
	}
	if n.applying {
		o.violated("Snapshots", "%s has installed a snapshot in the middle of an application", n.id)
	}
}

// cutsLog checks that a core forgets of its log only what its state machine has
// reported as applied, and remembers the term at the boundary (§7).
func (o *oracle) cutsLog(n *node, to raft.EntryID) {
	if !o.isCommittedID(to) {
		o.violated("Compaction", "%s forgets its log up to %s, which was not committed", n.id, to)
		return
	}
	if term, ok := n.core.TermAt(to.Index); !ok || term != to.Term {
		o.violated("Compaction", "%s has forgotten the term of %s, the last entry that is gone", n.id, to)
	}
	if applied := n.core.Status().LastApplied; to.Index > applied {
		o.violated("Compaction", "%s forgets its log up to %s, it has heard that %d is applied", n.id, to, applied)
	}
	n.view.log.compact(to)
}

// cutsDisk checks that what is cut from a disk the state machine has on disk.
func (o *oracle) cutsDisk(n *node, to raft.EntryID) {
	flushed := n.machine.flushed.applied.Index
	chain, known := n.disk.log.chainAt(to.Index)
	if to.Index > n.disk.log.start.Index && (to.Index > flushed || !known || !o.isCommitted(to.Index, chain)) {
		o.violated("Compaction", "the log of %s is cut up to %s, its state machine has flushed up to %d", n.id, to, flushed)
	}
}

package sim

import "balsa/raft"

// view is what the oracle knows of one incarnation of a core.
type view struct {
	// log is the log after all the writes that the core has handed out, which
	// right after it did so is the core's whole log.
	log       storedLog
	lastWrite raft.WriteID
	hardState raft.HardState
	commit    raft.Index
	handed    raft.Index // to apply
	// installing says that a snapshot was handed out to be installed.
	installing bool
	// leads is the term that the core leads, or zero, and match what it has
	// learnt of the others in that term.
	leads raft.Term
	match [MaxNodes]matchIndex
	// confirmations is what the leader may conclude in that term.
	confirmations confirmations
	// sender is the disk of the server whose message the core is told of.
	sender raft.InstanceID
	// checked is the configuration in force that was judged last.
	checked raft.EntryID

	// What happened in this turn, and how it began: with which configurations in the
	// log, the last of them in force; the end of the log and its hash; commitIndex.
	began struct {
		configurations []raft.IndexedConfiguration
		last           raft.Index
		chain          uint64
		commit         raft.Index
	}
	newCommits []raft.Event
	elected    bool // to lead electedIn, perhaps no more
	electedIn  raft.Term
	campaigned bool
	replies    bool
	byLease    int           // reads answered from the lease
	successors []raft.NodeID // to whom leadership is, or was, being handed over
}

// matchIndex is what a leader knows of the server with a certain disk.
type matchIndex struct {
	instance raft.InstanceID
	index    raft.Index
}

// newView is the view of a core that starts with what its node remembers.
func newView(n *node) view {
	return view{
		log: n.survives().log.clone(), hardState: n.disk.hardState,
		commit: n.machine.applied.Index, handed: n.machine.applied.Index,
	}
}

// turn begins a turn.
func (v *view) turn(core *raft.Core) {
	v.began.configurations, v.began.last, v.began.commit = v.log.configurations, v.log.last(), v.commit
	v.began.chain, _ = v.log.chainAt(v.began.last)
	v.byLease, v.successors = 0, append(v.successors[:0], core.TransferringTo())
}

// before is the configuration that was in force when the turn began.
func (v *view) before() raft.Configuration {
	if n := len(v.began.configurations); n > 0 {
		return v.began.configurations[n-1].Configuration
	}
	return raft.Configuration{}
}

// survivor is what is left of a server that has crashed.
type survivor struct {
	hardState raft.HardState
	log       *storedLog
}

// survives returns what a server would remember if it crashed now. If its state
// came with a snapshot that the stored log knows nothing of, or contains what the log
// has lost, the log is put behind it when the server starts again (see
// raft.InitialState).
func (n *node) survives() survivor {
	log, state, o := &n.disk.log, &n.machine.flushed, n.w.oracle
	replaced := state.installed != nil || older(log.lastID(), n.disk.witness)
	if !replaced || state.applied.Index == 0 || o.holds(log, state.applied.Index, state.chain) {
		return survivor{n.disk.hardState, log}
	}
	return survivor{n.disk.hardState, &storedLog{
		start: state.applied, startChain: state.chain,
		configurations: []raft.IndexedConfiguration{state.configuration},
	}}
}

// remains returns what is left of the server that a configuration means, be it
// running, down, or gone with its disk. It is empty for one that never was.
func (o *oracle) remains(m raft.Member) survivor {
	if n := o.w.node(m.ID); n.is(m) {
		return n.survives()
	}
	if s, known := o.buried[m.Instance]; known {
		return s
	}
	return survivor{log: &storedLog{}}
}

// bury keeps the disk of a node that is about to lose it. What a server had on
// its disk when it was lost counted, and goes on counting for what was committed
// by then: it votes for nobody any more, so it does no harm either.
func (o *oracle) bury(n *node) {
	s := n.survives()
	log := s.log.clone()
	o.buried[n.instance] = survivor{s.hardState, &log}
}

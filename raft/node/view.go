package node

import (
	"slices"

	"balsa/raft"
)

// view is what anybody may know at any time without asking the loop. The loop
// publishes a new one when something in it changes, and closes the channel of
// the old one. It is never changed itself.
type view struct {
	role          raft.Role
	leader        raft.NodeID
	configuration raft.IndexedConfiguration
	committed     bool // the configuration is
	changed       chan struct{}
}

func newView(core *raft.Core) *view {
	configuration := core.Configuration()
	return &view{
		role: core.Role(), leader: core.Leader(),
		configuration: configuration, committed: configuration.Index <= core.CommitIndex(),
		changed: make(chan struct{}),
	}
}

// publish lets others see what the core has come to. It is called in every turn
// of the loop before anything follows from that: who is told that something is
// done sees it here, too; and a leader that was deposed stops sending snapshots
// before its state machine holds anything that another leader has committed.
func (l *loop) publish() {
	n := l.node
	n.term.Store(uint64(l.core.Term()))
	n.commitIndex.Store(uint64(l.core.CommitIndex()))
	old, configuration := n.view.Load(), l.core.Configuration()
	sameConfiguration := configuration.Index == old.configuration.Index &&
		// Another leader's entry may have taken the place of the one at that index.
		slices.Equal(configuration.Configuration.Members, old.configuration.Configuration.Members)
	if sameConfiguration && l.core.Role() == old.role && l.core.Leader() == old.leader &&
		(configuration.Index <= l.core.CommitIndex()) == old.committed {
		return
	}
	if !sameConfiguration {
		c := configuration.Configuration
		n.cfg.Logger.Info("raft: members", "voters", c.Voters(), "outgoing", c.OldVoters(),
			"learners", c.Learners(), "entry", configuration.Index)
	}
	n.view.Store(newView(l.core))
	close(old.changed)
	n.senders.cancelUnless(l.core)
}

// Leader returns whom this node follows, itself if it leads, or raft.None. It
// costs nothing; what it says may be outdated when it returns.
func (n *Node) Leader() raft.NodeID { return n.view.Load().leader }

// Configuration returns the configuration in force and the index of its entry,
// which need not be committed. It costs nothing; what it says may be outdated
// when it returns. The caller must not change it.
func (n *Node) Configuration() (raft.Index, raft.Configuration) {
	c := n.view.Load().configuration
	return c.Index, c.Configuration
}

// Changed returns a channel that is closed when this node's role, its leader or
// the configuration is another one than now, or the configuration has become
// committed. To miss nothing, take the channel first and look then. It is not
// closed when the node stops; see [Node.Done].
func (n *Node) Changed() <-chan struct{} { return n.view.Load().changed }

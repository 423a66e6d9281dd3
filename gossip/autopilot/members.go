package autopilot

import (
	"slices"

	"balsa/gossip"
	"balsa/raft"
)

// Who is a member.

// maxUnheard is how many learners may have acknowledged nothing yet when another
// one is added. It keeps a leader from sending everything to many newcomers at
// once, and it is all that somebody can do to the configuration who invents
// servers in gossip: those never answer.
const maxUnheard = 5

// admit adds servers that gossip shows as learners. Their vote is another matter:
// nobody votes who has not proved to Raft that it is there and has the log.
func (d *deliberation) admit() {
	unheard := len(slices.DeleteFunc(d.learners(), func(s *server) bool { return s.match > 0 }))
	for _, s := range d.servers {
		switch {
		case s.member != nil || d.refuse(s):
		case unheard >= maxUnheard:
			s.say("queue", "waits to be added: %d learners have not acknowledged anything yet; see what is wrong with them, or remove them", unheard)
		default:
			d.propose(action{
				change: raft.Change{Set: []raft.Member{{ID: s.id, Instance: s.instance, Address: s.seen.RPCAddr}}},
				parts:  []part{{s, "added as a learner"}},
			})
		}
	}
}

// refuse reports whether a stranger must not be added, and tells the operator
// why.
func (d *deliberation) refuse(s *server) bool {
	other, isMember := d.status.Configuration.Member(s.id)
	switch {
	case isForeign(s.seen, d.cfg.ClusterID):
		s.warn("refused", "refused: it belongs to another cluster, %s; start it with an empty data directory to let it join this one", s.seen.ClusterID)
	case isMember && s.id == d.status.ID:
		s.warn("refused", "refused: its id is that of this leader, which has another data directory; start it with an id that no server ever had")
	case isMember:
		s.warn("refused", "refused: id %d is a member with another data directory, %s; if that is lost, remove the member first, "+
			"and this server is added; otherwise start it with an id that no server ever had", s.id, gossip.UUID(other.Instance))
	case d.status.Configuration.WasRemoved(s.id, s.instance):
		s.warn("refused", "refused: it was removed with this data directory and stays out; start it with an empty one to bring it back")
	case s.contested:
		s.warn("refused", "refused: another server claims id %d, too; stop the one that is wrong", s.id)
	default:
		return false
	}
	return true
}

// removeGone removes members without a vote that are gone. No majority depends
// on them.
func (d *deliberation) removeGone() {
	for _, s := range d.learners() {
		if d.isGone(s) {
			d.propose(action{
				change: raft.Change{Remove: []raft.NodeID{s.id}},
				parts:  []part{{s, "removed"}},
			})
		}
	}
}

// followAddresses writes a member's new address into the configuration. Gossip
// tells it sooner and to everybody; the configuration is what is left when a
// server starts and hears no gossip, and it should not lead to where the member
// was a year ago. Because it lasts, and gossip may be wrong, the address must
// have been the same for a while and the member must be in contact.
func (d *deliberation) followAddresses() {
	for _, s := range d.servers {
		if s.member == nil || s.contested || !s.alive() || s.seen.RPCAddr == s.member.Address ||
			!s.healthy || s.settled < d.cfg.StabilizationTime {
			continue
		}
		m := raft.Member{ID: s.id, Instance: s.instance, Address: s.seen.RPCAddr, Votes: s.member.Votes, Held: s.member.Held}
		d.propose(action{
			change: raft.Change{Set: []raft.Member{m}},
			parts:  []part{{s, "listed at its new address, " + m.Address}},
		})
	}
}

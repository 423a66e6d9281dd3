package autopilot

import (
	"cmp"
	"slices"
	"time"

	"balsa/gossip"
	"balsa/raft"
)

// world is what is seen at one moment.
type world struct {
	now       time.Time
	tick      time.Duration
	status    raft.Status // of this server, which leads
	members   []gossip.Member
	conflicts []gossip.Conflict
}

// identity tells servers apart: the same id with another data directory is
// another server.
type identity struct {
	id       raft.NodeID
	instance raft.InstanceID
}

// server is one server as it is seen from all sides: a member of the
// configuration, or a stranger that gossip shows.
type server struct {
	identity
	self   bool
	member *raft.Member // nil: a stranger

	// seen is what gossip says about it, nil if that is nothing.
	seen *gossip.Member
	// contested says that somebody else claims the id as well.
	contested bool

	// What Raft knows of a member: up to where its log is known to match, whether
	// it is being sent entries as they come, and for how long it has not been
	// heard.
	match       raft.Index
	replicating bool
	snapshot    bool // it needs a snapshot first
	silent      time.Duration

	// What memory adds.

	// healthy says that the member is in contact and has nearly all that is
	// committed. Gossip has no part in this: it is what counts for majorities.
	healthy bool
	// steady is for how long it has been healthy, and alive in gossip, without a
	// break.
	steady time.Duration
	// absent and left are for how long gossip has said that it is not alive, and
	// that it has left.
	absent, left time.Duration
	// settled is for how long gossip has shown the same address.
	settled time.Duration

	// remark is what the operator is told about it.
	remark remark
	// planned says that it is part of a proposal, which the remark is about.
	planned bool
}

func (s *server) alive() bool   { return s.seen != nil && s.seen.Status == gossip.StatusAlive }
func (s *server) hasLeft() bool { return s.seen != nil && s.seen.Status == gossip.StatusLeft }

// votes reports whether its vote counts in any majority.
func (s *server) votes() bool {
	return s.member != nil && (s.member.Votes || s.member.VotedBefore)
}

// survey puts together what gossip and Raft say about each server: members
// first, then strangers that are alive, each in ascending order of id.
func survey(w world, cluster gossip.UUID) []*server {
	var servers []*server
	known := make(map[identity]bool)
	for i := range w.status.Configuration.Members {
		s := surveyMember(w, cluster, &w.status.Configuration.Members[i])
		servers = append(servers, s)
		known[s.identity] = true
	}
	members := len(servers)
	for i := range w.members {
		g := &w.members[i]
		if who := identityOf(g); g.Status == gossip.StatusAlive && !known[who] {
			servers = append(servers, &server{identity: who, seen: g})
			known[who] = true
		}
	}
	slices.SortStableFunc(servers[members:], func(a, b *server) int { return cmp.Compare(a.id, b.id) })
	contested := contestedIDs(w, cluster)
	for _, s := range servers {
		s.contested = contested[s.id]
	}
	return servers
}

func surveyMember(w world, cluster gossip.UUID, m *raft.Member) *server {
	s := &server{identity: identity{m.ID, m.Instance}, self: m.ID == w.status.ID, member: m}
	for i := range w.members {
		g := &w.members[i]
		// A copied data directory may show up twice, under two names.
		if identityOf(g) == s.identity && !isForeign(g, cluster) && !s.alive() {
			s.seen = g
		}
	}
	for _, p := range w.status.Peers {
		if p.ID == m.ID {
			s.match = p.MatchIndex
			s.replicating, s.snapshot = p.State == "replicate", p.State == "snapshot"
			s.silent = time.Duration(p.TicksSinceReply) * w.tick
		}
	}
	if s.self {
		s.match, s.replicating = w.status.LastIndex, true
	}
	return s
}

func identityOf(g *gossip.Member) identity {
	return identity{raft.NodeID(g.ID), raft.InstanceID(g.InstanceID)}
}

// isForeign reports whether a server belongs to another cluster. One that
// belongs to none is foreign to nobody: it waits to be added.
func isForeign(g *gossip.Member, cluster gossip.UUID) bool {
	return g.ClusterID != gossip.UUID{} && g.ClusterID != cluster
}

// contestedIDs returns the ids that more than one living server claims, or one
// that runs twice from copies of its data directory.
func contestedIDs(w world, cluster gossip.UUID) map[raft.NodeID]bool {
	contested := make(map[raft.NodeID]bool)
	for _, c := range w.conflicts {
		if c.Kind == gossip.ConflictID || c.Kind == gossip.ConflictInstance {
			contested[raft.NodeID(c.ID)] = true
		}
	}
	claimed := make(map[raft.NodeID]bool)
	for i := range w.members {
		g := &w.members[i]
		if g.Status != gossip.StatusAlive || isForeign(g, cluster) {
			continue
		}
		id := raft.NodeID(g.ID)
		contested[id] = contested[id] || claimed[id]
		claimed[id] = true
	}
	return contested
}

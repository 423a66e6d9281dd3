package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"balsa/api"
	"balsa/api/wire"
	"balsa/gossip"
	"balsa/raft"
	"balsa/raft/node"
)

// clusterView answers the API's questions about the cluster: who votes, from
// Raft, beside who is out there, from gossip.
type clusterView struct{ *server }

var _ api.Cluster = clusterView{}

// The values of wire.ClusterStatus.State.
const (
	stateWaiting    = "waiting"     // this server belongs to no cluster yet
	stateStarting   = "starting"    // its Raft node is about to start
	stateElecting   = "electing"    // no leader is known
	stateReceiving  = "receiving"   // a snapshot of the state
	stateRecovering = "recovering"  // what its disk has lost of the log
	stateCatchingUp = "catching up" // the state is behind what is known to be committed
	stateReady      = "ready"
)

// readyPatience bounds how long Ready looks for a leader: a load balancer wants
// to know now.
const readyPatience = time.Second

// Ready implements [api.Cluster]. A node is ready if it could serve a
// linearizable read now, which takes a leader, a majority, and a local state
// that has caught up.
//
// One that is recovering what its disk has lost could do that, too, but whoever
// restarts node after node takes a ready one for as good as the others. It is not:
// it helps to elect nobody who lacks what it has lost.
func (s clusterView) Ready(ctx context.Context) error {
	m := s.member.Load()
	if m == nil {
		return errors.New(s.waiting())
	}
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	_, readErr := m.node.ReadIndex(ctx)
	status, err := s.Status(context.WithoutCancel(ctx))
	switch {
	case err != nil:
		return err
	case status.LostIndex != 0:
		return errors.New(status.Message)
	case readErr == nil:
		return nil
	}
	return fmt.Errorf("no linearizable read is possible: %s", status.Message)
}

// Status implements [api.Cluster].
func (s clusterView) Status(ctx context.Context) (wire.ClusterStatus, error) {
	identity := s.logStore.Identity()
	out := wire.ClusterStatus{NodeID: uint64(s.cfg.ID), Role: raft.Follower.String()}
	if id := gossip.UUID(identity.ClusterID); id != (gossip.UUID{}) {
		out.ClusterID = id.String()
	}
	m := s.member.Load()
	if m == nil {
		out.State, out.Message = stateWaiting, s.waiting()
		if s.joined.Load() {
			out.State = stateStarting
		}
		out.Members = mergeMembers(raft.Status{}, 0, s.gossip.Members())
		out.Message += s.conflicts()
		return out, nil
	}
	status, err := m.node.Status(ctx)
	if err != nil {
		return out, err
	}
	out.Role = status.Role.String()
	out.Term = uint64(status.CurrentTerm)
	out.LeaderID = uint64(status.Leader)
	out.CommitIndex = uint64(status.CommitIndex)
	out.AppliedIndex = uint64(status.LastApplied)
	out.FirstIndex = uint64(status.FirstIndex)
	out.LastIndex = uint64(status.LastIndex)
	out.LostIndex = uint64(status.Lost.Index)
	out.ConfigurationIndex = uint64(status.ConfigurationIndex)
	out.Change = pendingChange(status)
	out.TransferTo = uint64(status.TransferTo)
	out.Voters = numbers(status.Configuration.Voters())
	out.Learners = numbers(status.Configuration.Learners())
	out.Members = mergeMembers(status, m.node.TickInterval(), s.gossip.Members())
	out.Receiving = addSnapshots(out.Members, m.node.Snapshots())
	addCatchUp(out.Members, status)
	s.addNotes(out.Members)
	out.State, out.Message = describe(status, out)
	if lag := s.behindLeader(status); lag != "" && out.State == stateReady {
		out.State, out.Message = stateCatchingUp, lag
	}
	out.Message += s.conflicts()
	return out, nil
}

// conflicts returns what gossip has to warn of, as the end of a message.
func (s *server) conflicts() string {
	var text string
	for _, conflict := range s.gossip.Conflicts() {
		text += "; warning: " + conflict.Message
	}
	return text
}

// pendingChange describes the change of members under way, if there is one.
func pendingChange(status raft.Status) *wire.PendingChange {
	c, committed := status.Configuration, status.ConfigurationIndex <= status.CommitIndex
	if status.Leader == raft.None {
		committed = true // what is committed a server learns from a leader
	}
	if committed && !c.Joint() {
		return nil
	}
	return &wire.PendingChange{
		Joint: c.Joint(), Committed: committed,
		OldVoters: numbers(c.OldVoters()), NewVoters: numbers(c.Voters()),
	}
}

// addSnapshots adds the snapshots under way to their receivers, and returns the
// one that this node receives.
func addSnapshots(members []wire.Member, snapshots []node.SnapshotProgress) *wire.SnapshotProgress {
	var receiving *wire.SnapshotProgress
	for _, p := range snapshots {
		progress := &wire.SnapshotProgress{
			From: uint64(p.From), Index: uint64(p.Snapshot.Last.Index), Bytes: p.Offset, Size: p.Size,
		}
		if p.To == raft.None {
			receiving = progress
		}
		for i := range members {
			if p.To != raft.None && members[i].ID == uint64(p.To) && members[i].Role != wire.RoleNone {
				members[i].Snapshot = progress
			}
		}
	}
	return receiving
}

// behind is from how many missing entries on a member is shown as catching up.
// While writes go on everybody is a little behind.
const behind = 1000

// addCatchUp says of the members that are far behind how far they are.
func addCatchUp(members []wire.Member, status raft.Status) {
	for i := range members {
		m := &members[i]
		switch {
		case m.Snapshot != nil:
			m.CaughtUp = new(m.Snapshot.Percent())
		case m.MatchIndex != nil && *m.MatchIndex+behind < uint64(status.LastIndex):
			m.CaughtUp = new(int(100 * *m.MatchIndex / uint64(status.LastIndex)))
		}
	}
}

func numbers(ids []raft.NodeID) []uint64 {
	var out []uint64
	for _, id := range ids {
		out = append(out, uint64(id))
	}
	return out
}

// describe says in a word and in a sentence what a member is doing.
func describe(status raft.Status, cluster wire.ClusterStatus) (state, message string) {
	voters, members := status.Configuration.Voters(), cluster.Members
	switch r := cluster.Receiving; {
	case status.Lost != raft.EntryID{}:
		return stateRecovering, recovering(status)
	case r != nil:
		return stateReceiving, fmt.Sprintf("receiving the state as of entry %d from node %d: %d %%", r.Index, r.From, r.Percent())
	case len(voters) == 0:
		return stateCatchingUp, "admitted; waiting for the leader to send the log"
	case status.CommitIndex > status.LastApplied+behind:
		return stateCatchingUp, fmt.Sprintf("applying the log: entry %d of %d", status.LastApplied, status.CommitIndex)
	case status.Role == raft.Leader:
		return stateReady, fmt.Sprintf("leading %s%s%s", plural(len(voters), "voter"), underWay(cluster), silent(members))
	case status.Leader != raft.None:
		return stateReady, fmt.Sprintf("following node %d%s", status.Leader, asLearner(status))
	case !status.Configuration.IsVoter(status.ID):
		return stateElecting, "no leader is known, and this node does not vote" + absent(voters, members)
	}
	return stateElecting, fmt.Sprintf("no leader is known: electing one takes %d of %s%s",
		len(voters)/2+1, plural(len(voters), "voter"), absent(voters, members))
}

// recovering says what this server's disk has lost, and what it waits for.
func recovering(status raft.Status) string {
	from := "whoever leads next"
	if status.Leader != raft.None {
		from = fmt.Sprintf("node %d", status.Leader)
	}
	return fmt.Sprintf("recovering: the disk of this node has lost the end of its log: it ends with entry %d and went up to entry %d "+
		"of term %d; until this node has that again, from %s, it does not lead, and votes only for nodes that have it",
		status.LastIndex, status.Lost.Index, status.Lost.Term, from)
}

// asLearner says so if this server does not vote.
func asLearner(status raft.Status) string {
	switch _, member := status.Configuration.Member(status.ID); {
	case !member:
		return ", whose log does not name this node as a member yet"
	case !status.Configuration.IsVoter(status.ID):
		return " as a learner"
	}
	return ""
}

// underWay says what a leader is busy with.
func underWay(cluster wire.ClusterStatus) string {
	var text string
	if cluster.Change != nil {
		text = "; a change of members is under way"
	}
	if cluster.TransferTo != 0 {
		text += fmt.Sprintf("; handing over to node %d", cluster.TransferTo)
	}
	return text
}

// silentAfter is when a leader speaks of a member as silent.
const silentAfter = time.Second

// silent names the members that a leader has not heard of for a while.
func silent(members []wire.Member) string {
	var names []string
	for _, m := range members {
		if m.LastContactMS == nil {
			continue
		}
		if since := time.Duration(*m.LastContactMS) * time.Millisecond; since >= silentAfter {
			names = append(names, fmt.Sprintf("node %d silent for %v", m.ID, since.Round(100*time.Millisecond)))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; " + strings.Join(names, ", ")
}

// absent names the voters that gossip does not see alive.
func absent(voters []raft.NodeID, members []wire.Member) string {
	var names []string
	for _, m := range members {
		if slices.Contains(voters, raft.NodeID(m.ID)) && m.Status != wire.StatusAlive {
			names = append(names, fmt.Sprintf("node %d is %s", m.ID, m.Status))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; " + strings.Join(names, ", ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// mergeMembers lists everybody whom Raft's configuration or gossip knows. A
// node that gossip has met under a configured id but with another data
// directory stands beside the configured one.
func mergeMembers(status raft.Status, tick time.Duration, seen []gossip.Member) []wire.Member {
	var members []wire.Member
	configured := map[raft.InstanceID]bool{}
	for _, c := range status.Configuration.Members {
		m := wire.Member{
			ID: uint64(c.ID), InstanceID: gossip.UUID(c.Instance).String(), RPCAddr: c.Address,
			Status: wire.StatusDead, Role: roleOf(c, status),
		}
		addProgress(&m, status, tick)
		i := slices.IndexFunc(seen, func(g gossip.Member) bool {
			return g.ID == uint64(c.ID) && raft.InstanceID(g.InstanceID) == c.Instance
		})
		if i >= 0 {
			addGossip(&m, seen[i])
		}
		configured[c.Instance] = true
		members = append(members, m)
	}
	for _, g := range seen {
		if !configured[raft.InstanceID(g.InstanceID)] {
			m := wire.Member{ID: g.ID, InstanceID: g.InstanceID.String(), Role: wire.RoleNone}
			addGossip(&m, g)
			members = append(members, m)
		}
	}
	slices.SortStableFunc(members, func(a, b wire.Member) int { return cmp.Compare(a.ID, b.ID) })
	return members
}

func roleOf(c raft.Member, status raft.Status) string {
	switch {
	case c.ID == status.Leader:
		return wire.RoleLeader
	case c.Votes || c.VotedBefore:
		return wire.RoleFollower
	}
	return wire.RoleLearner
}

// addGossip adds what gossip knows of a member. Its addresses are newer than
// those of the configuration.
func addGossip(m *wire.Member, g gossip.Member) {
	m.RPCAddr, m.APIAddr, m.GossipAddr = g.RPCAddr, g.APIAddr, g.GossipAddr
	m.Status = string(g.Status)
}

// addProgress adds what only a leader knows of a member.
func addProgress(m *wire.Member, status raft.Status, tick time.Duration) {
	if status.Role != raft.Leader {
		return
	}
	if m.ID == uint64(status.ID) {
		m.MatchIndex = new(uint64(status.DurableIndex))
		m.LastContactMS = new(int64(0))
		return
	}
	for _, p := range status.Peers {
		if uint64(p.ID) == m.ID {
			m.MatchIndex = new(uint64(p.MatchIndex))
			m.LastContactMS = new((time.Duration(p.TicksSinceReply) * tick).Milliseconds())
		}
	}
}

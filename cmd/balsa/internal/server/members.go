package server

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"balsa/api/wire"
	"balsa/gossip"
	"balsa/kv"
	"balsa/raft"
	"balsa/raft/node"
)

// Changes of members, and of leaders, as the API asks for them. Only the leader
// can make them, and any node can be asked: it passes the request on to the
// leader, in the way in which it forwards writes.

// memberRequest is such a request on its way to the leader: one of the fields is
// set.
type memberRequest struct {
	Set      *wire.MemberRequest `json:"set,omitempty"`
	Remove   *uint64             `json:"remove,omitempty"`
	Transfer *uint64             `json:"transfer,omitempty"`
}

// memberReply is what the leader made of it.
type memberReply struct {
	Result  wire.MemberResult `json:"result"`
	Leader  uint64            `json:"leader,omitempty"`
	Problem *wire.Problem     `json:"problem,omitempty"`
}

// memberCommand begins a forwarded memberRequest. The commands of the store
// begin with other bytes, see kv.Store.Execute.
const memberCommand = 'M'

// SetMember implements [api.Cluster].
func (s clusterView) SetMember(ctx context.Context, request wire.MemberRequest) (wire.MemberResult, error) {
	reply, err := s.atLeader(ctx, memberRequest{Set: &request})
	return reply.Result, err
}

// RemoveMember implements [api.Cluster].
func (s clusterView) RemoveMember(ctx context.Context, id uint64) (wire.MemberResult, error) {
	if id == uint64(s.cfg.ID) {
		return s.removeMyself(ctx)
	}
	reply, err := s.atLeader(ctx, memberRequest{Remove: &id})
	return reply.Result, err
}

// removeMyself has the leader remove this server, and ends it.
//
// The answer may not arrive: as soon as the change is committed the others end
// their connections to a server that is no member, and with them the one on which
// the answer would come. That they do so is no failure then, and they are asked.
func (s *server) removeMyself(ctx context.Context) (wire.MemberResult, error) {
	id := uint64(s.cfg.ID)
	s.leaving.Add(1)
	reply, err := s.atLeader(ctx, memberRequest{Remove: &id})
	if err != nil && problemOf(err).Type == wire.OutcomeUnknown && s.waitForRemoval(ctx) != "" {
		reply.Result, err = removed(id), nil
	}
	if err != nil {
		s.leaving.Add(-1)
		return reply.Result, err
	}
	s.leave()
	return reply.Result, nil
}

// TransferLeadership implements [api.Cluster].
func (s clusterView) TransferLeadership(ctx context.Context, to uint64) (uint64, error) {
	reply, err := s.atLeader(ctx, memberRequest{Transfer: &to})
	return reply.Leader, err
}

// atLeader has the leader carry out a request.
func (s *server) atLeader(ctx context.Context, request memberRequest) (memberReply, error) {
	m := s.member.Load()
	if m == nil {
		return memberReply{}, wire.NewProblem(wire.NotAMember, s.waiting())
	}
	leader := m.node.Leader()
	switch leader {
	case raft.None:
		return memberReply{}, kv.ErrNoLeader
	case s.cfg.ID:
		return s.change(ctx, m, request)
	}
	encoded, err := json.Marshal(request)
	if err != nil {
		return memberReply{}, err
	}
	answer, sent, err := s.transport.Forward(ctx, leader, append([]byte{memberCommand}, encoded...))
	switch {
	case err != nil && !sent:
		return memberReply{}, fmt.Errorf("%w: node %d, which leads, cannot be reached", kv.ErrNoLeader, leader)
	case err != nil:
		return memberReply{}, kv.ErrOutcomeUnknown
	}
	var reply memberReply
	if err := json.Unmarshal(answer, &reply); err != nil {
		return memberReply{}, kv.ErrOutcomeUnknown
	}
	if reply.Problem != nil {
		return reply, reply.Problem
	}
	return reply, nil
}

// executeForwarded carries out a request that another node has passed on.
func (s *server) executeForwarded(ctx context.Context, m *member, encoded []byte) []byte {
	var request memberRequest
	var reply memberReply
	err := json.Unmarshal(encoded, &request)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
		defer cancel()
		reply, err = s.change(ctx, m, request)
	}
	if err != nil {
		reply.Problem = problemOf(err)
	}
	answer, err := json.Marshal(reply)
	if err != nil {
		return nil
	}
	return answer
}

// change carries out a request on this node, which leads, or did a moment ago.
func (s *server) change(ctx context.Context, m *member, request memberRequest) (memberReply, error) {
	status, err := m.node.Status(ctx)
	if err != nil {
		return memberReply{}, problemOf(err)
	}
	var reply memberReply
	switch {
	case request.Set != nil:
		reply.Result, err = s.setMember(ctx, m, status, *request.Set)
	case request.Remove != nil:
		reply.Result, err = s.removeMember(ctx, m, status, raft.NodeID(*request.Remove))
	case request.Transfer != nil:
		reply.Leader, err = s.transfer(ctx, m, status, raft.NodeID(*request.Transfer))
	}
	if err != nil {
		return memberReply{}, problemOf(err)
	}
	return reply, nil
}

// setMember adds a server, promotes a learner or demotes a voter.
func (s *server) setMember(ctx context.Context, m *member, status raft.Status, request wire.MemberRequest) (wire.MemberResult, error) {
	result := wire.MemberResult{ID: request.ID}
	wanted, known := status.Configuration.Member(raft.NodeID(request.ID))
	if !known {
		if request.Existing {
			return result, noSuchMember(request.ID)
		}
		var err error
		if wanted, err = s.newcomer(request); err != nil {
			return result, err
		}
		if err := m.node.ChangeMembers(ctx, raft.Change{Set: []raft.Member{wanted}}); err != nil {
			return result, err
		}
		result.Done, result.Message = true, fmt.Sprintf("node %d is a learner now", request.ID)
		if request.Voter != nil && *request.Voter {
			result.Done = false
			result.Message += s.promoteLater(m, wanted)
		}
		return result, nil
	}
	if request.RPCAddr != "" {
		wanted.Address = request.RPCAddr
	}
	if request.Voter != nil {
		wanted.Votes, wanted.Held = *request.Voter, !*request.Voter
	}
	err := m.node.ChangeMembers(ctx, raft.Change{Basis: status.ConfigurationIndex, Set: []raft.Member{wanted}})
	switch {
	case errors.Is(err, raft.ErrNotCaughtUp):
		result.Message = fmt.Sprintf("node %d is a learner", request.ID) + s.promoteLater(m, wanted)
		return result, nil
	case err != nil:
		return result, err
	}
	result.Done = true
	result.Message = fmt.Sprintf("node %d votes now", request.ID)
	if !wanted.Votes {
		result.Message = fmt.Sprintf("node %d is a learner now, and stays one until it is promoted", request.ID)
	}
	return result, nil
}

// newcomer returns the learner that a request asks to add.
func (s *server) newcomer(request wire.MemberRequest) (raft.Member, error) {
	m := raft.Member{ID: raft.NodeID(request.ID), Address: request.RPCAddr, Held: request.Voter != nil && !*request.Voter}
	if request.InstanceID != "" {
		instance, err := parseUUID(request.InstanceID)
		if err != nil {
			return m, wire.NewProblem(wire.ImpossibleChange, fmt.Sprintf("instance_id: %v", err))
		}
		m.Instance = instance
	}
	for _, g := range s.gossip.Members() {
		if g.ID != request.ID || g.Status != gossip.StatusAlive {
			continue
		}
		if m.Instance == (raft.InstanceID{}) {
			m.Instance = raft.InstanceID(g.InstanceID)
		}
		if m.Address == "" {
			m.Address = g.RPCAddr
		}
	}
	if m.Instance == (raft.InstanceID{}) || m.Address == "" {
		return m, wire.NewProblem(wire.NoSuchMember, fmt.Sprintf(
			"node %d is no member, and gossip does not see it alive: start it with --seed-gossip-addrs, or name its rpc_addr and instance_id", request.ID))
	}
	return m, nil
}

// parseUUID reads the usual form of a UUID.
func parseUUID(text string) (id [16]byte, err error) {
	digits, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(digits) != len(id) {
		return id, fmt.Errorf("%.40q is no UUID", text)
	}
	return [16]byte(digits), nil
}

// promotionPause is how long to wait before a learner is tried again.
const promotionPause = 200 * time.Millisecond

// promoteLater makes a learner a voter when it has caught up, as long as this
// node leads. It returns how the message goes on that says so.
func (s *server) promoteLater(m *member, wanted raft.Member) string {
	wanted.Votes, wanted.Held = true, false
	if _, running := s.promotions.LoadOrStore(wanted.ID, true); !running {
		s.background.run(func(ctx context.Context) {
			defer s.promotions.Delete(wanted.ID)
			s.promote(ctx, m, wanted)
		})
	}
	return ", and will vote as soon as it has caught up, if this leader lasts until then: see /api/members"
}

func (s *server) promote(ctx context.Context, m *member, wanted raft.Member) {
	for {
		select {
		case <-time.After(promotionPause):
		case <-ctx.Done():
			return
		}
		attempt, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
		err := m.node.ChangeMembers(attempt, raft.Change{Set: []raft.Member{wanted}})
		cancel()
		later := errors.Is(err, raft.ErrNotCaughtUp) || errors.Is(err, raft.ErrChangePending) ||
			errors.Is(err, raft.ErrLeaderTooNew) || errors.Is(err, raft.ErrNoLiveMajority)
		if !later {
			if err == nil {
				s.log.Info(fmt.Sprintf("node %d has caught up and votes now, as asked", wanted.ID))
			}
			return
		}
	}
}

// removeMember removes a member. To remove itself, a leader hands over first: a
// leader that is no member any more would have to do it anyway, and until then
// it would lead without counting.
func (s *server) removeMember(ctx context.Context, m *member, status raft.Status, id raft.NodeID) (wire.MemberResult, error) {
	result := wire.MemberResult{ID: uint64(id)}
	member, known := status.Configuration.Member(id)
	voters := status.Configuration.Voters()
	switch {
	case !known:
		return result, noSuchMember(uint64(id))
	case member.Votes && len(voters) == 1:
		return result, wire.NewProblem(wire.ImpossibleChange, fmt.Sprintf(
			"node %d is the last voter: without it there is no cluster; add another one first, or stop the node and delete its data", id))
	case id == s.cfg.ID:
		if _, err := s.transfer(ctx, m, status, raft.None); err != nil {
			return result, err
		}
		reply, err := s.atLeader(ctx, memberRequest{Remove: new(uint64(id))})
		return reply.Result, err
	}
	if err := m.node.ChangeMembers(ctx, raft.Change{Basis: status.ConfigurationIndex, Remove: []raft.NodeID{id}}); err != nil {
		return result, err
	}
	return removed(uint64(id)), nil
}

func removed(id uint64) wire.MemberResult {
	return wire.MemberResult{ID: id, Done: true,
		Message: fmt.Sprintf("node %d is no member any more; with its data directory it cannot come back", id)}
}

// transfer hands over leadership.
func (s *server) transfer(ctx context.Context, m *member, status raft.Status, to raft.NodeID) (uint64, error) {
	target, known := status.Configuration.Member(to)
	switch {
	case to == raft.None:
	case !known:
		return 0, noSuchMember(uint64(to))
	case to == s.cfg.ID:
		return 0, wire.NewProblem(wire.ImpossibleChange, fmt.Sprintf("node %d leads already", to))
	case !target.Votes:
		return 0, wire.NewProblem(wire.ImpossibleChange, fmt.Sprintf("node %d is a learner and cannot lead: promote it first", to))
	}
	if err := m.node.TransferLeadership(ctx, to); err != nil {
		return 0, err
	}
	return uint64(m.node.Leader()), nil
}

func noSuchMember(id uint64) *wire.Problem {
	return wire.NewProblem(wire.NoSuchMember, fmt.Sprintf("node %d is no member of this cluster", id))
}

// problems are the refusals of Raft in the words of the API.
var problems = []struct {
	err error
	uri string
}{
	{raft.ErrChangePending, wire.ChangePending},
	{raft.ErrLeaderTooNew, wire.ChangePending},
	{raft.ErrTransferring, wire.ChangePending},
	{raft.ErrOtherConfiguration, wire.ConfigurationChanged},
	{raft.ErrNotCaughtUp, wire.NotCaughtUp},
	{raft.ErrNoLiveMajority, wire.NoLiveMajority},
	{raft.ErrInvalidChange, wire.ImpossibleChange},
	{raft.ErrNoSuccessor, wire.ImpossibleChange},
	{node.ErrTransferFailed, wire.TransferFailed},
	{node.ErrBusy, wire.Busy},
	{node.ErrDropped, wire.NoLeader},
	{node.ErrStopped, wire.Stopping},
	{kv.ErrNoLeader, wire.NoLeader},
}

// problemOf says in the words of the API why something was not done, or not for
// certain.
func problemOf(err error) *wire.Problem {
	if p, ok := errors.AsType[*wire.Problem](err); ok {
		return p
	}
	for _, p := range problems {
		if errors.Is(err, p.err) {
			return wire.NewProblem(p.uri, err.Error())
		}
	}
	if _, ok := errors.AsType[*node.NotLeaderError](err); ok {
		return wire.NewProblem(wire.NoLeader, "the leader has just changed, and nothing was done: try again")
	}
	return wire.NewProblem(wire.OutcomeUnknown,
		"the change was not confirmed in time; it may have happened or may still happen: look at /api/members before trying again")
}

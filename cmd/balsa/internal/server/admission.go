package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"balsa/gossip"
	"balsa/raft"
	"balsa/rpc"
)

// A server with seeds and an empty data directory waits until a cluster has
// taken it in. Gossip lets the leader's autopilot see that it is there; whether
// it has been added only Raft's configuration says, and this server has none
// yet. So it asks the members that gossip shows: "am I one of you?" The answer
// of a member that has it in a committed configuration is what it acts on.
//
// Gossip alone would not do. It names the cluster too, but to store a cluster's
// id is for good, and a wrong word in gossip must not tie an empty data
// directory to a cluster that never wanted it.

// admissionQuestion begins a question about admission; the questions of founders
// begin with another byte. Who asks is known from the handshake.
const admissionQuestion = 'A'

// admissionAnswer is what a member says to it.
type admissionAnswer struct {
	// Cluster is the member's own cluster.
	Cluster gossip.UUID `json:"cluster"`
	// Member says that the one who asks is in its committed configuration, Voter
	// that it votes there.
	Member bool `json:"member,omitempty"`
	Voter  bool `json:"voter,omitempty"`
	// Removed says that it was in one, and is not to come back.
	Removed bool `json:"removed,omitempty"`
	// Reason says why it is not a member yet, if this member knows.
	Reason string `json:"reason,omitempty"`
}

// maxReason bounds the reason in an answer, in bytes, as shown to an operator.
const maxReason = 500

// answerAdmission answers a server that asks whether it is a member.
func (s *server) answerAdmission(peer rpc.Identity) []byte {
	if s.member.Load() == nil {
		return nil
	}
	answer := admissionAnswer{Cluster: s.clusterID()}
	configuration, committed := s.configuration()
	member, known := configuration.Member(peer.Node)
	switch {
	case !committed:
		answer.Reason = "members are being changed right now"
	case known && member.Instance == peer.Instance:
		answer.Member, answer.Voter = true, configuration.IsVoter(peer.Node)
	case known:
		answer.Reason = wrongInstance(peer.Node)
	case configuration.WasRemoved(peer.Node, peer.Instance):
		answer.Removed, answer.Reason = true, removedSentence(peer.Node)
	default:
		answer.Reason = s.noteOn(peer.Node, peer.Instance)
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		return nil
	}
	return encoded
}

// Pauses between two rounds of questions: an impatient one at first, while the
// leader is probably about to add this server, and then a patient one.
const (
	admissionPause    = 200 * time.Millisecond
	maxAdmissionPause = time.Second
)

// seekAdmission asks until a cluster has taken this server in, and then makes it
// a member.
func (s *server) seekAdmission(ctx context.Context) {
	for pause := admissionPause; !s.joined.Load(); pause = min(pause*3/2, maxAdmissionPause) {
		if s.askAround(ctx) {
			if err := s.become(); err != nil {
				s.fail(err)
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// askAround asks one member after the other, and reports whether one of them said
// yes and the log is now the cluster's.
func (s *server) askAround(ctx context.Context) bool {
	waiting := "no member of a cluster has been found through --seed-gossip-addrs yet"
	clusters := map[gossip.UUID]bool{}
	for _, m := range s.gossip.Members() {
		if m.Status != gossip.StatusAlive || m.ClusterID == (gossip.UUID{}) || m.ID == uint64(s.cfg.ID) {
			continue
		}
		clusters[m.ClusterID] = true
		if len(clusters) > 1 {
			s.await("gossip shows two clusters that share a name, and this node does not choose: give each its own --cluster-name")
			return false
		}
		answer, ok := s.askForAdmission(ctx, m)
		switch {
		case !ok:
			waiting = fmt.Sprintf("node %d, a member, does not answer at %s", m.ID, m.RPCAddr)
			continue
		case answer.Voter && s.cfg.BootstrapExpect > 0:
			return false
		case answer.Member && answer.Cluster == m.ClusterID:
			err := s.joinCluster(answer.Cluster)
			if err != nil {
				s.fail(err)
			}
			return err == nil
		case answer.Removed:
			s.fail(&RemovedError{answer.Reason})
			return false
		}
		waiting = answer.Reason
	}
	s.await(waiting)
	return false
}

// waitForRemoval asks the members whether this server was removed, and returns
// the words of the one that says so. One is enough: it says so only of a change
// that is committed, and a removed data directory is never taken back. The
// opposite proves nothing: a member may not have heard of the change yet. So it
// goes on asking for a while, and returns "" if nobody says so.
func (s *server) waitForRemoval(ctx context.Context) string {
	for range 50 {
		for _, m := range s.gossip.Members() {
			if m.Status != gossip.StatusAlive || m.ClusterID != s.clusterID() || m.ID == uint64(s.cfg.ID) {
				continue
			}
			if answer, ok := s.askForAdmission(ctx, m); ok && answer.Removed && answer.Cluster == m.ClusterID {
				return answer.Reason
			}
		}
		select {
		case <-ctx.Done():
			return ""
		case <-time.After(admissionPause):
		}
	}
	return ""
}

// askForAdmission asks one member.
func (s *server) askForAdmission(ctx context.Context, m gossip.Member) (admissionAnswer, bool) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	reply, peer, err := s.transport.Ask(ctx, m.RPCAddr, []byte{admissionQuestion})
	if err != nil || peer.Node != raft.NodeID(m.ID) {
		return admissionAnswer{}, false
	}
	var answer admissionAnswer
	if json.Unmarshal(reply, &answer) != nil {
		return admissionAnswer{}, false
	}
	answer.Reason = oneSentence(answer.Reason)
	return answer, true
}

// oneSentence makes text of another node fit to be shown: one line, of printable
// characters, not too long.
func oneSentence(text string) string {
	if len(text) > maxReason {
		text = text[:maxReason]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, ""))
}

// joinCluster stores the id of the cluster that has admitted this server.
func (s *server) joinCluster(cluster gossip.UUID) error {
	if founder := s.founder.Swap(nil); founder != nil {
		founder.Close() // whatever it was about to found
	}
	if err := s.logStore.Join(cluster); err != nil {
		return fmt.Errorf("joining the cluster: %w", err)
	}
	s.log.Info("admitted to a cluster, as a learner until this node has caught up", "cluster", cluster.String())
	s.joined.Store(true)
	s.gossip.SetClusterID(cluster)
	return nil
}

// await takes note of what this server waits for, and logs it when it changes.
func (s *server) await(what string) {
	if s.cfg.BootstrapExpect > 0 {
		return // the founder says what it waits for
	}
	if old := s.awaited.Swap(&what); old == nil || *old != what {
		s.log.Info("waiting to be added to a cluster: " + what)
	}
}

package autopilot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"balsa/raft"
)

// action is one thing to do: a change of members, or a handover of leadership.
type action struct {
	change   raft.Change
	transfer raft.NodeID // None: it is a change
	parts    []part      // what it makes of whom
}

// part says what an action makes of one server, in the form "made a voter".
type part struct {
	server *server
	fate   string
}

func (a *action) String() string {
	texts := make([]string, len(a.parts))
	for i, p := range a.parts {
		texts[i] = fmt.Sprintf("%s is %s", p.server.id, p.fate)
	}
	return strings.Join(texts, ", ")
}

// deliberation is a decision in the making. The rules look at the servers,
// remark on each of them, and propose what could be done; what is done is the
// first proposal against which nothing speaks.
type deliberation struct {
	cfg       Config
	now       time.Time
	status    raft.Status
	memory    *memory
	servers   []*server
	proposals []action // most urgent first
}

// decide is all that the autopilot knows about what to do. It returns at most
// one action, because only one change of members can be under way, and because
// after each the world is another one; and it leaves a remark with every server
// that there is something to say about. It depends on nothing but its arguments
// and changes nothing but the remarks.
func decide(cfg Config, w world, m *memory, servers []*server) *action {
	d := &deliberation{cfg: cfg, now: w.now, status: w.status, memory: m, servers: servers}
	d.describe()
	d.handOver()
	if !d.takeVotes() {
		d.giveVotes()
	}
	d.removeGone()
	d.admit()
	d.followAddresses()
	return d.choose()
}

func (d *deliberation) propose(a action) { d.proposals = append(d.proposals, a) }

// choose picks the action and says of all proposals what will become of them.
func (d *deliberation) choose() *action {
	hold := d.hold()
	var chosen *action
	for i := range d.proposals {
		a := &d.proposals[i]
		refused := d.memory.putOff(a, d.now)
		switch {
		case !d.cfg.Enabled:
			a.remark("could be ", "; the autopilot is off")
		case hold != "":
			a.remark("is to be ", "; waits for "+hold)
		case !d.isSafe(a):
			a.remark("is to be ", "; waits until a majority of the voters is healthy")
		case refused != nil:
			a.remark("is to be ", "; not now: "+refused.Error())
		case chosen != nil:
			a.remark("is to be ", "")
		default:
			chosen = a
			a.change.Basis = d.status.ConfigurationIndex
			a.remark("is being ", "")
		}
	}
	return chosen
}

// hold returns what has to end before anything can be done, or "". The core would
// refuse it as well; this says it in better words.
func (d *deliberation) hold() string {
	configuration := d.status.Configuration
	switch {
	case configuration.Joint() || d.status.ConfigurationIndex > d.status.CommitIndex:
		return "the change of members that is under way"
	case d.status.TransferTo != raft.None:
		return fmt.Sprintf("the handover of leadership to %s", d.status.TransferTo)
	}
	return ""
}

// isSafe reports whether more than half of the voters are healthy before an
// action and after it; while a change of voters is under way, decisions take
// both. It guards every change, whichever rule proposed it. What gossip says does
// not count here.
//
// It also means that of n voters at most (n-1)/2 can lose their vote because they
// are gone: those are not healthy.
func (d *deliberation) isSafe(a *action) bool {
	if a.transfer != raft.None {
		return true
	}
	after := make(map[raft.NodeID]bool)
	for _, m := range a.change.Set {
		after[m.ID] = m.Votes
	}
	for _, id := range a.change.Remove {
		after[id] = false
	}
	votesAfter := func(s *server) bool {
		votes, changes := after[s.id]
		return s.member != nil && (votes || !changes && s.votes())
	}
	return hasMajority(d.voters()) && hasMajority(d.where(votesAfter))
}

// hasMajority reports whether more than half of some voters are healthy.
func hasMajority(voters []*server) bool {
	healthy := 0
	for _, s := range voters {
		if s.healthy {
			healthy++
		}
	}
	return healthy > len(voters)/2
}

// remark tells the operator about each server that the action is about.
func (a *action) remark(before, after string) {
	for _, p := range a.parts {
		if !p.server.planned {
			p.server.planned = true
			p.server.say("", "%s%s%s", before, p.fate, after)
		}
	}
}

// where returns the servers for which a condition holds, in their order.
func (d *deliberation) where(holds func(*server) bool) []*server {
	var found []*server
	for _, s := range d.servers {
		if holds(s) {
			found = append(found, s)
		}
	}
	return found
}

func (d *deliberation) voters() []*server { return d.where((*server).votes) }

// learners returns the members that do not vote.
func (d *deliberation) learners() []*server {
	return d.where(func(s *server) bool { return s.member != nil && !s.votes() })
}

// ready returns the learners that could vote now.
func (d *deliberation) ready() []*server {
	return slices.DeleteFunc(d.learners(), func(s *server) bool {
		return s.contested || s.member.Held || s.steady < d.cfg.StabilizationTime ||
			!s.replicating || !isNear(d.cfg, d.status, s)
	})
}

// setVote returns the change of a member that gives or takes its vote.
func (s *server) setVote(votes bool) raft.Member {
	return raft.Member{ID: s.id, Instance: s.instance, Address: s.member.Address, Votes: votes, Held: s.member.Held && !votes}
}

package sim

import (
	"errors"
	"strings"
	"testing"

	"balsa/raft"
)

// scene is a cluster of three that has worked without faults for a while.
type scene struct {
	*world
	leader, follower, third *node
}

func newScene(t *testing.T) scene {
	t.Helper()
	o, err := quiet(3, 1000).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s := scene{world: newWorld(o)}
	s.begin()
	calm := func() bool {
		return s.now > ticks(500) && agreedLeader(s.nodes) != nil && s.converged(s.nodes) && s.oracle.committed() > 5
	}
	if !s.until(ticks(5000), calm) {
		t.Fatalf("the cluster does not come to rest: %v", s.failure)
	}
	s.leader = s.world.leader()
	s.follower, s.third = s.nodes[s.leader.id%3], s.nodes[(s.leader.id+1)%3]
	return s
}

func (s scene) term() raft.Term { return s.leader.core.Term() }

// appends makes the oracle believe that a node has appended an entry of the
// current term.
func (s scene) appends(n *node, data string) raft.Index {
	i := n.view.log.last() + 1
	e := raft.NewEntry(raft.EntryID{Term: s.term(), Index: i}, raft.EntryCommand, encodeCommand(0, uint64(len(data)), 0))
	s.oracle.handedOut(n, &raft.Write{ID: n.view.lastWrite + 1, HardState: n.view.hardState, Entries: []raft.Entry{e}})
	return i
}

func (s scene) message(from, to *node, term raft.Term, body raft.Body) raft.Message {
	return raft.Message{From: from.id, To: to.id, Term: term, Body: body}
}

// lie is something that a wrong core would do, and the rule that it breaks.
type lie struct {
	what, rule string
	tell       func(s scene)
}

// expectViolations checks that the oracle objects to each lie, with the right
// words.
func expectViolations(t *testing.T, lies []lie) {
	for _, lie := range lies {
		t.Run(lie.what, func(t *testing.T) {
			s := newScene(t)
			lie.tell(s)
			if s.failure == nil {
				t.Fatal("nothing is violated")
			}
			if s.failure.Rule != lie.rule {
				t.Errorf("%s is violated, want %s: %s", s.failure.Rule, lie.rule, s.failure.Detail)
			}
		})
	}
}

// Each of these is something that a wrong core would do. The oracle must object,
// and with the right words.
func TestTheOracleSeesEveryKindOfViolation(t *testing.T) {
	granted := &raft.RequestVoteReply{Granted: true}
	expectViolations(t, []lie{
		{"a second leader in a term", "Election Safety", func(s scene) {
			s.oracle.saw(s.follower, raft.Event{Kind: raft.EventRole, Role: raft.Leader, Term: s.term()})
		}},
		{"a leader elected again in its term, after a crash", "Election Safety", func(s scene) {
			s.oracle.saw(s.leader, raft.Event{Kind: raft.EventRole, Role: raft.Leader, Term: s.term()})
		}},
		{"AppendEntries from one who does not lead", "Election Safety", func(s scene) {
			s.oracle.sent(s.follower, s.message(s.follower, s.third, s.term(), &raft.AppendEntries{}))
		}},
		{"a second vote is sent in a term", "One Vote", func(s scene) {
			s.follower.disk.hardState = raft.HardState{CurrentTerm: 9, VotedFor: s.leader.id}
			s.oracle.sent(s.follower, s.message(s.follower, s.leader, 9, granted))
			s.follower.disk.hardState.VotedFor = s.third.id
			s.oracle.sent(s.follower, s.message(s.follower, s.third, 9, granted))
		}},
		{"the vote on a disk changes within a term", "One Vote", func(s scene) {
			d := &s.follower.disk
			d.hardState.VotedFor = s.leader.id
			s.oracle.becomesDurable(s.follower, &raft.Write{
				ID: d.lastWrite + 1, HardState: raft.HardState{CurrentTerm: d.hardState.CurrentTerm, VotedFor: s.third.id},
			})
		}},
		{"a vote is sent before it is durable", "Vote Durability", func(s scene) {
			s.follower.disk.hardState.VotedFor = raft.None
			s.oracle.sent(s.follower, s.message(s.follower, s.third, s.term(), granted))
		}},
		{"a vote is requested before the own one is durable", "Vote Durability", func(s scene) {
			s.follower.disk.hardState.VotedFor = raft.None
			s.oracle.sent(s.follower, s.message(s.follower, s.third, s.term(), &raft.RequestVote{}))
		}},
		{"a message of a term that is not durable", "Term Durability", func(s scene) {
			s.oracle.sent(s.follower, s.message(s.follower, s.third, s.term()+1, &raft.RequestVote{}))
		}},
		{"the term on a disk goes back", "Term Durability", func(s scene) {
			s.oracle.becomesDurable(s.follower, &raft.Write{
				ID: s.follower.disk.lastWrite + 1, HardState: raft.HardState{CurrentTerm: 1},
			})
		}},
		{"an acknowledgement before the entry is durable", "Durability", func(s scene) {
			s.oracle.sent(s.follower, s.message(s.follower, s.leader, s.term(),
				&raft.AppendEntriesReply{Success: true, MatchIndex: s.follower.disk.log.last() + 1}))
		}},
		{"a core takes for durable what is not", "Durability", func(s scene) {
			s.oracle.saw(s.follower, raft.Event{Kind: raft.EventDurable, Last: s.follower.disk.log.last() + 1})
		}},
		{"a majority of the disks lacks what is committed", "Durability", func(s scene) {
			i := s.appends(s.leader, "new")
			s.oracle.commit(s.leader, raft.Event{Role: raft.Leader, Term: s.term(), Last: i})
		}},
		{"a majority of the disks loses what was committed", "Durability", func(s scene) {
			i := s.oracle.committed()
			remove := func(n *node) {
				w := &raft.Write{ID: n.disk.lastWrite + 1, HardState: n.disk.hardState, TruncateFrom: i}
				s.oracle.becomesDurable(n, w)
				if err := n.disk.log.write(w, 0); err != nil {
					panic(err)
				}
				n.disk.witness = n.disk.log.lastID()
			}
			remove(s.follower)
			remove(s.third)
		}},
		{"a disk that differs from the log", "Durability", func(s scene) {
			s.follower.disk.log.records = s.follower.disk.log.records[:1]
			s.oracle.wholeLogs(s.follower)
		}},
		{"entries go to the state machine before the disk", "Durability", func(s scene) {
			v := &s.follower.view
			s.follower.disk.log.records = s.follower.disk.log.records[:1]
			v.handed = 1
			s.oracle.handedToApply(s.follower, raft.Apply{First: 2, Last: 2})
		}},
		{"a leader removes entries", "Leader Append-Only", func(s scene) {
			last := s.leader.view.log.last() + 1
			s.oracle.saw(s.leader, raft.Event{Kind: raft.EventTruncated, Role: raft.Leader, Term: s.term(), Entry: raft.EntryID{Index: last}})
		}},
		{"a leader's write truncates", "Leader Append-Only", func(s scene) {
			v := &s.leader.view
			s.oracle.handedOut(s.leader, &raft.Write{ID: v.lastWrite + 1, HardState: v.hardState, TruncateFrom: v.log.last()})
		}},
		{"an entry after another past", "Log Matching", func(s scene) {
			s.appends(s.follower, "one")
			s.appends(s.third, "other")
			s.appends(s.follower, "same")
			s.appends(s.third, "same")
		}},
		{"a server removes what it has committed", "State Machine Safety", func(s scene) {
			s.oracle.saw(s.follower, raft.Event{Kind: raft.EventTruncated, Entry: raft.EntryID{Index: s.follower.view.commit}})
		}},
		{"a follower commits before the leader", "State Machine Safety", func(s scene) {
			i := s.appends(s.follower, "new")
			s.oracle.commit(s.follower, raft.Event{Role: raft.Follower, Term: s.term(), Last: i})
		}},
		{"another entry is committed at an index", "State Machine Safety", func(s scene) {
			i := s.oracle.committed()
			s.follower.view.log.records[i-1].chain++
			s.oracle.commit(s.follower, raft.Event{Role: raft.Follower, Term: s.term(), Last: i})
		}},
		{"another entry is applied at an index", "State Machine Safety", func(s scene) {
			e := raft.NewEntry(raft.EntryID{Term: s.term(), Index: s.oracle.committed()}, raft.EntryNoop, nil)
			s.follower.machine.apply(e)
			s.oracle.applied(s.follower, e)
		}},
		{"commitIndex goes back", "Commit Monotonic", func(s scene) {
			s.oracle.saw(s.follower, raft.Event{Kind: raft.EventCommitted, Last: s.follower.view.commit - 1})
		}},
		{"a new leader lacks a committed entry", "Leader Completeness", func(s scene) {
			v := &s.follower.view
			v.log.records = v.log.records[:v.log.last()-1]
			s.oracle.saw(s.follower, raft.Event{Kind: raft.EventRole, Role: raft.Leader, Term: s.term() + 1})
			s.oracle.leaderCompleteness(s.follower, s.term()+1)
		}},
		{"a later leader lacks what is committed now", "Leader Completeness", func(s scene) {
			i := s.appends(s.leader, "new")
			s.oracle.saw(s.third, raft.Event{Kind: raft.EventRole, Role: raft.Leader, Term: s.term() + 1})
			s.third.view.elected = false
			s.leader.disk.log.records = s.leader.view.log.records
			s.follower.disk.log.records = s.leader.view.log.records
			s.oracle.commit(s.leader, raft.Event{Role: raft.Leader, Term: s.term(), Last: i})
		}},
		{"matchIndex is beyond the follower's disk", "Match Index", func(s scene) {
			d := &s.follower.disk
			d.log.records = d.log.records[:d.log.last()-1]
			d.witness = d.log.lastID()
			s.oracle.progress(s.leader)
		}},
		{"matchIndex goes back", "Match Index", func(s scene) {
			s.leader.view.match[s.follower.id-1].index++
			s.oracle.progress(s.leader)
		}},
		{"entries are applied with a gap", "Apply", func(s scene) {
			v := &s.follower.view
			v.handed--
			s.oracle.handedToApply(s.follower, raft.Apply{First: v.handed + 2, Last: v.handed + 2})
		}},
		{"entries are applied before they are committed", "Apply", func(s scene) {
			v := &s.follower.view
			v.commit--
			v.handed--
			s.oracle.handedToApply(s.follower, raft.Apply{First: v.handed + 1, Last: v.handed + 1})
		}},
		{"a read misses what was committed before", "Linearizable Reads", func(s scene) {
			floor := s.oracle.committed()
			s.oracle.readAnswered(s.follower, raft.ReadResult{Index: floor - 1}, &read{floor: floor})
		}},
		{"a follower is told of an index that nobody committed", "Linearizable Reads", func(s scene) {
			s.oracle.sent(s.leader, s.message(s.leader, s.follower, s.term(), &raft.ReadIndexReply{Index: s.oracle.committed() + 1}))
		}},
		{"a read is answered twice", "Reads", func(s scene) {
			s.oracle.readAnswered(s.follower, raft.ReadResult{ID: 1}, nil)
		}},
		{"a read is answered without asking a majority", "Confirmation", func(s scene) {
			s.oracle.askedRead(s.leader, 1, false)
			s.oracle.readAnswered(s.leader, raft.ReadResult{ID: 1, Index: s.oracle.committed()}, &read{asLeader: true})
		}},
		{"a round is echoed that has not begun", "Confirmation", func(s scene) {
			s.oracle.sent(s.follower, s.message(s.follower, s.leader, s.term(),
				&raft.AppendEntriesReply{Round: s.oracle.rounds[s.term()] + 1}))
		}},
		{"a core whose log is not the one it has written", "Core", func(s scene) {
			s.follower.view.log.records[1].entry.Term++
			s.oracle.wholeLogs(s.follower)
		}},
		{"an acknowledged write is lost", "Acknowledged Writes", func(s scene) {
			s.history = append(s.history, Operation{Kind: Put, Key: "k0", Value: "nowhere", Outcome: Done})
			s.checkWrites()
		}},
		{"a failed write takes effect", "Acknowledged Writes", func(s scene) {
			for i := range s.history {
				if s.history[i].Kind == Put && s.history[i].Outcome == Done {
					s.history[i].Outcome = Failed
				}
			}
			s.checkWrites()
		}},
		{"a cluster without connections", "Liveness", func(s scene) {
			s.network.partition(func(_, _ raft.NodeID) bool { return false })
			s.checkProgress(s.noHardship())
		}},
		{"a campaign in a healthy cluster", "Liveness", func(s scene) {
			s.hint(s.follower, s.leader.id)
			s.checkQuiet(s.nodes)
		}},
	})
}

func TestAPanicOfACoreIsAViolation(t *testing.T) {
	o, err := quiet(3, 1000).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(o)
	w.at(ticks(100), func() { panic("raft: broken invariant") })
	w.run()
	if w.failure == nil || w.failure.Rule != "Assertion" || !strings.Contains(w.failure.Detail, "broken invariant") {
		t.Errorf("the run ends with %v", w.failure)
	}
}

func TestAViolationSaysHowToRepeatItAndWhatHappened(t *testing.T) {
	s := newScene(t)
	s.repeat = Options{Seed: 3, Nodes: 5}.Repeat()
	s.violated("Some Rule", "some detail")
	s.violated("Another Rule", "which is only a consequence")
	var v *Violation
	if !errors.As(error(s.failure), &v) || v.Rule != "Some Rule" {
		t.Fatalf("the violation is %v", s.failure)
	}
	for _, want := range []string{"seed 3", "--seed 3 --nodes 5", "Some Rule", "some detail", "n1     n2     n3", "AppendEntries"} {
		if !strings.Contains(v.Error(), want) {
			t.Errorf("the error does not contain %q:\n%s", want, v)
		}
	}
	if lines := strings.Count(v.Trace, "\n"); lines > s.options.TraceLength+1 {
		t.Errorf("the trace has %d lines, want at most %d and a heading", lines, s.options.TraceLength)
	}
}

package raft

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// pair is a leader and one follower with given logs, of a cluster of two, wired
// together without loss.
type pair struct {
	leader, follower *Core
	rejections       int
}

func coreWithLog(t *testing.T, id NodeID, voters int, term Term, terms []Term) *Core {
	t.Helper()
	log := LogState{Configurations: []IndexedConfiguration{{1, testConfiguration(voters)}}, Last: Index(len(terms))}
	for i, term := range terms {
		if i == 0 || terms[i-1] != term {
			log.Spans = append(log.Spans, TermSpan{term, Index(i + 1)})
		}
	}
	c, err := New(Config{ID: id, Random: func(n int) int { return int(id) % n }},
		InitialState{HardState: HardState{CurrentTerm: term}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exchange runs both cores until they have nothing to say. Entries that are not
// in memory are made up from their terms: no test here looks at the data.
func (p *pair) exchange(t *testing.T) {
	t.Helper()
	cores := map[NodeID]*Core{1: p.leader, 2: p.follower}
	for busy := true; busy; {
		busy = false
		for _, id := range []NodeID{1, 2} {
			c := cores[id]
			out := c.TakeOutput()
			if out.Write != nil {
				c.Written(out.Write.ID)
				busy = true
			}
			for _, l := range out.Load {
				var entries []Entry
				for i := l.First; i <= l.Last; i++ {
					term, _ := c.TermAt(i)
					entries = append(entries, NewEntry(EntryID{term, i}, EntryCommand, nil))
				}
				c.Loaded(l.To, entries)
				busy = true
			}
			if out.Apply.First != 0 {
				c.Applied(out.Apply.Last)
				busy = true
			}
			for _, m := range append(out.Send, out.SendAfterWrite...) {
				busy = true
				if reply, ok := m.Body.(*AppendEntriesReply); ok && !reply.Success {
					p.rejections++
				}
				if to := cores[m.To]; to != nil {
					to.Step(m)
				}
			}
			if err := c.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The number of round trips is bounded by the number of terms in which the logs
// differ, not by the number of entries.
//
// Trap 28.
// Rules: append.backup.
func TestGoingBackCostsARoundTripPerTermAtMost(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 500 {
		// After the common part the two logs have no term in common: by Log
		// Matching, an entry with the same index and term would be common too.
		common := randomTerms(rng, []Term{1}, 1+rng.IntN(10), 0)
		leaderTerms := randomTerms(rng, common, rng.IntN(40), 0)
		followerTerms := randomTerms(rng, common, rng.IntN(40), 1)
		// Term 60 is later than all of them, and the leader's log ends with it,
		// so that it may win.
		leaderTerms = append(leaderTerms, 60)
		p := &pair{leader: coreWithLog(t, 1, 2, 60, leaderTerms), follower: coreWithLog(t, 2, 2, 60, followerTerms)}
		for p.leader.Role() != Leader {
			p.leader.Tick()
			p.exchange(t)
		}
		var differing []Term
		for _, log := range [][]Term{leaderTerms, followerTerms} {
			for _, term := range log[commonPrefix(leaderTerms, followerTerms):] {
				if !slices.Contains(differing, term) {
					differing = append(differing, term)
				}
			}
		}
		if p.rejections > len(differing)+1 {
			t.Fatalf("%d rejections for %d differing terms\nleader   %v\nfollower %v",
				p.rejections, len(differing), leaderTerms, followerTerms)
		}
		if got, want := p.follower.log.lastID(), p.leader.log.lastID(); got != want {
			t.Fatalf("the follower's log ends with %s, the leader's with %s", got, want)
		}
		if got, want := p.follower.log.spans, p.leader.log.spans; !slices.Equal(got, want) {
			t.Fatalf("the follower's terms are %v, the leader's %v", got, want)
		}
	}
}

// randomTerms continues a log by n entries, all in new terms of that parity.
func randomTerms(rng *rand.Rand, prefix []Term, n int, parity Term) []Term {
	terms := slices.Clone(prefix)
	for i := range n {
		last := terms[len(terms)-1]
		if i == 0 || rng.IntN(3) == 0 && last < 44 {
			last += Term(1 + rng.IntN(4))
			last += (last + parity) % 2
		}
		terms = append(terms, last)
	}
	return terms
}

func commonPrefix(a, b []Term) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func TestTheWorkedExampleOfGoingBack(t *testing.T) {
	p := &pair{
		leader:   coreWithLog(t, 1, 2, 6, []Term{1, 1, 1, 3, 3, 3, 5, 5, 6}),
		follower: coreWithLog(t, 2, 2, 6, []Term{1, 1, 1, 2, 2, 4, 4}),
	}
	for p.leader.Role() != Leader {
		p.leader.Tick()
		p.exchange(t)
	}
	if p.rejections != 2 {
		t.Errorf("%d rejections, the comment of nextAfterRejection says 2", p.rejections)
	}
}

// Rejections may be late, doubled, or nonsense. None lowers matchIndex,
// makes the leader send from below it, or breaks it.
//
// Traps 28 and 29.
// Rules: append.backup.
func TestNoReplyWhateverItSaysMovesMatchBackOrNextBelowIt(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		terms := append(randomTerms(rng, []Term{1}, 20, 0), 50)
		p := &pair{leader: coreWithLog(t, 1, 2, 50, terms), follower: coreWithLog(t, 2, 2, 50, terms)}
		for p.leader.Role() != Leader {
			p.leader.Tick()
			p.exchange(t)
		}
		progress := p.leader.peers[2]
		for range 30 {
			before := progress.match
			reply := &AppendEntriesReply{
				RejectedPrev: Index(rng.IntN(30)),
				Hint:         EntryID{Term(rng.IntN(60)), Index(rng.IntN(40))},
				Round:        rng.Uint64N(3),
			}
			p.leader.Step(Message{From: 2, To: 1, Term: p.leader.Term(), Body: reply})
			if progress.match < before || progress.next <= progress.match {
				t.Fatalf("after %s: match %d (was %d), next %d", reply, progress.match, before, progress.next)
			}
			if err := p.leader.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

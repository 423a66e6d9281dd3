package raft

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// group is a cluster whose disks and network are instant, except that some of its
// servers cannot hear some others.
type group struct {
	cores   []*Core // of servers 1 to n
	network []Message
	// hears says whether what a server sends to another arrives.
	hears func(from, to NodeID) bool
}

// newGroup returns servers with the given logs and terms.
func newGroup(t *testing.T, seed uint64, logs [][]Term, terms []Term) *group {
	g := &group{hears: func(NodeID, NodeID) bool { return true }}
	rng := rand.New(rand.NewPCG(seed, 1))
	for i, log := range logs {
		c := coreWithLog(t, NodeID(i+1), len(logs), terms[i], log)
		c.cfg.ElectionTicks, c.cfg.HeartbeatTicks, c.cfg.Random = 10, 3, rng.IntN
		c.resetElectionTimer()
		g.cores = append(g.cores, c)
	}
	return g
}

// tick lets one tick pass, and all that follows from it.
func (g *group) tick() {
	for _, c := range g.cores {
		c.Tick()
	}
	for busy := true; busy; {
		busy = false
		for _, c := range g.cores {
			busy = g.carryOut(c) || busy
		}
		arriving := g.network
		g.network = nil
		for _, m := range arriving {
			if g.hears(m.From, m.To) {
				g.cores[m.To-1].Step(m)
			}
		}
		busy = busy || len(arriving) > 0
	}
}

// carryOut does what a core wants done and returns whether there was anything.
// Entries that are not in memory are made up from their terms.
func (g *group) carryOut(c *Core) bool {
	out := c.TakeOutput()
	if out.Write != nil {
		c.Written(out.Write.ID)
	}
	for _, m := range append(out.Send, out.SendAfterWrite...) {
		if m.To == c.id {
			c.Step(m)
		} else {
			g.network = append(g.network, m)
		}
	}
	for _, l := range out.Load {
		var entries []Entry
		for i := l.First; i <= l.Last; i++ {
			term, _ := c.TermAt(i)
			entries = append(entries, NewEntry(EntryID{term, i}, EntryNoop, nil))
		}
		c.Loaded(l.To, entries)
	}
	if out.Apply.First != 0 {
		c.Applied(out.Apply.Last)
	}
	return out.Write != nil || len(out.Load) > 0 || out.Apply.First != 0
}

// propose makes whoever leads append something.
func (g *group) propose() {
	for _, c := range g.cores {
		if c.Role() == Leader {
			_, _ = c.Propose([]byte("x"))
		}
	}
}

// committed is what anybody knows to be committed.
func (g *group) committed() Index {
	var most Index
	for _, c := range g.cores {
		most = max(most, c.commitIndex)
	}
	return most
}

// Servers may come back with longer logs and with later terms than the others, in
// any combination, and no more of them than a majority. The one whose log is long
// enough must be able to win, although the others are in a later term and it does not
// know of that: PreVote must not stand in its way.
//
// Trap 12.
// Rules: term.reject.
func TestALeaderIsFoundWhateverTheLogsAndTheTerms(t *testing.T) {
	for _, test := range []struct{ servers, alive int }{{3, 3}, {3, 2}, {5, 3}} {
		for combination := range 1 << (2 * test.alive) {
			logs, terms := make([][]Term, test.servers), make([]Term, test.servers)
			for i := range test.servers {
				logs[i], terms[i] = []Term{1, 2}, 2
				if combination&(1<<(2*i)) != 0 {
					logs[i] = []Term{1, 2, 2, 2}
				}
				if combination&(2<<(2*i)) != 0 {
					terms[i] = 7
				}
			}
			g := newGroup(t, uint64(combination), logs, terms)
			g.hears = func(from, to NodeID) bool { return int(from) <= test.alive && int(to) <= test.alive }
			ticks := 0
			for g.committed() == 0 && ticks < 100 {
				g.tick()
				ticks++
			}
			if ticks == 100 {
				t.Fatalf("%d of the servers with the logs %v in the terms %v: no leader that commits anything within ten election timeouts",
					test.alive, logs, terms)
			}
		}
	}
}

// Wherever one server hears a majority and is heard by it, something is committed
// sooner or later, and goes on being committed, whatever else is cut. A leader that
// is heard and does not hear, or that reaches a few of them only, must not keep the
// others from electing one that can work.
//
// Trap 17.
// Rules: timer.random.
func TestSomethingIsCommittedWhereverAMajorityCanTalkToOneOfThem(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for graph := range uint(1 << 6) {
		mustCommit(t, 3, directed(3, graph))
	}
	graphs := 50
	if testing.Short() {
		graphs = 10
	}
	for range graphs {
		mustCommit(t, 5, undirected(5, uint(rng.Uint64())))
		// Few pairs of a random directed graph can talk both ways, so most edges
		// are present.
		mustCommit(t, 5, directed(5, uint(rng.Uint64()|rng.Uint64())))
	}
}

// edges says which server (first index) is heard by which.
type edges [6][6]bool

func directed(servers int, bits uint) edges {
	var e edges
	for from := 1; from <= servers; from++ {
		for to := 1; to <= servers; to++ {
			if from != to {
				e[from][to] = bits&1 != 0
				bits >>= 1
			}
		}
	}
	return e
}

func undirected(servers int, bits uint) edges {
	var e edges
	for a := 1; a <= servers; a++ {
		for b := a + 1; b <= servers; b++ {
			e[a][b], e[b][a] = bits&1 != 0, bits&1 != 0
			bits >>= 1
		}
	}
	return e
}

// String names who hears whom.
func (e edges) String() string {
	s := ""
	for from := range e {
		for to := range e {
			if e[from][to] {
				s += fmt.Sprintf(" %d>%d", from, to)
			}
		}
	}
	return s
}

// mustCommit lets a cluster begin whole, cuts it down to these edges, and looks
// whether it goes on committing if it can.
func mustCommit(t *testing.T, servers int, e edges) {
	t.Helper()
	possible := false
	for a := 1; a <= servers; a++ {
		both := 1
		for b := 1; b <= servers; b++ {
			if e[a][b] && e[b][a] {
				both++
			}
		}
		possible = possible || both > servers/2
	}
	if !possible {
		return
	}
	logs, terms := make([][]Term, servers), make([]Term, servers)
	for i := range servers {
		logs[i], terms[i] = []Term{1}, 1
	}
	g := newGroup(t, 1, logs, terms)
	for range 40 {
		g.tick()
	}
	g.hears = func(from, to NodeID) bool { return e[from][to] }
	// Ten election timeouts to find a leader, and then something in each ten.
	for range 100 {
		g.tick()
	}
	for range 3 {
		before := g.committed()
		for range 10 {
			g.propose()
			for range 10 {
				g.tick()
			}
		}
		if g.committed() == before {
			t.Fatalf("nothing is committed in ten election timeouts, with who hears whom:%s", e)
		}
	}
}

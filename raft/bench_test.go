package raft

import (
	"fmt"
	"testing"
)

// replicaGroup is a leader and its followers with instant disks and a network
// that delivers at once: what remains is the cost of the core itself.
type replicaGroup struct {
	cores []*Core
}

func newReplicaGroup(tb testing.TB, n int) *replicaGroup {
	tb.Helper()
	g := &replicaGroup{}
	for id := NodeID(1); id <= NodeID(n); id++ {
		c, err := New(Config{ID: id, Random: func(n int) int { return int(id) % n }, CacheBytes: 1 << 20}, InitialState{
			HardState: FoundingHardState(),
			Log: LogState{
				Last: 1, Spans: []TermSpan{{1, 1}},
				Configurations: []IndexedConfiguration{{1, testConfiguration(n)}},
			},
			State: Snapshot{Last: EntryID{1, 1}},
		})
		if err != nil {
			tb.Fatal(err)
		}
		g.cores = append(g.cores, c)
	}
	for g.cores[0].Role() != Leader {
		g.cores[0].Tick()
		g.settle()
	}
	return g
}

// settle carries out everything until all cores are idle.
func (g *replicaGroup) settle() {
	for busy := true; busy; {
		busy = false
		for _, c := range g.cores {
			out := c.TakeOutput()
			if out.Write != nil {
				c.Written(out.Write.ID)
				busy = true
			}
			if out.Apply.First != 0 {
				c.Applied(out.Apply.Last)
				busy = true
			}
			for _, list := range [][]Message{out.Send, out.SendAfterWrite} {
				for _, m := range list {
					g.cores[m.To-1].Step(m)
					busy = true
				}
			}
		}
	}
}

// BenchmarkPropose is the steady state of a leader and two followers: a batch of
// proposals is appended, replicated, acknowledged, committed and applied on all
// three. Allocations are for all three cores together, per proposal.
func BenchmarkPropose(b *testing.B) {
	for _, batch := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			g := newReplicaGroup(b, 3)
			commands := make([][]byte, batch)
			for i := range commands {
				commands[i] = make([]byte, 128)
			}
			b.ReportAllocs()
			rounds := 0
			for b.Loop() {
				if _, err := g.cores[0].Propose(commands...); err != nil {
					b.Fatal(err)
				}
				g.settle()
				rounds++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rounds*batch), "ns/proposal")
		})
	}
}

func BenchmarkReadIndex(b *testing.B) {
	g := newReplicaGroup(b, 3)
	b.ReportAllocs()
	id := uint64(0)
	for b.Loop() {
		id++
		g.cores[0].ReadIndex(id)
		g.settle()
	}
}

func BenchmarkEncodeDecodeAppendEntries(b *testing.B) {
	ae := &AppendEntries{Prev: EntryID{1, 1}}
	for i := range Index(64) {
		ae.Entries = append(ae.Entries, NewEntry(EntryID{1, i + 2}, EntryCommand, make([]byte, 128)))
	}
	m := Message{From: 1, To: 2, Term: 1, Body: ae}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = m.AppendTo(buf[:0])
		if _, err := DecodeMessage(buf); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

// The claim of the design: a proposal in a batch costs the three cores together
// less than two allocations.
func TestSteadyStateAllocatesLittlePerProposal(t *testing.T) {
	g := newReplicaGroup(t, 3)
	const batch = 64
	commands := make([][]byte, batch)
	for i := range commands {
		commands[i] = make([]byte, 128)
	}
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := g.cores[0].Propose(commands...); err != nil {
			t.Fatal(err)
		}
		g.settle()
	})
	t.Logf("%.1f allocations per batch of %d, %.2f per proposal, on three servers", allocs, batch, allocs/batch)
	if allocs > 2*batch {
		t.Errorf("%.1f allocations per batch of %d proposals", allocs, batch)
	}
}

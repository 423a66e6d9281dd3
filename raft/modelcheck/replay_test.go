package modelcheck

import (
	"strings"
	"testing"
)

// TestReplayFindsTheWay replays the way to the world that is farthest away, and comes to
// the same one.
func TestReplayFindsTheWay(t *testing.T) {
	for _, name := range []string{"elections", "copies", "snapshots", "growing"} {
		scope := named(t, name)
		c, err := New(scope)
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSearch(c)
		if err != nil {
			t.Fatal(err)
		}
		number, last := -1, uint64(0)
		s.seen = func(w *world) { number, last = number+1, c.fingerprint(w) }
		if r := s.run(nil); !r.Exhausted {
			t.Fatalf("%s: %s", name, r.Counterexample)
		}
		parent := int(s.parents[number])
		actions := s.way(parent, int(s.taken[number]))

		again, err := newSearch(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range actions {
			if !again.follow(a) {
				t.Fatalf("%s: not possible: %s", name, a)
			}
		}
		if got := c.fingerprint(&again.w); got != last || len(actions) != s.result.Depth {
			t.Errorf("%s: %d actions lead to %x, not to %x at depth %d", name, len(actions), got, last, s.result.Depth)
		}
		if v, err := Replay(scope, actions); v != nil || err != nil {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

func TestReplayRefusesWhatIsNotPossible(t *testing.T) {
	scope := named(t, "elections")
	_, err := Replay(scope, []Action{{Kind: Timeout, Server: 1}, {Kind: Heartbeat, Server: 1}})
	if err == nil || !strings.Contains(err.Error(), "action 2 is not possible: n1 sends heartbeats") {
		t.Errorf("a candidate sends heartbeats: %v", err)
	}
	scope.Voters = 6
	if _, err := Replay(scope, nil); err == nil {
		t.Error("six servers are accepted")
	}
}

func named(t *testing.T, name string) Scope {
	t.Helper()
	for _, s := range Scopes() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no scope is called %s", name)
	return Scope{}
}

// BenchmarkExplore says how many worlds are visited in a second.
func BenchmarkExplore(b *testing.B) {
	for _, name := range []string{"log", "reads", "changes"} {
		b.Run(name, func(b *testing.B) {
			states, transitions := 0, 0
			for range b.N {
				for _, s := range Scopes() {
					if s.Name != name {
						continue
					}
					c, err := New(s)
					if err != nil {
						b.Fatal(err)
					}
					r, err := c.Explore(nil)
					if err != nil || !r.Exhausted {
						b.Fatal(err, r.Counterexample)
					}
					states, transitions = states+r.States, transitions+r.Transitions
				}
			}
			b.ReportMetric(float64(states)/b.Elapsed().Seconds(), "worlds/s")
			b.ReportMetric(float64(transitions)/b.Elapsed().Seconds(), "transitions/s")
		})
	}
}

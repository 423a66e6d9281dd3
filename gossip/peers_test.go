package gossip

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// awaitState waits until a condition on what a server sees of states holds.
func awaitState(t *testing.T, g *Gossip, what string, holds func() bool) {
	t.Helper()
	changed, stop := g.WatchState("")
	defer stop()
	giveUp := time.After(5 * time.Minute)
	for !holds() {
		select {
		case <-changed:
		case <-giveUp:
			t.Fatalf("server %d never saw: %s\npeers: %+v\nconflicts: %+v", g.Self().ID, what, g.Peers(""), g.Conflicts())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatAServerSaysIsKnownEverywhere(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 5)
		must(t, servers[2].SetAll(map[string]string{"raft/role": "leader", "raft/term": "7"}))
		must(t, servers[2].Set("state", "ready"))
		said := time.Now()
		for _, g := range servers {
			awaitState(t, g, "the state of server 3", func() bool {
				s, ok := g.State(3)
				return ok && maps.Equal(s.Values, map[string]string{"raft/role": "leader", "raft/term": "7", "state": "ready"})
			})
		}
		if took := time.Since(said); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		must(t, servers[2].Delete("state"))
		must(t, servers[2].Set("raft/role", "follower"))
		for _, g := range servers {
			awaitState(t, g, "the change", func() bool {
				role, _ := g.Get(3, "raft/role")
				_, there := g.Get(3, "state")
				return role == "follower" && !there
			})
		}
		late := n.start(t, testConfig(t, 6))
		awaitState(t, late, "what was said before it joined", func() bool {
			role, _ := late.Get(3, "raft/role")
			return role == "follower"
		})
		if s, ok := late.State(99); ok {
			t.Errorf("an unknown server says %+v", s)
		}
	})
}

func TestRefusalsReachTheCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		g := n.start(t, testConfig(t, 1))
		if err := g.Set("a b", ""); !errors.Is(err, ErrKey) {
			t.Error(err)
		}
		if err := g.Delete(strings.Repeat("k", MaxKey+1)); err == nil {
			t.Error("a key that cannot be was deleted")
		}
		if _, ok := errors.AsType[*LimitError](g.Set("k", strings.Repeat("v", MaxValue+1))); !ok {
			t.Error("a long value is published")
		}
		for _, ttl := range []time.Duration{0, -time.Second, time.Microsecond, MaxTTL + 1} {
			if err := g.SetTTL("k", "v", ttl); !errors.Is(err, ErrTTL) {
				t.Errorf("%v: %v", ttl, err)
			}
		}
		c := testConfig(t, 2)
		c.Generation = maxGeneration + 1
		c.Transport = n.listen(c.Bind)
		if _, err := Start(t.Context(), c); err == nil {
			t.Error("a generation with no larger one is accepted")
		}
	})
}

func TestAWatchHearsOfItsPrefixOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 2)
		a, b := servers[0], servers[1]
		must(t, b.SetAll(map[string]string{"raft/role": "leader", "api/addr": "x:1"}))
		pass(time.Minute)
		raft, stop := a.WatchState("raft/")
		heard := func() bool {
			pass(5 * time.Second)
			select {
			case <-raft:
				return true
			default:
				return false
			}
		}
		must(t, b.Set("api/addr", "x:2"))
		must(t, b.Set("raft/role", "leader"))
		if heard() {
			t.Error("another prefix, and a value that did not change, gave a signal")
		}
		for i := range 10 {
			must(t, b.Set("raft/term", fmt.Sprint(i)))
			pass(time.Second)
		}
		if !heard() || heard() {
			t.Error("ten changes gave none or several signals to a reader that was away")
		}
		peers := a.Peers("raft/")
		if len(peers) != 2 || peers[1].ID != 2 || !maps.Equal(peers[1].State.Values, map[string]string{"raft/role": "leader", "raft/term": "9"}) {
			t.Errorf("under the prefix: %+v", peers)
		}
		must(t, b.Delete("raft/term"))
		if !heard() {
			t.Error("a key that was deleted gave no signal")
		}
		must(t, a.Set("raft/role", "follower"))
		if !heard() {
			t.Error("this server's own change gave no signal")
		}
		stop()
		must(t, b.Set("raft/term", "10"))
		if heard() {
			t.Error("a signal after stop")
		}
	})
}

func TestAKeyExpiresEverywhereAlsoWhenItsOwnerIsDead(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 3)
		for _, ownerDies := range []bool{false, true} {
			owner := servers[2]
			for range 5 { // renewed, it lasts
				must(t, owner.SetTTL("lease", "mine", 20*time.Second))
				pass(15 * time.Second)
			}
			for _, g := range servers {
				if v, _ := g.Get(3, "lease"); v != "mine" {
					t.Fatalf("server %d lost a lease that is renewed", g.Self().ID)
				}
			}
			if ownerDies {
				owner.Close()
			}
			until := time.Now().Add(8 * time.Second)
			for _, g := range servers[:2] {
				awaitState(t, g, "the lease expire", func() bool {
					_, ok := g.Get(3, "lease")
					return !ok
				})
			}
			if late := time.Since(until); late > 0 {
				t.Errorf("it expired too late by %v", late)
			}
		}
	})
}

func TestLiveServersThatAreReady(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 4)
		var ids []string // what was seen, in order
		ctx, cancel := context.WithCancel(t.Context())
		seen, done := make(chan string), make(chan struct{})
		go func() {
			defer close(done)
			for live := range servers[0].WatchLive(ctx, HasKeys("raft/role", "api/addr")) {
				text := ""
				for _, p := range live {
					text += fmt.Sprint(p.ID)
				}
				seen <- text
			}
		}()
		expect := func(want string) {
			t.Helper()
			select {
			case got := <-seen:
				ids = append(ids, got)
				if got != want {
					t.Fatalf("live and ready: %q, want %q", ids, want)
				}
			case <-time.After(5 * time.Minute):
				t.Fatalf("live and ready: %q, and nothing more; want %q", ids, want)
			}
		}
		expect("")
		must(t, servers[1].Set("raft/role", "follower"))
		pass(time.Minute)
		must(t, servers[1].Set("api/addr", "x:1"))
		expect("2")
		must(t, servers[3].SetAll(map[string]string{"raft/role": "leader", "api/addr": "x:3"}))
		expect("24")
		must(t, servers[3].Set("raft/role", "follower")) // changes nothing about who is ready
		pass(time.Minute)
		servers[1].Close()
		expect("4")
		must(t, servers[3].Delete("api/addr"))
		expect("")
		cancel()
		<-done
		if all := servers[0].Live(nil); len(all) != 3 {
			t.Errorf("alive: %+v", all)
		}
	})
}

func TestARestartBeginsANewStateAtOnce(t *testing.T) {
	for _, generations := range [][2]uint64{{1, 2}, {0, 0}, {9, 1}} {
		inBubble(t, func(t *testing.T, n *memoryNetwork) {
			n.start(t, testConfig(t, 1))
			b := n.start(t, testConfig(t, 2))
			start := func(generation uint64) *Gossip {
				c := testConfig(t, 3)
				c.Generation = generation
				return n.start(t, c)
			}
			g := start(generations[0])
			must(t, g.SetAll(map[string]string{"raft/role": "leader", "old": "x", "state": "ready"}))
			before, _ := g.State(3)
			awaitState(t, b, "the state", func() bool { _, ok := b.Get(3, "old"); return ok })
			g.Close()
			g = start(generations[1])
			must(t, g.Set("raft/role", "follower"))
			restarted := time.Now()
			awaitState(t, b, "the new life's state", func() bool { v, _ := b.Get(3, "raft/role"); return v == "follower" })
			if took := time.Since(restarted); took > 15*time.Second {
				t.Errorf("generations %v: it took %v", generations, took)
			}
			s, _ := b.State(3)
			if len(s.Values) != 1 || generations != [2]uint64{0, 0} && s.Generation <= before.Generation {
				t.Errorf("generations %v: after %+v came %+v", generations, before, s)
			}
		})
	}
}

// TestStatesConvergeOverABadNetwork has real memberlists lose a third of their
// packets, restart, and be apart for longer than tombstones are kept.
func TestStatesConvergeOverABadNetwork(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		const size = 6
		servers := n.cluster(t, size)
		n.disturb(0.3)
		for round := range 30 {
			for i, g := range servers {
				must(t, g.SetAll(map[string]string{"round": fmt.Sprint(round), "twice": fmt.Sprint(round)}))
				must(t, g.Set(fmt.Sprint("k", (round+i)%7), strings.Repeat("v", 100)))
				must(t, g.Delete(fmt.Sprint("k", (round+i+3)%7)))
				must(t, g.SetTTL("lease", fmt.Sprint(round), 5*time.Second))
			}
			switch round {
			case 10: // cut off for longer than tombstones are kept
				n.split("10.0.0.1:7000", "10.0.0.2:7000")
			case 20:
				n.disturb(0)
				pass(tombstoneGrace + time.Minute)
				n.disturb(0.3)
				n.heal()
			case 5, 15, 25:
				last := size - 1
				servers[last].Close()
				c := testConfig(t, size)
				c.Generation = uint64(round)
				servers[last] = n.start(t, c)
			}
			pass(time.Second)
			for _, g := range servers {
				for _, p := range g.Peers("") {
					if p.State.Values["round"] != p.State.Values["twice"] {
						t.Fatalf("server %d sees half of a change: %+v", g.Self().ID, p.State)
					}
				}
			}
		}
		n.disturb(0)
		quiet := time.Now()
		for _, g := range servers {
			await(t, g, "everybody", func() bool { return count(g, StatusAlive) == size })
		}
		agree := func() bool {
			for _, g := range servers {
				for id := range uint64(size) {
					mine, _ := g.State(id + 1)
					theirs, _ := servers[id].State(id + 1)
					if mine.Version != theirs.Version || !maps.Equal(mine.Values, theirs.Values) {
						return false
					}
				}
			}
			return true
		}
		pass(6 * time.Second) // the last leases expire
		for range 60 {
			if agree() {
				break
			}
			pass(time.Second)
		}
		if !agree() {
			for _, g := range servers {
				t.Errorf("server %d: %+v", g.Self().ID, g.Peers(""))
			}
		}
		t.Logf("equal after %v", time.Since(quiet))
	})
}

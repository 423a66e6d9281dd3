package gossip

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestServersFindEachOtherThroughOneSeed(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 5)
		for _, g := range servers {
			for i, m := range g.Members() {
				id := uint64(i + 1)
				want := testConfig(t, id)
				if m.ID != id || m.InstanceID != want.InstanceID || m.RPCAddr != want.RPCAddr || m.APIAddr != want.APIAddr || m.GossipAddr != want.Bind {
					t.Fatalf("member %d is %+v", i, m)
				}
			}
			if addr, ok := g.Address(4); !ok || addr != "10.0.0.4:21000" {
				t.Fatalf("Address(4) = %q, %v", addr, ok)
			}
			if addr, ok := g.Address(9); ok {
				t.Fatalf("Address of an unknown server = %q", addr)
			}
		}
	})
}

func TestStartDoesNotWaitForSeeds(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		var log logBuffer
		c := testConfig(t, 2)
		c.Logger = log.logger()
		before := time.Now()
		late := n.start(t, c)
		if waited := time.Since(before); waited != 0 {
			t.Fatalf("Start waited for %v", waited)
		}
		pass(5 * time.Minute)
		if got := log.count("seed not reached"); got != 1 {
			t.Errorf("the missing seed was logged %d times in five minutes, want once", got)
		}
		n.start(t, testConfig(t, 1))
		await(t, late, "the seed that started late", func() bool { return count(late, StatusAlive) == 2 })
		pass(time.Minute)
		if got := log.count("seed reached"); got != 1 {
			t.Errorf("the seed's return was logged %d times, want once", got)
		}
	})
}

// fakeResolver answers with what the test says at the moment.
type fakeResolver struct {
	mu  sync.Mutex
	ips []netip.Addr
}

func (r *fakeResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ips, nil
}

func TestSeedNamesAreLookedUpAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		n.start(t, testConfig(t, 1))
		resolver := &fakeResolver{ips: []netip.Addr{netip.MustParseAddr("10.9.9.9")}}
		c := testConfig(t, 2)
		c.Seeds = []string{"seed.example:7000"}
		c.Resolver = resolver
		g := n.start(t, c)
		pass(time.Minute)
		if got := count(g, StatusAlive); got != 1 {
			t.Fatalf("%d servers alive, want 1", got)
		}
		resolver.mu.Lock()
		// The name has two addresses now, and the first of them is not taken.
		resolver.ips = []netip.Addr{netip.MustParseAddr("10.9.9.8"), netip.MustParseAddr("10.0.0.1")}
		resolver.mu.Unlock()
		await(t, g, "the seed at its new address", func() bool { return count(g, StatusAlive) == 2 })
	})
}

func TestLeavingIsNotDeath(t *testing.T) {
	for _, timing := range []Timing{TimingLAN, TimingLocal} {
		inBubble(t, func(t *testing.T, n *memoryNetwork) {
			var servers []*Gossip
			for id := range uint64(6) {
				c := testConfig(t, id+1)
				c.Timing = timing
				servers = append(servers, n.start(t, c))
			}
			for _, g := range servers {
				await(t, g, "all", func() bool { return count(g, StatusAlive) == 6 })
			}
			if err := servers[4].Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := servers[4].Close(); err != nil {
				t.Fatal(err)
			}
			servers[5].Close() // a crash, as far as the others can tell
			for _, g := range servers[:4] {
				await(t, g, "server 5 gone and server 6 dead", func() bool {
					return member(g, 5).Status != StatusAlive && member(g, 6).Status == StatusDead
				})
				if got := member(g, 5).Status; got != StatusLeft {
					t.Errorf("server %d sees the server that left as %s", g.Self().ID, got)
				}
			}
			// memberlist forgets both; the table does not.
			pass(2 * time.Minute)
			for _, g := range servers[:4] {
				if member(g, 5).Status != StatusLeft || member(g, 6).Status != StatusDead {
					t.Errorf("after two minutes server %d sees %+v", g.Self().ID, g.Members())
				}
			}
		})
	}
}

func TestWhoWasCutOffLearnsOfALeaveLater(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 4)
		n.split("10.0.0.2:7000")
		if err := servers[3].Leave(t.Context()); err == nil {
			t.Error("Leave told server 2, which is cut off")
		}
		servers[3].Close()
		cutOff := servers[1]
		await(t, cutOff, "everybody dead", func() bool { return count(cutOff, StatusDead) == 3 })
		n.heal()
		await(t, cutOff, "server 4 as left", func() bool { return member(cutOff, 4).Status == StatusLeft })
		await(t, cutOff, "the others alive", func() bool { return count(cutOff, StatusAlive) == 3 })
	})
}

func TestAServerThatLeftMayComeBackAndCrash(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 3)
		a, b := servers[0], servers[1]
		if err := servers[2].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		servers[2].Close()
		await(t, a, "server 3 as left", func() bool { return member(a, 3).Status == StatusLeft })
		again := n.start(t, testConfig(t, 3))
		for _, g := range []*Gossip{a, b} {
			await(t, g, "server 3 back", func() bool { return member(g, 3).Status == StatusAlive })
		}
		again.Close()
		for _, g := range []*Gossip{a, b} {
			await(t, g, "server 3 gone", func() bool { return member(g, 3).Status != StatusAlive })
			pass(time.Minute) // push/pull exchanges carry what is known of departures
			if got := member(g, 3).Status; got != StatusDead {
				t.Errorf("server %d takes the crash after an earlier departure for %q", g.Self().ID, got)
			}
		}
	})
}

func TestLongPartitionHeals(t *testing.T) {
	for _, seedIsGone := range []bool{false, true} {
		inBubble(t, func(t *testing.T, n *memoryNetwork) {
			servers := n.cluster(t, 5)
			if seedIsGone {
				// Then nobody but the other half remembers either half.
				servers[0].Close()
				servers = servers[1:]
			}
			half := len(servers) / 2
			var side []string
			for _, g := range servers[:half] {
				side = append(side, g.Self().GossipAddr)
			}
			n.split(side...)
			for i, g := range servers {
				want := half
				if i >= half {
					want = len(servers) - half
				}
				await(t, g, "its own side only", func() bool { return count(g, StatusAlive) == want })
			}
			pass(5 * time.Minute) // memberlist looks for the dead for half a minute
			n.heal()
			healed := time.Now()
			for _, g := range servers {
				await(t, g, "everybody", func() bool { return count(g, StatusAlive) == len(servers) })
			}
			if took := time.Since(healed); took > 30*time.Second {
				t.Errorf("healing took %v", took)
			}
		})
	}
}

func TestCrashedServerReturnsOnAnotherPort(t *testing.T) {
	// Its death must be noticed first, and then its name released.
	for timing, limit := range map[Timing]time.Duration{TimingLAN: 33 * time.Second, TimingLocal: 18 * time.Second} {
		inBubble(t, func(t *testing.T, n *memoryNetwork) {
			config := func(id uint64) Config {
				c := testConfig(t, id)
				c.Timing = timing
				return c
			}
			a, b, crashing := n.start(t, config(1)), n.start(t, config(2)), n.start(t, config(3))
			for _, g := range []*Gossip{a, b, crashing} {
				await(t, g, "all", func() bool { return count(g, StatusAlive) == 3 })
			}
			crashing.Close()
			// At once, while the others still take the old one for alive.
			c := config(3)
			c.Bind, c.RPCAddr = "10.0.0.3:7333", "10.0.0.3:21333"
			back := n.start(t, c)
			restarted := time.Now()
			for _, g := range []*Gossip{a, b, back} {
				await(t, g, "server 3 on its new port", func() bool {
					m := member(g, 3)
					return m.Status == StatusAlive && m.GossipAddr == c.Bind && m.RPCAddr == c.RPCAddr && count(g, StatusAlive) == 3
				})
				if addr, ok := g.Address(3); !ok || addr != c.RPCAddr {
					t.Errorf("Address(3) = %q, %v", addr, ok)
				}
				if cs := g.Conflicts(); len(cs) != 0 {
					t.Errorf("a move is reported as a conflict: %+v", cs)
				}
			}
			if took := time.Since(restarted); took > limit {
				t.Errorf("the others knew after %v", took)
			}
		})
	}
}

func TestWatchCoalescesAndNeverBlocks(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		a := n.start(t, testConfig(t, 1))
		pass(time.Second)
		changed, stop := a.Watch() // nobody reads it for a while
		for id := range uint64(10) {
			n.start(t, testConfig(t, id+2))
		}
		await(t, a, "eleven servers", func() bool { return count(a, StatusAlive) == 11 })
		<-changed
		select {
		case <-changed:
			t.Error("ten changes gave more than one signal to a reader that was away")
		default:
		}
		stop()
		n.start(t, testConfig(t, 99))
		await(t, a, "one more", func() bool { return count(a, StatusAlive) == 12 })
		select {
		case <-changed:
			t.Error("a signal after stop")
		default:
		}
	})
}

func TestLeaveAndCloseInAnyOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 3)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { servers[2].Leave(t.Context()) })
			wg.Go(func() { servers[2].Close() })
			wg.Go(func() { servers[2].SetClusterID(UUID{1}) })
		}
		wg.Wait()
		if err := servers[2].Leave(t.Context()); err != nil {
			t.Errorf("Leave after Close: %v", err)
		}
		if err := servers[2].Close(); err != nil {
			t.Errorf("Close after Close: %v", err)
		}
		if len(servers[2].Members()) != 3 {
			t.Errorf("the table of a stopped server: %+v", servers[2].Members())
		}
	})
}

func TestLeaveHasATimeLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 3)
		n.split("10.0.0.3:7000")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		before := time.Now()
		if err := servers[2].Leave(ctx); err == nil {
			t.Error("nobody could be told, and Leave reports success")
		}
		if took := time.Since(before); took > 6*time.Second {
			t.Errorf("Leave took %v", took)
		}
	})
}

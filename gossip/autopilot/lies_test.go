package autopilot

import (
	"testing"
	"testing/synctest"
	"time"

	"balsa/gossip"
	"balsa/raft"
)

// lie changes what one server sees of gossip, second by second. It never changes
// what a server says of itself, which nobody else can.
type lie func(c *cluster, viewer raft.NodeID, second int, members []gossip.Member) ([]gossip.Member, []gossip.Conflict)

// ofOthers makes a lie of what happens to each of the others.
func ofOthers(change func(c *cluster, second int, m *gossip.Member)) lie {
	return func(c *cluster, viewer raft.NodeID, second int, members []gossip.Member) ([]gossip.Member, []gossip.Conflict) {
		for i := range members {
			if members[i].ID != uint64(viewer) {
				change(c, second, &members[i])
			}
		}
		return members, nil
	}
}

func always(status gossip.Status) lie {
	return ofOthers(func(_ *cluster, _ int, m *gossip.Member) { m.Status = status })
}

var honest = ofOthers(func(*cluster, int, *gossip.Member) {})

func flapping(_ *cluster, second int, m *gossip.Member) {
	m.Status = gossip.StatusDead
	if second%2 == 0 {
		m.Status = gossip.StatusAlive
	}
}

// forgedDepartures says of everybody that is down that it has left.
func forgedDepartures(_ *cluster, _ int, m *gossip.Member) {
	if m.Status == gossip.StatusDead {
		m.Status = gossip.StatusLeft
	}
}

func foreign(_ *cluster, _ int, m *gossip.Member) { m.ClusterID = otherCluster }

// anything says anything, of servers that are there and of servers that are not.
func anything(c *cluster, viewer raft.NodeID, second int, members []gossip.Member) ([]gossip.Member, []gossip.Conflict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	statuses := []gossip.Status{gossip.StatusAlive, gossip.StatusAlive, gossip.StatusDead, gossip.StatusLeft}
	members, _ = ofOthers(func(_ *cluster, _ int, m *gossip.Member) {
		m.Status = statuses[c.rng.IntN(len(statuses))]
		switch c.rng.IntN(10) {
		case 0:
			m.ClusterID = otherCluster
		case 1:
			m.InstanceID[5]++
		case 2:
			m.RPCAddr = "10.1.1.1:21000"
		}
	})(c, viewer, second, members)
	for range c.rng.IntN(3) {
		id := raft.NodeID(1 + c.rng.IntN(30))
		members = append(members, gossip.Member{
			ID: uint64(id), Name: "invented", InstanceID: gossip.UUID{0xff, byte(c.rng.IntN(4))}, RPCAddr: addressOf(id), Status: gossip.StatusAlive,
		})
	}
	if c.rng.IntN(5) == 0 {
		return members, []gossip.Conflict{{Kind: gossip.ConflictID, ID: uint64(1 + c.rng.IntN(7))}}
	}
	return members, nil
}

// TestGossipCannotCostAQuorum lets clusters of real cores live through failures
// while gossip says what is true, or what is not. In every configuration that
// comes of it most of the voters are really there, nobody loses a vote who is
// there, and in the end the cluster works.
func TestGossipCannotCostAQuorum(t *testing.T) {
	cfg := Config{StabilizationTime: 2 * time.Second, RemoveDeadAfter: 4 * time.Second, Interval: 200 * time.Millisecond}
	const seeds, duration = 6, 60 * time.Second
	for _, world := range []struct {
		name            string
		lie             lie
		promoted, taken amount
	}{
		{"honest", honest, some, some},
		{"all are dead", always(gossip.StatusDead), none, some},
		{"all are alive", always(gossip.StatusAlive), some, none},
		{"all have left", always(gossip.StatusLeft), none, some},
		{"who is down has left", ofOthers(forgedDepartures), some, some},
		{"flapping", ofOthers(flapping), none, none},
		{"all are of another cluster", ofOthers(foreign), none, some},
		{"anything", anything, some, some},
	} {
		t.Run(world.name, func(t *testing.T) {
			promoted, taken := 0, 0
			for seed := range uint64(seeds) {
				synctest.Test(t, func(t *testing.T) {
					voters := 3 + 2*int(seed%2)
					c := newCluster(t, seed, voters, 7, cfg)
					defer c.close()
					c.live(duration, world.lie)
					promoted, taken = promoted+c.promoted, taken+c.taken
					c.recover()
				})
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			t.Logf("%d votes given, %d taken", promoted, taken)
			if amountOf(promoted) != world.promoted || amountOf(taken) != world.taken {
				t.Errorf("%d votes given, want %s; %d taken, want %s", promoted, world.promoted, taken, world.taken)
			}
		})
	}
}

// amount is all that is expected of a number: a world in which nothing happens
// would prove nothing.
type amount string

const (
	some amount = "some"
	none amount = "none"
)

func amountOf(n int) amount {
	if n > 0 {
		return some
	}
	return none
}

// live lets time pass, with failures, while gossip says what a lie makes of it.
func (c *cluster) live(d time.Duration, lie lie) {
	for i := range int(d / testTick) {
		if i%int(time.Second/testTick) == 0 {
			if c.rng.IntN(3) == 0 {
				c.trouble()
			}
			c.gossip(i*int(testTick)/int(time.Second), lie)
		}
		c.tick()
	}
}

func (c *cluster) gossip(second int, lie lie) {
	for _, m := range c.servers {
		m.view.show(lie(c, m.id, second, c.truth()))
	}
}

// recover ends all trouble and all lies, and wants the cluster to work.
func (c *cluster) recover() {
	c.mu.Lock()
	for _, m := range c.servers {
		m.down = false
	}
	c.mu.Unlock()
	c.gossip(0, honest)
	for range int(20 * time.Second / testTick) {
		c.tick()
	}
	leader := c.leader()
	if leader == nil {
		c.t.Fatal("nobody leads")
	}
	var id raft.EntryID
	err := leader.do(func() (err error) { id, err = leader.core.Propose([]byte("x")); return err })
	c.tick()
	if status := leader.core.Status(); err != nil || status.CommitIndex < id.Index {
		c.t.Fatalf("a command is not committed: %v, %+v", err, status)
	}
}

package autopilot

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"balsa/gossip"
	"balsa/raft"
)

// cluster is made of real Raft cores, each with a real autopilot beside it. Their
// disks and their network do what they should; what they see of gossip is up to
// the test. It runs in a synctest bubble.
type cluster struct {
	t        *testing.T
	rng      *rand.Rand // of the goroutine of the test
	mu       sync.Mutex
	servers  []*member // of id 1, 2 and so on
	network  []raft.Message
	founding raft.Entry
	// inForce is the newest configuration of the newest leader, and the rest
	// counts what has become of it.
	inForce         raft.Configuration
	promoted, taken int
}

// member is one server: of the cluster, or about to be.
type member struct {
	c     *cluster
	id    raft.NodeID
	core  *raft.Core
	view  *fakeView
	pilot *Autopilot
	// down says that it is cut off and stands still, since when or until when.
	down    bool
	changed time.Time
}

const (
	testTick          = 100 * time.Millisecond
	testElectionTicks = 4
)

// newCluster starts servers of which the first ones are voters and the others
// are alive and belong to no cluster.
func newCluster(t *testing.T, seed uint64, voters, servers int, cfg Config) *cluster {
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 0))}
	for id := raft.NodeID(1); int(id) <= voters; id++ {
		c.inForce.Members = append(c.inForce.Members, raft.Member{ID: id, Instance: instanceOf(id), Address: addressOf(id), Votes: true})
	}
	var err error
	if c.founding, err = raft.FoundingEntry(c.inForce); err != nil {
		t.Fatal(err)
	}
	for id := raft.NodeID(1); int(id) <= servers; id++ {
		random := rand.New(rand.NewPCG(seed, uint64(id)))
		c.servers = append(c.servers, &member{c: c, id: id, view: newFakeView(), core: c.newCore(id, random, int(id) <= voters)})
	}
	// The autopilots look at the world between two ticks, never during one: so
	// what happens depends on the seed alone.
	time.Sleep(testTick / 2)
	for _, m := range c.servers {
		cfg.Raft, cfg.View, cfg.ClusterID, cfg.Enabled = m, m.view, thisCluster, true
		cfg.Logger = slog.New(slog.DiscardHandler)
		if m.pilot, err = Start(cfg); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// newCore starts a core. A founder's log begins with the founding entry.
func (c *cluster) newCore(id raft.NodeID, random *rand.Rand, founder bool) *raft.Core {
	var initial raft.InitialState
	if founder {
		initial.HardState = raft.FoundingHardState()
		initial.Log = raft.LogState{
			Last: 1, Spans: []raft.TermSpan{{Term: 1, First: 1}},
			Configurations: []raft.IndexedConfiguration{{Index: 1, Configuration: c.inForce}},
		}
		initial.State.Last = c.founding.ID()
	}
	core, err := raft.New(raft.Config{ID: id, ElectionTicks: testElectionTicks, HeartbeatTicks: 1, Random: random.IntN}, initial)
	if err != nil {
		c.t.Fatal(err)
	}
	return core
}

func (c *cluster) close() {
	for _, m := range c.servers {
		m.pilot.Close()
	}
}

// server returns the server with an id, or nil: it may have been invented.
func (c *cluster) server(id raft.NodeID) *member {
	if id < 1 || int(id) > len(c.servers) {
		return nil
	}
	return c.servers[id-1]
}

var errDown = errors.New("this server is down")

// Status and the methods after it make a member the Raft of its autopilot.
func (m *member) Status(context.Context) (raft.Status, error) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if m.down {
		return raft.Status{}, errDown
	}
	return m.core.Status(), nil
}

func (m *member) TickInterval() time.Duration { return testTick }

func (m *member) ChangeMembers(_ context.Context, change raft.Change) error {
	return m.do(func() error { _, err := m.core.ChangeMembers(change); return err })
}

func (m *member) TransferLeadership(_ context.Context, to raft.NodeID) error {
	return m.do(func() error { return m.core.TransferLeadership(to) })
}

func (m *member) do(f func() error) error {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if m.down {
		return errDown
	}
	err := f()
	m.c.settle()
	return err
}

// tick lets a tick of time pass for everybody.
func (c *cluster) tick() {
	time.Sleep(time.Until(time.Now().Truncate(testTick).Add(testTick))) // of the bubble
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.servers {
		if !m.down {
			m.core.Tick()
		}
	}
	c.settle()
	c.check()
}

// settle carries out what the cores want done until they want nothing more. Who
// is down does nothing and hears nothing.
func (c *cluster) settle() {
	for busy := true; busy; {
		busy = false
		for _, m := range c.servers {
			busy = !m.down && m.carryOut() || busy
		}
		for _, message := range c.network {
			if to := c.server(message.To); to != nil && !to.down {
				to.core.Step(message)
			}
		}
		c.network = c.network[:0]
	}
}

func (m *member) carryOut() (busy bool) {
	out := m.core.TakeOutput()
	m.c.network = append(m.c.network, out.Send...)
	if out.Write != nil {
		m.core.Written(out.Write.ID)
	}
	m.c.network = append(m.c.network, out.SendAfterWrite...)
	if out.Apply.Last > 0 {
		m.core.Applied(out.Apply.Last)
	}
	for _, load := range out.Load {
		m.core.Loaded(load.To, []raft.Entry{m.c.founding}) // all others are in memory
	}
	return out.Write != nil || len(out.Send)+len(out.SendAfterWrite)+len(out.Load) > 0 || out.Apply.Last > 0
}

// leader returns the leader of the newest term among those that are up, or nil.
func (c *cluster) leader() *member {
	var leader *member
	for _, m := range c.servers {
		if !m.down && m.core.Role() == raft.Leader && (leader == nil || m.core.Term() > leader.core.Term()) {
			leader = m
		}
	}
	return leader
}

// check compares the configuration in force with the truth. In every one, most of
// the voters are there; and nobody loses a vote who is there. A server that
// stopped or went on within the last second counts as either, because nobody can
// know yet.
func (c *cluster) check() {
	leader := c.leader()
	if leader == nil {
		return
	}
	now := leader.core.Status().Configuration
	for _, half := range [][]raft.NodeID{now.Voters(), now.OldVoters()} {
		if len(half) > 0 && c.present(half, time.Second) <= len(half)/2 {
			c.t.Fatalf("of %v only %d are there", now, c.present(half, time.Second))
		}
	}
	for _, m := range c.inForce.Members {
		if after, _ := now.Member(m.ID); m.Votes && !after.Votes {
			c.taken++
			if s := c.server(m.ID); !s.down && time.Since(s.changed) > time.Second {
				c.t.Fatalf("%s is there, and is no voter any more: %v", m.ID, now)
			}
		}
	}
	for _, id := range now.Voters() {
		if before, _ := c.inForce.Member(id); !before.Votes {
			c.promoted++
		}
	}
	c.inForce = now
}

// present counts the servers that are up, or went down within the grace.
func (c *cluster) present(ids []raft.NodeID, grace time.Duration) int {
	n := 0
	for _, id := range ids {
		if m := c.server(id); m != nil && (!m.down || time.Since(m.changed) < grace) {
			n++
		}
	}
	return n
}

// trouble stops a server, or lets one go on. It leaves a majority of the voters,
// old and new, and does not stop one before it can be known about the one before.
func (c *cluster) trouble() {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.servers[c.rng.IntN(len(c.servers))]
	if m.down {
		m.down, m.changed = false, time.Now()
		return
	}
	leader := c.leader()
	recent := func(m *member) bool { return m.down && time.Since(m.changed) < 2*time.Second }
	if leader == nil || slices.ContainsFunc(c.servers, recent) {
		return
	}
	configuration := leader.core.Status().Configuration
	m.down, m.changed = true, time.Now()
	for _, half := range [][]raft.NodeID{configuration.Voters(), configuration.OldVoters()} {
		if len(half) > 0 && c.present(half, 0) <= len(half)/2 {
			m.down = false
		}
	}
}

// truth is what gossip would say about all servers if it were always right.
func (c *cluster) truth() []gossip.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var members []gossip.Member
	for _, m := range c.servers {
		g := gossip.Member{ID: uint64(m.id), Name: m.id.String(), InstanceID: gossip.UUID(instanceOf(m.id)), RPCAddr: addressOf(m.id), Status: gossip.StatusAlive}
		if m.down {
			g.Status = gossip.StatusDead
		}
		members = append(members, g)
	}
	return members
}

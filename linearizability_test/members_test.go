package linearizability_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"balsa/api/wire"
	"balsa/kv/history"
)

// Clients work on every node while the cluster grows from one voter to three and
// five, shrinks to three with its leader removed, has a node replaced, and is
// restarted node by node. Nobody lifts a finger for the growing: the nodes are
// started with a seed, and the autopilot does the rest. What the clients saw must
// be linearizable, and there must always have been somebody who took writes.
func TestHistoryIsLinearizableWhileMembersChange(t *testing.T) {
	c := planCluster(t, 6, "--stabilization-time", "1s")
	c.nodes[0].start()
	c.waitReady(30 * time.Second)

	w := &workload{c: c, recorder: history.NewRecorder(), keys: 5, timeout: 3 * time.Second}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	working := make(chan struct{})
	go func() {
		defer close(working)
		w.run(ctx, 2, seed)
	}()

	c.step(w, "from one voter to three", func() {
		c.nodes[1].start()
		c.nodes[2].start()
		c.waitVoters(1, 2, 3)
	})
	c.step(w, "from three voters to five", func() {
		c.nodes[3].start()
		c.nodes[4].start()
		c.waitVoters(1, 2, 3, 4, 5)
	})
	c.step(w, "from five voters to three, the leader among those that go", func() {
		leader := c.mustLead()
		other := c.nodes[leader.id%5]
		for _, p := range []*process{leader, other} {
			c.remove(p)
			p.waitExit() // it is told that it was removed, and ends
		}
	})
	c.step(w, "one node replaced", func() {
		before := c.voters()
		victim := c.nodes[before[0]-1]
		victim.kill()
		c.nodes[5].start()
		c.waitMember(6)
		c.remove(victim)
		c.waitVoters(before[1], before[2], 6)
	})
	c.step(w, "a rolling restart of all nodes", func() {
		for _, id := range c.voters() {
			p := c.nodes[id-1]
			p.terminate()
			p.start()
			c.waitReady(30 * time.Second)
		}
	})

	cancel()
	<-working
	h := w.recorder.History()
	verdict := history.Check(h, 2*time.Minute)
	t.Logf("%v; %d operations recorded, %d answered", verdict, len(h.Operations), w.succeeded.Load())
	if verdict.Result != history.Linearizable {
		keep(t, h, verdict)
		t.Errorf("verdict: %v", verdict)
	}
}

// step does something to the cluster and checks that clients were served all the
// while: the longest time without a write is a few elections at most.
func (c *cluster) step(w *workload, what string, do func()) {
	c.t.Helper()
	w.gaps.restart()
	before, start := w.succeeded.Load(), time.Now()
	do()
	gap, answered := w.gaps.longest(), w.succeeded.Load()-before
	c.t.Logf("%-60s %6v, %6d operations answered, longest gap between two writes %v",
		what, time.Since(start).Round(100*time.Millisecond), answered, gap.Round(time.Millisecond))
	if answered < 20 {
		c.t.Errorf("%s: this step proved nothing, only %d operations were answered", what, answered)
	}
	if gap > 5*time.Second {
		c.t.Errorf("%s: no write succeeded for %v", what, gap)
	}
}

// members asks the leader: others may not know yet, or not any more.
func (c *cluster) members(ctx context.Context) (wire.Membership, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var last error
	for _, p := range c.nodes {
		if p.cmd == nil {
			continue
		}
		m, err := p.client.Members(ctx)
		if err == nil && m.LeaderID == m.NodeID {
			return m, nil
		}
		last = err
	}
	return wire.Membership{}, fmt.Errorf("no leader answers (%v)", last)
}

func (c *cluster) voters() []uint64 {
	c.t.Helper()
	m := c.await("a leader", func(m wire.Membership) bool { return m.Change == nil })
	return m.Voters
}

// waitVoters waits until exactly these vote and no change is under way.
func (c *cluster) waitVoters(want ...uint64) {
	c.t.Helper()
	c.await("other voters", func(m wire.Membership) bool { return m.Change == nil && slices.Equal(m.Voters, want) })
}

// waitMember waits until a node is at least a learner.
func (c *cluster) waitMember(id uint64) {
	c.t.Helper()
	c.await("the new member", func(m wire.Membership) bool {
		return slices.Contains(m.Voters, id) || slices.Contains(m.Learners, id)
	})
}

// await waits for the members to be as somebody wants them.
func (c *cluster) await(what string, want func(wire.Membership) bool) wire.Membership {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for {
		m, err := c.members(ctx)
		if err == nil && m.LeaderID != 0 && want(m) {
			return m
		}
		if ctx.Err() != nil {
			c.t.Fatalf("waiting for %s: voters %v, learners %v, change %+v, error %v", what, m.Voters, m.Learners, m.Change, err)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func (c *cluster) mustLead() *process {
	c.t.Helper()
	for {
		if leader := c.leader(); leader != nil {
			return leader
		}
		if c.t.Context().Err() != nil {
			c.t.Fatal("no leader")
		}
	}
}

// remove asks another node to remove this one, until it is done: a refusal
// because another change is under way is no failure.
func (c *cluster) remove(p *process) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for {
		asked := c.mustLead()
		if asked == p {
			// Any node takes the request; the one that goes may end before it
			// has answered.
			for _, other := range c.nodes {
				if other != p && other.cmd != nil {
					asked = other
				}
			}
		}
		_, err := asked.client.RemoveMember(ctx, uint64(p.id))
		if m, merr := c.members(ctx); merr == nil && m.Change == nil &&
			!slices.Contains(m.Voters, uint64(p.id)) && !slices.Contains(m.Learners, uint64(p.id)) {
			return
		}
		if ctx.Err() != nil {
			c.t.Fatalf("n%d is not removed: %v", p.id, err)
		}
		pause(ctx, 100*time.Millisecond)
	}
}

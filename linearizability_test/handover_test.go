package linearizability_test

import (
	"context"
	"flag"
	"slices"
	"sync"
	"testing"
	"time"
)

var handovers = flag.Int("handovers", 3, "how often a leader is stopped to measure how long no write succeeds")

// An operator stops the leader with SIGTERM. It hands over before it goes, so the
// clients of the other nodes hardly notice. How long they wait depends on the
// machine, so the limit here is wide; the figures are in docs/measurements.md.
func TestWritesGoOnWhenTheLeaderIsStopped(t *testing.T) {
	measureGaps(t, "SIGTERM", nil, (*process).terminate)
}

// The leader's process dies. The connections to it break, and the others need not
// wait until its silence is long enough.
func TestWritesGoOnWhenTheLeaderIsKilled(t *testing.T) {
	measureGaps(t, "SIGKILL", nil, (*process).kill)
}

// The same without the hint that broken connections give, to compare with.
func TestWritesGoOnWhenTheLeaderIsKilledWithoutAHint(t *testing.T) {
	measureGaps(t, "SIGKILL without the hint", []string{"--failover-hint=false"}, (*process).kill)
}

// measureGaps stops the leader again and again in the given way, while clients
// write through the other nodes, and prints how long no write succeeded.
func measureGaps(t *testing.T, what string, flags []string, stop func(*process)) {
	c := planCluster(t, 3, append([]string{"--bootstrap-expect", "3"}, flags...)...)
	for i, p := range c.nodes {
		if i == 0 {
			p.args = append(p.args, "--seed-gossip-addrs", c.nodes[1].gossip)
		}
		p.start()
	}
	c.waitReady(30 * time.Second)

	var measured []time.Duration
	for range *handovers {
		leader := c.mustLead()
		w := &workload{c: c}
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for _, p := range c.nodes {
			if p == leader {
				continue
			}
			for range 2 {
				writers.Go(func() { w.writeOnly(ctx, p) })
			}
		}
		for w.succeeded.Load() < 50 {
			pause(ctx, 10*time.Millisecond)
		}
		w.gaps.restart()
		stop(leader)
		for before := w.succeeded.Load(); w.succeeded.Load() < before+50; {
			pause(ctx, 10*time.Millisecond)
		}
		measured = append(measured, w.gaps.longest().Round(time.Millisecond))
		cancel()
		writers.Wait()
		leader.start()
		c.waitReady(30 * time.Second)
	}
	sorted := slices.Sorted(slices.Values(measured))
	median := sorted[len(sorted)/2]
	t.Logf("%s of the leader: no write succeeded for %v; median %v", what, measured, median)
	if median > 5*time.Second {
		t.Errorf("median %v", median)
	}
}

// writeOnly writes one key through one node until ctx ends.
func (w *workload) writeOnly(ctx context.Context, p *process) {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		_, err := p.client.Put(attempt, []byte(p.api), []byte("x"))
		cancel()
		if err == nil {
			w.succeeded.Add(1)
			w.gaps.wrote()
		}
	}
}

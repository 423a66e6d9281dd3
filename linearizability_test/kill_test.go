package linearizability_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"balsa/api/client"
	"balsa/kv/history"
)

// Clients put, get, delete and compare-and-set a few keys on all three nodes
// while the leader is killed with SIGKILL and started again, over and over, and
// once all three at the same time. What they saw must be linearizable.
func TestHistoryIsLinearizableWhileLeadersAreKilled(t *testing.T) {
	c := startCluster(t, 3)
	w := &workload{c: c, recorder: history.NewRecorder(), keys: 5, timeout: 3 * time.Second}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)

	working := make(chan struct{})
	go func() {
		defer close(working)
		w.run(ctx, 3, seed)
	}()
	effective := c.killLeaders(ctx, w)
	cancel()
	<-working

	c.waitReady(30 * time.Second)
	h := w.recorder.History()
	verdict := history.Check(h, 2*time.Minute)
	t.Logf("%v; %d operations recorded, %d answered, %d kills that hit operations under way",
		verdict, len(h.Operations), w.succeeded.Load(), effective)
	if verdict.Result != history.Linearizable {
		keep(t, h, verdict)
		t.Errorf("verdict: %v", verdict)
	}
	if invented := history.Invented(h); len(invented) > 0 {
		t.Errorf("%d stale reads found what nobody wrote, first %v", len(invented), invented[0])
	}
	if effective < enoughKills || w.succeeded.Load() < 200 {
		t.Errorf("this run proved nothing: %d kills hit operations under way, %d operations were answered",
			effective, w.succeeded.Load())
	}
}

// enoughKills is how often a run must have hit a leader at work to mean anything.
const enoughKills = 4

// killLeaders kills and restarts for as long as the test is to last, and longer
// if a slow machine has not had enough kills by then, but not for ever. It
// returns how often it hit a leader that was at work.
func (c *cluster) killLeaders(ctx context.Context, w *workload) (effective int) {
	start := time.Now()
	for round := 1; ; round++ {
		pause(ctx, 1500*time.Millisecond)
		lasted := time.Since(start)
		if lasted > *duration && (effective >= enoughKills || lasted > *duration+3*time.Minute) {
			return effective
		}
		victims := c.nodes
		if round%4 != 3 {
			leader := c.leader()
			if leader == nil {
				continue
			}
			victims = []*process{leader}
		}
		underWay, before := w.underWay.Load(), w.succeeded.Load()
		var back []func()
		for _, p := range victims {
			back = append(back, w.recorder.Annotate(fmt.Sprintf("n%d", p.id), "killed"))
			p.kill()
		}
		pause(ctx, 300*time.Millisecond)
		for _, p := range victims {
			p.start()
		}
		c.waitReady(30 * time.Second)
		for _, end := range back {
			end()
		}
		if underWay > 0 && before > 0 {
			effective++
		}
	}
}

// keep stores a history and its picture where somebody can look at them.
func keep(t *testing.T, h history.History, verdict history.Verdict) {
	t.Helper()
	dir, err := os.MkdirTemp("", "balsa-history-")
	if err != nil {
		t.Error(err)
		return
	}
	file, err := os.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		t.Error(err)
		return
	}
	defer file.Close()
	if err := history.Write(file, h); err != nil {
		t.Error(err)
	}
	picture := filepath.Join(dir, "history.html")
	if err := verdict.Visualize(picture); err != nil {
		t.Error(err)
	}
	t.Logf("the history is in %s, its picture in %s", file.Name(), picture)
}

// Every write that was acknowledged is there after all three processes were
// killed at once, under load, and started again.
func TestAcknowledgedWritesSurviveTheDeathOfAllNodes(t *testing.T) {
	c := startCluster(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	const writers = 8
	acknowledged := make([]int, writers) // by writer: the last number that was acknowledged
	finished := make(chan struct{})
	enough := make(chan struct{}, writers)
	go func() {
		defer close(finished)
		done := make(chan struct{})
		for i := range writers {
			node := c.nodes[i%len(c.nodes)]
			go func() {
				defer func() { done <- struct{}{} }()
				for n := 1; ctx.Err() == nil; n++ {
					key := fmt.Appendf(nil, "w%d", i)
					if _, err := node.client.Put(ctx, key, fmt.Append(nil, n)); err != nil {
						return // killed under way: this one may be there or not
					}
					acknowledged[i] = n
					if n == 50 {
						enough <- struct{}{}
					}
				}
			}()
		}
		for range writers {
			<-done
		}
	}()
	for range writers {
		<-enough
	}
	for _, p := range c.nodes {
		p.kill()
	}
	cancel()
	<-finished
	for _, p := range c.nodes {
		p.start()
	}
	c.waitReady(30 * time.Second)

	for _, p := range c.nodes {
		for i, last := range acknowledged {
			item, err := p.client.Get(t.Context(), fmt.Appendf(nil, "w%d", i))
			var got int
			if err == nil {
				_, err = fmt.Sscan(string(item.Value), &got)
			}
			if err != nil || got < last || got > last+1 {
				t.Errorf("n%d: writer %d was told that %d is stored; found %q, error %v", p.id, i, last, item.Value, err)
			}
		}
	}
}

// The cluster writes again soon after its leader's process has died.
func TestWritesGoOnAfterTheLeaderIsKilled(t *testing.T) {
	c := startCluster(t, 3)
	var leader *process
	for leader == nil {
		leader = c.leader()
	}
	survivor := c.nodes[leader.id%3]
	if _, err := leader.client.Put(t.Context(), []byte("k"), []byte("before")); err != nil {
		t.Fatal(err)
	}
	leader.kill()
	killed := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	put(ctx, t, survivor.client, "k", "after")
	gap := time.Since(killed)
	t.Logf("first write %v after the leader was killed", gap.Round(time.Millisecond))

	// The killed one comes back with the same flags and catches up.
	leader.start()
	c.waitReady(30 * time.Second)
	item, err := leader.client.Get(t.Context(), []byte("k"))
	if err != nil || string(item.Value) != "after" {
		t.Errorf("the restarted node reads %q, error %v", item.Value, err)
	}
}

// put writes until it is told that it has, which is safe for a plain put.
func put(ctx context.Context, t *testing.T, c *client.Client, key, value string) {
	t.Helper()
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := c.Put(attempt, []byte(key), []byte(value))
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("no write succeeds: %v", err)
		}
	}
}

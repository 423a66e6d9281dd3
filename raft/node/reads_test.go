package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
)

// While clients read by lease, and only then, their leader marks its rounds, and
// from the first confirmed one on a read costs no message.
func TestReadsByLeaseAskNobodyWhileTheLeaseHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		c.propose(leader, 1, "x")
		if _, err := leader.LeaseRead(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(205 * time.Millisecond) // some heartbeats, so that the lease is young; and between two ticks
		synctest.Wait()
		before := c.messagesOf(leader.cfg.ID)
		for range 100 {
			if _, err := leader.LeaseRead(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if sent := c.messagesOf(leader.cfg.ID) - before; sent != 0 {
			t.Errorf("%d messages for reads that the lease covers", sent)
		}
		if _, err := leader.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		if sent := c.messagesOf(leader.cfg.ID) - before; sent == 0 {
			t.Error("a read that does not trust the lease was confirmed by nobody")
		}
	})
}

func TestWithoutLeasesAReadByLeaseAsksAMajority(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(func(_ raft.NodeID, cfg *Config) { cfg.LeaseTime = -1 })
		leader := c.leader()
		c.propose(leader, 1, "x")
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			before := c.messagesOf(leader.cfg.ID)
			if _, err := leader.LeaseRead(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.messagesOf(leader.cfg.ID) == before {
				t.Fatal("the read was confirmed by nobody")
			}
		}
	})
}

func TestReadsByLeaseSeeEveryAcknowledgedWriteOnEveryNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		for i := range 50 {
			c.propose(leader, 1, "x")
			for id, n := range c.nodes {
				if _, err := n.LeaseRead(t.Context()); err != nil {
					t.Fatalf("read on %s: %v", id, err)
				}
				if got := len(c.kvs[id].has()); got < i+1 {
					t.Fatalf("read on %s sees %d writes, %d were acknowledged", id, got, i+1)
				}
			}
		}
	})
}

// A follower whose state machine is slow has a read confirmed long before it has
// applied what the read must see.
func TestAReadWaitsForTheStateMachine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		follower := c.followerOf(leader)
		gate := make(chan struct{})
		kv := c.kvs[follower.cfg.ID]
		kv.set(func() { kv.gate = gate })
		c.propose(leader, 1, "x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if index, err := follower.ReadIndex(ctx); err == nil {
			t.Errorf("a read at index %d is served before the state machine has applied it", index)
		}
		close(gate)
		if _, err := follower.ReadIndex(t.Context()); err != nil || len(kv.has()) != 1 {
			t.Errorf("error %v, %d of 1 writes seen", err, len(kv.has()))
		}
	})
}

// A leader is paused for longer than its lease: nothing in it runs. Meanwhile
// another one is elected and takes writes. When the old one goes on, it must not
// answer from a lease that is over, whether the read came before the pause had
// ended or after.
//
// Trap 69.
// Rules: read.lease.
func TestAPausedLeaderServesNoReadFromItsOldLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3)
		pausable := map[raft.NodeID]*pausableTransport{}
		c.start(func(id raft.NodeID, cfg *Config) {
			pausable[id] = &pausableTransport{Transport: cfg.Transport}
			cfg.Transport = pausable[id]
		})
		old := c.leader()
		c.propose(old, 1, "x")
		if _, err := old.LeaseRead(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		if _, err := old.LeaseRead(t.Context()); err != nil { // from the lease
			t.Fatal(err)
		}

		resume := pausable[old.cfg.ID].pause()
		time.Sleep(100 * time.Millisecond) // the loop stands still in its next heartbeat
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		type answer struct {
			index raft.Index
			err   error
		}
		early := make(chan answer, 1)
		go func() {
			index, err := old.LeaseRead(ctx)
			early <- answer{index, err}
		}()
		c.isolate(old.cfg.ID, true)
		other := c.leader()
		c.propose(other, 10, "y")
		time.Sleep(time.Second)
		resume()

		// It is still cut off, so nobody can tell it that it is deposed.
		alone, cancelAlone := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancelAlone()
		if index, err := old.LeaseRead(alone); !errors.Is(err, ErrNoQuorum) {
			t.Errorf("a read after the pause: index %d, error %v; want ErrNoQuorum", index, err)
		}
		select {
		case a := <-early:
			t.Fatalf("a read that came during the pause: index %d, error %v; nobody can have confirmed it", a.index, a.err)
		default:
		}
		c.isolate(old.cfg.ID, false)
		a := <-early
		if a.err != nil || len(c.kvs[old.cfg.ID].has()) != 11 {
			t.Errorf("after the cut: error %v, %d of 11 writes seen", a.err, len(c.kvs[old.cfg.ID].has()))
		}
	})
}

// pausableTransport holds up whoever sends: above all, the loop.
type pausableTransport struct {
	Transport
	gate atomic.Pointer[chan struct{}]
}

func (p *pausableTransport) Send(messages []raft.Message) {
	if gate := p.gate.Load(); gate != nil {
		<-*gate
	}
	p.Transport.Send(messages)
}

// pause stops all sending until resume is called.
func (p *pausableTransport) pause() (resume func()) {
	gate := make(chan struct{})
	p.gate.Store(&gate)
	return func() { close(gate) }
}

func TestALeaseMustEndBeforeThePromiseThatItRestsOn(t *testing.T) {
	c := newCluster(t, 1)
	settled := func(cfg Config) (time.Duration, error) {
		cfg.ID, cfg.Log, cfg.StateMachine, cfg.Transport = 1, c.logs[1], c.kvs[1], testTransport{c, 1}
		cfg, err := cfg.withDefaults()
		return cfg.LeaseTime, err
	}
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		cfg  Config
		want time.Duration
	}{
		"by default":          {Config{}, 225 * ms},
		"with coarse ticks":   {Config{Tick: 100 * ms, Heartbeat: 100 * ms, Election: 300 * ms}, 200 * ms},
		"with a remainder":    {Config{Tick: 100 * ms, Heartbeat: 100 * ms, Election: 299 * ms}, 100 * ms},
		"as long as possible": {Config{LeaseTime: 290 * ms}, 290 * ms},
		"switched off":        {Config{LeaseTime: -1}, 0},
	} {
		if got, err := settled(c.cfg); err != nil || got != c.want {
			t.Errorf("%s: lease %v, error %v; want %v", name, got, err, c.want)
		}
	}
	if _, err := settled(Config{LeaseTime: 291 * ms}); err == nil {
		t.Error("a lease that may outlive the promise is accepted")
	}
}

package rpc

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"balsa/raft"
)

func TestSenderReconnectsToARestartedPeerAtItsNewAddress(t *testing.T) {
	d := newDirectory()
	a := start(t, d, 1, &host{})
	b := start(t, d, 2, &host{})
	sendUntil(t, a, b, 1)
	b.Close()

	restarted := start(t, d, 2, &host{})
	if restarted.addr == b.addr {
		t.Fatal("the test wants another address")
	}
	sendUntil(t, a, restarted, 2)
	if n := a.Stats().Peers[2].Connections; n < 2 {
		t.Errorf("made %d connections, want one for each life of the peer", n)
	}
}

func TestLossOfAPeerIsReportedOnceAndNotForEachFailedDial(t *testing.T) {
	d := newDirectory()
	var dials atomic.Int64
	a := start(t, d, 1, &host{}, countDials(&dials))
	b := start(t, d, 2, &host{})
	sendUntil(t, a, b, 1)
	sendUntil(t, b, a, 2) // now there is a connection in either direction
	if got := a.host.losses(); len(got) != 0 {
		t.Fatalf("losses of %v reported before any", got)
	}
	b.Close()
	before := dials.Load()
	eventually(t, "several failed dials", func() bool {
		a.Send([]raft.Message{numbered(1, 2, 3)})
		return dials.Load() >= before+5
	})
	if got := a.host.losses(); !slices.Equal(got, []raft.NodeID{2}) {
		t.Errorf("losses reported: %v, want n2 once", got)
	}
	if n := a.logs.count("cannot reach peer"); n != 1 {
		t.Errorf("%d log lines about an unreachable peer, want 1", n)
	}
	if got := b.host.losses(); len(got) != 0 {
		t.Errorf("the node that was closed itself reports losses: %v", got)
	}
}

func TestLossIsReportedWhileNothingIsSent(t *testing.T) {
	d := newDirectory()
	a := start(t, d, 1, &host{})
	b := start(t, d, 2, &host{})
	sendUntil(t, a, b, 1)
	b.Close()
	eventually(t, "the loss is reported", func() bool { return len(a.host.losses()) == 1 })
}

func TestAPeerThatConnectsIsDialledAtOnce(t *testing.T) {
	d := newDirectory()
	d.set(2, "127.0.0.1:1") // nobody is there
	var dials atomic.Int64
	a := start(t, d, 1, &host{}, neverAgain, countDials(&dials))
	a.Send([]raft.Message{numbered(1, 2, 1)})
	eventually(t, "the first dial fails", func() bool { return a.logs.count("cannot reach peer") == 1 })
	fillQueue(t, a, 2)
	if n := dials.Load(); n != 1 {
		t.Errorf("dialled %d times, want no second time during the pause", n)
	}
	if _, sent, err := a.Forward(t.Context(), 2, nil); !errors.Is(err, ErrUnreachable) || sent {
		t.Fatalf("Forward: sent %v, %v", sent, err)
	}

	b := start(t, d, 2, &host{})
	sendUntil(t, b, a, 2)
	sendUntil(t, a, b, 3)
	if reply, _, err := a.Forward(t.Context(), 2, []byte("x")); err != nil || string(reply) != "did x" {
		t.Errorf("Forward: %q, %v", reply, err)
	}
}

func TestAPeerThatBreaksEveryConnectionIsNotDialledInATightLoop(t *testing.T) {
	d := newDirectory()
	d.set(3, rawServer(t, identityOf(3), func(nc net.Conn) { nc.Close() }))
	a := start(t, d, 1, &host{}, neverAgain)
	a.Send([]raft.Message{numbered(1, 3, 1)})
	eventually(t, "the connection is lost", func() bool { return len(a.host.losses()) == 1 })
	fillQueue(t, a, 3)
	rawHello(t, a.addr, hello{class: classRaft, from: identityOf(3), to: 1})
	eventually(t, "it is dialled when it shows up", func() bool { return a.Stats().Peers[3].Connections == 2 })
}

// neverAgain makes the pause between two dials longer than any test.
func neverAgain(c *Config) { c.Limits.BackoffMin, c.Limits.BackoffMax = time.Hour, time.Hour }

func countDials(dials *atomic.Int64) func(*Config) {
	return func(c *Config) {
		dialer := &net.Dialer{}
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			dials.Add(1)
			return dialer.DialContext(ctx, "tcp", addr)
		}
	}
}

// fillQueue sends until many messages wait, which they do only while the sender
// rests.
func fillQueue(t *testing.T, from *testNode, to raft.NodeID) {
	t.Helper()
	s := &from.knownPeer(to).sender
	eventually(t, "messages wait", func() bool {
		from.Send([]raft.Message{numbered(1, to, 99)})
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting) >= 20
	})
}

func TestANewerConnectionReplacesTheOlderWithoutAlarm(t *testing.T) {
	d := newDirectory()
	a := start(t, d, 1, &host{})
	first := rawHello(t, a.addr, hello{class: classRaft, from: identityOf(2), to: 1})
	second := rawHello(t, a.addr, hello{class: classRaft, from: identityOf(2), to: 1})
	if !first.isCutOff() {
		t.Error("the older connection is still open")
	}
	messages := batch{numbered(2, 1, 5)}
	second.send(mustFrame(t, frameDeliver, 0, &messages))
	eventually(t, "the newer one works", func() bool { return a.host.has(5) })
	if n := a.Stats().Connections; n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	if got := a.host.losses(); len(got) != 0 {
		t.Errorf("losses reported: %v, want none", got)
	}
	second.Close()
	eventually(t, "the loss of the newer one is reported", func() bool { return len(a.host.losses()) == 1 })
}

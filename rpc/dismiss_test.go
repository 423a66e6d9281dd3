package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa/raft"
)

// members is a Config.Admit that can change its mind.
type members struct {
	mu      sync.Mutex
	removed map[Identity]bool
}

func (m *members) remove(who Identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.removed == nil {
		m.removed = make(map[Identity]bool)
	}
	m.removed[who] = true
}

func (m *members) config(c *Config) {
	c.Admit = func(peer Identity) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.removed[peer] {
			return &Refusal{Code: Removed, Sentence: "node " + peer.Node.String() + " was removed; delete its data directory to let it join again"}
		}
		return nil
	}
}

// TestARemovedMemberIsCutOffAndLearnsWhy has connections of every class in both
// directions between the member and the node that is told of its removal.
func TestARemovedMemberIsCutOffAndLearnsWhy(t *testing.T) {
	d := newDirectory()
	var cluster members
	slow := func(c *Config) { c.SnapshotRate = 1 }
	remover := start(t, d, 1, &host{}, slow, cluster.config)
	removed := start(t, d, 2, &host{}, slow)
	bystander := start(t, d, 3, &host{}, cluster.config)

	sendUntil(t, remover, removed, 1)
	sendUntil(t, removed, remover, 2)
	sendUntil(t, bystander, remover, 3)
	sendUntil(t, remover, bystander, 4)
	results := make(chan error, 2)
	for _, n := range []*testNode{remover, removed} {
		other := 3 - n.config.Node
		if _, _, err := n.Forward(t.Context(), other, nil); err != nil {
			t.Fatal(err)
		}
		go func() {
			results <- n.SendSnapshot(t.Context(), offerOf(n.config.Node, other, byte(other)), newGenerated(1<<20, 1000), nil)
		}()
	}
	eventually(t, "a snapshot is on its way in each direction", func() bool {
		return remover.host.taken() > 0 && removed.host.taken() > 0
	})
	remover.Recheck() // nothing has changed
	if n := remover.Stats().Connections; n != 4 {
		t.Fatalf("%d connections before the removal, want 4", n)
	}

	cluster.remove(identityOf(2))
	remover.Recheck()
	for range 2 {
		if err := receive(t, "the snapshots end", results); !errors.Is(err, Removed) || !errors.Is(err, ErrConnectionLost) {
			t.Errorf("a snapshot ended with %v", err)
		}
	}
	eventually(t, "only the bystander's connection is left", func() bool {
		return remover.Stats().Connections == 1 && removed.Stats().Connections == 0
	})
	for _, n := range []*testNode{remover, removed} {
		eventually(t, "the host is told once", func() bool { return slices.Equal(n.host.refusals(), []RefusalCode{Removed}) })
		if got := n.host.losses(); len(got) != 0 {
			t.Errorf("%s was told that it lost %v", n.config.Node, got)
		}
	}
	if n := removed.logs.count("delete its data directory"); n != 1 {
		t.Errorf("%d lines in the removed node's log say what to do, want 1", n)
	}

	// It stays out, in every way and direction.
	for _, n := range []*testNode{remover, removed} {
		other := 3 - n.config.Node
		if _, sent, err := n.Forward(t.Context(), other, nil); sent || !errors.Is(err, Removed) {
			t.Errorf("Forward from %s: sent %v, %v", n.config.Node, sent, err)
		}
		if err := n.SendSnapshot(t.Context(), offerOf(n.config.Node, other, 9), newGenerated(10, 10), nil); !errors.Is(err, Removed) {
			t.Errorf("SendSnapshot from %s: %v", n.config.Node, err)
		}
		before := n.Stats().Peers[other].MessagesDropped
		eventually(t, "messages are dropped", func() bool {
			n.Send([]raft.Message{numbered(n.config.Node, other, 99)})
			return n.Stats().Peers[other].MessagesDropped > before
		})
	}
	if removed.host.has(99) || remover.host.has(99) {
		t.Error("a message got through")
	}
	sendUntil(t, bystander, remover, 5)
	if n := bystander.Stats().Peers[1].Connections; n != 1 {
		t.Errorf("the bystander had to connect %d times", n)
	}
	for _, n := range []*testNode{remover, removed} {
		if got := n.host.losses(); len(got) != 0 {
			t.Errorf("in the end %s was told that it lost %v", n.config.Node, got)
		}
		if got := n.host.refusals(); !slices.Equal(got, []RefusalCode{Removed}) {
			t.Errorf("in the end %s was told of refusals %v, want one", n.config.Node, got)
		}
	}

	// The same ID with an empty data directory may come back.
	removed.Close()
	again := start(t, d, 2, &host{}, func(c *Config) { c.Instance = raft.InstanceID{0xee} })
	sendUntil(t, again, remover, 6)
	sendUntil(t, remover, again, 7)
}

func TestAForwardedCommandOfARemovedMemberIsToldWhy(t *testing.T) {
	d := newDirectory()
	var cluster members
	executing := make(chan struct{})
	leader := start(t, d, 1, &host{execute: func(ctx context.Context, _ []byte) []byte {
		close(executing)
		<-ctx.Done()
		return nil
	}}, cluster.config)
	removed := start(t, d, 2, &host{})
	result := make(chan error, 1)
	go func() {
		_, sent, err := removed.Forward(t.Context(), 1, nil)
		if !sent {
			err = errors.New("it counts as not sent")
		}
		result <- err
	}()
	receive(t, "the command is being executed", executing)
	cluster.remove(identityOf(2))
	leader.Recheck()
	if err := receive(t, "the command ends", result); !errors.Is(err, ErrConnectionLost) || !errors.Is(err, Removed) {
		t.Errorf("%v", err)
	}
}

// TestAMemberThatDiesIsStillALoss is the other half of the rule: only a refusal
// keeps a broken connection from being a hint.
func TestAMemberThatDiesIsStillALoss(t *testing.T) {
	d := newDirectory()
	var cluster members
	a := start(t, d, 1, &host{}, cluster.config)
	b := start(t, d, 2, &host{})
	sendUntil(t, b, a, 1)
	cluster.remove(identityOf(3))
	a.Recheck()
	b.Close()
	eventually(t, "the loss is reported", func() bool { return slices.Equal(a.host.losses(), []raft.NodeID{2}) })
	if got := a.host.refusals(); len(got) != 0 {
		t.Errorf("refusals reported: %v", got)
	}
}

// TestAPeerThatIgnoresItsDismissalIsCutOff also has one that does not read.
func TestAPeerThatIgnoresItsDismissalIsCutOff(t *testing.T) {
	for _, reads := range []bool{true, false} {
		d := newDirectory()
		var cluster members
		a := start(t, d, 1, &host{}, cluster.config, func(c *Config) { c.Limits.Stall = 100 * time.Millisecond })
		c := rawHello(t, a.addr, hello{class: classRaft, from: identityOf(2), to: 1})
		c.send(mustFrame(t, frameDeliver, 0, &batch{numbered(2, 1, 1)}))
		eventually(t, "it talks", func() bool { return a.host.has(1) })
		cluster.remove(identityOf(2))
		a.Recheck()
		if reads {
			r := newFrameReader(c, 4<<10, anyFrame, patience)
			var f frame
			for f.kind != frameRefusal {
				var err error
				if f, err = r.next(); err != nil {
					t.Fatal(err)
				}
			}
			if RefusalCode(f.body[0]) != Removed || !strings.Contains(string(f.body[1:]), "n2 was removed") {
				t.Errorf("it was told %d, %q", f.body[0], f.body[1:])
			}
		}
		eventually(t, "the connection is closed", func() bool { return a.Stats().Connections == 0 })
		if got := a.host.losses(); len(got) != 0 {
			t.Errorf("losses reported: %v", got)
		}
		if n := a.Stats().RefusedConnections; n != 1 {
			t.Errorf("%d connections count as refused, want 1", n)
		}
	}
}

// TestAConnectionThatIsMadeDuringTheRemovalIsCutOffToo lets the handshake pass
// and changes the members before the connection is known to Recheck.
func TestAConnectionThatIsMadeDuringTheRemovalIsCutOffToo(t *testing.T) {
	for _, dialler := range []raft.NodeID{1, 2} {
		d := newDirectory()
		var once sync.Once
		var cluster members
		hurried := func(c *Config) {
			cluster.config(c)
			ask := c.Admit
			c.Admit = func(peer Identity) error {
				err := ask(peer)
				once.Do(func() { cluster.remove(peer) })
				return err
			}
		}
		a := start(t, d, 1, &host{}, hurried)
		b := start(t, d, 2, &host{})
		from, to := a, b
		if dialler == 2 {
			from, to = b, a
		}
		eventually(t, "both are told", func() bool {
			from.Send([]raft.Message{numbered(dialler, to.config.Node, 1)})
			return len(from.host.refusals()) == 1
		})
		eventually(t, "no connection is left", func() bool { return a.Stats().Connections+b.Stats().Connections == 0 })
		if n := from.Stats().Peers[to.config.Node].Connections; n > 1 {
			t.Errorf("dialled by %s: connected %d times", dialler, n)
		}
	}
}

// TestADiallerThatRefusesIsNotTakenForDead: the accepting side has said yes and
// would take the end of the connection for a loss.
func TestADiallerThatRefusesIsNotTakenForDead(t *testing.T) {
	d := newDirectory()
	var cluster members
	cluster.remove(identityOf(2))
	a := start(t, d, 1, &host{}, cluster.config)
	b := start(t, d, 2, &host{})
	b.Send([]raft.Message{numbered(2, 1, 1)}) // so that it keeps something about node 1
	eventually(t, "node 2 is refused", func() bool { return len(b.host.refusals()) == 1 })
	a.Send([]raft.Message{numbered(1, 2, 1)})
	eventually(t, "node 1 refuses", func() bool { return len(a.host.refusals()) == 1 })
	eventually(t, "the connection has come and gone", func() bool {
		return b.Stats().Connections == 0 && b.links.none()
	})
	if got := b.host.losses(); len(got) != 0 {
		t.Errorf("losses reported: %v", got)
	}
}

// none reports whether there are no connections for Raft messages.
func (l *links) none() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.to) == 0
}

func TestARefusalDuringAConversationIsMadePrintable(t *testing.T) {
	d := newDirectory()
	d.set(3, rawServer(t, identityOf(3), func(nc net.Conn) {
		nc.Write(mustFrame(t, frameRefusal, 0, &Refusal{Code: Removed, Sentence: "a\x1b[31m\nb"}))
		io.Copy(io.Discard, nc)
	}))
	a := start(t, d, 1, &host{})
	err := a.SendSnapshot(t.Context(), offerOf(1, 3, 5), newGenerated(10, 10), nil)
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || refusal.Sentence != "a [31m b" || refusal.Peer.Node != 3 {
		t.Errorf("%v: %+v", err, refusal)
	}
}

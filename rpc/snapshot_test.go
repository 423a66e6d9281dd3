package rpc

import (
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"balsa/raft"
	"balsa/raft/node"
)

func TestASnapshotArrives(t *testing.T) {
	for _, size := range []uint64{0, 1, 64 << 10, 64<<10 + 1, 1<<20 - 7} {
		d := newDirectory()
		receiver := &host{}
		b := start(t, d, 2, receiver)
		a := start(t, d, 1, &host{}, fullSpeed)
		g, o := newGenerated(size, 64<<10), offerOf(1, 2, 5)
		var progress []uint64
		err := a.SendSnapshot(t.Context(), o, g, func(offset uint64) { progress = append(progress, offset) })
		if err != nil || !receiver.holds(o.ID, g) {
			t.Fatalf("%d bytes: %v, arrived: %v", size, err, receiver.holds(o.ID, g))
		}
		if !reflect.DeepEqual(receiver.offers, []node.SnapshotOffer{o}) {
			t.Errorf("offered %+v, want %+v", receiver.offers, o)
		}
		if !slices.IsSorted(progress) || progress[0] != 0 || progress[len(progress)-1] != size || len(progress) != receiver.taken()+1 {
			t.Errorf("%d bytes in %d chunks: told of offsets %v", size, receiver.taken(), progress)
		}
		want := PeerStats{SnapshotsOffered: 1, SnapshotsSent: 1, SnapshotBytesSent: size}
		if got := a.Stats().Peers[2]; got != want {
			t.Errorf("sent %+v, want %+v", got, want)
		}
		if got := b.Stats(); got.SnapshotsReceived != 1 || got.SnapshotBytesReceived != size {
			t.Errorf("received %+v", got)
		}
		eventually(t, "the connection is closed", func() bool { return b.Stats().Connections == 0 })
	}
}

func TestASnapshotGoesOnWhereTheReceiverWantsIt(t *testing.T) {
	d := newDirectory()
	receiver := &host{}
	start(t, d, 2, receiver)
	var net cuttable
	a := start(t, d, 1, &host{}, fullSpeed, net.config)
	receiver.onChunk = func(_ context.Context, c node.Chunk) error {
		if c.Offset == 10<<10 && len(receiver.offers) == 1 {
			net.cut()
		}
		return nil
	}
	g, o := newGenerated(100<<10, 1<<10), offerOf(1, 2, 5)
	err := a.SendSnapshot(t.Context(), o, g, nil)
	if !errors.Is(err, ErrConnectionLost) {
		t.Fatalf("over a connection that breaks: %v", err)
	}
	var progress []uint64
	if err := a.SendSnapshot(t.Context(), o, g, func(offset uint64) { progress = append(progress, offset) }); err != nil {
		t.Fatal(err)
	}
	if !receiver.holds(o.ID, g) || receiver.taken() != 100 {
		t.Errorf("arrived: %v, in %d chunks of which 100 are different", receiver.holds(o.ID, g), receiver.taken())
	}
	if p := g.seeks[1]; p.Offset < 10<<10 || p.Offset != progress[0] || string(p.After) != string(after(p.Offset)) {
		t.Errorf("the second time it began at %+v, and was told of %v", p, progress)
	}
}

func TestErrorsOfTheReceiverReachTheSender(t *testing.T) {
	busy := &wordy{"node 2 is busy", node.ErrSnapshotRefused}
	full := errors.New("no space\x1b[31m left")
	for _, tt := range []struct {
		name    string
		arrange func(*host)
		want    error
		text    string
	}{
		{"a refused offer", func(h *host) {
			h.onOffer = func(context.Context, node.SnapshotOffer) error { return busy }
		}, node.ErrSnapshotRefused, "node 2 is busy"},
		{"a failed offer", func(h *host) {
			h.onOffer = func(context.Context, node.SnapshotOffer) error { return full }
		}, ErrReceiver, "no space [31m left"},
		{"a refused chunk", func(h *host) {
			h.onChunk = func(_ context.Context, c node.Chunk) error { return at(c, 3000, busy) }
		}, node.ErrSnapshotRefused, "node 2 is busy"},
		{"a failed chunk", func(h *host) {
			h.onChunk = func(_ context.Context, c node.Chunk) error { return at(c, 3000, full) }
		}, ErrReceiver, "no space [31m left"},
		{"a refused end", func(h *host) { h.onFinish = func(context.Context) error { return busy } },
			node.ErrSnapshotRefused, "node 2 is busy"},
		{"a failed end", func(h *host) { h.onFinish = func(context.Context) error { return full } },
			ErrReceiver, "no space [31m left"},
		{"an endless text", func(h *host) {
			h.onFinish = func(context.Context) error { return errors.New(strings.Repeat("é", 10_000)) }
		}, ErrReceiver, "éé"},
		{"a panic", func(h *host) { h.onFinish = func(context.Context) error { panic("the handler's fault") } },
			ErrConnectionLost, "closed by the peer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDirectory()
			receiver := &host{}
			tt.arrange(receiver)
			b := start(t, d, 2, receiver)
			a := start(t, d, 1, &host{}, fullSpeed)
			err := a.SendSnapshot(t.Context(), offerOf(1, 2, 5), newGenerated(100_000, 1000), nil)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			for _, other := range []error{node.ErrSnapshotRefused, ErrReceiver, ErrConnectionLost} {
				if other != tt.want && errors.Is(err, other) {
					t.Errorf("%v is also %v", err, other)
				}
			}
			if n := a.Stats().Peers[2].SnapshotsSent; n != 0 {
				t.Errorf("%d snapshots count as sent", n)
			}
			if n := b.Stats().SnapshotsReceived; n != 0 {
				t.Errorf("%d snapshots count as received", n)
			}
			if strings.Contains(tt.name, "chunk") && receiver.taken() != 3 {
				t.Errorf("%d chunks were taken, want the 3 before the error and none of those behind it", receiver.taken())
			}
		})
	}
}

// wordy is an error with a text of its own.
type wordy struct {
	text string
	kind error
}

func (e *wordy) Error() string { return e.text }
func (e *wordy) Unwrap() error { return e.kind }

// at returns an error for the chunk at an offset, once: what comes after it
// would be taken.
func at(c node.Chunk, offset uint64, err error) error {
	if c.Offset == offset {
		return err
	}
	return nil
}

func TestErrorsOfTheSourceEndTheTransfer(t *testing.T) {
	d := newDirectory()
	start(t, d, 2, &host{})
	a := start(t, d, 1, &host{}, fullSpeed)
	broken := errors.New("the file is damaged")
	g := newGenerated(100_000, 1000)
	g.before = func(offset uint64) error { return at(node.Chunk{Offset: offset}, 5000, broken) }
	if err := a.SendSnapshot(t.Context(), offerOf(1, 2, 5), g, nil); !errors.Is(err, broken) {
		t.Errorf("a source that fails: %v", err)
	}
	if err := a.SendSnapshot(t.Context(), offerOf(1, 2, 5), seekless{g, broken}, nil); !errors.Is(err, broken) {
		t.Errorf("a source that cannot go on: %v", err)
	}
	if err := a.SendSnapshot(t.Context(), offerOf(1, 2, 6), newGenerated(node.MaxChunk+1, node.MaxChunk+1), nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a chunk over the limit: %v", err)
	}
}

type seekless struct {
	node.SnapshotSource
	err error
}

func (s seekless) Seek(node.Position) error { return s.err }

func TestTheLargestPossibleThingsFit(t *testing.T) {
	d := newDirectory()
	receiver := &host{}
	start(t, d, 2, receiver)
	a := start(t, d, 1, &host{}, fullSpeed)

	o := offerOf(1, 2, 5)
	var c raft.Configuration
	for i := range raft.MaxMembers {
		c.Members = append(c.Members, raft.Member{ID: raft.NodeID(i + 1), Address: strings.Repeat("a", raft.MaxAddress), Votes: true})
	}
	for i := range raft.MaxRemoved {
		c.Removed = append(c.Removed, raft.RemovedMember{ID: raft.NodeID(i + 1)})
	}
	o.Snapshot.Configuration.Configuration = c
	g := newGenerated(node.MaxChunk, node.MaxChunk)
	sendSnapshot(t, a, o, g)
	if !receiver.holds(o.ID, g) || !reflect.DeepEqual(receiver.offers[0], o) {
		t.Error("it arrived as something else")
	}

	long := node.Position{Offset: 1, After: make([]byte, node.MaxPosition)}
	v := verdict{Opinion: opinionWanted, Position: long}
	b, err := appendFrame(nil, frameVerdict, 1, maxVerdict, &v)
	if err != nil {
		t.Fatalf("the longest position: %v", err)
	}
	if got, err := decodeVerdict(b[frameHeader:]); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("the longest position comes back with %d bytes, %v", len(got.Position.After), err)
	}
}

func TestAPositionOverTheLimitIsAnErrorOfTheReceiver(t *testing.T) {
	d := newDirectory()
	start(t, d, 2, &host{}, func(c *Config) { c.Handler = verbose{c.Handler} })
	a := start(t, d, 1, &host{}, fullSpeed)
	err := a.SendSnapshot(t.Context(), offerOf(1, 2, 5), newGenerated(10, 10), nil)
	if !errors.Is(err, ErrReceiver) || !strings.Contains(err.Error(), "8193 bytes") {
		t.Errorf("%v", err)
	}
}

type verbose struct{ Handler }

func (verbose) OfferSnapshot(context.Context, node.SnapshotOffer) (node.Position, error) {
	return node.Position{After: make([]byte, node.MaxPosition+1)}, nil
}

func TestASnapshotToNobodyWasNotSent(t *testing.T) {
	d := newDirectory()
	d.set(3, "127.0.0.1:1")
	stranger := func(peer Identity) error {
		if peer.Node == 1 {
			return &Refusal{Code: Removed, Sentence: "n1 was removed"}
		}
		return nil
	}
	start(t, d, 4, &host{}, func(c *Config) { c.Admit = stranger })
	a := start(t, d, 1, &host{})
	for to, want := range map[raft.NodeID]error{2: ErrUnreachable, 3: ErrUnreachable, 4: Removed} {
		err := a.SendSnapshot(t.Context(), offerOf(1, to, 5), newGenerated(10, 10), nil)
		if !errors.Is(err, ErrUnreachable) || !errors.Is(err, want) {
			t.Errorf("to %s: %v, want %v", to, err, want)
		}
	}
	if got := a.host.refusals(); !slices.Equal(got, []RefusalCode{Removed}) {
		t.Errorf("the host was told of %v", got)
	}
}

// TestTheEndOfTheContextEndsASnapshot covers every place where SendSnapshot can
// wait for somebody.
func TestTheEndOfTheContextEndsASnapshot(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arrange func(cancel func(), sender *Config, receiver *host, g *generated)
	}{
		{"before it begins", func(cancel func(), _ *Config, _ *host, _ *generated) { cancel() }},
		{"while dialling", func(cancel func(), c *Config, _ *host, _ *generated) {
			c.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
				cancel()
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}},
		{"while offering", func(cancel func(), _ *Config, h *host, _ *generated) {
			h.onOffer = func(ctx context.Context, _ node.SnapshotOffer) error { cancel(); return hang(ctx) }
		}},
		{"while the receiver takes a chunk", func(cancel func(), _ *Config, h *host, _ *generated) {
			h.onChunk = func(ctx context.Context, _ node.Chunk) error { cancel(); return hang(ctx) }
		}},
		{"while the receiver reads nothing", func(cancel func(), _ *Config, h *host, g *generated) {
			g.size, g.chunk, g.buf = 1<<30, 1<<20, make([]byte, 1<<20)
			h.onChunk = func(ctx context.Context, _ node.Chunk) error { cancel(); return hang(ctx) }
		}},
		{"while finishing", func(cancel func(), _ *Config, h *host, _ *generated) {
			h.onFinish = func(ctx context.Context) error { cancel(); return hang(ctx) }
		}},
		{"in a pause", func(cancel func(), c *Config, h *host, _ *generated) {
			c.SnapshotRate = 1
			h.onChunk = func(context.Context, node.Chunk) error { cancel(); return nil }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDirectory()
			receiver := &host{}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			g := newGenerated(100_000, 1000)
			b := start(t, d, 2, receiver)
			a := start(t, d, 1, &host{}, fullSpeed, func(c *Config) { tt.arrange(cancel, c, receiver, g) })
			result := make(chan error, 1)
			go func() { result <- a.SendSnapshot(ctx, offerOf(1, 2, 5), g, nil) }()
			if err := receive(t, "SendSnapshot returns", result); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			b.Close() // what hangs, hangs until its own connection is noticed to be gone
		})
	}
}

// hang waits for the end of a context.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestCloseEndsASnapshotOnBothSides(t *testing.T) {
	for _, who := range []string{"sender", "receiver"} {
		t.Run(who, func(t *testing.T) {
			d := newDirectory()
			waiting, ended := make(chan struct{}), make(chan error, 1)
			receiver := &host{}
			receiver.onFinish = func(ctx context.Context) error {
				close(waiting)
				ended <- hang(ctx)
				return ctx.Err()
			}
			b := start(t, d, 2, receiver)
			a := start(t, d, 1, &host{})
			result := make(chan error, 1)
			go func() { result <- a.SendSnapshot(t.Context(), offerOf(1, 2, 5), newGenerated(10, 10), nil) }()
			receive(t, "it is nearly finished", waiting)
			closed, want := a, ErrClosed
			if who == "receiver" {
				closed, want = b, ErrConnectionLost
			}
			closed.Close()
			if err := receive(t, "SendSnapshot returns", result); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			b.Close()
			if err := receive(t, "the receiver's call ends", ended); !errors.Is(err, context.Canceled) {
				t.Errorf("the receiver's context: %v", err)
			}
			if err := closed.SendSnapshot(t.Context(), offerOf(1, 2, 5), nil, nil); !errors.Is(err, ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

func TestNoMoreChunksThanTheWindowAreUnderWay(t *testing.T) {
	d := newDirectory()
	var chunks atomic.Int64
	d.set(3, rawServer(t, identityOf(3), func(nc net.Conn) {
		p, _ := protocolOf(classSnapshot)
		r := newFrameReader(nc, p.buffer, p.requests(), patience)
		f, err := r.next()
		nc.Write(mustFrame(t, frameVerdict, f.sequence, &verdict{Opinion: opinionWanted}))
		for err == nil {
			if f, err = r.next(); err == nil && f.kind == frameChunk {
				chunks.Add(1)
			}
		}
	}))
	a := start(t, d, 1, &host{}, fullSpeed)
	ctx, cancel := context.WithCancel(t.Context())
	g := newGenerated(1<<20, 1000)
	asked := 0
	g.before = func(uint64) error { asked++; return nil }
	result := make(chan error, 1)
	go func() { result <- a.SendSnapshot(ctx, offerOf(1, 3, 5), g, nil) }()
	eventually(t, "the window is full", func() bool { return chunks.Load() == snapshotWindow })
	cancel()
	receive(t, "SendSnapshot returns", result)
	if n := chunks.Load(); n != snapshotWindow || asked != snapshotWindow {
		t.Errorf("%d chunks are under way and %d were read, want %d", n, asked, snapshotWindow)
	}
}

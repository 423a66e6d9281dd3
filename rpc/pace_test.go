package rpc

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft/node"
)

func TestPauseKeepsTheRate(t *testing.T) {
	const rate, chunk = 1000, 100
	began := time.Unix(1000, 0)
	for _, tt := range []struct {
		name string
		// took is how long each chunk keeps the sender busy, besides its pause.
		took time.Duration
		late time.Duration
		want time.Duration
	}{
		{"nothing else takes time", 0, 0, 10*time.Second - leeway},
		{"reading takes half of the time", 50 * time.Millisecond, 0, 10*time.Second - leeway},
		{"timers are late", 0, leeway, 10 * time.Second},
		{"reading takes longer than the pause", 150 * time.Millisecond, 0, 15 * time.Second},
	} {
		p, now := pace{rate: rate, longest: time.Minute}, began
		for range 100 {
			if d := p.pause(chunk, now); d > 0 {
				now = now.Add(d + tt.late)
			}
			now = now.Add(tt.took)
		}
		// The last chunk's own time comes after it.
		if took := now.Sub(began); took > tt.want || took < tt.want-100*time.Millisecond {
			t.Errorf("%s: 100 chunks took %v, want %v", tt.name, took, tt.want)
		}
	}
}

func TestATransferThatWasHeldUpDoesNotMakeUpForIt(t *testing.T) {
	p, now := pace{rate: 1000, longest: time.Minute}, time.Unix(1000, 0)
	p.pause(100, now)
	now = now.Add(time.Hour)
	atOnce := 0
	for p.pause(1, now) <= 0 {
		atOnce++
	}
	// What leeway is worth, and the one that is then due.
	if atOnce != 11 {
		t.Errorf("%d bytes were sent at once after a break, want 11", atOnce)
	}
}

func TestAPauseIsNeverSoLongThatTheReceiverGivesUp(t *testing.T) {
	p := pace{rate: 1, longest: 30 * time.Second}
	for range 5 {
		if d := p.pause(node.MaxChunk, time.Unix(1000, 0)); d > 30*time.Second {
			t.Errorf("a pause of %v", d)
		}
	}
	p.rate = -1
	for range 5 {
		if d := p.pause(node.MaxChunk, time.Unix(1000, 0)); d != 0 {
			t.Errorf("without a limit a pause of %v", d)
		}
	}
}

func TestSnapshotsKeepToTheConfiguredRate(t *testing.T) {
	for _, tt := range []struct {
		rate int64
		want time.Duration
	}{
		{1 << 20, 10 * time.Second},
		{0, 10 * time.Second / 64}, // the default
		{-1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, network := newDirectory(), &pipes{}
			receiver := &host{}
			start(t, d, 2, receiver, network.join)
			a := start(t, d, 1, &host{}, network.join, func(c *Config) { c.SnapshotRate = tt.rate })
			g, o := newGenerated(10<<20, 64<<10), offerOf(1, 2, 5)
			began := time.Now()
			sendSnapshot(t, a, o, g)
			// No pause follows the last chunk.
			if took := time.Since(began); took > tt.want || took < tt.want-tt.want/100-leeway {
				t.Errorf("at %d bytes per second 10 MiB took %v, want %v", tt.rate, took, tt.want)
			}
			if !receiver.holds(o.ID, g) {
				t.Error("it did not arrive")
			}
		})
	}
}

// TestALongWayDoesNotLowerTheRate holds as long as the window covers the round
// trip.
func TestALongWayDoesNotLowerTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const there = 6 * time.Millisecond
		d, network := newDirectory(), &pipes{delay: there}
		start(t, d, 2, &host{}, network.join)
		a := start(t, d, 1, &host{}, network.join)
		began := time.Now()
		sendSnapshot(t, a, offerOf(1, 2, 5), newGenerated(16<<20, node.ChunkSize))
		// The round trips of handshake, offer, last chunk and end come on top.
		want := time.Second*16/64 + 4*2*there
		if took := time.Since(began); took > want {
			t.Errorf("16 MiB took %v, want %v", took, want)
		}
	})
}

func TestASnapshotMayBeSlowButNotStandStill(t *testing.T) {
	const nearly = time.Minute - time.Millisecond
	pause := func(ctx context.Context, d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, tt := range []struct {
		name  string
		stage string
		slow  time.Duration
		fails bool
	}{
		{"a slow offer", "offer", nearly, false},
		{"slow chunks", "chunk", nearly, false},
		{"a slow end", "finish", nearly, false},
		{"a slow source", "source", nearly, false},
		{"an offer that is never answered", "offer", time.Hour, true},
		{"a chunk that is never taken", "chunk", time.Hour, true},
		{"an end that never comes", "finish", time.Hour, true},
		{"a source that hangs", "source", 2 * time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, network := newDirectory(), &pipes{}
				receiver, g := &host{}, newGenerated(10, 1)
				switch tt.stage {
				case "offer":
					receiver.onOffer = func(ctx context.Context, _ node.SnapshotOffer) error { return pause(ctx, tt.slow) }
				case "chunk":
					receiver.onChunk = func(ctx context.Context, _ node.Chunk) error { return pause(ctx, tt.slow) }
				case "finish":
					receiver.onFinish = func(ctx context.Context) error { return pause(ctx, tt.slow) }
				case "source":
					g.before = func(uint64) error { time.Sleep(tt.slow); return nil }
				}
				start(t, d, 2, receiver, network.join)
				a := start(t, d, 1, &host{}, network.join, fullSpeed)
				began := time.Now()
				err := a.SendSnapshot(t.Context(), offerOf(1, 2, 5), g, nil)
				if !tt.fails {
					if err != nil {
						t.Error(err)
					}
					return
				}
				// Both sides have the same deadline, and either may be first.
				if !errors.Is(err, ErrConnectionLost) && !errors.Is(err, ErrReceiver) {
					t.Errorf("%v, want one that says that nothing happened", err)
				}
				if took := time.Since(began); took > 2*time.Minute {
					t.Errorf("it took %v to notice", took)
				}
			})
		})
	}
}

func TestAReceiverThatNeverAnswersIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, network := newDirectory(), &pipes{}
		var silent Config
		network.join(&silent)
		d.set(2, silent.Listener.Addr().String())
		go func() {
			nc, _ := silent.Listener.Accept()
			defer nc.Close()
			receiveHello(nc)
			nc.Write(answer{code: accepted, from: identityOf(2)}.encode())
			io.Copy(io.Discard, nc)
		}()
		a := start(t, d, 1, &host{}, network.join)
		began := time.Now()
		err := a.SendSnapshot(t.Context(), offerOf(1, 2, 5), newGenerated(10, 1), nil)
		if took := time.Since(began); !errors.Is(err, errStalled) || took != time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestASilentSenderOfASnapshotIsCutOff(t *testing.T) {
	o := offerOf(1, 2, 5)
	offered := mustFrame(t, frameOffer, 0, &o)
	chunk := mustFrame(t, frameChunk, 1, &piece{ID: o.ID, Chunk: node.Chunk{Data: make([]byte, 100)}})
	for _, tt := range []struct {
		name string
		said [][]byte
	}{
		{"says nothing", nil},
		{"offers and says nothing more", [][]byte{offered}},
		{"stops between chunks", [][]byte{offered, chunk}},
		{"stops within a chunk", [][]byte{offered, chunk[:50]}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, network := newDirectory(), &pipes{}
				b := start(t, d, 2, &host{}, network.join)
				nc, err := network.dial(t.Context(), b.addr)
				if err != nil {
					t.Fatal(err)
				}
				nc.Write(hello{class: classSnapshot, from: identityOf(1), to: 2}.encode())
				if _, err := readAnswer(nc); err != nil {
					t.Fatal(err)
				}
				c := &rawConn{Conn: nc, t: t}
				cut := make(chan bool)
				go func() { cut <- c.isCutOff() }()
				for _, b := range tt.said {
					c.send(b)
				}
				began := time.Now()
				if !<-cut {
					t.Error("the connection is still open")
				}
				if took := time.Since(began); took != time.Minute {
					t.Errorf("it took %v to notice", took)
				}
				synctest.Wait()
				if n := b.logs.count(os.ErrDeadlineExceeded.Error()); n != 1 {
					t.Errorf("%d log lines say why", n)
				}
			})
		})
	}
}

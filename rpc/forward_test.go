package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa/raft"
)

func TestForwardReturnsThePeersReply(t *testing.T) {
	d := newDirectory()
	start(t, d, 2, &host{})
	a := start(t, d, 1, &host{})
	var callers sync.WaitGroup
	for i := range 200 {
		callers.Go(func() {
			want := fmt.Sprintf("did put %d", i)
			reply, sent, err := a.Forward(t.Context(), 2, fmt.Appendf(nil, "put %d", i))
			if err != nil || !sent || string(reply) != want {
				t.Errorf("%q, sent %v, %v; want %q", reply, sent, err, want)
			}
		})
	}
	callers.Wait()
	if n := a.Stats().Peers[2].Connections; n != 0 {
		t.Errorf("commands took %d connections for Raft messages", n)
	}
}

func TestForwardedCommandsShareOneConnectionAndDoNotWaitForEachOther(t *testing.T) {
	d := newDirectory()
	release := make(chan struct{})
	h := &host{execute: func(_ context.Context, c []byte) []byte {
		if string(c) == "slow" {
			<-release
		}
		return c
	}}
	b := start(t, d, 2, h)
	a := start(t, d, 1, &host{})
	slow := make(chan error, 1)
	go func() {
		_, _, err := a.Forward(t.Context(), 2, []byte("slow"))
		slow <- err
	}()
	eventually(t, "the slow command arrives", func() bool { return b.Stats().CommandsReceived == 1 })
	for range 10 {
		if _, _, err := a.Forward(t.Context(), 2, []byte("fast")); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Stats().Connections; n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	close(release)
	if err := receive(t, "the slow command ends", slow); err != nil {
		t.Error(err)
	}
}

func TestForwardToAnUnreachablePeerWasNotSent(t *testing.T) {
	d := newDirectory()
	d.set(3, "127.0.0.1:1")
	a := start(t, d, 1, &host{})
	for _, to := range []raft.NodeID{2, 3} { // no address; nobody there
		if _, sent, err := a.Forward(t.Context(), to, nil); sent || !errors.Is(err, ErrUnreachable) {
			t.Errorf("to %s: sent %v, %v", to, sent, err)
		}
	}
}

func TestForwardOfAnExpiredContextWasNotSent(t *testing.T) {
	d := newDirectory()
	b := start(t, d, 2, &host{})
	a := start(t, d, 1, &host{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, sent, err := a.Forward(ctx, 2, nil); sent || !errors.Is(err, context.Canceled) {
		t.Errorf("without a connection: sent %v, %v", sent, err)
	}
	if _, _, err := a.Forward(t.Context(), 2, nil); err != nil {
		t.Fatal(err)
	}
	if _, sent, err := a.Forward(ctx, 2, nil); sent || !errors.Is(err, context.Canceled) {
		t.Errorf("with a connection: sent %v, %v", sent, err)
	}
	if n := b.Stats().CommandsReceived; n != 1 {
		t.Errorf("the peer received %d commands, want 1", n)
	}
}

func TestForwardDuringADialEndsWithItsContext(t *testing.T) {
	d := newDirectory()
	d.set(2, "nowhere")
	dialling := make(chan struct{}, 1)
	a := start(t, d, 1, &host{}, func(c *Config) {
		c.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
			signal(dialling)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-dialling; cancel() }()
	if _, sent, err := a.Forward(ctx, 2, nil); sent || !errors.Is(err, context.Canceled) {
		t.Errorf("sent %v, %v", sent, err)
	}
}

func TestDeadlineOfTheCallerTravelsToTheExecutor(t *testing.T) {
	d := newDirectory()
	seen := make(chan time.Duration, 1)
	ended := make(chan error, 1)
	returned := make(chan struct{})
	b := start(t, d, 2, &host{execute: func(ctx context.Context, c []byte) []byte {
		deadline, _ := ctx.Deadline()
		seen <- time.Until(deadline)
		if string(c) == "hang" {
			<-ctx.Done()
			ended <- ctx.Err()
			<-returned
		}
		return nil
	}})
	a := start(t, d, 1, &host{})

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := a.Forward(ctx, 2, nil); err != nil {
		t.Fatal(err)
	}
	if left := <-seen; left > 10*time.Second || left <= 0 {
		t.Errorf("executor has %v, caller had 10s", left)
	}
	if _, _, err := a.Forward(t.Context(), 2, nil); err != nil {
		t.Fatal(err)
	}
	if left := <-seen; left > 30*time.Second || left <= 10*time.Second {
		t.Errorf("executor has %v for a caller without a deadline, want about 30s", left)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, sent, err := a.Forward(ctx, 2, []byte("hang")); !sent || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sent %v, %v; want a deadline with an unknown outcome", sent, err)
	}
	close(returned)
	if err := receive(t, "the executor's context ends", ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the executor's context: %v", err)
	}
	<-seen
	if _, _, err := a.Forward(t.Context(), 2, nil); err != nil {
		t.Errorf("after a timeout: %v", err)
	}
	if n := b.Stats().Connections; n != 1 {
		t.Errorf("%d connections, want the first one to live on", n)
	}
}

func TestForwardIsUnknownWhenThePeerDiesDuringTheCommand(t *testing.T) {
	d := newDirectory()
	var b *testNode
	executing := make(chan context.Context, 1)
	b = start(t, d, 2, &host{execute: func(ctx context.Context, _ []byte) []byte {
		executing <- ctx
		<-ctx.Done()
		return []byte("too late")
	}})
	a := start(t, d, 1, &host{})
	outcome := make(chan error, 1)
	go func() {
		_, sent, err := a.Forward(t.Context(), 2, nil)
		if !sent {
			err = errors.New("it says that nothing was sent")
		}
		outcome <- err
	}()
	receive(t, "the command arrives", executing)
	b.Close()
	if err := receive(t, "Forward returns", outcome); !errors.Is(err, ErrConnectionLost) {
		t.Errorf("%v, want ErrConnectionLost", err)
	}
}

func TestExecutionEndsWhenItsCallerDies(t *testing.T) {
	d := newDirectory()
	ended := make(chan error, 1)
	b := start(t, d, 2, &host{execute: func(ctx context.Context, _ []byte) []byte {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil
	}})
	a := start(t, d, 1, &host{})
	go a.Forward(t.Context(), 2, nil)
	eventually(t, "the command arrives", func() bool { return b.Stats().CommandsReceived == 1 })
	a.Close()
	if err := receive(t, "the executor's context ends", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want a cancelled context", err)
	}
}

func TestForwardReconnectsAfterThePeerRestarted(t *testing.T) {
	d := newDirectory()
	a := start(t, d, 1, &host{})
	for range 3 {
		b := start(t, d, 2, &host{})
		eventually(t, "a command gets through", func() bool {
			reply, _, err := a.Forward(t.Context(), 2, []byte("x"))
			return err == nil && string(reply) == "did x"
		})
		b.Close()
	}
}

func TestPanicInExecuteIsAnUnknownOutcome(t *testing.T) {
	d := newDirectory()
	b := start(t, d, 2, &host{execute: func(_ context.Context, c []byte) []byte {
		if string(c) == "bad" {
			panic("bad command")
		}
		return c
	}})
	a := start(t, d, 1, &host{})
	if _, sent, err := a.Forward(t.Context(), 2, []byte("bad")); !sent || !errors.Is(err, ErrConnectionLost) {
		t.Errorf("sent %v, %v", sent, err)
	}
	eventually(t, "the next one succeeds", func() bool {
		_, _, err := a.Forward(t.Context(), 2, []byte("good"))
		return err == nil
	})
	if b.logs.count("bad command") == 0 {
		t.Error("the panic is not in the log")
	}
}

func TestSizesOfCommands(t *testing.T) {
	d := newDirectory()
	b := start(t, d, 2, &host{execute: func(_ context.Context, c []byte) []byte {
		if string(c) == "more" {
			return make([]byte, MaxCommand+1)
		}
		return c
	}})
	a := start(t, d, 1, &host{})
	if _, sent, err := a.Forward(t.Context(), 2, make([]byte, MaxCommand+1)); sent || !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large a command: sent %v, %v", sent, err)
	}
	if _, sent, err := a.Forward(t.Context(), 2, []byte("more")); !sent || !errors.Is(err, ErrReplyTooLarge) {
		t.Errorf("too large a reply: sent %v, %v", sent, err)
	}
	largest := bytes.Repeat([]byte{7}, MaxCommand)
	if reply, _, err := a.Forward(t.Context(), 2, largest); err != nil || !bytes.Equal(reply, largest) {
		t.Errorf("the largest: %d bytes, %v", len(reply), err)
	}
	if reply, _, err := a.Forward(t.Context(), 2, nil); err != nil || len(reply) != 0 {
		t.Errorf("the smallest: %d bytes, %v", len(reply), err)
	}
	if n := b.Stats().Connections; n != 1 {
		t.Errorf("%d connections, want the first one to live on", n)
	}
}

func TestTooManyCommandsAreBusyAndNotSent(t *testing.T) {
	d := newDirectory()
	release := make(chan struct{})
	b := start(t, d, 2, &host{execute: func(context.Context, []byte) []byte { <-release; return nil }})
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.Commands = 3 })
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() {
			if _, _, err := a.Forward(t.Context(), 2, nil); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "three are under way", func() bool { return b.Stats().CommandsReceived == 3 })
	if _, sent, err := a.Forward(t.Context(), 2, nil); sent || !errors.Is(err, ErrBusy) {
		t.Errorf("sent %v, %v", sent, err)
	}
	close(release)
	callers.Wait()
	if _, _, err := a.Forward(t.Context(), 2, nil); err != nil {
		t.Errorf("after the others have ended: %v", err)
	}
}

func TestAServerExecutesNoMoreThanItsLimitAtATime(t *testing.T) {
	d := newDirectory()
	var now, most atomic.Int64
	step := make(chan struct{})
	b := start(t, d, 2, &host{execute: func(context.Context, []byte) []byte {
		n := now.Add(1)
		most.Store(max(most.Load(), n))
		<-step
		now.Add(-1)
		return nil
	}}, func(c *Config) { c.Limits.Commands = 4 })
	a := start(t, d, 1, &host{})
	var callers sync.WaitGroup
	for range 40 {
		callers.Go(func() {
			if _, _, err := a.Forward(t.Context(), 2, nil); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "the server is full", func() bool { return b.Stats().CommandsReceived == 4 })
	for range 40 {
		step <- struct{}{}
	}
	callers.Wait()
	if most.Load() > 4 {
		t.Errorf("%d commands at a time, want at most 4", most.Load())
	}
}

func TestAPeerThatDoesNotReadRepliesIsCutOff(t *testing.T) {
	d := newDirectory()
	b := start(t, d, 2, &host{execute: func(context.Context, []byte) []byte { return make([]byte, 1<<20) }}, quick)
	c := rawHello(t, b.addr, hello{class: classCommands, from: identityOf(3), to: 2})
	request := mustFrame(t, frameExecute, 1, &command{Timeout: time.Minute})
	eventually(t, "the server gives up", func() bool {
		c.Write(request)
		return b.Stats().RefusedConnections == 1
	})
	eventually(t, "the connection is gone", func() bool { return b.Stats().Connections == 0 })
}

func TestAPeerThatHangsIsGivenUpAfterTheDeadline(t *testing.T) {
	d := newDirectory()
	d.set(3, rawServer(t, identityOf(3), func(nc net.Conn) { io.Copy(io.Discard, nc) }))
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.Stall = 20 * time.Millisecond })
	longer := make(chan error, 1)
	eventually(t, "a command is sent and its deadline passes", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, sent, err := a.Forward(ctx, 3, nil)
		return sent && errors.Is(err, context.DeadlineExceeded)
	})
	go func() {
		_, _, err := a.Forward(t.Context(), 3, nil)
		longer <- err
	}()
	if err := receive(t, "another caller is told", longer); !errors.Is(err, ErrConnectionLost) && !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
}

func TestRepliesThatNobodyAskedForEndTheConnection(t *testing.T) {
	for name, reply := range map[string][]byte{
		"unknown call":   mustFrame(t, frameExecuted, 999, &result{}),
		"unknown status": rawFrame(frameExecuted, 0, []byte{77}),
		"no status":      rawFrame(frameExecuted, 0, nil),
		"another kind":   mustFrame(t, frameDelivered, 0, &acknowledgement{}),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirectory()
			d.set(3, rawServer(t, identityOf(3), func(nc net.Conn) {
				io.ReadFull(nc, make([]byte, frameHeader+commandHeader))
				nc.Write(reply)
				io.Copy(io.Discard, nc)
			}))
			a := start(t, d, 1, &host{})
			if _, sent, err := a.Forward(t.Context(), 3, nil); !sent || !errors.Is(err, ErrConnectionLost) {
				t.Errorf("sent %v, %v", sent, err)
			}
		})
	}
}

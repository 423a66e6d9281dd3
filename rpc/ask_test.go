package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"balsa/raft"
)

func TestAsk(t *testing.T) {
	none := func(c *Config) { c.Cluster = func() [16]byte { return [16]byte{} } }
	in := func(id byte) func(*Config) {
		return func(c *Config) { c.Cluster = func() [16]byte { return [16]byte{id} } }
	}
	for _, tt := range []struct {
		name          string
		asker, asked  func(*Config)
		want          error
		answeringNode raft.NodeID
	}{
		{"neither has a cluster", none, none, nil, 2},
		{"only the asker has one", in(1), none, nil, 2},
		{"only the other has one", none, in(1), nil, 2},
		{"both have the same", in(1), in(1), nil, 2},
		{"both have another", in(1), in(2), WrongCluster, 2},
		{"two nodes with one ID", none, func(c *Config) { none(c); c.Node = 1 }, DuplicateID, 1},
		{"itself", none, func(c *Config) { none(c); c.Node, c.Instance = 1, instanceOf(1) }, SelfConnection, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDirectory()
			h := &host{answer: func(from Identity, q []byte) []byte { return fmt.Appendf(nil, "%s: %s", from.Node, q) }}
			refuseAll := func(c *Config) { c.Admit = func(Identity) error { return errors.New("nobody is admitted") } }
			b := start(t, d, 2, h, tt.asked, refuseAll)
			a := start(t, d, 1, &host{}, tt.asker)
			answer, peer, err := a.Ask(t.Context(), b.addr, []byte("pristine?"))
			if peer.Node != tt.answeringNode || peer.Instance != b.config.Instance || peer.Cluster != b.config.Cluster() {
				t.Errorf("answered by %s", peer)
			}
			if tt.want != nil {
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
				return
			}
			if err != nil || string(answer) != "n1: pristine?" {
				t.Errorf("%q, %v", answer, err)
			}
			eventually(t, "the connection is closed", func() bool { return b.Stats().Connections == 0 })
		})
	}
}

func TestAskGivesUp(t *testing.T) {
	d := newDirectory()
	a := start(t, d, 1, &host{})
	if _, _, err := a.Ask(t.Context(), "127.0.0.1:1", nil); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("nobody there: %v", err)
	}
	if _, _, err := a.Ask(t.Context(), a.addr, make([]byte, MaxQuestion+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too long a question: %v", err)
	}
	silent := rawServer(t, identityOf(2), func(nc net.Conn) { io.Copy(io.Discard, nc) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, peer, err := a.Ask(ctx, silent, nil); !errors.Is(err, context.DeadlineExceeded) || peer.Node != 2 {
		t.Errorf("no answer: %s, %v", peer, err)
	}
	b := start(t, d, 2, &host{answer: func(Identity, []byte) []byte { return make([]byte, MaxQuestion+1) }})
	if _, _, err := a.Ask(t.Context(), b.addr, nil); err == nil {
		t.Error("too long an answer arrived")
	}
}

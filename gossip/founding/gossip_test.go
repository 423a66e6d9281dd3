package founding

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"balsa/gossip"
)

// TestOverRealGossip founds a cluster of three servers that find each other over
// UDP and TCP, and has one of them complete a founding that it missed.
func TestOverRealGossip(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var mu sync.Mutex
	founders := make(map[string]*Founder) // by RPC address
	founded := make(chan gossip.UUID, 3)
	ask := func(_ context.Context, addr string, question []byte) ([]byte, error) {
		mu.Lock()
		f := founders[addr]
		mu.Unlock()
		if f == nil {
			return nil, errors.New("connection refused")
		}
		return f.Answer(question), nil
	}
	var seeds []string
	start := func(id uint64, found func(g *gossip.Gossip, plan Plan) error) *Founder {
		t.Helper()
		addr := serverName(id) + ".example:21000"
		instance := gossip.UUID{byte(id)}
		g, err := gossip.Start(t.Context(), gossip.Config{
			ID: id, InstanceID: instance, Bind: "127.0.0.1:0", RPCAddr: addr, Expect: 3,
			Seeds: seeds, Timing: gossip.TimingLocal, Logger: log,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.Close() })
		seeds = append(seeds, g.Self().GossipAddr)
		f, err := Start(Config{
			ID: id, InstanceID: instance, Expect: 3, View: g, Ask: ask, Logger: log,
			Found: func(_ context.Context, plan Plan) error { return found(g, plan) },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Close)
		mu.Lock()
		defer mu.Unlock()
		founders[addr] = f
		return f
	}
	succeed := func(g *gossip.Gossip, plan Plan) error {
		g.SetClusterID(plan.ClusterID())
		founded <- plan.ClusterID()
		return nil
	}
	// The disk of server 3 does not work until the others have founded.
	repaired := make(chan struct{})
	start(1, succeed)
	start(2, succeed)
	third := start(3, func(g *gossip.Gossip, plan Plan) error {
		select {
		case <-repaired:
			return succeed(g, plan)
		default:
			return errors.New("disk full")
		}
	})
	next := func() gossip.UUID {
		select {
		case id := <-founded:
			return id
		case <-time.After(30 * time.Second):
			t.Fatalf("not founded after half a minute; server 3 says %q", third.State())
			return gossip.UUID{}
		}
	}
	first, second := next(), next()
	close(repaired)
	if last := next(); first != second || first != last {
		t.Errorf("the servers founded %s, %s and %s", first, second, last)
	}
}

package gossip

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// testConfig describes server id of a test cluster: gossip at 10.0.0.<id>:7000,
// and a data directory of its own.
func testConfig(t *testing.T, id uint64) Config {
	return Config{
		ID: id, InstanceID: UUID{byte(id)},
		Bind:    fmt.Sprintf("10.0.0.%d:7000", id),
		RPCAddr: fmt.Sprintf("10.0.0.%d:21000", id), APIAddr: fmt.Sprintf("10.0.0.%d:3000", id),
		Seeds:  []string{"10.0.0.1:7000"},
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
}

// inBubble runs a test in virtual time, on a network of its own.
func inBubble(t *testing.T, test func(t *testing.T, n *memoryNetwork)) {
	synctest.Test(t, func(t *testing.T) {
		// The last thing that happens, after all servers were closed: Close does
		// not wait for memberlist's own goroutines, which need a few seconds
		// more to notice.
		t.Cleanup(func() { pass(30 * time.Second) })
		test(t, newMemoryNetwork())
	})
}

// start starts a server on the network and stops it when the test ends.
func (n *memoryNetwork) start(t *testing.T, c Config) *Gossip {
	t.Helper()
	c.Transport = n.listen(c.Bind)
	g, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// cluster starts servers 1 to size and waits until each sees all.
func (n *memoryNetwork) cluster(t *testing.T, size int) []*Gossip {
	t.Helper()
	var servers []*Gossip
	for id := range size {
		servers = append(servers, n.start(t, testConfig(t, uint64(id+1))))
	}
	for _, g := range servers {
		await(t, g, fmt.Sprintf("%d servers alive", size), func() bool { return count(g, StatusAlive) == size })
	}
	return servers
}

// await waits until a condition on what a server sees holds.
func await(t *testing.T, g *Gossip, what string, holds func() bool) {
	t.Helper()
	changed, stop := g.Watch()
	defer stop()
	giveUp := time.After(5 * time.Minute)
	for !holds() {
		select {
		case <-changed:
		case <-giveUp:
			t.Fatalf("server %d never saw: %s\nmembers: %+v\nconflicts: %+v", g.Self().ID, what, g.Members(), g.Conflicts())
		}
	}
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

func count(g *Gossip, s Status) int {
	n := 0
	for _, m := range g.Members() {
		if m.Status == s {
			n++
		}
	}
	return n
}

func member(g *Gossip, id uint64) Member {
	for _, m := range g.Members() {
		if m.ID == id {
			return m
		}
	}
	return Member{}
}

// logBuffer is a log that tests can read.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.buf.String(), text)
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

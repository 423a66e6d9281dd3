package gossip

import (
	"net"
	"testing"
)

// loopbackConfig describes a server with a real port, which the system chooses.
func loopbackConfig(t *testing.T, id uint64) Config {
	c := testConfig(t, id)
	c.Bind = "127.0.0.1:0"
	c.Seeds = nil
	c.Timing = TimingLocal
	return c
}

// TestOverRealSockets runs the whole package over UDP and TCP in real time.
func TestOverRealSockets(t *testing.T) {
	a, err := Start(t.Context(), loopbackConfig(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	_, port, err := net.SplitHostPort(a.Self().GossipAddr)
	if err != nil || port == "0" {
		t.Fatalf("the port that was opened is %q, %v", port, err)
	}
	c := loopbackConfig(t, 2)
	c.Seeds = []string{net.JoinHostPort("localhost", port)}
	b, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()

	both := func(g *Gossip) func() bool { return func() bool { return count(g, StatusAlive) == 2 } }
	await(t, a, "server 2", both(a))
	await(t, b, "server 1", both(b))

	b.SetClusterID(UUID{0xcc})
	await(t, a, "the cluster of server 2", func() bool { return member(a, 2).ClusterID == UUID{0xcc} })

	c = loopbackConfig(t, 3)
	c.Cluster = "another"
	c.Seeds = []string{a.Self().GossipAddr}
	stranger, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := `it hung up without an answer: most likely its cluster name is a different one; this server's is "another"`
	if err := stranger.join(t.Context(), c.Seeds)[c.Seeds[0]]; err == nil || err.Error() != want {
		t.Errorf("joining with another cluster name: %v", err)
	}
	if err := stranger.Close(); err != nil {
		t.Error(err)
	}

	if err := b.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	await(t, a, "server 2 as left", func() bool { return member(a, 2).Status == StatusLeft })
}

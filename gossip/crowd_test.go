package gossip

import (
	"flag"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

var (
	crowdSize = flag.Int("members", 40, "how many servers TestACrowdConverges starts in this process")
	crowdIdle = flag.Duration("idle", 3*time.Second, "for how long it counts what they send while nothing happens; "+
		"it takes a minute to see a push/pull exchange of each of 200")
	crowdLAN = flag.Bool("lan", false, "whether they have the timing of a network instead of that of one machine")
)

// countingTransport is the network, and counts what all servers send: the
// payload of packets, and both directions of every stream, at the end that
// opened it.
type countingTransport struct {
	*memberlist.NetTransport
	packets, streams *atomic.Int64
}

func (t countingTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	t.packets.Add(int64(len(b)))
	return t.NetTransport.WriteToAddress(b, a)
}

func (t countingTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, err := t.NetTransport.DialAddressTimeout(a, timeout)
	if err != nil {
		return nil, err
	}
	return countingConn{conn, t.streams}, nil
}

type countingConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.bytes.Add(int64(n))
	return n, err
}

func (c countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.bytes.Add(int64(n))
	return n, err
}

// A crowd is many servers on ports of 127.0.0.1, in real time.
type crowd struct {
	servers          []*Gossip
	packets, streams atomic.Int64
}

func (c *crowd) start(t *testing.T, size int) {
	t.Helper()
	timing := TimingLocal
	if *crowdLAN {
		timing = TimingLAN
	}
	var seeds []string
	for id := range uint64(size) {
		transport, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{"127.0.0.1"}, Logger: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		})
		must(t, err)
		config := testConfig(t, id+1)
		config.Transport = countingTransport{transport, &c.packets, &c.streams}
		config.InstanceID = UUID{byte(id >> 8), byte(id), 1}
		config.RPCAddr, config.APIAddr = fmt.Sprintf("127.0.0.1:%d", 20000+id), fmt.Sprintf("127.0.0.1:%d", 30000+id)
		config.Seeds, config.Generation, config.Timing = seeds, 1, timing
		config.Logger = slog.New(slog.DiscardHandler)
		g, err := Start(t.Context(), config)
		must(t, err)
		c.servers = append(c.servers, g)
		if id == 0 {
			seeds = []string{g.Self().GossipAddr}
		}
		must(t, g.SetAll(map[string]string{
			"raft/role": "learner", "raft/term": "17", "raft/applied": "1234567", "raft/first": "1000000",
			"api/addr": config.APIAddr, "version": "0.3.0", "state": "joining",
		}))
	}
}

// stop closes some of the servers, without a word to the others.
func (c *crowd) stop(servers []*Gossip) {
	var wg sync.WaitGroup
	for _, g := range servers {
		wg.Go(func() { g.Close() })
	}
	wg.Wait()
}

// TestACrowdConverges is the proof, and the measure, of gossip among hundreds of
// servers. Run it with -v to see the figures, and with -members=200 for more of
// them.
func TestACrowdConverges(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	size := *crowdSize
	var c crowd
	defer func() { c.stop(c.servers) }()
	begun := time.Now()
	c.start(t, size)
	t.Logf("%d servers started in %v", size, since(begun))

	everybody := func(alive int) func(g *Gossip) bool {
		return func(g *Gossip) bool { return count(g, StatusAlive) == alive }
	}
	c.awaitAll(t, c.servers, fmt.Sprintf("%d servers alive", size), everybody(size))
	t.Logf("everybody knows everybody after %v", since(begun))
	c.awaitAll(t, c.servers, "every state", func(g *Gossip) bool { return len(g.Live(HasKeys("state", "api/addr"))) == size })
	t.Logf("everybody knows every state after %v", since(begun))

	c.measureIdle(t)
	c.say(t, c.servers)

	// The first one, which is the seed, stays.
	dead, alive := c.servers[size-size/10:], c.servers[:size-size/10]
	died := time.Now()
	c.stop(dead)
	c.awaitAll(t, alive, fmt.Sprintf("%d servers dead", len(dead)), everybody(size-len(dead)))
	t.Logf("everybody knows that %d servers died after %v", len(dead), since(died))
	c.say(t, alive)
}

// measureIdle waits until what memberlist still tells about the start comes to an
// end, and then counts for a while what the servers send.
func (c *crowd) measureIdle(t *testing.T) {
	sent := func(during time.Duration) (packets, streams int64) {
		packets, streams = c.packets.Load(), c.streams.Load()
		<-time.After(during)
		perSecond := func(bytes int64) int64 { return int64(float64(bytes) / float64(len(c.servers)) / during.Seconds()) }
		return perSecond(c.packets.Load() - packets), perSecond(c.streams.Load() - streams)
	}
	for range 60 {
		if packets, _ := sent(500 * time.Millisecond); packets < 500 {
			break
		}
	}
	packets, streams := sent(*crowdIdle)
	t.Logf("idle for %v, each server sends %d bytes per second: %d in packets, %d over streams", *crowdIdle, packets+streams, packets, streams)
}

// say publishes a key on one of the servers and waits until all of them know it.
func (c *crowd) say(t *testing.T, servers []*Gossip) {
	t.Helper()
	speaker := servers[len(servers)/2]
	said := time.Now()
	must(t, speaker.Set("state", said.String()))
	c.awaitAll(t, servers, "the new key", func(g *Gossip) bool {
		value, _ := g.Get(speaker.Self().ID, "state")
		return value == said.String()
	})
	t.Logf("what one server says is known by all %d after %v", len(servers), since(said))
}

// awaitAll waits until a condition holds on every server.
func (c *crowd) awaitAll(t *testing.T, servers []*Gossip, what string, holds func(g *Gossip) bool) {
	t.Helper()
	giveUp := time.After(5 * time.Minute)
	for _, g := range servers {
		members, stopMembers := g.Watch()
		states, stopStates := g.WatchState("")
		for !holds(g) {
			select {
			case <-members:
			case <-states:
			case <-giveUp:
				t.Fatalf("server %d never saw: %s; it sees %d alive, %d ready", g.Self().ID, what, count(g, StatusAlive), len(g.Live(HasKeys("state"))))
			}
		}
		stopMembers()
		stopStates()
	}
}

func since(t time.Time) time.Duration { return time.Since(t).Round(10 * time.Millisecond) }

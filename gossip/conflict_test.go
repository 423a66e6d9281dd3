package gossip

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestOneIDOnTwoDataDirectoriesIsReported(t *testing.T) {
	for _, name := range []string{"", "another-name"} {
		inBubble(t, func(t *testing.T, n *memoryNetwork) {
			var log logBuffer
			first := testConfig(t, 1)
			first.Logger = log.logger()
			a := n.start(t, first)
			b := n.start(t, testConfig(t, 2))
			await(t, a, "server 2", func() bool { return count(a, StatusAlive) == 2 })

			impostor := testConfig(t, 2)
			impostor.Name = name
			impostor.InstanceID = UUID{0xbb}
			impostor.Bind, impostor.RPCAddr = "10.0.0.99:7000", "10.0.0.99:21000"
			c := n.start(t, impostor)

			witnesses := []*Gossip{a, c}
			if name != "" {
				// Under a name of its own the impostor is let in, and seen by
				// all. Under the name of server 2 it is kept out by whomever
				// it calls, and it does not call server 2.
				witnesses = append(witnesses, b)
			}
			for _, g := range witnesses {
				await(t, g, "a duplicate id", func() bool {
					cs := g.Conflicts()
					return len(cs) > 0 && cs[0].Kind == ConflictID && cs[0].ID == 2
				})
				if addr, ok := g.Address(2); ok {
					t.Errorf("Address of a disputed id = %q", addr)
				}
			}
			pass(5 * time.Minute)
			if len(a.Conflicts()) == 0 {
				t.Error("the conflict lasts, the report does not")
			}
			if got := log.count("two servers claim id 2"); got != 1 {
				t.Errorf("the conflict was logged %d times in five minutes, want once", got)
			}
			c.Close()
			await(t, a, "the end of the conflict", func() bool { return len(a.Conflicts()) == 0 })
			if addr, ok := a.Address(2); !ok || addr != "10.0.0.2:21000" {
				t.Errorf("after the impostor stopped, Address(2) = %q, %v", addr, ok)
			}
		})
	}
}

func TestCopiedDataDirectoryIsReported(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 2)
		twin := testConfig(t, 2)
		twin.Bind, twin.RPCAddr = "10.0.0.99:7000", "10.0.0.99:21000"
		n.start(t, twin)
		a := servers[0]
		await(t, a, "a copied data directory", func() bool {
			cs := a.Conflicts()
			return len(cs) == 1 && cs[0].Kind == ConflictInstance && strings.Contains(cs[0].Message, "10.0.0.99:7000")
		})
	})
}

func TestTwoServersWithOneNameAreReported(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		a := n.start(t, testConfig(t, 1))
		b := testConfig(t, 2)
		b.Name = "n1"
		n.start(t, b)
		await(t, a, "a duplicate name", func() bool {
			cs := a.Conflicts()
			return len(cs) == 1 && cs[0].Kind == ConflictName && cs[0].ID == 2
		})
	})
}

func TestClustersWithDifferentNamesDoNotMeet(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		a := n.start(t, testConfig(t, 1))
		var log logBuffer
		c := testConfig(t, 2)
		c.Cluster = "another"
		c.Logger = log.logger()
		b := n.start(t, c)
		pass(time.Minute)
		if len(a.Members()) != 1 || len(b.Members()) != 1 {
			t.Fatalf("they see %+v and %+v", a.Members(), b.Members())
		}
		if log.count("most likely its cluster name is a different one") != 1 {
			t.Errorf("the log does not say once why the seed does not answer:\n%s", log.buf.String())
		}
	})
}

func TestClustersThatMeetStayApart(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		// Two clusters with the same name and, as usual, the same ids.
		var clusters [2][]*Gossip
		for i := range clusters {
			for id := range uint64(3) {
				c := testConfig(t, id+1)
				c.ClusterID = UUID{0xc0 + byte(i)}
				c.InstanceID = UUID{byte(id + 1), byte(i)}
				c.Bind = fmt.Sprintf("10.%d.0.%d:7000", i, id+1)
				c.RPCAddr = fmt.Sprintf("10.%d.0.%d:21000", i, id+1)
				c.Seeds = []string{fmt.Sprintf("10.%d.0.1:7000", i)}
				if i == 1 && id == 2 {
					c.Seeds = append(c.Seeds, "10.0.0.1:7000") // the mistake
				}
				clusters[i] = append(clusters[i], n.start(t, c))
			}
		}
		pass(3 * time.Minute)
		for i, cluster := range clusters {
			for _, g := range cluster {
				if count(g, StatusAlive) != 3 || len(g.Members()) != 3 {
					t.Fatalf("a server of cluster %d sees %+v", i, g.Members())
				}
				for _, m := range g.Members() {
					if m.ClusterID != (UUID{0xc0 + byte(i)}) {
						t.Fatalf("a server of cluster %d lists %+v", i, m)
					}
				}
				if addr, ok := g.Address(2); !ok || addr != fmt.Sprintf("10.%d.0.2:21000", i) {
					t.Fatalf("a server of cluster %d finds server 2 at %q, %v", i, addr, ok)
				}
			}
		}
		for _, g := range []*Gossip{clusters[0][0], clusters[1][2]} {
			cs := g.Conflicts()
			if len(cs) == 0 || cs[0].Kind != ConflictCluster {
				t.Errorf("the meeting is not reported: %+v", cs)
			}
		}
	})
}

func TestServerWithoutClusterSeesWhoHasOne(t *testing.T) {
	inBubble(t, func(t *testing.T, n *memoryNetwork) {
		servers := n.cluster(t, 3)
		id := UUID{0xc1}
		servers[0].SetClusterID(id)
		for _, g := range servers {
			await(t, g, "the cluster id of server 1", func() bool { return member(g, 1).ClusterID == id })
		}
		if got := servers[0].Self().ClusterID; got != id {
			t.Errorf("Self().ClusterID = %v", got)
		}
		// Server 2 joins the same cluster, server 3 founded another one.
		servers[1].SetClusterID(id)
		servers[2].SetClusterID(UUID{0xc2})
		for _, g := range servers[:2] {
			await(t, g, "server 3 as a stranger", func() bool { return len(g.Members()) == 2 && len(g.Conflicts()) == 1 })
			if addr, ok := g.Address(3); ok {
				t.Errorf("Address of a server of another cluster = %q", addr)
			}
		}
		await(t, servers[2], "nobody else", func() bool { return len(servers[2].Members()) == 1 })
	})
}
